//! Sorted sets against a plain list that is sorted anew, in both forms and across the limits between them.

use super::*;
use proptest::prelude::*;

type Model = Vec<(f64, Vec<u8>)>;

#[derive(Debug, Clone)]
enum Step {
    Set(Vec<u8>, f64),
    Fill(u16, u16, f64, f64),
    Remove(Vec<u8>),
    RemoveRanks(usize, usize),
    Repack,
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-3i8..4).prop_map(f64::from),
        3 => any::<(i64, u8)>().prop_map(|(value, shift)| (value >> (shift % 64)) as f64),
        3 => any::<f64>().prop_filter("scores are numbers", |score| !score.is_nan()),
        1 => Just(-0.0),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
    ]
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-d]{0,3}".prop_map(String::into_bytes),
        2 => (0u16..2000).prop_map(|number| format!("member:{number}").into_bytes()),
        2 => any::<(i64, u8)>().prop_map(|(value, shift)| (value >> (shift % 64)).to_string().into_bytes()),
        1 => (0usize..3000, b'a'..b'd').prop_map(|(len, byte)| vec![byte; len]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (member(), score()).prop_map(|(member, score)| Step::Set(member, score)),
        3 => (0u16..2000, 0u16..600, score(), prop_oneof![Just(0.0), Just(1.0), Just(-0.125)])
            .prop_map(|(first, count, score, step)| Step::Fill(first, count, score, step)),
        6 => member().prop_map(Step::Remove),
        2 => (0usize..2000, 0usize..1000).prop_map(|(start, len)| Step::RemoveRanks(start, len)),
        1 => Just(Step::Repack),
    ]
}

fn limits() -> impl Strategy<Value = ZsetLimits> {
    prop_oneof![
        Just(ZsetLimits::default()),
        (0usize..300, 0usize..100).prop_map(|(entries_max, member_max)| ZsetLimits { entries_max, member_max }),
        Just(ZsetLimits { entries_max: 0, member_max: 0 }),
        Just(ZsetLimits { entries_max: usize::MAX, member_max: usize::MAX }),
    ]
}

fn set(set: &mut SortedSet, model: &mut Model, member: &[u8], score: f64, limits: &ZsetLimits) {
    let known = model.iter().position(|(_, other)| other == member);
    let before = known.map(|index| model[index].0);
    set.update(member, limits, |seen| {
        assert_eq!(seen, before);
        Some(score)
    });
    match known {
        Some(index) if model[index].0 == score => {}
        Some(index) => model[index].0 = score,
        None => model.push((score, member.to_vec())),
    }
}

fn sort(model: &mut Model) {
    model.sort_by(|a, b| a.partial_cmp(b).expect("scores are numbers"));
}

fn apply(zset: &mut SortedSet, model: &mut Model, step: &Step, limits: &ZsetLimits) {
    match step {
        Step::Set(member, score) => set(zset, model, member, *score, limits),
        Step::Fill(first, count, score, step) => {
            for number in 0..*count {
                let member = format!("member:{}", first + number);
                set(zset, model, member.as_bytes(), score + f64::from(number) * step, limits);
            }
        }
        Step::Remove(member) => {
            let index = model.iter().position(|(_, other)| other == member);
            assert_eq!(zset.remove(member), index.map(|index| model.remove(index).0));
        }
        Step::RemoveRanks(start, len) => {
            sort(model);
            let start = (*start).min(model.len());
            let end = (start + len).min(model.len());
            zset.remove_ranks(start..end);
            model.drain(start..end);
        }
        Step::Repack => {
            let mut packed = Vec::new();
            if let Some(kind) = zset.pack(&mut packed, 1000) {
                assert_eq!(zset.inline_size(), Some(packed.len()));
                check(SortedSetRef::inline(&packed), model);
                zset.load(kind, &packed);
            }
        }
    }
    sort(model);
}

fn entries(view: SortedSetRef<'_>, ranks: Range<usize>, reversed: bool) -> Model {
    let mut entries = Vec::new();
    let Ok(()) = view.visit(ranks, reversed, |member, score| {
        entries.push((score, member.to_vec()));
        Ok::<_, Infallible>(())
    });
    entries
}

fn check(view: SortedSetRef<'_>, model: &Model) {
    let len = model.len();
    assert_eq!(view.len(), len);
    let all = entries(view, 0..len, false);
    assert_eq!(all, *model);
    for (start, end) in [(0, len), (0, len.min(1)), (len / 3, len / 2), (len / 2, len), (len, len)] {
        assert_eq!(entries(view, start..end, false), model[start..end]);
        assert!(entries(view, start..end, true).iter().eq(model[start..end].iter().rev()));
    }
    for (rank, (score, member)) in model.iter().enumerate().step_by(len / 50 + 1) {
        assert_eq!(view.rank(member), Some((rank, *score)));
        assert_eq!(view.score(member), Some(*score));
        for (min, max) in [(false, false), (false, true), (true, false), (true, true)] {
            let other = model[(rank + len / 2) % len].0;
            let (low, high) = (score.min(other), score.max(other));
            let start = model.iter().filter(|(score, _)| if min { *score <= low } else { *score < low }).count();
            let end = model.iter().filter(|(score, _)| if max { *score < high } else { *score <= high }).count();
            let bound = |score, is_exclusive| ScoreBound { score, is_exclusive };
            assert_eq!(view.score_range(bound(low, min), bound(high, max)), start..end.max(start));
        }
    }
    assert_eq!(view.score(b"not there"), None);
    let mut scanned = Vec::new();
    let mut cursor = 0;
    loop {
        cursor = view.scan(cursor, 10, b"", |member, score| scanned.push((score, member.to_vec())));
        if cursor == 0 {
            break;
        }
    }
    sort(&mut scanned);
    assert_eq!(scanned, *model);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn behaves_as_a_sorted_list(limits in limits(), steps in proptest::collection::vec(step(), 1..40)) {
        let (mut zset, mut model) = (SortedSet::default(), Model::new());
        for step in &steps {
            apply(&mut zset, &mut model, step, &limits);
            prop_assert_eq!(zset.len(), model.len());
            match &zset {
                SortedSet::Packed(_) => {
                    prop_assert!(model.len() <= limits.entries_max);
                    prop_assert!(model.iter().all(|(_, member)| member.len() <= limits.member_max));
                }
                SortedSet::Large(large) => large.verify(),
            }
        }
        check(zset.view(), &model);
        check(zset.clone().view(), &model);
    }

    #[test]
    fn finds_ranges_of_members(
        count in 0usize..3000,
        bounds in proptest::collection::vec((0usize..3100, any::<bool>()), 2),
        score in score(),
        is_packed: bool,
    ) {
        let entries_max = if is_packed { usize::MAX } else { 0 };
        let limits = ZsetLimits { entries_max, member_max: 64 };
        let count = if is_packed { count % 200 } else { count };
        let mut zset = SortedSet::default();
        let name = |number: usize| format!("{number:04}{}", "x".repeat(number % 7)).into_bytes();
        for number in (0..count).rev() {
            zset.update(&name(number), &limits, |_| Some(score));
        }
        let members: Vec<_> = bounds.iter().map(|(number, _)| name(*number)).collect();
        let bound = |index: usize| match bounds[index].1 {
            true => LexBound::Exclusive(&members[index]),
            false => LexBound::Inclusive(&members[index]),
        };
        let start = (bounds[0].0 + usize::from(bounds[0].1)).min(count);
        let end = (bounds[1].0 + usize::from(!bounds[1].1)).min(count);
        for (min, max, expected) in [
            (bound(0), bound(1), start..end),
            (LexBound::Min, bound(1), 0..end),
            (bound(0), LexBound::Max, start..count),
            (LexBound::Min, LexBound::Max, 0..count),
            (LexBound::Max, LexBound::Min, 0..0),
        ] {
            for (reversed, passed) in [(false, 0), (true, 0), (false, 3), (true, 3)] {
                let passed_of = passed.min(expected.len());
                let expected = match reversed {
                    false => expected.start + passed_of..expected.end,
                    true => expected.start..expected.end.max(passed_of) - passed_of,
                };
                let found = zset.view().lex_range(min, max, reversed, passed);
                prop_assert!(found == expected || found.is_empty() && expected.is_empty(), "{:?} {:?}", min, max);
            }
        }
    }
}

/// As Redis 8.2 and Valkey 9.1 answer.
#[test]
fn ranges_of_members_with_different_scores_are_those_of_a_listpack() {
    let mut zset = SortedSet::default();
    for (member, score) in [("m0", -2.0), ("m8", -1.0), ("m2", 0.0), ("m1", 1.0)] {
        zset.update(member.as_bytes(), &ZsetLimits::default(), |_| Some(score));
    }
    let range = |min, max, reversed| zset.view().lex_range(min, max, reversed, 0);
    let (a, m1, m3) = (LexBound::Inclusive(b"a"), LexBound::Inclusive(b"m1"), LexBound::Exclusive(b"m3"));
    assert_eq!(range(a, m3, true), 0..4);
    assert_eq!(range(a, m3, false), 0..1);
    assert_eq!(range(m1, LexBound::Max, true), 1..4);
    assert!(range(m3, LexBound::Max, false).is_empty());
    assert!(range(m3, m1, false).is_empty());
    // What is passed over may lie outside.
    assert_eq!(zset.view().lex_range(a, m3, false, 2), 2..4);
    assert_eq!(zset.view().lex_range(a, m3, false, 1), 1..1);
    assert_eq!(zset.view().lex_range(m1, LexBound::Max, true, 2), 1..2);
}

/// As with a skip list, whose first and last members tell whether anything can be between two bounds.
#[test]
fn ranges_of_members_with_different_scores_are_empty_if_an_end_stands_outside() {
    let limits = ZsetLimits { entries_max: 0, ..ZsetLimits::default() };
    let mut zset = SortedSet::default();
    for (member, score) in [("m0", -2.0), ("a", -1.0), ("m2", 0.0), ("b", 1.0)] {
        zset.update(member.as_bytes(), &limits, |_| Some(score));
    }
    assert!(matches!(zset, SortedSet::Large(_)));
    let range = |min, max| zset.view().lex_range(min, max, false, 0);
    let (b, m, z) = (LexBound::Inclusive(b"b"), LexBound::Exclusive(b"m"), LexBound::Inclusive(b"z"));
    assert!(range(LexBound::Min, m).is_empty());
    assert!(range(m, LexBound::Max).is_empty());
    assert!(range(LexBound::Max, LexBound::Min).is_empty());
    assert_eq!(range(LexBound::Min, z), 0..4);
    assert_eq!(range(b, LexBound::Max).end, 4);
}

#[test]
fn is_packed_as_a_listpack_is() {
    let mut zset = SortedSet::default();
    for (member, score) in [("a", 1.0), ("7", 0.5), ("c", -0.0), ("d", f64::INFINITY), ("e", 1e17)] {
        zset.update(member.as_bytes(), &ZsetLimits::default(), |_| Some(score));
    }
    let mut packed = Vec::new();
    assert!(zset.pack(&mut packed, 100).is_some());
    let mut expected = vec![5, 0];
    expected.extend_from_slice(b"\x81c\x02\x00\x01");
    expected.extend_from_slice(b"\x07\x01\x830.5\x04");
    expected.extend_from_slice(b"\x81a\x02\x01\x01");
    expected.extend_from_slice(b"\x81e\x02\xf4\x00\x00\x8a\x5d\x78\x45\x63\x01\x09");
    expected.extend_from_slice(b"\x81d\x02\x83inf\x04");
    assert_eq!(packed, expected);
}

#[test]
fn the_limits_are_those_of_the_directives() {
    let limits = ZsetLimits::default();
    let mut zset = SortedSet::default();
    for number in 0..128 {
        zset.update(format!("{number:064}").as_bytes(), &limits, |_| Some(0.0));
    }
    assert_eq!(zset.view().encoding(), "listpack");
    let mut longer = zset.clone();
    longer.remove(format!("{:064}", 5).as_bytes());
    longer.update(format!("{:065}", 5).as_bytes(), &limits, |_| Some(0.0));
    assert_eq!(longer.view().encoding(), "skiplist");
    zset.update(b"one more", &limits, |_| None);
    assert_eq!(zset.view().encoding(), "listpack");
    zset.update(b"one more", &limits, |_| Some(0.0));
    assert_eq!(zset.view().encoding(), "skiplist");
    zset.remove(b"one more");
    assert_eq!(zset.view().encoding(), "skiplist");
    assert_eq!(SortedSet::for_members(128, 64, &limits).view().encoding(), "listpack");
    assert_eq!(SortedSet::for_members(129, 64, &limits).view().encoding(), "skiplist");
    assert_eq!(SortedSet::for_members(128, 65, &limits).view().encoding(), "skiplist");
}

/// Scores that look random, with all their digits.
fn scattered(number: u64) -> f64 {
    (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / (1_u64 << 53) as f64
}

fn bytes_per_member(count: u64, score: impl Fn(u64) -> f64) -> f64 {
    let mut zset = SortedSet::default();
    for number in 0..count {
        zset.update(format!("member:{number}").as_bytes(), &ZsetLimits::default(), |_| Some(score(number)));
    }
    zset.memory(usize::MAX) as f64 / count as f64
}

#[test]
fn a_member_of_a_large_set_takes_few_bytes() {
    let count = 200_000;
    let scattered = bytes_per_member(count, scattered);
    assert!(scattered < 50.0, "{scattered}");
    let rising = bytes_per_member(count, |number| number as f64);
    assert!(rising < 40.0, "{rising}");
    let falling = bytes_per_member(count, |number| -(number as f64));
    assert!(falling < 40.0, "{falling}");
    let equal = bytes_per_member(count, |_| 0.0);
    assert!(equal < 40.0, "{equal}");
}

#[test]
fn a_packed_set_takes_little_more_than_its_entries() {
    let limits = ZsetLimits { entries_max: 10_000, member_max: 64 };
    let mut zset = SortedSet::default();
    for number in 0..2000 {
        zset.update(format!("member:{number}").as_bytes(), &limits, |_| Some(f64::from(number)));
    }
    let entries = zset.inline_size().expect("it is packed");
    assert!(zset.memory(0) < entries * 8 / 7, "{} for {entries}", zset.memory(0));
    zset.remove_ranks(100..2000);
    assert!(zset.memory(0) < 4000, "{}", zset.memory(0));
}

#[test]
fn a_drained_set_gives_its_memory_back() {
    let mut zset = SortedSet::default();
    for number in 0..20_000 {
        zset.update(format!("job:{number}").as_bytes(), &ZsetLimits::default(), |_| Some(scattered(number)));
    }
    while zset.len() > 100 {
        zset.remove_ranks(0..1);
    }
    assert!(zset.memory(usize::MAX) < 16_000, "{}", zset.memory(usize::MAX));
    assert!(zset.free_effort() < 20, "{}", zset.free_effort());
}
