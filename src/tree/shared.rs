//! Parts of values that a copy of the value has in common with it until one of them changes the part.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::process;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

/// Owners that no part ever has: a count that comes there has gone wrong.
const OWNERS_MAX: usize = isize::MAX as usize;

/// A part with one owner or several, each of whom sees it as if it were its own. To copy it costs nothing; whoever [edits](Self::edit)
/// it while it has other owners gets a copy first.
///
/// An [`Arc`](std::sync::Arc) that is never seen through weak references, so that one look tells whether it has a single owner.
pub struct Shared<T> {
    counted: NonNull<Counted<T>>,
    owned: PhantomData<Counted<T>>,
}

struct Counted<T> {
    owners: AtomicUsize,
    part: T,
}

// SAFETY: owners on several threads see the part at once, and the last of them drops it wherever it is, as with `Arc`.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: from a reference to an owner another owner can be made, as with `Arc`.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub fn new(part: T) -> Self {
        let counted = Box::new(Counted { owners: AtomicUsize::new(1), part });
        Shared { counted: NonNull::from(Box::leak(counted)), owned: PhantomData }
    }

    /// Bytes that it takes beside the part itself.
    pub const OVERHEAD: usize = size_of::<usize>();

    #[inline(always)]
    fn counted(&self) -> &Counted<T> {
        // SAFETY: the allocation lives as long as it has owners, of which this is one; it is only borrowed mutably by `edit` and
        // `into_inner`, when there is no other owner, for which this one must be borrowed mutably or given up.
        unsafe { self.counted.as_ref() }
    }

    #[inline(always)]
    fn is_sole(&self) -> bool {
        // Others who were owners have done with the part before they let go of it.
        self.counted().owners.load(Ordering::Acquire) == 1
    }
}

impl<T: Clone> Shared<T> {
    /// The part, to be changed by this owner alone.
    #[inline(always)]
    pub fn edit(&mut self) -> &mut T {
        if !self.is_sole() {
            self.part_from_others();
        }
        // SAFETY: this is the only owner, now and for as long as it is borrowed mutably: others can only be made from it.
        unsafe { &mut self.counted.as_mut().part }
    }

    #[cold]
    fn part_from_others(&mut self) {
        *self = Shared::new((**self).clone());
    }

    /// The part by itself.
    pub fn into_inner(self) -> T {
        if !self.is_sole() {
            return (*self).clone();
        }
        let counted = self.counted;
        std::mem::forget(self);
        // SAFETY: the allocation was made by `new`, its only owner has just been forgotten, and nobody else will free it.
        unsafe { Box::from_raw(counted.as_ptr()) }.part
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        if self.counted().owners.fetch_add(1, Ordering::Relaxed) > OWNERS_MAX {
            process::abort();
        }
        Shared { counted: self.counted, owned: PhantomData }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if self.counted().owners.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: the allocation was made by `new`, and this was its last owner.
            drop(unsafe { Box::from_raw(self.counted.as_ptr()) });
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.counted().part
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_part_is_copied_when_it_is_changed_while_others_have_it() {
        let counter = Arc::new(());
        let mut first = Shared::new((1, Arc::clone(&counter)));
        first.edit().0 = 2;
        let mut second = first.clone();
        assert_eq!(Arc::strong_count(&counter), 2, "no copy yet");
        second.edit().0 = 3;
        assert_eq!((first.0, second.0, Arc::strong_count(&counter)), (2, 3, 3));
        second.edit().0 = 4;
        let third = second.clone();
        assert_eq!((second.into_inner().0, third.into_inner().0), (4, 4));
        drop(first);
        assert_eq!(Arc::strong_count(&counter), 1);
    }

    #[test]
    fn owners_on_other_threads_see_what_they_got() {
        let mut part = Shared::new(vec![0usize; 100]);
        std::thread::scope(|scope| {
            for number in 0..1000 {
                let copy = part.clone();
                scope.spawn(move || assert!(copy.iter().all(|&seen| seen == number)));
                part.edit().fill(number + 1);
            }
        });
        assert_eq!(part.into_inner(), vec![1000; 100]);
    }
}
