//! `DUMP` and `RESTORE`, through a socket.

use crate::support::{Connection, Server};

fn dump(server: &Server, key: &str) -> Vec<u8> {
    let mut client = server.connect();
    client.send(&format!("DUMP {key}"));
    let reply = client.raw_bulk();
    assert!(!reply.is_empty());
    reply
}

fn ask(client: &mut Connection, words: &[&[u8]]) -> String {
    client.send_raw(&crate::support::request(words));
    client.reply()
}

#[test]
fn a_value_moves_with_its_payload() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > SET text some-text
        OK
        > RPUSH list a 1 -70000
        3
        > DUMP missing
        nil
        ",
    );
    let (text, list) = (dump(&server, "text"), dump(&server, "list"));
    assert_eq!(ask(&mut client, &[b"RESTORE", b"copy", b"0", &text]), "OK");
    assert_eq!(ask(&mut client, &[b"RESTORE", b"copied-list", b"100000", &list]), "OK");
    client.play(
        "
        > GET copy
        some-text
        > TTL copy
        -1
        > LRANGE copied-list 0 -1
        [a 1 -70000]
        > TTL copied-list
        100
        ",
    );
    assert_eq!(ask(&mut client, &[b"RESTORE", b"copy", b"0", &list]), "(BUSYKEY Target key name already exists.)");
    assert_eq!(ask(&mut client, &[b"RESTORE", b"copy", b"0", &list, b"REPLACE"]), "OK");
    assert_eq!(client.ask("TYPE copy"), "list");
    assert_eq!(ask(&mut client, &[b"RESTORE", b"old", b"0", &text, b"IDLETIME", b"5000"]), "OK");
    assert!(matches!(client.ask("OBJECT IDLETIME old").as_str(), "5000" | "5001"));
    // What is over before it begins replaces what was there by nothing.
    assert_eq!(ask(&mut client, &[b"RESTORE", b"copy", b"1", &text, b"ABSTTL", b"REPLACE"]), "OK");
    assert_eq!(client.ask("EXISTS copy"), "0");
}

#[test]
fn a_payload_that_is_refused_leaves_everything_as_it_was() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    assert_eq!(client.ask("SET a 1"), "OK");
    let payload = dump(&server, "a");
    let mut broken = payload.clone();
    broken[2] ^= 1;
    let wrong = "(ERR DUMP payload version or checksum are wrong)";
    let cases: [(&[&[u8]], &str); 10] = [
        (&[b"x", &payload, b"REPLACE"], "(ERR value is not an integer or out of range)"),
        (&[b"-1", &payload, b"REPLACE"], "(ERR Invalid TTL value, must be >= 0)"),
        (&[b"0", &broken, b"REPLACE"], wrong),
        (&[b"0", b"", b"REPLACE"], wrong),
        (&[b"0", &payload, b"REPLACE", b"IDLETIME", b"-1"], "(ERR Invalid IDLETIME value, must be >= 0)"),
        (&[b"0", &payload, b"REPLACE", b"FREQ", b"256"], "(ERR Invalid FREQ value, must be >= 0 and <= 255)"),
        (&[b"0", &payload, b"FREQ", b"1", b"IDLETIME", b"1"], "(ERR syntax error)"),
        (&[b"0", &payload, b"FREQ"], "(ERR syntax error)"),
        (&[b"0", &payload, b"OTHER"], "(ERR syntax error)"),
        (&[b"x", b"rubbish"], "(BUSYKEY Target key name already exists.)"),
    ];
    for (arguments, expected) in cases {
        assert_eq!(ask(&mut client, &[&[b"RESTORE".as_slice(), b"a"], arguments].concat()), expected);
    }
    assert_eq!(client.ask("DEBUG SET-SKIP-CHECKSUM-VALIDATION 1"), "OK");
    let no_value = b"\x63\x01x\x0a\x00checksum";
    assert_eq!(ask(&mut client, &[b"RESTORE", b"a", b"0", no_value, b"REPLACE"]), "(ERR Bad data format)");
    assert_eq!(ask(&mut client, &[b"RESTORE", b"b", b"0", &broken]), "OK");
    client.play(
        "
        > GET a
        1
        > GET b
        0
        ",
    );
}

#[test]
fn whoever_waits_for_a_list_gets_one_that_is_restored() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    assert_eq!(client.ask("RPUSH list x"), "1");
    let payload = dump(&server, "list");
    let mut waiting = server.connect();
    waiting.send("BLPOP awaited 0");
    crate::support::eventually("the wait", || client.info("blocked_clients") == "1");
    assert_eq!(ask(&mut client, &[b"RESTORE", b"awaited", b"0", &payload]), "OK");
    assert_eq!(waiting.reply(), "[awaited x]");
}

#[test]
fn deadlines_of_fields_are_written_as_redis_or_valkey_has_them_and_both_are_read() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > HSET hash f v g w
        2
        > HPEXPIREAT hash 33000000000000 FIELDS 1 f
        [1]
        > CONFIG GET field-deadline-format
        [field-deadline-format redis]
        ",
    );
    let of_redis = dump(&server, "hash");
    assert_eq!(client.ask("CONFIG SET field-deadline-format valkey"), "OK");
    let of_valkey = dump(&server, "hash");
    // Kind and version.
    assert_eq!((of_redis[0], of_redis[of_redis.len() - 10]), (24, 12));
    assert_eq!((of_valkey[0], of_valkey[of_valkey.len() - 10]), (22, 80));
    for payload in [of_redis, of_valkey] {
        assert_eq!(ask(&mut client, &[b"RESTORE", b"copy", b"0", &payload, b"REPLACE"]), "OK");
        assert_eq!(client.ask("HMGET copy f g"), "[v w]");
        assert_eq!(client.ask("HPEXPIRETIME copy FIELDS 2 f g"), "[33000000000000 -1]");
    }
    // A hash without them is the same for all.
    client.ask("HPERSIST hash FIELDS 1 f");
    let plain = dump(&server, "hash");
    assert_eq!((plain[0], plain[plain.len() - 10]), (4, 10));
}
