//! The library `bit`: operations on 32 bits, as Lua BitOp defines them (<https://bitop.luajit.org/semantics.html>).

use super::arguments::{Argument, Arguments, number};
use mlua::{Lua, Table, Value};

/// Added to a number, it leaves the number, rounded, modulo 2^32 in the low bits.
const ROUNDING: f64 = 6_755_399_441_055_744.0;

/// The argument at `index` as 32 bits.
fn bits(lua: &Lua, args: &[Argument], index: usize) -> mlua::Result<u32> {
    number(lua, args, index).map(|number| (number + ROUNDING).to_bits() as u32)
}

/// What 32 bits are as a number: they have a sign.
fn signed(bits: u32) -> Value {
    Value::Number(f64::from(bits as i32))
}

/// Adds a function of one number.
fn unary(lua: &Lua, table: &Table, name: &str, work: fn(u32) -> u32) -> mlua::Result<()> {
    table.raw_set(name, lua.create_function(move |lua, args: Arguments| Ok(signed(work(bits(lua, &args, 0)?))))?)
}

/// Adds a function of any numbers, one at least.
fn fold(lua: &Lua, table: &Table, name: &str, work: fn(u32, u32) -> u32) -> mlua::Result<()> {
    let f = lua.create_function(move |lua, args: Arguments| {
        let mut all = bits(lua, &args, 0)?;
        // From the last on: that is the one that an error names.
        for index in (1..args.len()).rev() {
            all = work(all, bits(lua, &args, index)?);
        }
        Ok(signed(all))
    })?;
    table.raw_set(name, f)
}

/// Adds a function of a number and a distance below 32.
fn shift(lua: &Lua, table: &Table, name: &str, work: fn(u32, u32) -> u32) -> mlua::Result<()> {
    let f = lua.create_function(move |lua, args: Arguments| {
        let value = bits(lua, &args, 0)?;
        Ok(signed(work(value, bits(lua, &args, 1)? & 31)))
    })?;
    table.raw_set(name, f)
}

/// `bit.tohex`: so many digits of the value, in uppercase if the number of them is negative.
fn to_hex(lua: &Lua, args: Arguments) -> mlua::Result<mlua::String> {
    let value = bits(lua, &args, 0)?;
    let digits = if args.len() < 2 { 8 } else { bits(lua, &args, 1)? as i32 };
    let len = digits.unsigned_abs().min(8) as usize;
    let all = if digits < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    lua.create_string(&all[8 - len..])
}

/// The library.
pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    unary(lua, &table, "tobit", |value| value)?;
    unary(lua, &table, "bnot", |value| !value)?;
    unary(lua, &table, "bswap", u32::swap_bytes)?;
    fold(lua, &table, "band", |a, b| a & b)?;
    fold(lua, &table, "bor", |a, b| a | b)?;
    fold(lua, &table, "bxor", |a, b| a ^ b)?;
    shift(lua, &table, "lshift", |value, by| value << by)?;
    shift(lua, &table, "rshift", |value, by| value >> by)?;
    shift(lua, &table, "arshift", |value, by| (value as i32 >> by) as u32)?;
    shift(lua, &table, "rol", u32::rotate_left)?;
    shift(lua, &table, "ror", u32::rotate_right)?;
    table.raw_set("tohex", lua.create_function(to_hex)?)?;
    Ok(table)
}
