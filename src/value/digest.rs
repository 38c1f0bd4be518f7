//! Digests of values and of whole databases, the same as those of Redis for the same data (`DEBUG DIGEST`), so that
//! two servers can be compared.

use super::packed::IntegerText;
use super::stream::StreamId;
use super::{ValueRef, double};
use sha1::{Digest as _, Sha1};
use std::fmt;

/// A SHA-1 sum over data, of which some counts in order and some does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest([u8; 20]);

impl Digest {
    /// Adds data whose place does not matter: adding it once more takes it away.
    fn add(&mut self, data: &[u8]) {
        let sum: [u8; 20] = Sha1::digest(data).into();
        self.0.iter_mut().zip(sum).for_each(|(byte, other)| *byte ^= other);
    }

    /// Adds data whose place matters.
    fn mix(&mut self, data: &[u8]) {
        self.add(data);
        self.0 = Sha1::digest(self.0).into();
    }

    /// Adds a value, its type first, and whether it expires.
    pub fn mix_value(&mut self, value: ValueRef<'_>, expires: bool) {
        if let Some(string) = value.as_string() {
            let mut bytes = Vec::new();
            self.mix(&0u32.to_be_bytes());
            self.mix(string.as_slice(&mut bytes));
        } else if let Some(list) = value.as_list() {
            self.mix(&1u32.to_be_bytes());
            for element in list.iter(0, list.len()) {
                self.mix(element.as_bytes(&mut IntegerText::default()));
            }
        } else if let Some(set) = value.as_set() {
            self.mix(&2u32.to_be_bytes());
            set.for_each(|member| self.add(member.as_bytes(&mut IntegerText::default())));
        } else if let Some(set) = value.as_sorted_set() {
            self.mix(&3u32.to_be_bytes());
            let mut text = Vec::new();
            set.for_each_unordered(|member, score| {
                let mut entry = Digest::default();
                entry.mix(member.as_bytes(&mut IntegerText::default()));
                text.clear();
                double::append_shortest(score, &mut text);
                entry.mix(&text);
                self.add(&entry.0);
            });
        } else if let Some(stream) = value.as_stream() {
            self.mix(&6u32.to_be_bytes());
            for entry in stream.range(StreamId::MIN, StreamId::MAX) {
                self.mix(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
                for (name, value) in entry.fields() {
                    self.mix(name.as_bytes(&mut IntegerText::default()));
                    self.mix(value.as_bytes(&mut IntegerText::default()));
                }
            }
        } else if let Some(hash) = value.as_hash() {
            self.mix(&4u32.to_be_bytes());
            hash.for_each(|field| {
                let mut entry = Digest::default();
                entry.mix(field.name.as_bytes(&mut IntegerText::default()));
                entry.mix(field.value.as_bytes(&mut IntegerText::default()));
                if field.deadline.is_some() {
                    entry.add(b"!!hexpire!!");
                }
                self.add(&entry.0);
            });
        }
        if expires {
            self.add(b"!!expire!!");
        }
    }

    /// Begins a database that is not empty.
    pub fn mix_database(&mut self, number: u32) {
        self.mix(&number.to_be_bytes());
    }

    /// Adds a key with its value to the database begun last. The order of keys does not matter.
    pub fn add_key(&mut self, key: &[u8], value: ValueRef<'_>, expires: bool) {
        let mut digest = Digest::default();
        digest.mix(key);
        digest.mix_value(value, expires);
        self.add(&digest.0);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::list::List;
    use crate::value::stream::{Stream, StreamId, StreamLimits};
    use crate::value::zset::{SortedSet, ZsetLimits};
    use crate::value::{InlineKind, Value};

    #[test]
    fn digests_are_those_of_redis() {
        let mut digest = Digest::default();
        digest.mix_value(ValueRef::Inline(InlineKind::Raw, b"b"), false);
        assert_eq!(digest.to_string(), "b78559cd22bce6e6df712eb99ce7f3b08e8f8f1f");
        let list = Value::List(["a", "b"].into_iter().collect::<List>());
        let mut digest = Digest::default();
        digest.mix_value(ValueRef::Boxed(&list), false);
        assert_eq!(digest.to_string(), "62f55a532623cf6c3d81081db480b6fd8461eb3f");
        let set = Value::Set(["1", "2", "3", "x"].into_iter().collect());
        let mut digest = Digest::default();
        digest.mix_value(ValueRef::Boxed(&set), false);
        assert_eq!(digest.to_string(), "3bb087b1948bf20dd8244692cb9519e2c3947234");
        let scores: [(&[(&str, f64)], &str); 3] = [
            (&[("a", 1.0), ("7", 2.5)], "9dbdee4fb1ddbd2474844741f3e023d1f5773139"),
            (&[("b", 4_611_686_018_427_387_904.0)], "4ed674996f5e5d9eadfe86d14009903e31dec8a8"),
            (&[("b", 1e17)], "f4c2a1df07294529fb07b572c87dca5ac025fbdf"),
        ];
        for (members, expected) in scores {
            let mut set = SortedSet::default();
            for (member, score) in members {
                set.update(member.as_bytes(), &ZsetLimits::default(), |_| Some(*score));
            }
            let mut digest = Digest::default();
            digest.mix_value(ValueRef::Boxed(&Value::SortedSet(set)), false);
            assert_eq!(digest.to_string(), expected);
        }
        let mut stream = Stream::new();
        for (id, fields) in [
            (StreamId::new(5, 5), [("f", "1"), ("f2", "hello")].as_slice()),
            (StreamId::new(6, 8), [("zz", "1")].as_slice()),
        ] {
            let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            stream.append(id, fields, &StreamLimits::default()).unwrap();
        }
        let mut digest = Digest::default();
        digest.mix_value(ValueRef::Boxed(&Value::Stream(Box::new(stream))), false);
        assert_eq!(digest.to_string(), "6def4b907127700c4fa314c589dadb1ca9c792c0");
    }
}
