//! What a running command tells the log.

use super::Keys;
use crate::log::Audience;
use crate::resp::Args;
use crate::script::Replication;

/// What was logged before a command of a script.
pub(in crate::command) struct Part {
    is_logged: bool,
    effects: usize,
}

impl Keys<'_> {
    /// A request begins.
    #[inline]
    pub(in crate::command) fn begin_request(&mut self) {
        self.is_restated = false;
    }

    /// Whether somebody wants to know what commands do.
    #[inline]
    pub fn is_logged(&self) -> bool {
        self.is_logged
    }

    /// Has the log get what this command says that it has done, and not the request as it came; nothing, if it says nothing.
    #[inline]
    pub fn restate(&mut self) {
        self.is_restated = true;
    }

    /// Says in other words than the request's what the command has done: `words` are a command that repeats it.
    pub fn log_as(&mut self, words: &[&[u8]]) {
        self.restate();
        self.log_also(words);
    }

    /// Adds a command to what the log gets before the request itself.
    pub fn log_also(&mut self, words: &[&[u8]]) {
        if self.is_logged {
            self.effects.push(self.database, words.iter().copied(), Audience::All);
        }
    }

    /// Has replicas get the request as it came; a file does not need it.
    pub fn log_for_replicas(&mut self, args: Args<'_>) {
        if self.is_logged {
            self.effects.push(self.database, args.iter(), Audience::Replicas);
        }
    }

    /// Logs a request that came while `database` was selected, and has changed something, unless it was restated.
    #[inline]
    pub(in crate::command) fn log_request(&mut self, database: usize, args: Args<'_>) {
        if !std::mem::take(&mut self.is_restated) {
            self.effects.push(database, args.iter(), Audience::All);
        }
    }

    /// The same for one that is not part of a transaction.
    #[inline]
    pub(in crate::command) fn log_single_request(&mut self, database: usize, args: Args<'_>) {
        if self.effects.is_empty() && !self.is_restated {
            self.state.log.append_request(database, args);
        } else {
            self.log_request(database, args);
        }
    }

    /// Appends to the log what a command or a transaction that is over has done.
    #[inline]
    pub(in crate::command) fn log_effects(&mut self) {
        self.is_restated = false;
        if !self.effects.is_empty() {
            self.state.log.append_all(&mut self.effects);
        }
    }

    /// A command of a script begins, of which only some are to be told. Returns what [`end_part`](Self::end_part) needs.
    pub(in crate::command) fn begin_part(&mut self, replication: Replication) -> Part {
        let part = Part { is_logged: self.is_logged, effects: self.effects.len() };
        self.is_logged &= replication.file || replication.replicas;
        part
    }

    /// It has ended.
    pub(in crate::command) fn end_part(&mut self, part: Part, replication: Replication) {
        self.is_logged = part.is_logged;
        let audience = match (replication.file, replication.replicas) {
            (true, false) => Audience::File,
            (false, true) => Audience::Replicas,
            // If it is nobody's, nothing was logged.
            (true, true) | (false, false) => return,
        };
        self.effects.restrict(part.effects, audience);
    }
}
