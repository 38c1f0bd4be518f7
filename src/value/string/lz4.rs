//! Making LZ4 blocks that refer to a dictionary
//! (<https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md>).
//!
//! `lz4_flex` does that too, but indexes the whole dictionary for every block: for values of a few kilobytes that would
//! be most of the work. Here the index is made once, with the dictionary, and copied for each block, so that a block
//! with a dictionary costs what one without costs.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that a dictionary has at most.
pub const DICTIONARY_MAX: usize = 16 * 1024;
/// Bytes that can be compressed with a dictionary: positions in both have 16 bits.
pub const WITH_DICTIONARY_MAX: usize = 32 * 1024;

const _: () = assert!(DICTIONARY_MAX + WITH_DICTIONARY_MAX <= u16::MAX as usize);

/// Matches are found by the hash of so many bytes: one more than a match needs, so that most finds are worth it.
const HASHED_BYTES: u32 = 5;
const HASH_BITS: u32 = 13;
/// Bytes of the shortest match.
const MATCH_MIN: usize = 4;
/// The last bytes of a block are literals, and the last match begins so many bytes before the end.
const LAST_LITERALS: usize = 5;
const LAST_MATCH: usize = 12;
/// After each so many positions without a match, the search takes longer steps.
const PATIENCE_SHIFT: u32 = 5;
/// Longest length that is stored in a token.
const TOKEN_MAX: usize = 15;

/// From a hash to the last position with that hash; 0 for none.
type Index = [u16; 1 << HASH_BITS];

/// Bytes that blocks may refer to as if they came before what was compressed.
#[derive(Debug)]
pub struct Dictionary {
    id: u64,
    bytes: Box<[u8]>,
    index: Box<Index>,
}

impl Dictionary {
    /// A dictionary of these bytes, of which those count that come last if there are too many.
    pub fn new(bytes: &[u8]) -> Self {
        /// Tells dictionaries apart, those that are gone included.
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let bytes = &bytes[bytes.len().saturating_sub(DICTIONARY_MAX)..];
        let mut index = Box::new([0; 1 << HASH_BITS]);
        for at in 1..(bytes.len() + 1).saturating_sub(size_of::<u64>()) {
            index[hash(bytes, at)] = at as u16;
        }
        Dictionary { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), bytes: bytes.into(), index }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Memory for the work, reused.
struct Bench {
    /// The dictionary that `window` begins with.
    id: u64,
    /// Dictionary and raw bytes, one after the other.
    window: Vec<u8>,
    index: Box<Index>,
}

thread_local! {
    static BENCH: RefCell<Bench> =
        RefCell::new(Bench { id: 0, window: Vec::new(), index: Box::new([0; 1 << HASH_BITS]) });
}

/// Appends to `out` the block that `raw`, of at most [`WITH_DICTIONARY_MAX`] bytes, becomes with a dictionary.
pub fn compress(raw: &[u8], dictionary: &Dictionary, out: &mut Vec<u8>) {
    assert!(raw.len() <= WITH_DICTIONARY_MAX);
    BENCH.with_borrow_mut(|bench| {
        let start = dictionary.bytes.len();
        if bench.id != dictionary.id {
            bench.id = dictionary.id;
            bench.window.clear();
            bench.window.extend_from_slice(&dictionary.bytes);
        }
        bench.window.truncate(start);
        bench.window.extend_from_slice(raw);
        bench.index.copy_from_slice(&*dictionary.index);
        // Room for the worst case.
        out.reserve(raw.len() + raw.len() / 255 + 16);
        compress_from(&bench.window, start, &mut bench.index, out);
    });
}

/// Compresses what stands in `window` from `start` on. Greedy: of all matches the first is taken.
fn compress_from(window: &[u8], start: usize, index: &mut Index, out: &mut Vec<u8>) {
    let search_end = window.len().saturating_sub(LAST_MATCH);
    let match_end = window.len().saturating_sub(LAST_LITERALS);
    let mut literals = start;
    let mut at = start;
    let mut misses = 0;
    while at < search_end {
        let candidate = usize::from(std::mem::replace(&mut index[hash(window, at)], at as u16));
        if candidate == 0 || word(window, candidate) != word(window, at) {
            misses += 1;
            at += 1 + (misses >> PATIENCE_SHIFT);
            continue;
        }
        misses = 0;
        let (mut from, mut source) = (at, candidate);
        while from > literals && source > 0 && window[from - 1] == window[source - 1] {
            from -= 1;
            source -= 1;
        }
        let end = at + MATCH_MIN + common(window, at + MATCH_MIN, candidate + MATCH_MIN, match_end);
        push_match(out, &window[literals..from], end - from, from - source);
        (literals, at) = (end, end);
        if at < search_end {
            index[hash(window, at - 2)] = (at - 2) as u16;
        }
    }
    push_literals(out, &window[literals..], 0);
}

/// The hash of the bytes at a position; there are eight bytes and more.
#[inline(always)]
fn hash(bytes: &[u8], at: usize) -> usize {
    let hashed = double_word(bytes, at) << (u64::BITS - 8 * HASHED_BYTES);
    (hashed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - HASH_BITS)) as usize
}

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

#[inline(always)]
fn double_word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// How many bytes from `at` up to `end` are those from `source` on.
#[inline(always)]
fn common(bytes: &[u8], at: usize, source: usize, end: usize) -> usize {
    let mut len = 0;
    while at + len + 8 <= end {
        let difference = double_word(bytes, at + len) ^ double_word(bytes, source + len);
        if difference != 0 {
            return len + difference.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    while at + len < end && bytes[at + len] == bytes[source + len] {
        len += 1;
    }
    len
}

/// Writes a sequence: literals, then a match of `len` bytes that begins `offset` bytes earlier.
#[inline(always)]
fn push_match(out: &mut Vec<u8>, literals: &[u8], len: usize, offset: usize) {
    let code = len - MATCH_MIN;
    push_literals(out, literals, code.min(TOKEN_MAX) as u8);
    out.extend_from_slice(&(offset as u16).to_le_bytes());
    if code >= TOKEN_MAX {
        push_length(out, code - TOKEN_MAX);
    }
}

/// Writes a token and literals; `match_code` is the token's other half.
#[inline(always)]
fn push_literals(out: &mut Vec<u8>, literals: &[u8], match_code: u8) {
    let len = literals.len();
    out.push((len.min(TOKEN_MAX) as u8) << 4 | match_code);
    if len >= TOKEN_MAX {
        push_length(out, len - TOKEN_MAX);
    }
    out.extend_from_slice(literals);
}

/// Writes what a token could not hold of a length.
fn push_length(out: &mut Vec<u8>, mut rest: usize) {
    while rest >= 255 {
        out.push(255);
        rest -= 255;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(raw: &[u8], dictionary: &Dictionary) -> usize {
        let mut block = b"kept".to_vec();
        compress(raw, dictionary, &mut block);
        assert!(block.starts_with(b"kept"));
        let mut out = vec![0; raw.len()];
        let written = lz4_flex::block::decompress_into_with_dict(&block[4..], &mut out, dictionary.bytes());
        assert_eq!(written.expect("a valid block"), raw.len());
        assert!(out == raw);
        block.len() - 4
    }

    #[test]
    fn what_the_dictionary_has_costs_next_to_nothing() {
        let text: Vec<u8> = (0..400).flat_map(|i| format!("field{i}:{};", i * i).into_bytes()).collect();
        let dictionary = Dictionary::new(&text);
        assert!(round_trip(&text[100..4000], &dictionary) < 60);
        assert!(round_trip(&text[100..4000], &Dictionary::new(b"")) > 1000);
        // A match that begins in the dictionary and ends in the block itself.
        assert!(round_trip(&text[text.len() - 100..].repeat(20), &dictionary) < 60);
    }

    #[test]
    fn the_largest_dictionary_and_block_fit() {
        let text: Vec<u8> = (0..20_000u32).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 16).to_le_bytes()).collect();
        let dictionary = Dictionary::new(&text[..DICTIONARY_MAX]);
        let raw = [&text[..16], &text[DICTIONARY_MAX..DICTIONARY_MAX + WITH_DICTIONARY_MAX - 32], &text[..16]].concat();
        assert!(round_trip(&raw, &dictionary) < raw.len() + raw.len() / 100);
        assert_eq!(Dictionary::new(&text).bytes().len(), DICTIONARY_MAX);
    }

    proptest! {
        #[test]
        fn whatever_goes_in_comes_out(
            words in prop::collection::vec("[ab]{1,9}", 1..8),
            dictionary in prop::collection::vec(0usize..8, 0..200),
            raw in prop::collection::vec(0usize..8, 0..400),
            cut in 0usize..9,
        ) {
            let text = |picks: &[usize]| picks.iter().map(|pick| &*words[pick % words.len()]).collect::<String>();
            let raw = text(&raw);
            round_trip(&raw.as_bytes()[cut.min(raw.len())..], &Dictionary::new(text(&dictionary).as_bytes()));
        }
    }
}
