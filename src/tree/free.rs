//! How many bytes in the pages of all trees hold nothing, counted where they change, so that memory in use can be told
//! without a look at any tree.

use std::cell::Cell;

thread_local! {
    static FREE: Cell<i64> = const { Cell::new(0) };
}

/// Bytes that have become free on this thread, less those that have been filled or given back; the sum over all threads
/// is what is free now.
#[inline]
pub fn free_bytes_of_thread() -> i64 {
    FREE.get()
}

/// Counts bytes as free, or as not free any more if `change` is negative.
#[inline]
pub(super) fn note(change: i64) {
    FREE.set(FREE.get() + change);
}
