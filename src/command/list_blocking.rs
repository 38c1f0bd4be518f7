//! Commands on lists that wait until a list has elements.

use super::Call;
use super::call::Wait;
use super::list::{end, move_element, pop_first, pop_one};
use super::multiple_pop::MultiplePop;
use super::stored::find;
use crate::resp::{CommandResult, ErrorReply};
use crate::value::Type;
use crate::value::list::{End, List};
use std::ops::Range;

/// `BLPOP key [key ...] timeout`
pub fn blpop(call: &mut Call) -> CommandResult {
    pop(call, End::Front)
}

/// `BRPOP key [key ...] timeout`
pub fn brpop(call: &mut Call) -> CommandResult {
    pop(call, End::Back)
}

fn pop(call: &mut Call, end: End) -> CommandResult {
    let keys = 1..call.args.len() - 1;
    let deadline_ms = call.timeout(keys.end)?;
    for index in keys.clone() {
        let key = call.arg(index);
        if let Some(found) = find::<List>(call.keys, key)? {
            call.reply.array(2)?;
            call.reply.bulk(key)?;
            return pop_one(call, found, key, end);
        }
    }
    wait(call, keys, deadline_ms)
}

fn wait(call: &mut Call, keys: Range<usize>, deadline_ms: Option<i64>) -> CommandResult {
    let keys = keys.map(|index| call.arg(index).into()).collect();
    call.wait_for(Wait {
        keys,
        deadline_ms,
        feeds: None,
        wanted: Type::List,
        needs_keys: false,
        request: None,
        refused_with_value: false,
    })
}

/// `BLMPOP timeout numkeys key [key ...] LEFT|RIGHT [COUNT count]`
pub fn blmpop(call: &mut Call) -> CommandResult {
    let request = MultiplePop::parse(call, 2, end)?;
    let deadline_ms = call.timeout(1)?;
    if pop_first(call, &request)? { Ok(()) } else { wait(call, request.keys, deadline_ms) }
}

/// `BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout`
pub fn blmove(call: &mut Call) -> CommandResult {
    let (from, to) = (end(call, 3)?, end(call, 4)?);
    let deadline_ms = call.timeout(5)?;
    move_or_wait(call, from, to, deadline_ms)
}

/// `BRPOPLPUSH source destination timeout`
pub fn brpoplpush(call: &mut Call) -> CommandResult {
    let deadline_ms = call.timeout(3)?;
    move_or_wait(call, End::Back, End::Front, deadline_ms)
}

fn move_or_wait(call: &mut Call, from: End, to: End, deadline_ms: Option<i64>) -> Result<(), ErrorReply> {
    if move_element(call, from, to)? {
        return Ok(());
    }
    let (source, destination) = (call.arg(1), call.arg(2));
    call.wait_for(Wait {
        keys: vec![source.into()],
        deadline_ms,
        feeds: Some(destination.into()),
        wanted: Type::List,
        needs_keys: false,
        request: None,
        refused_with_value: true,
    })
}
