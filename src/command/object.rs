//! `OBJECT`: how values are stored, and when they were used.

use super::{Call, Found};
use crate::access;
use crate::resp::{CommandResult, ErrorReply};

const NOT_FREQUENCY: ErrorReply = ErrorReply::fixed(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
     between policies at runtime LRU and LFU data will take some time to adjust.",
);
const NOT_IDLE_TIME: ErrorReply = ErrorReply::fixed(
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies \
     at runtime LRU and LFU data will take some time to adjust.",
);

/// Answers by `tell` about the key that the request names, or null if there is none.
fn tell(call: &mut Call, tell: impl FnOnce(&mut Call, Found) -> CommandResult) -> CommandResult {
    match call.keys.peek(call.args.at(2)) {
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
        call.reply.integer(i64::from(access::idle_seconds(clock, call.keys.now_ms())))
    })
}

/// `OBJECT REFCOUNT key`: values are not shared, so each has one owner.
pub fn object_refcount(call: &mut Call) -> CommandResult {
    tell(call, |call, _| call.reply.integer(1))
}
