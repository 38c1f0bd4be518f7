//! `XINFO`: what there is to know of a stream, its groups and their consumers.

use super::{Call, no_group_of_key, read, write_entries, write_entry, write_id};
use crate::resp::{CommandResult, ErrorReply, Reply};
use crate::spec::errors;
use crate::value::stream::{Consumer, Entry, Group, Stream, StreamId};

/// Entries that `XINFO STREAM key FULL` shows of each kind unless told otherwise.
const FULL_COUNT: usize = 10;

fn integer_or_null(reply: &mut Reply, value: Option<i64>) -> CommandResult {
    match value {
        Some(value) => reply.integer(value),
        None => reply.null(),
    }
}

/// `XINFO STREAM key [FULL [COUNT count]]`
pub fn xinfo_stream(call: &mut Call) -> CommandResult {
    let count = full_count(call);
    let stream = read(call.keys, call.args.at(2))?.ok_or(ErrorReply::NO_SUCH_KEY)?;
    match count? {
        None => write_brief(call.reply, stream),
        Some(count) => write_full(call.reply, stream, count),
    }
}

/// How much of everything is to be shown; `None` if only the brief form is asked for.
fn full_count(call: &Call) -> Result<Option<usize>, ErrorReply> {
    match call.args.len() {
        3 => Ok(None),
        4 if call.is_word(3, "FULL") => Ok(Some(FULL_COUNT)),
        6 if call.is_word(3, "FULL") && call.is_word(4, "COUNT") => Ok(Some(match call.integer(5)? {
            i64::MIN..0 => FULL_COUNT,
            0 => usize::MAX,
            count => count as usize,
        })),
        _ => Err(errors::subcommand_syntax(call.args)),
    }
}

fn write_common(reply: &mut Reply, stream: &Stream) -> CommandResult {
    reply.bulk(b"length")?;
    reply.integer(stream.len() as i64)?;
    reply.bulk(b"radix-tree-keys")?;
    reply.count(stream.block_count())?;
    reply.bulk(b"radix-tree-nodes")?;
    reply.count(stream.radix_node_count())?;
    reply.bulk(b"last-generated-id")?;
    write_id(reply, stream.last_id())?;
    reply.bulk(b"max-deleted-entry-id")?;
    write_id(reply, stream.max_deleted_id())?;
    reply.bulk(b"entries-added")?;
    reply.integer(stream.entries_added() as i64)?;
    reply.bulk(b"recorded-first-entry-id")?;
    write_id(reply, stream.first_id())
}

fn write_brief(reply: &mut Reply, stream: &Stream) -> CommandResult {
    reply.map(10)?;
    write_common(reply, stream)?;
    reply.bulk(b"groups")?;
    reply.count(stream.groups().len())?;
    let write = |reply: &mut Reply, entry: Option<Entry<'_>>| match entry {
        Some(entry) => write_entry(reply, &entry),
        None => reply.null(),
    };
    reply.bulk(b"first-entry")?;
    write(reply, stream.range(StreamId::MIN, StreamId::MAX).next())?;
    reply.bulk(b"last-entry")?;
    write(reply, stream.last())
}

fn write_full(reply: &mut Reply, stream: &Stream, count: usize) -> CommandResult {
    reply.map(9)?;
    write_common(reply, stream)?;
    reply.bulk(b"entries")?;
    write_entries(reply, stream.range(StreamId::MIN, StreamId::MAX).take(count))?;
    reply.bulk(b"groups")?;
    reply.array(stream.groups().len())?;
    for (name, group) in stream.groups() {
        reply.map(7)?;
        write_group_head(reply, name, group)?;
        write_progress(reply, stream, group)?;
        reply.bulk(b"pel-count")?;
        reply.count(group.pending_len())?;
        reply.bulk(b"pending")?;
        reply.array(group.pending_len().min(count))?;
        for pending in group.pending_from(StreamId::MIN).take(count) {
            reply.array(4)?;
            write_id(reply, pending.id)?;
            reply.bulk(group.consumer(pending.consumer).name())?;
            reply.integer(pending.delivered_ms)?;
            reply.integer(pending.deliveries as i64)?;
        }
        reply.bulk(b"consumers")?;
        reply.array(group.consumer_count())?;
        group.consumers().try_for_each(|consumer| write_full_consumer(reply, group, consumer, count))?;
    }
    Ok(())
}

fn write_full_consumer(reply: &mut Reply, group: &Group, consumer: &Consumer, count: usize) -> CommandResult {
    reply.map(5)?;
    reply.bulk(b"name")?;
    reply.bulk(consumer.name())?;
    reply.bulk(b"seen-time")?;
    reply.integer(consumer.seen_ms)?;
    reply.bulk(b"active-time")?;
    reply.integer(consumer.active_ms.unwrap_or(-1))?;
    reply.bulk(b"pel-count")?;
    reply.count(consumer.pending_len())?;
    reply.bulk(b"pending")?;
    reply.array(consumer.pending_len().min(count))?;
    for pending in consumer.pending_from(StreamId::MIN).take(count).filter_map(|id| group.pending(id)) {
        reply.array(3)?;
        write_id(reply, pending.id)?;
        reply.integer(pending.delivered_ms)?;
        reply.integer(pending.deliveries as i64)?;
    }
    Ok(())
}

fn write_group_head(reply: &mut Reply, name: &[u8], group: &Group) -> CommandResult {
    reply.bulk(b"name")?;
    reply.bulk(name)?;
    reply.bulk(b"last-delivered-id")?;
    write_id(reply, group.last_id)
}

/// How far a group has read, and what is left.
fn write_progress(reply: &mut Reply, stream: &Stream, group: &Group) -> CommandResult {
    reply.bulk(b"entries-read")?;
    integer_or_null(reply, group.entries_read.map(|read| read as i64))?;
    reply.bulk(b"lag")?;
    integer_or_null(reply, stream.lag(group))
}

/// `XINFO GROUPS key`
pub fn xinfo_groups(call: &mut Call) -> CommandResult {
    let stream = read(call.keys, call.args.at(2))?.ok_or(ErrorReply::NO_SUCH_KEY)?;
    let reply = &mut *call.reply;
    reply.array(stream.groups().len())?;
    for (name, group) in stream.groups() {
        reply.map(6)?;
        reply.bulk(b"name")?;
        reply.bulk(name)?;
        reply.bulk(b"consumers")?;
        reply.count(group.consumer_count())?;
        reply.bulk(b"pending")?;
        reply.count(group.pending_len())?;
        reply.bulk(b"last-delivered-id")?;
        write_id(reply, group.last_id)?;
        write_progress(reply, stream, group)?;
    }
    Ok(())
}

/// `XINFO CONSUMERS key group`
pub fn xinfo_consumers(call: &mut Call) -> CommandResult {
    let now_ms = call.keys.now_ms();
    let (key, name) = (call.args.at(2), call.args.at(3));
    let stream = read(call.keys, key)?.ok_or(ErrorReply::NO_SUCH_KEY)?;
    let group = stream.group(name).ok_or_else(|| no_group_of_key(key, name))?;
    let reply = &mut *call.reply;
    reply.array(group.consumer_count())?;
    for consumer in group.consumers() {
        reply.map(4)?;
        reply.bulk(b"name")?;
        reply.bulk(consumer.name())?;
        reply.bulk(b"pending")?;
        reply.count(consumer.pending_len())?;
        reply.bulk(b"idle")?;
        reply.integer(now_ms.saturating_sub(consumer.seen_ms).max(0))?;
        reply.bulk(b"inactive")?;
        reply.integer(consumer.active_ms.map_or(-1, |active_ms| now_ms.saturating_sub(active_ms)))?;
    }
    Ok(())
}
