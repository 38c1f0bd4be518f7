//! Saving data to the database file: at once, while all clients wait (`SAVE`, the end of the process), or in the background.
//!
//! - `file`: a temporary file is written, synced and renamed, so that there is always a whole one. `encoder`: its records.
//! - `background`: `BGSAVE` and save points.

mod background;
mod body;
mod copy;
mod encoder;
mod file;
#[cfg(test)]
mod tests;

pub use background::{Background, Figures, Refusal, cancel, save_in_background, start, stop, tick};
pub use copy::{Copy, Form, adopt_file, write_empty};
pub use file::open;

use crate::config::Directive;
use crate::persistence::Place;
use crate::persistence::pieces::Pieces;
use crate::persistence::rdb::FieldDeadlines;
use crate::persistence::rdb::file::write::{self, About};
use crate::state::{State, unix_time_ms};
use crate::stats::Figure;
use crate::store::{Locked, Shard};
use crate::{delay, eviction};
use encoder::Encoder;
use file::{Incremental, Target};
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Bytes of records that are gathered before they are written.
const BUFFER_BYTES: usize = 256 * 1024;

/// A file that is being written.
type Output = write::Output<Incremental>;

/// What is known of saves.
pub struct Saving {
    /// When data was last saved, or the server started, in seconds of Unix time.
    last_save_s: AtomicI64,
    /// Changes that the latest save has.
    saved_changes: AtomicU64,
    saves: AtomicU64,
    /// Copies for replicas and for the append-only file that were begun since the start.
    pub copies: AtomicU64,
    pub background: Background,
}

impl Default for Saving {
    fn default() -> Self {
        Saving {
            last_save_s: AtomicI64::new(unix_time_ms() / 1000),
            saved_changes: AtomicU64::new(0),
            saves: AtomicU64::new(0),
            copies: AtomicU64::new(0),
            background: Background::default(),
        }
    }
}

impl Saving {
    /// When data was last saved, in seconds of Unix time.
    pub fn last_save_s(&self) -> i64 {
        self.last_save_s.load(Ordering::Relaxed)
    }

    /// Saves that were begun since the start.
    pub fn saves(&self) -> u64 {
        self.saves.load(Ordering::Relaxed)
    }

    /// Of so many changes since the start, those that no save has.
    pub fn unsaved(&self, changes: u64) -> u64 {
        changes.saturating_sub(self.saved_changes.load(Ordering::Relaxed))
    }

    /// Counts a save that begins.
    fn count(&self) {
        self.saves.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes a save that was well.
    fn note_saved(&self, changes: u64) {
        self.saved_changes.store(changes, Ordering::Relaxed);
        self.last_save_s.store(unix_time_ms() / 1000, Ordering::Relaxed);
        self.background.forgive();
    }
}

/// Data could not be saved; the log says why.
#[derive(Debug)]
pub struct SaveFailed;

/// What a save in the foreground writes.
fn foreground_target(state: &State) -> Target {
    Target::new(state, &format!("temp-{}.rdb", std::process::id()))
}

/// Removes the temporary file of a save in the foreground, if there is one.
pub fn remove_temporary(state: &State) {
    foreground_target(state).remove_temporary(&*state.disk);
}

/// Saves all data at once. All shards are held. `uncounted`: changes of the running command, which are saved as well.
pub fn save(state: &State, locked: &Locked<'_>, uncounted: u64) -> Result<(), SaveFailed> {
    state.saving.count();
    let changes = state.stats.get(Figure::Changes) + uncounted;
    file::write(state, &foreground_target(state), |output| write_all(state, locked, output))?;
    state.saving.note_saved(changes);
    Ok(())
}

/// Where in the history of the data they are now, if somebody may go on from there. All shards are locked.
pub fn place(state: &State) -> Option<Place> {
    let replication = &state.replication;
    let is_kept = if replication.is_replica() { replication.has_history() } else { state.log.backlog().is_some() };
    // The offset first: a database that is selected behind it is selected once more.
    let offset = state.log.end();
    let database = match replication.is_replica() {
        true => replication.stream_database.load(Ordering::Acquire),
        false => state.log.database(),
    };
    is_kept.then(|| Place { database, id: replication.history().id, offset })
}

/// Appends what a file begins with. All shards are locked.
fn begin(state: &State, field_deadlines: Option<FieldDeadlines>, out: &mut Vec<u8>) {
    let place = place(state);
    let libraries = state.scripts.libraries.get();
    let about = About {
        field_deadlines,
        created_s: unix_time_ms() / 1000,
        used_memory: eviction::used_memory(state),
        is_aof_base: false,
        replication: place.as_ref(),
        libraries: &libraries.texts(),
    };
    write::begin(&about, out);
}

/// Whether hashes have fields with deadlines, which old versions of files cannot hold.
fn has_field_deadlines(state: &State, locked: &Locked<'_>) -> bool {
    let databases = 0..state.keyspace.databases();
    let of_shard =
        |shard: &Shard| databases.clone().any(|database| shard.has_field_deadlines(&state.keyspace, database));
    locked.iter().any(|(_, shard)| of_shard(shard))
}

/// Writes all data, database after database.
fn write_all(state: &State, locked: &Locked<'_>, output: &mut Output) -> io::Result<()> {
    let encoder = Encoder::new(&state.settings);
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    let field_deadlines = has_field_deadlines(state, locked).then(|| encoder.field_deadlines());
    begin(state, field_deadlines, &mut buffer);
    for database in 0..state.keyspace.databases() {
        let trees = || locked.iter().map(|(_, shard)| &shard.databases[database]);
        let keys: usize = trees().map(|tree| tree.len()).sum();
        if keys == 0 {
            continue;
        }
        let expiring: usize = trees().map(|tree| tree.deadlines()).sum();
        write::select(database, &mut buffer);
        write::sizes(keys as u64, expiring as u64, &mut buffer);
        for tree in trees() {
            let mut written = Ok(());
            // It breaks off where writing fails.
            let _ = tree.for_each(b"", |entry| {
                let record = entry.record;
                let mut taker = |bytes: &mut Vec<u8>| {
                    if written.is_ok() {
                        written = output.write(bytes);
                    }
                    bytes.clear();
                };
                let pieces = &mut Pieces::new(&mut buffer, &mut taker);
                encoder.record(pieces, entry.key, record.deadline, record.clock, record.payload.into());
                if buffer.len() >= BUFFER_BYTES && written.is_ok() {
                    written = output.write(&buffer);
                    buffer.clear();
                }
                delay::after_key(&state.settings, Directive::RdbKeySaveDelay, || false);
                if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            written?;
        }
    }
    output.write(&buffer)
}
