//! Rewriting the append-only file: a base out of a snapshot takes the place of all files before it.

use super::{Order, directory, file_name, new_increment, remove_history, store_manifest};
use crate::config::{Directive, error_text};
use crate::persistence::Place;
use crate::persistence::aof::manifest::{Manifest, Part};
use crate::persistence::disk::DiskFile;
use crate::persistence::rdb::file::write::Output;
use crate::saving::{self, Form};
use crate::state::{State, unix_time_ms};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Milliseconds until another rewrite is tried, if the file could not be switched on.
const RETRY_MS: i64 = 1000;

/// The name of the base of a number.
pub(super) fn base_name(state: &State, number: u64) -> String {
    let kind = if state.settings.flag(Directive::AofUseRdbPreamble) { "rdb" } else { "aof" };
    format!("{}.{number}.base.{kind}", file_name(state))
}

/// Writes a base that has no data.
pub(super) fn write_nothing(state: &State, file: &mut Box<dyn DiskFile>) -> io::Result<()> {
    if state.settings.flag(Directive::AofUseRdbPreamble) {
        saving::write_empty(state, Output::new(file, state.settings.flag(Directive::Rdbchecksum)))?;
    }
    Ok(())
}

/// Begins a rewrite on a thread of its own, or has one begin as soon as it can.
pub fn begin(state: &Arc<State>) {
    let mut rewrites = state.append_file.rewrites.lock();
    if rewrites.begun_ms.is_some() {
        return;
    }
    (rewrites.is_scheduled, rewrites.retry_ms) = (true, None);
    if state.keyspace.snapshot_progress().is_some() {
        return;
    }
    rewrites.begun_ms = Some(unix_time_ms());
    drop(rewrites);
    let job = Arc::clone(state);
    let spawned = crate::memory::spawn("rewrite", move || run(&job));
    if let Err(error) = spawned {
        tracing::warn!("Can't rewrite append only file in background: {}", error_text(&error));
        finish(state, Err(error));
    }
}

/// The file that becomes a base once it is whole.
fn temporary(state: &State) -> PathBuf {
    state.settings.resolve(format!("temp-rewriteaof-bg-{}.aof", std::process::id()).as_ref())
}

/// Removes what a rewrite has made that does not come to its end.
pub fn remove_temporary(state: &State) {
    let path = temporary(state);
    if let Err(error) = state.disk.remove(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("Could not remove {}: {}", path.display(), error_text(&error));
    }
}

fn run(state: &Arc<State>) {
    tracing::info!(target: "notice", "Background append only file rewriting started");
    let result = rewrite(state, &temporary(state));
    if result.is_err() {
        remove_temporary(state);
    }
    finish(state, result);
}

/// What became of a rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// A snapshot was under way: it is tried again.
    PutOff,
}

fn finish(state: &State, result: io::Result<Outcome>) {
    let mut rewrites = state.append_file.rewrites.lock();
    let Some(begun_ms) = rewrites.begun_ms.take() else { return };
    rewrites.is_first = false;
    rewrites.is_scheduled = matches!(result, Ok(Outcome::PutOff));
    match result {
        Ok(Outcome::PutOff) => {}
        Ok(Outcome::Done) => {
            rewrites.count += 1;
            rewrites.has_failed = false;
            rewrites.failures = 0;
            rewrites.last_s = Some((unix_time_ms() - begun_ms) / 1000);
            tracing::info!(target: "notice", "Background AOF rewrite finished successfully");
        }
        Err(error) => {
            rewrites.has_failed = true;
            rewrites.failures += 1;
            if !state.append_file.is_on() && state.settings.flag(Directive::Appendonly) {
                rewrites.retry_ms = Some(unix_time_ms() + RETRY_MS);
            }
            tracing::warn!("Background AOF rewrite terminated with error: {}", error_text(&error));
        }
    }
}

/// What goes on while the base is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// What happens is written to a new increment.
    Switch,
    /// What happens is written from now on.
    Enable,
    /// Nothing is written (`appendonly no`).
    Alone,
}

fn rewrite(state: &Arc<State>, temporary: &std::path::Path) -> io::Result<Outcome> {
    let append_file = &state.append_file;
    let mode = match (append_file.is_on(), state.settings.flag(Directive::Appendonly)) {
        (true, _) => Mode::Switch,
        (false, true) => Mode::Enable,
        (false, false) => Mode::Alone,
    };
    append_file.rewrites.lock().is_first = mode == Mode::Enable;
    state.disk.create_directory(&directory(state))?;
    let mut manifest = append_file.manifest.lock().clone();
    let outdated = manifest.clone();
    let file = if mode == Mode::Alone { None } else { Some(new_increment(state, &mut manifest)?) };
    let increment = manifest.increments.last().map(|part| part.name.clone());
    if mode == Mode::Switch {
        // Were the process to end now, both increments would be read.
        store_manifest(state, &manifest)?;
    }
    let form = if state.settings.flag(Directive::AofUseRdbPreamble) { Form::Rdb } else { Form::Commands };
    let mut locked = state.keyspace.lock(state.keyspace.all_shards());
    if mode == Mode::Switch && !append_file.is_on() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    let Some(copy) = saving::Copy::begin(state, &mut locked, form) else {
        drop(locked);
        return Ok(Outcome::PutOff);
    };
    let place = saving::place(state);
    let goes_on = match (mode, file) {
        (Mode::Enable, Some(file)) => super::begin(state, file),
        (Mode::Switch, Some(file)) => {
            state.log.forget_database();
            append_file.order(Order::Switch { at: state.log.end(), file });
            Ok(())
        }
        (_, None) | (Mode::Alone, _) => Ok(()),
    };
    // Before the copy may end, which takes them as well.
    drop(locked);
    goes_on?;
    let plan = Plan { mode, form, manifest, outdated, place };
    let written = write_base(state, plan, copy, temporary);
    if let (Mode::Enable, Err(_), Some(increment)) = (mode, &written, increment) {
        // No manifest has what is written now: it is begun anew.
        super::stop(state);
        if let Err(error) = state.disk.remove(&directory(state).join(&increment)) {
            tracing::warn!("Could not remove {increment}: {}", error_text(&error));
        }
    }
    written.map(|()| Outcome::Done)
}

/// What a rewrite makes.
struct Plan {
    mode: Mode,
    form: Form,
    manifest: Manifest,
    /// The manifest of what it takes the place of.
    outdated: Manifest,
    place: Option<Place>,
}

/// Writes the base out of a copy, and makes it what the file consists of, with the increments since.
fn write_base(state: &Arc<State>, plan: Plan, copy: saving::Copy<'_>, temporary: &std::path::Path) -> io::Result<()> {
    let Plan { mode, form, manifest, outdated, place } = plan;
    let append_file = &state.append_file;
    let writing = Arc::clone(state);
    let copy = copy.unless(move || mode != Mode::Alone && !writing.append_file.is_on());
    if mode == Mode::Switch {
        *append_file.manifest.lock() = manifest.clone();
    }
    let mut output = state.disk.create(temporary)?;
    if form == Form::Rdb {
        let has_checksum = state.settings.flag(Directive::Rdbchecksum);
        copy.write(place.as_ref(), true, Output::new(&mut output, has_checksum))?;
    } else {
        copy.write_commands(&mut output)?;
    }
    output.sync()?;
    drop(output);
    replace(state, manifest, &outdated, temporary)
}

/// Makes what was written the base, in place of all files before it.
fn replace(state: &State, mut manifest: Manifest, outdated: &Manifest, temporary: &std::path::Path) -> io::Result<()> {
    let number = manifest.next_base();
    let base = Part { name: base_name(state, number), number };
    let path = directory(state).join(&base.name);
    state.disk.rename(temporary, &path)?;
    manifest.history.extend(manifest.base.replace(base));
    manifest.history.extend(outdated.increments.iter().cloned());
    manifest.increments.retain(|part| !outdated.increments.contains(part));
    store_manifest(state, &manifest)?;
    *state.append_file.manifest.lock() = manifest.clone();
    let bytes = state.disk.open(&path)?.1;
    let last = manifest
        .increments
        .last()
        .map_or(Ok(0), |part| state.disk.open(&directory(state).join(&part.name)).map(|(_, bytes)| bytes))?;
    state.append_file.size.store(bytes + last, Ordering::Relaxed);
    state.append_file.base_size.store(bytes + last, Ordering::Relaxed);
    remove_history(state, &mut manifest)?;
    *state.append_file.manifest.lock() = manifest;
    Ok(())
}
