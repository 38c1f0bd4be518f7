//! Finding a command by the name that a client sent.

use super::{COMMANDS, CommandSpec};

/// New names for commands, as `rename-command` gives them: the table's name and the new one; an empty new name
/// removes the command.
pub type Renames<'a> = &'a [(&'a str, &'a [u8])];

/// The commands of this server by name: the static table, with the config's renames applied.
///
/// An open-addressing hash table, at most a quarter full. It is built once at start; a lookup compares, as a rule,
/// the [`Digest`] of one entry.
#[derive(Debug)]
pub struct Table {
    slots: Box<[u16]>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    digest: Digest,
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
        let mut entries: Vec<Entry> = COMMANDS.iter().map(|spec| Entry::new(spec.name.as_bytes(), spec)).collect();
        for &(old, new) in renames {
            let position = entries
                .iter()
                .position(|entry| entry.name.eq_ignore_ascii_case(old.as_bytes()))
                .ok_or_else(|| RenameError::NoSuchCommand(old.to_owned()))?;
            let spec = entries.remove(position).spec;
            if new.is_empty() {
                continue;
            }
            if entries.iter().any(|other| other.name.eq_ignore_ascii_case(new)) {
                return Err(RenameError::NameTaken(String::from_utf8_lossy(new).into_owned()));
            }
            entries.insert(position, Entry::new(new, spec));
        }

        let mut slots = vec![EMPTY; (entries.len() * 4).next_power_of_two()].into_boxed_slice();
        for (index, entry) in entries.iter().enumerate() {
            let mut slot = entry.digest.hash() as usize & (slots.len() - 1);
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
        let digest = Digest::new(name);
        let mut slot = digest.hash() as usize & mask;
        loop {
            let entry = self.entries.get(usize::from(self.slots[slot]))?;
            if entry.digest == digest && (digest.is_whole() || entry.name.eq_ignore_ascii_case(name)) {
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

impl Entry {
    fn new(name: &[u8], spec: &'static CommandSpec) -> Self {
        Self { digest: Digest::new(name), name: name.into(), spec }
    }
}

/// A name in lowercase, as far as its first and last eight bytes, which overlap in a shorter one: up to sixteen bytes
/// the digest is the whole name. That makes hashing and comparing a few instructions without loops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Digest {
    first: u64,
    last: u64,
    len: usize,
}

impl Digest {
    #[inline]
    fn new(name: &[u8]) -> Self {
        let len = name.len();
        let (first, last) = if let (Some(first), Some(last)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
        } else if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
        } else {
            match *name {
                [] => (0, 0),
                [a] => (a.into(), 0),
                [a, .., c] => (u16::from_le_bytes([a, name[len / 2]]).into(), c.into()),
            }
        };
        Self { first: lowercase(first), last: lowercase(last), len }
    }

    /// Whether nothing of the name is missing.
    fn is_whole(self) -> bool {
        self.len <= 16
    }

    #[inline]
    fn hash(self) -> u64 {
        // An odd number without pattern: the fraction of the golden ratio.
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(self.first ^ self.len as u64) * u128::from(FACTOR);
        let folded = (product as u64) ^ (product >> 64) as u64;
        let product = u128::from(folded ^ self.last) * u128::from(FACTOR);
        (product as u64) ^ (product >> 64) as u64
    }
}

/// Eight characters in lowercase; only ASCII letters change.
#[inline]
fn lowercase(word: u64) -> u64 {
    const ALL: u64 = 0x0101_0101_0101_0101;
    let low_bits = word & (ALL * 0x7f);
    // In each byte the high bit says whether the character is at least `A`, or above `Z`.
    let from_a = low_bits + ALL * (0x80 - b'A' as u64);
    let above_z = low_bits + ALL * (0x80 - b'Z' as u64 - 1);
    let is_upper = from_a & !above_z & !word & (ALL * 0x80);
    word | (is_upper >> 2)
}

#[cfg(test)]
mod tests {
    use super::lowercase;

    #[test]
    fn only_ascii_letters_change_case() {
        for byte in 0..=255u8 {
            for neighbour in [0, b'A', b'Z', 0x7f, 0xff] {
                let bytes = [neighbour, byte, neighbour, neighbour, neighbour, neighbour, neighbour, byte];
                assert_eq!(lowercase(u64::from_le_bytes(bytes)).to_le_bytes(), bytes.map(|b| b.to_ascii_lowercase()));
            }
        }
    }
}
