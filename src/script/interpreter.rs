//! An interpreter of one thread: what scripts, or functions of libraries, run in.

use super::entrance::{Entrance, Failure, Program, ask_host};
use super::errors::{self, ScriptError, Thrown};
use super::{Host, Input, ScriptCache, api, bits, guard, json, msgpack, pack, random, register, strings};
use crate::resp::{Protocol, Reply, RequestBuffer};
use mlua::{Error, Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value, VmState};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Bytes that an interpreter may take: scripts that want more get Lua's error.
pub(super) const MEMORY_MAX: usize = 1 << 30;
/// Bytes from which on what a script has left behind is collected when it ends.
const MEMORY_COLLECTED: usize = 32 << 20;

/// Bytes by which the memory in use must have changed for others to be told of it.
const MEMORY_TOLD: usize = 16 << 10;

/// Instructions between two looks at the clock, and how many they are while these take long: one may copy hundreds of megabytes.
const INSTRUCTIONS_PER_LOOK: u32 = 1_000;
const SLOW_INSTRUCTIONS_PER_LOOK: u32 = 10;
/// Instructions between two looks are slow from this long on, and no longer below that.
const SLOW: Duration = Duration::from_millis(10);
const FAST: Duration = Duration::from_micros(50);
/// How often the host looks whether a script is to end.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// Names of what is compiled.
pub(super) const SCRIPT_NAME: &str = "@user_script";
pub(super) const FUNCTION_NAME: &str = "@user_function";

scoped_tls_hkt::scoped_thread_local! {
    /// Who does what is wanted, while a script runs on this thread; not while that is being done.
    pub(super) static mut HOST: for<'h> &'h mut (dyn Host + 'h)
}

/// What an interpreter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Scripts,
    Functions,
}

/// What the functions of `redis` and the one who runs the script hand each other.
#[derive(Default)]
pub(super) struct Exchange {
    pub request: RefCell<RequestBuffer>,
    pub reply: RefCell<Reply>,
    /// The text of the error that a command got.
    pub error: RefCell<Vec<u8>>,
    pub replication: Cell<super::Replication>,
    /// The functions that a library has registered, while it is loaded.
    pub registered: RefCell<Option<register::Registered>>,
    /// When the clock was last looked at, and when the host was last asked.
    clock: Cell<Option<Instant>>,
    asked: Cell<Option<Instant>>,
    /// Steps that functions of ours have left until the host looks again (`pace`).
    pub steps_left: Cell<usize>,
    /// Bytes that functions of ours have taken for strings that they make.
    pub outside: Cell<usize>,
    /// The script has asked something of the collector.
    pub is_collector_changed: Cell<bool>,
    /// The script is slow, or is ended before its time and gets an error wherever it goes on.
    is_hook_changed: Cell<bool>,
}

impl Default for super::Replication {
    fn default() -> Self {
        super::Replication::ALL
    }
}

pub(super) struct Interpreter {
    kind: Kind,
    pub lua: Lua,
    entrance: Entrance,
    /// Runs the text of a library, and returns whether it returned and what.
    load_library: Function,
    pub exchange: Rc<Exchange>,
    json_settings: Rc<json::Settings>,
    /// Bytes that were in use when somebody was told, and who was.
    told: RefCell<Option<(Arc<AtomicUsize>, usize)>>,
}

impl Interpreter {
    /// An interpreter; `has_deprecated_api`: scripts have what is in `deprecated.lua`.
    pub fn new(kind: Kind, has_deprecated_api: bool) -> mlua::Result<Interpreter> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
        let lua = Lua::new_with(libraries, LuaOptions::new().catch_rust_panics(false))?;
        let exchange = Rc::new(Exchange::default());
        lua.set_app_data(Rc::clone(&exchange));
        for name in [SCRIPT_NAME, FUNCTION_NAME] {
            // Lua's parser takes it for granted that somebody holds the name of what it reads.
            lua.set_named_registry_value(name, name)?;
        }
        let native = lua.create_table()?;
        let insertion = |lua: &Lua, (native, guarded): (Function, Table)| guard::insertion(lua, &native, &guarded);
        native.raw_set("insertion", lua.create_function(insertion)?)?;
        let noting = Rc::clone(&exchange);
        let noting = lua.create_function(move |lua, native: Function| guard::noting(lua, &native, &noting))?;
        native.raw_set("noting", noting)?;
        native.raw_set("unpack", lua.create_function(|lua, unpack: Function| guard::unpack(lua, &unpack))?)?;
        let callbacks = |lua: &Lua, (native, counted): (Function, Function)| guard::callbacks(lua, &native, &counted);
        native.raw_set("callbacks", lua.create_function(callbacks)?)?;
        let sort = |lua: &Lua, (native, counted, is_less): (Function, Function, Function)| {
            guard::sort(lua, &native, &counted, &is_less)
        };
        native.raw_set("sort", lua.create_function(sort)?)?;
        native.raw_set("strings", strings::functions(&lua, &exchange)?)?;
        let (random, seed) = random::functions(&lua)?;
        native.raw_set("random", guard::function(&lua, &random)?)?;
        native.raw_set("randomseed", guard::function(&lua, &seed)?)?;
        native.raw_set("plain", lua.create_function(errors::plain)?)?;
        let handler = lua.create_function(errors::handler)?;
        native.raw_set("handler", &handler)?;
        if kind == Kind::Functions {
            native.raw_set("at_load", guard::library(&lua, api::at_load(&lua, &exchange)?)?)?;
        }
        if has_deprecated_api {
            native.raw_set("has_deprecated_api", true)?;
            let deprecated = lua.load(include_str!("deprecated.lua")).set_name(errors::SANDBOX);
            native.raw_set("add_deprecated", deprecated.into_function()?)?;
        }
        let json_settings = Rc::<json::Settings>::default();
        let libraries = lua.create_table()?;
        libraries.raw_set("redis", api::table(&lua, &exchange, kind)?)?;
        libraries.raw_set("bit", guard::library(&lua, bits::library(&lua)?)?)?;
        libraries.raw_set("struct", guard::library(&lua, pack::library(&lua)?)?)?;
        libraries.raw_set("cjson", guard::library(&lua, json::library(&lua, &json_settings)?)?)?;
        libraries.raw_set("cmsgpack", guard::library(&lua, msgpack::library(&lua)?)?)?;
        native.raw_set("libraries", libraries)?;
        let sandbox = lua.load(include_str!("sandbox.lua")).set_name(errors::SANDBOX);
        let (globals, seen, load_library) = sandbox.call::<(Table, Table, Function)>(native)?;
        lua.set_globals(seen.clone())?;
        let environment = has_deprecated_api.then_some(&seen);
        let entrance = Entrance::new(&lua, &exchange, handler, &globals, environment)?;
        lua.set_memory_limit(MEMORY_MAX)?;
        look_from_time_to_time(&lua, &exchange)?;
        Ok(Interpreter { kind, lua, entrance, load_library, exchange, json_settings, told: RefCell::default() })
    }

    /// A text as a function. Errors: why it cannot be compiled.
    pub fn compile(&self, name: &str, text: &[u8]) -> Result<Function, String> {
        // What is compiled already is not taken: behind a blank it is text, and none that can be compiled.
        let masked;
        let text = if text.starts_with(b"\x1b") {
            masked = [b" ", text].concat();
            &masked
        } else {
            text
        };
        self.lua.load(text).set_name(name).into_function().map_err(|error| match error {
            Error::SyntaxError { message, .. } => message,
            Error::MemoryError(_) => "not enough memory".to_owned(),
            other => other.to_string(),
        })
    }

    /// What every script, function and library finds when it begins.
    fn begin(&self) {
        self.json_settings.reset();
        let exchange = &*self.exchange;
        exchange.replication.set(super::Replication::ALL);
        exchange.reply.borrow_mut().set_protocol(Protocol::Resp2);
        exchange.clock.set(None);
        exchange.asked.set(None);
    }

    /// Takes back what it did to the interpreter.
    fn end(&self) -> mlua::Result<()> {
        // For want of memory, what was answered may not have reached the script.
        self.exchange.reply.borrow_mut().clear();
        if self.exchange.is_collector_changed.take() {
            guard::restore_collector(&self.lua);
        }
        if self.exchange.is_hook_changed.take() {
            look_from_time_to_time(&self.lua, &self.exchange)?;
        }
        Ok(())
    }

    /// Runs the text of a library. Errors: what was thrown, as a Lua value.
    pub fn load_library(&self, text: &Function, host: &mut dyn Host) -> Result<(), Value> {
        self.begin();
        let result = HOST.set(host, || self.load_library.call::<(bool, Value)>(text));
        match self.end().and(result) {
            Ok((true, _)) => Ok(()),
            Ok((false, thrown)) => Err(self.plain(thrown)),
            Err(error) => Err(self.plain(Value::Error(Box::new(error)))),
        }
    }

    fn plain(&self, thrown: Value) -> Value {
        errors::plain(&self.lua, thrown).unwrap_or(Value::Nil)
    }

    /// Runs a compiled script or function of this name, and appends what it returns to `reply`.
    pub fn run(
        &self,
        name: &str,
        program: Program<'_>,
        input: &Input<'_>,
        host: &mut dyn Host,
        reply: &mut Reply,
    ) -> Result<(), ScriptError> {
        self.begin();
        let result = self.entrance.enter(program, input, host, reply);
        let result = self.end().map_err(|error| Failure::Thrown(Value::Error(Box::new(error)))).and(result);
        result.map_err(|failure| match failure {
            Failure::Thrown(thrown) => errors::outcome(name, &self.plain(thrown)),
            Failure::Unwritten(error) => ScriptError::new(error.as_bytes()),
        })
    }

    /// Collects what a large script has left, and tells how much memory there is in use.
    pub fn settle(&self, cache: &ScriptCache) {
        if self.lua.used_memory() > MEMORY_COLLECTED {
            self.lua.gc_restart();
            // Twice: what has a finaliser goes the second time.
            let collected = self.lua.gc_collect().and_then(|()| self.lua.gc_collect());
            debug_assert!(collected.is_ok());
        }
        let used = self.lua.used_memory();
        let figure = cache.interpreter_bytes(self.kind);
        let mut told = self.told.borrow_mut();
        let (_, before) = told.get_or_insert_with(|| (Arc::clone(figure), 0));
        if used.abs_diff(*before) >= MEMORY_TOLD {
            figure.fetch_add(used.wrapping_sub(*before), Ordering::Relaxed);
            *before = used;
        }
    }
}

impl Drop for Interpreter {
    fn drop(&mut self) {
        if let Some((figure, used)) = self.told.take() {
            figure.fetch_sub(used, Ordering::Relaxed);
        }
    }
}

/// Has the host look, from time to time, whether the script is to end.
fn look_from_time_to_time(lua: &Lua, exchange: &Rc<Exchange>) -> mlua::Result<()> {
    look_at_the_clock_every(lua, exchange, INSTRUCTIONS_PER_LOOK)
}

fn look_at_the_clock_every(lua: &Lua, exchange: &Rc<Exchange>, instructions: u32) -> mlua::Result<()> {
    let exchange = Rc::clone(exchange);
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(instructions), move |lua, _| {
        let now = Instant::now();
        let took = exchange.clock.replace(Some(now)).map_or(Duration::ZERO, |before| now - before);
        let next = if took >= SLOW {
            SLOW_INSTRUCTIONS_PER_LOOK
        } else if took < FAST {
            INSTRUCTIONS_PER_LOOK
        } else {
            instructions
        };
        if next != instructions {
            exchange.is_hook_changed.set(true);
            look_at_the_clock_every(lua, &exchange, next)?;
        }
        if exchange.asked.get().is_none_or(|asked| now - asked >= LOOK_INTERVAL) {
            exchange.asked.set(Some(now));
            look(lua, &exchange)?;
        }
        Ok(VmState::Continue)
    })
}

/// Has the host look whether the script is to end. Errors: it is.
pub(super) fn look(lua: &Lua, exchange: &Exchange) -> mlua::Result<()> {
    let reason = if HOST.is_set() { ask_host(|host| host.look()) } else { None };
    let Some(reason) = reason else { return Ok(()) };
    // The script may catch this: from now on it gets no further than to the next line.
    exchange.is_hook_changed.set(true);
    let killed = Thrown::refusal(reason);
    lua.set_global_hook(HookTriggers::EVERY_LINE, move |_, _| Err(Thrown::refusal(reason)))?;
    Err(killed)
}
