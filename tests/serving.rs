//! Connections, transactions and subscriptions, through a socket.

use crate::support::{Server, request};

#[test]
fn a_connection_is_greeted_in_both_protocols() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > PING
        PONG
        > PING hello
        hello
        > ECHO hi
        hi
        > SELECT 15
        OK
        > SELECT 16
        (ERR DB index is out of range)
        > NOSUCH a b
        (ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' )
        > ECHO
        (ERR wrong number of arguments for 'echo' command)
        > HELLO 4
        (NOPROTO unsupported protocol version)
        ",
    );
    assert!(client.ask("HELLO 3").starts_with("{server redis version 7.4.0 proto 3"));
    assert_eq!(client.ask("RESET"), "RESET");
}

#[test]
fn half_requests_and_rubbish_harm_nobody_else() {
    let server = Server::start(&[]);
    let mut bystander = server.connect();
    let mut half = server.connect();
    half.send_raw(b"*2\r\n$4\r\nECHO\r\n$100000000\r\nabc");
    let cases: [(&[u8], &str); 4] = [
        (b"*1\r\n$-5\r\n", "(ERR Protocol error: invalid bulk length)"),
        (b"*99999999999\r\n", "(ERR Protocol error: invalid multibulk length)"),
        (b"*1\r\nPING\r\n", "(ERR Protocol error: expected '$', got 'P')"),
        (b"get \"unbalanced\r\n", "(ERR Protocol error: unbalanced quotes in request)"),
    ];
    for (bytes, error) in cases {
        let mut client = server.connect();
        client.send_raw(bytes);
        assert_eq!(client.reply(), error);
        assert!(client.is_closed());
        assert_eq!(bystander.ask("PING"), "PONG");
    }
    let mut inline = server.connect();
    inline.send_raw(b"PING\r\n\n\r\nECHO 'a b'\r\n");
    assert_eq!(inline.reply(), "PONG");
    assert_eq!(inline.reply(), "a b");
}

#[test]
fn transactions_run_whole_or_not_at_all() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > EXEC
        (ERR EXEC without MULTI)
        > MULTI
        OK
        > ECHO a
        QUEUED
        > PING
        QUEUED
        > EXEC
        [a PONG]
        > MULTI
        OK
        > ECHO
        (ERR wrong number of arguments for 'echo' command)
        > EXEC
        (EXECABORT Transaction discarded because of previous errors.)
        > MULTI
        OK
        > MULTI
        (ERR MULTI calls can not be nested)
        > DISCARD
        OK
        > DISCARD
        (ERR DISCARD without MULTI)
        ",
    );
}

#[test]
fn messages_reach_channels_and_patterns() {
    let server = Server::start(&["--threads", "2"]);
    let mut subscriber = server.connect();
    let mut publisher = server.connect();
    assert_eq!(subscriber.ask("SUBSCRIBE news"), "[subscribe news 1]");
    assert_eq!(subscriber.ask("PSUBSCRIBE n*"), "[psubscribe n* 2]");
    assert_eq!(publisher.ask("PUBLISH news hello"), "2");
    assert_eq!(subscriber.reply(), "[message news hello]");
    assert_eq!(subscriber.reply(), "[pmessage n* news hello]");
    assert!(subscriber.ask("ECHO x").starts_with("(ERR Can't execute 'echo': only (P|S)SUBSCRIBE"));
    assert_eq!(publisher.ask("PUBSUB NUMSUB news other"), "[news 1 other 0]");
    assert_eq!(publisher.ask("PUBSUB NUMPAT"), "1");
    assert_eq!(subscriber.ask("UNSUBSCRIBE"), "[unsubscribe news 1]");
    assert_eq!(subscriber.ask("PUNSUBSCRIBE"), "[punsubscribe n* 0]");
    assert_eq!(publisher.ask("PUBLISH news hello"), "0");
}

#[test]
fn a_password_is_asked_for() {
    let server = Server::start(&["--requirepass", "secret"]);
    let mut client = server.connect();
    client.play(
        "
        > PING
        (NOAUTH Authentication required.)
        > AUTH wrong
        (WRONGPASS invalid username-password pair or user is disabled.)
        > AUTH default secret
        OK
        > PING
        PONG
        ",
    );
    assert!(server.connect().ask("HELLO 3 AUTH default secret").starts_with("{server redis"));
    let mut stranger = server.connect();
    stranger.send_raw(b"*1000\r\n");
    assert_eq!(stranger.reply(), "(ERR Protocol error: unauthenticated multibulk length)");
}

#[test]
fn writes_need_their_replicas_when_they_run() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    client.play(
        "> SET key 1
         OK
         > MULTI
         OK
         > INCR key
         QUEUED",
    );
    assert_eq!(other.ask("CONFIG SET min-replicas-to-write 2"), "OK");
    client.play(
        "> EXEC
         (EXECABORT Transaction discarded because of: NOREPLICAS Not enough good replicas to write.)
         > SET key 2
         (NOREPLICAS Not enough good replicas to write.)
         > GET key
         1
         > MULTI
         OK
         > GET key
         QUEUED
         > EXEC
         [1]
         > CONFIG SET min-replicas-max-lag 0
         OK
         > SET key 2
         OK",
    );
}

#[test]
fn nothing_is_watched_after_unwatch_discard_and_reset() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    for end in [&["UNWATCH"][..], &["MULTI", "DISCARD"], &["MULTI", "RESET"], &["MULTI", "SET a", "EXEC"]] {
        client.ask("WATCH a b");
        assert!(other.ask("INFO clients").contains("total_watched_keys:2"));
        end.iter().for_each(|command| drop(client.ask(command)));
        assert!(other.ask("INFO clients").contains("total_watched_keys:0"), "{end:?}");
        other.ask("SET a x");
        client.ask("MULTI");
        client.ask("GET b");
        assert_eq!(client.ask("EXEC"), "[nil]", "{end:?}");
    }
}

/// What arrives from many connections while the server's thread is busy is read together: each gets its own replies, in
/// order, whatever database it uses and wherever its bytes are cut.
#[test]
fn connections_that_are_read_together_get_their_own_replies() {
    let server = Server::start(&["--threads", "1", "--enable-debug-command", "yes"]);
    let mut busy = server.connect();
    let mut clients: Vec<_> = (0..60).map(|_| server.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.ask(&format!("SELECT {}", number % 3)), "OK");
    }
    for round in 0..20 {
        busy.send("DEBUG SLEEP 0.02");
        let mut later = Vec::new();
        for (number, client) in clients.iter_mut().enumerate() {
            let value = format!("{number}-{round}-{}", "v".repeat(number * number));
            let mut bytes = request(&[b"SET", format!("key{number}").as_bytes(), value.as_bytes()]);
            bytes.extend(b"GET key0\r\nECHO \"a b\"\r\n");
            bytes.extend(request(&[b"NOPE"]));
            bytes.extend(request(&[b"GET", format!("key{number}").as_bytes()]));
            // Some of them end within a request.
            let cut = bytes.len() - (number + round) % 40 * usize::from(number % 4 == 0);
            client.send_raw(&bytes[..cut]);
            later.push((bytes.split_off(cut), value));
        }
        assert_eq!(busy.reply(), "OK");
        for ((number, client), (rest, value)) in clients.iter_mut().enumerate().zip(later) {
            client.send_raw(&rest);
            assert_eq!(client.reply(), "OK");
            let first = client.reply();
            let is_own = number % 3 != 0 && first == "nil";
            assert!(is_own || number % 3 == 0 && first.starts_with("0-"), "database {}: {first}", number % 3);
            assert_eq!(client.reply(), "a b");
            assert!(client.reply().contains("unknown command"));
            assert_eq!(client.reply(), value);
        }
    }
}
