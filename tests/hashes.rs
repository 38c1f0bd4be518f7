//! Commands on hashes, through a socket.

use crate::support::{Server, eventually};
use std::time::Duration;

#[test]
fn fields_are_set_read_and_removed() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > HSET h a 1 b two c 3
        3
        > HSET h b 2 d 4
        1
        > HMSET h e 5 a one
        OK
        > HSETNX h f 6
        1
        > HSETNX h f 7
        0
        > HGETALL h
        [a one b 2 c 3 d 4 e 5 f 6]
        > HKEYS h
        [a b c d e f]
        > HVALS h
        [one 2 3 4 5 6]
        > HGET h a
        one
        > HGET h x
        nil
        > HMGET h a x f
        [one nil 6]
        > HLEN h
        6
        > HSTRLEN h a
        3
        > HSTRLEN h x
        0
        > HEXISTS h a
        1
        > HEXISTS h x
        0
        > HDEL h a x a
        1
        > HDEL h b c d e
        4
        > TYPE h
        hash
        > HDEL h f f
        1
        > EXISTS h
        0
        ",
    );
}

#[test]
fn what_does_not_exist_is_empty() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > HGET none a
        nil
        > HMGET none a b
        [nil nil]
        > HGETALL none
        []
        > HKEYS none
        []
        > HVALS none
        []
        > HLEN none
        0
        > HSTRLEN none a
        0
        > HEXISTS none a
        0
        > HDEL none a
        0
        > HRANDFIELD none
        nil
        > HRANDFIELD none -5 WITHVALUES
        []
        > HSCAN none 0
        [0 []]
        ",
    );
}

#[test]
fn wrong_requests_change_nothing() {
    let server = Server::start(&[]);
    let wrong_type = "(WRONGTYPE Operation against a key holding the wrong kind of value)";
    let mut client = server.connect();
    assert_eq!(client.ask("SET s v"), "OK");
    for request in [
        "HSET s a 1",
        "HMSET s a 1",
        "HSETNX s a 1",
        "HGET s a",
        "HMGET s a",
        "HGETALL s",
        "HKEYS s",
        "HVALS s",
        "HLEN s",
        "HSTRLEN s a",
        "HEXISTS s a",
        "HDEL s a",
        "HINCRBY s a 1",
        "HINCRBYFLOAT s a 1",
        "HRANDFIELD s",
        "HRANDFIELD s 1",
        "HSCAN s 0",
        "HSCAN s 0 COUNT x",
    ] {
        assert_eq!(client.ask(request), wrong_type, "{request}");
    }
    client.play(
        "
        > HSET h a 1 b
        (ERR wrong number of arguments for 'hset' command)
        > HMSET h a 1 b
        (ERR wrong number of arguments for 'hmset' command)
        > EXISTS h
        0
        > HSET h a 1 t text
        2
        > HINCRBY h a x
        (ERR value is not an integer or out of range)
        > HINCRBY h t 1
        (ERR hash value is not an integer)
        > HINCRBYFLOAT h t 1
        (ERR hash value is not a float)
        > HINCRBYFLOAT h a x
        (ERR value is not a valid float)
        > HINCRBYFLOAT h a inf
        (ERR value is NaN or Infinity)
        > HRANDFIELD h x
        (ERR value is not an integer or out of range)
        > HRANDFIELD s x
        (ERR value is not an integer or out of range)
        > HRANDFIELD h -9223372036854775808
        (ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807)
        > HRANDFIELD h -2147483648
        (ERR value is out of range)
        > HRANDFIELD h 4611686018427387904 WITHVALUES
        (ERR value is out of range)
        > HRANDFIELD h 1 x
        (ERR syntax error)
        > HRANDFIELD h 1 WITHVALUES x
        (ERR syntax error)
        > HSCAN h x
        (ERR invalid cursor)
        > HSCAN h 0 COUNT 0
        (ERR syntax error)
        > HSCAN h 0 COUNT x
        (ERR value is not an integer or out of range)
        > HSCAN h 0 MATCH
        (ERR syntax error)
        > HSCAN h 0 TYPE hash
        (ERR syntax error)
        > SCAN 0 NOVALUES
        (ERR NOVALUES option can only be used in HSCAN)
        > HGETALL h
        [a 1 t text]
        ",
    );
}

#[test]
fn fields_count() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > HINCRBY h n 5
        5
        > HINCRBY h n -7
        -2
        > HINCRBY h n 9223372036854775807
        9223372036854775805
        > HINCRBY h n 9223372036854775807
        (ERR increment or decrement would overflow)
        > HINCRBYFLOAT h f 1.5
        1.5
        > HINCRBYFLOAT h f -0.25
        1.25
        > HSET h e 5.0e3
        1
        > HINCRBYFLOAT h e 200
        5200
        > HSET h max 1.1e4932
        1
        > HINCRBYFLOAT h max 1.1e4932
        (ERR increment would produce NaN or Infinity)
        > HINCRBY h f 1
        (ERR hash value is not an integer)
        > HGET h n
        9223372036854775805
        ",
    );
}

#[test]
fn small_hashes_are_listpacks() {
    let server = Server::start(&["--hash-max-listpack-entries", "3", "--hash-max-listpack-value", "10"]);
    server.connect().play(
        "
        > HSET h a 1 b 2 c 3
        3
        > OBJECT ENCODING h
        listpack
        > HSET h d 4
        1
        > OBJECT ENCODING h
        hashtable
        > HDEL h a b c
        3
        > OBJECT ENCODING h
        hashtable
        > HSET i a 1 a 2 a 3 a 4
        1
        > OBJECT ENCODING i
        hashtable
        > HSET j a 1234567890
        1
        > OBJECT ENCODING j
        listpack
        > HSET j a 12345678901
        0
        > OBJECT ENCODING j
        hashtable
        > HSET k 12345678901 a
        1
        > OBJECT ENCODING k
        hashtable
        > HINCRBY l n 1234567890
        1234567890
        > OBJECT ENCODING l
        listpack
        > HINCRBY l n 12345678900
        13580246790
        > OBJECT ENCODING l
        hashtable
        ",
    );
}

#[test]
fn random_fields_and_scans() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > HSET h only value
        1
        > HRANDFIELD h
        only
        > HRANDFIELD h 0
        []
        > HRANDFIELD h 5
        [only]
        > HRANDFIELD h 5 WITHVALUES
        [only value]
        > HRANDFIELD h -3
        [only only only]
        > HRANDFIELD h -2 WITHVALUES
        [only value only value]
        > HSCAN h 0
        [0 [only value]]
        > HSCAN h 7 NOVALUES COUNT 1
        [0 [only]]
        > HSCAN h 0 MATCH x*
        [0 []]
        ",
    );
    client.ask("HELLO 3");
    client.play(
        "
        > HGETALL h
        {only value}
        > HGETALL none
        {}
        > HRANDFIELD h 1 WITHVALUES
        [[only value]]
        > HRANDFIELD h -2 WITHVALUES
        [[only value] [only value]]
        > HRANDFIELD h 1
        [only]
        > HSCAN h 0
        [0 [only value]]
        ",
    );
    client.ask("HELLO 2");
    for number in 0..2000 {
        assert_eq!(client.ask(&format!("HSET large field:{number} {number}")), "1");
    }
    let (mut cursor, mut seen) = ("0".to_owned(), std::collections::BTreeSet::new());
    loop {
        let reply = client.ask(&format!("HSCAN large {cursor} MATCH field:1* COUNT 100 NOVALUES"));
        let words: Vec<_> = reply.split([' ', '[', ']']).filter(|word| !word.is_empty()).collect();
        cursor = words[0].to_owned();
        assert!(words.len() < 400, "a step is a part of all");
        seen.extend(words[1..].iter().map(|word| (*word).to_owned()));
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 1111);
    assert!(seen.iter().all(|field| field.starts_with("field:1")));
}

#[test]
fn hashes_are_copied_moved_and_compared() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    server.connect().play(
        "
        > HSET h a 1 b 2
        2
        > DEBUG DIGEST-VALUE h
        [6c8f22b3bf510fdcfd6122dd0f908a80e88243bf]
        > COPY h i
        1
        > HSET i a 3
        0
        > HGETALL h
        [a 1 b 2]
        > HGETALL i
        [a 3 b 2]
        > RENAME i j
        OK
        > MOVE j 1
        1
        > SELECT 1
        OK
        > HGET j a
        3
        > SCAN 0 TYPE hash
        [0 [j]]
        > SCAN 0 TYPE list
        [0 []]
        ",
    );
}

#[test]
fn changes_of_hashes_are_told() {
    let server = Server::start(&["--notify-keyspace-events", "KEA"]);
    let mut listener = server.connect();
    listener.ask("PSUBSCRIBE __keyevent@0__:*");
    let mut client = server.connect();
    for request in [
        "HSET h a 1",
        "HSETNX h a 2",
        "HMSET h b 2",
        "HINCRBY h a 1",
        "HINCRBYFLOAT h a 1",
        "HDEL h x",
        "HDEL h a",
        "HDEL h b",
    ] {
        client.ask(request);
    }
    for event in ["hset", "hset", "hincrby", "hincrbyfloat", "hdel", "hdel", "del"] {
        assert_eq!(listener.reply(), format!("[pmessage __keyevent@0__:* __keyevent@0__:{event} h]"));
    }
}

#[test]
fn fields_have_deadlines() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > HSET h a 1 b 2 c 3
        3
        > HTTL h FIELDS 2 a x
        [-1 -2]
        > HPEXPIRE h 100400 FIELDS 1 a
        [1]
        > OBJECT ENCODING h
        hashtable
        > HTTL h FIELDS 3 a b x
        [100 -1 -2]
        > HEXPIRE h 200 NX FIELDS 2 a b
        [0 1]
        > HEXPIRE h 50 GT FIELDS 3 a c x
        [0 0 -2]
        > HEXPIRE h 50 LT FIELDS 2 a c
        [1 1]
        > HEXPIRE h 300 XX FIELDS 1 a
        [1]
        > HPEXPIREAT h 99999999999999 FIELDS 2 a a
        [1 1]
        > HPEXPIRETIME h FIELDS 1 a
        [99999999999999]
        > HEXPIREAT h 99999999999 FIELDS 1 a
        [1]
        > HEXPIRETIME h FIELDS 1 a
        [99999999999]
        > HPEXPIRE h 1000000 FIELDS 1 a
        [1]
        > HPERSIST h FIELDS 4 a a x b
        [1 -1 -2 1]
        > HTTL h FIELDS 1 a
        [-1]
        > HEXPIRE h 0 FIELDS 2 a a
        [2 -2]
        > HMGET h a b c
        [nil 2 3]
        > HPEXPIREAT h 1 FIELDS 2 b c
        [2 2]
        > EXISTS h
        0
        > HEXPIRE none 5 FIELDS 2 a b
        [-2 -2]
        > HTTL none FIELDS 2 a b
        [-2 -2]
        > HPERSIST none FIELDS 1 a
        [-2]
        ",
    );
}

#[test]
fn deadlines_stay_or_go_with_values() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > HSETEX h EXAT 99999999999 FIELDS 2 a 1 b 2
        1
        > HINCRBY h a 1
        2
        > HINCRBYFLOAT h a 0.5
        2.5
        > HSETEX h KEEPTTL FIELDS 1 a 7
        1
        > HEXPIRETIME h FIELDS 1 a
        [99999999999]
        > HSET h a 8
        0
        > HEXPIRETIME h FIELDS 2 a b
        [-1 99999999999]
        > HSETEX h FIELDS 1 b 9
        1
        > HEXPIRETIME h FIELDS 1 b
        [-1]
        > HGETEX h EXAT 99999999999 FIELDS 2 a x
        [8 nil]
        > HGETEX h FIELDS 1 a
        [8]
        > COPY h i
        1
        > RENAME i j
        OK
        > HEXPIRETIME j FIELDS 2 a b
        [99999999999 -1]
        > HGETEX h PERSIST FIELDS 1 a
        [8]
        > HEXPIRETIME h FIELDS 1 a
        [-1]
        > HGETEX h EX 0 FIELDS 2 a a
        [8 nil]
        > HGETDEL h FIELDS 3 b b x
        [9 nil nil]
        > EXISTS h
        0
        > HGETEX h FIELDS 1 a
        [nil]
        > HGETDEL h FIELDS 1 a
        [nil]
        > HDEL j a b
        2
        ",
    );
}

#[test]
fn hsetex_has_conditions() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > HSETEX h XX FIELDS 1 a 1
        0
        > HSETEX h FXX FIELDS 1 a 1
        0
        > EXISTS h
        0
        > HSETEX h NX FNX FIELDS 1 a 1
        1
        > HSETEX h NX FIELDS 1 a 2
        0
        > HSETEX h FNX FIELDS 2 b 1 a 2
        0
        > HSETEX h FXX FIELDS 2 b 1 a 2
        0
        > HSETEX h XX FXX FIELDS 1 a 2
        1
        > HSETEX h fnx px 100000 FIELDS 1 b 3
        1
        > HMGET h a b
        [2 3]
        ",
    );
}

#[test]
fn wrong_deadlines_change_nothing() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > SET s v
        OK
        > HSET h a 1
        1
        ",
    );
    let mismatch = "(ERR numfields should be greater than 0 and match the provided number of fields)";
    let wrong_type = "(WRONGTYPE Operation against a key holding the wrong kind of value)";
    let not_integer = "(ERR value is not an integer or out of range)";
    let syntax = "(ERR syntax error)";
    for (request, error) in [
        ("HEXPIRE s 5 FIELDS 1 a", wrong_type),
        ("HTTL s FIELDS 1 a", wrong_type),
        ("HPERSIST s FIELDS 1 a", wrong_type),
        ("HGETEX s EX x FIELDS 1 a", wrong_type),
        ("HSETEX s NX FIELDS 1 a 1", wrong_type),
        ("HGETDEL s FIELDS 1 a", wrong_type),
        ("HEXPIRE h 5 FIELDS 2 a", mismatch),
        ("HEXPIRE h 5 FIELDS 0 a", mismatch),
        ("HEXPIRE h 5 FIELDZ 1 a", mismatch),
        ("HEXPIRE h 5 FIELDS 1 a NX", mismatch),
        ("HEXPIRE h 5 FIELDS x a", not_integer),
        ("HEXPIRE h x FIELDS 1 a", not_integer),
        ("HEXPIRE h -1 FIELDS 1 a", "(ERR invalid expire time in 'hexpire' command)"),
        ("HEXPIRE h 9223372036854775807 FIELDS 1 a", "(ERR invalid expire time in 'hexpire' command)"),
        ("HPEXPIREAT h -5 FIELDS 1 a", "(ERR invalid expire time in 'hpexpireat' command)"),
        ("HEXPIRE h 5 foo FIELDS 1 a", "(ERR Unsupported option foo)"),
        ("HEXPIRE h 5 NX GT FIELDS 1 a", "(ERR NX and XX, GT or LT options at the same time are not compatible)"),
        ("HEXPIRE h 5 LT GT FIELDS 1 a", "(ERR GT and LT options at the same time are not compatible)"),
        ("HTTL h FIELDS 2 a", syntax),
        ("HTTL h FIELDZ 1 a", syntax),
        ("HTTL h FIELDS x a", not_integer),
        ("HPERSIST h FIELDS 2 a", mismatch),
        ("HPERSIST h FIELDZ 1 a", syntax),
        ("HGETDEL h FIELDS 2 a", mismatch),
        ("HGETDEL h FIELDZ 1 a", syntax),
        ("HGETEX h FIELDS 2 a", mismatch),
        ("HGETEX h EX 10 20 30", mismatch),
        ("HGETEX h EX FIELDS 1 a", syntax),
        ("HGETEX h KEEPTTL FIELDS 1 a", syntax),
        ("HGETEX h PERSIST EX 10 FIELDS 1 a", syntax),
        ("HGETEX h EX -1 FIELDS 1 a", "(ERR invalid expire time in 'hgetex' command)"),
        ("HGETEX none EX x FIELDS 1 a", not_integer),
        ("HSETEX h FXX FNX FIELDS 1 a 1", syntax),
        ("HSETEX h XX NX FIELDS 1 a 1", syntax),
        ("HSETEX h PERSIST FIELDS 1 a 1", syntax),
        ("HSETEX h EX 5 PX 5 FIELDS 1 a 1", syntax),
        ("HSETEX h FIELDS 1 a 1 b", mismatch),
        ("HSETEX h FIELDS 9223372036854775807 a 1", mismatch),
        ("HSETEX h FIELDS -9223372036854775808 a 1", mismatch),
        ("HSETEX h EX -1 FIELDS 1 a 1", "(ERR invalid expire time in 'hsetex' command)"),
    ] {
        assert_eq!(client.ask(request), error, "{request}");
    }
    assert_eq!(client.ask("HGETALL h"), "[a 1]");
    assert_eq!(client.ask("HTTL h FIELDS 1 a"), "[-1]");
}

/// Fields whose time is over are not seen, whether they have been removed or not.
#[test]
fn fields_expire() {
    let server = Server::start(&["--enable-debug-command", "yes", "--notify-keyspace-events", "KEA"]);
    let mut client = server.connect();
    client.play(
        "
        > DEBUG SET-ACTIVE-EXPIRE 0
        OK
        > HSET h a 1 b 2 c 3
        3
        > HPEXPIRE h 20 FIELDS 2 a b
        [1 1]
        > HSETEX gone PX 20 FIELDS 2 a 1 b 2
        1
        > SELECT 1
        OK
        > HSETEX moved PX 20 FIELDS 1 a 1
        1
        > SWAPDB 0 1
        OK
        ",
    );
    let mut listener = server.connect();
    listener.ask("PSUBSCRIBE __keyevent@*");
    std::thread::sleep(Duration::from_millis(30));
    client.play(
        "
        > HLEN h
        1
        > HGETALL h
        [c 3]
        > HMGET h a b c
        [nil nil 3]
        > HSETNX h a 5
        1
        > HINCRBY h b 5
        5
        > HTTL h FIELDS 2 a b
        [-1 -1]
        > EXISTS gone
        0
        > SELECT 0
        OK
        > TYPE moved
        none
        ",
    );
    let events: Vec<String> = (0..7).map(|_| listener.reply()).collect();
    let has = |event: &str| events.iter().any(|line| line.ends_with(&format!("__keyevent@{event}]")));
    for event in ["1__:hexpired h", "1__:hexpired gone", "1__:del gone", "0__:hexpired moved", "0__:del moved"] {
        assert!(has(event), "{event} in {events:?}");
    }
    assert!(client.info("expired_subkeys") == "5");
}

#[test]
fn fields_are_removed_when_their_time_comes() {
    let server = Server::start(&["--notify-keyspace-events", "Eh"]);
    let mut client = server.connect();
    let fields: String = (0..3000).map(|number| format!(" field:{number} {number}")).collect();
    assert_eq!(client.ask(&format!("HSETEX large PX 2000 FIELDS 3000{fields}")), "1");
    client.play(
        "
        > HSET large stays 1
        1
        > HSETEX other PX 2000 FIELDS 1 a 1
        1
        > HSETEX deleted PX 2000 FIELDS 1 a 1
        1
        > DEL deleted
        1
        > HSETEX replaced PX 2000 FIELDS 1 a 1
        1
        > SET replaced v
        OK
        ",
    );
    let keys = client.info("db0");
    assert!(keys.contains("keys=3,") && keys.ends_with("subexpiry=2"), "{keys}");
    eventually("fields are removed", || client.ask("DBSIZE") == "2" && client.info("expired_subkeys") == "3001");
    assert_eq!(client.ask("HGETALL large"), "[stays 1]");
    assert!(client.info("db0").ends_with("subexpiry=0"));
}

#[test]
fn those_who_watch_a_hash_notice_that_fields_expire() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > HSETEX h PX 400 FIELDS 1 a 1
        1
        > HSET h b 2
        1
        > WATCH h
        OK
        ",
    );
    std::thread::sleep(Duration::from_millis(900));
    client.play(
        "
        > MULTI
        OK
        > PING
        QUEUED
        > EXEC
        nil
        ",
    );
}

#[test]
fn changes_of_deadlines_are_told() {
    let server = Server::start(&["--notify-keyspace-events", "KEA"]);
    let mut listener = server.connect();
    listener.ask("PSUBSCRIBE __keyevent@0__:*");
    let mut client = server.connect();
    for (request, events) in [
        ("HSET h a 1 b 2 c 3", &["hset"] as &[&str]),
        ("HEXPIRE h 100 FIELDS 1 a", &["hexpire"]),
        ("HEXPIRE h 100 NX FIELDS 1 a", &[]),
        ("HPERSIST h FIELDS 1 a", &["hpersist"]),
        ("HPERSIST h FIELDS 1 a", &[]),
        ("HGETEX h EX 100 FIELDS 1 a", &["hexpire"]),
        ("HGETEX h PERSIST FIELDS 2 a b", &["hpersist"]),
        ("HGETEX h EX 0 FIELDS 1 a", &["hexpired"]),
        ("HSETEX h EX 100 FIELDS 1 b 1", &["hset", "hexpire"]),
        ("HSETEX h EX 0 FIELDS 1 b 1", &["hset", "hexpire", "hexpired"]),
        ("HEXPIRE h 0 FIELDS 1 c", &["hexpired", "del"]),
        ("HSETEX h EX 0 FIELDS 1 b 1", &["hset", "hexpire", "hexpired", "del"]),
        ("HSET h a 1 b 2", &["hset"]),
        ("HGETDEL h FIELDS 2 a x", &["hdel"]),
        ("HGETDEL h FIELDS 1 b", &["hdel", "del"]),
    ] {
        client.ask(request);
        for event in events {
            let told = listener.reply();
            assert_eq!(told, format!("[pmessage __keyevent@0__:* __keyevent@0__:{event} h]"), "{request}");
        }
    }
}

#[test]
fn lists_are_sorted_by_fields() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > RPUSH l 1 2 3
        3
        > HSET weight_1 by 30 name one
        2
        > HSET weight_2 by 10 name two
        2
        > HSETEX weight_3 EX 100 FIELDS 2 by 20 name three
        1
        > SORT l BY weight_*->by GET weight_*->name GET weight_*->none
        [two nil three nil one nil]
        > RESTORE copy 0 x
        (ERR DUMP payload version or checksum are wrong)
        ",
    );
}
