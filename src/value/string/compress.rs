//! Compressed strings as they are kept: a number that tells length and dictionary, and an LZ4 block.

use super::dictionary::{self, WITH_DICTIONARY_MAX};
use super::lz4;

/// How long a compressed string is, and which dictionary its block needs: the number of that, or 0, in the high byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head(u32);

const LEN_BITS: u32 = 24;

impl Head {
    /// Bytes of a head.
    pub const SIZE: usize = size_of::<u32>();

    fn new(len: usize, dictionary: u8) -> Self {
        assert!(len < 1 << LEN_BITS);
        Head(len as u32 | u32::from(dictionary) << LEN_BITS)
    }

    /// Bytes of the raw string.
    pub fn raw_len(self) -> usize {
        (self.0 & ((1 << LEN_BITS) - 1)) as usize
    }

    fn dictionary(self) -> u8 {
        (self.0 >> LEN_BITS) as u8
    }

    pub fn to_bytes(self) -> [u8; Head::SIZE] {
        self.0.to_le_bytes()
    }

    pub fn from_bytes(bytes: [u8; Head::SIZE]) -> Self {
        Head(u32::from_le_bytes(bytes))
    }
}

/// A compressed string.
#[derive(Debug, Clone, Copy)]
pub struct Compressed<'a> {
    pub head: Head,
    pub block: &'a [u8],
}

impl Compressed<'_> {
    /// Writes the raw string to `out`, which is exactly as long.
    ///
    /// # Panics
    /// If the block is not the compressed form of as many bytes: memory is corrupt then, and the value lost.
    pub fn decompress(&self, out: &mut [u8]) {
        let written = match self.head.dictionary() {
            dictionary::NONE => lz4_flex::block::decompress_into(self.block, out),
            number => {
                let dictionary = dictionary::get(number).expect("dictionaries stay");
                lz4_flex::block::decompress_into_with_dict(self.block, out, dictionary.bytes())
            }
        };
        match written {
            Ok(written) if written == out.len() => (),
            other => panic!("a compressed value of {} bytes does not decompress: {other:?}", out.len()),
        }
    }
}

/// Compresses `raw` into `block`, whose contents are dropped. Returns the head, if that saves an eighth at least.
pub fn compress(raw: &[u8], block: &mut Vec<u8>) -> Option<Head> {
    block.clear();
    let number = if raw.len() <= WITH_DICTIONARY_MAX { dictionary::chosen() } else { dictionary::NONE };
    match dictionary::get(number) {
        Some(dictionary) => lz4::compress(raw, dictionary, block),
        None => {
            block.resize(lz4_flex::block::get_maximum_output_size(raw.len()), 0);
            let len = lz4_flex::block::compress_into(raw, block).expect("there is room for the worst case");
            block.truncate(len);
        }
    }
    (block.len() + Head::SIZE <= raw.len() - raw.len() / 8).then(|| Head::new(raw.len(), number))
}
