use super::*;
use crate::client::{Client, Endpoint, Identity};
use crate::command::{Batch, Turns, execute};
use crate::config::Settings;
use crate::resp::OwnedRequest;
use crate::spec::Table;

fn session(state: &State) -> Session {
    let nowhere = Endpoint::Unix("".into());
    let client = Client::new(state.clients.next_id(), nowhere.clone(), nowhere, -1, 0);
    Session::new(Identity::new(Arc::new(client), state.acl.default_account(), true))
}

fn ask(state: &State, session: &mut Session, words: &[&str]) -> String {
    ask_among_others(state, session, words, None)
}

/// The same on a thread that executes more together, if it has `turns`.
fn ask_among_others(state: &State, session: &mut Session, words: &[&str], turns: Option<&Turns>) -> String {
    let request = OwnedRequest::new(words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>().into_iter());
    let mut batch = Batch::default();
    batch.push(state, b"", request.args());
    let mut reply = Reply::new(Protocol::Resp2);
    let prepared = batch.request(b"", 0);
    let prepared = turns.map_or(prepared, |turns| prepared.among_others(turns));
    execute(state, session, request.args(), prepared, &mut reply);
    String::from_utf8_lossy(reply.as_bytes()).into_owned()
}

fn shard_of(state: &State, key: &str) -> usize {
    state.keyspace.shard_of(state.keyspace.key(key.as_bytes()))
}

/// A key whose shard is none of `others`.
fn key_elsewhere(state: &State, others: &[&str]) -> String {
    let shards: Vec<usize> = others.iter().map(|key| shard_of(state, key)).collect();
    (0..)
        .map(|number| format!("key:{number}"))
        .find(|key| !shards.contains(&shard_of(state, key)))
        .expect("there is one")
}

#[test]
fn what_is_proven_takes_the_shards_of_its_keys() {
    let state = State::new(Settings::new(), Table::new(&[]).unwrap(), 4).unwrap();
    let mut client = session(&state);
    let other = key_elsewhere(&state, &["a"]);
    let proven = "return redis.call('GET', KEYS[1])";
    let (all, one) = (state.keyspace.all_shards(), ShardSet::single(shard_of(&state, "a")));
    let both = one.union(ShardSet::single(shard_of(&state, &other)));
    let taken = |client: &Session, words: &[&str]| {
        let request = OwnedRequest::new(words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>().into_iter());
        let spec = state.table.lookup(request.args().at(0)).unwrap();
        shards(&state, client, spec, request.args())
    };
    let digest = Digest::of(proven.as_bytes());
    let evalsha = ["EVALSHA", digest.as_str(), "1", "a"];
    assert_eq!(taken(&client, &["EVAL", proven, "1", "a"]), all, "nobody knows it yet");
    assert_eq!(taken(&client, &evalsha), all, "nobody knows it yet");
    ask(&state, &mut client, &["EVAL", proven, "1", "a"]);
    ask(&state, &mut client, &["EVAL", "return redis.call('GET', 'a')", "0"]);
    for (words, expected) in [
        (["EVAL", proven, "1", "a"].as_slice(), one),
        (&["EVAL_RO", proven, "1", "a", "b"], one),
        (&["EVAL", proven, "2", "a", &other], both),
        (&["EVALSHA_RO", digest.as_str(), "2", &other, "a"], both),
        (&evalsha, one),
        (&["EVAL", proven, "0"], all),
        (&["EVAL", proven, "7", "a"], all),
        (&["EVAL", proven, "x", "a"], all),
        (&["EVAL", "return redis.call('GET', 'a')", "1", "a"], all),
        (&["EVAL", "return 'unknown'", "1", "a"], all),
        (&["FCALL", "f", "1", "a"], all),
    ] {
        assert_eq!(taken(&client, words), expected, "{words:?}");
    }
    client.obeys = true;
    assert_eq!(taken(&client, &evalsha), all, "what the primary sends");
    client.obeys = false;
    ask(&state, &mut client, &["SCRIPT", "FLUSH"]);
    assert_eq!(taken(&client, &evalsha), all);
}

#[test]
fn scripts_on_different_keys_run_at_the_same_time() {
    let state = &State::new(Settings::new(), Table::new(&[]).unwrap(), 2).unwrap();
    let mut client = session(state);
    let (one, other) = ("a", &key_elsewhere(state, &["a"]));
    let waits =
        "repeat local asked = redis.call('GET', KEYS[1]) redis.call('PUBLISH', 'rounds', '') until asked == ARGV[1]";
    let adds = "return redis.call('INCRBY', KEYS[1], ARGV[1])";
    // Never past a limit.
    ask(state, &mut client, &["CONFIG", "SET", "busy-reply-threshold", "0"]);
    for script in [waits, adds] {
        ask(state, &mut client, &["SCRIPT", "LOAD", script]);
    }
    std::thread::scope(|scope| {
        // While somebody has a shard, scripts run on keys of another one, and those of its own wait for it.
        let held = state.keyspace.lock(ShardSet::single(shard_of(state, one)));
        let run = move |key: &str| ask(state, &mut session(state), &["EVAL", adds, "1", key, "5"]);
        assert_eq!(scope.spawn(move || run(other)).join().unwrap(), ":5\r\n");
        let waiting = scope.spawn(move || run(one));
        assert_eq!(scope.spawn(move || run(other)).join().unwrap(), ":10\r\n");
        drop(held);
        assert_eq!(waiting.join().unwrap(), ":5\r\n");

        // One goes on for as long as nobody ends it; meanwhile all else is done elsewhere.
        let long = scope.spawn(|| ask(state, &mut session(state), &["EVAL", waits, "1", one, "never"]));
        while state.scripts.running.kill(true) != Err(Unkillable::IsOther) {
            std::thread::yield_now();
        }
        for round in 0..100 {
            assert_eq!(run(other), format!(":{}\r\n", 15 + round * 5));
        }
        assert_eq!(ask(state, &mut client, &["GET", other]), "$3\r\n510\r\n");
        assert!(!long.is_finished());
        assert_eq!(ask(state, &mut client, &["SCRIPT", "KILL"]), "+OK\r\n");
        assert!(long.join().unwrap().contains("Script killed by user"));
    });
}

#[test]
fn a_key_that_a_proof_has_missed_is_refused() {
    let state = State::new(Settings::new(), Table::new(&[]).unwrap(), 4).unwrap();
    let mut client = session(&state);
    let other = key_elsewhere(&state, &["a"]);
    let text = format!("return redis.call('SET', '{other}', 1)");
    let digest = Digest::of(text.as_bytes());
    state.scripts.insert(digest, text.as_bytes(), (Shebang::default(), true), true);
    let answer = ask(&state, &mut client, &["EVALSHA", digest.as_str(), "1", "a"]);
    assert!(answer.starts_with("-ERR Script attempted to access a key that it was not given"), "{answer}");
    assert_eq!(ask(&state, &mut client, &["EXISTS", &other]), ":0\r\n");
}

#[test]
fn threads_take_turns_with_scripts_that_may_use_any_key() {
    let state = &State::new(Settings::new(), Table::new(&[]).unwrap(), 2).unwrap();
    let run = |turns: &Turns, words: &[&str]| ask_among_others(state, &mut session(state), words, Some(turns));
    let adds = ["EVAL", "return redis.call('INCR', 'n')", "0"];
    let ours = Turns::default();
    assert_eq!(run(&ours, &adds), ":1\r\n");
    std::thread::scope(|scope| {
        // Between the scripts of this thread, what wants few shards or is run alone goes on.
        assert_eq!(scope.spawn(|| run(&Turns::default(), &["INCR", "n"])).join().unwrap(), ":2\r\n");
        assert_eq!(scope.spawn(|| ask(state, &mut session(state), &adds)).join().unwrap(), ":3\r\n");
        assert_eq!(run(&ours, &["INCR", "n"]), ":4\r\n");
        assert!(state.keyspace.take_turn(|| true).is_none(), "the turn is kept");
        for ends in [["PING"].as_slice(), &["DBSIZE"], &["KEYS", "none"]] {
            run(&ours, ends);
            assert!(state.keyspace.take_turn(|| true).is_some(), "{ends:?} ends the turn");
            run(&ours, &["EVAL", "return 1", "0"]);
            assert!(state.keyspace.take_turn(|| true).is_none());
        }
        let waits = scope.spawn(|| run(&Turns::default(), &["EVAL", "return redis.call('SET', 'm', 5)", "0"]));
        // Whoever waits gets the turn in the end, and it ends with whoever had it.
        while !waits.is_finished() {
            assert_eq!(run(&ours, &["EVAL", "return redis.call('EXISTS', 'none')", "0"]), ":0\r\n");
        }
        assert_eq!(waits.join().unwrap(), "+OK\r\n");
        ours.end();
        assert!(state.keyspace.take_turn(|| true).is_some());
    });
}
