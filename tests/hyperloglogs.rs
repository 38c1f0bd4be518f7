//! Commands on HyperLogLogs, through a socket.

use crate::support::Server;

#[test]
fn different_elements_are_counted() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > PFADD a
        1
        > PFADD a
        0
        > PFCOUNT a
        0
        > PFADD a x y z
        1
        > PFADD a x
        0
        > PFCOUNT a
        3
        > PFCOUNT a
        3
        > PFADD b z 1 2
        1
        > PFCOUNT a b
        5
        > PFCOUNT none
        0
        > PFCOUNT none a
        3
        > PFMERGE c a b none
        OK
        > PFCOUNT c
        5
        > PFMERGE d
        OK
        > PFCOUNT d
        0
        > TYPE c
        string
        > STRLEN d
        18
        > PFDEBUG ENCODING c
        sparse
        > PFDEBUG TODENSE c
        1
        > PFDEBUG TODENSE c
        0
        > PFDEBUG ENCODING c
        dense
        > STRLEN c
        12304
        > PFADD c x
        0
        > PFADD c more
        1
        > PFCOUNT c
        6
        > PFMERGE d c
        OK
        > PFDEBUG ENCODING d
        dense
        > PFCOUNT d
        6
        > PFSELFTEST
        OK
        ",
    );
    client.ask("DEL hll");
    client.ask("PFADD hll a b c");
    assert_eq!(client.ask("PFDEBUG DECODE hll"), "Z:8436 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603");
    let registers = client.ask("PFDEBUG GETREG hll");
    assert_eq!(registers.split(' ').filter(|value| *value != "0" && *value != "0]" && *value != "[0").count(), 3);
    assert_eq!(client.ask("PFDEBUG DECODE hll"), "(ERR HLL encoding is not sparse)");
}

#[test]
fn what_is_no_hyperloglog_is_refused() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > SET text hello
        OK
        > PFADD text a
        (WRONGTYPE Key is not a valid HyperLogLog string value.)
        > PFCOUNT text
        (WRONGTYPE Key is not a valid HyperLogLog string value.)
        > RPUSH l a
        1
        > PFADD l a
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > PFMERGE new l
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > PFCOUNT none text
        (WRONGTYPE Key is not a valid HyperLogLog string value.)
        > EXISTS new
        0
        > PFADD h a
        1
        > APPEND h xxx
        24
        > SETRANGE h 16 x
        24
        > PFADD h b
        (INVALIDOBJ Corrupted HLL object detected)
        > PFCOUNT h
        (INVALIDOBJ Corrupted HLL object detected)
        > PFMERGE new h
        (INVALIDOBJ Corrupted HLL object detected)
        > PFDEBUG ENCODING none
        (ERR The specified key does not exist)
        > PFDEBUG what h
        (ERR Unknown PFDEBUG subcommand 'what')
        ",
    );
}

#[test]
fn a_sparse_one_becomes_dense_at_its_limit() {
    let server = Server::start(&["--notify-keyspace-events", "E$"]);
    let mut client = server.connect();
    let mut listener = server.connect();
    assert!(listener.ask("PSUBSCRIBE __keyevent@0__:*").starts_with("[psubscribe"));
    client.ask("CONFIG SET hll-sparse-max-bytes 100");
    let mut changed = 0;
    for number in 0..2000 {
        changed += usize::from(client.ask(&format!("PFADD h element:{number}")) == "1");
        let (encoding, len) = (client.ask("PFDEBUG ENCODING h"), client.ask("STRLEN h"));
        match encoding.as_str() {
            "sparse" => assert!(len.parse::<usize>().is_ok_and(|len| len <= 100), "{len}"),
            _ => assert_eq!(len, "12304"),
        }
    }
    assert_eq!(client.ask("PFDEBUG ENCODING h"), "dense");
    let count: i64 = client.ask("PFCOUNT h").parse().expect("a number");
    assert!((1900..2100).contains(&count), "{count}");
    for _ in 0..changed {
        assert_eq!(listener.reply(), "[pmessage __keyevent@0__:* __keyevent@0__:pfadd h]");
    }
}
