//! Runs a plan on all servers at once and stops where they first disagree.

use crate::compare::{agree, unordered_messages};
use crate::grammar::{Command, may_block};
use crate::plan::{Plan, Step};
use crate::reply::{Reply, readable};
use crate::server::{Connection, REPLY_MAX, Server, encode};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// How long servers may take to agree on who is blocked, or on which messages have arrived: longer than a busy machine
/// holds one of them up.
const SETTLE_MAX: Duration = Duration::from_secs(10);

const DATABASES: u32 = 16;

/// The servers: the one under test first, then those whose behaviour is right. It has to behave like one of them.
pub struct Fleet {
    pub servers: Vec<Server>,
}

/// What happened to a command: for the table.
#[derive(Default)]
pub struct Tally {
    /// By name: how often sent, and how often answered with an error.
    pub commands: BTreeMap<String, (u64, u64)>,
}

/// Where the server under test and all others disagree.
pub struct Mismatch {
    /// The step of the plan.
    pub step: usize,
    /// What it is about: a command's name, or a check's.
    pub about: String,
    /// What each server answered.
    pub details: String,
}

/// An error of the connection to a server, or a disagreement.
enum Stop {
    Mismatch {
        about: String,
        details: String,
    },
    Io(usize, io::Error),
    /// The same, about a command.
    NoReply {
        server: usize,
        about: String,
        error: io::Error,
    },
}

struct Client {
    connections: Vec<Connection>,
    ids: Vec<i64>,
    blocked: Option<Command>,
    in_transaction: bool,
    queued: Vec<Command>,
}

struct Round<'a> {
    fleet: &'a Fleet,
    tally: &'a mut Tally,
    control: Vec<Connection>,
    clients: Vec<Client>,
    protocols: Vec<u8>,
    subscribers: Vec<Vec<Connection>>,
    marker: u64,
}

impl Fleet {
    /// Runs the plan on empty servers; `Ok(Some)` when they disagree, an error when the round could not begin.
    pub fn run(&self, plan: &Plan, tally: &mut Tally) -> io::Result<Option<Mismatch>> {
        let connect = || self.servers.iter().map(Server::connect).collect::<io::Result<Vec<_>>>();
        let mut control = connect()?;
        for connection in &mut control {
            for [name, value] in &plan.config {
                connection.call(&["CONFIG", "SET", name, value])?;
            }
            connection.call(&["FLUSHALL"])?;
        }
        let mut round = Round {
            fleet: self,
            tally,
            control,
            clients: Vec::new(),
            protocols: plan.clients.clone(),
            subscribers: Vec::new(),
            marker: 0,
        };
        for protocol in &plan.clients {
            let client = round.new_client(*protocol)?;
            round.clients.push(client);
        }
        for protocol in &plan.subscribers {
            let mut connections = connect()?;
            for connection in &mut connections {
                connection.call(&["HELLO", &protocol.to_string()])?;
            }
            round.subscribers.push(connections);
        }
        // The first subscriber hears of every change to a key.
        for connection in &mut round.subscribers[0] {
            connection.call(&["PSUBSCRIBE", "__key*"])?;
        }
        for (index, step) in plan.steps.iter().enumerate() {
            match round.step(step) {
                Ok(()) => {}
                Err(Stop::Mismatch { about, details }) => return Ok(Some(Mismatch { step: index, about, details })),
                Err(Stop::NoReply { server, about, error }) => {
                    let details = format!("{}: {error}", self.servers[server].name);
                    return Ok(Some(Mismatch { step: index, about, details }));
                }
                Err(Stop::Io(server, error)) => {
                    let details = format!("{}: {error}", self.servers[server].name);
                    return Ok(Some(Mismatch { step: index, about: "connection".to_owned(), details }));
                }
            }
        }
        Ok(None)
    }
}

fn name_of(command: &Command) -> String {
    let mut name = String::from_utf8_lossy(command.first().map_or(b"" as &[u8], |name| name)).to_ascii_uppercase();
    let containers = [
        "CLIENT", "CONFIG", "OBJECT", "COMMAND", "MEMORY", "PUBSUB", "XGROUP", "SLOWLOG", "LATENCY", "DEBUG", "CLUSTER",
    ];
    if let Some(subcommand) =
        command.get(1).filter(|word| containers.contains(&&*name) && word.is_ascii() && word.len() < 20)
    {
        name = format!("{name} {}", String::from_utf8_lossy(subcommand).to_ascii_uppercase());
    }
    if name.len() > 30 || !name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        "(other)".to_owned()
    } else {
        name
    }
}

/// Whether the first agrees with any of the others.
fn any_agrees<T>(all: &[T], agree: impl Fn(&T, &T) -> bool) -> bool {
    all[1..].iter().any(|theirs| agree(&all[0], theirs))
}

impl Round<'_> {
    fn new_client(&self, protocol: u8) -> io::Result<Client> {
        let mut client = Client {
            connections: Vec::new(),
            ids: Vec::new(),
            blocked: None,
            in_transaction: false,
            queued: Vec::new(),
        };
        for server in &self.fleet.servers {
            let mut connection = server.connect()?;
            connection.call(&["HELLO", &protocol.to_string()])?;
            client.ids.push(connection.call(&["CLIENT", "ID"])?.number().unwrap_or(-1));
            client.connections.push(connection);
        }
        Ok(client)
    }

    /// An error that names what each server said.
    fn mismatch<T: std::fmt::Display>(&self, about: &str, said: &[T]) -> Stop {
        let lines: Vec<_> = self
            .fleet
            .servers
            .iter()
            .zip(said)
            .map(|(server, said)| format!("  {:>16}: {said}", server.name))
            .collect();
        Stop::Mismatch { about: about.to_owned(), details: lines.join("\n") }
    }

    fn step(&mut self, step: &Step) -> Result<(), Stop> {
        match step {
            Step::Pipeline { client, commands } => {
                let client = self.unblocked_client(*client)?;
                self.pipeline(client, commands)?;
                self.served_clients(client)
            }
            Step::Reconnect { client } => {
                self.replace_client(*client)?;
                self.served_clients(*client)
            }
            Step::Subscriber { subscriber, commands } => self.subscriber(*subscriber, commands),
            Step::Scan { db, options } => self.scan(*db, options),
            Step::Raw(bytes) => self.raw(bytes),
            Step::Check => self.check(),
        }
    }

    fn replace_client(&mut self, client: usize) -> Result<(), Stop> {
        let old = self.new_client(self.protocols[client]).map_err(|error| Stop::Io(0, error))?;
        let old = std::mem::replace(&mut self.clients[client], old);
        drop(old.connections);
        // The departed must be gone before anything is pushed that it could still take.
        for (server, id) in old.ids.iter().enumerate() {
            let started = Instant::now();
            while started.elapsed() < SETTLE_MAX {
                let listed = self.control(server, &[b"CLIENT", b"LIST", b"ID", id.to_string().as_bytes()])?;
                if listed.text.is_none_or(|text| text.is_empty()) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// This client, or when it is blocked the next that is not; with all of them blocked, it goes away and comes back.
    fn unblocked_client(&mut self, wanted: usize) -> Result<usize, Stop> {
        let count = self.clients.len();
        for client in (wanted..wanted + count).map(|client| client % count) {
            if self.clients[client].blocked.is_none() {
                return Ok(client);
            }
        }
        self.replace_client(wanted)?;
        Ok(wanted)
    }

    fn control(&mut self, server: usize, command: &[&[u8]]) -> Result<Reply, Stop> {
        self.control[server].call(command).map_err(|error| Stop::Io(server, error))
    }

    fn receive(&mut self, client: usize, server: usize, command: &Command) -> Result<Reply, Stop> {
        let reply = self.clients[client].connections[server].receive(REPLY_MAX);
        let reply = reply.and_then(|reply| reply.ok_or_else(|| ErrorKind::TimedOut.into()));
        reply.map_err(|error| Stop::NoReply { server, about: name_of(command), error })
    }

    fn pipeline(&mut self, client: usize, commands: &[Command]) -> Result<(), Stop> {
        for server in 0..self.fleet.servers.len() {
            let bytes: Vec<u8> = commands.iter().flat_map(|command| encode(&self.with_ids(command, server))).collect();
            self.clients[client].connections[server].send(&bytes).map_err(|error| Stop::Io(server, error))?;
        }
        for command in commands {
            if may_block(command) && !self.clients[client].in_transaction {
                self.settle(client, command)?;
            } else {
                let replies = (0..self.fleet.servers.len()).map(|server| self.receive(client, server, command));
                let replies = replies.collect::<Result<Vec<_>, _>>()?;
                self.compare(client, command, &replies)?;
            }
        }
        Ok(())
    }

    /// The command with this server's client ids in it.
    fn with_ids(&self, command: &Command, server: usize) -> Command {
        let id = |word: &Vec<u8>| match word.strip_prefix(b"\0id:").and_then(|number| number.first()) {
            Some(digit) => {
                let client = usize::from(digit - b'0') % self.clients.len();
                self.clients[client].ids[server].to_string().into_bytes()
            }
            None => word.clone(),
        };
        command.iter().map(id).collect()
    }

    fn compare(&mut self, client: usize, command: &Command, replies: &[Reply]) -> Result<(), Stop> {
        let about = name_of(command);
        let counts = self.tally.commands.entry(about.clone()).or_default();
        counts.0 += 1;
        counts.1 += u64::from(replies[0].is_error());
        let state = &mut self.clients[client];
        if !any_agrees(replies, |ours, theirs| agree(command, &state.queued, ours, theirs)) {
            return Err(self.mismatch(&about, replies));
        }
        match &about[..] {
            "MULTI" => state.in_transaction |= !replies[0].is_error(),
            "EXEC" | "DISCARD" if !state.in_transaction || !arity_error(&replies[0]) => {
                state.in_transaction = false;
                state.queued.clear();
            }
            "RESET" if command.len() == 1 => {
                state.in_transaction = false;
                state.queued.clear();
            }
            _ if state.in_transaction && replies[0].is_text(b"QUEUED") => state.queued.push(command.clone()),
            _ => {}
        }
        Ok(())
    }

    /// Waits until the servers agree whether the client has its reply or is blocked.
    fn settle(&mut self, client: usize, command: &Command) -> Result<(), Stop> {
        let servers = self.fleet.servers.len();
        let mut replies: Vec<Option<Reply>> = vec![None; servers];
        let mut blocked = vec![false; servers];
        let started = Instant::now();
        loop {
            for server in 0..servers {
                if replies[server].is_some() {
                    continue;
                }
                let state = &mut self.clients[client];
                let wait = if blocked[server] { Duration::from_micros(500) } else { Duration::ZERO };
                replies[server] = state.connections[server].receive(wait).map_err(|error| Stop::Io(server, error))?;
                if replies[server].is_none() {
                    let id = state.ids[server].to_string();
                    let listed = self.control(server, &[b"CLIENT", b"LIST", b"ID", id.as_bytes()])?;
                    blocked[server] = is_blocked(&listed);
                }
            }
            if let Some(replies) = replies.iter().cloned().collect::<Option<Vec<_>>>() {
                self.clients[client].blocked = None;
                return self.compare(client, command, &replies);
            }
            let waits_for_timeout = has_short_timeout(command);
            if replies.iter().all(Option::is_none) && blocked.iter().all(|blocked| *blocked) && !waits_for_timeout {
                self.clients[client].blocked = Some(command.clone());
                return Ok(());
            }
            if started.elapsed() > SETTLE_MAX {
                let said: Vec<_> = replies
                    .iter()
                    .zip(&blocked)
                    .map(|(reply, blocked)| match (reply, blocked) {
                        (Some(reply), _) => reply.to_string(),
                        (None, true) => "blocked".to_owned(),
                        (None, false) => "neither reply nor blocked".to_owned(),
                    })
                    .collect();
                return Err(self.mismatch(&name_of(command), &said));
            }
        }
    }

    /// After a step that may have served them: clients that were blocked.
    fn served_clients(&mut self, but: usize) -> Result<(), Stop> {
        for client in (0..self.clients.len()).filter(|client| *client != but) {
            if let Some(command) = self.clients[client].blocked.take() {
                self.settle(client, &command)?;
            }
        }
        Ok(())
    }

    fn subscriber(&mut self, subscriber: usize, commands: &[Command]) -> Result<(), Stop> {
        let bytes: Vec<u8> = commands.iter().flat_map(|command| encode(command)).collect();
        for server in 0..self.fleet.servers.len() {
            self.subscribers[subscriber][server].send(&bytes).map_err(|error| Stop::Io(server, error))?;
        }
        let about = commands.first().map_or("messages".to_owned(), name_of);
        self.messages(subscriber, &about)
    }

    /// Reads what has come to a subscriber, up to the reply to a PING with a word that is new each time.
    fn messages(&mut self, subscriber: usize, about: &str) -> Result<(), Stop> {
        self.marker += 1;
        let marker = format!("marker {}", self.marker).into_bytes();
        let servers = self.fleet.servers.len();
        let mut received: Vec<Vec<Reply>> = vec![Vec::new(); servers];
        for server in 0..servers {
            self.subscribers[subscriber][server]
                .send(&encode(&[b"PING", &marker[..]]))
                .map_err(|error| Stop::Io(server, error))?;
        }
        for (server, received) in received.iter_mut().enumerate() {
            loop {
                match self.subscribers[subscriber][server].receive(REPLY_MAX) {
                    Ok(Some(reply))
                        if reply.is_text(&marker) || reply.items.iter().any(|item| item.is_text(&marker)) =>
                    {
                        break;
                    }
                    Ok(Some(reply)) => received.push(reply),
                    Ok(None) => return Err(Stop::Io(server, ErrorKind::TimedOut.into())),
                    Err(error) => return Err(Stop::Io(server, error)),
                }
            }
        }
        // Whoever hears of every change hears of them in order; one who subscribed by several patterns does not.
        let form = |replies: &Vec<Reply>| if subscriber == 0 { replies.clone() } else { unordered_messages(replies) };
        let agreed = |received: &[Vec<Reply>]| {
            let lists: Vec<_> = received.iter().map(form).collect();
            // Each message is right if it is one peer's; not all need to be the same one's.
            let theirs = lists[1..].iter().filter(|list| list.len() == lists[0].len());
            any_agrees(&lists, Vec::eq)
                || (theirs.clone().count() > 0
                    && (0..lists[0].len()).all(|at| theirs.clone().any(|list| list[at] == lists[0][at])))
        };
        let started = Instant::now();
        while !agreed(&received) {
            // Messages may come from another thread, and after the reply to the PING.
            for (server, received) in received.iter_mut().enumerate() {
                let more = self.subscribers[subscriber][server].receive(Duration::from_millis(1));
                received.extend(more.map_err(|error| Stop::Io(server, error))?);
            }
            if started.elapsed() > SETTLE_MAX {
                let lists: Vec<_> = received.iter().map(form).collect();
                let same = (0..lists[0].len())
                    .take_while(|at| lists[1..].iter().any(|list| list.get(*at) == lists[0].get(*at)))
                    .count();
                let said = lists.iter().map(|list| {
                    let shown: Vec<_> = list.iter().skip(same).take(5).map(Reply::to_string).collect();
                    format!("{} in all, from the first that differs: {}", list.len(), shown.join(" "))
                });
                return Err(self.mismatch(about, &said.collect::<Vec<_>>()));
            }
        }
        Ok(())
    }

    fn scan(&mut self, db: u32, options: &Command) -> Result<(), Stop> {
        let mut found = Vec::new();
        for server in 0..self.fleet.servers.len() {
            self.control(server, &[b"SELECT", db.to_string().as_bytes()])?;
            let (mut keys, mut cursor) = (BTreeSet::new(), b"0".to_vec());
            for _ in 0..100_000 {
                let mut command: Vec<&[u8]> = vec![b"SCAN", &cursor];
                command.extend(options.iter().map(|option| &option[..]));
                let reply = self.control(server, &command)?;
                match (reply.is_error(), &reply.items[..]) {
                    (false, [next, page]) => {
                        keys.extend(page.items.iter().map(Reply::to_string));
                        cursor = next.text.clone().unwrap_or_default();
                    }
                    _ => {
                        keys.insert(reply.to_string());
                        break;
                    }
                }
                if cursor == b"0" {
                    break;
                }
            }
            found.push(keys);
        }
        match any_agrees(&found, BTreeSet::eq) {
            true => Ok(()),
            false => Err(self.mismatch("SCAN", &found.iter().map(|keys| format!("{keys:?}")).collect::<Vec<_>>())),
        }
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let mut answers = Vec::new();
        for (index, server) in self.fleet.servers.iter().enumerate() {
            let answer = server.connect().and_then(|connection| connection.exchange(bytes));
            answers.push(answer.map_err(|error| Stop::Io(index, error))?);
        }
        match any_agrees(&answers, Vec::eq) {
            true => Ok(()),
            false => {
                Err(self.mismatch("raw bytes", &answers.iter().map(|answer| readable(answer)).collect::<Vec<_>>()))
            }
        }
    }

    /// Compares all keys: type, encoding, content, expiry; then the digests; then what subscribers have heard.
    fn check(&mut self) -> Result<(), Stop> {
        let snapshots =
            (0..self.fleet.servers.len()).map(|server| self.snapshot(server)).collect::<Result<Vec<_>, _>>()?;
        let keys: BTreeSet<_> = snapshots.iter().flat_map(BTreeMap::keys).collect();
        for (db, key) in keys {
            let held: Vec<_> = snapshots.iter().map(|snapshot| snapshot.get(&(*db, key.clone()))).collect();
            if !any_agrees(&held, |ours, theirs| same_value(*ours, *theirs)) {
                let said = held.iter().map(|held| held.map_or("nothing".to_owned(), KeyState::to_string));
                return Err(self.mismatch(&format!("data: db {db} key {}", readable(key)), &said.collect::<Vec<_>>()));
            }
        }
        let digests = (0..self.fleet.servers.len()).map(|server| self.control(server, &[b"DEBUG", b"DIGEST"]));
        let digests = digests.collect::<Result<Vec<_>, _>>()?;
        // A server that runs elsewhere may forbid DEBUG.
        if digests.iter().all(|digest| !digest.is_error()) && !any_agrees(&digests, Reply::eq) {
            return Err(self.mismatch("DEBUG DIGEST", &digests));
        }
        for subscriber in 0..self.subscribers.len() {
            self.messages(subscriber, "messages")?;
        }
        Ok(())
    }

    /// Several commands in one round trip.
    fn control_all<A: AsRef<[u8]>>(&mut self, server: usize, commands: &[Vec<A>]) -> Result<Vec<Reply>, Stop> {
        let bytes: Vec<u8> = commands.iter().flat_map(|command| encode(command)).collect();
        let connection = &mut self.control[server];
        let mut exchange = || {
            connection.send(&bytes)?;
            let receive = |_| connection.receive(REPLY_MAX)?.ok_or_else(|| ErrorKind::TimedOut.into());
            commands.iter().map(receive).collect::<io::Result<Vec<_>>>()
        };
        exchange().map_err(|error| Stop::Io(server, error))
    }

    fn snapshot(&mut self, server: usize) -> Result<BTreeMap<(u32, Vec<u8>), KeyState>, Stop> {
        let mut snapshot = BTreeMap::new();
        let select = |db: u32| vec![b"SELECT".to_vec(), db.to_string().into_bytes()];
        let all_keys = || vec![b"KEYS".to_vec(), b"*".to_vec()];
        let commands: Vec<_> = (0..DATABASES).flat_map(|db| [select(db), all_keys()]).collect();
        let listed = self.control_all(server, &commands)?;
        for (db, listed) in (0..DATABASES).zip(listed.chunks(2)) {
            let keys: Vec<&[u8]> = listed[1].items.iter().filter_map(|key| key.text.as_deref()).collect();
            if keys.is_empty() {
                continue;
            }
            self.control_all(server, &[select(db)])?;
            let commands: Vec<Vec<&[u8]>> = keys
                .iter()
                .flat_map(|key| [vec![b"TYPE", *key], vec![b"PEXPIRETIME", *key], vec![b"OBJECT", b"ENCODING", *key]])
                .collect();
            let facts = self.control_all(server, &commands)?;
            let kinds = facts.iter().step_by(3).map(|kind| kind.text.as_deref().unwrap_or_default());
            let commands: Vec<_> = keys.iter().zip(kinds).map(|(key, kind)| contents_command(key, kind)).collect();
            let contents = self.control_all(server, &commands)?;
            for ((key, facts), mut content) in keys.iter().zip(facts.chunks(3)).zip(contents) {
                match facts[0].text.as_deref() {
                    Some(b"set") => content.items.sort(),
                    Some(b"hash") => {
                        let mut pairs: Vec<_> = content.items.chunks(2).map(<[Reply]>::to_vec).collect();
                        pairs.sort();
                        content.items = pairs.concat();
                    }
                    _ => {}
                }
                let (expiry_ms, encoding) = (facts[1].number().unwrap_or(-3), facts[2].clone());
                snapshot.insert((db, key.to_vec()), KeyState { content, encoding, expiry_ms });
            }
        }
        Ok(snapshot)
    }
}

/// The command that reads all of a key.
fn contents_command<'a>(key: &'a [u8], kind: &[u8]) -> Vec<&'a [u8]> {
    match kind {
        b"string" => vec![b"GET", key],
        b"list" => vec![b"LRANGE", key, b"0", b"-1"],
        b"hash" => vec![b"HGETALL", key],
        b"set" => vec![b"SMEMBERS", key],
        b"zset" => vec![b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
        b"stream" => vec![b"XRANGE", key, b"-", b"+"],
        _ => vec![b"TYPE", key],
    }
}

struct KeyState {
    content: Reply,
    encoding: Reply,
    expiry_ms: i64,
}

impl std::fmt::Display for KeyState {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} as {}, expires {}", self.content, self.encoding, self.expiry_ms)
    }
}

/// Whether two servers hold the same under a key. The encoding is compared where a client asks for it: peers differ in it.
fn same_value(ours: Option<&KeyState>, theirs: Option<&KeyState>) -> bool {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => {
            let expiry = (ours.expiry_ms < 0 || theirs.expiry_ms < 0, ours.expiry_ms.abs_diff(theirs.expiry_ms));
            ours.content == theirs.content && (expiry.1 == 0 || (!expiry.0 && expiry.1 < 5_000))
        }
        (None, None) => true,
        _ => false,
    }
}

/// Whether CLIENT LIST says that its one client is blocked.
fn is_blocked(listed: &Reply) -> bool {
    let text = listed.text.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
    text.split(' ').filter_map(|field| field.strip_prefix("flags=")).any(|flags| flags.contains('b'))
}

/// Whether the command, if it blocks, comes back by itself at once.
fn has_short_timeout(command: &Command) -> bool {
    command.iter().any(|word| word.starts_with(b"0.0") && &word[..] != b"0.0")
}

fn arity_error(reply: &Reply) -> bool {
    reply.is_error() && reply.text.as_ref().is_some_and(|text| text.starts_with(b"ERR wrong number"))
}
