//! The libraries of scripts: any bytes to be decoded, any format to pack and unpack by, and patterns. They end with an error or a
//! value, and what was decoded is encoded and decoded to the same.
//!
//! The first byte says which of the scripts below runs; the rest is its arguments, apart by newlines.

#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use radish::state::State;
use std::sync::LazyLock;

const SCRIPTS: [&str; 12] = [
    // What is nested too deep is packed as nil, which a table does not keep: only the second time nothing goes.
    "local again = function(packed) return cmsgpack.pack(cmsgpack.unpack(packed)) end local first = again(again(ARGV[1])) \
     assert(#again(first) == #first, 'differs') return first",
    "local first = cjson.encode(cjson.decode(ARGV[1])) return first",
    "return {cmsgpack.unpack_limit(ARGV[1], 3, tonumber(ARGV[2]) or 0)}",
    "return {struct.unpack(ARGV[1], ARGV[2], tonumber(ARGV[3]))}",
    "return struct.pack(ARGV[1], tonumber(ARGV[2]) or ARGV[2], tonumber(ARGV[3]) or ARGV[3], ARGV[4])",
    "return struct.size(ARGV[1])",
    "return {string.find(string.sub(ARGV[1], 1, 24), string.sub(ARGV[2], 1, 12)), string.format(ARGV[2], 1, 2, 3)}",
    "return {bit.tohex(tonumber(ARGV[1]), tonumber(ARGV[2])), bit.lshift(tonumber(ARGV[1]), tonumber(ARGV[2])), \
     bit.arshift(tonumber(ARGV[1]), tonumber(ARGV[2])), bit.bswap(tonumber(ARGV[1])), bit.rol(tonumber(ARGV[1]), tonumber(ARGV[2]))}",
    "return cjson.encode(cmsgpack.unpack(ARGV[1]))",
    "return cmsgpack.pack(cjson.decode(ARGV[1]), redis.sha1hex(ARGV[1]), {err = ARGV[1]})",
    "local s, p = string.sub(ARGV[1], 1, 24), string.sub(ARGV[2], 1, 12) \
     local first, last = string.find(s, p) local all = {} for a, b in string.gmatch(s, p) do all[#all + 1] = {a, b} end \
     if not string.find(p, '[%z^]') then assert(not first == not all[1], 'differs') end \
     return {first, last, all, string.match(s, p, tonumber(ARGV[3]))}",
    "local s, p = string.sub(ARGV[1], 1, 24), string.sub(ARGV[2], 1, 12) \
     local same, n = string.gsub(s, p, function() end) assert(same == s, 'differs') \
     assert(string.gsub(s, p, '%0') == s, 'differs') \
     return {n, string.gsub(s, p, ARGV[3] or '%1'), string.gsub(s, p, {a = 'b', [s] = ARGV[3]}, 2)}",
];

static STATE: LazyLock<State> = LazyLock::new(|| support::new_state(b"save ''"));

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else { return };
    let script = SCRIPTS[usize::from(*choice) % SCRIPTS.len()];
    let mut words: Vec<&[u8]> = vec![b"EVAL", script.as_bytes(), b"0"];
    words.extend(rest.split(|byte| *byte == b'\n'));
    let mut session = support::new_session(&STATE, 1);
    if choice & 0x80 != 0 {
        support::run(&STATE, &mut session, &[b"HELLO", b"3"]);
    }
    let reply = support::run(&STATE, &mut session, &words);
    assert!(reply.ends_with(b"\r\n"));
    assert!(!reply.windows(7).any(|part| part == b"differs"), "{:?}", String::from_utf8_lossy(&reply));
    support::end(&STATE, session);
});
