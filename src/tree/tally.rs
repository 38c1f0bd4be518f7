//! Counting records by class: what each page keeps of its own, so that sums over many pages need a look at no record.
//!
//! What the classes are the layout says ([`Count`]). A page keeps how many records it has of each, what they take in the page, and
//! what they own beside it. That is cheap to keep, since most records are of class 0, have no deadline and own nothing: these are
//! what is left of a page when the others are taken off.
//!
//! What a boxed payload takes (its *weight*) stands, rounded, in the upper bits of its address, where processors have none. So a
//! record that leaves its page takes off what it once added, and no payload is looked at for that. One that is changed where it is
//! loses its weight, and gets another when somebody asks.

use std::fmt::Debug;

/// Classes of records.
pub const CLASSES: usize = 6;

/// How the records of a tree are counted.
pub trait Count<B> {
    /// What a page keeps.
    type Tally: Kept;

    /// The class of an inline payload of this kind, below [`CLASSES`].
    fn class_of_kind(kind: u8) -> usize;

    /// The class of a boxed payload. It stays that as long as the payload is in its record.
    fn class_of(boxed: &B) -> usize;

    /// Bytes that a boxed payload takes, about.
    fn weight_of(boxed: &B) -> usize;
}

/// For trees whose records nobody counts.
#[derive(Debug)]
pub enum Uncounted {}

impl<B> Count<B> for Uncounted {
    type Tally = ();

    fn class_of_kind(_: u8) -> usize {
        0
    }

    fn class_of(_: &B) -> usize {
        0
    }

    fn weight_of(_: &B) -> usize {
        0
    }
}

/// A page's tally, or none.
pub trait Kept: Copy + Default + Debug {
    const IS_ON: bool;

    fn get(&self) -> Option<&Tally>;

    fn get_mut(&mut self) -> Option<&mut Tally>;
}

impl Kept for () {
    const IS_ON: bool = false;

    #[inline(always)]
    fn get(&self) -> Option<&Tally> {
        None
    }

    #[inline(always)]
    fn get_mut(&mut self) -> Option<&mut Tally> {
        None
    }
}

impl Kept for Tally {
    const IS_ON: bool = true;

    #[inline(always)]
    fn get(&self) -> Option<&Tally> {
        Some(self)
    }

    #[inline(always)]
    fn get_mut(&mut self) -> Option<&mut Tally> {
        Some(self)
    }
}

/// Records, and the bytes that they take in their page, slots included.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Part {
    keys: u16,
    bytes: u16,
}

impl Part {
    fn add(&mut self, size: u16) {
        self.keys += 1;
        self.bytes += size;
    }

    fn remove(&mut self, size: u16) {
        self.keys -= 1;
        self.bytes -= size;
    }
}

/// What a page keeps of its records.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Tally {
    /// Those of the classes from 1 on.
    others: [Part; CLASSES - 1],
    /// Those with a deadline.
    volatile: Part,
    /// Boxed payloads whose weight is not known.
    pub(super) unweighed: u16,
    /// The sums of the node above have the page as it is.
    pub(super) is_known: bool,
    /// Bytes of the page's tails.
    pub(super) tails: u8,
    /// What the records of each class own beside the page, in units; of more than 64 GiB the rest by that.
    owned: [u32; CLASSES],
    /// What those with a deadline own.
    owned_volatile: u32,
}

/// What a record adds to the tally of its page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub class: usize,
    /// Bytes in the page, its slot included.
    pub size: usize,
    pub is_volatile: bool,
    /// What it owns beside the page; of a payload without a weight, nothing.
    pub units: u32,
    pub is_unweighed: bool,
}

impl Share {
    /// Whether it is like most: of class 0, without a deadline, and owning nothing.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        self.class == 0 && !self.is_volatile && self.units == 0 && !self.is_unweighed
    }
}

impl Tally {
    #[inline(always)]
    pub(super) fn add(&mut self, share: &Share) {
        self.is_known = false;
        if !share.is_plain() {
            self.add_special(share);
        }
    }

    #[inline]
    fn add_special(&mut self, share: &Share) {
        let size = share.size as u16;
        if let Some(index) = share.class.checked_sub(1) {
            self.others[index].add(size);
        }
        self.add_units(share);
        if share.is_volatile {
            self.volatile.add(size);
        }
        self.unweighed += u16::from(share.is_unweighed);
    }

    fn add_units(&mut self, share: &Share) {
        self.owned[share.class] = self.owned[share.class].wrapping_add(share.units);
        if share.is_volatile {
            self.owned_volatile = self.owned_volatile.wrapping_add(share.units);
        }
    }

    #[inline(always)]
    pub(super) fn remove(&mut self, share: &Share) {
        self.is_known = false;
        if !share.is_plain() {
            self.remove_special(share);
        }
    }

    #[inline]
    fn remove_special(&mut self, share: &Share) {
        let size = share.size as u16;
        if let Some(index) = share.class.checked_sub(1) {
            self.others[index].remove(size);
        }
        self.remove_units(share);
        if share.is_volatile {
            self.volatile.remove(size);
        }
        self.unweighed -= u16::from(share.is_unweighed);
    }

    fn remove_units(&mut self, share: &Share) {
        self.owned[share.class] = self.owned[share.class].wrapping_sub(share.units);
        if share.is_volatile {
            self.owned_volatile = self.owned_volatile.wrapping_sub(share.units);
        }
    }

    /// Whether all records are like most.
    pub(super) fn is_plain(&self) -> bool {
        let Tally { others, volatile, unweighed, owned, .. } = self;
        *volatile == Part::default() && *unweighed == 0 && *others == <[Part; 5]>::default() && *owned == [0; CLASSES]
    }

    /// The totals of a page with `len` records that take `bytes` in it.
    pub(super) fn totals(&self, len: usize, bytes: usize) -> Totals {
        let mut totals = Totals::default();
        let (mut keys, mut bytes) = (len as u64, bytes as u64);
        for (class, part) in self.others.iter().enumerate() {
            let figures = Figures { keys: part.keys.into(), bytes: part.bytes.into() };
            totals.classes[class + 1] = figures;
            keys -= figures.keys;
            bytes -= figures.bytes;
        }
        totals.classes[0] = Figures { keys, bytes };
        for (figures, units) in totals.classes.iter_mut().zip(self.owned) {
            figures.bytes += u64::from(units) * UNIT_BYTES as u64;
        }
        totals.volatile = Figures {
            keys: self.volatile.keys.into(),
            bytes: u64::from(self.volatile.bytes) + u64::from(self.owned_volatile) * UNIT_BYTES as u64,
        };
        totals
    }
}

/// Keys and bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Figures {
    pub keys: u64,
    /// What records take in their pages, and what they own beside these. Without what pages have free, and what leads to them.
    pub bytes: u64,
}

impl Figures {
    pub fn add(&mut self, other: Figures) {
        self.keys += other.keys;
        self.bytes += other.bytes;
    }

    /// The rest, if `other` is a part.
    pub fn checked_sub(self, other: Figures) -> Option<Figures> {
        Some(Figures { keys: self.keys.checked_sub(other.keys)?, bytes: self.bytes.checked_sub(other.bytes)? })
    }
}

/// What is known of many records.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Totals {
    pub classes: [Figures; CLASSES],
    /// Those with a deadline.
    pub volatile: Figures,
}

impl Totals {
    /// All records.
    pub fn all(&self) -> Figures {
        let mut all = Figures::default();
        self.classes.iter().for_each(|figures| all.add(*figures));
        all
    }

    pub fn add(&mut self, other: &Totals) {
        for (figures, other) in self.classes.iter_mut().zip(&other.classes) {
            figures.add(*other);
        }
        self.volatile.add(other.volatile);
    }

    /// The rest, if `other` is a part.
    pub fn checked_sub(&self, other: &Totals) -> Option<Totals> {
        let mut rest = Totals { volatile: self.volatile.checked_sub(other.volatile)?, ..*self };
        for (figures, other) in rest.classes.iter_mut().zip(&other.classes) {
            *figures = figures.checked_sub(*other)?;
        }
        Some(rest)
    }

    /// Adds one record.
    pub(super) fn add_record(&mut self, share: &Share) {
        let figures = Figures { keys: 1, bytes: share.size as u64 + u64::from(share.units) * UNIT_BYTES as u64 };
        self.classes[share.class].add(figures);
        if share.is_volatile {
            self.volatile.add(figures);
        }
    }
}

/// Bits of an address.
const ADDRESS_BITS: u32 = 48;
const ADDRESS_MASK: usize = (1 << ADDRESS_BITS) - 1;
/// Bits of a weight: eight of a number, above which stands by how many bits it is shifted.
const WEIGHT_BITS: u32 = 13;
const WEIGHT_MASK: usize = (1 << WEIGHT_BITS) - 1;
const NUMBER_BITS: u32 = 8;
/// Stands for no weight.
const UNWEIGHED: usize = WEIGHT_MASK;
/// What is heavier weighs so much: a shift by 23, to 32 GiB.
const WEIGHT_MAX: usize = 24 << NUMBER_BITS;
/// Bytes in which weights are counted.
pub(super) const UNIT_BYTES: usize = 16;

/// So many bytes in units.
pub(super) fn units_of(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// The word that stands in a record for a boxed payload: its address, its class, and its weight, in bytes, if it is known.
pub(super) fn word(address: usize, class: usize, weight: Option<usize>) -> usize {
    assert!(address & !ADDRESS_MASK == 0 && class < CLASSES);
    let code = weight.map_or(UNWEIGHED, code_of);
    address | code << ADDRESS_BITS | class << (ADDRESS_BITS + WEIGHT_BITS)
}

/// The code of a weight.
fn code_of(bytes: usize) -> usize {
    let units = bytes.div_ceil(UNIT_BYTES);
    let shift = (usize::BITS - units.leading_zeros()).saturating_sub(NUMBER_BITS);
    // What is shifted out is rounded; 256 then becomes 0, and its carry the next shift.
    let number = (units >> shift) + (units & (1 << shift >> 1) != 0) as usize;
    let code = if number >> NUMBER_BITS == 0 {
        (shift as usize) << NUMBER_BITS | number
    } else {
        (shift as usize + 1) << NUMBER_BITS | number >> 1
    };
    code.min(WEIGHT_MAX - 1)
}

/// The address in a word.
#[inline(always)]
pub(super) fn address_in(word: usize) -> usize {
    word & ADDRESS_MASK
}

/// The class in a word.
#[inline(always)]
pub(super) fn class_in(word: usize) -> usize {
    word >> (ADDRESS_BITS + WEIGHT_BITS)
}

/// The weight in a word, in units, if there is one.
#[inline(always)]
pub(super) fn units_in(word: usize) -> Option<u32> {
    let code = word >> ADDRESS_BITS & WEIGHT_MASK;
    (code != UNWEIGHED).then(|| ((code & ((1 << NUMBER_BITS) - 1)) as u32) << (code >> NUMBER_BITS))
}

/// A word with another address.
pub(super) fn with_address(word: usize, address: usize) -> usize {
    assert_eq!(address & !ADDRESS_MASK, 0);
    word & !ADDRESS_MASK | address
}

/// A word without its weight.
pub(super) fn without_weight(word: usize) -> usize {
    word | UNWEIGHED << ADDRESS_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_address_class_and_weight() {
        let address = 0x7fff_1234_5678;
        for class in 0..CLASSES {
            for weight in [None, Some(0), Some(1), Some(16), Some(100), Some(4080), Some(5000), Some(usize::MAX / 2)] {
                let word = word(address, class, weight);
                assert_eq!((address_in(word), class_in(word)), (address, class));
                assert_eq!(units_in(word).is_some(), weight.is_some());
                assert_eq!(units_in(without_weight(word)), None);
                let other = with_address(word, 64);
                assert_eq!((address_in(other), class_in(other), units_in(other)), (64, class, units_in(word)));
            }
        }
    }

    #[test]
    fn weights_are_nearly_exact() {
        let units = |bytes: usize| units_in(word(0, 0, Some(bytes))).map(f64::from);
        for bytes in
            (0..1_usize << 12).chain((12..35).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 12_345]))
        {
            let (exact, kept) = (bytes.div_ceil(UNIT_BYTES) as f64, units(bytes).unwrap());
            assert!((exact - kept).abs() <= exact / 256.0, "{bytes}: {kept} for {exact}");
            assert!(bytes > 255 * UNIT_BYTES || exact == kept);
        }
        assert_eq!(units(1 << 40), Some(f64::from(255_u32 << 23)), "what is heavier weighs no more than that");
    }
}
