//! The libraries of functions that a thread has compiled: each when one of its functions is first called there.

use super::entrance::Program;
use super::errors::{self, ScriptError};
use super::interpreter::{FUNCTION_NAME, Interpreter, Kind};
use super::library::{Function, Library, LibraryFunction};
use super::register::{Callbacks, Registered};
use super::{Host, Input, Replication, ScriptCache};
use crate::resp::{Args, ErrorReply, Reply};
use mlua::RegistryKey;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

thread_local! {
    static FUNCTIONS: OnceCell<Functions> = const { OnceCell::new() };
}

/// An interpreter with the libraries that it has compiled.
struct Functions {
    interpreter: Interpreter,
    /// Each version of a library that was compiled, by the library's name, with its functions.
    known: RefCell<HashMap<String, (Weak<Library>, Callbacks)>>,
}

/// Watches over a library that is loaded, which can have nothing done.
pub(super) struct Watch {
    /// When it is to end, if it is.
    pub end: Option<Instant>,
}

impl Host for Watch {
    fn call(&mut self, _: Args<'_>, _: &mut Reply, _: Replication) -> Result<(), Vec<u8>> {
        Err(b"ERR redis.call/pcall can only be called inside a script invocation".to_vec())
    }

    fn is_allowed(&mut self, _: Args<'_>) -> Option<bool> {
        None
    }

    fn look(&mut self) -> Option<&'static str> {
        self.end.is_some_and(|end| Instant::now() >= end).then_some("FUNCTION LOAD timeout")
    }

    fn note_error(&mut self, _: &ErrorReply, _: bool) {}
}

impl Functions {
    /// Runs the text of a library, which takes no longer than `limit`. Errors: the text of the error reply.
    fn load(&self, body: &[u8], limit: Option<Duration>) -> Result<Registered, Vec<u8>> {
        let interpreter = &self.interpreter;
        let text = interpreter
            .compile(FUNCTION_NAME, body)
            .map_err(|reason| format!("ERR Error compiling function: {reason}").into_bytes())?;
        let failed = |reason: &[u8]| [b"ERR Error registering functions: ".as_slice(), reason].concat();
        *interpreter.exchange.registered.borrow_mut() = Some(Registered::default());
        let mut watch = Watch { end: limit.map(|limit| Instant::now() + limit) };
        let result = interpreter.load_library(&text, &mut watch);
        let registered = interpreter.exchange.registered.take();
        result.map_err(|thrown| failed(&errors::text_of(&thrown)))?;
        registered
            .filter(|registered| !registered.functions.is_empty())
            .ok_or_else(|| b"ERR No functions registered".to_vec())
    }

    /// A function of a library, which is compiled if it is not yet. Errors: the text of the error reply.
    fn find(&self, function: &Function) -> Result<Rc<RegistryKey>, Vec<u8>> {
        let library = &function.library;
        let named = |callbacks: &Callbacks| callbacks.get(function.name()).cloned();
        let missing = || b"ERR Function not found".to_vec();
        let mut known = self.known.borrow_mut();
        if let Some((version, callbacks)) = known.get(&library.name)
            && std::ptr::eq(version.as_ptr(), Arc::as_ptr(library))
        {
            return named(callbacks).ok_or_else(missing);
        }
        known.retain(|_, (version, _)| version.strong_count() > 0);
        // It has been loaded before, in time.
        let callbacks = self.load(library.body(), None)?.callbacks;
        let found = named(&callbacks).ok_or_else(missing);
        known.insert(library.name.clone(), (Arc::downgrade(library), callbacks));
        found
    }

    fn call(
        &self,
        function: &Function,
        input: &Input<'_>,
        host: &mut dyn Host,
        reply: &mut Reply,
    ) -> Result<(), ScriptError> {
        let callback = self.find(function).map_err(ScriptError::new)?;
        self.interpreter.run(function.name(), Program::Function(&callback), input, host, reply)
    }
}

/// Has the thread's interpreter for functions do something.
fn with<R>(cache: &ScriptCache, work: impl FnOnce(&Functions) -> R) -> Result<R, Vec<u8>> {
    FUNCTIONS.with(|cell| {
        let functions = match cell.get() {
            Some(functions) => functions,
            None => {
                let interpreter = Interpreter::new(Kind::Functions, cache.has_deprecated_api);
                let interpreter = interpreter.map_err(|error| format!("ERR no interpreter: {error}").into_bytes())?;
                cell.get_or_init(|| Functions { interpreter, known: RefCell::default() })
            }
        };
        let result = work(functions);
        functions.interpreter.settle(cache);
        Ok(result)
    })
}

/// Loads a text, whose head is `head_len` bytes long, and returns the functions that it registers. Errors: the text of the error
/// reply.
pub(super) fn load(
    cache: &ScriptCache,
    head_len: usize,
    text: &[u8],
    limit: Option<Duration>,
) -> Result<Vec<LibraryFunction>, Vec<u8>> {
    with(cache, |functions| Ok(functions.load(&text[head_len..], limit)?.functions))?
}

/// Calls a function: what it wants done is done by `host`, and what it returns is appended to `reply`.
pub fn call(
    cache: &ScriptCache,
    function: &Function,
    input: &Input<'_>,
    host: &mut dyn Host,
    reply: &mut Reply,
) -> Result<(), ScriptError> {
    let result = with(cache, |functions| functions.call(function, input, host, reply));
    result.unwrap_or_else(|text| Err(ScriptError::new(text)))
}
