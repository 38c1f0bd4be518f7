//! Inner nodes of the tree, and the slab that they live in.
//!
//! A node stands for a prefix, its *full path*, and sends the *symbols* that may follow it to children. Symbol 0 is "the key ends
//! here"; symbol b + 1 is byte b. A child that is a node has one byte for itself. A child that is a page has a range: from its own
//! first symbol up to the next child's. The page that comes first, if the first child is one, has the end of the key too.
//! So three kinds of symbol have no child: the end, when the first child is a node; bytes below a first child that is a node; bytes
//! between a node and the next child.

use smallvec::SmallVec;

use super::page::{NONE, prefetch};
use super::tally::Totals;

/// Nodes per chunk of the slab.
const CHUNK: usize = 16;

/// What is below a branch: a page or an inner node, by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Child(u32);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    Page(u32),
    Node(u32),
}

const NODE_BIT: u32 = 1 << 31;

impl Child {
    pub fn page(id: u32) -> Child {
        Child(id)
    }

    pub fn node(id: u32) -> Child {
        Child(id | NODE_BIT)
    }

    #[inline(always)]
    pub fn target(self) -> Target {
        if self.0 & NODE_BIT == 0 { Target::Page(self.0) } else { Target::Node(self.0 & !NODE_BIT) }
    }

    pub fn is_page(self) -> bool {
        matches!(self.target(), Target::Page(_))
    }
}

/// An inner node: two cache lines, which processors fetch together, as long as it has no more than 16 children and a path of no more than 16 bytes.
#[repr(C, align(128))]
#[derive(Clone)]
pub(super) struct Node {
    /// The node above, or [`NONE`].
    pub parent: u32,
    /// The byte that leads here from the node above; no meaning without one.
    pub byte: u8,
    /// Its [`Nodes::totals`] are the sums of its children's, all of which are known as well.
    is_known: bool,
    /// What follows in all keys below, between `byte` and the symbol that the children part by.
    pub path: SmallVec<[u8; 16]>,
    lows: Lows,
    children: SmallVec<[Child; NEAR]>,
}

/// Children whose first bytes are compared at once.
const NEAR: usize = 16;

/// The first byte of each child, ascending. The first two may both be 0: then the first child is a page for the key's end alone.
#[derive(Clone)]
struct Lows {
    /// Those of the first children. Behind the last one stands 255.
    near: [u8; NEAR],
    /// Those of the other children.
    #[expect(clippy::box_collection, reason = "a node has no room for more than an address")]
    far: Option<Box<Vec<u8>>>,
}

impl Lows {
    fn new() -> Self {
        Lows { near: [u8::MAX; NEAR], far: None }
    }

    fn get(&self, index: usize) -> u8 {
        if index < NEAR { self.near[index] } else { self.far()[index - NEAR] }
    }

    fn set(&mut self, index: usize, low: u8) {
        match &mut self.far {
            Some(far) if index >= NEAR => far[index - NEAR] = low,
            _ => self.near[index] = low,
        }
    }

    fn far(&self) -> &[u8] {
        self.far.as_ref().map_or(&[], |far| far)
    }

    /// Puts a byte in front of the one at `index`; there are `len`.
    fn insert(&mut self, index: usize, low: u8, len: usize) {
        if len < NEAR {
            self.near.copy_within(index..len, index + 1);
            self.near[index] = low;
            return;
        }
        let far = self.far.get_or_insert_default();
        if index >= NEAR {
            far.insert(index - NEAR, low);
        } else {
            far.insert(0, self.near[NEAR - 1]);
            self.near.copy_within(index..NEAR - 1, index + 1);
            self.near[index] = low;
        }
    }

    fn remove(&mut self, index: usize) {
        if index >= NEAR {
            self.far.as_mut().expect("more than the first children").remove(index - NEAR);
        } else {
            self.near.copy_within(index + 1.., index);
            let next = self.far.as_mut().map(|far| far.remove(0));
            self.near[NEAR - 1] = next.unwrap_or(u8::MAX);
        }
        if self.far().is_empty() {
            self.far = None;
        } else if let Some(far) = &mut self.far
            && far.len() * 2 <= far.capacity()
        {
            far.shrink_to_fit();
        }
    }

    /// How many of `len` bytes are not above `byte`.
    #[inline(always)]
    fn count_from(&self, byte: u8, len: usize) -> usize {
        let near = count_not_above(&self.near, byte);
        if near < NEAR || len <= NEAR { near.min(len) } else { near + self.far().partition_point(|&low| low <= byte) }
    }

    /// Bytes that stand elsewhere.
    fn far_bytes(&self) -> usize {
        self.far.as_ref().map_or(0, |far| size_of::<Vec<u8>>() + far.capacity())
    }
}

impl Node {
    pub fn new(parent: u32, byte: u8, path: &[u8]) -> Self {
        Node {
            parent,
            byte,
            is_known: false,
            path: SmallVec::from_slice(path),
            lows: Lows::new(),
            children: SmallVec::new(),
        }
    }

    fn vacant() -> Self {
        Node::new(NONE, 0, &[])
    }

    pub fn children(&self) -> &[Child] {
        &self.children
    }

    pub fn low(&self, index: usize) -> u8 {
        self.lows.get(index)
    }

    /// The number of children whose first byte is not above `byte`: the last of them is the one that may have `byte`.
    #[inline(always)]
    fn count_from(&self, byte: u8) -> usize {
        self.lows.count_from(byte, self.children.len())
    }

    /// The child for keys that go on with `byte`.
    #[inline(always)]
    pub fn child(&self, byte: u8) -> Option<Child> {
        let index = self.count_from(byte).checked_sub(1)?;
        let child = self.children[index];
        (child.is_page() || self.lows.get(index) == byte).then_some(child)
    }

    /// The child for the key that ends here.
    #[inline(always)]
    pub fn end(&self) -> Option<Child> {
        self.children.first().copied().filter(|child| child.is_page())
    }

    pub fn index_of(&self, child: Child) -> usize {
        self.children.iter().position(|&other| other == child).expect("a child of this node")
    }

    pub fn insert(&mut self, index: usize, low: u8, child: Child) {
        self.lows.insert(index, low, self.children.len());
        self.children.insert(index, child);
        self.widen_first();
    }

    /// Takes a child out. A page beside it may have its symbols from now on.
    pub fn remove(&mut self, index: usize) {
        self.lows.remove(index);
        self.children.remove(index);
        if self.children.len() * 2 <= NEAR && self.children.spilled() {
            self.children.shrink_to_fit();
        }
        self.widen_first();
    }

    pub fn replace(&mut self, index: usize, child: Child) {
        self.children[index] = child;
        self.widen_first();
    }

    /// Puts the node `child` in the place of a page, of whose range it only needs one byte.
    pub fn narrow(&mut self, index: usize, byte: u8, child: Child) {
        self.lows.set(index, byte);
        self.children[index] = child;
    }

    /// Has the next child take in a symbol that has none, if that child is a page. If not, says where a new child belongs.
    pub fn widen(&mut self, symbol: usize) -> Result<(), usize> {
        let low = low_of(symbol);
        let index = if symbol == 0 { 0 } else { self.count_from(low) };
        match self.children.get(index) {
            Some(child) if child.is_page() => {
                self.lows.set(index, low);
                Ok(())
            }
            _ => Err(index),
        }
    }

    /// A page that is the first child has all symbols below it.
    fn widen_first(&mut self) {
        if self.end().is_some() {
            self.lows.set(0, 0);
        }
    }

    /// Bytes that the node takes beside its place in the slab.
    fn spilled_bytes(&self) -> usize {
        let spilled = |spilled: bool, bytes: usize| if spilled { bytes } else { 0 };
        spilled(self.path.spilled(), self.path.capacity())
            + self.lows.far_bytes()
            + spilled(self.children.spilled(), self.children.capacity() * size_of::<Child>())
    }

    /// Checks what must hold within the node.
    pub fn verify(&self) {
        let len = self.children.len();
        assert!(len > 0 && self.lows.far().len() == len.saturating_sub(NEAR));
        assert!(self.lows.near[len.min(NEAR)..].iter().all(|&low| low == u8::MAX));
        assert!(self.children.len() > 1 || self.children[0].is_page(), "a node above a single node is folded into it");
        for index in 1..len {
            let twice_zero = index == 1 && self.low(1) == 0 && self.children[0].is_page();
            assert!(self.low(index - 1) < self.low(index) || twice_zero, "children are in order");
        }
        assert!(self.end().is_none() || self.low(0) == 0);
    }
}

/// How many of the bytes, which ascend, are not above `byte`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn count_not_above(lows: &[u8; NEAR], byte: u8) -> usize {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_set1_epi8};
    // SAFETY: every x86-64 processor has SSE2, and all 16 bytes are there.
    let not_above = unsafe {
        let lows = _mm_loadu_si128(lows.as_ptr().cast());
        _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(lows, _mm_set1_epi8(byte as i8)), lows))
    };
    (!not_above).trailing_zeros() as usize
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn count_not_above(lows: &[u8; NEAR], byte: u8) -> usize {
    lows.iter().map(|&low| usize::from(low <= byte)).sum()
}

/// The first byte of a range that starts with `symbol`.
pub(super) fn low_of(symbol: usize) -> u8 {
    symbol.saturating_sub(1) as u8
}

/// All inner nodes of a tree, by number.
#[derive(Clone)]
pub(super) struct Nodes {
    chunks: Vec<Option<Box<Chunk>>>,
    /// No chunk before this one has a free place.
    first_vacancy: usize,
    len: usize,
    bytes: usize,
    /// What the pages below each node have, as far as somebody has asked.
    totals: Vec<Totals>,
}

#[derive(Clone)]
struct Chunk {
    nodes: [Node; CHUNK],
    /// Bit i: place i is taken.
    taken: u16,
}

impl Nodes {
    pub const fn new() -> Self {
        Nodes { chunks: Vec::new(), first_vacancy: 0, len: 0, bytes: 0, totals: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub fn get(&self, id: u32) -> &Node {
        let chunk = self.chunks[id as usize / CHUNK].as_ref().expect("a chunk with this node");
        &chunk.nodes[id as usize % CHUNK]
    }

    /// Asks the processor for a node.
    #[inline(always)]
    pub fn prefetch(&self, id: u32) {
        let node = std::ptr::from_ref(self.get(id)).cast::<u8>();
        prefetch(node);
        prefetch(node.wrapping_add(64));
    }

    /// Changes a node. The only way to do so, since it keeps the count of bytes.
    pub fn edit<R>(&mut self, id: u32, change: impl FnOnce(&mut Node) -> R) -> R {
        let chunk = self.chunks[id as usize / CHUNK].as_mut().expect("a chunk with this node");
        let node = &mut chunk.nodes[id as usize % CHUNK];
        self.bytes -= node.spilled_bytes();
        let result = change(node);
        self.bytes += node.spilled_bytes();
        result
    }

    pub fn insert(&mut self, node: Node) -> u32 {
        let vacant = |chunk: &Option<Box<Chunk>>| chunk.as_ref().is_none_or(|chunk| chunk.taken != u16::MAX);
        let from = self.first_vacancy;
        let number = from + self.chunks[from..].iter().position(vacant).unwrap_or(self.chunks.len() - from);
        self.first_vacancy = number;
        if number == self.chunks.len() {
            self.chunks.push(None);
        }
        let chunk = self.chunks[number].get_or_insert_with(|| {
            self.bytes += size_of::<Chunk>();
            Chunk::empty()
        });
        self.bytes += node.spilled_bytes();
        let at = chunk.taken.trailing_ones() as usize;
        chunk.taken |= 1 << at;
        chunk.nodes[at] = node;
        self.len += 1;
        (number * CHUNK + at) as u32
    }

    pub fn remove(&mut self, id: u32) -> Node {
        let (number, at) = (id as usize / CHUNK, id as usize % CHUNK);
        let place = &mut self.chunks[number];
        let chunk = place.as_mut().expect("a chunk with this node");
        let node = std::mem::replace(&mut chunk.nodes[at], Node::vacant());
        chunk.taken &= !(1 << at);
        self.bytes -= node.spilled_bytes();
        if chunk.taken == 0 {
            self.bytes -= size_of::<Chunk>();
            *place = None;
        }
        while self.chunks.last().is_some_and(Option::is_none) {
            self.chunks.pop();
        }
        self.first_vacancy = self.first_vacancy.min(number).min(self.chunks.len());
        self.len -= 1;
        node
    }

    /// What the pages below a node have, if that is known.
    pub fn totals(&self, id: u32) -> Option<&Totals> {
        if self.get(id).is_known { self.totals.get(id as usize) } else { None }
    }

    /// Notes what the pages below a node have.
    pub fn set_totals(&mut self, id: u32, totals: Totals) {
        if self.totals.len() <= id as usize {
            self.totals.resize(self.chunks.len() * CHUNK, Totals::default());
        }
        self.totals[id as usize] = totals;
        self.edit(id, |node| node.is_known = true);
    }

    /// Forgets what the pages below a node have. Returns the node above, if it was known.
    pub fn forget_totals(&mut self, id: u32) -> Option<u32> {
        self.get(id).is_known.then(|| {
            self.edit(id, |node| {
                node.is_known = false;
                node.parent
            })
        })
    }

    /// Bytes that the nodes and the slab take.
    pub fn bytes(&self) -> usize {
        self.bytes
            + self.chunks.capacity() * size_of::<Option<Box<Chunk>>>()
            + self.totals.capacity() * size_of::<Totals>()
    }

    /// Checks the counts.
    pub fn verify(&self) {
        let chunks = || self.chunks.iter().flatten();
        assert_eq!(self.len, chunks().map(|chunk| chunk.taken.count_ones() as usize).sum::<usize>());
        let spilled = chunks().flat_map(|chunk| &chunk.nodes).map(Node::spilled_bytes).sum::<usize>();
        assert_eq!(self.bytes, spilled + chunks().count() * size_of::<Chunk>());
    }
}

impl Chunk {
    fn empty() -> Box<Chunk> {
        Box::new(Chunk { nodes: std::array::from_fn(|_| Node::vacant()), taken: 0 })
    }
}

const _: () = assert!(size_of::<Node>() == 128, "two cache lines");
