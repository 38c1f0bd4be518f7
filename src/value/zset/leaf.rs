//! A leaf of the order of a sorted set: neighbouring entries in three columns of one allocation.
//!
//! ```text
//! scores, `width` bytes each | lengths of members, 1 or 4 bytes each | members | free
//! ```
//!
//! Of the eight bytes of a score only those are in the column that differ within the leaf: neighbours share sign, exponent
//! and high bits, and numbers with few digits end with zeros. So a leaf of equal scores keeps none, one of small integers
//! two or three bytes each.

use super::order::Place;
use std::ops::Range;

/// Bytes of a leaf from which it is split.
pub(super) const SIZE_MAX: usize = 1024;
/// Bytes of a leaf below which it is joined to a neighbour, if that has room.
pub(super) const SIZE_MIN: usize = SIZE_MAX / 4;
/// Bytes of a leaf made of two at most: it can grow before it is split.
const JOINED_MAX: usize = SIZE_MAX * 3 / 4;
/// Bytes behind all others, so that a score can be read as eight bytes wherever it is.
const PADDING: usize = size_of::<u64>();
/// Longest member whose length takes one byte.
const SHORT_MAX: usize = u8::MAX as usize;
/// Bytes of the length of a member where one is longer than [`SHORT_MAX`].
const LONG_LEN_SIZE: usize = size_of::<u32>();

/// Some entries, in order of score and member.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    bytes: Box<[u8]>,
    /// Bytes of the three columns.
    used: usize,
    /// The bits of a score outside the column.
    shared: u64,
    count: u32,
    /// The place of the column's bits within the score.
    shift: u8,
    /// Bytes of a score in the column.
    width: u8,
    /// Whether lengths take [`LONG_LEN_SIZE`] bytes.
    has_long: bool,
}

/// What the columns of some entries must be able to hold.
#[derive(Default)]
struct Needs {
    count: usize,
    first: u64,
    /// Bits in which scores differ from the first.
    differing: u64,
    member_bytes: usize,
    has_long: bool,
}

impl Needs {
    fn of<'a>(entries: impl Iterator<Item = (f64, &'a [u8])>) -> Self {
        let mut needs = Needs::default();
        for (score, member) in entries {
            if needs.count == 0 {
                needs.first = score.to_bits();
            }
            needs.count += 1;
            needs.differing |= score.to_bits() ^ needs.first;
            needs.member_bytes += member.len();
            needs.has_long |= member.len() > SHORT_MAX;
        }
        needs
    }
}

/// The bits of a number that `width` bytes keep.
fn mask(width: usize) -> u64 {
    if width == size_of::<u64>() { u64::MAX } else { (1 << (8 * width)) - 1 }
}

/// The allocator's size class for `size`: it has four between a power of two and the next.
fn size_class(size: usize) -> usize {
    size.next_multiple_of((size.next_power_of_two() / 8).max(16))
}

impl Leaf {
    /// A leaf without entries.
    pub fn empty() -> Self {
        Leaf { bytes: Box::default(), used: 0, shared: 0, count: 0, shift: 0, width: 0, has_long: false }
    }

    /// A leaf of these entries, which are in order.
    pub fn of<'a>(entries: impl Iterator<Item = (f64, &'a [u8])> + Clone) -> Self {
        let needs = Needs::of(entries.clone());
        let (shift, width) = match needs.differing {
            0 => (0, 0),
            bits => {
                let low = bits.trailing_zeros() / 8;
                (low * 8, 8 - bits.leading_zeros() / 8 - low)
            }
        };
        let mut leaf = Leaf {
            bytes: Box::default(),
            used: 0,
            shared: needs.first & !(mask(width as usize) << shift),
            count: needs.count as u32,
            shift: shift as u8,
            width: width as u8,
            has_long: needs.has_long,
        };
        leaf.used = needs.count * leaf.fixed() + needs.member_bytes;
        leaf.bytes = vec![0; size_class(leaf.used + PADDING)].into();
        let mut end = leaf.members_at();
        for (index, (score, member)) in entries.enumerate() {
            leaf.write_score(index, score);
            leaf.write_len(index, member.len());
            leaf.bytes[end..end + member.len()].copy_from_slice(member);
            end += member.len();
        }
        leaf
    }

    /// Number of entries.
    #[inline]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Bytes of the entries.
    #[inline]
    pub fn size(&self) -> usize {
        self.used
    }

    /// Bytes allocated.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn width(&self) -> usize {
        usize::from(self.width)
    }

    #[inline]
    fn len_size(&self) -> usize {
        if self.has_long { LONG_LEN_SIZE } else { 1 }
    }

    /// Bytes that each entry takes beside its member.
    #[inline]
    fn fixed(&self) -> usize {
        self.width() + self.len_size()
    }

    #[inline]
    fn lens_at(&self) -> usize {
        self.len() * self.width()
    }

    #[inline]
    fn members_at(&self) -> usize {
        self.len() * self.fixed()
    }

    #[inline]
    pub fn score(&self, index: usize) -> f64 {
        let at = index * self.width();
        let word = self.bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        f64::from_bits(self.shared | (word & mask(self.width())) << self.shift)
    }

    fn write_score(&mut self, index: usize, score: f64) {
        let width = self.width();
        let word = (score.to_bits() >> self.shift).to_le_bytes();
        self.bytes[index * width..][..width].copy_from_slice(&word[..width]);
    }

    fn write_len(&mut self, index: usize, len: usize) {
        let (at, size) = (self.lens_at() + index * self.len_size(), self.len_size());
        self.bytes[at..at + size].copy_from_slice(&(len as u32).to_le_bytes()[..size]);
    }

    #[inline]
    fn member_len(&self, index: usize) -> usize {
        let at = self.lens_at() + index * self.len_size();
        match self.bytes[at..].first_chunk() {
            Some(word) if self.has_long => u32::from_le_bytes(*word) as usize,
            _ => usize::from(self.bytes[at]),
        }
    }

    /// Where in `bytes` the member begins, or the one behind the last.
    fn member_at(&self, index: usize) -> usize {
        let lens = &self.bytes[self.lens_at()..][..index * self.len_size()];
        let before: u32 = if self.has_long {
            let lens = lens.as_chunks().0.iter();
            lens.map(|len| u32::from_le_bytes(*len)).sum()
        } else {
            lens.iter().map(|&len| u32::from(len)).sum()
        };
        self.members_at() + before as usize
    }

    #[inline]
    pub fn member(&self, index: usize) -> &[u8] {
        &self.bytes[self.member_at(index)..][..self.member_len(index)]
    }

    /// Some of the entries.
    pub fn entries(&self, range: Range<usize>) -> impl Iterator<Item = (f64, &[u8])> + Clone {
        let mut at = self.member_at(range.start);
        range.map(move |index| {
            let begin = at;
            at += self.member_len(index);
            (self.score(index), &self.bytes[begin..at])
        })
    }

    /// Some of the entries, from the last to the first.
    pub fn entries_reversed(&self, range: Range<usize>) -> impl Iterator<Item = (f64, &[u8])> {
        let mut at = self.member_at(range.end);
        range.rev().map(move |index| {
            let end = at;
            at -= self.member_len(index);
            (self.score(index), &self.bytes[at..end])
        })
    }

    /// The number of entries before a place.
    #[inline]
    pub fn search(&self, place: &Place<'_>) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if place.is_after(self.score(middle), || self.member(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Whether the column holds such a score.
    #[inline]
    fn holds(&self, score: f64) -> bool {
        (score.to_bits() ^ self.shared) & !(mask(self.width()) << self.shift) == 0
    }

    /// Whether an entry fits without a split.
    #[inline]
    pub fn has_room(&self, score: f64, member: &[u8]) -> bool {
        let size = if self.holds(score) { self.used } else { self.widest() };
        size + self.fixed() + member.len() <= SIZE_MAX || self.count == 0
    }

    /// Bytes of the entries if all bytes of scores were in the column.
    fn widest(&self) -> usize {
        self.used + self.len() * (size_of::<f64>() - self.width())
    }

    /// Adds an entry before the entry `at`.
    pub fn insert(&mut self, at: usize, score: f64, member: &[u8]) {
        let (width, len_size) = (self.width(), self.len_size());
        let is_short = self.has_long || member.len() <= SHORT_MAX;
        let end = self.used + self.fixed() + member.len();
        if !self.holds(score) || !is_short || end + PADDING > self.bytes.len() || self.count == 0 {
            *self = Leaf::of(self.with(at, score, member));
            return;
        }
        let (member_at, members_at, lens_at) = (self.member_at(at), self.members_at(), self.lens_at());
        let (lens_middle, fixed) = (lens_at + at * len_size, width + len_size);
        self.bytes.copy_within(member_at..self.used, member_at + fixed + member.len());
        self.bytes[member_at + fixed..][..member.len()].copy_from_slice(member);
        self.bytes.copy_within(members_at..member_at, members_at + fixed);
        self.bytes.copy_within(lens_middle..members_at, lens_middle + fixed);
        self.bytes.copy_within(lens_at..lens_middle, lens_at + width);
        self.bytes.copy_within(at * width..lens_at, (at + 1) * width);
        self.count += 1;
        self.used = end;
        self.write_score(at, score);
        self.write_len(at, member.len());
    }

    /// The entries and one more, before the entry `at`.
    fn with<'a>(&'a self, at: usize, score: f64, member: &'a [u8]) -> impl Iterator<Item = (f64, &'a [u8])> + Clone {
        self.entries(0..at).chain(std::iter::once((score, member))).chain(self.entries(at..self.len()))
    }

    /// Adds an entry before the entry `at` and gives back a leaf of the upper half. At the `end` of all that is ordered the
    /// lower part stays as full as it is, and likewise at its begin.
    pub fn insert_and_split(&mut self, at: usize, score: f64, member: &[u8], at_edge: bool) -> Leaf {
        let len = self.len() + 1;
        let split = match at {
            0 if at_edge => 1,
            at if at_edge && at == self.len() => at,
            _ => {
                let half = (self.used + self.fixed() + member.len()) / 2;
                let mut size = 0;
                let lower = self.with(at, score, member).take_while(|(_, member)| {
                    size += self.fixed() + member.len();
                    size <= half
                });
                lower.count().clamp(1, len - 1)
            }
        };
        let lower = Leaf::of(self.with(at, score, member).take(split));
        let upper = Leaf::of(self.with(at, score, member).skip(split));
        *self = lower;
        upper
    }

    /// Removes some entries.
    pub fn remove(&mut self, range: Range<usize>) {
        let (width, len_size) = (self.width(), self.len_size());
        let lens_at = self.lens_at();
        let (begin, end) = (self.member_at(range.start), self.member_at(range.end));
        let (lens_begin, lens_end) = (lens_at + range.start * len_size, lens_at + range.end * len_size);
        // Each part moves down by what goes before it.
        let scores = range.len() * width;
        let fixed = scores + range.len() * len_size;
        self.bytes.copy_within(range.end * width..lens_begin, range.start * width);
        self.bytes.copy_within(lens_end..begin, lens_begin - scores);
        self.bytes.copy_within(end..self.used, begin - fixed);
        self.used -= fixed + (end - begin);
        self.count -= range.len() as u32;
        if self.used + PADDING <= self.bytes.len() / 2 {
            *self = Leaf::of(self.entries(0..self.len()));
        }
    }

    /// Takes in the entries of the leaf behind, if both fit one leaf.
    pub fn join(&mut self, next: &Leaf) -> bool {
        if self.widest() + next.widest() > JOINED_MAX {
            return false;
        }
        *self = Leaf::of(self.entries(0..self.len()).chain(next.entries(0..next.len())));
        true
    }
}
