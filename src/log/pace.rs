//! How a reader of the log spreads what it does: at once what comes now and then, together what comes without end.

use std::time::{Duration, Instant};

/// What a reader is to keep to.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How late it may be.
    pub gather: Duration,
    /// Turns, and bytes in them, that are not put off although there were others within [`Terms::gather`] before them.
    pub prompt_turns: u32,
    pub prompt_bytes: usize,
}

/// How much a reader has done of late.
#[derive(Debug)]
pub struct Pace {
    terms: Terms,
    /// When it last did something.
    latest: Instant,
    /// Turns since there was none for [`Terms::gather`], and bytes in them.
    turns: u32,
    bytes: usize,
}

impl Pace {
    pub fn new(terms: Terms) -> Self {
        Pace { terms, latest: Instant::now(), turns: 0, bytes: 0 }
    }

    /// Notes a turn.
    pub fn note(&mut self, bytes: usize) {
        if self.latest.elapsed() >= self.terms.gather {
            (self.turns, self.bytes) = (0, 0);
        }
        self.turns += 1;
        self.bytes += bytes;
        self.latest = Instant::now();
    }

    /// How long more is to be gathered before the next turn.
    pub fn wait(&self) -> Duration {
        if self.turns < self.terms.prompt_turns && self.bytes < self.terms.prompt_bytes {
            return Duration::ZERO;
        }
        self.terms.gather.saturating_sub(self.latest.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { gather: Duration::from_millis(10), prompt_turns: 4, prompt_bytes: 16 * 1024 };

    fn pace(turns: u32, bytes: usize) -> Pace {
        let mut pace = Pace::new(TERMS);
        (0..turns).for_each(|_| pace.note(bytes));
        // None of this depends on how long it took.
        pace.latest = Instant::now() + TERMS.gather;
        pace
    }

    #[test]
    fn little_is_done_at_once_and_much_is_gathered() {
        assert_eq!(pace(TERMS.prompt_turns - 1, 100).wait(), Duration::ZERO);
        assert!(pace(TERMS.prompt_turns, 100).wait() >= TERMS.gather);
        assert!(pace(1, TERMS.prompt_bytes).wait() >= TERMS.gather);
        let mut rested = pace(TERMS.prompt_turns, TERMS.prompt_bytes);
        rested.latest = Instant::now() - 2 * TERMS.gather;
        assert_eq!(rested.wait(), Duration::ZERO);
        rested.note(100);
        assert_eq!((rested.turns, rested.bytes), (1, 100));
    }
}
