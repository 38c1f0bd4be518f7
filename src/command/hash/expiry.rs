//! Commands on the deadlines of fields.

use super::{edit_or_create, named, rules, view};
use crate::command::expiry::{Conditions, MISSING, NO_DEADLINE, to_seconds};
use crate::command::stored::{Edited, edit, find};
use crate::command::string::expiry::{Expiry, Otherwise};
use crate::command::{Call, Found, Keys};
use crate::pubsub::Event;
use crate::resp::{Args, CommandResult, ErrorReply};
use crate::spec::errors;
use crate::value::collection::Collection;
use crate::value::hash::{Hash, HashRules, Lifetime};
use smallvec::SmallVec;
use std::collections::HashSet;

/// The condition does not hold.
const REFUSED: i64 = 0;
const CHANGED: i64 = 1;
/// The new deadline is past, and the field gone.
const REMOVED: i64 = 2;

/// `HEXPIRE key seconds [NX|XX|GT|LT] FIELDS numfields field [field ...]`
pub fn hexpire(call: &mut Call) -> CommandResult {
    let now_ms = call.keys.now_ms();
    set_deadlines(call, 1000, now_ms)
}

/// `HPEXPIRE key milliseconds [NX|XX|GT|LT] FIELDS numfields field [field ...]`
pub fn hpexpire(call: &mut Call) -> CommandResult {
    let now_ms = call.keys.now_ms();
    set_deadlines(call, 1, now_ms)
}

/// `HEXPIREAT key unix-time-seconds [NX|XX|GT|LT] FIELDS numfields field [field ...]`
pub fn hexpireat(call: &mut Call) -> CommandResult {
    set_deadlines(call, 1000, 0)
}

/// `HPEXPIREAT key unix-time-milliseconds [NX|XX|GT|LT] FIELDS numfields field [field ...]`
pub fn hpexpireat(call: &mut Call) -> CommandResult {
    set_deadlines(call, 1, 0)
}

/// Whether a field to be given the deadline goes at once.
fn is_past(deadline: i64, rules: &HashRules) -> bool {
    deadline <= rules.now_ms
}

/// Gives fields a deadline, or removes them; returns what became of each, with the number of those that are not as before.
fn apply_deadline<'a>(
    hash: &mut Hash,
    names: Args<'a>,
    deadline: i64,
    conditions: Conditions,
    rules: &HashRules,
    mut told: impl FnMut(&'a [u8], i64),
) -> usize {
    let mut changes = 0;
    for name in names.iter() {
        let outcome = match hash.view().at(rules.now_ms).deadline(name) {
            None => MISSING,
            Some(before) if !conditions.allow(before, deadline) => REFUSED,
            Some(_) if is_past(deadline, rules) => {
                hash.remove(name, rules);
                REMOVED
            }
            Some(_) => {
                hash.set_deadline(name, Some(deadline));
                CHANGED
            }
        };
        changes += usize::from(outcome > REFUSED);
        told(name, outcome);
    }
    changes
}

/// Tells of so many fields that have got a deadline, or are gone since it is past.
fn tell_deadline(
    call: &mut Call,
    key: &[u8],
    edited: Edited<usize>,
    deadline: i64,
    rules: &HashRules,
    changed: &[&[u8]],
) {
    let goes = is_past(deadline, rules);
    let event = if goes { Event::HEXPIRED } else { Event::HEXPIRE };
    edited.tell_count(call.keys, key, event);
    call.keys.note_fields(key);
    if changed.is_empty() {
        return;
    }
    if goes {
        log_fields(call.keys, &[b"HDEL", key], changed);
    } else {
        let (mut time, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (time, count) = (time.format(deadline).as_bytes(), count.format(changed.len()).as_bytes());
        log_fields(call.keys, &[b"HPEXPIREAT", key, time, b"FIELDS", count], changed);
    }
}

/// Logs what was done to fields.
fn log_fields(keys: &mut Keys<'_>, words: &[&[u8]], fields: &[&[u8]]) {
    if keys.is_logged() {
        keys.log_as(&[words, fields].concat());
    }
}

/// The second argument, in units of `unit_ms`, after `base_ms` becomes the deadline of the fields.
fn set_deadlines(call: &mut Call, unit_ms: i64, base_ms: i64) -> CommandResult {
    let place = named::place(call, 3).ok_or(named::MISMATCH)?;
    let conditions = Conditions::parse(call.args.until(place).from(3))?;
    let names = named::after(call, place, 1, named::MISMATCH)?;
    let deadline = call.integer(2)?.checked_mul(unit_ms).and_then(|ms| ms.checked_add(base_ms));
    let deadline =
        deadline.filter(|deadline| *deadline >= base_ms).ok_or_else(|| errors::invalid_expire_time(call.spec))?;
    let (key, rules) = (call.arg(1), rules(call));
    let found = find::<Hash>(call.keys, key)?;
    let mut outcomes: SmallVec<[i64; 8]> = SmallVec::new();
    let mut changed: SmallVec<[&[u8]; 8]> = SmallVec::new();
    match found {
        None => outcomes.resize(names.len(), MISSING),
        Some(found) => {
            let edited = edit(call.keys, found, key, |hash: &mut Hash| {
                apply_deadline(hash, names, deadline, conditions, &rules, |name, outcome| {
                    outcomes.push(outcome);
                    changed.extend(Some(name).filter(|_| outcome > REFUSED));
                })
            });
            tell_deadline(call, key, edited, deadline, &rules, &changed);
        }
    }
    call.reply.array(outcomes.len())?;
    outcomes.iter().try_for_each(|outcome| call.reply.integer(*outcome))
}

/// `HPERSIST key FIELDS numfields field [field ...]`: the fields no longer expire.
pub fn hpersist(call: &mut Call) -> CommandResult {
    let names = named::at_once(call, named::MISMATCH)?;
    let key = call.arg(1);
    let found = find::<Hash>(call.keys, key)?;
    let hash = found.and_then(|found| view(call.keys, found));
    call.reply.array(names.len())?;
    // A field that is named again has no deadline any more.
    let mut persisted = HashSet::new();
    for name in names.iter() {
        let outcome = match hash.and_then(|hash| hash.deadline(name)) {
            None => MISSING,
            Some(Some(_)) if persisted.insert(name) => CHANGED,
            Some(_) => NO_DEADLINE,
        };
        call.reply.integer(outcome)?;
    }
    match found {
        Some(found) if !persisted.is_empty() => persist(call, found, key, names),
        _ => {}
    }
    Ok(())
}

/// Takes the deadlines of fields away.
fn persist(call: &mut Call, found: Found, key: &[u8], names: Args<'_>) {
    let now_ms = call.keys.over_ms();
    let has_deadline = |hash: &Hash, name: &[u8]| matches!(hash.view().at(now_ms).deadline(name), Some(Some(_)));
    let edited = edit(call.keys, found, key, |hash: &mut Hash| {
        let mut changes = 0;
        for name in names.iter() {
            if has_deadline(hash, name) {
                hash.set_deadline(name, None);
                changes += 1;
            }
        }
        changes
    });
    if edited.tell_count(call.keys, key, Event::HPERSIST) > 0 {
        let names: Vec<&[u8]> = names.iter().collect();
        let mut count = itoa::Buffer::new();
        log_fields(call.keys, &[b"HPERSIST", key, b"FIELDS", count.format(names.len()).as_bytes()], &names);
    }
}

/// `HTTL key FIELDS numfields field [field ...]`: seconds left, rounded.
pub fn httl(call: &mut Call) -> CommandResult {
    let now_ms = call.keys.now_ms();
    tell_deadlines(call, |deadline| to_seconds((deadline - now_ms).max(0)))
}

/// `HPTTL key FIELDS numfields field [field ...]`: milliseconds left.
pub fn hpttl(call: &mut Call) -> CommandResult {
    let now_ms = call.keys.now_ms();
    tell_deadlines(call, |deadline| (deadline - now_ms).max(0))
}

/// `HEXPIRETIME key FIELDS numfields field [field ...]`: the deadlines in seconds of Unix time.
pub fn hexpiretime(call: &mut Call) -> CommandResult {
    tell_deadlines(call, to_seconds)
}

/// `HPEXPIRETIME key FIELDS numfields field [field ...]`: the deadlines in milliseconds of Unix time.
pub fn hpexpiretime(call: &mut Call) -> CommandResult {
    tell_deadlines(call, |deadline| deadline)
}

fn tell_deadlines(call: &mut Call, tell: impl Fn(i64) -> i64) -> CommandResult {
    let names = named::at_once(call, ErrorReply::SYNTAX)?;
    let found = call.keys.inspect(call.arg(1));
    let found = call.keys.typed(found, Hash::TYPE)?;
    let hash = found.and_then(|found| view(call.keys, found));
    call.reply.array(names.len())?;
    names.iter().try_for_each(|name| {
        let deadline = hash.and_then(|hash| hash.deadline(name));
        call.reply.integer(deadline.map_or(MISSING, |deadline| deadline.map_or(NO_DEADLINE, &tell)))
    })
}

/// `HGETEX key [EX|PX|EXAT|PXAT time | PERSIST] FIELDS numfields field [field ...]`
pub fn hgetex(call: &mut Call) -> CommandResult {
    let place = named::place(call, 2).ok_or(named::MISMATCH)?;
    let options = call.args.until(place);
    let (mut expiry, mut index) = (Expiry::Unsaid, 2);
    while index < place {
        index += expiry.read(options, index, Otherwise::Persist)?.ok_or(ErrorReply::SYNTAX)?;
    }
    let names = named::after(call, place, 1, named::MISMATCH)?;
    let (key, rules) = (call.arg(1), rules(call));
    let found = call.keys.read(key);
    let found = call.keys.typed(found, Hash::TYPE)?;
    let deadline = expiry.deadline_from(call, 0)?;
    let goes = deadline.is_some_and(|deadline| is_past(deadline, &rules));
    let hash = found.and_then(|found| view(call.keys, found));
    named::write_values(call.reply, hash, names, goes)?;
    let Some(found) = found else { return Ok(()) };
    let mut changed: SmallVec<[&[u8]; 8]> = SmallVec::new();
    match (expiry, deadline) {
        (_, Some(deadline)) => {
            let edited = edit(call.keys, found, key, |hash: &mut Hash| {
                apply_deadline(hash, names, deadline, Conditions::default(), &rules, |name, outcome| {
                    changed.extend(Some(name).filter(|_| outcome > REFUSED));
                })
            });
            tell_deadline(call, key, edited, deadline, &rules, &changed);
        }
        (Expiry::Persist, None) => persist(call, found, key, names),
        (_, None) => {}
    }
    Ok(())
}

/// On what a write depends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Condition {
    #[default]
    Always,
    Missing,
    Exists,
}

impl Condition {
    /// Adds a condition; two that contradict each other are an error.
    fn add(&mut self, other: Condition) -> Result<(), ErrorReply> {
        if *self != Condition::Always && *self != other {
            return Err(ErrorReply::SYNTAX);
        }
        *self = other;
        Ok(())
    }
}

/// What stands before the fields in `HSETEX`.
#[derive(Default)]
struct SetOptions<'a> {
    /// Of the key.
    key: Condition,
    /// Of every field.
    fields: Condition,
    expiry: Expiry<'a>,
}

impl<'a> SetOptions<'a> {
    fn parse(args: Args<'a>) -> Result<Self, ErrorReply> {
        let mut options = SetOptions::default();
        let mut index = 2;
        while let Some(word) = args.get(index) {
            if let Some(taken) = options.expiry.read(args, index, Otherwise::Keep)? {
                index += taken;
                continue;
            }
            match word.to_ascii_uppercase().as_slice() {
                b"NX" => options.key.add(Condition::Missing)?,
                b"XX" => options.key.add(Condition::Exists)?,
                b"FNX" => options.fields.add(Condition::Missing)?,
                b"FXX" => options.fields.add(Condition::Exists)?,
                _ => return Err(ErrorReply::SYNTAX),
            }
            index += 1;
        }
        Ok(options)
    }
}

/// `HSETEX key [NX|XX] [FNX|FXX] [EX|PX|EXAT|PXAT time | KEEPTTL] FIELDS numfields field value [field value ...]`: whether
/// the conditions held.
pub fn hsetex(call: &mut Call) -> CommandResult {
    let place = named::place(call, 2).ok_or(named::MISMATCH)?;
    let options = SetOptions::parse(call.args.until(place))?;
    let pairs = named::after(call, place, 2, named::MISMATCH)?;
    let (key, rules) = (call.arg(1), rules(call));
    let found = find::<Hash>(call.keys, key)?;
    let holds = |condition: Condition, exists: bool| match condition {
        Condition::Always => true,
        Condition::Missing => !exists,
        Condition::Exists => exists,
    };
    if !holds(options.key, found.is_some()) {
        return call.reply.flag(false);
    }
    let deadline = options.expiry.deadline_from(call, 0)?;
    let hash = found.and_then(|found| view(call.keys, found));
    let each = || (0..pairs.len()).step_by(2).map(|index| (pairs.at(index), pairs.at(index + 1)));
    let exists = |name: &[u8]| hash.is_some_and(|hash| hash.get(name).is_some());
    if options.fields != Condition::Always && !each().all(|(name, _)| holds(options.fields, exists(name))) {
        return call.reply.flag(false);
    }
    let goes = deadline.is_some_and(|deadline| is_past(deadline, &rules));
    let lifetime = match (options.expiry, deadline) {
        (_, Some(deadline)) => Lifetime::Until(deadline),
        (Expiry::Keep, None) => Lifetime::Kept,
        (_, None) => Lifetime::Forever,
    };
    let edited = edit_or_create(call, found, key, |hash: &mut Hash| {
        hash.expect(pairs.len() / 2, &rules);
        for (name, value) in each() {
            if goes {
                hash.remove(name, &rules);
            } else {
                hash.set(name, value, lifetime, &rules);
            }
        }
    });
    let events = [Some(Event::HSET), deadline.map(|_| Event::HEXPIRE), goes.then_some(Event::HEXPIRED)];
    edited.tell_each(call.keys, key, events.into_iter().flatten(), pairs.len() as u64 / 2);
    call.keys.note_fields(key);
    log_setting(call, key, pairs, lifetime, goes);
    call.reply.flag(true)
}

/// Logs that fields got values, whatever that depended on, or are gone since their deadline is past.
fn log_setting(call: &mut Call, key: &[u8], pairs: Args<'_>, lifetime: Lifetime, goes: bool) {
    let pairs: Vec<&[u8]> = pairs.iter().collect();
    if goes {
        let names: Vec<&[u8]> = pairs.iter().copied().step_by(2).collect();
        return log_fields(call.keys, &[b"HDEL", key], &names);
    }
    let (mut time, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
    let count = count.format(pairs.len() / 2).as_bytes();
    match lifetime {
        Lifetime::Forever => log_fields(call.keys, &[b"HSET", key], &pairs),
        Lifetime::Kept => log_fields(call.keys, &[b"HSETEX", key, b"KEEPTTL", b"FIELDS", count], &pairs),
        Lifetime::Until(deadline) => {
            let time = time.format(deadline).as_bytes();
            log_fields(call.keys, &[b"HSETEX", key, b"PXAT", time, b"FIELDS", count], &pairs);
        }
    }
}
