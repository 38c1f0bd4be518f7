//! The clients of one HTTP connection: one at least, and another for each request that comes while the others are busy.

use super::access::Login;
use super::pipe::ClientEnd;
use super::reply::{Scanner, is_push};
use super::request::Commands;
use super::{Host, Session};
use crate::acl::Account;
use crate::client::Client;
use crate::command::limits;
use crate::resp::{ErrorReply, Protocol};
use crate::state::State;
use bytes::{Bytes, BytesMut};
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Clients without a request that are kept for the next.
const IDLE_MAX: usize = 8;

/// A client within the process.
pub struct Inner {
    pub client: Arc<Client>,
    session: Rc<dyn Session>,
    pub end: ClientEnd,
    received: BytesMut,
    scanner: Scanner,
}

/// Replies to several commands, as they were sent.
pub struct Replies {
    pub bytes: Bytes,
    ends: Vec<usize>,
}

impl Replies {
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|index| {
            let begin = if index == 0 { 0 } else { self.ends[index - 1] };
            &self.bytes[begin..self.ends[index]]
        })
    }
}

/// The client was ended before it had all its replies.
#[derive(Debug)]
pub struct Ended;

impl Inner {
    fn new(host: &dyn Host, client: Arc<Client>) -> Inner {
        let (session, end) = host.serve(&client);
        Inner { client, session, end, received: BytesMut::new(), scanner: Scanner::default() }
    }

    /// See [`Session::begin`].
    pub fn begin(&self, login: Option<&Login>, protocol: Protocol) -> bool {
        self.session.begin(login, protocol)
    }

    /// See [`Session::user_of`].
    pub fn user_of(&self, commands: &[&str]) -> Result<Arc<Account>, ErrorReply> {
        self.session.user_of(commands)
    }

    /// The next reply, or whatever else the server sends; `None` at the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(len) = self.scanner.end(&self.received) {
                return Poll::Ready(Some(self.received.split_to(len).freeze()));
            }
            if !ready!(self.end.poll_receive(cx, &mut self.received)) {
                return Poll::Ready(None);
            }
        }
    }

    /// What the server has sent, wherever that ends; `None` at the end.
    pub fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let is_open = ready!(self.end.poll_receive(cx, &mut self.received));
        Poll::Ready(is_open.then(|| self.received.split().freeze()))
    }

    /// Sends commands and waits for their replies.
    pub async fn exchange(&mut self, state: &State, commands: Commands) -> Result<Replies, Ended> {
        let (mut bytes, mut ends) = (std::mem::take(&mut self.received), Vec::new());
        // Where the next reply begins.
        let mut begin = 0;
        let bytes_max = limits::output_bytes_max(state, &self.client);
        self.end.send(commands.bytes.into());
        while ends.len() < commands.count {
            match self.scanner.end(&bytes[begin..]) {
                // It has nothing to do with the commands.
                Some(len) if is_push(&bytes[begin..]) => {
                    bytes.copy_within(begin + len.., begin);
                    bytes.truncate(bytes.len() - len);
                }
                Some(len) => {
                    begin += len;
                    ends.push(begin);
                }
                None if !std::future::poll_fn(|cx| self.end.poll_receive(cx, &mut bytes)).await => return Err(Ended),
                None if bytes.len() > bytes_max => {
                    limits::close_for_output(state, &self.client, bytes.len() as u64);
                    return Err(Ended);
                }
                None => {}
            }
        }
        self.received = bytes.split_off(begin);
        Ok(Replies { bytes: bytes.freeze(), ends })
    }
}

/// The clients of one HTTP connection.
pub struct Clients {
    pub host: Rc<dyn Host>,
    /// The first of them.
    pub client: Arc<Client>,
    idle: RefCell<Vec<Inner>>,
    /// How many there are, with those that are busy.
    count: Cell<usize>,
}

impl Clients {
    /// Begins to serve `client`, which has been registered.
    pub fn new(host: Rc<dyn Host>, client: Arc<Client>) -> Rc<Clients> {
        let first = Inner::new(&*host, Arc::clone(&client));
        Rc::new(Clients { host, client, idle: RefCell::new(vec![first]), count: Cell::new(1) })
    }

    pub fn state(&self) -> &Arc<State> {
        self.host.state()
    }

    /// A client for one request; `None` if there may be no more.
    pub fn lease(self: &Rc<Self>) -> Option<Lease> {
        self.look();
        let idle = self.idle.borrow_mut().pop();
        let inner = match idle {
            Some(inner) => inner,
            None => self.open()?,
        };
        Some(Lease { clients: Rc::downgrade(self), inner: Some(inner) })
    }

    fn open(&self) -> Option<Inner> {
        let client = self.host.another(&self.client)?;
        self.count.update(|count| count + 1);
        Some(Inner::new(&*self.host, client))
    }

    /// Forgets the clients that were ended meanwhile (`CLIENT KILL`, `timeout`). Returns whether there are any left.
    pub fn look(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        idle.retain(|inner| inner.end.is_open());
        self.count.update(|count| count - (before - idle.len()));
        self.count.get() > 0
    }
}

/// A client that has a request. If that is given up, so is the client, unless it is the last: then another takes its place.
pub struct Lease {
    /// Nothing once HTTP is no longer spoken.
    clients: Weak<Clients>,
    inner: Option<Inner>,
}

impl Lease {
    pub fn inner(&mut self) -> &mut Inner {
        self.inner.as_mut().expect("a lease has a client until it ends")
    }

    /// The client has nothing more to do for this request.
    pub fn give_back(mut self) {
        let (Some(inner), Some(clients)) = (self.inner.take(), self.clients.upgrade()) else { return };
        let mut idle = clients.idle.borrow_mut();
        if idle.len() < IDLE_MAX && inner.end.is_open() {
            idle.push(inner);
        } else {
            clients.count.update(|count| count - 1);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let (Some(inner), Some(clients)) = (self.inner.take(), self.clients.upgrade()) {
            drop(inner);
            clients.count.update(|count| count - 1);
            // Whoever is connected is a client, and counted as one.
            if clients.count.get() == 0
                && let Some(inner) = clients.open()
            {
                clients.idle.borrow_mut().push(inner);
            }
        }
    }
}
