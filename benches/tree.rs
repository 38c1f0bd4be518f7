//! Single operations on a tree of a million keys. For bytes per key, and times in a larger tree, see `tree_density`.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use radish::tree::{Count, Cut, Effort, Layout, Measure, NewPayload, NoRecorder, Seed, Tally, Tree};
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

struct Keyspace;

impl Layout for Keyspace {
    const CLOCK: bool = true;
    type Boxed = Vec<u8>;
    type Recorder = NoRecorder;
    type Count = ByKind;
}

/// Records are counted, as those of the keyspace are.
enum ByKind {}

impl Count<Vec<u8>> for ByKind {
    type Tally = Tally;

    fn class_of_kind(kind: u8) -> usize {
        usize::from(kind > 7)
    }

    fn class_of(_: &Vec<u8>) -> usize {
        0
    }

    fn weight_of(boxed: &Vec<u8>) -> usize {
        boxed.capacity()
    }
}

const KEYS: u32 = 1_000_000;
const VALUE: NewPayload<'_, Vec<u8>> = NewPayload::Inline { kind: 0, bytes: b"0123456789abcdef" };

fn names() -> Vec<Vec<u8>> {
    let mut names: Vec<_> = (0..KEYS).map(|number| format!("key:{number:012}").into_bytes()).collect();
    names.shuffle(&mut SmallRng::seed_from_u64(1));
    names
}

fn filled(seed: &Seed, names: &[Vec<u8>]) -> Tree<Keyspace> {
    let mut tree = Tree::new();
    for name in names {
        tree.put(seed.key(name), VALUE, None, 0);
    }
    tree
}

fn operations(criterion: &mut Criterion) {
    let seed = Seed::from_u64(1);
    let mut names = names();
    let mut tree = filled(&seed, &names);
    let mut rng = SmallRng::seed_from_u64(2);

    criterion.bench_function("get", |bencher| {
        bencher.iter_batched(
            || seed.key(names.choose(&mut rng).expect("there are names")),
            |key| black_box(tree.find(key)),
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("get of a missing key", |bencher| {
        bencher.iter_batched(
            || format!("key:{:012}", rng.random_range(KEYS..2 * KEYS)),
            |name| black_box(tree.find(seed.key(name.as_bytes()))),
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("random", |bencher| bencher.iter(|| black_box(tree.random(&mut rng))));
    criterion.bench_function("scan of 10", |bencher| {
        let mut cursor = 0;
        bencher.iter(|| cursor = tree.scan(cursor, 10, b"", |entry| assert!(!black_box(entry.key).is_empty())));
    });
    criterion.bench_function("walk of a prefix, 100 keys", |bencher| {
        bencher.iter(|| {
            let prefix = format!("key:{:010}", rng.random_range(0..KEYS / 100));
            tree.for_each(prefix.as_bytes(), |entry| {
                black_box(entry.key);
                ControlFlow::Continue(())
            })
        });
    });
    criterion.bench_function("replace", |bencher| {
        bencher.iter_batched(
            || seed.key(names.choose(&mut rng).expect("there are names")),
            |key| tree.put(key, VALUE, None, 1),
            BatchSize::SmallInput,
        );
    });
    let cut = Cut { prefix: b"key:", separator: b"00", depth: 2 };
    criterion.bench_function("keys by prefix, nothing changed", |bencher| {
        bencher.iter(|| black_box(tree.census(&cut, Measure::Keys, Effort { nodes: 4096, pages: 32 })));
    });
    criterion.bench_function("adding up, most pages changed", |bencher| {
        bencher.iter_custom(|count| {
            let mut elapsed = Duration::ZERO;
            for _ in 0..count {
                for name in names.iter().step_by(50) {
                    let key = seed.key(name);
                    tree.remove_key(key);
                    tree.put(key, VALUE, None, 1);
                }
                let begun = Instant::now();
                black_box(tree.add_up(b"", usize::MAX));
                elapsed += begun.elapsed();
            }
            elapsed
        });
    });
    names.shuffle(&mut rng);
    let mut next = names.iter().cycle();
    criterion.bench_function("remove and put back", |bencher| {
        bencher.iter_batched(
            || seed.key(next.next().expect("it goes round")),
            |key| {
                tree.remove_key(key);
                tree.put(key, VALUE, None, 1)
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, operations);
criterion_main!(benches);
