//! Commands that wait: how a client gets into the queues of its keys, how it is served, and how its wait ends.
//!
//! A wait changes hands only while the shards of its keys are locked, so that it is served once or ends, never both.

use super::call::Mode;
use super::dispatch;
use super::keys::Keys;
use super::spec::CommandSpec;
use crate::client::{BlockedCommand, Client, ClientFlags, Message, Session};
use crate::resp::{Args, CommandResult, ErrorReply, OwnedRequest, Protocol, Reply};
use crate::state::State;
use crate::store::{Locked, ShardSet, TicketState, Waiter};
use crate::value::Type;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a command that found nothing waits for.
pub struct Wait {
    /// The keys, in the order in which they are looked at.
    pub keys: Vec<Box<[u8]>>,
    /// When the wait ends, in milliseconds of Unix time; `None`: never.
    pub deadline_ms: Option<i64>,
    /// The key that is fed when the wait is served (`BLMOVE`'s destination).
    pub feeds: Option<Box<[u8]>>,
    /// The type of value that serves the wait; a key of another type does not wake the client.
    pub wanted: Type,
    /// In a transaction, which must not wait, the answer is a null value rather than a null array.
    pub refused_with_value: bool,
}

impl Wait {
    /// What the client gets if it must not wait.
    pub fn write_refusal(&self, reply: &mut Reply) -> CommandResult {
        if self.refused_with_value { reply.null() } else { reply.null_array() }
    }
}

/// How a waiting client is served: its command is run again, and the reply goes to its mailbox.
struct Service {
    client: Arc<Client>,
    spec: &'static CommandSpec,
    request: OwnedRequest,
    protocol: Protocol,
    wanted: Type,
    /// The reply when the wait ends without being served.
    timeout_reply: Vec<u8>,
}

/// Puts the client into the queues of its keys, whose shards are locked.
pub(super) fn begin(
    state: &State,
    session: &mut Session,
    keys: &mut Keys<'_>,
    spec: &'static CommandSpec,
    args: Args<'_>,
    wait: Wait,
) {
    let shards = dispatch::request_shards(state, spec, args);
    let mut timeout_reply = Reply::new(session.protocol);
    let written = timeout_reply.null_array();
    debug_assert!(written.is_ok());
    let service = Service {
        client: Arc::clone(&session.client),
        spec,
        request: args.to_owned(),
        protocol: session.protocol,
        wanted: wait.wanted,
        timeout_reply: timeout_reply.as_bytes().to_vec(),
    };
    let waiter = Arc::new(Waiter::new(session.database, wait.keys.into(), shards, wait.feeds, Box::new(service)));
    for_each_key(keys.locked(), &waiter, |locked, key| {
        let hashed = locked.keyspace().key(key);
        locked.shard_of(hashed).waiters.add(key, &waiter);
    });
    *session.client.waiter.lock() = Some(Arc::clone(&waiter));
    session.client.set(ClientFlags::BLOCKED, true);
    state.blocked_clients.fetch_add(1, Ordering::Relaxed);
    session.blocked =
        Some(Box::new(BlockedCommand { waiter, deadline_ms: wait.deadline_ms, timeout_reply: timeout_reply.take() }));
}

/// Every key of a wait once, however often the client named it.
fn for_each_key(locked: &mut Locked<'_>, waiter: &Waiter, mut each: impl FnMut(&mut Locked<'_>, &[u8])) {
    let keys = waiter.keys();
    for (index, key) in keys.iter().enumerate() {
        if !keys[..index].contains(key) {
            each(locked, key);
        }
    }
}

/// Takes a wait out of all its queues; its shards are locked.
fn remove(locked: &mut Locked<'_>, waiter: &Arc<Waiter>) {
    for_each_key(locked, waiter, |locked, key| {
        let hashed = locked.keyspace().key(key);
        locked.shard_of(hashed).waiters.remove(key, waiter);
    });
}

/// The shards that must be held to serve everybody who waits for a key in the shards that are held. May name too many.
pub(super) fn closure(locked: &mut Locked<'_>) -> ShardSet {
    let mut wanted = ShardSet::EMPTY;
    for (_, shard) in locked.shards() {
        wanted = wanted.union(shard.waiters.shards());
    }
    wanted
}

/// Serves the clients that wait for keys that got elements, first come first, and those whom that feeds in turn.
pub(super) fn serve_ready<'k>(state: &'k State, keys: &mut Keys<'k>) {
    while let Some((database, key)) = keys.ready.pop_front() {
        let hashed = state.keyspace.key(&key);
        let waiters: Vec<Arc<Waiter>> = keys
            .locked()
            .shard_of(hashed)
            .waiters
            .queue(database, &key)
            .map_or_else(Vec::new, |queue| queue.waiters().cloned().collect());
        let outer = keys.set_database(database);
        for waiter in waiters {
            let Some(found) = keys.peek(&key) else { break };
            let present = keys.type_of(found);
            serve(state, keys, &waiter, present);
        }
        keys.set_database(outer);
    }
}

/// Serves a client that waits for a key which has a value of type `present` now, if that is what it waits for.
fn serve<'k>(state: &'k State, keys: &mut Keys<'k>, waiter: &Arc<Waiter>, present: Type) {
    let Some(service) = waiter.action().downcast_ref::<Service>() else { return };
    if service.wanted != present || !waiter.is_waiting() || service.client.is_killed() {
        return;
    }
    let mut session = Session::new(Arc::clone(&service.client), true);
    session.database = waiter.database();
    session.protocol = service.protocol;
    let mut reply = Reply::new(service.protocol);
    let args = service.request.args();
    let (_, still_waits) = dispatch::call(state, &mut session, service.spec, args, keys, &mut reply, Mode::Serving);
    if still_waits.is_some() {
        return;
    }
    let claimed = waiter.claim(TicketState::Served);
    debug_assert!(claimed, "waits end only while their shards are locked");
    remove(keys.locked(), waiter);
    state.blocked_clients.fetch_sub(1, Ordering::Relaxed);
    service.client.mailbox.post(Message::Unblocked(reply.take()));
}

/// Notes on the client's own side that its wait was served.
pub fn end_wait(session: &mut Session) {
    session.blocked = None;
    session.client.set(ClientFlags::BLOCKED, false);
    *session.client.waiter.lock() = None;
}

/// Ends a wait, unless it was served before.
fn end(state: &State, waiter: &Arc<Waiter>) -> bool {
    end_locked(state, &mut state.keyspace.lock(waiter.shards()), waiter)
}

/// Ends a wait whose shards are locked, unless it was served before.
fn end_locked(state: &State, locked: &mut Locked<'_>, waiter: &Arc<Waiter>) -> bool {
    if !waiter.claim(TicketState::Ended) {
        return false;
    }
    remove(locked, waiter);
    state.blocked_clients.fetch_sub(1, Ordering::Relaxed);
    true
}

/// The client's time is over. Returns the reply to give, unless its wait was served meanwhile: then that reply is in its
/// mailbox.
pub fn time_out(state: &State, session: &mut Session) -> Option<Vec<u8>> {
    let blocked = session.blocked.as_mut()?;
    let reply = std::mem::take(&mut blocked.timeout_reply);
    let waiter = Arc::clone(&blocked.waiter);
    if !end(state, &waiter) {
        return None;
    }
    end_wait(session);
    Some(reply)
}

/// A client is held back by a pause, which counts as being blocked, or no longer is.
pub fn count_postponed(state: &State, session: &Session, is_postponed: bool) {
    session.client.set(ClientFlags::BLOCKED, is_postponed);
    if is_postponed {
        state.blocked_clients.fetch_add(1, Ordering::Relaxed);
    } else {
        state.blocked_clients.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The client leaves while it may be waiting.
pub(super) fn abandon(state: &State, session: &mut Session) {
    if let Some(blocked) = session.blocked.take() {
        end(state, &blocked.waiter);
    }
}

/// `CLIENT UNBLOCK`: ends the wait of another client, with its timeout reply or with an error. All shards are locked.
/// Returns whether there was one.
pub fn unblock(state: &State, locked: &mut Locked<'_>, client: &Client, with_error: bool) -> bool {
    let Some(waiter) = client.waiter.lock().clone() else { return false };
    let Some(service) = waiter.action().downcast_ref::<Service>() else { return false };
    if !end_locked(state, locked, &waiter) {
        return false;
    }
    let reply = if with_error {
        let mut reply = Reply::new(service.protocol);
        dispatch::write_error(state, &ErrorReply::fixed("UNBLOCKED client unblocked via CLIENT UNBLOCK"), &mut reply);
        state.stats.failed(service.spec.id);
        reply.take()
    } else {
        service.timeout_reply.clone()
    };
    client.mailbox.post(Message::Unblocked(reply));
    true
}
