//! One connection: reads requests, has them executed, sends replies. Lives on one thread; its task sleeps until the
//! socket, its mailbox or a timer has something for it.

mod during_script;
mod replica;

use super::intake::{Group, Read};
use super::requests::{Part, Pending, Requests, parse};
use super::rest;
use super::stream::Stream;
use super::unsent::{SLICES_MAX, Unsent};
use super::worker::{self, Worker};
use crate::client::{ClientFlags, Message, Session};
use crate::client_eviction;
use crate::command::divergence::Talk;
use crate::command::{self, Outcome, Postponed};
use crate::config::Directive;
use crate::replication::Stage;
use crate::resp::{ErrorReply, Progress, ProtocolError, Reply, Span};
use crate::state::{State, unix_time_ms};
use crate::stats::Figure;
use bytes::{Buf, BytesMut};
use replica::Delivery;
use std::cell::RefCell;
use std::io::IoSlice;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
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
/// Most that a client may have sent of a request before it has authenticated.
const UNAUTHENTICATED_QUERY_BYTES_MAX: i64 = 1024 * 1024;
/// Most that is kept of the replies to such a client, if it does not read them.
const UNAUTHENTICATED_OUTPUT_BYTES_MAX: usize = 1024;

/// The connection is over; everything that could be sent has been.
struct Ended;

pub struct Connection {
    worker: Rc<Worker>,
    stream: Stream,
    session: Session,
    pending: Pending,
    unsent: Unsent,
    /// What was read is in the thread's pipeline.
    is_read: bool,
    /// Where in the pipeline there is a reply to be sent first.
    pub kept_reply: Option<Range<usize>>,
    /// What is unsent tells of what the log has before this offset, which has to be on the disk first; 0 if of nothing.
    held_until: u64,
    /// Ends a wait or a pause.
    timer: Option<Pin<Box<Sleep>>>,
    /// What the first request in `pending`, which is complete, must wait for.
    postponed: Option<Postponed>,
    /// When the present turn began, by the fine clock.
    turn_begun: u64,
    /// Of a replica.
    delivery: Option<Box<Delivery>>,
}

/// Serves a client until its connection ends.
pub async fn serve(connection: Rc<RefCell<Connection>>) {
    let worker = Rc::clone(&connection.borrow().worker);
    let Ended = std::future::poll_fn(|cx| {
        if connection.borrow().is_read {
            worker.pipeline.serve(&worker.state);
        }
        if connection.borrow().kept_reply.is_some() {
            worker.pipeline.send();
        }
        let polled = connection.borrow_mut().poll(cx, &connection);
        if worker.pipeline.is_full() {
            worker.pipeline.serve(&worker.state);
        }
        worker.state.log.wake_readers();
        worker.state.tracking.broadcast(&worker.state.clients);
        // Buffers have grown or shrunk, and this thread may be idle from now on.
        crate::memory::publish();
        polled
    })
    .await;
    connection.borrow_mut().leave();
    drop(connection);
    crate::memory::publish();
}

impl Connection {
    pub fn new(worker: Rc<Worker>, stream: Stream, session: Session) -> Self {
        Connection {
            worker,
            stream,
            session,
            pending: Pending::default(),
            unsent: Unsent::default(),
            is_read: false,
            kept_reply: None,
            held_until: 0,
            timer: None,
            postponed: None,
            turn_begun: 0,
            delivery: None,
        }
    }

    /// Changes the session between requests.
    pub fn with_session<T>(&mut self, change: impl FnOnce(&State, &mut Session) -> T) -> T {
        change(&self.worker.state, &mut self.session)
    }

    /// Ends everything that ties the client to the server.
    fn leave(&mut self) {
        self.set_postponed(None);
        command::leave(&self.worker.state, &mut self.session);
    }

    /// What there is to do. `me` is this connection.
    fn poll(&mut self, cx: &mut Context<'_>, me: &Rc<RefCell<Connection>>) -> Poll<Ended> {
        rest::note_turn(self.turn_begun);
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
            if flushed.is_pending() && self.is_held() {
                // What is done now would be told only behind what waits for the disk already.
                if self.session.client.mailbox.has_mail() {
                    continue;
                }
                return Poll::Pending;
            }
            if self.session.replica.is_some()
                && let Err(Ended) = self.feed_replica(cx)
            {
                return Poll::Ready(Ended);
            }
            if self.session.close_after_reply {
                return if self.unsent.is_empty() { self.finish(cx) } else { Poll::Pending };
            }
            self.poll_timer(cx);
            if self.session.blocked.is_some() || self.postponed.is_some() {
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
            match self.read(cx, me) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(Ended)) => return Poll::Ready(Ended),
                Poll::Pending if self.is_read => return Poll::Pending,
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
            if !matches!(message, Message::Wake) {
                self.hold();
            }
            match message {
                Message::Push(bytes) => self.unsent.push(bytes),
                Message::Unblocked(reply) => {
                    command::end_wait(&mut self.session);
                    self.timer = None;
                    self.unsent.push(reply);
                    self.session.close_after_reply |= self.session.client.has(ClientFlags::CLOSE_AFTER_REPLY);
                }
                Message::Wake => {
                    self.set_postponed(None);
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
            None if self.postponed == Some(Postponed::Pause) => Some(command::pause_end_ms(&self.worker.state)),
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
            self.set_postponed(None);
        }
    }

    /// Notes what holds the client back; while anything does, the client counts as blocked.
    fn set_postponed(&mut self, postponed: Option<Postponed>) {
        if postponed.is_some() != self.postponed.is_some() {
            command::count_postponed(&self.worker.state, &self.session, postponed.is_some());
        }
        self.postponed = postponed;
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

    /// Reads once, and executes what is complete or puts it into the pipeline. Ready when something was executed.
    fn read(&mut self, cx: &mut Context<'_>, me: &Rc<RefCell<Connection>>) -> Poll<Result<(), Ended>> {
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
        let worker = Rc::clone(&self.worker);
        let mut group = worker.pipeline.group(&worker.state, self.session.database);
        let start = group.filled;
        let mut into = ReadBuf::new(&mut group.buffer[start..]);
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
        let bytes = start..start + read;
        let Group { buffer, requests, .. } = &mut *group;
        let part = parse(&worker.state, &self.session, &mut self.pending, &buffer[..bytes.end], start, requests);
        if self.stream.poll_read_ready(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        self.is_read = true;
        let read = Read { connection: Rc::clone(me), waker: cx.waker().clone(), bytes, part };
        worker.pipeline.push(group, read);
        Poll::Pending
    }

    /// Executes what was read before: `bytes` of `buffer`, in which `part` of the `requests` are.
    pub fn serve_read(&mut self, buffer: &[u8], bytes: Range<usize>, requests: &Requests, part: Part, waker: &Waker) {
        self.is_read = false;
        self.turn_begun = crate::access::ticks();
        self.worker.state.standstill.wait();
        if !self.session.client.is_killed() {
            let (start, end) = (bytes.start, bytes.end);
            let cx = &mut Context::from_waker(waker);
            let consumed = self.execute(&buffer[..end], start, Some((requests, part)), cx);
            if consumed == end {
                self.give_back_room();
            }
            self.pending.bytes.extend_from_slice(&buffer[consumed..end]);
            self.note_query();
        }
        if self.has_more_to_do() {
            waker.wake_by_ref();
        }
    }

    /// Whether something else than what a client sends next needs the connection's task.
    fn has_more_to_do(&self) -> bool {
        let has_requests = self.pending.progress.is_fresh() && !self.pending.bytes.is_empty();
        has_requests
            || !self.unsent.is_empty()
            || self.stream.is_behind()
            || self.session.blocked.is_some()
            || self.session.close_after_reply
            || self.postponed.is_some()
            || self.session.client.is_killed()
    }

    /// Executes what is complete in `pending`; whether there was anything.
    fn execute_pending(&mut self, cx: &mut Context<'_>) -> bool {
        let mut bytes = std::mem::take(&mut self.pending.bytes);
        let consumed = self.execute(&bytes, 0, None, cx);
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

    /// Executes the complete requests in `buffer` from `at` on, of which the `first` have been prepared, and returns where
    /// the others begin. Stops early when the client blocks, is postponed or is to leave.
    fn execute(
        &mut self,
        buffer: &[u8],
        mut at: usize,
        first: Option<(&Requests, Part)>,
        cx: &mut Context<'_>,
    ) -> usize {
        let worker = Rc::clone(&self.worker);
        let state = &worker.state;
        let mut reply = worker.reply.borrow_mut();
        reply.set_protocol(self.session.protocol);
        let room = command::limits::output_bytes_max(state, &self.session.client);
        reply.set_limit(room.saturating_sub(self.unsent.bytes()));
        let bytes_max = if room < REPLY_BYTES_LIMITED_MAX { room.max(REPLY_BYTES_MAX) } else { REPLY_BYTES_MAX };
        crate::memory::publish();
        // What was sent to the client before these requests reached it.
        self.read_mail();
        let mut goes_on = true;
        let is_one_of_many = first.is_some();
        if let Some((requests, part)) = first {
            (at, goes_on) = self.run(buffer, requests, part, &mut reply, bytes_max, cx);
        }
        while goes_on {
            let mut further = worker.pipeline.further.borrow_mut();
            further.clear();
            let part = parse(state, &self.session, &mut self.pending, buffer, at, &mut further);
            further.batch.prefetch(state, buffer, self.session.database);
            (at, goes_on) = self.run(buffer, &further, part, &mut reply, bytes_max, cx);
        }
        if is_one_of_many {
            self.send_later(&mut reply, cx);
        } else {
            worker.pipeline.turns.end();
            self.send(&mut reply, cx);
        }
        at
    }

    /// Executes a part of the requests, and sends the replies when `bytes_max` have gathered. Returns where in `buffer` the first one begins that was not executed, and whether
    /// there may be more to be executed now.
    fn run(
        &mut self,
        buffer: &[u8],
        requests: &Requests,
        part: Part,
        reply: &mut Reply,
        bytes_max: usize,
        cx: &mut Context<'_>,
    ) -> (usize, bool) {
        let worker = Rc::clone(&self.worker);
        let state = &worker.state;
        let Requests { parsed, batch } = requests;
        self.session.clock = 0;
        for index in part.requests {
            let request = parsed.requests[index];
            let args = parsed.args(buffer, index);
            let mut stopped = false;
            if !args.is_empty() {
                let prepared = batch.request(buffer, index).among_others(&worker.pipeline.turns);
                let (is_replica, before) = (self.session.replica.is_some(), reply.len());
                match command::execute(state, &mut self.session, args, prepared, reply) {
                    Outcome::Done => {}
                    Outcome::Sends(travel) => worker::send(Arc::clone(state), travel),
                    Outcome::Deletes(deletion) => worker::delete(Arc::clone(state), deletion),
                    Outcome::Postponed(postponed) => {
                        self.set_postponed(Some(postponed));
                        self.forget_half_request();
                        return (request.start, false);
                    }
                }
                if is_replica && reply.len() > before {
                    self.reject_replica(args.at(0), reply, before);
                }
            }
            if reply.len() >= bytes_max || reply.is_exceeded() {
                self.send(reply, cx);
                // What was evicted to make room is to be gone before more is added.
                stopped = state.clients.are_leaving();
            }
            if self.session.is_subscriber() && self.session.client.mailbox.has_mail() {
                // A client that publishes to itself gets the message behind the reply.
                self.send(reply, cx);
                self.read_mail();
            }
            let session = &self.session;
            stopped |= session.blocked.is_some() || session.close_after_reply || session.client.is_killed();
            if stopped {
                self.forget_half_request();
                return (request.end, false);
            }
        }
        if let Some(error) = part.error {
            self.refuse(error, reply);
            return (buffer.len(), false);
        }
        (part.end, part.is_full && part.end < buffer.len() && !self.is_turn_over())
    }

    /// Ends the connection of a replica that has sent something with an answer, which begins at `at` of `reply`: it would be in
    /// the midst of the log.
    #[cold]
    fn reject_replica(&mut self, name: &[u8], reply: &mut Reply, at: usize) {
        let (state, client) = (&self.worker.state, &self.session.client);
        if reply.as_bytes()[at..].starts_with(b"-") {
            command::divergence::note_error(state, Talk::PrimaryToReplica, name, &reply.as_bytes()[at..]);
        }
        reply.truncate(at);
        let command = command::client::command_name(client);
        tracing::warn!(
            "Replica generated a reply to command '{command}', disconnecting it: id={} addr={} laddr={}",
            client.id,
            client.address,
            client.local_address
        );
        client.kill();
    }

    /// Has the half request behind those that were executed parsed again, since some of them were not.
    fn forget_half_request(&mut self) {
        self.pending.progress = Progress::default();
        self.pending.spans.clear();
    }

    /// Whether it is time to let the other connections of the thread go on, or to let them go.
    fn is_turn_over(&self) -> bool {
        crate::access::nanoseconds_since(self.turn_begun) >= TURN_NS_MAX || self.worker.state.clients.are_leaving()
    }

    fn refuse(&mut self, error: ProtocolError, reply: &mut Reply) {
        tracing::debug!("{error} from client {}", self.session.client.address);
        command::write_error(&self.worker.state, &ErrorReply::new(format!("ERR {error}")), reply);
        self.session.close_after_reply = true;
        self.pending = Pending::default();
    }

    /// Sends what is in `reply`, or keeps what the socket does not take.
    fn send(&mut self, reply: &mut Reply, cx: &mut Context<'_>) {
        if !self.may_send(reply) {
            return;
        }
        let sent = if self.has_nothing_before() { self.write(reply.as_bytes(), cx) } else { 0 };
        if sent == reply.len() {
            reply.clear();
        } else {
            self.unsent.push(reply.take_from(sent));
            self.note_output();
        }
    }

    /// Has what is in `reply` sent when the other connections that have something have been served.
    fn send_later(&mut self, reply: &mut Reply, cx: &mut Context<'_>) {
        if reply.len() >= REPLY_BYTES_CHECKED {
            self.send(reply, cx);
        } else if self.may_send(reply) && self.has_nothing_before() {
            self.kept_reply = Some(self.worker.pipeline.send_later(reply.as_bytes()));
            reply.clear();
        } else if !reply.is_empty() {
            self.unsent.push(reply.take_from(0));
            self.note_output();
        }
    }

    /// Sends what [`Connection::send_later`] kept.
    pub fn send_kept(&mut self, reply: &[u8], waker: Waker) {
        self.kept_reply = None;
        let sent = self.write(reply, &mut Context::from_waker(&waker));
        if sent < reply.len() {
            self.unsent.push(reply[sent..].to_vec());
            self.note_output();
        }
        if self.has_more_to_do() {
            waker.wake();
        }
    }

    /// Whether there is anything in `reply`, and the client may have it.
    fn may_send(&mut self, reply: &mut Reply) -> bool {
        // What sending takes is not counted to the next command.
        self.session.clock = 0;
        if reply.is_exceeded() {
            let bytes = self.unsent.bytes() + reply.len();
            command::limits::close_for_output(&self.worker.state, &self.session.client, bytes as u64);
            reply.clear();
        }
        if reply.is_empty() {
            return false;
        }
        if reply.len() > REPLY_BYTES_NOTED {
            self.session
                .client
                .note_replies(reply.len(), self.worker.state.reply_peak_reset_ms.load(Ordering::Relaxed));
        }
        if reply.len() >= REPLY_BYTES_CHECKED && self.exceeds_limits(reply.len()) {
            // Nothing of it is sent: the client could not tell a part from the whole.
            reply.clear();
            return false;
        }
        self.hold();
        true
    }

    /// Whether the next reply may go to the socket at once.
    fn has_nothing_before(&self) -> bool {
        self.unsent.is_empty() && !self.is_held()
    }

    /// Offers `bytes` to the socket, and returns how many it took; the connection has ended if it takes nothing any more.
    fn write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &bytes[sent..]) {
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
        sent
    }

    /// Whether the output buffer's limits end the connection, were `bytes` more kept for it.
    fn exceeds_limits(&mut self, bytes: usize) -> bool {
        self.check_output(self.session.client.output_memory() + bytes);
        self.session.client.has(ClientFlags::CLOSE_ASAP)
    }

    /// Ends the connection if it may not have `bytes` of unread output.
    fn check_output(&self, bytes: usize) {
        let (state, client) = (&self.worker.state, &self.session.client);
        if !self.session.is_authenticated && bytes > UNAUTHENTICATED_OUTPUT_BYTES_MAX {
            command::limits::close_for_output(state, client, bytes as u64);
        } else {
            command::limits::check_output(state, client, bytes, unix_time_ms());
        }
    }

    /// Has what is sent from now on wait until everything that it may tell of is on the disk, if that was promised.
    #[inline]
    fn hold(&mut self) {
        let state = &self.worker.state;
        if state.append_file.is_on() {
            let end = state.log.end();
            if !state.append_file.is_durable(end) {
                self.held_until = end;
            }
        }
    }

    /// Whether what is unsent waits for the disk; then the connection is told when more has come there.
    #[inline]
    fn is_held(&self) -> bool {
        self.held_until > 0 && self.waits_for_disk()
    }

    #[cold]
    fn waits_for_disk(&self) -> bool {
        let append_file = &self.worker.state.append_file;
        if append_file.is_durable(self.held_until) {
            return false;
        }
        append_file.wake_when_durable(&self.session.client);
        // It may have come there before somebody could know who waits.
        !append_file.is_durable(self.held_until)
    }

    /// Sends what was kept; ready when nothing is left.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        if self.unsent.is_empty() {
            return if self.stream.is_behind() { self.flush_stream(cx) } else { Poll::Ready(Ok(())) };
        }
        if self.is_held() {
            return Poll::Pending;
        }
        self.held_until = 0;
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
        self.flush_stream(cx)
    }

    /// Sends what the stream keeps of what was written.
    fn flush_stream(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        Pin::new(&mut self.stream).poll_flush(cx).map(|flushed| flushed.map_err(|_| Ended))
    }

    /// Tells the client that nothing more comes. Were the socket closed over requests that nobody will read, the client
    /// would see a connection that broke instead of one that ended.
    fn finish(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        // Before a replica can come back: what is kept for this connection is not for the next.
        command::replication::leave(&self.worker.state, &mut self.session);
        Pin::new(&mut self.stream).poll_shutdown(cx).map(|_| Ended)
    }

    fn note_input(&mut self, bytes: usize) {
        rest::note_input(bytes);
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
        if (bytes + client.queued_bytes.load(Ordering::Relaxed)) as i64 > limit && !client.is_killed() {
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
        let mut is_behind = false;
        if let Some(replica) = &self.session.replica {
            let behind = replica.behind(&self.worker.state.log);
            is_behind = behind > 0;
            // A copy of the data is sent as fast as it is taken.
            let unsent = if replica.stage() == Stage::Online { self.unsent.bytes() } else { 0 };
            client.output_bytes.store(unsent + behind, Ordering::Relaxed);
        }
        if is_behind || !self.unsent.is_empty() || client.soft_limit_since_ms.load(Ordering::Relaxed) > 0 {
            self.check_output(client.output_memory());
        }
        client_eviction::note(&self.worker.state, client);
        if client.has(ClientFlags::CLOSE_ASAP) {
            client.mailbox.post(Message::Wake);
        }
    }
}
