//! What random comparison with real servers (`compat/differential`) has brought to light: arguments at the edge, and what
//! is counted and told of commands.

use crate::support::{Connection, Server};

fn field(text: &str, name: &str) -> String {
    let name = name.to_owned();
    let value = text.split([' ', '\n', '\r']).find_map(|word| word.strip_prefix(&name)?.strip_prefix(['=', ':']));
    value.unwrap_or_else(|| panic!("{name} is in {text}")).to_owned()
}

fn own(client: &mut Connection, name: &str) -> String {
    field(&client.ask("CLIENT INFO"), name)
}

#[test]
fn arguments_are_read_in_the_order_and_as_leniently_as_in_redis() {
    Server::start(&[]).connect().play(
        "
        > BITCOUNT k 0 x FOO
        (ERR syntax error)
        > BITPOS k 1 0 x FOO
        (ERR syntax error)
        > BITPOS k 1 0 1 BIT x
        (ERR syntax error)
        > BITFIELD k OVERFLOW SAT SET i8 0 -9223372036854775808 GET i8 0
        [0 127]
        > LREM l -9223372036854775808 x
        (ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807)
        > LMPOP 1 l LEFT COUNT
        (ERR syntax error)
        > LMPOP 1 l LEFT COUNT x COUNT 2
        (ERR count should be greater than 0)
        > LMPOP 1 l LEFT COUNT 1 COUNT 2
        (ERR syntax error)
        > BLPOP l 0x
        (ERR timeout is not a float or out of range)
        > BLPOP l nan
        (ERR timeout is not a float or out of range)
        > BLPOP l 1e500
        (ERR timeout is out of range)
        > BLPOP l -0x1
        (ERR timeout is negative)
        > BLPOP l 0x0.01
        nil
        > PUBSUB CHANNELS a b
        (ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.)
        > DEL k
        1
        > SCAN +5
        [0 []]
        > SCAN -0
        [0 []]
        > SCAN +-1
        (ERR invalid cursor)
        > HELLO 3 SETNAME a\tb AUTH nobody wrong
        (ERR Client names cannot contain spaces, newlines or special characters.)
        > CLIENT PAUSE 0 ALL whatever
        OK
        > CLIENT LIST ID
        (ERR syntax error)
        > CLIENT LIST ID 1 x
        (ERR syntax error)
        > CLIENT LIST DB 9999999999
        (ERR DB is not an integer or out of range)
        ",
    );
}

#[test]
fn an_argument_that_an_error_ends_with_is_quoted_without_its_line_end() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for (option, quoted) in [("a\r\n", "a"), ("a\nb\n\n", "a b"), ("a\n ", "a  "), ("\n", "")] {
        let error = client.ask_words(&["EXPIRE", "k", "1", option]);
        assert_eq!(error, format!("(ERR Unsupported option {quoted})"));
    }
}

#[test]
fn strings_that_were_changed_in_part_say_so() {
    Server::start(&[]).connect().play(
        "
        > SET same a
        OK
        > SETBIT same 1 1
        1
        > OBJECT ENCODING same
        raw
        > SET kept a
        OK
        > BITFIELD kept OVERFLOW FAIL INCRBY i8 0 1000
        [nil]
        > OBJECT ENCODING kept
        raw
        > SET number 1
        OK
        > INCRBYFLOAT number 1
        2
        > OBJECT ENCODING number
        embstr
        ",
    );
}

#[test]
fn a_key_whose_new_deadline_has_passed_expires() {
    let server = Server::start(&["--notify-keyspace-events", "EA"]);
    let mut listener = server.connect();
    listener.ask("PSUBSCRIBE *");
    let mut client = server.connect();
    client.ask("SET k v");
    assert_eq!(listener.reply(), "[pmessage * __keyevent@0__:set k]");
    client.ask("EXPIRE k -1");
    assert_eq!(listener.reply(), "[pmessage * __keyevent@0__:expired k]");
    assert_eq!(field(&client.ask("INFO stats"), "expired_keys"), "1");
}

#[test]
fn a_transaction_that_will_not_run_keeps_nothing() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    client.ask("CLIENT SETNAME watcher");
    client.ask("WATCH k j");
    assert_eq!((own(&mut client, "watch"), own(&mut client, "flags")), ("2".into(), "N".into()));
    other.ask("SET k v");
    assert_eq!((own(&mut client, "watch"), own(&mut client, "flags")), ("0".into(), "d".into()));
    assert_eq!(client.ask("WATCH i"), "OK");
    assert_eq!(own(&mut client, "watch"), "0");
    client.ask("MULTI");
    client.ask("GET k");
    assert_eq!(field(&other.ask("CLIENT LIST NAME watcher"), "multi"), "0");
    assert_eq!(client.ask("EXEC"), "nil");

    client.ask("WATCH k");
    client.ask("MULTI");
    client.ask("GET k");
    other.ask("SET k v");
    assert_eq!(field(&other.ask("CLIENT LIST NAME watcher"), "multi"), "0");
    client.ask("GET k");
    assert_eq!(client.ask("EXEC"), "nil");

    client.ask("MULTI");
    client.ask("GET k");
    assert_eq!(field(&other.ask("CLIENT LIST NAME watcher"), "multi"), "1");
    client.ask("GET");
    client.ask("GET k");
    assert_eq!(field(&other.ask("CLIENT LIST NAME watcher"), "multi"), "0");
    assert_eq!(client.ask("EXEC"), "(EXECABORT Transaction discarded because of previous errors.)");
}

#[test]
fn a_wait_counts_as_a_call_once_it_is_over() {
    let server = Server::start(&[]);
    let (mut waiting, mut client) = (server.connect(), server.connect());
    waiting.send("BLPOP l 0");
    crate::support::eventually("it waits", || field(&client.ask("INFO clients"), "blocked_clients") == "1");
    assert!(!client.ask("INFO commandstats").contains("blpop"));
    client.ask("RPUSH l x");
    assert_eq!(waiting.reply(), "[l x]");
    assert!(client.ask("INFO commandstats").contains("cmdstat_blpop:calls=1,"));
    assert_eq!(own(&mut waiting, "tot-cmds"), "1");
}

#[test]
fn monitors_see_who_waits_before_who_serves() {
    let server = Server::start(&[]);
    let (mut monitor, mut waiting, mut client) = (server.connect(), server.connect(), server.connect());
    monitor.ask("MONITOR");
    waiting.send("BLPOP l 0");
    assert!(monitor.reply().ends_with("\"BLPOP\" \"l\" \"0\""));
    client.ask("RPUSH l x");
    assert!(monitor.reply().ends_with("\"RPUSH\" \"l\" \"x\""));
    waiting.reply();
    client.ask("PING");
    assert!(monitor.reply().ends_with("\"PING\""));
}

#[test]
fn what_is_looked_up_and_what_fails_is_counted() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    client.ask("SET k v");
    client.ask("OBJECT ENCODING k");
    client.ask("OBJECT ENCODING none");
    let stats = client.ask("INFO stats");
    assert_eq!((field(&stats, "keyspace_hits"), field(&stats, "keyspace_misses")), ("1".into(), "1".into()));
    client.send_raw(b"*1\r\nnone\r\n");
    let mut other = server.connect();
    client.reply();
    assert_eq!(other.ask_words(&["DEBUG", "ERROR", "ERR as asked for"]), "(ERR as asked for)");
    assert!(other.ask("INFO errorstats").contains("errorstat_ERR:count=1"));
    assert!(other.ask("INFO commandstats").contains("cmdstat_debug:calls=1,"));
}

#[test]
fn a_slow_log_of_no_length_stays_as_it_is() {
    Server::start(&["--slowlog-log-slower-than", "0"]).connect().play(
        "
        > SLOWLOG RESET
        OK
        > PING
        PONG
        > CONFIG SET slowlog-max-len 0
        OK
        > SLOWLOG LEN
        2
        > CONFIG SET slowlog-max-len 1
        OK
        > SLOWLOG LEN
        1
        ",
    );
}

#[test]
fn strangers_are_not_told_which_commands_there_are() {
    let server = Server::start(&["--requirepass", "secret"]);
    server.connect().play(
        "
        > GET
        (NOAUTH Authentication required.)
        > CLIENT NONE
        (NOAUTH Authentication required.)
        > NONE
        (NOAUTH Authentication required.)
        > AUTH secret
        OK
        > GET
        (ERR wrong number of arguments for 'get' command)
        ",
    );
}

#[test]
fn a_client_that_publishes_to_itself_gets_the_message_behind_the_reply() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.ask("HELLO 3");
    client.ask("SUBSCRIBE c");
    client.send_raw(b"PUBLISH c 1\r\nPING\r\n");
    assert_eq!([client.reply(), client.reply(), client.reply()], ["1", ">[message c 1]", "PONG"]);
}

#[test]
fn what_is_queued_waits_for_the_end_of_a_pause() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    client.ask("MULTI");
    other.ask("CLIENT PAUSE 100000 WRITE");
    client.send("SET k v");
    crate::support::eventually("it is held back", || field(&other.ask("INFO clients"), "blocked_clients") == "1");
    other.ask("CLIENT UNPAUSE");
    assert_eq!(client.reply(), "QUEUED");
    assert_eq!(client.ask("EXEC"), "[OK]");
}
