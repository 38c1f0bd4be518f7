//! A node of a list: a packed run of elements, or one element too large to be packed.

use super::super::packed::{self, Element, Encoded};
use crate::tree::Shared;

/// Buffers up to this size are not worth shrinking.
const TRIM_MIN: usize = 1024;

/// A packed run of elements with room to grow at either end, or a single large element as it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    /// The live bytes are those from `start`; what is before them is room for elements pushed in front.
    bytes: Vec<u8>,
    start: u32,
    /// Elements in the node. Always one in a plain node.
    count: u32,
    /// The element of a plain node, without tag or length; then there are no other bytes. A copy has it in common with its original.
    plain: Option<Shared<Box<[u8]>>>,
}

impl Node {
    /// A node that holds one large element.
    pub(super) fn plain(element: &[u8]) -> Self {
        Node { count: 1, plain: Some(Shared::new(element.into())), ..Node::default() }
    }

    /// An empty packed node with room for `capacity` bytes behind.
    pub(super) fn with_room_behind(capacity: usize) -> Self {
        Node { bytes: Vec::with_capacity(capacity), ..Node::default() }
    }

    /// An empty packed node with room for `capacity` bytes in front.
    pub(super) fn with_room_in_front(capacity: usize) -> Self {
        Node { bytes: vec![0; capacity], start: capacity as u32, ..Node::default() }
    }

    /// Becomes a packed node of `count` elements whose entries are `entries`, keeping its buffer.
    pub(super) fn load(&mut self, entries: &[u8], count: usize) {
        self.bytes.clear();
        self.bytes.extend_from_slice(entries);
        self.start = 0;
        self.count = count as u32;
        self.plain = None;
    }

    pub(super) fn view(&self) -> NodeView<'_> {
        match &self.plain {
            Some(element) => NodeView { bytes: element, count: self.count as usize, plain: true },
            None => NodeView { bytes: &self.bytes[self.start as usize..], count: self.count as usize, plain: false },
        }
    }

    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count as usize
    }

    /// Live bytes of a packed node.
    #[inline]
    pub(super) fn size(&self) -> usize {
        self.bytes.len() - self.start as usize
    }

    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.plain.is_some()
    }

    /// Bytes allocated.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.plain.as_ref().map_or(0, |element| element.len())
    }

    #[inline]
    pub(super) fn push_back(&mut self, entry: &Encoded<'_>, size_max: usize) {
        if self.bytes.capacity() - self.bytes.len() < entry.len() {
            self.make_room_behind(entry.len(), size_max);
        }
        entry.append_to(&mut self.bytes);
        self.count += 1;
    }

    #[inline]
    pub(super) fn push_front(&mut self, entry: &Encoded<'_>, size_max: usize) {
        if (self.start as usize) < entry.len() {
            self.make_room_in_front(entry.len(), size_max);
        }
        let end = self.start as usize;
        let start = end - entry.len();
        entry.write_to(&mut self.bytes[start..end]);
        self.start = start as u32;
        self.count += 1;
    }

    /// Room for `extra` bytes behind: first from unused room in front, else by growing.
    #[cold]
    fn make_room_behind(&mut self, extra: usize, size_max: usize) {
        let start = self.start as usize;
        if start >= extra && start >= self.bytes.len() / 8 {
            self.bytes.copy_within(start.., 0);
            self.bytes.truncate(self.bytes.len() - start);
            self.start = 0;
            return;
        }
        let needed = self.bytes.len() + extra;
        self.bytes.reserve_exact(grown(needed, size_max + start) - self.bytes.len());
    }

    /// Room for `extra` bytes in front, where all the room that the node has or gets then is.
    #[cold]
    fn make_room_in_front(&mut self, extra: usize, size_max: usize) {
        let start = self.start as usize;
        let size = self.size();
        let capacity = self.bytes.capacity();
        if capacity - size >= extra.max(capacity / 8) {
            self.bytes.resize(capacity, 0);
            self.bytes.copy_within(start..start + size, capacity - size);
            self.start = (capacity - size) as u32;
            return;
        }
        let target = grown(size + extra, size_max);
        let mut bytes = Vec::with_capacity(target);
        bytes.resize(target - size, 0);
        bytes.extend_from_slice(&self.bytes[start..]);
        self.start = (target - size) as u32;
        self.bytes = bytes;
    }

    /// Removes the first element, whose entry ends `end` bytes into the live bytes.
    #[inline]
    pub(super) fn drop_front(&mut self, end: usize) {
        self.start += end as u32;
        self.count -= 1;
    }

    /// Removes the last element, whose entry begins `begin` bytes into the live bytes.
    #[inline]
    pub(super) fn drop_back(&mut self, begin: usize) {
        self.bytes.truncate(self.start as usize + begin);
        self.count -= 1;
    }

    /// Removes the first `count` elements of a packed node.
    pub(super) fn remove_front(&mut self, count: usize) {
        self.start += self.view().offset(count) as u32;
        self.count -= count as u32;
    }

    /// Removes the last `count` elements of a packed node.
    pub(super) fn remove_back(&mut self, count: usize) {
        let keep = self.view().offset(self.count() - count);
        self.bytes.truncate(self.start as usize + keep);
        self.count -= count as u32;
    }

    /// Inserts an entry `at` bytes into the live bytes.
    pub(super) fn insert(&mut self, at: usize, entry: &Encoded<'_>, size_max: usize) {
        if at == 0 {
            return self.push_front(entry, size_max);
        }
        if self.bytes.capacity() - self.bytes.len() < entry.len() {
            self.make_room_behind(entry.len(), size_max);
        }
        self.resize_entry(at, 0, entry.len());
        let at = self.start as usize + at;
        entry.write_to(&mut self.bytes[at..at + entry.len()]);
        self.count += 1;
    }

    /// Replaces the entry that lies `at..end` in the live bytes.
    pub(super) fn replace(&mut self, at: usize, end: usize, entry: &Encoded<'_>, size_max: usize) {
        let extra = entry.len().saturating_sub(end - at);
        if self.bytes.capacity() - self.bytes.len() < extra {
            self.make_room_behind(extra, size_max);
        }
        self.resize_entry(at, end - at, entry.len());
        let at = self.start as usize + at;
        entry.write_to(&mut self.bytes[at..at + entry.len()]);
    }

    /// Moves what follows the entry of `old` bytes at `at` so that the entry has `new` bytes.
    fn resize_entry(&mut self, at: usize, old: usize, new: usize) {
        let at = self.start as usize + at;
        let len = self.bytes.len();
        if new > old {
            self.bytes.resize(len + new - old, 0);
        }
        self.bytes.copy_within(at + old..len, at + new);
        self.bytes.truncate(len - old + new);
    }

    /// Removes the entry that lies `at..end` in the live bytes.
    pub(super) fn remove(&mut self, at: usize, end: usize) {
        if at == 0 {
            return self.drop_front(end);
        }
        self.resize_entry(at, end - at, 0);
        self.count -= 1;
    }

    /// Cuts the node in two before the element `index` at byte `at`, and gives the second part.
    pub(super) fn split_off(&mut self, index: usize, at: usize) -> Node {
        let at = self.start as usize + at;
        let rest = Node { bytes: self.bytes[at..].to_vec(), start: 0, count: self.count - index as u32, plain: None };
        self.bytes.truncate(at);
        self.count = index as u32;
        rest
    }

    /// Takes the elements of `next`, which follow its own.
    pub(super) fn append(&mut self, next: &Node, size_max: usize) {
        if self.bytes.capacity() - self.bytes.len() < next.size() {
            self.make_room_behind(next.size(), size_max);
        }
        self.bytes.extend_from_slice(next.view().bytes);
        self.count += next.count;
    }

    /// Removes up to `limit` of the elements that equal `element`, whose entry is `entry`, from the front or from the
    /// back; says how many.
    pub(super) fn remove_equal(&mut self, element: Element<'_>, entry: &[u8], limit: usize, from_back: bool) -> usize {
        if self.is_plain() {
            let equal = limit > 0 && self.view().element(0).0 == element;
            self.count -= u32::from(equal);
            return usize::from(equal);
        }
        let matches = self.view().matches(entry);
        let skip = match from_back {
            true => matches.len().saturating_sub(limit),
            false => 0,
        };
        let matches = &matches[skip..];
        let matches = &matches[..matches.len().min(limit)];
        let Some(&first) = matches.first() else {
            return 0;
        };
        let base = self.start as usize;
        let mut write = base + first;
        for (place, &at) in matches.iter().enumerate() {
            let keep_from = base + at + entry.len();
            let keep_to = matches.get(place + 1).map_or(self.bytes.len(), |next| base + next);
            self.bytes.copy_within(keep_from..keep_to, write);
            write += keep_to - keep_from;
        }
        self.bytes.truncate(write);
        self.count -= matches.len() as u32;
        matches.len()
    }

    /// Gives memory back if three quarters of a sizeable buffer are unused.
    #[inline]
    pub(super) fn trim_sparse(&mut self) {
        if self.bytes.capacity() > TRIM_MIN && self.size() < self.bytes.capacity() / 4 {
            self.shrink();
        }
    }

    /// Gives memory back if more than an eighth is unused: for a node that is not expected to grow.
    pub(super) fn trim_full(&mut self) {
        if self.bytes.capacity() - self.size() > self.bytes.capacity() / 8 {
            self.shrink();
        }
    }

    #[cold]
    fn shrink(&mut self) {
        self.bytes = self.bytes[self.start as usize..].to_vec();
        self.start = 0;
    }
}

/// The capacity for a node that needs `needed` bytes: half as much again, but no more than a full node takes.
fn grown(needed: usize, size_max: usize) -> usize {
    (needed + needed / 2).next_multiple_of(64).min(size_max).max(needed)
}

/// Read access to the elements of one node, or of a list that is packed inline in a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeView<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) count: usize,
    pub(super) plain: bool,
}

impl<'a> NodeView<'a> {
    /// The element whose entry begins at `at`, and where that entry ends.
    #[inline(always)]
    pub(super) fn element(&self, at: usize) -> (Element<'a>, usize) {
        if self.plain { (Element::new(self.bytes), self.bytes.len()) } else { packed::decode(self.bytes, at) }
    }

    /// Where the entry that ends at `end` begins.
    #[inline]
    pub(super) fn previous(&self, end: usize) -> usize {
        if self.plain { 0 } else { packed::previous(self.bytes, end) }
    }

    /// Where the entry after the one at `at` begins.
    #[inline]
    pub(super) fn next(&self, at: usize) -> usize {
        if self.plain { self.bytes.len() } else { packed::next(self.bytes, at) }
    }

    /// Where the element `index` begins: walked to from the nearer end. `index` may be the count.
    pub(super) fn offset(&self, index: usize) -> usize {
        if index <= self.count / 2 {
            (0..index).fold(0, |at, _| self.next(at))
        } else {
            (index..self.count).fold(self.bytes.len(), |end, _| self.previous(end))
        }
    }

    /// Where the entries equal to `entry` begin, in order. Equal elements have equal entries.
    fn matches(&self, entry: &[u8]) -> Vec<usize> {
        let mut matches = Vec::new();
        let mut at = 0;
        while at < self.bytes.len() {
            let next = self.next(at);
            if self.bytes[at..next] == *entry {
                matches.push(at);
            }
            at = next;
        }
        matches
    }
}
