//! Glob patterns as `KEYS`, `SCAN MATCH`, `PSUBSCRIBE` and `CONFIG GET` understand them: `*`, `?`, `[a-z]`, `[^a]`, `\x`.

/// Runs of stars in a pattern that are tried, as in Redis, which gives up on more.
const STARS_MAX: usize = 1000;

/// Whether all of `text` matches `pattern`; a pattern with more than [`STARS_MAX`] runs of stars matches nothing. Takes time in proportion to the product of their lengths at worst, however
/// many stars there are: a star that matched too little is extended, earlier stars never need to be looked at again.
pub fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    // Stars alone do not match nothing, in Redis. Commands that mean everything by `*` do not ask.
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    // Where to go on if what follows the last star does not match.
    let mut retry: Option<(usize, usize)> = None;
    let mut stars = 0;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            stars += usize::from(p == 0 || pattern[p - 1] != b'*');
            if stars > STARS_MAX {
                return false;
            }
            retry = Some((p + 1, t));
            p += 1;
            continue;
        }
        if t == text.len() && p == pattern.len() {
            return true;
        }
        if t < text.len()
            && p < pattern.len()
            && let Some(next) = match_one(pattern, p, text[t], ignore_case)
        {
            p = next;
            t += 1;
            continue;
        }
        match retry {
            Some((after_star, from)) if from < text.len() => {
                p = after_star;
                t = from + 1;
                retry = Some((after_star, t));
            }
            _ => return false,
        }
    }
}

/// Matches one byte against the element of the pattern at `p`, which is no star; where the next element begins.
fn match_one(pattern: &[u8], p: usize, byte: u8, ignore_case: bool) -> Option<usize> {
    let fold = |byte: u8| if ignore_case { byte.to_ascii_lowercase() } else { byte };
    let byte = fold(byte);
    match pattern[p] {
        b'?' => Some(p + 1),
        b'[' => {
            let mut at = p + 1;
            let negated = pattern.get(at) == Some(&b'^');
            at += usize::from(negated);
            let mut found = false;
            loop {
                match pattern.get(at) {
                    // A class that is not closed ends with the pattern.
                    None => break,
                    Some(b']') => {
                        at += 1;
                        break;
                    }
                    Some(b'\\') if at + 1 < pattern.len() => {
                        found |= fold(pattern[at + 1]) == byte;
                        at += 2;
                    }
                    Some(&low) if pattern.get(at + 1) == Some(&b'-') && at + 2 < pattern.len() => {
                        let (low, high) = (fold(low), fold(pattern[at + 2]));
                        found |= (low.min(high)..=low.max(high)).contains(&byte);
                        at += 3;
                    }
                    Some(&one) => {
                        found |= fold(one) == byte;
                        at += 1;
                    }
                }
            }
            (found != negated).then_some(at)
        }
        b'\\' if p + 1 < pattern.len() => (fold(pattern[p + 1]) == byte).then_some(p + 2),
        literal => (fold(literal) == byte).then_some(p + 1),
    }
}

/// The bytes that every match begins with, and whether the pattern is nothing but these and a final star.
pub fn literal_prefix(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\')).unwrap_or(pattern.len());
    &pattern[..end]
}

/// Whether whatever begins with `prefix` matches `pattern`: it does if the prefix itself matches, and the pattern ends with a star
/// that stands for anything.
pub fn matches_all(pattern: &[u8], prefix: &[u8]) -> bool {
    let Some(before) = pattern.strip_suffix(b"*") else { return false };
    let is_escaped = before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
    let opens = |byte: u8| before.iter().rposition(|other| *other == byte);
    let may_be_in_set = opens(b'[').is_some_and(|open| opens(b']').is_none_or(|close| close < open));
    !is_escaped && !may_be_in_set && (before.is_empty() || matches(pattern, prefix, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_all_that_begins_with_a_prefix_if_it_ends_with_a_star() {
        for (pattern, prefix, expected) in [
            ("*", "", true),
            ("user:*", "user:", true),
            ("user:*", "user:1", true),
            ("u?er:*", "uxer:", true),
            ("[ab]*", "a", true),
            ("user:*", "user", false),
            ("user:*", "use", false),
            ("user:", "user:", false),
            ("user:*x", "user:", false),
            (r"user:\*", "user:*", false),
            (r"user:\\*", r"user:\", true),
            ("user:[*", "user:*", false),
        ] {
            assert_eq!(matches_all(pattern.as_bytes(), prefix.as_bytes()), expected, "{pattern} {prefix}");
        }
    }

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("*", "a", true),
            ("**", "a", true),
            ("*", "", false),
            ("", "", true),
            ("a*", "a", true),
            ("h?llo", "hello", true),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hbllo", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZd", false),
            ("[a", "a", true),
            ("a", "ab", false),
            ("user:*:name", "user:42:name", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), false), expected, "{pattern} and {text}");
        }
        assert!(matches(b"HeL*", b"hello", true));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = b"a*".repeat(1000);
        let text = [b"a".repeat(3000), b"b".to_vec()].concat();
        assert!(matches(&pattern, &text, false));
        assert!(!matches(&[pattern, b"c".to_vec()].concat(), &text, false));
    }
}
