//! All shards, how a key finds its shard, and how their locks are taken.

use super::snapshot::Moment;
use super::{Key, SHARDS_MAX, Shard, ShardSet};
use crate::tree::Seed;
use parking_lot::{ArcMutexGuard, Mutex, MutexGuard, RawMutex};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Keys of more bytes are left to the general search at once.
const BRACE_SCAN_MAX: usize = 64;

/// For how long somebody waits for a lock before a look whether that is still worth while.
const WAIT_BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// What nobody else has who wants all shards, and waits for his turn.
pub type Turn = ArcMutexGuard<RawMutex, ()>;

/// Every key of the server.
pub struct Keyspace {
    pub(super) shards: Arc<[Mutex<Shard>]>,
    /// Shift that leaves the shard's number of a 64-bit hash.
    shard_shift: u32,
    databases: usize,
    seed: Seed,
    /// Waits that have begun.
    waits: AtomicU64,
    /// Whose turn it is to take all shards, again and again.
    turn: Arc<Mutex<()>>,
    /// The snapshot that is under way.
    pub(super) running: Arc<Mutex<Option<Arc<Moment>>>>,
}

impl Keyspace {
    /// A keyspace of `databases` databases for `threads` threads: several shards per thread, so that two threads
    /// seldom want the same one.
    pub fn new(databases: usize, threads: usize) -> Self {
        let count = (threads * 4).next_power_of_two().clamp(4, SHARDS_MAX);
        Keyspace {
            shards: (0..count).map(|_| Mutex::new(Shard::new(databases))).collect(),
            shard_shift: 64 - count.trailing_zeros(),
            databases,
            seed: Seed::random(),
            waits: AtomicU64::new(0),
            turn: Arc::default(),
            running: Arc::default(),
        }
    }

    pub fn databases(&self) -> usize {
        self.databases
    }

    /// The number of a wait that begins now, from 1 on: higher than those of all waits for the same keys, as long as
    /// the shards of its keys are locked.
    pub fn next_wait(&self) -> u64 {
        self.waits.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    pub fn all_shards(&self) -> ShardSet {
        ShardSet::first(self.shards.len())
    }

    /// The key with its hash, which is computed once per request.
    #[inline]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key::new(bytes, self.seed.hash(bytes))
    }

    /// The shard of a key: by its hash tag (`{…}`) if it has one, so that keys of one tag are together, as in a
    /// cluster (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags>).
    #[inline(always)]
    pub fn shard_of(&self, key: Key<'_>) -> usize {
        let hash = match hash_tag(key.bytes) {
            None => key.hash,
            Some(tag) => self.seed.hash(tag),
        };
        (hash >> self.shard_shift) as usize
    }

    /// Takes the locks of `set` in ascending order, waiting as long as it takes.
    #[inline]
    pub fn lock(&self, set: ShardSet) -> Locked<'_> {
        let mut guards = SmallVec::new();
        for shard in set.iter() {
            guards.push(self.shards[shard].lock());
        }
        Locked { keyspace: self, set, guards }
    }

    /// Takes the locks of `set` in ascending order, unless `gives_up` says, while one of them is held by somebody else, that it
    /// is not to be waited for.
    #[inline]
    pub fn lock_unless(&self, set: ShardSet, gives_up: impl Fn() -> bool) -> Option<Locked<'_>> {
        let mut guards = SmallVec::new();
        for shard in set.iter() {
            let shard = &self.shards[shard];
            let guard = match shard.try_lock() {
                Some(guard) => guard,
                None => wait_unless(&gives_up, || shard.try_lock_for(WAIT_BETWEEN_LOOKS))?,
            };
            guards.push(guard);
        }
        Some(Locked { keyspace: self, set, guards })
    }

    /// Waits for the turn of those who want all shards, unless `gives_up` says that it is not to be waited for. Whoever has the
    /// turn holds no lock by that: no lock may be held by whoever waits for it.
    pub fn take_turn(&self, gives_up: impl Fn() -> bool) -> Option<Turn> {
        self.turn.try_lock_arc().or_else(|| wait_unless(gives_up, || self.turn.try_lock_arc_for(WAIT_BETWEEN_LOOKS)))
    }

    /// Takes those locks of `set` that nobody holds.
    #[inline]
    pub fn lock_available(&self, set: ShardSet) -> Locked<'_> {
        let mut guards = SmallVec::new();
        let mut taken = ShardSet::EMPTY;
        for shard in set.iter() {
            if let Some(guard) = self.shards[shard].try_lock() {
                guards.push(guard);
                taken.insert(shard);
            }
        }
        Locked { keyspace: self, set: taken, guards }
    }

    /// Takes one lock for work that can as well be done later; `None` if it is held for long.
    pub fn try_lock_one(&self, shard: usize) -> Option<MutexGuard<'_, Shard>> {
        self.shards[shard].try_lock_for(WAIT_BETWEEN_LOOKS)
    }

    /// Takes one lock for work that concerns no command (prefetching, expiry, statistics).
    #[inline]
    pub fn lock_one(&self, shard: usize) -> MutexGuard<'_, Shard> {
        self.shards[shard].lock()
    }
}

/// What `try_for` gives, which waits for it up to [`WAIT_BETWEEN_LOOKS`], again and again unless it `gives_up` in between.
fn wait_unless<T>(gives_up: impl Fn() -> bool, try_for: impl Fn() -> Option<T>) -> Option<T> {
    loop {
        if let Some(taken) = try_for() {
            return Some(taken);
        }
        if gives_up() {
            return None;
        }
    }
}

/// Where the first `{` is. Keys are short and hardly any has one: eight bytes at a time beat the call of a general search.
#[inline]
fn position_of_brace(key: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    let (words, rest) = key.as_chunks::<8>();
    let has_brace = |word: &[u8; 8]| {
        let differs = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'{'));
        differs.wrapping_sub(ONES) & !differs & (ONES << 7) != 0
    };
    if key.len() > BRACE_SCAN_MAX || words.iter().any(has_brace) || rest.contains(&b'{') {
        return memchr::memchr(b'{', key);
    }
    None
}

/// What stands between the first `{` and the next `}`, unless that is nothing.
#[inline]
fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = position_of_brace(key)?;
    let tag = &key[open + 1..];
    match memchr::memchr(b'}', tag)? {
        0 => None,
        close => Some(&tag[..close]),
    }
}

/// The shards that a command holds. All locks were taken before anything was read; none is added.
pub struct Locked<'a> {
    keyspace: &'a Keyspace,
    set: ShardSet,
    guards: SmallVec<[MutexGuard<'a, Shard>; 2]>,
}

impl<'a> Locked<'a> {
    pub fn keyspace(&self) -> &'a Keyspace {
        self.keyspace
    }

    pub fn set(&self) -> ShardSet {
        self.set
    }

    /// A shard that is held.
    ///
    /// # Panics
    /// If the shard is not held: the command's table entry does not name all its keys.
    #[inline]
    pub fn shard(&mut self, shard: usize) -> &mut Shard {
        let index = self.index_of(shard);
        self.at(index)
    }

    /// The shard that is held, if it is one.
    #[inline]
    pub fn only(&self) -> Option<&Shard> {
        match self.guards.as_slice() {
            [guard] => Some(guard),
            _ => None,
        }
    }

    /// How many shards that are held come before one that is held, too.
    ///
    /// # Panics
    /// As [`shard`](Self::shard).
    #[inline]
    pub fn index_of(&self, shard: usize) -> usize {
        assert!(self.set.contains(shard), "a command touched a key whose shard it had not locked");
        self.set.rank(shard)
    }

    /// The shard of which [`index_of`](Self::index_of) said `index`.
    #[inline]
    pub fn at(&mut self, index: usize) -> &mut Shard {
        &mut self.guards[index]
    }

    /// The same to be read.
    #[inline]
    pub fn at_ref(&self, index: usize) -> &Shard {
        &self.guards[index]
    }

    /// Every shard held, ascending, with its number.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Shard)> {
        self.set.iter().zip(self.guards.iter().map(|guard| &**guard))
    }

    /// A shard, if it is held.
    #[inline]
    pub fn get(&self, shard: usize) -> Option<&Shard> {
        self.set.contains(shard).then(|| &*self.guards[self.set.rank(shard)])
    }

    /// The shard of `key`, which must be held.
    #[inline]
    pub fn shard_of(&mut self, key: Key<'_>) -> &mut Shard {
        let shard = self.keyspace.shard_of(key);
        self.shard(shard)
    }

    /// Every shard held, ascending, with its number.
    pub fn shards(&mut self) -> impl Iterator<Item = (usize, &mut Shard)> {
        self.set.iter().zip(self.guards.iter_mut().map(|guard| &mut **guard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_hash_tag_share_a_shard() {
        assert_eq!(hash_tag(b"{user}.a"), Some(b"user".as_slice()));
        assert_eq!(hash_tag(b"a{}b{c}"), None);
        assert_eq!(hash_tag(b"a{b"), None);
        assert_eq!(hash_tag(b"{{a}}"), Some(b"{a".as_slice()));
        let keyspace = Keyspace::new(1, 16);
        let shard = |key: &[u8]| keyspace.shard_of(keyspace.key(key));
        assert_eq!(shard(b"{user}.a"), shard(b"b.{user}"));
        let spread: std::collections::HashSet<_> = (0..1000).map(|i| shard(format!("k{i}").as_bytes())).collect();
        assert_eq!(spread.len(), 64);
    }
}
