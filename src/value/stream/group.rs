//! Consumer groups: how far a group has read, and which entries its consumers have been given but not yet acknowledged.

use super::StreamId;
use super::ordered::{HasId, Ordered};
use std::collections::BTreeMap;

/// A consumer of a group, by number: it stays the same as long as the consumer is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerNumber(u32);

/// An entry that a consumer was given and has not acknowledged. The entry itself may be gone meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    /// The entry's id.
    pub id: StreamId,
    /// Who was given it last.
    pub consumer: ConsumerNumber,
    /// When, in milliseconds of Unix time.
    pub delivered_ms: i64,
    /// How many times.
    pub deliveries: u64,
}

impl HasId for Pending {
    #[inline]
    fn id(&self) -> StreamId {
        self.id
    }
}

/// A consumer of a group.
#[derive(Debug, Clone)]
pub struct Consumer {
    name: Box<[u8]>,
    /// When it last asked for anything, in milliseconds of Unix time.
    pub seen_ms: i64,
    /// When it last got an entry; `None`: never.
    pub active_ms: Option<i64>,
    pending: Ordered<StreamId>,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Entries that it has not acknowledged.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The ids of these entries, in order, from `start` on.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = StreamId> {
        self.pending.iter_from(self.pending.lower_bound(start)).copied()
    }
}

/// A group of consumers that share the entries of a stream.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// The last entry that was given to any consumer.
    pub last_id: StreamId,
    /// How many of the stream's entries the group has read, counted from the first that the stream ever had; `None` if
    /// that is not known.
    pub entries_read: Option<u64>,
    pending: Ordered<Pending>,
    names: BTreeMap<Box<[u8]>, ConsumerNumber>,
    /// By number.
    consumers: Vec<Option<Consumer>>,
    /// Numbers of consumers that are gone.
    free: Vec<ConsumerNumber>,
}

impl Group {
    /// A group that begins behind the entry `last_id`.
    pub fn new(last_id: StreamId, entries_read: Option<u64>) -> Self {
        Group { last_id, entries_read, ..Group::default() }
    }

    /// The consumers, in the order of their names.
    pub fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.names.values().filter_map(|number| self.consumers[number.0 as usize].as_ref())
    }

    /// Number of consumers.
    pub fn consumer_count(&self) -> usize {
        self.names.len()
    }

    /// The consumer called `name`.
    pub fn find_consumer(&self, name: &[u8]) -> Option<ConsumerNumber> {
        self.names.get(name).copied()
    }

    /// The consumer of this number.
    ///
    /// # Panics
    /// If the number is of another group, or its consumer is gone.
    #[inline]
    pub fn consumer(&self, number: ConsumerNumber) -> &Consumer {
        self.consumers[number.0 as usize].as_ref().expect("a number is used as long as its consumer is there")
    }

    /// The consumer of this number, to be changed.
    ///
    /// # Panics
    /// As [`Group::consumer`].
    #[inline]
    pub fn consumer_mut(&mut self, number: ConsumerNumber) -> &mut Consumer {
        self.consumers[number.0 as usize].as_mut().expect("a number is used as long as its consumer is there")
    }

    /// Adds a consumer that is not there yet.
    pub fn add_consumer(&mut self, name: &[u8], now_ms: i64) -> ConsumerNumber {
        let consumer = Consumer { name: name.into(), seen_ms: now_ms, active_ms: None, pending: Ordered::default() };
        let number = match self.free.pop() {
            Some(number) => {
                self.consumers[number.0 as usize] = Some(consumer);
                number
            }
            None => {
                self.consumers.push(Some(consumer));
                ConsumerNumber(self.consumers.len() as u32 - 1)
            }
        };
        let before = self.names.insert(name.into(), number);
        debug_assert!(before.is_none(), "consumers have names of their own");
        number
    }

    /// Removes a consumer with all that it has not acknowledged; says how many entries that is.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let number = self.names.remove(name)?;
        let consumer = self.consumers[number.0 as usize].take()?;
        self.free.push(number);
        for id in consumer.pending.iter() {
            self.remove_pending(*id);
        }
        Some(consumer.pending.len())
    }

    fn remove_pending(&mut self, id: StreamId) -> Option<Pending> {
        self.pending.find(id).and_then(|place| self.pending.remove(place))
    }

    /// Entries given to consumers and not acknowledged.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The first and the last of them.
    pub fn pending_edges(&self) -> Option<(StreamId, StreamId)> {
        Some((self.pending.first()?.id, self.pending.last()?.id))
    }

    /// These entries in order, from `start` on.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = &Pending> + Clone {
        self.pending.iter_from(self.pending.lower_bound(start))
    }

    /// What is pending of the entry `id`.
    pub fn pending(&self, id: StreamId) -> Option<&Pending> {
        self.pending.find(id).and_then(|place| self.pending.get(place))
    }

    /// Notes that a consumer has been given an entry: from now on it is pending there, and nowhere else.
    #[inline]
    pub fn assign(&mut self, pending: Pending) {
        let Pending { id, consumer, .. } = pending;
        // Nearly always an entry that is newer than all that are pending.
        if self.pending.last().is_none_or(|last| last.id < id) {
            self.pending.push(pending);
            self.consumer_mut(consumer).pending.insert(id);
            return;
        }
        let before = match self.pending.find(id).and_then(|place| self.pending.get_mut(place)) {
            Some(entry) => Some(std::mem::replace(entry, pending).consumer),
            None => {
                self.pending.insert(pending);
                None
            }
        };
        if before == Some(consumer) {
            return;
        }
        if let Some(before) = before {
            let ids = &mut self.consumer_mut(before).pending;
            ids.find(id).and_then(|place| ids.remove(place));
        }
        self.consumer_mut(consumer).pending.insert(id);
    }

    /// Notes that a consumer has been given an entry once more that was pending for it.
    pub fn deliver_again(&mut self, id: StreamId, now_ms: i64) {
        if let Some(pending) = self.pending.find(id).and_then(|place| self.pending.get_mut(place)) {
            pending.delivered_ms = now_ms;
            pending.deliveries = pending.deliveries.wrapping_add(1);
        }
    }

    /// Ends that an entry is pending; says whether it was.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.remove_pending(id) else { return false };
        let ids = &mut self.consumer_mut(pending.consumer).pending;
        ids.find(id).and_then(|place| ids.remove(place));
        true
    }

    /// Whether the group may still need the entry: it has not been given to anybody yet, or is not acknowledged.
    pub fn needs(&self, id: StreamId) -> bool {
        self.last_id < id || self.pending(id).is_some()
    }

    /// Bytes allocated.
    pub(super) fn memory(&self) -> usize {
        let consumers: usize =
            self.consumers().map(|consumer| 2 * consumer.name.len() + consumer.pending.memory()).sum();
        let slots = self.consumers.capacity() * size_of::<Option<Consumer>>()
            + self.names.len() * size_of::<(Box<[u8]>, ConsumerNumber)>();
        self.pending.memory() + consumers + slots
    }

    /// The work that freeing the group is, in allocations.
    pub(super) fn free_effort(&self) -> usize {
        let consumers: usize = self.consumers().map(|consumer| 2 + consumer.pending.chunk_count()).sum();
        1 + self.pending.chunk_count() + consumers
    }
}
