//! `FAILOVER`: a replica takes the place of this primary once it has everything that was written.

use super::replication::{follow, place, promote};
use super::{Call, blocking};
use crate::replication::{Address, Plan, Progress, Replica, Stage};
use crate::resp::{CommandResult, ErrorReply};
use crate::state::{Holder, State, unix_time_ms};
use std::sync::Arc;

/// `FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]`
pub fn failover(call: &mut Call) -> CommandResult {
    let state = call.state;
    if call.args.len() == 2 && call.is_word(1, "ABORT") {
        if !state.replication.failover.is_on() {
            return Err(ErrorReply::fixed("ERR No failover in progress."));
        }
        abort(state, "Failover manually aborted");
        return call.reply.ok();
    }
    let plan = parse(call)?;
    if state.replication.failover.is_on() {
        return Err(ErrorReply::fixed("ERR FAILOVER already in progress."));
    }
    if state.replication.is_replica() {
        return Err(ErrorReply::fixed("ERR FAILOVER is not valid when server is a replica."));
    }
    if state.replication.replica_count() == 0 {
        return Err(ErrorReply::fixed("ERR FAILOVER requires connected replicas."));
    }
    if plan.is_forced && (plan.deadline_ms.is_none() || plan.target.is_none()) {
        return Err(ErrorReply::fixed(
            "ERR FAILOVER with force option requires both a timeout and target HOST and IP.",
        ));
    }
    match &plan.target {
        Some(target) => {
            let Some(replica) = find(state, target) else {
                return Err(ErrorReply::fixed("ERR FAILOVER target HOST and PORT is not a replica."));
            };
            if replica.stage() != Stage::Online {
                return Err(ErrorReply::fixed("ERR FAILOVER target replica is not online."));
            }
            tracing::info!(target: "notice", "FAILOVER requested to {}:{}.", target.host, target.port);
        }
        None => tracing::info!(target: "notice", "FAILOVER requested to any replica."),
    }
    // The last thing that they get: whoever has it has everything.
    if !state.pause.is_on() {
        state.log.ask_for_acknowledgements();
    }
    state.pause.hold(Holder::Failover);
    state.replication.failover.begin(plan);
    call.reply.ok()
}

fn parse(call: &Call) -> Result<Plan, ErrorReply> {
    let mut plan = Plan::default();
    let mut index = 1;
    while index < call.args.len() {
        let left = call.args.len() - index - 1;
        if call.is_word(index, "TIMEOUT") && left >= 1 && plan.deadline_ms.is_none() {
            let timeout_ms = call.integer(index + 1)?;
            if timeout_ms <= 0 {
                return Err(ErrorReply::fixed("ERR FAILOVER timeout must be greater than 0"));
            }
            plan.deadline_ms = Some(unix_time_ms().saturating_add(timeout_ms));
            index += 2;
        } else if call.is_word(index, "TO") && left >= 2 && plan.target.is_none() {
            let host = String::from_utf8_lossy(call.arg(index + 1)).into_owned();
            // A port that no server can have is that of no replica.
            let port = u16::try_from(call.integer(index + 2)?).unwrap_or(0);
            plan.target = Some(Address { host, port });
            index += 3;
        } else if call.is_word(index, "FORCE") && !plan.is_forced {
            plan.is_forced = true;
            index += 1;
        } else {
            return Err(ErrorReply::SYNTAX);
        }
    }
    Ok(plan)
}

/// The replica that can be reached at an address.
fn find(state: &State, address: &Address) -> Option<Arc<Replica>> {
    let is_there = |replica: &Arc<Replica>| {
        let (host, port) = place(replica);
        host.eq_ignore_ascii_case(&address.host) && port == address.port
    };
    state.replication.replicas().into_iter().find(is_there)
}

/// Goes on with a change of roles as soon as a replica has everything, or the time is over. The caller holds no shard.
pub fn look_after(state: &State) {
    if state.replication.failover.progress() != Progress::WaitsForSync {
        return;
    }
    let mut all = state.keyspace.lock(state.keyspace.all_shards());
    // Behind the locks: it may have been taken back meanwhile.
    if state.replication.failover.progress() != Progress::WaitsForSync {
        return;
    }
    let Plan { target, deadline_ms, is_forced } = state.replication.failover.plan();
    if deadline_ms.is_some_and(|deadline_ms| unix_time_ms() >= deadline_ms) {
        match target.filter(|_| is_forced) {
            None => return abort(state, "Replica never caught up before timeout"),
            Some(target) => {
                tracing::info!(
                    target: "notice",
                    "FAILOVER to {}:{} time out exceeded, failing over.",
                    target.host,
                    target.port
                );
                blocking::unblock_all(state, &mut all);
                return hand_over(state, target);
            }
        }
    }
    let end = state.log.end();
    let has_all = |replica: &Arc<Replica>| replica.stage() == Stage::Online && replica.acknowledged() == end;
    let replica = match &target {
        Some(target) => find(state, target).filter(has_all),
        None => state.replication.replicas().into_iter().find(has_all),
    };
    if let Some(replica) = replica {
        let (host, port) = place(&replica);
        tracing::info!(target: "notice", "Failover target {host}:{port} is synced, failing over.");
        blocking::unblock_all(state, &mut all);
        hand_over(state, Address { host, port });
    }
}

/// Follows the replica that is to take over. All shards are locked.
fn hand_over(state: &State, target: Address) {
    state.replication.failover.hand_over(target.clone());
    follow(state, target);
}

/// The replica has taken over. All shards are locked.
pub fn succeed(state: &State) {
    state.replication.failover.end();
    release(state);
}

/// Takes a change of roles back. All shards are locked.
pub fn abort(state: &State, reason: &str) {
    let failover = &state.replication.failover;
    match failover.plan().target {
        Some(Address { host, port }) => {
            tracing::info!(target: "notice", "FAILOVER to {host}:{port} aborted: {reason}");
        }
        None => tracing::info!(target: "notice", "FAILOVER to any replica aborted: {reason}"),
    }
    let was_under_way = failover.progress() == Progress::UnderWay;
    failover.end();
    if was_under_way {
        promote(state);
    }
    release(state);
}

/// Lets those go on whose writes were held back.
fn release(state: &State) {
    state.pause.release(Holder::Failover);
    state.clients.wake_all();
}
