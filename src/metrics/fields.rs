//! Which field of `INFO` is which metric. What redis_exporter (<https://github.com/oliver006/redis_exporter>) has a name for is
//! called so, and has its labels, so that dashboards and alerts made for Redis work unchanged; the others begin with `radish_`.

use super::exposition::{Family, Kind, Unit};

/// How the text of a field becomes a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    AsItIs,
    /// A number, with a percent sign or without, times this.
    Times(f64),
    /// 1 if it is this text, else 0.
    Is(&'static str),
}

/// A field that is a metric.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in `INFO`.
    pub name: &'static str,
    pub family: Family,
    pub reading: Reading,
    /// It is about the link to the primary, and has its address as labels.
    pub is_of_primary: bool,
}

impl Field {
    const fn of_primary(self) -> Self {
        Field { is_of_primary: true, ..self }
    }

    const fn times(self, factor: f64) -> Self {
        Field { reading: Reading::Times(factor), ..self }
    }

    const fn is(self, text: &'static str) -> Self {
        Field { reading: Reading::Is(text), ..self }
    }
}

const fn field(field: &'static str, name: &'static str, kind: Kind, unit: Unit, help: &'static str) -> Field {
    Field { name: field, family: Family::new(name, kind, unit, help), reading: Reading::AsItIs, is_of_primary: false }
}

const fn gauge(name: &'static str, metric: &'static str, help: &'static str) -> Field {
    field(name, metric, Kind::Gauge, Unit::None, help)
}

const fn bytes(name: &'static str, metric: &'static str, help: &'static str) -> Field {
    field(name, metric, Kind::Gauge, Unit::Bytes, help)
}

const fn seconds(name: &'static str, metric: &'static str, help: &'static str) -> Field {
    field(name, metric, Kind::Gauge, Unit::Seconds, help)
}

const fn counter(name: &'static str, metric: &'static str, help: &'static str) -> Field {
    field(name, metric, Kind::Counter, Unit::None, help)
}

const fn byte_counter(name: &'static str, metric: &'static str, help: &'static str) -> Field {
    field(name, metric, Kind::Counter, Unit::Bytes, help)
}

const fn time_counter(name: &'static str, metric: &'static str, unit: Unit, help: &'static str) -> Field {
    field(name, metric, Kind::Counter, unit, help)
}

const fn count(name: &'static str, metric: &'static str, help: &'static str) -> Field {
    field(name, metric, Kind::Count, Unit::None, help)
}

/// Fields that are labels of `redis_instance_info`.
pub const INSTANCE: [&str; 10] = [
    "role",
    "redis_version",
    "redis_build_id",
    "redis_mode",
    "os",
    "maxmemory_policy",
    "tcp_port",
    "run_id",
    "process_id",
    "master_replid",
];

/// Fields that are labels of `radish_server_info`.
pub const SERVER: [&str; 15] = [
    "server_name",
    "radish_version",
    "redis_git_sha1",
    "redis_git_dirty",
    "arch_bits",
    "monotonic_clock",
    "multiplexing_api",
    "atomicvar_api",
    "gcc_version",
    "process_supervised",
    "executable",
    "config_file",
    "availability_zone",
    "mem_allocator",
    "master_replid2",
];

/// Fields that say in which of several states something is: the metric, its help, and the fields that are its labels.
pub const STATES: [(&str, &str, &[&str]); 2] = [
    ("radish_pause_info", "What holds clients back, and which of their commands", &["paused_reason", "paused_actions"]),
    ("radish_failover_info", "How far a planned change of roles is", &["master_failover_state"]),
];

/// Fields that are no metrics of their own; a star stands for the rest of a name. Why, or where else they are told of.
#[cfg(test)]
pub const APART: [(&str, &str); 13] = [
    ("*_human", "the field without this ending, written for people"),
    ("uptime_in_days", "redis_uptime_in_seconds"),
    ("io_threads_active", "radish_threads"),
    ("listener*", "radish_listener_info"),
    ("io_thread_*", "radish_thread_reads_total, radish_thread_writes_total"),
    ("master_host", "labels of what is about the primary"),
    ("master_port", "labels of what is about the primary"),
    ("slave_read_only", "a label of redis_slave_info"),
    ("slave0", "redis_connected_slave_offset_bytes and the other metrics of a replica"),
    ("cmdstat_*", "redis_commands_total and its kin"),
    ("errorstat_*", "redis_errors_total"),
    ("latency_percentiles_usec_*", "redis_latency_percentiles_usec"),
    ("db0", "redis_db_keys and its kin"),
];

/// All fields that are metrics, in the order of `INFO`.
pub const FIELDS: &[Field] = &[
    // Server.
    seconds("server_time_usec", "radish_server_time_seconds", "The server's clock, as Unix time").times(1e-6),
    seconds("uptime_in_seconds", "redis_uptime_in_seconds", "Time since the start of the process"),
    gauge("process_id", "redis_process_id", "Number of the process"),
    gauge("hz", "redis_hz", "The directive hz, which has no effect"),
    gauge("configured_hz", "redis_configured_hz", "The directive hz, which has no effect"),
    seconds("lru_clock", "radish_lru_clock_seconds", "The clock of accesses, which runs round every 194 days"),
    seconds(
        "shutdown_in_milliseconds",
        "radish_shutdown_left_seconds",
        "Time that replicas have before the process ends",
    )
    .times(1e-3),
    // Clients.
    gauge("connected_clients", "redis_connected_clients", "Clients that are connected, replicas aside"),
    gauge("cluster_connections", "radish_cluster_connections", "Connections of a cluster, which there is none of"),
    gauge("maxclients", "redis_max_clients", "Clients that may be connected at a time"),
    gauge("maxclients", "redis_config_maxclients", "The directive maxclients"),
    bytes(
        "client_recent_max_input_buffer",
        "redis_client_recent_max_input_buffer_bytes",
        "The largest request that is not whole yet",
    ),
    bytes(
        "client_recent_max_output_buffer",
        "redis_client_recent_max_output_buffer_bytes",
        "The most that waits to be sent to one client",
    ),
    gauge("blocked_clients", "redis_blocked_clients", "Clients that wait for a key, such as by BLPOP"),
    gauge("tracking_clients", "redis_tracking_clients", "Clients that keep copies (CLIENT TRACKING)"),
    gauge("pubsub_clients", "redis_pubsub_clients", "Clients that have subscribed"),
    gauge("watching_clients", "redis_watching_clients", "Clients that watch keys (WATCH)"),
    gauge("clients_in_timeout_table", "redis_clients_in_timeout_table", "Always 0: each connection has its own timer"),
    gauge("total_watched_keys", "redis_total_watched_keys", "Keys that are watched (WATCH)"),
    gauge("total_blocking_keys", "redis_total_blocking_keys", "Keys that clients wait for"),
    gauge(
        "total_blocking_keys_on_nokey",
        "redis_total_blocking_keys_on_nokey",
        "Keys whose end clients wait for (XREADGROUP)",
    ),
    seconds("paused_timeout_milliseconds", "radish_pause_left_seconds", "Time until CLIENT PAUSE is over").times(1e-3),
    // Memory.
    bytes("used_memory", "redis_memory_used_bytes", "Memory in use, without bytes that are free inside pages"),
    bytes("used_memory_rss", "redis_memory_used_rss_bytes", "Memory of the process that is resident"),
    bytes("used_memory_peak", "redis_memory_used_peak_bytes", "The most memory that was in use"),
    seconds(
        "used_memory_peak_time",
        "radish_memory_used_peak_timestamp_seconds",
        "When most memory was in use, as Unix time",
    ),
    gauge("used_memory_peak_perc", "radish_memory_used_peak_ratio", "Memory in use as a part of its peak").times(0.01),
    bytes("used_memory_overhead", "redis_memory_used_overhead_bytes", "Memory for all but keys and values"),
    bytes("used_memory_startup", "redis_memory_used_startup_bytes", "Memory in use when clients could first connect"),
    bytes("used_memory_dataset", "redis_memory_used_dataset_bytes", "Memory for keys and values"),
    gauge(
        "used_memory_dataset_perc",
        "radish_memory_used_dataset_ratio",
        "Keys and values as a part of what came since the start",
    )
    .times(0.01),
    bytes("allocator_allocated", "redis_allocator_allocated_bytes", "Memory that the allocator has handed out"),
    bytes("allocator_active", "redis_allocator_active_bytes", "Pages of memory of which something is handed out"),
    bytes("allocator_resident", "redis_allocator_resident_bytes", "Pages of memory that the allocator has"),
    bytes("allocator_muzzy", "redis_allocator_muzzy_bytes", "Pages that the system may take away; always 0"),
    bytes("total_system_memory", "redis_total_system_memory_bytes", "Memory of the machine"),
    bytes("used_memory_lua", "redis_memory_used_lua_bytes", "Memory of the interpreters of scripts"),
    bytes("used_memory_vm_eval", "redis_memory_used_vm_eval_bytes", "Memory of the interpreters of scripts"),
    bytes("used_memory_scripts_eval", "redis_memory_used_scripts_eval_bytes", "Memory of the texts of scripts"),
    gauge("number_of_cached_scripts", "redis_number_of_cached_scripts", "Scripts that are kept"),
    gauge("number_of_functions", "redis_number_of_functions", "Functions of all libraries"),
    gauge("number_of_libraries", "redis_number_of_libraries", "Libraries of functions"),
    bytes(
        "used_memory_vm_functions",
        "redis_memory_used_vm_functions_bytes",
        "Memory of the interpreters of functions",
    ),
    bytes("used_memory_vm_total", "redis_memory_used_vm_total", "Memory of all interpreters"),
    bytes("used_memory_functions", "redis_memory_used_functions_bytes", "Memory of the texts of functions"),
    bytes("used_memory_scripts", "redis_memory_used_scripts_bytes", "Memory of the texts of scripts and functions"),
    bytes("maxmemory", "redis_memory_max_bytes", "The directive maxmemory; 0 if there is no limit"),
    bytes("maxmemory", "redis_config_maxmemory", "The directive maxmemory; 0 if there is no limit"),
    gauge("allocator_frag_ratio", "redis_allocator_frag_ratio", "Active pages against what is handed out"),
    bytes("allocator_frag_bytes", "redis_allocator_frag_bytes", "What of active pages is not handed out"),
    gauge("allocator_rss_ratio", "redis_allocator_rss_ratio", "All pages of the allocator against active ones"),
    bytes("allocator_rss_bytes", "redis_allocator_rss_bytes", "Pages of the allocator that are not active"),
    gauge("rss_overhead_ratio", "redis_rss_overhead_ratio", "Resident memory against the allocator's"),
    bytes("rss_overhead_bytes", "redis_rss_overhead_bytes", "Resident memory beyond the allocator's"),
    gauge("mem_fragmentation_ratio", "redis_mem_fragmentation_ratio", "Resident memory against memory in use"),
    bytes("mem_fragmentation_bytes", "redis_mem_fragmentation_bytes", "Resident memory beyond memory in use"),
    bytes(
        "mem_not_counted_for_evict",
        "redis_mem_not_counted_for_eviction_bytes",
        "Memory that does not count against maxmemory: what replicas and the append-only file have yet to take",
    ),
    bytes("mem_replication_backlog", "redis_mem_replication_backlog_bytes", "Memory of the backlog"),
    bytes(
        "mem_total_replication_buffers",
        "redis_mem_total_replication_buffers_bytes",
        "Memory of the log that replicas and the backlog share",
    ),
    bytes(
        "mem_replica_full_sync_buffer",
        "radish_mem_replica_full_sync_buffer_bytes",
        "Always 0: what comes waits at the primary",
    ),
    bytes("mem_clients_slaves", "redis_mem_clients_slaves", "Memory that replicas need beyond the backlog"),
    bytes("mem_clients_normal", "redis_mem_clients_normal", "Memory of clients: requests, replies, queues"),
    bytes("mem_cluster_links", "redis_mem_cluster_links_bytes", "Memory of links of a cluster, which there is none of"),
    bytes(
        "mem_aof_buffer",
        "redis_mem_aof_buffer_bytes",
        "Memory of a buffer of the append-only file: it has none of its own",
    ),
    byte_counter(
        "compression_raw_bytes",
        "radish_compression_raw_bytes_total",
        "Long strings as clients sent them, since the start",
    ),
    byte_counter(
        "compression_stored_bytes",
        "radish_compression_stored_bytes_total",
        "What these strings took when they were stored",
    ),
    gauge(
        "compression_dictionaries",
        "radish_compression_dictionaries",
        "Dictionaries that strings are compressed with",
    ),
    gauge(
        "compression_ratio",
        "radish_compression_ratio",
        "How many times smaller strings became that were to be compressed",
    ),
    bytes(
        "mem_overhead_db_hashtable_rehashing",
        "redis_mem_overhead_db_hashtable_rehashing_bytes",
        "Always 0: there are no hash tables to rehash",
    ),
    gauge("active_defrag_running", "redis_active_defrag_running", "Always 0: pages are compacted as they change"),
    gauge(
        "lazyfree_pending_objects",
        "redis_lazyfree_pending_objects",
        "Values that wait to be freed in the background",
    ),
    count("lazyfreed_objects", "redis_lazyfreed_objects", "Values that were freed in the background"),
    // Persistence.
    gauge("loading", "redis_loading_dump_file", "Whether data are being loaded"),
    gauge("async_loading", "redis_async_loading", "Whether data are being loaded while the old ones are served"),
    bytes(
        "current_cow_peak",
        "radish_snapshot_kept_peak_bytes",
        "The most that was copied for the present snapshot because it changed, before compression",
    ),
    bytes(
        "current_cow_size",
        "radish_snapshot_kept_bytes",
        "What was copied for the present snapshot because it changed, before compression",
    ),
    seconds("current_cow_size_age", "radish_snapshot_kept_age_seconds", "Age of that figure"),
    gauge("current_fork_perc", "radish_snapshot_progress_ratio", "How much of the present snapshot is done")
        .times(0.01),
    gauge("current_save_keys_processed", "radish_snapshot_keys_done", "Keys of the present snapshot that are done"),
    gauge("current_save_keys_total", "radish_snapshot_keys", "Keys of the present snapshot"),
    gauge("rdb_changes_since_last_save", "redis_rdb_changes_since_last_save", "Changes that no database file has"),
    gauge("rdb_bgsave_in_progress", "redis_rdb_bgsave_in_progress", "Whether a snapshot is being written"),
    seconds("rdb_last_save_time", "redis_rdb_last_save_timestamp_seconds", "When data were last saved, as Unix time"),
    gauge("rdb_last_bgsave_status", "redis_rdb_last_bgsave_status", "Whether the last snapshot succeeded").is("ok"),
    seconds(
        "rdb_last_bgsave_time_sec",
        "redis_rdb_last_bgsave_duration_sec",
        "How long the last snapshot took; -1: none",
    ),
    seconds(
        "rdb_current_bgsave_time_sec",
        "redis_rdb_current_bgsave_duration_sec",
        "How long the present one takes; -1: none",
    ),
    counter("rdb_saves", "redis_rdb_saves_total", "Database files that were written"),
    bytes(
        "rdb_last_cow_size",
        "redis_rdb_last_cow_size_bytes",
        "What was copied for the last snapshot because it changed, before compression",
    ),
    gauge("rdb_last_load_keys_expired", "redis_rdb_last_load_expired_keys", "Keys of the loaded file that were over"),
    gauge("rdb_last_load_keys_loaded", "redis_rdb_last_load_loaded_keys", "Keys of the loaded file"),
    gauge("aof_enabled", "redis_aof_enabled", "Whether there is an append-only file"),
    gauge(
        "aof_rewrite_in_progress",
        "redis_aof_rewrite_in_progress",
        "Whether the append-only file is being rewritten",
    ),
    gauge("aof_rewrite_scheduled", "redis_aof_rewrite_scheduled", "Whether that is to begin"),
    seconds(
        "aof_last_rewrite_time_sec",
        "redis_aof_last_rewrite_duration_sec",
        "How long the last rewriting took; -1: none",
    ),
    seconds(
        "aof_current_rewrite_time_sec",
        "redis_aof_current_rewrite_duration_sec",
        "How long the present one takes; -1: none",
    ),
    gauge("aof_last_bgrewrite_status", "redis_aof_last_bgrewrite_status", "Whether the last rewriting succeeded")
        .is("ok"),
    counter("aof_rewrites", "radish_aof_rewrites_total", "Rewritings of the append-only file"),
    gauge(
        "aof_rewrites_consecutive_failures",
        "radish_aof_rewrites_consecutive_failures",
        "Rewritings that failed since one succeeded",
    ),
    gauge("aof_last_write_status", "redis_aof_last_write_status", "Whether the append-only file can be written")
        .is("ok"),
    bytes("aof_last_cow_size", "redis_aof_last_cow_size_bytes", "Always 0: rewriting does not fork"),
    gauge("module_fork_in_progress", "redis_module_fork_in_progress", "Always 0: there are no modules"),
    bytes("module_fork_last_cow_size", "redis_module_fork_last_cow_size", "Always 0: there are no modules"),
    gauge("slot_migration_fork_in_progress", "radish_slot_migration_fork_in_progress", "Always 0: there is no cluster"),
    bytes("aof_current_size", "redis_aof_current_size_bytes", "Size of the append-only file"),
    bytes("aof_base_size", "redis_aof_base_size_bytes", "Its size when it was last rewritten"),
    bytes("aof_buffer_length", "redis_aof_buffer_length", "What is not in the append-only file yet"),
    gauge("aof_pending_rewrite", "redis_aof_pending_rewrite", "Always 0: see redis_aof_rewrite_scheduled"),
    gauge("aof_pending_bio_fsync", "redis_aof_pending_bio_fsync", "Always 0: there is no queue of syncs"),
    count("aof_delayed_fsync", "redis_aof_delayed_fsync", "Syncs of the append-only file that took too long"),
    seconds("loading_start_time", "radish_loading_start_timestamp_seconds", "When loading began, as Unix time"),
    bytes("loading_total_bytes", "radish_loading_total_bytes", "Size of the file that is being loaded"),
    bytes(
        "loading_rdb_used_mem",
        "radish_loading_file_memory_bytes",
        "Memory that was in use when the file was written",
    ),
    bytes("loading_loaded_bytes", "radish_loading_loaded_bytes", "What of the file has been loaded"),
    gauge("loading_loaded_perc", "radish_loading_progress_ratio", "How much of the file has been loaded").times(0.01),
    seconds("loading_eta_seconds", "radish_loading_left_seconds", "How long the rest will take, about"),
    // Stats.
    counter("total_connections_received", "redis_connections_received_total", "Connections that were accepted"),
    counter("total_commands_processed", "redis_commands_processed_total", "Commands that were run"),
    gauge("instantaneous_ops_per_sec", "redis_instantaneous_ops_per_sec", "Commands per second, lately"),
    byte_counter("total_net_input_bytes", "redis_net_input_bytes_total", "What clients have sent"),
    byte_counter("total_net_output_bytes", "redis_net_output_bytes_total", "What was sent to clients"),
    byte_counter("total_net_repl_input_bytes", "redis_net_repl_input_bytes_total", "What the primary has sent"),
    byte_counter("total_net_repl_output_bytes", "redis_net_repl_output_bytes_total", "What was sent to replicas"),
    bytes("instantaneous_input_kbps", "radish_instantaneous_input_bytes", "What clients send per second, lately")
        .times(1024.0),
    bytes(
        "instantaneous_output_kbps",
        "radish_instantaneous_output_bytes",
        "What is sent to clients per second, lately",
    )
    .times(1024.0),
    bytes(
        "instantaneous_input_repl_kbps",
        "radish_instantaneous_input_repl_bytes",
        "Always 0: see redis_net_repl_input_bytes_total",
    )
    .times(1024.0),
    bytes(
        "instantaneous_output_repl_kbps",
        "radish_instantaneous_output_repl_bytes",
        "Always 0: see redis_net_repl_output_bytes_total",
    )
    .times(1024.0),
    counter(
        "rejected_connections",
        "redis_rejected_connections_total",
        "Connections beyond maxclients, which were refused",
    ),
    count("sync_full", "redis_replica_resyncs_full", "Replicas that were sent a copy of everything"),
    count("sync_partial_ok", "redis_replica_partial_resync_accepted", "Replicas that could go on where they were"),
    count("sync_partial_err", "redis_replica_partial_resync_denied", "Replicas that could not"),
    counter(
        "expired_subkeys",
        "redis_expired_subkeys_total",
        "Fields of hashes that were removed when their time was over",
    ),
    counter("expired_keys", "redis_expired_keys_total", "Keys that were removed when their time was over"),
    gauge("expired_stale_perc", "redis_expired_stale_percentage", "Always 0: expiry is exact"),
    counter("expired_time_cap_reached_count", "redis_expired_time_cap_reached_total", "Always 0: expiry is exact"),
    time_counter(
        "expire_cycle_cpu_milliseconds",
        "redis_expire_cycle_cpu_time_ms_total",
        Unit::Milliseconds,
        "Always 0: expiry has no cycles",
    ),
    counter("evicted_keys", "redis_evicted_keys_total", "Keys that were evicted to keep to maxmemory"),
    counter(
        "evicted_clients",
        "redis_evicted_clients_total",
        "Clients that were disconnected to keep to maxmemory-clients",
    ),
    counter("evicted_scripts", "redis_evicted_scripts_total", "Scripts that were forgotten for others"),
    time_counter(
        "total_eviction_exceeded_time",
        "redis_eviction_exceeded_time_ms_total",
        Unit::Milliseconds,
        "Always 0: it is not measured for how long memory is beyond maxmemory",
    ),
    field(
        "current_eviction_exceeded_time",
        "redis_current_eviction_exceeded_time_ms",
        Kind::Gauge,
        Unit::Milliseconds,
        "Always 0: it is not measured for how long memory is beyond maxmemory",
    ),
    counter("keyspace_hits", "redis_keyspace_hits_total", "Keys that were looked up and were there"),
    counter("keyspace_misses", "redis_keyspace_misses_total", "Keys that were looked up and were not there"),
    gauge("pubsub_channels", "redis_pubsub_channels", "Channels that have subscribers"),
    gauge("pubsub_patterns", "redis_pubsub_patterns", "Patterns that have subscribers"),
    gauge("pubsubshard_channels", "redis_pubsubshard_channels", "Channels of shards that have subscribers"),
    seconds("latest_fork_usec", "redis_latest_fork_seconds", "For how long the last snapshot stopped everything")
        .times(1e-6),
    counter("total_forks", "radish_snapshots_total", "Snapshots that have begun"),
    gauge("migrate_cached_sockets", "redis_migrate_cached_sockets_total", "Connections that MIGRATE keeps"),
    gauge(
        "slave_expires_tracked_keys",
        "redis_slave_expires_tracked_keys",
        "Keys with a deadline that were written to this replica itself",
    ),
    count("active_defrag_hits", "redis_defrag_hits", "Always 0: pages are compacted as they change"),
    count("active_defrag_misses", "redis_defrag_misses", "Always 0: pages are compacted as they change"),
    count("active_defrag_key_hits", "redis_defrag_key_hits", "Always 0: pages are compacted as they change"),
    count("active_defrag_key_misses", "redis_defrag_key_misses", "Always 0: pages are compacted as they change"),
    time_counter(
        "total_active_defrag_time",
        "radish_active_defrag_seconds_total",
        Unit::Seconds,
        "Always 0: pages are compacted as they change",
    )
    .times(1e-3),
    seconds(
        "current_active_defrag_time",
        "radish_current_active_defrag_seconds",
        "Always 0: pages are compacted as they change",
    )
    .times(1e-3),
    gauge("tracking_total_keys", "redis_tracking_total_keys", "Keys of which clients keep copies"),
    gauge("tracking_total_items", "redis_tracking_total_items", "Copies that clients keep"),
    gauge("tracking_total_prefixes", "redis_tracking_total_prefixes", "Prefixes of which clients are told all changes"),
    count(
        "unexpected_error_replies",
        "redis_unexpected_error_replies",
        "Errors in what a primary, a replica or a file said",
    ),
    count("total_error_replies", "redis_total_error_replies", "Replies that were errors"),
    count("dump_payload_sanitizations", "redis_dump_payload_sanitizations", "Always 0: all payloads are checked"),
    count("total_reads_processed", "redis_total_reads_processed", "Times that something was read from a socket"),
    count("total_writes_processed", "redis_total_writes_processed", "Times that something was written to a socket"),
    count("io_threaded_reads_processed", "redis_io_threaded_reads_processed", "The same: all threads read"),
    count("io_threaded_writes_processed", "redis_io_threaded_writes_processed", "The same: all threads write"),
    counter(
        "io_threaded_total_prefetch_batches",
        "radish_io_threaded_prefetch_batches_total",
        "Always 0: it is not counted",
    ),
    counter(
        "io_threaded_total_prefetch_entries",
        "radish_io_threaded_prefetch_entries_total",
        "Always 0: it is not counted",
    ),
    counter(
        "client_query_buffer_limit_disconnections",
        "redis_client_query_buffer_limit_disconnections_total",
        "Clients that were disconnected because of too large a request",
    ),
    counter(
        "client_output_buffer_limit_disconnections",
        "redis_client_output_buffer_limit_disconnections_total",
        "Clients that were disconnected because they did not read their replies",
    ),
    counter(
        "reply_buffer_shrinks",
        "redis_reply_buffer_shrinks_total",
        "Always 0: a thread has one buffer for replies",
    ),
    counter(
        "reply_buffer_expands",
        "redis_reply_buffer_expands_total",
        "Always 0: a thread has one buffer for replies",
    ),
    counter("eventloop_cycles", "radish_eventloop_cycles_total", "Always 0: there is no such loop"),
    time_counter(
        "eventloop_duration_sum",
        "radish_eventloop_duration_seconds_total",
        Unit::Seconds,
        "Always 0: there is no such loop",
    )
    .times(1e-6),
    time_counter(
        "eventloop_duration_cmd_sum",
        "radish_eventloop_commands_seconds_total",
        Unit::Seconds,
        "Always 0: there is no such loop",
    )
    .times(1e-6),
    gauge(
        "instantaneous_eventloop_cycles_per_sec",
        "radish_instantaneous_eventloop_cycles",
        "Always 0: there is no such loop",
    ),
    seconds(
        "instantaneous_eventloop_duration_usec",
        "radish_instantaneous_eventloop_duration_seconds",
        "Always 0: there is no such loop",
    )
    .times(1e-6),
    counter("acl_access_denied_auth", "redis_acl_access_denied_auth_total", "Logins that were refused"),
    counter("acl_access_denied_cmd", "redis_acl_access_denied_cmd_total", "Commands that their user may not run"),
    counter("acl_access_denied_key", "redis_acl_access_denied_key_total", "Commands whose keys their user may not use"),
    counter(
        "acl_access_denied_channel",
        "redis_acl_access_denied_channel_total",
        "Commands whose channels their user may not use",
    ),
    // Replication.
    gauge("master_link_status", "redis_master_link_up", "Whether the link to the primary is up").is("up").of_primary(),
    seconds(
        "master_last_io_seconds_ago",
        "redis_master_last_io_seconds_ago",
        "Time since the primary last said something; -1: the link is down",
    )
    .of_primary(),
    gauge(
        "master_sync_in_progress",
        "redis_master_sync_in_progress",
        "Whether a copy of everything comes from the primary",
    )
    .of_primary(),
    bytes("slave_read_repl_offset", "radish_slave_read_repl_offset_bytes", "How much of the primary's log has come")
        .of_primary(),
    bytes("slave_repl_offset", "redis_slave_repl_offset", "How much of the primary's log has been done").of_primary(),
    bytes(
        "replica_full_sync_buffer_size",
        "radish_replica_full_sync_buffer_bytes",
        "Always 0: what comes waits at the primary",
    ),
    bytes(
        "replica_full_sync_buffer_peak",
        "radish_replica_full_sync_buffer_peak_bytes",
        "Always 0: what comes waits at the primary",
    ),
    bytes(
        "replicas_repl_buffer_size",
        "radish_replicas_repl_buffer_bytes",
        "Always 0: what comes waits at the primary",
    ),
    bytes(
        "replicas_repl_buffer_peak",
        "radish_replicas_repl_buffer_peak_bytes",
        "Always 0: what comes waits at the primary",
    ),
    gauge(
        "master_current_sync_attempts",
        "radish_master_current_sync_attempts",
        "Attempts to open the link since it was up",
    )
    .of_primary(),
    counter(
        "master_total_sync_attempts",
        "radish_master_sync_attempts_total",
        "Attempts to open the link to this primary",
    )
    .of_primary(),
    seconds(
        "master_link_up_since_seconds",
        "radish_master_link_up_since_seconds",
        "For how long the link is up; -1: it is not",
    )
    .of_primary(),
    time_counter(
        "total_disconnect_time_sec",
        "radish_master_link_down_seconds_total",
        Unit::Seconds,
        "For how long the link was down in all, but for now",
    )
    .of_primary(),
    bytes("master_sync_total_bytes", "radish_master_sync_total_bytes", "Size of the copy that comes; 0: not known")
        .of_primary(),
    bytes("master_sync_read_bytes", "radish_master_sync_read_bytes", "What of the copy has come").of_primary(),
    bytes("master_sync_left_bytes", "radish_master_sync_left_bytes", "What of it is yet to come; -1: not known")
        .of_primary(),
    gauge("master_sync_perc", "radish_master_sync_progress_ratio", "How much of it has come").times(0.01).of_primary(),
    seconds(
        "master_sync_last_io_seconds_ago",
        "radish_master_sync_last_io_seconds_ago",
        "Time since something of it came",
    )
    .of_primary(),
    seconds(
        "master_link_down_since_seconds",
        "redis_master_link_down_since_seconds",
        "For how long the link is down; -1: always was",
    )
    .of_primary(),
    gauge("slave_priority", "redis_slave_priority", "The directive replica-priority"),
    gauge("replica_announced", "radish_replica_announced", "Whether sentinels are told of this replica"),
    gauge("connected_slaves", "redis_connected_slaves", "Replicas that are connected"),
    gauge("min_slaves_good_slaves", "radish_good_slaves", "Replicas that count for min-replicas-to-write"),
    gauge("replicas_waiting_psync", "radish_replicas_waiting_psync", "Always 0: a replica has one connection"),
    bytes("master_repl_offset", "redis_master_repl_offset", "How long the log is, over all its history"),
    bytes(
        "second_repl_offset",
        "redis_second_repl_offset",
        "Up to where the log is that of the history before; -1: there is none",
    ),
    gauge("repl_backlog_active", "redis_repl_backlog_is_active", "Whether replicas could go on where they were"),
    bytes("repl_backlog_size", "redis_replication_backlog_bytes", "The directive repl-backlog-size"),
    bytes("repl_backlog_first_byte_offset", "redis_repl_backlog_first_byte_offset", "Where the backlog begins"),
    bytes("repl_backlog_histlen", "redis_repl_backlog_history_bytes", "What the backlog holds"),
    // CPU.
    time_counter("used_cpu_sys", "redis_cpu_sys_seconds_total", Unit::Seconds, "Processor time of the kernel"),
    time_counter(
        "used_cpu_user",
        "redis_cpu_user_seconds_total",
        Unit::Seconds,
        "Processor time of the process itself",
    ),
    time_counter(
        "used_cpu_sys_children",
        "redis_cpu_sys_children_seconds_total",
        Unit::Seconds,
        "Processor time of the kernel for children",
    ),
    time_counter(
        "used_cpu_user_children",
        "redis_cpu_user_children_seconds_total",
        Unit::Seconds,
        "Processor time of children",
    ),
    time_counter(
        "used_cpu_sys_main_thread",
        "redis_cpu_sys_main_thread_seconds_total",
        Unit::Seconds,
        "Processor time of the kernel for the main thread",
    ),
    time_counter(
        "used_cpu_user_main_thread",
        "redis_cpu_user_main_thread_seconds_total",
        Unit::Seconds,
        "Processor time of the main thread",
    ),
    // Cluster.
    gauge("cluster_enabled", "redis_cluster_enabled", "Always 0: there is no cluster"),
];
