//! The library `cjson`: Lua values as JSON and back (<https://kyne.au/~mark/software/lua-cjson-manual.html>).

mod decode;
mod encode;

use super::arguments::{Argument, Arguments};
use super::errors::Thrown;
use super::guard;
use mlua::{Lua, Table, Value};
use std::cell::Cell;
use std::rc::Rc;

/// Nested collections that are read or written whatever a script sets: as many as there is stack for.
const DEPTH_MAX: i64 = 1500;

/// What becomes of numbers that JSON does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InvalidNumbers {
    Refused,
    Written,
    Null,
}

/// What a script has set. It holds until the script ends.
#[derive(Debug)]
pub(super) struct Settings {
    converts_sparse: Cell<bool>,
    sparse_ratio: Cell<i64>,
    sparse_safe: Cell<i64>,
    encode_depth: Cell<i64>,
    decode_depth: Cell<i64>,
    precision: Cell<i64>,
    keeps_buffer: Cell<bool>,
    encodes_invalid: Cell<InvalidNumbers>,
    decodes_invalid: Cell<bool>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            converts_sparse: Cell::new(false),
            sparse_ratio: Cell::new(2),
            sparse_safe: Cell::new(10),
            encode_depth: Cell::new(1000),
            decode_depth: Cell::new(1000),
            precision: Cell::new(14),
            keeps_buffer: Cell::new(true),
            encodes_invalid: Cell::new(InvalidNumbers::Refused),
            decodes_invalid: Cell::new(true),
        }
    }
}

impl Settings {
    /// Has everything be as it is at first.
    pub fn reset(&self) {
        let first = Settings::default();
        self.converts_sparse.set(first.converts_sparse.get());
        self.sparse_ratio.set(first.sparse_ratio.get());
        self.sparse_safe.set(first.sparse_safe.get());
        self.encode_depth.set(first.encode_depth.get());
        self.decode_depth.set(first.decode_depth.get());
        self.precision.set(first.precision.get());
        self.keeps_buffer.set(first.keeps_buffer.get());
        self.encodes_invalid.set(first.encodes_invalid.get());
        self.decodes_invalid.set(first.decodes_invalid.get());
    }
}

/// Refuses more arguments than `max`.
fn check_count(lua: &Lua, args: &[Argument], max: usize) -> mlua::Result<()> {
    if args.len() > max {
        return Err(Thrown::argument(lua, max + 1, "found too many arguments"));
    }
    Ok(())
}

/// Sets a number within bounds, if there is one, and returns what is set.
fn set_integer(
    lua: &Lua,
    args: &[Argument],
    index: usize,
    cell: &Cell<i64>,
    min: i64,
    max: i64,
) -> mlua::Result<Value> {
    if !matches!(args.get(index), None | Some(Argument::Nil)) {
        let value = super::arguments::integer(lua, args, index)?;
        if !(min..=max).contains(&value) {
            return Err(Thrown::argument(lua, 1, &format!("expected integer between {min} and {max}")));
        }
        cell.set(value);
    }
    Ok(Value::Number(cell.get() as f64))
}

/// Sets one of several choices, if there is one: by its name, or the one at `truth` by a boolean. Returns which is set.
fn choose(lua: &Lua, args: &[Argument], names: &[&str], present: usize, truth: usize) -> mlua::Result<usize> {
    match args.first() {
        None | Some(Argument::Nil) => Ok(present),
        Some(Argument::Boolean(value)) => Ok(if *value { truth } else { 0 }),
        Some(_) => {
            let name = super::arguments::text(lua, args, 0)?;
            names.iter().position(|known| known.as_bytes() == &*name).ok_or_else(|| {
                Thrown::argument(lua, 1, &format!("invalid option '{}'", String::from_utf8_lossy(&name)))
            })
        }
    }
}

fn set_flag(lua: &Lua, args: &[Argument], cell: &Cell<bool>) -> mlua::Result<bool> {
    check_count(lua, args, 1)?;
    cell.set(choose(lua, args, &["off", "on"], usize::from(cell.get()), 1)? == 1);
    Ok(cell.get())
}

fn set_invalid(lua: &Lua, args: &[Argument], cell: &Cell<InvalidNumbers>) -> mlua::Result<Value> {
    const CHOICES: [InvalidNumbers; 3] = [InvalidNumbers::Refused, InvalidNumbers::Written, InvalidNumbers::Null];
    check_count(lua, args, 1)?;
    let present = CHOICES.iter().position(|choice| *choice == cell.get()).unwrap_or(0);
    let chosen = choose(lua, args, &["off", "on", "null"], present, 1)?;
    cell.set(CHOICES[chosen]);
    match cell.get() {
        InvalidNumbers::Refused => Ok(Value::Boolean(false)),
        InvalidNumbers::Written => Ok(Value::Boolean(true)),
        InvalidNumbers::Null => lua.create_string("null").map(Value::String),
    }
}

/// The library, with settings of its own.
pub(super) fn library(lua: &Lua, settings: &Rc<Settings>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let with = |work: fn(&Lua, &Settings, Arguments) -> mlua::Result<Value>| {
        let settings = Rc::clone(settings);
        lua.create_function(move |lua, args: Arguments| work(lua, &settings, args))
    };
    table.raw_set("encode", with(encode::encode)?)?;
    table.raw_set("decode", with(decode::decode)?)?;
    let sparse = Rc::clone(settings);
    let set_sparse = lua.create_function(move |lua, args: Arguments| {
        check_count(lua, &args, 3)?;
        sparse.converts_sparse.set(choose(lua, &args, &["off", "on"], sparse.converts_sparse.get().into(), 1)? == 1);
        let ratio = set_integer(lua, &args, 1, &sparse.sparse_ratio, 0, i32::MAX.into())?;
        let safe = set_integer(lua, &args, 2, &sparse.sparse_safe, 0, i32::MAX.into())?;
        Ok((sparse.converts_sparse.get(), ratio, safe))
    })?;
    table.raw_set("encode_sparse_array", set_sparse)?;
    table.raw_set(
        "encode_max_depth",
        with(|lua, settings, args| {
            check_count(lua, &args, 1)?;
            set_integer(lua, &args, 0, &settings.encode_depth, 1, i32::MAX.into())
        })?,
    )?;
    table.raw_set(
        "decode_max_depth",
        with(|lua, settings, args| {
            check_count(lua, &args, 1)?;
            set_integer(lua, &args, 0, &settings.decode_depth, 1, i32::MAX.into())
        })?,
    )?;
    table.raw_set(
        "encode_number_precision",
        with(|lua, settings, args| {
            check_count(lua, &args, 1)?;
            set_integer(lua, &args, 0, &settings.precision, 1, 14)
        })?,
    )?;
    table.raw_set(
        "encode_keep_buffer",
        with(|lua, settings, args| set_flag(lua, &args, &settings.keeps_buffer).map(Value::Boolean))?,
    )?;
    table.raw_set(
        "encode_invalid_numbers",
        with(|lua, settings, args| set_invalid(lua, &args, &settings.encodes_invalid))?,
    )?;
    table.raw_set(
        "decode_invalid_numbers",
        with(|lua, settings, args| set_flag(lua, &args, &settings.decodes_invalid).map(Value::Boolean))?,
    )?;
    let another = lua.create_function(|lua, ()| guard::library(lua, library(lua, &Rc::default())?))?;
    table.raw_set("new", another)?;
    table.raw_set("null", Value::NULL)?;
    table.raw_set("_NAME", "cjson")?;
    table.raw_set("_VERSION", "2.1.0")?;
    Ok(table)
}
