//! Writing files. What [`begin`], [`select`], [`sizes`] and [`record`] append to buffers is, in this order, a file once it has passed
//! through an [`Output`], which counts it and adds the end.

use super::super::{CHECKSUM, FieldDeadlines, Style, VERSION, value, write};
use super::{MAGIC, MAGIC_OF_VALKEY, Usage, opcode};
use crate::persistence::Place;
use crate::persistence::pieces::Pieces;
use crate::value::ValueRef;
use crc::{Digest, Table};
use std::io::{self, Write};

/// What a file says of itself.
#[derive(Debug)]
pub struct About<'a> {
    /// In whose form hashes are of which fields have deadlines, which old versions cannot hold; `None` if there are none.
    pub field_deadlines: Option<FieldDeadlines>,
    /// When it was made, in seconds of Unix time.
    pub created_s: i64,
    /// Bytes in use then.
    pub used_memory: usize,
    /// Whether it is the base of an append-only file.
    pub is_aof_base: bool,
    /// Where in the history of the data it was made, if that has one.
    pub replication: Option<&'a Place>,
    /// The texts of the libraries of functions.
    pub libraries: &'a [&'a [u8]],
}

/// Appends what a file begins with.
pub fn begin(about: &About<'_>, out: &mut Vec<u8>) {
    let version = about.field_deadlines.map_or(VERSION, FieldDeadlines::version);
    if about.field_deadlines == Some(FieldDeadlines::Valkey) {
        out.extend_from_slice(MAGIC_OF_VALKEY);
        out.extend_from_slice(format!("{version:03}").as_bytes());
    } else {
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(format!("{version:04}").as_bytes());
    }
    aux("redis-ver", crate::REDIS_VERSION, out);
    aux("redis-bits", &usize::BITS.to_string(), out);
    aux("ctime", &about.created_s.to_string(), out);
    aux("used-mem", &about.used_memory.to_string(), out);
    if let Some(replication) = &about.replication {
        aux("repl-stream-db", &replication.database.to_string(), out);
        aux("repl-id", &replication.id, out);
        aux("repl-offset", &replication.offset.to_string(), out);
    }
    aux("aof-base", if about.is_aof_base { "1" } else { "0" }, out);
    for text in about.libraries {
        out.push(opcode::FUNCTION_2);
        write::string(text, false, out);
    }
}

fn aux(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(opcode::AUX);
    write::string(name.as_bytes(), false, out);
    write::string(value.as_bytes(), false, out);
}

/// Says that the records which follow are of this database. Its number may come again.
pub fn select(database: usize, out: &mut Vec<u8>) {
    out.push(opcode::SELECT_DATABASE);
    write::length(database as u64, out);
}

/// Says how many keys, and keys with deadlines, the database has that was selected.
pub fn sizes(keys: u64, expiring: u64, out: &mut Vec<u8>) {
    out.push(opcode::RESIZE_DATABASE);
    write::length(keys, out);
    write::length(expiring, out);
}

/// Appends a record.
pub fn record(
    out: &mut Pieces<'_>,
    key: &[u8],
    deadline_ms: Option<i64>,
    usage: Option<Usage>,
    value: ValueRef<'_>,
    style: Style,
) {
    if let Some(deadline_ms) = deadline_ms {
        out.push(opcode::DEADLINE_MS);
        out.extend_from_slice(&deadline_ms.to_le_bytes());
    }
    match usage {
        Some(Usage::Idle(seconds)) => {
            out.push(opcode::IDLE);
            write::length(seconds, out);
        }
        Some(Usage::Frequency(counter)) => out.extend_from_slice(&[opcode::FREQUENCY, counter]),
        None => {}
    }
    out.push(value::kind_of(value, style));
    write::string(key, style.compressed, out);
    value::write(value, style, out);
}

/// A file on its way out.
pub struct Output<W> {
    out: W,
    /// `None` if the file is to have no checksum.
    checksum: Option<Digest<'static, u64, Table<16>>>,
}

impl<W: Write> Output<W> {
    pub fn new(out: W, has_checksum: bool) -> Self {
        Output { out, checksum: has_checksum.then(|| CHECKSUM.digest()) }
    }

    /// Writes bytes of the file.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(checksum) = &mut self.checksum {
            checksum.update(bytes);
        }
        self.out.write_all(bytes)
    }

    /// Writes what files end with, and returns what the file was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.write(&[opcode::END])?;
        let checksum = self.checksum.map_or(0, |sum| sum.finalize());
        self.out.write_all(&checksum.to_le_bytes())?;
        Ok(self.out)
    }
}
