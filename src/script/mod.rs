//! Lua scripts and functions: the interpreters, two for each thread, and what scripts see of the server. What a script wants done
//! is done by whoever runs it, through [`Host`].
//!
//! Scripts see Lua 5.1 as Redis has it: the sandbox is in `sandbox.lua`, `redis` in `api`, and how replies become values
//! and values replies in `reply`. The texts of scripts are in one cache for all threads, and each thread keeps what it has
//! compiled of them (`compiled`). So it is with libraries of functions (`library`, `functions`), which are loaded once to see
//! which functions they register (`register`), and again on each thread where one of these is called.

mod api;
mod arguments;
mod bits;
mod cache;
mod compiled;
mod entrance;
mod errors;
mod flags;
mod functions;
mod guard;
mod interpreter;
mod json;
mod library;
mod msgpack;
mod pace;
mod pack;
mod pattern;
mod proof;
mod random;
mod register;
mod reply;
mod running;
mod shebang;
mod strings;

pub use cache::{Digest, Script, ScriptCache, ScriptFigures};
pub use compiled::{check, give_back, run};
pub use errors::ScriptError;
pub use flags::ScriptFlags;
pub use functions::call;
pub use library::{Catalog, Function, Libraries, Library, LibraryFunction};
pub use proof::keeps_to_keys;
pub use running::{Busy, Running, RunningScripts, Unkillable, serve_others_by};
pub use shebang::{LibraryHead, Shebang};

use crate::resp::{Args, ErrorReply, Reply};

/// Who is told of what a command of a script does (`redis.set_repl`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replication {
    pub file: bool,
    pub replicas: bool,
}

impl Replication {
    /// Everybody.
    pub const ALL: Replication = Replication { file: true, replicas: true };
}

/// What a script has done by a command.
pub trait Host {
    /// Runs a command and appends its reply, in the reply's protocol. Errors: the text of why it does not run, with its code.
    fn call(&mut self, args: Args<'_>, reply: &mut Reply, replication: Replication) -> Result<(), Vec<u8>>;

    /// Whether the user may run a command; `None` if there is no such command.
    fn is_allowed(&mut self, args: Args<'_>) -> Option<bool>;

    /// Called from time to time while the script runs. Returns why it is to end, if it is.
    fn look(&mut self) -> Option<&'static str>;

    /// An error is part of what the script returned, and may have been counted where it arose.
    fn note_error(&mut self, error: &ErrorReply, is_counted: bool);
}

/// What a script is given.
pub struct Input<'a> {
    /// Arguments that are keys, and those that are not.
    pub keys: Args<'a>,
    pub args: Args<'a>,
}
