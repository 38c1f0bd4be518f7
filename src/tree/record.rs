//! How one record is laid out in a page: pure functions from fields to bytes and back.
//!
//! ```text
//! header u16 | clock 3 B, if the layout has one | suffix length 0-1 B | value length 0-2 B | deadline 0 or 8 B | suffix | value
//! ```
//!
//! The header holds, from its lowest bit: kind (4 bits), "has a deadline" (1), number of the page's tail that the suffix goes on with
//! (2), suffix code (4), value code (5). Short lengths are their own code; longer ones take the extra length bytes. A suffix past [`INLINE_SUFFIX_MAX`] is an allocation
//! of its own, whose address and length stand in its place; so does the address of a boxed payload.

use super::tally;

/// Longest suffix that is stored in the page.
pub(super) const INLINE_SUFFIX_MAX: usize = SUFFIX_EXTENDED_BASE + u8::MAX as usize;
/// Bytes of a suffix that lives in its own allocation: address and length.
pub(super) const LONG_SUFFIX_SIZE: usize = 16;
/// Bytes of the word for a boxed payload.
const BOXED_SIZE: usize = 8;
/// Longest value that is stored in the page; a longer one must be boxed by the caller.
pub const MAX_INLINE: usize = 1024;

const HEADER_SIZE: usize = 2;
const CLOCK_SIZE: usize = 3;
const DEADLINE_SIZE: usize = 8;

/// Bytes that no record exceeds.
pub(super) const SIZE_MAX: usize = HEADER_SIZE + CLOCK_SIZE + 1 + 2 + DEADLINE_SIZE + INLINE_SUFFIX_MAX + MAX_INLINE;

const KIND_MASK: u16 = 0xf;
const DEADLINE_BIT: u16 = 1 << 4;
const TAIL_SHIFT: u32 = 5;
const TAIL_MASK: u16 = 3;
const SUFFIX_SHIFT: u32 = 7;
const SUFFIX_MASK: u16 = 0xf;
const VALUE_SHIFT: u32 = 11;

const SUFFIX_EXTENDED: usize = 14;
const SUFFIX_LONG: usize = 15;
const SUFFIX_EXTENDED_BASE: usize = SUFFIX_EXTENDED;

const VALUE_EXTENDED: usize = 29;
const VALUE_BOXED: usize = 30;
const VALUE_WIDE: usize = 31;
const VALUE_WIDE_BASE: usize = VALUE_EXTENDED + 256;

/// The rest of a key, as it goes into a record.
#[derive(Clone, Copy)]
pub(super) enum Suffix<'a> {
    /// At most [`INLINE_SUFFIX_MAX`] bytes, and the number of the page's tail that follows them, or 0.
    Inline(&'a [u8], u8),
    /// Address and length of an allocation that the record owns.
    Long(usize, usize),
}

/// A value, as it goes into a record.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Inline(u8, &'a [u8]),
    /// The word that stands for a payload that the record owns: see `tally::word`.
    Boxed(usize),
}

/// Everything that makes up a record.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub suffix: Suffix<'a>,
    pub value: Value<'a>,
    pub deadline: Option<i64>,
    pub clock: u32,
}

/// Where the fields of a record are, relative to its first byte.
#[derive(Clone, Copy)]
pub(super) struct Fields {
    pub kind: u8,
    pub tail: u8,
    pub boxed: bool,
    pub long: bool,
    pub has_deadline: bool,
    pub suffix_at: usize,
    pub suffix_size: usize,
    pub value_size: usize,
}

impl Fields {
    /// Reads the lengths of the record that `bytes` starts with.
    #[inline(always)]
    pub fn parse(bytes: &[u8], has_clock: bool) -> Fields {
        let header = u16::from_le_bytes([bytes[0], bytes[1]]);
        let mut at = HEADER_SIZE + if has_clock { CLOCK_SIZE } else { 0 };
        let mut suffix_size = usize::from(header >> SUFFIX_SHIFT & SUFFIX_MASK);
        let mut long = false;
        if suffix_size >= SUFFIX_EXTENDED {
            if suffix_size == SUFFIX_LONG {
                long = true;
                suffix_size = LONG_SUFFIX_SIZE;
            } else {
                suffix_size = SUFFIX_EXTENDED_BASE + usize::from(bytes[at]);
                at += 1;
            }
        }
        let mut value_size = usize::from(header >> VALUE_SHIFT);
        let mut boxed = false;
        if value_size >= VALUE_EXTENDED {
            match value_size {
                VALUE_BOXED => {
                    boxed = true;
                    value_size = BOXED_SIZE;
                }
                VALUE_WIDE => {
                    value_size = VALUE_WIDE_BASE + usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
                    at += 2;
                }
                _ => {
                    value_size = VALUE_EXTENDED + usize::from(bytes[at]);
                    at += 1;
                }
            }
        }
        let has_deadline = header & DEADLINE_BIT != 0;
        if has_deadline {
            at += DEADLINE_SIZE;
        }
        let tail = (header >> TAIL_SHIFT & TAIL_MASK) as u8;
        Fields {
            kind: (header & KIND_MASK) as u8,
            tail,
            boxed,
            long,
            has_deadline,
            suffix_at: at,
            suffix_size,
            value_size,
        }
    }

    /// Bytes of the whole record.
    #[inline(always)]
    pub fn size(&self) -> usize {
        self.suffix_at + self.suffix_size + self.value_size
    }

    /// Bytes that the record will have without the first `strip` bytes of its suffix; `None` if these are not all in it.
    #[inline(always)]
    pub fn size_stripped(&self, strip: usize) -> Option<usize> {
        let left = self.suffix_size.checked_sub(strip).filter(|_| !self.long)?;
        let is_shorter = self.suffix_size >= SUFFIX_EXTENDED && left < SUFFIX_EXTENDED;
        Some(self.size() - strip - usize::from(is_shorter))
    }

    /// Writes the record that `bytes` starts with to `to`, without the first `strip` bytes of its suffix, to as many bytes as
    /// [`size_stripped`](Self::size_stripped) said.
    #[inline(always)]
    pub fn write_stripped(&self, bytes: &[u8], strip: usize, to: &mut [u8], has_clock: bool) {
        let front = HEADER_SIZE + if has_clock { CLOCK_SIZE } else { 0 };
        to[HEADER_SIZE..front].copy_from_slice(&bytes[HEADER_SIZE..front]);
        let left = self.suffix_size - strip;
        let header = u16::from_le_bytes([bytes[0], bytes[1]]) & !(SUFFIX_MASK << SUFFIX_SHIFT);
        let header = header | (left.min(SUFFIX_EXTENDED) as u16) << SUFFIX_SHIFT;
        to[..HEADER_SIZE].copy_from_slice(&header.to_le_bytes());
        let mut at = front;
        if left >= SUFFIX_EXTENDED {
            to[at] = (left - SUFFIX_EXTENDED_BASE) as u8;
            at += 1;
        }
        let lengths = front + usize::from(self.suffix_size >= SUFFIX_EXTENDED)..self.suffix_at;
        let suffix = self.suffix_at + strip..self.size();
        if !lengths.is_empty() {
            to[at..at + lengths.len()].copy_from_slice(&bytes[lengths.clone()]);
            at += lengths.len();
        }
        to[at..at + suffix.len()].copy_from_slice(&bytes[suffix]);
    }

    #[inline(always)]
    pub fn suffix<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.suffix_at..self.suffix_at + self.suffix_size]
    }

    #[inline(always)]
    pub fn value<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let at = self.suffix_at + self.suffix_size;
        &bytes[at..at + self.value_size]
    }

    pub fn value_mut<'a>(&self, bytes: &'a mut [u8]) -> &'a mut [u8] {
        let at = self.suffix_at + self.suffix_size;
        &mut bytes[at..at + self.value_size]
    }

    /// Gives a record with a long suffix another allocation for it.
    pub fn set_long_suffix(&self, bytes: &mut [u8], suffix: Suffix<'_>) {
        let Suffix::Long(address, len) = suffix else { panic!("the suffix is long") };
        assert!(self.long);
        let [address_bytes, len_bytes] = [address, len].map(usize::to_le_bytes);
        bytes[self.suffix_at..self.suffix_at + LONG_SUFFIX_SIZE].copy_from_slice(&[address_bytes, len_bytes].concat());
    }

    /// Gives a record with a boxed payload another word for it.
    pub fn set_boxed(&self, bytes: &mut [u8], word: usize) {
        assert!(self.boxed);
        self.value_mut(bytes).copy_from_slice(&word.to_le_bytes());
    }

    /// Whether an inline value of `len` bytes, with a deadline or without, can be written over the one that is there.
    #[inline(always)]
    pub fn takes_inline(&self, len: usize, has_deadline: bool) -> bool {
        !self.boxed && self.value_size == len && self.has_deadline == has_deadline
    }

    #[inline(always)]
    pub fn deadline(&self, bytes: &[u8]) -> Option<i64> {
        if !self.has_deadline {
            return None;
        }
        let deadline = &bytes[self.suffix_at - DEADLINE_SIZE..self.suffix_at];
        Some(i64::from_le_bytes(deadline.try_into().expect("eight bytes")))
    }

    pub fn set_deadline(&self, bytes: &mut [u8], deadline: i64) {
        assert!(self.has_deadline);
        bytes[self.suffix_at - DEADLINE_SIZE..self.suffix_at].copy_from_slice(&deadline.to_le_bytes());
    }
}

/// The access clock of the record that `bytes` starts with.
#[inline(always)]
pub(super) fn clock(bytes: &[u8]) -> u32 {
    let at = HEADER_SIZE;
    u32::from(bytes[at]) | u32::from(bytes[at + 1]) << 8 | u32::from(bytes[at + 2]) << 16
}

/// Sets the access clock of the record that `bytes` starts with; the top 8 bits of `clock` are dropped.
pub(super) fn set_clock(bytes: &mut [u8], clock: u32) {
    bytes[HEADER_SIZE..HEADER_SIZE + CLOCK_SIZE].copy_from_slice(&clock.to_le_bytes()[..CLOCK_SIZE]);
}

/// Sets the kind of the inline value of the record that `bytes` starts with.
#[inline(always)]
pub(super) fn set_kind(bytes: &mut [u8], kind: u8) {
    assert!(u16::from(kind) <= KIND_MASK);
    bytes[0] = bytes[0] & !(KIND_MASK as u8) | kind;
}

/// An owned address and length out of the 16 bytes that stand for a long suffix.
pub(super) fn long_suffix(bytes: &[u8]) -> (usize, usize) {
    (word(&bytes[..8]), word(&bytes[8..]))
}

/// The word in the 8 bytes that stand for a boxed payload.
#[inline(always)]
pub(super) fn word(bytes: &[u8]) -> usize {
    usize::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

/// The address of a boxed payload.
#[inline(always)]
pub(super) fn address(bytes: &[u8]) -> usize {
    tally::address_in(word(bytes))
}

/// Whether the payload of the record that `bytes` starts with is boxed.
#[inline(always)]
pub(super) fn is_boxed(bytes: &[u8]) -> bool {
    usize::from(u16::from_le_bytes([bytes[0], bytes[1]]) >> VALUE_SHIFT) == VALUE_BOXED
}

impl Suffix<'_> {
    fn size(&self) -> usize {
        match self {
            Suffix::Inline(bytes, _) => bytes.len(),
            Suffix::Long(..) => LONG_SUFFIX_SIZE,
        }
    }
}

impl Value<'_> {
    fn size(&self) -> usize {
        match self {
            Value::Inline(_, bytes) => bytes.len(),
            Value::Boxed(_) => BOXED_SIZE,
        }
    }

    fn extra_size(&self) -> usize {
        match self {
            Value::Inline(_, bytes) if bytes.len() >= VALUE_WIDE_BASE => 2,
            Value::Inline(_, bytes) if bytes.len() >= VALUE_EXTENDED => 1,
            _ => 0,
        }
    }
}

impl Parts<'_> {
    /// Bytes that the record takes.
    #[inline(always)]
    pub fn size(&self, has_clock: bool) -> usize {
        let extra = matches!(self.suffix, Suffix::Inline(..)) && self.suffix.size() >= SUFFIX_EXTENDED;
        HEADER_SIZE
            + if has_clock { CLOCK_SIZE } else { 0 }
            + usize::from(extra)
            + self.value.extra_size()
            + if self.deadline.is_some() { DEADLINE_SIZE } else { 0 }
            + self.suffix.size()
            + self.value.size()
    }

    /// Writes the record to the first [`size`](Self::size) bytes of `bytes`.
    pub fn write(&self, bytes: &mut [u8], has_clock: bool) {
        let mut at = HEADER_SIZE;
        if has_clock {
            set_clock(bytes, self.clock);
            at += CLOCK_SIZE;
        }
        let (suffix_code, tail) = match self.suffix {
            Suffix::Long(..) => (SUFFIX_LONG, 0),
            Suffix::Inline(suffix, tail) => {
                assert!(suffix.len() <= INLINE_SUFFIX_MAX);
                if suffix.len() >= SUFFIX_EXTENDED {
                    bytes[at] = (suffix.len() - SUFFIX_EXTENDED_BASE) as u8;
                    at += 1;
                }
                (suffix.len().min(SUFFIX_EXTENDED), tail)
            }
        };
        let (kind, value_code) = match self.value {
            Value::Boxed(_) => (0, VALUE_BOXED),
            Value::Inline(kind, value) => {
                assert!(kind <= 15 && value.len() <= MAX_INLINE);
                let code = match self.value.extra_size() {
                    0 => value.len(),
                    1 => {
                        bytes[at] = (value.len() - VALUE_EXTENDED) as u8;
                        VALUE_EXTENDED
                    }
                    _ => {
                        let size = (value.len() - VALUE_WIDE_BASE) as u16;
                        bytes[at..at + 2].copy_from_slice(&size.to_le_bytes());
                        VALUE_WIDE
                    }
                };
                at += self.value.extra_size();
                (kind, code)
            }
        };
        let mut header = u16::from(kind) | u16::from(tail) << TAIL_SHIFT;
        header |= (suffix_code as u16) << SUFFIX_SHIFT | (value_code as u16) << VALUE_SHIFT;
        if let Some(deadline) = self.deadline {
            header |= DEADLINE_BIT;
            bytes[at..at + DEADLINE_SIZE].copy_from_slice(&deadline.to_le_bytes());
            at += DEADLINE_SIZE;
        }
        bytes[..HEADER_SIZE].copy_from_slice(&header.to_le_bytes());
        let mut append = |part: &[u8]| {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        match self.suffix {
            Suffix::Inline(suffix, _) => append(suffix),
            Suffix::Long(address, len) => {
                append(&address.to_le_bytes());
                append(&len.to_le_bytes());
            }
        }
        match self.value {
            Value::Inline(_, value) => append(value),
            Value::Boxed(word) => append(&word.to_le_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(parts: &Parts<'_>, has_clock: bool) -> Vec<u8> {
        let mut bytes = vec![0; parts.size(has_clock)];
        parts.write(&mut bytes, has_clock);
        bytes
    }

    #[test]
    fn a_stripped_record_is_the_one_with_the_rest_of_its_suffix() {
        let text: Vec<u8> = (0..=255).cycle().take(400).collect();
        let payloads = [Value::Boxed(0x1234), Value::Inline(3, &text[..0]), Value::Inline(5, &text[..40])];
        let payloads = [&payloads[..], &[Value::Inline(7, &text[..300])]].concat();
        for (value, suffix_len) in
            payloads.into_iter().flat_map(|value| [0, 1, 13, 14, 20, 200].map(|len| (value, len)))
        {
            for (strip, deadline) in
                [0, 1, 2, 6, 13, 20].into_iter().flat_map(|strip| [(strip, None), (strip, Some(77))])
            {
                for has_clock in [false, true] {
                    let parts =
                        |suffix| Parts { suffix: Suffix::Inline(suffix, 2), value, deadline, clock: 0x00ab_cdef };
                    let bytes = written(&parts(&text[..suffix_len]), has_clock);
                    let fields = Fields::parse(&bytes, has_clock);
                    let Some(size) = fields.size_stripped(strip) else {
                        assert!(strip > suffix_len);
                        continue;
                    };
                    let mut stripped = vec![0; size];
                    fields.write_stripped(&bytes, strip, &mut stripped, has_clock);
                    assert_eq!(stripped, written(&parts(&text[strip..suffix_len]), has_clock));
                }
            }
        }
        let long =
            written(&Parts { suffix: Suffix::Long(8, 300), value: Value::Boxed(8), deadline: None, clock: 0 }, true);
        assert_eq!(Fields::parse(&long, true).size_stripped(1), None);
    }
}
