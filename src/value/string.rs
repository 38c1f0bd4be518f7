//! Strings: which form new bytes are kept in, and reading any form.
//!
//! | form | where | for |
//! |---|---|---|
//! | integer | record | the canonical text of an `i64`: its shortest two's complement bytes |
//! | digits | record | hexadecimal digits in lowercase, two a byte |
//! | raw | record | up to [`MAX_INLINE`] bytes |
//! | compressed | record | what LZ4 makes to fit: head, block |
//! | [`LongString`] | its own allocation | all others |

mod compress;
pub mod dictionary;
mod hex;
mod long;
mod lz4;
pub mod train;

use std::ops::Range;

pub use compress::{Compressed, Head, compress};
pub use long::{COMPRESS_AT_ONCE_MAX, LongString, PIECE_LEN, Ticket};

use super::number::{self, INTEGER_LEN_MAX};
use super::packed::IntegerText;
use super::{InlineKind, MAX_INLINE};

/// A string that is about to be stored: in the form that suits it.
#[derive(Debug)]
pub enum NewString<'a> {
    /// To be put into the record.
    Inline(InlineKind, InlineBytes<'a>),
    /// To be kept by itself.
    Boxed(LongString),
}

/// The payload of an inline string. Dereferences to its bytes.
#[derive(Debug)]
pub enum InlineBytes<'a> {
    /// The caller's own bytes.
    Borrowed(&'a [u8]),
    /// An integer's bytes, and how many of them count.
    Integer([u8; 8], usize),
    /// Packed digits, and how many bytes of them count.
    Digits([u8; hex::PACKED_MAX], usize),
    /// Bytes made for the purpose.
    Owned(Vec<u8>),
}

impl std::ops::Deref for InlineBytes<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            InlineBytes::Borrowed(bytes) => bytes,
            InlineBytes::Integer(bytes, used) => &bytes[..*used],
            InlineBytes::Digits(bytes, used) => &bytes[..*used],
            InlineBytes::Owned(bytes) => bytes,
        }
    }
}

impl<'a> NewString<'a> {
    /// The form for bytes that a client sets as a whole. Strings longer than `compression_threshold` bytes (0: none)
    /// are compressed if that saves an eighth; those over [`COMPRESS_AT_ONCE_MAX`] are left to a background thread
    /// ([`LongString::begin_compression`]).
    #[inline]
    pub fn classify(bytes: &'a [u8], compression_threshold: usize) -> Self {
        if bytes.len() <= INTEGER_LEN_MAX
            && let Some(value) = number::parse_i64(bytes)
        {
            return NewString::integer(value);
        }
        if let Some((packed, used)) = hex::pack(bytes) {
            let kind = if bytes.len().is_multiple_of(2) { InlineKind::Digits } else { InlineKind::OddDigits };
            return NewString::Inline(kind, InlineBytes::Digits(packed, used));
        }
        if compression_threshold != 0 && bytes.len() > compression_threshold {
            return classify_long(bytes);
        }
        NewString::text(bytes)
    }

    /// The form for an integer.
    #[inline]
    pub fn integer(value: i64) -> Self {
        let (bytes, used) = number::integer_to_bytes(value);
        NewString::Inline(InlineKind::Integer, InlineBytes::Integer(bytes, used))
    }

    /// The form for text that stays text although it may be that of an integer (`INCRBYFLOAT`).
    #[inline]
    pub fn text(bytes: &'a [u8]) -> Self {
        match bytes.len() {
            0..=MAX_INLINE => NewString::Inline(InlineKind::Raw, InlineBytes::Borrowed(bytes)),
            _ => NewString::Boxed(LongString::new(bytes)),
        }
    }

    /// The form for bytes that came about by changing a string in part (`APPEND`, `SETRANGE`, `SETBIT`) or by `BITOP`:
    /// neither integer nor compressed, until the value has gone cold. `OBJECT ENCODING` tells the difference.
    pub fn modified(bytes: &'a [u8]) -> Self {
        match bytes.len() {
            0..=MAX_INLINE => NewString::Inline(InlineKind::RawModified, InlineBytes::Borrowed(bytes)),
            _ => NewString::Boxed(LongString::new(bytes)),
        }
    }

    /// The form for what [`compress`] made of a string of at most [`PIECE_LEN`] bytes.
    pub fn compressed(head: Head, block: &[u8]) -> Self {
        if Head::SIZE + block.len() > MAX_INLINE {
            return NewString::Boxed(LongString::compressed(head, block));
        }
        let payload = [&head.to_bytes(), block].concat();
        NewString::Inline(InlineKind::CompressedString, InlineBytes::Owned(payload))
    }

    /// Bytes that the string takes, without what leads to it.
    pub fn stored_len(&self) -> usize {
        match self {
            NewString::Inline(_, bytes) => bytes.len(),
            NewString::Boxed(long) => long.stored_len(),
        }
    }
}

#[cold]
fn classify_long(bytes: &[u8]) -> NewString<'_> {
    if bytes.len() > PIECE_LEN {
        let mut long = LongString::new(bytes);
        if bytes.len() <= COMPRESS_AT_ONCE_MAX {
            long.compress();
        }
        return NewString::Boxed(long);
    }
    let mut block = Vec::new();
    match compress(bytes, &mut block) {
        Some(head) => NewString::compressed(head, &block),
        None if bytes.len() <= MAX_INLINE => NewString::Inline(InlineKind::Raw, InlineBytes::Borrowed(bytes)),
        None => NewString::Boxed(LongString::incompressible(bytes)),
    }
}

/// Read access to a string in any form.
#[derive(Debug, Clone, Copy)]
pub enum StringView<'a> {
    /// The bytes themselves.
    Raw(&'a [u8]),
    /// An integer, whose decimal text is the string.
    Integer(i64),
    /// So many hexadecimal digits, packed two a byte.
    Digits(&'a [u8], usize),
    /// A string compressed into one block.
    Compressed(Compressed<'a>),
    /// A string kept by itself.
    Long(&'a LongString),
}

impl<'a> StringView<'a> {
    /// Reads the payload of an inline string; none if the kind is not a string's.
    #[inline]
    pub fn inline(kind: InlineKind, payload: &'a [u8]) -> Option<Self> {
        match kind {
            InlineKind::Raw | InlineKind::RawModified => Some(StringView::Raw(payload)),
            InlineKind::Integer => Some(StringView::Integer(number::integer_from_bytes(payload))),
            InlineKind::Digits => Some(StringView::Digits(payload, payload.len() * 2)),
            InlineKind::OddDigits => Some(StringView::Digits(payload, payload.len() * 2 - 1)),
            InlineKind::CompressedString => {
                let (head, block) = payload.split_first_chunk()?;
                Some(StringView::Compressed(Compressed { head: Head::from_bytes(*head), block }))
            }
            InlineKind::PackedList
            | InlineKind::PackedSortedSet
            | InlineKind::IntegerSet
            | InlineKind::PackedSet
            | InlineKind::PackedHash => None,
        }
    }

    /// Reads a string that is kept by itself.
    #[inline]
    pub fn long(string: &'a LongString) -> Self {
        match (string.as_raw(), string.as_compressed()) {
            (Some(bytes), _) => StringView::Raw(bytes),
            (None, Some(compressed)) => StringView::Compressed(compressed),
            (None, None) => StringView::Long(string),
        }
    }

    /// Length in bytes. Decompresses nothing.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            StringView::Raw(bytes) => bytes.len(),
            StringView::Integer(value) => IntegerText::default().format(*value).len(),
            StringView::Digits(_, len) => *len,
            StringView::Compressed(compressed) => compressed.head.raw_len(),
            StringView::Long(string) => string.len(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes in one slice, put into `scratch` if need be. Prefer [`StringView::visit`] where strings may be long.
    #[inline]
    pub fn as_slice<'s>(&'s self, scratch: &'s mut Vec<u8>) -> &'s [u8] {
        match self {
            StringView::Raw(bytes) => bytes,
            _ => {
                scratch.clear();
                self.append_to(scratch);
                scratch
            }
        }
    }

    /// The bytes of `range` in one slice, put into `scratch` if need be. The range lies within the string.
    pub fn slice<'s>(&'s self, range: Range<usize>, scratch: &'s mut Vec<u8>) -> &'s [u8] {
        match self {
            StringView::Raw(bytes) => &bytes[range],
            StringView::Long(string) => {
                scratch.clear();
                scratch.resize(range.len(), 0);
                string.copy_to(range.start, scratch);
                scratch
            }
            StringView::Integer(_) | StringView::Digits(..) | StringView::Compressed(_) => {
                &self.as_slice(scratch)[range]
            }
        }
    }

    /// Shows the bytes of `range`, which lies within the string, to `visit`: in order, in one or more chunks (of
    /// [`PIECE_LEN`] bytes at most if the string is long), until it answers `false`.
    pub fn visit(&self, range: Range<usize>, scratch: &mut Vec<u8>, mut visit: impl FnMut(&[u8]) -> bool) {
        match self {
            StringView::Long(string) => string.visit(range, scratch, visit),
            _ => {
                visit(&self.as_slice(scratch)[range]);
            }
        }
    }

    /// Appends all bytes to `out`.
    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>) {
        match self {
            StringView::Raw(bytes) => out.extend_from_slice(bytes),
            StringView::Integer(value) => out.extend_from_slice(IntegerText::default().format(*value)),
            StringView::Digits(..) | StringView::Compressed(_) | StringView::Long(_) => {
                let start = out.len();
                out.resize(start + self.len(), 0);
                self.copy_to(&mut out[start..]);
            }
        }
    }

    /// Writes all bytes to `out`, which is exactly as long.
    pub fn copy_to(&self, out: &mut [u8]) {
        match self {
            StringView::Raw(bytes) => out.copy_from_slice(bytes),
            StringView::Integer(value) => out.copy_from_slice(IntegerText::default().format(*value)),
            StringView::Digits(packed, _) => hex::unpack(packed, out),
            StringView::Compressed(compressed) => compressed.decompress(out),
            StringView::Long(string) => string.copy_to(0, out),
        }
    }

    /// The integer that the string is the canonical text of.
    #[inline]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            StringView::Integer(value) => Some(*value),
            StringView::Raw(bytes) => number::parse_i64(bytes),
            StringView::Digits(..) | StringView::Compressed(_) | StringView::Long(_) => None,
        }
    }

    /// A string kept by itself with the same bytes, raw: to be changed in part, or because it is being read in part.
    pub fn to_long(&self) -> LongString {
        LongString::new(self.as_slice(&mut Vec::new()))
    }
}

#[cfg(test)]
mod tests;
