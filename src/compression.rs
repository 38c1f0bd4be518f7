//! Compression of strings as far as it is not done by the command that sets them: of those above a megabyte, of those
//! that were made raw because they were changed or read in part and have gone cold since, and the choice of the
//! dictionary. All on one thread, which holds a shard's lock only to copy bytes out of it and into it.

use crate::access;
use crate::config::Directive;
use crate::memory;
use crate::state::{State, unix_time_ms};
use crate::store::Key;
use crate::tree::{NewPayload, Payload, PayloadMut};
use crate::value::string::train::{SAMPLES, Samples, choose_dictionary};
use crate::value::string::{COMPRESS_AT_ONCE_MAX, NewString, compress, dictionary};
use crate::value::{InlineKind, Value};
use parking_lot::{Condvar, Mutex};
use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Strings that may wait to be compressed soon; others wait until they are found cold.
const QUEUE_MAX: usize = 1024;
/// Bytes of strings after which another dictionary is thought of.
const CHOICE_INTERVAL_BYTES: usize = 64 << 20;
/// Time between two steps of a sweep.
const TICK: Duration = Duration::from_millis(100);
/// Time between two looks whether a sweep is due.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Records that a step of a sweep looks at under one lock, in all at least, and for how long at most.
const RECORDS_PER_LOCK: usize = 500;
const RECORDS_PER_TICK_MIN: usize = 5000;
const STEP_TIME_MAX: Duration = Duration::from_millis(10);

/// What commands and the compressing thread tell each other, and the figures.
#[derive(Default)]
pub struct Compression {
    /// A string was made raw, or left so, that is to be compressed once it is cold.
    has_raw: AtomicBool,
    work: Mutex<Work>,
    wake: Condvar,
    /// Bytes of strings that each thread lets pass between two samples.
    sample_interval: AtomicUsize,
    raw_bytes: AtomicU64,
    stored_bytes: AtomicU64,
}

/// What there is to do soon.
#[derive(Default)]
struct Work {
    samples: Samples,
    are_samples_full: bool,
    /// Strings that were too long to be compressed at once.
    strings: VecDeque<Place>,
}

/// Where a string is: its database and its key.
type Place = (usize, Box<[u8]>);

/// Strings above the threshold: what came in, and what they took then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    pub raw_bytes: u64,
    pub stored_bytes: u64,
}

impl Compression {
    /// Notes that `key` was given a string above the threshold, as a whole.
    pub fn note_put(&self, database: usize, key: &[u8], raw: &[u8], stored_len: usize) {
        if raw.len() <= COMPRESS_AT_ONCE_MAX {
            self.note_set(raw, stored_len);
        } else {
            self.enqueue(database, key);
        }
    }

    /// Notes that a string above the threshold was set, and takes a sample now and then.
    fn note_set(&self, raw: &[u8], stored_len: usize) {
        thread_local! {
            /// Bytes that pass before the next sample.
            static UNSAMPLED: Cell<usize> = const { Cell::new(0) };
        }
        self.count(raw.len(), stored_len);
        if raw.len() > dictionary::WITH_DICTIONARY_MAX {
            return;
        }
        let left = UNSAMPLED.get().min(self.sample_interval.load(Ordering::Relaxed));
        if let Some(left) = left.checked_sub(raw.len()) {
            UNSAMPLED.set(left);
            return;
        }
        UNSAMPLED.set(usize::MAX);
        let mut work = self.work.lock();
        if !work.are_samples_full && work.samples.add(raw) {
            work.are_samples_full = true;
            self.wake.notify_one();
        }
    }

    /// Has a long string, which was set just now, compressed soon.
    fn enqueue(&self, database: usize, key: &[u8]) {
        let mut work = self.work.lock();
        if work.strings.len() < QUEUE_MAX {
            work.strings.push_back((database, key.into()));
            self.wake.notify_one();
        } else {
            self.note_raw();
        }
    }

    /// Notes that a string is raw that may be worth compressing once it is cold.
    #[inline]
    pub fn note_raw(&self) {
        if !self.has_raw.load(Ordering::Relaxed) {
            self.has_raw.store(true, Ordering::Relaxed);
        }
    }

    fn count(&self, raw_len: usize, stored_len: usize) {
        self.raw_bytes.fetch_add(raw_len as u64, Ordering::Relaxed);
        self.stored_bytes.fetch_add(stored_len as u64, Ordering::Relaxed);
    }

    /// What was counted since the start or the last [`reset`](Self::reset).
    pub fn figures(&self) -> Figures {
        Figures {
            raw_bytes: self.raw_bytes.load(Ordering::Relaxed),
            stored_bytes: self.stored_bytes.load(Ordering::Relaxed),
        }
    }

    pub fn reset(&self) {
        self.raw_bytes.store(0, Ordering::Relaxed);
        self.stored_bytes.store(0, Ordering::Relaxed);
    }

    /// Waits for something to do, for so long at most.
    fn wait(&self, patience: Duration) -> (Option<Samples>, Option<Place>) {
        let mut work = self.work.lock();
        if !work.are_samples_full && work.strings.is_empty() {
            self.wake.wait_for(&mut work, patience);
        }
        let samples = work.are_samples_full.then(|| std::mem::take(&mut work.samples));
        work.are_samples_full = false;
        (samples, work.strings.pop_front())
    }
}

/// Starts the thread that compresses. It ends with the process.
pub fn start(state: Arc<State>) -> io::Result<()> {
    std::thread::Builder::new().name("compression".into()).spawn(move || {
        let mut sweep = None;
        let mut last_step = Instant::now();
        loop {
            let interval = if sweep.is_some() { TICK } else { SWEEP_INTERVAL };
            let (samples, string) = state.compression.wait(interval.saturating_sub(last_step.elapsed()));
            if let Some(samples) = samples {
                choose_dictionary(samples);
                state.compression.sample_interval.store(CHOICE_INTERVAL_BYTES / SAMPLES, Ordering::Relaxed);
            }
            if let Some((database, key)) = string {
                compress_string(&state, database, &key, 0);
            }
            if last_step.elapsed() >= interval {
                last_step = Instant::now();
                advance(&state, &mut sweep);
            }
            memory::publish();
        }
    })?;
    Ok(())
}

/// A walk over all records that looks for cold raw strings, in steps. It misses those that another name is given to
/// meanwhile, or that change their database; but whatever becomes raw brings about another sweep.
#[derive(Clone, Copy, Default)]
struct Sweep {
    shard: usize,
    database: usize,
    cursor: u64,
}

/// Takes the next step of the sweep, if one is under way or due.
fn advance(state: &State, sweep: &mut Option<Sweep>) {
    let threshold = state.settings.int(Directive::CompressionThreshold) as usize;
    if threshold == 0 {
        *sweep = None;
        return;
    }
    if sweep.is_none() && state.compression.has_raw.swap(false, Ordering::Relaxed) {
        *sweep = Some(Sweep::default());
    }
    let begin = Instant::now();
    let mut left = records_per_tick(state);
    while let Some(place) = sweep
        && left > 0
        && begin.elapsed() < STEP_TIME_MAX
    {
        let looked_at = look(state, place, threshold);
        left = left.saturating_sub(looked_at);
        if place.cursor == 0 {
            place.database += 1;
            if place.database == state.keyspace.databases() {
                (place.database, place.shard) = (0, place.shard + 1);
            }
            if place.shard == state.keyspace.shard_count() {
                *sweep = None;
            }
        }
    }
}

/// As many records as a sweep must look at in a tick to be through by the time that what was hot then is cold.
fn records_per_tick(state: &State) -> usize {
    let shards = 0..state.keyspace.shard_count();
    let records =
        shards.map(|shard| state.keyspace.lock_one(shard).databases.iter().map(|tree| tree.len()).sum::<usize>());
    let ticks = idle_min_s(state) as usize * 1000 / TICK.as_millis() as usize;
    (records.sum::<usize>() / ticks.max(1)).max(RECORDS_PER_TICK_MIN)
}

/// Seconds without access after which a string is cold.
fn idle_min_s(state: &State) -> u32 {
    state.settings.int(Directive::CompressionIdleTime) as u32
}

/// Looks at some records and compresses the cold raw strings among them. Returns how many records it has looked at.
fn look(state: &State, place: &mut Sweep, threshold: usize) -> usize {
    let (now_ms, idle_min_s) = (unix_time_ms(), idle_min_s(state));
    let mut cold: Vec<Box<[u8]>> = Vec::new();
    let mut looked_at = 0;
    let guard = state.keyspace.lock_one(place.shard);
    let tree = &guard.databases[place.database];
    place.cursor = tree.scan(place.cursor, RECORDS_PER_LOCK, b"", |entry| {
        looked_at += 1;
        let is_raw = match entry.record.payload {
            Payload::Boxed(Value::String(string)) => string.len() > threshold && string.is_compressible(),
            Payload::Inline { kind, bytes } => kind == InlineKind::RawModified as u8 && bytes.len() > threshold,
            Payload::Boxed(_) => false,
        };
        if is_raw && access::idle_seconds(&state.settings, entry.record.clock, now_ms) >= idle_min_s {
            cold.push(entry.key.into());
        } else if is_raw {
            state.compression.note_raw();
        }
    });
    drop(guard);
    for key in cold {
        compress_string(state, place.database, &key, idle_min_s);
    }
    looked_at
}

/// Compresses a string's raw pieces, as long as it has not been used for `idle_min_s` seconds.
fn compress_string(state: &State, database: usize, key: &[u8], idle_min_s: u32) {
    let key = state.keyspace.key(key);
    let shard = state.keyspace.shard_of(key);
    let (mut raw, mut block) = (Vec::new(), Vec::new());
    loop {
        let mut guard = state.keyspace.lock_one(shard);
        let tree = &mut guard.databases[database];
        let Some(position) = tree.find(key) else { return };
        if access::idle_seconds(&state.settings, tree.clock(position), unix_time_ms()) < idle_min_s {
            return state.compression.note_raw();
        }
        let ticket = match tree.form_mut(position) {
            PayloadMut::Boxed(Value::String(string)) => string.begin_compression(&mut raw),
            PayloadMut::Inline { kind, .. } if kind == InlineKind::RawModified as u8 => {
                return compress_inline(state, tree, key);
            }
            _ => None,
        };
        drop(guard);
        let Some(ticket) = ticket else { return };
        let head = compress(&raw, &mut block);
        let mut guard = state.keyspace.lock_one(shard);
        let tree = &mut guard.databases[database];
        let Some(position) = tree.find(key) else { return };
        let PayloadMut::Boxed(Value::String(string)) = tree.form_mut(position) else { return };
        if !string.finish_compression(&ticket, head, &block) {
            // It is not cold, or not the same any more.
            return state.compression.note_raw();
        }
        state.compression.count(raw.len(), if head.is_some() { block.len() } else { raw.len() });
        let whole = if raw.len() == string.len() { head } else { None };
        if let Some(head) = whole
            && let NewString::Inline(kind, bytes) = NewString::compressed(head, &block)
        {
            let (_, displaced) = tree.reform(position, key, NewPayload::Inline { kind: kind as u8, bytes: &bytes });
            drop(guard);
            drop(displaced);
            return;
        }
    }
}

/// Compresses a string that is short enough for its record; or has it stay as it is for good, if that saves too little.
fn compress_inline(state: &State, tree: &mut crate::store::Database, key: Key<'_>) {
    let Some(position) = tree.find(key) else { return };
    let Payload::Inline { bytes, .. } = tree.payload(position) else { return };
    let raw = bytes.to_vec();
    let mut block = Vec::new();
    let string = match compress(&raw, &mut block) {
        Some(head) => NewString::compressed(head, &block),
        None => NewString::text(&raw),
    };
    state.compression.count(raw.len(), string.stored_len());
    if let NewString::Inline(kind, bytes) = string {
        tree.reform(position, key, NewPayload::Inline { kind: kind as u8, bytes: &bytes });
    }
}
