//! `INFO memory`: where memory goes.

use super::{Source, Text, human, ratio};
use crate::config::Directive;
use crate::value::string::dictionary;
use crate::{eviction, memory, process};
use std::sync::atomic::Ordering;

/// Where memory goes, in bytes (`INFO memory`, `MEMORY STATS`).
pub struct MemoryUse {
    pub allocator: memory::AllocatorFigures,
    pub peak: usize,
    pub startup: usize,
    pub clients: usize,
    /// All but the keys and their values.
    pub overhead: usize,
    /// The keys and their values.
    pub dataset: usize,
    /// Bytes of the process that are in memory.
    pub resident: usize,
    /// Bytes in use as eviction counts them.
    pub used: usize,
}

impl MemoryUse {
    /// The shares of `used` that are the startup's and the data's, in percent.
    pub fn dataset_percent(&self) -> f64 {
        100.0 * ratio(self.dataset, self.used.saturating_sub(self.startup))
    }

    pub fn peak_percent(&self) -> f64 {
        100.0 * ratio(self.used, self.peak)
    }
}

/// Looks where the `used` bytes go. All shards are locked.
pub fn memory_use(source: &mut Source<'_>, used: usize) -> MemoryUse {
    let state = source.state;
    let allocator = memory::allocator();
    let clients = state.clients.all().iter().map(|client| client.memory()).sum::<usize>();
    let mut nodes = 0;
    source.shards.visit(&mut |shard| {
        nodes += shard.databases.iter().map(|tree| tree.memory().node_bytes).sum::<usize>();
    });
    let peak = state.peak_memory.fetch_max(used, Ordering::Relaxed).max(used);
    let startup = state.startup_memory.load(Ordering::Relaxed);
    let overhead = startup + clients + nodes;
    MemoryUse {
        allocator,
        peak,
        startup,
        clients,
        overhead,
        dataset: used.saturating_sub(overhead),
        resident: memory::resident(),
        used,
    }
}

pub(super) fn write(source: &mut Source<'_>, text: &mut Text) {
    let state = source.state;
    let now = memory_use(source, text.used);
    let used = now.used;
    let allocator = now.allocator;
    text.size("used_memory", used);
    text.size("used_memory_rss", now.resident);
    text.size("used_memory_peak", now.peak);
    text.field("used_memory_peak_time", state.stats.peak_time());
    text.field("used_memory_peak_perc", format_args!("{:.2}%", now.peak_percent()));
    text.field("used_memory_overhead", now.overhead);
    text.field("used_memory_startup", now.startup);
    text.field("used_memory_dataset", now.dataset);
    text.field("used_memory_dataset_perc", format_args!("{:.2}%", now.dataset_percent()));
    text.field("allocator_allocated", allocator.allocated);
    text.field("allocator_active", allocator.active);
    text.field("allocator_resident", allocator.resident);
    text.field("allocator_muzzy", 0);
    text.size("total_system_memory", process::system_memory() as usize);
    let scripts = state.scripts.figures();
    text.field("used_memory_lua", scripts.interpreter_bytes);
    text.field("used_memory_vm_eval", scripts.interpreter_bytes);
    text.field("used_memory_lua_human", human(scripts.interpreter_bytes));
    text.fields(&[
        ("used_memory_scripts_eval", scripts.script_bytes as u64),
        ("number_of_cached_scripts", scripts.scripts as u64),
        ("number_of_functions", scripts.functions as u64),
        ("number_of_libraries", scripts.libraries as u64),
        ("used_memory_vm_functions", scripts.function_interpreter_bytes as u64),
    ]);
    text.size("used_memory_vm_total", scripts.interpreter_bytes + scripts.function_interpreter_bytes);
    text.field("used_memory_functions", scripts.library_bytes);
    text.size("used_memory_scripts", scripts.script_bytes + scripts.library_bytes);
    text.size("maxmemory", state.settings.int(Directive::Maxmemory).max(0) as usize);
    text.field("maxmemory_policy", state.settings.enum_name(Directive::MaxmemoryPolicy));
    text.field("allocator_frag_ratio", format_args!("{:.2}", ratio(allocator.active, allocator.allocated)));
    text.field("allocator_frag_bytes", allocator.active.saturating_sub(allocator.allocated));
    text.field("allocator_rss_ratio", format_args!("{:.2}", ratio(allocator.resident, allocator.active)));
    text.field("allocator_rss_bytes", allocator.resident as i64 - allocator.active as i64);
    text.field("rss_overhead_ratio", format_args!("{:.2}", ratio(now.resident, allocator.resident)));
    text.field("rss_overhead_bytes", now.resident as i64 - allocator.resident as i64);
    text.field("mem_fragmentation_ratio", format_args!("{:.2}", ratio(now.resident, used)));
    text.field("mem_fragmentation_bytes", now.resident as i64 - used as i64);
    text.field("mem_not_counted_for_evict", eviction::not_counted_memory(state));
    // Replicas and those who come back read the same blocks; beyond the backlog they are kept for replicas alone.
    let log = state.log.memory() as u64;
    let has_replicas = state.replication.replicas().iter().any(|replica| !replica.client.is_killed());
    let backlog = state.log.backlog().map_or(0, |_| log.min(state.settings.int(Directive::ReplBacklogSize) as u64));
    text.fields(&[
        ("mem_replication_backlog", backlog),
        ("mem_total_replication_buffers", log),
        ("mem_replica_full_sync_buffer", 0),
        ("mem_clients_slaves", if has_replicas { log - backlog } else { 0 }),
        ("mem_clients_normal", now.clients as u64),
        ("mem_cluster_links", 0),
        ("mem_aof_buffer", 0),
    ]);
    text.field("mem_allocator", memory::ALLOCATOR_NAME);
    let compression = state.compression.figures();
    text.fields(&[
        ("compression_raw_bytes", compression.raw_bytes),
        ("compression_stored_bytes", compression.stored_bytes),
        ("compression_dictionaries", dictionary::numbers().count() as u64),
    ]);
    text.field(
        "compression_ratio",
        format_args!("{:.2}", ratio(compression.raw_bytes as usize, compression.stored_bytes as usize)),
    );
    text.fields(&[
        ("mem_overhead_db_hashtable_rehashing", 0),
        ("active_defrag_running", 0),
        ("lazyfree_pending_objects", state.lazy_free.pending()),
        ("lazyfreed_objects", state.lazy_free.freed()),
    ]);
}
