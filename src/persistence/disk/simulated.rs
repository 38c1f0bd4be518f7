//! A disk for tests, in memory: it can be full, fail at a given step, and lose what was not synced.

use super::{Disk, DiskFile};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

type Names = HashMap<PathBuf, Arc<Mutex<Contents>>>;

#[derive(Default)]
struct Files {
    /// By the names that they have now.
    named: Names,
    /// By the names that last.
    lasting: Names,
    fault: Fault,
    written: usize,
    /// Operations that changed something.
    operations: u64,
    crash: Option<Crash>,
}

/// A crash that is to come, or has come while the server under test goes on and knows nothing of it.
struct Crash {
    /// The operation behind which it comes.
    after: u64,
    /// What the test has been promised by then, as it counts it.
    promised: Arc<AtomicU64>,
    left: Option<(Box<Files>, u64)>,
}

/// What a crash takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The process has ended: nothing is lost.
    Process,
    /// The power was lost: each name and the end of each file that were not synced may be there or not, by the bits of this
    /// number.
    Power(u64),
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

    /// Has a crash come behind so many operations; what `promised` says then is kept.
    pub fn crash_after(&self, operations: u64, promised: Arc<AtomicU64>) {
        let mut files = self.0.lock();
        files.operations = 0;
        files.crash = Some(Crash { after: operations, promised, left: None });
    }

    /// The disk as the crash left it, and what had been promised; `None` if it has not come.
    pub fn after_crash(&self, loss: Loss) -> Option<(SimulatedDisk, u64)> {
        let files = self.0.lock();
        let (left, promised) = files.crash.as_ref()?.left.as_ref()?;
        let mut left = left.copy();
        if let Loss::Power(bits) = loss {
            left.lose(bits);
        }
        Some((SimulatedDisk(Arc::new(Mutex::new(left))), *promised))
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

impl Files {
    /// Counts an operation that has been done; the crash may come behind it.
    fn done(&mut self) {
        self.operations += 1;
        let is_time = self.crash.as_ref().is_some_and(|crash| crash.left.is_none() && self.operations == crash.after);
        if is_time {
            let copy = self.copy();
            if let Some(crash) = &mut self.crash {
                crash.left = Some((Box::new(copy), crash.promised.load(Ordering::SeqCst)));
            }
        }
    }

    /// A disk with the same files, of which none is any of these.
    fn copy(&self) -> Files {
        let mut copies = HashMap::new();
        let mut copy = |names: &Names| -> Names {
            let copy_of = |(name, contents): (&PathBuf, &Arc<Mutex<Contents>>)| {
                let copied = copies
                    .entry(Arc::as_ptr(contents))
                    .or_insert_with(|| Arc::new(Mutex::new(contents.lock().clone())));
                (name.clone(), Arc::clone(copied))
            };
            names.iter().map(copy_of).collect()
        };
        Files { named: copy(&self.named), lasting: copy(&self.lasting), ..Files::default() }
    }

    /// Loses power, which leaves of what was not synced what `bits` say.
    fn lose(&mut self, bits: u64) {
        let mut state = bits | 1;
        let mut chance = |below: usize| {
            // A generator of Lehmer's kind (https://en.wikipedia.org/wiki/Lehmer_random_number_generator).
            state = state.wrapping_mul(0xDA94_2042_E4DD_58B5);
            (state >> 33) as usize % below.max(1)
        };
        let mut names: Vec<PathBuf> = self.named.keys().chain(self.lasting.keys()).cloned().collect();
        names.sort();
        names.dedup();
        for name in names {
            let from = if chance(2) == 0 { &self.lasting } else { &self.named };
            match from.get(&name).cloned() {
                Some(contents) => self.named.insert(name, contents),
                None => self.named.remove(&name),
            };
        }
        let mut seen = HashSet::new();
        let mut names: Vec<&PathBuf> = self.named.keys().collect();
        names.sort();
        for contents in names.iter().filter_map(|name| self.named.get(*name)) {
            if seen.insert(Arc::as_ptr(contents)) {
                let mut contents = contents.lock();
                let unsynced = contents.bytes.len().saturating_sub(contents.synced.len());
                let kept = contents.synced.len() + chance(unsynced + 1);
                contents.bytes.truncate(kept);
                contents.synced = contents.bytes.clone();
            }
        }
        self.lasting = self.named.clone();
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
        files.done();
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
        let mut files = self.0.lock();
        let contents = files.named.get(path).cloned().ok_or(error(libc::ENOENT))?;
        let mut contents = contents.lock();
        contents.bytes.truncate(bytes as usize);
        contents.synced = contents.bytes.clone();
        drop(contents);
        files.done();
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
        files.done();
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut files = self.0.lock();
        files.named.remove(path).ok_or(error(libc::ENOENT))?;
        files.done();
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut files = self.0.lock();
        if files.fault == Fault::Sync {
            return Err(error(libc::EIO));
        }
        let is_there = |name: &PathBuf| name.parent() == Some(path);
        let named: Names =
            files.named.iter().filter(|(name, _)| is_there(name)).map(|(n, c)| (n.clone(), Arc::clone(c))).collect();
        files.lasting.retain(|name, _| !is_there(name));
        files.lasting.extend(named);
        files.done();
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
        files.done();
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for SimulatedFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut files = self.disk.0.lock();
        if files.fault == Fault::Sync {
            return Err(error(libc::EIO));
        }
        let mut contents = self.contents.lock();
        contents.synced = contents.bytes.clone();
        drop(contents);
        files.done();
        Ok(())
    }
}
