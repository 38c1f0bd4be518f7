//! Random members of a set.

use super::super::stored::{edit, find, read};
use super::{limits, write_member};
use crate::command::Call;
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply};
use crate::value::Value;
use crate::value::packed::IntegerText;
use crate::value::set::Set;

/// `SPOP key [count]`: removes random members and answers with them.
pub fn spop(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    match call.args.len() {
        2 => {
            let Some(found) = find::<Set>(call.keys, key)? else { return call.reply.null() };
            let mut popped = Vec::new();
            let is_logged = call.keys.is_logged();
            let pop = |set: &mut Set| {
                set.pop(&mut rand::rng(), |member| {
                    if is_logged {
                        popped.extend_from_slice(member.as_bytes(&mut IntegerText::default()));
                    }
                    write_member(call.reply, member)
                })
            };
            let written = edit(call.keys, found, key, pop).tell(call.keys, key, Event::SPOP, 1);
            call.keys.log_as(&[b"SREM", key, &popped]);
            written.unwrap_or(Ok(()))
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
    let mut removed: Vec<Box<[u8]>> = Vec::new();
    let is_named = call.keys.is_logged() && !takes_all;
    let pop = |set: &mut Set| {
        let count = count.min(set.len());
        call.reply.set(count)?;
        let dropped = set.pop_many(&mut rand::rng(), count, &limits, |member| {
            if is_named {
                removed.push(member.as_bytes(&mut IntegerText::default()).into());
            }
            write_member(call.reply, member)
        })?;
        Ok((count, dropped))
    };
    let edited = edit(call.keys, found, key, pop);
    match &edited.result {
        Ok((popped, _)) => {
            let popped = *popped as u64;
            let (_, dropped) = edited.tell(call.keys, key, Event::SPOP, popped)?;
            log_removal(call, key, &removed);
            call.state.lazy_free.free_value(Box::new(Value::Set(dropped)));
            Ok(())
        }
        Err(_) => edited.unchanged(call.keys).map(drop),
    }
}

/// Logs which members were removed; the key, if no names were kept since all were.
fn log_removal(call: &mut Call, key: &[u8], removed: &[Box<[u8]>]) {
    /// Members that one command removes.
    const MEMBERS_MAX: usize = 1024;
    call.keys.restate();
    if removed.is_empty() {
        call.keys.log_also(&[b"DEL", key]);
    }
    for members in removed.chunks(MEMBERS_MAX) {
        let words: Vec<&[u8]> = [b"SREM", key].into_iter().chain(members.iter().map(|member| &**member)).collect();
        call.keys.log_also(&words);
    }
}

/// `SRANDMEMBER key [count]`: a negative count may give a member several times.
pub fn srandmember(call: &mut Call) -> CommandResult {
    if call.args.len() > 3 {
        return Err(ErrorReply::SYNTAX);
    }
    let count = match call.args.get(2) {
        None => None,
        Some(_) => Some(call.drawn_count(2)?),
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
