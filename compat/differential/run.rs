//! Runs a plan on all servers at once and stops where they first disagree.

use crate::compare::{Judge, OWN_NAME, distortions, sections};
use crate::differences::Differences;
use crate::generator::Command;
use crate::plan::{Plan, Step};
use crate::reply::Reply;
use crate::server::{Connection, REPLY_MAX, Server, encode};
use crate::tame::{has_short_timeout, may_block};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

/// How long servers may take to agree on who is blocked or gone: longer than a busy machine holds one of them up.
pub const SETTLE_MAX: Duration = Duration::from_secs(10);

/// What makes a used server like a new one. Keys whose time is over go when somebody looks at them: in the background they would
/// go from one server sooner than from another.
const FRESH: [&[&str]; 9] = [
    &["CLIENT", "UNPAUSE"],
    &["FLUSHALL"],
    &["SCRIPT", "FLUSH"],
    // To flush them all at once ends Redis 8.2 where the command has waited for the end of a pause.
    &["FUNCTION", "DELETE", "one"],
    &["FUNCTION", "DELETE", "two"],
    &["FUNCTION", "DELETE", "three"],
    &["SLOWLOG", "RESET"],
    &["LATENCY", "RESET"],
    &["DEBUG", "SET-ACTIVE-EXPIRE", "0"],
];

/// The servers: the one under test first, then those whose behaviour is right. It has to behave like every one of them, but for
/// the differences that are meant to be.
pub struct Fleet {
    pub servers: Vec<Server>,
    pub differences: Differences,
    /// Commands that all of them have.
    pub common: BTreeSet<String>,
    /// Whether replies are distorted, to see whether that is noticed.
    pub distort: bool,
}

/// What happened to a command: for the table.
#[derive(Default)]
pub struct Counts {
    pub sent: u64,
    pub errors: u64,
    pub distorted: u64,
    /// Distorted replies that would have passed.
    pub missed: u64,
}

/// What happened, by command.
#[derive(Default)]
pub struct Tally {
    pub commands: BTreeMap<String, Counts>,
}

impl Tally {
    pub fn sent(&self) -> u64 {
        self.commands.values().map(|counts| counts.sent).sum()
    }
}

/// Where the server under test disagrees with another.
pub struct Mismatch {
    /// The step of the plan.
    pub step: usize,
    /// What it is about: a command's name, or a check's.
    pub about: String,
    /// What each server answered.
    pub details: String,
}

/// Why a round ends early.
pub enum Stop {
    Mismatch { about: String, details: String },
    Io { server: usize, about: String, error: io::Error },
}

pub struct Client {
    pub connections: Vec<Connection>,
    pub ids: Vec<i64>,
    /// Commands that were sent and not answered yet. The first blocks.
    pub pending: VecDeque<Command>,
    pub in_transaction: bool,
    queued: Vec<Command>,
}

pub struct Round<'a> {
    pub fleet: &'a Fleet,
    pub tally: &'a mut Tally,
    pub plan: &'a Plan,
    pub control: Vec<Connection>,
    pub clients: Vec<Client>,
    pub subscribers: Vec<Client>,
    /// What each server had counted as changed when the round began.
    pub changes_before: Vec<i64>,
    /// Words that the program has made up.
    pub markers: u64,
    /// Whether the last reply that was compared was an error, of each server.
    pub refused: Vec<bool>,
}

impl Fleet {
    /// Runs the plan on empty servers; `Ok(Some)` when they disagree, an error when the round could not begin.
    pub fn run(&self, plan: &Plan, tally: &mut Tally) -> io::Result<Option<Mismatch>> {
        let mut round = Round {
            fleet: self,
            tally,
            plan,
            control: Vec::new(),
            clients: Vec::new(),
            subscribers: Vec::new(),
            changes_before: vec![0; self.servers.len()],
            markers: 0,
            refused: Vec::new(),
        };
        if let Err(stop) = round.begin(plan) {
            let mismatch = stop.into_mismatch(self, 0);
            return Err(io::Error::other(format!("a round cannot begin: {}\n{}", mismatch.about, mismatch.details)));
        }
        for (index, step) in plan.steps.iter().enumerate() {
            if let Err(stop) = round.step(step) {
                return Ok(Some(stop.into_mismatch(self, index)));
            }
        }
        Ok(None)
    }

    fn judge(&self, peer: usize) -> Judge<'_> {
        Judge { differences: &self.differences, peer: &self.servers[peer], common: &self.common }
    }

    /// Whether the server under test agrees with every other.
    pub fn agrees<T>(&self, all: &[T], agree: impl Fn(Judge<'_>, &T, &T) -> bool) -> bool {
        (1..all.len()).all(|peer| agree(self.judge(peer), &all[0], &all[peer]))
    }
}

impl Stop {
    fn into_mismatch(self, fleet: &Fleet, step: usize) -> Mismatch {
        match self {
            Stop::Mismatch { about, details } => Mismatch { step, about, details },
            Stop::Io { server, about, error } => {
                Mismatch { step, about, details: format!("{}: {error}", fleet.servers[server].kind) }
            }
        }
    }
}

/// The name under which a command is counted.
pub fn name_of(command: &Command) -> String {
    let mut name = String::from_utf8_lossy(command.first().map_or(b"" as &[u8], |name| name)).to_ascii_uppercase();
    let containers = [
        "CLIENT", "CONFIG", "OBJECT", "COMMAND", "MEMORY", "PUBSUB", "XGROUP", "XINFO", "SLOWLOG", "LATENCY", "DEBUG",
        "CLUSTER", "SCRIPT", "FUNCTION",
    ];
    let is_subcommand =
        |word: &&Vec<u8>| word.len() < 20 && word.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'-');
    if containers.contains(&&*name) {
        match command.get(1).filter(is_subcommand) {
            Some(subcommand) => name = format!("{name} {}", String::from_utf8_lossy(subcommand).to_ascii_uppercase()),
            None => name.push_str(" …"),
        }
    }
    let is_name = name.len() <= 30 && name.chars().all(|letter| letter.is_ascii_graphic() || " …".contains(letter));
    if is_name { name } else { "(other)".to_owned() }
}

impl Round<'_> {
    /// Empties the servers, configures them and connects.
    fn begin(&mut self, plan: &Plan) -> Result<(), Stop> {
        for server in 0..self.fleet.servers.len() {
            let connection = self.control_connection(server)?;
            self.control.push(connection);
            // A directive that only some servers have is refused by the others.
            let settings = plan.config.iter().map(|[name, value]| vec!["CONFIG", "SET", name, value]);
            let commands: Vec<Vec<&str>> = settings.chain(FRESH.map(<[&str]>::to_vec)).collect();
            self.control_all(server, &commands)?;
        }
        for &protocol in &plan.clients {
            let client = self.new_client(protocol)?;
            self.clients.push(client);
        }
        for (index, &protocol) in plan.subscribers.iter().enumerate() {
            let subscriber = self.new_subscriber(index, protocol)?;
            self.subscribers.push(subscriber);
        }
        self.quiet()?;
        self.fleet.differences.counts_differ.set(false);
        (0..self.fleet.servers.len()).try_for_each(|server| self.reset_counters(server))
    }

    pub fn control_connection(&mut self, server: usize) -> Result<Connection, Stop> {
        let connect = || {
            let mut connection = self.fleet.servers[server].connect()?;
            connection.call(&["CLIENT", "SETNAME", OWN_NAME])?;
            Ok(connection)
        };
        connect().map_err(|error| Stop::Io { server, about: "connection".to_owned(), error })
    }

    pub fn new_client(&self, protocol: u8) -> Result<Client, Stop> {
        let mut client = Client {
            connections: Vec::new(),
            ids: Vec::new(),
            pending: VecDeque::new(),
            in_transaction: false,
            queued: Vec::new(),
        };
        for (index, server) in self.fleet.servers.iter().enumerate() {
            let mut connect = || {
                let mut connection = server.connect()?;
                connection.call(&["HELLO", &protocol.to_string()])?;
                client.ids.push(connection.call(&["CLIENT", "ID"])?.number().unwrap_or(-1));
                client.connections.push(connection);
                Ok(())
            };
            connect().map_err(|error| Stop::Io { server: index, about: "connection".to_owned(), error })?;
        }
        Ok(client)
    }

    /// An error that names what each server said.
    pub fn mismatch<T: std::fmt::Display>(&self, about: &str, said: &[T]) -> Stop {
        let lines: Vec<_> = self
            .fleet
            .servers
            .iter()
            .zip(said)
            .map(|(server, said)| format!("  {:>12}: {said}", server.kind))
            .collect();
        Stop::Mismatch { about: about.to_owned(), details: lines.join("\n") }
    }

    fn step(&mut self, step: &Step) -> Result<(), Stop> {
        match step {
            Step::Subscriber { subscriber, commands } => return self.subscriber(*subscriber, commands),
            Step::Scan { db, options } => return self.scan(*db, options),
            Step::Raw(bytes) => return self.raw(bytes),
            Step::Stranger { commands } => return self.stranger(commands),
            Step::Check => return self.check(),
            _ => {}
        }
        match step {
            Step::Pipeline { client, commands } => {
                let client = self.unblocked_client(*client)?;
                self.pipeline(client, commands)?;
            }
            Step::Reconnect { client, quits } => self.reconnect(*client, *quits)?,
            Step::Silent { client, off, commands } => self.silent(*client, *off, commands)?,
            Step::Paused { client, commands } => self.paused(*client, commands)?,
            Step::Kill { client, command } => self.kill(*client, command)?,
            Step::Observed { client, commands } => self.observed(*client, commands)?,
            Step::Lapse { client, key } => self.lapse(*client, key)?,
            _ => {}
        }
        self.served_clients()
    }

    /// This client, or when it is blocked the next that is not; with all of them blocked, it goes away and comes back.
    pub fn unblocked_client(&mut self, wanted: usize) -> Result<usize, Stop> {
        let count = self.clients.len();
        for client in (wanted..wanted + count).map(|client| client % count) {
            if self.clients[client].pending.is_empty() {
                return Ok(client);
            }
        }
        self.reconnect(wanted, false)?;
        Ok(wanted)
    }

    /// A command of the program itself.
    pub fn control<A: AsRef<[u8]>>(&mut self, server: usize, command: &[A]) -> Result<Reply, Stop> {
        self.control[server].call(command).map_err(|error| {
            let about = command.first().map(|name| String::from_utf8_lossy(name.as_ref()).into_owned());
            Stop::Io { server, about: format!("own {}", about.unwrap_or_default()), error }
        })
    }

    pub fn send(&mut self, client: usize, commands: &[Command]) -> Result<(), Stop> {
        for server in 0..self.fleet.servers.len() {
            let bytes: Vec<u8> = commands.iter().flat_map(|command| encode(&self.of_server(command, server))).collect();
            let sent = self.clients[client].connections[server].send(&bytes);
            sent.map_err(|error| Stop::Io { server, about: "connection".to_owned(), error })?;
        }
        Ok(())
    }

    pub fn receive(&mut self, client: usize, server: usize, command: &Command) -> Result<Reply, Stop> {
        let connection = &mut self.clients[client].connections[server];
        let mut next = || connection.receive(REPLY_MAX)?.ok_or_else(|| ErrorKind::TimedOut.into());
        // A push comes before a reply, and stands for both here.
        let reply = next().and_then(|mut reply| {
            if reply.kind == b'>' {
                reply.items.push(next()?);
            }
            Ok(reply)
        });
        reply.map_err(|error| Stop::Io { server, about: name_of(command), error })
    }

    /// Sends commands at once and compares the replies, up to one that blocks.
    pub fn pipeline(&mut self, client: usize, commands: &[Command]) -> Result<(), Stop> {
        let commands = self.undisputed(client, commands);
        self.send(client, &commands)?;
        self.clients[client].pending = commands.into();
        self.proceed(client)
    }

    /// Whether a client that waits has sent more: that runs some time after it is served, beside what others send.
    pub fn more_follows_a_wait(&self) -> bool {
        self.clients.iter().any(|client| client.pending.len() > 1)
    }

    /// The commands without those after which data or counts need not be the same: what some servers refuse inside of a transaction
    /// and others do not; the databases swapped under several clients that wait, who are served in any order; what looks at
    /// others while they move; and behind one that may wait all but `ECHO`, since it would run beside what others send.
    pub fn undisputed(&self, client: usize, commands: &[Command]) -> Vec<Command> {
        let mut inside = self.clients[client].in_transaction;
        // Not all that should end a transaction does, or begin one.
        let mut surely_inside = inside;
        let mut may_wait = false;
        let waiting = self.clients.iter().filter(|client| !client.pending.is_empty()).count();
        let others_move = self.more_follows_a_wait();
        let is_disputed = |command: &Command| {
            let words: Vec<_> =
                command.iter().take(2).map(|word| String::from_utf8_lossy(word).to_ascii_lowercase()).collect();
            let names = [words[0].clone(), words.join("|")];
            let refuses = |server: &&Server| names.iter().any(|name| server.refused_in_transaction.contains(name));
            let refusing = self.fleet.servers.iter().filter(refuses).count();
            refusing > 0 && refusing < self.fleet.servers.len()
        };
        let mut kept = Vec::new();
        for command in commands {
            let swaps = command[0].eq_ignore_ascii_case(b"SWAPDB") && (waiting > 1 || inside);
            let runs_later = may_wait && !command[0].eq_ignore_ascii_case(b"ECHO");
            if swaps || runs_later || inside && is_disputed(command) || others_move && looks_at_others(command) {
                continue;
            }
            match (&command[0].to_ascii_uppercase()[..], command.len()) {
                (b"MULTI", 1) => (inside, surely_inside) = (true, true),
                (b"EXEC" | b"DISCARD" | b"RESET", 1) => (inside, surely_inside) = (false, false),
                (b"EXEC" | b"DISCARD" | b"RESET", _) => surely_inside = false,
                _ => may_wait |= may_block(command) && !surely_inside,
            }
            kept.push(command.clone());
        }
        kept
    }

    /// Takes the replies to what a client has sent, up to one that blocks.
    fn proceed(&mut self, client: usize) -> Result<(), Stop> {
        while let Some(command) = self.clients[client].pending.front().cloned() {
            let replies = if may_block(&command) && !self.clients[client].in_transaction {
                match self.settle(client, &command)? {
                    Some(replies) => replies,
                    None => return Ok(()),
                }
            } else {
                let replies = (0..self.fleet.servers.len()).map(|server| self.receive(client, server, &command));
                replies.collect::<Result<Vec<_>, _>>()?
            };
            self.clients[client].pending.pop_front();
            self.compare(client, &command, &replies)?;
        }
        Ok(())
    }

    /// The command with this server's client ids and addresses in it.
    fn of_server(&self, command: &Command, server: usize) -> Command {
        let word = |word: &Vec<u8>| {
            let of_client = |digits: &[u8]| {
                let digit = digits.first().map_or(0, |digit| usize::from(digit.wrapping_sub(b'0')));
                &self.clients[digit % self.clients.len()]
            };
            if let Some(digits) = word.strip_prefix(b"\0id:") {
                of_client(digits).ids[server].to_string().into_bytes()
            } else if let Some(digits) = word.strip_prefix(b"\0addr:") {
                of_client(digits).connections[server].address.clone().into_bytes()
            } else {
                word.clone()
            }
        };
        command.iter().map(word).collect()
    }

    /// Compares the replies to a command and notes what it means for the client.
    pub fn compare(&mut self, client: usize, command: &Command, replies: &[Reply]) -> Result<(), Stop> {
        let about = name_of(command);
        let queued = std::mem::take(&mut self.clients[client].queued);
        let agrees = |ours: &Reply, judge: Judge<'_>, theirs: &Reply| judge.agree(command, &queued, ours, theirs);
        let counts = self.tally.commands.entry(about.clone()).or_default();
        counts.sent += 1;
        counts.errors += u64::from(replies[0].is_error());
        if !self.fleet.agrees(replies, |judge, ours, theirs| agrees(ours, judge, theirs)) {
            return Err(self.mismatch(&about, &uncommon(&about, replies)));
        }
        if self.fleet.distort {
            for distorted in distortions(&replies[0]) {
                counts.distorted += 1;
                let passes = self.fleet.agrees(replies, |judge, _, theirs| agrees(&distorted, judge, theirs));
                counts.missed += u64::from(passes);
            }
        }
        self.refused = replies.iter().map(Reply::is_error).collect();
        let state = &mut self.clients[client];
        state.queued = queued;
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

    /// Waits until the servers agree whether the client has its reply or is blocked: then `None`.
    fn settle(&mut self, client: usize, command: &Command) -> Result<Option<Vec<Reply>>, Stop> {
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
                let received = state.connections[server].receive(wait);
                replies[server] = received.map_err(|error| Stop::Io { server, about: name_of(command), error })?;
                if replies[server].is_none() {
                    blocked[server] = self.is_blocked(client, server)?;
                }
            }
            if let Some(replies) = replies.iter().cloned().collect() {
                return Ok(Some(replies));
            }
            let none_served = replies.iter().all(Option::is_none) && blocked.iter().all(|blocked| *blocked);
            if none_served && !has_short_timeout(command) {
                return Ok(None);
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

    /// Whether `CLIENT LIST` says that the client is blocked.
    pub fn is_blocked(&mut self, client: usize, server: usize) -> Result<bool, Stop> {
        let id = self.clients[client].ids[server].to_string();
        let listed = self.control(server, &["CLIENT", "LIST", "ID", &id])?.string();
        Ok(listed.split(' ').filter_map(|field| field.strip_prefix("flags=")).any(|flags| flags.contains('b')))
    }

    /// After a step that may have served them: clients that were blocked.
    fn served_clients(&mut self) -> Result<(), Stop> {
        for client in 0..self.clients.len() {
            if !self.clients[client].pending.is_empty() {
                self.proceed(client)?;
            }
        }
        Ok(())
    }
}

/// What of long replies is worth reading: of many directives, those that do not have the same value everywhere; the headings of
/// `INFO`.
fn uncommon(about: &str, replies: &[Reply]) -> Vec<Reply> {
    let mut replies = replies.to_vec();
    if about == "CONFIG GET" {
        let pairs = |reply: &Reply| -> BTreeSet<Vec<Reply>> { reply.items.chunks(2).map(<[Reply]>::to_vec).collect() };
        let common = replies.iter().map(pairs).reduce(|common, pairs| &common & &pairs);
        let common = common.expect("there are several servers");
        for reply in &mut replies {
            let rest = &pairs(reply) - &common;
            reply.items = rest.into_iter().flatten().collect();
        }
    }
    if about == "INFO" {
        let headings = replies.iter().map(|reply| Reply::fact(sections(&reply.string()).join(", ")));
        replies = headings.collect();
    }
    replies
}

/// Whether the command resets or tells what is counted of commands, or tells what other clients do.
pub fn looks_at_others(command: &Command) -> bool {
    let [name, subcommand, ..] = &command[..] else { return false };
    let words = [name, subcommand].map(|word| word.to_ascii_uppercase());
    matches!(
        [&words[0][..], &words[1][..]],
        [b"CONFIG", b"RESETSTAT"] | [b"LATENCY", b"HISTOGRAM"] | [b"CLIENT", b"LIST"]
    )
}

fn arity_error(reply: &Reply) -> bool {
    reply.is_error() && reply.text.as_ref().is_some_and(|text| text.starts_with(b"ERR wrong number"))
}
