//! A request from its bytes to its reply, without a socket: parsing, the command table, locks, the handler, the books.
//! Times are for a batch, prepared and prefetched together as a pipeline is. A million keys, so that caches do not help.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use radish::client::{Client, Endpoint, Identity, Session};
use radish::command::{self, BATCH_REQUESTS_MAX, Batch, Outcome};
use radish::config::Settings;
use radish::resp::{Args, Progress, Protocol, Reply, RequestLimits, Span, parse_request};
use radish::spec::Table;
use radish::state::State;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;

const KEYS: u32 = 1_000_000;

/// A server without sockets, and a client of it.
struct Bench {
    state: State,
    session: Session,
    spans: Vec<Span>,
    batch: Batch,
    reply: Reply,
}

impl Bench {
    fn new() -> Bench {
        let table = Table::new(&[]).expect("no command is renamed");
        let state = State::new(Settings::new(), table, 1).expect("its threads start");
        let nowhere = Endpoint::Unix("".into());
        let client = Client::new(state.clients.next_id(), nowhere.clone(), nowhere, -1, 0);
        Bench {
            session: Session::new(Identity::new(Arc::new(client), state.acl.default_account(), true)),
            state,
            spans: Vec::new(),
            batch: Batch::default(),
            reply: Reply::new(Protocol::Resp2),
        }
    }

    /// Runs requests as a connection runs those that arrived together. Returns the bytes of their replies.
    fn run(&mut self, buffer: &[u8]) -> usize {
        let limits = RequestLimits { bulk_bytes_max: 512 << 20, authenticated: true };
        self.reply.clear();
        self.spans.clear();
        self.batch.clear();
        let (mut at, mut requests) = (0, Vec::with_capacity(BATCH_REQUESTS_MAX));
        while at < buffer.len() {
            let (first, words) = (self.spans.len(), &mut Vec::new());
            let parsed = parse_request(&buffer[at..], &mut Progress::default(), &mut self.spans, words, &limits);
            let len = parsed.expect("it is a request").expect("it is complete");
            requests.push((at..at + len, first..self.spans.len()));
            at += len;
        }
        let args = |at: usize| Args::new(&buffer[requests[at].0.clone()], &self.spans[requests[at].1.clone()]);
        for at in 0..requests.len() {
            self.batch.push(&self.state, buffer, args(at));
        }
        self.batch.prefetch(&self.state, buffer, 0);
        for at in 0..requests.len() {
            let prepared = self.batch.request(buffer, at);
            let done = command::execute(&self.state, &mut self.session, args(at), prepared, &mut self.reply);
            assert!(matches!(done, Outcome::Done));
        }
        self.reply.len()
    }
}

fn request(words: &[&[u8]]) -> Vec<u8> {
    redis::Cmd::new().arg(words).get_packed_command()
}

fn key(number: u32) -> Vec<u8> {
    format!("key:{number:012}").into_bytes()
}

fn commands(criterion: &mut Criterion) {
    let mut bench = Bench::new();
    let value = [b'x'; 64];
    for number in 0..KEYS {
        bench.run(&request(&[b"SET", &key(number), &value]));
    }
    bench.run(&request(&[b"DEL", b"counter", b"list"]));
    let mut rng = SmallRng::seed_from_u64(1);
    let mut random_key = move || key(rng.random_range(0..KEYS));

    let mut group = criterion.benchmark_group("dispatch");
    let mut measure = |name: &str, size: usize, make: &mut dyn FnMut() -> Vec<u8>| {
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(format!("{name}, batch of {size}"), |bencher| {
            bencher.iter_batched(
                || (0..size).flat_map(|_| make()).collect::<Vec<u8>>(),
                |requests| {
                    black_box(bench.run(&requests));
                    requests
                },
                BatchSize::LargeInput,
            );
        });
    };
    for size in [1, 16, BATCH_REQUESTS_MAX] {
        measure("PING", size, &mut || request(&[b"PING"]));
        measure("GET", size, &mut || request(&[b"GET", &random_key()]));
        measure("SET", size, &mut || request(&[b"SET", &random_key(), &value]));
    }
    measure("INCR", 16, &mut || request(&[b"INCR", b"counter"]));
    measure("LPUSH and RPOP", 16, &mut {
        let mut pushes = false;
        move || {
            pushes = !pushes;
            if pushes { request(&[b"LPUSH", b"list", b"element"]) } else { request(&[b"RPOP", b"list"]) }
        }
    });
    // Finding out that a request is wrong.
    measure("unknown command", 16, &mut || request(&[b"NOPE", b"x"]));
}

criterion_group!(benches, commands);
criterion_main!(benches);
