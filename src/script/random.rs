//! `math.random` and `math.randomseed`: the generator of POSIX' `lrand48`
//! (<https://pubs.opengroup.org/onlinepubs/9699919799/functions/drand48.html>), so that a script that sets the seed gets the
//! numbers that it gets from Redis.

use super::arguments::{Arguments, integer};
use super::errors::Thrown;
use mlua::{Function, Lua, Value};
use std::cell::Cell;
use std::rc::Rc;

const MASK: u64 = (1 << 48) - 1;
/// What the 16 low bits are after a seed has been set.
const LOW: u64 = 0x330e;
/// The generator's state before a seed has been set.
const UNSEEDED: u64 = 0x1234_abcd_330e;

fn next(state: &Cell<u64>) -> u32 {
    state.set(state.get().wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & MASK);
    (state.get() >> 17) as u32
}

/// The two functions.
pub(super) fn functions(lua: &Lua) -> mlua::Result<(Function, Function)> {
    let state = Rc::new(Cell::new(UNSEEDED));
    let seeded = Rc::clone(&state);
    let random = lua.create_function(move |lua, args: Arguments| {
        let fraction = f64::from(next(&state) % i32::MAX as u32) / f64::from(i32::MAX);
        let (first, last) = match args.len() {
            0 => return Ok(Value::Number(fraction)),
            1 => (1, integer(lua, &args, 0)?),
            2 => (integer(lua, &args, 0)?, integer(lua, &args, 1)?),
            _ => return Err(Thrown::text(lua, "wrong number of arguments")),
        };
        if first > last {
            return Err(Thrown::argument(lua, args.len(), "interval is empty"));
        }
        Ok(Value::Number((fraction * (last as f64 - first as f64 + 1.0)).floor() + first as f64))
    })?;
    let seed = lua.create_function(move |lua, args: Arguments| {
        let seed = integer(lua, &args, 0)?;
        seeded.set(u64::from(seed as u32) << 16 | LOW);
        Ok(())
    })?;
    Ok((random, seed))
}
