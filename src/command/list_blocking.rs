//! Commands on lists that wait until a list has elements.

use super::Call;
use super::call::Wait;
use super::list::{end, log_pop, move_element, pop_first, pop_one};
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
            pop_one(call, found, key, end)?;
            log_pop(call.keys, key, end, None);
            Ok(())
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
    let (source, destination) = (call.arg(1), call.arg(2));
    if move_element(call, from, to)? {
        let side = |end: End| if end == End::Front { b"LEFT".as_slice() } else { b"RIGHT" };
        if call.args.len() == 4 {
            call.keys.log_as(&[b"RPOPLPUSH", source, destination]);
        } else {
            call.keys.log_as(&[b"LMOVE", source, destination, side(from), side(to)]);
        }
        return Ok(());
    }
    call.wait_for(Wait {
        keys: vec![source.into()],
        deadline_ms,
        feeds: Some(destination.into()),
        wanted: Type::List,
        needs_keys: false,
        request: None,
        refused_with_value: true,
        acknowledgement: None,
    })
}
