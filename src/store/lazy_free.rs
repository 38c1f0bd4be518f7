//! Frees large values on a thread of their own, so that no request waits for it.

use crate::value::{FREE_IN_BACKGROUND_MIN, Value, ValueRef};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};

/// Bytes that may wait to be freed; while there are more, whoever has something to free does that himself.
const PENDING_BYTES_MAX: u64 = 256 << 20;
/// Parts of a collection that are looked at to estimate its bytes.
const SAMPLES: usize = 16;

/// Hands values to the thread that frees them. Cloning is cheap.
#[derive(Clone)]
pub struct LazyFree {
    sender: Sender<Burden>,
    counters: Arc<Counters>,
}

/// Something to be freed.
struct Burden {
    value: Box<dyn Any + Send>,
    /// Keys that it stands for.
    objects: u64,
    /// Bytes that it takes, about.
    bytes: u64,
}

#[derive(Default)]
struct Counters {
    pending: AtomicU64,
    pending_bytes: AtomicU64,
    freed: AtomicU64,
}

impl LazyFree {
    /// Starts the thread.
    pub fn start() -> std::io::Result<Self> {
        let (sender, receiver) = channel::<Burden>();
        let counters = Arc::new(Counters::default());
        let seen = Arc::clone(&counters);
        std::thread::Builder::new().name("lazy-free".into()).spawn(move || {
            for Burden { value, objects, bytes } in receiver {
                drop(value);
                crate::memory::publish();
                seen.pending.fetch_sub(objects, Ordering::Relaxed);
                seen.pending_bytes.fetch_sub(bytes, Ordering::Relaxed);
                seen.freed.fetch_add(objects, Ordering::Relaxed);
            }
        })?;
        Ok(LazyFree { sender, counters })
    }

    /// Frees `value`, which stands for `objects` keys and takes about so many bytes, soon.
    pub fn free<T: Send + 'static>(&self, value: T, objects: u64, bytes: usize) {
        let bytes = bytes as u64;
        if self.counters.pending_bytes.load(Ordering::Relaxed) > PENDING_BYTES_MAX {
            drop(value);
            self.counters.freed.fetch_add(objects, Ordering::Relaxed);
            return;
        }
        self.counters.pending.fetch_add(objects, Ordering::Relaxed);
        self.counters.pending_bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Err(refused) = self.sender.send(Burden { value: Box::new(value), objects, bytes }) {
            // The thread is gone (the process ends): free it here.
            drop(refused);
            self.counters.pending.fetch_sub(objects, Ordering::Relaxed);
            self.counters.pending_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Frees a value: here if that takes a moment, else soon.
    pub fn free_value(&self, value: Box<Value>) {
        let seen = ValueRef::Boxed(&value);
        if seen.free_effort() > FREE_IN_BACKGROUND_MIN {
            let bytes = seen.memory(SAMPLES);
            self.free(value, 1, bytes);
        }
    }

    /// Bytes that wait to be freed, about: allocated still, but not in use.
    pub fn pending_bytes(&self) -> usize {
        self.counters.pending_bytes.load(Ordering::Relaxed) as usize
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
