//! `XACK` and `XPENDING`: what consumers have been given and not acknowledged.

use super::{Call, Edge, find_read, no_key_or_group, parse_edge, parse_ids, read, stream_of, write_id};
use crate::resp::{CommandResult, ErrorReply, Reply};
use crate::value::stream::{Group, Pending, StreamId};

/// `XACK key group id [id ...]`
pub fn xack(call: &mut Call) -> CommandResult {
    let found = find_read(call.keys, call.args.at(1))?;
    let name = call.arg(2);
    let Some(group) = found.and_then(|found| stream_of(call.keys, found).group_mut(name)) else {
        return call.reply.integer(0);
    };
    let ids = parse_ids(call.args.from(3))?;
    let acknowledged = ids.iter().filter(|id| group.acknowledge(**id)).count();
    call.keys.count_changes(acknowledged as u64);
    call.reply.count(acknowledged)
}

/// What the long form of `XPENDING` asks for.
struct Query<'a> {
    min_idle_ms: i64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Query<'a> {
    fn parse(call: &Call<'a, '_>) -> Result<Self, ErrorReply> {
        let (mut min_idle_ms, mut index) = (0, 3);
        if call.is_word(index, "IDLE") {
            min_idle_ms = call.integer(index + 1)?;
            if call.args.len() < 8 {
                return Err(ErrorReply::SYNTAX);
            }
            index += 2;
        }
        let count = usize::try_from(call.integer(index + 2)?).unwrap_or(0);
        let (start, end) = (parse_edge(call.arg(index), Edge::Start)?, parse_edge(call.arg(index + 1), Edge::End)?);
        Ok(Query { min_idle_ms, start, end, count, consumer: call.args.get(index + 3) })
    }
}

/// `XPENDING key group [[IDLE min-idle-time] start end count [consumer]]`
pub fn xpending(call: &mut Call) -> CommandResult {
    let query = match call.args.len() {
        3 => None,
        6..=9 => Some(Query::parse(call)?),
        _ => return Err(ErrorReply::SYNTAX),
    };
    let now_ms = call.keys.now_ms();
    let (key, name) = (call.args.at(1), call.args.at(2));
    let group = read(call.keys, key)?.and_then(|stream| stream.group(name));
    let group = group.ok_or_else(|| no_key_or_group(key, name))?;
    match query {
        None => write_summary(call.reply, group),
        Some(query) => write_pending(call.reply, group, &query, now_ms),
    }
}

fn write_summary(reply: &mut Reply, group: &Group) -> CommandResult {
    reply.array(4)?;
    reply.count(group.pending_len())?;
    let Some((first, last)) = group.pending_edges() else {
        reply.null()?;
        reply.null()?;
        return reply.null_array();
    };
    write_id(reply, first)?;
    write_id(reply, last)?;
    let busy = || group.consumers().filter(|consumer| consumer.pending_len() > 0);
    reply.array(busy().count())?;
    busy().try_for_each(|consumer| {
        reply.array(2)?;
        reply.bulk(consumer.name())?;
        reply.bulk_integer(consumer.pending_len() as i64)
    })
}

fn write_pending(reply: &mut Reply, group: &Group, query: &Query<'_>, now_ms: i64) -> CommandResult {
    let consumer = match query.consumer {
        None => None,
        Some(name) => match group.find_consumer(name) {
            None => return reply.array(0),
            found => found,
        },
    };
    let head = reply.deferred_array();
    let mut count = 0;
    let mut write = |pending: &Pending| -> CommandResult {
        count += 1;
        reply.array(4)?;
        write_id(reply, pending.id)?;
        reply.bulk(group.consumer(pending.consumer).name())?;
        reply.integer(now_ms.saturating_sub(pending.delivered_ms).max(0))?;
        reply.integer(pending.deliveries as i64)
    };
    let is_asked_for =
        |pending: &&Pending| query.min_idle_ms == 0 || now_ms.saturating_sub(pending.delivered_ms) >= query.min_idle_ms;
    match consumer {
        None => {
            let pending = group.pending_from(query.start).take_while(|pending| pending.id <= query.end);
            pending.filter(is_asked_for).take(query.count).try_for_each(&mut write)?;
        }
        Some(consumer) => {
            let ids = group.consumer(consumer).pending_from(query.start).take_while(|id| *id <= query.end);
            let pending = ids.filter_map(|id| group.pending(id));
            pending.filter(is_asked_for).take(query.count).try_for_each(&mut write)?;
        }
    }
    reply.finish_array(head, count)
}
