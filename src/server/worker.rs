//! One thread of the server: its runtime, its buffers, its connections.

use super::connection::{self, Connection};
use super::intake::Pipeline;
use super::stream::Stream;
use crate::client::{Client, ClientFlags, Endpoint, Identity, Session};
use crate::command::{self, migrate::Travel};
use crate::resp::{Protocol, Reply};
use crate::state::State;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

/// Values for other servers are sent by so many threads at most, for each thread that serves clients.
const SENDERS_MAX: usize = 16;

/// What the connections of one thread share.
pub struct Worker {
    pub state: Arc<State>,
    pub pipeline: Pipeline,
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(31)
        .max_blocking_threads(SENDERS_MAX)
        .build()?;
    let worker =
        Rc::new(Worker { state, pipeline: Pipeline::new(), reply: RefCell::new(Reply::with_room(Protocol::Resp2)) });
    let local = LocalSet::new();
    let connections = Arc::clone(&handle.connections);
    let finishing = Rc::clone(&worker);
    local.spawn_local(std::future::poll_fn(move |cx| finishing.pipeline.poll_finish(&finishing.state, cx)));
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
                        connection::serve(Connection::new(Rc::clone(&worker), stream, session)).await;
                    }
                    Err(error) => tracing::warn!("Error registering fd event for the new client: {error}"),
                }
                worker.state.clients.remove(&client);
                connections.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    runtime.block_on(local.run_until(also(worker)));
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
