//! A lock that one thread takes without a locked instruction, and all others at the price of a system call.
//!
//! Whoever appends to the log has just changed a record: a locked instruction waits until these changes have left the processor's
//! store buffer, which takes longer than the append itself. Where one thread runs all commands it takes the lock thousands of times
//! for each time that another wants it, to read. So that thread, the owner, only says that it is inside, with a plain store,
//! and then looks whether anybody else wants in. The others say that they want in, and have the kernel run a barrier on all threads
//! of the process (`membarrier(2)`) before they look whether the owner is inside: it has either been seen, or has seen them.

use parking_lot::lock_api::{GuardNoSend, RawMutex as _};
use parking_lot::{RawMutex, lock_api};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, compiler_fence, fence};

/// A mutex around such a lock. It has no owner to begin with, and is an ordinary one then.
pub type OwnedMutex<T> = lock_api::Mutex<OwnedLock, T>;
pub type OwnedMutexGuard<'a, T> = lock_api::MutexGuard<'a, OwnedLock, T>;

/// How often one looks for the owner to leave before others may use the processor: it may be what the owner waits for.
const LOOKS: usize = 64;

/// The name of the next owner.
static NEXT_OWNER: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The name by which this thread owns a lock; 0 if it owns none.
    static OWNER: Cell<u64> = const { Cell::new(0) };
}

pub struct OwnedLock {
    /// Held by those who are inside, but for the owner if it could go in at once.
    others: RawMutex,
    /// The name of the owner; 0 if there is none. Set once, while `others` is held.
    owner: AtomicU64,
    /// The owner is inside, or about to find that it cannot be at once.
    is_owner_inside: AtomicBool,
    /// The owner is inside without holding `others`. Only whoever is inside uses it.
    is_short: AtomicBool,
    /// Somebody who is not the owner is inside, or waits for it to leave.
    is_wanted: AtomicBool,
}

impl OwnedLock {
    #[inline]
    fn is_mine(&self) -> bool {
        let owner = self.owner.load(Ordering::Relaxed);
        owner != 0 && owner == OWNER.get()
    }

    /// Goes in if nobody else is, or wants to be. Only the owner may.
    #[inline]
    fn enter_as_owner(&self) -> bool {
        self.is_owner_inside.store(true, Ordering::Relaxed);
        // In this order. That the processor keeps it as well is what the others' barrier is for.
        compiler_fence(Ordering::SeqCst);
        if self.is_wanted.load(Ordering::Acquire) {
            self.is_owner_inside.store(false, Ordering::Release);
            return false;
        }
        self.is_short.store(true, Ordering::Relaxed);
        true
    }

    /// Keeps the owner from going in, once `others` is held. Returns whether it is outside.
    fn keep_out_owner(&self) -> bool {
        if self.owner.load(Ordering::Relaxed) != 0 {
            self.is_wanted.store(true, Ordering::Relaxed);
            barrier_of_all_threads();
        }
        !self.is_owner_inside.load(Ordering::Acquire)
    }

    /// Gives `others` back, which must be held.
    unsafe fn let_in_owner(&self) {
        self.is_wanted.store(false, Ordering::Release);
        // SAFETY: the caller holds it.
        unsafe { self.others.unlock() };
    }

    #[cold]
    fn lock_slowly(&self, is_mine: bool) {
        self.others.lock();
        if is_mine || self.keep_out_owner() {
            return;
        }
        let mut looks = 0;
        while self.is_owner_inside.load(Ordering::Acquire) {
            looks += 1;
            if looks < LOOKS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }

    /// Makes this thread the owner, if there is none yet and the kernel can run the barrier.
    fn own(&self) {
        self.others.lock();
        if self.owner.load(Ordering::Relaxed) == 0 && prepare_barrier() {
            let name = NEXT_OWNER.fetch_add(1, Ordering::Relaxed);
            OWNER.set(name);
            self.owner.store(name, Ordering::Relaxed);
        }
        // SAFETY: it was locked above.
        unsafe { self.others.unlock() };
    }
}

/// Makes this thread the owner of a lock, for good, if it has none yet.
pub fn own<T>(mutex: &OwnedMutex<T>) {
    // SAFETY: what may not be done is to unlock it.
    unsafe { mutex.raw() }.own();
}

// Those who hold `others` are alone among each other. The owner is inside without it only if, behind its store of
// `is_owner_inside`, it saw `is_wanted` unset. Somebody else goes in only if, behind its store of `is_wanted` and a barrier on
// all threads, it saw `is_owner_inside` unset. Of two stores, each followed by a look at the other, at least one is seen, as the
// barrier stands between the owner's store and its look, or before both, or behind both. Acquire and release on the two flags,
// and on `others`, make what was done inside visible to whoever is inside next.
// SAFETY: so nobody is inside together with somebody else.
unsafe impl lock_api::RawMutex for OwnedLock {
    const INIT: OwnedLock = OwnedLock {
        others: RawMutex::INIT,
        owner: AtomicU64::new(0),
        is_owner_inside: AtomicBool::new(false),
        is_short: AtomicBool::new(false),
        is_wanted: AtomicBool::new(false),
    };

    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        let is_mine = self.is_mine();
        if !(is_mine && self.enter_as_owner()) {
            self.lock_slowly(is_mine);
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        let is_mine = self.is_mine();
        if is_mine && self.enter_as_owner() {
            return true;
        }
        if !self.others.try_lock() {
            return false;
        }
        let is_inside = is_mine || self.keep_out_owner();
        if !is_inside {
            // SAFETY: it was locked above.
            unsafe { self.let_in_owner() };
        }
        is_inside
    }

    #[inline]
    unsafe fn unlock(&self) {
        if self.is_short.load(Ordering::Relaxed) {
            self.is_short.store(false, Ordering::Relaxed);
            self.is_owner_inside.store(false, Ordering::Release);
        } else {
            // SAFETY: whoever is inside, and not by the owner's short way, holds it.
            unsafe { self.let_in_owner() };
        }
    }
}

/// Has all threads of the process see each other's stores before this point as done.
fn barrier_of_all_threads() {
    let failed = membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    assert!(!failed, "the kernel ran this barrier when a lock was given its owner");
    fence(Ordering::SeqCst);
}

/// Tells the kernel that this process wants barriers. Returns whether it runs them.
fn prepare_barrier() -> bool {
    !membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) && !membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
}

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: it takes numbers only.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) != 0 }
}

#[cfg(test)]
mod tests {
    use super::{OWNER, OwnedMutex, own};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    /// Two counters that differ only while somebody is inside.
    fn count(mutex: &OwnedMutex<(u64, u64)>) {
        let mut counts = mutex.lock();
        assert_eq!(counts.0, counts.1, "two were inside at the same time");
        counts.0 += 1;
        std::hint::black_box(&mut counts);
        counts.1 += 1;
    }

    #[test]
    fn nobody_is_inside_beside_the_owner() {
        let mutex = OwnedMutex::new((0, 0));
        let is_over = AtomicBool::new(false);
        let (by_owner, by_others) = thread::scope(|scope| {
            let owner = scope.spawn(|| {
                own(&mutex);
                let mut counted = 0u64;
                while !is_over.load(Ordering::Relaxed) {
                    count(&mutex);
                    counted += 1;
                }
                counted
            });
            let others: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let mut counted = 0u64;
                        for _ in 0..5_000 {
                            count(&mutex);
                            counted += 1;
                            if let Some(counts) = mutex.try_lock() {
                                assert_eq!(counts.0, counts.1);
                            }
                        }
                        counted
                    })
                })
                .collect();
            let by_others: u64 = others.into_iter().map(|other| other.join().unwrap()).sum();
            is_over.store(true, Ordering::Relaxed);
            (owner.join().unwrap(), by_others)
        });
        assert_eq!(*mutex.lock(), (by_owner + by_others, by_owner + by_others));
        assert_eq!(by_others, 15_000);
    }

    #[test]
    fn a_lock_has_one_owner_for_good() {
        let mutex = OwnedMutex::new(());
        own(&mutex);
        let name = OWNER.get();
        thread::scope(|scope| {
            scope.spawn(|| {
                own(&mutex);
                assert_eq!(OWNER.get(), 0);
            });
        });
        own(&mutex);
        assert_eq!(OWNER.get(), name);
    }

    #[test]
    fn who_is_inside_keeps_the_owner_out() {
        let mutex = OwnedMutex::new(());
        own(&mutex);
        let held = AtomicBool::new(false);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let _guard = mutex.lock();
                held.store(true, Ordering::Release);
                while !is_over.load(Ordering::Acquire) {
                    thread::yield_now();
                }
            });
            while !held.load(Ordering::Acquire) {
                thread::yield_now();
            }
            assert!(mutex.try_lock().is_none());
            is_over.store(true, Ordering::Release);
        });
        let guard = mutex.lock();
        thread::scope(|scope| {
            scope.spawn(|| assert!(mutex.try_lock().is_none()));
        });
        drop(guard);
        assert!(mutex.try_lock().is_some());
    }
}
