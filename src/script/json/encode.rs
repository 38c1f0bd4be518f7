//! Lua values as JSON.

use super::super::arguments::{Argument, Arguments};
use super::super::errors::Thrown;
use super::super::pace::Pace;
use super::{DEPTH_MAX, InvalidNumbers, Settings};
use crate::value::general;
use mlua::{Lua, Table, Value};

/// Bytes of a value that is neither text nor table, with what stands around it.
const SHORT_BYTES_MAX: usize = 64;
/// Bytes of a text that are written at a time, and what each becomes at most.
const TEXT_PART: usize = 1 << 14;
const ESCAPED_BYTES_MAX: usize = 6;

/// `cjson.encode`
pub(super) fn encode(lua: &Lua, settings: &Settings, args: Arguments) -> mlua::Result<Value> {
    if args.len() != 1 {
        return Err(Thrown::argument(lua, 1, "expected 1 argument"));
    }
    let mut encoder = Encoder { lua, settings, pace: Pace::new(lua)?, out: Vec::new() };
    encoder.make_room()?;
    match &args[0] {
        Argument::Nil | Argument::Null => encoder.out.extend_from_slice(b"null"),
        Argument::Boolean(value) => encoder.boolean(*value),
        Argument::Number(number) => encoder.number(*number)?,
        Argument::Text(text) => encoder.text(text)?,
        Argument::Table(table) => encoder.table(table, 1)?,
        Argument::Other(name) => return Err(encoder.refusal(name, "type not supported")),
    }
    lua.create_string(&encoder.out).map(Value::String)
}

struct Encoder<'a> {
    lua: &'a Lua,
    settings: &'a Settings,
    pace: Pace<'a>,
    out: Vec<u8>,
}

impl Encoder<'_> {
    fn refusal(&self, kind: &str, reason: &str) -> mlua::Error {
        Thrown::text(self.lua, format!("Cannot serialise {kind}: {reason}"))
    }

    /// Makes room for any value that is neither text nor table, and what stands around it.
    fn make_room(&mut self) -> mlua::Result<()> {
        self.pace.make_room(&mut self.out, SHORT_BYTES_MAX)
    }

    /// Writes a value that lies within `depth` tables.
    fn value(&mut self, value: &Value, depth: i64) -> mlua::Result<()> {
        self.make_room()?;
        match value {
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => self.out.extend_from_slice(b"null"),
            Value::Boolean(value) => self.boolean(*value),
            Value::Integer(number) => self.number(*number as f64)?,
            Value::Number(number) => self.number(*number)?,
            Value::String(text) => self.text(&text.as_bytes())?,
            Value::Table(table) => self.table(table, depth + 1)?,
            Value::LightUserData(_) | Value::Error(_) => return Err(self.refusal("userdata", "type not supported")),
            other => return Err(self.refusal(other.type_name(), "type not supported")),
        }
        Ok(())
    }

    fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn number(&mut self, number: f64) -> mlua::Result<()> {
        if !number.is_finite() {
            match self.settings.encodes_invalid.get() {
                InvalidNumbers::Refused => return Err(self.refusal("number", "must not be NaN or Inf")),
                InvalidNumbers::Null => {
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
                InvalidNumbers::Written if number.is_nan() => {
                    self.out.extend_from_slice(b"nan");
                    return Ok(());
                }
                InvalidNumbers::Written => {}
            }
        }
        general::append(number, self.settings.precision.get() as usize, &mut self.out);
        Ok(())
    }

    fn text(&mut self, text: &[u8]) -> mlua::Result<()> {
        self.make_room()?;
        self.out.push(b'"');
        for part in text.chunks(TEXT_PART) {
            self.pace.make_room(&mut self.out, part.len() * ESCAPED_BYTES_MAX)?;
            self.text_part(part);
        }
        self.make_room()?;
        self.out.push(b'"');
        Ok(())
    }

    fn text_part(&mut self, part: &[u8]) {
        for &byte in part {
            let escaped: &[u8] = match byte {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'/' => b"\\/",
                8 => b"\\b",
                b'\t' => b"\\t",
                b'\n' => b"\\n",
                12 => b"\\f",
                b'\r' => b"\\r",
                0..32 | 127 => {
                    self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                    continue;
                }
                _ => {
                    self.out.push(byte);
                    continue;
                }
            };
            self.out.extend_from_slice(escaped);
        }
    }

    /// Writes a table, which is the `depth`th of those that it lies within.
    fn table(&mut self, table: &Table, depth: i64) -> mlua::Result<()> {
        if depth > self.settings.encode_depth.get().min(DEPTH_MAX) {
            return Err(Thrown::text(self.lua, format!("Cannot serialise, excessive nesting ({depth})")));
        }
        match self.array_len(table)? {
            0 => self.object(table, depth),
            len => self.array(table, len, depth),
        }
    }

    /// The number of elements, if the table is an array; 0 if it is not, or empty.
    fn array_len(&self, table: &Table) -> mlua::Result<i64> {
        let (mut max, mut count) = (0, 0);
        for pair in table.pairs::<Value, Value>() {
            let key = match pair?.0 {
                // Of a large key, as in the original, only 32 bits are looked at.
                Value::Integer(key) if key as i32 >= 1 => i64::from(key as i32),
                _ => return Ok(0),
            };
            max = max.max(key);
            count += 1;
        }
        let Settings { sparse_ratio, sparse_safe, converts_sparse, .. } = self.settings;
        let is_sparse =
            sparse_ratio.get() > 0 && max > i64::saturating_mul(count, sparse_ratio.get()) && max > sparse_safe.get();
        match (is_sparse, converts_sparse.get()) {
            (false, _) => Ok(max),
            (true, true) => Ok(0),
            (true, false) => Err(self.refusal("table", "excessively sparse array")),
        }
    }

    fn array(&mut self, table: &Table, len: i64, depth: i64) -> mlua::Result<()> {
        self.out.push(b'[');
        for index in 1..=len {
            if index > 1 {
                self.out.push(b',');
            }
            self.value(&table.raw_get(index)?, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: i64) -> mlua::Result<()> {
        self.out.push(b'{');
        let mut is_first = true;
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            if !std::mem::take(&mut is_first) {
                self.out.push(b',');
            }
            match &key {
                Value::String(key) => self.text(&key.as_bytes())?,
                Value::Integer(_) | Value::Number(_) => {
                    self.out.push(b'"');
                    self.value(&key, depth)?;
                    self.out.push(b'"');
                }
                Value::LightUserData(_) | Value::Error(_) => {
                    return Err(self.refusal("userdata", "table key must be a number or string"));
                }
                other => return Err(self.refusal(other.type_name(), "table key must be a number or string")),
            }
            self.out.push(b':');
            self.value(&value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }
}
