//! Replies as a tree, in RESP2 or RESP3: enough to find where one ends, to compare it, and to print it.

use std::fmt;

/// Bytes of a reply that are printed.
pub const SHOWN_MAX: usize = 4000;

/// A reply: its type byte, and either its text or its items.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reply {
    /// The byte that the reply starts with on the wire.
    pub kind: u8,
    /// What a scalar holds; `None` for an aggregate and for RESP2's null bulk string and null array.
    pub text: Option<Vec<u8>>,
    /// What an aggregate holds; keys and values of a map alternate.
    pub items: Vec<Reply>,
}

impl Reply {
    /// The first reply in `input` and its length, `None` while it is incomplete.
    pub fn parse(input: &[u8]) -> Option<(Reply, usize)> {
        let line_end = input.windows(2).position(|pair| pair == b"\r\n")?;
        let (kind, line) = (*input.first()?, &input[1..line_end]);
        let mut at = line_end + 2;
        let text = || String::from_utf8_lossy(line);
        let length =
            || text().parse::<i64>().unwrap_or_else(|_| panic!("a server sent a reply of the length {:?}", text()));
        let mut reply = Reply { kind, text: None, items: Vec::new() };
        match kind {
            b'$' | b'=' | b'!' => {
                if let Ok(length) = usize::try_from(length()) {
                    if input.len() < at + length + 2 {
                        return None;
                    }
                    reply.text = Some(input[at..at + length].to_vec());
                    at += length + 2;
                }
            }
            b'*' | b'~' | b'>' | b'%' | b'|' => {
                // Attributes stand before the reply that they are about; it becomes the last of their items.
                let count = match kind {
                    b'%' => length() * 2,
                    b'|' => length() * 2 + 1,
                    _ => length(),
                };
                for _ in 0..count {
                    let (item, used) = Reply::parse(&input[at..])?;
                    reply.items.push(item);
                    at += used;
                }
                if count < 0 {
                    reply.text = Some(b"null".to_vec());
                }
            }
            _ => reply.text = Some(line.to_vec()),
        }
        Some((reply, at))
    }

    /// Whether this is an error.
    pub fn is_error(&self) -> bool {
        matches!(self.kind, b'-' | b'!')
    }

    /// Whether the text is exactly `text`.
    pub fn is_text(&self, text: &[u8]) -> bool {
        self.text.as_deref() == Some(text)
    }

    /// The text, or nothing.
    pub fn string(&self) -> String {
        String::from_utf8_lossy(self.text.as_deref().unwrap_or_default()).into_owned()
    }

    /// The text as a number.
    pub fn number(&self) -> Option<i64> {
        std::str::from_utf8(self.text.as_deref()?).ok()?.parse().ok()
    }
}

impl Reply {
    /// A reply that no server gave: a fact that is compared like one.
    pub fn fact(text: impl fmt::Display) -> Reply {
        Reply { kind: b'+', text: Some(text.to_string().into_bytes()), items: Vec::new() }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => write!(out, "{}{}", self.kind as char, readable(text, SHOWN_MAX)),
            None if self.kind == b'$' => write!(out, "$null"),
            None => {
                write!(out, "{}[", self.kind as char)?;
                for (index, item) in self.items.iter().enumerate() {
                    write!(out, "{}{item}", if index == 0 { "" } else { ", " })?;
                }
                write!(out, "]")
            }
        }
    }
}

/// Bytes as redis-cli takes them between quotes, shortened when long.
pub fn readable(bytes: &[u8], shown_max: usize) -> String {
    let shown = bytes[..bytes.len().min(shown_max)].escape_ascii().to_string().replace("\\'", "'");
    match bytes.len() {
        length if length <= shown_max => format!("\"{shown}\""),
        length => format!("\"{shown}…\" ({length} bytes)"),
    }
}
