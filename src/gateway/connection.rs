//! One HTTP connection, of HTTP/1.1 or HTTP/2, from its first byte to its end.

use super::Host;
use super::clients::Clients;
use super::routes::Routes;
use crate::client::Client;
use crate::config::Directive;
use crate::state::State;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::server::TlsStream;

/// Requests of one connection at the same time.
const STREAMS_MAX: u32 = 100;
/// Bytes of a request's head, its line and its headers.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 100;
/// Longest time between two looks at a connection.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// For how long a connection that is to end may take to do so.
pub const END_MAX: Duration = Duration::from_secs(2);
/// With what a connection of HTTP/2 begins that was not agreed on (RFC 9113, section 3.3): as much of it as tells.
const PREFACE: &[u8; 3] = b"PRI";
const PREFACE_WAIT: Duration = Duration::from_millis(20);

const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\ncontent-length: 48\r\n\
connection: close\r\n\r\n{\"error\":\"ERR the request did not come in time\"}";

/// A socket, once its handshake is over.
pub enum Socket {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What a socket is to HTTP.
trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// What can be seen of a connection from outside.
#[derive(Default)]
struct Seen {
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
    /// The socket takes nothing more.
    is_stuck: AtomicBool,
}

struct Watched {
    transport: Box<dyn Transport>,
    seen: Arc<Seen>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.transport).poll_read(cx, buffer);
        self.seen.read_bytes.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

impl Watched {
    fn note_written(&self, polled: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = polled {
            self.seen.written_bytes.fetch_add(*count as u64, Ordering::Relaxed);
        }
        self.seen.is_stuck.store(polled.is_pending(), Ordering::Relaxed);
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.transport).poll_write(cx, bytes);
        self.note_written(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.transport).poll_write_vectored(cx, slices);
        self.note_written(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

/// Runs tasks of HTTP/2 on the thread of their connection.
#[derive(Clone, Copy)]
struct ThisThread;

impl<F: Future<Output = ()> + 'static> Executor<F> for ThisThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// What the requests of one connection tell its watch.
pub struct Traffic {
    /// Each request has one, until its response has been handed on.
    flights: Rc<()>,
    /// Each response that is whole has one until it has been handed on.
    sendings: Rc<()>,
    requests: Cell<i64>,
    /// What the bodies hold that are being read.
    pub body_bytes: Cell<usize>,
    /// The connection is to take no more requests.
    pub full: Notify,
    /// What goes on over the connection once it is no longer HTTP's.
    pub upgraded: RefCell<Option<JoinHandle<()>>>,
}

impl Traffic {
    /// Counts a response that is on its way.
    pub fn send(&self) -> Rc<()> {
        Rc::clone(&self.sendings)
    }

    /// Counts a request.
    pub fn begin(&self, state: &State) -> Rc<()> {
        self.requests.update(|requests| requests + 1);
        if self.requests.get() >= state.settings.int(Directive::HttpMaxRequests) {
            self.full.notify_one();
        }
        Rc::clone(&self.flights)
    }

    fn is_idle(&self) -> bool {
        Rc::strong_count(&self.flights) == 1
    }
}

/// Serves HTTP to a client, which has been registered, until the connection ends.
pub async fn serve(host: Rc<dyn Host>, socket: Socket, client: Arc<Client>) {
    let clients = Clients::new(host, client);
    let idle_max = Duration::from_secs(clients.state().settings.int(Directive::HttpKeepalive) as u64);
    let (is_http2, transport): (bool, Box<dyn Transport>) = match socket {
        Socket::Tls(stream) => (stream.get_ref().1.alpn_protocol() == Some(b"h2"), stream),
        Socket::Tcp(socket) => match tokio::time::timeout(idle_max, begins_http2(&socket, &clients)).await {
            Ok(Ok(is_http2)) => (is_http2, Box::new(socket)),
            // It has said nothing, or gone.
            Ok(Err(_)) | Err(_) => return,
        },
    };
    let seen = Arc::new(Seen::default());
    let io = TokioIo::new(Watched { transport, seen: Arc::clone(&seen) });
    let traffic = Rc::new(Traffic {
        flights: Rc::default(),
        sendings: Rc::default(),
        requests: Cell::new(0),
        body_bytes: Cell::new(0),
        full: Notify::new(),
        upgraded: RefCell::default(),
    });
    let mut watch = Watch::new(Rc::clone(&clients), Rc::clone(&traffic), seen, is_http2);
    let routes = Rc::new(Routes { clients, traffic: Rc::clone(&traffic) });
    let service = service_fn(move |request| {
        let routes = Rc::clone(&routes);
        async move { Ok::<_, Infallible>(routes.answer(request).await) }
    });
    if is_http2 {
        let mut connection = http2::Builder::new(ThisThread)
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .serve_connection(io, service);
        loop {
            tokio::select! {
                ended = &mut connection => return note_end(ended),
                verdict = watch.next() => match verdict {
                    Verdict::Finish => Pin::new(&mut connection).graceful_shutdown(),
                    Verdict::TooSlow | Verdict::End => return,
                },
            }
        }
    }
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .half_close(false)
        .serve_connection(io, service)
        .with_upgrades();
    loop {
        tokio::select! {
            ended = &mut connection => {
                note_end(ended);
                break;
            }
            verdict = watch.next() => match verdict {
                Verdict::Finish => Pin::new(&mut connection).graceful_shutdown(),
                Verdict::TooSlow => {
                    if let Some(parts) = connection.into_parts() {
                        let mut transport = parts.io.into_inner().transport;
                        let farewell = async {
                            transport.write_all(TOO_SLOW).await?;
                            transport.shutdown().await
                        };
                        if !matches!(tokio::time::timeout(END_MAX, farewell).await, Ok(Ok(()))) {
                            tracing::debug!("HTTP connection: the client was too slow, and took no word of that");
                        }
                    }
                    return;
                }
                Verdict::End => return,
            },
        }
    }
    drop((connection, watch));
    let upgraded = traffic.upgraded.take();
    if let Some(upgraded) = upgraded
        && let Err(error) = upgraded.await
    {
        tracing::debug!("WebSocket: {error}");
    }
}

fn note_end(ended: hyper::Result<()>) {
    crate::memory::publish();
    if let Err(error) = ended {
        tracing::debug!("HTTP connection: {error}");
    }
}

/// Whether HTTP/2 is spoken from the first byte on. Errors: the connection, or its client, was ended.
async fn begins_http2(socket: &TcpStream, clients: &Clients) -> io::Result<bool> {
    loop {
        let mut head = [0; PREFACE.len()];
        let read = tokio::select! {
            read = socket.peek(&mut head) => read?,
            () = tokio::time::sleep(LOOK_INTERVAL_MAX) => match clients.look() {
                true => continue,
                false => return Err(io::ErrorKind::ConnectionAborted.into()),
            },
        };
        if read == 0 || read == head.len() || head[..read] != PREFACE[..read] {
            return Ok(&head == PREFACE);
        }
        tokio::time::sleep(PREFACE_WAIT).await;
    }
}

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It takes no more requests.
    Finish,
    /// The head of a request does not come in time.
    TooSlow,
    End,
}

/// Looks at a connection from time to time.
struct Watch {
    clients: Rc<Clients>,
    traffic: Rc<Traffic>,
    seen: Arc<Seen>,
    is_http2: bool,
    idle_max: Duration,
    head_max: Duration,
    /// When the connection was last seen to have had a request, or came to be, and what it had read by then.
    busy: (Instant, u64),
    /// Requests that it had had by then.
    requests: i64,
    /// When it was seen that a request begins.
    head_began: Option<Instant>,
    /// What had been written when the client was first seen to take nothing of what there is, and when that was.
    stuck: Option<(Instant, u64)>,
    /// When it was told to finish.
    finished: Option<Instant>,
}

impl Watch {
    fn new(clients: Rc<Clients>, traffic: Rc<Traffic>, seen: Arc<Seen>, is_http2: bool) -> Watch {
        let seconds = |directive| Duration::from_secs(clients.state().settings.int(directive) as u64);
        let (idle_max, head_max) = (seconds(Directive::HttpKeepalive), seconds(Directive::HttpTimeout));
        Watch {
            clients,
            traffic,
            seen,
            is_http2,
            idle_max,
            head_max,
            busy: (Instant::now(), 0),
            requests: 0,
            head_began: None,
            stuck: None,
            finished: None,
        }
    }

    /// Waits until there is something to be done.
    async fn next(&mut self) -> Verdict {
        let interval = (self.idle_max.min(self.head_max) / 8).min(LOOK_INTERVAL_MAX);
        let traffic = Rc::clone(&self.traffic);
        loop {
            let is_full = tokio::select! {
                () = traffic.full.notified() => true,
                () = tokio::time::sleep(interval) => false,
            };
            if let Some(verdict) = self.look(is_full, Instant::now()) {
                if verdict == Verdict::Finish {
                    self.finished = Some(Instant::now());
                }
                return verdict;
            }
        }
    }

    fn look(&mut self, is_full: bool, now: Instant) -> Option<Verdict> {
        let (read, written) =
            (self.seen.read_bytes.load(Ordering::Relaxed), self.seen.written_bytes.load(Ordering::Relaxed));
        if !self.clients.look() && self.traffic.is_idle() {
            return Some(Verdict::End);
        }
        // The socket takes nothing, or the client does not want what it asked for (HTTP/2).
        let is_stuck = self.seen.is_stuck.load(Ordering::Relaxed) || Rc::strong_count(&self.traffic.sendings) > 1;
        match self.stuck {
            Some((since, before)) if before == written && is_stuck => {
                if now - since > self.idle_max {
                    return Some(Verdict::End);
                }
            }
            _ => self.stuck = is_stuck.then_some((now, written)),
        }
        let requests = self.traffic.requests.get();
        if !self.traffic.is_idle() || requests != self.requests {
            (self.busy, self.requests, self.head_began) = ((now, read), requests, None);
            return (is_full && self.finished.is_none()).then_some(Verdict::Finish);
        }
        if let Some(finished) = self.finished {
            return (now - finished > END_MAX).then_some(Verdict::End);
        }
        if read > self.busy.1 && !self.is_http2 {
            let began = *self.head_began.get_or_insert(now);
            return (now - began > self.head_max).then_some(Verdict::TooSlow);
        }
        (is_full || now - self.busy.0 > self.idle_max).then_some(Verdict::Finish)
    }
}
