//! `PREFIX DEL`: keys are deleted a few at a time, and between two steps nothing is locked and the other clients of the thread
//! have their turn. To whoever watches, listens, keeps copies or follows, each step is a `DEL` of its keys.

use crate::acl::Denial;
use crate::client::Client;
use crate::command::call::{Call, Unanswered};
use crate::command::keys::Keys;
use crate::command::{acl, blocking, dispatch};
use crate::resp::{CommandResult, ErrorReply};
use crate::state::State;
use crate::store::Waiter;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Keys that a step looks at, about.
const KEYS_PER_STEP: usize = 64;
/// How long a step waits for a pause, or a script that is past its limit, before it tries again.
const PATIENCE: Duration = Duration::from_millis(5);

const EMPTY: ErrorReply = ErrorReply::fixed("ERR prefix must not be empty, use FLUSHDB to delete all keys");
const NEW_ROLE: ErrorReply =
    ErrorReply::fixed("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)");

/// `PREFIX DEL prefix`: how many keys were deleted. All that are there when it begins are, unless the client leaves before the
/// answer.
pub fn prefix_del(call: &mut Call) -> CommandResult {
    let prefix = call.arg(2);
    if prefix.is_empty() {
        return Err(EMPTY);
    }
    if !call.session.may_delete_all(call.spec, call.args, prefix) {
        let request = (call.spec, call.args);
        return Err(acl::denied(call.state, call.session, request, Denial::Key(2), acl::Occasion::Request));
    }
    call.unanswered = Some(Unanswered::Deletes(Box::new(Doomed {
        database: call.keys.database(),
        prefix: prefix.into(),
        is_follower: call.keys.is_follower(),
        client: Arc::clone(&call.session.client),
    })));
    Ok(())
}

/// Keys that are to be deleted.
pub struct Doomed {
    database: usize,
    prefix: Box<[u8]>,
    /// Whether the server was a replica when the command came.
    is_follower: bool,
    client: Arc<Client>,
}

/// A deletion under way, and the client that waits for it.
pub struct Deletion {
    doomed: Box<Doomed>,
    waiter: Arc<Waiter>,
    begun: u64,
    /// Where it goes on: a shard, and a cursor of its tree.
    shard: usize,
    cursor: u64,
    deleted: usize,
    error: Option<ErrorReply>,
}

/// What follows a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next step, once others have had their turn.
    Step,
    /// The same step again, after so long.
    Again(Duration),
    /// Nothing.
    End,
}

impl Deletion {
    pub(in crate::command) fn new(doomed: Box<Doomed>, waiter: Arc<Waiter>, begun: u64) -> Self {
        Deletion { doomed, waiter, begun, shard: 0, cursor: 0, deleted: 0, error: None }
    }

    /// Deletes some of the keys. The caller must hold no locks.
    pub fn step(&mut self, state: &State) -> Next {
        self.error = self.hindrance(state);
        if self.error.is_some() || !self.waiter.is_waiting() {
            return Next::End;
        }
        state.append_file.hold_back(state);
        let Some((names, cursor)) = self.find(state) else { return Next::Again(PATIENCE) };
        if !names.is_empty() && !self.delete(state, &names) {
            return Next::Again(PATIENCE);
        }
        self.cursor = cursor;
        if cursor == 0 {
            self.shard += 1;
        }
        if self.shard == state.keyspace.shard_count() { Next::End } else { Next::Step }
    }

    /// Why it cannot go on.
    fn hindrance(&self, state: &State) -> Option<ErrorReply> {
        if state.replication.is_replica() != self.doomed.is_follower {
            Some(NEW_ROLE)
        } else {
            dispatch::disk_error(state)
        }
    }

    /// The names of the next keys, and the cursor behind them. `None` if the shard cannot be had now.
    fn find(&self, state: &State) -> Option<(Vec<Box<[u8]>>, u64)> {
        let mut names: Vec<Box<[u8]>> = Vec::new();
        let guard = state.keyspace.try_lock_one(self.shard)?;
        let tree = &guard.databases[self.doomed.database];
        let cursor = tree.scan(self.cursor, KEYS_PER_STEP, &self.doomed.prefix, |entry| names.push(entry.key.into()));
        Some((names, cursor))
    }

    /// Deletes keys as far as they are still there. False if nothing may be changed now; then nothing is.
    fn delete(&mut self, state: &State, names: &[Box<[u8]>]) -> bool {
        let (client, is_follower) = (&self.doomed.client, self.doomed.is_follower);
        let names = || names.iter().map(|name| &**name);
        let (mut deleted, mut is_done, mut invalidated) = (0, false, Vec::new());
        let gives_up = || state.scripts.running.is_busy();
        let is_locked = blocking::try_change_keys(state, self.doomed.database, names(), gives_up, |keys| {
            // Behind the locks: whoever begins a pause, or changes the role, holds all of them.
            let must_wait =
                state.pause.is_on() || state.migrations.is_any() && state.migrations.holds_back(client, names());
            is_done = !must_wait && keys.is_follower() == is_follower;
            if is_done {
                keys.set_client(client.id);
                deleted = delete_each(keys, names());
                invalidated = keys.take_invalidated();
            }
        });
        self.deleted += deleted;
        if deleted > 0 {
            client.written.store(state.log.end(), Ordering::Relaxed);
        }
        state.tracking.tell(&state.clients, client, invalidated);
        if state.departed.is_any() && !state.scripts.running.is_busy() {
            blocking::serve_departed(state);
        }
        is_locked && is_done
    }

    /// Answers the client. The caller must hold no locks.
    pub fn end(self, state: &State) {
        let Deletion { waiter, begun, deleted, error, .. } = self;
        blocking::answer(state, &waiter, begun, |reply| match error {
            Some(error) => Err(error),
            None => reply.count(deleted),
        });
    }
}

/// Deletes keys, and logs that. Returns how many there were.
fn delete_each<'n>(keys: &mut Keys<'_>, names: impl Iterator<Item = &'n [u8]>) -> usize {
    let mut words = vec![&b"DEL"[..]];
    for name in names {
        if let Some(found) = keys.peek(name) {
            keys.delete(found, name);
            words.push(name);
        }
    }
    if words.len() > 1 {
        keys.log_also(&words);
    }
    words.len() - 1
}
