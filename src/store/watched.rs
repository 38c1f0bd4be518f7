//! Keys that transactions watch (`WATCH`).

use std::collections::HashMap;
use std::sync::Arc;

/// Somebody who watches keys. It is touched, and asked, while a shard with one of its keys is locked.
pub trait Watcher: Send + Sync {
    /// One of its keys has changed.
    fn touch(&self);

    /// Whether one of its keys has changed: then it does not matter what becomes of the others.
    fn is_touched(&self) -> bool;
}

/// A key with the number of its database.
type WatchedKey = (usize, Box<[u8]>);

/// The watched keys of one shard.
#[derive(Default)]
pub struct Watched {
    keys: HashMap<WatchedKey, Vec<Arc<dyn Watcher>>>,
}

impl Watched {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn add(&mut self, database: usize, key: &[u8], watcher: Arc<dyn Watcher>) {
        self.keys.entry((database, key.into())).or_default().push(watcher);
    }

    pub fn remove(&mut self, database: usize, key: &[u8], watcher: &dyn Watcher) {
        let id = (database, Box::from(key));
        if let Some(watchers) = self.keys.get_mut(&id) {
            watchers.retain(|other| !std::ptr::addr_eq(Arc::as_ptr(other), watcher));
            if watchers.is_empty() {
                self.keys.remove(&id);
            }
        }
    }

    /// Tells everybody who watches `key` that it has changed.
    pub fn touch(&self, database: usize, key: &[u8]) {
        if self.keys.is_empty() {
            return;
        }
        for watcher in self.keys.get(&(database, Box::from(key))).into_iter().flatten() {
            watcher.touch();
        }
    }

    /// The keys of `database` of which somebody has yet to know whether they change.
    pub fn keys(&self, database: usize) -> impl Iterator<Item = &[u8]> {
        let matters = |watchers: &[Arc<dyn Watcher>]| watchers.iter().any(|watcher| !watcher.is_touched());
        let watched = self.keys.iter().filter(move |((db, _), watchers)| *db == database && matters(watchers));
        watched.map(|((_, key), _)| &**key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Default)]
    struct Somebody(AtomicBool);

    impl Watcher for Somebody {
        fn touch(&self) {
            self.0.store(true, Ordering::Relaxed);
        }

        fn is_touched(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_change_is_told_to_those_who_watch_the_key_in_that_database() {
        let mut watched = Watched::default();
        let watchers: Vec<Arc<Somebody>> = (0..3).map(|_| Arc::default()).collect();
        for (watcher, database) in watchers.iter().zip([0, 1, 1]) {
            watched.add(database, b"k", Arc::clone(watcher) as _);
        }
        assert_eq!([0, 1, 2].map(|database| watched.keys(database).count()), [1, 1, 0]);
        watched.touch(1, b"other");
        watched.remove(1, b"k", &*watchers[2]);
        watched.touch(1, b"k");
        assert_eq!(watchers.iter().map(|watcher| watcher.is_touched()).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!([0, 1].map(|database| watched.keys(database).count()), [1, 0], "who knows need not be told again");
        watched.remove(0, b"k", &*watchers[0]);
        watched.remove(1, b"k", &*watchers[1]);
        assert!(watched.is_empty());
    }
}
