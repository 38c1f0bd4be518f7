//! Counting with strings that are numbers.

use super::{put_string, replace_string, view};
use crate::command::Call;
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply};
use crate::value::long_double::LongDouble;
use crate::value::string::NewString;
use crate::value::{InlineKind, number};

/// `INCR key`
pub fn incr(call: &mut Call) -> CommandResult {
    add(call, 1)
}

/// `DECR key`
pub fn decr(call: &mut Call) -> CommandResult {
    add(call, -1)
}

/// `INCRBY key increment`
pub fn incrby(call: &mut Call) -> CommandResult {
    let increment = call.integer(2)?;
    add(call, increment)
}

/// `DECRBY key decrement`
pub fn decrby(call: &mut Call) -> CommandResult {
    let decrement = call.integer(2)?;
    let increment = decrement.checked_neg().ok_or(ErrorReply::fixed("ERR decrement would overflow"))?;
    add(call, increment)
}

/// `INCRBYFLOAT key increment`
pub fn incrbyfloat(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let found = call.keys.write(key);
    let before = match found {
        None => LongDouble::ZERO,
        Some(found) => {
            let string = view(call.keys, found)?;
            LongDouble::parse(string.as_slice(&mut Vec::new())).ok_or(ErrorReply::NOT_FLOAT)?
        }
    };
    let increment = LongDouble::parse(call.arg(2)).ok_or(ErrorReply::NOT_FLOAT)?;
    let sum = before.checked_add(increment).ok_or(ErrorReply::fixed("ERR increment would produce NaN or Infinity"))?;
    let text = sum.to_text();
    let string = NewString::text(&text);
    match found {
        None => put_string(call.keys, key, string, None),
        Some(found) => replace_string(call.keys, found, key, string),
    };
    call.keys.changed(key, Event::INCRBYFLOAT);
    // Sums of floats may differ between machines.
    call.keys.log_as(&[b"SET", key, &text, b"KEEPTTL"]);
    call.reply.bulk(&text)
}

fn add(call: &mut Call, increment: i64) -> CommandResult {
    let key = call.arg(1);
    let found = call.keys.write(key);
    let before = match found {
        None => 0,
        Some(found) => view(call.keys, found)?.as_integer().ok_or(ErrorReply::NOT_INTEGER)?,
    };
    let value = before.checked_add(increment).ok_or(ErrorReply::fixed("ERR increment or decrement would overflow"))?;
    match found {
        None => {
            put_string(call.keys, key, NewString::integer(value), None);
        }
        Some(found) => {
            let (bytes, used) = number::integer_to_bytes(value);
            match call.keys.inline_mut(found) {
                // A number may take more bytes than it needs: so a counter that goes up and down stays where it is.
                Some((InlineKind::Integer, inline)) if used <= inline.len() => {
                    let width = inline.len();
                    inline.copy_from_slice(&bytes[..width]);
                }
                _ => {
                    replace_string(call.keys, found, key, NewString::integer(value));
                }
            }
        }
    }
    call.keys.changed(key, Event::INCRBY);
    call.reply.integer(value)
}
