//! Servers that change roles or come back without losing what they have: `FAILOVER`, an end that waits for replicas, histories
//! that outlive a process.

use crate::support::{Connection, Server, eventually};

/// Starts a server that serves its replicas at once.
fn start(arguments: &[&str]) -> Server {
    Server::start(&[&["--repl-diskless-sync-delay", "0"], arguments].concat())
}

/// Has `replica` follow `primary`, and waits until both know.
fn follow(replica: &mut Connection, primary: &Server) {
    assert_eq!(replica.ask(&format!("REPLICAOF 127.0.0.1 {}", primary.port)), "OK");
    eventually("the link", || replica.info("master_link_status") == "up");
    let mut theirs = primary.connect();
    eventually("all to be online", || theirs.ask("WAIT 1 1") != "0");
}

fn replica_port(replica: &Server) -> String {
    format!("127.0.0.1 {}", replica.port)
}

#[test]
fn a_replica_takes_over_and_nothing_is_lost() {
    let servers = [start(&[]), start(&[]), start(&[])];
    let [mut first, mut second, mut third] = servers.each_ref().map(Server::connect);
    follow(&mut second, &servers[0]);
    follow(&mut third, &servers[0]);
    eventually("both replicas", || first.ask("WAIT 2 1") == "2");
    first.ask("SET a 1");
    let mut waiting = servers[0].connect();
    waiting.send("BLPOP nothing 0");
    eventually("somebody who waits", || first.info("blocked_clients") == "1");
    assert_eq!(first.ask(&format!("FAILOVER TO {} TIMEOUT 30000", replica_port(&servers[1]))), "OK");
    eventually("the end", || first.info("master_failover_state") == "no-failover");
    assert_eq!(first.info("role"), "slave");
    assert_eq!(second.info("role"), "master");
    assert!(waiting.reply().starts_with("(UNBLOCKED "));
    assert!(waiting.has_ended(), "it has to find out where to wait");
    follow(&mut third, &servers[1]);
    eventually("the link", || first.info("master_link_status") == "up");
    second.ask("SET b 2");
    assert_eq!(second.ask("WAIT 2 30000"), "2");
    for client in [&mut first, &mut second, &mut third] {
        assert_eq!(client.ask("MGET a b"), "[1 2]");
    }
    assert_eq!(second.info("sync_full"), "0");
    assert_eq!(first.ask("SET c 3"), "(READONLY You can't write against a read only replica.)");
}

#[test]
fn a_change_of_roles_waits_for_the_replica_and_is_taken_back() {
    let (primary, replica) = (start(&[]), start(&[]));
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    follow(&mut ours, &primary);
    let target = replica_port(&replica);
    theirs.play(
        "
        > FAILOVER ABORT
        (ERR No failover in progress.)
        > FAILOVER TO nowhere 1
        (ERR FAILOVER target HOST and PORT is not a replica.)
        > FAILOVER TO nowhere x
        (ERR value is not an integer or out of range)
        > FAILOVER FORCE TIMEOUT 100
        (ERR FAILOVER with force option requires both a timeout and target HOST and IP.)
        > FAILOVER TIMEOUT 0
        (ERR FAILOVER timeout must be greater than 0)
        > FAILOVER NOW
        (ERR syntax error)
        ",
    );
    assert_eq!(ours.ask("FAILOVER"), "(ERR FAILOVER is not valid when server is a replica.)");
    replica.signal("STOP");
    theirs.ask("SET a 1");
    assert_eq!(theirs.ask(&format!("FAILOVER TO {target} TIMEOUT 60000")), "OK");
    assert_eq!(theirs.info("master_failover_state"), "waiting-for-sync");
    assert_eq!(theirs.info("paused_reason"), "failover_in_progress");
    theirs.play(
        "
        > GET a
        1
        > FAILOVER
        (ERR FAILOVER already in progress.)
        > REPLICAOF NO ONE
        (ERR REPLICAOF not allowed while failing over.)
        ",
    );
    let mut writer = primary.connect();
    writer.send("SET b 2");
    eventually("a write that is held back", || theirs.info("blocked_clients") == "1");
    assert_eq!(theirs.ask("FAILOVER ABORT"), "OK");
    assert_eq!(writer.reply(), "OK");
    // Nobody comes in time.
    assert_eq!(theirs.ask(&format!("FAILOVER TO {target} TIMEOUT 50")), "OK");
    eventually("the time to be over", || theirs.info("master_failover_state") == "no-failover");
    assert_eq!(theirs.info("role"), "master");
    // The target takes over once it can, if it must.
    assert_eq!(theirs.ask(&format!("FAILOVER TO {target} TIMEOUT 50 FORCE")), "OK");
    eventually("the target to be asked", || theirs.info("master_failover_state") == "failover-in-progress");
    replica.signal("CONT");
    eventually("the end", || theirs.info("master_failover_state") == "no-failover");
    assert_eq!((theirs.info("role").as_str(), ours.info("role").as_str()), ("slave", "master"));
    assert_eq!(ours.ask("MGET a b"), "[1 2]");
}

#[test]
fn only_a_replica_of_the_same_history_takes_over() {
    let (primary, replica) = (start(&[]), start(&[]));
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    let id = "0".repeat(40);
    assert_eq!(theirs.ask(&format!("PSYNC {id} 1 FAILOVER")), "(ERR PSYNC FAILOVER can't be sent to a master.)");
    follow(&mut ours, &primary);
    assert_eq!(ours.ask(&format!("PSYNC {id} 1 FAILOVER")), "(ERR PSYNC FAILOVER replid must match my replid.)");
    assert_eq!(ours.info("role"), "slave");
}

#[test]
fn the_end_waits_for_replicas_for_so_long() {
    let (mut primary, replica) = (start(&["--shutdown-timeout", "600"]), start(&[]));
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    follow(&mut ours, &primary);
    replica.signal("STOP");
    theirs.ask("SET a 1");
    let mut ending = [primary.connect(), primary.connect()];
    ending.iter_mut().for_each(|client| client.send("SHUTDOWN"));
    eventually("both to wait", || theirs.info("blocked_clients") == "2");
    assert_eq!(theirs.info("paused_reason"), "shutdown_in_progress");
    assert!(theirs.info("shutdown_in_milliseconds").parse::<u64>().is_ok_and(|left| left > 0));
    assert_eq!(theirs.ask("SHUTDOWN ABORT"), "OK");
    for client in &mut ending {
        assert_eq!(client.reply(), "(ERR Errors trying to SHUTDOWN. Check logs.)");
    }
    assert_eq!(theirs.ask("SHUTDOWN ABORT"), "(ERR No shutdown in progress.)");
    assert_eq!(theirs.ask("SET a 2"), "OK", "nothing is held back any more");
    primary.signal("TERM");
    eventually("the end to begin", || theirs.ask("INFO server").contains("shutdown_in_milliseconds:"));
    replica.signal("CONT");
    assert!(primary.wait().success());
    eventually("the last write", || ours.ask("GET a") == "2");
}

#[test]
fn the_end_does_not_wait_for_ever() {
    let (mut primary, replica) = (start(&["--shutdown-timeout", "1"]), start(&[]));
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    follow(&mut ours, &primary);
    replica.signal("STOP");
    theirs.ask("SET a 1");
    theirs.send("SHUTDOWN");
    assert!(primary.wait().success());
    let (mut primary, replica) = (start(&["--shutdown-timeout", "600"]), start(&[]));
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    follow(&mut ours, &primary);
    replica.signal("STOP");
    theirs.ask("SET a 1");
    theirs.send("SHUTDOWN NOW");
    assert!(primary.wait().success());
}

/// Has a primary and a replica that follows it end and come back, each with the files of `persistence`, and looks whether they go
/// on where they were.
fn come_back(persistence: &[&str]) {
    let directories = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let arguments = directories.each_ref().map(|directory| {
        let place = ["--dir", directory.path().to_str().expect("letters")];
        [persistence, &place].concat()
    });
    let mut primary = start(&arguments[0]);
    let mut replica = start(&arguments[1]);
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    follow(&mut ours, &primary);
    theirs.play(
        "
        > SELECT 3
        OK
        > SET a 1
        OK
        > WAIT 1 30000
        1
        ",
    );
    // The replica first: it goes on in the database that the primary had selected.
    let full_syncs = theirs.info("sync_full");
    eventually("a first base", || ours.info("aof_rewrite_in_progress") == "0");
    ours.send("SHUTDOWN");
    assert!(replica.wait().success());
    let place = format!("127.0.0.1 {}", primary.port);
    replica = start(&[arguments[1].as_slice(), &["--replicaof", &place]].concat());
    ours = replica.connect();
    assert_eq!(ours.info("master_replid"), theirs.info("master_replid"));
    theirs.ask("SET b 2");
    assert_eq!(theirs.ask("WAIT 1 30000"), "1");
    assert_eq!(theirs.info("sync_full"), full_syncs, "it has gone on where it was");
    assert_eq!(ours.ask("SELECT 3"), "OK");
    assert_eq!(ours.ask("MGET a b"), "[1 2]");
    // Then the primary.
    let id = theirs.info("master_replid");
    theirs.send("SHUTDOWN");
    assert!(primary.wait().success());
    primary = start(&arguments[0]);
    theirs = primary.connect();
    assert_ne!(theirs.info("master_replid"), id);
    assert_eq!(theirs.info("master_replid2"), id);
    theirs.ask("SELECT 3");
    theirs.ask("SET c 3");
    follow(&mut ours, &primary);
    assert_eq!(theirs.ask("WAIT 1 30000"), "1");
    assert_eq!(theirs.info("sync_full"), "0", "its replica has gone on where it was");
    assert_eq!(ours.ask("MGET a b c"), "[1 2 3]");
}

#[test]
fn a_history_outlives_the_process_in_a_database_file() {
    come_back(&["--save", "3600 1"]);
}

#[test]
fn a_history_outlives_the_process_in_an_append_only_file() {
    come_back(&["--appendonly", "yes"]);
}

#[test]
fn an_append_only_file_that_was_not_closed_names_no_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let arguments =
        ["--appendonly", "yes", "--appendfsync", "always", "--dir", directory.path().to_str().expect("letters")];
    let (primary, replica) = (start(&arguments), start(&[]));
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    follow(&mut ours, &primary);
    let id = theirs.info("master_replid");
    theirs.ask("SET a 1");
    drop(primary);
    let primary = start(&arguments);
    let mut theirs = primary.connect();
    assert_eq!(theirs.ask("GET a"), "1");
    assert_ne!(theirs.info("master_replid2"), id);
    follow(&mut ours, &primary);
    assert_eq!(theirs.info("sync_full"), "1");
}

#[test]
fn what_a_client_of_a_writable_replica_made_goes_in_time() {
    let (primary, replica) = (start(&[]), start(&["--replica-read-only", "no"]));
    let mut ours = replica.connect();
    follow(&mut ours, &primary);
    ours.play(
        "
        > SET own 1 PX 50
        OK
        > RPUSH list a
        1
        > PEXPIRE list 50
        1
        > SET stays 1
        OK
        ",
    );
    assert_eq!(ours.info("slave_expires_tracked_keys"), "2");
    eventually("the end of their time", || ours.ask("DBSIZE") == "1");
    eventually("nothing to be remembered", || ours.info("slave_expires_tracked_keys") == "0");
}

#[test]
fn a_replica_that_asks_for_an_answer_is_sent_away() {
    let server = start(&[]);
    let mut rogue = server.connect();
    assert!(rogue.ask_for_copy().starts_with("FULLRESYNC "));
    rogue.send("GET a");
    assert!(!String::from_utf8_lossy(&rogue.rest()).contains("keyspace"));
    assert_eq!(server.connect().info("unexpected_error_replies"), "1");
}
