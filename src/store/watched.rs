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

/// The database in which a key is watched, and by whom.
type Watch = (usize, Arc<WatchFlag>);

/// The watched keys of one shard.
#[derive(Default)]
pub struct Watched {
    keys: HashMap<Box<[u8]>, Vec<Watch>>,
}

impl Watched {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn add(&mut self, database: usize, key: &[u8], flag: &Arc<WatchFlag>) {
        self.keys.entry(key.into()).or_default().push((database, Arc::clone(flag)));
    }

    pub fn remove(&mut self, database: usize, key: &[u8], flag: &Arc<WatchFlag>) {
        if let Some(flags) = self.keys.get_mut(key) {
            flags.retain(|(in_database, other)| *in_database != database || !Arc::ptr_eq(other, flag));
            if flags.is_empty() {
                self.keys.remove(key);
            }
        }
    }

    /// Tells everybody who watches `key` that it has changed.
    pub fn touch(&self, database: usize, key: &[u8]) {
        if self.keys.is_empty() {
            return;
        }
        for (watched_in, flag) in self.keys.get(key).into_iter().flatten() {
            if *watched_in == database {
                flag.raise();
            }
        }
    }

    /// The watched keys of `database`.
    pub fn keys(&self, database: usize) -> impl Iterator<Item = &[u8]> {
        let watches = move |flags: &[Watch]| flags.iter().any(|(watched_in, _)| *watched_in == database);
        self.keys.iter().filter(move |(_, flags)| watches(flags)).map(|(key, _)| &**key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_to_those_who_watch_the_key_in_that_database() {
        let mut watched = Watched::default();
        let flags: Vec<Arc<WatchFlag>> = (0..3).map(|_| Arc::default()).collect();
        for (flag, database) in flags.iter().zip([0, 1, 1]) {
            watched.add(database, b"k", flag);
        }
        watched.touch(1, b"other");
        watched.remove(1, b"k", &flags[2]);
        watched.touch(1, b"k");
        assert_eq!(flags.iter().map(|flag| flag.is_raised()).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!([0, 1, 2].map(|database| watched.keys(database).count()), [1, 1, 0]);
        watched.remove(0, b"k", &flags[0]);
        watched.remove(1, b"k", &flags[1]);
        assert!(watched.is_empty());
    }
}
