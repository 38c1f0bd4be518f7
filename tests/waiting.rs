//! Clients that wait for a key: what they cost while they wait, what they leave behind, and what they hear.

use crate::support::{Connection, Local, Server, eventually};
use std::sync::Arc;

/// Waits until so many clients are blocked.
fn until_blocked(client: &mut Connection, count: usize) {
    let line = format!("blocked_clients:{count}\r\n");
    eventually(&line, || client.ask("INFO clients").contains(&line));
}

#[test]
fn a_client_that_leaves_while_it_waits_is_freed() {
    let local = Local::new();
    let mut session = local.connect();
    let left = Arc::downgrade(&session.client);
    local.run(&mut session, "BLPOP q 0");
    assert!(session.blocked.is_some());
    radish::command::leave(&local.0, &mut session);
    drop(session);
    assert_eq!(left.strong_count(), 0);
}

#[test]
fn a_hundred_thousand_keys_are_watched_and_waited_for_by_one_client() {
    let server = Server::start(&["--threads", "2"]);
    let keys: Vec<String> = (0..100_000).map(|number| format!("key:{number}")).collect();
    let names = keys.iter().map(String::as_str);
    let mut client = server.connect();
    client.send_words(&["WATCH"].into_iter().chain(names.clone()).collect::<Vec<_>>());
    assert_eq!(client.reply(), "OK");
    client.play(
        "
        > MULTI
        OK
        > EXEC
        []
    ",
    );
    let twice = names.clone().chain(names);
    client.send_words(&["BLPOP"].into_iter().chain(twice).chain(["0"]).collect::<Vec<_>>());
    let mut other = server.connect();
    until_blocked(&mut other, 1);
    assert_eq!(other.ask("RPUSH key:99999 a b"), "2");
    assert_eq!(client.reply(), "[key:99999 a]");
    assert_eq!(other.ask("LRANGE key:99999 0 -1"), "[b]");
    // Nobody waits any more.
    assert_eq!(other.ask("RPUSH key:0 a"), "1");
    assert_eq!(other.ask("LLEN key:0"), "1");
}

#[test]
fn a_client_that_wants_no_replies_gets_none_to_what_it_waited_for() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    for (mode, after) in [("OFF", "CLIENT REPLY ON"), ("SKIP", "PING")] {
        for ending in ["RPUSH q a", "CLIENT UNBLOCK", "in time"] {
            let timeout = if ending == "in time" { "0.01" } else { "0" };
            let id = client.ask("CLIENT ID");
            client.send(&format!("CLIENT REPLY {mode}"));
            client.send(&format!("BLPOP q {timeout}"));
            match ending {
                "in time" => {}
                ending => {
                    until_blocked(&mut other, 1);
                    let ending = if ending.ends_with("UNBLOCK") { format!("{ending} {id}") } else { ending.into() };
                    assert_eq!(other.ask(&ending), "1");
                }
            }
            client.send(after);
            assert_eq!(client.reply(), if mode == "OFF" { "OK" } else { "PONG" }, "{mode}, {ending}");
            assert_eq!(client.ask("ECHO heard"), "heard");
        }
    }
}

#[test]
fn what_a_client_agreed_on_holds_when_it_is_served() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-lfu"]);
    let (mut client, mut other) = (server.connect(), server.connect());
    assert_eq!(client.ask("CLIENT NO-TOUCH ON"), "OK");
    assert_eq!(other.ask("RPUSH there x"), "1");
    let frequency = other.ask("OBJECT FREQ there");
    client.send("BLMOVE here there LEFT RIGHT 0");
    until_blocked(&mut other, 1);
    assert_eq!(other.ask("RPUSH here y"), "1");
    assert_eq!(client.reply(), "y");
    assert_eq!(other.ask("OBJECT FREQ there"), frequency);
    // The one who feeds it has agreed on something else, which holds for itself.
    assert_eq!(other.ask("LPUSH there z"), "3");
    assert_ne!(other.ask("OBJECT FREQ there"), frequency);
}

#[test]
fn an_inline_request_behind_a_wait_or_a_pause_keeps_its_quotes() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    client.send_raw(b"BLPOP q 0\r\nSET k \"a \\x41 b\"\r\n'GET' k\r\n");
    until_blocked(&mut other, 1);
    assert_eq!(other.ask("RPUSH q e"), "1");
    assert_eq!([client.reply(), client.reply(), client.reply()], ["[q e]", "OK", "a A b"]);
    assert_eq!(other.ask("CLIENT PAUSE 60000 WRITE"), "OK");
    client.send_raw(b"PING\r\nSET k \"c  d\"\r\nGET k\r\n");
    until_blocked(&mut other, 1);
    assert_eq!(other.ask("CLIENT UNPAUSE"), "OK");
    assert_eq!([client.reply(), client.reply(), client.reply()], ["PONG", "OK", "c  d"]);
}

#[test]
fn a_client_that_leaves_behind_much_that_it_sent_while_waiting_takes_nothing() {
    let server = Server::start(&[]);
    let mut other = server.connect();
    let mut client = server.connect();
    client.send("BLPOP q 0");
    until_blocked(&mut other, 1);
    client.send_raw(&b"PING\r\n".repeat(100_000));
    drop(client);
    until_blocked(&mut other, 0);
    assert_eq!(other.ask("RPUSH q e"), "1");
    assert_eq!(other.ask("LRANGE q 0 -1"), "[e]");
}

#[test]
fn what_a_client_sends_while_it_waits_is_held_to_the_limit_of_its_query_buffer() {
    let server = Server::start(&["--client-query-buffer-limit", "1mb"]);
    let (mut client, mut other) = (server.connect(), server.connect());
    client.send("BLPOP q 0");
    until_blocked(&mut other, 1);
    client.send_raw(&b"PING\r\n".repeat(100_000));
    assert_eq!(other.ask("RPUSH q e"), "1");
    assert_eq!(client.reply(), "[q e]");
    for _ in 0..100_000 {
        assert_eq!(client.reply(), "PONG");
    }
    client.send("BLPOP q 0");
    until_blocked(&mut other, 1);
    client.try_send_raw(&b"PING\r\n".repeat(1_000_000));
    until_blocked(&mut other, 0);
    assert!(client.is_closed());
}
