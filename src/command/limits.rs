//! What a client may not do or have: protected commands, buffers, memory; and what is noted of slow commands.

use super::redact::redacted;
use crate::client::{Client, ClientFlags, ClientKind, Endpoint, Session};
use crate::config::{ClientClass, Directive, OutputLimit, ProtectedAction};
use crate::eviction::{self, Room};
use crate::resp::{Args, ErrorReply};
use crate::server_log::SlowLog;
use crate::spec::{CommandFlags, CommandSpec};
use crate::state::State;
use crate::stats::Figure;
use std::sync::atomic::Ordering;

/// Why this client may not run a protected command, if `enable-debug-command` or its like says so.
#[cold]
pub(super) fn protection(state: &State, session: &Session, spec: &CommandSpec) -> Option<ErrorReply> {
    let directive = spec.protected_by?;
    if permits(state, session, directive) {
        return None;
    }
    let (command, option) = (spec.container_name().to_ascii_uppercase(), directive.entry().name);
    Some(ErrorReply::new(format!(
        "ERR {command} command not allowed. If the {option} option is set to \"local\", you can run it from a local \
         connection, otherwise you need to set this option in the configuration file, and then restart the server."
    )))
}

/// Whether a directive of `no`, `yes` or `local` lets this client do what it is about.
pub(super) fn permits(state: &State, session: &Session, directive: Directive) -> bool {
    match state.settings.choice(directive) {
        ProtectedAction::Yes => true,
        ProtectedAction::No => false,
        ProtectedAction::Local => match &session.client.address {
            Endpoint::Unix(_) => true,
            Endpoint::Tcp(address) => address.ip().to_canonical().is_loopback(),
        },
    }
}

/// Makes room if memory is above `maxmemory`. During a pause nothing is evicted.
pub fn make_room(state: &State) -> Room {
    let leaves_it_to_primary = state.replication.is_replica() && state.settings.flag(Directive::ReplicaIgnoreMaxmemory);
    if state.pause.is_on() || leaves_it_to_primary { Room::Enough } else { eviction::make_room(state) }
}

/// Whether writes are refused because the data cannot be saved (`stop-writes-on-bgsave-error`).
#[inline]
pub(super) fn cannot_save(state: &State) -> bool {
    state.saving.background.has_failed()
        && state.settings.flag(Directive::StopWritesOnBgsaveError)
        && !state.settings.save_points().is_empty()
}

/// Whether writes are refused for want of replicas (`min-replicas-to-write`).
#[inline]
pub(super) fn lacks_replicas(state: &State) -> bool {
    let wanted = state.settings.int(Directive::MinReplicasToWrite);
    wanted > 0
        && state.settings.int(Directive::MinReplicasMaxLag) > 0
        && !state.replication.is_replica()
        && (state.replication.good_replicas() as i64) < wanted
}

/// From how many microseconds on a command is slow; `u64::MAX` if none is.
#[inline]
pub(super) fn slow_threshold_us(state: &State) -> u64 {
    let slow_log = u64::try_from(state.settings.int(Directive::SlowlogLogSlowerThan)).unwrap_or(u64::MAX);
    match state.settings.int(Directive::LatencyMonitorThreshold) {
        ..=0 => slow_log,
        milliseconds => slow_log.min(milliseconds as u64 * 1000),
    }
}

/// Enters a slow command into the slow log and the latency monitor, as far as the config wants it.
#[cold]
pub(super) fn note_slow(state: &State, session: &Session, spec: &CommandSpec, args: Args<'_>, microseconds: u64) {
    let now_s = crate::state::unix_time_ms() / 1000;
    let threshold = state.settings.int(Directive::SlowlogLogSlowerThan);
    if threshold >= 0 && microseconds >= threshold as u64 && !spec.has(CommandFlags::SKIP_COMMANDLOG) {
        let client = (session.client.address.to_string(), session.client.names.read().name.clone());
        let len_max = state.settings.int(Directive::SlowlogMaxLen).max(0) as usize;
        state.slow_log.add(now_s, microseconds, redacted(spec, args), client, len_max);
    }
    let threshold = state.settings.int(Directive::LatencyMonitorThreshold);
    if threshold > 0 && microseconds >= threshold as u64 * 1000 && !spec.has(CommandFlags::BLOCKING) {
        let event = if spec.has(CommandFlags::FAST) { "fast-command" } else { "command" };
        state.latency.add(event, now_s, (microseconds / 1000) as u32);
    }
}

/// Enters a command into the logs of large requests and replies, if it is as large as the config says.
#[inline]
pub(super) fn note_large(state: &State, session: &Session, spec: &CommandSpec, args: Args<'_>, reply_bytes: usize) {
    let is_large = |bytes: usize, threshold: Directive| {
        let threshold = state.settings.int(threshold);
        threshold >= 0 && bytes as i64 >= threshold
    };
    if is_large(args.request_len(), Directive::CommandlogRequestLargerThan) {
        let log = (&state.large_requests, Directive::CommandlogLargeRequestMaxLen);
        enter_large(state, session, spec, args, log, args.request_len());
    }
    if is_large(reply_bytes, Directive::CommandlogReplyLargerThan) {
        let log = (&state.large_replies, Directive::CommandlogLargeReplyMaxLen);
        enter_large(state, session, spec, args, log, reply_bytes);
    }
}

#[cold]
fn enter_large(
    state: &State,
    session: &Session,
    spec: &CommandSpec,
    args: Args<'_>,
    (log, len_max): (&SlowLog, Directive),
    bytes: usize,
) {
    if spec.has(CommandFlags::SKIP_COMMANDLOG) {
        return;
    }
    let client = (session.client.address.to_string(), session.client.names.read().name.clone());
    let len_max = state.settings.int(len_max).max(0) as usize;
    log.add(crate::state::unix_time_ms() / 1000, bytes as u64, redacted(spec, args), client, len_max);
}

/// What `client-output-buffer-limit` says of a client.
fn output_limit(state: &State, client: &Client) -> OutputLimit {
    state.settings.output_limit(match client.kind() {
        ClientKind::Normal | ClientKind::Primary => ClientClass::Normal,
        ClientKind::Replica => ClientClass::Replica,
        ClientKind::Pubsub => ClientClass::Pubsub,
    })
}

/// Bytes of unread output that a client may have at most.
pub fn output_bytes_max(state: &State, client: &Client) -> usize {
    match output_limit(state, client).hard_bytes {
        0 => usize::MAX,
        bytes => bytes as usize,
    }
}

/// Ends the connection of a client whose unread output, of so many `bytes`, is more than its kind may have
/// (`client-output-buffer-limit`).
pub fn check_output(state: &State, client: &Client, bytes: usize, now_ms: i64) {
    let mut limit = output_limit(state, client);
    if client.kind() == ClientKind::Replica && limit.hard_bytes > 0 {
        // What it reads from the backlog costs nothing.
        limit.hard_bytes = limit.hard_bytes.max(state.settings.int(Directive::ReplBacklogSize) as u64);
    }
    let bytes = bytes as u64;
    let hard = limit.hard_bytes > 0 && bytes > limit.hard_bytes;
    let mut soft = false;
    if limit.soft_bytes > 0 && bytes > limit.soft_bytes {
        let since = client.soft_limit_since_ms.load(Ordering::Relaxed);
        if since == 0 {
            client.soft_limit_since_ms.store(now_ms, Ordering::Relaxed);
        } else {
            soft = now_ms - since > limit.soft_seconds as i64 * 1000;
        }
    } else {
        client.soft_limit_since_ms.store(0, Ordering::Relaxed);
    }
    if hard || soft {
        close_for_output(state, client, bytes);
    }
}

/// Ends the connection of a client whose output takes too many bytes.
pub fn close_for_output(state: &State, client: &Client, bytes: u64) {
    if client.has(ClientFlags::CLOSE_ASAP) {
        return;
    }
    tracing::warn!(
        "Client id={} addr={} omem={bytes} closed for overcoming of output buffer limits.",
        client.id,
        client.address
    );
    state.stats.add(Figure::OutputBufferLimitDisconnections, 1);
    state.clients.kill(client);
}
