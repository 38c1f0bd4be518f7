//! What the server is in a replication: primary or replica, which history its data has, and who follows it.
//!
//! A history is an id and an offset into the log ([`crate::log`]). A replica that is promoted begins a history of its own, but
//! remembers the one before, so that those who followed the same primary can follow it without a new copy of everything.

mod failover;
mod replica;
mod timeline;

pub use failover::{Failover, Plan, Progress};
pub use replica::{Capabilities, Lag, Replica, Stage};
pub use timeline::Timeline;

use crate::store::Waiter;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Where a primary is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

/// How far the link to the primary is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// It is to be opened.
    #[default]
    Connect,
    Connecting,
    Handshake,
    /// The primary's data are on their way.
    Transfer,
    Connected,
}

impl LinkState {
    /// As `ROLE` calls it.
    pub fn name(self) -> &'static str {
        match self {
            LinkState::Connect => "connect",
            LinkState::Connecting => "connecting",
            LinkState::Handshake => "handshake",
            LinkState::Transfer => "sync",
            LinkState::Connected => "connected",
        }
    }
}

/// A transfer of the primary's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes in all; `None` if the primary does not say.
    pub total: Option<u64>,
    pub read: u64,
    /// Unix time in milliseconds of the last byte.
    pub last_ms: i64,
}

/// The link to the primary, as others see it.
#[derive(Clone, Debug, Default)]
pub struct Link {
    pub state: LinkState,
    pub transfer: Transfer,
    /// Unix time in milliseconds of the last byte that the primary sent; 0 if there was none.
    pub last_ms: i64,
    /// Unix time in milliseconds since when it is down; 0 if it has never been up.
    pub down_since_ms: i64,
    /// Unix time in milliseconds since when it is up; 0 if it is not.
    pub up_since_ms: i64,
    /// For how long it was down in all, but for now, in milliseconds.
    pub down_ms: i64,
    /// Attempts to open it since it was up, and since this primary is followed.
    pub attempts: u64,
    pub attempts_in_all: u64,
    /// The client that stands for the primary in the registry.
    pub client: u64,
    /// Bytes of the stream that have come and are not done yet.
    pub ahead_bytes: u64,
}

/// The history of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// 40 hexadecimal digits.
    pub id: String,
    /// The history that this one was until `previous_end`; zeros if there is none.
    pub previous_id: String,
    /// The first offset, counted from 1, that is not shared with it; `None` if there is none.
    pub previous_end: Option<u64>,
}

/// An id that is none.
fn no_id() -> String {
    "0".repeat(40)
}

/// 40 random hexadecimal digits.
pub fn random_id() -> String {
    format!("{:032x}{:08x}", rand::random::<u128>(), rand::random::<u32>())
}

impl Link {
    /// It is tried once more.
    pub fn note_attempt(&mut self) {
        self.state = LinkState::Connecting;
        self.attempts += 1;
        self.attempts_in_all += 1;
    }

    /// It is up, as the client of this number.
    pub fn note_up(&mut self, now_ms: i64, client: u64) {
        if self.down_since_ms > 0 {
            self.down_ms += now_ms - self.down_since_ms;
        }
        *self = Link {
            state: LinkState::Connected,
            last_ms: now_ms,
            up_since_ms: now_ms,
            down_since_ms: 0,
            client,
            ..*self
        };
    }

    /// It is down, be it that it was up or that an attempt has failed.
    pub fn note_down(&mut self, now_ms: i64) {
        if self.down_since_ms == 0 {
            self.down_since_ms = now_ms;
        }
        if self.state == LinkState::Connected {
            self.attempts = 0;
        }
        (self.up_since_ms, self.ahead_bytes) = (0, 0);
        self.state = LinkState::Connect;
    }
}

impl History {
    fn new() -> Self {
        History { id: random_id(), previous_id: no_id(), previous_end: None }
    }

    /// Whether a replica that has all of `id` before `next` (counted from 1) has the same data as this history up to there.
    pub fn has(&self, id: &str, next: u64) -> bool {
        let id_is = |known: &str| id.eq_ignore_ascii_case(known);
        id_is(&self.id) || id_is(&self.previous_id) && self.previous_end.is_some_and(|end| next <= end)
    }

    /// Is what follows `offset` of the history `id`.
    fn succeed(&mut self, id: String, offset: u64) {
        self.previous_id = id;
        self.previous_end = Some(offset + 1);
    }

    /// Begins a new history behind `offset`.
    fn turn(&mut self, id: String, offset: u64) {
        self.previous_id = std::mem::replace(&mut self.id, id);
        self.previous_end = Some(offset + 1);
    }
}

/// Replication as all threads see it.
pub struct Replication {
    is_replica: AtomicBool,
    /// The link to the primary is up, or there is none.
    is_linked: AtomicBool,
    primary: Mutex<Option<Address>>,
    link: Mutex<Link>,
    history: Mutex<History>,
    replicas: Mutex<Vec<Arc<Replica>>>,
    /// Replicas that are online and have said something of late.
    good_replicas: AtomicUsize,
    /// There is a history to go on with.
    has_history: AtomicBool,
    /// The database that the primary's next command is for.
    pub stream_database: AtomicUsize,
    /// When the log ended where, as long as there are replicas.
    pub timeline: Timeline,
    /// Rises when the primary is another one.
    turns: AtomicU64,
    pub failover: Failover,
    /// The link is to be looked at again.
    pub relink: Notify,
    /// A replica waits for a copy of the data.
    pub copy_wanted: Notify,
    /// A copy of the data is being made for replicas.
    pub is_copying: AtomicBool,
    /// It is of no use any more: all data have gone.
    pub is_copy_unwanted: AtomicBool,
    /// Keys with deadlines that clients of this replica have made, in their databases: its primary does not know them.
    pub own_keys: Mutex<HashSet<(usize, Box<[u8]>)>>,
    /// Clients that wait for acknowledgements.
    pub waits: Mutex<Vec<Arc<Waiter>>>,
    /// Somebody waits for acknowledgements.
    pub has_waits: AtomicBool,
    /// Copies of everything sent, continuations granted and refused.
    pub full_syncs: AtomicU64,
    pub partial_syncs: AtomicU64,
    pub partial_refusals: AtomicU64,
}

impl Default for Replication {
    fn default() -> Self {
        Replication {
            is_replica: AtomicBool::new(false),
            is_linked: AtomicBool::new(true),
            primary: Mutex::default(),
            link: Mutex::default(),
            history: Mutex::new(History::new()),
            replicas: Mutex::default(),
            good_replicas: AtomicUsize::new(0),
            has_history: AtomicBool::new(false),
            stream_database: AtomicUsize::new(0),
            timeline: Timeline::default(),
            turns: AtomicU64::new(0),
            failover: Failover::default(),
            relink: Notify::new(),
            copy_wanted: Notify::new(),
            is_copying: AtomicBool::new(false),
            is_copy_unwanted: AtomicBool::new(false),
            own_keys: Mutex::default(),
            waits: Mutex::default(),
            has_waits: AtomicBool::new(false),
            full_syncs: AtomicU64::new(0),
            partial_syncs: AtomicU64::new(0),
            partial_refusals: AtomicU64::new(0),
        }
    }
}

impl Replication {
    /// Whether it follows a primary. Changes only while all shards are locked.
    #[inline]
    pub fn is_replica(&self) -> bool {
        self.is_replica.load(Ordering::Relaxed)
    }

    /// Whether its data are those of a primary that it hears of no longer.
    #[inline]
    pub fn is_stale(&self) -> bool {
        !self.is_linked.load(Ordering::Relaxed)
    }

    pub fn primary(&self) -> Option<Address> {
        self.primary.lock().clone()
    }

    /// Rises whenever the primary changes: a link that was made before is of no use.
    pub fn turn(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }

    /// Follows `primary` from now on. All shards must be locked.
    pub fn follow(&self, primary: Address, now_ms: i64) {
        *self.primary.lock() = Some(primary);
        self.is_replica.store(true, Ordering::Relaxed);
        self.is_linked.store(false, Ordering::Relaxed);
        *self.link.lock() = Link { down_since_ms: now_ms, ..Link::default() };
        self.turns.fetch_add(1, Ordering::AcqRel);
        self.relink.notify_waiters();
    }

    /// Follows nobody any more: a history of its own begins behind `offset`. All shards must be locked.
    pub fn promote(&self, offset: u64) {
        *self.primary.lock() = None;
        self.own_keys.lock().clear();
        self.is_replica.store(false, Ordering::Relaxed);
        self.is_linked.store(true, Ordering::Relaxed);
        self.history.lock().turn(random_id(), offset);
        self.turns.fetch_add(1, Ordering::AcqRel);
        self.relink.notify_waiters();
    }

    pub fn link(&self) -> Link {
        self.link.lock().clone()
    }

    /// Notes how far the link is.
    pub fn update_link(&self, change: impl FnOnce(&mut Link)) {
        let mut link = self.link.lock();
        change(&mut link);
        let is_linked = !self.is_replica() || link.state == LinkState::Connected;
        self.is_linked.store(is_linked, Ordering::Relaxed);
    }

    /// Whether the data are those of the history: then what is missing is enough.
    pub fn has_history(&self) -> bool {
        self.has_history.load(Ordering::Acquire)
    }

    /// See [`Replication::has_history`].
    pub fn set_has_history(&self, has_history: bool) {
        self.has_history.store(has_history, Ordering::Release);
    }

    pub fn history(&self) -> History {
        self.history.lock().clone()
    }

    /// The data are those of another history from now on, all of them.
    pub fn adopt(&self, id: String) {
        *self.history.lock() = History { id, previous_id: no_id(), previous_end: None };
    }

    /// A history of its own begins behind `offset` of another one, which the data come from.
    pub fn succeed(&self, id: String, offset: u64) {
        self.history.lock().succeed(id, offset);
    }

    /// The primary goes on with a history of another name, from `offset` on. Returns whether the name is new.
    pub fn continue_as(&self, id: &str, offset: u64) -> bool {
        let mut history = self.history.lock();
        let is_new = history.id != id;
        if is_new {
            history.turn(id.into(), offset);
        }
        is_new
    }

    /// Nobody can have followed until now: what was before has no name.
    pub fn begin_history(&self) {
        *self.history.lock() = History::new();
    }

    /// Counts copies and continuations from 0 on again.
    pub fn reset_counts(&self) {
        for count in [&self.full_syncs, &self.partial_syncs, &self.partial_refusals] {
            count.store(0, Ordering::Relaxed);
        }
    }

    pub fn replicas(&self) -> Vec<Arc<Replica>> {
        self.replicas.lock().clone()
    }

    pub fn replica_count(&self) -> usize {
        self.replicas.lock().len()
    }

    pub fn add_replica(&self, replica: Arc<Replica>) {
        self.replicas.lock().push(replica);
    }

    pub fn remove_replica(&self, replica: &Arc<Replica>) {
        self.replicas.lock().retain(|other| !Arc::ptr_eq(other, replica));
    }

    /// Replicas that are online and were heard of within `lag_max_ms`; counted once a second and at each change.
    pub fn good_replicas(&self) -> usize {
        self.good_replicas.load(Ordering::Relaxed)
    }

    /// Counts the good replicas.
    pub fn count_good_replicas(&self, now_ms: i64, lag_max_ms: i64) {
        let is_good = |replica: &&Arc<Replica>| {
            replica.stage() == Stage::Online && now_ms - replica.acknowledged_ms() <= lag_max_ms
        };
        let count = self.replicas.lock().iter().filter(is_good).count();
        self.good_replicas.store(count, Ordering::Relaxed);
    }

    /// Replicas that have everything before `offset`.
    pub fn acknowledged_by(&self, offset: u64) -> usize {
        let has = |replica: &&Arc<Replica>| replica.stage() == Stage::Online && replica.acknowledged() >= offset;
        self.replicas.lock().iter().filter(has).count()
    }

    /// Replicas that have everything before `offset` in their files.
    pub fn stored_by(&self, offset: u64) -> usize {
        let has = |replica: &&Arc<Replica>| replica.stage() == Stage::Online && replica.stored() >= offset;
        self.replicas.lock().iter().filter(has).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promoted_replica_shares_its_history_up_to_then() {
        let replication = Replication::default();
        let before = replication.history();
        assert!(before.has(&before.id, 1_000_000));
        assert!(!before.has(&no_id(), 1), "zeros name no history");
        replication.promote(100);
        let history = replication.history();
        assert_ne!(history.id, before.id);
        assert!(history.has(&before.id, 101) && !history.has(&before.id, 102));
        assert!(history.has(&history.id.to_uppercase(), 5000));
        replication.adopt("a".repeat(40));
        assert!(!replication.history().has(&history.id, 1));
        assert!(!replication.continue_as(&"a".repeat(40), 7));
        assert!(replication.continue_as(&"b".repeat(40), 7));
        assert!(replication.history().has(&"a".repeat(40), 8));
    }

    #[test]
    fn a_replica_is_stale_until_its_link_is_up() {
        let replication = Replication::default();
        assert!(!replication.is_stale());
        replication.follow(Address { host: "h".into(), port: 1 }, 0);
        assert!(replication.is_replica() && replication.is_stale());
        replication.update_link(|link| link.state = LinkState::Connected);
        assert!(!replication.is_stale());
        replication.promote(0);
        assert!(!replication.is_replica() && !replication.is_stale());
    }
}
