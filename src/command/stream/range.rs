//! `XLEN`, `XRANGE` and `XREVRANGE`.

use super::{Call, Edge, parse_edge, read, write_entries};
use crate::resp::{CommandResult, ErrorReply};

/// `XLEN key`
pub fn xlen(call: &mut Call) -> CommandResult {
    let len = read(call.keys, call.args.at(1))?.map_or(0, |stream| stream.len());
    call.reply.integer(len as i64)
}

/// `XRANGE key start end [COUNT count]`
pub fn xrange(call: &mut Call) -> CommandResult {
    range(call, false)
}

/// `XREVRANGE key end start [COUNT count]`
pub fn xrevrange(call: &mut Call) -> CommandResult {
    range(call, true)
}

fn range(call: &mut Call, is_reverse: bool) -> CommandResult {
    let (start, end) = if is_reverse { (3, 2) } else { (2, 3) };
    let (start, end) = (parse_edge(call.arg(start), Edge::Start)?, parse_edge(call.arg(end), Edge::End)?);
    let mut count = None;
    let mut index = 4;
    while index < call.args.len() {
        if !call.is_word(index, "COUNT") || index + 1 == call.args.len() {
            return Err(ErrorReply::SYNTAX);
        }
        count = Some(usize::try_from(call.integer(index + 1)?).unwrap_or(0));
        index += 2;
    }
    let Some(stream) = read(call.keys, call.args.at(1))? else { return call.reply.array(0) };
    let count = match count {
        Some(0) => return call.reply.null_array(),
        count => count.unwrap_or(usize::MAX),
    };
    if is_reverse {
        write_entries(call.reply, stream.range_rev(end, start).take(count))?;
    } else {
        write_entries(call.reply, stream.range(start, end).take(count))?;
    }
    Ok(())
}
