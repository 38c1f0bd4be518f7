//! What a connection has to send and its socket did not take yet: replies of its own, and messages shared with others.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::IoSlice;

/// Blocks that are offered to the socket at once.
pub const SLICES_MAX: usize = 64;

/// Blocks in the order in which they are sent; none is empty. A message stays where all its receivers share it.
#[derive(Default)]
pub struct Unsent {
    blocks: VecDeque<Bytes>,
    bytes: usize,
}

impl Unsent {
    pub fn push(&mut self, block: impl Into<Bytes>) {
        let block = block.into();
        if !block.is_empty() {
            self.bytes += block.len();
            self.blocks.push_back(block);
        }
    }

    /// Bytes that are left.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Blocks that are left.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Lays out what comes next, as many blocks as `slices` has room for, and returns how many they are.
    pub fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let next = self.blocks.iter().take(SLICES_MAX);
        slices.iter_mut().zip(next).map(|(slice, block)| *slice = IoSlice::new(block)).count()
    }

    /// Notes that so many bytes have been sent.
    pub fn advance(&mut self, mut sent: usize) {
        self.bytes -= sent;
        while let Some(block) = self.blocks.front_mut() {
            if sent < block.len() {
                block.advance(sent);
                return;
            }
            sent -= block.len();
            self.blocks.pop_front();
        }
        debug_assert_eq!(sent, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(unsent: &Unsent) -> Vec<&[u8]> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = unsent.fill(&mut slices);
        unsent.blocks.iter().take(count).map(|block| &**block).collect()
    }

    #[test]
    fn blocks_are_shared_laid_out_together_and_sent_in_parts() {
        let message = Bytes::from(vec![b'm'; 100]);
        let mut unsent = Unsent::default();
        unsent.push(message.clone());
        unsent.push(Vec::new());
        unsent.push(b"reply".to_vec());
        unsent.push(message.clone());
        assert_eq!(next(&unsent), [&message[..], b"reply", &message[..]]);
        assert_eq!(next(&unsent)[2].as_ptr(), message.as_ptr());
        unsent.advance(102);
        assert_eq!(next(&unsent), [b"ply", &message[..]]);
        unsent.advance(3);
        unsent.advance(99);
        assert_eq!((unsent.bytes(), unsent.blocks()), (1, 1));
        unsent.advance(1);
        assert!(unsent.is_empty());
        for _ in 0..=SLICES_MAX {
            unsent.push(message.clone());
        }
        assert_eq!(next(&unsent).len(), SLICES_MAX);
        unsent.advance(100 * SLICES_MAX);
        assert_eq!(unsent.blocks(), 1);
    }
}
