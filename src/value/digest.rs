//! Digests of values and of whole databases, the same as those of Redis for the same data (`DEBUG DIGEST`), so that
//! two servers can be compared.

use super::ValueRef;
use super::packed::IntegerText;
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
    }
}
