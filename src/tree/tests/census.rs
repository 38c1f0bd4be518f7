//! What a tree says of groups of keys, against the model.

use super::*;

/// What the model knows of a group: keys by class, and those with a deadline.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Counts {
    classes: [u64; CLASSES],
    volatile: u64,
}

impl Counts {
    fn add(&mut self, entry: &Expected) {
        let class = match &entry.content {
            Content::Inline(kind, _) => ByNumber::class_of_kind(*kind),
            Content::Boxed(number) => (number >> 1) as usize % CLASSES,
        };
        self.classes[class] += 1;
        self.volatile += u64::from(entry.deadline.is_some());
    }

    fn of(totals: &Totals) -> Self {
        Counts { classes: totals.classes.map(|figures| figures.keys), volatile: totals.volatile.keys }
    }
}

const ENOUGH: Effort = Effort { nodes: usize::MAX, pages: usize::MAX };

impl<L: Layout<Boxed = Counted, Recorder = Seen>> Model<L> {
    fn counts(&self, is_meant: impl Fn(&[u8]) -> bool) -> Counts {
        let mut counts = Counts::default();
        self.map.iter().filter(|(key, _)| is_meant(key)).for_each(|(_, entry)| counts.add(entry));
        counts
    }

    /// Asks for totals now and then, so that more or less of them is known.
    pub(super) fn step_totals(&mut self, rng: &mut SmallRng, key: &[u8]) {
        let prefix = &key[..rng.random_range(0..=key.len().min(20))];
        if rng.random_bool(0.02) {
            self.tree.add_up(prefix, rng.random_range(0..30));
        } else if rng.random_bool(0.005) {
            let totals = self.tree.totals(prefix);
            if IsCounted::<L>::VALUE {
                assert_eq!(Counts::of(&totals), self.counts(|key| key.starts_with(prefix)));
            }
        }
    }

    /// Puts all keys into groups in several ways.
    pub(super) fn check_census(&mut self) {
        // To put keys into groups in the model takes a look at all their bytes, many times over.
        const KEY_BYTES_MAX: usize = 10_000_000;
        if !IsCounted::<L>::VALUE || self.map.keys().map(Vec::len).sum::<usize>() > KEY_BYTES_MAX {
            return;
        }
        let some_key = self.map.keys().nth(self.map.len() / 2).cloned().unwrap_or_default();
        let separators: [&[u8]; 5] = [b":", b"0", b"aa", b"\0", b"er:"];
        for separator in separators {
            for (depth, prefix_len) in [(1, 0), (2, 0), (3, 2), (1, 5), (2, some_key.len())] {
                let prefix = &some_key[..prefix_len.min(some_key.len())];
                let cut = Cut { prefix, separator, depth };
                for measure in [Measure::Keys, Measure::Bytes] {
                    self.check_groups(&cut, measure, ENOUGH);
                    self.check_groups(&cut, measure, Effort { nodes: 3, pages: 1 });
                }
            }
        }
        self.verify();
    }

    fn check_groups(&mut self, cut: &Cut<'_>, measure: Measure, effort: Effort) {
        let mut expected: BTreeMap<Vec<u8>, Counts> = BTreeMap::new();
        for (key, entry) in self.map.iter().filter(|(key, _)| key.starts_with(cut.prefix)) {
            expected.entry(group_of(cut, key)).or_default().add(entry);
        }
        let groups = self.tree.census(cut, measure, effort);
        let mut sum = Totals::default();
        for (name, group) in &groups {
            sum.add(&group.totals);
            let divided = group.totals.checked_sub(&group.undivided).expect("a part");
            // Of a group that the map does not have, the tree may have nothing.
            let known = expected.get(&**name).copied().unwrap_or_default();
            let found = Counts::of(&divided);
            assert!(found.classes.iter().zip(known.classes).all(|(found, known)| *found <= known));
            assert!(found.volatile <= known.volatile);
            if divided == group.totals {
                assert!(found == known || effort.pages < usize::MAX);
            }
            assert!(effort.pages < usize::MAX || group.undivided == Totals::default());
        }
        assert_eq!(sum, self.tree.totals(cut.prefix));
        assert_eq!(Counts::of(&sum), self.counts(|key| key.starts_with(cut.prefix)));
        if effort.pages == usize::MAX {
            let found: BTreeMap<_, _> =
                groups.iter().map(|(name, group)| (name.to_vec(), Counts::of(&group.totals))).collect();
            assert_eq!(found, expected);
        }
    }
}

/// The group of a key, found by trying all places.
fn group_of(cut: &Cut<'_>, key: &[u8]) -> Vec<u8> {
    let (mut at, mut end, mut left) = (cut.prefix.len(), cut.prefix.len(), cut.depth);
    while at < key.len() && left > 0 {
        if key[at..].starts_with(cut.separator) {
            at += cut.separator.len();
            (end, left) = (at, left - 1);
        } else {
            at += 1;
        }
    }
    key[..end].to_vec()
}

#[test]
fn empty_trees_have_no_groups() {
    let mut model = Model::<WithClock>::new();
    model.check_census();
    assert!(model.tree.add_up(b"", 0));
    assert_eq!(model.tree.totals(b"x"), Totals::default());
}

#[test]
fn keys_without_a_separator_are_one_group() {
    let mut model = Model::<WithClock>::new();
    for number in 0..2000_u32 {
        model.put(number.to_string().as_bytes(), Content::Inline(0, vec![1; 10]), None, 0);
        model.put(format!("user:{number}").as_bytes(), Content::Inline(0, vec![1; 10]), Some(1), 0);
    }
    let groups = model.tree.census(&Cut { prefix: b"", separator: b":", depth: 1 }, Measure::Keys, ENOUGH);
    let counts: BTreeMap<_, _> = groups.iter().map(|(name, group)| (&**name, group.totals.all().keys)).collect();
    assert_eq!(counts, BTreeMap::from([(&b""[..], 2000), (b"user:", 2000)]));
    assert_eq!(groups[&b"user:"[..]].totals.volatile.keys, 2000);
    model.check();
}

#[test]
fn heavy_groups_are_told_apart_first() {
    let mut model = Model::<WithClock>::new();
    let mut add = |key: String| {
        let key = key.into_bytes();
        model.tree.put(model.seed.key(&key), NewPayload::Inline { kind: 0, bytes: &[7; 16] }, None, 0);
    };
    for number in 0..20_000 {
        add(format!("app:{}:{number}", number % 7));
        add(format!("small:{number}:x"));
    }
    let cut = Cut { prefix: b"", separator: b":", depth: 2 };
    let groups = model.tree.census(&cut, Measure::Keys, Effort { nodes: 60, pages: 5 });
    for app in 0..7 {
        let group = groups[format!("app:{app}:").as_bytes()];
        let expected = (0..20_000).filter(|number| number % 7 == app).count() as u64;
        assert_eq!((group.totals.all().keys, group.undivided.all().keys), (expected, 0));
    }
    let small = groups[&b"small:"[..]];
    assert!(small.undivided.all().keys > 15_000 && small.undivided == small.totals);
    let one = model.tree.totals(b"small:77:");
    assert_eq!(one.all().keys, 1);
}

/// Changes are seen by the next question, whichever way they are made, and only what they concern is added up again.
#[test]
fn changes_are_added_up() {
    let mut model = Model::<WithClock>::new();
    for key in decimal_keys(20_000) {
        model.put(&key, Content::Inline(0, vec![1; 16]), None, 0);
    }
    while !model.tree.add_up(b"", 10) {}
    assert!(model.tree.add_up(b"", 0), "all is known");
    let key = b"key:000000012345";
    let before = model.tree.totals(b"key:");
    model.put(key, Content::Inline(0, vec![2; 16]), None, 7);
    assert!(model.tree.add_up(b"", 0), "what takes the same place changes no sums");
    type Change<'a> = &'a dyn Fn(&mut Model<WithClock>);
    let changes: [Change<'_>; 6] = [
        &|model| model.put(key, Content::Inline(0, vec![2; 17]), None, 7),
        &|model| model.put(key, Content::Inline(9, vec![2; 17]), None, 7),
        &|model| model.set_deadline(key, Some(5)),
        &|model| model.put(key, Content::Boxed(5000), Some(5), 7),
        &|model| model.touch(key, 7),
        &|model| model.remove(key),
    ];
    for change in changes {
        let last = model.tree.totals(b"key:");
        change(&mut model);
        assert!(!model.tree.add_up(b"", 0));
        let totals = model.tree.totals(b"key:");
        // To touch a payload changes its weight by less than a unit.
        assert!(totals != last || totals.classes.iter().any(|figures| figures.bytes >= 5000));
        model.verify();
    }
    let after = model.tree.totals(b"key:");
    assert_eq!(before.all().keys, after.all().keys + 1);
    model.check();
}
