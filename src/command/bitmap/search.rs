//! Counting bits, and finding the first of a kind.

use super::byte_at;
use crate::command::Call;
use crate::command::string::{expand, inclusive_range, view};
use crate::resp::{CommandResult, ErrorReply};
use crate::value::bits;
use crate::value::string::StringView;
use std::ops::Range;

/// Whether a range counts bytes or bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Byte,
    Bit,
}

/// Reads the optional unit of a range, which is the last argument.
fn unit(call: &Call, index: usize) -> Result<Unit, ErrorReply> {
    match call.args.get(index) {
        None => Ok(Unit::Byte),
        Some(_) if call.is_word(index, "BYTE") => Ok(Unit::Byte),
        Some(_) if call.is_word(index, "BIT") => Ok(Unit::Bit),
        Some(_) => Err(ErrorReply::SYNTAX),
    }
}

/// The bits that inclusive positions stand for.
fn bit_range(start: i64, end: i64, unit: Unit, len: usize) -> Option<Range<usize>> {
    match unit {
        Unit::Bit => inclusive_range(start, end, len * 8),
        Unit::Byte => inclusive_range(start, end, len).map(|range| range.start * 8..range.end * 8),
    }
}

/// The bytes that bits lie in.
fn bytes_of(bits: &Range<usize>) -> Range<usize> {
    bits.start / 8..bits.end.div_ceil(8)
}

/// Shows the bytes of a range of bits until `visit` answers `false`. In the first and the last, the bits that do not
/// belong to the range are as in `filler`.
fn visit(string: &StringView<'_>, bits: &Range<usize>, filler: u8, mut visit: impl FnMut(&[u8]) -> bool) {
    let bytes = bytes_of(bits);
    let head = 0xFF >> (bits.start % 8);
    let tail = 0xFF << (bytes.end * 8 - bits.end);
    let edge = |index, mask: u8| [byte_at(string, index) & mask | filler & !mask];
    if bytes.len() == 1 {
        visit(&edge(bytes.start, head & tail));
        return;
    }
    let mut goes_on = visit(&edge(bytes.start, head));
    let inner = bytes.start + 1..bytes.end - 1;
    if goes_on && !inner.is_empty() {
        string.visit(inner, &mut Vec::new(), |chunk| {
            goes_on = visit(chunk);
            goes_on
        });
    }
    if goes_on {
        visit(&edge(bytes.end - 1, tail));
    }
}

/// `BITCOUNT key [start end [BYTE | BIT]]`
pub fn bitcount(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let (start, unit, end) = match call.args.len() {
        2 => (0, Unit::Byte, -1),
        4 | 5 => (call.integer(2)?, unit(call, 4)?, call.integer(3)?),
        _ => return Err(ErrorReply::SYNTAX),
    };
    let Some(found) = call.keys.read(key) else { return call.reply.integer(0) };
    let len = view(call.keys, found)?.len();
    let Some(bits) = bit_range(start, end, unit, len) else { return call.reply.integer(0) };
    let found = expand(call.keys, found, key, bytes_of(&bits));
    let mut count = 0;
    visit(&view(call.keys, found)?, &bits, 0, |bytes| {
        count += bits::count(bytes);
        true
    });
    call.reply.count(count)
}

/// `BITPOS key bit [start [end [BYTE | BIT]]]`
pub fn bitpos(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let is_set = match call.integer(2)? {
        0 => false,
        1 => true,
        _ => return Err(ErrorReply::fixed("ERR The bit argument must be 1 or 0.")),
    };
    if call.args.len() > 6 {
        return Err(ErrorReply::SYNTAX);
    }
    let start = if call.args.len() > 3 { call.integer(3)? } else { 0 };
    let has_end = call.args.len() > 4;
    let unit = unit(call, 5)?;
    let end = if has_end { call.integer(4)? } else { -1 };
    let Some(found) = call.keys.read(key) else { return call.reply.integer(if is_set { -1 } else { 0 }) };
    let len = view(call.keys, found)?.len();
    let units = if unit == Unit::Bit { len * 8 } else { len } as i64;
    // Unlike elsewhere, a range that ends before the string begins is its first unit.
    let from_begin = |position: i64| if position < 0 { (position + units).max(0) } else { position };
    let Some(bits) = bit_range(from_begin(start), from_begin(end), unit, len) else { return call.reply.integer(-1) };
    let found = expand(call.keys, found, key, bytes_of(&bits));
    let mut at = bytes_of(&bits).start * 8;
    let mut position = None;
    visit(&view(call.keys, found)?, &bits, if is_set { 0 } else { 0xFF }, |bytes| {
        position = bits::position(bytes, is_set).map(|within| at + within);
        at += bytes.len() * 8;
        position.is_none()
    });
    match position {
        Some(position) => call.reply.count(position),
        // Without an end, the string goes on with zeros for ever.
        None if !is_set && !has_end => call.reply.count(len * 8),
        None => call.reply.integer(-1),
    }
}
