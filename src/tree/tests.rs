//! The tree against a plain map, with keys that are hard on it.

mod census;
mod images;
mod keys;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::*;

/// A boxed payload; the counter tells how many there are.
#[derive(Debug, Clone)]
struct Counted(u64, #[expect(dead_code, reason = "counts references")] Arc<()>);

struct WithClock;
impl Layout for WithClock {
    const CLOCK: bool = true;
    type Boxed = Counted;
    type Recorder = Seen;
    type Count = ByNumber;
}

/// Classes and weights that follow from kinds and numbers.
enum ByNumber {}
impl Count<Counted> for ByNumber {
    type Tally = Tally;

    fn class_of_kind(kind: u8) -> usize {
        // Most are of class 0.
        usize::from(kind).saturating_sub(8) % CLASSES
    }

    fn class_of(boxed: &Counted) -> usize {
        (boxed.0 >> 1) as usize % CLASSES
    }

    fn weight_of(boxed: &Counted) -> usize {
        (boxed.0 % 100_000) as usize
    }
}

struct Bare;
impl Layout for Bare {
    const CLOCK: bool = false;
    type Boxed = Counted;
    type Recorder = Seen;
    type Count = Uncounted;
}

#[derive(Clone, PartialEq, Debug)]
enum Content {
    Inline(u8, Vec<u8>),
    Boxed(u64),
}

#[derive(Clone, PartialEq, Debug)]
struct Expected {
    content: Content,
    deadline: Option<i64>,
    clock: u32,
}

/// Records by their keys, with their deadlines.
type Records = BTreeMap<Vec<u8>, (Content, Option<i64>)>;

/// What a capture has given.
#[derive(Default)]
struct Seen {
    records: Records,
    wanted: usize,
}

impl Recorder<Counted> for Seen {
    fn record(&mut self, key: &[u8], payload: PayloadMut<'_, Counted>, deadline: Option<i64>, _: u32) {
        let content = match payload {
            PayloadMut::Inline { kind, bytes } => Content::Inline(kind, bytes.to_vec()),
            PayloadMut::Boxed(counted) => Content::Boxed(counted.0),
        };
        assert!(self.records.insert(key.to_vec(), (content, deadline)).is_none(), "a record is given once");
        self.wanted = self.wanted.saturating_sub(1);
    }
}

/// All records that a walk over the tree finds.
fn records_of<L: Layout<Boxed = Counted>>(tree: &Tree<L>) -> Records {
    let mut records = Records::new();
    let flow = tree.for_each(b"", |entry| {
        records.insert(entry.key.to_vec(), (content_of(entry.record.payload), entry.record.deadline));
        ControlFlow::Continue(())
    });
    assert!(flow.is_continue());
    assert_eq!(records.len(), tree.len());
    records
}

fn content_of(payload: Payload<'_, Counted>) -> Content {
    match payload {
        Payload::Inline { kind, bytes } => Content::Inline(kind, bytes.to_vec()),
        Payload::Boxed(counted) => Content::Boxed(counted.0),
    }
}

/// A tree and a map that go through the same changes.
struct Model<L: Layout<Boxed = Counted, Recorder = Seen>> {
    tree: Tree<L>,
    map: BTreeMap<Vec<u8>, Expected>,
    seed: Seed,
    counter: Arc<()>,
    /// Whether keys' tags are cut to so many bits, so that they collide.
    tag_mask: u64,
    /// What was there when the capture began that is under way.
    moment: Option<Records>,
    /// Captures that were compared.
    captures: usize,
    /// The image of the tree that there is, and what there was when it was made.
    image: Option<(Tree<L>, Records)>,
}

impl<L: Layout<Boxed = Counted, Recorder = Seen>> Model<L> {
    fn new() -> Self {
        Model {
            tree: Tree::new(),
            map: BTreeMap::new(),
            seed: Seed::from_u64(1),
            counter: Arc::new(()),
            tag_mask: u64::MAX,
            moment: None,
            captures: 0,
            image: None,
        }
    }

    fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        Key::new(bytes, self.seed.hash(bytes) & self.tag_mask)
    }

    fn payload<'c>(&self, content: &'c Content) -> NewPayload<'c, Counted> {
        match content {
            Content::Inline(kind, bytes) => NewPayload::Inline { kind: *kind, bytes },
            Content::Boxed(number) => NewPayload::Boxed(Box::new(Counted(*number, self.counter.clone()))),
        }
    }

    fn expect_displaced(before: Option<&Expected>, displaced: Option<Box<Counted>>) {
        let expected = match before {
            Some(Expected { content: Content::Boxed(number), .. }) => Some(*number),
            _ => None,
        };
        assert_eq!(displaced.map(|counted| counted.0), expected);
    }

    fn put(&mut self, bytes: &[u8], content: Content, deadline: Option<i64>, clock: u32) {
        let key = self.key(bytes);
        let payload = self.payload(&content);
        let (position, displaced) = self.tree.put(key, payload, deadline, clock);
        let clock = if L::CLOCK { clock & 0xff_ffff } else { 0 };
        let before = self.map.insert(bytes.to_vec(), Expected { content, deadline, clock });
        Self::expect_displaced(before.as_ref(), displaced);
        self.check_at(position, bytes);
    }

    fn remove(&mut self, bytes: &[u8]) {
        let removed = self.tree.remove_key(self.key(bytes));
        let before = self.map.remove(bytes);
        assert_eq!(removed.is_some(), before.is_some());
        Self::expect_displaced(before.as_ref(), removed.flatten());
    }

    fn replace(&mut self, bytes: &[u8], content: Content) {
        let Some(position) = self.tree.find(self.key(bytes)) else {
            return;
        };
        let payload = self.payload(&content);
        let (position, displaced) = self.tree.replace(position, self.key(bytes), payload);
        let entry = self.map.get_mut(bytes).unwrap();
        Self::expect_displaced(Some(entry), displaced);
        entry.content = content;
        self.check_at(position, bytes);
    }

    fn set_deadline(&mut self, bytes: &[u8], deadline: Option<i64>) {
        let Some(position) = self.tree.find(self.key(bytes)) else {
            return;
        };
        let position = self.tree.set_deadline(position, self.key(bytes), deadline);
        self.map.get_mut(bytes).unwrap().deadline = deadline;
        self.check_at(position, bytes);
    }

    fn touch(&mut self, bytes: &[u8], clock: u32) {
        let Some(position) = self.tree.find(self.key(bytes)) else {
            return;
        };
        self.tree.set_clock(position, clock);
        let entry = self.map.get_mut(bytes).unwrap();
        if L::CLOCK {
            entry.clock = clock & 0xff_ffff;
        }
        match (self.tree.payload_mut(position), &mut entry.content) {
            (PayloadMut::Inline { bytes, .. }, Content::Inline(_, expected)) => {
                bytes.reverse();
                expected.reverse();
            }
            (PayloadMut::Boxed(counted), Content::Boxed(expected)) => {
                counted.0 ^= 1;
                *expected ^= 1;
            }
            pair => panic!("payload is not as expected: {pair:?}"),
        }
        self.check_at(position, bytes);
    }

    fn pop_due(&mut self, now: i64, max: usize) {
        let mut popped = Vec::new();
        let due = self.map.values().filter(|entry| entry.deadline.is_some_and(|deadline| deadline <= now)).count();
        assert_eq!(self.tree.count_due(now), due);
        let count = self.tree.pop_due(now, max, |key, boxed| popped.push((key.to_vec(), boxed)));
        assert_eq!(count, popped.len());
        assert!(count <= max);
        for (key, boxed) in popped {
            let before = self.map.remove(&key).expect("an expired key was there");
            assert!(before.deadline.unwrap() <= now);
            Self::expect_displaced(Some(&before), boxed);
        }
        if count < max {
            assert!(self.map.values().all(|entry| entry.deadline.is_none_or(|deadline| deadline > now)));
            let next = self.map.values().filter_map(|entry| entry.deadline).min();
            assert!(self.tree.next_deadline().is_none_or(|bound| bound > now && next.is_none_or(|next| bound <= next)));
        }
    }

    fn check_at(&self, position: Position, bytes: &[u8]) {
        let expected = &self.map[bytes];
        assert_eq!(self.tree.find(self.key(bytes)), Some(position));
        let view = self.tree.view(position);
        assert_eq!(
            &Expected { content: content_of(view.payload), deadline: view.deadline, clock: view.clock },
            expected
        );
        assert_eq!(self.tree.deadline(position), expected.deadline);
        assert_eq!(self.tree.clock(position), expected.clock);
        let mut key = Vec::new();
        self.tree.key(position, &mut key);
        assert!(key == bytes);
    }

    fn check_records(&self, tree: &Tree<L>) {
        tree.verify((self.tag_mask == u64::MAX).then_some(&self.seed));
        let mut records = BTreeMap::new();
        let flow = tree.for_each(b"", |entry| {
            let view = entry.record;
            let content = content_of(view.payload);
            records.insert(entry.key.to_vec(), Expected { content, deadline: view.deadline, clock: view.clock });
            ControlFlow::Continue(())
        });
        assert!(flow.is_continue());
        assert!(records == self.map);
    }

    fn verify(&self) {
        self.tree.verify((self.tag_mask == u64::MAX).then_some(&self.seed));
        assert_eq!(self.tree.len(), self.map.len());
    }

    /// Compares everything.
    fn check(&mut self) {
        self.drop_image();
        self.verify();
        for bytes in self.map.keys() {
            self.check_at(self.tree.find(self.key(bytes)).expect("the key is there"), bytes);
        }
        let boxed = self.map.values().filter(|entry| matches!(entry.content, Content::Boxed(_))).count();
        assert_eq!(Arc::strong_count(&self.counter), boxed + 1, "every box is owned once");
        let copy = self.tree.clone();
        assert_eq!(Arc::strong_count(&self.counter), 2 * boxed + 1, "a copy has boxes of its own");
        self.check_records(&copy);
        drop(copy);
        self.check_records(&self.tree);
        self.check_census();
        self.check_prefix(b"");
        assert!(self.scan_all(b"", 10).into_iter().eq(self.map.keys().cloned()));
    }

    fn check_prefix(&self, prefix: &[u8]) {
        let mut seen = BTreeSet::new();
        let flow = self.tree.for_each(prefix, |entry| {
            assert!(seen.insert(entry.key.to_vec()), "visited once");
            assert_eq!(self.tree.find(self.key(entry.key)), Some(entry.position));
            assert_eq!(content_of(entry.record.payload), self.map[entry.key].content);
            ControlFlow::Continue(())
        });
        assert!(flow.is_continue());
        assert!(seen.iter().eq(self.map.keys().filter(|key| key.starts_with(prefix))));
        assert!(self.scan_all(prefix, 7) == seen);
    }

    fn scan_all(&self, prefix: &[u8], count: usize) -> BTreeSet<Vec<u8>> {
        let mut seen = BTreeSet::new();
        let mut cursor = 0;
        loop {
            cursor = self.tree.scan(cursor, count, prefix, |entry| assert!(seen.insert(entry.key.to_vec())));
            if cursor == 0 {
                return seen;
            }
            assert!(cursor < 1 << 47);
        }
    }

    fn records(&self) -> Records {
        self.map.iter().map(|(key, entry)| (key.clone(), (entry.content.clone(), entry.deadline))).collect()
    }

    /// Makes an image of the tree now and then, and compares it later with what there was.
    fn step_image(&mut self, rng: &mut SmallRng) {
        if rng.random_bool(0.005) {
            let records = self.records();
            let image = self.tree.image();
            assert_eq!(image.is_some(), self.image.is_none(), "one at a time");
            self.image = image.map(|image| (image, records)).or(self.image.take());
        } else if rng.random_bool(0.005) {
            self.drop_image();
        }
    }

    fn drop_image(&mut self) {
        if let Some((image, records)) = self.image.take() {
            assert!(records_of(&image) == records);
        }
    }

    /// Begins a capture now and then, and takes it further or breaks it off.
    fn step_capture(&mut self, rng: &mut SmallRng) {
        if self.moment.is_none() {
            if rng.random_bool(0.01) {
                self.moment = Some(self.records());
                self.tree.begin_capture(Seen::default());
            }
        } else if rng.random_bool(0.0005) {
            assert!(self.tree.end_capture().is_some());
            self.moment = None;
        } else if rng.random_bool(0.1) {
            self.tree.recorder_mut().expect("a capture is under way").wanted = rng.random_range(1..200);
            if self.tree.advance_capture(|seen| seen.wanted == 0) {
                self.check_capture();
            }
        }
    }

    /// Compares what a capture that is over has given with what there was.
    fn check_capture(&mut self) {
        let seen = self.tree.end_capture().map(|capture| capture.into_recorder().records);
        assert!(seen == self.moment.take());
        self.captures += 1;
    }

    /// One random change to a random key of `keys`.
    fn step(&mut self, rng: &mut SmallRng, key: &[u8], removal: f64) {
        self.step_capture(rng);
        self.step_image(rng);
        self.step_totals(rng, key);
        if rng.random_bool(removal) {
            return self.remove(key);
        }
        let deadline = rng.random_bool(0.3).then(|| rng.random_range(0..100_000));
        match rng.random_range(0..10) {
            0 => self.set_deadline(key, deadline),
            1 => self.replace(key, content(rng)),
            2 => self.touch(key, rng.random()),
            _ => self.put(key, content(rng), deadline, rng.random()),
        }
    }
}

fn content(rng: &mut SmallRng) -> Content {
    if rng.random_bool(0.1) {
        return Content::Boxed(rng.random());
    }
    let len = match rng.random_range(0..20) {
        0 => rng.random_range(0..=MAX_INLINE),
        1..5 => rng.random_range(0..320),
        _ => rng.random_range(0..32),
    };
    Content::Inline(rng.random_range(0..16), (0..len).map(|_| rng.random()).collect())
}

/// Fills and empties a tree several times over with the given keys.
fn grind<L: Layout<Boxed = Counted, Recorder = Seen>>(keys: &[Vec<u8>], tag_mask: u64, verify_every: usize) {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut model = Model::<L>::new();
    model.tag_mask = tag_mask;
    for removal in [0.1, 0.9, 0.4, 0.95] {
        for step in 0..keys.len() * 3 {
            let key = keys.choose(&mut rng).unwrap();
            model.step(&mut rng, key, removal);
            if step % verify_every == 0 {
                model.verify();
            }
        }
        model.check();
        for _ in 0..20 {
            let key = keys.choose(&mut rng).unwrap();
            model.check_prefix(&key[..rng.random_range(0..=key.len())]);
        }
        for now in (0..100_000).step_by(20_000) {
            model.pop_due(now, rng.random_range(1..keys.len()));
            model.verify();
        }
    }
    for key in keys {
        model.remove(key);
    }
    model.check();
    assert!(keys.len() < 1000 || model.captures > 0);
    assert_eq!(model.tree.memory().page_bytes, 0);
}

fn decimal_keys(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("key:{number:012}").into_bytes()).collect()
}

fn random_keys(count: usize, len: usize) -> Vec<Vec<u8>> {
    let mut rng = SmallRng::seed_from_u64(3);
    (0..count).map(|_| (0..len).map(|_| rng.random()).collect()).collect()
}

#[test]
fn empty_tree() {
    let mut model = Model::<WithClock>::new();
    model.check();
    assert!(model.tree.random(&mut SmallRng::seed_from_u64(0)).is_none());
    assert_eq!(model.tree.scan(0, 10, b"x", |_| panic!("there is nothing")), 0);
    assert_eq!(model.tree.scan(u64::MAX, 10, b"", |_| panic!("there is nothing")), 0);
    model.put(b"", Content::Inline(0, Vec::new()), None, 0);
    model.check();
    model.remove(b"");
    model.check();
    assert_eq!(model.tree.memory().page_bytes, 0);
}

#[test]
fn memory_follows_removals() {
    let mut model = Model::<WithClock>::new();
    let mut rng = SmallRng::seed_from_u64(5);
    let mut keys = decimal_keys(50_000);
    for key in &keys {
        model.tree.put(model.key(key), NewPayload::Inline { kind: 0, bytes: &[b'v'; 16] }, None, 0);
    }
    let full = model.tree.memory();
    rand::seq::SliceRandom::shuffle(&mut keys[..], &mut rng);
    let left = keys.split_off(45_000);
    for key in &keys {
        model.tree.remove_key(model.key(key)).unwrap();
    }
    model.tree.verify(Some(&model.seed));
    let sparse = model.tree.memory();
    assert!(sparse.page_bytes * 7 < full.page_bytes, "{sparse:?} after {full:?}");
    assert_eq!(model.tree.len(), left.len());
}

/// Keys that are there from the first step of a scan to its last are visited, however pages split and merge meanwhile.
#[test]
fn scan_while_pages_split_and_merge() {
    for round in 0..24 {
        let mut rng = SmallRng::seed_from_u64(round);
        let mut model = Model::<WithClock>::new();
        let name = |rng: &mut SmallRng| match round % 3 {
            0 => format!("key:{:06}", rng.random_range(0..20_000)).into_bytes(),
            1 => vec![b'a' + rng.random_range(0..2); rng.random_range(0..400)],
            _ => (0..3).map(|_| rng.random()).collect(),
        };
        for _ in 0..3000 {
            let key = name(&mut rng);
            model.put(&key, Content::Inline(0, vec![1; 16]), None, 0);
        }
        let stable: BTreeSet<_> = model.map.keys().filter(|_| rng.random_bool(0.1)).cloned().collect();
        let prefix: &[u8] = if round % 2 == 0 { b"" } else { b"key:01" };
        let mut seen = BTreeSet::new();
        let mut cursor = 0;
        loop {
            let count = rng.random_range(1..50);
            cursor = model.tree.scan(cursor, count, prefix, |entry| {
                seen.insert(entry.key.to_vec());
            });
            if cursor == 0 {
                break;
            }
            let growing = rng.random_bool(0.5);
            for _ in 0..rng.random_range(0..200) {
                let mut key = name(&mut rng);
                if !growing {
                    let Some((next, _)) = model.map.range(key..).next() else {
                        continue;
                    };
                    key = next.clone();
                }
                if stable.contains(&key) {
                    continue;
                }
                if growing { model.put(&key, content(&mut rng), None, 0) } else { model.remove(&key) }
            }
        }
        model.verify();
        let missed: Vec<_> = stable.iter().filter(|key| key.starts_with(prefix) && !seen.contains(*key)).collect();
        assert!(missed.is_empty(), "round {round}: {missed:?}");
    }
}

#[test]
fn random_choice_is_uniform() {
    let mut model = Model::<WithClock>::new();
    let mut rng = SmallRng::seed_from_u64(11);
    // Pages of very different sizes: a chain of prefixes has one key in most of its pages.
    for len in 0..200 {
        model.put(&vec![b'a'; len], Content::Inline(0, vec![0; 1000]), None, 0);
    }
    for key in decimal_keys(800) {
        model.put(&key, Content::Inline(0, vec![0; 8]), None, 0);
    }
    let mut counts = HashMap::new();
    let rounds = 300_000;
    for _ in 0..rounds {
        let position = model.tree.random(&mut rng).unwrap();
        *counts.entry((position.page, position.slot)).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), model.map.len());
    let expected = f64::from(rounds) / model.map.len() as f64;
    let chi_square = counts.values().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum::<f64>();
    // 999 degrees of freedom: mean 999, standard deviation 45.
    assert!((780.0..1220.0).contains(&chi_square), "{chi_square}");
}

#[test]
fn random_choice_in_a_sparse_tree() {
    let mut model = Model::<WithClock>::new();
    let keys = decimal_keys(20_000);
    for key in &keys {
        model.tree.put(model.key(key), NewPayload::Inline { kind: 0, bytes: b"" }, None, 0);
    }
    for key in &keys[..19_999] {
        model.tree.remove_key(model.key(key));
    }
    let position = model.tree.random(&mut SmallRng::seed_from_u64(1)).unwrap();
    let mut key = Vec::new();
    model.tree.key(position, &mut key);
    assert_eq!(key, keys[19_999]);
}

/// A queue's keys: new ones at one end, old ones removed at the other.
#[test]
fn page_numbers_may_drift() {
    let mut model = Model::<WithClock>::new();
    let key = |number: u32| format!("job:{number:010}").into_bytes();
    for number in 0..300_000 {
        let bytes = key(number);
        model.tree.put(model.key(&bytes), NewPayload::Inline { kind: 0, bytes: &[b'j'; 100] }, None, 0);
        if let Some(old) = number.checked_sub(1000) {
            assert!(model.tree.remove_key(model.key(&key(old))).is_some());
        }
        if number == 2000 || number == 299_999 {
            model.tree.verify(Some(&model.seed));
            let memory = model.tree.memory();
            assert!(memory.page_bytes < 220_000 && memory.node_bytes < 32_000, "{memory:?}");
        }
    }
}

#[test]
fn deadlines_are_exact() {
    let mut model = Model::<WithClock>::new();
    let mut rng = SmallRng::seed_from_u64(2);
    for key in decimal_keys(20_000) {
        let deadline = rng.random_bool(0.7).then(|| rng.random_range(0..1_000_000));
        model.put(&key, Content::Inline(0, vec![0; 16]), deadline, 0);
    }
    let count = model.map.values().filter(|entry| entry.deadline.is_some()).count();
    let sum: i128 = model.map.values().filter_map(|entry| entry.deadline).map(i128::from).sum();
    assert_eq!((model.tree.deadlines(), model.tree.deadline_sum()), (count, sum));
    assert!(model.tree.next_deadline() == model.map.values().filter_map(|entry| entry.deadline).min());
    for now in (0..=1_000_000).step_by(12_345) {
        while model.tree.next_deadline().is_some_and(|next| next <= now) {
            model.pop_due(now, 100);
        }
        model.verify();
        assert!(model.map.values().all(|entry| entry.deadline.is_none_or(|deadline| deadline > now)));
    }
    model.pop_due(i64::MAX - 1, usize::MAX);
    assert_eq!((model.tree.deadlines(), model.tree.deadline_sum(), model.tree.next_deadline()), (0, 0, None));
    model.check();
}

/// Where a walk for `key`, made step by step, ends.
fn trail<L: Layout>(tree: &Tree<L>, key: &[u8]) -> Trail {
    let mut walk = tree.set_out();
    while tree.advance(key, &mut walk) {}
    tree.trail(&walk)
}

#[test]
fn trails_may_be_out_of_date() {
    let mut model = Model::<WithClock>::new();
    let keys = decimal_keys(5000);
    let mut trails = vec![Trail::NONE; keys.len()];
    let compare = |model: &Model<WithClock>, trails: &mut [Trail]| {
        for (key, trail) in keys.iter().zip(trails) {
            let found = model.tree.find(model.key(key));
            let mut with_trail = Key { trail: *trail, ..model.key(key) };
            // With the slot where the record once was, and with the one where it is.
            assert_eq!(model.tree.find(with_trail), found);
            model.tree.prefetch_slots(with_trail, true);
            model.tree.prefetch_record(&mut with_trail);
            assert_eq!(model.tree.find(with_trail), found);
            *trail = with_trail.trail;
        }
    };
    compare(&model, &mut trails);
    // A part of the trails is taken anew after each part of the changes, while pages are split and then merged.
    for round in 0..20 {
        for (number, key) in keys.iter().enumerate().filter(|(number, _)| number % 10 == round % 10) {
            if round < 10 {
                model.put(key, Content::Inline(0, vec![0; number % 50]), None, 0);
            } else {
                model.remove(key);
            }
        }
        compare(&model, &mut trails);
        for (key, taken) in keys.iter().zip(&mut trails).skip(round).step_by(7) {
            *taken = trail(&model.tree, key);
            assert!(round > 10 || *taken != Trail::NONE);
        }
        compare(&model, &mut trails);
    }
    model.tree.clear();
    compare(&model, &mut trails);
    let key = Key { trail: trails[0], ..model.key(&keys[0]) };
    model.tree.put(key, NewPayload::Inline { kind: 0, bytes: b"" }, None, 0);
    assert!(model.tree.find(key).is_some());
    compare(&model, &mut trails);
}

#[test]
fn a_tree_can_go_to_another_thread() {
    fn assert_send<T: Send + Sync>() {}
    assert_send::<Tree<WithClock>>();
}

#[derive(Clone, Debug)]
enum Change {
    Put(Vec<u8>, usize, Option<i64>),
    Box(Vec<u8>, u64),
    Remove(Vec<u8>),
    Deadline(Vec<u8>, Option<i64>),
    PopDue(i64, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let key = prop_oneof![
        4 => prop::collection::vec(prop_oneof![Just(0), Just(1), Just(b'a'), Just(255)], 0..8),
        4 => (0..500_u32).prop_map(|number| number.to_string().into_bytes()),
        1 => (0..400_usize).prop_map(|len| vec![b'a'; len]),
    ];
    let deadline = prop::option::of(0..1000_i64);
    let len = prop_oneof![0..40_usize, 200..=MAX_INLINE];
    prop_oneof![
        8 => (key.clone(), len, deadline.clone()).prop_map(|(key, len, deadline)| Change::Put(key, len, deadline)),
        2 => (key.clone(), any::<u64>()).prop_map(|(key, number)| Change::Box(key, number)),
        3 => key.clone().prop_map(Change::Remove),
        2 => (key, deadline).prop_map(|(key, deadline)| Change::Deadline(key, deadline)),
        1 => (0..1000_i64, 0..10_usize).prop_map(|(now, max)| Change::PopDue(now, max)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_changes(changes in prop::collection::vec(change(), 0..400)) {
        let mut model = Model::<WithClock>::new();
        for change in changes {
            match change {
                Change::Put(key, len, deadline) => model.put(&key, Content::Inline(3, vec![b'v'; len]), deadline, 9),
                Change::Box(key, number) => model.put(&key, Content::Boxed(number), None, 0),
                Change::Remove(key) => model.remove(&key),
                Change::Deadline(key, deadline) => model.set_deadline(&key, deadline),
                Change::PopDue(now, max) => model.pop_due(now, max),
            }
            model.verify();
        }
        model.check();
    }
}

#[test]
fn free_bytes_are_counted_where_they_change() {
    let seed = Seed::random();
    let before = free_bytes_of_thread();
    let mut trees = [Tree::<WithClock>::new(), Tree::<WithClock>::new()];
    for i in 0..20_000u32 {
        let key = format!("user:{}", i.wrapping_mul(2_654_435_761) % 5000);
        let tree = &mut trees[i as usize % 2];
        match i % 3 {
            0 => drop(tree.remove_key(seed.key(key.as_bytes()))),
            _ => drop(tree.put(
                seed.key(key.as_bytes()),
                NewPayload::Inline { kind: 0, bytes: &[7; 90][..i as usize % 90] },
                Some(i64::from(i)),
                0,
            )),
        }
    }
    let free: usize = trees.iter().map(|tree| tree.memory().page_free_bytes).sum();
    assert!(free > 0);
    assert_eq!(free_bytes_of_thread() - before, free as i64);
    trees[0].clear();
    drop(trees);
    assert_eq!(free_bytes_of_thread(), before);
}

#[test]
fn the_first_to_expire_is_found_and_others_at_random() {
    let seed = Seed::random();
    let mut tree = Tree::<WithClock>::new();
    assert_eq!((tree.first_to_expire(), tree.random_with_deadline(&mut rand::rng())), (None, None));
    let key = |i: u32| format!("key:{i}").into_bytes();
    for i in 0..20_000u32 {
        // One in a hundred has a deadline; and most of one page have.
        let deadline = (i % 100 == 0 || (1000..1100).contains(&i)).then(|| i64::from(i.wrapping_mul(7919) % 20_000));
        tree.put(seed.key(&key(i)), NewPayload::Inline { kind: 0, bytes: b"value" }, deadline, 0);
    }
    let mut hit = std::collections::HashSet::new();
    for _ in 0..5000 {
        let position = tree.random_with_deadline(&mut rand::rng()).unwrap();
        hit.insert(tree.deadline(position).expect("it has a deadline"));
    }
    assert!(hit.len() > tree.deadlines() * 9 / 10, "{} of {} were hit", hit.len(), tree.deadlines());
    let mut last = i64::MIN;
    while let Some(position) = tree.first_to_expire() {
        let deadline = tree.deadline(position).unwrap();
        assert!(deadline >= last);
        last = deadline;
        tree.remove(position);
    }
    assert_eq!((tree.deadlines(), tree.len()), (0, 19_701));
}
