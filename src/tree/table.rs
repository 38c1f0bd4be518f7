//! The table of pages: from a page's number to the page, in order of numbers for scans, and as a dense list for random choice.
//!
//! Numbers matter to scans, which walk them upwards: the new half of a split page gets a number above the old one's. Numbers that
//! are free again are taken first. The table comes in chunks, and a chunk without pages takes no memory, so numbers that drift
//! upwards (keys added at one end of the key space and removed at the other) cost nothing.

use super::Layout;
use super::common::Common;
use super::page::{Page, prefetch};

/// Numbers per chunk.
const CHUNK: usize = 1024;
/// Page numbers are below this, so that a scan's cursor has 47 bits.
const LIMIT: usize = 1 << 31;

pub(super) struct PageTable<L: Layout> {
    chunks: Vec<Chunk<L>>,
    /// The numbers of all pages, in no order. A page's header says where in this list it is.
    ranked: Vec<u32>,
    /// Sum of the chunks' capacities.
    places: usize,
    /// The pages that another table has as well.
    common: Option<Box<Common<L>>>,
}

struct Chunk<L: Layout> {
    /// Cut behind the last page.
    pages: Vec<Option<Page<L>>>,
    live: usize,
}

impl<L: Layout> Chunk<L> {
    const EMPTY: Self = Chunk { pages: Vec::new(), live: 0 };

    /// The first free place at or behind `from`.
    fn vacancy(&self, from: usize) -> Option<usize> {
        if self.live < self.pages.len()
            && let Some(at) = self.pages.iter().skip(from).position(Option::is_none)
        {
            return Some(from + at);
        }
        let at = from.max(self.pages.len());
        (at < CHUNK).then_some(at)
    }
}

impl<L: Layout> PageTable<L> {
    pub const fn new() -> Self {
        PageTable { chunks: Vec::new(), ranked: Vec::new(), places: 0, common: None }
    }

    /// Number of pages.
    pub fn len(&self) -> usize {
        self.ranked.len()
    }

    #[inline(always)]
    pub fn get(&self, id: u32) -> Option<&Page<L>> {
        let chunk = self.chunks.get(id as usize / CHUNK)?;
        chunk.pages.get(id as usize % CHUNK)?.as_ref()
    }

    /// Asks the processor for the table's entry of a page.
    #[inline(always)]
    pub fn prefetch(&self, id: u32) {
        if let Some(place) = self.chunks[id as usize / CHUNK].pages.get(id as usize % CHUNK) {
            prefetch(std::ptr::from_ref(place).cast());
        }
    }

    #[inline(always)]
    pub fn page(&self, id: u32) -> &Page<L> {
        self.get(id).expect("a page with this number")
    }

    #[inline(always)]
    pub fn page_mut(&mut self, id: u32) -> &mut Page<L> {
        let place = &mut self.chunks[id as usize / CHUNK].pages[id as usize % CHUNK];
        let page = place.as_mut().expect("a page with this number");
        if let Some(common) = &mut self.common {
            part_with(common, page);
        }
        page
    }

    /// A table that has all pages in common with this one; `None` if others have such already.
    pub fn lend(&mut self) -> Option<Self> {
        if self.common.as_ref().is_some_and(|common| !common.is_over()) {
            return None;
        }
        let [ours, theirs] = Common::lend(self.iter());
        let alias = |place: &Option<Page<L>>| {
            // SAFETY: the page is in common from now on. So neither table changes it (`page_mut` and `remove` part with it first),
            // the new one forgets what it has in common (`Common::part_with`, `Common::leave`), and this one keeps it until the
            // new one is gone, or leaves it to what is dropped after that.
            place.as_ref().map(|page| unsafe { page.alias() })
        };
        let copy = |chunk: &Chunk<L>| Chunk { pages: chunk.pages.iter().map(alias).collect(), live: chunk.live };
        let chunks: Vec<_> = self.chunks.iter().map(copy).collect();
        self.common = Some(Box::new(ours));
        let places = chunks.iter().map(|chunk| chunk.pages.capacity()).sum();
        Some(PageTable { chunks, ranked: self.ranked.clone(), places, common: Some(Box::new(theirs)) })
    }

    /// Whether the table is that of an image.
    pub fn is_image(&self) -> bool {
        self.common.as_ref().is_some_and(|common| common.is_image())
    }

    /// The lowest free number, or the lowest one above `above`.
    ///
    /// Should there be none left above it, after 2^31 splits at the upper end of the key space, the lowest of all is taken: a scan
    /// under way at that moment could miss keys of the page that is split, which beats refusing the write.
    pub fn vacant_id(&self, above: Option<u32>) -> u32 {
        let from = above.map_or(0, |id| id as usize + 1);
        self.vacancy(from).or_else(|| self.vacancy(0)).expect("fewer than 2^31 pages")
    }

    fn vacancy(&self, from: usize) -> Option<u32> {
        let mut from = from;
        while let Some(chunk) = self.chunks.get(from / CHUNK) {
            if let Some(at) = chunk.vacancy(from % CHUNK) {
                from = from / CHUNK * CHUNK + at;
                break;
            }
            from = (from / CHUNK + 1) * CHUNK;
        }
        (from < LIMIT).then_some(from as u32)
    }

    /// Adds a page under its number, which must be free.
    pub fn insert(&mut self, mut page: Page<L>) {
        let id = page.header().id;
        page.header_mut().rank = self.ranked.len() as u32;
        self.ranked.push(id);
        let (number, at) = (id as usize / CHUNK, id as usize % CHUNK);
        if self.chunks.len() <= number {
            self.chunks.resize_with(number + 1, || Chunk::EMPTY);
        }
        let chunk = &mut self.chunks[number];
        if chunk.pages.len() <= at {
            self.places -= chunk.pages.capacity();
            chunk.pages.resize_with(at + 1, || None);
            self.places += chunk.pages.capacity();
        }
        assert!(chunk.pages[at].is_none(), "the number is free");
        chunk.pages[at] = Some(page);
        chunk.live += 1;
    }

    /// Takes a page out; its number is free again.
    pub fn remove(&mut self, id: u32) -> Page<L> {
        self.page_mut(id);
        let chunk = &mut self.chunks[id as usize / CHUNK];
        let page = chunk.pages[id as usize % CHUNK].take().expect("a page with this number");
        chunk.live -= 1;
        if chunk.live == 0 {
            self.places -= chunk.pages.capacity();
            *chunk = Chunk::EMPTY;
        } else {
            let used = chunk.pages.iter().rposition(Option::is_some).expect("the chunk has a page") + 1;
            chunk.pages.truncate(used);
        }
        let used = self.chunks.iter().rposition(|chunk| chunk.live > 0).map_or(0, |last| last + 1);
        self.chunks.truncate(used);
        let rank = page.header().rank;
        self.ranked.swap_remove(rank as usize);
        if let Some(&moved) = self.ranked.get(rank as usize) {
            self.page_mut(moved).header_mut().rank = rank;
        }
        page
    }

    /// The first page whose number is at least `id`.
    pub fn next(&self, id: u32) -> Option<&Page<L>> {
        let (first, mut at) = (id as usize / CHUNK, id as usize % CHUNK);
        for chunk in self.chunks.iter().skip(first) {
            if let Some(page) = chunk.pages.iter().skip(at).flatten().next() {
                return Some(page);
            }
            at = 0;
        }
        None
    }

    /// The page at a place of the dense list.
    pub fn ranked(&self, rank: usize) -> &Page<L> {
        self.page(self.ranked[rank])
    }

    /// All pages, in order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Page<L>> {
        self.chunks.iter().flat_map(|chunk| chunk.pages.iter().flatten())
    }

    /// Bytes that the table itself takes.
    pub fn bytes(&self) -> usize {
        self.chunks.capacity() * size_of::<Chunk<L>>()
            + self.places * size_of::<Option<Page<L>>>()
            + self.ranked.capacity() * size_of::<u32>()
    }

    /// Checks what must hold within the table.
    pub fn verify(&self) {
        assert_eq!(self.places, self.chunks.iter().map(|chunk| chunk.pages.capacity()).sum::<usize>());
        assert_eq!(self.ranked.len(), self.iter().count());
        for (rank, &id) in self.ranked.iter().enumerate() {
            let header = self.page(id).header();
            assert_eq!((header.id, header.rank), (id, rank as u32));
        }
        for chunk in &self.chunks {
            assert_eq!(chunk.live, chunk.pages.iter().flatten().count());
            assert!(chunk.pages.last().is_none_or(Option::is_some));
        }
    }
}

/// See [`Common::part_with`]. Hardly ever has a table pages in common.
#[cold]
fn part_with<L: Layout>(common: &mut Common<L>, page: &mut Page<L>) {
    common.part_with(page);
}

impl<L: Layout> Drop for PageTable<L> {
    fn drop(&mut self) {
        if let Some(common) = &mut self.common {
            let pages = self.chunks.iter_mut().flat_map(|chunk| &mut chunk.pages);
            pages.filter_map(Option::take).for_each(|page| common.leave(page));
        }
    }
}
