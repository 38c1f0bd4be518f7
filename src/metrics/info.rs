//! The fields of `INFO` as metrics, as the table of [`fields`](super::fields) has it.

use super::exposition::{Exposition, Family, Kind, Label, Unit, label, printable};
use super::fields::{FIELDS, Field, INSTANCE, Reading, SERVER, STATES};
use std::borrow::Cow;
use std::collections::HashMap;

/// The fields of a text of `INFO`, by name.
pub struct Fields<'t>(HashMap<&'t str, &'t str>);

impl<'t> Fields<'t> {
    pub fn parse(text: &'t str) -> Self {
        let fields = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
        Fields(fields.collect())
    }

    pub fn get(&self, name: &str) -> Option<&'t str> {
        self.0.get(name).copied()
    }

    /// The fields whose names are `prefix` and a number, in the order of these.
    pub fn numbered(&self, prefix: &str) -> impl Iterator<Item = (u32, &'t str)> {
        let number = |name: &str| name.strip_prefix(prefix).and_then(|number| number.parse().ok());
        let mut found: Vec<_> = self.0.iter().filter_map(|(name, value)| Some((number(name)?, *value))).collect();
        found.sort_unstable();
        found.into_iter()
    }

    /// Labels of the same names, those that are there.
    fn labels(&self, names: &[&'static str]) -> Vec<Label<'t>> {
        names.iter().filter_map(|name| Some((*name, printable(self.get(name)?.as_bytes())))).collect()
    }
}

/// Writes all fields that are metrics.
pub fn write(fields: &Fields<'_>, out: &mut Exposition) {
    let primary = primary(fields);
    for field in FIELDS {
        if let Some(value) = fields.get(field.name).and_then(|text| read(field, text)) {
            out.begin(&field.family);
            out.sample(&field.family, "", if field.is_of_primary { &primary } else { &[] }, value);
        }
    }
    write_labels(fields, &primary, out);
    write_listeners(fields, out);
    write_threads(fields, out);
}

/// Where the primary is, if there is one.
fn primary<'t>(fields: &Fields<'t>) -> Vec<Label<'t>> {
    fields.labels(&["master_host", "master_port"])
}

/// The number that a field's text is; `None` if it is none.
fn read<'t>(field: &Field, text: &'t str) -> Option<Cow<'t, str>> {
    Some(match field.reading {
        Reading::AsItIs => {
            text.parse::<f64>().ok()?;
            Cow::Borrowed(text)
        }
        Reading::Times(factor) => {
            let number: f64 = text.trim_end_matches('%').parse().ok()?;
            Cow::Owned((number * factor).to_string())
        }
        Reading::Is(wanted) => Cow::Borrowed(if text == wanted { "1" } else { "0" }),
    })
}

/// Writes what is not a number: labels of metrics that are 1.
fn write_labels(fields: &Fields<'_>, primary: &[Label<'_>], out: &mut Exposition) {
    let info = |name, help| Family::new(name, Kind::Info, Unit::None, help);
    let mut row = |family: Family, labels: Vec<Label<'_>>| out.rows(&family, [(labels, 1)]);
    row(info("redis_instance_info", "The server, and its place in a replication"), fields.labels(&INSTANCE));
    row(info("radish_server_info", "The server's version, its build and its files"), fields.labels(&SERVER));
    for (name, help, names) in STATES {
        row(info(name, help), fields.labels(names));
    }
    if let Some(read_only) = fields.get("slave_read_only") {
        let labels = [primary, &[label("read_only", read_only)]].concat();
        row(info("redis_slave_info", "The primary that is followed"), labels);
    }
}

fn write_listeners(fields: &Fields<'_>, out: &mut Exposition) {
    const FAMILY: Family = Family::new("radish_listener_info", Kind::Info, Unit::None, "Where clients can connect");
    let rows = fields.numbered("listener").map(|(_, listener)| {
        let values = |wanted: &str| {
            let pairs = listener.split(',').filter_map(|pair| pair.split_once('='));
            let values: Vec<_> = pairs.filter(|(name, _)| *name == wanted).map(|(_, value)| value).collect();
            values.join(" ")
        };
        (["name", "bind", "port"].map(|name| (name, Cow::Owned(values(name)))), 1)
    });
    out.rows(&FAMILY, rows);
}

fn write_threads(fields: &Fields<'_>, out: &mut Exposition) {
    const THREADS: Family = Family::gauge("radish_threads", "Threads that serve clients");
    const READS: Family = Family::counter("radish_thread_reads_total", "Times that a thread has read from a socket");
    const WRITES: Family = Family::counter("radish_thread_writes_total", "Times that a thread has written to a socket");
    let threads: Vec<_> = fields.numbered("io_thread_").collect();
    out.one(&THREADS, threads.len());
    for (family, wanted) in [(&READS, "reads="), (&WRITES, "writes=")] {
        let rows = threads.iter().filter_map(|(number, figures)| {
            let value = figures.split(',').find_map(|figure| figure.strip_prefix(wanted))?;
            Some(([("thread", Cow::Owned(number.to_string()))], value))
        });
        out.rows(family, rows);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Unheld;
    use super::super::exposition::Format;
    use super::super::fields::APART;
    use super::*;
    use crate::command::{self, info::Source};
    use crate::config::Settings;
    use crate::glob;
    use crate::spec::Table;
    use crate::state::State;
    use std::collections::HashSet;

    fn written(text: &str) -> String {
        let mut out = Exposition::new(Format::Text, 0);
        write(&Fields::parse(text), &mut out);
        out.finish()
    }

    #[test]
    fn what_fields_become() {
        let text = "# Server\r\nlru_clock:5\r\nrole:slave\r\nos:Linux \"x\"\r\nmaster_host:h\r\nmaster_port:1\r\n\
                    master_link_status:down\r\nslave_read_only:1\r\nused_memory_peak_perc:12.50%\r\n\
                    rdb_last_bgsave_status:ok\r\nlatest_fork_usec:3\r\nhz:nonsense\r\n\
                    io_thread_10:reads=1,writes=2\r\nio_thread_9:reads=3,writes=4\r\n\
                    listener0:name=tcp,bind=*,bind=-::*,port=6379\r\n";
        let written = written(text);
        for line in [
            "radish_lru_clock_seconds 5",
            "redis_instance_info{role=\"slave\",os=\"Linux \\\"x\\\"\"} 1",
            "redis_master_link_up{master_host=\"h\",master_port=\"1\"} 0",
            "redis_slave_info{master_host=\"h\",master_port=\"1\",read_only=\"1\"} 1",
            "radish_memory_used_peak_ratio 0.125",
            "redis_rdb_last_bgsave_status 1",
            "redis_latest_fork_seconds 0.000003",
            "radish_threads 2",
            "radish_thread_writes_total{thread=\"9\"} 4\nradish_thread_writes_total{thread=\"10\"} 2",
            "radish_listener_info{name=\"tcp\",bind=\"* -::*\",port=\"6379\"} 1",
        ] {
            assert!(written.contains(&format!("{line}\n")), "{line} is not in\n{written}");
        }
        assert!(!written.contains("redis_hz") && !written.contains("nonsense"), "{written}");
    }

    #[test]
    fn names_and_kinds_agree() {
        let mut names = HashSet::new();
        for Field { family, .. } in FIELDS {
            let is_total = family.name.ends_with("_total");
            // Gauges that redis_exporter calls so.
            let is_known = ["redis_migrate_cached_sockets_total", "redis_memory_used_vm_total"].contains(&family.name);
            assert!(is_known || is_total == (family.kind == Kind::Counter), "{}", family.name);
            assert!(names.insert(family.name), "{} is there twice", family.name);
            assert!(family.name.starts_with("redis_") || family.name.starts_with("radish_"), "{}", family.name);
            assert!(!family.help.ends_with('.') && family.help.starts_with(char::is_uppercase), "{}", family.help);
        }
    }

    /// Whether a field of `INFO` is a metric, or is listed with the reason why it is none.
    fn is_told(name: &str) -> bool {
        let mut labels = INSTANCE.iter().chain(&SERVER).chain(STATES.iter().flat_map(|(_, _, names)| *names));
        FIELDS.iter().any(|field| field.name == name)
            || labels.any(|label| *label == name)
            || APART.iter().any(|(pattern, _)| glob::matches(pattern.as_bytes(), name.as_bytes(), false))
    }

    #[test]
    fn no_field_that_a_server_has_is_forgotten() {
        let state =
            State::new(Settings::new(), Table::new(&[]).expect("nothing is renamed"), 2).expect("threads start");
        let mut shards = Unheld { state: &state, is_busy: false };
        let text = command::info::write(&mut Source { state: &state, shards: &mut shards }, |_| true);
        let names: Vec<_> = text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
        assert!(names.len() > 180, "{names:?}");
        let forgotten: Vec<_> = names.iter().filter(|name| !is_told(name)).collect();
        assert!(forgotten.is_empty(), "{forgotten:?} are neither in FIELDS nor in APART");
    }

    /// Those as well that are there at times only.
    #[test]
    fn no_field_that_the_code_names_is_forgotten() {
        let sources = [
            include_str!("../command/info.rs"),
            include_str!("../command/info/memory.rs"),
            include_str!("../command/info/replication.rs"),
        ];
        let mut fields = Vec::new();
        for source in sources {
            // Each is the first argument of a call, or of a pair.
            let source = source.split("#[cfg(test)]").next().unwrap_or_default().replace(char::is_whitespace, "");
            for (at, _) in source.match_indices("(\"") {
                let name = source[at + 2..].split('"').next().unwrap_or_default().to_owned();
                let is_name = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
                if is_name && name.len() > 1 {
                    fields.push(name);
                }
            }
        }
        assert!(fields.len() > 190, "{}: fields are no longer found", fields.len());
        // Names of listeners, and of states.
        let no_fields = ["tcp", "tls", "http", "none", "client_pause"];
        let forgotten: Vec<_> =
            fields.iter().filter(|name| !no_fields.contains(&name.as_str()) && !is_told(name)).collect();
        assert!(forgotten.is_empty(), "{forgotten:?} are neither in FIELDS nor in APART");
        let is_there = |name: &str| fields.iter().any(|field| field == name);
        let gone: Vec<_> = FIELDS.iter().map(|field| field.name).filter(|name| !is_there(name)).collect();
        assert!(gone.is_empty(), "INFO has no {gone:?}");
    }
}
