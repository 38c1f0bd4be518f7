//! The packed encodings in which old and new versions write small collections: listpacks, ziplists, zipmaps and intsets. Each
//! is a string of RDB data; walking it checks it.

use super::Corrupt;
use crate::value::number;
use crate::value::packed::{self, Element};

/// What is called with each element; an error of it ends the walk.
pub type Visit<'v> = &'v mut dyn FnMut(Element<'_>) -> Result<(), Corrupt>;

/// Calls `each` with the elements of a listpack (<https://github.com/antirez/listpack/blob/master/listpack.md>).
pub fn listpack(bytes: &[u8], each: Visit<'_>) -> Result<(), Corrupt> {
    let (head, rest) = bytes.split_first_chunk::<6>().ok_or(Corrupt)?;
    let (&end, entries) = rest.split_last().ok_or(Corrupt)?;
    let total = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let count = u16::from_le_bytes([head[4], head[5]]);
    if total != bytes.len() || end != 0xFF {
        return Err(Corrupt);
    }
    let (mut at, mut seen) = (0, 0_usize);
    while at < entries.len() {
        let (element, next) = packed::decode_checked(entries, at).ok_or(Corrupt)?;
        each(element)?;
        at = next;
        seen += 1;
    }
    if count != u16::MAX && seen != usize::from(count) { Err(Corrupt) } else { Ok(()) }
}

/// Calls `each` with the elements of a ziplist, which Redis wrote before version 7.
pub fn ziplist(bytes: &[u8], each: Visit<'_>) -> Result<(), Corrupt> {
    const HEAD: usize = 10;
    let head = bytes.first_chunk::<HEAD>().ok_or(Corrupt)?;
    let total = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let tail = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    let count = u16::from_le_bytes([head[8], head[9]]);
    if total != bytes.len() || bytes.last() != Some(&0xFF) || bytes.len() <= HEAD {
        return Err(Corrupt);
    }
    let entries = &bytes[..bytes.len() - 1];
    let (mut at, mut before, mut last, mut seen) = (HEAD, 0, HEAD, 0_usize);
    while at < entries.len() {
        let (element, previous_len, next) = ziplist_entry(entries, at).ok_or(Corrupt)?;
        if previous_len != before {
            return Err(Corrupt);
        }
        each(element)?;
        (before, last, at) = (next - at, at, next);
        seen += 1;
    }
    if tail != last || count != u16::MAX && seen != usize::from(count) { Err(Corrupt) } else { Ok(()) }
}

/// The entry of a ziplist at `at`: its element, the length that it gives for the entry before, and where the next one begins.
fn ziplist_entry(bytes: &[u8], at: usize) -> Option<(Element<'_>, usize, usize)> {
    let (previous_len, at) = match bytes.get(at)? {
        0xFE => (u32::from_le_bytes(*bytes.get(at + 1..)?.first_chunk()?) as usize, at + 5),
        0xFF => return None,
        len => (usize::from(*len), at + 1),
    };
    let tag = *bytes.get(at)?;
    let integer = |size: usize| {
        let bytes = bytes.get(at + 1..at + 1 + size)?;
        Some((Element::Integer(number::integer_from_bytes(bytes)), previous_len, at + 1 + size))
    };
    let text = |head: usize, len: usize| {
        let begin = at + head;
        let text = bytes.get(begin..begin.checked_add(len)?)?;
        Some((Element::new(text), previous_len, begin + len))
    };
    match tag {
        0x00..=0x3F => text(1, usize::from(tag)),
        0x40..=0x7F => text(2, usize::from(tag & 0x3F) << 8 | usize::from(*bytes.get(at + 1)?)),
        0x80 => text(5, u32::from_be_bytes(*bytes.get(at + 1..)?.first_chunk()?) as usize),
        0xC0 => integer(2),
        0xD0 => integer(4),
        0xE0 => integer(8),
        0xF0 => integer(3),
        0xFE => integer(1),
        0xF1..=0xFD => Some((Element::Integer(i64::from(tag & 0x0F) - 1), previous_len, at + 1)),
        _ => None,
    }
}

/// Calls `each` with the members of an intset, which ascend.
pub fn intset(bytes: &[u8], each: Visit<'_>) -> Result<(), Corrupt> {
    let (width, rest) = bytes.split_first_chunk().ok_or(Corrupt)?;
    let (count, integers) = rest.split_first_chunk().ok_or(Corrupt)?;
    let (width, count) = (u32::from_le_bytes(*width) as usize, u32::from_le_bytes(*count) as usize);
    if !matches!(width, 2 | 4 | 8) || count.checked_mul(width) != Some(integers.len()) {
        return Err(Corrupt);
    }
    let mut last = None;
    for integer in integers.chunks_exact(width).map(number::integer_from_bytes) {
        if last.is_some_and(|last| last >= integer) {
            return Err(Corrupt);
        }
        last = Some(integer);
        each(Element::Integer(integer))?;
    }
    Ok(())
}

/// Calls `each` with the fields and values of a zipmap, in which Redis kept small hashes before version 2.6.
pub fn zipmap(bytes: &[u8], each: Visit<'_>) -> Result<(), Corrupt> {
    let (_, mut rest) = bytes.split_first().ok_or(Corrupt)?;
    while rest != [0xFF] {
        let (name, after) = zipmap_text(rest, false).ok_or(Corrupt)?;
        let (value, after) = zipmap_text(after, true).ok_or(Corrupt)?;
        each(Element::new(name))?;
        each(Element::new(value))?;
        rest = after;
    }
    Ok(())
}

/// A text with its length in front, which in a value is followed by the number of unused bytes behind it.
fn zipmap_text(bytes: &[u8], is_value: bool) -> Option<(&[u8], &[u8])> {
    let (len, rest) = match bytes.split_first()? {
        (0xFE, rest) => {
            let (len, rest) = rest.split_first_chunk()?;
            let len = u32::from_le_bytes(*len) as usize;
            // Shorter ones have a byte for it.
            if len < 0xFE {
                return None;
            }
            (len, rest)
        }
        (0xFF, _) => return None,
        (len, rest) => (usize::from(*len), rest),
    };
    let (unused, rest) = if is_value { rest.split_first()? } else { (&0, rest) };
    let (text, rest) = rest.split_at_checked(len)?;
    Some((text, rest.get(usize::from(*unused)..)?))
}
