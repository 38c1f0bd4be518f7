//! What a command did, gathered until it is over.

use crate::resp::write_command;
use smallvec::SmallVec;

/// For whom an effect is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    All,
    /// Published messages, and what keeps a link alive: nothing that a file has to keep.
    Replicas,
    /// What a script wants nobody but the file to know.
    File,
}

/// Commands that repeat what one command or transaction did, in their order.
#[derive(Default)]
pub struct Effects {
    bytes: Vec<u8>,
    /// The end of each command in `bytes`, and its database.
    commands: SmallVec<[Entry; 2]>,
}

#[derive(Clone, Copy)]
struct Entry {
    end: usize,
    database: u32,
    audience: Audience,
}

impl Effects {
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Commands.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Adds a command, done in `database`.
    pub fn push<'a>(&mut self, database: usize, args: impl ExactSizeIterator<Item = &'a [u8]>, audience: Audience) {
        write_command(&mut self.bytes, args);
        self.commands.push(Entry { end: self.bytes.len(), database: database as u32, audience });
    }

    /// Has the commands from the one at `index` on be for nobody outside `audience`.
    pub fn restrict(&mut self, index: usize, audience: Audience) {
        if audience == Audience::All {
            return;
        }
        let mut start = index.checked_sub(1).map_or(0, |before| self.commands[before].end);
        let mut kept = start;
        let restricted: SmallVec<[Entry; 2]> = self.commands.drain(index..).collect();
        for entry in restricted {
            let len = entry.end - start;
            let is_kept = entry.audience == Audience::All || entry.audience == audience;
            if is_kept {
                self.bytes.copy_within(start..entry.end, kept);
                kept += len;
                self.commands.push(Entry { end: kept, audience, ..entry });
            }
            start = entry.end;
        }
        self.bytes.truncate(kept);
    }

    /// Whether some are for the file alone.
    pub(super) fn has_asides(&self) -> bool {
        self.commands.iter().any(|entry| entry.audience == Audience::File)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[u8], Audience)> {
        let mut start = 0;
        self.commands.iter().map(move |entry| {
            let bytes = &self.bytes[start..entry.end];
            start = entry.end;
            (entry.database as usize, bytes, entry.audience)
        })
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.commands.clear();
    }
}
