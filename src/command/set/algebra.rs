//! Intersections, unions and differences of sets.

use super::super::stored::store;
use super::limits;
use crate::command::{Call, Found};
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply, Reply};
use crate::value::Type;
use crate::value::packed::{Element, IntegerText};
use crate::value::set::{Set, SetLimits, SetRef, algebra};
use smallvec::SmallVec;
use std::ops::{ControlFlow, Range};

/// The sets at the keys which are the arguments `keys`, empty ones where there is none, for `work`.
fn with_sets<R>(
    call: &mut Call,
    keys: Range<usize>,
    work: impl FnOnce(&mut [SetRef<'_>], &mut Reply) -> R,
) -> Result<R, ErrorReply> {
    let args = call.args;
    let mut is_wrong = false;
    let founds = call.keys.each(keys.map(|index| args.at(index)), |keys, key| {
        // The first key of a wrong type is the last that is looked up.
        let found = if is_wrong { None } else { keys.read(key) };
        is_wrong |= found.is_some_and(|found| keys.type_of(found) != Type::Set);
        found
    });
    if is_wrong {
        return Err(ErrorReply::WRONG_TYPE);
    }
    let set = |found: &Option<Found>| found.and_then(|found| call.keys.value(found).as_set()).unwrap_or_default();
    let mut sets: SmallVec<[SetRef<'_>; 8]> = founds.iter().map(set).collect();
    Ok(work(&mut sets, call.reply))
}

/// Answers with the set of what `walk` visits.
fn reply_set(
    reply: &mut Reply,
    walk: impl FnOnce(&mut dyn FnMut(Element<'_>) -> ControlFlow<()>) -> ControlFlow<()>,
) -> CommandResult {
    let begin = reply.deferred_array();
    let mut count = 0;
    let mut written = Ok(());
    let mut members = reply.bulks();
    let flow = walk(&mut |member| {
        count += 1;
        written = members.bulk(member.as_bytes(&mut IntegerText::default()));
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    drop(members);
    debug_assert_eq!(flow.is_continue(), written.is_ok());
    written?;
    reply.finish_set(begin, count)
}

/// `SINTER key [key ...]`
pub fn sinter(call: &mut Call) -> CommandResult {
    let keys = 1..call.args.len();
    with_sets(call, keys, |sets, reply| reply_set(reply, |visit| algebra::intersect(sets, visit)))?
}

/// `SUNION key [key ...]`
pub fn sunion(call: &mut Call) -> CommandResult {
    let keys = 1..call.args.len();
    with_sets(call, keys, |sets, reply| reply_set(reply, |visit| algebra::unite(sets, visit)))?
}

/// `SDIFF key [key ...]`: what the first has and no other.
pub fn sdiff(call: &mut Call) -> CommandResult {
    let keys = 1..call.args.len();
    with_sets(call, keys, |sets, reply| {
        reply_set(reply, |visit| match sets.split_first_mut() {
            Some((first, others)) => algebra::subtract(*first, others, visit),
            None => ControlFlow::Continue(()),
        })
    })?
}

/// `SINTERCARD numkeys key [key ...] [LIMIT limit]`
pub fn sintercard(call: &mut Call) -> CommandResult {
    let too_few = ErrorReply::fixed("ERR numkeys should be greater than 0");
    let number = call.integer_in(1, 1..=i64::MAX, too_few)? as usize;
    if number > call.args.len() - 2 {
        return Err(ErrorReply::fixed("ERR Number of keys can't be greater than number of args"));
    }
    let keys = 2..number + 2;
    let mut limit = 0;
    for index in (keys.end..call.args.len()).step_by(2) {
        if !call.is_word(index, "LIMIT") || index + 1 == call.args.len() {
            return Err(ErrorReply::SYNTAX);
        }
        limit = call.integer_in(index + 1, 0..=i64::MAX, ErrorReply::fixed("ERR LIMIT can't be negative"))? as usize;
    }
    let count = with_sets(call, keys, |sets, _| {
        let mut count = 0;
        let flow = algebra::intersect(sets, |_| {
            count += 1;
            if count == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        debug_assert_eq!(flow.is_break(), count > 0 && count == limit);
        count
    })?;
    call.reply.count(count)
}

/// Stores what `combine` makes of the sets from the second key on at the first, and answers with the number of members.
fn store_result(
    call: &mut Call,
    event: Event,
    combine: impl FnOnce(&mut [SetRef<'_>], &SetLimits) -> Set,
) -> CommandResult {
    let limits = limits(call);
    let keys = 2..call.args.len();
    let result = with_sets(call, keys, |sets, _| combine(sets, &limits))?;
    let len = result.len();
    store(call.keys, call.args.at(1), result, event, 1);
    call.reply.count(len)
}

/// `SINTERSTORE destination key [key ...]`
pub fn sinterstore(call: &mut Call) -> CommandResult {
    store_result(call, Event::SINTERSTORE, algebra::intersection)
}

/// `SUNIONSTORE destination key [key ...]`
pub fn sunionstore(call: &mut Call) -> CommandResult {
    store_result(call, Event::SUNIONSTORE, |sets, limits| algebra::union(sets, limits))
}

/// `SDIFFSTORE destination key [key ...]`
pub fn sdiffstore(call: &mut Call) -> CommandResult {
    store_result(call, Event::SDIFFSTORE, |sets, limits| match sets.split_first_mut() {
        Some((first, others)) => algebra::difference(*first, others, limits),
        None => Set::default(),
    })
}
