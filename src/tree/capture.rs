//! A tree as it was at one moment, though it goes on changing: its records are handed over page by page, and whatever is about
//! to change before its page's turn is handed over first.
//!
//! Pages are visited in order of their numbers, so a page needs no mark: what is below the cursor is done. That the new half of a
//! split page has a higher number than its own keeps what is ahead of the cursor there; pages ahead of it that hold nothing of the
//! moment (new ones, halves of those that are done) are few and stand in a set. Keys that are done although their page is not
//! stand in another, which grows with what changes meanwhile and with nothing else. If nobody captures the tree, all this costs one
//! branch for each change.

use std::collections::HashSet;
use std::ops::ControlFlow;

use foldhash::quality::RandomState;

use super::page::Page;
use super::{Layout, Position, Tree, View};

/// Takes the records of a moment.
pub trait Recorder<B> {
    /// Takes a record, as it was at the moment. Each is given once, in no order.
    fn record(&mut self, key: &[u8], record: View<'_, B>);
}

/// For trees that nobody captures.
pub enum NoRecorder {}

impl<B> Recorder<B> for NoRecorder {
    fn record(&mut self, _: &[u8], _: View<'_, B>) {
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
        if let Some(page) = page {
            self.capture_page(page, &mut capture, has_enough);
        }
        let is_over = page.is_none();
        self.capture = Some(capture);
        is_over
    }

    /// Moves the cursor to the next page that is not done.
    fn next_page(&self, capture: &mut Capture<L::Recorder>) -> Option<&Page<L>> {
        loop {
            let page = self.pages.next(capture.cursor)?;
            let id = page.header().id;
            if !capture.done_pages.remove(&id) {
                capture.cursor = id;
                return Some(page);
            }
            capture.cursor = id + 1;
        }
    }

    /// Hands over a page's records, or some of them.
    fn capture_page(
        &self,
        page: &Page<L>,
        capture: &mut Capture<L::Recorder>,
        has_enough: impl Fn(&L::Recorder) -> bool,
    ) {
        let mut key = Vec::new();
        self.path(page.header().parent, &mut key);
        let Capture { recorder, done_keys, .. } = capture;
        let mut looked_at = 0;
        let flow = self.visit_page(page, &mut key, &[], &mut |entry| {
            looked_at += 1;
            if !is_key_done(done_keys, entry.key) {
                recorder.record(entry.key, entry.record);
                if has_enough(recorder) && looked_at < page.len() {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        if flow.is_break() {
            done_keys.reserve(looked_at);
            self.each_key(page, looked_at, |key| {
                done_keys.insert(key.into());
            });
            return;
        }
        if !done_keys.is_empty() {
            self.each_key(page, page.len(), |key| {
                done_keys.remove(key);
            });
        }
        capture.cursor = page.header().id + 1;
    }

    /// Visits the keys of a page's first `count` records.
    fn each_key(&self, page: &Page<L>, count: usize, mut visit: impl FnMut(&[u8])) {
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
            if !is_key_done(&capture.done_keys, &key) {
                capture.recorder.record(&key, self.view(position));
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
            self.capture_page(self.pages.page(id), &mut capture, |_| false);
        }
        self.capture = Some(capture);
    }

    /// Says that the page `stays` is about to take over the records of another of a lower number.
    pub(super) fn note_merge(&mut self, stays: u32, goes: u32) {
        let Some(mut capture) = self.capture.take() else { return };
        let done = [stays, goes].map(|id| capture.is_page_done(id));
        if done[0] != done[1] {
            // What is done in one of them is done in both; the other is handed over when its turn comes.
            let page = self.pages.page(if done[0] { stays } else { goes });
            self.each_key(page, page.len(), |key| {
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

fn is_key_done(done_keys: &HashSet<Box<[u8]>, RandomState>, key: &[u8]) -> bool {
    !done_keys.is_empty() && done_keys.contains(key)
}
