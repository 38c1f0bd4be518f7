//! Frees large values on a thread of their own, so that no request waits for it.

use crate::value::{FREE_IN_BACKGROUND_MIN, Value, ValueRef};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};

/// Hands values to the thread that frees them. Cloning is cheap.
#[derive(Clone)]
pub struct LazyFree {
    sender: Sender<(Box<dyn Any + Send>, u64)>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    pending: AtomicU64,
    freed: AtomicU64,
}

impl LazyFree {
    /// Starts the thread.
    pub fn start() -> std::io::Result<Self> {
        let (sender, receiver) = channel::<(Box<dyn Any + Send>, u64)>();
        let counters = Arc::new(Counters::default());
        let seen = Arc::clone(&counters);
        std::thread::Builder::new().name("lazy-free".into()).spawn(move || {
            for (value, objects) in receiver {
                drop(value);
                crate::memory::publish();
                seen.pending.fetch_sub(objects, Ordering::Relaxed);
                seen.freed.fetch_add(objects, Ordering::Relaxed);
            }
        })?;
        Ok(LazyFree { sender, counters })
    }

    /// Frees `value`, which stands for `objects` keys, soon.
    pub fn free<T: Send + 'static>(&self, value: T, objects: u64) {
        self.counters.pending.fetch_add(objects, Ordering::Relaxed);
        if let Err(refused) = self.sender.send((Box::new(value), objects)) {
            // The thread is gone (the process ends): free it here.
            drop(refused);
            self.counters.pending.fetch_sub(objects, Ordering::Relaxed);
        }
    }

    /// Frees a value: here if that takes a moment, else soon.
    pub fn free_value(&self, value: Box<Value>) {
        if ValueRef::Boxed(&value).free_effort() > FREE_IN_BACKGROUND_MIN {
            self.free(value, 1);
        }
    }

    /// Objects that wait to be freed.
    pub fn pending(&self) -> u64 {
        self.counters.pending.load(Ordering::Relaxed)
    }

    /// Objects freed since the start or the last [`LazyFree::reset`].
    pub fn freed(&self) -> u64 {
        self.counters.freed.load(Ordering::Relaxed)
    }

    pub fn reset(&self) {
        self.counters.freed.store(0, Ordering::Relaxed);
    }
}
