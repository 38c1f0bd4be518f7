//! `MEMORY`: what memory is used for.

use super::call::Call;
use super::info::{Source, memory_use, ratio};
use crate::resp::{CommandResult, ErrorReply};
use crate::{eviction, memory};

/// Bytes of a record in its page besides key and value, and its share of what leads to the page.
const RECORD_BYTES: usize = 16;
/// Elements of a collection that `MEMORY USAGE` looks at unless told otherwise.
const SAMPLES_DEFAULT: usize = 5;
/// Below so many bytes in use there is nothing to diagnose.
const DOCTOR_BYTES_MIN: usize = 5 << 20;

/// `MEMORY USAGE key [SAMPLES count]`
pub fn memory_usage(call: &mut Call) -> CommandResult {
    let mut samples = SAMPLES_DEFAULT;
    let mut at = 3;
    while at < call.args.len() {
        if !call.is_word(at, "SAMPLES") || at + 1 == call.args.len() {
            return Err(ErrorReply::SYNTAX);
        }
        samples = match call.integer(at + 1)? {
            ..0 => return Err(ErrorReply::SYNTAX),
            0 => usize::MAX,
            count => count as usize,
        };
        at += 2;
    }
    let key = call.arg(2);
    let Some(found) = call.keys.peek(key) else { return call.reply.null() };
    let value = call.keys.value(found);
    let inline = match value {
        crate::value::ValueRef::Inline(_, bytes) => bytes.len(),
        crate::value::ValueRef::Boxed(_) => size_of::<usize>(),
    };
    call.reply.count(RECORD_BYTES + key.len() + inline + value.memory(samples))
}

/// `MEMORY STATS`
pub fn memory_stats(call: &mut Call) -> CommandResult {
    let used = eviction::used_memory(call.state);
    let now = memory_use(&mut Source::of(call), used);
    let allocator = now.allocator;
    let databases = databases(call);
    let keys: usize = databases.iter().map(|database| database.1).sum();
    let net = used.saturating_sub(now.startup);
    let difference = |more: usize, less: usize| more as i64 - less as i64;
    let scripts = call.state.scripts.figures();
    let reply = &mut *call.reply;
    let at = reply.deferred_array();
    let mut count = 0;
    let mut integer = |reply: &mut crate::resp::Reply, name: &str, value: i64| {
        count += 1;
        reply.bulk(name.as_bytes())?;
        reply.integer(value)
    };
    integer(reply, "peak.allocated", now.peak as i64)?;
    integer(reply, "total.allocated", used as i64)?;
    integer(reply, "startup.allocated", now.startup as i64)?;
    integer(reply, "replication.backlog", 0)?;
    integer(reply, "clients.slaves", 0)?;
    integer(reply, "clients.normal", now.clients as i64)?;
    integer(reply, "cluster.links", 0)?;
    integer(reply, "aof.buffer", 0)?;
    integer(reply, "lua.caches", scripts.script_bytes as i64)?;
    integer(reply, "functions.caches", scripts.library_bytes as i64)?;
    integer(reply, "overhead.total", now.overhead as i64)?;
    integer(reply, "keys.count", keys as i64)?;
    integer(reply, "keys.bytes-per-key", net.checked_div(keys).unwrap_or(0) as i64)?;
    integer(reply, "dataset.bytes", now.dataset as i64)?;
    integer(reply, "allocator.allocated", allocator.allocated as i64)?;
    integer(reply, "allocator.active", allocator.active as i64)?;
    integer(reply, "allocator.resident", allocator.resident as i64)?;
    integer(reply, "allocator.muzzy", 0)?;
    integer(reply, "allocator-fragmentation.bytes", difference(allocator.active, allocator.allocated))?;
    integer(reply, "allocator-rss.bytes", difference(allocator.resident, allocator.active))?;
    integer(reply, "rss-overhead.bytes", difference(now.resident, allocator.resident))?;
    integer(reply, "fragmentation.bytes", difference(now.resident, used))?;
    let doubles = [
        ("dataset.percentage", now.dataset_percent()),
        ("peak.percentage", now.peak_percent()),
        ("allocator-fragmentation.ratio", ratio(allocator.active, used)),
        ("allocator-rss.ratio", ratio(allocator.resident, allocator.active)),
        ("rss-overhead.ratio", ratio(now.resident, allocator.resident)),
        ("fragmentation", ratio(now.resident, used)),
    ];
    for (name, value) in doubles {
        reply.bulk(name.as_bytes())?;
        reply.double_text(&value.to_string())?;
    }
    for (number, _, overhead) in &databases {
        reply.bulk(format!("db.{number}").as_bytes())?;
        reply.map(2)?;
        reply.bulk(b"overhead.hashtable.main")?;
        reply.count(*overhead)?;
        reply.bulk(b"overhead.hashtable.expires")?;
        reply.integer(0)?;
    }
    reply.finish_map(at, count + doubles.len() + databases.len())
}

/// The databases that have keys: number, keys, and bytes that lead to them.
fn databases(call: &mut Call) -> Vec<(usize, usize, usize)> {
    let mut databases: Vec<_> = (0..call.state.keyspace.databases()).map(|number| (number, 0, 0)).collect();
    call.keys.visit_shards(|shard| {
        for (database, tree) in databases.iter_mut().zip(&shard.databases) {
            database.1 += tree.len();
            database.2 += tree.memory().node_bytes;
        }
    });
    databases.retain(|(_, keys, _)| *keys > 0);
    databases
}

/// `MEMORY DOCTOR`
pub fn memory_doctor(call: &mut Call) -> CommandResult {
    let used = eviction::used_memory(call.state);
    let now = memory_use(&mut Source::of(call), used);
    let clients = call.state.clients.len().max(1);
    let mut text = String::new();
    if used < DOCTOR_BYTES_MIN {
        text.push_str("There is hardly any data yet, so nothing can be said about how memory is used.\n");
    } else {
        if now.peak > used / 2 * 3 {
            text.push_str(
                "Peak: once more than half as much again was in use. Memory that was freed since may still be resident; \
                 MEMORY PURGE returns what it can.\n",
            );
        }
        if now.resident > used / 5 * 7 && now.resident - used > 10 << 20 {
            text.push_str(
                "Fragmentation: much more memory is resident than in use. It is reused as data grows; MEMORY PURGE \
                 returns what it can.\n",
            );
        }
        if now.clients / clients > 200 << 10 {
            text.push_str("Clients: their buffers are large. CLIENT LIST shows whose (tot-mem).\n");
        }
        if text.is_empty() {
            text.push_str("No problem was found.\n");
        }
    }
    call.reply.verbatim(*b"txt", text.as_bytes())
}

/// `MEMORY PURGE`
pub fn memory_purge(call: &mut Call) -> CommandResult {
    if memory::purge() { call.reply.ok() } else { Err(ErrorReply::fixed("ERR Error purging dirty pages")) }
}

/// `MEMORY MALLOC-STATS`
pub fn memory_malloc_stats(call: &mut Call) -> CommandResult {
    call.reply.verbatim(*b"txt", &memory::statistics())
}
