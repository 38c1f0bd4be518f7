//! Long strings: pieces of 256 KiB, each raw, compressed, or all zeros.
//!
//! Whatever is done to a part of a string touches only the pieces under that part. So a megabyte appended to half a
//! gigabyte moves nothing, a bit set in a compressed bitmap decompresses one piece, and a bitmap that is set at its
//! far end first takes no memory for the zeros before it.

use crate::tree::Shared;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use super::compress::{self, Compressed, Head};

/// Raw bytes in every piece but the last.
pub const PIECE_LEN: usize = 256 * 1024;

/// Strings up to this length are compressed by the command that sets them, longer ones in the background.
pub const COMPRESS_AT_ONCE_MAX: usize = 1024 * 1024;

static ZEROS: [u8; PIECE_LEN] = [0; PIECE_LEN];

/// A string too long to live in the record of its key.
#[derive(Debug, Clone)]
pub struct LongString(Pieces);

#[derive(Debug, Clone)]
enum Pieces {
    One(Piece),
    /// All but the last have [`PIECE_LEN`] bytes. A copy has them in common with its original.
    #[expect(clippy::box_collection, reason = "most strings are one piece, and a vector would make all of them larger")]
    Many(Box<Vec<Shared<Piece>>>),
}

#[derive(Debug, Clone)]
enum Piece {
    Raw(Vec<u8>, Attempt),
    Compressed(Head, Box<[u8]>),
    Zeros(u32),
}

// There are as many of these as there are strings too long for a record.
const _: () = assert!(size_of::<LongString>() == 32);

/// Whether compressing a raw piece has been tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    /// Not since the piece was last changed.
    Untried,
    /// A copy of it is being compressed, for whoever has the ticket of this number.
    Running(u32),
    /// It saves too little.
    Failed,
}

/// A copy of a piece that is being compressed while the string is not locked.
#[derive(Debug)]
pub struct Ticket {
    number: u32,
    index: usize,
}

impl Piece {
    fn raw(bytes: Vec<u8>) -> Self {
        Piece::Raw(bytes, Attempt::Untried)
    }

    fn len(&self) -> usize {
        match self {
            Piece::Raw(bytes, _) => bytes.len(),
            Piece::Compressed(head, _) => head.raw_len(),
            Piece::Zeros(len) => *len as usize,
        }
    }

    fn stored_len(&self) -> usize {
        match self {
            Piece::Raw(bytes, _) => bytes.capacity(),
            Piece::Compressed(_, block) => block.len(),
            Piece::Zeros(_) => 0,
        }
    }

    /// The piece's bytes, put into `scratch` if need be.
    fn bytes<'a>(&'a self, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        match self {
            Piece::Raw(bytes, _) => bytes,
            Piece::Zeros(len) => &ZEROS[..*len as usize],
            Piece::Compressed(head, block) => {
                scratch.clear();
                scratch.resize(head.raw_len(), 0);
                Compressed { head: *head, block }.decompress(scratch);
                scratch
            }
        }
    }

    /// Writes the bytes `from..from + out.len()` of the piece to `out`.
    fn copy_to(&self, from: usize, out: &mut [u8]) {
        match self {
            Piece::Compressed(head, block) if from == 0 && out.len() == head.raw_len() => {
                Compressed { head: *head, block }.decompress(out);
            }
            _ => out.copy_from_slice(&self.bytes(&mut Vec::new())[from..from + out.len()]),
        }
    }

    /// The piece's bytes, to be changed.
    fn raw_mut(&mut self) -> &mut Vec<u8> {
        if !matches!(self, Piece::Raw(..)) {
            let mut bytes = vec![0; self.len()];
            self.copy_to(0, &mut bytes);
            *self = Piece::raw(bytes);
        }
        match self {
            Piece::Raw(bytes, attempt) => {
                *attempt = Attempt::Untried;
                bytes
            }
            Piece::Compressed(..) | Piece::Zeros(_) => unreachable!("has just been made raw"),
        }
    }

    /// Whether it may be worth compressing the piece.
    fn is_compressible(&self) -> bool {
        matches!(self, Piece::Raw(_, Attempt::Untried | Attempt::Running(_)))
    }

    /// Whether the piece is as it was when the ticket was given.
    fn is_held_by(&self, ticket: &Ticket) -> bool {
        matches!(self, Piece::Raw(_, Attempt::Running(number)) if *number == ticket.number)
    }

    /// Puts in the place of a raw piece what has become of it.
    fn settle(&mut self, head: Option<Head>, block: &[u8]) {
        if let Piece::Raw(bytes, attempt) = self {
            match head {
                Some(head) => *self = Piece::Compressed(head, block.into()),
                None => {
                    bytes.shrink_to_fit();
                    *attempt = Attempt::Failed;
                }
            }
        }
    }
}

impl LongString {
    /// A string with these bytes, uncompressed.
    pub fn new(bytes: &[u8]) -> Self {
        let pieces = if bytes.len() <= PIECE_LEN {
            Pieces::One(Piece::raw(bytes.to_vec()))
        } else {
            let pieces = bytes.chunks(PIECE_LEN).map(|piece| Shared::new(Piece::raw(piece.to_vec())));
            Pieces::Many(Box::new(pieces.collect()))
        };
        LongString(pieces)
    }

    /// A string of at most one piece that has been compressed.
    pub(super) fn compressed(head: Head, block: &[u8]) -> Self {
        LongString(Pieces::One(Piece::Compressed(head, block.into())))
    }

    /// A string of at most one piece that does not compress.
    pub(super) fn incompressible(bytes: &[u8]) -> Self {
        LongString(Pieces::One(Piece::Raw(bytes.to_vec(), Attempt::Failed)))
    }

    /// Length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        let before = self.piece_count() - 1;
        before * PIECE_LEN + self.piece(before).map_or(0, Piece::len)
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes allocated.
    pub fn stored_len(&self) -> usize {
        match &self.0 {
            Pieces::One(piece) => piece.stored_len(),
            Pieces::Many(many) => {
                let piece_len =
                    |piece: &Shared<Piece>| size_of::<Piece>() + Shared::<Piece>::OVERHEAD + piece.stored_len();
                let pieces = many.iter().map(piece_len).sum::<usize>();
                pieces + size_of::<Vec<Shared<Piece>>>() + many.capacity() * size_of::<Shared<Piece>>()
            }
        }
    }

    /// What freeing the string costs, in small allocations: a piece goes back to the system.
    pub fn free_effort(&self) -> usize {
        const PIECE_EFFORT: usize = 8;
        match self.piece_count() {
            1 => 1,
            pieces => pieces * PIECE_EFFORT,
        }
    }

    /// Number of pieces, which is at least one.
    fn piece_count(&self) -> usize {
        match &self.0 {
            Pieces::One(_) => 1,
            Pieces::Many(pieces) => pieces.len(),
        }
    }

    #[inline]
    fn piece(&self, index: usize) -> Option<&Piece> {
        match &self.0 {
            Pieces::One(piece) => (index == 0).then_some(piece),
            Pieces::Many(pieces) => pieces.get(index).map(|piece| &**piece),
        }
    }

    /// A piece, to be changed.
    #[inline]
    fn piece_mut(&mut self, index: usize) -> Option<&mut Piece> {
        match &mut self.0 {
            Pieces::One(piece) => (index == 0).then_some(piece),
            Pieces::Many(pieces) => pieces.get_mut(index).map(Shared::edit),
        }
    }

    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        (0..self.piece_count()).filter_map(|index| self.piece(index))
    }

    /// The pieces under `range`, each with the part of it that lies in the range.
    fn parts(&self, range: Range<usize>) -> impl Iterator<Item = (&Piece, Range<usize>)> {
        let pieces = range.start / PIECE_LEN..range.end.div_ceil(PIECE_LEN);
        pieces.filter_map(move |index| {
            let piece = self.piece(index)?;
            let base = index * PIECE_LEN;
            let part = range.start.max(base) - base..(range.end - base).min(piece.len());
            (!part.is_empty()).then_some((piece, part))
        })
    }

    /// The bytes of a string that is one raw piece.
    #[inline]
    pub(super) fn as_raw(&self) -> Option<&[u8]> {
        match &self.0 {
            Pieces::One(Piece::Raw(bytes, _)) => Some(bytes),
            _ => None,
        }
    }

    /// Writes the bytes `start..start + out.len()` to `out`.
    pub(super) fn copy_to(&self, start: usize, out: &mut [u8]) {
        let mut rest = out;
        for (piece, part) in self.parts(start..start + rest.len()) {
            let (now, later) = rest.split_at_mut(part.len());
            piece.copy_to(part.start, now);
            rest = later;
        }
    }

    /// Shows the bytes of `range` to `visit`, in order, in one or more chunks, until it answers `false`.
    pub(super) fn visit(&self, range: Range<usize>, scratch: &mut Vec<u8>, mut visit: impl FnMut(&[u8]) -> bool) {
        for (piece, part) in self.parts(range) {
            if !visit(&piece.bytes(scratch)[part]) {
                return;
            }
        }
    }

    /// Appends `bytes`. The caller has checked that the string may become that long.
    pub fn append(&mut self, bytes: &[u8]) {
        self.write_at(self.len(), bytes);
    }

    /// Overwrites the bytes from `offset` on, lengthening the string as needed, with zeros up to `offset` if it was
    /// shorter. The caller has checked that the string may become that long.
    pub fn write_at(&mut self, offset: usize, mut bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if offset > self.len() {
            // As far as the piece goes that is written to first, so that it need not grow once more.
            let first_end = (offset / PIECE_LEN + 1) * PIECE_LEN;
            self.add_zeros(first_end.min(offset + bytes.len()));
        }
        let mut at = offset;
        while !bytes.is_empty() {
            let within = at % PIECE_LEN;
            let (now, later) = bytes.split_at(bytes.len().min(PIECE_LEN - within));
            match self.piece_mut(at / PIECE_LEN) {
                Some(piece) => overwrite(piece.raw_mut(), within, now),
                None => self.push_piece(Piece::raw(now.to_vec())),
            }
            at += now.len();
            bytes = later;
        }
    }

    /// Lengthens the string with zeros to `len` bytes.
    fn add_zeros(&mut self, len: usize) {
        for index in self.len() / PIECE_LEN..len.div_ceil(PIECE_LEN) {
            let piece_len = (len - index * PIECE_LEN).min(PIECE_LEN);
            match self.piece_mut(index) {
                Some(Piece::Zeros(zeros)) => *zeros = piece_len as u32,
                // The piece of a string that is empty so far.
                Some(piece) if piece.len() == 0 => *piece = Piece::Zeros(piece_len as u32),
                Some(piece) => {
                    let raw = piece.raw_mut();
                    raw.reserve_exact(piece_len - raw.len());
                    raw.resize(piece_len, 0);
                }
                None => self.push_piece(Piece::Zeros(piece_len as u32)),
            }
        }
    }

    fn push_piece(&mut self, piece: Piece) {
        match &mut self.0 {
            Pieces::Many(pieces) => pieces.push(Shared::new(piece)),
            Pieces::One(first) => {
                let first = std::mem::replace(first, Piece::Zeros(0));
                self.0 = Pieces::Many(Box::new([first, piece].map(Shared::new).into()));
            }
        }
    }

    /// Makes the pieces under `range` raw, because they are being read in part and may be again.
    pub fn expand(&mut self, range: Range<usize>) {
        let len = self.len();
        let range = range.start.min(len)..range.end.min(len);
        if range.is_empty() {
            return;
        }
        for index in range.start / PIECE_LEN..=(range.end - 1) / PIECE_LEN {
            if let Some(Piece::Compressed(..)) = self.piece(index)
                && let Some(piece) = self.piece_mut(index)
            {
                piece.raw_mut();
            }
        }
    }

    /// Whether there are raw pieces that may be worth compressing.
    pub fn is_compressible(&self) -> bool {
        self.pieces().any(Piece::is_compressible)
    }

    /// Compresses all raw pieces that are worth it, and gives back memory kept for growth. For strings of at most
    /// [`COMPRESS_AT_ONCE_MAX`] bytes, or where nobody waits.
    pub fn compress(&mut self) {
        let mut block = Vec::new();
        for index in 0..self.piece_count() {
            if self.piece(index).is_some_and(Piece::is_compressible)
                && let Some(piece) = self.piece_mut(index)
                && let Piece::Raw(bytes, _) = piece
            {
                let head = compress::compress(bytes, &mut block);
                piece.settle(head, &block);
            }
        }
    }

    /// Copies to `out` a raw piece that may be worth compressing, so that it can be compressed while the string is not
    /// locked, and gives a ticket for [`LongString::finish_compression`]. Nobody else may be at it.
    pub fn begin_compression(&mut self, out: &mut Vec<u8>) -> Option<Ticket> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let index = self.pieces().position(Piece::is_compressible)?;
        let Piece::Raw(bytes, attempt) = self.piece_mut(index)? else { return None };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        *attempt = Attempt::Running(number);
        out.clear();
        out.extend_from_slice(bytes);
        Some(Ticket { number, index })
    }

    /// Puts in place what [`compress`](compress::compress) made of the copy of a piece. Returns false, having done
    /// nothing, if the piece has been changed since, or is not of this string.
    pub fn finish_compression(&mut self, ticket: &Ticket, head: Option<Head>, block: &[u8]) -> bool {
        if !self.piece(ticket.index).is_some_and(|piece| piece.is_held_by(ticket)) {
            return false;
        }
        match self.piece_mut(ticket.index) {
            Some(piece) => {
                piece.settle(head, block);
                true
            }
            None => false,
        }
    }

    /// The string's compressed form, if it is one piece and compressed.
    pub(super) fn as_compressed(&self) -> Option<Compressed<'_>> {
        match &self.0 {
            Pieces::One(Piece::Compressed(head, block)) => Some(Compressed { head: *head, block }),
            _ => None,
        }
    }
}

/// Overwrites what is from `within` on in a piece; `within` is at most its length.
fn overwrite(piece: &mut Vec<u8>, within: usize, bytes: &[u8]) {
    let end = within + bytes.len();
    let overlap = bytes.len().min(piece.len() - within);
    piece[within..within + overlap].copy_from_slice(&bytes[..overlap]);
    if end > piece.len() {
        reserve(piece, end);
        piece.extend_from_slice(&bytes[overlap..]);
    }
}

/// Makes room for `len` bytes in a piece, and for half as many again if it has to move, since it may grow further.
fn reserve(piece: &mut Vec<u8>, len: usize) {
    if len > piece.capacity() {
        let room = (len + len / 2).min(PIECE_LEN);
        piece.reserve_exact(room - piece.len());
    }
}
