//! A check of everything that must hold in a tree, for tests and fuzzers.

use std::collections::BTreeSet;

use super::node::Target;
use super::page::NONE;
use super::{Layout, Seed, Tree};

impl<L: Layout> Tree<L> {
    /// Panics if anything is not as it must be. `seed` is the one that all keys were hashed with; without one, hashes are not looked at.
    #[doc(hidden)]
    pub fn verify(&self, seed: Option<&Seed>) {
        self.pages.verify();
        self.nodes.verify();
        let mut seen = Totals::default();
        let mut stack: Vec<_> = self.root.map(|root| (root, NONE, 0, 257)).into_iter().collect();
        while let Some((child, parent, from, to)) = stack.pop() {
            match child.target() {
                Target::Page(id) => {
                    assert_eq!(self.pages.page(id).header().parent, parent);
                    self.verify_page(id, from..to, seed, &mut seen);
                }
                Target::Node(id) => {
                    let node = self.nodes.get(id);
                    node.verify();
                    assert_eq!(node.parent, parent);
                    assert!(parent == NONE || usize::from(node.byte) + 1 == from);
                    seen.nodes += 1;
                    self.verify_totals(id);
                    for (index, &child) in node.children().iter().enumerate() {
                        let first = |index: usize| usize::from(node.low(index)) + 1;
                        let from = if index == 0 && child.is_page() { 0 } else { first(index) };
                        let to = if index + 1 < node.children().len() { first(index + 1) } else { 257 };
                        stack.push((child, id, from, to));
                    }
                }
            }
        }
        assert_eq!(seen.records, self.len);
        assert_eq!(seen.pages, self.pages.len());
        assert_eq!(seen.nodes, self.nodes.len());
        assert_eq!((seen.page_bytes, seen.used_bytes), (self.page_bytes, self.used_bytes));
        assert_eq!((seen.deadlines, seen.deadline_sum), (self.deadlines(), self.deadline_sum()));
        assert_eq!(&seen.order, self.deadlines.order());
    }

    /// Checks the sums of a node, if they are known.
    fn verify_totals(&self, id: u32) {
        let Some(known) = self.nodes.totals(id) else { return };
        let mut sum = super::Totals::default();
        for child in self.nodes.get(id).children() {
            match child.target() {
                Target::Page(page) => {
                    assert!(self.pages.page(page).is_known());
                    sum.add(&self.pages.page(page).totals());
                }
                Target::Node(below) => sum.add(self.nodes.totals(below).expect("known below what is known")),
            }
        }
        assert_eq!(*known, sum);
    }

    fn verify_page(&self, id: u32, range: std::ops::Range<usize>, seed: Option<&Seed>, seen: &mut Totals) {
        let page = self.pages.page(id);
        page.verify();
        assert!(page.len() > 0, "an empty page is removed");
        assert!(page.len() <= self.slots_max);
        let mut key = Vec::new();
        self.path(page.header().parent, &mut key);
        let depth = key.len();
        let mut suffixes = BTreeSet::new();
        for (slot, record) in page.records().enumerate() {
            key.truncate(depth);
            record.append_suffix(&mut key);
            assert!(suffixes.insert(key[depth..].to_vec()), "a key is in its page once");
            assert!(page.header().parent == NONE || range.contains(&record.symbol_at(0)));
            if let Some(seed) = seed {
                assert_eq!(page.tag(slot), seed.key(&key).tag());
            }
            seen.deadlines += usize::from(record.deadline().is_some());
            seen.deadline_sum += i128::from(record.deadline().unwrap_or(0));
        }
        let earliest = page.header().earliest;
        if earliest != i64::MAX {
            seen.order.insert((earliest, id));
        }
        seen.records += page.len();
        seen.pages += 1;
        seen.page_bytes += page.capacity();
        seen.used_bytes += page.used();
    }
}

/// What is found in the tree, to be compared with what it says of itself.
#[derive(Default)]
struct Totals {
    records: usize,
    pages: usize,
    nodes: usize,
    page_bytes: usize,
    used_bytes: usize,
    deadlines: usize,
    deadline_sum: i128,
    order: BTreeSet<(i64, u32)>,
}
