//! The append-only file: what is written survives the process.

use crate::support::{Connection, Server, eventually, request};
use std::io::Write;
use std::path::Path;

fn start(directory: &Path, arguments: &[&str]) -> Server {
    let directory = directory.to_str().expect("a name in letters");
    let fixed = ["--dir", directory, "--appendonly", "yes", "--enable-debug-command", "yes"];
    let server = Server::start(&[&fixed, arguments].concat());
    let mut client = server.connect();
    eventually("the end of loading", || client.info("loading") == "0");
    server
}

/// The names of the files that make up the append-only file.
fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory.join("appendonlydir")).expect("it is there");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("letters")).collect();
    names.sort();
    names
}

/// Makes keys of all types, in several databases.
fn fill(client: &mut Connection) {
    for command in [
        "SET string some-text",
        "SET counter 7",
        "SETEX expiring 10000 soon",
        "RPUSH list a b c 1 2 3",
        "SADD set 1 2 3",
        "SADD words a b c",
        "ZADD sorted 1.5 a 2 b",
        "HSET hash f v g 1",
        "HEXPIRE hash 10000 FIELDS 1 f",
        "XADD stream 5-1 a b",
        "XGROUP CREATE stream group 0",
        "XREADGROUP GROUP group me COUNT 1 STREAMS stream >",
        "PFADD log a b c",
        "SELECT 3",
        "SET elsewhere 1",
        "MULTI",
        "SET in-transaction 1",
        "INCR counter",
        "EXEC",
        "SELECT 0",
    ] {
        let reply = client.ask(command);
        assert!(!reply.starts_with('('), "{command}: {reply}");
    }
}

fn wait_for_rewrite(client: &mut Connection) {
    eventually("the end of the rewrite", || {
        client.info("aof_rewrite_in_progress") == "0" && client.info("aof_rewrite_scheduled") == "0"
    });
    assert_eq!(client.info("aof_last_bgrewrite_status"), "ok");
}

#[test]
fn what_was_answered_is_there_after_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), &["--appendfsync", "always"]);
    let mut client = server.connect();
    fill(&mut client);
    let digest = client.ask("DEBUG DIGEST");
    let pending = client.ask("XPENDING stream group");
    drop(server);
    assert_eq!(
        files(directory.path()),
        ["appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof", "appendonly.aof.manifest"]
    );
    let server = start(directory.path(), &[]);
    let mut client = server.connect();
    assert_eq!(client.ask("DEBUG DIGEST"), digest);
    assert_eq!(client.ask("XPENDING stream group"), pending);
    assert!(client.ask("HTTL hash FIELDS 2 f g").ends_with(" -1]"));
}

#[test]
fn a_script_says_what_the_file_and_what_replicas_are_to_know() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), &["--appendfsync", "always", "--repl-diskless-sync-delay", "0"]);
    let mut client = server.connect();
    let replica = Server::start(&["--replicaof", &format!("127.0.0.1 {}", server.port)]);
    let mut follower = replica.connect();
    eventually("the link", || follower.info("master_link_status") == "up");
    let set = |targets: &[&str]| {
        let part = |target: &&str| format!("redis.set_repl(redis.REPL_{target}) redis.call('SET', '{target}', 1) ");
        targets.iter().map(part).collect::<String>()
    };
    let keys = "MGET AOF REPLICA NONE ALL";
    assert_eq!(client.ask_words(&["EVAL", &set(&["ALL", "NONE", "REPLICA", "AOF"]), "0"]), "nil");
    assert_eq!(client.ask(keys), "[1 1 1 1]");
    assert_eq!(client.ask("WAIT 1 0"), "1");
    assert_eq!(follower.ask(keys), "[nil 1 nil 1]");

    // Nothing but what is for the file: it is on the disk when that is answered, and the replica has a transaction of nothing.
    assert_eq!(client.ask("SELECT 1"), "OK");
    assert_eq!(client.ask_words(&["EVAL", &set(&["AOF"]), "0"]), "nil");
    assert_eq!(client.ask("WAITAOF 1 0 0"), "[1 0]");
    assert_eq!(client.ask("WAIT 1 0"), "1");
    drop(server);
    assert_eq!(follower.ask("DBSIZE"), "2");

    let server = start(directory.path(), &[]);
    let mut client = server.connect();
    assert_eq!(client.ask(keys), "[1 nil nil 1]");
    assert_eq!(client.ask("SELECT 1"), "OK");
    assert_eq!(client.ask(keys), "[1 nil nil nil]");
}

#[test]
fn a_rewrite_makes_one_base_of_everything_before() {
    for preamble in ["yes", "no"] {
        let directory = tempfile::tempdir().expect("a directory");
        let arguments = ["--aof-use-rdb-preamble", preamble, "--appendfsync", "always"];
        let server = start(directory.path(), &arguments);
        let mut client = server.connect();
        fill(&mut client);
        assert_eq!(client.ask("BGREWRITEAOF"), "Background append only file rewriting started");
        wait_for_rewrite(&mut client);
        client.ask("SET after 1");
        let kind = if preamble == "yes" { "rdb" } else { "aof" };
        let expected =
            [&format!("appendonly.aof.2.base.{kind}"), "appendonly.aof.2.incr.aof", "appendonly.aof.manifest"];
        assert_eq!(files(directory.path()), expected);
        let (digest, pending) = (client.ask("DEBUG DIGEST"), client.ask("XINFO GROUPS stream"));
        drop(server);
        let server = start(directory.path(), &arguments);
        let mut client = server.connect();
        assert_eq!(client.ask("DEBUG DIGEST"), digest, "{preamble}");
        assert_eq!(client.ask("XINFO GROUPS stream"), pending, "{preamble}");
        assert_eq!(client.ask("GET after"), "1");
    }
}

#[test]
fn it_can_be_switched_on_and_off() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), &["--appendonly", "no"]);
    let mut client = server.connect();
    fill(&mut client);
    assert_eq!(client.info("aof_enabled"), "0");
    assert_eq!(
        client.ask("WAITAOF 1 0 0"),
        "(ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.)"
    );
    assert_eq!(client.ask("CONFIG SET appendonly yes"), "OK");
    wait_for_rewrite(&mut client);
    client.ask("SET after 1");
    assert_eq!(client.ask("WAITAOF 1 0 30000"), "[1 0]");
    let digest = client.ask("DEBUG DIGEST");
    assert_eq!(client.ask("CONFIG SET appendonly no"), "OK");
    client.ask("SET too-late 1");
    drop(server);
    let server = start(directory.path(), &[]);
    let mut client = server.connect();
    assert_eq!(client.ask("DEBUG DIGEST"), digest);
}

#[test]
fn what_is_cut_off_is_passed_over_and_what_makes_no_sense_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), &["--appendfsync", "always"]);
    let mut client = server.connect();
    for command in ["SET a 1", "SET b 1", "MULTI", "SET a 2", "SET b 2", "EXEC"] {
        client.ask(command);
    }
    drop(server);
    let path = directory.path().join("appendonlydir/appendonly.aof.1.incr.aof");
    let whole = std::fs::read(&path).expect("it is there");
    for cut in [1, 10, 20, 40, 60] {
        std::fs::write(&path, &whole[..whole.len() - cut]).expect("it can be written");
        let server = start(directory.path(), &[]);
        let mut client = server.connect();
        assert_eq!((client.ask("GET a").as_str(), client.ask("GET b").as_str()), ("1", "1"), "{cut}");
        drop(server);
        assert!(std::fs::metadata(&path).expect("it is there").len() < whole.len() as u64 - 40, "it is truncated");
    }
    std::fs::write(&path, [&whole[..], b"nonsense\r\n"].concat()).expect("it can be written");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_radish"))
        .args(["--port", "0", "--unixsocket", "s", "--appendonly", "yes", "--dir"])
        .arg(directory.path())
        .output()
        .expect("it runs");
    assert!(!output.status.success());
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = "Bad file format reading the append only file appendonly.aof.1.incr.aof";
    assert!(log.contains(expected), "{log}");
}

#[test]
fn a_trim_that_another_server_has_logged_is_repeated() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut file = Vec::new();
    // Redis and Valkey turn the `~` of a request into `=`, and leave its LIMIT.
    for command in ["XADD s 1-0 f v", "XADD s 2-0 f v", "XADD s MINID = 2-0 LIMIT 128 3-0 f v"] {
        let words: Vec<&str> = command.split(' ').collect();
        file.extend(format!("*{}\r\n", words.len()).bytes());
        words.iter().for_each(|word| file.extend(format!("${}\r\n{word}\r\n", word.len()).bytes()));
    }
    std::fs::write(directory.path().join("appendonly.aof"), file).expect("it can be written");
    let server = start(directory.path(), &[]);
    let mut client = server.connect();
    assert_eq!(client.ask("XRANGE s - +"), "[[2-0 [f v]] [3-0 [f v]]]");
    let refused = client.ask("XADD s MINID = 2-0 LIMIT 128 4-0 f v");
    assert_eq!(refused, "(ERR syntax error, LIMIT cannot be used without the special ~ option)");
}

#[test]
fn while_a_script_of_the_file_is_slow_the_loading_is_told_of_first() {
    const LOADING: &str = "(LOADING Redis is loading the dataset in memory)";
    const BUSY: &str = "(BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.)";
    for threads in ["1", "2"] {
        let directory = tempfile::tempdir().expect("a directory");
        let server = start(directory.path(), &["--busy-reply-threshold", "1", "--threads", threads]);
        let (mut loader, mut client) = (server.connect(), server.connect());
        assert_eq!(loader.ask("WAITAOF 1 0 30000"), "[1 0]");
        let script = b"redis.call('set', KEYS[1], 'y') for i = 1, 50000000 do end";
        let path = directory.path().join("appendonlydir/appendonly.aof.1.incr.aof");
        let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("it is there");
        file.write_all(&request(&[b"EVAL", script, b"1", b"x"])).expect("the disk takes it");
        loader.send("DEBUG LOADAOF");
        eventually("the limit", || client.ask("ROLE") == BUSY);
        for (command, expected) in [
            ("PING", LOADING),
            ("GET x", LOADING),
            ("SCRIPT KILL", LOADING),
            ("FUNCTION STATS", LOADING),
            ("SHUTDOWN", BUSY),
            ("MULTI", "OK"),
            ("GET x", LOADING),
            ("DISCARD", "OK"),
        ] {
            assert_eq!(client.ask(command), expected, "{command}");
        }
        assert_eq!(loader.reply(), "OK");
        assert_eq!(client.ask("GET x"), "y");
    }
}

#[test]
fn in_a_transaction_it_begins_when_that_is_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), &["--appendonly", "no", "--logfile", "log"]);
    let mut client = server.connect();
    client.play(
        "
        > MULTI
        OK
        > SET k v
        QUEUED
        > CONFIG SET appendonly yes
        QUEUED
        > EXEC
        [OK OK]
        ",
    );
    wait_for_rewrite(&mut client);
    let log = std::fs::read_to_string(directory.path().join("log")).expect("it is there");
    assert!(log.contains("AOF was enabled during a transaction. An AOF background was scheduled"), "{log}");
    assert_eq!(client.ask("WAITAOF 1 0 30000"), "[1 0]");
    drop(server);
    assert_eq!(start(directory.path(), &[]).connect().ask("GET k"), "v");
}
