//! What clients cost: buffers, transactions, watched keys and subscriptions, and the limits on them.

use crate::support::{Connection, Local, Server, eventually};
use radish::client::Message;
use radish::memory;

/// A field of the line that CLIENT LIST has about the client of this name; `None` if there is no such client.
fn field(observer: &mut Connection, client: &str, name: &str) -> Option<usize> {
    let list = observer.ask("CLIENT LIST");
    let line = list.lines().find(|line| line.contains(&format!(" name={client} ")))?;
    let value = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.parse().expect("a number"))
}

fn named(server: &Server, name: &str) -> Connection {
    let mut client = server.connect();
    assert_eq!(client.ask(&format!("CLIENT SETNAME {name}")), "OK");
    client
}

/// Sends the beginning of a request with an argument of `bytes`, all of which arrive but not the line end after them.
fn send_half(client: &mut Connection, bytes: usize) {
    client.send_raw(format!("*2\r\n$4\r\nPING\r\n${bytes}\r\n{}", "v".repeat(bytes)).as_bytes());
}

#[test]
fn the_largest_client_is_evicted() {
    let server = Server::start(&[]);
    let mut observer = named(&server, "observer");
    let (mut small, mut large) = (named(&server, "small"), named(&server, "large"));
    send_half(&mut small, 100_000);
    send_half(&mut large, 1_000_000);
    eventually("the figure", || field(&mut observer, "small", "qbuf") == Some(100_000));
    eventually("the figure", || field(&mut observer, "large", "qbuf") == Some(1_000_000));
    assert_eq!(observer.ask("CONFIG SET maxmemory-clients 1000000"), "OK");
    assert_eq!(field(&mut observer, "large", "tot-mem"), None);
    assert!(large.is_closed());
    small.send_raw(b"\r\n");
    assert_eq!(small.reply().len(), 100_000);
    assert!(observer.ask("INFO stats").contains("\r\nevicted_clients:1\r\n"));
}

#[test]
fn a_client_may_be_exempt_from_eviction() {
    let server = Server::start(&["--maxmemory-clients", "200000"]);
    let mut observer = named(&server, "observer");
    let mut exempt = named(&server, "exempt");
    for client in [&mut observer, &mut exempt] {
        assert_eq!(client.ask("CLIENT NO-EVICT on"), "OK");
    }
    send_half(&mut exempt, 300_000);
    eventually("the figure", || field(&mut observer, "exempt", "qbuf") == Some(300_000));
    exempt.send_raw(b"\r\n");
    assert_eq!(exempt.reply().len(), 300_000);
}

#[test]
fn everything_that_a_client_has_counts() {
    let requests: [(&str, &dyn Fn(usize) -> String); 5] = [
        ("MULTI", &|_| format!("SET key {}", "v".repeat(1000))),
        ("PING", &|index| format!("WATCH key:{index}")),
        ("PING", &|index| format!("SUBSCRIBE channel:{index}")),
        ("PING", &|index| format!("PSUBSCRIBE pattern:{index}:*")),
        ("PING", &|index| format!("SSUBSCRIBE channel:{index}")),
    ];
    let server = Server::start(&["--maxmemory-clients", "100000"]);
    for (first, request) in requests {
        let mut client = server.connect();
        client.ask(first);
        // More than the limit; the server hangs up before it has read it all.
        let all: String = (0..2000).map(|index| request(index) + "\r\n").collect();
        client.try_send_raw(all.as_bytes());
        client.rest();
        let mut observer = server.connect();
        let clients = observer.ask("INFO clients");
        assert!(clients.contains("\r\nconnected_clients:1\r\n"), "{}: {clients}", request(0));
    }
    assert!(server.connect().ask("INFO stats").contains("\r\nevicted_clients:5\r\n"));
}

#[test]
fn what_is_given_up_no_longer_counts() {
    let server = Server::start(&[]);
    let mut observer = named(&server, "observer");
    let mut client = named(&server, "client");
    let at_rest = field(&mut observer, "client", "tot-mem").expect("it is there");
    for (begin, end) in [("WATCH a b c", "UNWATCH"), ("SUBSCRIBE a", "UNSUBSCRIBE a"), ("PSUBSCRIBE a*", "RESET")] {
        client.ask(begin);
        assert!(field(&mut observer, "client", "tot-mem").expect("it is there") > at_rest, "{begin}");
        client.ask(end);
        client.ask("CLIENT SETNAME client");
        assert_eq!(field(&mut observer, "client", "tot-mem"), Some(at_rest), "{end}");
    }
}

#[test]
fn the_room_of_a_large_request_is_kept_for_a_while() {
    let server = Server::start(&[]);
    let mut observer = named(&server, "observer");
    let mut client = named(&server, "client");
    let value = "v".repeat(400_000);
    assert_eq!(client.ask_words(&["SET", "key", &value]), "OK");
    eventually("the figure", || field(&mut observer, "client", "qbuf-free").is_some_and(|room| room >= 400_000));
    assert_eq!(client.ask("PING"), "PONG");
    eventually("the figure", || field(&mut observer, "client", "qbuf-free") == Some(16384));
    assert_eq!(client.ask_words(&["SET", "key", &value]), "OK");
    // A client that is silent has none.
    eventually("the figure", || field(&mut observer, "client", "qbuf-free") == Some(0));
}

#[test]
fn the_arguments_of_a_half_request_are_told_apart() {
    let server = Server::start(&[]);
    let mut observer = named(&server, "observer");
    let mut client = named(&server, "client");
    client.send_raw(b"*3\r\n$3\r\nSET\r\n$100\r\n");
    client.send_raw(&[b'k'; 100]);
    client.send_raw(b"\r\n$10\r\nabc");
    eventually("the figure", || field(&mut observer, "client", "qbuf") == Some(3));
    let head = "*3\r\n$3\r\nSET\r\n$100\r\n\r\n$10\r\n".len();
    let arguments = field(&mut observer, "client", "argv-mem").expect("it is there");
    assert!((head + 100..head + 200).contains(&arguments), "{arguments}");
}

#[test]
fn the_size_of_replies_is_remembered_for_a_while() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut observer = named(&server, "observer");
    let mut client = named(&server, "client");
    assert_eq!(observer.ask("DEBUG REPLYBUFFER PEAK-RESET-TIME 0"), "OK");
    eventually("the figure", || field(&mut observer, "client", "rbs") == Some(1024));
    client.ask_words(&["PING", &"v".repeat(2000)]);
    assert_eq!(observer.ask("DEBUG REPLYBUFFER PEAK-RESET-TIME never"), "OK");
    client.ask_words(&["PING", &"v".repeat(3000)]);
    assert_eq!(field(&mut observer, "client", "rbs"), Some("$3000\r\n\r\n".len() + 3000));
    client.ask_words(&["PING", &"v".repeat(30_000)]);
    assert_eq!(field(&mut observer, "client", "rbs"), Some(16384));
}

#[test]
fn no_key_is_evicted_for_what_a_killed_client_still_holds() {
    let local = Local::new();
    let (mut session, greedy) = (local.connect(), local.connect());
    let clients = &local.0.clients;
    clients.add(&greedy.client);
    for key in 0..100 {
        assert_eq!(local.run(&mut session, &format!("SET {key} value")), "+OK\r\n");
    }
    greedy.client.mailbox.post(Message::Push(vec![b'm'; 10_000_000].into()));
    let limit = memory::publish() - 5_000_000;
    clients.kill(&greedy.client);
    assert_eq!(
        local.run(&mut session, &format!("CONFIG SET maxmemory {limit} maxmemory-policy allkeys-random")),
        "+OK\r\n"
    );
    assert_eq!(local.run(&mut session, "SET more value"), "+OK\r\n");
    assert_eq!(local.run(&mut session, "DBSIZE"), ":101\r\n");
    // Its connection has ended, and yet memory is full.
    clients.remove(&greedy.client);
    assert!(!clients.are_leaving());
    // A command evicts for a limited time.
    eventually("out of memory", || local.run(&mut session, "SET more value").starts_with("-OOM "));
    assert_eq!(local.run(&mut session, "DBSIZE"), ":0\r\n");
}
