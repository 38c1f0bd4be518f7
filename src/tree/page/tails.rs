//! The tails of a page: up to three strings that many of its suffixes end with (`:profile`, `:cart`), kept once, at the page's end.
//!
//! ```text
//! ... records | third tail | second tail | first tail | their lengths, 3 B
//! ```
//!
//! They are chosen anew whenever a page is split, merged, or moved up or down the tree, from a sample of its suffixes.

/// Tails per page, as many as two bits in a record can tell from "none".
const COUNT: usize = 3;
/// Longest tail. With it a page of the largest size still fits into an allocation when no suffix is cut short any more.
pub(super) const LEN_MAX: usize = 16;
/// Shortest tail that is worth looking for.
const LEN_MIN: usize = 3;
/// Suffixes that are looked at to choose tails.
pub(super) const SAMPLE: usize = 24;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Tails([End; COUNT]);

/// The last bytes of a suffix.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    len: u8,
    /// The last `len` of these count; the others are 0.
    bytes: [u8; LEN_MAX],
}

impl End {
    const EMPTY: End = End { len: 0, bytes: [0; LEN_MAX] };

    /// The end of `a` + `b`.
    pub fn of(a: &[u8], b: &[u8]) -> End {
        let mut end = End::EMPTY;
        for (place, byte) in end.bytes.iter_mut().rev().zip(b.iter().rev().chain(a.iter().rev())) {
            *place = *byte;
            end.len += 1;
        }
        end
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[LEN_MAX - usize::from(self.len)..]
    }

    /// What two ends have in common.
    fn common(&self, other: &End) -> End {
        let pairs = self.bytes().iter().rev().zip(other.bytes().iter().rev());
        End::of(&self.bytes[LEN_MAX - pairs.take_while(|(a, b)| a == b).count()..], &[])
    }
}

impl Tails {
    pub const NONE: Tails = Tails([End::EMPTY; COUNT]);

    /// The tails of the page that `bytes` ends with.
    pub fn read(bytes: &[u8]) -> Tails {
        Tails(std::array::from_fn(|index| End::of(tail(bytes, index + 1), &[])))
    }

    /// Whether there is no tail. (Those that there are come first.)
    pub fn is_none(&self) -> bool {
        self.0[0].len == 0
    }

    /// Bytes that they take in a page.
    pub fn size(&self) -> usize {
        if self.is_none() { 0 } else { self.0.iter().map(|tail| usize::from(tail.len)).sum::<usize>() + COUNT }
    }

    /// Writes them to the end of a page's `bytes`.
    pub fn write(&self, bytes: &mut [u8]) {
        let mut at = bytes.len() - COUNT;
        for (place, tail) in bytes[at..].iter_mut().zip(&self.0) {
            *place = tail.len;
        }
        for tail in &self.0 {
            let end = at;
            at -= tail.bytes().len();
            bytes[at..end].copy_from_slice(tail.bytes());
        }
    }

    /// The number of the longest tail that a suffix has, and that tail's length; zeros if it has none.
    pub fn longest_in(&self, suffix: &[u8]) -> (u8, usize) {
        let mut longest = (0, 0);
        if self.is_none() {
            return longest;
        }
        for (tail, number) in self.0.iter().zip(1..) {
            let len = tail.bytes().len();
            if len > longest.1 && suffix.ends_with(tail.bytes()) {
                longest = (number, len);
            }
        }
        longest
    }

    /// Chooses tails for `count` suffixes of which `sample` are some: those that save most.
    pub fn choose(sample: &[End], count: usize) -> Tails {
        let mut candidates = Vec::new();
        let pairs = sample.iter().zip(sample.iter().skip(1)).chain(sample.iter().zip(sample.iter().skip(2)));
        for (a, b) in pairs {
            let common = a.common(b);
            if usize::from(common.len) >= LEN_MIN && !candidates.contains(&common) {
                candidates.push(common);
            }
        }
        let mut tails = Tails::NONE;
        let mut left = sample.to_vec();
        for tail in &mut tails.0 {
            let saving = |candidate: &End| {
                let having = left.iter().filter(|end| end.bytes().ends_with(candidate.bytes())).count();
                having * usize::from(candidate.len)
            };
            let Some((saved, best)) =
                candidates.iter().map(|tail| (saving(tail), *tail)).max_by_key(|(saved, _)| *saved)
            else {
                break;
            };
            // Among all suffixes it should save several times what it takes.
            if saved * count < sample.len() * usize::from(best.len) * 4 {
                break;
            }
            *tail = best;
            left.retain(|end| !end.bytes().ends_with(best.bytes()));
        }
        tails
    }
}

/// The tail of the given number, from 1, of the page that `bytes` ends with.
#[inline(always)]
pub(super) fn tail(bytes: &[u8], number: usize) -> &[u8] {
    let (bytes, lens) = bytes.split_at(bytes.len() - COUNT);
    let end = bytes.len() - lens[..number - 1].iter().map(|&len| usize::from(len)).sum::<usize>();
    &bytes[end - usize::from(lens[number - 1])..end]
}
