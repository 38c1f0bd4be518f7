//! The textual forms of numbers: strict integers as clients send them, and doubles as clients send and read them.
//!
//! Long doubles, which only `INCRBYFLOAT` and `HINCRBYFLOAT` use, live in [`super::long_double`].

/// Longest decimal form of an `i64`: a sign and nineteen digits.
pub const INTEGER_LEN_MAX: usize = 20;

/// Parses a signed decimal integer in its one canonical form: no plus sign, no leading zeros, no `-0`, no spaces,
/// within the range of an `i64`.
///
/// The canonical form is what makes it safe to store the number in place of its text.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match (parse_u64(digits)?, negative) {
        (0, true) => None,
        (magnitude, true) => 0i64.checked_sub_unsigned(magnitude),
        (magnitude, false) => i64::try_from(magnitude).ok(),
    }
}

/// Parses an unsigned decimal integer in canonical form: digits only, no leading zeros.
#[inline]
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    let (&first, rest) = text.split_first()?;
    if first == b'0' {
        return rest.is_empty().then_some(0);
    }
    if text.len() > INTEGER_LEN_MAX {
        return None;
    }
    let mut value = digit(first)?;
    for &byte in rest {
        value = value.checked_mul(10)?.checked_add(digit(byte)?)?;
    }
    Some(value)
}

#[inline]
fn digit(byte: u8) -> Option<u64> {
    byte.is_ascii_digit().then(|| u64::from(byte - b'0'))
}

/// The shortest little-endian two's complement bytes that hold `value` (one to eight).
#[inline]
pub fn integer_to_bytes(value: i64) -> ([u8; 8], usize) {
    // Bits that differ from the sign, plus the sign bit itself, rounded up to bytes.
    let significant = 64 - (value ^ (value >> 63)).leading_zeros() as usize;
    (value.to_le_bytes(), significant / 8 + 1)
}

/// The inverse of [`integer_to_bytes`]. Bytes past the eighth are ignored; no bytes mean zero.
#[inline]
pub fn integer_from_bytes(bytes: &[u8]) -> i64 {
    let used = bytes.len().min(8);
    let Some(&last) = bytes[..used].last() else {
        return 0;
    };
    let fill = if last & 0x80 == 0 { 0 } else { 0xFF };
    let mut word = [fill; 8];
    word[..used].copy_from_slice(&bytes[..used]);
    i64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_have_one_form() {
        for (text, value) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-7", Some(-7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            ("-01", None),
            (" 1", None),
            ("1 ", None),
            ("1.0", None),
            ("1\0", None),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), value, "{text:?}");
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
    }

    #[test]
    fn integer_bytes_are_minimal() {
        for (value, length) in
            [(0, 1), (127, 1), (-128, 1), (128, 2), (-129, 2), (32767, 2), (32768, 3), (i64::MAX, 8), (i64::MIN, 8)]
        {
            assert_eq!(integer_to_bytes(value).1, length, "{value}");
        }
    }

    proptest! {
        #[test]
        fn integers_round_trip(value: i64, shift in 0u32..64) {
            let value = value >> shift;
            prop_assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
            let (bytes, used) = integer_to_bytes(value);
            prop_assert_eq!(integer_from_bytes(&bytes[..used]), value);
        }
    }
}
