//! A value by itself, as `DUMP` gives it and `RESTORE` takes it: kind, value, version, checksum.

use super::read::Reader;
use super::value::{self, Limits, Loaded};
use super::{CHECKSUM, Corrupt, Style, VERSION, is_known_version, is_of_valkey, kind};
use crate::persistence::pieces::Pieces;
use crate::value::ValueRef;

/// Bytes of version and checksum.
const FOOTER: usize = 10;

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not whole, or comes from a version that is not known.
    VersionOrChecksum,
    /// It makes no value.
    BadFormat,
}

/// A value as a payload.
pub fn write(value: ValueRef<'_>, style: Style) -> Vec<u8> {
    let kind = value::kind_of(value, style);
    let mut out = vec![kind];
    value::write(value, style, &mut Pieces::whole(&mut out));
    let has_field_deadlines = matches!(kind, kind::HASH_METADATA | kind::HASH_2);
    let version = if has_field_deadlines { style.field_deadlines.version() } else { VERSION };
    out.extend_from_slice(&version.to_le_bytes());
    let checksum = CHECKSUM.checksum(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// The value of a payload. `checks`: whether the checksum has to be right.
pub fn read(payload: &[u8], checks: bool, limits: &Limits) -> Result<Loaded, Refusal> {
    let (body, footer) = payload.split_last_chunk::<FOOTER>().ok_or(Refusal::VersionOrChecksum)?;
    let [low, high, checksum @ ..] = *footer;
    let checksum = u64::from_le_bytes(checksum);
    let is_whole = !checks || checksum == CHECKSUM.checksum(&payload[..payload.len() - 8]);
    let version = u16::from_le_bytes([low, high]);
    if !is_whole || !is_known_version(version) {
        return Err(Refusal::VersionOrChecksum);
    }
    read_body(body, is_of_valkey(version), limits).map_err(|Corrupt| Refusal::BadFormat)
}

fn read_body(body: &[u8], is_of_valkey: bool, limits: &Limits) -> Result<Loaded, Corrupt> {
    let (kind, body) = body.split_first().ok_or(Corrupt)?;
    let mut reader = Reader::new(body);
    let loaded = value::read(&mut reader, *kind, is_of_valkey, limits)?;
    let is_whole = reader.into_source().is_empty() && !matches!(loaded, Loaded::Empty);
    if is_whole { Ok(loaded) } else { Err(Corrupt) }
}
