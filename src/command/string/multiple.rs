//! Reading and writing several strings in one step.

use super::expiry::{Expiry, Otherwise};
use super::set::{assign, log_assignment};
use super::write_string;
use crate::command::Call;
use crate::pubsub::Event;
use crate::resp::{Args, CommandResult, ErrorReply};
use crate::spec::errors;
use crate::value::number;

/// `MGET key [key …]`: a missing key, or one of another type, is null.
pub fn mget(call: &mut Call) -> CommandResult {
    let keys = call.args.from(1);
    call.reply.array(keys.len())?;
    for key in keys.iter() {
        let found = call.keys.read(key);
        match found.and_then(|found| call.keys.value(found).as_string()) {
            Some(string) => write_string(call.reply, string)?,
            None => call.reply.null()?,
        }
    }
    Ok(())
}

/// `MSET key value [key value …]`
pub fn mset(call: &mut Call) -> CommandResult {
    let pairs = all_pairs(call)?;
    assign_all(call, pairs);
    call.reply.ok()
}

/// `MSETNX key value [key value …]`
pub fn msetnx(call: &mut Call) -> CommandResult {
    let pairs = all_pairs(call)?;
    let are_missing = keys_of(pairs).all(|key| call.keys.write(key).is_none());
    if are_missing {
        assign_all(call, pairs);
    }
    call.reply.flag(are_missing)
}

/// `MSETEX numkeys key value [key value …] [NX | XX] [EX | PX | EXAT | PXAT time | KEEPTTL]`
pub fn msetex(call: &mut Call) -> CommandResult {
    let count = number::parse_i64(call.arg(1))
        .filter(|count| (1..=i64::from(i32::MAX)).contains(count))
        .ok_or(ErrorReply::fixed("ERR invalid numkeys value or out of range"))? as usize;
    let mut index = 2 + 2 * count;
    if index > call.args.len() {
        return Err(ErrorReply::SYNTAX);
    }
    let pairs = call.args.from(2);
    let mut expiry = Expiry::Unsaid;
    let mut wants_existing = None;
    while index < call.args.len() {
        if let Some(taken) = expiry.read(call.args, index, Otherwise::Keep)? {
            index += taken;
            continue;
        }
        wants_existing = match wants_existing {
            None | Some(false) if call.is_word(index, "NX") => Some(false),
            None | Some(true) if call.is_word(index, "XX") => Some(true),
            _ => return Err(ErrorReply::SYNTAX),
        };
        index += 1;
    }
    let deadline = expiry.deadline(call)?;
    if let Some(wanted) = wants_existing
        && !keys_of(pairs).take(count).all(|key| call.keys.write(key).is_some() == wanted)
    {
        return call.reply.integer(0);
    }
    for index in (0..2 * count).step_by(2) {
        let (key, value) = (pairs.at(index), pairs.at(index + 1));
        let kept = match expiry {
            Expiry::Keep => call.keys.write(key).and_then(|found| call.keys.deadline(found)),
            Expiry::Unsaid | Expiry::Persist | Expiry::Deadline(..) => None,
        };
        assign(call, key, value, deadline.or(kept));
        if deadline.is_some() {
            call.keys.notify(Event::EXPIRE, key);
        }
        log_assignment(call, key, value, deadline, expiry);
    }
    call.reply.integer(1)
}

/// The arguments after the name, which must be pairs of key and value.
fn all_pairs<'c>(call: &Call<'c, '_>) -> Result<Args<'c>, ErrorReply> {
    let pairs = call.args.from(1);
    if !pairs.len().is_multiple_of(2) {
        return Err(errors::wrong_arity(call.spec));
    }
    Ok(pairs)
}

fn keys_of(pairs: Args<'_>) -> impl Iterator<Item = &[u8]> {
    pairs.iter().step_by(2)
}

fn assign_all(call: &mut Call, pairs: Args<'_>) {
    for index in (0..pairs.len()).step_by(2) {
        assign(call, pairs.at(index), pairs.at(index + 1), None);
    }
}
