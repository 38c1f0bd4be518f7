//! Bytes that are made faster than they can be kept: handed on in pieces while they are made.

use std::ops::{Deref, DerefMut};

/// Bytes after which they are handed on.
const PIECE_BYTES: usize = 256 * 1024;

/// What takes bytes, and leaves none.
pub type Taker<'t> = &'t mut dyn FnMut(&mut Vec<u8>);

/// Bytes to append to. Whoever appends many says now and then that some may be handed on.
pub struct Pieces<'b> {
    bytes: &'b mut Vec<u8>,
    taker: Option<Taker<'b>>,
}

impl<'b> Pieces<'b> {
    /// Keeps all in one.
    pub fn whole(bytes: &'b mut Vec<u8>) -> Self {
        Pieces { bytes, taker: None }
    }

    /// Has `taker` take what has become much; what is left in the end is in `bytes`.
    pub fn new(bytes: &'b mut Vec<u8>, taker: Taker<'b>) -> Self {
        Pieces { bytes, taker: Some(taker) }
    }

    /// Hands on what is there, if it is much.
    #[inline]
    pub fn relieve(&mut self) {
        if self.bytes.len() >= PIECE_BYTES
            && let Some(taker) = &mut self.taker
        {
            taker(self.bytes);
            debug_assert!(self.bytes.is_empty());
        }
    }
}

impl Deref for Pieces<'_> {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        self.bytes
    }
}

impl DerefMut for Pieces<'_> {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        self.bytes
    }
}
