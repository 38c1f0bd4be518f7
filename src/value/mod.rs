//! The data types: how values of each type are kept in memory, and what can be done to them.
//!
//! Nothing here knows of keys, clients or the protocol. A value is either a few bytes that live inside the record of
//! its key, with a kind that says what they mean ([`InlineKind`]), or a [`Value`] of its own. [`ValueRef`] reads both.

pub mod bits;
pub mod collection;
pub mod common;
pub mod digest;
pub mod double;
pub mod general;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod list;
pub mod long_double;
mod natural;
pub mod number;
pub mod packed;
pub mod set;
pub mod stream;
pub mod string;
pub mod zset;

use crate::tree::Payload;
use collection::Collection;
use hash::{Hash, HashRef};
use list::{List, ListRef};
use set::{Set, SetRef};
use stream::Stream;
use string::{LongString, StringView};
use zset::{SortedSet, SortedSetRef};

pub use crate::tree::MAX_INLINE;

/// Longest string that `OBJECT ENCODING` calls `embstr`.
const EMBSTR_MAX: usize = 44;

/// The units of work from which freeing a value is left to a background thread.
pub const FREE_IN_BACKGROUND_MIN: usize = 64;

/// A value that is kept by itself.
#[derive(Debug, Clone)]
pub enum Value {
    /// A string too long for a record.
    String(LongString),
    /// A list too large for a record.
    List(List),
    /// A sorted set too large for a record.
    SortedSet(SortedSet),
    /// A set too large for a record.
    Set(Set),
    /// A stream.
    Stream(Box<Stream>),
    /// A hash too large for a record.
    Hash(Hash),
}

/// A value of so many bytes takes long to read.
const IMAGE_BYTES_MIN: usize = 16 << 10;

impl Value {
    /// A copy, if the value takes long to read: it costs little, since it has all parts in common with the value until these
    /// change (a string of one part is copied). It is to be read as a whole, and sorted sets without regard to their order.
    pub fn image(&mut self) -> Option<Value> {
        let is_large = match self {
            Value::String(string) => string.len() >= IMAGE_BYTES_MIN,
            Value::List(list) => list.memory(1) >= IMAGE_BYTES_MIN,
            Value::Stream(stream) => stream.memory(1) >= IMAGE_BYTES_MIN,
            Value::SortedSet(set) => return set.image().map(Value::SortedSet),
            Value::Set(set) => return set.image().map(Value::Set),
            Value::Hash(hash) => return hash.image().map(Value::Hash),
        };
        is_large.then(|| self.clone())
    }

    /// Writes a collection to `out`, whose contents are dropped, as the payload of a record. `None` if it cannot be one of at
    /// most `size_max` bytes.
    pub fn pack(&self, out: &mut Vec<u8>, size_max: usize) -> Option<InlineKind> {
        match self {
            Value::String(_) => None,
            Value::List(list) => list.pack(out, size_max),
            Value::SortedSet(set) => set.pack(out, size_max),
            Value::Set(set) => set.pack(out, size_max),
            Value::Hash(hash) => hash.pack(out, size_max),
            Value::Stream(_) => None,
        }
    }
}

/// What an inline payload is. The numbers are stored in records and fit four bits.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InlineKind {
    /// A string that was set as a whole.
    Raw = 0,
    /// An integer: see [`number::integer_to_bytes`].
    Integer = 1,
    /// A compressed string: see [`string`].
    CompressedString = 2,
    /// A small list: see [`list`].
    PackedList = 3,
    /// A string that has been changed in part.
    RawModified = 4,
    /// A string of an even number of hexadecimal digits, and no canonical integer: see [`string`].
    Digits = 5,
    /// The same with an odd number.
    OddDigits = 6,
    /// A small sorted set: see [`zset`].
    PackedSortedSet = 7,
    /// A small set of integers: see [`set`].
    IntegerSet = 8,
    /// A small set: see [`set`].
    PackedSet = 9,
    /// A small hash: see [`hash`].
    PackedHash = 10,
}

impl InlineKind {
    /// The kind of an inline payload.
    ///
    /// # Panics
    /// If the number stands for none: nothing else than a kind is ever stored.
    #[inline]
    pub fn stored(number: u8) -> Self {
        InlineKind::from_number(number).expect("an inline payload is stored with its kind")
    }

    /// The type of a value of this kind.
    #[inline(always)]
    pub fn type_of(self) -> Type {
        match self {
            InlineKind::Raw
            | InlineKind::Integer
            | InlineKind::CompressedString
            | InlineKind::RawModified
            | InlineKind::Digits
            | InlineKind::OddDigits => Type::String,
            InlineKind::PackedList => Type::List,
            InlineKind::PackedSortedSet => Type::SortedSet,
            InlineKind::IntegerSet | InlineKind::PackedSet => Type::Set,
            InlineKind::PackedHash => Type::Hash,
        }
    }

    /// The kind with this number.
    #[inline]
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(InlineKind::Raw),
            1 => Some(InlineKind::Integer),
            2 => Some(InlineKind::CompressedString),
            3 => Some(InlineKind::PackedList),
            4 => Some(InlineKind::RawModified),
            5 => Some(InlineKind::Digits),
            6 => Some(InlineKind::OddDigits),
            7 => Some(InlineKind::PackedSortedSet),
            8 => Some(InlineKind::IntegerSet),
            9 => Some(InlineKind::PackedSet),
            10 => Some(InlineKind::PackedHash),
            _ => None,
        }
    }
}

/// The type of a value, as `TYPE` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// A byte string, an integer or a bitmap.
    String,
    /// A list.
    List,
    /// A sorted set.
    SortedSet,
    /// A set.
    Set,
    /// A stream.
    Stream,
    /// A map from fields to values.
    Hash,
}

impl Type {
    /// The name that `TYPE` replies and `SCAN TYPE` takes.
    pub fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::List => "list",
            Type::SortedSet => "zset",
            Type::Set => "set",
            Type::Stream => "stream",
            Type::Hash => "hash",
        }
    }

    /// Whether clients can wait for a key to get such a value.
    #[inline]
    pub fn is_awaitable(self) -> bool {
        matches!(self, Type::List | Type::SortedSet | Type::Stream)
    }
}

/// Read access to a value, wherever it is kept.
#[derive(Debug, Clone, Copy)]
pub enum ValueRef<'a> {
    /// The payload of a record.
    Inline(InlineKind, &'a [u8]),
    /// A value kept by itself.
    Boxed(&'a Value),
}

impl<'a> From<Payload<'a, Value>> for ValueRef<'a> {
    #[inline]
    fn from(payload: Payload<'a, Value>) -> Self {
        match payload {
            Payload::Inline { kind, bytes } => ValueRef::Inline(InlineKind::stored(kind), bytes),
            Payload::Boxed(value) => ValueRef::Boxed(value),
        }
    }
}

impl<'a> ValueRef<'a> {
    /// The value's type.
    #[inline]
    pub fn type_of(&self) -> Type {
        match self {
            ValueRef::Inline(kind, _) => kind.type_of(),
            ValueRef::Boxed(Value::String(_)) => Type::String,
            ValueRef::Boxed(Value::List(_)) => Type::List,
            ValueRef::Boxed(Value::SortedSet(_)) => Type::SortedSet,
            ValueRef::Boxed(Value::Set(_)) => Type::Set,
            ValueRef::Boxed(Value::Stream(_)) => Type::Stream,
            ValueRef::Boxed(Value::Hash(_)) => Type::Hash,
        }
    }

    /// The value as a string, if it is one.
    #[inline]
    pub fn as_string(&self) -> Option<StringView<'a>> {
        match self {
            ValueRef::Inline(kind, payload) => StringView::inline(*kind, payload),
            ValueRef::Boxed(Value::String(string)) => Some(StringView::long(string)),
            ValueRef::Boxed(_) => None,
        }
    }

    /// The value as a list, if it is one.
    #[inline]
    pub fn as_list(&self) -> Option<ListRef<'a>> {
        match self {
            ValueRef::Inline(InlineKind::PackedList, payload) => Some(ListRef::Packed(payload)),
            ValueRef::Boxed(Value::List(list)) => Some(ListRef::Long(list)),
            _ => None,
        }
    }

    /// The value as a sorted set, if it is one.
    #[inline]
    pub fn as_sorted_set(&self) -> Option<SortedSetRef<'a>> {
        match self {
            ValueRef::Inline(InlineKind::PackedSortedSet, payload) => Some(SortedSetRef::inline(payload)),
            ValueRef::Boxed(Value::SortedSet(set)) => Some(set.view()),
            _ => None,
        }
    }

    /// The value as a stream, if it is one.
    #[inline]
    pub fn as_stream(&self) -> Option<&'a Stream> {
        match self {
            ValueRef::Boxed(Value::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    /// The value as a hash, if it is one.
    #[inline]
    pub fn as_hash(&self) -> Option<HashRef<'a>> {
        match self {
            ValueRef::Inline(InlineKind::PackedHash, payload) => Some(HashRef::packed(payload)),
            ValueRef::Boxed(Value::Hash(hash)) => Some(hash.view()),
            _ => None,
        }
    }

    /// The encoding that `OBJECT ENCODING` names: what Redis 7.0 would keep the value in.
    /// The value as a set, if it is one.
    #[inline]
    pub fn as_set(&self) -> Option<SetRef<'a>> {
        match self {
            ValueRef::Inline(kind, payload) => SetRef::inline(*kind, payload),
            ValueRef::Boxed(Value::Set(set)) => Some(set.view()),
            ValueRef::Boxed(_) => None,
        }
    }

    /// The encoding that `OBJECT ENCODING` names: what Redis 7.2 would keep the value in.
    pub fn encoding(&self) -> &'static str {
        match self {
            ValueRef::Inline(InlineKind::Integer, _) => "int",
            ValueRef::Inline(InlineKind::Raw, payload) if payload.len() <= EMBSTR_MAX => "embstr",
            ValueRef::Inline(InlineKind::Digits | InlineKind::OddDigits, payload)
                if payload.len() <= EMBSTR_MAX.div_ceil(2) =>
            {
                "embstr"
            }
            ValueRef::Inline(
                InlineKind::Raw
                | InlineKind::RawModified
                | InlineKind::Digits
                | InlineKind::OddDigits
                | InlineKind::CompressedString,
                _,
            )
            | ValueRef::Boxed(Value::String(_)) => "raw",
            ValueRef::Inline(InlineKind::PackedList, _) | ValueRef::Boxed(Value::List(_)) => "quicklist",
            ValueRef::Inline(InlineKind::PackedSortedSet, _) => "listpack",
            ValueRef::Boxed(Value::SortedSet(set)) => set.view().encoding(),
            ValueRef::Inline(InlineKind::IntegerSet, _) => "intset",
            ValueRef::Inline(InlineKind::PackedSet, _) => "listpack",
            ValueRef::Boxed(Value::Set(set)) => set.view().encoding(),
            ValueRef::Boxed(Value::Stream(_)) => "stream",
            ValueRef::Boxed(Value::Hash(hash)) if hash.view().is_tree() => "hashtable",
            ValueRef::Inline(InlineKind::PackedHash, _) | ValueRef::Boxed(Value::Hash(_)) => "listpack",
        }
    }

    /// Bytes allocated besides the record, estimated from at most `samples` parts of a collection.
    pub fn memory(&self, samples: usize) -> usize {
        match self {
            ValueRef::Inline(..) => 0,
            ValueRef::Boxed(Value::String(string)) => size_of::<Value>() + string.stored_len(),
            ValueRef::Boxed(Value::List(list)) => size_of::<Value>() + list.memory(samples),
            ValueRef::Boxed(Value::SortedSet(set)) => size_of::<Value>() + set.memory(samples),
            ValueRef::Boxed(Value::Set(set)) => size_of::<Value>() + set.memory(),
            ValueRef::Boxed(Value::Stream(stream)) => size_of::<Value>() + stream.memory(samples),
            ValueRef::Boxed(Value::Hash(hash)) => size_of::<Value>() + hash.memory(),
        }
    }

    /// The work that freeing the value is, in allocations; see [`FREE_IN_BACKGROUND_MIN`].
    pub fn free_effort(&self) -> usize {
        match self {
            ValueRef::Inline(..) => 1,
            ValueRef::Boxed(Value::String(string)) => string.free_effort(),
            ValueRef::Boxed(Value::List(list)) => list.node_count(),
            ValueRef::Boxed(Value::SortedSet(set)) => set.free_effort(),
            ValueRef::Boxed(Value::Set(set)) => set.free_effort(),
            ValueRef::Boxed(Value::Stream(stream)) => stream.free_effort(),
            ValueRef::Boxed(Value::Hash(hash)) => hash.free_effort(),
        }
    }
}
