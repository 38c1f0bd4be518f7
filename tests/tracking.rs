//! Client-side caching: who is told that what it keeps is out of date, when, and how. What clients get was compared with Redis 7.0,
//! 8.2 and Valkey 9.1.

use crate::support::{Connection, Server, eventually};
use std::time::Duration;

/// A client that can be told of changes, with this behind `CLIENT TRACKING ON`.
fn tracked(server: &Server, options: &str) -> Connection {
    let mut client = server.connect();
    client.ask("HELLO 3");
    assert_eq!(client.ask(format!("CLIENT TRACKING ON {options}").trim_end()), "OK");
    client
}

/// What a client has been told since its last reply.
fn told(client: &mut Connection) -> Vec<String> {
    client.send("PING told");
    std::iter::from_fn(|| Some(client.reply()).filter(|reply| reply != "told")).collect()
}

/// The key of a message about one.
fn invalid(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| format!(">[invalidate [{key}]]")).collect()
}

/// Options which `client` has asked for, as CLIENT TRACKINGINFO shows them to one that speaks RESP3.
fn trackinginfo(flags: &str, redirect: i64, prefixes: &str) -> String {
    format!("{{flags ~[{flags}] redirect {redirect} prefixes [{prefixes}]}}")
}

#[test]
fn options_are_checked_and_shown() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > CLIENT TRACKING
        (ERR wrong number of arguments for 'client|tracking' command)
        > CLIENT TRACKING x
        (ERR syntax error)
        > CLIENT TRACKING ON REDIRECT
        (ERR syntax error)
        > CLIENT TRACKING ON REDIRECT x
        (ERR value is not an integer or out of range)
        > CLIENT TRACKING ON REDIRECT 999999
        (ERR The client ID you want redirect to does not exist)
        > CLIENT TRACKING ON REDIRECT -1
        (ERR The client ID you want redirect to does not exist)
        > CLIENT TRACKING OFF REDIRECT 0
        (ERR The client ID you want redirect to does not exist)
        > CLIENT TRACKING ON again
        (ERR syntax error)
        > CLIENT TRACKING ON PREFIX a
        (ERR PREFIX option requires BCAST mode to be enabled)
        > CLIENT TRACKING ON BCAST OPTIN
        (ERR OPTIN and OPTOUT are not compatible with BCAST)
        > CLIENT TRACKING ON OPTIN OPTOUT
        (ERR You can't specify both OPTIN mode and OPTOUT mode)
        > CLIENT TRACKING ON BCAST PREFIX foo PREFIX foobar
        (ERR Prefix 'foo' overlaps with another provided prefix 'foobar'. Prefixes for a single client must not overlap.)
        > CLIENT CACHING YES
        (ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled)
        > CLIENT TRACKINGINFO
        [flags [off] redirect -1 prefixes []]
        > CLIENT GETREDIR
        -1
        > CLIENT TRACKING OFF BCAST
        OK
        > CLIENT TRACKING ON bcast prefix foo
        OK
        > CLIENT TRACKING ON BCAST PREFIX bar PREFIX foo
        (ERR Prefix 'foo' overlaps with an existing prefix 'foo'. Prefixes for a single client must not overlap.)
        > CLIENT TRACKING ON BCAST NOLOOP
        OK
        > CLIENT TRACKING ON BCAST PREFIX fo
        (ERR Prefix 'fo' overlaps with an existing prefix ''. Prefixes for a single client must not overlap.)
        > CLIENT TRACKINGINFO
        [flags [on bcast noloop] redirect 0 prefixes [ foo]]
        > CLIENT TRACKING ON
        (ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.)
        > CLIENT CACHING YES
        (ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.)
        > CLIENT TRACKING OFF
        OK
        > CLIENT TRACKING ON
        OK
        > CLIENT CACHING x
        (ERR syntax error)
        > CLIENT TRACKING ON OPTIN
        OK
        > CLIENT CACHING NO
        (ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.)
        > CLIENT TRACKING ON OPTOUT
        (ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.)
        > CLIENT CACHING YES
        OK
        > CLIENT TRACKINGINFO
        [flags [on optin caching-yes] redirect 0 prefixes []]
        > PING
        PONG
        > CLIENT TRACKINGINFO
        [flags [on optin] redirect 0 prefixes []]
        > CLIENT TRACKING ON
        OK
        > CLIENT TRACKING ON OPTOUT NOLOOP
        OK
        > CLIENT CACHING NO
        OK
        > CLIENT TRACKINGINFO
        [flags [on optout caching-no noloop] redirect 0 prefixes []]
        ",
    );
    client.ask("HELLO 3");
    assert_eq!(client.ask("CLIENT TRACKINGINFO"), trackinginfo("on optout noloop", 0, ""));
    assert_eq!(client.ask("RESET"), "RESET");
    client.ask("HELLO 3");
    assert_eq!(client.ask("CLIENT TRACKINGINFO"), trackinginfo("off", -1, ""));
}

#[test]
fn whoever_has_read_a_key_is_told_once_that_it_has_changed() {
    let server = Server::start(&["--threads", "2"]);
    let (mut reader, mut other) = (tracked(&server, ""), server.connect());
    other.ask("MSET k 1 l 1 counter 1");
    for (read, change) in [
        ("GET k", "SET k 2"),
        ("MGET other k", "INCR k"),
        ("LRANGE k 0 1", "APPEND k x"),
        ("GETRANGE k x 1", "SETRANGE k 0 y"),
        ("TTL k", "EXPIRE k 100"),
        ("EXISTS k", "PERSIST k"),
        ("TYPE k", "RENAME k m"),
        ("STRLEN k", "COPY m k"),
        ("OBJECT ENCODING k", "DEL k"),
        ("LCS k l", "SADD k 1 2"),
        ("SSCAN k 0", "SMOVE k set 1"),
        ("SORT_RO k", "SPOP k"),
        ("EVAL_RO return(redis.call('SCARD','k')) 0", "HSET k f 1"),
        ("PFCOUNT k", "HINCRBY k f 1"),
        ("XREAD STREAMS k 0", "UNLINK k"),
        ("DUMP k", "ZADD k 1 a"),
    ] {
        reader.ask(read);
        assert_eq!(told(&mut reader), Vec::<String>::new(), "{read}");
        other.ask(change);
        assert_eq!(told(&mut reader), invalid(&["k"]), "{read}, {change}");
        other.ask("TOUCH k");
        other.ask("INCR counter");
        other.ask(change);
        assert_eq!(told(&mut reader), Vec::<String>::new(), "{read}, {change}");
    }
    // What is read to be changed, and what is no key, is not noted.
    for read in ["GETDEL k", "GETEX k", "KEYS *", "SCAN 0", "WATCH k", "EVAL_RO return(1) 1 k"] {
        reader.ask(read);
        other.ask("SET k 1");
        assert_eq!(told(&mut reader), Vec::<String>::new(), "{read}");
    }
    // The database makes no difference.
    reader.ask("GET k");
    other.play("> SELECT 5\nOK\n> SET k 1\nOK");
    assert_eq!(told(&mut reader), invalid(&["k"]));
}

#[test]
fn a_client_is_told_behind_the_reply_of_what_it_does_itself() {
    let server = Server::start(&[]);
    let mut client = tracked(&server, "");
    client.send_raw(
        b"SET k 1\r\nGET k\r\nSET k 2\r\nGET k\r\nMULTI\r\nSET k 3\r\nGET k\r\nSET k 4\r\nGET j\r\nEXEC\r\nSET k 5\r\nSET j 5\r\n\
          GET k\r\nEVAL \"redis.call('DEL', 'k') return redis.call('GET', 'l')\" 0\r\nSET l 1\r\nPING\r\n",
    );
    let expected = "
        OK 1 OK >[invalidate [k]] 2 OK QUEUED QUEUED QUEUED QUEUED [OK 3 OK nil] >[invalidate [k]] >[invalidate [k]] OK OK
        >[invalidate [j]] 5 nil >[invalidate [k]] OK >[invalidate [l]] PONG";
    let replies: Vec<String> = (0..22).map(|_| client.reply()).collect();
    assert_eq!(replies.join(" "), expected.split_whitespace().collect::<Vec<_>>().join(" "));
    // With NOLOOP it is not.
    let mut client = tracked(&server, "NOLOOP");
    client.play("> GET k\nnil\n> SET k 1\nOK\n> GET k\n1\n> DEL k\n1\n> PING\nPONG");
}

#[test]
fn a_key_that_goes_by_itself_is_invalid() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let (mut reader, mut other) = (tracked(&server, ""), server.connect());
    other.play("> SET k 1 PX 200\nOK\n> HSET h f 1 g 1\n2\n> HPEXPIRE h 200 FIELDS 1 f\n[1]");
    reader.ask("GET k");
    reader.ask("HLEN h");
    let mut told = [reader.reply(), reader.reply()];
    told.sort();
    assert_eq!(told, [">[invalidate [h]]", ">[invalidate [k]]"]);
    // Whoever comes across it is told behind the reply.
    other.play("> DEBUG SET-ACTIVE-EXPIRE 0\nOK\n> SET l 1\nOK\n> SET k 1 PX 300\nOK");
    assert_eq!(reader.ask("MGET l k"), "[1 1]");
    std::thread::sleep(Duration::from_millis(310));
    assert_eq!([reader.ask("MGET l k"), reader.reply()], ["[1 nil]", ">[invalidate [k]]"]);
    reader.send_raw(b"MULTI\r\nDEL l\r\nGET k\r\nEXEC\r\nPING\r\n");
    let replies: Vec<String> = (0..6).map(|_| reader.reply()).collect();
    assert_eq!(replies, ["OK", "QUEUED", "QUEUED", "[1 nil]", ">[invalidate [l]]", "PONG"]);
}

#[test]
fn an_evicted_key_is_invalid_before_the_reply_to_what_needed_room() {
    let server = Server::start(&["--threads", "1", "--maxmemory-policy", "volatile-random"]);
    let mut client = tracked(&server, "");
    client.play("> SETEX k 1000 x\nOK\n> GET k\nx");
    let (used, uncounted) = (client.info("used_memory"), client.info("mem_not_counted_for_evict"));
    let used = used.parse::<usize>().unwrap() - uncounted.parse::<usize>().unwrap();
    client.ask(&format!("CONFIG SET maxmemory {}", used + 500_000));
    client.send(&format!("APPEND large {}", "x".repeat(1_000_000)));
    client.send("STRLEN large");
    let replies = [client.reply(), client.reply(), client.reply()];
    let place = replies.iter().position(|reply| reply == ">[invalidate [k]]");
    assert!(place.is_some_and(|place| place < 2), "{replies:?}");
}

#[test]
fn emptied_databases_invalidate_everything() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let (mut reader, mut other) = (tracked(&server, "NOLOOP"), server.connect());
    let mut broadcasting = tracked(&server, "BCAST PREFIX x");
    reader.ask("GET k");
    for command in ["FLUSHDB", "FLUSHALL", "FLUSHALL ASYNC", "DEBUG RELOAD"] {
        assert_eq!(other.ask(command), "OK");
        assert_eq!(told(&mut reader), [">[invalidate nil]"], "{command}");
        assert_eq!(told(&mut broadcasting), [">[invalidate nil]"], "{command}");
    }
    assert_eq!(other.info("tracking_total_keys"), "0");
    reader.play("> FLUSHALL\nOK");
    assert_eq!(told(&mut reader), [">[invalidate nil]"]);
    reader.play("> MULTI\nOK\n> FLUSHALL\nQUEUED\n> GET k\nQUEUED\n> EXEC\n[OK nil]");
    assert_eq!(told(&mut reader), [">[invalidate nil]"]);
    // As in Redis, nobody is told of an exchange.
    other.play("> SET k 1\nOK");
    assert_eq!(told(&mut reader), invalid(&["k"]));
    reader.ask("GET k");
    other.play("> SWAPDB 0 1\nOK");
    assert_eq!(told(&mut reader), Vec::<String>::new());
}

#[test]
fn messages_can_go_to_another_client() {
    let server = Server::start(&[]);
    let mut other = server.connect();
    for (own, others) in [(2, 2), (2, 3), (3, 2), (3, 3)] {
        let (mut reader, mut receiver) = (server.connect(), server.connect());
        receiver.ask(&format!("HELLO {others}"));
        let id: i64 = receiver.ask("CLIENT ID").parse().unwrap();
        reader.ask(&format!("HELLO {own}"));
        assert_eq!(reader.ask(&format!("CLIENT TRACKING ON REDIRECT {id}")), "OK");
        assert_eq!(reader.ask("CLIENT GETREDIR"), id.to_string());
        assert!(reader.ask("CLIENT INFO").contains(&format!(" redir={id} ")));
        if others == 2 {
            // Who listens to nothing cannot be told.
            reader.ask("GET k");
            other.ask("SET k 0");
            receiver.play("> PING\nPONG\n> SUBSCRIBE __redis__:invalidate\n[subscribe __redis__:invalidate 1]");
        }
        other.ask("SET k 1");
        reader.ask("MGET k");
        other.ask("SET k 2");
        reader.ask("GET k");
        assert_eq!(reader.ask("SET k 3"), "OK");
        other.ask("FLUSHALL");
        let all = format!("{}nil]", if others == 3 { ">[invalidate " } else { "[message __redis__:invalidate " });
        let key = all.replace("nil", "[k]");
        assert_eq!([receiver.reply(), receiver.reply(), receiver.reply()], [key.clone(), key, all], "{own} {others}");
        assert_eq!(reader.ask("PING"), "PONG");
        // Once it has left, the client itself is told, if it can be.
        reader.ask("GET k");
        drop(receiver);
        eventually("its end", || other.ask(&format!("CLIENT LIST ID {id}")).is_empty());
        other.ask("SET k 1");
        let expected: &[String] = if own == 3 { &[format!(">[tracking-redir-broken {id}]")] } else { &[] };
        assert_eq!(told(&mut reader), expected);
        assert!(reader.ask("CLIENT INFO").contains(" flags=tR "));
        if own == 3 {
            assert_eq!(reader.ask("CLIENT TRACKINGINFO"), trackinginfo("on broken_redirect", id, ""));
        }
        reader.play("> CLIENT TRACKING ON\nOK\n> CLIENT GETREDIR\n0");
    }
}

#[test]
fn who_broadcasts_is_told_of_all_keys_with_its_prefixes() {
    let server = Server::start(&["--threads", "2"]);
    let (mut all, mut some) = (tracked(&server, "BCAST"), tracked(&server, "BCAST NOLOOP PREFIX a: PREFIX b:"));
    let mut other = server.connect();
    assert_eq!(other.info("tracking_total_prefixes"), "3");
    assert!(some.ask("CLIENT INFO").contains(" flags=tB "));
    other.ask("MSET b:1 1 a:2 1 c 1 a:1 1");
    assert_eq!(all.reply(), ">[invalidate [a:1 a:2 b:1 c]]");
    assert_eq!((some.reply(), some.reply()), (">[invalidate [a:1 a:2]]".into(), ">[invalidate [b:1]]".into()));
    // What was read is not noted, and what has not been read is told.
    all.ask("GET a:1");
    assert_eq!(other.info("tracking_total_keys"), "0");
    some.send_raw(b"SET a:3 1\r\nSET c 1\r\nGET c\r\n");
    assert_eq!([some.reply(), some.reply(), some.reply()], ["OK", "OK", "1"]);
    assert_eq!(all.reply(), ">[invalidate [a:3 c]]");
    // A key that goes by itself is nobody's own doing.
    some.ask("SET a:4 1 PX 20");
    assert_eq!(some.reply(), ">[invalidate [a:4]]");
    assert_eq!([all.reply(), all.reply()], [">[invalidate [a:4]]", ">[invalidate [a:4]]"]);
    // It is told behind the reply of what it does itself.
    assert_eq!(all.ask("SET k 1"), "OK");
    assert_eq!(all.reply(), ">[invalidate [k]]");
    drop(some);
    eventually("its end", || other.info("tracking_total_prefixes") == "1");
    assert_eq!(all.ask("CLIENT TRACKING OFF"), "OK");
    assert_eq!((other.info("tracking_total_prefixes"), other.info("tracking_clients")), ("0".into(), "0".into()));
}

#[test]
fn a_client_can_say_which_reads_count() {
    let server = Server::start(&[]);
    let mut other = server.connect();
    let mut client = tracked(&server, "OPTIN");
    for (requests, expected) in [
        (&["GET k"][..], &[][..]),
        (&["CLIENT CACHING YES", "GET k", "GET j"], &["k"]),
        (&["CLIENT CACHING YES", "CLIENT GETNAME", "GET k"], &["k"]),
        (&["CLIENT CACHING YES", "UNKNOWN", "GET k"], &[]),
        (&["CLIENT CACHING YES", "MULTI", "GET k", "GET j", "EXEC", "GET l"], &["k", "j"]),
        (&["MULTI", "CLIENT CACHING YES", "GET k", "EXEC", "GET l"], &["k"]),
    ] {
        requests.iter().for_each(|request| drop(client.ask(request)));
        ["k", "j", "l"].iter().for_each(|key| drop(other.ask(&format!("SET {key} 1"))));
        assert_eq!(told(&mut client), invalid(expected), "{requests:?}");
    }
    let mut client = tracked(&server, "OPTOUT");
    client.play("> CLIENT CACHING NO\nOK\n> GET k\n1\n> GET j\n1");
    other.ask("SET k 2");
    other.ask("SET j 2");
    assert_eq!(told(&mut client), invalid(&["j"]));
}

#[test]
fn a_client_that_waited_is_told_behind_its_reply() {
    let server = Server::start(&["--threads", "2"]);
    let mut other = server.connect();
    for (options, expected) in
        [("", &[">[invalidate [l1]]", "x", ">[invalidate [l2]]"][..]), ("NOLOOP", &[">[invalidate [l1]]", "x"])]
    {
        other.ask("FLUSHALL");
        other.ask("RPUSH l2 a");
        let mut client = tracked(&server, options);
        client.ask("LRANGE l2 0 -1");
        client.ask("LRANGE l1 0 -1");
        client.send("BLMOVE l1 l2 LEFT LEFT 0");
        eventually("the wait", || other.info("blocked_clients") == "1");
        other.ask("RPUSH l1 x");
        expected.iter().for_each(|reply| assert_eq!(client.reply(), *reply));
        assert_eq!(told(&mut client), Vec::<String>::new());
    }
    // What it has waited for it has read.
    let mut client = tracked(&server, "OPTIN");
    client.ask("CLIENT CACHING YES");
    client.send("XREAD BLOCK 0 STREAMS s $");
    eventually("the wait", || other.info("blocked_clients") == "1");
    other.ask("XADD s 1-1 a 1");
    assert_eq!([client.reply(), client.reply()], [">[invalidate [s]]", "{s [[1-1 [a 1]]]}"]);
    other.ask("XADD s 2-1 a 1");
    assert_eq!(told(&mut client), invalid(&["s"]));
    client.ask("XREAD STREAMS s 0");
    other.ask("XADD s 3-1 a 1");
    assert_eq!(told(&mut client), Vec::<String>::new());
}

#[test]
fn scripts_count_for_what_they_read_and_were_given() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (tracked(&server, ""), server.connect());
    for (script, expected) in [
        ("redis.call('SET', 'k3', 1)", &[][..]),
        ("redis.call('PING')", &[]),
        ("redis.call('GET', 'k3')", &["k1", "k2", "k3"]),
    ] {
        client.ask_words(&["EVAL", script, "2", "k1", "k2"]);
        other.ask("MSET k1 1 k2 1 k3 1");
        assert_eq!(told(&mut client), invalid(expected), "{script}");
    }
}

#[test]
fn clients_that_want_no_replies_are_told() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (tracked(&server, ""), server.connect());
    client.ask("GET k");
    client.ask("GET j");
    client.send("CLIENT REPLY OFF");
    client.send("SET j 1");
    assert_eq!(client.reply(), ">[invalidate [j]]");
    other.ask("SET k 1");
    assert_eq!(client.reply(), ">[invalidate [k]]");
    client.play("> CLIENT REPLY ON\nOK");
    // Without a protocol for messages it is told nothing, until it has one again.
    client.ask("HELLO 2");
    client.ask("GET k");
    other.ask("SET k 2");
    client.ask("GET k");
    client.ask("HELLO 3");
    other.ask("SET k 3");
    assert_eq!(told(&mut client), invalid(&["k"]));
}

#[test]
fn the_table_keeps_within_its_limit() {
    let server = Server::start(&["--threads", "2", "--tracking-table-max-keys", "10"]);
    let (mut client, mut other) = (tracked(&server, ""), server.connect());
    let keys: Vec<String> = (0..300).map(|number| format!("key:{number}")).collect();
    client.ask(&format!("MGET {}", keys.join(" ")));
    let mut lost: Vec<String> = (0..290).map(|_| client.reply()).collect();
    eventually("the limit", || other.info("tracking_total_keys") == "10");
    assert_eq!(told(&mut client), Vec::<String>::new());
    // Those that are left are told of later, each once.
    other.ask("CONFIG SET tracking-table-max-keys 0");
    keys.iter().for_each(|key| drop(other.ask(&format!("SET {key} 1"))));
    lost.extend(told(&mut client));
    lost.sort_unstable();
    let mut expected = invalid(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    expected.sort_unstable();
    assert_eq!(lost, expected);
    assert_eq!((other.info("tracking_total_keys"), other.info("tracking_total_items")), ("0".into(), "0".into()));
}

#[test]
fn figures_count_keys_their_clients_and_who_is_tracked() {
    let server = Server::start(&[]);
    let (mut one, mut two, mut other) = (tracked(&server, ""), tracked(&server, ""), server.connect());
    one.ask("MGET k l m");
    two.ask("GET k");
    let mut figures = || ["clients", "total_keys", "total_items"].map(|name| other.info(&format!("tracking_{name}")));
    assert_eq!(figures(), ["2", "3", "4"]);
    // What is noted for a client that has left stays until somebody comes across it.
    drop(one);
    eventually("its end", || figures() == ["1", "3", "4"]);
    two.ask("SET k 1");
    assert_eq!(figures(), ["1", "2", "2"]);
    two.ask("CLIENT TRACKING OFF");
    assert_eq!(figures(), ["0", "2", "2"]);
    two.ask("MSET l 1 m 1");
    assert_eq!(figures(), ["0", "0", "0"]);
}

#[test]
fn a_cache_that_drops_what_is_invalid_never_keeps_what_is_not_there() {
    let server = Server::start(&["--threads", "2"]);
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let mut writer = server.connect();
            std::thread::spawn(move || {
                (0..3000).for_each(|value| drop(writer.ask(&format!("SET key:{} {value}", value % 7))))
            })
        })
        .collect();
    let mut client = tracked(&server, "");
    let mut cache = std::collections::HashMap::<String, String>::new();
    let forget = |cache: &mut std::collections::HashMap<String, String>, message: &str| {
        let key = message.strip_prefix(">[invalidate [").and_then(|rest| rest.strip_suffix("]]"));
        key.is_some_and(|key| {
            cache.remove(key);
            true
        })
    };
    let mut round = 0;
    while writers.iter().any(|writer| !writer.is_finished()) {
        let key = format!("key:{}", round % 7);
        client.send(&format!("GET {key}"));
        let value = loop {
            let reply = client.reply();
            if !forget(&mut cache, &reply) {
                break reply;
            }
        };
        cache.insert(key, value);
        round += 1;
    }
    writers.into_iter().for_each(|writer| writer.join().expect("it has written"));
    for message in told(&mut client) {
        assert!(forget(&mut cache, &message), "{message}");
    }
    let mut other = server.connect();
    for (key, value) in cache {
        assert_eq!(other.ask(&format!("GET {key}")), value, "{key}");
    }
}
