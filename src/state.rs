//! What all threads share.

use crate::append_file::AppendFile;
use crate::client::{Monitors, Registry};
use crate::compression::Compression;
use crate::config::{Directive, Settings};
use crate::eviction::Eviction;
use crate::loading::Loading;
use crate::log::Log;
use crate::migration::Migrations;
use crate::persistence::disk::{Disk, FileSystem};
use crate::pubsub::Pubsub;
use crate::replication::{Replication, random_id};
use crate::saving::Saving;
use crate::server_log::{LatencyMonitor, SlowLog};
use crate::shutdown::Shutdown;
use crate::spec::Table;
use crate::stats::Stats;
use crate::store::{Departed, Keyspace, LazyFree};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now, in milliseconds of Unix time.
pub fn unix_time_ms() -> i64 {
    unix_time_us() / 1000
}

/// Now, in microseconds of Unix time.
pub fn unix_time_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

/// What `CLIENT PAUSE` holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum PauseKind {
    None = 0,
    Writes = 1,
    All = 2,
}

/// `CLIENT PAUSE`: until when, and what.
#[derive(Debug, Default)]
pub struct Pause {
    /// The end in milliseconds of Unix time, shifted by [`Pause::KIND_BITS`], and the kind; 0: none.
    end_and_kind: AtomicU64,
}

impl Pause {
    const KIND_BITS: u32 = 2;

    /// Begins a pause, or extends the one that runs: to the stricter kind and the later end.
    pub fn begin(&self, kind: PauseKind, until_ms: i64) {
        let now_ms = unix_time_ms();
        let extended = |present| {
            let (running, running_until_ms) = Pause::at(present, now_ms);
            let until_ms = until_ms.max(running_until_ms) as u64;
            // No clock comes near the ends that do not fit.
            let end = until_ms.min(u64::MAX >> Pause::KIND_BITS);
            end << Pause::KIND_BITS | running.max(kind) as u64
        };
        self.end_and_kind.update(Ordering::AcqRel, Ordering::Acquire, extended);
    }

    pub fn end(&self) {
        self.end_and_kind.store(0, Ordering::Release);
    }

    /// One load while there is no pause, which is nearly always.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.end_and_kind.load(Ordering::Relaxed) != 0 && self.kind() != PauseKind::None
    }

    /// What is held back now.
    pub fn kind(&self) -> PauseKind {
        self.kind_and_end_ms().0
    }

    /// What is held back now, and until when.
    pub fn kind_and_end_ms(&self) -> (PauseKind, i64) {
        let present = self.end_and_kind.load(Ordering::Acquire);
        let (kind, until_ms) = Pause::at(present, unix_time_ms());
        if kind == PauseKind::None && present != 0 {
            // It is over: no more looks at the clock, unless another has begun meanwhile, which then stays.
            let _ = self.end_and_kind.compare_exchange(present, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
        (kind, until_ms)
    }

    fn at(end_and_kind: u64, now_ms: i64) -> (PauseKind, i64) {
        let until_ms = (end_and_kind >> Pause::KIND_BITS) as i64;
        match end_and_kind & ((1 << Pause::KIND_BITS) - 1) {
            1 if now_ms < until_ms => (PauseKind::Writes, until_ms),
            2 if now_ms < until_ms => (PauseKind::All, until_ms),
            _ => (PauseKind::None, 0),
        }
    }
}

/// `DEBUG SLEEP`: every thread stands still, those too that need no key.
#[derive(Debug, Default)]
pub struct Standstill {
    is_on: AtomicBool,
    lock: Mutex<()>,
}

impl Standstill {
    /// Sleeps, and has all other threads wait for the end, each as soon as it looks.
    pub fn sleep(&self, duration: Duration) {
        let _others_wait_for_it = self.lock.lock();
        self.is_on.store(true, Ordering::Release);
        std::thread::sleep(duration);
        self.is_on.store(false, Ordering::Release);
    }

    /// Waits while the server stands still. The caller must hold no locks.
    #[inline]
    pub fn wait(&self) {
        if self.is_on.load(Ordering::Acquire) {
            self.wait_for_end();
        }
    }

    #[cold]
    fn wait_for_end(&self) {
        drop(self.lock.lock());
    }
}

/// By default the largest reply counts for so long.
pub const REPLY_PEAK_RESET_MS: i64 = 5000;

/// How the listening sockets are replaced.
pub type Relisten = Box<dyn Fn(&Settings) -> std::io::Result<()> + Send + Sync>;

/// The server, as every thread sees it.
pub struct State {
    pub keyspace: Keyspace,
    pub settings: Settings,
    pub table: Table,
    pub clients: Registry,
    pub pubsub: Pubsub,
    pub stats: Stats,
    pub lazy_free: LazyFree,
    pub log: Log,
    pub append_file: AppendFile,
    pub replication: Replication,
    /// Keys that have gone by themselves, of which clients that wait are to be told.
    pub departed: Departed,
    pub compression: Compression,
    pub migrations: Migrations,
    pub eviction: Eviction,
    pub slow_log: SlowLog,
    /// Requests and replies of many bytes (`COMMANDLOG`).
    pub large_requests: SlowLog,
    pub large_replies: SlowLog,
    pub latency: LatencyMonitor,
    pub pause: Pause,
    pub standstill: Standstill,
    /// Opens the sockets of `bind` and `port` in place of those that are open; set by the server once it listens.
    pub relisten: OnceLock<Relisten>,
    pub monitors: Monitors,
    pub blocked_clients: AtomicUsize,
    /// Expiry by deadline is on (`DEBUG SET-ACTIVE-EXPIRE`).
    pub active_expire: AtomicBool,
    /// From how many bytes on list elements get a node of their own (`DEBUG QUICKLIST-PACKED-THRESHOLD`); 0: by default.
    pub list_large_min: AtomicUsize,
    /// `RESTORE` takes payloads with any checksum (`DEBUG SET-SKIP-CHECKSUM-VALIDATION`).
    pub skips_payload_checksums: AtomicBool,
    pub shutdown: Shutdown,
    pub saving: Saving,
    pub loading: Loading,
    /// Where files are.
    pub disk: Box<dyn Disk>,
    pub error_counts: Mutex<std::collections::BTreeMap<Vec<u8>, u64>>,
    pub threads: usize,
    pub started_ms: i64,
    /// The server itself, for threads that outlive the call which begins them; set once it is shared.
    pub shared: OnceLock<Weak<State>>,
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
    /// What all clients cost when none could be evicted although that was above `maxmemory-clients`, and a little
    /// more; 0 if it was not.
    pub client_memory_floor: AtomicUsize,
    /// The largest reply of so many milliseconds is what a client's reply buffer is said to hold (`DEBUG REPLYBUFFER`).
    pub reply_peak_reset_ms: AtomicI64,
    /// What happens by itself is suspended (`DEBUG PAUSE-CRON`).
    pub cron_paused: AtomicBool,
    pub peak_memory: AtomicUsize,
    /// Bytes in use when the first client could connect.
    pub startup_memory: AtomicUsize,
}

impl State {
    /// A server of `threads` threads with no keys and no clients.
    pub fn new(settings: Settings, table: Table, threads: usize) -> std::io::Result<State> {
        let databases = settings.int(Directive::Databases).max(1) as usize;
        let pubsub = Pubsub::default();
        pubsub.set_events(settings.keyspace_events());
        Ok(State {
            keyspace: Keyspace::new(databases, threads),
            settings,
            table,
            clients: Registry::default(),
            pubsub,
            stats: Stats::new(threads),
            lazy_free: LazyFree::start()?,
            log: Log::default(),
            append_file: AppendFile::default(),
            replication: Replication::default(),
            departed: Departed::default(),
            compression: Compression::default(),
            migrations: Migrations::default(),
            eviction: Eviction::default(),
            slow_log: SlowLog::default(),
            large_requests: SlowLog::default(),
            large_replies: SlowLog::default(),
            latency: LatencyMonitor::default(),
            pause: Pause::default(),
            standstill: Standstill::default(),
            relisten: OnceLock::new(),
            monitors: Monitors::default(),
            blocked_clients: AtomicUsize::new(0),
            active_expire: AtomicBool::new(true),
            list_large_min: AtomicUsize::new(0),
            skips_payload_checksums: AtomicBool::new(false),
            shutdown: Shutdown::default(),
            saving: Saving::default(),
            loading: Loading::default(),
            disk: Box::new(FileSystem),
            error_counts: Mutex::default(),
            threads,
            started_ms: unix_time_ms(),
            shared: OnceLock::new(),
            run_id: random_id(),
            client_memory_floor: AtomicUsize::new(0),
            reply_peak_reset_ms: AtomicI64::new(REPLY_PEAK_RESET_MS),
            cron_paused: AtomicBool::new(false),
            peak_memory: AtomicUsize::new(0),
            startup_memory: AtomicUsize::new(0),
        })
    }

    /// Shares the server among threads.
    pub fn share(self) -> Arc<State> {
        let state = Arc::new(self);
        // Nobody else has it yet.
        let _ = state.shared.set(Arc::downgrade(&state));
        state
    }

    /// The server, to be kept by a thread. Errors: it has not been shared.
    pub fn to_shared(&self) -> std::io::Result<Arc<State>> {
        self.shared.get().and_then(Weak::upgrade).ok_or_else(|| std::io::Error::other("the server is not shared"))
    }

    /// Listens where `bind` and `port` say now. Errors: a socket cannot be opened.
    pub fn listen_anew(&self) -> std::io::Result<()> {
        match self.relisten.get() {
            Some(relisten) => relisten(&self.settings),
            None => Ok(()),
        }
    }
}
