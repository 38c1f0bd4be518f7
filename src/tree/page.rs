//! A slotted page: the records of neighbouring keys in one allocation, found by the hash tag of their key.
//!
//! ```text
//! header | slots: u32 = tag << 16 | offset, sorted by tag | free space | records, packed from the end
//! ```
//!
//! An offset counts from the page's end to the record's first byte, so that a page can grow without its slots changing. The number
//! of slots and the size class are kept in spare bits of the pointer to the page: a lookup touches the line of the slot and the line
//! of the record, and not the header.
//!
//! This module alone knows what the bytes mean. Above it there are slot numbers, records and sizes. A page owns what its records
//! point to (boxed payloads, suffixes too long for the page) and frees it when dropped.

mod counts;
mod moves;
mod tails;
mod view;

use std::alloc::{self, handle_alloc_error};
use std::marker::PhantomData;
use std::num::NonZero;
use std::ptr::{self, NonNull};
use std::slice;

pub(super) use moves::common_len;
use tails::Tails;
pub(super) use view::Record;

use super::record::{self, Fields, INLINE_SUFFIX_MAX, Parts, Suffix, Value};
use super::tally::{self, Count, Kept, Tally};
use super::{Layout, NewPayload, PayloadMut};

/// Page sizes: the allocator's size classes, so that no byte is lost to rounding.
const SIZES: [u16; 32] = [
    64, 128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120,
    6144, 7168, 8192, 10_240, 12_288, 14_336, 16_384, 20_480, 24_576, 28_672, 32_768,
];
/// Bytes of the largest page that takes in records. A page can be larger only between the loss of its tails and its next split:
/// then it has at most 1,365 records of six bytes and more, each longer by a tail than before.
pub(super) const SIZE_MAX: usize = 8192;
const _: () = assert!(SIZE_MAX + SIZE_MAX / 6 * tails::LEN_MAX <= SIZES[SIZES.len() - 1] as usize);
/// Bytes of a slot.
pub(super) const SLOT_SIZE: usize = size_of::<u32>();
/// "No page" and "no node", where a number of either is kept.
pub(super) const NONE: u32 = u32::MAX;

const ALIGN: usize = 64;
/// Slots that are compared at once, as many as go into a line.
const WINDOW: usize = LINE_SIZE / SLOT_SIZE;
/// Bytes that the processor fetches at once.
const LINE_SIZE: usize = 64;
/// Bytes of a record beyond which the processor notices by itself that it is read from one end to the other.
const RECORD_PREFETCH_MAX: usize = 192;
const CLASS_MASK: usize = SIZES.len() - 1;
const TAILS_BIT: usize = SIZES.len();
const FLAGS_MASK: usize = ALIGN - 1;
const LEN_SHIFT: u32 = 48;
const POINTER_MASK: usize = ((1 << LEN_SHIFT) - 1) & !FLAGS_MASK;
const OFFSET_MASK: u32 = 0xffff;

const _: () =
    assert!(size_of::<usize>() == 8 && TAILS_BIT | CLASS_MASK == FLAGS_MASK && align_of::<Header<Tally>>() <= ALIGN);

/// What a page knows about itself.
#[repr(C)]
pub(super) struct Header<T> {
    /// No record's deadline is before this; `i64::MAX` if there is none.
    pub earliest: i64,
    pub id: u32,
    /// The inner node above, or [`NONE`].
    pub parent: u32,
    /// Where the page stands in the list of all pages.
    pub rank: u32,
    /// Bytes from the lowest record to the page's end, tails included.
    heap: u16,
    /// Bytes of the heap that belong to no record, and are no tail.
    garbage: u16,
    /// Its records by class.
    tally: T,
}

/// What the pages of a layout keep of their records.
type TallyOf<L> = <<L as Layout>::Count as Count<<L as Layout>::Boxed>>::Tally;

/// An owned page. Its address is in the pointer's middle bits, its size class in the lowest five, whether it has tails in the sixth, and
/// the number of its slots in the top sixteen.
pub(super) struct Page<L: Layout> {
    word: NonNull<u8>,
    owned: PhantomData<L::Boxed>,
}

// SAFETY: a page owns its memory and the payloads that its records point to, as a `Vec<Box<L::Boxed>>` would.
unsafe impl<L: Layout> Send for Page<L> where L::Boxed: Send {}
// SAFETY: through `&Page` nothing is changed, and payloads are only lent as `&L::Boxed`.
unsafe impl<L: Layout> Sync for Page<L> where L::Boxed: Sync {}

/// The smallest class of at least `size` bytes.
fn class_of(size: usize) -> Option<usize> {
    let class = SIZES.partition_point(|&class_size| usize::from(class_size) < size);
    (class < SIZES.len()).then_some(class)
}

/// The tally of a page with these tails and no records.
fn tally_with<T: Kept>(tails: &Tails) -> T {
    let mut kept = T::default();
    if let Some(tally) = kept.get_mut() {
        tally.tails = tails.size() as u8;
    }
    kept
}

/// A record that may be inserted into the page it was drafted for, but for what it is to own.
pub(super) struct Draft<'a> {
    parts: Parts<'a>,
    size: usize,
}

impl Draft<'_> {
    /// Bytes that it will take in its page, its slot included.
    #[inline(always)]
    pub fn size(&self) -> usize {
        SLOT_SIZE + self.size
    }
}

/// Gives a record its suffix: in an allocation of its own if it is to be `long`, else without the tail of the page that it ends with.
fn own_suffix<'a>(suffix: &'a [u8], long: bool, tails: &Tails) -> Suffix<'a> {
    if long { own_long_suffix(suffix) } else { cut_suffix(suffix, tails) }
}

/// A suffix in an allocation of its own.
#[cold]
fn own_long_suffix(suffix: &[u8]) -> Suffix<'static> {
    let bytes: Box<[u8]> = suffix.into();
    let len = bytes.len();
    Suffix::Long(Box::into_raw(bytes).cast::<u8>().expose_provenance(), len)
}

/// A suffix without the tail that it ends with.
fn cut_suffix<'a>(suffix: &'a [u8], tails: &Tails) -> Suffix<'a> {
    let (number, len) = tails.longest_in(suffix);
    Suffix::Inline(&suffix[..suffix.len() - len], number)
}

/// Whether a suffix that will have `len` bytes, of a record that was `long` or not, goes into an allocation of its own.
/// One that does already stays there as long as its page would be the fuller for it.
fn is_long(len: usize, long: bool) -> bool {
    len > INLINE_SUFFIX_MAX || long && len > record::LONG_SUFFIX_SIZE
}

/// Frees the allocation of a long suffix.
///
/// # Safety
/// `bytes` are the 16 bytes that `own_suffix` gave to a record which no longer exists.
unsafe fn free_suffix(bytes: &[u8]) {
    let (address, len) = record::long_suffix(bytes);
    let suffix = ptr::slice_from_raw_parts_mut(ptr::with_exposed_provenance_mut::<u8>(address), len);
    // SAFETY: by contract this is the boxed slice that `own_suffix` leaked, and nobody else will free it.
    drop(unsafe { Box::from_raw(suffix) });
}

impl<L: Layout> Page<L> {
    /// Bytes of a page's header.
    pub const HEADER_SIZE: usize = size_of::<Header<TallyOf<L>>>();

    /// An empty page of at least `size` bytes.
    pub fn new(size: usize, id: u32, parent: u32) -> Self {
        Self::with_tails(size, id, parent, &Tails::NONE)
    }

    fn with_tails(size: usize, id: u32, parent: u32, tails: &Tails) -> Self {
        let class = class_of(size).expect("no page is that large");
        let layout = Self::layout(class);
        // SAFETY: the layout's size is not zero.
        let base = unsafe { alloc::alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else { handle_alloc_error(layout) };
        let mut page = Self::from_base(base, class);
        *page.header_mut() = Header {
            earliest: i64::MAX,
            id,
            parent,
            rank: NONE,
            heap: tails.size() as u16,
            garbage: 0,
            tally: tally_with(tails),
        };
        if tails.size() > 0 {
            tails.write(page.bytes_mut());
            page.word = page.word.map_addr(|word| word | TAILS_BIT);
        }
        page
    }

    fn layout(class: usize) -> alloc::Layout {
        alloc::Layout::from_size_align(usize::from(SIZES[class]), ALIGN).expect("sizes are multiples of the alignment")
    }

    /// The handle of an allocation with the given flags (its class, and perhaps [`TAILS_BIT`]), with no slots.
    fn from_base(base: NonNull<u8>, flags: usize) -> Self {
        assert_eq!(base.addr().get() & !POINTER_MASK, 0, "page address has unexpected bits");
        Page { word: base.map_addr(|address| address | flags), owned: PhantomData }
    }

    #[inline(always)]
    fn has_tails(&self) -> bool {
        self.word.addr().get() & TAILS_BIT != 0
    }

    fn tails(&self) -> Tails {
        if self.has_tails() { Tails::read(self.bytes()) } else { Tails::NONE }
    }

    #[inline(always)]
    fn base(&self) -> *mut u8 {
        self.word.as_ptr().map_addr(|word| word & POINTER_MASK)
    }

    #[inline(always)]
    fn class(&self) -> usize {
        self.word.addr().get() & CLASS_MASK
    }

    /// Bytes of the page's allocation.
    #[inline(always)]
    pub fn capacity(&self) -> usize {
        usize::from(SIZES[self.class()])
    }

    /// Number of records.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.word.addr().get() >> LEN_SHIFT
    }

    fn set_len(&mut self, len: usize) {
        assert!(Self::HEADER_SIZE + len * SLOT_SIZE <= self.capacity());
        self.word = self.word.map_addr(|word| {
            let word = word.get() & (POINTER_MASK | FLAGS_MASK) | len << LEN_SHIFT;
            NonZero::new(word).expect("an address is not zero")
        });
    }

    #[inline(always)]
    pub fn header(&self) -> &Header<TallyOf<L>> {
        // SAFETY: every page starts with an initialised header, and its address is aligned to 64 bytes.
        unsafe { &*self.base().cast() }
    }

    #[inline(always)]
    pub fn header_mut(&mut self) -> &mut Header<TallyOf<L>> {
        // SAFETY: as in `header`; the page is borrowed mutably.
        unsafe { &mut *self.base().cast() }
    }

    #[inline(always)]
    fn slots(&self) -> &[u32] {
        // SAFETY: `set_len` keeps the slots inside the allocation; the header's size keeps them aligned; all of a page's bytes are
        // initialised.
        unsafe { slice::from_raw_parts(self.base().add(Self::HEADER_SIZE).cast(), self.len()) }
    }

    fn slots_mut(&mut self) -> &mut [u32] {
        // SAFETY: as in `slots`; the page is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.base().add(Self::HEADER_SIZE).cast(), self.len()) }
    }

    /// The slots, and all bytes behind them.
    fn slots_and_rest_mut(&mut self) -> (&mut [u32], &mut [u8]) {
        let (len, front) = (self.len(), Self::HEADER_SIZE + self.len() * SLOT_SIZE);
        // SAFETY: as in `slots` and `bytes`; the page is borrowed mutably, and the one part begins where the other ends.
        unsafe {
            let rest = slice::from_raw_parts_mut(self.base().add(front), self.capacity() - front);
            (slice::from_raw_parts_mut(self.base().add(Self::HEADER_SIZE).cast(), len), rest)
        }
    }

    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        // SAFETY: the allocation has `capacity` bytes, all initialised (zeroed by `new`, copied or zeroed by `grow`).
        unsafe { slice::from_raw_parts(self.base(), self.capacity()) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; the page is borrowed mutably, and header and slots are valid whatever their bytes.
        unsafe { slice::from_raw_parts_mut(self.base(), self.capacity()) }
    }

    /// The bytes from the start of the record with this offset to the end of the page.
    #[inline(always)]
    fn bytes_from(&self, slot: u32) -> &[u8] {
        let bytes = self.bytes();
        &bytes[bytes.len() - (slot & OFFSET_MASK) as usize..]
    }

    fn bytes_from_mut(&mut self, slot: u32) -> &mut [u8] {
        let bytes = self.bytes_mut();
        let at = bytes.len() - (slot & OFFSET_MASK) as usize;
        &mut bytes[at..]
    }

    #[inline(always)]
    pub fn record(&self, slot: usize) -> Record<'_, L> {
        Record::new(self.bytes_from(self.slots()[slot]))
    }

    /// The low 16 bits of the hash of a record's key.
    pub fn tag(&self, slot: usize) -> u16 {
        (self.slots()[slot] >> 16) as u16
    }

    /// The first slot whose tag is not below `tag`.
    ///
    /// Tags are uniform, so the place where one should be is nearly the place where it is.
    #[inline(always)]
    pub fn lower_bound(&self, tag: u16) -> usize {
        let slots = self.slots();
        let target = u32::from(tag) << 16;
        let guess = self.guess(tag);
        let Some(last) = slots.len().checked_sub(WINDOW) else { return self.lower_bound_near(tag, guess) };
        // Slots are compared many at once: how far off the guess is, the processor cannot foresee.
        let below = |at: usize| slots[at..at + WINDOW].iter().map(|&slot| usize::from(slot < target)).sum::<usize>();
        let mut at = guess.saturating_sub(WINDOW / 2).min(last);
        let mut count = below(at);
        while count == WINDOW && at < last {
            at = (at + WINDOW).min(last);
            count = below(at);
        }
        while count == 0 && at > 0 {
            at = at.saturating_sub(WINDOW);
            count = below(at);
        }
        at + count
    }

    /// The first slot whose tag is not below `tag`, looked for from `at` on.
    #[inline(always)]
    fn lower_bound_near(&self, tag: u16, mut at: usize) -> usize {
        let slots = self.slots();
        let target = u32::from(tag) << 16;
        if at < slots.len() && slots[at] < target {
            at += 1;
            while at < slots.len() && slots[at] < target {
                at += 1;
            }
        } else {
            while at > 0 && slots[at - 1] >= target {
                at -= 1;
            }
        }
        at
    }

    #[inline(always)]
    fn guess(&self, tag: u16) -> usize {
        (usize::from(tag) * self.len()) >> 16
    }

    /// The slot of the record with this tag and suffix, which may be near the slot `near`; if there is none, the slot where it
    /// would be inserted, behind those with the same tag.
    #[inline(always)]
    pub fn find(&self, tag: u16, suffix: &[u8], near: u16) -> Result<usize, usize> {
        if self.has_tails() {
            self.prefetch_tails();
        }
        let slots = self.slots();
        let near = usize::from(near);
        let mut at = if near < slots.len() { self.lower_bound_near(tag, near) } else { self.lower_bound(tag) };
        while at < slots.len() && slots[at] >> 16 == u32::from(tag) {
            if Record::<L>::new(self.bytes_from(slots[at])).has_suffix(suffix) {
                return Ok(at);
            }
            at += 1;
        }
        Err(at)
    }

    /// Asks the processor for the lines of the slots among which that of `tag` should be.
    #[inline(always)]
    pub fn prefetch_slots(&self, tag: u16) {
        let at = Self::HEADER_SIZE + self.guess(tag) * SLOT_SIZE;
        prefetch(self.base().wrapping_add(at.saturating_sub(WINDOW / 2 * SLOT_SIZE)));
        prefetch(self.base().wrapping_add(at + (WINDOW / 2 - 1) * SLOT_SIZE));
        if self.has_tails() {
            self.prefetch_tails();
        }
    }

    /// Asks the processor for the header, which a change needs.
    #[inline(always)]
    pub fn prefetch_header(&self) {
        prefetch(self.base());
    }

    #[inline(always)]
    fn prefetch_tails(&self) {
        prefetch(self.base().wrapping_add(self.capacity() - 1));
    }

    /// Asks the processor for the lines of the first record that has this tag. Returns its slot, or the one after it.
    #[inline(always)]
    pub fn prefetch_record(&self, tag: u16) -> usize {
        let at = self.lower_bound(tag);
        if let Some(&slot) = self.slots().get(at) {
            let record = self.bytes_from(slot);
            prefetch(record.as_ptr());
            prefetch(record.as_ptr().wrapping_add(LINE_SIZE - LINE_SIZE / 4));
            // How long the record is it says itself; on average a record has its share of the page.
            let len_max = record.len().min(RECORD_PREFETCH_MAX);
            for at in (2 * LINE_SIZE - LINE_SIZE / 4..len_max).step_by(LINE_SIZE) {
                if at * self.len() >= self.capacity() {
                    break;
                }
                prefetch(record.as_ptr().wrapping_add(at));
            }
        }
        at
    }

    /// Bytes between the slots and the heap, as far as the page may still use them.
    pub fn room(&self) -> usize {
        self.capacity().min(SIZE_MAX).saturating_sub(self.filled())
    }

    /// Bytes in front of the free space and behind it.
    fn filled(&self) -> usize {
        Self::HEADER_SIZE + self.len() * SLOT_SIZE + usize::from(self.header().heap)
    }

    /// Bytes that the page needs: header, slots, records and tails.
    pub fn used(&self) -> usize {
        self.filled() - self.garbage()
    }

    /// The size that the page should shrink to, if it should: there it would still have an eighth to spare.
    pub fn smaller_size(&self) -> Option<usize> {
        let size = usize::from(SIZES[class_of(self.used().div_ceil(7) * 8)?]);
        (size < self.capacity()).then_some(size)
    }

    /// Bytes of the heap that belong to no record.
    pub fn garbage(&self) -> usize {
        usize::from(self.header().garbage)
    }

    /// A new record for this page, to find out how much room it takes.
    #[inline(always)]
    pub fn draft<'a>(
        &self,
        suffix: &'a [u8],
        payload: &NewPayload<'a, L::Boxed>,
        deadline: Option<i64>,
        clock: u32,
    ) -> Draft<'a> {
        let suffix = if is_long(suffix.len(), false) {
            Suffix::Long(0, 0)
        } else if self.has_tails() {
            cut_suffix(suffix, &self.tails())
        } else {
            Suffix::Inline(suffix, 0)
        };
        let parts = Parts { suffix, value: shape(payload), deadline, clock };
        Draft { size: parts.size(L::CLOCK), parts }
    }

    /// Adds a record at the slot that [`find`](Self::find) told for its tag and suffix. `draft` was made of the same suffix and
    /// payload for this page as it is, and there must be room for it.
    #[inline(always)]
    pub fn insert(&mut self, at: usize, tag: u16, draft: Draft<'_>, suffix: &[u8], payload: NewPayload<'_, L::Boxed>) {
        assert!(self.room() >= draft.size());
        let Draft { mut parts, size } = draft;
        if let Suffix::Long(..) = parts.suffix {
            parts.suffix = own_long_suffix(suffix);
        }
        parts.value = leak::<L>(payload);
        self.count_in(&parts, size);
        let offset = self.write(&parts, size);
        let len = self.len();
        self.set_len(len + 1);
        let slots = self.slots_mut();
        slots.copy_within(at..len, at + 1);
        slots[at] = u32::from(tag) << 16 | offset;
    }

    /// Writes a record of so many bytes to the free space and returns its offset.
    #[inline(always)]
    fn write(&mut self, parts: &Parts<'_>, size: usize) -> u32 {
        let offset = self.reserve(size);
        parts.write(&mut self.bytes_from_mut(offset)[..size], L::CLOCK);
        offset
    }

    fn reserve(&mut self, size: usize) -> u32 {
        assert!(self.filled() + size <= self.capacity());
        let header = self.header_mut();
        header.heap += size as u16;
        u32::from(header.heap)
    }

    /// Counts bytes at an offset as garbage, or gives them back to the free space if they are its neighbours.
    fn discard(&mut self, slot: u32, size: usize) {
        let header = self.header_mut();
        if slot & OFFSET_MASK == u32::from(header.heap) {
            header.heap -= size as u16;
        } else {
            header.garbage += size as u16;
        }
    }

    /// Takes a record out and returns what it owned.
    pub fn remove(&mut self, slot: usize) -> Option<Box<L::Boxed>> {
        let word = self.slots()[slot];
        let record = self.record(slot);
        let (fields, size) = (record.fields, record.fields.size());
        let share = Self::share(&record);
        let boxed = fields.boxed.then(|| record::address(fields.value(record.bytes)));
        if fields.long {
            let mut suffix = [0; record::LONG_SUFFIX_SIZE];
            suffix.copy_from_slice(fields.suffix(record.bytes));
            // SAFETY: the record that owned this suffix is unlinked below, before anything can look at it.
            unsafe { free_suffix(&suffix) };
        }
        let len = self.len();
        self.slots_mut().copy_within(slot + 1..len, slot);
        self.set_len(len - 1);
        self.discard(word, size);
        self.count_out(&share);
        // SAFETY: the record owned this box, and it is gone.
        boxed.map(|address| unsafe { reclaim::<L>(address) })
    }

    /// Gives a record another payload, deadline and clock. If there is no room for that, hands the payload back and changes nothing;
    /// else returns what the record owned before.
    pub fn replace<'p>(
        &mut self,
        slot: usize,
        payload: NewPayload<'p, L::Boxed>,
        deadline: Option<i64>,
        clock: u32,
    ) -> Result<Option<Box<L::Boxed>>, NewPayload<'p, L::Boxed>> {
        let word = self.slots()[slot];
        let record = self.record(slot);
        let fields = record.fields;
        if let NewPayload::Inline { kind, bytes } = payload
            && fields.takes_inline(bytes.len(), deadline.is_some())
        {
            // Only what is new is written; the suffix stays where it is.
            self.count_kind(word, &fields, kind);
            let record = self.bytes_from_mut(word);
            fields.value_mut(record).copy_from_slice(bytes);
            record::set_kind(record, kind);
            if L::CLOCK {
                record::set_clock(record, clock);
            }
            if let Some(deadline) = deadline {
                fields.set_deadline(record, deadline);
            }
            return Ok(None);
        }
        let mut buffer = [0; INLINE_SUFFIX_MAX];
        let buffer = &mut buffer[..fields.suffix_size];
        buffer.copy_from_slice(fields.suffix(record.bytes));
        let boxed = fields.boxed.then(|| record::address(fields.value(record.bytes)));
        let suffix = record.kept_suffix(buffer);
        let mut parts = Parts { suffix, value: shape(&payload), deadline, clock };
        let (size, size_before) = (parts.size(L::CLOCK), fields.size());
        if size > size_before && size > self.room() {
            return Err(payload);
        }
        let share = Self::share(&record);
        parts.value = leak::<L>(payload);
        self.count_out(&share);
        self.count_in(&parts, size);
        if size <= size_before {
            parts.write(&mut self.bytes_from_mut(word)[..size], L::CLOCK);
            self.header_mut().garbage += (size_before - size) as u16;
        } else {
            let offset = self.write(&parts, size);
            self.slots_mut()[slot] = word & !OFFSET_MASK | offset;
            self.header_mut().garbage += size_before as u16;
        }
        // SAFETY: the record owned this box until its payload was overwritten just now.
        Ok(boxed.map(|address| unsafe { reclaim::<L>(address) }))
    }

    /// Gives a record another deadline and leaves the rest. Returns whether there was room for that; if not, nothing has changed.
    pub fn set_deadline(&mut self, slot: usize, deadline: Option<i64>) -> bool {
        let word = self.slots()[slot];
        let record = self.record(slot);
        let fields = record.fields;
        match deadline {
            Some(deadline) if fields.has_deadline => {
                fields.set_deadline(self.bytes_from_mut(word), deadline);
                return true;
            }
            None if !fields.has_deadline => return true,
            _ => {}
        }
        let mut buffer = [0; record::SIZE_MAX];
        let size_before = fields.size();
        buffer[..size_before].copy_from_slice(record.raw());
        let old = Record::<L>::new(&buffer[..size_before]);
        let suffix = old.kept_suffix(fields.suffix(old.bytes));
        let parts = Parts { suffix, value: old.value(), deadline, clock: old.clock() };
        let size = parts.size(L::CLOCK);
        if size > size_before && size > self.room() {
            return false;
        }
        self.count_out(&Self::share(&old));
        self.count_in(&parts, size);
        if size < size_before {
            parts.write(&mut self.bytes_from_mut(word)[..size], L::CLOCK);
            self.header_mut().garbage += (size_before - size) as u16;
            return true;
        }
        let offset = self.write(&parts, size);
        self.slots_mut()[slot] = word & !OFFSET_MASK | offset;
        self.header_mut().garbage += size_before as u16;
        true
    }

    /// Sets a record's access clock, if the layout has one.
    #[inline(always)]
    pub fn set_clock(&mut self, slot: usize, clock: u32) {
        if L::CLOCK {
            let word = self.slots()[slot];
            record::set_clock(self.bytes_from_mut(word), clock);
        }
    }

    /// A record's payload, to be changed in place.
    pub fn payload_mut(&mut self, slot: usize) -> PayloadMut<'_, L::Boxed> {
        let word = self.slots()[slot];
        let bytes = self.bytes_from_mut(word);
        let fields = Fields::parse(bytes, L::CLOCK);
        let value = fields.value_mut(bytes);
        if !fields.boxed {
            return PayloadMut::Inline { kind: fields.kind, bytes: value };
        }
        let boxed = ptr::with_exposed_provenance_mut(record::address(value));
        // SAFETY: the record owns the box at this address, and the page, hence the record, is borrowed mutably.
        PayloadMut::Boxed(unsafe { &mut *boxed })
    }

    /// Changes the capacity to the smallest that holds `size` bytes beside what the heap holds now, garbage included.
    /// Returns false, having done nothing, if no page may be that large.
    pub fn grow(&mut self, size: usize) -> bool {
        let heap = usize::from(self.header().heap);
        let front = self.filled() - heap;
        if self.filled() + size > SIZE_MAX {
            return false;
        }
        let class = class_of(self.filled() + size).expect("there are larger sizes");
        assert!(class >= self.class());
        let layout = Self::layout(class);
        // SAFETY: the layout's size is not zero.
        let base = unsafe { alloc::alloc(layout) };
        let Some(base) = NonNull::new(base) else { handle_alloc_error(layout) };
        let capacity = layout.size();
        // SAFETY: the new allocation is disjoint from the old and larger than `front + heap`; the three writes cover all of its
        // bytes, from the first `front` bytes and the last `heap` bytes of the old page, which has at least as many.
        unsafe {
            ptr::copy_nonoverlapping(self.base(), base.as_ptr(), front);
            ptr::write_bytes(base.as_ptr().add(front), 0, capacity - front - heap);
            let from = self.base().add(self.capacity() - heap);
            ptr::copy_nonoverlapping(from, base.as_ptr().add(capacity - heap), heap);
        }
        let mut grown = Self::from_base(base, class | self.word.addr().get() & TAILS_BIT);
        grown.set_len(self.len());
        self.set_len(0);
        *self = grown;
        true
    }

    /// Empties the page without freeing what its records own, which is then the caller's. The records' bytes stay where they are.
    fn forget_records(&mut self) -> Vec<u32> {
        let slots = self.slots().to_vec();
        self.set_len(0);
        slots
    }

    /// All records, in slot order.
    pub fn records(&self) -> impl Iterator<Item = Record<'_, L>> {
        self.slots().iter().map(|&slot| Record::new(self.bytes_from(slot)))
    }

    /// The deadline of the record that expires first; `i64::MAX` if none does.
    pub fn earliest_deadline(&self) -> i64 {
        self.records().filter_map(|record| record.deadline()).min().unwrap_or(i64::MAX)
    }

    /// Checks everything that must hold within the page.
    pub fn verify(&self) {
        let mut spans: Vec<_> = self
            .slots()
            .iter()
            .map(|&slot| ((slot & OFFSET_MASK) as usize, Record::<L>::new(self.bytes_from(slot))))
            .collect();
        assert!(self.slots().is_sorted_by_key(|slot| slot >> 16), "slots are sorted by tag");
        spans.sort_by_key(|(offset, _)| *offset);
        let heap = usize::from(self.header().heap);
        let mut end = self.tails().size();
        let mut size = 0;
        for (offset, record) in &spans {
            assert!(*offset <= heap && offset - record.fields.size() >= end, "records do not overlap");
            end = *offset;
            size += record.fields.size();
        }
        let tails = self.tails().size();
        assert_eq!(tails + size + self.garbage(), heap, "each byte of the heap is a record's, a tail's or garbage");
        assert!(tails > 0 || self.records().all(|record| record.fields.tail == 0));
        assert!(self.header().earliest <= self.earliest_deadline());
        self.verify_tally();
        assert!(Self::HEADER_SIZE + self.len() * SLOT_SIZE + heap <= self.capacity());
    }
}

impl<L: Layout> Drop for Page<L> {
    fn drop(&mut self) {
        for slot in self.forget_records() {
            let record = Record::<L>::new(self.bytes_from(slot));
            if record.fields.boxed {
                // SAFETY: the record owned this box and has just been forgotten.
                drop(unsafe { reclaim::<L>(record::address(record.fields.value(record.bytes))) });
            }
            if record.fields.long {
                // SAFETY: the record owned this suffix and has just been forgotten.
                unsafe { free_suffix(record.fields.suffix(record.bytes)) };
            }
        }
        // SAFETY: this is the allocation that the handle owns, with the layout of its class.
        unsafe { alloc::dealloc(self.base(), Self::layout(self.class())) };
    }
}

/// The symbol that a suffix starts with: 0 if it is empty, else its first byte + 1.
#[inline(always)]
pub(super) fn symbol_of(suffix: &[u8]) -> usize {
    suffix.first().map_or(0, |&byte| usize::from(byte) + 1)
}

/// A value of the same size as the payload, which owns nothing.
fn shape<'a, B>(payload: &NewPayload<'a, B>) -> Value<'a> {
    match *payload {
        NewPayload::Inline { kind, bytes } => Value::Inline(kind, bytes),
        NewPayload::Boxed(_) => Value::Boxed(0),
    }
}

/// Hands a payload over to a record.
fn leak<L: Layout>(payload: NewPayload<'_, L::Boxed>) -> Value<'_> {
    match payload {
        NewPayload::Inline { kind, bytes } => Value::Inline(kind, bytes),
        NewPayload::Boxed(boxed) => {
            let (class, weight) = (L::Count::class_of(&boxed), L::Count::weight_of(&boxed));
            Value::Boxed(tally::word(Box::into_raw(boxed).expose_provenance(), class, Some(weight)))
        }
    }
}

/// Takes back a boxed payload from a record.
///
/// # Safety
/// The address is what `leak` returned, and the record that had it no longer exists or has another payload.
unsafe fn reclaim<L: Layout>(address: usize) -> Box<L::Boxed> {
    // SAFETY: by contract.
    unsafe { Box::from_raw(ptr::with_exposed_provenance_mut(address)) }
}

/// Asks the processor for a cache line, which need not exist.
#[inline(always)]
pub(super) fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults and changes no memory; SSE is part of every x86-64 processor.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
