//! From a request to its reply: finds the command, checks that it may run now, takes its locks, runs it, serves those
//! who waited for what it did, and keeps the books.

use super::acl::{self, Occasion};
use super::blocking::{self, DeferredAnswer};
use super::call::{Mode, Unanswered};
use super::divergence;
use super::handlers::handler;
use super::held::is_held_back;
use super::keys::Keys;
use super::limits;
use super::migrate::Travel;
use super::prefix::Deletion;
use super::prepare::Prepared;
use super::run::{Run, call, feed_monitors, note, request_shards, write_error};
use super::{script, tracking};
use crate::client::{ClientFlags, ReplyMode, Session};
use crate::config::{Directive, error_text};
use crate::eviction::Room;
use crate::log::Audience;
use crate::resp::{Args, ErrorReply, Reply};
use crate::spec::{CommandFlags, CommandSpec, KeyLayout, Locks, errors};
use crate::state::{PauseKind, State};
use crate::stats::Figure;
use crate::store::ShardSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Looks whether a script has ended, before it is one that takes longer than most.
const LOOKS_AT_SCRIPT: usize = 20;
/// Time between two looks after that.
const WAIT_FOR_SCRIPT: Duration = Duration::from_millis(1);

/// Bytes of memory that a link keeps for what its primary sent and is not in the log yet.
const UNLOGGED_KEPT_BYTES: usize = 1024 * 1024;

/// What became of a request.
pub enum Outcome {
    /// It was answered, or its client waits.
    Done,
    /// Its client waits until this is done.
    Sends(Travel),
    /// Or this, step by step.
    Deletes(Deletion),
    /// It may not run yet: try again later.
    Postponed(Postponed),
}

/// What a command must wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Postponed {
    /// The end of the server's pause.
    Pause,
    /// Keys that travel to another server. The client is woken when they have arrived.
    Travel,
}

/// When the pause ends by itself, in milliseconds of Unix time; 0 if there is none.
pub fn pause_end_ms(state: &State) -> i64 {
    state.pause.kind_and_end_ms().1
}

/// Ends everything that ties a leaving client to the server.
pub fn leave(state: &State, session: &mut Session) {
    blocking::abandon(state, session);
    super::transaction::unwatch_all(state, session);
    super::pubsub::leave(state, session);
    super::monitor::leave(state, session);
    tracking::disable(state, session);
    super::replication::leave(state, session);
}

/// Runs one request, which has at least one argument, and appends its reply.
pub fn execute(
    state: &State,
    session: &mut Session,
    args: Args<'_>,
    prepared: Prepared<'_>,
    reply: &mut Reply,
) -> Outcome {
    let admitted = admit(state, session, args, prepared.spec);
    if session.client.has(ClientFlags::TRACKING) {
        tracking::before_command(state, session, reply);
    }
    let begin = reply.len();
    let result = match admitted {
        Ok(Admitted::Run(spec)) => match run(state, session, spec, args, prepared, reply) {
            Ok(postponed @ Outcome::Postponed(_)) => return postponed,
            done => done,
        },
        Ok(Admitted::Queue(spec)) if postpones(state, session, spec, args) => {
            return Outcome::Postponed(Postponed::Pause);
        }
        Ok(Admitted::Queue(spec)) => super::transaction::queue(session, spec, args, reply).map(|()| Outcome::Done),
        Err(error) => Err(error),
    };
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(_) if session.client.is_killed() => {
            // Whoever sent that gets no reply, not even to what came before.
            session.close_after_reply = true;
            reply.clear();
            return Outcome::Done;
        }
        Err(error) => {
            refuse(state, session, prepared.spec, error, reply, begin);
            Outcome::Done
        }
    };
    let confirms = std::mem::take(&mut session.confirms);
    if session.reply_mode != ReplyMode::On {
        if !confirms {
            reply.truncate(begin);
        }
        session.reply_mode = match session.reply_mode {
            ReplyMode::SkipNext | ReplyMode::On => ReplyMode::On,
            ReplyMode::SkipAnnounced => ReplyMode::SkipNext,
            ReplyMode::Off => ReplyMode::Off,
        };
    }
    if session.client.has(ClientFlags::TRACKING) || !session.invalidated.is_empty() {
        tracking::after_command(state, session, prepared.spec, reply);
    }
    if std::mem::take(&mut session.listens_anew) {
        // Behind the confirmation, a client would take a message for the reply to its next command.
        reply.insert_raw(begin, &session.client.mailbox.take_pushes().concat());
    }
    outcome
}

/// Answers a request that has at least one argument, on a thread whose script is past its limit and has all shards. Returns
/// false if that has to wait for the script's end.
pub fn execute_during_script(
    state: &State,
    session: &mut Session,
    args: Args<'_>,
    prepared: Prepared<'_>,
    reply: &mut Reply,
) -> bool {
    let must_wait = prepared.spec.and_then(|named| named.resolve(args)).is_some_and(|spec| {
        if spec.has(CommandFlags::ALLOW_BUSY) {
            !shards_of(state, session, spec, args, prepared).is_empty()
        } else {
            // It is refused; to give up watching takes locks.
            spec.runs_queue() && !session.watched.is_empty()
        }
    });
    !must_wait && !session.obeys && matches!(execute(state, session, args, prepared, reply), Outcome::Done)
}

/// Answers with the error for which a request does not run; its reply would begin at `begin`.
fn refuse(
    state: &State,
    session: &mut Session,
    spec: Option<&CommandSpec>,
    error: ErrorReply,
    reply: &mut Reply,
    begin: usize,
) {
    let error = if spec.is_some_and(CommandSpec::runs_queue) {
        super::transaction::abandon(state, session);
        let reason = error.as_bytes().strip_prefix(b"ERR ").unwrap_or(error.as_bytes());
        ErrorReply::new([b"EXECABORT Transaction discarded because of: ", reason].concat())
    } else {
        error
    };
    super::transaction::spoil(session);
    reply.truncate(begin);
    write_error(state, &error, reply);
}

enum Admitted {
    Run(&'static CommandSpec),
    /// `MULTI` is open: keep it for `EXEC`.
    Queue(&'static CommandSpec),
}

/// Decides whether a request may run, by everything but its locks.
#[inline]
fn admit(
    state: &State,
    session: &mut Session,
    args: Args<'_>,
    named: Option<&'static CommandSpec>,
) -> Result<Admitted, ErrorReply> {
    let spec = find(state, session, args, named)?;
    let is_busy = state.scripts.running.is_busy() && !session.obeys && !spec.has(CommandFlags::ALLOW_BUSY);
    // That data are being loaded is said first.
    let refused = if is_busy && (spec.has(CommandFlags::LOADING) || !state.loading.is_on()) {
        Some(state.scripts.running.busy_error())
    } else {
        refusal(state, session, spec, args)
    };
    if let Some(error) = refused {
        state.stats.rejected(spec.id);
        return Err(error);
    }
    if session.transaction.is_some() && !spec.has(CommandFlags::RUN_IN_MULTI) {
        return Ok(Admitted::Queue(spec));
    }
    Ok(Admitted::Run(spec))
}

#[inline]
fn find(
    state: &State,
    session: &mut Session,
    args: Args<'_>,
    named: Option<&'static CommandSpec>,
) -> Result<&'static CommandSpec, ErrorReply> {
    let spec = named.and_then(|spec| spec.resolve(args));
    session.client.last_command.store(spec.map_or(u32::MAX, |spec| u32::from(spec.id)), Ordering::Relaxed);
    // Who is not let in is not told either which commands there are.
    if !session.is_authenticated && !spec.is_some_and(|spec| spec.has(CommandFlags::NO_AUTH)) {
        if let Some(spec) = spec {
            state.stats.rejected(spec.id);
        }
        return Err(ErrorReply::NO_AUTH);
    }
    let Some(spec) = spec else { return Err(unknown(session, args, named)) };
    if !spec.accepts(args.len()) || spec.is_container() && handler(spec).is_none() {
        state.stats.rejected(spec.id);
        return Err(errors::wrong_arity(spec));
    }
    Ok(spec)
}

/// The error for a request that names no command, or no subcommand of the container that it names.
#[cold]
fn unknown(session: &Session, args: Args<'_>, container: Option<&'static CommandSpec>) -> ErrorReply {
    let name = args.at(0);
    if container.is_some() {
        return errors::unknown_subcommand(name, args.at(1));
    }
    if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
        // Somebody makes a browser speak to us.
        tracing::warn!(
            "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Redis. This is \
             likely due to an attacker attempting to use Cross Protocol Scripting to compromise your Redis instance. \
             Connection aborted."
        );
        session.client.kill();
    }
    errors::unknown_command(args)
}

/// Why a command may not run now.
#[inline]
fn refusal(state: &State, session: &mut Session, spec: &CommandSpec, args: Args<'_>) -> Option<ErrorReply> {
    if session.obeys {
        if disk_error(state).is_some() && does_any(state, session, spec, args, CommandFlags::WRITE) {
            divergence::note_disk_error(state, session);
        }
        return None;
    }
    let touches_keys = CommandFlags::WRITE.union(CommandFlags::READONLY).union(CommandFlags::MAY_REPLICATE);
    if session.replica.is_some() && spec.has(touches_keys) {
        return Some(ErrorReply::fixed("ERR Replica can't interact with the keyspace"));
    }
    if spec.has(CommandFlags::PROTECTED)
        && let Some(error) = limits::protection(state, session, spec)
    {
        return Some(error);
    }
    if session.transaction.is_some() && spec.has(CommandFlags::NO_MULTI) {
        return Some(ErrorReply::fixed("ERR Command not allowed inside a transaction"));
    }
    if let Err(denial) = session.check(spec, args) {
        return Some(acl::denied(state, session, (spec, args), denial, Occasion::Request));
    }
    if session.is_subscriber() && !reply_is_resp3(session) && !spec.has(CommandFlags::SUBSCRIBER_OK) {
        return Some(ErrorReply::new(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
             context",
            spec.name
        )));
    }
    if state.loading.is_on() {
        return (!spec.has(CommandFlags::LOADING)).then_some(ErrorReply::LOADING);
    }
    if state.loading.is_aside() && spec.has(CommandFlags::NO_ASYNC_LOADING) {
        return Some(ErrorReply::LOADING);
    }
    // A script that is past its limit has all locks: nothing can be evicted, and nothing that it lets through needs that.
    session.is_out_of_memory = state.settings.int(Directive::Maxmemory) > 0
        && !state.scripts.running.is_busy()
        && limits::make_room(state) == Room::None;
    if session.is_out_of_memory && does_any(state, session, spec, args, CommandFlags::DENYOOM) {
        return Some(ErrorReply::OUT_OF_MEMORY);
    }
    if let Some(error) = disk_error(state)
        && (does_any(state, session, spec, args, CommandFlags::WRITE) || spec.name == "ping")
    {
        return Some(error);
    }
    if state.replication.is_replica()
        && let Some(error) = follower_refusal(state, session, spec, args)
    {
        return Some(error);
    }
    if limits::lacks_replicas(state) && does_any(state, session, spec, args, CommandFlags::WRITE) {
        return Some(ErrorReply::fixed("NOREPLICAS Not enough good replicas to write."));
    }
    None
}

/// Why writes are refused because of the disk.
#[inline]
pub(super) fn disk_error(state: &State) -> Option<ErrorReply> {
    if state.append_file.is_on()
        && let Some(error) = state.append_file.error()
    {
        return Some(ErrorReply::new(format!("MISCONF Errors writing to the AOF file: {}", error_text(&error))));
    }
    limits::cannot_save(state).then_some(ErrorReply::CANNOT_SAVE)
}

/// Why a replica does not run a command.
#[cold]
fn follower_refusal(state: &State, session: &Session, spec: &CommandSpec, args: Args<'_>) -> Option<ErrorReply> {
    if state.settings.flag(Directive::ReplicaReadOnly) && does_any(state, session, spec, args, CommandFlags::WRITE) {
        return Some(ErrorReply::fixed("READONLY You can't write against a read only replica."));
    }
    let is_stale = state.replication.is_stale() && !state.settings.flag(Directive::ReplicaServeStaleData);
    let is_refused = |flags: CommandFlags| !flags.contains(CommandFlags::STALE);
    (is_stale && is_any(state, session, spec, args, is_refused)).then_some(ErrorReply::fixed(
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    ))
}

/// Whether the command, or for `EXEC` any that was queued, has one of the `flags`.
fn does_any(state: &State, session: &Session, spec: &CommandSpec, args: Args<'_>, flags: CommandFlags) -> bool {
    is_any(state, session, spec, args, |known| known.intersects(flags))
}

/// Whether `is_meant` holds of the flags of the command, or for `EXEC` of any that was queued.
fn is_any(
    state: &State,
    session: &Session,
    spec: &CommandSpec,
    args: Args<'_>,
    is_meant: impl Fn(CommandFlags) -> bool,
) -> bool {
    let queued = session.transaction.as_deref().filter(|_| spec.runs_queue());
    is_meant(flags_of(state, spec, args))
        || queued.is_some_and(|transaction| {
            let mut commands = transaction.commands.iter();
            commands.any(|(queued, request)| is_meant(flags_of(state, queued, request.args())))
        })
}

/// The flags of a command.
#[inline]
fn flags_of(state: &State, spec: &CommandSpec, args: Args<'_>) -> CommandFlags {
    if spec.locks == Locks::Script { script::flags_of(state, spec, args) } else { spec.flags }
}

fn reply_is_resp3(session: &Session) -> bool {
    session.protocol == crate::resp::Protocol::Resp3
}

/// Whether `CLIENT PAUSE` holds the command back.
#[inline]
fn postpones(state: &State, session: &Session, spec: &CommandSpec, args: Args<'_>) -> bool {
    // What a file says is done at once; what a primary sends waits.
    if !state.pause.is_on() || session.obeys && session.turn.is_none() {
        return false;
    }
    match state.pause.kind() {
        PauseKind::None => false,
        PauseKind::All => true,
        PauseKind::Writes => {
            does_any(state, session, spec, args, CommandFlags::WRITE.union(CommandFlags::MAY_REPLICATE))
        }
    }
}

/// The shards that are held while a command runs, as its table entry has it.
#[inline]
fn shards_of(state: &State, session: &Session, spec: &CommandSpec, args: Args<'_>, prepared: Prepared<'_>) -> ShardSet {
    if let Some(shards) = prepared.shards() {
        return shards;
    }
    match spec.locks {
        Locks::Keys if matches!(spec.layout, KeyLayout::None) => ShardSet::EMPTY,
        Locks::Keys => request_shards(state, spec, args),
        Locks::All => state.keyspace.all_shards(),
        Locks::Script => script::shards(state, session, spec, args),
        Locks::Parts => ShardSet::EMPTY,
        Locks::Queued => super::transaction::shards(state, session),
        Locks::Watched => super::transaction::watched_shards(state, session),
    }
}

/// Takes the locks that a command needs, and those that serving the clients waiting for its keys may need; it has `begun` by the
/// fine clock. `None` if a script that is past its limit has them.
fn lock<'k>(
    state: &'k State,
    session: &Session,
    spec: &CommandSpec,
    args: Args<'_>,
    prepared: Prepared<'k>,
    begun: u64,
) -> Option<Keys<'k>> {
    let mut set = shards_of(state, session, spec, args, prepared);
    let gives_up = || !session.obeys && state.scripts.running.is_busy();
    if let Some(turns) = prepared.turns {
        if set == state.keyspace.all_shards() && matches!(spec.locks, Locks::Script | Locks::Queued) {
            if !turns.take(&state.keyspace, begun, gives_up) {
                return None;
            }
        } else if set.is_empty() || spec.locks == Locks::All {
            // It may take long, or wait for another thread.
            turns.end();
        }
    }
    let now_ms = crate::access::unix_time_ms_at(begun);
    loop {
        let locked = state.keyspace.lock_unless(set, gives_up)?;
        let wanted = blocking::closure(state, session, spec, args, &locked);
        if wanted.is_subset(set) {
            let mut keys = Keys::new(locked, state, session.database, now_ms, session.no_touch, prepared.foreknown());
            if session.obeys {
                keys.obey();
            }
            return Some(keys);
        }
        set = set.union(wanted);
    }
}

/// Logs what an obedient session was given, up to the end of what was done now: a transaction as a whole. A shard must be
/// locked, so that the link's turn does not end meanwhile.
pub fn log_as_it_came(state: &State, session: &mut Session) {
    if session.turn.is_some_and(|turn| turn != state.replication.turn()) {
        return;
    }
    if session.transaction.is_none() && !session.unlogged.is_empty() {
        if session.turn.is_some() {
            // Before the offset moves: see `saving::place`.
            state.replication.stream_database.store(session.database, Ordering::Release);
        }
        state.log.append_raw(&session.unlogged, session.unlogged_audience);
        session.unlogged.clear();
        session.unlogged.shrink_to(UNLOGGED_KEPT_BYTES);
        session.unlogged_audience = Audience::Replicas;
    }
}

/// Whether a script runs past its limit, for the end of which a command waits here that takes its locks one by one.
#[inline]
fn waits_in_vain_for_script(state: &State, session: &Session, spec: &CommandSpec) -> bool {
    if spec.locks != Locks::Parts || session.obeys || spec.has(CommandFlags::ALLOW_BUSY) {
        return false;
    }
    let running = &state.scripts.running;
    let present = running.present();
    let mut looks = 0;
    while running.has_any_of(&present) {
        if running.is_busy() {
            return true;
        }
        looks += 1;
        if looks < LOOKS_AT_SCRIPT { std::thread::yield_now() } else { std::thread::sleep(WAIT_FOR_SCRIPT) }
    }
    false
}

/// Runs a command that was admitted, unless a pause holds it back. Errors: a script that is past its limit has the locks.
fn run(
    state: &State,
    session: &mut Session,
    spec: &'static CommandSpec,
    args: Args<'_>,
    prepared: Prepared<'_>,
    reply: &mut Reply,
) -> Result<Outcome, ErrorReply> {
    let begin = reply.len();
    let begun = match std::mem::take(&mut session.clock) {
        0 => crate::access::ticks(),
        // This one begins where the one before ended.
        clock => clock,
    };
    state.append_file.hold_back(state);
    if waits_in_vain_for_script(state, session, spec) {
        return Err(state.scripts.running.busy_error());
    }
    let Some(mut keys) = lock(state, session, spec, args, prepared, begun) else {
        return Err(state.scripts.running.busy_error());
    };
    // Behind the locks: whoever begins a pause holds all of them, and nothing can be on its way after that.
    if postpones(state, session, spec, args) {
        return Ok(Outcome::Postponed(Postponed::Pause));
    }
    if state.migrations.is_any() && is_held_back(state, session, spec, args, keys.locked()) {
        return Ok(Outcome::Postponed(Postponed::Travel));
    }
    // Behind the locks as well: what an old primary sent last came too late.
    if session.turn.is_some_and(|turn| turn != state.replication.turn()) {
        return Ok(Outcome::Done);
    }
    let (failed, unanswered) = call(state, session, spec, args, &mut keys, reply, Mode::Direct);
    keys.log_effects();
    if keys.changes() > 0 && keys.is_logged() {
        session.client.written.store(state.log.end(), Ordering::Relaxed);
    }
    if session.obeys {
        log_as_it_came(state, session);
    }
    let waits = unanswered.is_some();
    let outcome = match unanswered {
        None => Outcome::Done,
        Some(Unanswered::Waits(wait)) => {
            blocking::begin(state, session, &mut keys, spec, args, *wait);
            Outcome::Done
        }
        Some(Unanswered::Sends(shipment)) => {
            Outcome::Sends(Travel::new(shipment, blocking::begin_elsewhere(state, session, spec, args), begun))
        }
        Some(Unanswered::Deletes(doomed)) => {
            Outcome::Deletes(Deletion::new(doomed, blocking::begin_elsewhere(state, session, spec, args), begun))
        }
        Some(Unanswered::Ends) => {
            let client = DeferredAnswer::new(blocking::begin_elsewhere(state, session, spec, args), begun);
            state.shutdown.add_client(state, client);
            Outcome::Done
        }
    };
    let how = |ended, reply: &Reply| Run { begun, ended, failed, reply_bytes: reply.len() - begin };
    // Whom it serves comes after it in every book.
    let serves = keys.has_ready();
    if serves {
        let ended = crate::access::ticks();
        note(state, session, spec, args, &how(ended, reply));
        // A transaction may have taken long, and the time of a key be over since.
        keys.set_now_ms(crate::access::unix_time_ms_at(ended));
        blocking::serve_ready(state, &mut keys);
    }
    if keys.changes() > 0 {
        state.stats.add(Figure::Changes, keys.changes());
    }
    session.invalidated = keys.take_invalidated();
    drop(keys);
    if state.departed.is_any() && !state.scripts.running.is_busy() {
        blocking::serve_departed(state);
    }
    if waits {
        // The rest follows once it is served.
        feed_monitors(state, session, spec, args);
    } else if !serves {
        session.clock = crate::access::ticks();
        note(state, session, spec, args, &how(session.clock, reply));
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, Endpoint, Identity};
    use crate::command::Batch;
    use crate::command::prepare::Foreknown;
    use crate::config::Settings;
    use crate::persistence::disk::simulated::SimulatedDisk;
    use crate::resp::{OwnedRequest, Protocol};
    use crate::spec::Table;
    use std::sync::Arc;

    fn session(state: &State) -> Session {
        let nowhere = Endpoint::Unix("".into());
        let client = Client::new(state.clients.next_id(), nowhere.clone(), nowhere, -1, 0);
        Session::new(Identity::new(Arc::new(client), state.acl.default_account(), true))
    }

    /// Runs a command, and hands what it was run with to `look` before its locks are let go.
    fn run_and<R>(state: &State, line: &str, mode: Mode, look: impl FnOnce(ShardSet, &mut Keys) -> R) -> R {
        let mut session = session(state);
        let request = OwnedRequest::new(line.split(' ').map(str::as_bytes).collect::<Vec<_>>().into_iter());
        let args = request.args();
        let mut batch = Batch::default();
        batch.push(state, b"", args);
        let spec = find(state, &mut session, args, batch.request(b"", 0).spec).unwrap();
        let mut reply = Reply::new(Protocol::Resp2);
        let mut keys = match mode {
            Mode::Transaction => {
                let locked = state.keyspace.lock(request_shards(state, spec, args));
                Keys::new(locked, state, 0, 0, false, Foreknown::nothing())
            }
            _ => lock(state, &session, spec, args, batch.request(b"", 0), 0).expect("no script runs"),
        };
        let before = keys.locked().set();
        let (failed, _) = call(state, &mut session, spec, args, &mut keys, &mut reply, mode);
        assert!(!failed, "{line}: {}", String::from_utf8_lossy(reply.as_bytes()));
        look(before, &mut keys)
    }

    #[test]
    fn locks_are_held_no_longer_and_by_no_more_than_it_takes() {
        let mut state = State::new(Settings::new(), Table::new(&[]).unwrap(), 4).unwrap();
        state.disk = Box::new(SimulatedDisk::default());
        run_and(&state, "MSET a some b other", Mode::Direct, |_, _| {});
        let all = state.keyspace.all_shards();
        for line in [
            "SCAN 0",
            "DBSIZE",
            "RANDOMKEY",
            "INFO everything",
            "MEMORY STATS",
            "MEMORY DOCTOR",
            "CLIENT UNBLOCK 1",
            "PREFIX STATS a",
        ] {
            let held = |before, keys: &mut Keys| (before, keys.locked().set());
            assert_eq!(run_and(&state, line, Mode::Direct, held), (ShardSet::EMPTY, ShardSet::EMPTY), "{line}");
            assert_eq!(run_and(&state, line, Mode::Transaction, held), (all, all), "{line}");
        }
        assert_eq!(run_and(&state, "KEYS *", Mode::Direct, |before, _| before), all);
        let held = run_and(&state, "LCS a b", Mode::Direct, |before, keys| (before, keys.locked().set()));
        assert!(!held.0.is_empty() && held.1.is_empty(), "the strings are compared behind the locks");
        let held = run_and(&state, "LCS a b", Mode::Transaction, |before, keys| (before, keys.locked().set()));
        assert!(!held.1.is_empty() && held.0 == held.1, "what follows in a transaction finds its locks");
        let emptied = run_and(&state, "FLUSHALL SYNC", Mode::Direct, |_, keys| {
            keys.emptied().iter().map(|tree| tree.len()).sum::<usize>()
        });
        assert_eq!(emptied, 2, "databases are freed behind the locks");
    }
}
