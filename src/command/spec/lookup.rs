//! Finding a command by the name that a client sent.

use super::{COMMANDS, CommandSpec};

/// New names for commands, as `rename-command` gives them: the table's name and the new one; an empty new name
/// removes the command.
pub type Renames<'a> = &'a [(&'a str, &'a [u8])];

/// The commands of this server by name: the static table, with the config's renames applied.
///
/// An open-addressing hash table, at most a quarter full, over the name's bytes with their case folded. It is built
/// once at start; a lookup hashes eight bytes at a time and compares, as a rule, one entry.
#[derive(Debug)]
pub struct Table {
    slots: Box<[u16]>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: Box<[u8]>,
    spec: &'static CommandSpec,
}

const EMPTY: u16 = u16::MAX;

/// Why a rename in the config cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RenameError {
    /// There is no command of this name.
    NoSuchCommand(String),
    /// Another command has the new name.
    NameTaken(String),
}

impl std::fmt::Display for RenameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchCommand(_) => f.write_str("No such command in rename-command"),
            Self::NameTaken(_) => f.write_str("Target command name already exists"),
        }
    }
}

impl std::error::Error for RenameError {}

impl Table {
    /// The table with these renames, done one after the other.
    pub fn new(renames: Renames<'_>) -> Result<Self, RenameError> {
        let mut entries: Vec<Entry> =
            COMMANDS.iter().map(|spec| Entry { name: spec.name.as_bytes().into(), spec }).collect();
        for &(old, new) in renames {
            let position = entries
                .iter()
                .position(|entry| entry.name.eq_ignore_ascii_case(old.as_bytes()))
                .ok_or_else(|| RenameError::NoSuchCommand(old.to_owned()))?;
            let mut entry = entries.remove(position);
            if new.is_empty() {
                continue;
            }
            if entries.iter().any(|other| other.name.eq_ignore_ascii_case(new)) {
                return Err(RenameError::NameTaken(String::from_utf8_lossy(new).into_owned()));
            }
            entry.name = new.into();
            entries.insert(position, entry);
        }

        let mut slots = vec![EMPTY; (entries.len() * 4).next_power_of_two()].into_boxed_slice();
        for (index, entry) in entries.iter().enumerate() {
            let mut slot = hash(&entry.name) as usize & (slots.len() - 1);
            while slots[slot] != EMPTY {
                slot = (slot + 1) & (slots.len() - 1);
            }
            slots[slot] = u16::try_from(index).expect("there are fewer than 65,535 commands");
        }
        Ok(Self { slots, entries })
    }

    /// The command of this name, whatever its case.
    #[inline]
    pub fn lookup(&self, name: &[u8]) -> Option<&'static CommandSpec> {
        let mask = self.slots.len() - 1;
        let mut slot = hash(name) as usize & mask;
        loop {
            let entry = self.entries.get(usize::from(self.slots[slot]))?;
            if entry.name.eq_ignore_ascii_case(name) {
                return Some(entry.spec);
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The command of this full name, where a subcommand is `container|name`.
    pub fn lookup_full(&self, name: &[u8]) -> Option<&'static CommandSpec> {
        match memchr::memchr(b'|', name) {
            None => self.lookup(name),
            Some(bar) => self.lookup(&name[..bar])?.subcommand(&name[bar + 1..]),
        }
    }

    /// The commands that this server has, without subcommands.
    pub fn commands(&self) -> impl ExactSizeIterator<Item = &'static CommandSpec> + Clone {
        self.entries.iter().map(|entry| entry.spec)
    }
}

/// Hashes a name so that letters of either case hash alike. Command names do not come from outside but lookups do;
/// a crafted name meets at most one short run of slots.
#[inline]
fn hash(name: &[u8]) -> u64 {
    // Sets the bit that tells `a` from `A`. It also merges a few other characters, which only costs a comparison.
    const FOLD: u64 = 0x2020_2020_2020_2020;
    // An odd number without pattern: the fraction of the golden ratio.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |state: u64, word: u64| {
        let product = u128::from(state ^ word) * u128::from(FACTOR);
        (product as u64) ^ (product >> 64) as u64
    };
    let mut words = name.chunks_exact(8);
    let mut state = name.len() as u64;
    for word in &mut words {
        state = mix(state, u64::from_le_bytes(word.try_into().expect("eight bytes")) | FOLD);
    }
    let rest = words.remainder();
    mix(state, rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte | 0x20)))
}
