//! `SLOWLOG` and `COMMANDLOG`: the latest slow commands, large requests and large replies.

use super::call::Call;
use crate::resp::{CommandResult, ErrorReply};
use crate::server_log::SlowLog;
use crate::spec::errors;
use crate::state::State;
use crate::value::number;

/// Entries that `SLOWLOG GET` returns unless told otherwise.
const COUNT_DEFAULT: usize = 10;

/// The log that the argument at `index` names.
fn log<'k>(call: &Call<'_, 'k>, index: usize) -> Result<&'k SlowLog, ErrorReply> {
    let state: &'k State = call.state;
    if call.is_word(index, "slow") {
        Ok(&state.slow_log)
    } else if call.is_word(index, "large-request") {
        Ok(&state.large_requests)
    } else if call.is_word(index, "large-reply") {
        Ok(&state.large_replies)
    } else {
        Err(ErrorReply::fixed("ERR type should be one of the following: slow, large-request, large-reply"))
    }
}

/// How many entries are wanted; -1 is all.
fn count(call: &Call, index: usize) -> Result<usize, ErrorReply> {
    match number::parse_i64(call.arg(index)) {
        Some(-1) => Ok(usize::MAX),
        Some(count @ 0..) => Ok(count as usize),
        _ => Err(ErrorReply::fixed("ERR count should be greater than or equal to -1")),
    }
}

fn write_latest(call: &mut Call, log: &SlowLog, count: usize) -> CommandResult {
    let entries = log.latest(count);
    call.reply.array(entries.len())?;
    for entry in entries {
        call.reply.array(6)?;
        call.reply.integer(entry.id as i64)?;
        call.reply.integer(entry.time)?;
        call.reply.integer(entry.measure as i64)?;
        call.reply.bulk_array(&entry.args)?;
        call.reply.bulk(entry.client_address.as_bytes())?;
        call.reply.bulk(&entry.client_name)?;
    }
    Ok(())
}

/// `SLOWLOG GET [count]`
pub fn slowlog_get(call: &mut Call) -> CommandResult {
    let count = match call.args.len() {
        2 => COUNT_DEFAULT,
        3 => count(call, 2)?,
        _ => return Err(errors::subcommand_syntax(call.args)),
    };
    let log = &call.state.slow_log;
    write_latest(call, log, count)
}

/// `SLOWLOG LEN`
pub fn slowlog_len(call: &mut Call) -> CommandResult {
    call.reply.count(call.state.slow_log.len())
}

/// `SLOWLOG RESET`
pub fn slowlog_reset(call: &mut Call) -> CommandResult {
    call.state.slow_log.clear();
    call.reply.ok()
}

/// `COMMANDLOG GET count SLOW|LARGE-REQUEST|LARGE-REPLY`
pub fn commandlog_get(call: &mut Call) -> CommandResult {
    let count = count(call, 2)?;
    let log = log(call, 3)?;
    write_latest(call, log, count)
}

/// `COMMANDLOG LEN SLOW|LARGE-REQUEST|LARGE-REPLY`
pub fn commandlog_len(call: &mut Call) -> CommandResult {
    let log = log(call, 2)?;
    call.reply.count(log.len())
}

/// `COMMANDLOG RESET SLOW|LARGE-REQUEST|LARGE-REPLY`
pub fn commandlog_reset(call: &mut Call) -> CommandResult {
    log(call, 2)?.clear();
    call.reply.ok()
}
