//! Reads `words.txt`: what arguments are drawn from.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A line of a section, as words.
pub type Line = Vec<Vec<u8>>;

/// The sections of the file by name, as lines of words.
static LINES: LazyLock<BTreeMap<&str, Vec<Line>>> = LazyLock::new(|| {
    let mut sections: BTreeMap<&str, Vec<Line>> = BTreeMap::new();
    let mut section = "";
    for line in include_str!("words.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') => section = name,
            // A piece of a request, and a script, have spaces of their own.
            _ if section == "request-pieces" || section.starts_with("scripts-") || section == "libraries" => {
                sections.entry(section).or_default().push(vec![unescape(line)]);
            }
            _ => sections.entry(section).or_default().push(line.split(' ').map(unescape).collect()),
        }
    }
    sections
});

/// The same, each section as one list of words.
static WORDS: LazyLock<BTreeMap<&str, Vec<Vec<u8>>>> =
    LazyLock::new(|| LINES.iter().map(|(name, lines)| (*name, lines.concat())).collect());

/// The lines of a section.
pub fn lines(section: &str) -> &'static [Line] {
    LINES.get(section).unwrap_or_else(|| panic!("words.txt has no section {section}"))
}

/// The words of a section.
pub fn words(section: &str) -> &'static [Vec<u8>] {
    WORDS.get(section).unwrap_or_else(|| panic!("words.txt has no section {section}"))
}

fn unescape(word: &str) -> Vec<u8> {
    if word == "\"\"" {
        return Vec::new();
    }
    let mut bytes = Vec::new();
    let mut rest = word.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let (byte, used) = match (byte, after) {
            (b'\\', [b'n', ..]) => (b'\n', 1),
            (b'\\', [b'r', ..]) => (b'\r', 1),
            (b'\\', [b't', ..]) => (b'\t', 1),
            (b'\\', [b's', ..]) => (b' ', 1),
            (b'\\', [b'\\', ..]) => (b'\\', 1),
            (b'\\', [b'x', high, low, ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let value = digit(high).zip(digit(low)).map(|(high, low)| high * 16 + low);
                (value.unwrap_or_else(|| panic!("words.txt: {word}")), 3)
            }
            (b'\\', _) => panic!("words.txt: {word}"),
            (byte, _) => (*byte, 0),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    bytes
}

#[test]
fn escapes_are_bytes() {
    assert_eq!(unescape(r#"a\x00\r\n\t\s\\x41\""#.trim_end_matches("\\\"")), b"a\0\r\n\t \\x41");
    assert_eq!(unescape("\"\""), b"");
    assert_eq!(unescape("\"a\""), b"\"a\"");
    assert!(words("integers").contains(&b"-9223372036854775808".to_vec()));
    assert!(words("request-pieces").contains(&b"\t ECHO".to_vec()) || words("request-pieces").len() > 50);
}
