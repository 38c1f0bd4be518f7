//! A replica of this server: what it can do, what it has, and what is on its way to it.

use crate::client::{Client, Message};
use crate::log::{Log, Reader};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// What a replica said of itself before it asked for data (`REPLCONF`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The port that it listens to; 0 if it did not say.
    pub port: u16,
    /// The address under which it can be reached, if not the one that it comes from.
    pub ip: Option<String>,
    /// It takes data of unknown length, up to a mark.
    pub eof: bool,
    /// It takes a new name of the history when it goes on.
    pub psync2: bool,
    /// It wants the data alone, and nothing that follows.
    pub rdb_only: bool,
    /// It wants a copy of the libraries of functions, without keys.
    pub only_functions: bool,
}

/// How far a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// It waits for a snapshot to begin.
    Waiting = 0,
    /// The snapshot is written to a file for it.
    Prepared = 1,
    /// The snapshot is on its way while it is made.
    Streamed = 2,
    /// The snapshot is on its way from a file.
    Transfer = 3,
    /// It has been sent all of the snapshot and has to say that it has it.
    Loading = 4,
    /// It follows.
    Online = 5,
}

impl Stage {
    /// As `INFO` calls it: as long as a snapshot is made, it is waited for.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Waiting | Stage::Prepared | Stage::Streamed => "wait_bgsave",
            Stage::Transfer | Stage::Loading => "send_bulk",
            Stage::Online => "online",
        }
    }

    fn of_number(number: u8) -> Stage {
        [Stage::Waiting, Stage::Prepared, Stage::Streamed, Stage::Transfer, Stage::Loading][..]
            .get(usize::from(number))
            .copied()
            .unwrap_or(Stage::Online)
    }
}

/// What is to be sent before the log.
#[derive(Default)]
struct Feed {
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// Nothing is added any more.
    is_complete: bool,
    /// What follows waits until the replica says that it has all of this: it could not tell where it ends.
    needs_answer: bool,
}

/// Replicas say what they have so often.
const ACKNOWLEDGEMENT_INTERVAL_MS: i64 = 1000;

/// How far a replica is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    pub bytes: u64,
    /// For how long the log has gone on behind what it has.
    pub microseconds: i64,
}

/// A replica of this server.
pub struct Replica {
    pub client: Arc<Client>,
    pub capabilities: Capabilities,
    /// It asked with `SYNC`, and is told nothing but the data.
    pub is_plain: bool,
    /// Unix time in milliseconds at which it asked.
    pub since_ms: i64,
    stage: AtomicU8,
    acknowledged: AtomicU64,
    stored: AtomicU64,
    acknowledged_ms: AtomicI64,
    /// How far it was behind when it said so.
    lag: Mutex<Lag>,
    feed: Mutex<Feed>,
    /// Something was taken from the feed, or the replica is gone.
    taken: Condvar,
    is_gone: AtomicBool,
    reader: Mutex<Option<Arc<Reader>>>,
    /// Its connection has been told that there is something for it.
    is_told: AtomicBool,
}

impl Replica {
    pub fn new(client: Arc<Client>, capabilities: Capabilities, is_plain: bool, now_ms: i64) -> Self {
        Replica {
            client,
            capabilities,
            is_plain,
            since_ms: now_ms,
            stage: AtomicU8::new(Stage::Waiting as u8),
            acknowledged: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            acknowledged_ms: AtomicI64::new(now_ms),
            lag: Mutex::default(),
            feed: Mutex::default(),
            taken: Condvar::new(),
            is_gone: AtomicBool::new(false),
            reader: Mutex::default(),
            is_told: AtomicBool::new(false),
        }
    }

    pub fn stage(&self) -> Stage {
        Stage::of_number(self.stage.load(Ordering::Acquire))
    }

    pub fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }

    /// The offset that it says it has.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// The offset that it says it has in its file.
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Acquire)
    }

    /// Unix time in milliseconds at which it said so.
    pub fn acknowledged_ms(&self) -> i64 {
        self.acknowledged_ms.load(Ordering::Relaxed)
    }

    /// Notes how far it is behind, before it is [noted](Replica::acknowledge) what it says it has.
    pub fn note_lag(&self, lag: Lag) {
        *self.lag.lock() = lag;
    }

    /// How far it is behind a log that ends at `end`: as it was when it last said what it has. If it should have said that again by
    /// now, time has passed for it since.
    pub fn lag(&self, now_ms: i64, end: u64) -> Lag {
        let lacking = end.saturating_sub(self.acknowledged());
        let overdue_ms = now_ms - self.acknowledged_ms() - ACKNOWLEDGEMENT_INTERVAL_MS;
        let lag = *self.lag.lock();
        if lacking == 0 {
            Lag::default()
        } else if overdue_ms <= 0 {
            lag
        } else {
            Lag { bytes: lacking, microseconds: lag.microseconds + overdue_ms * 1000 }
        }
    }

    /// Notes what it says it has, and in its file if it says so, too. Returns whether it has become able to follow.
    pub fn acknowledge(&self, offset: u64, stored: Option<u64>, now_ms: i64) -> bool {
        self.acknowledged.fetch_max(offset, Ordering::AcqRel);
        if let Some(stored) = stored {
            self.stored.fetch_max(stored, Ordering::AcqRel);
        }
        self.acknowledged_ms.store(now_ms, Ordering::Relaxed);
        let follows = self.stage() == Stage::Loading;
        if follows {
            self.set_stage(Stage::Online);
            self.tell();
        }
        follows
    }

    /// Reads the log from where `reader` stands, once everything before it has been sent.
    pub fn attach(&self, reader: Arc<Reader>) {
        *self.reader.lock() = Some(reader);
    }

    /// Takes its place in the log away.
    pub fn detach(&self) -> Option<Arc<Reader>> {
        self.reader.lock().take()
    }

    /// Tells its connection that there is something for it.
    pub fn tell(&self) {
        if !self.is_told.swap(true, Ordering::AcqRel) {
            self.client.mailbox.post(Message::Wake);
        }
    }

    /// Whether its connection has been told of something that it has not looked for since.
    pub fn has_been_told(&self) -> bool {
        self.is_told.load(Ordering::Acquire)
    }

    /// Adds to what is sent before the log.
    pub fn feed(&self, bytes: Bytes) {
        let mut feed = self.feed.lock();
        feed.bytes += bytes.len();
        feed.queue.push_back(bytes);
        drop(feed);
        self.tell();
    }

    /// Sends one that waits an empty line, so that it knows that somebody is there; but none in the middle of a copy.
    pub fn reassure(&self) {
        let mut feed = self.feed.lock();
        if !matches!(self.stage(), Stage::Waiting | Stage::Prepared) {
            return;
        }
        feed.bytes += 1;
        feed.queue.push_back(Bytes::from_static(b"\n"));
        drop(feed);
        self.tell();
    }

    /// Everything that is sent before the log has been added. If it `needs_answer`, the log waits for one.
    pub fn complete(&self, needs_answer: bool) {
        let mut feed = self.feed.lock();
        feed.is_complete = true;
        feed.needs_answer = needs_answer;
        drop(feed);
        self.tell();
    }

    /// Waits until at most `bytes` are left to be sent, or for so long. Returns whether it is still there.
    pub fn wait_for_room(&self, bytes: usize, timeout: Duration) -> bool {
        let mut feed = self.feed.lock();
        let has_no_room = |feed: &mut Feed| feed.bytes > bytes && !self.is_gone.load(Ordering::Acquire);
        let waited = self.taken.wait_while_for(&mut feed, has_no_room, timeout);
        !waited.timed_out() && !self.is_gone.load(Ordering::Acquire)
    }

    /// Its connection has ended.
    pub fn leave(&self) {
        let feed = self.feed.lock();
        self.is_gone.store(true, Ordering::Release);
        drop(feed);
        self.taken.notify_all();
    }

    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    /// What is to be sent next. Its connection is told when there is more.
    pub fn next(&self, log: &Log) -> Option<Bytes> {
        self.is_told.store(false, Ordering::Release);
        let mut feed = self.feed.lock();
        if let Some(bytes) = feed.queue.pop_front() {
            feed.bytes -= bytes.len();
            drop(feed);
            self.taken.notify_all();
            return Some(bytes);
        }
        if feed.is_complete && self.stage() < Stage::Loading {
            self.set_stage(if feed.needs_answer { Stage::Loading } else { Stage::Online });
        }
        drop(feed);
        if self.stage() != Stage::Online {
            return None;
        }
        let reader = self.reader.lock().clone()?;
        log.read(&reader, u64::MAX)
    }

    /// Where in the log it is to be sent what follows, if it follows.
    pub fn position(&self) -> Option<u64> {
        self.reader.lock().as_ref().map(|reader| reader.position())
    }

    /// Bytes of the log that are not yet on their way.
    pub fn behind(&self, log: &Log) -> usize {
        let reader = self.reader.lock().clone();
        reader.map_or(0, |reader| log.end().saturating_sub(reader.position()) as usize)
    }
}

impl PartialOrd for Stage {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some((*self as u8).cmp(&(*other as u8)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Endpoint;

    #[test]
    fn a_replica_that_is_silent_falls_behind() {
        let address = || Endpoint::Unix("".into());
        let client = Arc::new(Client::new(1, address(), address(), -1, 0));
        let replica = Replica::new(client, Capabilities::default(), false, 0);
        let lag = Lag { bytes: 10, microseconds: 2500 };
        replica.note_lag(lag);
        replica.acknowledge(90, None, 5000);
        assert_eq!(replica.lag(5000, 90), Lag::default(), "it has everything");
        assert_eq!(replica.lag(5999, 5000), lag, "it will say more");
        assert_eq!(replica.lag(7000, 5000), Lag { bytes: 4910, microseconds: 1_002_500 });
    }
}
