//! The records of a file, as a snapshot hands them over: each behind the number of its database.

use crate::persistence::rdb::file::write::{self, Output};
use crate::store::snapshot::Count;
use std::io::{self, Write};

/// What is written of records. An error is kept until somebody asks.
pub(super) struct Body<'o, W> {
    output: &'o mut Output<W>,
    counts: Vec<Count>,
    /// Databases that have been named.
    named: Vec<bool>,
    selected: Option<usize>,
    buffer: Vec<u8>,
    error: Option<io::Error>,
}

impl<'o, W: Write> Body<'o, W> {
    pub fn new(counts: &[Count], output: &'o mut Output<W>) -> Self {
        let named = vec![false; counts.len()];
        Body { output, counts: counts.to_vec(), named, selected: None, buffer: Vec::new(), error: None }
    }

    /// Takes records of a database, or a part of one.
    pub fn add(&mut self, database: usize, records: &mut Vec<u8>) {
        if self.selected != Some(database) {
            self.selected = Some(database);
            write::select(database, &mut self.buffer);
            if !std::mem::replace(&mut self.named[database], true) {
                let count = self.counts[database];
                write::sizes(count.keys, count.expiring, &mut self.buffer);
            }
        }
        self.buffer.append(records);
        if self.buffer.len() >= super::BUFFER_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.error.is_none() {
            self.error = self.output.write(&self.buffer).err();
        }
        self.buffer.clear();
    }

    /// Errors: something could not be written.
    pub fn check(&mut self) -> io::Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// Writes what is left.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush();
        self.check()
    }
}
