//! What was slow: the slow log (`SLOWLOG`), and the latency of events (`LATENCY`).

use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};

/// Arguments of a command that the slow log keeps, and bytes of each.
const ARGS_MAX: usize = 32;
const ARG_BYTES_MAX: usize = 128;
/// Samples kept per event.
const SAMPLES_MAX: usize = 160;

/// One command of a log.
#[derive(Clone, Debug)]
pub struct SlowEntry {
    pub id: u64,
    /// Unix time in seconds.
    pub time: i64,
    /// Microseconds; bytes in the logs of large requests and replies.
    pub measure: u64,
    pub args: Vec<Vec<u8>>,
    pub client_address: String,
    pub client_name: Box<[u8]>,
}

/// The latest slow commands.
#[derive(Default)]
pub struct SlowLog {
    entries: Mutex<(u64, VecDeque<SlowEntry>)>,
}

impl SlowLog {
    /// Adds a command, shortened, and drops the oldest ones above `len_max`. With a length of zero nothing is added, and what
    /// there is stays, as in Redis.
    pub fn add<'a>(
        &self,
        time: i64,
        measure: u64,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
        client: (String, Box<[u8]>),
        len_max: usize,
    ) {
        if len_max == 0 {
            return;
        }
        let mut entries = self.entries.lock();
        let id = entries.0;
        entries.0 += 1;
        let args = shorten(args);
        let (client_address, client_name) = client;
        entries.1.push_front(SlowEntry { id, time, measure, args, client_address, client_name });
        entries.1.truncate(len_max);
    }

    /// The latest entries, newest first.
    pub fn latest(&self, count: usize) -> Vec<SlowEntry> {
        self.entries.lock().1.iter().take(count).cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.entries.lock().1.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn clear(&self) {
        self.entries.lock().1.clear();
    }
}

/// At most so many arguments of so many bytes, with a remark where something was left out.
fn shorten<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let count = args.len();
    let kept = if count > ARGS_MAX { ARGS_MAX - 1 } else { count };
    let mut short: Vec<Vec<u8>> = args
        .take(kept)
        .map(|arg| match arg.len().checked_sub(ARG_BYTES_MAX) {
            None | Some(0) => arg.to_vec(),
            Some(more) => [&arg[..ARG_BYTES_MAX], format!("... ({more} more bytes)").as_bytes()].concat(),
        })
        .collect();
    if kept < count {
        short.push(format!("... ({} more arguments)", count - kept).into_bytes());
    }
    short
}

/// A spike of an event: when (Unix time in seconds) and how long (milliseconds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub time: i64,
    pub milliseconds: u32,
}

/// The spikes of one event.
#[derive(Clone, Debug, Default)]
pub struct EventSamples {
    /// Oldest first.
    pub samples: VecDeque<Sample>,
    /// The worst ever, in milliseconds.
    pub worst: u32,
}

/// Spikes by event.
#[derive(Default)]
pub struct LatencyMonitor {
    events: Mutex<BTreeMap<String, EventSamples>>,
}

impl LatencyMonitor {
    /// Notes a spike; several in one second count as their worst.
    pub fn add(&self, event: &str, time: i64, milliseconds: u32) {
        let mut events = self.events.lock();
        let event = events.entry(event.to_owned()).or_default();
        event.worst = event.worst.max(milliseconds);
        match event.samples.back_mut() {
            Some(last) if last.time == time => last.milliseconds = last.milliseconds.max(milliseconds),
            _ => {
                event.samples.push_back(Sample { time, milliseconds });
                if event.samples.len() > SAMPLES_MAX {
                    event.samples.pop_front();
                }
            }
        }
    }

    pub fn all(&self) -> BTreeMap<String, EventSamples> {
        self.events.lock().clone()
    }

    /// Forgets an event, or all; returns how many there were.
    pub fn reset(&self, event: Option<&str>) -> usize {
        let mut events = self.events.lock();
        match event {
            Some(event) => usize::from(events.remove(event).is_some()),
            None => std::mem::take(&mut *events).len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_commands_are_shortened() {
        let long = vec![b'x'; 200];
        let args: Vec<&[u8]> =
            std::iter::once(long.as_slice()).chain(std::iter::repeat_n(b"a".as_slice(), 40)).collect();
        let short = shorten(args.into_iter());
        assert_eq!(short.len(), 32);
        assert!(short[0].ends_with(b"... (72 more bytes)"));
        assert_eq!(short[31], b"... (10 more arguments)");
    }

    #[test]
    fn spikes_of_one_second_are_one() {
        let monitor = LatencyMonitor::default();
        for (time, milliseconds) in [(1, 5), (1, 9), (1, 3), (2, 4)] {
            monitor.add("command", time, milliseconds);
        }
        let event = &monitor.all()["command"];
        assert_eq!(event.samples, [Sample { time: 1, milliseconds: 9 }, Sample { time: 2, milliseconds: 4 }]);
        assert_eq!(event.worst, 9);
        assert_eq!(monitor.reset(None), 1);
    }
}
