//! The differences from other servers that are meant to be: a data file that names each with its reason.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// A line of `differences.txt`. All but the reason are patterns in which `*` stands for anything.
struct Difference {
    /// The servers from which Radish differs.
    peers: Vec<String>,
    /// The command and its arguments.
    command: String,
    ours: String,
    theirs: String,
    reason: String,
}

/// All of them, and how often each explained a difference.
pub struct Differences {
    all: Vec<Difference>,
    used: RefCell<BTreeMap<usize, u64>>,
    /// Set when one of them leaves the servers with different counts of commands and errors.
    pub counts_differ: Cell<bool>,
}

impl Differences {
    /// Reads the data file.
    pub fn read() -> Differences {
        let lines = include_str!("differences.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let all = lines.map(Difference::parse).collect();
        Differences { all, used: RefCell::default(), counts_differ: Cell::default() }
    }

    /// Whether it is meant to be that Radish answers a command with `ours` and this peer with `theirs`.
    pub fn explain(&self, peer: &str, command: &str, ours: &str, theirs: &str) -> bool {
        let found = self.all.iter().position(|difference| {
            difference.peers.iter().any(|pattern| pattern == peer)
                && matches(&difference.command, command)
                && matches(&difference.ours, ours)
                && matches(&difference.theirs, theirs)
        });
        if let Some(index) = found {
            *self.used.borrow_mut().entry(index).or_default() += 1;
        }
        found.is_some()
    }

    /// Whether servers may be meant to answer a command differently.
    pub fn concern(&self, command: &str) -> bool {
        self.all.iter().any(|difference| matches(&difference.command, command))
    }

    /// The differences that were seen, each with how often.
    pub fn seen(&self) -> Vec<(u64, String)> {
        let line = |(index, count): (&usize, &u64)| {
            let difference = &self.all[*index];
            (*count, format!("{} ({}): {}", difference.command, difference.peers.join(","), difference.reason))
        };
        self.used.borrow().iter().map(line).collect()
    }
}

impl Difference {
    fn parse(line: &str) -> Difference {
        let fields: Vec<_> = line.split(" | ").map(|field| field.trim().to_owned()).collect();
        let Ok([peers, command, ours, theirs, reason]) = <[String; 5]>::try_from(fields) else {
            panic!("differences.txt: not five fields between ` | `: {line}");
        };
        Difference { peers: peers.split(',').map(str::to_owned).collect(), command, ours, theirs, reason }
    }
}

/// Whether a text matches a pattern, letters of either case alike.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let parts: Vec<_> = pattern.split('*').collect();
    let [first, middle @ .., last] = &parts[..] else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn stars_stand_for_anything() {
    assert!(matches("GET *", "get a b"));
    assert!(matches("*", ""));
    assert!(matches("a*b*c", "aXbXbc"));
    assert!(!matches("a*b*c", "aXbXb"));
    assert!(!matches("GET", "GETEX"));
    assert!(!matches("ab*ba", "aba"));
}

#[test]
fn the_data_file_can_be_read() {
    assert!(Differences::read().all.iter().all(|difference| !difference.reason.is_empty()));
}
