//! When two replies count as equal: byte for byte, but for what is random, unordered, or read from a clock.

use crate::differences::Differences;
use crate::generator::Command;
use crate::plan::written;
use crate::reply::Reply;
use crate::server::Server;
use std::collections::{BTreeMap, BTreeSet};

/// Seconds or milliseconds by which what is read from a clock may differ: the servers got the command one after the other.
const CLOCK_TOLERANCE: u64 = 10_000;

/// Fields of `CLIENT LIST` that do not depend on the server.
const CLIENT_FIELDS: &[&str] = &[
    "name", "flags", "db", "sub", "psub", "ssub", "multi", "cmd", "user", "redir", "resp", "lib-name", "lib-ver",
    "watch",
];

/// The client under this name is the program's own.
pub const OWN_NAME: &str = "program";

/// Compares the replies of the server under test with those of one peer.
pub struct Judge<'a> {
    pub differences: &'a Differences,
    /// Which peer.
    pub peer: &'a Server,
    /// Commands that all servers have.
    pub common: &'a BTreeSet<String>,
}

impl Judge<'_> {
    /// Whether the replies agree, or differ as they are meant to. `queued` are the commands of the transaction that the command
    /// executes.
    pub fn agree(&self, command: &Command, queued: &[Command], ours: &Reply, theirs: &Reply) -> bool {
        if ours == theirs {
            return true;
        }
        if command.first().is_some_and(|name| name.eq_ignore_ascii_case(b"EXEC"))
            && ours.kind == theirs.kind
            && ours.text.is_none()
            && theirs.text.is_none()
            && ours.items.len() == theirs.items.len()
            && ours.items.len() == queued.len()
        {
            let pairs = ours.items.iter().zip(&theirs.items);
            return queued.iter().zip(pairs).all(|(command, (ours, theirs))| self.agree(command, &[], ours, theirs));
        }
        self.equal(command, ours, theirs) || self.explained(&written(command), ours, theirs)
    }

    /// Whether a difference is one of those that are meant to be.
    pub fn explained(&self, about: &str, ours: &Reply, theirs: &Reply) -> bool {
        let is_explained = self.differences.explain(&self.peer.kind, about, &ours.to_string(), &theirs.to_string());
        if is_explained && ours.is_error() != theirs.is_error() {
            self.differences.counts_differ.set(true);
        }
        is_explained
    }

    fn equal(&self, command: &Command, ours: &Reply, theirs: &Reply) -> bool {
        let [name, arguments @ ..] = &command[..] else { return false };
        if ours.kind != theirs.kind {
            return false;
        }
        if ours.is_error() {
            if without_name(ours) == without_name(theirs) {
                return true;
            }
            // An error may quote the id or the port of a client, which is each server's own.
            return command.iter().any(|word| word.starts_with(b"\0"))
                && without_digits(ours) == without_digits(theirs);
        }
        // Without arguments it is empty, as no subcommand is.
        let subcommand = arguments.first().map_or_else(Vec::new, |word| word.to_ascii_uppercase());
        let (ours_text, theirs_text) = (ours.string(), theirs.string());
        match (&name.to_ascii_uppercase()[..], &subcommand[..]) {
            (b"KEYS" | b"SPOP" | b"SMEMBERS" | b"SINTER" | b"SUNION" | b"SDIFF" | b"HKEYS" | b"HVALS", _)
            | (b"PUBSUB", b"CHANNELS" | b"SHARDCHANNELS") => sorted(ours) == sorted(theirs),
            // What is not sorted comes as it is stored, which may be as a set.
            (b"SORT", _) if arguments.iter().any(|word| word.eq_ignore_ascii_case(b"nosort")) => {
                sorted(ours) == sorted(theirs)
            }
            // Others compare texts no further than to the first zero.
            (b"SORT" | b"SORT_RO", _) if has_zeros(ours) || has_zeros(theirs) => ours.items.len() == theirs.items.len(),
            (b"COMMAND", b"LIST") => self.common_names(ours) == self.common_names(theirs),
            (b"CONFIG", b"GET") => self.same_settings(ours, theirs),
            (b"HGETALL", _) => sorted_pairs(ours) == sorted_pairs(theirs),
            (b"HSCAN" | b"SSCAN" | b"ZSCAN", _) => match (&ours.items[..], &theirs.items[..]) {
                ([_, ours], [_, theirs]) if !name[..1].eq_ignore_ascii_case(b"S") => {
                    sorted_pairs(ours) == sorted_pairs(theirs)
                }
                ([_, ours], [_, theirs]) => sorted(ours) == sorted(theirs),
                _ => false,
            },
            // Time left, of what has some.
            (b"TTL" | b"PTTL" | b"EXPIRETIME" | b"PEXPIRETIME", _) | (b"OBJECT", b"IDLETIME") => is_near(ours, theirs),
            (b"HTTL" | b"HPTTL" | b"HEXPIRETIME" | b"HPEXPIRETIME", _) => {
                ours.items.len() == theirs.items.len()
                    && ours
                        .items
                        .iter()
                        .zip(&theirs.items)
                        .all(|(ours, theirs)| ours == theirs || is_near(ours, theirs))
            }
            (b"TIME", _) => match (&ours.items[..], &theirs.items[..]) {
                ([ours, _], [theirs, _]) => is_near(ours, theirs),
                _ => false,
            },
            (b"INFO", _) => sections(&ours_text) == sections(&theirs_text),
            (b"CLIENT", b"INFO" | b"LIST") => {
                let (ours, theirs) = (clients(&ours_text), clients(&theirs_text));
                ours.len() == theirs.len()
                    && ours.iter().zip(&theirs).all(|(ours, theirs)| self.same_client(ours, theirs))
            }
            (b"DEBUG", b"OBJECT") => {
                let encoding =
                    |text: &str| text.split(' ').find(|field| field.starts_with("encoding:")).map(str::to_owned);
                encoding(&ours_text) == encoding(&theirs_text)
            }
            (b"HELLO", _) => {
                let lasting = |reply: &Reply| -> Vec<Vec<Reply>> {
                    let own = ["server", "version", "id", "modules", "availability_zone"];
                    let mut pairs = sorted_pairs(reply);
                    pairs.retain(|pair| !own.contains(&&*pair[0].string()));
                    pairs
                };
                lasting(ours) == lasting(theirs)
            }
            (b"LATENCY", b"HISTOGRAM") => {
                self.calls(ours) == self.calls(theirs) || self.differences.counts_differ.get()
            }
            (b"SLOWLOG" | b"COMMANDLOG", b"GET") => slow(ours) == slow(theirs),
            (b"COMMAND", b"" | b"INFO") => {
                let name_and_arity = |reply: &Reply| -> BTreeSet<Vec<Reply>> {
                    let known = reply.items.iter().filter(|command| {
                        command.items.first().is_some_and(|name| self.common.contains(&name.string()))
                    });
                    known.map(|command| command.items.iter().take(2).cloned().collect()).collect()
                };
                name_and_arity(ours) == name_and_arity(theirs)
            }
            (b"COMMAND", b"DOCS") => {
                let names =
                    |reply: &Reply| Reply { items: reply.items.iter().step_by(2).cloned().collect(), ..reply.clone() };
                self.common_names(&names(ours)) == self.common_names(&names(theirs))
            }
            (_, b"HELP") if arguments.len() == 1 => ours.items.first() == theirs.items.first() && ours.items.len() > 2,
            // A cursor, an id, a clock, a size in this server's memory or a random choice: only that there is one.
            (b"RANDOMKEY" | b"LASTSAVE" | b"LOLWUT", _)
            | (b"CLIENT", b"ID")
            | (b"COMMAND", b"COUNT")
            | (b"OBJECT", b"FREQ")
            | (b"MEMORY", b"USAGE" | b"DOCTOR" | b"MALLOC-STATS")
            | (b"LATENCY", b"DOCTOR") => ours.text.is_some() == theirs.text.is_some(),
            (b"SCAN" | b"SRANDMEMBER" | b"HRANDFIELD" | b"ZRANDMEMBER", _) => {
                ours.text.is_some() == theirs.text.is_some() && ours.items.len() == theirs.items.len()
            }
            (b"MEMORY", b"STATS") => ours.items.is_empty() == theirs.items.is_empty(),
            _ => false,
        }
    }

    /// Whether all directives that the peer knows have its values.
    fn same_settings(&self, ours: &Reply, theirs: &Reply) -> bool {
        let of_this_run = ["port", "dir"];
        let settings = |reply: &Reply| -> BTreeMap<String, Reply> {
            let pairs = reply.items.chunks_exact(2).map(|pair| (pair[0].string(), pair[1].clone()));
            let is_compared =
                |name: &str| self.peer.directives.contains(&name.to_lowercase()) && !of_this_run.contains(&name);
            pairs.filter(|(name, _)| is_compared(name)).collect()
        };
        let (ours, theirs) = (settings(ours), settings(theirs));
        let none = Reply::fact("none");
        let names: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        names.iter().all(|name| {
            let (ours, theirs) = (ours.get(*name).unwrap_or(&none), theirs.get(*name).unwrap_or(&none));
            ours == theirs || self.explained(&format!("CONFIG GET {name}"), ours, theirs)
        })
    }

    /// Whether two servers say the same of a client. An older server has fewer fields.
    fn same_client(&self, ours: &BTreeMap<&str, &str>, theirs: &BTreeMap<&str, &str>) -> bool {
        let has_flag = |flag: char| theirs.get("flags").is_some_and(|flags| flags.contains(flag));
        // It was served and goes on only when its turn comes, which may be at once where there are more threads.
        let was_served = has_flag('u');
        theirs.iter().all(|(name, value)| match *name {
            // Outside of a transaction the number may be -1 or 0.
            "multi" if !has_flag('x') => true,
            // Keys are not always let go once one has changed.
            "watch" if has_flag('d') => true,
            "flags" | "cmd" if was_served => true,
            name => {
                let own = ours.get(name).copied().unwrap_or("none");
                let about = format!("CLIENT LIST {name}");
                own == *value || self.explained(&about, &Reply::fact(own), &Reply::fact(value))
            }
        })
    }

    fn common_names(&self, reply: &Reply) -> BTreeSet<String> {
        reply.items.iter().map(|name| name.string().to_lowercase()).filter(|name| self.common.contains(name)).collect()
    }

    /// The calls by command that `LATENCY HISTOGRAM` tells, but for those that the program makes as often as it needs.
    fn calls(&self, reply: &Reply) -> BTreeMap<String, Option<Reply>> {
        let pairs = reply.items.chunks_exact(2).map(|pair| (pair[0].string(), pair[1].items.get(1).cloned()));
        pairs.filter(|(name, _)| !is_polled(name)).collect()
    }
}

/// Whether the program sends this command as often as it takes until something happens, which is not the same for all servers.
pub fn is_polled(command: &str) -> bool {
    matches!(command, "client|list" | "scan")
}

fn without_digits(reply: &Reply) -> Option<Vec<u8>> {
    reply.text.as_ref().map(|text| text.iter().copied().filter(|byte| !byte.is_ascii_digit()).collect())
}

/// The text of a script's error without the name of the script: Valkey does not say it.
fn without_name(reply: &Reply) -> Option<String> {
    let text = String::from_utf8_lossy(reply.text.as_ref()?).into_owned();
    Some(match text.rsplit_once(" script: ") {
        Some((message, end)) if end.contains("on @user_") => {
            let place = end.split_once("on @user_").map_or(end, |(_, place)| place);
            format!("{message} script: on @user_{place}")
        }
        _ => text,
    })
}

fn is_near(ours: &Reply, theirs: &Reply) -> bool {
    match (ours.number(), theirs.number()) {
        (Some(ours), Some(theirs)) => ours >= 0 && theirs >= 0 && ours.abs_diff(theirs) <= CLOCK_TOLERANCE,
        _ => false,
    }
}

/// Whether an element has a zero byte in it.
fn has_zeros(reply: &Reply) -> bool {
    reply.items.iter().any(|item| item.text.as_ref().is_some_and(|text| text.contains(&0)))
}

fn sorted(reply: &Reply) -> Vec<Reply> {
    let mut items = reply.items.clone();
    items.sort();
    items
}

fn sorted_pairs(reply: &Reply) -> Vec<Vec<Reply>> {
    let mut pairs: Vec<_> = reply.items.chunks(2).map(<[Reply]>::to_vec).collect();
    pairs.sort();
    pairs
}

/// The headings of `INFO`, but for those that one server has and others do not.
pub fn sections(info: &str) -> Vec<&str> {
    let own = ["# Threads", "# Keysizes", "# TLS", "# Cluster Info", "# Scripting Engines"];
    info.lines().filter(|line| line.starts_with('#') && !own.contains(line)).collect()
}

/// Whether a line of `CLIENT LIST` is about a replica, or about the primary: servers may be followed while they are compared.
pub fn is_of_replication(line: &str) -> bool {
    let flags = line.split(' ').find_map(|field| field.strip_prefix("flags="));
    flags.is_some_and(|flags| flags.contains(['S', 'M']))
}

/// The fields of the lines of `CLIENT LIST` that do not depend on the server, in the order in which the clients came.
fn clients(text: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut lines: Vec<(u64, BTreeMap<&str, &str>)> = Vec::new();
    for line in text.lines().filter(|line| !is_of_replication(line)) {
        // A verbatim string begins with its format.
        let line = line.strip_prefix("txt:").unwrap_or(line);
        let fields: BTreeMap<_, _> = line.split(' ').filter_map(|field| field.split_once('=')).collect();
        let id = fields.get("id").and_then(|id| id.parse().ok());
        let is_lasting = |name: &&str| CLIENT_FIELDS.contains(name);
        let lasting = fields.into_iter().filter(|(name, _)| is_lasting(name)).collect::<BTreeMap<_, _>>();
        if lasting.get("name") != Some(&OWN_NAME) {
            lines.push((id.unwrap_or(0), lasting));
        }
    }
    lines.sort();
    // Redis lists a client twice that is named twice.
    lines.dedup_by_key(|(id, _)| *id);
    lines.into_iter().map(|(_, fields)| fields).collect()
}

/// The commands in a slow log, and who gave them.
fn slow(log: &Reply) -> Vec<(Option<Reply>, Option<Reply>)> {
    let entries = log.items.iter().map(|entry| (entry.items.get(3).cloned(), entry.items.get(5).cloned()));
    entries.filter(|(_, name)| name.as_ref().is_none_or(|name| name.string() != OWN_NAME)).collect()
}

/// Replies that differ from this one a little: whoever compares them with it must notice.
pub fn distortions(reply: &Reply) -> Vec<Reply> {
    let mut all = Vec::new();
    let mut distort = |change: &dyn Fn(&mut Reply)| {
        let mut distorted = reply.clone();
        change(&mut distorted);
        if distorted != *reply {
            all.push(distorted);
        }
    };
    distort(&|reply| reply.kind = if reply.kind == b'$' { b'+' } else { b'$' });
    if reply.text.is_some() {
        distort(&|reply| reply.text.iter_mut().for_each(|text| text.push(b'7')));
        distort(&|reply| reply.text = None);
    }
    if let Some(last) = reply.items.len().checked_sub(1) {
        distort(&|reply| drop(reply.items.pop()));
        distort(&|reply| reply.items.push(reply.items[last].clone()));
        distort(&|reply| {
            reply.items[last].kind = b'?';
        });
        distort(&|reply| reply.items[last].text = Some(b"distorted".to_vec()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> Server {
        let mut peer = Server::default();
        peer.kind = "redis-8.2".to_owned();
        peer
    }

    fn judged(command: &str, ours: &[u8], theirs: &[u8]) -> bool {
        let judge = Judge { differences: &Differences::read(), peer: &peer(), common: &BTreeSet::new() };
        let command: Command = command.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let parse = |bytes| Reply::parse(bytes).expect("a whole reply").0;
        judge.agree(&command, &[], &parse(ours), &parse(theirs))
    }

    #[test]
    fn replies_that_differ_are_told_apart() {
        assert!(judged("GET k", b"$1\r\na\r\n", b"$1\r\na\r\n"));
        assert!(!judged("GET k", b"$1\r\na\r\n", b"$1\r\nb\r\n"));
        assert!(!judged("GET k", b"$1\r\na\r\n", b"+a\r\n"));
        assert!(!judged("GET k", b"$-1\r\n", b"$0\r\n\r\n"));
        assert!(!judged("GET k", b"$-1\r\n", b"*-1\r\n"));
        assert!(!judged("GET k", b"$-1\r\n", b"_\r\n"));
        assert!(!judged("INCR k", b"-ERR a\r\n", b"-ERR b\r\n"));
        assert!(!judged("EXEC", b"-ERR a\r\n", b"-ERR b\r\n"));
        assert!(!judged("EXEC", b"*-1\r\n", b"*0\r\n"));
        assert!(!judged("CLIENT GETNAME", b"$1\r\na\r\n", b"$1\r\nb\r\n"));
        assert!(judged("KEYS *", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"*2\r\n$1\r\nb\r\n$1\r\na\r\n"));
        assert!(!judged("LRANGE k 0 -1", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"*2\r\n$1\r\nb\r\n$1\r\na\r\n"));
        assert!(judged("TTL k", b":100\r\n", b":101\r\n"));
        assert!(!judged("TTL k", b":-1\r\n", b":-2\r\n"));
        assert!(!judged("TTL k", b":0\r\n", b":100000\r\n"));
        assert!(judged("RANDOMKEY", b"$1\r\na\r\n", b"$1\r\nb\r\n"));
        assert!(!judged("RANDOMKEY", b"$1\r\na\r\n", b"$-1\r\n"));
    }

    #[test]
    fn every_distortion_of_an_exact_reply_is_noticed() {
        let (reply, _) = Reply::parse(b"*2\r\n$1\r\na\r\n*1\r\n:5\r\n").expect("a whole reply");
        let judge = Judge { differences: &Differences::read(), peer: &peer(), common: &BTreeSet::new() };
        let command = vec![b"LMPOP".to_vec()];
        assert!(distortions(&reply).len() > 4);
        assert!(distortions(&reply).iter().all(|distorted| !judge.agree(&command, &[], distorted, &reply)));
    }
}
