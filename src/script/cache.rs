//! The texts of scripts by their digests, for all threads.

use super::interpreter::Kind;
use super::{Libraries, RunningScripts, Shebang};
use parking_lot::Mutex;
use sha1::{Digest as _, Sha1};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

thread_local! {
    /// The script that was found last, and in which cache.
    static LATEST: RefCell<Option<(Weak<AtomicUsize>, Arc<Script>)>> = const { RefCell::new(None) };
}

/// Scripts that came with `EVAL` and are kept at most; the one that was not used for longest goes first.
const EVALUATED_MAX: usize = 500;

/// The SHA-1 of a script, in lowercase hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 40]);

impl Digest {
    /// The digest of a text.
    pub fn of(text: &[u8]) -> Digest {
        let mut digits = [0; 40];
        for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(Sha1::digest(text)) {
            *pair = [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]);
        }
        Digest(digits)
    }

    /// The digest that a client names, in any case; `None` if it cannot be one.
    pub fn named(name: &[u8]) -> Option<Digest> {
        let digits: [u8; 40] = name.try_into().ok()?;
        Some(Digest(digits.map(|digit| digit.to_ascii_lowercase())))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A script that the server knows.
#[derive(Debug)]
pub struct Script {
    pub digest: Digest,
    /// The text as it came.
    pub text: Box<[u8]>,
    /// What its first line says.
    pub shebang: Shebang,
    /// It is known to use no other keys than it is given.
    pub keeps_to_keys: bool,
    /// It came with `EVAL`: it may be forgotten for others.
    is_evaluated: AtomicBool,
    /// When it was used last, on a clock that ticks with each use of any.
    used: AtomicU64,
    /// It has been forgotten, and is not to be found by its digest.
    is_gone: AtomicBool,
}

impl Script {
    /// Whether it has been forgotten.
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    /// What is compiled of it.
    pub fn body(&self) -> &[u8] {
        &self.text[self.shebang.len..]
    }

    /// Bytes of memory, as `INFO` counts them.
    fn memory(&self) -> usize {
        size_of::<Script>() + self.text.len()
    }
}

/// The scripts that the server knows.
#[derive(Debug, Default)]
pub struct ScriptCache {
    scripts: Mutex<HashMap<Digest, Arc<Script>>>,
    clock: AtomicU64,
    evaluated: AtomicUsize,
    evicted: AtomicU64,
    /// Those that run.
    pub running: RunningScripts,
    pub libraries: Libraries,
    /// Scripts have what Lua 5.1 has and its successors lack.
    pub(super) has_deprecated_api: bool,
    /// Scripts may run some commands that are not for them.
    pub lets_debugging_in: AtomicBool,
    /// How often all scripts have been forgotten.
    generation: AtomicU64,
    /// Bytes of the interpreters of all threads: those for scripts, and those for functions.
    interpreters: Arc<AtomicUsize>,
    function_interpreters: Arc<AtomicUsize>,
}

/// What `INFO` says of scripts.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScriptFigures {
    pub scripts: usize,
    pub script_bytes: usize,
    pub interpreter_bytes: usize,
    pub evicted: u64,
    pub libraries: usize,
    pub functions: usize,
    pub library_bytes: usize,
    pub function_interpreter_bytes: usize,
}

impl ScriptCache {
    /// No scripts yet; `has_deprecated_api`: see `lua-enable-deprecated-api`.
    pub fn new(has_deprecated_api: bool) -> ScriptCache {
        ScriptCache { has_deprecated_api, ..ScriptCache::default() }
    }

    /// The script of a digest, if it is known.
    pub fn find(&self, digest: &Digest) -> Option<Arc<Script>> {
        self.ask(digest, Arc::clone)
    }

    /// What `of` says of the script of a digest, if it is known.
    pub fn ask<R>(&self, digest: &Digest, of: impl Fn(&Arc<Script>) -> R) -> Option<R> {
        let of = &of;
        if let Some(said) = self.latest(|script| script.digest == *digest, of) {
            return Some(said);
        }
        let script = self.scripts.lock().get(digest).cloned()?;
        self.note_use(&script);
        let said = of(&script);
        LATEST.set(Some((Arc::downgrade(&self.interpreters), script)));
        Some(said)
    }

    /// The script of a text, if it is known.
    pub fn find_text(&self, text: &[u8]) -> Option<Arc<Script>> {
        self.ask_text(text, Arc::clone)
    }

    /// What `of` says of the script of a text, if it is known.
    pub fn ask_text<R>(&self, text: &[u8], of: impl Fn(&Arc<Script>) -> R) -> Option<R> {
        self.latest(|script| *script.text == *text, &of).or_else(|| self.ask(&Digest::of(text), of))
    }

    /// What `of` says of the script that this thread has found last, if it is the one that is meant.
    fn latest<R>(&self, is_meant: impl FnOnce(&Script) -> bool, of: impl FnOnce(&Arc<Script>) -> R) -> Option<R> {
        LATEST.with_borrow(|latest| {
            let (cache, script) = latest.as_ref()?;
            // The figure stands for the cache that it belongs to.
            let is_here = std::ptr::eq(cache.as_ptr(), Arc::as_ptr(&self.interpreters)) && !script.is_gone();
            (is_here && is_meant(script)).then(|| {
                self.note_use(script);
                of(script)
            })
        })
    }

    /// Notes that a script is used now, if it may be forgotten.
    fn note_use(&self, script: &Script) {
        if script.is_evaluated.load(Ordering::Relaxed) {
            script.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Keeps a script. One that came with `EVAL` may be forgotten when others come; one that was loaded stays until
    /// `SCRIPT FLUSH`.
    pub fn insert(
        &self,
        digest: Digest,
        text: &[u8],
        (shebang, keeps_to_keys): (Shebang, bool),
        is_evaluated: bool,
    ) -> Arc<Script> {
        let mut scripts = self.scripts.lock();
        if let Some(script) = scripts.get(&digest) {
            if !is_evaluated && script.is_evaluated.swap(false, Ordering::Relaxed) {
                self.evaluated.fetch_sub(1, Ordering::Relaxed);
            }
            return Arc::clone(script);
        }
        let script = Arc::new(Script {
            digest,
            text: text.into(),
            shebang,
            keeps_to_keys,
            is_evaluated: AtomicBool::new(is_evaluated),
            used: AtomicU64::new(self.clock.fetch_add(1, Ordering::Relaxed)),
            is_gone: AtomicBool::new(false),
        });
        if is_evaluated && self.evaluated.fetch_add(1, Ordering::Relaxed) >= EVALUATED_MAX {
            self.evict(&mut scripts);
        }
        scripts.insert(digest, Arc::clone(&script));
        script
    }

    fn evict(&self, scripts: &mut HashMap<Digest, Arc<Script>>) {
        let evaluated = scripts.values().filter(|script| script.is_evaluated.load(Ordering::Relaxed));
        let oldest = evaluated.min_by_key(|script| script.used.load(Ordering::Relaxed)).map(|script| script.digest);
        if let Some(script) = oldest.and_then(|digest| scripts.remove(&digest)) {
            script.is_gone.store(true, Ordering::Release);
            self.evaluated.fetch_sub(1, Ordering::Relaxed);
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets all scripts, and has each thread's interpreter of scripts go.
    pub fn flush(&self) {
        let mut scripts = self.scripts.lock();
        for (_, script) in scripts.drain() {
            script.is_gone.store(true, Ordering::Release);
        }
        self.evaluated.store(0, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::Release);
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Bytes of all interpreters of a kind.
    pub(super) fn interpreter_bytes(&self, kind: Kind) -> &Arc<AtomicUsize> {
        match kind {
            Kind::Scripts => &self.interpreters,
            Kind::Functions => &self.function_interpreters,
        }
    }

    pub fn figures(&self) -> ScriptFigures {
        let scripts = self.scripts.lock();
        let catalog = self.libraries.get();
        ScriptFigures {
            scripts: scripts.len(),
            script_bytes: scripts.values().map(|script| script.memory()).sum(),
            interpreter_bytes: self.interpreters.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
            libraries: catalog.libraries().len(),
            functions: catalog.functions(),
            library_bytes: catalog.memory(),
            function_interpreter_bytes: self.function_interpreters.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_sha1() {
        assert_eq!(Digest::of(b"return 1").as_str(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
        assert_eq!(Digest::named(b"E0E1F9FABFC9D4800C877A703B823AC0578FF8DB"), Some(Digest::of(b"return 1")));
        assert_eq!(Digest::named(b"e0"), None);
    }

    #[test]
    fn evaluated_scripts_go_when_there_are_too_many_and_loaded_ones_stay() {
        let cache = ScriptCache::default();
        let text = |number: usize| format!("return {number}").into_bytes();
        let keep = |number, is_evaluated| {
            cache.insert(Digest::of(&text(number)), &text(number), (Shebang::default(), false), is_evaluated)
        };
        keep(0, false);
        let first = keep(1, true);
        keep(2, true);
        // Used again, the first is not the oldest.
        cache.find(&first.digest);
        (3..=EVALUATED_MAX + 1).for_each(|number| drop(keep(number, true)));
        let is_there = |number| cache.find(&Digest::of(&text(number))).is_some();
        assert_eq!([0, 1, 2, 3].map(is_there), [true, true, false, true]);
        assert_eq!((cache.figures().scripts, cache.figures().evicted), (EVALUATED_MAX + 1, 1));
        // Loaded, it is no longer one of them.
        keep(4, false);
        keep(EVALUATED_MAX + 2, true);
        assert_eq!(cache.figures().evicted, 1);
        cache.flush();
        assert!(first.is_gone() && cache.figures().scripts == 0);
    }
}
