//! The radix tree of slotted pages: an unordered-scan, prefix-aware map from byte strings to records.
//!
//! Inner nodes are a path-compressed radix tree over the bytes of keys. What hangs below is not single keys but *pages* of up to
//! 8 KiB, each with the hundreds of keys of one range; in a page a key is found by 16 bits of its hash. So a lookup walks a few small
//! nodes and then misses the cache twice, for a slot and for a record, and a key costs its own rest, its value and ten bytes.
//!
//! - `key`: keys and the secret that they are hashed with.
//! - `record`: the bytes of a record. `page`: a page of records, and all that is unsafe.
//! - `node`: inner nodes. `table`: the pages by number.
//! - `shape`: splits, merges, and what else changes which node has which page.
//! - `tally`: what pages keep of their records by class. `census`: sums of that over many pages, and by the prefixes of keys.
//! - `scan`: iteration, stateless scans, random choice. `expire`: deadlines. `copy`: copies of trees. `capture`: a tree as it was
//!   at one moment, while it changes. `shared` and `common`: parts of values, and pages, that
//!   copies have in common.
//!
//! ```
//! use radish::tree::{Layout, NewPayload, NoRecorder, Payload, Seed, Tree, Uncounted};
//!
//! struct Plain;
//! impl Layout for Plain {
//!     const CLOCK: bool = false;
//!     type Boxed = Vec<u64>;
//!     type Recorder = NoRecorder;
//!     type Count = Uncounted;
//! }
//!
//! let seed = Seed::random();
//! let mut tree = Tree::<Plain>::new();
//! tree.put(seed.key(b"user:1"), NewPayload::Inline { kind: 0, bytes: b"Ada" }, None, 0);
//! tree.put(seed.key(b"user:2"), NewPayload::Boxed(Box::new(vec![7; 1000])), None, 0);
//!
//! let position = tree.find(seed.key(b"user:1")).unwrap();
//! assert!(matches!(tree.payload(position), Payload::Inline { kind: 0, bytes: b"Ada" }));
//! ```

mod capture;
mod census;
mod common;
mod copy;
mod expire;
mod free;
mod key;
mod node;
mod page;
mod record;
mod scan;
mod shape;
mod shared;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod verify;

pub use capture::{Capture, NoRecorder, Recorder};
pub use census::{Cut, Effort, Group, Groups, Measure};
use expire::Deadlines;
pub use free::free_bytes_of_thread;
pub use key::{Key, Seed, Trail};
use node::{Child, Nodes};
use page::Page;
pub use record::MAX_INLINE;
pub use scan::{Entry, View};
use shape::Place;
pub use shape::Walk;
pub use shared::Shared;
use table::PageTable;
pub use tally::{CLASSES, Count, Figures, Kept, Tally, Totals, Uncounted};

/// What the records of a tree are made of.
pub trait Layout {
    /// Whether each record has a 24-bit access clock.
    const CLOCK: bool;
    /// What a record owns that does not keep its payload in the page.
    type Boxed: Clone;
    /// Who takes the records of a moment: see [`Tree::begin_capture`].
    type Recorder: Recorder<Self::Boxed>;
    /// How records are counted, for [`Tree::census`]; [`Uncounted`] if they are not.
    type Count: Count<Self::Boxed>;
}

/// A record's payload.
#[derive(Debug)]
pub enum Payload<'a, B> {
    /// At most [`MAX_INLINE`] bytes in the page, and four bits that mean nothing to the tree.
    Inline {
        kind: u8,
        bytes: &'a [u8],
    },
    Boxed(&'a B),
}

impl<B> Clone for Payload<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Payload<'_, B> {}

/// A record's payload, to be changed in place. Bytes in the page cannot change in number that way; see [`Tree::replace`].
#[derive(Debug)]
pub enum PayloadMut<'a, B> {
    Inline { kind: u8, bytes: &'a mut [u8] },
    Boxed(&'a mut B),
}

/// A payload on its way into a record.
#[derive(Debug)]
pub enum NewPayload<'a, B> {
    /// At most [`MAX_INLINE`] bytes, and a kind of at most 15.
    Inline {
        kind: u8,
        bytes: &'a [u8],
    },
    Boxed(Box<B>),
}

/// Where a record is, until the next call that adds, removes or resizes records.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Position {
    page: u32,
    slot: u16,
}

/// Bytes that a tree takes, without boxed payloads and suffixes too long for a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    /// All pages.
    pub page_bytes: usize,
    /// The part of `page_bytes` that holds nothing.
    pub page_free_bytes: usize,
    /// All that leads to the pages.
    pub node_bytes: usize,
}

/// Whether the records of a layout are counted.
struct IsCounted<L>(std::marker::PhantomData<L>);

impl<L: Layout> IsCounted<L> {
    const VALUE: bool = <<L::Count as Count<L::Boxed>>::Tally as Kept>::IS_ON;
}

/// A map from byte strings to records of the given layout.
pub struct Tree<L: Layout> {
    root: Option<Child>,
    nodes: Nodes,
    pages: PageTable<L>,
    deadlines: Deadlines,
    len: usize,
    /// Bytes of all pages, and those of them that hold something.
    page_bytes: usize,
    used_bytes: usize,
    /// No page has had more records than this since the tree was last empty.
    slots_max: usize,
    /// The number of the present shape: which keys belong to which page. 0 as long as there never was a page.
    shape: u64,
    capture: Option<Box<Capture<L::Recorder>>>,
}

impl<L: Layout> Default for Tree<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L: Layout> Tree<L> {
    /// An empty tree. Allocates nothing.
    pub const fn new() -> Self {
        Tree {
            root: None,
            nodes: Nodes::new(),
            pages: PageTable::new(),
            deadlines: Deadlines::new(),
            len: 0,
            page_bytes: 0,
            used_bytes: 0,
            slots_max: 0,
            shape: 0,
            capture: None,
        }
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Frees everything.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Bytes that the tree takes now.
    pub fn memory(&self) -> Memory {
        Memory {
            page_bytes: self.page_bytes,
            page_free_bytes: self.page_bytes - self.used_bytes,
            node_bytes: self.nodes.bytes() + self.pages.bytes() + self.deadlines.bytes(),
        }
    }

    /// Number of pages.
    pub fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// Number of nodes that lead to them.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The record of a key.
    #[inline]
    pub fn find(&self, key: Key<'_>) -> Option<Position> {
        let Place::Page { id, depth } = self.locate(key) else {
            return None;
        };
        let slot = self.pages.page(id).find(key.tag(), &key.bytes[depth..], key.trail.slot).ok()?;
        Some(Position { page: id, slot: slot as u16 })
    }

    /// Starts fetching the cache lines that [`find`](Self::find) will need first, and that a change of the page will need.
    #[inline]
    pub fn prefetch_slots(&self, key: Key<'_>, for_change: bool) {
        if let Some(page) = self.pages.get(key.trail.page) {
            page.prefetch_slots(key.tag());
            if for_change {
                page.prefetch_header();
            }
        }
    }

    /// Starts fetching the record of a key, once the lines from [`prefetch_slots`](Self::prefetch_slots) are there, and
    /// adds to its trail where in the page it is.
    #[inline]
    pub fn prefetch_record(&self, key: &mut Key<'_>) {
        if let Some(page) = self.pages.get(key.trail.page) {
            let slot = page.prefetch_record(key.tag());
            key.trail.slot = u16::try_from(slot).unwrap_or(u16::MAX);
        }
    }

    /// All of a record but its key.
    #[inline]
    pub fn view(&self, position: Position) -> View<'_, L::Boxed> {
        View::new(&self.record(position))
    }

    /// A record's payload.
    #[inline]
    pub fn payload(&self, position: Position) -> Payload<'_, L::Boxed> {
        self.record(position).payload()
    }

    /// A record's payload, to be changed in place.
    #[inline]
    pub fn payload_mut(&mut self, position: Position) -> PayloadMut<'_, L::Boxed> {
        self.preserve(position);
        self.form_mut(position)
    }

    /// The same, if what it stands for stays what it is: no capture need have it before.
    #[inline]
    pub fn form_mut(&mut self, position: Position) -> PayloadMut<'_, L::Boxed> {
        if IsCounted::<L>::VALUE {
            let page = self.pages.page_mut(position.page);
            let was_known = page.is_known();
            page.unweigh(position.slot.into());
            self.note_page(position.page, was_known);
        }
        self.pages.page_mut(position.page).payload_mut(position.slot.into())
    }

    /// When a record expires, in milliseconds of Unix time.
    #[inline]
    pub fn deadline(&self, position: Position) -> Option<i64> {
        self.record(position).deadline()
    }

    /// A record's deadline and its access clock.
    #[inline]
    pub fn times(&self, position: Position) -> (Option<i64>, u32) {
        let record = self.record(position);
        (record.deadline(), record.clock())
    }

    /// A record's access clock, or 0 if the layout has none.
    #[inline]
    pub fn clock(&self, position: Position) -> u32 {
        self.record(position).clock()
    }

    /// Sets a record's access clock to the low 24 bits of `clock`, if the layout has one.
    #[inline]
    pub fn set_clock(&mut self, position: Position, clock: u32) {
        self.pages.page_mut(position.page).set_clock(position.slot.into(), clock);
    }

    /// Writes a record's whole key to `key`, whose contents are dropped.
    pub fn key(&self, position: Position, key: &mut Vec<u8>) {
        let page = self.pages.page(position.page);
        self.path(page.header().parent, key);
        page.record(position.slot.into()).append_suffix(key);
    }

    #[inline(always)]
    fn record(&self, position: Position) -> page::Record<'_, L> {
        self.pages.page(position.page).record(position.slot.into())
    }

    /// Adds a record, or gives the key's record another payload, deadline and clock. Returns where it is, and the payload that it
    /// owned before.
    pub fn put(
        &mut self,
        key: Key<'_>,
        payload: NewPayload<'_, L::Boxed>,
        deadline: Option<i64>,
        clock: u32,
    ) -> (Position, Option<Box<L::Boxed>>) {
        loop {
            let (id, depth) = match self.locate(key) {
                Place::Page { id, depth } => (id, depth),
                place => {
                    self.make_place(place, key.bytes);
                    continue;
                }
            };
            let suffix = &key.bytes[depth..];
            let page = self.pages.page(id);
            let slot = match page.find(key.tag(), suffix, key.trail.slot) {
                Ok(slot) => {
                    let position = Position { page: id, slot: slot as u16 };
                    self.preserve(position);
                    return self.rewrite(position, key, payload, deadline, clock);
                }
                Err(slot) => slot,
            };
            let draft = page.draft(suffix, &payload, deadline, clock);
            let size = draft.size();
            if page.room() < size {
                self.make_room(id, size);
                continue;
            }
            let page = self.pages.page_mut(id);
            let was_known = page.is_known();
            page.insert(slot, key.tag(), draft, suffix, payload);
            self.slots_max = self.slots_max.max(page.len());
            self.note_page(id, was_known);
            self.note_coming(id, key.bytes);
            self.count_bytes(0, size as isize);
            self.len += 1;
            self.note_deadline(id, None, deadline);
            return (Position { page: id, slot: slot as u16 }, None);
        }
    }

    /// Gives a record another payload; deadline and clock stay. Returns where it is now, and the payload that it owned before.
    pub fn replace(
        &mut self,
        position: Position,
        key: Key<'_>,
        payload: NewPayload<'_, L::Boxed>,
    ) -> (Position, Option<Box<L::Boxed>>) {
        self.preserve(position);
        self.reform(position, key, payload)
    }

    /// The same, if the payload stands for what the old one does: no capture need have it before.
    pub fn reform(
        &mut self,
        position: Position,
        key: Key<'_>,
        payload: NewPayload<'_, L::Boxed>,
    ) -> (Position, Option<Box<L::Boxed>>) {
        let (deadline, clock) = self.times(position);
        self.rewrite(position, key, payload, deadline, clock)
    }

    fn rewrite(
        &mut self,
        mut position: Position,
        key: Key<'_>,
        mut payload: NewPayload<'_, L::Boxed>,
        deadline: Option<i64>,
        clock: u32,
    ) -> (Position, Option<Box<L::Boxed>>) {
        let deadline_before = self.deadline(position);
        loop {
            let slot = position.slot.into();
            match self.edit_page(position.page, |page| page.replace(slot, payload, deadline, clock)) {
                Ok(displaced) => {
                    self.note_deadline(position.page, deadline_before, deadline);
                    return (position, displaced);
                }
                Err(unused) => payload = unused,
            }
            let size = self.record(position).size_with(&payload, deadline.is_some());
            self.make_room(position.page, size);
            position = self.find(key).expect("the key is still there");
        }
    }

    /// Sets or clears a record's deadline, in milliseconds of Unix time. Returns where the record is now.
    pub fn set_deadline(&mut self, mut position: Position, key: Key<'_>, deadline: Option<i64>) -> Position {
        self.preserve(position);
        let before = self.deadline(position);
        while !self.edit_page(position.page, |page| page.set_deadline(position.slot.into(), deadline)) {
            let size = self.record(position).size() + size_of::<i64>();
            self.make_room(position.page, size);
            position = self.find(key).expect("the key is still there");
        }
        self.note_deadline(position.page, before, deadline);
        position
    }

    /// Removes a record. Returns the payload that it owned.
    pub fn remove(&mut self, position: Position) -> Option<Box<L::Boxed>> {
        let boxed = self.take(position);
        self.settle(position.page);
        boxed
    }

    /// Removes the record of a key, if there is one. Returns the payload that it owned, if it did.
    pub fn remove_key(&mut self, key: Key<'_>) -> Option<Option<Box<L::Boxed>>> {
        self.find(key).map(|position| self.remove(position))
    }

    /// Removes a record, but leaves its page as it then is, be it empty: `settle` must follow.
    fn take(&mut self, position: Position) -> Option<Box<L::Boxed>> {
        self.preserve(position);
        let deadline = self.deadline(position);
        let boxed = self.edit_page(position.page, |page| page.remove(position.slot.into()));
        self.note_deadline(position.page, deadline, None);
        self.len -= 1;
        boxed
    }

    /// Changes a page in place. With `put`'s short cut, the only way to do so once it is in the table, since it keeps the counts of
    /// bytes.
    fn edit_page<R>(&mut self, id: u32, change: impl FnOnce(&mut Page<L>) -> R) -> R {
        let page = self.pages.page_mut(id);
        let (capacity, used, was_known) = (page.capacity(), page.used(), page.is_known());
        let result = change(page);
        let (grown, filled) = (page.capacity() as isize - capacity as isize, page.used() as isize - used as isize);
        self.count_bytes(grown, filled);
        self.note_page(id, was_known);
        result
    }

    /// Counts a change of the bytes of all pages, and of those that hold something.
    #[inline]
    fn count_bytes(&mut self, page_bytes: isize, used_bytes: isize) {
        self.page_bytes = self.page_bytes.wrapping_add_signed(page_bytes);
        self.used_bytes = self.used_bytes.wrapping_add_signed(used_bytes);
        free::note((page_bytes - used_bytes) as i64);
    }
}

impl<L: Layout> Drop for Tree<L> {
    fn drop(&mut self) {
        if self.pages.is_image() {
            // Its bytes are counted where they were before.
            return;
        }
        self.count_bytes(-(self.page_bytes as isize), -(self.used_bytes as isize));
    }
}
