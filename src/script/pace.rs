//! What functions of ours cost while no instruction of a script is counted: they say how far they got, and every so often the
//! host looks whether the script is to end; and they ask before they take memory, as if it were the interpreter's.

use super::interpreter::{Exchange, MEMORY_MAX, look};
use mlua::{Error, Lua};
use std::rc::Rc;

/// Steps of a function of ours, each some nanoseconds, between two looks.
pub(super) const STEPS_PER_LOOK: usize = 200_000;
/// Bytes that are copied in the time of a step.
const BYTES_PER_STEP: usize = 64;

/// A function of ours at work.
pub(super) struct Pace<'a> {
    lua: &'a Lua,
    exchange: Rc<Exchange>,
}

impl<'a> Pace<'a> {
    pub fn new(lua: &'a Lua) -> mlua::Result<Pace<'a>> {
        let exchange = lua.app_data_ref::<Rc<Exchange>>().map(|exchange| Rc::clone(&exchange));
        exchange.map(|exchange| Pace { lua, exchange }).ok_or_else(|| Error::runtime("no exchange"))
    }

    /// The same for one that has the exchange at hand.
    pub fn of(lua: &'a Lua, exchange: &Rc<Exchange>) -> Pace<'a> {
        Pace { lua, exchange: Rc::clone(exchange) }
    }

    pub fn lua(&self) -> &'a Lua {
        self.lua
    }

    /// So many steps have been made. They add up over all functions that a script calls. Errors: the script is to end.
    #[inline]
    pub fn spend(&self, steps: usize) -> mlua::Result<()> {
        match self.exchange.steps_left.get().checked_sub(steps) {
            Some(left) => {
                self.exchange.steps_left.set(left);
                Ok(())
            }
            None => self.look(),
        }
    }

    #[cold]
    fn look(&self) -> mlua::Result<()> {
        self.exchange.steps_left.set(STEPS_PER_LOOK);
        look(self.lua, &self.exchange)
    }

    /// Makes room for so many more bytes. Errors: the interpreter has not as many left, or the script is to end.
    #[inline]
    pub fn make_room(&self, out: &mut Vec<u8>, more: usize) -> mlua::Result<()> {
        if out.capacity() - out.len() < more {
            self.grow(out, more)?;
        }
        self.spend(1 + more / BYTES_PER_STEP)
    }

    #[cold]
    fn grow(&self, out: &mut Vec<u8>, more: usize) -> mlua::Result<()> {
        // As a vector grows, unless that would be too much where less is not.
        let len = out.len().saturating_add(more);
        let doubled = len.max(out.capacity() * 2).max(64);
        let capacity = match self.allow(doubled) {
            Ok(()) => doubled,
            Err(_) => {
                self.allow(len)?;
                len
            }
        };
        out.reserve_exact(capacity - out.len());
        Ok(())
    }

    /// So many bytes are about to be taken. Errors: the interpreter has not as many left.
    pub fn allow(&self, bytes: usize) -> mlua::Result<()> {
        let fits = || {
            let taken = self.lua.used_memory() + self.exchange.outside.get();
            taken.checked_add(bytes).is_some_and(|taken| taken <= MEMORY_MAX)
        };
        if !fits() {
            self.lua.gc_collect()?;
            if !fits() {
                return Err(Error::MemoryError("not enough memory".to_owned()));
            }
        }
        Ok(())
    }
}

/// Bytes that become a Lua string. They count as the interpreter's memory.
pub(super) struct Output {
    bytes: Vec<u8>,
    exchange: Rc<Exchange>,
}

impl Output {
    pub fn new(pace: &Pace<'_>) -> Output {
        Output { bytes: Vec::new(), exchange: Rc::clone(&pace.exchange) }
    }

    /// Appends bytes. Errors: the interpreter has not enough memory left, or the script is to end.
    #[inline]
    pub fn push(&mut self, pace: &Pace<'_>, bytes: &[u8]) -> mlua::Result<()> {
        let before = self.bytes.capacity();
        pace.make_room(&mut self.bytes, bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        let grown = self.bytes.capacity() - before;
        if grown > 0 {
            self.exchange.outside.set(self.exchange.outside.get() + grown);
        }
        Ok(())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.exchange.outside.set(self.exchange.outside.get() - self.bytes.capacity());
    }
}
