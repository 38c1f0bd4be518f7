//! Strings of hexadecimal digits in lowercase, two digits a byte: session ids, hashes, numbers with leading zeros.

/// Fewest digits for which that is worth while.
const DIGITS_MIN: usize = 8;
/// Most digits that are packed.
const DIGITS_MAX: usize = 128;
/// Bytes that packed digits take at most.
pub const PACKED_MAX: usize = DIGITS_MAX / 2;

/// What a byte is worth as a digit; [`NO_DIGIT`] if it is none.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    values
};
const NO_DIGIT: u8 = 0xff;

/// The two digits of each byte.
const DIGITS: [[u8; 2]; 256] = {
    let mut digits = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        digits[byte] = [b"0123456789abcdef"[byte >> 4], b"0123456789abcdef"[byte & 15]];
        byte += 1;
    }
    digits
};

/// Packed digits, and how many bytes they are; the last half of the last byte is 0 if their number is odd.
/// `None` if `text` has other bytes, or is too short or too long for it.
#[inline]
pub fn pack(text: &[u8]) -> Option<([u8; PACKED_MAX], usize)> {
    let (&first, &last) = (text.first()?, text.last()?);
    if !(DIGITS_MIN..=DIGITS_MAX).contains(&text.len()) || (VALUES[first as usize] | VALUES[last as usize]) == NO_DIGIT
    {
        return None;
    }
    let mut packed = [0; PACKED_MAX];
    let mut seen = 0;
    for (byte, pair) in packed.iter_mut().zip(text.chunks(2)) {
        let high = VALUES[pair[0] as usize];
        let low = pair.get(1).map_or(0, |&digit| VALUES[digit as usize]);
        seen |= high | low;
        *byte = high << 4 | low & 15;
    }
    (seen != NO_DIGIT).then_some((packed, text.len().div_ceil(2)))
}

/// Writes packed digits to `text`, which has room for all of them; the last one is left out if their number is odd.
#[inline]
pub fn unpack(packed: &[u8], text: &mut [u8]) {
    let (pairs, rest) = text.as_chunks_mut::<2>();
    for (pair, &byte) in pairs.iter_mut().zip(packed) {
        *pair = DIGITS[byte as usize];
    }
    if let ([digit], Some(&byte)) = (rest, packed.last()) {
        *digit = DIGITS[byte as usize][0];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn digits_come_back_as_they_were(text in "[0-9a-f]{8,128}") {
            let (packed, len) = pack(text.as_bytes()).expect("digits are packed");
            let mut back = vec![0; text.len()];
            unpack(&packed[..len], &mut back);
            prop_assert_eq!(back, text.as_bytes());
        }

        #[test]
        fn other_bytes_are_left_alone(text in "[0-9a-f]{8,100}", at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut text = text.into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            let is_digit = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            prop_assert_eq!(pack(&text).is_some(), is_digit);
        }
    }

    #[test]
    fn too_few_and_too_many_digits_are_not_packed() {
        assert!(pack(b"").is_none());
        assert!(pack(&[b'1'; DIGITS_MIN - 1]).is_none());
        assert!(pack(&[b'1'; DIGITS_MAX + 1]).is_none());
    }
}
