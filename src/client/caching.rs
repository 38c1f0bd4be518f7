//! What is known of a client that keeps copies of keys (`CLIENT TRACKING`): the prefixes of those that it wants to be told of, none
//! of which may be the beginning of another, and what it has yet to be told.

use std::collections::BTreeSet;
use std::ops::Bound;

/// What a client is told to forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    Key(Box<[u8]>),
    /// Whatever it has.
    All,
}

/// Prefixes of keys. They do not overlap, but for the empty one.
#[derive(Debug, Default)]
pub struct PrefixSet {
    prefixes: BTreeSet<Box<[u8]>>,
}

/// Why prefixes cannot be added.
#[derive(Debug, PartialEq, Eq)]
pub enum Overlap {
    /// One overlaps with one that is there.
    Present { added: Box<[u8]>, present: Box<[u8]> },
    /// One overlaps with another of those that are to be added.
    Added { added: Box<[u8]>, other: Box<[u8]> },
}

fn overlap(a: &[u8], b: &[u8]) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

impl PrefixSet {
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// In their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.prefixes.iter().map(|prefix| &**prefix)
    }

    /// Adds a prefix; returns whether it is new.
    pub fn insert(&mut self, prefix: &[u8]) -> bool {
        self.prefixes.insert(prefix.into())
    }

    /// The first prefix that overlaps with one to be added.
    fn overlapping(&self, added: &[u8]) -> Option<&[u8]> {
        if let Some(empty) = self.prefixes.first().filter(|first| first.is_empty()) {
            return Some(empty);
        }
        // As none is the beginning of another, only the neighbours can be of this one.
        let neighbours = |range: (Bound<&[u8]>, Bound<&[u8]>)| self.prefixes.range::<[u8], _>(range);
        let before = neighbours((Bound::Unbounded, Bound::Included(added))).next_back();
        let after = neighbours((Bound::Excluded(added), Bound::Unbounded)).next();
        before.into_iter().chain(after).map(|prefix| &**prefix).find(|prefix| overlap(prefix, added))
    }

    /// Whether `added` may be added, together.
    pub fn check(&self, added: &[&[u8]]) -> Result<(), Overlap> {
        let with_present = added.iter().enumerate().find_map(|(index, added)| Some((index, self.overlapping(added)?)));
        let with_other = first_overlapping_with_later(added);
        match (with_present, with_other) {
            (Some((index, present)), other) if other.is_none_or(|other| index <= other) => {
                Err(Overlap::Present { added: added[index].into(), present: present.into() })
            }
            (_, Some(first)) => {
                let other = added[first + 1..].iter().find(|other| overlap(added[first], other));
                // There is one: that is why `first` was found.
                let other = other.copied().unwrap_or_default();
                Err(Overlap::Added { added: added[first].into(), other: other.into() })
            }
            _ => Ok(()),
        }
    }
}

/// The first of the prefixes that overlaps with one behind it.
fn first_overlapping_with_later(prefixes: &[&[u8]]) -> Option<usize> {
    // From the end on, the shortest of those that overlap: whatever overlaps with one of the others does so with these.
    let mut later = PrefixSet::default();
    let mut found = None;
    for (index, prefix) in prefixes.iter().enumerate().rev() {
        let is_covered = match later.overlapping(prefix) {
            None => false,
            Some(other) => {
                found = Some(index);
                prefix.starts_with(other)
            }
        };
        if is_covered {
            continue;
        }
        while let Some(longer) = later.overlapping(prefix).map(Box::<[u8]>::from) {
            later.prefixes.remove(&longer);
        }
        later.insert(prefix);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_overlaps_is_found_as_by_comparing_all(
            requests in proptest::collection::vec(proptest::collection::vec("[ab]{0,5}", 0..5), 0..12),
        ) {
            let mut set = PrefixSet::default();
            for request in requests {
                let added: Vec<&[u8]> = request.iter().map(String::as_bytes).collect();
                let mut expected = Ok(());
                for (index, prefix) in added.iter().enumerate() {
                    let present = set.prefixes.iter().find(|present| overlap(present, prefix));
                    let other = added[index + 1..].iter().find(|other| overlap(other, prefix));
                    if let Some(present) = present {
                        expected = Err(Overlap::Present { added: (*prefix).into(), present: present.clone() });
                    } else if let Some(other) = other {
                        expected = Err(Overlap::Added { added: (*prefix).into(), other: (*other).into() });
                    }
                    if expected.is_err() {
                        break;
                    }
                }
                prop_assert_eq!(set.check(&added), expected);
                if set.check(&added).is_ok() {
                    added.iter().for_each(|prefix| { set.insert(prefix); });
                }
            }
        }
    }
}
