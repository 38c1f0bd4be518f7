//! Hashes against a plain map.

use super::*;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, BTreeSet};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

const RULES: HashRules = HashRules { packed_fields_max: 8, packed_bytes_max: 20, now_ms: 0 };

#[derive(Debug, Clone)]
enum Step {
    Set(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
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

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (name(), value()).prop_map(|(name, value)| Step::Set(name, value)),
        7 => name().prop_map(Step::Remove),
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

fn check(hash: &Hash, map: &Map, rng: &mut SmallRng) {
    let view = hash.view();
    assert_eq!(view.len(), map.len());
    assert!(pairs(view).into_iter().collect::<Map>() == *map);
    for (name, value) in map {
        assert_eq!(view.get(name).map(|value| value.to_vec()).as_ref(), Some(value));
    }
    assert!(view.get(b"none such").is_none());
    let mut scanned = Vec::new();
    let mut cursor = 0;
    loop {
        cursor = view.scan(cursor, 3, b"", |field| scanned.push(pair(field)));
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(scanned.len(), map.len());
    assert!(scanned.into_iter().collect::<Map>() == *map);
    for count in [0, 1, map.len() / 4, map.len(), map.len() + 1] {
        let mut sample = Vec::new();
        let Ok(()) = view.sample(count, rng, |field| {
            sample.push(pair(field));
            Ok::<_, Infallible>(())
        });
        assert_eq!(sample.len(), count.min(map.len()));
        assert!(sample.iter().all(|(name, value)| map.get(name) == Some(value)));
        assert_eq!(sample.iter().collect::<BTreeSet<_>>().len(), sample.len(), "all are different");
        let mut drawn = 0;
        let Ok(()) = view.draw(count, rng, |field| {
            let (name, value) = pair(field);
            assert_eq!(map.get(&name), Some(&value));
            drawn += 1;
            Ok::<_, Infallible>(())
        });
        assert_eq!(drawn, if map.is_empty() { 0 } else { count });
    }
}

proptest! {
    #[test]
    fn hashes_are_maps(steps in proptest::collection::vec(step(), 0..80)) {
        let mut rng = SmallRng::seed_from_u64(steps.len() as u64);
        let (mut hash, mut map) = (Hash::default(), Map::new());
        let mut must_be_tree = false;
        for step in steps {
            match step {
                Step::Set(name, value) => {
                    must_be_tree |= name.len().max(value.len()) > RULES.packed_bytes_max;
                    prop_assert_eq!(hash.set(&name, &value, Lifetime::Forever, &RULES), !map.contains_key(&name));
                    map.insert(name, value);
                    must_be_tree |= map.len() > RULES.packed_fields_max;
                }
                Step::Remove(name) => prop_assert_eq!(hash.remove(&name, &RULES), map.remove(&name).is_some()),
                Step::Store => {
                    let mut packed = Vec::new();
                    let size = hash.inline_size();
                    prop_assert_eq!(size.is_none(), must_be_tree);
                    let Some(kind) = hash.pack(&mut packed, size.unwrap_or(0)) else { continue };
                    prop_assert_eq!(Some(packed.len()), size);
                    prop_assert!(hash.pack(&mut Vec::new(), packed.len() - 1).is_none());
                    prop_assert!(HashRef::packed(&packed).len() == map.len());
                    hash.load(kind, &packed);
                }
                Step::Copy => hash = hash.clone(),
            }
            prop_assert_eq!(hash.view().is_tree(), must_be_tree);
        }
        check(&hash, &map, &mut rng);
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
