//! Commands on streams, through a socket.

use crate::support::{Connection, Server, eventually};

#[test]
fn entries_are_added_read_and_deleted() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > XADD s 1-1 a 1 b 2
        1-1
        > XADD s 1-* a 3
        1-2
        > XADD s 2 c x
        2-0
        > XADD s 2-0 c x
        (ERR The ID specified in XADD is equal or smaller than the target stream top item)
        > XADD s 1-* c x
        (ERR The ID specified in XADD is equal or smaller than the target stream top item)
        > XADD s 0-0 c x
        (ERR The ID specified in XADD must be greater than 0-0)
        > XADD s - c x
        (ERR Invalid stream ID specified as stream command argument)
        > XADD s 3-0 c
        (ERR wrong number of arguments for 'xadd' command)
        > XADD none NOMKSTREAM * c x
        nil
        > XADD new 0-* a b
        0-1
        > XLEN s
        3
        > XLEN none
        0
        > TYPE s
        stream
        > OBJECT ENCODING s
        stream
        > XRANGE s - +
        [[1-1 [a 1 b 2]] [1-2 [a 3]] [2-0 [c x]]]
        > XRANGE s (1-1 2 COUNT 1
        [[1-2 [a 3]]]
        > XRANGE s - (1
        [[1-1 [a 1 b 2]] [1-2 [a 3]]]
        > XRANGE s - + COUNT 0
        nil
        > XRANGE s (18446744073709551615-18446744073709551615 +
        (ERR invalid start ID for the interval)
        > XRANGE s - (0-0
        (ERR invalid end ID for the interval)
        > XRANGE s x +
        (ERR Invalid stream ID specified as stream command argument)
        > XRANGE s - + COUNT
        (ERR syntax error)
        > XREVRANGE s + - COUNT 2
        [[2-0 [c x]] [1-2 [a 3]]]
        > XDEL s 1-2 9-9 1-2
        1
        > XDEL s 1-1 x
        (ERR Invalid stream ID specified as stream command argument)
        > XDEL none x
        0
        > XRANGE s - +
        [[1-1 [a 1 b 2]] [2-0 [c x]]]
        > XDEL s 1-1 2-0
        2
        > XRANGE s - +
        []
        > EXISTS s
        1
        > XADD s 18446744073709551615-18446744073709551615 a b
        18446744073709551615-18446744073709551615
        > XADD s * a b
        (ERR The stream has exhausted the last possible ID, unable to add more items)
        > SET string x
        OK
        > XADD string * a b
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > XLEN string
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > XREAD STREAMS string 0
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        ",
    );
}

#[test]
fn streams_are_trimmed() {
    let server = Server::start(&["--stream-node-max-entries", "3"]);
    let mut client = server.connect();
    for number in 1..=10 {
        assert_eq!(client.ask(&format!("XADD s {number}-0 n {number}")), format!("{number}-0"));
    }
    client.play(
        "
        > XTRIM s MAXLEN ~ 5
        3
        > XTRIM s MINID ~ 6
        0
        > XTRIM s MINID = 6
        2
        > XLEN s
        5
        > XADD s MAXLEN 3 11-0 n 11
        11-0
        > XRANGE s - +
        [[9-0 [n 9]] [10-0 [n 10]] [11-0 [n 11]]]
        > XADD s MAXLEN ~ 1 LIMIT 2 12-0 n 12
        12-0
        > XLEN s
        3
        > XTRIM s MAXLEN 0
        3
        > XTRIM s MAXLEN 0 MINID 5
        (ERR syntax error, MAXLEN and MINID options at the same time are not compatible)
        > XTRIM s MAXLEN -1
        (ERR The MAXLEN argument must be >= 0.)
        > XTRIM s MAXLEN 5 LIMIT 3
        (ERR syntax error, LIMIT cannot be used without the special ~ option)
        > XTRIM s LIMIT 3
        (ERR syntax error, LIMIT cannot be used without specifying a trimming strategy)
        > XTRIM s LIMIT 0
        (ERR syntax error, XTRIM must be called with a trimming strategy)
        > XTRIM s MAXLEN ~ 5 LIMIT -3
        (ERR The LIMIT argument must be >= 0.)
        > XTRIM s MAXLEN 5 x
        (ERR syntax error)
        > XTRIM none MAXLEN 5
        0
        > XSETID s 12-0 ENTRIESADDED 20 MAXDELETEDID 11-0
        OK
        > XSETID s 10-0
        (ERR The ID specified in XSETID is smaller than current max_deleted_entry_id)
        > XSETID s 10-0 MAXDELETEDID 11-0
        (ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id)
        > XSETID none 1-0
        (ERR no such key)
        > XINFO STREAM s
        [length 0 radix-tree-keys 0 radix-tree-nodes 1 last-generated-id 12-0 max-deleted-entry-id 11-0 entries-added 20 \
         recorded-first-entry-id 0-0 groups 0 first-entry nil last-entry nil]
        ",
    );
}

#[test]
fn groups_share_the_entries() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > XGROUP CREATE s g $
        (ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to \
         create an empty stream automatically.)
        > XGROUP CREATE s g $ MKSTREAM
        OK
        > XGROUP CREATE s g 0
        (BUSYGROUP Consumer Group name already exists)
        > XREADGROUP GROUP g a STREAMS s >
        nil
        > XADD s 1-0 n 1
        1-0
        > XADD s 2-0 n 2
        2-0
        > XADD s 3-0 n 3
        3-0
        > XREADGROUP GROUP g a COUNT 1 STREAMS s >
        [[s [[1-0 [n 1]]]]]
        > XREADGROUP GROUP g b STREAMS s >
        [[s [[2-0 [n 2]] [3-0 [n 3]]]]]
        > XREADGROUP GROUP g b STREAMS s 0
        [[s [[2-0 [n 2]] [3-0 [n 3]]]]]
        > XREADGROUP GROUP g b STREAMS s 3
        [[s []]]
        > XPENDING s g
        [3 1-0 3-0 [[a 1] [b 2]]]
        > XDEL s 2-0
        1
        > XREADGROUP GROUP g b STREAMS s 0
        [[s [[2-0 nil] [3-0 [n 3]]]]]
        > XACK s g 3-0 3-0 9-9
        1
        > XACK s none 3-0
        0
        > XCLAIM s g a 0 2-0 1-0
        [[1-0 [n 1]]]
        > XPENDING s g
        [1 1-0 1-0 [[a 1]]]
        > XCLAIM s g c 0 3-0
        []
        > XCLAIM s g c 0 3-0 FORCE JUSTID
        [3-0]
        > XCLAIM s g c 3600000 1-0
        []
        > XCLAIM s g c 0 1-0 RETRYCOUNT 7 IDLE 7200000 JUSTID
        [1-0]
        > XAUTOCLAIM s g d 3600000 - COUNT 1
        [3-0 [[1-0 [n 1]]] []]
        > XAUTOCLAIM s g d 3600000 3-0
        [0-0 [] []]
        > XPENDING s g IDLE 3600000 - + 10
        []
        > XPENDING s g - + 10 nobody
        []
        > XGROUP DELCONSUMER s g d
        1
        > XGROUP CREATECONSUMER s g d
        1
        > XGROUP CREATECONSUMER s g d
        0
        > XINFO GROUPS s
        [[name g consumers 4 pending 1 last-delivered-id 3-0 entries-read 3 lag 0]]
        > XGROUP SETID s g 1-0 ENTRIESREAD 1
        OK
        > XREADGROUP GROUP g a NOACK STREAMS s >
        [[s [[3-0 [n 3]]]]]
        > XGROUP DESTROY s g
        1
        > XGROUP DESTROY s g
        0
        > XREADGROUP GROUP g a STREAMS s >
        (NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option)
        > XPENDING s g
        (NOGROUP No such key 's' or consumer group 'g')
        > XINFO CONSUMERS s g
        (NOGROUP No such consumer group 'g' for key name 's')
        > XGROUP FOO s g
        (ERR unknown subcommand 'FOO'. Try XGROUP HELP.)
        > XGROUP CREATE s g 0 x
        (ERR unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP.)
        ",
    );
}

#[test]
fn entries_are_deleted_with_a_say_in_their_references() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for number in 1..=6 {
        client.ask(&format!("XADD s {number}-0 n {number}"));
    }
    client.play(
        "
        > XGROUP CREATE s g 0
        OK
        > XGROUP CREATE s h 0
        OK
        > XREADGROUP GROUP g c COUNT 5 STREAMS s >
        [[s [[1-0 [n 1]] [2-0 [n 2]] [3-0 [n 3]] [4-0 [n 4]] [5-0 [n 5]]]]]
        > XDELEX s IDS 2 1-0 9-0
        [1 -1]
        > XDELEX s ACKED IDS 2 0-1 9-0
        [2 2]
        > XDELEX s ACKED IDS 1 2-0
        [2]
        > XDELEX s DELREF IDS 1 2-0
        [1]
        > XPENDING s g
        [4 1-0 5-0 [[c 4]]]
        > XACKDEL s g ACKED IDS 3 3-0 3-0 1-0
        [2 -1 2]
        > XREADGROUP GROUP h c NOACK STREAMS s >
        [[s [[3-0 [n 3]] [4-0 [n 4]] [5-0 [n 5]] [6-0 [n 6]]]]]
        > XACKDEL s g ACKED IDS 1 4-0
        [1]
        > XTRIM s MAXLEN = 0 ACKED
        1
        > XRANGE s - +
        [[5-0 [n 5]] [6-0 [n 6]]]
        > XADD s DELREF MAXLEN 1 7-0 n 7
        7-0
        > XPENDING s g
        [0 nil nil nil]
        > XDELEX none IDS 2 1 x
        [-1 -1]
        > XACKDEL s none IDS 1 x
        [-1]
        > XDELEX s IDS 2 1 x
        (ERR Invalid stream ID specified as stream command argument)
        > XDELEX s IDS 0 1
        (ERR Number of IDs must be a positive integer)
        > XDELEX s IDS 2 1
        (ERR The `numids` parameter must match the number of arguments)
        > XDELEX s KEEPREF DELREF IDS 1 1
        (ERR syntax error)
        ",
    );
}

#[test]
fn replies_have_the_shapes_of_each_protocol() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > XADD s 1-0 a b
        1-0
        > XADD t 2-0 a b
        2-0
        > XGROUP CREATE s g 0
        OK
        ",
    );
    client.play(
        "
        > XREAD STREAMS s t 0 0
        [[s [[1-0 [a b]]]] [t [[2-0 [a b]]]]]
        > XINFO GROUPS s
        [[name g consumers 0 pending 0 last-delivered-id 0-0 entries-read nil lag 1]]
        ",
    );
    client.ask("HELLO 3");
    client.play(
        "
        > XREAD STREAMS s t 0 0
        {s [[1-0 [a b]]] t [[2-0 [a b]]]}
        > XREAD STREAMS s 9
        nil
        > XREADGROUP GROUP g c STREAMS s >
        {s [[1-0 [a b]]]}
        > XINFO GROUPS s
        [{name g consumers 1 pending 1 last-delivered-id 1-0 entries-read 1 lag 0}]
        > XINFO STREAM t FULL
        {length 1 radix-tree-keys 1 radix-tree-nodes 2 last-generated-id 2-0 max-deleted-entry-id 0-0 entries-added 1 \
         recorded-first-entry-id 2-0 entries [[2-0 [a b]]] groups []}
        ",
    );
}

/// Waits until so many clients are blocked.
fn until_blocked(client: &mut Connection, count: usize) {
    eventually("blocked clients", || client.info("blocked_clients") == count.to_string());
}

#[test]
fn clients_wait_for_entries() {
    let server = Server::start(&["--threads", "2"]);
    let (mut client, mut other) = (server.connect(), server.connect());
    client.play(
        "
        > XREAD BLOCK 10 STREAMS s $
        nil
        > XREAD BLOCK x STREAMS s $
        (ERR timeout is not an integer or out of range)
        > XREAD BLOCK -1 STREAMS s $
        (ERR timeout is negative)
        > XREAD BLOCK 9223372036854775807 STREAMS s $
        (ERR timeout is out of range)
        > MULTI
        OK
        > XREAD BLOCK 0 STREAMS s $
        QUEUED
        > EXEC
        [nil]
        ",
    );
    // What `$` stands for is what it stood for when the client began to wait.
    assert_eq!(other.ask("XADD s 1-0 n 1"), "1-0");
    client.send("XREAD BLOCK 0 STREAMS t s 0 $");
    until_blocked(&mut other, 1);
    assert_eq!(other.ask("XADD s 2-0 n 2"), "2-0");
    assert_eq!(client.reply(), "[[s [[2-0 [n 2]]]]]");
    // The last entry, whenever there is one.
    client.send("XREAD BLOCK 0 STREAMS new $ +");
    assert_eq!(
        client.reply(),
        "(ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified.)"
    );
    client.send("XREAD BLOCK 0 STREAMS t new $ +");
    until_blocked(&mut other, 1);
    assert_eq!(other.ask("XADD new 1-0 n 1"), "1-0");
    assert_eq!(client.reply(), "[[new [[1-0 [n 1]]]]]");
    assert_eq!(client.ask("XREAD STREAMS new +"), "[[new [[1-0 [n 1]]]]]");
    // All who read are served, and of those who share entries the first.
    let mut more: Vec<Connection> = (0..3).map(|_| server.connect()).collect();
    assert_eq!(other.ask("XGROUP CREATE s g $"), "OK");
    client.send("XREAD BLOCK 0 STREAMS s 2");
    until_blocked(&mut other, 1);
    for (number, client) in more.iter_mut().enumerate() {
        client.send(&format!("XREADGROUP GROUP g c{number} BLOCK 0 STREAMS s >"));
        until_blocked(&mut other, 2 + number);
    }
    assert_eq!(other.ask("XADD s 3-0 n 3"), "3-0");
    assert_eq!(client.reply(), "[[s [[3-0 [n 3]]]]]");
    assert_eq!(more[0].reply(), "[[s [[3-0 [n 3]]]]]");
    until_blocked(&mut other, 2);
    // An entry that is gone when they would be served.
    other.send("MULTI");
    other.send("XADD s 4-0 n 4");
    other.send("XDEL s 4-0");
    other.send("EXEC");
    assert_eq!([(); 4].map(|()| other.reply()), ["OK", "QUEUED", "QUEUED", "[4-0 1]"]);
    assert_eq!(other.ask("XADD s 5-0 n 5"), "5-0");
    assert_eq!(more[1].reply(), "[[s [[5-0 [n 5]]]]]");
    assert_eq!(other.ask("CLIENT UNBLOCK 1 ERROR"), "0");
    until_blocked(&mut other, 1);
    assert_eq!(other.ask("XGROUP DESTROY s g"), "1");
    let no_group = "(NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option)";
    assert_eq!(more[2].reply(), no_group);
}

#[test]
fn a_client_learns_that_the_key_of_its_group_is_gone() {
    let server = Server::start(&["--threads", "2", "--enable-debug-command", "yes"]);
    let (mut client, mut reader, mut other) = (server.connect(), server.connect(), server.connect());
    let no_group = "(NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option)";
    let gone = "(UNBLOCKED the stream key no longer exists)";
    // Who only reads waits on.
    reader.send("XREAD BLOCK 0 STREAMS s 100");
    for (ending, expected) in [
        ("DEL s", gone),
        ("UNLINK s", gone),
        ("SET s x", gone),
        ("RENAME s away", gone),
        ("MOVE s 5", gone),
        ("FLUSHALL", gone),
        ("FLUSHDB ASYNC", gone),
        ("SWAPDB 0 1", gone),
        ("PEXPIRE s -1", gone),
        ("PEXPIRE s 20", gone),
        ("RENAME other s", no_group),
    ] {
        for line in
            ["XGROUP CREATE s g $ MKSTREAM", "XGROUP CREATE {other}t g $ MKSTREAM", "XGROUP CREATE other h $ MKSTREAM"]
        {
            assert_eq!(other.ask(line), "OK");
        }
        client.send("XREADGROUP GROUP g c BLOCK 0 STREAMS {other}t s > >");
        until_blocked(&mut other, 2);
        assert!(!other.ask(ending).starts_with('('), "{ending}");
        assert_eq!(client.reply(), expected, "{ending}");
        until_blocked(&mut other, 1);
        other.ask("FLUSHALL");
    }
    // A deadline that somebody who only reads comes upon.
    for line in ["XGROUP CREATE s g $ MKSTREAM", "DEBUG SET-ACTIVE-EXPIRE 0", "PEXPIRE s 1"] {
        assert!(["OK", "1"].contains(&&*other.ask(line)), "{line}");
        if line.starts_with("XGROUP") {
            client.send("XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
            until_blocked(&mut other, 2);
        }
    }
    eventually("the key is gone", || other.ask("EXISTS s") == "0");
    assert_eq!(client.reply(), gone);
    assert_eq!(other.ask("XADD s 101-0 a b"), "101-0");
    assert_eq!(reader.reply(), "[[s [[101-0 [a b]]]]]");
}

#[test]
fn what_is_done_to_streams_is_told() {
    let server = Server::start(&["--notify-keyspace-events", "Kt"]);
    let (mut client, mut listener) = (server.connect(), server.connect());
    assert_eq!(listener.ask("PSUBSCRIBE *"), "[psubscribe * 1]");
    let mut watcher = server.connect();
    for (line, events, is_watched) in [
        ("XGROUP CREATE s g $ MKSTREAM", &["xgroup-create"][..], true),
        ("XADD s 1-0 a b", &["xadd"], true),
        ("XADD s MAXLEN 1 2-0 a b", &["xadd", "xtrim"], true),
        ("XREADGROUP GROUP g c STREAMS s >", &["xgroup-createconsumer"], false),
        ("XACK s g 2-0", &[], false),
        ("XCLAIM s g d 0 2-0 FORCE JUSTID", &["xgroup-createconsumer"], false),
        ("XAUTOCLAIM s g e 0 0", &["xgroup-createconsumer"], false),
        ("XGROUP CREATECONSUMER s g f", &["xgroup-createconsumer"], false),
        ("XGROUP DELCONSUMER s g f", &["xgroup-delconsumer"], false),
        ("XGROUP SETID s g 0", &["xgroup-setid"], false),
        ("XDEL s 2-0", &["xdel"], true),
        ("XSETID s 9-0", &["xsetid"], false),
        ("XGROUP DESTROY s g", &["xgroup-destroy"], false),
        ("XADD s 10-0 a b", &["xadd"], true),
        ("XDELEX s IDS 1 10-0", &["xdel"], true),
        ("XADD s 11-0 a b", &["xadd"], true),
        ("XTRIM s MAXLEN 0", &["xtrim"], true),
        ("XTRIM s MAXLEN 0", &[], false),
        ("XDEL s 11-0", &[], false),
    ] {
        watcher.play("\n> WATCH s\nOK\n> MULTI\nOK\n> PING\nQUEUED\n");
        let before: u64 = client.info("rdb_changes_since_last_save").parse().unwrap();
        assert!(!client.ask(line).starts_with('('), "{line}");
        for event in events {
            assert_eq!(listener.reply(), format!("[pmessage * __keyspace@0__:s {event}]"), "{line}");
        }
        assert_eq!(watcher.ask("EXEC"), if is_watched { "nil" } else { "[PONG]" }, "{line}");
        let after: u64 = client.info("rdb_changes_since_last_save").parse().unwrap();
        assert_eq!(after > before, !events.is_empty() || line.starts_with("XACK"), "{line}");
    }
}

#[test]
fn streams_are_copied_and_measured_as_others() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    for number in 1..=1000 {
        client.ask(&format!("XADD s {number}-0 field {number}"));
    }
    client.play(
        "
        > XGROUP CREATE s g 0
        OK
        > XREADGROUP GROUP g c COUNT 1 STREAMS s >
        [[s [[1-0 [field 1]]]]]
        > COPY s t
        1
        > XADD s 2000-0 a b
        2000-0
        > XLEN t
        1000
        > XPENDING t g
        [1 1-0 1-0 [[c 1]]]
        > DEL s
        1
        > SCAN 0 TYPE stream
        [0 [t]]
        > XINFO STREAM t
        [length 1000 radix-tree-keys 10 radix-tree-nodes 26 last-generated-id 1000-0 max-deleted-entry-id 0-0 \
         entries-added 1000 recorded-first-entry-id 1-0 groups 1 first-entry [1-0 [field 1]] last-entry [1000-0 [field 1000]]]
        ",
    );
    let used: usize = client.ask("MEMORY USAGE t SAMPLES 0").parse().unwrap();
    assert!((10_000..20_000).contains(&used), "{used}");
    assert!(client.ask("DEBUG OBJECT t").contains("encoding:stream serializedlength:"));
}
