//! The allocator's figures, and what else the operating system knows of the process.

use crate::tree;
use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};

/// jemalloc: its size classes are what pages are sized to, and it gives memory back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The allocator, as Redis names it.
pub const ALLOCATOR_NAME: &str = "jemalloc-5.3.0";

/// Bytes allocated less bytes freed and less what is free in pages, over all threads, as far as they have published their
/// share.
static PUBLISHED: AtomicI64 = AtomicI64::new(0);

thread_local! {
    /// The allocator's counters of this thread.
    static COUNTERS: Option<(ThreadLocal<u64>, ThreadLocal<u64>)> =
        allocatedp::read().and_then(|allocated| Ok((allocated, deallocatedp::read()?))).ok();
    /// This thread's share of [`PUBLISHED`].
    static SHARE: Cell<i64> = const { Cell::new(0) };
}

/// Bytes from which on a thread adds its share to the sum, so that small writes do not make threads wait for each other.
const PUBLISHED_MIN: u64 = 1024;

/// Adds what this thread has allocated and freed since it last did so to the sum over all threads, and returns the sum:
/// the bytes in use, in which those that are free in the pages of trees do not count. It misses at most
/// [`PUBLISHED_MIN`] for each other thread. Costs nanoseconds; every thread that allocates must call it now and then.
#[inline]
pub fn publish() -> usize {
    let share = COUNTERS.with(|counters| {
        counters.as_ref().map_or(0, |(allocated, freed)| allocated.get().wrapping_sub(freed.get()) as i64)
    });
    let share = share - tree::free_bytes_of_thread();
    let change = share - SHARE.get();
    let others = if change.unsigned_abs() < PUBLISHED_MIN {
        PUBLISHED.load(Ordering::Relaxed)
    } else {
        SHARE.set(share);
        PUBLISHED.fetch_add(change, Ordering::Relaxed)
    };
    (others + change).max(0) as usize
}

/// Starts a thread that ends before the process does: what it has taken and freed counts behind its end as well.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let counted = move || {
        work();
        publish();
    };
    std::thread::Builder::new().name(name.into()).spawn(counted).map(drop)
}

/// What the allocator knows, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllocatorFigures {
    pub allocated: usize,
    pub active: usize,
    pub resident: usize,
    pub retained: usize,
}

/// Asks the allocator. Costs some microseconds.
pub fn allocator() -> AllocatorFigures {
    use tikv_jemalloc_ctl::{epoch, stats};
    if epoch::advance().is_err() {
        return AllocatorFigures::default();
    }
    AllocatorFigures {
        allocated: stats::allocated::read().unwrap_or(0),
        active: stats::active::read().unwrap_or(0),
        resident: stats::resident::read().unwrap_or(0),
        retained: stats::retained::read().unwrap_or(0),
    }
}

/// Bytes of the process that are in memory.
pub fn resident() -> usize {
    let pages =
        std::fs::read_to_string("/proc/self/statm").ok().and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

/// Keeps the calling thread on one CPU (`pin-cpus`).
pub fn pin_thread(index: usize) {
    // SAFETY: the set is a plain bit field of the size that is passed, and outlives the call.
    let failed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(index % libc::CPU_SETSIZE as usize, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) != 0
    };
    if failed {
        tracing::warn!("Could not pin thread {index} to a CPU: {}", std::io::Error::last_os_error());
    }
}

/// How long the allocator keeps memory that nobody uses, in milliseconds. Its own ten seconds leave a server that has
/// just been filled a third larger than its data; less than a second costs time.
const UNUSED_KEPT_MS: isize = 1000;

/// Has arenas made from now on, and the first one, give unused memory back soon; false if the allocator refuses.
pub fn give_back_soon() -> bool {
    [c"arenas.dirty_decay_ms", c"arena.0.dirty_decay_ms"].iter().all(|control| {
        let mut milliseconds = UNUSED_KEPT_MS;
        let none = std::ptr::null_mut();
        // SAFETY: the control takes a number of the size that is passed.
        let failed = unsafe {
            tikv_jemalloc_sys::mallctl(
                control.as_ptr(),
                none,
                std::ptr::null_mut(),
                (&raw mut milliseconds).cast(),
                size_of_val(&milliseconds),
            )
        };
        failed == 0
    })
}

/// Returns unused pages of all arenas to the system; false if the allocator refuses.
pub fn purge() -> bool {
    // 4096 stands for all arenas.
    trigger(c"arena.4096.purge").is_ok()
}

/// Has the allocator give up what it keeps for the calling thread.
pub fn flush_thread_cache() -> io::Result<()> {
    trigger(c"thread.tcache.flush")
}

/// Has the allocator do what is called `name`: one of its controls that take and give nothing.
fn trigger(name: &CStr) -> io::Result<()> {
    let none = std::ptr::null_mut();
    // SAFETY: null pointers are what such a control wants; the allocator refuses them for any other.
    let failed = unsafe { tikv_jemalloc_sys::mallctl(name.as_ptr(), none, std::ptr::null_mut(), none, 0) };
    if failed == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(failed)) }
}

/// Reads a number that the allocator keeps under `name`. Errors: there is none, or what is there is no number.
pub fn control(name: &[u8]) -> io::Result<i64> {
    /// What reading a number of `size` bytes says.
    fn read(name: &CStr, size: usize) -> (i32, i64) {
        let (mut value, mut len) = (0i64, size);
        // SAFETY: `value` has room for the at most eight bytes that `len` announces; nothing is written.
        let error = unsafe {
            tikv_jemalloc_sys::mallctl(name.as_ptr(), (&raw mut value).cast(), &raw mut len, std::ptr::null_mut(), 0)
        };
        (error, value)
    }
    let name = CString::new(name)?;
    let mut failed = libc::EINVAL;
    // The allocator takes no size but the right one. A smaller number fills the low bytes of `value`.
    for size in [8, 4, 1] {
        match read(&name, size) {
            (0, value) => return Ok(value),
            (error, _) => failed = error,
        }
        if failed != libc::EINVAL {
            break;
        }
    }
    Err(io::Error::from_raw_os_error(failed))
}

/// The allocator's own report, for people.
pub fn statistics() -> Vec<u8> {
    let mut report = Vec::new();
    if let Err(error) = tikv_jemalloc_ctl::stats_print::stats_print(&mut report, Default::default()) {
        tracing::warn!("The allocator's statistics cannot be read: {error}");
    }
    report
}
