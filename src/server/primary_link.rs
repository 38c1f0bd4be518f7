//! A replica's link to its primary: the handshake, the transfer of the primary's data, and the commands that follow.
//!
//! What the primary sends is done by a session that obeys ([`crate::client::Session::obeys`]), on the first thread, and logged as
//! it came, so that this server's own replicas get the same bytes.

use super::requests::{Pending, Requests, parse};
use super::worker::register;
use crate::client::{Client, ClientFlags, Endpoint, Identity, Session};
use crate::command::divergence::Talk;
use crate::command::{self, Outcome};
use crate::config::{Directive, error_text};
use crate::log::Audience;
use crate::replication::{Address, Link, LinkState, Progress, Transfer};
use crate::resp::{Protocol, Reply};
use crate::state::{State, unix_time_ms};
use crate::tls;
use bytes::{Buf, BytesMut};
use redis_protocol::resp2::decode::decode_bytes_mut;
use redis_protocol::resp2::types::BytesFrame;
use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

mod transfer;

/// The version of Valkey whose data are understood.
const VALKEY_VERSION: &[u8] = b"9.1.0";
/// Time between two attempts, and between two acknowledgements.
const PERIOD: Duration = Duration::from_secs(1);
/// Room for what the primary sends.
const BUFFER_BYTES: usize = 64 * 1024;
/// Room for what the primary sends that is kept while there is nothing of it.
const BUFFER_KEPT_BYTES: usize = 1024 * 1024;
/// Bytes that are read ahead while `CLIENT PAUSE`, or a key that travels to another server, holds commands back.
const AHEAD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Time between two attempts to go on after that.
const HELD_BACK: Duration = Duration::from_millis(10);
/// Longest reply in a handshake, in bytes.
const REPLY_BYTES_MAX: usize = 64 * 1024;

/// Why a link has ended.
#[derive(Debug)]
enum Broken {
    Io(io::Error),
    /// The primary is silent, or another server is to be followed, or the operator wants it.
    Timeout,
    Turned,
    /// What it said makes no sense, or is an error; the log knows.
    Refused(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Broken::Io(error)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Io(error) => f.write_str(&error_text(error)),
            Broken::Timeout => f.write_str("the primary is silent"),
            Broken::Turned => f.write_str("another server is to be followed"),
            Broken::Refused(reason) => f.write_str(reason),
        }
    }
}

/// Follows whatever primary there is to follow. Never ends.
pub async fn follow(state: Arc<State>) {
    loop {
        let turned = state.replication.relink.notified();
        tokio::pin!(turned);
        turned.as_mut().enable();
        let Some(address) = state.replication.primary() else {
            turned.await;
            continue;
        };
        let turn = state.replication.turn();
        state.replication.update_link(Link::note_attempt);
        let mut may_be_back = false;
        if let Err(broken) = Box::pin(attempt(&state, &address, turn)).await {
            tell(&state, &broken);
            // A primary that has just been there may be there still, or again.
            may_be_back = match state.replication.link().state {
                LinkState::Connected => true,
                LinkState::Transfer => matches!(broken, Broken::Io(_)),
                LinkState::Connect | LinkState::Connecting | LinkState::Handshake => false,
            };
        }
        if state.replication.turn() == turn {
            state.replication.update_link(|link| link.note_down(unix_time_ms()));
            if !may_be_back {
                let _ = timeout(PERIOD, turned).await;
            }
        }
    }
}

fn tell(state: &State, broken: &Broken) {
    match (broken, state.replication.link().state) {
        (Broken::Turned, _) => {}
        (Broken::Timeout, LinkState::Transfer) => tracing::warn!(
            "Timeout receiving bulk data from MASTER... If the problem persists try to set the 'repl-timeout' parameter in \
             redis.conf to a larger value."
        ),
        (Broken::Timeout, LinkState::Connected) => tracing::warn!("MASTER timeout: no data nor PING received..."),
        (Broken::Timeout, _) => tracing::warn!("Timeout connecting to the MASTER..."),
        (Broken::Io(error), LinkState::Connecting) => {
            tracing::warn!("Error condition on socket for SYNC: {}", error_text(error));
        }
        (Broken::Io(_), LinkState::Connected) => {
            tracing::info!(target: "notice", "Connection with master lost.");
            tracing::info!(target: "notice", "Caching the disconnected master state.");
        }
        (broken, _) => tracing::warn!("{broken}"),
    }
}

/// What is read from and written to, be it encrypted or not.
trait Socket: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Socket for T {}

/// A connection to the primary.
struct Wire<'s> {
    state: &'s Arc<State>,
    socket: Box<dyn Socket>,
    buffer: BytesMut,
    turn: u64,
}

/// How the primary wants to go on.
enum Sync {
    /// From where this server is.
    Continue,
    /// With a copy of its data, made at an offset of a history.
    Full { id: String, offset: u64 },
    /// With a copy of its data; what it is called it does not say.
    Plain,
}

async fn attempt(state: &Arc<State>, address: &Address, turn: u64) -> Result<(), Broken> {
    tracing::info!(target: "notice", "Connecting to MASTER {}:{}", address.host, address.port);
    let limit = Duration::from_secs(state.settings.int(Directive::ReplTimeout) as u64);
    tracing::info!(target: "notice", "MASTER <-> REPLICA sync started");
    let socket = timeout(limit, connect(state, address)).await.map_err(|_| Broken::Timeout)??;
    tracing::info!(target: "notice", "Non blocking connect for SYNC fired the event.");
    socket.set_nodelay(true)?;
    let ends = Ends::of(&socket)?;
    let socket = timeout(limit, encrypted(state, address, socket)).await.map_err(|_| Broken::Timeout)??;
    let mut link = Wire { state, socket, buffer: BytesMut::with_capacity(BUFFER_BYTES), turn };
    state.replication.update_link(|link| link.state = LinkState::Handshake);
    link.shake_hands().await?;
    let sync = link.ask_for_data().await?;
    match sync {
        Sync::Continue => {}
        Sync::Full { id, offset } => transfer::receive(&mut link, Some((id, offset))).await?,
        Sync::Plain => transfer::receive(&mut link, None).await?,
    }
    let bytes = state.settings.int(Directive::ReplBacklogSize) as u64;
    state.log.keep_backlog(bytes);
    let client = register_primary(state, ends);
    state.replication.update_link(|link| link.note_up(unix_time_ms(), client.id));
    let result = link.stream(&client).await;
    state.clients.remove(&client);
    result
}

async fn connect(state: &State, address: &Address) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for place in tokio::net::lookup_host((address.host.as_str(), address.port)).await? {
        let socket = if place.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        let source = state.settings.string(Directive::BindSourceAddr);
        if !source.is_empty() {
            let source = String::from_utf8_lossy(&source).into_owned();
            let ip = source.parse().map_err(|_| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
            socket.bind(std::net::SocketAddr::new(ip, 0))?;
        }
        match socket.connect(place).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The connection to the primary as the configuration wants it: with TLS (`tls-replication`), or as it is.
async fn encrypted(state: &State, address: &Address, socket: TcpStream) -> io::Result<Box<dyn Socket>> {
    if !state.settings.flag(Directive::TlsReplication) {
        return Ok(Box::new(socket));
    }
    let connector = TlsConnector::from(state.tls.client()?);
    Ok(Box::new(connector.connect(tls::name_of(&address.host), socket).await?))
}

/// What is told of a connection.
struct Ends {
    peer: Endpoint,
    local: Endpoint,
    fd: i32,
}

impl Ends {
    fn of(socket: &TcpStream) -> io::Result<Ends> {
        let (peer, local) = (Endpoint::Tcp(socket.peer_addr()?), Endpoint::Tcp(socket.local_addr()?));
        Ok(Ends { peer, local, fd: socket.as_raw_fd() })
    }
}

/// The client that stands for the primary, so that it is seen, and can be killed.
fn register_primary(state: &State, ends: Ends) -> Arc<Client> {
    let client = register(state, ends.peer, ends.local, ends.fd);
    client.set(ClientFlags::PRIMARY, true);
    client
}

impl Wire<'_> {
    /// Whether another server is to be followed meanwhile.
    fn is_turned(&self) -> bool {
        self.state.replication.turn() != self.turn
    }

    /// Reads more, for as long as the primary may be silent.
    async fn read(&mut self) -> Result<usize, Broken> {
        self.buffer.reserve(BUFFER_BYTES);
        let limit = Duration::from_secs(self.state.settings.int(Directive::ReplTimeout) as u64);
        let turned = self.state.replication.relink.notified();
        if self.is_turned() {
            return Err(Broken::Turned);
        }
        let read = tokio::select! {
            read = timeout(limit, self.socket.read_buf(&mut self.buffer)) => read.map_err(|_| Broken::Timeout)??,
            () = turned => return Err(Broken::Turned),
        };
        if read == 0 {
            return Err(Broken::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        self.state.replication.update_link(|link| link.last_ms = unix_time_ms());
        Ok(read)
    }

    /// Sends a command.
    async fn send(&mut self, words: &[&[u8]]) -> Result<(), Broken> {
        let mut bytes = Vec::new();
        crate::resp::write_command(&mut bytes, words.iter().copied());
        self.socket.write_all(&bytes).await?;
        self.socket.flush().await?;
        Ok(())
    }

    /// The next reply, as text: what a simple string says, or an error with its `-`.
    async fn reply(&mut self) -> Result<String, Broken> {
        loop {
            // While it prepares its data, the primary sends line ends to show that it is there.
            while self.buffer.first() == Some(&b'\n') {
                self.buffer.advance(1);
            }
            if !self.buffer.is_empty() {
                let decoded = decode_bytes_mut(&mut self.buffer)
                    .map_err(|error| Broken::Refused(format!("the primary sent no reply: {error}")))?;
                if let Some((frame, _, _)) = decoded {
                    return Ok(match frame {
                        BytesFrame::SimpleString(text) | BytesFrame::BulkString(text) => {
                            String::from_utf8_lossy(&text).into_owned()
                        }
                        BytesFrame::Error(text) => format!("-{text}"),
                        BytesFrame::Integer(number) => number.to_string(),
                        BytesFrame::Null | BytesFrame::Array(_) => String::new(),
                    });
                }
            }
            if self.buffer.len() > REPLY_BYTES_MAX {
                return Err(Broken::Refused("the primary's reply is too long".into()));
            }
            self.read().await?;
        }
    }

    async fn shake_hands(&mut self) -> Result<(), Broken> {
        let settings = &self.state.settings;
        self.send(&[b"PING"]).await?;
        let reply = self.reply().await?;
        let is_known =
            ["-NOAUTH", "-NOPERM", "-ERR operation not permitted"].iter().any(|text| reply.starts_with(text));
        if reply.starts_with('-') && !is_known {
            return Err(Broken::Refused(format!("Error reply to PING from master: '{reply}'")));
        }
        tracing::info!(target: "notice", "Master replied to PING, replication can continue...");
        let password = settings.string(Directive::Masterauth);
        if !password.is_empty() {
            let user = settings.string(Directive::Masteruser);
            let words: &[&[u8]] = if user.is_empty() { &[b"AUTH", &password] } else { &[b"AUTH", &user, &password] };
            self.send(words).await?;
            let reply = self.reply().await?;
            if reply.starts_with('-') {
                return Err(Broken::Refused(format!("Unable to AUTH to MASTER: {reply}")));
            }
        }
        let port = match settings.int(Directive::ReplicaAnnouncePort) {
            0 if settings.flag(Directive::TlsReplication) && settings.int(Directive::TlsPort) != 0 => {
                settings.int(Directive::TlsPort)
            }
            0 => settings.int(Directive::Port),
            port => port,
        };
        self.tell(&[b"REPLCONF", b"listening-port", port.to_string().as_bytes()], "REPLCONF listening-port").await?;
        let ip = settings.string(Directive::ReplicaAnnounceIp);
        if !ip.is_empty() {
            self.tell(&[b"REPLCONF", b"ip-address", &ip], "REPLCONF ip-address").await?;
        }
        // Else Valkey sends data of an old version, which has no deadlines of fields.
        self.tell(&[b"REPLCONF", b"version", VALKEY_VERSION], "REPLCONF version").await?;
        self.tell(&[b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"], "REPLCONF capa").await
    }

    /// Says something that an old primary may not understand.
    async fn tell(&mut self, words: &[&[u8]], what: &str) -> Result<(), Broken> {
        self.send(words).await?;
        let reply = self.reply().await?;
        if reply.starts_with("-NOAUTH") {
            return Err(Broken::Refused(reply));
        }
        if reply.starts_with('-') {
            tracing::info!(target: "notice", "(Non critical) Master does not understand {what}: {reply}");
        }
        Ok(())
    }

    async fn ask_for_data(&mut self) -> Result<Sync, Broken> {
        let replication = &self.state.replication;
        let end = self.state.log.end();
        let is_failover = replication.failover.progress() == Progress::UnderWay;
        if replication.has_history() {
            let (id, next) = (replication.history().id, end + 1);
            tracing::info!(target: "notice", "Trying a partial resynchronization (request {id}:{next}).");
            let next = next.to_string();
            if is_failover {
                self.send(&[b"PSYNC", id.as_bytes(), next.as_bytes(), b"FAILOVER"]).await?;
            } else {
                self.send(&[b"PSYNC", id.as_bytes(), next.as_bytes()]).await?;
            }
        } else {
            tracing::info!(target: "notice", "Partial resynchronization not possible (no cached master)");
            self.send(&[b"PSYNC", b"?", b"-1"]).await?;
        }
        let reply = self.reply().await?;
        if is_failover {
            self.end_failover(&reply)?;
        }
        let mut words = reply.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("FULLRESYNC"), Some(id), Some(offset)) if id.len() == 40 => {
                let offset = offset.parse().map_err(|_| Broken::Refused(format!("no offset: {reply}")))?;
                tracing::info!(target: "notice", "Full resync from master: {id}:{offset}");
                replication.update_link(|link| {
                    link.state = LinkState::Transfer;
                    link.transfer = Transfer { total: None, read: 0, last_ms: unix_time_ms() };
                });
                Ok(Sync::Full { id: id.into(), offset })
            }
            (Some("CONTINUE"), id, _) => {
                tracing::info!(target: "notice", "Successful partial resynchronization with master.");
                if let Some(id) = id.filter(|id| id.len() == 40)
                    && replication.continue_as(id, end)
                {
                    tracing::info!(target: "notice", "Master replication ID changed to {id}");
                    // They have to learn that name, too.
                    command::replication::disconnect_replicas(self.state);
                }
                tracing::info!(target: "notice", "MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.");
                Ok(Sync::Continue)
            }
            (Some("-NOMASTERLINK" | "-LOADING"), ..) => Err(Broken::Refused(format!(
                "MASTER is currently unable to PSYNC but should be in the future: {reply}"
            ))),
            _ => {
                if !reply.starts_with("-ERR") {
                    tracing::warn!("Unexpected reply to PSYNC from master: {reply}");
                } else {
                    tracing::info!(
                        target: "notice",
                        "Master does not support PSYNC or is in error state (reply: {reply})"
                    );
                }
                tracing::info!(target: "notice", "Retrying with SYNC...");
                self.send(&[b"SYNC"]).await?;
                Ok(Sync::Plain)
            }
        }
    }

    /// The replica that was asked to take over says whether it does. Errors: it does not.
    fn end_failover(&self, reply: &str) -> Result<(), Broken> {
        let all = self.state.keyspace.lock(self.state.keyspace.all_shards());
        let is_meant = !self.is_turned();
        let has_taken_over = reply.starts_with("CONTINUE") || reply.starts_with("FULLRESYNC");
        if is_meant && has_taken_over {
            command::failover::succeed(self.state);
        } else if is_meant {
            tracing::warn!("Unexpected reply to PSYNC from master: {reply}");
            command::failover::abort(self.state, "Failover target rejected psync request");
        }
        drop(all);
        if has_taken_over { Ok(()) } else { Err(Broken::Turned) }
    }

    /// Says what this server has.
    async fn acknowledge(&mut self) -> Result<(), Broken> {
        let offset = self.state.log.end().to_string();
        let append_file = &self.state.append_file;
        if append_file.is_on() {
            let durable = append_file.durable().min(self.state.log.end()).to_string();
            return self.send(&[b"REPLCONF", b"ACK", offset.as_bytes(), b"FACK", durable.as_bytes()]).await;
        }
        self.send(&[b"REPLCONF", b"ACK", offset.as_bytes()]).await
    }

    /// Does what the primary sends, until the link breaks.
    async fn stream(&mut self, client: &Arc<Client>) -> Result<(), Broken> {
        let mut session = Session::new(Identity::new(Arc::clone(client), self.state.acl.default_account(), true));
        session.obeys = true;
        session.turn = Some(self.turn);
        session.select(self.state.replication.stream_database.load(Ordering::Relaxed));
        let mut follower = Follower { session, pending: Pending::default(), requests: Requests::default() };
        // The primary waits for it before it goes on, if it could not tell how long its data are.
        self.acknowledge().await?;
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let is_held_back = follower.run(self.state, &mut self.buffer)?;
            let ahead = self.buffer.len();
            // A transaction that is not whole has been read, too.
            let ahead_bytes = (ahead + follower.session.unlogged.len()) as u64;
            self.state.replication.update_link(|link| link.ahead_bytes = ahead_bytes);
            if self.is_turned() {
                return Err(Broken::Turned);
            }
            if ahead == 0 && self.buffer.capacity() > BUFFER_KEPT_BYTES {
                self.buffer = BytesMut::with_capacity(BUFFER_BYTES);
            }
            if std::mem::take(&mut follower.session.wants_acknowledgement) {
                self.acknowledge().await?;
            }
            if client.is_killed() {
                return Err(Broken::Io(io::ErrorKind::ConnectionAborted.into()));
            }
            tokio::select! {
                () = tokio::time::sleep(HELD_BACK), if is_held_back => {}
                read = self.read(), if !is_held_back || ahead < AHEAD_BYTES_MAX => {
                    let read = read?;
                    client.net_in.fetch_add(read as u64, Ordering::Relaxed);
                    client.last_active_ms.store(unix_time_ms(), Ordering::Relaxed);
                }
                _ = ticks.tick() => self.acknowledge().await?,
            }
        }
    }
}

/// Does what a primary sends.
struct Follower {
    session: Session,
    pending: Pending,
    requests: Requests,
}

impl Follower {
    /// Does all that is complete in `buffer`, and takes it out. Returns whether the next of it may not be done yet.
    fn run(&mut self, state: &State, buffer: &mut BytesMut) -> Result<bool, Broken> {
        let mut reply = Reply::new(Protocol::Resp2);
        let mut held_back_at = None;
        while !buffer.is_empty() && held_back_at.is_none() {
            self.requests.clear();
            let part = parse(state, &self.session, &mut self.pending, buffer, 0, &mut self.requests);
            self.requests.batch.prefetch(state, buffer, self.session.database);
            self.session.clock = 0;
            for index in part.requests.clone() {
                let request = self.requests.parsed.requests[index];
                let args = self.requests.parsed.args(buffer, index);
                // An empty line says that the primary is there: it is no part of the history, and has no offset.
                let Some(name) = args.get(0) else { continue };
                let before = (self.session.unlogged.len(), self.session.unlogged_audience);
                self.session.unlogged.extend_from_slice(&buffer[request.start..request.end]);
                let is_for_replicas = [b"PING".as_slice(), b"REPLCONF", b"PUBLISH", b"SPUBLISH"];
                if !is_for_replicas.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                    self.session.unlogged_audience = Audience::All;
                }
                let prepared = self.requests.batch.request(buffer, index);
                let outcome = command::execute(state, &mut self.session, args, prepared, &mut reply);
                if matches!(outcome, Outcome::Postponed(_)) {
                    self.session.unlogged.truncate(before.0);
                    self.session.unlogged_audience = before.1;
                    held_back_at = Some(request.start);
                    break;
                }
                if reply.as_bytes().first() == Some(&b'-') {
                    command::divergence::note_error(state, Talk::ReplicaToPrimary, name, reply.as_bytes());
                }
                reply.clear();
            }
            let held = state.keyspace.lock_one(0);
            command::log_as_it_came(state, &mut self.session);
            drop(held);
            if let Some(start) = held_back_at {
                // What is behind it is parsed once more.
                self.pending = Pending::default();
                buffer.advance(start);
                break;
            }
            let (end, is_full) = (part.end, part.is_full);
            if let Some(error) = part.error {
                return Err(Broken::Refused(format!("Protocol error from the primary: {error}")));
            }
            buffer.advance(end);
            if !is_full {
                break;
            }
        }
        state.log.wake_readers();
        state.tracking.broadcast(&state.clients);
        Ok(held_back_at.is_some())
    }
}
