//! Reading commands from an append-only file: arrays of bulk strings, and annotations between them, which are lines that begin
//! with `#`.

use crate::persistence::Place;
use crate::resp::{Args, Progress, RequestLimits, Span, parse_request};
use std::io::{self, Read};

/// Bytes that are read at once.
const READ_BYTES: usize = 256 * 1024;
/// Longest annotation, in bytes.
const ANNOTATION_BYTES_MAX: usize = 1024;

/// Why no further command could be read.
#[derive(Debug)]
pub enum ReadError {
    Input(io::Error),
    /// The file ends in the middle of a command.
    Short,
    /// What is there is no command.
    Format,
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Input(error)
    }
}

/// Reads the commands of a file, one after the other.
pub struct CommandReader<R> {
    input: R,
    buffer: Vec<u8>,
    /// The first byte of `buffer` that is not read.
    at: usize,
    /// Where `buffer` begins in the file.
    base: u64,
    progress: Progress,
    spans: Vec<Span>,
    words: Vec<u8>,
    has_ended: bool,
    place: Option<Place>,
}

impl<R: Read> CommandReader<R> {
    /// Reads on from `offset` of a file.
    pub fn new(input: R, offset: u64) -> Self {
        CommandReader {
            input,
            buffer: Vec::new(),
            at: 0,
            base: offset,
            progress: Progress::default(),
            spans: Vec::new(),
            words: Vec::new(),
            has_ended: false,
            place: None,
        }
    }

    /// Where in the file the next command begins, or what is no command.
    pub fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// The place in the history that an annotation behind the last command names.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The next command; `None` at the end of the file.
    pub fn read_next(&mut self) -> Result<Option<Args<'_>>, ReadError> {
        let limits = RequestLimits { bulk_bytes_max: i64::MAX / 2, authenticated: true };
        loop {
            match self.buffer.get(self.at) {
                None if self.has_ended => return Ok(None),
                None => {}
                Some(b'#') => {
                    let rest = &self.buffer[self.at..];
                    match memchr::memchr(b'\n', &rest[..rest.len().min(ANNOTATION_BYTES_MAX)]) {
                        Some(end) => {
                            self.place = Place::of_note(&rest[..end]).or(self.place.take());
                            self.at += end + 1;
                            continue;
                        }
                        None if rest.len() >= ANNOTATION_BYTES_MAX => return Err(ReadError::Format),
                        None => {}
                    }
                }
                Some(b'*') => {
                    if self.progress.is_fresh() {
                        self.spans.clear();
                    }
                    let rest = &self.buffer[self.at..];
                    match parse_request(rest, &mut self.progress, &mut self.spans, &mut self.words, &limits) {
                        Ok(Some(_)) if self.spans.is_empty() => return Err(ReadError::Format),
                        Ok(Some(len)) => {
                            let start = self.at;
                            self.at += len;
                            self.place = None;
                            return Ok(Some(Args::new(&self.buffer[start..self.at], &self.spans)));
                        }
                        Ok(None) => {}
                        Err(_) => return Err(ReadError::Format),
                    }
                }
                Some(_) => return Err(ReadError::Format),
            }
            if self.has_ended {
                return Err(ReadError::Short);
            }
            self.fill()?;
        }
    }

    /// Reads more behind what is there.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.at);
        self.base += self.at as u64;
        self.at = 0;
        let len = self.buffer.len();
        // Room doubles as the bytes arrive, whatever length a command announces.
        let read = (&mut self.input).take(READ_BYTES.max(len) as u64).read_to_end(&mut self.buffer)?;
        self.has_ended = read == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a text reads as: commands in one line each, and how it ends.
    fn read(text: &[u8]) -> (Vec<String>, Option<ReadError>, u64) {
        let mut reader = CommandReader::new(text, 100);
        let mut commands = Vec::new();
        loop {
            match reader.read_next() {
                Ok(Some(args)) => {
                    let words: Vec<_> = args.iter().map(|arg| arg.escape_ascii().to_string()).collect();
                    commands.push(words.join(" "));
                }
                Ok(None) => return (commands, None, reader.offset()),
                Err(error) => return (commands, Some(error), reader.offset()),
            }
        }
    }

    #[test]
    fn commands_and_annotations_are_read() {
        let text = b"#TS:1\r\n*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n#TS:2\r\n";
        let (commands, error, offset) = read(text);
        assert_eq!(commands, ["PING", "DEL a"]);
        assert!(error.is_none());
        assert_eq!(offset, 100 + text.len() as u64);
        let long = [b"*2\r\n$4\r\nECHO\r\n$1000000\r\n".as_slice(), &vec![b'x'; 1_000_000], b"\r\n"].concat();
        assert_eq!(read(&long).0[0].len(), 1_000_005);
    }

    #[test]
    fn a_place_is_that_of_the_end() {
        let place = Place { database: 1, id: "f".repeat(40), offset: 5 };
        let command = b"*1\r\n$4\r\nPING\r\n".as_slice();
        let note = place.note().into_bytes();
        for (text, expected) in [
            ([command, &note].concat(), Some(&place)),
            ([command, &note, b"#TS:1\r\n"].concat(), Some(&place)),
            ([&note, command].concat(), None),
            (command.to_vec(), None),
        ] {
            let mut reader = CommandReader::new(text.as_slice(), 0);
            while let Ok(Some(_)) = reader.read_next() {}
            assert_eq!(reader.place(), expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_command_that_is_cut_off_is_where_the_file_is_good_until() {
        let whole = b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n";
        for len in 15..whole.len() {
            let (commands, error, offset) = read(&whole[..len]);
            assert_eq!((commands.len(), offset), (1, 114), "{len}");
            assert!(matches!(error, Some(ReadError::Short)), "{len}: {error:?}");
        }
        assert!(matches!(read(b"#TS:1").1, Some(ReadError::Short)));
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for text in [b"PING\r\n".as_slice(), b"*0\r\n", b"*x\r\n", b"*1\r\n+4\r\nPING\r\n", b"\0"] {
            let (_, error, offset) = read(text);
            assert!(matches!(error, Some(ReadError::Format)), "{text:?}: {error:?}");
            assert_eq!(offset, 100);
        }
    }
}
