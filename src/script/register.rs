//! `redis.register_function`: how a library that is loaded says which functions it has.

use super::ScriptFlags;
use super::errors::Thrown;
use super::interpreter::Exchange;
use super::library::{LibraryFunction, NAME_RULE, is_name};
use mlua::{Function, Lua, RegistryKey, Table, Value, Variadic};
use std::collections::HashMap;
use std::rc::Rc;

/// The functions of a library themselves, by their names.
pub(super) type Callbacks = HashMap<String, Rc<RegistryKey>>;

/// The functions of a library that is loaded.
#[derive(Default)]
pub(super) struct Registered {
    pub functions: Vec<LibraryFunction>,
    pub callbacks: Callbacks,
}

impl Registered {
    fn add(&mut self, lua: &Lua, function: LibraryFunction, callback: Function) -> mlua::Result<()> {
        if self.functions.iter().any(|known| known.name.eq_ignore_ascii_case(&function.name)) {
            return Err(Thrown::refusal("Function already exists in the library"));
        }
        self.callbacks.insert(function.name.clone(), Rc::new(lua.create_registry_value(callback)?));
        self.functions.push(function);
        Ok(())
    }
}

/// What a call says of a function.
#[derive(Default)]
struct Given {
    name: Option<Vec<u8>>,
    callback: Option<Function>,
    description: Option<Vec<u8>>,
    flags: ScriptFlags,
}

/// `redis.register_function(name, callback)`, or with one table that names its arguments.
pub(super) fn register(lua: &Lua, exchange: &Exchange, args: &Variadic<Value>) -> mlua::Result<()> {
    if exchange.registered.borrow().is_none() {
        return Err(Thrown::refusal("redis.register_function can only be called on FUNCTION LOAD command"));
    }
    let given = match args.as_slice() {
        [Value::Table(named)] => named_arguments(lua, named)?,
        [_] => {
            return Err(Thrown::refusal(
                "calling redis.register_function with a single argument is only applicable to Lua table (representing named \
                 arguments).",
            ));
        }
        [name, callback] => {
            let name = text(lua, name, "first argument to redis.register_function must be a string")?;
            let Value::Function(callback) = callback else {
                return Err(Thrown::refusal("second argument to redis.register_function must be a function"));
            };
            Given { name: Some(name), callback: Some(callback.clone()), ..Given::default() }
        }
        _ => return Err(Thrown::refusal("wrong number of arguments to redis.register_function")),
    };
    let Given { name, callback, description, flags } = given;
    let name = name.ok_or_else(|| Thrown::refusal("redis.register_function must get a function name argument"))?;
    let callback = callback.ok_or_else(|| Thrown::refusal("redis.register_function must get a callback argument"))?;
    let name = String::from_utf8(name).ok().filter(|name| is_name(name.as_bytes()));
    let name = name.ok_or_else(|| Thrown::refusal(NAME_RULE))?;
    let function = LibraryFunction { name, description: description.map(Vec::into_boxed_slice), flags };
    exchange.registered.borrow_mut().as_mut().map_or(Ok(()), |registered| registered.add(lua, function, callback))
}

/// A text, or a number, which counts as one. Errors: `refusal`, if it is neither.
fn text(lua: &Lua, value: &Value, refusal: &str) -> mlua::Result<Vec<u8>> {
    let text = match value {
        Value::String(_) | Value::Number(_) | Value::Integer(_) => lua.coerce_string(value.clone())?,
        _ => None,
    };
    text.map(|text| text.as_bytes().to_vec()).ok_or_else(|| Thrown::refusal(refusal))
}

fn named_arguments(lua: &Lua, named: &Table) -> mlua::Result<Given> {
    let mut given = Given::default();
    for field in named.pairs::<Value, Value>() {
        let (key, value) = field?;
        let mut key = text(lua, &key, "named argument key given to redis.register_function is not a string")?;
        key.make_ascii_lowercase();
        match key.as_slice() {
            b"function_name" => {
                let refusal = "function_name argument given to redis.register_function must be a string";
                given.name = Some(text(lua, &value, refusal)?);
            }
            b"description" => {
                let refusal = "description argument given to redis.register_function must be a string";
                given.description = Some(text(lua, &value, refusal)?);
            }
            b"callback" => {
                let Value::Function(callback) = value else {
                    let refusal = "callback argument given to redis.register_function must be a function";
                    return Err(Thrown::refusal(refusal));
                };
                given.callback = Some(callback);
            }
            b"flags" => {
                let Value::Table(flags) = value else {
                    return Err(Thrown::refusal(
                        "flags argument to redis.register_function must be a table representing function flags",
                    ));
                };
                given.flags = flags_of(&flags)?;
            }
            _ => return Err(Thrown::refusal("unknown argument given to redis.register_function")),
        }
    }
    Ok(given)
}

fn flags_of(names: &Table) -> mlua::Result<ScriptFlags> {
    let mut flags = ScriptFlags::default();
    for index in 1.. {
        let name = names.raw_get::<Value>(index)?;
        if name.is_nil() {
            break;
        }
        let flag = match name {
            Value::String(name) => ScriptFlags::named(&name.as_bytes().to_ascii_lowercase()),
            _ => None,
        };
        flags |= flag.ok_or_else(|| Thrown::refusal("unknown flag given"))?;
    }
    Ok(flags)
}
