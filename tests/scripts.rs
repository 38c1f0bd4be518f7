//! `EVAL` and its kin, through a socket.

use crate::support::{Connection, Server, eventually};
use std::time::Duration;

#[test]
fn values_become_replies() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for (script, reply) in [
        ("return 'text'", "text"),
        ("return 3.99", "3"),
        ("return -3.99", "-3"),
        ("return 2^63", "-9223372036854775808"),
        ("return true", "1"),
        ("return false", "nil"),
        ("return", "nil"),
        ("return {1, 'a', {2}, nil, 3}", "[1 a [2]]"),
        ("return {ok = 'fine\\n'}", "fine "),
        ("return {err = 'MINE it failed'}", "(MINE it failed)"),
        ("return {{ok = 'fine\\0r'}, {err = 'MINE\\0'}, redis.error_reply('fai\\0led')}", "[fine (MINE) (ERR fai)]"),
        ("return redis.error_reply('it failed')", "(it failed)"),
        ("return redis.error_reply('failed')", "(ERR failed)"),
        ("return redis.status_reply('fine')", "fine"),
        ("return {double = 3.5}", "3.5"),
        ("return {map = {a = 1}}", "[a 1]"),
        ("return {set = {a = true}}", "[a]"),
        ("return {big_number = '12\\r3'}", "12 3"),
        ("return {verbatim_string = {string = 's', format = 'txt'}}", "s"),
        ("return {ok = 5}", "[]"),
        ("return {false, function() end}", "[nil nil]"),
        ("return KEYS", "[k]"),
        ("return ARGV", "[a b]"),
    ] {
        assert_eq!(client.ask_words(&["EVAL", script, "1", "k", "a", "b"]), reply, "{script}");
    }
    client.ask("HELLO 3");
    for (script, reply) in [
        ("return {map = {a = 1}}", "{a 1}"),
        ("return {set = {a = true}}", "~[a]"),
        ("return {double = 3.5}", "3.5"),
        ("return true", "1"),
        ("redis.setresp(3) return true", "t"),
        ("redis.setresp(3) return {false, 1}", "[f 1]"),
    ] {
        assert_eq!(client.ask_words(&["EVAL", script, "0"]), reply, "{script}");
    }
    // A table within itself has an end.
    let nested = client.ask_words(&["EVAL", "local t = {} t[1] = t return t", "0"]);
    assert!(nested.contains("[(ERR reached lua stack limit)]"), "{nested}");
}

#[test]
fn replies_become_values() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > RPUSH l a b
        2
        > HSET h f v
        1
        > ZADD z 1.5 m
        1
        ",
    );
    for (script, reply) in [
        ("return type(redis.call('get', 'none'))", "boolean"),
        ("return redis.call('set', 'k', 'v').ok", "OK"),
        ("return redis.call('lrange', 'l', 0, -1)[2]", "b"),
        ("return redis.call('incrby', 'n', 2) + 1", "3"),
        ("return redis.pcall('incr', 'l').err", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("return redis.call('hgetall', 'h')", "[f v]"),
        ("redis.setresp(3) return redis.call('hgetall', 'h').map.f", "v"),
        ("redis.setresp(3) return redis.call('zscore', 'z', 'm').double * 2", "3"),
        ("redis.setresp(3) return type(redis.call('get', 'none'))", "nil"),
        ("return redis.call('set', 'k', 2^53) and redis.call('get', 'k')", "9007199254740992"),
        // Redis reads what is written as unsigned as if it were signed.
        ("return cmsgpack.unpack('\\207' .. ('\\255'):rep(8))", "-1"),
        // Of what is captured, a table is asked for the first alone.
        ("return string.gsub('1', '()(', {})", "1"),
        ("return redis.call('set', 'k', 0.1) and redis.call('get', 'k')", "0.1"),
    ] {
        assert_eq!(client.ask_words(&["EVAL", script, "0"]), reply, "{script}");
    }
}

#[test]
fn errors_say_where_they_arose() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for (script, text) in [
        ("return redis.call('nosuch')", "ERR Unknown Redis command called from script script: SHA, on @user_script:1."),
        (
            "return redis.call('get')",
            "ERR Wrong number of args calling Redis command from script script: SHA, on @user_script:1.",
        ),
        ("\n\nredis.call('set', 'k', 'v', 'XX', 'NX')", "ERR syntax error script: SHA, on @user_script:3."),
        (
            "return redis.call('eval', 'return 1', 0)",
            "ERR This Redis command is not allowed from script script: SHA, on @user_script:1.",
        ),
        (
            "return redis.call()",
            "ERR Please specify at least one argument for this redis lib call script: SHA, on @user_script:1.",
        ),
        (
            "return redis.call({})",
            "ERR Lua redis lib command arguments must be strings or integers script: SHA, on @user_script:1.",
        ),
        ("error('mine')", "ERR user_script:1: mine script: SHA, on @user_script:1."),
        ("error({err = 'MINE text'})", "MINE text script: SHA, on @user_script:1."),
        // What follows a zero byte others do not see.
        ("error('mine\\0yours')", "ERR user_script:1: mine script: SHA, on @user_script:1."),
        ("error({err = 'MINE text\\0yours'})", "MINE text script: SHA, on @user_script:1."),
        ("error({err = 5})", "5 script: SHA, on @user_script:1."),
        ("error({err = -1.5})", "-1.5 script: SHA, on @user_script:1."),
        ("error({})", "ERR unknown error script: SHA, on @user_script:1."),
        ("error()", "ERR nil script: SHA, on @user_script:1."),
        (
            "return none",
            "ERR user_script:1: Script attempted to access nonexistent global variable 'none' script: SHA, on @user_script:1.",
        ),
        ("x = 1", "ERR user_script:1: Attempt to modify a readonly table script: SHA, on @user_script:1."),
        (
            "local x\nx.y = 1",
            "ERR user_script:2: attempt to index local 'x' (a nil value) script: SHA, on @user_script:2.",
        ),
        (
            "cjson.decode('x')",
            "ERR user_script:1: Expected value but found invalid token at character 1 script: SHA, on @user_script:1.",
        ),
        (
            "local f = cjson.decode f()",
            "ERR user_script:1: bad argument #1 to 'f' (expected 1 argument) script: SHA, on @user_script:1.",
        ),
        (
            "pairs(5)",
            "ERR user_script:1: bad argument #1 to 'pairs' (table expected, got number) script: SHA, on @user_script:1.",
        ),
    ] {
        let digest = client.ask_words(&["SCRIPT", "LOAD", script]);
        let expected = format!("({})", text.replace("SHA", &digest));
        assert_eq!(client.ask_words(&["EVAL", script, "0"]), expected, "{script}");
        assert_eq!(client.ask_words(&["EVALSHA", &digest, "0"]), expected, "{script}");
    }
    assert_eq!(
        client.ask_words(&["EVAL", "return 1 )", "0"]),
        "(ERR Error compiling script (new function): user_script:1: '<eof>' expected near ')')"
    );
    // What is caught is a text, or a table.
    for (script, reply) in [
        ("local _, e = pcall(redis.call, 'nosuch') return e", "ERR Unknown Redis command called from script"),
        ("local _, e = pcall(function() error('x') end) return e", "user_script:1: x"),
        ("local _, e = pcall(error, {x = 1}) return type(e)", "table"),
        (
            "local _, e = xpcall(function() redis.call('x') end, function(e) return e.err end) return e",
            "ERR Unknown Redis command called from script",
        ),
        (
            "local c = coroutine.create(function() redis.call('x') end) local _, e = coroutine.resume(c) return type(e)",
            "table",
        ),
        ("local _, e = pcall(cjson.decode, 'x') return e", "Expected value but found invalid token at character 1"),
    ] {
        assert_eq!(client.ask_words(&["EVAL", script, "0"]), reply, "{script}");
    }
    assert_eq!(client.ask("PING"), "PONG");
}

#[test]
fn interpreters_go_with_the_scripts_of_all_threads() {
    let server = Server::start(&["--threads", "2"]);
    let mut clients = [server.connect(), server.connect()];
    clients.iter_mut().for_each(|client| assert_eq!(client.ask("EVAL return{} 0"), "[]"));
    let mut client = server.connect();
    let memory = |client: &mut Connection| client.info("used_memory_lua").parse::<usize>().expect("a number");
    assert!(memory(&mut client) > 0);
    assert_eq!(client.ask("SCRIPT FLUSH"), "OK");
    eventually("the end of the interpreters", || memory(&mut client) == 0);
}

#[test]
fn scripts_leave_nothing_behind() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let refused = "Attempt to modify a readonly table";
    for script in [
        "redis.call = nil",
        "string.rep = nil",
        "_G.x = 1",
        "KEYS = {}",
        "getmetatable('').__index = nil",
        "getmetatable(_G).__index = nil",
        "rawset(redis, 'call', nil)",
        "setmetatable(_G, {})",
        "local _, t = pairs(redis) t.call = nil",
        "local f, t = pairs(string) rawset(t, 'rep', nil)",
        "setmetatable({}, {__index = function() end}).x = redis.x = 1",
    ] {
        let reply = client.ask_words(&["EVAL", script, "0"]);
        assert!(
            reply.contains(refused) || reply.contains("'<eof>'") || reply.contains("near '='"),
            "{script}: {reply}"
        );
    }
    for name in
        ["print", "io", "debug", "require", "module", "package", "dofile", "loadfile", "setfenv", "getfenv", "newproxy"]
    {
        let reply = client.ask_words(&["EVAL", &format!("return {name}"), "0"]);
        assert!(reply.contains(&format!("nonexistent global variable '{name}'")), "{reply}");
    }
    for (script, reply) in [
        (
            "return {pcall(table.insert, redis, 1), pcall(table.insert, string, 7, 2)}",
            "[nil nil Attempt to modify a readonly table]",
        ),
        ("return {#redis, redis[1], string[7]}", "[0]"),
        ("return type(loadstring(string.dump(function() end)))", "nil"),
        ("return os.clock() >= 0 and os.time == nil", "1"),
        ("return loadstring('return ...', 'name')(5)", "5"),
        ("return ('x'):rep(3)", "xxx"),
        ("return next(redis) ~= nil and rawget(redis, 'call') ~= nil", "1"),
        ("math.randomseed(5) return math.floor(math.random() * 1000000)", "524839"),
        // There is a limit to the arguments of a function, but for those that run commands.
        (
            "local function g(n, ...) if n > 0 then return g(n - 1, 'a', ...) end return redis.sha1hex(...) end return pcall(g, 9000)",
            "nil",
        ),
        (
            "local function g(n, ...) if n > 0 then return g(n - 1, 'a', ...) end return redis.call('del', ...) end return g(7000)",
            "0",
        ),
        (
            "local function g(n, ...) if n > 0 then return g(n - 1, 'a', ...) end return redis.call('mget', ...) end return #g(9000)",
            "9000",
        ),
        ("return pcall(struct.unpack, ('c1'):rep(9000), ('x'):rep(9000))", "nil"),
        ("return pcall(cmsgpack.unpack, cmsgpack.pack('x'):rep(9000))", "nil"),
    ] {
        assert_eq!(client.ask_words(&["EVAL", script, "0"]), reply, "{script}");
    }
    // Others go on as if nothing had been.
    assert_eq!(client.ask_words(&["EVAL", "return redis.call('ping')", "0"]), "PONG");
}

#[test]
fn scripts_are_known_by_their_digests() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > EVALSHA 930269f31393d0be681588b6ab08dccee7d6bb67 0
        (NOSCRIPT No matching script. Please use EVAL.)
        > EVAL return(1) 0
        1
        > EVALSHA 930269F31393D0BE681588B6AB08DCCEE7D6BB67 0
        1
        > SCRIPT LOAD return(2)
        572625a1039fb30b308c236ab7091a2bd7724d22
        > SCRIPT EXISTS 572625a1039fb30b308c236ab7091a2bd7724d22 x 930269f31393d0be681588b6ab08dccee7d6bb67
        [1 0 1]
        > SCRIPT SHOW 572625a1039fb30b308c236ab7091a2bd7724d22
        return(2)
        > SCRIPT FLUSH x
        (ERR SCRIPT FLUSH only support SYNC|ASYNC option)
        > SCRIPT FLUSH ASYNC
        OK
        > SCRIPT EXISTS 572625a1039fb30b308c236ab7091a2bd7724d22
        [0]
        > EVALSHA 572625a1039fb30b308c236ab7091a2bd7724d22 0
        (NOSCRIPT No matching script. Please use EVAL.)
        > EVALSHA short 0
        (NOSCRIPT No matching script. Please use EVAL.)
        > EVAL return(1) 1
        (ERR Number of keys can't be greater than number of args)
        > EVAL return(1) -1
        (ERR Number of keys can't be negative)
        > EVAL return(1) x
        (ERR value is not an integer or out of range)
        > SCRIPT KILL
        (NOTBUSY No scripts in execution right now.)
        > SCRIPT DEBUG x
        (ERR Use SCRIPT DEBUG YES/SYNC/NO)
        > SCRIPT nosuch
        (ERR unknown subcommand 'nosuch'. Try SCRIPT HELP.)
        ",
    );
    for number in 0..600 {
        client.ask_words(&["EVAL", &format!("return {number}"), "0"]);
    }
    assert_eq!(client.info("number_of_cached_scripts"), "500");
    assert_eq!(client.info("evicted_scripts"), "100");
    assert!(client.info("used_memory_vm_eval").parse::<u64>().unwrap() > 10_000);
}

#[test]
fn the_first_line_says_what_a_script_needs() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let ask = |client: &mut crate::support::Connection, command: &str, script: &str| {
        client.ask_words(&[command, script, "0"])
    };
    let write = "return redis.call('set', 'k', 'v')";
    for (command, script, reply) in [
        ("EVAL", format!("#!lua\n{write}"), "OK"),
        ("EVAL", "#!lua flags=no-writes,allow-oom,allow-stale,no-cluster,allow-cross-slot-keys\nreturn 1".into(), "1"),
        ("EVAL", "#!lua flags=x\nreturn 1".into(), "(ERR Unexpected flag in script shebang: x)"),
        ("EVAL", "#!lua name=x\nreturn 1".into(), "(ERR Unknown lua shebang option: name=x)"),
        ("EVAL", "#!js\nreturn 1".into(), "(ERR Unexpected engine in script shebang: #!js)"),
        ("EVAL", "#!lua".into(), "(ERR Invalid script shebang)"),
        ("EVAL_RO", "return redis.call('get', 'k')".into(), "v"),
        ("EVAL_RO", "#!lua\nreturn 1".into(), "(ERR Can not execute a script with write flag using *_ro command.)"),
        (
            "EVAL_RO",
            "return redis.pcall('set', 'k', 'v')".into(),
            "(ERR Write commands are not allowed from read-only scripts.)",
        ),
        (
            "EVAL_RO",
            "return redis.pcall('publish', 'k', 'v')".into(),
            "(ERR Write commands are not allowed from read-only scripts.)",
        ),
        (
            "EVAL",
            "#!lua flags=no-writes\nreturn redis.pcall('del', 'k')".into(),
            "(ERR Write commands are not allowed from read-only scripts.)",
        ),
    ] {
        assert_eq!(ask(&mut client, command, &script), reply, "{script}");
    }
    let failed = ask(&mut client, "EVAL", &format!("#!lua flags=no-writes\n\n{write}"));
    assert!(failed.ends_with(", on @user_script:3.)"), "{failed}");
}

#[test]
fn memory_that_is_short_stops_scripts_before_they_write() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.ask("CONFIG SET maxmemory 1");
    let oom = "OOM command not allowed when used memory > 'maxmemory'.";
    for (script, reply) in [
        ("return redis.pcall('set', 'k', 'v')", format!("({oom})")),
        ("return redis.call('get', 'k')", "nil".into()),
        // What frees memory comes first: then it must not be stopped half way.
        ("redis.call('del', 'k') return redis.call('set', 'k', 'v')", "OK".into()),
        ("#!lua\nreturn 1", format!("({oom})")),
        ("#!lua flags=no-writes\nreturn 1", "1".into()),
        ("#!lua flags=allow-oom\nreturn redis.call('set', 'k', 'v')", "OK".into()),
    ] {
        assert_eq!(client.ask_words(&["EVAL", script, "0"]), reply, "{script}");
    }
}

#[test]
fn transactions_scripts_and_those_who_wait_go_together() {
    let server = Server::start(&[]);
    let (mut client, mut waiting) = (server.connect(), server.connect());
    waiting.send("BLPOP l 0");
    eventually("the wait", || client.info("blocked_clients") == "1");
    let pushes = "redis.call('rpush', 'l', 'a') redis.call('rpush', 'l', 'b') return redis.call('llen', 'l')";
    assert_eq!(client.ask_words(&["EVAL", pushes, "0"]), "2");
    assert_eq!(waiting.reply(), "[l a]");
    client.play(
        "
        > SELECT 2
        OK
        > EVAL redis.call('select',3)return(redis.call('set','k','three')) 0
        OK
        > GET k
        nil
        > EVAL return(redis.call('blpop','none',0)) 0
        nil
        > MULTI
        OK
        > SET k two
        QUEUED
        > EVAL return(redis.call('get',KEYS[1])) 1 k
        QUEUED
        > EVALSHA x 0
        QUEUED
        > EXEC
        [OK two (NOSCRIPT No matching script. Please use EVAL.)]
        > WATCH k
        OK
        ",
    );
    waiting.ask("SELECT 2");
    waiting.ask_words(&["EVAL", "redis.call('append', 'k', 'x')", "0"]);
    client.play(
        "
        > MULTI
        OK
        > PING
        QUEUED
        > EXEC
        nil
        > SELECT 3
        OK
        > GET k
        three
        ",
    );
}

#[test]
fn commands_of_scripts_are_counted_and_shown() {
    let server = Server::start(&[]);
    let (mut client, mut monitor) = (server.connect(), server.connect());
    monitor.ask("MONITOR");
    client.ask_words(&["EVAL", "redis.call('set', 'k', 'v') return redis.pcall('incr', 'k')", "0"]);
    let lines: Vec<String> = (0..3).map(|_| monitor.reply()).collect();
    assert!(lines[0].contains("\"EVAL\"") && !lines[0].contains(" lua]"), "{lines:?}");
    assert!(lines[1].ends_with("[0 lua] \"set\" \"k\" \"v\""), "{lines:?}");
    assert!(lines[2].ends_with("[0 lua] \"incr\" \"k\""), "{lines:?}");
    assert!(client.info("cmdstat_set").starts_with("calls=1,"));
    assert!(client.info("cmdstat_incr").contains(",failed_calls=1"));
    assert_eq!(client.info("errorstat_ERR"), "count=1");
    client.ask_words(&["EVAL", "return redis.call('incr', 'k')", "0"]);
    // Once, though it is both the command's error and the script's.
    assert_eq!(client.info("errorstat_ERR"), "count=2");
    assert!(client.info("cmdstat_eval").ends_with(",failed_calls=2"), "what a script returns is its own error");
    client.ask("CONFIG SET slowlog-log-slower-than 0");
    client.ask("SLOWLOG RESET");
    client.ask_words(&["EVAL", "return redis.call('get', 'k')", "0"]);
    let slow = client.ask("SLOWLOG GET");
    let (script, command) = (slow.find("[EVAL "), slow.find("[get k]"));
    assert!(script.is_some() && script < command, "{slow}");
    // What is refused is shown as well.
    client.ask_words(&["EVALSHA", "nosuch", "0"]);
    client.ask_words(&["FCALL", "nosuch", "0"]);
    let mut shown = || std::iter::repeat_with(|| monitor.reply()).find(|line| line.contains("nosuch"));
    let lines = [shown(), shown()];
    assert!(lines[0].as_deref().is_some_and(|line| line.ends_with("\"EVALSHA\" \"nosuch\" \"0\"")), "{lines:?}");
    assert!(lines[1].as_deref().is_some_and(|line| line.ends_with("\"FCALL\" \"nosuch\" \"0\"")), "{lines:?}");
}

#[test]
fn a_function_that_nobody_knows_waits_for_the_end_of_a_pause() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    client.ask("CLIENT PAUSE 100000 WRITE");
    assert_eq!(client.ask("FCALL_RO nosuch 0"), "(ERR Function not found)");
    client.send("FCALL nosuch 0");
    while !other.ask("INFO clients").contains("blocked_clients:1") {
        std::thread::yield_now();
    }
    other.ask("CLIENT UNPAUSE");
    assert_eq!(client.reply(), "(ERR Function not found)");
}

const BUSY: &str = "(BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.)";

#[test]
fn a_script_that_takes_too_long_can_be_ended_from_anywhere() {
    let server = Server::start(&["--busy-reply-threshold", "50", "--threads", "2"]);
    // Some are on the script's own thread, some are not.
    let mut runner = server.connect();
    let mut others: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for killer in 0..4 {
        runner.send_words(&["EVAL", "while true do pcall(function() while true do end end) end", "0"]);
        eventually("the limit", || others[0].ask("GET k") == BUSY);
        for other in &mut others {
            assert_eq!(other.ask("GET k"), BUSY);
            assert_eq!(other.ask("EVAL return(1) 0"), BUSY);
            assert_eq!(other.ask("SHUTDOWN"), BUSY, "without NOSAVE");
        }
        // Nor are those left alone who come only now.
        let mut newcomer = server.connect();
        assert_eq!(newcomer.ask("GET k"), BUSY);
        let killed = if killer == 3 { newcomer.ask("SCRIPT KILL") } else { others[killer].ask("SCRIPT KILL") };
        assert_eq!(killed, "OK");
        let reply = runner.reply();
        assert!(reply.contains("Script killed by user with SCRIPT KILL."), "{reply}");
        for other in &mut others {
            assert_eq!(other.ask("GET k"), "nil");
        }
        assert_eq!(newcomer.ask("SCRIPT KILL"), "(NOTBUSY No scripts in execution right now.)");
    }
    assert_eq!(runner.ask_words(&["EVAL", "local n = 0 for i = 1, 1000000 do n = n + 1 end return n", "0"]), "1000000");
}

#[test]
fn who_must_log_in_to_end_a_script_can_and_no_transaction_is_cut_in_two() {
    let server =
        Server::start(&["--busy-reply-threshold", "50", "--threads", "1", "--requirepass", "x", "--maxmemory", "1gb"]);
    let [mut runner, mut queuing, mut watching, mut begins] = std::array::from_fn(|_| {
        let mut client = server.connect();
        assert_eq!(client.ask("AUTH x"), "OK");
        client
    });
    for line in ["MULTI", "INCR k"] {
        queuing.ask(line);
        watching.ask(if line == "MULTI" { "WATCH k" } else { "MULTI" });
    }
    runner.send_words(&["EVAL", "while true do end", "0"]);
    let mut late = server.connect();
    assert_eq!(late.ask("AUTH x"), "OK");
    eventually("the limit", || late.ask("GET k") == BUSY);
    assert_eq!(late.ask("CLIENT SETNAME late"), "OK");
    assert_eq!(begins.ask("MULTI"), "OK");
    assert_eq!(begins.ask("INCR k"), BUSY);
    let aborted = BUSY.replace("(BUSY ", "(EXECABORT Transaction discarded because of: BUSY ");
    assert_eq!(queuing.ask("EXEC"), aborted);
    // What takes locks is done later.
    watching.send("EXEC");
    assert_eq!(late.ask("SCRIPT KILL"), "OK");
    assert!(runner.reply().contains("Script killed by user"));
    assert_eq!(watching.reply(), "[]");
    assert_eq!(begins.ask("EXEC"), "(EXECABORT Transaction discarded because of previous errors.)");
    assert_eq!(late.ask("GET k"), "nil");
}

#[test]
fn what_was_done_before_a_script_is_answered_while_it_runs() {
    let server = Server::start(&["--busy-reply-threshold", "50", "--threads", "1", "--enable-debug-command", "yes"]);
    let (mut sleeper, mut before, mut runner) = (server.connect(), server.connect(), server.connect());
    // Both requests are there when the thread looks next.
    sleeper.send("DEBUG SLEEP 0.3");
    std::thread::sleep(Duration::from_millis(100));
    before.send("ECHO before");
    runner.send_words(&["EVAL", "while true do end", "0"]);
    assert_eq!(sleeper.reply(), "OK");
    assert_eq!(before.reply(), "before");
    eventually("the end", || sleeper.ask("SCRIPT KILL") == "OK");
    assert!(runner.reply().contains("Script killed by user"));
}

#[test]
fn a_script_that_has_written_is_not_ended() {
    let mut server = Server::start(&["--busy-reply-threshold", "50", "--threads", "1"]);
    let (mut runner, mut other) = (server.connect(), server.connect());
    other.ask("MULTI");
    assert_eq!(other.ask("GET k"), "QUEUED");
    runner.send_words(&["EVAL", "redis.call('set', 'k', 'v') while true do end", "0"]);
    let mut third = server.connect();
    eventually("the limit", || third.ask("GET k") == BUSY);
    assert!(third.ask("SCRIPT KILL").starts_with("(UNKILLABLE Sorry the script already executed write commands"));
    assert_eq!(third.ask("PING"), BUSY);
    third.send("SHUTDOWN NOSAVE");
    assert!(third.is_closed() && server.connect_at("127.0.0.1").is_err(), "whoever is told is not let in again");
    assert!(server.wait().success());
}

#[test]
fn what_scripts_get_of_a_set_is_in_order() {
    let server = Server::start(&["--set-max-listpack-entries", "0"]);
    let mut client = server.connect();
    client.ask("SADD s h a g b f c e d");
    let sorted = client.ask_words(&["EVAL", "return redis.call('SORT', KEYS[1], 'BY', 'nosort')", "1", "s"]);
    assert_eq!(sorted, "[a b c d e f g h]");
}

#[test]
fn a_command_that_is_refused_is_counted_as_such() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let mut client = server.connect();
    client.ask("CONFIG SET maxmemory 1");
    client.ask("CONFIG RESETSTAT");
    client.ask_words(&["EVAL", "return redis.pcall('set', KEYS[1], 'v')", "1", "k"]);
    client.ask_words(&["EVAL", "return redis.pcall('set')", "0"]);
    assert!(
        client.info("cmdstat_set").contains("calls=0,") && client.info("cmdstat_set").contains("rejected_calls=2,")
    );
    assert!(client.info("cmdstat_eval").contains("rejected_calls=0,failed_calls=2"));
}

#[test]
fn what_scripts_move_between_keys_is_neither_lost_nor_made() {
    const ACCOUNTS: usize = 16;
    const TOTAL: i64 = 1600;
    const TRANSFERS: u64 = 400;
    // The same with keys that are proven, keys that are not, and keys that are not even given.
    let body = "if tonumber(redis.call('GET', from)) < 1 then return 0 end \
                redis.call('DECRBY', from, 1) redis.call('INCRBY', to, 1) return 1";
    let proven = format!("local from, to = KEYS[1], KEYS[2] {body}");
    let unproven = format!("local from, to = KEYS[1] .. '', KEYS[2] .. '' {body}");
    let hidden = format!("local from, to = ARGV[1], ARGV[2] {body}");
    let sum = "local sum = 0 for i = 0, 15 do sum = sum + redis.call('GET', 'account:' .. i) end return sum";
    let server = Server::start(&["--threads", "4"]);
    let mut client = server.connect();
    for account in 0..ACCOUNTS {
        client.ask(&format!("SET account:{account} {}", TOTAL / ACCOUNTS as i64));
    }
    std::thread::scope(|scope| {
        for seed in 0..6_u64 {
            let (server, proven, unproven, hidden) = (&server, &proven, &unproven, &hidden);
            scope.spawn(move || {
                let mut client = server.connect();
                let mut state = seed * 7919 + 1;
                let mut random = |below: u64| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 33) % below
                };
                for _ in 0..TRANSFERS {
                    let keys = [0, 0].map(|_| format!("account:{}", random(ACCOUNTS as u64)));
                    let [from, to] = &keys;
                    let moved = match random(8) {
                        0 => client.ask_words(&["EVAL", unproven, "2", from, to]),
                        1 => client.ask_words(&["EVAL", hidden, "0", from, to]),
                        2 => {
                            let total = client.ask_words(&["EVAL", sum, "0"]);
                            assert_eq!(total, TOTAL.to_string(), "at every moment");
                            continue;
                        }
                        3 => {
                            // Its parts see the same moment, too.
                            client.play("> MULTI\nOK");
                            for account in 0..ACCOUNTS {
                                assert_eq!(client.ask(&format!("GET account:{account}")), "QUEUED");
                            }
                            let balances = client.ask("EXEC");
                            let balances = balances.trim_matches(['[', ']']).split(' ');
                            assert_eq!(balances.map(|text| text.parse::<i64>().unwrap()).sum::<i64>(), TOTAL);
                            continue;
                        }
                        _ => client.ask_words(&["EVAL", proven, "2", from, to]),
                    };
                    assert!(moved == "0" || moved == "1", "{moved}");
                }
            });
        }
    });
    assert_eq!(client.ask_words(&["EVAL", sum, "0"]), TOTAL.to_string());
}
