//! Bitmap commands: single bits here, what counts, combines or packs many of them in modules of their own.

mod bitfield;
mod combine;
mod search;

pub use bitfield::{bitfield, bitfield_ro};
pub use combine::bitop;
pub use search::{bitcount, bitpos};

use super::Call;
use super::string::{expand, string_len_max, view, write_at};
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply};
use crate::value::number;
use crate::value::string::StringView;

const BAD_OFFSET: ErrorReply = ErrorReply::fixed("ERR bit offset is not an integer or out of range");

/// `SETBIT key offset value`
pub fn setbit(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let offset = bit_offset(call, call.arg(2), None)?;
    let bit = call.integer_in(3, 0..=1, ErrorReply::fixed("ERR bit is not an integer or out of range"))?;
    let (index, mask) = place(offset);
    let found = call.keys.write(key);
    let (before, grows) = match found {
        None => (0, true),
        Some(found) => {
            let string = view(call.keys, found)?;
            (byte_at(&string, index), index >= string.len())
        }
    };
    let after = if bit == 1 { before | mask } else { before & !mask };
    // Also what stays as it is becomes a string that was changed in part.
    write_at(call.keys, found, key, index, &[after]);
    if after != before || grows {
        call.keys.changed(key, Event::SETBIT);
    } else {
        call.keys.same_value();
    }
    call.reply.flag(before & mask != 0)
}

/// `GETBIT key offset`
pub fn getbit(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let (index, mask) = place(bit_offset(call, call.arg(2), None)?);
    let Some(found) = call.keys.read(key) else { return call.reply.integer(0) };
    view(call.keys, found)?;
    let found = expand(call.keys, found, key, index..index + 1);
    let byte = byte_at(&view(call.keys, found)?, index);
    call.reply.flag(byte & mask != 0)
}

/// The byte that a bit lies in, and the bit's mask in it.
fn place(offset: usize) -> (usize, u8) {
    (offset / 8, 0x80 >> (offset % 8))
}

/// The byte at `index`, zero behind the string's end.
fn byte_at(string: &StringView<'_>, index: usize) -> u8 {
    if index < string.len() { string.slice(index..index + 1, &mut Vec::new())[0] } else { 0 }
}

/// An offset in bits, as far as a string may reach. If integers of a `width` are meant, it may count them, after `#`.
fn bit_offset(call: &Call, text: &[u8], width: Option<u32>) -> Result<usize, ErrorReply> {
    let offset = match (width, text.strip_prefix(b"#")) {
        (Some(width), Some(index)) => number::parse_i64(index).and_then(|index| index.checked_mul(width.into())),
        _ => number::parse_i64(text),
    };
    let offset = offset.and_then(|offset| usize::try_from(offset).ok());
    offset.filter(|offset| offset / 8 < string_len_max(call.state)).ok_or(BAD_OFFSET)
}
