//! `BITFIELD`: integers of any width inside a string.

use super::{bit_offset, byte_at};
use crate::command::Call;
use crate::command::keys::{Found, Keys};
use crate::command::string::{view, write_at};
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply};
use crate::value::bits::{Encoding, Overflow, WINDOW};
use crate::value::number;
use smallvec::SmallVec;

const BAD_TYPE: ErrorReply = ErrorReply::fixed(
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
);

#[derive(Clone, Copy, Debug)]
enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

/// One integer, and what happens to it.
#[derive(Clone, Copy, Debug)]
struct Step {
    encoding: Encoding,
    offset: usize,
    action: Action,
}

type Steps = SmallVec<[Step; 4]>;

/// `BITFIELD key [GET encoding offset | [OVERFLOW WRAP | SAT | FAIL] SET encoding offset value | INCRBY encoding offset
/// increment …]`
pub fn bitfield(call: &mut Call) -> CommandResult {
    let steps = parse(call)?;
    if steps.iter().all(|step| matches!(step.action, Action::Get)) { read(call, &steps) } else { change(call, &steps) }
}

/// `BITFIELD_RO key [GET encoding offset …]`
pub fn bitfield_ro(call: &mut Call) -> CommandResult {
    let steps = parse(call)?;
    if !steps.iter().all(|step| matches!(step.action, Action::Get)) {
        return Err(ErrorReply::fixed("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    read(call, &steps)
}

fn parse(call: &Call) -> Result<Steps, ErrorReply> {
    let mut steps = Steps::new();
    let mut overflow = Overflow::default();
    let mut index = 2;
    while index < call.args.len() {
        let operands = call.args.len() - index - 1;
        if call.is_word(index, "OVERFLOW") && operands >= 1 {
            overflow = [("WRAP", Overflow::Wrap), ("SAT", Overflow::Saturate), ("FAIL", Overflow::Fail)]
                .into_iter()
                .find(|(word, _)| call.is_word(index + 1, word))
                .ok_or(ErrorReply::fixed("ERR Invalid OVERFLOW type specified"))?
                .1;
            index += 2;
            continue;
        }
        let action: Option<fn(i64, Overflow) -> Action> = match () {
            () if call.is_word(index, "GET") && operands >= 2 => None,
            () if call.is_word(index, "SET") && operands >= 3 => Some(Action::Set),
            () if call.is_word(index, "INCRBY") && operands >= 3 => Some(Action::Add),
            () => return Err(ErrorReply::SYNTAX),
        };
        let encoding = encoding(call.arg(index + 1))?;
        let offset = bit_offset(call, call.arg(index + 2), Some(encoding.width))?;
        let action = match action {
            None => Action::Get,
            Some(action) => action(call.integer(index + 3)?, overflow),
        };
        index += if matches!(action, Action::Get) { 3 } else { 4 };
        steps.push(Step { encoding, offset, action });
    }
    Ok(steps)
}

fn encoding(text: &[u8]) -> Result<Encoding, ErrorReply> {
    let (is_signed, width_max, width) = match text {
        [b'i', width @ ..] => (true, 64, width),
        [b'u', width @ ..] => (false, 63, width),
        _ => return Err(BAD_TYPE),
    };
    let width = number::parse_i64(width).filter(|width| (1..=width_max).contains(width)).ok_or(BAD_TYPE)?;
    Ok(Encoding { is_signed, width: width as u32 })
}

fn read(call: &mut Call, steps: &[Step]) -> CommandResult {
    let found = call.keys.read(call.arg(1));
    if let Some(found) = found {
        view(call.keys, found)?;
    }
    call.reply.array(steps.len())?;
    for step in steps {
        let value = match found {
            None => 0,
            Some(found) => step.encoding.read(&window(call.keys, found, step)?, step.offset),
        };
        call.reply.integer(value)?;
    }
    Ok(())
}

fn change(call: &mut Call, steps: &[Step]) -> CommandResult {
    let key = call.arg(1);
    let found = call.keys.write(key);
    // The string grows to where it may be written and becomes one that was changed in part, be it that every step fails.
    let last = steps.iter().filter(|step| !matches!(step.action, Action::Get));
    let last = last.map(|step| *step.encoding.bytes_at(step.offset).end()).max().unwrap_or(0);
    let (grows, byte) = match found {
        None => (true, 0),
        Some(found) => {
            let string = view(call.keys, found)?;
            (last >= string.len(), byte_at(&string, last))
        }
    };
    write_at(call.keys, found, key, last, &[byte]);
    call.reply.array(steps.len())?;
    let mut changes = 0;
    for step in steps {
        let Some(found) = call.keys.peek(key) else { unreachable!("the key was found or made above") };
        let Step { encoding, offset, action } = *step;
        let mut window = window(call.keys, found, step)?;
        let before = encoding.read(&window, offset);
        let after = match action {
            Action::Get => {
                call.reply.integer(before)?;
                continue;
            }
            Action::Set(value, overflow) => encoding.fit(encoding.operand(value, overflow), overflow),
            Action::Add(value, overflow) => encoding.fit(i128::from(before) + i128::from(value), overflow),
        };
        let Some(after) = after else {
            call.reply.null()?;
            continue;
        };
        call.reply.integer(if matches!(action, Action::Set(..)) { before } else { after })?;
        if after != before {
            encoding.write(&mut window, offset, after);
            let bytes = encoding.bytes_at(offset);
            write_at(call.keys, Some(found), key, *bytes.start(), &window[..bytes.count()]);
        }
        changes += u64::from(grows || after != before);
    }
    if changes > 0 {
        call.keys.changed_by(key, changes, Event::SETBIT);
    } else {
        call.keys.same_value();
    }
    Ok(())
}

/// The bytes from the one that a step's integer begins in.
fn window(keys: &mut Keys<'_>, found: Found, step: &Step) -> Result<[u8; WINDOW], ErrorReply> {
    let string = view(keys, found)?;
    let first = *step.encoding.bytes_at(step.offset).start();
    Ok(std::array::from_fn(|index| byte_at(&string, first + index)))
}
