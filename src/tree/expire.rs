//! Deadlines: how many records have one, which page expires next, and taking out what is due.

use std::collections::BTreeSet;

use rand::Rng;

use super::page::Page;
use super::{Layout, Position, Tree};

/// Tries to hit a record with a deadline at random before a place in the order of deadlines is chosen at random instead.
const RANDOM_TRIES: usize = 64;

/// What a tree knows about the deadlines of its records.
pub(super) struct Deadlines {
    count: usize,
    sum: i128,
    /// Each page that has deadlines, under a lower bound of them: the `earliest` of its header.
    order: BTreeSet<(i64, u32)>,
}

impl Deadlines {
    pub const fn new() -> Self {
        Deadlines { count: 0, sum: 0, order: BTreeSet::new() }
    }

    /// The same figures, but no order.
    pub fn without_order(&self) -> Self {
        Deadlines { count: self.count, sum: self.sum, order: BTreeSet::new() }
    }

    /// Bytes that the order takes, about.
    pub fn bytes(&self) -> usize {
        self.order.len() * size_of::<(i64, u32)>() * 3 / 2
    }

    /// Gives a page another lower bound.
    pub fn set_earliest<L: Layout>(&mut self, page: &mut Page<L>, earliest: i64) {
        let header = page.header_mut();
        if header.earliest == earliest {
            return;
        }
        self.forget(header.earliest, header.id);
        header.earliest = earliest;
        if earliest != i64::MAX {
            self.order.insert((earliest, header.id));
        }
    }

    /// Drops a page from the order.
    pub fn forget(&mut self, earliest: i64, id: u32) {
        if earliest != i64::MAX {
            self.order.remove(&(earliest, id));
        }
    }

    pub fn order(&self) -> &BTreeSet<(i64, u32)> {
        &self.order
    }
}

impl<L: Layout> Tree<L> {
    /// Number of records that have a deadline.
    pub fn deadlines(&self) -> usize {
        self.deadlines.count
    }

    /// The sum of all deadlines, in milliseconds of Unix time.
    pub fn deadline_sum(&self) -> i128 {
        self.deadlines.sum
    }

    /// A time, in milliseconds of Unix time, before which no record is due. Exact once [`pop_due`](Self::pop_due) has come there.
    pub fn next_deadline(&self) -> Option<i64> {
        self.deadlines.order.first().map(|(earliest, _)| *earliest)
    }

    /// Removes up to `max` records whose deadline is `now` or before, and hands each key and owned payload to `take`.
    /// Returns how many there were: fewer than `max` if no more are due.
    ///
    /// Costs a look at each record of the pages concerned: a few microseconds for each page, however many of its records are due.
    pub fn pop_due(&mut self, now: i64, max: usize, mut take: impl FnMut(&[u8], Option<Box<L::Boxed>>)) -> usize {
        let mut key = Vec::new();
        let mut taken = 0;
        while let Some(&(earliest, id)) = self.deadlines.order.first() {
            if earliest > now || taken == max {
                break;
            }
            let page = self.pages.page(id);
            self.path(page.header().parent, &mut key);
            let depth = key.len();
            for slot in (0..page.len()).rev() {
                let record = self.pages.page(id).record(slot);
                if taken == max || record.deadline().is_none_or(|deadline| deadline > now) {
                    continue;
                }
                key.truncate(depth);
                record.append_suffix(&mut key);
                let boxed = self.take(Position { page: id, slot: slot as u16 });
                take(&key, boxed);
                taken += 1;
            }
            self.tighten(id);
            self.settle(id);
        }
        taken
    }

    /// Number of records whose deadline is `now` or before. Costs a look at each record of the pages concerned.
    pub fn count_due(&self, now: i64) -> usize {
        let due =
            |id: u32| self.pages.page(id).records().filter_map(|record| record.deadline()).filter(|at| *at <= now);
        self.deadlines.order.range(..=(now, u32::MAX)).map(|(_, id)| due(*id).count()).sum()
    }

    /// The record that expires first.
    pub fn first_to_expire(&mut self) -> Option<Position> {
        loop {
            let &(bound, id) = self.deadlines.order.first()?;
            let page = self.pages.page(id);
            let slot = page.records().position(|record| record.deadline() == Some(bound));
            match slot {
                Some(slot) => return Some(Position { page: id, slot: slot as u16 }),
                None => self.tighten(id),
            }
        }
    }

    /// A record with a deadline, chosen at random: each is about as likely as any other, if not too few have one.
    pub fn random_with_deadline(&mut self, rng: &mut impl Rng) -> Option<Position> {
        let (&(first, _), &(last, _)) = (self.deadlines.order.first()?, self.deadlines.order.last()?);
        for _ in 0..RANDOM_TRIES {
            let page = self.pages.ranked(rng.random_range(0..self.pages.len()));
            let slot = rng.random_range(0..self.slots_max);
            if page.header().earliest != i64::MAX && slot < page.len() && page.record(slot).deadline().is_some() {
                return Some(Position { page: page.header().id, slot: slot as u16 });
            }
        }
        let from = (rng.random_range(first..=last), 0);
        loop {
            let order = &self.deadlines.order;
            let &(_, id) = order.range(from..).next().or_else(|| order.first())?;
            let page = self.pages.page(id);
            let begin = rng.random_range(0..=page.len());
            let slot = (begin..page.len()).chain(0..begin).find(|slot| page.record(*slot).deadline().is_some());
            match slot {
                Some(slot) => return Some(Position { page: id, slot: slot as u16 }),
                // None is left in this page, which leaves the order.
                None => self.tighten(id),
            }
        }
    }

    /// Makes a page's lower bound exact, if it has deadlines.
    pub(super) fn tighten(&mut self, id: u32) {
        let page = self.pages.page_mut(id);
        if page.header().earliest != i64::MAX {
            let earliest = page.earliest_deadline();
            self.deadlines.set_earliest(page, earliest);
        }
    }

    /// Keeps the counts, and the page's lower bound, when a record's deadline changes.
    #[inline]
    pub(super) fn note_deadline(&mut self, id: u32, before: Option<i64>, after: Option<i64>) {
        if let Some(before) = before {
            self.deadlines.count -= 1;
            self.deadlines.sum -= i128::from(before);
        }
        if let Some(after) = after {
            self.deadlines.count += 1;
            self.deadlines.sum += i128::from(after);
            self.note_bound(id, after);
        }
    }

    /// Lowers a page's bound to that of a deadline, or of deadlines, that it is given.
    #[inline]
    pub(super) fn note_bound(&mut self, id: u32, bound: i64) {
        let page = self.pages.page_mut(id);
        if bound < page.header().earliest {
            self.deadlines.set_earliest(page, bound);
        }
    }
}
