//! Saving data to the database file: a temporary file is written, synced and renamed, so that there is always a whole one.

use crate::config::{Directive, MaxmemoryPolicy, Settings, error_text};
use crate::persistence::disk::DiskFile;
use crate::persistence::rdb::file::Usage;
use crate::persistence::rdb::file::write::{self, About, Output};
use crate::state::{State, unix_time_ms};
use crate::stats::Figure;
use crate::store::Locked;
use crate::value::ValueRef;
use crate::{access, delay, eviction};
use parking_lot::Mutex;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Bytes of records that are gathered before they are written.
const BUFFER_BYTES: usize = 256 * 1024;

/// What is known of saves.
pub struct Saving {
    /// When data was last saved, or the server started, in seconds of Unix time.
    last_save_s: AtomicI64,
    /// The latest save in the background has failed.
    has_failed: AtomicBool,
    /// Changes that the latest save has.
    saved_changes: AtomicU64,
    saves: AtomicU64,
    /// Libraries of functions that were in the file, which are kept aside.
    functions: Mutex<Vec<Vec<u8>>>,
}

impl Default for Saving {
    fn default() -> Self {
        Saving {
            last_save_s: AtomicI64::new(unix_time_ms() / 1000),
            has_failed: AtomicBool::new(false),
            saved_changes: AtomicU64::new(0),
            saves: AtomicU64::new(0),
            functions: Mutex::default(),
        }
    }
}

impl Saving {
    /// When data was last saved, in seconds of Unix time.
    pub fn last_save_s(&self) -> i64 {
        self.last_save_s.load(Ordering::Relaxed)
    }

    /// Whether the latest save in the background has failed.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// Saves that were begun since the start.
    pub fn saves(&self) -> u64 {
        self.saves.load(Ordering::Relaxed)
    }

    /// Of so many changes since the start, those that no save has.
    pub fn unsaved(&self, changes: u64) -> u64 {
        changes.saturating_sub(self.saved_changes.load(Ordering::Relaxed))
    }

    /// Keeps the code of libraries, for the files that are written.
    pub fn keep_functions(&self, functions: Vec<Vec<u8>>) {
        *self.functions.lock() = functions;
    }

    /// Counts a save that begins.
    pub fn count(&self) {
        self.saves.fetch_add(1, Ordering::Relaxed);
    }
}

/// Data could not be saved; the log says why.
#[derive(Debug)]
pub struct SaveFailed;

/// The database file.
fn path(settings: &Settings) -> PathBuf {
    settings.path(Directive::Dbfilename).unwrap_or_default()
}

/// Opens the database file, and says how many bytes it has.
pub fn open(state: &State) -> io::Result<(Box<dyn Read + Send>, u64)> {
    match path(&state.settings) {
        path if path.as_os_str().is_empty() => Err(io::ErrorKind::NotFound.into()),
        path => state.disk.open(&path),
    }
}

/// The file that a save in the foreground writes.
fn temporary_name() -> String {
    format!("temp-{}.rdb", std::process::id())
}

/// Removes the temporary file of a save in the foreground, if there is one.
pub fn remove_temporary(state: &State) {
    let path = state.settings.resolve(temporary_name().as_ref());
    if let Err(error) = state.disk.remove(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("Could not remove {}: {}", path.display(), error_text(&error));
    }
}

/// Saves all data at once. All shards are held. `uncounted`: changes of the running command, which are saved as well.
pub fn save(state: &State, locked: &Locked<'_>, uncounted: u64) -> Result<(), SaveFailed> {
    let changes = state.stats.get(Figure::Changes) + uncounted;
    write_file(state, &temporary_name(), |output| write_all(state, locked, output))?;
    state.saving.saved_changes.store(changes, Ordering::Relaxed);
    state.saving.last_save_s.store(unix_time_ms() / 1000, Ordering::Relaxed);
    state.saving.has_failed.store(false, Ordering::Relaxed);
    Ok(())
}

/// Writes a temporary file by `fill`, and puts it in the place of the database file. Tells the log what goes wrong.
fn write_file(
    state: &State,
    temporary: &str,
    fill: impl FnOnce(&mut Output<Box<dyn DiskFile>>) -> io::Result<()>,
) -> Result<(), SaveFailed> {
    let settings = &state.settings;
    let (temporary_path, path) = (settings.resolve(temporary.as_ref()), path(settings));
    let directory = String::from_utf8_lossy(&settings.string(Directive::Dir)).into_owned();
    let file = state.disk.create(&temporary_path).map_err(|error| {
        tracing::warn!(
            "Failed opening the temp RDB file {temporary} (in server root dir {directory}) for saving: {}",
            error_text(&error)
        );
        SaveFailed
    })?;
    let failed = |what: &str, error: &io::Error| {
        tracing::warn!("Write error saving DB on disk({what}): {}", error_text(error));
        remove(state, &temporary_path);
        SaveFailed
    };
    let mut output = Output::new(file, settings.flag(Directive::Rdbchecksum));
    let written = fill(&mut output).and_then(|()| output.finish());
    let mut file = written.map_err(|error| failed("rdbSaveRio", &error))?;
    file.sync().map_err(|error| failed("fsync", &error))?;
    drop(file);
    state.disk.rename(&temporary_path, &path).map_err(|error| {
        tracing::warn!(
            "Error moving temp DB file {temporary} on the final destination {} (in server root dir {directory}): {}",
            String::from_utf8_lossy(&settings.string(Directive::Dbfilename)),
            error_text(&error)
        );
        remove(state, &temporary_path);
        SaveFailed
    })?;
    if let Some(directory) = path.parent() {
        state.disk.sync_directory(directory).map_err(|error| {
            tracing::warn!("Write error saving DB on disk(fsyncFileDir): {}", error_text(&error));
            SaveFailed
        })?;
    }
    tracing::info!("DB saved on disk");
    Ok(())
}

fn remove(state: &State, path: &std::path::Path) {
    if let Err(error) = state.disk.remove(path) {
        tracing::warn!("Could not remove {}: {}", path.display(), error_text(&error));
    }
}

/// Appends what a file begins with.
fn begin(state: &State, has_field_deadlines: bool, out: &mut Vec<u8>) {
    let about = About {
        has_field_deadlines,
        created_s: unix_time_ms() / 1000,
        used_memory: eviction::used_memory(state),
        is_aof_base: false,
        replication: None,
        functions: &state.saving.functions.lock(),
    };
    write::begin(&about, out);
}

/// Writes all data, database after database.
fn write_all(state: &State, locked: &Locked<'_>, output: &mut Output<Box<dyn DiskFile>>) -> io::Result<()> {
    let databases = 0..state.keyspace.databases();
    let has_field_deadlines = locked
        .iter()
        .any(|(_, shard)| databases.clone().any(|database| shard.has_field_deadlines(&state.keyspace, database)));
    let encoder = Encoder::new(&state.settings);
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    begin(state, has_field_deadlines, &mut buffer);
    for database in databases {
        let trees = || locked.iter().map(|(_, shard)| &shard.databases[database]);
        let keys = trees().map(|tree| tree.len()).sum();
        if keys == 0 {
            continue;
        }
        write::database(database, keys, trees().map(|tree| tree.deadlines()).sum(), &mut buffer);
        for tree in trees() {
            let mut failure = None;
            let walk = tree.for_each(b"", |entry| {
                let record = entry.record;
                encoder.record(&mut buffer, entry.key, record.deadline, record.clock, record.payload.into());
                if buffer.len() >= BUFFER_BYTES {
                    if let Err(error) = output.write(&buffer) {
                        failure = Some(error);
                        return ControlFlow::Break(());
                    }
                    buffer.clear();
                }
                delay::after_key(&state.settings, Directive::RdbKeySaveDelay, || false);
                ControlFlow::Continue(())
            });
            if let (ControlFlow::Break(()), Some(error)) = (walk, failure) {
                return Err(error);
            }
        }
    }
    output.write(&buffer)
}

/// What the records of a file say of their use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UsageKept {
    Nothing,
    Idle,
    Frequency,
}

/// Makes records of a file, as the configuration has it.
pub struct Encoder<'s> {
    settings: &'s Settings,
    usage_kept: UsageKept,
    compressed: bool,
    now_ms: i64,
}

impl<'s> Encoder<'s> {
    pub fn new(settings: &'s Settings) -> Self {
        let usage_kept = match settings.choice(Directive::MaxmemoryPolicy) {
            MaxmemoryPolicy::AllkeysLru | MaxmemoryPolicy::VolatileLru => UsageKept::Idle,
            MaxmemoryPolicy::AllkeysLfu | MaxmemoryPolicy::VolatileLfu => UsageKept::Frequency,
            _ => UsageKept::Nothing,
        };
        let compressed = settings.flag(Directive::Rdbcompression);
        Encoder { settings, usage_kept, compressed, now_ms: unix_time_ms() }
    }

    /// Appends a record.
    #[inline]
    pub fn record(&self, out: &mut Vec<u8>, key: &[u8], deadline_ms: Option<i64>, clock: u32, value: ValueRef<'_>) {
        let usage = match self.usage_kept {
            UsageKept::Nothing => None,
            UsageKept::Idle => Some(Usage::Idle(access::idle_seconds(self.settings, clock, self.now_ms).into())),
            UsageKept::Frequency => Some(Usage::Frequency(access::frequency(self.settings, clock, self.now_ms) as u8)),
        };
        write::record(out, key, deadline_ms, usage, value, self.compressed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loading::{self, Options};
    use crate::persistence::disk::simulated::{Fault, SimulatedDisk};
    use crate::spec::Table;
    use crate::tree::NewPayload;
    use crate::value::InlineKind;

    fn state(disk: &SimulatedDisk) -> State {
        let mut state = State::new(Settings::new(), Table::new(&[]).unwrap(), 4).unwrap();
        state.disk = Box::new(disk.clone());
        state
    }

    fn set(state: &State, key: &str, value: &str) {
        let key = state.keyspace.key(key.as_bytes());
        let payload = NewPayload::Inline { kind: InlineKind::Raw as u8, bytes: value.as_bytes() };
        state.keyspace.lock_one(state.keyspace.shard_of(key)).databases[1].put(key, payload, None, 0);
        state.stats.add(Figure::Changes, 1);
    }

    fn save_now(state: &State) -> Result<(), SaveFailed> {
        save(state, &state.keyspace.lock(state.keyspace.all_shards()), 0)
    }

    /// The keys that a server finds which starts now.
    fn keys_found(disk: &SimulatedDisk) -> usize {
        let state = state(disk);
        let (file, _) = open(&state).unwrap();
        loading::load(&state, file, &mut &state.keyspace, Options::default()).unwrap();
        (0..state.keyspace.shard_count()).map(|shard| state.keyspace.lock_one(shard).databases[1].len()).sum()
    }

    #[test]
    fn what_is_saved_survives_the_loss_of_power() {
        let disk = SimulatedDisk::default();
        let state = state(&disk);
        (0..1000).for_each(|number| set(&state, &format!("key:{number}"), "value"));
        save_now(&state).unwrap();
        disk.lose_power();
        assert_eq!(keys_found(&disk), 1000);
        assert_eq!(state.saving.unsaved(1000), 0);
    }

    #[test]
    fn a_save_that_fails_leaves_the_file_before() {
        let disk = SimulatedDisk::default();
        let state = state(&disk);
        set(&state, "a", "1");
        save_now(&state).unwrap();
        let names = disk.names();
        (0..1000).for_each(|number| set(&state, &format!("key:{number}"), "value"));
        for fault in [Fault::ReadOnly, Fault::Full(100), Fault::Full(5000), Fault::Sync, Fault::Rename] {
            disk.set_fault(fault);
            save_now(&state).unwrap_err();
            assert_eq!(disk.names(), names, "{fault:?} leaves something behind");
            assert_eq!(keys_found(&disk), 1, "{fault:?}");
            disk.lose_power();
            assert_eq!(keys_found(&disk), 1, "{fault:?}");
            assert_eq!(state.saving.unsaved(1001), 1000);
        }
        disk.set_fault(Fault::Nothing);
        save_now(&state).unwrap();
        assert_eq!(keys_found(&disk), 1001);
    }
}
