//! Commands on sets, through a socket.

use crate::support::Server;
use std::collections::BTreeSet;

#[test]
fn members_are_added_found_and_removed() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > SADD s 3 1 2 3
        3
        > SADD s 3
        0
        > SMEMBERS s
        [1 2 3]
        > SADD s x 007
        2
        > SMEMBERS s
        [1 2 3 x 007]
        > SCARD s
        5
        > SISMEMBER s 2
        1
        > SISMEMBER s 7
        0
        > SMISMEMBER s 1 y 007
        [1 0 1]
        > SMISMEMBER none 1 y
        [0 0]
        > SREM s 1 y x
        2
        > SMEMBERS s
        [2 3 007]
        > TYPE s
        set
        > SREM s 2 3 007
        3
        > EXISTS s
        0
        > SREM s 1
        0
        > SCARD s
        0
        > SMEMBERS s
        []
        > SISMEMBER s 1
        0
        > SET text hello
        OK
        > SADD text a
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > SMEMBERS text
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > SADD s
        (ERR wrong number of arguments for 'sadd' command)
        > DEL s
        0
        ",
    );
}

#[test]
fn members_move_between_sets() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > SADD a 1 2 x
        3
        > SADD b 2
        1
        > SMOVE a b 1
        1
        > SMOVE a b 2
        1
        > SMOVE a b 9
        0
        > SMOVE none b 2
        0
        > SMEMBERS b
        [1 2]
        > SMOVE a a x
        1
        > SMOVE a a y
        0
        > SMOVE a c x
        1
        > EXISTS a c
        1
        > SET text hello
        OK
        > SMOVE b text 1
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > SMOVE text b 1
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > SMOVE none text 1
        0
        > SMEMBERS b
        [1 2]
        ",
    );
}

#[test]
fn sets_are_combined() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > SADD a 1 2 3 4
        4
        > SADD b 2 3 5
        3
        > SADD c 3 x
        2
        > SINTER a b c
        [3]
        > SINTER a b none
        []
        > SINTERCARD 2 a b
        2
        > SINTERCARD 2 a b LIMIT 1
        1
        > SINTERCARD 2 a b LIMIT 0
        2
        > SINTERCARD 2 a none
        0
        > SUNION a b
        [1 2 3 4 5]
        > SDIFF a b c
        [1 4]
        > SDIFF none a
        []
        > SDIFF a a
        []
        > SINTERSTORE d a b
        2
        > SMEMBERS d
        [2 3]
        > SUNIONSTORE a a b
        5
        > SMEMBERS a
        [1 2 3 4 5]
        > SET e text EX 100
        OK
        > SDIFFSTORE e a b
        2
        > TTL e
        -1
        > SDIFFSTORE e b b
        0
        > EXISTS e
        0
        > SUNIONSTORE e none
        0
        > SET text hello
        OK
        > SINTER none text
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > SUNIONSTORE a b text
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > SUNIONSTORE text b
        3
        > SINTERCARD 0 a
        (ERR numkeys should be greater than 0)
        > SINTERCARD x a
        (ERR numkeys should be greater than 0)
        > SINTERCARD 2 a
        (ERR Number of keys can't be greater than number of args)
        > SINTERCARD 1 a LIMIT
        (ERR syntax error)
        > SINTERCARD 1 a LIMIT -1
        (ERR LIMIT can't be negative)
        > SINTERCARD 1 a b
        (ERR syntax error)
        > SMEMBERS a
        [1 2 3 4 5]
        ",
    );
}

#[test]
fn random_members_are_read_and_popped() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > SADD s 1 2 3
        3
        > SRANDMEMBER s 10
        [1 2 3]
        > SRANDMEMBER s 0
        []
        > SRANDMEMBER none
        nil
        > SRANDMEMBER none 3
        []
        > SRANDMEMBER none -3
        []
        > SRANDMEMBER s x
        (ERR value is not an integer or out of range)
        > SRANDMEMBER s -9223372036854775808
        (ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807)
        > SRANDMEMBER s 1 2
        (ERR syntax error)
        > SPOP s 0
        []
        > SPOP s -1
        (ERR value is out of range, must be positive)
        > SPOP s x
        (ERR value is out of range, must be positive)
        > SPOP s 1 2
        (ERR syntax error)
        > SPOP none
        nil
        > SPOP none 2
        []
        > SPOP s 3
        [1 2 3]
        > EXISTS s
        0
        > SET text hello
        OK
        > SPOP text 0
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > SRANDMEMBER text
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        ",
    );
    let words = |reply: &str| -> Vec<String> {
        reply.trim_matches(['[', ']']).split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    for members in [10, 100, 1000] {
        let all: BTreeSet<String> = (0..members).map(|number| format!("m{number}")).collect();
        let add = format!("SADD s {}", all.iter().map(String::as_str).collect::<Vec<_>>().join(" "));
        assert_eq!(client.ask(&add), members.to_string());
        assert_eq!(words(&client.ask("SRANDMEMBER s -500")).len(), 500);
        assert!(all.contains(&client.ask("SRANDMEMBER s")));
        let sampled = words(&client.ask("SRANDMEMBER s 7"));
        assert_eq!(sampled.iter().collect::<BTreeSet<_>>().len(), 7);
        // One at a time, few of many, nearly all that are left, and the rest.
        let mut popped = vec![client.ask("SPOP s")];
        popped.extend(words(&client.ask("SPOP s 2")));
        let count = members - 5;
        popped.extend(words(&client.ask(&format!("SPOP s {count}"))));
        assert_eq!(popped.len(), members - 2);
        assert_eq!(client.ask("SCARD s"), "2");
        popped.extend(words(&client.ask("SPOP s 100")));
        assert_eq!(popped.len(), members);
        assert_eq!(popped.into_iter().collect::<BTreeSet<_>>(), all);
        assert_eq!(client.ask("EXISTS s"), "0");
    }
}

#[test]
fn a_reply_that_would_be_too_large_pops_nothing() {
    let server = Server::start(&["--client-output-buffer-limit", "normal", "100000", "0", "0"]);
    let mut client = server.connect();
    let member = "x".repeat(1000);
    for number in 0..200 {
        client.ask(&format!("SADD s {member}{number}"));
    }
    for command in ["SPOP s 150", "SPOP s 190", "SPOP s 200", "SRANDMEMBER s -1000000000"] {
        let mut greedy = server.connect();
        greedy.send(command);
        assert!(greedy.is_closed(), "{command}");
        assert_eq!(client.ask("SCARD s"), "200", "{command}");
    }
}

#[test]
fn forms_change_with_the_config() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > SADD s 1 2
        2
        > OBJECT ENCODING s
        intset
        > SADD s x
        1
        > OBJECT ENCODING s
        listpack
        > CONFIG SET set-max-listpack-entries 3 set-max-intset-entries 2 set-max-listpack-value 4
        OK
        > SADD s y
        1
        > OBJECT ENCODING s
        hashtable
        > SREM s x y
        2
        > OBJECT ENCODING s
        hashtable
        > COPY s copy
        1
        > OBJECT ENCODING copy
        hashtable
        > SINTERSTORE few s
        2
        > OBJECT ENCODING few
        intset
        > SUNIONSTORE same s
        2
        > OBJECT ENCODING same
        intset
        > SADD few 3
        1
        > OBJECT ENCODING few
        hashtable
        > SADD long x 12345
        2
        > OBJECT ENCODING long
        hashtable
        > SADD at-once x x x x
        1
        > OBJECT ENCODING at-once
        hashtable
        > SADD at-most xxxx
        1
        > OBJECT ENCODING at-most
        listpack
        > SMOVE at-most moved xxxx
        1
        > OBJECT ENCODING moved
        listpack
        ",
    );
}

#[test]
fn sets_are_scanned() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > SADD s 1 2 12 x
        4
        > SSCAN s 0
        [0 [1 2 12 x]]
        > SSCAN s 7 MATCH 1* COUNT 1
        [0 [1 12]]
        > SSCAN none 0 WHATEVER
        [0 []]
        > SSCAN s x
        (ERR invalid cursor)
        > SSCAN s 0 COUNT 0
        (ERR syntax error)
        > SSCAN s 0 COUNT x
        (ERR value is not an integer or out of range)
        > SSCAN s 0 MATCH
        (ERR syntax error)
        > SSCAN s 0 TYPE set
        (ERR syntax error)
        > SSCAN s 0 NOVALUES
        (ERR NOVALUES option can only be used in HSCAN)
        > SET text hello
        OK
        > SSCAN text 0 COUNT 0
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        ",
    );
    for number in 0..2000 {
        client.ask(&format!("SADD large member:{number}"));
    }
    for (options, expected) in [("COUNT 100", 2000), ("MATCH member:1*", 1111), ("MATCH *9", 200)] {
        let (mut cursor, mut seen, mut steps) = ("0".to_owned(), BTreeSet::new(), 0);
        loop {
            let reply = client.ask(&format!("SSCAN large {cursor} {options}"));
            let (next, members) = reply[1..].split_once(' ').expect("a cursor and members");
            seen.extend(members.trim_matches(['[', ']']).split(' ').filter(|word| !word.is_empty()).map(str::to_owned));
            steps += 1;
            if next == "0" {
                break;
            }
            cursor = next.to_owned();
        }
        assert_eq!(seen.len(), expected, "{options}");
        assert!(steps > 5, "{options}: {steps} steps");
    }
    assert_eq!(client.ask("SCAN 0 TYPE Set COUNT 100").split(' ').count(), 3);
    assert_eq!(client.ask("SCAN 0 TYPE string COUNT 100"), "[0 [text]]");
}

#[test]
fn replies_are_sets_in_resp3() {
    let server = Server::start(&[]);
    server.connect().ask("SADD s 1");
    for (command, expected) in [
        ("SMEMBERS s", "~1\r\n$1\r\n1\r\n"),
        ("SMEMBERS none", "~0\r\n"),
        ("SINTER s s", "~1\r\n$1\r\n1\r\n"),
        ("SUNION s", "~1\r\n$1\r\n1\r\n"),
        ("SDIFF s none", "~1\r\n$1\r\n1\r\n"),
        ("SMISMEMBER s 1", "*1\r\n:1\r\n"),
        ("SRANDMEMBER s 1", "*1\r\n$1\r\n1\r\n"),
        ("SPOP s 0", "~0\r\n"),
        ("SPOP s 1", "~1\r\n$1\r\n1\r\n"),
    ] {
        let mut other = server.connect();
        other.send_raw(format!("HELLO 3\r\n{command}\r\nQUIT\r\n").as_bytes());
        let reply = String::from_utf8(other.rest()).expect("text");
        assert!(reply.ends_with(&format!("{expected}+OK\r\n")), "{command}: {reply}");
    }
}

#[test]
fn changes_of_sets_are_published_and_watched() {
    let server = Server::start(&["--notify-keyspace-events", "Esg"]);
    let mut listener = server.connect();
    assert!(listener.ask("PSUBSCRIBE __keyevent@0__:*").starts_with("[psubscribe"));
    let mut client = server.connect();
    for command in [
        "SADD a 1 2 3",
        "SADD a 1",
        "SREM a 1 9",
        "SREM a 9",
        "SMOVE a b 2",
        "SMOVE a b 3",
        "SPOP b 1",
        "SPOP b",
        "SADD c 1",
        "SINTERSTORE d c",
        "SUNIONSTORE d c",
        "SDIFFSTORE d c",
        "SDIFFSTORE d none",
        "SDIFFSTORE d none",
    ] {
        client.ask(command);
    }
    for event in [
        "sadd a",
        "srem a",
        "srem a",
        "sadd b",
        "srem a",
        "del a",
        "sadd b",
        "spop b",
        "spop b",
        "del b",
        "sadd c",
        "sinterstore d",
        "sunionstore d",
        "sdiffstore d",
        "del d",
    ] {
        let (event, key) = event.split_once(' ').expect("an event and a key");
        assert_eq!(listener.reply(), format!("[pmessage __keyevent@0__:* __keyevent@0__:{event} {key}]"));
    }
    let mut other = server.connect();
    for (command, expected) in [("SADD c 1", "[PONG]"), ("SREM c 9", "[PONG]"), ("SADD c 2", "nil"), ("SPOP c", "nil")]
    {
        client.ask("WATCH c");
        other.ask(command);
        client.ask("MULTI");
        client.ask("PING");
        assert_eq!(client.ask("EXEC"), expected, "{command}");
    }
    client.ask("CONFIG RESETSTAT");
    let before: u64 = client.info("rdb_changes_since_last_save").parse().expect("a number");
    client.ask("SADD e 1 2 3 4 5");
    client.ask("SREM e 1 2 9");
    client.ask("SPOP e 2");
    assert_eq!(client.info("rdb_changes_since_last_save"), (before + 9).to_string());
}

#[test]
fn large_sets_are_told_about_copied_and_freed() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    for begin in (0..60_000).step_by(1000) {
        let members: Vec<String> = (begin..begin + 1000).map(|number| format!("member:{number}")).collect();
        client.ask(&format!("SADD large {}", members.join(" ")));
    }
    let bytes: usize = client.ask("MEMORY USAGE large").parse().expect("a number");
    assert!((400_000..800_000).contains(&bytes), "{bytes}");
    assert_eq!(client.ask("COPY large copy"), "1");
    let digests = client.ask("DEBUG DIGEST-VALUE large copy");
    let (first, second) = digests[1..digests.len() - 1].split_once(' ').expect("two digests");
    assert_eq!(first, second);
    client.ask("SADD copy x");
    assert_eq!(client.ask("SCARD large"), "60000");
    assert_eq!(client.ask("SINTERCARD 2 large copy"), "60000");
    client.ask("CONFIG RESETSTAT");
    assert_eq!(client.ask("UNLINK large"), "1");
    assert_eq!(client.ask("SPOP copy 70000").split(' ').count(), 60_001);
    crate::support::eventually("both are freed in the background", || client.info("lazyfreed_objects") == "2");
}
