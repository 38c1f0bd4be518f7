//! LZF, the compression of strings in RDB data. A block is a row of runs: bytes as they are, or a reference to bytes that
//! came before. The format is that of Marc Lehmann's LibLZF (<http://oldhome.schmorp.de/marc/liblzf.html>).

use super::Corrupt;

/// Longest run of bytes as they are.
const LITERALS_MAX: usize = 32;
/// Lengths and distances of references.
const MATCH_MIN: usize = 3;
const MATCH_MAX: usize = 264;
const DISTANCE_MAX: usize = 8192;
/// Bits of the numbers of places at which to look for what came before: for long strings; for short ones as many as they
/// have bytes.
const HASH_BITS_MAX: u32 = 14;
const HASH_BITS_MIN: u32 = 5;

/// Compresses `raw` behind what `out` holds; `false`, and `out` as it was, if that saves nothing.
pub fn compress(raw: &[u8], out: &mut Vec<u8>) -> bool {
    let begin = out.len();
    let bits = raw.len().checked_ilog2().unwrap_or(0).clamp(HASH_BITS_MIN, HASH_BITS_MAX);
    let mut latest = vec![0_u32; 1 << bits];
    let (mut at, mut literals_begin) = (0, 0);
    while at + MATCH_MIN <= raw.len() {
        let word = u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], 0]);
        let slot = &mut latest[(word.wrapping_mul(0x9E37_79B1) >> (32 - bits)) as usize];
        // Places are kept from 1 on; 0 is none.
        let candidate = std::mem::replace(slot, at as u32 + 1) as usize;
        let is_match = candidate > 0
            && at + 1 - candidate <= DISTANCE_MAX
            && raw[candidate - 1..candidate + 2] == raw[at..at + MATCH_MIN];
        if !is_match {
            at += 1;
            continue;
        }
        let from = candidate - 1;
        let longest = MATCH_MAX.min(raw.len() - at);
        let len = (MATCH_MIN..longest).find(|len| raw[from + len] != raw[at + len]).unwrap_or(longest);
        write_literals(&raw[literals_begin..at], out);
        write_reference(at - from, len, out);
        at += len;
        literals_begin = at;
        if out.len() - begin >= raw.len() {
            break;
        }
    }
    write_literals(&raw[literals_begin..], out);
    if out.len() - begin >= raw.len() {
        out.truncate(begin);
        return false;
    }
    true
}

fn write_literals(bytes: &[u8], out: &mut Vec<u8>) {
    for run in bytes.chunks(LITERALS_MAX) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

fn write_reference(distance: usize, len: usize, out: &mut Vec<u8>) {
    let (distance, len) = (distance - 1, len - 2);
    let high = (distance >> 8) as u8;
    if len < 7 {
        out.push((len as u8) << 5 | high);
    } else {
        out.push(7 << 5 | high);
        out.push((len - 7) as u8);
    }
    out.push(distance as u8);
}

/// Decompresses `block`, which gives exactly `len` bytes, into `out`, whose contents are dropped.
pub fn decompress(block: &[u8], len: usize, out: &mut Vec<u8>) -> Result<(), Corrupt> {
    out.clear();
    // No two bytes of a block give more than the longest reference.
    if len > block.len().saturating_mul(MATCH_MAX) {
        return Err(Corrupt);
    }
    out.reserve_exact(len);
    let mut rest = block;
    while let [control, tail @ ..] = rest {
        let run = usize::from(*control >> 5);
        if run == 0 {
            let (literals, tail) = tail.split_at_checked(usize::from(*control) + 1).ok_or(Corrupt)?;
            out.extend_from_slice(literals);
            rest = tail;
        } else {
            let (longer, tail) = if run == 7 { tail.split_first().ok_or(Corrupt)? } else { (&0, tail) };
            let (low, tail) = tail.split_first().ok_or(Corrupt)?;
            let distance = (usize::from(*control & 0x1F) << 8 | usize::from(*low)) + 1;
            let from = out.len().checked_sub(distance).ok_or(Corrupt)?;
            // Byte by byte where the reference reaches into what it gives itself.
            let copied = run + usize::from(*longer) + 2;
            if copied <= distance {
                out.extend_from_within(from..from + copied);
            } else {
                (from..from + copied).for_each(|at| out.push(out[at]));
            }
            rest = tail;
        }
        if out.len() > len {
            return Err(Corrupt);
        }
    }
    if out.len() == len { Ok(()) } else { Err(Corrupt) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..600),
            proptest::collection::vec(0u8..3, 0..3000),
            (any::<u8>(), 0usize..30_000).prop_map(|(byte, len)| vec![byte; len]),
            proptest::collection::vec("[a-z]{1,8} ", 0..400).prop_map(|words| words.concat().into_bytes()),
        ]
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(raw in text()) {
            let mut block = b"before".to_vec();
            if compress(&raw, &mut block) {
                prop_assert!(block.len() < raw.len() + 6);
                let mut out = Vec::new();
                prop_assert_eq!(decompress(&block[6..], raw.len(), &mut out), Ok(()));
                prop_assert_eq!(&out, &raw);
                prop_assert_eq!(decompress(&block[6..], raw.len() + 1, &mut out), Err(Corrupt));
            } else {
                prop_assert_eq!(block, b"before");
            }
        }

        #[test]
        fn no_block_does_harm(block in proptest::collection::vec(any::<u8>(), 0..200), len in 0usize..5000) {
            let mut out = Vec::new();
            if decompress(&block, len, &mut out).is_ok() {
                prop_assert_eq!(out.len(), len);
            }
        }
    }

    #[test]
    fn repeated_text_gets_short() {
        let mut block = Vec::new();
        assert!(compress(&[b'a'; 1000], &mut block));
        assert!(block.len() < 20, "{}", block.len());
        assert!(!compress(b"abcdefgh", &mut Vec::new()));
    }

    #[test]
    fn reads_what_redis_writes() {
        // `DUMP` of a hundred times "a" in Redis 7.0.
        let mut out = Vec::new();
        assert_eq!(decompress(&[0x01, b'a', b'a', 0xE0, 0x57, 0x00, 0x01, b'a', b'a'], 100, &mut out), Ok(()));
        assert_eq!(out, [b'a'; 100]);
    }
}
