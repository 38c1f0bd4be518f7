//! Commands on lists, but for those that wait.

use super::multiple_pop::MultiplePop;
use super::stored::{create, edit, find, find_first, read};
use super::{Call, Found, Keys};
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply, Reply};
use crate::spec::errors;
use crate::value::list::{End, List, ListLimits, ListRef, PositionQuery};
use crate::value::packed::{Element, IntegerText};
use smallvec::SmallVec;
use std::ops::Range;

const NOT_POSITIVE: ErrorReply = ErrorReply::fixed("ERR value is out of range, must be positive");
const RANK_ZERO: ErrorReply = ErrorReply::fixed(
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from \
     the end of the list",
);

/// Which elements share a node, as the config and `DEBUG QUICKLIST-PACKED-THRESHOLD` have it.
pub(super) fn limits(call: &Call) -> ListLimits {
    crate::forms::list(call.state)
}

pub(super) fn write_element(reply: &mut Reply, element: Element<'_>) -> CommandResult {
    match element {
        Element::Bytes(bytes) => reply.bulk(bytes),
        Element::Integer(value) => reply.bulk_integer(value),
    }
}

/// `LPUSH key element [element ...]`
pub fn lpush(call: &mut Call) -> CommandResult {
    push(call, End::Front, false)
}

/// `RPUSH key element [element ...]`
pub fn rpush(call: &mut Call) -> CommandResult {
    push(call, End::Back, false)
}

/// `LPUSHX key element [element ...]`
pub fn lpushx(call: &mut Call) -> CommandResult {
    push(call, End::Front, true)
}

/// `RPUSHX key element [element ...]`
pub fn rpushx(call: &mut Call) -> CommandResult {
    push(call, End::Back, true)
}

/// Adds elements one by one at an end; answers with the length.
fn push(call: &mut Call, end: End, must_exist: bool) -> CommandResult {
    let key = call.arg(1);
    let elements = call.args.from(2);
    let limits = limits(call);
    let fill = |list: &mut List| elements.iter().for_each(|element| list.push(end, element, &limits));
    let edited = match find::<List>(call.keys, key)? {
        Some(found) => edit(call.keys, found, key, fill),
        None if must_exist => return call.reply.integer(0),
        None => create(call.keys, key, fill),
    };
    let len = edited.len;
    edited.tell(call.keys, key, push_event(end), elements.len() as u64);
    call.reply.count(len)
}

fn push_event(end: End) -> Event {
    match end {
        End::Front => Event::LPUSH,
        End::Back => Event::RPUSH,
    }
}

fn pop_event(end: End) -> Event {
    match end {
        End::Front => Event::LPOP,
        End::Back => Event::RPOP,
    }
}

/// `LPOP key [count]`
pub fn lpop(call: &mut Call) -> CommandResult {
    pop(call, End::Front)
}

/// `RPOP key [count]`
pub fn rpop(call: &mut Call) -> CommandResult {
    pop(call, End::Back)
}

fn pop(call: &mut Call, end: End) -> CommandResult {
    let key = call.arg(1);
    let count = match call.args.len() {
        2 => None,
        3 => Some(call.integer_in(2, 0..=i64::MAX, NOT_POSITIVE)? as usize),
        _ => return Err(errors::wrong_arity(call.spec)),
    };
    match (find::<List>(call.keys, key)?, count) {
        (None, None) => call.reply.null(),
        (None, Some(_)) => call.reply.null_array(),
        (Some(found), None) => pop_one(call, found, key, end),
        (Some(_), Some(0)) => call.reply.array(0),
        (Some(found), Some(count)) => pop_many(call, found, key, end, count).map(drop),
    }
}

/// Removes an element and answers with it.
#[inline]
pub(super) fn pop_one(call: &mut Call, found: Found, key: &[u8], end: End) -> CommandResult {
    let pop = |list: &mut List| list.pop(end, |element| write_element(call.reply, element));
    let written = edit(call.keys, found, key, pop).tell(call.keys, key, pop_event(end), 1);
    written.unwrap_or(Ok(()))
}

/// Removes up to `count` elements and answers with an array of them. Returns how many there were.
fn pop_many(call: &mut Call, found: Found, key: &[u8], end: End, count: usize) -> Result<usize, ErrorReply> {
    let pop = |list: &mut List| {
        let count = count.min(list.len());
        call.reply.array(count)?;
        match end {
            End::Front => list.view().iter(0, count).try_for_each(|element| write_element(call.reply, element)),
            End::Back => {
                let last = list.len().saturating_sub(1);
                list.view().iter_rev(last, count).try_for_each(|element| write_element(call.reply, element))
            }
        }?;
        list.remove_from(end, count);
        Ok(count)
    };
    let edited = edit(call.keys, found, key, pop);
    match edited.result {
        Ok(popped) => edited.tell(call.keys, key, pop_event(end), popped as u64),
        Err(_) => edited.unchanged(call.keys),
    }
}

/// `LLEN key`
pub fn llen(call: &mut Call) -> CommandResult {
    let len = read::<List>(call.keys, call.args.at(1))?.map_or(0, |list| list.len());
    call.reply.count(len)
}

/// The place of an index that counts from the end if it is negative; `None` if it is before the begin.
fn place(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(index).ok()
}

/// The places from `start` to `stop`, both inclusive, both counting from the end if negative.
pub(super) fn places(start: i64, stop: i64, len: usize) -> Range<usize> {
    let start = place(start, len).unwrap_or(0);
    let end = place(stop, len).map_or(0, |stop| stop.saturating_add(1).min(len));
    start..end.max(start)
}

/// `LINDEX key index`
pub fn lindex(call: &mut Call) -> CommandResult {
    let Some(list) = read::<List>(call.keys, call.args.at(1))? else { return call.reply.null() };
    let index = crate::value::number::parse_i64(call.args.at(2)).ok_or(ErrorReply::NOT_INTEGER)?;
    match place(index, list.len()).and_then(|place| list.get(place)) {
        Some(element) => write_element(call.reply, element),
        None => call.reply.null(),
    }
}

/// `LRANGE key start stop`
pub fn lrange(call: &mut Call) -> CommandResult {
    let (start, stop) = (call.integer(2)?, call.integer(3)?);
    let Some(list) = read::<List>(call.keys, call.args.at(1))? else { return call.reply.array(0) };
    let places = places(start, stop, list.len());
    call.reply.array(places.len())?;
    let mut elements = call.reply.bulks();
    list.iter(places.start, places.len()).each(|element| match element {
        Element::Bytes(bytes) => elements.bulk(bytes),
        Element::Integer(value) => elements.bulk_integer(value),
    })
}

/// `LSET key index element`
pub fn lset(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let Some(found) = find::<List>(call.keys, key)? else { return Err(ErrorReply::NO_SUCH_KEY) };
    let (index, element, limits) = (call.integer(2)?, call.arg(3), limits(call));
    let set = |list: &mut List| place(index, list.len()).is_some_and(|place| list.set(place, element, &limits));
    let edited = edit(call.keys, found, key, set);
    if !edited.result {
        edited.unchanged(call.keys);
        return Err(ErrorReply::OUT_OF_RANGE);
    }
    edited.tell(call.keys, key, Event::LSET, 1);
    call.reply.ok()
}

/// `LINSERT key BEFORE|AFTER pivot element`: the new length, 0 without a list, -1 without the pivot.
pub fn linsert(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let after = match (call.is_word(2, "BEFORE"), call.is_word(2, "AFTER")) {
        (true, _) => false,
        (_, true) => true,
        _ => return Err(ErrorReply::SYNTAX),
    };
    let Some(found) = find::<List>(call.keys, key)? else { return call.reply.integer(0) };
    let (pivot, element, limits) = (call.arg(3), call.arg(4), limits(call));
    let edited = edit(call.keys, found, key, |list: &mut List| list.insert(pivot, after, element, &limits));
    let len = edited.len;
    if !edited.result {
        edited.unchanged(call.keys);
        return call.reply.integer(-1);
    }
    edited.tell(call.keys, key, Event::LINSERT, 1);
    call.reply.count(len)
}

/// `LREM key count element`: removes the first `count` that are equal, the last if negative, all if zero.
pub fn lrem(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let count = call.signed_count(2)?;
    let (element, limits) = (call.arg(3), limits(call));
    let Some(found) = find::<List>(call.keys, key)? else { return call.reply.integer(0) };
    let edited = edit(call.keys, found, key, |list: &mut List| list.remove_equal(element, count, &limits));
    let removed = edited.tell_count(call.keys, key, Event::LREM);
    call.reply.count(removed)
}

/// `LTRIM key start stop`: keeps what is between.
pub fn ltrim(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let (start, stop) = (call.integer(2)?, call.integer(3)?);
    let Some(found) = find::<List>(call.keys, key)? else { return call.reply.ok() };
    let trim = |list: &mut List| {
        let len = list.len();
        let kept = places(start, stop, len);
        let removed = len - kept.len();
        list.keep(kept.start, kept.end);
        removed
    };
    let edited = edit(call.keys, found, key, trim);
    let removed = edited.result as u64;
    edited.tell(call.keys, key, Event::LTRIM, removed);
    call.reply.ok()
}

/// `LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len]`
pub fn lpos(call: &mut Call) -> CommandResult {
    let (mut rank, mut count, mut elements_max) = (1, None, 0);
    let mut index = 3;
    while index < call.args.len() {
        let value = index + 1;
        if value == call.args.len() {
            return Err(ErrorReply::SYNTAX);
        }
        let not_negative = |error| call.integer_in(value, 0..=i64::MAX, error).map(|number| number as usize);
        if call.is_word(index, "RANK") {
            rank = match call.integer(value)? {
                0 => return Err(RANK_ZERO),
                i64::MIN => return Err(ErrorReply::MAGNITUDE),
                rank => rank,
            };
        } else if call.is_word(index, "COUNT") {
            count = Some(not_negative(ErrorReply::fixed("ERR COUNT can't be negative"))?);
        } else if call.is_word(index, "MAXLEN") {
            elements_max = not_negative(ErrorReply::fixed("ERR MAXLEN can't be negative"))?;
        } else {
            return Err(ErrorReply::SYNTAX);
        }
        index += 2;
    }
    let query = PositionQuery { rank, count: count.unwrap_or(1), elements_max };
    let list = read::<List>(call.keys, call.args.at(1))?.unwrap_or(ListRef::Packed(&[]));
    let mut places: SmallVec<[usize; 8]> = SmallVec::new();
    list.positions(call.args.at(2), query, |place| places.push(place));
    match (count, places.first()) {
        (None, None) => call.reply.null(),
        (None, Some(&place)) => call.reply.count(place),
        (Some(_), _) => {
            call.reply.array(places.len())?;
            places.iter().try_for_each(|&place| call.reply.count(place))
        }
    }
}

/// The end that the argument at `index` names.
pub(super) fn end(call: &Call, index: usize) -> Result<End, ErrorReply> {
    match (call.is_word(index, "LEFT"), call.is_word(index, "RIGHT")) {
        (true, _) => Ok(End::Front),
        (_, true) => Ok(End::Back),
        _ => Err(ErrorReply::SYNTAX),
    }
}

/// `LMOVE source destination LEFT|RIGHT LEFT|RIGHT`
pub fn lmove(call: &mut Call) -> CommandResult {
    let (from, to) = (end(call, 3)?, end(call, 4)?);
    if move_element(call, from, to)? { Ok(()) } else { call.reply.null() }
}

/// `RPOPLPUSH source destination`
pub fn rpoplpush(call: &mut Call) -> CommandResult {
    if move_element(call, End::Back, End::Front)? { Ok(()) } else { call.reply.null() }
}

/// Moves an element of the first key's list to the second's and answers with it; false, and no answer, if there is none.
pub(super) fn move_element(call: &mut Call, from: End, to: End) -> Result<bool, ErrorReply> {
    let (source, destination) = (call.arg(1), call.arg(2));
    let limits = limits(call);
    if find::<List>(call.keys, source)?.is_none() {
        return Ok(false);
    }
    find::<List>(call.keys, destination)?;
    let copy = |element: Element<'_>| -> SmallVec<[u8; 128]> {
        SmallVec::from_slice(element.as_bytes(&mut IntegerText::default()))
    };
    // Looked up again after each step: what is done to the one list may move the other.
    let Some(found) = call.keys.peek(source) else { return Ok(false) };
    let popped = edit(call.keys, found, source, |list: &mut List| {
        let element = list.pop(from, copy).expect("a list that is kept has elements");
        if source == destination {
            list.push(to, &element, &limits);
        }
        element
    });
    if source == destination {
        call.keys.notify(push_event(to), destination);
    } else {
        let push = |list: &mut List| list.push(to, &popped.result, &limits);
        let pushed = match call.keys.peek(destination) {
            Some(found) => edit(call.keys, found, destination, push),
            None => create(call.keys, destination, push),
        };
        pushed.tell(call.keys, destination, push_event(to), 0);
    }
    let element = popped.tell(call.keys, source, pop_event(from), 1);
    call.reply.bulk(&element)?;
    Ok(true)
}

/// `LMPOP numkeys key [key ...] LEFT|RIGHT [COUNT count]`
pub fn lmpop(call: &mut Call) -> CommandResult {
    let request = MultiplePop::parse(call, 1, end)?;
    if pop_first(call, &request)? { Ok(()) } else { call.reply.null_array() }
}

/// Pops from the first list that there is and answers; false, and no answer, if there is none.
pub(super) fn pop_first(call: &mut Call, request: &MultiplePop<End>) -> Result<bool, ErrorReply> {
    let first = find_first::<List>(call.keys, call.args, request.keys.clone())?;
    let Some((found, key)) = first else { return Ok(false) };
    call.reply.array(2)?;
    call.reply.bulk(key)?;
    let popped = pop_many(call, found, key, request.end, request.count)?;
    log_pop(call.keys, key, request.end, Some(popped));
    Ok(true)
}

/// Logs that elements were popped from one of several keys.
pub(super) fn log_pop(keys: &mut Keys<'_>, key: &[u8], end: End, count: Option<usize>) {
    let name: &[u8] = if end == End::Front { b"LPOP" } else { b"RPOP" };
    match count {
        None => keys.log_as(&[name, key]),
        Some(count) => keys.log_as(&[name, key, itoa::Buffer::new().format(count).as_bytes()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_inclusive_and_cut_to_the_list() {
        assert_eq!(places(0, -1, 3), 0..3);
        assert_eq!(places(-2, -1, 3), 1..3);
        assert_eq!(places(-100, 100, 3), 0..3);
        assert!(places(2, 1, 3).is_empty());
        assert!(places(5, 10, 3).is_empty());
        assert!(places(0, -5, 3).is_empty());
        assert!(places(i64::MIN, i64::MIN, 3).is_empty());
        assert_eq!(places(i64::MIN, i64::MAX, 3), 0..3);
    }
}
