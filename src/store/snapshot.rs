//! The keyspace as it was at one moment, handed over by and by while it goes on changing: without `fork`, and without a pause
//! that grows with the data.
//!
//! [`Snapshot::begin`] is the moment, for which all shards are held. Then [`Snapshot::next`] is called, on whatever thread, until
//! it is over: each call locks one shard for as long as a page takes. Whoever changes a record before its turn has it handed over
//! first, which the trees see to ([`crate::tree::Tree::begin_capture`]): it waits in the tree until the walk comes by. What a tree
//! has to hand over travels with it, so databases may be exchanged meanwhile; one that is emptied is given to the snapshot
//! ([`retire`]), which frees it when it has been through.

use super::{Database, Keyspace, Locked, Shard};
use crate::persistence::pieces::Pieces;
use crate::tree::{PayloadMut, Recorder};
use crate::value::{InlineKind, Value, ValueRef};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes after which a step ends, even in the middle of a page.
const STEP_BYTES_MAX: usize = 32 << 10;
/// Large values after which a step ends.
const STEP_LARGE_MAX: usize = 8;
/// A buffer that has so many bytes is followed by another one, so that none is ever moved at length.
const BUFFER_LEN: usize = 64 << 10;

/// What records are handed over to: makes bytes of them.
pub trait Image: Send + Sync {
    /// Appends a record as it was at the moment to `out`. Called under the lock of its shard, with the records in no order,
    /// each once.
    ///
    /// `database` is the one that it was in at the moment, `deadline_ms` in milliseconds of Unix time, `clock` its access clock.
    fn record(
        &self,
        out: &mut Pieces<'_>,
        database: usize,
        key: &[u8],
        deadline_ms: Option<i64>,
        clock: u32,
        value: ValueRef<'_>,
    );
}

/// A database at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub keys: u64,
    /// Keys that have a deadline.
    pub expiring: u64,
    /// Hashes of which fields have deadlines.
    pub hashes_with_deadlines: u64,
}

/// What became of a call of [`Snapshot::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes have been appended, all of this database.
    Records { database: usize },
    /// All records have been handed over.
    Done,
    /// Somebody has aborted the snapshot.
    Aborted,
}

/// How far a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub keys_done: u64,
    pub keys: u64,
}

/// What all who have to do with a snapshot share.
pub(super) struct Moment {
    image: Box<dyn Image>,
    is_aborted: AtomicBool,
    keys: u64,
    keys_done: AtomicU64,
    /// A bit for each shard of which much is kept, to be fetched before its turn.
    full_shards: AtomicU64,
    /// Databases that have been emptied; `None` once the snapshot takes no more.
    retired: Mutex<Option<Vec<Database>>>,
}

impl Moment {
    fn is_aborted(&self) -> bool {
        self.is_aborted.load(Ordering::Acquire)
    }

    fn progress(&self) -> Progress {
        Progress { keys_done: self.keys_done.load(Ordering::Relaxed), keys: self.keys }
    }
}

/// What is kept in a tree for the snapshot that captures it: records that had to be handed over before their turn.
pub struct Keeper {
    moment: Arc<Moment>,
    /// The bit of the shard that the tree is of.
    shard: u64,
    /// Where the tree was at the moment.
    database: usize,
    kept: Kept,
}

/// Records as bytes, and such as are to become bytes when no lock is held.
#[derive(Default)]
struct Kept {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
    /// Records in the buffers.
    keys: u64,
    large: Vec<Large>,
}

impl Kept {
    fn is_empty(&self) -> bool {
        self.keys == 0 && self.large.is_empty()
    }
}

/// A record whose value takes long to read.
struct Large {
    key: Box<[u8]>,
    deadline_ms: Option<i64>,
    clock: u32,
    /// What the value was at the moment: it has in common with it what has not changed since.
    image: Value,
}

impl Recorder<Value> for Keeper {
    fn record(&mut self, key: &[u8], payload: PayloadMut<'_, Value>, deadline_ms: Option<i64>, clock: u32) {
        let value = match payload {
            PayloadMut::Inline { kind, bytes } => ValueRef::Inline(InlineKind::stored(kind), bytes),
            PayloadMut::Boxed(value) => {
                if let Some(image) = value.image() {
                    self.kept.large.push(Large { key: key.into(), deadline_ms, clock, image });
                    // What changes of the value until then is there twice.
                    self.moment.full_shards.fetch_or(self.shard, Ordering::Relaxed);
                    return;
                }
                ValueRef::Boxed(value)
            }
        };
        let kept = &mut self.kept;
        if kept.buffers.last().is_none_or(|last| last.len() >= BUFFER_LEN) {
            if !kept.buffers.is_empty() {
                self.moment.full_shards.fetch_or(self.shard, Ordering::Relaxed);
            }
            kept.buffers.push(Vec::new());
        }
        let Some(buffer) = kept.buffers.last_mut() else { return };
        let len = buffer.len();
        self.moment.image.record(&mut Pieces::whole(buffer), self.database, key, deadline_ms, clock, value);
        kept.bytes += buffer.len() - len;
        kept.keys += 1;
    }
}

/// A walk over the keyspace at one moment. If it is dropped before it is over, it leaves nothing behind.
pub struct Snapshot {
    shards: Arc<[Mutex<Shard>]>,
    running: Arc<Mutex<Option<Arc<Moment>>>>,
    moment: Arc<Moment>,
    counts: Vec<Count>,
    /// The shard whose turn it is, and the database that is walked there, unless it has been exchanged.
    shard: usize,
    database: usize,
    /// A database that was emptied, and that is walked first.
    retired: Option<Database>,
    /// Records that are still to become bytes, all of the database that the last step was of.
    large: (usize, Vec<Large>),
}

impl Snapshot {
    /// Begins a snapshot of what is there now. Whatever else belongs to the moment is to be noted before the locks are let go.
    /// `None` if one is under way.
    ///
    /// # Panics
    /// If not all shards are held.
    pub fn begin(locked: &mut Locked<'_>, image: Box<dyn Image>) -> Option<Snapshot> {
        let keyspace = locked.keyspace();
        assert_eq!(locked.set(), keyspace.all_shards(), "a moment is that of all shards");
        let mut running = keyspace.running.lock();
        if running.is_some() {
            return None;
        }
        let mut counts = vec![Count::default(); keyspace.databases()];
        for (_, shard) in locked.iter() {
            for (number, count) in counts.iter_mut().enumerate() {
                let tree = &shard.databases[number];
                count.keys += tree.len() as u64;
                count.expiring += tree.deadlines() as u64;
                count.hashes_with_deadlines += shard.due_fields[number].len() as u64;
            }
        }
        let moment = Arc::new(Moment {
            image,
            is_aborted: AtomicBool::new(false),
            keys: counts.iter().map(|count| count.keys).sum(),
            keys_done: AtomicU64::new(0),
            full_shards: AtomicU64::new(0),
            retired: Mutex::new(Some(Vec::new())),
        });
        for (number, shard) in locked.shards() {
            for (database, tree) in shard.databases.iter_mut().enumerate() {
                if !tree.is_empty() {
                    let moment = Arc::clone(&moment);
                    tree.begin_capture(Keeper { moment, shard: 1 << number, database, kept: Kept::default() });
                }
            }
        }
        *running = Some(Arc::clone(&moment));
        Some(Snapshot {
            shards: Arc::clone(&keyspace.shards),
            running: Arc::clone(&keyspace.running),
            moment,
            counts,
            shard: 0,
            database: 0,
            retired: None,
            large: (0, Vec::new()),
        })
    }

    /// All databases as they were at the moment.
    pub fn counts(&self) -> &[Count] {
        &self.counts
    }

    pub fn progress(&self) -> Progress {
        self.moment.progress()
    }

    /// Appends further records to `out`, a page's or so. If they become much meanwhile, `take` takes what is in `out`, which is
    /// of the database that it is given.
    pub fn next(&mut self, out: &mut Vec<u8>, take: &mut dyn FnMut(usize, &mut Vec<u8>)) -> Step {
        loop {
            if self.moment.is_aborted() {
                return Step::Aborted;
            }
            if let (database, Some(large)) = (self.large.0, self.large.1.pop()) {
                let Large { key, deadline_ms, clock, image } = large;
                let mut taker = |bytes: &mut Vec<u8>| take(database, bytes);
                let out = &mut Pieces::new(out, &mut taker);
                self.moment.image.record(out, database, &key, deadline_ms, clock, ValueRef::Boxed(&image));
                self.moment.keys_done.fetch_add(1, Ordering::Relaxed);
                return Step::Records { database };
            }
            if self.retired.is_none() {
                self.retired = self.moment.retired.lock().as_mut().and_then(Vec::pop);
            }
            let (database, kept) = if let Some(step) = self.fetch() {
                step
            } else if let Some(tree) = &mut self.retired {
                let Some(step) = walk(tree) else {
                    self.retired = None;
                    crate::memory::publish();
                    continue;
                };
                step
            } else if let Some(shard) = self.shards.get(self.shard) {
                let mut guard = shard.lock();
                if !guard.databases[self.database].is_captured() {
                    match guard.databases.iter().position(Database::is_captured) {
                        Some(database) => self.database = database,
                        None => {
                            self.shard += 1;
                            continue;
                        }
                    }
                }
                let tree = &mut guard.databases[self.database];
                let step = walk(tree);
                // Whoever waits for the shard has it first.
                MutexGuard::unlock_fair(guard);
                let Some(step) = step else { continue };
                step
            } else {
                if self.is_over() {
                    return Step::Done;
                }
                continue;
            };
            self.moment.keys_done.fetch_add(kept.keys, Ordering::Relaxed);
            self.large = (database, kept.large);
            if kept.bytes > 0 {
                kept.buffers.iter().for_each(|buffer| out.extend_from_slice(buffer));
                return Step::Records { database };
            }
        }
    }

    /// Takes out what is kept in a shard of which that is much, and the database that it belongs to.
    fn fetch(&self) -> Option<(usize, Kept)> {
        let full_shards = &self.moment.full_shards;
        loop {
            let number = full_shards.load(Ordering::Relaxed).trailing_zeros();
            if number == u64::BITS {
                return None;
            }
            full_shards.fetch_and(!(1 << number), Ordering::Relaxed);
            let mut guard = self.shards[number as usize].lock();
            let keepers = guard.databases.iter_mut().filter_map(Database::recorder_mut);
            let mut keepers = keepers.filter(|keeper| !keeper.kept.is_empty());
            let Some(keeper) = keepers.next() else { continue };
            let step = (keeper.database, std::mem::take(&mut keeper.kept));
            if keepers.next().is_some() {
                full_shards.fetch_or(1 << number, Ordering::Relaxed);
            }
            return Some(step);
        }
    }

    /// Whether no emptied database is left. Then none comes any more, since no tree is captured.
    fn is_over(&self) -> bool {
        self.moment.retired.lock().as_ref().is_none_or(Vec::is_empty)
    }
}

/// Takes a step in a tree, and takes out what has been handed over and the database that it belongs to. `None` if there was
/// nothing left: then the tree is free.
fn walk(tree: &mut Database) -> Option<(usize, Kept)> {
    let has_enough = |keeper: &Keeper| keeper.kept.bytes >= STEP_BYTES_MAX || keeper.kept.large.len() >= STEP_LARGE_MAX;
    let is_over = tree.advance_capture(has_enough);
    let keeper = tree.recorder_mut()?;
    let step = (keeper.database, std::mem::take(&mut keeper.kept));
    if is_over {
        tree.end_capture();
        return (!step.1.is_empty()).then_some(step);
    }
    Some(step)
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.moment.is_aborted.store(true, Ordering::Release);
        for shard in &self.shards[self.shard..] {
            let mut guard = shard.lock();
            let captures: Vec<_> = guard.databases.iter_mut().filter_map(Database::end_capture).collect();
            drop(guard);
            drop(captures);
        }
        let retired = self.moment.retired.lock().take();
        drop(retired);
        // The next snapshot finds no value of which there is an image still.
        self.large.1.clear();
        *self.running.lock() = None;
    }
}

impl Keyspace {
    /// How far the snapshot is that is under way.
    pub fn snapshot_progress(&self) -> Option<Progress> {
        self.running.lock().as_ref().map(|moment| moment.progress())
    }

    /// Has the snapshot that is under way end soon; says whether there is one.
    pub fn abort_snapshot(&self) -> bool {
        let running = self.running.lock();
        running.as_ref().inspect(|moment| moment.is_aborted.store(true, Ordering::Release)).is_some()
    }
}

/// Gives a database that has left the keyspace to the snapshot that has yet to walk it. If there is none, it is the caller's to
/// free.
#[must_use = "a database takes long to free"]
pub fn retire(mut tree: Database) -> Option<Database> {
    let Some(keeper) = tree.recorder_mut() else { return Some(tree) };
    let moment = Arc::clone(&keeper.moment);
    let mut retired = moment.retired.lock();
    match &mut *retired {
        Some(trees) if !moment.is_aborted() => {
            trees.push(tree);
            None
        }
        _ => {
            tree.end_capture();
            Some(tree)
        }
    }
}

#[cfg(test)]
mod tests;
