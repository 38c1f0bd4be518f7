//! String commands, through a socket.

use crate::support::Server;

#[test]
fn set_takes_conditions_and_expiries() {
    Server::start(&[]).connect().play(
        "
        > SET k v
        OK
        > SET k w NX
        nil
        > SET k w XX GET
        v
        > SET missing v XX
        nil
        > SET missing v XX GET
        nil
        > SET k x IFEQ other
        nil
        > SET k x IFEQ w GET
        w
        > GET k
        x
        > SET k v NX XX
        (ERR syntax error)
        > SET k v NX IFEQ x
        (ERR syntax error)
        > SET k v EX
        (ERR syntax error)
        > SET k v EX 10 PX 10
        (ERR syntax error)
        > SET k v EX 10 KEEPTTL
        (ERR syntax error)
        > SET k v EX ten
        (ERR value is not an integer or out of range)
        > SET k v EX 0
        (ERR invalid expire time in 'set' command)
        > SET k v PX 9223372036854775807
        (ERR invalid expire time in 'set' command)
        > SET k v EXAT 1
        OK
        > GET k
        nil
        > SETEX k 0 v
        (ERR invalid expire time in 'setex' command)
        > PSETEX k 100000 v
        OK
        > GETEX k PERSIST EX 10
        (ERR syntax error)
        > GETEX k EX 10
        v
        > GETEX k PXAT 1
        v
        > GETEX k
        nil
        > SETNX k 1
        1
        > SETNX k 2
        0
        > GETSET k 3
        1
        > GETDEL k
        3
        > GETDEL k
        nil
        ",
    );
}

#[test]
fn a_deadline_ends_its_key_unless_it_is_lifted() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > SET short v PX 30
        OK
        > SET kept v PX 30
        OK
        > SET kept w KEEPTTL
        OK
        > SET lifted v PX 30
        OK
        > GETEX lifted PERSIST
        v
        > SET overwritten v PX 30
        OK
        > SET overwritten w
        OK
        > SET counter 5 PX 30
        OK
        > INCR counter
        6
        ",
    );
    std::thread::sleep(std::time::Duration::from_millis(60));
    assert_eq!(client.ask("MGET short kept lifted overwritten counter"), "[nil nil v w nil]");
}

#[test]
fn several_strings_are_written_at_once_or_not_at_all() {
    Server::start(&[]).connect().play(
        "
        > MSET a 1 b 2
        OK
        > MSET a 1 b
        (ERR wrong number of arguments for 'mset' command)
        > MSETNX c 3 a 4
        0
        > MGET a b c
        [1 2 nil]
        > MSETNX c 3 d 4
        1
        > MSETEX 2 a x b y XX EX 100
        1
        > MSETEX 1 e z XX
        0
        > MSETEX 1 a z NX
        0
        > MSETEX 0 a z
        (ERR invalid numkeys value or out of range)
        > MSETEX 2 a z
        (ERR syntax error)
        > MGET a b c d e
        [x y 3 4 nil]
        > DELIFEQ a other
        0
        > DELIFEQ a x
        1
        > DELIFEQ a x
        0
        ",
    );
}

#[test]
fn counters_keep_within_64_bits() {
    Server::start(&[]).connect().play(
        "
        > INCR n
        1
        > INCRBY n 126
        127
        > INCR n
        128
        > DECRBY n 129
        -1
        > GET n
        -1
        > SET n 9223372036854775807
        OK
        > INCR n
        (ERR increment or decrement would overflow)
        > DECRBY n -9223372036854775808
        (ERR decrement would overflow)
        > INCRBY n 1.5
        (ERR value is not an integer or out of range)
        > SET n 01
        OK
        > INCR n
        (ERR value is not an integer or out of range)
        > APPEND m 12
        2
        > APPEND m 3
        3
        > INCR m
        124
        ",
    );
}

#[test]
fn parts_are_read_and_written() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > APPEND s Hello
        5
        > SETRANGE s 6 World
        11
        > GETRANGE s 6 -1
        World
        > GETRANGE s -5 -4
        Wo
        > SUBSTR s 0 4
        Hello
        > SETRANGE s -1 x
        (ERR offset is out of range)
        > SETRANGE s 536870912 x
        (ERR string exceeds maximum allowed size (proto-max-bulk-len))
        > SETRANGE s 9223372036854775807 x
        (ERR string exceeds maximum allowed size (proto-max-bulk-len))
        > STRLEN s
        11
        > STRLEN missing
        0
        > SET n 10
        OK
        > SETRANGE n 1 2
        2
        > INCR n
        13
        ",
    );
    assert_eq!(client.ask("GET s"), "Hello\0World");
    assert_eq!(client.ask("GETRANGE s 4 2"), "");
    assert_eq!(client.ask("SETRANGE missing 0 "), "0");
    assert_eq!(client.ask("GET missing"), "nil");
}

#[test]
fn long_strings_are_like_short_ones() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let text = "the same words over and over; ".repeat(100_000);
    assert_eq!(client.ask_words(&["SET", "k", &text]), "OK");
    assert_eq!(client.ask("STRLEN k"), text.len().to_string());
    assert_eq!(client.ask("GETRANGE k 1000000 1000029"), text[1_000_000..1_000_030]);
    assert_eq!(client.ask("SETRANGE k 1000000 XYZ"), text.len().to_string());
    assert_eq!(client.ask("APPEND k end"), (text.len() + 3).to_string());
    let mut changed = text.clone();
    changed.replace_range(1_000_000..1_000_003, "XYZ");
    changed.push_str("end");
    assert!(client.ask("GET k") == changed);
    assert!(client.ask("GETDEL k") == changed);
    for len in 990..1040 {
        let text = &text[..len];
        assert_eq!(client.ask_words(&["SET", "k", text]), "OK");
        assert_eq!(client.ask_words(&["DELIFEQ", "k", text]), "1", "{len} bytes");
        assert_eq!(client.ask_words(&["APPEND", "k", text]), len.to_string());
        assert_eq!(client.ask("APPEND k !"), (len + 1).to_string());
        assert_eq!(client.ask("GETDEL k"), format!("{text}!"));
    }
}

#[test]
fn common_subsequences_are_shown_as_text_length_or_runs() {
    Server::start(&[]).connect().play(
        "
        > MSET a ohmytext b mynewtext
        OK
        > LCS a b
        mytext
        > LCS a b LEN
        6
        > LCS a b IDX
        [matches [[[4 7] [5 8]] [[2 3] [0 1]]] len 6]
        > LCS a b IDX MINMATCHLEN 3 WITHMATCHLEN
        [matches [[[4 7] [5 8] 4]] len 6]
        > LCS a missing LEN
        0
        > LCS a b LEN IDX
        (ERR If you want both the length and indexes, please just use IDX.)
        > LCS a b MINMATCHLEN
        (ERR syntax error)
        ",
    );
}

#[test]
fn changes_are_published() {
    let server = Server::start(&["--notify-keyspace-events", "KEA"]);
    let mut listener = server.connect();
    listener.ask("PSUBSCRIBE __keyevent@0__:*");
    let mut events = |command: &str, expected: &[&str]| {
        server.connect().ask(command);
        for event in expected {
            let name = format!("__keyevent@0__:{event}");
            assert_eq!(listener.reply(), format!("[pmessage __keyevent@0__:* {name} k]"), "of {command:?}");
        }
    };
    events("SET k v", &["set"]);
    events("SET k v NX", &[]);
    events("SET k v EX 100", &["set", "expire"]);
    events("GETEX k EX 100", &["expire"]);
    events("GETEX k PERSIST", &["persist"]);
    events("GETEX k PERSIST", &[]);
    events("GETEX k EXAT 1", &["expired"]);
    events("SET k 1 EXAT 1", &[]);
    events("INCR k", &["incrby"]);
    events("DECRBY k 5", &["incrby"]);
    events("APPEND k x", &["append"]);
    events("SETRANGE k 0 x", &["setrange"]);
    events("GETSET k v", &["set"]);
    events("MSET k v", &["set"]);
    events("MSETEX 1 k v PX 10000", &["set", "expire"]);
    events("SETBIT k 1 0", &["setbit"]);
    events("SETBIT k 1 0", &[]);
    events("BITFIELD k SET u8 0 1 SET u8 0 2", &["setbit"]);
    events("BITOP OR k k", &["set"]);
    events("BITOP OR k missing", &["del"]);
    events("PSETEX k 10000 v", &["set", "expire"]);
    events("GETDEL k", &["del"]);
    events("GETDEL k", &[]);
    events("SETNX k 1", &["set"]);
    events("DELIFEQ k 1", &["del"]);
}
