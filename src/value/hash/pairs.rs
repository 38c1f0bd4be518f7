//! A small hash: fields and their values in turn, as they were added, as entries of a packed sequence that is walked forwards.

use super::Field;
use crate::value::packed::{Element, Encoded, forward};
use std::ops::Range;

/// Read access to a packed hash.
#[derive(Debug, Clone, Copy)]
pub struct PairsRef<'a> {
    entries: &'a [u8],
    count: usize,
}

/// A packed hash by itself.
#[derive(Debug, Clone, Default)]
pub struct Pairs {
    entries: Vec<u8>,
    count: usize,
}

impl<'a> PairsRef<'a> {
    #[inline]
    pub(super) fn new(entries: &'a [u8], count: usize) -> Self {
        PairsRef { entries, count }
    }

    /// Number of fields.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The entries of the packed sequence.
    pub(super) fn entries(&self) -> &'a [u8] {
        self.entries
    }

    /// Where a field's entry is, and its value's.
    #[inline]
    fn find(&self, field: &[u8]) -> Option<(usize, usize)> {
        let at = forward::find(self.entries, 0, Element::new(field), 2)?;
        Some((at, forward::next(self.entries, at)))
    }

    #[inline]
    pub(super) fn get(&self, field: &[u8]) -> Option<Element<'a>> {
        self.find(field).map(|(_, value)| forward::decode(self.entries, value).0)
    }

    /// The field that begins at `at`, and where the next one does.
    #[inline]
    fn decode(&self, at: usize) -> (Field<'a>, usize) {
        let (name, at) = forward::decode(self.entries, at);
        let (value, at) = forward::decode(self.entries, at);
        (Field { name, value, deadline: None }, at)
    }

    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = Field<'a>> {
        let (pairs, mut at) = (*self, 0);
        std::iter::from_fn(move || {
            (at < pairs.entries.len()).then(|| {
                let (field, next) = pairs.decode(at);
                at = next;
                field
            })
        })
    }
}

impl Pairs {
    #[inline]
    pub(super) fn view(&self) -> PairsRef<'_> {
        PairsRef::new(&self.entries, self.count)
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.count = 0;
    }

    /// Replaces the contents by these entries, keeping the buffer.
    pub(super) fn load(&mut self, entries: &[u8], count: usize) {
        self.entries.clear();
        self.entries.extend_from_slice(entries);
        self.count = count;
    }

    /// Gives a field a value; says whether the field is new.
    pub(super) fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let entry = forward::encode(Element::new(value));
        if let Some((_, at)) = self.view().find(field) {
            let end = forward::next(&self.entries, at);
            self.replace(at..end, &entry);
            return false;
        }
        let name = forward::encode(Element::new(field));
        self.reserve(name.len() + entry.len());
        name.append_to(&mut self.entries);
        entry.append_to(&mut self.entries);
        self.count += 1;
        true
    }

    /// Replaces the entry at these places.
    fn replace(&mut self, places: Range<usize>, entry: &Encoded<'_>) {
        let len = self.entries.len();
        let after = places.start + entry.len();
        if after > places.end {
            self.reserve(after - places.end);
            self.entries.resize(len + after - places.end, 0);
        }
        self.entries.copy_within(places.end..len, after);
        self.entries.truncate(len + after - places.end);
        entry.write_to(&mut self.entries[places.start..after]);
    }

    /// Removes a field; says whether it was there.
    pub(super) fn remove(&mut self, field: &[u8]) -> bool {
        let Some((at, value)) = self.view().find(field) else { return false };
        let end = forward::next(&self.entries, value);
        self.entries.drain(at..end);
        self.count -= 1;
        if self.entries.len() < self.entries.capacity() / 2 {
            self.entries.shrink_to(self.entries.len() * 9 / 8);
        }
        true
    }

    /// Makes room for so many bytes, and an eighth of all: a hash grows by a field at a time.
    fn reserve(&mut self, additional: usize) {
        if self.entries.capacity() - self.entries.len() < additional {
            self.entries.reserve_exact(additional + self.entries.len() / 8);
        }
    }

    /// Gives room that is not used back.
    pub(super) fn trim(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// Bytes allocated.
    pub(super) fn memory(&self) -> usize {
        self.entries.capacity()
    }
}
