//! Reading lengths, strings and numbers of RDB data, wherever it comes from.

use super::{Corrupt, complaint, length, lzf};

/// Bytes that are asked for at a time: no more memory than that is taken ahead of what arrives.
const CHUNK: usize = 64 * 1024;

/// Where RDB data comes from.
pub trait Source {
    /// Fills `out` with the next bytes; an error if they end before.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Corrupt>;
}

impl Source for &[u8] {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Corrupt> {
        let (bytes, rest) = self.split_at_checked(out.len()).ok_or(Corrupt)?;
        out.copy_from_slice(bytes);
        *self = rest;
        Ok(())
    }
}

/// A length, or what stands in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Bytes(u64),
    /// The string that follows is encoded in this way.
    Encoded(u8),
}

/// Reads the parts of RDB data.
pub struct Reader<S> {
    source: S,
    /// Compressed strings, on their way.
    block: Vec<u8>,
    /// What is wrong with what was read, where more is known than of what kind it is.
    complaint: Option<&'static str>,
}

impl<S: Source> Reader<S> {
    pub fn new(source: S) -> Self {
        Reader { source, block: Vec::new(), complaint: None }
    }

    /// Where the data comes from, with what has not been read.
    pub fn into_source(self) -> S {
        self.source
    }

    pub fn source(&self) -> &S {
        &self.source
    }

    pub fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// The error for bytes that are not what they should be, of which the log tells this: words of Redis.
    pub fn refuse(&mut self, complaint: &'static str) -> Corrupt {
        self.complaint = Some(complaint);
        Corrupt
    }

    /// What the log tells of a value of this kind that could not be read.
    pub fn complaint(&mut self, kind: u8) -> &'static str {
        self.complaint.take().unwrap_or_else(|| complaint(kind))
    }

    /// The next `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let mut bytes = [0; N];
        self.source.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub fn byte(&mut self) -> Result<u8, Corrupt> {
        self.bytes().map(|[byte]| byte)
    }

    fn any_length(&mut self) -> Result<Length, Corrupt> {
        let first = self.byte()?;
        Ok(match first & 0xC0 {
            0 => Length::Bytes(u64::from(first)),
            length::BITS_14 => Length::Bytes(u64::from(first & 0x3F) << 8 | u64::from(self.byte()?)),
            length::ENCODED => Length::Encoded(first & 0x3F),
            _ => match first {
                length::BITS_32 => Length::Bytes(u32::from_be_bytes(self.bytes()?).into()),
                length::BITS_64 => Length::Bytes(u64::from_be_bytes(self.bytes()?)),
                _ => return Err(Corrupt),
            },
        })
    }

    /// A length, or a number that is written like one.
    pub fn length(&mut self) -> Result<u64, Corrupt> {
        match self.any_length()? {
            Length::Bytes(value) => Ok(value),
            Length::Encoded(_) => Err(Corrupt),
        }
    }

    /// A string, written to `out`, whose contents are dropped.
    pub fn string(&mut self, out: &mut Vec<u8>) -> Result<(), Corrupt> {
        out.clear();
        let value = match self.any_length()? {
            Length::Bytes(len) => return take(&mut self.source, len, out),
            Length::Encoded(length::INTEGER_8) => self.bytes().map(i8::from_le_bytes)?.into(),
            Length::Encoded(length::INTEGER_16) => self.bytes().map(i16::from_le_bytes)?.into(),
            Length::Encoded(length::INTEGER_32) => self.bytes().map(i32::from_le_bytes)?,
            Length::Encoded(length::LZF) => {
                let (block_len, len) = (self.length()?, self.length()?);
                self.block.clear();
                take(&mut self.source, block_len, &mut self.block)?;
                return lzf::decompress(&self.block, usize::try_from(len).map_err(|_| Corrupt)?, out);
            }
            Length::Encoded(_) => return Err(Corrupt),
        };
        out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        Ok(())
    }
}

/// Appends the next `len` bytes to `out`.
fn take(source: &mut impl Source, len: u64, out: &mut Vec<u8>) -> Result<(), Corrupt> {
    let mut left = usize::try_from(len).map_err(|_| Corrupt)?;
    while left > 0 {
        let (begin, chunk) = (out.len(), left.min(CHUNK));
        out.resize(begin + chunk, 0);
        source.fill(&mut out[begin..])?;
        left -= chunk;
    }
    Ok(())
}
