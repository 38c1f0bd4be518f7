//! Between replies and Lua values: what a command answered becomes a value, and what a script returns a reply.

use super::errors::error_table;
use crate::resp::{CommandResult, ErrorReply, Protocol, Reply};
use crate::value::double;
use mlua::{Lua, Table, Value};

/// Tables within tables that are taken apart. Redis' own limit is that of Lua's stack, some thousands.
const DEPTH_MAX: usize = 500;

/// The value of the reply at the begin of `bytes`, and what follows it.
pub(super) fn to_value<'a>(lua: &Lua, bytes: &'a [u8]) -> mlua::Result<(Value, &'a [u8])> {
    let end = memchr::memchr(b'\r', bytes).unwrap_or(bytes.len());
    let (line, rest) = (&bytes[..end], bytes.get(end + 2..).unwrap_or_default());
    let (kind, text) = line.split_first().map_or((0, line), |(kind, text)| (*kind, text));
    let count = || std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok()).unwrap_or(-1);
    let value = match kind {
        b':' => Value::Number(count() as f64),
        b'$' | b'=' => {
            let Ok(len) = usize::try_from(count()) else { return Ok((Value::Boolean(false), rest)) };
            let (content, rest) = (&rest[..len], &rest[len + 2..]);
            let value = if kind == b'$' { string(lua, content)? } else { verbatim(lua, content)? };
            return Ok((value, rest));
        }
        b'+' => single(lua, "ok", string(lua, text)?)?,
        b'-' => Value::Table(error_table(lua, text, false)?),
        b'*' | b'>' => {
            let Ok(len) = usize::try_from(count()) else { return Ok((Value::Boolean(false), rest)) };
            return sequence(lua, len, rest);
        }
        b'%' => return pairs(lua, count().max(0), rest),
        b'~' => return members(lua, count().max(0), rest),
        b'_' => Value::Nil,
        b'#' => Value::Boolean(text == b"t"),
        b',' => {
            let number = double::parse(text).unwrap_or(f64::NAN);
            single(lua, "double", Value::Number(number))?
        }
        b'(' => single(lua, "big_number", string(lua, text)?)?,
        _ => Value::Nil,
    };
    Ok((value, rest))
}

fn string(lua: &Lua, bytes: &[u8]) -> mlua::Result<Value> {
    lua.create_string(bytes).map(Value::String)
}

/// A table with one field.
fn single(lua: &Lua, name: &str, value: Value) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(name, value)?;
    Ok(Value::Table(table))
}

fn verbatim(lua: &Lua, content: &[u8]) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(0, 2)?;
    table.raw_set("string", string(lua, content.get(4..).unwrap_or_default())?)?;
    table.raw_set("format", string(lua, content.get(..3).unwrap_or_default())?)?;
    single(lua, "verbatim_string", Value::Table(table))
}

fn sequence<'a>(lua: &Lua, len: usize, mut rest: &'a [u8]) -> mlua::Result<(Value, &'a [u8])> {
    let table = lua.create_table_with_capacity(len, 0)?;
    for index in 1..=len {
        let (value, after) = to_value(lua, rest)?;
        // A missing value leaves its place empty.
        if !value.is_nil() {
            table.raw_set(index, value)?;
        }
        rest = after;
    }
    Ok((Value::Table(table), rest))
}

fn pairs<'a>(lua: &Lua, len: i64, mut rest: &'a [u8]) -> mlua::Result<(Value, &'a [u8])> {
    let table = lua.create_table_with_capacity(0, len as usize)?;
    for _ in 0..len {
        let (key, after) = to_value(lua, rest)?;
        let (value, after) = to_value(lua, after)?;
        if !key.is_nil() {
            table.raw_set(key, value)?;
        }
        rest = after;
    }
    Ok((single(lua, "map", Value::Table(table))?, rest))
}

fn members<'a>(lua: &Lua, len: i64, mut rest: &'a [u8]) -> mlua::Result<(Value, &'a [u8])> {
    let table = lua.create_table_with_capacity(0, len as usize)?;
    for _ in 0..len {
        let (member, after) = to_value(lua, rest)?;
        if !member.is_nil() {
            table.raw_set(member, true)?;
        }
        rest = after;
    }
    Ok((single(lua, "set", Value::Table(table))?, rest))
}

/// Writes the values that scripts return.
pub(super) struct Writer<'a> {
    /// The protocol that the script has chosen, which decides what becomes of its booleans.
    pub protocol: Protocol,
    pub reply: &'a mut Reply,
    /// Called with each error that is written, and whether it has been counted where it arose.
    pub on_error: &'a mut dyn FnMut(&ErrorReply, bool),
}

impl Writer<'_> {
    /// Writes a value that lies within `depth` others.
    pub fn write(&mut self, value: &Value, depth: usize) -> CommandResult {
        match value {
            _ if depth > DEPTH_MAX => self.error(b"ERR reached lua stack limit", false),
            Value::String(text) => self.reply.bulk(&text.as_bytes()),
            Value::Integer(number) => self.reply.integer(*number),
            Value::Number(number) => self.reply.integer(truncated(*number)),
            Value::Boolean(value) => match (self.protocol, value) {
                (Protocol::Resp3, value) => self.reply.boolean(*value),
                (Protocol::Resp2, true) => self.reply.integer(1),
                (Protocol::Resp2, false) => self.reply.null(),
            },
            Value::Table(table) => self.table(table, depth),
            _ => self.reply.null(),
        }
    }

    fn error(&mut self, text: &[u8], is_counted: bool) -> CommandResult {
        let error = ErrorReply::new(text);
        (self.on_error)(&error, is_counted);
        self.reply.error(&error)
    }

    fn table(&mut self, table: &Table, depth: usize) -> CommandResult {
        let field = |name: &str| table.raw_get::<Value>(name).unwrap_or(Value::Nil);
        if let Value::String(text) = field("err") {
            let is_counted = matches!(field("ignore_error_stats_update"), Value::Boolean(true));
            self.error(&text.as_bytes(), is_counted)
        } else if let Value::String(text) = field("ok") {
            self.reply.status(&in_one_line(&text.as_bytes()))
        } else if let Some(number) = field("double").as_number().or(field("double").as_integer().map(|n| n as f64)) {
            let mut text = Vec::new();
            double::append(number, &mut text);
            self.reply.double_text(&String::from_utf8_lossy(&text))
        } else if let Value::Table(map) = field("map") {
            let (at, mut len) = (self.reply.deferred_array(), 0);
            for (key, value) in map.pairs::<Value, Value>().map_while(Result::ok) {
                self.write(&key, depth + 1)?;
                self.write(&value, depth + 1)?;
                len += 1;
            }
            self.reply.finish_map(at, len)
        } else if let Value::Table(set) = field("set") {
            let (at, mut len) = (self.reply.deferred_array(), 0);
            for (member, _) in set.pairs::<Value, Value>().map_while(Result::ok) {
                self.write(&member, depth + 1)?;
                len += 1;
            }
            self.reply.finish_set(at, len)
        } else if let Value::String(digits) = field("big_number") {
            self.reply.big_number(&in_one_line(&digits.as_bytes()))
        } else if let Value::Table(verbatim) = field("verbatim_string")
            && let (Ok(Value::String(text)), Ok(Value::String(format))) =
                (verbatim.raw_get("string"), verbatim.raw_get("format"))
        {
            let mut letters = *b"   ";
            letters.iter_mut().zip(&*format.as_bytes()).for_each(|(letter, byte)| *letter = *byte);
            self.reply.verbatim(letters, &text.as_bytes())
        } else {
            let (at, mut len) = (self.reply.deferred_array(), 0);
            while let Some(value) = table.raw_get::<Value>(len + 1).ok().filter(|value| !value.is_nil()) {
                self.write(&value, depth + 1)?;
                len += 1;
            }
            self.reply.finish_array(at, len)
        }
    }
}

/// A text that cannot end its line.
fn in_one_line(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}

/// A number without its fraction. What is no 64-bit integer is the least one, as processors have it.
fn truncated(number: f64) -> i64 {
    let bound = -(i64::MIN as f64);
    if number >= -bound && number < bound { number as i64 } else { i64::MIN }
}
