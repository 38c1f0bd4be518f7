//! Walking a list, from any element towards either end.

use super::super::packed::{self, Element};
use super::node::NodeView;
use super::nodes::{Nodes, Place};

/// The elements of a list in order.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    walk: Walk<'a>,
}

/// The elements of a list in reverse order.
#[derive(Debug, Clone)]
pub struct RevIter<'a> {
    walk: Walk<'a>,
}

#[derive(Debug, Clone)]
struct Walk<'a> {
    view: NodeView<'a>,
    /// Forwards, where the next element begins; backwards, where it ends.
    at: usize,
    left: usize,
    /// Where to find further nodes; a packed list has none.
    nodes: Option<&'a Nodes>,
    place: Place,
}

impl<'a> Walk<'a> {
    fn empty() -> Self {
        Walk {
            view: NodeView { bytes: &[], count: 0, plain: false },
            at: 0,
            left: 0,
            nodes: None,
            place: Place::default(),
        }
    }

    /// Stands before the element `start` of a packed list.
    fn packed(view: NodeView<'a>, start: usize) -> Option<Self> {
        (start < view.count).then(|| Walk {
            view,
            at: view.offset(start),
            left: 0,
            nodes: None,
            place: Place::default(),
        })
    }

    /// Stands before the element `start`.
    fn nodes(nodes: &'a Nodes, start: usize) -> Option<Self> {
        let (place, within) = nodes.locate(start)?;
        let view = nodes.get(place)?.view();
        Some(Walk { view, at: view.offset(within), left: 0, nodes: Some(nodes), place })
    }

    fn forwards(self, start: usize, len: usize, count: usize) -> Iter<'a> {
        let left = count.min(len - start);
        Iter { walk: Walk { left, ..self } }
    }

    fn backwards(mut self, start: usize, count: usize) -> RevIter<'a> {
        self.at = self.view.next(self.at);
        self.left = count.min(start + 1);
        RevIter { walk: self }
    }

    #[cold]
    fn enter_next(&mut self) -> Option<()> {
        let nodes = self.nodes?;
        self.place = nodes.next(self.place);
        self.view = nodes.get(self.place)?.view();
        self.at = 0;
        Some(())
    }

    #[cold]
    fn enter_previous(&mut self) -> Option<()> {
        let nodes = self.nodes?;
        self.place = nodes.previous(self.place)?;
        self.view = nodes.get(self.place)?.view();
        self.at = self.view.bytes.len();
        Some(())
    }
}

impl<'a> Iter<'a> {
    pub(super) fn packed(view: NodeView<'a>, start: usize, count: usize) -> Self {
        match Walk::packed(view, start) {
            Some(walk) => walk.forwards(start, view.count, count),
            None => Iter { walk: Walk::empty() },
        }
    }

    pub(super) fn nodes(nodes: &'a Nodes, start: usize, count: usize) -> Self {
        match Walk::nodes(nodes, start) {
            Some(walk) => walk.forwards(start, nodes.elements(), count),
            None => Iter { walk: Walk::empty() },
        }
    }
}

impl<'a> Iter<'a> {
    /// Hands all elements to `take`, until it fails: faster than asking for one after the other, since it goes node by node.
    #[inline(always)]
    pub fn each<E>(self, mut take: impl FnMut(Element<'a>) -> Result<(), E>) -> Result<(), E> {
        let mut walk = self.walk;
        let mut left = walk.left;
        let mut at = walk.at;
        while left > 0 {
            let view = walk.view;
            if view.plain && at == 0 {
                take(view.element(0).0)?;
                left -= 1;
            } else if !view.plain {
                while left > 0 && at < view.bytes.len() {
                    let (element, after) = packed::decode(view.bytes, at);
                    take(element)?;
                    at = after;
                    left -= 1;
                }
            }
            if left > 0 && walk.enter_next().is_none() {
                break;
            }
            at = 0;
        }
        Ok(())
    }
}

impl<'a> RevIter<'a> {
    pub(super) fn packed(view: NodeView<'a>, start: usize, count: usize) -> Self {
        match Walk::packed(view, start) {
            Some(walk) => walk.backwards(start, count),
            None => RevIter { walk: Walk::empty() },
        }
    }

    pub(super) fn nodes(nodes: &'a Nodes, start: usize, count: usize) -> Self {
        match Walk::nodes(nodes, start) {
            Some(walk) => walk.backwards(start, count),
            None => RevIter { walk: Walk::empty() },
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        let walk = &mut self.walk;
        walk.left = walk.left.checked_sub(1)?;
        if walk.at == walk.view.bytes.len() {
            walk.enter_next()?;
        }
        let (element, after) = walk.view.element(walk.at);
        walk.at = after;
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.walk.left, Some(self.walk.left))
    }
}

impl<'a> Iterator for RevIter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        let walk = &mut self.walk;
        walk.left = walk.left.checked_sub(1)?;
        if walk.at == 0 {
            walk.enter_previous()?;
        }
        walk.at = walk.view.previous(walk.at);
        Some(walk.view.element(walk.at).0)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.walk.left, Some(self.walk.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}
impl ExactSizeIterator for RevIter<'_> {}
