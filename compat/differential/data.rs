//! The final data of servers, and what they count.

use crate::compare::is_polled;
use crate::reply::{Reply, SHOWN_MAX, readable};
use crate::run::{Round, Stop};
use crate::server::{REPLY_MAX, encode};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};

const DATABASES: u32 = 16;

/// Milliseconds by which deadlines may differ: the servers got the command one after the other.
const DEADLINE_TOLERANCE_MS: u64 = 10_000;

/// Fields of `INFO` that do not depend on the server.
const INFO_FIELDS: &[&str] = &[
    "blocked_clients",
    "expired_keys",
    "evicted_keys",
    "keyspace_hits",
    "keyspace_misses",
    "pubsub_channels",
    "pubsub_patterns",
    "pubsubshard_channels",
    "total_error_replies",
    "rdb_changes_since_last_save",
    "total_blocking_keys",
];

/// The one of them that `CONFIG RESETSTAT` does not reset.
const CHANGES: &str = "rdb_changes_since_last_save";

type Snapshot = BTreeMap<(u32, Vec<u8>), KeyState>;

struct KeyState {
    content: Reply,
    encoding: Reply,
    /// `PEXPIRETIME`.
    expiry_ms: i64,
}

impl std::fmt::Display for KeyState {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} as {}, expires {}", self.content, self.encoding, self.expiry_ms)
    }
}

impl Round<'_> {
    /// Compares all keys: type, encoding, content, expiry; then the digests; then what subscribers have heard; then counters.
    pub fn check(&mut self) -> Result<(), Stop> {
        let servers = 0..self.fleet.servers.len();
        let counters = servers.clone().map(|server| self.counters(server)).collect::<Result<Vec<_>, _>>()?;
        let snapshots = servers.clone().map(|server| self.snapshot(server)).collect::<Result<Vec<_>, _>>()?;
        let keys: BTreeSet<_> = snapshots.iter().flat_map(BTreeMap::keys).collect();
        for (db, key) in keys {
            let held: Vec<_> = snapshots.iter().map(|snapshot| snapshot.get(&(*db, key.clone()))).collect();
            let encoding = vec![b"OBJECT".to_vec(), b"ENCODING".to_vec(), key.clone()];
            let agrees = self.fleet.agrees(&held, |judge, ours, theirs| match (ours, theirs) {
                (Some(ours), Some(theirs)) => {
                    ours.content == theirs.content
                        && same_deadline(ours.expiry_ms, theirs.expiry_ms)
                        && judge.agree(&encoding, &[], &ours.encoding, &theirs.encoding)
                }
                _ => ours.is_none() == theirs.is_none(),
            });
            if !agrees {
                let said = held.iter().map(|held| held.map_or("nothing".to_owned(), KeyState::to_string));
                return Err(self
                    .mismatch(&format!("data: db {db} key {}", readable(key, SHOWN_MAX)), &said.collect::<Vec<_>>()));
            }
        }
        let mut digests = Vec::new();
        for server in servers {
            // All are asked, since what they are asked is counted.
            let digest = self.control(server, &["DEBUG", "DIGEST"])?;
            if !self.has_digest_of_its_own(server)? {
                digests.push(digest);
            }
        }
        // A server that runs elsewhere may forbid DEBUG.
        if digests.iter().all(|digest| !digest.is_error()) && digests.iter().any(|digest| *digest != digests[0]) {
            return Err(self.mismatch("DEBUG DIGEST", &digests));
        }
        for subscriber in 0..self.subscribers.len() {
            self.messages(subscriber, "message")?;
        }
        if self.fleet.differences.counts_differ.take() {
            return (0..self.fleet.servers.len()).try_for_each(|server| self.reset_counters(server));
        }
        self.compare_counters(&counters)
    }

    /// Whether the server leaves out of its digest what others do not: Valkey, the deadlines of fields.
    fn has_digest_of_its_own(&mut self, server: usize) -> Result<bool, Stop> {
        let keyspace = self.control(server, &["INFO", "keyspace"])?.string();
        let mut hashes = keyspace.lines().filter_map(|line| line.split_once("keys_with_volatile_items="));
        let is_valkey = self.fleet.servers[server].kind.starts_with("valkey");
        Ok(is_valkey && hashes.any(|(_, number)| !number.starts_with('0')))
    }

    fn compare_counters(&mut self, counters: &[BTreeMap<String, String>]) -> Result<(), Stop> {
        let names: BTreeSet<_> = counters.iter().flat_map(BTreeMap::keys).collect();
        let none = Reply::fact("none");
        for name in names {
            let facts: Vec<_> =
                counters.iter().map(|counters| counters.get(name).map_or(none.clone(), Reply::fact)).collect();
            let about = format!("INFO {name}");
            let agrees = self.fleet.agrees(&facts, |judge, ours, theirs| {
                // Not every server has every field.
                let is_absent = theirs == &none && INFO_FIELDS.contains(&&**name);
                ours == theirs || is_absent || judge.explained(&about, ours, theirs)
            });
            if !agrees {
                return Err(self.mismatch(&about, &facts));
            }
        }
        Ok(())
    }

    /// Several commands in one round trip.
    pub fn control_all<A: AsRef<[u8]>>(&mut self, server: usize, commands: &[Vec<A>]) -> Result<Vec<Reply>, Stop> {
        let bytes: Vec<u8> = commands.iter().flat_map(|command| encode(command)).collect();
        let connection = &mut self.control[server];
        let mut exchange = || {
            connection.send(&bytes)?;
            let receive = |_| connection.receive(REPLY_MAX)?.ok_or_else(|| ErrorKind::TimedOut.into());
            commands.iter().map(receive).collect::<io::Result<Vec<_>>>()
        };
        exchange().map_err(|error| Stop::Io { server, about: "own commands".to_owned(), error })
    }

    fn snapshot(&mut self, server: usize) -> Result<Snapshot, Stop> {
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

    /// What a server has counted since the round began and every server counts alike.
    fn counters(&mut self, server: usize) -> Result<BTreeMap<String, String>, Stop> {
        let info = self.control(server, &["INFO", "everything"])?.string();
        let lines = info.lines().filter_map(|line| line.split_once(':'));
        let mut counters: BTreeMap<_, _> = lines.flat_map(|(name, value)| counted(name, value)).collect();
        if let Some(changes) = counters.get_mut(CHANGES) {
            *changes = changes.parse().map_or(-1, |changes: i64| changes - self.changes_before[server]).to_string();
        }
        Ok(counters)
    }

    /// Begins to count.
    pub fn reset_counters(&mut self, server: usize) -> Result<(), Stop> {
        self.control(server, &["CONFIG", "RESETSTAT"])?;
        self.changes_before[server] = 0;
        let counters = self.counters(server)?;
        let changes = counters.get(CHANGES).and_then(|changes| changes.parse().ok());
        self.changes_before[server] = changes.unwrap_or(0);
        Ok(())
    }
}

/// What a field of `INFO` says that does not depend on the server: its name and value, or those of its parts.
fn counted(name: &str, value: &str) -> Vec<(String, String)> {
    let parts = |wanted: &[&str]| -> Vec<(String, String)> {
        let parts = value.split(',').filter_map(|part| part.split_once('='));
        let wanted = parts.filter(|(part, _)| wanted.contains(part));
        wanted.map(|(part, value)| (format!("{name} {part}"), value.to_owned())).collect()
    };
    if let Some(command) = name.strip_prefix("cmdstat_") {
        if is_polled(command) { Vec::new() } else { parts(&["calls", "rejected_calls", "failed_calls"]) }
    } else if name.starts_with("db") && name[2..].bytes().all(|byte| byte.is_ascii_digit()) {
        parts(&["keys", "expires"])
    } else if name.starts_with("errorstat_") || INFO_FIELDS.contains(&name) {
        vec![(name.to_owned(), value.to_owned())]
    } else {
        Vec::new()
    }
}

fn same_deadline(ours: i64, theirs: i64) -> bool {
    ours == theirs || (ours >= 0 && theirs >= 0 && ours.abs_diff(theirs) < DEADLINE_TOLERANCE_MS)
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
