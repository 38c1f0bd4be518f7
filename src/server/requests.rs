//! From the bytes that a client sent to requests that are ready to be executed.

use crate::client::Session;
use crate::command::{BATCH_REQUESTS_MAX, Batch};
use crate::config::Directive;
use crate::resp::{Args, Progress, ProtocolError, RequestLimits, Span, parse_request};
use crate::state::State;
use bytes::BytesMut;
use std::ops::Range;

/// Arguments that there is room for between two batches.
const SPANS_KEPT: usize = 64 * 1024;
/// And when no request has had more of them for a while.
const SPANS_AT_REST: usize = 4 * 1024;
/// Arguments of a half request that are copied out of the batch and back; more of them change hands as they are, lest
/// a request of millions that arrives in thousands of pieces have all of them copied each time.
const SPANS_COPIED_MAX: usize = 1024;

/// A request in the read buffer: its bytes, its arguments among the batch's spans, and the words that they are if it is an
/// inline command.
#[derive(Clone, Copy)]
pub struct Request {
    pub start: usize,
    pub end: usize,
    pub first: usize,
    pub last: usize,
    words: (usize, usize),
}

/// Requests that are executed together. Reused, so that parsing allocates nothing.
#[derive(Default)]
pub struct Parsed {
    pub requests: Vec<Request>,
    pub spans: Vec<Span>,
    /// The words of inline commands, without their quotes.
    pub words: Vec<u8>,
    /// The most spans that there were since the last look at what could be given back.
    spans_used: usize,
}

impl Parsed {
    pub fn clear(&mut self) {
        self.spans_used = self.spans_used.max(self.spans.len());
        self.requests.clear();
        self.spans.clear();
        self.words.clear();
        if self.spans.capacity() > SPANS_KEPT {
            self.spans.shrink_to(SPANS_KEPT);
        }
    }

    /// Gives back most of the room that was of no use since the last call.
    pub fn give_back_room(&mut self) {
        let used = std::mem::take(&mut self.spans_used).max(SPANS_AT_REST);
        if self.spans.capacity() > 2 * used {
            self.spans.shrink_to(used);
        }
    }

    /// Adds a request whose arguments are the spans from `first` on.
    pub fn push(&mut self, start: usize, end: usize, first: usize) {
        let words_before = self.requests.last().map_or(0, |request| request.words.1);
        let words = (words_before, self.words.len());
        self.requests.push(Request { start, end, first, last: self.spans.len(), words });
    }

    /// Drops what was found of a request that was not added.
    pub fn forget_half_request(&mut self) {
        let (spans, words) = self.requests.last().map_or((0, 0), |request| (request.last, request.words.1));
        self.spans.truncate(spans);
        self.words.truncate(words);
    }

    /// The request at `index`, all of which were parsed from `buffer`.
    #[inline]
    pub fn args<'a>(&'a self, buffer: &'a [u8], index: usize) -> Args<'a> {
        let request = self.requests[index];
        let (begin, end) = request.words;
        let bytes = if begin == end { &buffer[request.start..request.end] } else { &self.words[begin..end] };
        Args::new(bytes, &self.spans[request.first..request.last])
    }
}

/// Requests, parsed and prepared.
#[derive(Default)]
pub struct Requests {
    pub parsed: Parsed,
    pub batch: Batch,
}

impl Requests {
    pub fn clear(&mut self) {
        self.parsed.clear();
        self.batch.clear();
    }
}

/// Those of the requests that came from one connection.
pub struct Part {
    /// Which of them.
    pub requests: Range<usize>,
    /// Where in the buffer the first request begins that is not among them.
    pub end: usize,
    /// As many as can be dealt with at once, so that there may be more of them.
    pub is_full: bool,
    /// Why what stands behind them is no request.
    pub error: Option<ProtocolError>,
}

/// What is left of the bytes that a client sent, between two reads. Empty for a client at rest.
#[derive(Default)]
pub struct Pending {
    pub bytes: BytesMut,
    pub progress: Progress,
    /// Arguments of the request that is not complete.
    pub spans: Vec<Span>,
}

/// Parses requests in `buffer` from `start` on, as many as can be dealt with at once, and adds them to `requests`. What has
/// been read of the first incomplete one is kept in `pending`.
pub fn parse(
    state: &State,
    session: &Session,
    pending: &mut Pending,
    buffer: &[u8],
    start: usize,
    requests: &mut Requests,
) -> Part {
    let limits = RequestLimits {
        bulk_bytes_max: state.settings.int(Directive::ProtoMaxBulkLen),
        authenticated: session.is_authenticated,
    };
    // What follows AUTH is held to other limits than AUTH itself.
    let count_max = if limits.authenticated { BATCH_REQUESTS_MAX } else { 1 };
    let Requests { parsed, batch } = requests;
    let mut begun = std::mem::take(&mut pending.spans);
    if begun.len() > SPANS_COPIED_MAX && parsed.spans.is_empty() {
        std::mem::swap(&mut parsed.spans, &mut begun);
    } else {
        parsed.spans.append(&mut begun);
    }
    let (before, mut at, mut error) = (parsed.requests.len(), start, None);
    while parsed.requests.len() < before + count_max && at < buffer.len() {
        let first = parsed.requests.last().map_or(0, |request| request.last);
        let (progress, Parsed { spans, words, .. }) = (&mut pending.progress, &mut *parsed);
        match parse_request(&buffer[at..], progress, spans, words, &limits) {
            Ok(Some(len)) => {
                parsed.push(at, at + len, first);
                at += len;
            }
            Ok(None) => {
                if first == 0 && parsed.spans.len() > SPANS_COPIED_MAX {
                    pending.spans = std::mem::take(&mut parsed.spans);
                } else {
                    pending.spans.extend_from_slice(&parsed.spans[first..]);
                }
                break;
            }
            Err(reason) => {
                error = Some(reason);
                break;
            }
        }
    }
    parsed.forget_half_request();
    for index in before..parsed.requests.len() {
        batch.push(state, buffer, parsed.args(buffer, index));
    }
    let requests = before..parsed.requests.len();
    Part { is_full: requests.len() == count_max, requests, end: at, error }
}
