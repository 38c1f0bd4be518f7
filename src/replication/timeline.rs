//! When the log ended where: from that follows for how long a replica has lacked what it lacks.

use parking_lot::Mutex;
use std::collections::VecDeque;

/// Moments that are kept. When there are more, every second one of the older half is forgotten: the longer ago, the coarser.
const MOMENTS_MAX: usize = 512;
/// The least time between two moments.
const INTERVAL_US: i64 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    /// Microseconds of Unix time.
    time_us: i64,
    /// Where the log ended.
    offset: u64,
}

/// Moments of the log, in the order of time and of offsets.
#[derive(Debug, Default)]
pub struct Timeline(Mutex<VecDeque<Moment>>);

impl Timeline {
    /// Notes what the time is, in microseconds of Unix time, and where the log ends: `look` tells, and is asked while nobody else notes
    /// anything, so that moments come in their order.
    pub fn note(&self, look: impl FnOnce() -> (i64, u64)) {
        let mut moments = self.0.lock();
        let (time_us, offset) = look();
        add(&mut moments, Moment { time_us, offset });
    }

    /// Notes the same, as a replica has just been sent something. If that was sent as soon as it was there, and to one that had been
    /// sent everything before, the log ended a moment ago at `begin`, where it stands.
    pub fn note_sent(&self, begin: Option<u64>, look: impl FnOnce() -> (i64, u64)) {
        let mut moments = self.0.lock();
        let (now_us, end) = look();
        let last = moments.back().copied();
        if last.is_some_and(|last| (0..INTERVAL_US).contains(&(now_us - last.time_us))) {
            return;
        }
        // If the log had gone on before, this replica was late.
        if let Some(begin) = begin.filter(|begin| last.is_none_or(|last| last.offset <= *begin)) {
            add(&mut moments, Moment { time_us: now_us, offset: begin });
        }
        add(&mut moments, Moment { time_us: now_us, offset: end });
    }

    /// For how long, in microseconds, the log has gone on behind `offset`, if it ends at `end` now. At least so long, if that is more
    /// than is remembered.
    pub fn behind_us(&self, offset: u64, now_us: i64, end: u64) -> i64 {
        if offset >= end {
            return 0;
        }
        let moments = self.0.lock();
        let passed = moments.partition_point(|moment| moment.offset <= offset);
        let next = moments.get(passed).copied().unwrap_or(Moment { time_us: now_us, offset: end });
        let since_us = match passed.checked_sub(1).and_then(|index| moments.get(index)) {
            // Between two moments, the log is taken to have grown evenly.
            Some(before) => {
                let share = (offset - before.offset) as f64 / (next.offset - before.offset).max(1) as f64;
                before.time_us + ((next.time_us - before.time_us) as f64 * share) as i64
            }
            None => next.time_us,
        };
        (now_us - since_us).max(0)
    }
}

fn add(moments: &mut VecDeque<Moment>, moment: Moment) {
    let last = moments.back().copied();
    if last.is_some_and(|last| moment.offset < last.offset || moment.time_us < last.time_us) {
        // It is another log, or the clock was set back.
        moments.clear();
    }
    let is_same = |index: usize| moments.get(index).is_some_and(|known| known.offset == moment.offset);
    if moments.len() >= 2 && is_same(moments.len() - 1) && is_same(moments.len() - 2) {
        // Of a time in which nothing happens, the begin and the end are enough.
        moments.pop_back();
    }
    if moments.capacity() == 0 {
        // All at once: what following costs is known before memory is full.
        moments.reserve_exact(MOMENTS_MAX);
    }
    if moments.len() == MOMENTS_MAX {
        let mut index = 0;
        moments.retain(|_| {
            index += 1;
            index > MOMENTS_MAX / 2 || index % 2 == 1
        });
    }
    moments.push_back(moment);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    #[test]
    fn behind_since_the_log_went_on() {
        let timeline = Timeline::default();
        timeline.note(|| (1_000_000, 100));
        timeline.note(|| (2_000_000, 100));
        timeline.note(|| (3_000_000, 200));
        assert_eq!(timeline.behind_us(200, 3_500_000, 200), 0);
        // It went on behind 100 at two seconds at the earliest, and was at 150 half a second later.
        assert_eq!(timeline.behind_us(100, 3_500_000, 200), 1_500_000);
        assert_eq!(timeline.behind_us(150, 3_500_000, 200), 1_000_000);
        // Longer ago than it is remembered.
        assert_eq!(timeline.behind_us(50, 3_500_000, 200), 2_500_000);
        // What came after the last moment.
        assert_eq!(timeline.behind_us(250, 4_000_000, 300), 500_000);
        assert_eq!(Timeline::default().behind_us(1, 5, 2), 0);
    }

    #[test]
    fn what_was_sent_at_once_was_not_there_before() {
        let timeline = Timeline::default();
        timeline.note(|| (1_000_000, 100));
        timeline.note_sent(Some(100), || (1_090_000, 5000));
        assert_eq!(timeline.behind_us(100, 1_091_000, 5000), 1000);
        // A replica that is late says nothing of when the log grew.
        timeline.note(|| (1_200_000, 9000));
        timeline.note_sent(Some(5000), || (1_300_000, 9000));
        assert!(timeline.behind_us(5000, 1_300_000, 9000) >= 200_000);
        // Nothing is noted twice in a millisecond.
        let moments = timeline.0.lock().len();
        timeline.note_sent(Some(9000), || (1_300_500, 9001));
        assert_eq!(timeline.0.lock().len(), moments);
    }

    /// Threads that note at the same time leave nothing that is older than what is there.
    #[test]
    fn moments_of_many_threads_come_in_their_order() {
        let (timeline, log) = (Timeline::default(), AtomicI64::new(0));
        // The log grows by one in each microsecond.
        let look = || {
            let now = log.fetch_add(1, Ordering::Relaxed);
            (now, now as u64)
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        timeline.note(look);
                        timeline.note_sent(Some(0), look);
                    }
                });
            }
        });
        let (now, end) = look();
        let behind_us = timeline.behind_us(10, now, end);
        assert!((now - 100..=now).contains(&behind_us), "{behind_us} of {now}");
    }

    proptest! {
        /// Whatever is forgotten, the answer lies between what the moments next to the offset say.
        #[test]
        fn a_long_time_is_remembered_coarsely(steps in proptest::collection::vec((1i64..200, 0u64..50), 1..3000), at in 0.0..1.0f64) {
            let timeline = Timeline::default();
            let (mut now_us, mut end) = (0, 0);
            let mut all = Vec::new();
            for (time, bytes) in steps {
                (now_us, end) = (now_us + time * 1000, end + bytes);
                timeline.note(|| (now_us, end));
                all.push((now_us, end));
            }
            prop_assert!(timeline.0.lock().len() <= MOMENTS_MAX);
            let offset = (end as f64 * at) as u64;
            let behind_us = timeline.behind_us(offset, now_us, end);
            prop_assert!((0..=now_us).contains(&behind_us));
            let kept: Vec<_> = timeline.0.lock().iter().copied().collect();
            prop_assert!(all.len() < MOMENTS_MAX || kept.len() >= MOMENTS_MAX / 4, "{} are kept", kept.len());
            prop_assert!(kept.iter().all(|moment| all.contains(&(moment.time_us, moment.offset))));
            prop_assert_eq!(kept[0].time_us, all[0].0);
            if offset < end {
                // The log went on behind the offset between these two.
                let passed = kept.partition_point(|moment| moment.offset <= offset);
                let earliest_us = passed.checked_sub(1).map_or(kept[0].time_us, |index| kept[index].time_us);
                let latest_us = kept.get(passed).map_or(now_us, |moment| moment.time_us);
                prop_assert!((now_us - latest_us..=now_us - earliest_us).contains(&behind_us));
                let exactly = all.partition_point(|(_, known)| *known <= offset);
                prop_assert!((earliest_us..=latest_us).contains(&all[exactly].0));
            }
        }
    }
}
