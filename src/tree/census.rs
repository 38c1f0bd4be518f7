//! How many records there are under which prefixes, and what they take, without a look at the records.
//!
//! A page keeps what its records come to ([`tally`](super::tally)), and each inner node, once somebody has asked, the sum of what is
//! below it. A change of a page's tally makes the sums of the nodes above it unknown, which costs a look at one flag unless they
//! were known: the next question adds up again what has changed, and nothing else.
//!
//! Keys are put into *groups*: a group has the keys that agree up to the last of the first so many separators. All keys below a node
//! whose path has that many are of one group. A page whose path has fewer may have several, but then it has all that its tree has of
//! each: these are small, and to tell them apart each record of the page has to be looked at. For that, and for looking at
//! nodes, there is a limit ([`Effort`]), and the heaviest come first. What is not told apart is counted to the group of the node's
//! path, as [`Group::undivided`].

use std::collections::{BinaryHeap, HashMap};

use foldhash::quality::RandomState;
use memchr::{memchr, memmem};

use super::node::{Child, Target};
use super::page::{NONE, Page};
use super::scan::Subtree;
use super::tally::{Figures, Totals};
use super::{IsCounted, Layout, Tree};

/// How keys are put into groups.
#[derive(Clone, Copy, Debug)]
pub struct Cut<'a> {
    /// All keys concerned begin with this.
    pub prefix: &'a [u8],
    /// At least one byte.
    pub separator: &'a [u8],
    /// Separators behind `prefix` that the name of a group has, if its keys have so many. At least one.
    pub depth: usize,
}

impl Cut<'_> {
    /// The group of a key that begins with the prefix, and whether it has all separators wanted. Of the begin of a key, the
    /// group is that of the key if so.
    pub fn group<'k>(&self, key: &'k [u8]) -> (&'k [u8], bool) {
        let mut end = self.prefix.len().min(key.len());
        for _ in 0..self.depth {
            let next = match self.separator {
                [byte] => memchr(*byte, &key[end..]),
                separator => memmem::find(&key[end..], separator),
            };
            match next {
                Some(at) => end += at + self.separator.len(),
                None => return (&key[..end], false),
            }
        }
        (&key[..end], true)
    }
}

/// What makes a group heavy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Keys,
    Bytes,
}

impl Measure {
    pub fn of(self, figures: Figures) -> u64 {
        match self {
            Measure::Keys => figures.keys,
            Measure::Bytes => figures.bytes,
        }
    }
}

/// What a census may cost.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Nodes whose children are looked at.
    pub nodes: usize,
    /// Pages whose records are looked at.
    pub pages: usize,
}

/// The keys of a group.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Group {
    pub totals: Totals,
    /// The part of them that may be of groups whose names go on from this one's.
    pub undivided: Totals,
}

/// Groups by their names.
pub type Groups = HashMap<Box<[u8]>, Group, RandomState>;

fn group_mut<'g>(groups: &'g mut Groups, name: &[u8]) -> &'g mut Group {
    if !groups.contains_key(name) {
        groups.insert(name.into(), Group::default());
    }
    groups.get_mut(name).expect("it is there now")
}

/// Something that a census has still to look at: its weight, and the name of the group that it belongs to as far as is known.
type Candidate = (u64, Child, usize);

impl<L: Layout> Tree<L> {
    /// Says that a page may not be any more what the nodes above it know.
    #[inline(always)]
    pub(super) fn note_page(&mut self, id: u32, was_known: bool) {
        if was_known && !self.pages.page(id).is_known() {
            self.forget_totals(self.pages.page(id).header().parent);
        }
    }

    /// Says that a node, and those above it, do not know any more what is below them. [`NONE`] is none.
    pub(super) fn forget_totals(&mut self, mut id: u32) {
        while id != NONE
            && let Some(parent) = self.nodes.forget_totals(id)
        {
            id = parent;
        }
    }

    /// Adds up what has changed below `prefix` since somebody asked, but looks at about `children` pages and nodes at most. Returns
    /// whether there is nothing left to be added up.
    pub fn add_up(&mut self, prefix: &[u8], children: usize) -> bool {
        match self.subtree(prefix) {
            Subtree::Node(id) if IsCounted::<L>::VALUE => self.add_up_node(id, children),
            _ => true,
        }
    }

    fn add_up_node(&mut self, id: u32, mut left: usize) -> bool {
        let mut stack = vec![(id, 0)];
        while let Some((id, index)) = stack.last_mut() {
            let children = self.nodes.get(*id).children();
            let unknown = children.iter().skip(*index).position(|child| match child.target() {
                Target::Node(below) => self.nodes.totals(below).is_none(),
                Target::Page(_) => false,
            });
            if let Some(ahead) = unknown {
                let Target::Node(below) = children[*index + ahead].target() else { unreachable!("it is a node") };
                *index += ahead + 1;
                stack.push((below, 0));
                continue;
            }
            if self.nodes.totals(*id).is_none() {
                if left == 0 {
                    return false;
                }
                left = left.saturating_sub(children.len());
                self.add_up_children(*id);
            }
            stack.pop();
        }
        true
    }

    /// Sums up what the children of a node have, of which those that are nodes are known.
    fn add_up_children(&mut self, id: u32) {
        let children = self.nodes.get(id).children();
        for child in children {
            if let Target::Page(page) = child.target() {
                self.pages.page(page).prefetch_totals();
            }
        }
        let mut sum = Totals::default();
        for child in children {
            match child.target() {
                Target::Page(page) => {
                    let page = self.pages.page_mut(page);
                    page.weigh();
                    page.set_known();
                    sum.add(&page.totals());
                }
                Target::Node(below) => sum.add(self.nodes.totals(below).expect("it is known")),
            }
        }
        self.nodes.set_totals(id, sum);
    }

    /// What all records come to whose key begins with `prefix`; nothing if nobody counts.
    pub fn totals(&mut self, prefix: &[u8]) -> Totals {
        if !IsCounted::<L>::VALUE {
            return Totals::default();
        }
        match self.subtree(prefix) {
            Subtree::Nothing => Totals::default(),
            Subtree::Node(id) => self.totals_of(Child::node(id)),
            Subtree::Page { id, depth } => {
                self.pages.page_mut(id).weigh();
                let mut totals = Totals::default();
                let records = self.pages.page(id).records();
                for record in records.filter(|record| record.suffix_starts_with(&prefix[depth..])) {
                    totals.add_record(&Page::share(&record));
                }
                totals
            }
        }
    }

    fn totals_of(&mut self, child: Child) -> Totals {
        match child.target() {
            Target::Page(id) => {
                let page = self.pages.page_mut(id);
                page.weigh();
                page.totals()
            }
            Target::Node(id) => {
                if self.nodes.totals(id).is_none() {
                    self.add_up_node(id, usize::MAX);
                }
                *self.nodes.totals(id).expect("it has just been added up")
            }
        }
    }

    /// Puts the keys into groups. What is heavy is told apart first. See [`add_up`](Self::add_up) for what makes that cheap.
    /// There are no groups if nobody counts.
    pub fn census(&mut self, cut: &Cut<'_>, measure: Measure, effort: Effort) -> Groups {
        let mut groups = Groups::default();
        let mut path = Vec::new();
        let (root, start) = match self.subtree(cut.prefix) {
            _ if !IsCounted::<L>::VALUE => return groups,
            Subtree::Nothing => return groups,
            Subtree::Page { id, depth } => {
                // A question about so little costs what it costs.
                self.divide(id, cut, &cut.prefix[depth..], &mut groups);
                return groups;
            }
            Subtree::Node(id) => (Child::node(id), 0),
        };
        let Effort { mut nodes, mut pages } = effort;
        let mut names: Vec<Box<[u8]>> = vec![cut.prefix.into()];
        let mut heap = BinaryHeap::from([(0, root, start)]);
        while let Some((_, child, name)) = heap.pop() {
            match child.target() {
                Target::Node(id) if nodes > 0 => {
                    nodes -= 1;
                    self.path(id, &mut path);
                    let (group, is_whole) = cut.group(&path);
                    if is_whole {
                        let totals = self.totals_of(child);
                        group_mut(&mut groups, group).totals.add(&totals);
                        continue;
                    }
                    let name = if *group == *names[name] { name } else { names.len() };
                    if name == names.len() {
                        names.push(group.into());
                    }
                    self.push_children(id, name, measure, &mut heap);
                }
                Target::Page(id) if pages > 0 => {
                    pages -= 1;
                    self.divide(id, cut, &[], &mut groups);
                }
                _ => {
                    let totals = self.totals_of(child);
                    let group = group_mut(&mut groups, &names[name]);
                    group.totals.add(&totals);
                    group.undivided.add(&totals);
                }
            }
        }
        groups
    }

    fn push_children(&mut self, id: u32, name: usize, measure: Measure, heap: &mut BinaryHeap<Candidate>) {
        // Known from now on, and so are all below.
        self.totals_of(Child::node(id));
        for &child in self.nodes.get(id).children() {
            let totals = match child.target() {
                Target::Page(page) => self.pages.page(page).totals(),
                Target::Node(below) => *self.nodes.totals(below).expect("it is known"),
            };
            heap.push((measure.of(totals.all()), child, name));
        }
    }

    /// Puts those records of a page into groups whose suffix begins with `rest`.
    fn divide(&mut self, id: u32, cut: &Cut<'_>, rest: &[u8], groups: &mut Groups) {
        self.pages.page_mut(id).weigh();
        let page = self.pages.page(id);
        let mut key = Vec::new();
        self.path(page.header().parent, &mut key);
        let depth = key.len();
        for record in page.records().filter(|record| record.suffix_starts_with(rest)) {
            key.truncate(depth);
            record.append_suffix(&mut key);
            let (name, _) = cut.group(&key);
            group_mut(groups, name).totals.add_record(&Page::share(&record));
        }
    }
}
