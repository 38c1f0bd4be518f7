//! The steps of a round that are more than a pipeline.

use crate::compare::{OWN_NAME, is_of_replication};
use crate::generator::Command;
use crate::plan::written;
use crate::reply::{Reply, SHOWN_MAX, readable};
use crate::run::{Client, Round, SETTLE_MAX, Stop, looks_at_others, name_of};
use crate::server::{Connection, REPLY_MAX, encode};
use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

/// What a stranger needs and does not always know.
const PASSWORD: &str = "secret";

/// How long a reply is waited for when the server already says that its client is paused.
const UNDER_WAY_MAX: Duration = Duration::from_millis(3);

/// The deadline of a key that expires, and how long a step waits for it.
const LAPSE: Duration = Duration::from_millis(1);
const LAPSE_WAIT: Duration = Duration::from_millis(4);

impl Round<'_> {
    fn failed(&self, server: usize, about: &str) -> impl Fn(io::Error) -> Stop + use<> {
        let about = about.to_owned();
        move |error| Stop::Io { server, about: about.clone(), error }
    }

    /// Waits until the servers have no clients left but those of the round.
    pub fn quiet(&mut self) -> Result<(), Stop> {
        let expected = 1 + self.clients.len() + self.subscribers.len();
        for server in 0..self.fleet.servers.len() {
            let started = Instant::now();
            loop {
                let listed = self.control(server, &["CLIENT", "LIST"])?.string();
                let count = listed.lines().filter(|line| !is_of_replication(line)).count();
                if count == expected {
                    break;
                }
                if started.elapsed() > SETTLE_MAX {
                    let about = format!("CLIENT LIST of {expected} clients on {}", self.fleet.servers[server].kind);
                    return Err(Stop::Mismatch { about, details: listed });
                }
            }
        }
        Ok(())
    }

    pub fn reconnect(&mut self, client: usize, quits: bool) -> Result<(), Stop> {
        if quits && self.clients[client].pending.is_empty() {
            let quit = vec![b"QUIT".to_vec()];
            self.send(client, std::slice::from_ref(&quit))?;
            let replies = (0..self.fleet.servers.len()).map(|server| self.receive(client, server, &quit));
            let replies = replies.collect::<Result<Vec<_>, _>>()?;
            self.compare(client, &quit, &replies)?;
            let ends = self.clients[client].connections.iter_mut().map(|connection| end(connection.receive(REPLY_MAX)));
            let ends: Vec<_> = ends.collect();
            if ends.iter().any(|end| *end != "closed") {
                return Err(self.mismatch("QUIT", &ends));
            }
        }
        let new = self.new_client(self.plan.clients[client])?;
        self.clients[client] = new;
        // The departed must be gone before anything is pushed that it could still take.
        self.quiet()
    }

    pub fn new_subscriber(&self, index: usize, protocol: u8) -> Result<Client, Stop> {
        let mut subscriber = self.new_client(protocol)?;
        // The first hears of every change to a key.
        if index == 0 {
            for (server, connection) in subscriber.connections.iter_mut().enumerate() {
                connection.call(&["PSUBSCRIBE", "__key*"]).map_err(self.failed(server, "PSUBSCRIBE"))?;
            }
        }
        Ok(subscriber)
    }

    /// A word that no reply holds by chance.
    pub fn marker(&mut self) -> Vec<u8> {
        self.markers += 1;
        format!("marker {}", self.markers).into_bytes()
    }

    pub fn scan(&mut self, db: u32, options: &Command) -> Result<(), Stop> {
        let mut found = Vec::new();
        for server in 0..self.fleet.servers.len() {
            self.control(server, &["SELECT", &db.to_string()])?;
            let (mut keys, mut cursor) = (BTreeSet::new(), b"0".to_vec());
            loop {
                let mut command: Vec<&[u8]> = vec![b"SCAN", &cursor];
                command.extend(options.iter().map(|option| &option[..]));
                let reply = self.control(server, &command)?;
                match (reply.is_error(), &reply.items[..]) {
                    (false, [Reply { text: Some(next), .. }, page]) => {
                        keys.extend(page.items.iter().map(Reply::to_string));
                        cursor.clone_from(next);
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
        let about = format!("SCAN 0 {}", written(options));
        let facts: Vec<_> = found.iter().map(|keys| Reply::fact(format!("{keys:?}"))).collect();
        match self.fleet.agrees(&facts, |judge, ours, theirs| ours == theirs || judge.explained(&about, ours, theirs)) {
            true => Ok(()),
            false => Err(self.mismatch("SCAN", &facts)),
        }
    }

    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let mut answers = Vec::new();
        for (index, server) in self.fleet.servers.iter().enumerate() {
            let answer = server.connect().and_then(|connection| connection.exchange(bytes));
            let answer = answer.map_err(self.failed(index, "raw bytes"))?;
            answers.push(Reply { kind: b'$', text: Some(answer), items: Vec::new() });
        }
        if answers.iter().all(|answer| *answer == answers[0]) {
            return self.quiet();
        }
        let about = format!("raw {}", readable(bytes, SHOWN_MAX));
        if !self.fleet.agrees(&answers, |judge, ours, theirs| ours == theirs || judge.explained(&about, ours, theirs)) {
            return Err(self.mismatch("raw bytes", &answers));
        }
        self.fleet.differences.counts_differ.set(true);
        self.quiet()
    }

    /// One command after the other on a new connection, while there is a password.
    pub fn stranger(&mut self, commands: &[Command]) -> Result<(), Stop> {
        for server in 0..self.fleet.servers.len() {
            self.control(server, &["CONFIG", "SET", "requirepass", PASSWORD])?;
        }
        let result = self.without_password(commands);
        for server in 0..self.fleet.servers.len() {
            self.control(server, &["CONFIG", "SET", "requirepass", ""])?;
        }
        result.and_then(|()| self.quiet())
    }

    fn without_password(&mut self, commands: &[Command]) -> Result<(), Stop> {
        let mut connections = Vec::new();
        for (index, server) in self.fleet.servers.iter().enumerate() {
            connections.push(server.connect().map_err(self.failed(index, "connection"))?);
        }
        for command in commands {
            let about = name_of(command);
            let mut replies = Vec::new();
            for (server, connection) in connections.iter_mut().enumerate() {
                let sent = connection.send(&encode(command));
                let reply = match sent.and_then(|()| connection.receive(REPLY_MAX)) {
                    Err(error) if is_closed(&error) => Reply::fact("closed"),
                    Ok(None) => Reply::fact("no reply"),
                    reply => reply.map_err(self.failed(server, &about))?.unwrap_or_default(),
                };
                replies.push(reply);
            }
            let counts = self.tally.commands.entry(about.clone()).or_default();
            counts.sent += 1;
            counts.errors += u64::from(replies[0].is_error());
            if !self.fleet.agrees(&replies, |judge, ours, theirs| judge.agree(command, &[], ours, theirs)) {
                return Err(self.mismatch(&about, &replies));
            }
            if replies[0].is_text(b"closed") || about == "QUIT" {
                break;
            }
        }
        Ok(())
    }

    pub fn silent(&mut self, client: usize, off: bool, commands: &[Command]) -> Result<(), Stop> {
        let client = self.unblocked_client(client)?;
        if self.clients[client].in_transaction {
            return Ok(());
        }
        let words = |text: &str| -> Command { text.split(' ').map(|word| word.as_bytes().to_vec()).collect() };
        let marker = self.marker();
        let all: Vec<Command> = std::iter::once(words(if off { "CLIENT REPLY OFF" } else { "CLIENT REPLY SKIP" }))
            .chain(commands.iter().cloned())
            .chain([words("CLIENT REPLY ON"), vec![b"ECHO".to_vec(), marker.clone()]])
            .collect();
        self.send(client, &all)?;
        // Nobody sees whether one of them fails on some servers alone.
        if commands.iter().any(|command| self.fleet.differences.concern(&written(command))) {
            self.fleet.differences.counts_differ.set(true);
        }
        // Answered are: none but the last two, or all after the first that is skipped. `ON` is always answered.
        let answered = if off { &all[all.len() - 2..] } else { &all[2.min(all.len() - 2)..] };
        for command in answered {
            let replies = (0..self.fleet.servers.len()).map(|server| self.receive(client, server, command));
            let replies = replies.collect::<Result<Vec<_>, _>>()?;
            self.compare(client, command, &replies)?;
            let is_last = replies[0].is_text(&marker);
            if is_last != (command.last() == Some(&marker)) {
                return Err(self.mismatch("CLIENT REPLY", &replies));
            }
        }
        Ok(())
    }

    pub fn paused(&mut self, client: usize, commands: &[Command]) -> Result<(), Stop> {
        let client = self.unblocked_client(client)?;
        let mut commands = self.undisputed(client, commands);
        // They might run while the end of the pause is being counted.
        commands.retain(|command| !looks_at_others(command));
        let servers = self.fleet.servers.len();
        for server in 0..servers {
            self.control(server, &["CLIENT", "PAUSE", "100000", "WRITE"])?;
        }
        self.send(client, &commands)?;
        // Until they agree: a reply may be under way when its server already says that the client is paused.
        let mut before: Vec<Vec<Reply>> = vec![Vec::new(); servers];
        let started = Instant::now();
        let is_over = || started.elapsed() > SETTLE_MAX;
        loop {
            for (server, before) in before.iter_mut().enumerate() {
                let mut is_paused = false;
                while before.len() < commands.len() && !is_over() {
                    let wait = if is_paused { UNDER_WAY_MAX } else { Duration::ZERO };
                    let received = self.clients[client].connections[server].receive(wait);
                    match received.map_err(self.failed(server, "CLIENT PAUSE"))? {
                        Some(reply) => before.push(reply),
                        None if is_paused => break,
                        None => is_paused = self.is_blocked(client, server)?,
                    }
                }
            }
            if is_over() || before.iter().all(|replies| replies.len() == before[0].len()) {
                break;
            }
        }
        for server in 0..servers {
            self.control(server, &["CLIENT", "UNPAUSE"])?;
        }
        if before.iter().any(|replies| replies.len() != before[0].len()) {
            let said = before.iter().map(|replies| {
                let shown: Vec<_> = replies.iter().map(Reply::to_string).collect();
                format!("{} replies in a pause: {}", replies.len(), shown.join(" "))
            });
            return Err(self.mismatch("CLIENT PAUSE", &said.collect::<Vec<_>>()));
        }
        for (index, command) in commands.iter().enumerate() {
            let mut replies = Vec::new();
            for (server, before) in before.iter().enumerate() {
                replies.push(match before.get(index) {
                    Some(reply) => reply.clone(),
                    None => self.receive(client, server, command)?,
                });
            }
            self.compare(client, command, &replies)?;
        }
        Ok(())
    }

    /// Sends `CLIENT KILL`, compares who is still there on the servers that take it as Radish does, and lets new clients take the
    /// places of the others.
    pub fn kill(&mut self, client: usize, command: &Command) -> Result<(), Stop> {
        let client = self.unblocked_client(client)?;
        if self.clients[client].in_transaction {
            return Ok(());
        }
        self.pipeline(client, std::slice::from_ref(command))?;
        let servers = self.fleet.servers.len();
        let started = Instant::now();
        loop {
            let mut present: Vec<Vec<bool>> = Vec::new();
            for server in 0..servers {
                present.push(self.present(server)?);
            }
            let mut comparable = present.iter().zip(&self.refused).filter(|(_, refused)| **refused == self.refused[0]);
            if comparable.all(|(one, _)| *one == present[0]) {
                return self.replace_killed(&present[0]);
            }
            if started.elapsed() > SETTLE_MAX {
                let said = present.iter().map(|present| format!("{present:?}"));
                return Err(self.mismatch("CLIENT KILL", &said.collect::<Vec<_>>()));
            }
        }
    }

    /// Whether each client of the round is still connected: the program's own, clients, subscribers.
    fn present(&mut self, server: usize) -> Result<Vec<bool>, Stop> {
        let ids = |list: &str| -> BTreeSet<i64> {
            let ids = list.lines().filter_map(|line| line.strip_prefix("id=")?.split(' ').next()?.parse().ok());
            ids.collect()
        };
        let mut connection = self.control_connection(server)?;
        let listed = connection.call(&["CLIENT", "LIST"]).map_err(self.failed(server, "CLIENT LIST"))?.string();
        let own = listed.lines().filter(|line| line.contains(&format!(" name={OWN_NAME} "))).count() > 1;
        let ids = ids(&listed);
        let others = self.clients.iter().chain(&self.subscribers);
        Ok(std::iter::once(own).chain(others.map(|client| ids.contains(&client.ids[server]))).collect())
    }

    fn replace_killed(&mut self, present: &[bool]) -> Result<(), Stop> {
        if !present[0] {
            for server in 0..self.fleet.servers.len() {
                self.control[server] = self.control_connection(server)?;
            }
        }
        let (clients, subscribers) = present[1..].split_at(self.clients.len());
        for (index, _) in clients.iter().enumerate().filter(|(_, present)| !**present) {
            self.clients[index] = self.new_client(self.plan.clients[index])?;
        }
        for (index, _) in subscribers.iter().enumerate().filter(|(_, present)| !**present) {
            self.subscribers[index] = self.new_subscriber(index, self.plan.subscribers[index])?;
        }
        self.quiet()
    }

    /// Compares what a monitor sees of commands, and what the slow log keeps of them.
    pub fn observed(&mut self, client: usize, commands: &[Command]) -> Result<(), Stop> {
        let client = self.unblocked_client(client)?;
        if self.more_follows_a_wait() {
            return Ok(());
        }
        let servers = self.fleet.servers.len();
        let mut monitors = Vec::new();
        for server in 0..servers {
            self.control(server, &["CONFIG", "SET", "slowlog-log-slower-than", "0"])?;
            self.control(server, &["SLOWLOG", "RESET"])?;
            let start = || {
                let mut monitor = self.fleet.servers[server].connect()?;
                monitor.call(&["MONITOR"])?;
                Ok(monitor)
            };
            monitors.push(start().map_err(self.failed(server, "MONITOR"))?);
        }
        // Ids and addresses would be seen.
        let names_none = |command: &&Command| !command.iter().any(|word| word.starts_with(b"\0"));
        let commands: Vec<Command> = commands.iter().filter(names_none).cloned().collect();
        self.pipeline(client, &commands)?;
        let marker = self.marker();
        let mut seen = Vec::new();
        let mut logged = Vec::new();
        for (server, monitor) in monitors.iter_mut().enumerate() {
            logged.push(self.control(server, &["SLOWLOG", "GET", "-1"])?);
            self.control(server, &["CONFIG", "SET", "slowlog-log-slower-than", "10000000"])?;
            self.control(server, &["SLOWLOG", "RESET"])?;
            self.control(server, &[b"ECHO", &marker[..]])?;
            let lines = monitored(monitor, &marker, &self.control[server].address);
            seen.push(Reply::fact(lines.map_err(self.failed(server, "MONITOR"))?.join("\n")));
        }
        let monitor = vec![b"MONITOR".to_vec()];
        if !self.fleet.agrees(&seen, |judge, ours, theirs| judge.agree(&monitor, &[], ours, theirs)) {
            return Err(self.mismatch("MONITOR", &seen));
        }
        let slowlog = vec![b"SLOWLOG".to_vec(), b"GET".to_vec()];
        if !self.fleet.agrees(&logged, |judge, ours, theirs| judge.agree(&slowlog, &[], ours, theirs)) {
            return Err(self.mismatch("SLOWLOG GET", &logged));
        }
        drop(monitors);
        self.quiet()
    }

    /// Gives a key a deadline and lets it pass.
    pub fn lapse(&mut self, client: usize, key: &[u8]) -> Result<(), Stop> {
        let client = self.unblocked_client(client)?;
        if self.clients[client].in_transaction {
            return Ok(());
        }
        let deadline = LAPSE.as_millis().to_string().into_bytes();
        self.pipeline(client, &[vec![b"PEXPIRE".to_vec(), key.to_vec(), deadline]])?;
        std::thread::sleep(LAPSE_WAIT);
        self.pipeline(client, &[vec![b"EXISTS".to_vec(), key.to_vec()]])
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// What became of a connection from which nothing more is expected.
fn end(received: io::Result<Option<Reply>>) -> String {
    match received {
        Ok(Some(reply)) => reply.to_string(),
        Ok(None) => "still open".to_owned(),
        Err(error) if is_closed(&error) => "closed".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// The lines of a monitor about others than the program itself, without time and address, up to the marker.
fn monitored(monitor: &mut Connection, marker: &[u8], own_address: &str) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let line = monitor.receive(REPLY_MAX)?.ok_or(ErrorKind::TimedOut)?.string();
        let (head, command) = line.split_once("] ").ok_or(ErrorKind::InvalidData)?;
        let (_, origin) = head.split_once('[').ok_or(ErrorKind::InvalidData)?;
        let (database, address) = origin.split_once(' ').ok_or(ErrorKind::InvalidData)?;
        if command.contains(&*String::from_utf8_lossy(marker)) {
            return Ok(lines);
        }
        if address != own_address {
            lines.push(format!("[{database}] {command}"));
        }
    }
}
