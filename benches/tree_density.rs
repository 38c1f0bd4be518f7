//! Bytes per key of the tree, and the time of single operations in a tree too large for the caches.
//!
//! `cargo bench --bench tree_density [-- KEYS]` prints a line for each shape of keys, added in order and in random order. Values
//! have 16 bytes; bytes per key are all that the allocator has handed out. Times are nanoseconds per operation on random keys.

use std::hint::black_box;

use radish::tree::{Layout, NewPayload, NoRecorder, Payload, Seed, Tree, Uncounted};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use tikv_jemalloc_ctl::{epoch, stats};

struct Keyspace;

impl Layout for Keyspace {
    const CLOCK: bool = true;
    type Boxed = Vec<u8>;
    type Recorder = NoRecorder;
    type Count = Uncounted;
}

/// Requests that are prefetched together.
const BATCH: usize = 64;

fn allocated() -> usize {
    epoch::advance().expect("jemalloc is the allocator");
    stats::allocated::read().expect("jemalloc is the allocator")
}

fn main() {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(5_000_000);
    println!("{count} keys{:16}  B/key  free  nodes | put ns  get ns  prefetched  replace  remove", "");
    for (name, key) in SHAPES {
        for shuffled in [false, true] {
            measure(name, *key, count, shuffled);
        }
    }
}

type Shape = fn(u64, &mut Vec<u8>);

/// A number that looks random and is different for each `number`.
fn scramble(number: u64) -> u64 {
    let mixed = (number ^ number >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

const SHAPES: &[(&str, Shape)] = &[
    ("key:%012d", |number, key| write(key, format_args!("key:{number:012}"))),
    ("user:N:profile:x", |number, key| write(key, format_args!("user:{number}:profile:x"))),
    ("16 hex digits", |number, key| write(key, format_args!("{:016x}", scramble(number)))),
    ("sess:UUID", |number, key| {
        let (a, b) = (scramble(number), scramble(!number));
        write(
            key,
            format_args!(
                "sess:{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                a >> 32,
                a >> 16 & 0xffff,
                a & 0xffff,
                b >> 48,
                b << 16 >> 16
            ),
        );
    }),
];

fn write(key: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    use std::io::Write;
    key.clear();
    key.write_fmt(text).expect("a vector takes all");
}

fn measure(name: &str, shape: Shape, count: usize, shuffled: bool) {
    let seed = Seed::from_u64(1);
    let mut rng = SmallRng::seed_from_u64(1);
    let mut numbers: Vec<u32> = (0..count as u32).collect();
    if shuffled {
        numbers.shuffle(&mut rng);
    }
    // What the loops cost without the tree is taken off.
    let mut key = Vec::new();
    let loop_cost = time(count, |at| {
        shape(numbers[at].into(), &mut key);
        black_box(seed.key(&key));
    });
    let before = allocated();
    let mut tree = Tree::<Keyspace>::new();
    let put = time(count, |at| {
        shape(numbers[at].into(), &mut key);
        tree.put(seed.key(&key), NewPayload::Inline { kind: 0, bytes: b"0123456789abcdef" }, None, 1);
    });
    let bytes = (allocated() - before) as f64 / count as f64;
    let memory = tree.memory();

    let lookups = count.min(2_000_000);
    let picks: Vec<u32> = (0..lookups).map(|_| rng.random_range(0..count as u32)).collect();
    let get = time(lookups, |at| {
        shape(picks[at].into(), &mut key);
        let position = tree.find(seed.key(&key)).expect("the key is there");
        let Payload::Inline { bytes, .. } = tree.payload(position) else { unreachable!("no value is boxed") };
        black_box(bytes[15]);
    });
    let mut keys = vec![Vec::new(); BATCH];
    let prefetched = time(lookups / BATCH, |at| {
        for (key, pick) in keys.iter_mut().zip(&picks[at * BATCH..]) {
            shape((*pick).into(), key);
        }
        let mut keyed: [_; BATCH] = std::array::from_fn(|at| seed.key(&keys[at]));
        let mut walks = [tree.set_out(); BATCH];
        while keyed.iter().zip(&mut walks).fold(false, |more, (key, walk)| tree.advance(key.bytes, walk) | more) {}
        for (key, walk) in keyed.iter_mut().zip(&walks) {
            key.trail = tree.trail(walk);
            tree.prefetch_slots(*key, false);
        }
        for key in &mut keyed {
            tree.prefetch_record(key);
        }
        for key in keyed {
            let position = tree.find(key).expect("the key is there");
            black_box(tree.clock(position));
        }
    }) / BATCH as f64;
    let replace = time(lookups, |at| {
        shape(picks[at].into(), &mut key);
        tree.put(seed.key(&key), NewPayload::Inline { kind: 0, bytes: b"fedcba9876543210" }, None, 1);
    });
    drop((picks, keys));
    numbers.shuffle(&mut rng);
    let remove = time(count * 9 / 10, |at| {
        shape(numbers[at].into(), &mut key);
        tree.remove_key(seed.key(&key)).expect("the key is there");
    });
    let sparse = (allocated() - before) as f64 / (count - count * 9 / 10) as f64;
    println!(
        "{name:16} {:9} {bytes:6.1}  {:3.1}%  {:5.2} | {:6.0}  {:6.0}  {:10.0}  {:7.0}  {:6.0}  {sparse:6.1} B/key after removing 90 %",
        if shuffled { "shuffled" } else { "in order" },
        memory.page_free_bytes as f64 * 100.0 / memory.page_bytes as f64,
        memory.node_bytes as f64 / count as f64,
        put - loop_cost,
        get - loop_cost,
        prefetched - loop_cost,
        replace - loop_cost,
        remove - loop_cost,
    );
}

/// Nanoseconds of processor time per call.
fn time(count: usize, mut call: impl FnMut(usize)) -> f64 {
    let start = cpu_time();
    (0..count).for_each(&mut call);
    (cpu_time() - start) * 1e9 / count as f64
}

/// Seconds for which this thread has run.
fn cpu_time() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec, which the call fills in.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
