//! The scripts that a thread has compiled.

use super::entrance::Program;
use super::errors::ScriptError;
use super::interpreter::{Interpreter, Kind, SCRIPT_NAME};
use super::{Digest, Host, Input, Script, ScriptCache};
use crate::resp::Reply;
use mlua::{Function, RegistryKey};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// Compiled scripts that a thread keeps before it looks which of them have been forgotten.
const KNOWN_MAX: usize = 1024;

thread_local! {
    static SCRIPTS: RefCell<Option<Rc<Scripts>>> = const { RefCell::new(None) };
}

/// An interpreter with what it has compiled.
struct Scripts {
    interpreter: Interpreter,
    /// What [`ScriptCache::generation`] was when it began.
    generation: u64,
    /// The scripts that have been compiled, by their digests.
    known: RefCell<HashMap<Digest, Compiled>>,
    /// The one that was run last.
    latest: RefCell<Option<Compiled>>,
}

/// A script with what came of it.
#[derive(Clone)]
struct Compiled {
    script: Arc<Script>,
    function: Rc<RegistryKey>,
}

impl Scripts {
    fn new(cache: &ScriptCache) -> mlua::Result<Scripts> {
        let interpreter = Interpreter::new(Kind::Scripts, cache.has_deprecated_api)?;
        let generation = cache.generation();
        Ok(Scripts { interpreter, generation, known: RefCell::default(), latest: RefCell::default() })
    }

    fn is_current(&self, cache: &ScriptCache) -> bool {
        self.generation == cache.generation()
    }

    fn load(&self, body: &[u8]) -> Result<Function, Vec<u8>> {
        let compiled = self.interpreter.compile(SCRIPT_NAME, body);
        compiled.map_err(|reason| format!("ERR Error compiling script (new function): {reason}").into_bytes())
    }

    /// The script as a function. Errors: the text of the error reply.
    fn compile(&self, script: &Arc<Script>) -> Result<Rc<RegistryKey>, Vec<u8>> {
        let is_meant = |compiled: &&Compiled| Arc::ptr_eq(&compiled.script, script);
        if let Some(compiled) = self.latest.borrow().as_ref().filter(is_meant) {
            return Ok(Rc::clone(&compiled.function));
        }
        let known = self.known.borrow().get(&script.digest).filter(is_meant).cloned();
        let compiled = match known {
            Some(compiled) => compiled,
            None => self.compile_anew(script)?,
        };
        Ok(Rc::clone(&self.latest.borrow_mut().insert(compiled).function))
    }

    fn compile_anew(&self, script: &Arc<Script>) -> Result<Compiled, Vec<u8>> {
        let lua = &self.interpreter.lua;
        let function = lua.create_registry_value(self.load(script.body())?);
        let function = function.map_err(|error| format!("ERR {error}").into_bytes())?;
        let compiled = Compiled { script: Arc::clone(script), function: Rc::new(function) };
        let mut known = self.known.borrow_mut();
        if known.len() >= KNOWN_MAX {
            known.retain(|_, compiled| !compiled.script.is_gone());
        }
        known.insert(script.digest, compiled.clone());
        lua.expire_registry_values();
        Ok(compiled)
    }

    fn run(
        &self,
        script: &Arc<Script>,
        input: &Input<'_>,
        host: &mut dyn Host,
        reply: &mut Reply,
    ) -> Result<(), ScriptError> {
        let function = self.compile(script).map_err(ScriptError::new)?;
        self.interpreter.run(script.digest.as_str(), Program::Script(&function), input, host, reply)
    }
}

/// The thread's interpreter for scripts. Errors: the text of the error reply.
fn of_this_thread(cache: &ScriptCache) -> Result<Rc<Scripts>, Vec<u8>> {
    SCRIPTS.with_borrow_mut(|slot| {
        let scripts = match slot.take().filter(|scripts| scripts.is_current(cache)) {
            Some(scripts) => scripts,
            None => Rc::new(Scripts::new(cache).map_err(|error| format!("ERR no interpreter: {error}").into_bytes())?),
        };
        Ok(Rc::clone(slot.insert(scripts)))
    })
}

/// Frees the thread's interpreter for scripts if all have been forgotten since it began.
pub fn give_back(cache: &ScriptCache) {
    SCRIPTS.with_borrow_mut(|slot| drop(slot.take_if(|scripts| !scripts.is_current(cache))));
}

/// Tells whether a text can be compiled. Errors: the text of the error reply.
pub fn check(cache: &ScriptCache, shebang_len: usize, text: &[u8]) -> Result<(), Vec<u8>> {
    of_this_thread(cache)?.load(&text[shebang_len..]).map(drop)
}

/// Runs a script: what it wants done is done by `host`, and what it returns is appended to `reply`.
pub fn run(
    cache: &ScriptCache,
    script: &Arc<Script>,
    input: &Input<'_>,
    host: &mut dyn Host,
    reply: &mut Reply,
) -> Result<(), ScriptError> {
    let scripts = of_this_thread(cache).map_err(ScriptError::new)?;
    let result = scripts.run(script, input, host, reply);
    scripts.interpreter.settle(cache);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{OwnedRequest, Protocol};
    use crate::script::Shebang;
    use crate::script::functions::Watch;

    fn run(scripts: &Scripts, cache: &ScriptCache, text: &str) -> Result<String, String> {
        let script = cache.insert(Digest::of(text.as_bytes()), text.as_bytes(), (Shebang::default(), false), true);
        let nothing = OwnedRequest::new([].into_iter());
        let (input, mut reply) = (Input { keys: nothing.args(), args: nothing.args() }, Reply::new(Protocol::Resp2));
        let result = scripts.run(&script, &input, &mut Watch { end: None }, &mut reply);
        scripts.interpreter.settle(cache);
        result.map_err(|error| String::from_utf8_lossy(&error.text).into_owned())?;
        Ok(String::from_utf8_lossy(reply.as_bytes()).into_owned())
    }

    #[test]
    fn a_script_that_wants_all_memory_gets_an_error_and_leaves_none_behind() {
        let cache = ScriptCache::default();
        let scripts = Scripts::new(&cache).unwrap();
        assert_eq!(run(&scripts, &cache, "return 1"), Ok(":1\r\n".into()));
        scripts.interpreter.lua.set_memory_limit(64 << 20).unwrap();
        for text in [
            "local t = {} while true do t[#t + 1] = {} end",
            "local s = 'x' while true do s = s .. s end",
            "return string.rep('x', 2^30)",
            "local f f = function() return {f()} end return f()",
            "local t = {} for i = 1, 2^40 do t[i] = tostring(i) end",
        ] {
            let error = run(&scripts, &cache, text).unwrap_err();
            let is_refused = ["not enough memory", "stack overflow"].iter().any(|reason| error.contains(reason));
            assert!(is_refused, "{text}: {error}");
            assert_eq!(run(&scripts, &cache, "return 1"), Ok(":1\r\n".into()), "{text}");
            assert!(cache.figures().interpreter_bytes < 33 << 20, "{text}: {:?}", cache.figures());
        }
        drop(scripts);
        assert_eq!(cache.figures().interpreter_bytes, 0);
    }

    #[test]
    fn an_interpreter_goes_with_its_scripts() {
        let cache = ScriptCache::default();
        let is_there = || SCRIPTS.with_borrow(|scripts| scripts.is_some());
        assert_eq!(check(&cache, 0, b"return 1"), Ok(()));
        give_back(&cache);
        assert!(is_there(), "nothing was forgotten");
        let before = Rc::downgrade(&of_this_thread(&cache).unwrap());
        cache.flush();
        assert_eq!(check(&cache, 0, b"return 1"), Ok(()));
        assert!(before.upgrade().is_none(), "it was used again");
        cache.flush();
        give_back(&cache);
        assert!(!is_there());
    }
}
