//! `HOTKEYS`: which keys cost most time and bytes, as Redis 8.6 tells it.

use super::call::Call;
use crate::hot_keys::{Plan, Ranking};
use crate::resp::{CommandResult, ErrorReply, Reply};
use crate::state::unix_time_ms;
use std::time::Duration;

/// What keys can be ranked by.
const METRICS: i64 = 2;
const COUNT_DEFAULT: usize = 10;
const COUNT_MAX: i64 = 64;
const DURATION_SECONDS_MAX: i64 = 1_000_000;
/// The slots of a cluster, all of which a server has that is in none.
const SLOT_LAST: i64 = 16383;

impl Plan {
    fn parse(call: &Call) -> Result<Plan, ErrorReply> {
        if !call.is_word(2, "METRICS") || call.args.len() < 4 {
            return Err(ErrorReply::fixed("ERR METRICS parameter is required"));
        }
        let mut plan = Plan { by_time: false, by_bytes: false, count: COUNT_DEFAULT, duration: None, sample_ratio: 1 };
        let metrics = call.integer_in(3, 1..=METRICS, ErrorReply::fixed("ERR METRICS count must be > 0 and <= 2"))?;
        let options = 4 + metrics as usize;
        if call.args.len() < options {
            return Err(ErrorReply::fixed("ERR METRICS count does not match number of metric types provided"));
        }
        // Others are let pass: a later version may have more.
        for index in 4..options {
            if call.is_word(index, "CPU") && std::mem::replace(&mut plan.by_time, true) {
                return Err(ErrorReply::fixed("ERR METRICS CPU defined more than once!"));
            }
            if call.is_word(index, "NET") && std::mem::replace(&mut plan.by_bytes, true) {
                return Err(ErrorReply::fixed("ERR METRICS NET defined more than once!"));
            }
        }
        if !plan.by_time && !plan.by_bytes {
            return Err(ErrorReply::fixed("ERR METRICS no valid metrics passed. Supported: CPU|NET"));
        }
        for index in (options..call.args.len()).step_by(2) {
            if call.is_word(index, "SLOTS") && index + 1 < call.args.len() {
                return Err(ErrorReply::fixed("ERR SLOTS parameter cannot be used in non-cluster mode"));
            }
            let option = |word| call.is_word(index, word) && index + 1 < call.args.len();
            if option("COUNT") {
                let range = ErrorReply::fixed("ERR COUNT must be between 1 and 64");
                plan.count = call.integer_in(index + 1, 1..=COUNT_MAX, range)? as usize;
            } else if option("DURATION") {
                let range = ErrorReply::fixed("ERR DURATION must be between 1 and 1000000");
                let seconds = call.integer_in(index + 1, 1..=DURATION_SECONDS_MAX, range)?;
                plan.duration = Some(Duration::from_secs(seconds as u64));
            } else if option("SAMPLE") {
                let range = ErrorReply::fixed("ERR SAMPLE ratio must be positive");
                plan.sample_ratio = call.integer_in(index + 1, 1..=i64::from(i32::MAX), range)? as u32;
            } else {
                return Err(ErrorReply::SYNTAX);
            }
        }
        Ok(plan)
    }
}

/// `HOTKEYS START METRICS count [CPU] [NET] [COUNT k] [DURATION seconds] [SAMPLE ratio]`
pub fn hotkeys_start(call: &mut Call) -> CommandResult {
    let in_progress = ErrorReply::fixed("ERR hotkey tracking session already in progress");
    if call.state.hot_keys.is_active() {
        return Err(in_progress);
    }
    let plan = Plan::parse(call)?;
    if call.state.hot_keys.start(plan, unix_time_ms()) { call.reply.ok() } else { Err(in_progress) }
}

/// `HOTKEYS STOP`
pub fn hotkeys_stop(call: &mut Call) -> CommandResult {
    if call.state.hot_keys.stop() { call.reply.ok() } else { call.reply.null() }
}

/// `HOTKEYS RESET`
pub fn hotkeys_reset(call: &mut Call) -> CommandResult {
    if call.state.hot_keys.reset() {
        return call.reply.ok();
    }
    Err(ErrorReply::fixed("ERR hotkey tracking session in progress, stop tracking first"))
}

/// `HOTKEYS GET`
pub fn hotkeys_get(call: &mut Call) -> CommandResult {
    let reply = &mut *call.reply;
    let Some(report) = call.state.hot_keys.report() else { return reply.null_array() };
    let milliseconds = |time: Duration| time.as_millis() as i64;
    let (by_time, by_bytes) = (report.by_time.as_ref(), report.by_bytes.as_ref());
    reply.array(1)?;
    reply.map(7 + 3 * usize::from(by_time.is_some()) + 2 * usize::from(by_bytes.is_some()))?;
    write(reply, "tracking-active", report.is_active.into())?;
    write(reply, "sample-ratio", report.plan.sample_ratio.into())?;
    reply.bulk(b"selected-slots")?;
    reply.array(1)?;
    reply.array(2)?;
    reply.integer(0)?;
    reply.integer(SLOT_LAST)?;
    write(reply, "all-commands-all-slots-us", report.time.as_micros() as i64)?;
    write(reply, "net-bytes-all-commands-all-slots", report.bytes as i64)?;
    write(reply, "collection-start-time-unix-ms", report.begun_ms)?;
    write(reply, "collection-duration-ms", milliseconds(report.lasted))?;
    if by_time.is_some() {
        write(reply, "total-cpu-time-user-ms", milliseconds(report.cpu_time.user))?;
        write(reply, "total-cpu-time-sys-ms", milliseconds(report.cpu_time.system))?;
    }
    if by_bytes.is_some() {
        write(reply, "total-net-bytes", report.bytes as i64)?;
    }
    if let Some(ranking) = by_time {
        write_ranking(reply, "by-cpu-time-us", ranking, 1000)?;
    }
    if let Some(ranking) = by_bytes {
        write_ranking(reply, "by-net-bytes", ranking, 1)?;
    }
    Ok(())
}

fn write(reply: &mut Reply, name: &str, value: i64) -> CommandResult {
    reply.bulk(name.as_bytes())?;
    reply.integer(value)
}

/// Keys, each with its costs in units of so many.
fn write_ranking(reply: &mut Reply, name: &str, ranking: &Ranking, unit: u64) -> CommandResult {
    reply.bulk(name.as_bytes())?;
    reply.array(2 * ranking.len())?;
    ranking.iter().try_for_each(|(key, cost)| {
        reply.bulk(key)?;
        reply.integer((cost / unit) as i64)
    })
}
