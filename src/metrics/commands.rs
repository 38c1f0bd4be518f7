//! What is known of each command that was called: how often, how long, and how often in vain.

use super::exposition::{Exposition, Family, Kind, Unit, label, printable};
use crate::spec::{self, CommandSpec};
use crate::state::State;
use crate::stats::{CommandFigures, bucket_at, bucket_microseconds};
use std::borrow::Cow;

/// The first bound of the histograms, in nanoseconds; each is twice the one before. They are edges of the buckets that the server
/// counts in, so that a histogram is exact at its bounds.
const BOUND_NS_MIN: u64 = 1024;
/// Up to 8.6 seconds.
const BOUNDS: u32 = 24;

type Row = (&'static CommandSpec, CommandFigures);
/// One of a command's figures.
type Count = fn(&CommandFigures) -> u64;

pub fn write(state: &State, out: &mut Exposition) {
    const CALLS: Family = Family::counter("redis_commands_total", "Calls of a command");
    const TIME: Family = Family::new(
        "redis_commands_duration_seconds_total",
        Kind::Counter,
        Unit::Seconds,
        "Time that the calls of a command took",
    );
    const REJECTED: Family =
        Family::counter("redis_commands_rejected_calls_total", "Calls of a command that were refused before it ran");
    const FAILED: Family =
        Family::counter("redis_commands_failed_calls_total", "Calls of a command that ended with an error");
    const ERRORS: Family = Family::counter("redis_errors_total", "Error replies, by the word that they begin with");
    let rows = spec::all().map(|command| (command, state.stats.command(command.id)));
    let rows: Vec<Row> = rows.filter(|(_, figures)| figures.calls + figures.rejected + figures.failed > 0).collect();
    let counts: [(&Family, Count); 3] = [
        (&CALLS, |figures| figures.calls),
        (&REJECTED, |figures| figures.rejected),
        (&FAILED, |figures| figures.failed),
    ];
    for (family, count) in counts {
        out.rows(family, rows.iter().map(|(command, figures)| ([label("cmd", command.name)], count(figures))));
    }
    out.rows(&TIME, rows.iter().map(|(command, figures)| ([label("cmd", command.name)], seconds(figures))));
    write_histograms(&rows, out);
    write_percentiles(&rows, &state.settings.percentiles(), out);
    let errors = state.error_counts.lock().clone();
    out.rows(&ERRORS, errors.iter().map(|(code, count)| ([("err", printable(code))], count)));
}

fn seconds(figures: &CommandFigures) -> f64 {
    figures.microseconds as f64 / 1e6
}

/// Commands whose latencies are known (`latency-tracking`).
fn tracked(rows: &[Row]) -> impl Iterator<Item = &Row> {
    rows.iter().filter(|(_, figures)| figures.latency.iter().any(|count| *count > 0))
}

fn write_histograms(rows: &[Row], out: &mut Exposition) {
    const FAMILY: Family = Family::new(
        "radish_command_duration_seconds",
        Kind::Histogram,
        Unit::Seconds,
        "How long the calls of a command took, as far as latency-tracking has it",
    );
    let mut rows = tracked(rows).peekable();
    if rows.peek().is_some() {
        out.begin(&FAMILY);
    }
    for (command, figures) in rows {
        let labels = |bound: Cow<'static, str>| [label("cmd", command.name), ("le", bound)];
        for (bound_ns, count) in cumulated(&figures.latency) {
            let bound = Cow::Owned((bound_ns as f64 / 1e9).to_string());
            out.sample(&FAMILY, "_bucket", &labels(bound), count);
        }
        let all: u64 = figures.latency.iter().sum();
        out.sample(&FAMILY, "_bucket", &labels(Cow::Borrowed("+Inf")), all);
        out.sample(&FAMILY, "_sum", &[label("cmd", command.name)], tracked_seconds(&figures.latency));
        out.sample(&FAMILY, "_count", &[label("cmd", command.name)], all);
    }
}

/// How long the calls of all buckets took together, each taken for one from the middle of its bucket: `commandstats` have all calls,
/// those as well that came while nobody tracked.
fn tracked_seconds(latency: &[u64]) -> f64 {
    let middle = |bucket: usize| {
        let begin = bucket.checked_sub(1).map_or(0.0, bucket_microseconds);
        (begin + bucket_microseconds(bucket)) / 2.0
    };
    let counted = latency.iter().enumerate().filter(|(_, count)| **count > 0);
    counted.map(|(bucket, count)| *count as f64 * middle(bucket)).sum::<f64>() / 1e6
}

/// The bounds in nanoseconds, and the calls that took no longer.
fn cumulated(latency: &[u64]) -> impl Iterator<Item = (u64, u64)> {
    let mut buckets = latency.iter().enumerate().peekable();
    let mut calls = 0;
    (0..BOUNDS).map(move |power| {
        let bound_ns = BOUND_NS_MIN << power;
        let is_within = |bucket: usize| bucket_microseconds(bucket) * 1e3 <= bound_ns as f64;
        while let Some((_, count)) = buckets.next_if(|(bucket, _)| is_within(*bucket)) {
            calls += count;
        }
        (bound_ns, calls)
    })
}

fn write_percentiles(rows: &[Row], percentiles: &[f64], out: &mut Exposition) {
    const FAMILY: Family = Family::new(
        "redis_latency_percentiles_usec",
        Kind::Gauge,
        Unit::Microseconds,
        "How long calls of a command took, but for the slowest, since the start; quantiles are percentages",
    );
    let is_first = |index: usize| !percentiles[..index].contains(&percentiles[index]);
    let distinct =
        || percentiles.iter().enumerate().filter(move |(index, _)| is_first(*index)).map(|(_, percentile)| percentile);
    let samples = tracked(rows).flat_map(|(command, figures)| {
        distinct().map(move |percentile| {
            let microseconds = bucket_microseconds(bucket_at(&figures.latency, *percentile));
            ([label("cmd", command.name), ("quantile", Cow::Owned(percentile.to_string()))], microseconds)
        })
    });
    out.rows(&FAMILY, samples);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Stats;

    #[test]
    fn histograms_are_exact_at_their_bounds() {
        let stats = Stats::new(1);
        let command = spec::all().next().expect("there are commands").id;
        // One just below each bound, one at it, and one beyond all.
        for power in 0..BOUNDS {
            stats.called(command, (BOUND_NS_MIN << power) - 1, false, true);
            stats.called(command, BOUND_NS_MIN << power, false, true);
        }
        stats.called(command, u64::MAX / 2, false, true);
        let latency = stats.command(command).latency;
        let counts: Vec<_> = cumulated(&latency).map(|(_, count)| count).collect();
        assert_eq!(counts, (0..u64::from(BOUNDS)).map(|power| 2 * power + 1).collect::<Vec<_>>());
        let (last, _) = cumulated(&latency).last().expect("there are bounds");
        assert_eq!(last, 8_589_934_592);
    }

    #[test]
    fn sums_are_of_the_calls_that_were_tracked() {
        let stats = Stats::new(1);
        let command = spec::all().next().expect("there are commands").id;
        stats.called(command, 5_000_000_000, false, false);
        for _ in 0..1000 {
            stats.called(command, 2_000_000, false, true);
        }
        let sum = tracked_seconds(&stats.command(command).latency);
        assert!((1.8..2.2).contains(&sum), "{sum}");
    }
}
