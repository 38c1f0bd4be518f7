//! HyperLogLogs: about how many different elements there have been, told by 16,384 registers of six bits. A register keeps
//! the longest run of zeros that ended the hash of one of its elements.
//!
//! They are strings with the very bytes that Redis has for the same additions, since clients save and restore them: a
//! head of 16 bytes, and either all registers (dense) or runs of equal ones (sparse):
//!
//! ```text
//! "HYLL" | encoding 1 B | 3 B | cardinality, 8 B, stale if the top bit is set | registers or runs
//! 00xxxxxx            x + 1 zeros
//! 01xxxxxx yyyyyyyy   xy + 1 zeros
//! 1vvvvvxx            x + 1 registers of value v + 1
//! ```
//!
//! How the cardinality is estimated: O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", 2017.

use std::ops::Range;

const MAGIC: &[u8; 4] = b"HYLL";
/// Bytes in front of registers or runs.
pub const HEAD_LEN: usize = 16;
const ENCODING_AT: usize = 4;
const CARDINALITY_AT: usize = 8;
/// The last byte of the cardinality has the bit that says whether it is stale.
pub const STALE_AT: usize = 15;
pub const STALE: u8 = 0x80;

const DENSE: u8 = 0;
const SPARSE: u8 = 1;

/// Bits of a hash that choose the register.
const INDEX_BITS: u32 = 14;
/// Number of registers.
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of a hash in which zeros are counted.
const RANK_BITS: u32 = 64 - INDEX_BITS;
const REGISTER_BITS: usize = 6;
const REGISTER_MAX: u8 = (1 << REGISTER_BITS) - 1;
/// Bytes of a dense one.
pub const DENSE_LEN: usize = HEAD_LEN + REGISTERS * REGISTER_BITS / 8;

/// The largest value of a run, and the longest run of values.
const RUN_VALUE_MAX: u8 = 32;
const RUN_LEN_MAX: usize = 4;
/// The longest run of zeros that takes one byte.
const ZEROS_SHORT_MAX: usize = 64;
/// Runs that are looked at to merge equal neighbours after a change.
const MERGED_RUNS: usize = 5;

/// The runs do not make up all registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupted;

/// The values of all registers.
pub type Registers = [u8; REGISTERS];

/// The register that an element belongs to, and the value that it gives that register.
pub fn register_of(element: &[u8]) -> (usize, u8) {
    let hash = murmur(element);
    let index = hash as usize & (REGISTERS - 1);
    // A one behind the bits that count ends every run.
    let rank = (hash >> INDEX_BITS | 1 << RANK_BITS).trailing_zeros() + 1;
    (index, rank as u8)
}

/// MurmurHash64A of A. Appleby, with the seed that Redis has.
fn murmur(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mut hash = 0xadc8_3b19 ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(FACTOR);
        word = (word ^ word >> SHIFT).wrapping_mul(FACTOR);
        hash = (hash ^ word).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
    }
    hash = (hash ^ hash >> SHIFT).wrapping_mul(FACTOR);
    hash ^ hash >> SHIFT
}

/// The number of different elements that registers tell of, about.
pub fn estimate(registers: &Registers) -> u64 {
    const ALPHA: f64 = 0.721_347_520_444_481_7;
    let mut counts = [0u32; REGISTER_MAX as usize + 1];
    registers.iter().for_each(|value| counts[usize::from(*value & REGISTER_MAX)] += 1);
    let all = REGISTERS as f64;
    let mut sum = all * tau((all - f64::from(counts[RANK_BITS as usize + 1])) / all);
    for count in counts[1..=RANK_BITS as usize].iter().rev() {
        sum = (sum + f64::from(*count)) * 0.5;
    }
    sum += all * sigma(f64::from(counts[0]) / all);
    (ALPHA * all * all / sum).round() as u64
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * y;
        y += y;
        if sum == before {
            return sum;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        y *= 0.5;
        sum -= (1.0 - x).powi(2) * y;
        if sum == before {
            return sum / 3.0;
        }
    }
}

/// The head of a string, if it can be one of a HyperLogLog.
pub fn is_valid(head: &[u8], len: usize) -> bool {
    head.len() >= HEAD_LEN
        && head.starts_with(MAGIC)
        && (head[ENCODING_AT] == SPARSE || head[ENCODING_AT] == DENSE && len == DENSE_LEN)
}

/// Whether a valid head is a dense one's.
pub fn is_dense(head: &[u8]) -> bool {
    head[ENCODING_AT] == DENSE
}

/// A HyperLogLog, apart from the string that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HyperLogLog {
    bytes: Vec<u8>,
}

impl Default for HyperLogLog {
    /// An empty one, which is sparse.
    fn default() -> Self {
        let mut bytes = vec![0; HEAD_LEN];
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[ENCODING_AT] = SPARSE;
        let zeros = Run { value: 0, len: REGISTERS };
        zeros.append_to(&mut bytes);
        HyperLogLog { bytes }
    }
}

/// Some registers of the same value, as they stand in a sparse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    value: u8,
    len: usize,
}

impl Run {
    /// The run that `bytes` start with, and how many of them it takes.
    fn read(bytes: &[u8]) -> Result<(Run, usize), Corrupted> {
        match *bytes {
            [first @ 0x80..=0xFF, ..] => {
                Ok((Run { value: (first >> 2 & 0x1F) + 1, len: usize::from(first & 3) + 1 }, 1))
            }
            [first @ 0x40..=0x7F, second, ..] => {
                Ok((Run { value: 0, len: (usize::from(first & 0x3F) << 8 | usize::from(second)) + 1 }, 2))
            }
            [first @ 0..=0x3F, ..] => Ok((Run { value: 0, len: usize::from(first) + 1 }, 1)),
            _ => Err(Corrupted),
        }
    }

    /// Appends the run, which is not too long, if it is not empty.
    fn append_to(self, out: &mut Vec<u8>) {
        match (self.value, self.len) {
            (_, 0) => {}
            (0, ..=ZEROS_SHORT_MAX) => out.push((self.len - 1) as u8),
            (0, _) => out.extend_from_slice(&[0x40 | ((self.len - 1) >> 8) as u8, (self.len - 1) as u8]),
            (value, len) => out.push(0x80 | (value - 1) << 2 | (len - 1) as u8),
        }
    }
}

impl HyperLogLog {
    /// A string of which [`is_valid`] holds.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        debug_assert!(is_valid(&bytes, bytes.len()));
        HyperLogLog { bytes }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn is_dense(&self) -> bool {
        is_dense(&self.bytes)
    }

    /// The cardinality, if it has been kept and is not stale.
    pub fn kept_cardinality(&self) -> Option<u64> {
        let bytes = self.bytes[CARDINALITY_AT..HEAD_LEN].first_chunk()?;
        (self.bytes[STALE_AT] & STALE == 0).then(|| u64::from_le_bytes(*bytes))
    }

    pub fn keep_cardinality(&mut self, cardinality: u64) {
        self.bytes[CARDINALITY_AT..HEAD_LEN].copy_from_slice(&cardinality.to_le_bytes());
    }

    /// Says that the cardinality which has been kept is stale.
    pub fn forget_cardinality(&mut self) {
        self.bytes[STALE_AT] |= STALE;
    }

    /// Adds an element; whether that changed a register. A sparse one that would take more than `sparse_max` bytes
    /// becomes dense.
    pub fn add(&mut self, element: &[u8], sparse_max: usize) -> Result<bool, Corrupted> {
        let (index, value) = register_of(element);
        self.raise(index, value, sparse_max)
    }

    /// Gives a register a value, if that is larger than what it has; whether it is.
    pub fn raise(&mut self, index: usize, value: u8, sparse_max: usize) -> Result<bool, Corrupted> {
        if !self.is_dense() {
            if let Some(is_raised) = self.raise_sparse(index, value, sparse_max)? {
                return Ok(is_raised);
            }
            self.make_dense()?;
        }
        let place = dense_place(index);
        let Some(bytes) = raise_dense(&self.bytes[place.clone()], index, value) else { return Ok(false) };
        self.bytes[place.clone()].copy_from_slice(&bytes[..place.len()]);
        Ok(true)
    }

    /// Raises a register of a sparse one; `None` if it has to become dense for that.
    fn raise_sparse(&mut self, index: usize, value: u8, sparse_max: usize) -> Result<Option<bool>, Corrupted> {
        if value > RUN_VALUE_MAX {
            return Ok(None);
        }
        let (mut at, mut before, mut first) = (HEAD_LEN, HEAD_LEN, 0);
        let (run, size) = loop {
            let (run, size) = Run::read(&self.bytes[at..])?;
            if index < first + run.len {
                break (run, size);
            }
            (before, at, first) = (at, at + size, first + run.len);
        };
        if run.value >= value {
            return Ok(Some(false));
        }
        let mut parts = Vec::with_capacity(RUN_LEN_MAX + 1);
        Run { len: index - first, ..run }.append_to(&mut parts);
        Run { value, len: 1 }.append_to(&mut parts);
        Run { len: first + run.len - 1 - index, ..run }.append_to(&mut parts);
        if parts.len() > size && self.bytes.len() + parts.len() - size > sparse_max {
            return Ok(None);
        }
        self.bytes.splice(at..at + size, parts);
        self.merge_runs(before)?;
        self.forget_cardinality();
        Ok(Some(true))
    }

    /// Merges equal neighbours among the few runs from `at` on.
    fn merge_runs(&mut self, mut at: usize) -> Result<(), Corrupted> {
        for _ in 0..MERGED_RUNS {
            if at >= self.bytes.len() {
                break;
            }
            let (run, size) = Run::read(&self.bytes[at..])?;
            let next = self.bytes.get(at + size..).filter(|rest| !rest.is_empty()).map(Run::read).transpose()?;
            match next {
                Some((next, _)) if run.value > 0 && next.value == run.value && run.len + next.len <= RUN_LEN_MAX => {
                    let mut merged = Vec::with_capacity(1);
                    Run { len: run.len + next.len, ..run }.append_to(&mut merged);
                    self.bytes.splice(at..at + 2, merged);
                }
                _ => at += size,
            }
        }
        Ok(())
    }

    /// Becomes dense; whether it was not.
    pub fn make_dense(&mut self) -> Result<bool, Corrupted> {
        if self.is_dense() {
            return Ok(false);
        }
        let registers = self.registers()?;
        let mut dense = self.bytes[..HEAD_LEN].to_vec();
        dense[ENCODING_AT] = DENSE;
        for [a, b, c, d] in registers.as_chunks::<4>().0 {
            dense.extend_from_slice(&[a | b << 6, b >> 2 | c << 4, c >> 4 | d << 2]);
        }
        self.bytes = dense;
        Ok(true)
    }

    /// All registers.
    pub fn registers(&self) -> Result<Box<Registers>, Corrupted> {
        let mut registers = Box::new([0; REGISTERS]);
        self.merge_into(&mut registers)?;
        Ok(registers)
    }

    /// Raises each of `registers` to the value that it has here.
    pub fn merge_into(&self, registers: &mut Registers) -> Result<(), Corrupted> {
        let body = &self.bytes[HEAD_LEN..];
        if self.is_dense() {
            let fours = registers.as_chunks_mut::<4>().0.iter_mut();
            for (four, [x, y, z]) in fours.zip(body.as_chunks::<3>().0) {
                let values = [x & 63, (x >> 6 | y << 2) & 63, (y >> 4 | z << 4) & 63, z >> 2];
                four.iter_mut().zip(values).for_each(|(register, value)| *register = value.max(*register));
            }
            return Ok(());
        }
        let mut first = 0;
        self.visit_runs(|run| {
            let registers = registers.get_mut(first..first + run.len).ok_or(Corrupted)?;
            registers.iter_mut().for_each(|register| *register = run.value.max(*register));
            first += run.len;
            Ok(())
        })?;
        if first == REGISTERS { Ok(()) } else { Err(Corrupted) }
    }

    fn visit_runs(&self, mut visit: impl FnMut(Run) -> Result<(), Corrupted>) -> Result<(), Corrupted> {
        let mut rest = &self.bytes[HEAD_LEN..];
        while !rest.is_empty() {
            let (run, size) = Run::read(rest)?;
            visit(run)?;
            rest = &rest[size..];
        }
        Ok(())
    }

    /// The number of different elements, about.
    pub fn cardinality(&self) -> Result<u64, Corrupted> {
        self.registers().map(|registers| estimate(&registers))
    }

    /// The runs of a sparse one as text, for people; `None` if it is dense.
    pub fn describe(&self) -> Result<Option<String>, Corrupted> {
        if self.is_dense() {
            return Ok(None);
        }
        let mut words = Vec::new();
        self.visit_runs(|run| {
            words.push(match run {
                Run { value: 0, len: ..=ZEROS_SHORT_MAX } => format!("z:{}", run.len),
                Run { value: 0, len } => format!("Z:{len}"),
                Run { value, len } => format!("v:{value},{len}"),
            });
            Ok(())
        })?;
        Ok(Some(words.join(" ")))
    }
}

/// The bytes of a dense one that a register lies in: two, or one at the end.
pub fn dense_place(index: usize) -> Range<usize> {
    let start = HEAD_LEN + index * REGISTER_BITS / 8;
    start..(start + 2).min(DENSE_LEN)
}

/// The bytes at [`dense_place`] with a larger value for the register; `None` if it has that already.
pub fn raise_dense(bytes: &[u8], index: usize, value: u8) -> Option<[u8; 2]> {
    let mut both = [0; 2];
    both[..bytes.len()].copy_from_slice(bytes);
    let (both, shift) = (u16::from_le_bytes(both), index * REGISTER_BITS % 8);
    let is_larger = value > (both >> shift) as u8 & REGISTER_MAX;
    is_larger.then(|| (both & !(u16::from(REGISTER_MAX) << shift) | u16::from(value) << shift).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPARSE_MAX: usize = 3000;

    #[test]
    fn an_empty_one_is_one_run() {
        let empty = HyperLogLog::default();
        assert_eq!(empty.as_bytes(), b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
        assert_eq!((empty.kept_cardinality(), empty.cardinality()), (Some(0), Ok(0)));
        assert_eq!(empty.describe(), Ok(Some("Z:16384".into())));
    }

    #[test]
    fn runs_that_are_none_are_noticed() {
        for runs in [&b"\x7f"[..], b"\x7f\xfe", b"\x7f\xff\x80", b""] {
            let log = HyperLogLog::from_bytes([b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0", runs].concat());
            assert_eq!(log.registers().err(), Some(Corrupted), "{runs:?}");
        }
        let mut short = HyperLogLog::from_bytes(b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x00".to_vec());
        assert_eq!(short.raise(1, 1, SPARSE_MAX), Err(Corrupted));
        assert!(!is_valid(b"HYLL\0\0\0\0\0\0\0\0\0\0\0\0", 16));
        assert!(!is_valid(b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0", 18));
        assert!(!is_valid(b"HYLX\x01\0\0\0\0\0\0\0\0\0\0\0", 18));
        assert!(!is_valid(b"HYLL\x01", 5));
    }

    #[test]
    fn estimates_are_near() {
        let mut log = HyperLogLog::default();
        for number in 1..=100_000u32 {
            log.add(format!("element:{number}").as_bytes(), SPARSE_MAX).unwrap();
            if [10, 1000, 10_000, 100_000].contains(&number) {
                let estimate = log.cardinality().unwrap() as f64;
                assert!((estimate / f64::from(number) - 1.0).abs() < 0.03, "{estimate} for {number}");
            }
        }
        assert!(log.is_dense());
    }

    proptest! {
        #[test]
        fn registers_are_kept_in_both_forms(
            values in proptest::collection::vec((0usize..REGISTERS, 1u8..40), 0..400),
            near in proptest::collection::vec((0usize..40, 1u8..4), 0..400),
            sparse_max in prop_oneof![Just(SPARSE_MAX), 18usize..300],
        ) {
            let (mut log, mut model) = (HyperLogLog::default(), [0; REGISTERS]);
            for (index, value) in values.into_iter().chain(near) {
                let is_raised = value > model[index];
                model[index] = value.max(model[index]);
                prop_assert_eq!(log.raise(index, value, sparse_max), Ok(is_raised));
            }
            prop_assert_eq!(&*log.registers().unwrap(), &model);
            prop_assert!(log.is_dense() || log.as_bytes().len() <= sparse_max);
            let mut dense = log.clone();
            prop_assert_eq!(dense.make_dense(), Ok(!log.is_dense()));
            prop_assert_eq!(dense.as_bytes().len(), DENSE_LEN);
            prop_assert_eq!(&*dense.registers().unwrap(), &model);
        }
    }
}
