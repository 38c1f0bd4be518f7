//! One connection: reads requests, has them executed, sends replies. Lives on one thread; its task sleeps until the
//! socket, its mailbox or a timer has something for it.

use super::stream::Stream;
use super::unsent::{SLICES_MAX, Unsent};
use super::worker::{Parsed, Worker};
use crate::client::{ClientFlags, Message, Session};
use crate::client_eviction;
use crate::command::{self, BATCH_REQUESTS_MAX, Batch, Outcome};
use crate::config::Directive;
use crate::resp::{ErrorReply, Progress, ProtocolError, Reply, RequestLimits, Span, parse_request};
use crate::state::unix_time_ms;
use crate::stats::Figure;
use bytes::{Buf, BytesMut};
use std::io::IoSlice;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Reads after which a connection lets the others of its thread have a turn.
const READS_PER_TURN: usize = 8;
/// Nanoseconds after which it does so between two batches of requests.
const TURN_NS_MAX: u64 = 1_000_000;
/// Replies are sent at the latest when so many bytes have gathered.
const REPLY_BYTES_MAX: usize = 64 * 1024;
/// So many, if the client's hard limit lies between the two: replies to one batch of requests that are together above the
/// limit end the connection as one reply would, and none of them is sent.
const REPLY_BYTES_LIMITED_MAX: usize = 256 * 1024;
/// Replies of fewer bytes are offered to the socket without a look at the limits of the output buffer.
const REPLY_BYTES_CHECKED: usize = 16 * 1024;
/// Replies of fewer bytes are as small as a reply buffer is said to be at least.
const REPLY_BYTES_NOTED: usize = 1024;
/// Room of a buffer that a client keeps for its next large request; given back when it is idle or sends a small one.
const QUERY_BYTES_KEPT: usize = 1024 * 1024;
/// Most that is allocated ahead for an argument that has been announced, in bytes; beyond it the room doubles as the
/// bytes arrive.
const ANNOUNCED_BYTES_MAX: usize = 1024 * 1024;
/// Arguments of a half request that are copied out of the batch and back; more of them change hands as they are, lest
/// a request of millions that arrives in thousands of pieces have all of them copied each time.
const SPANS_COPIED_MAX: usize = 1024;
/// Most that a client may have sent of a request before it has authenticated.
const UNAUTHENTICATED_QUERY_BYTES_MAX: i64 = 1024 * 1024;

/// The connection is over; everything that could be sent has been.
struct Ended;

/// What is left of the bytes that a client sent, between two reads. Empty for a client at rest.
#[derive(Default)]
struct Pending {
    bytes: BytesMut,
    progress: Progress,
    /// Arguments of the request that is not complete.
    spans: Vec<Span>,
}

pub struct Connection {
    worker: Rc<Worker>,
    stream: Stream,
    session: Session,
    pending: Pending,
    unsent: Unsent,
    /// Ends a wait or a pause.
    timer: Option<Pin<Box<Sleep>>>,
    /// The first request in `pending` is complete but may not run while the server is paused.
    is_postponed: bool,
    /// When the present turn began, by the fine clock.
    turn_begun: u64,
}

impl Connection {
    pub fn new(worker: Rc<Worker>, stream: Stream, session: Session) -> Self {
        Connection {
            worker,
            stream,
            session,
            pending: Pending::default(),
            unsent: Unsent::default(),
            timer: None,
            is_postponed: false,
            turn_begun: 0,
        }
    }

    /// Serves the client until the connection ends.
    pub async fn serve(mut self) {
        let Ended = std::future::poll_fn(|cx| {
            let polled = self.poll(cx);
            // Buffers have grown or shrunk, and this thread may be idle from now on.
            crate::memory::publish();
            polled
        })
        .await;
        self.set_postponed(false);
        command::leave(&self.worker.state, &mut self.session);
        drop(self);
        crate::memory::publish();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        self.turn_begun = crate::access::ticks();
        for _ in 0..READS_PER_TURN {
            self.worker.state.standstill.wait();
            self.session.client.mailbox.register(cx.waker());
            self.read_mail();
            if self.session.client.is_killed() {
                return self.finish(cx);
            }
            let flushed = self.flush(cx);
            if let Poll::Ready(Err(Ended)) = flushed {
                return Poll::Ready(Ended);
            }
            if self.session.close_after_reply {
                return if self.unsent.is_empty() { self.finish(cx) } else { Poll::Pending };
            }
            self.poll_timer(cx);
            if self.session.blocked.is_some() || self.is_postponed {
                if self.session.client.mailbox.has_mail() {
                    continue;
                }
                return self.read_ahead(cx);
            }
            if self.pending.progress.is_fresh() && !self.pending.bytes.is_empty() && self.execute_pending(cx) {
                if self.is_turn_over() {
                    break;
                }
                continue;
            }
            match self.read(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(Ended)) => return Poll::Ready(Ended),
                // A message may have come since the look at the mailbox above.
                Poll::Pending if self.session.client.mailbox.has_mail() => {}
                Poll::Pending => return Poll::Pending,
            }
            if self.is_turn_over() {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes what others sent.
    fn read_mail(&mut self) {
        if !self.session.client.mailbox.has_mail() {
            return;
        }
        for message in self.session.client.mailbox.take() {
            match message {
                Message::Push(bytes) => self.unsent.push(bytes),
                Message::Unblocked(reply) => {
                    command::end_wait(&mut self.session);
                    self.timer = None;
                    self.unsent.push(reply);
                }
                Message::Wake => {
                    self.set_postponed(false);
                    self.give_back_room();
                }
            }
        }
        self.note_output();
    }

    /// Ends a wait whose time has come, and a pause.
    fn poll_timer(&mut self, cx: &mut Context<'_>) {
        let deadline_ms = match &self.session.blocked {
            Some(blocked) => blocked.deadline_ms,
            None if self.is_postponed => Some(command::pause_end_ms(&self.worker.state)),
            None => None,
        };
        let Some(deadline_ms) = deadline_ms else {
            self.timer = None;
            return;
        };
        let now_ms = unix_time_ms();
        if now_ms < deadline_ms {
            // Made anew at each look: a wait wakes for little else than its end.
            let mut timer = Box::pin(tokio::time::sleep(Duration::from_millis((deadline_ms - now_ms) as u64)));
            if timer.as_mut().poll(cx).is_pending() {
                self.timer = Some(timer);
                return;
            }
        }
        self.timer = None;
        if self.session.blocked.is_some() {
            // Its reply comes by mail, as that of being served at the same moment does.
            command::time_out(&self.worker.state, &mut self.session);
        } else {
            self.set_postponed(false);
        }
    }

    /// Notes whether a pause holds the client back; while it does, the client counts as blocked.
    fn set_postponed(&mut self, is_postponed: bool) {
        if is_postponed != self.is_postponed {
            self.is_postponed = is_postponed;
            command::count_postponed(&self.worker.state, &self.session, is_postponed);
        }
    }

    /// While the client waits: notices that it left, and keeps what it sends for later, up to the limit of any query.
    fn read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            match tokio_util::io::poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.pending.bytes) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ended),
                Poll::Ready(Ok(read)) => {
                    self.note_input(read);
                    self.note_query();
                    if self.session.client.is_killed() {
                        return Poll::Pending;
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Reads once and executes what is complete.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let worker = Rc::clone(&self.worker);
        if !self.pending.bytes.is_empty() {
            let missing = self.pending.progress.needed().saturating_sub(self.pending.bytes.len());
            self.pending.bytes.reserve(missing.clamp(1, ANNOUNCED_BYTES_MAX));
            return match tokio_util::io::poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.pending.bytes) {
                Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Err(Ended)),
                Poll::Ready(Ok(read)) => {
                    self.note_input(read);
                    // Now, when the request is at its largest.
                    self.note_query();
                    if !self.session.client.is_killed() {
                        self.execute_pending(cx);
                    }
                    Poll::Ready(Ok(()))
                }
                Poll::Pending => Poll::Pending,
            };
        }
        let mut buffer = worker.read_buffer.borrow_mut();
        let mut into = ReadBuf::new(&mut buffer);
        match Pin::new(&mut self.stream).poll_read(cx, &mut into) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Ended)),
            Poll::Ready(Ok(())) => {}
        }
        let read = into.filled().len();
        if read == 0 {
            return Poll::Ready(Err(Ended));
        }
        self.note_input(read);
        let consumed = self.execute(&buffer[..read], cx);
        if consumed == read {
            self.give_back_room();
        }
        self.pending.bytes.extend_from_slice(&buffer[consumed..read]);
        self.note_query();
        Poll::Ready(Ok(()))
    }

    /// Executes what is complete in `pending`; whether there was anything.
    fn execute_pending(&mut self, cx: &mut Context<'_>) -> bool {
        let mut bytes = std::mem::take(&mut self.pending.bytes);
        let consumed = self.execute(&bytes, cx);
        if consumed < bytes.len() {
            // What stays is not moved: much may have been read ahead, of which each turn takes a little.
            bytes.advance(consumed);
        } else if bytes.capacity() > QUERY_BYTES_KEPT {
            bytes = BytesMut::new();
        } else {
            bytes.clear();
        }
        self.pending.bytes = bytes;
        self.note_query();
        consumed > 0
    }

    /// Gives back what a large request left behind, unless there is another on its way.
    fn give_back_room(&mut self) {
        if self.pending.bytes.is_empty() && self.pending.bytes.capacity() > 0 {
            self.pending.bytes = BytesMut::new();
            self.note_query();
        }
    }

    /// Executes the complete requests at the start of `buffer` and returns how many bytes they were. Stops early when
    /// the client blocks, is postponed or is to leave.
    fn execute(&mut self, buffer: &[u8], cx: &mut Context<'_>) -> usize {
        let worker = Rc::clone(&self.worker);
        let mut parsed = worker.parsed.borrow_mut();
        let mut reply = worker.reply.borrow_mut();
        reply.set_protocol(self.session.protocol);
        let room = command::limits::output_bytes_max(&worker.state, &self.session.client);
        reply.set_limit(room.saturating_sub(self.unsent.bytes()));
        let bytes_max = if room < REPLY_BYTES_LIMITED_MAX { room.max(REPLY_BYTES_MAX) } else { REPLY_BYTES_MAX };
        let mut at = 0;
        crate::memory::publish();
        // What was sent to the client before these requests reached it.
        self.read_mail();
        loop {
            let (end, error) = self.parse_batch(buffer, at, &mut parsed);
            let mut stopped = false;
            let state = &worker.state;
            let mut batch = Batch::default();
            for index in 0..parsed.requests.len() {
                batch.push(state, parsed.args(buffer, index));
            }
            batch.prefetch(state, self.session.database);
            for (index, request) in parsed.requests.iter().enumerate() {
                let args = parsed.args(buffer, index);
                if !args.is_empty() {
                    match command::execute(state, &mut self.session, args, batch.request(index), &mut reply) {
                        Outcome::Done => {}
                        Outcome::Postponed => {
                            self.set_postponed(true);
                            at = request.start;
                            stopped = true;
                            break;
                        }
                    }
                }
                at = request.end;
                if reply.len() >= bytes_max || reply.is_exceeded() {
                    self.send(&mut reply, cx);
                    // What was evicted to make room is to be gone before more is added.
                    stopped = state.clients.are_leaving();
                }
                if self.session.is_subscriber() && self.session.client.mailbox.has_mail() {
                    // A client that publishes to itself gets the message behind the reply.
                    self.send(&mut reply, cx);
                    self.read_mail();
                }
                let session = &self.session;
                stopped |= session.blocked.is_some() || session.close_after_reply || session.client.is_killed();
                if stopped {
                    break;
                }
            }
            let was_full = parsed.requests.len() == parsed.limit;
            if stopped {
                self.pending.progress = Progress::default();
                self.pending.spans.clear();
            } else {
                at = end;
                if let Some(error) = error {
                    self.refuse(error, &mut reply);
                    at = buffer.len();
                    stopped = true;
                }
            }
            if stopped || !was_full || at == buffer.len() || self.is_turn_over() {
                self.send(&mut reply, cx);
                break;
            }
        }
        at
    }

    /// Whether it is time to let the other connections of the thread go on, or to let them go.
    fn is_turn_over(&self) -> bool {
        crate::access::nanoseconds_since(self.turn_begun) >= TURN_NS_MAX || self.worker.state.clients.are_leaving()
    }

    /// Parses up to a batch of requests from `start` on. Returns where the first incomplete one begins.
    fn parse_batch(&mut self, buffer: &[u8], start: usize, parsed: &mut Parsed) -> (usize, Option<ProtocolError>) {
        let limits = RequestLimits {
            bulk_bytes_max: self.worker.state.settings.int(Directive::ProtoMaxBulkLen),
            authenticated: self.session.is_authenticated,
        };
        parsed.clear();
        // What follows AUTH is held to other limits than AUTH itself.
        parsed.limit = if limits.authenticated { BATCH_REQUESTS_MAX } else { 1 };
        let mut begun = std::mem::take(&mut self.pending.spans);
        if begun.len() > SPANS_COPIED_MAX {
            std::mem::swap(&mut parsed.spans, &mut begun);
        } else {
            parsed.spans.append(&mut begun);
        }
        let mut at = start;
        while parsed.requests.len() < parsed.limit && at < buffer.len() {
            let first = parsed.requests.last().map_or(0, |request| request.last);
            match parse_request(
                &buffer[at..],
                &mut self.pending.progress,
                &mut parsed.spans,
                &mut parsed.words,
                &limits,
            ) {
                Ok(Some(len)) => {
                    parsed.push(at, at + len, first);
                    at += len;
                }
                Ok(None) => {
                    if first == 0 && parsed.spans.len() > SPANS_COPIED_MAX {
                        self.pending.spans = std::mem::take(&mut parsed.spans);
                    } else {
                        self.pending.spans.extend_from_slice(&parsed.spans[first..]);
                    }
                    break;
                }
                Err(error) => return (at, Some(error)),
            }
        }
        (at, None)
    }

    fn refuse(&mut self, error: ProtocolError, reply: &mut Reply) {
        tracing::debug!("{error} from client {}", self.session.client.address);
        command::write_error(&self.worker.state, &ErrorReply::new(format!("ERR {error}")), reply);
        self.session.close_after_reply = true;
        self.pending = Pending::default();
    }

    /// Sends what is in `reply`, or keeps what the socket does not take.
    fn send(&mut self, reply: &mut Reply, cx: &mut Context<'_>) {
        if reply.is_exceeded() {
            let bytes = self.unsent.bytes() + reply.len();
            command::limits::close_for_output(&self.worker.state, &self.session.client, bytes as u64);
            reply.clear();
        }
        if reply.is_empty() {
            return;
        }
        let mut sent = 0;
        if reply.len() > REPLY_BYTES_NOTED {
            self.session
                .client
                .note_replies(reply.len(), self.worker.state.reply_peak_reset_ms.load(Ordering::Relaxed));
        }
        if reply.len() >= REPLY_BYTES_CHECKED && self.exceeds_limits(reply.len()) {
            // Nothing of it is sent: the client could not tell a part from the whole.
            reply.clear();
            return;
        }
        if self.unsent.is_empty() {
            while sent < reply.len() {
                match Pin::new(&mut self.stream).poll_write(cx, &reply.as_bytes()[sent..]) {
                    Poll::Ready(Ok(count)) if count > 0 => sent += count,
                    Poll::Ready(_) => {
                        self.session.client.kill();
                        break;
                    }
                    Poll::Pending => break,
                }
            }
            self.worker.state.stats.add(Figure::NetOutputBytes, sent as u64);
            self.worker.state.stats.add(Figure::WritesProcessed, 1);
            self.session.client.net_out.fetch_add(sent as u64, Ordering::Relaxed);
        }
        if sent == reply.len() {
            reply.clear();
        } else {
            self.unsent.push(reply.take_from(sent));
            self.note_output();
        }
    }

    /// Whether the output buffer's limits end the connection, were `bytes` more kept for it.
    fn exceeds_limits(&mut self, bytes: usize) -> bool {
        let client = &self.session.client;
        command::limits::check_output(&self.worker.state, client, client.output_memory() + bytes, unix_time_ms());
        client.has(ClientFlags::CLOSE_ASAP)
    }

    /// Sends what was kept; ready when nothing is left.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        if self.unsent.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.unsent.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.unsent.fill(&mut slices);
            match Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..count]) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.unsent.advance(count);
                    self.worker.state.stats.add(Figure::NetOutputBytes, count as u64);
                    self.session.client.net_out.fetch_add(count as u64, Ordering::Relaxed);
                }
                Poll::Ready(_) => return Poll::Ready(Err(Ended)),
                Poll::Pending => {
                    self.note_output();
                    return Poll::Pending;
                }
            }
        }
        self.unsent = Unsent::default();
        self.note_output();
        Poll::Ready(Ok(()))
    }

    /// Tells the client that nothing more comes. Were the socket closed over requests that nobody will read, the client
    /// would see a connection that broke instead of one that ended.
    fn finish(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        Pin::new(&mut self.stream).poll_shutdown(cx).map(|_| Ended)
    }

    fn note_input(&mut self, bytes: usize) {
        let client = &self.session.client;
        self.worker.state.stats.add(Figure::NetInputBytes, bytes as u64);
        self.worker.state.stats.add(Figure::ReadsProcessed, 1);
        client.net_in.fetch_add(bytes as u64, Ordering::Relaxed);
        client.last_active_ms.store(unix_time_ms(), Ordering::Relaxed);
    }

    /// Publishes the size of the half request, and ends the connection when that and the commands queued by `MULTI`
    /// are above their limit.
    fn note_query(&mut self) {
        let client = &self.session.client;
        let bytes = self.pending.bytes.len();
        let finished = self.pending.progress.finished().min(bytes);
        let spans = self.pending.spans.capacity() * size_of::<Span>();
        client.argument_bytes.store(finished + spans, Ordering::Relaxed);
        client.query_bytes.store(bytes - finished, Ordering::Relaxed);
        client.query_free_bytes.store(self.pending.bytes.capacity() - bytes, Ordering::Relaxed);
        client_eviction::note(&self.worker.state, client);
        let limit = self.worker.state.settings.int(Directive::ClientQueryBufferLimit);
        let limit = if self.session.is_authenticated { limit } else { limit.min(UNAUTHENTICATED_QUERY_BYTES_MAX) };
        if (bytes + client.queued_bytes.load(Ordering::Relaxed)) as i64 > limit {
            tracing::warn!(
                "Closing client that reached max query buffer length: id={} addr={} qbuf={bytes}",
                client.id,
                client.address
            );
            self.worker.state.stats.add(Figure::QueryBufferLimitDisconnections, 1);
            client.kill();
        }
    }

    /// Publishes the size of the unsent replies, and ends the connection when they are above their limit.
    fn note_output(&mut self) {
        let client = &self.session.client;
        client.output_bytes.store(self.unsent.bytes(), Ordering::Relaxed);
        client.output_blocks.store(self.unsent.blocks(), Ordering::Relaxed);
        if !self.unsent.is_empty() || client.soft_limit_since_ms.load(Ordering::Relaxed) > 0 {
            command::limits::check_output(&self.worker.state, client, client.output_memory(), unix_time_ms());
        }
        client_eviction::note(&self.worker.state, client);
        if client.has(ClientFlags::CLOSE_ASAP) {
            client.mailbox.post(Message::Wake);
        }
    }
}
