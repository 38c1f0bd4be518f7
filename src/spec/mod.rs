//! The command table: what every command is called, takes, touches and promises, as static data.
//!
//! The source is `commands/*.toml`; the build script checks it and compiles it into [`COMMANDS`]. From this one
//! description come dispatch ([`Table`]), key extraction ([`keys`]), ACL categories, the errors for malformed
//! requests ([`errors`]) and everything that `COMMAND` answers.

pub mod errors;
pub mod flags;
pub mod keys;
mod lookup;

pub use flags::{AclCategories, ArgumentFlags, CommandFlags, DocFlags, KeyFlags};
pub use lookup::{RenameError, Renames, Table};

use crate::config::Directive;
use crate::resp::Args;

include!(concat!(env!("OUT_DIR"), "/command_table.rs"));

/// Everything known about a command or a subcommand.
#[derive(Debug)]
pub struct CommandSpec {
    /// In lowercase; a subcommand carries its container's name: `client|kill`.
    pub name: &'static str,
    /// Its number among all commands and subcommands, below [`COMMAND_COUNT`]: an index for statistics.
    pub id: u16,
    /// How many arguments it takes, its own name (and subcommand) included; negative: at least so many.
    pub arity: i16,
    /// What it is and when it may run.
    pub flags: CommandFlags,
    /// Its ACL categories.
    pub acl: AclCategories,
    /// Hints for clients that speak to a cluster.
    pub tips: &'static [&'static str],
    /// Where its keys are and how it uses them.
    pub keys: &'static [KeySpec],
    /// The same for the fast path: decided by the build script from `keys`.
    pub layout: KeyLayout,
    /// Which shards are held while it runs.
    pub locks: Locks,
    /// The directive that must allow it, if it is [`PROTECTED`](CommandFlags::PROTECTED).
    pub protected_by: Option<Directive>,
    /// Which arguments are channels that it publishes to, or listens to.
    pub channels: Channels,
    /// Which arguments are not to be seen in `MONITOR` and in the logs of commands.
    pub secrets: Secrets,
    /// First key, last key and step, as `COMMAND INFO` has had them since before key specs.
    pub legacy_range: [i16; 3],
    /// What `COMMAND DOCS` tells.
    pub docs: Docs,
    /// The lines of the container's HELP that speak of this subcommand.
    pub help: &'static [&'static str],
    /// The commands below a container.
    pub subcommands: &'static [CommandSpec],
}

impl CommandSpec {
    /// Whether `count` arguments, the command's name included, are what the command takes.
    pub const fn accepts(&self, count: usize) -> bool {
        if self.arity >= 0 { count == self.arity as usize } else { count >= self.arity.unsigned_abs() as usize }
    }

    /// Whether the command has subcommands.
    pub const fn is_container(&self) -> bool {
        !self.subcommands.is_empty()
    }

    /// Whether the command runs what was queued since `MULTI`.
    pub fn runs_queue(&self) -> bool {
        self.locks == Locks::Queued
    }

    /// Whether any of `flags` is set.
    pub const fn has(&self, flags: CommandFlags) -> bool {
        self.flags.intersects(flags)
    }

    /// The name without that of the container: `kill` of `client|kill`.
    pub fn short_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, name)| name)
    }

    /// The name of the container that a subcommand is in: `client` of `client|kill`.
    pub fn container_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(container, _)| container)
    }

    /// What a request names whose first word is this command: the command, or for a container the subcommand, if there is one.
    pub fn resolve(&'static self, args: Args<'_>) -> Option<&'static CommandSpec> {
        match args.get(1) {
            Some(name) if self.is_container() => self.subcommand(name),
            _ => Some(self),
        }
    }

    /// The subcommand of this name, whatever its case.
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static CommandSpec> {
        let container_len = self.name.len() + 1;
        self.subcommands.iter().find(|sub| sub.name.as_bytes()[container_len..].eq_ignore_ascii_case(name))
    }
}

/// All commands and subcommands, in the order of their ids.
pub fn all() -> impl Iterator<Item = &'static CommandSpec> {
    COMMANDS.iter().flat_map(|command| std::iter::once(command).chain(command.subcommands))
}

/// Where some of a command's keys are.
#[derive(Debug)]
pub struct KeySpec {
    /// Where to begin.
    pub begin: Begin,
    /// Which arguments from there on are keys.
    pub find: Find,
    /// How the command uses them.
    pub flags: KeyFlags,
    /// A remark for readers of `COMMAND INFO`; empty if there is none.
    pub notes: &'static str,
}

/// How the first key of a [`KeySpec`] is found. Positions count from the command's name, which is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At a fixed position.
    Index(u8),
    /// After a word, looked for from a position on; from a negative position, backwards from the end.
    Keyword(&'static str, i8),
    /// Cannot be said in general.
    Unknown,
}

/// How many keys there are from where a [`KeySpec`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Find {
    /// Every `step`th argument as far as `last`: relative to the beginning if positive, else to the end of the
    /// arguments (-1 is the last one). With a `limit` above 1, only that fraction of the arguments is looked at.
    Range {
        /// Position of the last key.
        last: i8,
        /// Distance between keys.
        step: u8,
        /// The fraction's denominator, or 0.
        limit: u8,
    },
    /// The number of keys stands where the spec begins, and the keys follow it.
    NumKeys {
        /// Distance between keys.
        step: u8,
    },
    /// Cannot be said in general.
    Unknown,
}

/// The key positions of a command, as far as the build script could decide them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyLayout {
    /// No keys.
    None,
    /// One key at a fixed position.
    One(u8, KeyFlags),
    /// Keys from `first` to the argument that is `from_end` before the end, every `step`th, all used alike.
    Range {
        /// Position of the first key.
        first: u8,
        /// How many arguments follow the last key.
        from_end: u8,
        /// Distance between keys.
        step: u8,
        /// How the keys are used.
        flags: KeyFlags,
    },
    /// To be found by the key specs.
    Specs,
    /// One key at a fixed position, whose use follows from the options.
    Finder(u8, Finder),
    /// A key at a fixed position, and those that the options behind it name.
    Options(u8, KeyOptions),
}

impl KeyLayout {
    /// Where the key is of a command that takes exactly one.
    #[inline]
    pub fn only_key(self) -> Option<usize> {
        match self {
            KeyLayout::One(index, _) | KeyLayout::Finder(index, _) => Some(index.into()),
            KeyLayout::None | KeyLayout::Range { .. } | KeyLayout::Specs | KeyLayout::Options(..) => None,
        }
    }
}

/// Which shards are held while a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locks {
    /// Those of its keys.
    Keys,
    /// All: it sees or changes all keys at one moment.
    All,
    /// None: its handler does most of its work without, and holds what it needs meanwhile with `Keys::hold`, which does
    /// not show it the keyspace at one moment. In a transaction, which is one moment, all are held.
    Parts,
    /// Those of the queued commands, and of the keys that the client watches.
    Queued,
    /// Those of the keys that the client watches.
    Watched,
    /// Those of its keys, if it runs a script that is known to use no others; else all. In a transaction, all.
    Script,
}

/// Which arguments of a command are channels, for the rules about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// None.
    None,
    /// The first.
    First,
    /// All.
    All,
    /// All, and they are patterns.
    Patterns,
}

/// Which arguments of a command are secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// None.
    None,
    /// All behind the name.
    All,
    /// The name and the password that follow the word `AUTH`.
    AfterAuth,
    /// What follows MIGRATE's options AUTH and AUTH2.
    Migrate,
    /// The values of directives that are secrets.
    Directives,
}

/// Commands whose options decide what their keys are or how they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finder {
    /// SET reads its key only with GET.
    Set,
    /// BITFIELD writes its key unless there is only GET.
    Bitfield,
}

/// Commands whose options name keys beside the one that has a place of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOptions {
    /// Those for the result follow STORE and STOREDIST.
    Stored,
    /// SORT: the one for the result follows STORE, and patterns make it read any.
    Sort,
    /// MIGRATE: all that follow KEYS, in place of the one before.
    Migrate,
}

/// What `COMMAND DOCS` tells about a command.
#[derive(Debug)]
pub struct Docs {
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// The Redis (or Valkey) version that first had it.
    pub since: &'static str,
    /// The group of commands that it belongs to.
    pub group: &'static str,
    /// Its running time; empty if there is nothing to say.
    pub complexity: &'static str,
    /// Its standing.
    pub flags: DocFlags,
    /// The version that deprecated it, and what replaces it.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// What was added to it, and in which versions.
    pub history: &'static [(&'static str, &'static str)],
    /// What it takes.
    pub arguments: &'static [Argument],
}

/// An argument of a command, or a group of arguments.
#[derive(Debug)]
pub struct Argument {
    /// What the argument is called.
    pub name: &'static str,
    /// What it may be.
    pub kind: ArgumentKind,
    /// How it is shown to people.
    pub display: &'static str,
    /// The word that comes before it, or that it is; empty if there is none.
    pub token: &'static str,
    /// Which key spec finds it, if it is a key.
    pub key_spec: Option<u8>,
    /// How it may be given.
    pub flags: ArgumentFlags,
    /// The version that first had it; empty if it was there from the start.
    pub since: &'static str,
    /// The version that deprecated it, or empty.
    pub deprecated_since: &'static str,
    /// The arguments of a group.
    pub arguments: &'static [Argument],
}

/// What an argument may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgumentKind {
    /// Any bytes.
    String,
    /// A 64-bit integer.
    Integer,
    /// A floating-point number.
    Double,
    /// A key.
    Key,
    /// A glob-style pattern.
    Pattern,
    /// A Unix time.
    UnixTime,
    /// A word of the command itself.
    PureToken,
    /// One of several.
    OneOf,
    /// Several in a row.
    Block,
}

impl ArgumentKind {
    /// The word that `COMMAND DOCS` has for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::Key => "key",
            Self::Pattern => "pattern",
            Self::UnixTime => "unix-time",
            Self::PureToken => "pure-token",
            Self::OneOf => "oneof",
            Self::Block => "block",
        }
    }
}

#[cfg(test)]
mod tests;
