//! Random operations on a tree and on a plain map, which must agree; the tree's invariants are checked after each.
//!
//! See fuzz/README.md.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use radish::tree::{
    CLASSES, Count, Cut, Effort, Entry, Key, Layout, MAX_INLINE, Measure, NewPayload, Payload, PayloadMut, Recorder, Seed, Tally,
    Totals, Tree,
};

struct Keyspace;

impl Layout for Keyspace {
    const CLOCK: bool = true;
    type Boxed = Vec<u8>;
    type Recorder = Seen;
    type Count = ByKind;
}

/// Inline payloads by their kind; boxed ones are of one class, and weigh what their bytes are.
enum ByKind {}

impl Count<Vec<u8>> for ByKind {
    type Tally = Tally;

    fn class_of_kind(kind: u8) -> usize {
        usize::from(kind) % (CLASSES - 1)
    }

    fn class_of(_: &Vec<u8>) -> usize {
        CLASSES - 1
    }

    fn weight_of(boxed: &Vec<u8>) -> usize {
        boxed.len()
    }
}

/// What a capture has given: kinds, bytes and deadlines.
#[derive(Default)]
struct Seen {
    records: Moment,
    wanted: usize,
}

type Moment = BTreeMap<Vec<u8>, (Option<u8>, Vec<u8>, Option<i64>)>;

impl Recorder<Vec<u8>> for Seen {
    fn record(&mut self, key: &[u8], payload: PayloadMut<'_, Vec<u8>>, deadline: Option<i64>, _: u32) {
        let (kind, bytes) = match payload {
            PayloadMut::Inline { kind, bytes } => (Some(kind), bytes.to_vec()),
            PayloadMut::Boxed(bytes) => (None, bytes.clone()),
        };
        assert!(self.records.insert(key.to_vec(), (kind, bytes, deadline)).is_none(), "a record is given once");
        self.wanted = self.wanted.saturating_sub(1);
    }
}

/// A key, described briefly so that few bytes of input make large trees.
#[derive(Arbitrary, Clone, Debug)]
enum Name {
    Bytes(Vec<u8>),
    Number(u16),
    /// So many times the same byte, then another.
    Run(u8, u16, Option<u8>),
}

impl Name {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Name::Bytes(bytes) => bytes.clone(),
            Name::Number(number) => format!("key:{number:06}").into_bytes(),
            Name::Run(byte, len, last) => {
                let mut bytes = vec![*byte; usize::from(*len % 1024)];
                bytes.extend(last);
                bytes
            }
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Change {
    Put {
        name: Name,
        kind: u8,
        len: u16,
        deadline: Option<i16>,
        clock: u32,
    },
    PutBox {
        name: Name,
        len: u8,
    },
    /// Adds keys that go on from a name with each number below `count`, then a tail.
    PutMany {
        name: Name,
        count: u16,
        tail: u8,
    },
    RemoveMany {
        prefix: Name,
        one_in: u8,
    },
    Replace {
        name: Name,
        len: u16,
    },
    SetDeadline {
        name: Name,
        deadline: Option<i16>,
    },
    Remove(Name),
    PopDue {
        now: i16,
        max: u8,
    },
    Prefix(Name),
    /// Adds up what has changed below a prefix, or a part of it.
    AddUp(Name, u8),
    /// Makes a boxed payload longer where it is.
    Grow(Name),
    Groups {
        prefix: Name,
        separator: u8,
        depth: u8,
        nodes: u8,
        pages: u8,
    },
    BeginCapture,
    AdvanceCapture(u8),
    EndCapture,
    Image,
    DropImage,
}

#[derive(PartialEq, Debug)]
struct Record {
    kind: Option<u8>,
    bytes: Vec<u8>,
    deadline: Option<i64>,
    clock: u32,
}

impl Record {
    fn of(entry: &Entry<'_, Vec<u8>>) -> Record {
        let (kind, bytes) = match entry.record.payload {
            Payload::Inline { kind, bytes } => (Some(kind), bytes.to_vec()),
            Payload::Boxed(bytes) => (None, bytes.clone()),
        };
        Record { kind, bytes, deadline: entry.record.deadline, clock: entry.record.clock }
    }
}

struct Both {
    tree: Tree<Keyspace>,
    map: BTreeMap<Vec<u8>, Record>,
    /// What there was when the capture began.
    moment: Moment,
    /// An image, and what there was when it was made.
    image: Option<(Tree<Keyspace>, Moment)>,
    seed: Seed,
    /// With fewer bits, tags collide.
    hash_mask: u64,
}

impl Both {
    fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        Key::new(bytes, self.seed.hash(bytes) & self.hash_mask)
    }

    fn put(&mut self, bytes: Vec<u8>, record: Record) {
        let payload = match record.kind {
            Some(kind) => NewPayload::Inline { kind, bytes: &record.bytes },
            None => NewPayload::Boxed(Box::new(record.bytes.clone())),
        };
        let (_, displaced) = self.tree.put(self.key(&bytes), payload, record.deadline, record.clock);
        let before = self.map.insert(bytes, record);
        let expected = before.and_then(|before| before.kind.is_none().then_some(before.bytes));
        assert_eq!(displaced.map(|boxed| *boxed), expected);
    }

    fn remove(&mut self, bytes: &[u8]) {
        let removed = self.tree.remove_key(self.key(bytes));
        assert_eq!(removed.is_some(), self.map.remove(bytes).is_some());
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Put { name, kind, len, deadline, clock } => {
                let bytes = vec![kind; usize::from(len) % (MAX_INLINE + 1)];
                let deadline = deadline.map(i64::from);
                self.put(name.bytes(), Record { kind: Some(kind % 16), bytes, deadline, clock: clock & 0xff_ffff });
            }
            Change::PutBox { name, len } => {
                let bytes = vec![7; len.into()];
                self.put(name.bytes(), Record { kind: None, bytes, deadline: None, clock: 0 });
            }
            Change::PutMany { name, count, tail } => {
                for number in 0..count % 600 {
                    let mut bytes = name.bytes();
                    bytes.extend_from_slice(&number.to_be_bytes());
                    bytes.resize(bytes.len() + usize::from(tail), b't');
                    self.put(bytes, Record { kind: Some(1), bytes: vec![1; 16], deadline: None, clock: 1 });
                }
            }
            Change::RemoveMany { prefix, one_in } => {
                let prefix = prefix.bytes();
                let keys: Vec<_> = self.map.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
                for key in keys.iter().step_by(usize::from(one_in).max(1)) {
                    self.remove(key);
                }
            }
            Change::Replace { name, len } => {
                let bytes = name.bytes();
                let Some(position) = self.tree.find(self.key(&bytes)) else { return };
                let value = vec![9; usize::from(len) % (MAX_INLINE + 1)];
                self.tree.replace(position, self.key(&bytes), NewPayload::Inline { kind: 2, bytes: &value });
                let record = self.map.get_mut(&bytes).expect("the tree has it");
                (record.kind, record.bytes) = (Some(2), value);
            }
            Change::SetDeadline { name, deadline } => {
                let bytes = name.bytes();
                let Some(position) = self.tree.find(self.key(&bytes)) else { return };
                let deadline = deadline.map(i64::from);
                self.tree.set_deadline(position, self.key(&bytes), deadline);
                self.map.get_mut(&bytes).expect("the tree has it").deadline = deadline;
            }
            Change::Remove(name) => self.remove(&name.bytes()),
            Change::PopDue { now, max } => {
                let (now, max) = (i64::from(now), usize::from(max));
                let taken = self.tree.pop_due(now, max, |key, _| {
                    let record = self.map.remove(key).expect("the map has it");
                    assert!(record.deadline.expect("it was due") <= now);
                });
                let due = self.map.values().any(|record| record.deadline.is_some_and(|deadline| deadline <= now));
                assert!(taken == max || !due);
            }
            Change::Prefix(name) => self.check(&name.bytes()),
            Change::AddUp(name, children) => {
                self.tree.add_up(&name.bytes(), children.into());
            }
            Change::Grow(name) => {
                let bytes = name.bytes();
                let Some(position) = self.tree.find(self.key(&bytes)) else { return };
                if let PayloadMut::Boxed(boxed) = self.tree.payload_mut(position) {
                    boxed.push(7);
                    self.map.get_mut(&bytes).expect("the tree has it").bytes.push(7);
                }
            }
            Change::Groups { prefix, separator, depth, nodes, pages } => {
                let cut = Cut { prefix: &prefix.bytes(), separator: &[separator], depth: usize::from(depth % 4) + 1 };
                self.check_groups(&cut, Effort { nodes: nodes.into(), pages: pages.into() });
                self.check_groups(&cut, Effort { nodes: usize::MAX, pages: usize::MAX });
            }
            Change::BeginCapture if self.tree.is_captured() => {}
            Change::BeginCapture => {
                self.moment = self.moment();
                self.tree.begin_capture(Seen::default());
            }
            Change::AdvanceCapture(wanted) => {
                let Some(seen) = self.tree.recorder_mut() else { return };
                seen.wanted = wanted.into();
                if self.tree.advance_capture(|seen| seen.wanted == 0) {
                    let seen = self.tree.end_capture().expect("it was captured").into_recorder();
                    assert_eq!(seen.records, self.moment);
                }
            }
            Change::EndCapture => drop(self.tree.end_capture()),
            Change::Image => {
                let image = self.tree.image();
                assert_eq!(image.is_some(), self.image.is_none());
                if let Some(image) = image {
                    self.image = Some((image, self.moment()));
                }
            }
            Change::DropImage => self.drop_image(),
        }
    }

    /// Compares groups of keys: their keys by class, and how many have a deadline.
    fn check_groups(&mut self, cut: &Cut<'_>, effort: Effort) {
        let mut expected: BTreeMap<&[u8], ([u64; CLASSES], u64)> = BTreeMap::new();
        for (key, record) in self.map.range(cut.prefix.to_vec()..).take_while(|(key, _)| key.starts_with(cut.prefix)) {
            let (classes, volatile) = expected.entry(cut.group(key).0).or_default();
            classes[record.kind.map_or(CLASSES - 1, ByKind::class_of_kind)] += 1;
            *volatile += u64::from(record.deadline.is_some());
        }
        let groups = self.tree.census(cut, Measure::Bytes, effort);
        let mut sum = Totals::default();
        for (name, group) in &groups {
            sum.add(&group.totals);
            let divided = group.totals.checked_sub(&group.undivided).expect("a part");
            // Of a group that the map does not have, the tree may have nothing.
            let (classes, volatile) = expected.get(&**name).copied().unwrap_or_default();
            assert!(divided.classes.iter().zip(classes).all(|(figures, keys)| figures.keys <= keys));
            assert!(divided.volatile.keys <= volatile);
            if effort.pages == usize::MAX {
                assert_eq!((group.totals.classes.map(|figures| figures.keys), group.totals.volatile.keys), (classes, volatile));
            }
        }
        assert_eq!(sum, self.tree.totals(cut.prefix));
        assert_eq!(sum.all().keys, expected.values().map(|(classes, _)| classes.iter().sum::<u64>()).sum::<u64>());
    }

    fn moment(&self) -> Moment {
        let record = |record: &Record| (record.kind, record.bytes.clone(), record.deadline);
        self.map.iter().map(|(key, value)| (key.clone(), record(value))).collect()
    }

    fn drop_image(&mut self) {
        let Some((image, moment)) = self.image.take() else { return };
        let mut seen = Moment::new();
        let flow = image.for_each(b"", |entry| {
            let Record { kind, bytes, deadline, .. } = Record::of(&entry);
            seen.insert(entry.key.to_vec(), (kind, bytes, deadline));
            ControlFlow::Continue(())
        });
        assert!(flow.is_continue());
        assert_eq!(seen, moment);
    }

    /// Compares all keys with a prefix, by a walk and by a scan.
    fn check(&self, prefix: &[u8]) {
        let mut seen = BTreeSet::new();
        let flow = self.tree.for_each(prefix, |entry| {
            assert_eq!(Some(&Record::of(&entry)), self.map.get(entry.key));
            assert_eq!(self.tree.find(self.key(entry.key)), Some(entry.position));
            assert!(seen.insert(entry.key.to_vec()));
            ControlFlow::Continue(())
        });
        assert!(flow.is_continue());
        assert!(seen.iter().eq(self.map.keys().filter(|key| key.starts_with(prefix))));
        let mut scanned = BTreeSet::new();
        let mut cursor = 0;
        loop {
            cursor = self.tree.scan(cursor, 10, prefix, |entry| assert!(scanned.insert(entry.key.to_vec())));
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(scanned, seen);
    }
}

fuzz_target!(|input: (u8, Vec<Change>)| {
    let (bits, changes) = input;
    let mut both = Both {
        tree: Tree::new(),
        map: BTreeMap::new(),
        moment: Moment::new(),
        image: None,
        seed: Seed::from_u64(1),
        hash_mask: u64::MAX >> (bits % 64),
    };
    for change in changes.into_iter().take(64) {
        both.apply(change);
        both.tree.verify(None);
    }
    both.check(b"");
    both.drop_image();
});
