//! The tally of a page: how it follows the page's records.

use super::{Layout, NONE, Page, Record, SLOT_SIZE, ptr, tally_with};
use crate::tree::record::{self, Fields, Parts, Suffix, Value};
use crate::tree::tally::{self, Count, Kept, Share, Totals};

impl<L: Layout> Page<L> {
    /// What a record adds to the tally.
    #[inline(always)]
    pub(in crate::tree) fn share(record: &Record<'_, L>) -> Share {
        let Record { fields, bytes, .. } = record;
        let value = fields.value(bytes);
        let value = if fields.boxed { Value::Boxed(record::word(value)) } else { Value::Inline(fields.kind, &[]) };
        let suffix_units = if fields.long { tally::units_of(record::long_suffix(fields.suffix(bytes)).1) } else { 0 };
        share_of::<L>(value, fields.has_deadline, suffix_units, fields.size())
    }

    /// Counts a record of `size` bytes that comes.
    #[inline(always)]
    pub(super) fn count_in(&mut self, parts: &Parts<'_>, size: usize) {
        if let Some(tally) = self.header_mut().tally.get_mut() {
            let suffix_units = if let Suffix::Long(_, len) = parts.suffix { tally::units_of(len) } else { 0 };
            tally.add(&share_of::<L>(parts.value, parts.deadline.is_some(), suffix_units, size));
        }
    }

    /// Counts a record that goes.
    #[inline(always)]
    pub(super) fn count_out(&mut self, share: &Share) {
        if let Some(tally) = self.header_mut().tally.get_mut() {
            tally.remove(share);
        }
    }

    /// Counts a record, which has an inline payload, as one whose payload has another kind from now on.
    #[inline(always)]
    pub(super) fn count_kind(&mut self, word: u32, fields: &Fields, kind: u8) {
        let is_same = |a: u8, b: u8| a == b || L::Count::class_of_kind(a) == L::Count::class_of_kind(b);
        if !<super::TallyOf<L> as Kept>::IS_ON || is_same(fields.kind, kind) {
            return;
        }
        let share = Self::share(&Record::new(self.bytes_from(word)));
        self.count_out(&share);
        if let Some(tally) = self.header_mut().tally.get_mut() {
            tally.add(&Share { class: L::Count::class_of_kind(kind), ..share });
        }
    }

    /// Counts all records anew.
    pub(super) fn count_again(&mut self) {
        let mut kept = tally_with(&self.tails());
        if let Some(tally) = Kept::get_mut(&mut kept) {
            for record in self.records() {
                tally.add(&Self::share(&record));
            }
        }
        self.header_mut().tally = kept;
    }

    /// Whether all records are of class 0, have no deadline and own nothing; or nobody counts.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.header().tally.get().is_none_or(|tally| tally.is_plain())
    }

    /// Whether the sums of the node above have the page as it is.
    #[inline(always)]
    pub fn is_known(&self) -> bool {
        self.header().tally.get().is_some_and(|tally| tally.is_known)
    }

    /// Says that they have.
    pub fn set_known(&mut self) {
        if let Some(tally) = self.header_mut().tally.get_mut() {
            tally.is_known = true;
        }
    }

    /// Takes the weight off a record's payload, which is about to change, if it is boxed and has one.
    #[inline(always)]
    pub fn unweigh(&mut self, slot: usize) {
        if <super::TallyOf<L> as Kept>::IS_ON && record::is_boxed(self.bytes_from(self.slots()[slot])) {
            self.unweigh_boxed(slot);
        }
    }

    fn unweigh_boxed(&mut self, slot: usize) {
        let place = self.slots()[slot];
        let record = self.record(slot);
        let fields = record.fields;
        let word = record::word(fields.value(record.bytes));
        if tally::units_in(word).is_some() {
            let share = Self::share(&record);
            self.set_word(place, &fields, &share, tally::without_weight(word));
        }
    }

    /// Writes another word for a payload, which so far had the given share.
    fn set_word(&mut self, place: u32, fields: &Fields, share: &Share, word: usize) {
        self.count_out(share);
        fields.set_boxed(self.bytes_from_mut(place), word);
        let share = Self::share(&Record::new(self.bytes_from(place)));
        if let Some(tally) = self.header_mut().tally.get_mut() {
            tally.add(&share);
        }
    }

    /// Weighs the payloads that have no weight, if there are any; then the page is not known.
    pub fn weigh(&mut self) {
        if self.header().tally.get().is_none_or(|tally| tally.unweighed == 0) {
            return;
        }
        for slot in 0..self.len() {
            let place = self.slots()[slot];
            if !record::is_boxed(self.bytes_from(place)) {
                continue;
            }
            let record = self.record(slot);
            let (fields, share) = (record.fields, Self::share(&record));
            if share.is_unweighed {
                let address = record::address(fields.value(record.bytes));
                // SAFETY: the record owns the box at this address, and nothing changes it meanwhile.
                let weight = L::Count::weight_of(unsafe { &*ptr::with_exposed_provenance(address) });
                self.set_word(place, &fields, &share, tally::word(address, share.class, Some(weight)));
            }
        }
    }

    /// Bytes that the records take, slots included.
    fn record_bytes(&self, tails: usize) -> usize {
        self.used() - Self::HEADER_SIZE - tails
    }

    /// What the page has; nothing if nobody counts.
    pub fn totals(&self) -> Totals {
        self.header()
            .tally
            .get()
            .map_or(Totals::default(), |tally| tally.totals(self.len(), self.record_bytes(tally.tails.into())))
    }

    /// Asks the processor for all that [`totals`](Self::totals) needs.
    pub fn prefetch_totals(&self) {
        super::prefetch(self.base());
        super::prefetch(self.base().wrapping_add(Self::HEADER_SIZE - 1));
    }

    /// Checks that the tally is what it should be.
    pub(super) fn verify_tally(&self) {
        let Some(tally) = self.header().tally.get() else { return };
        let mut expected = tally_with::<tally::Tally>(&self.tails());
        let mut totals = Totals::default();
        for record in self.records() {
            let share = Self::share(&record);
            expected.add(&share);
            totals.add_record(&share);
            if let crate::tree::Payload::Boxed(boxed) = record.payload() {
                let word = record::word(record.fields.value(record.bytes));
                assert_eq!(tally::class_in(word), L::Count::class_of(boxed));
                let weighed = tally::word(
                    record::address(record.fields.value(record.bytes)),
                    0,
                    Some(L::Count::weight_of(boxed)),
                );
                assert!(
                    tally::units_in(word).is_none_or(|units| Some(units) == tally::units_in(weighed)),
                    "a payload weighs what it did"
                );
            }
        }
        expected.is_known = tally.is_known;
        assert_eq!(*tally, expected);
        assert_eq!(self.totals(), totals);
        assert!(self.header().parent != NONE || !tally.is_known, "there is no node above");
    }
}

/// What a record of `size` bytes adds to the tally of its page.
#[inline(always)]
fn share_of<L: Layout>(value: Value<'_>, is_volatile: bool, suffix_units: u32, size: usize) -> Share {
    let (class, units) = match value {
        Value::Inline(kind, _) => (L::Count::class_of_kind(kind), Some(0)),
        Value::Boxed(word) => (tally::class_in(word), tally::units_in(word)),
    };
    Share {
        class,
        size: SLOT_SIZE + size,
        is_volatile,
        units: units.unwrap_or(0).wrapping_add(suffix_units),
        is_unweighed: units.is_none(),
    }
}
