//! The longest common subsequence of two strings.

/// Bytes next to each other that both strings have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where the run begins in the first string.
    pub a: usize,
    /// Where the run begins in the second string.
    pub b: usize,
    pub len: usize,
}

/// Bytes that the lengths of all common subsequences would take, by which `LCS` is limited; `None` if no memory could
/// hold them. [`longest_subsequence`] itself takes no more than a sixteenth of it.
pub fn table_bytes(a_len: usize, b_len: usize) -> Option<usize> {
    (a_len + 1).checked_mul(b_len + 1)?.checked_mul(size_of::<u32>())
}

/// A longest subsequence of both strings, as its runs from the last to the first. Of several that are as long it is
/// the one whose bytes lie furthest back in the first string, as the reply of `LCS` has it.
///
/// Costs an addition for every 64 bytes of `b`, for each byte of `a`. Why that works: H. Hyyrö, "Bit-parallel LCS-length
/// computation revisited", 2004.
pub fn longest_subsequence(a: &[u8], b: &[u8]) -> Vec<Run> {
    let rows = Rows::new(a, b);
    let mut runs: Vec<Run> = Vec::new();
    let (mut i, mut j) = (a.len(), b.len());
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            (i, j) = (i - 1, j - 1);
            match runs.last_mut() {
                Some(run) if (run.a, run.b) == (i + 1, j + 1) => *run = Run { a: i, b: j, len: run.len + 1 },
                _ => runs.push(Run { a: i, b: j, len: 1 }),
            }
        } else if rows.needs_last(i, j) {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    runs
}

/// The lengths of the longest subsequences of all beginnings of two strings, as their differences: from one beginning
/// of `b` to the next the length grows by one or not at all, which is a bit.
struct Rows {
    /// A row for each beginning of `a` but the empty one. Bit j: the j + 1 first bytes of `b` give no more than the j
    /// first.
    bits: Vec<u64>,
    /// Words of a row.
    words: usize,
}

impl Rows {
    fn new(a: &[u8], b: &[u8]) -> Self {
        let words = b.len().div_ceil(64);
        let mut places = [const { None::<Box<[u64]>> }; 256];
        let mut bits = vec![u64::MAX; a.len() * words];
        let mut above = vec![u64::MAX; words];
        for (i, &byte) in a.iter().enumerate() {
            let places = places[usize::from(byte)].get_or_insert_with(|| places_of(byte, b));
            let row = &mut bits[i * words..][..words];
            let mut carry = false;
            for ((row, &above), &places) in row.iter_mut().zip(&above).zip(places.iter()) {
                let (sum, over) = above.overflowing_add(above & places);
                let (sum, over_again) = sum.overflowing_add(u64::from(carry));
                carry = over || over_again;
                *row = sum | (above & !places);
            }
            above.copy_from_slice(row);
        }
        Rows { bits, words }
    }

    /// Whether the `j` first bytes of `b` have more in common with the `i` first bytes of `a` than without the last of
    /// the `j`. Neither number is 0.
    fn needs_last(&self, i: usize, j: usize) -> bool {
        self.bits[(i - 1) * self.words + (j - 1) / 64] >> ((j - 1) % 64) & 1 == 0
    }
}

/// Where `byte` stands in `text`, a bit for each place.
fn places_of(byte: u8, text: &[u8]) -> Box<[u64]> {
    let word =
        |chunk: &[u8]| chunk.iter().enumerate().fold(0, |word, (bit, other)| word | u64::from(*other == byte) << bit);
    text.chunks(64).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_last_first() {
        let run = |a, b, len| Run { a, b, len };
        assert_eq!(longest_subsequence(b"ohmytext", b"mynewtext"), [run(4, 5, 4), run(2, 0, 2)]);
        assert_eq!(longest_subsequence(b"", b"abc"), []);
        assert_eq!(longest_subsequence(b"abc", b"abc"), [run(0, 0, 3)]);
        assert_eq!(table_bytes(usize::MAX - 1, 2), None);
    }

    /// The same from a table of all lengths, filled in cell by cell.
    fn by_table(a: &[u8], b: &[u8]) -> Vec<Run> {
        let mut lengths = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                lengths[i][j] = if a[i - 1] == b[j - 1] {
                    lengths[i - 1][j - 1] + 1
                } else {
                    lengths[i - 1][j].max(lengths[i][j - 1])
                };
            }
        }
        let mut runs: Vec<Run> = Vec::new();
        let (mut i, mut j) = (a.len(), b.len());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                match runs.last_mut() {
                    Some(run) if (run.a, run.b) == (i + 1, j + 1) => *run = Run { a: i, b: j, len: run.len + 1 },
                    _ => runs.push(Run { a: i, b: j, len: 1 }),
                }
            } else if lengths[i - 1][j] > lengths[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        runs
    }

    proptest::proptest! {
        #[test]
        fn bits_tell_what_a_table_of_lengths_tells(
            a in proptest::collection::vec(0..4u8, 0..200),
            b in proptest::collection::vec(0..4u8, 0..200),
        ) {
            proptest::prop_assert_eq!(longest_subsequence(&a, &b), by_table(&a, &b));
        }
    }
}
