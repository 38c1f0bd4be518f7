//! Libraries of functions, as all threads know them. What there is at one moment is a catalog, which never changes: another one
//! takes its place, so that a change is there as a whole or not at all.

use super::{LibraryHead, ScriptCache, ScriptFlags, functions};
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// What a name has to be.
pub(super) const NAME_RULE: &str =
    "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/// Whether this may be the name of a library or of a function.
pub(super) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// A function, as its library has registered it.
#[derive(Debug)]
pub struct LibraryFunction {
    pub name: String,
    pub description: Option<Box<[u8]>>,
    pub flags: ScriptFlags,
}

/// A library that was loaded.
#[derive(Debug)]
pub struct Library {
    pub name: String,
    /// The text as it came.
    pub text: Box<[u8]>,
    /// Bytes of its first line without the end.
    head_len: usize,
    pub functions: Vec<LibraryFunction>,
}

impl Library {
    /// What is compiled of it.
    pub(super) fn body(&self) -> &[u8] {
        &self.text[self.head_len..]
    }

    /// Bytes of memory, as `INFO` counts them.
    fn memory(&self) -> usize {
        let of_function = |function: &LibraryFunction| {
            size_of::<LibraryFunction>() + function.name.len() + function.description.as_deref().map_or(0, <[u8]>::len)
        };
        size_of::<Library>() + self.name.len() + self.text.len() + self.functions.iter().map(of_function).sum::<usize>()
    }
}

/// A function of a library.
#[derive(Clone, Debug)]
pub struct Function {
    pub(super) library: Arc<Library>,
    index: usize,
}

impl Function {
    /// Its name as it was registered.
    pub fn name(&self) -> &str {
        &self.library.functions[self.index].name
    }

    pub fn flags(&self) -> ScriptFlags {
        self.library.functions[self.index].flags
    }
}

/// All libraries and functions that there are at one moment.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    libraries: BTreeMap<String, Arc<Library>>,
    /// By their names in lowercase.
    functions: HashMap<String, Function>,
}

impl Catalog {
    /// The libraries, in the order of their names.
    pub fn libraries(&self) -> impl ExactSizeIterator<Item = &Arc<Library>> {
        self.libraries.values()
    }

    /// Their texts.
    pub fn texts(&self) -> Vec<&[u8]> {
        self.libraries.values().map(|library| &*library.text).collect()
    }

    /// The number of functions.
    pub fn functions(&self) -> usize {
        self.functions.len()
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.libraries.values().map(|library| library.memory()).sum()
    }

    /// The function of a name, in any case.
    pub fn find(&self, name: &[u8]) -> Option<&Function> {
        self.functions.get(&std::str::from_utf8(name).ok()?.to_ascii_lowercase())
    }

    /// Removes a library; whether there was one of this name.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(library) = std::str::from_utf8(name).ok().and_then(|name| self.libraries.remove(name)) else {
            return false;
        };
        self.functions.retain(|_, function| !Arc::ptr_eq(&function.library, &library));
        true
    }

    /// Loads a library from its text, which may take as long as `limit`, and returns its name. One of this name that is there
    /// already is in the way unless it is to be replaced. Errors: the text of the error reply; nothing has changed then.
    pub fn load(
        &mut self,
        cache: &ScriptCache,
        text: &[u8],
        replaces: bool,
        limit: Option<Duration>,
    ) -> Result<String, Vec<u8>> {
        let LibraryHead { name, len: head_len } = LibraryHead::of(text)?;
        if !replaces && self.libraries.contains_key(&name) {
            return Err(format!("ERR Library '{name}' already exists").into_bytes());
        }
        let functions = functions::load(cache, head_len, text, limit)?;
        self.add(Arc::new(Library { name: name.clone(), text: text.into(), head_len, functions }))?;
        Ok(name)
    }

    /// Adds a library, in place of one of its name. Errors: one of its functions is in another library; nothing has changed then.
    fn add(&mut self, library: Arc<Library>) -> Result<(), Vec<u8>> {
        let key = |function: &LibraryFunction| function.name.to_ascii_lowercase();
        for function in &library.functions {
            if let Some(known) = self.functions.get(&key(function))
                && known.library.name != library.name
            {
                return Err(format!("ERR Function {} already exists", function.name).into_bytes());
            }
        }
        self.remove(library.name.as_bytes());
        for (index, function) in library.functions.iter().enumerate() {
            self.functions.insert(key(function), Function { library: Arc::clone(&library), index });
        }
        self.libraries.insert(library.name.clone(), library);
        Ok(())
    }

    /// Adds all libraries of another catalog. One that is there already is in the way unless it is to be replaced. Errors: the text
    /// of the error reply; this catalog is of no use then.
    pub fn join(&mut self, other: &Catalog, replaces: bool) -> Result<(), Vec<u8>> {
        for name in other.libraries.keys() {
            if self.remove(name.as_bytes()) && !replaces {
                return Err(format!("ERR Library {name} already exists").into_bytes());
            }
        }
        other.libraries.values().try_for_each(|library| self.add(Arc::clone(library)))
    }
}

/// The catalog of now.
#[derive(Debug, Default)]
pub struct Libraries(RwLock<Arc<Catalog>>);

impl Libraries {
    pub fn get(&self) -> Arc<Catalog> {
        Arc::clone(&self.0.read())
    }

    /// Puts another catalog in place. All shards are held, so that no function runs.
    pub fn set(&self, catalog: Catalog) {
        *self.0.write() = Arc::new(catalog);
    }

    /// The function of a name.
    pub fn find(&self, name: &[u8]) -> Option<Function> {
        self.0.read().find(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(name: &str, functions: &[&str]) -> Arc<Library> {
        let registered = |name: &&str| LibraryFunction {
            name: (*name).to_owned(),
            description: None,
            flags: ScriptFlags::default(),
        };
        let functions = functions.iter().map(registered).collect();
        Arc::new(Library { name: name.to_owned(), text: Box::default(), head_len: 0, functions })
    }

    fn catalog(libraries: &[(&str, &[&str])]) -> Catalog {
        let mut catalog = Catalog::default();
        for (name, functions) in libraries {
            catalog.add(library(name, functions)).unwrap();
        }
        catalog
    }

    fn owner<'c>(catalog: &'c Catalog, function: &str) -> Option<&'c str> {
        catalog.find(function.as_bytes()).map(|function| function.library.name.as_str())
    }

    #[test]
    fn a_function_belongs_to_one_library() {
        let mut catalog = catalog(&[("a", &["f", "G"]), ("b", &["h"])]);
        assert_eq!((owner(&catalog, "F"), owner(&catalog, "g"), owner(&catalog, "x")), (Some("a"), Some("a"), None));
        assert_eq!(catalog.add(library("b", &["h", "F"])), Err(b"ERR Function F already exists".to_vec()));
        assert_eq!((owner(&catalog, "h"), owner(&catalog, "f"), catalog.functions()), (Some("b"), Some("a"), 3));
        // What the new version lacks is gone.
        catalog.add(library("a", &["g"])).unwrap();
        assert_eq!((owner(&catalog, "f"), owner(&catalog, "g"), catalog.functions()), (None, Some("a"), 2));
        assert!(catalog.remove(b"a") && !catalog.remove(b"a") && catalog.functions() == 1);
    }

    #[test]
    fn libraries_that_are_replaced_together_may_exchange_functions() {
        let now = || catalog(&[("a", &["f"]), ("b", &["g"])]);
        let mut joined = now();
        joined.join(&catalog(&[("a", &["g"]), ("b", &["f"])]), true).unwrap();
        assert_eq!((owner(&joined, "f"), owner(&joined, "g")), (Some("b"), Some("a")));
        let join = |libraries: &[(&str, &[&str])], replaces| now().join(&catalog(libraries), replaces);
        assert_eq!(join(&[("a", &["f"])], false), Err(b"ERR Library a already exists".to_vec()));
        assert_eq!(join(&[("c", &["f"])], true), Err(b"ERR Function f already exists".to_vec()));
        assert_eq!(join(&[("c", &["h"])], false), Ok(()));
    }
}
