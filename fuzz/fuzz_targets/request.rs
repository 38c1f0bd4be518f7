//! Bytes as clients may send them, cut anywhere. However they are cut, the same requests must come out; arrays must
//! be those that `redis-protocol` reads, and inline commands those that the words of redis.conf's lines would be.
//!
//! The first byte holds the limits, the second how the rest is cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use radish::resp::{Args, Progress, ProtocolError, RequestLimits, parse_request};
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::encode::encode;
use redis_protocol::resp2::types::{OwnedFrame, Resp2Frame};

type Request = Vec<Vec<u8>>;

/// A request with the bytes that it was read from.
#[derive(Debug, PartialEq)]
struct Found {
    request: Request,
    begin: usize,
    end: usize,
}

/// Feeds `bytes` in pieces, as a socket would, and returns the requests and what ended them.
fn parse(
    bytes: &[u8],
    limits: &RequestLimits,
    mut piece_len: impl FnMut() -> usize,
) -> (Vec<Found>, Option<ProtocolError>) {
    let (mut found, mut buffer, mut progress) = (vec![], vec![], Progress::default());
    let (mut spans, mut words) = (vec![], vec![]);
    let (mut begin, mut rest) = (0, bytes);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(piece_len().clamp(1, rest.len()));
        rest = after;
        buffer.extend_from_slice(piece);
        loop {
            match parse_request(&buffer, &mut progress, &mut spans, &mut words, limits) {
                Ok(Some(len)) => {
                    assert!(len > 0, "a request takes bytes");
                    assert!(progress.is_fresh());
                    let source = if words.is_empty() { &buffer[..len] } else { &words };
                    let request = Args::new(source, &spans).iter().map(<[u8]>::to_vec).collect();
                    found.push(Found { request, begin, end: begin + len });
                    begin += len;
                    buffer.drain(..len);
                    spans.clear();
                    words.clear();
                }
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

/// The request that a frame is, if it is one.
fn as_request(frame: &OwnedFrame) -> Option<Request> {
    let OwnedFrame::Array(elements) = frame else { return None };
    let bulk = |element: &OwnedFrame| match element {
        OwnedFrame::BulkString(bytes) => Some(bytes.clone()),
        _ => None,
    };
    elements.iter().map(bulk).collect()
}

fn encode_request(request: &Request) -> Vec<u8> {
    let frame = OwnedFrame::Array(request.iter().cloned().map(OwnedFrame::BulkString).collect());
    let mut bytes = vec![0; frame.encode_len(false)];
    let len = encode(&mut bytes, &frame, false).expect("a frame can be encoded");
    assert_eq!(len, bytes.len());
    bytes
}

fn is_within(request: &Request, limits: &RequestLimits) -> bool {
    let len_max = if limits.authenticated { limits.bulk_bytes_max } else { limits.bulk_bytes_max.min(16 * 1024) };
    request.iter().all(|argument| argument.len() as i64 <= len_max) && (limits.authenticated || request.len() <= 10)
}

fuzz_target!(|input: &[u8]| {
    let [limits, cut, bytes @ ..] = input else { return };
    let limits = RequestLimits {
        bulk_bytes_max: if limits & 1 == 0 { 512 << 20 } else { i64::from(limits >> 2) },
        authenticated: limits & 2 == 0,
    };
    let whole = parse(bytes, &limits, || usize::MAX);
    let mut state = u32::from(*cut);
    let cut_up = parse(bytes, &limits, || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 16) as usize % (1 + usize::from(*cut))
    });
    assert_eq!(whole, cut_up);

    let (found, error) = whole;
    for Found { request, begin, end } in &found {
        let bytes = &bytes[*begin..*end];
        if bytes[0] == b'*' {
            // Like Redis, we look at the first byte of a line end alone; the codec looks at both.
            if encode_request(request) == bytes {
                let (frame, len) = decode(bytes).expect("it is a frame").expect("it is complete");
                assert_eq!((as_request(&frame).as_ref(), len), (Some(request), bytes.len()));
            }
        } else {
            let line = bytes.strip_suffix(b"\n").expect("a line ends");
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            assert_eq!(radish::config::split(line).as_ref(), Some(request));
        }
    }
    // What the parser stopped at must be no request in its usual form.
    let rest = &bytes[found.last().map_or(0, |found| found.end)..];
    if let Ok(Some((frame, len))) = decode(rest)
        && let Some(request) = as_request(&frame)
        && encode_request(&request) == rest[..len]
    {
        assert!(error.is_some() && !is_within(&request, &limits), "{request:?} was not read");
    }
});
