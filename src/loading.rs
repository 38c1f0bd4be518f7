//! Loading data: from the database file at the start, while clients are told to wait, and from any other stream of RDB data.

use crate::append_file::load::AppendFileError;
use crate::config::{Directive, error_text};
use crate::persistence::Place;
use crate::persistence::rdb::file::Usage;
use crate::persistence::rdb::file::read::{FileReader, Part, ReadError, Record};
use crate::persistence::rdb::value::Loaded;
use crate::saving;
use crate::script::Catalog;
use crate::state::{State, unix_time_ms};
use crate::store::{Key, Keyspace, Locked, Shard};
use crate::tree::NewPayload;
use crate::value::Value;
use crate::value::collection::PACKED_BYTES_MAX;
use crate::value::string::NewString;
use crate::{access, append_file, command, delay, forms, memory, removal};
use parking_lot::Mutex;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::oneshot;

/// Bytes of data that are loaded while everybody waits, at most.
const SHORT_BYTES_MAX: i64 = 2 << 20;
/// Keys without elements of which the log tells one by one.
const EMPTY_KEYS_LOGGED: u64 = 10;

/// How loading goes, and how it went. Written by the thread that loads.
#[derive(Default)]
pub struct Loading {
    is_on: AtomicBool,
    /// Data are loaded beside those that are there, which are served meanwhile.
    is_aside: AtomicBool,
    started_s: AtomicI64,
    total_bytes: AtomicU64,
    loaded_bytes: AtomicU64,
    /// Bytes of memory that were in use when the file was made.
    file_memory: AtomicU64,
    keys_loaded: AtomicU64,
    keys_expired: AtomicU64,
    /// Where in a history the data are that were loaded last, as far as that is known.
    place: Mutex<Option<Place>>,
}

/// How far loading has come (`INFO persistence`).
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// In seconds of Unix time.
    pub started_s: i64,
    /// 0 if nobody knows.
    pub total_bytes: u64,
    pub loaded_bytes: u64,
    pub file_memory: u64,
}

impl Loading {
    /// Whether data is being loaded and clients have to wait.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Whether data are loaded beside those that are there, and clients need not wait.
    #[inline]
    pub fn is_aside(&self) -> bool {
        self.is_aside.load(Ordering::Relaxed)
    }

    /// Notes where in a history the data are that were loaded.
    pub fn note_place(&self, place: Place) {
        *self.place.lock() = Some(place);
    }

    /// Where in a history the data are that were loaded last. It is said once.
    pub fn take_place(&self) -> Option<Place> {
        self.place.lock().take()
    }

    /// How far it has come, if it is under way.
    pub fn progress(&self) -> Option<Progress> {
        (self.is_on() || self.is_aside()).then(|| Progress {
            started_s: self.started_s.load(Ordering::Relaxed),
            total_bytes: self.total_bytes.load(Ordering::Relaxed),
            loaded_bytes: self.loaded_bytes.load(Ordering::Relaxed),
            file_memory: self.file_memory.load(Ordering::Relaxed),
        })
    }

    /// Keys of the latest file that were loaded.
    pub fn keys_loaded(&self) -> u64 {
        self.keys_loaded.load(Ordering::Relaxed)
    }

    /// Keys of the latest file whose time was over.
    pub fn keys_expired(&self) -> u64 {
        self.keys_expired.load(Ordering::Relaxed)
    }

    /// Notes how many bytes have been loaded.
    pub fn note_bytes(&self, bytes: u64) {
        self.loaded_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whoever serves clients has to know.
    fn note_under_way(&self, replacement: Replacement, is_under_way: bool) {
        let flag = if replacement == Replacement::Served { &self.is_aside } else { &self.is_on };
        flag.store(is_under_way, Ordering::Relaxed);
    }

    fn begin(&self, total_bytes: u64) {
        self.started_s.store(unix_time_ms() / 1000, Ordering::Relaxed);
        self.total_bytes.store(total_bytes, Ordering::Relaxed);
        self.take_place();
        for figure in [&self.loaded_bytes, &self.file_memory, &self.keys_loaded, &self.keys_expired] {
            figure.store(0, Ordering::Relaxed);
        }
    }
}

/// Counts up a figure that one thread writes.
fn count(figure: &AtomicU64) {
    figure.store(figure.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// What is done with keys that are in the way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Keys whose time is over are kept: whoever sent the data says when they go.
    pub keeps_expired: bool,
    /// Keys that exist already are replaced, instead of ending it.
    pub replaces: bool,
    /// Keys whose time is over are logged as removed: replicas that have them may follow.
    pub logs_expired: bool,
    /// Libraries of functions are added to those that are there.
    pub adds_libraries: bool,
}

/// Where records go: shards that are locked for each of them, or that are held already.
pub trait Shards {
    fn with<R>(&mut self, shard: usize, work: impl FnOnce(&mut Shard) -> R) -> R;
}

impl Shards for &Keyspace {
    fn with<R>(&mut self, shard: usize, work: impl FnOnce(&mut Shard) -> R) -> R {
        work(&mut self.lock_one(shard))
    }
}

/// Shards that nobody else sees yet.
impl Shards for Vec<Shard> {
    fn with<R>(&mut self, shard: usize, work: impl FnOnce(&mut Shard) -> R) -> R {
        work(&mut self[shard])
    }
}

impl Shards for Locked<'_> {
    fn with<R>(&mut self, shard: usize, work: impl FnOnce(&mut Shard) -> R) -> R {
        work(self.shard(shard))
    }
}

/// Why data could not be loaded.
#[derive(Debug)]
pub enum LoadError {
    Open(io::Error),
    /// And at which byte of the stream.
    Read(ReadError, u64),
    /// It has more databases than the server.
    Databases(usize),
    /// A key that exists already, and its database.
    Duplicate(Vec<u8>, usize),
    /// A library of functions cannot be loaded, for this reason.
    Library(String),
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        LoadError::Open(error)
    }
}

impl fmt::Display for LoadError {
    /// The last line that the log has of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Open(error) => write!(f, "Fatal error loading the DB: {}. Exiting.", error_text(error)),
            LoadError::Read(ReadError::Signature | ReadError::Version(_), _) => {
                f.write_str("Fatal error loading the DB: Invalid argument. Exiting.")
            }
            LoadError::Read(error @ ReadError::ModuleAux(_), _) => error.fmt(f),
            LoadError::Read(..) | LoadError::Duplicate(..) | LoadError::Library(_) => {
                f.write_str("Terminating server after rdb file reading failure.")
            }
            LoadError::Databases(databases) => write!(
                f,
                "FATAL: Data file was created with a Redis server configured to handle more than {databases} databases. \
                 Exiting"
            ),
        }
    }
}

impl LoadError {
    /// Tells the log, as Redis does.
    fn log(&self) {
        match self {
            LoadError::Open(_) | LoadError::Databases(_) | LoadError::Read(ReadError::ModuleAux(_), _) => {}
            LoadError::Read(error @ (ReadError::Signature | ReadError::Version(_)), _) => tracing::warn!("{error}"),
            LoadError::Read(error, offset) => {
                match error {
                    ReadError::Checksum { expected, found } => {
                        tracing::warn!("Wrong RDB checksum expected: ({expected:x}) but got ({found:x}). Aborting now.")
                    }
                    ReadError::Short | ReadError::Corrupt | ReadError::Value(_) | ReadError::Input(_) => {
                        tracing::warn!("Short read or OOM loading DB. Unrecoverable error, aborting now.");
                    }
                    _ => {}
                }
                tracing::warn!("Internal error in RDB reading offset {offset} -> {error}");
                // What redis-check-rdb would say of it.
                tracing::warn!("--- RDB ERROR DETECTED ---");
                tracing::warn!("[offset {offset}] {error}");
            }
            LoadError::Duplicate(key, database) => {
                tracing::warn!("RDB has duplicated key '{}' in DB {database}", key.escape_ascii());
            }
            LoadError::Library(reason) => {
                tracing::warn!("Failed loading a library of functions: {reason}");
                tracing::warn!("Short read or OOM loading DB. Unrecoverable error, aborting now.");
            }
        }
        tracing::warn!("{self}");
    }
}

/// Whether data of so many bytes are loaded at once, while everybody waits, and not told to wait. As many as Redis loads before
/// it looks at its clients.
fn is_short(state: &State, bytes: u64) -> bool {
    let settings = &state.settings;
    let limit = settings.int(Directive::LoadingProcessEventsIntervalBytes).min(SHORT_BYTES_MAX);
    bytes <= limit as u64 && settings.int(Directive::KeyLoadDelay) == 0
}

/// Loads the database file, if there is one. If it is not short, that is done on a thread of its own, and what tells of the
/// end is returned; clients are told to wait until then. If it cannot be loaded, the process ends.
pub fn start(state: &Arc<State>) -> io::Result<Option<oneshot::Receiver<()>>> {
    if state.settings.flag(Directive::Appendonly) {
        return start_append_file(state);
    }
    let (file, bytes) = match saving::open(state) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => end(&error.into()),
    };
    state.loading.begin(bytes);
    if is_short(state, bytes) {
        load_own_file(state, file);
        return Ok(None);
    }
    state.loading.is_on.store(true, Ordering::Relaxed);
    let (done, ended) = oneshot::channel();
    let state = Arc::clone(state);
    memory::spawn("loading", move || {
        load_own_file(&state, file);
        state.loading.is_on.store(false, Ordering::Relaxed);
        // Nobody waits for it when the process ends.
        let _ = done.send(());
    })?;
    Ok(Some(ended))
}

fn load_own_file(state: &State, file: impl Read) {
    let begun = Instant::now();
    let is_primary = !state.replication.is_replica();
    if is_primary {
        // Replicas that come back have to be told of keys whose time is over.
        let all = state.keyspace.lock(state.keyspace.all_shards());
        state.log.keep_backlog(state.settings.int(Directive::ReplBacklogSize) as u64);
        drop(all);
    }
    let options = Options { logs_expired: is_primary, ..Options::default() };
    let libraries = load(state, file, &mut &state.keyspace, options).unwrap_or_else(|error| end(&error));
    state.scripts.libraries.set(libraries);
    tracing::info!("DB loaded from disk: {:.3} seconds", begun.elapsed().as_secs_f64());
    go_on_from_place(state);
    memory::publish();
}

/// Goes on with the history that the data were loaded with, if there is one.
fn go_on_from_place(state: &State) {
    let all = state.keyspace.lock(state.keyspace.all_shards());
    let bytes = state.settings.int(Directive::ReplBacklogSize) as u64;
    match (state.loading.take_place(), state.replication.is_replica()) {
        (None, true) => {}
        (None, false) => {
            state.log.drop_backlog();
            state.log.restart(0);
        }
        (Some(place), true) => {
            state.replication.adopt(place.id);
            state.replication.set_has_history(true);
            state.replication.stream_database.store(place.database, Ordering::Release);
            state.log.restart(place.offset);
        }
        (Some(place), false) => {
            // Those who followed it before the end can go on, but with what is done from now on in a history of its own.
            state.replication.succeed(place.id, place.offset);
            state.log.keep_backlog(bytes);
            state.log.rebase(place.offset);
        }
    }
    drop(all);
}

/// Loads the append-only file, as [`start`] does with the database file, and has it written from then on. If that cannot be
/// done, the process ends.
fn start_append_file(state: &Arc<State>) -> io::Result<Option<oneshot::Receiver<()>>> {
    let end = |error: &dyn fmt::Display| -> ! {
        tracing::warn!("{error}");
        std::process::exit(1);
    };
    let manifest = append_file::load::find(state).unwrap_or_else(|error| end(&error));
    let bytes = append_file::load::total_size(state, &manifest).unwrap_or_else(|error| end(&error));
    state.loading.begin(bytes);
    let run = move |state: &Arc<State>| {
        let begun = Instant::now();
        let has_files = !manifest.is_empty();
        if let Err(error) = append_file::load::load(state, &manifest) {
            end(&error);
        }
        if has_files {
            tracing::info!("DB loaded from append only file: {:.3} seconds", begun.elapsed().as_secs_f64());
        }
        go_on_from_place(state);
        let started = append_file::load::total_size(state, &manifest)
            .map_err(|error| error.to_string())
            .and_then(|bytes| append_file::start(state, manifest, bytes).map_err(|error| error_text(&error)));
        if let Err(error) = started {
            end(&format!("Can't open the append-only file: {error}"));
        }
        memory::publish();
    };
    if is_short(state, bytes) {
        run(state);
        return Ok(None);
    }
    state.loading.is_on.store(true, Ordering::Relaxed);
    let (done, ended) = oneshot::channel();
    let state = Arc::clone(state);
    memory::spawn("loading", move || {
        run(&state);
        state.loading.is_on.store(false, Ordering::Relaxed);
        // Nobody waits for it when the process ends.
        let _ = done.send(());
    })?;
    Ok(Some(ended))
}

/// What a replica does with what it has while other data come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// It is removed before.
    Before,
    /// It is kept until all have come, but clients are told to wait.
    Behind,
    /// It is served until all have come.
    Served,
}

/// Data of a primary are loaded so.
const RECEIVED: Options = Options { keeps_expired: true, replaces: false, logs_expired: false, adds_libraries: false };

/// Begins to load data that come from elsewhere in place of those that are there, on a thread of its own, and returns what
/// tells of the end. What is there is removed in the background if that is wanted (`is_lazy`).
pub fn receive(
    state: &Arc<State>,
    input: impl Read + Send + 'static,
    bytes: u64,
    replacement: Replacement,
    is_lazy: bool,
) -> io::Result<oneshot::Receiver<Result<(), LoadError>>> {
    state.loading.begin(bytes);
    state.loading.note_under_way(replacement, true);
    let (done, ended) = oneshot::channel();
    let state = Arc::clone(state);
    memory::spawn("loading", move || {
        let result = if replacement == Replacement::Before {
            command::database::empty(&state, is_lazy);
            let loaded = load(&state, input, &mut &state.keyspace, RECEIVED);
            loaded.map(|libraries| state.scripts.libraries.set(libraries))
        } else {
            let databases = state.keyspace.databases();
            let mut aside: Vec<Shard> = (0..state.keyspace.shard_count()).map(|_| Shard::new(databases)).collect();
            let result = load(&state, input, &mut aside, RECEIVED);
            if let Err(LoadError::Read(error, offset)) = &result {
                tracing::warn!("Internal error in RDB reading offset {offset} -> {error}");
            }
            result.map(|libraries| {
                // The data are those of no history until whoever has received them says of which.
                state.replication.set_has_history(false);
                command::database::replace(&state, aside, libraries, is_lazy);
            })
        };
        state.loading.note_under_way(replacement, false);
        memory::publish();
        // Nobody waits for it when the process ends.
        let _ = done.send(result);
    })?;
    Ok(ended)
}

/// Loads data that have come from elsewhere in place of those that are there, if they are few: everybody waits meanwhile. `None`
/// if they are not.
pub fn receive_at_once(state: &State, input: impl Read, bytes: u64, is_lazy: bool) -> Option<Result<(), LoadError>> {
    if !is_short(state, bytes) {
        return None;
    }
    state.loading.begin(bytes);
    let mut all = state.keyspace.lock(state.keyspace.all_shards());
    let emptied = command::database::empty_locked(state, &mut all);
    let result = load(state, input, &mut all, RECEIVED).map(|libraries| state.scripts.libraries.set(libraries));
    drop(all);
    emptied.free(state, is_lazy);
    memory::publish();
    Some(result)
}

/// Ends the process because its data cannot be had.
fn end(error: &LoadError) -> ! {
    error.log();
    std::process::exit(1);
}

/// Loads the database file into shards that are held (`DEBUG RELOAD`). As in Redis, the process ends if what is there cannot
/// be loaded. Errors: there is no file that can be opened, or it has a library that cannot be loaded.
pub fn reload(state: &State, locked: &mut Locked<'_>, options: Options) -> io::Result<()> {
    let (file, bytes) = saving::open(state)?;
    state.loading.begin(bytes);
    match load(state, file, locked, options) {
        Ok(libraries) => state.scripts.libraries.set(libraries),
        Err(error @ LoadError::Library(_)) => {
            error.log();
            return Err(io::ErrorKind::InvalidData.into());
        }
        Err(error) => end(&error),
    }
    Ok(())
}

/// Loads the append-only file in place of what is there, while clients are told to wait (`DEBUG LOADAOF`). The caller holds no
/// shard.
pub fn reload_append_file(state: &Arc<State>) -> Result<(), AppendFileError> {
    let manifest = append_file::load::find(state)?;
    state.loading.begin(append_file::load::total_size(state, &manifest)?);
    state.loading.is_on.store(true, Ordering::Relaxed);
    crate::command::database::empty(state, false);
    let result = append_file::load::load(state, &manifest);
    state.loading.is_on.store(false, Ordering::Relaxed);
    result
}

/// Loads a stream of RDB data and tells the log about it. Returns the libraries of functions that there are then.
pub fn load(state: &State, input: impl Read, shards: &mut impl Shards, options: Options) -> Result<Catalog, LoadError> {
    load_head(state, input, shards, options).map(|head| head.libraries)
}

/// What the RDB data at the begin of a stream were.
pub struct Head<R> {
    pub libraries: Catalog,
    /// What follows, and at which byte.
    pub rest: R,
    pub offset: u64,
}

/// Loads the RDB data that a stream begins with.
pub fn load_head<R: Read, S: Shards>(
    state: &State,
    input: R,
    shards: &mut S,
    options: Options,
) -> Result<Head<impl Read + use<R, S>>, LoadError> {
    let settings = &state.settings;
    let now_ms = unix_time_ms();
    let checks = settings.flag(Directive::Rdbchecksum) && !state.skips_payload_checksums.load(Ordering::Relaxed);
    let any_version = settings.int(Directive::RdbVersionCheck) != 0;
    let mut reader = FileReader::new(input, forms::all(state, now_ms), checks, any_version)
        .map_err(|error| LoadError::Read(error, 0))?;
    let loading = &state.loading;
    let mut loader = Loader { state, shards, options, now_ms, database: 0 };
    let mut place = Place::default();
    let mut has_offset = false;
    let mut empty_keys = 0;
    let mut libraries =
        if options.adds_libraries { state.scripts.libraries.get().as_ref().clone() } else { Catalog::default() };
    loop {
        let part = reader.read_next();
        loading.loaded_bytes.store(reader.offset(), Ordering::Relaxed);
        match part.map_err(|error| LoadError::Read(error, reader.offset()))? {
            Part::Aux(name, value) => {
                let value = String::from_utf8_lossy(&value);
                match name.as_slice() {
                    b"repl-stream-db" => place.database = value.parse().unwrap_or(0),
                    b"repl-id" => place.id = value.into_owned(),
                    b"repl-offset" => {
                        place.offset = value.parse().unwrap_or(0);
                        has_offset = value.parse::<u64>().is_ok();
                    }
                    _ => tell_of_field(state, &name, &value),
                }
            }
            Part::Library(text) => {
                let loaded = libraries.load(&state.scripts, &text, options.replaces, None);
                loaded.map_err(|error| LoadError::Library(String::from_utf8_lossy(&error).into_owned()))?;
            }
            Part::Database(number) => {
                let databases = state.keyspace.databases();
                loader.database = usize::try_from(number)
                    .ok()
                    .filter(|number| *number < databases)
                    .ok_or(LoadError::Databases(databases))?;
            }
            Part::Record(Record { key, value: Loaded::Empty, .. }) => {
                if empty_keys < EMPTY_KEYS_LOGGED {
                    tracing::warn!("rdbLoadObject skipping empty key: {}", key.escape_ascii());
                }
                empty_keys += 1;
            }
            Part::Record(record) => {
                loader.add(record)?;
                delay::after_key(settings, Directive::KeyLoadDelay, || false);
            }
            Part::End { lacks_checksum } => {
                if lacks_checksum {
                    tracing::info!("RDB file was saved with checksum disabled: no check performed.");
                }
                break;
            }
        }
    }
    if has_offset && place.is_valid() && place.database < state.keyspace.databases() {
        loading.note_place(place);
    }
    let (loaded, expired) = (loading.keys_loaded(), loading.keys_expired());
    if empty_keys > 0 {
        tracing::warn!(
            "Done loading RDB, keys loaded: {loaded}, keys expired: {expired}, empty keys skipped: {empty_keys}."
        );
    } else {
        tracing::info!("Done loading RDB, keys loaded: {loaded}, keys expired: {expired}.");
    }
    let offset = reader.offset();
    Ok(Head { libraries, rest: reader.into_rest(), offset })
}

/// Tells the log what a file says of itself.
fn tell_of_field(state: &State, name: &[u8], value: &str) {
    let number = || value.parse::<u64>().unwrap_or(0);
    match name {
        [b'%', ..] => tracing::info!("RDB '{}': {value}", name.escape_ascii()),
        b"redis-ver" | b"valkey-ver" => tracing::info!("Loading RDB produced by version {value}"),
        b"ctime" => {
            let age_s = (unix_time_ms() / 1000).saturating_sub_unsigned(number()).max(0);
            tracing::info!("RDB age {age_s} seconds");
        }
        b"used-mem" => {
            state.loading.file_memory.store(number(), Ordering::Relaxed);
            tracing::info!("RDB memory usage when created {:.2} Mb", number() as f64 / f64::from(1 << 20));
        }
        b"aof-preamble" if number() != 0 => tracing::info!("RDB has an AOF tail"),
        b"aof-base" if number() != 0 => tracing::info!("RDB is base AOF"),
        _ => tracing::debug!("RDB field '{}' is ignored", name.escape_ascii()),
    }
}

/// Puts records where they belong.
struct Loader<'a, S> {
    state: &'a State,
    shards: &'a mut S,
    options: Options,
    now_ms: i64,
    database: usize,
}

impl<S: Shards> Loader<'_, S> {
    fn add(&mut self, record: Record) -> Result<(), LoadError> {
        let loading = &self.state.loading;
        let is_over = matches!(record.value, Loaded::Over)
            || !self.options.keeps_expired && record.deadline_ms.is_some_and(|deadline| deadline < self.now_ms);
        if is_over {
            count(&loading.keys_expired);
            if self.options.logs_expired {
                removal::log(self.state, self.database, &record.key);
            }
            return Ok(());
        }
        let Record { key, deadline_ms, usage, value } = record;
        let clock = self.clock(usage);
        let is_new = match value {
            Loaded::String(bytes) => self.put_string(&key, &bytes, deadline_ms, clock),
            Loaded::Collection(value) => {
                let mut packed = Vec::new();
                let payload = match value.pack(&mut packed, PACKED_BYTES_MAX) {
                    Some(kind) => NewPayload::Inline { kind: kind as u8, bytes: &packed },
                    None => NewPayload::Boxed(Box::new(value)),
                };
                self.put(&key, payload, deadline_ms, clock)
            }
            Loaded::Over | Loaded::Empty => return Ok(()),
        };
        count(&loading.keys_loaded);
        if is_new || self.options.replaces { Ok(()) } else { Err(LoadError::Duplicate(key, self.database)) }
    }

    /// The access clock of a record, as far as its file and the policy of eviction have something to say of it.
    fn clock(&self, usage: Option<Usage>) -> u32 {
        let settings = &self.state.settings;
        match (usage, access::counts_frequency(settings)) {
            (Some(Usage::Frequency(counter)), true) => access::with_frequency(counter.into(), self.now_ms),
            (Some(Usage::Idle(seconds)), false) => {
                access::idle_for(i64::try_from(seconds).unwrap_or(i64::MAX), self.now_ms)
            }
            _ => access::created(settings, self.now_ms),
        }
    }

    fn put_string(&mut self, key: &[u8], bytes: &[u8], deadline_ms: Option<i64>, clock: u32) -> bool {
        let threshold = self.state.settings.int(Directive::CompressionThreshold) as usize;
        let string = NewString::classify(bytes, threshold);
        let stored_len = string.stored_len();
        let is_new = match string {
            NewString::Inline(kind, bytes) => {
                self.put(key, NewPayload::Inline { kind: kind as u8, bytes: &bytes }, deadline_ms, clock)
            }
            NewString::Boxed(long) => {
                self.put(key, NewPayload::Boxed(Box::new(Value::String(long))), deadline_ms, clock)
            }
        };
        if threshold != 0 && bytes.len() > threshold {
            self.state.compression.note_put(self.database, key, bytes, stored_len);
        }
        is_new
    }

    /// Puts a record there; whether its key is new.
    fn put(&mut self, key: &[u8], payload: NewPayload<'_, Value>, deadline_ms: Option<i64>, clock: u32) -> bool {
        let (keyspace, database) = (&self.state.keyspace, self.database);
        let key: Key<'_> = keyspace.key(key);
        self.shards.with(keyspace.shard_of(key), |shard| {
            let tree = &mut shard.databases[database];
            let len = tree.len();
            let (position, displaced) = tree.put(key, payload, deadline_ms, clock);
            let is_new = tree.len() > len;
            if let Some(displaced) = displaced {
                shard.forget_fields(database, key.bytes, &displaced);
            }
            shard.note_fields(database, position, key.bytes);
            is_new
        })
    }
}
