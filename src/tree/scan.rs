//! Walks over many records: by prefix, in stateless steps, and to a random one.

use std::ops::ControlFlow;

use rand::Rng;

use super::node::Target;
use super::page::{NONE, Page, Record};
use super::{Layout, Payload, Position, Tree};

/// Up to so many pages of a subtree are sorted by number for a scan; with more, a scan goes through all numbers.
const SORTED_PAGES_MAX: usize = 64;
/// Tries to hit a record at random before the records are counted instead.
const RANDOM_TRIES: usize = 1000;

/// All of a record but its key.
#[derive(Debug)]
pub struct View<'a, B> {
    pub payload: Payload<'a, B>,
    /// When the record expires, in milliseconds of Unix time.
    pub deadline: Option<i64>,
    /// The access clock, or 0 if the layout has none.
    pub clock: u32,
}

impl<'a, B> View<'a, B> {
    #[inline(always)]
    pub(super) fn new<L: Layout<Boxed = B>>(record: &Record<'a, L>) -> Self {
        View { payload: record.payload(), deadline: record.deadline(), clock: record.clock() }
    }
}

/// A record met on a walk.
#[derive(Debug)]
pub struct Entry<'a, B> {
    pub key: &'a [u8],
    /// As much of the key's hash as trees use.
    pub hash: u64,
    pub position: Position,
    pub record: View<'a, B>,
}

/// The part of the tree that has the keys with some prefix.
pub(super) enum Subtree {
    Nothing,
    /// Some of a page's keys: those that go on like the prefix after its first `depth` bytes.
    Page {
        id: u32,
        depth: usize,
    },
    /// All keys below a node.
    Node(u32),
}

impl<L: Layout> Tree<L> {
    pub(super) fn subtree(&self, prefix: &[u8]) -> Subtree {
        let Some(mut child) = self.root else {
            return Subtree::Nothing;
        };
        let mut depth = 0;
        loop {
            let id = match child.target() {
                Target::Page(id) => return Subtree::Page { id, depth },
                Target::Node(id) => id,
            };
            let node = self.nodes.get(id);
            let rest = &prefix[depth..];
            if rest.len() <= node.path.len() {
                return if node.path.starts_with(rest) { Subtree::Node(id) } else { Subtree::Nothing };
            }
            if !rest.starts_with(&node.path) {
                return Subtree::Nothing;
            }
            depth += node.path.len();
            match node.child(prefix[depth]) {
                None => return Subtree::Nothing,
                Some(next) => child = next,
            }
            depth += usize::from(!child.is_page());
        }
    }

    /// Visits all records whose key starts with `prefix`, until `visit` breaks. Touches no other pages than theirs.
    pub fn for_each(
        &self,
        prefix: &[u8],
        mut visit: impl FnMut(Entry<'_, L::Boxed>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut key = Vec::new();
        match self.subtree(prefix) {
            Subtree::Nothing => ControlFlow::Continue(()),
            Subtree::Page { id, depth } => {
                key.extend_from_slice(&prefix[..depth]);
                self.visit_page(self.pages.page(id), &mut key, &prefix[depth..], &mut visit)
            }
            Subtree::Node(node) => self.walk(node, |id| {
                let page = self.pages.page(id);
                self.path(page.header().parent, &mut key);
                self.visit_page(page, &mut key, &[], &mut visit)
            }),
        }
    }

    /// Visits the records of a page whose suffix starts with `rest`. `key` is the page's path, and is that again in the end.
    fn visit_page(
        &self,
        page: &Page<L>,
        key: &mut Vec<u8>,
        rest: &[u8],
        visit: &mut impl FnMut(Entry<'_, L::Boxed>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let depth = key.len();
        for (slot, record) in page.records().enumerate() {
            if record.suffix_starts_with(rest) {
                record.append_suffix(key);
                let position = Position { page: page.header().id, slot: slot as u16 };
                let flow = visit(Entry { key, hash: page.tag(slot).into(), position, record: View::new(&record) });
                key.truncate(depth);
                flow?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Visits the pages below a node, in the order of their keys.
    fn walk(&self, node: u32, mut visit: impl FnMut(u32) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut stack = vec![(node, 0)];
        while let Some((node, index)) = stack.last_mut() {
            let Some(child) = self.nodes.get(*node).children().get(*index) else {
                stack.pop();
                continue;
            };
            *index += 1;
            match child.target() {
                Target::Page(id) => visit(id)?,
                Target::Node(id) => stack.push((id, 0)),
            }
        }
        ControlFlow::Continue(())
    }

    /// One step of a scan: visits records whose key starts with `prefix`, until about `count` have been looked at, and returns the
    /// cursor for the next step, or 0 when there is nothing left. The first step has cursor 0; any other number is harmless.
    ///
    /// A key that is in the tree from the first step to the last is visited, whatever happens between steps; it may be visited twice
    /// if pages are merged meanwhile. Cursors are below 2^47. Each step does some work, and a page outside the prefix counts as a
    /// record looked at.
    pub fn scan(&self, cursor: u64, count: usize, prefix: &[u8], mut visit: impl FnMut(Entry<'_, L::Boxed>)) -> u64 {
        let Ok(first) = u32::try_from(cursor >> 16) else {
            return 0;
        };
        let mut scan =
            Scan { tree: self, first, tag: cursor as u16, left: count.max(1), key: Vec::new(), visit: &mut visit };
        let stopped = match self.subtree(prefix) {
            Subtree::Nothing => None,
            Subtree::Page { id, depth } => scan.page(self.pages.page(id), &prefix[depth..]),
            Subtree::Node(node) => {
                let whole = self.nodes.get(node).parent == NONE;
                if let Some(ids) = if whole { None } else { self.few_pages(node) } {
                    ids.into_iter().find_map(|id| scan.page(self.pages.page(id), &[]))
                } else {
                    let after = |page: &&Page<L>| self.pages.next(page.header().id + 1);
                    std::iter::successors(self.pages.next(first), after).find_map(|page| {
                        if whole || self.is_below(page, node) { scan.page(page, &[]) } else { scan.skip(page) }
                    })
                }
            }
        };
        stopped.unwrap_or(0)
    }

    /// The pages below a node, in order of their numbers, unless they are too many.
    fn few_pages(&self, node: u32) -> Option<Vec<u32>> {
        let mut ids = Vec::new();
        let flow = self.walk(node, |id| {
            ids.push(id);
            if ids.len() > SORTED_PAGES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        ids.sort_unstable();
        flow.is_continue().then_some(ids)
    }

    fn is_below(&self, page: &Page<L>, node: u32) -> bool {
        let mut id = page.header().parent;
        while id != NONE && id != node {
            id = self.nodes.get(id).parent;
        }
        id == node
    }

    /// A record chosen so that each is as likely as any other.
    pub fn random(&self, rng: &mut impl Rng) -> Option<Position> {
        if self.len == 0 {
            return None;
        }
        for _ in 0..RANDOM_TRIES {
            let page = self.pages.ranked(rng.random_range(0..self.pages.len()));
            let slot = rng.random_range(0..self.slots_max);
            if slot < page.len() {
                return Some(Position { page: page.header().id, slot: slot as u16 });
            }
        }
        let mut index = rng.random_range(0..self.len);
        self.pages.iter().find_map(|page| {
            let position = Position { page: page.header().id, slot: index as u16 };
            if index < page.len() {
                return Some(position);
            }
            index -= page.len();
            None
        })
    }
}

/// A step of a scan under way.
struct Scan<'t, 'v, L: Layout, V> {
    tree: &'t Tree<L>,
    /// Where the step starts: at this tag of this page.
    first: u32,
    tag: u16,
    /// Records that are still to be looked at.
    left: usize,
    key: Vec<u8>,
    visit: &'v mut V,
}

impl<L: Layout, V: FnMut(Entry<'_, L::Boxed>)> Scan<'_, '_, L, V> {
    /// Visits the records of a page whose suffix starts with `rest`, if the scan has not passed them. Returns the cursor if the step
    /// ends here, which it does not between two records of the same tag.
    fn page(&mut self, page: &Page<L>, rest: &[u8]) -> Option<u64> {
        let id = page.header().id;
        if id < self.first {
            return None;
        }
        if self.left == 0 {
            return Some(cursor(id, 0));
        }
        let from = if id == self.first { page.lower_bound(self.tag) } else { 0 };
        self.tree.path(page.header().parent, &mut self.key);
        let depth = self.key.len();
        for slot in from..page.len() {
            if self.left == 0 && page.tag(slot) != page.tag(slot - 1) {
                return Some(cursor(id, page.tag(slot)));
            }
            self.left = self.left.saturating_sub(1);
            let record = page.record(slot);
            if record.suffix_starts_with(rest) {
                self.key.truncate(depth);
                record.append_suffix(&mut self.key);
                let position = Position { page: id, slot: slot as u16 };
                let hash = page.tag(slot).into();
                (self.visit)(Entry { key: &self.key, hash, position, record: View::new(&record) });
            }
        }
        None
    }

    /// Passes a page that has no key with the prefix.
    fn skip(&mut self, page: &Page<L>) -> Option<u64> {
        if self.left == 0 {
            return Some(cursor(page.header().id, 0));
        }
        self.left -= 1;
        None
    }
}

fn cursor(id: u32, tag: u16) -> u64 {
    u64::from(id) << 16 | u64::from(tag)
}
