//! What the HTTP gateway makes of bodies and paths. Whatever is accepted must be whole requests, as many as are counted, and not
//! many more bytes than came in.
//!
//! The first byte says what the rest is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use radish::gateway::request::{Commands, Format, Malformed};
use radish::resp::{Args, Progress, RequestLimits, parse_request};

/// Bytes of requests for each of a body, at most: a number in a few bytes may have hundreds of digits.
const GROWTH_MAX: usize = 512;

fn decode(kind: u8, rest: &[u8]) -> Result<Commands, Malformed> {
    let refusal = |name: &[u8], _: &[u8]| name.eq_ignore_ascii_case(b"MONITOR").then(|| "refused".to_owned());
    match kind % 5 {
        0 => Commands::one(rest, Format::Json, &refusal),
        1 => Commands::many(rest, Format::Json, &refusal),
        2 => Commands::one(rest, Format::MessagePack, &refusal),
        3 => Commands::many(rest, Format::MessagePack, &refusal),
        _ => {
            let text = String::from_utf8_lossy(rest);
            let (path, query) = text.split_once('?').unwrap_or((&text, ""));
            Commands::from_path(path, (kind & 8 == 8).then_some(rest), query, &refusal)
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    let Ok(commands) = decode(*kind, rest) else { return };
    assert!(commands.bytes.len() <= (rest.len() + 1) * GROWTH_MAX);
    let limits = RequestLimits { bulk_bytes_max: i64::MAX, authenticated: true };
    let (mut at, mut count) = (0, 0);
    while at < commands.bytes.len() {
        let (mut spans, mut words, mut progress) = (Vec::new(), Vec::new(), Progress::default());
        let request = &commands.bytes[at..];
        let len = parse_request(request, &mut progress, &mut spans, &mut words, &limits).expect("it is a request");
        at += len.expect("it is whole");
        let name = Args::new(request, &spans).at(0);
        assert!(!name.is_empty() && !name.eq_ignore_ascii_case(b"MONITOR"));
        count += 1;
    }
    assert_eq!(count, commands.count);
    assert!(count > 0);
});
