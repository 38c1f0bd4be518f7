//! `PREFIX`: what there is under prefixes of keys, and deleting all of it.

use crate::support::{Server, eventually};

/// A server with one thread: few enough shards that all pages are looked at.
fn filled(count: usize) -> Server {
    let server = Server::start(&["--threads", "1"]);
    let mut connection = server.connect();
    for number in 0..count {
        connection.send(&format!("SET user:{number}:name some-name"));
        connection.send(&format!("SET session:{number} 1 EX 1000"));
        connection.send(&format!("RPUSH queue:{} {number}", number % 3));
        connection.send(&format!("SET plain{number} x"));
    }
    for _ in 0..count * 4 {
        connection.reply();
    }
    server
}

#[test]
fn keys_are_counted_by_prefix() {
    let server = Server::start(&["--threads", "1"]);
    server.connect().play(
        "
        > MSET a:1 x a:2 y b:1 z none v
        OK
        > SET a:b:c w EX 1000
        OK
        > SADD a:s 1 2
        2
        > PREFIX STATS a:
        [keys 4 bytes 66 expiring-keys 1 expiring-bytes 23 types [string [keys 3 bytes 49] set [keys 1 bytes 17]] prefixes [[prefix a: keys 3 bytes 43 expiring-keys 0 expiring-bytes 0 types [string [keys 2 bytes 26] set [keys 1 bytes 17]] undivided-keys 0] [prefix a:b: keys 1 bytes 23 expiring-keys 1 expiring-bytes 23 types [string [keys 1 bytes 23]] undivided-keys 0]] others [keys 0 bytes 0 expiring-keys 0 expiring-bytes 0 types []]]
        > PREFIX STATS x
        [keys 0 bytes 0 expiring-keys 0 expiring-bytes 0 types [] prefixes [] others [keys 0 bytes 0 expiring-keys 0 expiring-bytes 0 types []]]
        ",
    );
    let mut modern = server.connect();
    modern.ask("HELLO 3");
    modern.play(
        "
        > PREFIX STATS b: BY BYTES
        {keys 1 bytes 13 expiring-keys 0 expiring-bytes 0 types {string {keys 1 bytes 13}} prefixes [{prefix b: keys 1 bytes 13 expiring-keys 0 expiring-bytes 0 types {string {keys 1 bytes 13}} undivided-keys 0}] others {keys 0 bytes 0 expiring-keys 0 expiring-bytes 0 types {}}}
        ",
    );
}

#[test]
fn questions_that_are_none_are_refused() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > PREFIX
        (ERR wrong number of arguments for 'prefix' command)
        > PREFIX STATS
        (ERR wrong number of arguments for 'prefix|stats' command)
        > PREFIX NONE
        (ERR unknown subcommand 'NONE'. Try PREFIX HELP.)
        > PREFIX STATS a DEPTH
        (ERR syntax error)
        > PREFIX STATS a DEPTH 0
        (ERR value is out of range, must be positive)
        > PREFIX STATS a DEPTH x
        (ERR value is not an integer or out of range)
        > PREFIX STATS a COUNT -1
        (ERR value is out of range, must be positive)
        > PREFIX STATS a BY NAME
        (ERR syntax error)
        > PREFIX DEL
        (ERR wrong number of arguments for 'prefix|del' command)
        > PREFIX DEL a b
        (ERR wrong number of arguments for 'prefix|del' command)
        ",
    );
    let mut connection = server.connect();
    assert_eq!(connection.ask_words(&["PREFIX", "STATS", "", "SEPARATOR", ""]), "(ERR separator must not be empty)");
    assert_eq!(
        connection.ask_words(&["PREFIX", "DEL", ""]),
        "(ERR prefix must not be empty, use FLUSHDB to delete all keys)"
    );
    connection.play(
        "
        > MULTI
        OK
        > PREFIX DEL a
        (ERR Command not allowed inside a transaction)
        > EXEC
        (EXECABORT Transaction discarded because of previous errors.)
        ",
    );
}

/// The first words of the rows that a reply shows: `prefix P keys N`.
fn rows(reply: &str) -> Vec<(String, u64)> {
    let words: Vec<_> = reply.split_whitespace().map(|word| word.trim_matches(['[', ']'])).collect();
    let places = (0..words.len()).filter(|at| words[*at] == "prefix");
    places
        .map(|at| match words[at + 1] {
            "keys" => (String::new(), words[at + 2].parse().expect("a number")),
            name => (name.to_owned(), words[at + 3].parse().expect("a number")),
        })
        .collect()
}

#[test]
fn the_heaviest_come_first_and_the_rest_is_summed_up() {
    let server = filled(2000);
    let mut connection = server.connect();
    let reply = connection.ask_words(&["PREFIX", "STATS", "", "COUNT", "3"]);
    let owned = |rows: &[(&str, u64)]| rows.iter().map(|(name, keys)| (name.to_string(), *keys)).collect::<Vec<_>>();
    assert_eq!(rows(&reply), owned(&[("", 2000), ("session:", 2000), ("user:", 2000)]));
    assert!(reply.starts_with("[keys 6003 bytes "), "{reply}");
    assert!(reply.contains("others [keys 3 bytes "), "{reply}");
    let reply = connection.ask("PREFIX STATS user:19 SEPARATOR 9 DEPTH 1 COUNT 100");
    assert!(reply.starts_with("[keys 111 bytes "), "{reply}");
    assert_eq!(rows(&reply).iter().map(|(_, keys)| keys).sum::<u64>(), 111);
    // Inside a transaction, and from a script, it is the same.
    let direct = connection.ask("PREFIX STATS queue:");
    connection.ask("MULTI");
    connection.ask("PREFIX STATS queue:");
    assert_eq!(connection.ask("EXEC"), format!("[{direct}]"));
    assert_eq!(connection.ask_words(&["EVAL", "return redis.call('PREFIX', 'STATS', 'queue:')", "0"]), direct);
    // What changes is seen: long values by what they take, be they changed where they are.
    let bytes =
        |reply: &str| reply.split_whitespace().nth(3).expect("the second number").parse::<u64>().expect("a number");
    let before = bytes(&connection.ask("PREFIX STATS queue:"));
    for _ in 0..100 {
        connection.ask(&format!("RPUSH queue:0 {}", "x".repeat(1000)));
    }
    let after = bytes(&connection.ask("PREFIX STATS queue:"));
    assert!((100_000..150_000).contains(&(after - before)), "{before} {after}");
    connection.ask("DEL queue:0");
    assert!(bytes(&connection.ask("PREFIX STATS queue:")) < before);
}

#[test]
fn all_keys_with_a_prefix_are_deleted() {
    let server = filled(3000);
    let mut connection = server.connect();
    connection.play(
        "
        > PREFIX DEL user:1
        1111
        > PREFIX DEL user:
        1889
        > PREFIX DEL user:
        0
        > DBSIZE
        6003
        > SELECT 1
        OK
        > PREFIX DEL plain
        0
        > SELECT 0
        OK
        > PREFIX DEL plain
        3000
        > DBSIZE
        3003
        > GET session:7
        1
        ",
    );
    assert!(connection.info("rdb_changes_since_last_save").parse::<u64>().unwrap() >= 18_000);
}

#[test]
fn whoever_looks_on_sees_keys_deleted() {
    let server = Server::start(&["--threads", "2", "--notify-keyspace-events", "Eg"]);
    let (mut other, mut watcher, mut keeper, mut waiting) =
        (server.connect(), server.connect(), server.connect(), server.connect());
    let mut listener = server.connect();
    other.play(
        "
        > MSET k:1 a k:2 b l:1 c
        OK
        > XADD k:stream 1-1 a b
        1-1
        > XGROUP CREATE k:stream group $
        OK
        ",
    );
    listener.ask("SUBSCRIBE __keyevent@0__:del");
    watcher.play("\n> WATCH k:1\nOK\n> MULTI\nOK\n> PING\nQUEUED\n");
    keeper.ask("HELLO 3");
    keeper.play("\n> CLIENT TRACKING ON\nOK\n> GET k:2\nb\n");
    waiting.send("XREADGROUP GROUP group me BLOCK 0 STREAMS k:stream >");
    eventually("the client waits", || other.info("blocked_clients") == "1");
    assert_eq!(other.ask("PREFIX DEL k:"), "3");
    assert_eq!(watcher.ask("EXEC"), "nil");
    assert!(keeper.reply().contains("invalidate"), "its copy is out of date");
    let told = waiting.reply();
    assert!(told.contains("no longer exists") || told.contains("NOGROUP"), "{told}: there is no group any more");
    let events: Vec<_> = (0..3).map(|_| listener.reply()).collect();
    for key in ["k:1", "k:2", "k:stream"] {
        assert!(events.iter().any(|event| event.contains(key)), "{events:?}");
    }
}

#[test]
fn deletions_reach_replicas_and_the_file() {
    let primary = Server::start(&["--threads", "1", "--appendonly", "yes", "--enable-debug-command", "yes"]);
    let replica = Server::start(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]);
    let (mut to_primary, mut to_replica) = (primary.connect(), replica.connect());
    for number in 0..500 {
        to_primary.ask(&format!("SET gone:{number} x"));
        to_primary.ask(&format!("SET kept:{number} x"));
    }
    eventually("the replica has all", || to_replica.ask("DBSIZE") == "1000");
    assert_eq!(to_primary.ask("PREFIX DEL gone:"), "500");
    assert_eq!(to_primary.ask("WAIT 1 10000"), "1");
    assert_eq!(to_replica.ask("DBSIZE"), "500");
    assert_eq!(to_replica.ask("PREFIX DEL kept:"), "(READONLY You can't write against a read only replica.)");
    assert_eq!(to_primary.ask("DEBUG LOADAOF"), "OK");
    assert_eq!(to_primary.ask("DBSIZE"), "500");
    assert_eq!(to_primary.ask("EXISTS gone:1"), "0");
}

/// A user may delete by prefix what it may write to whatever its name is behind the prefix.
#[test]
fn rules_about_keys_hold_for_prefixes() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > ACL SETUSER alice on nopass +@all ~cache:* %R~*
        OK
        > MSET cache:1 a cache:2 b other:1 c
        OK
        ",
    );
    server.connect().play(
        "
        > AUTH alice x
        OK
        > PREFIX DEL cach
        (NOPERM this user has no permissions to access one of the keys used as arguments)
        > PREFIX DEL other:
        (NOPERM this user has no permissions to access one of the keys used as arguments)
        > PREFIX DEL cache:
        2
        > DBSIZE
        1
        ",
    );
}

#[test]
fn a_pause_holds_deletions_back() {
    let server = filled(200);
    let (mut connection, mut other) = (server.connect(), server.connect());
    other.ask("CLIENT PAUSE 100000 WRITE");
    connection.send("PREFIX DEL user:");
    eventually("it waits", || other.info("blocked_clients") == "1");
    assert_eq!(other.ask("EXISTS user:1:name"), "1");
    other.ask("CLIENT UNPAUSE");
    assert_eq!(connection.reply(), "200");
}
