//! Commands that go through the keys of a database: all of them, step by step, or to a random one.

use super::Call;
use crate::glob;
use crate::resp::{Args, CommandResult, ErrorReply, Reply};
use crate::store::{SHARDS_MAX, ShardSet};
use crate::tree::Entry;
use crate::value::{Value, ValueRef, number};
use rand::Rng;
use std::ops::ControlFlow;

/// Bits of a cursor that say in which shard to go on; the tree's own cursor is above them. Together they stay below
/// 2^53, since some clients keep cursors in doubles.
const SHARD_BITS: u32 = SHARDS_MAX.trailing_zeros();
/// Keys that a step of `SCAN` looks at if the client does not say.
const COUNT_DEFAULT: usize = 10;
/// Keys that are over already which `RANDOMKEY` meets before it gives up drawing, and looks at next to each other then.
const EXPIRED_MAX: usize = 100;

/// `KEYS pattern`: visits only the keys below what the pattern begins with.
pub fn keys(call: &mut Call) -> CommandResult {
    let pattern = call.arg(1);
    let prefix = glob::literal_prefix(pattern);
    // Whatever starts with the prefix matches.
    let matches_prefix = pattern.len() == prefix.len() + 1 && pattern.ends_with(b"*");
    let (now_ms, database) = (call.keys.now_ms(), call.keys.database());
    let reply = &mut *call.reply;
    let begin = reply.deferred_array();
    let mut count = 0;
    let mut written = Ok(());
    for (_, shard) in call.keys.locked().shards() {
        let flow = shard.databases[database].for_each(prefix, |entry| {
            let is_over = entry.record.deadline.is_some_and(|deadline| deadline < now_ms);
            if !is_over && (matches_prefix || glob::matches(pattern, entry.key, false)) {
                count += 1;
                written = reply.bulk(entry.key);
                if written.is_err() {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        if flow.is_break() {
            break;
        }
    }
    written?;
    reply.finish_array(begin, count)
}

/// What a scan goes through, which decides what it can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// The keys of a database.
    Keys,
    /// The fields of a hash.
    Fields,
    /// The members of a set.
    Members,
    /// The members of a sorted set.
    ScoredMembers,
}

/// What follows the cursor of a scan.
pub(super) struct ScanOptions<'a> {
    pub pattern: &'a [u8],
    /// Elements to be looked at in a step, about.
    pub count: usize,
    /// Only keys of this type.
    pub type_name: Option<&'a [u8]>,
    /// Fields without their values, members without their scores.
    pub no_values: bool,
}

impl<'a> ScanOptions<'a> {
    /// Reads the options from the argument `first` on.
    pub fn parse(args: Args<'a>, first: usize, scanned: Scanned) -> Result<Self, ErrorReply> {
        const ONLY_FIELDS: ErrorReply = ErrorReply::fixed("ERR NOVALUES option can only be used in HSCAN");
        const ONLY_MEMBERS: ErrorReply = ErrorReply::fixed("ERR NOSCORES option can only be used in ZSCAN");
        let mut options = ScanOptions { pattern: b"*", count: COUNT_DEFAULT, type_name: None, no_values: false };
        let mut index = first;
        while let Some(word) = args.get(index) {
            let value = args.get(index + 1);
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            match value {
                Some(value) if is("COUNT") => {
                    let count = number::parse_i64(value).ok_or(ErrorReply::NOT_INTEGER)?;
                    options.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(ErrorReply::SYNTAX)?;
                }
                Some(value) if is("MATCH") => options.pattern = value,
                Some(value) if is("TYPE") && scanned == Scanned::Keys => options.type_name = Some(value),
                _ if is("NOVALUES") && scanned != Scanned::Fields => return Err(ONLY_FIELDS),
                _ if is("NOSCORES") && scanned != Scanned::ScoredMembers => return Err(ONLY_MEMBERS),
                _ if is("NOVALUES") || is("NOSCORES") => {
                    options.no_values = true;
                    index += 1;
                    continue;
                }
                _ => return Err(ErrorReply::SYNTAX),
            }
            index += 2;
        }
        Ok(options)
    }

    /// Whether an element's name is one that is asked for.
    #[inline]
    pub fn matches(&self, name: &[u8]) -> bool {
        self.pattern == b"*" || glob::matches(self.pattern, name, false)
    }
}

/// Ends a step of a scan: the cursor of the next one, and so many elements that have been written apart, since the cursor
/// goes in front.
pub(super) fn write_step(reply: &mut Reply, next: u64, elements: usize, written: &Reply) -> CommandResult {
    reply.array(2)?;
    reply.bulk_integer(next as i64)?;
    reply.array(elements)?;
    reply.raw(written.as_bytes())
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub fn scan(call: &mut Call) -> CommandResult {
    let cursor = parse_cursor(call.arg(1))?;
    let options = ScanOptions::parse(call.args, 2, Scanned::Keys)?;
    let prefix = glob::literal_prefix(options.pattern);
    let (now_ms, database) = (call.keys.now_ms(), call.keys.database());
    let start = Cursor::from_number(cursor);
    let mut at = start;
    let mut left = options.count;
    let mut keys = 0;
    let mut written = Reply::new(call.reply.protocol());
    let mut expired: Vec<Box<[u8]>> = Vec::new();
    for number in start.shard..call.state.keyspace.shard_count() {
        let mut looked_at = 0;
        let from = if number == start.shard { start.tree } else { 0 };
        let look_at = |entry: Entry<'_, Value>| {
            looked_at += 1;
            let is_over = entry.record.deadline.is_some_and(|deadline| deadline < now_ms);
            let type_name = ValueRef::from(entry.record.payload).type_of().name();
            let is_wanted = options.type_name.is_none_or(|name| type_name.as_bytes().eq_ignore_ascii_case(name));
            if !is_wanted || !options.matches(entry.key) {
                return;
            }
            if is_over {
                expired.push(entry.key.into());
            } else {
                keys += usize::from(written.bulk(entry.key).is_ok());
            }
        };
        let next = call.keys.hold(ShardSet::single(number), |keys| {
            keys.locked().shard(number).databases[database].scan(from, left, prefix, look_at)
        });
        at = if next != 0 { Cursor { shard: number, tree: next } } else { Cursor { shard: number + 1, tree: 0 } };
        for key in expired.drain(..) {
            // One by one: unless it is part of a transaction, no client has asked for them to go together.
            call.keys.hold(ShardSet::single(number), |keys| keys.peek(&key));
        }
        left = left.saturating_sub(looked_at);
        if next != 0 || left == 0 {
            break;
        }
    }
    let next = if at.shard < call.state.keyspace.shard_count() { at.number() } else { 0 };
    write_step(call.reply, next, keys, &written)
}

/// Where a scan goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    shard: usize,
    /// The cursor of the shard's tree; 0 at its begin.
    tree: u64,
}

impl Cursor {
    fn from_number(number: u64) -> Self {
        Cursor { shard: (number & (SHARDS_MAX as u64 - 1)) as usize, tree: number >> SHARD_BITS }
    }

    fn number(self) -> u64 {
        self.tree << SHARD_BITS | self.shard as u64
    }
}

/// A cursor is any unsigned number; those that were never given end the scan somewhere.
///
/// A number that has no sign and no zeros in front, or else whatever `strtoull` takes: space in front, a sign, a zero byte
/// behind.
pub(super) fn parse_cursor(text: &[u8]) -> Result<u64, ErrorReply> {
    const INVALID: ErrorReply = ErrorReply::fixed("ERR invalid cursor");
    if let Some(number) = number::parse_i64(text) {
        return u64::try_from(number).map_err(|_| INVALID);
    }
    let text = text.split(|byte| *byte == 0).next().and_then(|text| std::str::from_utf8(text).ok()).ok_or(INVALID)?;
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let (digits, negative) = match text.strip_prefix('-') {
        Some(digits) => (digits, true),
        None => (text.strip_prefix('+').unwrap_or(text), false),
    };
    let number: u64 = digits.parse().ok().filter(|_| !digits.starts_with('+')).ok_or(INVALID)?;
    Ok(if negative { number.wrapping_neg() } else { number })
}

/// `RANDOMKEY`: draws from all keys alike. After too many draws that were over already it takes the first key that is
/// not, wherever that is.
pub fn randomkey(call: &mut Call) -> CommandResult {
    let database = call.keys.database();
    let mut key = Vec::new();
    for _ in 0..EXPIRED_MAX {
        let Some(shard) = random_shard(call) else { return call.reply.null() };
        // Looking a key up removes it if its time is over, unless a pause forbids that.
        let is_there = call.keys.hold(ShardSet::single(shard), |keys| {
            let tree = &keys.locked().shard(shard).databases[database];
            key.clear();
            let Some(position) = tree.random(&mut rand::rng()) else { return false };
            tree.key(position, &mut key);
            keys.peek(&key).is_some()
        });
        if is_there {
            return call.reply.bulk(&key);
        }
    }
    let first = (0..call.state.keyspace.shard_count()).find_map(|shard| first_living(call, shard));
    call.reply.bulk_or_null(first.as_deref())
}

/// A shard, drawn by how many keys it has in the current database; `None` if no shard has any.
fn random_shard(call: &mut Call) -> Option<usize> {
    let database = call.keys.database();
    let mut ends = Vec::with_capacity(call.state.keyspace.shard_count());
    let mut total = 0;
    call.keys.visit_shards(|shard| {
        total += shard.databases[database].len();
        ends.push(total);
    });
    let index = (total > 0).then(|| rand::rng().random_range(0..total))?;
    Some(ends.partition_point(|end| *end <= index))
}

/// A key of a shard whose time is not over. The shard is let go after every few keys.
fn first_living(call: &mut Call, shard: usize) -> Option<Vec<u8>> {
    let (now_ms, database) = (call.keys.now_ms(), call.keys.database());
    let (mut cursor, mut first) = (0, None);
    loop {
        cursor = call.keys.hold(ShardSet::single(shard), |keys| {
            keys.locked().shard(shard).databases[database].scan(cursor, EXPIRED_MAX, b"", |entry| {
                if first.is_none() && entry.record.deadline.is_none_or(|deadline| deadline >= now_ms) {
                    first = Some(entry.key.to_vec());
                }
            })
        });
        if cursor == 0 || first.is_some() {
            return first;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_exact_as_doubles() {
        let last = Cursor { shard: SHARDS_MAX - 1, tree: (1 << 47) - 1 };
        assert!(last.number() < 1 << 53);
        assert_eq!(Cursor::from_number(last.number()), last);
        assert_eq!(Cursor { shard: 0, tree: 0 }.number(), 0);
    }

    #[test]
    fn cursors_are_unsigned_numbers() {
        assert_eq!(parse_cursor(b"18446744073709551615"), Ok(u64::MAX));
        for (lenient, expected) in [(" +5", 5), ("-0", 0), ("007", 7), ("5\0x", 5), ("-18446744073709551615", 1)] {
            assert_eq!(parse_cursor(lenient.as_bytes()), Ok(expected), "{lenient}");
        }
        for wrong in ["", "x", "-1", "1 ", "+-1", "+", "18446744073709551616", "0x5"] {
            assert!(parse_cursor(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
