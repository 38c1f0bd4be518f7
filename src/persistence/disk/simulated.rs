//! A disk for tests, in memory: it can be full, fail at a given step, and lose what was not synced.

use super::{Disk, DiskFile};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    Nothing,
    /// No file can be made.
    ReadOnly,
    /// So many bytes fit in all files that are written.
    Full(usize),
    /// Nothing can be synced.
    Sync,
    /// No file can be renamed.
    Rename,
}

/// What a file holds now, and what of it is on the disk for good.
#[derive(Clone, Default)]
struct Contents {
    bytes: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Default)]
struct Files {
    /// By the names that they have now.
    named: HashMap<PathBuf, Arc<Mutex<Contents>>>,
    /// By the names that last.
    lasting: HashMap<PathBuf, Arc<Mutex<Contents>>>,
    fault: Fault,
    written: usize,
}

/// A disk. Clones are the same one.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<Files>>);

impl SimulatedDisk {
    pub fn set_fault(&self, fault: Fault) {
        self.0.lock().fault = fault;
    }

    /// Loses power: what was not synced is gone.
    pub fn lose_power(&self) {
        let mut files = self.0.lock();
        files.named = files.lasting.clone();
        for contents in files.named.values() {
            let mut contents = contents.lock();
            contents.bytes = contents.synced.clone();
        }
    }

    /// The bytes of a file, if it is there.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.0.lock().named.get(Path::new(path)).map(|contents| contents.lock().bytes.clone())
    }

    /// Puts a file there for good.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let contents = Arc::new(Mutex::new(Contents { bytes: bytes.to_vec(), synced: bytes.to_vec() }));
        let mut files = self.0.lock();
        files.named.insert(path.into(), Arc::clone(&contents));
        files.lasting.insert(path.into(), contents);
    }

    /// The names of all files.
    pub fn names(&self) -> Vec<PathBuf> {
        let mut names: Vec<_> = self.0.lock().named.keys().cloned().collect();
        names.sort();
        names
    }
}

fn error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut files = self.0.lock();
        if files.fault == Fault::ReadOnly {
            return Err(error(libc::EROFS));
        }
        let contents = Arc::<Mutex<Contents>>::default();
        files.named.insert(path.into(), Arc::clone(&contents));
        Ok(Box::new(SimulatedFile { disk: self.clone(), contents }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let contents = self.0.lock().named.get(path).cloned();
        match contents {
            Some(contents) => Ok(Box::new(SimulatedFile { disk: self.clone(), contents })),
            None => self.create(path),
        }
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let files = self.0.lock();
        let mut contents = files.named.get(path).ok_or(error(libc::ENOENT))?.lock();
        contents.bytes.truncate(bytes as usize);
        contents.synced = contents.bytes.clone();
        Ok(())
    }

    fn create_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, path: &Path) -> io::Result<(Box<dyn Read + Send>, u64)> {
        let files = self.0.lock();
        let contents = files.named.get(path).ok_or(error(libc::ENOENT))?;
        let bytes = contents.lock().bytes.clone();
        let len = bytes.len() as u64;
        Ok((Box::new(Cursor::new(bytes)), len))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.0.lock();
        if files.fault == Fault::Rename {
            return Err(error(libc::EISDIR));
        }
        let contents = files.named.remove(from).ok_or(error(libc::ENOENT))?;
        files.named.insert(to.into(), contents);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().named.remove(path).map(drop).ok_or(error(libc::ENOENT))
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        let mut files = self.0.lock();
        if files.fault == Fault::Sync {
            return Err(error(libc::EIO));
        }
        files.lasting = files.named.clone();
        Ok(())
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    contents: Arc<Mutex<Contents>>,
}

impl Write for SimulatedFile {
    /// Takes a part of what it is given, as real files may.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut files = self.disk.0.lock();
        let room = match files.fault {
            Fault::Full(max) => max.saturating_sub(files.written),
            _ => usize::MAX,
        };
        let taken = bytes.len().min(1000).min(room);
        if taken == 0 && !bytes.is_empty() {
            return Err(error(libc::ENOSPC));
        }
        files.written += taken;
        self.contents.lock().bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for SimulatedFile {
    fn sync(&mut self) -> io::Result<()> {
        if self.disk.0.lock().fault == Fault::Sync {
            return Err(error(libc::EIO));
        }
        let mut contents = self.contents.lock();
        contents.synced = contents.bytes.clone();
        Ok(())
    }
}
