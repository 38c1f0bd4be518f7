//! A record as it stands in its page, to be read.

use std::marker::PhantomData;
use std::{ptr, slice};

use super::tails;
use super::{shape, symbol_of};
use crate::tree::record::{self, Fields, Parts, Suffix, Value};
use crate::tree::{Layout, NewPayload, Payload};

/// A record in its page.
pub(in crate::tree) struct Record<'a, L> {
    pub(super) bytes: &'a [u8],
    pub(super) fields: Fields,
    layout: PhantomData<L>,
}

impl<L> Clone for Record<'_, L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for Record<'_, L> {}

impl<'a, L: Layout> Record<'a, L> {
    #[inline(always)]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Record { bytes, fields: Fields::parse(bytes, L::CLOCK), layout: PhantomData }
    }

    /// The part of the suffix that the record has to itself.
    #[inline(always)]
    pub(super) fn stored(&self) -> &'a [u8] {
        let bytes = self.fields.suffix(self.bytes);
        if !self.fields.long {
            return bytes;
        }
        let (address, len) = record::long_suffix(bytes);
        // SAFETY: the record owns this allocation of `len` bytes (see `own_suffix`), which stays until the record is removed, for
        // which the page must be borrowed mutably.
        unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(address), len) }
    }

    /// The rest of the suffix.
    #[inline(always)]
    fn tail(&self) -> &'a [u8] {
        if self.fields.tail == 0 { &[] } else { tails::tail(self.bytes, self.fields.tail.into()) }
    }

    /// The suffix, which is the key without the path of the page's parent, in two parts.
    #[inline(always)]
    pub fn suffix(&self) -> (&'a [u8], &'a [u8]) {
        (self.stored(), self.tail())
    }

    pub fn suffix_len(&self) -> usize {
        self.stored().len() + self.tail().len()
    }

    pub fn append_suffix(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(self.stored());
        key.extend_from_slice(self.tail());
    }

    #[inline(always)]
    pub(super) fn has_suffix(&self, suffix: &[u8]) -> bool {
        if self.fields.tail == 0 {
            return self.stored() == suffix;
        }
        let (stored, tail) = self.suffix();
        suffix.len() == stored.len() + tail.len() && suffix.starts_with(stored) && suffix.ends_with(tail)
    }

    #[inline]
    pub fn suffix_starts_with(&self, prefix: &[u8]) -> bool {
        // To compare no bytes with those at a place that is none is slow on some processors.
        if prefix.is_empty() {
            return true;
        }
        let (stored, tail) = self.suffix();
        match prefix.split_at_checked(stored.len()) {
            None => stored.starts_with(prefix),
            Some((first, rest)) => first == stored && tail.starts_with(rest),
        }
    }

    /// The symbol that the suffix goes on with behind its first `at` bytes.
    #[inline(always)]
    pub fn symbol_at(&self, at: usize) -> usize {
        let (stored, tail) = self.suffix();
        match at.checked_sub(stored.len()) {
            None => symbol_of(&stored[at..]),
            Some(at) => symbol_of(&tail[at..]),
        }
    }

    #[inline(always)]
    pub fn payload(&self) -> Payload<'a, L::Boxed> {
        let value = self.fields.value(self.bytes);
        if !self.fields.boxed {
            return Payload::Inline { kind: self.fields.kind, bytes: value };
        }
        // SAFETY: the record owns the box at this address (see `insert`); it stays until the record is removed or its payload
        // replaced, for which the page must be borrowed mutably.
        Payload::Boxed(unsafe { &*ptr::with_exposed_provenance(record::address(value)) })
    }

    #[inline(always)]
    pub fn deadline(&self) -> Option<i64> {
        self.fields.deadline(self.bytes)
    }

    #[inline(always)]
    pub fn clock(&self) -> u32 {
        if L::CLOCK { record::clock(self.bytes) } else { 0 }
    }

    /// Bytes of the record, without its slot.
    pub fn size(&self) -> usize {
        self.fields.size()
    }

    pub(super) fn raw(&self) -> &'a [u8] {
        &self.bytes[..self.fields.size()]
    }

    pub(super) fn value(&self) -> Value<'a> {
        let value = self.fields.value(self.bytes);
        if self.fields.boxed { Value::Boxed(record::word(value)) } else { Value::Inline(self.fields.kind, value) }
    }

    /// Bytes that the record would have with this payload.
    pub fn size_with(&self, payload: &NewPayload<'_, L::Boxed>, has_deadline: bool) -> usize {
        let parts = Parts {
            suffix: self.kept_suffix(self.fields.suffix(self.bytes)),
            value: shape(payload),
            deadline: has_deadline.then_some(0),
            clock: 0,
        };
        parts.size(L::CLOCK)
    }

    /// The record's suffix for a record in its place; `bytes` is a copy of what stands in it.
    pub(super) fn kept_suffix<'b>(&self, bytes: &'b [u8]) -> Suffix<'b> {
        if self.fields.long {
            let (address, len) = record::long_suffix(bytes);
            return Suffix::Long(address, len);
        }
        Suffix::Inline(bytes, self.fields.tail)
    }
}
