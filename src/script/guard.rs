//! What stands between scripts and functions of ours, written as Lua's own functions are.
//!
//! It keeps the number of arguments within what an interpreter can lend out, which would end the process if a script passed more
//! than that to a function of ours. And it calls functions of the script for those of ours that need it, so that whatever these
//! throw passes by as it is.

use super::interpreter::Exchange;
use mlua::{Function, Lua, Table, Value, ffi};
use std::ffi::c_int;
use std::rc::Rc;

/// How long the collector pauses, and how fast it goes, in per cent: what Lua begins with.
const COLLECTOR_PAUSE: c_int = 200;
const COLLECTOR_STEP: c_int = 200;

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

/// Arguments of functions of strings that count.
const STRING_ARGS: c_int = 4;

/// Calls the function that is its first upvalue with the number of arguments and the first four of them.
unsafe extern "C-unwind" fn counted(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `guarded`; there is room for what is pushed in any call.
    unsafe {
        let count = ffi::lua_gettop(state);
        ffi::lua_settop(state, STRING_ARGS);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_pushinteger(state, count as ffi::lua_Integer);
        ffi::lua_insert(state, 2);
        ffi::lua_call(state, STRING_ARGS + 1, ffi::LUA_MULTRET);
        ffi::lua_gettop(state)
    }
}

/// `string.gsub`: calls its first upvalue as `counted` does. If that returns userdata, the substitution's state, and captures,
/// the third argument is asked for what stands in their place, and the second upvalue gets the state, that, and the first two
/// arguments. It returns the same again, until it returns something else first: then all is returned.
unsafe extern "C-unwind" fn substituting(state: *mut ffi::lua_State) -> c_int {
    // Where the state is, and the first capture, or what stands in its place.
    const PROGRESS: c_int = STRING_ARGS + 1;
    const VALUE: c_int = PROGRESS + 1;
    // SAFETY: as in `guarded`; there is room for what is pushed, beside captures, for which room is made, in any call.
    unsafe {
        let count = ffi::lua_gettop(state);
        ffi::lua_settop(state, STRING_ARGS);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_pushinteger(state, count as ffi::lua_Integer);
        for argument in 1..=STRING_ARGS {
            ffi::lua_pushvalue(state, argument);
        }
        ffi::lua_call(state, STRING_ARGS + 1, ffi::LUA_MULTRET);
        while ffi::lua_type(state, PROGRESS) == ffi::LUA_TUSERDATA {
            if ffi::lua_type(state, 3) == ffi::LUA_TTABLE {
                ffi::lua_settop(state, VALUE);
                ffi::lua_gettable(state, 3);
            } else {
                let captures = ffi::lua_gettop(state) - PROGRESS;
                if ffi::lua_checkstack(state, 4) == 0 {
                    return ffi::luaL_error(state, c"stack overflow".as_ptr());
                }
                ffi::lua_pushvalue(state, 3);
                ffi::lua_insert(state, VALUE);
                ffi::lua_call(state, captures, 1);
            }
            ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
            ffi::lua_insert(state, PROGRESS);
            ffi::lua_pushvalue(state, 1);
            ffi::lua_pushvalue(state, 2);
            ffi::lua_call(state, 4, ffi::LUA_MULTRET);
        }
        ffi::lua_gettop(state) - STRING_ARGS
    }
}

/// `string.gmatch`: has its first upvalue check the arguments, and returns `next_match` for them.
unsafe extern "C-unwind" fn matching(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `counted`.
    unsafe {
        let count = ffi::lua_gettop(state);
        ffi::lua_settop(state, 2);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_pushinteger(state, count as ffi::lua_Integer);
        ffi::lua_pushvalue(state, 1);
        ffi::lua_pushvalue(state, 2);
        ffi::lua_call(state, 3, 0);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
        ffi::lua_insert(state, 1);
        ffi::lua_pushinteger(state, 0);
        ffi::lua_pushcclosure(state, next_match, 4);
        1
    }
}

/// What `string.gmatch` returns. Its upvalues are the function that matches, the subject, the pattern and where to go on: that
/// function returns where to go on the next time, and what is returned; or nothing.
unsafe extern "C-unwind" fn next_match(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `counted`.
    unsafe {
        ffi::lua_settop(state, 0);
        for upvalue in 1..=4 {
            ffi::lua_pushvalue(state, ffi::lua_upvalueindex(upvalue));
        }
        ffi::lua_call(state, 3, ffi::LUA_MULTRET);
        let results = ffi::lua_gettop(state);
        if results == 0 {
            return 0;
        }
        if ffi::lua_checkstack(state, 1) == 0 {
            return ffi::luaL_error(state, c"stack overflow".as_ptr());
        }
        ffi::lua_pushvalue(state, 1);
        ffi::lua_replace(state, ffi::lua_upvalueindex(4));
        results - 1
    }
}

/// The least position at which `table.insert` puts something: it would move all that is at positions from there on, whether
/// there is anything or not.
const POSITION_MIN: f64 = -1e6;

/// What `table.sort` may have to do, in comparisons of short values, while nobody can end it: a fraction of a second.
const SORTED_AT_ONCE_MAX: usize = 20_000_000;
/// Bytes of texts that are compared in the time of such a comparison.
const COMPARED_BYTES: usize = 64;

/// Calls Lua's own function that is the first upvalue, in the place of the one that runs: so errors name it as they do there.
unsafe fn call_in_place(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: it finds the stack as it was when the script called.
    unsafe {
        match ffi::lua_tocfunction(state, ffi::lua_upvalueindex(1)) {
            Some(function) => function(state),
            None => 0,
        }
    }
}

/// `unpack`. Lua's own takes the number of values for what is left of it in 32 bits, with which it writes beyond its stack.
unsafe extern "C-unwind" fn unpacking(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `guarded`.
    unsafe {
        if ffi::lua_type(state, 1) == ffi::LUA_TTABLE {
            // As the original converts them; what is neither number nor missing is refused there.
            let first = if ffi::lua_isnoneornil(state, 2) != 0 { 1 } else { ffi::lua_tointeger(state, 2) as c_int };
            let last = if ffi::lua_isnoneornil(state, 3) != 0 {
                ffi::lua_rawlen(state, 1) as c_int
            } else {
                ffi::lua_tointeger(state, 3) as c_int
            };
            if i64::from(last) - i64::from(first) >= i64::from(c_int::MAX) {
                return ffi::luaL_error(state, c"too many results to unpack".as_ptr());
            }
        }
        call_in_place(state)
    }
}

/// `table.insert`. What is in the table that is the second upvalue cannot be changed.
unsafe extern "C-unwind" fn inserting(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `guarded`.
    unsafe {
        let count = ffi::lua_gettop(state);
        if (count == 2 || count == 3 && ffi::lua_isnumber(state, 2) != 0) && ffi::lua_type(state, 1) == ffi::LUA_TTABLE
        {
            ffi::lua_pushvalue(state, 1);
            if ffi::lua_rawget(state, ffi::lua_upvalueindex(2)) != ffi::LUA_TNIL {
                ffi::lua_pushstring(state, c"Attempt to modify a readonly table".as_ptr());
                ffi::lua_error(state);
            }
            ffi::lua_pop(state, 1);
        }
        if count == 3 && ffi::lua_isnumber(state, 2) != 0 && ffi::lua_tonumber(state, 2) < POSITION_MIN {
            return ffi::luaL_argerror(state, 2, c"position out of bounds".as_ptr());
        }
        call_in_place(state)
    }
}

/// `table.foreach` and its like. If what is to be called is not written in Lua, the second upvalue makes something of it that is:
/// its instructions are counted.
unsafe extern "C-unwind" fn calling_back(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `counted`.
    unsafe {
        if ffi::lua_iscfunction(state, 2) != 0 {
            ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
            ffi::lua_pushvalue(state, 2);
            ffi::lua_call(state, 1, 1);
            ffi::lua_replace(state, 2);
        }
        call_in_place(state)
    }
}

/// `table.sort`. If much is to be compared, it is done by the third upvalue, which is written in Lua.
unsafe extern "C-unwind" fn sorting(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `counted`; the table's elements are looked at one by one, without metamethods.
    unsafe {
        if ffi::lua_type(state, 1) == ffi::LUA_TTABLE && ffi::lua_isnoneornil(state, 2) != 0 {
            let (len, mut work) = (ffi::lua_rawlen(state, 1), 0_usize);
            for index in 1..=len {
                ffi::lua_rawgeti(state, 1, index as ffi::lua_Integer);
                let is_text = ffi::lua_type(state, -1) == ffi::LUA_TSTRING;
                let bytes = if is_text { ffi::lua_rawlen(state, -1) } else { 0 };
                work = work.saturating_add(1 + bytes / COMPARED_BYTES);
                ffi::lua_pop(state, 1);
            }
            if work.saturating_mul(len.max(1).ilog2() as usize + 1) > SORTED_AT_ONCE_MAX {
                ffi::lua_settop(state, 1);
                ffi::lua_pushvalue(state, ffi::lua_upvalueindex(3));
            }
        }
        calling_back(state)
    }
}

/// Lua's own `table.insert`, bounded. Tables that are keys of `guarded` are read-only.
pub(super) fn insertion(lua: &Lua, native: &Function, guarded: &Table) -> mlua::Result<Function> {
    // SAFETY: as in `substitution`.
    unsafe { lua.exec_raw((native, guarded), |state| ffi::lua_pushcclosure(state, inserting, 2)) }
}

/// `collectgarbage`: calls the first upvalue in its place, when it has noted in the exchange, the second, that it was called.
unsafe extern "C-unwind" fn collecting(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `counted`; the exchange lives as long as the interpreter.
    unsafe {
        let exchange = ffi::lua_touserdata(state, ffi::lua_upvalueindex(2)).cast::<Exchange>();
        (*exchange).is_collector_changed.set(true);
        call_in_place(state)
    }
}

/// Lua's own `collectgarbage`, whose calls are noted.
pub(super) fn noting(lua: &Lua, native: &Function, exchange: &Rc<Exchange>) -> mlua::Result<Function> {
    let exchange = Rc::as_ptr(exchange).cast_mut();
    // SAFETY: as in `function`.
    unsafe {
        lua.exec_raw(native, |state| {
            ffi::lua_pushlightuserdata(state, exchange.cast());
            ffi::lua_pushcclosure(state, collecting, 2);
        })
    }
}

/// Gives the collector Lua's own settings.
pub(super) fn restore_collector(lua: &Lua) {
    lua.gc_inc(COLLECTOR_PAUSE, COLLECTOR_STEP, 0);
    lua.gc_restart();
}

/// Lua's own `unpack`, bounded.
pub(super) fn unpack(lua: &Lua, native: &Function) -> mlua::Result<Function> {
    // SAFETY: as in `function`.
    unsafe { lua.exec_raw(native, |state| ffi::lua_pushcclosure(state, unpacking, 1)) }
}

/// A function of Lua's own that calls its second argument, which is `counted` first if it is not written in Lua.
pub(super) fn callbacks(lua: &Lua, native: &Function, counted: &Function) -> mlua::Result<Function> {
    // SAFETY: as in `substitution`.
    unsafe { lua.exec_raw((native, counted), |state| ffi::lua_pushcclosure(state, calling_back, 2)) }
}

/// Lua's own `table.sort`, which compares by `is_less` where that takes long.
pub(super) fn sort(lua: &Lua, native: &Function, counted: &Function, is_less: &Function) -> mlua::Result<Function> {
    // SAFETY: as in `function`, with three of them.
    unsafe { lua.exec_raw((native, counted, is_less), |state| ffi::lua_pushcclosure(state, sorting, 3)) }
}

/// A function that is told how many arguments it was called with.
pub(super) fn counting(lua: &Lua, function: &Function) -> mlua::Result<Function> {
    // SAFETY: as in `function`.
    unsafe { lua.exec_raw(function, |state| ffi::lua_pushcclosure(state, counted, 1)) }
}

/// `string.gsub` of what begins and what goes on.
pub(super) fn substitution(lua: &Lua, begin: &Function, go_on: &Function) -> mlua::Result<Function> {
    // SAFETY: as in `function`, with two of them.
    unsafe { lua.exec_raw((begin, go_on), |state| ffi::lua_pushcclosure(state, substituting, 2)) }
}

/// `string.gmatch` of what checks its arguments, and what matches.
pub(super) fn iteration(lua: &Lua, check: &Function, next: &Function) -> mlua::Result<Function> {
    // SAFETY: as in `substitution`.
    unsafe { lua.exec_raw((check, next), |state| ffi::lua_pushcclosure(state, matching, 2)) }
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
