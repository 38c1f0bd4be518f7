//! Saving to the database file and loading it at the start, through a socket.

use crate::support::{Connection, Server, eventually};
use std::fs::File;
use std::path::Path;
use std::process::Command;

/// Starts a server whose files are in `directory`, with the save points of the default configuration.
fn start(directory: &Path, arguments: &[&str]) -> Server {
    let directory = directory.to_str().expect("a name in letters");
    Server::start(
        &[
            &[
                "--save",
                "3600 1",
                "--dir",
                directory,
                "--enable-debug-command",
                "yes",
                "--enable-protected-configs",
                "yes",
                "--enable-protected-configs",
                "yes",
            ],
            arguments,
        ]
        .concat(),
    )
}

/// Makes a key of each type.
fn fill(client: &mut Connection) {
    client.play(
        "
        > SET number 12345
        OK
        > SET text some-text EX 1000
        OK
        > RPUSH list a 1 -70000
        3
        > SADD integers 1 2 3
        3
        > SADD set a b c
        3
        > ZADD sorted 1.5 a 2 b
        2
        > HSET hash f v
        1
        > XADD stream 5-1 a b
        5-1
        > SELECT 3
        OK
        > SET elsewhere 1
        OK
        > SELECT 0
        OK
        ",
    );
}

#[test]
fn what_was_there_is_there_again_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    for signal in ["TERM", "INT"] {
        let mut server = start(directory.path(), &[]);
        let mut client = server.connect();
        eventually("the data", || client.info("loading") == "0");
        client.ask("FLUSHALL");
        fill(&mut client);
        let digest = client.ask("DEBUG DIGEST");
        server.signal(signal);
        assert!(server.wait().success());
        let mut server = start(directory.path(), &[]);
        let mut client = server.connect();
        eventually("the data", || client.info("loading") == "0");
        assert_eq!(client.ask("DEBUG DIGEST"), digest);
        assert_eq!(client.info("rdb_last_load_keys_loaded"), "9");
        assert_eq!(client.info("rdb_changes_since_last_save"), "0");
        // What is not to be saved is not.
        assert_eq!(client.ask("DEL number"), "1");
        client.send("SHUTDOWN NOSAVE");
        assert!(server.wait().success());
        let server = start(directory.path(), &[]);
        let mut client = server.connect();
        eventually("the data", || client.info("loading") == "0");
        assert_eq!(client.ask("DEBUG DIGEST"), digest);
    }
}

#[test]
fn save_writes_a_file_and_counts_changes_from_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), &["--dbfilename", "other.rdb"]);
    let mut client = server.connect();
    let before: i64 = client.ask("LASTSAVE").parse().expect("a time");
    fill(&mut client);
    assert_eq!(client.info("rdb_changes_since_last_save"), "16");
    client.play(
        "
        > MULTI
        OK
        > SAVE
        (ERR Command not allowed inside a transaction)
        > DISCARD
        OK
        > SAVE
        OK
        ",
    );
    assert_eq!(client.info("rdb_changes_since_last_save"), "0");
    assert_eq!(client.info("rdb_saves"), "1");
    assert!(client.ask("LASTSAVE").parse::<i64>().expect("a time") >= before);
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).expect("it is there").map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["other.rdb"], "nothing else is left behind");
    let checked = Command::new("redis-check-rdb").arg(directory.path().join("other.rdb")).output();
    if let Ok(checked) = checked {
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
    // With save points, what was removed does not come back.
    assert_eq!(client.ask("FLUSHALL"), "OK");
    assert_eq!(client.info("rdb_changes_since_last_save"), "0");
    assert_eq!(client.ask("DEBUG RELOAD NOSAVE"), "OK");
    assert_eq!(client.ask("DBSIZE"), "0");
}

#[test]
fn a_save_that_fails_leaves_everything_as_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = start(directory.path(), &[]);
    let mut client = server.connect();
    fill(&mut client);
    // A file cannot take the place of a directory.
    std::fs::create_dir(directory.path().join("dump.rdb")).expect("it can be made");
    assert_eq!(client.ask("SAVE"), "(ERR)");
    assert_eq!(client.ask("SHUTDOWN"), "(ERR Errors trying to SHUTDOWN. Check logs.)");
    server.signal("TERM");
    assert_eq!(client.ask("SHUTDOWN ABORT NOW"), "(ERR syntax error)");
    assert_eq!(client.ask("SHUTDOWN SAVE NOSAVE"), "(ERR syntax error)");
    assert_eq!(client.info("rdb_changes_since_last_save"), "16");
    // The signal may only now have it try once more.
    let left = || std::fs::read_dir(directory.path()).expect("it is there").count();
    eventually("that no temporary file is left", || left() == 1);
    client.send("SHUTDOWN FORCE");
    assert!(server.wait().success());
}

#[test]
fn a_signal_can_be_taken_back_or_insisted_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = start(directory.path(), &[]);
    let mut client = server.connect();
    assert_eq!(client.ask("SHUTDOWN ABORT"), "(ERR No shutdown in progress.)");
    assert_eq!(client.ask("DEBUG PAUSE-CRON 1"), "OK");
    server.signal("TERM");
    eventually("the signal", || client.ask("SHUTDOWN ABORT") == "OK");
    assert_eq!(client.ask("DEBUG PAUSE-CRON 0"), "OK");
    // Longer than a look of what happens by itself takes.
    std::thread::sleep(std::time::Duration::from_millis(200));
    fill(&mut client);
    assert_eq!(client.ask("CONFIG SET rdb-key-save-delay 10000000"), "OK");
    server.signal("INT");
    let temporary = directory.path().join(format!("temp-{}.rdb", server.id()));
    eventually("the save", || temporary.exists());
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(1));
    assert!(!temporary.exists());
}

#[test]
fn clients_are_told_to_wait_while_data_is_loaded() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), &[]);
    let mut client = server.connect();
    assert_eq!(client.ask("DEBUG POPULATE 1000"), "OK");
    assert_eq!(client.ask("SAVE"), "OK");
    drop(server);
    let mut server = start(directory.path(), &["--key-load-delay", "10000"]);
    let mut client = server.connect();
    client.play(
        "
        > GET key:1
        (LOADING Redis is loading the dataset in memory)
        > SAVE
        (LOADING Redis is loading the dataset in memory)
        > MULTI
        OK
        > GET key:1
        (LOADING Redis is loading the dataset in memory)
        > EXEC
        (EXECABORT Transaction discarded because of previous errors.)
        > CONFIG SET dir /
        (LOADING Redis is loading the dataset in memory)
        ",
    );
    assert_eq!(client.info("loading"), "1");
    assert!(client.info("loading_total_bytes").parse::<u64>().expect("bytes") > 10_000);
    server.signal("TERM");
    assert!(server.wait().success());
    // What was half loaded has not taken the file's place.
    let server = start(directory.path(), &["--key-load-delay", "10000"]);
    let mut client = server.connect();
    assert_eq!(client.info("loading"), "1");
    assert_eq!(client.ask("CONFIG SET key-load-delay 0"), "OK");
    eventually("the data", || client.info("loading") == "0");
    assert_eq!(client.ask("DBSIZE"), "1000");
}

#[test]
fn keys_that_are_over_are_left_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), &[]);
    let mut client = server.connect();
    assert_eq!(client.ask("DEBUG SET-ACTIVE-EXPIRE 0"), "OK");
    for line in ["SET over 1 PX 1", "SET lasting 1 PX 10000000", "HSETEX hash PX 1 FIELDS 1 f v", "SAVE"] {
        client.ask(line);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop(server);
    let server = start(directory.path(), &[]);
    let mut client = server.connect();
    eventually("the data", || client.info("loading") == "0");
    assert_eq!(client.info("rdb_last_load_keys_expired"), "2");
    assert_eq!(client.info("rdb_last_load_keys_loaded"), "1");
    assert_eq!(client.ask("KEYS *"), "[lasting]");
}

#[test]
fn a_file_that_cannot_be_loaded_ends_the_server() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), &[]);
    let mut client = server.connect();
    fill(&mut client);
    assert_eq!(client.ask("SAVE"), "OK");
    drop(server);
    let path = directory.path().join("dump.rdb");
    let whole = std::fs::read(&path).expect("it was saved");
    let mut broken = whole.clone();
    *broken.last_mut().expect("it has bytes") ^= 1;
    let fatal = "Fatal error loading the DB: Invalid argument. Exiting.";
    let failed = "Terminating server after rdb file reading failure.";
    let cases = [
        (b"RUBBISH, and more of it".to_vec(), "Wrong signature trying to load DB from file", fatal),
        ([b"REDIS0099", &whole[9..]].concat(), "Can't handle RDB format version 99", fatal),
        (whole[..whole.len() / 2].to_vec(), "Short read or OOM loading DB. Unrecoverable error, aborting now.", failed),
        (broken, "RDB CRC error", failed),
        (
            [&whole[..whole.len() - 9], b"\x00\x09elsewhere\x01x\xff", &[0; 8]].concat(),
            "RDB has duplicated key 'elsewhere' in DB 3",
            failed,
        ),
    ];
    for (bytes, told, last) in cases {
        std::fs::write(&path, &bytes).expect("it can be written");
        let log = directory.path().join("log");
        let mut process = Command::new(env!("CARGO_BIN_EXE_radish"))
            .args(["--port", "0", "--unixsocket"])
            .args([&directory.path().join("socket"), Path::new("--dir"), directory.path()])
            .stdout(File::create(&log).expect("a log"))
            .spawn()
            .expect("the server's binary starts");
        let mut status = None;
        eventually("the end of the server", || {
            status = process.try_wait().expect("its state is known");
            status.is_some()
        });
        let log = std::fs::read_to_string(&log).expect("it is text");
        assert_eq!(status.and_then(|status| status.code()), Some(1), "{log}");
        assert!(log.contains(told), "{told} is not in {log}");
        assert!(log.trim_end().ends_with(last), "{last} is not at the end of {log}");
        assert_eq!(std::fs::read(&path).expect("it is there"), bytes);
    }
}

#[test]
fn data_is_merged_with_what_is_there_if_that_is_wanted() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), &[]);
    let mut client = server.connect();
    client.play(
        "
        > SET a 1
        OK
        > SET b 1
        OK
        > SAVE
        OK
        > SET a 2
        OK
        > SET c 2
        OK
        > DEL b
        1
        > DEBUG RELOAD NOSAVE NOFLUSH MERGE
        OK
        > MGET a b c
        [1 1 2]
        > DEBUG RELOAD OTHER
        (ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.)
        > DEBUG RELOAD
        OK
        > MGET a b c
        [1 1 2]
        ",
    );
}

#[test]
fn clients_go_on_while_data_is_saved_in_the_background() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), &[]);
    let mut client = server.connect();
    fill(&mut client);
    assert_eq!(client.ask("DEBUG POPULATE 1000"), "OK");
    // What compresses well.
    let [same, other] = ["A", "B"].map(|letter| letter.repeat(500));
    (0..16).for_each(|index| assert_eq!(client.ask(&format!("SET same:{index} {same}")), "OK"));
    let digest = client.ask("DEBUG DIGEST");
    client.play(
        "
        > BGSAVE CANCEL
        (ERR Background saving is currently not in progress or scheduled)
        > BGSAVE OTHER
        (ERR syntax error)
        > BGSAVE CANCEL OTHER
        (ERR syntax error)
        > CONFIG SET rdb-key-save-delay 100000
        OK
        > BGSAVE
        Background saving started
        > BGSAVE
        (ERR Background save already in progress)
        > BGSAVE SCHEDULE
        (ERR Background save already in progress)
        > SAVE
        (ERR Background save already in progress)
        > DEL list
        1
        > SET key:5 other
        OK
        ",
    );
    assert_eq!(client.info("rdb_bgsave_in_progress"), "1");
    assert_eq!(client.info("current_save_keys_total"), "1025");
    (0..16).for_each(|index| assert_eq!(client.ask(&format!("SETRANGE same:{index} 0 {other}")), "500"));
    let copied: u64 = client.info("current_cow_size").parse().expect("a number");
    assert!((4000..20_000).contains(&copied), "{copied}");
    assert_eq!(client.ask("CONFIG SET rdb-key-save-delay 0"), "OK");
    eventually("the end of the save", || client.info("rdb_bgsave_in_progress") == "0");
    assert_eq!(client.info("rdb_last_bgsave_status"), "ok");
    assert_eq!(client.info("rdb_changes_since_last_save"), "18");
    assert_eq!((client.info("current_cow_size"), client.info("rdb_last_cow_size")), ("0".into(), copied.to_string()));
    assert_eq!(client.ask("DEBUG RELOAD NOSAVE"), "OK");
    assert_eq!(client.ask("DEBUG DIGEST"), digest);
}

#[test]
fn a_save_that_is_cancelled_leaves_nothing_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = start(directory.path(), &["--rdb-key-save-delay", "1000000"]);
    let mut client = server.connect();
    fill(&mut client);
    let files = || std::fs::read_dir(directory.path()).expect("it is there").count();
    for line in ["BGSAVE CANCEL", "SHUTDOWN NOSAVE"] {
        assert_eq!(client.ask("BGSAVE"), "Background saving started");
        eventually("the file", || files() == 1);
        client.send(line);
        eventually("the end of the save", || files() == 0);
        if line == "BGSAVE CANCEL" {
            assert_eq!(client.reply(), "Background saving cancelled");
            eventually("the end of the save", || client.info("rdb_bgsave_in_progress") == "0");
            assert_eq!(client.info("rdb_last_bgsave_status"), "ok");
        }
    }
    assert!(server.wait().success());
}

#[test]
fn a_transaction_has_the_save_begin_after_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), &[]);
    let mut client = server.connect();
    client.play(
        "
        > MULTI
        OK
        > BGSAVE
        QUEUED
        > SET a 1
        QUEUED
        > EXEC
        [Background saving scheduled OK]
        ",
    );
    eventually("the save", || client.info("rdb_saves") == "1" && client.info("rdb_bgsave_in_progress") == "0");
    assert_eq!(client.info("rdb_changes_since_last_save"), "0");
}

#[test]
fn save_points_begin_saves() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), &[]);
    let mut client = server.connect();
    client.send_words(&["CONFIG", "SET", "save", "1 3"]);
    assert_eq!(client.reply(), "OK");
    assert_eq!(client.ask("MSET a 1 b 1 c 1"), "OK");
    eventually("the save", || client.info("rdb_saves") == "1" && client.info("rdb_bgsave_in_progress") == "0");
    assert_eq!(client.info("rdb_changes_since_last_save"), "0");
}

#[test]
fn writes_are_refused_while_data_cannot_be_saved() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), &[]);
    let mut client = server.connect();
    assert_eq!(client.ask("SET a 1"), "OK");
    std::fs::create_dir(directory.path().join("dump.rdb")).expect("it can be made");
    assert_eq!(client.ask("BGSAVE"), "Background saving started");
    eventually("the end of the save", || client.info("rdb_last_bgsave_status") == "err");
    let refused = "(MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. \
                   Commands that may modify the data set are disabled, because this instance is configured to report \
                   errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the \
                   Redis logs for details about the RDB error.)";
    assert_eq!(client.ask("SET a 2"), refused);
    assert_eq!(client.ask("PING"), refused);
    assert_eq!(client.ask("GET a"), "1");
    assert_eq!(client.ask("CONFIG SET stop-writes-on-bgsave-error no"), "OK");
    assert_eq!(client.ask("SET a 2"), "OK");
    assert_eq!(client.ask("CONFIG SET stop-writes-on-bgsave-error yes"), "OK");
    std::fs::remove_dir(directory.path().join("dump.rdb")).expect("it can be removed");
    assert_eq!(client.ask("BGSAVE"), "Background saving started");
    eventually("the end of the save", || client.info("rdb_last_bgsave_status") == "ok");
    assert_eq!(client.ask("SET a 3"), "OK");
}
