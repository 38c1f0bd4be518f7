//! Natural numbers of any size, as far as reading and printing floating-point numbers exactly needs them.

use std::cmp::Ordering;

/// A natural number: its 64-bit digits, lowest first, without leading zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Natural(Vec<u64>);

/// Decimal digits that fit one 64-bit digit.
const CHUNK_DIGITS: usize = 19;
const CHUNK: u64 = 10_u64.pow(CHUNK_DIGITS as u32);

impl Natural {
    pub(super) fn from_u64(value: u64) -> Self {
        let mut natural = Natural(vec![value]);
        natural.trim();
        natural
    }

    /// Reads ASCII decimal digits.
    pub(super) fn from_decimal(digits: &[u8]) -> Self {
        let mut natural = Natural(Vec::with_capacity(digits.len() / CHUNK_DIGITS + 1));
        for chunk in digits.chunks(CHUNK_DIGITS) {
            let value = chunk.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
            natural.multiply_add(10_u64.pow(chunk.len() as u32), value);
        }
        natural
    }

    pub(super) fn power_of_ten(exponent: usize) -> Self {
        let mut natural = Natural::from_u64(1);
        for _ in 0..exponent / CHUNK_DIGITS {
            natural.multiply_add(CHUNK, 0);
        }
        natural.multiply_add(10_u64.pow((exponent % CHUNK_DIGITS) as u32), 0);
        natural
    }

    pub(super) fn multiply(&self, other: &Natural) -> Natural {
        let mut product = vec![0; self.0.len() + other.0.len()];
        for (place, &digit) in self.0.iter().enumerate() {
            let mut carry = 0;
            for (sum, &factor) in product[place..].iter_mut().zip(&other.0) {
                (*sum, carry) = wide_multiply_add(digit, factor, *sum, carry);
            }
            product[place + other.0.len()] = carry;
        }
        let mut product = Natural(product);
        product.trim();
        product
    }

    fn multiply_add(&mut self, factor: u64, addend: u64) {
        let mut carry = addend;
        for digit in &mut self.0 {
            (*digit, carry) = wide_multiply_add(*digit, factor, 0, carry);
        }
        if carry > 0 {
            self.0.push(carry);
        }
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    pub(super) fn bit_len(&self) -> usize {
        match self.0.last() {
            Some(last) => self.0.len() * 64 - last.leading_zeros() as usize,
            None => 0,
        }
    }

    pub(super) fn shift_left(&mut self, bits: usize) {
        let within = bits % 64;
        if within > 0 {
            self.multiply_add(1 << within, 0);
        }
        if !self.0.is_empty() {
            self.0.splice(..0, std::iter::repeat_n(0, bits / 64));
        }
    }

    fn shift_right_once(&mut self) {
        let mut carry = 0;
        for digit in self.0.iter_mut().rev() {
            let low = *digit << 63;
            *digit = *digit >> 1 | carry;
            carry = low;
        }
        self.trim();
    }

    fn compare(&self, other: &Natural) -> Ordering {
        let lengths = self.0.len().cmp(&other.0.len());
        lengths.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// Subtracts a number that is not larger.
    fn subtract(&mut self, other: &Natural) {
        let mut borrow = false;
        for (place, digit) in self.0.iter_mut().enumerate() {
            let subtrahend = other.0.get(place).copied().unwrap_or(0);
            (*digit, borrow) = digit.borrowing_sub_stable(subtrahend, borrow);
        }
        self.trim();
    }

    /// The quotient and whether there is a remainder. The quotient must fit `u128`.
    pub(super) fn divide(mut self, mut divisor: Natural) -> (u128, bool) {
        let steps = (self.bit_len() + 1).saturating_sub(divisor.bit_len());
        divisor.shift_left(steps);
        let mut quotient = 0;
        for _ in 0..=steps {
            quotient <<= 1;
            if self.compare(&divisor) != Ordering::Less {
                self.subtract(&divisor);
                quotient |= 1;
            }
            divisor.shift_right_once();
        }
        (quotient, !self.0.is_empty())
    }

    /// The 128 highest bits or fewer, how many bits are below them, and whether any of those is set.
    pub(super) fn highest_bits(&self) -> (u128, usize, bool) {
        let below = self.bit_len().saturating_sub(128);
        let (skip, within) = (below / 64, below % 64);
        let digit = |place: usize| u128::from(self.0.get(skip + place).copied().unwrap_or(0));
        let bits = match within {
            0 => digit(0) | digit(1) << 64,
            _ => digit(0) >> within | digit(1) << (64 - within) | digit(2) << (128 - within),
        };
        let lost = self.0[..skip].iter().any(|digit| *digit != 0) || (digit(0) as u64) << (63 - within) << 1 != 0;
        (bits, below, lost)
    }

    /// Appends the decimal digits to `out`.
    pub(super) fn append_decimal(mut self, out: &mut Vec<u8>) {
        let mut chunks = Vec::with_capacity(self.0.len() + 1);
        while !self.0.is_empty() {
            let mut remainder = 0;
            for digit in self.0.iter_mut().rev() {
                let dividend = u128::from(remainder) << 64 | u128::from(*digit);
                *digit = (dividend / u128::from(CHUNK)) as u64;
                remainder = (dividend % u128::from(CHUNK)) as u64;
            }
            chunks.push(remainder);
            self.trim();
        }
        let mut text = itoa::Buffer::new();
        out.extend_from_slice(text.format(chunks.pop().unwrap_or(0)).as_bytes());
        for chunk in chunks.into_iter().rev() {
            let digits = text.format(chunk).as_bytes();
            out.extend(std::iter::repeat_n(b'0', CHUNK_DIGITS - digits.len()));
            out.extend_from_slice(digits);
        }
    }
}

/// `a * b + c + d`: low and high half.
fn wide_multiply_add(a: u64, b: u64, c: u64, d: u64) -> (u64, u64) {
    let wide = u128::from(a) * u128::from(b) + u128::from(c) + u128::from(d);
    (wide as u64, (wide >> 64) as u64)
}

trait BorrowingSub: Sized {
    /// The difference of two digits and a borrow, and the borrow that results.
    fn borrowing_sub_stable(self, subtrahend: Self, borrow: bool) -> (Self, bool);
}

impl BorrowingSub for u64 {
    fn borrowing_sub_stable(self, subtrahend: Self, borrow: bool) -> (Self, bool) {
        let (difference, first) = self.overflowing_sub(subtrahend);
        let (difference, second) = difference.overflowing_sub(u64::from(borrow));
        (difference, first | second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn natural(value: u128) -> Natural {
        let mut natural = Natural(vec![value as u64, (value >> 64) as u64]);
        natural.trim();
        natural
    }

    proptest! {
        #[test]
        fn computes_as_u128_does(a: u128, b: u64, shift in 0usize..128) {
            let (a, b) = (a >> shift, u128::from(b >> (shift / 2)) + 1);
            let (quotient, remainder) = natural(a).divide(natural(b));
            prop_assert_eq!((quotient, remainder), (a / b, a % b != 0));
            let product = natural(a).multiply(&natural(b));
            prop_assert_eq!(product.divide(natural(b)), (a, false));
            let mut text = Vec::new();
            natural(a).append_decimal(&mut text);
            prop_assert_eq!(&text, &a.to_string().into_bytes());
            prop_assert_eq!(Natural::from_decimal(&text), natural(a));
            let mut shifted = natural(a | 1);
            shifted.shift_left(shift + 1);
            let (bits, below, lost) = shifted.highest_bits();
            let exact = shifted.bit_len() <= 128;
            prop_assert_eq!(below, shifted.bit_len().saturating_sub(128));
            prop_assert!(exact && !lost && bits == (a | 1) << (shift + 1) || !exact && bits >> 127 == 1);
        }
    }

    #[test]
    fn highest_bits_know_what_lies_below() {
        let mut number = natural(1);
        number.shift_left(300);
        assert_eq!(number.highest_bits(), (1 << 127, 173, false));
        number.multiply_add(1, 1);
        assert_eq!(number.highest_bits(), (1 << 127, 173, true));
        let mut text = Vec::new();
        Natural::power_of_ten(50).append_decimal(&mut text);
        assert_eq!(text, format!("1{}", "0".repeat(50)).into_bytes());
    }
}
