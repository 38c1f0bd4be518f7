//! The text formats that Prometheus reads: OpenMetrics 1.0.0, and the one before it, 0.0.4.
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>,
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::borrow::Cow;
use std::fmt::{Arguments, Display, Write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    Text,
}

impl Format {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What the values of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    /// A count that begins at 0 with the process or with `CONFIG RESETSTAT`. Its name ends with `_total`.
    Counter,
    /// The same under a name without `_total`, since that is what dashboards know: OpenMetrics has no type for it.
    Count,
    Histogram,
    /// Labels that describe the server. Its name ends with `_info`, and its value is 1.
    Info,
}

/// What the values of a family are measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number, a share, or yes and no.
    None,
    Bytes,
    Seconds,
    Milliseconds,
    Microseconds,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Bytes => "bytes",
            Unit::Seconds => "seconds",
            Unit::Milliseconds => "milliseconds",
            Unit::Microseconds => "microseconds",
        }
    }
}

/// Samples of one name.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The name of its samples, or what these begin with.
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    /// What it tells, without its unit.
    pub help: &'static str,
}

impl Family {
    pub const fn new(name: &'static str, kind: Kind, unit: Unit, help: &'static str) -> Self {
        Family { name, kind, unit, help }
    }

    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Family::new(name, Kind::Gauge, Unit::None, help)
    }

    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Family::new(name, Kind::Counter, Unit::None, help)
    }
}

/// A label and its value.
pub type Label<'l> = (&'l str, Cow<'l, str>);

/// A label whose value is text.
pub fn label<'l>(name: &'l str, value: &'l str) -> Label<'l> {
    (name, Cow::Borrowed(value))
}

/// Metrics as they are written, family by family.
pub struct Exposition {
    text: String,
    format: Format,
}

impl Exposition {
    /// With room for `bytes`.
    pub fn new(format: Format, bytes: usize) -> Self {
        Exposition { text: String::with_capacity(bytes), format }
    }

    /// Begins a family. Its samples follow, before another one begins.
    pub fn begin(&mut self, family: &Family) {
        let (name, kind) = match (self.format, family.kind) {
            (_, Kind::Gauge) => (family.name, "gauge"),
            (_, Kind::Histogram) => (family.name, "histogram"),
            (Format::Text, Kind::Counter | Kind::Count) => (family.name, "counter"),
            (Format::OpenMetrics, Kind::Counter) => (family.name.trim_end_matches("_total"), "counter"),
            (Format::OpenMetrics, Kind::Count) => (family.name, "unknown"),
            (Format::Text, Kind::Info) => (family.name, "gauge"),
            (Format::OpenMetrics, Kind::Info) => (family.name.trim_end_matches("_info"), "info"),
        };
        put(&mut self.text, format_args!("# HELP {name} {}", family.help));
        if family.unit != Unit::None {
            put(&mut self.text, format_args!(", in {}", family.unit.name()));
        }
        put(&mut self.text, format_args!(".\n# TYPE {name} {kind}\n"));
        let unit = family.unit.name();
        // OpenMetrics wants a unit to be part of the name.
        let is_named = name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'));
        if self.format == Format::OpenMetrics && family.unit != Unit::None && is_named {
            put(&mut self.text, format_args!("# UNIT {name} {unit}\n"));
        }
    }

    /// A sample of the family that was begun; `suffix` is what its name has behind the family's.
    pub fn sample(&mut self, family: &Family, suffix: &str, labels: &[Label<'_>], value: impl Display) {
        self.text.push_str(family.name);
        self.text.push_str(suffix);
        for (index, (name, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            for character in value.chars() {
                match character {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    character => self.text.push(character),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        put(&mut self.text, format_args!(" {value}\n"));
    }

    /// A family of one sample.
    pub fn one(&mut self, family: &Family, value: impl Display) {
        self.begin(family);
        self.sample(family, "", &[], value);
    }

    /// A family with a sample for each of `rows`; without them it is left out.
    pub fn rows<'l, L: AsRef<[Label<'l>]>, V: Display>(
        &mut self,
        family: &Family,
        rows: impl IntoIterator<Item = (L, V)>,
    ) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_some() {
            self.begin(family);
        }
        for (labels, value) in rows {
            self.sample(family, "", labels.as_ref(), value);
        }
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

fn put(text: &mut String, what: Arguments<'_>) {
    // Writing to a string cannot fail, and what is written here cannot either.
    let _ = text.write_fmt(what);
}

/// Bytes as the value of a label: what is no UTF-8, control characters and backslashes as escapes, so that different bytes stay
/// different.
pub fn printable(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|character| character.is_control() || character == '\\') => Cow::Borrowed(text),
        _ => Cow::Owned(escaped(bytes)),
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    let escape = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            put(text, format_args!("\\x{byte:02x}"));
        }
    };
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                character if character.is_control() => {
                    escape(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                character => text.push(character),
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(format: Format) -> String {
        let mut out = Exposition::new(format, 0);
        let labels = [label("cmd", "a\"b\\c\nd"), label("db", "0")];
        out.begin(&Family::new("r_time_seconds_total", Kind::Counter, Unit::Seconds, "Time"));
        out.sample(&Family::counter("r_time_seconds_total", ""), "", &labels, 0.5);
        out.one(&Family::new("r_used", Kind::Gauge, Unit::Bytes, "Memory"), 7);
        out.one(&Family::new("r_replies", Kind::Count, Unit::None, "Replies"), 8);
        out.rows(&Family::new("r_build_info", Kind::Info, Unit::None, "Build"), [([label("version", "1")], 1)]);
        out.rows(&Family::gauge("r_none", "Nothing"), Vec::<([Label<'_>; 0], u8)>::new());
        out.finish()
    }

    #[test]
    fn both_formats() {
        assert_eq!(
            written(Format::OpenMetrics),
            "# HELP r_time_seconds Time, in seconds.\n# TYPE r_time_seconds counter\n# UNIT r_time_seconds seconds\n\
             r_time_seconds_total{cmd=\"a\\\"b\\\\c\\nd\",db=\"0\"} 0.5\n\
             # HELP r_used Memory, in bytes.\n# TYPE r_used gauge\nr_used 7\n\
             # HELP r_replies Replies.\n# TYPE r_replies unknown\nr_replies 8\n\
             # HELP r_build Build.\n# TYPE r_build info\nr_build_info{version=\"1\"} 1\n# EOF\n"
        );
        assert_eq!(
            written(Format::Text),
            "# HELP r_time_seconds_total Time, in seconds.\n# TYPE r_time_seconds_total counter\n\
             r_time_seconds_total{cmd=\"a\\\"b\\\\c\\nd\",db=\"0\"} 0.5\n\
             # HELP r_used Memory, in bytes.\n# TYPE r_used gauge\nr_used 7\n\
             # HELP r_replies Replies.\n# TYPE r_replies counter\nr_replies 8\n\
             # HELP r_build_info Build.\n# TYPE r_build_info gauge\nr_build_info{version=\"1\"} 1\n"
        );
    }

    #[test]
    fn keys_are_shown_as_they_are_as_far_as_they_are_text() {
        let cases: [(&[u8], &str); 5] = [
            (b"jobs:1", "jobs:1"),
            ("ä\"".as_bytes(), "ä\""),
            (b"a\xffb\x80", "a\\xffb\\x80"),
            (b"a\\xff", "a\\\\xff"),
            ("\r\n\0\u{85}".as_bytes(), "\\x0d\\x0a\\x00\\xc2\\x85"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(printable(bytes), expected);
        }
    }

    proptest! {
        #[test]
        fn different_keys_are_shown_differently(a in proptest::collection::vec(any::<u8>(), 0..6), b in "[\\\\x0f\u{85}]{0,8}") {
            prop_assert_eq!(printable(&a) == printable(b.as_bytes()), a == b.as_bytes());
        }
    }
}
