//! A copy of all data as they are at one moment, made while they go on changing.

use super::body::Body;
use super::encoder::Encoder;
use crate::config::Directive;
use crate::delay;
use crate::persistence::pieces::Pieces;
use crate::persistence::rdb::FieldDeadlines;
use crate::persistence::rdb::file::write::{self, About, Output};
use crate::persistence::{Place, aof};
use crate::resp::write_command;
use crate::script::Catalog;
use crate::state::{State, unix_time_ms};
use crate::store::Locked;
use crate::store::snapshot::{Image, Snapshot, Step};
use crate::value::ValueRef;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What records are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// RDB data.
    Rdb,
    /// The commands that make them.
    Commands,
}

/// Makes records of a file from those of the keyspace.
struct Records {
    encoder: Encoder,
    form: Form,
}

impl Image for Records {
    fn record(
        &self,
        out: &mut Pieces<'_>,
        _database: usize,
        key: &[u8],
        deadline_ms: Option<i64>,
        clock: u32,
        value: ValueRef<'_>,
    ) {
        match self.form {
            Form::Rdb => self.encoder.record(out, key, deadline_ms, clock, value),
            Form::Commands => aof::write::record(out, key, deadline_ms, value),
        }
    }
}

/// A copy that has begun.
pub struct Copy<'s> {
    state: &'s State,
    snapshot: Snapshot,
    libraries: Arc<Catalog>,
    field_deadlines: FieldDeadlines,
    keys_done: u64,
    has_keys: bool,
    /// Says that nobody wants it any more.
    is_unwanted: Option<Box<dyn Fn() -> bool + Send>>,
}

impl<'s> Copy<'s> {
    /// Begins a copy of what is there now; all shards are held. `None` if another one is under way.
    pub fn begin(state: &'s Arc<State>, locked: &mut Locked<'_>, form: Form) -> Option<Self> {
        let encoder = Encoder::new(&state.settings);
        let field_deadlines = encoder.field_deadlines();
        let snapshot = Snapshot::begin(locked, Box::new(Records { encoder, form }))?;
        state.saving.count();
        state.saving.copies.fetch_add(1, Ordering::Relaxed);
        let libraries = state.scripts.libraries.get();
        Some(Copy { state, snapshot, libraries, field_deadlines, keys_done: 0, has_keys: true, is_unwanted: None })
    }

    /// Says whether the copy has keys, or only what comes before them.
    pub fn with_keys(self, has_keys: bool) -> Self {
        Copy { has_keys, ..self }
    }

    /// Has the copy end when `is_unwanted` says so.
    pub fn unless(self, is_unwanted: impl Fn() -> bool + Send + 'static) -> Self {
        Copy { is_unwanted: Some(Box::new(is_unwanted)), ..self }
    }

    fn is_unwanted(&self) -> bool {
        self.is_unwanted.as_ref().is_some_and(|is_unwanted| is_unwanted())
    }

    /// Writes it as a file, and returns what it was written to. Errors: it cannot be written, or somebody has ended the copy.
    pub fn write<W: Write>(mut self, place: Option<&Place>, is_aof_base: bool, mut output: Output<W>) -> io::Result<W> {
        let mut bytes = Vec::new();
        let counts = self.snapshot.counts().to_vec();
        let about = About {
            field_deadlines: counts.iter().any(|count| count.hashes_with_deadlines > 0).then_some(self.field_deadlines),
            created_s: unix_time_ms() / 1000,
            used_memory: crate::eviction::used_memory(self.state),
            is_aof_base,
            replication: place,
            libraries: &self.libraries.texts(),
        };
        write::begin(&about, &mut bytes);
        output.write(&bytes)?;
        bytes.clear();
        if !self.has_keys {
            return output.finish();
        }
        let mut body = Body::new(&counts, &mut output);
        while let Some(database) = self.step(&mut bytes, &mut |database, bytes| body.add(database, bytes))? {
            body.add(database, &mut bytes);
            body.check()?;
        }
        body.finish()?;
        output.finish()
    }
}

impl Copy<'_> {
    /// Appends further records to `bytes`, and says of which database; `None` if there are no more. What becomes much meanwhile is
    /// taken by `take`. Errors: nobody wants them.
    fn step(&mut self, bytes: &mut Vec<u8>, take: &mut dyn FnMut(usize, &mut Vec<u8>)) -> io::Result<Option<usize>> {
        crate::memory::publish();
        let done = self.snapshot.progress().keys_done;
        for _ in std::mem::replace(&mut self.keys_done, done)..done {
            delay::after_key(&self.state.settings, Directive::RdbKeySaveDelay, || self.is_unwanted());
        }
        if self.is_unwanted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match self.snapshot.next(bytes, take) {
            Step::Records { database } => Ok(Some(database)),
            Step::Done => Ok(None),
            Step::Aborted => Err(io::ErrorKind::Interrupted.into()),
        }
    }

    /// Writes it as commands. Errors: it cannot be written, or somebody has ended the copy.
    pub fn write_commands(mut self, output: &mut impl Write) -> io::Result<()> {
        if self.state.settings.flag(Directive::AofTimestampEnabled) {
            output.write_all(aof::write::timestamp(unix_time_ms() / 1000).as_bytes())?;
        }
        let (mut bytes, mut selected, mut written) = (Vec::new(), None, Ok(()));
        for text in self.libraries.texts() {
            write_command(&mut bytes, [b"FUNCTION".as_slice(), b"LOAD", text].into_iter());
            output.write_all(&bytes)?;
            bytes.clear();
        }
        let mut add = |database: usize, commands: &mut Vec<u8>| {
            if selected != Some(database) && written.is_ok() {
                let mut head = Vec::new();
                let mut number = itoa::Buffer::new();
                write_command(&mut head, [b"SELECT", number.format(database).as_bytes()].into_iter());
                written = output.write_all(&head);
                selected = Some(database);
            }
            if written.is_ok() {
                written = output.write_all(commands);
            }
            commands.clear();
            written.is_ok()
        };
        while let Some(database) = self.step(&mut bytes, &mut |database, bytes| {
            add(database, bytes);
        })? {
            if !add(database, &mut bytes) {
                break;
            }
        }
        written
    }
}

/// Writes a file that has no data.
pub fn write_empty<W: Write>(state: &State, mut output: Output<W>) -> io::Result<W> {
    let mut bytes = Vec::new();
    let about = About {
        field_deadlines: None,
        created_s: unix_time_ms() / 1000,
        used_memory: crate::eviction::used_memory(state),
        is_aof_base: true,
        replication: None,
        libraries: &[],
    };
    write::begin(&about, &mut bytes);
    output.write(&bytes)?;
    output.finish()
}

/// Makes a file that was received the database file.
pub fn adopt_file(state: &State, from: &Path) -> io::Result<()> {
    let path = state.settings.path(Directive::Dbfilename).unwrap_or_default();
    state.disk.rename(from, &path)?;
    path.parent().map_or(Ok(()), |directory| state.disk.sync_directory(directory))
}
