//! Moving records from page to page: compaction, splitting, merging, and changing how much of their keys they hold.

use std::cmp::Ordering;
use std::marker::PhantomData;

use super::tails::{End, SAMPLE, Tails};
use super::{Header, Layout, OFFSET_MASK, Page, Record, SLOT_SIZE, TAILS_BIT, tally_with};
use super::{free_suffix, is_long, own_long_suffix, own_suffix};
use crate::tree::Payload;
use crate::tree::record::{self, Fields, INLINE_SUFFIX_MAX, Parts, Suffix};
use crate::tree::tally;

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

    /// Cuts off the first `strip` bytes of all suffixes, and moves the records whose suffix then starts at or above some symbol to
    /// a new page; returns both. The symbol is the one that cuts the page's bytes most evenly; given that not all suffixes start
    /// alike, both pages have records. They are sized to what they hold.
    pub fn split(&mut self, id: u32, strip: usize) -> (usize, Self) {
        let tails = self.tails();
        let change = if strip == 0 { Change::Nothing } else { Change::Strip(strip) };
        let mut sizes = [0; SYMBOLS];
        let mut is_plain = true;
        let movers: Vec<Mover> = self
            .slots()
            .iter()
            .map(|&slot| {
                let record = Record::<L>::new(self.bytes_from(slot));
                let symbol = record.symbol_at(strip);
                let size = if strip == 0 { Some(record.fields.size()) } else { record.fields.size_stripped(strip) };
                is_plain &= size.is_some();
                let size = size.unwrap_or(record.fields.size());
                sizes[symbol] += SLOT_SIZE + size;
                Mover { slot, symbol: symbol as u16, size: size as u16 }
            })
            .collect();
        let symbol = middle(&sizes);
        let (below, above) = parted(&movers, |mover| usize::from(mover.symbol) >= symbol);
        let mut left = self.sibling(&self.plan_part(&below, change, is_plain));
        let plan = self.plan_part(&above, change, is_plain);
        let mut right = Page::with_tails(plan.size, id, self.header().parent, &plan.tails);
        self.set_len(0);
        for (page, movers) in [(&mut left, below), (&mut right, above)] {
            let mut carrier = Carrier::new(tails, page);
            if is_plain && carrier.same_tails {
                self.carry_plain(page, movers, strip);
                continue;
            }
            for Mover { slot, .. } in movers {
                carrier.carry(page, slot, &Record::new(self.bytes_from(slot)), change);
            }
        }
        if !self.is_plain() {
            left.count_again();
            right.count_again();
        }
        *self = left;
        (symbol, right)
    }

    /// What a part of the records will need.
    fn plan_part(&self, movers: &[Mover], change: Change<'_>, is_plain: bool) -> Plan {
        let record = |mover: &Mover| Record::<L>::new(self.bytes_from(mover.slot));
        let sample = movers.iter().step_by(stride(movers.len())).map(record);
        if is_plain && !self.has_tails() && choose(sample, movers.len(), change).is_none() {
            let size = movers.iter().map(|mover| SLOT_SIZE + usize::from(mover.size)).sum::<usize>();
            return Plan { tails: Tails::NONE, size: Self::HEADER_SIZE + size };
        }
        plan(&movers.iter().map(record).collect::<Vec<_>>(), &[self.tails()], change)
    }

    /// Gives records, which this page has forgotten, to one without any that has the same tails, and cuts off the first `strip`
    /// bytes of their suffixes, which are in the records.
    fn carry_plain(&self, page: &mut Self, movers: Vec<Mover>, strip: usize) {
        let size = movers.iter().map(|mover| usize::from(mover.size)).sum::<usize>();
        let mut heap = usize::from(page.header().heap);
        assert!(Self::HEADER_SIZE + movers.len() * SLOT_SIZE + heap + size <= page.capacity());
        page.header_mut().heap += size as u16;
        page.set_len(movers.len());
        let (slots, records) = page.slots_and_rest_mut();
        for (place, Mover { slot, size, .. }) in slots.iter_mut().zip(movers) {
            heap += usize::from(size);
            let at = records.len() - heap;
            let (from, to) = (self.bytes_from(slot), &mut records[at..at + usize::from(size)]);
            match strip {
                0 => to.copy_from_slice(&from[..usize::from(size)]),
                _ => Fields::parse(from, L::CLOCK).write_stripped(from, strip, to, L::CLOCK),
            }
            *place = slot & !OFFSET_MASK | heap as u32;
        }
    }

    /// Bytes that the page would need with the records of `other` beside its own.
    pub fn used_with(&self, other: &Self) -> usize {
        if self.has_tails() || other.has_tails() {
            self.plan_with(other).size
        } else {
            self.used() + other.used() - Self::HEADER_SIZE
        }
    }

    /// A page with the same records, which have copies of what these own.
    pub fn duplicate(&self) -> Self {
        let header = self.header();
        let mut copy = Page::new(self.capacity(), header.id, header.parent);
        copy.word = copy.word.map_addr(|word| word | self.word.addr().get() & TAILS_BIT);
        copy.bytes_mut().copy_from_slice(self.bytes());
        for &slot in self.slots() {
            let record = Record::<L>::new(self.bytes_from(slot));
            let bytes = copy.bytes_from_mut(slot);
            if record.fields.long {
                record.fields.set_long_suffix(bytes, own_long_suffix(record.stored()));
            }
            if let Payload::Boxed(boxed) = record.payload() {
                let copied = Box::into_raw(Box::new(boxed.clone())).expose_provenance();
                // What the copy weighs stays what the page has counted.
                let word = record::word(record.fields.value(record.bytes));
                record.fields.set_boxed(bytes, tally::with_address(word, copied));
            }
        }
        copy.set_len(self.len());
        copy
    }

    /// A second handle of the page.
    ///
    /// # Safety
    /// Either of the two must be forgotten, not dropped, before the other is dropped, and neither is changed while there are both.
    pub unsafe fn alias(&self) -> Self {
        Page { word: self.word, owned: PhantomData }
    }

    /// Takes over the records of `other`, whose keys must be different ones.
    pub fn absorb(&mut self, mut other: Self) {
        let mut fresh = self.sibling(&self.plan_with(&other));
        let (mut from_us, mut from_them) = (Carrier::new(self.tails(), &fresh), Carrier::new(other.tails(), &fresh));
        let mut ours = self.forget_records().into_iter().peekable();
        let mut theirs = other.forget_records().into_iter().peekable();
        loop {
            let first = match (ours.peek(), theirs.peek()) {
                (Some(a), Some(b)) if a >> 16 <= b >> 16 => Ordering::Less,
                (Some(_), None) => Ordering::Less,
                (_, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let (page, slots, carrier) = match first.is_lt() {
                true => (&*self, &mut ours, &mut from_us),
                false => (&other, &mut theirs, &mut from_them),
            };
            let slot = slots.next().expect("peeked at");
            carrier.carry(&mut fresh, slot, &Record::new(page.bytes_from(slot)), Change::Nothing);
        }
        if !(self.is_plain() && other.is_plain()) {
            fresh.count_again();
        }
        *self = fresh;
    }

    /// An empty page that has the same place in the tree.
    fn sibling(&self, plan: &Plan) -> Self {
        let header = self.header();
        let mut page = Page::with_tails(plan.size, header.id, header.parent, &plan.tails);
        let (heap, tally) = (plan.tails.size() as u16, tally_with(&plan.tails));
        *page.header_mut() = Header { heap, garbage: 0, tally, ..*header };
        page
    }

    /// Moves all records to `fresh`, which takes the page's place.
    fn pour(&mut self, mut fresh: Self, change: Change<'_>) {
        let mut carrier = Carrier::new(self.tails(), &fresh);
        for slot in self.forget_records() {
            carrier.carry(&mut fresh, slot, &Record::new(self.bytes_from(slot)), change);
        }
        if carrier.same_tails && matches!(change, Change::Nothing) {
            fresh.header_mut().tally = self.header().tally;
        } else if !self.is_plain() {
            fresh.count_again();
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
            if stored.starts_with(&common) {
                continue;
            }
            let mut len = common_len(&common, stored);
            if len == stored.len() {
                len += common_len(&common[len..], tail);
            }
            common.truncate(len);
        }
        common
    }
}

/// The symbol that cuts records most evenly whose bytes, by the symbol that they start with, are `sizes`: those below it on one
/// side, the others on the other.
///
/// # Panics
/// If all have the same symbol.
fn middle(sizes: &[usize; SYMBOLS]) -> usize {
    let total = sizes.iter().sum::<usize>();
    let mut below = 0;
    let mut best = (usize::MAX, 0);
    for (symbol, size) in sizes.iter().enumerate() {
        if below > 0 && below < total {
            best = best.min((below.abs_diff(total - below), symbol));
        }
        below += size;
    }
    assert!(best.1 > 0, "all suffixes start alike");
    best.1
}

/// Parts what is not `above` from what is. Which is which is as good as random: the processor need not guess it.
fn parted(movers: &[Mover], above: impl Fn(&Mover) -> bool) -> (Vec<Mover>, Vec<Mover>) {
    let mut parts = [movers.to_vec(), movers.to_vec()];
    let mut lens = [0; 2];
    for mover in movers {
        let is_above = usize::from(above(mover));
        for (number, part) in parts.iter_mut().enumerate() {
            part[lens[number]] = *mover;
        }
        lens[0] += 1 - is_above;
        lens[1] += is_above;
    }
    let [mut below, mut above] = parts;
    below.truncate(lens[0]);
    above.truncate(lens[1]);
    (below, above)
}

/// Chooses tails for `count` records, of which every [`stride`]-th is given.
fn choose<'a, L: Layout + 'a>(sample: impl Iterator<Item = Record<'a, L>>, count: usize, change: Change<'_>) -> Tails {
    let end = |record: Record<'_, L>| {
        let (stored, tail) = record.suffix();
        let strip = if let Change::Strip(strip) = change { strip } else { 0 };
        let stored_strip = strip.min(stored.len());
        End::of(&stored[stored_strip..], &tail[strip - stored_strip..])
    };
    let sample: Vec<_> = sample.filter(|record| !record.fields.long).take(SAMPLE).map(end).collect();
    Tails::choose(&sample, count)
}

/// From how many records one goes into the sample of `count`.
fn stride(count: usize) -> usize {
    (count / SAMPLE).max(1)
}

/// Chooses tails for records, out of those that their pages have and a set made for them, and measures what they then need.
fn plan<L: Layout>(records: &[Record<'_, L>], tails: &[Tails], change: Change<'_>) -> Plan {
    let chosen = choose(records.iter().step_by(stride(records.len())).copied(), records.len(), change);
    let mut changed = Vec::new();
    let mut measure = |tails: Tails| {
        let records = records.iter().map(|record| SLOT_SIZE + size_after(record, &tails, change, &mut changed));
        Plan { tails, size: Page::<L>::HEADER_SIZE + tails.size() + records.sum::<usize>() }
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
        own_suffix(change.suffix(record, changed), false, tails)
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

    /// What a record's suffix will be, in `changed` if it is nowhere else in one piece.
    #[inline(always)]
    fn suffix<'a, L: Layout>(self, record: &Record<'a, L>, changed: &'a mut Vec<u8>) -> &'a [u8] {
        match self {
            Change::Nothing if record.fields.tail == 0 => record.stored(),
            Change::Strip(strip) if record.fields.tail == 0 => &record.stored()[strip..],
            _ => {
                self.write_suffix(record, changed);
                changed
            }
        }
    }

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

/// Symbols that a suffix can start with.
const SYMBOLS: usize = 257;

/// A record that is about to leave its page.
#[derive(Clone, Copy)]
struct Mover {
    slot: u32,
    symbol: u16,
    /// What it will take if its page has the same tails as before.
    size: u16,
}

/// Carries records from one page to another.
struct Carrier {
    tails: Tails,
    same_tails: bool,
    changed: Vec<u8>,
}

impl Carrier {
    fn new<L: Layout>(from: Tails, to: &Page<L>) -> Self {
        let tails = to.tails();
        Carrier { tails, same_tails: from == tails, changed: Vec::new() }
    }

    /// Gives a record, which its old page has forgotten, to `page`, behind all that are there.
    fn carry<L: Layout>(&mut self, page: &mut Page<L>, slot: u32, record: &Record<'_, L>, change: Change<'_>) {
        let offset = if self.same_tails && matches!(change, Change::Nothing) {
            let raw = record.raw();
            let offset = page.reserve(raw.len());
            page.bytes_from_mut(offset)[..raw.len()].copy_from_slice(raw);
            offset
        } else {
            let suffix = change.suffix(record, &mut self.changed);
            let suffix = own_suffix(suffix, is_long(suffix.len(), record.fields.long), &self.tails);
            let parts = Parts { suffix, value: record.value(), deadline: record.deadline(), clock: record.clock() };
            if record.fields.long {
                // SAFETY: the old record has been forgotten; its suffix has just been copied for the new one.
                unsafe { free_suffix(record.fields.suffix(record.bytes)) };
            }
            page.write(&parts, parts.size(L::CLOCK))
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
