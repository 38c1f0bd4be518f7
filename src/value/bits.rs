//! Bits of byte strings, counted from the most significant bit of the first byte, and integers of any width in them.

use std::ops::RangeInclusive;

/// How many bits are set.
pub fn count(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let in_words = words.iter().map(|word| u64::from_ne_bytes(*word).count_ones() as usize).sum::<usize>();
    in_words + rest.iter().map(|byte| byte.count_ones() as usize).sum::<usize>()
}

/// The first bit that is set, or that is clear.
pub fn position(bytes: &[u8], is_set: bool) -> Option<usize> {
    let dull = if is_set { 0 } else { 0xFF };
    let (words, _) = bytes.as_chunks::<8>();
    let skipped = words.iter().take_while(|word| **word == [dull; 8]).count() * 8;
    let index = skipped + bytes[skipped..].iter().position(|byte| *byte != dull)?;
    Some(index * 8 + (bytes[index] ^ dull).leading_zeros() as usize)
}

/// What `INCRBY` and `SET` do with a value that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The low bits count.
    #[default]
    Wrap,
    /// The nearest value that fits.
    Saturate,
    /// Nothing is changed.
    Fail,
}

/// An integer inside a string: one to 64 bits with sign, or one to 63 without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    pub is_signed: bool,
    pub width: u32,
}

/// Bytes that any integer lies within, wherever in its first byte it begins.
pub const WINDOW: usize = 9;

impl Encoding {
    /// The byte that an integer at bit `offset` begins in, and the one that it ends in.
    pub fn bytes_at(self, offset: usize) -> RangeInclusive<usize> {
        offset / 8..=(offset + self.width as usize - 1) / 8
    }

    fn shift(self, offset: usize) -> u32 {
        128 - (offset % 8) as u32 - self.width
    }

    fn mask(self) -> u128 {
        (1 << self.width) - 1
    }

    /// Reads the integer at bit `offset` of a string whose bytes from there on are `window`, with zeros after its end.
    pub fn read(self, window: &[u8; WINDOW], offset: usize) -> i64 {
        let bits = widen(window) >> self.shift(offset) & self.mask();
        self.wrap(bits as i128) as i64
    }

    /// Overwrites the integer at bit `offset`: see [`Encoding::read`].
    pub fn write(self, window: &mut [u8; WINDOW], offset: usize, value: i64) {
        let shift = self.shift(offset);
        let others = widen(window) & !(self.mask() << shift);
        let bits = others | (value as u128 & self.mask()) << shift;
        window.copy_from_slice(&bits.to_be_bytes()[..WINDOW]);
    }

    /// What a client means by `value`: without a sign, a negative number is one of 64 bits with the highest set. With one,
    /// a number so far below zero that 64 bits do not hold its distance from the largest one is too large and not too
    /// small, when it comes to saturation: Redis counts like that, and so do those who came from it.
    pub fn operand(self, value: i64, overflow: Overflow) -> i128 {
        if !self.is_signed {
            return i128::from(value as u64);
        }
        let too_far = self.width < 64 && self.range().end() - i128::from(value) > i64::MAX.into();
        if too_far && overflow == Overflow::Saturate { i64::MAX.into() } else { value.into() }
    }

    /// The value that stands for `value`; `None` if there is to be none.
    pub fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        let range = self.range();
        match overflow {
            _ if range.contains(&value) => Some(value as i64),
            Overflow::Wrap => Some(self.wrap(value) as i64),
            Overflow::Saturate => Some(value.clamp(*range.start(), *range.end()) as i64),
            Overflow::Fail => None,
        }
    }

    fn range(self) -> RangeInclusive<i128> {
        match self.is_signed {
            true => -(1 << (self.width - 1))..=(1 << (self.width - 1)) - 1,
            false => 0..=(1 << self.width) - 1,
        }
    }

    /// The low bits of `value`, with their sign.
    fn wrap(self, value: i128) -> i128 {
        let unused = 128 - self.width;
        match self.is_signed {
            true => value << unused >> unused,
            false => (value as u128 & self.mask()) as i128,
        }
    }
}

fn widen(window: &[u8; WINDOW]) -> u128 {
    let mut bytes = [0; 16];
    bytes[..WINDOW].copy_from_slice(window);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bit(bytes: &[u8], index: usize) -> bool {
        bytes[index / 8] >> (7 - index % 8) & 1 == 1
    }

    #[test]
    fn what_does_not_fit_wraps_saturates_or_fails() {
        let (u8, i8) = (Encoding { is_signed: false, width: 8 }, Encoding { is_signed: true, width: 8 });
        for (encoding, value, wrapped, saturated) in
            [(u8, 256, 0, 255), (u8, -1, 255, 0), (i8, 128, -128, 127), (i8, -129, 127, -128)]
        {
            assert_eq!(encoding.fit(value, Overflow::Wrap), Some(wrapped));
            assert_eq!(encoding.fit(value, Overflow::Saturate), Some(saturated));
            assert_eq!(encoding.fit(value, Overflow::Fail), None);
        }
        assert_eq!(i8.operand(i64::MIN, Overflow::Saturate), i64::MAX.into());
        assert_eq!(i8.operand(i64::MIN, Overflow::Wrap), i64::MIN.into());
        assert_eq!(i8.operand(-i64::MAX + 127, Overflow::Saturate), (-i64::MAX + 127).into());
        assert_eq!(u8.operand(-1, Overflow::Saturate), u64::MAX.into());
        let i64 = Encoding { is_signed: true, width: 64 };
        assert_eq!(i64.operand(i64::MIN, Overflow::Saturate), i64::MIN.into());
        assert_eq!(i64.fit(i128::from(i64::MAX) + 1, Overflow::Wrap), Some(i64::MIN));
        assert_eq!(i64.fit(i64::MIN.into(), Overflow::Fail), Some(i64::MIN));
    }

    proptest! {
        #[test]
        fn counting_and_finding_look_at_every_bit(bytes in prop::collection::vec(prop_oneof![Just(0), Just(0xFF), any::<u8>()], 0..40)) {
            let bits = (0..bytes.len() * 8).map(|index| bit(&bytes, index)).collect::<Vec<_>>();
            prop_assert_eq!(count(&bytes), bits.iter().filter(|bit| **bit).count());
            for is_set in [false, true] {
                prop_assert_eq!(position(&bytes, is_set), bits.iter().position(|bit| *bit == is_set));
            }
        }

        #[test]
        fn integers_change_nothing_around_them(
            before: [u8; WINDOW], offset in 0usize..8, width in 1u32..=64, is_signed: bool, value: i64,
        ) {
            prop_assume!(is_signed || width < 64);
            let encoding = Encoding { is_signed, width };
            let value = encoding.fit(value.into(), Overflow::Wrap).unwrap();
            let mut after = before;
            encoding.write(&mut after, offset, value);
            prop_assert_eq!(encoding.read(&after, offset), value);
            for index in (0..offset).chain(offset + width as usize..WINDOW * 8) {
                prop_assert_eq!(bit(&after, index), bit(&before, index));
            }
        }
    }
}
