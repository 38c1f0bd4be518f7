//! What is known of a directive: its names, the values it takes, and how CONFIG may treat it. The table of all
//! directives is written with the functions here that build an entry.

use std::sync::Arc;

use super::choices::Choice;
use super::keyspace_events::EventClasses;
use super::number::Unit;
use super::output_limits::{self, OutputLimits};
use super::{Reason, line};

/// Reads the words of a list, and returns them as they are kept and printed.
pub type ListParser = fn(&[Vec<u8>]) -> Result<Vec<Vec<u8>>, Reason>;

/// One directive.
pub struct Entry {
    /// The name under which CONFIG REWRITE writes it, in lower case.
    pub name: &'static str,
    /// A second name that means the same.
    pub alias: Option<&'static str>,
    pub kind: Kind,
    /// Can only be given at start.
    pub immutable: bool,
    /// Not found by the patterns of CONFIG GET, only by its whole name.
    pub hidden: bool,
    /// CONFIG SET of it takes `enable-protected-configs`.
    pub protected: bool,
    /// A password, kept out of the slow log and MONITOR.
    pub sensitive: bool,
    /// Names something that may change while its name does not: to set it to what it is has it looked at again.
    pub names_content: bool,
    /// Cannot be set while the data set is loaded.
    pub denied_while_loading: bool,
    /// Why it has no effect in this server, if it has none.
    pub without_effect: Option<&'static str>,
    /// Why no value but the default is accepted, if that is so.
    pub unsupported: Option<&'static str>,
}

/// What values a directive takes, and its default.
pub enum Kind {
    YesNo {
        default: bool,
    },
    Integer {
        default: i64,
        min: i64,
        max: i64,
        unit: Unit,
        /// Values within the range but outside of these bounds become the nearer bound.
        clamp: (i64, i64),
    },
    /// One of a few words.
    Choice {
        default: i64,
        names: &'static [(&'static str, i64)],
    },
    /// Any of a few words, of which SAVE and NOSAVE exclude each other.
    ShutdownFlags {
        names: &'static [(&'static str, i64)],
    },
    KeyspaceEvents,
    Text {
        default: &'static str,
        check: fn(&[u8]) -> Result<(), Reason>,
    },
    /// A directory that exists, kept as an absolute path.
    Directory,
    /// Several words.
    List {
        default: &'static [&'static str],
        parse: ListParser,
        /// Whether CONFIG REWRITE writes `""` for an empty list; if not, it leaves the directive out.
        empty_is_written: bool,
    },
    OutputLimits,
}

/// The value of a directive.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Integer(i64),
    Text(Arc<[u8]>),
    List(Arc<[Vec<u8>]>),
    OutputLimits(OutputLimits),
}

/// A line that CONFIG REWRITE wants in the file.
pub(super) struct RewrittenLine {
    pub line: Vec<u8>,
    /// A default is only written over a line of the same directive, never added.
    pub is_default: bool,
}

impl Entry {
    /// Whether the directive takes its arguments together rather than exactly one.
    pub fn takes_many(&self) -> bool {
        matches!(self.kind, Kind::List { .. } | Kind::OutputLimits | Kind::ShutdownFlags { .. })
    }

    /// The value before any configuration is read. `dir` is empty here: it starts as the working directory.
    pub fn default_value(&self) -> Value {
        match self.kind {
            Kind::YesNo { default } => Value::Integer(i64::from(default)),
            Kind::Integer { default, .. } | Kind::Choice { default, .. } => Value::Integer(default),
            Kind::ShutdownFlags { .. } => Value::Integer(0),
            Kind::KeyspaceEvents => Value::Integer(0),
            Kind::Text { default, .. } => Value::Text(default.as_bytes().into()),
            Kind::Directory => Value::Text([].into()),
            Kind::List { default, .. } => {
                Value::List(default.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>().into())
            }
            Kind::OutputLimits => Value::OutputLimits(OutputLimits::DEFAULT),
        }
    }

    /// Why this server cannot do what `value` asks for, if that is so.
    pub(super) fn refusal(&self, value: &Value) -> Option<&'static str> {
        self.unsupported.filter(|_| *value != self.default_value())
    }

    /// Reads a value from `arguments`, without their count checked for directives that take exactly one. `current`
    /// is the value that it is to replace.
    pub(super) fn parse(&self, arguments: &[Vec<u8>], current: &Value) -> Result<Value, Reason> {
        match self.kind {
            Kind::List { parse, .. } => return Ok(Value::List(parse(arguments)?.into())),
            Kind::OutputLimits => {
                let Value::OutputLimits(current) = current else { unreachable!("limits stay limits") };
                return output_limits::parse(arguments, current).map(Value::OutputLimits);
            }
            Kind::ShutdownFlags { names } => return parse_shutdown_flags(arguments, names).map(Value::Integer),
            _ => {}
        }
        let [argument] = arguments else { return Err("wrong number of arguments".into()) };
        match self.kind {
            Kind::YesNo { .. } => match argument.to_ascii_lowercase().as_slice() {
                b"yes" => Ok(Value::Integer(1)),
                b"no" => Ok(Value::Integer(0)),
                _ => Err("argument must be 'yes' or 'no'".into()),
            },
            Kind::Integer { min, max, unit, clamp, .. } => {
                let value = in_range(unit.parse(argument)?, min, max, unit)?;
                Ok(Value::Integer(value.clamp(clamp.0, clamp.1)))
            }
            Kind::Choice { names, .. } => {
                number_of(argument, names).map(Value::Integer).ok_or_else(|| must_be_one_of(names))
            }
            Kind::KeyspaceEvents => EventClasses::parse(argument)
                .map(|events| Value::Integer(i64::from(events.bits())))
                .ok_or_else(|| "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into()),
            Kind::Text { check, .. } => {
                check(argument)?;
                Ok(Value::Text(argument.as_slice().into()))
            }
            Kind::Directory => {
                let Value::Text(current) = current else { unreachable!("a directory stays a text") };
                super::checks::directory(argument, current).map(|path| Value::Text(path.into()))
            }
            Kind::List { .. } | Kind::OutputLimits | Kind::ShutdownFlags { .. } => unreachable!("handled above"),
        }
    }

    /// `value` as CONFIG GET prints it.
    pub fn format(&self, value: &Value) -> Vec<u8> {
        match value {
            Value::Integer(number) => self.format_number(*number).into_bytes(),
            Value::Text(text) => text.to_vec(),
            Value::List(words) => words.join(&b' '),
            Value::OutputLimits(limits) => limits.format().into_bytes(),
        }
    }

    fn format_number(&self, number: i64) -> String {
        match self.kind {
            Kind::YesNo { .. } => if number == 0 { "no" } else { "yes" }.to_owned(),
            Kind::Integer { unit, .. } => unit.format(number),
            Kind::Choice { names, .. } => {
                names.iter().find(|(_, known)| *known == number).map_or("unknown", |(name, _)| name).to_owned()
            }
            Kind::ShutdownFlags { names } if number == 0 => names[0].0.to_owned(),
            Kind::ShutdownFlags { names } => {
                let set = names.iter().filter(|(_, bit)| number & bit != 0).map(|(name, _)| *name);
                set.collect::<Vec<_>>().join(" ")
            }
            Kind::KeyspaceEvents => EventClasses::from_bits(number as u32).letters(),
            Kind::Text { .. } | Kind::Directory | Kind::List { .. } | Kind::OutputLimits => number.to_string(),
        }
    }

    /// The lines that hold `value` in a configuration file.
    pub(super) fn rewrite(&self, value: &Value) -> Vec<RewrittenLine> {
        let mut line = Vec::from(self.name);
        line.push(b' ');
        match (value, &self.kind) {
            (Value::OutputLimits(limits), _) => return limits.rewrite(self.name),
            (Value::List(words), Kind::List { empty_is_written, .. }) if words.is_empty() => {
                if !empty_is_written {
                    return Vec::new();
                }
                line.extend(b"\"\"");
            }
            (Value::List(words), Kind::List { .. }) if self.name == "save" => {
                return save_lines(words, *value == self.default_value());
            }
            (Value::List(words), _) => line.extend(join_quoted(words)),
            (Value::Text(text), _) => line::quote(text, &mut line),
            (Value::Integer(number), Kind::Integer { unit, .. }) => line.extend(unit.rewrite(*number).bytes()),
            (Value::Integer(number), Kind::KeyspaceEvents) => {
                line::quote(EventClasses::from_bits(*number as u32).letters().as_bytes(), &mut line);
            }
            (Value::Integer(number), _) => line.extend(self.format_number(*number).bytes()),
        }
        vec![RewrittenLine { line, is_default: *value == self.default_value() }]
    }
}

/// The words of a list, those in quotes that would not be read as they are.
fn join_quoted(words: &[Vec<u8>]) -> Vec<u8> {
    let mut joined = Vec::new();
    for word in words {
        if !joined.is_empty() {
            joined.push(b' ');
        }
        if !word.is_empty() && word.iter().all(|byte| byte.is_ascii_graphic() && !b"\"'\\#".contains(byte)) {
            joined.extend(word);
        } else {
            line::quote(word, &mut joined);
        }
    }
    joined
}

/// A line for each save point, as redis.conf has them.
fn save_lines(words: &[Vec<u8>], is_default: bool) -> Vec<RewrittenLine> {
    let line =
        |point: &[Vec<u8>]| RewrittenLine { line: [b"save ", point.join(&b' ').as_slice()].concat(), is_default };
    words.chunks(2).map(line).collect()
}

fn in_range(value: i128, min: i64, max: i64, unit: Unit) -> Result<i64, Reason> {
    if unit == Unit::MemoryOrPercent && value < i128::from(min) {
        return Err(format!("percentage argument must be less or equal to {}", -min).into());
    }
    i64::try_from(value).ok().filter(|value| (min..=max).contains(value)).ok_or_else(|| match unit {
        Unit::Octal => format!("argument must be between {min:o} and {max:o} inclusive").into(),
        _ => format!("argument must be between {min} and {max} inclusive").into(),
    })
}

fn number_of(word: &[u8], names: &[(&str, i64)]) -> Option<i64> {
    names.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word)).map(|(_, number)| *number)
}

fn must_be_one_of(names: &[(&str, i64)]) -> Reason {
    let names: Vec<_> = names.iter().map(|(name, _)| *name).collect();
    format!("argument(s) must be one of the following: {}", names.join(", ")).into()
}

fn parse_shutdown_flags(arguments: &[Vec<u8>], names: &[(&str, i64)]) -> Result<i64, Reason> {
    let flags = arguments.iter().try_fold(0, |flags, word| Some(flags | number_of(word, names)?));
    let flags = flags.filter(|_| !arguments.is_empty()).ok_or_else(|| must_be_one_of(names))?;
    let both = number_of(b"save", names).zip(number_of(b"nosave", names)).map_or(0, |(save, nosave)| save | nosave);
    if flags & both == both {
        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
    }
    Ok(flags)
}

/// The functions that the table is written with.
impl Entry {
    const fn new(name: &'static str, kind: Kind) -> Entry {
        Entry {
            name,
            alias: None,
            kind,
            immutable: false,
            hidden: false,
            protected: false,
            sensitive: false,
            names_content: false,
            denied_while_loading: false,
            without_effect: None,
            unsupported: None,
        }
    }

    pub(super) const fn yes_no(name: &'static str, default: bool) -> Entry {
        Entry::new(name, Kind::YesNo { default })
    }

    pub(super) const fn integer(name: &'static str, default: i64, min: i64, max: i64) -> Entry {
        Entry::number(name, default, min, max, Unit::Plain)
    }

    pub(super) const fn memory(name: &'static str, default: i64, min: i64, max: i64) -> Entry {
        Entry::number(name, default, min, max, Unit::Memory)
    }

    pub(super) const fn number(name: &'static str, default: i64, min: i64, max: i64, unit: Unit) -> Entry {
        Entry::new(name, Kind::Integer { default, min, max, unit, clamp: (min, max) })
    }

    pub(super) const fn choice<T: Choice>(name: &'static str, default: i64) -> Entry {
        Entry::words(name, default, T::NAMES)
    }

    /// A choice that nothing in the server depends on.
    pub(super) const fn words(name: &'static str, default: i64, names: &'static [(&'static str, i64)]) -> Entry {
        Entry::new(name, Kind::Choice { default, names })
    }

    pub(super) const fn shutdown_flags(name: &'static str, names: &'static [(&'static str, i64)]) -> Entry {
        Entry::new(name, Kind::ShutdownFlags { names })
    }

    pub(super) const fn text(name: &'static str, default: &'static str) -> Entry {
        Entry::checked(name, default, super::checks::anything)
    }

    pub(super) const fn checked(
        name: &'static str,
        default: &'static str,
        check: fn(&[u8]) -> Result<(), Reason>,
    ) -> Entry {
        Entry::new(name, Kind::Text { default, check })
    }

    pub(super) const fn list(name: &'static str, default: &'static [&'static str], parse: ListParser) -> Entry {
        Entry::new(name, Kind::List { default, parse, empty_is_written: true })
    }

    pub(super) const fn special(name: &'static str, kind: Kind) -> Entry {
        Entry::new(name, kind)
    }

    pub(super) const fn alias(mut self, alias: &'static str) -> Entry {
        self.alias = Some(alias);
        self
    }

    pub(super) const fn immutable(mut self) -> Entry {
        self.immutable = true;
        self
    }

    pub(super) const fn hidden(mut self) -> Entry {
        self.hidden = true;
        self
    }

    pub(super) const fn protected(mut self) -> Entry {
        self.protected = true;
        self
    }

    pub(super) const fn sensitive(mut self) -> Entry {
        self.sensitive = true;
        self
    }

    pub(super) const fn denied_while_loading(mut self) -> Entry {
        self.denied_while_loading = true;
        self
    }

    pub(super) const fn clamped(mut self, low: i64, high: i64) -> Entry {
        if let Kind::Integer { clamp, .. } = &mut self.kind {
            *clamp = (low, high);
        }
        self
    }

    pub(super) const fn left_out_if_empty(mut self) -> Entry {
        if let Kind::List { empty_is_written, .. } = &mut self.kind {
            *empty_is_written = false;
        }
        self
    }

    pub(super) const fn names_content(mut self) -> Entry {
        self.names_content = true;
        self
    }

    /// Accepted, kept and printed, but nothing comes of it, for this reason.
    pub(super) const fn without_effect(mut self, reason: &'static str) -> Entry {
        self.without_effect = Some(reason);
        self
    }

    /// Only the default is accepted: to take another value and not act on it would do harm.
    pub(super) const fn unsupported(mut self, reason: &'static str) -> Entry {
        self.unsupported = Some(reason);
        self
    }
}
