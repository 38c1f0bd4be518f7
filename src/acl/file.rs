//! Files of users (`aclfile`): a line for each, as `ACL LIST` shows it.

use super::{Account, Acl, DEFAULT, RuleError, RulesError, User, apply_all, is_name, joined};
use crate::config::{error_text, replace_file, trim};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Why a file of users cannot be used.
#[derive(Debug)]
pub enum LoadError {
    Unreadable(io::Error),
    /// What is wrong with its lines; nothing has changed.
    Wrong(String),
}

impl LoadError {
    /// What is to be told of it.
    pub fn about(&self, path: &Path) -> String {
        match self {
            LoadError::Unreadable(error) => {
                format!("Error loading ACLs, opening file '{}': {}", path.display(), error_text(error))
            }
            LoadError::Wrong(errors) => errors.clone(),
        }
    }
}

impl Acl {
    /// Takes the users from a file in place of those that there are. Returns the names of those who were there, but for the default
    /// one: their connections are to end, even if the rules are the same, as Redis has it.
    pub fn load(&self, path: &Path, all_channels: bool) -> Result<Vec<Box<[u8]>>, LoadError> {
        let text = std::fs::read(path).map_err(LoadError::Unreadable)?;
        let mut users = parse(&text, &path.to_string_lossy(), all_channels).map_err(LoadError::Wrong)?;
        let default = users.remove(DEFAULT).unwrap_or_else(User::unrestricted);
        let mut accounts = self.accounts.write();
        let gone = accounts.keys().filter(|name| ***name != *DEFAULT).cloned().collect();
        accounts.retain(|name, _| **name == *DEFAULT);
        accounts.extend(users.into_iter().map(|(name, user)| (name.clone(), Account::new(&name, user))));
        self.set(&self.default, default);
        Ok(gone)
    }

    /// Writes all users to a file.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let text: Vec<u8> = self.list().into_iter().flat_map(|line| [line, b"\n".to_vec()].concat()).collect();
        replace_file(path, &text)
    }

    /// Takes a user from the configuration, where each may be defined once: `is_known` says that this one was before.
    pub fn define(&self, name: &[u8], rules: &[&[u8]], all_channels: bool, is_known: bool) -> Result<(), RuleError> {
        if is_known {
            return Err(RuleError::DuplicateUser);
        }
        if name == DEFAULT {
            // The line says all that there is to this user.
            self.set(&self.default, User::new(all_channels));
        }
        match self.set_user(name, rules, all_channels) {
            Ok(_) => Ok(()),
            Err(RulesError::Unmatched(_)) => Err(RuleError::Syntax),
            Err(RulesError::Rule(_, error)) => Err(error),
        }
    }
}

/// The users that lines define. Errors: what is wrong, in a sentence for each line.
fn parse(text: &[u8], source: &str, all_channels: bool) -> Result<BTreeMap<Box<[u8]>, User>, String> {
    let mut users: BTreeMap<Box<[u8]>, User> = BTreeMap::new();
    let mut errors = String::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let (line, number) = (trim(line), index + 1);
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        // Quotes are no more than other bytes: patterns are written as they are.
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let (name, rules) = match &words[..] {
            [user, name, rules @ ..] if *user == b"user" => (*name, rules),
            _ => {
                errors
                    .push_str(&format!("{source}:{number} should start with user keyword followed by the username. "));
                continue;
            }
        };
        let shown = String::from_utf8_lossy(name);
        if users.contains_key(name) {
            errors.push_str(&format!("WARNING: Duplicate user '{shown}' found on line {number}. "));
            continue;
        }
        if !is_name(name) {
            errors.push_str(&format!("'{source}:{number}: username '{shown}' contains invalid characters. "));
            continue;
        }
        let mut user = User::new(all_channels);
        match apply_all(&mut user, rules, all_channels) {
            Ok(()) => drop(users.insert(name.into(), user)),
            Err(RulesError::Unmatched(_)) => {
                errors.push_str(&format!("{source}:{number}: Unmatched parenthesis in selector definition."));
            }
            Err(RulesError::Rule(..)) => tell(&mut errors, rules, &format!("{source}:{number}"), all_channels),
        }
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors.push_str("WARNING: ACL errors detected, no change to the previously active ACL rules was performed");
    Err(errors)
}

/// Tells all names that are not known, and the first of the other errors, which may be why others follow.
fn tell(errors: &mut String, rules: &[&[u8]], place: &str, all_channels: bool) {
    let mut user = User::new(all_channels);
    let mut has_other = false;
    for rule in joined(rules).unwrap_or_default() {
        match user.apply(&rule, all_channels) {
            Err(error @ RuleError::UnknownCommand) => {
                let rule = String::from_utf8_lossy(&rule);
                errors.push_str(&format!("{place}: Error in applying operation '{rule}': {error}. "));
            }
            Err(error) if !has_other => {
                has_other = true;
                errors.push_str(&format!("{place}: {error}. "));
            }
            Err(_) | Ok(()) => {}
        }
    }
}
