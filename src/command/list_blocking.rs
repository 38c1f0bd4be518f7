//! Commands on lists that wait until a list has elements.

use super::Call;
use super::call::Wait;
use super::list::{end, move_element, pop_first, pop_one};
use super::multiple_pop::MultiplePop;
use super::stored::find_first;
use crate::resp::{CommandResult, ErrorReply};
use crate::value::Type;
use crate::value::list::{End, List};

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
    match find_first::<List>(call.keys, call.args, keys.clone())? {
        None => call.wait_for_any(keys, deadline_ms, Type::List),
        Some((found, key)) => {
            call.reply.array(2)?;
            call.reply.bulk(key)?;
            pop_one(call, found, key, end)
        }
    }
}

/// `BLMPOP timeout numkeys key [key ...] LEFT|RIGHT [COUNT count]`
pub fn blmpop(call: &mut Call) -> CommandResult {
    let request = MultiplePop::parse(call, 2, end)?;
    let deadline_ms = call.timeout(1)?;
    if pop_first(call, &request)? { Ok(()) } else { call.wait_for_any(request.keys, deadline_ms, Type::List) }
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
