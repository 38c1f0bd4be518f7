//! `maxmemory`: what is evicted, by which policy, and how much.

mod support;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;
use support::{Connection, Server, eventually};

const POLICIES: [&str; 7] =
    ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"];

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
    (0..len).map(|_| char::from(rng.random_range(b'!'..=b'~'))).collect()
}

/// Sets `maxmemory` so low that a tenth of the data must go, and returns the share of the keys that went.
fn evict_a_tenth(client: &mut Connection) -> f64 {
    let before = keys(client);
    let limit = number(client, "used_memory") - number(client, "used_memory_dataset") / 10;
    assert_eq!(client.ask(&format!("CONFIG SET maxmemory {limit}")), "OK");
    eventually("room", || number(client, "used_memory") <= limit + 20_000);
    // What else the server does by itself is done now, or never.
    std::thread::sleep(Duration::from_millis(300));
    let gone = before - keys(client);
    assert_eq!(number(client, "evicted_keys"), gone);
    assert_eq!(client.ask("CONFIG SET maxmemory 0"), "OK");
    gone as f64 / before as f64
}

/// Fills the server with `count` keys, of which every second has a deadline, and tries a policy.
fn try_policy(policy: &str, count: usize, value: impl Fn(usize) -> String) {
    let server = Server::start(&["--maxmemory-policy", policy]);
    let mut client = server.connect();
    ask_many(
        &mut client,
        (0..count).map(|index| match index % 2 {
            0 => format!("SET key:{index:08} {}", value(index)),
            _ => format!("SET key:{index:08} {} EX {}", value(index), 100_000 + index),
        }),
    );
    let share = evict_a_tenth(&mut client);
    assert!((0.08..=0.115).contains(&share), "{policy}: {share} of {count} keys were evicted");
    if policy.starts_with("volatile") {
        let left = ask_many(&mut client, (0..count).step_by(2).map(|index| format!("EXISTS key:{index:08}")));
        assert!(left.iter().all(|reply| reply == "1"), "{policy} evicted a key without a deadline");
    }
}

#[test]
fn a_tenth_less_memory_costs_a_tenth_of_many_small_keys() {
    for policy in POLICIES {
        try_policy(policy, 100_000, |index| format!("{index:016}"));
    }
}

#[test]
fn a_tenth_less_memory_costs_a_tenth_of_large_values() {
    for policy in POLICIES {
        try_policy(policy, 4000, |index| noise(&mut SmallRng::seed_from_u64(index as u64), 4096));
    }
}

/// Like the above with a million keys; prints what it finds. `cargo nextest run --run-ignored only a_million`.
#[test]
#[ignore = "takes minutes"]
fn a_tenth_of_a_million_keys() {
    for policy in POLICIES {
        let server = Server::start(&["--maxmemory-policy", policy]);
        let mut client = server.connect();
        ask_many(
            &mut client,
            (0..1_000_000).map(|index| format!("SET key:{index:012} {index:016} EX {}", 10_000 + index)),
        );
        let used = number(&mut client, "used_memory");
        let limit = used / 10 * 9;
        client.ask(&format!("CONFIG SET maxmemory {limit}"));
        eventually("room", || number(&mut client, "used_memory") <= limit + 20_000);
        let (left, now) = (keys(&mut client), number(&mut client, "used_memory"));
        println!("{policy}: {used} bytes in use, {limit} allowed, {now} used then by {left} of 1000000 keys");
        assert!((870_000..=905_000).contains(&left));
    }
}

#[test]
fn without_a_policy_writes_are_refused() {
    let server = Server::start(&["--maxmemory", "3mb"]);
    let mut client = server.connect();
    let value = noise(&mut SmallRng::seed_from_u64(2), 100_000);
    let refusal = "(OOM command not allowed when used memory > 'maxmemory'.)";
    let mut written = 0;
    while client.ask_words(&["SET", &format!("key:{written}"), &value]) == "OK" {
        written += 1;
        assert!(written < 40, "nothing is refused");
    }
    client.play(&format!(
        "
        > SET another value
        {refusal}
        > STRLEN key:0
        100000
        > DEL key:0
        1
        > SET another value
        OK
        "
    ));
    assert_eq!(number(&mut client, "evicted_keys"), 0);
    client.ask("CONFIG SET maxmemory-policy volatile-lru");
    assert_eq!(client.ask_words(&["SET", "key:0", &value]), "OK");
    assert_eq!(client.ask_words(&["SET", "another", &value]), refusal, "no key has a deadline");
}

/// Makes a server evict two fifths of 20,000 keys, half of which were used since. Returns the shares of the used and of the
/// unused keys that are left.
fn survivors(policy: &str) -> (f64, f64) {
    const COUNT: usize = 20_000;
    let server = Server::start(&["--maxmemory-policy", policy]);
    let mut client = server.connect();
    ask_many(&mut client, (0..COUNT).map(|index| format!("SET key:{index} {index:0200}")));
    // Access clocks count seconds.
    std::thread::sleep(Duration::from_millis(2100));
    for _ in 0..10 {
        ask_many(&mut client, (0..COUNT).step_by(2).map(|index| format!("GET key:{index}")));
    }
    let limit = number(&mut client, "used_memory") - number(&mut client, "used_memory_dataset") * 2 / 5;
    client.ask(&format!("CONFIG SET maxmemory {limit}"));
    eventually("room", || number(&mut client, "used_memory") <= limit + 20_000);
    let mut left = |first: usize| {
        let replies = ask_many(&mut client, (first..COUNT).step_by(2).map(|index| format!("EXISTS key:{index}")));
        replies.iter().filter(|reply| *reply == "1").count() as f64 / (COUNT / 2) as f64
    };
    (left(0), left(1))
}

#[test]
fn what_is_used_stays() {
    for policy in ["allkeys-lru", "allkeys-lfu"] {
        let (used, unused) = survivors(policy);
        assert!(used > 0.97 && unused < 0.25, "{policy}: {used} of the used keys and {unused} of the others are left");
    }
}

#[test]
fn what_expires_first_goes_first() {
    let server = Server::start(&["--maxmemory-policy", "volatile-ttl"]);
    let mut client = server.connect();
    let value = noise(&mut SmallRng::seed_from_u64(3), 1000);
    let name = |index: usize| format!("key:{:05}", index * 7919 % 5000);
    ask_many(&mut client, (0..5000).map(|index| format!("SET {} {value} EX {}", name(index), 10_000 + index)));
    let share = evict_a_tenth(&mut client);
    let gone = (share * 5000.0) as usize;
    let left = ask_many(&mut client, (0..gone).map(|index| format!("EXISTS {}", name(index))));
    let missed = left.iter().filter(|reply| *reply == "1").count();
    assert!(missed <= gone / 10, "{missed} of the {gone} keys that expire first are left");
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
