//! Files: what Redis wrote, what is written here, and what is not whole.

use super::super::value::{Limits, Loaded};
use super::super::{FieldDeadlines, Style};
use super::read::{FileReader, Part, ReadError, Record};
use super::write::{self, About, Output};
use super::{Usage, opcode};
use crate::persistence::Place;
use crate::persistence::pieces::Pieces;
use crate::value::hash::HashRules;
use crate::value::list::ListLimits;
use crate::value::set::SetLimits;
use crate::value::stream::StreamLimits;
use crate::value::string::NewString;
use crate::value::zset::ZsetLimits;
use crate::value::{Value, ValueRef};
use proptest::prelude::*;
use std::io::{self, Read};

fn limits() -> Limits {
    Limits {
        list: ListLimits::default(),
        set: SetLimits::default(),
        sorted_set: ZsetLimits::default(),
        stream: StreamLimits::default(),
        hash: HashRules { packed_fields_max: 8, packed_bytes_max: 20, now_ms: 0 },
    }
}

/// Gives a few bytes at a time, as sockets do.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = out.len().min(self.1).min(self.0.len());
        out[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        Ok(len)
    }
}

/// All parts of a file but its end, printed.
fn parts(file: &[u8], step: usize) -> Result<Vec<String>, ReadError> {
    let mut reader = FileReader::new(Trickle(file, step), limits(), true, false)?;
    let mut parts = Vec::new();
    loop {
        match reader.read_next()? {
            Part::End { lacks_checksum } => {
                assert!(!lacks_checksum);
                return Ok(parts);
            }
            Part::Record(Record { key, deadline_ms, usage, value }) => {
                let value = match value {
                    Loaded::String(bytes) => bytes.escape_ascii().to_string(),
                    Loaded::Collection(value) => ValueRef::Boxed(&value).type_of().name().to_owned(),
                    other => format!("{other:?}"),
                };
                parts.push(format!("{} {deadline_ms:?} {usage:?} {value}", key.escape_ascii()));
            }
            Part::Aux(name, value) => parts.push(format!("{}={}", name.escape_ascii(), value.escape_ascii())),
            Part::Database(number) => parts.push(format!("database {number}")),
            Part::Library(code) => parts.push(format!("function {}", code.escape_ascii())),
        }
    }
}

/// What Redis 7.0 saved with `maxmemory-policy allkeys-lru`: strings, a deadline, two databases, a library of functions.
const FROM_REDIS: &[u8] = b"REDIS0010\xfa\x09redis-ver\x067.0.15\xfa\x0aredis-bits\xc0@\xfa\x05ctime\xc2\xf7\x8f\x0ck\xfa\
\x08used-mem\xc20:\x10\x00\xfa\x08aof-base\xc0\x00\xf5@F#!lua name=mylib\nredis.register_function('f', function() return 1 \
end)\xfe\x00\xfb\x02\x01\xf8\x00\x00\x06number\xc190\xfc\x00\xd8\xc3,\xbb\x03\x00\x00\xf8\x00\x00\x04text\x0bHello World\xfe\
\x02\xfb\x02\x00\xf8\x00\x10\x04hash\x0d\x0d\x00\x00\x00\x02\x00\x81f\x02\x81v\x02\xff\xf8\x00\x12\x04list\x01\x02\x16\x16\
\x00\x00\x00\x03\x00\x81a\x02\x01\x01\xf4\x00\xf2\x05*\x01\x00\x00\x00\x09\xff\xff\xcb\x87\xea\x96\x19\x0d;\x8f";

#[test]
fn reads_what_redis_wrote() {
    let expected = [
        "redis-ver=7.0.15",
        "redis-bits=64",
        "ctime=1795985399",
        "used-mem=1063472",
        "aof-base=0",
        "function #!lua name=mylib\\nredis.register_function(\\'f\\', function() return 1 end)",
        "database 0",
        "number None Some(Idle(0)) 12345",
        "text Some(4102444800000) Some(Idle(0)) Hello World",
        "database 2",
        "hash None Some(Idle(0)) hash",
        "list None Some(Idle(0)) list",
    ];
    for step in [1, 7, usize::MAX] {
        assert_eq!(parts(FROM_REDIS, step).expect("a whole file"), expected);
    }
}

#[test]
fn a_file_that_is_not_whole_is_refused_wherever_it_ends() {
    for end in 0..FROM_REDIS.len() {
        assert!(matches!(parts(&FROM_REDIS[..end], usize::MAX), Err(ReadError::Short)), "{end} bytes");
    }
    for at in 9..FROM_REDIS.len() {
        let mut broken = FROM_REDIS.to_vec();
        broken[at] ^= 0x10;
        assert!(parts(&broken, usize::MAX).is_err(), "byte {at}");
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let file = |rest: &[u8]| parts(&[b"REDIS0010", rest].concat(), 5).expect_err("no file").to_string();
    // The number of a module has nine letters of six bits, and ten bits of a version.
    let id = (0..9).fold(0u64, |id, letter| id << 6 | letter) << 10 | 3;
    let id = [&[0x81], id.to_be_bytes().as_slice()].concat();
    let cases: [(Vec<u8>, &str); 5] = [
        (
            [&[opcode::MODULE_AUX], &*id].concat(),
            "The RDB file contains AUX module data I can't load: no matching module 'ABCDEFGHI'",
        ),
        (
            [b"\x07\x03key", &*id].concat(),
            "The RDB file contains module data I can't load: no matching module type 'ABCDEFGHI'",
        ),
        (vec![opcode::FUNCTION], "Pre-release function format not supported."),
        (b"\x63\x03key\x00".to_vec(), "Unknown RDB encoding type."),
        (b"\x0b\x03key\x01\x00".to_vec(), "Intset integrity check failed."),
    ];
    for (rest, error) in cases {
        assert_eq!(file(&rest), error);
    }
    let error = |file: &[u8]| parts(file, 5).expect_err("no file").to_string();
    assert_eq!(error(b"RADISH010\xff"), "Wrong signature trying to load DB from file");
    let versions = [
        (b"REDIS0013\xff", 13),
        (b"REDIS0000\xff", 0),
        (b"REDIS0080\xff", 80),
        (b"VALKEY081\xff", 81),
        (b"VALKEY010\xff", 10),
    ];
    for (file, version) in versions {
        assert_eq!(error(file), format!("Can't handle RDB format version {version}"));
    }
}

#[test]
fn old_files_have_no_checksum() {
    assert_eq!(parts(b"REDIS0002\xfd\x01\x00\x00\x00\x00\x01a\x01b\xff", 3).unwrap(), ["a Some(1000) None b"]);
}

#[test]
fn files_of_valkey_begin_with_its_own_name() {
    let file = b"VALKEY080\xff\0\0\0\0\0\0\0\0";
    let mut reader = FileReader::new(file.as_slice(), limits(), true, false).unwrap();
    assert!(matches!(reader.read_next(), Ok(Part::End { lacks_checksum: true })));
}

#[test]
fn a_file_written_without_checksum_says_so() {
    let mut output = Output::new(Vec::new(), false);
    output.write(b"REDIS0010").unwrap();
    let file = output.finish().unwrap();
    let mut reader = FileReader::new(file.as_slice(), limits(), true, false).unwrap();
    assert!(matches!(reader.read_next(), Ok(Part::End { lacks_checksum: true })));
}

#[test]
fn what_follows_a_file_in_its_stream_is_left_there() {
    let stream = [FROM_REDIS, b"*1\r\n$4\r\nPING\r\n"].concat();
    let mut reader = FileReader::new(Trickle(&stream, 50), limits(), true, false).unwrap();
    while !matches!(reader.read_next(), Ok(Part::End { .. })) {}
    assert_eq!(reader.offset(), FROM_REDIS.len() as u64);
    let mut rest = String::new();
    reader.into_rest().read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "*1\r\n$4\r\nPING\r\n");
}

#[test]
fn a_long_string_takes_no_memory_before_it_arrives() {
    // A key of 2^40 bytes, of which there are three.
    let file = b"REDIS0010\x00\x81\x00\x00\x01\x00\x00\x00\x00\x00abc";
    assert!(matches!(parts(file, usize::MAX), Err(ReadError::Short)));
}

type Written = (Vec<u8>, Option<i64>, Option<Usage>, Vec<u8>);

fn written() -> impl Strategy<Value = Written> {
    let usage = prop_oneof![
        Just(None),
        any::<u64>().prop_map(|seconds| Some(Usage::Idle(seconds))),
        any::<u8>().prop_map(|counter| Some(Usage::Frequency(counter))),
    ];
    let text = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..100),
        any::<i64>().prop_map(|integer| integer.to_string().into_bytes()),
        (any::<u8>(), 0usize..200_000).prop_map(|(byte, len)| vec![byte; len]),
    ];
    (proptest::collection::vec(any::<u8>(), 0..30), any::<Option<i64>>(), usage, text)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read(
        records in proptest::collection::vec(written(), 0..20),
        functions in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..3),
        compressed: bool,
        field_deadlines in proptest::option::of(prop_oneof![Just(FieldDeadlines::Redis), Just(FieldDeadlines::Valkey)]),
        step in prop_oneof![1usize..20, Just(usize::MAX)],
    ) {
        let id = "0123456789abcdef0123456789abcdef01234567";
        let about = About {
            field_deadlines,
            created_s: 77,
            used_memory: 1 << 40,
            is_aof_base: true,
            replication: Some(&Place { database: 3, id: id.into(), offset: 123_456 }),
            libraries: &functions.iter().map(Vec::as_slice).collect::<Vec<_>>(),
        };
        let mut bytes = Vec::new();
        write::begin(&about, &mut bytes);
        let head = match field_deadlines {
            None => b"REDIS0010",
            Some(FieldDeadlines::Redis) => b"REDIS0012",
            Some(FieldDeadlines::Valkey) => b"VALKEY080",
        };
        prop_assert_eq!(&bytes[..9], head);
        let style = Style { compressed, field_deadlines: FieldDeadlines::Redis };
        write::select(5, &mut bytes);
        write::sizes(records.len() as u64, 1, &mut bytes);
        for (key, deadline_ms, usage, text) in &records {
            match NewString::classify(text, 0) {
                NewString::Inline(kind, payload) => {
                    write::record(&mut Pieces::whole(&mut bytes), key, *deadline_ms, *usage, ValueRef::Inline(kind, &payload), style);
                }
                NewString::Boxed(long) => {
                    let value = Value::String(long);
                    write::record(&mut Pieces::whole(&mut bytes), key, *deadline_ms, *usage, ValueRef::Boxed(&value), style);
                }
            }
        }
        let mut output = Output::new(Vec::new(), true);
        bytes.chunks(1000).try_for_each(|chunk| output.write(chunk)).unwrap();
        let file = output.finish().unwrap();
        let mut expected = vec![
            format!("redis-ver={}", crate::REDIS_VERSION),
            "redis-bits=64".to_owned(),
            "ctime=77".to_owned(),
            "used-mem=1099511627776".to_owned(),
            "repl-stream-db=3".to_owned(),
            format!("repl-id={id}"),
            "repl-offset=123456".to_owned(),
            "aof-base=1".to_owned(),
        ];
        expected.extend(functions.iter().map(|code| format!("function {}", code.escape_ascii())));
        expected.push("database 5".to_owned());
        expected.extend(records.iter().map(|(key, deadline_ms, usage, text)| {
            format!("{} {deadline_ms:?} {usage:?} {}", key.escape_ascii(), text.escape_ascii())
        }));
        prop_assert_eq!(parts(&file, step).unwrap(), expected);
    }

    #[test]
    fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        // Whatever comes of it, it ends.
        let _ = parts(&[b"REDIS0011", bytes.as_slice()].concat(), 10);
    }
}
