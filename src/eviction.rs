//! Keeps memory below `maxmemory` by removing keys.
//!
//! A command that finds too much in use evicts keys before it takes any lock of its own, for as long as
//! `maxmemory-eviction-tenacity` says; what is left then is evicted in the background, in steps as long. Each look at
//! keys, and each eviction, holds one shard for a few microseconds.
//!
//! Where the policy prefers some keys to others, candidates are sampled, and the best of them are kept in a pool from
//! one eviction to the next, so that what is evicted is the best of many samples and not just of a few.

mod pool;

use crate::access;
use crate::config::{Directive, MaxmemoryPolicy};
use crate::memory;
use crate::removal::{self, Removal};
use crate::state::{State, unix_time_ms};
use crate::store::{Database, Position, Shard};
use parking_lot::{Mutex, MutexGuard};
use pool::{Candidate, Pool};
use rand::Rng;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Evictions between two looks at the clock.
const EVICTIONS_PER_LOOK: usize = 16;

/// What became of an attempt to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Enough,
    /// Keys are being evicted: it will be enough soon.
    Soon,
    /// Nothing may be evicted any more.
    None,
}

/// What is kept between evictions.
#[derive(Default)]
pub struct Eviction {
    pool: Mutex<Pool>,
    /// Bytes of the keys in the pool: what is kept for evicting is not to be made up for by it.
    pool_bytes: AtomicUsize,
    /// Bytes that it took to tell of what has been evicted since room began to be made: messages to clients, the log. They are
    /// gone soon. Were they to be made up for by further evictions, of which must be told as well, that would have no end.
    told_bytes: AtomicUsize,
    /// Wakes the background when there is more to evict than one command does.
    pub wanted: Notify,
}

/// Bytes in use as eviction counts them, and `INFO`: what is allocated, less what is free inside pages, less what is
/// free in a moment: values on their way to the background, and what clients hold that were killed.
pub fn used_memory(state: &State) -> usize {
    memory::publish().saturating_sub(state.lazy_free.pending_bytes() + state.clients.leaving_bytes())
}

/// Bytes in use that `maxmemory` is about: not what waits in the log for those who are to read it, which is gone once they have,
/// and not what is kept for evicting. Evicting would add to either.
fn counted_memory(state: &State) -> usize {
    used_memory(state).saturating_sub(not_counted_memory(state))
}

/// Bytes in use that `maxmemory` is not about.
pub fn not_counted_memory(state: &State) -> usize {
    state.log.unread_memory() + state.eviction.pool_bytes.load(Ordering::Relaxed)
}

/// Evicts keys until memory is below `maxmemory`, or until time is up.
pub fn make_room(state: &State) -> Room {
    let limit = state.settings.int(Directive::Maxmemory) as usize;
    if limit == 0 || counted_memory(state) <= limit {
        return Room::Enough;
    }
    let policy = state.settings.choice(Directive::MaxmemoryPolicy);
    if policy == MaxmemoryPolicy::Noeviction {
        return Room::None;
    }
    let time_max_us = time_max_us(state.settings.int(Directive::MaxmemoryEvictionTenacity));
    let mut pool = state.eviction.pool.lock();
    let started = access::ticks();
    state.eviction.told_bytes.store(0, Ordering::Relaxed);
    let is_above = || counted_memory(state) > limit.saturating_add(state.eviction.told_bytes.load(Ordering::Relaxed));
    let room = loop {
        let mut evicted = 0;
        while evicted < EVICTIONS_PER_LOOK && is_above() && evict_one(state, policy, &mut pool) {
            evicted += 1;
        }
        if evicted < EVICTIONS_PER_LOOK {
            break if is_above() { Room::None } else { Room::Enough };
        }
        if access::nanoseconds_since(started) / 1000 > time_max_us {
            state.eviction.wanted.notify_one();
            break Room::Soon;
        }
    };
    let milliseconds = access::nanoseconds_since(started) / 1_000_000;
    let threshold = state.settings.int(Directive::LatencyMonitorThreshold);
    if threshold > 0 && milliseconds >= threshold as u64 {
        state.latency.add("eviction-cycle", unix_time_ms() / 1000, milliseconds as u32);
    }
    room
}

/// For how long keys are evicted at a time: as in Redis, 50 microseconds for each step of `tenacity` up to 10, then 15 %
/// more for each; 100 is without end.
fn time_max_us(tenacity: i64) -> u64 {
    match tenacity {
        ..=10 => 50 * tenacity.max(0) as u64,
        11..100 => (500.0 * 1.15f64.powi(tenacity as i32 - 10)) as u64,
        _ => u64::MAX,
    }
}

/// Evicts a key. Returns false if there is none that may be evicted.
fn evict_one(state: &State, policy: MaxmemoryPolicy, pool: &mut Pool) -> bool {
    match policy {
        MaxmemoryPolicy::AllkeysRandom | MaxmemoryPolicy::VolatileRandom => {
            any_shard(state, |number| evict_random(state, number, policy))
        }
        _ => {
            pool.begin(policy);
            let is_evicted = evict_best(state, policy, pool);
            state.eviction.pool_bytes.store(pool.bytes(), Ordering::Relaxed);
            is_evicted
        }
    }
}

/// Evicts the best of what is sampled now and was before. Returns false if there is none that may be evicted.
fn evict_best(state: &State, policy: MaxmemoryPolicy, pool: &mut Pool) -> bool {
    loop {
        let found = any_shard(state, |number| sample(state, number, policy, pool));
        let Some(candidate) = pool.pop() else { return false };
        if evict_candidate(state, policy, &candidate) {
            return true;
        }
        if !found && pool.is_empty() {
            return false;
        }
    }
}

/// Does something with one shard after the other, from a random one on, until it succeeds.
fn any_shard(state: &State, mut succeeds: impl FnMut(usize) -> bool) -> bool {
    let count = state.keyspace.shard_count();
    let first = rand::rng().random_range(0..count);
    (first..count).chain(0..first).any(&mut succeeds)
}

fn is_volatile(policy: MaxmemoryPolicy) -> bool {
    use MaxmemoryPolicy::{VolatileLfu, VolatileLru, VolatileRandom, VolatileTtl};
    matches!(policy, VolatileLru | VolatileLfu | VolatileRandom | VolatileTtl)
}

/// How many keys of a database may be evicted.
fn evictable(tree: &Database, policy: MaxmemoryPolicy) -> usize {
    if is_volatile(policy) { tree.deadlines() } else { tree.len() }
}

/// A random record of those that may be evicted.
fn random(tree: &mut Database, policy: MaxmemoryPolicy) -> Option<Position> {
    let rng = &mut rand::rng();
    if is_volatile(policy) { tree.random_with_deadline(rng) } else { tree.random(rng) }
}

/// Evicts any key of a shard; each of its databases has a share by the number of its keys.
fn evict_random(state: &State, number: usize, policy: MaxmemoryPolicy) -> bool {
    let mut guard = state.keyspace.lock_one(number);
    let total: usize = guard.databases.iter().map(|tree| evictable(tree, policy)).sum();
    if total == 0 {
        return false;
    }
    let mut index = rand::rng().random_range(0..total);
    let database = guard.databases.iter().position(|tree| {
        let count = evictable(tree, policy);
        let is_here = index < count;
        index = index.wrapping_sub(count);
        is_here
    });
    let chosen = database.and_then(|database| Some((database, random(&mut guard.databases[database], policy)?)));
    let Some((database, position)) = chosen else { return false };
    evict(state, guard, database, position);
    true
}

/// Looks at a few keys of each database of a shard and puts the best into the pool. Returns whether there were any.
fn sample(state: &State, number: usize, policy: MaxmemoryPolicy, pool: &mut Pool) -> bool {
    let samples_max = state.settings.int(Directive::MaxmemorySamples) as usize;
    let now_ms = unix_time_ms();
    let mut samples: SmallVec<[Position; 16]> = SmallVec::new();
    let mut guard = state.keyspace.lock_one(number);
    let mut found = false;
    for (database, tree) in guard.databases.iter_mut().enumerate() {
        if evictable(tree, policy) == 0 {
            continue;
        }
        if policy == MaxmemoryPolicy::VolatileTtl {
            samples.extend(tree.first_to_expire());
        } else {
            samples.extend((0..samples_max).filter_map(|_| random(tree, policy)));
        }
        found |= !samples.is_empty();
        for position in samples.drain(..) {
            let (clock, score) = (tree.clock(position), score(state, policy, tree, position, now_ms));
            if pool.wants(score) {
                let mut key = Vec::new();
                tree.key(position, &mut key);
                pool.put(Candidate { score, shard: number, database, clock, key });
            }
        }
    }
    found
}

/// How well it would be to evict a record: that with the greatest score goes first.
fn score(state: &State, policy: MaxmemoryPolicy, tree: &Database, position: Position, now_ms: i64) -> i64 {
    use MaxmemoryPolicy::{AllkeysLfu, AllkeysLru, VolatileLfu, VolatileLru, VolatileTtl};
    let (settings, clock) = (&state.settings, tree.clock(position));
    match policy {
        // The time of the last access, which can be compared with that of a candidate that was sampled long ago.
        AllkeysLru | VolatileLru => i64::from(access::idle_seconds(settings, clock, now_ms)) - now_ms / 1000,
        AllkeysLfu | VolatileLfu => -i64::from(access::frequency(settings, clock, now_ms)),
        VolatileTtl => tree.deadline(position).map_or(i64::MIN, |deadline| -deadline),
        _ => 0,
    }
}

/// Evicts a candidate. Returns false if it is gone, has been used since, or may not be evicted any more.
fn evict_candidate(state: &State, policy: MaxmemoryPolicy, candidate: &Candidate) -> bool {
    let guard = state.keyspace.lock_one(candidate.shard);
    let tree = &guard.databases[candidate.database];
    let position = tree.find(state.keyspace.key(&candidate.key)).filter(|position| {
        tree.clock(*position) == candidate.clock && (!is_volatile(policy) || tree.deadline(*position).is_some())
    });
    let Some(position) = position else { return false };
    evict(state, guard, candidate.database, position);
    true
}

/// Removes a record, with all that follows from it.
fn evict(state: &State, mut guard: MutexGuard<'_, Shard>, database: usize, position: Position) {
    let shard = &mut *guard;
    let tree = &mut shard.databases[database];
    let mut key = Vec::new();
    tree.key(position, &mut key);
    let value = tree.remove(position);
    if let Some(value) = &value {
        shard.forget_fields(database, &key, value);
    }
    let counted = || memory::publish().saturating_sub(not_counted_memory(state));
    let before = counted();
    removal::tell(state, &mut shard.onlookers(), database, &key, Removal::Evicted, 0);
    removal::log(state, database, &key);
    drop(guard);
    state.eviction.told_bytes.fetch_add(counted().saturating_sub(before), Ordering::Relaxed);
    if let Some(value) = value {
        state.lazy_free.free_value(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenacity_is_that_of_redis() {
        assert_eq!([0, 1, 10, 11, 20, 100].map(time_max_us), [0, 50, 500, 575, 2022, u64::MAX]);
    }
}
