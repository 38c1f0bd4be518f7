//! Keys that have gone by themselves while clients wait that must be told of it. That takes other locks than those under
//! which the keys went, so it is done later.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A database and a key.
type DepartedKey = (usize, Box<[u8]>);

/// Keys that have gone and of which somebody is still to be told.
#[derive(Default)]
pub struct Departed {
    is_any: AtomicBool,
    keys: Mutex<Vec<DepartedKey>>,
}

impl Departed {
    /// Whether there are any: nearly never.
    #[inline]
    pub fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Acquire)
    }

    /// Notes that `key` has gone from `database`.
    pub fn add(&self, database: usize, key: &[u8]) {
        let mut keys = self.keys.lock();
        keys.push((database, key.into()));
        self.is_any.store(true, Ordering::Release);
    }

    /// Takes the next one.
    pub fn next(&self) -> Option<DepartedKey> {
        let mut keys = self.keys.lock();
        let key = keys.pop();
        self.is_any.store(!keys.is_empty(), Ordering::Release);
        key
    }
}
