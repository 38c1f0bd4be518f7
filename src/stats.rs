//! What the server counts. Each thread has figures of its own, so that counting is a plain load and store; readers add
//! them up.

use crate::spec::COMMAND_COUNT;
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

thread_local! {
    /// Number of this thread among the workers.
    static THREAD: Cell<usize> = const { Cell::new(0) };
}

/// Says which worker the calling thread is.
pub fn set_thread(index: usize) {
    THREAD.set(index);
}

/// Latencies are counted in buckets of powers of two and eight steps between them; this many cover all durations.
const LATENCY_BUCKETS: usize = 512;
/// Nanoseconds in the unit of the latency buckets.
const BUCKET_UNIT_NS: u64 = 64;

/// Which worker the calling thread is; 0 for a thread that is none.
pub fn thread() -> usize {
    THREAD.get()
}

/// A figure that one thread counts up and any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// What is counted of one command on one thread.
#[derive(Debug, Default)]
struct CommandCounters {
    calls: Counter,
    nanoseconds: Counter,
    rejected: Counter,
    failed: Counter,
    latency: std::sync::OnceLock<Box<[Counter]>>,
}

/// Declares the plain counters: a field each, and `Figure` to name them.
macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A figure that is summed over all threads.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Figure { $($(#[$doc])* $name,)* }

        const FIGURES: usize = [$(Figure::$name),*].len();
    };
}

figures! {
    ConnectionsReceived,
    ConnectionsRejected,
    Commands,
    NetInputBytes,
    NetOutputBytes,
    NetReplInputBytes,
    NetReplOutputBytes,
    ReadsProcessed,
    WritesProcessed,
    KeyspaceHits,
    KeyspaceMisses,
    /// Keys removed because their time had come.
    ExpiredKeys,
    ExpiredFields,
    EvictedKeys,
    EvictedClients,
    QueryBufferLimitDisconnections,
    OutputBufferLimitDisconnections,
    ErrorReplies,
    /// Those to what a primary, a replica or a file said.
    UnexpectedErrorReplies,
    AuthFailures,
    CommandDenials,
    KeyDenials,
    ChannelDenials,
    /// Changes since the start; what `rdb_changes_since_last_save` counts.
    Changes,
}

struct ThreadStats {
    figures: [Counter; FIGURES],
    commands: Box<[CommandCounters]>,
}

/// The figures of all threads.
pub struct Stats {
    threads: Box<[ThreadStats]>,
    /// What was counted at the latest looks, oldest first.
    samples: Mutex<VecDeque<Sample>>,
    /// Unix time in seconds at which most memory was in use.
    peak_time: AtomicI64,
}

/// Looks at the figures over which rates are measured.
const SAMPLES_MAX: usize = 16;

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    time_us: i64,
    commands: u64,
    input_bytes: u64,
    output_bytes: u64,
}

/// What happens per second (`instantaneous_…`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    pub commands: f64,
    pub input_bytes: f64,
    pub output_bytes: f64,
}

/// What is known of one command over all threads.
#[derive(Clone, Debug, Default)]
pub struct CommandFigures {
    pub calls: u64,
    pub microseconds: u64,
    pub rejected: u64,
    pub failed: u64,
    /// Calls per latency bucket; empty if never called.
    pub latency: Vec<u64>,
}

impl Stats {
    pub fn new(threads: usize) -> Self {
        let thread = || ThreadStats {
            figures: std::array::from_fn(|_| Counter::default()),
            commands: (0..COMMAND_COUNT).map(|_| CommandCounters::default()).collect(),
        };
        Stats {
            threads: (0..threads.max(1)).map(|_| thread()).collect(),
            samples: Mutex::default(),
            peak_time: AtomicI64::new(0),
        }
    }

    #[inline]
    fn here(&self) -> &ThreadStats {
        &self.threads[THREAD.get().min(self.threads.len() - 1)]
    }

    #[inline]
    pub fn add(&self, figure: Figure, count: u64) {
        self.here().figures[figure as usize].add(count);
    }

    /// The figure over all threads.
    pub fn get(&self, figure: Figure) -> u64 {
        self.threads.iter().fold(0, |sum, thread| sum.wrapping_add(thread.figures[figure as usize].get()))
    }

    /// The figure of one thread.
    pub fn get_of_thread(&self, thread: usize, figure: Figure) -> u64 {
        self.threads[thread].figures[figure as usize].get()
    }

    /// Looks at the figures, so that [`Stats::rates`] has something to compare. To be called ten times a second.
    pub fn sample(&self, time_us: i64) {
        let sample = Sample {
            time_us,
            commands: self.get(Figure::Commands),
            input_bytes: self.get(Figure::NetInputBytes),
            output_bytes: self.get(Figure::NetOutputBytes),
        };
        let mut samples = self.samples.lock();
        if samples.len() == SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// What happened per second lately.
    pub fn rates(&self) -> Rates {
        let samples = self.samples.lock();
        let (Some(first), Some(last)) = (samples.front(), samples.back()) else { return Rates::default() };
        let seconds = (last.time_us - first.time_us) as f64 / 1e6;
        if seconds <= 0.0 {
            return Rates::default();
        }
        let rate = |first: u64, last: u64| last.saturating_sub(first) as f64 / seconds;
        Rates {
            commands: rate(first.commands, last.commands),
            input_bytes: rate(first.input_bytes, last.input_bytes),
            output_bytes: rate(first.output_bytes, last.output_bytes),
        }
    }

    /// Notes that more memory is in use than ever before, at a Unix time in seconds.
    pub fn note_peak(&self, time: i64) {
        self.peak_time.store(time, Ordering::Relaxed);
    }

    pub fn peak_time(&self) -> i64 {
        self.peak_time.load(Ordering::Relaxed)
    }

    /// Counts a call that took `nanoseconds`.
    #[inline]
    pub fn called(&self, command: u16, nanoseconds: u64, failed: bool, track_latency: bool) {
        let here = self.here();
        here.figures[Figure::Commands as usize].add(1);
        let counters = &here.commands[usize::from(command)];
        counters.calls.add(1);
        counters.nanoseconds.add(nanoseconds);
        if failed {
            counters.failed.add(1);
        }
        if track_latency {
            let buckets = counters.latency.get_or_init(|| (0..LATENCY_BUCKETS).map(|_| Counter::default()).collect());
            buckets[bucket(nanoseconds)].add(1);
        }
    }

    /// Counts a call that was refused before its handler ran.
    pub fn rejected(&self, command: u16) {
        self.here().commands[usize::from(command)].rejected.add(1);
    }

    pub fn command(&self, command: u16) -> CommandFigures {
        let mut sum = CommandFigures::default();
        let mut nanoseconds = 0;
        for thread in &self.threads {
            let counters = &thread.commands[usize::from(command)];
            sum.calls += counters.calls.get();
            nanoseconds += counters.nanoseconds.get();
            sum.rejected += counters.rejected.get();
            sum.failed += counters.failed.get();
            for (bucket, counter) in counters.latency.get().into_iter().flatten().enumerate() {
                if sum.latency.is_empty() {
                    sum.latency = vec![0; LATENCY_BUCKETS];
                }
                sum.latency[bucket] += counter.get();
            }
        }
        sum.microseconds = nanoseconds / 1000;
        sum
    }

    /// `CONFIG RESETSTAT`: everything but what describes the present.
    pub fn reset(&self) {
        self.samples.lock().clear();
        for thread in &self.threads {
            for (index, figure) in thread.figures.iter().enumerate() {
                if index != Figure::Changes as usize {
                    figure.reset();
                }
            }
            for counters in &thread.commands {
                for counter in [&counters.calls, &counters.nanoseconds, &counters.rejected, &counters.failed] {
                    counter.reset();
                }
                counters.latency.get().into_iter().flatten().for_each(Counter::reset);
            }
        }
    }
}

/// The latency bucket of a duration.
fn bucket(nanoseconds: u64) -> usize {
    let units = nanoseconds / BUCKET_UNIT_NS;
    if units < 8 {
        return units as usize;
    }
    let power = units.ilog2() as usize;
    ((power - 2) * 8 + (units >> (power - 3) & 7) as usize).min(LATENCY_BUCKETS - 1)
}

/// The bucket below which, itself included, `percentile` percent of the calls are.
pub fn bucket_at(counts: &[u64], percentile: f64) -> usize {
    let total: u64 = counts.iter().sum();
    let wanted = ((total as f64 * percentile / 100.0).ceil() as u64).clamp(1, total.max(1));
    let mut seen = 0;
    let found = counts.iter().position(|count| {
        seen += count;
        seen >= wanted
    });
    found.unwrap_or(0)
}

/// The longest duration of a bucket, in microseconds.
pub fn bucket_microseconds(bucket: usize) -> f64 {
    let units = if bucket < 8 {
        bucket as u64 + 1
    } else {
        let power = (bucket / 8 + 2).min(57);
        (8 + bucket as u64 % 8 + 1) << (power - 3)
    };
    (units * BUCKET_UNIT_NS) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_ordered_and_cover_their_durations() {
        let mut last = 0;
        for nanoseconds in (0..40).flat_map(|power| [1u64 << power, (1 << power) + (1 << power >> 1)]) {
            let bucket = bucket(nanoseconds);
            assert!(bucket >= last);
            last = bucket;
            let upper = bucket_microseconds(bucket) * 1000.0;
            assert!(upper >= nanoseconds as f64, "{nanoseconds} ns in a bucket up to {upper}");
            assert!(upper <= (nanoseconds as f64).mul_add(1.15, 64.0), "{nanoseconds} ns in a bucket up to {upper}");
        }
    }

    #[test]
    fn percentiles_find_their_bucket() {
        let counts = [0, 98, 0, 1, 1];
        let buckets = [0.0, 50.0, 98.0, 99.0, 99.5, 100.0].map(|percentile| bucket_at(&counts, percentile));
        assert_eq!(buckets, [1, 1, 1, 3, 4, 4]);
    }

    #[test]
    fn rates_are_per_second() {
        let stats = Stats::new(1);
        stats.sample(1_000_000);
        stats.add(Figure::Commands, 50);
        stats.sample(1_500_000);
        assert_eq!(stats.rates().commands, 100.0);
    }

    #[test]
    fn figures_are_summed_and_reset() {
        let stats = Stats::new(2);
        stats.add(Figure::ExpiredKeys, 3);
        set_thread(1);
        stats.add(Figure::ExpiredKeys, 4);
        set_thread(0);
        assert_eq!(stats.get(Figure::ExpiredKeys), 7);
        stats.reset();
        assert_eq!(stats.get(Figure::ExpiredKeys), 0);
    }
}
