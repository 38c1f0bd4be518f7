//! The RDB format: values as Redis and Valkey write them to files, send them to replicas and give them to `DUMP`.
//!
//! What is written here is read by Redis 7.0 and everything later. What is read here is whatever any version has written, and
//! nothing of it is trusted: bytes that make no value are an error ([`Corrupt`]), never a panic, and take no memory ahead of
//! the bytes that have arrived.
//!
//! - [`read`]: lengths, strings and numbers from any [`read::Source`]; [`write`]: the same the other way.
//! - [`value`]: values of each type and encoding. `forms`: the packed encodings of old and new versions. `lzf`: compression.
//! - [`payload`]: a value with version and checksum, for `DUMP` and `RESTORE`. [`mod@file`]: whole files.
//!
//! The format has no specification; its description is <https://rdb.fnordig.de/file_format.html>, and what the servers do.

pub mod file;
mod forms;
mod lzf;
pub mod payload;
pub mod read;
#[cfg(test)]
mod tests;
pub mod value;
pub mod write;

use crc::{CRC_64_REDIS, Crc, Table};

static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// The version that is written: that of Redis 7.0, which can hold every value but hashes whose fields have deadlines.
const VERSION: u16 = 10;
/// The version of Redis 8.0, the first with such hashes.
const VERSION_WITH_FIELD_DEADLINES: u16 = 12;

/// The version of Valkey 9.0, the first of its with such hashes.
const VERSION_OF_VALKEY: u16 = 80;

/// The newest version of Redis that is read (8.2).
const REDIS_VERSION_MAX: u16 = 12;
/// From here on versions are Valkey's, which has left a gap for those of Redis that are not its own.
const VALKEY_VERSION_MIN: u16 = 80;
/// The newest version of Valkey that is read (9.1).
const VALKEY_VERSION_MAX: u16 = 80;

/// How values are written where there is a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Strings are compressed where that saves something.
    pub compressed: bool,
    pub field_deadlines: FieldDeadlines,
}

/// In whose form hashes are written of which fields have deadlines. Each reads only its own; Radish reads both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldDeadlines {
    Redis,
    Valkey,
}

impl FieldDeadlines {
    /// The version of data that has such hashes.
    fn version(self) -> u16 {
        match self {
            FieldDeadlines::Redis => VERSION_WITH_FIELD_DEADLINES,
            FieldDeadlines::Valkey => VERSION_OF_VALKEY,
        }
    }
}

/// Whether data of this version is Valkey's own.
fn is_of_valkey(version: u16) -> bool {
    version >= VALKEY_VERSION_MIN
}

/// Whether data of this version can be read.
fn is_known_version(version: u16) -> bool {
    matches!(version, 1..=REDIS_VERSION_MAX | VALKEY_VERSION_MIN..=VALKEY_VERSION_MAX)
}

/// What is wrong with bytes that make no value of a kind, in the words of Redis.
fn complaint(kind: u8) -> &'static str {
    match kind {
        kind::LIST_ZIPLIST => "List ziplist integrity check failed.",
        kind::LIST_QUICKLIST => "Ziplist integrity check failed.",
        kind::LIST_QUICKLIST_2 => "Listpack integrity check failed.",
        kind::SET_INTSET => "Intset integrity check failed.",
        kind::SET_LISTPACK => "Set listpack integrity check failed.",
        kind::ZSET_ZIPLIST => "Zset ziplist integrity check failed.",
        kind::ZSET_LISTPACK => "Zset listpack integrity check failed.",
        kind::HASH_ZIPMAP => "Zipmap integrity check failed.",
        kind::HASH_ZIPLIST => "Hash ziplist integrity check failed.",
        kind::HASH_LISTPACK | kind::HASH_LISTPACK_EX => "Hash listpack integrity check failed.",
        kind::STREAM | kind::STREAM_2 | kind::STREAM_3 => "Stream listpack integrity check failed.",
        kind::STRING
        | kind::LIST
        | kind::SET
        | kind::ZSET
        | kind::ZSET_2
        | kind::HASH
        | kind::HASH_2
        | kind::HASH_METADATA => "The bytes of a value are not what they should be.",
        _ => "Unknown RDB encoding type.",
    }
}

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// How a value is encoded: the byte in front of it.
mod kind {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    /// Scores as text.
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    /// Scores as doubles.
    pub const ZSET_2: u8 = 5;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    /// A list as a sequence of ziplists.
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    /// A list as a sequence of listpacks and plain strings.
    pub const LIST_QUICKLIST_2: u8 = 18;
    /// A stream with what it ever had.
    pub const STREAM_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    /// A value of a module, in a form that was never released, and in the present one.
    pub const MODULE: u8 = 6;
    pub const MODULE_2: u8 = 7;
    /// A stream whose consumers have been active.
    pub const STREAM_3: u8 = 21;
    /// Valkey's hash whose fields have deadlines; what Redis has never released has the same number.
    pub const HASH_2: u8 = 22;
    /// Redis' hash whose fields have deadlines, and the same as a listpack.
    pub const HASH_METADATA: u8 = 24;
    pub const HASH_LISTPACK_EX: u8 = 25;
}

/// The first two bits of a length, and what the rest of an encoded string's says.
mod length {
    pub const BITS_14: u8 = 0x40;
    pub const BITS_32: u8 = 0x80;
    pub const BITS_64: u8 = 0x81;
    pub const ENCODED: u8 = 0xC0;
    pub const INTEGER_8: u8 = 0;
    pub const INTEGER_16: u8 = 1;
    pub const INTEGER_32: u8 = 2;
    pub const LZF: u8 = 3;
}
