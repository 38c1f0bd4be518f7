//! Saves in the background (`BGSAVE`, save points): a snapshot, which a thread of its own writes while clients go on.

use super::body::Body;
use super::encoder::Encoder;
use super::file::{self, Target};
use super::{Output, SaveFailed, begin};
use crate::config::Directive;
use crate::delay;
use crate::persistence::pieces::Pieces;
use crate::state::{State, unix_time_ms};
use crate::stats::Figure;
use crate::store::snapshot::{Image, Step};
use crate::store::{Locked, Snapshot};
use crate::value::ValueRef;
use parking_lot::Mutex;
use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Seconds after a failed save before another one is begun by itself.
const RETRY_DELAY_S: i64 = 5;
/// How long the end of the process waits for a save that it has cancelled.
const PATIENCE: Duration = Duration::from_secs(1);

/// Saves in the background: the one that runs, and how those before went.
#[derive(Default)]
pub struct Background {
    jobs: OnceLock<Sender<Job>>,
    /// The number of the thread, as the system has it, which is in the name of its files.
    thread: AtomicU64,
    /// What the one that runs, or the latest one, writes.
    target: Mutex<Option<Target>>,
    /// Whether one is running, and since when, in seconds of Unix time.
    is_running: AtomicBool,
    since_s: AtomicI64,
    /// One is to be begun as soon as possible.
    is_scheduled: AtomicBool,
    /// When one was last begun, in seconds of Unix time.
    last_try_s: AtomicI64,
    /// How long the latest one took; -1 if there was none.
    last_seconds: Last,
    /// The latest one has failed.
    has_failed: AtomicBool,
    keys: AtomicU64,
    keys_done: AtomicU64,
    /// Bytes of keys and values that were copied because they changed before their turn, for the one that runs and the latest.
    /// They take less memory if they are compressed. What is too large to be copied at once is not counted.
    kept_bytes: Arc<AtomicU64>,
    last_kept_bytes: AtomicU64,
    /// Those that were begun since the start.
    begun: AtomicU64,
    /// Microseconds for which the latest one held all shards.
    moment_us: AtomicU64,
}

/// A number of seconds that is not known at first.
struct Last(AtomicI64);

impl Default for Last {
    fn default() -> Self {
        Last(AtomicI64::new(-1))
    }
}

/// What `INFO` tells of saves in the background.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub is_running: bool,
    pub has_failed: bool,
    pub last_seconds: i64,
    /// How long the one that runs has taken; -1 if there is none.
    pub current_seconds: i64,
    pub keys: u64,
    pub keys_done: u64,
    pub kept_bytes: u64,
    pub last_kept_bytes: u64,
    pub begun: u64,
    pub moment_us: u64,
}

/// What the thread is given.
struct Job {
    snapshot: Snapshot,
    /// What the file begins with.
    head: Vec<u8>,
    /// Changes that the snapshot has.
    changes: u64,
    target: Target,
}

/// Why no save was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// One is running.
    Running,
    /// There is a snapshot for something else.
    Busy,
    /// The server is not serving yet.
    NotReady,
}

impl Background {
    pub fn figures(&self) -> Figures {
        let load = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let is_running = self.is_running();
        Figures {
            is_running,
            has_failed: self.has_failed(),
            last_seconds: self.last_seconds.0.load(Ordering::Relaxed),
            current_seconds: if is_running { now_s() - self.since_s.load(Ordering::Relaxed) } else { -1 },
            keys: if is_running { load(&self.keys) } else { 0 },
            keys_done: if is_running { load(&self.keys_done) } else { 0 },
            kept_bytes: if is_running { load(&self.kept_bytes) } else { 0 },
            last_kept_bytes: load(&self.last_kept_bytes),
            begun: load(&self.begun),
            moment_us: load(&self.moment_us),
        }
    }

    pub fn is_running(&self) -> bool {
        self.is_running.load(Ordering::Acquire)
    }

    /// Whether the latest save in the background has failed, and none in the foreground has been well since.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    pub(super) fn forgive(&self) {
        self.has_failed.store(false, Ordering::Relaxed);
    }

    /// Has a save begin as soon as possible.
    pub fn schedule(&self) {
        self.is_scheduled.store(true, Ordering::Relaxed);
    }

    /// Takes back a save that is to begin; false if none is.
    pub fn unschedule(&self) -> bool {
        self.is_scheduled.swap(false, Ordering::Relaxed)
    }

    /// Whether a save may begin by itself: a while after one that has failed.
    fn may_try(&self) -> bool {
        !self.has_failed() || now_s() - self.last_try_s.load(Ordering::Relaxed) > RETRY_DELAY_S
    }
}

fn now_s() -> i64 {
    unix_time_ms() / 1000
}

thread_local! {
    /// Whether this is the thread that walks: what others hand over, they do because it changes.
    static WALKS: Cell<bool> = const { Cell::new(false) };
}

/// Bytes of a value: of a string those that clients see, whether or not it is compressed, and of a collection its memory.
fn bytes_of(value: ValueRef<'_>) -> usize {
    match (value.as_string(), value) {
        (Some(string), _) => string.len(),
        (None, ValueRef::Inline(_, bytes)) => bytes.len(),
        (None, ValueRef::Boxed(_)) => value.memory(1),
    }
}

/// Makes records for a snapshot, and counts what is kept aside.
struct CountingEncoder {
    encoder: Encoder,
    kept_bytes: Arc<AtomicU64>,
}

impl Image for CountingEncoder {
    fn record(
        &self,
        out: &mut Pieces<'_>,
        _: usize,
        key: &[u8],
        deadline_ms: Option<i64>,
        clock: u32,
        value: ValueRef<'_>,
    ) {
        self.encoder.record(out, key, deadline_ms, clock, value);
        if !WALKS.get() {
            self.kept_bytes.fetch_add((key.len() + bytes_of(value)) as u64, Ordering::Relaxed);
        }
    }
}

/// Starts the thread that writes. It ends with the process.
pub fn start(state: Arc<State>) -> io::Result<()> {
    let (sender, receiver) = channel();
    let waiting = Arc::clone(&state);
    std::thread::Builder::new().name("saving".into()).spawn(move || run(&waiting, &receiver))?;
    state.saving.background.jobs.set(sender).map_err(|_| io::Error::other("the server runs already"))
}

fn run(state: &State, jobs: &Receiver<Job>) {
    WALKS.set(true);
    state.saving.background.thread.store(crate::process::thread_id(), Ordering::Relaxed);
    for job in jobs {
        let background = &state.saving.background;
        let (changes, target) = (job.changes, job.target.clone());
        let written = file::write(state, &target, |output| write_snapshot(state, job, output));
        background.last_seconds.0.store(now_s() - background.since_s.load(Ordering::Relaxed), Ordering::Relaxed);
        background.last_kept_bytes.store(background.kept_bytes.load(Ordering::Relaxed), Ordering::Relaxed);
        match written {
            Ok(()) => {
                tracing::info!("Background saving terminated with success");
                state.saving.note_saved(changes);
            }
            Err(SaveFailed) if target.is_cancelled() => tracing::warn!("Background saving terminated by user request"),
            Err(SaveFailed) => {
                tracing::warn!("Background saving error");
                background.has_failed.store(true, Ordering::Relaxed);
            }
        }
        background.is_running.store(false, Ordering::Release);
        crate::memory::publish();
    }
}

/// Writes what a snapshot hands over.
fn write_snapshot(state: &State, job: Job, output: &mut Output) -> io::Result<()> {
    let Job { mut snapshot, head, target, .. } = job;
    let background = &state.saving.background;
    output.write(&head)?;
    let mut body = Body::new(snapshot.counts(), output);
    let mut records = Vec::new();
    loop {
        match snapshot.next(&mut records, &mut |database, bytes| body.add(database, bytes)) {
            Step::Records { database } => body.add(database, &mut records),
            Step::Done => break,
            Step::Aborted => return Err(io::ErrorKind::Interrupted.into()),
        }
        body.check()?;
        let done = snapshot.progress().keys_done;
        for _ in background.keys_done.swap(done, Ordering::Relaxed)..done {
            delay::after_key(&state.settings, Directive::RdbKeySaveDelay, || target.is_cancelled());
        }
        if target.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    body.finish()
}

/// Begins a save in the background. All shards are held. `uncounted`: changes of the running command, which are saved as well.
pub fn save_in_background(state: &State, locked: &mut Locked<'_>, uncounted: u64) -> Result<(), Refusal> {
    let background = &state.saving.background;
    let jobs = background.jobs.get().ok_or(Refusal::NotReady)?;
    if background.is_running() {
        return Err(Refusal::Running);
    }
    let begun = Instant::now();
    let (encoder, kept_bytes) = (Encoder::new(&state.settings), Arc::clone(&background.kept_bytes));
    let field_deadlines = super::has_field_deadlines(state, locked).then(|| encoder.field_deadlines());
    let image = Box::new(CountingEncoder { encoder, kept_bytes });
    let snapshot = Snapshot::begin(locked, image).ok_or(Refusal::Busy)?;
    let thread = background.thread.load(Ordering::Relaxed);
    let target = Target::new(state, &format!("temp-{thread}.rdb"));
    *background.target.lock() = Some(target.clone());
    let mut head = Vec::new();
    begin(state, field_deadlines, &mut head);
    let keys = snapshot.progress().keys;
    background.keys.store(keys, Ordering::Relaxed);
    background.keys_done.store(0, Ordering::Relaxed);
    background.kept_bytes.store(0, Ordering::Relaxed);
    background.since_s.store(now_s(), Ordering::Relaxed);
    background.last_try_s.store(now_s(), Ordering::Relaxed);
    background.begun.fetch_add(1, Ordering::Relaxed);
    background.is_running.store(true, Ordering::Release);
    state.saving.count();
    let changes = state.stats.get(Figure::Changes) + uncounted;
    if jobs.send(Job { snapshot, head, changes, target }).is_err() {
        background.is_running.store(false, Ordering::Release);
        return Err(Refusal::NotReady);
    }
    background.moment_us.store(begun.elapsed().as_micros() as u64, Ordering::Relaxed);
    tracing::info!("Background saving started by pid {thread}");
    Ok(())
}

/// Cancels the save that runs; false if there is none. It does not touch the database file any more.
pub fn cancel(state: &State) -> bool {
    let is_running = state.saving.background.is_running();
    if is_running && let Some(target) = &*state.saving.background.target.lock() {
        target.cancel();
    }
    is_running
}

/// Cancels the save that runs, and waits a moment for it to leave nothing behind. The caller holds no shard.
pub fn stop(state: &State) {
    let begun = Instant::now();
    cancel(state);
    while state.saving.background.is_running() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Begins a save if one is scheduled, or if a save point says so. To be called ten times a second.
pub fn tick(state: &State) {
    let background = &state.saving.background;
    if background.is_running() || state.loading.is_on() || !background.may_try() {
        return;
    }
    let is_scheduled = background.is_scheduled.load(Ordering::Relaxed);
    if !is_scheduled {
        let changes = state.saving.unsaved(state.stats.get(Figure::Changes));
        let since_s = now_s() - state.saving.last_save_s();
        let mut points = state.settings.save_points().into_iter();
        let Some(point) = points.find(|point| changes >= point.changes && since_s > point.seconds as i64) else {
            return;
        };
        tracing::info!("{} changes in {} seconds. Saving...", point.changes, point.seconds);
    }
    let mut locked = state.keyspace.lock(state.keyspace.all_shards());
    if save_in_background(state, &mut locked, 0).is_ok() {
        background.is_scheduled.store(false, Ordering::Relaxed);
    }
}
