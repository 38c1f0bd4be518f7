//! The replicas of this server, and how far each is behind.

use super::exposition::{Exposition, Family, Kind, Label, Unit};
use crate::command::replication::place;
use crate::replication::{Lag, Stage};
use crate::state::{State, unix_time_ms};
use std::borrow::Cow;
use std::collections::BTreeMap;

struct Figures {
    stage: Stage,
    offset: u64,
    /// Seconds since it was last heard of.
    silence_s: i64,
    /// Only of one that follows.
    lag: Option<Lag>,
    /// Bytes of the log that are not on their way to it.
    unsent: usize,
}

pub fn write(state: &State, out: &mut Exposition) {
    const OFFSET: Family = Family::new(
        "redis_connected_slave_offset_bytes",
        Kind::Gauge,
        Unit::Bytes,
        "What of the log a replica says it has",
    );
    const SILENCE: Family = Family::new(
        "redis_connected_slave_lag_seconds",
        Kind::Gauge,
        Unit::Seconds,
        "Time since a replica last said what it has, which it does every second",
    );
    const LAG_BYTES: Family = Family::new(
        "radish_replica_lag_bytes",
        Kind::Gauge,
        Unit::Bytes,
        "How much of the log a replica lacked when it last said what it has, or lacks now if that is long ago",
    );
    const LAG: Family = Family::new(
        "radish_replica_lag_seconds",
        Kind::Gauge,
        Unit::Seconds,
        "For how long a replica has lacked that, to the millisecond",
    );
    const UNSENT: Family = Family::new(
        "radish_replica_unsent_bytes",
        Kind::Gauge,
        Unit::Bytes,
        "What of the log is not on its way to a replica",
    );
    let (now_ms, end) = (unix_time_ms(), state.log.end());
    // One that has come back may be there twice for a while.
    let mut replicas = BTreeMap::new();
    for replica in state.replication.replicas() {
        let is_online = replica.stage() == Stage::Online;
        let figures = Figures {
            stage: replica.stage(),
            offset: replica.acknowledged(),
            silence_s: if is_online { (now_ms - replica.acknowledged_ms()) / 1000 } else { 0 },
            lag: is_online.then(|| replica.lag(now_ms, end)),
            unsent: replica.behind(&state.log),
        };
        replicas.insert(place(&replica), figures);
    }
    let address = |(ip, port): &(String, u16)| -> [Label<'static>; 2] {
        [("slave_ip", Cow::Owned(ip.clone())), ("slave_port", Cow::Owned(port.to_string()))]
    };
    let with_state = |place: &(String, u16), figures: &Figures| -> [Label<'static>; 3] {
        let [ip, port] = address(place);
        [ip, port, ("slave_state", Cow::Borrowed(figures.stage.name()))]
    };
    out.rows(&OFFSET, replicas.iter().map(|(place, figures)| (with_state(place, figures), figures.offset)));
    out.rows(&SILENCE, replicas.iter().map(|(place, figures)| (with_state(place, figures), figures.silence_s)));
    let lags = || replicas.iter().filter_map(|(place, figures)| Some((address(place), figures.lag?)));
    out.rows(&LAG_BYTES, lags().map(|(labels, lag)| (labels, lag.bytes)));
    out.rows(&LAG, lags().map(|(labels, lag)| (labels, (lag.microseconds as f64 / 1e3).round() / 1e3)));
    out.rows(&UNSENT, replicas.iter().map(|(place, figures)| (address(place), figures.unsent)));
}
