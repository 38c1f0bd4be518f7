//! The nodes of a list in order: a deque of blocks of nodes, so that a node is found by element index, inserted or
//! removed in the middle in a time that grows with the square root of their number.

use std::collections::VecDeque;

use super::node::Node;
use crate::tree::Shared;

/// Nodes in a block at most. Searching the blocks of a list of ten million small elements costs about as much as
/// searching one such block.
const BLOCK_NODES_MAX: usize = 256;

#[derive(Debug, Clone, Default)]
struct Block {
    nodes: VecDeque<Node>,
    /// Elements in all nodes of the block.
    elements: usize,
}

/// Where a node is. Inserting or removing nodes invalidates it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    block: usize,
    node: usize,
}

/// The nodes of a list, and how many elements they hold. No node is ever left empty by the functions of this type,
/// but [`Nodes::update`] may empty one, which the caller then removes.
#[derive(Debug, Clone, Default)]
pub(super) struct Nodes {
    /// A copy has them in common with its original.
    blocks: VecDeque<Shared<Block>>,
    elements: usize,
}

impl Nodes {
    /// Elements in all nodes.
    #[inline]
    pub(super) fn elements(&self) -> usize {
        self.elements
    }

    /// Number of nodes.
    pub(super) fn count(&self) -> usize {
        self.blocks.iter().map(|block| block.nodes.len()).sum()
    }

    /// The only node, if there is just one.
    pub(super) fn single(&self) -> Option<&Node> {
        match self.blocks.front() {
            Some(block) if self.blocks.len() == 1 && block.nodes.len() == 1 => block.nodes.front(),
            _ => None,
        }
    }

    /// Removes all nodes but gives back the buffer of the first for further use.
    pub(super) fn clear(&mut self) -> Node {
        let node = self.pop_front();
        self.blocks.clear();
        self.elements = 0;
        node.unwrap_or_default()
    }

    #[inline]
    pub(super) fn front(&self) -> Option<&Node> {
        self.blocks.front()?.nodes.front()
    }

    #[inline]
    pub(super) fn back(&self) -> Option<&Node> {
        self.blocks.back()?.nodes.back()
    }

    /// Changes the first node. Its element count may change.
    #[inline]
    pub(super) fn update_front<R>(&mut self, change: impl FnOnce(&mut Node) -> R) -> Option<R> {
        update(self.blocks.front_mut()?.edit(), 0, &mut self.elements, change)
    }

    /// Changes the last node. Its element count may change.
    #[inline]
    pub(super) fn update_back<R>(&mut self, change: impl FnOnce(&mut Node) -> R) -> Option<R> {
        let block = self.blocks.back_mut()?.edit();
        let last = block.nodes.len().checked_sub(1)?;
        update(block, last, &mut self.elements, change)
    }

    /// Changes the node at `place`. Its element count may change.
    pub(super) fn update<R>(&mut self, place: Place, change: impl FnOnce(&mut Node) -> R) -> Option<R> {
        update(self.blocks.get_mut(place.block)?.edit(), place.node, &mut self.elements, change)
    }

    pub(super) fn get(&self, place: Place) -> Option<&Node> {
        self.blocks.get(place.block)?.nodes.get(place.node)
    }

    pub(super) fn first_place(&self) -> Place {
        Place::default()
    }

    pub(super) fn last_place(&self) -> Place {
        let block = self.blocks.len().saturating_sub(1);
        let nodes = self.blocks.back().map_or(0, |block| block.nodes.len());
        Place { block, node: nodes.saturating_sub(1) }
    }

    /// The place after `place`, whether or not there is a node.
    #[inline]
    pub(super) fn next(&self, place: Place) -> Place {
        let nodes = self.blocks.get(place.block).map_or(0, |block| block.nodes.len());
        if place.node + 1 < nodes {
            Place { node: place.node + 1, ..place }
        } else {
            Place { block: place.block + 1, node: 0 }
        }
    }

    #[inline]
    pub(super) fn previous(&self, place: Place) -> Option<Place> {
        if let Some(node) = place.node.checked_sub(1) {
            return Some(Place { node, ..place });
        }
        let block = place.block.checked_sub(1)?;
        let node = self.blocks.get(block)?.nodes.len().checked_sub(1)?;
        Some(Place { block, node })
    }

    /// The node that holds the element `index`, and the element's index within it. Searched from the nearer end.
    pub(super) fn locate(&self, index: usize) -> Option<(Place, usize)> {
        if index >= self.elements {
            return None;
        }
        let (block, within) = if index < self.elements / 2 {
            find_from_front(self.blocks.iter().map(|block| block.elements), index)?
        } else {
            find_from_back(self.blocks.iter().map(|block| block.elements), self.elements - 1 - index)?
        };
        let found = self.blocks.get(block)?;
        let nodes = found.nodes.iter().map(Node::count);
        let (node, within) = if within < found.elements / 2 {
            find_from_front(nodes, within)?
        } else {
            find_from_back(nodes, found.elements - 1 - within)?
        };
        Some((Place { block, node }, within))
    }

    #[inline]
    pub(super) fn push_front(&mut self, node: Node) {
        self.elements += node.count();
        match self.blocks.front_mut() {
            Some(block) if block.nodes.len() < BLOCK_NODES_MAX => {
                let block = block.edit();
                block.elements += node.count();
                block.nodes.push_front(node);
            }
            _ => self.blocks.push_front(Shared::new(Block::of(node))),
        }
    }

    #[inline]
    pub(super) fn push_back(&mut self, node: Node) {
        self.elements += node.count();
        match self.blocks.back_mut() {
            Some(block) if block.nodes.len() < BLOCK_NODES_MAX => {
                let block = block.edit();
                block.elements += node.count();
                block.nodes.push_back(node);
            }
            _ => self.blocks.push_back(Shared::new(Block::of(node))),
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<Node> {
        let block = self.blocks.front_mut()?.edit();
        let node = block.nodes.pop_front()?;
        block.elements -= node.count();
        self.elements -= node.count();
        if block.nodes.is_empty() {
            self.blocks.pop_front();
        }
        Some(node)
    }

    pub(super) fn pop_back(&mut self) -> Option<Node> {
        let block = self.blocks.back_mut()?.edit();
        let node = block.nodes.pop_back()?;
        block.elements -= node.count();
        self.elements -= node.count();
        if block.nodes.is_empty() {
            self.blocks.pop_back();
        }
        Some(node)
    }

    /// Inserts a node before the one at `place`, and gives the new node's place.
    pub(super) fn insert(&mut self, mut place: Place, node: Node) -> Place {
        if place.block == self.blocks.len() {
            self.push_back(node);
            return self.last_place();
        }
        let block = self.blocks[place.block].edit();
        if block.nodes.len() == BLOCK_NODES_MAX {
            let rest = block.nodes.split_off(BLOCK_NODES_MAX / 2);
            let elements = rest.iter().map(Node::count).sum();
            block.elements -= elements;
            self.blocks.insert(place.block + 1, Shared::new(Block { nodes: rest, elements }));
            if place.node > BLOCK_NODES_MAX / 2 {
                place = Place { block: place.block + 1, node: place.node - BLOCK_NODES_MAX / 2 };
            }
        }
        let block = self.blocks[place.block].edit();
        self.elements += node.count();
        block.elements += node.count();
        block.nodes.insert(place.node, node);
        place
    }

    /// Inserts a node after the one at `place`, and gives the new node's place.
    pub(super) fn insert_after(&mut self, place: Place, node: Node) -> Place {
        let behind = Place { node: place.node + 1, ..place };
        self.insert(behind, node)
    }

    /// Removes the node at `place`; also gives the place of the node that followed it.
    pub(super) fn remove(&mut self, place: Place) -> (Option<Node>, Place) {
        let next_block = Place { block: place.block + 1, node: 0 };
        let Some(block) = self.blocks.get_mut(place.block) else {
            return (None, place);
        };
        let block = block.edit();
        let node = block.nodes.remove(place.node);
        if let Some(node) = &node {
            block.elements -= node.count();
            self.elements -= node.count();
        }
        let left = block.nodes.len();
        if left == 0 {
            self.blocks.remove(place.block);
            return (node, Place { node: 0, ..place });
        }
        // A sparse block takes in the next one, so that blocks stay few.
        let next_len = self.blocks.get(next_block.block).map(|next| next.nodes.len());
        if next_len.is_some_and(|next| left + next <= BLOCK_NODES_MAX / 2)
            && let Some(next) = self.blocks.remove(next_block.block)
        {
            let (mut next, block) = (next.into_inner(), self.blocks[place.block].edit());
            block.nodes.append(&mut next.nodes);
            block.elements += next.elements;
            return (node, place);
        }
        (node, if place.node < left { place } else { next_block })
    }

    /// Bytes allocated for nodes and elements, the nodes' own estimated from at most `samples` of them.
    pub(super) fn memory(&self, samples: usize) -> usize {
        let sampled =
            self.iter().take(samples).fold((0, 0), |(nodes, bytes), node| (nodes + 1, bytes + node.capacity()));
        let count = self.count();
        let (nodes, bytes) = sampled;
        let buffers = if nodes == 0 { 0 } else { (bytes as u128 * count as u128 / nodes as u128) as usize };
        let slots: usize = self.blocks.iter().map(|block| block.nodes.capacity()).sum();
        let blocks = self.blocks.len() * (size_of::<Block>() + Shared::<Block>::OVERHEAD);
        buffers + slots * size_of::<Node>() + blocks + self.blocks.capacity() * size_of::<Shared<Block>>()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.blocks.iter().flat_map(|block| &block.nodes)
    }
}

impl Block {
    fn of(node: Node) -> Self {
        let mut nodes = VecDeque::with_capacity(1);
        let elements = node.count();
        nodes.push_back(node);
        Block { nodes, elements }
    }
}

#[inline]
fn update<R>(block: &mut Block, index: usize, elements: &mut usize, change: impl FnOnce(&mut Node) -> R) -> Option<R> {
    let node = block.nodes.get_mut(index)?;
    let before = node.count();
    let result = change(node);
    let after = node.count();
    block.elements = block.elements - before + after;
    *elements = *elements - before + after;
    Some(result)
}

/// The part that holds the item `index` of all parts' items, and the item's index within it.
fn find_from_front(counts: impl Iterator<Item = usize>, mut index: usize) -> Option<(usize, usize)> {
    for (part, count) in counts.enumerate() {
        if index < count {
            return Some((part, index));
        }
        index -= count;
    }
    None
}

/// The same with `index` counted from the last item.
fn find_from_back(
    counts: impl DoubleEndedIterator<Item = usize> + ExactSizeIterator,
    mut index: usize,
) -> Option<(usize, usize)> {
    for (part, count) in counts.enumerate().rev() {
        if index < count {
            return Some((part, count - 1 - index));
        }
        index -= count;
    }
    None
}
