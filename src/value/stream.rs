//! Streams: entries of fields in the order of their ids, packed in blocks ([`block`]) that are found by id, and the groups
//! of consumers that read them ([`Group`]).

mod block;
mod group;
mod id;
mod iter;
mod ordered;
mod radix;

use block::Block;
pub use block::{Entry, Fields};
pub use group::{Consumer, ConsumerNumber, Group, Pending};
pub use id::{IdText, StreamId};
pub use iter::{Range, RevRange};
use ordered::{HasId, Ordered, Place};
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

/// Bytes of names and values that an entry has at most, and a block unless it is of one entry.
const DATA_LEN_MAX: usize = 1 << 30;

/// Which entries share a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Bytes of a block at most.
    bytes_max: usize,
    /// Entries of a block at most, deleted ones included.
    entries_max: u64,
}

impl StreamLimits {
    /// The limits that `stream-node-max-bytes` and `stream-node-max-entries` stand for; 0 is no limit.
    pub fn new(bytes_max: usize, entries_max: u64) -> Self {
        StreamLimits {
            bytes_max: if bytes_max == 0 { DATA_LEN_MAX } else { bytes_max.min(DATA_LEN_MAX) },
            // A block counts its entries in 32 bits.
            entries_max: if entries_max == 0 { u64::from(u32::MAX) } else { entries_max.min(u64::from(u32::MAX)) },
        }
    }
}

impl Default for StreamLimits {
    fn default() -> Self {
        StreamLimits::new(4096, 100)
    }
}

/// Why an entry is not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendError {
    /// Its id is not higher than all that the stream ever had.
    IdTooLow,
    /// Its fields are longer than a block may be.
    TooLarge,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AppendError::IdTooLow => "the id is not higher than all before",
            AppendError::TooLarge => "the fields are too large",
        })
    }
}

impl std::error::Error for AppendError {}

/// What becomes of an entry's place in the lists of pending entries when the entry is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum References {
    /// It stays.
    #[default]
    Keep,
    /// It is removed from the lists of all groups.
    Delete,
    /// An entry that a group has not been given yet, or not acknowledged, is not deleted.
    Acknowledged,
}

/// Which entries a trimmed stream keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// So many of the newest.
    Newest(u64),
    /// Those from this id on.
    From(StreamId),
}

/// How a stream is trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trim {
    /// What is kept.
    pub kept: Kept,
    /// Only whole blocks are removed.
    pub approximately: bool,
    /// No more entries than this are removed.
    pub entries_max: u64,
    /// What becomes of references to what is removed.
    pub references: References,
}

/// What became of an entry that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// There is none.
    Missing,
    /// It is gone.
    Deleted,
    /// It stays if it is there, since a group needs it ([`References::Acknowledged`]).
    Needed,
}

/// A stream.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    blocks: Ordered<Block>,
    len: u64,
    first_id: StreamId,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
    groups: BTreeMap<Box<[u8]>, Group>,
}

impl Stream {
    /// A stream that never had an entry.
    pub fn new() -> Self {
        Stream::default()
    }

    /// Number of entries.
    #[inline]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no entries. An empty stream is kept, for its last id and its groups.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The id of the first entry; [`StreamId::MIN`] if there is none.
    #[inline]
    pub fn first_id(&self) -> StreamId {
        self.first_id
    }

    /// The highest id that any entry ever had.
    #[inline]
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// The highest id of an entry that was deleted other than by trimming; [`StreamId::MIN`] if none was.
    pub fn max_deleted_id(&self) -> StreamId {
        self.max_deleted_id
    }

    /// Entries ever added.
    pub fn entries_added(&self) -> u64 {
        self.entries_added
    }

    /// Number of blocks.
    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// The id that an entry added now gets if none is given; `None` if there is no higher one.
    #[inline]
    pub fn next_id(&self, now_ms: u64) -> Option<StreamId> {
        if now_ms > self.last_id.ms { Some(StreamId::new(now_ms, 0)) } else { self.last_id.next() }
    }

    /// The next id of a given millisecond, as `ms-*` asks for; `None` if there is none.
    pub fn next_id_in(&self, ms: u64) -> Option<StreamId> {
        match ms.cmp(&self.last_id.ms) {
            Ordering::Less => None,
            Ordering::Equal => Some(StreamId::new(ms, self.last_id.seq.checked_add(1)?)),
            Ordering::Greater => Some(StreamId::new(ms, 0)),
        }
    }

    /// Adds an entry of one field or more: names and values in turn.
    #[inline]
    pub fn append<'f>(
        &mut self,
        id: StreamId,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
        limits: &StreamLimits,
    ) -> Result<(), AppendError> {
        if id <= self.last_id {
            return Err(AppendError::IdTooLow);
        }
        let data_len: usize = fields.clone().map(|(name, value)| name.len() + value.len()).sum();
        if data_len > DATA_LEN_MAX {
            return Err(AppendError::TooLarge);
        }
        match self.blocks.last_mut() {
            Some(block) if block.accepts(data_len, limits) => block.push(id, fields),
            last => {
                if let Some(full) = last {
                    full.trim_full();
                }
                self.blocks.push(Block::new(id, fields));
            }
        }
        if self.len == 0 {
            self.first_id = id;
        }
        self.last_id = id;
        self.len += 1;
        self.entries_added += 1;
        Ok(())
    }

    /// The entries from `start` to `end`, both inclusive.
    #[inline]
    pub fn range(&self, start: StreamId, end: StreamId) -> Range<'_> {
        Range::new(&self.blocks, start, end)
    }

    /// The entries from `end` down to `start`, both inclusive.
    pub fn range_rev(&self, end: StreamId, start: StreamId) -> RevRange<'_> {
        RevRange::new(&self.blocks, end, start)
    }

    /// The entry `id`.
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        self.range(id, id).next()
    }

    /// The last entry.
    pub fn last(&self) -> Option<Entry<'_>> {
        self.range_rev(StreamId::MAX, StreamId::MIN).next()
    }

    /// Deletes the entry `id`. What is asked of its references is done even if the entry is not there any more.
    pub fn delete(&mut self, id: StreamId, references: References) -> Deletion {
        if !release(&mut self.groups, id, references) {
            return Deletion::Needed;
        }
        let found = self.blocks.last_up_to(id).and_then(|place| {
            let at = self.blocks.get(place)?.view().find(id)?;
            Some((place, at))
        });
        let Some((place, at)) = found else { return Deletion::Missing };
        self.delete_at(place, &[at]);
        self.max_deleted_id = self.max_deleted_id.max(id);
        if id == self.first_id {
            self.find_first();
        }
        Deletion::Deleted
    }

    /// Removes old entries; says how many.
    pub fn trim(&mut self, trim: &Trim) -> u64 {
        let before = self.len;
        let mut next_block = StreamId::MIN;
        loop {
            let place = self.blocks.lower_bound(next_block);
            let Some(block) = self.blocks.get(place) else { break };
            let live = block.live();
            let (is_over, is_whole) = match trim.kept {
                Kept::Newest(count) => (self.len <= count, self.len - live >= count),
                Kept::From(id) => (block.id() >= id, block.id() < id && block.view().last_id() < id),
            };
            let removed = before - self.len;
            if is_over || live > trim.entries_max.saturating_sub(removed) || (trim.approximately && !is_whole) {
                break;
            }
            if is_whole && trim.references == References::Keep {
                self.blocks.pop_first();
                self.len -= live;
                continue;
            }
            next_block = block.id().next().unwrap_or(StreamId::MAX);
            let is_last = self.blocks.get(self.blocks.next(place)).is_none();
            let doomed = self.doomed(place, trim);
            self.delete_at(place, &doomed);
            if is_last {
                break;
            }
        }
        let removed = before - self.len;
        if removed > 0 {
            self.find_first();
        }
        removed
    }

    /// The entries of the block at `place` that trimming removes: where they begin. Their references are dealt with.
    fn doomed(&mut self, place: Place, trim: &Trim) -> SmallVec<[usize; 16]> {
        let mut doomed = SmallVec::new();
        let Some(block) = self.blocks.get(place) else { return doomed };
        let view = block.view();
        let mut at = view.entries_at;
        while at < view.end() {
            let entry = view.entry(at);
            let is_kept = match trim.kept {
                Kept::Newest(count) => self.len - doomed.len() as u64 <= count,
                Kept::From(id) => entry.id >= id,
            };
            if is_kept {
                break;
            }
            if !entry.is_deleted && release(&mut self.groups, entry.id, trim.references) {
                doomed.push(at);
            }
            at = entry.end;
        }
        doomed
    }

    /// Deletes entries of the block at `place` that live: those that begin at these bytes.
    fn delete_at(&mut self, place: Place, entries: &[usize]) {
        let is_last = self.blocks.get(self.blocks.next(place)).is_none();
        let Some(block) = self.blocks.get_mut(place) else { return };
        entries.iter().for_each(|at| block.delete(*at));
        self.len -= entries.len() as u64;
        if block.live() == 0 {
            self.blocks.remove(place);
        } else if !is_last {
            block.compact();
        }
    }

    fn find_first(&mut self) {
        self.first_id = self.range(StreamId::MIN, StreamId::MAX).next().map_or(StreamId::MIN, |entry| entry.id);
    }

    /// Sets the last id (`XSETID`), and with it, where given, how many entries were ever added and the highest id of those
    /// that were deleted. `last_id` must not be lower than any id of the stream.
    pub fn set_last_id(&mut self, last_id: StreamId, entries_added: Option<u64>, max_deleted_id: Option<StreamId>) {
        debug_assert!(self.last().is_none_or(|entry| entry.id <= last_id), "ids grow");
        self.last_id = last_id;
        self.entries_added = entries_added.unwrap_or(self.entries_added);
        self.max_deleted_id = max_deleted_id.unwrap_or(self.max_deleted_id);
    }

    /// The groups, in the order of their names.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.groups.iter().map(|(name, group)| (&**name, group))
    }

    /// The group called `name`.
    #[inline]
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// The group called `name`, to be changed.
    #[inline]
    pub fn group_mut(&mut self, name: &[u8]) -> Option<&mut Group> {
        self.groups.get_mut(name)
    }

    /// Adds a group, unless there is one of that name; says whether it did.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        let is_new = !self.groups.contains_key(name);
        if is_new {
            self.groups.insert(name.into(), group);
        }
        is_new
    }

    /// Removes the group called `name`.
    pub fn remove_group(&mut self, name: &[u8]) -> Option<Group> {
        self.groups.remove(name)
    }

    /// Reads new entries for a group: calls `each` with those behind the group's last id, `count` at most, then notes how far
    /// the group has read. Entries become pending for `consumer`, if one is given. An error of `each` leaves all as it was.
    /// Says how many entries were read.
    pub fn read_group<E>(
        &mut self,
        group: &[u8],
        count: usize,
        consumer: Option<ConsumerNumber>,
        now_ms: i64,
        mut each: impl FnMut(&Entry<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let progress = self.progress();
        let Some(group) = self.groups.get_mut(group) else { return Ok(0) };
        let Some(start) = group.last_id.next() else { return Ok(0) };
        let mut ids: SmallVec<[StreamId; 128]> = SmallVec::new();
        for entry in Range::new(&self.blocks, start, StreamId::MAX).take(count) {
            each(&entry)?;
            ids.push(entry.id);
        }
        for &id in &ids {
            let goes_on = group.last_id >= progress.first_id && !progress.has_tombstone_from(group.last_id);
            group.entries_read = match group.entries_read {
                Some(read) if goes_on => Some(read.saturating_add(1)),
                before if progress.entries_added == 0 => before,
                _ => progress.entries_up_to(id),
            };
            group.last_id = id;
            if let Some(consumer) = consumer {
                group.assign(Pending { id, consumer, delivered_ms: now_ms, deliveries: 1 });
            }
        }
        if let Some(consumer) = consumer.filter(|_| !ids.is_empty()) {
            group.consumer_mut(consumer).active_ms = Some(now_ms);
        }
        Ok(ids.len())
    }

    /// How many entries a group has yet to read; `None` if that cannot be told.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        let progress = self.progress();
        let read = match group.entries_read {
            _ if self.entries_added == 0 => 0,
            Some(read) if !progress.has_tombstone_from(group.last_id) => read,
            _ => progress.entries_up_to(group.last_id)?,
        };
        Some((self.entries_added as i64).wrapping_sub(read as i64))
    }

    /// How many entries had been added when the one of this id was the last; `None` if that cannot be told.
    pub fn entries_up_to(&self, id: StreamId) -> Option<u64> {
        self.progress().entries_up_to(id)
    }

    fn progress(&self) -> Progress {
        Progress {
            len: self.len,
            first_id: self.first_id,
            last_id: self.last_id,
            max_deleted_id: self.max_deleted_id,
            entries_added: self.entries_added,
        }
    }

    /// Nodes that Redis' radix tree of the blocks has, as `XINFO STREAM` tells: a node for each block, each place where ids
    /// part, and each run of bytes that ids have in common.
    pub fn radix_node_count(&self) -> usize {
        radix::node_count(self.blocks.iter().map(Block::id))
    }

    /// Calls `each` with every block as an RDB file has it: its first id, and a listpack.
    pub fn for_each_listpack(&self, mut each: impl FnMut(StreamId, &[u8])) {
        self.blocks.iter().for_each(|block| each(block.id(), &block.to_listpack()));
    }

    /// Bytes allocated, those of blocks estimated from at most `samples` of them.
    pub fn memory(&self, samples: usize) -> usize {
        let sampled = self.blocks.iter().take(samples).map(Block::capacity);
        let (count, bytes) = sampled.fold((0, 0), |(count, bytes), block| (count + 1, bytes + block));
        let blocks = (bytes as u128 * self.blocks.len() as u128).checked_div(count).unwrap_or(0) as usize;
        let groups: usize =
            self.groups.iter().map(|(name, group)| name.len() + size_of::<Group>() + group.memory()).sum();
        size_of::<Self>() + self.blocks.memory() + blocks + groups
    }

    /// The work that freeing the stream is, in allocations.
    pub fn free_effort(&self) -> usize {
        let groups: usize = self.groups.values().map(Group::free_effort).sum();
        1 + self.blocks.len() + groups
    }
}

/// Whether an entry may be deleted, as far as groups go. If so, their references to it are dealt with.
fn release(groups: &mut BTreeMap<Box<[u8]>, Group>, id: StreamId, references: References) -> bool {
    match references {
        References::Keep => true,
        References::Delete => {
            groups.values_mut().for_each(|group| {
                group.acknowledge(id);
            });
            true
        }
        References::Acknowledged => !groups.values().any(|group| group.needs(id)),
    }
}

/// What a stream knows of the entries that it ever had. How many of them come before an id can be told only where nothing
/// was deleted in between.
#[derive(Clone, Copy)]
struct Progress {
    len: u64,
    first_id: StreamId,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
}

impl Progress {
    /// Whether an entry may have been deleted among those that are there, from `id` on.
    fn has_tombstone_from(&self, id: StreamId) -> bool {
        self.len > 0 && self.max_deleted_id != StreamId::MIN && id <= self.max_deleted_id
    }

    /// Entries that were ever added up to `id`, if that can be told.
    fn entries_up_to(&self, id: StreamId) -> Option<u64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        if self.len == 0 && id <= self.last_id {
            return Some(self.entries_added);
        }
        if id != StreamId::MIN && id < self.max_deleted_id {
            return None;
        }
        if id >= self.last_id {
            return (id == self.last_id).then_some(self.entries_added);
        }
        let is_whole = self.max_deleted_id == StreamId::MIN || self.max_deleted_id < self.first_id;
        let before = self.entries_added.wrapping_sub(self.len);
        match id.cmp(&self.first_id) {
            Ordering::Less if is_whole => Some(before),
            Ordering::Equal if is_whole => Some(before.wrapping_add(1)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
