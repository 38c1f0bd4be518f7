//! The append-only file (`appendonly`): every effect in the order of the log, on the disk as soon as `appendfsync` promises.
//!
//! A thread of its own reads the log and writes ([`writer`]), so that no client waits for the disk unless it was promised to
//! (`appendfsync always`): then replies wait until what they tell of has been synced ([`AppendFile::is_durable`]), all that wait
//! sharing one sync. Else what comes now and then is written at once, and what comes all the time is gathered for up to 10 ms.
//! A rewrite ([`rewrite`]) makes a new base out of a snapshot, while what happens meanwhile goes to a new increment.

pub mod load;
pub mod rewrite;
#[cfg(test)]
mod tests;
mod writer;

use crate::client::{Client, Message};
use crate::config::{AppendFsync, Directive, error_text};
use crate::log::{Reader, ReaderKind};
use crate::persistence::aof::manifest::{Manifest, Part};
use crate::persistence::disk::DiskFile;
use crate::state::{State, unix_time_ms};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, Ordering, fence};

/// Bytes of the log that may wait to be written before writers are held back.
const BEHIND_BYTES_MAX: u64 = 256 << 20;

/// How long the end of the process waits for the note that it leaves in the file.
const NOTE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// What the thread that writes is told.
enum Order {
    /// What comes from this offset on goes to another file.
    Switch { at: u64, file: Box<dyn DiskFile> },
    /// Everything up to this offset is to be on the disk.
    Sync(u64),
    /// What is no command is to be in the file behind this offset.
    Note(u64, String),
}

/// How rewrites went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rewrites {
    /// Unix time in milliseconds at which the one began that is under way.
    pub begun_ms: Option<i64>,
    /// One is to begin as soon as it can.
    pub is_scheduled: bool,
    /// The one that is under way makes the first base: without it nothing can be loaded.
    pub is_first: bool,
    /// Unix time in milliseconds at which one is to begin, because the one with which the file was to begin has failed.
    retry_ms: Option<i64>,
    pub has_failed: bool,
    /// How long the last one took, in seconds.
    pub last_s: Option<i64>,
    pub count: u64,
    pub failures: u64,
}

/// The append-only file, as all threads see it.
#[derive(Default)]
pub struct AppendFile {
    is_on: AtomicBool,
    /// Rises when it is switched off: the thread that writes has nothing to do any more.
    generation: AtomicU64,
    /// Replies wait for the disk.
    is_always: AtomicBool,
    /// Log offsets up to which everything is in the file, and on the disk for good.
    written: AtomicU64,
    durable: AtomicU64,
    /// The system's number of the error because of which nothing can be written; 0 if there is none.
    error: AtomicI32,
    /// Bytes of all its files, and of them when they were last rewritten.
    size: AtomicU64,
    base_size: AtomicU64,
    /// Syncs that came late.
    pub delayed_syncs: AtomicU64,
    /// Microseconds that the thread sleeps before each write (`DEBUG AOF-FLUSH-SLEEP`).
    pub sleep_us: AtomicI64,
    manifest: Mutex<Manifest>,
    rewrites: Mutex<Rewrites>,
    reader: Mutex<Option<Arc<Reader>>>,
    orders: Mutex<VecDeque<Order>>,
    told: Condvar,
    /// The end of the log at which the thread wants to be told.
    wanted: AtomicU64,
    /// Clients whose replies wait for the disk.
    waiting: Mutex<Vec<Arc<Client>>>,
    /// The note that was ordered is in the file.
    is_noted: AtomicBool,
    /// Something has become durable, or the thread has ended.
    settled: Condvar,
    settled_lock: Mutex<()>,
}

impl AppendFile {
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Whether what is before `offset` of the log is where replies promise it to be.
    #[inline]
    pub fn is_durable(&self, offset: u64) -> bool {
        !self.is_always.load(Ordering::Relaxed) || self.durable.load(Ordering::Acquire) >= offset
    }

    /// The offset of the log up to which everything is on the disk for good.
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Has `client` be told when more has become durable.
    pub fn wake_when_durable(&self, client: &Arc<Client>) {
        let mut waiting = self.waiting.lock();
        if !waiting.iter().any(|other| Arc::ptr_eq(other, client)) {
            waiting.push(Arc::clone(client));
        }
    }

    /// Why writes are refused, if they are.
    pub fn error(&self) -> Option<io::Error> {
        match self.error.load(Ordering::Relaxed) {
            0 => None,
            number => Some(io::Error::from_raw_os_error(number)),
        }
    }

    pub fn rewrites(&self) -> Rewrites {
        *self.rewrites.lock()
    }

    /// Bytes of all its files.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// Bytes of its files when they were last rewritten.
    pub fn base_size(&self) -> u64 {
        self.base_size.load(Ordering::Relaxed)
    }

    /// Bytes of the log that are not written yet.
    pub fn behind(&self, state: &State) -> u64 {
        let behind = |reader: &Arc<Reader>| state.log.end().saturating_sub(reader.position()) + state.log.aside_bytes();
        self.reader.lock().as_ref().map_or(0, behind)
    }

    /// Waits while too much waits to be written. The caller holds no locks.
    #[inline]
    pub fn hold_back(&self, state: &State) {
        let behind = || state.log.end().saturating_sub(self.written.load(Ordering::Relaxed)) + state.log.aside_bytes();
        if self.is_on() && behind() > BEHIND_BYTES_MAX {
            self.wait_for_room(state);
        }
    }

    #[cold]
    fn wait_for_room(&self, state: &State) {
        let begun = std::time::Instant::now();
        while self.is_on() && self.behind(state) > BEHIND_BYTES_MAX && begun.elapsed().as_secs() < 1 {
            state.log.wake_readers();
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// Gives the thread an order.
    fn order(&self, order: Order) {
        self.orders.lock().push_back(order);
        self.told.notify_one();
    }

    /// Tells the thread that the log has something for it before `end`, if it waits for that much.
    fn tell(&self, end: u64) {
        // What was appended before is seen by a thread whose wish is not seen here.
        fence(Ordering::SeqCst);
        if end >= self.wanted.load(Ordering::Relaxed) {
            self.wanted.store(u64::MAX, Ordering::Relaxed);
            // Behind the lock: it is about to wait, or waits.
            drop(self.orders.lock());
            self.told.notify_one();
        }
    }

    /// Notes that everything before `offset` is on the disk, and tells those who wait for it.
    fn settle(&self, offset: u64) {
        self.durable.fetch_max(offset, Ordering::AcqRel);
        let waiting = std::mem::take(&mut *self.waiting.lock());
        waiting.iter().for_each(|client| client.mailbox.post(Message::Wake));
        drop(self.settled_lock.lock());
        self.settled.notify_all();
    }
}

/// The directory that its files are in.
fn directory(state: &State) -> PathBuf {
    let name = String::from_utf8_lossy(&state.settings.string(Directive::Appenddirname)).into_owned();
    state.settings.resolve(name.as_ref())
}

/// The name that the names of its files begin with.
fn file_name(state: &State) -> String {
    String::from_utf8_lossy(&state.settings.string(Directive::Appendfilename)).into_owned()
}

fn manifest_name(state: &State) -> String {
    format!("{}.manifest", file_name(state))
}

/// Writes the manifest in place of the one that is there.
fn store_manifest(state: &State, manifest: &Manifest) -> io::Result<()> {
    let directory = directory(state);
    let (name, text) = (manifest_name(state), manifest.to_string());
    // The names that it has must last when it does.
    state.disk.sync_directory(&directory)?;
    let temporary = directory.join(format!("temp-{name}"));
    let mut file = state.disk.create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync()?;
    state.disk.rename(&temporary, &directory.join(name))?;
    state.disk.sync_directory(&directory)
}

/// Removes the files that the manifest keeps as history, and then them from it.
fn remove_history(state: &State, manifest: &mut Manifest) -> io::Result<()> {
    if manifest.history.is_empty() || state.settings.flag(Directive::AofDisableAutoGc) {
        return Ok(());
    }
    for part in std::mem::take(&mut manifest.history) {
        tracing::info!(target: "notice", "Removing the history file {} in the background", part.name);
        match state.disk.remove(&directory(state).join(&part.name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    store_manifest(state, manifest)
}

/// Makes the next increment, and adds it to the manifest.
fn new_increment(state: &State, manifest: &mut Manifest) -> io::Result<Box<dyn DiskFile>> {
    let number = manifest.next_increment();
    let name = format!("{}.{number}.incr.aof", file_name(state));
    let file = state.disk.create(&directory(state).join(&name))?;
    manifest.increments.push(Part { name, number });
    Ok(file)
}

/// Whether every reply waits for the disk.
fn is_always(state: &State) -> bool {
    state.settings.choice::<AppendFsync>(Directive::Appendfsync) == AppendFsync::Always
}

/// Has a change of `appendfsync` count.
pub fn note_policy(state: &State) {
    let file = &state.append_file;
    file.is_always.store(file.is_on() && is_always(state), Ordering::Relaxed);
    if !is_always(state) {
        file.settle(file.durable());
    }
    file.tell(u64::MAX);
}

/// Goes on with the files that were loaded, or begins new ones. Called when nobody changes data yet. Errors: a file cannot be
/// made.
pub fn start(state: &Arc<State>, manifest: Manifest, size: u64) -> io::Result<()> {
    let mut manifest = manifest;
    let directory = directory(state);
    state.disk.create_directory(&directory)?;
    if manifest.is_empty() {
        // As Redis has it, a base without data comes first.
        let mut output = state.disk.create(&directory.join(rewrite::base_name(state, 1)))?;
        rewrite::write_nothing(state, &mut output)?;
        output.sync()?;
        let part = Part { name: rewrite::base_name(state, 1), number: 1 };
        tracing::info!(target: "notice", "Creating AOF base file {} on server start", part.name);
        manifest.base = Some(part);
    }
    for part in manifest.base.iter().chain(&manifest.increments) {
        // Whoever wrote it may have been killed before it was synced, and what follows must not outlive it.
        state.disk.append(&directory.join(&part.name))?.sync()?;
    }
    let file = match manifest.increments.last() {
        Some(last) => state.disk.append(&directory.join(&last.name))?,
        None => {
            let file = new_increment(state, &mut manifest)?;
            let name = manifest.increments.last().map_or("", |part| part.name.as_str());
            tracing::info!(target: "notice", "Creating AOF incr file {name} on server start");
            file
        }
    };
    store_manifest(state, &manifest)?;
    remove_history(state, &mut manifest)?;
    let all = state.keyspace.lock(state.keyspace.all_shards());
    *state.append_file.manifest.lock() = manifest;
    state.append_file.size.store(size, Ordering::Relaxed);
    state.append_file.base_size.store(size, Ordering::Relaxed);
    let begun = begin(state, file);
    drop(all);
    begun
}

/// Writes to `file` from now on; all shards are held.
fn begin(state: &Arc<State>, file: Box<dyn DiskFile>) -> io::Result<()> {
    let append_file = &state.append_file;
    let waker = Arc::downgrade(state);
    let wake = Box::new(move || {
        if let Some(state) = waker.upgrade() {
            state.append_file.tell(state.log.end());
        }
    });
    let end = state.log.end();
    let reader = state.log.open(ReaderKind::File, end, wake).ok_or_else(|| io::Error::other("the log has no end"))?;
    state.log.forget_database();
    append_file.written.store(end, Ordering::Relaxed);
    append_file.durable.store(end, Ordering::Release);
    append_file.error.store(0, Ordering::Relaxed);
    *append_file.reader.lock() = Some(Arc::clone(&reader));
    append_file.orders.lock().clear();
    append_file.is_on.store(true, Ordering::Relaxed);
    append_file.is_always.store(is_always(state), Ordering::Relaxed);
    let (thread, generation) = (Arc::clone(state), append_file.generation.load(Ordering::Acquire));
    crate::memory::spawn("append-file", move || writer::run(&thread, &reader, file, generation))
}

/// `CONFIG SET appendonly yes`: begins with a base of what is there, in a transaction when that is over. Errors: that cannot be
/// begun.
pub fn enable(state: &State, in_transaction: bool) -> Result<(), String> {
    if state.append_file.is_on() || state.loading.is_on() {
        return Ok(());
    }
    let failed = |error: io::Error| {
        tracing::warn!("The append-only file cannot be begun: {}", error_text(&error));
        "Unable to turn on AOF. Check server logs.".to_owned()
    };
    state.disk.create_directory(&directory(state)).map_err(failed)?;
    if state.keyspace.snapshot_progress().is_some() {
        tracing::warn!(
            "AOF was enabled but there is already another background operation. An AOF background was scheduled to start when \
             possible."
        );
    } else if in_transaction {
        // The snapshot that it begins with takes all shards.
        tracing::warn!("AOF was enabled during a transaction. An AOF background was scheduled to start when possible.");
    }
    rewrite::begin(&state.to_shared().map_err(failed)?);
    Ok(())
}

/// `CONFIG SET appendonly no`: what there is stays as it is.
pub fn disable(state: &State) {
    let append_file = &state.append_file;
    let mut rewrites = append_file.rewrites.lock();
    (rewrites.is_scheduled, rewrites.retry_ms) = (false, None);
    drop(rewrites);
    if !append_file.is_on() {
        return;
    }
    tracing::info!(target: "notice", "Stopping the append-only file");
    if append_file.rewrites().begun_ms.is_some() {
        tracing::info!(target: "notice", "Killing running AOF rewrite child");
    }
    flush(state);
    stop(state);
}

/// Has nothing be written any more.
fn stop(state: &State) {
    let append_file = &state.append_file;
    append_file.is_on.store(false, Ordering::Relaxed);
    append_file.is_always.store(false, Ordering::Relaxed);
    append_file.error.store(0, Ordering::Relaxed);
    append_file.generation.fetch_add(1, Ordering::AcqRel);
    drop(append_file.orders.lock());
    append_file.told.notify_all();
    if let Some(reader) = append_file.reader.lock().take() {
        state.log.close(&reader);
    }
    append_file.settle(0);
}

/// Waits until everything that the log has now is on the disk, as far as the disk takes it.
pub fn flush(state: &State) {
    let append_file = &state.append_file;
    if !append_file.is_on() {
        return;
    }
    let end = state.log.end();
    append_file.order(Order::Sync(end));
    let mut lock = append_file.settled_lock.lock();
    while append_file.durable() < end && append_file.error().is_none() && append_file.is_on() {
        append_file.settled.wait_for(&mut lock, std::time::Duration::from_millis(100));
    }
}

/// Has everything on the disk, and that this is all, with its place in the history of the data: for as long as nothing follows,
/// whoever loads the file can go on where it ends. All shards are locked.
pub fn close(state: &State) {
    flush(state);
    let append_file = &state.append_file;
    if let Some(place) = crate::saving::place(state)
        && append_file.error().is_none()
    {
        append_file.is_noted.store(false, Ordering::Relaxed);
        append_file.order(Order::Note(place.offset, place.note()));
        let mut lock = append_file.settled_lock.lock();
        let begun = std::time::Instant::now();
        let is_noted = || append_file.is_noted.load(Ordering::Acquire);
        while !is_noted() && append_file.error().is_none() && begun.elapsed() < NOTE_PATIENCE {
            append_file.settled.wait_for(&mut lock, std::time::Duration::from_millis(10));
        }
    }
}

/// Begins a rewrite if the file has grown as much as the configuration says, or one was put off. Called now and then.
pub fn look_after(state: &Arc<State>) {
    let append_file = &state.append_file;
    let rewrites = append_file.rewrites();
    if rewrites.begun_ms.is_some() || state.keyspace.snapshot_progress().is_some() {
        return;
    }
    if rewrites.is_scheduled || rewrites.retry_ms.is_some_and(|at_ms| at_ms <= unix_time_ms()) {
        rewrite::begin(state);
        return;
    }
    if !append_file.is_on() {
        return;
    }
    let percentage = state.settings.int(Directive::AutoAofRewritePercentage) as u64;
    let (size, base) = (append_file.size(), append_file.base_size().max(1));
    let min = state.settings.int(Directive::AutoAofRewriteMinSize) as u64;
    let growth = (size * 100 / base).saturating_sub(100);
    if percentage > 0 && size > min && growth >= percentage {
        tracing::info!(target: "notice", "Starting automatic rewriting of AOF on {growth}% growth");
        rewrite::begin(state);
    }
}

/// Seconds that the rewrite has taken which is under way.
pub fn rewrite_seconds(rewrites: &Rewrites) -> Option<i64> {
    rewrites.begun_ms.map(|begun_ms| (unix_time_ms() - begun_ms) / 1000)
}
