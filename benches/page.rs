//! Operations inside a single page: trees so small that they are one page without inner nodes.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use radish::tree::{Layout, NewPayload, NoRecorder, Seed, Tree, Uncounted};

struct Keyspace;

impl Layout for Keyspace {
    const CLOCK: bool = true;
    type Boxed = Vec<u8>;
    type Recorder = NoRecorder;
    type Count = Uncounted;
}

type Value<'a> = NewPayload<'a, Vec<u8>>;

const SMALL: Value<'_> = NewPayload::Inline { kind: 0, bytes: b"0123456789abcdef" };
const SMALL_TOO: Value<'_> = NewPayload::Inline { kind: 0, bytes: b"fedcba9876543210" };
const LONGER: Value<'_> = NewPayload::Inline { kind: 0, bytes: &[b'x'; 40] };

/// Keys of a page: a handful, and nearly as many as fit with 16-byte values.
const SIZES: [usize; 2] = [10, 180];

fn names(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("key:{number:012}").into_bytes()).collect()
}

fn filled(seed: &Seed, names: &[Vec<u8>]) -> Tree<Keyspace> {
    let mut tree = Tree::new();
    for name in names {
        tree.put(seed.key(name), SMALL, None, 0);
    }
    tree
}

fn operations(criterion: &mut Criterion) {
    let seed = Seed::from_u64(1);
    let mut group = criterion.benchmark_group("page");
    for size in SIZES {
        let names = names(size);
        let mut tree = filled(&seed, &names);
        let mut next = names.iter().cycle();
        let mut key = || seed.key(next.next().expect("it goes round"));
        group.bench_function(BenchmarkId::new("find", size), |bencher| {
            bencher.iter_batched(&mut key, |key| black_box(tree.find(key)), BatchSize::SmallInput);
        });
        group.bench_function(BenchmarkId::new("find what is not there", size), |bencher| {
            let absent = seed.key(b"key:none");
            bencher.iter(|| black_box(tree.find(black_box(absent))));
        });
        group.bench_function(BenchmarkId::new("replace by as much", size), |bencher| {
            bencher.iter_batched(&mut key, |key| tree.put(key, SMALL_TOO, None, 1), BatchSize::SmallInput);
        });
        group.bench_function(BenchmarkId::new("replace by more and by less", size), |bencher| {
            bencher.iter_batched(
                &mut key,
                |key| {
                    tree.put(key, LONGER, None, 1);
                    tree.put(key, SMALL, None, 1)
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("set and lift a deadline", size), |bencher| {
            bencher.iter_batched(
                &mut key,
                |key| {
                    let position = tree.find(key).expect("the key is there");
                    let position = tree.set_deadline(position, key, Some(1));
                    tree.set_deadline(position, key, None)
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("remove and put back", size), |bencher| {
            bencher.iter_batched(
                &mut key,
                |key| {
                    tree.remove_key(key);
                    tree.put(key, SMALL, None, 1)
                },
                BatchSize::SmallInput,
            );
        });
        // The page grows through its sizes.
        group.bench_function(BenchmarkId::new("fill", size), |bencher| {
            bencher.iter_with_large_drop(|| filled(&seed, &names));
        });
    }
    // Ten times what a page holds: it is split again and again.
    let names = names(10 * SIZES[1]);
    group.bench_function("fill and split", |bencher| bencher.iter_with_large_drop(|| filled(&seed, &names)));
}

criterion_group!(benches, operations);
criterion_main!(benches);
