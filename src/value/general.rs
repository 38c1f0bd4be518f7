//! Numbers with a given number of significant digits, as C prints them with `%g`.

/// Appends a number with `precision` significant digits at most, from 1 on.
pub fn append(number: f64, precision: usize, out: &mut Vec<u8>) {
    if number.is_nan() {
        return out.extend_from_slice(if number.is_sign_negative() { b"-nan" } else { b"nan" });
    }
    if number.is_infinite() {
        return out.extend_from_slice(if number < 0.0 { b"-inf" } else { b"inf" });
    }
    let scientific = format!("{number:.*e}", precision - 1);
    let Some((digits, exponent)) = scientific.split_once('e') else { return };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        let text = format!("{}e{sign}{:02}", without_zeros(digits), exponent.unsigned_abs());
        return out.extend_from_slice(text.as_bytes());
    }
    let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
    out.extend_from_slice(without_zeros(&format!("{number:.decimals$}")).as_bytes());
}

/// Digits without zeros at the end of their fraction.
fn without_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_are_those_of_c() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.33333333333333"),
            (1e14, "1e+14"),
            (123_456_789_012_345.0, "1.2345678901234e+14"),
            (12_345_678_901_234.0, "12345678901234"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (-2.5e-300, "-2.5e-300"),
            (99_999_999_999_999.99, "1e+14"),
        ] {
            let mut out = Vec::new();
            super::append(number, 14, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
