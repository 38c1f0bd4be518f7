//! The dictionaries that strings are compressed with.
//!
//! A compressed string says by a number which dictionary it needs, in the place where its length is too. So a
//! dictionary stays for good, and there are [`DICTIONARIES_MAX`] of them at most; the process has one set of them, since
//! a string in the record of its key has room for a number, but for nothing that owns. Who chooses the dictionary for
//! new strings ([`choose`]) returns to an old one when data is again as it was.

use super::lz4;
pub use super::lz4::{DICTIONARY_MAX, Dictionary, WITH_DICTIONARY_MAX};
use parking_lot::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// Dictionaries that there can be; together with their indexes they take some 32 KiB each.
pub const DICTIONARIES_MAX: usize = 32;

static SHELF: [OnceLock<Dictionary>; DICTIONARIES_MAX] = [const { OnceLock::new() }; DICTIONARIES_MAX];
/// Dictionaries on the shelf; held while one is added.
static COUNT: Mutex<u8> = Mutex::new(0);
/// The number of the dictionary for new strings.
static CHOSEN: AtomicU8 = AtomicU8::new(NONE);

/// The number that stands for no dictionary; the first has 1.
pub const NONE: u8 = 0;

/// The dictionary with a number that [`add`] has given.
#[inline]
pub fn get(number: u8) -> Option<&'static Dictionary> {
    SHELF.get(usize::from(number).wrapping_sub(1))?.get()
}

/// The number of the dictionary that new strings are compressed with, or [`NONE`].
#[inline]
pub fn chosen() -> u8 {
    CHOSEN.load(Ordering::Acquire)
}

/// Has new strings compressed with the dictionary of this number, or with none.
pub fn choose(number: u8) {
    assert!(number == NONE || get(number).is_some(), "no dictionary has the number {number}");
    CHOSEN.store(number, Ordering::Release);
}

/// Keeps a dictionary for good and returns its number, unless there are too many already.
pub fn add(dictionary: Dictionary) -> Option<u8> {
    let mut count = COUNT.lock();
    let place = SHELF.get(usize::from(*count))?;
    place.set(dictionary).expect("places are taken in order");
    *count += 1;
    Some(*count)
}

/// The numbers of all dictionaries.
pub fn numbers() -> impl Iterator<Item = u8> {
    1..=*COUNT.lock()
}

/// Bytes of the block that `raw` becomes with a dictionary.
pub fn compressed_len(raw: &[u8], dictionary: &Dictionary, scratch: &mut Vec<u8>) -> usize {
    scratch.clear();
    lz4::compress(raw, dictionary, scratch);
    scratch.len()
}
