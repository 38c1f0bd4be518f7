//! What happens by itself: keys expire on time, silent clients are sent away, figures are sampled.

use crate::access;
use crate::client::{Client, ClientFlags, IDLE_MS, Message};
use crate::command::{self, limits};
use crate::config::Directive;
use crate::eviction::Room;
use crate::removal::{self, Removal};
use crate::replication::{Replica, Stage};
use crate::saving;
use crate::script;
use crate::state::{State, unix_time_ms, unix_time_us};
use crate::store::{Database, Onlookers, Shard};
use crate::value::Value;
use crate::watchdog;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Time between two looks at the shards' deadlines.
const EXPIRE_INTERVAL: Duration = Duration::from_millis(100);
/// Time between two looks whether a planned change of roles has taken too long.
const FAILOVER_INTERVAL: Duration = Duration::from_millis(50);
/// Keys that are removed under one hold of a lock.
const EXPIRE_BATCH: usize = 1000;
/// Keys that are taken out of the table of tracked keys before the clients of the thread have their turn.
const UNTRACKED_BATCH: usize = 100;
/// For how long keys are removed at most before the clients of the thread have their turn.
const EXPIRE_TURN_NS_MAX: u64 = 5_000_000;

/// Ticks that come so long after each other at least: what was missed is not made up for.
fn every(interval: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// Removes the keys of every `threads`-th shard, from the `first` on, when their time is over, and the interpreter of the `first`
/// thread when its scripts have been forgotten. Never ends.
pub async fn expire(state: Arc<State>, first: usize) {
    let mut ticks = every(EXPIRE_INTERVAL);
    loop {
        ticks.tick().await;
        watchdog::note_turn(&state, first);
        script::give_back(&state.scripts);
        let is_off = !state.active_expire.load(Ordering::Relaxed)
            || state.cron_paused.load(Ordering::Relaxed)
            || state.replication.is_replica()
            || state.loading.is_on();
        if is_off {
            continue;
        }
        let mut turn = Turn::begin(0);
        for shard in (first..state.keyspace.shard_count()).step_by(state.threads) {
            for database in 0..state.keyspace.databases() {
                for expire in [expire_batch, expire_fields_batch] {
                    loop {
                        let expired = expire(&state, shard, database);
                        if expired > 0 && turn.is_over() {
                            turn = turn.pass().await;
                        }
                        if expired < EXPIRE_BATCH {
                            break;
                        }
                    }
                }
            }
        }
        state.log.wake_readers();
        state.tracking.broadcast(&state.clients);
        crate::memory::publish();
    }
}

/// Keeps the table of tracked keys within its limit, and sends what nobody else has sent. Never ends.
pub async fn tracking(state: Arc<State>) {
    let mut ticks = every(EXPIRE_INTERVAL);
    loop {
        ticks.tick().await;
        if state.cron_paused.load(Ordering::Relaxed) || !state.tracking.is_on() {
            continue;
        }
        while command::limit_tracking(&state, UNTRACKED_BATCH) {
            tokio::task::yield_now().await;
        }
        state.tracking.broadcast(&state.clients);
    }
}

/// Removes the keys that clients of this replica have made when their time is over. Never ends.
pub async fn expire_own_keys(state: Arc<State>) {
    let mut ticks = every(EXPIRE_INTERVAL);
    loop {
        ticks.tick().await;
        let is_off = !state.active_expire.load(Ordering::Relaxed) || state.cron_paused.load(Ordering::Relaxed);
        if is_off || state.replication.own_keys.lock().is_empty() {
            continue;
        }
        let keys: Vec<_> = state.replication.own_keys.lock().iter().take(EXPIRE_BATCH).cloned().collect();
        for (database, key) in keys {
            if !is_own_key_left(&state, database, &key) {
                state.replication.own_keys.lock().remove(&(database, key));
            }
        }
    }
}

/// Removes a key if its time is over. Returns whether it has a deadline that is still to come.
fn is_own_key_left(state: &State, database: usize, key: &[u8]) -> bool {
    let hashed = state.keyspace.key(key);
    let mut guard = state.keyspace.lock_one(state.keyspace.shard_of(hashed));
    let tree = &mut guard.databases[database];
    let Some(position) = tree.find(hashed) else { return false };
    let Some(deadline_ms) = tree.deadline(position) else { return false };
    if !state.replication.is_replica() || deadline_ms >= unix_time_ms() {
        return state.replication.is_replica();
    }
    guard.forget_fields_at(database, position);
    let removed = guard.databases[database].remove(position);
    removal::tell(state, &mut guard.onlookers(), database, key, Removal::Expired, 0);
    drop(guard);
    if let Some(value) = removed {
        state.lazy_free.free_value(value);
    }
    false
}

/// A turn at expiring keys. It is as long as the clients of the thread took for theirs before it, so that what is due goes
/// in time however busy they keep the thread, and none of them waits more than twice as long as without.
struct Turn {
    begun: u64,
    length_ns: u64,
}

impl Turn {
    fn begin(length_ns: u64) -> Self {
        Turn { begun: access::ticks(), length_ns }
    }

    fn is_over(&self) -> bool {
        access::nanoseconds_since(self.begun) >= self.length_ns
    }

    /// Lets the clients have their turn; the next one is returned.
    async fn pass(self) -> Self {
        crate::memory::publish();
        let passed = access::ticks();
        tokio::task::yield_now().await;
        Turn::begin(access::nanoseconds_since(passed).min(EXPIRE_TURN_NS_MAX))
    }
}

/// Removes up to a batch of due keys and returns how many there were.
fn expire_batch(state: &State, shard: usize, database: usize) -> usize {
    // A key lives through the millisecond of its deadline.
    let now_ms = unix_time_ms() - 1;
    let mut owned = Vec::new();
    let Some(mut guard) = state.keyspace.try_lock_one(shard) else { return 0 };
    let Shard { databases, due_fields, watched, waiters, tracked } = &mut *guard;
    let tree = &mut databases[database];
    // Behind the lock: whoever begins a pause holds all of them once, and nothing expires after that.
    if state.pause.is_on()
        || state.replication.is_replica()
        || tree.next_deadline().is_none_or(|deadline| deadline > now_ms)
    {
        return 0;
    }
    let mut onlookers = Onlookers { watched, waiters, tracked };
    let expired = tree.pop_due(now_ms, EXPIRE_BATCH, |key, value| {
        removal::tell(state, &mut onlookers, database, key, Removal::Expired, 0);
        removal::log(state, database, key);
        if let Some(Value::Hash(hash)) = value.as_deref() {
            due_fields[database].forget(key, hash);
        }
        owned.extend(value);
    });
    drop(guard);
    for value in owned {
        state.lazy_free.free_value(value);
    }
    if state.departed.is_any() {
        command::serve_departed(state);
    }
    expired
}

/// Removes up to a batch of fields that are due from their hashes and returns how many there were.
fn expire_fields_batch(state: &State, shard: usize, database: usize) -> usize {
    let now_ms = unix_time_ms();
    let mut owned = Vec::new();
    let Some(mut guard) = state.keyspace.try_lock_one(shard) else { return 0 };
    // Behind the lock, as for keys.
    if state.pause.is_on() || state.replication.is_replica() {
        return 0;
    }
    let find = |tree: &Database, key: &[u8]| tree.find(state.keyspace.key(key));
    let mut removed = 0;
    while removed < EXPIRE_BATCH
        && let Some((key, expired)) =
            guard.expire_first_fields(database, now_ms, EXPIRE_BATCH - removed, state.log.is_on(), find)
    {
        // A hash that was looked at too early counts as well: that is work, too.
        removed += expired.as_ref().map_or(1, |expired| expired.count);
        if let Some(expired) = expired {
            removal::tell_fields(state, &mut guard.onlookers(), database, &key, &expired, 0);
            if state.log.is_on() {
                let words = removal::deletion_of_fields(&key, &expired);
                state.log.append(database, words.into_iter());
            }
            owned.extend(expired.emptied);
        }
    }
    drop(guard);
    for value in owned {
        state.lazy_free.free_value(value);
    }
    removed
}

/// Rewrites the append-only file when it is time. Never ends.
pub async fn append_file(state: Arc<State>) {
    let mut ticks = every(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        if !state.cron_paused.load(Ordering::Relaxed) {
            crate::append_file::look_after(&state);
        }
    }
}

/// Looks after replicas, and the log that they follow, once a second. Never ends.
pub async fn replication(state: Arc<State>) {
    let mut ticks = every(Duration::from_secs(1));
    let (mut pinged_ms, mut alone_since_ms) = (unix_time_ms(), None);
    loop {
        ticks.tick().await;
        if state.cron_paused.load(Ordering::Relaxed) {
            continue;
        }
        let (settings, now_ms) = (&state.settings, unix_time_ms());
        let replicas = state.replication.replicas();
        let is_time = now_ms - pinged_ms >= settings.int(Directive::ReplPingReplicaPeriod) * 1000;
        if is_time && !state.replication.is_replica() && !replicas.is_empty() && !state.pause.is_on() {
            state.log.append_outside([b"PING".as_slice()].into_iter());
            state.log.wake_readers();
            pinged_ms = now_ms;
        }
        replicas.iter().for_each(|replica| look_after_replica(&state, replica, now_ms));
        command::replication::count_good(&state);
        if replicas.is_empty() && !state.replication.is_replica() {
            let ttl_ms = settings.int(Directive::ReplBacklogTtl) * 1000;
            let since = *alone_since_ms.get_or_insert(now_ms);
            if ttl_ms > 0 && now_ms - since > ttl_ms && state.log.backlog().is_some() {
                drop_backlog(&state, ttl_ms / 1000);
            }
        } else {
            alone_since_ms = None;
        }
    }
}

/// Looks after a planned change of roles. Never ends.
pub async fn failover(state: Arc<State>) {
    loop {
        let failover = &state.replication.failover;
        if failover.is_on() {
            // Whether there is news or not, its time may be over.
            let _ = tokio::time::timeout(FAILOVER_INTERVAL, failover.news.notified()).await;
        } else {
            failover.news.notified().await;
        }
        command::failover::look_after(&state);
    }
}

/// Gives the backlog back that no replica has asked for. Who comes later could be told anything: the history ends with it.
fn drop_backlog(state: &State, seconds: i64) {
    let all = state.keyspace.lock(state.keyspace.all_shards());
    if state.replication.replica_count() == 0 {
        state.replication.begin_history();
        state.log.drop_backlog();
        tracing::info!(
            target: "notice",
            "Replication backlog freed after {seconds} seconds without connected replicas."
        );
    }
    drop(all);
}

fn look_after_replica(state: &State, replica: &Arc<Replica>, now_ms: i64) {
    match replica.stage() {
        Stage::Waiting | Stage::Prepared => replica.reassure(),
        Stage::Online => {
            let silent_ms = now_ms - replica.acknowledged_ms();
            if silent_ms > state.settings.int(Directive::ReplTimeout) * 1000 && !replica.is_plain {
                tracing::warn!("Disconnecting timedout replica (streaming sync): {}", replica.client.address);
                state.clients.kill(&replica.client);
            }
        }
        Stage::Streamed | Stage::Transfer | Stage::Loading => {}
    }
    // Its connection looks at its limits only when it is told something.
    replica.tell();
}

/// Samples the figures ten times a second. Never ends.
pub async fn sample(state: Arc<State>) {
    let mut ticks = every(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        if state.cron_paused.load(Ordering::Relaxed) {
            continue;
        }
        state.stats.sample(unix_time_us());
        if state.replication.replica_count() > 0 {
            state.replication.timeline.note(|| (unix_time_us(), state.log.end()));
        }
    }
}

/// Saves as save points have it. Never ends.
pub async fn save(state: Arc<State>) {
    let mut ticks = every(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        if !state.cron_paused.load(Ordering::Relaxed) {
            saving::tick(&state);
        }
    }
}

/// Evicts keys where nobody waits for it: after the limit was lowered, or when there is more to evict than one command
/// does. Looks ten times a second even if it is not asked to. Never ends.
pub async fn evict(state: Arc<State>) {
    let mut ticks = every(Duration::from_millis(100));
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = state.eviction.wanted.notified() => {}
        }
        while !state.cron_paused.load(Ordering::Relaxed)
            && !state.loading.is_on()
            && limits::make_room(&state) == Room::Soon
        {
            tokio::task::yield_now().await;
        }
        if state.departed.is_any() {
            command::serve_departed(&state);
        }
        state.log.wake_readers();
    }
}

/// Looks after the clients once a second. Never ends.
pub async fn clients(state: Arc<State>) {
    let mut ticks = every(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        if state.cron_paused.load(Ordering::Relaxed) {
            continue;
        }
        let now_ms = unix_time_ms();
        for client in state.clients.all() {
            look_after(&state, &client, now_ms);
        }
        state.migrations.links.close_idle();
        crate::client_eviction::evict(&state);
        let used = crate::eviction::used_memory(&state);
        if state.peak_memory.fetch_max(used, Ordering::Relaxed) < used {
            state.stats.note_peak(now_ms / 1000);
        }
    }
}

/// Ends a client that is silent for too long or does not read its output; has an idle one give back what it does not
/// need.
fn look_after(state: &State, client: &Client, now_ms: i64) {
    let timeout_ms = state.settings.int(Directive::Timeout) * 1000;
    let idle_ms = now_ms - client.last_active_ms.load(Ordering::Relaxed);
    let never_times_out = ClientFlags::BLOCKED | ClientFlags::PUBSUB | ClientFlags::MONITOR;
    if timeout_ms > 0 && idle_ms > timeout_ms && !client.has(never_times_out) {
        tracing::debug!("Closing idle client");
        client.kill();
    } else if client.soft_limit_since_ms.load(Ordering::Relaxed) > 0 {
        limits::check_output(state, client, client.output_memory(), now_ms);
    } else if idle_ms > IDLE_MS && client.holds_empty_buffer() {
        client.mailbox.post(Message::Wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_as_long_as_what_others_did_before_it() {
        let runtime = tokio::runtime::LocalRuntime::new().expect("it starts");
        assert!(Turn::begin(0).is_over());
        let turn = runtime.spawn_local(Turn::begin(0).pass());
        runtime.spawn_local(async { std::thread::sleep(Duration::from_millis(2)) });
        let turn = runtime.block_on(turn).expect("it ends");
        assert!(turn.length_ns >= 2_000_000, "{}", turn.length_ns);
        assert!(turn.length_ns <= EXPIRE_TURN_NS_MAX);
    }
}
