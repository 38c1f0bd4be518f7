//! Values by byte strings, of which those are found that a given string begins with: patterns by their literal beginning,
//! prefixes of keys.

use radix_trie::{Trie, TrieCommon};
use std::collections::HashMap;

/// So many bytes of a prefix lead to it: enough to tell apart prefixes as they are in use. The trie is as deep as its keys are
/// long; it is walked and freed by recursion, and every search looks at each depth. Without a limit, prefixes of each other
/// could exhaust the stack and hold up whoever searches.
const TRIE_BYTES_MAX: usize = 32;

/// A map from prefixes to values.
pub struct Prefixes<T> {
    by_start: Trie<Vec<u8>, HashMap<Box<[u8]>, T>>,
    len: usize,
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Prefixes { by_start: Trie::new(), len: 0 }
    }
}

/// The bytes by which a string is found, or finds.
fn start_of(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(TRIE_BYTES_MAX)]
}

impl<T> Prefixes<T> {
    /// The number of prefixes.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get_mut(&mut self, prefix: &[u8]) -> Option<&mut T> {
        self.by_start.get_mut(&start_of(prefix).to_vec())?.get_mut(prefix)
    }

    /// Gives a prefix a value; returns the one that it had.
    pub fn insert(&mut self, prefix: &[u8], value: T) -> Option<T> {
        let start = start_of(prefix).to_vec();
        let before = match self.by_start.get_mut(&start) {
            Some(same) => same.insert(prefix.into(), value),
            None => {
                self.by_start.insert(start, HashMap::from([(prefix.into(), value)]));
                None
            }
        };
        self.len += usize::from(before.is_none());
        before
    }

    pub fn remove(&mut self, prefix: &[u8]) -> Option<T> {
        let start = start_of(prefix).to_vec();
        let same = self.by_start.get_mut(&start)?;
        let removed = same.remove(prefix)?;
        if same.is_empty() {
            self.by_start.remove(&start);
        }
        self.len -= 1;
        Some(removed)
    }

    /// Visits each prefix that `bytes` begin with, and its value.
    pub fn for_each_of<'p>(&'p self, bytes: &[u8], mut visit: impl FnMut(&'p [u8], &'p T)) {
        let start = start_of(bytes);
        let mut node = self.by_start.get_ancestor(start);
        while let Some(subtrie) = node {
            let Some(found) = subtrie.key() else { break };
            for (prefix, value) in subtrie.value().into_iter().flatten() {
                if bytes.starts_with(prefix) {
                    visit(prefix, value);
                }
            }
            node = match found.len() {
                0 => None,
                len => self.by_start.get_ancestor(&start[..len - 1]),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Strings of which many are prefixes of others, below and above the length that the trie knows.
    fn strings() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(b'a'..b'c', 0..6),
            (30usize..36, proptest::collection::vec(b'a'..b'c', 0..3)).prop_map(|(len, end)| {
                let mut bytes = vec![b'a'; len];
                bytes.extend(end);
                bytes
            }),
        ]
    }

    proptest! {
        #[test]
        fn those_are_found_that_a_map_finds_by_a_look_at_each(
            steps in proptest::collection::vec((any::<bool>(), strings(), any::<u8>()), 0..60),
            searches in proptest::collection::vec(strings(), 1..10),
        ) {
            let (mut prefixes, mut model) = (Prefixes::default(), BTreeMap::new());
            for (adds, prefix, value) in steps {
                if adds {
                    prop_assert_eq!(prefixes.insert(&prefix, value), model.insert(prefix, value));
                } else {
                    prop_assert_eq!(prefixes.remove(&prefix), model.remove(&prefix));
                }
                prop_assert_eq!(prefixes.len(), model.len());
            }
            for search in searches {
                prop_assert_eq!(prefixes.get_mut(&search).copied(), model.get(&search).copied());
                let mut found = BTreeMap::new();
                prefixes.for_each_of(&search, |prefix, value| assert!(found.insert(prefix.to_vec(), *value).is_none()));
                let expected: BTreeMap<_, _> =
                    model.iter().filter(|(prefix, _)| search.starts_with(prefix)).map(|(k, v)| (k.clone(), *v)).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
