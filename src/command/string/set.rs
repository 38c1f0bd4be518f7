//! Writing one string as a whole, and the commands that read a string and change its key at once.

use super::expiry::{self, Expiry, Otherwise, Unit};
use super::{put_bytes, view, write_found};
use crate::command::Call;
use crate::command::keys::{Found, Keys};
use crate::pubsub::Event;
use crate::resp::{Args, CommandResult, ErrorReply};

/// On what a write depends.
#[derive(Clone, Copy, Debug, Default)]
enum Condition<'a> {
    #[default]
    Always,
    Missing,
    Exists,
    Equals(&'a [u8]),
}

/// What follows the value in `SET`.
#[derive(Debug, Default)]
struct SetOptions<'a> {
    condition: Condition<'a>,
    expiry: Expiry<'a>,
    get: bool,
}

impl<'a> SetOptions<'a> {
    fn parse(args: Args<'a>) -> Result<Self, ErrorReply> {
        let mut options = SetOptions::default();
        let mut index = 3;
        while let Some(word) = args.get(index) {
            if let Some(taken) = options.expiry.read(args, index, Otherwise::Keep)? {
                index += taken;
                continue;
            }
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            options.condition = match options.condition {
                Condition::Always | Condition::Missing if is("NX") => Condition::Missing,
                Condition::Always | Condition::Exists if is("XX") => Condition::Exists,
                Condition::Always | Condition::Equals(_) if is("IFEQ") => {
                    index += 1;
                    Condition::Equals(args.get(index).ok_or(ErrorReply::SYNTAX)?)
                }
                condition if is("GET") => {
                    options.get = true;
                    condition
                }
                _ => return Err(ErrorReply::SYNTAX),
            };
            index += 1;
        }
        Ok(options)
    }
}

/// `SET key value [NX | XX | IFEQ comparison-value] [GET] [EX | PX | EXAT | PXAT time | KEEPTTL]`
pub fn set(call: &mut Call) -> CommandResult {
    if call.args.len() == 3 {
        assign(call, call.arg(1), call.arg(2), None);
        return call.reply.ok();
    }
    set_with_options(call)
}

fn set_with_options(call: &mut Call) -> CommandResult {
    let options = SetOptions::parse(call.args)?;
    let deadline = options.expiry.deadline(call)?;
    let key = call.arg(1);
    let found = if options.get {
        let found = call.keys.read(key);
        write_found(call, found)?;
        found
    } else {
        call.keys.write(key)
    };
    let holds = match options.condition {
        Condition::Always => true,
        Condition::Missing => found.is_none(),
        Condition::Exists => found.is_some(),
        Condition::Equals(wanted) => match found {
            None => false,
            Some(found) => equals(call.keys, found, wanted)?,
        },
    };
    match (holds, deadline) {
        (false, _) if options.get => return Ok(()),
        (false, _) => return call.reply.null(),
        (true, Some(deadline)) if deadline < call.keys.over_ms() => {
            if let Some(found) = found {
                call.keys.expire_now(found, key);
            }
        }
        (true, _) => {
            let kept = match (options.expiry, found) {
                (Expiry::Keep, Some(found)) => call.keys.deadline(found),
                _ => None,
            };
            assign(call, key, call.arg(2), deadline.or(kept));
            if deadline.is_some() {
                call.keys.notify(Event::EXPIRE, key);
            }
            log_assignment(call, key, call.arg(2), deadline, options.expiry);
        }
    }
    if options.get { Ok(()) } else { call.reply.ok() }
}

/// `SETNX key value`
pub fn setnx(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let is_missing = call.keys.write(key).is_none();
    if is_missing {
        assign(call, key, call.arg(2), None);
    }
    call.reply.flag(is_missing)
}

/// `SETEX key seconds value`
pub fn setex(call: &mut Call) -> CommandResult {
    set_expiring(call, Unit::Seconds)
}

/// `PSETEX key milliseconds value`
pub fn psetex(call: &mut Call) -> CommandResult {
    set_expiring(call, Unit::Milliseconds)
}

fn set_expiring(call: &mut Call, unit: Unit) -> CommandResult {
    let key = call.arg(1);
    let deadline = expiry::deadline(call, unit, call.arg(2), 1)?;
    assign(call, key, call.arg(3), Some(deadline));
    call.keys.notify(Event::EXPIRE, key);
    log_assignment(call, key, call.arg(3), Some(deadline), Expiry::Unsaid);
    call.reply.ok()
}

/// `GETSET key value`
pub fn getset(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let found = call.keys.read(key);
    write_found(call, found)?;
    assign(call, key, call.arg(2), None);
    log_assignment(call, key, call.arg(2), None, Expiry::Unsaid);
    Ok(())
}

/// `GETDEL key`
pub fn getdel(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let found = call.keys.read(key);
    write_found(call, found)?;
    if let Some(found) = found {
        call.keys.delete(found, key);
        call.keys.log_as(&[b"DEL", key]);
    }
    Ok(())
}

/// `GETEX key [EX | PX | EXAT | PXAT time | PERSIST]`
pub fn getex(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let mut expiry = Expiry::Unsaid;
    let mut index = 2;
    while index < call.args.len() {
        index += expiry.read(call.args, index, Otherwise::Persist)?.ok_or(ErrorReply::SYNTAX)?;
    }
    let deadline = expiry.deadline(call)?;
    let found = call.keys.read(key);
    write_found(call, found)?;
    let Some(found) = found else { return Ok(()) };
    match (expiry, deadline) {
        (_, Some(deadline)) if deadline < call.keys.over_ms() => call.keys.expire_now(found, key),
        (_, Some(milliseconds)) => {
            call.keys.set_deadline(found, key, deadline);
            call.keys.changed(key, Event::EXPIRE);
            call.keys.log_as(&[b"PEXPIREAT", key, itoa::Buffer::new().format(milliseconds).as_bytes()]);
        }
        (Expiry::Persist, None) if call.keys.deadline(found).is_some() => {
            call.keys.set_deadline(found, key, None);
            call.keys.changed(key, Event::PERSIST);
            call.keys.log_as(&[b"PERSIST", key]);
        }
        (_, None) => {}
    }
    Ok(())
}

/// `DELIFEQ key value`
pub fn delifeq(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let Some(found) = call.keys.write(key) else { return call.reply.integer(0) };
    let is_equal = equals(call.keys, found, call.arg(2))?;
    if is_equal {
        call.keys.delete(found, key);
        call.keys.log_as(&[b"DEL", key]);
    }
    call.reply.flag(is_equal)
}

/// Logs that `key` got a value, whatever that depended on, with its deadline as a point in time.
pub(super) fn log_assignment(call: &mut Call, key: &[u8], bytes: &[u8], deadline: Option<i64>, expiry: Expiry<'_>) {
    if !call.keys.is_logged() {
        return;
    }
    match (deadline, expiry) {
        (Some(deadline), _) => {
            call.keys.log_as(&[b"SET", key, bytes, b"PXAT", itoa::Buffer::new().format(deadline).as_bytes()]);
        }
        (None, Expiry::Keep) => call.keys.log_as(&[b"SET", key, bytes, b"KEEPTTL"]),
        (None, _) => call.keys.log_as(&[b"SET", key, bytes]),
    }
}

/// Gives `key` the bytes of an argument, with all that follows from it.
#[inline]
pub(super) fn assign(call: &mut Call, key: &[u8], bytes: &[u8], deadline: Option<i64>) {
    put_bytes(call.keys, key, bytes, deadline);
    call.keys.changed(key, Event::SET);
}

/// Whether a record holds exactly these bytes; an error if it holds another type.
fn equals(keys: &mut Keys<'_>, found: Found, bytes: &[u8]) -> Result<bool, ErrorReply> {
    let string = view(keys, found)?;
    Ok(string.len() == bytes.len() && string.as_slice(&mut Vec::new()) == bytes)
}
