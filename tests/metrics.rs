//! Metrics: what a scrape tells, in which format, to whom, and that nobody notices it.

use crate::support::eventually;
use crate::support::http::{Gateway, Http};
use std::collections::HashMap;

const OPEN_METRICS: (&str, &str) =
    ("accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5");

/// The samples of a scrape, by name and labels.
struct Scraped(HashMap<String, f64>);

impl Scraped {
    fn parse(text: &str) -> Scraped {
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?} is no sample"));
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line:?} has no number")))
        });
        Scraped(samples.collect())
    }

    fn of(http: &mut Http) -> Scraped {
        let (status, text) = http.get("/metrics");
        assert_eq!(status, 200, "{text}");
        Scraped::parse(&text)
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    fn at(&self, name: &str) -> f64 {
        self.get(name).unwrap_or_else(|| panic!("{name} is not there: {:?}", self.0.keys()))
    }

    /// The samples of a family, each with its labels.
    fn family<'s>(&'s self, name: &'s str) -> impl Iterator<Item = (&'s str, f64)> {
        self.0.iter().filter_map(move |(sample, value)| Some((sample.strip_prefix(name)?, *value)))
    }
}

#[test]
fn what_the_server_has_done_is_told() {
    let gateway = Gateway::start(&["--maxmemory", "1gb"]);
    let mut resp = gateway.server.connect();
    for _ in 0..3 {
        resp.ask("SET k v");
    }
    resp.ask("GET none");
    resp.ask("INCR k");
    let mut http = gateway.connect();
    let scraped = Scraped::of(&mut http);
    for (name, value) in [
        ("redis_up", 1.0),
        ("redis_connected_clients", 2.0),
        ("redis_memory_max_bytes", f64::from(1 << 30)),
        ("redis_commands_total{cmd=\"set\"}", 3.0),
        ("redis_commands_failed_calls_total{cmd=\"incr\"}", 1.0),
        ("redis_errors_total{err=\"ERR\"}", 1.0),
        ("redis_keyspace_misses_total", 1.0),
        ("redis_rdb_last_bgsave_status", 1.0),
        ("radish_command_duration_seconds_bucket{cmd=\"set\",le=\"+Inf\"}", 3.0),
        ("radish_command_duration_seconds_bucket{cmd=\"set\",le=\"8.589934592\"}", 3.0),
        ("radish_command_duration_seconds_count{cmd=\"set\"}", 3.0),
    ] {
        assert_eq!(scraped.at(name), value, "{name}");
    }
    let sum = scraped.at("radish_command_duration_seconds_sum{cmd=\"set\"}");
    // As precise as the buckets that it is the sum of.
    let share = sum / scraped.at("redis_commands_duration_seconds_total{cmd=\"set\"}");
    assert!((0.8..1.2).contains(&share), "{share}");
    assert!(scraped.at("redis_latency_percentiles_usec{cmd=\"set\",quantile=\"99.9\"}") > 0.0);
    let instance = scraped.family("redis_instance_info{role=\"master\",redis_version=\"7.4.0\",");
    assert_eq!(instance.map(|(_, value)| value).sum::<f64>(), 1.0);
    // The same that INFO says.
    assert_eq!(scraped.at("redis_total_system_memory_bytes"), resp.info("total_system_memory").parse::<f64>().unwrap());
}

#[test]
fn what_was_slow_is_told_to_those_who_may_ask_for_it() {
    let gateway = Gateway::start(&["--slowlog-log-slower-than", "0", "--enable-debug-command", "yes"]);
    let mut resp = gateway.server.connect();
    resp.play("> ACL SETUSER few on >pw resetkeys +info +latency|histogram\nOK");
    resp.play("> CONFIG SET latency-monitor-threshold 10\nOK\n> DEBUG SLEEP 0.05\nOK");
    let mut http = gateway.connect();
    let scraped = Scraped::of(&mut http);
    assert!(scraped.at("redis_slowlog_length") >= 3.0 && scraped.at("redis_slowlog_last_id") >= 2.0);
    assert!(scraped.at("redis_last_slow_execution_duration_seconds") >= 0.05);
    assert!(scraped.at("redis_latency_spike_duration_seconds{event_name=\"command\"}") >= 0.05);
    assert!(scraped.at("redis_latency_spike_last{event_name=\"command\"}") > 1e9);
    let few = Scraped::parse(&http.ask("GET", "/metrics", &[("authorization", "Bearer few:pw")], b"").text());
    assert_eq!(few.family("redis_slowlog").chain(few.family("redis_latency_spike")).count(), 0);
}

#[test]
fn a_percentile_that_is_named_twice_is_told_once() {
    let gateway = Gateway::start(&["--latency-tracking-info-percentiles", "50", "50", "99"]);
    assert_eq!(gateway.server.connect().ask("PING"), "PONG");
    let (_, text) = gateway.connect().get("/metrics");
    let told: Vec<_> =
        text.lines().filter(|line| line.starts_with("redis_latency_percentiles_usec{cmd=\"ping\"")).collect();
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn both_formats() {
    let gateway = Gateway::start(&[]);
    gateway.server.connect().ask("SET k v");
    let mut http = gateway.connect();
    let plain = http.ask("GET", "/metrics", &[], b"");
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let plain = plain.text();
    let open = http.ask("GET", "/metrics", &[OPEN_METRICS], b"");
    let open_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type"), Some(open_type));
    let open = open.text();
    assert!(open.ends_with("\n# EOF\n") && !plain.contains("# EOF"));
    assert!(plain.contains("# TYPE redis_evicted_keys_total counter\nredis_evicted_keys_total 0\n"), "{plain}");
    assert!(open.contains("# TYPE redis_evicted_keys counter\nredis_evicted_keys_total 0\n"), "{open}");
    // Series are called the same in both.
    let names = |text: &str| {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.filter_map(|line| line.rsplit_once(' ')).map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&plain), names(&open));
    // Each family has a type and a help, and is there once.
    for text in [&plain, &open] {
        let of =
            |mark: &str| text.lines().filter_map(|line| line.strip_prefix(mark)?.split(' ').next()).collect::<Vec<_>>();
        let (helps, mut types) = (of("# HELP "), of("# TYPE "));
        assert_eq!(helps, types);
        types.sort_unstable();
        assert!(types.windows(2).all(|pair| pair[0] != pair[1]), "{types:?}");
    }
    for (accept, is_open) in [
        ("text/plain", false),
        ("*/*", false),
        ("text/plain, application/openmetrics-text;q=0.5", false),
        ("application/openmetrics-text;version=0.0.1;q=0.75,text/plain;q=0.5", true),
        ("application/openmetrics-text;q=0", false),
    ] {
        let response = http.ask("GET", "/metrics", &[("accept", accept)], b"");
        assert_eq!(response.header("content-type") == Some(open_type), is_open, "{accept}");
    }
    let packed = http.ask("GET", "/metrics", &[("accept-encoding", "gzip")], b"");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() < plain.len() / 3);
    let mut unpacked = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&packed.body[..]);
    std::io::Read::read_to_string(&mut decoder, &mut unpacked).expect("it is whole");
    assert_eq!(names(&unpacked), names(&plain));
}

#[test]
fn who_sees_metrics() {
    let gateway = Gateway::start(&["--requirepass", "secret"]);
    let mut resp = gateway.server.connect();
    resp.play("> AUTH secret\nOK");
    resp.play("> ACL SETUSER prometheus on >scrape resetkeys +info +latency|histogram\nOK");
    resp.play("> ACL SETUSER half on >scrape resetkeys +info\nOK");
    let mut http = gateway.connect();
    let mut ask = |header: &str| http.ask("GET", "/metrics", &[("authorization", header)], b"");
    assert_eq!(ask("Bearer wrong").status, 401);
    assert_eq!(ask("Bearer prometheus:scrape").status, 200);
    // prometheus:scrape
    assert_eq!(ask("Basic cHJvbWV0aGV1czpzY3JhcGU=").status, 200);
    let forbidden = ask("Bearer half:scrape");
    let reason = r#"{"error":"NOPERM this user has no permissions to run the 'latency|histogram' command"}"#;
    assert_eq!((forbidden.status, forbidden.text().as_str()), (403, reason));
    assert_eq!(http.get("/metrics").0, 401);
    assert_eq!(http.get("/healthz").0, 200);
    assert_eq!(resp.info("acl_access_denied_cmd"), "1");
    assert!(resp.ask("ACL LOG").contains("latency|histogram"));
    let foreign = http.ask("GET", "/metrics", &[("origin", "https://evil.example")], b"");
    assert_eq!(foreign.status, 403);
    assert_eq!(http.ask("POST", "/metrics", &[("authorization", "Bearer secret")], b"").status, 400);
}

#[test]
fn commands_that_were_taken_away_are_so_for_scrapes() {
    let gateway = Gateway::start(&["--rename-command", "INFO", ""]);
    let (status, reason) = gateway.connect().get("/metrics");
    assert_eq!(status, 403);
    assert!(reason.contains("ERR unknown command 'info'"), "{reason}");
}

#[test]
fn all_patterns_together_may_look_at_so_many_keys() {
    // One of several has what the others do not need.
    let gateway = Gateway::start(&["--metrics-queues", "none:1", "key:*", "none:2", "--enable-debug-command", "yes"]);
    let mut resp = gateway.server.connect();
    for (keys, is_incomplete) in [(150_000, 0.0), (250_000, 1.0)] {
        assert_eq!(resp.ask(&format!("DEBUG POPULATE {keys}")), "OK");
        assert_eq!(Scraped::of(&mut gateway.connect()).at("radish_queues_incomplete"), is_incomplete, "{keys}");
    }
}

#[test]
fn a_scrape_is_no_command() {
    let gateway = Gateway::start(&["--slowlog-log-slower-than", "0"]);
    let mut monitor = gateway.server.connect();
    monitor.play("> MONITOR\nOK");
    let mut resp = gateway.server.connect();
    resp.ask("PING");
    let mut http = gateway.connect();
    let before = Scraped::of(&mut http).at("redis_commands_processed_total");
    for _ in 0..10 {
        Scraped::of(&mut http);
    }
    assert_eq!(Scraped::of(&mut http).at("redis_commands_processed_total"), before);
    resp.ask("PING last");
    assert!(monitor.reply().contains("\"PING\""));
    let next = monitor.reply();
    assert!(next.contains("\"PING\" \"last\""), "{next}");
    assert!(!resp.ask("SLOWLOG GET 100").to_lowercase().contains("info"));
}

#[test]
fn a_script_that_does_not_end_is_told_of() {
    let gateway = Gateway::start(&["--busy-reply-threshold", "10", "--threads", "2"]);
    // Some on each thread: those on the script's wait for its end.
    let mut all: Vec<Http> = (0..4).map(|_| gateway.connect()).collect();
    all.iter_mut().for_each(|http| assert_eq!(http.get("/healthz").0, 200));
    let mut script = gateway.server.connect();
    script.send_words(&["EVAL", "while true do end", "0"]);
    let mut resp = gateway.server.connect();
    eventually("the script is busy", || resp.ask("PING").contains("BUSY"));
    all.iter_mut().for_each(|http| http.send("GET", "/metrics", &[], b""));
    let has_answered = |http: &Http| {
        let stream = http.stream.get_ref();
        stream.set_nonblocking(true).expect("a socket");
        let peeked = stream.peek(&mut [0; 1]);
        stream.set_nonblocking(false).expect("a socket");
        matches!(peeked, Ok(1))
    };
    let mut first = None;
    eventually("one is answered", || {
        first = all.iter().position(has_answered);
        first.is_some()
    });
    let http = &mut all[first.expect("one is answered")];
    let response = http.response();
    assert_eq!((response.status, response.text().contains("BUSY")), (503, true), "{response:?}");
    resp.ask("SCRIPT KILL");
    assert!(script.reply().contains("killed"));
    assert_eq!(http.get("/metrics").0, 200);
}

#[test]
fn queues_that_patterns_choose() {
    let gateway = Gateway::start(&["--metrics-queues", "jobs:*", "single", "db3=other:*", "a[bc]*"]);
    let mut resp = gateway.server.connect();
    for command in [
        "RPUSH jobs:mail 1 2 3",
        "ZADD jobs:later 1 a 2 b",
        "SET jobs:text x",
        "SADD jobs:set x",
        "RPUSH single 1",
        "RPUSH other:1 1",
        "RPUSH ab 1",
        "RPUSH ad 1",
        "XADD jobs:events 1-1 a b",
        "XADD jobs:events 1-2 a b",
        "XADD jobs:events 1-3 a b",
        "XGROUP CREATE jobs:events workers 0",
        "XREADGROUP GROUP workers me COUNT 2 STREAMS jobs:events >",
        "SELECT 3",
        "RPUSH other:2 1 2",
        "RPUSH jobs:mail 1",
    ] {
        let reply = resp.ask(command);
        assert!(!reply.starts_with('('), "{command}: {reply}");
    }
    let mut http = gateway.connect();
    let scraped = Scraped::of(&mut http);
    let mut queues: Vec<_> = scraped.family("radish_queue_length").collect();
    queues.sort_by(|a, b| a.0.cmp(b.0));
    let expected = [
        ("{db=\"db0\",key=\"ab\",type=\"list\"}", 1.0),
        ("{db=\"db0\",key=\"jobs:events\",type=\"stream\"}", 3.0),
        ("{db=\"db0\",key=\"jobs:later\",type=\"zset\"}", 2.0),
        ("{db=\"db0\",key=\"jobs:mail\",type=\"list\"}", 3.0),
        ("{db=\"db0\",key=\"single\",type=\"list\"}", 1.0),
        ("{db=\"db3\",key=\"other:2\",type=\"list\"}", 2.0),
    ];
    assert_eq!(queues, expected);
    for (name, value) in [
        ("redis_key_size{db=\"db0\",key=\"jobs:mail\"}", 3.0),
        ("redis_stream_length{db=\"db0\",stream=\"jobs:events\"}", 3.0),
        ("redis_stream_groups{db=\"db0\",stream=\"jobs:events\"}", 1.0),
        ("redis_stream_group_messages_pending{db=\"db0\",stream=\"jobs:events\",group=\"workers\"}", 2.0),
        ("redis_stream_group_lag{db=\"db0\",stream=\"jobs:events\",group=\"workers\"}", 1.0),
        ("redis_stream_group_consumers{db=\"db0\",stream=\"jobs:events\",group=\"workers\"}", 1.0),
        ("radish_queues_left_out{reason=\"number\"}", 0.0),
        ("radish_queues_incomplete", 0.0),
    ] {
        assert_eq!(scraped.at(name), value, "{name}");
    }
    resp.play("> CONFIG GET metrics-queues\n[metrics-queues jobs:* single db3=other:* a[bc]*]");
    assert_eq!(resp.ask_words(&["CONFIG", "SET", "metrics-queues", ""]), "OK");
    assert_eq!(Scraped::of(&mut http).family("radish_queue").count(), 0);
}

#[test]
fn names_of_queues_are_told_apart_whatever_bytes_they_have() {
    let gateway = Gateway::start(&["--metrics-queues", "*"]);
    let mut resp = gateway.server.connect();
    let names: [&[u8]; 5] = [b"a\xff", b"a\\xff", b"\"quoted\"", b"line\nend", "ä".as_bytes()];
    for name in names {
        resp.send_raw(&crate::support::request(&[b"RPUSH", name, b"x"]));
        assert_eq!(resp.reply(), "1");
    }
    resp.send_raw(&crate::support::request(&[b"RPUSH", &[b'k'; 2000], b"x"]));
    assert_eq!(resp.reply(), "1");
    resp.play("> XADD stream 1-1 a b\n1-1\n> XGROUP CREATE stream short 0\nOK");
    resp.send_raw(&crate::support::request(&[b"XGROUP", b"CREATE", b"stream", &[b'g'; 2000], b"0"]));
    assert_eq!(resp.reply(), "OK");
    let scraped = Scraped::of(&mut gateway.connect());
    assert_eq!(scraped.at("redis_stream_groups{db=\"db0\",stream=\"stream\"}"), 2.0);
    assert_eq!(scraped.family("redis_stream_group_lag").count(), 1);
    for shown in ["a\\\\xff", "a\\\\\\\\xff", "\\\"quoted\\\"", "line\\\\x0aend", "ä"] {
        scraped.at(&format!("radish_queue_length{{db=\"db0\",key=\"{shown}\",type=\"list\"}}"));
    }
    // A key, and a group.
    assert_eq!(scraped.at("radish_queues_left_out{reason=\"name\"}"), 2.0);
}

#[test]
fn queues_are_bounded_in_number_and_shown_to_those_who_may_read_them() {
    let gateway = Gateway::start(&["--metrics-queues", "q:*"]);
    let mut resp = gateway.server.connect();
    let mut commands = Vec::new();
    for number in 0..1200 {
        let key = format!("q:{number}");
        commands.extend(crate::support::request(&[b"RPUSH", key.as_bytes(), b"x"]));
    }
    resp.send_raw(&commands);
    (0..1200).for_each(|_| assert_eq!(resp.reply(), "1"));
    resp.play("> XADD q:stream 1-1 a b\n1-1\n> XGROUP CREATE q:stream g 0\nOK");
    resp.play("> ACL SETUSER few on >pw resetkeys ~q:11* ~q:stream +info +latency|histogram +llen +xlen\nOK");
    let mut http = gateway.connect();
    let scraped = Scraped::of(&mut http);
    assert_eq!(scraped.family("radish_queue_length").count(), 1000);
    assert_eq!(scraped.at("radish_queues_left_out{reason=\"number\"}"), 201.0);
    let few = Scraped::parse(&http.ask("GET", "/metrics", &[("authorization", "Bearer few:pw")], b"").text());
    // q:11, q:110 to q:119, q:1100 to q:1199, and the stream without its group.
    assert_eq!(few.family("radish_queue_length").count(), 112);
    assert_eq!(few.at("redis_stream_length{db=\"db0\",stream=\"q:stream\"}"), 1.0);
    assert_eq!(few.family("redis_stream_group").count(), 0);
    assert_eq!(few.at("radish_queues_left_out{reason=\"permission\"}"), 1201.0 - 112.0 + 1.0);
}

#[test]
fn databases_and_their_trees() {
    let gateway = Gateway::start(&["--enable-debug-command", "yes"]);
    let mut resp = gateway.server.connect();
    resp.play("> DEBUG POPULATE 10000 key 16\nOK");
    resp.ask("SET k v EX 100");
    let scraped = Scraped::of(&mut gateway.connect());
    assert_eq!(scraped.at("redis_db_keys{db=\"db0\"}"), 10_001.0);
    assert_eq!(scraped.at("redis_db_keys_expiring{db=\"db0\"}"), 1.0);
    let ttl = scraped.at("redis_db_avg_ttl_seconds{db=\"db0\"}");
    assert!((50.0..=100.0).contains(&ttl), "{ttl}");
    let pages = scraped.at("radish_tree_pages{db=\"db0\"}");
    assert!(pages > 30.0 && scraped.at("radish_tree_page_bytes{db=\"db0\"}") > 1000.0 * pages, "{pages}");
    let fill = scraped.at("radish_tree_page_fill_ratio{db=\"db0\"}");
    assert!((0.4..=1.0).contains(&fill), "{fill}");
    assert!(scraped.at("radish_tree_nodes{db=\"db0\"}") > 0.0);
    assert_eq!(scraped.family("radish_tree_pages").count(), 1);
}

#[test]
fn how_far_replicas_are_behind() {
    let primary = Gateway::start(&["--repl-diskless-sync-delay", "0"]);
    let replica = Gateway::start(&[]);
    let port = primary.server.connect().info("tcp_port");
    replica.server.connect().ask(&format!("REPLICAOF 127.0.0.1 {port}"));
    let mut resp = primary.server.connect();
    eventually("the replica follows", || resp.ask("INFO replication").contains("state=online"));
    let labels = format!("{{slave_ip=\"127.0.0.1\",slave_port=\"{}\"}}", replica.server.connect().info("tcp_port"));
    let (lag, lag_bytes) = (format!("radish_replica_lag_seconds{labels}"), format!("radish_replica_lag_bytes{labels}"));
    resp.ask("SET k v");
    let mut http = primary.connect();
    eventually("the replica has everything", || Scraped::of(&mut http).at(&lag_bytes) == 0.0);
    assert_eq!(Scraped::of(&mut http).at(&lag), 0.0);
    let mut followed = replica.connect();
    let link = format!("redis_master_link_up{{master_host=\"127.0.0.1\",master_port=\"{port}\"}}");
    assert_eq!(Scraped::of(&mut followed).at(&link), 1.0);
    // One that does not move falls behind.
    replica.server.signal("STOP");
    resp.ask("SET k w");
    eventually("it is behind", || Scraped::of(&mut http).at(&lag) > 0.5);
    let scraped = Scraped::of(&mut http);
    assert!(scraped.at(&lag_bytes) > 20.0, "{}", scraped.at(&lag_bytes));
    replica.server.signal("CONT");
    eventually("it catches up", || Scraped::of(&mut http).at(&lag) == 0.0);
}
