//! The order of a large sorted set: a B+ tree of its entries by score and member, in which every node knows how many
//! entries are below each of its children. So an entry's rank, the entry of a rank, and the ranks between two scores or
//! members are found in logarithmic time.
//!
//! Entries are in [`Leaf`]s of about a kilobyte. An inner node separates two children by the score of the second's first
//! entry, and, only where the first child's last entry has the same score, by as much of the member as tells them apart.

use super::leaf::{self, Leaf};
use std::ops::Range;

/// Children of an inner node at most.
const CHILDREN_MAX: usize = 64;
/// Children of an inner node below which it is joined to a neighbour, if that has room.
const CHILDREN_MIN: usize = CHILDREN_MAX / 4;
/// Children of an inner node made of two at most.
const JOINED_MAX: usize = CHILDREN_MAX * 3 / 4;

/// A place between entries.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// Before all entries with this score.
    BeforeScore(f64),
    /// Behind all entries with this score.
    BehindScore(f64),
    /// Before the entry with this score and member, be it there or not.
    Entry(f64, &'a [u8]),
    /// Before this member, among members with equal scores.
    BeforeMember(&'a [u8]),
    /// Behind this member, among members with equal scores.
    BehindMember(&'a [u8]),
}

impl Place<'_> {
    /// Whether the place is behind an entry.
    #[inline(always)]
    pub fn is_after<'m>(&self, score: f64, member: impl FnOnce() -> &'m [u8]) -> bool {
        match *self {
            Place::BeforeScore(bound) => score < bound,
            Place::BehindScore(bound) => score <= bound,
            Place::Entry(own, name) => score < own || score == own && member() < name,
            Place::BeforeMember(name) => member() < name,
            Place::BehindMember(name) => member() <= name,
        }
    }

    /// Whether the place belongs to the child with this separator, or to one behind it.
    #[inline(always)]
    fn is_beyond<'m>(&self, score: f64, member: impl FnOnce() -> &'m [u8]) -> bool {
        match *self {
            // A separator can be the very entry, which is then behind it.
            Place::Entry(own, name) => score < own || score == own && member() <= name,
            _ => self.is_after(score, member),
        }
    }
}

/// The first of some entries.
#[derive(Debug, Clone, Copy)]
pub(super) enum First<'a> {
    Rank(usize),
    /// The entry with this score and member, which is there.
    Entry(f64, &'a [u8]),
}

/// All entries of a sorted set.
#[derive(Debug, Clone)]
pub(super) struct Order {
    root: Node,
}

#[derive(Debug, Clone)]
enum Node {
    Leaf(Leaf),
    Inner(Box<Inner>),
}

/// Children, all of them leaves or all of them inner nodes. No entry of a child comes before its separator, and all of the
/// child before do; the first child's separator says nothing.
#[derive(Debug, Clone, Default)]
struct Inner {
    scores: Vec<f64>,
    members: Vec<Box<[u8]>>,
    counts: Vec<usize>,
    children: Vec<Node>,
}

/// The upper part of a node that was split, and its separator.
struct Upper {
    score: f64,
    member: Box<[u8]>,
    node: Node,
}

impl Order {
    pub fn new() -> Self {
        Order { root: Node::Leaf(Leaf::empty()) }
    }

    /// Number of entries before a place.
    #[inline]
    pub fn rank(&self, place: &Place<'_>) -> usize {
        let mut rank = 0;
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(leaf) => return rank + leaf.search(place),
                Node::Inner(inner) => {
                    let index = inner.search(place);
                    rank += inner.counts[..index].iter().sum::<usize>();
                    node = &inner.children[index];
                }
            }
        }
    }

    /// Adds an entry that is not there.
    pub fn insert(&mut self, score: f64, member: &[u8]) {
        if let Some(upper) = self.root.insert(score, member, (true, true)) {
            let mut inner = Inner::default();
            inner.push(0.0, Box::default(), std::mem::replace(&mut self.root, Node::Leaf(Leaf::empty())));
            inner.push(upper.score, upper.member, upper.node);
            self.root = Node::Inner(Box::new(inner));
        }
    }

    /// Removes entries from `first` on that are in one leaf, `most` at most, after showing them. Returns how many.
    pub fn remove(&mut self, first: First<'_>, most: usize, mut show: impl FnMut(f64, &[u8])) -> usize {
        let removed = self.root.remove(first, most, &mut show);
        while let Node::Inner(inner) = &mut self.root
            && inner.children.len() <= 1
        {
            self.root = inner.children.pop().unwrap_or_else(|| Node::Leaf(Leaf::empty()));
        }
        removed
    }

    /// Shows entries by rank, from the last to the first if `reversed`.
    pub fn visit<'a, E>(
        &'a self,
        ranks: Range<usize>,
        reversed: bool,
        each: &mut impl FnMut(f64, &'a [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.root.visit(ranks, reversed, each)
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.root.len() == 0
    }

    /// Number of leaves.
    pub fn leaves(&self) -> usize {
        self.root.leaves()
    }

    /// Bytes allocated, those of leaves estimated from at most `samples` of them.
    pub fn memory(&self, samples: usize) -> usize {
        let (mut seen, mut bytes) = (0, 0);
        self.root.sample(samples.max(1), &mut |leaf| {
            seen += 1;
            bytes += leaf.capacity();
        });
        let leaves = bytes as u128 * self.leaves() as u128 / (seen as u128).max(1);
        leaves as usize + self.root.inner_bytes()
    }
}

impl Node {
    fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len(),
            Node::Inner(inner) => inner.counts.iter().sum(),
        }
    }

    /// Adds an entry. `edges` says whether the node is the first and whether it is the last of all. Returns the upper part if
    /// it had to be split.
    fn insert(&mut self, score: f64, member: &[u8], edges: (bool, bool)) -> Option<Upper> {
        let place = Place::Entry(score, member);
        match self {
            Node::Leaf(leaf) => {
                let at = leaf.search(&place);
                if leaf.has_room(score, member) {
                    leaf.insert(at, score, member);
                    return None;
                }
                let at_edge = if at == 0 { edges.0 } else { edges.1 };
                let upper = leaf.insert_and_split(at, score, member, at_edge);
                let score = upper.score(0);
                let member = separator(leaf, &upper);
                Some(Upper { score, member, node: Node::Leaf(upper) })
            }
            Node::Inner(inner) => {
                let index = inner.search(&place);
                let is_last = index + 1 == inner.children.len();
                let upper = inner.children[index].insert(score, member, (edges.0 && index == 0, edges.1 && is_last));
                inner.counts[index] += 1;
                let upper = upper?;
                inner.counts[index] -= upper.node.len();
                inner.insert(index + 1, upper);
                if inner.children.len() <= CHILDREN_MAX {
                    return None;
                }
                let at = if edges.1 && is_last { CHILDREN_MAX } else { inner.children.len() / 2 };
                Some(inner.split_off(at))
            }
        }
    }

    fn remove(&mut self, first: First<'_>, most: usize, show: &mut impl FnMut(f64, &[u8])) -> usize {
        match self {
            Node::Leaf(leaf) => {
                let begin = match first {
                    First::Rank(rank) => rank,
                    First::Entry(score, member) => leaf.search(&Place::Entry(score, member)),
                };
                let end = leaf.len().min(begin.saturating_add(most));
                for (score, member) in leaf.entries(begin..end) {
                    show(score, member);
                }
                leaf.remove(begin..end);
                end - begin
            }
            Node::Inner(inner) => {
                let (index, first) = match first {
                    First::Rank(rank) => inner.select(rank),
                    First::Entry(score, member) => (inner.search(&Place::Entry(score, member)), first),
                };
                let removed = inner.children[index].remove(first, most, show);
                inner.counts[index] -= removed;
                if inner.counts[index] == 0 {
                    inner.take(index);
                } else if inner.children[index].is_sparse() && !inner.join(index) && index > 0 {
                    inner.join(index - 1);
                }
                removed
            }
        }
    }

    fn is_sparse(&self) -> bool {
        match self {
            Node::Leaf(leaf) => leaf.size() < leaf::SIZE_MIN,
            Node::Inner(inner) => inner.children.len() < CHILDREN_MIN,
        }
    }

    fn visit<'a, E>(
        &'a self,
        ranks: Range<usize>,
        reversed: bool,
        each: &mut impl FnMut(f64, &'a [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let inner = match self {
            Node::Leaf(leaf) if reversed => {
                return leaf.entries_reversed(ranks).try_for_each(|(score, member)| each(score, member));
            }
            Node::Leaf(leaf) => return leaf.entries(ranks).try_for_each(|(score, member)| each(score, member)),
            Node::Inner(inner) => inner,
        };
        let mut begin = 0;
        let mut parts = inner.counts.iter().zip(&inner.children).filter_map(|(&count, child)| {
            let (from, to) = (ranks.start.max(begin) - begin, ranks.end.clamp(begin, begin + count) - begin);
            begin += count;
            (from < to).then_some((child, from..to))
        });
        if !reversed {
            return parts.try_for_each(|(child, ranks)| child.visit(ranks, reversed, each));
        }
        let parts: Vec<_> = parts.collect();
        parts.into_iter().rev().try_for_each(|(child, ranks)| child.visit(ranks, reversed, each))
    }

    fn leaves(&self) -> usize {
        match self {
            Node::Leaf(_) => 1,
            Node::Inner(inner) if matches!(inner.children.first(), Some(Node::Leaf(_))) => inner.children.len(),
            Node::Inner(inner) => inner.children.iter().map(Node::leaves).sum(),
        }
    }

    /// Shows up to `most` leaves and returns how many more it would show.
    fn sample(&self, most: usize, show: &mut impl FnMut(&Leaf)) -> usize {
        match self {
            _ if most == 0 => 0,
            Node::Leaf(leaf) => {
                show(leaf);
                most - 1
            }
            Node::Inner(inner) => inner.children.iter().fold(most, |most, child| child.sample(most, show)),
        }
    }

    fn inner_bytes(&self) -> usize {
        let Node::Inner(inner) = self else { return 0 };
        let columns = inner.scores.capacity() * size_of::<f64>()
            + inner.members.capacity() * size_of::<Box<[u8]>>()
            + inner.counts.capacity() * size_of::<usize>()
            + inner.children.capacity() * size_of::<Node>();
        let members: usize = inner.members.iter().map(|member| member.len()).sum();
        let below: usize = match inner.children.first() {
            Some(Node::Inner(_)) => inner.children.iter().map(Node::inner_bytes).sum(),
            _ => 0,
        };
        size_of::<Inner>() + columns + members + below
    }
}

/// The shortest member that, with the score of the upper leaf's first entry, comes behind the lower leaf and not behind
/// that entry.
fn separator(lower: &Leaf, upper: &Leaf) -> Box<[u8]> {
    let last = lower.len() - 1;
    if lower.score(last) < upper.score(0) {
        return Box::default();
    }
    let (below, above) = (lower.member(last), upper.member(0));
    let common = below.iter().zip(above).take_while(|(below, above)| below == above).count();
    above[..common + 1].into()
}

impl Inner {
    /// The child in which a place is.
    #[inline]
    fn search(&self, place: &Place<'_>) -> usize {
        let (mut low, mut high) = (1, self.children.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if place.is_beyond(self.scores[middle], || &self.members[middle]) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low - 1
    }

    /// The child in which the entry of a rank is, and its rank there.
    fn select(&self, mut rank: usize) -> (usize, First<'static>) {
        let last = self.children.len() - 1;
        for (index, &count) in self.counts[..last].iter().enumerate() {
            if rank < count {
                return (index, First::Rank(rank));
            }
            rank -= count;
        }
        (last, First::Rank(rank))
    }

    fn push(&mut self, score: f64, member: Box<[u8]>, node: Node) {
        self.insert(self.children.len(), Upper { score, member, node });
    }

    fn insert(&mut self, index: usize, upper: Upper) {
        self.scores.insert(index, upper.score);
        self.members.insert(index, upper.member);
        self.counts.insert(index, upper.node.len());
        self.children.insert(index, upper.node);
    }

    /// Takes a child out, and its separator.
    fn take(&mut self, index: usize) -> Upper {
        self.counts.remove(index);
        Upper {
            score: self.scores.remove(index),
            member: self.members.remove(index),
            node: self.children.remove(index),
        }
    }

    fn split_off(&mut self, at: usize) -> Upper {
        let mut upper = Inner {
            scores: self.scores.split_off(at),
            members: self.members.split_off(at),
            counts: self.counts.split_off(at),
            children: self.children.split_off(at),
        };
        let (score, member) = (upper.scores[0], std::mem::take(&mut upper.members[0]));
        Upper { score, member, node: Node::Inner(Box::new(upper)) }
    }

    /// Joins a child and the one behind it, if there is one and both fit one node.
    fn join(&mut self, index: usize) -> bool {
        let Some([child, next]) = self.children.get_mut(index..index + 2) else { return false };
        match (child, next) {
            (Node::Leaf(leaf), Node::Leaf(next)) => {
                if !leaf.join(next) {
                    return false;
                }
                self.take(index + 1);
            }
            (Node::Inner(inner), Node::Inner(next)) => {
                if inner.children.len() + next.children.len() > JOINED_MAX {
                    return false;
                }
                let Upper { score, member, node } = self.take(index + 1);
                if let (Node::Inner(inner), Node::Inner(mut next)) = (&mut self.children[index], node) {
                    (next.scores[0], next.members[0]) = (score, member);
                    inner.scores.append(&mut next.scores);
                    inner.members.append(&mut next.members);
                    inner.counts.append(&mut next.counts);
                    inner.children.append(&mut next.children);
                }
            }
            _ => unreachable!("children are of one kind"),
        }
        self.counts[index] = self.children[index].len();
        true
    }
}

#[cfg(test)]
impl Order {
    /// Checks what must hold, and returns all entries.
    pub fn verify(&self) -> Vec<(f64, Vec<u8>)> {
        let mut entries = Vec::new();
        self.root.verify(&mut entries);
        assert!(entries.is_sorted_by(|a, b| a < b), "entries are in order");
        entries
    }
}

#[cfg(test)]
impl Node {
    /// Returns the node's height.
    fn verify(&self, entries: &mut Vec<(f64, Vec<u8>)>) -> usize {
        let begin = entries.len();
        match self {
            Node::Leaf(leaf) => {
                entries.extend(leaf.entries(0..leaf.len()).map(|(score, member)| (score, member.to_vec())));
                0
            }
            Node::Inner(inner) => {
                let len = inner.children.len();
                assert!((1..=CHILDREN_MAX).contains(&len));
                assert!([inner.scores.len(), inner.members.len(), inner.counts.len()] == [len; 3]);
                let mut heights = Vec::new();
                for index in 0..len {
                    let first = entries.len();
                    heights.push(inner.children[index].verify(entries));
                    assert_eq!(entries.len() - first, inner.counts[index]);
                    assert!(inner.counts[index] > 0);
                    if index > 0 {
                        let separator = (inner.scores[index], inner.members[index].to_vec());
                        assert!(entries[begin..first].iter().all(|entry| *entry < separator));
                        assert!(entries[first] >= separator);
                    }
                }
                assert!(heights.iter().all(|height| *height == heights[0]));
                heights[0] + 1
            }
        }
    }
}
