//! A user: passwords, and what they open.

use super::RuleError;
use super::selector::{Denial, Selector};
use crate::config::split;
use crate::resp::Args;
use crate::spec::CommandSpec;
use crate::spec::keys::{KeyRefs, keys};
use sha2::{Digest, Sha256};

/// The SHA-256 of a password.
type Hash = [u8; 32];

/// What is known of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    is_enabled: bool,
    /// Any password will do.
    needs_no_password: bool,
    /// Whether payloads that this user restores are looked through, if a rule said so. All are, whatever it said.
    sanitizes_payloads: Option<bool>,
    passwords: Vec<Hash>,
    /// A request must pass one of them. The first is the one that rules outside parentheses are about.
    selectors: Vec<Selector>,
}

impl User {
    /// One that may do nothing, but use all channels if `all_channels`.
    pub fn new(all_channels: bool) -> Self {
        User {
            is_enabled: false,
            needs_no_password: false,
            sanitizes_payloads: None,
            passwords: Vec::new(),
            selectors: vec![Selector::new(all_channels)],
        }
    }

    /// One that may do everything, without a password.
    pub fn unrestricted() -> Self {
        User { is_enabled: true, needs_no_password: true, selectors: vec![Selector::unrestricted()], ..User::new(true) }
    }

    pub fn is_unrestricted(&self) -> bool {
        self.selectors.iter().any(Selector::is_unrestricted)
    }

    /// Whether a connection is this user's without a word.
    pub fn is_open(&self) -> bool {
        self.is_enabled && self.needs_no_password
    }

    pub fn needs_no_password(&self) -> bool {
        self.needs_no_password
    }

    /// Takes one rule, such as `on`, `>password`, `~key*` or `(+get ~other*)`. `all_channels` is what a new selector begins with.
    pub fn apply(&mut self, rule: &[u8], all_channels: bool) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        match rule {
            // As in Redis, where blanks between rules count as rules.
            b"" => {}
            _ if is("on") => self.is_enabled = true,
            _ if is("off") => self.is_enabled = false,
            _ if is("nopass") => (self.needs_no_password, self.passwords) = (true, Vec::new()),
            _ if is("resetpass") => (self.needs_no_password, self.passwords) = (false, Vec::new()),
            _ if is("sanitize-payload") => self.sanitizes_payloads = Some(true),
            _ if is("skip-sanitize-payload") => self.sanitizes_payloads = Some(false),
            _ if is("clearselectors") => self.selectors.truncate(1),
            _ if is("reset") => *self = User::new(all_channels),
            [b'>', password @ ..] => self.add_password(Sha256::digest(password).into()),
            [b'#', text @ ..] => self.add_password(hash(text)?),
            [b'<', password @ ..] => self.remove_password(&Sha256::digest(password).into())?,
            [b'!', text @ ..] => self.remove_password(&hash(text)?)?,
            [b'(', rules @ .., b')'] => {
                let mut selector = Selector::new(all_channels);
                // With quotation marks that do not end, they are none, as in Redis.
                let rules = split(rules).unwrap_or_default();
                rules.iter().try_for_each(|rule| selector.apply(rule))?;
                self.selectors.push(selector);
            }
            _ => self.selectors[0].apply(rule)?,
        }
        Ok(())
    }

    fn add_password(&mut self, hash: Hash) {
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
        self.needs_no_password = false;
    }

    fn remove_password(&mut self, hash: &Hash) -> Result<(), RuleError> {
        let place = self.passwords.iter().position(|known| known == hash).ok_or(RuleError::NoSuchPassword)?;
        self.passwords.remove(place);
        Ok(())
    }

    /// Whether the password is right, in time that does not depend on how much of it is.
    pub fn lets_in(&self, password: &[u8]) -> bool {
        let given: Hash = Sha256::digest(password).into();
        let is_same = |known: &Hash| known.iter().zip(&given).fold(0, |all, (a, b)| all | (a ^ b)) == 0;
        let is_known = self.passwords.iter().fold(false, |found, known| found | is_same(known));
        self.is_enabled && (self.needs_no_password || is_known)
    }

    /// Whether the user may make a request.
    pub fn check(&self, spec: &CommandSpec, args: Args<'_>) -> Result<(), Denial> {
        let mut found = KeyRefs::new();
        // Of a request whose keys cannot be found, the handler says what is wrong.
        let _ = keys(spec, args, &mut found);
        let mut worst = Denial::Command;
        for selector in &self.selectors {
            match selector.check(spec, args, &found) {
                Ok(()) => return Ok(()),
                Err(denial) => worst = worst.max(denial),
            }
        }
        Err(worst)
    }

    /// Whether the user may run a command, and write with it to any key that begins with `prefix`.
    pub fn writes_all_keys(&self, spec: &CommandSpec, args: Args<'_>, prefix: &[u8]) -> bool {
        let mut selectors = self.selectors.iter();
        selectors.any(|selector| selector.writes_all_keys(prefix) && selector.check(spec, args, &[]).is_ok())
    }

    /// Whether the user may run a command, and read keys of any name with it.
    pub fn reads_all_keys(&self, spec: &CommandSpec, args: Args<'_>) -> bool {
        self.selectors.iter().any(|selector| selector.reads_all_keys() && selector.check(spec, args, &[]).is_ok())
    }

    /// Whether the user may listen to a channel, or to a pattern.
    pub fn may_listen(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.selectors.iter().any(|selector| selector.allows_channel(channel, is_pattern))
    }

    /// What `ACL GETUSER` calls flags.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> + Clone {
        let flags = [
            (self.is_enabled, "on"),
            (!self.is_enabled, "off"),
            (self.needs_no_password, "nopass"),
            (self.sanitizes_payloads == Some(true), "sanitize-payload"),
            (self.sanitizes_payloads == Some(false), "skip-sanitize-payload"),
        ];
        flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag)
    }

    /// The SHA-256 of each password, in hexadecimal digits.
    pub fn passwords(&self) -> impl ExactSizeIterator<Item = String> {
        self.passwords.iter().map(|hash| hexadecimal(hash))
    }

    /// The first selector, and those in parentheses.
    pub fn selectors(&self) -> (&Selector, &[Selector]) {
        (&self.selectors[0], &self.selectors[1..])
    }

    /// All rules, as they would have to be given to make this user.
    pub fn describe(&self) -> Vec<u8> {
        let (root, others) = self.selectors();
        let flags = self.flags().map(|flag| flag.as_bytes().to_vec());
        let passwords = self.passwords().map(|digits| format!("#{digits}").into_bytes());
        let others = others.iter().map(|selector| [b"(", &*selector.describe(), b")"].concat());
        flags.chain(passwords).chain([root.describe()]).chain(others).collect::<Vec<_>>().join(&b' ')
    }
}

/// Lowercase hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hash that 64 lowercase hexadecimal digits stand for.
fn hash(text: &[u8]) -> Result<Hash, RuleError> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut hash = Hash::default();
    if text.len() != 2 * hash.len() {
        return Err(RuleError::BadHash);
    }
    for (byte, pair) in hash.iter_mut().zip(text.chunks(2)) {
        let (high, low) = (digit(pair[0]).ok_or(RuleError::BadHash)?, digit(pair[1]).ok_or(RuleError::BadHash)?);
        *byte = high << 4 | low;
    }
    Ok(hash)
}
