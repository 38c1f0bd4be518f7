//! A block of a stream: entries packed end to end, written as Redis writes the entries of its stream nodes, so that a
//! block can become a part of an RDB file, and a part of one a block, as it is.
//!
//! A block's bytes are packed elements (see [`packed`]): first the *master* (the number of fields of the block's first
//! entry, their names, and a zero), then the entries. An entry is its flags, its id as two differences from the block's
//! first id, then either the values of the fields that the master names, or its own number of fields and the names and
//! values in turn; and the number of all these elements, from which the entry is read backwards. In an RDB file two more
//! elements stand in front, the numbers of entries that live and that are deleted: those are kept beside the bytes here.

use super::super::packed::{self, Element, Encoded};
use super::ordered::HasId;
use super::{StreamId, StreamLimits};

/// The flag of an entry that was deleted.
const DELETED: u8 = 1;
/// The flag of an entry whose fields are those that the master names.
const SAME_FIELDS: u8 = 2;
/// Elements of an entry besides its fields: flags, two parts of the id. One more is the number of fields, if it is there.
const ENTRY_HEAD: usize = 3;
/// Bytes of a listpack besides its elements: a head of six and an end mark.
const LISTPACK_FRAME: usize = 7;
/// Bytes that the deleted entries of a block may take before they are removed for good.
const DELETED_BYTES_MIN: usize = 256;

/// A run of entries. There is always one that lives.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// The id of the first entry that the block ever had.
    first: StreamId,
    bytes: Vec<u8>,
    live: u32,
    /// Entries that are only marked as deleted.
    deleted: u32,
}

impl HasId for Block {
    #[inline]
    fn id(&self) -> StreamId {
        self.first
    }
}

#[inline]
fn push_integer(out: &mut Vec<u8>, value: i64) {
    match value {
        // One byte and its length: most of what frames an entry.
        0..=127 => out.extend_from_slice(&[value as u8, 1]),
        _ => Encoded::new(Element::Integer(value)).append_to(out),
    }
}

#[inline]
fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    Encoded::new(Element::new(bytes)).append_to(out);
}

fn integer_len(value: u32) -> usize {
    Encoded::new(Element::Integer(i64::from(value))).len()
}

#[inline]
fn as_integer(element: Element<'_>) -> i64 {
    match element {
        Element::Integer(value) => value,
        Element::Bytes(_) => unreachable!("what frames an entry is written as integers"),
    }
}

impl Block {
    /// A block of one entry.
    pub(super) fn new<'f>(id: StreamId, fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone) -> Self {
        let mut bytes = Vec::new();
        push_integer(&mut bytes, fields.clone().count() as i64);
        fields.clone().for_each(|(name, _)| push_bytes(&mut bytes, name));
        push_integer(&mut bytes, 0);
        let mut block = Block { first: id, bytes, live: 0, deleted: 0 };
        block.push(id, fields);
        block
    }

    /// Entries that live.
    #[inline]
    pub(super) fn live(&self) -> u64 {
        u64::from(self.live)
    }

    /// Whether an entry with `data_len` bytes of names and values belongs here. The rule of Redis, so that blocks have the
    /// same entries there and here.
    #[inline]
    pub(super) fn accepts(&self, data_len: usize, limits: &StreamLimits) -> bool {
        let listpack_len = LISTPACK_FRAME + integer_len(self.live) + integer_len(self.deleted) + self.bytes.len();
        listpack_len + data_len < limits.bytes_max
            && u64::from(self.live) + u64::from(self.deleted) < limits.entries_max
    }

    /// Adds an entry whose id is higher than all others.
    #[inline]
    pub(super) fn push<'f>(&mut self, id: StreamId, fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone) {
        let same = self.has_master_fields(fields.clone());
        let first = self.first;
        let out = &mut self.bytes;
        push_integer(out, i64::from(if same { SAME_FIELDS } else { 0 }));
        push_integer(out, id.ms.wrapping_sub(first.ms) as i64);
        push_integer(out, id.seq.wrapping_sub(first.seq) as i64);
        let mut count = 0;
        if same {
            for (_, value) in fields {
                push_bytes(out, value);
                count += 1;
            }
        } else {
            push_integer(out, fields.clone().count() as i64);
            for (name, value) in fields {
                push_bytes(out, name);
                push_bytes(out, value);
                count += 2;
            }
            count += 1;
        }
        push_integer(out, (ENTRY_HEAD + count) as i64);
        self.live += 1;
    }

    /// Whether fields have the names that the master has.
    #[inline]
    fn has_master_fields<'f>(&self, mut fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> bool {
        let (count, mut at) = packed::decode(&self.bytes, 0);
        for _ in 0..as_integer(count) {
            let (master, after) = packed::decode(&self.bytes, at);
            let is_same = fields.next().is_some_and(|(name, _)| match master {
                Element::Bytes(bytes) => bytes == name,
                Element::Integer(_) => master == Element::new(name),
            });
            if !is_same {
                return false;
            }
            at = after;
        }
        fields.next().is_none()
    }

    /// Gives memory back that only a growing block needs.
    pub(super) fn trim_full(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// Read access.
    #[inline]
    pub(super) fn view(&self) -> BlockView<'_> {
        let bytes = self.bytes.as_slice();
        let (count, names_at) = packed::decode(bytes, 0);
        let count = as_integer(count) as usize;
        let zero_at = (0..count).fold(names_at, |at, _| packed::next(bytes, at));
        BlockView {
            first: self.first,
            bytes,
            master: Master { count, names_at },
            entries_at: packed::next(bytes, zero_at),
        }
    }

    /// Removes the entry that begins at `at` and lives. An emptied block is to be dropped.
    pub(super) fn delete(&mut self, at: usize) {
        self.bytes[at] |= DELETED;
        self.live -= 1;
        self.deleted += 1;
    }

    /// Frees the bytes of deleted entries, if they are many. Not for the last block of a stream: new entries are to find
    /// as many in it as they do in Redis.
    pub(super) fn compact(&mut self) {
        let all = u64::from(self.live) + u64::from(self.deleted);
        if self.deleted <= self.live
            || self.bytes.len() as u64 * u64::from(self.deleted) < all * DELETED_BYTES_MIN as u64
        {
            return;
        }
        let view = self.view();
        let mut kept = Vec::with_capacity(self.bytes.len() / 2);
        kept.extend_from_slice(&self.bytes[..view.entries_at]);
        let mut at = view.entries_at;
        while at < self.bytes.len() {
            let entry = view.entry(at);
            if !entry.is_deleted {
                kept.extend_from_slice(&self.bytes[at..entry.end]);
            }
            at = entry.end;
        }
        kept.shrink_to_fit();
        self.bytes = kept;
        self.deleted = 0;
    }

    /// Bytes allocated.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The block as RDB files have it: a listpack with head and end mark.
    pub(super) fn to_listpack(&self) -> Vec<u8> {
        let mut out = vec![0; LISTPACK_FRAME - 1];
        push_integer(&mut out, i64::from(self.live));
        push_integer(&mut out, i64::from(self.deleted));
        out.extend_from_slice(&self.bytes);
        let mut elements = 0;
        let mut at = LISTPACK_FRAME - 1;
        while at < out.len() {
            at = packed::next(&out, at);
            elements += 1;
        }
        out.push(0xFF);
        let len = out.len() as u32;
        out[..4].copy_from_slice(&len.to_le_bytes());
        // The largest number says that there are so many that they must be counted.
        out[4..6].copy_from_slice(&u16::try_from(elements).unwrap_or(u16::MAX).to_le_bytes());
        out
    }
}

/// The fields that a block's master names.
#[derive(Debug, Clone, Copy)]
struct Master {
    count: usize,
    names_at: usize,
}

/// Read access to the entries of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockView<'a> {
    first: StreamId,
    bytes: &'a [u8],
    master: Master,
    /// Where the entries begin.
    pub(super) entries_at: usize,
}

/// An entry of a block, deleted or not.
pub(super) struct EntryView<'a> {
    pub(super) id: StreamId,
    pub(super) is_deleted: bool,
    fields: Fields<'a>,
    /// Where the next entry begins.
    pub(super) end: usize,
}

impl<'a> BlockView<'a> {
    /// Where the last entry ends.
    #[inline]
    pub(super) fn end(&self) -> usize {
        self.bytes.len()
    }

    /// The entry that begins at `at`.
    #[inline]
    pub(super) fn entry(&self, at: usize) -> EntryView<'a> {
        let bytes = self.bytes;
        let flags = bytes[at];
        // Flags are one byte and its length.
        let (ms, at) = packed::decode(bytes, at + 2);
        let (seq, at) = packed::decode(bytes, at);
        let id = StreamId {
            ms: self.first.ms.wrapping_add(as_integer(ms) as u64),
            seq: self.first.seq.wrapping_add(as_integer(seq) as u64),
        };
        let (fields, elements) = if flags & SAME_FIELDS == 0 {
            let (count, at) = packed::decode(bytes, at);
            let count = as_integer(count) as usize;
            (Fields { bytes, names_at: None, at, left: count }, 2 * count)
        } else {
            let Master { count, names_at } = self.master;
            (Fields { bytes, names_at: Some(names_at), at, left: count }, count)
        };
        let count_at = (0..elements).fold(fields.at, |at, _| packed::next(bytes, at));
        let end = packed::next(bytes, count_at);
        EntryView { id, is_deleted: flags & DELETED != 0, fields, end }
    }

    /// Where the entry that ends at `end` begins.
    pub(super) fn previous(&self, end: usize) -> usize {
        let count_at = packed::previous(self.bytes, end);
        let elements = as_integer(packed::decode(self.bytes, count_at).0);
        (0..elements).fold(count_at, |at, _| packed::previous(self.bytes, at))
    }

    /// Where the entry `id` begins, if it is there and lives.
    pub(super) fn find(&self, id: StreamId) -> Option<usize> {
        let mut at = self.entries_at;
        while at < self.end() {
            let entry = self.entry(at);
            // Ids may begin anew below those that are deleted (`XSETID`).
            if !entry.is_deleted && entry.id >= id {
                return (entry.id == id).then_some(at);
            }
            at = entry.end;
        }
        None
    }

    /// The highest id of the block, deleted or not.
    pub(super) fn last_id(&self) -> StreamId {
        self.entry(self.previous(self.end())).id
    }
}

/// An entry of a stream.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Its id.
    pub id: StreamId,
    fields: Fields<'a>,
}

impl<'a> Entry<'a> {
    #[inline]
    pub(super) fn new(view: EntryView<'a>) -> Self {
        Entry { id: view.id, fields: view.fields }
    }

    /// Its fields in order: names and values. A name may be there more than once.
    #[inline]
    pub fn fields(&self) -> Fields<'a> {
        self.fields.clone()
    }
}

/// The fields of an entry: names and values.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    /// Where the next name is, if names are not beside values.
    names_at: Option<usize>,
    at: usize,
    left: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Element<'a>, Element<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (name, value_at) = match &mut self.names_at {
            Some(names_at) => {
                let (name, after) = packed::decode(self.bytes, *names_at);
                *names_at = after;
                (name, self.at)
            }
            None => packed::decode(self.bytes, self.at),
        };
        let (value, after) = packed::decode(self.bytes, value_at);
        self.at = after;
        Some((name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Fields<'_> {}
