//! Clients that wait for a key to get elements (`BLPOP` and its kin), in order of arrival.

use super::ShardSet;
use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// How a wait stands. It leaves [`TicketState::Waiting`] once, by compare-and-swap: whoever moves it acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TicketState {
    Waiting = 0,
    /// Somebody served it: the reply is in the client's mailbox.
    Served = 1,
    /// It timed out, was unblocked by another client, or its client left.
    Ended = 2,
}

/// One wait of one client, shared by the client and by the queues of all the keys it waits for.
pub struct Waiter {
    state: AtomicU8,
    database: usize,
    keys: Box<[Box<[u8]>]>,
    shards: ShardSet,
    feeds: Option<Box<[u8]>>,
    action: Box<dyn Any + Send + Sync>,
}

impl Waiter {
    /// A wait for any of `keys` of `database`. `shards`: all that serving it may touch. `feeds`: the key that serving
    /// it gives elements to in turn (`BLMOVE`'s destination). `action`: how it is served, known to the command layer.
    pub fn new(
        database: usize,
        keys: Box<[Box<[u8]>]>,
        shards: ShardSet,
        feeds: Option<Box<[u8]>>,
        action: Box<dyn Any + Send + Sync>,
    ) -> Self {
        Waiter { state: AtomicU8::new(TicketState::Waiting as u8), database, keys, shards, feeds, action }
    }

    pub fn is_waiting(&self) -> bool {
        self.state.load(Ordering::Acquire) == TicketState::Waiting as u8
    }

    /// Claims the wait; false if somebody else has.
    pub fn claim(&self, state: TicketState) -> bool {
        let waiting = TicketState::Waiting as u8;
        self.state.compare_exchange(waiting, state as u8, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub fn database(&self) -> usize {
        self.database
    }

    pub fn keys(&self) -> &[Box<[u8]>] {
        &self.keys
    }

    pub fn shards(&self) -> ShardSet {
        self.shards
    }

    pub fn feeds(&self) -> Option<&[u8]> {
        self.feeds.as_deref()
    }

    pub fn action(&self) -> &(dyn Any + Send + Sync) {
        &*self.action
    }
}

/// Who waits for one key, first come first.
#[derive(Default)]
pub struct WaitQueue {
    waiters: VecDeque<Arc<Waiter>>,
}

impl WaitQueue {
    pub fn waiters(&self) -> impl Iterator<Item = &Arc<Waiter>> {
        self.waiters.iter()
    }
}

/// The waiting clients of one shard, per database and key.
#[derive(Default)]
pub struct Waiters {
    queues: HashMap<(usize, Box<[u8]>), WaitQueue>,
    /// Shards that serving anybody here may touch; may name too many, never too few.
    shards: ShardSet,
}

impl Waiters {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Keys that clients wait for, over all databases.
    pub fn key_count(&self) -> usize {
        self.queues.len()
    }

    /// Shards that must be held to serve anybody here; empty if nobody waits.
    #[inline]
    pub fn shards(&self) -> ShardSet {
        self.shards
    }

    pub fn queue(&self, database: usize, key: &[u8]) -> Option<&WaitQueue> {
        if self.queues.is_empty() {
            return None;
        }
        self.queues.get(&(database, Box::from(key)))
    }

    /// The keys of `database` that somebody waits for.
    pub fn keys(&self, database: usize) -> impl Iterator<Item = &[u8]> {
        self.queues.keys().filter(move |(db, _)| *db == database).map(|(_, key)| &**key)
    }

    /// Puts `waiter` last in the queue of `key`, which is one of its keys.
    pub fn add(&mut self, key: &[u8], waiter: &Arc<Waiter>) {
        let queue = self.queues.entry((waiter.database, key.into())).or_default();
        queue.waiters.push_back(Arc::clone(waiter));
        self.shards = self.shards.union(waiter.shards);
    }

    /// Takes `waiter` out of the queue of `key`.
    pub fn remove(&mut self, key: &[u8], waiter: &Arc<Waiter>) {
        let id = (waiter.database, Box::from(key));
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.waiters.retain(|other| !Arc::ptr_eq(other, waiter));
            if queue.waiters.is_empty() {
                self.queues.remove(&id);
            }
        }
        if self.queues.is_empty() {
            self.shards = ShardSet::EMPTY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_claimed_once_and_leaves_its_queue() {
        let keys = [Box::from(b"q".as_slice())];
        let waiter = Arc::new(Waiter::new(0, keys.into(), ShardSet::single(3), None, Box::new(())));
        let mut waiters = Waiters::default();
        waiters.add(b"q", &waiter);
        assert_eq!(waiters.shards(), ShardSet::single(3));
        assert_eq!(waiters.queue(0, b"q").unwrap().waiters().count(), 1);
        assert!(waiters.queue(1, b"q").is_none());
        assert!(waiter.claim(TicketState::Served));
        assert!(!waiter.claim(TicketState::Ended));
        waiters.remove(b"q", &waiter);
        assert!(waiters.is_empty());
    }
}
