//! What all threads share.

use crate::acl::Acl;
use crate::append_file::AppendFile;
use crate::client::{Monitors, Registry};
use crate::compression::Compression;
use crate::config::{Directive, Settings};
use crate::eviction::Eviction;
use crate::hot_keys::HotKeys;
use crate::loading::Loading;
use crate::log::Log;
use crate::migration::Migrations;
use crate::persistence::disk::{Disk, FileSystem};
use crate::pubsub::Pubsub;
use crate::replication::{Replication, random_id};
use crate::saving::Saving;
use crate::script::ScriptCache;
use crate::server_log::{LatencyMonitor, SlowLog};
use crate::shutdown::Shutdown;
use crate::spec::Table;
use crate::stats::Stats;
use crate::store::{Departed, Keyspace, LazyFree};
use crate::tls::Tls;
use crate::tracking::Tracking;
use crate::watchdog::Watchdog;
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

/// What holds back writes beside `CLIENT PAUSE`, for as long as it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Holder {
    /// A replica is to take this server's place.
    Failover = 1 << 2,
    /// The process is to end as soon as its replicas have everything.
    Shutdown = 1 << 3,
}

/// What is held back, until when and by whom.
#[derive(Debug, Default)]
pub struct Pause {
    /// The end of `CLIENT PAUSE` in milliseconds of Unix time, shifted by [`Pause::FLAG_BITS`]; below it the holders, and the
    /// kind of `CLIENT PAUSE`; 0: none.
    bits: AtomicU64,
}

impl Pause {
    const FLAG_BITS: u32 = 4;
    const KIND: u64 = 0b11;
    const HOLDERS: u64 = Holder::Failover as u64 | Holder::Shutdown as u64;

    /// Begins a pause of clients, or extends the one that runs: to the stricter kind and the later end.
    pub fn begin(&self, kind: PauseKind, until_ms: i64) {
        let now_ms = unix_time_ms();
        let extended = |present| {
            let (running, running_until_ms) = Pause::of_clients(present, now_ms);
            let until_ms = until_ms.max(running_until_ms) as u64;
            // No clock comes near the ends that do not fit.
            let end = until_ms.min(u64::MAX >> Pause::FLAG_BITS);
            end << Pause::FLAG_BITS | present & Pause::HOLDERS | running.max(kind) as u64
        };
        self.bits.update(Ordering::AcqRel, Ordering::Acquire, extended);
    }

    /// Ends the pause that clients have asked for.
    pub fn end(&self) {
        self.bits.fetch_and(Pause::HOLDERS, Ordering::AcqRel);
    }

    /// Holds writes back until [`Pause::release`]. All shards must be locked if nothing may be under way after that.
    pub fn hold(&self, holder: Holder) {
        self.bits.fetch_or(holder as u64, Ordering::AcqRel);
    }

    /// Holds writes back no longer, as far as `holder` goes. Whoever waits must be woken.
    pub fn release(&self, holder: Holder) {
        self.bits.fetch_and(!(holder as u64), Ordering::AcqRel);
    }

    /// Whether it is `holder` that holds writes back.
    pub fn is_held_by(&self, holder: Holder) -> bool {
        self.bits.load(Ordering::Acquire) & holder as u64 != 0
    }

    /// One load while there is no pause, which is nearly always.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.bits.load(Ordering::Relaxed) != 0 && self.kind() != PauseKind::None
    }

    /// What is held back now.
    pub fn kind(&self) -> PauseKind {
        self.kind_and_end_ms().0
    }

    /// What is held back now, and until when it is; [`i64::MAX`] if nobody knows.
    pub fn kind_and_end_ms(&self) -> (PauseKind, i64) {
        let present = self.bits.load(Ordering::Acquire);
        let (kind, until_ms) = Pause::of_clients(present, unix_time_ms());
        let holders = present & Pause::HOLDERS;
        if kind == PauseKind::None && present != holders {
            // It is over: no more looks at the clock, unless another has begun meanwhile, which then stays.
            let _ = self.bits.compare_exchange(present, holders, Ordering::AcqRel, Ordering::Relaxed);
        }
        match kind {
            PauseKind::None if holders != 0 => (PauseKind::Writes, i64::MAX),
            kind => (kind, until_ms),
        }
    }

    /// What clients have asked for, and until when.
    fn of_clients(bits: u64, now_ms: i64) -> (PauseKind, i64) {
        let until_ms = (bits >> Pause::FLAG_BITS) as i64;
        match bits & Pause::KIND {
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

/// The listening sockets, as others have them changed.
pub trait Listening: Send + Sync {
    /// Opens those that the settings name in place of those that are open. Errors: one cannot be opened.
    fn update(&self, settings: &Settings) -> std::io::Result<()>;

    /// Stops listening: whoever wants to connect is refused from now on.
    fn close(&self);
}

/// The server, as every thread sees it.
pub struct State {
    pub keyspace: Keyspace,
    pub settings: Settings,
    pub table: Table,
    pub acl: Acl,
    pub clients: Registry,
    pub pubsub: Pubsub,
    pub tracking: Tracking,
    pub tls: Tls,
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
    /// Set by the server once it listens.
    pub listening: OnceLock<Box<dyn Listening>>,
    pub monitors: Monitors,
    pub hot_keys: HotKeys,
    /// The scripts that clients have sent.
    pub scripts: ScriptCache,
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
    pub watchdog: Watchdog,
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
    /// Whoever gathers metrics has it: one at a time.
    pub scrape: Arc<tokio::sync::Mutex<()>>,
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
        let acl = Acl::default();
        acl.set_default_password(&settings.string(Directive::Requirepass));
        let scripts = ScriptCache::new(settings.flag(Directive::LuaEnableDeprecatedApi));
        Ok(State {
            keyspace: Keyspace::new(databases, threads),
            settings,
            table,
            acl,
            clients: Registry::default(),
            pubsub,
            tracking: Tracking::default(),
            tls: Tls::default(),
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
            listening: OnceLock::new(),
            monitors: Monitors::default(),
            hot_keys: HotKeys::default(),
            scripts,
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
            watchdog: Watchdog::new(threads),
            started_ms: unix_time_ms(),
            shared: OnceLock::new(),
            run_id: random_id(),
            client_memory_floor: AtomicUsize::new(0),
            reply_peak_reset_ms: AtomicI64::new(REPLY_PEAK_RESET_MS),
            cron_paused: AtomicBool::new(false),
            scrape: Arc::default(),
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
        match self.listening.get() {
            Some(listening) => listening.update(&self.settings),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_writes_back_does_so_beside_the_pause_of_clients() {
        let pause = Pause::default();
        assert!(!pause.is_on());
        pause.hold(Holder::Failover);
        assert_eq!(pause.kind_and_end_ms(), (PauseKind::Writes, i64::MAX));
        let until_ms = unix_time_ms() + 60_000;
        pause.begin(PauseKind::All, until_ms);
        assert_eq!(pause.kind_and_end_ms(), (PauseKind::All, until_ms));
        pause.end();
        assert_eq!(pause.kind(), PauseKind::Writes, "that is not for clients to end");
        pause.hold(Holder::Shutdown);
        pause.release(Holder::Failover);
        assert!(pause.is_held_by(Holder::Shutdown) && !pause.is_held_by(Holder::Failover));
        pause.release(Holder::Shutdown);
        assert!(!pause.is_on());
        pause.begin(PauseKind::Writes, unix_time_ms() - 1);
        pause.hold(Holder::Shutdown);
        assert_eq!(pause.kind_and_end_ms(), (PauseKind::Writes, i64::MAX), "one that is over does not end the other");
        assert!(pause.is_held_by(Holder::Shutdown));
    }
}
