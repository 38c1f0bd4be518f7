//! The manifest of a multi-part append-only file: which files make it up, in which order
//! (<https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/#log-rewriting>).
//!
//! A line is `file NAME seq NUMBER type b|i|h`: the base, increments in their order, and what is of no use any more.

use std::fmt;

/// Longest line, in bytes.
const LINE_BYTES_MAX: usize = 1024;

/// A file of the append-only file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub number: u64,
}

/// The files that make up an append-only file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    pub base: Option<Part>,
    /// In their order, with ascending numbers.
    pub increments: Vec<Part>,
    /// Files that have been replaced and are to be removed.
    pub history: Vec<Part>,
}

/// Why a text is no manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestError {
    Empty,
    LongLine,
    Format,
    /// A name that has a directory in it.
    Path,
    UnknownType,
    SecondBase,
    /// Increments whose numbers do not rise.
    Order,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ManifestError::Empty => "Found an empty AOF manifest",
            ManifestError::LongLine => "The AOF manifest file contains too long line",
            ManifestError::Format => "Invalid AOF manifest file format",
            ManifestError::Path => "File can't be a path, just a filename",
            ManifestError::UnknownType => "Unknown AOF file type",
            ManifestError::SecondBase => "Found duplicate base file information",
            ManifestError::Order => "Found a non-monotonic sequence number",
        })
    }
}

impl Manifest {
    /// Reads a manifest. Fields that are not known are passed over.
    pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
        if text.is_empty() {
            return Err(ManifestError::Empty);
        }
        let mut manifest = Manifest::default();
        let mut latest = 0;
        for line in text.split_inclusive('\n') {
            if line.starts_with('#') {
                continue;
            }
            if !line.ends_with('\n') || line.len() > LINE_BYTES_MAX {
                return Err(ManifestError::LongLine);
            }
            let (part, kind) = parse_line(line)?;
            match kind {
                'b' if manifest.base.is_some() => return Err(ManifestError::SecondBase),
                'b' => manifest.base = Some(part),
                'h' => manifest.history.push(part),
                'i' if part.number <= latest => return Err(ManifestError::Order),
                'i' => {
                    latest = part.number;
                    manifest.increments.push(part);
                }
                _ => return Err(ManifestError::UnknownType),
            }
        }
        Ok(manifest)
    }

    /// Whether it has no file.
    pub fn is_empty(&self) -> bool {
        self.base.is_none() && self.increments.is_empty()
    }

    /// The number of the next base.
    pub fn next_base(&self) -> u64 {
        self.base.as_ref().map_or(1, |base| base.number + 1)
    }

    /// The number of the next increment.
    pub fn next_increment(&self) -> u64 {
        self.increments.last().map_or(1, |part| part.number + 1)
    }
}

fn parse_line(line: &str) -> Result<(Part, char), ManifestError> {
    let words = words(line.trim_end()).ok_or(ManifestError::Format)?;
    if words.len() < 6 || words.len() % 2 != 0 {
        return Err(ManifestError::Format);
    }
    let (mut name, mut number, mut kind) = (None, None, None);
    for pair in words.chunks(2) {
        let (key, value) = (pair[0].to_ascii_lowercase(), &pair[1]);
        match key.as_str() {
            "file" if value.contains('/') || value.is_empty() => return Err(ManifestError::Path),
            "file" => name = Some(value.clone()),
            "seq" => number = value.parse().ok(),
            "type" => kind = value.chars().next(),
            _ => {}
        }
    }
    match (name, number, kind) {
        (Some(name), Some(number), Some(kind)) if number > 0 => Ok((Part { name, number }, kind)),
        _ => Err(ManifestError::Format),
    }
}

/// The words of a line, of which those with spaces stand in quotes.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut word = String::new();
            let mut letters = quoted.char_indices();
            let end = loop {
                match letters.next()? {
                    (at, '"') => break at + 1,
                    (_, '\\') => match letters.next()?.1 {
                        'n' => word.push('\n'),
                        'r' => word.push('\r'),
                        't' => word.push('\t'),
                        other => word.push(other),
                    },
                    (_, letter) => word.push(letter),
                }
            };
            words.push(word);
            rest = quoted[end..].trim_start();
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            words.push(rest[..end].to_owned());
            rest = rest[end..].trim_start();
        }
    }
    Some(words)
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |part: &Part, kind: char| {
            let Part { name, number } = part;
            if name.contains([' ', '"', '\\', '\n', '\r', '\t']) {
                let name = name.replace('\\', "\\\\").replace('"', "\\\"");
                let name = name.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
                writeln!(f, "file \"{name}\" seq {number} type {kind}")
            } else {
                writeln!(f, "file {name} seq {number} type {kind}")
            }
        };
        self.base.iter().try_for_each(|part| line(part, 'b'))?;
        self.history.iter().try_for_each(|part| line(part, 'h'))?;
        self.increments.iter().try_for_each(|part| line(part, 'i'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, number: u64) -> Part {
        Part { name: name.into(), number }
    }

    #[test]
    fn what_is_written_is_read() {
        let manifest = Manifest {
            base: Some(part("appendonly.aof.2.base.rdb", 2)),
            increments: vec![part("appendonly.aof.3.incr.aof", 3), part("with \"space\" and\na line.4.incr.aof", 4)],
            history: vec![part("appendonly.aof.1.base.rdb", 1)],
        };
        let text = manifest.to_string();
        assert!(text.starts_with("file appendonly.aof.2.base.rdb seq 2 type b\n"), "{text}");
        assert_eq!(Manifest::parse(&text), Ok(manifest.clone()));
        assert_eq!((manifest.next_base(), manifest.next_increment()), (3, 5));
        assert_eq!((Manifest::default().next_base(), Manifest::default().next_increment()), (1, 1));
    }

    #[test]
    fn comments_and_unknown_fields_are_passed_over() {
        let text = "#comment\nfile a.1.incr.aof seq 1 type i startoffset 7 endoffset 9\n";
        assert_eq!(Manifest::parse(text).map(|manifest| manifest.increments), Ok(vec![part("a.1.incr.aof", 1)]));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, error) in [
            ("", ManifestError::Empty),
            ("file a seq 1 type b", ManifestError::LongLine),
            ("\n", ManifestError::Format),
            ("file a seq 1\n", ManifestError::Format),
            ("file a seq x type b\n", ManifestError::Format),
            ("file a seq 0 type b\n", ManifestError::Format),
            ("file \"a seq 1 type b\n", ManifestError::Format),
            ("file d/a seq 1 type b\n", ManifestError::Path),
            ("file a seq 1 type x\n", ManifestError::UnknownType),
            ("file a seq 1 type b\nfile b seq 2 type b\n", ManifestError::SecondBase),
            ("file a seq 2 type i\nfile b seq 2 type i\n", ManifestError::Order),
        ] {
            assert_eq!(Manifest::parse(text), Err(error), "{text:?}");
        }
        let long = format!("file {} seq 1 type b\n", "x".repeat(1100));
        assert_eq!(Manifest::parse(&long), Err(ManifestError::LongLine));
    }
}
