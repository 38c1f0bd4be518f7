//! What the files in `commands/` hold, and how they are read. See `commands/README.md` for the format.

use crate::flags::{AclCategories, ArgumentFlags, CommandFlags, DocFlags, KeyFlags};
use serde::Deserialize;
use toml::{Table, Value};

/// A command or subcommand, with everything implied filled in.
pub struct Command {
    /// `get`, or `client|kill`.
    pub name: String,
    /// The file's name without `.toml`.
    pub file: String,
    /// The path of the function below `crate::command`; none for a mere container.
    pub handler: Option<String>,
    pub group: String,
    pub flags: CommandFlags,
    pub acl: AclCategories,
    pub doc_flags: DocFlags,
    pub keys: Vec<Key>,
    pub arguments: Vec<Argument>,
    pub entry: Entry,
    pub subcommands: Vec<Command>,
}

/// An entry as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub since: String,
    #[serde(default)]
    pub summary: String,
    #[serde(default)]
    pub complexity: String,
    group: Option<String>,
    #[serde(default)]
    pub arity: i16,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    acl: Vec<String>,
    #[serde(default)]
    pub tips: Vec<String>,
    #[serde(default)]
    keys: Vec<KeyEntry>,
    /// A case of `Locks`.
    #[serde(default)]
    pub locks: Locks,
    /// A case of `Channels`.
    #[serde(default)]
    pub channels: Channels,
    /// A case of `Secrets`.
    #[serde(default)]
    pub secrets: Secrets,
    /// The directive that must allow the command.
    pub protected_by: Option<String>,
    /// One of the cases of `Finder`, in lowercase.
    pub finder: Option<String>,
    #[serde(default)]
    arguments: Vec<ArgumentEntry>,
    #[serde(default)]
    doc_flags: Vec<String>,
    pub deprecated_since: Option<String>,
    pub replaced_by: Option<String>,
    #[serde(default)]
    pub history: Vec<(String, String)>,
    #[serde(default)]
    pub help: String,
    module: Option<String>,
    handler: Option<String>,
    #[serde(default)]
    pending: bool,
}

/// Which arguments are channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    #[default]
    None,
    First,
    All,
    Patterns,
}

/// Which arguments are secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Secrets {
    #[default]
    None,
    All,
    AfterAuth,
    Migrate,
    Directives,
}

/// Which shards are held while the command runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Locks {
    #[default]
    Keys,
    All,
    Parts,
    Queued,
    Watched,
    Script,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    begin: Option<u8>,
    keyword: Option<String>,
    from: Option<i8>,
    #[serde(default)]
    unknown: bool,
    #[serde(default)]
    numkeys: bool,
    last: Option<i8>,
    step: Option<u8>,
    limit: Option<u8>,
    flags: Vec<String>,
    #[serde(default)]
    notes: String,
}

/// A key spec.
pub struct Key {
    pub begin: Begin,
    pub find: Find,
    pub flags: KeyFlags,
    pub notes: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Find {
    Range { last: i8, step: u8, limit: u8 },
    NumKeys { step: u8 },
    Unknown,
}

#[derive(PartialEq, Eq)]
pub enum Begin {
    Index(u8),
    Keyword(String, i8),
    Unknown,
}

/// A bare string stands for a token that is an argument by itself.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "an argument is a string (a token) or an inline table with the fields of commands/README.md"
)]
enum ArgumentEntry {
    Token(String),
    Table(Box<ArgumentTable>),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ArgumentTable {
    string: Option<String>,
    integer: Option<String>,
    double: Option<String>,
    key: Option<String>,
    pattern: Option<String>,
    unix_time: Option<String>,
    pure_token: Option<String>,
    oneof: Option<String>,
    block: Option<String>,
    token: Option<String>,
    display: Option<String>,
    spec: Option<i8>,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    multiple: bool,
    #[serde(default, rename = "multiple_token")]
    multiple_token: bool,
    since: Option<String>,
    #[serde(rename = "deprecated_since")]
    deprecated_since: Option<String>,
    #[serde(default)]
    of: Vec<ArgumentEntry>,
}

/// An argument, or a group of them.
pub struct Argument {
    pub name: String,
    /// A case of `ArgumentKind`.
    pub kind: &'static str,
    pub display: String,
    pub token: String,
    pub key_spec: Option<u8>,
    pub flags: ArgumentFlags,
    pub since: String,
    pub deprecated_since: String,
    pub arguments: Vec<Argument>,
}

/// Reads a file. Errors name the entry.
pub fn parse(file: &str, text: &str) -> Result<Vec<Command>, Vec<String>> {
    let mut document: Table = text.parse().map_err(|error: toml::de::Error| vec![error.to_string()])?;
    let group = match document.remove("group") {
        None => file.to_owned(),
        Some(Value::String(group)) => group,
        Some(_) => return Err(vec!["group is not a string".into()]),
    };
    let (mut commands, mut errors) = (Vec::new(), Vec::new());
    for (name, value) in document {
        let context = Context { file, group: &group, module: file, container: "" };
        match command(&context, &name, value) {
            Ok(command) => commands.push(command),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(commands) } else { Err(errors) }
}

/// What an entry inherits.
struct Context<'a> {
    file: &'a str,
    group: &'a str,
    module: &'a str,
    container: &'a str,
}

fn command(context: &Context<'_>, key: &str, value: Value) -> Result<Command, String> {
    let full = if context.container.is_empty() { key.to_owned() } else { format!("{}.{key}", context.container) };
    let error = |reason: String| format!("[{full}]: {reason}");
    let Value::Table(mut table) = value else {
        return Err(error("is not a table".into()));
    };
    if !is_command_name(key) {
        return Err(error("a command's name is in capitals".into()));
    }

    // Names of subcommands are in capitals, names of fields are not.
    let names: Vec<String> = table.keys().filter(|name| is_command_name(name)).cloned().collect();
    let below: Vec<(String, Value)> = names.into_iter().filter_map(|name| table.remove_entry(&name)).collect();
    let mut entry: Entry = table.try_into().map_err(|reason: toml::de::Error| error(reason.message().to_owned()))?;

    if key == "HELP" && !context.container.is_empty() {
        fill_help(&mut entry);
    }
    if !below.is_empty() && entry.complexity.is_empty() {
        entry.complexity = "Depends on the subcommand.".into();
    }
    let module = entry.module.clone().unwrap_or_else(|| context.module.to_owned());
    let group = entry.group.clone().unwrap_or_else(|| context.group.to_owned());
    let inner = Context { file: context.file, group: &group, module: &module, container: key };
    let subcommands: Vec<Command> =
        below.into_iter().map(|(name, value)| command(&inner, &name, value)).collect::<Result<_, _>>()?;

    let name = full.replace('.', "|").to_lowercase();
    let handler = match &entry.handler {
        Some(handler) if handler.contains("::") => Some(handler.clone()),
        Some(handler) => Some(format!("{module}::{handler}")),
        None if subcommands.is_empty() => Some(format!("{module}::{}", function_name(&name))),
        None => None,
    };
    let flags = command_flags(&entry).map_err(error)?;
    Ok(Command {
        file: context.file.to_owned(),
        handler,
        group: group.clone(),
        acl: acl_categories(&entry, flags).map_err(error)?,
        doc_flags: doc_flags(&entry).map_err(error)?,
        keys: entry.keys.drain(..).map(key_spec).collect::<Result<_, _>>().map_err(error)?,
        arguments: arguments(std::mem::take(&mut entry.arguments)).map_err(error)?,
        name,
        flags,
        entry,
        subcommands,
    })
}

impl Command {
    /// The name as the files have it, for error messages.
    pub fn heading(&self) -> String {
        format!("commands/{}.toml: [{}]", self.file, self.name.to_uppercase().replace('|', "."))
    }

    pub fn is_help(&self) -> bool {
        self.name.ends_with("|help")
    }

    /// Removes what is flagged as pending; false if nothing is left that could run.
    pub fn retain_ready(&mut self) -> bool {
        let was_container = !self.subcommands.is_empty();
        self.subcommands.retain_mut(Command::retain_ready);
        if was_container && self.entry.handler.is_none() && self.subcommands.iter().all(Command::is_help) {
            return false;
        }
        !self.entry.pending
    }
}

fn is_command_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(allowed)
}

/// `client|no-evict` is run by `client_no_evict`; names that Rust keeps for itself get an underscore.
fn function_name(name: &str) -> String {
    let function = name.replace(['|', '-'], "_");
    match function.as_str() {
        "move" | "type" => format!("{function}_"),
        _ => function,
    }
}

/// All HELP subcommands are alike.
fn fill_help(entry: &mut Entry) {
    entry.summary = "Lists the subcommands and what they do.".into();
    entry.complexity = "O(1)".into();
    entry.arity = 2;
    entry.flags.extend(["loading".into(), "stale".into()]);
    entry.handler.get_or_insert_with(|| "help::container".into());
}

fn command_flags(entry: &Entry) -> Result<CommandFlags, String> {
    words(&entry.flags, "flag", CommandFlags::from_word, CommandFlags::NONE, CommandFlags::union)
}

/// The categories that the entry names and those that its flags imply.
fn acl_categories(entry: &Entry, flags: CommandFlags) -> Result<AclCategories, String> {
    use {AclCategories as Acl, CommandFlags as Flag};
    let named = words(&entry.acl, "ACL category", Acl::from_word, Acl::NONE, Acl::union)?;
    let reads = if named.contains(Acl::SCRIPTING) { Acl::NONE } else { Acl::READ };
    let implied = [
        (Flag::WRITE, Acl::WRITE),
        (Flag::READONLY, reads),
        (Flag::ADMIN, Acl::ADMIN.union(Acl::DANGEROUS)),
        (Flag::PUBSUB, Acl::PUBSUB),
        (Flag::BLOCKING, Acl::BLOCKING),
        (Flag::FAST, Acl::FAST),
    ];
    let mut acl = named;
    for (flag, categories) in implied.into_iter().filter(|&(flag, _)| flags.contains(flag)) {
        if !categories.is_empty() && named.contains(categories) {
            return Err(format!("the flag {flag:?} already says {categories:?}"));
        }
        acl = acl.union(categories);
    }
    Ok(if flags.contains(Flag::FAST) { acl } else { acl.union(Acl::SLOW) })
}

fn doc_flags(entry: &Entry) -> Result<DocFlags, String> {
    let flags = words(&entry.doc_flags, "doc flag", DocFlags::from_word, DocFlags::NONE, DocFlags::union)?;
    if entry.deprecated_since.is_some() != entry.replaced_by.is_some() {
        return Err("deprecated_since and replaced_by come together".into());
    }
    Ok(if entry.deprecated_since.is_some() { flags.union(DocFlags::DEPRECATED) } else { flags })
}

fn key_spec(entry: KeyEntry) -> Result<Key, String> {
    let begin = match (entry.begin, entry.keyword, entry.unknown) {
        (Some(index), None, false) => Begin::Index(index),
        (None, Some(keyword), false) => {
            Begin::Keyword(keyword, entry.from.ok_or("a key spec with a keyword says from where to look for it")?)
        }
        (None, None, true) => Begin::Unknown,
        _ => return Err("a key spec has one of begin, keyword and unknown".into()),
    };
    let step = entry.step.unwrap_or(1);
    let find = match (begin == Begin::Unknown, entry.numkeys) {
        (true, false) => Find::Unknown,
        (false, true) if entry.last.is_none() && entry.limit.is_none() => Find::NumKeys { step },
        (false, false) => Find::Range { last: entry.last.unwrap_or(0), step, limit: entry.limit.unwrap_or(0) },
        _ => return Err("numkeys goes neither with unknown nor with last and limit".into()),
    };
    let flags = words(&entry.flags, "key flag", KeyFlags::from_word, KeyFlags::NONE, KeyFlags::union)?;
    Ok(Key { begin, find, flags, notes: entry.notes })
}

fn arguments(entries: Vec<ArgumentEntry>) -> Result<Vec<Argument>, String> {
    entries.into_iter().map(argument).collect()
}

fn argument(entry: ArgumentEntry) -> Result<Argument, String> {
    let mut table = match entry {
        ArgumentEntry::Token(token) => ArgumentTable { token: Some(token), ..ArgumentTable::default() },
        ArgumentEntry::Table(table) => *table,
    };
    let mut kinds = [
        ("String", table.string.take()),
        ("Integer", table.integer.take()),
        ("Double", table.double.take()),
        ("Key", table.key.take()),
        ("Pattern", table.pattern.take()),
        ("UnixTime", table.unix_time.take()),
        ("PureToken", table.pure_token.take()),
        ("OneOf", table.oneof.take()),
        ("Block", table.block.take()),
    ]
    .into_iter()
    .filter_map(|(kind, name)| name.map(|name| (kind, name)));
    let (kind, name) = match (kinds.next(), &table.token) {
        (Some(found), _) => found,
        (None, Some(token)) => ("PureToken", token.to_lowercase()),
        (None, None) => return Err("an argument without type and token".into()),
    };
    if let Some((_, other)) = kinds.next() {
        return Err(format!("argument {name} is also called {other}"));
    }
    let flags = [
        (table.optional, ArgumentFlags::OPTIONAL),
        (table.multiple, ArgumentFlags::MULTIPLE),
        (table.multiple_token, ArgumentFlags::MULTIPLE_TOKEN),
    ]
    .into_iter()
    .filter(|&(given, _)| given)
    .fold(ArgumentFlags::NONE, |flags, (_, flag)| flags.union(flag));
    let key_spec = table.spec.or(if kind == "Key" { Some(0) } else { None });
    Ok(Argument {
        kind,
        display: table.display.unwrap_or_else(|| name.clone()),
        token: table.token.unwrap_or_default(),
        key_spec: key_spec.and_then(|index| u8::try_from(index).ok()),
        flags,
        since: table.since.unwrap_or_default(),
        deprecated_since: table.deprecated_since.unwrap_or_default(),
        arguments: arguments(table.of).map_err(|reason| format!("in argument {name}: {reason}"))?,
        name,
    })
}

/// Looks every word up and unites what is found.
fn words<T>(
    words: &[String],
    what: &str,
    find: impl Fn(&str) -> Option<T>,
    none: T,
    unite: impl Fn(T, T) -> T,
) -> Result<T, String> {
    words.iter().try_fold(none, |all, word| {
        find(word).map(|flag| unite(all, flag)).ok_or_else(|| format!("there is no {what} \"{word}\""))
    })
}
