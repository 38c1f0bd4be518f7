//! Commands on HyperLogLogs, which are strings.

use super::string::{expand, put_string, replace_string, view, write_at};
use super::{Call, Found, Keys};
use crate::config::Directive;
use crate::pubsub::Event;
use crate::resp::{Args, CommandResult, ErrorReply};
use crate::value::MAX_INLINE;
use crate::value::hyperloglog::{self, Corrupted, DENSE_LEN, HEAD_LEN, HyperLogLog, Registers};
use crate::value::string::{LongString, NewString, StringView};

const NOT_VALID: ErrorReply = ErrorReply::fixed("WRONGTYPE Key is not a valid HyperLogLog string value.");

fn corrupted(_: Corrupted) -> ErrorReply {
    ErrorReply::fixed("INVALIDOBJ Corrupted HLL object detected")
}

/// Bytes from which a sparse one becomes dense.
fn sparse_max(call: &Call) -> usize {
    call.state.settings.int(Directive::HllSparseMaxBytes) as usize
}

/// The string of a record, if it is a HyperLogLog.
fn log_at<'a>(keys: &'a mut Keys<'_>, found: Found) -> Result<StringView<'a>, ErrorReply> {
    let string = view(keys, found)?;
    let mut scratch = Vec::new();
    let head = string.slice(0..string.len().min(HEAD_LEN), &mut scratch);
    if hyperloglog::is_valid(head, string.len()) { Ok(string) } else { Err(NOT_VALID) }
}

/// A copy of the HyperLogLog of a record.
fn load(keys: &mut Keys<'_>, found: Found) -> Result<HyperLogLog, ErrorReply> {
    let string = log_at(keys, found)?;
    let mut bytes = Vec::with_capacity(string.len());
    string.append_to(&mut bytes);
    Ok(HyperLogLog::from_bytes(bytes))
}

/// Makes a HyperLogLog the value of `key`, whose record is `found` if it has one.
fn save(keys: &mut Keys<'_>, found: Option<Found>, key: &[u8], log: &HyperLogLog) {
    let bytes = log.as_bytes();
    let string = match bytes.len() {
        ..=MAX_INLINE => NewString::modified(bytes),
        _ => NewString::Boxed(LongString::new(bytes)),
    };
    match found {
        Some(found) => replace_string(keys, found, key, string),
        None => put_string(keys, key, string, None),
    };
}

/// `PFADD key [element ...]`: whether that changed anything.
pub fn pfadd(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let elements = call.args.from(2);
    let found = call.keys.write(key);
    let mut log = match found {
        None => HyperLogLog::default(),
        Some(found) if is_dense(call.keys, found)? => {
            let raised = add_to_dense(call.keys, found, key, elements);
            if raised > 0 {
                call.keys.changed_by(key, raised, Event::PFADD);
            }
            return call.reply.flag(raised > 0);
        }
        Some(found) => load(call.keys, found)?,
    };
    let sparse_max = sparse_max(call);
    let mut changes = u64::from(found.is_none());
    for element in elements.iter() {
        changes += u64::from(log.add(element, sparse_max).map_err(corrupted)?);
    }
    if changes > 0 {
        log.forget_cardinality();
        save(call.keys, found, key, &log);
        call.keys.changed_by(key, changes, Event::PFADD);
    }
    call.reply.flag(changes > 0)
}

fn is_dense(keys: &mut Keys<'_>, found: Found) -> Result<bool, ErrorReply> {
    let string = log_at(keys, found)?;
    Ok(hyperloglog::is_dense(string.slice(0..HEAD_LEN, &mut Vec::new())))
}

/// Adds elements to a dense one where it lies. Returns how many changed a register.
fn add_to_dense(keys: &mut Keys<'_>, found: Found, key: &[u8], elements: Args<'_>) -> u64 {
    let found = expand(keys, found, key, 0..DENSE_LEN);
    let mut raised = 0;
    let mut scratch = Vec::new();
    let mut change = |keys: &mut Keys<'_>, place: std::ops::Range<usize>, of: &dyn Fn(&[u8]) -> Option<[u8; 2]>| {
        let string = keys.value(found).as_string()?;
        let bytes = of(string.slice(place.clone(), &mut scratch))?;
        write_at(keys, Some(found), key, place.start, &bytes[..place.len()]);
        Some(())
    };
    for element in elements.iter() {
        let (index, value) = hyperloglog::register_of(element);
        let raise = |bytes: &[u8]| hyperloglog::raise_dense(bytes, index, value);
        raised += u64::from(change(keys, hyperloglog::dense_place(index), &raise).is_some());
    }
    if raised > 0 {
        let at = hyperloglog::STALE_AT;
        change(keys, at..at + 1, &|bytes| Some([bytes[0] | hyperloglog::STALE, 0]));
    }
    raised
}

/// `PFCOUNT key [key ...]`: about how many different elements were added to any of them.
pub fn pfcount(call: &mut Call) -> CommandResult {
    if call.args.len() > 2 {
        let mut registers = Box::new([0; hyperloglog::REGISTERS]);
        for key in call.args.from(1).iter() {
            if let Some(found) = call.keys.read(key) {
                load(call.keys, found)?.merge_into(&mut registers).map_err(corrupted)?;
            }
        }
        call.let_go();
        return call.reply.count(hyperloglog::estimate(&registers) as usize);
    }
    let key = call.arg(1);
    let Some(found) = call.keys.read(key) else { return call.reply.integer(0) };
    let mut log = load(call.keys, found)?;
    let cardinality = match log.kept_cardinality() {
        Some(cardinality) => cardinality,
        None => {
            let cardinality = log.cardinality().map_err(corrupted)?;
            log.keep_cardinality(cardinality);
            write_at(call.keys, Some(found), key, 0, &log.as_bytes()[..HEAD_LEN]);
            call.keys.changed_quietly(key, 1);
            cardinality
        }
    };
    call.reply.integer(cardinality as i64)
}

/// `PFMERGE destkey [sourcekey ...]`
pub fn pfmerge(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let mut registers: Box<Registers> = Box::new([0; hyperloglog::REGISTERS]);
    let mut is_dense = false;
    for key in call.args.from(1).iter() {
        if let Some(found) = call.keys.read(key) {
            let log = load(call.keys, found)?;
            log.merge_into(&mut registers).map_err(corrupted)?;
            is_dense |= log.is_dense();
        }
    }
    let found = call.keys.write(key);
    let mut log = match found {
        Some(found) => load(call.keys, found)?,
        None => HyperLogLog::default(),
    };
    if is_dense {
        log.make_dense().map_err(corrupted)?;
    }
    let sparse_max = sparse_max(call);
    for (index, value) in registers.iter().enumerate().filter(|(_, value)| **value > 0) {
        log.raise(index, *value, sparse_max).map_err(corrupted)?;
    }
    log.forget_cardinality();
    save(call.keys, found, key, &log);
    call.keys.changed(key, Event::PFADD);
    call.reply.ok()
}

/// `PFDEBUG GETREG|DECODE|ENCODING|TODENSE key`
pub fn pfdebug(call: &mut Call) -> CommandResult {
    let key = call.arg(2);
    let Some(found) = call.keys.write(key) else {
        return Err(ErrorReply::fixed("ERR The specified key does not exist"));
    };
    let mut log = load(call.keys, found)?;
    let mut make_dense = |keys: &mut Keys<'_>| {
        let is_made = log.make_dense().map_err(corrupted)?;
        if is_made {
            save(keys, Some(found), key, &log);
            keys.changed_quietly(key, 1);
        }
        Ok::<_, ErrorReply>(is_made)
    };
    match call.arg(1).to_ascii_uppercase().as_slice() {
        b"GETREG" => {
            make_dense(call.keys)?;
            let registers = log.registers().map_err(corrupted)?;
            call.reply.array(registers.len())?;
            registers.iter().try_for_each(|value| call.reply.integer(i64::from(*value)))
        }
        b"DECODE" => match log.describe().map_err(corrupted)? {
            Some(text) => call.reply.bulk(text.as_bytes()),
            None => Err(ErrorReply::fixed("ERR HLL encoding is not sparse")),
        },
        b"ENCODING" => call.reply.simple(if log.is_dense() { "dense" } else { "sparse" }),
        b"TODENSE" => {
            let is_made = make_dense(call.keys)?;
            call.reply.flag(is_made)
        }
        _ => Err(ErrorReply::about("ERR Unknown PFDEBUG subcommand '", call.arg(1), "'")),
    }
}

/// `PFSELFTEST`: what it would test is tested when the server is built.
pub fn pfselftest(call: &mut Call) -> CommandResult {
    call.reply.ok()
}
