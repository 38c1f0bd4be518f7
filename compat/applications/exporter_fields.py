"""What redis_exporter reads of INFO, read through redis-py's parser."""

import sys

import redis

NUMBERS = """
    uptime_in_seconds process_id connected_clients maxclients
    client_recent_max_output_buffer client_recent_max_input_buffer blocked_clients tracking_clients clients_in_timeout_table
    pubsub_clients watching_clients total_watched_keys total_blocking_keys total_blocking_keys_on_nokey
    allocator_active allocator_allocated allocator_resident allocator_frag_ratio allocator_frag_bytes allocator_muzzy
    allocator_rss_ratio allocator_rss_bytes used_memory used_memory_rss used_memory_peak used_memory_lua used_memory_vm_eval
    used_memory_scripts_eval used_memory_overhead used_memory_startup used_memory_dataset number_of_cached_scripts
    number_of_functions number_of_libraries used_memory_vm_functions used_memory_scripts used_memory_functions
    used_memory_vm_total maxmemory mem_fragmentation_ratio mem_fragmentation_bytes mem_clients_slaves mem_clients_normal
    mem_cluster_links mem_aof_buffer mem_replication_backlog mem_total_replication_buffers mem_not_counted_for_evict
    active_defrag_running lazyfree_pending_objects lazyfreed_objects expired_stale_perc expired_time_cap_reached_count
    expire_cycle_cpu_milliseconds evicted_keys evicted_clients evicted_scripts total_eviction_exceeded_time
    current_eviction_exceeded_time keyspace_hits keyspace_misses pubsub_channels pubsub_patterns pubsubshard_channels
    latest_fork_usec total_forks migrate_cached_sockets slave_expires_tracked_keys active_defrag_hits active_defrag_misses
    active_defrag_key_hits active_defrag_key_misses total_active_defrag_time current_active_defrag_time
    tracking_total_keys tracking_total_items tracking_total_prefixes unexpected_error_replies total_error_replies
    dump_payload_sanitizations total_reads_processed total_writes_processed io_threaded_reads_processed
    io_threaded_writes_processed acl_access_denied_auth acl_access_denied_cmd acl_access_denied_key acl_access_denied_channel
    reply_buffer_shrinks reply_buffer_expands client_query_buffer_limit_disconnections
    client_output_buffer_limit_disconnections total_connections_received rejected_connections total_commands_processed
    instantaneous_ops_per_sec total_net_input_bytes total_net_output_bytes total_net_repl_input_bytes
    total_net_repl_output_bytes instantaneous_input_kbps instantaneous_output_kbps sync_full sync_partial_ok sync_partial_err
    expired_keys loading async_loading rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time
    rdb_last_bgsave_time_sec rdb_current_bgsave_time_sec rdb_saves rdb_last_cow_size rdb_last_load_keys_expired
    rdb_last_load_keys_loaded aof_enabled aof_rewrite_in_progress aof_rewrite_scheduled aof_last_rewrite_time_sec
    aof_current_rewrite_time_sec aof_last_cow_size connected_slaves master_repl_offset second_repl_offset
    repl_backlog_active repl_backlog_size repl_backlog_first_byte_offset repl_backlog_histlen used_cpu_sys used_cpu_user
    used_cpu_sys_children used_cpu_user_children used_cpu_sys_main_thread used_cpu_user_main_thread cluster_enabled
    io_threads_active
""".split()
WORDS = "redis_version redis_build_id redis_mode os maxmemory_policy tcp_port run_id role master_replid rdb_last_bgsave_status".split()

client = redis.Redis(port=int(sys.argv[1]), decode_responses=True)
for number in range(10):
    client.set(f"key:{number}", number, ex=1000 if number % 2 else None)
client.get("key:1")
client.config_set("latency-tracking", "yes")
try:
    client.execute_command("NOSUCH")
except redis.ResponseError:
    pass
info = client.info("all")
missing = [field for field in NUMBERS + WORDS if field not in info]
assert not missing, f"INFO lacks {' '.join(missing)}"
odd = [field for field in NUMBERS if not isinstance(info[field], (int, float))]
assert not odd, f"no numbers: {[(field, info[field]) for field in odd]}"
assert info["db0"] == {"keys": 10, "expires": 5, "avg_ttl": info["db0"]["avg_ttl"], **{
    name: info["db0"][name] for name in info["db0"] if name.startswith("subexpiry") or name.startswith("keys_with")
}}, info["db0"]
assert info["cmdstat_set"]["calls"] == 10 and {"usec", "usec_per_call", "rejected_calls", "failed_calls"} <= info["cmdstat_set"].keys()
assert info["errorstat_ERR"]["count"] >= 1
assert {"p50", "p99", "p99.9"} <= info["latency_percentiles_usec_set"].keys()
assert client.config_get("maxmemory") and client.slowlog_len() >= 0 and client.latency_latest() == []
