//! `DEBUG`: tools with which tests look into the server and bend it.

use super::call::{Call, Mode};
use super::string::put_bytes;
use crate::append_file;
use crate::config::{Directive, Rewrite, error_text};
use crate::loading::{self, Options};
use crate::memory;
use crate::resp::{CommandResult, ErrorReply, Reply};
use crate::saving;
use crate::script::Catalog;
use crate::spec::errors;
use crate::state::REPLY_PEAK_RESET_MS;
use crate::value::digest::Digest;
use crate::value::packed::{Element, IntegerText};
use crate::value::stream::StreamId;
use crate::value::{ValueRef, number};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Longest `DEBUG SLEEP`, in seconds.
const SLEEP_SECONDS_MAX: f64 = 1e6;
/// Most that `DEBUG QUICKLIST-PACKED-THRESHOLD` accepts, in bytes.
const PACKED_THRESHOLD_MAX: u64 = 4 << 30;

const HELP: &[&str] = &[
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CONFIG-REWRITE-FORCE-ALL",
    "    Like CONFIG REWRITE, but writes every directive, be it at its default.",
    "DIGEST",
    "    Returns a digest of all keys and values.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    Returns a digest of each key's value.",
    "ERROR <string>",
    "    Returns an error with this text.",
    "HTSTATS <dbid> [full]",
    "    Returns figures of a database's tree.",
    "LOG <message>",
    "    Writes the message to the server's log.",
    "MALLCTL <key>",
    "    Returns a number that the allocator keeps.",
    "MALLCTL-STR thread.tcache.flush VOID",
    "    Has the allocator give up what it keeps for the thread that serves the client.",
    "OBJECT <key>",
    "    Describes how a key's value is kept.",
    "PAUSE-CRON <0|1>",
    "    Suspends what the server does by itself: expiry, eviction, looking after clients, sampling of figures.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Creates <count> strings <prefix>:0, <prefix>:1, ... (default prefix: key).",
    "PROTOCOL <type>",
    "    Returns a value of a type: string, integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
    "    true, false.",
    "QUICKLIST-PACKED-THRESHOLD <size>",
    "    List elements of at least this size get a node of their own; 0 restores the default.",
    "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
    "    Saves everything, removes it, and loads it again. MERGE: keys that exist already are replaced. NOFLUSH: nothing is",
    "    removed before. NOSAVE: what was saved before is loaded.",
    "REPLICATE <word> [<word> ...]",
    "    Sends replicas a command of these words.",
    "REPLYBUFFER PEAK-RESET-TIME <NEVER|RESET|milliseconds>",
    "    For how long a reply counts towards the size of its client's reply buffer.",
    "SEGFAULT",
    "    Crashes the server.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Whether keys are removed when their time comes, or only when they are asked for.",
    "SET-DISABLE-DENY-SCRIPTS <0|1>",
    "    Whether scripts may run DEBUG and CLIENT LIST.",
    "SLEEP <seconds>",
    "    Stops the server for so long. Decimals allowed.",
    "STRINGMATCH-LEN <length> <pattern>",
    "    Matches a string of so many letters a with a glob-style pattern.",
    "HELP",
    "    Prints this help.",
];

/// `DEBUG subcommand [argument …]`
pub fn debug(call: &mut Call) -> CommandResult {
    // As in Redis, what it does stays on this server.
    call.keys.restate();
    let count = call.args.len();
    match (call.arg(1).to_ascii_uppercase().as_slice(), count) {
        (b"HELP", 2) => {
            call.reply.array(HELP.len())?;
            HELP.iter().try_for_each(|line| call.reply.simple(line))
        }
        (b"SLEEP", 3) => sleep(call),
        (b"SEGFAULT", 2) => {
            crate::crash::crash();
            call.reply.ok()
        }
        (b"OBJECT", 3 | 4) => object(call),
        (b"DIGEST", 2) => digest(call),
        (b"DIGEST-VALUE", _) => digest_value(call),
        (b"POPULATE", 3..=5) => populate(call),
        (b"SET-ACTIVE-EXPIRE", 3) => {
            call.state.active_expire.store(number::parse_i64(call.arg(2)).unwrap_or(0) != 0, Ordering::Relaxed);
            call.reply.ok()
        }
        (b"SET-DISABLE-DENY-SCRIPTS", 3) => {
            let lets_in = number::parse_i64(call.arg(2)).unwrap_or(0) != 0;
            call.state.scripts.lets_debugging_in.store(lets_in, Ordering::Relaxed);
            call.reply.ok()
        }
        (b"QUICKLIST-PACKED-THRESHOLD", 3) => {
            let size = crate::config::memory_size(call.arg(2))
                .filter(|size| *size <= PACKED_THRESHOLD_MAX)
                .ok_or(ErrorReply::fixed("ERR argument must be a memory value bigger than 1 and smaller than 4gb"))?;
            call.state.list_large_min.store(size as usize, Ordering::Relaxed);
            call.reply.ok()
        }
        (b"SET-SKIP-CHECKSUM-VALIDATION", 3) => {
            let skips = number::parse_i64(call.arg(2)).unwrap_or(0) != 0;
            call.state.skips_payload_checksums.store(skips, Ordering::Relaxed);
            call.reply.ok()
        }
        (b"REPLICATE", 3..) => {
            if call.state.log.is_on() {
                call.state.log.append_outside(call.args.iter().skip(2));
            }
            call.reply.ok()
        }
        (b"STRINGMATCH-LEN", 4) => {
            let len = call.integer_in(2, 0..=1 << 30, ErrorReply::NOT_INTEGER)?;
            let matches = crate::glob::matches(call.arg(3), &vec![b'a'; len as usize], false);
            call.reply.flag(matches)
        }
        (b"PROTOCOL", 3) => protocol(call),
        (b"LOG", 3) => {
            tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(call.arg(2)));
            call.reply.ok()
        }
        (b"CONFIG-REWRITE-FORCE-ALL", 2) => super::config::rewrite(call, Rewrite::All),
        // It is asked for, and does not count as a failure.
        (b"ERROR", 3) => call.reply.error(&ErrorReply::new(call.arg(2))),
        (b"PAUSE-CRON", 3) => {
            let on = call.integer_in(2, 0..=1, ErrorReply::NOT_INTEGER)? != 0;
            call.state.cron_paused.store(on, Ordering::Relaxed);
            call.reply.ok()
        }
        (b"REPLYBUFFER", 4) if call.is_word(2, "PEAK-RESET-TIME") => {
            let milliseconds = match call.arg(3) {
                word if word.eq_ignore_ascii_case(b"never") => i64::MAX,
                word if word.eq_ignore_ascii_case(b"reset") => REPLY_PEAK_RESET_MS,
                _ => call.integer_in(3, 0..=i64::MAX, ErrorReply::NOT_INTEGER)?,
            };
            call.state.reply_peak_reset_ms.store(milliseconds, Ordering::Relaxed);
            call.reply.ok()
        }
        (b"HTSTATS", 3 | 4) => tree_figures(call),
        (b"MALLCTL", 3) => {
            let value =
                memory::control(call.arg(2)).map_err(|error| ErrorReply::new(format!("ERR {}", error_text(&error))))?;
            call.reply.integer(value)
        }
        (b"MALLCTL-STR", 4) if call.arg(2) == b"thread.tcache.flush" && call.arg(3) == b"VOID" => {
            memory::flush_thread_cache().map_err(|error| ErrorReply::new(format!("ERR {}", error_text(&error))))?;
            call.reply.ok()
        }
        // Buffers, tables and child processes of which Redis lets tests change the upkeep do not exist here.
        (b"REPLYBUFFER", 4) if call.is_word(2, "RESIZING") => call.reply.ok(),
        (b"DICT-RESIZING", 3) => call.reply.ok(),
        (b"RELOAD", _) => reload(call),
        (b"LOADAOF", 2) => load_append_file(call),
        (b"AOF-FLUSH-SLEEP", 3) => {
            let microseconds = call.integer(2)?;
            call.state.append_file.sleep_us.store(microseconds, Ordering::Relaxed);
            call.reply.ok()
        }
        _ => Err(errors::subcommand_syntax(call.args)),
    }
}

/// `DEBUG SLEEP seconds`. Every thread stops; all shards are locked, so that nothing is under way either.
fn sleep(call: &mut Call) -> CommandResult {
    let seconds = std::str::from_utf8(call.arg(2)).ok().and_then(|text| text.parse::<f64>().ok());
    let seconds = seconds.filter(|seconds| !seconds.is_nan()).unwrap_or(0.0).clamp(0.0, SLEEP_SECONDS_MAX);
    call.state.standstill.sleep(Duration::from_secs_f64(seconds));
    call.reply.ok()
}

/// `DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE]`: what is there is saved, removed, and loaded.
fn reload(call: &mut Call) -> CommandResult {
    let (mut flushes, mut saves, mut options) = (true, true, Options::default());
    for index in 2..call.args.len() {
        match call.arg(index).to_ascii_uppercase().as_slice() {
            b"MERGE" => options.replaces = true,
            b"NOFLUSH" => flushes = false,
            b"NOSAVE" => saves = false,
            _ => {
                return Err(ErrorReply::fixed("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."));
            }
        }
    }
    let uncounted = call.keys.changes();
    if saves && saving::save(call.state, call.keys.locked(), uncounted).is_err() {
        return Err(ErrorReply::fixed("ERR"));
    }
    if flushes {
        super::database::flush(call, 0..call.state.keyspace.databases(), false);
        call.state.scripts.libraries.set(Catalog::default());
    }
    options.adds_libraries = !flushes;
    loading::reload(call.state, call.keys.locked(), options)
        .map_err(|_| ErrorReply::fixed("ERR Error trying to load the RDB dump, check server logs."))?;
    tracing::warn!("DB reloaded by DEBUG RELOAD");
    call.reply.ok()
}

/// `DEBUG LOADAOF`: what is there is removed, and the append-only file loaded.
fn load_append_file(call: &mut Call) -> CommandResult {
    let failed = ErrorReply::fixed("ERR Error trying to load the AOF files, check server logs.");
    if call.mode != Mode::Direct {
        return Err(failed);
    }
    let state = call.state;
    // What is loaded takes the locks that it needs.
    call.let_go();
    let shared = state.to_shared().map_err(|_| failed.clone())?;
    append_file::flush(state);
    if let Err(error) = loading::reload_append_file(&shared) {
        tracing::warn!("{error}");
        return Err(failed);
    }
    tracing::warn!("Append Only File loaded by DEBUG LOADAOF");
    call.reply.ok()
}

/// `DEBUG OBJECT key`
fn object(call: &mut Call) -> CommandResult {
    let Some(found) = call.keys.peek_beyond_deadline(call.arg(2)) else { return Err(ErrorReply::NO_SUCH_KEY) };
    let clock = call.keys.clock(found);
    let idle = crate::access::idle_seconds(&call.state.settings, clock, call.keys.now_ms());
    let value = call.keys.value(found);
    let address = match value {
        ValueRef::Inline(_, bytes) => bytes.as_ptr().addr(),
        ValueRef::Boxed(value) => std::ptr::from_ref(value).addr(),
    };
    let references = super::object::references(&call.state.settings, value);
    let mut text = format!(
        "Value at:{address:#x} refcount:{references} encoding:{} serializedlength:{} lru:{clock} lru_seconds_idle:{idle}",
        value.encoding(),
        serialized_len(value),
    );
    if let Some(list) = value.as_list() {
        let nodes = match value {
            ValueRef::Boxed(crate::value::Value::List(list)) => list.node_count(),
            _ => 1,
        };
        text.push_str(&format!(
            " ql_nodes:{nodes} ql_avg_node:{:.2} ql_listpack_max:{} ql_compressed:0 ql_uncompressed_size:{}",
            list.len() as f64 / nodes as f64,
            call.state.settings.int(Directive::ListMaxListpackSize),
            serialized_len(value),
        ));
    }
    call.reply.simple(&text)
}

/// Bytes that an RDB file takes for the value, without compression.
fn serialized_len(value: ValueRef<'_>) -> usize {
    let prefixed = |len: usize| match len {
        0..64 => len + 1,
        64..16384 => len + 2,
        _ => len + 5,
    };
    if let Some(string) = value.as_string() {
        return match string.as_integer().map(i64::unsigned_abs) {
            Some(0..=0x7f) => 2,
            Some(0x80..=0x7fff) => 3,
            Some(0x8000..=0x7fff_ffff) => 5,
            _ => prefixed(string.len()),
        };
    }
    let element_len = |element: Element<'_>| prefixed(element.as_bytes(&mut IntegerText::default()).len());
    let mut len = 0;
    if let Some(list) = value.as_list() {
        len = list.iter(0, list.len()).map(element_len).sum();
    } else if let Some(set) = value.as_sorted_set() {
        set.for_each(|member, _| len += element_len(member) + size_of::<f64>());
    } else if let Some(set) = value.as_set() {
        set.for_each(|member| len += element_len(member));
    } else if let Some(stream) = value.as_stream() {
        stream.for_each_listpack(|_, listpack| len += size_of::<StreamId>() + prefixed(listpack.len()));
    } else if let Some(hash) = value.as_hash() {
        hash.for_each(|field| len += element_len(field.name) + element_len(field.value));
    }
    len
}

/// `DEBUG HTSTATS dbid [full]`: of the tree, where Redis has a hash table.
fn tree_figures(call: &mut Call) -> CommandResult {
    const OUT_OF_RANGE: ErrorReply = ErrorReply::fixed("ERR Out of range database");
    let database = call.integer_in(2, 0..=call.state.keyspace.databases() as i64 - 1, OUT_OF_RANGE)? as usize;
    let (mut keys, mut deadlines, mut pages, mut nodes, mut free) = (0, 0, 0, 0, 0);
    for (_, shard) in call.keys.locked().shards() {
        let tree = &shard.databases[database];
        let memory = tree.memory();
        keys += tree.len();
        deadlines += tree.deadlines();
        pages += memory.page_bytes;
        nodes += memory.node_bytes;
        free += memory.page_free_bytes;
    }
    let text = format!(
        "[Tree]\nkeys: {keys}\nkeys with a deadline: {deadlines}\nbytes of pages: {pages}\nof these free: {free}\n\
         bytes of inner nodes: {nodes}\n"
    );
    call.reply.verbatim(*b"txt", text.as_bytes())
}

/// `DEBUG DIGEST`
fn digest(call: &mut Call) -> CommandResult {
    let mut digest = Digest::default();
    for database in 0..call.state.keyspace.databases() {
        let mut is_first = true;
        for (_, shard) in call.keys.locked().shards() {
            let tree = &shard.databases[database];
            if tree.is_empty() {
                continue;
            }
            if std::mem::take(&mut is_first) {
                digest.mix_database(database as u32);
            }
            let walk = tree.for_each(b"", |entry| {
                let value = entry.record.payload.into();
                digest.add_key(entry.key, value, entry.record.deadline.is_some());
                ControlFlow::Continue(())
            });
            debug_assert!(walk.is_continue());
        }
    }
    call.reply.simple(&digest.to_string())
}

/// `DEBUG DIGEST-VALUE key [key …]`
fn digest_value(call: &mut Call) -> CommandResult {
    call.reply.array(call.args.len() - 2)?;
    for key in call.args.from(2).iter() {
        let mut digest = Digest::default();
        if let Some(found) = call.keys.peek(key) {
            let expires = call.keys.deadline(found).is_some();
            digest.mix_value(call.keys.value(found), expires);
        }
        call.reply.simple(&digest.to_string())?;
    }
    Ok(())
}

/// `DEBUG POPULATE count [prefix] [size]`: keys that exist stay as they are.
fn populate(call: &mut Call) -> CommandResult {
    const NOT_POSITIVE: ErrorReply = ErrorReply::fixed("ERR value is out of range, must be positive");
    let count = call.integer_in(2, 0..=i64::MAX, NOT_POSITIVE)?;
    let size = match call.args.len() {
        5 => Some(call.integer_in(4, 0..=i64::from(i32::MAX), NOT_POSITIVE)? as usize),
        _ => None,
    };
    let prefix = call.args.get(3).unwrap_or(b"key");
    for index in 0..count {
        let key = [prefix, format!(":{index}").as_bytes()].concat();
        if call.keys.peek(&key).is_some() {
            continue;
        }
        let mut value = format!("value:{index}").into_bytes();
        if let Some(size) = size {
            value.resize(size, 0);
        }
        put_bytes(call.keys, &key, &value, None);
        call.keys.changed_quietly(&key, 1);
    }
    call.reply.ok()
}

/// `DEBUG PROTOCOL type`
fn protocol(call: &mut Call) -> CommandResult {
    let kind = call.arg(2).to_ascii_lowercase();
    let reply: &mut Reply = call.reply;
    match kind.as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        b"double" => reply.double_text("3.141"),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3)?;
            (0..3).try_for_each(|index| reply.integer(index))
        }
        b"set" => {
            reply.set(3)?;
            (0..3).try_for_each(|index| reply.integer(index))
        }
        b"map" => {
            reply.map(3)?;
            (0..3).try_for_each(|index| {
                reply.integer(index)?;
                reply.boolean(index == 1)
            })
        }
        b"attrib" => {
            if reply.is_resp3() {
                reply.raw(b"|1\r\n")?;
                reply.bulk(b"key-popularity")?;
                reply.array(2)?;
                reply.bulk(b"key:123")?;
                reply.integer(90)?;
            }
            reply.bulk(b"Some real reply following the attribute")
        }
        b"push" if !reply.is_resp3() => Err(ErrorReply::fixed("ERR RESP2 is not supported by this command")),
        b"push" => {
            reply.push(2)?;
            reply.bulk(b"server-cpu-usage")?;
            reply.integer(42)?;
            reply.bulk(b"Some real reply following the push reply")
        }
        b"verbatim" => reply.verbatim(*b"txt", b"This is a verbatim\nstring"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"bignum" if reply.is_resp3() => reply.raw(b"(1234567999999999999999999999999999999\r\n"),
        b"bignum" => reply.bulk(b"1234567999999999999999999999999999999"),
        _ => Err(ErrorReply::fixed(
            "ERR Wrong protocol type name. Please use one of the following: \
             string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
        )),
    }
}
