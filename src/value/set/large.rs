//! A set of any size: a tree of its members, like the one that has the keys.

use crate::tree::{Entry, Key, Layout, NewPayload, NoRecorder, Tree, Uncounted};
use crate::value::collection::SEED;
use crate::value::packed::{Element, IntegerText};
use rand::Rng;
use std::convert::Infallible;
use std::fmt;
use std::ops::ControlFlow;

/// Members are keys with nothing to them.
enum Members {}

impl Layout for Members {
    const CLOCK: bool = false;
    type Boxed = Infallible;
    type Recorder = NoRecorder;
    type Count = Uncounted;
}

const NOTHING: NewPayload<'static, Infallible> = NewPayload::Inline { kind: 0, bytes: &[] };
/// Bytes of pages that are about as much work to free as one allocation elsewhere.
const BYTES_PER_EFFORT: usize = 4096;

/// A large set.
#[derive(Default)]
pub struct Large {
    tree: Tree<Members>,
}

impl fmt::Debug for Large {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Large").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Clone for Large {
    fn clone(&self) -> Self {
        let mut copy = Large::default();
        let flow = self.visit(|member| {
            copy.insert(member.bytes);
            ControlFlow::Continue(())
        });
        debug_assert!(flow.is_continue());
        copy
    }
}

impl Large {
    /// See [`Tree::image`].
    pub(super) fn image(&mut self) -> Option<Self> {
        Some(Large { tree: self.tree.image()? })
    }

    /// Number of members.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.tree.len()
    }

    #[inline]
    pub(super) fn contains(&self, member: Element<'_>) -> bool {
        self.tree.find(SEED.key(member.as_bytes(&mut IntegerText::default()))).is_some()
    }

    /// As [`contains`](Self::contains), for a member from a [`visit`](Self::visit) of any large set.
    #[inline]
    pub(super) fn has(&self, key: Key<'_>) -> bool {
        self.tree.find(key).is_some()
    }

    /// Adds a member; false if it is there already.
    #[inline]
    pub(super) fn insert(&mut self, member: &[u8]) -> bool {
        let len = self.tree.len();
        self.tree.put(SEED.key(member), NOTHING, None, 0);
        self.tree.len() > len
    }

    /// Removes a member; false if it is not there.
    pub(super) fn remove(&mut self, member: &[u8]) -> bool {
        self.tree.remove_key(SEED.key(member)).is_some()
    }

    /// Visits all members, in the order of the tree, until `visit` breaks.
    pub(super) fn visit(&self, mut visit: impl FnMut(Key<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        self.tree.for_each(&[], |entry| visit(Key::new(entry.key, entry.hash)))
    }

    /// A step of a scan: see [`Tree::scan`].
    pub(super) fn scan(&self, cursor: u64, count: usize, prefix: &[u8], mut visit: impl FnMut(&[u8])) -> u64 {
        self.tree.scan(cursor, count, prefix, |entry: Entry<'_, _>| visit(entry.key))
    }

    /// Writes a member, as likely as any other, to `member`; false if there is none.
    pub(super) fn random(&self, rng: &mut impl Rng, member: &mut Vec<u8>) -> bool {
        match self.tree.random(rng) {
            Some(position) => {
                self.tree.key(position, member);
                true
            }
            None => false,
        }
    }

    /// Removes a member, as likely as any other, and writes it to `member`; false if there is none.
    pub(super) fn pop(&mut self, rng: &mut impl Rng, member: &mut Vec<u8>) -> bool {
        match self.tree.random(rng) {
            Some(position) => {
                self.tree.key(position, member);
                self.tree.remove(position);
                true
            }
            None => false,
        }
    }

    /// Bytes allocated.
    pub(super) fn memory(&self) -> usize {
        let memory = self.tree.memory();
        size_of::<Large>() + memory.page_bytes + memory.node_bytes
    }

    /// The work that freeing the set is, in allocations.
    pub(super) fn free_effort(&self) -> usize {
        1 + self.tree.memory().page_bytes / BYTES_PER_EFFORT
    }
}
