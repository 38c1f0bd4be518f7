//! What is found out about requests before they run: the command, its keys' hashes and shards, and for a batch of
//! them, in passes whose cache misses overlap, where the keys' records are.

use super::turns::Turns;
use crate::resp::Args;
use crate::spec::{CommandFlags, CommandSpec, KeyLayout, Locks};
use crate::state::State;
use crate::store::{Database, Key, Keyspace, SHARDS_MAX, ShardSet, Trail, Walk};
use smallvec::SmallVec;
use std::cell::Cell;
use std::ops::Range;

/// Requests that are prepared together at most.
pub const BATCH_REQUESTS_MAX: usize = 64;
/// Keys beyond which no further connection's requests join those that are prepared: the lines of so many stay in the
/// first cache until they are needed.
const BATCH_KEYS_ENOUGH: usize = 128;
/// Keys whose records are fetched together: as many as keep the memory busy.
const WALKS_MAX: usize = 64;
/// Keys that are prepared together at most; a request may have more.
const BATCH_KEYS_MAX: usize = 256;

/// The requests of a batch, prepared. It borrows nothing: what it knows of keys it knows by their places in the buffer
/// that the requests were read into.
#[derive(Default)]
pub struct Batch {
    requests: Vec<Entry>,
    /// The keys of all requests, one request after the other.
    keys: Vec<KeyHint>,
    /// The name of the latest request, by its place, and its command: pipelines repeat themselves.
    latest: Option<(Range<usize>, &'static CommandSpec)>,
}

#[derive(Clone, Copy)]
struct Entry {
    spec: Option<&'static CommandSpec>,
    first_key: u32,
    end_key: u32,
    has_all_keys: bool,
}

/// What is known of a key: its hash, its shard, and where in its database's tree it was seen.
#[derive(Clone, Copy)]
pub(super) struct KeyHint {
    /// Its first byte in the buffer.
    start: usize,
    len: u32,
    shard: u16,
    /// Its command may change its record.
    for_change: bool,
    hash: u64,
    trail: Trail,
}

impl KeyHint {
    #[inline(always)]
    fn key<'b>(&self, buffer: &'b [u8]) -> Key<'b> {
        Key { bytes: &buffer[self.start..][..self.len as usize], hash: self.hash, trail: self.trail }
    }
}

/// A request before it runs. Hints but for the command: running it is right, if slower, whatever has changed since.
#[derive(Clone, Copy)]
pub struct Prepared<'b> {
    /// The command; of a container, the container.
    pub(super) spec: Option<&'static CommandSpec>,
    /// Its keys in their order, as far as they were looked for.
    keys: &'b [KeyHint],
    /// Where the keys are.
    buffer: &'b [u8],
    /// Whether `keys` are all keys that the request has.
    has_all_keys: bool,
    /// The turns of the thread that runs it among others.
    pub(super) turns: Option<&'b Turns>,
}

impl<'b> Prepared<'b> {
    /// The same to be run among others by a thread with these turns, which ends its turn behind them.
    #[inline]
    pub fn among_others(self, turns: &'b Turns) -> Prepared<'b> {
        Prepared { turns: Some(turns), ..self }
    }

    /// The shards of all keys of the request, if all are known.
    #[inline]
    pub(super) fn shards(&self) -> Option<ShardSet> {
        self.has_all_keys.then(|| shards_of(self.keys))
    }

    /// Whether the table has the command.
    pub fn is_command(&self) -> bool {
        self.spec.is_some()
    }

    pub(super) fn foreknown(&self) -> Foreknown<'b> {
        Foreknown { keys: self.keys, buffer: self.buffer, latest: Cell::new(0), has_copies: false }
    }
}

#[inline]
fn shards_of(keys: &[KeyHint]) -> ShardSet {
    let mut set = ShardSet::EMPTY;
    for key in keys {
        set.insert(usize::from(key.shard));
    }
    set
}

/// A key with its hash and its shard.
#[derive(Clone, Copy)]
pub(super) struct PlacedKey<'a> {
    pub key: Key<'a>,
    pub shard: usize,
}

impl<'a> PlacedKey<'a> {
    #[inline(always)]
    pub fn new(keyspace: &Keyspace, bytes: &'a [u8]) -> Self {
        let key = keyspace.key(bytes);
        PlacedKey { key, shard: keyspace.shard_of(key) }
    }
}

impl Batch {
    /// Makes room for other requests.
    pub fn clear(&mut self) {
        self.requests.clear();
        self.keys.clear();
        self.latest = None;
    }

    /// Looks up the command of a request that was read into `buffer`, and hashes its keys.
    #[inline]
    pub fn push(&mut self, state: &State, buffer: &[u8], args: Args<'_>) {
        let first_key = self.keys.len();
        let spec = self.lookup(state, buffer, args);
        let has_all_keys = spec.is_some_and(|spec| self.push_keys(&state.keyspace, buffer, spec, args));
        self.requests.push(Entry { spec, first_key: first_key as u32, end_key: self.keys.len() as u32, has_all_keys });
    }

    #[inline(always)]
    fn lookup(&mut self, state: &State, buffer: &[u8], args: Args<'_>) -> Option<&'static CommandSpec> {
        let name = args.get(0)?;
        if let Some((latest, spec)) = &self.latest
            && buffer[latest.clone()] == *name
        {
            return Some(spec);
        }
        let spec = state.table.lookup(name)?;
        self.latest = place_in(buffer, name).map(|start| (start..start + name.len(), spec));
        Some(spec)
    }

    /// Adds the keys whose positions the table says without a look at the arguments, and those that a script is given; whether these
    /// are all.
    #[inline(always)]
    fn push_keys(&mut self, keyspace: &Keyspace, buffer: &[u8], spec: &'static CommandSpec, args: Args<'_>) -> bool {
        if !spec.accepts(args.len()) {
            return false;
        }
        let is_script = spec.locks == Locks::Script;
        let (first, end, step) = match spec.layout {
            KeyLayout::One(index, _) | KeyLayout::Finder(index, _) => (index, usize::from(index) + 1, 1),
            KeyLayout::Range { first, from_end, step, .. } => {
                (first, args.len().saturating_sub(usize::from(from_end)), usize::from(step))
            }
            KeyLayout::Specs if is_script => (SCRIPT_KEYS_BEGIN as u8, SCRIPT_KEYS_BEGIN + keys_given(args), 1),
            KeyLayout::None | KeyLayout::Specs | KeyLayout::Options(..) => return false,
        };
        let for_change = spec.has(CommandFlags::WRITE) || is_script && !spec.has(CommandFlags::READONLY);
        let mut index = usize::from(first);
        while index < end {
            if self.keys.len() == BATCH_KEYS_MAX {
                return false;
            }
            let bytes = args.at(index);
            let Some(start) = place_in(buffer, bytes) else { return false };
            let PlacedKey { key, shard } = PlacedKey::new(keyspace, bytes);
            let (len, shard) = (bytes.len() as u32, shard as u16);
            self.keys.push(KeyHint { start, len, shard, for_change, hash: key.hash, trail: key.trail });
            index += step;
        }
        // Which others a script uses nobody knows here.
        !is_script
    }

    /// The request that was pushed at `index`, having been read into `buffer`.
    #[inline]
    pub fn request<'b>(&'b self, buffer: &'b [u8], index: usize) -> Prepared<'b> {
        let Entry { spec, first_key, end_key, has_all_keys } = self.requests[index];
        let keys = &self.keys[first_key as usize..end_key as usize];
        Prepared { spec, keys, buffer, has_all_keys, turns: None }
    }

    /// The number of requests.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Whether the requests of further connections had better wait for the next batch.
    pub fn is_full(&self) -> bool {
        self.requests.len() >= BATCH_REQUESTS_MAX || self.keys.len() >= BATCH_KEYS_ENOUGH
    }

    /// Walks to the records of all keys and has them fetched into the cache, if there are several. A shard that another
    /// thread holds is left out.
    pub fn prefetch(&mut self, state: &State, buffer: &[u8], database: usize) {
        if self.keys.len() < 2 {
            return;
        }
        let locked = state.keyspace.lock_available(shards_of(&self.keys));
        let mut trees: [Option<&Database>; SHARDS_MAX] = [None; SHARDS_MAX];
        for (number, shard) in locked.iter() {
            trees[number] = Some(&shard.databases[database]);
        }
        for keys in self.keys.chunks_mut(WALKS_MAX) {
            prefetch_together(keys, &trees, buffer);
        }
    }
}

/// A walk to the record of a key.
struct UnderWay<'b> {
    tree: &'b Database,
    hint: &'b mut KeyHint,
    bytes: &'b [u8],
    walk: Walk,
}

/// Has the records of keys fetched into the cache, each step for all of them before the next one.
fn prefetch_together<'b>(keys: &'b mut [KeyHint], trees: &[Option<&'b Database>; SHARDS_MAX], buffer: &'b [u8]) {
    let set_out = |hint: &'b mut KeyHint| {
        let tree = trees[usize::from(hint.shard)]?;
        Some(UnderWay { tree, bytes: hint.key(buffer).bytes, hint, walk: tree.set_out() })
    };
    let mut walks: SmallVec<[UnderWay; WALKS_MAX]> = keys.iter_mut().filter_map(set_out).collect();
    let mut goes_on = true;
    while goes_on {
        goes_on = false;
        for UnderWay { tree, bytes, walk, .. } in &mut walks {
            goes_on |= tree.advance(bytes, walk);
        }
    }
    for UnderWay { tree, hint, walk, .. } in &mut walks {
        hint.trail = tree.trail(walk);
        tree.prefetch_slots(hint.key(buffer), hint.for_change);
    }
    for UnderWay { tree, hint, .. } in &mut walks {
        let mut key = hint.key(buffer);
        tree.prefetch_record(&mut key);
        hint.trail = key.trail;
    }
}

/// Where the keys that a script is given begin, behind their number.
const SCRIPT_KEYS_BEGIN: usize = 3;

/// How many keys a script is given; none, if its request is wrong.
fn keys_given(args: Args<'_>) -> usize {
    let count = args.get(SCRIPT_KEYS_BEGIN - 1).and_then(|count| std::str::from_utf8(count).ok()?.parse().ok());
    count.filter(|count| *count <= args.len() - SCRIPT_KEYS_BEGIN).unwrap_or(0)
}

/// Where in `buffer` the bytes of `part` begin, if they are a part of it.
#[inline(always)]
fn place_in(buffer: &[u8], part: &[u8]) -> Option<usize> {
    let start = part.as_ptr().addr().wrapping_sub(buffer.as_ptr().addr());
    (start.checked_add(part.len())? <= buffer.len()).then_some(start)
}

/// What is known of a running command's keys. They are asked for in order as a rule.
pub(super) struct Foreknown<'k> {
    keys: &'k [KeyHint],
    buffer: &'k [u8],
    /// The one that was asked for last.
    latest: Cell<usize>,
    /// Who asks has copies of the keys.
    has_copies: bool,
}

impl Foreknown<'_> {
    /// Nothing is known.
    pub fn nothing() -> Foreknown<'static> {
        Foreknown { keys: &[], buffer: &[], latest: Cell::new(0), has_copies: false }
    }

    /// From now on keys are known by what they say, not by where they are.
    pub fn recognise_copies(&mut self) {
        self.has_copies = true;
    }

    /// The key with what is known of it, if `bytes` are the very ones that it was made of, which are borrowed
    /// unchanged as long as the command runs, or are their like where copies are recognised.
    #[inline(always)]
    pub fn recognise<'a>(&self, bytes: &'a [u8]) -> Option<PlacedKey<'a>> {
        let latest = self.latest.get();
        for index in [latest, latest + 1, 0] {
            if let Some(hint) = self.keys.get(index)
                && hint.len as usize == bytes.len()
                && (std::ptr::eq(self.buffer.as_ptr().wrapping_add(hint.start), bytes.as_ptr())
                    || self.has_copies && hint.key(self.buffer).bytes == bytes)
            {
                self.latest.set(index);
                let key = Key { bytes, hash: hint.hash, trail: hint.trail };
                return Some(PlacedKey { key, shard: usize::from(hint.shard) });
            }
        }
        None
    }
}
