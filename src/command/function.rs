//! `FUNCTION`: libraries of functions. What changes them holds all shards, so that no function runs meanwhile, and the log and
//! snapshots have each change at its place.

use super::Call;
use super::script;
use crate::persistence::rdb::payload::{self, Refusal};
use crate::resp::{CommandResult, ErrorReply};
use crate::script::{Catalog, Library, LibraryFunction, ScriptFlags};
use crate::spec::errors;
use crate::state::unix_time_ms;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// For how long the text of a library may run that a client loads.
const LOAD_TIME_MAX: Duration = Duration::from_millis(500);

/// Puts a changed catalog in place of what there is. That is one change for the log and for save points.
fn put(call: &mut Call, catalog: Catalog) {
    call.state.scripts.libraries.set(catalog);
    call.keys.count_changes(1);
}

/// The libraries of now, to be changed.
fn current(call: &Call) -> Catalog {
    call.state.scripts.libraries.get().as_ref().clone()
}

/// For how long a library may be loaded; what is obeyed was in time elsewhere.
fn limit(call: &Call) -> Option<Duration> {
    (!call.session.obeys).then_some(LOAD_TIME_MAX)
}

/// `FUNCTION LOAD [REPLACE] function-code`
pub fn function_load(call: &mut Call) -> CommandResult {
    let last = call.args.len() - 1;
    for index in 2..last {
        if !call.is_word(index, "REPLACE") {
            return Err(ErrorReply::about("ERR Unknown option given: ", call.arg(index), ""));
        }
    }
    let mut catalog = current(call);
    let loaded = catalog.load(&call.state.scripts, call.arg(last), last > 2, limit(call));
    let name = loaded.map_err(ErrorReply::new)?;
    put(call, catalog);
    call.reply.bulk(name.as_bytes())
}

/// `FUNCTION DELETE library-name`
pub fn function_delete(call: &mut Call) -> CommandResult {
    let mut catalog = current(call);
    if !catalog.remove(call.arg(2)) {
        return Err(ErrorReply::fixed("ERR Library not found"));
    }
    put(call, catalog);
    call.reply.ok()
}

/// `FUNCTION FLUSH [ASYNC | SYNC]`
pub fn function_flush(call: &mut Call) -> CommandResult {
    if call.args.len() > 3 {
        return Err(errors::subcommand_syntax(call.args));
    }
    if call.args.len() == 3 && !call.is_word(2, "SYNC") && !call.is_word(2, "ASYNC") {
        return Err(ErrorReply::fixed("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"));
    }
    put(call, Catalog::default());
    call.reply.ok()
}

/// `FUNCTION DUMP`
pub fn function_dump(call: &mut Call) -> CommandResult {
    let catalog = call.state.scripts.libraries.get();
    call.reply.bulk(&payload::write_libraries(catalog.texts().into_iter()))
}

/// `FUNCTION RESTORE serialized-value [FLUSH | APPEND | REPLACE]`
pub fn function_restore(call: &mut Call) -> CommandResult {
    if call.args.len() > 4 {
        return Err(errors::subcommand_syntax(call.args));
    }
    let (mut flushes, mut replaces) = (false, false);
    if call.args.len() == 4 {
        (flushes, replaces) = (call.is_word(3, "FLUSH"), call.is_word(3, "REPLACE"));
        if !flushes && !replaces && !call.is_word(3, "APPEND") {
            return Err(ErrorReply::fixed(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
    }
    let checks = !call.state.skips_payload_checksums.load(Ordering::Relaxed);
    let texts = payload::read_libraries(call.arg(2), checks).map_err(|refusal| {
        ErrorReply::fixed(match refusal {
            Refusal::VersionOrChecksum => "ERR DUMP payload version or checksum are wrong",
            Refusal::BadFormat(_) => "ERR given type is not a function",
        })
    })?;
    let (scripts, limit) = (&call.state.scripts, limit(call));
    let mut restored = Catalog::default();
    for text in texts {
        restored.load(scripts, &text, false, limit).map_err(ErrorReply::new)?;
    }
    let mut catalog = if flushes { Catalog::default() } else { current(call) };
    catalog.join(&restored, replaces).map_err(ErrorReply::new)?;
    put(call, catalog);
    call.reply.ok()
}

/// `FUNCTION LIST [LIBRARYNAME library-name-pattern] [WITHCODE]`
pub fn function_list(call: &mut Call) -> CommandResult {
    let (mut pattern, mut with_code, mut index) = (None, false, 2);
    while index < call.args.len() {
        if !with_code && call.is_word(index, "WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && call.is_word(index, "LIBRARYNAME") {
            index += 1;
            let missing = ErrorReply::fixed("ERR library name argument was not given");
            pattern = Some(call.args.get(index).ok_or(missing)?);
        } else {
            return Err(ErrorReply::about("ERR Unknown argument ", call.arg(index), ""));
        }
        index += 1;
    }
    let catalog = call.state.scripts.libraries.get();
    let is_wanted = |library: &&&Library| {
        pattern.is_none_or(|pattern| crate::glob::matches(pattern, library.name.as_bytes(), true))
    };
    let libraries: Vec<_> = catalog.libraries().map(|library| &**library).collect();
    let wanted: Vec<_> = libraries.iter().filter(is_wanted).collect();
    call.reply.array(wanted.len())?;
    wanted.into_iter().try_for_each(|library| describe(call, library, with_code))
}

/// Tells of a library.
fn describe(call: &mut Call, library: &Library, with_code: bool) -> CommandResult {
    let reply = &mut *call.reply;
    reply.map(3 + usize::from(with_code))?;
    reply.bulk(b"library_name")?;
    reply.bulk(library.name.as_bytes())?;
    reply.bulk(b"engine")?;
    reply.bulk(b"LUA")?;
    reply.bulk(b"functions")?;
    reply.array(library.functions.len())?;
    for LibraryFunction { name, description, flags } in &library.functions {
        reply.map(3)?;
        reply.bulk(b"name")?;
        reply.bulk(name.as_bytes())?;
        reply.bulk(b"description")?;
        reply.bulk_or_null(description.as_deref())?;
        reply.bulk(b"flags")?;
        let set: Vec<_> = ScriptFlags::ALL.iter().filter(|(_, flag)| flags.has_any(*flag)).collect();
        reply.set(set.len())?;
        set.into_iter().try_for_each(|(name, _)| reply.simple(name))?;
    }
    if with_code {
        reply.bulk(b"library_code")?;
        reply.bulk(&library.text)?;
    }
    Ok(())
}

/// `FUNCTION STATS`
pub fn function_stats(call: &mut Call) -> CommandResult {
    let running = &call.state.scripts.running;
    let busy = running.busy_function();
    if busy.is_none() && running.is_busy() {
        return Err(running.busy_error());
    }
    let catalog = call.state.scripts.libraries.get();
    let reply = &mut *call.reply;
    reply.map(2)?;
    reply.bulk(b"running_script")?;
    match busy {
        None => reply.null()?,
        Some(busy) => {
            reply.map(3)?;
            reply.bulk(b"name")?;
            reply.bulk(busy.name.as_bytes())?;
            reply.bulk(b"command")?;
            reply.bulk_array(&busy.command)?;
            reply.bulk(b"duration_ms")?;
            reply.integer(unix_time_ms() - busy.begun_ms)?;
        }
    }
    reply.bulk(b"engines")?;
    reply.map(1)?;
    reply.bulk(b"LUA")?;
    reply.map(2)?;
    reply.bulk(b"libraries_count")?;
    reply.count(catalog.libraries().len())?;
    reply.bulk(b"functions_count")?;
    reply.count(catalog.functions())
}

/// `FUNCTION KILL`
pub fn function_kill(call: &mut Call) -> CommandResult {
    script::kill(call, true)
}
