//! Conversations about the server itself: CLIENT, INFO, the logs, MEMORY and DEBUG.

use crate::support::Server;

/// The value of a field of INFO.
fn field(info: &str, name: &str) -> String {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("INFO has no {name}")).to_owned()
}

#[test]
fn clients_are_listed_and_killed() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let mut other = server.connect();
    other.play(
        "> CLIENT SETNAME other
         OK
         > CLIENT GETNAME
         other
         > CLIENT SETINFO lib-name test
         OK
         > CLIENT SETINFO colour red
         (ERR Unrecognized option 'colour')
         > SELECT 3
         OK",
    );
    let (own_id, other_id) = (client.ask("CLIENT ID"), other.ask("CLIENT ID"));
    let list = client.ask("CLIENT LIST");
    let own = list.lines().find(|line| line.starts_with(&format!("id={own_id} "))).expect("a line");
    assert!(own.contains(" flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=26 qbuf-free="), "{own}");
    assert!(own.contains(" events=r cmd=client|list user=default redir=-1 resp=2 "), "{own}");
    let by_id = format!("ID {other_id} 1000 SKIPME yes");
    for filter in ["NAME other", "LIB-NAME test", "DB 3", &by_id, "NOT-DB 0 TYPE normal"] {
        let list = client.ask(&format!("CLIENT LIST {filter}"));
        assert!(list.starts_with(&format!("id={other_id} ")) && list.lines().count() == 1, "{filter}: {list}");
    }
    client.play(
        "> CLIENT KILL ID 0
         (ERR client-id should be greater than 0)
         > CLIENT KILL ID 10 wrong
         (ERR syntax error)
         > CLIENT KILL TYPE pubsub
         0
         > CLIENT KILL NAME other DB 3
         1
         > CLIENT UNBLOCK 99
         0",
    );
    assert!(other.is_closed());
    assert_eq!(client.ask(&format!("CLIENT KILL SKIPME no ID {own_id}")), "1");
    assert!(client.is_closed());
}

#[test]
fn a_killed_client_sees_its_connection_end_and_not_break() {
    let server = Server::start(&[]);
    let mut killer = server.connect();
    let mut client = server.connect();
    let id = client.ask("CLIENT ID");
    client.send("BLPOP none 0");
    // More than the server reads from a client that waits.
    client.send_raw(&[b'x'; 150_000]);
    assert_eq!(killer.ask(&format!("CLIENT KILL ID {id}")), "1");
    assert!(client.has_ended());
}

#[test]
fn replies_can_be_turned_off() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send("CLIENT REPLY SKIP");
    client.send("PING one");
    assert_eq!(client.ask("PING two"), "two");
    client.send("CLIENT REPLY OFF");
    client.send("PING three");
    assert_eq!(client.ask("CLIENT REPLY ON"), "OK");
    assert_eq!(client.ask("PING four"), "four");
}

#[test]
fn a_pause_holds_writes_back_until_it_ends() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let mut writer = server.connect();
    assert_eq!(client.ask("CLIENT PAUSE 100000 WRITE"), "OK");
    assert_eq!(writer.ask("GET key"), "nil");
    writer.send("SET key value");
    assert_eq!(client.ask("GET key"), "nil");
    assert_eq!(client.ask("CLIENT UNPAUSE"), "OK");
    assert_eq!(writer.reply(), "OK");
}

#[test]
fn keys_expire_again_once_a_pause_has_run_out() {
    let server = Server::start(&["--notify-keyspace-events", "Ex"]);
    let mut listener = server.connect();
    assert_eq!(listener.ask("SUBSCRIBE __keyevent@0__:expired"), "[subscribe __keyevent@0__:expired 1]");
    server.connect().play(
        "> CLIENT PAUSE 1
         OK
         > SET key value PX 1
         OK",
    );
    assert_eq!(listener.reply(), "[message __keyevent@0__:expired key]");
}

#[test]
fn info_has_its_sections_and_counts() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "> SET a 1
         OK
         > SET b 2 EX 1000
         OK
         > GET nothing
         nil
         > SET a
         (ERR wrong number of arguments for 'set' command)",
    );
    let info = client.ask("INFO everything");
    assert_eq!(field(&info, "redis_version"), "7.4.0");
    assert_eq!(field(&info, "role"), "master");
    assert_eq!(field(&info, "rdb_changes_since_last_save"), "2");
    assert_eq!(field(&info, "keyspace_misses"), "1");
    assert_eq!(field(&info, "errorstat_ERR"), "count=1");
    assert!(field(&info, "cmdstat_set").starts_with("calls=2,usec="));
    assert!(field(&info, "latency_percentiles_usec_set").starts_with("p50="));
    assert!(field(&info, "db0").starts_with("keys=2,expires=1,avg_ttl="));
    let titles = |info: &str| info.lines().filter(|line| line.starts_with("# ")).collect::<Vec<_>>().join(" ");
    assert_eq!(titles(&client.ask("INFO cpu KEYSPACE nonsense")), "# CPU # Keyspace");
    assert!(!titles(&client.ask("INFO")).contains("Commandstats"));
    assert_eq!(client.ask("MULTI"), "OK");
    assert_eq!(client.ask("SET c 3"), "QUEUED");
    assert_eq!(client.ask("INFO keyspace"), "QUEUED");
    assert!(client.ask("EXEC").contains("db0:keys=3,"));
}

/// The fields of `INFO ALL` of which redis_exporter makes metrics, by section: the maps of its `exporter/exporter.go`, without what
/// only other servers have, modules, or a server with an append-only file.
const EXPORTER_METRICS: [(&str, &str); 7] = [
    ("Server", "uptime_in_seconds process_id io_threads_active"),
    (
        "Clients",
        "connected_clients blocked_clients maxclients tracking_clients clients_in_timeout_table pubsub_clients
         watching_clients total_watched_keys total_blocking_keys total_blocking_keys_on_nokey
         client_recent_max_output_buffer client_recent_max_input_buffer",
    ),
    (
        "Memory",
        "allocator_active allocator_allocated allocator_resident allocator_frag_ratio allocator_frag_bytes
         allocator_rss_ratio allocator_rss_bytes used_memory used_memory_rss used_memory_peak used_memory_lua
         used_memory_vm_eval used_memory_scripts_eval used_memory_overhead used_memory_startup used_memory_dataset
         number_of_cached_scripts number_of_functions number_of_libraries used_memory_vm_functions used_memory_scripts
         used_memory_functions used_memory_vm_total maxmemory mem_fragmentation_ratio mem_fragmentation_bytes
         mem_clients_slaves mem_clients_normal mem_not_counted_for_evict mem_total_replication_buffers
         mem_overhead_db_hashtable_rehashing lazyfree_pending_objects active_defrag_running total_system_memory",
    ),
    (
        "Persistence",
        "loading async_loading rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time
         rdb_last_bgsave_status rdb_last_bgsave_time_sec rdb_current_bgsave_time_sec rdb_saves rdb_last_cow_size
         rdb_last_load_keys_expired rdb_last_load_keys_loaded aof_enabled aof_rewrite_in_progress aof_rewrite_scheduled
         aof_last_rewrite_time_sec aof_current_rewrite_time_sec aof_last_cow_size aof_last_bgrewrite_status
         aof_last_write_status module_fork_in_progress module_fork_last_cow_size",
    ),
    (
        "Stats",
        "current_eviction_exceeded_time pubsub_channels pubsub_patterns pubsubshard_channels latest_fork_usec
         tracking_total_keys tracking_total_items tracking_total_prefixes expired_stale_perc migrate_cached_sockets
         active_defrag_hits active_defrag_misses active_defrag_key_hits active_defrag_key_misses
         expired_time_cap_reached_count slave_expires_tracked_keys sync_full sync_partial_ok sync_partial_err
         total_connections_received total_commands_processed rejected_connections total_net_input_bytes
         total_net_output_bytes total_net_repl_input_bytes total_net_repl_output_bytes expired_subkeys expired_keys
         expire_cycle_cpu_milliseconds evicted_keys evicted_clients evicted_scripts total_eviction_exceeded_time
         keyspace_hits keyspace_misses unexpected_error_replies total_error_replies dump_payload_sanitizations
         total_reads_processed total_writes_processed io_threaded_reads_processed io_threaded_writes_processed
         client_query_buffer_limit_disconnections client_output_buffer_limit_disconnections reply_buffer_shrinks
         reply_buffer_expands acl_access_denied_auth acl_access_denied_cmd acl_access_denied_key
         acl_access_denied_channel",
    ),
    (
        "Replication",
        "connected_slaves repl_backlog_size repl_backlog_active repl_backlog_first_byte_offset repl_backlog_histlen
         master_repl_offset second_repl_offset",
    ),
    (
        "CPU",
        "used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children used_cpu_sys_main_thread
         used_cpu_user_main_thread",
    ),
];

/// Further fields that tools show or decide by: redis_exporter (the labels of `instance_info` in its `exporter/info.go`),
/// RedisInsight (`database-info.provider.ts` and `database-overview.provider.ts` of its `modules/database/providers`, and what its
/// telemetry reads), ioredis (its ready check), Sidekiq's web page, BullMQ and RQ (the version).
const SHOWN: [(&str, &str); 6] = [
    (
        "Server",
        "redis_version redis_build_id redis_mode os tcp_port run_id process_id executable uptime_in_days server_name
         configured_hz hz",
    ),
    ("Memory", "maxmemory_policy used_memory_human used_memory_peak_human"),
    ("Persistence", "loading"),
    ("Stats", "instantaneous_ops_per_sec instantaneous_input_kbps instantaneous_output_kbps"),
    ("Replication", "role master_replid"),
    ("Keyspace", "db0"),
];

#[test]
fn info_has_all_that_monitoring_tools_read() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    assert_eq!(client.ask("SET a 1 EX 1000"), "OK");
    let info = client.ask("INFO ALL");
    let section = |title: &str| {
        let (_, rest) = info.split_once(&format!("# {title}\r\n")).expect("the section is there");
        rest.split("\r\n\r\n").next().expect("it has an end").to_owned()
    };
    for (title, fields) in EXPORTER_METRICS {
        let section = section(title);
        for name in fields.split_whitespace() {
            let value = field(&section, name);
            assert!(value == "ok" || value.parse::<f64>().is_ok(), "{name}:{value} is no number");
        }
    }
    for (title, fields) in SHOWN {
        let section = section(title);
        for name in fields.split_whitespace() {
            assert!(!field(&section, name).is_empty(), "{name} is empty");
        }
    }
    // Tools take a server that says one of these for another one.
    for name in ["valkey", "keydb", "dragonfly", "elasticache", "memorydb"] {
        assert!(!info.to_lowercase().contains(name), "{name}");
    }
}

#[test]
fn logs_keep_what_was_slow_or_large() {
    let server = Server::start(&[
        "--slowlog-log-slower-than",
        "0",
        "--commandlog-request-larger-than",
        "100",
        "--latency-monitor-threshold",
        "1",
        "--enable-debug-command",
        "local",
    ]);
    let mut client = server.connect();
    let long = "x".repeat(200);
    assert_eq!(client.ask(&format!("SET key {long}")), "OK");
    let log = client.ask("COMMANDLOG GET -1 large-request");
    assert!(log.contains("[SET key xxx") && log.contains("... (72 more bytes)"), "{log}");
    assert!(client.ask("SLOWLOG GET 1").starts_with("[["));
    assert_eq!(client.ask("COMMANDLOG LEN large-reply"), "0");
    assert_eq!(client.ask("SLOWLOG RESET"), "OK");
    assert_eq!(client.ask("DEBUG SLEEP 0.01"), "OK");
    assert!(client.ask("LATENCY LATEST").starts_with("[[command "));
    assert!(client.ask("LATENCY HISTOGRAM set").starts_with("[set [calls 1 histogram_usec ["));
    assert_eq!(client.ask("LATENCY RESET"), "1");
    assert_eq!(client.ask("LATENCY GRAPH command"), "(ERR No samples available for event 'command')");
}

#[test]
fn debug_and_memory_look_at_values() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    client.play(
        "> DEBUG DIGEST
         0000000000000000000000000000000000000000
         > SET a b
         OK
         > DEBUG DIGEST-VALUE a nothing
         [b78559cd22bce6e6df712eb99ce7f3b08e8f8f1f 0000000000000000000000000000000000000000]
         > DEBUG POPULATE 2 many 3
         OK
         > GET many:1
         val
         > DEBUG OBJECT nothing
         (ERR no such key)
         > DEBUG PROTOCOL map
         [0 0 1 1 2 0]
         > DEBUG HTSTATS 16
         (ERR Out of range database)
         > DEBUG MALLCTL arenas.page
         4096
         > DEBUG MALLCTL nothing
         (ERR No such file or directory)
         > DEBUG MALLCTL-STR thread.tcache.flush VOID
         OK
         > DEBUG PAUSE-CRON 2
         (ERR value is not an integer or out of range)
         > DEBUG PAUSE-CRON 0
         OK
         > MEMORY USAGE nothing
         nil
         > MEMORY USAGE a SAMPLES -1
         (ERR syntax error)
         > MEMORY PURGE
         OK
         > SHUTDOWN NOSAVE SAVE
         (ERR syntax error)
         > SHUTDOWN ABORT
         (ERR No shutdown in progress.)",
    );
    assert!(client.ask("MEMORY USAGE a").parse::<usize>().expect("a number") > 2);
    assert!(client.ask("MEMORY STATS").contains(" keys.count 3 "));
    assert!(client.ask("LOLWUT").ends_with("Redis ver. 7.4.0\n"));
    client.send("SHUTDOWN NOSAVE");
    assert!(client.is_closed());
}

#[test]
fn clients_are_found_by_age_without_overflow_and_by_what_happened_to_their_keys() {
    let server = Server::start(&[]);
    let (mut client, mut watcher) = (server.connect(), server.connect());
    assert_eq!(watcher.ask("WATCH k"), "OK");
    assert_eq!(client.ask("CLIENT KILL MAXAGE 9223372036854775807"), "0");
    assert_eq!(client.ask("CLIENT LIST IDLE 9223372036854775807"), "");
    assert_eq!(client.ask("CLIENT LIST FLAGS d"), "");
    assert_eq!(client.ask("SET k v"), "OK");
    assert!(client.ask("CLIENT LIST FLAGS d").contains(" flags=d "));
    assert_eq!(watcher.ask("UNWATCH"), "OK");
    assert_eq!(client.ask("CLIENT LIST FLAGS d"), "");
}

#[test]
fn there_is_neither_a_cluster_nor_a_module() {
    Server::start(&[]).connect().play(
        "> CLUSTER INFO
         (ERR This instance has cluster support disabled)
         > CLUSTER HELP
         (ERR This instance has cluster support disabled)
         > CLUSTER RESET HARD and more
         (ERR This instance has cluster support disabled)
         > CLUSTER SLOTS more
         (ERR wrong number of arguments for 'cluster|slots' command)
         > CLUSTER GOSSIP
         (ERR unknown subcommand 'GOSSIP'. Try CLUSTER HELP.)
         > CLUSTER
         (ERR wrong number of arguments for 'cluster' command)
         > ASKING
         (ERR This instance has cluster support disabled)
         > READONLY
         OK
         > READWRITE
         OK
         > MODULE LIST
         []
         > MODULE UNLOAD search
         (ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.)",
    );
    let server = Server::start(&["--enable-module-command", "local"]);
    let mut client = server.connect();
    for (command, flags) in [("READONLY", "r"), ("READWRITE", "N"), ("READONLY", "r"), ("RESET", "N")] {
        client.ask(command);
        assert!(client.ask("CLIENT INFO").contains(&format!(" flags={flags} ")), "{command}");
    }
    client.play(
        "> MODULE LOAD /opt/search.so option
         (ERR Error loading the extension. Please check the server logs.)
         > MODULE LOADEX /opt/search.so CONFIG a b ARGS option
         (ERR Error loading the extension. Please check the server logs.)
         > MODULE UNLOAD search
         (ERR Error unloading module: no such module with that name)",
    );
    let refusal = client.ask_words(&["EVAL", "return redis.pcall('CLUSTER', 'RESET').err", "0"]);
    assert_eq!(refusal, "ERR This Redis command is not allowed from script");
}
