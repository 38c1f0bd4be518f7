//! A set of shards, as locks are taken: always in ascending order.

/// Shards that a keyspace can have at most.
pub const SHARDS_MAX: usize = 64;

/// The shards that a command needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardSet(u64);

impl ShardSet {
    pub const EMPTY: ShardSet = ShardSet(0);

    /// The first `count` shards: all of a keyspace that has so many.
    pub fn first(count: usize) -> Self {
        assert!(count <= SHARDS_MAX);
        ShardSet(if count == SHARDS_MAX { u64::MAX } else { (1 << count) - 1 })
    }

    pub fn single(shard: usize) -> Self {
        ShardSet(1 << shard)
    }

    pub fn insert(&mut self, shard: usize) {
        self.0 |= 1 << shard;
    }

    pub fn union(self, other: ShardSet) -> ShardSet {
        ShardSet(self.0 | other.0)
    }

    pub fn contains(self, shard: usize) -> bool {
        self.0 >> shard & 1 == 1
    }

    pub fn is_subset(self, of: ShardSet) -> bool {
        self.0 & !of.0 == 0
    }

    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many members come before `shard`.
    #[inline]
    pub fn rank(self, shard: usize) -> usize {
        // Most commands hold one shard, and counting takes longer than looking.
        match self.0 & ((1 << shard) - 1) {
            0 => 0,
            before => before.count_ones() as usize,
        }
    }

    /// The members, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            (rest != 0).then(|| {
                let shard = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                shard
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_ascending_and_ranked() {
        let mut set = ShardSet::EMPTY;
        for shard in [63, 0, 17] {
            set.insert(shard);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 17, 63]);
        assert_eq!([set.rank(0), set.rank(17), set.rank(63)], [0, 1, 2]);
        assert!(set.is_subset(ShardSet::first(64)));
        assert!(!set.is_subset(ShardSet::first(63)));
    }
}
