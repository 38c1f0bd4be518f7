//! Snapshots against a copy of what there was at the moment, while everything changes.

use super::*;
use crate::store::{DueFields, ShardSet};
use crate::tree::NewPayload;
use crate::value::list::{End, List, ListLimits};
use crate::value::packed::IntegerText;
use crate::value::string::LongString;
use crate::value::zset::{SortedSet, ZsetLimits};
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

const DATABASES: usize = 3;
const RAW: u8 = InlineKind::Raw as u8;
/// Texts of so many bytes are kept as lists, from the second length on as sorted sets, a member for each byte, and from the
/// third on as strings of several pieces.
const LIST_LEN_MIN: usize = 5000;
const SET_LEN_MIN: usize = 20_000;
const LONG_LEN_MIN: usize = 300_000;
const ELEMENT_LEN: usize = 100;

fn limits() -> ListLimits {
    ListLimits::new(4, None)
}

fn set_score(set: &mut SortedSet, index: usize, score: u8) {
    set.update(index.to_string().as_bytes(), &ZsetLimits::default(), |_| Some(score.into()));
}

/// Writes what it is given one after the other, each part behind its length.
struct Plain;

impl Image for Plain {
    fn record(
        &self,
        out: &mut Pieces<'_>,
        database: usize,
        key: &[u8],
        deadline_ms: Option<i64>,
        _: u32,
        value: ValueRef<'_>,
    ) {
        let mut text = Vec::new();
        match (value.as_string(), value.as_list(), value.as_sorted_set()) {
            (Some(string), ..) => string.append_to(&mut text),
            (_, Some(list), _) => {
                list.iter(0, usize::MAX).for_each(|element| {
                    text.extend_from_slice(element.as_bytes(&mut IntegerText::default()));
                });
            }
            (.., Some(set)) => {
                let mut scores = BTreeMap::new();
                set.for_each_unordered(|member, score| {
                    let index: usize = String::from_utf8(member.to_vec()).expect("a number").parse().expect("a number");
                    scores.insert(index, score as u8);
                });
                text.extend(scores.values());
            }
            (None, None, None) => panic!("a value of another type"),
        }
        let deadline = deadline_ms.unwrap_or(-1).to_le_bytes();
        for part in [&database.to_le_bytes(), key, &deadline, &text] {
            out.extend_from_slice(&(part.len() as u32).to_le_bytes());
            out.extend_from_slice(part);
        }
    }
}

type Records = BTreeMap<(usize, Vec<u8>), (Option<i64>, Vec<u8>)>;

/// Reads what [`Plain`] has written.
fn parse(mut bytes: &[u8], database: usize, records: &mut Records) {
    let mut part = || {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at(u32::from_le_bytes(*len) as usize);
        bytes = rest;
        Some(part.to_vec())
    };
    while let Some(written) = part() {
        assert_eq!(written, database.to_le_bytes());
        let (key, deadline, text) = (part().unwrap(), part().unwrap(), part().unwrap());
        let deadline = Some(i64::from_le_bytes(deadline.try_into().unwrap())).filter(|deadline| *deadline >= 0);
        let twice = records.insert((database, key), (deadline, text));
        assert!(twice.is_none(), "a record is handed over once");
    }
}

fn take_step(snapshot: &mut Snapshot, records: &mut Records) -> Step {
    let mut bytes = Vec::new();
    let step = snapshot.next(&mut bytes, &mut |_, _| panic!("nothing is much"));
    match step {
        Step::Records { database } => parse(&bytes, database, records),
        Step::Done | Step::Aborted => assert!(bytes.is_empty()),
    }
    step
}

fn begin(keyspace: &Keyspace) -> Option<Snapshot> {
    Snapshot::begin(&mut keyspace.lock(keyspace.all_shards()), Box::new(Plain))
}

/// A keyspace and a map that go through the same changes, and what a snapshot has seen of it.
struct Model {
    keyspace: Keyspace,
    records: Records,
    /// The snapshot, what there was at its moment, and what it has handed over.
    snapshot: Option<(Snapshot, Records, Records)>,
    completed: usize,
}

impl Model {
    fn new() -> Self {
        Model { keyspace: Keyspace::new(DATABASES, 1), records: Records::new(), snapshot: None, completed: 0 }
    }

    fn edit(&self, database: usize, key: &[u8], edit: impl FnOnce(&mut Database, crate::store::Key<'_>)) {
        let key = self.keyspace.key(key);
        let mut guard = self.keyspace.lock_one(self.keyspace.shard_of(key));
        edit(&mut guard.databases[database], key);
    }

    fn put(&mut self, database: usize, key: &[u8], text: Vec<u8>, deadline: Option<i64>) {
        let payload = match text.len() {
            0..200 => NewPayload::Inline { kind: RAW, bytes: &text },
            SET_LEN_MIN..LONG_LEN_MIN => {
                let mut set = SortedSet::for_members(text.len(), 10, &ZsetLimits::default());
                text.iter().enumerate().for_each(|(index, byte)| set_score(&mut set, index, *byte));
                NewPayload::Boxed(Box::new(Value::SortedSet(set)))
            }
            LIST_LEN_MIN..SET_LEN_MIN => {
                let mut list = List::new();
                text.chunks(ELEMENT_LEN).for_each(|element| list.push(End::Back, element, &limits()));
                NewPayload::Boxed(Box::new(Value::List(list)))
            }
            _ => NewPayload::Boxed(Box::new(Value::String(LongString::new(&text)))),
        };
        self.edit(database, key, |tree, key| drop(tree.put(key, payload, deadline, 0)));
        self.records.insert((database, key.to_vec()), (deadline, text));
    }

    /// Changes a value where it is.
    fn edit_value(&mut self, database: usize, key: &[u8], at: usize, byte: u8) {
        let Some((_, text)) = self.records.get(&(database, key.to_vec())) else { return };
        let mut text = text.clone();
        let Some(at) = at.checked_rem(text.len()) else { return };
        text[at] = byte;
        self.edit(database, key, |tree, key| {
            let position = tree.find(key).expect("the key is there");
            match tree.payload_mut(position) {
                PayloadMut::Inline { bytes, .. } => bytes[at] = byte,
                PayloadMut::Boxed(Value::String(string)) => string.write_at(at, &[byte]),
                PayloadMut::Boxed(Value::List(list)) => {
                    let index = at / ELEMENT_LEN;
                    let element = text.chunks(ELEMENT_LEN).nth(index).expect("the element is there");
                    assert!(list.set(index, element, &limits()));
                }
                PayloadMut::Boxed(Value::SortedSet(set)) => set_score(set, at, byte),
                PayloadMut::Boxed(_) => panic!("a value of another type"),
            }
        });
        self.records.insert((database, key.to_vec()), (self.records[&(database, key.to_vec())].0, text));
    }

    fn remove(&mut self, database: usize, key: &[u8]) {
        self.edit(database, key, |tree, key| drop(tree.remove_key(key)));
        self.records.remove(&(database, key.to_vec()));
    }

    fn set_deadline(&mut self, database: usize, key: &[u8], deadline: Option<i64>) {
        let Some(record) = self.records.get_mut(&(database, key.to_vec())) else { return };
        record.0 = deadline;
        self.edit(database, key, |tree, key| {
            let position = tree.find(key).unwrap();
            tree.set_deadline(position, key, deadline);
        });
    }

    fn expire(&mut self, now: i64) {
        for number in 0..self.keyspace.shard_count() {
            for tree in &mut self.keyspace.lock_one(number).databases {
                tree.pop_due(now, usize::MAX, |_, _| {});
            }
        }
        self.records.retain(|_, (deadline, _)| deadline.is_none_or(|deadline| deadline > now));
    }

    fn swap(&mut self, a: usize, b: usize) {
        for (_, shard) in self.keyspace.lock(self.keyspace.all_shards()).shards() {
            shard.databases.swap(a, b);
        }
        let swapped = |database| {
            if database == a {
                b
            } else if database == b {
                a
            } else {
                database
            }
        };
        let records = std::mem::take(&mut self.records).into_iter();
        self.records = records.map(|((database, key), record)| ((swapped(database), key), record)).collect();
    }

    fn flush(&mut self, database: usize) {
        let mut emptied = Vec::new();
        for (_, shard) in self.keyspace.lock(self.keyspace.all_shards()).shards() {
            shard.due_fields[database] = DueFields::default();
            emptied.extend(retire(std::mem::take(&mut shard.databases[database])));
        }
        self.records.retain(|(number, _), _| *number != database);
    }

    fn begin(&mut self) {
        let snapshot = begin(&self.keyspace);
        if self.snapshot.is_some() {
            assert!(snapshot.is_none(), "one at a time");
            return;
        }
        let snapshot = snapshot.expect("none is under way");
        for (database, count) in snapshot.counts().iter().enumerate() {
            let records = || self.records.iter().filter(|((number, _), _)| *number == database);
            let expiring = records().filter(|(_, (deadline, _))| deadline.is_some()).count();
            assert_eq!((count.keys, count.expiring), (records().count() as u64, expiring as u64));
        }
        self.snapshot = Some((snapshot, self.records.clone(), Records::new()));
    }

    fn advance(&mut self) {
        let Some((snapshot, moment, seen)) = &mut self.snapshot else { return };
        let step = take_step(snapshot, seen);
        assert_eq!(snapshot.progress(), Progress { keys_done: seen.len() as u64, keys: moment.len() as u64 });
        assert_eq!(self.keyspace.snapshot_progress(), Some(snapshot.progress()));
        match step {
            Step::Records { .. } => {}
            Step::Done => {
                assert!(moment == seen);
                self.completed += 1;
                self.end();
            }
            Step::Aborted => panic!("nobody has aborted it"),
        }
    }

    fn abort(&mut self) {
        assert_eq!(self.keyspace.abort_snapshot(), self.snapshot.is_some());
        if let Some((snapshot, _, seen)) = &mut self.snapshot {
            assert_eq!(take_step(snapshot, seen), Step::Aborted);
        }
        self.end();
    }

    fn end(&mut self) {
        self.snapshot = None;
        assert_eq!(self.keyspace.snapshot_progress(), None);
        for number in 0..self.keyspace.shard_count() {
            let guard = self.keyspace.lock_one(number);
            assert!(guard.databases.iter().all(|tree| !tree.is_captured()), "nothing is left behind");
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Put(usize, u16, Option<i64>),
    EditValue(usize, u16, usize, u8),
    Remove(usize, u16),
    SetDeadline(usize, u16, Option<i64>),
    /// Keys of a range, all at once: pages are split or merged.
    PutMany(usize, u16),
    RemoveMany(usize, u16),
    Expire(i64),
    Swap(usize, usize),
    Flush(usize),
    Begin,
    Advance(usize),
    Abort,
}

fn change() -> impl Strategy<Value = Change> {
    let (database, key) = (0..DATABASES, 0u16..3000);
    let deadline = proptest::option::of(0i64..1000);
    prop_oneof![
        30 => (database.clone(), key.clone(), deadline.clone()).prop_map(|(db, key, at)| Change::Put(db, key, at)),
        30 => (database.clone(), key.clone(), any::<usize>(), any::<u8>())
            .prop_map(|(db, key, at, byte)| Change::EditValue(db, key, at, byte)),
        15 => (database.clone(), key.clone()).prop_map(|(db, key)| Change::Remove(db, key)),
        10 => (database.clone(), key.clone(), deadline).prop_map(|(db, key, at)| Change::SetDeadline(db, key, at)),
        5 => (database.clone(), key.clone()).prop_map(|(db, key)| Change::PutMany(db, key)),
        4 => (database.clone(), key).prop_map(|(db, key)| Change::RemoveMany(db, key)),
        1 => (0i64..1000).prop_map(Change::Expire),
        2 => (database.clone(), database.clone()).prop_map(|(a, b)| Change::Swap(a, b)),
        1 => database.prop_map(Change::Flush),
        10 => Just(Change::Begin),
        20 => (1usize..10).prop_map(Change::Advance),
        1 => Just(Change::Abort),
    ]
}

fn name(key: u16) -> Vec<u8> {
    format!("key:{key}").into_bytes()
}

fn apply(model: &mut Model, change: &Change, rng: &mut SmallRng) {
    let mut text = || {
        let len = match rng.random_range(0..1000) {
            0..2 => LONG_LEN_MIN + 1000,
            2..6 => SET_LEN_MIN,
            6..100 => rng.random_range(200..20_000),
            _ => rng.random_range(0..30),
        };
        (0..len).map(|_| rng.random()).collect::<Vec<u8>>()
    };
    match *change {
        Change::Put(database, key, deadline) => model.put(database, &name(key), text(), deadline),
        Change::EditValue(database, key, at, byte) => model.edit_value(database, &name(key), at, byte),
        Change::Remove(database, key) => model.remove(database, &name(key)),
        Change::SetDeadline(database, key, deadline) => model.set_deadline(database, &name(key), deadline),
        Change::PutMany(database, from) => {
            for key in from..from + 400 {
                model.put(database, &name(key), text(), None);
            }
        }
        Change::RemoveMany(database, from) => {
            for key in from..from + 400 {
                model.remove(database, &name(key));
            }
        }
        Change::Expire(now) => model.expire(now),
        Change::Swap(a, b) => model.swap(a, b),
        Change::Flush(database) => model.flush(database),
        Change::Begin => model.begin(),
        Change::Advance(steps) => (0..steps).for_each(|_| model.advance()),
        Change::Abort => model.abort(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_snapshot_is_what_there_was_at_its_moment(changes in prop::collection::vec(change(), 1..400), seed: u64) {
        let (mut model, mut rng) = (Model::new(), SmallRng::seed_from_u64(seed));
        for change in &changes {
            apply(&mut model, change, &mut rng);
        }
        model.begin();
        while model.snapshot.is_some() {
            model.advance();
        }
        assert!(model.completed > 0);
        assert_eq!(Arc::strong_count(&model.keyspace.running), 1);
    }
}

#[test]
fn a_dropped_snapshot_frees_what_was_given_to_it() {
    let mut model = Model::new();
    (0..2000).for_each(|key| model.put(0, &name(key), b"v".to_vec(), None));
    model.begin();
    model.advance();
    model.flush(0);
    let moment = Arc::downgrade(&model.snapshot.as_ref().unwrap().0.moment);
    model.end();
    assert!(moment.upgrade().is_none(), "the emptied databases are gone with it");
}

#[test]
fn a_snapshot_sees_all_shards_at_one_moment() {
    const ACCOUNTS: u64 = 4000;
    const BALANCE: u64 = 1000;
    let keyspace = Keyspace::new(1, 4);
    let name = |account: u64| format!("account:{account}").into_bytes();
    let change = |account: u64, change: &dyn Fn(u64) -> u64, locked: &mut Locked<'_>| {
        let bytes = name(account);
        let key = keyspace.key(&bytes);
        let tree = &mut locked.shard_of(key).databases[0];
        let balance = tree.find(key).map_or(BALANCE, |position| match tree.payload(position) {
            crate::tree::Payload::Inline { bytes, .. } => u64::from_le_bytes(bytes.try_into().unwrap()),
            crate::tree::Payload::Boxed(_) => panic!("balances are short"),
        });
        let balance = change(balance).to_le_bytes();
        // Some are removed and come anew.
        if account.is_multiple_of(3) {
            tree.remove_key(key);
        }
        tree.put(key, NewPayload::Inline { kind: RAW, bytes: &balance }, None, 0);
    };
    let shard_of = |account: u64| ShardSet::single(keyspace.shard_of(keyspace.key(&name(account))));
    for account in 0..ACCOUNTS {
        change(account, &|balance| balance, &mut keyspace.lock(shard_of(account)));
    }
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let (is_over, change, keyspace) = (&is_over, &change, &keyspace);
            scope.spawn(move || {
                let mut rng = SmallRng::seed_from_u64(seed);
                while !is_over.load(Ordering::Relaxed) {
                    let [from, to] = [(); 2].map(|()| rng.random_range(0..ACCOUNTS));
                    let mut locked = keyspace.lock(shard_of(from).union(shard_of(to)));
                    change(from, &|balance| balance.wrapping_sub(1), &mut locked);
                    change(to, &|balance| balance.wrapping_add(1), &mut locked);
                }
            });
        }
        for _ in 0..20 {
            let (mut snapshot, mut seen) = (begin(&keyspace).unwrap(), Records::new());
            while take_step(&mut snapshot, &mut seen) != Step::Done {}
            assert_eq!(seen.len() as u64, ACCOUNTS);
            let balances = seen.values().map(|(_, text)| u64::from_le_bytes(text.as_slice().try_into().unwrap()));
            assert_eq!(balances.fold(0u64, u64::wrapping_add), ACCOUNTS * BALANCE);
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
