//! How a thread that is busy with many clients rests before it looks for more requests.
//!
//! A thread that has served everybody sleeps until the next request comes, which is a few microseconds later if there are many
//! clients. Then it has been put to sleep and woken for one or two requests, and the client that wakes it pays as well. So it
//! sleeps for a fixed while instead, if that serves no fewer requests and costs less: it tries both, time and again.

use crate::access::{nanoseconds_between, ticks};
use crate::process::thread_cpu_time;
use std::cell::RefCell;
use std::time::Duration;

/// How long a rest is: what a request waits longer at most.
const REST: Duration = Duration::from_micros(30);
/// For how long each way is tried.
const TRIAL_NS: u64 = 10_000_000;
/// For how long the better one is kept.
const APPLICATION_NS: u64 = 180_000_000;
/// The part of its time between being woken and sleeping again, for a thread that might rest. One that is less busy has no need
/// to, and one that is busier finds the next request at once.
const BUSY: std::ops::RangeInclusive<f64> = 0.35..=0.95;
/// Clients in a trial with which a thread might rest: a few would wait for it in turn.
const CLIENTS_MIN: u32 = 8;
/// With rests, against what is so without: what is served at least, and the CPU time of that at most.
const SERVED_MIN: f64 = 0.97;
const COST_MAX: f64 = 0.97;
/// What the latest trial counts for, against all before.
const WEIGHT: f64 = 0.4;

thread_local! {
    static RESTS: RefCell<Rests> = RefCell::new(Rests::begin(ticks()));
}

/// Called before the thread sleeps until something happens.
pub fn before_sleep() {
    let cpu_ns = || {
        let time = thread_cpu_time();
        (time.system + time.user).as_nanos() as u64
    };
    if RESTS.with_borrow_mut(|rests| rests.is_time(ticks(), cpu_ns)) {
        std::thread::sleep(REST);
    }
}

/// Called when the thread has been woken.
pub fn after_sleep() {
    RESTS.with_borrow_mut(|rests| rests.woken = ticks());
}

/// A connection has a turn, whose turn before began at `previous`, by the fine clock.
#[inline]
pub fn note_turn(previous: u64) {
    RESTS.with_borrow_mut(|rests| rests.clients += u32::from(previous < rests.begun));
}

/// Clients have sent `bytes`.
#[inline]
pub fn note_input(bytes: usize) {
    RESTS.with_borrow_mut(|rests| rests.bytes += bytes as u64);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is tried, to see how busy the thread is.
    Plain,
    /// It rests, to see what that brings.
    Trial,
    /// It rests, or does not, as was found to be better.
    Application { rests: bool },
}

/// What a phase was like.
#[derive(Clone, Copy, Debug)]
struct Figures {
    /// Bytes of requests in a nanosecond.
    served: f64,
    /// Nanoseconds of CPU time for a byte of requests.
    cost: f64,
}

struct Rests {
    phase: Phase,
    /// When the phase began, and the thread was last woken, by the fine clock.
    begun: u64,
    woken: u64,
    /// The CPU time when the phase began, in nanoseconds.
    cpu_ns: u64,
    /// In this phase: nanoseconds, bytes of requests, clients.
    busy_ns: u64,
    bytes: u64,
    clients: u32,
    /// What the last plain phase was like, and what phases with rests are like against those without.
    plain: Figures,
    ratios: Figures,
}

/// Nothing is known of rests.
const UNKNOWN: Figures = Figures { served: 1.0, cost: 1.0 };

impl Rests {
    fn begin(now: u64) -> Rests {
        let (phase, plain, ratios) = (Phase::Plain, UNKNOWN, UNKNOWN);
        Rests { phase, begun: now, woken: now, cpu_ns: 0, busy_ns: 0, bytes: 0, clients: 0, plain, ratios }
    }

    /// Whether to rest, now that there is nothing more to do; `cpu_ns` tells the thread's CPU time.
    fn is_time(&mut self, now: u64, cpu_ns: impl FnOnce() -> u64) -> bool {
        self.busy_ns += nanoseconds_between(self.woken, now);
        self.woken = now;
        let length = nanoseconds_between(self.begun, now);
        let wanted = if matches!(self.phase, Phase::Application { .. }) { APPLICATION_NS } else { TRIAL_NS };
        if length >= wanted {
            let cpu_ns = cpu_ns();
            let used = cpu_ns.saturating_sub(self.cpu_ns) as f64;
            self.phase = self.next(length as f64, used);
            (self.begun, self.cpu_ns, self.busy_ns, self.bytes, self.clients) = (now, cpu_ns, 0, 0, 0);
        }
        matches!(self.phase, Phase::Trial | Phase::Application { rests: true })
    }

    /// What follows the phase, which has lasted and used so many nanoseconds.
    fn next(&mut self, length: f64, used: f64) -> Phase {
        let bytes = self.bytes as f64;
        let figures = Figures { served: bytes / length, cost: used / bytes };
        match self.phase {
            Phase::Plain
                if self.bytes > 0 && self.clients >= CLIENTS_MIN && BUSY.contains(&(self.busy_ns as f64 / length)) =>
            {
                self.plain = figures;
                Phase::Trial
            }
            Phase::Plain => {
                self.ratios = UNKNOWN;
                Phase::Application { rests: false }
            }
            Phase::Trial if self.bytes > 0 => {
                let Figures { served, cost } = &mut self.ratios;
                *served += (figures.served / self.plain.served - *served) * WEIGHT;
                *cost += (figures.cost / self.plain.cost - *cost) * WEIGHT;
                Phase::Application { rests: *served >= SERVED_MIN && *cost <= COST_MAX }
            }
            Phase::Trial => Phase::Application { rests: false },
            Phase::Application { .. } => Phase::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A load, of turns of 20 microseconds.
    #[derive(Clone, Copy)]
    struct Load {
        busy_percent: u64,
        clients: u32,
        /// What is sent, and the CPU time of it, in a turn that comes without a rest and in one that comes with it.
        bytes: [u64; 2],
        cpu_ns: [u64; 2],
    }

    const USUAL: Load = Load { busy_percent: 75, clients: 50, bytes: [100, 100], cpu_ns: [18_000, 15_000] };

    /// Serves for so many turns, and returns the part of them that ended with a rest.
    fn serve(rests: &mut Rests, now: &mut u64, turns: u32, load: Load) -> f64 {
        // The clock of a test ticks as it likes.
        let length = 20_000 * 1_000_000 / nanoseconds_between(0, 1_000_000);
        let (mut rested, mut is_rest, mut cpu_ns) = (0, false, 0);
        for turn in 0..turns {
            rests.woken = *now;
            rests.bytes += load.bytes[usize::from(is_rest)];
            cpu_ns += load.cpu_ns[usize::from(is_rest)];
            rests.clients = rests.clients.max((turn + 1).min(load.clients));
            is_rest = rests.is_time(*now + length * load.busy_percent / 100, || cpu_ns);
            rested += u32::from(is_rest);
            *now += length;
        }
        f64::from(rested) / f64::from(turns)
    }

    #[test]
    fn a_busy_thread_rests_if_that_costs_less_and_no_requests() {
        let share = |load| serve(&mut Rests::begin(0), &mut 0, 50_000, load);
        assert!(share(USUAL) > 0.85, "as many requests, at less cost");
        assert!(share(Load { bytes: [100, 130], ..USUAL }) > 0.85);
        let trials = 0.01..0.15;
        assert!(trials.contains(&share(Load { bytes: [100, 80], ..USUAL })), "fewer requests");
        assert!(trials.contains(&share(Load { cpu_ns: [15_000, 15_000], ..USUAL })), "no less cost");
        assert_eq!(share(Load { clients: 4, ..USUAL }), 0.0, "few clients");
        assert_eq!(share(Load { busy_percent: 20, ..USUAL }), 0.0, "idle enough");
        assert_eq!(share(Load { busy_percent: 99, ..USUAL }), 0.0, "never idle");
        assert_eq!(share(Load { bytes: [0, 0], ..USUAL }), 0.0, "busy with something else");
    }

    #[test]
    fn what_was_found_for_one_load_is_not_taken_for_another() {
        let (mut rests, mut now) = (Rests::begin(0), 0);
        assert!(serve(&mut rests, &mut now, 50_000, USUAL) > 0.85);
        let idle = Load { busy_percent: 10, ..USUAL };
        assert!(serve(&mut rests, &mut now, 50_000, idle) < 0.2, "until it looks again");
        assert_eq!(serve(&mut rests, &mut now, 20_000, idle), 0.0);
    }
}
