//! An interpreter of one thread: what scripts, or functions of libraries, run in.

use super::errors::{self, ScriptError, Thrown};
use super::{Host, ScriptCache, api, bits, guard, json, msgpack, pack, random, register, reply, strings};
use crate::resp::{Args, Protocol, Reply, RequestBuffer};
use mlua::{Error, Function, HookTriggers, Lua, LuaOptions, MultiValue, StdLib, Table, Value, VmState};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Bytes that an interpreter may take: scripts that want more get Lua's error.
pub(super) const MEMORY_MAX: usize = 1 << 30;
/// Bytes from which on what a script has left behind is collected when it ends.
const MEMORY_COLLECTED: usize = 32 << 20;

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
    /// Runs a compiled script or a function, and returns whether it returned and what.
    pub run: Function,
    /// The same for the text of a library.
    pub load_library: Function,
    /// The globals, and what scripts see of them.
    pub globals: Table,
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
        native.raw_set("insertion", lua.create_function(|lua, insert: Function| guard::insertion(lua, &insert))?)?;
        let noting = |lua: &Lua, (native, note): (Function, Table)| guard::noting(lua, &native, &note);
        native.raw_set("noting", lua.create_function(noting)?)?;
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
        native.raw_set("handler", lua.create_function(errors::handler)?)?;
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
        libraries.raw_set("redis", guard::library(&lua, api::table(&lua, &exchange, kind)?)?)?;
        libraries.raw_set("bit", guard::library(&lua, bits::library(&lua)?)?)?;
        libraries.raw_set("struct", guard::library(&lua, pack::library(&lua)?)?)?;
        libraries.raw_set("cjson", guard::library(&lua, json::library(&lua, &json_settings)?)?)?;
        libraries.raw_set("cmsgpack", guard::library(&lua, msgpack::library(&lua)?)?)?;
        native.raw_set("libraries", libraries)?;
        let sandbox = lua.load(include_str!("sandbox.lua")).set_name(errors::SANDBOX);
        let (run, globals, seen, load_library) = sandbox.call::<(Function, Table, Table, Function)>(native)?;
        lua.set_globals(seen)?;
        lua.set_memory_limit(MEMORY_MAX)?;
        look_from_time_to_time(&lua, &exchange)?;
        let told = RefCell::default();
        Ok(Interpreter { kind, lua, run, load_library, globals, exchange, json_settings, told })
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

    /// A table of the arguments.
    pub fn table(&self, args: Args<'_>) -> mlua::Result<Table> {
        let table = self.lua.create_table_with_capacity(args.len(), 0)?;
        for (index, arg) in args.iter().enumerate() {
            table.raw_set(index + 1, self.lua.create_string(arg)?)?;
        }
        Ok(table)
    }

    /// Calls one of the sandbox's functions while `host` does what is wanted. Errors: what was thrown, as a Lua value.
    pub fn call(
        &self,
        function: &Function,
        args: mlua::Result<MultiValue>,
        host: &mut dyn Host,
    ) -> Result<Value, Value> {
        self.json_settings.reset();
        let exchange = &*self.exchange;
        exchange.replication.set(super::Replication::ALL);
        exchange.reply.borrow_mut().set_protocol(Protocol::Resp2);
        let now = Instant::now();
        exchange.clock.set(Some(now));
        exchange.asked.set(Some(now));
        let result = args.and_then(|args| {
            let result = HOST.set(host, || function.call::<(bool, Value)>(args));
            if exchange.is_hook_changed.take() {
                look_from_time_to_time(&self.lua, &self.exchange)?;
            }
            result
        });
        match result {
            Ok((true, value)) => Ok(value),
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
        args: mlua::Result<MultiValue>,
        host: &mut dyn Host,
        reply: &mut Reply,
    ) -> Result<(), ScriptError> {
        let value = self.call(&self.run, args, host).map_err(|thrown| errors::outcome(name, &thrown))?;
        let protocol = self.exchange.reply.borrow().protocol();
        let host = RefCell::new(host);
        let mut on_error = |error: &_, is_counted| host.borrow_mut().note_error(error, is_counted);
        let mut look = || host.borrow_mut().look();
        let mut writer = reply::Writer::new(protocol, reply, &mut on_error, &mut look);
        writer.write(&value, 0).map_err(|error| ScriptError::new(error.as_bytes()))
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
        let before = self.told.borrow_mut().replace((Arc::clone(figure), used)).map_or(0, |(_, before)| before);
        figure.fetch_add(used.wrapping_sub(before), Ordering::Relaxed);
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
    let reason = if HOST.is_set() { HOST.with(|host| host.look()) } else { None };
    let Some(reason) = reason else { return Ok(()) };
    // The script may catch this: from now on it gets no further than to the next line.
    exchange.is_hook_changed.set(true);
    let killed = Thrown::refusal(reason);
    lua.set_global_hook(HookTriggers::EVERY_LINE, move |_, _| Err(Thrown::refusal(reason)))?;
    Err(killed)
}
