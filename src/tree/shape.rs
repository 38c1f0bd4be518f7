//! The shape of the tree: the walk from the root to a page, and all that changes which node has which page.

use super::node::{Child, Node, Target, low_of};
use super::page::{NONE, Page, common_len, symbol_of};
use super::{Key, Layout, Trail, Tree};
use std::sync::atomic::{AtomicU64, Ordering};

/// Pages are merged if they then have at most this many bytes.
const MERGED_SIZE_MAX: usize = page_size(1, 2);
/// A page looks for neighbours to merge with once it has shrunk to this.
const SPARSE_SIZE: usize = page_size(1, 4);
/// A page that is rid of so many bytes of path by a node of its own need not be split at once.
const STRIPPED_BYTES_MIN: usize = page_size(1, 4);
/// At most so many bytes of path are copied back into the records of a page to save the node above it.
const RESTORED_BYTES_MAX: usize = 1 << 16;

const fn page_size(numerator: usize, denominator: usize) -> usize {
    super::page::SIZE_MAX * numerator / denominator
}

/// Where the walk for a key ends.
pub(super) enum Place {
    /// At a page; its records' suffixes begin at byte `depth` of the key.
    Page { id: u32, depth: usize },
    /// At a node that has no child for what follows byte `depth` of the key.
    Gap { node: u32, depth: usize },
    /// Within the path of a node: the key parts from it, or ends, after `at` bytes of the path.
    Fork { node: u32, at: usize },
    /// The tree is empty.
    Nowhere,
}

/// A walk under way, made a step at a time so that the cache misses of many walks overlap.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    at: Option<Child>,
    depth: u32,
}

/// The shape that a tree gets next.
static NEXT_SHAPE: AtomicU64 = AtomicU64::new(1);

impl<L: Layout> Tree<L> {
    /// Finds out where `key` is or would be.
    #[inline(always)]
    pub(super) fn locate(&self, key: Key<'_>) -> Place {
        let Trail { page, depth, shape, .. } = key.trail;
        if shape == self.shape {
            let depth = usize::from(depth);
            debug_assert!(
                matches!(self.walk_to(key.bytes), Place::Page { id, depth: end } if (id, end) == (page, depth))
            );
            return Place::Page { id: page, depth };
        }
        self.walk_to(key.bytes)
    }

    /// Walks from the root to where `key` is or would be.
    #[inline(always)]
    fn walk_to(&self, key: &[u8]) -> Place {
        let Some(mut child) = self.root else {
            return Place::Nowhere;
        };
        let mut depth = 0;
        loop {
            match child.target() {
                Target::Page(id) => return Place::Page { id, depth },
                Target::Node(id) => match self.descend(id, key, depth) {
                    Ok((next, at)) => (child, depth) = (next, at),
                    Err(place) => return place,
                },
            }
        }
    }

    /// Goes from a node, to which `depth` bytes of `key` have led, to the child for `key`.
    #[inline(always)]
    fn descend(&self, id: u32, key: &[u8], mut depth: usize) -> Result<(Child, usize), Place> {
        let node = self.nodes.get(id);
        let rest = &key[depth..];
        // Few nodes have a path.
        if !node.path.is_empty() && !rest.starts_with(&node.path) {
            return Err(Place::Fork { node: id, at: common_len(rest, &node.path) });
        }
        depth += node.path.len();
        let next = match key.get(depth) {
            Some(&byte) => node.child(byte),
            None => node.end(),
        };
        let child = next.ok_or(Place::Gap { node: id, depth })?;
        Ok((child, depth + usize::from(!child.is_page())))
    }

    /// Begins a walk.
    #[inline]
    pub fn set_out(&self) -> Walk {
        Walk { at: self.root, depth: 0 }
    }

    /// Takes the next step of the walk for `key` and starts fetching what the step after it needs; false if the walk is over.
    #[inline]
    pub fn advance(&self, key: &[u8], walk: &mut Walk) -> bool {
        let Some(Target::Node(id)) = walk.at.map(Child::target) else {
            return false;
        };
        let Ok((child, depth)) = self.descend(id, key, walk.depth as usize) else {
            walk.at = None;
            return false;
        };
        *walk = Walk { at: Some(child), depth: depth as u32 };
        match child.target() {
            Target::Page(id) => self.pages.prefetch(id),
            Target::Node(id) => self.nodes.prefetch(id),
        }
        true
    }

    /// Where a walk, made on this tree since it last changed, has ended.
    #[inline]
    pub fn trail(&self, walk: &Walk) -> Trail {
        match (walk.at.map(Child::target), u16::try_from(walk.depth)) {
            (Some(Target::Page(page)), Ok(depth)) => Trail { page, depth, slot: u16::MAX, shape: self.shape },
            _ => Trail::NONE,
        }
    }

    /// Says that keys may belong to other pages from now on.
    pub(super) fn reshape(&mut self) {
        self.shape = NEXT_SHAPE.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes the full path of a node to `path`, whose contents are dropped. [`NONE`] has an empty one.
    pub(super) fn path(&self, id: u32, path: &mut Vec<u8>) {
        let node = |id: u32| (id != NONE).then(|| self.nodes.get(id));
        let steps = || std::iter::successors(node(id), |below| node(below.parent));
        let size = |node: &Node| node.path.len() + usize::from(node.parent != NONE);
        let mut end = steps().map(size).sum();
        path.clear();
        path.resize(end, 0);
        for node in steps() {
            let start = end - node.path.len();
            path[start..end].copy_from_slice(&node.path);
            end -= size(node);
            if node.parent != NONE {
                path[end] = node.byte;
            }
        }
    }

    /// Brings a walk for `key` a step nearer to a page, at a place where there is none yet.
    pub(super) fn make_place(&mut self, place: Place, key: &[u8]) {
        self.reshape();
        match place {
            Place::Page { .. } => {}
            Place::Nowhere => self.root = Some(self.add_page(NONE)),
            Place::Fork { node, at } => self.fork(node, at),
            Place::Gap { node, depth } => {
                let symbol = symbol_of(&key[depth..]);
                if let Err(index) = self.nodes.edit(node, |node| node.widen(symbol)) {
                    let page = self.add_page(node);
                    self.nodes.edit(node, |node| node.insert(index, low_of(symbol), page));
                }
            }
        }
    }

    /// Adds an empty page, for the children of `parent`. Since it holds no key yet it may have any number.
    fn add_page(&mut self, parent: u32) -> Child {
        self.forget_totals(parent);
        let id = self.pages.vacant_id(None);
        self.adopt(Page::new(Page::<L>::HEADER_SIZE, id, parent));
        self.note_empty_page(id);
        Child::page(id)
    }

    /// Puts a page into the table and into the counts.
    fn adopt(&mut self, page: Page<L>) {
        self.count_bytes(page.capacity() as isize, page.used() as isize);
        self.pages.insert(page);
    }

    /// Takes a page out of the table and out of the counts. To whom it was a child, it still is.
    fn disown(&mut self, id: u32) -> Page<L> {
        self.note_lost_page(id);
        let page = self.pages.remove(id);
        self.count_bytes(-(page.capacity() as isize), -(page.used() as isize));
        self.deadlines.forget(page.header().earliest, id);
        page
    }

    /// Puts a child in the place of another, of which `parent` (or, if that is [`NONE`], the root) is the parent.
    fn substitute(&mut self, parent: u32, old: Child, new: Child) {
        if parent == NONE {
            self.root = Some(new);
        } else {
            self.nodes.edit(parent, |node| node.replace(node.index_of(old), new));
        }
    }

    /// Sets a child's parent, and the byte that leads to it if it is a node.
    fn set_parent(&mut self, child: Child, parent: u32, byte: u8) {
        match child.target() {
            Target::Page(id) => self.pages.page_mut(id).header_mut().parent = parent,
            Target::Node(id) => self.nodes.edit(id, |node| (node.parent, node.byte) = (parent, byte)),
        }
    }

    /// Cuts a node's path after `at` bytes: the rest of it goes to the node, below a new one.
    fn fork(&mut self, id: u32, at: usize) {
        let node = self.nodes.get(id);
        let (parent, byte, low) = (node.parent, node.byte, node.path[at]);
        self.forget_totals(parent);
        let node = self.nodes.get(id);
        let upper = Node::new(parent, byte, &node.path[..at]);
        let upper = self.nodes.insert(upper);
        self.substitute(parent, Child::node(id), Child::node(upper));
        self.nodes.edit(id, |node| {
            node.path.drain(..=at);
            node.path.shrink_to_fit();
        });
        self.set_parent(Child::node(id), upper, low);
        self.nodes.edit(upper, |upper| upper.insert(0, low, Child::node(id)));
    }

    /// Changes a full page so that there is room for `need` more bytes, or at least more than before; records may be elsewhere
    /// after that.
    pub(super) fn make_room(&mut self, id: u32, need: usize) {
        let page = self.pages.page(id);
        let (capacity, garbage) = (page.capacity(), page.garbage());
        let fits = page.room() + garbage >= need;
        let compact = |tree: &mut Self| tree.edit_page(id, |page| page.rebuild(capacity));
        if fits && garbage * 8 >= capacity {
            compact(self);
        } else if !self.edit_page(id, |page| page.grow(need)) {
            if fits && garbage * 32 >= capacity {
                compact(self);
            } else {
                self.split(id);
            }
        }
    }

    /// Splits a page in two. If all its suffixes start alike, it first gets a node of its own below its parent, and is not split if
    /// it has much room then.
    fn split(&mut self, id: u32) {
        self.reshape();
        let page = self.pages.page(id);
        let common = page.common_prefix();
        let gain = common.len() * page.len();
        if page.header().parent == NONE || !common.is_empty() {
            self.push_down(id, page.header().parent, &common);
        }
        if gain >= STRIPPED_BYTES_MIN {
            self.edit_page(id, |page| page.strip(common.len()));
            return;
        }
        let new = self.pages.vacant_id(Some(id));
        self.note_split(id, new);
        let (symbol, right) = self.edit_page(id, |page| page.split(new, common.len()));
        let parent = right.header().parent;
        self.adopt(right);
        self.note_bound(new, self.pages.page(id).header().earliest);
        self.tighten(id);
        self.tighten(new);
        self.nodes.edit(parent, |node| {
            let index = node.index_of(Child::page(id)) + 1;
            node.insert(index, low_of(symbol), Child::page(new));
        });
    }

    /// Puts a new node between a page and its parent, and what the suffixes have in common into the node's path; or into the
    /// parent's, if it has no other child. To cut that off the suffixes is left to be done.
    fn push_down(&mut self, id: u32, parent: u32, common: &[u8]) {
        if parent != NONE && self.nodes.get(parent).children().len() == 1 {
            self.nodes.edit(parent, |parent| parent.path.extend_from_slice(common));
            return;
        }
        let (byte, path) = match common {
            [byte, path @ ..] if parent != NONE => (*byte, path),
            path => (0, path),
        };
        self.forget_totals(parent);
        let mut node = Node::new(parent, byte, path);
        node.insert(0, 0, Child::page(id));
        let node = self.nodes.insert(node);
        if parent == NONE {
            self.root = Some(Child::node(node));
        } else {
            self.nodes.edit(parent, |parent| parent.narrow(parent.index_of(Child::page(id)), byte, Child::node(node)));
        }
        self.pages.page_mut(id).header_mut().parent = node;
    }

    /// Gives memory back after records have gone from a page: it shrinks, is merged with others, or goes.
    pub(super) fn settle(&mut self, id: u32) {
        let page = self.pages.page(id);
        if page.len() == 0 {
            self.unlink(id);
        } else if let Some(size) = page.smaller_size() {
            self.edit_page(id, |page| page.rebuild(size));
            if size <= SPARSE_SIZE {
                self.join(id);
            }
        }
    }

    /// Removes an empty page.
    fn unlink(&mut self, id: u32) {
        self.reshape();
        let parent = self.disown(id).header().parent;
        if parent == NONE {
            self.root = None;
            self.slots_max = 0;
            return;
        }
        self.forget_totals(parent);
        self.nodes.edit(parent, |node| node.remove(node.index_of(Child::page(id))));
        if let Some(page) = self.fold(parent) {
            self.join(page);
        }
    }

    /// Merges a page with its neighbours, and with its parent's if it thus becomes an only child.
    fn join(&mut self, mut id: u32) {
        loop {
            let parent = self.pages.page(id).header().parent;
            if parent == NONE {
                return;
            }
            while let Some((left, right)) = self.mergeable(id, parent) {
                id = self.merge(left, right, parent);
            }
            match self.fold(parent) {
                Some(page) => id = page,
                None => return,
            }
        }
    }

    /// A page and the neighbour that it can be merged with, in order.
    fn mergeable(&self, id: u32, parent: u32) -> Option<(u32, u32)> {
        let node = self.nodes.get(parent);
        let index = node.index_of(Child::page(id));
        let page = self.pages.page(id);
        let candidate = |index: usize| {
            let Target::Page(other) = node.children().get(index)?.target() else {
                return None;
            };
            let size = page.used_with(self.pages.page(other));
            (size <= MERGED_SIZE_MAX).then_some((size, other))
        };
        let left = index.checked_sub(1).and_then(candidate);
        let right = candidate(index + 1);
        match (left, right) {
            (Some(left), Some(right)) if right.0 < left.0 => Some((id, right.1)),
            (Some(left), _) => Some((left.1, id)),
            (None, Some(right)) => Some((id, right.1)),
            (None, None) => None,
        }
    }

    /// Merges two neighbours. The higher of their numbers stays.
    fn merge(&mut self, left: u32, right: u32, parent: u32) -> u32 {
        self.reshape();
        let stays = left.max(right);
        self.forget_totals(parent);
        self.note_merge(stays, left.min(right));
        let other = self.disown(left.min(right));
        self.note_bound(stays, other.header().earliest);
        self.edit_page(stays, |page| page.absorb(other));
        self.slots_max = self.slots_max.max(self.pages.page(stays).len());
        self.nodes.edit(parent, |node| {
            let index = node.index_of(Child::page(left));
            node.remove(index + 1);
            node.replace(index, Child::page(stays));
        });
        stays
    }

    /// Removes a node that has no child, or one that its parent can have instead; then looks at the parent.
    /// Returns the page that has moved up, if one has.
    fn fold(&mut self, mut id: u32) -> Option<u32> {
        self.reshape();
        loop {
            let node = self.nodes.get(id);
            let parent = node.parent;
            match *node.children() {
                [] => {
                    self.nodes.remove(id);
                    if parent == NONE {
                        self.root = None;
                        self.slots_max = 0;
                        return None;
                    }
                    self.nodes.edit(parent, |node| node.remove(node.index_of(Child::node(id))));
                    id = parent;
                }
                [child] => return self.lift(id, child),
                _ => return None,
            }
        }
    }

    /// Puts an only child in the place of its parent, with the parent's path before its own.
    /// Returns the child if it is a page; a page that would become too large stays where it is.
    fn lift(&mut self, id: u32, child: Child) -> Option<u32> {
        let node = self.nodes.get(id);
        let (parent, byte) = (node.parent, node.byte);
        let mut prefix = Vec::new();
        let page = match child.target() {
            Target::Page(page_id) => {
                prefix.extend((parent != NONE).then_some(byte));
                prefix.extend_from_slice(&node.path);
                let page = self.pages.page(page_id);
                if page.len() > 1 && prefix.len() * page.len() > RESTORED_BYTES_MAX
                    || page.used_with_prefix(&prefix) > MERGED_SIZE_MAX
                {
                    return None;
                }
                self.edit_page(page_id, |page| page.prepend(&prefix));
                Some(page_id)
            }
            Target::Node(below) => {
                let below_node = self.nodes.get(below);
                prefix.extend_from_slice(&node.path);
                prefix.push(below_node.byte);
                self.nodes.edit(below, |below| below.path.insert_from_slice(0, &prefix));
                None
            }
        };
        self.set_parent(child, parent, byte);
        self.substitute(parent, Child::node(id), child);
        self.nodes.remove(id);
        page
    }
}
