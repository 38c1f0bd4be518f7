//! Which keys cost most: the time and the bytes of commands, by key, while somebody has it tracked (`HOTKEYS`).
//!
//! Off, it costs each command a look at a flag. On, it costs those that have keys a lock, and nothing grows without end: of the
//! keys seen, those that have cost least are forgotten whenever there are too many.

use crate::process::{self, CpuTime};
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use rand::Rng;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Keys that are remembered for each that will be shown.
const KEYS_PER_SHOWN: usize = 200;
/// Bytes of all names that are remembered.
const NAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longer keys are not remembered.
const NAME_LEN_MAX: usize = NAME_BYTES_MAX / 16;

/// What is to be tracked, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Keys are ranked by the time of their commands.
    pub by_time: bool,
    /// Keys are ranked by the bytes of their commands' requests and replies.
    pub by_bytes: bool,
    /// Keys of a ranking.
    pub count: usize,
    /// When it ends by itself.
    pub duration: Option<Duration>,
    /// One of so many commands is looked at.
    pub sample_ratio: u32,
}

/// The keys that cost most, and how much.
pub type Ranking = Vec<(Box<[u8]>, u64)>;

/// What was found.
#[derive(Debug)]
pub struct Report {
    pub plan: Plan,
    pub is_active: bool,
    /// Of all commands that have keys, sampled or not.
    pub time: Duration,
    /// Of the requests and replies of the same commands.
    pub bytes: u64,
    /// Unix time.
    pub begun_ms: i64,
    pub lasted: Duration,
    /// What the process has used meanwhile.
    pub cpu_time: CpuTime,
    /// Nanoseconds by key.
    pub by_time: Option<Ranking>,
    /// Bytes by key.
    pub by_bytes: Option<Ranking>,
}

/// The tracking of the server's hot keys.
#[derive(Default)]
pub struct HotKeys {
    is_on: AtomicBool,
    /// The latest, which may be over.
    tracking: Mutex<Option<Tracking>>,
}

impl HotKeys {
    /// Whether commands are to be [noted](HotKeys::note).
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Whether tracking goes on.
    pub fn is_active(&self) -> bool {
        self.goes_on(&mut self.tracking.lock())
    }

    /// Begins anew, at `now_ms` of Unix time. Returns false if tracking is going on.
    pub fn start(&self, plan: Plan, now_ms: i64) -> bool {
        let mut tracking = self.tracking.lock();
        if self.goes_on(&mut tracking) {
            return false;
        }
        *tracking = Some(Tracking::begin(plan, now_ms));
        self.is_on.store(true, Ordering::Relaxed);
        true
    }

    /// Ends it; what was found stays. Returns false if it was not going on.
    pub fn stop(&self) -> bool {
        let mut tracking = self.tracking.lock();
        let went_on = self.goes_on(&mut tracking);
        if let Some(tracking) = tracking.as_mut().filter(|_| went_on) {
            self.is_on.store(false, Ordering::Relaxed);
            tracking.end(Instant::now());
        }
        went_on
    }

    /// Forgets what was found. Returns false if tracking is going on.
    pub fn reset(&self) -> bool {
        let mut tracking = self.tracking.lock();
        let goes_on = self.goes_on(&mut tracking);
        if !goes_on {
            *tracking = None;
        }
        !goes_on
    }

    /// What was found so far, if there is anything.
    pub fn report(&self) -> Option<Report> {
        let mut tracking = self.tracking.lock();
        let is_active = self.goes_on(&mut tracking);
        tracking.as_ref().map(|tracking| tracking.report(is_active))
    }

    /// Notes a command, of which each key gets its part of what it cost.
    pub fn note<'k>(&self, keys: impl ExactSizeIterator<Item = &'k [u8]>, time: Duration, bytes: usize) {
        let mut tracking = self.tracking.lock();
        if self.goes_on(&mut tracking)
            && let Some(tracking) = tracking.as_mut()
        {
            tracking.note(keys, time, bytes as u64);
        }
    }

    /// Whether it goes on, once that has been ended whose time is over.
    fn goes_on(&self, tracking: &mut Option<Tracking>) -> bool {
        let Some(tracking) = tracking.as_mut() else { return false };
        if tracking.ended.is_none()
            && let Some(deadline) = tracking.plan.duration.map(|duration| tracking.begun + duration)
            && Instant::now() >= deadline
        {
            self.is_on.store(false, Ordering::Relaxed);
            tracking.end(deadline);
        }
        tracking.ended.is_none()
    }
}

struct Tracking {
    plan: Plan,
    begun: Instant,
    begun_ms: i64,
    /// CPU time of the process when it began.
    cpu_time: CpuTime,
    /// When, and what CPU time the process had used by then.
    ended: Option<(Instant, CpuTime)>,
    time: Duration,
    bytes: u64,
    by_time: Option<Costs>,
    by_bytes: Option<Costs>,
}

impl Tracking {
    fn begin(plan: Plan, now_ms: i64) -> Tracking {
        let costs = || Costs::new(plan.count * KEYS_PER_SHOWN);
        Tracking {
            plan,
            begun: Instant::now(),
            begun_ms: now_ms,
            cpu_time: process::cpu_time(),
            ended: None,
            time: Duration::ZERO,
            bytes: 0,
            by_time: plan.by_time.then(costs),
            by_bytes: plan.by_bytes.then(costs),
        }
    }

    fn end(&mut self, at: Instant) {
        self.ended = Some((at, process::cpu_time()));
    }

    fn note<'k>(&mut self, keys: impl ExactSizeIterator<Item = &'k [u8]>, time: Duration, bytes: u64) {
        self.time += time;
        self.bytes += bytes;
        let ratio = self.plan.sample_ratio;
        if ratio > 1 && rand::rng().random_range(0..ratio) > 0 {
            return;
        }
        let count = keys.len() as u64;
        for key in keys {
            if let Some(costs) = &mut self.by_time {
                costs.add(key, time.as_nanos() as u64 / count);
            }
            if let Some(costs) = &mut self.by_bytes {
                costs.add(key, bytes / count);
            }
        }
    }

    fn report(&self, is_active: bool) -> Report {
        let (end, cpu_time) = self.ended.unwrap_or_else(|| (Instant::now(), process::cpu_time()));
        let ranking = |costs: &Costs| costs.ranking(self.plan.count);
        Report {
            plan: self.plan,
            is_active,
            time: self.time,
            bytes: self.bytes,
            begun_ms: self.begun_ms,
            lasted: end - self.begun,
            cpu_time: CpuTime {
                system: cpu_time.system.saturating_sub(self.cpu_time.system),
                user: cpu_time.user.saturating_sub(self.cpu_time.user),
            },
            by_time: self.by_time.as_ref().map(ranking),
            by_bytes: self.by_bytes.as_ref().map(ranking),
        }
    }
}

/// What keys have cost. Of those that were forgotten, what they had cost until then is missing.
struct Costs {
    by_key: HashMap<Box<[u8]>, u64, RandomState>,
    name_bytes: usize,
    keys_max: usize,
}

impl Costs {
    fn new(keys_max: usize) -> Costs {
        Costs { by_key: HashMap::default(), name_bytes: 0, keys_max }
    }

    fn add(&mut self, key: &[u8], cost: u64) {
        if let Some(sum) = self.by_key.get_mut(key) {
            *sum += cost;
        } else if key.len() <= NAME_LEN_MAX {
            if self.by_key.len() >= self.keys_max || self.name_bytes + key.len() > NAME_BYTES_MAX {
                self.forget_half();
            }
            self.name_bytes += key.len();
            self.by_key.insert(key.into(), cost);
        }
    }

    /// Keeps those that have cost most: half of the keys that there may be, with half of the bytes.
    fn forget_half(&mut self) {
        let mut kept: Ranking = self.by_key.drain().collect();
        kept.sort_unstable_by_key(|(_, cost)| Reverse(*cost));
        kept.truncate(self.keys_max / 2);
        self.name_bytes = 0;
        for (key, cost) in kept {
            if self.name_bytes + key.len() > NAME_BYTES_MAX / 2 {
                break;
            }
            self.name_bytes += key.len();
            self.by_key.insert(key, cost);
        }
    }

    fn ranking(&self, count: usize) -> Ranking {
        let mut all: Vec<_> = self.by_key.iter().collect();
        all.sort_unstable_by_key(|&(key, cost)| (Reverse(cost), key));
        all.into_iter().take(count).map(|(key, cost)| (key.clone(), *cost)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { by_time: true, by_bytes: true, count: 3, duration: None, sample_ratio: 1 };

    fn note(hot: &HotKeys, keys: &[&str], nanoseconds: u64, bytes: usize) {
        hot.note(keys.iter().map(|key| key.as_bytes()), Duration::from_nanos(nanoseconds), bytes);
    }

    fn names(ranking: &Ranking) -> Vec<&str> {
        ranking.iter().map(|(key, _)| std::str::from_utf8(key).expect("a name")).collect()
    }

    #[test]
    fn each_key_of_a_command_gets_its_part() {
        let hot = HotKeys::default();
        assert!(hot.start(PLAN, 1));
        note(&hot, &["a", "b"], 100, 10);
        note(&hot, &["a"], 1, 70);
        let report = hot.report().expect("it goes on");
        assert_eq!(report.by_time, Some(vec![(b"a"[..].into(), 51), (b"b"[..].into(), 50)]));
        assert_eq!(report.by_bytes, Some(vec![(b"a"[..].into(), 75), (b"b"[..].into(), 5)]));
        assert_eq!((report.time, report.bytes), (Duration::from_nanos(101), 80));
    }

    #[test]
    fn hot_keys_are_found_among_many() {
        let hot = HotKeys::default();
        assert!(hot.start(PLAN, 1));
        for turn in 0..50_000 {
            note(&hot, &[&format!("cold:{turn}")], 10, 20);
            note(&hot, &[["hot:1", "hot:2", "hot:3"][turn % 3]], 10, 20);
        }
        let report = hot.report().expect("it goes on");
        let mut found = names(report.by_time.as_ref().expect("wanted")).clone();
        found.sort_unstable();
        assert_eq!(found, ["hot:1", "hot:2", "hot:3"]);
        let tracking = hot.tracking.lock();
        let costs = tracking.as_ref().and_then(|tracking| tracking.by_bytes.as_ref()).expect("wanted");
        assert!(costs.by_key.len() <= 3 * KEYS_PER_SHOWN);
        assert_eq!(costs.name_bytes, costs.by_key.keys().map(|key| key.len()).sum::<usize>());
    }

    #[test]
    fn long_names_do_not_pile_up() {
        let mut costs = Costs::new(1000);
        for turn in 0..100_u64 {
            let mut name = vec![b'x'; NAME_LEN_MAX];
            name[..8].copy_from_slice(&turn.to_le_bytes());
            costs.add(&name, turn);
            assert!(costs.name_bytes <= NAME_BYTES_MAX);
        }
        let hottest = costs.ranking(1);
        assert_eq!(hottest[0].1, 99);
        costs.add(&vec![b'y'; NAME_LEN_MAX + 1], 1000);
        assert_eq!(costs.ranking(1), hottest);
    }

    #[test]
    fn it_ends_when_its_time_is_over() {
        let hot = HotKeys::default();
        assert!(hot.start(Plan { duration: Some(Duration::ZERO), ..PLAN }, 1) && hot.is_on());
        note(&hot, &["late"], 1, 1);
        let report = hot.report().expect("it was started");
        assert!(!report.is_active && !hot.is_on() && !hot.stop());
        assert_eq!((report.lasted, report.by_time), (Duration::ZERO, Some(Vec::new())));
        assert!(hot.reset() && hot.report().is_none());
    }

    #[test]
    fn samples_are_some_of_all() {
        let hot = HotKeys::default();
        assert!(hot.start(Plan { sample_ratio: 10, ..PLAN }, 1));
        for _ in 0..10_000 {
            note(&hot, &["key"], 1, 1);
        }
        let report = hot.report().expect("it goes on");
        assert_eq!(report.bytes, 10_000);
        let sampled = report.by_bytes.expect("wanted")[0].1;
        assert!((700..1300).contains(&sampled), "{sampled}");
    }
}
