//! Arguments of functions that scripts call. As with Lua's own functions, texts that are numbers count as numbers and the other
//! way round, and what cannot be used is named in the error.
//!
//! An interpreter can lend out some thousands of values at a time (`guard`). So arguments are copied, but for tables.

use super::errors::Thrown;
use super::interpreter::MEMORY_MAX;
use mlua::{Error, FromLua, FromLuaMulti, Lua, MultiValue, Table, Value};
use smallvec::SmallVec;
use std::ops::{Deref, DerefMut};

/// All arguments of a call. Their texts together are no longer than all that an interpreter may hold: one text can be many of them.
pub(super) struct Arguments(Vec<Argument>);

impl FromLuaMulti for Arguments {
    fn from_lua_multi(values: MultiValue, lua: &Lua) -> mlua::Result<Self> {
        let len = |value: &Value| value.as_string().map_or(0, |text| text.as_bytes().len());
        if values.iter().map(len).sum::<usize>() > MEMORY_MAX {
            return Err(Error::MemoryError("not enough memory".to_owned()));
        }
        values.into_iter().map(|value| Argument::from_lua(value, lua)).collect::<mlua::Result<_>>().map(Arguments)
    }
}

impl Deref for Arguments {
    type Target = Vec<Argument>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Arguments {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// One argument.
pub(super) enum Argument {
    Nil,
    Boolean(bool),
    Number(f64),
    Text(SmallVec<[u8; 40]>),
    Table(Table),
    /// What stands for `null` in JSON.
    Null,
    /// Of a type that no function of ours can use.
    Other(&'static str),
}

impl FromLua for Argument {
    fn from_lua(value: Value, _: &Lua) -> mlua::Result<Self> {
        Ok(match value {
            Value::Nil => Argument::Nil,
            Value::Boolean(value) => Argument::Boolean(value),
            Value::Integer(number) => Argument::Number(number as f64),
            Value::Number(number) => Argument::Number(number),
            Value::String(text) => Argument::Text(SmallVec::from_slice(&text.as_bytes())),
            Value::Table(table) => Argument::Table(table),
            Value::LightUserData(pointer) if pointer.0.is_null() => Argument::Null,
            other => Argument::Other(type_name(&other)),
        })
    }
}

impl Argument {
    /// What Lua calls its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Argument::Nil => "nil",
            Argument::Boolean(_) => "boolean",
            Argument::Number(_) => "number",
            Argument::Text(_) => "string",
            Argument::Table(_) => "table",
            Argument::Null => "userdata",
            Argument::Other(name) => name,
        }
    }

    /// The number that it is, or that its text is.
    pub fn to_number(&self, lua: &Lua) -> Option<f64> {
        match self {
            Argument::Number(number) => Some(*number),
            Argument::Text(text) => lua.coerce_number(Value::String(lua.create_string(text).ok()?)).ok().flatten(),
            _ => None,
        }
    }

    /// The text that it is, or that Lua makes of its number.
    pub fn to_text(&self, lua: &Lua) -> Option<SmallVec<[u8; 40]>> {
        match self {
            Argument::Text(text) => Some(text.clone()),
            Argument::Number(number) => {
                let text = lua.coerce_string(Value::Number(*number)).ok().flatten()?;
                Some(SmallVec::from_slice(&text.as_bytes()))
            }
            _ => None,
        }
    }
}

/// What Lua calls the type of a value.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        Value::LightUserData(_) | Value::Error(_) => "userdata",
        other => other.type_name(),
    }
}

fn mistyped(lua: &Lua, args: &[Argument], index: usize, wanted: &str) -> Error {
    let found = args.get(index).map_or("no value", Argument::type_name);
    Thrown::argument(lua, index + 1, &format!("{wanted} expected, got {found}"))
}

/// The argument at `index` (from 0) as a number.
pub(super) fn number(lua: &Lua, args: &[Argument], index: usize) -> mlua::Result<f64> {
    args.get(index).and_then(|value| value.to_number(lua)).ok_or_else(|| mistyped(lua, args, index, "number"))
}

/// The argument at `index` as a whole number: a fraction is cut off.
pub(super) fn integer(lua: &Lua, args: &[Argument], index: usize) -> mlua::Result<i64> {
    number(lua, args, index).map(truncated)
}

/// A number without its fraction. What is no 64-bit integer is the least one, as processors have it.
pub(super) fn truncated(number: f64) -> i64 {
    let bound = -(i64::MIN as f64);
    if number >= -bound && number < bound { number as i64 } else { i64::MIN }
}

/// The argument at `index` as a whole number, or `default` if it is missing.
pub(super) fn integer_or(lua: &Lua, args: &[Argument], index: usize, default: i64) -> mlua::Result<i64> {
    match args.get(index) {
        None | Some(Argument::Nil) => Ok(default),
        Some(_) => integer(lua, args, index),
    }
}

/// The argument at `index` as a text.
pub(super) fn text(lua: &Lua, args: &[Argument], index: usize) -> mlua::Result<SmallVec<[u8; 40]>> {
    args.get(index).and_then(|value| value.to_text(lua)).ok_or_else(|| mistyped(lua, args, index, "string"))
}
