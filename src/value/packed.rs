//! Packed sequences: short byte strings and integers, end to end in one buffer that can be walked from both ends.
//!
//! An entry is a tag with the length or the integer, the bytes of a string, and the entry's length so far once more,
//! written so that it reads backwards. These are the entries of Redis' listpack, so that what is packed here can be
//! written to an RDB file, and read from one, as it is. Integers are always packed as integers: equal elements have
//! equal bytes.

pub(super) mod forward;

use super::number::{self, INTEGER_LEN_MAX};

/// One element of a packed sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element<'a> {
    /// Bytes that are not the canonical text of an integer.
    Bytes(&'a [u8]),
    /// An integer that stands for its canonical decimal text.
    Integer(i64),
}

/// Room for the decimal text of an integer element.
#[derive(Default)]
pub struct IntegerText(itoa::Buffer);

impl IntegerText {
    /// The decimal text of `value`.
    #[inline]
    pub fn format(&mut self, value: i64) -> &[u8] {
        self.0.format(value).as_bytes()
    }
}

impl<'a> Element<'a> {
    /// The element that `bytes` stand for: an integer where they are the canonical text of one.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        // Most elements that are not integers show it in their first byte or their length.
        if bytes.len() <= INTEGER_LEN_MAX
            && let Some(value) = number::parse_i64(bytes)
        {
            return Element::Integer(value);
        }
        Element::Bytes(bytes)
    }

    /// The element's bytes; `text` is where an integer's digits are put.
    #[inline]
    pub fn as_bytes<'b>(&'b self, text: &'b mut IntegerText) -> &'b [u8] {
        match self {
            Element::Bytes(bytes) => bytes,
            Element::Integer(value) => text.format(*value),
        }
    }

    /// The element as bytes of its own.
    pub fn to_vec(&self) -> Vec<u8> {
        self.as_bytes(&mut IntegerText::default()).to_vec()
    }
}

/// An entry about to be written: its parts before and after the string's bytes.
pub(super) struct Encoded<'a> {
    head: [u8; 9],
    head_len: u8,
    tail_len: u8,
    tail: [u8; 5],
    data: &'a [u8],
}

impl<'a> Encoded<'a> {
    #[inline]
    pub(super) fn new(element: Element<'a>) -> Self {
        let mut entry = Self::without_back_len(element);
        entry.tail_len = write_back_len(&mut entry.tail, usize::from(entry.head_len) + entry.data.len()) as u8;
        entry
    }

    #[inline]
    fn without_back_len(element: Element<'a>) -> Self {
        let mut head = [0; 9];
        let (head_len, data): (usize, &[u8]) = match element {
            Element::Bytes(bytes) => (string_head(&mut head, bytes.len()), bytes),
            Element::Integer(value) => (integer_head(&mut head, value), &[]),
        };
        Encoded { head, head_len: head_len as u8, tail_len: 0, tail: [0; 5], data }
    }

    /// Bytes that the entry takes.
    #[inline]
    pub(super) fn len(&self) -> usize {
        usize::from(self.head_len) + self.data.len() + usize::from(self.tail_len)
    }

    #[inline]
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head[..usize::from(self.head_len)]);
        out.extend_from_slice(self.data);
        out.extend_from_slice(&self.tail[..usize::from(self.tail_len)]);
    }

    /// Writes the entry into `out`, which is exactly as long.
    #[inline]
    pub(super) fn write_to(&self, out: &mut [u8]) {
        let (head, rest) = out.split_at_mut(usize::from(self.head_len));
        let (data, tail) = rest.split_at_mut(self.data.len());
        head.copy_from_slice(&self.head[..usize::from(self.head_len)]);
        data.copy_from_slice(self.data);
        tail.copy_from_slice(&self.tail[..usize::from(self.tail_len)]);
    }
}

const STRING_12: u8 = 0xE0;
const STRING_32: u8 = 0xF0;
const INTEGER_13: u8 = 0xC0;
const INTEGER_16: u8 = 0xF1;
const INTEGER_24: u8 = 0xF2;
const INTEGER_32: u8 = 0xF3;
const INTEGER_64: u8 = 0xF4;

#[inline]
fn string_head(head: &mut [u8; 9], len: usize) -> usize {
    if len < 64 {
        head[0] = 0x80 | len as u8;
        1
    } else if len < 4096 {
        head[0] = STRING_12 | (len >> 8) as u8;
        head[1] = len as u8;
        2
    } else {
        head[0] = STRING_32;
        head[1..5].copy_from_slice(&(len as u32).to_le_bytes());
        5
    }
}

#[inline]
fn integer_head(head: &mut [u8; 9], value: i64) -> usize {
    let (tag, bytes) = match value {
        0..=127 => {
            head[0] = value as u8;
            return 1;
        }
        -4096..=4095 => {
            head[0] = INTEGER_13 | ((value >> 8) as u8 & 0x1F);
            head[1] = value as u8;
            return 2;
        }
        -0x8000..=0x7FFF => (INTEGER_16, 2),
        -0x80_0000..=0x7F_FFFF => (INTEGER_24, 3),
        -0x8000_0000..=0x7FFF_FFFF => (INTEGER_32, 4),
        _ => (INTEGER_64, 8),
    };
    head[0] = tag;
    head[1..1 + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
    1 + bytes
}

/// Writes the length of an entry so that it reads from its last byte to its first: seven bits a byte, low bits last,
/// the top bit set on every byte but the first.
#[inline]
fn write_back_len(tail: &mut [u8; 5], len: usize) -> usize {
    let bytes = back_len_size(len);
    for (place, byte) in tail[..bytes].iter_mut().enumerate() {
        let more = if place == 0 { 0 } else { 0x80 };
        *byte = (len >> (7 * (bytes - 1 - place))) as u8 & 0x7F | more;
    }
    bytes
}

/// Bytes that the backward length of an entry of `len` bytes takes.
#[inline]
fn back_len_size(len: usize) -> usize {
    // The limits are one short of what would fit, as in Redis.
    match len {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// Length of the entry's tag and its string's length.
#[inline]
fn sizes(bytes: &[u8], at: usize) -> (usize, usize) {
    let tag = bytes[at];
    match tag {
        0..=0x7F => (1, 0),
        0x80..=0xBF => (1, usize::from(tag & 0x3F)),
        0xC0..=0xDF => (2, 0),
        0xE0..=0xEF => (2, usize::from(tag & 0x0F) << 8 | usize::from(bytes[at + 1])),
        STRING_32 => {
            let len = bytes[at + 1..at + 5].first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
            (5, len as usize)
        }
        INTEGER_16 => (3, 0),
        INTEGER_24 => (4, 0),
        INTEGER_32 => (5, 0),
        _ => (9, 0),
    }
}

/// Where the entry after the one at `at` begins.
#[inline]
pub(super) fn next(bytes: &[u8], at: usize) -> usize {
    let (head, data) = sizes(bytes, at);
    at + head + data + back_len_size(head + data)
}

/// Where the first entry is that holds `element`, of every `step`-th entry from the one at `at` on. `step` is not zero,
/// and divides the number of those entries.
#[inline]
pub fn find(bytes: &[u8], at: usize, element: Element<'_>, step: usize) -> Option<usize> {
    find_by(bytes, at, element, step, next)
}

#[inline]
fn find_by(
    bytes: &[u8],
    mut at: usize,
    element: Element<'_>,
    step: usize,
    next: impl Fn(&[u8], usize) -> usize,
) -> Option<usize> {
    // Equal elements have equal entries.
    let entry = Encoded::without_back_len(element);
    let head = &entry.head[..usize::from(entry.head_len)];
    while at < bytes.len() {
        if bytes[at] == head[0] && bytes[at..].starts_with(head) && bytes[at + head.len()..].starts_with(entry.data) {
            return Some(at);
        }
        for _ in 0..step {
            at = next(bytes, at);
        }
    }
    None
}

/// Where the entry that ends at `end` begins.
#[inline]
pub(super) fn previous(bytes: &[u8], end: usize) -> usize {
    let last = bytes[end - 1];
    if last & 0x80 == 0 {
        return end - 1 - usize::from(last);
    }
    let mut len = usize::from(last & 0x7F);
    let mut tail = 1;
    loop {
        let byte = bytes[end - 1 - tail];
        len |= usize::from(byte & 0x7F) << (7 * tail);
        tail += 1;
        if byte & 0x80 == 0 {
            return end - tail - len;
        }
    }
}

/// The element of the entry at `at`, and where the next one begins.
#[inline(always)]
pub(super) fn decode(bytes: &[u8], at: usize) -> (Element<'_>, usize) {
    let (element, end) = decode_body(bytes, at);
    let is_short = bytes[at] & 0xC0 == 0x80;
    (element, if is_short { end + 1 } else { end + back_len_size(end - at) })
}

/// The element of the entry at `at`, and where its backward length begins.
#[inline(always)]
fn decode_body(bytes: &[u8], at: usize) -> (Element<'_>, usize) {
    // Most elements are short strings.
    let tag = bytes[at];
    if tag & 0xC0 == 0x80 {
        let end = at + 1 + usize::from(tag & 0x3F);
        return (Element::Bytes(&bytes[at + 1..end]), end);
    }
    decode_any(bytes, at)
}

fn decode_any(bytes: &[u8], at: usize) -> (Element<'_>, usize) {
    let (head, data) = sizes(bytes, at);
    let body = at + head;
    let tag = bytes[at];
    let element = match tag {
        0..=0x7F => Element::Integer(i64::from(tag)),
        INTEGER_13..=0xDF => {
            let high = ((tag << 3) as i8 >> 3) as i64;
            Element::Integer(high << 8 | i64::from(bytes[at + 1]))
        }
        INTEGER_16..=INTEGER_64 => Element::Integer(number::integer_from_bytes(&bytes[at + 1..body])),
        _ => Element::Bytes(&bytes[body..body + data]),
    };
    (element, body + data)
}

/// Appends an element to a packed sequence.
pub fn push(out: &mut Vec<u8>, element: Element<'_>) {
    Encoded::new(element).append_to(out);
}

/// What [`decode`] tells of the entry at `at` in bytes that are not trusted; `None` if there is none as it should be.
pub fn decode_checked(bytes: &[u8], at: usize) -> Option<(Element<'_>, usize)> {
    let tag = *bytes.get(at)?;
    let head = match tag {
        0..=0xBF => 1,
        0xC0..=0xEF => 2,
        STRING_32 | INTEGER_32 => 5,
        INTEGER_16 => 3,
        INTEGER_24 => 4,
        INTEGER_64 => 9,
        _ => return None,
    };
    bytes.get(at..at + head)?;
    let (_, data) = sizes(bytes, at);
    let end = at + head + data;
    let mut tail = [0; 5];
    let tail_len = write_back_len(&mut tail, head + data);
    if bytes.get(end..end + tail_len)? != &tail[..tail_len] {
        return None;
    }
    Some(match decode(bytes, at) {
        (Element::Bytes(text), next) => (Element::new(text), next),
        integer => integer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pack(elements: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for element in elements {
            let encoded = Encoded::new(Element::new(element));
            let start = out.len();
            encoded.append_to(&mut out);
            assert_eq!(out.len() - start, encoded.len());
            let mut again = vec![0; encoded.len()];
            encoded.write_to(&mut again);
            assert_eq!(again, out[start..]);
        }
        out
    }

    #[test]
    fn entries_are_those_of_a_listpack() {
        let bytes = |text: &str| pack(&[text.as_bytes().to_vec()]);
        assert_eq!(bytes("5"), [5, 1]);
        assert_eq!(bytes("-1"), [0xDF, 0xFF, 2]);
        assert_eq!(bytes("4095"), [0xCF, 0xFF, 2]);
        assert_eq!(bytes("4096"), [0xF1, 0, 0x10, 3]);
        assert_eq!(bytes("-8388608"), [0xF2, 0, 0, 0x80, 4]);
        assert_eq!(bytes("ab"), [0x82, b'a', b'b', 3]);
        let long = pack(&[vec![b'x'; 200]]);
        assert_eq!((&long[..2], &long[202..]), (&[0xE0, 200][..], &[1, 0x80 | 74][..]));
    }

    #[test]
    fn fourteen_bytes_take_sixteen() {
        assert_eq!(Encoded::new(Element::new(b"element:000001")).len(), 16);
    }

    fn element() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<(i64, u32)>().prop_map(|(value, shift)| (value >> (shift % 64)).to_string().into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..100),
            (0usize..20_000).prop_map(|len| vec![b'y'; len]),
        ]
    }

    proptest! {
        #[test]
        fn walks_both_ways(elements in proptest::collection::vec(element(), 0..20)) {
            let packed = pack(&elements);
            let mut at = 0;
            for expected in &elements {
                let (element, after) = decode(&packed, at);
                prop_assert_eq!(decode_checked(&packed, at), Some((element, after)));
                prop_assert_eq!(&element.to_vec(), expected);
                prop_assert_eq!(next(&packed, at), after);
                prop_assert_eq!(previous(&packed, after), at);
                at = after;
            }
            prop_assert_eq!(at, packed.len());
        }

        #[test]
        fn nothing_that_is_no_entry_is_taken_for_one(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some((element, next)) = decode_checked(&bytes, 0) {
                prop_assert!(next <= bytes.len());
                prop_assert!(element.to_vec().len() <= bytes.len().max(INTEGER_LEN_MAX));
                prop_assert_eq!(previous(&bytes, next), 0);
            }
        }

        #[test]
        fn finds_the_first_of_every_few(elements in proptest::collection::vec(element(), 1..20), step in 1usize..3) {
            let whole = elements.len() / step * step;
            let packed = pack(&elements[..whole]);
            for wanted in &elements {
                let place = elements[..whole].iter().step_by(step).position(|element| element == wanted);
                let at = place.map(|place| (0..place * step).fold(0, |at, _| next(&packed, at)));
                prop_assert_eq!(find(&packed, 0, Element::new(wanted), step), at);
            }
        }
    }
}
