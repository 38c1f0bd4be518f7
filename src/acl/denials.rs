//! What was refused lately (`ACL LOG`).

use super::Denial;
use std::collections::VecDeque;

/// Refusals of the same thing within so many milliseconds are one entry.
const SAME_MS: i64 = 60_000;
/// So many entries are looked through for one that is the same.
const SAME_LOOKED_THROUGH: usize = 10;

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Command,
    Key,
    Channel,
    Auth,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Channel => "channel",
            Reason::Auth => "auth",
        }
    }
}

impl From<Denial> for Reason {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Command => Reason::Command,
            Denial::Key(_) => Reason::Key,
            Denial::Channel(_) => Reason::Channel,
        }
    }
}

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    TopLevel,
    Multi,
    Script,
}

impl Context {
    pub fn name(self) -> &'static str {
        match self {
            Context::TopLevel => "toplevel",
            Context::Multi => "multi",
            Context::Script => "lua",
        }
    }
}

/// What was refused, once or several times.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: u64,
    pub count: u64,
    pub reason: Reason,
    pub context: Context,
    /// The command, key or channel.
    pub object: Vec<u8>,
    pub user: Box<[u8]>,
    /// The client, as `CLIENT INFO` describes it.
    pub client: Vec<u8>,
    /// When it was refused first, and last, in milliseconds of Unix time.
    pub created_ms: i64,
    pub updated_ms: i64,
}

/// The latest refusals.
#[derive(Debug, Default)]
pub struct Denials {
    /// The latest first.
    entries: VecDeque<Entry>,
    next_id: u64,
}

impl Denials {
    /// Notes one, and keeps `count_max` in all.
    pub fn add(
        &mut self,
        (reason, context): (Reason, Context),
        object: Vec<u8>,
        user: Box<[u8]>,
        client: Vec<u8>,
        now_ms: i64,
        count_max: usize,
    ) {
        let is_same = |entry: &Entry| {
            entry.reason == reason
                && entry.context == context
                && now_ms - entry.updated_ms <= SAME_MS
                && entry.object == object
                && entry.user == user
        };
        let known = self.entries.iter().take(SAME_LOOKED_THROUGH).position(is_same);
        let entry = match known.and_then(|place| self.entries.remove(place)) {
            Some(entry) => Entry { count: entry.count + 1, client, updated_ms: now_ms, ..entry },
            None => {
                let id = self.next_id;
                self.next_id += 1;
                Entry { id, count: 1, reason, context, object, user, client, created_ms: now_ms, updated_ms: now_ms }
            }
        };
        self.entries.push_front(entry);
        self.entries.truncate(count_max);
    }

    /// The latest first.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }
}
