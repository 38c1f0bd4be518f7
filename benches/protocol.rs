//! The protocol: requests parsed where they lie, replies written. Times are for a batch, as a pipeline brings it.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use radish::resp::{ErrorReply, Progress, Protocol, Reply, RequestLimits, parse_request};

/// Requests or replies in a batch.
const BATCH: u64 = 64;

const LIMITS: RequestLimits = RequestLimits { bulk_bytes_max: 512 << 20, authenticated: true };

fn request(words: &[&[u8]]) -> Vec<u8> {
    redis::Cmd::new().arg(words).get_packed_command()
}

/// Parses all requests of `buffer`, which holds nothing else.
fn parse_all(buffer: &[u8]) -> usize {
    let (mut at, mut progress) = (0, Progress::default());
    let (mut spans, mut words) = (Vec::with_capacity(256), Vec::new());
    while at < buffer.len() {
        let parsed = parse_request(&buffer[at..], &mut progress, &mut spans, &mut words, &LIMITS);
        at += parsed.expect("it is a request").expect("it is complete");
    }
    spans.len()
}

fn requests(criterion: &mut Criterion) {
    let mset: Vec<&[u8]> = std::iter::once(&b"MSET"[..]).chain([&b"0123456789abcdef"[..]; 20]).collect();
    let cases = [
        ("PING", request(&[b"PING"])),
        ("GET", request(&[b"GET", b"key:000000012345"])),
        ("SET of 64 bytes", request(&[b"SET", b"key:000000012345", &[b'x'; 64]])),
        ("SET of 4 KiB", request(&[b"SET", b"key:000000012345", &[b'x'; 4096]])),
        ("MSET of 10", request(&mset)),
        ("inline SET", b"SET key:000000012345 \"a value\"\r\n".to_vec()),
    ];
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(BATCH));
    for (name, request) in cases {
        let buffer = request.repeat(BATCH as usize);
        group.bench_function(name, |bencher| bencher.iter(|| black_box(parse_all(&buffer))));
    }
    // A request that arrives byte by byte is not looked at from the start each time.
    let slow = request(&[b"SET", b"key:000000012345", &[b'x'; 4096]]);
    group.throughput(Throughput::Elements(1));
    group.bench_function("SET of 4 KiB, byte by byte", |bencher| {
        bencher.iter(|| {
            let (mut progress, mut spans, mut words) = (Progress::default(), Vec::new(), Vec::new());
            for end in 1..=slow.len() {
                let parsed = parse_request(&slow[..end], &mut progress, &mut spans, &mut words, &LIMITS);
                black_box(parsed).expect("it is right");
            }
        });
    });
}

fn replies(criterion: &mut Criterion) {
    type Write = fn(&mut Reply);
    let cases: [(&str, Write); 6] = [
        ("OK", |reply| reply.ok().expect("it is written")),
        ("integer", |reply| reply.integer(black_box(1_234_567)).expect("it is written")),
        ("bulk of 64 bytes", |reply| reply.bulk(black_box(&[b'x'; 64])).expect("it is written")),
        ("null", |reply| reply.null().expect("it is written")),
        ("array of 100 bulks", |reply| reply.bulk_array(black_box(&[b"element:12"; 100])).expect("it is written")),
        ("error", |reply| {
            let error = ErrorReply::fixed("ERR value is not an integer or out of range");
            reply.error(black_box(&error)).expect("it is written");
        }),
    ];
    let mut group = criterion.benchmark_group("reply");
    group.throughput(Throughput::Elements(BATCH));
    for (name, write) in cases {
        let mut reply = Reply::new(Protocol::Resp2);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                reply.clear();
                (0..BATCH).for_each(|_| write(&mut reply));
                black_box(reply.len())
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("array whose length comes last", |bencher| {
        bencher.iter_batched_ref(
            || Reply::new(Protocol::Resp3),
            |reply| {
                let at = reply.deferred_array();
                (0..100).for_each(|number| reply.integer(number).expect("it is written"));
                reply.finish_array(at, 100).expect("it is written");
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, requests, replies);
criterion_main!(benches);
