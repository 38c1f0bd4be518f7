//! Keys that transactions watch (`WATCH`).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set when a key that a connection watches changes; shared by all keys that the connection watches.
#[derive(Debug, Default)]
pub struct WatchFlag(AtomicBool);

impl WatchFlag {
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A key with the number of its database.
type WatchedKey = (usize, Box<[u8]>);

/// The watched keys of one shard.
#[derive(Default)]
pub struct Watched {
    keys: HashMap<WatchedKey, Vec<Arc<WatchFlag>>>,
}

impl Watched {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn add(&mut self, database: usize, key: &[u8], flag: &Arc<WatchFlag>) {
        self.keys.entry((database, key.into())).or_default().push(Arc::clone(flag));
    }

    pub fn remove(&mut self, database: usize, key: &[u8], flag: &Arc<WatchFlag>) {
        let id = (database, Box::from(key));
        if let Some(flags) = self.keys.get_mut(&id) {
            flags.retain(|other| !Arc::ptr_eq(other, flag));
            if flags.is_empty() {
                self.keys.remove(&id);
            }
        }
    }

    /// Tells everybody who watches `key` that it has changed.
    pub fn touch(&self, database: usize, key: &[u8]) {
        if self.keys.is_empty() {
            return;
        }
        for flag in self.keys.get(&(database, Box::from(key))).into_iter().flatten() {
            flag.raise();
        }
    }

    /// The watched keys of `database`.
    pub fn keys(&self, database: usize) -> impl Iterator<Item = &[u8]> {
        self.keys.keys().filter(move |(db, _)| *db == database).map(|(_, key)| &**key)
    }
}
