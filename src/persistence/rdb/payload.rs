//! A value by itself, as `DUMP` gives it and `RESTORE` takes it: kind, value, version, checksum. Libraries of functions in the
//! same wrapping.

use super::file::opcode;
use super::read::Reader;
use super::value::{self, Limits, Loaded};
use super::{CHECKSUM, Corrupt, Style, VERSION, is_known_version, is_of_valkey, kind, write as parts};
use crate::persistence::pieces::Pieces;
use crate::value::ValueRef;

/// Bytes of version and checksum.
const FOOTER: usize = 10;

/// What is no library is told to the client alone.
const NO_LIBRARY: Refusal = Refusal::BadFormat("The payload is not of libraries.");

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not whole, or comes from a version that is not known.
    VersionOrChecksum,
    /// It makes no value, or no libraries; what the log tells of that.
    BadFormat(&'static str),
}

/// A value as a payload.
pub fn write(value: ValueRef<'_>, style: Style) -> Vec<u8> {
    let kind = value::kind_of(value, style);
    let mut out = vec![kind];
    value::write(value, style, &mut Pieces::whole(&mut out));
    let has_field_deadlines = matches!(kind, kind::HASH_METADATA | kind::HASH_2);
    seal(out, if has_field_deadlines { style.field_deadlines.version() } else { VERSION })
}

/// Adds version and checksum.
fn seal(mut out: Vec<u8>, version: u16) -> Vec<u8> {
    out.extend_from_slice(&version.to_le_bytes());
    let checksum = CHECKSUM.checksum(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// The texts of libraries as a payload.
pub fn write_libraries<'l>(texts: impl Iterator<Item = &'l [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for text in texts {
        out.push(opcode::FUNCTION_2);
        parts::string(text, false, &mut out);
    }
    seal(out, VERSION)
}

/// The texts of the libraries of a payload. `checks`: whether the checksum has to be right.
pub fn read_libraries(payload: &[u8], checks: bool) -> Result<Vec<Vec<u8>>, Refusal> {
    let (mut body, _) = open(payload, checks)?;
    let mut texts = Vec::new();
    while let Some((&byte, rest)) = body.split_first() {
        if byte != opcode::FUNCTION_2 {
            return Err(NO_LIBRARY);
        }
        let (mut reader, mut text) = (Reader::new(rest), Vec::new());
        reader.string(&mut text).map_err(|Corrupt| NO_LIBRARY)?;
        texts.push(text);
        body = reader.into_source();
    }
    Ok(texts)
}

/// The value of a payload. `checks`: whether the checksum has to be right.
pub fn read(payload: &[u8], checks: bool, limits: &Limits) -> Result<Loaded, Refusal> {
    let (body, version) = open(payload, checks)?;
    let (kind, body) = body.split_first().ok_or(Refusal::BadFormat("There is no value."))?;
    let mut reader = Reader::new(body);
    let loaded = value::read(&mut reader, *kind, is_of_valkey(version), limits);
    let complaint = reader.complaint(*kind);
    let is_whole = reader.into_source().is_empty();
    loaded.ok().filter(|loaded| is_whole && !matches!(loaded, Loaded::Empty)).ok_or(Refusal::BadFormat(complaint))
}

/// What is in front of version and checksum, and the version.
fn open(payload: &[u8], checks: bool) -> Result<(&[u8], u16), Refusal> {
    let (body, footer) = payload.split_last_chunk::<FOOTER>().ok_or(Refusal::VersionOrChecksum)?;
    let [low, high, checksum @ ..] = *footer;
    let checksum = u64::from_le_bytes(checksum);
    let is_whole = !checks || checksum == CHECKSUM.checksum(&payload[..payload.len() - 8]);
    let version = u16::from_le_bytes([low, high]);
    if !is_whole || !is_known_version(version) {
        return Err(Refusal::VersionOrChecksum);
    }
    Ok((body, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Redis 7.0, Redis 8.2 and Valkey 9.1 dump of two libraries, without version and checksum.
    const LIBRARIES: &[u8] =
        b"\xf5@B#!lua name=B\nredis.register_function('g2',function() return 1 end)\xf5@B#!lua name=A\n\
        redis.register_function('g1',function() return 1 end)";

    #[test]
    fn libraries_of_other_servers_are_read() {
        let texts: Vec<Vec<u8>> =
            LIBRARIES.split(|byte| *byte == opcode::FUNCTION_2).skip(1).map(|part| part[2..].to_vec()).collect();
        for footer in
            [b"\n\0\nl\x0bn;\x9bf\xbf", b"\x0c\0\xc1\x1a?\xae\xc1\xb1\xf8\xf6", b"P\0\xc5F\xc2\xff\xa5\xc9\x01K"]
        {
            assert_eq!(read_libraries(&[LIBRARIES, footer].concat(), true), Ok(texts.clone()));
        }
        let written = write_libraries(texts.iter().map(Vec::as_slice));
        assert_eq!(written, [LIBRARIES, b"\n\0\nl\x0bn;\x9bf\xbf"].concat());
        assert_eq!(read_libraries(&written[1..], true), Err(Refusal::VersionOrChecksum));
        assert_eq!(read_libraries(&seal(b"\x00\x01k".to_vec(), VERSION), true), Err(NO_LIBRARY));
        assert_eq!(read_libraries(&seal(vec![opcode::FUNCTION_2, 5, b'x'], VERSION), true), Err(NO_LIBRARY));
    }
}
