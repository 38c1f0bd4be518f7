//! How one record is laid out in a page: pure functions from fields to bytes and back.
//!
//! ```text
//! header u16 | clock 3 B, if the layout has one | suffix length 0-1 B | value length 0-2 B | deadline 0 or 8 B | suffix | value
//! ```
//!
//! The header holds, from its lowest bit: kind (4 bits), "has a deadline" (1), number of the page's tail that the suffix goes on with
//! (2), suffix code (4), value code (5). Short lengths are their own code; longer ones take the extra length bytes. A suffix past [`INLINE_SUFFIX_MAX`] is an allocation
//! of its own, whose address and length stand in its place; so does the address of a boxed payload.

/// Longest suffix that is stored in the page.
pub(super) const INLINE_SUFFIX_MAX: usize = SUFFIX_EXTENDED_BASE + u8::MAX as usize;
/// Bytes of a suffix that lives in its own allocation: address and length.
pub(super) const LONG_SUFFIX_SIZE: usize = 16;
/// Bytes of the address of a boxed payload.
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
    /// Address of a payload that the record owns.
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

/// An owned address and length out of the 16 bytes that stand for a long suffix.
pub(super) fn long_suffix(bytes: &[u8]) -> (usize, usize) {
    (address(&bytes[..8]), address(&bytes[8..]))
}

/// The address in the 8 bytes that stand for a boxed payload.
#[inline(always)]
pub(super) fn address(bytes: &[u8]) -> usize {
    usize::from_le_bytes(bytes.try_into().expect("eight bytes"))
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
            Value::Boxed(address) => append(&address.to_le_bytes()),
        }
    }
}
