//! Sorted sets: members with a score each, in order of score and, where scores are equal, of the members' bytes.
//!
//! A small one is packed: members and scores in turn in one byte string, which lives in its record or by itself. A large
//! one has an index from member to score, which is a tree like the keyspace's own, and the order of its entries, a tree
//! in which ranks can be counted. Ranges of all kinds are ranges of ranks: a range of scores or members is two
//! [`rank`s](SortedSetRef::score_range) found in logarithmic time, and a limit or an offset costs nothing.
//!
//! ```
//! use radish::value::zset::{SortedSet, ZsetLimits};
//!
//! let mut players = SortedSet::default();
//! for (name, points) in [("ada", 12.0), ("bob", 7.5), ("cy", 12.0)] {
//!     players.update(name.as_bytes(), &ZsetLimits::default(), |_| Some(points));
//! }
//! assert_eq!(players.view().rank(b"cy"), Some((2, 12.0)));
//! ```

mod large;
mod leaf;
mod order;
mod packed;

use super::collection::{Collection, Scratch};
use super::packed::{Element, IntegerText};
use super::{IMAGE_BYTES_MIN, InlineKind, Type, Value, ValueRef};
pub use large::Large;
use order::Place;
pub use packed::{Packed, PackedRef};
use std::cell::RefCell;
use std::convert::Infallible;
use std::ops::Range;

/// Bytes in front of the entries of a sorted set in its record: the number of members, little-endian.
const PACKED_HEAD: usize = 2;

/// How large a packed sorted set may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZsetLimits {
    /// Members at most (`zset-max-listpack-entries`).
    pub entries_max: usize,
    /// Bytes of a member at most (`zset-max-listpack-value`).
    pub member_max: usize,
}

impl Default for ZsetLimits {
    fn default() -> Self {
        ZsetLimits { entries_max: 128, member_max: 64 }
    }
}

/// A score that begins or ends a range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreBound {
    pub score: f64,
    /// Whether this very score is out of the range.
    pub is_exclusive: bool,
}

/// A member that begins or ends a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// Before all members.
    Min,
    /// Behind all members.
    Max,
    Inclusive(&'a [u8]),
    Exclusive(&'a [u8]),
}

impl LexBound<'_> {
    /// Whether a member is behind this begin of a range.
    fn begins_before(&self, member: &[u8]) -> bool {
        match *self {
            LexBound::Min => true,
            LexBound::Max => false,
            LexBound::Inclusive(bound) => member >= bound,
            LexBound::Exclusive(bound) => member > bound,
        }
    }

    /// Whether a member is before this end of a range.
    fn ends_behind(&self, member: &[u8]) -> bool {
        match *self {
            LexBound::Min => false,
            LexBound::Max => true,
            LexBound::Inclusive(bound) => member <= bound,
            LexBound::Exclusive(bound) => member < bound,
        }
    }
}

/// A sorted set.
#[derive(Debug, Clone)]
pub enum SortedSet {
    Packed(Packed),
    Large(Box<Large>),
}

impl Default for SortedSet {
    fn default() -> Self {
        SortedSet::Packed(Packed::default())
    }
}

impl SortedSet {
    /// An empty set that is packed only if it still will be with so many members, the longest of so many bytes.
    pub fn for_members(count: usize, len_max: usize, limits: &ZsetLimits) -> Self {
        if count <= limits.entries_max && len_max <= limits.member_max {
            SortedSet::default()
        } else {
            SortedSet::Large(Box::new(Large::new()))
        }
    }

    /// Read access.
    #[inline]
    pub fn view(&self) -> SortedSetRef<'_> {
        match self {
            SortedSet::Packed(packed) => SortedSetRef::Packed(packed.view()),
            SortedSet::Large(large) => SortedSetRef::Large(large),
        }
    }

    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Whether there are no members. An empty set is not kept: its key is removed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shows `decide` the score of a member, if it is there, and gives the member the score that it returns, if any,
    /// which is not NaN. A packed set that would exceed its limits becomes large.
    #[inline]
    pub fn update(&mut self, member: &[u8], limits: &ZsetLimits, decide: impl FnOnce(Option<f64>) -> Option<f64>) {
        let packed = match self {
            SortedSet::Large(large) => return large.update(member, decide),
            SortedSet::Packed(packed) => packed,
        };
        let before = packed.view().score(member);
        let Some(score) = decide(before).filter(|score| Some(*score) != before) else { return };
        debug_assert!(!score.is_nan());
        if before.is_some() {
            packed.remove(member);
        } else if packed.view().len() >= limits.entries_max || member.len() > limits.member_max {
            return self.enlarge().update(member, |_| Some(score));
        }
        packed.insert(member, score);
    }

    /// Becomes large.
    fn enlarge(&mut self) -> &mut Large {
        if let SortedSet::Packed(packed) = self {
            let mut large = Large::new();
            let filled = packed.view().visit(0..packed.view().len(), false, |member, score| {
                large.update(member.as_bytes(&mut IntegerText::default()), |_| Some(score));
                Ok::<_, Infallible>(())
            });
            let Ok(()) = filled;
            *self = SortedSet::Large(Box::new(large));
        }
        match self {
            SortedSet::Large(large) => large,
            SortedSet::Packed(_) => unreachable!("it has just become large"),
        }
    }

    /// Removes a member, and returns the score that it had.
    #[inline]
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match self {
            SortedSet::Packed(packed) => packed.remove(member),
            SortedSet::Large(large) => large.remove(member),
        }
    }

    /// Removes the members with these ranks, all of which there are.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) {
        match self {
            SortedSet::Packed(packed) => packed.remove_ranks(ranks),
            SortedSet::Large(large) => large.remove_ranks(ranks),
        }
    }

    /// A copy of a large set that costs little: it has in common with it what does not change. To be read by
    /// [`SortedSetRef::for_each_unordered`] alone.
    pub fn image(&mut self) -> Option<Self> {
        match self {
            SortedSet::Large(large) if large.memory(1) >= IMAGE_BYTES_MIN => {
                Some(SortedSet::Large(Box::new(large.image()?)))
            }
            _ => None,
        }
    }

    /// Bytes allocated, estimated from at most `samples` leaves.
    pub fn memory(&self, samples: usize) -> usize {
        match self {
            SortedSet::Packed(packed) => packed.memory(),
            SortedSet::Large(large) => large.memory(samples),
        }
    }

    /// The work that freeing the set is, in allocations.
    pub fn free_effort(&self) -> usize {
        match self {
            SortedSet::Packed(_) => 1,
            SortedSet::Large(large) => large.free_effort(),
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch<SortedSet>> = RefCell::default();
}

impl Collection for SortedSet {
    const TYPE: Type = Type::SortedSet;
    type View<'a> = SortedSetRef<'a>;

    #[inline]
    fn view(value: ValueRef<'_>) -> Option<SortedSetRef<'_>> {
        value.as_sorted_set()
    }

    #[inline]
    fn of(value: &mut Value) -> Option<&mut Self> {
        match value {
            Value::SortedSet(set) => Some(set),
            _ => None,
        }
    }

    fn into_value(self) -> Value {
        Value::SortedSet(self)
    }

    #[inline]
    fn len(&self) -> usize {
        self.len()
    }

    fn clear(&mut self) {
        match self {
            SortedSet::Packed(packed) => packed.load(&[], 0),
            SortedSet::Large(_) => *self = SortedSet::default(),
        }
    }

    fn load(&mut self, kind: InlineKind, payload: &[u8]) {
        self.clear();
        if let SortedSet::Packed(packed) = self
            && kind == InlineKind::PackedSortedSet
        {
            let view = packed_view(payload);
            packed.load(view.entries(), view.len());
        }
    }

    fn inline_size(&self) -> Option<usize> {
        match self {
            SortedSet::Packed(packed) if packed.view().len() <= usize::from(u16::MAX) => {
                Some(PACKED_HEAD + packed.view().entries().len())
            }
            _ => None,
        }
    }

    fn pack(&self, out: &mut Vec<u8>, size_max: usize) -> Option<InlineKind> {
        match self {
            SortedSet::Packed(packed) if self.inline_size().is_some_and(|size| size <= size_max) => {
                let view = packed.view();
                out.clear();
                out.extend_from_slice(&(view.len() as u16).to_le_bytes());
                out.extend_from_slice(view.entries());
                Some(InlineKind::PackedSortedSet)
            }
            _ => None,
        }
    }

    #[inline]
    fn with_scratch<R>(work: impl FnOnce(&mut Scratch<Self>) -> R) -> R {
        SCRATCH.with_borrow_mut(work)
    }
}

/// Read access to a sorted set, wherever it is kept.
#[derive(Debug, Clone, Copy)]
pub enum SortedSetRef<'a> {
    Packed(PackedRef<'a>),
    Large(&'a Large),
}

impl<'a> SortedSetRef<'a> {
    /// The set that a record's payload is.
    #[inline]
    pub fn inline(payload: &'a [u8]) -> Self {
        SortedSetRef::Packed(packed_view(payload))
    }

    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            SortedSetRef::Packed(packed) => packed.len(),
            SortedSetRef::Large(large) => large.len(),
        }
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries of a packed set: members and scores in turn.
    pub fn packed_entries(&self) -> Option<&'a [u8]> {
        match self {
            SortedSetRef::Packed(packed) => Some(packed.entries()),
            SortedSetRef::Large(_) => None,
        }
    }

    /// The encoding that `OBJECT ENCODING` names.
    pub fn encoding(&self) -> &'static str {
        match self {
            SortedSetRef::Packed(_) => "listpack",
            SortedSetRef::Large(_) => "skiplist",
        }
    }

    /// The score of a member.
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            SortedSetRef::Packed(packed) => packed.score(member),
            SortedSetRef::Large(large) => large.score(member),
        }
    }

    /// How many members come before this one, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            SortedSetRef::Packed(packed) => packed.rank_of(member),
            SortedSetRef::Large(large) => {
                let score = large.score(member)?;
                Some((large.rank(&Place::Entry(score, member)), score))
            }
        }
    }

    fn place(&self, place: &Place<'_>) -> usize {
        match self {
            SortedSetRef::Packed(packed) => packed.rank(place),
            SortedSetRef::Large(large) => large.rank(place),
        }
    }

    /// The ranks of the members whose scores are between two bounds.
    pub fn score_range(&self, min: ScoreBound, max: ScoreBound) -> Range<usize> {
        let start = match min.is_exclusive {
            false => self.place(&Place::BeforeScore(min.score)),
            true => self.place(&Place::BehindScore(min.score)),
        };
        let end = match max.is_exclusive {
            false => self.place(&Place::BehindScore(max.score)),
            true => self.place(&Place::BeforeScore(max.score)),
        };
        start..end.max(start)
    }

    /// The ranks of the members between two others, but for the first `passed`, or the last if `reversed`; if all
    /// members have the same score. Else no order is promised, but in a packed set those are found that Redis would
    /// find in a listpack, and there are none if the first or the last member stands outside.
    pub fn lex_range(&self, min: LexBound<'_>, max: LexBound<'_>, reversed: bool, passed: usize) -> Range<usize> {
        let large = match self {
            SortedSetRef::Packed(packed) => return packed.lex_range(min, max, reversed, passed),
            SortedSetRef::Large(large) => large,
        };
        let holds = |rank: usize, is_within: &dyn Fn(&[u8]) -> bool| {
            large.visit(rank..rank + 1, false, |member, _| if is_within(member) { Ok(()) } else { Err(()) }).is_ok()
        };
        let (first, last) = (0, large.len() - 1);
        if !holds(first, &|member| max.ends_behind(member)) || !holds(last, &|member| min.begins_before(member)) {
            return 0..0;
        }
        let place = |bound, is_min| match (bound, is_min) {
            (LexBound::Min, _) => 0,
            (LexBound::Max, _) => large.len(),
            (LexBound::Inclusive(member), true) | (LexBound::Exclusive(member), false) => {
                large.rank(&Place::BeforeMember(member))
            }
            (LexBound::Inclusive(member), false) | (LexBound::Exclusive(member), true) => {
                large.rank(&Place::BehindMember(member))
            }
        };
        let start = place(min, true);
        let end = place(max, false).max(start);
        let passed = passed.min(end - start);
        if reversed { start..end - passed } else { start + passed..end }
    }

    /// Shows the members with these ranks, all of which there are, and their scores; from the last to the first if
    /// `reversed`. Ends with the first error.
    #[inline]
    pub fn visit<E>(
        &self,
        ranks: Range<usize>,
        reversed: bool,
        mut each: impl FnMut(Element<'a>, f64) -> Result<(), E>,
    ) -> Result<(), E> {
        if ranks.is_empty() {
            return Ok(());
        }
        match self {
            SortedSetRef::Packed(packed) => packed.visit(ranks, reversed, each),
            SortedSetRef::Large(large) => {
                assert!(!large.is_image(), "an image has no order");
                large.visit(ranks, reversed, |member, score| each(Element::Bytes(member), score))
            }
        }
    }

    /// Shows all members in order, as [`visit`](Self::visit) does.
    pub fn for_each(&self, mut each: impl FnMut(Element<'a>, f64)) {
        let Ok(()) = self.visit(0..self.len(), false, |member, score| {
            each(member, score);
            Ok::<_, Infallible>(())
        });
    }

    /// Shows all members in order, or those of an image ([`SortedSet::image`]) in none.
    pub fn for_each_unordered(&self, mut each: impl FnMut(Element<'_>, f64)) {
        match self {
            SortedSetRef::Large(large) if large.is_image() => {
                large.visit_index(|member, score| each(Element::Bytes(member), score));
            }
            _ => self.for_each(each),
        }
    }

    /// One step of a scan: shows about `count` members that begin with `prefix`, or all members if the set is packed,
    /// and returns the cursor for the next step, 0 when there is nothing left. A member that is there from the first
    /// step to the last is shown.
    pub fn scan(&self, cursor: u64, count: usize, prefix: &[u8], mut each: impl FnMut(&[u8], f64)) -> u64 {
        match self {
            SortedSetRef::Packed(_) => {
                self.for_each(|member, score| each(member.as_bytes(&mut IntegerText::default()), score));
                0
            }
            SortedSetRef::Large(large) => large.scan(cursor, count, prefix, each),
        }
    }
}

fn packed_view(payload: &[u8]) -> PackedRef<'_> {
    match payload.split_first_chunk::<PACKED_HEAD>() {
        Some((count, entries)) => PackedRef::new(entries, usize::from(u16::from_le_bytes(*count))),
        None => PackedRef::new(&[], 0),
    }
}

#[cfg(test)]
mod tests;
