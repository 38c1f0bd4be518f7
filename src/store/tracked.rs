//! Keys that clients may keep copies of (`CLIENT TRACKING`), with the ids of those clients: whoever changes a key takes it out
//! and tells them. The key's database makes no difference.

use crate::tree::{Key, Layout, NewPayload, NoRecorder, Payload, PayloadMut, Position, Tree, Uncounted};
use rand::Rng;
use smallvec::SmallVec;
use std::collections::HashSet;

/// So many clients at most have their ids in the record of their key.
const INLINE_IDS_MAX: usize = 16;
const ID_BYTES: usize = size_of::<u64>();

/// A record has the ids of its key's clients, in the page as long as they are few.
enum TrackedLayout {}

impl Layout for TrackedLayout {
    const CLOCK: bool = false;
    type Boxed = HashSet<u64>;
    type Recorder = NoRecorder;
    type Count = Uncounted;
}

/// Ids of clients.
pub type Ids = SmallVec<[u64; INLINE_IDS_MAX]>;

/// What was new when a client was noted for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    Key,
    Client,
    Nothing,
}

/// The tracked keys of one shard.
#[derive(Default)]
pub struct Tracked {
    /// Made when the first key is noted.
    keys: Option<Box<Tree<TrackedLayout>>>,
}

impl Tracked {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.is_empty())
    }

    /// Notes that a client may have a copy of `key` from now on.
    pub fn note(&mut self, key: Key<'_>, client: u64) -> Noted {
        let tree = self.keys.get_or_insert_with(|| Box::new(Tree::new()));
        let Some(position) = tree.find(key) else {
            tree.put(key, NewPayload::Inline { kind: 0, bytes: &client.to_le_bytes() }, None, 0);
            return Noted::Key;
        };
        let mut bytes = match tree.payload_mut(position) {
            PayloadMut::Boxed(ids) => return if ids.insert(client) { Noted::Client } else { Noted::Nothing },
            PayloadMut::Inline { bytes, .. } => SmallVec::<[u8; INLINE_IDS_MAX * ID_BYTES]>::from_slice(bytes),
        };
        if inline_ids(&bytes).any(|id| id == client) {
            return Noted::Nothing;
        }
        if bytes.len() / ID_BYTES < INLINE_IDS_MAX {
            bytes.extend_from_slice(&client.to_le_bytes());
            tree.replace(position, key, NewPayload::Inline { kind: 0, bytes: &bytes });
        } else {
            let ids = inline_ids(&bytes).chain([client]).collect();
            tree.replace(position, key, NewPayload::Boxed(Box::new(ids)));
        }
        Noted::Client
    }

    /// Takes a key out, and returns the clients that may have copies of it.
    pub fn take(&mut self, key: Key<'_>) -> Option<Ids> {
        let tree = self.keys.as_mut()?;
        let position = tree.find(key)?;
        Some(take_at(tree, position))
    }

    /// Takes a key out that is chosen at random.
    pub fn take_random(&mut self, rng: &mut impl Rng) -> Option<(Vec<u8>, Ids)> {
        let tree = self.keys.as_mut()?;
        let position = tree.random(rng)?;
        let mut key = Vec::new();
        tree.key(position, &mut key);
        Some((key, take_at(tree, position)))
    }

    /// Forgets all keys.
    pub fn clear(&mut self) {
        self.keys = None;
    }
}

fn take_at(tree: &mut Tree<TrackedLayout>, position: Position) -> Ids {
    let ids = match tree.payload(position) {
        Payload::Inline { bytes, .. } => inline_ids(bytes).collect(),
        Payload::Boxed(ids) => ids.iter().copied().collect(),
    };
    tree.remove(position);
    ids
}

/// The ids that a record has in its page.
fn inline_ids(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks::<ID_BYTES>().0.iter().map(|id| u64::from_le_bytes(*id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Seed;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[derive(Clone, Debug)]
    enum Step {
        Note(u16, u64),
        Take(u16),
        TakeRandom,
        Clear,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            40 => (0u16..30, 0u64..40).prop_map(|(key, client)| Step::Note(key, client)),
            4 => (0u16..30).prop_map(Step::Take),
            1 => Just(Step::TakeRandom),
            1 => Just(Step::Clear),
        ];
        proptest::collection::vec(step, 0..600)
    }

    proptest! {
        #[test]
        fn a_key_has_those_clients_that_were_noted_since_it_was_taken(steps in steps()) {
            let seed = Seed::from_u64(1);
            let (mut tracked, mut model) = (Tracked::default(), BTreeMap::<Vec<u8>, BTreeSet<u64>>::new());
            let bytes = |key: u16| format!("key:{key}").into_bytes();
            for step in steps {
                match step {
                    Step::Note(key, client) => {
                        let key = bytes(key);
                        let is_new_key = !model.contains_key(&key);
                        let is_new_client = model.entry(key.clone()).or_default().insert(client);
                        let expected = match (is_new_key, is_new_client) {
                            (true, _) => Noted::Key,
                            (_, true) => Noted::Client,
                            _ => Noted::Nothing,
                        };
                        prop_assert_eq!(tracked.note(seed.key(&key), client), expected);
                    }
                    Step::Take(key) => {
                        let key = bytes(key);
                        let taken = tracked.take(seed.key(&key)).map(|ids| ids.into_iter().collect::<BTreeSet<_>>());
                        prop_assert_eq!(taken, model.remove(&key));
                    }
                    Step::TakeRandom => match tracked.take_random(&mut rand::rng()) {
                        Some((key, ids)) => prop_assert_eq!(Some(ids.into_iter().collect()), model.remove(&key)),
                        None => prop_assert!(model.is_empty()),
                    },
                    Step::Clear => {
                        tracked.clear();
                        model.clear();
                    }
                }
                prop_assert_eq!(tracked.is_empty(), model.is_empty());
            }
        }
    }
}
