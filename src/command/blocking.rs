//! Commands that wait: how a client gets into the queues of its keys, how it is served, and how its wait ends.
//!
//! A wait changes hands only while the shards of its keys are locked, so that it is served once or ends, never both.

use super::call::{Acknowledgement, Mode, Wait};
use super::keys::Keys;
use super::prepare::Foreknown;
use super::run::{self, Run};
use super::transaction;
use crate::client::{BlockedCommand, Client, ClientFlags, Identity, Message, ReplyMode, Session};
use crate::resp::{Args, CommandResult, ErrorReply, OwnedRequest, Reply};
use crate::spec::{CommandFlags, CommandSpec, KeyFlags, keys as key_specs};
use crate::state::{State, unix_time_ms};
use crate::stats::Figure;
use crate::store::{Locked, ShardSet, TicketState, WaitQueue, Waiter, Wanted};
use crate::value::Type;
use smallvec::SmallVec;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How a waiting client is served: its command is run again, and the reply goes to its mailbox.
struct Service {
    identity: Identity,
    spec: &'static CommandSpec,
    request: OwnedRequest,
    /// The reply when the wait ends without being served.
    timeout_reply: Vec<u8>,
    /// It waits for replicas, and is told how many there are, whichever way it ends.
    acknowledgement: Option<Acknowledgement>,
}

impl Service {
    /// The reply when the wait ends without being served.
    fn reply_at_end(&self, state: &State) -> Vec<u8> {
        let Some(wanted) = self.acknowledgement else { return self.timeout_reply.clone() };
        let mut reply = Reply::new(self.identity.protocol);
        let written = wanted.write(state, &mut reply);
        debug_assert!(written.is_ok());
        reply.take()
    }

    /// Sends the client what its wait ended with; but the news that it ended, if it wants no reply.
    fn post(&self, reply: Vec<u8>) {
        let is_wanted = self.identity.reply_mode == ReplyMode::On;
        self.identity.client.mailbox.post(Message::Unblocked(if is_wanted { reply } else { Vec::new() }));
    }
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
    let mut timeout_reply = Reply::new(session.protocol);
    let written = timeout_reply.null_array();
    debug_assert!(written.is_ok());
    let request = wait.request.unwrap_or_else(|| args.to_owned());
    let service = Service {
        identity: session.identity(),
        spec,
        request,
        timeout_reply: timeout_reply.take(),
        acknowledgement: wait.acknowledgement,
    };
    let wanted = Wanted {
        database: session.database,
        keys: wait.keys.into(),
        value: wait.wanted,
        needs_keys: wait.needs_keys,
        shards: run::request_shards(state, spec, args),
        feeds: wait.feeds,
    };
    let waiter = Arc::new(Waiter::new(state.keyspace.next_wait(), wanted, Box::new(service)));
    for key in waiter.keys() {
        let hashed = state.keyspace.key(key);
        keys.locked().shard_of(hashed).waiters.add(key, &waiter);
    }
    if wait.acknowledgement.is_some() {
        state.replication.waits.lock().push(Arc::clone(&waiter));
        state.replication.has_waits.store(true, Ordering::Release);
    }
    *session.client.waiter.lock() = Some(Arc::clone(&waiter));
    block(state, session, BlockedCommand { waiter, deadline_ms: wait.deadline_ms });
}

fn block(state: &State, session: &mut Session, blocked: BlockedCommand) {
    session.client.set(ClientFlags::BLOCKED, true);
    state.blocked_clients.fetch_add(1, Ordering::Relaxed);
    session.blocked = Some(blocked);
}

/// Has the client wait for the answer to a command that no key can give ([`answer`]), and nobody else end that wait.
pub(super) fn begin_elsewhere(
    state: &State,
    session: &mut Session,
    spec: &'static CommandSpec,
    args: Args<'_>,
) -> Arc<Waiter> {
    let (identity, request) = (session.identity(), args.to_owned());
    let service = Service { identity, spec, request, timeout_reply: Vec::new(), acknowledgement: None };
    let wanted = Wanted {
        database: session.database,
        keys: Box::default(),
        value: Type::String,
        needs_keys: false,
        shards: ShardSet::EMPTY,
        feeds: None,
    };
    let waiter = Arc::new(Waiter::new(state.keyspace.next_wait(), wanted, Box::new(service)));
    block(state, session, BlockedCommand { waiter: Arc::clone(&waiter), deadline_ms: None });
    waiter
}

/// Gives a client the answer to its command, which began when the fine clock was `begun`. The caller must hold no locks.
pub(super) fn answer(state: &State, waiter: &Waiter, begun: u64, write: impl FnOnce(&mut Reply) -> CommandResult) {
    let Some(service) = waiter.action().downcast_ref::<Service>() else { return };
    if !waiter.claim(TicketState::Served) {
        // It has left.
        return;
    }
    remove(state, &mut state.keyspace.lock(ShardSet::EMPTY), waiter);
    let session = Session::new(service.identity.clone());
    let mut reply = Reply::new(session.protocol);
    let result = write(&mut reply);
    if let Err(error) = &result {
        run::write_error(state, error, &mut reply);
    }
    let how = Run { begun, ended: crate::access::ticks(), failed: result.is_err(), reply_bytes: reply.len() };
    run::note_end(state, &session, service.spec, service.request.args(), &how);
    service.post(reply.take());
}

/// A client that gets an answer to its command later, which no key can give.
pub struct DeferredAnswer {
    waiter: Arc<Waiter>,
    /// When its command began, by the fine clock.
    begun: u64,
}

impl DeferredAnswer {
    pub(super) fn new(waiter: Arc<Waiter>, begun: u64) -> Self {
        DeferredAnswer { waiter, begun }
    }

    /// Answers with an error. The caller must hold no locks.
    pub fn fail(&self, state: &State, error: ErrorReply) {
        answer(state, &self.waiter, self.begun, |_| Err(error));
    }
}

/// Takes a wait that is over out of all its queues, and its client off those who are blocked; its shards are locked.
fn remove(state: &State, locked: &mut Locked<'_>, waiter: &Waiter) {
    state.blocked_clients.fetch_sub(1, Ordering::Relaxed);
    if let Some(service) = waiter.action().downcast_ref::<Service>() {
        let client = &service.identity.client;
        // Only from now on can it be idle.
        client.last_active_ms.store(unix_time_ms(), Ordering::Relaxed);
        client.set(ClientFlags::BLOCKED, false);
    }
    for key in waiter.keys() {
        let hashed = locked.keyspace().key(key);
        locked.shard_of(hashed).waiters.remove(key, waiter);
    }
}

/// The shards that a request needs beside those of its keys, all of which are in `locked`: those for serving everybody who
/// waits for a key that it may give elements to, and everybody whom that feeds in turn. May name too many.
pub(super) fn closure(
    state: &State,
    session: &Session,
    spec: &CommandSpec,
    args: Args<'_>,
    locked: &Locked<'_>,
) -> ShardSet {
    let wanted = locked.set();
    // Whoever waits for a key was counted while its shard was held.
    if state.blocked_clients.load(Ordering::Relaxed) == 0 {
        return wanted;
    }
    let is_awaited = |shard| locked.get(shard).is_some_and(|shard| !shard.waiters.is_empty());
    if spec.has(CommandFlags::READONLY) || wanted == state.keyspace.all_shards() || !wanted.iter().any(is_awaited) {
        return wanted;
    }
    let requests = transaction::requests(session, spec, args);
    let mut seen: HashSet<&[u8]> = HashSet::new();
    let mut fed: Vec<&[u8]> = Vec::new();
    for (spec, args) in requests.filter(|(spec, _)| !spec.has(CommandFlags::READONLY)) {
        for_each_changed_key(spec, args, |key| {
            if queue_of(locked, key).is_some() && seen.insert(key) {
                fed.push(key);
            }
        });
    }
    wanted.union(serving(fed, seen, locked))
}

/// The shards that serving those who wait for any of the keys `fed` needs, and those whom that feeds in turn. `seen` are
/// the keys that need no look any more. May name too many.
fn serving<'a>(fed: Vec<&'a [u8]>, seen: HashSet<&'a [u8]>, locked: &'a Locked<'_>) -> ShardSet {
    let mut wanted = ShardSet::EMPTY;
    for_each_fed(fed, seen, locked, |key, queue| {
        // Who waits for a key in a shard that is not held yet is seen once it is.
        wanted.insert(locked.keyspace().shard_of(locked.keyspace().key(key)));
        wanted = wanted.union(queue.map_or(ShardSet::EMPTY, WaitQueue::shards));
    });
    wanted
}

/// Visits the keys `fed`, and those that get elements when clients are served who wait for them, each with those who wait for
/// it. `seen` are the keys that need no visit any more.
pub(super) fn for_each_fed<'a>(
    mut fed: Vec<&'a [u8]>,
    mut seen: HashSet<&'a [u8]>,
    locked: &'a Locked<'_>,
    mut visit: impl FnMut(&'a [u8], Option<&'a WaitQueue>),
) {
    while let Some(key) = fed.pop() {
        let queue = queue_of(locked, key);
        visit(key, queue);
        fed.extend(queue.into_iter().flat_map(WaitQueue::feeds).filter(|key| seen.insert(key)));
    }
}

/// Those who wait for `key`, if its shard is held.
fn queue_of<'a>(locked: &'a Locked<'_>, key: &[u8]) -> Option<&'a WaitQueue> {
    locked.get(locked.keyspace().shard_of(locked.keyspace().key(key)))?.waiters.queue(key)
}

/// Every key that a request changes, or may.
fn for_each_changed_key<'a>(spec: &CommandSpec, args: Args<'a>, mut each: impl FnMut(&'a [u8])) {
    let mut found = SmallVec::new();
    if key_specs::keys(spec, args, &mut found).is_ok() {
        let changed = found.iter().filter(|key| !key.flags.contains(KeyFlags::RO));
        changed.for_each(|key| each(args.at(key.index as usize)));
    }
}

/// Serves the clients that wait for keys that got elements, first come first, and those whom that feeds in turn.
pub(super) fn serve_ready<'k>(state: &'k State, keys: &mut Keys<'k>) {
    while let Some((database, key)) = keys.next_ready() {
        let hashed = state.keyspace.key(&key);
        let outer = keys.set_database(database);
        let mut latest = 0;
        loop {
            let present = keys.peek(&key).map(|found| keys.type_of(found));
            let queue = keys.locked().shard_of(hashed).waiters.queue(&key);
            let Some(waiter) = queue.and_then(|queue| queue.next(database, present, latest)).cloned() else { break };
            latest = waiter.number();
            serve(state, keys, &waiter);
        }
        keys.set_database(outer);
    }
}

/// Tells those who wait for keys that have gone by themselves meanwhile. The caller must hold no locks.
pub fn serve_departed(state: &State) {
    // Serving one may show that the time of another key is over.
    while let Some((database, key)) = state.departed.next() {
        change_keys(state, database, [&*key].into_iter(), |keys| keys.signal_ready(&key));
    }
}

/// Locks keys of a database for `work`, and then serves those who waited for what it did. The caller must hold no locks.
pub(super) fn change_keys<'a>(
    state: &State,
    database: usize,
    changed: impl Iterator<Item = &'a [u8]>,
    work: impl FnOnce(&mut Keys<'_>),
) {
    try_change_keys(state, database, changed, || false, work);
}

/// The same, unless `gives_up` says, while somebody else holds a lock, that it is not to be waited for. Returns whether the work
/// was done.
pub(super) fn try_change_keys<'a>(
    state: &State,
    database: usize,
    changed: impl Iterator<Item = &'a [u8]>,
    gives_up: impl Fn() -> bool,
    work: impl FnOnce(&mut Keys<'_>),
) -> bool {
    let changed: HashSet<&[u8]> = changed.collect();
    let mut set = ShardSet::EMPTY;
    let locked = loop {
        let Some(locked) = state.keyspace.lock_unless(set, &gives_up) else { return false };
        let wanted = serving(changed.iter().copied().collect(), changed.clone(), &locked);
        if wanted.is_subset(set) {
            break locked;
        }
        set = set.union(wanted);
    };
    let mut keys = Keys::new(locked, state, database, unix_time_ms(), false, Foreknown::nothing());
    work(&mut keys);
    keys.log_effects();
    serve_ready(state, &mut keys);
    state.stats.add(Figure::Changes, keys.changes());
    true
}

/// Serves a client for which there is something now.
fn serve<'k>(state: &'k State, keys: &mut Keys<'k>, waiter: &Waiter) {
    let Some(service) = waiter.action().downcast_ref::<Service>() else { return };
    if !waiter.is_waiting() || service.identity.client.is_killed() {
        return;
    }
    let mut session = Session::new(service.identity.clone());
    let mut reply = Reply::new(session.protocol);
    let args = service.request.args();
    let outer = keys.set_no_touch(session.no_touch);
    let (outer_client, outer_invalidated) = (keys.client(), keys.take_invalidated());
    let begun = crate::access::ticks();
    let (failed, still_waits) = run::call(state, &mut session, service.spec, args, keys, &mut reply, Mode::Serving);
    keys.set_no_touch(outer);
    keys.set_client(outer_client);
    let invalidated = keys.take_invalidated();
    outer_invalidated.into_iter().for_each(|invalid| keys.note_invalid(invalid));
    keys.log_effects();
    if keys.is_logged() {
        service.identity.client.written.store(state.log.end(), Ordering::Relaxed);
    }
    if still_waits.is_some() {
        state.tracking.tell(&state.clients, &session.client, invalidated);
        return;
    }
    let claimed = waiter.claim(TicketState::Served);
    debug_assert!(claimed, "waits end only while their shards are locked");
    remove(state, keys.locked(), waiter);
    run::note_end(
        state,
        &session,
        service.spec,
        args,
        &Run { begun, ended: crate::access::ticks(), failed, reply_bytes: reply.len() },
    );
    service.post(reply.take());
    state.tracking.tell(&state.clients, &session.client, invalidated);
}

/// Notes on the client's own side that its wait was served.
pub fn end_wait(session: &mut Session) {
    session.blocked = None;
    if session.client.has(ClientFlags::TRACKING_CACHING) {
        session.client.set(ClientFlags::TRACKING_CACHING, false);
    }
    *session.client.waiter.lock() = None;
}

/// Ends a wait, unless it was served before.
fn end(state: &State, waiter: &Waiter) -> bool {
    end_locked(state, &mut state.keyspace.lock(waiter.shards()), waiter)
}

/// Ends a wait whose shards are locked, unless it was served before.
fn end_locked(state: &State, locked: &mut Locked<'_>, waiter: &Waiter) -> bool {
    if !waiter.claim(TicketState::Ended) {
        return false;
    }
    remove(state, locked, waiter);
    true
}

/// The client's time is over: the reply goes to its mailbox, unless that of being served is there already.
pub fn time_out(state: &State, session: &mut Session) {
    let Some(blocked) = &mut session.blocked else { return };
    blocked.deadline_ms = None;
    if end(state, &blocked.waiter)
        && let Some(service) = blocked.waiter.action().downcast_ref::<Service>()
    {
        run::count(state, &service.identity.client, service.spec, 0, false);
        service.post(service.reply_at_end(state));
    }
}

/// Serves the clients for which enough replicas have what they wrote.
pub fn serve_acknowledged(state: &State) {
    let mut waits = state.replication.waits.lock();
    waits.retain(|waiter| {
        let Some(service) = waiter.action().downcast_ref::<Service>() else { return false };
        let is_met = service.acknowledgement.is_some_and(|wanted| wanted.is_met(state));
        if waiter.is_waiting() && !is_met {
            return true;
        }
        if waiter.claim(TicketState::Served) {
            remove(state, &mut state.keyspace.lock(ShardSet::EMPTY), waiter);
            run::count(state, &service.identity.client, service.spec, 0, false);
            service.post(service.reply_at_end(state));
        }
        false
    });
    state.replication.has_waits.store(!waits.is_empty(), Ordering::Release);
}

/// Ends all waits since the server is a replica from now on. All shards are locked.
pub(super) fn unblock_all(state: &State, locked: &mut Locked<'_>) {
    for client in state.clients.all() {
        let Some(waiter) = client.waiter.lock().clone() else { continue };
        let Some(service) = waiter.action().downcast_ref::<Service>() else { continue };
        if end_locked(state, locked, &waiter) {
            let mut reply = Reply::new(service.identity.protocol);
            let error = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
            run::write_error(state, &ErrorReply::fixed(error), &mut reply);
            // It has to find out where to wait from now on.
            service.identity.client.set(ClientFlags::CLOSE_AFTER_REPLY, true);
            service.post(reply.take());
        }
    }
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
    if let Some(blocked) = &session.blocked {
        end(state, &blocked.waiter);
        // The client holds its wait, and the wait its client: neither would ever be freed.
        end_wait(session);
    }
}

/// `CLIENT UNBLOCK`: ends the wait of another client, with its timeout reply or with an error.
/// Returns whether there was one.
pub fn unblock(state: &State, keys: &mut Keys<'_>, client: &Client, with_error: bool) -> bool {
    let Some(waiter) = client.waiter.lock().clone() else { return false };
    let Some(service) = waiter.action().downcast_ref::<Service>() else { return false };
    if !keys.hold(waiter.shards(), |keys| end_locked(state, keys.locked(), &waiter)) {
        return false;
    }
    run::count(state, client, service.spec, 0, with_error);
    let reply = if with_error {
        let mut reply = Reply::new(service.identity.protocol);
        run::write_error(state, &ErrorReply::fixed("UNBLOCKED client unblocked via CLIENT UNBLOCK"), &mut reply);
        reply.take()
    } else {
        service.reply_at_end(state)
    };
    service.post(reply);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Endpoint;
    use crate::command::{Batch, execute};
    use crate::config::Settings;
    use crate::resp::Protocol;
    use crate::spec::Table;

    fn request(line: &str) -> OwnedRequest {
        OwnedRequest::new(line.split(' ').map(str::as_bytes).collect::<Vec<_>>().into_iter())
    }

    fn session(state: &State) -> Session {
        let nowhere = Endpoint::Unix("".into());
        let client = Client::new(state.clients.next_id(), nowhere.clone(), nowhere, -1, 0);
        Session::new(Identity::new(Arc::new(client), state.acl.default_account(), true))
    }

    fn run(state: &State, session: &mut Session, line: &str) {
        let request = request(line);
        let mut batch = Batch::default();
        batch.push(state, b"", request.args());
        execute(state, session, request.args(), batch.request(b"", 0), &mut Reply::new(Protocol::Resp2));
    }

    /// The shards of keys.
    fn shards(state: &State, keys: &[&str]) -> ShardSet {
        keys.iter().fold(ShardSet::EMPTY, |mut set, key| {
            set.insert(state.keyspace.shard_of(state.keyspace.key(key.as_bytes())));
            set
        })
    }

    /// The shards that a request takes.
    fn taken(state: &State, session: &Session, line: &str) -> ShardSet {
        let request = request(line);
        let spec = state.table.lookup(request.args().at(0)).unwrap();
        let mut set = run::request_shards(state, spec, request.args());
        loop {
            let wanted = closure(state, session, spec, request.args(), &state.keyspace.lock(set));
            if wanted.is_subset(set) {
                return set;
            }
            set = set.union(wanted);
        }
    }

    #[test]
    fn locks_grow_only_by_those_who_wait_for_the_very_key() {
        let state = State::new(Settings::new(), Table::new(&[]).unwrap(), 16).unwrap();
        let mut waiting: Vec<Session> = (0..4).map(|_| session(&state)).collect();
        let client = session(&state);
        run(&state, &mut waiting[0], "BLPOP q r 0");
        run(&state, &mut waiting[1], "BLMOVE q next LEFT LEFT 0");
        run(&state, &mut waiting[2], "BLMOVE next q LEFT LEFT 0");
        run(&state, &mut waiting[3], "BLPOP next last 0");
        let mut in_transaction = session(&state);
        for command in ["MULTI", "GET q", "SET {q}a 1", "RPUSH last a"] {
            run(&state, &mut in_transaction, command);
        }
        let all = shards(&state, &["q", "r", "next", "last"]);
        for (command, expected) in [
            ("GET q", shards(&state, &["q"])),
            ("SET {q}other a", shards(&state, &["q"])),
            ("RPUSH last a", shards(&state, &["last", "next"])),
            ("RPUSH r a", shards(&state, &["q", "r"])),
            ("RPUSH q a", all),
            ("RENAME {q}other q", all),
            ("MSET {q}1 a {q}2 b", shards(&state, &["q"])),
        ] {
            assert_eq!(taken(&state, &client, command), expected, "{command}");
        }
        let exec = state.table.lookup(b"exec").unwrap();
        let held = shards(&state, &["q", "last"]);
        let wanted = closure(&state, &in_transaction, exec, request("EXEC").args(), &state.keyspace.lock(held));
        assert_eq!(wanted, shards(&state, &["q", "last", "next"]));
        for session in &mut waiting {
            abandon(&state, session);
        }
        assert_eq!(taken(&state, &client, "RPUSH q a"), shards(&state, &["q"]));
    }
}
