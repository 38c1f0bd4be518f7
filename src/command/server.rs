//! Commands about the server as a whole that have no file of their own.

use super::call::{Call, Mode, Unanswered};
use crate::append_file;
use crate::config::ShutdownFlags;
use crate::resp::{CommandResult, ErrorReply};
use crate::saving::{self, Refusal, SaveFailed};
use crate::shutdown::{self, Begun};
use crate::state::unix_time_us;
use rand::Rng;

/// Columns and rows of what LOLWUT draws.
const DRAWING_COLUMNS: usize = 63;
const DRAWING_ROWS: usize = 24;

const SAVE_RUNNING: ErrorReply = ErrorReply::fixed("ERR Background save already in progress");

/// `TIME`
pub fn time(call: &mut Call) -> CommandResult {
    let now_us = unix_time_us();
    call.reply.array(2)?;
    call.reply.bulk_integer(now_us / 1_000_000)?;
    call.reply.bulk_integer(now_us % 1_000_000)
}

/// `LOLWUT [VERSION version] [argument …]`
pub fn lolwut(call: &mut Call) -> CommandResult {
    if call.is_word(1, "VERSION") && call.args.len() > 2 {
        call.integer(2)?;
    }
    // Each cell follows from its three neighbours above by one of 256 rules; these draw something.
    const RULES: [u8; 6] = [18, 30, 60, 90, 110, 150];
    let rule = RULES[rand::rng().random_range(0..RULES.len())];
    let mut row = [false; DRAWING_COLUMNS];
    row[DRAWING_COLUMNS / 2] = true;
    let mut text = String::new();
    for _ in 0..DRAWING_ROWS {
        text.extend(row.iter().map(|cell| if *cell { '*' } else { ' ' }));
        text.push('\n');
        let above = row;
        for (column, cell) in row.iter_mut().enumerate() {
            let at = |column: usize| usize::from(above.get(column).copied().unwrap_or(false));
            let pattern = at(column.wrapping_sub(1)) << 2 | at(column) << 1 | at(column + 1);
            *cell = rule >> pattern & 1 == 1;
        }
    }
    text.push_str(&format!("\nRule {rule}, grown from one seed. Redis ver. {}\n", crate::REDIS_VERSION));
    call.reply.verbatim(*b"txt", text.as_bytes())
}

/// `SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [SAFE] [FAILOVER]` and `SHUTDOWN ABORT`. There is no reply: the connection
/// ends with the process, unless that fails.
pub fn shutdown(call: &mut Call) -> CommandResult {
    let (mut flags, mut abort) = (ShutdownFlags::default(), false);
    for index in 1..call.args.len() {
        flags = flags.union(match call.arg(index).to_ascii_uppercase().as_slice() {
            b"SAVE" => ShutdownFlags::SAVE,
            b"NOSAVE" => ShutdownFlags::NOSAVE,
            b"NOW" => ShutdownFlags::NOW,
            b"FORCE" => ShutdownFlags::FORCE,
            b"SAFE" => ShutdownFlags::SAFE,
            b"FAILOVER" => ShutdownFlags::FAILOVER,
            b"ABORT" => {
                abort = true;
                ShutdownFlags::default()
            }
            _ => return Err(ErrorReply::SYNTAX),
        });
    }
    if flags.contains(ShutdownFlags::SAVE.union(ShutdownFlags::NOSAVE)) || abort && flags != ShutdownFlags::default() {
        return Err(ErrorReply::SYNTAX);
    }
    if abort {
        return match shutdown::abort(call.state) {
            true => call.reply.ok(),
            false => Err(ErrorReply::fixed("ERR No shutdown in progress.")),
        };
    }
    if !flags.contains(ShutdownFlags::NOSAVE) && call.state.scripts.running.is_busy() {
        // What it has done by now is not what is to be saved.
        return Err(call.state.scripts.running.busy_error());
    }
    match shutdown::begin(call.state, flags) {
        Begun::Waits => {
            call.unanswered = Some(Unanswered::Ends);
            Ok(())
        }
        Begun::Failed => Err(shutdown::FAILED),
    }
}

/// `SAVE`
pub fn save(call: &mut Call) -> CommandResult {
    if call.state.saving.background.is_running() {
        return Err(SAVE_RUNNING);
    }
    let uncounted = call.keys.changes();
    match saving::save(call.state, call.keys.locked(), uncounted) {
        Ok(()) => call.reply.ok(),
        Err(SaveFailed) => Err(ErrorReply::fixed("ERR")),
    }
}

/// `BGREWRITEAOF`
pub fn bgrewriteaof(call: &mut Call) -> CommandResult {
    let state = call.state;
    if state.append_file.rewrites().begun_ms.is_some() {
        return Err(ErrorReply::fixed("ERR Background append only file rewriting already in progress"));
    }
    let shared = state.to_shared().map_err(|_| ErrorReply::fixed("ERR Can't execute an AOF background rewriting."))?;
    // It is a transaction's end, too, that a rewrite waits for.
    let is_scheduled = call.mode == Mode::Transaction || state.keyspace.snapshot_progress().is_some();
    append_file::rewrite::begin(&shared);
    call.reply.simple(if is_scheduled {
        "Background append only file rewriting scheduled"
    } else {
        "Background append only file rewriting started"
    })
}

/// `BGSAVE [SCHEDULE|CANCEL]`
pub fn bgsave(call: &mut Call) -> CommandResult {
    let (state, background) = (call.state, &call.state.saving.background);
    let is_scheduled = match call.args.len() {
        1 => false,
        2 if call.is_word(1, "SCHEDULE") => true,
        2 if call.is_word(1, "CANCEL") => return cancel_save(call),
        _ => return Err(ErrorReply::SYNTAX),
    };
    if background.is_running() {
        return Err(SAVE_RUNNING);
    }
    if call.mode == Mode::Transaction {
        background.schedule();
        return call.reply.simple("Background saving scheduled");
    }
    let uncounted = call.keys.changes();
    match saving::save_in_background(state, call.keys.locked(), uncounted) {
        Ok(()) => call.reply.simple("Background saving started"),
        Err(Refusal::Running) => Err(SAVE_RUNNING),
        Err(Refusal::Busy) if is_scheduled => {
            background.schedule();
            call.reply.simple("Background saving scheduled")
        }
        Err(Refusal::Busy) => Err(ErrorReply::fixed(
            "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a \
             BGSAVE whenever possible.",
        )),
        Err(Refusal::NotReady) => Err(ErrorReply::fixed("ERR")),
    }
}

fn cancel_save(call: &mut Call) -> CommandResult {
    if saving::cancel(call.state) {
        tracing::info!("Background saving will be aborted due to user request");
        return call.reply.simple("Background saving cancelled");
    }
    if call.state.saving.background.unschedule() {
        tracing::info!("Scheduled background saving will be cancelled due to user request");
        return call.reply.simple("Scheduled background saving cancelled");
    }
    Err(ErrorReply::fixed("ERR Background saving is currently not in progress or scheduled"))
}

/// `LASTSAVE`: when data was last saved, in seconds of Unix time.
pub fn lastsave(call: &mut Call) -> CommandResult {
    call.reply.integer(call.state.saving.last_save_s())
}
