//! Walking a stream between two ids, towards either end.

use super::StreamId;
use super::block::{Block, BlockView, Entry};
use super::ordered::{Ordered, Place};

/// Where a walk is: between two entries of a block.
#[derive(Debug, Clone)]
struct Position<'a> {
    place: Place,
    view: BlockView<'a>,
    at: usize,
}

impl<'a> Position<'a> {
    fn front(blocks: &'a Ordered<Block>, place: Place) -> Option<Self> {
        let view = blocks.get(place)?.view();
        Some(Position { place, view, at: view.entries_at })
    }

    fn back(blocks: &'a Ordered<Block>, place: Place) -> Option<Self> {
        let view = blocks.get(place)?.view();
        Some(Position { place, view, at: view.end() })
    }
}

/// The entries from one id to another, both inclusive, in order.
#[derive(Debug, Clone)]
pub struct Range<'a> {
    blocks: &'a Ordered<Block>,
    position: Option<Position<'a>>,
    start: StreamId,
    end: StreamId,
}

impl<'a> Range<'a> {
    pub(super) fn new(blocks: &'a Ordered<Block>, start: StreamId, end: StreamId) -> Self {
        // The block that began before may have the entry, and else the next one has.
        let place = blocks.last_up_to(start).unwrap_or_default();
        let position = if start > end { None } else { Position::front(blocks, place) };
        Range { blocks, position, start, end }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let position = self.position.as_mut()?;
            if position.at == position.view.end() {
                self.position = Position::front(self.blocks, self.blocks.next(position.place));
                continue;
            }
            let entry = position.view.entry(position.at);
            position.at = entry.end;
            if entry.is_deleted || entry.id < self.start {
                continue;
            }
            if entry.id > self.end {
                self.position = None;
                return None;
            }
            return Some(Entry::new(entry));
        }
    }
}

/// The entries from one id down to another, both inclusive, in reverse order.
#[derive(Debug, Clone)]
pub struct RevRange<'a> {
    blocks: &'a Ordered<Block>,
    position: Option<Position<'a>>,
    start: StreamId,
    end: StreamId,
}

impl<'a> RevRange<'a> {
    pub(super) fn new(blocks: &'a Ordered<Block>, end: StreamId, start: StreamId) -> Self {
        let place = blocks.last_up_to(end).filter(|_| start <= end);
        let position = place.and_then(|place| Position::back(blocks, place));
        RevRange { blocks, position, start, end }
    }
}

impl<'a> Iterator for RevRange<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let position = self.position.as_mut()?;
            if position.at == position.view.entries_at {
                let previous = self.blocks.previous(position.place);
                self.position = previous.and_then(|place| Position::back(self.blocks, place));
                continue;
            }
            position.at = position.view.previous(position.at);
            let entry = position.view.entry(position.at);
            if entry.is_deleted || entry.id > self.end {
                continue;
            }
            if entry.id < self.start {
                self.position = None;
                return None;
            }
            return Some(Entry::new(entry));
        }
    }
}
