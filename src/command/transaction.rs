//! Transactions: commands queued by `MULTI` and run together by `EXEC`, unless a watched key changed.

use super::acl::{self, Occasion};
use super::call::{Call, Mode};
use super::run::{self, Run};
use crate::client::{ClientFlags, Session, Transaction};
use crate::resp::{Args, CommandResult, ErrorReply, OwnedRequest, Reply};
use crate::spec::CommandSpec;
use crate::state::State;
use crate::store::{Locked, ShardSet, Watcher};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// `MULTI`
pub fn multi(call: &mut Call) -> CommandResult {
    if call.session.transaction.is_some() {
        return Err(ErrorReply::fixed("ERR MULTI calls can not be nested"));
    }
    call.session.transaction = Some(Box::default());
    call.session.client.set(ClientFlags::MULTI, true);
    call.session.client.queued.store(0, Ordering::Relaxed);
    call.reply.ok()
}

/// Keeps a command for `EXEC`.
pub(super) fn queue(
    session: &mut Session,
    spec: &'static CommandSpec,
    args: Args<'_>,
    reply: &mut Reply,
) -> CommandResult {
    // What will not run need not be kept.
    if session.client.is_touched() {
        forget_queued(session);
    } else if let Some(transaction) = session.transaction.as_mut().filter(|transaction| !transaction.is_broken) {
        let request = args.to_owned();
        transaction.bytes += request.memory() + size_of::<(&CommandSpec, OwnedRequest)>();
        transaction.commands.push((spec, request));
        session.client.queued.store(transaction.commands.len() as i64, Ordering::Relaxed);
        session.client.queued_bytes.store(transaction.bytes, Ordering::Relaxed);
    }
    reply.simple("QUEUED")
}

/// Notes that a command of a transaction was refused: it will not run, and what is kept of it is of no use.
pub(super) fn spoil(session: &mut Session) {
    if let Some(transaction) = &mut session.transaction {
        transaction.is_broken = true;
        forget_queued(session);
    }
}

/// Frees what was kept for `EXEC`.
fn forget_queued(session: &mut Session) {
    if let Some(transaction) = &mut session.transaction {
        (transaction.commands, transaction.bytes) = (Vec::new(), 0);
        session.client.queued.store(0, Ordering::Relaxed);
        session.client.queued_bytes.store(0, Ordering::Relaxed);
    }
}

/// Ends the transaction of a client that holds no locks, and its watching.
pub(super) fn abandon(state: &State, session: &mut Session) {
    unwatch_all(state, session);
    end(session);
}

/// Ends the client's transaction and its watching; the shards of what it watches are held.
pub(super) fn abandon_held(call: &mut Call) {
    forget_watched(call.session, call.keys.locked());
    end(call.session);
}

fn end(session: &mut Session) {
    session.transaction = None;
    session.client.set(ClientFlags::MULTI, false);
    session.client.queued.store(-1, Ordering::Relaxed);
    session.client.queued_bytes.store(0, Ordering::Relaxed);
}

/// `DISCARD`
pub fn discard(call: &mut Call) -> CommandResult {
    if call.session.transaction.is_none() {
        return Err(ErrorReply::fixed("ERR DISCARD without MULTI"));
    }
    abandon_held(call);
    call.reply.ok()
}

/// The shards that `EXEC` needs: those of all queued commands and of all watched keys.
pub(super) fn shards(state: &State, session: &Session) -> ShardSet {
    let mut set = watched_shards(state, session);
    for (spec, request) in session.transaction.iter().flat_map(|transaction| &transaction.commands) {
        set = set.union(run::request_shards(state, spec, request.args()));
    }
    set
}

/// The shards of all watched keys.
pub(super) fn watched_shards(state: &State, session: &Session) -> ShardSet {
    let mut set = ShardSet::EMPTY;
    for (_, key) in &session.watched {
        set.insert(state.keyspace.shard_of(state.keyspace.key(key)));
    }
    set
}

/// `EXEC`: the dispatcher holds the shards of all queued commands and of all watched keys.
pub fn exec(call: &mut Call) -> CommandResult {
    if call.session.transaction.is_none() {
        return Err(ErrorReply::fixed("ERR EXEC without MULTI"));
    }
    let is_dirty = watched_changed(call);
    forget_watched(call.session, call.keys.locked());
    let Some(transaction) = call.session.transaction.take() else { return call.reply.null_array() };
    // Until then the client counts as being in a transaction.
    let result = run(call, &transaction, is_dirty);
    end(call.session);
    // Its commands have said what they did.
    call.keys.restate();
    result
}

fn run(call: &mut Call, transaction: &Transaction, is_dirty: bool) -> CommandResult {
    if transaction.is_broken {
        return Err(ErrorReply::fixed("EXECABORT Transaction discarded because of previous errors."));
    }
    if is_dirty {
        return call.reply.null_array();
    }
    let outer = call.keys.database();
    call.reply.array(transaction.commands.len())?;
    for (spec, request) in &transaction.commands {
        let started = crate::access::ticks();
        call.keys.set_database(call.session.database);
        let begin = call.reply.len();
        let args = request.args();
        if let Err(denial) = call.session.check(spec, args) {
            let error = acl::denied(call.state, call.session, (*spec, args), denial, Occasion::Exec);
            run::write_error(call.state, &error, call.reply);
            continue;
        }
        let (failed, _) = run::call(call.state, call.session, spec, args, call.keys, call.reply, Mode::Transaction);
        let how = Run { begun: started, ended: crate::access::ticks(), failed, reply_bytes: call.reply.len() - begin };
        run::note(call.state, call.session, spec, args, &how);
    }
    call.keys.set_database(outer);
    Ok(())
}

/// Whether a watched key was changed, or is gone because its time is over.
fn watched_changed(call: &mut Call) -> bool {
    let watched = std::mem::take(&mut call.session.watched);
    let outer = call.keys.database();
    // Looking a key up removes it if its time is over, and that raises the flag.
    for (database, key) in &watched {
        call.keys.set_database(*database);
        call.keys.peek(key);
    }
    call.keys.set_database(outer);
    call.session.watched = watched;
    call.session.client.is_touched()
}

/// A request that is about to run, and if a transaction is open, which it may end with `EXEC`, all that is queued in it.
pub(super) fn requests<'a>(
    session: &'a Session,
    spec: &'a CommandSpec,
    args: Args<'a>,
) -> impl Iterator<Item = (&'a CommandSpec, Args<'a>)> {
    let queued = session.transaction.iter().flat_map(|transaction| &transaction.commands);
    queued.map(|(spec, request)| (*spec, request.args())).chain([(spec, args)])
}

/// Stops watching; the shards are held.
fn forget_watched(session: &mut Session, locked: &mut Locked<'_>) {
    if session.watched.is_empty() {
        return;
    }
    let client = &session.client;
    for (database, key) in std::mem::take(&mut session.watched) {
        client.remove_name(&key);
        let hashed = locked.keyspace().key(&key);
        locked.shard_of(hashed).watched.remove(database, &key, &**client);
    }
    client.watched.store(0, Ordering::Relaxed);
    client.set(ClientFlags::DIRTY_CAS, false);
}

/// Stops watching, for a client that holds no locks.
pub(super) fn unwatch_all(state: &State, session: &mut Session) {
    let mut locked = state.keyspace.lock(watched_shards(state, session));
    forget_watched(session, &mut locked);
}

/// `WATCH key [key ...]`
pub fn watch(call: &mut Call) -> CommandResult {
    if call.session.transaction.is_some() {
        return Err(ErrorReply::fixed("ERR WATCH inside MULTI is not allowed"));
    }
    // Once a key has changed, no other can make a difference.
    if call.session.client.is_touched() {
        return call.reply.ok();
    }
    let database = call.session.database;
    for key in call.args.from(1).iter() {
        if !call.session.watched.insert((database, key.into())) {
            continue;
        }
        call.session.client.add_name(key);
        // A key that is over already must not count as changed when it is removed.
        call.keys.peek(key);
        let hashed = call.state.keyspace.key(key);
        call.keys.locked().shard_of(hashed).watched.add(database, key, Arc::clone(&call.session.client) as _);
    }
    call.session.client.watched.store(call.session.watched.len(), Ordering::Relaxed);
    call.reply.ok()
}

/// `UNWATCH`
pub fn unwatch(call: &mut Call) -> CommandResult {
    // Nothing is watched any more when the commands of a transaction run.
    if call.mode == Mode::Direct {
        forget_watched(call.session, call.keys.locked());
    }
    call.reply.ok()
}
