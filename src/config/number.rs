//! Numbers as redis.conf writes them: plain, memory (`100mb`), percentages of memory, octal.

use super::Reason;

/// How an integer directive is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Plain,
    /// Bytes, with an optional unit: `1k` is 1,000 and `1kb` is 1,024 bytes.
    Memory,
    /// Memory, or `n%`, which is kept as `-n`.
    MemoryOrPercent,
    Octal,
}

impl Unit {
    /// Reads `text`, without regard to the range that a directive allows.
    pub(super) fn parse(self, text: &[u8]) -> Result<i128, Reason> {
        match self {
            Unit::Plain => integer(text).map(i128::from).ok_or("argument couldn't be parsed into an integer"),
            Unit::Memory => memory_size(text).map(i128::from).ok_or("argument must be a memory value"),
            Unit::MemoryOrPercent => memory_size(text)
                .map(i128::from)
                .or_else(|| percent(text).map(|percent| -i128::from(percent)))
                .ok_or("argument must be a memory or percent value"),
            Unit::Octal => octal(text).map(i128::from).ok_or("argument couldn't be parsed as an octal number"),
        }
        .map_err(Reason::from)
    }

    /// The value as CONFIG GET prints it.
    pub(super) fn format(self, value: i64) -> String {
        match self {
            Unit::Octal => format!("{value:o}"),
            Unit::MemoryOrPercent if value < 0 => format!("{}%", -value),
            _ => value.to_string(),
        }
    }

    /// The value as CONFIG REWRITE writes it: memory in the largest unit that divides it.
    pub(super) fn rewrite(self, value: i64) -> String {
        match self {
            Unit::Memory | Unit::MemoryOrPercent if value > 0 => format_memory(value),
            _ => self.format(value),
        }
    }
}

/// A decimal integer in its one canonical form: no sign but `-`, no leading zeros, no white space.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    canonical.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// A decimal integer as C's `strtoll` reads a whole argument: leading white space, zeros and `+` are allowed.
pub(super) fn lenient_integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']).parse().ok()
}

/// Bytes with an optional unit, in any case.
pub fn memory_size(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    let multiplier: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1_000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    std::str::from_utf8(number).ok()?.parse::<u64>().ok()?.checked_mul(multiplier)
}

/// Bytes in the largest unit that divides them.
pub(super) fn format_memory(bytes: i64) -> String {
    match bytes {
        _ if bytes > 0 && bytes % (1 << 30) == 0 => format!("{}gb", bytes >> 30),
        _ if bytes > 0 && bytes % (1 << 20) == 0 => format!("{}mb", bytes >> 20),
        _ if bytes > 0 && bytes % (1 << 10) == 0 => format!("{}kb", bytes >> 10),
        _ => bytes.to_string(),
    }
}

fn percent(text: &[u8]) -> Option<i64> {
    integer(text.strip_suffix(b"%")?).filter(|percent| *percent >= 0)
}

fn octal(text: &[u8]) -> Option<i64> {
    i64::from_str_radix(std::str::from_utf8(text).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_values() {
        let cases: &[(&str, Option<u64>)] = &[
            ("0", Some(0)),
            ("1", Some(1)),
            ("1b", Some(1)),
            ("1k", Some(1000)),
            ("1KB", Some(1024)),
            ("2m", Some(2_000_000)),
            ("2Mb", Some(2 << 20)),
            ("3g", Some(3_000_000_000)),
            ("3gb", Some(3 << 30)),
            ("", None),
            ("kb", None),
            ("-1", None),
            ("1.5gb", None),
            ("1 kb", None),
            ("1tb", None),
            ("99999999999999999999", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551615kb", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(memory_size(text.as_bytes()), *bytes, "{text}");
        }
    }

    #[test]
    fn integers_have_one_form() {
        for (text, value) in [("0", Some(0)), ("-7", Some(-7)), ("9223372036854775807", Some(i64::MAX))] {
            assert_eq!(integer(text.as_bytes()), value);
        }
        for text in ["", "-", "-0", "01", "+1", " 1", "1 ", "1a", "0x1", "9223372036854775808"] {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for value in [0, 1, 1023, 1024, 1 << 20, 5 << 30, (1 << 30) + 1024, i64::MAX] {
            let written = Unit::Memory.rewrite(value);
            assert_eq!(Unit::Memory.parse(written.as_bytes()), Ok(i128::from(value)), "{written}");
        }
        assert_eq!(Unit::MemoryOrPercent.rewrite(-10), "10%");
        assert_eq!(Unit::MemoryOrPercent.parse(b"10%"), Ok(-10));
        assert_eq!(Unit::Octal.rewrite(0o755), "755");
        assert_eq!(Unit::Octal.parse(b"755"), Ok(0o755));
    }
}
