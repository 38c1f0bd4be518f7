//! Lists: packed nodes of a few kilobytes each, with room to grow at both ends of the list.
//!
//! A small list is packed in one byte string that lives in its record ([`ListRef::Packed`]); to change it, load it
//! into a [`List`] that is kept for that purpose ([`Collection::load`]) and store what comes out, packed again if
//! it still fits ([`Collection::pack`]) or as it is.

mod iter;
mod node;
mod nodes;

use super::collection::{Collection, Scratch};
use super::packed::{Element, Encoded};
use super::{InlineKind, Type, Value, ValueRef};
pub use iter::{Iter, RevIter};
use node::{Node, NodeView};
use nodes::{Nodes, Place};
use std::cell::RefCell;

/// Bytes in front of the entries of a packed list: the number of elements, little-endian.
const PACKED_HEAD: usize = 2;

/// Which elements share a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListLimits {
    /// Bytes of a node at most.
    bytes_max: usize,
    /// Elements of a node at most.
    elements_max: usize,
    /// Elements of at least this many bytes get a node of their own.
    large_min: usize,
}

impl ListLimits {
    /// The limits that `list-max-listpack-size` stands for: elements in a node if positive, else -1 to -5 for 4 to 64
    /// KiB. `large_min`, if given, is the size from which elements get a node of their own (`DEBUG
    /// QUICKLIST-PACKED-THRESHOLD`).
    pub fn new(list_max_listpack_size: i64, large_min: Option<usize>) -> Self {
        let (bytes_max, elements_max) = match list_max_listpack_size {
            0.. => (8192, list_max_listpack_size.max(1) as usize),
            _ => (4096 << (-1 - list_max_listpack_size.max(-5)), usize::MAX),
        };
        // What is not large must fit a node together with its tag and length.
        let fits = bytes_max - 16;
        ListLimits { bytes_max, elements_max, large_min: large_min.unwrap_or(fits).clamp(1, fits) }
    }

    #[inline]
    fn accepts(&self, node: &Node, entry: &Encoded<'_>) -> bool {
        !node.is_plain() && node.count() < self.elements_max && node.size() + entry.len() <= self.bytes_max
    }
}

impl Default for ListLimits {
    fn default() -> Self {
        ListLimits::new(-2, None)
    }
}

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The front: index 0.
    Front,
    /// The back: index -1.
    Back,
}

/// What `LPOS` looks for.
#[derive(Debug, Clone, Copy)]
pub struct PositionQuery {
    /// The match to begin with: 1 is the first, -1 the last (then the search goes backwards). Not zero.
    pub rank: i64,
    /// Matches to report; 0 for all.
    pub count: usize,
    /// Elements to look at; 0 for all.
    pub elements_max: usize,
}

/// A list of byte strings.
#[derive(Debug, Clone, Default)]
pub struct List {
    nodes: Nodes,
}

impl List {
    /// An empty list.
    pub fn new() -> Self {
        List::default()
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.nodes.elements()
    }

    /// Whether there are no elements. An empty list is not kept: its key is removed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Read access.
    #[inline]
    pub fn view(&self) -> ListRef<'_> {
        ListRef::Long(self)
    }

    /// Adds an element at an end.
    #[inline]
    pub fn push(&mut self, end: End, bytes: &[u8], limits: &ListLimits) {
        if bytes.len() >= limits.large_min {
            return self.push_node(end, Node::plain(bytes));
        }
        let entry = Encoded::new(Element::new(bytes));
        match end {
            End::Front if self.nodes.front().is_some_and(|node| limits.accepts(node, &entry)) => {
                self.nodes.update_front(|node| node.push_front(&entry, limits.bytes_max));
            }
            End::Back if self.nodes.back().is_some_and(|node| limits.accepts(node, &entry)) => {
                self.nodes.update_back(|node| node.push_back(&entry, limits.bytes_max));
            }
            _ => self.push_in_new_node(end, &entry, limits),
        }
    }

    #[cold]
    fn push_in_new_node(&mut self, end: End, entry: &Encoded<'_>, limits: &ListLimits) {
        let node = match end {
            End::Front => {
                self.nodes.update_front(Node::trim_full);
                let mut node = Node::with_room_in_front(self.new_node_capacity(self.nodes.front(), entry));
                node.push_front(entry, limits.bytes_max);
                node
            }
            End::Back => {
                self.nodes.update_back(Node::trim_full);
                let mut node = Node::with_room_behind(self.new_node_capacity(self.nodes.back(), entry));
                node.push_back(entry, limits.bytes_max);
                node
            }
        };
        self.push_node(end, node);
    }

    /// A node next to a full one will fill as much; but a short list shall not grow by a whole node at once.
    fn new_node_capacity(&self, neighbour: Option<&Node>, entry: &Encoded<'_>) -> usize {
        let full = neighbour.filter(|node| !node.is_plain()).map_or(0, Node::capacity);
        let full = if self.nodes.count() < 4 { full / 8 } else { full };
        full.max(entry.len())
    }

    fn push_node(&mut self, end: End, node: Node) {
        match end {
            End::Front => self.nodes.push_front(node),
            End::Back => self.nodes.push_back(node),
        }
    }

    /// Removes the element at an end after showing it to `use_element`.
    #[inline]
    pub fn pop<R>(&mut self, end: End, use_element: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        let (result, left) = match end {
            End::Front => self.nodes.update_front(|node| {
                let (element, after) = node.view().element(0);
                let result = use_element(element);
                node.drop_front(after);
                node.trim_sparse();
                (result, node.count())
            })?,
            End::Back => self.nodes.update_back(|node| {
                let view = node.view();
                let begin = view.previous(view.bytes.len());
                let result = use_element(view.element(begin).0);
                node.drop_back(begin);
                node.trim_sparse();
                (result, node.count())
            })?,
        };
        if left == 0 {
            match end {
                End::Front => self.nodes.pop_front(),
                End::Back => self.nodes.pop_back(),
            };
        }
        Some(result)
    }

    /// Removes `count` elements from an end, or all if there are fewer.
    pub fn remove_from(&mut self, end: End, mut count: usize) {
        while count > 0 {
            let node = match end {
                End::Front => self.nodes.front(),
                End::Back => self.nodes.back(),
            };
            let Some(held) = node.map(Node::count) else {
                return;
            };
            match end {
                End::Front if held <= count => drop(self.nodes.pop_front()),
                End::Back if held <= count => drop(self.nodes.pop_back()),
                End::Front => drop(self.nodes.update_front(|node| {
                    node.remove_front(count);
                    node.trim_sparse();
                })),
                End::Back => drop(self.nodes.update_back(|node| {
                    node.remove_back(count);
                    node.trim_sparse();
                })),
            }
            count = count.saturating_sub(held);
        }
    }

    /// Keeps the elements `start..end` and removes all others.
    pub fn keep(&mut self, start: usize, end: usize) {
        let len = self.len();
        let end = end.min(len);
        if start >= end {
            self.nodes.clear();
            return;
        }
        self.remove_from(End::Back, len - end);
        self.remove_from(End::Front, start);
    }

    /// Replaces the element `index`; says whether there is one.
    pub fn set(&mut self, index: usize, bytes: &[u8], limits: &ListLimits) -> bool {
        let Some((place, within)) = self.nodes.locate(index) else {
            return false;
        };
        let entry = (bytes.len() < limits.large_min).then(|| Encoded::new(Element::new(bytes)));
        let replaced = self.nodes.update(place, |node| {
            let view = node.view();
            let at = view.offset(within);
            let end = view.next(at);
            match &entry {
                Some(entry)
                    if !node.is_plain()
                        && (node.count() == 1 || node.size() - (end - at) + entry.len() <= limits.bytes_max) =>
                {
                    node.replace(at, end, entry, limits.bytes_max);
                    true
                }
                _ => false,
            }
        });
        if replaced != Some(true) {
            let next = self.remove_at(place, within);
            match next {
                Some((place, within)) => self.insert_at(place, within, bytes, limits),
                None => self.push(End::Back, bytes, limits),
            }
        }
        true
    }

    /// Removes one element without merging nodes. Gives the place and index of the element that followed it, or
    /// none if it was the last.
    fn remove_at(&mut self, place: Place, within: usize) -> Option<(Place, usize)> {
        let left = self.nodes.update(place, |node| {
            let view = node.view();
            let at = view.offset(within);
            let end = view.next(at);
            if node.count() == 1 {
                return 0;
            }
            node.remove(at, end);
            node.count()
        })?;
        if left == 0 {
            let (_, next) = self.nodes.remove(place);
            return self.nodes.get(next).map(|_| (next, 0));
        }
        if within < left {
            return Some((place, within));
        }
        let next = self.nodes.next(place);
        self.nodes.get(next).map(|_| (next, 0))
    }

    /// Inserts an element before the first element that equals `pivot`, or after it; says whether there is one.
    pub fn insert(&mut self, pivot: &[u8], after: bool, bytes: &[u8], limits: &ListLimits) -> bool {
        let pivot = Element::new(pivot);
        let Some(index) = self.view().iter(0, self.len()).position(|element| element == pivot) else {
            return false;
        };
        let index = index + usize::from(after);
        match self.nodes.locate(index) {
            Some((place, within)) => self.insert_at(place, within, bytes, limits),
            None => self.push(End::Back, bytes, limits),
        }
        true
    }

    /// Inserts an element before the element `within` of the node at `place`.
    fn insert_at(&mut self, place: Place, within: usize, bytes: &[u8], limits: &ListLimits) {
        if bytes.len() >= limits.large_min {
            let place = self.split_at(place, within);
            self.nodes.insert(place, Node::plain(bytes));
            return;
        }
        let entry = Encoded::new(Element::new(bytes));
        if self.accepts(place, &entry, limits) {
            self.nodes.update(place, |node| {
                let at = node.view().offset(within);
                node.insert(at, &entry, limits.bytes_max);
            });
            return;
        }
        if within == 0
            && let Some(previous) = self.nodes.previous(place).filter(|place| self.accepts(*place, &entry, limits))
        {
            self.nodes.update(previous, |node| node.push_back(&entry, limits.bytes_max));
            return;
        }
        let place = self.split_at(place, within);
        if self.accepts(place, &entry, limits) {
            self.nodes.update(place, |node| node.push_front(&entry, limits.bytes_max));
        } else {
            let mut node = Node::with_room_behind(entry.len());
            node.push_back(&entry, limits.bytes_max);
            self.nodes.insert(place, node);
        }
    }

    fn accepts(&self, place: Place, entry: &Encoded<'_>, limits: &ListLimits) -> bool {
        self.nodes.get(place).is_some_and(|node| limits.accepts(node, entry))
    }

    /// Splits the node at `place` before its element `within`, and gives the place of the second part.
    fn split_at(&mut self, place: Place, within: usize) -> Place {
        if within == 0 {
            return place;
        }
        let rest = self.nodes.update(place, |node| {
            let at = node.view().offset(within);
            let rest = node.split_off(within, at);
            node.trim_full();
            rest
        });
        match rest {
            Some(rest) => self.nodes.insert_after(place, rest),
            None => place,
        }
    }

    /// Removes elements that equal `bytes`: the first `count` of them, the last `-count` if negative, all if zero.
    /// Says how many.
    pub fn remove_equal(&mut self, bytes: &[u8], count: i64, limits: &ListLimits) -> usize {
        let element = Element::new(bytes);
        let mut entry = Vec::new();
        Encoded::new(element).append_to(&mut entry);
        let from_back = count < 0;
        let limit = match count {
            0 => usize::MAX,
            _ => usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX),
        };
        let mut removed = 0;
        let mut at = match from_back {
            false => Some(self.nodes.first_place()),
            true => Some(self.nodes.last_place()),
        };
        while removed < limit
            && let Some(place) = at
        {
            let result = self.nodes.update(place, |node| {
                let found = node.remove_equal(element, &entry, limit - removed, from_back);
                (found, node.count())
            });
            let Some((found, left)) = result else {
                break;
            };
            removed += found;
            // A node that has become sparse is merged with its neighbour on the side already searched.
            let previous = self.nodes.previous(place);
            let next = match previous {
                _ if left == 0 => Some(self.nodes.remove(place).1),
                Some(previous) if found > 0 && !from_back => self.merge_next(previous, limits),
                _ if found > 0 && from_back => self.merge_next(place, limits),
                _ => None,
            };
            at = match from_back {
                false => Some(next.unwrap_or_else(|| self.nodes.next(place))),
                // Nothing before `place` has moved.
                true => previous,
            };
        }
        removed
    }

    /// Merges the node at `place` with the next if they fit one node with room to spare, and gives the place of the
    /// node after both. Else gives unused memory of either back.
    fn merge_next(&mut self, place: Place, limits: &ListLimits) -> Option<Place> {
        let next = self.nodes.next(place);
        let (node, follower) = (self.nodes.get(place)?, self.nodes.get(next)?);
        if node.is_plain()
            || follower.is_plain()
            || node.size() + follower.size() > limits.bytes_max * 3 / 4
            || node.count() + follower.count() > limits.elements_max
        {
            self.nodes.update(place, Node::trim_sparse);
            self.nodes.update(next, Node::trim_sparse);
            return None;
        }
        let (follower, after) = self.nodes.remove(next);
        if let Some(follower) = follower {
            self.nodes.update(place, |node| node.append(&follower, limits.bytes_max));
        }
        Some(after)
    }

    /// Bytes allocated, estimated from at most `samples` nodes.
    pub fn memory(&self, samples: usize) -> usize {
        self.nodes.memory(samples)
    }

    /// Number of nodes: what freeing the list costs, and what `DEBUG OBJECT` tells.
    pub fn node_count(&self) -> usize {
        self.nodes.count()
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch<List>> = RefCell::default();
}

impl Collection for List {
    const TYPE: Type = Type::List;
    type View<'a> = ListRef<'a>;

    #[inline]
    fn view(value: ValueRef<'_>) -> Option<ListRef<'_>> {
        value.as_list()
    }

    #[inline]
    fn of(value: &mut Value) -> Option<&mut Self> {
        match value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    fn into_value(self) -> Value {
        Value::List(self)
    }

    #[inline]
    fn len(&self) -> usize {
        self.len()
    }

    fn clear(&mut self) {
        self.nodes.clear();
    }

    fn load(&mut self, kind: InlineKind, payload: &[u8]) {
        let mut node = self.nodes.clear();
        if kind != InlineKind::PackedList {
            return;
        }
        let view = packed_view(payload);
        if view.count > 0 {
            node.load(view.bytes, view.count);
            self.nodes.push_back(node);
        }
    }

    fn inline_size(&self) -> Option<usize> {
        let node = self.nodes.single().filter(|node| !node.is_plain() && node.count() <= usize::from(u16::MAX))?;
        Some(PACKED_HEAD + node.size())
    }

    fn pack(&self, out: &mut Vec<u8>, size_max: usize) -> Option<InlineKind> {
        let node = self.nodes.single().filter(|_| self.inline_size().is_some_and(|size| size <= size_max))?;
        out.clear();
        out.extend_from_slice(&(node.count() as u16).to_le_bytes());
        out.extend_from_slice(node.view().bytes);
        Some(InlineKind::PackedList)
    }

    #[inline]
    fn with_scratch<R>(work: impl FnOnce(&mut Scratch<Self>) -> R) -> R {
        SCRATCH.with_borrow_mut(work)
    }
}

impl<B: AsRef<[u8]>> FromIterator<B> for List {
    fn from_iter<I: IntoIterator<Item = B>>(elements: I) -> Self {
        let limits = ListLimits::default();
        let mut list = List::new();
        for element in elements {
            list.push(End::Back, element.as_ref(), &limits);
        }
        list
    }
}

/// A part of a list as it is kept.
#[derive(Debug, Clone, Copy)]
pub enum NodeRef<'a> {
    /// One large element.
    Plain(&'a [u8]),
    /// So many elements as entries of a packed sequence.
    Packed { entries: &'a [u8], count: usize },
}

impl<'a> From<NodeView<'a>> for NodeRef<'a> {
    fn from(view: NodeView<'a>) -> Self {
        match view {
            NodeView { bytes, plain: true, .. } => NodeRef::Plain(bytes),
            NodeView { bytes, count, .. } => NodeRef::Packed { entries: bytes, count },
        }
    }
}

/// Read access to a list, wherever it is kept.
#[derive(Debug, Clone, Copy)]
pub enum ListRef<'a> {
    /// A small list in one byte string.
    Packed(&'a [u8]),
    /// A list of nodes.
    Long(&'a List),
}

impl<'a> ListRef<'a> {
    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            ListRef::Packed(packed) => packed_view(packed).count,
            ListRef::Long(list) => list.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element `index`.
    pub fn get(&self, index: usize) -> Option<Element<'a>> {
        self.iter(index, 1).next()
    }

    /// The list in the parts in which it is kept, from front to back.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRef<'a>> {
        let (packed, nodes) = match *self {
            ListRef::Packed(packed) => (Some(packed_view(packed)), None),
            ListRef::Long(list) => (None, Some(&list.nodes)),
        };
        let views = packed.into_iter().chain(nodes.into_iter().flat_map(|nodes| nodes.iter().map(Node::view)));
        views.map(NodeRef::from)
    }

    /// The elements from `start` on towards the back, `count` at most.
    pub fn iter(&self, start: usize, count: usize) -> Iter<'a> {
        match self {
            ListRef::Packed(packed) => Iter::packed(packed_view(packed), start, count),
            ListRef::Long(list) => Iter::nodes(&list.nodes, start, count),
        }
    }

    /// The elements from `start` on towards the front, `count` at most. `start` is counted from the front too.
    pub fn iter_rev(&self, start: usize, count: usize) -> RevIter<'a> {
        match self {
            ListRef::Packed(packed) => RevIter::packed(packed_view(packed), start, count),
            ListRef::Long(list) => RevIter::nodes(&list.nodes, start, count),
        }
    }

    /// Calls `found` with the index of each element that equals `bytes` and that the query asks for, in the order of
    /// the search.
    pub fn positions(&self, bytes: &[u8], query: PositionQuery, mut found: impl FnMut(usize)) {
        let len = self.len();
        let element = Element::new(bytes);
        let looked_at = match query.elements_max {
            0 => len,
            most => most.min(len),
        };
        let most = match query.count {
            0 => usize::MAX,
            count => count,
        };
        let skip = usize::try_from(query.rank.unsigned_abs()).unwrap_or(usize::MAX).saturating_sub(1);
        let report = |index: usize| found(index);
        if query.rank > 0 {
            let equal = self.iter(0, looked_at).enumerate().filter(|(_, other)| *other == element);
            equal.map(|(index, _)| index).skip(skip).take(most).for_each(report);
        } else if len > 0 {
            let equal = self.iter_rev(len - 1, looked_at).enumerate().filter(|(_, other)| *other == element);
            equal.map(|(back, _)| len - 1 - back).skip(skip).take(most).for_each(report);
        }
    }
}

fn packed_view(packed: &[u8]) -> NodeView<'_> {
    let (count, bytes) = match packed.split_first_chunk::<PACKED_HEAD>() {
        Some((count, entries)) => (u16::from_le_bytes(*count), entries),
        None => (0, packed),
    };
    NodeView { bytes, count: usize::from(count), plain: false }
}

#[cfg(test)]
mod tests;
