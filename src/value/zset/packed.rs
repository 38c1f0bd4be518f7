//! A small sorted set: members and their scores in turn, in order of score and member, as entries of a packed sequence.

use super::LexBound;
use super::order::Place;
use crate::value::double;
use crate::value::packed::{self, Element, Encoded, IntegerText};
use std::ops::Range;

/// Scores up to this magnitude are packed as integers if they are whole.
const WHOLE_MAX: f64 = (1_u64 << 62) as f64;

/// Bytes of the entry of a score at most.
const SCORE_ENTRY_MAX: usize = 32;
/// Buffers up to this size are not worth shrinking.
const TRIM_MIN: usize = 1024;

/// Read access to a packed sorted set.
#[derive(Debug, Clone, Copy)]
pub struct PackedRef<'a> {
    entries: &'a [u8],
    count: usize,
}

/// A packed sorted set by itself.
#[derive(Debug, Clone, Default)]
pub struct Packed {
    entries: Vec<u8>,
    count: usize,
}

/// A member and its score, and where they are packed.
#[derive(Debug, Clone, Copy)]
struct Found<'a> {
    member: Element<'a>,
    score: f64,
    rank: usize,
    begin: usize,
}

/// The score that an entry stands for.
fn score_of(element: Element<'_>) -> f64 {
    match element {
        Element::Integer(value) => value as f64,
        Element::Bytes(text) => double::parse(text).unwrap_or(0.0),
    }
}

/// Packs a score at the end of `out`.
fn append_score(score: f64, out: &mut Vec<u8>) {
    if score.abs() <= WHOLE_MAX && score.trunc() == score {
        return Encoded::new(Element::Integer(score as i64)).append_to(out);
    }
    let mut text = Vec::with_capacity(32);
    double::append(score, &mut text);
    Encoded::new(Element::new(&text)).append_to(out);
}

impl<'a> PackedRef<'a> {
    pub(super) fn new(entries: &'a [u8], count: usize) -> Self {
        PackedRef { entries, count }
    }

    /// Number of members.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The entries of the packed sequence.
    pub(super) fn entries(&self) -> &'a [u8] {
        self.entries
    }

    /// Where the member of this rank begins, or the end of all. Found from the nearer end.
    fn offset(&self, rank: usize) -> usize {
        if rank < self.count / 2 {
            return (0..2 * rank).fold(0, |at, _| packed::next(self.entries, at));
        }
        (2 * rank..2 * self.count).fold(self.entries.len(), |end, _| packed::previous(self.entries, end))
    }

    /// All members from the first on.
    fn iter(&self) -> impl Iterator<Item = Found<'a>> {
        let (entries, mut at, mut rank) = (self.entries, 0, 0);
        std::iter::from_fn(move || {
            if at == entries.len() {
                return None;
            }
            let begin = at;
            let (member, score_at) = packed::decode(entries, at);
            let (score, end) = packed::decode(entries, score_at);
            at = end;
            rank += 1;
            Some(Found { member, score: score_of(score), rank: rank - 1, begin })
        })
    }

    /// Where the member is, if it is there.
    fn find(&self, member: &[u8]) -> Option<usize> {
        packed::find(self.entries, 0, Element::new(member), 2)
    }

    /// The score of the member that begins at `at`, and where the next member begins.
    fn score_at(&self, at: usize) -> (f64, usize) {
        let (score, end) = packed::decode(self.entries, packed::next(self.entries, at));
        (score_of(score), end)
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        self.find(member).map(|at| self.score_at(at).0)
    }

    pub(super) fn rank_of(&self, member: &[u8]) -> Option<(usize, f64)> {
        let at = self.find(member)?;
        let entries_before = std::iter::successors(Some(0), |at| Some(packed::next(self.entries, *at)));
        Some((entries_before.take_while(|begin| *begin < at).count() / 2, self.score_at(at).0))
    }

    /// Number of members before a place: up to the first that is not.
    pub(super) fn rank(&self, place: &Place<'_>) -> usize {
        self.place(place).0
    }

    /// The rank of a place, and where it is.
    fn place(&self, place: &Place<'_>) -> (usize, usize) {
        let is_behind = |found: &Found<'_>| {
            let mut text = IntegerText::default();
            !place.is_after(found.score, || found.member.as_bytes(&mut text))
        };
        self.iter().find(is_behind).map_or((self.count, self.entries.len()), |found| (found.rank, found.begin))
    }

    /// See [`SortedSetRef::lex_range`](super::SortedSetRef::lex_range).
    pub(super) fn lex_range(
        &self,
        min: LexBound<'_>,
        max: LexBound<'_>,
        reversed: bool,
        passed: usize,
    ) -> Range<usize> {
        let is_within = |found: Found<'a>| {
            let mut text = IntegerText::default();
            let member = found.member.as_bytes(&mut text);
            (min.begins_before(member), max.ends_behind(member))
        };
        let within: Vec<(bool, bool)> = self.iter().map(is_within).collect();
        let is_crossed = match (min, max) {
            (LexBound::Inclusive(min), LexBound::Inclusive(max)) => min > max,
            (
                LexBound::Inclusive(min) | LexBound::Exclusive(min),
                LexBound::Inclusive(max) | LexBound::Exclusive(max),
            ) => min >= max,
            _ => false,
        };
        match (within.first(), within.last()) {
            (Some((_, true)), Some((true, _))) if !is_crossed => {}
            _ => return 0..0,
        }
        if reversed {
            let end = within.iter().rposition(|(_, before_end)| *before_end).map_or(0, |rank| rank + 1);
            let end = end.saturating_sub(passed);
            let before = within[..end].iter().rposition(|(behind_begin, _)| !behind_begin);
            before.map_or(0, |rank| rank + 1)..end
        } else {
            let start = within.iter().position(|(behind_begin, _)| *behind_begin).unwrap_or(within.len());
            let start = start.saturating_add(passed).min(within.len());
            start..start + within[start..].iter().take_while(|(_, before_end)| *before_end).count()
        }
    }

    pub(super) fn visit<E>(
        &self,
        ranks: Range<usize>,
        reversed: bool,
        mut each: impl FnMut(Element<'a>, f64) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut at = self.offset(if reversed { ranks.end } else { ranks.start });
        for _ in ranks {
            let end = at;
            if reversed {
                at = packed::previous(self.entries, packed::previous(self.entries, at));
            }
            let (member, score_at) = packed::decode(self.entries, at);
            let (score, next) = packed::decode(self.entries, score_at);
            each(member, score_of(score))?;
            if reversed {
                debug_assert_eq!(next, end);
            } else {
                at = next;
            }
        }
        Ok(())
    }
}

impl Packed {
    pub(super) fn view(&self) -> PackedRef<'_> {
        PackedRef::new(&self.entries, self.count)
    }

    /// Replaces the contents by these entries, keeping the buffer.
    pub(super) fn load(&mut self, entries: &[u8], count: usize) {
        self.entries.clear();
        self.entries.extend_from_slice(entries);
        self.count = count;
    }

    /// Adds a member that is not there.
    pub(super) fn insert(&mut self, member: &[u8], score: f64) {
        let (_, at) = self.view().place(&Place::Entry(score, member));
        let end = self.entries.len();
        self.push(member, score);
        let added = self.entries.len() - end;
        self.entries[at..].rotate_right(added);
    }

    /// Adds a member that comes behind all others.
    fn push(&mut self, member: &[u8], score: f64) {
        let member = Encoded::new(Element::new(member));
        if self.entries.capacity() - self.entries.len() < member.len() + SCORE_ENTRY_MAX {
            // An eighth to spare, where the vector would take as much again.
            self.entries.reserve_exact(member.len() + SCORE_ENTRY_MAX + self.entries.len() / 8);
        }
        member.append_to(&mut self.entries);
        append_score(score, &mut self.entries);
        self.count += 1;
    }

    /// Gives memory back once half of it is not used.
    fn trim(&mut self) {
        let (len, capacity) = (self.entries.len(), self.entries.capacity());
        if capacity > TRIM_MIN && len < capacity / 2 {
            self.entries.shrink_to(len + len / 8);
        }
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let view = self.view();
        let begin = view.find(member)?;
        let (score, end) = view.score_at(begin);
        self.entries.drain(begin..end);
        self.count -= 1;
        self.trim();
        Some(score)
    }

    pub(super) fn remove_ranks(&mut self, ranks: Range<usize>) {
        let (begin, end) = (self.view().offset(ranks.start), self.view().offset(ranks.end));
        self.entries.drain(begin..end);
        self.count -= ranks.len();
        self.trim();
    }

    /// Bytes allocated.
    pub(super) fn memory(&self) -> usize {
        self.entries.capacity()
    }
}
