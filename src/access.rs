//! Time as commands use it: the access clock of records (LRU, or LFU), and a fine clock for latencies.

use crate::config::{Directive, MaxmemoryPolicy, Settings};
use crate::state::unix_time_us;
use rand::Rng;
use std::cell::Cell;
use std::sync::LazyLock;

/// Bits of a record's access clock.
const CLOCK_MASK: u32 = (1 << 24) - 1;
/// What the frequency counter of a new key starts with, so that it is not evicted at once.
const FREQUENCY_INITIAL: u32 = 5;

static FINE_CLOCK: LazyLock<quanta::Clock> = LazyLock::new(quanta::Clock::new);

/// A point of the fine clock.
#[inline]
pub fn ticks() -> u64 {
    FINE_CLOCK.raw()
}

/// For how long the system's clock is not asked again, in nanoseconds.
const ANCHOR_NS_MAX: u64 = 50_000_000;

thread_local! {
    /// A point of the fine clock, and what the system's clock said then, in microseconds of Unix time.
    static ANCHOR: Cell<(u64, i64)> = const { Cell::new((0, 0)) };
}

/// The time at a recent point of the fine clock, in milliseconds of Unix time: cheaper than asking the system.
#[inline]
pub fn unix_time_ms_at(ticks: u64) -> i64 {
    let (anchor, anchor_us) = ANCHOR.get();
    let elapsed = FINE_CLOCK.delta_as_nanos(anchor, ticks);
    if elapsed < ANCHOR_NS_MAX && anchor != 0 {
        return (anchor_us + (elapsed / 1000) as i64) / 1000;
    }
    let now_us = unix_time_us();
    ANCHOR.set((ticks, now_us));
    now_us / 1000
}

/// Nanoseconds since `ticks`.
#[inline]
pub fn nanoseconds_since(ticks: u64) -> u64 {
    nanoseconds_between(ticks, FINE_CLOCK.raw())
}

/// Nanoseconds from one point of the fine clock to another.
#[inline]
pub fn nanoseconds_between(begun: u64, ended: u64) -> u64 {
    FINE_CLOCK.delta_as_nanos(begun, ended)
}

/// Whether records are evicted by frequency: then their clock is 16 bits of minutes and 8 bits of a logarithmic
/// counter, as in Redis; else it is 24 bits of seconds.
#[inline]
pub fn counts_frequency(settings: &Settings) -> bool {
    matches!(settings.choice(Directive::MaxmemoryPolicy), MaxmemoryPolicy::AllkeysLfu | MaxmemoryPolicy::VolatileLfu)
}

/// The clock of a record that is made now.
#[inline]
pub fn created(settings: &Settings, now_ms: i64) -> u32 {
    if counts_frequency(settings) { minutes(now_ms) << 8 | FREQUENCY_INITIAL } else { seconds(now_ms) }
}

/// The clock of a record that is used now and had `clock` before.
#[inline]
pub fn touched(settings: &Settings, clock: u32, now_ms: i64) -> u32 {
    if counts_frequency(settings) { touched_frequency(settings, clock, now_ms) } else { seconds(now_ms) }
}

#[cold]
fn touched_frequency(settings: &Settings, clock: u32, now_ms: i64) -> u32 {
    let mut counter = frequency(settings, clock, now_ms);
    if counter < 255 {
        let factor = settings.int(Directive::LfuLogFactor).max(0) as f64;
        let above = counter.saturating_sub(FREQUENCY_INITIAL);
        if rand::rng().random::<f64>() < 1.0 / (f64::from(above) * factor + 1.0) {
            counter += 1;
        }
    }
    minutes(now_ms) << 8 | counter
}

/// The frequency counter of a clock, less what it has lost since (`lfu-decay-time`).
pub fn frequency(settings: &Settings, clock: u32, now_ms: i64) -> u32 {
    decayed_frequency(clock, now_ms, settings.int(Directive::LfuDecayTime))
}

/// The frequency counter of a clock, less one for each `decay_minutes` since.
pub fn decayed_frequency(clock: u32, now_ms: i64, decay_minutes: i64) -> u32 {
    let elapsed = minutes(now_ms).wrapping_sub(clock >> 8) & 0xffff;
    let lost = if decay_minutes > 0 { i64::from(elapsed) / decay_minutes } else { 0 };
    (i64::from(clock & 0xff) - lost).max(0) as u32
}

/// The clock of a record that is used as often as the counter says.
pub fn with_frequency(counter: u32, now_ms: i64) -> u32 {
    minutes(now_ms) << 8 | counter & 0xff
}

/// The clock of a record that was last used so many seconds ago: for as long as the clock can tell, at most.
pub fn idle_for(idle_seconds: i64, now_ms: i64) -> u32 {
    let idle = idle_seconds.clamp(0, i64::from(CLOCK_MASK / 2)) as u32;
    seconds(now_ms).wrapping_sub(idle) & CLOCK_MASK
}

/// Seconds since a record was last used: about, where records are evicted by frequency.
pub fn idle_seconds(settings: &Settings, clock: u32, now_ms: i64) -> u32 {
    match counts_frequency(settings) {
        true => (minutes(now_ms).wrapping_sub(clock >> 8) & 0xffff) * 60,
        false => seconds_since(clock, now_ms),
    }
}

/// Seconds since a record was last used whose clock is in seconds.
pub fn seconds_since(clock: u32, now_ms: i64) -> u32 {
    seconds(now_ms).wrapping_sub(clock) & CLOCK_MASK
}

fn seconds(now_ms: i64) -> u32 {
    (now_ms / 1000) as u32 & CLOCK_MASK
}

fn minutes(now_ms: i64) -> u32 {
    (now_ms / 60_000) as u32 & 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_made_from_what_they_tell() {
        let (settings, now_ms) = (Settings::new(), 1_700_000_000_000);
        assert_eq!(idle_seconds(&settings, idle_for(1000, now_ms), now_ms), 1000);
        assert_eq!(idle_seconds(&settings, idle_for(i64::MAX, now_ms), now_ms), CLOCK_MASK / 2);
        assert_eq!(frequency(&settings, with_frequency(200, now_ms), now_ms), 200);
    }

    #[test]
    fn idle_time_survives_the_clock_turning_over() {
        let before = (i64::from(CLOCK_MASK) - 1) * 1000;
        assert_eq!(idle_seconds(&Settings::new(), seconds(before), before + 5000), 5);
    }
}
