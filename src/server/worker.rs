//! One thread of the server: its runtime, its buffers, its connections.

use super::connection::{self, Connection};
use super::http;
use super::intake::Pipeline;
use super::rest;
use super::stream::Stream;
use crate::client::{Client, ClientFlags, Endpoint, Identity, Session};
use crate::command::migrate::Travel;
use crate::command::prefix::{Deletion, Next};
use crate::resp::{Protocol, Reply};
use crate::script;
use crate::state::State;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;

/// For how long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// The first byte of a handshake (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// Values for other servers are sent by so many threads at most, for each thread that serves clients.
const SENDERS_MAX: usize = 16;

/// Nanoseconds between two looks at the sockets of others while a script runs.
const SERVE_INTERVAL_NS: u64 = 10_000_000;

/// Time between two looks at what room a thread's requests had no use for.
const ROOM_INTERVAL: Duration = Duration::from_secs(1);

/// Tasks that run before sockets are looked at again, if there are so many: all connections that have something at the same time
/// are to be served together.
const TASKS_BETWEEN_EVENTS: u32 = 128;

/// What the connections of one thread share.
pub struct Worker {
    pub state: Arc<State>,
    pub pipeline: Pipeline,
    pub reply: RefCell<Reply>,
    /// Its connections, by the numbers of their clients.
    pub connections: RefCell<HashMap<u64, Weak<RefCell<Connection>>>>,
    /// Sockets that are to be served by this thread.
    arrivals: RefCell<UnboundedReceiver<Arrival>>,
    /// How many there are, as the acceptor sees it.
    count: Arc<AtomicUsize>,
    /// Takes in who wants to connect now, on the thread that does so.
    pub accept: RefCell<Option<Box<dyn Fn()>>>,
    /// When others were served last while a script ran, by the fine clock.
    served: Cell<u64>,
}

impl Worker {
    /// Serves what a socket sends, in a task of its own. The client may send something before the task runs.
    fn begin(self: &Rc<Self>, arrival: Arrival) {
        let (worker, client, is_http) = (Rc::clone(self), arrival.client, arrival.is_http);
        let opened = open(arrival.socket).map(|opened| match opened {
            Opened::Ready(stream) if !is_http => Ok(worker.connect(stream, &client)),
            opened => Err(opened),
        });
        // What few connections need has memory of its own: a task is as large as its largest part.
        tokio::task::spawn_local(async move {
            match opened {
                Ok(Ok(connection)) => connection::serve(connection).await,
                Ok(Err(opened)) => match Box::pin(greet(&worker.state, opened, &client, is_http)).await {
                    Ok(stream) if is_http => {
                        Box::pin(http::serve(&worker, stream, client)).await;
                        worker.count.fetch_sub(1, Ordering::Relaxed);
                        return;
                    }
                    Ok(stream) => {
                        let connection = worker.connect(stream, &client);
                        connection::serve(connection).await;
                    }
                    Err(error) => {
                        let (address, local) = (&client.address, &client.local_address);
                        tracing::debug!("Error accepting a client connection: {error} (addr={address} laddr={local})");
                    }
                },
                Err(error) => tracing::warn!("Error registering fd event for the new client: {error}"),
            }
            worker.forget(&client);
            worker.count.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// A client has left.
    pub fn forget(&self, client: &Client) {
        self.connections.borrow_mut().remove(&client.id);
        self.state.clients.remove(client);
    }

    /// Begins to serve a client over a stream.
    pub fn connect(self: &Rc<Self>, stream: Stream, client: &Arc<Client>) -> Rc<RefCell<Connection>> {
        let acl = &self.state.acl;
        let identity = Identity::new(Arc::clone(client), acl.default_account(), !acl.needs_password());
        let session = Session::new(identity);
        let connection = Rc::new(RefCell::new(Connection::new(Rc::clone(self), stream, session)));
        self.connections.borrow_mut().insert(client.id, Rc::downgrade(&connection));
        connection
    }

    /// Answers the other clients of this thread, which a script keeps from serving them: they are told that it is busy, unless
    /// they want the script to end.
    fn serve_others(self: &Rc<Self>) {
        if crate::access::nanoseconds_since(self.served.get()) < SERVE_INTERVAL_NS {
            return;
        }
        // Those that were served before the script began wait for nothing else.
        self.pipeline.send();
        self.pipeline.serve_during_script();
        if let Some(accept) = &*self.accept.borrow() {
            accept();
        }
        while let Some(arrival) = self.arrivals.try_borrow_mut().ok().and_then(|mut arrivals| arrivals.try_recv().ok())
        {
            self.begin(arrival);
        }
        let connections: Vec<_> = self.connections.borrow().values().filter_map(Weak::upgrade).collect();
        for connection in connections {
            // The one whose script it is cannot be borrowed.
            if let Ok(mut connection) = connection.try_borrow_mut() {
                connection.serve_during_script();
            }
        }
        self.served.set(crate::access::ticks());
    }
}

/// A socket on its way to the thread that will serve it.
pub struct Arrival {
    pub socket: Socket,
    pub client: Arc<Client>,
    /// It is the gateway's.
    pub is_http: bool,
}

pub enum Socket {
    Tcp(std::net::TcpStream),
    /// The client is to begin a TLS handshake.
    Tls(std::net::TcpStream),
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
    receiver: UnboundedReceiver<Arrival>,
    also: impl AsyncFnOnce(Rc<Worker>),
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(TASKS_BETWEEN_EVENTS)
        .on_thread_park(rest::before_sleep)
        .on_thread_unpark(rest::after_sleep)
        .max_blocking_threads(SENDERS_MAX)
        .build_local(LocalOptions::default())?;
    let worker = Rc::new(Worker {
        state,
        pipeline: Pipeline::new(),
        reply: RefCell::new(Reply::with_room(Protocol::Resp2)),
        connections: RefCell::default(),
        arrivals: RefCell::new(receiver),
        count: handle.connections,
        accept: RefCell::default(),
        served: Cell::new(0),
    });
    let serving = Rc::downgrade(&worker);
    script::serve_others_by(Box::new(move || {
        if let Some(worker) = serving.upgrade() {
            worker.serve_others();
        }
    }));
    let finishing = Rc::clone(&worker);
    runtime.spawn_local(std::future::poll_fn(move |cx| finishing.pipeline.poll_finish(&finishing.state, cx)));
    let accepting = Rc::clone(&worker);
    runtime.spawn_local(async move {
        while let Some(arrival) = std::future::poll_fn(|cx| accepting.arrivals.borrow_mut().poll_recv(cx)).await {
            accepting.begin(arrival);
        }
    });
    let resting = Rc::clone(&worker);
    runtime.spawn_local(async move {
        loop {
            tokio::time::sleep(ROOM_INTERVAL).await;
            resting.pipeline.give_back_room();
            crate::memory::publish();
        }
    });
    runtime.block_on(also(worker));
    // Whoever still waits for another server is not waited for.
    runtime.shutdown_background();
    Ok(())
}

/// Has values sent to another server by a thread that may wait for it, and then removes them here.
pub fn send(state: Arc<State>, mut travel: Travel) {
    tokio::task::spawn_local(async move {
        let sending = Arc::clone(&state);
        let sent = tokio::task::spawn_blocking(move || {
            travel.send(&sending);
            crate::memory::publish();
            travel
        });
        match sent.await {
            Ok(travel) => travel.end(&state),
            Err(error) => tracing::error!("Values were not sent: {error}"),
        }
        crate::memory::publish();
    });
}

/// Has keys deleted step by step, among the turns of the thread's clients.
pub fn delete(state: Arc<State>, mut deletion: Deletion) {
    tokio::task::spawn_local(async move {
        loop {
            let next = deletion.step(&state);
            state.log.wake_readers();
            state.tracking.broadcast(&state.clients);
            crate::memory::publish();
            match next {
                Next::Step => tokio::task::yield_now().await,
                Next::Again(patience) => tokio::time::sleep(patience).await,
                Next::End => break,
            }
        }
        deletion.end(&state);
    });
}

/// A socket of this thread.
enum Opened {
    Ready(Stream),
    Greeting(TcpStream),
}

fn open(socket: Socket) -> std::io::Result<Opened> {
    Ok(match socket {
        Socket::Tcp(socket) => Opened::Ready(Stream::Tcp(TcpStream::from_std(socket)?)),
        Socket::Tls(socket) => Opened::Greeting(TcpStream::from_std(socket)?),
        Socket::Unix(socket) => Opened::Ready(Stream::Unix(UnixStream::from_std(socket)?)),
    })
}

/// Shakes hands with a client, if TLS is spoken. Errors: it cannot be understood or is not let in, takes too long, or was killed
/// meanwhile.
async fn greet(state: &State, opened: Opened, client: &Client, is_http: bool) -> std::io::Result<Stream> {
    let socket = match opened {
        Opened::Ready(stream) => return Ok(stream),
        Opened::Greeting(socket) => socket,
    };
    let acceptor = TlsAcceptor::from(if is_http { state.tls.http()? } else { state.tls.server()? });
    let accept = async {
        let mut first = [0];
        // Who speaks something else would not understand what is wrong.
        if socket.peek(&mut first).await? == 1 && first[0] != HANDSHAKE_RECORD {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        acceptor.accept(socket).await
    };
    let mut handshake = pin!(tokio::time::timeout(HANDSHAKE_MAX, accept));
    let shaken = std::future::poll_fn(|cx| {
        client.mailbox.register(cx.waker());
        if client.is_killed() {
            return Poll::Ready(None);
        }
        handshake.as_mut().poll(cx).map(Some)
    });
    match shaken.await {
        Some(Ok(stream)) => stream.map(|stream| Stream::Tls(Box::new(stream))),
        Some(Err(_)) => Err(std::io::ErrorKind::TimedOut.into()),
        None => Err(std::io::ErrorKind::ConnectionAborted.into()),
    }
}

/// Registers a new client for a socket.
pub fn register(state: &State, address: Endpoint, local_address: Endpoint, fd: i32) -> Arc<Client> {
    let now_ms = crate::state::unix_time_ms();
    let client = Arc::new(Client::new(state.clients.next_id(), address, local_address, fd, now_ms));
    client.set(ClientFlags::AUTHENTICATED, !state.acl.needs_password());
    state.clients.add(&client);
    client
}
