//! An interpreter for each thread, with what it has compiled.

use super::errors::{self, ScriptError, Thrown};
use super::{
    Digest, Host, Input, Replication, Script, ScriptCache, api, bits, guard, json, msgpack, pack, random, reply,
};
use crate::resp::{Args, Protocol, Reply, RequestBuffer};
use mlua::{Error, Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value, VmState};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes that an interpreter may take: scripts that want more get Lua's error.
const MEMORY_MAX: usize = 1 << 30;
/// Bytes from which on what a script has left behind is collected when it ends.
const MEMORY_COLLECTED: usize = 32 << 20;
/// Compiled scripts that a thread keeps before it looks which of them have been forgotten.
const KNOWN_MAX: usize = 1024;

/// Instructions between two looks at how long a script has been running.
const INSTRUCTIONS_PER_LOOK: u32 = 100_000;

/// What the host is asked to do: the command in `Exchange::request`, to say whether that may be done, to look whether the
/// script is to end.
pub(super) const RUN: u8 = 0;
pub(super) const IS_ALLOWED: u8 = 1;
const LOOK: u8 = 2;

thread_local! {
    static INTERPRETER: OnceCell<Interpreter> = const { OnceCell::new() };
}

/// What the functions of `redis` and the one who runs the script hand each other.
#[derive(Default)]
pub(super) struct Exchange {
    pub request: RefCell<RequestBuffer>,
    pub reply: RefCell<Reply>,
    pub replication: Cell<Replication>,
    /// Has the request done, or asks whether it may be; while a script runs.
    pub host: RefCell<Option<Function>>,
    /// The script is ended before its time, and gets an error wherever it goes on.
    is_killed: Cell<bool>,
}

impl Default for Replication {
    fn default() -> Self {
        Replication::ALL
    }
}

struct Interpreter {
    lua: Lua,
    /// Runs a compiled script, and returns whether it returned and what.
    run: Function,
    /// The globals, and what scripts see of them.
    globals: Table,
    exchange: Rc<Exchange>,
    json_settings: Rc<json::Settings>,
    /// The scripts that have been compiled, and what came of it, by their digests.
    known: RefCell<HashMap<Digest, Arc<Script>>>,
    compiled: Table,
    /// Bytes that were in use when somebody was told.
    told_bytes: Cell<usize>,
}

impl Interpreter {
    fn new() -> mlua::Result<Interpreter> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
        let lua = Lua::new_with(libraries, LuaOptions::new().catch_rust_panics(false))?;
        let exchange = Rc::new(Exchange::default());
        let native = lua.create_table()?;
        let (random, seed) = random::functions(&lua)?;
        native.raw_set("random", guard::function(&lua, &random)?)?;
        native.raw_set("randomseed", guard::function(&lua, &seed)?)?;
        native.raw_set("plain", lua.create_function(errors::plain)?)?;
        native.raw_set("handler", lua.create_function(errors::handler)?)?;
        let json_settings = Rc::<json::Settings>::default();
        let libraries = lua.create_table()?;
        libraries.raw_set("redis", guard::library(&lua, api::table(&lua, &exchange)?)?)?;
        libraries.raw_set("bit", guard::library(&lua, bits::library(&lua)?)?)?;
        libraries.raw_set("struct", guard::library(&lua, pack::library(&lua)?)?)?;
        libraries.raw_set("cjson", guard::library(&lua, json::library(&lua, &json_settings)?)?)?;
        libraries.raw_set("cmsgpack", guard::library(&lua, msgpack::library(&lua)?)?)?;
        native.raw_set("libraries", libraries)?;
        let sandbox = lua.load(include_str!("sandbox.lua")).set_name(errors::SANDBOX);
        let (run, globals, seen) = sandbox.call::<(Function, Table, Table)>(native)?;
        lua.set_globals(seen)?;
        lua.set_memory_limit(MEMORY_MAX)?;
        look_from_time_to_time(&lua, &exchange)?;
        let (known, compiled, told_bytes) = (RefCell::default(), lua.create_table()?, Cell::new(0));
        Ok(Interpreter { lua, run, globals, exchange, json_settings, known, compiled, told_bytes })
    }

    /// The script as a function. Errors: the text of the error reply.
    fn compile(&self, script: &Arc<Script>) -> Result<Function, Vec<u8>> {
        let name = script.digest.as_str();
        let is_known = self.known.borrow().get(&script.digest).is_some_and(|known| Arc::ptr_eq(known, script));
        if is_known && let Ok(function) = self.compiled.raw_get(name) {
            return Ok(function);
        }
        let function = self.load(script.body())?;
        let mut known = self.known.borrow_mut();
        if known.len() >= KNOWN_MAX {
            known.retain(|digest, script| {
                let stays = !script.is_gone();
                if !stays {
                    // To take something out needs no memory.
                    let _ = self.compiled.raw_set(digest.as_str(), Value::Nil);
                }
                stays
            });
        }
        if self.compiled.raw_set(name, &function).is_ok() {
            known.insert(script.digest, Arc::clone(script));
        }
        Ok(function)
    }

    fn load(&self, body: &[u8]) -> Result<Function, Vec<u8>> {
        // What is compiled already is not taken: behind a blank it is text, and none that can be compiled.
        let masked;
        let body = if body.starts_with(b"\x1b") {
            masked = [b" ", body].concat();
            &masked
        } else {
            body
        };
        self.lua.load(body).set_name("@user_script").into_function().map_err(|error| {
            let reason = match error {
                Error::SyntaxError { message, .. } => message,
                Error::MemoryError(_) => "not enough memory".to_owned(),
                other => other.to_string(),
            };
            [b"ERR Error compiling script (new function): ", reason.as_bytes()].concat()
        })
    }

    /// A table of the arguments.
    fn table(&self, args: Args<'_>) -> mlua::Result<Table> {
        let table = self.lua.create_table_with_capacity(args.len(), 0)?;
        for (index, arg) in args.iter().enumerate() {
            table.raw_set(index + 1, self.lua.create_string(arg)?)?;
        }
        Ok(table)
    }

    fn call(
        &self,
        function: Function,
        input: &Input<'_>,
        host: &RefCell<&mut dyn Host>,
    ) -> mlua::Result<(bool, Value)> {
        self.globals.raw_set("KEYS", self.table(input.keys)?)?;
        self.globals.raw_set("ARGV", self.table(input.args)?)?;
        self.json_settings.reset();
        let exchange = &*self.exchange;
        exchange.replication.set(Replication::ALL);
        exchange.reply.borrow_mut().set_protocol(Protocol::Resp2);
        self.lua.scope(|scope| {
            let ask = scope.create_function(|lua, question: u8| {
                if question == LOOK {
                    return Ok(Value::Boolean(host.borrow_mut().look()));
                }
                let (request, mut reply) = (exchange.request.borrow(), exchange.reply.borrow_mut());
                if question == IS_ALLOWED {
                    let allowed = host.borrow_mut().is_allowed(request.args());
                    return Ok(allowed.map_or(Value::Nil, Value::Boolean));
                }
                reply.clear();
                match host.borrow_mut().call(request.args(), &mut reply, exchange.replication.get()) {
                    Ok(()) => Ok(Value::Nil),
                    Err(text) => lua.create_string(text).map(Value::String),
                }
            })?;
            *exchange.host.borrow_mut() = Some(ask);
            let result = self.run.call(function);
            *exchange.host.borrow_mut() = None;
            if exchange.is_killed.take() {
                look_from_time_to_time(&self.lua, &self.exchange)?;
            }
            result
        })
    }

    fn run(
        &self,
        script: &Arc<Script>,
        input: &Input<'_>,
        host: &mut dyn Host,
        reply: &mut Reply,
    ) -> Result<(), ScriptError> {
        let function = self.compile(script).map_err(|text| ScriptError { text, is_counted: false })?;
        let host = RefCell::new(host);
        let result = self.call(function, input, &host);
        let (is_value, value) = result.unwrap_or_else(|error| (false, Value::Error(Box::new(error))));
        if !is_value {
            let value = errors::plain(&self.lua, value).unwrap_or(Value::Nil);
            return Err(errors::outcome(script.digest.as_str(), &value));
        }
        let protocol = self.exchange.reply.borrow().protocol();
        let mut on_error = |error: &_, is_counted| host.borrow_mut().note_error(error, is_counted);
        let mut writer = reply::Writer { protocol, reply, on_error: &mut on_error };
        writer.write(&value, 0).map_err(|error| ScriptError { text: error.as_bytes().to_vec(), is_counted: false })
    }

    /// Collects what a large script has left, and tells how much memory there is in use.
    fn settle(&self, cache: &ScriptCache) {
        if self.lua.used_memory() > MEMORY_COLLECTED {
            self.lua.gc_restart();
            // Twice: what has a finaliser goes the second time.
            let collected = self.lua.gc_collect().and_then(|()| self.lua.gc_collect());
            debug_assert!(collected.is_ok());
        }
        let used = self.lua.used_memory();
        cache.note_interpreter(self.told_bytes.replace(used), used);
    }
}

/// Has the host look, from time to time, whether the script is to end.
fn look_from_time_to_time(lua: &Lua, exchange: &Rc<Exchange>) -> mlua::Result<()> {
    let exchange = Rc::clone(exchange);
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(INSTRUCTIONS_PER_LOOK), move |lua, _| {
        let host = exchange.host.borrow().clone();
        let Some(host) = host else { return Ok(VmState::Continue) };
        if !host.call::<bool>(LOOK)? {
            return Ok(VmState::Continue);
        }
        // The script may catch this: from now on it gets no further than to the next line.
        exchange.is_killed.set(true);
        lua.set_global_hook(HookTriggers::EVERY_LINE, |_, _| Err(killed()))?;
        Err(killed())
    })
}

fn killed() -> Error {
    Thrown::refusal("Script killed by user with SCRIPT KILL.")
}

/// Has the thread's interpreter do something.
fn with<R>(work: impl FnOnce(&Interpreter) -> R) -> Result<R, Vec<u8>> {
    INTERPRETER.with(|cell| match cell.get() {
        Some(interpreter) => Ok(work(interpreter)),
        None => {
            let made = Interpreter::new().map_err(|error| format!("ERR no interpreter: {error}").into_bytes())?;
            Ok(work(cell.get_or_init(|| made)))
        }
    })
}

/// Tells whether a text can be compiled. Errors: the text of the error reply.
pub fn check(shebang_len: usize, text: &[u8]) -> Result<(), Vec<u8>> {
    with(|interpreter| interpreter.load(&text[shebang_len..]).map(drop))?
}

/// Runs a script: what it wants done is done by `host`, and what it returns is appended to `reply`.
pub fn run(
    cache: &ScriptCache,
    script: &Arc<Script>,
    input: &Input<'_>,
    host: &mut dyn Host,
    reply: &mut Reply,
) -> Result<(), ScriptError> {
    let result = with(|interpreter| {
        let result = interpreter.run(script, input, host, reply);
        interpreter.settle(cache);
        result
    });
    result.unwrap_or_else(|text| Err(ScriptError { text, is_counted: false }))
}
