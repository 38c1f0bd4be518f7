//! Client-side caching (`CLIENT TRACKING`): who keeps copies of what, and how clients are told that a copy is out of date.
//!
//! By default the server notes, in the shard of each key, which clients have read it (`store::Tracked`); whoever changes the key
//! takes these notes out and tells the clients, while the shard is locked. So a client that reads a key after it was changed is
//! noted anew, and the reply that it got before is in front of the message: messages go by mailboxes, and a connection takes
//! its mail between requests.
//!
//! Clients that broadcast (`BCAST`) are told of all changes to keys that begin with their prefixes. Nothing is noted for them;
//! the changed keys gather until a thread has served its clients, so that there is one message for many keys.
//!
//! A client is told of what it does itself behind the reply. [`Tracking::invalidate`] leaves that to the caller.

use crate::client::{Client, ClientFlags, Encoded, Invalid, Message, Registry};
use crate::prefixes::Prefixes;
use crate::resp::Reply;
use crate::store::{Key, Keyspace, Noted, Tracked};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use rand::Rng;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Where those hear of invalid keys that get the messages of others, in RESP2.
const CHANNEL: &[u8] = b"__redis__:invalidate";
/// So many keys gather for broadcasting at most before they are sent.
const GATHERED_MAX: usize = 4096;

/// A key that was changed, and the only client that did so; 0 if there is none.
type Change<'a> = (&'a [u8], u64);

/// Clients by their ids.
type Clients = HashMap<u64, Arc<Client>>;

/// A counter in a cache line of its own: that it changes does not slow down those who look at something else.
#[derive(Default)]
#[repr(align(128))]
struct Counter(AtomicUsize);

/// All that is tracked, but for what shards know of their keys.
#[derive(Default)]
pub struct Tracking {
    /// Somebody has asked for tracking since the server began.
    is_on: AtomicBool,
    /// Keys have changed of which nobody has been told yet who broadcasts.
    has_gathered: AtomicBool,
    prefix_count: AtomicUsize,
    /// Who wants to know of keys by their prefixes.
    prefixes: RwLock<Prefixes<Clients>>,
    /// Keys that begin with any of the prefixes and were changed, each with the only client that did so; 0 if there are several,
    /// or none.
    gathered: Mutex<BTreeMap<Box<[u8]>, u64>>,
    keys: Counter,
    items: Counter,
}

/// Figures for `INFO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Keys that somebody may have a copy of.
    pub keys: usize,
    /// Their clients, counted for each key.
    pub items: usize,
    /// Different prefixes.
    pub prefixes: usize,
}

impl Tracking {
    /// Whether anything may be tracked: one load while nobody wants it.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Has it be known that something is tracked from now on.
    pub fn switch_on(&self) {
        self.is_on.store(true, Ordering::Relaxed);
    }

    pub fn figures(&self) -> Figures {
        Figures {
            keys: self.key_count(),
            items: self.items.0.load(Ordering::Relaxed),
            prefixes: self.prefix_count.load(Ordering::Relaxed),
        }
    }

    /// Keys that somebody may have a copy of.
    pub fn key_count(&self) -> usize {
        self.keys.0.load(Ordering::Relaxed)
    }

    /// Has a client be told of changes to all keys that begin with `prefix`.
    pub fn add_prefix(&self, prefix: &[u8], client: &Arc<Client>) {
        let mut prefixes = self.prefixes.write();
        match prefixes.get_mut(prefix) {
            Some(clients) => {
                clients.insert(client.id, Arc::clone(client));
            }
            None => {
                prefixes.insert(prefix, HashMap::from([(client.id, Arc::clone(client))]));
            }
        }
        self.prefix_count.store(prefixes.len(), Ordering::Relaxed);
    }

    /// Ends that.
    pub fn remove_prefix(&self, prefix: &[u8], client: &Client) {
        let mut prefixes = self.prefixes.write();
        let Some(clients) = prefixes.get_mut(prefix) else { return };
        clients.remove(&client.id);
        if clients.is_empty() {
            prefixes.remove(prefix);
        }
        self.prefix_count.store(prefixes.len(), Ordering::Relaxed);
    }

    /// Notes that a client has read `key`. `tracked` is what the key's shard knows.
    pub fn note(&self, tracked: &mut Tracked, key: Key<'_>, client: u64) {
        let noted = tracked.note(key, client);
        if noted == Noted::Key {
            self.keys.0.fetch_add(1, Ordering::Relaxed);
        }
        if noted != Noted::Nothing {
            self.items.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells those who may have a copy of `key` that it has changed: by the doing of the client `by`, or by itself if that is 0.
    /// `running` is the client whose command runs, 0 if there is none; whether it is one of those is returned, since it is
    /// told behind its reply. `tracked` is what the key's shard knows.
    #[must_use = "the client whose command runs must be told"]
    pub fn invalidate(&self, clients: &Registry, tracked: &mut Tracked, key: Key<'_>, by: u64, running: u64) -> bool {
        if self.prefix_count.load(Ordering::Relaxed) > 0 {
            self.gather(clients, key.bytes, by);
        }
        let Some(ids) = tracked.take(key) else { return false };
        self.uncount(ids.len());
        let mut is_running_told = false;
        let keys = [key.bytes];
        let message = &mut Encoded::new(write_keys(&keys));
        for client in ids.into_iter().filter_map(|id| keeper(clients, id)) {
            if client.id != running {
                send(clients, &client, message);
            } else if !client.has(ClientFlags::TRACKING_NOLOOP) {
                is_running_told = true;
            }
        }
        is_running_told
    }

    /// Counts a key that was taken out, with so many clients.
    fn uncount(&self, items: usize) {
        self.keys.0.fetch_sub(1, Ordering::Relaxed);
        self.items.0.fetch_sub(items, Ordering::Relaxed);
    }

    /// Tells all that whole databases have been emptied, but for the client `running`: whether that is to be told behind its
    /// reply is returned. `shards` are what all shards know.
    #[must_use = "the client whose command runs must be told"]
    pub fn forget_all<'t>(
        &self,
        clients: &Registry,
        shards: impl Iterator<Item = &'t mut Tracked>,
        running: u64,
    ) -> bool {
        if !self.is_on() {
            return false;
        }
        shards.for_each(Tracked::clear);
        self.keys.0.store(0, Ordering::Relaxed);
        self.items.0.store(0, Ordering::Relaxed);
        let message = &mut Encoded::new(write_all);
        let mut is_running_told = false;
        for client in clients.all().into_iter().filter(|client| client.has(ClientFlags::TRACKING)) {
            if client.id == running {
                is_running_told = true;
            } else {
                send(clients, &client, message);
            }
        }
        is_running_told
    }

    /// Tells a client of what its own command did, behind the reply to it.
    pub fn tell_running(&self, clients: &Registry, client: &Client, invalid: Vec<Invalid>, reply: &mut Reply) {
        for invalid in invalid {
            match invalid {
                Invalid::Key(key) => tell_running(clients, client, &mut Encoded::new(write_keys(&[&key])), reply),
                Invalid::All => tell_running(clients, client, &mut Encoded::new(write_all), reply),
            }
        }
    }

    /// The same for a client whose reply went to its mailbox.
    pub fn tell(&self, clients: &Registry, client: &Client, invalid: Vec<Invalid>) {
        for invalid in invalid {
            match invalid {
                Invalid::Key(key) => send(clients, client, &mut Encoded::new(write_keys(&[&key]))),
                Invalid::All => send(clients, client, &mut Encoded::new(write_all)),
            }
        }
    }

    /// Takes up to `count` keys out, chosen at random, and tells those who may have copies of them, as long as there are more than
    /// `keys_max`. The caller must hold no locks.
    pub fn limit(&self, keyspace: &Keyspace, clients: &Registry, keys_max: usize, count: usize) {
        let shards = keyspace.shard_count();
        let rng = &mut rand::rng();
        for _ in 0..count {
            if self.key_count() <= keys_max {
                return;
            }
            let first = rng.random_range(0..shards);
            let taken = (0..shards).find_map(|step| {
                let mut shard = keyspace.lock_one((first + step) % shards);
                let (key, ids) = shard.tracked.take_random(rng)?;
                self.uncount(ids.len());
                let keys = [&*key];
                let message = &mut Encoded::new(write_keys(&keys));
                ids.into_iter().filter_map(|id| keeper(clients, id)).for_each(|client| send(clients, &client, message));
                Some(())
            });
            if taken.is_none() {
                return;
            }
        }
    }

    /// Notes that a key was changed, if somebody wants to be told of it who broadcasts.
    #[cold]
    fn gather(&self, clients: &Registry, key: &[u8], by: u64) {
        let mut is_wanted = false;
        self.prefixes.read().for_each_of(key, |_, _| is_wanted = true);
        if !is_wanted {
            return;
        }
        let mut gathered = self.gathered.lock();
        match gathered.get_mut(key) {
            Some(before) if *before != by => *before = 0,
            Some(_) => {}
            None => {
                gathered.insert(key.into(), by);
            }
        }
        self.has_gathered.store(true, Ordering::Release);
        let is_full = gathered.len() >= GATHERED_MAX;
        drop(gathered);
        if is_full {
            self.send_gathered(clients);
        }
    }

    /// Tells those who broadcast of the keys that have changed since the last call.
    #[inline]
    pub fn broadcast(&self, clients: &Registry) {
        if self.has_gathered.load(Ordering::Relaxed) {
            self.send_gathered(clients);
        }
    }

    #[cold]
    fn send_gathered(&self, clients: &Registry) {
        let mut gathered = self.gathered.lock();
        self.has_gathered.store(false, Ordering::Relaxed);
        let changed = std::mem::take(&mut *gathered);
        drop(gathered);
        let prefixes = self.prefixes.read();
        let mut by_prefix: BTreeMap<&[u8], (&Clients, Vec<Change<'_>>)> = BTreeMap::new();
        for (key, by) in &changed {
            prefixes.for_each_of(key, |prefix, clients| {
                by_prefix.entry(prefix).or_insert_with(|| (clients, Vec::new())).1.push((key, *by));
            });
        }
        for (wanting, changed) in by_prefix.into_values() {
            let keys: Vec<_> = changed.iter().map(|(key, _)| *key).collect();
            let message = &mut Encoded::new(write_keys(&keys));
            for client in wanting.values().filter(|client| !client.is_killed()) {
                let is_own = |(_, by): &Change<'_>| *by == client.id;
                if !client.has(ClientFlags::TRACKING_NOLOOP) || !changed.iter().any(is_own) {
                    send(clients, client, message);
                    continue;
                }
                let keys: Vec<_> = changed.iter().filter(|change| !is_own(change)).map(|(key, _)| *key).collect();
                if !keys.is_empty() {
                    send(clients, client, &mut Encoded::new(write_keys(&keys)));
                }
            }
        }
    }
}

/// The client of an id that was noted for a key, if it still keeps copies of what it reads.
fn keeper(clients: &Registry, id: u64) -> Option<Arc<Client>> {
    clients.get(id).filter(|client| client.has(ClientFlags::TRACKING) && !client.has(ClientFlags::TRACKING_BROADCAST))
}

/// Who gets the messages for a client.
enum Receiver {
    /// Itself.
    Own,
    Other(Arc<Client>),
    /// Whoever should could not read them.
    Nobody,
    /// Whoever should has left.
    Gone,
}

fn receiver(clients: &Registry, client: &Client) -> Receiver {
    let redirect = client.redirect.load(Ordering::Relaxed);
    if redirect == 0 {
        return if client.is_resp3() { Receiver::Own } else { Receiver::Nobody };
    }
    match clients.get(redirect) {
        Some(other) if other.is_resp3() || other.has(ClientFlags::PUBSUB) => Receiver::Other(other),
        Some(_) => Receiver::Nobody,
        None => Receiver::Gone,
    }
}

fn send(clients: &Registry, client: &Client, message: &mut Encoded<impl Fn(&mut Reply)>) {
    match receiver(clients, client) {
        Receiver::Own => message.send_to(client),
        Receiver::Other(other) => message.send_to(&other),
        Receiver::Nobody => {}
        Receiver::Gone => {
            if let Some(warning) = note_broken_redirection(client) {
                client.mailbox.post(Message::Push(warning));
            }
        }
    }
}

/// Like [`send`] for the client whose command has run; what is for itself is written to `reply`.
fn tell_running(clients: &Registry, client: &Client, message: &mut Encoded<impl Fn(&mut Reply)>, reply: &mut Reply) {
    let own = match receiver(clients, client) {
        Receiver::Own => Some(message.for_client(client)),
        Receiver::Other(other) if other.id == client.id => Some(message.for_client(client)),
        Receiver::Other(other) => {
            message.send_to(&other);
            None
        }
        Receiver::Nobody => None,
        Receiver::Gone => note_broken_redirection(client),
    };
    let written = own.map_or(Ok(()), |own| reply.raw(&own));
    debug_assert!(written.is_ok());
}

/// Notes that nobody gets a client's messages any more. Returns what it is told, if it can be.
fn note_broken_redirection(client: &Client) -> Option<Bytes> {
    client.set(ClientFlags::TRACKING_BROKEN_REDIRECT, true);
    let write = |reply: &mut Reply| {
        let redirect = client.redirect.load(Ordering::Relaxed) as i64;
        let written =
            reply.push(2).and_then(|()| reply.bulk(b"tracking-redir-broken")).and_then(|()| reply.integer(redirect));
        debug_assert!(written.is_ok());
    };
    client.is_resp3().then(|| Encoded::new(write).for_client(client))
}

/// Writes the beginning of a message, which ends with what is invalid.
fn write_head(reply: &mut Reply) {
    let written = if reply.is_resp3() {
        reply.push(2).and_then(|()| reply.bulk(b"invalidate"))
    } else {
        reply.push(3).and_then(|()| reply.bulk(b"message")).and_then(|()| reply.bulk(CHANNEL))
    };
    debug_assert!(written.is_ok());
}

fn write_keys(keys: &[&[u8]]) -> impl Fn(&mut Reply) {
    move |reply| {
        write_head(reply);
        let written = reply.bulk_array(keys);
        debug_assert!(written.is_ok());
    }
}

fn write_all(reply: &mut Reply) {
    write_head(reply);
    let written = reply.null();
    debug_assert!(written.is_ok());
}
