//! Hashes against a plain map.

use super::*;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, BTreeSet};

/// Each field's value and deadline.
type Map = BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

const RULES: HashRules = HashRules { packed_fields_max: 8, packed_bytes_max: 20, now_ms: 0 };

#[derive(Debug, Clone)]
enum Step {
    Set(Vec<u8>, Vec<u8>, Lifetime),
    Remove(Vec<u8>),
    SetDeadline(Vec<u8>, Option<i64>),
    /// So many milliseconds pass.
    Wait(i64),
    RemoveDue(usize),
    /// The hash goes into a record and comes back.
    Store,
    Copy,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        10 => (0..16u8).prop_map(|number| format!("field:{number}").into_bytes()),
        2 => (-3..3i64).prop_map(|number| number.to_string().into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..30),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        10 => proptest::collection::vec(any::<u8>(), 0..20),
        10 => any::<(i64, u32)>().prop_map(|(value, shift)| (value >> (shift % 64)).to_string().into_bytes()),
        1 => (0..5000usize).prop_map(|len| vec![b'v'; len]),
    ]
}

fn lifetime(deadlines: bool) -> impl Strategy<Value = Lifetime> {
    let until = if deadlines { 3 } else { 0 };
    prop_oneof![
        5 => Just(Lifetime::Forever),
        2 => Just(Lifetime::Kept),
        until => (0..100i64).prop_map(Lifetime::Until),
    ]
}

/// Any change, with deadlines or without.
fn step(deadlines: bool) -> impl Strategy<Value = Step> {
    let timed = if deadlines { 3 } else { 0 };
    prop_oneof![
        10 => (name(), value(), lifetime(deadlines)).prop_map(|(name, value, time)| Step::Set(name, value, time)),
        6 => name().prop_map(Step::Remove),
        timed => (name(), proptest::option::of(0..100i64)).prop_map(|(name, time)| Step::SetDeadline(name, time)),
        timed => (0..10i64).prop_map(Step::Wait),
        timed => (0..5usize).prop_map(Step::RemoveDue),
        1 => Just(Step::Store),
        1 => Just(Step::Copy),
    ]
}

fn pair(field: Field<'_>) -> (Vec<u8>, Vec<u8>) {
    (field.name.to_vec(), field.value.to_vec())
}

fn pairs(hash: HashRef<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    hash.for_each(|field| all.push(pair(field)));
    all
}

fn check(view: HashRef<'_>, map: &Map, rng: &mut SmallRng) {
    assert_eq!((view.len(), view.is_empty()), (map.len(), map.is_empty()));
    let mut all = Map::new();
    view.for_each(|field| {
        let (name, value) = pair(field);
        assert!(all.insert(name, (value, field.deadline)).is_none(), "each field is visited once");
    });
    assert!(all == *map);
    for (name, (value, deadline)) in map {
        assert_eq!(view.get(name).map(|value| value.to_vec()).as_ref(), Some(value));
        assert_eq!(view.deadline(name), Some(*deadline));
    }
    assert!(view.get(b"none such").is_none() && view.deadline(b"none such").is_none());
    let mut scanned = BTreeSet::new();
    let mut cursor = 0;
    loop {
        cursor = view.scan(cursor, 3, b"", |field| assert!(scanned.insert(pair(field))));
        if cursor == 0 {
            break;
        }
    }
    assert!(scanned.into_iter().eq(map.iter().map(|(name, (value, _))| (name.clone(), value.clone()))));
    for count in [0, 1, map.len() / 4, map.len(), map.len() + 1] {
        let mut sample = Vec::new();
        let Ok(()) = view.sample(count, rng, |field| {
            sample.push(pair(field));
            Ok::<_, Infallible>(())
        });
        assert_eq!(sample.len(), count.min(map.len()));
        assert!(sample.iter().all(|(name, value)| map.get(name).is_some_and(|(other, _)| value == other)));
        assert_eq!(sample.iter().collect::<BTreeSet<_>>().len(), sample.len(), "all are different");
        let mut drawn = 0;
        let Ok(()) = view.draw(count, rng, |field| {
            let (name, value) = pair(field);
            assert_eq!(map[&name].0, value);
            drawn += 1;
            Ok::<_, Infallible>(())
        });
        assert_eq!(drawn, if map.is_empty() { 0 } else { count });
    }
}

/// Goes through changes with a hash and a map.
fn play(steps: Vec<Step>) {
    let mut rng = SmallRng::seed_from_u64(steps.len() as u64);
    let (mut hash, mut map, mut rules) = (Hash::default(), Map::new(), RULES);
    let mut must_be_tree = false;
    for step in steps {
        match step {
            Step::Set(name, value, lifetime) => {
                must_be_tree |= name.len().max(value.len()) > RULES.packed_bytes_max;
                assert_eq!(hash.set(&name, &value, lifetime, &rules), !map.contains_key(&name));
                let deadline = match lifetime {
                    Lifetime::Forever => None,
                    Lifetime::Kept => map.get(&name).and_then(|(_, deadline)| *deadline),
                    Lifetime::Until(deadline) => Some(deadline),
                };
                must_be_tree |= deadline.is_some();
                map.insert(name, (value, deadline));
                must_be_tree |= map.len() > RULES.packed_fields_max;
            }
            Step::Remove(name) => assert_eq!(hash.remove(&name, &rules), map.remove(&name).is_some()),
            Step::SetDeadline(name, deadline) => {
                if let Some((_, known)) = map.get_mut(&name) {
                    hash.set_deadline(&name, deadline);
                    *known = deadline;
                    must_be_tree |= deadline.is_some();
                }
            }
            Step::Wait(milliseconds) => rules.now_ms += milliseconds,
            Step::RemoveDue(max) => {
                let before = hash.len();
                let removed = hash.remove_due(rules.now_ms, max, |_| ());
                assert!(removed <= max);
                assert_eq!(hash.len(), before - removed);
                if removed < max {
                    assert_eq!(hash.len(), map.values().filter(|(_, deadline)| is_ahead(*deadline, &rules)).count());
                    assert!(hash.next_deadline().is_none_or(|next| next >= rules.now_ms));
                }
            }
            Step::Store => {
                let mut packed = Vec::new();
                let size = hash.inline_size();
                assert_eq!(size.is_none(), must_be_tree);
                let Some(kind) = hash.pack(&mut packed, size.unwrap_or(0)) else { continue };
                assert_eq!(Some(packed.len()), size);
                assert!(hash.pack(&mut Vec::new(), packed.len() - 1).is_none());
                assert!(HashRef::packed(&packed).len() == map.len());
                hash.load(kind, &packed);
            }
            Step::Copy => hash = hash.clone(),
        }
        map.retain(|_, (_, deadline)| is_ahead(*deadline, &rules));
        assert_eq!(hash.view().is_tree(), must_be_tree);
        let next = map.values().filter_map(|(_, deadline)| *deadline).min();
        assert!(next.is_none_or(|next| hash.next_deadline().is_some_and(|bound| bound <= next)));
    }
    check(hash.view().at(rules.now_ms), &map, &mut rng);
}

fn is_ahead(deadline: Option<i64>, rules: &HashRules) -> bool {
    deadline.is_none_or(|deadline| deadline >= rules.now_ms)
}

proptest! {
    #[test]
    fn hashes_are_maps(steps in proptest::collection::vec(step(false), 0..80)) {
        play(steps);
    }

    #[test]
    fn fields_that_are_over_are_not_seen(steps in proptest::collection::vec(step(true), 0..80)) {
        play(steps);
    }
}

#[test]
fn a_packed_hash_keeps_its_order() {
    let mut hash = Hash::default();
    for (name, value) in [("b", "1"), ("a", "2"), ("c", "3"), ("a", "a longer value"), ("b", "")] {
        hash.set(name.as_bytes(), value.as_bytes(), Lifetime::Forever, &RULES);
    }
    let expected = [("b", ""), ("a", "a longer value"), ("c", "3")].map(|(a, b)| (a.into(), b.into()));
    assert_eq!(pairs(hash.view()), expected);
}

#[test]
fn many_fields_at_once_are_not_packed() {
    let mut hash = Hash::default();
    hash.expect(8, &RULES);
    assert!(!hash.view().is_tree());
    hash.expect(9, &RULES);
    assert!(hash.view().is_tree());
}

/// Each of `fields` is drawn about as often as any other, in whatever way.
#[test]
fn random_fields_are_uniform() {
    const ROUNDS: usize = 300;
    let mut rng = SmallRng::seed_from_u64(1);
    for fields in [6, 300] {
        let mut hash = Hash::default();
        for number in 0..fields {
            hash.set(format!("{number}").as_bytes(), b"v", Lifetime::Forever, &RULES);
        }
        for count in [fields / 4, fields / 2] {
            let (mut sampled, mut drawn) = (vec![0; fields], vec![0; fields]);
            let number = |field: Field<'_>| String::from_utf8(field.name.to_vec()).unwrap().parse::<usize>().unwrap();
            for _ in 0..ROUNDS {
                let Ok(()) = hash.view().sample(count, &mut rng, |field| {
                    sampled[number(field)] += 1;
                    Ok::<_, Infallible>(())
                });
                let Ok(()) = hash.view().draw(count, &mut rng, |field| {
                    drawn[number(field)] += 1;
                    Ok::<_, Infallible>(())
                });
            }
            let expected = (ROUNDS * count / fields) as i64;
            for times in [sampled, drawn].concat() {
                assert!((i64::from(times) - expected).pow(2) < 36 * expected, "{times} times instead of {expected}");
            }
        }
    }
}

#[test]
fn long_values_are_counted() {
    let mut hash = Hash::default();
    hash.set(b"a", b"1", Lifetime::Forever, &HashRules { packed_fields_max: 0, ..RULES });
    let before = hash.memory();
    hash.set(b"b", &[b'x'; 100_000], Lifetime::Forever, &RULES);
    assert!(hash.memory() >= before + 100_000 && hash.free_effort() == 3);
    hash.set(b"b", &[b'x'; 50_000], Lifetime::Forever, &RULES);
    assert!(hash.memory() < before + 60_000);
    hash.remove(b"b", &RULES);
    assert!(hash.memory() < before + 200 && hash.free_effort() == 1);
}
