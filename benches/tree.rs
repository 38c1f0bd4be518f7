//! Single operations on a tree of a million keys. For bytes per key, and times in a larger tree, see `tree_density`.

use std::hint::black_box;
use std::ops::ControlFlow;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use radish::tree::{Layout, NewPayload, NoRecorder, Seed, Tree};
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

struct Keyspace;

impl Layout for Keyspace {
    const CLOCK: bool = true;
    type Boxed = Vec<u8>;
    type Recorder = NoRecorder;
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
