//! `OBJECT`: how values are stored, and when they were used.

use super::{Call, Found};
use crate::access;
use crate::config::{Directive, MaxmemoryPolicy, Settings};
use crate::resp::{CommandResult, ErrorReply};
use crate::value::ValueRef;

const NOT_FREQUENCY: ErrorReply = ErrorReply::fixed(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
     between policies at runtime LRU and LFU data will take some time to adjust.",
);
const NOT_IDLE_TIME: ErrorReply = ErrorReply::fixed(
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies \
     at runtime LRU and LFU data will take some time to adjust.",
);

/// The integers that Redis keeps once for all keys.
const SHARED_INTEGERS: std::ops::Range<i64> = 0..10_000;

/// Answers by `tell` about the key that the request names, or null if there is none.
fn tell(call: &mut Call, tell: impl FnOnce(&mut Call, Found) -> CommandResult) -> CommandResult {
    match call.keys.examine(call.args.at(2)) {
        Some(found) => tell(call, found),
        None => call.reply.null(),
    }
}

fn counts_frequency(call: &Call) -> bool {
    access::counts_frequency(&call.state.settings)
}

/// `OBJECT ENCODING key`
pub fn object_encoding(call: &mut Call) -> CommandResult {
    tell(call, |call, found| call.reply.bulk(call.keys.value(found).encoding().as_bytes()))
}

/// `OBJECT FREQ key`: the logarithmic access counter of an LFU policy.
pub fn object_freq(call: &mut Call) -> CommandResult {
    tell(call, |call, found| {
        if !counts_frequency(call) {
            return Err(NOT_FREQUENCY);
        }
        let clock = call.keys.clock(found);
        call.reply.integer(i64::from(access::frequency(&call.state.settings, clock, call.keys.now_ms())))
    })
}

/// `OBJECT IDLETIME key`: seconds since the key was used.
pub fn object_idletime(call: &mut Call) -> CommandResult {
    tell(call, |call, found| {
        if counts_frequency(call) {
            return Err(NOT_IDLE_TIME);
        }
        let clock = call.keys.clock(found);
        call.reply.integer(i64::from(access::idle_seconds(&call.state.settings, clock, call.keys.now_ms())))
    })
}

/// `OBJECT REFCOUNT key`: values are not shared, so each has one owner; but a small integer, which Redis shares among all
/// keys, has as many as there.
pub fn object_refcount(call: &mut Call) -> CommandResult {
    tell(call, |call, found| call.reply.integer(references(&call.state.settings, call.keys.value(found))))
}

/// The reference count that Redis would show: it shares no integers where each needs an access clock of its own.
pub(super) fn references(settings: &Settings, value: ValueRef<'_>) -> i64 {
    let has_own_clock = settings.int(Directive::Maxmemory) > 0
        && (access::counts_frequency(settings)
            || matches!(
                settings.choice(Directive::MaxmemoryPolicy),
                MaxmemoryPolicy::AllkeysLru | MaxmemoryPolicy::VolatileLru
            ));
    let integer = value.as_string().and_then(|string| string.as_integer());
    let is_shared = !has_own_clock && integer.is_some_and(|value| SHARED_INTEGERS.contains(&value));
    if is_shared { i64::from(i32::MAX) } else { 1 }
}
