//! Payloads: what other servers wrote, what is written here, and what nobody should have written.

use super::payload::{self, Refusal};
use super::value::{Limits, Loaded};
use super::{FieldDeadlines, Style, complaint, kind, value, write};
use crate::persistence::pieces::Pieces;
use crate::value::hash::{Hash, HashRules, Lifetime};
use crate::value::list::{End, List, ListLimits};
use crate::value::packed::Element;
use crate::value::set::{Set, SetLimits};
use crate::value::stream::{Group, Pending, Stream, StreamId, StreamLimits};
use crate::value::zset::{SortedSet, ZsetLimits};
use crate::value::{InlineKind, Value, ValueRef};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const HASH_RULES: HashRules = HashRules { packed_fields_max: 8, packed_bytes_max: 20, now_ms: 0 };

fn limits() -> Limits {
    Limits {
        list: ListLimits::default(),
        set: SetLimits::default(),
        sorted_set: ZsetLimits::default(),
        stream: StreamLimits::default(),
        hash: HASH_RULES,
    }
}

/// The style that Redis reads.
fn style(compressed: bool) -> Style {
    Style { compressed, field_deadlines: FieldDeadlines::Redis }
}

/// A value as plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Plain {
    String(Vec<u8>),
    List(Vec<Vec<u8>>),
    /// Members with the bits of their scores, in order.
    SortedSet(Vec<(Vec<u8>, u64)>),
    Set(BTreeSet<Vec<u8>>),
    /// Fields with their values and deadlines.
    Hash(BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>),
}

fn plain(loaded: Loaded) -> Plain {
    match loaded {
        Loaded::String(bytes) => Plain::String(bytes),
        Loaded::Collection(Value::List(list)) => {
            Plain::List(list.view().iter(0, list.len()).map(|element| element.to_vec()).collect())
        }
        Loaded::Collection(Value::SortedSet(set)) => {
            let mut members = Vec::new();
            set.view().for_each(|member, score| members.push((member.to_vec(), score.to_bits())));
            Plain::SortedSet(members)
        }
        Loaded::Collection(Value::Set(set)) => {
            let mut members = BTreeSet::new();
            set.view().for_each(|member| assert!(members.insert(member.to_vec())));
            Plain::Set(members)
        }
        Loaded::Collection(Value::Hash(hash)) => {
            let mut fields = BTreeMap::new();
            hash.view().for_each(|field| {
                fields.insert(field.name.to_vec(), (field.value.to_vec(), field.deadline));
            });
            Plain::Hash(fields)
        }
        Loaded::Collection(Value::Stream(_)) => panic!("streams are compared as they are written"),
        Loaded::Over => Plain::Hash(BTreeMap::new()),
        Loaded::Empty => panic!("payloads have elements"),
        Loaded::Collection(Value::String(_)) => panic!("a string is no collection"),
    }
}

fn read(payload: &[u8]) -> Result<Plain, Refusal> {
    payload::read(payload, true, &limits()).map(plain)
}

/// A value's bytes with kind, version and no regard for the checksum.
fn read_body(kind: u8, body: &[u8]) -> Result<Plain, Refusal> {
    let payload = [&[kind], body, &[10, 0], &[0; 8]].concat();
    payload::read(&payload, false, &limits()).map(plain)
}

/// What becomes of bytes that make no value of a kind.
fn refused(kind: u8) -> Result<Plain, Refusal> {
    Err(Refusal::BadFormat(complaint(kind)))
}

fn list(elements: &[&[u8]]) -> Plain {
    Plain::List(elements.iter().map(|element| element.to_vec()).collect())
}

fn string(value: Vec<u8>) -> Plain {
    Plain::String(value)
}

/// A payload as the servers print it in Rust's own escapes.
fn from_redis(text: &[u8], expected: &Plain) {
    assert_eq!(read(text).as_ref(), Ok(expected));
}

#[test]
fn reads_what_redis_and_valkey_write() {
    // From Redis 7.0, 8.2 and Valkey 9.1: `SET a b`.
    from_redis(b"\x00\x01b\x0a\x00\x16$\xb8\x91\xa6\xe3\x12\x83", &string(b"b".to_vec()));
    from_redis(b"\x00\x01b\x0c\x00\xddR\x8cQ\x5c\xc9\x8c\xca", &string(b"b".to_vec()));
    from_redis(b"\x00\x01bP\x00\xd9\x0eq\x008\xb1uw", &string(b"b".to_vec()));
    from_redis(b"\x00\xc1\xd0\x8a\x0a\x00\xd5|\xb0\x19\xa3\xf8]\x10", &string(b"-30000".to_vec()));
    from_redis(b"\x00\xc3\x09@d\x01aa\xe0W\x00\x01aa\x0a\x00\xe8\xa3\xb5\x07\xb0m\xf2q", &string(vec![b'a'; 100]));
    // `RPUSH l a 1 -5 70000 5000000000`.
    from_redis(
        b"\x12\x01\x02\x1e\x1e\x00\x00\x00\x05\x00\x81a\x02\x01\x01\xdf\xfb\x02\xf2p\x11\x01\x04\xf4\x00\xf2\x05*\x01\x00\x00\x00\x09\xff\x0a\x00\x9e\x13\xb5\x84\xcd\xae\xf6\xbd",
        &list(&[b"a", b"1", b"-5", b"70000", b"5000000000"]),
    );
    from_redis(
        b"\x12\x01\x02\x1e\x1e\x00\x00\x00\x05\x00\x81a\x02\x01\x01\xdf\xfb\x02\xf2p\x11\x01\x04\xf4\x00\xf2\x05*\x01\x00\x00\x00\x09\xffP\x00Q9|\x15S\xfc\x91I",
        &list(&[b"a", b"1", b"-5", b"70000", b"5000000000"]),
    );
}

#[test]
fn a_value_has_the_bytes_of_redis_7() {
    let list: List = ["a", "1", "5000000000"].into_iter().collect();
    let payload = payload::write(ValueRef::Boxed(&Value::List(list)), style(true));
    assert_eq!(payload, b"\x12\x01\x02\x16\x16\x00\x00\x00\x03\x00\x81a\x02\x01\x01\xf4\x00\xf2\x05*\x01\x00\x00\x00\x09\xff\x0a\x00I\x06\xbb\xae\xd3\xb2\xa3.");
}

#[test]
fn payloads_that_are_not_whole_are_refused() {
    let whole = payload::write(ValueRef::Inline(InlineKind::Raw, b"text"), style(true));
    assert_eq!(read(&whole), Ok(string(b"text".to_vec())));
    for len in 0..whole.len() {
        assert_eq!(read(&whole[..len]), Err(Refusal::VersionOrChecksum), "{len} bytes");
    }
    for at in 0..whole.len() {
        let mut broken = whole.clone();
        broken[at] ^= 1;
        assert_eq!(read(&broken), Err(Refusal::VersionOrChecksum), "byte {at}");
    }
    for (version, is_known) in
        [(0_u16, false), (1, true), (12, true), (13, false), (79, false), (80, true), (81, false)]
    {
        let payload = [&[kind::STRING, 1, b'x'], version.to_le_bytes().as_slice(), &[0; 8]].concat();
        assert_eq!(payload::read(&payload, false, &limits()).is_ok(), is_known, "version {version}");
    }
}

#[test]
fn old_encodings_of_lists_are_read() {
    let expected = list(&[b"ab", b"3", b"-1", b"1000", b"-70000", b"100000", b"-5000000000"]);
    let entries: [&[u8]; 7] = [
        &[0, 2, b'a', b'b'],
        &[4, 0xF4],
        &[2, 0xFE, 0xFF],
        &[3, 0xC0, 0xE8, 3],
        &[4, 0xF0, 0x90, 0xEE, 0xFE],
        &[5, 0xD0, 0xA0, 0x86, 1, 0],
        &[6, 0xE0, 0, 0x0E, 0xFA, 0xD5, 0xFE, 0xFF, 0xFF, 0xFF],
    ];
    let body = entries.concat();
    let ziplist = |total: usize, tail: usize, count: u16| {
        let head = [(total as u32).to_le_bytes(), (tail as u32).to_le_bytes()].concat();
        [&head, count.to_le_bytes().as_slice(), &body, &[0xFF]].concat()
    };
    let (total, tail) = (11 + body.len(), 10 + body.len() - entries[6].len());
    let encode = |ziplist: &[u8]| {
        let mut out = Vec::new();
        write::string(ziplist, false, &mut out);
        out
    };
    let good = encode(&ziplist(total, tail, 7));
    assert_eq!(read_body(kind::LIST_ZIPLIST, &good), Ok(expected.clone()));
    assert_eq!(read_body(kind::LIST_QUICKLIST, &[&[1], good.as_slice()].concat()), Ok(expected));
    for (total, tail, count) in [(total + 1, tail, 7), (total, tail + 1, 7), (total, tail, 6)] {
        let bad = encode(&ziplist(total, tail, count));
        assert_eq!(read_body(kind::LIST_ZIPLIST, &bad), refused(kind::LIST_ZIPLIST));
    }
    assert_eq!(read_body(kind::LIST, &[2, 1, b'a', 0xC0, 5]), Ok(list(&[b"a", b"5"])));
    for empty in [&[0][..], &[1, 7, 7, 0, 0, 0, 0, 0, 0xFF]] {
        assert_eq!(read_body(kind::LIST_QUICKLIST_2, empty), refused(kind::LIST_QUICKLIST_2));
    }
}

#[test]
fn old_encodings_of_sorted_sets_are_read() {
    let scores = |scores: &[(&str, f64)]| {
        Plain::SortedSet(scores.iter().map(|(member, score)| (member.as_bytes().to_vec(), score.to_bits())).collect())
    };
    let expected = scores(&[("b", f64::NEG_INFINITY), ("a", 1.5), ("c", f64::INFINITY)]);
    assert_eq!(read_body(kind::ZSET, b"\x03\x01a\x031.5\x01b\xff\x01c\xfe"), Ok(expected));
    for bad in [&b"\x01\x01a\xfd"[..], b"\x02\x01a\x011\x01a\x011", b"\x00", b"\x01\x01a\x01x"] {
        assert_eq!(read_body(kind::ZSET, bad), refused(kind::ZSET));
    }
    let ziplist = b"\x13\x13\0\0\0\x0f\0\0\0\x03\0\0\x01a\x03\xf3\x02\x01b\xff";
    assert_eq!(read_body(kind::ZSET_ZIPLIST, ziplist), refused(kind::ZSET_ZIPLIST), "a member without a score");
    let ziplist = b"\x15\x15\0\0\0\x12\0\0\0\x04\0\0\x01a\x03\xf3\x02\x01b\x03\xf9\xff";
    assert_eq!(read_body(kind::ZSET_ZIPLIST, ziplist), Ok(scores(&[("a", 2.0), ("b", 8.0)])));
}

#[test]
fn a_negative_zero_is_read_where_redis_keeps_it() {
    let long = [b'm'; 65];
    let length = |len: usize| if len < 64 { vec![len as u8] } else { vec![0x40, len as u8] };
    let of_two = |second: &[u8]| {
        let zero = [&b"\x02\x01a"[..], &(-0.0f64).to_le_bytes()].concat();
        [&zero, &length(second.len()), second, &1f64.to_le_bytes()].concat()
    };
    let expected = |zero: f64, second: &[u8]| {
        let members = [(&b"a"[..], zero), (second, 1.0)];
        Plain::SortedSet(members.iter().map(|(member, score)| (member.to_vec(), score.to_bits())).collect())
    };
    assert_eq!(read_body(kind::ZSET_2, &of_two(&long)), Ok(expected(-0.0, &long)), "as a skip list");
    assert_eq!(read_body(kind::ZSET_2, &of_two(b"b")), Ok(expected(0.0, b"b")), "in a listpack");
}

#[test]
fn all_encodings_of_hashes_are_read() {
    let fields = |fields: &[(&str, &str, Option<i64>)]| {
        let field = |(name, value, deadline): &(&str, &str, _)| {
            (name.as_bytes().to_vec(), (value.as_bytes().to_vec(), *deadline))
        };
        Plain::Hash(fields.iter().map(field).collect())
    };
    let zipmap = b"\x0f\x02\x01a\x02\x00xy\x01b\x01\x02z--\xff".as_slice();
    assert_eq!(read_body(kind::HASH_ZIPMAP, zipmap), Ok(fields(&[("a", "xy", None), ("b", "z", None)])));
    assert_eq!(read_body(kind::HASH_ZIPMAP, b"\x04\x01\x01a\xff"), refused(kind::HASH_ZIPMAP), "no value");
    // `HSET h f v g w`, `HPEXPIREAT h 2000000000000 FIELDS 1 f`, a millisecond later for g by five, `HSET h x y`: in Redis 8.2
    // packed and not, and in Valkey 9.1.
    let first = 2_000_000_000_000;
    let expected = fields(&[("f", "v", Some(first)), ("g", "w", Some(first + 5)), ("x", "y", None)]);
    from_redis(
        b"\x19\0 J\xa9\xd1\x01\0\0//\0\0\0\x09\0\x81f\x02\x81v\x02\xf4\0 J\xa9\xd1\x01\0\0\x09\x81g\x02\x81w\x02\xf4\x05\
          \x20J\xa9\xd1\x01\0\0\x09\x81x\x02\x81y\x02\0\x01\xff\x0c\0\x09D\xabD\x1bOV\xf9",
        &expected,
    );
    from_redis(
        b"\x16\x03\x01f\x01v\0 J\xa9\xd1\x01\0\0\x01g\x01w\x05 J\xa9\xd1\x01\0\0\x01x\x01y\xff\xff\xff\xff\xff\xff\xff\xffP\0\
          O\xd9\x0fw\x94\x98C\xa8",
        &expected,
    );
    let metadata = b"\0 J\xa9\xd1\x01\0\0\x03\0\x01x\x01y\x06\x01g\x01w\x01\x01f\x01v";
    assert_eq!(read_body(kind::HASH_METADATA, metadata), Ok(expected));
    assert_eq!(read_body(kind::HASH_2, b"\x01\x01f\x01v\0 J\xa9\xd1\x01\0\0"), refused(kind::HASH_2), "not Valkey's");
    let over = b"\xfe\xff\xff\xff\xff\xff\xff\xff\x01\x01\x01f\x01v";
    assert_eq!(read_body(kind::HASH_METADATA, over), refused(kind::HASH_METADATA), "a time before 1970");
}

#[test]
fn what_is_wrong_with_a_group_is_told() {
    let (time, id) = ([0; 8], [[0; 15].as_slice(), &[1]].concat());
    // A stream of nothing with a group of which nothing is read.
    let group = [&[0, 0, 0, 0, 1, 1][..], b"g", &[0, 0]].concat();
    let consumer = |pending: u8| [&[1][..], b"c", &time, &[pending]].concat();
    let pending = [&id[..], &time, &[1]].concat();
    for (rest, complaint) in [
        (vec![&[0, 2][..], &consumer(0), &consumer(0)], "Duplicate stream consumer detected."),
        (
            vec![&[1][..], &pending, &[1], &consumer(2), &id, &id],
            "Stream consumer PEL entry already has a consumer assigned",
        ),
        (vec![&[0, 1][..], &consumer(1), &id], "Consumer entry not found in group global PEL"),
        (vec![&[2][..], &pending, &pending], "Duplicated global PEL entry loading stream consumer group"),
        (vec![&[1][..], &pending, &[0]], "Stream CG PEL entry without consumer"),
    ] {
        let body = [&group[..], &rest.concat()].concat();
        assert_eq!(read_body(kind::STREAM, &body), Err(Refusal::BadFormat(complaint)));
    }
    assert_eq!(
        read_body(kind::STREAM, &[0, 1, 0, 0, 0]),
        Err(Refusal::BadFormat("Stream length inconsistent with rax entries"))
    );
}

#[test]
fn lengths_that_promise_too_much_take_no_memory() {
    for body in [
        &[0x81, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF][..],
        &[0x80, 0xFF, 0xFF, 0xFF, 0xFF, b'x'],
        &[0xC3, 2, 0x80, 0xFF, 0xFF, 0xFF, 0xFF, 0, b'x'],
    ] {
        assert_eq!(read_body(kind::STRING, body), refused(kind::STRING));
        assert_eq!(read_body(kind::LIST, body), refused(kind::LIST));
    }
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<(i64, u32)>().prop_map(|(value, shift)| (value >> (shift % 64)).to_string().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..100),
        (any::<u8>(), 0usize..20_000).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn written(value: &Plain, style: Style) -> Vec<u8> {
    match value {
        Plain::String(bytes) if bytes.len() <= 1000 => payload::write(ValueRef::Inline(InlineKind::Raw, bytes), style),
        Plain::String(bytes) => {
            payload::write(ValueRef::Boxed(&Value::String(crate::value::string::LongString::new(bytes))), style)
        }
        Plain::List(elements) => {
            let mut list = List::new();
            elements.iter().for_each(|element| list.push(End::Back, element, &limits().list));
            payload::write(ValueRef::Boxed(&Value::List(list)), style)
        }
        Plain::SortedSet(members) => {
            let mut set = SortedSet::default();
            for (member, score) in members {
                set.update(member, &limits().sorted_set, |_| Some(f64::from_bits(*score)));
            }
            payload::write(ValueRef::Boxed(&Value::SortedSet(set)), style)
        }
        Plain::Set(members) => {
            let mut set = Set::default();
            for member in members {
                set.insert(Element::new(member), &limits().set);
            }
            payload::write(ValueRef::Boxed(&Value::Set(set)), style)
        }
        Plain::Hash(fields) => {
            let mut hash = Hash::default();
            for (name, (value, deadline)) in fields {
                hash.set(name, value, deadline.map_or(Lifetime::Forever, Lifetime::Until), &HASH_RULES);
            }
            payload::write(ValueRef::Boxed(&Value::Hash(hash)), style)
        }
    }
}

fn score() -> impl Strategy<Value = f64> {
    // Two zeros would have to be told apart.
    prop_oneof![
        (-1000_i32..1000).prop_map(f64::from),
        any::<f64>().prop_filter("a score", |score| !score.is_nan() && *score != 0.0)
    ]
}

fn values() -> impl Strategy<Value = Plain> {
    prop_oneof![
        element().prop_map(Plain::String),
        proptest::collection::vec(element(), 1..50).prop_map(Plain::List),
        proptest::collection::btree_set(element(), 1..300).prop_map(Plain::Set),
        proptest::collection::btree_set((-1000..100_000_i64).prop_map(|value| value.to_string().into_bytes()), 1..600)
            .prop_map(Plain::Set),
        proptest::collection::btree_map(element(), (element(), Just(None)), 1..20).prop_map(Plain::Hash),
        proptest::collection::btree_map(element(), (element(), proptest::option::of(0..i64::MAX)), 1..20)
            .prop_map(Plain::Hash),
        proptest::collection::btree_map(element(), score(), 1..300).prop_map(|scores| {
            let mut members: Vec<_> = scores.into_iter().collect();
            members.sort_by(|one, other| one.1.total_cmp(&other.1).then_with(|| one.0.cmp(&other.0)));
            Plain::SortedSet(members.into_iter().map(|(member, score)| (member, score.to_bits())).collect())
        }),
    ]
}

/// A stream whose entries have one field of these values each, with a group that has read `read` of them.
fn stream(values: &[Vec<u8>], read: usize) -> Stream {
    let mut stream = Stream::new();
    for (index, value) in values.iter().enumerate() {
        let (id, name) =
            (StreamId::new(1000 + index as u64 / 3, 1 + index as u64), if index % 7 == 0 { "b" } else { "a" });
        let fields = [(name.as_bytes(), value.as_slice())];
        stream.append(id, fields.into_iter(), &limits().stream).unwrap();
    }
    let ids: Vec<_> = stream.range(StreamId::MIN, StreamId::MAX).map(|entry| entry.id).take(read).collect();
    let mut group = Group::new(ids.last().copied().unwrap_or_default(), read.is_multiple_of(2).then_some(read as u64));
    let consumers = [group.add_consumer(b"one", 5), group.add_consumer(b"other", 6)];
    for (index, id) in ids.into_iter().enumerate() {
        group.assign(Pending { id, consumer: consumers[index % 2], delivered_ms: 7, deliveries: index as u64 });
    }
    assert!(stream.add_group(b"group", group));
    assert!(stream.add_group(b"new", Group::new(StreamId::MIN, None)));
    stream
}

#[test]
fn a_large_value_is_handed_on_in_pieces_that_make_the_whole() {
    const COUNT: usize = 60_000;
    let texts: Vec<Vec<u8>> = (0..COUNT).map(|number| format!("element:{number}").into_bytes()).collect();
    let (mut list, mut set, mut scored, mut hash) =
        (List::new(), Set::default(), SortedSet::default(), Hash::default());
    for text in &texts {
        list.push(End::Back, text, &limits().list);
        set.insert(Element::new(text), &limits().set);
        scored.update(text, &limits().sorted_set, |_| Some(1.0));
        hash.set(text, text, Lifetime::Until(i64::MAX / 2), &HASH_RULES);
    }
    let long = crate::value::string::LongString::new(&texts.concat().repeat(30));
    let values = [
        Value::List(list),
        Value::Set(set),
        Value::SortedSet(scored),
        Value::Hash(hash),
        Value::Stream(Box::new(stream(&texts, COUNT))),
        Value::String(long),
    ];
    for value in &values {
        let (mut whole, mut rest, mut handed, mut largest) = (Vec::new(), Vec::new(), Vec::new(), 0);
        value::write(ValueRef::Boxed(value), style(false), &mut Pieces::whole(&mut whole));
        let mut taker = |bytes: &mut Vec<u8>| {
            largest = largest.max(bytes.len());
            handed.append(bytes);
        };
        value::write(ValueRef::Boxed(value), style(false), &mut Pieces::new(&mut rest, &mut taker));
        handed.append(&mut rest);
        assert!(handed == whole);
        assert!((1..600_000).contains(&largest), "{largest} of {}", whole.len());
    }
}

proptest! {
    #[test]
    fn streams_come_back(values in proptest::collection::vec(element(), 0..300), read in 0_usize..300) {
        let written = payload::write(ValueRef::Boxed(&Value::Stream(Box::new(stream(&values, read)))), style(true));
        let Ok(Loaded::Collection(again)) = payload::read(&written, true, &limits()) else { panic!("not read") };
        prop_assert_eq!(payload::write(ValueRef::Boxed(&again), style(true)), written);
    }

    #[test]
    fn no_stream_does_harm(values in proptest::collection::vec(element(), 0..20), at in any::<prop::sample::Index>(), byte: u8) {
        let mut written = payload::write(ValueRef::Boxed(&Value::Stream(Box::new(stream(&values, 5)))), style(false));
        let at = at.index(written.len() - 10);
        written[at] = byte;
        let _ = payload::read(&written, false, &limits());
    }

    #[test]
    fn values_come_back(value in values(), compressed: bool, is_of_valkey: bool) {
        let field_deadlines = if is_of_valkey { FieldDeadlines::Valkey } else { FieldDeadlines::Redis };
        prop_assert_eq!(read(&written(&value, Style { compressed, field_deadlines })), Ok(value));
    }

    #[test]
    fn no_payload_does_harm(value in values(), at in any::<prop::sample::Index>(), byte: u8, kind in 0u8..32) {
        let mut payload = written(&value, style(false));
        let at = at.index(payload.len() - 10);
        payload[at] = byte;
        let outcome = payload::read(&payload, false, &limits());
        prop_assert_ne!(outcome.err(), Some(Refusal::VersionOrChecksum));
        payload[0] = kind;
        let _ = payload::read(&payload, false, &limits());
    }
}
