//! A small set of byte strings: packed entries in the order in which they came, as in a Redis listpack.

use crate::value::packed::{self, Element, Encoded};

/// Bytes in front of the entries in a record: the number of members, little-endian.
const HEAD: usize = 2;

/// Read access to a packed set.
#[derive(Debug, Clone, Copy)]
pub struct PackedRef<'a> {
    count: usize,
    entries: &'a [u8],
}

impl<'a> PackedRef<'a> {
    /// What [`Packed::pack`] wrote.
    #[inline]
    pub(super) fn packed(payload: &'a [u8]) -> Self {
        match payload.split_first_chunk::<HEAD>() {
            Some((count, entries)) => PackedRef { count: usize::from(u16::from_le_bytes(*count)), entries },
            None => PackedRef { count: 0, entries: &[] },
        }
    }

    /// Number of members.
    #[inline]
    pub(super) fn len(self) -> usize {
        self.count
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Element<'a>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            (at < self.entries.len()).then(|| {
                let (element, next) = packed::decode(self.entries, at);
                at = next;
                element
            })
        })
    }

    #[inline]
    fn find(self, member: Element<'_>) -> Option<usize> {
        packed::find(self.entries, 0, member, 1)
    }

    #[inline]
    pub(super) fn contains(self, member: Element<'_>) -> bool {
        self.find(member).is_some()
    }
}

/// A packed set.
#[derive(Debug, Clone, Default)]
pub struct Packed {
    count: usize,
    entries: Vec<u8>,
}

impl Packed {
    /// No members yet; `buffer` is used again.
    pub(super) fn in_buffer(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Packed { count: 0, entries: buffer }
    }

    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.entries
    }

    #[inline]
    pub(super) fn view(&self) -> PackedRef<'_> {
        PackedRef { count: self.count, entries: &self.entries }
    }

    /// Becomes what [`Packed::pack`] wrote.
    pub(super) fn load(&mut self, payload: &[u8]) {
        let view = PackedRef::packed(payload);
        self.count = view.count;
        self.entries.clear();
        self.entries.extend_from_slice(view.entries);
    }

    /// Bytes that [`Packed::pack`] writes; `None` if there are too many members for it.
    #[inline]
    pub(super) fn packed_size(&self) -> Option<usize> {
        (self.count <= usize::from(u16::MAX)).then_some(HEAD + self.entries.len())
    }

    /// Appends the number of members, of which there are not too many, and the entries.
    pub(super) fn pack(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.count as u16).to_le_bytes());
        out.extend_from_slice(&self.entries);
    }

    /// Bytes of all entries.
    pub(super) fn entry_bytes(&self) -> usize {
        self.entries.len()
    }

    /// Adds a member that is not there.
    pub(super) fn push(&mut self, member: Element<'_>) {
        Encoded::new(member).append_to(&mut self.entries);
        self.count += 1;
    }

    /// Removes a member; false if it is not there.
    pub(super) fn remove(&mut self, member: Element<'_>) -> bool {
        let Some(begin) = self.view().find(member) else { return false };
        let end = packed::next(&self.entries, begin);
        self.entries.drain(begin..end);
        self.count -= 1;
        true
    }

    /// Gives back memory that a set kept by itself does not need.
    pub(super) fn trim(&mut self) {
        if self.entries.capacity() > 2 * self.entries.len() {
            self.entries.shrink_to_fit();
        }
    }

    /// Bytes allocated.
    pub(super) fn memory(&self) -> usize {
        self.entries.capacity()
    }
}
