//! Finding the keys in a command's arguments.

use super::{Begin, CommandFlags, CommandSpec, Find, Finder, KeyFlags, KeyLayout, KeyOptions, KeySpec};
use crate::resp::Args;
use smallvec::SmallVec;

/// A key among the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRef {
    /// Its position; the command's name is at 0.
    pub index: u32,
    /// How the command uses it.
    pub flags: KeyFlags,
}

/// The keys of a request; few enough, as a rule, to need no allocation.
pub type KeyRefs = SmallVec<[KeyRef; 8]>;

/// The arguments cannot be what the command takes: a number of keys that is none, or larger than the rest.
/// Only `COMMAND GETKEYS` answers with this error; elsewhere the handler says better what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysError;

/// Appends the keys of a request to `found`. The number of arguments must be one that the command accepts.
#[inline]
pub fn keys(spec: &CommandSpec, args: Args<'_>, found: &mut KeyRefs) -> Result<(), KeysError> {
    debug_assert!(spec.accepts(args.len()), "{} takes {} arguments", spec.name, spec.arity);
    match spec.layout {
        KeyLayout::None => {}
        KeyLayout::One(index, flags) => found.push(KeyRef { index: index.into(), flags }),
        KeyLayout::Range { first, from_end, step, flags } => {
            let end = args.len() - usize::from(from_end);
            push_range(found, usize::from(first)..end, step, flags);
        }
        KeyLayout::Specs => by_specs(spec, args, found)?,
        KeyLayout::Finder(index, finder) => {
            let flags = match finder {
                Finder::Set => set_flags(args),
                Finder::Bitfield => bitfield_flags(args),
            };
            found.push(KeyRef { index: index.into(), flags });
        }
        KeyLayout::Options(index, options) => {
            let index = usize::from(index);
            match options {
                KeyOptions::Stored => stored(index, args, found),
                KeyOptions::Sort => sort(spec, index, args, found),
                KeyOptions::Migrate => migrate(index, args, found)?,
            }
        }
    }
    Ok(())
}

/// A key whose value is read, and one that gets the result.
const READ: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const RESULT: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);

/// The key at `first`, and what stands behind each `STORE` or `STOREDIST`: that may be more than the one that counts, if a
/// request has several, but never less.
fn stored(first: usize, args: Args<'_>, found: &mut KeyRefs) {
    found.push(KeyRef { index: first as u32, flags: READ });
    for index in first + 2..args.len() {
        let word = args.at(index - 1);
        if word.eq_ignore_ascii_case(b"STORE") || word.eq_ignore_ascii_case(b"STOREDIST") {
            found.push(KeyRef { index: index as u32, flags: RESULT });
        }
    }
}

/// The key at `first`, and the last that stands behind `STORE`.
fn sort(spec: &CommandSpec, first: usize, args: Args<'_>, found: &mut KeyRefs) {
    found.push(KeyRef { index: first as u32, flags: READ });
    let destination = sort_options(args).filter(|(word, _)| word.eq_ignore_ascii_case(b"STORE")).last();
    if let Some((_, index)) = destination.filter(|_| spec.has(CommandFlags::WRITE)) {
        found.push(KeyRef { index: index as u32, flags: RESULT });
    }
}

/// The key at `first`, or all behind `KEYS`.
fn migrate(first: usize, args: Args<'_>, found: &mut KeyRefs) -> Result<(), KeysError> {
    let flags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);
    match migrate_options(args).find(|(word, _)| word.eq_ignore_ascii_case(b"KEYS")) {
        None => found.push(KeyRef { index: first as u32, flags }),
        Some((_, keys)) if args.at(first).is_empty() => push_range(found, keys..args.len(), 1, flags),
        Some(_) => return Err(KeysError),
    }
    Ok(())
}

/// The options of MIGRATE, each with the position of what follows it. All that follow `KEYS`, the last one, are keys.
pub fn migrate_options<'a>(args: Args<'a>) -> impl Iterator<Item = (&'a [u8], usize)> {
    let mut index = 6;
    std::iter::from_fn(move || {
        let word = args.get(index)?;
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        let value = index + 1;
        index = match () {
            () if is(b"KEYS") => args.len(),
            () if is(b"AUTH") => value + 1,
            () if is(b"AUTH2") => value + 2,
            () => value,
        };
        Some((word, value))
    })
}

/// Whether a request reads keys that only patterns among its arguments tell.
pub fn has_patterns(spec: &CommandSpec, args: Args<'_>) -> bool {
    matches!(spec.layout, KeyLayout::Options(_, KeyOptions::Sort))
        && sort_options(args).any(|(word, index)| {
            (word.eq_ignore_ascii_case(b"BY") || word.eq_ignore_ascii_case(b"GET")) && args.at(index).contains(&b'*')
        })
}

/// The options of SORT that have a value, each with the value's position.
fn sort_options<'a>(args: Args<'a>) -> impl Iterator<Item = (&'a [u8], usize)> {
    let mut index = 2;
    std::iter::from_fn(move || {
        while index + 1 < args.len() {
            let word = args.at(index);
            let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
            let value = index + 1;
            index += if is(b"LIMIT") { 3 } else { 2 };
            if is(b"LIMIT") || is(b"BY") || is(b"GET") || is(b"STORE") {
                return Some((word, value));
            }
            index -= 1;
        }
        None
    })
}

fn push_range(found: &mut KeyRefs, range: std::ops::Range<usize>, step: u8, flags: KeyFlags) {
    // A request has fewer than 2^31 arguments, so positions fit into 32 bits.
    found.extend(range.step_by(step.into()).map(|index| KeyRef { index: index as u32, flags }));
}

fn by_specs(spec: &CommandSpec, args: Args<'_>, found: &mut KeyRefs) -> Result<(), KeysError> {
    for key_spec in spec.keys.iter().filter(|key_spec| !key_spec.flags.contains(KeyFlags::NOT_KEY)) {
        by_spec(key_spec, spec.flags, args, found)?;
    }
    Ok(())
}

fn by_spec(spec: &KeySpec, command: CommandFlags, args: Args<'_>, found: &mut KeyRefs) -> Result<(), KeysError> {
    let count = args.len();
    let first = match spec.begin {
        Begin::Index(index) => usize::from(index),
        Begin::Keyword(keyword, from) => match after_keyword(keyword, from, args) {
            Some(first) => first,
            None => return Ok(()),
        },
        Begin::Unknown => return Ok(()),
    };
    if first >= count {
        // What follows other keys may be nothing.
        let is_rest = first > 1 && matches!(spec.find, Find::Range { last: -1, .. });
        return if is_rest { Ok(()) } else { Err(KeysError) };
    }
    match spec.find {
        Find::Range { last, step, limit } => {
            let last = if last >= 0 {
                first + last.unsigned_abs() as usize
            } else {
                let span = if limit > 1 { first + (count - first) / usize::from(limit) } else { count };
                span - usize::from(last.unsigned_abs())
            };
            if last < first || last >= count {
                return Err(KeysError);
            }
            push_range(found, first..last + 1, step, spec.flags);
        }
        Find::NumKeys { step } => {
            let number = parse_count(args.at(first)).ok_or(KeysError)?;
            if number == 0 && command.contains(CommandFlags::NO_MANDATORY_KEYS) {
                return Ok(());
            }
            // What belongs to the last key may be missing.
            let available = (count - first - 1).div_ceil(step.into());
            if number == 0 || number > available {
                return Err(KeysError);
            }
            let end = first + 1 + number * usize::from(step);
            push_range(found, first + 1..end, step, spec.flags);
        }
        Find::Unknown => {}
    }
    Ok(())
}

/// The position after `keyword`, which cannot be the last argument. Looks from `from` on; from a negative position
/// backwards, -1 being the last argument.
fn after_keyword(keyword: &str, from: i8, args: Args<'_>) -> Option<usize> {
    let count = args.len();
    let is_keyword = |index: &usize| args.at(*index).eq_ignore_ascii_case(keyword.as_bytes());
    let distance = usize::from(from.unsigned_abs());
    let index = if from >= 0 {
        (distance..count.saturating_sub(1)).find(is_keyword)
    } else {
        (1..(count + 1).saturating_sub(distance)).rev().find(is_keyword)
    };
    index.map(|index| index + 1).filter(|&first| first < count)
}

/// A count of keys: decimal digits only, as in every number of the protocol.
fn parse_count(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 9 || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    digits.iter().try_fold(0, |sum: usize, digit| digit.is_ascii_digit().then(|| sum * 10 + usize::from(digit - b'0')))
}

fn set_flags(args: Args<'_>) -> KeyFlags {
    let reads = (3..args.len()).any(|index| args.at(index).eq_ignore_ascii_case(b"GET"));
    if reads {
        KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE)
    } else {
        KeyFlags::OW.union(KeyFlags::UPDATE)
    }
}

fn bitfield_flags(args: Args<'_>) -> KeyFlags {
    let mut index = 2;
    while index < args.len() {
        let word = args.at(index);
        let taken = if word.eq_ignore_ascii_case(b"GET") {
            3
        } else if word.eq_ignore_ascii_case(b"OVERFLOW") {
            2
        } else {
            break;
        };
        if index + taken > args.len() {
            break;
        }
        index += taken;
    }
    if index >= args.len() {
        KeyFlags::RO.union(KeyFlags::ACCESS)
    } else {
        KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE)
    }
}
