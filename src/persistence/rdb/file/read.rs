//! Reading files, from any stream of bytes: [`FileReader::read_next`] gives one part after the other.

use super::super::read::{Reader, Source};
use super::super::value::{self, Limits, Loaded};
use super::super::{CHECKSUM, Corrupt, is_known_version, is_of_valkey, kind};
use super::{MAGIC, MAGIC_OF_VALKEY, Usage, opcode};
use crc::{Digest, Table};
use std::fmt;
use std::io::{self, Read};

/// Bytes that are read at a time.
const BUFFER_BYTES: usize = 128 * 1024;
/// The first version that ends with a checksum.
const VERSION_WITH_CHECKSUM: u16 = 5;

/// Why a file cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// It does not begin as files do.
    Signature,
    Version(u16),
    /// The stream failed.
    Input(io::Error),
    /// The stream ended before the file.
    Short,
    /// What is there makes no file.
    Corrupt,
    /// What is there makes no value of its kind, for this reason.
    Value(&'static str),
    Checksum {
        expected: u64,
        found: u64,
    },
    /// There are data of a module, of this name, beside the keys.
    ModuleAux(String),
    /// There is a value of a module's type.
    Module(String),
    /// There is such a value, or a library of functions, in a form that was never released.
    Unreleased(&'static str),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Signature => f.write_str("Wrong signature trying to load DB from file"),
            ReadError::Version(version) => write!(f, "Can't handle RDB format version {version}"),
            ReadError::Input(error) => write!(f, "Read error: {}", crate::config::error_text(error)),
            ReadError::Short => f.write_str("Unexpected EOF reading RDB file"),
            ReadError::Corrupt => f.write_str("The RDB file has bytes that make no record"),
            ReadError::Value(complaint) => f.write_str(complaint),
            ReadError::Checksum { .. } => f.write_str("RDB CRC error"),
            ReadError::ModuleAux(name) => {
                write!(f, "The RDB file contains AUX module data I can't load: no matching module '{name}'")
            }
            ReadError::Module(name) => {
                write!(f, "The RDB file contains module data I can't load: no matching module type '{name}'")
            }
            ReadError::Unreleased(what) => write!(f, "Pre-release {what} format not supported."),
        }
    }
}

/// A part of a file.
#[derive(Debug)]
pub enum Part {
    /// A field about the file: name and value.
    Aux(Vec<u8>, Vec<u8>),
    /// The records that follow are of this database.
    Database(u64),
    /// The text of a library of functions.
    Library(Vec<u8>),
    Record(Record),
    /// The file is over.
    End {
        /// It was written without a checksum, although its version has one.
        lacks_checksum: bool,
    },
}

/// A key with what belongs to it, and its value.
#[derive(Debug)]
pub struct Record {
    pub key: Vec<u8>,
    pub deadline_ms: Option<i64>,
    pub usage: Option<Usage>,
    pub value: Loaded,
}

/// A file that is being read.
pub struct FileReader<R> {
    reader: Reader<Stream<R>>,
    version: u16,
    /// Whether its checksum has to be right.
    checks: bool,
    limits: Limits,
}

impl<R: Read> FileReader<R> {
    /// Reads what a file begins with. `checks`: whether the checksum has to be right. `any_version`: whether a version that
    /// is not known is tried. `limits`: in which form collections are kept.
    pub fn new(input: R, limits: Limits, checks: bool, any_version: bool) -> Result<Self, ReadError> {
        let mut reader = Reader::new(Stream::new(input, checks));
        let head: Result<[u8; 9], Corrupt> = reader.bytes();
        let head = head.map_err(|_| reader.source_mut().reason())?;
        let (digits, is_by_valkey) = match (head.strip_prefix(MAGIC), head.strip_prefix(MAGIC_OF_VALKEY)) {
            (Some(digits), _) => (digits, false),
            (_, Some(digits)) => (digits, true),
            _ => return Err(ReadError::Signature),
        };
        // What follows the digits of a number does not count, as in Redis.
        let version = digits.iter().take_while(|digit| digit.is_ascii_digit());
        let version = version.fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        let is_known = is_known_version(version) && is_of_valkey(version) == is_by_valkey;
        let is_tried = any_version && version > 0;
        if !is_known && !is_tried {
            return Err(ReadError::Version(version));
        }
        Ok(FileReader { reader, version, checks, limits })
    }

    /// Bytes of the file that were read.
    pub fn offset(&self) -> u64 {
        self.reader.source().offset()
    }

    /// The next part of the file.
    pub fn read_next(&mut self) -> Result<Part, ReadError> {
        match self.read_part() {
            Ok(part) => part,
            Err(Corrupt) => Err(self.reader.source_mut().reason()),
        }
    }

    fn read_part(&mut self) -> Result<Result<Part, ReadError>, Corrupt> {
        let (mut deadline_ms, mut usage) = (None, None);
        loop {
            let byte = self.reader.byte()?;
            match byte {
                opcode::DEADLINE_S => {
                    let deadline_s = i32::from_le_bytes(self.reader.bytes()?);
                    deadline_ms = Some(i64::from(deadline_s) * 1000);
                }
                opcode::DEADLINE_MS => deadline_ms = Some(i64::from_le_bytes(self.reader.bytes()?)),
                opcode::IDLE => usage = Some(Usage::Idle(self.reader.length()?)),
                opcode::FREQUENCY => usage = Some(Usage::Frequency(self.reader.byte()?)),
                // Hints that nothing here has a use for.
                opcode::RESIZE_DATABASE => {
                    self.reader.length()?;
                    self.reader.length()?;
                }
                opcode::SLOT_INFO => {
                    for _ in 0..3 {
                        self.reader.length()?;
                    }
                }
                opcode::SELECT_DATABASE => return Ok(Ok(Part::Database(self.reader.length()?))),
                opcode::AUX => {
                    let (mut name, mut value) = (Vec::new(), Vec::new());
                    self.reader.string(&mut name)?;
                    self.reader.string(&mut value)?;
                    return Ok(Ok(Part::Aux(name, value)));
                }
                opcode::FUNCTION_2 => {
                    let mut text = Vec::new();
                    self.reader.string(&mut text)?;
                    return Ok(Ok(Part::Library(text)));
                }
                opcode::FUNCTION => return Ok(Err(ReadError::Unreleased("function"))),
                opcode::MODULE_AUX => return Ok(Err(ReadError::ModuleAux(module_name(self.reader.length()?)))),
                opcode::END => return self.read_end(),
                kind => return self.read_record(kind, deadline_ms, usage),
            }
        }
    }

    fn read_record(
        &mut self,
        kind: u8,
        deadline_ms: Option<i64>,
        usage: Option<Usage>,
    ) -> Result<Result<Part, ReadError>, Corrupt> {
        let mut key = Vec::new();
        self.reader.string(&mut key)?;
        match kind {
            kind::MODULE => return Ok(Err(ReadError::Unreleased("module"))),
            kind::MODULE_2 => return Ok(Err(ReadError::Module(module_name(self.reader.length()?)))),
            _ => {}
        }
        let value = match value::read(&mut self.reader, kind, is_of_valkey(self.version), &self.limits) {
            Ok(value) => value,
            Err(Corrupt) => {
                let complaint = self.reader.complaint(kind);
                let ended = self.reader.source_mut().failure.take();
                return Ok(Err(ended.unwrap_or(ReadError::Value(complaint))));
            }
        };
        Ok(Ok(Part::Record(Record { key, deadline_ms, usage, value })))
    }

    fn read_end(&mut self) -> Result<Result<Part, ReadError>, Corrupt> {
        if self.version < VERSION_WITH_CHECKSUM {
            return Ok(Ok(Part::End { lacks_checksum: false }));
        }
        let expected = self.reader.source_mut().checksum();
        let found = u64::from_le_bytes(self.reader.bytes()?);
        Ok(match found {
            _ if !self.checks => Ok(Part::End { lacks_checksum: false }),
            0 => Ok(Part::End { lacks_checksum: true }),
            found if found == expected => Ok(Part::End { lacks_checksum: false }),
            found => Err(ReadError::Checksum { expected, found }),
        })
    }

    /// What follows the file in its stream.
    pub fn into_rest(self) -> impl Read {
        self.reader.into_source().into_rest()
    }
}

/// The name of a module, as it is written in the upper bits of a number: nine letters of six bits.
fn module_name(id: u64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9).map(|index| char::from(LETTERS[(id >> (58 - 6 * index) & 63) as usize])).collect()
}

/// A stream of bytes, read in large parts, with the sum of what was taken from it.
struct Stream<R> {
    input: R,
    buffer: Box<[u8]>,
    /// What is in the buffer, and how much of it was taken, and added to the sum.
    filled: usize,
    taken: usize,
    summed: usize,
    /// Bytes that were in the buffer before.
    passed: u64,
    checksum: Option<Digest<'static, u64, Table<16>>>,
    failure: Option<ReadError>,
}

impl<R: Read> Stream<R> {
    fn new(input: R, has_checksum: bool) -> Self {
        Stream {
            input,
            buffer: vec![0; BUFFER_BYTES].into(),
            filled: 0,
            taken: 0,
            summed: 0,
            passed: 0,
            checksum: has_checksum.then(|| CHECKSUM.digest()),
            failure: None,
        }
    }

    fn offset(&self) -> u64 {
        self.passed + self.taken as u64
    }

    /// Why a part could not be read.
    fn reason(&mut self) -> ReadError {
        self.failure.take().unwrap_or(ReadError::Corrupt)
    }

    /// The sum of all that was taken; 0 if it is not wanted.
    fn checksum(&mut self) -> u64 {
        self.add_up();
        self.checksum.as_ref().map_or(0, |sum| sum.clone().finalize())
    }

    fn add_up(&mut self) {
        if let Some(sum) = &mut self.checksum {
            sum.update(&self.buffer[self.summed..self.taken]);
        }
        self.summed = self.taken;
    }

    #[cold]
    fn fill_slowly(&mut self, mut out: &mut [u8]) -> Result<(), Corrupt> {
        loop {
            let (now, later) = out.split_at_mut(out.len().min(self.filled - self.taken));
            now.copy_from_slice(&self.buffer[self.taken..][..now.len()]);
            self.taken += now.len();
            if later.is_empty() {
                return Ok(());
            }
            out = later;
            self.add_up();
            self.passed += self.filled as u64;
            (self.filled, self.taken, self.summed) = (0, 0, 0);
            self.filled = loop {
                match self.input.read(&mut self.buffer) {
                    Ok(0) => {
                        self.failure = Some(ReadError::Short);
                        return Err(Corrupt);
                    }
                    Ok(read) => break read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        self.failure = Some(ReadError::Input(error));
                        return Err(Corrupt);
                    }
                }
            };
        }
    }

    fn into_rest(self) -> impl Read {
        let mut rest = self.buffer.into_vec();
        rest.truncate(self.filled);
        rest.drain(..self.taken);
        io::Cursor::new(rest).chain(self.input)
    }
}

impl<R: Read> Source for Stream<R> {
    #[inline]
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Corrupt> {
        match self.buffer[self.taken..self.filled].get(..out.len()) {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                self.taken += out.len();
                Ok(())
            }
            None => self.fill_slowly(out),
        }
    }
}
