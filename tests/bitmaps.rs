//! Bitmap commands, through a socket.

use crate::support::Server;

#[test]
fn single_bits_are_set_and_read() {
    Server::start(&[]).connect().play(
        "
        > SETBIT k 7 1
        0
        > SETBIT k 7 0
        1
        > SETBIT k 100 1
        0
        > STRLEN k
        13
        > GETBIT k 100
        1
        > GETBIT k 4294967295
        0
        > GETBIT k 4294967296
        (ERR bit offset is not an integer or out of range)
        > SETBIT k -1 0
        (ERR bit offset is not an integer or out of range)
        > SETBIT k 0 2
        (ERR bit is not an integer or out of range)
        > SET n 1
        OK
        > SETBIT n 6 1
        0
        > GET n
        3
        > SETBIT far 79999999 1
        0
        > BITCOUNT far
        1
        > BITPOS far 1
        79999999
        ",
    );
}

#[test]
fn bits_are_counted_and_found_in_ranges() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > SET k foobar
        OK
        > BITCOUNT k
        26
        > BITCOUNT k 1 1
        6
        > BITCOUNT k -2 -1
        7
        > BITCOUNT k 5 30 BIT
        17
        > BITCOUNT k 5 6 BIT
        2
        > BITCOUNT k 3 1
        0
        > BITCOUNT k 0
        (ERR syntax error)
        > BITCOUNT k 0 1 NIBBLE
        (ERR syntax error)
        > BITPOS k 1
        1
        > BITPOS k 1 2
        17
        > BITPOS k 1 2 -1 BIT
        2
        > BITPOS k 0 10
        -1
        > BITPOS missing 0
        0
        > BITPOS missing 1
        -1
        > BITPOS k 2
        (ERR The bit argument must be 1 or 0.)
        > BITFIELD full SET i16 0 -1
        [0]
        > BITPOS full 0
        16
        > BITPOS full 0 1
        16
        > BITPOS full 0 2
        -1
        > BITPOS full 0 0 -1
        -1
        > BITPOS full 0 3 14 BIT
        -1
        ",
    );
    assert_eq!(client.ask_words(&["SET", "long", &"U".repeat(1_000_000)]), "OK");
    assert_eq!(client.ask("BITCOUNT long"), "4000000");
    assert_eq!(client.ask("BITCOUNT long 1 7999998 BIT"), "3999999");
    assert_eq!(client.ask("BITPOS long 0 1 1 BIT"), "-1");
    assert_eq!(client.ask("SETBIT long 6000000 1"), "0");
    assert_eq!(client.ask("BITPOS long 1 6000000 -1 BIT"), "6000000");
}

#[test]
fn strings_are_combined() {
    Server::start(&[]).connect().play(
        "
        > MSET a abcdef b ABC
        OK
        > BITOP AND d a b
        6
        > BITCOUNT d 3 -1
        0
        > GETRANGE d 0 2
        ABC
        > BITOP OR d a b
        6
        > GET d
        abcdef
        > BITOP DIFF d a b
        6
        > GETRANGE d 3 5
        def
        > BITOP NOT d a
        6
        > BITOP NOT d d
        6
        > GET d
        abcdef
        > BITOP XOR d a a
        6
        > BITCOUNT d
        0
        > BITOP OR d missing
        0
        > GET d
        nil
        > BITOP NOT d a b
        (ERR BITOP NOT must be called with a single source key.)
        > BITOP DIFF1 d a
        (ERR BITOP DIFF1 must be called with at least two source keys.)
        > BITOP NOR d a
        (ERR syntax error)
        ",
    );
}

#[test]
fn integers_of_any_width_live_in_strings() {
    Server::start(&[]).connect().play(
        "
        > BITFIELD k SET u8 0 255 GET u4 2 INCRBY i5 #1 -3
        [0 15 -7]
        > BITFIELD k INCRBY u2 100 1 OVERFLOW SAT INCRBY u2 102 4 OVERFLOW FAIL INCRBY u2 102 1
        [1 3 nil]
        > BITFIELD k OVERFLOW SAT SET i8 0 -200 GET i8 0
        [-2 -128]
        > BITFIELD k INCRBY i64 200 9223372036854775807 INCRBY i64 200 1
        [9223372036854775807 -9223372036854775808]
        > BITFIELD k GET u64 0
        (ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.)
        > BITFIELD k GET u8 -1
        (ERR bit offset is not an integer or out of range)
        > BITFIELD k OVERFLOW NEVER
        (ERR Invalid OVERFLOW type specified)
        > BITFIELD k GET u8
        (ERR syntax error)
        > BITFIELD_RO k GET u2 102
        [3]
        > BITFIELD_RO k SET u2 102 0
        (ERR BITFIELD_RO only supports the GET subcommand)
        > BITFIELD missing GET u8 0
        [0]
        > GET missing
        nil
        ",
    );
}
