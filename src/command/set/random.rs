//! Random members of a set.

use super::super::stored::{edit, find, read};
use super::{limits, write_member};
use crate::command::Call;
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply};
use crate::value::set::Set;
use crate::value::{Value, number};

/// `SPOP key [count]`: removes random members and answers with them.
pub fn spop(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    match call.args.len() {
        2 => {
            let Some(found) = find::<Set>(call.keys, key)? else { return call.reply.null() };
            let pop = |set: &mut Set| set.pop(&mut rand::rng(), |member| write_member(call.reply, member));
            edit(call.keys, found, key, pop).tell(call.keys, key, Event::SPOP, 1).unwrap_or(Ok(()))
        }
        3 => pop_many(call, key),
        _ => Err(ErrorReply::SYNTAX),
    }
}

fn pop_many(call: &mut Call, key: &[u8]) -> CommandResult {
    const NOT_POSITIVE: ErrorReply = ErrorReply::fixed("ERR value is out of range, must be positive");
    let count = call.integer_in(2, 0..=i64::MAX, NOT_POSITIVE)? as usize;
    let limits = limits(call);
    let Some(mut found) = find::<Set>(call.keys, key)?.filter(|_| count > 0) else { return call.reply.set(0) };
    let takes_all = call.keys.value(found).as_set().is_some_and(|set| set.len() <= count);
    if takes_all && let Some(read) = call.keys.read(key) {
        // As in Redis, which then answers with the whole set, this is a hit.
        found = read;
    }
    let pop = |set: &mut Set| {
        let count = count.min(set.len());
        call.reply.set(count)?;
        let dropped = set.pop_many(&mut rand::rng(), count, &limits, |member| write_member(call.reply, member))?;
        Ok((count, dropped))
    };
    let edited = edit(call.keys, found, key, pop);
    match &edited.result {
        Ok((popped, _)) => {
            let popped = *popped as u64;
            let (_, dropped) = edited.tell(call.keys, key, Event::SPOP, popped)?;
            call.state.lazy_free.free_value(Box::new(Value::Set(dropped)));
            Ok(())
        }
        Err(_) => edited.unchanged(call.keys).map(drop),
    }
}

/// `SRANDMEMBER key [count]`: a negative count may give a member several times.
pub fn srandmember(call: &mut Call) -> CommandResult {
    if call.args.len() > 3 {
        return Err(ErrorReply::SYNTAX);
    }
    let count = match call.args.get(2) {
        None => None,
        Some(text) => match number::parse_i64(text).ok_or(ErrorReply::NOT_INTEGER)? {
            i64::MIN => return Err(ErrorReply::MAGNITUDE),
            count => Some(count),
        },
    };
    let set = read::<Set>(call.keys, call.args.at(1))?.unwrap_or_default();
    let (reply, rng) = (&mut *call.reply, &mut rand::rng());
    let Some(count) = count else {
        return set.random(rng, |member| write_member(reply, member)).unwrap_or_else(|| reply.null());
    };
    if set.is_empty() {
        return reply.array(0);
    }
    let number = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        reply.array(number)?;
        return (0..number).try_for_each(|_| set.random(rng, |member| write_member(reply, member)).unwrap_or(Ok(())));
    }
    reply.array(number.min(set.len()))?;
    set.sample(rng, number, |member| write_member(reply, member))
}
