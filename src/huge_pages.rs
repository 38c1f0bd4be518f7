//! Memory in huge pages (2 MB) for the threads that serve.
//!
//! A lookup touches two places of a large keyspace at random. With pages of 4 KB nearly every such touch misses the
//! processor's table of addresses, which costs more than the miss of the data itself, and most of all in virtual machines.
//! Redis turns huge pages off because a forked child copies whole ones; nothing forks here.
//!
//! Each thread gets an arena of the allocator of its own, whose memory comes in one piece from regions that the kernel is asked to
//! back with huge pages. Untouched memory still takes none, so this costs at most one huge page per thread.

use std::ffi::{c_uint, c_void};
use std::io;
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError};
use tikv_jemalloc_sys::{extent_hooks_t, mallctl};

/// Bytes of a huge page.
const HUGE_PAGE: usize = 2 * 1024 * 1024;
/// Bytes of address space that are asked for at once.
const REGION_BYTES: usize = 64 * 1024 * 1024;

/// Address space that nobody uses yet, from `next` to `end`.
struct Region {
    next: usize,
    end: usize,
}

/// What the arenas take from. A lock of the standard library: it never allocates.
static REGION: Mutex<Region> = Mutex::new(Region { next: 0, end: 0 });

/// The hooks of the arenas: the allocator's own but for how memory is had.
struct Hooks(extent_hooks_t);

// SAFETY: they are function pointers, which belong to no thread.
unsafe impl Send for Hooks {}
// SAFETY: as above; nobody changes them.
unsafe impl Sync for Hooks {}

static HOOKS: OnceLock<Hooks> = OnceLock::new();

impl Region {
    /// Takes `size` bytes from the region, if it has them.
    fn take(&mut self, size: usize, alignment: usize) -> Option<usize> {
        let start = self.next.checked_next_multiple_of(alignment)?;
        let end = start.checked_add(size).filter(|&end| start > 0 && end <= self.end)?;
        self.next = end;
        Some(start)
    }

    /// Maps a new region of at least `size` bytes that begins and ends with a huge page.
    fn map(size: usize) -> Option<Region> {
        let len = size.checked_next_multiple_of(HUGE_PAGE)?;
        let mapped_len = len.checked_add(HUGE_PAGE)?;
        let (protection, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing that exists.
        let mapped = unsafe { libc::mmap(ptr::null_mut(), mapped_len, protection, kind, -1, 0) };
        if mapped == libc::MAP_FAILED {
            return None;
        }
        let begin = mapped.expose_provenance();
        let start = begin.next_multiple_of(HUGE_PAGE);
        unmap(begin, start);
        unmap(start + len, begin + mapped_len);
        // SAFETY: the range is the part of the new mapping that is left. Should the kernel refuse, it stays as good as it was.
        unsafe { libc::madvise(ptr::with_exposed_provenance_mut(start), len, libc::MADV_HUGEPAGE) };
        Some(Region { next: start, end: start + len })
    }
}

/// Gives back address space that nobody uses.
fn unmap(start: usize, end: usize) {
    if start < end {
        // SAFETY: the caller owns this range of a mapping of `Region::map`, and nothing in it has been handed out.
        unsafe { libc::munmap(ptr::with_exposed_provenance_mut(start), end - start) };
    }
}

/// The allocator's hook for new memory.
///
/// # Safety
/// `zero` and `commit` can be written to, as the allocator guarantees.
unsafe extern "C" fn allocate(
    _hooks: *mut extent_hooks_t,
    wanted: *mut c_void,
    size: usize,
    alignment: usize,
    zero: *mut bool,
    commit: *mut bool,
    _arena: c_uint,
) -> *mut c_void {
    if !wanted.is_null() {
        return ptr::null_mut();
    }
    let mut region = REGION.lock().unwrap_or_else(PoisonError::into_inner);
    let mut start = region.take(size, alignment);
    if start.is_none() {
        let Some(fresh) = size.checked_add(alignment).and_then(|size| Region::map(size.max(REGION_BYTES))) else {
            return ptr::null_mut();
        };
        unmap(region.next.next_multiple_of(HUGE_PAGE), region.end);
        *region = fresh;
        start = region.take(size, alignment);
    }
    let Some(start) = start else { return ptr::null_mut() };
    // SAFETY: by contract. Fresh mappings are zero and can be written to.
    unsafe {
        *zero = true;
        *commit = true;
    }
    ptr::with_exposed_provenance_mut(start)
}

/// Has all that the calling thread allocates from now on come from huge pages, as far as the kernel has them.
///
/// # Errors
/// The allocator's, when it cannot make another arena.
pub fn use_for_this_thread() -> io::Result<()> {
    let hooks = match HOOKS.get() {
        Some(hooks) => hooks,
        None => {
            let hooks = Hooks(extent_hooks_t { alloc: Some(allocate), ..default_hooks()? });
            HOOKS.get_or_init(|| hooks)
        }
    };
    let mut hooks: *const extent_hooks_t = &raw const hooks.0;
    let mut arena: c_uint = 0;
    let (mut len, hooks_len) = (size_of_val(&arena), size_of_val(&hooks));
    // SAFETY: the control gives a number of the size that is passed and takes a pointer to hooks, which live for ever.
    checked(unsafe {
        mallctl(c"arenas.create".as_ptr(), (&raw mut arena).cast(), &raw mut len, (&raw mut hooks).cast(), hooks_len)
    })?;
    // SAFETY: the control takes the number of an arena, which there is.
    checked(unsafe {
        mallctl(c"thread.arena".as_ptr(), ptr::null_mut(), ptr::null_mut(), (&raw mut arena).cast(), len)
    })
}

/// The hooks that the allocator has by itself.
fn default_hooks() -> io::Result<extent_hooks_t> {
    let mut hooks: *const extent_hooks_t = ptr::null();
    let mut len = size_of_val(&hooks);
    // SAFETY: the control gives a pointer of the size that is passed.
    checked(unsafe {
        mallctl(c"arena.0.extent_hooks".as_ptr(), (&raw mut hooks).cast(), &raw mut len, ptr::null_mut(), 0)
    })?;
    // SAFETY: the first arena always has hooks, and they are never freed; copying them copies function pointers.
    Ok(unsafe { ptr::read(hooks) })
}

fn checked(code: i32) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_handed_out_without_overlap_and_within_bounds() {
        let mut region = Region::map(3 * HUGE_PAGE).expect("memory");
        assert_eq!((region.next % HUGE_PAGE, region.end - region.next), (0, 3 * HUGE_PAGE));
        let first = region.take(5 * 4096, 4096).expect("room");
        let second = region.take(HUGE_PAGE, HUGE_PAGE).expect("room");
        assert_eq!(second, first + HUGE_PAGE);
        assert_eq!(region.take(HUGE_PAGE + 1, 4096), None);
        // SAFETY: the address is the start of a fresh mapping of at least this size, which nobody else has.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(ptr::with_exposed_provenance_mut::<u8>(second), HUGE_PAGE) };
        assert!(bytes.iter().all(|&byte| byte == 0));
        bytes.fill(1);
        unmap(first, region.end);
    }

    #[test]
    fn a_thread_allocates_frees_and_grows_in_its_arena() {
        let thread = std::thread::spawn(|| {
            use_for_this_thread().expect("an arena");
            let many: Vec<Vec<u8>> = (1..2000).map(|len| vec![len as u8; len * 16]).collect();
            let huge = vec![7u8; 3 * REGION_BYTES];
            assert!(huge.iter().step_by(4096).all(|&byte| byte == 7));
            many
        });
        let many = thread.join().expect("the thread ends well");
        assert!(many.iter().zip(1..).all(|(bytes, len): (_, usize)| bytes.iter().all(|&byte| byte == len as u8)));
    }
}
