//! Running one command behind locks that are held already: its handler, and the books that are kept on it. What stands
//! above decides which command, takes the locks, and does what follows (`dispatch`, `transaction`, `blocking`).

use super::call::{Call, Mode, Unanswered};
use super::handlers::handler;
use super::keys::Keys;
use super::{limits, monitor, tracking};
use crate::client::{Client, ClientFlags, Session};
use crate::config::Directive;
use crate::resp::{Args, CommandResult, ErrorReply, Reply, command_len};
use crate::spec::{CommandSpec, KeyFlags, Locks, keys as key_specs};
use crate::state::State;
use crate::stats::Figure;
use crate::store::ShardSet;
use smallvec::SmallVec;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Errors of different kinds that are counted; a client that makes up more ends the counting.
const ERROR_KINDS_MAX: usize = 128;

/// The shards that a request needs while others run under the same locks: those of the keys that it names, or all if it
/// may read any. A request whose keys cannot be told touches none: its handler refuses it.
pub(super) fn request_shards(state: &State, spec: &CommandSpec, args: Args<'_>) -> ShardSet {
    if matches!(spec.locks, Locks::All | Locks::Parts | Locks::Script) || key_specs::has_patterns(spec, args) {
        return state.keyspace.all_shards();
    }
    key_shards(state, spec, args)
}

/// The shards of the keys that a request names; none, if these cannot be told.
pub(super) fn key_shards(state: &State, spec: &CommandSpec, args: Args<'_>) -> ShardSet {
    let mut found = SmallVec::new();
    let mut set = ShardSet::EMPTY;
    if key_specs::keys(spec, args, &mut found).is_ok() {
        for key in &found {
            set.insert(state.keyspace.shard_of(state.keyspace.key(args.at(key.index as usize))));
        }
    }
    set
}

/// How a call went.
pub(super) struct Run {
    /// When it began and ended, by the fine clock.
    pub begun: u64,
    pub ended: u64,
    pub failed: bool,
    pub reply_bytes: usize,
}

/// Keeps the books on a call: monitors, statistics, the logs of slow and large commands.
#[inline]
pub(super) fn note(state: &State, session: &Session, spec: &'static CommandSpec, args: Args<'_>, run: &Run) {
    feed_monitors(state, session, spec, args);
    note_end(state, session, spec, args, run);
}

/// The same without monitors, which see a command that waits when it comes.
#[inline]
pub(super) fn note_end(state: &State, session: &Session, spec: &'static CommandSpec, args: Args<'_>, run: &Run) {
    let nanoseconds = crate::access::nanoseconds_between(run.begun, run.ended);
    count(state, &session.client, spec, nanoseconds, run.failed);
    if nanoseconds / 1000 >= limits::slow_threshold_us(state) {
        limits::note_slow(state, session, spec, args, nanoseconds / 1000);
    }
    limits::note_large(state, session, spec, args, run.reply_bytes);
    if state.hot_keys.is_on() {
        note_keys(state, spec, args, nanoseconds, run.reply_bytes);
    }
}

/// Notes what the keys of a call have cost.
#[cold]
fn note_keys(state: &State, spec: &CommandSpec, args: Args<'_>, nanoseconds: u64, reply_bytes: usize) {
    let mut found = SmallVec::new();
    if key_specs::keys(spec, args, &mut found).is_ok() && !found.is_empty() {
        let keys = found.iter().map(|key| args.at(key.index as usize));
        state.hot_keys.note(keys, Duration::from_nanos(nanoseconds), command_len(args) + reply_bytes);
    }
}

/// Counts a call.
#[inline]
pub(super) fn count(state: &State, client: &Client, spec: &CommandSpec, nanoseconds: u64, failed: bool) {
    // Only one thread at a time runs commands of a client.
    client.commands.store(client.commands.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    state.stats.called(spec.id, nanoseconds, failed, state.settings.flag(Directive::LatencyTracking));
}

#[inline]
pub(super) fn feed_monitors(state: &State, session: &Session, spec: &'static CommandSpec, args: Args<'_>) {
    if !state.monitors.is_empty() {
        monitor::feed(state, session, spec, args);
    }
}

/// Calls a handler and writes its error, if that is its answer. Returns whether it failed, and what is to be done before it can be
/// answered.
#[inline]
pub(super) fn call<'k>(
    state: &'k State,
    session: &mut Session,
    spec: &'static CommandSpec,
    args: Args<'_>,
    keys: &mut Keys<'k>,
    reply: &mut Reply,
    mode: Mode,
) -> (bool, Option<Unanswered>) {
    let begin = reply.len();
    let Some(handler) = handler(spec) else { unreachable!("containers without handler are refused before") };
    let (changes, database) = (keys.changes(), keys.database());
    keys.begin_request();
    keys.set_client(session.client.id);
    let mut call = Call { state, spec, session, args, keys, reply, mode, unanswered: None, has_failed: false };
    let result: CommandResult = handler(&mut call);
    let (unanswered, has_failed) = (call.unanswered.take(), call.has_failed);
    keys.settle(spec.name);
    if session.client.has(ClientFlags::TRACKING) {
        tracking::note_read(&session.client, spec, args, keys);
    }
    if keys.is_logged() && keys.changes() > changes {
        match mode {
            Mode::Transaction => keys.log_request(database, args),
            Mode::Direct | Mode::Serving => keys.log_single_request(database, args),
        }
    }
    if keys.is_follower() && keys.changes() > changes {
        remember_own_keys(state, spec, args, keys);
    }
    match result {
        Ok(()) => (has_failed, unanswered),
        Err(error) => {
            reply.truncate(begin);
            write_error(state, &error, reply);
            (true, None)
        }
    }
}

/// Remembers the keys with deadlines that a client of a writable replica has changed: no primary says when they are over.
#[cold]
fn remember_own_keys(state: &State, spec: &CommandSpec, args: Args<'_>, keys: &mut Keys<'_>) {
    let mut found = SmallVec::new();
    if key_specs::keys(spec, args, &mut found).is_err() {
        return;
    }
    for key in found.iter().filter(|key| !key.flags.contains(KeyFlags::RO)) {
        let key = args.at(key.index as usize);
        if keys.has_deadline(key) {
            state.replication.own_keys.lock().insert((keys.database(), key.into()));
        }
    }
}

/// Writes an error reply and counts it.
pub fn write_error(state: &State, error: &ErrorReply, reply: &mut Reply) {
    count_error(state, error);
    let written = reply.error(error);
    debug_assert!(written.is_ok());
}

/// Counts an error reply by its code (`INFO errorstats`).
pub(super) fn count_error(state: &State, error: &ErrorReply) {
    state.stats.add(Figure::ErrorReplies, 1);
    let mut counts = state.error_counts.lock();
    if let Some(count) = counts.get_mut(error.code()) {
        *count += 1;
    } else if counts.len() < ERROR_KINDS_MAX {
        counts.insert(error.code().to_vec(), 1);
    }
}
