//! A tree as it was at one moment, though it goes on changing: its records are handed over page by page, and whatever is about
//! to change before its page's turn is handed over first.
//!
//! Pages are visited in order of their numbers, so a page needs no mark: what is below the cursor is done. That the new half of a
//! split page has a higher number than its own keeps what is ahead of the cursor there; pages ahead of it that hold nothing of the
//! moment (new ones, halves of those that are done) are few and stand in a set. Keys that are done although their page is not
//! stand in another, which grows with what changes meanwhile and with nothing else. If nobody captures the tree, all this costs one
//! branch for each change.

use std::collections::HashSet;

use foldhash::quality::RandomState;

use super::{Layout, PayloadMut, Position, Tree};

/// Takes the records of a moment.
pub trait Recorder<B> {
    /// Takes a record, as it was at the moment but for its access clock. Each is given once, in no order. What the payload stands
    /// for must stay what it is.
    fn record(&mut self, key: &[u8], payload: PayloadMut<'_, B>, deadline: Option<i64>, clock: u32);
}

/// For trees that nobody captures.
pub enum NoRecorder {}

impl<B> Recorder<B> for NoRecorder {
    fn record(&mut self, _: &[u8], _: PayloadMut<'_, B>, _: Option<i64>, _: u32) {
        match *self {}
    }
}

/// What is known of a moment's records that are still in the tree.
pub struct Capture<R> {
    recorder: R,
    /// Pages below this number are done.
    cursor: u32,
    /// Pages from there on that are done, too.
    done_pages: HashSet<u32, RandomState>,
    /// Keys in pages that are not done which are themselves: handed over, or not there at the moment.
    done_keys: HashSet<Box<[u8]>, RandomState>,
}

impl<R> Capture<R> {
    fn new(recorder: R) -> Self {
        Capture { recorder, cursor: 0, done_pages: HashSet::default(), done_keys: HashSet::default() }
    }

    /// Ends the capture.
    pub fn into_recorder(self) -> R {
        self.recorder
    }

    fn is_page_done(&self, id: u32) -> bool {
        id < self.cursor || self.done_pages.contains(&id)
    }

    fn is_key_done(&self, key: &[u8]) -> bool {
        !self.done_keys.is_empty() && self.done_keys.contains(key)
    }

    fn note_done_page(&mut self, id: u32) {
        if id >= self.cursor {
            self.done_pages.insert(id);
        }
    }

    #[cold]
    fn note_coming(&mut self, page: u32, key: &[u8]) {
        if !self.is_page_done(page) && !self.done_keys.contains(key) {
            self.done_keys.insert(key.into());
        }
    }
}

impl<L: Layout> Tree<L> {
    /// Has `recorder` be given all records as they are now, by and by: see [`Tree::advance_capture`].
    ///
    /// # Panics
    /// If the tree is captured already.
    pub fn begin_capture(&mut self, recorder: L::Recorder) {
        assert!(self.capture.is_none(), "one moment at a time");
        self.capture = Some(Box::new(Capture::new(recorder)));
    }

    /// The recorder, if the tree is captured.
    pub fn recorder_mut(&mut self) -> Option<&mut L::Recorder> {
        self.capture.as_mut().map(|capture| &mut capture.recorder)
    }

    pub fn is_captured(&self) -> bool {
        self.capture.is_some()
    }

    /// Ends the capture, whether or not all records have been given. To drop what is returned takes as long as what has changed
    /// meanwhile is large.
    pub fn end_capture(&mut self) -> Option<Box<Capture<L::Recorder>>> {
        self.capture.take()
    }

    /// Gives the recorder records of the next page that it has not got, at least one and until it `has_enough`. Returns whether
    /// there was nothing left to give.
    pub fn advance_capture(&mut self, has_enough: impl Fn(&L::Recorder) -> bool) -> bool {
        let Some(mut capture) = self.capture.take() else { return true };
        let page = self.next_page(&mut capture);
        if let Some(id) = page {
            self.capture_page(id, &mut capture, has_enough);
        }
        self.capture = Some(capture);
        page.is_none()
    }

    /// Moves the cursor to the next page that is not done.
    fn next_page(&self, capture: &mut Capture<L::Recorder>) -> Option<u32> {
        loop {
            let id = self.pages.next(capture.cursor)?.header().id;
            if !capture.done_pages.remove(&id) {
                capture.cursor = id;
                return Some(id);
            }
            capture.cursor = id + 1;
        }
    }

    /// Hands over a page's records, or some of them.
    fn capture_page(&mut self, id: u32, capture: &mut Capture<L::Recorder>, has_enough: impl Fn(&L::Recorder) -> bool) {
        let mut key = Vec::new();
        self.path(self.pages.page(id).header().parent, &mut key);
        let (depth, len) = (key.len(), self.pages.page(id).len());
        for slot in 0..len {
            key.truncate(depth);
            self.pages.page(id).record(slot).append_suffix(&mut key);
            if capture.is_key_done(&key) {
                continue;
            }
            self.hand_over(Position { page: id, slot: slot as u16 }, &key, &mut capture.recorder);
            if has_enough(&capture.recorder) && slot + 1 < len {
                self.each_key(id, slot + 1, |key| {
                    capture.done_keys.insert(key.into());
                });
                return;
            }
        }
        if !capture.done_keys.is_empty() {
            self.each_key(id, len, |key| {
                capture.done_keys.remove(key);
            });
        }
        capture.cursor = id + 1;
    }

    fn hand_over(&mut self, position: Position, key: &[u8], recorder: &mut L::Recorder) {
        let (deadline, clock) = self.times(position);
        // What the recorder may do to the payload does not change its weight.
        let payload = self.pages.page_mut(position.page).payload_mut(position.slot.into());
        recorder.record(key, payload, deadline, clock);
    }

    /// Visits the keys of a page's first `count` records.
    fn each_key(&self, id: u32, count: usize, mut visit: impl FnMut(&[u8])) {
        let page = self.pages.page(id);
        let mut key = Vec::new();
        self.path(page.header().parent, &mut key);
        let depth = key.len();
        for record in page.records().take(count) {
            key.truncate(depth);
            record.append_suffix(&mut key);
            visit(&key);
        }
    }

    /// Hands a record over that is about to change or to go, unless that is done.
    #[inline(always)]
    pub(super) fn preserve(&mut self, position: Position) {
        if self.capture.is_some() {
            self.preserve_captured(position);
        }
    }

    #[cold]
    fn preserve_captured(&mut self, position: Position) {
        let Some(mut capture) = self.capture.take() else { return };
        if !capture.is_page_done(position.page) {
            let mut key = Vec::new();
            self.key(position, &mut key);
            if !capture.is_key_done(&key) {
                self.hand_over(position, &key, &mut capture.recorder);
                capture.done_keys.insert(key.into());
            }
        }
        self.capture = Some(capture);
    }

    /// Says that `key`, which has just come to a page, was not there at the moment, or is done.
    #[inline(always)]
    pub(super) fn note_coming(&mut self, page: u32, key: &[u8]) {
        if let Some(capture) = &mut self.capture {
            capture.note_coming(page, key);
        }
    }

    /// Says that a page is new, and has no record yet.
    pub(super) fn note_empty_page(&mut self, id: u32) {
        if let Some(capture) = &mut self.capture {
            capture.note_done_page(id);
        }
    }

    /// Says that a page is about to lose records to another that is new.
    pub(super) fn note_split(&mut self, id: u32, new: u32) {
        let Some(mut capture) = self.capture.take() else { return };
        if capture.is_page_done(id) {
            capture.note_done_page(new);
        } else if capture.is_page_done(new) {
            // The numbers above its own are used up: see `PageTable::vacant_id`.
            self.capture_page(id, &mut capture, |_| false);
        }
        self.capture = Some(capture);
    }

    /// Says that the page `stays` is about to take over the records of another of a lower number.
    pub(super) fn note_merge(&mut self, stays: u32, goes: u32) {
        let Some(mut capture) = self.capture.take() else { return };
        let done = [stays, goes].map(|id| capture.is_page_done(id));
        if done[0] != done[1] {
            // What is done in one of them is done in both; the other is handed over when its turn comes.
            let id = if done[0] { stays } else { goes };
            self.each_key(id, self.pages.page(id).len(), |key| {
                capture.done_keys.insert(key.into());
            });
            capture.done_pages.remove(&stays);
        }
        self.capture = Some(capture);
    }

    /// Says that there is no page of this number any more.
    pub(super) fn note_lost_page(&mut self, id: u32) {
        if let Some(capture) = &mut self.capture {
            capture.done_pages.remove(&id);
        }
    }
}
