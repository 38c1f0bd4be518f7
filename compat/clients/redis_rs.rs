//! An application on redis-rs, blocking and asynchronous: HOST PORT PROTOCOL.
//!
//! Prints a line of JSON per scenario; which scenarios there are is said in `../README.md`.

use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{
    AsyncTypedCommands, Connection, ConnectionLike, CopyOptions, Direction, ErrorKind, ExistenceCheck, Expiry,
    IntegerReplyOrNoOp, LposOptions, Pipeline, ProtocolVersion, PushKind, RedisResult, ScanOptions, ServerErrorKind,
    SetExpiry, SetOptions, TypedCommands, Value,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const JOBS: usize = 20_000;
const SUBSCRIBERS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the server is and how to speak with it.
struct App {
    client: redis::Client,
    protocol: u8,
}

type Scenario = fn(&App) -> RedisResult<()>;

/// The scenarios and the commands that each cannot do without.
const SCENARIOS: &[(&str, Scenario, &[&str])] = &[
    ("cache", cache, &[]),
    ("values", values, &[]),
    ("counters", counters, &[]),
    ("queue", queue, &[]),
    ("reliable_queue", reliable_queue, &[]),
    ("transactions", transactions, &[]),
    ("pipelines", pipelines, &[]),
    ("scan", scan, &[]),
    ("client_commands", client_commands, &[]),
    ("notifications", notifications, &[]),
    ("messages", messages, &[]),
    ("fan_out", fan_out, &[]),
    ("async_mixed", async_mixed, &[]),
    ("hashes", hashes, &["hset", "hscan"]),
    ("sets", sets, &["sadd", "sinter"]),
    ("sorted_sets", sorted_sets, &["zadd", "bzpopmax"]),
    ("streams", streams, &["xadd", "xreadgroup"]),
    ("scripts", scripts, &["eval", "evalsha", "script|load"]),
];

impl App {
    fn connect(&self) -> RedisResult<Connection> {
        let connection = self.client.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        Ok(connection)
    }

    /// The commands among `needs` that the server does not have.
    fn lacks(&self, needs: &[&str]) -> RedisResult<Vec<String>> {
        let found: Vec<Value> = redis::cmd("COMMAND").arg("INFO").arg(needs).query(&mut self.connect()?)?;
        let missing = needs.iter().zip(found).filter(|(_, info)| *info == Value::Nil);
        Ok(missing.map(|(name, _)| (*name).to_owned()).collect())
    }
}

/// Runs `work(0)` … `work(count - 1)` at once, each on a connection of its own.
fn in_threads(app: &App, count: usize, work: impl Fn(usize, Connection) -> RedisResult<()> + Sync) {
    thread::scope(|scope| {
        for number in 0..count {
            let work = &work;
            scope.spawn(move || work(number, app.connect().expect("a connection")).expect("a thread's work"));
        }
    });
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether an error's code is `code` and its text has `detail`.
fn refuses<T: std::fmt::Debug>(reply: RedisResult<T>, code: &str, detail: &str) {
    let error = reply.expect_err("an error");
    assert_eq!(error.code(), Some(code), "{error}");
    assert!(error.to_string().contains(detail), "{error}");
}

fn cache(app: &App) -> RedisResult<()> {
    let mut r = app.connect()?;
    let _: () = r.set_ex("page:1", "<html>", 100)?;
    assert_eq!(r.get("page:1"), Ok(Some("<html>".to_owned())));
    assert!(matches!(r.ttl("page:1")?, IntegerReplyOrNoOp::IntegerReply(99..=100)));
    let lock = SetOptions::default().conditional_set(ExistenceCheck::NX).with_expiration(SetExpiry::PX(60_000));
    assert_eq!(r.set_options("lock", "me", lock.clone())?, Some("OK".to_owned()));
    assert_eq!(r.set_options("lock", "you", lock)?, None);
    let swap = SetOptions::default().conditional_set(ExistenceCheck::XX).with_expiration(SetExpiry::KEEPTTL).get(true);
    assert_eq!(r.set_options("lock", "you", swap)?, Some("me".to_owned()));
    assert!(matches!(r.pttl("lock")?, IntegerReplyOrNoOp::IntegerReply(50_001..)));
    assert_eq!(r.get_ex("page:1", Expiry::PERSIST)?, Some("<html>".to_owned()));
    assert!(matches!(r.ttl("page:1")?, IntegerReplyOrNoOp::ExistsButNotRelevant));
    assert!(matches!(r.ttl("none")?, IntegerReplyOrNoOp::NotExists));
    assert_eq!(r.get_del("page:1")?, Some("<html>".to_owned()));
    assert_eq!(r.mget(&["page:1", "lock", "none"])?, [None, Some("you".to_owned()), None]);
    assert!(r.mset_nx(&[("a", 1), ("b", 2)])?);
    assert!(!r.mset_nx(&[("b", 3), ("c", 3)])?);
    let _: () = r.pset_ex("brief", "x", 30)?;
    thread::sleep(Duration::from_millis(50));
    assert!(!r.exists("brief")?);
    let copied: bool = r.copy("lock", "lock2", CopyOptions::<&str>::default())?;
    assert!(copied);
    assert_eq!(r.unlink(&["lock", "lock2", "none"])?, 2);
    assert_eq!(command("TYPE lock").query::<String>(&mut r)?, "none");
    Ok(())
}

fn values(app: &App) -> RedisResult<()> {
    let mut r = app.connect()?;
    let every_byte: Vec<u8> = (0..256 * 5_000).map(|index| index as u8).collect();
    let key = &every_byte[..256];
    let _: () = r.set(key, &every_byte)?;
    let got: Vec<u8> = redis::cmd("GET").arg(key).query(&mut r)?;
    assert!(got == every_byte, "other bytes than were set");
    let text: String = (0..5_000).map(|number| format!(r#"{{"id":{number},"name":"user {number}"}},"#)).collect();
    let _: () = r.set("json", &text)?;
    assert_eq!(r.strlen("json")?, text.len());
    assert_eq!(r.append("json", "end")?, text.len() + 3);
    assert_eq!(r.setrange("json", 10, "HERE")?, text.len() + 3);
    assert_eq!(r.getrange("json", 8, 15)?, format!("{}HERE{}", &text[8..10], &text[14..16]));
    assert!(!r.setbit("bits", 100, true)?);
    assert!(r.getbit("bits", 100)?);
    assert_eq!((r.bitcount("bits")?, r.bit_not("inverted", "bits")?), (1, 13));
    let fields = "BITFIELD fields SET u8 0 200 INCRBY u8 0 100 GET i8 #0";
    assert_eq!(command(fields).query::<Vec<i64>>(&mut r)?, [0, 44, 44]);
    let _: () = r.mset(&[("one", "ohmytext"), ("other", "mynewtext")])?;
    assert_eq!(command("LCS one other").query::<String>(&mut r)?, "mytext");
    let matches: Value = command("LCS one other IDX").query(&mut r)?;
    assert_eq!(matches!(matches, Value::Map(_)), app.protocol == 3, "{matches:?}");
    assert_eq!(r.object_encoding("one")?, Some("embstr".to_owned()));
    refuses(r.lpush("json", "x"), "WRONGTYPE", "wrong kind of value");
    Ok(())
}

/// A command of words without spaces.
fn command(line: &str) -> redis::Cmd {
    let mut words = line.split(' ');
    let mut command = redis::cmd(words.next().unwrap_or_default());
    command.arg(words.collect::<Vec<_>>());
    command
}

fn counters(app: &App) -> RedisResult<()> {
    in_threads(app, 8, |_, mut mine| {
        for _ in 0..250 {
            let _: isize = mine.incr("hits", 1)?;
            let _: isize = mine.decr("stock", 2)?;
        }
        Ok(())
    });
    let mut r = app.connect()?;
    assert_eq!(r.mget(&["hits", "stock"])?, [Some("2000".to_owned()), Some("-4000".to_owned())]);
    let warmer: f64 = redis::cmd("INCRBYFLOAT").arg("temperature").arg(21.5).query(&mut r)?;
    assert_eq!(warmer, 21.5);
    let _: () = r.set("word", "x")?;
    refuses(r.incr("word", 1), "ERR", "not an integer");
    let _: () = r.set("large", i64::MAX)?;
    refuses(r.incr("large", 1), "ERR", "overflow");
    Ok(())
}

fn queue(app: &App) -> RedisResult<()> {
    let taken = Mutex::new(Vec::new());
    in_threads(app, 7, |number, mut mine| match number {
        0..4 => loop {
            let reply = mine.brpop(&["urgent", "jobs"], 60.0)?;
            let [_, job] = reply.expect("a job before the time is over");
            match job.parse::<usize>() {
                Ok(job) => taken.lock().expect("a lock").push(job),
                Err(_) => return Ok(()),
            }
        },
        4 | 5 => {
            let own: Vec<usize> = (number - 4..JOBS).step_by(2).collect();
            for batch in own.chunks(100) {
                let mut pipeline = redis::pipe();
                for &job in batch {
                    pipeline.lpush(if job % 10 == 0 { "urgent" } else { "jobs" }, job).ignore();
                }
                let _: () = pipeline.query(&mut mine)?;
            }
            Ok(())
        }
        _ => {
            wait_until("the jobs", || taken.lock().expect("a lock").len() >= JOBS);
            let _: usize = mine.lpush("jobs", &["stop"; 4])?;
            Ok(())
        }
    });
    let mut taken = taken.into_inner().expect("a lock");
    taken.sort_unstable();
    assert!(taken.iter().copied().eq(0..JOBS), "{} jobs arrived", taken.len());
    Ok(())
}

fn reliable_queue(app: &App) -> RedisResult<()> {
    let mut r = app.connect()?;
    let _: usize = r.rpush("todo", (0..500).collect::<Vec<usize>>())?;
    let done = Mutex::new(Vec::new());
    in_threads(app, 4, |number, mut mine| {
        let own = format!("doing:{number}");
        while let Some(job) = mine.blmove("todo", &own, Direction::Left, Direction::Right, 0.5)? {
            let job: usize = job.parse().expect("a number");
            if number == 0 && job % 50 < 2 {
                break; // It dies with the job in hand.
            }
            done.lock().expect("a lock").push(job);
            assert_eq!(mine.lrem(&own, 1, job)?, 1);
        }
        Ok(())
    });
    let mut done = done.into_inner().expect("a lock");
    let lost: Vec<usize> = redis::cmd("LRANGE").arg("doing:0").arg(0).arg(-1).query(&mut r)?;
    done.extend(lost);
    done.sort_unstable();
    assert!(done.iter().copied().eq(0..500), "{} jobs done", done.len());
    assert_eq!(r.lmpop(2, &["todo", "doing:1"], Direction::Left, 1)?, None);
    let _: usize = r.rpush("todo", &[1, 2, 3])?;
    let popped: (String, Vec<usize>) = command("BLMPOP 1 2 doing:1 todo LEFT COUNT 2").query(&mut r)?;
    assert_eq!(popped, ("todo".to_owned(), vec![1, 2]));
    let position: Option<usize> = r.lpos("todo", 3, LposOptions::default())?;
    assert_eq!(position, Some(0));
    Ok(())
}

fn transactions(app: &App) -> RedisResult<()> {
    let mut r = app.connect()?;
    let accounts = ["account:a", "account:b"];
    let _: () = r.mset(&[(accounts[0], 1_000), (accounts[1], 1_000)])?;
    in_threads(app, 4, |number, mut mine| {
        for _ in 0..50 {
            let moved: (bool, bool) = redis::transaction(&mut mine, &accounts, |mine, pipeline: &mut Pipeline| {
                let (a, b): (i64, i64) = redis::cmd("MGET").arg(&accounts).query(mine)?;
                pipeline.set(accounts[0], a - number as i64).set(accounts[1], b + number as i64).query(mine)
            })?;
            assert_eq!(moved, (true, true));
        }
        Ok(())
    });
    let balances: (i64, i64) = redis::cmd("MGET").arg(&accounts).query(&mut r)?;
    assert_eq!(balances, (700, 1_300));
    let mixed: RedisResult<Value> = redis::pipe().atomic().set("text", "x").incr("text", 1).get("text").query(&mut r);
    refuses(mixed, "ERR", "not an integer");
    assert_eq!(r.get("text")?, Some("x".to_owned()));
    let aborted: RedisResult<Value> = redis::pipe().atomic().set("text", "y").cmd("NOSUCH").query(&mut r);
    assert_eq!(aborted.expect_err("an error").kind(), ErrorKind::Server(ServerErrorKind::ExecAbort));
    assert_eq!(r.get("text")?, Some("x".to_owned()));
    Ok(())
}

fn pipelines(app: &App) -> RedisResult<()> {
    let mut r = app.connect()?;
    let mut writes = redis::pipe();
    let mut reads = redis::pipe();
    for number in 0..10_000 {
        writes.set(format!("p:{number}"), number * 7).ignore();
        reads.get(format!("p:{number}"));
    }
    let _: () = writes.query(&mut r)?;
    let got: Vec<usize> = reads.query(&mut r)?;
    assert!(got.iter().copied().eq((0..10_000).map(|number| number * 7)));
    let mut mixed = redis::pipe();
    mixed.get("p:1").lpush("p:1", "wrong type").get("p:2").ignore_errors();
    let replies: Vec<RedisResult<Value>> = mixed.query(&mut r)?;
    assert!(replies[0].is_ok() && replies[2].is_ok());
    assert_eq!(replies[1].as_ref().expect_err("an error").code(), Some("WRONGTYPE"));
    Ok(())
}

fn scan(app: &App) -> RedisResult<()> {
    let mut r = app.connect()?;
    let mut writes = redis::pipe();
    for number in 0..5_000 {
        writes.set(format!("user:{number}:name"), number).ignore();
    }
    for number in 0..500 {
        writes.rpush(format!("user:{number}:list"), number).ignore();
    }
    let _: () = writes.query(&mut r)?;
    assert_eq!(redis::cmd("DBSIZE").query::<usize>(&mut r)?, 5_500);
    let names = ScanOptions::default().with_pattern("user:*:name").with_count(100);
    let found: RedisResult<BTreeSet<String>> = r.scan_options(names)?.collect();
    assert_eq!(found?, (0..5_000).map(|number| format!("user:{number}:name")).collect());
    let lists: RedisResult<HashSet<String>> = r.scan_options(ScanOptions::default().with_type("list"))?.collect();
    assert_eq!(lists?.len(), 500);
    assert_eq!(r.keys("user:12*")?.len(), 111 + 11);
    let random: String = redis::cmd("RANDOMKEY").query(&mut r)?;
    assert!(random.starts_with("user:"));
    Ok(())
}

fn client_commands(app: &App) -> RedisResult<()> {
    let (mut r, mut named) = (app.connect()?, app.connect()?);
    let _: () = named.client_setname("worker-one")?;
    assert_eq!(named.client_getname()?, Some("worker-one".to_owned()));
    let info: String = command("CLIENT INFO").query(&mut named)?;
    let info: HashMap<&str, &str> = info.trim().split(' ').filter_map(|field| field.split_once('=')).collect();
    assert_eq!((info["name"], info["lib-name"], info["resp"]), ("worker-one", "redis-rs", &*app.protocol.to_string()));
    thread::scope(|scope| {
        let id = named.client_id().expect("an id");
        let waiting = scope.spawn(|| named.blpop("never", 60.0));
        wait_until("the client to block", || command(&format!("CLIENT UNBLOCK {id}")).query(&mut r) == Ok(1));
        assert_eq!(waiting.join().expect("the thread"), Ok(None));
    });
    let id = named.client_id()?;
    assert_eq!(command(&format!("CLIENT KILL ID {id}")).query(&mut r), Ok(1));
    assert!(named.ping().expect_err("an error").is_connection_dropped());
    assert!(!named.is_open());
    let _: () = command("CLIENT PAUSE 50 WRITE").query(&mut r)?;
    let begin = Instant::now();
    let _: () = r.set("after", "pause")?;
    assert!(begin.elapsed() > Duration::from_millis(30));
    let config: BTreeMap<String, String> = command("CONFIG GET maxmemory databases").query(&mut r)?;
    assert_eq!((&*config["maxmemory"], &*config["databases"]), ("0", "16"));
    let info: redis::InfoDict = redis::cmd("INFO").query(&mut r)?;
    assert!(info.get::<String>("redis_version").is_some() && info.get::<usize>("used_memory") > Some(0));
    assert_eq!(command("COMMAND GETKEYS MSET a 1 b 2").query::<Vec<String>>(&mut r)?, ["a", "b"]);
    assert!(!command("OBJECT HELP").query::<Vec<String>>(&mut r)?.is_empty());
    let (seconds, _): (u64, u64) = redis::cmd("TIME").query(&mut r)?;
    assert!(seconds > 1_700_000_000);
    Ok(())
}

fn notifications(app: &App) -> RedisResult<()> {
    let (mut r, mut listening) = (app.connect()?, app.connect()?);
    let _: () = command("CONFIG SET notify-keyspace-events KEA").query(&mut r)?;
    let mut events = listening.as_pubsub();
    events.psubscribe("__keyevent@0__:*")?;
    let noted = SetOptions::default().with_expiration(SetExpiry::PX(20));
    let _: Option<String> = r.set_options("noted", 1, noted)?;
    let _: usize = r.rpush("noted-list", 1)?;
    let _: () = r.rename("noted-list", "renamed")?;
    let _: usize = r.del("renamed")?;
    let mut got = BTreeSet::new();
    for _ in 0..7 {
        let message = events.get_message()?;
        let event = message.get_channel_name().split_once(':').expect("an event").1;
        got.insert(format!("{event} {}", message.get_payload::<String>()?));
    }
    let wanted =
        "set noted|expire noted|rpush noted-list|rename_from noted-list|rename_to renamed|del renamed|expired noted";
    assert_eq!(got, wanted.split('|').map(str::to_owned).collect());
    drop(events);
    assert_eq!(listening.ping()?, "PONG");
    let _: () = redis::cmd("CONFIG").arg(&["SET", "notify-keyspace-events", ""]).query(&mut r)?;
    Ok(())
}

fn messages(app: &App) -> RedisResult<()> {
    let (mut r, mut listening) = (app.connect()?, app.connect()?);
    let mut channels = listening.as_pubsub();
    channels.subscribe(&["news", "other"])?;
    channels.psubscribe("chat:*")?;
    assert_eq!(
        (r.publish("news", "hello")?, r.publish("chat:7", &[255_u8, 0][..])?, r.publish("none", "x")?),
        (1, 1, 0)
    );
    let message = channels.get_message()?;
    assert_eq!((message.get_channel_name(), message.get_payload_bytes()), ("news", &b"hello"[..]));
    let message = channels.get_message()?;
    assert_eq!(message.get_pattern::<String>()?, "chat:*");
    assert_eq!((message.get_channel_name(), message.get_payload_bytes()), ("chat:7", &[255, 0][..]));
    assert_eq!(
        command("PUBSUB NUMSUB news none").query::<Vec<(String, usize)>>(&mut r)?,
        [("news".to_owned(), 1), ("none".to_owned(), 0)]
    );
    channels.unsubscribe("news")?;
    assert_eq!((r.publish("news", "x")?, r.publish("other", "y")?), (0, 1));
    assert_eq!(channels.get_message()?.get_payload::<String>()?, "y");
    channels.ping::<Value>()?;
    if app.protocol == 3 {
        // Pushes come between the replies of an ordinary connection.
        let (sender, pushes) = std::sync::mpsc::channel();
        let mut mixed = app.connect()?;
        mixed.set_push_sender(sender);
        mixed.subscribe_resp3("mixed")?;
        let _: usize = r.publish("mixed", "pushed")?;
        wait_until("the push", || {
            assert_eq!(mixed.get("none"), Ok(None));
            pushes.try_iter().any(|push| push.kind == PushKind::Message)
        });
    }
    Ok(())
}

fn fan_out(app: &App) -> RedisResult<()> {
    let rounds = 20;
    let ready = AtomicUsize::new(0);
    in_threads(app, SUBSCRIBERS + 1, |number, mut mine| {
        if number == SUBSCRIBERS {
            wait_until("the subscribers", || ready.load(Ordering::Relaxed) == SUBSCRIBERS);
            for round in 0..rounds {
                assert_eq!(mine.publish("fan", round)?, SUBSCRIBERS);
            }
            return Ok(());
        }
        let mut channel = mine.as_pubsub();
        channel.subscribe("fan")?;
        ready.fetch_add(1, Ordering::Relaxed);
        for round in 0..rounds {
            assert_eq!(channel.get_message()?.get_payload::<usize>()?, round);
        }
        Ok(())
    });
    Ok(())
}

/// Many tasks over one multiplexed connection, and a connection that comes back when it is lost.
fn async_mixed(app: &App) -> RedisResult<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let shared = app.client.get_multiplexed_async_connection().await?;
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..500_usize {
            let mut shared = shared.clone();
            tasks.spawn(async move {
                let _: () = shared.set(format!("t:{number}"), number).await?;
                let _: usize = shared.rpush(format!("t:list:{number}"), (0..=number % 10).collect::<Vec<_>>()).await?;
                assert_eq!(shared.get(format!("t:{number}")).await?, Some(number.to_string()));
                assert_eq!(shared.llen(format!("t:list:{number}")).await?, number % 10 + 1);
                shared.incr("t:all", 1).await
            });
        }
        while let Some(done) = tasks.join_next().await {
            let _: isize = done.expect("a task's work")?;
        }
        let mut lasting = app.client.get_connection_manager().await?;
        assert_eq!(lasting.get("t:all").await?, Some("500".to_owned()));
        let id = lasting.client_id().await?;
        let mut shared = shared;
        let killed: usize = command(&format!("CLIENT KILL ID {id}")).query_async(&mut shared).await?;
        assert_eq!(killed, 1);
        for _ in 0..100 {
            if lasting.get("t:1").await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the connection does not come back");
    })
}

fn hashes(app: &App) -> RedisResult<()> {
    let mut r = app.connect()?;
    let _: () = r.hset_multiple("user:1", &[("name", "Ada"), ("age", "36")])?;
    assert_eq!((r.hset("user:1", "age", 37)?, r.hset("user:1", "city", "London")?), (0, 1));
    let all = r.hgetall("user:1")?;
    assert_eq!((all.len(), &*all["name"], &*all["age"], &*all["city"]), (3, "Ada", "37", "London"));
    assert_eq!((r.hincr("user:1", "age", 1)?, r.hlen("user:1")?, r.hexists("user:1", "none")?), (38.0, 3, false));
    assert_eq!(r.hdel("user:1", &["city", "none"])?, 1);
    let mut writes = redis::pipe();
    for number in 0..2_000 {
        writes.hset("large", format!("field:{number}"), number).ignore();
    }
    let _: () = writes.query(&mut r)?;
    let found: RedisResult<HashMap<String, usize>> = r.hscan_match("large", "field:1*")?.collect();
    assert_eq!(found?.len(), 1 + 10 + 100 + 1_000);
    Ok(())
}

fn sets(app: &App) -> RedisResult<()> {
    let mut r = app.connect()?;
    let of = |members: &[&str]| members.iter().map(|&member| member.to_owned()).collect::<HashSet<_>>();
    assert_eq!(r.sadd("tags:a", &["x", "y", "z", "1"])?, 4);
    assert_eq!(r.sadd("tags:b", &["y", "z", "w"])?, 3);
    assert_eq!(r.sinter(&["tags:a", "tags:b"])?, of(&["y", "z"]));
    assert_eq!(r.sunion(&["tags:a", "tags:b"])?, of(&["1", "w", "x", "y", "z"]));
    assert_eq!(r.sdiff(&["tags:a", "tags:b"])?, of(&["1", "x"]));
    assert_eq!(r.smismember("tags:a", &["x", "none"])?, [true, false]);
    assert!(r.smove("tags:a", "tags:b", "x")?);
    assert_eq!(r.smembers("tags:b")?, of(&["w", "x", "y", "z"]));
    Ok(())
}

fn sorted_sets(app: &App) -> RedisResult<()> {
    let mut r = app.connect()?;
    assert_eq!(r.zadd_multiple("board", &[(10.0, "ada"), (20.5, "bob"), (60.0, "eve")])?, 3);
    assert_eq!(
        (r.zincr("board", "eve", 100)?, r.zscore("board", "bob")?, r.zscore("board", "none")?),
        (160.0, Some(20.5), None)
    );
    let ranked = [("ada".to_owned(), 10.0), ("bob".to_owned(), 20.5), ("eve".to_owned(), 160.0)];
    assert_eq!(r.zrange_withscores("board", 0, -1)?, ranked);
    assert_eq!((r.zrevrank("board", "eve")?, r.zcount("board", "(10", "+inf")?, r.zcard("board")?), (Some(0), 2, 3));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| app.connect()?.bzpopmax(&["none", "later"], 60.0));
        let _: RedisResult<usize> = r.zadd("later", "job", 5);
        assert_eq!(waiting.join().expect("the thread"), Ok(Some(("later".to_owned(), "job".to_owned(), 5.0))));
    });
    Ok(())
}

fn streams(app: &App) -> RedisResult<()> {
    let mut r = app.connect()?;
    let id: String = redis::cmd("XADD").arg(&["events", "*", "kind", "login", "user", "1"]).query(&mut r)?;
    let _: String = redis::cmd("XADD").arg(&["events", "*", "kind", "logout"]).query(&mut r)?;
    let range = r.xrange_all("events")?;
    assert_eq!((range.ids.len(), &range.ids[0].id, range.ids[0].get("user")), (2, &id, Some("1".to_owned())));
    let _: () = r.xgroup_create("events", "workers", 0)?;
    let options = StreamReadOptions::default().group("workers", "one").count(1);
    let read: Option<StreamReadReply> = r.xread_options(&["events"], &[">"], &options)?;
    assert_eq!(read.expect("an entry").keys[0].ids[0].id, id);
    assert_eq!(r.xpending("events", "workers")?.count(), 1);
    assert_eq!(r.xack("events", "workers", &[&id])?, 1);
    assert_eq!(r.xlen("events")?, 2);
    Ok(())
}

fn scripts(app: &App) -> RedisResult<()> {
    let mut r = app.connect()?;
    let script = redis::Script::new("return {KEYS[1], ARGV[1], 3}");
    let reply: (String, String, usize) = script.key("key").arg("value").invoke(&mut r)?;
    assert_eq!(reply, ("key".to_owned(), "value".to_owned(), 3));
    Ok(())
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let escape = |character: char| match character {
        '"' | '\\' => format!("\\{character}"),
        '\u{0}'..='\u{1f}' => format!("\\u{:04x}", character as u32),
        _ => character.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

/// What the first panic since the last look said, wherever it happened.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

fn outcome(run: Scenario, app: &App) -> Option<String> {
    let result = thread::scope(|scope| scope.spawn(|| run(app)).join());
    let panic = PANIC.lock().expect("a lock").take();
    panic.or_else(|| result.ok()?.err().map(|error| error.to_string()))
}

fn main() -> RedisResult<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, host, port, protocol] = &arguments[..] else { panic!("usage: redis_rs HOST PORT PROTOCOL") };
    let protocol = if protocol == "3" { ProtocolVersion::RESP3 } else { ProtocolVersion::RESP2 };
    let address = redis::ConnectionAddr::Tcp(host.clone(), port.parse().expect("a port"));
    let settings = redis::RedisConnectionInfo::default().set_protocol(protocol);
    let client =
        redis::Client::open(redis::IntoConnectionInfo::into_connection_info(address)?.set_redis_settings(settings))?;
    let app = App { client, protocol: if protocol == ProtocolVersion::RESP3 { 3 } else { 2 } };
    std::panic::set_hook(Box::new(|panic| {
        PANIC.lock().expect("a lock").get_or_insert(panic.to_string());
    }));
    for &(name, run, needs) in SCENARIOS {
        let _: () = app.connect()?.flushall()?;
        let missing = if needs.is_empty() { Vec::new() } else { app.lacks(needs)? };
        if !missing.is_empty() {
            println!(r#"{{"scenario":"{name}","needs":{}}}"#, quoted(&missing.join(" ")));
            continue;
        }
        let begin = Instant::now();
        let error = outcome(run, &app).map_or("null".to_owned(), |text| quoted(&text));
        println!(r#"{{"scenario":"{name}","seconds":{},"error":{error}}}"#, begin.elapsed().as_secs_f64());
    }
    Ok(())
}
