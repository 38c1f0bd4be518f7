//! The words of a line: how redis.conf and inline commands are split, and how a word is quoted so that it splits
//! back into itself.
//!
//! Words are separated by white space. `"..."` knows the escapes `\n \r \t \a \b \xHH`, and a backslash before
//! any other byte stands for that byte; `'...'` knows `\'` alone. A closing quote ends its word, so that white
//! space or the end of the line must follow.

/// Splits `line` into words; `None` if a quote is not closed, or something follows a closing quote directly.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = skip_blanks(rest);
        if rest.is_empty() {
            return Some(words);
        }
        let (word, after) = word(rest)?;
        words.push(word);
        rest = after;
    }
}

/// Takes one word off the front of `rest`, which starts with something else than white space.
fn word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'"' => return double_quoted(word, after),
            b'\'' => return single_quoted(word, after),
            b' ' | b'\n' | b'\r' | b'\t' => break,
            _ => word.push(byte),
        }
        rest = after;
    }
    Some((word, rest))
}

fn double_quoted(mut word: Vec<u8>, mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    loop {
        rest = match rest {
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex_digit(*high) << 4 | hex_digit(*low));
                after
            }
            [b'\\', escaped, after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 0x07,
                    b'b' => 0x08,
                    other => *other,
                });
                after
            }
            [b'"', after @ ..] => return ends_here(after).then_some((word, after)),
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
            [] => return None,
        };
    }
}

fn single_quoted(mut word: Vec<u8>, mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    loop {
        rest = match rest {
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                after
            }
            [b'\'', after @ ..] => return ends_here(after).then_some((word, after)),
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
            [] => return None,
        };
    }
}

/// Appends `word` in double quotes, with every byte that does not print as an escape.
pub fn quote(word: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in word {
        match byte {
            b'\\' | b'"' => out.extend([b'\\', byte]),
            b'\n' => out.extend(br"\n"),
            b'\r' => out.extend(br"\r"),
            b'\t' => out.extend(br"\t"),
            0x07 => out.extend(br"\a"),
            0x08 => out.extend(br"\b"),
            b' '..=b'~' => out.push(byte),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.extend([b'\\', b'x', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            }
        }
    }
    out.push(b'"');
}

/// `line` without the white space around it.
pub fn trim(line: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = line.iter().position(|byte| !is_blank(byte)).unwrap_or(line.len());
    let end = line.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &line[start..end]
}

fn skip_blanks(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|byte| !is_space(*byte)).unwrap_or(line.len());
    &line[start..]
}

fn ends_here(after: &[u8]) -> bool {
    after.first().is_none_or(|byte| is_space(*byte))
}

/// White space as C's `isspace` has it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_split_as_in_redis() {
        let cases: &[(&str, Option<&[&[u8]]>)] = &[
            ("", Some(&[])),
            ("  \t ", Some(&[])),
            ("port 6379", Some(&[b"port", b"6379"])),
            ("  save\t900   1 ", Some(&[b"save", b"900", b"1"])),
            (r#"save """#, Some(&[b"save", b""])),
            (r#"x "a b" 'c d'"#, Some(&[b"x", b"a b", b"c d"])),
            (r#""\n\r\t\a\b\x00\xfF\xZ\q\"""#, Some(&[b"\n\r\t\x07\x08\x00\xffxZq\""])),
            (r"'it\'s \n'", Some(&[br"it's \n"])),
            (r#"pre"fix""#, Some(&[b"prefix"])),
            (r#""a"b"#, None),
            ("'a'b", None),
            ("\"open", None),
            ("'open", None),
            ("\"open\\", None),
            ("\"open\\\"", None),
        ];
        for (line, words) in cases {
            let expected = words.map(|words| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>());
            assert_eq!(split(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn trims() {
        assert_eq!(trim(b" \t a b\r\n"), b"a b");
        assert_eq!(trim(b" \r\n"), b"");
    }

    proptest! {
        #[test]
        fn quoted_words_split_back(words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..5)) {
            let mut line = Vec::new();
            for word in &words {
                quote(word, &mut line);
                line.push(b' ');
            }
            prop_assert_eq!(split(&line), Some(words));
        }

        #[test]
        fn rubbish_splits_or_is_refused(line in prop::collection::vec(any::<u8>(), 0..200)) {
            split(&line);
        }
    }
}
