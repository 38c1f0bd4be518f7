//! JSON as Lua values.

use super::super::arguments::{Arguments, text};
use super::super::errors::Thrown;
use super::{DEPTH_MAX, Settings};
use mlua::{Lua, Value};

/// `cjson.decode`
pub(super) fn decode(lua: &Lua, settings: &Settings, args: Arguments) -> mlua::Result<Value> {
    if args.len() != 1 {
        return Err(Thrown::argument(lua, 1, "expected 1 argument"));
    }
    let json = text(lua, &args, 0)?;
    if let [0, _, ..] | [_, 0, ..] = *json {
        return Err(Thrown::text(lua, "JSON parser does not support UTF-16 or UTF-32"));
    }
    // A zero byte ends the text.
    let end = memchr::memchr(0, &json).unwrap_or(json.len());
    let mut decoder = Decoder { lua, settings, json: &json[..end], position: 0, depth: 0, text: Vec::new() };
    let token = decoder.next();
    let value = decoder.value(token)?;
    match decoder.next() {
        (_, Token::End) => Ok(value),
        token => Err(decoder.unexpected("the end", token)),
    }
}

/// A part of the text; that of a string is in the decoder.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String,
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

impl Token {
    /// What error messages call it.
    fn name(self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::String => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Error(text) => text,
        }
    }
}

/// A token and where it begins, or where the error is.
type Placed = (usize, Token);

struct Decoder<'a> {
    lua: &'a Lua,
    settings: &'a Settings,
    json: &'a [u8],
    position: usize,
    depth: i64,
    /// The string that was read last.
    text: Vec<u8>,
}

impl Decoder<'_> {
    fn unexpected(&self, wanted: &str, (position, token): Placed) -> mlua::Error {
        let (found, character) = (token.name(), position + 1);
        Thrown::text(self.lua, format!("Expected {wanted} but found {found} at character {character}"))
    }

    fn value(&mut self, token: Placed) -> mlua::Result<Value> {
        match token.1 {
            Token::String => self.lua.create_string(&self.text).map(Value::String),
            Token::Number(number) => Ok(Value::Number(number)),
            Token::Boolean(value) => Ok(Value::Boolean(value)),
            Token::Null => Ok(Value::NULL),
            Token::ObjectBegin => self.object(),
            Token::ArrayBegin => self.array(),
            _ => Err(self.unexpected("value", token)),
        }
    }

    fn descend(&mut self) -> mlua::Result<()> {
        self.depth += 1;
        if self.depth > self.settings.decode_depth.get().min(DEPTH_MAX) {
            let error =
                format!("Found too many nested data structures ({}) at character {}", self.depth, self.position);
            return Err(Thrown::text(self.lua, error));
        }
        Ok(())
    }

    fn object(&mut self) -> mlua::Result<Value> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut token = self.next();
        while token.1 != Token::ObjectEnd {
            if token.1 != Token::String {
                return Err(self.unexpected("object key string", token));
            }
            let key = self.lua.create_string(&self.text)?;
            token = self.next();
            if token.1 != Token::Colon {
                return Err(self.unexpected("colon", token));
            }
            token = self.next();
            let value = self.value(token)?;
            table.raw_set(key, value)?;
            token = self.next();
            match token.1 {
                Token::ObjectEnd => break,
                Token::Comma => token = self.next(),
                _ => return Err(self.unexpected("comma or object end", token)),
            }
            // Behind a comma another key must follow.
            if token.1 == Token::ObjectEnd {
                return Err(self.unexpected("object key string", token));
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }

    fn array(&mut self) -> mlua::Result<Value> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut token = self.next();
        let mut index = 0;
        while index > 0 || token.1 != Token::ArrayEnd {
            let value = self.value(token)?;
            index += 1;
            table.raw_set(index, value)?;
            token = self.next();
            match token.1 {
                Token::ArrayEnd => break,
                Token::Comma => token = self.next(),
                _ => return Err(self.unexpected("comma or array end", token)),
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }

    fn rest(&self) -> &[u8] {
        &self.json[self.position..]
    }

    /// The next token.
    fn next(&mut self) -> Placed {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.json.get(self.position) {
            self.position += 1;
        }
        let begin = self.position;
        let Some(&byte) = self.json.get(begin) else { return (begin, Token::End) };
        let single = match byte {
            b'{' => Some(Token::ObjectBegin),
            b'}' => Some(Token::ObjectEnd),
            b'[' => Some(Token::ArrayBegin),
            b']' => Some(Token::ArrayEnd),
            b':' => Some(Token::Colon),
            b',' => Some(Token::Comma),
            _ => None,
        };
        if let Some(token) = single {
            self.position += 1;
            return (begin, token);
        }
        let takes_invalid = self.settings.decodes_invalid.get();
        let token = match byte {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' if !takes_invalid && is_invalid_number(self.rest()) => Token::Error("invalid number"),
            b'-' | b'0'..=b'9' => self.number(),
            _ => {
                let words: [(&[u8], Token); 3] =
                    [(b"true", Token::Boolean(true)), (b"false", Token::Boolean(false)), (b"null", Token::Null)];
                if let Some((word, token)) = words.into_iter().find(|(word, _)| self.rest().starts_with(word)) {
                    self.position += word.len();
                    token
                } else if matches!(byte, b'+' | b'i' | b'I' | b'n' | b'N')
                    && takes_invalid
                    && is_invalid_number(self.rest())
                {
                    self.number()
                } else {
                    Token::Error("invalid token")
                }
            }
        };
        // An error is where it was found.
        (if matches!(token, Token::Error(_)) { self.position } else { begin }, token)
    }

    fn number(&mut self) -> Token {
        match prefix_number(self.rest()) {
            Some((number, len)) => {
                self.position += len;
                Token::Number(number)
            }
            None => Token::Error("invalid number"),
        }
    }

    fn string(&mut self) -> Token {
        self.text.clear();
        self.position += 1;
        loop {
            let plain = memchr::memchr2(b'"', b'\\', self.rest()).unwrap_or(self.rest().len());
            let end = self.position + plain;
            self.text.extend_from_slice(&self.json[self.position..end]);
            self.position = end;
            match self.json[end..] {
                [] => return Token::Error("unexpected end of string"),
                [b'"', ..] => {
                    self.position += 1;
                    return Token::String;
                }
                [_, b'u', ..] => {
                    let Some((character, len)) = unicode(self.rest()) else {
                        return Token::Error("invalid unicode escape code");
                    };
                    let mut bytes = [0; 4];
                    self.text.extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
                    self.position += len;
                }
                [_, escaped, ..] => {
                    let meant = match escaped {
                        b'"' | b'\\' | b'/' => escaped,
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        _ => return Token::Error("invalid escape code"),
                    };
                    self.text.push(meant);
                    self.position += 2;
                }
                [_] => return Token::Error("invalid escape code"),
            }
        }
    }
}

/// The four hexadecimal digits behind `\u`.
fn hex4(escape: &[u8]) -> Option<u32> {
    let digits: &[u8; 4] = escape.get(2..)?.first_chunk()?;
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

/// The character at `\uXXXX`, or at two of them that belong together, and how many bytes that is.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let first = hex4(text)?;
    if first & 0xf800 != 0xd800 {
        return Some((char::from_u32(first)?, 6));
    }
    let rest = text.get(6..)?;
    let second = if rest.starts_with(b"\\u") { hex4(rest)? } else { return None };
    if first & 0x400 != 0 || second & 0xfc00 != 0xdc00 {
        return None;
    }
    Some((char::from_u32(((first & 0x3ff) << 10 | second & 0x3ff) + 0x1_0000)?, 12))
}

/// Whether a text begins like a number that JSON does not have: with a plus, leading zeros, hexadecimal, `inf`, `nan`.
fn is_invalid_number(text: &[u8]) -> bool {
    if text.starts_with(b"+") {
        return true;
    }
    match text.strip_prefix(b"-").unwrap_or(text) {
        [b'0', next, ..] => matches!(next, b'x' | b'X' | b'0'..=b'9'),
        [b'0'] => false,
        rest => {
            let begins = |word: &[u8]| rest.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
            begins(b"inf") || begins(b"nan")
        }
    }
}

/// The number at the begin of a text and its length, as C's `strtod` reads it.
fn prefix_number(text: &[u8]) -> Option<(f64, usize)> {
    let sign_len = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let is_negative = text.first() == Some(&b'-');
    let signed = |number: f64| if is_negative { -number } else { number };
    let rest = &text[sign_len..];
    let begins = |word: &[u8]| rest.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
    if begins(b"infinity") || begins(b"inf") {
        return Some((signed(f64::INFINITY), sign_len + if begins(b"infinity") { 8 } else { 3 }));
    }
    if begins(b"nan") {
        let note = rest[3..].strip_prefix(b"(").and_then(|note| {
            let len = note.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
            (note.get(len) == Some(&b')')).then_some(len + 2)
        });
        return Some((signed(f64::NAN), sign_len + 3 + note.unwrap_or(0)));
    }
    if begins(b"0x")
        && let Some((number, len)) = prefix_hex(&rest[2..])
    {
        return Some((signed(number), sign_len + 2 + len));
    }
    let digits = |from: usize| rest[from.min(rest.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(0);
    let mut len = whole;
    if rest.get(len) == Some(&b'.') {
        let fraction = digits(len + 1);
        if whole + fraction > 0 {
            len += 1 + fraction;
        }
    }
    if len == 0 {
        return None;
    }
    if let Some(b'e' | b'E') = rest.get(len) {
        let sign = usize::from(matches!(rest.get(len + 1), Some(b'+' | b'-')));
        let exponent = digits(len + 1 + sign);
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    let number: f64 = std::str::from_utf8(&rest[..len]).ok()?.parse().ok()?;
    Some((signed(number), sign_len + len))
}

/// The hexadecimal number behind `0x` and its length.
fn prefix_hex(text: &[u8]) -> Option<(f64, usize)> {
    let (mut number, mut len, mut digits, mut scale) = (0.0, 0, 0, 0i32);
    let mut is_fraction = false;
    while let Some(&byte) = text.get(len) {
        match char::from(byte).to_digit(16) {
            Some(digit) => {
                number = number * 16.0 + f64::from(digit);
                digits += 1;
                scale -= if is_fraction { 4 } else { 0 };
            }
            None if byte == b'.' && !is_fraction => is_fraction = true,
            None => break,
        }
        len += 1;
    }
    if digits == 0 {
        return None;
    }
    if let Some(b'p' | b'P') = text.get(len) {
        let sign = usize::from(matches!(text.get(len + 1), Some(b'+' | b'-')));
        let begin = len + 1 + sign;
        let count = text[begin.min(text.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count > 0 {
            let exponent = text[begin..begin + count]
                .iter()
                .fold(0i32, |sum, digit| sum.saturating_mul(10).saturating_add(i32::from(digit - b'0')));
            scale = scale.saturating_add(if text[len + 1] == b'-' { -exponent } else { exponent });
            len = begin + count;
        }
    }
    Some((number * f64::from(scale).exp2(), len))
}
