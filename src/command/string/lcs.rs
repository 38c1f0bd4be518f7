//! `LCS`: what two strings have in common.

use super::string_len_max;
use crate::command::Call;
use crate::resp::{CommandResult, ErrorReply};
use crate::value::common::{self, Run};

/// What `LCS` replies with.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    len: bool,
    runs: bool,
    run_len: bool,
    run_len_min: usize,
}

impl Options {
    fn parse(call: &Call) -> Result<Self, ErrorReply> {
        let mut options = Options::default();
        let mut index = 3;
        while index < call.args.len() {
            if call.is_word(index, "IDX") {
                options.runs = true;
            } else if call.is_word(index, "LEN") {
                options.len = true;
            } else if call.is_word(index, "WITHMATCHLEN") {
                options.run_len = true;
            } else if call.is_word(index, "MINMATCHLEN") && index + 1 < call.args.len() {
                index += 1;
                options.run_len_min = call.integer(index)?.max(0) as usize;
            } else {
                return Err(ErrorReply::SYNTAX);
            }
            index += 1;
        }
        if options.len && options.runs {
            return Err(ErrorReply::fixed("ERR If you want both the length and indexes, please just use IDX."));
        }
        Ok(options)
    }
}

/// `LCS key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]`
pub fn lcs(call: &mut Call) -> CommandResult {
    let (a, b) = (copy(call, 1), copy(call, 2));
    let not_strings = || ErrorReply::fixed("ERR The specified keys must contain string values");
    let (a, b) = (a.ok_or_else(not_strings)?, b.ok_or_else(not_strings)?);
    let options = Options::parse(call)?;
    if common::table_bytes(a.len(), b.len()).is_none_or(|bytes| bytes > string_len_max(call.state)) {
        return Err(ErrorReply::fixed("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"));
    }
    call.let_go();
    let runs = common::longest_subsequence(&a, &b);
    let len = runs.iter().map(|run| run.len).sum();
    if options.runs {
        return write_runs(call, &runs, len, options);
    }
    if options.len {
        return call.reply.count(len);
    }
    let mut subsequence = Vec::with_capacity(len);
    for run in runs.iter().rev() {
        subsequence.extend_from_slice(&a[run.a..][..run.len]);
    }
    call.reply.bulk(&subsequence)
}

/// The bytes under the key at `index`, none if it is missing; `None` if it is of another type.
fn copy(call: &mut Call, index: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(found) = call.keys.read(call.arg(index)) {
        call.keys.value(found).as_string()?.append_to(&mut bytes);
    }
    Some(bytes)
}

fn write_runs(call: &mut Call, runs: &[Run], len: usize, options: Options) -> CommandResult {
    let reply = &mut *call.reply;
    let shown = || runs.iter().filter(|run| run.len >= options.run_len_min);
    reply.map(2)?;
    reply.bulk(b"matches")?;
    reply.array(shown().count())?;
    for run in shown() {
        reply.array(if options.run_len { 3 } else { 2 })?;
        for start in [run.a, run.b] {
            reply.array(2)?;
            reply.count(start)?;
            reply.count(start + run.len - 1)?;
        }
        if options.run_len {
            reply.count(run.len)?;
        }
    }
    reply.bulk(b"len")?;
    reply.count(len)
}
