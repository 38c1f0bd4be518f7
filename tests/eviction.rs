//! `maxmemory`: what is evicted, by which policy, and how much.

use crate::support::{Connection, Server, eventually};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

fn number(client: &mut Connection, field: &str) -> usize {
    client.info(field).parse().expect("a number")
}

fn keys(client: &mut Connection) -> usize {
    client.ask("DBSIZE").parse().expect("a number")
}

/// Sends many commands at once and reads their replies.
fn ask_many(client: &mut Connection, commands: impl Iterator<Item = String>) -> Vec<String> {
    let commands: Vec<_> = commands.collect();
    let mut replies = Vec::new();
    for commands in commands.chunks(1000) {
        commands.iter().for_each(|command| client.send(command));
        replies.extend(commands.iter().map(|_| client.reply()));
    }
    replies
}

/// Bytes that no compression makes less.
fn noise(rng: &mut SmallRng, len: usize) -> String {
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes[..]);
    bytes.iter().map(|byte| char::from(b'!' + byte % 94)).collect()
}

/// The error of a write that finds no room.
const REFUSAL: &str = "(OOM command not allowed when used memory > 'maxmemory'.)";

/// Sets `maxmemory` so that `excess` bytes of what is in use must go, and waits until they have.
fn reduce(client: &mut Connection, excess: usize) {
    let limit = number(client, "used_memory") - excess;
    assert_eq!(client.ask(&format!("CONFIG SET maxmemory {limit}")), "OK");
    eventually("room", || number(client, "used_memory") <= limit + number(client, "mem_not_counted_for_evict"));
}

/// The data that policies are tried with: so many keys, each written by one command.
struct Data {
    what: &'static str,
    count: usize,
    write: fn(usize) -> Vec<String>,
}

/// What takes little, and what takes much memory, of every form that values have in it.
const DATA: [Data; 4] = [
    Data { what: "16 bytes", count: 50_000, write: |index| set(index, format!("value of {index:07}")) },
    Data {
        what: "100 KB",
        count: 60,
        write: |index| set(index, noise(&mut SmallRng::seed_from_u64(index as u64), 100_000)),
    },
    Data {
        what: "100 KB, half of it compressed away",
        count: 60,
        write: |index| set(index, noise(&mut SmallRng::seed_from_u64(index as u64), 50_000) + &"x".repeat(50_000)),
    },
    Data {
        what: "lists of 1 MB",
        count: 20,
        write: |index| {
            [vec!["RPUSH".into(), name(index)], vec![noise(&mut SmallRng::seed_from_u64(9), 5000); 200]].concat()
        },
    },
];

fn name(index: usize) -> String {
    format!("key:{index:08}")
}

fn set(index: usize, value: String) -> Vec<String> {
    vec!["SET".into(), name(index), value]
}

/// Writes all keys.
fn write(client: &mut Connection, data: &Data) {
    for first in (0..data.count).step_by(1000) {
        let indexes = first..data.count.min(first + 1000);
        for index in indexes.clone() {
            let words = (data.write)(index);
            client.send_words(&words.iter().map(String::as_str).collect::<Vec<_>>());
        }
        assert!(indexes.into_iter().all(|_| !client.reply().starts_with('(')));
    }
}

/// Gives every second key a deadline.
fn give_deadlines(client: &mut Connection, data: &Data) {
    let indexes = (1..data.count).step_by(2);
    let replies = ask_many(client, indexes.map(|index| format!("EXPIRE {} {}", name(index), 100_000 + index)));
    assert!(replies.iter().all(|reply| reply == "1"));
}

/// Keys of `data` that are there, among those with or those without a deadline.
fn left(client: &mut Connection, data: &Data, first: usize) -> usize {
    let replies = ask_many(client, (first..data.count).step_by(2).map(|index| format!("EXISTS {}", name(index))));
    replies.iter().filter(|reply| *reply == "1").count()
}

/// Under `policy`, a tenth less memory costs a tenth of the keys, whatever their values are; if it spares keys without a
/// deadline, writes are refused once no others are left.
fn try_policy(policy: &str) {
    let server = Server::start(&["--maxmemory-policy", policy]);
    let mut client = server.connect();
    let spares_some = policy.starts_with("volatile");
    for data in DATA {
        let about = format!("{policy}, {}", data.what);
        let empty = number(&mut client, "used_memory");
        write(&mut client, &data);
        if spares_some {
            give_deadlines(&mut client, &data);
        }
        let size = number(&mut client, "used_memory") - empty;
        reduce(&mut client, size / 10);
        let gone = data.count - keys(&mut client);
        let fair = data.count / 10;
        assert!(
            (fair * 9 / 10..=fair * 23 / 20 + 1).contains(&gone),
            "{about}: {gone} of {} keys were evicted",
            data.count
        );
        if spares_some {
            assert_eq!(left(&mut client, &data, 0), data.count / 2, "{about}: a key without a deadline was evicted");
            client.ask(&format!("CONFIG SET maxmemory {}", empty + size * 3 / 10));
            eventually("refusal", || client.ask("SET another value") == REFUSAL);
            assert_eq!(left(&mut client, &data, 1), 0, "{about}: writes are refused while keys could be evicted");
            assert_eq!(left(&mut client, &data, 0), data.count / 2, "{about}: a key without a deadline was evicted");
        }
        client.play(
            "
            > CONFIG SET maxmemory 0
            OK
            > FLUSHALL SYNC
            OK
            ",
        );
    }
}

#[test]
fn allkeys_lru() {
    try_policy("allkeys-lru");
}

#[test]
fn allkeys_lfu() {
    try_policy("allkeys-lfu");
}

#[test]
fn allkeys_random() {
    try_policy("allkeys-random");
}

#[test]
fn volatile_lru() {
    try_policy("volatile-lru");
}

#[test]
fn volatile_lfu() {
    try_policy("volatile-lfu");
}

#[test]
fn volatile_random() {
    try_policy("volatile-random");
}

#[test]
fn volatile_ttl() {
    try_policy("volatile-ttl");
}

#[test]
fn noeviction() {
    let server = Server::start(&["--maxmemory", "3mb"]);
    let mut client = server.connect();
    let value = noise(&mut SmallRng::seed_from_u64(2), 100_000);
    let mut written = 0;
    while client.ask_words(&["SET", &format!("key:{written}"), &value]) == "OK" {
        written += 1;
        assert!(written < 40, "nothing is refused");
    }
    client.play(&format!(
        "
        > SET another value
        {REFUSAL}
        > STRLEN key:0
        100000
        > DEL key:0
        1
        > SET another value
        OK
        "
    ));
    assert_eq!(number(&mut client, "evicted_keys"), 0);
}

/// Makes a server evict two fifths of 20,000 keys, every second of which was used after `pause`. Returns the shares of the
/// used and of the unused keys that are left.
fn survivors(policy: &str, pause: Duration) -> (f64, f64) {
    let server = Server::start(&["--maxmemory-policy", policy]);
    let mut client = server.connect();
    let data = Data { what: "200 bytes", count: 20_000, write: |index| set(index, format!("{index:0200}")) };
    write(&mut client, &data);
    std::thread::sleep(pause);
    for _ in 0..10 {
        ask_many(&mut client, (0..data.count).step_by(2).map(|index| format!("GET {}", name(index))));
    }
    let size = number(&mut client, "used_memory_dataset");
    reduce(&mut client, size * 2 / 5);
    let mut share = |first| left(&mut client, &data, first) as f64 / (data.count / 2) as f64;
    (share(0), share(1))
}

#[test]
fn what_was_used_lately_stays() {
    // Access clocks count seconds.
    let (used, unused) = survivors("allkeys-lru", Duration::from_millis(1010));
    assert!(used > 0.95 && unused < 0.25, "{used} of the used keys and {unused} of the others are left");
}

#[test]
fn what_is_used_often_stays() {
    let (used, unused) = survivors("allkeys-lfu", Duration::ZERO);
    assert!(used > 0.95 && unused < 0.25, "{used} of the used keys and {unused} of the others are left");
}

#[test]
fn what_expires_first_goes_first() {
    const COUNT: usize = 5000;
    let server = Server::start(&["--maxmemory-policy", "volatile-ttl"]);
    let mut client = server.connect();
    let value = noise(&mut SmallRng::seed_from_u64(3), 1000);
    // Keys in an order that is not that of their names.
    let key = |index: usize| name(index * 7919 % COUNT);
    ask_many(&mut client, (0..COUNT).map(|index| format!("SET {} {value} EX {}", key(index), 10_000 + index)));
    let size = number(&mut client, "used_memory_dataset");
    reduce(&mut client, size / 10);
    let gone = COUNT - keys(&mut client);
    let left = ask_many(&mut client, (0..gone).map(|index| format!("EXISTS {}", key(index))));
    let missed = left.iter().filter(|reply| *reply == "1").count();
    assert!(missed <= gone / 10, "{missed} of the {gone} keys that expire first are left");
}

#[test]
fn what_is_kept_for_evicting_is_not_made_up_for_by_it() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-lru", "--maxmemory-eviction-tenacity", "100"]);
    let mut client = server.connect();
    ask_many(&mut client, (0..300).map(|index| format!("SET {index}{} x", "x".repeat(4000))));
    reduce(&mut client, 40_000);
    let evicted = number(&mut client, "evicted_keys");
    assert!((10..=18).contains(&evicted), "{evicted} keys");
}

#[test]
fn memory_stays_below_the_limit_while_it_is_written() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-lru"]);
    let mut client = server.connect();
    let limit = number(&mut client, "used_memory") + 4_000_000;
    client.ask(&format!("CONFIG SET maxmemory {limit}"));
    let mut rng = SmallRng::seed_from_u64(4);
    for index in 0..3000 {
        let len = [10, 200, 5000, 50_000][index % 4];
        client.send_words(&["SET", &format!("key:{index}"), &noise(&mut rng, len)]);
        client.reply();
        if index % 100 == 0 {
            let used = number(&mut client, "used_memory");
            assert!(used < limit + 100_000, "{used} bytes are used, {limit} allowed");
        }
    }
    assert!(number(&mut client, "evicted_keys") > 1000);
    let used = number(&mut client, "used_memory");
    assert!(used > limit * 9 / 10, "only {used} of {limit} bytes are used");
}

#[test]
fn huge_values_are_freed_behind_the_back_of_commands() {
    let server = Server::start(&["--compression-threshold", "0"]);
    let mut client = server.connect();
    let before = number(&mut client, "used_memory");
    let value = "x".repeat(20_000_000);
    for _ in 0..5 {
        client.ask_words(&["SET", "overwritten", &value]);
    }
    client.ask_words(&["SET", "expired", &value]);
    ask_many(&mut client, (0..3).map(|_| format!("RPUSH list{}", " element".repeat(50_000))));
    assert!(number(&mut client, "used_memory") > before + 40_000_000);
    client.ask("PEXPIRE expired 1");
    client.ask("DEL list");
    client.ask("DEL overwritten");
    eventually("all is freed", || number(&mut client, "lazyfreed_objects") == 7);
    assert_eq!(number(&mut client, "lazyfree_pending_objects"), 0);
    eventually("memory", || number(&mut client, "used_memory") < before + 2_000_000);
}
