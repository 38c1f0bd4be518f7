//! `SORT`, through a socket.

use crate::support::Server;

#[test]
fn elements_are_sorted_by_themselves() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > RPUSH l 10 9 8 1 2
        5
        > SORT l
        [1 2 8 9 10]
        > SORT l DESC
        [10 9 8 2 1]
        > SORT l LIMIT 1 2
        [2 8]
        > SORT l LIMIT -1 2
        [1 2]
        > SORT l LIMIT 3 -1
        [9 10]
        > SORT l LIMIT 10 2
        []
        > SORT l ALPHA
        [1 10 2 8 9]
        > SORT l ALPHA DESC LIMIT 0 2
        [9 8]
        > SADD s b a c
        3
        > SORT s ALPHA
        [a b c]
        > SORT s
        (ERR One or more scores can't be converted into double)
        > ZADD z 3 a 1 b 2 c
        3
        > SORT z ALPHA DESC
        [c b a]
        > SORT none
        []
        > SORT l LIMIT x 2
        (ERR value is not an integer or out of range)
        > SORT l LIMIT 1
        (ERR syntax error)
        > SORT l BY
        (ERR syntax error)
        > SORT l STORE
        (ERR syntax error)
        > SORT_RO l STORE d
        (ERR syntax error)
        > SET text hello
        OK
        > SORT text
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > SORT text WHAT
        (ERR syntax error)
        ",
    );
}

#[test]
fn elements_are_sorted_by_other_keys() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > RPUSH l 10 9 8 1 2
        5
        > MSET w_10 1 w_9 2 w_8 3 w_1 4 o_10 ten o_9 nine
        OK
        > SORT l BY w_*
        [2 10 9 8 1]
        > SORT l BY w_* DESC LIMIT 0 2
        [1 8]
        > SORT l BY w_* GET o_* GET # GET nothing
        [nil 2 nil ten 10 nil nine 9 nil nil 8 nil nil 1 nil]
        > SORT l BY o_* ALPHA LIMIT 3 -1
        [9 10]
        > SORT l BY o_*
        (ERR One or more scores can't be converted into double)
        > SORT_RO l BY nosort GET #
        [10 9 8 1 2]
        > SORT l BY nosort DESC LIMIT 1 2
        [1 8]
        > ZADD z 3 a 1 b 2 c
        3
        > SORT z BY nosort
        [b c a]
        > SORT z BY nosort DESC LIMIT 0 1
        [a]
        > MULTI
        OK
        > SORT l BY w_* LIMIT 0 1
        QUEUED
        > EXEC
        [[2]]
        > COMMAND GETKEYS SORT l BY w_* STORE d LIMIT 1 2 STORE e
        [l e]
        ",
    );
}

#[test]
fn a_result_is_stored() {
    let server = Server::start(&["--notify-keyspace-events", "Elg"]);
    let mut listener = server.connect();
    let mut waiting = server.connect();
    waiting.send("BLPOP fed 0");
    let mut client = server.connect();
    client.play(
        "
        > RPUSH l 3 1 2
        3
        > SET d text EX 100
        OK
        > SORT l STORE d
        3
        > LRANGE d 0 -1
        [1 2 3]
        > TTL d
        -1
        > SORT l BY nosort GET w_* STORE d
        3
        > LRANGE d 0 -1
        [  ]
        > SORT l STORE l
        3
        > LRANGE l 0 -1
        [1 2 3]
        > SORT none STORE d
        0
        > EXISTS d
        0
        > SADD s b a c
        3
        > SORT s BY nosort DESC STORE d
        3
        > LRANGE d 0 -1
        [c b a]
        ",
    );
    assert!(listener.ask("PSUBSCRIBE __keyevent@0__:*").starts_with("[psubscribe"));
    let before: u64 = client.info("rdb_changes_since_last_save").parse().expect("a number");
    assert_eq!(client.ask("SORT l STORE e"), "3");
    assert_eq!(client.ask("SORT none STORE e"), "0");
    assert_eq!(client.ask("SORT none STORE e"), "0");
    assert_eq!(client.info("rdb_changes_since_last_save"), (before + 4).to_string());
    assert_eq!(client.ask("SORT l STORE fed"), "3");
    assert_eq!(waiting.reply(), "[fed 1]");
    for event in ["sortstore e", "del e", "sortstore fed", "lpop fed"] {
        let (event, key) = event.split_once(' ').expect("an event and a key");
        assert_eq!(listener.reply(), format!("[pmessage __keyevent@0__:* __keyevent@0__:{event} {key}]"));
    }
}
