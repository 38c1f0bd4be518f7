//! Between replies and Lua values, on Lua's stack: what a command answered becomes a value, and what a script returns a reply.
//!
//! Lua's errors leave these functions by jumping past them (`entrance` says what follows from that).

use super::arguments::truncated;
use super::entrance::ask_host;
use super::errors::before_zero;
use super::interpreter::MEMORY_MAX;
use crate::resp::{CommandResult, ErrorReply, Protocol, Reply};
use crate::value::double;
use mlua::ffi;
use std::borrow::Cow;
use std::ffi::c_int;

/// Tables within tables that are taken apart. Redis' own limit is that of Lua's stack, some thousands.
const DEPTH_MAX: usize = 500;
/// What a value that is made, or one that is taken apart, has on the stack beside what lies within it.
const SLOTS_PER_LEVEL: c_int = 4;

/// Pushes a string.
///
/// # Safety
/// `state` is that of a call which has a place left on its stack, and an error may pass by the caller.
pub(super) unsafe fn push_string(state: *mut ffi::lua_State, bytes: &[u8]) {
    // SAFETY: the bytes are copied.
    unsafe { ffi::lua_pushlstring_(state, bytes.as_ptr().cast(), bytes.len()) }
}

/// Gives the table below the top a field, which is at the top, and takes that from the stack.
unsafe fn set_field(state: *mut ffi::lua_State, name: &[u8]) {
    // SAFETY: that of `push`, which all callers have.
    unsafe {
        push_string(state, name);
        ffi::lua_insert(state, -2);
        ffi::lua_rawset(state, -3);
    }
}

/// A length that a table is made for: so many elements are there in the reply.
fn capacity(len: usize) -> c_int {
    len.try_into().unwrap_or(c_int::MAX)
}

/// Pushes the value of the reply at the begin of `bytes`. Returns what follows it.
///
/// # Safety
/// As for [`push_string`].
pub(super) unsafe fn push(state: *mut ffi::lua_State, bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\r', bytes).unwrap_or(bytes.len());
    let (line, rest) = bytes.split_at(end);
    let rest = rest.get(2..).unwrap_or_default();
    let (kind, text) = line.split_first().map_or((0, line), |(kind, text)| (*kind, text));
    let count = || std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok()).unwrap_or(-1);
    // SAFETY: there is room for what is pushed, since each level makes it; what was pushed is at the top.
    unsafe {
        match kind {
            b':' => ffi::lua_pushnumber(state, count() as f64),
            b'$' | b'=' => {
                let content = usize::try_from(count()).ok().and_then(|len| rest.split_at_checked(len));
                let Some((content, rest)) = content else {
                    ffi::lua_pushboolean(state, 0);
                    return rest;
                };
                if kind == b'$' {
                    push_string(state, content);
                } else {
                    push_verbatim(state, content);
                }
                return rest.get(2..).unwrap_or_default();
            }
            b'+' => push_single(state, b"ok", text),
            b'-' => push_error(state, text, false),
            b'*' | b'>' => match usize::try_from(count()) {
                Ok(len) => return push_sequence(state, len, rest),
                Err(_) => ffi::lua_pushboolean(state, 0),
            },
            b'%' => return push_keyed(state, b"map", count().max(0) as usize, rest, false),
            b'~' => return push_keyed(state, b"set", count().max(0) as usize, rest, true),
            // Scripts are not told of attributes, but of what follows them.
            b'|' => {
                let mut rest = rest;
                for _ in 0..2 * count().max(0) {
                    rest = push(state, rest);
                    ffi::lua_pop(state, 1);
                }
                return push(state, rest);
            }
            b'#' => ffi::lua_pushboolean(state, c_int::from(text == b"t")),
            b',' => {
                let number = double::parse(text).unwrap_or(f64::NAN);
                ffi::lua_createtable(state, 0, 1);
                ffi::lua_pushnumber(state, number);
                set_field(state, b"double");
            }
            b'(' => push_single(state, b"big_number", text),
            _ => ffi::lua_pushnil(state),
        }
    }
    rest
}

/// Pushes a table with one field.
///
/// # Safety
/// As for [`push_string`], with three places.
unsafe fn push_single(state: *mut ffi::lua_State, name: &[u8], text: &[u8]) {
    // SAFETY: see above.
    unsafe {
        ffi::lua_createtable(state, 0, 1);
        push_string(state, text);
        set_field(state, name);
    }
}

/// Pushes the table that stands for an error reply; `is_counted`: it has been counted where it arose.
///
/// # Safety
/// As for [`push_string`], with three places.
pub(super) unsafe fn push_error(state: *mut ffi::lua_State, text: &[u8], is_counted: bool) {
    // SAFETY: see above.
    unsafe {
        push_single(state, b"err", text);
        if is_counted {
            ffi::lua_pushboolean(state, 1);
            set_field(state, b"ignore_error_stats_update");
        }
    }
}

unsafe fn push_verbatim(state: *mut ffi::lua_State, content: &[u8]) {
    // SAFETY: that of `push`.
    unsafe {
        ffi::lua_createtable(state, 0, 1);
        ffi::lua_createtable(state, 0, 2);
        push_string(state, content.get(4..).unwrap_or_default());
        set_field(state, b"string");
        push_string(state, content.get(..3).unwrap_or_default());
        set_field(state, b"format");
        set_field(state, b"verbatim_string");
    }
}

/// Makes room for another level. Lua's error if there is none.
unsafe fn make_room(state: *mut ffi::lua_State) {
    // SAFETY: that of `push`.
    unsafe { ffi::luaL_checkstack(state, SLOTS_PER_LEVEL, c"too many levels".as_ptr()) }
}

unsafe fn push_sequence(state: *mut ffi::lua_State, len: usize, mut rest: &[u8]) -> &[u8] {
    // SAFETY: that of `push`. A missing value leaves its place empty.
    unsafe {
        make_room(state);
        ffi::lua_createtable(state, capacity(len), 0);
        for index in 1..=capacity(len) {
            rest = push(state, rest);
            ffi::lua_rawseti_(state, -2, index);
        }
    }
    rest
}

/// Pushes a table with one field, `name`: a table of keys, which are `len` values of the reply, each with the one that follows it,
/// or with `true` if it is a set's.
unsafe fn push_keyed<'r>(
    state: *mut ffi::lua_State,
    name: &[u8],
    len: usize,
    mut rest: &'r [u8],
    is_set: bool,
) -> &'r [u8] {
    // SAFETY: that of `push`.
    unsafe {
        make_room(state);
        ffi::lua_createtable(state, 0, 1);
        ffi::lua_createtable(state, 0, capacity(len));
        for _ in 0..len {
            rest = push(state, rest);
            if is_set {
                ffi::lua_pushboolean(state, 1);
            } else {
                rest = push(state, rest);
            }
            set_unless_nil(state);
        }
        set_field(state, name);
    }
    rest
}

/// Takes a key and its value from the stack, for the table below them. What cannot be a key is left out.
unsafe fn set_unless_nil(state: *mut ffi::lua_State) {
    // SAFETY: that of `push`.
    unsafe {
        if ffi::lua_isnil(state, -2) != 0 {
            ffi::lua_pop(state, 2);
        } else {
            ffi::lua_rawset(state, -3);
        }
    }
}

/// Bytes of a reply: one value can be many of its elements.
const BYTES_MAX: usize = MEMORY_MAX;
/// Values between two looks whether the script is to end.
const VALUES_PER_LOOK: usize = 10_000;
/// Tables within tables whose heads are written when their elements have been, and moved before them.
const COUNTED_LATER_DEPTH_MAX: usize = 8;

/// Writes the values that scripts return, while their host is set.
pub(super) struct Writer<'a> {
    state: *mut ffi::lua_State,
    /// The protocol that the script has chosen, which decides what becomes of its booleans.
    protocol: Protocol,
    reply: &'a mut Reply,
    /// Values that were written.
    values: usize,
    /// Bytes that there may be with those that were there before.
    bytes_max: usize,
}

/// How a table is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Array,
    Map,
    Set,
}

impl Writer<'_> {
    /// A writer of one reply, whose booleans are written as `protocol` has them.
    ///
    /// # Safety
    /// `state` is that of a call, and an error may pass by the callers of all methods. These find their value at the top of the
    /// stack and leave it there.
    pub unsafe fn new(state: *mut ffi::lua_State, protocol: Protocol, reply: &mut Reply) -> Writer<'_> {
        let bytes_max = reply.len().saturating_add(BYTES_MAX);
        Writer { state, protocol, reply, values: 0, bytes_max }
    }

    /// Goes on to the next value.
    fn proceed(&mut self) -> CommandResult {
        if self.reply.len() > self.bytes_max {
            return Err(ErrorReply::fixed("ERR the reply of the script is too long"));
        }
        self.values += 1;
        if self.values.is_multiple_of(VALUES_PER_LOOK)
            && let Some(reason) = ask_host(|host| host.look())
        {
            return Err(ErrorReply::new([b"ERR ", reason.as_bytes()].concat()));
        }
        Ok(())
    }

    /// Writes the value, which lies within `depth` others. Errors: it cannot be written, or the script is to end.
    ///
    /// # Safety
    /// See [`Writer::new`].
    pub unsafe fn write(&mut self, depth: usize) -> CommandResult {
        self.proceed()?;
        // SAFETY: see `new`; the text stays where it is as long as it is on the stack.
        unsafe {
            match ffi::lua_type(self.state, -1) {
                _ if depth > DEPTH_MAX => self.error(b"ERR reached lua stack limit", false),
                ffi::LUA_TSTRING => self.text(),
                ffi::LUA_TNUMBER => self.reply.integer(truncated(ffi::lua_tonumber(self.state, -1))),
                ffi::LUA_TBOOLEAN => match (self.protocol, ffi::lua_toboolean(self.state, -1) != 0) {
                    (Protocol::Resp3, value) => self.reply.boolean(value),
                    (Protocol::Resp2, true) => self.reply.integer(1),
                    (Protocol::Resp2, false) => self.reply.null(),
                },
                ffi::LUA_TTABLE => self.table(depth),
                _ => self.reply.null(),
            }
        }
    }

    unsafe fn text(&mut self) -> CommandResult {
        // SAFETY: see `new`.
        let text = unsafe { string_at(self.state, -1) };
        if self.reply.len().saturating_add(text.len()) > self.bytes_max {
            return Err(ErrorReply::fixed("ERR the reply of the script is too long"));
        }
        self.reply.bulk(text)
    }

    fn error(&mut self, text: &[u8], is_counted: bool) -> CommandResult {
        let error = ErrorReply::new(text);
        ask_host(|host| host.note_error(&error, is_counted));
        self.reply.error(&error)
    }

    /// Pushes a field of the table. Returns whether it is of this type; if not, it is gone again.
    unsafe fn has_field(&mut self, name: &[u8], wanted: c_int) -> bool {
        // SAFETY: see `new`; each table has room for some values.
        unsafe {
            push_string(self.state, name);
            let is_wanted = ffi::lua_rawget(self.state, -2) == wanted;
            if !is_wanted {
                ffi::lua_pop(self.state, 1);
            }
            is_wanted
        }
    }

    unsafe fn table(&mut self, depth: usize) -> CommandResult {
        let state = self.state;
        // SAFETY: see `new`.
        unsafe {
            make_room(state);
            let result = if self.has_field(b"err", ffi::LUA_TSTRING) {
                push_string(state, b"ignore_error_stats_update");
                let is_counted = ffi::lua_rawget(state, -3) == ffi::LUA_TBOOLEAN && ffi::lua_toboolean(state, -1) != 0;
                ffi::lua_pop(state, 1);
                self.error(before_zero(string_at(state, -1)), is_counted)
            } else if self.has_field(b"ok", ffi::LUA_TSTRING) {
                self.reply.status(&in_one_line(before_zero(string_at(state, -1))))
            } else if self.has_field(b"double", ffi::LUA_TNUMBER) {
                let mut text = Vec::new();
                double::append(ffi::lua_tonumber(state, -1), &mut text);
                self.reply.double_text(&String::from_utf8_lossy(&text))
            } else if self.has_field(b"map", ffi::LUA_TTABLE) {
                self.collection(Form::Map, depth)
            } else if self.has_field(b"set", ffi::LUA_TTABLE) {
                self.collection(Form::Set, depth)
            } else if self.has_field(b"big_number", ffi::LUA_TSTRING) {
                self.reply.big_number(&in_one_line(string_at(state, -1)))
            } else if self.has_field(b"verbatim_string", ffi::LUA_TTABLE) {
                match self.verbatim() {
                    Some(result) => result,
                    None => {
                        ffi::lua_pop(state, 1);
                        return self.collection(Form::Array, depth);
                    }
                }
            } else {
                return self.collection(Form::Array, depth);
            };
            ffi::lua_pop(state, 1);
            result
        }
    }

    /// Writes the table as a verbatim string, if it is one.
    unsafe fn verbatim(&mut self) -> Option<CommandResult> {
        // SAFETY: see `new`. The fields are in the table, whatever is on the stack.
        unsafe {
            if !self.has_field(b"string", ffi::LUA_TSTRING) {
                return None;
            }
            let text = string_at(self.state, -1);
            ffi::lua_pop(self.state, 1);
            if !self.has_field(b"format", ffi::LUA_TSTRING) {
                return None;
            }
            let mut letters = *b"   ";
            letters.iter_mut().zip(string_at(self.state, -1)).for_each(|(letter, byte)| *letter = *byte);
            ffi::lua_pop(self.state, 1);
            Some(self.reply.verbatim(letters, text))
        }
    }

    /// Writes what is in the table, in some form. Where it is counted first, what lies deep is not moved once for each table that
    /// it is in.
    unsafe fn collection(&mut self, form: Form, depth: usize) -> CommandResult {
        // SAFETY: see `new`; room for a key and a value was made.
        unsafe {
            make_room(self.state);
            if depth > COUNTED_LATER_DEPTH_MAX {
                let len = self.count(form);
                match form {
                    Form::Array => self.reply.array(len)?,
                    Form::Map => self.reply.map(len)?,
                    Form::Set => self.reply.set(len)?,
                }
                return self.elements(form, depth).map(|written| debug_assert_eq!(written, len));
            }
            let at = self.reply.deferred_array();
            let len = self.elements(form, depth)?;
            match form {
                Form::Array => self.reply.finish_array(at, len),
                Form::Map => self.reply.finish_map(at, len),
                Form::Set => self.reply.finish_set(at, len),
            }
        }
    }

    /// Pushes what comes next in the table: of an array the value behind `done` others; else the key, which takes the place of the
    /// one before, and its value. Returns false, having pushed nothing, at the end.
    unsafe fn next(&mut self, form: Form, done: usize) -> bool {
        let state = self.state;
        // SAFETY: see `collection`.
        unsafe {
            if form != Form::Array {
                if done == 0 {
                    ffi::lua_pushnil(state);
                }
                return ffi::lua_next(state, -2) != 0;
            }
            ffi::lua_rawgeti_(state, -1, capacity(done + 1));
            let is_there = ffi::lua_isnil(state, -1) == 0;
            if !is_there {
                ffi::lua_pop(state, 1);
            }
            is_there
        }
    }

    unsafe fn count(&mut self, form: Form) -> usize {
        let mut len = 0;
        // SAFETY: see `collection`.
        unsafe {
            while self.next(form, len) {
                ffi::lua_pop(self.state, 1);
                len += 1;
            }
        }
        len
    }

    /// Writes what is in the table. Returns how many elements it has.
    unsafe fn elements(&mut self, form: Form, depth: usize) -> Result<usize, ErrorReply> {
        let mut len = 0;
        // SAFETY: see `collection`.
        unsafe {
            while self.next(form, len) {
                if form != Form::Array {
                    ffi::lua_pushvalue(self.state, -2);
                    self.write(depth + 1)?;
                    ffi::lua_pop(self.state, 1);
                }
                if form != Form::Set {
                    self.write(depth + 1)?;
                }
                ffi::lua_pop(self.state, 1);
                len += 1;
            }
        }
        Ok(len)
    }
}

/// The string at a place of the stack.
///
/// # Safety
/// It is a string, and stays on the stack, or in something that does, for as long as it is used.
pub(super) unsafe fn string_at<'s>(state: *mut ffi::lua_State, index: c_int) -> &'s [u8] {
    let mut len = 0;
    // SAFETY: Lua's strings do not move, nor change.
    unsafe {
        let text = ffi::lua_tolstring(state, index, &mut len);
        if text.is_null() { &[] } else { std::slice::from_raw_parts(text.cast(), len) }
    }
}

/// A text that cannot end its line.
fn in_one_line(text: &[u8]) -> Cow<'_, [u8]> {
    let ends_line = |byte: &u8| matches!(byte, b'\r' | b'\n');
    if !text.iter().any(ends_line) {
        return Cow::Borrowed(text);
    }
    text.iter().map(|byte| if ends_line(byte) { b' ' } else { *byte }).collect()
}
