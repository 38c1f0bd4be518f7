//! A set of integers: sorted, each of two, four or eight bytes as the largest of them needs, as in Redis' intset.

use std::cmp::Ordering;

/// Bytes of each integer.
#[repr(u8)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Width {
    #[default]
    Two = 2,
    Four = 4,
    Eight = 8,
}

impl Width {
    fn of(value: i64) -> Self {
        match value {
            -0x8000..=0x7FFF => Width::Two,
            -0x8000_0000..=0x7FFF_FFFF => Width::Four,
            _ => Width::Eight,
        }
    }

    fn from_bytes(bytes: u8) -> Self {
        match bytes {
            2 => Width::Two,
            4 => Width::Four,
            _ => Width::Eight,
        }
    }
}

/// Read access to sorted integers.
#[derive(Debug, Clone, Copy)]
pub struct IntegersRef<'a> {
    width: Width,
    bytes: &'a [u8],
}

impl<'a> IntegersRef<'a> {
    /// What [`Integers::pack`] wrote.
    #[inline]
    pub(super) fn packed(payload: &'a [u8]) -> Self {
        match payload.split_first() {
            Some((width, bytes)) => IntegersRef { width: Width::from_bytes(*width), bytes },
            None => IntegersRef { width: Width::Two, bytes: &[] },
        }
    }

    /// Number of integers.
    #[inline]
    pub(super) fn len(self) -> usize {
        self.bytes.len() / self.width as usize
    }

    /// The bytes of each integer, and those of all.
    pub(super) fn bytes(self) -> (usize, &'a [u8]) {
        (self.width as usize, self.bytes)
    }

    /// The integer `index`, counted from the smallest.
    #[inline]
    pub(super) fn get(self, index: usize) -> Option<i64> {
        match self.width {
            Width::Two => at::<2>(self.bytes, index).map(|bytes| i16::from_le_bytes(*bytes).into()),
            Width::Four => at::<4>(self.bytes, index).map(|bytes| i32::from_le_bytes(*bytes).into()),
            Width::Eight => at::<8>(self.bytes, index).map(|bytes| i64::from_le_bytes(*bytes)),
        }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = i64> + 'a {
        (0..self.len()).map_while(move |index| self.get(index))
    }

    /// Where `value` is, or else where it belongs.
    #[inline]
    fn search(self, value: i64) -> Result<usize, usize> {
        let len = self.len();
        // Integers often come in order.
        let Some(last) = len.checked_sub(1).and_then(|last| self.get(last)) else { return Err(0) };
        match value.cmp(&last) {
            Ordering::Greater => return Err(len),
            Ordering::Equal => return Ok(len - 1),
            Ordering::Less => {}
        }
        let (mut low, mut high) = (0, len);
        while low < high {
            let middle = low.midpoint(high);
            match self.get(middle).map_or(Ordering::Greater, |other| other.cmp(&value)) {
                Ordering::Equal => return Ok(middle),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    #[inline]
    pub(super) fn contains(self, value: i64) -> bool {
        self.search(value).is_ok()
    }
}

/// The item `index` of items of `N` bytes.
#[inline]
fn at<const N: usize>(bytes: &[u8], index: usize) -> Option<&[u8; N]> {
    bytes.get(index * N..)?.first_chunk()
}

/// Sorted integers.
#[derive(Debug, Clone, Default)]
pub struct Integers {
    width: Width,
    bytes: Vec<u8>,
}

impl Integers {
    /// No integers yet; `buffer` is used again.
    pub(super) fn in_buffer(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Integers { width: Width::Two, bytes: buffer }
    }

    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }

    #[inline]
    pub(super) fn view(&self) -> IntegersRef<'_> {
        IntegersRef { width: self.width, bytes: &self.bytes }
    }

    /// Becomes what [`Integers::pack`] wrote.
    pub(super) fn load(&mut self, payload: &[u8]) {
        let view = IntegersRef::packed(payload);
        self.width = view.width;
        self.bytes.clear();
        self.bytes.extend_from_slice(view.bytes);
    }

    /// Bytes that [`Integers::pack`] writes.
    #[inline]
    pub(super) fn packed_size(&self) -> usize {
        1 + self.bytes.len()
    }

    /// Appends the width, one byte, and the integers.
    pub(super) fn pack(&self, out: &mut Vec<u8>) {
        out.push(self.width as u8);
        out.extend_from_slice(&self.bytes);
    }

    /// Adds an integer; false if it is there already.
    pub(super) fn insert(&mut self, value: i64) -> bool {
        let Err(index) = self.view().search(value) else { return false };
        if Width::of(value) > self.width {
            self.widen(Width::of(value));
        }
        let width = self.width as usize;
        let at = index * width;
        let len = self.bytes.len();
        self.bytes.resize(len + width, 0);
        self.bytes.copy_within(at..len, at + width);
        self.bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        true
    }

    #[cold]
    fn widen(&mut self, width: Width) {
        let values = self.view().iter();
        let bytes = values.flat_map(|value| value.to_le_bytes().into_iter().take(width as usize)).collect();
        *self = Integers { width, bytes };
    }

    /// Removes an integer; false if it is not there.
    pub(super) fn remove(&mut self, value: i64) -> bool {
        let Ok(index) = self.view().search(value) else { return false };
        let width = self.width as usize;
        self.bytes.drain(index * width..(index + 1) * width);
        true
    }

    /// Gives back memory that a set kept by itself does not need.
    pub(super) fn trim(&mut self) {
        if self.bytes.capacity() > 2 * self.bytes.len() {
            self.bytes.shrink_to_fit();
        }
    }

    /// Bytes allocated.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}
