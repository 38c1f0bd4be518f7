//! Listening sockets, and how an accepted connection finds its thread.

use super::worker::{Arrival, Socket, WorkerHandle, register};
use crate::client::Endpoint;
use crate::config::{Directive, Settings, error_text};
use crate::gateway;
use crate::state::State;
use crate::stats::Figure;
use socket2::{Domain, Protocol, SockAddr, Socket as RawSocket, TcpKeepalive, Type};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Why an accepted client is sent away again.
const TOO_MANY_CLIENTS: &[u8] = b"-ERR max number of clients reached\r\n";
const PROTECTED: &[u8] = b"-DENIED Redis is running in protected mode because protected mode is enabled and no \
password is set for the default user. In this mode connections are only accepted from the loopback interface. If you \
want to connect from external computers to Redis you may adopt one of the following solutions: 1) Just disable \
protected mode sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis \
from the same host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do \
so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by \
editing the Redis configuration file, and setting the protected mode option to 'no', and then restarting the server. \
3) If you started the server manually just for testing, restart it with the '--protected-mode no' option. 4) Setup a \
an authentication password for the default user. NOTE: You only need to do one of the above things in order for the \
server to start accepting connections from the outside.\r\n";
/// The simplest congestion control, which every Linux has and anybody may use.
const LOCAL_CONGESTION_CONTROL: &[u8] = b"reno";
/// Pause after a failed accept (no file descriptors left), so as not to spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What is spoken over a TCP connection before there are requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Plain,
    Tls,
    /// The gateway's, over TLS or not.
    Http,
}

/// What clients may speak.
pub const TRANSPORTS: [Transport; 3] = [Transport::Plain, Transport::Tls, Transport::Http];

impl Transport {
    /// As Redis calls it.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Plain => "tcp",
            Transport::Tls => "tls",
            Transport::Http => "http",
        }
    }

    /// The port for it; 0 if there is none.
    pub fn port(self, settings: &Settings) -> u16 {
        let directive = match self {
            Transport::Plain => Directive::Port,
            Transport::Tls => Directive::TlsPort,
            Transport::Http => Directive::HttpPort,
        };
        settings.int(directive) as u16
    }

    /// The addresses for it.
    pub fn addresses(self, settings: &Settings) -> Vec<String> {
        settings.words(if self == Transport::Http { Directive::HttpBind } else { Directive::Bind })
    }
}

/// Opens the sockets that the addresses and the port of a transport ask for. An address with a leading `-` may be unavailable, and any may
/// be of a kind that the system does not have.
pub fn open_tcp(settings: &Settings, transport: Transport) -> io::Result<Vec<std::net::TcpListener>> {
    let (addresses, port) = (transport.addresses(settings), transport.port(settings));
    if port == 0 {
        return Ok(Vec::new());
    }
    let mut sockets = Vec::new();
    for address in &addresses {
        let (optional, name) = match address.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, address.as_str()),
        };
        let ip = match name {
            "*" => Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            "::*" => Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            name => name.parse().or_else(|_| resolve(name)),
        };
        match ip.and_then(|ip| open_one(SocketAddr::new(ip, port), settings)) {
            Ok(socket) => sockets.push(socket),
            Err(error) if is_unsupported(&error) => {}
            Err(error) if optional && error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => {}
            Err(error) => {
                let reason = error_text(&error);
                tracing::warn!("Warning: Could not create server TCP listening socket {name}:{port}: bind: {reason}");
                return Err(error);
            }
        }
    }
    Ok(sockets)
}

fn resolve(name: &str) -> io::Result<IpAddr> {
    use std::net::ToSocketAddrs;
    let found = (name, 0).to_socket_addrs()?.next();
    found.map(|address| address.ip()).ok_or_else(|| io::Error::from_raw_os_error(libc::EADDRNOTAVAIL))
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT | libc::ENOPROTOOPT | libc::ESOCKTNOSUPPORT | libc::EPFNOSUPPORT
        )
    )
}

fn open_one(address: SocketAddr, settings: &Settings) -> io::Result<std::net::TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    let mark = settings.int(Directive::SocketMarkId);
    if mark != 0 {
        socket.set_mark(mark as u32)?;
    }
    socket.bind(&address.into())?;
    socket.listen(backlog(settings))?;
    Ok(socket.into())
}

fn backlog(settings: &Settings) -> i32 {
    settings.int(Directive::TcpBacklog) as i32
}

/// Opens the Unix socket at `path`, in place of what a server before may have left there.
pub fn open_unix(path: &str, settings: &Settings) -> io::Result<std::os::unix::net::UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(backlog(settings))?;
    let mode = settings.int(Directive::Unixsocketperm) as u32;
    if mode != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    let group = settings.string(Directive::Unixsocketgroup);
    if !group.is_empty() {
        std::os::unix::fs::chown(path, None, Some(crate::process::group_id(&group)?))?;
    }
    Ok(socket.into())
}

/// Accepts TCP clients until the process ends or the socket is shut down.
pub async fn accept_tcp(
    listener: tokio::net::TcpListener,
    transport: Transport,
    state: Arc<State>,
    workers: Rc<[WorkerHandle]>,
) {
    loop {
        match listener.accept().await {
            Ok((socket, address)) => {
                if let Err(error) = admit_tcp(socket, address, transport, &state, &workers) {
                    tracing::debug!("Accepting client connection: {error}");
                }
            }
            // What a socket says that listens no longer.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return,
            Err(error) => {
                tracing::warn!("Accepting client connection: {error}");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Takes in those who want to connect now, while a script keeps the thread from doing so. Returns false if the listener is of
/// no more use.
pub fn accept_now(
    listener: &std::net::TcpListener,
    transport: Transport,
    state: &State,
    workers: &[WorkerHandle],
) -> bool {
    loop {
        match listener.accept() {
            Ok((socket, address)) => {
                let admitted = socket
                    .set_nonblocking(true)
                    .and_then(|()| tokio::net::TcpStream::from_std(socket))
                    .and_then(|socket| admit_tcp(socket, address, transport, state, workers));
                if let Err(error) = admitted {
                    tracing::debug!("Accepting client connection: {error}");
                }
            }
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

fn admit_tcp(
    socket: tokio::net::TcpStream,
    address: SocketAddr,
    transport: Transport,
    state: &State,
    workers: &[WorkerHandle],
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut socket = socket.into_std()?;
    let keepalive = state.settings.int(Directive::TcpKeepalive);
    if keepalive > 0 {
        let seconds = Duration::from_secs(keepalive as u64);
        let probes = TcpKeepalive::new().with_time(seconds).with_interval((seconds / 3).max(Duration::from_secs(1)));
        socket2::SockRef::from(&socket).set_tcp_keepalive(&probes.with_retries(3))?;
    }
    let speaks_tls = match transport {
        Transport::Plain => false,
        Transport::Tls => true,
        Transport::Http => state.settings.flag(Directive::HttpTls),
    };
    let mut send_away = |reason: &[u8]| match transport {
        // Who waits for a handshake cannot be told anything.
        _ if speaks_tls => Ok(()),
        Transport::Http => socket.write_all(&gateway::refusal(reason)),
        _ => socket.write_all(reason),
    };
    if is_full(state) {
        return send_away(TOO_MANY_CLIENTS);
    }
    let is_local = address.ip().to_canonical().is_loopback();
    if state.settings.flag(Directive::ProtectedMode) && !is_local && !state.acl.needs_password() {
        state.stats.add(Figure::ConnectionsRejected, 1);
        return send_away(PROTECTED);
    }
    // Within one machine nothing is congested: what the system is set to for networks, such as pacing, only costs time there.
    if is_local && let Err(error) = socket2::SockRef::from(&socket).set_tcp_congestion(LOCAL_CONGESTION_CONTROL) {
        tracing::debug!("A local connection keeps the system's congestion control: {error}");
    }
    state.stats.add(Figure::ConnectionsReceived, 1);
    let local = Endpoint::Tcp(socket.local_addr()?);
    let client = register(state, Endpoint::Tcp(address), local, socket.as_raw_fd());
    let socket = if speaks_tls { Socket::Tls(socket) } else { Socket::Tcp(socket) };
    hand_over(Arrival { socket, client, is_http: transport == Transport::Http }, workers);
    Ok(())
}

/// Accepts clients of the Unix socket at `path` until the process ends.
pub async fn accept_unix(
    listener: tokio::net::UnixListener,
    path: Arc<str>,
    state: Arc<State>,
    workers: Rc<[WorkerHandle]>,
) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => match socket.into_std() {
                Ok(mut socket) => {
                    if is_full(&state) {
                        if let Err(error) = socket.write_all(TOO_MANY_CLIENTS) {
                            tracing::debug!("Accepting client connection: {error}");
                        }
                        continue;
                    }
                    state.stats.add(Figure::ConnectionsReceived, 1);
                    let endpoint = Endpoint::Unix(Arc::clone(&path));
                    let client = register(&state, endpoint.clone(), endpoint, socket.as_raw_fd());
                    let socket = Socket::Unix(socket);
                    hand_over(Arrival { socket, client, is_http: false }, &workers);
                }
                Err(error) => tracing::debug!("Accepting client connection: {error}"),
            },
            Err(error) => {
                tracing::warn!("Accepting client connection: {error}");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Whether there is no room for another client; counts the one that is refused.
pub fn is_full(state: &State) -> bool {
    let full = state.clients.len() as i64 >= state.settings.int(Directive::Maxclients);
    if full {
        state.stats.add(Figure::ConnectionsRejected, 1);
    }
    full
}

/// Gives a connection to the thread that has the fewest.
fn hand_over(arrival: Arrival, workers: &[WorkerHandle]) {
    let fewest = workers.iter().min_by_key(|worker| worker.connections.load(Ordering::Relaxed));
    if let Some(worker) = fewest {
        worker.connections.fetch_add(1, Ordering::Relaxed);
        if worker.arrivals.send(arrival).is_err() {
            tracing::debug!("A connection came while the server was shutting down");
        }
    }
}
