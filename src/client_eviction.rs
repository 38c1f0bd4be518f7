//! Keeps what all clients cost together below `maxmemory-clients` by ending the connections that cost most.

use crate::client::{Client, ClientFlags};
use crate::state::State;
use crate::stats::Figure;
use std::cmp::Reverse;
use std::sync::atomic::Ordering;

/// How much must be added before another look, where the clients that may not be evicted are above the limit alone, in
/// bytes.
const STEP_BYTES: usize = 1 << 20;

/// Takes note of what a client costs now, and evicts if that takes all of them above the limit.
#[inline]
pub fn note(state: &State, client: &Client) {
    if state.settings.maxmemory_clients() > 0 {
        note_and_evict(state, client);
    }
}

fn note_and_evict(state: &State, client: &Client) {
    let limit = (state.settings.maxmemory_clients() as usize).max(state.client_memory_floor.load(Ordering::Relaxed));
    if state.clients.note_memory(client) > limit {
        evict(state);
    }
}

/// Ends connections, the costliest first, until all together are below the limit.
pub fn evict(state: &State) {
    let limit = state.settings.maxmemory_clients() as usize;
    if limit == 0 {
        return;
    }
    let mut clients = state.clients.recount_memory();
    // Those that are leaving need not make room a second time.
    clients.retain(|(_, client)| !client.is_killed());
    let mut total: usize = clients.iter().map(|(bytes, _)| bytes).sum();
    clients.retain(|(_, client)| !client.has(ClientFlags::NO_EVICT));
    clients.sort_unstable_by_key(|(bytes, _)| Reverse(*bytes));
    for (bytes, client) in clients {
        if total <= limit {
            break;
        }
        tracing::info!(target: "notice", "Evicting client: id={} addr={} tot-mem={bytes}", client.id, client.address);
        state.stats.add(Figure::EvictedClients, 1);
        state.clients.kill(&client);
        total -= bytes;
    }
    let floor = if total > limit { total + STEP_BYTES } else { 0 };
    state.client_memory_floor.store(floor, Ordering::Relaxed);
}
