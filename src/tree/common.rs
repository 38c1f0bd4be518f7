//! Pages that two tables have in common: a tree's and that of its image, which is a copy that costs next to nothing.
//!
//! The tree *lends* its pages to the image. Whichever of the two is about to change a page gets one of its own first; the tree
//! then does not free the old one, or those that it still lends when it goes itself, but leaves them to the image.

use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Layout;
use super::page::Page;

/// What a tree and its image share.
struct Loan<L: Layout> {
    /// Pages that the tree has done with and the image may still read. `None` once the image is gone.
    left: Mutex<Option<Vec<Page<L>>>>,
}

/// The part that one of the two has in it.
pub(super) struct Common<L: Layout> {
    loan: Arc<Loan<L>>,
    /// A bit for each page, by number, that it has in common with the other.
    numbers: Vec<u64>,
    is_image: bool,
}

impl<L: Layout> Common<L> {
    /// The parts of a tree that has these pages, and of its image.
    pub fn lend<'p>(pages: impl Iterator<Item = &'p Page<L>>) -> [Self; 2]
    where
        L: 'p,
    {
        let mut numbers = Vec::new();
        for page in pages {
            let (word, bit) = place_of(page.header().id);
            if numbers.len() <= word {
                numbers.resize(word + 1, 0);
            }
            numbers[word] |= bit;
        }
        let loan = Arc::new(Loan { left: Mutex::new(Some(Vec::new())) });
        let tree = Common { loan: Arc::clone(&loan), numbers: numbers.clone(), is_image: false };
        [tree, Common { loan, numbers, is_image: true }]
    }

    pub fn is_image(&self) -> bool {
        self.is_image
    }

    /// Whether the image of this tree is gone.
    pub fn is_over(&self) -> bool {
        !self.is_image && self.loan.left.lock().is_none()
    }

    /// Says that a page is in common no more; false if it was not.
    fn forget(&mut self, id: u32) -> bool {
        let (word, bit) = place_of(id);
        let Some(word) = self.numbers.get_mut(word) else { return false };
        let was = *word & bit != 0;
        *word &= !bit;
        was
    }

    /// Puts a copy in the place of a page that is in common and is about to be changed, or to be taken out.
    pub fn part_with(&mut self, page: &mut Page<L>) {
        if !self.forget(page.header().id) {
            return;
        }
        if self.is_image {
            let copy = page.duplicate();
            // The tree's, or left to the loan by it.
            mem::forget(mem::replace(page, copy));
        } else if let Some(left) = &mut *self.loan.left.lock() {
            let copy = page.duplicate();
            left.push(mem::replace(page, copy));
        }
    }

    /// Drops a page, as far as that is up to whom this is part of, who goes.
    pub fn leave(&mut self, page: Page<L>) {
        if !self.forget(page.header().id) {
            return;
        }
        if self.is_image {
            mem::forget(page);
        } else if let Some(left) = &mut *self.loan.left.lock() {
            left.push(page);
        }
    }
}

impl<L: Layout> Drop for Common<L> {
    fn drop(&mut self) {
        if self.is_image {
            // The image has left its pages.
            let left = self.loan.left.lock().take();
            drop(left);
        }
    }
}

fn place_of(id: u32) -> (usize, u64) {
    (id as usize / u64::BITS as usize, 1 << (id % u64::BITS))
}
