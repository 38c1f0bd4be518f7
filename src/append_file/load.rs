//! Loading the append-only file: its base, then what was done since, command by command.

use super::{directory, file_name, manifest_name, store_manifest};
use crate::client::{Client, Endpoint, Identity, Session};
use crate::command::divergence::Talk;
use crate::command::{self, Batch};
use crate::config::{Directive, error_text};
use crate::loading::{self, LoadError, Options};
use crate::persistence::aof::manifest::{Manifest, ManifestError, Part};
use crate::persistence::aof::read::{CommandReader, ReadError};
use crate::resp::{Protocol, Reply};
use crate::state::State;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

/// What a base begins with that is RDB data.
const RDB_MAGIC: &[u8] = b"REDIS";

/// Why the file cannot be loaded.
#[derive(Debug)]
pub enum AppendFileError {
    Io(&'static str, String, io::Error),
    Manifest(ManifestError),
    /// A base of RDB data; the log has it already.
    Base(LoadError),
    Format(String),
    Short(String),
    UnknownCommand(String, String),
}

impl fmt::Display for AppendFileError {
    /// The last line that the log has of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendFileError::Io(what, name, error) => {
                write!(f, "Fatal error: can't {what} {name} for reading: {}", error_text(error))
            }
            AppendFileError::Manifest(error) => write!(f, "Fatal error: {error}"),
            AppendFileError::Base(error) => error.fmt(f),
            AppendFileError::Format(name) => write!(
                f,
                "Bad file format reading the append only file {name}: make a backup of your AOF file, then use \
                 ./redis-check-aof --fix <filename.manifest>"
            ),
            AppendFileError::Short(name) => write!(
                f,
                "Unexpected end of file reading the append only file {name}. You can: 1) Make a backup of your AOF file, then \
                 use ./redis-check-aof --fix <filename.manifest>. 2) Alternatively you can set the 'aof-load-truncated' \
                 configuration option to yes and restart the server."
            ),
            AppendFileError::UnknownCommand(command, name) => {
                write!(f, "Unknown command '{command}' reading the append only file {name}")
            }
        }
    }
}

/// The files that there are: those of the manifest, or a single one of old.
pub fn find(state: &State) -> Result<Manifest, AppendFileError> {
    let directory = directory(state);
    match state.disk.open(&directory.join(manifest_name(state))) {
        Ok((mut input, _)) => {
            let mut text = String::new();
            input
                .read_to_string(&mut text)
                .map_err(|error| AppendFileError::Io("read the AOF manifest", manifest_name(state), error))?;
            let manifest = Manifest::parse(&text).map_err(AppendFileError::Manifest)?;
            go_on_adopting(state, &manifest)?;
            Ok(manifest)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => adopt_old(state),
        Err(error) => Err(AppendFileError::Io("open the AOF manifest", manifest_name(state), error)),
    }
}

/// Moves the single file of an old server where the manifest says that it is, if the process ended before it could.
fn go_on_adopting(state: &State, manifest: &Manifest) -> Result<(), AppendFileError> {
    let name = file_name(state);
    let is_only = manifest.increments.is_empty() && manifest.base.as_ref().is_some_and(|base| base.name == name);
    let (old, new) = (state.settings.resolve(name.as_ref()), directory(state).join(&name));
    if !is_only || state.disk.open(&new).is_ok() || state.disk.open(&old).is_err() {
        return Ok(());
    }
    let moved = state.disk.rename(&old, &new).and_then(|()| state.disk.sync_directory(&directory(state)));
    moved.map_err(|error| AppendFileError::Io("take over the old AOF file", name, error))
}

/// Makes the single file of an old server the base.
fn adopt_old(state: &State) -> Result<Manifest, AppendFileError> {
    let name = file_name(state);
    let old = state.settings.resolve(name.as_ref());
    if state.disk.open(&old).is_err() {
        return Ok(Manifest::default());
    }
    let failed = |error| AppendFileError::Io("take over the old AOF file", name.clone(), error);
    let base = Some(Part { name: name.clone(), number: 1 });
    let manifest = Manifest { base, ..Manifest::default() };
    let directory = directory(state);
    state.disk.create_directory(&directory).map_err(failed)?;
    store_manifest(state, &manifest).map_err(failed)?;
    state.disk.rename(&old, &directory.join(&name)).map_err(failed)?;
    state.disk.sync_directory(&directory).map_err(failed)?;
    tracing::info!(
        target: "notice",
        "Successfully migrated an old-style AOF configuration ({name}) into the AOF directory ({}).",
        directory.display()
    );
    Ok(manifest)
}

/// Bytes of all files of a manifest. Errors: one of them is not there.
pub fn total_size(state: &State, manifest: &Manifest) -> Result<u64, AppendFileError> {
    manifest.base.iter().chain(&manifest.increments).map(|part| part_bytes(state, part)).sum()
}

/// Loads all files of a manifest.
pub fn load(state: &Arc<State>, manifest: &Manifest) -> Result<(), AppendFileError> {
    let mut session = loader(state);
    let parts: Vec<&Part> = manifest.base.iter().chain(&manifest.increments).collect();
    for (index, part) in parts.iter().enumerate() {
        let begun = std::time::Instant::now();
        let is_base = manifest.base.as_ref() == Some(part);
        let later = &parts[index + 1..];
        let is_last = later.is_empty() || !is_base && are_empty(state, later)?;
        load_part(state, &mut session, part, is_last)?;
        let what = if is_base { "base" } else { "incr" };
        tracing::info!(
            target: "notice",
            "DB loaded from {what} file {}: {:.3} seconds",
            part.name,
            begun.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

/// Whether nothing was written to these files: the power may have been lost before what is in front of them was synced.
fn are_empty(state: &State, parts: &[&Part]) -> Result<bool, AppendFileError> {
    for part in parts {
        if part_bytes(state, part)? > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Bytes of a file.
fn part_bytes(state: &State, part: &Part) -> Result<u64, AppendFileError> {
    let opened = state.disk.open(&directory(state).join(&part.name));
    opened
        .map(|(_, bytes)| bytes)
        .map_err(|error| AppendFileError::Io("open the append log file", part.name.clone(), error))
}

/// A session that does what a file says.
fn loader(state: &State) -> Session {
    let nowhere = Endpoint::Unix("".into());
    let client = Client::new(state.clients.next_id(), nowhere.clone(), nowhere, -1, 0);
    let mut session = Session::new(Identity::new(Arc::new(client), state.acl.default_account(), true));
    session.obeys = true;
    session
}

fn load_part(state: &Arc<State>, session: &mut Session, part: &Part, is_last: bool) -> Result<(), AppendFileError> {
    let path = directory(state).join(&part.name);
    let opened = state.disk.open(&path);
    let (mut input, bytes) =
        opened.map_err(|error| AppendFileError::Io("open the append log file", part.name.clone(), error))?;
    let mut head = Vec::new();
    let failed = |error| AppendFileError::Io("read the append log file", part.name.clone(), error);
    (&mut input).take(RDB_MAGIC.len() as u64).read_to_end(&mut head).map_err(failed)?;
    let whole = io::Cursor::new(head.clone()).chain(input);
    if head != RDB_MAGIC {
        return run_commands(state, session, part, whole, 0, is_last, &path);
    }
    tracing::info!(target: "notice", "Reading RDB base file on AOF loading...");
    let options = Options { keeps_expired: true, ..Options::default() };
    let rest = loading::load_head(state, whole, &mut &state.keyspace, options);
    let loading::Head { libraries, rest, offset } = rest.map_err(AppendFileError::Base)?;
    state.scripts.libraries.set(libraries);
    debug_assert!(offset <= bytes);
    run_commands(state, session, part, rest, offset, is_last, &path)
}

/// Does what the rest of a file says, which begins at `offset`.
fn run_commands(
    state: &Arc<State>,
    session: &mut Session,
    part: &Part,
    input: impl Read,
    offset: u64,
    is_last: bool,
    path: &Path,
) -> Result<(), AppendFileError> {
    let mut reader = CommandReader::new(input, offset);
    let mut reply = Reply::new(Protocol::Resp2);
    let mut batch = Batch::default();
    // Behind the last command, or transaction, that is whole.
    let mut valid = offset;
    let mut is_first = true;
    loop {
        let args = match reader.read_next() {
            Ok(Some(args)) => args,
            ended @ (Ok(None) | Err(ReadError::Short)) => {
                let is_whole = ended.is_ok() && session.transaction.is_none();
                if let Some(place) = reader.place() {
                    state.loading.note_place(place.clone());
                }
                return if is_whole { Ok(()) } else { cut_off(state, session, part, valid, is_last, path) };
            }
            Err(ReadError::Format) => return Err(AppendFileError::Format(part.name.clone())),
            Err(ReadError::Input(error)) => {
                return Err(AppendFileError::Io("read the append log file", part.name.clone(), error));
            }
        };
        if std::mem::take(&mut is_first) {
            // What was loaded before has been left behind.
            state.loading.take_place();
        }
        batch.clear();
        batch.push(state, b"", args);
        let prepared = batch.request(b"", 0);
        if !prepared.is_command() {
            let name = args.at(0).escape_ascii().to_string();
            return Err(AppendFileError::UnknownCommand(name, part.name.clone()));
        }
        command::execute(state, session, args, prepared, &mut reply);
        if reply.as_bytes().first() == Some(&b'-') {
            command::divergence::note_error(state, Talk::ServerToFile, args.at(0), reply.as_bytes());
        }
        reply.clear();
        if session.transaction.is_none() {
            valid = reader.offset();
            state.loading.note_bytes(valid);
        }
    }
}

/// The file ends in the middle of something, which is cut off if that is allowed.
fn cut_off(
    state: &State,
    session: &mut Session,
    part: &Part,
    valid: u64,
    is_last: bool,
    path: &Path,
) -> Result<(), AppendFileError> {
    if !is_last || !state.settings.flag(Directive::AofLoadTruncated) {
        return Err(AppendFileError::Short(part.name.clone()));
    }
    if session.transaction.take().is_some() {
        tracing::warn!("Revert incomplete MULTI/EXEC transaction from AOF file {}", part.name);
    }
    tracing::warn!("!!! Warning: short read while loading the AOF file {}!!!", part.name);
    tracing::warn!("AOF loaded anyway because aof-load-truncated is enabled");
    tracing::warn!("Truncating the AOF {} at offset {valid}", part.name);
    state
        .disk
        .truncate(path, valid)
        .map_err(|error| AppendFileError::Io("truncate the AOF file", part.name.clone(), error))
}
