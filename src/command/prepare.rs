//! What is found out about requests before they run: the command, its keys' hashes and shards, and for a batch of
//! them, in passes whose cache misses overlap, where the keys' records are.

use crate::resp::Args;
use crate::spec::{CommandFlags, CommandSpec, KeyLayout};
use crate::state::State;
use crate::store::{Database, Key, Keyspace, ShardSet, Walk};
use smallvec::SmallVec;
use std::cell::Cell;

/// Requests that are prepared together at most.
pub const BATCH_REQUESTS_MAX: usize = 64;
/// Keys that are prepared together at most; a request may have more.
const BATCH_KEYS_MAX: usize = 256;
/// Keys of a batch that take no allocation.
const BATCH_KEYS_INLINE: usize = 64;

/// The requests of a batch, prepared.
#[derive(Default)]
pub struct Batch<'a> {
    requests: SmallVec<[Entry; BATCH_REQUESTS_MAX]>,
    /// The keys of all requests, one request after the other.
    keys: SmallVec<[PlacedKey<'a>; BATCH_KEYS_INLINE]>,
    /// The name of the latest request and its command: pipelines repeat themselves.
    latest: Option<(&'a [u8], &'static CommandSpec)>,
}

#[derive(Clone, Copy)]
struct Entry {
    spec: Option<&'static CommandSpec>,
    first_key: u32,
    end_key: u32,
    has_all_keys: bool,
}

/// A request before it runs. Hints but for the command: running it is right, if slower, whatever has changed since.
#[derive(Clone, Copy)]
pub struct Prepared<'b> {
    /// The command; of a container, the container.
    pub(super) spec: Option<&'static CommandSpec>,
    /// Its keys in their order, as far as they were looked for.
    pub(super) keys: &'b [PlacedKey<'b>],
    /// Whether `keys` are all keys that the request has.
    pub(super) has_all_keys: bool,
}

/// A key with its hash, its shard, and where in its database's tree it was seen.
#[derive(Clone, Copy)]
pub(super) struct PlacedKey<'a> {
    pub key: Key<'a>,
    pub shard: u32,
    /// Its command may change its record.
    for_change: bool,
}

impl<'a> PlacedKey<'a> {
    #[inline(always)]
    pub fn new(keyspace: &Keyspace, bytes: &'a [u8]) -> Self {
        let key = keyspace.key(bytes);
        PlacedKey { key, shard: keyspace.shard_of(key) as u32, for_change: false }
    }

    #[inline(always)]
    pub fn shard(&self) -> usize {
        self.shard as usize
    }
}

impl<'a> Batch<'a> {
    /// Looks up the command of a request and hashes its keys.
    #[inline]
    pub fn push(&mut self, state: &State, args: Args<'a>) {
        let first_key = self.keys.len();
        let spec = self.lookup(state, args);
        let has_all_keys = spec.is_some_and(|spec| self.push_keys(&state.keyspace, spec, args));
        self.requests.push(Entry { spec, first_key: first_key as u32, end_key: self.keys.len() as u32, has_all_keys });
    }

    #[inline(always)]
    fn lookup(&mut self, state: &State, args: Args<'a>) -> Option<&'static CommandSpec> {
        let name = args.get(0)?;
        if let Some((latest, spec)) = self.latest
            && latest == name
        {
            return Some(spec);
        }
        let spec = state.table.lookup(name)?;
        self.latest = Some((name, spec));
        Some(spec)
    }

    /// Adds the keys whose positions the table says without a look at the arguments; whether these are all.
    #[inline(always)]
    fn push_keys(&mut self, keyspace: &Keyspace, spec: &'static CommandSpec, args: Args<'a>) -> bool {
        if !spec.accepts(args.len()) {
            return false;
        }
        let (first, end, step) = match spec.layout {
            KeyLayout::One(index, _) | KeyLayout::Finder(index, _) => (index, usize::from(index) + 1, 1),
            KeyLayout::Range { first, from_end, step, .. } => {
                (first, args.len().saturating_sub(usize::from(from_end)), usize::from(step))
            }
            KeyLayout::None | KeyLayout::Specs => return false,
        };
        let for_change = spec.has(CommandFlags::WRITE);
        let mut index = usize::from(first);
        while index < end {
            if self.keys.len() == BATCH_KEYS_MAX {
                return false;
            }
            self.keys.push(PlacedKey { for_change, ..PlacedKey::new(keyspace, args.at(index)) });
            index += step;
        }
        true
    }

    /// The request that was pushed at `index`.
    #[inline]
    pub fn request(&self, index: usize) -> Prepared<'_> {
        let Entry { spec, first_key, end_key, has_all_keys } = self.requests[index];
        Prepared { spec, keys: &self.keys[first_key as usize..end_key as usize], has_all_keys }
    }

    /// Walks to the records of all keys and has them fetched into the cache, if there are several. A shard that another
    /// thread holds is left out.
    pub fn prefetch(&mut self, state: &State, database: usize) {
        struct Journey<'t> {
            tree: &'t Database,
            walk: Walk,
            index: usize,
        }

        if self.keys.len() < 2 {
            return;
        }
        let mut shards = ShardSet::EMPTY;
        for key in &self.keys {
            shards.insert(key.shard());
        }
        let locked = state.keyspace.lock_available(shards);
        let mut journeys: SmallVec<[Journey<'_>; BATCH_KEYS_INLINE]> = SmallVec::with_capacity(self.keys.len());
        for (index, placed) in self.keys.iter().enumerate() {
            if let Some(shard) = locked.get(placed.shard()) {
                let tree = &shard.databases[database];
                journeys.push(Journey { tree, walk: tree.set_out(), index });
            }
        }
        let keys = self.keys.as_mut_slice();
        let mut is_under_way = true;
        while is_under_way {
            is_under_way = false;
            for Journey { tree, walk, index } in &mut journeys {
                is_under_way |= tree.advance(keys[*index].key.bytes, walk);
            }
        }
        for Journey { tree, walk, index } in &journeys {
            let placed = &mut keys[*index];
            placed.key.trail = tree.trail(walk);
            tree.prefetch_slots(placed.key, placed.for_change);
        }
        for Journey { tree, index, .. } in &journeys {
            tree.prefetch_record(keys[*index].key);
        }
    }
}

/// What is known of a running command's keys. They are asked for in order as a rule.
pub(super) struct Foreknown<'k> {
    keys: &'k [PlacedKey<'k>],
    /// The one that was asked for last.
    latest: Cell<usize>,
}

impl<'k> Foreknown<'k> {
    pub fn new(keys: &'k [PlacedKey<'k>]) -> Self {
        Foreknown { keys, latest: Cell::new(0) }
    }

    /// The key with what is known of it, if `bytes` are the very ones that it was made of, which are borrowed
    /// unchanged as long as the command runs.
    #[inline(always)]
    pub fn recognise<'a>(&self, bytes: &'a [u8]) -> Option<PlacedKey<'a>> {
        let latest = self.latest.get();
        for index in [latest, latest + 1, 0] {
            if let Some(placed) = self.keys.get(index)
                && std::ptr::eq(placed.key.bytes, bytes)
            {
                self.latest.set(index);
                return Some(PlacedKey { key: Key { bytes, ..placed.key }, ..*placed });
            }
        }
        None
    }
}
