//! Files as persistence uses them, behind a trait, so that tests can put a disk in their place that is full, fails, or
//! forgets what was not synced.

#[cfg(test)]
pub mod simulated;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Where files are. Errors are those of the system.
pub trait Disk: Send + Sync {
    /// Makes a file, or empties the one that is there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file to be written behind what it has.
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Cuts a file off behind so many bytes, for good.
    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()>;

    /// Makes a directory that lasts, unless it is there.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Opens a file to be read from its begin, and says how many bytes it has.
    fn open(&self, path: &Path) -> io::Result<(Box<dyn Read + Send>, u64)>;

    /// Gives a file another name, under which there may be one already. Lasts once the directory is synced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes what names a directory has last.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// A file to be written.
pub trait DiskFile: Write + Send {
    /// Makes what was written last.
    fn sync(&mut self) -> io::Result<()>;
}

/// The files of the system.
pub struct FileSystem;

impl Disk for FileSystem {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::create(path)?))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::options().append(true).create(true).open(path)?))
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = File::options().write(true).open(path)?;
        file.set_len(bytes)?;
        file.sync_all()
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        std::fs::create_dir_all(path)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        self.sync_directory(parent.unwrap_or(Path::new(".")))
    }

    fn open(&self, path: &Path) -> io::Result<(Box<dyn Read + Send>, u64)> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok((Box::new(file), bytes))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl DiskFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
