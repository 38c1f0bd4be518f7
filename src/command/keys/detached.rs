//! Records on their way from one key to another (`RENAME`, `MOVE`, `COPY`).

use super::{Found, Keys};
use crate::tree::{NewPayload, Payload};
use crate::value::Value;
use smallvec::SmallVec;

/// A record on its way from one key to another.
pub struct Detached {
    value: DetachedValue,
    deadline: Option<i64>,
    clock: u32,
}

enum DetachedValue {
    Inline(u8, SmallVec<[u8; 128]>),
    Boxed(Box<Value>),
}

impl Keys<'_> {
    /// Takes a record away to be attached elsewhere. Tells nobody.
    pub fn detach(&mut self, found: Found) -> Detached {
        let tree = self.tree_ref(found);
        let (deadline, clock) = (tree.deadline(found.position), tree.clock(found.position));
        let inline = match tree.payload(found.position) {
            Payload::Inline { kind, bytes } => Some((kind, SmallVec::from_slice(bytes))),
            Payload::Boxed(_) => None,
        };
        let value = match (self.take(found), inline) {
            (Some(value), _) => DetachedValue::Boxed(value),
            (None, Some((kind, bytes))) => DetachedValue::Inline(kind, bytes),
            (None, None) => unreachable!("a payload is inline or boxed"),
        };
        Detached { value, deadline, clock }
    }

    /// A copy of a record, to be attached elsewhere.
    pub fn duplicate(&self, found: Found) -> Detached {
        let tree = self.tree_ref(found);
        let value = match tree.payload(found.position) {
            Payload::Inline { kind, bytes } => DetachedValue::Inline(kind, SmallVec::from_slice(bytes)),
            Payload::Boxed(value) => DetachedValue::Boxed(Box::new(value.clone())),
        };
        Detached { value, deadline: tree.deadline(found.position), clock: tree.clock(found.position) }
    }

    /// Makes a detached record the record of `key` in the current database, with its deadline and access clock.
    pub fn attach(&mut self, key: &[u8], record: Detached) -> Found {
        let found = match record.value {
            DetachedValue::Inline(kind, bytes) => {
                self.put(key, NewPayload::Inline { kind, bytes: &bytes }, record.deadline)
            }
            DetachedValue::Boxed(value) => self.put(key, NewPayload::Boxed(value), record.deadline),
        };
        self.set_clock(found, record.clock);
        found
    }
}
