//! The library `cmsgpack`: Lua values as MessagePack and back
//! (<https://github.com/msgpack/msgpack/blob/master/spec.md>; which form a value takes is that of lua-cmsgpack 0.4).

use super::arguments::{Argument, Arguments, integer, integer_or, text};
use super::errors::Thrown;
use super::pace::Pace;
use super::pack::RESULTS_MAX;
use mlua::{Lua, MultiValue, Table, Value};

/// Tables within tables that are written; deeper ones become `nil`, so that a table within itself has an end.
const ENCODED_DEPTH_MAX: usize = 16;
/// Bytes before a text or a collection, and of all other values.
const HEAD_BYTES_MAX: usize = 9;
/// Collections within collections that are read.
const DECODED_DEPTH_MAX: usize = 1000;

/// Appends a head: the tag of the shortest form that has the size, and the size in it.
fn put_sized(out: &mut Vec<u8>, size: usize, tags: [Option<u8>; 3]) {
    if let Some(tag) = tags[0].filter(|_| size <= 0xff) {
        out.extend_from_slice(&[tag, size as u8]);
    } else if let Some(tag) = tags[1].filter(|_| size <= 0xffff) {
        out.push(tag);
        out.extend_from_slice(&(size as u16).to_be_bytes());
    } else if let Some(tag) = tags[2] {
        out.push(tag);
        out.extend_from_slice(&(size as u32).to_be_bytes());
    }
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        len @ 0..32 => out.push(0xa0 | len as u8),
        len => put_sized(out, len, [Some(0xd9), Some(0xda), Some(0xdb)]),
    }
    out.extend_from_slice(text);
}

fn put_number(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() && number as i64 as f64 == number && number < i64::MAX as f64 {
        return put_integer(out, number as i64);
    }
    let single = number as f32;
    if f64::from(single) == number {
        out.push(0xca);
        out.extend_from_slice(&single.to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn put_integer(out: &mut Vec<u8>, number: i64) {
    if let Ok(size) = u64::try_from(number) {
        match size {
            0..=127 => out.push(size as u8),
            128..=0xffff_ffff => put_sized(out, size as usize, [Some(0xcc), Some(0xcd), Some(0xce)]),
            _ => {
                out.push(0xcf);
                out.extend_from_slice(&size.to_be_bytes());
            }
        }
    } else if number >= -32 {
        out.push(number as i8 as u8);
    } else if let Ok(number) = i8::try_from(number) {
        out.extend_from_slice(&[0xd0, number as u8]);
    } else if let Ok(number) = i16::try_from(number) {
        out.push(0xd1);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        out.push(0xd2);
        out.extend_from_slice(&number.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

/// Appends a value that lies within `depth` tables.
fn put_value(pace: &Pace<'_>, out: &mut Vec<u8>, value: &Value, depth: usize) -> mlua::Result<()> {
    let len = value.as_string().map_or(0, |text| text.as_bytes().len());
    pace.make_room(out, HEAD_BYTES_MAX + len)?;
    match value {
        Value::String(text) => put_text(out, &text.as_bytes()),
        Value::Boolean(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
        Value::Integer(number) => put_integer(out, *number),
        Value::Number(number) => put_number(out, *number),
        Value::Table(table) => put_table(pace, out, table, depth)?,
        _ => out.push(0xc0),
    }
    Ok(())
}

fn put_table(pace: &Pace<'_>, out: &mut Vec<u8>, table: &Table, depth: usize) -> mlua::Result<()> {
    if depth == ENCODED_DEPTH_MAX {
        out.push(0xc0);
        return Ok(());
    }
    let (mut max, mut count, mut is_array) = (0.0f64, 0usize, true);
    for pair in table.pairs::<Value, Value>() {
        let key = match pair?.0 {
            Value::Integer(key) => key as f64,
            Value::Number(key) => key,
            _ => 0.0,
        };
        is_array &= key > 0.0 && key == f64::from(key as i32);
        max = max.max(key);
        count += 1;
    }
    if is_array && max == count as f64 {
        match count {
            0..16 => out.push(0x90 | count as u8),
            _ => put_sized(out, count, [None, Some(0xdc), Some(0xdd)]),
        }
        return (1..=count).try_for_each(|index| put_value(pace, out, &table.raw_get(index)?, depth + 1));
    }
    match count {
        0..16 => out.push(0x80 | count as u8),
        _ => put_sized(out, count, [None, Some(0xde), Some(0xdf)]),
    }
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        put_value(pace, out, &key, depth + 1)?;
        put_value(pace, out, &value, depth + 1)?;
    }
    Ok(())
}

/// `cmsgpack.pack`
fn pack(lua: &Lua, args: Arguments) -> mlua::Result<mlua::String> {
    if args.is_empty() {
        return Err(Thrown::argument(lua, 0, "MessagePack pack needs input."));
    }
    let (pace, mut out) = (Pace::new(lua)?, Vec::new());
    for arg in args.iter() {
        let len = if let Argument::Text(text) = arg { text.len() } else { 0 };
        pace.make_room(&mut out, HEAD_BYTES_MAX + len)?;
        match arg {
            Argument::Boolean(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
            Argument::Number(number) => put_number(&mut out, *number),
            Argument::Text(text) => put_text(&mut out, text),
            Argument::Table(table) => put_table(&pace, &mut out, table, 0)?,
            Argument::Nil | Argument::Null | Argument::Other(_) => out.push(0xc0),
        }
    }
    lua.create_string(out)
}

struct Decoder<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    fn take(&mut self, len: usize) -> mlua::Result<&'a [u8]> {
        let (taken, rest) =
            self.rest.split_at_checked(len).ok_or_else(|| Thrown::text(self.lua, "Missing bytes in input."))?;
        self.rest = rest;
        Ok(taken)
    }

    /// A whole number of so many bytes.
    fn size(&mut self, len: usize) -> mlua::Result<u64> {
        Ok(self.take(len)?.iter().fold(0, |size, byte| size << 8 | u64::from(*byte)))
    }

    /// The same with a sign.
    fn signed(&mut self, len: usize) -> mlua::Result<Value> {
        let unused = 64 - 8 * len as u32;
        self.size(len).map(|size| Value::Number(((size << unused) as i64 >> unused) as f64))
    }

    fn text(&mut self, len: u64) -> mlua::Result<Value> {
        let text = self.take(usize::try_from(len).unwrap_or(usize::MAX))?;
        self.lua.create_string(text).map(Value::String)
    }

    /// The next value, which lies within `depth` collections.
    fn value(&mut self, depth: usize) -> mlua::Result<Value> {
        let tag = self.take(1)?[0];
        let number = |number: u64| Value::Number(number as f64);
        match tag {
            0..0x80 => Ok(Value::Number(tag.into())),
            0xe0.. => Ok(Value::Number((tag as i8).into())),
            0x80..0x90 => self.map((tag & 15).into(), depth),
            0x90..0xa0 => self.array((tag & 15).into(), depth),
            0xa0..0xc0 => self.text((tag & 31).into()),
            0xc0 => Ok(Value::Nil),
            0xc2 | 0xc3 => Ok(Value::Boolean(tag == 0xc3)),
            0xca => self.size(4).map(|bits| Value::Number(f32::from_bits(bits as u32).into())),
            0xcb => self.size(8).map(|bits| Value::Number(f64::from_bits(bits))),
            0xcc => self.size(1).map(number),
            0xcd => self.size(2).map(number),
            0xce => self.size(4).map(number),
            // Redis reads these as signed ones.
            0xcf => self.signed(8),
            0xd0 => self.signed(1),
            0xd1 => self.signed(2),
            0xd2 => self.signed(4),
            0xd3 => self.signed(8),
            0xd9 => self.size(1).and_then(|len| self.text(len)),
            0xda => self.size(2).and_then(|len| self.text(len)),
            0xdb => self.size(4).and_then(|len| self.text(len)),
            0xdc => self.size(2).and_then(|len| self.array(len, depth)),
            0xdd => self.size(4).and_then(|len| self.array(len, depth)),
            0xde => self.size(2).and_then(|len| self.map(len, depth)),
            0xdf => self.size(4).and_then(|len| self.map(len, depth)),
            _ => Err(Thrown::text(self.lua, "Bad data format in input.")),
        }
    }

    fn array(&mut self, len: u64, depth: usize) -> mlua::Result<Value> {
        self.check_depth(depth, "mp_decode_to_lua_array")?;
        let table = self.lua.create_table()?;
        for index in 1..=len {
            let value = self.value(depth + 1)?;
            table.raw_set(index, value)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, len: u64, depth: usize) -> mlua::Result<Value> {
        self.check_depth(depth, "mp_decode_to_lua_hash")?;
        let table = self.lua.create_table()?;
        for _ in 0..len {
            let key = self.value(depth + 1)?;
            let value = self.value(depth + 1)?;
            let reason = match &key {
                Value::Nil => "table index is nil",
                Value::Number(number) if number.is_nan() => "table index is NaN",
                _ => {
                    table.raw_set(key, value)?;
                    continue;
                }
            };
            return Err(mlua::Error::external(Thrown::Text(reason.into())));
        }
        Ok(Value::Table(table))
    }

    fn check_depth(&self, depth: usize, place: &str) -> mlua::Result<()> {
        if depth >= DECODED_DEPTH_MAX {
            return Err(Thrown::text(self.lua, format!("stack overflow (in function {place})")));
        }
        Ok(())
    }
}

/// Up to `limit` of the values that begin at `offset`; before them where the next one begins, or -1 if there is none. All of
/// them, and nothing before them, if both are 0.
fn decode(lua: &Lua, args: &Arguments, limit: i64, offset: i64) -> mlua::Result<MultiValue> {
    let bytes = text(lua, args, 0)?;
    if offset < 0 || limit < 0 {
        let error =
            format!("Invalid request to unpack with offset of {} and limit of {}.", offset as i32, bytes.len() as i32);
        return Err(Thrown::text(lua, error));
    }
    let Some(rest) = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)) else {
        let error = format!("Start offset {} greater than input length {}.", offset as i32, bytes.len() as i32);
        return Err(Thrown::text(lua, error));
    };
    let takes_all = limit == 0 && offset == 0;
    let limit = if takes_all { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
    let mut decoder = Decoder { lua, rest };
    let mut values = Vec::new();
    while !decoder.rest.is_empty() && values.len() < limit {
        if values.len() >= RESULTS_MAX {
            return Err(Thrown::text(lua, "stack overflow (in function mp_unpack_full)"));
        }
        values.push(decoder.value(0)?);
    }
    if !takes_all {
        let next = if decoder.rest.is_empty() { -1.0 } else { (bytes.len() - decoder.rest.len()) as f64 };
        values.insert(0, Value::Number(next));
    }
    Ok(values.into_iter().collect())
}

/// The library.
pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", lua.create_function(pack)?)?;
    table.raw_set("unpack", lua.create_function(|lua, args: Arguments| decode(lua, &args, 0, 0))?)?;
    let one = lua.create_function(|lua, args: Arguments| {
        let offset = integer_or(lua, &args, 1, 0)?;
        decode(lua, &args, 1, offset)
    })?;
    table.raw_set("unpack_one", one)?;
    let limited = lua.create_function(|lua, args: Arguments| {
        let (limit, offset) = (integer(lua, &args, 1)?, integer_or(lua, &args, 2, 0)?);
        decode(lua, &args, limit, offset)
    })?;
    table.raw_set("unpack_limit", limited)?;
    table.raw_set("_NAME", "cmsgpack")?;
    table.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.raw_set("_COPYRIGHT", "MIT OR Apache-2.0")?;
    table.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(table)
}
