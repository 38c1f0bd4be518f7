//! Errors on their way through Lua. What a function of ours throws is no Lua value before somebody catches it: then it is the
//! table or the text that Redis would have thrown.

use mlua::{Debug, Error, Lua, Table, Value};
use std::fmt;

/// The name of what stands between scripts and Lua.
pub(super) const SANDBOX: &str = "=sandbox";
/// Functions among which that of a script is looked for.
const FRAMES_MAX: usize = 8;

/// Thrown in place of a Lua value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Thrown {
    /// A table whose `err` is an error reply.
    Reply {
        text: Vec<u8>,
        /// The error has been counted where it arose.
        is_counted: bool,
    },
    /// A text.
    Text(Vec<u8>),
}

impl Thrown {
    /// The error that a function of `redis` throws for what it was given.
    pub fn refusal(text: &str) -> Error {
        Error::external(Thrown::Reply { text: [b"ERR ", text.as_bytes()].concat(), is_counted: false })
    }

    /// The error that a function of a library throws: a text that says where the function was called.
    pub fn text(lua: &Lua, text: impl AsRef<[u8]>) -> Error {
        // The guard of the function is in between.
        let mut place = lua.inspect_stack(2, place_of).unwrap_or_default();
        place.extend_from_slice(text.as_ref());
        Error::external(Thrown::Text(place))
    }

    /// The error of a function of a library for an argument that it cannot use, by its position from 1 on.
    pub fn argument(lua: &Lua, position: usize, reason: &str) -> Error {
        let called = lua.inspect_stack(1, |frame| {
            let names = frame.names();
            names.name.map(|name| (name.into_owned(), names.name_what == Some("method")))
        });
        // What a method is called on is not one of its arguments.
        let text = match called.flatten() {
            Some((name, true)) if position == 1 => format!("calling '{name}' on bad self ({reason})"),
            Some((name, true)) => format!("bad argument #{} to '{name}' ({reason})", position - 1),
            Some((name, false)) => format!("bad argument #{position} to '{name}' ({reason})"),
            None => format!("bad argument #{position} to '?' ({reason})"),
        };
        Thrown::text(lua, text)
    }
}

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Thrown::Reply { text, .. } | Thrown::Text(text)) = self;
        f.write_str(&String::from_utf8_lossy(text))
    }
}

impl std::error::Error for Thrown {}

/// Where a function is at work, as Lua begins its error messages; nothing if that cannot be told.
fn place_of(frame: &Debug) -> Vec<u8> {
    match (frame.current_line(), &frame.source().short_src) {
        (Some(line), Some(source)) => format!("{source}:{line}: ").into_bytes(),
        _ => Vec::new(),
    }
}

/// The Lua value that stands for an error of ours.
pub(super) fn plain(lua: &Lua, value: Value) -> mlua::Result<Value> {
    let Value::Error(error) = value else { return Ok(value) };
    let mut cause = &*error;
    while let Error::CallbackError { cause: inner, .. } = cause {
        cause = inner;
    }
    match cause.downcast_ref::<Thrown>() {
        Some(Thrown::Reply { text, is_counted }) => Ok(Value::Table(error_table(lua, text, *is_counted)?)),
        Some(Thrown::Text(text)) => Ok(Value::String(lua.create_string(text)?)),
        None => {
            let text = match cause {
                Error::MemoryError(_) => "not enough memory".to_owned(),
                Error::RuntimeError(text) => text.clone(),
                other => other.to_string(),
            };
            Ok(Value::String(lua.create_string(text)?))
        }
    }
}

/// The table that stands for an error reply.
pub(super) fn error_table(lua: &Lua, text: &[u8], is_counted: bool) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("err", lua.create_string(text)?)?;
    if is_counted {
        table.raw_set("ignore_error_stats_update", true)?;
    }
    Ok(table)
}

/// A text of a script as others read it: to its first zero byte.
pub(super) fn before_zero(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(0, text).unwrap_or(text.len())]
}

/// An error's text with a code in front: `ERR`, if its first word is its only one.
pub(super) fn with_code(text: &[u8]) -> Vec<u8> {
    let text = before_zero(text);
    let text = text.strip_prefix(b"-").unwrap_or(text);
    if text.contains(&b' ') { text.to_vec() } else { [b"ERR ", text].concat() }
}

/// What `xpcall` calls where an error arises: makes it a table, with the place.
pub(super) fn handler(lua: &Lua, value: Value) -> mlua::Result<Value> {
    // This function comes first. Functions written in C, and the sandbox's own, are not meant: their caller is.
    let place = (1..FRAMES_MAX).find_map(|level| {
        lua.inspect_stack(level, |frame| {
            let source = frame.source();
            let is_of_script = !matches!(source.what, "C" | "tail") && source.source.as_deref() != Some(SANDBOX);
            is_of_script.then(|| (source.source.map(std::borrow::Cow::into_owned), frame.current_line()))
        })?
    });
    let table = match plain(lua, value)? {
        Value::Table(table) => {
            if let number @ (Value::Integer(_) | Value::Number(_)) = table.raw_get("err")? {
                table.raw_set("err", lua.coerce_string(number)?)?;
            }
            table
        }
        other => {
            let text = match lua.coerce_string(other.clone())? {
                Some(text) => text.as_bytes().to_vec(),
                None => other.to_string()?.into_bytes(),
            };
            error_table(lua, &[b"ERR ".as_slice(), &text].concat(), false)?
        }
    };
    if let Some((source, line)) = place {
        table.raw_set("source", source.unwrap_or_else(|| "=?".into()))?;
        table.raw_set("line", line.map_or(-1, |line| line as i64))?;
    }
    Ok(Value::Table(table))
}

/// Why a script ended without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The error's text, with its code.
    pub text: Vec<u8>,
    /// The error has been counted where it arose.
    pub is_counted: bool,
}

impl ScriptError {
    /// An error that has not been counted.
    pub fn new(text: impl Into<Vec<u8>>) -> ScriptError {
        ScriptError { text: text.into(), is_counted: false }
    }
}

/// The text of a value that was thrown.
pub(super) fn text_of(value: &Value) -> Vec<u8> {
    match value {
        Value::Table(table) => match table.raw_get("err") {
            Ok(Value::String(text)) => text.as_bytes().to_vec(),
            _ => b"ERR unknown error".to_vec(),
        },
        // There was not even the memory to say where.
        Value::String(text) => [b"ERR ".as_slice(), &text.as_bytes()].concat(),
        _ => b"ERR unknown error".to_vec(),
    }
}

/// What is told of a value that a script, or function, of this name ended with instead of returning one.
pub(super) fn outcome(script: &str, value: &Value) -> ScriptError {
    let mut text = [before_zero(&text_of(value)), b" script: ", script.as_bytes()].concat();
    let Value::Table(table) = value else { return ScriptError::new(text) };
    let field = |name: &str| match table.raw_get(name) {
        Ok(Value::String(text)) => Some(text.as_bytes().to_vec()),
        Ok(Value::Integer(number)) => Some(number.to_string().into_bytes()),
        _ => None,
    };
    if let (Some(source), Some(line)) = (field("source"), field("line")) {
        text.extend_from_slice(b", on ");
        text.extend_from_slice(&source);
        text.push(b':');
        text.extend_from_slice(&line);
        text.push(b'.');
    }
    ScriptError { text, is_counted: matches!(table.raw_get("ignore_error_stats_update"), Ok(Value::Boolean(true))) }
}
