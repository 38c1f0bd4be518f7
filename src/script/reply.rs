//! Between replies and Lua values: what a command answered becomes a value, and what a script returns a reply.

use super::arguments::truncated;
use super::errors::error_table;
use super::interpreter::MEMORY_MAX;
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
        // Scripts are not told of attributes, but of what follows them.
        b'|' => {
            let mut rest = rest;
            for _ in 0..2 * count().max(0) {
                rest = to_value(lua, rest)?.1;
            }
            return to_value(lua, rest);
        }
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

/// Bytes of a reply: one value can be many of its elements.
const BYTES_MAX: usize = MEMORY_MAX;
/// Values between two looks whether the script is to end.
const VALUES_PER_LOOK: usize = 10_000;
/// Tables within tables whose heads are written when their elements have been, and moved before them.
const COUNTED_LATER_DEPTH_MAX: usize = 8;

/// Writes the values that scripts return.
pub(super) struct Writer<'a> {
    /// The protocol that the script has chosen, which decides what becomes of its booleans.
    protocol: Protocol,
    reply: &'a mut Reply,
    /// Called with each error that is written, and whether it has been counted where it arose.
    on_error: &'a mut dyn FnMut(&ErrorReply, bool),
    /// Returns why the script is to end, if it is.
    look: &'a mut dyn FnMut() -> Option<&'static str>,
    /// Values that were written.
    values: usize,
    /// Bytes that there may be with those that were there before.
    bytes_max: usize,
}

/// How a table is written.
#[derive(Clone, Copy)]
enum Form {
    Array,
    Map,
    Set,
}

impl Writer<'_> {
    /// A writer of one reply: `on_error` is called with each error that is written, and whether it has been counted where it
    /// arose, and `look` returns why the script is to end, if it is.
    pub fn new<'a>(
        protocol: Protocol,
        reply: &'a mut Reply,
        on_error: &'a mut dyn FnMut(&ErrorReply, bool),
        look: &'a mut dyn FnMut() -> Option<&'static str>,
    ) -> Writer<'a> {
        let bytes_max = reply.len().saturating_add(BYTES_MAX);
        Writer { protocol, reply, on_error, look, values: 0, bytes_max }
    }

    /// Goes on to the next value, which is that long.
    fn proceed(&mut self, value: &Value) -> CommandResult {
        let len = value.as_string().map_or(0, |text| text.as_bytes().len());
        if self.reply.len().saturating_add(len) > self.bytes_max {
            return Err(ErrorReply::fixed("ERR the reply of the script is too long"));
        }
        self.values += 1;
        if self.values.is_multiple_of(VALUES_PER_LOOK)
            && let Some(reason) = (self.look)()
        {
            return Err(ErrorReply::new([b"ERR ", reason.as_bytes()].concat()));
        }
        Ok(())
    }

    /// Writes a table in some form, of which `write` writes the elements and returns how many they are. Where `count` is asked
    /// first, what lies deep is not moved once for each table that it is in.
    fn collection(
        &mut self,
        form: Form,
        depth: usize,
        count: impl FnOnce() -> usize,
        write: impl FnOnce(&mut Self) -> Result<usize, ErrorReply>,
    ) -> CommandResult {
        if depth > COUNTED_LATER_DEPTH_MAX {
            let len = count();
            match form {
                Form::Array => self.reply.array(len)?,
                Form::Map => self.reply.map(len)?,
                Form::Set => self.reply.set(len)?,
            }
            return write(self).map(|written| debug_assert_eq!(written, len));
        }
        let at = self.reply.deferred_array();
        let len = write(self)?;
        match form {
            Form::Array => self.reply.finish_array(at, len),
            Form::Map => self.reply.finish_map(at, len),
            Form::Set => self.reply.finish_set(at, len),
        }
    }

    /// Writes a value that lies within `depth` others.
    pub fn write(&mut self, value: &Value, depth: usize) -> CommandResult {
        self.proceed(value)?;
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
            let pairs = || map.pairs::<Value, Value>().map_while(Result::ok);
            self.collection(
                Form::Map,
                depth,
                || pairs().count(),
                |writer| {
                    let mut len = 0;
                    for (key, value) in pairs() {
                        writer.write(&key, depth + 1)?;
                        writer.write(&value, depth + 1)?;
                        len += 1;
                    }
                    Ok(len)
                },
            )
        } else if let Value::Table(set) = field("set") {
            let members = || set.pairs::<Value, Value>().map_while(Result::ok).map(|(member, _)| member);
            self.collection(
                Form::Set,
                depth,
                || members().count(),
                |writer| {
                    let mut len = 0;
                    for member in members() {
                        writer.write(&member, depth + 1)?;
                        len += 1;
                    }
                    Ok(len)
                },
            )
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
            let element = |len: usize| table.raw_get::<Value>(len + 1).ok().filter(|value| !value.is_nil());
            let count = || (0..).find(|len| element(*len).is_none()).unwrap_or(0);
            self.collection(Form::Array, depth, count, |writer| {
                let mut len = 0;
                while let Some(value) = element(len) {
                    writer.write(&value, depth + 1)?;
                    len += 1;
                }
                Ok(len)
            })
        }
    }
}

/// A text that cannot end its line.
fn in_one_line(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}
