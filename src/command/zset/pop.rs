//! Commands that take the members with the lowest or highest scores, those included that wait for some.

use super::super::multiple_pop::MultiplePop;
use super::super::stored::{edit, find, find_first};
use super::{Listing, write_member, write_score};
use crate::command::{Call, Found};
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply, Reply};
use crate::value::Type;
use crate::value::packed::Element;
use crate::value::zset::SortedSet;

const NOT_POSITIVE: ErrorReply = ErrorReply::fixed("ERR value is out of range, must be positive");

/// An end of a sorted set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

/// The end that the argument at `index` names.
fn end(call: &Call, index: usize) -> Result<End, ErrorReply> {
    match (call.is_word(index, "MIN"), call.is_word(index, "MAX")) {
        (true, _) => Ok(End::Min),
        (_, true) => Ok(End::Max),
        _ => Err(ErrorReply::SYNTAX),
    }
}

/// `ZPOPMIN key [count]`
pub fn zpopmin(call: &mut Call) -> CommandResult {
    pop(call, End::Min)
}

/// `ZPOPMAX key [count]`
pub fn zpopmax(call: &mut Call) -> CommandResult {
    pop(call, End::Max)
}

fn pop(call: &mut Call, end: End) -> CommandResult {
    let key = call.arg(1);
    let count = match call.args.len() {
        2 => None,
        3 => Some(call.integer_in(2, 0..=i64::MAX, NOT_POSITIVE)? as usize),
        _ => return Err(ErrorReply::SYNTAX),
    };
    let found = find::<SortedSet>(call.keys, key)?;
    let Some(found) = found.filter(|_| count != Some(0)) else { return call.reply.array(0) };
    let popped = match count {
        None => {
            call.reply.array(2)?;
            take(call, found, key, end, 1, |_, _| Ok(()), write_flat)
        }
        Some(count) => take(
            call,
            found,
            key,
            end,
            count,
            |reply, len| Listing::WithScores.begin(reply, len),
            |reply, member, score| Listing::WithScores.write(reply, member, score),
        ),
    };
    popped.map(drop)
}

fn write_flat(reply: &mut Reply, member: Element<'_>, score: f64) -> CommandResult {
    write_member(reply, member)?;
    write_score(reply, score)
}

/// Removes up to `count` members from an end and answers with them, as `begin` and `write` have it. Returns how many there were.
fn take(
    call: &mut Call,
    found: Found,
    key: &[u8],
    end: End,
    count: usize,
    begin: impl FnOnce(&mut Reply, usize) -> CommandResult,
    mut write: impl FnMut(&mut Reply, Element<'_>, f64) -> CommandResult,
) -> Result<usize, ErrorReply> {
    let reply = &mut *call.reply;
    let edited = edit(call.keys, found, key, |set: &mut SortedSet| {
        let len = set.len();
        let count = count.min(len);
        let ranks = match end {
            End::Min => 0..count,
            End::Max => len - count..len,
        };
        begin(reply, count)?;
        set.view().visit(ranks.clone(), end == End::Max, |member, score| write(reply, member, score))?;
        set.remove_ranks(ranks);
        Ok::<_, ErrorReply>(count)
    });
    let event = match end {
        End::Min => Event::ZPOPMIN,
        End::Max => Event::ZPOPMAX,
    };
    match edited.result {
        Ok(popped) => edited.tell(call.keys, key, event, popped as u64),
        Err(_) => edited.unchanged(call.keys),
    }
}

/// `ZMPOP numkeys key [key ...] MIN|MAX [COUNT count]`
pub fn zmpop(call: &mut Call) -> CommandResult {
    let request = MultiplePop::parse(call, 1, end)?;
    if pop_first(call, &request)? { Ok(()) } else { call.reply.null_array() }
}

/// Pops from the first sorted set that there is and answers; false, and no answer, if there is none.
fn pop_first(call: &mut Call, request: &MultiplePop<End>) -> Result<bool, ErrorReply> {
    let first = find_first::<SortedSet>(call.keys, call.args, request.keys.clone())?;
    let Some((found, key)) = first else { return Ok(false) };
    call.reply.array(2)?;
    call.reply.bulk(key)?;
    let popped = take(call, found, key, request.end, request.count, Reply::array, |reply, member, score| {
        reply.array(2)?;
        write_flat(reply, member, score)
    })?;
    log_pop(call, key, request.end, Some(popped));
    Ok(true)
}

/// Logs that members were popped from one of several keys.
fn log_pop(call: &mut Call, key: &[u8], end: End, count: Option<usize>) {
    let name: &[u8] = if end == End::Min { b"ZPOPMIN" } else { b"ZPOPMAX" };
    match count {
        None => call.keys.log_as(&[name, key]),
        Some(count) => call.keys.log_as(&[name, key, itoa::Buffer::new().format(count).as_bytes()]),
    }
}

/// `BZPOPMIN key [key ...] timeout`
pub fn bzpopmin(call: &mut Call) -> CommandResult {
    pop_or_wait(call, End::Min)
}

/// `BZPOPMAX key [key ...] timeout`
pub fn bzpopmax(call: &mut Call) -> CommandResult {
    pop_or_wait(call, End::Max)
}

fn pop_or_wait(call: &mut Call, end: End) -> CommandResult {
    let keys = 1..call.args.len() - 1;
    let deadline_ms = call.timeout(keys.end)?;
    match find_first::<SortedSet>(call.keys, call.args, keys.clone())? {
        None => call.wait_for_any(keys, deadline_ms, Type::SortedSet),
        Some((found, key)) => {
            call.reply.array(3)?;
            call.reply.bulk(key)?;
            take(call, found, key, end, 1, |_, _| Ok(()), write_flat)?;
            log_pop(call, key, end, None);
            Ok(())
        }
    }
}

/// `BZMPOP timeout numkeys key [key ...] MIN|MAX [COUNT count]`
pub fn bzmpop(call: &mut Call) -> CommandResult {
    let request = MultiplePop::parse(call, 2, end)?;
    let deadline_ms = call.timeout(1)?;
    if pop_first(call, &request)? { Ok(()) } else { call.wait_for_any(request.keys, deadline_ms, Type::SortedSet) }
}
