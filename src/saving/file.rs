//! Writing a database file: a temporary one first, which then takes the place of the one before.

use super::{Output, SaveFailed};
use crate::config::{Directive, Settings, error_text};
use crate::persistence::disk::{Disk, DiskFile};
use crate::state::State;
use parking_lot::Mutex;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes after which what was written is synced, so that not all of it is left to the end.
const SYNC_INTERVAL_BYTES: usize = 4 << 20;

/// The database file; no path if it has no name.
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

/// What is written, and where. Clones are the same one.
#[derive(Clone)]
pub struct Target {
    temporary: PathBuf,
    path: PathBuf,
    /// Nothing is to come of it. Held while the temporary file takes the place of the other.
    is_cancelled: Arc<Mutex<bool>>,
}

impl Target {
    /// The database file, by way of a temporary file of this name.
    pub fn new(state: &State, temporary: &str) -> Self {
        let temporary = state.settings.resolve(temporary.as_ref());
        Target { temporary, path: path(&state.settings), is_cancelled: Arc::default() }
    }

    /// From here on the database file stays as it is.
    pub fn cancel(&self) {
        *self.is_cancelled.lock() = true;
    }

    pub fn is_cancelled(&self) -> bool {
        *self.is_cancelled.lock()
    }

    /// Removes the temporary file, if it is there.
    pub fn remove_temporary(&self, disk: &dyn Disk) {
        if let Err(error) = disk.remove(&self.temporary)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("Could not remove {}: {}", self.temporary.display(), error_text(&error));
        }
    }
}

/// A file that is synced now and then while it is written.
pub struct Incremental {
    file: Box<dyn DiskFile>,
    unsynced: usize,
    interval: usize,
}

impl Write for Incremental {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.unsynced += written;
        if self.unsynced >= self.interval {
            self.file.sync()?;
            self.unsynced = 0;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Writes a file by `fill`. Tells the log what goes wrong; the file before then stays, and no other is left behind.
pub fn write(
    state: &State,
    target: &Target,
    fill: impl FnOnce(&mut Output) -> io::Result<()>,
) -> Result<(), SaveFailed> {
    let (settings, disk) = (&state.settings, &*state.disk);
    let directory = String::from_utf8_lossy(&settings.string(Directive::Dir)).into_owned();
    let file = disk.create(&target.temporary).map_err(|error| {
        tracing::warn!(
            "Failed opening the temp RDB file {} (in server root dir {directory}) for saving: {}",
            name(&target.temporary),
            error_text(&error)
        );
        SaveFailed
    })?;
    let failed = |what: &str, error: &io::Error| {
        if !target.is_cancelled() {
            tracing::warn!("Write error saving DB on disk({what}): {}", error_text(error));
        }
        target.remove_temporary(disk);
        SaveFailed
    };
    let is_incremental = settings.flag(Directive::RdbSaveIncrementalFsync);
    let interval = if is_incremental { SYNC_INTERVAL_BYTES } else { usize::MAX };
    let mut output = Output::new(Incremental { file, unsynced: 0, interval }, settings.flag(Directive::Rdbchecksum));
    let written = fill(&mut output).and_then(|()| output.finish());
    let mut file = written.map_err(|error| failed("rdbSaveRio", &error))?.file;
    file.sync().map_err(|error| failed("fsync", &error))?;
    drop(file);
    let is_cancelled = target.is_cancelled.lock();
    if *is_cancelled {
        target.remove_temporary(disk);
        return Err(SaveFailed);
    }
    disk.rename(&target.temporary, &target.path).map_err(|error| {
        tracing::warn!(
            "Error moving temp DB file {} on the final destination {} (in server root dir {directory}): {}",
            name(&target.temporary),
            name(&target.path),
            error_text(&error)
        );
        target.remove_temporary(disk);
        SaveFailed
    })?;
    drop(is_cancelled);
    if let Some(directory) = target.path.parent() {
        disk.sync_directory(directory).map_err(|error| {
            tracing::warn!("Write error saving DB on disk(fsyncFileDir): {}", error_text(&error));
            SaveFailed
        })?;
    }
    tracing::info!("DB saved on disk");
    Ok(())
}
