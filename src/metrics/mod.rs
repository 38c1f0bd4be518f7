//! Metrics: what the server tells of itself, in the formats that Prometheus reads. Knows nothing of HTTP, over which they are
//! fetched.
//!
//! A scrape runs on a thread that serves no clients, and holds one shard at a time, as briefly as `INFO` does. It is no command:
//! neither counted nor logged nor shown to monitors.

mod commands;
mod exposition;
mod fields;
mod info;

pub use exposition::Format;

use crate::command::info::{Shards, Source};
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

impl Shards for Unheld<'_> {
    fn visit(&mut self, look: &mut dyn FnMut(&mut Shard)) {
        for number in self.state.keyspace.all_shards().iter() {
            if self.is_busy {
                return;
            }
            let gives_up = || self.state.scripts.running.is_busy();
            match self.state.keyspace.lock_unless(ShardSet::single(number), gives_up) {
                Some(mut locked) => look(locked.shard(number)),
                None => self.is_busy = true,
            }
        }
    }

    fn changes(&self) -> u64 {
        0
    }
}

/// All metrics, as text.
pub fn render(state: &State, format: Format) -> Result<String, Busy> {
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
    let is_apart = |title: &str| ["Commandstats", "Errorstats", "Latencystats", "Keyspace"].contains(&title);
    let text = crate::command::info::write(&mut Source { state, shards: &mut shards }, |title| !is_apart(title));
    info::write(&Fields::parse(&text), &mut out);
    commands::write(state, &mut out);
    if shards.is_busy {
        return Err(Busy);
    }
    out.one(&DURATION, begun.elapsed().as_secs_f64());
    Ok(out.finish())
}
