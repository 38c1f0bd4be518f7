//! What a connection has agreed on with the server. Belongs to the connection's own thread.

use super::{Client, Invalid, PrefixSet};
use crate::acl::{Account, Denial};
use crate::log::Audience;
use crate::replication::{Capabilities, Replica};
use crate::resp::{Args, OwnedRequest, Protocol};
use crate::spec::CommandSpec;
use crate::store::Waiter;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Whether replies are sent (`CLIENT REPLY`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// The command that says so gets no reply, and neither does the next.
    SkipAnnounced,
    /// The next command gets no reply.
    SkipNext,
}

/// Commands queued since `MULTI`.
#[derive(Debug, Default)]
pub struct Transaction {
    pub commands: Vec<(&'static CommandSpec, OwnedRequest)>,
    /// A command was refused while queueing: `EXEC` will be refused too.
    pub is_broken: bool,
    /// Heap bytes of the queue.
    pub bytes: usize,
}

/// What a connection listens to.
#[derive(Debug, Default)]
pub struct Subscriptions {
    pub channels: HashSet<Box<[u8]>>,
    pub patterns: HashSet<Box<[u8]>>,
    pub shard_channels: HashSet<Box<[u8]>>,
}

impl Subscriptions {
    /// Channels and patterns, as the replies to SUBSCRIBE count them.
    pub fn count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.count() == 0 && self.shard_channels.is_empty()
    }
}

/// A command that waits for a key.
pub struct BlockedCommand {
    pub waiter: Arc<Waiter>,
    /// Unix time in milliseconds at which the wait ends; `None` waits for ever.
    pub deadline_ms: Option<i64>,
}

/// What a command must know of the client that it runs for, also when it runs after a wait.
#[derive(Clone)]
pub struct Identity {
    pub client: Arc<Client>,
    pub database: usize,
    pub protocol: Protocol,
    pub is_authenticated: bool,
    pub account: Arc<Account>,
    pub reply_mode: ReplyMode,
    pub no_touch: bool,
}

impl Identity {
    /// A client that has just connected.
    pub fn new(client: Arc<Client>, account: Arc<Account>, is_authenticated: bool) -> Self {
        Identity {
            client,
            account,
            database: 0,
            protocol: Protocol::Resp2,
            is_authenticated,
            reply_mode: ReplyMode::On,
            no_touch: false,
        }
    }
}

/// A connection's state, as commands read and change it.
pub struct Session {
    pub client: Arc<Client>,
    pub database: usize,
    pub protocol: Protocol,
    pub is_authenticated: bool,
    /// Whose rights it has.
    pub account: Arc<Account>,
    pub reply_mode: ReplyMode,
    pub transaction: Option<Box<Transaction>>,
    /// The keys being watched, each with its database.
    pub watched: HashSet<(usize, Box<[u8]>)>,
    /// `None` until the first subscription.
    pub subscriptions: Option<Box<Subscriptions>>,
    pub blocked: Option<BlockedCommand>,
    /// The prefixes of keys that it wants to be told of (`CLIENT TRACKING … BCAST`).
    pub prefixes: PrefixSet,
    /// What the command that has just run made out of date of what the client itself may keep.
    pub invalidated: Vec<Invalid>,
    pub no_touch: bool,
    /// The command that runs confirms subscriptions: that is sent even when replies are not wanted.
    pub confirms: bool,
    /// The command that runs ended subscriptions, or MONITOR, or changed the protocol: whatever was sent before precedes its
    /// reply.
    pub listens_anew: bool,
    /// The connection ends once what was written has been sent.
    pub close_after_reply: bool,
    /// What the client said of itself as a replica.
    pub capabilities: Capabilities,
    /// The client follows this server.
    pub replica: Option<Arc<Replica>>,
    /// What it sends is done whatever the rules for clients: it is the primary's link, or a file that is loaded.
    pub obeys: bool,
    /// It is that of a script.
    pub is_script: bool,
    /// Memory was above `maxmemory`, and nothing could be evicted, when the present command came.
    pub is_out_of_memory: bool,
    /// The link's turn: it is over when another primary is followed, or none ([`crate::replication::Replication::turn`]).
    pub turn: Option<u64>,
    /// What an obedient session has been given and the log has not, as it came.
    pub unlogged: Vec<u8>,
    /// Whom that concerns.
    pub unlogged_audience: Audience,
    /// The primary wants to know what this server has.
    pub wants_acknowledgement: bool,
    /// The fine clock at the end of the command before, if that was just now; 0 if not.
    pub clock: u64,
}

impl Session {
    pub fn new(identity: Identity) -> Self {
        Session {
            client: identity.client,
            database: identity.database,
            protocol: identity.protocol,
            is_authenticated: identity.is_authenticated,
            account: identity.account,
            reply_mode: identity.reply_mode,
            transaction: None,
            watched: HashSet::new(),
            subscriptions: None,
            blocked: None,
            prefixes: PrefixSet::default(),
            invalidated: Vec::new(),
            no_touch: identity.no_touch,
            confirms: false,
            listens_anew: false,
            close_after_reply: false,
            capabilities: Capabilities::default(),
            replica: None,
            obeys: false,
            is_script: false,
            is_out_of_memory: false,
            turn: None,
            unlogged: Vec::new(),
            unlogged_audience: Audience::Replicas,
            wants_acknowledgement: false,
            clock: 0,
        }
    }

    /// What is kept for a command that waits.
    pub fn identity(&self) -> Identity {
        Identity {
            client: Arc::clone(&self.client),
            database: self.database,
            protocol: self.protocol,
            is_authenticated: self.is_authenticated,
            account: Arc::clone(&self.account),
            reply_mode: self.reply_mode,
            no_touch: self.no_touch,
        }
    }

    /// Whether its user may make a request. What it obeys, it does whoever it is.
    #[inline]
    pub fn check(&self, spec: &CommandSpec, args: Args<'_>) -> Result<(), Denial> {
        if self.obeys { Ok(()) } else { self.account.check(spec, args) }
    }

    /// Whether its user may make a request, and delete whatever key begins with `prefix`.
    pub fn may_delete_all(&self, spec: &CommandSpec, args: Args<'_>, prefix: &[u8]) -> bool {
        self.obeys || self.account.is_unrestricted() || self.account.user().writes_all_keys(spec, args, prefix)
    }

    /// Selects a database, which exists.
    pub fn select(&mut self, database: usize) {
        self.database = database;
        self.client.database.store(database as u32, Ordering::Relaxed);
    }

    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.client.protocol.store(u32::from(protocol.number()), Ordering::Relaxed);
    }

    /// Whether only the commands of a subscriber are allowed.
    pub fn is_subscriber(&self) -> bool {
        self.subscriptions.as_ref().is_some_and(|subscriptions| !subscriptions.is_empty())
    }
}
