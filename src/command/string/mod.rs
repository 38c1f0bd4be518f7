//! String commands: reading strings here, the rest in a module for each kind of change.

mod counter;
mod edit;
pub(super) mod expiry;
mod lcs;
mod multiple;
mod set;

pub use counter::{decr, decrby, incr, incrby, incrbyfloat};
pub use edit::{append, setrange};
pub use lcs::lcs;
pub use multiple::{mget, mset, msetex, msetnx};
pub use set::{delifeq, getdel, getex, getset, psetex, set, setex, setnx};

pub(super) use edit::{string_len_max, write_at};

use super::Call;
use super::keys::{Found, Keys};
use crate::config::Directive;
use crate::resp::{CommandResult, ErrorReply, Reply};
use crate::tree::NewPayload;
use crate::value::string::{NewString, StringView};
use crate::value::{Value, ValueRef};
use std::ops::Range;

/// `GET key`
pub fn get(call: &mut Call) -> CommandResult {
    let found = call.keys.read(call.arg(1));
    write_found(call, found)
}

/// `STRLEN key`
pub fn strlen(call: &mut Call) -> CommandResult {
    match call.keys.read(call.arg(1)) {
        None => call.reply.integer(0),
        Some(found) => call.reply.count(view(call.keys, found)?.len()),
    }
}

/// `GETRANGE key start end`: the bytes from `start` to `end`, both inclusive; negative positions count from the end.
pub fn getrange(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let (start, end) = (call.integer(2)?, call.integer(3)?);
    let Some(found) = call.keys.read(key) else { return call.reply.bulk(b"") };
    match inclusive_range(start, end, view(call.keys, found)?.len()) {
        None => call.reply.bulk(b""),
        Some(range) => {
            let found = expand(call.keys, found, key, range.clone());
            call.reply.bulk(view(call.keys, found)?.slice(range, &mut Vec::new()))
        }
    }
}

/// `SUBSTR key start end`: the old name of `GETRANGE`.
pub fn substr(call: &mut Call) -> CommandResult {
    getrange(call)
}

/// A record's string; an error if it holds another type.
#[inline]
pub(super) fn view<'a>(keys: &'a mut Keys<'_>, found: Found) -> Result<StringView<'a>, ErrorReply> {
    keys.value(found).as_string().ok_or(ErrorReply::WRONG_TYPE)
}

/// Replies with a string that may be missing.
#[inline]
fn write_found(call: &mut Call, found: Option<Found>) -> CommandResult {
    match found {
        None => call.reply.null(),
        Some(found) => write_string(call.reply, view(call.keys, found)?),
    }
}

#[inline]
fn write_string(reply: &mut Reply, string: StringView<'_>) -> CommandResult {
    match string {
        StringView::Raw(bytes) => reply.bulk(bytes),
        StringView::Integer(value) => reply.bulk_integer(value),
        StringView::Digits(..) | StringView::Compressed(_) | StringView::Long(_) => {
            reply.bulk_with(string.len(), |bytes| string.copy_to(bytes))
        }
    }
}

/// What lies between two inclusive positions, of which negative ones count from the end; `None` if that is nothing.
pub(super) fn inclusive_range(start: i64, end: i64, len: usize) -> Option<Range<usize>> {
    if start < 0 && end < 0 && start > end {
        return None;
    }
    let len = len as i64;
    let from_begin = |position: i64| if position < 0 { (position + len).max(0) } else { position };
    let (start, end) = (from_begin(start), from_begin(end).min(len - 1));
    (start <= end).then(|| start as usize..end as usize + 1)
}

/// Makes the bytes under `range` raw where they are compressed: they are read in part, and may well be again.
pub(super) fn expand(keys: &mut Keys<'_>, found: Found, key: &[u8], range: Range<usize>) -> Found {
    let long = match keys.value(found) {
        ValueRef::Boxed(_) => {
            if let Some(string) = keys.long_string_mut(found) {
                string.expand(range);
            }
            return found;
        }
        value => match value.as_string() {
            Some(string @ StringView::Compressed(_)) => string.to_long(),
            _ => return found,
        },
    };
    let found = replace_string(keys, found, key, NewString::Boxed(long));
    keys.same_value();
    found
}

/// Gives `key` bytes that a client sets as a whole, and a deadline, whatever it was before.
#[inline]
pub(super) fn put_bytes(keys: &mut Keys<'_>, key: &[u8], bytes: &[u8], deadline: Option<i64>) {
    let state = keys.state();
    let threshold = state.settings.int(Directive::CompressionThreshold) as usize;
    let string = NewString::classify(bytes, threshold);
    let stored_len = string.stored_len();
    put_string(keys, key, string, deadline);
    if threshold != 0 && bytes.len() > threshold {
        state.compression.note_put(keys.database(), key, bytes, stored_len);
    }
}

/// Gives `key` a string and a deadline, whatever it was before.
#[inline]
pub(super) fn put_string(keys: &mut Keys<'_>, key: &[u8], string: NewString<'_>, deadline: Option<i64>) -> Found {
    match string {
        NewString::Inline(kind, bytes) => {
            keys.put(key, NewPayload::Inline { kind: kind as u8, bytes: &bytes }, deadline)
        }
        NewString::Boxed(long) => keys.put(key, NewPayload::Boxed(Box::new(Value::String(long))), deadline),
    }
}

/// Gives a record another string; its deadline stays.
pub(super) fn replace_string(keys: &mut Keys<'_>, found: Found, key: &[u8], string: NewString<'_>) -> Found {
    match string {
        NewString::Inline(kind, bytes) => {
            keys.replace(found, key, NewPayload::Inline { kind: kind as u8, bytes: &bytes })
        }
        NewString::Boxed(long) => keys.replace(found, key, NewPayload::Boxed(Box::new(Value::String(long)))),
    }
}

#[cfg(test)]
mod tests {
    use super::inclusive_range;

    #[test]
    fn positions_count_from_either_end() {
        for (start, end, range) in [
            (0, -1, Some(0..5)),
            (0, 0, Some(0..1)),
            (-3, -2, Some(2..4)),
            (1, 100, Some(1..5)),
            (-100, 1, Some(0..2)),
            (0, -100, Some(0..1)),
            (-1, -100, None),
            (-100, -200, None),
            (3, 1, None),
            (5, 9, None),
            (i64::MIN, i64::MAX, Some(0..5)),
        ] {
            assert_eq!(inclusive_range(start, end, 5), range, "{start} {end}");
        }
        assert_eq!(inclusive_range(0, -1, 0), None);
    }
}
