//! Glob patterns against a matcher that is slow and simple: it keeps the set of all places in the pattern that the text
//! read so far may have led to.
//!
//! The first byte says whether case matters; then comes the pattern, and after a line end the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use radish::glob::{literal_prefix, matches};

/// What matches one byte, or any number of them.
enum Element {
    Star,
    Any,
    Byte(u8),
    Class { negated: bool, ranges: Vec<(u8, u8)> },
}

fn elements(pattern: &[u8]) -> Vec<Element> {
    let mut elements = Vec::new();
    let mut rest = pattern;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        elements.push(match first {
            b'*' => Element::Star,
            b'?' => Element::Any,
            b'[' => class(&mut rest),
            b'\\' if !after.is_empty() => {
                rest = &after[1..];
                Element::Byte(after[0])
            }
            byte => Element::Byte(*byte),
        });
    }
    elements
}

fn class(rest: &mut &[u8]) -> Element {
    let negated = rest.strip_prefix(b"^");
    *rest = negated.unwrap_or(rest);
    let mut ranges = Vec::new();
    loop {
        let (range, after) = match *rest {
            [] => break,
            [b']', after @ ..] => {
                *rest = after;
                break;
            }
            [b'\\', byte, after @ ..] => ((*byte, *byte), after),
            [low, b'-', high, after @ ..] => ((*low, *high), after),
            [byte, after @ ..] => ((*byte, *byte), after),
        };
        ranges.push(range);
        *rest = after;
    }
    Element::Class { negated: negated.is_some(), ranges }
}

fn matches_slowly(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    let fold = |byte: u8| if ignore_case { byte.to_ascii_lowercase() } else { byte };
    if text.is_empty() {
        // In Redis, not even stars match nothing.
        return pattern.is_empty();
    }
    let elements = elements(pattern);
    let skip_stars = |places: &mut Vec<bool>| {
        for place in 0..elements.len() {
            if places[place] && matches!(elements[place], Element::Star) {
                places[place + 1] = true;
            }
        }
    };
    let mut places = vec![false; elements.len() + 1];
    places[0] = true;
    skip_stars(&mut places);
    for byte in text.iter().map(|byte| fold(*byte)) {
        let mut next = vec![false; elements.len() + 1];
        for (place, element) in elements.iter().enumerate().filter(|(place, _)| places[*place]) {
            match element {
                Element::Star => next[place] = true,
                Element::Any => next[place + 1] = true,
                Element::Byte(wanted) => next[place + 1] |= fold(*wanted) == byte,
                Element::Class { negated, ranges } => {
                    let is_in = ranges.iter().any(|(low, high)| {
                        let (low, high) = (fold(*low), fold(*high));
                        (low.min(high)..=low.max(high)).contains(&byte)
                    });
                    next[place + 1] |= is_in != *negated;
                }
            }
        }
        places = next;
        skip_stars(&mut places);
    }
    places[elements.len()]
}

fuzz_target!(|input: &[u8]| {
    let Some((flags, rest)) = input.split_first() else { return };
    let ignore_case = flags & 1 == 1;
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (pattern, text) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    // More stars than this are refused, as Redis does.
    if pattern.iter().filter(|byte| **byte == b'*').count() > 1000 {
        return;
    }
    let found = matches(pattern, text, ignore_case);
    assert_eq!(found, matches_slowly(pattern, text, ignore_case));
    if found && !ignore_case {
        assert!(text.starts_with(literal_prefix(pattern)));
    }
});
