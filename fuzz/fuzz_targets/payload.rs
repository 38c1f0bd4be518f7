//! What `RESTORE` is given, without version and checksum: any bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use radish::persistence::rdb::value::{Limits, Loaded};
use radish::persistence::rdb::{FieldDeadlines, Style, payload};
use radish::value::digest::Digest;
use radish::value::hash::HashRules;
use radish::value::list::ListLimits;
use radish::value::set::SetLimits;
use radish::value::stream::StreamLimits;
use radish::value::string::LongString;
use radish::value::zset::ZsetLimits;
use radish::value::{Value, ValueRef};

fuzz_target!(|input: &[u8]| {
    let limits = Limits {
        list: ListLimits::default(),
        set: SetLimits::default(),
        sorted_set: ZsetLimits::default(),
        stream: StreamLimits::default(),
        hash: HashRules { packed_fields_max: 128, packed_bytes_max: 64, now_ms: 1_000_000 },
    };
    let whole = [input, &[10, 0], &[0; 8]].concat();
    let Ok(loaded) = payload::read(&whole, false, &limits) else { return };
    let Some(value) = kept(loaded) else { return };
    let field_deadlines = if input.len().is_multiple_of(3) { FieldDeadlines::Valkey } else { FieldDeadlines::Redis };
    let style = Style { compressed: input.len().is_multiple_of(2), field_deadlines };
    let again = payload::write(ValueRef::Boxed(&value), style);
    let again =
        kept(payload::read(&again, true, &limits).expect("what was written can be read")).expect("nothing is over");
    assert_eq!(digest(&value), digest(&again));
});

fn kept(loaded: Loaded) -> Option<Value> {
    match loaded {
        Loaded::String(bytes) => Some(Value::String(LongString::new(&bytes))),
        Loaded::Collection(value) => Some(value),
        Loaded::Over | Loaded::Empty => None,
    }
}

fn digest(value: &Value) -> Digest {
    let mut digest = Digest::default();
    digest.mix_value(ValueRef::Boxed(value), false);
    digest
}
