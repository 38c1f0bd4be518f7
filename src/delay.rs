//! Waits between keys that tests ask for, to have saving and loading take long (`rdb-key-save-delay`, `key-load-delay`).

use crate::config::{Directive, Settings};
use rand::Rng;
use std::time::{Duration, Instant};

/// Time between two looks whether the wait is to end early.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Waits for so many microseconds as `directive` says, or, if it is negative, for one every so many keys. Ends early when
/// the directive is changed, or when `is_over` says so.
#[inline]
pub fn after_key(settings: &Settings, directive: Directive, is_over: impl Fn() -> bool) {
    let wanted = settings.int(directive);
    if wanted != 0 {
        wait(settings, directive, wanted, is_over);
    }
}

#[cold]
fn wait(settings: &Settings, directive: Directive, wanted: i64, is_over: impl Fn() -> bool) {
    let microseconds = match wanted {
        ..0 if rand::rng().random_range(0..wanted.unsigned_abs()) > 0 => return,
        ..0 => 1,
        _ => wanted.unsigned_abs(),
    };
    let end = Instant::now() + Duration::from_micros(microseconds);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || settings.int(directive) != wanted || is_over() {
            return;
        }
        std::thread::sleep(left.min(LOOK_INTERVAL));
    }
}
