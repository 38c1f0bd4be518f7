//! Requests on their way from the sockets of one thread to their execution.
//!
//! What is read from several connections that have something at the same time is executed together: the cache misses of
//! all their keys overlap, as those of the keys of one pipeline do.

use super::connection::Connection;
use super::requests::{Part, Requests};
use crate::state::State;
use std::cell::{Cell, RefCell, RefMut};
use std::ops::Range;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Bytes that are read before they are executed: hot in the cache, shared by all connections of the thread.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// With less room than this, no further connection is read.
const READ_ROOM_MIN: usize = 16 * 1024;

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

/// The way of a thread's requests.
pub struct Pipeline {
    group: RefCell<Group>,
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
        Pipeline { group: RefCell::new(group), further: RefCell::default(), finisher: Cell::new(None) }
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
        let mut reads = std::mem::take(&mut group.reads);
        let Group { buffer, filled, requests, database, .. } = &mut *group;
        requests.batch.prefetch(state, &buffer[..*filled], *database);
        drop(group);
        let group = self.group.borrow();
        for Read { connection, waker, bytes, part } in reads.drain(..) {
            connection.borrow_mut().serve_read(&group.buffer, bytes, &group.requests, part, waker);
        }
        drop(group);
        let mut group = self.group.borrow_mut();
        group.reads = reads;
        group.filled = 0;
        group.requests.clear();
    }

    /// What a task does that is to run behind those of the connections: serves those that have been read.
    pub fn poll_finish(&self, state: &State, cx: &mut Context<'_>) -> Poll<()> {
        self.serve(state);
        crate::memory::publish();
        self.finisher.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}
