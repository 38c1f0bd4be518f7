//! Access control: users, what each may do, and what was refused.
//!
//! A connection belongs to an [`Account`], from which it has the [`User`] as the rules are now: a change is felt by the next
//! request. Requests of users that may do everything, as the default user may in the beginning, are not looked at.

mod denials;
mod file;
mod selector;
mod user;

pub use denials::{Context, Denials, Entry, Reason};
pub use file::LoadError;
pub use selector::{Denial, Selector};
pub use user::{User, hexadecimal};

use crate::config::{Directive, Settings};
use crate::resp::Args;
use crate::spec::CommandSpec;
use parking_lot::{Mutex, RwLock};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The name of the user that connections have before they say another.
pub const DEFAULT: &[u8] = b"default";

/// What is wrong with a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    Syntax,
    UnknownCommand,
    AllKeys,
    AllChannels,
    NoSuchPassword,
    BadHash,
    FirstArgumentOfSubcommand,
    DuplicateUser,
}

impl fmt::Display for RuleError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            RuleError::Syntax => "Syntax error",
            RuleError::UnknownCommand => "Unknown command or category name in ACL",
            RuleError::AllKeys => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try \
                 'resetkeys' to start with an empty list of patterns"
            }
            RuleError::AllChannels => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. \
                 Try 'resetchannels' to start with an empty list of channels"
            }
            RuleError::NoSuchPassword => "The password you are trying to remove from the user does not exist",
            RuleError::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            RuleError::FirstArgumentOfSubcommand => "Allowing first-arg of a subcommand is not supported",
            RuleError::DuplicateUser => "Duplicate user found. A user can only be defined once in config files",
        })
    }
}

/// Which of several rules is wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulesError {
    /// A parenthesis that nothing closes.
    Unmatched(Vec<u8>),
    Rule(Vec<u8>, RuleError),
}

/// A user's name, and the rules as they are now.
pub struct Account {
    pub name: Box<[u8]>,
    user: RwLock<Arc<User>>,
    is_unrestricted: AtomicBool,
}

impl Account {
    fn new(name: &[u8], user: User) -> Arc<Self> {
        let is_unrestricted = AtomicBool::new(user.is_unrestricted());
        Arc::new(Account { name: name.into(), user: RwLock::new(Arc::new(user)), is_unrestricted })
    }

    /// The rules as they are now.
    pub fn user(&self) -> Arc<User> {
        Arc::clone(&self.user.read())
    }

    fn set(&self, user: User) {
        // In this order a request that comes meanwhile is looked at rather than let through.
        self.is_unrestricted.store(false, Ordering::Release);
        let is_unrestricted = user.is_unrestricted();
        *self.user.write() = Arc::new(user);
        self.is_unrestricted.store(is_unrestricted, Ordering::Release);
    }

    /// Whether requests need not be looked at.
    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        self.is_unrestricted.load(Ordering::Acquire)
    }

    /// Whether the user may make a request.
    pub fn check(&self, spec: &CommandSpec, args: Args<'_>) -> Result<(), Denial> {
        if self.is_unrestricted() { Ok(()) } else { self.user().check(spec, args) }
    }
}

/// All users.
pub struct Acl {
    accounts: RwLock<BTreeMap<Box<[u8]>, Arc<Account>>>,
    /// The default user, who is always there.
    default: Arc<Account>,
    /// Whether a new connection must say who it is.
    needs_password: AtomicBool,
    pub denials: Mutex<Denials>,
}

impl Default for Acl {
    fn default() -> Self {
        let default = Account::new(DEFAULT, User::unrestricted());
        let accounts = BTreeMap::from([(DEFAULT.into(), Arc::clone(&default))]);
        Acl {
            accounts: RwLock::new(accounts),
            default,
            needs_password: AtomicBool::new(false),
            denials: Mutex::default(),
        }
    }
}

impl Acl {
    pub fn default_account(&self) -> Arc<Account> {
        Arc::clone(&self.default)
    }

    /// Whether a new connection must say who it is.
    pub fn needs_password(&self) -> bool {
        self.needs_password.load(Ordering::Relaxed)
    }

    fn set(&self, account: &Account, user: User) {
        if *account.name == *DEFAULT {
            self.needs_password.store(!user.is_open(), Ordering::Relaxed);
        }
        account.set(user);
    }

    /// Gives the default user this one password, or none if it is empty (`requirepass`).
    pub fn set_default_password(&self, password: &[u8]) {
        let _one_change_at_a_time = self.accounts.write();
        let mut user = (*self.default.user()).clone();
        let rules =
            [b"resetpass".to_vec(), if password.is_empty() { b"nopass".to_vec() } else { [b">", password].concat() }];
        let taken = rules.iter().try_for_each(|rule| user.apply(rule, false));
        debug_assert_eq!(taken, Ok(()));
        self.set(&self.default, user);
    }

    pub fn find(&self, name: &[u8]) -> Option<Arc<Account>> {
        self.accounts.read().get(name).cloned()
    }

    /// All users, in the order of their names.
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        self.accounts.read().values().cloned().collect()
    }

    /// A line for each user, as `ACL LIST` shows it.
    pub fn list(&self) -> Vec<Vec<u8>> {
        let line = |account: Arc<Account>| [b"user ", &*account.name, b" ", &account.user().describe()].concat();
        self.accounts().into_iter().map(line).collect()
    }

    /// Applies rules to a user, who is made if there is none of this name: all of them, or none if one is wrong.
    pub fn set_user(&self, name: &[u8], rules: &[&[u8]], all_channels: bool) -> Result<Arc<Account>, RulesError> {
        let mut accounts = self.accounts.write();
        let known = accounts.get(name).cloned();
        let mut user = known.as_ref().map_or_else(|| User::new(all_channels), |account| (*account.user()).clone());
        apply_all(&mut user, rules, all_channels)?;
        let account = match known {
            Some(account) => {
                self.set(&account, user);
                account
            }
            None => Account::new(name, user),
        };
        accounts.insert(name.into(), Arc::clone(&account));
        Ok(account)
    }

    /// Removes a user; the default one stays.
    pub fn delete(&self, name: &[u8]) -> bool {
        name != DEFAULT && self.accounts.write().remove(name).is_some()
    }

    /// The account of a user whose password is right.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<Arc<Account>> {
        self.find(name).filter(|account| account.user().lets_in(password))
    }
}

/// Whether new users and selectors begin with all channels (`acl-pubsub-default`).
pub fn begins_with_all_channels(settings: &Settings) -> bool {
    settings.int(Directive::AclPubsubDefault) == 0
}

/// Whether a user may be called so.
pub fn is_name(name: &[u8]) -> bool {
    !name.iter().any(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0B))
}

fn apply_all(user: &mut User, rules: &[&[u8]], all_channels: bool) -> Result<(), RulesError> {
    for rule in joined(rules)? {
        user.apply(&rule, all_channels).map_err(|error| RulesError::Rule(rule.into_owned(), error))?;
    }
    Ok(())
}

/// The rules, those between parentheses as one.
fn joined<'a>(words: &[&'a [u8]]) -> Result<Vec<Cow<'a, [u8]>>, RulesError> {
    let mut rules = Vec::new();
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        if !word.starts_with(b"(") || word.ends_with(b")") {
            rules.push(Cow::Borrowed(word));
            continue;
        }
        let mut whole = word.to_vec();
        while !whole.ends_with(b")") {
            let next = words.next().ok_or_else(|| RulesError::Unmatched(word.to_vec()))?;
            whole.push(b' ');
            whole.extend_from_slice(next);
        }
        rules.push(Cow::Owned(whole));
    }
    Ok(rules)
}

#[cfg(test)]
mod tests;
