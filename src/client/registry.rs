//! All connected clients, as other threads see them (`CLIENT LIST`, `CLIENT KILL`, `INFO clients`).

use super::{Mailbox, Message};
use crate::store::{Waiter, Watcher};
use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Bytes that a name costs beside its own, in the client's table and in the one that leads to the client.
const NAME_BYTES: usize = 96;

/// One end of a connection, as `CLIENT LIST` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Tcp(SocketAddr),
    /// Path of the server's socket.
    Unix(Arc<str>),
}

impl Endpoint {
    /// Without the port.
    pub fn ip(&self) -> String {
        match self {
            Endpoint::Tcp(address) => address.ip().to_canonical().to_string(),
            Endpoint::Unix(path) => path.to_string(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(address) => SocketAddr::new(address.ip().to_canonical(), address.port()).fmt(f),
            Endpoint::Unix(path) => write!(f, "{path}:0"),
        }
    }
}

/// What limits apply to a client (`client-output-buffer-limit`, `CLIENT LIST TYPE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    Normal,
    Replica,
    Pubsub,
    Primary,
}

/// A client that was silent for longer is idle: it keeps no room for requests to come.
pub const IDLE_MS: i64 = 2000;
/// What an active client is said to have of its thread's read buffer: as much as Redis reads at once.
const READ_BYTES: usize = 16 * 1024;
/// Bounds of what is reported as a client's reply buffer, in bytes.
const REPLY_ROOM_MIN: usize = 1024;
const REPLY_ROOM_MAX: usize = 16 * 1024;

/// Bits of [`Client::flags`]; each has a letter in `CLIENT LIST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientFlags;

impl ClientFlags {
    pub const MONITOR: u32 = 1 << 0;
    pub const PUBSUB: u32 = 1 << 1;
    pub const MULTI: u32 = 1 << 2;
    pub const BLOCKED: u32 = 1 << 3;
    pub const TRACKING: u32 = 1 << 4;
    pub const TRACKING_BROKEN_REDIRECT: u32 = 1 << 5;
    pub const TRACKING_BROADCAST: u32 = 1 << 6;
    /// A key that the client watches has changed.
    pub const DIRTY_CAS: u32 = 1 << 7;
    pub const CLOSE_AFTER_REPLY: u32 = 1 << 8;
    pub const CLOSE_ASAP: u32 = 1 << 9;
    pub const UNIX_SOCKET: u32 = 1 << 10;
    pub const READONLY: u32 = 1 << 11;
    pub const NO_EVICT: u32 = 1 << 12;
    pub const NO_TOUCH: u32 = 1 << 13;
    pub const IMPORT_SOURCE: u32 = 1 << 14;
    pub const AUTHENTICATED: u32 = 1 << 15;
    /// It follows redirections (`CLIENT CAPA redirect`).
    pub const CAPA_REDIRECT: u32 = 1 << 16;

    /// It follows this server.
    pub const REPLICA: u32 = 1 << 17;
    /// It stands for the server that this one follows.
    pub const PRIMARY: u32 = 1 << 18;

    /// Keys are tracked only, or except, if the client says so before the command that reads them.
    pub const TRACKING_OPTIN: u32 = 1 << 19;
    pub const TRACKING_OPTOUT: u32 = 1 << 20;
    /// It has just said so.
    pub const TRACKING_CACHING: u32 = 1 << 21;
    /// It need not be told of what it does itself.
    pub const TRACKING_NOLOOP: u32 = 1 << 22;

    /// The letters of `CLIENT LIST`, in its order.
    const LETTERS: [(u32, char); 16] = [
        (ClientFlags::REPLICA, 'S'),
        (ClientFlags::PRIMARY, 'M'),
        (ClientFlags::MONITOR, 'O'),
        (ClientFlags::PUBSUB, 'P'),
        (ClientFlags::MULTI, 'x'),
        (ClientFlags::BLOCKED, 'b'),
        (ClientFlags::TRACKING, 't'),
        (ClientFlags::TRACKING_BROKEN_REDIRECT, 'R'),
        (ClientFlags::TRACKING_BROADCAST, 'B'),
        (ClientFlags::DIRTY_CAS, 'd'),
        (ClientFlags::CLOSE_AFTER_REPLY, 'c'),
        (ClientFlags::CLOSE_ASAP, 'A'),
        (ClientFlags::UNIX_SOCKET, 'U'),
        (ClientFlags::READONLY, 'r'),
        (ClientFlags::NO_EVICT, 'e'),
        (ClientFlags::NO_TOUCH, 'T'),
    ];

    /// Whether a client can have the letter in its flags.
    pub fn is_letter(letter: u8) -> bool {
        letter == b'N' || Self::LETTERS.iter().any(|(_, known)| *known as u32 == u32::from(letter))
    }

    /// The flags in letters, `N` if there are none.
    fn letters(flags: u32) -> String {
        let letters: String =
            Self::LETTERS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, letter)| letter).collect();
        if letters.is_empty() { "N".into() } else { letters }
    }
}

/// A connection as others see it. Its own thread keeps the figures up to date with relaxed stores.
pub struct Client {
    pub id: u64,
    pub address: Endpoint,
    pub local_address: Endpoint,
    pub fd: i32,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    pub mailbox: Mailbox,
    pub flags: AtomicU32,
    pub database: AtomicU32,
    pub protocol: AtomicU32,
    /// The id of the client that gets this one's invalidation messages; 0: itself.
    pub redirect: AtomicU64,
    /// Milliseconds since the epoch.
    pub last_active_ms: AtomicI64,
    /// Index into the command table; `u32::MAX` before the first command.
    pub last_command: AtomicU32,
    pub channels: AtomicUsize,
    pub patterns: AtomicUsize,
    pub shard_channels: AtomicUsize,
    /// Commands queued by `MULTI`; -1 outside of a transaction.
    pub queued: AtomicI64,
    pub queued_bytes: AtomicUsize,
    pub watched: AtomicUsize,
    /// Bytes of the names that it watches and listens to.
    pub table_bytes: AtomicUsize,
    /// Of a request that is not complete: the arguments that are, the bytes behind them, and the room for more.
    pub argument_bytes: AtomicUsize,
    pub query_bytes: AtomicUsize,
    pub query_free_bytes: AtomicUsize,
    /// Bytes of replies that the client has not read.
    pub output_bytes: AtomicUsize,
    pub output_blocks: AtomicUsize,
    /// The largest batch of replies since `reply_peak_ms`, in bytes.
    pub reply_peak: AtomicUsize,
    pub reply_peak_ms: AtomicI64,
    /// Unix time in milliseconds since when the output is above its soft limit; 0 while it is not.
    pub soft_limit_since_ms: AtomicI64,
    pub net_in: AtomicU64,
    pub net_out: AtomicU64,
    pub commands: AtomicU64,
    /// The log's offset behind what the client wrote last.
    pub written: AtomicU64,
    killed: AtomicBool,
    /// Its share of [`Registry::memory`].
    counted_bytes: AtomicUsize,
    /// Its share of [`Registry::leaving_bytes`].
    leaving_bytes: AtomicUsize,
    /// What the client waits for, if it is blocked.
    pub waiter: Mutex<Option<Arc<Waiter>>>,
    pub names: RwLock<ClientNames>,
}

/// What a client says of itself.
#[derive(Clone, Debug, Default)]
pub struct ClientNames {
    pub name: Box<[u8]>,
    pub library: Box<[u8]>,
    pub library_version: Box<[u8]>,
    pub user: Box<[u8]>,
}

impl Client {
    pub fn new(id: u64, address: Endpoint, local_address: Endpoint, fd: i32, now_ms: i64) -> Self {
        let flags = if matches!(address, Endpoint::Unix(_)) { ClientFlags::UNIX_SOCKET } else { 0 };
        Client {
            id,
            address,
            local_address,
            fd,
            created_ms: now_ms,
            mailbox: Mailbox::default(),
            flags: AtomicU32::new(flags),
            database: AtomicU32::new(0),
            protocol: AtomicU32::new(2),
            redirect: AtomicU64::new(0),
            last_active_ms: AtomicI64::new(now_ms),
            last_command: AtomicU32::new(u32::MAX),
            channels: AtomicUsize::new(0),
            patterns: AtomicUsize::new(0),
            shard_channels: AtomicUsize::new(0),
            queued: AtomicI64::new(-1),
            queued_bytes: AtomicUsize::new(0),
            watched: AtomicUsize::new(0),
            table_bytes: AtomicUsize::new(0),
            argument_bytes: AtomicUsize::new(0),
            query_bytes: AtomicUsize::new(0),
            query_free_bytes: AtomicUsize::new(0),
            output_bytes: AtomicUsize::new(0),
            output_blocks: AtomicUsize::new(0),
            reply_peak: AtomicUsize::new(REPLY_ROOM_MAX),
            reply_peak_ms: AtomicI64::new(now_ms),
            soft_limit_since_ms: AtomicI64::new(0),
            net_in: AtomicU64::new(0),
            net_out: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            written: AtomicU64::new(0),
            killed: AtomicBool::new(false),
            counted_bytes: AtomicUsize::new(0),
            leaving_bytes: AtomicUsize::new(0),
            waiter: Mutex::new(None),
            names: RwLock::new(ClientNames { user: Box::from(b"default".as_slice()), ..ClientNames::default() }),
        }
    }

    pub fn has(&self, flags: u32) -> bool {
        self.flags.load(Ordering::Relaxed) & flags != 0
    }

    pub fn set(&self, flags: u32, on: bool) {
        if on {
            self.flags.fetch_or(flags, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!flags, Ordering::Relaxed);
        }
    }

    /// Whether it speaks the protocol in which messages can be told from replies.
    pub fn is_resp3(&self) -> bool {
        self.protocol.load(Ordering::Relaxed) == 3
    }

    /// The flags as `CLIENT LIST` shows them.
    pub fn flag_letters(&self) -> String {
        ClientFlags::letters(self.flags.load(Ordering::Relaxed))
    }

    pub fn kind(&self) -> ClientKind {
        match self.flags.load(Ordering::Relaxed) {
            flags if flags & ClientFlags::PRIMARY != 0 => ClientKind::Primary,
            flags if flags & ClientFlags::REPLICA != 0 => ClientKind::Replica,
            flags if flags & ClientFlags::PUBSUB != 0 => ClientKind::Pubsub,
            _ => ClientKind::Normal,
        }
    }

    /// Ends the connection, whatever it is doing, without a reply.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.set(ClientFlags::CLOSE_ASAP, true);
        self.mailbox.post(super::Message::Wake);
    }

    #[inline]
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Commands that are queued for a transaction and may still run; -1 outside of one.
    pub fn queued_commands(&self) -> i64 {
        let queued = self.queued.load(Ordering::Relaxed);
        if self.is_touched() { queued.min(0) } else { queued }
    }

    /// Keys that the client watches and that matter to it.
    pub fn watched_keys(&self) -> usize {
        if self.is_touched() { 0 } else { self.watched.load(Ordering::Relaxed) }
    }

    /// Bytes that the client costs: buffers both ways, what it queued, watches and listens to, and what is fixed.
    pub fn memory(&self) -> usize {
        const FIXED: usize = size_of::<Client>() + 1024;
        let parts =
            [&self.argument_bytes, &self.query_bytes, &self.query_free_bytes, &self.queued_bytes, &self.table_bytes];
        FIXED + self.output_memory() + parts.iter().map(|part| part.load(Ordering::Relaxed)).sum::<usize>()
    }

    /// Counts a name that the client begins to watch or to listen to.
    pub fn add_name(&self, name: &[u8]) {
        self.table_bytes.fetch_add(name.len() + NAME_BYTES, Ordering::Relaxed);
    }

    /// Counts a name that the client no longer watches or listens to.
    pub fn remove_name(&self, name: &[u8]) {
        self.table_bytes.fetch_sub(name.len() + NAME_BYTES, Ordering::Relaxed);
    }

    /// Notes the size of a batch of replies, of which the largest within `reset_ms` counts.
    pub fn note_replies(&self, bytes: usize, reset_ms: i64) {
        let now_ms = self.last_active_ms.load(Ordering::Relaxed);
        let is_over = now_ms - self.reply_peak_ms.load(Ordering::Relaxed) > reset_ms;
        if is_over || bytes >= self.reply_peak.load(Ordering::Relaxed) {
            self.reply_peak.store(bytes, Ordering::Relaxed);
            self.reply_peak_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// The room that replies to this client took at once within `reset_ms`, in the bounds of Redis' reply buffers.
    pub fn reply_room(&self, now_ms: i64, reset_ms: i64) -> usize {
        if now_ms - self.reply_peak_ms.load(Ordering::Relaxed) > reset_ms {
            return REPLY_ROOM_MIN;
        }
        self.reply_peak.load(Ordering::Relaxed).clamp(REPLY_ROOM_MIN, REPLY_ROOM_MAX)
    }

    /// Whether there is room for a request and nothing in it.
    pub fn holds_empty_buffer(&self) -> bool {
        let used = self.argument_bytes.load(Ordering::Relaxed) + self.query_bytes.load(Ordering::Relaxed);
        used == 0 && self.query_free_bytes.load(Ordering::Relaxed) > 0
    }

    /// The room for what the client sends next, in bytes: that of its own buffer, or a part of its thread's buffer
    /// while it is active.
    pub fn query_room(&self, now_ms: i64) -> usize {
        let is_idle = now_ms - self.last_active_ms.load(Ordering::Relaxed) > IDLE_MS;
        let shared = if is_idle { 0 } else { READ_BYTES.saturating_sub(self.query_bytes.load(Ordering::Relaxed)) };
        self.query_free_bytes.load(Ordering::Relaxed).max(shared)
    }

    /// Bytes that wait to be sent to the client.
    pub fn output_memory(&self) -> usize {
        self.output_bytes.load(Ordering::Relaxed) + self.mailbox.pending_bytes()
    }
}

impl Watcher for Client {
    fn touch(&self) {
        self.set(ClientFlags::DIRTY_CAS, true);
    }

    fn is_touched(&self) -> bool {
        self.has(ClientFlags::DIRTY_CAS)
    }
}

/// The connected clients by id.
#[derive(Default)]
pub struct Registry {
    clients: DashMap<u64, Arc<Client>>,
    next_id: AtomicU64,
    /// What all clients cost, as far as [`Registry::note_memory`] is told.
    memory: AtomicUsize,
    /// What those cost that were killed and whose connections have not ended yet.
    leaving_bytes: AtomicUsize,
}

impl Registry {
    /// An id that no client had before.
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn add(&self, client: &Arc<Client>) {
        self.clients.insert(client.id, Arc::clone(client));
    }

    /// The connection has ended, and what it held is free.
    pub fn remove(&self, client: &Client) {
        if self.clients.remove(&client.id).is_some() {
            self.count(client, 0);
        } else {
            self.leaving_bytes.fetch_sub(client.leaving_bytes.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Whether there are clients that were killed and still hold what they held.
    pub fn are_leaving(&self) -> bool {
        self.leaving_bytes() > 0
    }

    /// What such clients hold, in bytes: it will be free as soon as their threads get round to it.
    pub fn leaving_bytes(&self) -> usize {
        self.leaving_bytes.load(Ordering::Relaxed)
    }

    /// Takes note of what a client costs now, unless it is gone. Returns what all clients cost; threads that get in
    /// each other's way can make that wrong until [`Registry::recount_memory`].
    pub fn note_memory(&self, client: &Client) -> usize {
        if !client.is_killed() {
            self.count(client, client.memory());
        }
        self.memory.load(Ordering::Relaxed)
    }

    /// What each client costs now, for all to be taken note of.
    pub fn recount_memory(&self) -> Vec<(usize, Arc<Client>)> {
        let clients: Vec<_> = self.clients.iter().map(|client| (client.memory(), Arc::clone(&client))).collect();
        let mut sum = 0;
        for (bytes, client) in &clients {
            client.counted_bytes.store(*bytes, Ordering::Relaxed);
            sum += bytes;
        }
        self.memory.store(sum, Ordering::Relaxed);
        clients
    }

    fn count(&self, client: &Client, bytes: usize) {
        let before = client.counted_bytes.swap(bytes, Ordering::Relaxed);
        // Wraps where the sum gets smaller.
        self.memory.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Ends a connection. It is gone at once for everybody who looks, however long its thread takes to notice.
    pub fn kill(&self, client: &Client) {
        // Within the map's lock: when the connection ends, its share is found.
        let known = self.clients.remove_if(&client.id, |_, client| {
            let bytes = client.memory();
            client.leaving_bytes.store(bytes, Ordering::Relaxed);
            self.leaving_bytes.fetch_add(bytes, Ordering::Relaxed);
            true
        });
        if known.is_some() {
            self.count(client, 0);
        }
        client.kill();
    }

    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.clients.get(&id).map(|client| Arc::clone(&client))
    }

    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Has every client look again whether it may go on.
    pub fn wake_all(&self) {
        self.all().iter().for_each(|client| client.mailbox.post(Message::Wake));
    }

    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Everybody connected now, by id.
    pub fn all(&self) -> Vec<Arc<Client>> {
        let mut clients: Vec<_> = self.clients.iter().map(|client| Arc::clone(&client)).collect();
        clients.sort_unstable_by_key(|client| client.id);
        clients
    }
}
