//! What is found out about requests before they run: the command, its first key's hash and shard, and for a batch of
//! them, in passes whose cache misses overlap, where the key's record is.

use super::spec::{CommandFlags, CommandSpec, KeyLayout};
use crate::resp::Args;
use crate::state::State;
use crate::store::{Database, Key, Keyspace, ShardSet, Trail, Walk};
use smallvec::SmallVec;

/// Requests that are prepared together at most.
pub const BATCH_REQUESTS_MAX: usize = 64;

/// The requests of a batch, prepared.
pub type Batch<'a> = SmallVec<[Prepared<'a>; BATCH_REQUESTS_MAX]>;

/// A request before it runs. Hints but for the command: running it is right, if slower, whatever has changed since.
#[derive(Clone, Copy)]
pub struct Prepared<'a> {
    /// The command; of a container, the container.
    pub(super) spec: Option<&'static CommandSpec>,
    /// Its first key.
    pub(super) key: Option<PlacedKey<'a>>,
}

/// A key with its hash, its shard, and where in its database's tree it was seen.
#[derive(Clone, Copy)]
pub(super) struct PlacedKey<'a> {
    pub key: Key<'a>,
    pub shard: usize,
}

impl<'a> PlacedKey<'a> {
    pub fn new(keyspace: &Keyspace, bytes: &'a [u8]) -> Self {
        let key = keyspace.key(bytes);
        PlacedKey { key, shard: keyspace.shard_of(key) }
    }
}

/// Looks up the command of a request and hashes its first key.
#[inline]
pub fn prepare<'a>(state: &State, args: Args<'a>) -> Prepared<'a> {
    let Some(spec) = args.get(0).and_then(|name| state.table.lookup(name)) else {
        return Prepared { spec: None, key: None };
    };
    let first = match spec.layout {
        KeyLayout::Range { first, .. } => Some(first.into()),
        layout => layout.only_key(),
    };
    let key = first.and_then(|first| args.get(first));
    Prepared { spec: Some(spec), key: key.map(|key| PlacedKey::new(&state.keyspace, key)) }
}

/// Walks to the records of a batch's first keys and has them fetched into the cache. A shard that another thread holds
/// is left out.
pub fn prefetch(state: &State, database: usize, batch: &mut Batch<'_>) {
    struct Journey<'t> {
        index: usize,
        tree: &'t Database,
        walk: Walk,
    }

    let shards = batch.iter().filter_map(|request| request.key).fold(ShardSet::EMPTY, |mut set, key| {
        set.insert(key.shard);
        set
    });
    let locked = state.keyspace.lock_available(shards);
    let mut journeys: SmallVec<[Journey<'_>; BATCH_REQUESTS_MAX]> = SmallVec::new();
    for (index, request) in batch.iter().enumerate() {
        if let Some(shard) = request.key.and_then(|key| locked.get(key.shard)) {
            let tree = &shard.databases[database];
            journeys.push(Journey { index, tree, walk: tree.set_out() });
        }
    }
    let mut is_under_way = true;
    while is_under_way {
        is_under_way = false;
        for Journey { index, tree, walk } in &mut journeys {
            if let Some(placed) = &batch[*index].key {
                is_under_way |= tree.advance(placed.key.bytes, walk);
            }
        }
    }
    for Journey { index, tree, walk } in &journeys {
        let request = &mut batch[*index];
        if let Some(placed) = &mut request.key {
            placed.key.trail = tree.trail(walk);
            let writes = request.spec.is_some_and(|spec| spec.has(CommandFlags::WRITE));
            tree.prefetch_slots(placed.key, writes);
        }
    }
    for Journey { index, tree, .. } in &journeys {
        if let Some(placed) = batch[*index].key {
            tree.prefetch_record(placed.key);
        }
    }
}

/// What is known of a running command's first key, without its bytes: an address tells whether a key is the one.
#[derive(Clone, Copy)]
pub(super) struct Foreknown {
    address: usize,
    len: usize,
    hash: u64,
    trail: Trail,
    shard: usize,
}

impl Foreknown {
    /// Nothing is known.
    pub const NOTHING: Foreknown = Foreknown { address: 0, len: 0, hash: 0, trail: Trail::NONE, shard: 0 };

    pub fn new(placed: Option<PlacedKey<'_>>) -> Self {
        placed.map_or(Self::NOTHING, |PlacedKey { key, shard }| Foreknown {
            address: key.bytes.as_ptr().addr(),
            len: key.bytes.len(),
            hash: key.hash,
            trail: key.trail,
            shard,
        })
    }

    /// The key with what is known of it, if `bytes` are the very ones that it was made of, which are borrowed
    /// unchanged as long as the command runs.
    #[inline(always)]
    pub fn recognise<'a>(&self, bytes: &'a [u8]) -> Option<PlacedKey<'a>> {
        if bytes.as_ptr().addr() != self.address || bytes.len() != self.len {
            return None;
        }
        Some(PlacedKey { key: Key { bytes, hash: self.hash, trail: self.trail }, shard: self.shard })
    }
}
