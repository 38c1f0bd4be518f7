//! Commands on lists, through a socket.

use crate::support::{Connection, Server, eventually};
use std::time::Duration;

#[test]
fn elements_are_added_read_and_removed_at_both_ends() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > LPUSHX l a
        0
        > RPUSH l a b 3
        3
        > LPUSH l y x
        5
        > RPUSHX l z
        6
        > LRANGE l 0 -1
        [x y a b 3 z]
        > LRANGE l -2 100
        [3 z]
        > LRANGE l 4 2
        []
        > LINDEX l -2
        3
        > LINDEX l 6
        nil
        > LINDEX none x
        nil
        > LINDEX l x
        (ERR value is not an integer or out of range)
        > LLEN l
        6
        > LPOP l
        x
        > RPOP l 2
        [z 3]
        > LPOP l 0
        []
        > LPOP l -1
        (ERR value is out of range, must be positive)
        > LPOP l 1 2
        (ERR wrong number of arguments for 'lpop' command)
        > LPOP l 100
        [y a b]
        > EXISTS l
        0
        > LPOP l
        nil
        > LPOP l 1
        nil
        > LLEN l
        0
        ",
    );
}

#[test]
fn elements_are_changed_in_the_middle() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > RPUSH l a b a c a
        5
        > LSET l 1 B
        OK
        > LSET l -1 A
        OK
        > LSET l 5 x
        (ERR index out of range)
        > LSET none 0 x
        (ERR no such key)
        > LINSERT l BEFORE B 0
        6
        > LINSERT l AFTER A 9
        7
        > LINSERT l AFTER nothing 9
        -1
        > LINSERT none AFTER a 9
        0
        > LINSERT l AMID a 9
        (ERR syntax error)
        > LRANGE l 0 -1
        [a 0 B a c A 9]
        > LREM l -1 a
        1
        > LREM l 0 none
        0
        > LRANGE l 0 -1
        [a 0 B c A 9]
        > LTRIM l 1 -2
        OK
        > LRANGE l 0 -1
        [0 B c A]
        > LTRIM l 5 10
        OK
        > EXISTS l
        0
        > RPUSH l a a
        2
        > LREM l 0 a
        2
        > EXISTS l
        0
        ",
    );
}

#[test]
fn positions_are_found_by_rank_count_and_length() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > RPUSH l a b c 1 2 3 c c
        8
        > LPOS l c
        2
        > LPOS l c RANK 2
        6
        > LPOS l c RANK -1 COUNT 2
        [7 6]
        > LPOS l c COUNT 0
        [2 6 7]
        > LPOS l c COUNT 0 MAXLEN 3
        [2]
        > LPOS l z
        nil
        > LPOS l z COUNT 1
        []
        > LPOS none c COUNT 1
        []
        > LPOS l c RANK 0
        (ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list)
        > LPOS l c COUNT -1
        (ERR COUNT can't be negative)
        > LPOS l c MAXLEN -1
        (ERR MAXLEN can't be negative)
        > LPOS l c RANK -9223372036854775808
        (ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807)
        ",
    );
}

#[test]
fn elements_move_between_lists() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > RPUSH a 1 2 3
        3
        > LMOVE a b LEFT RIGHT
        1
        > LMOVE a b RIGHT LEFT
        3
        > RPOPLPUSH a b
        2
        > EXISTS a
        0
        > LRANGE b 0 -1
        [2 3 1]
        > RPOPLPUSH b b
        1
        > LMOVE b b LEFT LEFT
        1
        > LRANGE b 0 -1
        [1 2 3]
        > RPOPLPUSH none b
        nil
        > LMOVE b c LEFT UP
        (ERR syntax error)
        > LMPOP 2 none b RIGHT COUNT 2
        [b [3 2]]
        > LMPOP 1 none LEFT
        nil
        > LMPOP 0 b LEFT
        (ERR numkeys should be greater than 0)
        > LMPOP 2 b LEFT
        (ERR syntax error)
        > LMPOP 1 b LEFT COUNT 0
        (ERR count should be greater than 0)
        > BLMPOP 0 2 none b LEFT COUNT 10
        [b [1]]
        > DBSIZE
        0
        ",
    );
}

#[test]
fn lists_grow_from_their_record_to_nodes_and_back() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let element = |i: usize| format!("element-{i}-{}", "x".repeat(i % 50));
    for i in 0..3000 {
        assert_eq!(client.ask(&format!("RPUSH l {}", element(i))), (i + 1).to_string());
    }
    for i in [0, 1, 1499, 2998, 2999] {
        assert_eq!(client.ask(&format!("LINDEX l {i}")), element(i));
    }
    for i in 0..3000 {
        assert_eq!(client.ask("LPOP l"), element(i));
    }
    assert_eq!(client.ask("DBSIZE"), "0");
}

/// Waits until so many clients are blocked.
fn until_blocked(client: &mut Connection, waiting: &[&str]) {
    for name in waiting {
        while !client.ask("CLIENT LIST").lines().any(|line| line.contains(name) && line.contains("flags=b")) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn waiting(server: &Server, name: &str, command: &str) -> Connection {
    let mut client = server.connect();
    client.ask(&format!("CLIENT SETNAME {name}"));
    client.send(command);
    until_blocked(&mut server.connect(), &[name]);
    client
}

#[test]
fn waiting_clients_are_served_in_the_order_of_their_arrival() {
    let server = Server::start(&[]);
    let mut first = waiting(&server, "first", "BLPOP a b 0");
    let mut second = waiting(&server, "second", "BRPOP b 0");
    let mut third = waiting(&server, "third", "BLMPOP 0 2 a b LEFT COUNT 2");
    let mut client = server.connect();
    assert_eq!(client.ask("RPUSH b 1 2 3 4"), "4");
    assert_eq!(first.reply(), "[b 1]");
    assert_eq!(second.reply(), "[b 4]");
    assert_eq!(third.reply(), "[b [2 3]]");
    assert_eq!(client.ask("EXISTS b"), "0");
}

#[test]
fn an_element_goes_through_a_chain_of_waiting_clients() {
    let server = Server::start(&[]);
    let mut last = waiting(&server, "last", "BLPOP c 0");
    let mut middle = waiting(&server, "middle", "BLMOVE b c LEFT RIGHT 0");
    let mut head = waiting(&server, "head", "BRPOPLPUSH a b 0");
    let mut client = server.connect();
    assert_eq!(client.ask("RPUSH a element"), "1");
    assert_eq!(head.reply(), "element");
    assert_eq!(middle.reply(), "element");
    assert_eq!(last.reply(), "[c element]");
    assert_eq!(client.ask("DBSIZE"), "0");
}

#[test]
fn renamed_copied_and_swapped_lists_serve_who_waits() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.ask("RPUSH list 1");
    for command in ["RENAME list q", "COPY list q", "MULTI", "SWAPDB 0 1", "MOVE q 0"] {
        client.play("> FLUSHALL\nOK\n> RPUSH list 1\n1");
        let mut waiter = waiting(&server, "waiter", "BLPOP q 0");
        match command {
            "MULTI" => client
                .play("> MULTI\nOK\n> RPUSH q gone\nQUEUED\n> DEL q\nQUEUED\n> RPUSH q 1\nQUEUED\n> EXEC\n[1 1 1]"),
            "SWAPDB 0 1" | "MOVE q 0" => {
                client.play("> SELECT 1\nOK\n> RPUSH q 1\n1");
                assert_ne!(client.ask(command), "0");
                client.ask("SELECT 0");
            }
            _ => assert_ne!(client.ask(command), "0"),
        }
        assert_eq!(waiter.reply(), "[q 1]", "after {command}");
    }
}

#[test]
fn what_is_over_when_a_transaction_ends_serves_nobody_and_goes() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    assert_eq!(client.ask("DEBUG SET-ACTIVE-EXPIRE 0"), "OK");
    let mut waiter = waiting(&server, "waiter", "BLPOP q 0");
    assert_eq!(client.ask("MULTI"), "OK");
    for command in ["RPUSH q 1", "PEXPIRE q 20", "DEBUG SLEEP 0.1"] {
        assert_eq!(client.ask(command), "QUEUED");
    }
    assert_eq!(client.ask("EXEC"), "[1 1 OK]");
    assert_eq!((client.info("expired_keys"), client.info("blocked_clients")), ("1".into(), "1".into()));
    assert_eq!(client.ask("RPUSH q 2"), "1");
    assert_eq!(waiter.reply(), "[q 2]");
}

#[test]
fn waiting_ends_in_time_and_never_inside_a_transaction() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > BLPOP none 0.01
        nil
        > BLMOVE none b LEFT LEFT 0.01
        nil
        > BLMPOP 0.01 1 none LEFT
        nil
        > BLPOP none -1
        (ERR timeout is negative)
        > BLPOP none x
        (ERR timeout is not a float or out of range)
        > BLPOP none 1e300
        (ERR timeout is out of range)
        > MULTI
        OK
        > BLPOP none 0
        QUEUED
        > BRPOPLPUSH none b 0
        QUEUED
        > EXEC
        [nil nil]
        ",
    );
}

#[test]
fn changes_of_lists_are_published() {
    let server = Server::start(&["--notify-keyspace-events", "Elg"]);
    let mut listener = server.connect();
    assert!(listener.ask("PSUBSCRIBE __keyevent@0__:*").starts_with("[psubscribe"));
    let mut client = server.connect();
    for command in [
        "RPUSH a 1 2",
        "LPUSHX a 0",
        "LSET a 0 x",
        "LINSERT a BEFORE 1 y",
        "LREM a 0 y",
        "LTRIM a 1 -1",
        "LMOVE a b LEFT RIGHT",
        "RPOPLPUSH a b",
        "LPOP b 5",
    ] {
        client.ask(command);
    }
    for event in [
        "rpush a",
        "lpush a",
        "lset a",
        "linsert a",
        "lrem a",
        "ltrim a",
        "rpush b",
        "lpop a",
        "lpush b",
        "rpop a",
        "del a",
        "lpop b",
        "del b",
    ] {
        let (event, key) = event.split_once(' ').expect("an event and a key");
        assert_eq!(listener.reply(), format!("[pmessage __keyevent@0__:* __keyevent@0__:{event} {key}]"));
    }
}

#[test]
fn a_wait_for_thousands_of_keys_and_by_hundreds_of_clients() {
    let server = Server::start(&["--threads", "2"]);
    let mut feeder = server.connect();
    let keys: Vec<String> = (0..20_000).map(|index| format!("key:{}", index % 15_000)).collect();
    let mut patient = server.connect();
    let mut words = vec!["BLPOP"];
    words.extend(keys.iter().map(String::as_str));
    words.push("0");
    patient.send_words(&words);
    let mut workers: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for (index, worker) in workers.iter_mut().enumerate() {
        worker.send(if index % 2 == 0 { "BLPOP jobs 0" } else { "BLMOVE jobs done LEFT RIGHT 0" });
        eventually("the wait", || feeder.ask("INFO clients").contains(&format!("blocked_clients:{}\r\n", index + 2)));
    }
    for (index, worker) in workers.iter_mut().enumerate() {
        assert_eq!(feeder.ask(&format!("RPUSH jobs {index}")), "1");
        let expected = if index % 2 == 0 { format!("[jobs {index}]") } else { index.to_string() };
        assert_eq!(worker.reply(), expected);
    }
    assert_eq!(feeder.ask("LLEN done"), "100");
    assert_eq!(feeder.ask("RPUSH key:14999 element"), "1");
    assert_eq!(patient.reply(), "[key:14999 element]");
    assert!(feeder.ask("INFO clients").contains("total_blocking_keys:0\r\n"));
}
