//! One shard: a tree per database, and who waits for or watches its keys.

use super::{Waiters, Watched};
use crate::tree::{Layout, Tree};
use crate::value::Value;

/// Records of the keyspace carry an access clock; large values are owned out of line.
pub enum KeyspaceLayout {}

impl Layout for KeyspaceLayout {
    const CLOCK: bool = true;
    type Boxed = Value;
}

/// The keys of one database that belong to one shard.
pub type Database = Tree<KeyspaceLayout>;

/// A part of the keyspace, by hash of the keys. Guarded by one lock.
pub struct Shard {
    pub databases: Box<[Database]>,
    pub waiters: Waiters,
    pub watched: Watched,
}

/// Who is to know what becomes of the keys of a shard.
#[derive(Clone, Copy)]
pub struct Onlookers<'a> {
    pub watched: &'a Watched,
    pub waiters: &'a Waiters,
}

impl Shard {
    pub fn onlookers(&self) -> Onlookers<'_> {
        Onlookers { watched: &self.watched, waiters: &self.waiters }
    }

    pub fn new(databases: usize) -> Self {
        Shard {
            databases: (0..databases).map(|_| Database::new()).collect(),
            waiters: Waiters::default(),
            watched: Watched::default(),
        }
    }
}
