//! One thread of the server: its runtime, its buffers, its connections.

use super::connection::Connection;
use super::stream::Stream;
use crate::client::{Client, ClientFlags, Endpoint, Identity, Session};
use crate::command;
use crate::resp::{Args, Protocol, Reply, Span};
use crate::state::State;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

/// Bytes that one read can take: hot in the cache, shared by all connections of the thread.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Arguments that there is room for between two batches.
const SPANS_KEPT: usize = 64 * 1024;

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

/// The requests that are executed together. Reused, so that parsing allocates nothing.
#[derive(Default)]
pub struct Parsed {
    pub requests: Vec<Request>,
    pub spans: Vec<Span>,
    /// The words of inline commands, without their quotes.
    pub words: Vec<u8>,
    /// Requests that this batch may have.
    pub limit: usize,
}

impl Parsed {
    pub fn clear(&mut self) {
        self.requests.clear();
        self.spans.clear();
        self.words.clear();
        if self.spans.capacity() > SPANS_KEPT {
            self.spans.shrink_to(SPANS_KEPT);
        }
    }

    /// Adds a request whose arguments are the spans from `first` on.
    pub fn push(&mut self, start: usize, end: usize, first: usize) {
        let words_before = self.requests.last().map_or(0, |request| request.words.1);
        let words = (words_before, self.words.len());
        self.requests.push(Request { start, end, first, last: self.spans.len(), words });
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

/// What the connections of one thread share.
pub struct Worker {
    pub state: Arc<State>,
    pub read_buffer: RefCell<Vec<u8>>,
    pub parsed: RefCell<Parsed>,
    pub reply: RefCell<Reply>,
}

/// A socket on its way to the thread that will serve it.
pub struct Arrival {
    pub socket: Socket,
    pub client: Arc<Client>,
}

pub enum Socket {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// How the acceptor reaches a thread.
#[derive(Clone)]
pub struct WorkerHandle {
    pub arrivals: UnboundedSender<Arrival>,
    pub connections: Arc<AtomicUsize>,
}

/// Makes the two ends of a thread's arrivals.
pub fn worker_channel() -> (WorkerHandle, UnboundedReceiver<Arrival>) {
    let (arrivals, receiver) = unbounded_channel();
    (WorkerHandle { arrivals, connections: Arc::new(AtomicUsize::new(0)) }, receiver)
}

/// Runs one thread until the process ends. `also` is further work for this thread (the acceptors, on the first).
pub fn run(
    state: Arc<State>,
    handle: WorkerHandle,
    mut receiver: UnboundedReceiver<Arrival>,
    also: impl AsyncFnOnce(Rc<Worker>),
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(31).build()?;
    let worker = Rc::new(Worker {
        state,
        read_buffer: RefCell::new(vec![0; READ_BUFFER_BYTES]),
        parsed: RefCell::new(Parsed::default()),
        reply: RefCell::new(Reply::with_room(Protocol::Resp2)),
    });
    let local = LocalSet::new();
    let connections = Arc::clone(&handle.connections);
    let accepting = Rc::clone(&worker);
    local.spawn_local(async move {
        while let Some(arrival) = receiver.recv().await {
            let (worker, connections) = (Rc::clone(&accepting), Arc::clone(&connections));
            tokio::task::spawn_local(async move {
                let client = Arc::clone(&arrival.client);
                match open(arrival.socket) {
                    Ok(stream) => {
                        let session =
                            Session::new(Identity::new(arrival.client, !command::needs_password(&worker.state)));
                        Connection::new(Rc::clone(&worker), stream, session).serve().await;
                    }
                    Err(error) => tracing::warn!("Error registering fd event for the new client: {error}"),
                }
                worker.state.clients.remove(&client);
                connections.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    runtime.block_on(local.run_until(also(worker)));
    Ok(())
}

fn open(socket: Socket) -> std::io::Result<Stream> {
    Ok(match socket {
        Socket::Tcp(socket) => Stream::Tcp(TcpStream::from_std(socket)?),
        Socket::Unix(socket) => Stream::Unix(UnixStream::from_std(socket)?),
    })
}

/// Registers a new client for a socket.
pub fn register(state: &State, address: Endpoint, local_address: Endpoint, fd: i32) -> Arc<Client> {
    let now_ms = crate::state::unix_time_ms();
    let client = Arc::new(Client::new(state.clients.next_id(), address, local_address, fd, now_ms));
    client.set(ClientFlags::AUTHENTICATED, !command::needs_password(state));
    state.clients.add(&client);
    client
}
