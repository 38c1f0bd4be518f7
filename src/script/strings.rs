//! The functions of `string` that match patterns or can go on for long: those of Lua 5.1, error texts included
//! (<https://www.lua.org/manual/5.1/manual.html#5.4>), but that a script that is within one of them can be ended.

use super::arguments::{truncated, type_name};
use super::errors::Thrown;
use super::guard;
use super::interpreter::Exchange;
use super::pace::{Output, Pace};
use super::pattern::{self, Captured, Failure, Matcher};
use memchr::memmem;
use mlua::{AnyUserData, Error, Lua, MultiValue, String, Table, Value};
use std::rc::Rc;

/// What a function was called with: how many arguments, and the first four of them.
type Called = (i64, Value, Value, Value, Value);

/// The replacements for functions of the library.
pub(super) fn functions(lua: &Lua, exchange: &Rc<Exchange>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let add = |name: &str, work: fn(&Pace<'_>, Called) -> mlua::Result<MultiValue>| {
        let exchange = Rc::clone(exchange);
        let function = lua.create_function(move |lua, called| work(&Pace::of(lua, &exchange), called))?;
        table.raw_set(name, guard::counting(lua, &function)?)
    };
    add("find", |pace, called| search(pace, called, true))?;
    add("match", |pace, called| search(pace, called, false))?;
    add("rep", repeat)?;

    let pace = Rc::clone(exchange);
    let begin = lua.create_function(move |lua, called| begin_substitution(&Pace::of(lua, &pace), called))?;
    let pace = Rc::clone(exchange);
    let go_on = lua.create_function(move |lua, at_work| go_on_with_substitution(&Pace::of(lua, &pace), at_work))?;
    table.raw_set("gsub", guard::substitution(lua, &begin, &go_on)?)?;

    let check = lua.create_function(|lua, (count, subject, pattern): (i64, Value, Value)| {
        text(lua, count, 1, subject)?;
        text(lua, count, 2, pattern).map(drop)
    })?;
    let pace = Rc::clone(exchange);
    let next = lua.create_function(move |lua, at_work| next_match(&Pace::of(lua, &pace), at_work))?;
    let gmatch = guard::iteration(lua, &check, &next)?;
    // Its name was once another.
    table.raw_set("gfind", &gmatch)?;
    table.raw_set("gmatch", gmatch)?;
    Ok(table)
}

fn mistyped(lua: &Lua, count: i64, position: usize, wanted: &str, value: &Value) -> Error {
    let found = if position as i64 > count { "no value" } else { type_name(value) };
    Thrown::argument(lua, position, &format!("{wanted} expected, got {found}"))
}

/// The argument at `position`, from 1 on, as a text.
fn text(lua: &Lua, count: i64, position: usize, value: Value) -> mlua::Result<String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Integer(_) | Value::Number(_) => {
            lua.coerce_string(value)?.ok_or_else(|| Error::runtime("a number has no text"))
        }
        other => Err(mistyped(lua, count, position, "string", &other)),
    }
}

/// The argument at `position` as a whole number, or `default` if it is missing.
fn integer_or(lua: &Lua, count: i64, position: usize, value: &Value, default: i64) -> mlua::Result<i64> {
    if value.is_nil() {
        return Ok(default);
    }
    match lua.coerce_number(value.clone())? {
        Some(number) => Ok(truncated(number)),
        None => Err(mistyped(lua, count, position, "number", value)),
    }
}

/// The error for which a match was given up.
fn given_up(lua: &Lua, failure: Failure<Error>) -> Error {
    match failure {
        Failure::Pattern(text) => Thrown::text(lua, text),
        Failure::Ended(error) => error,
    }
}

/// A pattern without the `^` before it, and whether there was one.
fn without_anchor(pattern: &[u8]) -> (&[u8], bool) {
    pattern.strip_prefix(b"^").map_or((pattern, false), |rest| (rest, true))
}

fn captured(lua: &Lua, captured: Captured<'_>) -> mlua::Result<Value> {
    match captured {
        Captured::Text(text) => lua.create_string(text).map(Value::String),
        Captured::Position(position) => Ok(Value::Number(position as f64)),
    }
}

/// Appends the values of a match.
fn append_values<R>(
    lua: &Lua,
    matcher: &Matcher<'_, R>,
    (begin, end): (usize, usize),
    count: usize,
    values: &mut MultiValue,
) -> mlua::Result<()>
where
    R: FnMut(usize) -> mlua::Result<()>,
{
    for index in 0..count {
        let value = matcher.value(index, begin, end).map_err(|failure| given_up(lua, failure))?;
        values.push_back(captured(lua, value)?);
    }
    Ok(())
}

/// `string.find` and `string.match`.
fn search(pace: &Pace<'_>, called: Called, finds: bool) -> mlua::Result<MultiValue> {
    let (lua, (count, subject, pattern, init, is_plain)) = (pace.lua(), called);
    let (subject, pattern) = (text(lua, count, 1, subject)?, text(lua, count, 2, pattern)?);
    let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
    let init = integer_or(lua, count, 3, &init, 1)?;
    let init = match init {
        1.. => usize::try_from(init - 1).unwrap_or(usize::MAX).min(subject.len()),
        0 => 0,
        // From the end.
        _ => subject.len().saturating_sub(usize::try_from(init.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let place = |begin: usize, end: usize| [Value::Number((begin + 1) as f64), Value::Number(end as f64)];
    let is_true = !matches!(is_plain, Value::Nil | Value::Boolean(false));
    if finds && (is_true || pattern::is_plain(&pattern)) {
        let found = memmem::find(&subject[init..], &pattern);
        pace.spend(found.unwrap_or(subject.len() - init) / 64)?;
        return Ok(match found {
            Some(begin) => place(init + begin, init + begin + pattern.len()).into_iter().collect(),
            None => [Value::Nil].into_iter().collect(),
        });
    }
    let (pattern, is_anchored) = without_anchor(&pattern);
    let mut matcher = Matcher::new(&subject, pattern, |steps| pace.spend(steps));
    let found = match is_anchored {
        true => matcher.match_at(init).map(|end| end.map(|end| (init, end))),
        false => matcher.find_from(init),
    };
    let Some((begin, end)) = found.map_err(|failure| given_up(lua, failure))? else {
        return Ok([Value::Nil].into_iter().collect());
    };
    let mut values = MultiValue::new();
    let count = if finds {
        values.extend(place(begin, end));
        matcher.captures()
    } else {
        matcher.values()
    };
    append_values(lua, &matcher, (begin, end), count, &mut values)?;
    Ok(values)
}

/// What `string.gmatch` returns: where to go on the next time, and the values of the match at or behind `at`. Nothing if there
/// is none.
fn next_match(pace: &Pace<'_>, (subject, pattern, at): (Value, Value, usize)) -> mlua::Result<MultiValue> {
    let lua = pace.lua();
    let (subject, pattern) = (text(lua, 2, 1, subject)?, text(lua, 2, 2, pattern)?);
    let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
    let mut matcher = Matcher::new(&subject, &pattern, |steps| pace.spend(steps));
    let found = matcher.find_from(at).map_err(|failure| given_up(lua, failure))?;
    let mut values = MultiValue::new();
    if let Some((begin, end)) = found {
        // Behind an empty match it goes on one further.
        let next = if begin == end { end + 1 } else { end };
        values.push_back(Value::Number(next as f64));
        append_values(lua, &matcher, (begin, end), matcher.values(), &mut values)?;
    }
    Ok(values)
}

/// A substitution at work.
struct Substitution {
    /// Where to go on in the subject.
    at: usize,
    /// Where the match that begins there ends, while it is asked for what stands in its place.
    end: usize,
    /// How many have been replaced, and may be.
    count: i64,
    max: i64,
    /// How many values of a match are looked at, if there are so many: a table is asked for the first, and the others may be wrong.
    values_max: usize,
    out: Output,
}

/// Begins `string.gsub`: all of it if the replacement is a text.
fn begin_substitution(pace: &Pace<'_>, called: Called) -> mlua::Result<MultiValue> {
    let (lua, (count, subject, pattern, replacement, max)) = (pace.lua(), called);
    let (subject, pattern) = (text(lua, count, 1, subject)?, text(lua, count, 2, pattern)?);
    let subject_len = subject.as_bytes().len() as i64;
    // Of a large number 32 bits are taken, as in the original.
    let max = integer_or(lua, count, 4, &max, subject_len + 1)?;
    let max = i64::from(max as i32);
    let (replacement, values_max) = match replacement {
        Value::Table(_) => (None, 1),
        Value::Function(_) => (None, usize::MAX),
        Value::String(_) | Value::Integer(_) | Value::Number(_) => (Some(text(lua, count, 3, replacement)?), 0),
        _ => return Err(Thrown::argument(lua, 3, "string/function/table expected")),
    };
    let mut work = Substitution { at: 0, end: 0, count: 0, max, values_max, out: Output::new(pace) };
    match work.go_on(pace, &subject.as_bytes(), &pattern.as_bytes(), replacement.as_ref())? {
        Some(mut values) => {
            values.push_front(Value::UserData(lua.create_any_userdata(work)?));
            Ok(values)
        }
        None => work.finish(pace, &subject.as_bytes()),
    }
}

/// Goes on with `string.gsub` when it is known what stands in a match's place.
fn go_on_with_substitution(
    pace: &Pace<'_>,
    (state, value, subject, pattern): (AnyUserData, Value, Value, Value),
) -> mlua::Result<MultiValue> {
    let lua = pace.lua();
    let mut work = state.borrow_mut::<Substitution>()?;
    let (subject, pattern) = (text(lua, 2, 1, subject)?, text(lua, 2, 2, pattern)?);
    let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
    let (begin, end) = (work.at, work.end);
    match value {
        Value::Nil | Value::Boolean(false) => work.out.push(pace, &subject[begin..end])?,
        Value::String(text) => work.out.push(pace, &text.as_bytes())?,
        Value::Integer(_) | Value::Number(_) => work.out.push(pace, &text(lua, 1, 1, value)?.as_bytes())?,
        other => {
            return Err(Thrown::text(lua, format!("invalid replacement value (a {})", type_name(&other))));
        }
    }
    if work.pass(pace, &subject, true)?
        && !without_anchor(&pattern).1
        && let Some(mut values) = work.go_on(pace, &subject, &pattern, None)?
    {
        drop(work);
        values.push_front(Value::UserData(state));
        return Ok(values);
    }
    work.finish(pace, &subject)
}

impl Substitution {
    /// Passes a match that has been replaced, or a byte where none begins. Returns whether there is more.
    fn pass(&mut self, pace: &Pace<'_>, subject: &[u8], is_replaced: bool) -> mlua::Result<bool> {
        if is_replaced && self.end > self.at {
            self.at = self.end;
            return Ok(true);
        }
        let Some(byte) = subject.get(self.at) else { return Ok(false) };
        self.out.push(pace, &[*byte])?;
        self.at += 1;
        Ok(true)
    }

    /// Goes on to the end, or to a match for which no replacement is given: then the values of the match are returned.
    fn go_on(
        &mut self,
        pace: &Pace<'_>,
        subject: &[u8],
        pattern: &[u8],
        replacement: Option<&String>,
    ) -> mlua::Result<Option<MultiValue>> {
        let lua = pace.lua();
        let (pattern, is_anchored) = without_anchor(pattern);
        let mut matcher = Matcher::new(subject, pattern, |steps| pace.spend(steps));
        while self.count < self.max {
            let end = matcher.match_at(self.at).map_err(|failure| given_up(lua, failure))?;
            if let Some(end) = end {
                self.count += 1;
                self.end = end;
                let Some(replacement) = replacement else {
                    let mut values = MultiValue::new();
                    let count = matcher.values().min(self.values_max);
                    append_values(lua, &matcher, (self.at, end), count, &mut values)?;
                    return Ok(Some(values));
                };
                append_replacement(pace, self, &matcher, &replacement.as_bytes())?;
            }
            if !self.pass(pace, subject, end.is_some())? || is_anchored {
                break;
            }
        }
        Ok(None)
    }

    /// The result, to which the rest of the subject belongs.
    fn finish(&mut self, pace: &Pace<'_>, subject: &[u8]) -> mlua::Result<MultiValue> {
        self.out.push(pace, &subject[self.at..])?;
        let result = pace.lua().create_string(self.out.as_bytes())?;
        Ok([Value::String(result), Value::Number(self.count as f64)].into_iter().collect())
    }
}

/// Appends a text in which `%1` stands for a capture.
fn append_replacement<R>(
    pace: &Pace<'_>,
    work: &mut Substitution,
    matcher: &Matcher<'_, R>,
    text: &[u8],
) -> mlua::Result<()>
where
    R: FnMut(usize) -> mlua::Result<()>,
{
    let lua = pace.lua();
    let mut rest = text;
    while let Some(escape) = memchr::memchr(b'%', rest) {
        work.out.push(pace, &rest[..escape])?;
        // At the end, C's zero byte follows.
        let byte = rest.get(escape + 1).copied().unwrap_or(0);
        // Nothing is left behind an escape at the end.
        rest = rest.get(escape + 2..).unwrap_or_default();
        let index = match byte {
            // The match, whatever it has captured.
            b'0' => {
                let (begin, end) = (work.at, work.end);
                work.out.push(pace, matcher.part(begin, end))?;
                continue;
            }
            b'1'..=b'9' => usize::from(byte - b'1'),
            other => {
                work.out.push(pace, &[other])?;
                continue;
            }
        };
        match matcher.value(index, work.at, work.end).map_err(|failure| given_up(lua, failure))? {
            Captured::Text(text) => work.out.push(pace, text)?,
            Captured::Position(position) => work.out.push(pace, position.to_string().as_bytes())?,
        }
    }
    work.out.push(pace, rest)
}

/// `string.rep`
fn repeat(pace: &Pace<'_>, called: Called) -> mlua::Result<MultiValue> {
    let (lua, (count, unit, times, ..)) = (pace.lua(), called);
    let unit = text(lua, count, 1, unit)?;
    if times.is_nil() {
        return Err(mistyped(lua, count, 2, "number", &times));
    }
    // Of a large number 32 bits are taken, as in the original.
    let times = integer_or(lua, count, 2, &times, 0)? as i32;
    let times = usize::try_from(times).unwrap_or(0);
    let unit = unit.as_bytes();
    let len = unit.len().saturating_mul(times);
    pace.allow(len.saturating_mul(2))?;
    pace.spend(len / 64)?;
    let result = lua.create_string(unit.repeat(if unit.is_empty() { 0 } else { times }))?;
    Ok([Value::String(result)].into_iter().collect())
}
