//! Replication as clients and other servers ask for it: who follows whom, what a replica wants and has, and waiting for it.

use super::call::{Acknowledgement, Mode};
use super::{Call, blocking};
use crate::client::{ClientFlags, Endpoint, Message, Session};
use crate::config::{self, Directive};
use crate::log::ReaderKind;
use crate::logging;
use crate::replication::{Address, Lag, LinkState, Replica, Stage};
use crate::resp::{CommandResult, ErrorReply};
use crate::state::{Holder, State, unix_time_ms, unix_time_us};
use crate::value::number;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const NOT_LINKED: ErrorReply = ErrorReply::fixed("NOMASTERLINK Can't SYNC while not connected with my master");

/// `REPLICAOF host port | NO ONE`
pub fn replicaof(call: &mut Call) -> CommandResult {
    if call.state.replication.failover.is_on() {
        return Err(ErrorReply::fixed("ERR REPLICAOF not allowed while failing over."));
    }
    let client = describe(call);
    if call.is_word(1, "NO") && call.is_word(2, "ONE") {
        if call.state.replication.is_replica() {
            promote(call.state);
            tracing::info!(target: "notice", "MASTER MODE enabled (user request from '{client}')");
        }
        return call.reply.ok();
    }
    let error = ErrorReply::fixed("ERR Invalid master port");
    let port = call.integer_in(2, 0..=65535, error)? as u16;
    let address = Address { host: String::from_utf8_lossy(call.arg(1)).into_owned(), port };
    if call.state.replication.primary().as_ref() == Some(&address) {
        tracing::info!(target: "notice", "REPLICAOF would result into synchronization with the master we are already \
             connected with. No operation performed.");
        return call.reply.simple("OK Already connected to specified master");
    }
    if !call.state.replication.is_replica() {
        // Whoever waits would wait for what cannot come.
        blocking::unblock_all(call.state, call.keys.locked());
    }
    follow(call.state, address.clone());
    tracing::info!(target: "notice", "REPLICAOF {}:{} enabled (user request from '{client}')", address.host, address.port);
    call.reply.ok()
}

/// A client as the log names it.
fn describe(call: &Call) -> String {
    let client = &call.session.client;
    format!("id={} addr={} laddr={}", client.id, client.address, client.local_address)
}

/// Follows a primary from now on. All shards must be locked.
pub fn follow(state: &State, address: Address) {
    let was_primary = !state.replication.is_replica();
    state.settings.note_primary(Some((&address.host, address.port)));
    logging::set_role(logging::Role::Replica);
    state.replication.follow(address, unix_time_ms());
    state.log.set_foreign(true);
    if was_primary {
        state.replication.set_has_history(true);
        tracing::info!(
            target: "notice",
            "Before turning into a replica, using my own master parameters to synthesize a cached master: I may be able to \
             synchronize with the new master with just a partial transfer."
        );
    }
    // Replicas stay: they may follow this server's new primary through it. They are sent away when it gets other data.
}

/// Follows nobody any more. All shards must be locked.
pub fn promote(state: &State) {
    state.replication.promote(state.log.end());
    state.settings.note_primary(None);
    logging::set_role(logging::Role::Primary);
    state.log.set_foreign(false);
    state.log.forget_database();
    disconnect_replicas(state);
}

/// Ends the connections of all replicas, which will come back.
pub fn disconnect_replicas(state: &State) {
    for replica in state.replication.replicas() {
        state.clients.kill(&replica.client);
    }
}

/// `SYNC`
pub fn sync(call: &mut Call) -> CommandResult {
    if call.session.replica.is_some() {
        return Ok(());
    }
    if let Some(error) = refusal(call) {
        return Err(error);
    }
    tracing::info!(target: "notice", "Replica {} asks for synchronization", replica_name(call));
    begin_full(call, true)
}

/// `PSYNC replicationid offset`
pub fn psync(call: &mut Call) -> CommandResult {
    if call.session.replica.is_some() {
        return Ok(());
    }
    if call.is_word(3, "FAILOVER") {
        take_over(call)?;
    }
    if let Some(error) = refusal(call) {
        return Err(error);
    }
    let next = call.integer(2).inspect_err(|_| {
        tracing::warn!("Replica {} asks for synchronization but with a wrong offset", replica_name(call));
    })?;
    tracing::info!(target: "notice", "Replica {} asks for synchronization", replica_name(call));
    if continue_partial(call, next)? {
        return Ok(());
    }
    if call.arg(1) != b"?" {
        call.state.replication.partial_refusals.fetch_add(1, Ordering::Relaxed);
    }
    begin_full(call, false)
}

/// A primary asks this replica of it to take its place.
fn take_over(call: &mut Call) -> CommandResult {
    let state = call.state;
    let id = String::from_utf8_lossy(call.arg(1)).into_owned();
    tracing::warn!("Failover request received for replid {id}.");
    if !state.replication.is_replica() {
        return Err(ErrorReply::fixed("ERR PSYNC FAILOVER can't be sent to a master."));
    }
    if !id.eq_ignore_ascii_case(&state.replication.history().id) {
        return Err(ErrorReply::fixed("ERR PSYNC FAILOVER replid must match my replid."));
    }
    promote(state);
    tracing::info!(target: "notice", "MASTER MODE enabled (failover request from '{}')", describe(call));
    Ok(())
}

fn refusal(call: &Call) -> Option<ErrorReply> {
    let replication = &call.state.replication;
    if replication.failover.is_on() {
        return Some(ErrorReply::fixed("NOMASTERLINK Can't SYNC while failing over"));
    }
    if replication.is_replica() && replication.link().state != LinkState::Connected {
        return Some(NOT_LINKED);
    }
    if call.mode != Mode::Direct {
        return Some(ErrorReply::fixed("ERR Command not allowed inside a transaction"));
    }
    None
}

/// The address of a replica, as the log names it.
fn replica_name(call: &Call) -> String {
    let capabilities = &call.session.capabilities;
    let ip = capabilities.ip.clone().unwrap_or_else(|| call.session.client.address.ip());
    match capabilities.port {
        0 => format!("client id #{}", call.session.client.id),
        port => format!("{ip}:{port}"),
    }
}

/// Registers the client as a replica that is at `stage`.
fn enlist(call: &mut Call, is_plain: bool, stage: Stage) -> Arc<Replica> {
    let session = &mut *call.session;
    let replica =
        Arc::new(Replica::new(Arc::clone(&session.client), session.capabilities.clone(), is_plain, unix_time_ms()));
    // Before anybody sees it: who waits may be given a copy at any time.
    replica.set_stage(stage);
    session.client.set(ClientFlags::REPLICA, true);
    session.replica = Some(Arc::clone(&replica));
    call.state.replication.add_replica(Arc::clone(&replica));
    replica
}

/// Lets a replica go on where it was, if what it lacks is still there; `next`, counted from 1, is what it wants first.
fn continue_partial(call: &mut Call, next: i64) -> Result<bool, ErrorReply> {
    let state = call.state;
    let id = String::from_utf8_lossy(call.arg(1)).into_owned();
    let Ok(next) = u64::try_from(next) else { return Ok(false) };
    let history = state.replication.history();
    if !history.has(&id, next) {
        if id != "?" {
            if !id.eq_ignore_ascii_case(&history.id) && !id.eq_ignore_ascii_case(&history.previous_id) {
                tracing::info!(target: "notice", "Partial resynchronization not accepted: Replication ID mismatch (Replica \
                     asked for '{id}', my replication IDs are '{}' and '{}')", history.id, history.previous_id);
            } else {
                tracing::info!(target: "notice", "Partial resynchronization not accepted: Requested offset for second ID was \
                     {next}, but I can reply up to {}", history.previous_end.unwrap_or(0));
            }
        } else {
            tracing::info!(target: "notice", "Full resync requested by replica {}", replica_name(call));
        }
        return Ok(false);
    }
    let start = next.saturating_sub(1);
    let is_kept =
        state.log.backlog().is_some_and(|backlog| start >= backlog.start && start <= backlog.start + backlog.len);
    if !is_kept || next == 0 {
        tracing::info!(target: "notice", "Unable to partial resync with replica {} for lack of backlog (Replica request was: \
             {next}).", replica_name(call));
        return Ok(false);
    }
    let name = replica_name(call);
    let replica = enlist(call, false, Stage::Online);
    let Some(reader) = state.log.open(ReaderKind::Replica, start, wake(&replica)) else {
        unlist(state, &replica);
        call.session.replica = None;
        call.session.client.set(ClientFlags::REPLICA, false);
        return Ok(false);
    };
    replica.attach(reader);
    replica.complete(false);
    if replica.capabilities.psync2 {
        call.reply.simple(&format!("CONTINUE {}", history.id))?;
    } else {
        call.reply.simple("CONTINUE")?;
    }
    let bytes = state.log.end() - start;
    tracing::info!(target: "notice", "Partial resynchronization request from {name} accepted. Sending {bytes} bytes of \
         backlog starting from offset {next}.");
    state.replication.partial_syncs.fetch_add(1, Ordering::Relaxed);
    Ok(true)
}

/// How a replica is told that the log has something for it.
pub fn wake(replica: &Arc<Replica>) -> Box<dyn Fn() + Send + Sync> {
    let replica = Arc::downgrade(replica);
    Box::new(move || {
        if let Some(replica) = replica.upgrade() {
            replica.tell();
        }
    })
}

/// Has a replica get a copy of everything.
fn begin_full(call: &mut Call, is_plain: bool) -> CommandResult {
    let state = call.state;
    state.replication.full_syncs.fetch_add(1, Ordering::Relaxed);
    if state.log.backlog().is_none() && !state.replication.is_replica() {
        // What was before the log had a reader cannot be followed.
        state.replication.begin_history();
        let bytes = state.settings.int(Directive::ReplBacklogSize) as u64;
        state.log.keep_backlog(bytes);
        let history = state.replication.history();
        tracing::info!(target: "notice", "Replication backlog created, my new replication IDs are '{}' and '{}'",
            history.id, history.previous_id);
    }
    enlist(call, is_plain, Stage::Waiting);
    state.replication.copy_wanted.notify_one();
    Ok(())
}

/// Takes a client off the list of replicas, if it is one.
pub fn leave(state: &State, session: &mut Session) {
    if let Some(replica) = session.replica.take() {
        unlist(state, &replica);
    }
}

/// Takes a replica off the list, and its place in the log away.
fn unlist(state: &State, replica: &Arc<Replica>) {
    replica.leave();
    state.replication.remove_replica(replica);
    count_good(state);
    if let Some(reader) = replica.detach() {
        state.log.close(&reader);
    }
}

/// `REPLCONF option value [option value ...]`
pub fn replconf(call: &mut Call) -> CommandResult {
    if call.args.len().is_multiple_of(2) {
        return Err(ErrorReply::SYNTAX);
    }
    let mut index = 1;
    while index < call.args.len() {
        let value = call.arg(index + 1);
        if call.is_word(index, "listening-port") {
            call.session.capabilities.port = call.integer_in(index + 1, 0..=65535, ErrorReply::NOT_INTEGER)? as u16;
        } else if call.is_word(index, "ip-address") {
            if value.len() >= 46 {
                return Err(ErrorReply::new(format!(
                    "ERR REPLCONF ip-address provided by replica instance is too long: {} bytes",
                    value.len()
                )));
            }
            call.session.capabilities.ip = Some(String::from_utf8_lossy(value).into_owned());
        } else if call.is_word(index, "capa") {
            call.session.capabilities.eof |= call.is_word(index + 1, "eof");
            call.session.capabilities.psync2 |= call.is_word(index + 1, "psync2");
        } else if call.is_word(index, "ack") {
            return acknowledge(call, index);
        } else if call.is_word(index, "getack") {
            // A primary asks, and is answered on its own link.
            if call.session.obeys {
                call.session.wants_acknowledgement = true;
            }
            return Ok(());
        } else if call.is_word(index, "rdb-only") {
            let flag = call.integer_in(index + 1, 0..=1, ErrorReply::NOT_INTEGER)?;
            call.session.capabilities.rdb_only = flag == 1;
        } else if call.is_word(index, "rdb-filter-only") {
            // Words that say what the copy is to have; without any it has everything.
            let words = config::split(value).ok_or(ErrorReply::fixed("ERR Missing rdb-filter-only values"))?;
            if let Some(other) = words.iter().find(|word| !word.eq_ignore_ascii_case(b"functions")) {
                return Err(ErrorReply::about("ERR Unsupported rdb-filter-only option: ", other, ""));
            }
            call.session.capabilities.only_functions = !words.is_empty();
        } else if !call.is_word(index, "version") && !call.is_word(index, "rdb-channel") {
            return Err(ErrorReply::about("ERR Unrecognized REPLCONF option: ", call.arg(index), ""));
        }
        index += 2;
    }
    call.reply.ok()
}

/// A replica says what it has: `ACK offset [FACK offset]`. It gets no reply.
fn acknowledge(call: &mut Call, index: usize) -> CommandResult {
    let Some(replica) = call.session.replica.clone() else { return Ok(()) };
    let number = |index: usize| call.args.get(index).and_then(number::parse_i64).and_then(|n| u64::try_from(n).ok());
    let Some(offset) = number(index + 1) else { return Ok(()) };
    let stored = if call.is_word(index + 2, "fack") { number(index + 3) } else { None };
    let (now_us, end) = (unix_time_us(), call.state.log.end());
    let microseconds = call.state.replication.timeline.behind_us(offset, now_us, end);
    replica.note_lag(Lag { bytes: end.saturating_sub(offset), microseconds });
    if replica.acknowledge(offset, stored, now_us / 1000) {
        tracing::info!(target: "notice", "Synchronization with replica {} succeeded", replica_name(call));
        count_good(call.state);
    }
    if call.state.replication.has_waits.load(Ordering::Acquire) {
        blocking::serve_acknowledged(call.state);
    }
    call.state.replication.failover.news.notify_one();
    if call.state.pause.is_held_by(Holder::Shutdown) {
        call.state.shutdown.wake();
    }
    Ok(())
}

/// Counts the replicas that are good enough to write (`min-replicas-max-lag`).
pub fn count_good(state: &State) {
    let lag_max_ms = state.settings.int(Directive::MinReplicasMaxLag).saturating_mul(1000).saturating_add(999);
    state.replication.count_good_replicas(unix_time_ms(), lag_max_ms);
}

/// `ROLE`
pub fn role(call: &mut Call) -> CommandResult {
    let state = call.state;
    let offset = state.log.end() as i64;
    if let Some(primary) = state.replication.primary() {
        let link = state.replication.link();
        call.reply.array(5)?;
        call.reply.bulk(b"slave")?;
        call.reply.bulk(primary.host.as_bytes())?;
        call.reply.integer(i64::from(primary.port))?;
        call.reply.bulk(link.state.name().as_bytes())?;
        let is_known = link.state == LinkState::Connected;
        return call.reply.integer(if is_known { offset } else { -1 });
    }
    let online = state.replication.replicas();
    let online: Vec<_> = online.iter().filter(|replica| replica.stage() == Stage::Online).collect();
    call.reply.array(3)?;
    call.reply.bulk(b"master")?;
    call.reply.integer(offset)?;
    call.reply.array(online.len())?;
    for replica in online {
        let (ip, port) = place(replica);
        call.reply.array(3)?;
        call.reply.bulk(ip.as_bytes())?;
        call.reply.bulk_integer(i64::from(port))?;
        call.reply.bulk_integer(replica.acknowledged() as i64)?;
    }
    Ok(())
}

/// Where a replica is to be found.
pub fn place(replica: &Replica) -> (String, u16) {
    let ip = replica.capabilities.ip.clone().unwrap_or_else(|| match &replica.client.address {
        Endpoint::Tcp(_) => replica.client.address.ip(),
        Endpoint::Unix(_) => "?".into(),
    });
    (ip, replica.capabilities.port)
}

/// `WAIT numreplicas timeout`: how many replicas have what this client wrote.
pub fn wait(call: &mut Call) -> CommandResult {
    let state = call.state;
    if state.replication.is_replica() {
        return Err(ErrorReply::fixed(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is \
             configured to be writable (which is not the default) writes to replicas are just local and are not propagated.",
        ));
    }
    let wanted = call.integer_in(1, 0..=i64::MAX, ErrorReply::fixed("ERR value is out of range, must be positive"));
    let wanted = match call.integer(1) {
        Ok(_) => wanted.unwrap_or(0) as usize,
        Err(error) => return Err(error),
    };
    let timeout_ms = timeout_ms(call, 2)?;
    let wanted =
        Acknowledgement { offset: call.session.client.written.load(Ordering::Relaxed), replicas: wanted, local: None };
    wait_until_met(call, wanted, timeout_ms)
}

/// Answers how many have what the client wrote, once that are enough or the time is over.
fn wait_until_met(call: &mut Call, wanted: Acknowledgement, timeout_ms: Option<i64>) -> CommandResult {
    let state = call.state;
    if wanted.is_met(state) || call.mode != Mode::Direct {
        return wanted.write(state, call.reply);
    }
    // Whoever begins a pause, after which nothing is sent, holds all shards.
    let held = state.keyspace.lock_one(0);
    if wanted.replicas > 0 && !state.pause.is_on() {
        state.log.ask_for_acknowledgements();
    }
    drop(held);
    let deadline_ms = timeout_ms.map(|timeout| call.keys.now_ms().saturating_add(timeout));
    call.wait_for_acknowledgements(deadline_ms, wanted);
    // What is gathered for replicas goes to them at once as long as somebody waits.
    state.replication.replicas().iter().for_each(|replica| replica.client.mailbox.post(Message::Wake));
    Ok(())
}

/// `WAITAOF numlocal numreplicas timeout`: whether what this client wrote is on the disk, and on those of how many replicas.
pub fn waitaof(call: &mut Call) -> CommandResult {
    let state = call.state;
    let out_of_range = ErrorReply::fixed("ERR value is out of range, must be between 0 and 1");
    call.integer(1)?;
    let local = call.integer_in(1, 0..=1, out_of_range)? as usize;
    call.integer(2)?;
    let not_positive = ErrorReply::fixed("ERR value is out of range, must be positive");
    let replicas = call.integer_in(2, 0..=i64::MAX, not_positive)? as usize;
    let timeout_ms = timeout_ms(call, 3)?;
    if state.replication.is_replica() {
        return Err(ErrorReply::fixed(
            "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and \
             are not propagated.",
        ));
    }
    if local > 0 && !state.settings.flag(Directive::Appendonly) {
        return Err(ErrorReply::fixed("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."));
    }
    let wanted =
        Acknowledgement { offset: call.session.client.written.load(Ordering::Relaxed), replicas, local: Some(local) };
    wait_until_met(call, wanted, timeout_ms)
}

/// A timeout in milliseconds; `None`: for ever.
fn timeout_ms(call: &Call, index: usize) -> Result<Option<i64>, ErrorReply> {
    match number::parse_i64(call.arg(index)) {
        None => Err(ErrorReply::fixed("ERR timeout is not an integer or out of range")),
        Some(i64::MIN..0) => Err(ErrorReply::TIMEOUT_NEGATIVE),
        Some(0) => Ok(None),
        Some(timeout) => Ok(Some(timeout)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, Identity, Session};
    use crate::command::{Batch, execute};
    use crate::config::Settings;
    use crate::resp::{OwnedRequest, Protocol, Reply};
    use crate::spec::Table;

    /// Runs a command of a new client, and returns its reply.
    fn run(state: &State, line: &str) -> String {
        let nowhere = Endpoint::Unix("".into());
        let client = Client::new(state.clients.next_id(), nowhere.clone(), nowhere, -1, 0);
        let mut session = Session::new(Identity::new(Arc::new(client), state.acl.default_account(), true));
        let request = OwnedRequest::new(line.split(' ').map(str::as_bytes).collect::<Vec<_>>().into_iter());
        let mut batch = Batch::default();
        batch.push(state, b"", request.args());
        let mut reply = Reply::new(Protocol::Resp2);
        execute(state, &mut session, request.args(), batch.request(b"", 0), &mut reply);
        String::from_utf8_lossy(reply.as_bytes()).into_owned()
    }

    #[test]
    fn who_goes_on_where_it_was_is_never_seen_to_wait_for_a_copy() {
        let state = State::new(Settings::new(), Table::new(&[]).unwrap(), 1).unwrap();
        state.log.keep_backlog(1 << 20);
        let id = state.replication.history().id;
        assert_eq!(run(&state, &format!("PSYNC {id} 1")), "+CONTINUE\r\n");
        assert_eq!(run(&state, "PSYNC ? -1"), "", "it is answered once the copy begins");
        let stages: Vec<_> = state.replication.replicas().iter().map(|replica| replica.stage()).collect();
        assert_eq!(stages, [Stage::Online, Stage::Waiting]);
    }
}
