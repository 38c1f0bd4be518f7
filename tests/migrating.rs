//! `MIGRATE`, through sockets: between two servers, and to one that answers when the test wants it.

use crate::support::{Connection, Server, eventually};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

fn migrate(client: &mut Connection, port: u16, rest: &[&str]) -> String {
    client.ask_words(&[&["MIGRATE", "127.0.0.1", &port.to_string()], rest].concat())
}

/// A server that reads what it is sent and says what it is told to.
struct Target(TcpListener);

impl Target {
    fn new() -> Target {
        Target(TcpListener::bind("127.0.0.1:0").expect("there is a free port"))
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("it has an address").port()
    }

    /// The next connection, once `bytes` have been read from it.
    fn accept(&self, bytes: &str) -> TcpStream {
        let mut stream = self.0.accept().expect("the other server connects").0;
        expect(&mut stream, bytes);
        stream
    }
}

/// Reads a request of one line per word.
fn expect(stream: &mut TcpStream, words: &str) {
    let mut expected = String::new();
    let words: Vec<&str> = words.split_whitespace().collect();
    expected.push_str(&format!("*{}\r\n", words.len()));
    for word in words {
        expected.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    let mut read = vec![0; expected.len()];
    stream.read_exact(&mut read).expect("the other server sends");
    assert_eq!(String::from_utf8_lossy(&read), expected);
}

#[test]
fn keys_move_to_another_server() {
    let (here, there) = (Server::start(&["--notify-keyspace-events", "KEA"]), Server::start(&[]));
    let (mut client, mut other) = (here.connect(), there.connect());
    client.play(
        "
        > SET text some
        OK
        > RPUSH list a b
        2
        > HSET hash f v
        1
        > SET brief x PX 100000
        OK
        ",
    );
    assert_eq!(migrate(&mut client, there.port, &["missing", "0", "1000"]), "NOKEY");
    let mut listener = here.connect();
    listener.ask("PSUBSCRIBE __keyevent@0__:*");
    let mut watcher = here.connect();
    watcher.play("> WATCH text\nOK\n> MULTI\nOK\n> PING\nQUEUED\n");
    assert_eq!(migrate(&mut client, there.port, &["text", "0", "1000"]), "OK");
    assert_eq!(listener.reply(), "[pmessage __keyevent@0__:* __keyevent@0__:del text]");
    assert_eq!(watcher.ask("EXEC"), "nil");
    assert_eq!((client.ask("GET text"), other.ask("GET text")), ("nil".into(), "some".into()));
    assert_eq!(client.info("migrate_cached_sockets"), "1");
    assert_eq!(
        migrate(&mut client, there.port, &["", "3", "1000", "COPY", "KEYS", "list", "no", "hash", "brief"]),
        "OK"
    );
    other.play(
        "
        > SELECT 3
        OK
        > LRANGE list 0 -1
        [a b]
        > HGETALL hash
        [f v]
        > TTL brief
        100
        > DEL hash
        1
        ",
    );
    assert_eq!(client.ask("EXISTS list hash brief"), "3");
    // What is there already stays, here and there, unless it is to be replaced.
    let busy = "(ERR Target instance replied with error: BUSYKEY Target key name already exists.)";
    assert_eq!(migrate(&mut client, there.port, &["", "3", "1000", "KEYS", "list", "hash", "brief"]), busy);
    assert_eq!(client.ask("EXISTS list"), "1");
    assert_eq!(client.ask("EXISTS hash"), "0");
    assert_eq!(other.ask("EXISTS hash"), "1");
    assert_eq!(migrate(&mut client, there.port, &["list", "3", "1000", "REPLACE"]), "OK");
    assert_eq!(client.ask("DBSIZE"), "1");
    assert_eq!(client.info("rdb_changes_since_last_save"), "8");
}

#[test]
fn errors_leave_everything_as_it_was() {
    let (here, there) = (Server::start(&[]), Server::start(&["--requirepass", "secret"]));
    let mut client = here.connect();
    client.ask("SET key value");
    let replied = |text: &str| format!("(ERR Target instance replied with error: {text})");
    let wrong = replied("WRONGPASS invalid username-password pair or user is disabled.");
    for (rest, expected) in [
        (&["key", "0", "x"][..], "(ERR value is not an integer or out of range)"),
        (&["key", "x", "1"], "(ERR value is not an integer or out of range)"),
        (&["key", "0", "1", "AUTH"], "(ERR syntax error)"),
        (&["key", "0", "1", "AUTH2", "name"], "(ERR syntax error)"),
        (&["key", "0", "1", "AGAIN"], "(ERR syntax error)"),
        (
            &["key", "0", "1", "KEYS", "key"],
            "(ERR When using MIGRATE KEYS option, the key argument must be set to the empty string)",
        ),
        (&["", "0", "1", "KEYS"], "NOKEY"),
        (&["key", "0", "1000"], &replied("NOAUTH Authentication required.")),
        (&["key", "0", "1000", "AUTH", "other"], &wrong),
        (&["key", "0", "1000", "AUTH2", "name", "secret"], &wrong),
        (&["key", "99", "1000", "AUTH", "secret"], &replied("ERR DB index is out of range")),
    ] {
        assert_eq!(migrate(&mut client, there.port, rest), expected, "{rest:?}");
    }
    let nobody = Target::new().port();
    let refused = "(IOERR error or timeout writing to target instance)";
    assert_eq!(migrate(&mut client, nobody, &["key", "0", "1000"]), refused);
    let unknown = ["MIGRATE", "nobody.invalid", "1", "key", "0", "1000"];
    assert_eq!(client.ask_words(&unknown), "(IOERR error or timeout connecting to the client)");
    let silent = Target::new();
    let late = "(IOERR error or timeout reading to target instance)";
    assert_eq!(migrate(&mut client, silent.port(), &["key", "0", "50"]), late);
    assert_eq!(client.ask("GET key"), "value");
    assert_eq!(migrate(&mut client, there.port, &["key", "0", "1000", "REPLACE", "AUTH2", "default", "secret"]), "OK");
    assert_eq!(client.ask("GET key"), "nil");
}

#[test]
fn whoever_wants_a_key_that_travels_waits_until_it_has_arrived() {
    let (server, target) = (Server::start(&[]), Target::new());
    let (mut sender, mut onlooker) = (server.connect(), server.connect());
    sender.play("> SET key 1\nOK\n> RPUSH list a\n1\n");
    let id = sender.ask("CLIENT ID");
    // What is pushed to its list goes on to one that travels.
    let mut taker = server.connect();
    taker.send("BLMOVE source list LEFT RIGHT 0");
    eventually("the taker waits", || onlooker.info("blocked_clients") == "1");
    let port = target.port().to_string();
    sender.send_words(&["MIGRATE", "127.0.0.1", &port, "", "2", "60000", "KEYS", "key", "list"]);
    let mut stream = target.accept("SELECT 2");
    let mut waiting = vec![taker];
    for command in ["GET key", "INCR key", "RPUSH source b", "FLUSHALL"] {
        let mut client = server.connect();
        client.send(command);
        waiting.push(client);
        eventually(command, || onlooker.info("blocked_clients") == (waiting.len() + 1).to_string());
    }
    let mut client = server.connect();
    client.play("> MULTI\nOK\n> GET key\nQUEUED\n");
    client.send("EXEC");
    eventually("the transaction waits", || onlooker.info("blocked_clients") == "7");
    // Others go on, those too that see all keys.
    onlooker.play("> SET other 1\nOK\n> KEYS k*\n[key]\n");
    assert_eq!(onlooker.ask(&format!("CLIENT UNBLOCK {id}")), "0");
    stream.write_all(b"+OK\r\n+OK\r\n-ERR no\r\n").expect("the server reads");
    assert_eq!(sender.reply(), "(ERR Target instance replied with error: ERR no)");
    // The first has gone, the second has not.
    assert!(matches!(client.reply().as_str(), "[nil]" | "[1]"));
    let replies: Vec<String> = waiting.iter_mut().map(Connection::reply).collect();
    assert!(matches!(replies[1].as_str(), "nil" | "1"), "{replies:?}");
    assert_eq!([&replies[0], &replies[2], &replies[3], &replies[4]], ["b", "1", "1", "OK"]);
}

#[test]
fn a_sender_may_leave_and_a_transaction_stays_whole() {
    let (server, target) = (Server::start(&[]), Target::new());
    let (mut sender, mut client) = (server.connect(), server.connect());
    client.play("> SET key 1\nOK\n> SET other 2\nOK\n");
    sender.send(&format!("MIGRATE 127.0.0.1 {} key 0 60000", target.port()));
    let mut stream = target.accept("SELECT 0");
    drop(sender);
    eventually("the sender has left", || client.info("connected_clients") == "1");
    stream.write_all(b"+OK\r\n+OK\r\n").expect("the server reads");
    assert_eq!(client.ask("GET key"), "nil");
    // A connection that was kept and has been closed by the other side is opened anew.
    drop(stream);
    client.play("> MULTI\nOK\n");
    assert_eq!(migrate(&mut client, target.port(), &["other", "0", "60000"]), "QUEUED");
    client.play("> EXISTS other\nQUEUED\n");
    client.send("EXEC");
    target.accept("SELECT 0").write_all(b"+OK\r\n+OK\r\n").expect("the server reads");
    assert_eq!(client.reply(), "[OK 0]");
}
