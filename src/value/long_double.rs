//! The 80-bit floating-point numbers of x87, in software, exactly: what Redis calculates `INCRBYFLOAT` and
//! `HINCRBYFLOAT` with on the machines that everybody runs it on.
//!
//! A finite number is a 64-bit significand times a power of two. Parsing, adding and printing round once, to the
//! nearest, ties to even.

use super::natural::Natural;

/// Texts this long or longer are not numbers.
const TEXT_LEN_MAX: usize = 5 * 1024;

/// The power of two of the significand's lowest bit, in the smallest numbers.
const EXPONENT_MIN: i32 = -16445;

/// The same in the largest numbers.
const EXPONENT_MAX: i32 = 16384 - 64;

/// Digits after the decimal point in print.
const DECIMALS: u32 = 17;

/// A long double, but not "not a number".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Magnitude {
    Finite {
        /// The highest bit is set unless the exponent is [`EXPONENT_MIN`].
        significand: u64,
        /// Of the significand's lowest bit.
        exponent: i32,
    },
    Infinite,
}

impl LongDouble {
    pub const ZERO: LongDouble = LongDouble { negative: false, magnitude: ZERO };

    /// Reads a number as `strtold` does in the C locale: decimal or hexadecimal, `inf` and `infinity` in any case, with
    /// a sign; but no spaces and no `nan`. None if it is not one, or is finite and too large, or rounds to zero without
    /// being zero.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= TEXT_LEN_MAX {
            return None;
        }
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let magnitude = match unsigned {
            _ if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") => {
                Magnitude::Infinite
            }
            [b'0', b'x' | b'X', digits @ ..] => parse_hexadecimal(digits)?,
            _ => parse_decimal(unsigned)?,
        };
        Some(LongDouble { negative, magnitude })
    }

    /// The same with fewer digits: what is too large is infinite, and what is not zero does not become so.
    pub fn to_f64(self) -> f64 {
        let magnitude = match self.magnitude {
            Magnitude::Finite { significand: 0, .. } => 0.0,
            Magnitude::Finite { significand, exponent } => {
                (significand as f64 * 2.0_f64.powi(exponent)).max(f64::MIN_POSITIVE)
            }
            Magnitude::Infinite => f64::INFINITY,
        };
        if self.negative { -magnitude } else { magnitude }
    }

    pub fn is_finite(self) -> bool {
        self.magnitude != Magnitude::Infinite
    }

    /// The sum; none if it is not finite.
    pub fn checked_add(self, other: LongDouble) -> Option<LongDouble> {
        let (
            Magnitude::Finite { significand, exponent },
            Magnitude::Finite { significand: other_significand, exponent: other_exponent },
        ) = (self.magnitude, other.magnitude)
        else {
            return None;
        };
        if other_exponent > exponent {
            return other.checked_add(self);
        }
        // 63 more bits below hold all that can matter of the smaller number; whether it has bits below those, too, is
        // all that rounding needs to know.
        let distance = exponent.abs_diff(other_exponent).min(127);
        let wide = u128::from(significand) << 63;
        let aligned = u128::from(other_significand) << 63;
        let shifted = aligned >> distance;
        let lost = shifted << distance != aligned;
        let (negative, sum) = if self.negative == other.negative {
            (self.negative, wide + shifted)
        } else if wide >= shifted + u128::from(lost) {
            (self.negative, wide - shifted - u128::from(lost))
        } else {
            (other.negative, shifted - wide)
        };
        match round(sum, exponent - 63, lost) {
            Magnitude::Infinite => None,
            magnitude => Some(LongDouble { negative, magnitude }),
        }
    }

    /// The significand and the power of two of its lowest bit, if finite.
    pub(super) fn parts(self) -> Option<(u64, i32)> {
        match self.magnitude {
            Magnitude::Finite { significand, exponent } => Some((significand, exponent)),
            Magnitude::Infinite => None,
        }
    }

    /// The decimal text for people: at most seventeen digits after the point, no trailing zeros, no exponent.
    pub fn to_text(self) -> Vec<u8> {
        let mut text = Vec::new();
        if self.negative {
            text.push(b'-');
        }
        let Magnitude::Finite { significand, exponent } = self.magnitude else {
            text.extend_from_slice(b"inf");
            return text;
        };
        if exponent >= 0 {
            let mut whole = Natural::from_u64(significand);
            whole.shift_left(exponent as usize);
            whole.append_decimal(&mut text);
        } else {
            append_fixed(&mut text, significand, exponent.unsigned_abs());
        }
        if text == b"-0" {
            text.remove(0);
        }
        text
    }
}

/// Appends `significand / 2^shift`, rounded to [`DECIMALS`] digits after the point.
fn append_fixed(text: &mut Vec<u8>, significand: u64, shift: u32) {
    let unit = 10_u64.pow(DECIMALS);
    // Below 2^64 * 2^57.
    let scaled = u128::from(significand) * u128::from(unit);
    let rounded = if shift > 122 {
        0
    } else {
        let (quotient, rest, half) = (scaled >> shift, scaled & ((1 << shift) - 1), 1_u128 << (shift - 1));
        quotient + u128::from(rest > half || rest == half && quotient & 1 == 1)
    };
    let mut digits = itoa::Buffer::new();
    text.extend_from_slice(digits.format(rounded / u128::from(unit)).as_bytes());
    let fraction = (rounded % u128::from(unit)) as u64;
    if fraction != 0 {
        // The unit in front keeps the leading zeros.
        let padded = digits.format(unit + fraction).as_bytes();
        let used = padded.iter().rposition(|digit| *digit != b'0').unwrap_or(0);
        text.push(b'.');
        text.extend_from_slice(&padded[1..=used]);
    }
}

/// The number nearest to `bits * 2^exponent`, or to a little more if `lost`. With `lost`, `bits` has 66 bits at least.
fn round(bits: u128, exponent: i32, lost: bool) -> Magnitude {
    if bits == 0 {
        return Magnitude::Finite { significand: 0, exponent: EXPONENT_MIN };
    }
    let length = 128 - bits.leading_zeros() as i32;
    let cut = (length - 64).max(EXPONENT_MIN - exponent);
    let mut exponent = exponent + cut;
    let rounded = match cut {
        ..=0 => bits << -cut,
        1..=127 => {
            let (kept, rest, half) = (bits >> cut, bits & ((1 << cut) - 1), 1_u128 << (cut - 1));
            let up = rest > half || rest == half && (lost || kept & 1 == 1);
            kept + u128::from(up)
        }
        // All bits lie below the lowest that counts, and only with 128 of them can they be more than half of it.
        128 => u128::from(bits > 1 << 127 || bits == 1 << 127 && lost),
        _ => 0,
    };
    let significand = match u64::try_from(rounded) {
        Ok(significand) => significand,
        Err(_) => {
            exponent += 1;
            1 << 63
        }
    };
    if exponent > EXPONENT_MAX {
        return Magnitude::Infinite;
    }
    Magnitude::Finite { significand, exponent }
}

/// A literal's number, unless that is out of range.
fn in_range(magnitude: Magnitude) -> Option<Magnitude> {
    match magnitude {
        Magnitude::Infinite | Magnitude::Finite { significand: 0, .. } => None,
        Magnitude::Finite { .. } => Some(magnitude),
    }
}

const ZERO: Magnitude = Magnitude::Finite { significand: 0, exponent: EXPONENT_MIN };

/// The digits of a literal without its point, how many of them are behind the point, and what follows them.
fn split_digits(text: &[u8], is_digit: impl Fn(&u8) -> bool) -> Option<(Vec<u8>, i64, &[u8])> {
    let whole = text.iter().take_while(|byte| is_digit(byte)).count();
    let mut digits = text[..whole].to_vec();
    let mut rest = &text[whole..];
    let mut behind = 0;
    if let [b'.', fraction @ ..] = rest {
        behind = fraction.iter().take_while(|byte| is_digit(byte)).count();
        digits.extend_from_slice(&fraction[..behind]);
        rest = &fraction[behind..];
    }
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let any = !digits.is_empty();
    digits.drain(..zeros);
    any.then_some((digits, behind as i64, rest))
}

/// The exponent that ends a literal, if it begins with `mark`; zero if there is nothing. Far out of range it is only
/// roughly right.
fn parse_exponent(text: &[u8], mark: u8) -> Option<i64> {
    let Some((first, rest)) = text.split_first() else {
        return Some(0);
    };
    let (negative, digits) = match rest {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        _ => (false, rest),
    };
    if !first.eq_ignore_ascii_case(&mark) || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(1 << 40));
    Some(if negative { -value } else { value })
}

fn parse_decimal(text: &[u8]) -> Option<Magnitude> {
    let (mut digits, behind, rest) = split_digits(text, u8::is_ascii_digit)?;
    let mut exponent = parse_exponent(rest, b'e')? - behind;
    if digits.is_empty() {
        return Some(ZERO);
    }
    let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    digits.truncate(digits.len() - zeros);
    exponent += zeros as i64;
    // The decimal logarithm, rounded up. The range of a long double is about 10^-4951 to 10^4932.
    let scale = digits.len() as i64 + exponent;
    if !(-4960..=4940).contains(&scale) {
        return None;
    }
    let exponent = exponent as i32;
    if digits.len() <= 19 && (-19..=0).contains(&exponent) {
        let value = digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
        return in_range(parse_short(value, exponent.unsigned_abs()));
    }
    let value = Natural::from_decimal(&digits);
    let power = Natural::power_of_ten(exponent.unsigned_abs() as usize);
    in_range(if exponent >= 0 {
        let (bits, below, lost) = value.multiply(&power).highest_bits();
        round(bits, below as i32, lost)
    } else {
        divide(value, power)
    })
}

/// `value / 10^decimals`, where neither needs more than 64 bits: what nearly all literals are.
fn parse_short(value: u64, decimals: u32) -> Magnitude {
    let shift = 64 + value.leading_zeros();
    let dividend = u128::from(value) << shift;
    let divisor = 10_u128.pow(decimals);
    // At least 2^127 / 2^64, and exact where that matters: one bit of rounding needs 66.
    let quotient = dividend / divisor;
    let remainder = dividend % divisor;
    if remainder == 0 {
        return round(quotient, -(shift as i32), false);
    }
    // Four more bits.
    let low = (remainder << 4) / divisor;
    let lost = !(remainder << 4).is_multiple_of(divisor);
    if quotient >> 124 == 0 {
        round(quotient << 4 | low, -(shift as i32) - 4, lost)
    } else {
        round(quotient, -(shift as i32), true)
    }
}

fn divide(mut value: Natural, mut divisor: Natural) -> Magnitude {
    // A quotient of 67 or 68 bits.
    let shift = divisor.bit_len() as i32 - value.bit_len() as i32 + 67;
    if shift >= 0 {
        value.shift_left(shift as usize);
    } else {
        divisor.shift_left(shift.unsigned_abs() as usize);
    }
    let (quotient, lost) = value.divide(divisor);
    round(quotient, -shift, lost)
}

fn parse_hexadecimal(text: &[u8]) -> Option<Magnitude> {
    let (digits, behind, rest) = split_digits(text, u8::is_ascii_hexdigit)?;
    let exponent = parse_exponent(rest, b'p')? - 4 * behind;
    if digits.is_empty() {
        return Some(ZERO);
    }
    // 31 digits are 121 bits at least.
    let used = digits.len().min(31);
    let bits = digits[..used].iter().fold(0_u128, |bits, digit| bits << 4 | u128::from(hex_value(*digit)));
    let lost = digits[used..].iter().any(|digit| *digit != b'0');
    let exponent = exponent + 4 * (digits.len() - used) as i64;
    if !(-17_000..=17_000).contains(&exponent) {
        return None;
    }
    in_range(round(bits, exponent as i32, lost))
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(number: Option<LongDouble>) -> String {
        number.map_or_else(|| "none".to_owned(), |number| String::from_utf8_lossy(&number.to_text()).into_owned())
    }

    fn parsed(literal: &str) -> String {
        text(LongDouble::parse(literal.as_bytes()))
    }

    #[test]
    fn doubles_keep_sign_and_whether_it_is_zero() {
        let double = |literal: &str| LongDouble::parse(literal.as_bytes()).map(LongDouble::to_f64);
        for (literal, expected) in [
            ("1.5", Some(1.5)),
            ("-0x10", Some(-16.0)),
            ("0", Some(0.0)),
            ("1e400", Some(f64::INFINITY)),
            ("-1e-400", Some(-f64::MIN_POSITIVE)),
            ("9223372036854775", Some(9_223_372_036_854_775.0)),
            ("1e-5000", None),
        ] {
            assert_eq!(double(literal), expected, "{literal}");
        }
    }

    fn sum(a: &str, b: &str) -> String {
        text(LongDouble::parse(a.as_bytes()).zip(LongDouble::parse(b.as_bytes())).and_then(|(a, b)| a.checked_add(b)))
    }

    /// Replies of Redis 8.2 on x86-64.
    #[test]
    fn reads_and_prints_as_x87_does() {
        for (literal, expected) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("+5", "5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("00012", "12"),
            ("3.0e3", "3000"),
            ("0x10", "16"),
            ("0x.8", "0.5"),
            ("0X1P3", "8"),
            ("0x1.fffffffffffffffffp0", "2"),
            ("0x1p-16445", "0"),
            ("INF", "inf"),
            ("-Infinity", "-inf"),
            ("0.1", "0.1"),
            ("1e-17", "0.00000000000000001"),
            ("5e-18", "0"),
            ("5.00001e-18", "0.00000000000000001"),
            ("1.5e-17", "0.00000000000000002"),
            ("-1e-20", "0"),
            ("1.9e-4951", "0"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "18446744073709551616"),
            ("18446744073709551617", "18446744073709551616"),
            ("123456789012345678901234567890", "123456789012345678899921813504"),
        ] {
            assert_eq!(parsed(literal), expected, "{literal}");
        }
        let large = parsed("1.18973149535723176502e4932");
        assert!(large.len() == 4933 && large.starts_with("11897314953572317650212"), "{large}");
        assert!(large.ends_with("19552086811989770240"), "{large}");
        assert_eq!(parsed(&format!("{}1", "0".repeat(5118))), "1");
    }

    #[test]
    fn refuses_what_is_not_a_number_or_out_of_range() {
        for literal in [
            "",
            "-",
            "+-5",
            ".",
            "e5",
            "1e",
            "1e+",
            " 1",
            "1 ",
            "\t1",
            "1_0",
            "1,5",
            "infinit",
            "nan",
            "nan(1)",
            "0x",
            "0x.",
            "0xp1",
            "0x1p",
            "1f",
            "1\0",
            "1.2e4932",
            "1e4933",
            "-1e5000",
            "1.18973149535723176508e4932",
            "1.8e-4951",
            "1e-5000",
            "0x1p-16446",
            "0x1p16384",
            "1e99999999999999999999",
        ] {
            assert_eq!(parsed(literal), "none", "{literal}");
        }
        assert_eq!(parsed(&"1".repeat(5000)), "none");
        assert_eq!(parsed(&"0".repeat(5120)), "none");
        // Half of the smallest number is too little, but not a trifle more.
        assert_eq!(parsed("0x1.8p-16446"), "0");
    }

    #[test]
    fn adds_as_x87_does() {
        for (a, b, expected) in [
            ("3", "1.5", "4.5"),
            ("10.5", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("1", "-1", "0"),
            ("-1", "1", "0"),
            ("0.1", "0.2", "0.3"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("18446744073709551615", "0.5", "18446744073709551616"),
            ("18446744073709551614", "0.5", "18446744073709551614"),
            ("18446744073709551616", "-0.5", "18446744073709551616"),
            ("18446744073709551616", "-0.75", "18446744073709551615"),
            ("9223372036854775808", "0.25", "9223372036854775808"),
            ("9223372036854775808", "0.25000000000000001", "9223372036854775808"),
            ("1e4932", "1e4932", "none"),
            ("inf", "1", "none"),
            ("inf", "-inf", "none"),
        ] {
            assert_eq!(sum(a, b), expected, "{a} + {b}");
            assert_eq!(sum(b, a), expected, "{b} + {a}");
        }
        assert_eq!(sum("1e4930", "-1e-4930"), parsed("1e4930"));
    }

    proptest! {
        /// In 64 bits, integers add exactly.
        #[test]
        fn integers_add_exactly(a: i64, b: i64) {
            prop_assert_eq!(sum(&a.to_string(), &b.to_string()), (i128::from(a) + i128::from(b)).to_string());
        }

        /// The quick way for short literals gives what the general one gives.
        #[test]
        fn both_ways_to_divide_agree(value in 1u64.., shift in 0u32..64, decimals in 0u32..20) {
            let value = (value >> shift).max(1);
            let general = divide(Natural::from_u64(value), Natural::power_of_ten(decimals as usize));
            prop_assert_eq!(parse_short(value, decimals), general);
        }

        /// Below 90, seventeen decimals are no more than the significand can tell apart.
        #[test]
        fn decimals_round_trip(whole in -90i64..90, fraction in 0u64..10_u64.pow(17)) {
            let literal = format!("{whole}.{fraction:017}");
            let trimmed = literal.trim_end_matches('0').trim_end_matches('.');
            prop_assert_eq!(parsed(&literal), trimmed);
        }
    }
}
