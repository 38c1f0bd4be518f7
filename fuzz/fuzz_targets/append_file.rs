//! An append-only file: a manifest, a base and an increment of any bytes. Loading ends with an error or with data, the trees keep
//! their invariants, and what was cut off behind the last whole command loads again as it is.

#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use radish::append_file::load;
use radish::persistence::disk::{Disk, DiskFile};
use radish::state::State;
use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

const OPTIONS: &[u8] = b"proto-max-bulk-len 1mb\nsave ''\ndir /\nappenddirname files\nappendfilename file";
const MANIFEST: &str = "/files/file.manifest";
const BASE: &str = "/files/file.1.base.rdb";
const INCREMENT: &str = "/files/file.1.incr.aof";

/// What ends the process, stops it, or writes files.
const LEFT_OUT: [&[u8]; 7] = [b"shutdown", b"debug", b"config", b"save", b"malloc-stats", b"pause", b"aof"];

/// Files in memory, which loading reads, renames and cuts off.
static FILES: Mutex<BTreeMap<PathBuf, Vec<u8>>> = Mutex::new(BTreeMap::new());

struct Memory;

fn files() -> std::sync::MutexGuard<'static, BTreeMap<PathBuf, Vec<u8>>> {
    FILES.lock().expect("nothing panics while it is locked")
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for Memory {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        files().insert(path.to_owned(), Vec::new());
        Ok(Box::new(Growing(path.to_owned())))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(Growing(path.to_owned())))
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let mut files = files();
        let file = files.get_mut(path).ok_or_else(missing)?;
        assert!(bytes <= file.len() as u64);
        file.truncate(bytes as usize);
        Ok(())
    }

    fn create_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, path: &Path) -> io::Result<(Box<dyn Read + Send>, u64)> {
        let bytes = files().get(path).cloned().ok_or_else(missing)?;
        let len = bytes.len() as u64;
        Ok((Box::new(Cursor::new(bytes)), len))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = files();
        let bytes = files.remove(from).ok_or_else(missing)?;
        files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        files().remove(path).map(drop).ok_or_else(missing)
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

struct Growing(PathBuf);

impl io::Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        files().entry(self.0.clone()).or_default().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for Growing {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

static STATE: LazyLock<Arc<State>> = LazyLock::new(|| {
    let mut state = support::new_state(OPTIONS);
    state.disk = Box::new(Memory);
    state.share()
});

/// Loads what the disk has. Returns how many keys there are then in the first database, if it can be loaded.
fn keys_loaded() -> Option<Vec<u8>> {
    let loaded = load::find(&STATE).and_then(|manifest| load::load(&STATE, &manifest));
    support::verify(&STATE);
    let mut session = support::new_session(&STATE, 1);
    let keys = support::run(&STATE, &mut session, &[b"DBSIZE"]);
    support::run(&STATE, &mut session, &[b"FLUSHALL", b"SYNC"]);
    support::end(&STATE, session);
    match loaded {
        Ok(()) => Some(keys),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&[flags, at], bytes)) = input.split_first_chunk() else { return };
    let lower = bytes.to_ascii_lowercase();
    if LEFT_OUT.iter().any(|word| lower.windows(word.len()).any(|part| part == *word)) {
        return;
    }
    {
        let mut files = files();
        files.clear();
        if flags & 1 == 1 {
            files.insert(MANIFEST.into(), bytes.to_vec());
        } else {
            let (base, increment) = bytes.split_at(bytes.len().min(usize::from(at)));
            let base = if flags & 2 == 2 { [b"REDIS0011", base].concat() } else { base.to_vec() };
            let manifest = "file file.1.base.rdb seq 1 type b\nfile file.1.incr.aof seq 1 type i\n";
            files.insert(MANIFEST.into(), manifest.into());
            files.insert(BASE.into(), base);
            files.insert(INCREMENT.into(), increment.to_vec());
        }
    }
    if let Some(keys) = keys_loaded() {
        assert_eq!(keys_loaded(), Some(keys));
    }
});
