//! Snapshots while commands of all kinds change what they are of.

use crate::support::Local;
use radish::client::Session;
use radish::persistence::pieces::Pieces;
use radish::store::snapshot::{Image, Snapshot, Step};
use radish::value::ValueRef;
use radish::value::digest::Digest;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::ops::ControlFlow;

/// Databases whose keys are changed.
const DATABASES: usize = 2;

/// Commands that change keys. K is a key, often one that an earlier K was; F a field, member or small number; V a value; T a time
/// to live, in milliseconds, that may be over soon.
const COMMANDS: &[&str] = &[
    "SET K V",
    "SET K V PX T",
    "SET K V KEEPTTL",
    "SETRANGE K 300 V",
    "SETBIT K 3001 1",
    "APPEND K V",
    "INCR K",
    "INCRBYFLOAT K 1.5",
    "GETDEL K",
    "GETSET K V",
    "GETEX K PX T",
    "MSET K V K V K V",
    "BITOP OR K K K",
    "BITFIELD K SET u8 40 F",
    "PFADD K V F",
    "PFMERGE K K",
    "LPUSH K V V V",
    "RPUSH K V F",
    "LPOP K",
    "RPOP K 3",
    "LSET K F V",
    "LINSERT K BEFORE F V",
    "LREM K 1 F",
    "LTRIM K 1 -2",
    "LMOVE K K LEFT RIGHT",
    "LMPOP 2 K K LEFT COUNT 2",
    "SADD K F F V",
    "SREM K F F",
    "SPOP K",
    "SPOP K 5",
    "SMOVE K K F",
    "SUNIONSTORE K K K",
    "SINTERSTORE K K K",
    "SDIFFSTORE K K K",
    "ZADD K F F F V",
    "ZADD K XX INCR 1 F",
    "ZINCRBY K 2.5 F",
    "ZREM K F F",
    "ZPOPMIN K 3",
    "ZREMRANGEBYRANK K 0 2",
    "ZREMRANGEBYSCORE K 10 20",
    "ZUNIONSTORE K 2 K K",
    "ZRANGESTORE K K 0 50",
    "ZMPOP 2 K K MAX",
    "GEOADD K 13.361389 38.115556 V",
    "HSET K F V F V",
    "HSETNX K F V",
    "HDEL K F F",
    "HINCRBY K F 5",
    "HINCRBYFLOAT K F 0.5",
    "HEXPIRE K 1000 FIELDS 1 F",
    "HPEXPIRE K T FIELDS 2 F V",
    "HPERSIST K FIELDS 1 F",
    "HGETDEL K FIELDS 1 F",
    "HSETEX K PX T FIELDS 1 F V",
    "XADD K * F V",
    "XADD K MAXLEN 50 * F V",
    "XTRIM K MAXLEN 20",
    "XGROUP CREATE K F 0 MKSTREAM",
    "XREADGROUP GROUP F F COUNT 3 STREAMS K >",
    "XSETID K 99999999999999-1",
    "EXPIRE K 1000",
    "PEXPIRE K T",
    "PERSIST K",
    "DEL K",
    "UNLINK K K",
    "RENAME K K",
    "RENAMENX K K",
    "COPY K K REPLACE",
    "COPY K K DB 1 REPLACE",
    "MOVE K 1",
    "SORT K BY nosort ALPHA STORE K",
    "GET K",
    "TYPE K",
    "HGETALL K",
    "SELECT 0",
    "SELECT 1",
    "SWAPDB 0 1",
    "FLUSHDB",
];

/// Commands that are seldom chosen.
const SELDOM: &[&str] = &["FLUSHDB", "SWAPDB 0 1"];

/// One command, chosen at random.
fn command(rng: &mut SmallRng) -> String {
    let mut command = *COMMANDS.choose(rng).expect("there are some");
    while SELDOM.contains(&command) && rng.random_bool(0.97) {
        command = COMMANDS.choose(rng).expect("there are some");
    }
    let mut word = |word: &str| match word {
        "K" if rng.random_bool(0.2) => format!("large:{}", rng.random_range(0..6)),
        "K" => format!("key:{}", rng.random_range(0..400)),
        "F" => rng.random_range(0..60).to_string(),
        "V" => format!("v{}", "x".repeat(*[1, 10, 100, 1500].choose(rng).expect("there are some"))),
        "T" => rng.random_range(1..200).to_string(),
        _ => word.to_owned(),
    };
    command.split(' ').map(&mut word).collect::<Vec<_>>().join(" ")
}

/// Makes values of all types that are handed over apart.
fn make_large(local: &Local, client: &mut Session) {
    local.run(client, "SELECT 0");
    for number in 0..6 {
        local.run(client, &format!("DEL large:{number}"));
    }
    for part in 0..30 {
        let numbers = (0..100).map(|number| (part * 100 + number).to_string());
        let items: Vec<String> = numbers.map(|number| format!("{number} {}", "y".repeat(20))).collect();
        let items = items.join(" ");
        for command in ["RPUSH large:0", "SADD large:1", "HSET large:3"] {
            local.run(client, &format!("{command} {items}"));
        }
        let members = (0..100).map(|number| format!("{number} member:{part}:{number}")).collect::<Vec<_>>();
        local.run(client, &format!("ZADD large:2 {}", members.join(" ")));
        for number in 0..40 {
            local.run(client, &format!("XADD large:4 {}-{} f {}", part + 1, number, "z".repeat(20)));
        }
        local.run(client, &format!("SETRANGE large:5 {} {}", part * 20_000, "s".repeat(100)));
    }
}

/// A line for each record: where it is, when it expires, and what it holds.
fn line(database: usize, key: &[u8], deadline_ms: Option<i64>, value: ValueRef<'_>) -> String {
    let mut digest = Digest::default();
    digest.mix_value(value, deadline_ms.is_some());
    let key = String::from_utf8_lossy(key);
    format!("{database} {key} {:?} {deadline_ms:?} {digest}\n", value.type_of())
}

struct Lines;

impl Image for Lines {
    fn record(
        &self,
        out: &mut Pieces<'_>,
        database: usize,
        key: &[u8],
        deadline_ms: Option<i64>,
        _: u32,
        value: ValueRef<'_>,
    ) {
        out.extend_from_slice(line(database, key, deadline_ms, value).as_bytes());
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn commands_that_follow_leave_no_trace_in_a_snapshot() {
    let local = Local::new();
    let mut client = local.connect();
    let mut rng = SmallRng::seed_from_u64(5);
    for round in 0..30 {
        (0..1000).for_each(|_| drop(local.run(&mut client, &command(&mut rng))));
        make_large(&local, &mut client);
        let keyspace = &local.0.keyspace;
        let mut locked = keyspace.lock(keyspace.all_shards());
        let mut snapshot = Snapshot::begin(&mut locked, Box::new(Lines)).expect("none is under way");
        let mut expected = String::new();
        for (_, shard) in locked.iter() {
            for (number, tree) in shard.databases.iter().enumerate().take(DATABASES) {
                let flow = tree.for_each(b"", |entry| {
                    let record = &entry.record;
                    expected.push_str(&line(number, entry.key, record.deadline, record.payload.into()));
                    ControlFlow::Continue(())
                });
                assert!(flow.is_continue());
            }
        }
        drop(locked);
        let large = expected.lines().filter(|line| line.starts_with("0 large:")).count();
        assert!(large == 6 && expected.lines().count() > 100, "there is little of which to take a snapshot");
        let (mut seen, commands_max) = (Vec::new(), rng.random_range(1..200));
        loop {
            for _ in 0..rng.random_range(0..commands_max) {
                local.run(&mut client, &command(&mut rng));
            }
            match snapshot.next(&mut seen, &mut |_, _| panic!("nothing is much")) {
                Step::Records { .. } => {}
                Step::Done => break,
                Step::Aborted => panic!("nobody has aborted it"),
            }
        }
        let seen = String::from_utf8(seen).expect("lines");
        assert_eq!(sorted(&seen), sorted(&expected), "in round {round}");
    }
}
