//! The ids of stream entries: a time in milliseconds and a number within it.

use super::super::number::{parse_i64, parse_u64};
use std::fmt;

/// The longest text that is read as an id.
const TEXT_LEN_MAX: usize = 127;

/// The id of a stream entry. Ids of a stream grow from entry to entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds, as a rule of Unix time.
    pub ms: u64,
    /// Tells entries of the same millisecond apart.
    pub seq: u64,
}

impl StreamId {
    /// The lowest id: `0-0`, which no entry has.
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    /// The highest id.
    pub const MAX: StreamId = StreamId { ms: u64::MAX, seq: u64::MAX };

    /// The id `ms-seq`.
    #[inline]
    pub const fn new(ms: u64, seq: u64) -> Self {
        StreamId { ms, seq }
    }

    /// The next higher id, if there is one.
    #[inline]
    pub fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => Some(StreamId { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The next lower id, if there is one.
    #[inline]
    pub fn previous(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => Some(StreamId { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }

    /// The id as `ms-seq`.
    #[inline]
    pub fn text(self) -> IdText {
        let mut text = IdText { bytes: [0; 41], len: 0 };
        let mut digits = itoa::Buffer::new();
        text.push(digits.format(self.ms).as_bytes());
        text.push(b"-");
        text.push(digits.format(self.seq).as_bytes());
        text
    }

    /// Reads `ms-seq`, or `ms` alone, which gets the number `missing_seq`.
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<Self> {
        let text = c_text(text)?;
        match memchr::memchr(b'-', text) {
            Some(dash) => Some(StreamId { ms: parse_part(&text[..dash])?, seq: parse_part(&text[dash + 1..])? }),
            None => Some(StreamId { ms: parse_part(text)?, seq: missing_seq }),
        }
    }

    /// Reads `ms-*`: the milliseconds of an id whose number the stream chooses.
    pub fn parse_open(text: &[u8]) -> Option<u64> {
        parse_part(c_text(text)?.strip_suffix(b"-*")?)
    }
}

/// The text of an id as far as its first zero byte, where Redis takes it to end.
fn c_text(text: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    (text.len() <= TEXT_LEN_MAX).then_some(&text[..end])
}

/// One number of an id. What is not canonical is read as the C library's `strtoull` reads it, as Redis does: with spaces
/// before it, a sign, and zeros.
fn parse_part(text: &[u8]) -> Option<u64> {
    if let Some(value) = parse_u64(text) {
        return Some(value);
    }
    // A canonical negative number is out of range, while any other wraps around.
    if parse_i64(text).is_some() {
        return None;
    }
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (&first, rest) = digits.split_first()?;
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let value = rest.iter().try_fold(digit(first)?, |value, &byte| value.checked_mul(10)?.checked_add(digit(byte)?))?;
    Some(if negative { value.wrapping_neg() } else { value })
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// The text of an id: two numbers of up to twenty digits, and a dash.
pub struct IdText {
    bytes: [u8; 41],
    len: usize,
}

impl IdText {
    /// The text.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_redis_reads_them() {
        let id = |ms, seq| Some(StreamId::new(ms, seq));
        for (text, expected) in [
            ("5-3", id(5, 3)),
            ("5", id(5, 7)),
            ("18446744073709551615-18446744073709551615", Some(StreamId::MAX)),
            ("18446744073709551616-0", None),
            ("007-+3", id(7, 3)),
            (" 7-03", id(7, 3)),
            ("5-", None),
            ("-5", None),
            ("", None),
            ("5-3-1", None),
            ("5--3", None),
            ("5--03", id(5, 3u64.wrapping_neg())),
            ("a-1", None),
            ("1-a", None),
            ("1-2\0x", id(1, 2)),
        ] {
            assert_eq!(StreamId::parse(text.as_bytes(), 7), expected, "{text:?}");
        }
        assert_eq!(StreamId::parse(&[b'0'; TEXT_LEN_MAX], 1), id(0, 1));
        assert_eq!(StreamId::parse(&[b'0'; TEXT_LEN_MAX + 1], 1), None);
        assert_eq!(StreamId::parse_open(b"12-*"), Some(12));
        assert_eq!([StreamId::parse_open(b"12"), StreamId::parse_open(b"x-*")], [None; 2]);
    }

    #[test]
    fn neighbours_carry_over() {
        assert_eq!(StreamId::new(3, u64::MAX).next(), Some(StreamId::new(4, 0)));
        assert_eq!(StreamId::new(4, 0).previous(), Some(StreamId::new(3, u64::MAX)));
        assert_eq!((StreamId::MAX.next(), StreamId::MIN.previous()), (None, None));
        for id in [StreamId::new(4, 1), StreamId::MIN, StreamId::MAX] {
            assert_eq!(id.text().as_bytes(), id.to_string().as_bytes());
        }
    }
}
