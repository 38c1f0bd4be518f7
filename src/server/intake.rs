//! Requests on their way from the sockets of one thread to their execution.
//!
//! What is read from several connections that have something at the same time is executed together: the cache misses of
//! all their keys overlap, as those of the keys of one pipeline do.

use super::connection::Connection;
use super::requests::{Part, Requests};
use crate::command::Turns;
use crate::state::State;
use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Bytes that are read before they are executed: hot in the cache, shared by all connections of the thread.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// With less room than this, no further connection is read.
const READ_ROOM_MIN: usize = 16 * 1024;

/// Replies to several connections are sent when so many bytes have gathered,
const OUTGOING_BYTES_MAX: usize = 64 * 1024;
/// or when the first of them has waited so many nanoseconds, and further requests are to be executed.
const OUTGOING_NS_MAX: u64 = 1_000_000;

/// Room for replies that a thread has from the start: that of most, so that memory does not grow with the first of them.
const OUTGOING_ROOM_BYTES: usize = 16 * 1024;

/// What was read from a connection that has not been served since.
pub struct Read {
    pub connection: Rc<RefCell<Connection>>,
    /// The connection's task.
    pub waker: Waker,
    /// The bytes in the buffer.
    pub bytes: Range<usize>,
    pub part: Part,
}

/// What was read from several connections, all of which use the same database.
pub struct Group {
    pub buffer: Vec<u8>,
    /// Bytes in the buffer.
    pub filled: usize,
    pub requests: Requests,
    reads: Vec<Read>,
    database: usize,
}

/// Replies to one connection that have not been sent.
struct Reply {
    connection: Rc<RefCell<Connection>>,
    /// The connection's task.
    waker: Waker,
    /// The bytes in the buffer.
    bytes: Range<usize>,
}

/// Replies to several connections, sent together. Were each sent as soon as it is there, a client that has many connections
/// would have dealt with it and gone to sleep before the next is there, and waking it takes longer than most requests.
#[derive(Default)]
struct Outgoing {
    buffer: Vec<u8>,
    replies: Vec<Reply>,
    /// When the first of them was written, by the fine clock.
    begun: u64,
}

/// The way of a thread's requests.
pub struct Pipeline {
    group: RefCell<Group>,
    outgoing: RefCell<Outgoing>,
    /// Of the group that is being served, what comes next.
    unserved: RefCell<VecDeque<Read>>,
    /// The thread's turns to take all shards, for as long as it serves a group, or one connection.
    pub turns: Turns,
    /// For the further requests of a connection that sent more than can be dealt with at once.
    pub further: RefCell<Requests>,
    /// The task that serves what has been read when no further connection has anything.
    finisher: Cell<Option<Waker>>,
}

impl Pipeline {
    pub fn new() -> Self {
        let group = Group {
            buffer: vec![0; READ_BUFFER_BYTES],
            filled: 0,
            requests: Requests::default(),
            reads: Vec::new(),
            database: 0,
        };
        Pipeline {
            group: RefCell::new(group),
            outgoing: RefCell::new(Outgoing { buffer: Vec::with_capacity(OUTGOING_ROOM_BYTES), ..Outgoing::default() }),
            unserved: RefCell::default(),
            turns: Turns::default(),
            further: RefCell::default(),
            finisher: Cell::new(None),
        }
    }

    /// The group, for what is read next, from a connection that uses `database`.
    pub fn group(&self, state: &State, database: usize) -> RefMut<'_, Group> {
        let mut group = self.group.borrow_mut();
        if group.database != database {
            drop(group);
            self.serve(state);
            group = self.group.borrow_mut();
            group.database = database;
        }
        group
    }

    /// Notes that the group has something to be served.
    pub fn push(&self, mut group: RefMut<'_, Group>, read: Read) {
        group.filled = read.bytes.end;
        group.reads.push(read);
        if let Some(finisher) = self.finisher.take() {
            finisher.wake();
        }
    }

    /// Whether the group is to be served before more is read.
    pub fn is_full(&self) -> bool {
        let group = self.group.borrow();
        group.requests.batch.is_full() || group.filled > READ_BUFFER_BYTES - READ_ROOM_MIN
    }

    /// Serves all connections that have been read. None of them may be borrowed.
    pub fn serve(&self, state: &State) {
        let mut group = self.group.borrow_mut();
        let Group { buffer, filled, requests, database, reads } = &mut *group;
        self.unserved.borrow_mut().extend(reads.drain(..));
        requests.batch.prefetch(state, &buffer[..*filled], *database);
        drop(group);
        let group = self.group.borrow();
        loop {
            let next = self.unserved.borrow_mut().pop_front();
            let Some(Read { connection, waker, bytes, part }) = next else { break };
            if self.is_time_to_send() {
                self.send();
            }
            connection.borrow_mut().serve_read(&group.buffer, bytes, &group.requests, part, &waker);
            let kept = connection.borrow().kept_reply.clone();
            if let Some(bytes) = kept {
                self.outgoing.borrow_mut().replies.push(Reply { connection, waker, bytes });
            }
        }
        self.turns.end();
        drop(group);
        let mut group = self.group.borrow_mut();
        group.filled = 0;
        group.requests.clear();
    }

    /// Answers those whose requests were read together with the one whose script keeps the thread busy.
    pub fn serve_during_script(&self) {
        let group = self.group.borrow();
        self.unserved.borrow_mut().retain(|Read { connection, waker, bytes, part }| {
            let Ok(mut connection) = connection.try_borrow_mut() else { return true };
            let is_served = connection.serve_read_during_script(&group.buffer[..bytes.end], &group.requests, part);
            if is_served {
                waker.wake_by_ref();
            }
            !is_served
        });
    }

    /// Keeps the `reply` to the connection that is being served until [`Pipeline::send`], and returns where.
    pub fn send_later(&self, reply: &[u8]) -> Range<usize> {
        let mut outgoing = self.outgoing.borrow_mut();
        let begin = outgoing.buffer.len();
        if begin == 0 {
            outgoing.begun = crate::access::ticks();
        }
        outgoing.buffer.extend_from_slice(reply);
        begin..outgoing.buffer.len()
    }

    fn is_time_to_send(&self) -> bool {
        let outgoing = self.outgoing.borrow();
        outgoing.buffer.len() >= OUTGOING_BYTES_MAX
            || !outgoing.buffer.is_empty() && crate::access::nanoseconds_since(outgoing.begun) >= OUTGOING_NS_MAX
    }

    /// Sends what is to be sent. No connection for which there is anything may be borrowed.
    pub fn send(&self) {
        let mut outgoing = self.outgoing.take();
        for Reply { connection, waker, bytes } in outgoing.replies.drain(..) {
            connection.borrow_mut().send_kept(&outgoing.buffer[bytes], waker);
        }
        outgoing.buffer.clear();
        self.outgoing.replace(outgoing);
    }

    /// Gives back what room for requests was of no use since the last call.
    pub fn give_back_room(&self) {
        self.group.borrow_mut().requests.parsed.give_back_room();
        let mut further = self.further.borrow_mut();
        further.clear();
        further.parsed.give_back_room();
    }

    /// What a task does that is to run behind those of the connections: serves those that have been read, and sends what they
    /// are to get.
    pub fn poll_finish(&self, state: &State, cx: &mut Context<'_>) -> Poll<()> {
        self.serve(state);
        // Whoever follows is told before the clients are.
        state.log.wake_readers();
        state.tracking.broadcast(&state.clients);
        self.send();
        crate::memory::publish();
        self.finisher.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::log::ReaderKind;
    use crate::spec::Table;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn whoever_reads_the_log_is_told_once_those_that_were_read_are_served() {
        let state = State::new(Settings::new(), Table::new(&[]).unwrap(), 1).unwrap();
        let is_told = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_told);
        let wake = Box::new(move || told.store(true, Ordering::Relaxed));
        let reader = state.log.open(ReaderKind::Replica, 0, wake).unwrap();
        state.log.append(0, [b"DEL".as_slice(), b"key"].into_iter());
        let pipeline = Pipeline::new();
        assert!(pipeline.poll_finish(&state, &mut Context::from_waker(Waker::noop())).is_pending());
        assert!(is_told.load(Ordering::Relaxed));
        state.log.close(&reader);
    }
}
