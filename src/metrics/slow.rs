//! What was slow: the slow log, and spikes of events, as far as the user may ask for them.

use super::exposition::{Exposition, Family, Kind, Unit, printable};
use super::may;
use crate::acl::Account;
use crate::state::State;

pub fn write(state: &State, account: &Account, out: &mut Exposition) {
    if may(account, "slowlog|get", &[b"1"]) {
        write_slow_log(state, out);
    }
    if may(account, "latency|latest", &[]) {
        write_spikes(state, out);
    }
}

fn write_slow_log(state: &State, out: &mut Exposition) {
    const LENGTH: Family = Family::gauge("redis_slowlog_length", "Commands in the slow log");
    const LAST: Family = Family::gauge("redis_slowlog_last_id", "Number of the last of them; 0 if there is none");
    const DURATION: Family = Family::new(
        "redis_last_slow_execution_duration_seconds",
        Kind::Gauge,
        Unit::Seconds,
        "How long it took; 0 if there is none",
    );
    let last = state.slow_log.latest(1).pop();
    out.one(&LENGTH, state.slow_log.len());
    out.one(&LAST, last.as_ref().map_or(0, |entry| entry.id));
    out.one(&DURATION, last.map_or(0.0, |entry| entry.measure as f64 / 1e6));
}

fn write_spikes(state: &State, out: &mut Exposition) {
    const TIME: Family = Family::new(
        "redis_latency_spike_last",
        Kind::Gauge,
        Unit::Seconds,
        "When an event last took as long as latency-monitor-threshold, as Unix time",
    );
    const DURATION: Family =
        Family::new("redis_latency_spike_duration_seconds", Kind::Gauge, Unit::Seconds, "How long it took then");
    let events = state.latency.all();
    let last = || events.iter().filter_map(|(name, event)| Some((name, event.samples.back()?)));
    let name = |name| [("event_name", printable(str::as_bytes(name)))];
    out.rows(&TIME, last().map(|(event, sample)| (name(event), sample.time)));
    out.rows(&DURATION, last().map(|(event, sample)| (name(event), f64::from(sample.milliseconds) / 1e3)));
}
