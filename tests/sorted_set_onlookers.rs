//! What others notice of commands on sorted sets: clients that wait, listen or watch.

use crate::support::{Connection, Server, eventually};
use std::time::Duration;

/// A client that has sent `command` and waits.
fn waiting(server: &Server, command: &str) -> Connection {
    let mut observer = server.connect();
    let before: usize = observer.info("blocked_clients").parse().expect("a number");
    let mut client = server.connect();
    client.send(command);
    let after = (before + 1).to_string();
    eventually("the client waits", || observer.info("blocked_clients") == after);
    client
}

#[test]
fn who_waits_is_served_when_there_is_a_set() {
    let server = Server::start(&["--threads", "2"]);
    let mut client = server.connect();
    for (command, reply) in [
        ("BZPOPMIN none q 0", "[q a 1]"),
        ("BZPOPMAX q none 0", "[q b 2]"),
        ("BZMPOP 0 2 none q MAX COUNT 2", "[q [[b 2] [a 1]]]"),
        ("BZMPOP 0 1 q MIN", "[q [[a 1]]]"),
    ] {
        for (feed, answer) in [
            ("ZADD q 1 a 2 b", "2"),
            ("ZUNIONSTORE q 1 source", "2"),
            ("ZRANGESTORE q source 0 -1", "2"),
            ("RENAME copy q", "OK"),
        ] {
            client.play("> FLUSHALL\nOK\n> ZADD source 1 a 2 b\n2\n> COPY source copy\n1");
            let mut waiter = waiting(&server, command);
            assert_eq!(client.ask(feed), answer);
            assert_eq!(waiter.reply(), reply, "to {command} after {feed}");
        }
    }
    // A list is no sorted set.
    client.ask("FLUSHALL");
    let mut waiter = waiting(&server, "BZPOPMIN q 0");
    client.play("> LPUSH q a\n1\n> DEL q\n1\n> MULTI\nOK\n> ZADD q 1 a\nQUEUED\n> DEL q\nQUEUED\n> EXEC\n[1 1]");
    std::thread::sleep(Duration::from_millis(20));
    client.play("> ZADD q 3 c\n1");
    assert_eq!(waiter.reply(), "[q c 3]");
    let (mut first, mut second) = (waiting(&server, "BZPOPMIN q 0"), waiting(&server, "BZPOPMAX q 0"));
    client.play("> ZADD q 1 a 2 b 3 c\n3");
    assert_eq!((first.reply(), second.reply()), ("[q a 1]".into(), "[q c 3]".into()));
    client.play("> ZRANGE q 0 -1\n[b]");
}

#[test]
fn changes_of_sorted_sets_are_published() {
    let server = Server::start(&["--notify-keyspace-events", "Ezg"]);
    let mut listener = server.connect();
    assert!(listener.ask("PSUBSCRIBE __keyevent@0__:*").starts_with("[psubscribe"));
    let mut client = server.connect();
    for command in [
        "ZADD z 1 a 2 b 3 c 4 d 5 e 6 f",
        "ZADD z 1 a",
        "ZADD z XX 1 none",
        "ZINCRBY z 1 a",
        "ZINCRBY z 0 a",
        "ZADD z INCR NX 1 a",
        "ZREM z none",
        "ZREM z a",
        "ZPOPMIN z",
        "ZPOPMAX z 2",
        "ZPOPMAX z 0",
        "ZREMRANGEBYRANK z 5 6",
        "ZADD z 0 a",
        "ZREMRANGEBYRANK z 0 0",
        "ZREMRANGEBYSCORE z 3 3",
        "ZUNIONSTORE u 1 z",
        "ZINTERSTORE i 1 z",
        "ZDIFFSTORE d 1 z",
        "ZRANGESTORE r z 0 -1",
        "ZRANGESTORE r z 5 6",
        "ZINTERSTORE i 1 none",
        "ZDIFFSTORE none 1 none",
        "ZREMRANGEBYLEX z - +",
        "ZMPOP 1 u MIN",
        "BZPOPMAX d 0",
    ] {
        client.ask(command);
    }
    for event in [
        "zadd z",
        "zincr z",
        "zrem z",
        "zpopmin z",
        "zpopmax z",
        "zadd z",
        "zremrangebyrank z",
        "zremrangebyscore z",
        "zunionstore u",
        "zinterstore i",
        "zdiffstore d",
        "zrangestore r",
        "del r",
        "del i",
        "zremrangebylex z",
        "del z",
        "zpopmin u",
        "del u",
        "zpopmax d",
        "del d",
    ] {
        let (event, key) = event.split_once(' ').expect("an event and a key");
        assert_eq!(listener.reply(), format!("[pmessage __keyevent@0__:* __keyevent@0__:{event} {key}]"));
    }
}

#[test]
fn a_watched_set_is_touched_by_changes_alone() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.ask("ZADD z 1 a 2 b");
    for (command, result) in [
        ("ZADD z 1 a", "[PONG]"),
        ("ZADD z GT 0 a", "[PONG]"),
        ("ZREM z none", "[PONG]"),
        ("ZREMRANGEBYSCORE z 8 9", "[PONG]"),
        ("ZINCRBY z 1 a", "nil"),
        ("ZPOPMIN z", "nil"),
        ("ZUNIONSTORE z 1 z", "nil"),
    ] {
        assert_eq!(client.ask("WATCH z"), "OK");
        server.connect().ask(command);
        client.play("> MULTI\nOK\n> PING\nQUEUED");
        assert_eq!(client.ask("EXEC"), result, "after {command}");
    }
}
