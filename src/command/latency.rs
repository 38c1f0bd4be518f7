//! `LATENCY`: what made the server slow, and how long commands take.

use super::call::Call;
use crate::config::Directive;
use crate::resp::{CommandResult, ErrorReply};
use crate::server_log::{EventSamples, Sample};
use crate::spec::{self, CommandSpec};
use crate::state::unix_time_ms;
use crate::stats::bucket_microseconds;

/// Columns of a graph: the latest samples.
const GRAPH_COLUMNS: usize = 80;
/// Rows of a graph's bars.
const GRAPH_ROWS: usize = 4;
/// The upper ends of a histogram's steps double from this power of two on, in nanoseconds.
const HISTOGRAM_POWER_MIN: u32 = 10;

/// `LATENCY LATEST`
pub fn latency_latest(call: &mut Call) -> CommandResult {
    let events = call.state.latency.all();
    call.reply.array(events.len())?;
    for (name, event) in events {
        let Sample { time, milliseconds } =
            event.samples.back().copied().unwrap_or(Sample { time: 0, milliseconds: 0 });
        call.reply.array(4)?;
        call.reply.bulk(name.as_bytes())?;
        call.reply.integer(time)?;
        call.reply.integer(i64::from(milliseconds))?;
        call.reply.integer(i64::from(event.worst))?;
    }
    Ok(())
}

fn event(call: &Call, index: usize) -> Option<EventSamples> {
    let name = std::str::from_utf8(call.arg(index)).ok()?;
    call.state.latency.all().remove(name)
}

/// `LATENCY HISTORY event`
pub fn latency_history(call: &mut Call) -> CommandResult {
    let samples = event(call, 2).map_or_else(Default::default, |event| event.samples);
    call.reply.array(samples.len())?;
    for sample in samples {
        call.reply.array(2)?;
        call.reply.integer(sample.time)?;
        call.reply.integer(i64::from(sample.milliseconds))?;
    }
    Ok(())
}

/// `LATENCY RESET [event …]`
pub fn latency_reset(call: &mut Call) -> CommandResult {
    let latency = &call.state.latency;
    let forgotten = if call.args.len() == 2 {
        latency.reset(None)
    } else {
        let names = call.args.from(2).iter().filter_map(|name| std::str::from_utf8(name).ok());
        names.map(|name| latency.reset(Some(name))).sum()
    };
    call.reply.count(forgotten)
}

/// `LATENCY GRAPH event`
pub fn latency_graph(call: &mut Call) -> CommandResult {
    let Some(event) = event(call, 2).filter(|event| !event.samples.is_empty()) else {
        return Err(ErrorReply::about("ERR No samples available for event '", call.arg(2), "'"));
    };
    let name = String::from_utf8_lossy(call.arg(2)).into_owned();
    let text = graph(&name, &event, unix_time_ms() / 1000);
    call.reply.verbatim(*b"txt", text.as_bytes())
}

/// A bar for each sample, and under it how long ago it was.
fn graph(name: &str, event: &EventSamples, now: i64) -> String {
    let samples: Vec<Sample> =
        event.samples.iter().skip(event.samples.len().saturating_sub(GRAPH_COLUMNS)).copied().collect();
    let high = samples.iter().map(|sample| sample.milliseconds).max().unwrap_or(0);
    let low = samples.iter().map(|sample| sample.milliseconds).min().unwrap_or(0);
    let mut text = format!("{name} - high {high} ms, low {low} ms (all time high {} ms)\n", event.worst);
    text.push_str(&"-".repeat(GRAPH_COLUMNS));
    text.push('\n');
    let span = f64::from(high - low).max(1.0);
    let heights: Vec<f64> =
        samples.iter().map(|sample| f64::from(sample.milliseconds - low) / span * GRAPH_ROWS as f64).collect();
    for row in (0..GRAPH_ROWS).rev() {
        for height in &heights {
            text.push(match height - row as f64 {
                above if above >= 1.0 => '#',
                above if above >= 0.5 => 'o',
                _ if row == 0 => '_',
                _ => ' ',
            });
        }
        text.push('\n');
    }
    text.push('\n');
    let ages: Vec<Vec<char>> = samples.iter().map(|sample| age(now - sample.time).chars().collect()).collect();
    for row in 0..ages.iter().map(Vec::len).max().unwrap_or(0) {
        text.extend(ages.iter().map(|age| age.get(row).copied().unwrap_or(' ')));
        text.push('\n');
    }
    text
}

/// A duration in its largest unit.
fn age(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

/// `LATENCY DOCTOR`
pub fn latency_doctor(call: &mut Call) -> CommandResult {
    let threshold = call.state.settings.int(Directive::LatencyMonitorThreshold);
    let events = call.state.latency.all();
    let mut text = String::new();
    if threshold == 0 {
        text.push_str(
            "Nothing is being recorded: latency-monitor-threshold is 0. CONFIG SET latency-monitor-threshold \
             <milliseconds> makes the server note every event that takes at least so long.\n",
        );
    } else if events.values().all(|event| event.samples.is_empty()) {
        text.push_str(&format!("No event has taken {threshold} ms or more.\n"));
    }
    for (name, event) in events.iter().filter(|(_, event)| !event.samples.is_empty()) {
        let count = event.samples.len() as f64;
        let mean = event.samples.iter().map(|sample| f64::from(sample.milliseconds)).sum::<f64>() / count;
        text.push_str(&format!(
            "{name}: {count} spikes, {mean:.0} ms on average, {} ms at worst. {}\n",
            event.worst,
            advice(name)
        ));
    }
    call.reply.verbatim(*b"txt", text.as_bytes())
}

/// What can be done about an event.
fn advice(event: &str) -> &'static str {
    match event {
        "command" => "SLOWLOG GET shows which commands they were; ask for less at once (SCAN, ranges, UNLINK).",
        "fast-command" => {
            "Commands that do little took long: look for a busy machine, swapping, or pauses of a virtual CPU."
        }
        "eviction-cycle" => "Keys are evicted faster than memory is freed: raise maxmemory or write less.",
        _ => "Compare with the load of the machine at these times (LATENCY HISTORY).",
    }
}

/// `LATENCY HISTOGRAM [command …]`
pub fn latency_histogram(call: &mut Call) -> CommandResult {
    let commands: Vec<&CommandSpec> =
        if call.args.len() == 2 { spec::all().collect() } else { call.args.from(2).iter().flat_map(named).collect() };
    let at = call.reply.deferred_array();
    let mut count = 0;
    for command in commands {
        let figures = call.state.stats.command(command.id);
        let steps = steps(&figures.latency);
        // The last step counts all calls that were tracked.
        let Some((_, calls)) = steps.last().copied() else { continue };
        count += 1;
        call.reply.bulk(command.name.as_bytes())?;
        call.reply.map(2)?;
        call.reply.bulk(b"calls")?;
        call.reply.integer(calls as i64)?;
        call.reply.bulk(b"histogram_usec")?;
        call.reply.map(steps.len())?;
        for (microseconds, calls) in steps {
            call.reply.integer(microseconds as i64)?;
            call.reply.integer(calls as i64)?;
        }
    }
    call.reply.finish_map(at, count)
}

/// The command of a name, and its subcommands if it has any.
fn named(name: &[u8]) -> impl Iterator<Item = &'static CommandSpec> + use<> {
    let found = spec::all().find(|command| command.name.as_bytes().eq_ignore_ascii_case(name));
    found.into_iter().flat_map(|command| std::iter::once(command).chain(command.subcommands))
}

/// The steps of a histogram in which there are calls: the upper end in microseconds, and the calls up to it.
fn steps(counts: &[u64]) -> Vec<(u64, u64)> {
    let mut steps: Vec<(u64, u64)> = Vec::new();
    let mut calls = 0;
    for (bucket, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let nanoseconds = (bucket_microseconds(bucket) * 1000.0) as u64;
        let power = nanoseconds.next_power_of_two().ilog2().max(HISTOGRAM_POWER_MIN);
        // Redis counts in 128 steps from one power of two to the next, and names the end of the first of them.
        let upper = ((1 << power) + (1 << (power - 7)) - 1) / 1000;
        calls += count;
        match steps.last_mut() {
            Some(last) if last.0 == upper => last.1 = calls,
            _ => steps.push((upper, calls)),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_double_from_step_to_step() {
        let mut counts = vec![0; 200];
        // Up to 1.024, 2.048, 32.768 and 33 to 37 microseconds.
        for (bucket, count) in [(15, 5), (23, 1), (55, 1), (56, 2)] {
            counts[bucket] = count;
        }
        assert_eq!(steps(&counts), [(1, 5), (2, 6), (33, 7), (66, 9)]);
        assert!(steps(&[]).is_empty());
    }

    #[test]
    fn a_graph_has_a_bar_for_each_sample() {
        let samples = [(90, 10), (95, 30), (100, 50)].map(|(time, milliseconds)| Sample { time, milliseconds });
        let event = EventSamples { samples: samples.into(), worst: 70 };
        let text = graph("command", &event, 100);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("command - high 50 ms, low 10 ms (all time high 70 ms)"));
        assert_eq!(lines.skip(1).collect::<Vec<_>>(), ["  #", "  #", " ##", "_##", "", "150", "0ss", "s  "]);
    }
}
