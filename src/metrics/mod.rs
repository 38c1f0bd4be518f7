//! Metrics: what the server tells of itself, in the formats that Prometheus reads. Knows nothing of HTTP, over which they are
//! fetched.
//!
//! A scrape runs on a thread that serves no clients, and holds one shard at a time, as briefly as `INFO` does. It is no command:
//! neither counted nor logged nor shown to monitors.

mod commands;
mod exposition;
mod fields;
mod info;
mod keyspace;
mod queues;
mod replicas;
mod slow;

pub use exposition::Format;

use crate::acl::Account;
use crate::command::info::{Shards, Source};
use crate::resp::OwnedRequest;
use crate::spec;
use crate::state::State;
use crate::store::{Shard, ShardSet};
use exposition::{Exposition, Family, Kind, Unit};
use info::Fields;
use std::time::Instant;

/// Room that is reserved for the text.
const TEXT_BYTES: usize = 64 * 1024;

/// What a user must be allowed to run to see the metrics, by the names of the command table.
pub const REQUIRED: [&str; 2] = ["info", "latency|histogram"];

/// A script that is past its limit has all shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// The shards of a server, for whoever is no command.
struct Unheld<'s> {
    state: &'s State,
    /// One could not be had.
    is_busy: bool,
}

impl Unheld<'_> {
    /// Holds a shard for as long as `look` takes; `None` if it cannot be had.
    fn hold<R>(&mut self, number: usize, look: impl FnOnce(&mut Shard) -> R) -> Option<R> {
        let gives_up = || self.state.scripts.running.is_busy();
        // Once is enough: what follows would be of no use.
        let locked =
            if self.is_busy { None } else { self.state.keyspace.lock_unless(ShardSet::single(number), gives_up) };
        self.is_busy = locked.is_none();
        locked.map(|mut locked| look(locked.shard(number)))
    }
}

impl Shards for Unheld<'_> {
    fn visit(&mut self, look: &mut dyn FnMut(&mut Shard)) {
        for number in self.state.keyspace.all_shards().iter() {
            self.hold(number, &mut *look);
        }
    }

    fn changes(&self) -> u64 {
        0
    }
}

/// Whether a user may run a command, which the table calls `name`, with these arguments.
fn may(account: &Account, name: &str, arguments: &[&[u8]]) -> bool {
    if account.is_unrestricted() {
        return true;
    }
    let Some(spec) = spec::all().find(|spec| spec.name == name) else { return false };
    let words: Vec<_> = name.split('|').map(str::as_bytes).chain(arguments.iter().copied()).collect();
    account.check(spec, OwnedRequest::new(words.into_iter()).args()).is_ok()
}

/// All metrics, as text: those of keys, as far as the user may read these.
pub fn render(state: &State, account: &Account, format: Format) -> Result<String, Busy> {
    const UP: Family = Family::gauge("redis_up", "Always 1: whoever answers is up");
    const STARTED: Family =
        Family::new("redis_start_time_seconds", Kind::Gauge, Unit::Seconds, "When the process started, as Unix time");
    const DURATION: Family = Family::new(
        "radish_scrape_duration_seconds",
        Kind::Gauge,
        Unit::Seconds,
        "How long it took to gather these metrics",
    );
    let begun = Instant::now();
    let mut out = Exposition::new(format, TEXT_BYTES);
    out.one(&UP, 1);
    out.one(&STARTED, state.started_ms as f64 / 1000.0);
    let mut shards = Unheld { state, is_busy: false };
    // What these sections have is told in more detail below.
    let is_apart = |title: &str| ["Commandstats", "Errorstats", "Latencystats"].contains(&title);
    let text = crate::command::info::write(&mut Source { state, shards: &mut shards }, |title| !is_apart(title));
    let fields = Fields::parse(&text);
    info::write(&fields, &mut out);
    replicas::write(state, &mut out);
    commands::write(state, &mut out);
    slow::write(state, account, &mut out);
    keyspace::write_databases(&fields, &mut out);
    keyspace::write_trees(&mut shards, &mut out);
    queues::write(&mut shards, account, &mut out);
    if shards.is_busy {
        return Err(Busy);
    }
    out.one(&DURATION, begun.elapsed().as_secs_f64());
    Ok(out.finish())
}
