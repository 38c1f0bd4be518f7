//! What arrives without being asked for: published messages and the lines of MONITOR, and where they stand among replies.

use crate::support::{Local, Server};

const MESSAGE: &str = "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nm\r\n";
const LEFT: &str = "*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n";

#[test]
fn no_message_comes_after_the_confirmation_that_none_will() {
    let local = Local::new();
    let (mut listener, mut other) = (local.connect(), local.connect());
    for (leave, confirmation) in [("UNSUBSCRIBE news", LEFT), ("UNSUBSCRIBE", LEFT), ("RESET", "+RESET\r\n")] {
        local.run(&mut listener, "SUBSCRIBE news");
        assert_eq!(local.run(&mut other, "PUBLISH news m"), ":1\r\n");
        assert_eq!(local.run(&mut listener, leave), [MESSAGE, confirmation].concat(), "{leave}");
        assert!(!listener.client.mailbox.has_mail());
        assert_eq!(local.run(&mut listener, "GET k"), "$-1\r\n");
    }
}

#[test]
fn messages_stand_before_a_transaction_that_ends_the_subscription_and_not_in_it() {
    let local = Local::new();
    let (mut listener, mut other) = (local.connect(), local.connect());
    local.run(&mut listener, "HELLO 3");
    local.run(&mut listener, "SUBSCRIBE news");
    for command in ["MULTI", "UNSUBSCRIBE news", "ECHO e"] {
        local.run(&mut listener, command);
    }
    local.run(&mut other, "PUBLISH news m");
    let [message, left] = [MESSAGE, LEFT].map(|push| push.replacen('*', ">", 1));
    assert_eq!(local.run(&mut listener, "EXEC"), [&message, "*2\r\n", &left, "$1\r\ne\r\n"].concat());
}

#[test]
fn a_listener_may_go_back_to_resp2_and_gets_each_message_in_the_protocol_of_its_time() {
    let local = Local::new();
    let (mut listener, mut other) = (local.connect(), local.connect());
    local.run(&mut listener, "HELLO 3");
    local.run(&mut listener, "SUBSCRIBE news");
    local.run(&mut other, "PUBLISH news m");
    let greeting = local.run(&mut listener, "HELLO 2");
    let rest = greeting.strip_prefix(&MESSAGE.replacen('*', ">", 1)).expect("the message comes first");
    assert!(rest.starts_with("*14\r\n$6\r\nserver\r\n"), "{rest}");
    // From now on it is held to what a RESP2 subscriber may do.
    assert!(local.run(&mut listener, "GET k").starts_with("-ERR Can't execute 'get': only "));
    assert_eq!(local.run(&mut listener, "PING"), "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    local.run(&mut other, "PUBLISH news m");
    assert_eq!(local.run(&mut listener, "UNSUBSCRIBE"), [MESSAGE, LEFT].concat());
    assert_eq!(local.run(&mut listener, "GET k"), "$-1\r\n");
}

#[test]
fn replies_that_are_not_wanted_do_not_take_messages_with_them() {
    let local = Local::new();
    let (mut listener, mut other) = (local.connect(), local.connect());
    local.run(&mut listener, "SUBSCRIBE news");
    listener.reply_mode = radish::client::ReplyMode::Off;
    local.run(&mut other, "PUBLISH news m");
    assert_eq!(local.run(&mut listener, "UNSUBSCRIBE news"), [MESSAGE, LEFT].concat());
    assert_eq!(local.run(&mut listener, "GET k"), "");
}

#[test]
fn monitor_ends_with_reset_and_shows_no_passwords() {
    let local = Local::new();
    let (mut monitor, mut other) = (local.connect(), local.connect());
    local.run(&mut monitor, "MONITOR");
    for command in ["AUTH secret", "AUTH default secret", "HELLO 3 AUTH default secret SETNAME me", "GET k"] {
        local.run(&mut other, command);
    }
    let shown = local.run(&mut monitor, "RESET");
    let shown: Vec<&str> =
        shown.lines().map(|line| line.split_once("] ").map_or(line, |(_, request)| request)).collect();
    assert_eq!(
        shown,
        [
            r#""AUTH" "(redacted)""#,
            r#""AUTH" "(redacted)" "(redacted)""#,
            r#""HELLO" "3" "AUTH" "(redacted)" "(redacted)" "SETNAME" "me""#,
            r#""GET" "k""#,
            "+RESET",
        ]
    );
    local.run(&mut other, "GET k");
    assert!(!monitor.client.mailbox.has_mail());
}

#[test]
fn logs_of_commands_show_no_passwords() {
    let server = Server::start(&["--slowlog-log-slower-than", "0", "--commandlog-request-larger-than", "0"]);
    let mut client = server.connect();
    client.ask("AUTH secret");
    client.ask("ACL SETUSER me >secret");
    for log in ["SLOW", "LARGE-REQUEST"] {
        let entries = client.ask(&format!("COMMANDLOG GET -1 {log}"));
        assert!(entries.contains("[AUTH (redacted)]"), "{entries}");
        assert!(entries.contains("[ACL SETUSER (redacted) (redacted)]"), "{entries}");
    }
}
