//! How a script is entered, and how what it asks of the server gets to its host and back, on Lua's own stack. With values of
//! `mlua` between, each of which is made, held and dropped, a call of a small script takes twice as long.
//!
//! Lua's errors jump past the functions here, which are written as Lua's own functions are: nothing is dropped by that. So whatever
//! has something to drop makes no call of Lua's while it lives: what must be kept meanwhile is in the interpreter's [`Exchange`],
//! and [`answer`] and [`Entrance::enter`] work for Lua and with it, but are never within it. A panic ends the process before it
//! comes to Lua.

use super::interpreter::{Exchange, HOST, MEMORY_MAX};
use super::reply::{Writer, push, push_error, push_string, string_at};
use super::{Host, Input, api};
use crate::resp::{Args, ErrorReply, Reply};
use mlua::{FromLua, Function, Lua, RegistryKey, Table, Value, ffi};
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

const NO_ARGUMENT: &[u8] = b"ERR Please specify at least one argument for this redis lib call";
const NOT_A_WORD: &[u8] = b"ERR Lua redis lib command arguments must be strings or integers";
const TOO_LONG: &[u8] = b"ERR the command is too long";

/// What is run.
#[derive(Clone, Copy)]
pub(super) enum Program<'a> {
    /// A script, which finds what it is given in `KEYS` and `ARGV`.
    Script(&'a RegistryKey),
    /// A function, which gets them as arguments.
    Function(&'a RegistryKey),
}

/// Why a program has no reply.
pub(super) enum Failure {
    /// It threw this value.
    Thrown(Value),
    /// What it returned cannot be written, or it was to end meanwhile.
    Unwritten(ErrorReply),
}

/// The way into an interpreter.
pub(super) struct Entrance {
    lua: Lua,
    exchange: Rc<Exchange>,
    /// Functions: the one that enters, and the one that is told of errors where they arise.
    enter: RegistryKey,
    handler: RegistryKey,
    /// Where `KEYS` and `ARGV` are.
    globals: RegistryKey,
    /// What each script gets as its environment, whatever it made of it the last time.
    environment: Option<RegistryKey>,
}

/// A program on its way: what [`Entrance::enter`] and `enter` hand each other.
struct Visit<'a> {
    program: Program<'a>,
    input: &'a Input<'a>,
    globals: c_int,
    environment: Option<c_int>,
    exchange: &'a Exchange,
    reply: &'a mut Reply,
    /// Why the reply is not written.
    unwritten: Option<ErrorReply>,
}

impl Entrance {
    /// The way to scripts, or functions, whose `handler` is told of errors and whose `globals` are these; `environment`: what every
    /// script has for an environment, if some could change it.
    pub fn new(
        lua: &Lua,
        exchange: &Rc<Exchange>,
        handler: Function,
        globals: &Table,
        environment: Option<&Table>,
    ) -> mlua::Result<Entrance> {
        // SAFETY: it takes nothing from the stack, and leaves a function.
        let enter: Function = unsafe { lua.exec_raw((), |state| ffi::lua_pushcfunction(state, enter))? };
        Ok(Entrance {
            lua: lua.clone(),
            exchange: Rc::clone(exchange),
            enter: lua.create_registry_value(enter)?,
            handler: lua.create_registry_value(handler)?,
            globals: lua.create_registry_value(globals)?,
            environment: environment.map(|table| lua.create_registry_value(table)).transpose()?,
        })
    }

    /// Runs a program, while `host` does what it wants, and appends what it returns to `reply`.
    pub fn enter(
        &self,
        program: Program<'_>,
        input: &Input<'_>,
        host: &mut dyn Host,
        reply: &mut Reply,
    ) -> Result<(), Failure> {
        let mut visit = Visit {
            program,
            input,
            globals: self.globals.id(),
            environment: self.environment.as_ref().map(RegistryKey::id),
            exchange: &self.exchange,
            reply,
            unwritten: None,
        };
        HOST.set(host, || {
            self.lua.exec_raw_lua(|raw| {
                let state = raw.state();
                // SAFETY: outside of all calls there is room for some values, and what is done with them here allocates nothing,
                // so that it throws nothing; nobody else sees the visit until the call is over.
                unsafe {
                    let top = ffi::lua_gettop(state);
                    ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, self.handler.id());
                    ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, self.enter.id());
                    ffi::lua_pushlightuserdata(state, (&raw mut visit).cast());
                    let status = ffi::lua_pcall(state, 1, 0, top + 1);
                    let thrown = (status != ffi::LUA_OK).then(|| Value::from_stack(-1, raw).unwrap_or(Value::Nil));
                    ffi::lua_settop(state, top);
                    thrown.map_or(Ok(()), |thrown| Err(Failure::Thrown(thrown)))
                }
            })
        })?;
        visit.unwritten.map_or(Ok(()), |error| Err(Failure::Unwritten(error)))
    }
}

/// Runs the program of the visit that is its argument.
unsafe extern "C-unwind" fn enter(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: the visit is that of `Entrance::enter`, which waits. There is room for the values that are pushed in any call, and
    // nothing here is dropped that an error, passing by, could leave behind: `unwritten` was `None`.
    unsafe {
        let visit = &mut *ffi::lua_touserdata(state, 1).cast::<Visit>();
        match visit.program {
            Program::Script(script) => {
                ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, visit.globals);
                for (name, args) in [(b"KEYS", visit.input.keys), (b"ARGV", visit.input.args)] {
                    push_string(state, name);
                    push_args(state, args);
                    ffi::lua_rawset(state, -3);
                }
                ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, script.id());
                if let Some(environment) = visit.environment {
                    ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, environment);
                    ffi::lua_setfenv(state, -2);
                }
                ffi::lua_call(state, 0, 1);
            }
            Program::Function(function) => {
                ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, function.id());
                push_args(state, visit.input.keys);
                push_args(state, visit.input.args);
                ffi::lua_call(state, 2, 1);
            }
        }
        let protocol = (*visit.exchange.reply.as_ptr()).protocol();
        let result = Writer::new(state, protocol, visit.reply).write(0);
        visit.unwritten = result.err();
    }
    0
}

/// Pushes a table of arguments.
unsafe fn push_args(state: *mut ffi::lua_State, args: Args<'_>) {
    // SAFETY: that of `enter`. A request has fewer arguments than would fit.
    unsafe {
        ffi::lua_createtable(state, args.len() as c_int, 0);
        for (arg, index) in args.iter().zip(1..) {
            push_string(state, arg);
            ffi::lua_rawseti_(state, -2, index);
        }
    }
}

/// Has the host do something, while a script runs. A panic ends the process.
pub(super) fn ask_host<R>(work: impl FnOnce(&mut dyn Host) -> R) -> R {
    let done = catch_unwind(AssertUnwindSafe(|| HOST.with(|host| work(host))));
    done.unwrap_or_else(|_| std::process::abort())
}

/// A function of ours that is written like Lua's own and reaches the exchange, which lives as long as the interpreter.
pub(super) fn function(lua: &Lua, exchange: &Rc<Exchange>, function: ffi::lua_CFunction) -> mlua::Result<Function> {
    let exchange = Rc::as_ptr(exchange);
    // SAFETY: it takes nothing from the stack, and leaves a function.
    unsafe {
        lua.exec_raw((), |state| {
            ffi::lua_pushlightuserdata(state, exchange.cast_mut().cast());
            ffi::lua_pushcclosure(state, function, 1);
        })
    }
}

/// The exchange of a function that `function` has made, while it is called.
unsafe fn exchange_of<'e>(state: *mut ffi::lua_State) -> &'e Exchange {
    // SAFETY: the interpreter holds it.
    unsafe { &*ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)).cast::<Exchange>() }
}

/// `redis.call`: runs a command, whose error it throws.
pub(super) unsafe extern "C-unwind" fn call(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: `function` has made it, and it has nothing to drop.
    unsafe { run_command(state, true) }
}

/// `redis.pcall`: runs a command, whose error it returns.
pub(super) unsafe extern "C-unwind" fn pcall(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `call`.
    unsafe { run_command(state, false) }
}

/// What came of a command.
#[derive(Clone, Copy)]
enum Answer {
    /// A reply, or an error, is in the exchange.
    Reply,
    Error,
}

unsafe fn run_command(state: *mut ffi::lua_State, throws: bool) -> c_int {
    // SAFETY: as in `call`. What is in the exchange stays there meanwhile: nothing that Lua calls here comes back to it.
    unsafe {
        let exchange = exchange_of(state);
        let (text, is_counted) = if !HOST.is_set() {
            (b"ERR redis.call/pcall can only be called inside a script invocation".as_slice(), false)
        } else if let Err(reason) = read_request(state, exchange) {
            (reason, false)
        } else {
            // There may have been more arguments than leave room for anything.
            ffi::lua_settop(state, 0);
            match answer(exchange) {
                Answer::Reply => {
                    push(state, (*exchange.reply.as_ptr()).as_bytes());
                    exchange.reply.borrow_mut().clear();
                    return 1;
                }
                Answer::Error => ((*exchange.error.as_ptr()).as_slice(), true),
            }
        };
        push_error(state, text, is_counted);
        if throws { ffi::lua_error(state) } else { 1 }
    }
}

/// Has the host run the command that is in the exchange.
fn answer(exchange: &Exchange) -> Answer {
    let (request, mut reply) = (exchange.request.borrow(), exchange.reply.borrow_mut());
    reply.clear();
    let done = ask_host(|host| host.call(request.args(), &mut reply, exchange.replication.get()));
    let error = match (done, reply.as_bytes()) {
        (Err(reason), _) => reason,
        (Ok(()), [b'-', error @ .., b'\r', b'\n']) => error.to_vec(),
        (Ok(()), _) => return Answer::Reply,
    };
    exchange.error.replace(error);
    Answer::Error
}

/// `redis.acl_check_cmd`: whether the user may run a command.
pub(super) unsafe extern "C-unwind" fn is_allowed(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `run_command`.
    unsafe {
        let exchange = exchange_of(state);
        let refusal = if let Err(reason) = read_request(state, exchange) {
            reason
        } else if !HOST.is_set() {
            b"ERR redis.acl_check_cmd can only be called inside a script invocation".as_slice()
        } else if let Some(is_allowed) = ask_host(|host| host.is_allowed((*exchange.request.as_ptr()).args())) {
            ffi::lua_pushboolean(state, c_int::from(is_allowed));
            return 1;
        } else {
            b"ERR Invalid command passed to redis.acl_check_cmd()".as_slice()
        };
        push_error(state, refusal, false);
        ffi::lua_error(state)
    }
}

/// Puts the arguments of a call together to the exchange's request. Errors: one is neither text nor number, or there is none.
/// Lua's error if they take more memory than an interpreter may: one text can be many of them.
unsafe fn read_request(state: *mut ffi::lua_State, exchange: &Exchange) -> Result<(), &'static [u8]> {
    // SAFETY: as in `run_command`: the request is nobody else's now. What is read stays on the stack meanwhile.
    unsafe {
        let request = &mut *exchange.request.as_ptr();
        request.clear();
        let count = ffi::lua_gettop(state);
        if count == 0 {
            return Err(NO_ARGUMENT);
        }
        let mut bytes = 0_usize;
        for index in 1..=count {
            let fits = match ffi::lua_type(state, index) {
                ffi::LUA_TSTRING => {
                    let text = string_at(state, index);
                    bytes += text.len();
                    if bytes > MEMORY_MAX {
                        request.clear();
                        push_string(state, b"not enough memory");
                        ffi::lua_error(state);
                    }
                    request.push(text)
                }
                ffi::LUA_TNUMBER => {
                    let number = ffi::lua_tonumber(state, index);
                    request.push_written(|text| api::append_number(number, text))
                }
                _ => return Err(NOT_A_WORD),
            };
            if !fits {
                return Err(TOO_LONG);
            }
        }
        Ok(())
    }
}
