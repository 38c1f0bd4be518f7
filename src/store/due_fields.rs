//! Which hashes of a database have fields with deadlines, by when the first of them is due.

use crate::value::hash::Hash;
use std::collections::BTreeSet;

/// The keys of those hashes that belong to one shard. Each hash knows under which time it is noted, which is that of its
/// first deadline or before.
#[derive(Debug)]
pub struct DueFields {
    order: BTreeSet<(i64, Box<[u8]>)>,
    /// The first time in the order; `i64::MAX` if it is empty.
    earliest: i64,
}

impl Default for DueFields {
    fn default() -> Self {
        DueFields { order: BTreeSet::new(), earliest: i64::MAX }
    }
}

impl DueFields {
    /// Number of hashes.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The keys of the hashes, those included that may have no deadlines any more.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.order.iter().map(|(_, key)| &**key)
    }

    /// Whether fields may have been due before `now_ms`, in milliseconds of Unix time.
    #[inline]
    pub fn are_due(&self, now_ms: i64) -> bool {
        self.earliest < now_ms
    }

    /// The key of the hash to look at first, if fields may have been due before `now_ms`. It is to be noted anew.
    pub fn pop_due(&mut self, now_ms: i64) -> Option<Box<[u8]>> {
        if !self.are_due(now_ms) {
            return None;
        }
        let first = self.order.pop_first();
        self.update_earliest();
        first.map(|(_, key)| key)
    }

    /// Notes the hash at `key`, which may have got earlier deadlines.
    pub fn note(&mut self, key: &[u8], hash: &mut Hash) {
        let is_late = match (hash.noted_ms(), hash.next_deadline()) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(noted), Some(next)) => next < noted,
        };
        if is_late {
            self.note_exactly(key, hash);
        }
    }

    /// Notes the hash at `key` under its first deadline, if it has one.
    pub fn note_exactly(&mut self, key: &[u8], hash: &mut Hash) {
        let next = hash.next_deadline();
        if next == hash.noted_ms() {
            return;
        }
        self.forget(key, hash);
        hash.set_noted_ms(next);
        if let Some(next) = next {
            self.order.insert((next, key.into()));
            self.earliest = self.earliest.min(next);
        }
    }

    /// Drops a hash that is no longer at `key`.
    pub fn forget(&mut self, key: &[u8], hash: &Hash) {
        if let Some(noted) = hash.noted_ms() {
            self.order.remove(&(noted, key.into()));
            self.update_earliest();
        }
    }

    fn update_earliest(&mut self) {
        self.earliest = self.order.first().map_or(i64::MAX, |(time_ms, _)| *time_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Database, Shard};
    use super::*;
    use crate::tree::{NewPayload, Seed};
    use crate::value::Value;
    use crate::value::hash::{HashRules, Lifetime};

    const RULES: HashRules = HashRules { packed_fields_max: 8, packed_bytes_max: 20, now_ms: 0 };

    fn hash(deadlines: &[i64]) -> Hash {
        let mut hash = Hash::default();
        for deadline in deadlines {
            hash.set(deadline.to_string().as_bytes(), b"v", Lifetime::Until(*deadline), &RULES);
        }
        hash
    }

    fn put(shard: &mut Shard, seed: &Seed, key: &[u8], hash: Hash) {
        let value = NewPayload::Boxed(Box::new(Value::Hash(hash)));
        let (position, _) = shard.databases[0].put(seed.key(key), value, None, 0);
        shard.note_fields(0, position, key);
    }

    #[test]
    fn hashes_are_looked_at_when_fields_are_due() {
        let (mut shard, seed) = (Shard::new(1), Seed::from_u64(1));
        put(&mut shard, &seed, b"a", hash(&[10, 20, 30]));
        put(&mut shard, &seed, b"b", hash(&[15, 15, 16]));
        put(&mut shard, &seed, b"never", hash(&[]));
        assert_eq!(shard.due_fields[0].len(), 2);
        let mut expire = |now_ms, max| {
            let find = |tree: &Database, key: &[u8]| tree.find(seed.key(key));
            let (key, expired) = shard.expire_first_fields(0, now_ms, max, false, find)?;
            let expired = expired.map(|expired| (expired.count, expired.emptied.is_some()));
            Some((String::from_utf8(key.into()).unwrap(), expired))
        };
        assert_eq!(expire(10, 100), None);
        assert_eq!(expire(18, 100), Some(("a".into(), Some((1, false)))));
        // The rest goes with the key, although it is more than one.
        assert_eq!(expire(18, 1), Some(("b".into(), Some((2, true)))));
        assert_eq!(expire(18, 100), None);
        assert_eq!(expire(100, 1), Some(("a".into(), Some((2, true)))));
        assert_eq!(expire(100, 1), None);
        assert!(shard.due_fields[0].is_empty() && !shard.due_fields[0].are_due(i64::MAX));
        assert_eq!(shard.databases[0].len(), 1);
    }

    #[test]
    fn a_hash_is_noted_once() {
        let mut due = DueFields::default();
        let mut noted = hash(&[50]);
        due.note(b"h", &mut noted);
        noted.set_deadline(b"50", Some(40));
        due.note(b"h", &mut noted);
        assert_eq!((due.len(), due.are_due(41), due.are_due(40)), (1, true, false));
        // Later deadlines wait until the earlier time has come.
        noted.set_deadline(b"50", Some(60));
        due.note(b"h", &mut noted);
        assert_eq!((due.len(), due.are_due(41)), (1, true));
        due.forget(b"h", &noted);
        assert!(due.is_empty());
    }
}
