//! Database files: any bytes behind a head. What can be read is written, and is the same when it is read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use radish::persistence::pieces::Pieces;
use radish::persistence::rdb::file::read::{FileReader, Part, Record};
use radish::persistence::rdb::file::write::{self, About, Output};
use radish::persistence::rdb::value::{Limits, Loaded};
use radish::persistence::rdb::{FieldDeadlines, Style};
use radish::value::digest::Digest;
use radish::value::hash::HashRules;
use radish::value::list::ListLimits;
use radish::value::set::SetLimits;
use radish::value::stream::StreamLimits;
use radish::value::string::LongString;
use radish::value::zset::ZsetLimits;
use radish::value::{Value, ValueRef};
use std::io::Read;

/// Some bytes at a time, as sockets give them.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let len = out.len().min(self.0.len()).min(13);
        let (now, later) = self.0.split_at(len);
        out[..len].copy_from_slice(now);
        self.0 = later;
        Ok(len)
    }
}

fn limits() -> Limits {
    Limits {
        list: ListLimits::default(),
        set: SetLimits::default(),
        sorted_set: ZsetLimits::default(),
        stream: StreamLimits::default(),
        hash: HashRules { packed_fields_max: 128, packed_bytes_max: 64, now_ms: 1_000_000 },
    }
}

/// The records of a file, if it is whole.
fn read(file: &[u8], checks: bool) -> Option<Vec<(Vec<u8>, Option<i64>, Value)>> {
    let mut reader = FileReader::new(Trickle(file), limits(), checks, false).ok()?;
    let mut records = Vec::new();
    loop {
        match reader.read_next().ok()? {
            Part::End { .. } => return Some(records),
            Part::Record(Record { key, deadline_ms, value: Loaded::String(bytes), .. }) => {
                records.push((key, deadline_ms, Value::String(LongString::new(&bytes))));
            }
            Part::Record(Record { key, deadline_ms, value: Loaded::Collection(value), .. }) => {
                records.push((key, deadline_ms, value));
            }
            Part::Record(_) | Part::Aux(..) | Part::Database(_) | Part::Library(_) => {}
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let file = [b"REDIS0011".as_slice(), input].concat();
    let Some(records) = read(&file, false) else { return };
    let field_deadlines = if input.len().is_multiple_of(3) { FieldDeadlines::Valkey } else { FieldDeadlines::Redis };
    let style = Style { compressed: input.len().is_multiple_of(2), field_deadlines };
    let about = About {
        field_deadlines: Some(field_deadlines),
        created_s: 0,
        used_memory: 0,
        is_aof_base: false,
        replication: None,
        libraries: &[],
    };
    let mut bytes = Vec::new();
    write::begin(&about, &mut bytes);
    for (key, deadline_ms, value) in &records {
        write::record(&mut Pieces::whole(&mut bytes), key, *deadline_ms, None, ValueRef::Boxed(value), style);
    }
    let mut output = Output::new(Vec::new(), true);
    output.write(&bytes).expect("a vector takes all");
    let file = output.finish().expect("a vector takes all");
    let again = read(&file, true).expect("what was written can be read");
    assert_eq!(records.len(), again.len());
    for (before, after) in records.iter().zip(&again) {
        assert_eq!((&before.0, before.1), (&after.0, after.1));
        assert_eq!(digest(&before.2), digest(&after.2));
    }
});

fn digest(value: &Value) -> Digest {
    let mut digest = Digest::default();
    digest.mix_value(ValueRef::Boxed(value), false);
    digest
}
