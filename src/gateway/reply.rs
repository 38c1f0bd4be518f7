//! Replies of the server, as bytes of its protocol: where each of them ends, and how it reads as JSON or MessagePack.

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Error, SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use std::cell::Cell;
use std::fmt;

/// Values within each other at most; no reply of the server has nearly as many.
const DEPTH_MAX: usize = 512;

/// Finds the ends of replies in bytes that arrive piece by piece.
#[derive(Debug, Default)]
pub struct Scanner {
    /// Bytes of the present reply that have been looked at.
    at: usize,
    /// Of the aggregates that are open, how many values are to come.
    open: Vec<usize>,
}

impl Scanner {
    /// The length of the reply that `bytes` begin with, once all of it is there. Each call must have what the one before had, and
    /// what came since.
    pub fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            let (head, behind) = line(bytes, self.at)?;
            let body = match head {
                Head::Bulk(_, len) => len + 2,
                _ => 0,
            };
            if bytes.len() - behind < body {
                return None;
            }
            self.at = behind + body;
            match head {
                Head::Aggregate(_, count @ 1..) => self.open.push(count),
                // What it is about follows.
                Head::Attribute(pairs) => self.open.push(2 * pairs + 1),
                _ => {
                    while let Some(missing) = self.open.last_mut() {
                        *missing -= 1;
                        if *missing > 0 {
                            break;
                        }
                        self.open.pop();
                    }
                }
            }
            if self.open.is_empty() {
                return Some(std::mem::take(&mut self.at));
            }
        }
    }
}

/// What the first line of a value says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head<'a> {
    Simple(&'a [u8]),
    Error(&'a [u8]),
    Integer(&'a [u8]),
    Double(&'a [u8]),
    Boolean(bool),
    BigNumber(&'a [u8]),
    Null,
    /// A string of this kind and of so many bytes follows.
    Bulk(u8, usize),
    Aggregate(Kind, usize),
    Attribute(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    List,
    Map,
    Push,
}

/// The line that begins at `at`, and where the next one does; nothing if it is not whole.
fn line(bytes: &[u8], at: usize) -> Option<(Head<'_>, usize)> {
    let rest = &bytes[at..];
    let end = memchr::memchr(b'\n', rest)?;
    let text = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
    let (kind, text) = text.split_first()?;
    let count = || std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    let head = match kind {
        b'+' => Head::Simple(text),
        b'-' => Head::Error(text),
        b':' => Head::Integer(text),
        b',' => Head::Double(text),
        b'#' => Head::Boolean(text == b"t"),
        b'(' => Head::BigNumber(text),
        b'$' | b'=' | b'!' => count().map_or(Head::Null, |len| Head::Bulk(*kind, len)),
        b'*' | b'~' => count().map_or(Head::Null, |count| Head::Aggregate(Kind::List, count)),
        b'%' => count().map_or(Head::Null, |count: usize| Head::Aggregate(Kind::Map, 2 * count)),
        b'>' => Head::Aggregate(Kind::Push, count()?),
        b'|' => Head::Attribute(count()?),
        _ => Head::Null,
    };
    Some((head, at + end + 1))
}

/// How strings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strings {
    /// As text where they are text.
    Plain,
    /// In base64, but for the status `OK`, as `@upstash/redis` wants it.
    Base64,
}

/// Whether a reply is something that a client has subscribed to.
pub fn is_push(reply: &[u8]) -> bool {
    reply.first() == Some(&b'>')
}

/// The text of a reply that is an error.
pub fn error(reply: &[u8]) -> Option<String> {
    match line(reply, 0)? {
        (Head::Error(text), _) => Some(String::from_utf8_lossy(text).into_owned()),
        (Head::Bulk(b'!', len), at) => Some(String::from_utf8_lossy(&reply[at..at + len]).into_owned()),
        _ => None,
    }
}

/// Splits an array into the replies that it holds; nothing if it is none.
pub fn elements(reply: &[u8]) -> Option<Vec<&[u8]>> {
    let (Head::Aggregate(Kind::List, count), mut at) = line(reply, 0)? else { return None };
    let mut elements = Vec::new();
    for _ in 0..count {
        let end = at + Scanner::default().end(&reply[at..])?;
        elements.push(&reply[at..end]);
        at = end;
    }
    Some(elements)
}

/// The strings, statuses and numbers of a flat reply, as they were sent.
pub fn words(reply: &[u8]) -> Vec<&[u8]> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some((head, behind)) = line(reply, at) {
        at = behind;
        match head {
            Head::Simple(text) | Head::Error(text) | Head::Integer(text) | Head::Double(text) => words.push(text),
            Head::BigNumber(text) => words.push(text),
            Head::Bulk(_, len) => {
                words.push(&reply[at..at + len]);
                at += len + 2;
            }
            Head::Null | Head::Boolean(_) => words.push(b""),
            Head::Aggregate(..) | Head::Attribute(_) => {}
        }
    }
    words
}

/// A reply as `{"result": …}` or `{"error": …}`.
pub struct Answer<'a> {
    pub reply: &'a [u8],
    pub strings: Strings,
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match error(self.reply) {
            Some(text) => map.serialize_entry("error", &text)?,
            None if self.reply == b"+OK\r\n" => map.serialize_entry("result", "OK")?,
            None => map.serialize_entry("result", &Value::new(self.reply, self.strings))?,
        }
        map.end()
    }
}

/// What subscribers get, as `{"push": […]}`.
pub struct Pushed<'a>(pub &'a [u8]);

impl Serialize for Pushed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("push", &Value::new(self.0, Strings::Plain))?;
        map.end()
    }
}

/// A whole reply. It is read while it is written, once.
pub struct Value<'a> {
    bytes: &'a [u8],
    at: Cell<usize>,
    strings: Strings,
}

impl<'a> Value<'a> {
    pub fn new(bytes: &'a [u8], strings: Strings) -> Self {
        Value { bytes, at: Cell::new(0), strings }
    }

    /// The first line of the value that comes next, attributes left out.
    fn head(&self) -> Option<Head<'a>> {
        let (head, behind) = line(self.bytes, self.at.get())?;
        self.at.set(behind);
        if let Head::Attribute(pairs) = head {
            for _ in 0..2 * pairs {
                self.at.update(|at| at + Scanner::default().end(&self.bytes[at..]).unwrap_or(0));
            }
            return line(self.bytes, self.at.get()).inspect(|(_, behind)| self.at.set(*behind)).map(|(head, _)| head);
        }
        Some(head)
    }

    /// The string of `len` bytes that comes next.
    fn bulk(&self, len: usize) -> &'a [u8] {
        let at = self.at.get();
        self.at.set(at + len + 2);
        &self.bytes[at..at + len]
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Next(self, 0).serialize(serializer)
    }
}

/// The next value of a reply, and how many it lies within.
struct Next<'v, 'a>(&'v Value<'a>, usize);

impl Serialize for Next<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Next(value, depth) = *self;
        if depth > DEPTH_MAX {
            return Err(S::Error::custom("a reply is nested too deeply"));
        }
        match value.head().ok_or_else(|| S::Error::custom("a reply ends early"))? {
            Head::Simple(text) | Head::BigNumber(text) => string(text, value.strings, serializer),
            Head::Error(text) => nested_error(text, serializer),
            Head::Integer(text) => match std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok()) {
                Some(number) => serializer.serialize_i64(number),
                None => string(text, Strings::Plain, serializer),
            },
            Head::Double(text) => match std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok()) {
                Some(number) if number.is_finite() => serializer.serialize_f64(number),
                _ => string(text, Strings::Plain, serializer),
            },
            Head::Boolean(is_true) => serializer.serialize_bool(is_true),
            Head::Null => serializer.serialize_none(),
            Head::Bulk(b'!', len) => nested_error(value.bulk(len), serializer),
            // What it is written in comes first.
            Head::Bulk(b'=', len) => string(value.bulk(len).get(4..).unwrap_or_default(), value.strings, serializer),
            Head::Bulk(_, len) => string(value.bulk(len), value.strings, serializer),
            Head::Aggregate(Kind::Map, count) => {
                let mut map = serializer.serialize_map(Some(count / 2))?;
                for _ in 0..count / 2 {
                    map.serialize_entry(&Name(value), &Next(value, depth + 1))?;
                }
                map.end()
            }
            Head::Aggregate(_, count) => {
                let mut list = serializer.serialize_seq(Some(count))?;
                for _ in 0..count {
                    list.serialize_element(&Next(value, depth + 1))?;
                }
                list.end()
            }
            Head::Attribute(_) => Err(S::Error::custom("attributes have attributes")),
        }
    }
}

/// The next value of a reply, as the name of a field: always text.
struct Name<'v, 'a>(&'v Value<'a>);

impl Serialize for Name<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let begin = self.0.at.get();
        let len =
            Scanner::default().end(&self.0.bytes[begin..]).ok_or_else(|| S::Error::custom("a reply ends early"))?;
        self.0.at.set(begin + len);
        let name: Vec<_> = words(&self.0.bytes[begin..begin + len]).into_iter().map(String::from_utf8_lossy).collect();
        serializer.collect_str(&name.join(","))
    }
}

fn nested_error<S: Serializer>(text: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry("error", &String::from_utf8_lossy(text))?;
    map.end()
}

fn string<S: Serializer>(bytes: &[u8], strings: Strings, serializer: S) -> Result<S::Ok, S::Error> {
    if strings == Strings::Base64 {
        return serializer.collect_str(&Base64Display::new(bytes, &STANDARD));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => serializer.serialize_str(text),
        // JSON has text only.
        Err(_) if serializer.is_human_readable() => serializer.serialize_str(&String::from_utf8_lossy(bytes)),
        Err(_) => serializer.serialize_bytes(bytes),
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bytes.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(reply: &str, strings: Strings) -> String {
        serde_json::to_string(&Answer { reply: reply.as_bytes(), strings }).expect("it can be written")
    }

    #[test]
    fn replies_as_json() {
        let cases = [
            ("+OK\r\n", r#"{"result":"OK"}"#),
            ("-ERR no \"such\" key\r\n", r#"{"error":"ERR no \"such\" key"}"#),
            (":-7\r\n", r#"{"result":-7}"#),
            ("$-1\r\n", r#"{"result":null}"#),
            ("*-1\r\n", r#"{"result":null}"#),
            ("_\r\n", r#"{"result":null}"#),
            ("$5\r\na\r\nb\n\r\n", r#"{"result":"a\r\nb\n"}"#),
            ("*3\r\n:1\r\n*0\r\n*1\r\n$1\r\nx\r\n", r#"{"result":[1,[],["x"]]}"#),
            ("%2\r\n+a\r\n,1.5\r\n:3\r\n#t\r\n", r#"{"result":{"a":1.5,"3":true}}"#),
            (
                "~2\r\n,inf\r\n(123456789012345678901234567890\r\n",
                r#"{"result":["inf","123456789012345678901234567890"]}"#,
            ),
            ("=7\r\ntxt:abc\r\n", r#"{"result":"abc"}"#),
            ("!8\r\nERR a\r\nb\r\n", "{\"error\":\"ERR a\\r\\nb\"}"),
            ("*2\r\n-ERR x\r\n$0\r\n\r\n", r#"{"result":[{"error":"ERR x"},""]}"#),
            ("|1\r\n+ttl\r\n*1\r\n:5\r\n*1\r\n:2\r\n", r#"{"result":[2]}"#),
        ];
        for (reply, expected) in cases {
            assert_eq!(json(reply, Strings::Plain), expected, "{reply:?}");
        }
    }

    #[test]
    fn strings_in_base64() {
        assert_eq!(json("+OK\r\n", Strings::Base64), r#"{"result":"OK"}"#);
        assert_eq!(json("+PONG\r\n", Strings::Base64), r#"{"result":"UE9ORw=="}"#);
        assert_eq!(json("$2\r\nOK\r\n", Strings::Base64), r#"{"result":"T0s="}"#);
        assert_eq!(json("*2\r\n+OK\r\n$-1\r\n", Strings::Base64), r#"{"result":["T0s=",null]}"#);
        assert_eq!(json("-ERR x\r\n", Strings::Base64), r#"{"error":"ERR x"}"#);
    }

    #[test]
    fn bytes_that_are_no_text() {
        let answer = Answer { reply: b"$2\r\n\xff\x00\r\n", strings: Strings::Plain };
        assert_eq!(serde_json::to_string(&answer).expect("it can be written"), "{\"result\":\"\u{fffd}\\u0000\"}");
        assert_eq!(rmp_serde::to_vec(&answer).expect("it can be written"), b"\x81\xa6result\xc4\x02\xff\x00");
    }

    #[test]
    fn ends_are_found_wherever_the_bytes_are_cut() {
        let replies: [&[u8]; 7] = [
            b"+OK\r\n",
            b"$12\r\nhello\r\nworld\r\n",
            b"*2\r\n*2\r\n:1\r\n$1\r\n\n\r\n%1\r\n+k\r\n*0\r\n",
            b"$-1\r\n",
            b"*0\r\n",
            b">3\r\n+message\r\n$1\r\nc\r\n$0\r\n\r\n",
            b"|1\r\n+a\r\n:1\r\n:2\r\n",
        ];
        let all = replies.concat();
        for step in 1..all.len() {
            let (mut scanner, mut begin, mut found) = (Scanner::default(), 0, Vec::new());
            for end in (step..all.len()).step_by(step).chain([all.len()]) {
                while let Some(len) = scanner.end(&all[begin..end]) {
                    found.push(&all[begin..begin + len]);
                    begin += len;
                }
            }
            assert_eq!(found, replies, "in steps of {step}");
        }
    }

    #[test]
    fn parts_of_replies() {
        assert_eq!(elements(b"*2\r\n:1\r\n*1\r\n:2\r\n"), Some(vec![&b":1\r\n"[..], b"*1\r\n:2\r\n"]));
        assert_eq!(elements(b"*-1\r\n"), None);
        assert_eq!(elements(b"-ERR x\r\n"), None);
        let push = b">4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$2\r\nhi\r\n";
        assert_eq!(words(push), [&b"pmessage"[..], b"*", b"c", b"hi"]);
        assert!(is_push(push) && !is_push(b"*0\r\n"));
        assert_eq!(
            serde_json::to_string(&Pushed(push)).expect("it can be written"),
            r#"{"push":["pmessage","*","c","hi"]}"#
        );
    }
}
