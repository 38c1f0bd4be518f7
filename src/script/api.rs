//! The table `redis`: what scripts can ask of the server.

use super::arguments::{Argument, Arguments};
use super::errors::{self, Thrown, error_table};
use super::interpreter::{Exchange, Kind};
use super::{Digest, Replication, entrance, guard, register};
use crate::resp::Protocol;
use crate::value::double;
use mlua::{Lua, Table, Value, Variadic};
use std::rc::Rc;

/// Levels of `redis.log`.
const LEVELS: [(&str, i64); 4] = [("LOG_DEBUG", 0), ("LOG_VERBOSE", 1), ("LOG_NOTICE", 2), ("LOG_WARNING", 3)];

/// Bits of `redis.set_repl`.
const REPLICATIONS: [(&str, i64); 5] =
    [("REPL_NONE", 0), ("REPL_AOF", 1), ("REPL_SLAVE", 2), ("REPL_REPLICA", 2), ("REPL_ALL", 3)];

/// What libraries have of it while they are loaded.
pub(super) fn at_load(lua: &Lua, exchange: &Rc<Exchange>) -> mlua::Result<Table> {
    let table = basics(lua)?;
    let registering = Rc::clone(exchange);
    let register = move |lua: &Lua, args: Variadic<Value>| register::register(lua, &registering, &args);
    table.raw_set("register_function", lua.create_function(register)?)?;
    Ok(table)
}

/// What there is of it at any time.
fn basics(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for (name, number) in LEVELS {
        table.raw_set(name, number)?;
    }
    table.raw_set("REDIS_VERSION", crate::REDIS_VERSION)?;
    table.raw_set("REDIS_VERSION_NUM", version_number(crate::REDIS_VERSION))?;
    table.raw_set("log", lua.create_function(log)?)?;
    Ok(table)
}

/// The table as scripts may have it. Its functions reach the server through `exchange`.
pub(super) fn table(lua: &Lua, exchange: &Rc<Exchange>, kind: Kind) -> mlua::Result<Table> {
    let table = basics(lua)?;
    for (name, number) in REPLICATIONS {
        table.raw_set(name, number)?;
    }
    let speaking = Rc::clone(exchange);
    table.raw_set("setresp", lua.create_function(move |lua, args: Arguments| set_protocol(lua, &speaking, &args))?)?;
    let telling = Rc::clone(exchange);
    table
        .raw_set("set_repl", lua.create_function(move |lua, args: Arguments| set_replication(lua, &telling, &args))?)?;
    table.raw_set("sha1hex", lua.create_function(sha1hex)?)?;
    table.raw_set("error_reply", lua.create_function(|lua, args: Arguments| single_text(lua, &args, "err"))?)?;
    table.raw_set("status_reply", lua.create_function(|lua, args: Arguments| single_text(lua, &args, "ok"))?)?;
    if kind == Kind::Scripts {
        // Effects are replicated in any case, and there is no debugger.
        table.raw_set("replicate_commands", lua.create_function(|_, ()| Ok(true))?)?;
        table.raw_set("breakpoint", lua.create_function(|_, ()| Ok(false))?)?;
        table.raw_set("debug", lua.create_function(|_, ()| Ok(()))?)?;
    }
    let table = guard::library(lua, table)?;
    // They take as many arguments as Lua's own functions.
    table.raw_set("call", entrance::function(lua, exchange, entrance::call)?)?;
    table.raw_set("pcall", entrance::function(lua, exchange, entrance::pcall)?)?;
    table.raw_set("acl_check_cmd", entrance::function(lua, exchange, entrance::is_allowed)?)?;
    Ok(table)
}

/// `7.4.0` as 0x070400.
fn version_number(version: &str) -> u32 {
    version.split('.').fold(0, |number, part| number << 8 | part.parse::<u32>().unwrap_or(0))
}

/// Appends a number as commands get it from scripts.
pub(super) fn append_number(number: f64, text: &mut Vec<u8>) {
    match number {
        // What processors make of a division of zero by zero has a sign, and C shows it.
        _ if number.is_nan() => text.extend_from_slice(if number.is_sign_negative() { b"-nan" } else { b"nan" }),
        0.0 => text.push(b'0'),
        _ => double::append(number, text),
    }
}

/// `redis.setresp`
fn set_protocol(lua: &Lua, exchange: &Exchange, args: &[Argument]) -> mlua::Result<()> {
    if args.len() != 1 {
        return Err(Thrown::refusal("redis.setresp() requires one argument."));
    }
    let protocol = match args[0].to_number(lua).map(|number| number as i64) {
        Some(2) => Protocol::Resp2,
        Some(3) => Protocol::Resp3,
        _ => return Err(Thrown::refusal("RESP version must be 2 or 3.")),
    };
    exchange.reply.borrow_mut().set_protocol(protocol);
    Ok(())
}

/// `redis.set_repl`
fn set_replication(lua: &Lua, exchange: &Exchange, args: &[Argument]) -> mlua::Result<()> {
    if args.len() != 1 {
        return Err(Thrown::refusal("redis.set_repl() requires one argument."));
    }
    let bits = args[0].to_number(lua).map_or(0, |number| number as i64);
    if bits & !3 != 0 {
        return Err(Thrown::refusal("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE."));
    }
    exchange.replication.set(Replication { file: bits & 1 != 0, replicas: bits & 2 != 0 });
    Ok(())
}

/// `redis.sha1hex`
fn sha1hex(lua: &Lua, args: Arguments) -> mlua::Result<Value> {
    if args.len() != 1 {
        return Err(Thrown::refusal("wrong number of arguments"));
    }
    let digest = Digest::of(&args[0].to_text(lua).unwrap_or_default());
    lua.create_string(digest.as_str()).map(Value::String)
}

/// `redis.log`
fn log(lua: &Lua, args: Arguments) -> mlua::Result<()> {
    if args.len() < 2 {
        return Err(Thrown::refusal("redis.log() requires two arguments or more."));
    }
    let Some(level) = args[0].to_number(lua) else {
        return Err(Thrown::refusal("First argument must be a number (log level)."));
    };
    let words = args.iter().skip(1).filter_map(|value| value.to_text(lua));
    let text = words.map(|word| String::from_utf8_lossy(&word).into_owned()).collect::<Vec<_>>().join(" ");
    match level as i64 {
        0 => tracing::trace!("{text}"),
        1 => tracing::debug!("{text}"),
        2 => tracing::info!("{text}"),
        3 => tracing::warn!("{text}"),
        _ => return Err(Thrown::refusal("Invalid log level.")),
    }
    Ok(())
}

/// `redis.error_reply` and `redis.status_reply`: a table with one field.
fn single_text(lua: &Lua, args: &[Argument], field: &str) -> mlua::Result<Table> {
    let [Argument::Text(text)] = args else {
        return error_table(lua, b"ERR wrong number or type of arguments", false);
    };
    if field == "err" {
        return error_table(lua, &errors::with_code(text), false);
    }
    let table = lua.create_table()?;
    table.raw_set(field, lua.create_string(text)?)?;
    Ok(table)
}
