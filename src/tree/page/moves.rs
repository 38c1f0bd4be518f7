//! Moving records from page to page: compaction, splitting, merging, and changing how much of their keys they hold.

use std::cmp::Ordering;

use super::tails::{End, SAMPLE, Tails};
use super::{HEADER_SIZE, Header, Layout, OFFSET_MASK, Page, Record, SLOT_SIZE, free_suffix, is_long, own_suffix};
use crate::tree::record::{INLINE_SUFFIX_MAX, Parts, Suffix};

/// How suffixes change on the way from one page to another.
#[derive(Clone, Copy)]
enum Change<'a> {
    Nothing,
    /// So many bytes are cut off at the front.
    Strip(usize),
    /// These come before them.
    Prepend(&'a [u8]),
}

/// What records will need in a page to come.
struct Plan {
    tails: Tails,
    /// Bytes of that page, its header included.
    size: usize,
}

impl<L: Layout> Page<L> {
    /// Moves the records to a new allocation of at least `size` bytes, without garbage.
    pub fn rebuild(&mut self, size: usize) {
        let tails = self.tails();
        let fresh = self.sibling(&Plan { tails, size });
        self.pour(fresh, Change::Nothing);
    }

    /// Moves the records to a new allocation that just holds them, with the first `strip` bytes of their suffixes cut off.
    pub fn strip(&mut self, strip: usize) {
        let plan = self.plan(|_| true, Change::Strip(strip));
        let fresh = self.sibling(&plan);
        self.pour(fresh, Change::Strip(strip));
    }

    /// Moves the records to a new allocation that just holds them, with `prefix` put before their suffixes.
    pub fn prepend(&mut self, prefix: &[u8]) {
        let plan = self.plan(|_| true, Change::Prepend(prefix));
        let fresh = self.sibling(&plan);
        self.pour(fresh, Change::Prepend(prefix));
    }

    /// Bytes that the page would need if `prefix` came before its records' suffixes.
    pub fn used_with_prefix(&self, prefix: &[u8]) -> usize {
        self.plan(|_| true, Change::Prepend(prefix)).size
    }

    /// Moves the records whose suffix starts at or above `symbol` to a new page. Both are then sized to what they hold.
    pub fn split_off(&mut self, symbol: usize, id: u32) -> Self {
        let tails = self.tails();
        let (mut above, mut below) = (Vec::with_capacity(self.len()), Vec::with_capacity(self.len()));
        let mut is_above = Vec::with_capacity(self.len());
        for record in self.records() {
            is_above.push(record.symbol() >= symbol);
            if is_above.ends_with(&[true]) { above.push(record) } else { below.push(record) }
        }
        let mut left = self.sibling(&plan(&below, &[tails], Change::Nothing));
        let plan = plan(&above, &[tails], Change::Nothing);
        let mut right = Page::with_tails(plan.size, id, self.header().parent, &plan.tails);
        let (mut to_left, mut to_right) = (Mover::new(tails, &left), Mover::new(tails, &right));
        for (slot, is_above) in self.forget_records().into_iter().zip(is_above) {
            let record = Record::new(self.bytes_from(slot));
            let (page, mover) = if is_above { (&mut right, &mut to_right) } else { (&mut left, &mut to_left) };
            mover.carry(page, slot, &record, Change::Nothing);
        }
        *self = left;
        right
    }

    /// Bytes that the page would need with the records of `other` beside its own.
    pub fn used_with(&self, other: &Self) -> usize {
        if self.has_tails() || other.has_tails() {
            self.plan_with(other).size
        } else {
            self.used() + other.used() - HEADER_SIZE
        }
    }

    /// Takes over the records of `other`, whose keys must be different ones.
    pub fn absorb(&mut self, mut other: Self) {
        let mut fresh = self.sibling(&self.plan_with(&other));
        let (mut from_us, mut from_them) = (Mover::new(self.tails(), &fresh), Mover::new(other.tails(), &fresh));
        let mut ours = self.forget_records().into_iter().peekable();
        let mut theirs = other.forget_records().into_iter().peekable();
        loop {
            let first = match (ours.peek(), theirs.peek()) {
                (Some(a), Some(b)) if a >> 16 <= b >> 16 => Ordering::Less,
                (Some(_), None) => Ordering::Less,
                (_, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let (page, slots, mover) = match first.is_lt() {
                true => (&*self, &mut ours, &mut from_us),
                false => (&other, &mut theirs, &mut from_them),
            };
            let slot = slots.next().expect("peeked at");
            mover.carry(&mut fresh, slot, &Record::new(page.bytes_from(slot)), Change::Nothing);
        }
        *self = fresh;
    }

    /// An empty page that has the same place in the tree.
    fn sibling(&self, plan: &Plan) -> Self {
        let header = self.header();
        let mut page = Page::with_tails(plan.size, header.id, header.parent, &plan.tails);
        *page.header_mut() = Header { heap: plan.tails.size() as u16, garbage: 0, ..*header };
        page
    }

    /// Moves all records to `fresh`, which takes the page's place.
    fn pour(&mut self, mut fresh: Self, change: Change<'_>) {
        let mut mover = Mover::new(self.tails(), &fresh);
        for slot in self.forget_records() {
            mover.carry(&mut fresh, slot, &Record::new(self.bytes_from(slot)), change);
        }
        *self = fresh;
    }

    /// What those of the records that are `chosen` will need.
    fn plan(&self, chosen: impl Fn(&Record<'_, L>) -> bool, change: Change<'_>) -> Plan {
        let records: Vec<_> = self.records().filter(chosen).collect();
        plan(&records, &[self.tails()], change)
    }

    fn plan_with(&self, other: &Self) -> Plan {
        let records: Vec<_> = self.records().chain(other.records()).collect();
        plan(&records, &[self.tails(), other.tails()], Change::Nothing)
    }

    fn push_slot(&mut self, slot: u32) {
        let len = self.len();
        self.set_len(len + 1);
        let slots = self.slots_mut();
        slots[len] = slot;
        assert!(len == 0 || slots[len - 1] >> 16 <= slot >> 16);
    }

    /// The longest common prefix of all suffixes.
    pub fn common_prefix(&self) -> Vec<u8> {
        let mut records = self.records();
        let mut common = Vec::new();
        if let Some(first) = records.next() {
            first.append_suffix(&mut common);
        }
        for record in records {
            if common.is_empty() {
                break;
            }
            let (stored, tail) = record.suffix();
            let mut len = common_len(&common, stored);
            if len == stored.len() {
                len += common_len(&common[len..], tail);
            }
            common.truncate(len);
        }
        common
    }

    /// The symbol that cuts the page's bytes most evenly: records below it on one side, the others on the other. Both have some,
    /// given that not all suffixes start alike.
    pub fn middle_symbol(&self) -> usize {
        let mut sizes = [0; 257];
        for record in self.records() {
            sizes[record.symbol()] += SLOT_SIZE + record.fields.size();
        }
        let total = sizes.iter().sum::<usize>();
        let mut below = 0;
        let mut best = (usize::MAX, 0);
        for (symbol, size) in sizes.into_iter().enumerate() {
            if below > 0 && below < total {
                best = best.min((below.abs_diff(total - below), symbol));
            }
            below += size;
        }
        assert!(best.1 > 0, "all suffixes start alike");
        best.1
    }
}

/// Chooses tails for records, out of those that their pages have and a set made for them, and measures what they then need.
fn plan<L: Layout>(records: &[Record<'_, L>], tails: &[Tails], change: Change<'_>) -> Plan {
    let mut sample = Vec::with_capacity(SAMPLE);
    let inline = records.iter().filter(|record| !record.fields.long);
    for record in inline.step_by((records.len() / SAMPLE).max(1)).take(SAMPLE) {
        let (stored, tail) = record.suffix();
        let strip = if let Change::Strip(strip) = change { strip } else { 0 };
        let stored_strip = strip.min(stored.len());
        sample.push(End::of(&stored[stored_strip..], &tail[strip - stored_strip..]));
    }
    let chosen = Tails::choose(&sample, records.len());
    let mut changed = Vec::new();
    let mut measure = |tails: Tails| {
        let records = records.iter().map(|record| SLOT_SIZE + size_after(record, &tails, change, &mut changed));
        Plan { tails, size: HEADER_SIZE + tails.size() + records.sum::<usize>() }
    };
    let mut best = measure(chosen);
    for &tails in tails {
        if tails != chosen {
            let plan = measure(tails);
            best = if plan.size < best.size { plan } else { best };
        }
    }
    best
}

/// Bytes that a record will have in a page with the given tails.
fn size_after<L: Layout>(record: &Record<'_, L>, tails: &Tails, change: Change<'_>, changed: &mut Vec<u8>) -> usize {
    const BLANK: [u8; INLINE_SUFFIX_MAX] = [0; INLINE_SUFFIX_MAX];
    if matches!(change, Change::Nothing) && tails.is_none() && !record.fields.long && record.fields.tail == 0 {
        return record.fields.size();
    }
    let len = change.suffix_len(record);
    let suffix = if is_long(len, record.fields.long) {
        Suffix::Long(0, 0)
    } else if tails.is_none() {
        Suffix::Inline(&BLANK[..len], 0)
    } else {
        change.write_suffix(record, changed);
        own_suffix(changed, false, tails)
    };
    Parts { suffix, value: record.value(), deadline: record.deadline(), clock: 0 }.size(L::CLOCK)
}

impl Change<'_> {
    /// How long a record's suffix will be.
    fn suffix_len<L: Layout>(self, record: &Record<'_, L>) -> usize {
        match self {
            Change::Nothing => record.suffix_len(),
            Change::Strip(strip) => record.suffix_len() - strip,
            Change::Prepend(prefix) => record.suffix_len() + prefix.len(),
        }
    }

    /// Writes what a record's suffix will be.
    fn write_suffix<L: Layout>(self, record: &Record<'_, L>, changed: &mut Vec<u8>) {
        changed.clear();
        if let Change::Prepend(prefix) = self {
            changed.extend_from_slice(prefix);
        }
        record.append_suffix(changed);
        if let Change::Strip(strip) = self {
            changed.drain(..strip);
        }
    }
}

/// Carries records from one page to another.
struct Mover {
    tails: Tails,
    same_tails: bool,
    changed: Vec<u8>,
}

impl Mover {
    fn new<L: Layout>(from: Tails, to: &Page<L>) -> Self {
        let tails = to.tails();
        Mover { tails, same_tails: from == tails, changed: Vec::new() }
    }

    /// Gives a record, which its old page has forgotten, to `page`, behind all that are there.
    fn carry<L: Layout>(&mut self, page: &mut Page<L>, slot: u32, record: &Record<'_, L>, change: Change<'_>) {
        let offset = if self.same_tails && matches!(change, Change::Nothing) {
            let raw = record.raw();
            let offset = page.reserve(raw.len());
            page.bytes_from_mut(offset)[..raw.len()].copy_from_slice(raw);
            offset
        } else {
            change.write_suffix(record, &mut self.changed);
            let long = is_long(self.changed.len(), record.fields.long);
            let suffix = own_suffix(&self.changed, long, &self.tails);
            let parts = Parts { suffix, value: record.value(), deadline: record.deadline(), clock: record.clock() };
            if record.fields.long {
                // SAFETY: the old record has been forgotten; its suffix has just been copied for the new one.
                unsafe { free_suffix(record.fields.suffix(record.bytes)) };
            }
            page.write(&parts)
        };
        page.push_slot(slot & !OFFSET_MASK | offset);
    }
}

/// The length of the longest common prefix. Keys can be very long, so it goes by blocks.
pub(in crate::tree) fn common_len(a: &[u8], b: &[u8]) -> usize {
    const BLOCK: usize = 128;
    let blocks = a.chunks_exact(BLOCK).zip(b.chunks_exact(BLOCK)).take_while(|(a, b)| a == b).count();
    let start = blocks * BLOCK;
    start + a[start..].iter().zip(&b[start..]).take_while(|(a, b)| a == b).count()
}
