//! Sets against a plain set of byte strings, in all forms; forms and layouts against what Redis does.

use super::*;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, BTreeSet};

type Model = BTreeSet<Vec<u8>>;

#[derive(Debug, Clone)]
enum Step {
    Insert(Vec<u8>),
    Fill(i64, u16),
    Remove(Vec<u8>),
    RemoveSome(usize),
    Expect(usize),
    Pop,
    PopMany(usize),
    Settle,
    Repack,
    Copy,
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (-20i64..20).prop_map(|value| value.to_string().into_bytes()),
        2 => any::<(i64, u8)>().prop_map(|(value, shift)| (value >> (shift % 64)).to_string().into_bytes()),
        2 => "[a-c]{0,3}".prop_map(String::into_bytes),
        1 => (0usize..300, b'0'..b'2').prop_map(|(len, byte)| vec![byte; len]),
        1 => Just(b"007".to_vec()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => member().prop_map(Step::Insert),
        1 => (any::<i16>(), 0u16..700).prop_map(|(first, count)| Step::Fill(first.into(), count)),
        4 => member().prop_map(Step::Remove),
        1 => (1usize..5).prop_map(Step::RemoveSome),
        1 => (0usize..200).prop_map(Step::Expect),
        2 => Just(Step::Pop),
        2 => (0usize..300).prop_map(Step::PopMany),
        1 => Just(Step::Settle),
        2 => Just(Step::Repack),
        1 => Just(Step::Copy),
    ]
}

fn limits() -> impl Strategy<Value = SetLimits> {
    prop_oneof![
        Just(SetLimits::default()),
        (0usize..30, 0usize..30, 0usize..10).prop_map(|(integers_max, entries_max, member_max)| SetLimits {
            integers_max,
            entries_max,
            member_max
        }),
    ]
}

fn members(set: SetRef<'_>) -> Vec<Vec<u8>> {
    let mut members = Vec::new();
    set.for_each(|member| members.push(member.to_vec()));
    members
}

fn check(set: SetRef<'_>, model: &Model) {
    assert_eq!(set.len(), model.len());
    let mut seen = members(set);
    if let SetRef::Integers(_) = set {
        assert!(seen.iter().map(|text| number::parse_i64(text).unwrap()).is_sorted());
    }
    seen.sort();
    assert!(seen.iter().eq(model), "{seen:?}");
    for absent in [&b"not there"[..], b"99999999", b""] {
        assert_eq!(set.contains(Element::Bytes(absent)), model.contains(absent));
    }
    assert!(model.iter().all(|member| set.contains(Element::Bytes(member)) && set.contains(Element::new(member))));
    let (mut cursor, mut scanned) = (0, Model::new());
    loop {
        cursor = set.scan(cursor, 7, b"", |member| {
            scanned.insert(member.to_vec());
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(scanned, *model);
}

/// That the form is one which the limits allow.
fn check_form(set: &Set, limits: &SetLimits) {
    match set {
        Set::Integers(_) => assert!(set.len() <= limits.integers_max),
        Set::Packed(_) => {
            assert!(set.len() <= limits.entries_max);
            assert!(members(set.view()).iter().all(|member| member.len() <= limits.member_max));
        }
        Set::Large(_) => {}
    }
}

fn apply(set: &mut Set, model: &mut Model, step: &Step, limits: &SetLimits, rng: &mut StdRng) {
    match step {
        Step::Insert(member) => {
            assert_eq!(set.insert(Element::Bytes(member), limits), model.insert(member.clone()));
        }
        Step::Fill(first, count) => {
            for value in *first..*first + i64::from(*count) {
                let is_new = model.insert(value.to_string().into_bytes());
                assert_eq!(set.insert(Element::Integer(value), limits), is_new);
            }
        }
        Step::Remove(member) => assert_eq!(set.remove(Element::Bytes(member)), model.remove(member)),
        Step::RemoveSome(every) => {
            for member in model.iter().step_by(*every) {
                assert!(set.remove(Element::new(member)));
            }
            let mut index = 0;
            model.retain(|_| {
                index += 1;
                (index - 1) % every != 0
            });
        }
        Step::Expect(count) => set.expect(*count, limits),
        Step::Pop => {
            let popped = set.pop(rng, |member| member.to_vec());
            assert_eq!(popped.is_none(), model.is_empty());
            assert!(popped.is_none_or(|member| model.remove(&member)));
        }
        Step::PopMany(count) => {
            let before = members(set.view());
            assert!(set.pop_many(rng, *count, limits, |_| Err(())).is_err() || before.is_empty() || *count == 0);
            assert_eq!(members(set.view()), before, "nothing is popped that could not be shown");
            let mut popped = 0;
            set.pop_many(rng, *count, limits, |member| {
                popped += 1;
                assert!(model.remove(&member.to_vec()));
                Ok::<_, ()>(())
            })
            .unwrap();
            assert_eq!(popped, before.len().min(*count));
        }
        Step::Settle => {
            let is_few = set.len() <= limits.integers_max;
            let are_integers = model.iter().all(|member| number::parse_i64(member).is_some());
            let before = set.view().encoding();
            set.settle(limits);
            let expected = if is_few && are_integers { "intset" } else { before };
            assert_eq!(set.view().encoding(), expected);
        }
        Step::Repack => {
            let mut packed = vec![1, 2, 3];
            if let Some(kind) = set.pack(&mut packed, 1000) {
                assert_eq!(set.inline_size(), Some(packed.len()));
                let view = SetRef::inline(kind, &packed).unwrap();
                assert_eq!(view.encoding(), set.view().encoding());
                check(view, model);
                set.load(kind, &packed);
            }
        }
        Step::Copy => *set = set.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn behaves_as_a_set(limits in limits(), seed: u64, steps in proptest::collection::vec(step(), 1..60)) {
        let (mut set, mut model) = (Set::default(), Model::new());
        let mut rng = StdRng::seed_from_u64(seed);
        for step in &steps {
            apply(&mut set, &mut model, step, &limits, &mut rng);
            prop_assert_eq!(set.len(), model.len());
            check_form(&set, &limits);
        }
        check(set.view(), &model);
    }

    #[test]
    fn samples_are_different_members(count in 0usize..400, fill in 0i64..700, text: bool, seed: u64) {
        let (limits, mut rng) = (SetLimits::default(), StdRng::seed_from_u64(seed));
        let mut set = Set::default();
        if text {
            set.insert(Element::Bytes(b"x"), &limits);
        }
        fill_with(&mut set, 0..fill);
        let mut sampled = Model::new();
        set.view().sample(&mut rng, count, |member| {
            assert!(sampled.insert(member.to_vec()));
            Ok::<_, ()>(())
        }).unwrap();
        prop_assert_eq!(sampled.len(), count.min(set.len()));
        prop_assert!(sampled.iter().all(|member| set.view().contains(Element::Bytes(member))));
    }

    #[test]
    fn combinations_are_those_of_plain_sets(
        sizes in proptest::collection::vec((0i64..60, 0i64..300, 0u8..3), 1..8),
        limits in limits(),
    ) {
        let sets: Vec<(Set, Model)> = sizes.iter().map(|(first, count, kind)| {
            let values = (*first..first + count).map(|value| match kind {
                0 => value.to_string(),
                _ if value % 3 == 0 => format!("member:{value}"),
                _ => value.to_string(),
            });
            let model: Model = values.map(String::into_bytes).collect();
            (model.iter().collect(), model)
        }).collect();
        let views = || sets.iter().map(|(set, _)| set.view()).collect::<Vec<_>>();
        let models: Vec<&Model> = sets.iter().map(|(_, model)| model).collect();
        let (first, others) = models.split_first().unwrap();

        let all = first.iter().filter(|member| others.iter().all(|other| other.contains(*member))).cloned().collect();
        prop_assert_eq!(&visited(|visit| algebra::intersect(&mut views(), visit)), &all);
        check(algebra::intersection(&mut views(), &limits).view(), &all);

        let any = models.iter().flat_map(|model| model.iter().cloned()).collect();
        prop_assert_eq!(&visited(|visit| algebra::unite(&views(), visit)), &any);
        check(algebra::union(&views(), &limits).view(), &any);

        let rest = first.iter().filter(|member| !others.iter().any(|other| other.contains(*member))).cloned().collect();
        prop_assert_eq!(&visited(|visit| algebra::subtract(views()[0], &mut views()[1..], visit)), &rest);
        check(algebra::difference(views()[0], &mut views()[1..], &limits).view(), &rest);
    }
}

fn fill_with(set: &mut Set, values: std::ops::Range<i64>) {
    for value in values {
        set.insert(Element::Integer(value), &SetLimits::default());
    }
}

/// What `walk` visits, each member once.
fn visited(walk: impl FnOnce(&mut dyn FnMut(Element<'_>) -> ControlFlow<()>) -> ControlFlow<()>) -> Model {
    let mut seen = Model::new();
    let flow = walk(&mut |member| {
        assert!(seen.insert(member.to_vec()), "{member:?} is visited twice");
        ControlFlow::Continue(())
    });
    assert!(flow.is_continue());
    seen
}

#[test]
fn forms_follow_those_of_redis() {
    let limits = SetLimits::default();
    let integers = |count: i64| (0..count).map(|value| value.to_string()).collect::<Set>();
    let after = |mut set: Set, member: &str| {
        set.insert(Element::Bytes(member.as_bytes()), &limits);
        set.view().encoding()
    };
    assert_eq!(after(integers(511), "x"), "hashtable");
    assert_eq!(after(integers(511), "1000"), "intset");
    assert_eq!(after(integers(512), "1000"), "hashtable");
    assert_eq!(after(integers(127), "x"), "listpack");
    assert_eq!(after(integers(128), "x"), "hashtable");
    assert_eq!(after(integers(3), &"x".repeat(64)), "listpack");
    assert_eq!(after(integers(3), &"x".repeat(65)), "hashtable");
    let texts = |count: i64| (0..count).map(|value| format!("x{value}")).collect::<Set>();
    assert_eq!(after(texts(127), "0"), "listpack");
    assert_eq!(after(texts(128), "0"), "hashtable");
    assert_eq!(after(texts(128), "x0"), "listpack");

    let begun = |first: &str, count: usize| {
        let mut set = Set::default();
        set.begin(first.as_bytes(), count, &limits);
        set.view().encoding()
    };
    assert_eq!(begun("1", 512), "intset");
    assert_eq!(begun("1", 513), "hashtable");
    assert_eq!(begun("x", 128), "listpack");
    assert_eq!(begun("x", 129), "hashtable");
}

#[test]
fn integers_are_kept_as_in_an_intset() {
    let mut set: Set = ["5", "-1", "3"].into_iter().collect();
    let mut packed = Vec::new();
    assert_eq!(set.pack(&mut packed, 100), Some(InlineKind::IntegerSet));
    assert_eq!(packed, [2, 0xFF, 0xFF, 3, 0, 5, 0]);
    set.insert(Element::Integer(40_000), &SetLimits::default());
    set.insert(Element::Integer(-32_768), &SetLimits::default());
    assert_eq!(set.inline_size(), Some(1 + 5 * 4));
    set.insert(Element::Integer(1 << 31), &SetLimits::default());
    assert_eq!(set.inline_size(), Some(1 + 6 * 8));
    assert_eq!(members(set.view()), ["-32768", "-1", "3", "5", "40000", "2147483648"].map(|text| text.as_bytes()));
}

#[test]
fn packed_members_are_those_of_a_listpack() {
    let set: Set = ["7", "ab"].into_iter().collect();
    let mut packed = Vec::new();
    assert_eq!(set.pack(&mut packed, 100), Some(InlineKind::PackedSet));
    assert_eq!(packed, b"\x02\x00\x07\x01\x82ab\x03");
}

#[test]
fn random_members_are_all_as_likely() {
    let limits = SetLimits::default();
    let mut rng = StdRng::seed_from_u64(1);
    for (count, text) in [(100, false), (100, true), (1000, true)] {
        let mut set = Set::default();
        if text {
            set.insert(Element::Bytes(b"x"), &limits);
        }
        fill_with(&mut set, 1..count);
        let draws = set.len() * 100;
        let mut hits: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        for _ in 0..draws {
            *hits.entry(set.view().random(&mut rng, |member| member.to_vec()).unwrap()).or_default() += 1;
        }
        assert_eq!(hits.len(), set.len());
        // Chi-square with n degrees of freedom: mean n, deviation sqrt(2n).
        let spread: f64 = hits.values().map(|hits| (f64::from(*hits) - 100.0).powi(2) / 100.0).sum();
        let freedom = (set.len() - 1) as f64;
        assert!((spread - freedom).abs() < 5.0 * (2.0 * freedom).sqrt(), "{spread} of {freedom}");
    }
}

#[test]
fn members_of_a_large_set_cost_little_more_than_their_ends() {
    let set: Set = (0..200_000).map(|number| format!("member:{number}")).collect();
    let per_member = set.memory() as f64 / 200_000.0;
    assert!(per_member < 14.0, "{per_member}");
    assert!(set.free_effort() > crate::value::FREE_IN_BACKGROUND_MIN);
}
