//! Counting with fields that are numbers.

use super::{edit_or_create, rules, view};
use crate::command::stored::find;
use crate::command::{Call, Found};
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply};
use crate::value::hash::{Hash, Lifetime};
use crate::value::long_double::LongDouble;
use crate::value::packed::{Element, IntegerText};

/// `HINCRBY key field increment`
pub fn hincrby(call: &mut Call) -> CommandResult {
    let increment = call.integer(3)?;
    let found = find::<Hash>(call.keys, call.arg(1))?;
    let before = match found.and_then(|found| view(call.keys, found)?.get(call.args.at(2))) {
        None => 0,
        Some(Element::Integer(value)) => value,
        Some(Element::Bytes(_)) => return Err(ErrorReply::fixed("ERR hash value is not an integer")),
    };
    let value = before.checked_add(increment).ok_or(ErrorReply::fixed("ERR increment or decrement would overflow"))?;
    store(call, found, IntegerText::default().format(value), Event::HINCRBY);
    call.reply.integer(value)
}

/// `HINCRBYFLOAT key field increment`
pub fn hincrbyfloat(call: &mut Call) -> CommandResult {
    let increment = LongDouble::parse(call.arg(3)).ok_or(ErrorReply::NOT_FLOAT)?;
    if !increment.is_finite() {
        return Err(ErrorReply::fixed("ERR value is NaN or Infinity"));
    }
    let found = find::<Hash>(call.keys, call.arg(1))?;
    let before = match found.and_then(|found| view(call.keys, found)?.get(call.args.at(2))) {
        None => LongDouble::ZERO,
        Some(value) => LongDouble::parse(value.as_bytes(&mut IntegerText::default()))
            .ok_or(ErrorReply::fixed("ERR hash value is not a float"))?,
    };
    let sum = before.checked_add(increment).ok_or(ErrorReply::fixed("ERR increment would produce NaN or Infinity"))?;
    let text = sum.to_text();
    store(call, found, &text, Event::HINCRBYFLOAT);
    log_sum(call, &text);
    call.reply.bulk(&text)
}

/// Logs a sum of floats, which may differ between machines; the field's deadline stays.
fn log_sum(call: &mut Call, text: &[u8]) {
    let (key, name) = (call.arg(1), call.arg(2));
    let found = call.keys.peek(key);
    let deadline = found.and_then(|found| view(call.keys, found)?.deadline(name).flatten());
    match deadline {
        None => call.keys.log_as(&[b"HSET", key, name, text]),
        Some(_) => call.keys.log_as(&[b"HSETEX", key, b"KEEPTTL", b"FIELDS", b"1", name, text]),
    }
}

/// Gives the field that the request names a value; it lives on as long as before.
fn store(call: &mut Call, found: Option<Found>, value: &[u8], event: Event) {
    let (key, name, rules) = (call.arg(1), call.arg(2), rules(call));
    let set = |hash: &mut Hash| hash.set(name, value, Lifetime::Kept, &rules);
    edit_or_create(call, found, key, set).tell(call.keys, key, event, 1);
}
