//! Keys as the tree takes them: the bytes and a keyed hash, which the caller makes once per request.

use std::hash::Hasher;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

/// A key and its hash, and where it was found to belong if somebody has looked.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    pub bytes: &'a [u8],
    /// Made by [`Seed::hash`] of all the bytes. A tree uses the low 16 bits; who spreads keys over several trees, the high ones.
    pub hash: u64,
    /// Spares the tree that it is of a walk, for as long as the tree keeps its shape. Nothing else than [`Trail::NONE`] or what
    /// [`Tree::trail`](super::Tree::trail) gave for these very bytes.
    pub trail: Trail,
}

/// Where a walk for a key ended, good until the shape of any tree changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trail {
    pub(super) page: u32,
    pub(super) depth: u16,
    /// Where in the page the record of the key was, or should be: a place to begin with. `u16::MAX`: unknown.
    pub(super) slot: u16,
    /// The number of the shape that the tree had: no two shapes of any trees have the same.
    pub(super) shape: u64,
}

impl Trail {
    /// No walk has been made, or it ended nowhere.
    pub const NONE: Trail = Trail { page: super::page::NONE, depth: 0, slot: u16::MAX, shape: u64::MAX };
}

impl<'a> Key<'a> {
    /// A key whose `hash` was made by [`Seed::hash`].
    #[inline(always)]
    pub fn new(bytes: &'a [u8], hash: u64) -> Self {
        Key { bytes, hash, trail: Trail::NONE }
    }

    #[inline(always)]
    pub(super) fn tag(self) -> u16 {
        self.hash as u16
    }
}

/// The secret that keys are hashed with. All keys of a tree are hashed with the same one.
pub struct Seed {
    own: u64,
    shared: SharedSeed,
}

impl Seed {
    /// A seed that nobody can guess.
    pub fn random() -> Self {
        Seed { own: rand::random(), shared: SharedSeed::from_u64(rand::random()) }
    }

    /// A seed for tests: the same number gives the same hashes.
    pub fn from_u64(number: u64) -> Self {
        Seed { own: number, shared: SharedSeed::from_u64(!number) }
    }

    #[inline(always)]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.own, &self.shared);
        hasher.write(bytes);
        hasher.finish()
    }

    #[inline(always)]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key::new(bytes, self.hash(bytes))
    }
}
