//! Commands on the deadlines of keys.

use super::Call;
use crate::pubsub::Event;
use crate::resp::{Args, CommandResult, ErrorReply};
use crate::spec::errors;

/// What is told of a deadline where there is no key, or no field.
pub(super) const MISSING: i64 = -2;
/// What is told where there is no deadline.
pub(super) const NO_DEADLINE: i64 = -1;

/// `EXPIRE key seconds [NX|XX|GT|LT]`
pub fn expire(call: &mut Call) -> CommandResult {
    let now_ms = call.keys.now_ms();
    set_deadline(call, 1000, now_ms)
}

/// `PEXPIRE key milliseconds [NX|XX|GT|LT]`
pub fn pexpire(call: &mut Call) -> CommandResult {
    let now_ms = call.keys.now_ms();
    set_deadline(call, 1, now_ms)
}

/// `EXPIREAT key unix-time-seconds [NX|XX|GT|LT]`
pub fn expireat(call: &mut Call) -> CommandResult {
    set_deadline(call, 1000, 0)
}

/// `PEXPIREAT key unix-time-milliseconds [NX|XX|GT|LT]`
pub fn pexpireat(call: &mut Call) -> CommandResult {
    set_deadline(call, 1, 0)
}

/// When a new deadline is wanted, by the one that the key has.
#[derive(Clone, Copy, Default)]
pub(super) struct Conditions {
    /// Only if there is none.
    nx: bool,
    /// Only if there is one.
    xx: bool,
    /// Only if it is later. No deadline is later than any.
    gt: bool,
    /// Only if it is earlier.
    lt: bool,
}

impl Conditions {
    pub fn parse(words: Args<'_>) -> Result<Self, ErrorReply> {
        let mut conditions = Conditions::default();
        for word in words.iter() {
            let condition = match word.to_ascii_uppercase().as_slice() {
                b"NX" => &mut conditions.nx,
                b"XX" => &mut conditions.xx,
                b"GT" => &mut conditions.gt,
                b"LT" => &mut conditions.lt,
                _ => return Err(ErrorReply::about("ERR Unsupported option ", word, "")),
            };
            *condition = true;
        }
        let Conditions { nx, xx, gt, lt } = conditions;
        if nx && (xx || gt || lt) {
            return Err(ErrorReply::fixed("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if gt && lt {
            return Err(ErrorReply::fixed("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    pub fn allow(self, old: Option<i64>, new: i64) -> bool {
        let Conditions { nx, xx, gt, lt } = self;
        match old {
            None => !xx && !gt,
            Some(old) => !nx && (!gt || new > old) && (!lt || new < old),
        }
    }
}

/// The second argument, in units of `unit_ms`, after `base_ms` becomes the key's deadline. A key whose deadline is
/// past is deleted at once.
fn set_deadline(call: &mut Call, unit_ms: i64, base_ms: i64) -> CommandResult {
    let key = call.arg(1);
    let conditions = Conditions::parse(call.args.from(3))?;
    let deadline = call.integer(2)?.checked_mul(unit_ms).and_then(|ms| ms.checked_add(base_ms));
    let deadline = deadline.ok_or_else(|| errors::invalid_expire_time(call.spec))?;
    let Some(found) = call.keys.write(key) else { return call.reply.flag(false) };
    if !conditions.allow(call.keys.deadline(found), deadline) {
        return call.reply.flag(false);
    }
    if deadline <= call.keys.over_ms() {
        call.keys.expire_now(found, key);
    } else {
        call.keys.set_deadline(found, key, Some(deadline));
        call.keys.changed(key, Event::EXPIRE);
        call.keys.log_as(&[b"PEXPIREAT", key, itoa::Buffer::new().format(deadline).as_bytes()]);
    }
    call.reply.flag(true)
}

/// `PERSIST key`: the key no longer expires.
pub fn persist(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let found = call.keys.write(key);
    let volatile = found.filter(|found| call.keys.deadline(*found).is_some());
    if let Some(found) = volatile {
        call.keys.set_deadline(found, key, None);
        call.keys.changed(key, Event::PERSIST);
    }
    call.reply.flag(volatile.is_some())
}

/// `TTL key`: seconds left, rounded.
pub fn ttl(call: &mut Call) -> CommandResult {
    let now_ms = call.keys.now_ms();
    tell_deadline(call, |deadline| to_seconds((deadline - now_ms).max(0)))
}

/// `PTTL key`: milliseconds left.
pub fn pttl(call: &mut Call) -> CommandResult {
    let now_ms = call.keys.now_ms();
    tell_deadline(call, |deadline| (deadline - now_ms).max(0))
}

/// `EXPIRETIME key`: the deadline in seconds of Unix time.
pub fn expiretime(call: &mut Call) -> CommandResult {
    tell_deadline(call, to_seconds)
}

/// `PEXPIRETIME key`: the deadline in milliseconds of Unix time.
pub fn pexpiretime(call: &mut Call) -> CommandResult {
    tell_deadline(call, |deadline| deadline)
}

pub(super) fn to_seconds(milliseconds: i64) -> i64 {
    milliseconds / 1000 + i64::from(milliseconds % 1000 >= 500)
}

fn tell_deadline(call: &mut Call, tell: impl FnOnce(i64) -> i64) -> CommandResult {
    let found = call.keys.inspect(call.arg(1));
    let deadline = found.map(|found| call.keys.deadline(found));
    call.reply.integer(deadline.map_or(MISSING, |deadline| deadline.map_or(NO_DEADLINE, tell)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_compare_with_the_old_deadline() {
        let always = Conditions::default();
        let with = |change: fn(&mut Conditions)| {
            let mut conditions = always;
            change(&mut conditions);
            [conditions.allow(None, 10), conditions.allow(Some(5), 10), conditions.allow(Some(15), 10)]
        };
        assert_eq!(with(|_| {}), [true, true, true]);
        assert_eq!(with(|c| c.nx = true), [true, false, false]);
        assert_eq!(with(|c| c.xx = true), [false, true, true]);
        assert_eq!(with(|c| c.gt = true), [false, true, false]);
        assert_eq!(with(|c| c.lt = true), [true, false, true]);
        assert_eq!(with(|c| (c.xx, c.lt) = (true, true)), [false, false, true]);
        assert!(!Conditions { gt: true, ..always }.allow(Some(10), 10));
    }

    #[test]
    fn seconds_are_rounded() {
        assert_eq!([0, 499, 500, 1499, 1500].map(to_seconds), [0, 0, 1, 1, 2]);
    }
}
