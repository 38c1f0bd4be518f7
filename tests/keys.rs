//! Commands on keys, through a socket.

use crate::support::{Connection, Server};
use std::collections::HashSet;

#[test]
fn keys_are_counted_deleted_and_told_about() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > RPUSH a 1
        1
        > RPUSH b 1
        1
        > EXISTS a a b c
        3
        > TOUCH a b c
        2
        > DBSIZE
        2
        > TYPE a
        list
        > TYPE c
        none
        > OBJECT ENCODING a
        quicklist
        > OBJECT REFCOUNT a
        1
        > OBJECT IDLETIME a
        0
        > OBJECT FREQ a
        (ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.)
        > OBJECT ENCODING c
        nil
        > DEL a c a
        1
        > UNLINK b
        1
        > DBSIZE
        0
        > RANDOMKEY
        nil
        ",
    );
}

#[test]
fn deadlines_follow_their_conditions() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > RPUSH k 1
        1
        > TTL k
        -1
        > TTL none
        -2
        > EXPIRE none 100
        0
        > EXPIRE k 100 GT
        0
        > EXPIRE k 100 XX
        0
        > EXPIRE k 100 NX
        1
        > EXPIRE k 50 GT
        0
        > EXPIRE k 200 LT
        0
        > EXPIRE k 200 GT XX
        1
        > TTL k
        200
        > EXPIRE k 10 NX XX
        (ERR NX and XX, GT or LT options at the same time are not compatible)
        > EXPIRE k 10 GT LT
        (ERR GT and LT options at the same time are not compatible)
        > EXPIRE k x FOO
        (ERR Unsupported option FOO)
        > EXPIRE k 9223372036854775807
        (ERR invalid expire time in 'expire' command)
        > PEXPIRE k 9223372036854775807
        (ERR invalid expire time in 'pexpire' command)
        > PEXPIREAT k 33177117420499
        1
        > EXPIRETIME k
        33177117420
        > PEXPIRETIME k
        33177117420499
        > PERSIST k
        1
        > PERSIST k
        0
        > PTTL k
        -1
        > EXPIREAT k 1
        1
        > EXISTS k
        0
        ",
    );
}

#[test]
fn a_key_that_is_over_is_gone_for_every_command() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for key in ["a", "b"] {
        client.ask(&format!("RPUSH {key} 1"));
        client.ask(&format!("PEXPIRE {key} 20"));
    }
    std::thread::sleep(std::time::Duration::from_millis(60));
    client.play(
        "
        > KEYS *
        []
        > SCAN 0
        [0 []]
        > RANDOMKEY
        nil
        > RENAME a b
        (ERR no such key)
        > RPUSHX a 1
        0
        > TTL a
        -2
        ",
    );
}

#[test]
fn renaming_copying_and_moving_keep_deadlines() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > RPUSH a 1 2
        2
        > EXPIRE a 100
        1
        > RENAME a a
        OK
        > RENAMENX a a
        0
        > RENAME a b
        OK
        > RENAME a c
        (ERR no such key)
        > TTL b
        100
        > RPUSH c x
        1
        > RENAMENX b c
        0
        > RENAME b c
        OK
        > LRANGE c 0 -1
        [1 2]
        > TTL c
        100
        > COPY c c
        (ERR source and destination objects are the same)
        > COPY c d
        1
        > COPY c d
        0
        > RPUSH d 3
        3
        > LLEN c
        2
        > COPY c d REPLACE
        1
        > LRANGE d 0 -1
        [1 2]
        > TTL d
        100
        > COPY c d DB 3 REPLACE
        1
        > COPY c d DB 99
        (ERR DB index is out of range)
        > COPY none d REPLACE
        0
        > MOVE c 0
        (ERR source and destination objects are the same)
        > MOVE c 3
        1
        > MOVE d 3
        0
        > EXISTS c d
        1
        > SELECT 3
        OK
        > LRANGE c 0 -1
        [1 2]
        > TTL c
        100
        > DBSIZE
        2
        ",
    );
    // A value of its own, on the same ways.
    let element = "e".repeat(1000);
    for _ in 0..20 {
        client.ask(&format!("RPUSH long {element}"));
    }
    client.play(
        "
        > RENAME long longer
        OK
        > COPY longer copy
        1
        > DEL longer
        1
        > LLEN copy
        20
        ",
    );
    assert_eq!(client.ask("LINDEX copy 19"), element);
}

#[test]
fn databases_are_emptied_and_exchanged() {
    let server = Server::start(&[]);
    let mut watcher = server.connect();
    watcher.ask("RPUSH k 1");
    for how in ["FLUSHDB", "FLUSHDB ASYNC", "FLUSHALL SYNC", "SWAPDB 0 1", "FLUSHALL ASYNC"] {
        let mut client = server.connect();
        watcher.ask("RPUSH k 1");
        assert_eq!(watcher.ask("WATCH k none"), "OK");
        assert_eq!(client.ask(how), "OK");
        watcher.ask("MULTI");
        watcher.ask("PING");
        assert_eq!(watcher.ask("EXEC"), "nil", "after {how}");
    }
    watcher.play(
        "
        > WATCH none
        OK
        > FLUSHALL
        OK
        > MULTI
        OK
        > PING
        QUEUED
        > EXEC
        [PONG]
        > RPUSH k zero
        1
        > SELECT 1
        OK
        > RPUSH k one
        1
        > SWAPDB 0 1
        OK
        > LRANGE k 0 -1
        [zero]
        > SWAPDB 0 x
        (ERR invalid second DB index)
        > SWAPDB 0 16
        (ERR DB index is out of range)
        > FLUSHDB
        OK
        > SELECT 0
        OK
        > LRANGE k 0 -1
        [one]
        > FLUSHALL NOW
        (ERR syntax error)
        ",
    );
}

fn names(reply: &str) -> HashSet<String> {
    reply.trim_matches(['[', ']']).split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// All that a scan visits, and the number of its steps.
fn scan(client: &mut Connection, options: &str) -> (HashSet<String>, usize) {
    let (mut found, mut cursor, mut steps) = (HashSet::new(), "0".to_owned(), 0);
    loop {
        let reply = client.ask(&format!("SCAN {cursor}{options}"));
        let (next, keys) = reply[1..].split_once(' ').expect("a cursor and keys");
        found.extend(names(keys));
        steps += 1;
        assert!(next.parse::<u64>().expect("a cursor") < 1 << 53);
        if next == "0" {
            return (found, steps);
        }
        cursor = next.to_owned();
    }
}

#[test]
fn scans_visit_every_key() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let keys: HashSet<String> =
        (0..2000).map(|i| if i % 10 == 0 { format!("user:{i}") } else { format!("k{i}") }).collect();
    for key in &keys {
        client.ask(&format!("RPUSH {key} 1"));
    }
    let users: HashSet<String> = keys.iter().filter(|key| key.starts_with("user:")).cloned().collect();
    assert_eq!(names(&client.ask("KEYS *")), keys);
    assert_eq!(names(&client.ask("KEYS user:*")), users);
    assert_eq!(names(&client.ask("KEYS user:?0")).len(), 9);
    assert_eq!(names(&client.ask("KEYS user:10")).len(), 1);
    let (found, steps) = scan(&mut client, "");
    assert_eq!(found, keys);
    assert!((100..=220).contains(&steps), "{steps} steps");
    assert_eq!(scan(&mut client, " COUNT 5000"), (keys.clone(), 1));
    assert_eq!(scan(&mut client, " MATCH user:* COUNT 100").0, users);
    assert_eq!(scan(&mut client, " MATCH *5").0.len(), 200);
    assert_eq!(scan(&mut client, " TYPE LIST COUNT 100").0, keys);
    assert_eq!(scan(&mut client, " TYPE string COUNT 100").0, HashSet::new());
    client.play(
        "
        > SCAN x
        (ERR invalid cursor)
        > SCAN 0 COUNT 0
        (ERR syntax error)
        > SCAN 0 COUNT x
        (ERR value is not an integer or out of range)
        > SCAN 0 MATCH
        (ERR syntax error)
        > SCAN 18446744073709551615
        [0 []]
        ",
    );
}

#[test]
fn changes_of_keys_are_published() {
    let server = Server::start(&["--notify-keyspace-events", "KEA"]);
    let mut listener = server.connect();
    assert!(listener.ask("PSUBSCRIBE __key*__:*").starts_with("[psubscribe"));
    let mut client = server.connect();
    for command in
        ["RPUSH a 1", "EXPIRE a 100", "PERSIST a", "COPY a c DB 2", "RENAME a b", "MOVE b 1", "RPUSH d 1", "DEL d"]
    {
        client.ask(command);
    }
    let expected = [
        ("0", "a", "rpush"),
        ("0", "a", "expire"),
        ("0", "a", "persist"),
        ("2", "c", "copy_to"),
        ("0", "a", "rename_from"),
        ("0", "b", "rename_to"),
        ("0", "b", "move_from"),
        ("1", "b", "move_to"),
        ("0", "d", "rpush"),
        ("0", "d", "del"),
    ];
    for (database, key, event) in expected {
        assert_eq!(listener.reply(), format!("[pmessage __key*__:* __keyspace@{database}__:{key} {event}]"));
        assert_eq!(listener.reply(), format!("[pmessage __key*__:* __keyevent@{database}__:{event} {key}]"));
    }
}

#[test]
fn a_scan_takes_away_what_is_over_of_what_it_looks_for() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    assert_eq!(client.ask("DEBUG SET-ACTIVE-EXPIRE 0"), "OK");
    for command in ["SET a:1 x PX 1", "SET a:2 x PX 1", "SET b x PX 1", "SET c x"] {
        assert_eq!(client.ask(command), "OK");
    }
    std::thread::sleep(std::time::Duration::from_millis(10));
    client.play(
        "
        > SCAN 0 MATCH a:* COUNT 100
        [0 []]
        > DBSIZE
        2
        > MULTI
        OK
        > SCAN 0 COUNT 100
        QUEUED
        > EXEC
        [[0 [c]]]
        > DBSIZE
        1
        ",
    );
    assert_eq!(client.info("expired_keys"), "3");
}

#[test]
fn a_random_key_is_found_among_many_whose_time_is_over() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    assert_eq!(client.ask("DEBUG SET-ACTIVE-EXPIRE 0"), "OK");
    for index in 0..1000 {
        client.send(&format!("SET over:{index} x PX 1"));
    }
    (0..1000).for_each(|_| assert_eq!(client.reply(), "OK"));
    client.ask("SET living x");
    crate::support::eventually("the end of all deadlines", || client.ask("EXISTS over:999") == "0");
    assert_eq!(client.ask("RANDOMKEY"), "living");
    let left: usize = client.ask("DBSIZE").parse().expect("a number");
    assert!(left > 800, "RANDOMKEY removed {} keys", 1000 - left);
    client.ask("DEL living");
    assert_eq!(client.ask("RANDOMKEY"), "nil");
}

#[test]
fn commands_that_go_from_shard_to_shard_run_in_transactions() {
    let server = Server::start(&["--threads", "4"]);
    let (mut client, mut waiting) = (server.connect(), server.connect());
    client.ask("MSET a 1 b 2 c 3");
    let id = waiting.ask("CLIENT ID");
    waiting.send("BLPOP q 0");
    crate::support::eventually("the wait", || client.ask("INFO clients").contains("blocked_clients:1"));
    client.ask("MULTI");
    for command in ["DEL a", "DBSIZE", "SCAN 0 COUNT 100 MATCH b", "RANDOMKEY", "LCS b c", "FLUSHALL SYNC"] {
        assert_eq!(client.ask(command), "QUEUED");
    }
    assert_eq!(client.ask(&format!("CLIENT UNBLOCK {id}")), "QUEUED");
    assert_eq!(client.ask("DBSIZE"), "QUEUED");
    let replies = client.ask("EXEC");
    assert!(["b", "c"].iter().any(|key| replies == format!("[1 2 [0 [b]] {key}  OK 1 0]")), "{replies}");
    assert_eq!(waiting.reply(), "nil");
}
