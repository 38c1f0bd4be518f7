//! Lua scripts: the interpreters, one for each thread, and what scripts see of the server. What a script wants done is done
//! by whoever runs it, through [`Host`].
//!
//! Scripts see Lua 5.1 as Redis has it: the sandbox is in `sandbox.lua`, `redis` in `api`, and how replies become values
//! and values replies in `reply`. The texts of scripts are in one cache for all threads, and each interpreter keeps what it
//! has compiled of them.

mod api;
mod arguments;
mod bits;
mod cache;
mod errors;
mod flags;
mod general;
mod guard;
mod interpreter;
mod json;
mod msgpack;
mod pack;
mod random;
mod reply;
mod running;
mod shebang;

pub use cache::{Digest, Script, ScriptCache, ScriptFigures};
pub use errors::ScriptError;
pub use flags::ScriptFlags;
pub use interpreter::{check, run};
pub use running::{RunningScript, Unkillable, serve_others_by};
pub use shebang::Shebang;

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

    /// Called from time to time while the script runs. Returns whether it is to end.
    fn look(&mut self) -> bool;

    /// An error is part of what the script returned, and may have been counted where it arose.
    fn note_error(&mut self, error: &ErrorReply, is_counted: bool);
}

/// What a script is given.
pub struct Input<'a> {
    /// Arguments that are keys, and those that are not.
    pub keys: Args<'a>,
    pub args: Args<'a>,
}
