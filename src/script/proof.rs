//! Whether a script keeps to the keys that it is given: then it holds the locks of no others.
//!
//! That is read from its text, and said only if it is certain. Every call of a command must name a command that takes its keys at
//! known positions, and at each of these have something that can be nothing but one of `KEYS`. `KEYS` and `redis` must have no other
//! name, but for locals that are `redis.call`; no global may be used of which it is not known that it can give neither away; and
//! no text may become a program. What is not understood is not proven.

mod lexer;
#[cfg(test)]
mod tests;

use crate::spec::{Begin, CommandFlags, CommandSpec, Find, KeyFlags, KeyLayout, Locks, Table};
use lexer::{Token, Unknown};

/// How deep blocks and expressions may nest.
const DEPTH_MAX: usize = 60;

/// Globals with which neither `redis` nor `KEYS` can be had.
const GLOBALS: [&[u8]; 20] = [
    b"ARGV",
    b"assert",
    b"bit",
    b"cjson",
    b"cmsgpack",
    b"error",
    b"ipairs",
    b"math",
    b"next",
    b"os",
    b"pairs",
    b"pcall",
    b"select",
    b"string",
    b"struct",
    b"table",
    b"tonumber",
    b"tostring",
    b"type",
    b"unpack",
];

/// Fields of `redis` that run no command and hand nothing on.
const HARMLESS: [&[u8]; 19] = [
    b"LOG_DEBUG",
    b"LOG_NOTICE",
    b"LOG_VERBOSE",
    b"LOG_WARNING",
    b"REDIS_VERSION",
    b"REDIS_VERSION_NUM",
    b"REPL_ALL",
    b"REPL_AOF",
    b"REPL_NONE",
    b"REPL_REPLICA",
    b"REPL_SLAVE",
    b"acl_check_cmd",
    b"error_reply",
    b"log",
    b"replicate_commands",
    b"set_repl",
    b"setresp",
    b"sha1hex",
    b"status_reply",
];

/// Whether every key that a script uses is one of those that it is given. `table` has the commands.
pub fn keeps_to_keys(script: &[u8], table: &Table) -> bool {
    let Ok(tokens) = lexer::tokens(script) else { return false };
    let mut reader = Reader { tokens: &tokens, at: 0, depth: 0, table, scope: Vec::new(), locals: Vec::new() };
    let is_understood = reader.block().is_ok() && reader.peek() == &Token::End;
    is_understood && !reader.locals.iter().any(|local| local.must_stay && local.is_assigned)
}

type Result<T> = std::result::Result<T, Unknown>;

/// What is known of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value<'t> {
    /// One of `KEYS`, or nothing.
    Key,
    /// `redis.call` or `redis.pcall`.
    Command,
    Text(&'t [u8]),
    Other,
}

/// What an expression gives.
#[derive(Clone, Copy, Debug)]
struct Expression<'t> {
    value: Value<'t>,
    /// At the end of a list, it may give any number of such values.
    is_multiple: bool,
    form: Form,
}

/// What an expression is, for a statement that begins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Call,
    /// A local, which can be assigned to.
    Local(usize),
    /// A field of something other than `KEYS` and `redis`.
    Field,
    Other,
}

impl<'t> Expression<'t> {
    fn new(value: Value<'t>, form: Form) -> Self {
        Expression { value, is_multiple: false, form }
    }

    fn other() -> Self {
        Expression::new(Value::Other, Form::Other)
    }

    fn call() -> Self {
        Expression { value: Value::Other, is_multiple: true, form: Form::Call }
    }
}

struct Local<'t> {
    value: Value<'t>,
    /// It is used as what it is from the start.
    must_stay: bool,
    is_assigned: bool,
}

struct Reader<'a, 't> {
    tokens: &'a [Token<'t>],
    at: usize,
    depth: usize,
    table: &'a Table,
    /// Names that can be seen, the innermost last, with the locals that they stand for.
    scope: Vec<(&'t [u8], usize)>,
    /// All locals.
    locals: Vec<Local<'t>>,
}

impl<'t> Reader<'_, 't> {
    fn peek(&self) -> &Token<'t> {
        self.peek_at(0)
    }

    fn peek_at(&self, distance: usize) -> &Token<'t> {
        // The last one is the end.
        &self.tokens[(self.at + distance).min(self.tokens.len() - 1)]
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(found) if *found == sign)
    }

    fn take(&mut self, sign: &str) -> bool {
        let is_there = self.is(sign);
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, sign: &str) -> Result<()> {
        if self.take(sign) { Ok(()) } else { Err(Unknown) }
    }

    fn name(&mut self) -> Result<&'t [u8]> {
        let Token::Name(name) = *self.peek() else { return Err(Unknown) };
        self.at += 1;
        Ok(name)
    }

    /// The local that a name stands for here.
    fn local(&self, name: &[u8]) -> Option<usize> {
        self.scope.iter().rev().find(|(known, _)| *known == name).map(|(_, local)| *local)
    }

    /// Whether the token at a distance is a global of this name.
    fn is_global_at(&self, distance: usize, name: &[u8]) -> bool {
        matches!(self.peek_at(distance), Token::Name(found) if *found == name) && self.local(name).is_none()
    }

    fn is_sign_at(&self, distance: usize, sign: &str) -> bool {
        matches!(self.peek_at(distance), Token::Sign(found) if *found == sign)
    }

    fn declare(&mut self, name: &'t [u8], value: Value<'t>) {
        self.scope.push((name, self.locals.len()));
        // Texts in locals are assigned to as often as not.
        let value = if let Value::Text(_) = value { Value::Other } else { value };
        self.locals.push(Local { value, must_stay: false, is_assigned: false });
    }

    /// Reads something that may hold the like of itself.
    fn nested<R>(&mut self, read: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        if self.depth == DEPTH_MAX {
            return Err(Unknown);
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Reads something whose locals nobody else sees.
    fn scoped<R>(&mut self, read: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let outer = self.scope.len();
        let result = self.nested(read);
        self.scope.truncate(outer);
        result
    }

    /// Statements up to what can follow a block.
    fn block(&mut self) -> Result<()> {
        loop {
            match self.peek() {
                Token::End | Token::Sign("end" | "else" | "elseif" | "until") => return Ok(()),
                Token::Sign("return") => {
                    self.at += 1;
                    let is_empty =
                        matches!(self.peek(), Token::End | Token::Sign("end" | "else" | "elseif" | "until" | ";"));
                    if !is_empty {
                        self.plain_list()?;
                    }
                    self.take(";");
                    return Ok(());
                }
                Token::Sign("break") => {
                    self.at += 1;
                    self.take(";");
                    return Ok(());
                }
                _ => {
                    self.statement()?;
                    self.take(";");
                }
            }
        }
    }

    fn inner_block(&mut self, end: &str) -> Result<()> {
        self.scoped(Self::block)?;
        self.expect(end)
    }

    fn statement(&mut self) -> Result<()> {
        let Token::Sign(sign) = *self.peek() else { return self.call_or_assignment() };
        match sign {
            "(" => return self.call_or_assignment(),
            "if" | "while" | "for" | "do" | "repeat" | "local" => self.at += 1,
            // A function without `local` is a global, which cannot be, or a field: that is assigned in another way as well.
            _ => return Err(Unknown),
        }
        match sign {
            "if" => self.conditional(),
            "while" => {
                self.plain()?;
                self.expect("do")?;
                self.inner_block("end")
            }
            "do" => self.inner_block("end"),
            "repeat" => self.scoped(|reader| {
                reader.block()?;
                reader.expect("until")?;
                // It sees the locals of the block.
                reader.plain().map(drop)
            }),
            "for" => self.scoped(Self::counted_or_listed),
            _ => self.declaration(),
        }
    }

    fn conditional(&mut self) -> Result<()> {
        loop {
            self.plain()?;
            self.expect("then")?;
            self.scoped(Self::block)?;
            if self.take("elseif") {
                continue;
            }
            return if self.take("else") { self.inner_block("end") } else { self.expect("end") };
        }
    }

    /// What follows `for`.
    fn counted_or_listed(&mut self) -> Result<()> {
        let mut names = vec![self.name()?];
        if self.take("=") {
            self.plain()?;
            self.expect(",")?;
            self.plain()?;
            if self.take(",") {
                self.plain()?;
            }
            self.declare(names[0], Value::Other);
        } else {
            while self.take(",") {
                names.push(self.name()?);
            }
            self.expect("in")?;
            let is_over_keys = self.takes_all_keys(&[b"ipairs", b"pairs"]) && {
                self.expect(")")?;
                true
            };
            if !is_over_keys {
                self.plain_list()?;
            }
            for (index, name) in names.into_iter().enumerate() {
                self.declare(name, if is_over_keys && index == 1 { Value::Key } else { Value::Other });
            }
        }
        self.expect("do")?;
        self.inner_block("end")
    }

    /// Takes the begin of a call of one of these globals with all keys, up to `KEYS`, if it stands here.
    fn takes_all_keys(&mut self, functions: &[&[u8]]) -> bool {
        let is_there = functions.iter().any(|name| self.is_global_at(0, name))
            && self.is_sign_at(1, "(")
            && self.is_global_at(2, b"KEYS")
            && (self.is_sign_at(3, ")") || self.is_sign_at(3, ","));
        if is_there {
            self.at += 3;
        }
        is_there
    }

    /// What follows `local`.
    fn declaration(&mut self) -> Result<()> {
        if self.take("function") {
            let name = self.name()?;
            self.declare(name, Value::Other);
            return self.function_body();
        }
        let mut names = vec![self.name()?];
        while self.take(",") {
            names.push(self.name()?);
        }
        let values = if self.take("=") { self.list()? } else { Vec::new() };
        // One that nobody can name must not be handed on either.
        if values.iter().skip(names.len()).any(|given| given.value == Value::Command) {
            return Err(Unknown);
        }
        for (index, name) in names.into_iter().enumerate() {
            let given = values.get(index).or_else(|| values.last().filter(|last| last.is_multiple));
            self.declare(name, given.map_or(Value::Other, |given| given.value));
        }
        Ok(())
    }

    /// Parameters and what follows them.
    fn function_body(&mut self) -> Result<()> {
        self.expect("(")?;
        let mut parameters = Vec::new();
        while !self.take(")") {
            if !parameters.is_empty() {
                self.expect(",")?;
            }
            if self.take("...") {
                self.expect(")")?;
                break;
            }
            parameters.push(self.name()?);
        }
        self.scoped(|reader| {
            for parameter in parameters {
                reader.declare(parameter, Value::Other);
            }
            // In a function that takes any number, Lua 5.1 has them in `arg` as well.
            reader.declare(b"arg", Value::Other);
            reader.block()
        })?;
        self.expect("end")
    }

    /// What begins a statement: a call, or what is assigned to.
    fn target(&mut self) -> Result<Expression<'t>> {
        if let Token::Name(name) = *self.peek()
            && let Some(local) = self.local(name)
            && (self.is_sign_at(1, "=") || self.is_sign_at(1, ","))
        {
            self.at += 1;
            return Ok(Expression::new(Value::Other, Form::Local(local)));
        }
        self.suffixed()
    }

    fn call_or_assignment(&mut self) -> Result<()> {
        let mut targets = vec![self.target()?];
        if targets[0].form == Form::Call {
            return Ok(());
        }
        while self.take(",") {
            targets.push(self.target()?);
        }
        self.expect("=")?;
        self.plain_list()?;
        for target in targets {
            match target.form {
                Form::Local(local) => self.locals[local].is_assigned = true,
                Form::Field => {}
                Form::Call | Form::Other => return Err(Unknown),
            }
        }
        Ok(())
    }

    fn list(&mut self) -> Result<Vec<Expression<'t>>> {
        let mut list = vec![self.expression()?];
        while self.take(",") {
            list.push(self.expression()?);
        }
        Ok(list)
    }

    /// A list in which there is no `redis.call`.
    fn plain_list(&mut self) -> Result<Vec<Expression<'t>>> {
        let list = self.list()?;
        if list.iter().any(|given| given.value == Value::Command) { Err(Unknown) } else { Ok(list) }
    }

    /// An expression that is not `redis.call`.
    fn plain(&mut self) -> Result<Expression<'t>> {
        let given = self.expression()?;
        if given.value == Value::Command { Err(Unknown) } else { Ok(given) }
    }

    /// An expression. Which operator binds more closely makes no difference to what is known of it.
    fn expression(&mut self) -> Result<Expression<'t>> {
        self.nested(|reader| {
            let first = reader.operand()?;
            let mut is_alone = true;
            while let Token::Sign(
                "+" | "-" | "*" | "/" | "%" | "^" | ".." | "==" | "~=" | "<" | "<=" | ">" | ">=" | "and" | "or",
            ) = reader.peek()
            {
                reader.at += 1;
                is_alone = false;
                if reader.operand()?.value == Value::Command {
                    return Err(Unknown);
                }
            }
            match first.value {
                _ if is_alone => Ok(first),
                Value::Command => Err(Unknown),
                _ => Ok(Expression::other()),
            }
        })
    }

    fn operand(&mut self) -> Result<Expression<'t>> {
        let mut has_sign = false;
        while let Token::Sign(sign @ ("not" | "-" | "#")) = *self.peek() {
            has_sign = true;
            self.at += 1;
            if sign == "#" && self.is_global_at(0, b"KEYS") && !self.is_sign_at(1, "[") {
                // What could follow would be a use of the table: `.`, `:`, a call.
                self.at += 1;
                let is_used = matches!(self.peek(), Token::Sign("." | ":" | "(" | "{") | Token::Text(_));
                return if is_used { Err(Unknown) } else { Ok(Expression::other()) };
            }
        }
        let given = self.simple()?;
        match given.value {
            _ if !has_sign => Ok(given),
            Value::Command => Err(Unknown),
            _ => Ok(Expression::other()),
        }
    }

    fn simple(&mut self) -> Result<Expression<'t>> {
        match *self.peek() {
            Token::Number | Token::Sign("nil" | "true" | "false") => {
                self.at += 1;
                Ok(Expression::other())
            }
            Token::Sign("...") => {
                self.at += 1;
                Ok(Expression { is_multiple: true, ..Expression::other() })
            }
            Token::Text(text) => {
                self.at += 1;
                Ok(Expression::new(text.map_or(Value::Other, Value::Text), Form::Other))
            }
            Token::Sign("{") => {
                self.table()?;
                Ok(Expression::other())
            }
            Token::Sign("function") => {
                self.at += 1;
                self.function_body()?;
                Ok(Expression::other())
            }
            _ => self.suffixed(),
        }
    }

    /// `{…}`
    fn table(&mut self) -> Result<()> {
        self.expect("{")?;
        while !self.take("}") {
            if self.take("[") {
                self.plain()?;
                self.expect("]")?;
                self.expect("=")?;
            } else if matches!(self.peek(), Token::Name(_)) && self.is_sign_at(1, "=") {
                self.at += 2;
            }
            self.plain()?;
            if !self.take(",") && !self.take(";") {
                return self.expect("}");
            }
        }
        Ok(())
    }

    /// A name or something in brackets, with what is done to it.
    fn suffixed(&mut self) -> Result<Expression<'t>> {
        let mut given = self.primary()?;
        loop {
            match *self.peek() {
                Token::Sign("(" | "{") | Token::Text(_) => {
                    let args = self.arguments()?;
                    if given.value == Value::Command {
                        self.check(&args)?;
                    }
                    given = Expression::call();
                }
                _ if given.value == Value::Command => return Ok(given),
                Token::Sign(".") => {
                    self.at += 1;
                    self.name()?;
                    given = Expression::new(Value::Other, Form::Field);
                }
                Token::Sign("[") => {
                    self.at += 1;
                    self.plain()?;
                    self.expect("]")?;
                    given = Expression::new(Value::Other, Form::Field);
                }
                Token::Sign(":") => {
                    self.at += 1;
                    self.name()?;
                    self.arguments()?;
                    given = Expression::call();
                }
                _ => return Ok(given),
            }
        }
    }

    fn primary(&mut self) -> Result<Expression<'t>> {
        if self.take("(") {
            let given = self.plain()?;
            self.expect(")")?;
            return Ok(Expression::new(given.value, Form::Other));
        }
        if self.takes_all_keys(&[b"unpack"]) {
            while self.take(",") {
                self.plain()?;
            }
            self.expect(")")?;
            return Ok(Expression { value: Value::Key, is_multiple: true, form: Form::Call });
        }
        let name = self.name()?;
        if let Some(local) = self.local(name) {
            let value = self.locals[local].value;
            // If it is assigned to anywhere, it may be something else here.
            self.locals[local].must_stay |= value != Value::Other;
            return Ok(Expression::new(value, Form::Local(local)));
        }
        match name {
            b"KEYS" => {
                self.expect("[")?;
                self.plain()?;
                self.expect("]")?;
                Ok(Expression::new(Value::Key, Form::Other))
            }
            b"redis" => {
                self.expect(".")?;
                let field = self.name()?;
                match field {
                    b"call" | b"pcall" => Ok(Expression::new(Value::Command, Form::Other)),
                    _ if HARMLESS.contains(&field) => Ok(Expression::other()),
                    _ => Err(Unknown),
                }
            }
            _ if GLOBALS.contains(&name) => Ok(Expression::other()),
            _ => Err(Unknown),
        }
    }

    /// The arguments of a call.
    fn arguments(&mut self) -> Result<Vec<Expression<'t>>> {
        match *self.peek() {
            Token::Text(_) | Token::Sign("{") => Ok(vec![self.simple()?]),
            _ => {
                self.expect("(")?;
                if self.take(")") {
                    return Ok(Vec::new());
                }
                let args = self.plain_list()?;
                self.expect(")")?;
                Ok(args)
            }
        }
    }

    /// Checks that a command with these arguments has keys of `KEYS` only, if it has any.
    fn check(&self, args: &[Expression<'t>]) -> Result<()> {
        let Some(Value::Text(name)) = args.first().map(|first| first.value) else { return Err(Unknown) };
        let mut spec = self.table.lookup(name).ok_or(Unknown)?;
        if spec.is_container() {
            let Some(Value::Text(name)) = args.get(1).map(|second| second.value) else { return Err(Unknown) };
            spec = spec.subcommand(name).ok_or(Unknown)?;
        }
        if spec.locks != Locks::Keys || spec.has(CommandFlags::NOSCRIPT) {
            return Err(Unknown);
        }
        let count = args.len();
        let is_open = args[count - 1].is_multiple;
        let is_key = |index: usize| args.get(index).is_some_and(|arg| arg.value == Value::Key);
        let (first, end, step) = match spec.layout {
            KeyLayout::None => return Ok(()),
            // One of many stands where it stands, if it is there at all: without it the number of arguments is wrong, or the next
            // one stands there, which is of `KEYS`, too.
            KeyLayout::One(index, _) | KeyLayout::Finder(index, _) => (usize::from(index), usize::from(index) + 1, 1),
            KeyLayout::Range { first, from_end, step, .. } if !is_open => {
                (first.into(), count.checked_sub(from_end.into()).ok_or(Unknown)?, step.into())
            }
            KeyLayout::Range { first, from_end: 0, step: 1, .. } => (usize::from(first), count, 1),
            KeyLayout::Specs => return if has_keys_at_fixed_places(spec, is_key) { Ok(()) } else { Err(Unknown) },
            KeyLayout::Range { .. } | KeyLayout::Options(..) => return Err(Unknown),
        };
        let are_keys = first < end && (first..end).step_by(step).all(is_key);
        if are_keys { Ok(()) } else { Err(Unknown) }
    }
}

/// Whether all keys of a command have places that do not depend on its arguments, and `is_key` of each.
fn has_keys_at_fixed_places(spec: &CommandSpec, is_key: impl Fn(usize) -> bool) -> bool {
    let mut specs = spec.keys.iter().filter(|key_spec| !key_spec.flags.contains(KeyFlags::NOT_KEY));
    specs.all(|key_spec| match (key_spec.begin, key_spec.find) {
        (Begin::Index(first), Find::Range { last: 0, .. }) => is_key(first.into()),
        _ => false,
    })
}
