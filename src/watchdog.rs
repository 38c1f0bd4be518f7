//! `watchdog-period`: the log is told when clients have not been served for so long, while that lasts.

use crate::config::Directive;
use crate::state::{State, unix_time_ms};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

/// The shortest period, in milliseconds: threads say only ten times a second that they have had a turn.
const PERIOD_MS_MIN: i64 = 200;
/// Looks in a period.
const LOOKS: i64 = 4;

/// When the threads had their last turns.
#[derive(Debug)]
pub struct Watchdog {
    is_watching: AtomicBool,
    /// Of each thread, in milliseconds of Unix time; 0 until it is known.
    turns: Box<[AtomicI64]>,
}

impl Watchdog {
    pub fn new(threads: usize) -> Watchdog {
        Watchdog { is_watching: AtomicBool::new(false), turns: (0..threads).map(|_| AtomicI64::new(0)).collect() }
    }
}

/// Milliseconds; `None` if nobody is to watch.
fn period_ms(state: &State) -> Option<i64> {
    let period = state.settings.int(Directive::WatchdogPeriod);
    (period > 0).then(|| period.max(PERIOD_MS_MIN))
}

/// Notes that a thread has a turn, and has the watch begin if it is wanted. Called by each thread ten times a second.
pub fn note_turn(state: &Arc<State>, thread: usize) {
    if period_ms(state).is_none() {
        return;
    }
    state.watchdog.turns[thread].store(unix_time_ms(), Ordering::Relaxed);
    if !state.watchdog.is_watching.swap(true, Ordering::AcqRel) {
        let watched = Arc::clone(state);
        if let Err(error) = crate::memory::spawn("watchdog", move || run(&watched)) {
            tracing::warn!("There is no thread for the watchdog: {error}");
            state.watchdog.is_watching.store(false, Ordering::Release);
        }
    }
}

/// Watches as long as it is wanted.
fn run(state: &State) {
    let mut watch = Watch::default();
    while let Some(period_ms) = period_ms(state) {
        let turns = state.watchdog.turns.iter().map(|turn| turn.load(Ordering::Relaxed));
        for complaint in watch.look(unix_time_ms(), period_ms, turns, state.loading.is_on()) {
            tracing::warn!("--- WATCHDOG TIMER EXPIRED --- {complaint}");
        }
        std::thread::sleep(Duration::from_millis((period_ms / LOOKS) as u64));
    }
    // Of turns in the meantime nobody will know.
    state.watchdog.turns.iter().for_each(|turn| turn.store(0, Ordering::Relaxed));
    state.watchdog.is_watching.store(false, Ordering::Release);
}

/// What the watchdog has seen.
#[derive(Default)]
struct Watch {
    /// The turn of each thread that was found to be too long ago.
    noted: Vec<i64>,
    /// Since when data have been loaded without a break, and whether that was told.
    loading: Option<(i64, bool)>,
}

impl Watch {
    /// What has gone on for the period, and was not told before. All in milliseconds.
    fn look(
        &mut self,
        now: i64,
        period: i64,
        turns: impl ExactSizeIterator<Item = i64>,
        is_loading: bool,
    ) -> Vec<String> {
        self.noted.resize(turns.len(), 0);
        let mut complaints = Vec::new();
        for ((thread, turn), noted) in turns.enumerate().zip(&mut self.noted) {
            if turn > 0 && turn != *noted && now - turn >= period {
                *noted = turn;
                complaints.push(format!("Thread {thread} has been busy for {} ms.", now - turn));
            }
        }
        self.loading = self.loading.or(Some((now, false))).filter(|_| is_loading);
        if let Some((since, is_told @ false)) = &mut self.loading
            && now - *since >= period
        {
            *is_told = true;
            complaints.push(format!("Data have been loaded for {} ms.", now - *since));
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told_once() {
        let mut watch = Watch::default();
        let mut look = |now, turns: [i64; 2], is_loading| watch.look(now, 200, turns.into_iter(), is_loading);
        assert!(look(1000, [0, 900], false).is_empty(), "nothing is known of the first, and the second is in time");
        assert!(look(1099, [1050, 900], true).is_empty());
        assert_eq!(look(1100, [1050, 900], true), ["Thread 1 has been busy for 200 ms."]);
        assert!(look(1200, [1050, 900], true).is_empty(), "told before");
        let both = ["Thread 0 has been busy for 250 ms.", "Data have been loaded for 201 ms."];
        assert_eq!(look(1300, [1050, 1250], true), both);
        assert!(look(1400, [1350, 1350], true).is_empty(), "told before");
        assert_eq!(look(1550, [1350, 1500], false), ["Thread 0 has been busy for 200 ms."], "again");
        assert!(look(1600, [1600, 1600], true).is_empty(), "it has just begun");
        assert_eq!(look(1800, [1800, 1800], true), ["Data have been loaded for 200 ms."]);
    }
}
