//! Changing a string in part.

use super::{put_bytes, put_string, replace_string, view};
use crate::command::Call;
use crate::command::keys::{Found, Keys};
use crate::config::Directive;
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply};
use crate::state::State;
use crate::value::string::{LongString, NewString};
use crate::value::{InlineKind, MAX_INLINE};

const TOO_LONG: ErrorReply = ErrorReply::fixed("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

/// Bytes that a string may have.
pub(in crate::command) fn string_len_max(state: &State) -> usize {
    state.settings.int(Directive::ProtoMaxBulkLen) as usize
}

/// `APPEND key value`
pub fn append(call: &mut Call) -> CommandResult {
    let (key, value) = (call.arg(1), call.arg(2));
    let len = match call.keys.write(key) {
        None => {
            put_bytes(call.keys, key, value, None);
            value.len()
        }
        Some(found) => {
            let len = view(call.keys, found)?.len();
            check_end(call.state, len, value)?;
            write_at(call.keys, Some(found), key, len, value)
        }
    };
    call.keys.changed(key, Event::APPEND);
    call.reply.count(len)
}

/// `SETRANGE key offset value`
pub fn setrange(call: &mut Call) -> CommandResult {
    let (key, value) = (call.arg(1), call.arg(3));
    let offset = usize::try_from(call.integer(2)?).map_err(|_| ErrorReply::fixed("ERR offset is out of range"))?;
    let found = call.keys.write(key);
    let len = match found {
        None => 0,
        Some(found) => view(call.keys, found)?.len(),
    };
    if value.is_empty() {
        return call.reply.count(len);
    }
    check_end(call.state, offset, value)?;
    let len = write_at(call.keys, found, key, offset, value);
    call.keys.changed(key, Event::SETRANGE);
    call.reply.count(len)
}

/// Checks that a string may reach as far as `bytes` written at `offset`.
fn check_end(state: &State, offset: usize, bytes: &[u8]) -> CommandResult {
    match offset.checked_add(bytes.len()) {
        Some(end) if end <= string_len_max(state) => Ok(()),
        _ => Err(TOO_LONG),
    }
}

/// Overwrites the bytes of a string from `offset` on, lengthening it as needed, with zeros where it was shorter. The
/// record, if there is one, holds a string. Returns the string's length.
pub(in crate::command) fn write_at(
    keys: &mut Keys<'_>,
    found: Option<Found>,
    key: &[u8],
    offset: usize,
    bytes: &[u8],
) -> usize {
    let end = offset + bytes.len();
    let Some(found) = found else {
        let mut string = Vec::new();
        let string = edited(&mut string, offset, bytes);
        put_string(keys, key, string, None);
        return end;
    };
    if let Some(string) = keys.long_string_mut(found) {
        string.write_at(offset, bytes);
        return string.len();
    }
    if let Some((InlineKind::RawModified, inline)) = keys.inline_mut(found)
        && let Some(part) = inline.get_mut(offset..end)
    {
        part.copy_from_slice(bytes);
        return inline.len();
    }
    let mut string = Vec::with_capacity(end.min(MAX_INLINE));
    if let Some(before) = keys.value(found).as_string() {
        before.append_to(&mut string);
    }
    let len = end.max(string.len());
    let string = edited(&mut string, offset, bytes);
    replace_string(keys, found, key, string);
    len
}

/// A string as it is with `bytes` at `offset`.
fn edited<'a>(string: &'a mut Vec<u8>, offset: usize, bytes: &[u8]) -> NewString<'a> {
    let end = offset + bytes.len();
    if end.max(string.len()) > MAX_INLINE {
        let mut long = LongString::new(string);
        long.write_at(offset, bytes);
        return NewString::Boxed(long);
    }
    if end > string.len() {
        string.resize(end, 0);
    }
    string[offset..end].copy_from_slice(bytes);
    NewString::modified(string)
}
