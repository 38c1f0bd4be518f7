//! Replication through sockets: what a primary sends, and servers that follow each other.

use crate::support::{Connection, Server, eventually};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Starts a server that serves its replicas at once.
fn start(arguments: &[&str]) -> Server {
    Server::start(&[&["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"], arguments].concat())
}

/// Has `replica` follow `primary`, and waits until it does.
fn follow(replica: &mut Connection, primary: &Server) {
    assert_eq!(replica.ask(&format!("REPLICAOF 127.0.0.1 {}", primary.port)), "OK");
    eventually("the link", || replica.info("master_link_status") == "up");
}

/// Waits until a replica has all that its primary has.
fn catch_up(replica: &mut Connection, primary: &mut Connection) {
    eventually("the end of the stream", || replica.info("slave_repl_offset") == primary.info("master_repl_offset"));
}

/// A connection that gets what replicas get.
struct Stream(TcpStream);

impl Stream {
    /// Becomes a replica; what there is already is passed over.
    fn open(server: &Server) -> Stream {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("the server accepts");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
        stream.write_all(b"SYNC\r\n").expect("it is taken");
        let line = read_line(&mut stream);
        let len: usize = line.strip_prefix('$').expect("a length").parse().expect("a number");
        let mut data = vec![0; len];
        stream.read_exact(&mut data).expect("the data");
        assert!(data.starts_with(b"REDIS"));
        Stream(stream)
    }

    /// The next command, its words separated by spaces; `PING` and `SELECT` are passed over.
    fn next(&mut self) -> String {
        loop {
            let words = self.words();
            if !["PING", "SELECT"].contains(&words[0].as_str()) {
                return words.join(" ");
            }
        }
    }

    /// The words of the next command.
    fn words(&mut self) -> Vec<String> {
        let line = read_line(&mut self.0);
        let count: usize = line.strip_prefix('*').expect("an array").parse().expect("a number");
        (0..count)
            .map(|_| {
                let head = read_line(&mut self.0);
                let len: usize = head.strip_prefix('$').expect("a bulk string").parse().expect("a number");
                let mut word = vec![0; len + 2];
                self.0.read_exact(&mut word).expect("a word");
                String::from_utf8_lossy(&word[..len]).into_owned()
            })
            .collect()
    }
}

/// A line without its end; empty ones are passed over.
fn read_line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a byte");
        match byte[0] {
            b'\n' if line.is_empty() => {}
            b'\n' => return String::from_utf8(line).expect("text"),
            b'\r' => {}
            byte => line.push(byte),
        }
    }
}

#[test]
fn what_cannot_be_repeated_as_it_came_is_said_in_other_words() {
    let server = start(&[]);
    let mut client = server.connect();
    let mut stream = Stream::open(&server);
    let far = 33_000_000_000_000_i64;
    let cases = [
        ("SET a 1", "SET a 1"),
        ("SET a 1 NX", ""),
        ("GET a", ""),
        ("SET a 2 XX GET", "SET a 2"),
        (&format!("SET a 3 PXAT {far}"), &format!("SET a 3 PXAT {far}")),
        (&format!("SET a 3 EXAT {}", far / 1000), &format!("SET a 3 PXAT {far}")),
        ("SET a 4 KEEPTTL", "SET a 4 KEEPTTL"),
        ("GETSET a 5", "SET a 5"),
        ("INCRBYFLOAT a 0.5", "SET a 5.5 KEEPTTL"),
        (&format!("EXPIREAT a {}", far / 1000), &format!("PEXPIREAT a {far}")),
        ("GETEX a PERSIST", "PERSIST a"),
        ("GETEX a", ""),
        ("GETDEL a", "DEL a"),
        ("SET b 1", "SET b 1"),
        ("EXPIRE b -1", "DEL b"),
        ("RPUSH list a b c d", "RPUSH list a b c d"),
        ("BLPOP nothing list 0", "LPOP list"),
        ("BLMOVE list other LEFT RIGHT 0", "LMOVE list other LEFT RIGHT"),
        ("LMPOP 2 nothing list RIGHT COUNT 5", "RPOP list 2"),
        ("SADD set 7", "SADD set 7"),
        ("SPOP set", "SREM set 7"),
        ("ZADD sorted 1 a 2 b 3 c", "ZADD sorted 1 a 2 b 3 c"),
        ("BZPOPMAX nothing sorted 0", "ZPOPMAX sorted"),
        ("ZMPOP 1 sorted MIN COUNT 9", "ZPOPMIN sorted 2"),
        ("HSET hash f 1 g 2", "HSET hash f 1 g 2"),
        ("HINCRBYFLOAT hash f 0.5", "HSET hash f 1.5"),
        (&format!("HEXPIREAT hash {} FIELDS 2 f none", far / 1000), &format!("HPEXPIREAT hash {far} FIELDS 1 f")),
        ("HINCRBYFLOAT hash f 1", "HSETEX hash KEEPTTL FIELDS 1 f 2.5"),
        ("HGETDEL hash FIELDS 1 g", "HDEL hash g"),
        ("XADD stream 5-* f v", "XADD stream 5-0 f v"),
        ("XADD stream MAXLEN ~ 1 6-1 f v", "XADD stream 6-1 f v"),
        ("XGROUP CREATE stream group 0", "XGROUP CREATE stream group 0"),
        ("MULTI", ""),
        ("EXEC", ""),
        ("FLUSHDB", "FLUSHDB"),
        ("FLUSHALL", "FLUSHALL"),
        ("PUBLISH channel text", "PUBLISH channel text"),
    ];
    for (command, expected) in cases {
        let reply = client.ask(command);
        assert!(!reply.starts_with("(ERR"), "{command}: {reply}");
        if !expected.is_empty() {
            assert_eq!(stream.next(), expected, "{command}");
        }
    }
    client.ask("SET end 1");
    assert_eq!(stream.next(), "SET end 1", "nothing else has been sent");
}

#[test]
fn several_effects_of_one_command_are_a_transaction() {
    let server = start(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    let mut stream = Stream::open(&server);
    client.ask("XADD stream 1-1 f v");
    client.ask("XADD stream 1-2 f v");
    client.ask("XGROUP CREATE stream group 0");
    client.ask("XREADGROUP GROUP group me COUNT 10 STREAMS stream >");
    let sent: Vec<String> = (0..7).map(|_| stream.next()).collect();
    assert_eq!(sent[3], "MULTI");
    assert!(sent[4].starts_with("XCLAIM stream group me 0 1-1 1-2 TIME "), "{}", sent[4]);
    assert_eq!(sent[5..], ["XGROUP SETID stream group 1-2 ENTRIESREAD 2", "EXEC"]);
    // Who claims nothing has to be made.
    client.ask("XREADGROUP GROUP group other STREAMS stream >");
    assert_eq!(stream.next(), "XGROUP CREATECONSUMER stream group other");
    // A transaction with one effect is none.
    client.play(
        "
        > MULTI
        OK
        > SET a 1
        QUEUED
        > GET a
        QUEUED
        > EXEC
        [OK 1]
        ",
    );
    assert_eq!(stream.next(), "SET a 1");
    // A key that is over goes first.
    client.ask("DEBUG SET-ACTIVE-EXPIRE 0");
    client.ask("SET over 1 PX 1");
    assert!(stream.next().starts_with("SET over 1 PXAT "));
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(client.ask("APPEND over x"), "1");
    let sent = [stream.next(), stream.next(), stream.next(), stream.next()];
    assert_eq!(sent, ["MULTI", "DEL over", "APPEND over x", "EXEC"]);
}

#[test]
fn a_replica_has_what_its_primary_has_and_takes_no_writes() {
    for diskless in ["yes", "no"] {
        let (primary, replica) = (start(&["--repl-diskless-sync", diskless]), start(&[]));
        let (mut theirs, mut ours) = (primary.connect(), replica.connect());
        theirs.ask("SET before 1");
        theirs.ask("RPUSH list a b c");
        ours.ask("SET mine 1");
        follow(&mut ours, &primary);
        assert_eq!(ours.ask("GET before"), "1");
        assert_eq!(ours.ask("EXISTS mine"), "0");
        theirs.ask("SET after 2");
        theirs.ask("LPOP list");
        assert_eq!(theirs.ask("WAIT 1 30000"), "1");
        assert_eq!(ours.ask("GET after"), "2");
        assert_eq!(ours.ask("LLEN list"), "2");
        assert_eq!(ours.ask("SET a 1"), "(READONLY You can't write against a read only replica.)");
        assert_eq!(theirs.info("connected_slaves"), "1");
        assert_eq!(ours.info("role"), "slave");
        assert!(ours.ask("ROLE").contains("connected"));
        assert_eq!(theirs.ask("WAIT 2 10"), "1");
    }
}

#[test]
fn a_link_that_breaks_goes_on_where_it_was() {
    let (primary, replica) = (start(&[]), start(&[]));
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    follow(&mut ours, &primary);
    for round in 1..=3 {
        theirs.ask(&format!("SET a {round}"));
        assert_eq!(theirs.ask("CLIENT KILL TYPE replica"), "1");
        theirs.ask(&format!("SET b {round}"));
        eventually("what was written meanwhile", || ours.ask("GET b") == round.to_string());
        assert_eq!(ours.ask("GET a"), round.to_string());
    }
    assert_eq!(theirs.info("sync_full"), "1");
    assert_eq!(theirs.info("sync_partial_ok"), "3");
}

#[test]
fn a_promoted_replica_is_followed_without_a_new_copy() {
    let servers = [start(&[]), start(&[]), start(&[])];
    let [mut first, mut second, mut third] = [0, 1, 2].map(|index: usize| servers[index].connect());
    follow(&mut second, &servers[0]);
    follow(&mut third, &servers[0]);
    first.ask("SET a 1");
    assert_eq!(first.ask("WAIT 2 30000"), "2");
    assert_eq!(second.ask("REPLICAOF NO ONE"), "OK");
    follow(&mut third, &servers[1]);
    follow(&mut first, &servers[1]);
    second.ask("SET a 2");
    assert_eq!(second.ask("WAIT 2 30000"), "2");
    for client in [&mut first, &mut third] {
        catch_up(client, &mut second);
        assert_eq!(client.ask("GET a"), "2");
    }
    assert_eq!(second.info("sync_full"), "0", "all of them went on where they were");
}

#[test]
fn keys_that_are_over_go_when_the_primary_says_so() {
    let (primary, replica) = (start(&["--enable-debug-command", "yes"]), start(&[]));
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    follow(&mut ours, &primary);
    theirs.ask("DEBUG SET-ACTIVE-EXPIRE 0");
    theirs.ask("SET short 1 PX 20");
    assert_eq!(theirs.ask("WAIT 1 30000"), "1");
    std::thread::sleep(Duration::from_millis(40));
    assert_eq!(ours.ask("GET short"), "nil", "it is not seen");
    assert_eq!(ours.ask("DBSIZE"), "1", "but it is there");
    theirs.ask("DEBUG SET-ACTIVE-EXPIRE 1");
    eventually("the deletion", || ours.ask("DBSIZE") == "0");
}

#[test]
fn writes_need_as_many_replicas_as_the_configuration_says() {
    let (primary, replica) = (start(&["--min-replicas-to-write", "1"]), start(&[]));
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    assert_eq!(theirs.ask("SET a 1"), "(NOREPLICAS Not enough good replicas to write.)");
    follow(&mut ours, &primary);
    eventually("a good replica", || theirs.ask("SET a 1") == "OK");
    assert_eq!(ours.ask("WAIT 0 0").split(' ').next(), Some("(ERR"));
    drop(replica);
    eventually("its end", || theirs.info("connected_slaves") == "0");
    assert_eq!(theirs.ask("SET a 1"), "(NOREPLICAS Not enough good replicas to write.)");
}

#[test]
fn a_script_sees_that_a_replica_has_left() {
    const SCRIPT: &str = "redis.call('set', KEYS[1], 'before')
        repeat until redis.call('info', 'replication'):find('connected_slaves:0')
        return redis.call('set', KEYS[1], 'after')";
    for threads in ["1", "2"] {
        let primary = start(&["--threads", threads, "--busy-reply-threshold", "10", "--min-replicas-to-write", "1"]);
        let replica = start(&[]);
        let (mut runner, mut theirs, mut ours) = (primary.connect(), primary.connect(), replica.connect());
        follow(&mut ours, &primary);
        eventually("a good replica", || theirs.ask("SET a 1") == "OK");
        runner.send_words(&["EVAL", SCRIPT, "1", "k"]);
        eventually("the limit", || theirs.ask("PING").starts_with("(BUSY"));
        assert_eq!(ours.ask("REPLICAOF NO ONE"), "OK");
        assert_eq!((runner.reply(), theirs.ask("GET k")), ("OK".into(), "after".into()));
    }
}

#[test]
fn the_append_only_file_of_a_replica_has_what_the_replica_has() {
    let directory = tempfile::tempdir().expect("a directory");
    let arguments = ["--appendonly", "yes", "--dir", directory.path().to_str().expect("letters")];
    let (primary, replica) = (start(&[]), start(&arguments));
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    eventually("the end of loading", || ours.info("loading") == "0");
    ours.ask("SET mine 1");
    theirs.ask("SET before 1");
    follow(&mut ours, &primary);
    theirs.ask("SET after 1");
    theirs.ask("MULTI");
    theirs.ask("RPUSH list a");
    theirs.ask("RPUSH list b");
    theirs.ask("EXEC");
    assert_eq!(theirs.ask("WAITAOF 0 1 30000"), "[0 1]");
    drop(replica);
    let replica = start(&arguments);
    let mut ours = replica.connect();
    eventually("the end of loading", || ours.info("loading") == "0");
    assert_eq!(ours.ask("MGET mine before after"), "[nil 1 1]");
    assert_eq!(ours.ask("LRANGE list 0 -1"), "[a b]");
}

#[test]
fn what_is_done_at_a_replica_itself_is_not_in_the_stream() {
    let (primary, replica) = (start(&[]), start(&["--appendonly", "yes", "--replica-read-only", "no"]));
    let (mut owner, mut follower) = (primary.connect(), replica.connect());
    eventually("the end of loading", || follower.info("loading") == "0");
    follow(&mut follower, &primary);
    for command in ["PUBLISH channel text", "SET own 1", "SPOP none", "WAIT 0 1", "WAITAOF 0 1 10"] {
        follower.ask(command);
        owner.ask("MULTI");
        owner.ask("SET a 1");
        owner.ask("SET b 2");
        owner.ask("EXEC");
    }
    assert_eq!(follower.ask("GET own"), "1");
    catch_up(&mut follower, &mut owner);
    // The offset is that of the primary, byte for byte: what follows is what was missed.
    let link = follower.ask("CLIENT LIST TYPE master");
    let id = link.strip_prefix("id=").and_then(|rest| rest.split(' ').next()).expect("an id");
    assert_eq!(follower.ask(&format!("CLIENT KILL ID {id}")), "1");
    owner.ask("SET c 3");
    eventually("a partial resynchronization", || owner.info("sync_partial_ok") == "1");
    eventually("what was missed", || follower.ask("GET c") == "3");
    catch_up(&mut follower, &mut owner);
    assert_eq!(owner.info("sync_full"), "1");
    assert_eq!(follower.ask("REPLICAOF NO ONE"), "OK");
    let offset = follower.info("master_repl_offset");
    follower.ask("SET own 2");
    assert_ne!(follower.info("master_repl_offset"), offset, "its own history has what it does");
}

#[test]
fn copies_for_replicas_leave_the_memory_in_use_as_it_was() {
    let primary = start(&["--enable-debug-command", "yes"]);
    let mut theirs = primary.connect();
    theirs.ask("DEBUG POPULATE 2000 key 10000");
    let used = |theirs: &mut Connection| theirs.info("used_memory").parse::<usize>().expect("a number");
    for is_diskless in ["yes", "no"] {
        theirs.ask(&format!("CONFIG SET repl-diskless-sync {is_diskless}"));
        let before = used(&mut theirs);
        for _ in 0..2 {
            let replica = start(&["--appendonly", "yes"]);
            follow(&mut replica.connect(), &primary);
            drop(replica);
            eventually("its end", || theirs.info("connected_slaves") == "0");
        }
        let after = used(&mut theirs);
        assert!(after.abs_diff(before) < 4_000_000, "diskless {is_diskless}: {before} bytes before, {after} after");
    }
}

#[test]
fn what_a_replica_has_stays_until_other_data_are_whole() {
    let primary = start(&["--rdb-key-save-delay", "20000", "--enable-debug-command", "yes"]);
    let replica = start(&["--repl-diskless-load", "swapdb"]);
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    theirs.ask("DEBUG POPULATE 1000 key 10");
    ours.ask("SET mine 1");
    assert_eq!(ours.ask(&format!("REPLICAOF 127.0.0.1 {}", primary.port)), "OK");
    eventually("data to come", || ours.info("loading") == "1");
    assert_eq!(ours.ask("GET mine"), "(LOADING Redis is loading the dataset in memory)");
    drop(primary);
    eventually("the end of that", || ours.info("loading") == "0");
    assert_eq!(ours.ask("REPLICAOF NO ONE"), "OK");
    assert_eq!(ours.ask("GET mine"), "1");
    assert_eq!(ours.ask("DBSIZE"), "1");
}

#[test]
fn older_data_of_the_same_history_are_served_until_newer_ones_are_whole() {
    let primary = start(&["--enable-debug-command", "yes", "--repl-backlog-size", "16384"]);
    let replica = start(&["--repl-diskless-load", "swapdb", "--replica-read-only", "no"]);
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    follow(&mut ours, &primary);
    theirs.ask("SET old 1");
    catch_up(&mut ours, &mut theirs);
    ours.ask("SET mine 1");
    // The backlog loses what the replica lacks.
    theirs.ask("DEBUG POPULATE 100 key 10");
    theirs.ask("CONFIG SET rdb-key-save-delay 20000");
    let value = "x".repeat(200_000);
    theirs.ask("MULTI");
    theirs.ask("CLIENT KILL TYPE replica");
    theirs.ask(&format!("SET new {value}"));
    theirs.ask(&format!("SET new {value}"));
    assert!(theirs.ask("EXEC").ends_with("OK OK]"));
    eventually("data to come", || ours.info("async_loading") == "1");
    assert_eq!(ours.info("loading"), "0");
    ours.play(
        "
        > MGET old mine new
        [1 1 nil]
        > REPLICAOF NO ONE
        (LOADING Redis is loading the dataset in memory)
        > CONFIG SET appendonly no
        (LOADING Redis is loading the dataset in memory)
        ",
    );
    theirs.ask("CONFIG SET rdb-key-save-delay 0");
    eventually("the end", || ours.info("async_loading") == "0" && ours.info("master_link_status") == "up");
    assert_eq!(ours.ask("STRLEN new"), "200000");
    assert_eq!(ours.ask("EXISTS old mine"), "1");
    assert_eq!(ours.ask("DBSIZE"), theirs.ask("DBSIZE"));
    theirs.ask("SET later 1");
    catch_up(&mut ours, &mut theirs);
    assert_eq!(ours.ask("GET later"), "1");
}

#[test]
fn a_replica_that_cannot_save_ends_unless_it_is_to_go_on() {
    for goes_on in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        let (place, ignore) = (directory.path().to_str().expect("letters"), if goes_on { "yes" } else { "no" });
        let primary = start(&[]);
        let mut replica =
            start(&["--dir", place, "--replica-ignore-disk-write-errors", ignore, "--rdb-del-sync-files", "yes"]);
        let (mut theirs, mut ours) = (primary.connect(), replica.connect());
        follow(&mut ours, &primary);
        // No file can take its place.
        std::fs::create_dir(directory.path().join("dump.rdb")).expect("a directory");
        theirs.ask("SET a 1");
        catch_up(&mut ours, &mut theirs);
        assert_eq!(ours.ask_words(&["CONFIG", "SET", "save", "3600 1"]), "OK");
        ours.ask("BGSAVE");
        eventually("the failure", || ours.info("rdb_last_bgsave_status") == "err");
        theirs.ask("SET b 1");
        if goes_on {
            catch_up(&mut ours, &mut theirs);
            assert_eq!(ours.ask("GET b"), "1");
        } else {
            assert!(!replica.wait().success());
        }
    }
}

#[test]
fn an_empty_line_from_the_primary_is_no_part_of_the_stream() {
    let source = start(&[]);
    let mut stream = TcpStream::connect(("127.0.0.1", source.port)).expect("the server accepts");
    stream.write_all(b"SYNC\r\n").expect("it is taken");
    let line = read_line(&mut stream);
    let mut data = vec![0; line.strip_prefix('$').expect("a length").parse().expect("a number")];
    stream.read_exact(&mut data).expect("the data");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let replica = start(&[]);
    let mut client = replica.connect();
    let port = listener.local_addr().expect("an address").port();
    assert_eq!(client.ask(&format!("REPLICAOF 127.0.0.1 {port}")), "OK");
    let mut primary = Stream(listener.accept().expect("the replica comes").0);
    loop {
        match primary.words()[0].as_str() {
            "PING" => primary.0.write_all(b"+PONG\r\n").expect("it is taken"),
            "PSYNC" => break,
            _ => primary.0.write_all(b"+OK\r\n").expect("it is taken"),
        }
    }
    let head = format!("+FULLRESYNC {} 100\r\n${}\r\n", "a".repeat(40), data.len());
    let command = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n".as_slice();
    primary.0.write_all(&[head.as_bytes(), &data, b"\n", command, b"\n"].concat()).expect("it is taken");
    eventually("the command", || client.ask("GET a") == "1");
    assert_eq!(client.info("slave_repl_offset"), (100 + command.len()).to_string());
}

#[test]
fn who_gets_a_copy_while_it_is_made_waits_for_it_and_the_copy_ends_with_the_last_of_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let primary = start(&[
        "--rdb-key-save-delay",
        "1000000",
        "--enable-debug-command",
        "yes",
        "--logfile",
        log.to_str().expect("letters"),
    ]);
    let mut theirs = primary.connect();
    theirs.ask("DEBUG POPULATE 100 key 10");
    let mut replica = TcpStream::connect(("127.0.0.1", primary.port)).expect("the server accepts");
    replica.write_all(b"REPLCONF capa eof capa psync2\r\nPSYNC ? -1\r\n").expect("it is taken");
    assert_eq!(read_line(&mut replica), "+OK");
    assert!(read_line(&mut replica).starts_with("+FULLRESYNC"));
    assert!(read_line(&mut replica).starts_with("$EOF:"));
    assert_eq!(theirs.info("rdb_bgsave_in_progress"), "1");
    assert!(theirs.info("slave0").contains("state=wait_bgsave"));
    drop(replica);
    eventually("the end of the copy", || theirs.info("rdb_bgsave_in_progress") == "0");
    let text = std::fs::read_to_string(&log).expect("a log");
    assert!(text.contains("Diskless rdb transfer, last replica dropped, killing fork child."), "{text}");
}

#[test]
fn a_pause_of_clients_holds_what_a_primary_sends_back() {
    let (primary, replica) = (start(&[]), start(&[]));
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    follow(&mut ours, &primary);
    theirs.ask("SET a 1");
    catch_up(&mut ours, &mut theirs);
    let offset = theirs.info("master_repl_offset").parse::<u64>().expect("a number");
    assert_eq!(ours.ask("CLIENT PAUSE 100000 WRITE"), "OK");
    theirs.play(
        "
        > MULTI
        OK
        > SET a 2
        QUEUED
        > SET b 2
        QUEUED
        > EXEC
        [OK OK]
        > INCR a
        3
        ",
    );
    let sent = |theirs: &mut Connection| theirs.info("master_repl_offset").parse::<u64>().expect("a number");
    eventually("what was sent", || ours.info("slave_read_repl_offset") == sent(&mut theirs).to_string());
    // Pings of the primary may be done before the first write, and nothing else.
    let done = ours.info("slave_repl_offset").parse::<u64>().expect("a number");
    assert!((offset..sent(&mut theirs)).contains(&done), "{offset} {done}");
    assert_eq!(ours.ask("GET a"), "1");
    assert_eq!(ours.ask("CLIENT UNPAUSE"), "OK");
    catch_up(&mut ours, &mut theirs);
    assert_eq!(ours.ask("MGET a b"), "[3 2]");
}

#[test]
fn what_a_replica_has_yet_to_read_evicts_nothing() {
    let primary = start(&["--client-output-buffer-limit", "replica 0 0 0", "--repl-backlog-size", "16384"]);
    let replica = start(&[]);
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    follow(&mut ours, &primary);
    theirs.ask("SET a 1");
    catch_up(&mut ours, &mut theirs);
    let figure = |theirs: &mut Connection, field: &str| theirs.info(field).parse::<usize>().expect("a number");
    let limit = figure(&mut theirs, "used_memory") + 3_000_000;
    theirs.ask(&format!("CONFIG SET maxmemory {limit}"));
    replica.signal("STOP");
    let value = "x".repeat(100_000);
    for _ in 0..200 {
        assert_eq!(theirs.ask(&format!("SET a {value}")), "OK");
    }
    let not_counted = figure(&mut theirs, "mem_not_counted_for_evict");
    assert!(not_counted > 5_000_000, "{not_counted}");
    assert!(figure(&mut theirs, "used_memory") - not_counted < limit);
    assert!(figure(&mut theirs, "mem_clients_slaves") > 5_000_000);
    assert_eq!(theirs.ask("CLIENT KILL TYPE replica"), "1");
    assert_eq!(theirs.info("mem_clients_slaves"), "0");
    replica.signal("CONT");
}
