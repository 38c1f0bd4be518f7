//! Scripts that attack the server: what they want is refused, or takes no more time and memory than it may, and everybody else is
//! served as if nothing had been.

use crate::support::{Connection, Server, eventually};

/// What is answered.
enum Answer {
    /// Exactly this.
    Is(&'static str),
    /// An error in which this stands.
    Error(&'static str),
    /// Something; what matters is that it is answered.
    Any,
}
use Answer::{Any, Error, Is};

fn check(attacks: &[(&str, Answer)]) {
    check_with(&[], attacks);
}

fn check_with(arguments: &[&str], attacks: &[(&str, Answer)]) {
    let server = Server::start(&[&["--threads", "2"], arguments].concat());
    let (mut attacker, mut others): (Connection, Vec<Connection>) =
        (server.connect(), (0..2).map(|_| server.connect()).collect());
    for (script, expected) in attacks {
        let answer = attacker.ask_words(&["EVAL", script, "0"]);
        let shown = &answer[..answer.floor_char_boundary(300)];
        match expected {
            Is(text) => assert_eq!(shown, *text, "{script}"),
            Error(text) => assert!(answer.starts_with('(') && answer.contains(text), "{script}: {shown}"),
            Any => {}
        }
        for other in &mut others {
            assert_eq!(other.ask("PING"), "PONG", "{script}");
        }
    }
    assert_eq!(attacker.ask_words(&["EVAL", "return redis.call('set', 'k', 'v')", "0"]), "OK");
}

#[test]
fn patterns_and_strings() {
    check(&[
        ("return string.find(string.rep('a', 300000), string.rep('a-', 300000)..'b')", Error("pattern too complex")),
        ("return string.find(string.rep('a', 60000), string.rep('a?', 60000)..'b')", Error("pattern too complex")),
        ("return string.find(string.rep('x', 300), string.rep('(x)', 33))", Error("too many captures")),
        ("return (string.gsub(string.rep('a', 10), string.rep('%b()', 200000), 'x'))", Is("aaaaaaaaaa")),
        ("return string.find(string.rep('a', 1e6), string.rep('a', 5e5)..'b', 1, true)", Is("nil")),
        ("return string.match('x', '[' .. string.rep('x', 1e6))", Error("malformed pattern (missing ']')")),
        ("return string.gsub(string.rep('x', 1e7), '.', string.rep('%0', 100))", Error("not enough memory")),
        (
            "return string.gsub(string.rep('x', 100), 'x', function() return string.rep('y', 1e8) end)",
            Error("not enough memory"),
        ),
        ("return string.gsub('x', 'x', function() error({err = 'MINE it is'}) end)", Error("MINE it is")),
        ("return string.gsub('x', 'x', coroutine.yield)", Error("attempt to yield")),
        ("local function f() return (string.gsub('x', 'x', f)) end return f()", Error("stack overflow")),
        ("for i = 1, 20000 do pcall(string.gsub, 'x', '.', function() error(1) end) end return 'fine'", Is("fine")),
        ("for i = 1, 20000 do string.gmatch('x', '.') end return 'fine'", Is("fine")),
        ("return #string.rep('x', 2^31)", Is("0")),
        ("return #string.rep('x', 2^31 - 1)", Error("not enough memory")),
        ("return #string.rep('', 2^31 - 1)", Is("0")),
        ("return #string.rep(string.rep('x', 1e6), 1e6)", Error("not enough memory")),
        ("return string.format('%99999d', 1)", Error("invalid format (width or precision too long)")),
        ("return string.format('%.99999f', 1)", Error("invalid format (width or precision too long)")),
        ("return string.format('%s', setmetatable({}, {__tostring = function() return 1 end}))", Any),
        ("return string.char(-1)", Error("invalid value")),
        ("return string.byte(string.rep('x', 1e6), 1, -1)", Error("string slice too long")),
    ]);
}

#[test]
fn tables() {
    check(&[
        ("table.insert({}, -2147483647, 1)", Error("bad argument #2 to 'insert' (position out of bounds)")),
        ("local t = {1, 2} table.insert(t, 1, 0) table.insert(t, 3) return t", Is("[0 1 2 3]")),
        ("return table.concat({}, 'x', 1, 2147483647)", Error("invalid value (nil) at index 1")),
        ("return unpack({}, 0, 2147483647)", Error("too many results to unpack")),
        ("return unpack({}, -2147483648, 2147483647)", Error("too many results to unpack")),
        ("return unpack({}, -2147483648, 0)", Error("too many results to unpack")),
        ("return unpack({}, -2147483648)", Error("too many results to unpack")),
        ("return (unpack({7, 8}, 2))", Is("8")),
        ("local t = {} for i = 1, 7999 do t[i] = 'a' end return redis.call('rpush', 'l', unpack(t))", Is("7999")),
        ("local t = {'del'} for i = 2, 7999 do t[i] = i end return redis.call(unpack(t))", Is("0")),
        ("local t = {} for i = 1, 7999 do t[i] = i end return redis.acl_check_cmd('del', unpack(t))", Is("1")),
        ("local t = {} for i = 1, 7999 do t[i] = i end return redis.sha1hex(unpack(t))", Error("too many arguments")),
        (
            "local t = {} for i = 1, 1000 do t[i] = i end table.sort(t, function() return true end)",
            Error("invalid order function for sorting"),
        ),
        ("table.sort({1, 2, 3}, function() error('mine') end)", Error("mine")),
        ("local t = setmetatable({}, {__index = function(t, k) return t[k] end}) return t.x", Error("stack overflow")),
        ("local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x", Error("loop in gettable")),
        ("local t = setmetatable({}, {__len = function() return 1e9 end}) return t", Is("[]")),
        ("local x = {} for i = 1, 1e9 do x[i] = string.rep('y', 1e6) .. i end", Error("not enough memory")),
        (
            "local s = string.rep('x', 1e8) local t = {} for i = 1, 99 do t[i] = s end return cjson.encode(t)",
            Error("not enough memory"),
        ),
        (
            "local s = string.rep('x', 1e8) local t = {} for i = 1, 99 do t[i] = s end return cmsgpack.pack(t)",
            Error("not enough memory"),
        ),
        (
            "local s = string.rep('x', 1e8) local t = {} for i = 1, 99 do t[i] = s end redis.call(unpack(t))",
            Error("not enough memory"),
        ),
        (
            "local s = string.rep('x', 1e8) local t = {} for i = 1, 99 do t[i] = s end return t",
            Error("the reply of the script is too long"),
        ),
        ("local t = {} t.err = t return t", Is("[]")),
    ]);
}

#[test]
fn programs() {
    check(&[
        ("return loadstring(string.rep('(', 100000) .. '1' .. string.rep(')', 100000))", Is("nil")),
        ("return select(2, loadstring('return ' .. string.rep('{', 10000)))", Any),
        ("return select(2, loadstring('return ' .. string.rep('not ', 100000) .. '1'))", Any),
        ("return select(2, loadstring('[' .. string.rep('=', 100000)))", Any),
        ("return select(2, loadstring('local ' .. string.rep('a,', 300) .. 'a'))", Any),
        ("return loadstring(string.dump(function() return 1 end))", Is("nil")),
        ("return loadstring('\\27Lua')", Is("nil")),
        ("return select(2, loadstring('x x', '=name\\0hidden'))", Is("name:1: '=' expected near 'x'")),
        (
            "for i = 1, 300 do loadstring(string.rep('local a = {\"' .. i .. '\"} ', 150), '=c' .. i .. '\\0' .. \
             string.rep('z', 40)) end return 'fine'",
            Is("fine"),
        ),
        ("local function f() return 1 + f() end return f()", Error("stack overflow")),
        (
            "local function nest(n) return coroutine.wrap(function() return nest(n - 1) end)() end return nest(1)",
            Error("stack overflow"),
        ),
        ("local co = coroutine.wrap(function() return redis.call('get', 'x') end) return co()", Is("nil")),
        ("return xpcall(function() local a a() end, xpcall)", Any),
        ("local e = setmetatable({}, {__index = function() error('again') end}) error(e)", Error("ERR unknown error")),
        ("return load(function() return nil end) and 1", Is("1")),
        ("getmetatable(newproxy(true)).__gc = 1", Error("nonexistent global variable 'newproxy'")),
        ("return setfenv(0, {})", Error("nonexistent global variable 'setfenv'")),
        ("return getfenv(0)", Error("nonexistent global variable 'getfenv'")),
        ("return debug.getinfo(1)", Error("nonexistent global variable 'debug'")),
        ("return require('os')", Error("nonexistent global variable 'require'")),
        ("return package.loadlib", Error("nonexistent global variable 'package'")),
        ("return dofile('/etc/passwd')", Error("nonexistent global variable 'dofile'")),
        ("return loadfile('/etc/passwd')", Error("nonexistent global variable 'loadfile'")),
        ("return io.open('/etc/passwd')", Error("nonexistent global variable 'io'")),
        ("return os.execute and 1", Is("nil")),
        ("return print('x')", Error("nonexistent global variable 'print'")),
        ("rawset(_G, 'x', 1)", Error("Attempt to modify a readonly table")),
        ("rawset(redis, 'call', 1)", Error("Attempt to modify a readonly table")),
        ("string.rep = 1", Error("Attempt to modify a readonly table")),
        ("getmetatable('').__index = 1", Error("Attempt to modify a readonly table")),
        ("setmetatable(_G, nil)", Error("Attempt to modify a readonly table")),
        ("table.insert(redis, 1)", Error("ERR Attempt to modify a readonly table")),
        ("table.insert(_G, 1, 1)", Error("ERR Attempt to modify a readonly table")),
        ("table.insert(getmetatable(''), 1)", Error("ERR Attempt to modify a readonly table")),
        ("return table.insert(redis)", Error("wrong number of arguments to 'insert'")),
        ("table.insert(redis, {}, 1)", Error("bad argument #2 to 'insert' (number expected, got table)")),
        ("local t = setmetatable({}, {__index = redis}) table.insert(t, 7) return t[1]", Is("7")),
        ("return #redis.sha1hex(string.rep('x', 1e8))", Is("40")),
        ("return redis.call('debug', 'segfault')", Error("not allowed from script")),
        ("return redis.call('shutdown')", Error("not allowed from script")),
        ("return redis.error_reply('\\r\\n+OK\\r\\n')", Error("OK")),
        ("return {err = 'a\\r\\n+OK'}", Error("+OK")),
    ]);
}

#[test]
fn libraries() {
    check(&[
        ("local t = {} for i = 1, 100000 do t = {t} end return cjson.encode(t)", Error("excessive nesting")),
        (
            "cjson.encode_max_depth(1e9) local t = {} for i = 1, 100000 do t = {t} end return cjson.encode(t)",
            Error("excessive nesting"),
        ),
        ("return cjson.decode(string.rep('[', 1000000))", Error("too many nested data structures")),
        (
            "cjson.decode_max_depth(1e9) return cjson.decode(string.rep('[', 1000000))",
            Error("too many nested data structures"),
        ),
        ("return cjson.encode({[1] = 1, [2147483647] = 2})", Error("excessively sparse array")),
        ("return cjson.encode_number_precision(2147483647)", Error("expected integer between 1 and 14")),
        ("return cmsgpack.unpack('\\221\\255\\255\\255\\255')", Error("Missing bytes in input")),
        ("return cmsgpack.unpack(string.rep('\\145', 1000000))", Error("stack overflow")),
        ("return struct.pack('I2147483648', 1)", Error("integral size overflow")),
        ("return struct.unpack('>I2147483646', 'abcd', 1)", Error("larger than limit of 32")),
        ("return struct.unpack('c4294967295', 'abc')", Error("integral size overflow")),
        ("return struct.unpack('i4', 'abcdefgh', 2147483647)", Error("data string too short")),
        ("return struct.unpack('i4', 'abcdefgh', -1e300)", Error("data string too short")),
        ("return struct.unpack('i4', 'abcdefgh', 1e300)", Error("data string too short")),
        ("return struct.pack('c2147483647', 'a')", Error("string too short")),
        ("return bit.tohex(65535, -2147483648)", Is("0000FFFF")),
    ]);
}

#[test]
fn environments_and_proxies() {
    check(&[
        ("return type(setfenv)", Error("nonexistent global variable 'setfenv'")),
        ("return type(getfenv)", Error("nonexistent global variable 'getfenv'")),
        ("return type(newproxy)", Error("nonexistent global variable 'newproxy'")),
    ]);
    let is_mine = "local function f() return x end setfenv(f, {x = 7}) return f()";
    check_with(
        &["--lua-enable-deprecated-api", "yes"],
        &[
            (is_mine, Is("7")),
            ("local function f() return 1 end return setfenv(f, {}) == f and 1", Is("1")),
            ("local e = {} local function f() end setfenv(f, e) return getfenv(f) == e and 1", Is("1")),
            ("local e = {redis = redis} setfenv(1, e) y = 5 return redis.call('ECHO', e.y)", Is("5")),
            // What a script made of its own environment, it does not find again.
            ("local t = type setfenv(1, {}) return t(redis)", Is("nil")),
            ("local t = type local before = redis and 1 setfenv(1, {}) return before", Is("1")),
            ("local t = type local before = redis and 1 setfenv(1, {}) return before", Is("1")),
            ("local e = getfenv() return e == _G and 1", Is("1")),
            ("local e = getfenv(0) return e == _G and 1", Is("1")),
            // The sandbox keeps its own.
            (
                "for _, f in ipairs{pcall, string.rep, redis.call, table.insert} do assert(getfenv(f) == _G) end return 1",
                Is("1"),
            ),
            ("for i = 1, 2 do local e = getfenv(i) assert(e == _G) end return 1", Is("1")),
            ("setfenv(pcall, {})", Error("'setfenv' cannot change environment of given object")),
            ("setfenv(string.rep, {})", Error("'setfenv' cannot change environment of given object")),
            ("setfenv(0, {})", Error("'setfenv' cannot change environment of given object")),
            ("setfenv(2, {})", Error("'setfenv' cannot change environment of given object")),
            ("setfenv(99, {})", Error("bad argument #1 to 'setfenv' (invalid level)")),
            ("getfenv(-1)", Error("bad argument #1 to 'getfenv' (level must be non-negative)")),
            ("setfenv(1)", Error("bad argument #2 to 'setfenv' (table expected, got no value)")),
            ("getfenv({})", Error("bad argument #1 to 'getfenv' (number expected, got table)")),
            ("getfenv().x = 1", Error("Attempt to modify a readonly table")),
            // Proxies have everything but an end of their own.
            ("local p = newproxy(true) getmetatable(p).__index = {x = 3} return p.x", Is("3")),
            (
                "local p = newproxy(true) getmetatable(p).__call = function(_, n) return n end return newproxy(p)(4)",
                Is("4"),
            ),
            ("return type(newproxy()) .. tostring(getmetatable(newproxy(false)))", Is("userdatanil")),
            ("newproxy({})", Error("bad argument #1 to 'newproxy' (boolean or proxy expected)")),
            ("error(newproxy(true))", Any),
            ("return newproxy(true)", Is("nil")),
            ("redis.call('ECHO', newproxy())", Error("arguments must be strings or integers")),
            (
                "local m = getmetatable(newproxy(true)) m.__gc = error rawset(m, '__gc', error) assert(rawget(m, '__gc') == nil) \
             assert(not pcall(setmetatable, m, {})) collectgarbage() collectgarbage() return 1",
                Is("1"),
            ),
        ],
    );
}

#[test]
fn what_a_script_does_to_the_collector_ends_with_it() {
    let server = Server::start(&["--threads", "1"]);
    let mut client = server.connect();
    client.ask_words(&[
        "EVAL",
        "collectgarbage('setpause', 0) collectgarbage('setstepmul', 1e9) collectgarbage('stop')",
        "0",
    ]);
    for (setting, value) in [("setpause", "200"), ("setstepmul", "200")] {
        let script = format!("return collectgarbage('{setting}', 150)");
        assert_eq!(client.ask_words(&["EVAL", &script, "0"]), value, "{setting}");
    }
    let script = "for i = 1, 1e5 do local s = string.rep('x', 1000) .. i end return collectgarbage('count') < 20000";
    assert_eq!(client.ask_words(&["EVAL", script, "0"]), "1");
}

#[test]
fn what_a_script_took_is_given_back() {
    let server = Server::start(&["--threads", "1"]);
    let mut client = server.connect();
    let resident = |client: &mut Connection| client.info("used_memory_rss").parse::<usize>().expect("a number");
    client.ask_words(&["EVAL", "return 1", "0"]);
    let before = resident(&mut client);
    for script in [
        "local t = {} for i = 1, 1e9 do t[i] = string.rep('x', 1e6) .. i end",
        "return string.gsub(string.rep('x', 100), 'x', function() return string.rep('y', 1e8) end)",
        "local s = string.rep('x', 1e8) local t = {} for i = 1, 99 do t[i] = s end return cjson.encode(t)",
    ] {
        let answer = client.ask_words(&["EVAL", script, "0"]);
        assert!(answer.contains("not enough memory"), "{answer}");
        assert!(client.info("used_memory_lua").parse::<usize>().expect("a number") < 4 << 20, "{script}");
        // The allocator gives back in its own time.
        eventually("the memory", || resident(&mut client) < before + (128 << 20));
    }
}

const BUSY: &str = "(BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.)";

#[test]
fn what_runs_within_one_function_can_be_ended() {
    let server = Server::start(&["--busy-reply-threshold", "50", "--threads", "2"]);
    let (mut runner, mut others): (Connection, Vec<Connection>) =
        (server.connect(), (0..2).map(|_| server.connect()).collect());
    for (index, script) in [
        "return string.find(string.rep('a', 30000), '.-.-.-.-b')",
        "return string.match(string.rep('a', 100000), string.rep('a?', 40000) .. 'b')",
        "return string.gsub(string.rep('a', 100000), '.-.-.-b', 'x')",
        "for a in string.gmatch(string.rep('(', 10000000), '%b()') do end",
        "return string.find(string.rep('a', 100000), '[' .. string.rep('b', 10000000) .. ']')",
        "pcall(string.find, string.rep('a', 30000), '.-.-.-.-b') while true do end",
        "return coroutine.wrap(function() return string.find(string.rep('a', 30000), '.-.-.-.-b') end)()",
        "local t = {} for i = 1, 10 do t[i] = t end return t",
        "local t = {1} for i = 1, 15 do local n = {} for j = 1, 20 do n[j] = {{}, t} end t = n end while true do pcall(cmsgpack.pack, t) end",
        "local s, t = string.rep('x', 100000), {} for i = 1, 1000000 do t[i] = s end table.sort(t)",
        "local s = string.rep('x', 1000000) while true do local longer = s .. 'x' end",
    ]
    .into_iter()
    .enumerate()
    {
        runner.send_words(&["EVAL", script, "0"]);
        let other = &mut others[index % 2];
        eventually("the limit", || other.ask("GET k") == BUSY);
        assert_eq!(other.ask("SCRIPT KILL"), "OK", "{script}");
        let reply = runner.reply();
        assert!(reply.contains("Script killed by user with SCRIPT KILL."), "{script}: {}", &reply[..reply.len().min(300)]);
        assert_eq!(other.ask("GET k"), "nil");
    }
    assert_eq!(runner.ask_words(&["EVAL", "return string.match('key:12', '%d+')", "0"]), "12");
}
