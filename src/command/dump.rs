//! `DUMP` and `RESTORE`: values as bytes that any server reads.

use super::{Call, stored};
use crate::access;
use crate::forms;
use crate::persistence::rdb::payload::{self, Refusal};
use crate::persistence::rdb::value::Loaded;
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply};
use std::sync::atomic::Ordering;

const BUSY_KEY: ErrorReply = ErrorReply::fixed("BUSYKEY Target key name already exists.");

/// `DUMP key`
pub fn dump(call: &mut Call) -> CommandResult {
    let style = forms::written(&call.state.settings);
    match call.keys.read(call.arg(1)) {
        None => call.reply.null(),
        Some(found) => call.reply.bulk(&payload::write(call.keys.value(found), style)),
    }
}

/// What follows the payload in `RESTORE`.
#[derive(Default)]
struct Options {
    replace: bool,
    /// The deadline is a point in time.
    is_absolute: bool,
    idle_seconds: Option<i64>,
    frequency: Option<i64>,
}

impl Options {
    fn parse(call: &Call) -> Result<Self, ErrorReply> {
        let mut options = Options::default();
        let mut index = 4;
        while index < call.args.len() {
            let has_value = index + 1 < call.args.len();
            if call.is_word(index, "REPLACE") {
                options.replace = true;
            } else if call.is_word(index, "ABSTTL") {
                options.is_absolute = true;
            } else if call.is_word(index, "IDLETIME") && has_value && options.frequency.is_none() {
                index += 1;
                let error = ErrorReply::fixed("ERR Invalid IDLETIME value, must be >= 0");
                let idle = Some(call.integer(index)?).filter(|idle| *idle >= 0);
                options.idle_seconds = Some(idle.ok_or(error)?);
            } else if call.is_word(index, "FREQ") && has_value && options.idle_seconds.is_none() {
                index += 1;
                let error = ErrorReply::fixed("ERR Invalid FREQ value, must be >= 0 and <= 255");
                let frequency = Some(call.integer(index)?).filter(|frequency| (0..=255).contains(frequency));
                options.frequency = Some(frequency.ok_or(error)?);
            } else {
                return Err(ErrorReply::SYNTAX);
            }
            index += 1;
        }
        Ok(options)
    }
}

/// `RESTORE key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]`
pub fn restore(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let options = Options::parse(call)?;
    if !options.replace && call.keys.write(key).is_some() {
        return Err(BUSY_KEY);
    }
    let lifetime = call.integer(2)?;
    if lifetime < 0 {
        return Err(ErrorReply::fixed("ERR Invalid TTL value, must be >= 0"));
    }
    let checks = !call.state.skips_payload_checksums.load(Ordering::Relaxed);
    let limits = crate::forms::all(call.state, call.keys.now_ms());
    let loaded = payload::read(call.arg(3), checks, &limits).map_err(|refusal| match refusal {
        Refusal::VersionOrChecksum => ErrorReply::fixed("ERR DUMP payload version or checksum are wrong"),
        Refusal::BadFormat(complaint) => {
            tracing::debug!("Internal error in RDB reading -> {complaint}");
            ErrorReply::fixed("ERR Bad data format")
        }
    })?;
    let now_ms = call.keys.now_ms();
    let deadline = match lifetime {
        0 => None,
        deadline if options.is_absolute => Some(deadline),
        // As in Redis, a sum that overflows is long past.
        lifetime => Some(lifetime.wrapping_add(now_ms)),
    };
    if matches!(loaded, Loaded::Over) || deadline.is_some_and(|deadline| deadline < call.keys.over_ms()) {
        // What is over before it begins is not made; what it was to replace goes.
        if let Some(found) = call.keys.write(key) {
            call.keys.delete(found, key);
            call.keys.log_as(&[b"DEL", key]);
        }
        return call.reply.ok();
    }
    if let Some(found) = call.keys.write(key) {
        call.keys.remove(found);
    }
    put(call, key, loaded, deadline);
    set_clock(call, key, &options);
    call.keys.changed(key, Event::RESTORE);
    log_restored(call, deadline, &options);
    call.reply.ok()
}

/// Logs a value that was restored, with its deadline as a point in time.
fn log_restored(call: &mut Call, deadline: Option<i64>, options: &Options) {
    if deadline.is_none() || options.is_absolute {
        return;
    }
    let mut time = itoa::Buffer::new();
    let mut words: Vec<&[u8]> = call.args.iter().collect();
    words[2] = time.format(deadline.unwrap_or(0)).as_bytes();
    words.push(b"ABSTTL");
    call.keys.log_as(&words);
}

/// `RESTORE-ASKING`: the same for a cluster that moves slots.
pub fn restore_asking(call: &mut Call) -> CommandResult {
    restore(call)
}

/// Gives `key` a value that was read.
fn put(call: &mut Call, key: &[u8], loaded: Loaded, deadline: Option<i64>) {
    match loaded {
        Loaded::String(bytes) => super::string::put_bytes(call.keys, key, &bytes, deadline),
        Loaded::Over | Loaded::Empty => {}
        Loaded::Collection(value) => stored::put_value(call.keys, key, value, deadline),
    }
}

/// Sets the access clock to what the options say of it, if the eviction policy has a use for that.
fn set_clock(call: &mut Call, key: &[u8], options: &Options) {
    let (settings, now_ms) = (&call.state.settings, call.keys.now_ms());
    let clock = match (access::counts_frequency(settings), options) {
        (true, Options { frequency: Some(frequency), .. }) => access::with_frequency(*frequency as u32, now_ms),
        (false, Options { idle_seconds: Some(idle), .. }) => access::idle_for(*idle, now_ms),
        _ => return,
    };
    if let Some(found) = call.keys.peek(key) {
        call.keys.set_clock(found, clock);
    }
}
