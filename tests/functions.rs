//! `FUNCTION` and `FCALL`, through sockets.

use crate::support::{Connection, Server, eventually};
use std::time::{Duration, Instant};

/// Loads a library of this name, and returns the reply.
fn load(client: &mut Connection, name: &str, text: &str) -> String {
    client.ask_words(&["FUNCTION", "LOAD", "REPLACE", &format!("#!lua name={name}\n{text}")])
}

/// Loads a library with the one function `f`, which has this body and these flags.
fn load_f(client: &mut Connection, body: &str, flags: &str) {
    let text = format!(
        "local n = 0\nredis.register_function{{function_name = 'f', callback = function(keys, args) {body} end, flags = {{{flags}}}}}"
    );
    assert_eq!(load(client, "lib", &text), "lib", "{text}");
}

/// What `FUNCTION LIST` says of libraries that have one plain function each.
fn listed(libraries: &[(&str, &str)]) -> String {
    let one = |(library, function): &(&str, &str)| {
        format!("[library_name {library} engine LUA functions [[name {function} description nil flags []]]]")
    };
    format!("[{}]", libraries.iter().map(one).collect::<Vec<_>>().join(" "))
}

#[test]
fn libraries_register_functions() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let text = "local function add(n) return n + 1 end\n\
                redis.register_function('one', function() return add(0) end)\n\
                redis.register_function{function_name = 'Two', callback = function() return add(1) end, description = 'more', \
                flags = {'no-writes', 'allow-oom', 'allow-stale', 'no-cluster', 'allow-cross-slot-keys'}}";
    assert_eq!(load(&mut client, "numbers", text), "numbers");
    assert_eq!(
        load(&mut client, "other", "redis.register_function(3, function(keys, args) return {keys, args} end)"),
        "other"
    );
    client.play(
        "
        > FCALL one 0
        1
        > FCALL tWO 0
        2
        > FCALL_RO two 0
        2
        > FCALL 3 2 a b c d
        [[a b] [c d]]
        > FUNCTION LIST LIBRARYNAME NUM*
        [[library_name numbers engine LUA functions [[name one description nil flags []] [name Two description more flags [no-writes allow-oom allow-stale no-cluster allow-cross-slot-keys]]]]]
        > FUNCTION STATS
        [running_script nil engines [LUA [libraries_count 2 functions_count 3]]]
        > COMMAND GETKEYS FCALL one 2 a b c
        [a b]
        > FUNCTION DELETE numbers
        OK
        > FCALL one 0
        (ERR Function not found)
        > FUNCTION DELETE numbers
        (ERR Library not found)
        > FUNCTION FLUSH ASYNC
        OK
        > FUNCTION LIST
        []
        ",
    );
    for (request, reply) in [
        ("FCALL none x", "ERR Function not found"),
        ("FUNCTION LIST x", "ERR Unknown argument x"),
        ("FUNCTION LIST WITHCODE WITHCODE", "ERR Unknown argument WITHCODE"),
        ("FUNCTION LIST LIBRARYNAME a LIBRARYNAME a", "ERR Unknown argument LIBRARYNAME"),
        ("FUNCTION LIST LIBRARYNAME", "ERR library name argument was not given"),
        ("FUNCTION FLUSH x", "ERR FUNCTION FLUSH only supports SYNC|ASYNC option"),
        (
            "FUNCTION FLUSH SYNC x",
            "ERR unknown subcommand or wrong number of arguments for 'FLUSH'. Try FUNCTION HELP.",
        ),
        ("FUNCTION LOAD x y", "ERR Unknown option given: x"),
        ("FUNCTION LOAD x", "ERR Missing library metadata"),
        ("FUNCTION KILL", "NOTBUSY No scripts in execution right now."),
        ("FUNCTION RESTORE x", "ERR DUMP payload version or checksum are wrong"),
        ("FUNCTION RESTORE x y", "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE."),
        (
            "FUNCTION RESTORE x APPEND z",
            "ERR unknown subcommand or wrong number of arguments for 'RESTORE'. Try FUNCTION HELP.",
        ),
    ] {
        assert_eq!(client.ask(request), format!("({reply})"), "{request}");
    }
    load_f(&mut client, "return 1", "");
    for (request, reply) in [
        ("FCALL f x", "ERR Bad number of keys provided"),
        ("FCALL f -1", "ERR Number of keys can't be negative"),
        ("FCALL f 1", "ERR Number of keys can't be greater than number of args"),
    ] {
        assert_eq!(client.ask(request), format!("({reply})"), "{request}");
    }
}

#[test]
fn a_library_that_cannot_be_loaded_changes_nothing() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    load_f(&mut client, "return 'old'", "");
    assert_eq!(load(&mut client, "second", "redis.register_function('g', function() return 'g' end)"), "second");
    let registering = "ERR Error registering functions: ERR ";
    let nonexistent =
        |name| format!("{registering}user_function:2: Script attempted to access nonexistent global variable '{name}'");
    let refused = |reason| format!("{registering}{reason}");
    for (text, error) in [
        ("return 1", "ERR No functions registered".to_owned()),
        ("bad text", "ERR Error compiling function: user_function:2: '=' expected near 'text'".to_owned()),
        ("\x1bLua", "ERR Error compiling function: user_function:2: unexpected symbol near 'char(27)'".to_owned()),
        (
            "redis.register_function('f', function() end) redis.register_function('g', function() end)",
            "ERR Function g already exists".to_owned(),
        ),
        (
            "redis.register_function('f', function() end) redis.register_function('F', function() end)",
            refused("Function already exists in the library"),
        ),
        ("redis.call('ping')", nonexistent("call")),
        ("redis.setresp(3)", nonexistent("setresp")),
        ("local r = redis.redis", nonexistent("redis")),
        ("math.random()", nonexistent("math")),
        ("local m = getmetatable(_G)", nonexistent("getmetatable")),
        ("local k = KEYS", nonexistent("KEYS")),
        ("a = 1", refused("user_function:2: Attempt to modify a readonly table")),
        ("redis.a = 1", refused("user_function:2: Attempt to modify a readonly table")),
        ("redis.register_function()", refused("wrong number of arguments to redis.register_function")),
        (
            "redis.register_function('f', function() end, 1)",
            refused("wrong number of arguments to redis.register_function"),
        ),
        (
            "redis.register_function('f')",
            refused(
                "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).",
            ),
        ),
        (
            "redis.register_function(nil, function() end)",
            refused("first argument to redis.register_function must be a string"),
        ),
        ("redis.register_function('f', 'g')", refused("second argument to redis.register_function must be a function")),
        (
            "redis.register_function('a-b', function() end)",
            refused(
                "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
            ),
        ),
        (
            "redis.register_function{callback = function() end}",
            refused("redis.register_function must get a function name argument"),
        ),
        (
            "redis.register_function{function_name = 'f'}",
            refused("redis.register_function must get a callback argument"),
        ),
        (
            "redis.register_function{function_name = {}}",
            refused("function_name argument given to redis.register_function must be a string"),
        ),
        (
            "redis.register_function{callback = 1}",
            refused("callback argument given to redis.register_function must be a function"),
        ),
        (
            "redis.register_function{description = {}}",
            refused("description argument given to redis.register_function must be a string"),
        ),
        (
            "redis.register_function{flags = 1}",
            refused("flags argument to redis.register_function must be a table representing function flags"),
        ),
        ("redis.register_function{flags = {'x'}}", refused("unknown flag given")),
        ("redis.register_function{flags = {1}}", refused("unknown flag given")),
        ("redis.register_function{x = 1}", refused("unknown argument given to redis.register_function")),
        (
            "redis.register_function{[true] = 1}",
            refused("named argument key given to redis.register_function is not a string"),
        ),
    ] {
        assert_eq!(load(&mut client, "lib", text), format!("({error})"), "{text}");
    }
    let begun = Instant::now();
    assert_eq!(load(&mut client, "lib", "while true do end"), format!("({registering}FUNCTION LOAD timeout)"));
    assert!(begun.elapsed() >= Duration::from_millis(500));
    let again = ["FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() end)"];
    assert_eq!(client.ask_words(&again), "(ERR Library 'lib' already exists)");
    assert_eq!(client.ask("FUNCTION LIST"), listed(&[("lib", "f"), ("second", "g")]));
    assert_eq!((client.ask("FCALL f 0"), client.ask("FCALL g 0")), ("old".into(), "g".into()));
}

#[test]
fn functions_see_what_scripts_see_but_for_their_arguments() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let place = " script: f, on @user_function:3.";
    for (body, reply) in [
        ("return redis.call('set', keys[1], args[1])", "OK".to_owned()),
        ("return redis.call('get', keys[1])", "v".to_owned()),
        ("n = n + 1 return n", "1".to_owned()),
        (
            "return type(redis.register_function) .. type(redis.breakpoint) .. type(redis.sha1hex)",
            "nilnilfunction".to_owned(),
        ),
        ("return loadstring('return math.abs(-1)')()", "1".to_owned()),
        ("redis.setresp(3) return redis.call('hgetall', 'none')", "[]".to_owned()),
        (
            "return KEYS",
            format!("(ERR user_function:3: Script attempted to access nonexistent global variable 'KEYS'{place})"),
        ),
        ("a = 1", format!("(ERR user_function:3: Attempt to modify a readonly table{place})")),
        ("getmetatable(_G).__index = 1", format!("(ERR user_function:3: Attempt to modify a readonly table{place})")),
        ("error({err = 'MINE x'})", format!("(MINE x{place})")),
        ("return redis.call('fcall', 'f', 0)", format!("(ERR This Redis command is not allowed from script{place})")),
        (
            "return redis.call('function', 'flush')",
            format!("(ERR This Redis command is not allowed from script{place})"),
        ),
        (
            "redis.register_function('g', function() end)",
            format!("(ERR user_function:3: attempt to call field 'register_function' (a nil value){place})"),
        ),
        ("return redis.pcall('nosuch')", "(ERR Unknown Redis command called from script)".to_owned()),
    ] {
        load_f(&mut client, body, "");
        assert_eq!(client.ask("FCALL f 1 k v"), reply, "{body}");
    }
    // What it saw while it was loaded helps it no further.
    for (body, reply) in [
        (
            "r.register_function('g', function() end)",
            "ERR redis.register_function can only be called on FUNCTION LOAD command script: f, on @user_function:2.",
        ),
        (
            "r.register_function(1)",
            "ERR redis.register_function can only be called on FUNCTION LOAD command script: f, on @user_function:2.",
        ),
        ("r.math = math", "ERR user_function:2: Attempt to modify a readonly table script: f, on @user_function:2."),
        (
            "r.call('ping')",
            "ERR user_function:2: Script attempted to access nonexistent global variable 'call' script: f, on @user_function:2.",
        ),
    ] {
        let text = format!("local r = redis redis.register_function('f', function() {body} end)");
        assert_eq!(load(&mut client, "lib", &text), "lib");
        assert_eq!(client.ask("FCALL f 0"), format!("({reply})"), "{body}");
    }
    // What functions see is not what scripts see.
    assert_eq!(client.ask_words(&["EVAL", "return KEYS[1] .. type(redis.breakpoint)", "1", "k"]), "kfunction");
}

#[test]
fn flags_say_when_a_function_may_run() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    load_f(&mut client, "return redis.call('set', 'k', 'v')", "");
    let needs_flag = "(ERR Can not execute a script with write flag using *_ro command.)";
    assert_eq!(client.ask("FCALL_RO f 0"), needs_flag);
    load_f(&mut client, "return redis.call('set', 'k', 'v')", "'no-writes'");
    let no_writes = "(ERR Write commands are not allowed from read-only scripts. script: f, on @user_function:3.)";
    assert_eq!((client.ask("FCALL f 0"), client.ask("FCALL_RO f 0")), (no_writes.into(), no_writes.into()));
    load_f(&mut client, "return redis.call('set', 'k', 'v')", "'allow-oom'");
    let payload = client.ask("FUNCTION LIST");
    client.ask("CONFIG SET maxmemory 1");
    assert_eq!(client.ask("FCALL f 0"), "OK");
    let out_of_memory = "(OOM command not allowed when used memory > 'maxmemory'.)";
    assert_eq!(load(&mut client, "lib", "redis.register_function('f', function() end)"), out_of_memory);
    assert_eq!(client.ask("FUNCTION RESTORE x"), out_of_memory);
    assert_eq!(client.ask("FUNCTION LIST"), payload);
    client.ask("CONFIG SET maxmemory 0");
    load_f(&mut client, "return redis.call('set', 'k', 'v')", "");
    client.ask("CONFIG SET maxmemory 1");
    assert_eq!(client.ask("FCALL f 0"), out_of_memory);
    client.ask("CONFIG SET maxmemory 0");
    // Keys and commands are the user's own.
    client.play(
        "
        > ACL SETUSER me on nopass ~a* +fcall +get
        OK
        > AUTH me x
        OK
        > FCALL f 1 b
        (NOPERM this user has no permissions to access one of the keys used as arguments)
        > FCALL f 1 a
        (ERR ACL failure in script: User me has no permissions to run the 'set' command script: f, on @user_function:3.)
        > FUNCTION FLUSH
        (NOPERM this user has no permissions to run the 'function|flush' command)
        ",
    );
}

#[test]
fn every_thread_has_the_version_of_now() {
    let server = Server::start(&["--threads", "4"]);
    let mut clients: Vec<Connection> = (0..8).map(|_| server.connect()).collect();
    for version in 1..=5 {
        let loader = version % clients.len();
        load_f(&mut clients[loader], &format!("return {version}"), "");
        for client in &mut clients {
            assert_eq!(client.ask("FCALL f 0"), version.to_string());
        }
    }
    clients[0].ask("FUNCTION DELETE lib");
    clients.iter_mut().for_each(|client| assert_eq!(client.ask("FCALL f 0"), "(ERR Function not found)"));
    assert_eq!(clients[0].info("number_of_functions"), "0");
    assert_ne!(clients[0].info("used_memory_vm_functions"), "0");
}

#[test]
fn a_function_past_its_limit_is_told_of_and_ended() {
    let server = Server::start(&["--busy-reply-threshold", "10"]);
    let (mut busy, mut client) = (server.connect(), server.connect());
    load_f(&mut client, "while true do end", "");
    busy.send("FCALL F 1 k");
    let error = "(BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.)";
    eventually("the limit", || client.ask("PING") == error);
    assert_eq!((client.ask("SCRIPT KILL"), client.ask("FUNCTION LIST")), (error.into(), error.into()));
    let stats = client.ask("FUNCTION STATS");
    assert!(stats.starts_with("[running_script [name f command [FCALL F 1 k] duration_ms "), "{stats}");
    assert_eq!(client.ask("FUNCTION KILL"), "OK");
    let killed = busy.reply();
    assert!(killed.starts_with("(ERR Script killed by user with FUNCTION KILL."), "{killed}");
    assert!(client.ask("FUNCTION STATS").starts_with("[running_script nil "));
    busy.send_words(&["EVAL", "while true do end", "0"]);
    let error = "(BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.)";
    eventually("the limit", || client.ask("PING") == error);
    assert_eq!((client.ask("FUNCTION KILL"), client.ask("FUNCTION STATS")), (error.into(), error.into()));
    assert_eq!(client.ask("SCRIPT KILL"), "OK");
    busy.reply();
    load_f(&mut client, "redis.call('set', 'k', 'v') while not redis.call('get', 'never') do end", "");
    busy.send("FCALL f 0");
    eventually("the limit", || client.ask("PING").starts_with("(BUSY"));
    let written = client.ask("FUNCTION KILL");
    assert!(written.starts_with("(UNKILLABLE Sorry the script already executed write commands"), "{written}");
}

#[test]
fn libraries_travel_as_bytes() {
    let server = Server::start(&[]);
    let (mut client, mut raw) = (server.connect(), server.connect());
    load(&mut client, "a", "redis.register_function('f', function() return 1 end)");
    load(&mut client, "b", "redis.register_function('g', function() return 2 end)");
    raw.send("FUNCTION DUMP");
    let payload = raw.raw_bulk();
    let mut restore = |policy: &str| {
        raw.send_raw(&crate::support::request(&[b"FUNCTION", b"RESTORE", &payload, policy.as_bytes()]));
        raw.reply()
    };
    assert_eq!(restore("APPEND"), "(ERR Library a already exists)");
    assert_eq!(restore("REPLACE"), "OK");
    client.ask("FUNCTION FLUSH");
    assert_eq!(restore("append"), "OK");
    assert_eq!(client.ask("FUNCTION LIST"), listed(&[("a", "f"), ("b", "g")]));
    // Names that are taken: nothing is restored, unless all else goes.
    client.ask("FUNCTION FLUSH");
    load(&mut client, "c", "redis.register_function('g', function() return 3 end)");
    assert_eq!(restore("REPLACE"), "(ERR Function g already exists)");
    assert_eq!(client.ask("FUNCTION LIST"), listed(&[("c", "g")]));
    assert_eq!(restore("FLUSH"), "OK");
    assert_eq!(client.ask("FUNCTION LIST"), listed(&[("a", "f"), ("b", "g")]));
    assert_eq!((client.ask("FCALL f 0"), client.ask("FCALL g 0")), ("1".into(), "2".into()));
}

#[test]
fn libraries_survive_the_process() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("letters");
    let start = |arguments: &[&str]| {
        let fixed = ["--dir", path, "--enable-debug-command", "yes"];
        Server::start(&[&fixed, arguments].concat())
    };
    let text = "redis.register_function('f', function() return 1 end)";
    let expected = listed(&[("lib", "f")]);
    {
        let server = start(&["--save", "100 1"]);
        let mut client = server.connect();
        load(&mut client, "lib", text);
        assert_eq!(client.info("rdb_changes_since_last_save"), "1");
        assert_eq!((client.ask("FLUSHALL"), client.ask("FLUSHDB")), ("OK".into(), "OK".into()));
        assert_eq!((client.ask("DEBUG RELOAD"), client.ask("FUNCTION LIST")), ("OK".into(), expected.clone()));
        let failed = "(ERR Error trying to load the RDB dump, check server logs.)";
        assert_eq!(client.ask("DEBUG RELOAD NOFLUSH"), failed);
        assert_eq!(client.ask("DEBUG RELOAD NOFLUSH MERGE"), "OK");
        load(&mut client, "other", "redis.register_function('g', function() return 1 end)");
        assert_eq!(client.ask("DEBUG RELOAD NOSAVE NOFLUSH MERGE"), "OK");
        assert_eq!(client.ask("FUNCTION LIST"), listed(&[("lib", "f"), ("other", "g")]));
        assert_eq!((client.ask("FUNCTION DELETE other"), client.ask("SAVE")), ("OK".into(), "OK".into()));
    }
    {
        let server = start(&[]);
        let mut client = server.connect();
        assert_eq!((client.ask("FUNCTION LIST"), client.ask("FCALL f 0")), (expected.clone(), "1".into()));
        // The append-only file, begun with what there is.
        client.ask("CONFIG SET appendfsync always");
        client.ask("CONFIG SET appendonly yes");
        eventually("the base", || client.info("aof_rewrite_in_progress") == "0" && client.info("aof_enabled") == "1");
        load(&mut client, "added", "redis.register_function('g', function() return 1 end)");
    }
    for preamble in ["yes", "no"] {
        let server = start(&["--appendonly", "yes", "--aof-use-rdb-preamble", preamble]);
        let mut client = server.connect();
        assert_eq!(client.ask("FUNCTION LIST"), listed(&[("added", "g"), ("lib", "f")]), "{preamble}");
        client.ask("BGREWRITEAOF");
        eventually("the base", || {
            client.info("aof_rewrite_in_progress") == "0" && client.info("aof_rewrite_scheduled") == "0"
        });
        assert_eq!(client.info("aof_last_bgrewrite_status"), "ok");
        assert_eq!(client.ask("DEBUG LOADAOF"), "OK");
    }
    {
        let server = start(&["--appendonly", "yes"]);
        let mut client = server.connect();
        assert_eq!(client.ask("FUNCTION LIST"), listed(&[("added", "g"), ("lib", "f")]), "out of commands");
        client.ask("FUNCTION DELETE added");
        assert_eq!((client.ask("DEBUG LOADAOF"), client.ask("FUNCTION LIST")), ("OK".into(), expected));
        client.ask("FUNCTION FLUSH");
        assert_eq!((client.ask("DEBUG LOADAOF"), client.ask("FUNCTION LIST")), ("OK".into(), "[]".into()));
    }
}

#[test]
fn replicas_have_the_libraries_of_their_primary() {
    for diskless in ["disabled", "swapdb"] {
        let primary = Server::start(&["--repl-diskless-sync-delay", "0"]);
        let replica = Server::start(&["--repl-diskless-load", diskless]);
        let (mut client, mut copy) = (primary.connect(), replica.connect());
        load_f(&mut client, "return redis.call('set', 'k', args[1])", "");
        load(&mut copy, "own", "redis.register_function('g', function() return 1 end)");
        copy.ask(&format!("REPLICAOF 127.0.0.1 {}", primary.port));
        eventually("the link", || copy.info("master_link_status") == "up");
        let has = |copy: &mut Connection, client: &mut Connection| {
            let expected = client.ask("FUNCTION LIST");
            eventually("the stream", || copy.ask("FUNCTION LIST") == expected);
        };
        has(&mut copy, &mut client);
        let read_only = "(READONLY You can't write against a read only replica.)";
        assert_eq!(load(&mut copy, "own", "redis.register_function('g', function() return 1 end)"), read_only);
        assert_eq!((copy.ask("FUNCTION DELETE lib"), copy.ask("FCALL f 0")), (read_only.into(), read_only.into()));
        client.ask("FCALL f 0 x");
        eventually("the effect", || copy.ask("GET k") == "x");
        load(
            &mut client,
            "more",
            "redis.register_function{function_name = 'h', callback = function() return 5 end, flags = {'no-writes'}}",
        );
        has(&mut copy, &mut client);
        assert_eq!(copy.ask("FCALL h 0"), "5");
        client.ask("FUNCTION DELETE lib");
        has(&mut copy, &mut client);
        let mut raw = primary.connect();
        raw.send("FUNCTION DUMP");
        let payload = raw.raw_bulk();
        client.ask("FUNCTION FLUSH");
        has(&mut copy, &mut client);
        raw.send_raw(&crate::support::request(&[b"FUNCTION", b"RESTORE", &payload]));
        assert_eq!(raw.reply(), "OK");
        has(&mut copy, &mut client);
    }
}
