//! Numbers as clients may send them, against the standard library where it knows better, and against themselves.
//!
//! The input is two numbers with a line end between them; its first eight bytes are a double, too.

#![no_main]

use libfuzzer_sys::fuzz_target;
use radish::value::long_double::LongDouble;
use radish::value::{double, number};

fuzz_target!(|input: &[u8]| {
    if let Some(bytes) = input.first_chunk() {
        prints_back(f64::from_bits(u64::from_le_bytes(*bytes)));
    }
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (first, second) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    for text in [first, second] {
        integers(text);
        if let Some(value) = double::parse(text) {
            assert!(!value.is_nan());
            // Its range holds that of doubles, but it takes no texts of more than 5 KB.
            assert!(text.len() > 5000 || LongDouble::parse(text).is_some());
            prints_back(value);
        }
    }
    if let (Some(first), Some(second)) = (LongDouble::parse(first), LongDouble::parse(second)) {
        long_doubles(first, second);
    }
});

fn integers(text: &[u8]) {
    let parsed = number::parse_i64(text);
    let expected = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
    // The standard library takes more forms of a number than the one that we take.
    let expected = expected.filter(|value| value.to_string().as_bytes() == text);
    assert_eq!(parsed, expected);
    if let Some(value) = parsed {
        let (bytes, len) = number::integer_to_bytes(value);
        assert_eq!(number::integer_from_bytes(&bytes[..len]), value);
        assert_eq!(number::parse_u64(text), u64::try_from(value).ok());
    }
}

fn prints_back(value: f64) {
    let mut text = Vec::new();
    double::append(value, &mut text);
    assert!(text.len() <= 25);
    let read = double::parse(&text);
    assert!(if value.is_nan() { read.is_none() } else { read == Some(value) });
}

fn long_doubles(first: LongDouble, second: LongDouble) {
    assert_eq!(first.checked_add(second).map(LongDouble::to_text), second.checked_add(first).map(LongDouble::to_text));
    let text = first.to_text();
    if let Some(again) = LongDouble::parse(&text) {
        assert_eq!(again.to_text(), text);
        if let Some(sum) = first.checked_add(LongDouble::ZERO) {
            assert_eq!(sum.to_text(), text);
        }
    }
}
