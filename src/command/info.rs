//! `INFO`: the state of the server, section by section.

mod memory;
mod replication;

pub(super) use memory::memory_use;

use super::call::Call;
use super::keys::Keys;
use crate::client::ClientFlags;
use crate::config::{BUILD_ID, Directive};
use crate::loading::Progress;
use crate::resp::CommandResult;
use crate::spec;
use crate::state::State;
use crate::state::{Holder, PauseKind, unix_time_ms, unix_time_us};
use crate::stats::{Figure, bucket_at, bucket_microseconds};
use crate::store::Shard;
use crate::{append_file, eviction, process};
use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Room that is reserved for the text.
const TEXT_BYTES: usize = 8 * 1024;

/// Writes the fields of a section.
type Writer = fn(&mut Source<'_>, &mut Text);

/// A section: its title, whether `INFO` without arguments has it, and its fields.
struct Section {
    title: &'static str,
    is_default: bool,
    write: Writer,
}

const SECTIONS: [Section; 14] = [
    Section { title: "Server", is_default: true, write: server },
    Section { title: "Clients", is_default: true, write: clients },
    Section { title: "Memory", is_default: true, write: memory::write },
    Section { title: "Persistence", is_default: true, write: persistence },
    Section { title: "Threads", is_default: true, write: threads },
    Section { title: "Stats", is_default: true, write: stats },
    Section { title: "Replication", is_default: true, write: replication::write },
    Section { title: "CPU", is_default: true, write: cpu },
    Section { title: "Modules", is_default: true, write: |_, _| {} },
    Section { title: "Commandstats", is_default: false, write: command_stats },
    Section { title: "Errorstats", is_default: true, write: error_stats },
    Section { title: "Latencystats", is_default: false, write: latency_stats },
    Section { title: "Cluster", is_default: true, write: |_, text| text.field("cluster_enabled", 0) },
    Section { title: "Keyspace", is_default: true, write: keyspace },
];

/// The text as it grows.
struct Text {
    bytes: String,
    /// Bytes that were in use before the text was written.
    used: usize,
}

impl Text {
    fn field(&mut self, name: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.bytes, "{name}:{value}\r\n");
    }

    fn fields(&mut self, fields: &[(&str, u64)]) {
        for (name, value) in fields {
            self.field(name, value);
        }
    }

    /// A size in bytes, and the same for people.
    fn size(&mut self, name: &str, bytes: usize) {
        self.field(name, bytes);
        self.field(&format!("{name}_human"), human(bytes));
    }
}

/// The shards, one after the other, each held for as long as it is looked at.
pub trait Shards {
    fn visit(&mut self, look: &mut dyn FnMut(&mut Shard));

    /// Changes of the data that are not counted in the statistics yet.
    fn changes(&self) -> u64;
}

impl Shards for Keys<'_> {
    fn visit(&mut self, look: &mut dyn FnMut(&mut Shard)) {
        self.visit_shards(look);
    }

    fn changes(&self) -> u64 {
        Keys::changes(self)
    }
}

/// What the sections tell of.
pub struct Source<'s> {
    pub state: &'s State,
    pub shards: &'s mut dyn Shards,
}

impl<'s> Source<'s> {
    pub(super) fn of(call: &'s mut Call<'_, '_>) -> Self {
        Source { state: call.state, shards: call.keys }
    }
}

/// `INFO [section …]`
pub fn info(call: &mut Call) -> CommandResult {
    let wanted = SECTIONS.map(|section| wants(call, &section));
    let mut wanted = wanted.iter();
    let text = write(&mut Source::of(call), |_| wanted.next().is_some_and(|is_wanted| *is_wanted));
    call.reply.verbatim(*b"txt", text.as_bytes())
}

/// The text of the sections whose titles are `wanted`; each is asked for once, in their order.
pub fn write(source: &mut Source<'_>, mut wanted: impl FnMut(&str) -> bool) -> String {
    let used = eviction::used_memory(source.state);
    let mut text = Text { bytes: String::with_capacity(TEXT_BYTES), used };
    for section in SECTIONS.iter().filter(|section| wanted(section.title)) {
        if !text.bytes.is_empty() {
            text.bytes.push_str("\r\n");
        }
        let _ = write!(text.bytes, "# {}\r\n", section.title);
        (section.write)(source, &mut text);
    }
    text.bytes
}

fn wants(call: &Call, section: &Section) -> bool {
    if call.args.len() == 1 {
        return section.is_default;
    }
    (1..call.args.len()).any(|index| {
        call.is_word(index, section.title)
            || call.is_word(index, "all")
            || call.is_word(index, "everything")
            || (section.is_default && call.is_word(index, "default"))
    })
}

/// A size with a unit, as Redis abbreviates it.
pub(super) fn human(bytes: usize) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let power = (bytes.ilog2() / 10).min(UNITS.len() as u32);
    format!("{:.2}{}", bytes as f64 / 1024f64.powi(power as i32), UNITS[power as usize - 1])
}

/// `part` of `whole` as a quotient, 0 if there is no whole.
pub(super) fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn server(source: &mut Source<'_>, text: &mut Text) {
    let state = source.state;
    let now_us = unix_time_us();
    let uptime_s = (now_us / 1000 - state.started_ms).max(0) / 1000;
    let port = state.settings.int(Directive::Port);
    text.field("redis_version", crate::REDIS_VERSION);
    text.field("server_name", "radish");
    text.field("radish_version", crate::VERSION);
    text.field("redis_git_sha1", "00000000");
    text.field("redis_git_dirty", 0);
    text.field("redis_build_id", format_args!("{BUILD_ID:x}"));
    text.field("redis_mode", "standalone");
    text.field("os", process::kernel());
    text.field("arch_bits", usize::BITS);
    text.field("monotonic_clock", "quanta");
    text.field("multiplexing_api", "epoll");
    text.field("atomicvar_api", "rust-builtin");
    text.field("gcc_version", "0.0.0");
    text.field("process_id", std::process::id());
    text.field("process_supervised", "no");
    text.field("run_id", &state.run_id);
    text.field("tcp_port", port);
    text.field("server_time_usec", now_us);
    text.field("uptime_in_seconds", uptime_s);
    text.field("uptime_in_days", uptime_s / 86400);
    text.field("hz", state.settings.int(Directive::Hz));
    text.field("configured_hz", state.settings.int(Directive::Hz));
    text.field("lru_clock", (now_us / 1_000_000) & 0xff_ffff);
    text.field("executable", std::env::current_exe().map_or(String::new(), |path| path.display().to_string()));
    text.field("config_file", state.settings.config_file().map_or(String::new(), |path| path.display().to_string()));
    text.field("io_threads_active", u8::from(state.threads > 1));
    text.field("availability_zone", String::from_utf8_lossy(&state.settings.string(Directive::AvailabilityZone)));
    if let Some(left_ms) = state.shutdown.left_ms() {
        text.field("shutdown_in_milliseconds", left_ms);
    }
    let mut listeners = 0;
    for (name, addresses, port) in [
        ("tcp", Directive::Bind, Directive::Port),
        ("tls", Directive::Bind, Directive::TlsPort),
        ("http", Directive::HttpBind, Directive::HttpPort),
    ] {
        let port = state.settings.int(port);
        if port != 0 {
            let bind =
                state.settings.words(addresses).iter().map(|address| format!(",bind={address}")).collect::<String>();
            text.field(&format!("listener{listeners}"), format!("name={name}{bind},port={port}"));
            listeners += 1;
        }
    }
    let path = state.settings.string(Directive::Unixsocket);
    if !path.is_empty() {
        text.field(&format!("listener{listeners}"), format!("name=unix,bind={}", String::from_utf8_lossy(&path)));
    }
}

fn clients(source: &mut Source<'_>, text: &mut Text) {
    let state = source.state;
    let (mut input, mut output, mut pubsub, mut watching, mut tracking) = (0, 0, 0, 0, 0);
    for client in state.clients.all() {
        input = input.max(client.query_bytes.load(Ordering::Relaxed));
        output = output.max(client.output_memory());
        pubsub += usize::from(client.has(ClientFlags::PUBSUB));
        tracking += usize::from(client.has(ClientFlags::TRACKING));
        watching += usize::from(client.watched_keys() > 0);
    }
    let databases = state.keyspace.databases();
    let (mut watched_keys, mut blocking_keys, mut needed_keys) = (0, 0, 0);
    source.shards.visit(&mut |shard| {
        watched_keys += (0..databases).map(|database| shard.watched.keys(database).count()).sum::<usize>();
        blocking_keys += shard.waiters.key_count();
        needed_keys += shard.waiters.needed_key_count();
    });
    text.field("connected_clients", state.clients.len().saturating_sub(state.replication.replica_count()));
    text.field("cluster_connections", 0);
    text.field("maxclients", state.settings.int(Directive::Maxclients));
    text.field("client_recent_max_input_buffer", input);
    text.field("client_recent_max_output_buffer", output);
    text.field("blocked_clients", state.blocked_clients.load(Ordering::Relaxed));
    text.field("tracking_clients", tracking);
    text.field("pubsub_clients", pubsub);
    text.field("watching_clients", watching);
    // Each connection has a timer of its own.
    text.field("clients_in_timeout_table", 0);
    text.field("total_watched_keys", watched_keys);
    text.field("total_blocking_keys", blocking_keys);
    text.field("total_blocking_keys_on_nokey", needed_keys);
    let (kind, until_ms) = state.pause.kind_and_end_ms();
    let holders = [(Holder::Failover, "failover_in_progress"), (Holder::Shutdown, "shutdown_in_progress")];
    let holder = holders.into_iter().find(|(holder, _)| until_ms == i64::MAX && state.pause.is_held_by(*holder));
    let (reason, actions) = match kind {
        PauseKind::None => ("none", "none"),
        PauseKind::Writes => (holder.map_or("client_pause", |(_, name)| name), "write"),
        PauseKind::All => ("client_pause", "all"),
    };
    let left_ms = (until_ms - unix_time_ms()).max(0);
    text.field("paused_reason", reason);
    text.field("paused_actions", actions);
    text.field("paused_timeout_milliseconds", left_ms);
}

fn persistence(source: &mut Source<'_>, text: &mut Text) {
    let state = source.state;
    let saving = &state.saving;
    let background = saving.background.figures();
    text.fields(&[
        ("loading", state.loading.is_on().into()),
        ("async_loading", state.loading.is_aside().into()),
        ("current_cow_peak", background.kept_bytes),
        ("current_cow_size", background.kept_bytes),
        ("current_cow_size_age", 0),
    ]);
    let percent = 100.0 * ratio(background.keys_done as usize, background.keys as usize);
    text.field("current_fork_perc", format_args!("{percent:.2}"));
    text.fields(&[
        ("current_save_keys_processed", background.keys_done),
        ("current_save_keys_total", background.keys),
        ("rdb_changes_since_last_save", saving.unsaved(state.stats.get(Figure::Changes) + source.shards.changes())),
        (
            "rdb_bgsave_in_progress",
            (background.is_running || state.replication.is_copying.load(Ordering::Relaxed)).into(),
        ),
    ]);
    text.field("rdb_last_save_time", saving.last_save_s());
    text.field("rdb_last_bgsave_status", if background.has_failed { "err" } else { "ok" });
    text.field("rdb_last_bgsave_time_sec", background.last_seconds);
    text.field("rdb_current_bgsave_time_sec", background.current_seconds);
    text.fields(&[
        ("rdb_saves", saving.saves()),
        ("rdb_last_cow_size", background.last_kept_bytes),
        ("rdb_last_load_keys_expired", state.loading.keys_expired()),
        ("rdb_last_load_keys_loaded", state.loading.keys_loaded()),
        ("aof_enabled", u64::from(state.settings.flag(Directive::Appendonly))),
    ]);
    append_file(state, text);
    text.fields(&[
        ("aof_last_cow_size", 0),
        ("module_fork_in_progress", 0),
        ("module_fork_last_cow_size", 0),
        ("slot_migration_fork_in_progress", 0),
    ]);
    if state.append_file.is_on() {
        append_file_sizes(state, text);
    }
    if let Some(progress) = state.loading.progress() {
        loading(&progress, text);
    }
}

fn loading(progress: &Progress, text: &mut Text) {
    let Progress { started_s, total_bytes, loaded_bytes, file_memory } = *progress;
    let elapsed_s = (unix_time_ms() / 1000 - started_s).max(0) as u64;
    let left = total_bytes.saturating_sub(loaded_bytes).max(1);
    let eta_s = if loaded_bytes == 0 { 1 } else { u128::from(elapsed_s) * u128::from(left) / u128::from(loaded_bytes) };
    text.field("loading_start_time", started_s);
    text.fields(&[
        ("loading_total_bytes", total_bytes),
        ("loading_rdb_used_mem", file_memory),
        ("loading_loaded_bytes", loaded_bytes),
    ]);
    let percent = 100.0 * ratio(loaded_bytes as usize, total_bytes as usize);
    text.field("loading_loaded_perc", format_args!("{percent:.2}"));
    text.field("loading_eta_seconds", eta_s);
}

fn threads(source: &mut Source<'_>, text: &mut Text) {
    for thread in 0..source.state.threads {
        let [reads, writes] = [Figure::ReadsProcessed, Figure::WritesProcessed]
            .map(|figure| source.state.stats.get_of_thread(thread, figure));
        text.field(&format!("io_thread_{thread}"), format_args!("reads={reads},writes={writes}"));
    }
}

fn stats(source: &mut Source<'_>, text: &mut Text) {
    let state = source.state;
    let get = |figure| state.stats.get(figure);
    let rates = state.stats.rates();
    let background = state.saving.background.figures();
    let kilobytes = |bytes: f64| format!("{:.2}", bytes / 1024.0);
    text.fields(&[
        ("total_connections_received", get(Figure::ConnectionsReceived)),
        ("total_commands_processed", get(Figure::Commands)),
        ("instantaneous_ops_per_sec", rates.commands as u64),
        ("total_net_input_bytes", get(Figure::NetInputBytes)),
        ("total_net_output_bytes", get(Figure::NetOutputBytes)),
        ("total_net_repl_input_bytes", get(Figure::NetReplInputBytes)),
        ("total_net_repl_output_bytes", get(Figure::NetReplOutputBytes)),
    ]);
    text.field("instantaneous_input_kbps", kilobytes(rates.input_bytes));
    text.field("instantaneous_output_kbps", kilobytes(rates.output_bytes));
    text.field("instantaneous_input_repl_kbps", "0.00");
    text.field("instantaneous_output_repl_kbps", "0.00");
    text.fields(&[
        ("rejected_connections", get(Figure::ConnectionsRejected)),
        ("sync_full", state.replication.full_syncs.load(Ordering::Relaxed)),
        ("sync_partial_ok", state.replication.partial_syncs.load(Ordering::Relaxed)),
        ("sync_partial_err", state.replication.partial_refusals.load(Ordering::Relaxed)),
        ("expired_subkeys", get(Figure::ExpiredFields)),
        ("expired_keys", get(Figure::ExpiredKeys)),
    ]);
    let tracking = state.tracking.figures();
    text.field("expired_stale_perc", "0.00");
    text.fields(&[
        ("expired_time_cap_reached_count", 0),
        ("expire_cycle_cpu_milliseconds", 0),
        ("evicted_keys", get(Figure::EvictedKeys)),
        ("evicted_clients", get(Figure::EvictedClients)),
        ("evicted_scripts", state.scripts.figures().evicted),
        ("total_eviction_exceeded_time", 0),
        ("current_eviction_exceeded_time", 0),
        ("keyspace_hits", get(Figure::KeyspaceHits)),
        ("keyspace_misses", get(Figure::KeyspaceMisses)),
        ("pubsub_channels", state.pubsub.channel_count() as u64),
        ("pubsub_patterns", state.pubsub.pattern_count() as u64),
        ("pubsubshard_channels", state.pubsub.shard_channel_count() as u64),
        ("latest_fork_usec", background.moment_us),
        ("total_forks", background.begun + state.saving.copies.load(Ordering::Relaxed)),
        ("migrate_cached_sockets", state.migrations.links.len() as u64),
        ("slave_expires_tracked_keys", state.replication.own_keys.lock().len() as u64),
        ("active_defrag_hits", 0),
        ("active_defrag_misses", 0),
        ("active_defrag_key_hits", 0),
        ("active_defrag_key_misses", 0),
        ("total_active_defrag_time", 0),
        ("current_active_defrag_time", 0),
        ("tracking_total_keys", tracking.keys as u64),
        ("tracking_total_items", tracking.items as u64),
        ("tracking_total_prefixes", tracking.prefixes as u64),
        ("unexpected_error_replies", get(Figure::UnexpectedErrorReplies)),
        ("total_error_replies", get(Figure::ErrorReplies)),
        ("dump_payload_sanitizations", 0),
        ("total_reads_processed", get(Figure::ReadsProcessed)),
        ("total_writes_processed", get(Figure::WritesProcessed)),
        ("io_threaded_reads_processed", get(Figure::ReadsProcessed)),
        ("io_threaded_writes_processed", get(Figure::WritesProcessed)),
        ("io_threaded_total_prefetch_batches", 0),
        ("io_threaded_total_prefetch_entries", 0),
        ("client_query_buffer_limit_disconnections", get(Figure::QueryBufferLimitDisconnections)),
        ("client_output_buffer_limit_disconnections", get(Figure::OutputBufferLimitDisconnections)),
        ("reply_buffer_shrinks", 0),
        ("reply_buffer_expands", 0),
        ("eventloop_cycles", 0),
        ("eventloop_duration_sum", 0),
        ("eventloop_duration_cmd_sum", 0),
        ("instantaneous_eventloop_cycles_per_sec", 0),
        ("instantaneous_eventloop_duration_usec", 0),
        ("acl_access_denied_auth", get(Figure::AuthFailures)),
        ("acl_access_denied_cmd", get(Figure::CommandDenials)),
        ("acl_access_denied_key", get(Figure::KeyDenials)),
        ("acl_access_denied_channel", get(Figure::ChannelDenials)),
    ]);
}

/// How writing and rewriting the append-only file goes.
fn append_file(state: &State, text: &mut Text) {
    let rewrites = state.append_file.rewrites();
    let is_rewriting = rewrites.begun_ms.is_some();
    text.fields(&[
        ("aof_rewrite_in_progress", is_rewriting.into()),
        ("aof_rewrite_scheduled", (rewrites.is_scheduled && !is_rewriting).into()),
    ]);
    text.field("aof_last_rewrite_time_sec", rewrites.last_s.unwrap_or(-1));
    text.field("aof_current_rewrite_time_sec", append_file::rewrite_seconds(&rewrites).unwrap_or(-1));
    text.field("aof_last_bgrewrite_status", if rewrites.has_failed { "err" } else { "ok" });
    text.fields(&[("aof_rewrites", rewrites.count), ("aof_rewrites_consecutive_failures", rewrites.failures)]);
    text.field("aof_last_write_status", if state.append_file.error().is_some() { "err" } else { "ok" });
}

fn append_file_sizes(state: &State, text: &mut Text) {
    let file = &state.append_file;
    text.fields(&[
        ("aof_current_size", file.size()),
        ("aof_base_size", file.base_size()),
        ("aof_pending_rewrite", 0),
        ("aof_buffer_length", file.behind(state)),
        ("aof_pending_bio_fsync", 0),
        ("aof_delayed_fsync", file.delayed_syncs.load(Ordering::Relaxed)),
    ]);
}

fn cpu(_: &mut Source<'_>, text: &mut Text) {
    let all = process::cpu_time();
    let children = process::children_cpu_time();
    let main_thread = process::main_thread_cpu_time();
    let mut field = |name: &str, time: Duration| text.field(name, format_args!("{:.6}", time.as_secs_f64()));
    field("used_cpu_sys", all.system);
    field("used_cpu_user", all.user);
    field("used_cpu_sys_children", children.system);
    field("used_cpu_user_children", children.user);
    field("used_cpu_sys_main_thread", main_thread.system);
    field("used_cpu_user_main_thread", main_thread.user);
}

fn command_stats(source: &mut Source<'_>, text: &mut Text) {
    for command in spec::all() {
        let figures = source.state.stats.command(command.id);
        let (calls, usec) = (figures.calls, figures.microseconds);
        let (rejected, failed) = (figures.rejected, figures.failed);
        if calls == 0 && rejected == 0 && failed == 0 {
            continue;
        }
        text.field(
            &format!("cmdstat_{}", command.name),
            format_args!(
                "calls={calls},usec={usec},usec_per_call={:.2},rejected_calls={rejected},failed_calls={failed}",
                ratio(usec as usize, calls as usize)
            ),
        );
    }
}

fn error_stats(source: &mut Source<'_>, text: &mut Text) {
    for (code, count) in source.state.error_counts.lock().iter() {
        text.field(&format!("errorstat_{}", String::from_utf8_lossy(code)), format_args!("count={count}"));
    }
}

fn latency_stats(source: &mut Source<'_>, text: &mut Text) {
    let percentiles = source.state.settings.percentiles();
    for command in spec::all() {
        let figures = source.state.stats.command(command.id);
        if figures.latency.iter().all(|count| *count == 0) {
            continue;
        }
        let values: Vec<String> = percentiles
            .iter()
            .map(|percentile| {
                let bucket = bucket_at(&figures.latency, *percentile);
                format!("p{percentile}={:.3}", bucket_microseconds(bucket))
            })
            .collect();
        text.field(&format!("latency_percentiles_usec_{}", command.name), values.join(","));
    }
}

/// What is in one database.
#[derive(Clone, Copy, Debug, Default)]
struct DatabaseFigures {
    keys: usize,
    deadlines: usize,
    deadline_sum: i128,
    /// Hashes that have fields with deadlines.
    volatile_hashes: usize,
}

fn keyspace(source: &mut Source<'_>, text: &mut Text) {
    let mut databases = vec![DatabaseFigures::default(); source.state.keyspace.databases()];
    source.shards.visit(&mut |shard| {
        for ((figures, tree), due_fields) in databases.iter_mut().zip(&shard.databases).zip(&shard.due_fields) {
            figures.volatile_hashes += due_fields.len();
            figures.keys += tree.len();
            figures.deadlines += tree.deadlines();
            figures.deadline_sum += tree.deadline_sum();
        }
    });
    let now_ms = i128::from(unix_time_ms());
    for (number, figures) in databases.iter().enumerate().filter(|(_, figures)| figures.keys > 0) {
        let average_ttl =
            if figures.deadlines == 0 { 0 } else { figures.deadline_sum / figures.deadlines as i128 - now_ms };
        text.field(
            &format!("db{number}"),
            format_args!(
                "keys={},expires={},avg_ttl={},subexpiry={}",
                figures.keys,
                figures.deadlines,
                average_ttl.max(0),
                figures.volatile_hashes
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_abbreviated() {
        let cases = [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (693_928, "677.66K"), (25_276_510_208, "23.54G")];
        for (bytes, text) in cases {
            assert_eq!(human(bytes), text);
        }
    }
}
