//! `XCLAIM` and `XAUTOCLAIM`: entries that are pending get another consumer.

use super::effects::Claims;
use super::{
    Call, Edge, Ids, no_key_or_group, obtain_consumer, parse_edge, parse_id, stream_of, tell_new_consumer, write_entry,
    write_id,
};
use crate::command::Found;
use crate::resp::{CommandResult, ErrorReply, Reply};
use crate::value::Type;
use crate::value::number;
use crate::value::stream::{Group, Pending, Stream, StreamId};

/// Pending entries that `XAUTOCLAIM` looks at for each that it may claim.
const ATTEMPTS_PER_CLAIM: usize = 10;
/// The largest `COUNT` of `XAUTOCLAIM`.
const COUNT_MAX: i64 = i64::MAX / 16;

/// The argument at `index` as an integer; `what` it is of `command`, for the error.
fn integer(call: &Call, index: usize, what: &str, command: &str) -> Result<i64, ErrorReply> {
    let error = || ErrorReply::new(format!("ERR Invalid {what} argument for {command}"));
    number::parse_i64(call.arg(index)).ok_or_else(error)
}

/// The record of the first key, if it is a stream with the group that the second argument names.
fn with_group(call: &mut Call, found: Option<Found>) -> Result<Found, ErrorReply> {
    let (key, name) = (call.arg(1), call.arg(2));
    let found = call.keys.typed(found, Type::Stream)?;
    found.filter(|found| stream_of(call.keys, *found).group(name).is_some()).ok_or_else(|| no_key_or_group(key, name))
}

/// A group of a stream that is known to have it.
fn group_of<'a>(stream: &'a mut Stream, name: &[u8]) -> &'a mut Group {
    match stream.group_mut(name) {
        Some(group) => group,
        None => unreachable!("the group was found"),
    }
}

/// Whether a pending entry has been idle for so long.
fn is_idle(pending: &Pending, min_idle_ms: i64, now_ms: i64) -> bool {
    min_idle_ms == 0 || now_ms.saturating_sub(pending.delivered_ms) >= min_idle_ms
}

/// Answers with an entry that was claimed; false if it is not there any more.
fn write_claimed(reply: &mut Reply, stream: &Stream, id: StreamId, only_id: bool) -> Result<bool, ErrorReply> {
    let Some(entry) = stream.get(id) else { return Ok(false) };
    if only_id {
        write_id(reply, id)?
    } else {
        write_entry(reply, &entry)?
    }
    Ok(true)
}

/// The options of `XCLAIM`.
#[derive(Default)]
struct Options {
    ids: Ids,
    min_idle_ms: i64,
    delivered_ms: Option<i64>,
    deliveries: Option<u64>,
    force: bool,
    only_ids: bool,
    last_id: StreamId,
}

impl Options {
    fn parse(call: &Call) -> Result<Self, ErrorReply> {
        let now_ms = call.keys.now_ms();
        let mut options = Options {
            min_idle_ms: integer(call, 4, "min-idle-time", "XCLAIM")?.max(0),
            ids: call.args.from(5).iter().map_while(|arg| StreamId::parse(arg, 0)).collect(),
            ..Options::default()
        };
        let mut index = 5 + options.ids.len();
        while index < call.args.len() {
            let has_value = index + 1 < call.args.len();
            if call.is_word(index, "FORCE") {
                options.force = true;
                index += 1;
                continue;
            }
            if call.is_word(index, "JUSTID") {
                options.only_ids = true;
                index += 1;
                continue;
            }
            if has_value && call.is_word(index, "IDLE") {
                let idle_ms = integer(call, index + 1, "IDLE option", "XCLAIM")?;
                options.delivered_ms = Some(now_ms.wrapping_sub(idle_ms));
            } else if has_value && call.is_word(index, "TIME") {
                options.delivered_ms = Some(integer(call, index + 1, "TIME option", "XCLAIM")?);
            } else if has_value && call.is_word(index, "RETRYCOUNT") {
                // A negative number is as good as none.
                options.deliveries = u64::try_from(integer(call, index + 1, "RETRYCOUNT option", "XCLAIM")?).ok();
            } else if has_value && call.is_word(index, "LASTID") {
                options.last_id = parse_id(call.arg(index + 1))?;
            } else {
                return Err(ErrorReply::about("ERR Unrecognized XCLAIM option '", call.arg(index), "'"));
            }
            index += 2;
        }
        // A time that makes no sense, from a clock that goes wrong say, is taken for the present.
        options.delivered_ms = options.delivered_ms.filter(|time| (0..=now_ms).contains(time));
        Ok(options)
    }
}

/// `XCLAIM key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-ms] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID id]`
pub fn xclaim(call: &mut Call) -> CommandResult {
    let found = call.keys.read(call.args.at(1));
    let found = with_group(call, found)?;
    let options = Options::parse(call)?;
    let (name, now_ms) = (call.arg(2), call.keys.now_ms());
    let (consumer_name, is_logged) = (call.arg(3), call.keys.is_logged());
    let mut claims = Claims::new(call.arg(1), name, consumer_name);
    let stream = stream_of(call.keys, found);
    let group = group_of(stream, name);
    let (consumer, is_new) = obtain_consumer(group, consumer_name, now_ms);
    let is_further = options.last_id > group.last_id;
    let mut moves_on = is_further;
    group.last_id = group.last_id.max(options.last_id);
    let head = call.reply.deferred_array();
    let (mut claimed, mut changes) = (0, 0);
    for &id in &options.ids {
        let before = group_of(stream, name).pending(id).copied();
        if stream.get(id).is_none() {
            if group_of(stream, name).acknowledge(id) {
                changes += 1;
                moves_on = false;
                claims.dropped.push(id);
            }
            continue;
        }
        let is_claimed = match &before {
            Some(pending) => is_idle(pending, options.min_idle_ms, now_ms),
            None => options.force,
        };
        if !is_claimed || !write_claimed(call.reply, stream, id, options.only_ids)? {
            continue;
        }
        let deliveries = before.map_or(1, |pending| pending.deliveries);
        let once_more = deliveries.wrapping_add(u64::from(!options.only_ids));
        let group = group_of(stream, name);
        let pending = Pending {
            id,
            consumer,
            delivered_ms: options.delivered_ms.unwrap_or(now_ms),
            deliveries: options.deliveries.unwrap_or(once_more),
        };
        group.assign(pending);
        if is_logged {
            claims.claimed.push(pending);
        }
        group.consumer_mut(consumer).active_ms = Some(now_ms);
        claimed += 1;
        changes += 1;
        moves_on = false;
    }
    call.reply.finish_array(head, claimed)?;
    call.keys.count_changes(changes + u64::from(moves_on));
    if is_new {
        tell_new_consumer(call.keys, call.args.at(1));
    }
    claims.log(call.keys, is_new, is_further);
    Ok(())
}

/// `XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]`
pub fn xautoclaim(call: &mut Call) -> CommandResult {
    let found = call.keys.read(call.args.at(1));
    let min_idle_ms = integer(call, 4, "min-idle-time", "XAUTOCLAIM")?.max(0);
    let start = parse_edge(call.arg(5), Edge::Start)?;
    let (mut count, mut only_ids) = (100, false);
    let mut index = 6;
    while index < call.args.len() {
        if call.is_word(index, "COUNT") && index + 1 < call.args.len() {
            let error = ErrorReply::fixed("ERR COUNT must be > 0");
            count = call.integer_in(index + 1, 1..=COUNT_MAX, error)? as usize;
            index += 2;
        } else if call.is_word(index, "JUSTID") {
            only_ids = true;
            index += 1;
        } else {
            return Err(ErrorReply::SYNTAX);
        }
    }
    let found = with_group(call, found)?;
    let (name, now_ms, is_logged) = (call.arg(2), call.keys.now_ms(), call.keys.is_logged());
    let consumer_name = call.arg(3);
    let mut claims = Claims::new(call.arg(1), name, consumer_name);
    let stream = stream_of(call.keys, found);
    let (consumer, is_new) = obtain_consumer(group_of(stream, name), consumer_name, now_ms);
    let mut attempts = count.saturating_mul(ATTEMPTS_PER_CLAIM);
    let mut next = Some(start);
    let mut claimed = 0;
    call.reply.array(3)?;
    let begin = call.reply.len();
    let cursor = loop {
        let pending = next.and_then(|next| group_of(stream, name).pending_from(next).next().copied());
        let Some(pending) = pending else { break StreamId::MIN };
        if attempts == 0 || claimed + claims.dropped.len() == count {
            break pending.id;
        }
        attempts -= 1;
        next = pending.id.next();
        if stream.get(pending.id).is_none() {
            group_of(stream, name).acknowledge(pending.id);
            claims.dropped.push(pending.id);
            continue;
        }
        if !is_idle(&pending, min_idle_ms, now_ms) || !write_claimed(call.reply, stream, pending.id, only_ids)? {
            continue;
        }
        let deliveries = pending.deliveries.wrapping_add(u64::from(!only_ids));
        let group = group_of(stream, name);
        let pending = Pending { consumer, delivered_ms: now_ms, deliveries, ..pending };
        group.assign(pending);
        if is_logged {
            claims.claimed.push(pending);
        }
        group.consumer_mut(consumer).active_ms = Some(now_ms);
        claimed += 1;
    };
    // Both are known only now.
    let mut head = Reply::new(call.reply.protocol());
    write_id(&mut head, cursor)?;
    head.array(claimed)?;
    call.reply.insert_raw(begin, head.as_bytes());
    call.reply.array(claims.dropped.len())?;
    claims.dropped.iter().try_for_each(|id| write_id(call.reply, *id))?;
    call.keys.count_changes((claimed + claims.dropped.len()) as u64);
    if is_new {
        tell_new_consumer(call.keys, call.args.at(1));
    }
    claims.log(call.keys, is_new, false);
    Ok(())
}
