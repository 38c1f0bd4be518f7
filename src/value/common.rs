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

/// Bytes that [`longest_subsequence`] takes for strings of these lengths; `None` if no memory could hold them.
pub fn table_bytes(a_len: usize, b_len: usize) -> Option<usize> {
    (a_len + 1).checked_mul(b_len + 1)?.checked_mul(size_of::<u32>())
}

/// A longest subsequence of both strings, as its runs from the last to the first. Of several that are as long it is
/// the one whose bytes lie furthest back in the first string, as the reply of `LCS` has it.
pub fn longest_subsequence(a: &[u8], b: &[u8]) -> Vec<Run> {
    let width = b.len() + 1;
    // Element i * width + j: the length for the first i bytes of one and j of the other.
    let mut lengths = vec![0u32; (a.len() + 1) * width];
    for (i, byte) in a.iter().enumerate() {
        let (above, row) = lengths[i * width..].split_at_mut(width);
        for (j, other) in b.iter().enumerate() {
            row[j + 1] = if byte == other { above[j] + 1 } else { above[j + 1].max(row[j]) };
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
        } else if lengths[(i - 1) * width + j] > lengths[i * width + j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    runs
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
}
