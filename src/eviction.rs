//! Keeps memory below `maxmemory` by removing keys.

use crate::access;
use crate::config::Directive;
use crate::memory;
use crate::pubsub::EventClass;
use crate::state::{State, unix_time_ms};
use crate::stats::Figure;
use rand::Rng;

/// Keys evicted before memory is measured again.
const EVICTIONS_PER_LOOK: usize = 16;
/// Looks at the allocator that one command pays for; the next command goes on.
const LOOKS_MAX: usize = 64;

/// How the key to evict is chosen among the sampled ones.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Random,
    LeastRecent,
    LeastFrequent,
    EarliestDeadline,
}

/// Bytes that are allocated, less what clients hold that were killed: no key is evicted for what is free in a moment.
fn allocated(state: &State) -> usize {
    memory::publish().saturating_sub(state.clients.leaving_bytes())
}

/// Bytes in use as eviction counts them: what is [`allocated`], less what is free inside pages.
pub fn used_memory(state: &State) -> usize {
    let free: usize = (0..state.keyspace.shard_count())
        .map(|shard| {
            let shard = state.keyspace.lock_one(shard);
            shard.databases.iter().map(|tree| tree.memory().page_free_bytes).sum::<usize>()
        })
        .sum();
    allocated(state).saturating_sub(free)
}

/// Evicts keys until memory is below `maxmemory`. Returns false if it is above and nothing can be evicted.
pub fn make_room(state: &State) -> bool {
    let limit = state.settings.int(Directive::Maxmemory).max(0) as usize;
    if allocated(state) <= limit {
        return true;
    }
    for _ in 0..LOOKS_MAX {
        if used_memory(state) <= limit {
            return true;
        }
        let policy = state.settings.enum_name(Directive::MaxmemoryPolicy);
        if policy == "noeviction" {
            return false;
        }
        let started = access::ticks();
        let evicted = (0..EVICTIONS_PER_LOOK).filter(|_| evict_one(state, policy)).count();
        let milliseconds = access::nanoseconds_since(started) / 1_000_000;
        let threshold = state.settings.int(Directive::LatencyMonitorThreshold);
        if threshold > 0 && milliseconds >= threshold as u64 {
            state.latency.add("eviction-cycle", unix_time_ms() / 1000, milliseconds as u32);
        }
        if evicted == 0 {
            return false;
        }
    }
    true
}

/// Evicts the best of a few sampled keys. Returns false if there is none.
fn evict_one(state: &State, policy: &str) -> bool {
    let volatile_only = policy.starts_with("volatile-");
    let order = match policy.split_once('-').map_or("", |(_, order)| order) {
        "lru" => Order::LeastRecent,
        "lfu" => Order::LeastFrequent,
        "ttl" => Order::EarliestDeadline,
        _ => Order::Random,
    };
    let samples = match order {
        Order::Random => 1,
        _ => state.settings.int(Directive::MaxmemorySamples).max(1) as usize,
    };
    let shards = state.keyspace.shard_count();
    let first = rand::rng().random_range(0..shards);
    (0..shards).any(|offset| {
        let shard = (first + offset) % shards;
        (0..state.keyspace.databases())
            .any(|database| evict_from(state, shard, database, volatile_only, order, samples))
    })
}

fn evict_from(state: &State, shard: usize, database: usize, volatile_only: bool, order: Order, samples: usize) -> bool {
    let now_ms = unix_time_ms();
    let mut guard = state.keyspace.lock_one(shard);
    let shard = &mut *guard;
    let tree = &mut shard.databases[database];
    if tree.is_empty() || (volatile_only && tree.deadlines() == 0) {
        return false;
    }
    let mut best = None;
    let mut candidates = 0;
    // Where few keys have a deadline, more must be looked at to find them.
    let attempts = if volatile_only { samples * (tree.len() / tree.deadlines()).clamp(1, 1000) * 4 } else { samples };
    for _ in 0..attempts {
        let Some(position) = tree.random(&mut rand::rng()) else { break };
        let deadline = tree.deadline(position);
        if volatile_only && deadline.is_none() {
            continue;
        }
        let clock = tree.clock(position);
        // The greatest score is evicted.
        let score = match order {
            Order::Random => 0,
            Order::LeastRecent => i64::from(access::idle_seconds(&state.settings, clock, now_ms)),
            Order::LeastFrequent => 255 - i64::from(access::frequency(&state.settings, clock, now_ms)),
            Order::EarliestDeadline => deadline.map_or(i64::MIN, |deadline| -deadline),
        };
        if best.is_none_or(|(best, _)| score > best) {
            best = Some((score, position));
        }
        candidates += 1;
        if candidates == samples {
            break;
        }
    }
    let Some((_, position)) = best else { return false };
    let mut key = Vec::new();
    tree.key(position, &mut key);
    let value = tree.remove(position);
    shard.watched.touch(database, &key);
    state.pubsub.notify(EventClass::Evicted, "evicted", database, &key);
    drop(guard);
    if let Some(value) = value {
        state.lazy_free.free_value(value);
    }
    state.stats.add(Figure::EvictedKeys, 1);
    true
}
