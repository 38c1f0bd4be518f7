//! Keeps the number of arguments within what an interpreter can lend out: it would end the process if a script passed more
//! than that to a function of ours.

use mlua::{Function, Lua, Table, Value, ffi};
use std::ffi::c_int;

/// Arguments that a function of ours takes at most. Functions of Lua's own take 7999.
const ARGS_MAX: c_int = 7800;

/// Calls the function that is its upvalue with the same arguments, unless they are too many.
unsafe extern "C-unwind" fn guarded(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: `state` is that of the call. The values that are pushed were made room for, and no Rust value lives here that
    // an error, which passes by without unwinding, could leave behind.
    unsafe {
        let count = ffi::lua_gettop(state);
        if count > ARGS_MAX || ffi::lua_checkstack(state, 1) == 0 {
            return ffi::luaL_error(state, c"too many arguments".as_ptr());
        }
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, count, ffi::LUA_MULTRET);
        ffi::lua_gettop(state)
    }
}

/// The function as scripts may have it.
pub(super) fn function(lua: &Lua, function: &Function) -> mlua::Result<Function> {
    // SAFETY: the function is on the stack, alone, and the closure takes its place.
    unsafe { lua.exec_raw(function, |state| ffi::lua_pushcclosure(state, guarded, 1)) }
}

/// Has all functions of a library be as scripts may have them.
pub(super) fn library(lua: &Lua, library: Table) -> mlua::Result<Table> {
    let functions: Vec<(Value, Function)> = library
        .pairs::<Value, Value>()
        .filter_map(|field| match field {
            Ok((name, Value::Function(function))) => Some((name, function)),
            _ => None,
        })
        .collect();
    for (name, unguarded) in functions {
        library.raw_set(name, function(lua, &unguarded)?)?;
    }
    Ok(library)
}
