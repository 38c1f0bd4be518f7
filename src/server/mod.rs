//! The process: threads, listeners, connections, what happens by itself, and the end.

mod connection;
mod cron;
mod full_sync;
mod http;
mod intake;
mod listen;
mod listeners;
mod primary_link;
mod requests;
mod rest;
mod signals;
mod stream;
mod unsent;
mod worker;

use crate::config::{Directive, error_text};
use crate::replication::Address;
use crate::shutdown;
use crate::state::State;
use listen::{TRANSPORTS, Transport};
use listeners::Listeners;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::UnboundedReceiver;
use worker::{Worker, WorkerHandle, worker_channel};

/// Stack of a thread: scripts may nest what they write and read as JSON.
const STACK_BYTES: usize = 8 << 20;

/// Serves until the process is told to end. Errors: a socket cannot be opened.
pub fn run(state: Arc<State>) -> io::Result<()> {
    let (listeners, opened) = Listeners::new();
    if let Err(reason) = state.tls.configure(&state.settings) {
        tracing::warn!("{reason}");
        return Err(io::Error::other("Failed to configure TLS. Check logs for more info."));
    }
    // Whoever finds the port open that nobody has to ask for finds the others open as well.
    for transport in TRANSPORTS.into_iter().rev() {
        listeners.update(&state.settings, transport).inspect_err(|_| {
            let port = transport.port(&state.settings);
            tracing::warn!("Failed listening on port {port} ({}), aborting.", transport.name());
        })?;
    }
    let unix_path = String::from_utf8_lossy(&state.settings.string(Directive::Unixsocket)).into_owned();
    let unix = if unix_path.is_empty() {
        None
    } else {
        Some(listen::open_unix(&unix_path, &state.settings).inspect_err(|error| {
            tracing::warn!("Failed opening Unix socket: bind: {}", error_text(error));
        })?)
    };
    let listened_on = TRANSPORTS.into_iter().filter(|transport| !listeners.is_empty(*transport)).collect::<Vec<_>>();
    if listened_on.is_empty() && unix.is_none() {
        return Err(io::Error::other("Configured to not listen anywhere, exiting."));
    }
    if state.listening.set(Box::new(listeners)).is_err() {
        return Err(io::Error::other("the server runs already"));
    }
    crate::compression::start(Arc::clone(&state))?;
    crate::saving::start(Arc::clone(&state))?;
    tracing::info!(target: "notice", "Server initialized");

    let (handles, receivers): (Vec<WorkerHandle>, Vec<_>) = (0..state.threads).map(|_| worker_channel()).unzip();
    let mut receivers = receivers.into_iter().enumerate();
    let first = receivers.next();
    for (index, receiver) in receivers {
        let (state, handle) = (Arc::clone(&state), handles[index].clone());
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).stack_size(STACK_BYTES);
        thread.spawn(move || {
            prepare_thread(&state, index);
            let expired = Arc::clone(&state);
            worker::run(state, handle, receiver, async move |_| cron::expire(expired, index).await)
        })?;
    }
    let Some((_, receiver)) = first else { return Ok(()) };
    prepare_thread(&state, 0);
    let workers: Rc<[WorkerHandle]> = handles.clone().into();
    let main = Arc::clone(&state);
    worker::run(Arc::clone(&state), handles[0].clone(), receiver, async move |worker| {
        if let Err(error) = serve(worker, main, opened, &listened_on, unix, unix_path, workers).await {
            tracing::warn!("{error}");
        }
    })
}

fn prepare_thread(state: &State, index: usize) {
    crate::stats::set_thread(index);
    if state.threads == 1 {
        state.log.own();
    }
    if state.settings.flag(Directive::PinCpus) {
        crate::memory::pin_thread(index);
    }
    if let Err(error) = crate::daemon::wake_in_time() {
        tracing::warn!("Thread {index} is woken late: {}", error_text(&error));
    }
    if !state.settings.flag(Directive::DisableThp)
        && let Err(error) = crate::huge_pages::use_for_this_thread()
    {
        tracing::warn!("Thread {index} does without huge pages: {}", error_text(&error));
    }
}

/// What the first thread does beside its connections.
async fn serve(
    worker: Rc<Worker>,
    state: Arc<State>,
    mut opened: UnboundedReceiver<(std::net::TcpListener, Transport)>,
    listened_on: &[Transport],
    unix: Option<std::os::unix::net::UnixListener>,
    unix_path: String,
    workers: Rc<[WorkerHandle]>,
) -> io::Result<()> {
    signals::listen(Arc::clone(&state))?;
    begin_as_configured(&state);
    let (tcp_state, tcp_workers) = (Arc::clone(&state), Rc::clone(&workers));
    let listeners: Rc<RefCell<Vec<(std::net::TcpListener, Transport)>>> = Rc::default();
    let tcp_listeners = Rc::clone(&listeners);
    let (accepting_state, accepting_workers) = (Arc::clone(&state), Rc::clone(&workers));
    *worker.accept.borrow_mut() = Some(Box::new(move || {
        listeners.borrow_mut().retain(|(listener, transport)| {
            listen::accept_now(listener, *transport, &accepting_state, &accepting_workers)
        });
    }));
    tokio::task::spawn_local(async move {
        while let Some((listener, transport)) = opened.recv().await {
            if let Ok(listener) = listener.try_clone() {
                tcp_listeners.borrow_mut().push((listener, transport));
            }
            match TcpListener::from_std(listener) {
                Ok(listener) => {
                    let (state, workers) = (Arc::clone(&tcp_state), Rc::clone(&tcp_workers));
                    tokio::task::spawn_local(listen::accept_tcp(listener, transport, state, workers));
                }
                Err(error) => tracing::warn!("Listening for clients: {error}"),
            }
        }
    });
    if let Some(listener) = unix {
        let listener = UnixListener::from_std(listener)?;
        let path = Arc::from(unix_path.as_str());
        tokio::task::spawn_local(listen::accept_unix(listener, path, Arc::clone(&state), Rc::clone(&workers)));
        tracing::info!(target: "notice", "The server is now ready to accept connections at {unix_path}");
    }
    tokio::task::spawn_local(cron::expire(Arc::clone(&state), 0));
    tokio::task::spawn_local(cron::clients(Arc::clone(&state)));
    tokio::task::spawn_local(cron::sample(Arc::clone(&state)));
    tokio::task::spawn_local(cron::evict(Arc::clone(&state)));
    tokio::task::spawn_local(cron::save(Arc::clone(&state)));
    state.startup_memory.store(crate::memory::publish(), Ordering::Relaxed);
    tokio::task::spawn_local(end_when_asked(Arc::clone(&state)));
    if let Some(loaded) = crate::loading::start(&state)? {
        // If its end is not told, the process is ending.
        let _ = loaded.await;
    }
    tokio::task::spawn_local(cron::replication(Arc::clone(&state)));
    tokio::task::spawn_local(cron::failover(Arc::clone(&state)));
    tokio::task::spawn_local(cron::expire_own_keys(Arc::clone(&state)));
    tokio::task::spawn_local(cron::tracking(Arc::clone(&state)));
    tokio::task::spawn_local(cron::append_file(Arc::clone(&state)));
    tokio::task::spawn_local(full_sync::serve(Arc::clone(&state)));
    tokio::task::spawn_local(primary_link::follow(Arc::clone(&state)));
    for transport in listened_on {
        tracing::info!(target: "notice", "Ready to accept connections {}", transport.name());
    }
    if !unix_path.is_empty() {
        tracing::info!(target: "notice", "Ready to accept connections unix");
    }
    crate::daemon::notify_supervisor(&state.settings);
    std::future::pending().await
}

/// Follows a primary from the start, if the configuration names one.
fn begin_as_configured(state: &State) {
    let words = state.settings.words(Directive::Replicaof);
    if let [host, port] = words.as_slice()
        && let Ok(port) = port.parse()
    {
        let all = state.keyspace.lock(state.keyspace.all_shards());
        state.replication.follow(Address { host: host.clone(), port }, crate::state::unix_time_ms());
        state.log.set_foreign(true);
        crate::logging::set_role(crate::logging::Role::Replica);
        drop(all);
    }
}

/// Time between two looks whether replicas have what the end of the process waits for.
const END_INTERVAL: Duration = Duration::from_millis(100);

/// Ends the process when somebody asks for it, but not while what happens by itself is suspended. Never ends.
async fn end_when_asked(state: Arc<State>) {
    loop {
        match state.shutdown.left_ms() {
            None => state.shutdown.wait().await,
            Some(left_ms) => {
                let limit = END_INTERVAL.min(Duration::from_millis(left_ms as u64));
                // Whether it is woken or not, it looks.
                let _ = tokio::time::timeout(limit, state.shutdown.wait()).await;
            }
        }
        while state.cron_paused.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        shutdown::look_after(&state);
    }
}
