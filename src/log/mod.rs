//! The one log: every effect on data, in its order, as commands that anybody can repeat. It is appended to while the shards
//! of the data are locked, and read by whoever follows: replicas, and the append-only file.
//!
//! An offset counts bytes since the history began; it is what `PSYNC` calls the replication offset. The log is a ring of
//! blocks, which all readers share: a block goes when every reader has passed it and it is out of the backlog.
//!
//! Lock order: shards, then the log, then nothing.

mod effects;
mod lock;
mod pace;
#[cfg(test)]
mod tests;

pub use effects::{Audience, Effects};
pub use pace::{Pace, Terms};

use crate::resp::{Args, write_command};
use bytes::Bytes;
use lock::{OwnedMutex, OwnedMutexGuard};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Bytes of a block: what a reader is given at once at most, but for a command that alone is longer.
const BLOCK_BYTES: usize = 64 * 1024;
/// Bytes of memory of a block, which ends with the first command that does not fit into it: a size of which the allocator wastes
/// nothing.
const BLOCK_CAPACITY: usize = BLOCK_BYTES + BLOCK_BYTES / 4;

/// Blocks that have been read by all and whose memory is used again, so that it stays in the processor's cache.
const SPARE_MAX: usize = 8;

/// Who reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderKind {
    Replica,
    /// The append-only file, which gets nothing that concerns only replicas.
    File,
}

/// What is called when there is something new for a reader.
type Wake = Box<dyn Fn() + Send + Sync>;

/// A reader's place in the log.
pub struct Reader {
    kind: ReaderKind,
    position: AtomicU64,
    /// Bytes that it was given last and may still have, unless they are those of a block that is kept; changes while the ring is locked.
    taken: AtomicUsize,
    wake: Wake,
}

impl Reader {
    /// The offset that it reads next.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("kind", &self.kind).field("position", &self.position()).finish_non_exhaustive()
    }
}

/// What is kept for replicas that come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The first offset that can be had.
    pub start: u64,
    /// Bytes that can be had from there on.
    pub len: u64,
}

/// The log of a server.
#[derive(Default)]
pub struct Log {
    /// Somebody reads it, or may come back to read on.
    is_on: AtomicBool,
    /// The offset behind the last byte.
    end: AtomicU64,
    /// Something was appended of which readers have not been told.
    has_news: AtomicBool,
    /// Bytes of memory, those that are kept at least for replicas that come back, and those that wait for the file alone: the ring's,
    /// for whoever has no time to lock it.
    memory: AtomicUsize,
    backlog_bytes: AtomicUsize,
    aside_bytes: AtomicUsize,
    ring: OwnedMutex<Ring>,
}

struct Block {
    start: u64,
    bytes: Bytes,
    /// Bytes of memory.
    memory: usize,
}

#[derive(Default)]
struct Ring {
    blocks: VecDeque<Block>,
    /// Bytes of memory of all blocks.
    block_memory: usize,
    /// Bytes that readers have taken.
    taken_memory: usize,
    /// What is behind the blocks.
    tail: Vec<u8>,
    tail_start: u64,
    /// Memory for further blocks.
    spare: Vec<Vec<u8>>,
    /// The database that readers have been told to use.
    database: Option<usize>,
    readers: Vec<Arc<Reader>>,
    /// From where on it is kept, and how many bytes at least.
    backlog: Option<(u64, u64)>,
    /// It is what a primary sends, byte for byte: nothing of this server's own has a place in it.
    is_foreign: bool,
    /// What the file does not get, ascending.
    hidden: VecDeque<Range<u64>>,
    /// What nobody but the file gets, each in front of the byte at an offset; ascending. They are inside of transactions, so
    /// that whoever has read as far as these end has read them as well.
    asides: VecDeque<(u64, Bytes)>,
    aside_bytes: usize,
}

impl Log {
    /// Whether effects are to be appended. Changes only while all shards are locked.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Has this thread append at the least cost, and others wait longer: it is the only one that runs commands. For good, if no
    /// other thread did so before.
    pub fn own(&self) {
        lock::own(&self.ring);
    }

    /// The offset behind the last byte.
    #[inline]
    pub fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Has the log be what a primary sends, to which only [`Log::append_raw`] appends: else the offset would not be the primary's.
    /// All shards must be locked.
    pub fn set_foreign(&self, is_foreign: bool) {
        self.ring.lock().is_foreign = is_foreign;
    }

    /// The ring, ready to be appended to; `None` if nothing of this server's own has a place in it.
    #[inline]
    fn ring_to_append(&self) -> Option<OwnedMutexGuard<'_, Ring>> {
        let mut ring = self.ring.lock();
        self.make_room(&mut ring);
        (!ring.is_foreign).then_some(ring)
    }

    /// Appends one command, done in `database`.
    pub fn append<'a>(&self, database: usize, args: impl ExactSizeIterator<Item = &'a [u8]> + Clone) {
        let Some(mut ring) = self.ring_to_append() else { return };
        ring.select(database);
        write_command(&mut ring.tail, args);
        self.publish(&mut ring);
    }

    /// Appends a request that was done in `database`.
    #[inline]
    pub fn append_request(&self, database: usize, args: Args<'_>) {
        let Some(request) = args.as_sent() else {
            return self.append(database, args.iter());
        };
        let Some(mut ring) = self.ring_to_append() else { return };
        ring.select(database);
        ring.tail.extend_from_slice(request);
        self.publish(&mut ring);
    }

    /// Appends what one command or transaction did: several effects as a transaction. Leaves `effects` empty.
    pub fn append_all(&self, effects: &mut Effects) {
        if effects.is_empty() {
            return;
        }
        let Some(mut ring) = self.ring_to_append() else { return effects.clear() };
        let mut commands = effects.iter();
        let (database, first, audience) = commands.next().unwrap_or((0, &[], Audience::All));
        ring.select(database);
        let has_asides = effects.has_asides();
        let is_transaction = effects.len() > 1 || has_asides;
        if is_transaction {
            write_command(&mut ring.tail, [b"MULTI".as_slice()].into_iter());
        }
        ring.write(first, audience);
        for (database, bytes, audience) in commands {
            ring.select(database);
            ring.write(bytes, audience);
        }
        if is_transaction {
            write_command(&mut ring.tail, [b"EXEC".as_slice()].into_iter());
        }
        if has_asides {
            self.note_asides(&ring);
        }
        effects.clear();
        self.publish(&mut ring);
    }

    /// Appends what a primary sent, as it is. The part `hidden` of it, if there is one, is not for the file.
    pub fn append_raw(&self, bytes: &[u8], audience: Audience) {
        let mut ring = self.ring.lock();
        self.make_room(&mut ring);
        // Which database is selected is the primary's affair.
        ring.database = None;
        ring.write(bytes, audience);
        self.publish(&mut ring);
    }

    /// Has replicas say what they have.
    pub fn ask_for_acknowledgements(&self) {
        let words = [b"REPLCONF".as_slice(), b"GETACK", b"*"];
        self.append_outside(words.into_iter());
    }

    /// Appends a command that concerns no database, and only replicas.
    pub fn append_outside<'a>(&self, args: impl ExactSizeIterator<Item = &'a [u8]>) {
        let Some(mut ring) = self.ring_to_append() else { return };
        let start = ring.end();
        write_command(&mut ring.tail, args);
        ring.hide(start);
        self.publish(&mut ring);
    }

    fn publish(&self, ring: &mut Ring) {
        self.end.store(ring.end(), Ordering::Release);
        self.has_news.store(true, Ordering::Release);
        if ring.tail.len() >= BLOCK_BYTES {
            ring.seal();
            self.note_memory(ring);
        }
    }

    #[inline]
    fn make_room(&self, ring: &mut Ring) {
        if ring.tail.capacity() == 0 {
            ring.tail = ring.spare.pop().unwrap_or_else(|| Vec::with_capacity(BLOCK_CAPACITY));
            self.note_memory(ring);
        }
    }

    fn note_memory(&self, ring: &Ring) {
        let own = ring.block_memory + ring.tail.capacity() + ring.spare.len() * BLOCK_CAPACITY + ring.aside_bytes;
        self.memory.store(own + ring.taken_memory, Ordering::Relaxed);
    }

    #[cold]
    fn note_asides(&self, ring: &Ring) {
        self.aside_bytes.store(ring.aside_bytes, Ordering::Relaxed);
        self.note_memory(ring);
    }

    /// Tells readers that something was appended, if something was. Called once for a batch of commands.
    #[inline]
    pub fn wake_readers(&self) {
        if self.has_news.load(Ordering::Relaxed) {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        if self.has_news.swap(false, Ordering::AcqRel) {
            let readers: SmallVec<[Arc<Reader>; 4]> = self.ring.lock().readers.iter().map(Arc::clone).collect();
            readers.iter().for_each(|reader| (reader.wake)());
        }
    }

    /// Begins to read at `start`; `None` if that is not kept, or not written yet. All shards must be locked, unless the log
    /// is on already. `wake` is called when there is something to be read, with no lock held.
    pub fn open(&self, kind: ReaderKind, start: u64, wake: Wake) -> Option<Arc<Reader>> {
        let mut ring = self.ring.lock();
        let is_kept = start == ring.end() || start >= ring.start() && start < ring.end();
        if !is_kept {
            return None;
        }
        let reader = Arc::new(Reader { kind, position: AtomicU64::new(start), taken: AtomicUsize::new(0), wake });
        ring.readers.push(Arc::clone(&reader));
        self.is_on.store(true, Ordering::Relaxed);
        Some(reader)
    }

    /// The database that the last command was for; the first if none was, or nobody knows.
    pub fn database(&self) -> usize {
        self.ring.lock().database.unwrap_or(0)
    }

    /// Whoever begins to read behind the last byte must be told which database is meant.
    pub fn forget_database(&self) {
        self.ring.lock().database = None;
    }

    /// Ends reading. The log is off when nobody is left. All shards must be locked if that may be so and effects must not be
    /// lost to a backlog that begins later.
    pub fn close(&self, reader: &Arc<Reader>) {
        let mut ring = self.ring.lock();
        ring.readers.retain(|other| !Arc::ptr_eq(other, reader));
        ring.take(reader, 0);
        if reader.kind == ReaderKind::File {
            ring.forget_file();
        }
        self.settle(&mut ring);
    }

    fn settle(&self, ring: &mut Ring) {
        ring.trim();
        let is_on = ring.backlog.is_some() || !ring.readers.is_empty();
        if !is_on {
            ring.forget();
        }
        self.note_asides(ring);
        self.backlog_bytes.store(ring.backlog.map_or(0, |(_, bytes)| bytes as usize), Ordering::Relaxed);
        self.is_on.store(is_on, Ordering::Relaxed);
    }

    /// What comes next for a reader before `end`, who then has it; `None` if there is nothing yet.
    pub fn read(&self, reader: &Reader, mut end: u64) -> Option<Bytes> {
        let mut ring = self.ring.lock();
        let mut position = reader.position();
        if reader.kind == ReaderKind::File {
            while let Some(hidden) = ring.hidden.front() {
                if position < hidden.start {
                    end = end.min(hidden.start);
                    break;
                }
                position = position.max(hidden.end.min(end));
                if hidden.end > end {
                    // The rest is passed over with what comes behind the end.
                    break;
                }
                ring.hidden.pop_front();
            }
            if let Some((_, aside)) = ring.asides.pop_front_if(|(at, _)| *at <= position) {
                reader.position.store(position, Ordering::Release);
                ring.take(reader, aside.len());
                ring.aside_bytes -= aside.len();
                self.note_asides(&ring);
                return Some(aside);
            }
            end = ring.asides.front().map_or(end, |(at, _)| end.min(*at));
        }
        let bytes = ring.bytes(position, end);
        let (begin, len) = (position, bytes.as_ref().map_or(0, Bytes::len));
        position += len as u64;
        reader.position.store(position, Ordering::Release);
        if ring.blocks.front().is_some_and(|block| block.end() <= position) {
            ring.trim();
        }
        let is_kept = (ring.start()..ring.tail_start).contains(&begin);
        ring.take(reader, if is_kept { 0 } else { len });
        self.note_memory(&ring);
        bytes
    }

    /// Takes back what [`Log::read`] gave, once its reader is done with it.
    pub fn give_back(&self, bytes: Bytes) {
        if let Ok(mut block) = bytes.try_into_mut() {
            block.clear();
            let block = Vec::from(block);
            let mut ring = self.ring.lock();
            if block.capacity() == BLOCK_CAPACITY && ring.spare.len() < SPARE_MAX {
                ring.spare.push(block);
                self.note_memory(&ring);
            }
        }
    }

    /// Keeps at least the last `bytes` for replicas that come back, from now on. All shards must be locked.
    pub fn keep_backlog(&self, bytes: u64) {
        let mut ring = self.ring.lock();
        let start = ring.backlog.map_or(ring.end(), |(start, _)| start);
        ring.backlog = Some((start, bytes));
        self.settle(&mut ring);
    }

    /// Keeps nothing any more for replicas that come back.
    pub fn drop_backlog(&self) {
        let mut ring = self.ring.lock();
        ring.backlog = None;
        self.settle(&mut ring);
    }

    /// What is kept for replicas that come back; `None` if nothing is.
    pub fn backlog(&self) -> Option<Backlog> {
        let ring = self.ring.lock();
        let (start, bytes) = ring.backlog?;
        // What replicas are still to read can be had as well.
        let readers = ring.readers.iter().filter(|reader| reader.kind == ReaderKind::Replica);
        let slowest = readers.map(|reader| reader.position()).min().unwrap_or(u64::MAX);
        let first = ring.start().max(start).max(ring.end().saturating_sub(bytes).min(slowest));
        Some(Backlog { start: first, len: ring.end() - first })
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Bytes that wait for the file and have no offsets.
    #[inline]
    pub fn aside_bytes(&self) -> u64 {
        self.aside_bytes.load(Ordering::Relaxed) as u64
    }

    /// Bytes of memory that are there for those who have yet to read them, and not for replicas that come back.
    pub fn unread_memory(&self) -> usize {
        self.memory().saturating_sub(self.backlog_bytes.load(Ordering::Relaxed))
    }

    /// What was appended since the start came behind so many bytes of a history that is older. Readers must be closed before,
    /// and all shards locked.
    pub fn rebase(&self, bytes: u64) {
        let mut ring = self.ring.lock();
        ring.blocks.iter_mut().for_each(|block| block.start += bytes);
        ring.hidden.iter_mut().for_each(|hidden| *hidden = hidden.start + bytes..hidden.end + bytes);
        ring.asides.iter_mut().for_each(|(at, _)| *at += bytes);
        ring.tail_start += bytes;
        if let Some((start, _)) = &mut ring.backlog {
            *start += bytes;
        }
        self.end.store(ring.end(), Ordering::Release);
    }

    /// Another history begins, or goes on at another offset: what was kept is of no use. Readers must be closed before, but
    /// for the file, which goes on behind it.
    pub fn restart(&self, offset: u64) {
        let mut ring = self.ring.lock();
        ring.forget();
        ring.tail_start = offset;
        if let Some((start, _)) = &mut ring.backlog {
            *start = offset;
        }
        ring.readers.iter().for_each(|reader| reader.position.store(offset, Ordering::Release));
        self.note_asides(&ring);
        self.end.store(offset, Ordering::Release);
    }
}

impl Block {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl Ring {
    fn start(&self) -> u64 {
        self.blocks.front().map_or(self.tail_start, |block| block.start)
    }

    fn end(&self) -> u64 {
        self.tail_start + self.tail.len() as u64
    }

    fn select(&mut self, database: usize) {
        if self.database != Some(database) {
            self.database = Some(database);
            let mut number = itoa::Buffer::new();
            write_command(&mut self.tail, [b"SELECT", number.format(database).as_bytes()].into_iter());
        }
    }

    fn write(&mut self, bytes: &[u8], audience: Audience) {
        let start = self.end();
        if audience == Audience::File {
            if self.has_file() {
                self.asides.push_back((start, Bytes::copy_from_slice(bytes)));
                self.aside_bytes += bytes.len();
            }
            return;
        }
        self.tail.extend_from_slice(bytes);
        if audience == Audience::Replicas {
            self.hide(start);
        }
    }

    fn has_file(&self) -> bool {
        self.readers.iter().any(|reader| reader.kind == ReaderKind::File)
    }

    /// Keeps what begins at `start` out of the file.
    fn hide(&mut self, start: u64) {
        if !self.has_file() {
            return;
        }
        let end = self.end();
        match self.hidden.back_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => self.hidden.push_back(start..end),
        }
    }

    /// Turns the tail into a block.
    fn seal(&mut self) {
        let start = self.tail_start;
        self.tail_start = self.end();
        let memory = self.tail.capacity() + size_of::<Block>();
        let bytes = Bytes::from(std::mem::take(&mut self.tail));
        self.block_memory += memory;
        self.blocks.push_back(Block { start, bytes, memory });
        self.trim();
    }

    /// What there is from `start` on and before `end`, in one piece.
    fn bytes(&self, start: u64, end: u64) -> Option<Bytes> {
        let end = end.min(self.end());
        if start >= end {
            return None;
        }
        if start >= self.tail_start {
            let place = (start - self.tail_start) as usize..(end - self.tail_start) as usize;
            return Some(Bytes::copy_from_slice(&self.tail[place]));
        }
        let index = self.blocks.partition_point(|block| block.end() <= start);
        let block = &self.blocks[index];
        let place = (start - block.start) as usize..(end.min(block.end()) - block.start) as usize;
        Some(block.bytes.slice(place))
    }

    /// Counts what a reader has been given, instead of what it was given before.
    fn take(&mut self, reader: &Reader, bytes: usize) {
        self.taken_memory += bytes;
        self.taken_memory -= reader.taken.swap(bytes, Ordering::Relaxed);
    }

    /// Forgets the blocks that nobody needs.
    fn trim(&mut self) {
        let read = self.readers.iter().map(|reader| reader.position()).min().unwrap_or(u64::MAX);
        let kept = self.backlog.map_or(u64::MAX, |(_, bytes)| self.end().saturating_sub(bytes));
        while let Some(block) = self.blocks.pop_front_if(|block| block.end() <= read.min(kept)) {
            self.block_memory -= block.memory;
        }
    }

    /// Forgets everything but the offset.
    fn forget(&mut self) {
        self.tail_start = self.end();
        self.blocks.clear();
        self.block_memory = 0;
        self.tail = Vec::new();
        self.spare.clear();
        self.forget_file();
        self.database = None;
    }

    /// Forgets what is not for all.
    fn forget_file(&mut self) {
        self.hidden.clear();
        self.asides.clear();
        self.aside_bytes = 0;
    }
}
