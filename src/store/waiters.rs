//! Clients that wait for a key to get elements (`BLPOP` and its kin), in order of arrival.

use super::ShardSet;
use crate::value::Type;
use smallvec::SmallVec;
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
    /// Grows with each wait of the server: the order of arrival.
    number: u64,
    database: usize,
    keys: Box<[Box<[u8]>]>,
    wanted: Type,
    needs_keys: bool,
    shards: ShardSet,
    feeds: Option<Box<[u8]>>,
    action: Box<dyn Any + Send + Sync>,
}

/// What a wait is for.
pub struct Wanted {
    pub database: usize,
    /// Any of these serves the wait; one that is named twice counts once.
    pub keys: Box<[Box<[u8]>]>,
    /// The type of value that serves it.
    pub value: Type,
    /// It is served, with an error, by a key that is gone or of another type, too.
    pub needs_keys: bool,
    /// All that serving it may touch.
    pub shards: ShardSet,
    /// The key that serving it gives elements to in turn (`BLMOVE`'s destination).
    pub feeds: Option<Box<[u8]>>,
}

impl Waiter {
    /// A wait that begins now. `number`: from [`super::Keyspace::next_wait`], with the shards of its keys locked.
    /// `action`: how it is served, known to the command layer.
    pub fn new(number: u64, wanted: Wanted, action: Box<dyn Any + Send + Sync>) -> Self {
        Waiter {
            state: AtomicU8::new(TicketState::Waiting as u8),
            number,
            database: wanted.database,
            keys: wanted.keys,
            wanted: wanted.value,
            needs_keys: wanted.needs_keys,
            shards: wanted.shards,
            feeds: wanted.feeds,
            action,
        }
    }

    pub fn is_waiting(&self) -> bool {
        self.state.load(Ordering::Acquire) == TicketState::Waiting as u8
    }

    /// Claims the wait; false if somebody else has.
    pub fn claim(&self, state: TicketState) -> bool {
        let waiting = TicketState::Waiting as u8;
        self.state.compare_exchange(waiting, state as u8, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub fn number(&self) -> u64 {
        self.number
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

    pub fn action(&self) -> &(dyn Any + Send + Sync) {
        &*self.action
    }
}

/// Those who wait for the same in the same database, first come first.
struct Lane {
    database: usize,
    wanted: Type,
    needs_keys: bool,
    /// Ascending by number.
    waiters: VecDeque<Arc<Waiter>>,
}

impl Lane {
    fn is_for(&self, waiter: &Waiter) -> bool {
        self.database == waiter.database && self.wanted == waiter.wanted && self.needs_keys == waiter.needs_keys
    }
}

/// Who waits for one key, in any database.
#[derive(Default)]
pub struct WaitQueue {
    lanes: SmallVec<[Lane; 1]>,
    /// Keys that get elements when somebody here is served, each with how many of them feed it.
    feeds: HashMap<Box<[u8]>, usize>,
    /// Shards that serving anybody here may touch; may name too many, never too few.
    shards: ShardSet,
    /// Waits that have left since `shards` was exact.
    left: usize,
}

impl WaitQueue {
    /// The first in the queue, of those behind the wait of number `after`, who is served by a value of type `present` in
    /// `database`, or by there being none. 0 is before all.
    pub fn next(&self, database: usize, present: Option<Type>, after: u64) -> Option<&Arc<Waiter>> {
        let is_served = |lane: &&Lane| lane.database == database && (present == Some(lane.wanted) || lane.needs_keys);
        let firsts = self.lanes.iter().filter(is_served).filter_map(|lane| {
            // Nearly always the very first: the one before has been served and is gone.
            match lane.waiters.front() {
                Some(first) if first.number > after => Some(first),
                _ => lane.waiters.get(lane.waiters.partition_point(|waiter| waiter.number <= after)),
            }
        });
        firsts.min_by_key(|waiter| waiter.number)
    }

    /// The type that the key must keep in `database`, since somebody here is to know when it goes or changes.
    fn needed_type(&self, database: usize) -> Option<Type> {
        self.lanes.iter().find(|lane| lane.needs_keys && lane.database == database).map(|lane| lane.wanted)
    }

    /// Shards that must be held to serve anybody here.
    pub fn shards(&self) -> ShardSet {
        self.shards
    }

    /// Keys that get elements when somebody here is served.
    pub fn feeds(&self) -> impl Iterator<Item = &[u8]> {
        self.feeds.keys().map(|key| &**key)
    }

    /// The databases in which somebody waits.
    fn databases(&self) -> impl Iterator<Item = usize> {
        let lanes = self.lanes.iter().enumerate();
        let is_first = |index: usize, database| self.lanes[..index].iter().all(|lane| lane.database != database);
        lanes.filter(move |(index, lane)| is_first(*index, lane.database)).map(|(_, lane)| lane.database)
    }

    fn add(&mut self, waiter: &Arc<Waiter>) {
        let index = match self.lanes.iter().position(|lane| lane.is_for(waiter)) {
            Some(index) => index,
            None => {
                self.lanes.push(Lane {
                    database: waiter.database,
                    wanted: waiter.wanted,
                    needs_keys: waiter.needs_keys,
                    waiters: VecDeque::with_capacity(1),
                });
                self.lanes.len() - 1
            }
        };
        let lane = &mut self.lanes[index].waiters;
        if let Some(last) = lane.back() {
            if last.number == waiter.number {
                return;
            }
            debug_assert!(last.number < waiter.number, "waits are numbered while their shards are locked");
        }
        lane.push_back(Arc::clone(waiter));
        self.shards = self.shards.union(waiter.shards);
        if let Some(key) = &waiter.feeds {
            *self.feeds.entry(key.clone()).or_default() += 1;
        }
    }

    fn remove(&mut self, waiter: &Waiter) {
        let Some(index) = self.lanes.iter().position(|lane| lane.is_for(waiter)) else { return };
        let lane = &mut self.lanes[index].waiters;
        let Ok(at) = lane.binary_search_by_key(&waiter.number, |waiter| waiter.number) else { return };
        lane.remove(at);
        if lane.is_empty() {
            self.lanes.swap_remove(index);
        }
        if let Some(key) = &waiter.feeds
            && let Some(count) = self.feeds.get_mut(key)
        {
            *count -= 1;
            if *count == 0 {
                self.feeds.remove(key);
            }
        }
        self.left += 1;
        let waiting: usize = self.lanes.iter().map(|lane| lane.waiters.len()).sum();
        if self.left > waiting {
            // At most once for as many waits as it looks at.
            let waiters = self.lanes.iter().flat_map(|lane| &lane.waiters);
            self.shards = waiters.fold(ShardSet::EMPTY, |shards, waiter| shards.union(waiter.shards));
            self.left = 0;
        }
    }
}

/// The waiting clients of one shard, by key.
#[derive(Default)]
pub struct Waiters {
    queues: HashMap<Box<[u8]>, WaitQueue>,
}

impl Waiters {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Keys that clients wait for, over all databases.
    pub fn key_count(&self) -> usize {
        self.queues.values().map(|queue| queue.databases().count()).sum()
    }

    /// Of these, those that must not go before the wait is over.
    pub fn needed_key_count(&self) -> usize {
        let needed =
            |queue: &WaitQueue| queue.databases().filter(|database| queue.needed_type(*database).is_some()).count();
        self.queues.values().map(needed).sum()
    }

    /// Those who wait for `key`, in any database.
    #[inline]
    pub fn queue(&self, key: &[u8]) -> Option<&WaitQueue> {
        if self.queues.is_empty() {
            return None;
        }
        self.queues.get(key)
    }

    /// Whether anybody waits for `key` in `database`.
    #[inline]
    pub fn is_awaited(&self, database: usize, key: &[u8]) -> bool {
        self.queue(key).is_some_and(|queue| queue.databases().any(|awaited| awaited == database))
    }

    /// The type that `key` must keep in `database`, since somebody waits for it who is to know when it goes or changes.
    #[inline]
    pub fn needed_type(&self, database: usize, key: &[u8]) -> Option<Type> {
        self.queue(key)?.needed_type(database)
    }

    /// The keys of `database` that somebody waits for.
    pub fn keys(&self, database: usize) -> impl Iterator<Item = &[u8]> {
        let queues = self.queues.iter();
        queues.filter(move |(_, queue)| queue.databases().any(|awaited| awaited == database)).map(|(key, _)| &**key)
    }

    /// Puts `waiter` last in the queue of `key`, which is one of its keys, unless it is there already.
    pub fn add(&mut self, key: &[u8], waiter: &Arc<Waiter>) {
        match self.queues.get_mut(key) {
            Some(queue) => queue.add(waiter),
            None => self.queues.entry(key.into()).or_default().add(waiter),
        }
    }

    /// Takes `waiter` out of the queue of `key`, if it is there.
    pub fn remove(&mut self, key: &[u8], waiter: &Waiter) {
        if let Some(queue) = self.queues.get_mut(key) {
            queue.remove(waiter);
            if queue.lanes.is_empty() {
                self.queues.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(number: u64, database: usize, value: Type, shard: usize, feeds: Option<&[u8]>) -> Arc<Waiter> {
        let wanted = Wanted {
            database,
            keys: [Box::from(b"q".as_slice())].into(),
            value,
            needs_keys: false,
            shards: ShardSet::single(shard),
            feeds: feeds.map(Box::from),
        };
        Arc::new(Waiter::new(number, wanted, Box::new(())))
    }

    fn next(waiters: &Waiters, database: usize, after: u64) -> Option<u64> {
        waiters.queue(b"q")?.next(database, Some(Type::List), after).map(|waiter| waiter.number())
    }

    #[test]
    fn a_wait_is_claimed_once() {
        let waiter = waiter(1, 0, Type::List, 3, None);
        assert!(waiter.claim(TicketState::Served));
        assert!(!waiter.claim(TicketState::Ended));
    }

    #[test]
    fn those_who_wait_come_in_order_by_database_and_type() {
        let mut waiters = Waiters::default();
        let all: Vec<_> = [(1, 0, Type::List), (2, 1, Type::List), (3, 0, Type::String), (4, 0, Type::List)]
            .map(|(number, database, value)| waiter(number, database, value, number as usize, None))
            .into();
        for waiter in &all {
            waiters.add(b"q", waiter);
            // A key that is named twice.
            waiters.add(b"q", waiter);
        }
        assert_eq!([next(&waiters, 0, 0), next(&waiters, 0, 1), next(&waiters, 0, 4)], [Some(1), Some(4), None]);
        assert_eq!([next(&waiters, 1, 0), next(&waiters, 1, 2), next(&waiters, 2, 0)], [Some(2), None, None]);
        assert_eq!(waiters.key_count(), 2);
        assert!(waiters.is_awaited(1, b"q") && !waiters.is_awaited(2, b"q"));
        for waiter in &all {
            waiters.remove(b"q", waiter);
            waiters.remove(b"q", waiter);
        }
        assert!(waiters.is_empty());
    }

    #[test]
    fn those_who_need_a_key_learn_that_it_is_gone() {
        let mut waiters = Waiters::default();
        let needing = |number| {
            let wanted = Wanted {
                database: 0,
                keys: [Box::from(b"q".as_slice())].into(),
                value: Type::Stream,
                needs_keys: true,
                shards: ShardSet::single(1),
                feeds: None,
            };
            Arc::new(Waiter::new(number, wanted, Box::new(())))
        };
        let all = [needing(1), waiter(2, 0, Type::Stream, 1, None), needing(3), waiter(4, 0, Type::List, 1, None)];
        for waiter in &all {
            waiters.add(b"q", waiter);
        }
        let served = |present, after| {
            waiters.queue(b"q").and_then(|queue| queue.next(0, present, after)).map(|waiter| waiter.number())
        };
        assert_eq!([0, 1, 2, 3].map(|after| served(Some(Type::Stream), after)), [Some(1), Some(2), Some(3), None]);
        assert_eq!([0, 1, 3].map(|after| served(None, after)), [Some(1), Some(3), None]);
        assert_eq!([0, 1, 3].map(|after| served(Some(Type::List), after)), [Some(1), Some(3), Some(4)]);
        assert_eq!([0, 1].map(|database| waiters.needed_type(database, b"q")), [Some(Type::Stream), None]);
        assert_eq!((waiters.key_count(), waiters.needed_key_count()), (1, 1));
        for waiter in &all {
            waiters.remove(b"q", waiter);
        }
        assert!(waiters.is_empty());
    }

    #[test]
    fn shards_and_feeds_of_those_who_left_are_forgotten() {
        let mut waiters = Waiters::default();
        let (short, long) = (waiter(1, 0, Type::List, 1, Some(b"a")), waiter(2, 0, Type::List, 2, Some(b"a")));
        waiters.add(b"q", &long);
        waiters.remove(b"q", &long);
        waiters.add(b"q", &short);
        let later = waiter(3, 0, Type::List, 3, None);
        waiters.add(b"q", &later);
        waiters.remove(b"q", &short);
        let queue = waiters.queue(b"q").unwrap();
        assert_eq!(queue.feeds().count(), 0);
        assert!(queue.shards().contains(3));
        // A queue that never empties.
        for number in 4..10 {
            let passing = waiter(number, 0, Type::List, 1, None);
            waiters.add(b"q", &passing);
            waiters.remove(b"q", &passing);
        }
        let replacement = waiter(10, 0, Type::List, 3, None);
        waiters.add(b"q", &replacement);
        waiters.remove(b"q", &later);
        waiters.remove(b"q", &later);
        waiters.add(b"q", &waiter(11, 0, Type::List, 3, None));
        waiters.remove(b"q", &replacement);
        assert_eq!(waiters.queue(b"q").unwrap().shards(), ShardSet::single(3));
    }
}
