//! A set of rules: which commands, keys and channels it lets through.

use super::RuleError;
use crate::glob;
use crate::resp::Args;
use crate::spec::keys::KeyRef;
use crate::spec::{AclCategories, COMMAND_COUNT, COMMANDS, Channels, CommandFlags, CommandSpec, KeyFlags, all};
use std::collections::BTreeMap;

/// What a request was refused for. Of several reasons the greatest is told: the one that was found last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    Command,
    /// A key, and which argument it is.
    Key(usize),
    /// A channel, and which argument it is.
    Channel(usize),
}

/// Keys that may be read or written, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyPattern {
    glob: Box<[u8]>,
    reads: bool,
    writes: bool,
}

/// Rules that are true together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Commands and subcommands by their ids.
    commands: [u64; COMMAND_COUNT.div_ceil(64)],
    /// The last rule about all commands allowed them.
    begins_with_all: bool,
    /// First arguments with which a command that is not allowed otherwise is.
    first_arguments: BTreeMap<u16, Vec<Box<[u8]>>>,
    /// The rules about commands since the last about all of them, without those that a later one made void.
    command_rules: Vec<(bool, Box<[u8]>)>,
    all_keys: bool,
    keys: Vec<KeyPattern>,
    all_channels: bool,
    channels: Vec<Box<[u8]>>,
}

impl Selector {
    /// Allows nothing, but all channels if `all_channels`.
    pub fn new(all_channels: bool) -> Self {
        Selector {
            commands: [0; COMMAND_COUNT.div_ceil(64)],
            begins_with_all: false,
            first_arguments: BTreeMap::new(),
            command_rules: Vec::new(),
            all_keys: false,
            keys: Vec::new(),
            all_channels,
            channels: Vec::new(),
        }
    }

    /// Allows everything.
    pub fn unrestricted() -> Self {
        let mut selector = Selector::new(true);
        selector.all_keys = true;
        selector.set_all_commands(true);
        selector
    }

    /// Whether everything is allowed.
    pub fn is_unrestricted(&self) -> bool {
        self.all_keys && self.all_channels && all().all(|spec| self.has(spec))
    }

    fn has(&self, spec: &CommandSpec) -> bool {
        self.commands[usize::from(spec.id) / 64] >> (spec.id % 64) & 1 == 1
    }

    /// Takes one rule: all of it, or none if it is wrong.
    pub fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        match rule {
            _ if is("allkeys") || is("~*") => (self.all_keys, self.keys) = (true, Vec::new()),
            _ if is("resetkeys") => (self.all_keys, self.keys) = (false, Vec::new()),
            _ if is("allchannels") || is("&*") => (self.all_channels, self.channels) = (true, Vec::new()),
            _ if is("resetchannels") => (self.all_channels, self.channels) = (false, Vec::new()),
            _ if is("allcommands") || is("+@all") => self.set_all_commands(true),
            _ if is("nocommands") || is("-@all") => self.set_all_commands(false),
            [b'~', glob @ ..] => self.add_keys(glob, true, true)?,
            [b'%', rest @ ..] => {
                // Without a tilde, nothing is behind it.
                let end = memchr::memchr(b'~', rest).unwrap_or(rest.len());
                let (reads, writes) = match &*rest[..end].to_ascii_uppercase() {
                    b"R" => (true, false),
                    b"W" => (false, true),
                    b"RW" | b"WR" => (true, true),
                    _ => return Err(RuleError::Syntax),
                };
                self.add_keys(rest.get(end + 1..).unwrap_or_default(), reads, writes)?;
            }
            [b'&', glob @ ..] => self.add_channels(glob)?,
            [b'+', b'@', category @ ..] => self.set_category(category, true)?,
            [b'-', b'@', category @ ..] => self.set_category(category, false)?,
            [b'+', name @ ..] => self.allow(name)?,
            [b'-', name @ ..] => {
                let spec = command(name).ok_or(RuleError::UnknownCommand)?;
                self.set_command(spec, false);
                self.note(spec.name.as_bytes(), false);
            }
            _ => return Err(RuleError::Syntax),
        }
        Ok(())
    }

    fn add_keys(&mut self, glob: &[u8], reads: bool, writes: bool) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::AllKeys);
        }
        checked(glob)?;
        match self.keys.iter_mut().find(|known| *known.glob == *glob) {
            Some(known) => (known.reads, known.writes) = (known.reads | reads, known.writes | writes),
            None => self.keys.push(KeyPattern { glob: glob.into(), reads, writes }),
        }
        Ok(())
    }

    fn add_channels(&mut self, glob: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::AllChannels);
        }
        checked(glob)?;
        if !self.channels.iter().any(|known| **known == *glob) {
            self.channels.push(glob.into());
        }
        Ok(())
    }

    /// `+command`, `+container|subcommand`, or `+command|first-argument`.
    fn allow(&mut self, name: &[u8]) -> Result<(), RuleError> {
        if let Some(spec) = command(name) {
            self.set_command(spec, true);
            self.note(spec.name.as_bytes(), true);
            return Ok(());
        }
        let bar = memchr::memrchr(b'|', name).ok_or(RuleError::UnknownCommand)?;
        let (spec, argument) = (command(&name[..bar]).ok_or(RuleError::UnknownCommand)?, &name[bar + 1..]);
        if spec.name.contains('|') {
            return Err(RuleError::FirstArgumentOfSubcommand);
        }
        if argument.is_empty() {
            return Err(RuleError::Syntax);
        }
        if spec.is_container() {
            return Err(RuleError::UnknownCommand);
        }
        let argument: Box<[u8]> = argument.to_ascii_lowercase().into();
        let known = self.first_arguments.entry(spec.id).or_default();
        if !known.contains(&argument) {
            known.push(argument.clone());
        }
        self.note(&[spec.name.as_bytes(), b"|", &argument].concat(), true);
        Ok(())
    }

    fn set_all_commands(&mut self, allowed: bool) {
        all().for_each(|spec| self.set_bit(spec, allowed));
        self.begins_with_all = allowed;
        self.first_arguments.clear();
        self.command_rules.clear();
    }

    fn set_category(&mut self, word: &[u8], allowed: bool) -> Result<(), RuleError> {
        let word = std::str::from_utf8(word).map_err(|_| RuleError::UnknownCommand)?.to_ascii_lowercase();
        let category = AclCategories::from_word(&word).ok_or(RuleError::UnknownCommand)?;
        for spec in all().filter(|spec| spec.acl.contains(category)) {
            self.set_bit(spec, allowed);
            self.first_arguments.remove(&spec.id);
        }
        self.note(format!("@{word}").as_bytes(), allowed);
        Ok(())
    }

    /// Allows or denies a command with all its subcommands.
    fn set_command(&mut self, spec: &CommandSpec, allowed: bool) {
        for one in std::iter::once(spec).chain(spec.subcommands) {
            self.set_bit(one, allowed);
            self.first_arguments.remove(&one.id);
        }
    }

    fn set_bit(&mut self, spec: &CommandSpec, allowed: bool) {
        let (word, bit) = (usize::from(spec.id) / 64, 1 << (spec.id % 64));
        match allowed {
            true => self.commands[word] |= bit,
            false => self.commands[word] &= !bit,
        }
    }

    /// Notes a rule about commands. Earlier ones about the same, or about a part of it, say nothing any more; nor do those that
    /// allow what `+@all` in front of them does.
    fn note(&mut self, what: &[u8], allowed: bool) {
        let is_part =
            |earlier: &[u8]| earlier.strip_prefix(what).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"|"));
        self.command_rules.retain(|(_, earlier)| !is_part(earlier));
        self.command_rules.push((allowed, what.into()));
        if self.begins_with_all {
            let void = self.command_rules.iter().take_while(|(allowed, _)| *allowed).count();
            self.command_rules.drain(..void);
        }
    }

    /// Whether a request, whose `keys` were found among its arguments, is let through.
    pub fn check(&self, spec: &CommandSpec, args: Args<'_>, keys: &[KeyRef]) -> Result<(), Denial> {
        if !self.has(spec) && !spec.has(CommandFlags::NO_AUTH) {
            let known = self.first_arguments.get(&spec.id).into_iter().flatten();
            let is_known = |argument: &[u8]| known.clone().any(|one| one.eq_ignore_ascii_case(argument));
            if !args.get(1).is_some_and(is_known) {
                return Err(Denial::Command);
            }
        }
        for key in keys {
            let writes = key.flags.intersects(KeyFlags::INSERT.union(KeyFlags::DELETE).union(KeyFlags::UPDATE));
            let index = key.index as usize;
            if !self.allows_key(args.at(index), key.flags.contains(KeyFlags::ACCESS), writes) {
                return Err(Denial::Key(index));
            }
        }
        let (channels, are_patterns) = match spec.channels {
            Channels::None => return Ok(()),
            Channels::First => (1..args.len().min(2), false),
            Channels::All => (1..args.len(), false),
            Channels::Patterns => (1..args.len(), true),
        };
        for index in channels {
            if !self.allows_channel(args.at(index), are_patterns) {
                return Err(Denial::Channel(index));
            }
        }
        Ok(())
    }

    fn allows_key(&self, key: &[u8], reads: bool, writes: bool) -> bool {
        self.all_keys
            || self.keys.iter().any(|pattern| {
                (pattern.reads || !reads) && (pattern.writes || !writes) && glob::matches(&pattern.glob, key, false)
            })
    }

    /// Whether any key that begins with `prefix` may be written to.
    pub fn writes_all_keys(&self, prefix: &[u8]) -> bool {
        self.all_keys || self.keys.iter().any(|pattern| pattern.writes && glob::matches_all(&pattern.glob, prefix))
    }

    /// Whether a channel is allowed; a pattern of channels is only as it stands.
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_channels
            || self.channels.iter().any(|known| match is_pattern {
                true => **known == *channel,
                false => glob::matches(known, channel, false),
            })
    }

    /// Whether all keys may be read, whatever they are called.
    pub fn reads_all_keys(&self) -> bool {
        self.all_keys || self.keys.iter().any(|pattern| *pattern.glob == *b"*" && pattern.reads)
    }

    /// The rules about commands, as `ACL GETUSER` shows them.
    pub fn describe_commands(&self) -> Vec<u8> {
        let mut text = if self.begins_with_all { b"+@all".to_vec() } else { b"-@all".to_vec() };
        for (allowed, what) in &self.command_rules {
            text.extend_from_slice(if *allowed { b" +" } else { b" -" });
            text.extend_from_slice(what);
        }
        text
    }

    /// The rules about keys, as `ACL GETUSER` shows them.
    pub fn describe_keys(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let each = self.keys.iter().map(|pattern| {
            let head: &[u8] = match (pattern.reads, pattern.writes) {
                (true, false) => b"%R~",
                (false, true) => b"%W~",
                _ => b"~",
            };
            [head, &pattern.glob].concat()
        });
        each.collect::<Vec<_>>().join(&b' ')
    }

    /// The rules about channels, as `ACL GETUSER` shows them.
    pub fn describe_channels(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        self.channels.iter().map(|glob| [b"&", &**glob].concat()).collect::<Vec<_>>().join(&b' ')
    }

    /// All rules, as `ACL LIST` shows them.
    pub fn describe(&self) -> Vec<u8> {
        let mut parts = vec![self.describe_keys()];
        if !self.all_channels {
            parts.push(b"resetchannels".to_vec());
        }
        parts.extend([self.describe_channels(), self.describe_commands()]);
        parts.retain(|part| !part.is_empty());
        parts.join(&b' ')
    }
}

/// The command or subcommand (`container|name`) that a rule names.
fn command(name: &[u8]) -> Option<&'static CommandSpec> {
    let bar = memchr::memchr(b'|', name);
    let container =
        COMMANDS.iter().find(|spec| spec.name.as_bytes().eq_ignore_ascii_case(&name[..bar.unwrap_or(name.len())]))?;
    match bar {
        None => Some(container),
        Some(bar) => container.subcommand(&name[bar + 1..]),
    }
}

/// A pattern must stay one word where rules are written down.
fn checked(glob: &[u8]) -> Result<(), RuleError> {
    match glob.iter().any(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0B)) {
        true => Err(RuleError::Syntax),
        false => Ok(()),
    }
}
