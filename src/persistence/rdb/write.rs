//! Writing lengths, strings and numbers as RDB data has them.

use super::{length, lzf};
use crate::value::number;
use crate::value::packed::Element;

/// Strings up to this length are not compressed.
const COMPRESS_ABOVE: usize = 20;
/// Longest text that may be one of the integers that are written as such.
const INTEGER_TEXT_MAX: usize = 11;

/// Appends a length, or a number that is written like one.
pub fn length(value: u64, out: &mut Vec<u8>) {
    match value {
        0..=0x3F => out.push(value as u8),
        0x40..=0x3FFF => out.extend_from_slice(&[length::BITS_14 | (value >> 8) as u8, value as u8]),
        0x4000..=0xFFFF_FFFF => {
            out.push(length::BITS_32);
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
        _ => {
            out.push(length::BITS_64);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

/// Appends a string: as an integer if it is the text of a short one, compressed if that is wanted and saves something.
pub fn string(bytes: &[u8], compressed: bool, out: &mut Vec<u8>) {
    if bytes.len() <= INTEGER_TEXT_MAX
        && let Some(value) = number::parse_i64(bytes)
        && integer(value, out)
    {
        return;
    }
    if compressed && bytes.len() > COMPRESS_ABOVE {
        let mut block = Vec::new();
        if lzf::compress(bytes, &mut block) {
            out.push(length::ENCODED | length::LZF);
            length(block.len() as u64, out);
            length(bytes.len() as u64, out);
            out.extend_from_slice(&block);
            return;
        }
    }
    length(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends the string that an element stands for.
pub fn element(element: Element<'_>, compressed: bool, out: &mut Vec<u8>) {
    match element {
        Element::Integer(value) if integer(value, out) => {}
        element => string(&element.to_vec(), compressed, out),
    }
}

/// Appends a string that is the text of an integer; `false` if it is too large to be written as an integer.
fn integer(value: i64, out: &mut Vec<u8>) -> bool {
    let bytes = value.to_le_bytes();
    let (kind, size) = match value {
        -0x80..=0x7F => (length::INTEGER_8, 1),
        -0x8000..=0x7FFF => (length::INTEGER_16, 2),
        -0x8000_0000..=0x7FFF_FFFF => (length::INTEGER_32, 4),
        _ => return false,
    };
    out.push(length::ENCODED | kind);
    out.extend_from_slice(&bytes[..size]);
    true
}

/// Appends a packed sequence of `count` entries as a listpack, which is a string.
pub fn listpack(entries: &[u8], count: usize, compressed: bool, out: &mut Vec<u8>) {
    const HEAD: usize = 6;
    const END: u8 = 0xFF;
    let mut bytes = Vec::with_capacity(HEAD + entries.len() + 1);
    bytes.extend_from_slice(&((HEAD + entries.len() + 1) as u32).to_le_bytes());
    // A number that does not fit says that entries have to be counted.
    bytes.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend_from_slice(entries);
    bytes.push(END);
    string(&bytes, compressed, out);
}
