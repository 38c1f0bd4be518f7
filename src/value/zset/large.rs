//! A sorted set of any size: an index from member to score, and the order of its entries.

use super::order::{First, Order, Place};
use crate::tree::{Entry, Layout, NewPayload, NoRecorder, Payload, PayloadMut, Tree, Uncounted};
use crate::value::collection::SEED;
use crate::value::number;
use std::convert::Infallible;
use std::ops::{ControlFlow, Range};

/// Records of the member index have a score and nothing else.
enum Scores {}

impl Layout for Scores {
    const CLOCK: bool = false;
    type Boxed = Infallible;
    type Recorder = NoRecorder;
    type Count = Uncounted;
}

/// The payload's kind if it is an integer: see [`number::integer_to_bytes`].
const INTEGER: u8 = 0;
/// The payload's kind if it is the first bytes of the big-endian form of a double; the others are zero.
const DOUBLE: u8 = 1;
/// Integers below this in magnitude are exact as doubles.
const EXACT_MAX: f64 = (1_u64 << 53) as f64;

/// A score as the payload of a record.
struct EncodedScore {
    kind: u8,
    bytes: [u8; 8],
    len: usize,
}

impl EncodedScore {
    #[inline]
    fn new(score: f64) -> Self {
        let is_minus_zero = score == 0.0 && score.is_sign_negative();
        if score.abs() < EXACT_MAX && score.trunc() == score && !is_minus_zero {
            let (bytes, len) = number::integer_to_bytes(score as i64);
            return EncodedScore { kind: INTEGER, bytes, len };
        }
        let bits = score.to_bits();
        EncodedScore { kind: DOUBLE, bytes: bits.to_be_bytes(), len: 8 - bits.trailing_zeros() as usize / 8 }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn payload(&self) -> NewPayload<'_, Infallible> {
        NewPayload::Inline { kind: self.kind, bytes: self.bytes() }
    }
}

#[inline]
fn decode(payload: Payload<'_, Infallible>) -> f64 {
    match payload {
        Payload::Inline { kind: INTEGER, bytes } => number::integer_from_bytes(bytes) as f64,
        Payload::Inline { bytes, .. } => {
            let mut word = [0; 8];
            let len = bytes.len().min(8);
            word[..len].copy_from_slice(&bytes[..len]);
            f64::from_bits(u64::from_be_bytes(word))
        }
        Payload::Boxed(never) => match *never {},
    }
}

/// See the module.
pub struct Large {
    index: Tree<Scores>,
    order: Order,
}

impl std::fmt::Debug for Large {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Large").field("order", &self.order).finish_non_exhaustive()
    }
}

impl Clone for Large {
    fn clone(&self) -> Self {
        let mut index = Tree::new();
        let copied = self.visit(0..self.len(), false, |member, score| {
            index.put(SEED.key(member), EncodedScore::new(score).payload(), None, 0);
            Ok::<_, Infallible>(())
        });
        let Ok(()) = copied;
        Large { index, order: self.order.clone() }
    }
}

impl Large {
    pub(super) fn new() -> Self {
        Large { index: Tree::new(), order: Order::new() }
    }

    /// What [`visit_index`](Self::visit_index) shows of an image sees what is there now; nothing else may be asked of it.
    pub(super) fn image(&mut self) -> Option<Self> {
        Some(Large { index: self.index.image()?, order: Order::new() })
    }

    /// Visits all members, in no order.
    pub(super) fn visit_index(&self, mut each: impl FnMut(&[u8], f64)) {
        let flow = self.index.for_each(b"", |entry| {
            each(entry.key, decode(entry.record.payload));
            ControlFlow::Continue(())
        });
        debug_assert!(flow.is_continue());
    }

    /// Whether the set is an image.
    pub(super) fn is_image(&self) -> bool {
        self.order.is_empty() && self.len() > 0
    }

    /// Number of members.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        self.index.find(SEED.key(member)).map(|position| decode(self.index.payload(position)))
    }

    /// Gives a member the score that `decide` makes of its present one, if it makes one.
    pub(super) fn update(&mut self, member: &[u8], decide: impl FnOnce(Option<f64>) -> Option<f64>) {
        let key = SEED.key(member);
        let found = self.index.find(key);
        let before = found.map(|position| decode(self.index.payload(position)));
        let Some(score) = decide(before).filter(|score| Some(*score) != before) else { return };
        let encoded = EncodedScore::new(score);
        match (found, before) {
            (Some(position), Some(before)) => {
                self.order.remove(First::Entry(before, member), 1, |_, _| ());
                match self.index.payload_mut(position) {
                    PayloadMut::Inline { kind, bytes } if kind == encoded.kind && bytes.len() == encoded.len => {
                        bytes.copy_from_slice(encoded.bytes());
                    }
                    _ => drop(self.index.replace(position, key, encoded.payload())),
                }
            }
            _ => drop(self.index.put(key, encoded.payload(), None, 0)),
        }
        self.order.insert(score, member);
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let position = self.index.find(SEED.key(member))?;
        let score = decode(self.index.payload(position));
        self.index.remove(position);
        self.order.remove(First::Entry(score, member), 1, |_, _| ());
        Some(score)
    }

    pub(super) fn remove_ranks(&mut self, ranks: Range<usize>) {
        let mut left = ranks.len();
        while left > 0 {
            let index = &mut self.index;
            left -= self.order.remove(First::Rank(ranks.start), left, |_, member| {
                index.remove_key(SEED.key(member));
            });
        }
    }

    #[inline]
    pub(super) fn rank(&self, place: &Place<'_>) -> usize {
        self.order.rank(place)
    }

    pub(super) fn visit<'a, E>(
        &'a self,
        ranks: Range<usize>,
        reversed: bool,
        mut each: impl FnMut(&'a [u8], f64) -> Result<(), E>,
    ) -> Result<(), E> {
        self.order.visit(ranks, reversed, &mut |score, member| each(member, score))
    }

    /// A step of a scan: see [`Tree::scan`].
    pub(super) fn scan(&self, cursor: u64, count: usize, prefix: &[u8], mut each: impl FnMut(&[u8], f64)) -> u64 {
        self.index.scan(cursor, count, prefix, |entry: Entry<'_, _>| each(entry.key, decode(entry.record.payload)))
    }

    pub(super) fn memory(&self, samples: usize) -> usize {
        let index = self.index.memory();
        size_of::<Large>() + index.page_bytes + index.node_bytes + self.order.memory(samples)
    }

    pub(super) fn free_effort(&self) -> usize {
        // Pages of the index hold some times more members than leaves.
        self.order.leaves() * 4 / 3
    }

    #[cfg(test)]
    pub(super) fn verify(&self) {
        let entries = self.order.verify();
        assert_eq!(entries.len(), self.len());
        for (score, member) in entries {
            let found = self.score(&member);
            assert_eq!(found.map(f64::to_bits), Some(score.to_bits()), "{member:?}");
        }
    }
}
