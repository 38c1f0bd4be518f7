//! Clients that send rubbish, too much, or never all of it, or that never read: each is held to its limits, and meanwhile
//! another one is served.

use crate::support::{Connection, Server, eventually, request};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A figure of INFO.
fn info(client: &mut Connection, name: &str) -> u64 {
    let info = client.ask("INFO everything");
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("INFO has no {name}")).parse().expect("a number")
}

#[test]
fn thousands_who_never_finish_their_request_are_waited_for() {
    const CLIENTS: usize = 2000;
    radish::daemon::make_room_for_clients(CLIENTS as u64 + 100, 1).expect("so many files may be open");
    let server = Server::start(&["--threads", "2"]);
    let mut bystander = server.connect();
    let before = info(&mut bystander, "used_memory");
    let message = request(&[b"ECHO", b"slow"]);
    let mut slow: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    for piece in message[..message.len() - 1].chunks(4) {
        for client in &mut slow {
            client.send_raw(piece);
        }
        assert_eq!(bystander.ask("PING"), "PONG");
    }
    let each = (info(&mut bystander, "used_memory") - before) / CLIENTS as u64;
    assert!(each < 10_000, "a client that is waited for costs {each} bytes");
    for client in &mut slow {
        client.send_raw(b"\n");
        assert_eq!(client.reply(), "slow");
    }
}

#[test]
fn room_for_many_arguments_is_given_back_when_it_is_of_no_use() {
    let server = Server::start(&["--threads", "1"]);
    let (mut bystander, mut client) = (server.connect(), server.connect());
    let before = info(&mut bystander, "used_memory");
    let words: Vec<String> = std::iter::once("DEL".into()).chain((0..60_000).map(|key| key.to_string())).collect();
    assert_eq!(client.ask_words(&words.iter().map(String::as_str).collect::<Vec<_>>()), "0");
    eventually("room", || info(&mut bystander, "used_memory") < before + 200_000);
}

#[test]
fn an_announcement_alone_takes_little_memory() {
    let server = Server::start(&["--threads", "1"]);
    let mut bystander = server.connect();
    let before = info(&mut bystander, "used_memory");
    let announcements: [&[u8]; 4] = [
        b"*2\r\n$4\r\nECHO\r\n$536870912\r\n",
        b"*2\r\n$4\r\nECHO\r\n$536870912\r\nonly a few",
        b"*2147483647\r\n",
        b"*2147483647\r\n$4\r\nMGET\r\n$536870912\r\n",
    ];
    let mut clients = Vec::new();
    for announcement in announcements.iter().cycle().take(40) {
        let mut client = server.connect();
        client.send_raw(announcement);
        clients.push(client);
        assert_eq!(bystander.ask("PING"), "PONG");
    }
    eventually("the last announcement", || {
        bystander.ask("CLIENT LIST").lines().filter(|line| !line.contains("tot-net-in=0 ")).count() == 41
    });
    let after = info(&mut bystander, "used_memory");
    assert!(after < before + (64 << 20), "{before} bytes became {after}");
}

#[test]
fn a_request_of_half_a_million_arguments_arrives_in_pieces() {
    let server = Server::start(&["--threads", "1"]);
    let mut client = server.connect();
    let key: &[u8] = b"k";
    let bytes = request(&[&[b"EXISTS".as_slice()], vec![key; 500_000].as_slice()].concat());
    assert_eq!(client.ask("SET k v"), "OK");
    for piece in bytes.chunks(50_000) {
        client.send_raw(piece);
    }
    assert_eq!(client.reply(), "500000");
}

#[test]
fn what_is_no_request_is_refused_in_the_words_of_redis() {
    let server = Server::start(&["--proto-max-bulk-len", "1mb"]);
    let mut bystander = server.connect();
    let long_line = |first: &[u8]| [first, &b"1".repeat(70_000)].concat();
    let cases: [(Vec<u8>, &str); 12] = [
        (b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$-1\r\n".into(), "invalid bulk length"),
        (b"*1\r\n$1048577\r\n".into(), "invalid bulk length"),
        (b"*1\r\n$abc\r\n".into(), "invalid bulk length"),
        (b"*1\r\n$\r\n".into(), "invalid bulk length"),
        (b"*-9223372036854775809\r\n".into(), "invalid multibulk length"),
        (b"*2147483648\r\n".into(), "invalid multibulk length"),
        (b"*1x\r\n".into(), "invalid multibulk length"),
        (b"*1\r\n:1\r\n".into(), "expected '$', got ':'"),
        (b"set 'a\r\n".into(), "unbalanced quotes in request"),
        (long_line(b"*"), "too big mbulk count string"),
        (long_line(b"*1\r\n$"), "too big bulk count string"),
        (long_line(b"GET "), "too big inline request"),
    ];
    for (bytes, error) in cases {
        let mut client = server.connect();
        assert!(client.try_send_raw(&bytes));
        assert_eq!(client.reply(), format!("(ERR Protocol error: {error})"));
        assert!(client.is_closed());
        assert_eq!(bystander.ask("PING"), "PONG");
    }
    // Not one byte more is refused than must be.
    let mut client = server.connect();
    client.send_raw(&[b"ECHO ", b"x".repeat(65_000).as_slice(), b"\r\n"].concat());
    assert_eq!(client.reply().len(), 65_000);
    assert_eq!(client.ask_words(&["STRLEN", &"x".repeat(1 << 20)]), "0");
    // Counts that are not positive are empty requests.
    client.send_raw(b"*0\r\n*-1\r\n*-5\r\n\r\nPING\r\n");
    assert_eq!(client.reply(), "PONG");
}

#[test]
fn binary_rubbish_ends_in_an_error_or_in_silence() {
    let server = Server::start(&["--threads", "1"]);
    let mut bystander = server.connect();
    let mut rng = SmallRng::seed_from_u64(1);
    for round in 0..200 {
        let mut bytes: Vec<u8> = (0..rng.random_range(1..500)).map(|_| rng.random()).collect();
        if round % 2 == 0 {
            // What looks like a request gets further.
            bytes.splice(..0, *b"*2\r\n$3\r\nGET\r\n$4\r\n");
        }
        let mut client = server.connect();
        client.send_raw(&bytes);
        client.try_send_raw(b"\r\n*1\r\n$4\r\nQUIT\r\n");
        assert_eq!(bystander.ask("PING"), "PONG");
    }
}

#[test]
fn strangers_are_held_to_less_until_they_give_the_password() {
    let server = Server::start(&["--requirepass", "secret"]);
    let refused: [(&[u8], &str); 3] = [
        (b"*11\r\n", "(ERR Protocol error: unauthenticated multibulk length)"),
        (b"*2\r\n$4\r\nAUTH\r\n$16385\r\n", "(ERR Protocol error: unauthenticated bulk length)"),
        (b"*1\r\n$-1\r\n", "(ERR Protocol error: invalid bulk length)"),
    ];
    for (bytes, error) in refused {
        let mut stranger = server.connect();
        stranger.send_raw(bytes);
        assert_eq!(stranger.reply(), error);
        assert!(stranger.is_closed());
    }
    let mut client = server.connect();
    let long = "x".repeat(20_000);
    let mut pipeline = request(&[b"AUTH", b"secret"]);
    pipeline.extend(request(&[b"ECHO", long.as_bytes()]));
    pipeline.extend(request(&[b"EXISTS".as_slice(); 12]));
    client.send_raw(&pipeline);
    assert_eq!(client.reply(), "OK");
    assert_eq!(client.reply(), long);
    assert_eq!(client.reply(), "0");
    // Who reads no replies has them kept only with a password: what the socket does not take ends the connection.
    let mut stranger = server.connect();
    let refused = request(&[b"SET", b"key", b"value"]).repeat(100);
    for _ in 0..10_000 {
        if !stranger.try_send_raw(&refused) {
            break;
        }
    }
    assert_eq!(info(&mut client, "client_output_buffer_limit_disconnections"), 1);
}

#[test]
fn requests_above_the_query_buffer_limit_end_the_connection() {
    let server = Server::start(&["--client-query-buffer-limit", "1mb"]);
    let mut bystander = server.connect();
    let mut client = server.connect();
    client.send_raw(b"*2\r\n$4\r\nECHO\r\n$3000000\r\n");
    client.try_send_raw(&b"x".repeat(2_000_000));
    assert!(client.is_closed());
    // What a transaction has queued counts, too.
    let mut client = server.connect();
    assert_eq!(client.ask("MULTI"), "OK");
    let queued = request(&[b"ECHO", &b"x".repeat(1000)]);
    for _ in 0..2000 {
        if !client.try_send_raw(&queued) {
            break;
        }
    }
    assert!(client.rest().starts_with(b"+QUEUED\r\n"));
    assert_eq!(info(&mut bystander, "client_query_buffer_limit_disconnections"), 2);
    eventually("the end of both", || info(&mut bystander, "connected_clients") == 1);
}

#[test]
fn replies_that_nobody_reads_are_kept_in_order() {
    const REQUESTS: usize = 20_000;
    let server = Server::start(&["--threads", "1"]);
    let mut bystander = server.connect();
    let value = "v".repeat(1000);
    assert_eq!(bystander.ask(&format!("SET key {value}")), "OK");
    let mut client = server.connect();
    for index in 0..REQUESTS {
        client.send_raw(&request(&[b"GET", b"key"]));
        client.send_raw(&request(&[b"ECHO", index.to_string().as_bytes()]));
        if index % 5000 == 0 {
            assert_eq!(bystander.ask("PING"), "PONG");
        }
    }
    for index in 0..REQUESTS {
        assert_eq!(client.reply(), value);
        assert_eq!(client.reply(), index.to_string());
    }
}

/// Sends requests for `bytes` bytes of replies, of which none is read. Returns the client.
fn ask_without_reading(server: &Server, bytes: usize) -> Connection {
    let mut client = server.connect();
    assert_eq!(client.ask("CLIENT NO-EVICT OFF"), "OK");
    for _ in 0..bytes / 100_000 {
        if !client.try_send_raw(&request(&[b"GET", b"large"])) {
            break;
        }
    }
    client
}

#[test]
fn unread_replies_above_the_hard_limit_end_the_connection() {
    let server = Server::start(&["--client-output-buffer-limit", "normal 1mb 0 0 pubsub 2mb 0 0"]);
    let mut bystander = server.connect();
    assert_eq!(bystander.ask(&format!("SET large {}", "x".repeat(100_000))), "OK");
    let mut greedy = ask_without_reading(&server, 40 << 20);
    eventually("the end of who does not read", || info(&mut bystander, "connected_clients") == 1);
    assert!(greedy.rest().starts_with(b"$100000\r\n"));

    let mut subscriber = server.connect();
    assert_eq!(subscriber.ask("SUBSCRIBE news"), "[subscribe news 1]");
    let message = "m".repeat(100_000);
    eventually("the end of a subscriber who does not read", || {
        bystander.ask(&format!("PUBLISH news {message}"));
        info(&mut bystander, "connected_clients") == 1
    });
    assert_eq!(info(&mut bystander, "client_output_buffer_limit_disconnections"), 2);
    // A single reply may not be larger, either: a gigabyte for a request of a few bytes is not even begun.
    let keys = vec![b"large".as_slice(); 10_000];
    let mut client = server.connect();
    client.send_raw(&request(&[&[b"MGET".as_slice()], keys.as_slice()].concat()));
    assert_eq!(client.rest(), b"");
    assert_eq!(bystander.ask("SETRANGE large 2000000 x"), "2000001");
    let mut client = server.connect();
    client.send("GET large");
    assert_eq!(client.rest(), b"");
    assert_eq!(info(&mut bystander, "client_output_buffer_limit_disconnections"), 4);
}

#[test]
fn replies_to_a_pipeline_that_are_together_above_the_hard_limit_end_the_connection_and_none_is_sent() {
    let server = Server::start(&["--client-output-buffer-limit", "normal 100000 0 0"]);
    let mut bystander = server.connect();
    assert_eq!(bystander.ask(&format!("SET large {}", "x".repeat(10_000))), "OK");
    let get = request(&[b"GET", b"large"]);
    let mut greedy = server.connect();
    greedy.send_raw(&[get.repeat(15), request(&[b"SET", b"reached", b"1"])].concat());
    assert_eq!(greedy.rest(), b"");
    assert_eq!(bystander.ask("EXISTS reached"), "0");
    let mut modest = server.connect();
    modest.send_raw(&get.repeat(9));
    for _ in 0..9 {
        assert_eq!(modest.reply().len(), 10_000);
    }
}

#[test]
fn unread_replies_above_the_soft_limit_end_the_connection_after_a_while() {
    let server = Server::start(&["--client-output-buffer-limit", "normal 0 1mb 1"]);
    let mut bystander = server.connect();
    assert_eq!(bystander.ask(&format!("SET large {}", "x".repeat(100_000))), "OK");
    // Nothing happens on this connection while its time runs out.
    let _greedy = ask_without_reading(&server, 40 << 20);
    eventually("the end of who does not read", || info(&mut bystander, "connected_clients") == 1);
    assert_eq!(info(&mut bystander, "client_output_buffer_limit_disconnections"), 1);
}

#[test]
fn the_largest_clients_leave_when_all_together_are_too_large() {
    let server = Server::start(&["--maxmemory-clients", "10mb"]);
    let mut bystander = server.connect();
    assert_eq!(bystander.ask("CLIENT NO-EVICT ON"), "OK");
    assert_eq!(bystander.ask(&format!("SET large {}", "x".repeat(100_000))), "OK");
    let mut small = server.connect();
    assert_eq!(small.ask("PING"), "PONG");
    let _output = ask_without_reading(&server, 40 << 20);
    eventually("the end of the client with replies", || info(&mut bystander, "evicted_clients") == 1);
    let mut half = server.connect();
    half.send_raw(b"*2\r\n$4\r\nECHO\r\n$30000000\r\n");
    half.try_send_raw(&b"x".repeat(20_000_000));
    eventually("the end of the client with a half request", || info(&mut bystander, "evicted_clients") == 2);
    let mut names = server.connect();
    for channel in 0..300 {
        let name = format!("{channel:0>50000}");
        names.try_send_raw(&request(&[b"SUBSCRIBE", name.as_bytes()]));
    }
    eventually("the end of the client with subscriptions", || info(&mut bystander, "evicted_clients") == 3);
    assert_eq!(small.ask("PING"), "PONG");
}

#[test]
fn what_is_flushed_is_free_when_the_reply_comes() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    for flush in ["FLUSHALL", "FLUSHDB", "FLUSHALL SYNC"] {
        let before = info(&mut client, "used_memory");
        assert_eq!(client.ask("DEBUG POPULATE 30000 key 200"), "OK");
        assert!(info(&mut client, "used_memory") > before + 5_000_000);
        assert_eq!(client.ask(flush), "OK");
        let left = info(&mut client, "used_memory").saturating_sub(before);
        assert!(left < 1_000_000, "{flush} leaves {left} bytes");
    }
}

#[test]
fn wrong_types_are_errors_and_change_nothing() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > SET string value
        OK
        > RPUSH list a b
        2
        ",
    );
    let wrong = "(WRONGTYPE Operation against a key holding the wrong kind of value)";
    for command in [
        "LPUSH string x",
        "LPOP string",
        "LRANGE string 0 -1",
        "LLEN string",
        "BLPOP string 1",
        "LMOVE list string LEFT LEFT",
        "GET list",
        "APPEND list x",
        "INCR list",
        "SETRANGE list 1 x",
        "GETRANGE list 0 1",
        "SETBIT list 1 1",
        "BITCOUNT list",
        "STRLEN list",
        "GETDEL list",
        "GETEX list",
        "SET list x GET",
        "LCS list string",
    ] {
        let reply = client.ask(command);
        assert!(reply == wrong || command.starts_with("LCS"), "{command}: {reply}");
    }
    client.play(
        "
        > GET string
        value
        > LRANGE list 0 -1
        [a b]
        ",
    );
}
