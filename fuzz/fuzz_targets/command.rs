//! Requests of any kind, run by the command layer against a keyspace, without sockets. Nothing may panic, every reply must be
//! a whole frame of the protocol, and the trees must keep their invariants.
//!
//! The first byte says what the database holds and which protocol is spoken; the rest is what a client sends.

#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use radish::client::Session;
use radish::command;
use radish::config::Directive;
use radish::resp::{Args, Progress, Protocol, Reply, RequestLimits, parse_request};
use radish::state::State;
use std::sync::LazyLock;
use support::{end, execute, new_session, new_state, verify};

/// Values are kept this small, so that no input needs much memory.
const OPTIONS: &[u8] = b"proto-max-bulk-len 1mb\nsave ''\nenable-debug-command yes\n\
    list-max-listpack-size 8";

static STATE: LazyLock<State> = LazyLock::new(|| new_state(OPTIONS));

/// Commands that end the process, stop it, write files, or report on the process at length.
fn is_left_out(args: Args<'_>) -> bool {
    let is = |index: usize, name: &str| args.get(index).is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()));
    is(0, "shutdown")
        || is(0, "save")
        || is(0, "config") && !is(1, "get") && !is(1, "resetstat")
        || is(0, "debug") && !is(1, "object") && !is(1, "digest") && !is(1, "digest-value") && !is(1, "protocol")
        || is(0, "memory") && (is(1, "malloc-stats") || is(1, "purge"))
        || is(0, "client") && is(1, "pause")
}

/// Runs what is complete in `bytes`; the replies to `session`.
fn run(session: &mut Session, bytes: &[u8], reply: &mut Reply) {
    let limits = RequestLimits { bulk_bytes_max: STATE.settings.int(Directive::ProtoMaxBulkLen), authenticated: true };
    let (mut progress, mut spans, mut words) = (Progress::default(), Vec::new(), Vec::new());
    let mut at = 0;
    while at < bytes.len() {
        let parsed = parse_request(&bytes[at..], &mut progress, &mut spans, &mut words, &limits);
        let Ok(Some(len)) = parsed else { return };
        let args = Args::new(if words.is_empty() { &bytes[at..at + len] } else { &words }, &spans);
        if !args.is_empty() && !is_left_out(args) {
            let begin = reply.len();
            execute(&STATE, session, bytes, args, reply);
            // HELLO and RESET answer in the protocol that they change to.
            check_frames(&reply.as_bytes()[begin..], session.protocol);
        }
        if session.blocked.is_some() {
            command::time_out(&STATE, session);
        }
        if session.close_after_reply || session.client.is_killed() {
            return;
        }
        at += len;
        spans.clear();
        words.clear();
    }
}

/// The replies of one command: whole frames of the protocol, and nothing after them.
fn check_frames(bytes: &[u8], protocol: Protocol) {
    let mut rest = bytes;
    while !rest.is_empty() {
        match after_frame(rest, protocol) {
            Some(after) => rest = after,
            None => panic!("no reply in {protocol:?}: {:?}", String::from_utf8_lossy(bytes)),
        }
    }
}

/// What follows the frame that `bytes` begin with. (`redis-protocol` wants errors to be UTF-8, but those that quote an
/// argument are what the argument is.)
fn after_frame(bytes: &[u8], protocol: Protocol) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|window| window == b"\r\n")?;
    let (kind, line, rest) = (bytes[0], &bytes[1..end], &bytes[end + 2..]);
    let is_resp3 = protocol == Protocol::Resp3;
    let number = || std::str::from_utf8(line).ok()?.parse::<i64>().ok();
    let elements = match kind {
        b'+' | b'-' => return (!line.contains(&b'\n') && !line.contains(&b'\r')).then_some(rest),
        b':' => return number().map(|_| rest),
        b',' | b'(' if is_resp3 => return (!line.is_empty()).then_some(rest),
        b'#' if is_resp3 => return matches!(line, b"t" | b"f").then_some(rest),
        b'_' if is_resp3 => return line.is_empty().then_some(rest),
        b'$' | b'*' if line == b"-1" && !is_resp3 => return Some(rest),
        b'$' => return rest.get(usize::try_from(number()?).ok()?..)?.strip_prefix(b"\r\n"),
        b'=' if is_resp3 => return rest.get(usize::try_from(number()?).ok()?..)?.strip_prefix(b"\r\n"),
        b'*' => number()?,
        b'~' | b'>' if is_resp3 => number()?,
        b'%' | b'|' if is_resp3 => 2 * number()?,
        _ => return None,
    };
    (0..elements).try_fold(rest, |rest, _| after_frame(rest, protocol))
}

fuzz_target!(|input: &[u8]| {
    let Some((flags, bytes)) = input.split_first() else { return };
    let mut reply = Reply::default();
    let mut session = new_session(&STATE, 1);
    run(&mut session, b"FLUSHALL SYNC\r\n", &mut reply);
    if flags & 1 == 1 {
        run(&mut session, b"HELLO 3\r\n", &mut reply);
    }
    if flags & 2 == 2 {
        run(&mut session, b"SET key value\r\nRPUSH list a b c 1 2 3\r\nSETBIT bits 100 1\r\n", &mut reply);
    }
    reply.clear();
    run(&mut session, bytes, &mut reply);
    end(&STATE, session);
    verify(&STATE);
});
