//! Doubles as clients send them and as they read them in replies.

use std::sync::LazyLock;

use super::long_double::LongDouble;

/// Reads a double: decimal, `inf` and `infinity` in any case, with a sign; no spaces, no `nan`, no hexadecimal. None if
/// it is not one, or is finite and too large, or rounds to zero without being zero.
pub fn parse(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let mut significand = text.iter().take_while(|byte| !byte.eq_ignore_ascii_case(&b'e'));
    let in_range = match value.classify() {
        std::num::FpCategory::Nan => false,
        std::num::FpCategory::Infinite => !text.iter().any(u8::is_ascii_digit),
        std::num::FpCategory::Zero => !significand.any(|byte| matches!(byte, b'1'..=b'9')),
        _ => true,
    };
    in_range.then_some(value)
}

/// Integers up to this magnitude are printed as such.
const WHOLE_MAX: f64 = (1_u64 << 62) as f64;

/// Appends the text of a double in a reply, in RESP2 and RESP3 alike: few digits that read back as the same number.
pub fn append(value: f64, out: &mut Vec<u8>) {
    if value.abs() <= WHOLE_MAX && value.trunc() == value && value != 0.0 {
        return out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
    }
    append_shortest(value, out);
}

/// Appends the text of a double in a digest, where integers are not printed any other way than fractions.
pub fn append_shortest(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    if value.is_infinite() {
        return out.extend_from_slice(b"inf");
    }
    if value == 0.0 {
        return out.push(b'0');
    }
    let (digits, used, exponent) = shortest(value.abs());
    append_digits(&digits[..used], exponent, value < 0.0, out);
}

/// Appends `0.ddd`, `ddd.ddd`, `ddd000` or `d.ddde±x`, as suits `digits * 10^exponent`.
fn append_digits(digits: &[u8], exponent: i32, negative: bool, out: &mut Vec<u8>) {
    let used = digits.len() as i32;
    let scientific = exponent + used - 1;
    if exponent >= 0 && scientific < used + 7 {
        out.extend_from_slice(digits);
        out.extend(std::iter::repeat_n(b'0', exponent as usize));
    } else if exponent < 0 && (exponent > -7 || scientific.abs() < 4) {
        let whole = used + exponent;
        if whole <= 0 {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', whole.unsigned_abs() as usize));
            out.extend_from_slice(digits);
        } else {
            out.extend_from_slice(&digits[..whole as usize]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole as usize..]);
        }
    } else {
        let (first, rest) = digits.split_at(1);
        out.extend_from_slice(first);
        let rest = &rest[..rest.len().min(17 - usize::from(negative))];
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
        out.push(b'e');
        out.push(if scientific < 0 { b'-' } else { b'+' });
        out.extend_from_slice(itoa::Buffer::new().format(scientific.unsigned_abs()).as_bytes());
    }
}

/// A significand of 64 bits and the power of two of its lowest.
#[derive(Clone, Copy)]
struct Scaled {
    bits: u64,
    exponent: i32,
}

impl Scaled {
    fn normalised(self) -> Self {
        let shift = self.bits.leading_zeros();
        Scaled { bits: self.bits << shift, exponent: self.exponent - shift as i32 }
    }

    fn multiply(self, other: Scaled) -> Scaled {
        let product = u128::from(self.bits) * u128::from(other.bits) + (1 << 63);
        Scaled { bits: (product >> 64) as u64, exponent: self.exponent + other.exponent + 64 }
    }
}

/// Powers of ten from `10^POWER_FIRST` in steps of `10^POWER_STEP`.
static POWERS: LazyLock<Vec<Scaled>> = LazyLock::new(|| {
    (0..POWER_COUNT)
        .filter_map(|place| {
            let text = format!("1e{}", POWER_FIRST + place * POWER_STEP);
            let (bits, exponent) = LongDouble::parse(text.as_bytes())?.parts()?;
            Some(Scaled { bits, exponent })
        })
        .collect()
});
const POWER_FIRST: i32 = -348;
const POWER_STEP: i32 = 8;
const POWER_COUNT: i32 = 87;

/// The power of ten that brings a number with this exponent to one between -60 and -32, and its decimal exponent.
fn power_for(exponent: i32) -> (Scaled, i32) {
    // Where two powers would do, the choice is that of the usual estimate.
    let estimate = (f64::from(-(exponent + POWER_COUNT)) * std::f64::consts::LOG10_2) as i32;
    let mut place = (estimate - POWER_FIRST) / POWER_STEP;
    loop {
        let power = POWERS[place as usize];
        match exponent + power.exponent + 64 {
            ..-60 => place += 1,
            -60..=-32 => return (power, POWER_FIRST + place * POWER_STEP),
            _ => place -= 1,
        }
    }
}

/// The digits, how many, and the power of ten of the last, of a positive finite number.
///
/// This is the Grisu2 algorithm (Florian Loitsch, "Printing floating-point numbers quickly and accurately with
/// integers", 2010) and not one that always finds the shortest digits, since one number in a thousand would then be
/// printed differently than by other servers.
fn shortest(value: f64) -> ([u8; 18], usize, i32) {
    const HIDDEN: u64 = 1 << 52;
    let bits = value.to_bits();
    let fraction = bits & (HIDDEN - 1);
    let number = match (bits >> 52) as i32 {
        0 => Scaled { bits: fraction, exponent: -1074 },
        biased => Scaled { bits: fraction | HIDDEN, exponent: biased - 1075 },
    };
    // The middle between this number and its neighbours; below a power of two the neighbour is nearer.
    let upper = Scaled { bits: number.bits << 1 | 1, exponent: number.exponent - 1 }.normalised();
    let nearer = if number.bits == HIDDEN { 2 } else { 1 };
    let lower = Scaled {
        bits: ((number.bits << nearer) - 1) << (number.exponent - nearer - upper.exponent),
        exponent: upper.exponent,
    };
    let (power, decimal_exponent) = power_for(upper.exponent);
    let number = number.normalised().multiply(power);
    let upper = upper.multiply(power);
    let lower = lower.multiply(power);
    generate(number.bits, upper.bits - 1, lower.bits + 1, -upper.exponent as u32, -decimal_exponent)
}

/// Digits of a number between `lower` and `upper`, near to `number`, all with `point` bits behind the binary point.
fn generate(number: u64, upper: u64, lower: u64, point: u32, mut exponent: i32) -> ([u8; 18], usize, i32) {
    let mut digits = [0; 18];
    let mut used = 0;
    let mut push = |digit: u64| {
        if digit > 0 || used > 0 {
            digits[used] = b'0' + digit as u8;
            used += 1;
        }
    };
    let one = 1_u64 << point;
    let mut width = upper - lower;
    let mut target = upper - number;
    let mut whole = upper >> point;
    let mut part = upper & (one - 1);
    for place in (0..10).rev() {
        let unit = 10_u64.pow(place);
        push(whole / unit);
        whole %= unit;
        let rest = (whole << point) + part;
        if rest <= width {
            exponent += place as i32;
            approach(&mut digits[used - 1], width, rest, unit << point, target);
            return (digits, used, exponent);
        }
    }
    loop {
        part *= 10;
        width *= 10;
        target = target.wrapping_mul(10);
        exponent -= 1;
        push(part >> point);
        part &= one - 1;
        if part < width {
            approach(&mut digits[used - 1], width, part, one, target);
            return (digits, used, exponent);
        }
    }
}

/// Lowers the last digit while that brings the digits, `rest` below the upper bound, nearer to the number, `target`
/// below it.
fn approach(digit: &mut u8, width: u64, mut rest: u64, unit: u64, target: u64) {
    while rest < target && width - rest >= unit && (rest + unit < target || target - rest > rest + unit - target) {
        *digit -= 1;
        rest += unit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        append(value, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Replies of Redis 8.2 and Valkey 9.1 to `ZSCORE`.
    #[test]
    fn prints_as_scores_are_printed() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (-1.0, "-1"),
            (1e17, "100000000000000000"),
            (123_456_789_012_345_678.0, "123456789012345680"),
            (4_611_686_018_427_387_904.0, "4611686018427387904"),
            (-9_223_372_036_854_775_808.0, "-9223372036854776000"),
            (1e19, "1e+19"),
            (1e23, "99999999999999990000000"),
            (2.5e25, "2.5e+25"),
            (123_456.7e20, "1.234567e+25"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (4e-320, "4e-320"),
            (0.1, "0.1"),
            (0.000_001, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (1.23e-5, "1.23e-5"),
            (1.234_567_89e-5, "1.23456789e-5"),
            (123.456, "123.456"),
            (1_234_567.891, "1234567.891"),
            (0.1 + 0.2, "0.30000000000000004"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    #[test]
    fn reads_what_clients_may_send() {
        for (literal, value) in [
            (".5", 0.5),
            ("5.", 5.0),
            ("+5", 5.0),
            ("00012", 12.0),
            ("1e-5", 1e-5),
            ("4e-320", 4e-320),
            ("0e999", 0.0),
            ("inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
        ] {
            assert_eq!(parse(literal.as_bytes()), Some(value), "{literal}");
        }
        for literal in [
            "", "-", "+-5", ".", "1e", "1e+", " 1", "1 ", "1_0", "1d", "0x10", "nan", "-NaN", "infinit", "1e400",
            "-1e-400", "1\0", "\u{661}",
        ] {
            assert_eq!(parse(literal.as_bytes()), None, "{literal}");
        }
    }

    proptest! {
        #[test]
        fn text_reads_back(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let text = text(value);
            prop_assert!(text.len() <= 25, "{}", text);
            prop_assert_eq!(parse(text.as_bytes()), Some(value), "{}", text);
        }
    }
}
