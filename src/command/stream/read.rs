//! `XREAD` and `XREADGROUP`, which can wait for entries.

use super::effects::Claims;
use super::{
    Call, INVALID_ID, find_read, no_group, obtain_consumer, parse_id, stream_of, tell_new_consumer, write_entries,
    write_entry, write_id,
};
use crate::command::call::{Mode, Wait};
use crate::resp::{CommandResult, ErrorReply, OwnedRequest, Reply};
use crate::value::Type;
use crate::value::number;
use crate::value::stream::{ConsumerNumber, Pending, Stream, StreamId};
use smallvec::SmallVec;

const GROUP_IS_NOT_FOR_XREAD: ErrorReply =
    ErrorReply::fixed("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.");
const NOACK_IS_NOT_FOR_XREAD: ErrorReply =
    ErrorReply::fixed("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.");
const NEW_IS_NOT_FOR_XREAD: ErrorReply = ErrorReply::fixed(
    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
);

const KEY_IS_GONE: ErrorReply = ErrorReply::fixed("UNBLOCKED the stream key no longer exists");

/// `XREAD [COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]`
pub fn xread(call: &mut Call) -> CommandResult {
    let request = Request::parse(call, false)?;
    request.run(call)
}

/// `XREADGROUP GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]`
pub fn xreadgroup(call: &mut Call) -> CommandResult {
    let request = Request::parse(call, true)?;
    if request.group.is_none() {
        return Err(ErrorReply::fixed("ERR Missing GROUP option for XREADGROUP"));
    }
    request.run(call)
}

/// From where a stream is read.
#[derive(Clone, Copy)]
enum Origin {
    /// Entries behind this one; of a group: those that are pending for the consumer.
    Behind(StreamId),
    /// What the group has not been given yet.
    New,
}

/// What is asked for.
struct Request<'a> {
    /// Group and consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    /// Entries of a stream at most.
    count: usize,
    no_ack: bool,
    /// If it is to wait: until when, in milliseconds of Unix time; `None`: for ever.
    wait_until_ms: Option<Option<i64>>,
    /// The argument that is the first key.
    first_key: usize,
    streams: usize,
}

impl<'a> Request<'a> {
    fn parse(call: &Call<'a, '_>, is_group: bool) -> Result<Self, ErrorReply> {
        let mut request =
            Request { group: None, count: usize::MAX, no_ack: false, wait_until_ms: None, first_key: 0, streams: 0 };
        let mut index = 1;
        while index < call.args.len() {
            let more = call.args.len() - index - 1;
            if more > 0 && call.is_word(index, "BLOCK") {
                request.wait_until_ms = Some(wait_until(call, index + 1)?);
                index += 2;
            } else if more > 0 && call.is_word(index, "COUNT") {
                // None and less mean all.
                request.count = match usize::try_from(call.integer(index + 1)?) {
                    Ok(0) | Err(_) => usize::MAX,
                    Ok(count) => count,
                };
                index += 2;
            } else if more > 0 && call.is_word(index, "STREAMS") {
                if more % 2 == 1 {
                    return Err(ErrorReply::new(format!(
                        "ERR Unbalanced '{}' list of streams: for each stream key an ID or '{}' must be specified.",
                        call.spec.name,
                        if is_group { '>' } else { '$' },
                    )));
                }
                request.first_key = index + 1;
                request.streams = more / 2;
                return Ok(request);
            } else if more > 1 && call.is_word(index, "GROUP") {
                if !is_group {
                    return Err(GROUP_IS_NOT_FOR_XREAD);
                }
                request.group = Some((call.arg(index + 1), call.arg(index + 2)));
                index += 3;
            } else if call.is_word(index, "NOACK") {
                if !is_group {
                    return Err(NOACK_IS_NOT_FOR_XREAD);
                }
                request.no_ack = true;
                index += 1;
            } else {
                break;
            }
        }
        Err(ErrorReply::SYNTAX)
    }

    fn key(&self, call: &Call<'a, '_>, stream: usize) -> &'a [u8] {
        call.arg(self.first_key + stream)
    }

    /// Answers, or waits.
    fn run(&self, call: &mut Call<'a, '_>) -> CommandResult {
        let from: SmallVec<[Origin; 8]> =
            (0..self.streams).map(|stream| self.from(call, stream)).collect::<Result<_, _>>()?;
        let begin = call.reply.deferred_array();
        let mut served = 0;
        for (stream, from) in from.iter().enumerate() {
            let is_served = match self.group {
                None => self.read(call, stream, *from)?,
                Some((group, consumer)) => self.read_group(call, stream, *from, group, consumer)?,
            };
            served += usize::from(is_served);
        }
        if served > 0 {
            return if call.reply.is_resp3() {
                call.reply.finish_map(begin, served)
            } else {
                call.reply.finish_array(begin, served)
            };
        }
        let Some(deadline_ms) = self.wait_until_ms else { return call.reply.null_array() };
        call.wait_for(Wait {
            keys: (0..self.streams).map(|stream| self.key(call, stream).into()).collect(),
            deadline_ms,
            feeds: None,
            wanted: Type::Stream,
            needs_keys: self.group.is_some(),
            request: self.resolved(call, &from),
            refused_with_value: false,
            acknowledgement: None,
        })
    }

    /// From where a stream is to be read; an error if that cannot be done.
    fn from(&self, call: &mut Call<'a, '_>, stream: usize) -> Result<Origin, ErrorReply> {
        let key = self.key(call, stream);
        let found = match find_read(call.keys, key) {
            Ok(None) | Err(_) if self.group.is_some() && call.mode == Mode::Serving => return Err(KEY_IS_GONE),
            found => found?,
        };
        let stream_at = found.and_then(|found| call.keys.value(found).as_stream());
        if let Some((name, _)) = self.group
            && stream_at.and_then(|stream| stream.group(name)).is_none()
        {
            let after = "' in XREADGROUP with GROUP option";
            return Err(no_group("NOGROUP No such key '", key, "' or consumer group '", name, after));
        }
        match (call.args.at(self.first_key + self.streams + stream), self.group.is_some()) {
            (mark @ (b"$" | b"+"), true) => {
                let mark = char::from(mark[0]);
                Err(ErrorReply::new(format!(
                    "ERR The {mark} ID is meaningless in the context of XREADGROUP: you want to read the history of this \
                     consumer by specifying a proper ID, or use the > ID to get new messages. The {mark} ID would just \
                     return an empty result set.",
                )))
            }
            (b"$", false) => Ok(Origin::Behind(stream_at.map_or(StreamId::MIN, |stream| stream.last_id()))),
            (b"+", false) => {
                let last = stream_at.and_then(|stream| Some(stream.last()?.id));
                // The last entry itself, or what comes when there is none.
                let before = last.map(|last| last.previous().unwrap_or(StreamId::MIN));
                let none = || stream_at.map_or(StreamId::MIN, |stream| stream.last_id());
                Ok(Origin::Behind(before.unwrap_or_else(none)))
            }
            (b">", true) => Ok(Origin::New),
            (b">", false) => Err(NEW_IS_NOT_FOR_XREAD),
            (b"-", _) => Err(INVALID_ID),
            (id, is_group) => match parse_id(id)? {
                // Nothing is behind it: it stands for what is new.
                StreamId::MAX if is_group => Ok(Origin::New),
                id => Ok(Origin::Behind(id)),
            },
        }
    }

    /// Reads a stream, if it has what is asked for.
    fn read(&self, call: &mut Call, stream: usize, from: Origin) -> Result<bool, ErrorReply> {
        let key = call.args.at(self.first_key + stream);
        let Origin::Behind(id) = from else { return Ok(false) };
        let (Some(start), Some(found)) = (id.next(), call.keys.read(key)) else { return Ok(false) };
        let Some(stream) = call.keys.value(found).as_stream() else { return Ok(false) };
        if stream.last_id() <= id || stream.range(start, StreamId::MAX).next().is_none() {
            return Ok(false);
        }
        write_stream_head(call.reply, key)?;
        write_entries(call.reply, stream.range(start, StreamId::MAX).take(self.count))?;
        Ok(true)
    }

    /// Reads a stream for a group, if it has what is asked for.
    fn read_group(
        &self,
        call: &mut Call,
        stream: usize,
        from: Origin,
        group_name: &[u8],
        consumer_name: &[u8],
    ) -> Result<bool, ErrorReply> {
        let key = call.args.at(self.first_key + stream);
        let (now_ms, is_logged) = (call.keys.now_ms(), call.keys.is_logged());
        let Some(found) = call.keys.read(key) else { return Ok(false) };
        let stream = stream_of(call.keys, found);
        let Some(group) = stream.group_mut(group_name) else { return Ok(false) };
        let (consumer, is_new) = obtain_consumer(group, consumer_name, now_ms);
        let last_id = group.last_id;
        let mut claims = Claims::new(key, group_name, consumer_name);
        let is_served = match from {
            Origin::New => {
                let start = last_id.next().filter(|_| stream.last_id() > last_id);
                start.is_some_and(|start| stream.range(start, StreamId::MAX).next().is_some())
            }
            Origin::Behind(_) => true,
        };
        if is_served {
            write_stream_head(call.reply, key)?;
            let head = call.reply.deferred_array();
            let count = match from {
                Origin::New => {
                    let reply = &mut *call.reply;
                    let owner = (!self.no_ack).then_some(consumer);
                    let claimed = &mut claims.claimed;
                    stream.read_group(group_name, self.count, owner, now_ms, |entry| {
                        if is_logged && owner.is_some() {
                            claimed.push(Pending { id: entry.id, consumer, delivered_ms: now_ms, deliveries: 1 });
                        }
                        write_entry(reply, entry)
                    })?
                }
                Origin::Behind(id) => {
                    let start = id.next().unwrap_or(StreamId::MAX);
                    let delivered = self.write_history(call.reply, stream, group_name, consumer, start, now_ms)?;
                    if let Some(group) = stream.group(group_name).filter(|_| is_logged) {
                        claims.claimed.extend(delivered.ids.iter().filter_map(|id| group.pending(*id)).copied());
                    }
                    delivered.count
                }
            };
            call.reply.finish_array(head, count)?;
            call.keys.count_changes(1);
        }
        if is_new {
            tell_new_consumer(call.keys, key);
        }
        if is_served || is_new {
            claims.log(call.keys, is_new, is_served && matches!(from, Origin::New));
        }
        Ok(is_served)
    }

    /// Writes what is pending for a consumer, from `start` on, and notes that it was delivered once more.
    fn write_history(
        &self,
        reply: &mut Reply,
        stream: &mut Stream,
        group: &[u8],
        consumer: ConsumerNumber,
        start: StreamId,
        now_ms: i64,
    ) -> Result<Delivered, ErrorReply> {
        let Some(history) = stream.group(group).map(|group| group.consumer(consumer).pending_from(start)) else {
            return Ok(Delivered::default());
        };
        let mut delivered = Delivered::default();
        for id in history.take(self.count) {
            delivered.count += 1;
            if let Some(entry) = stream.get(id) {
                write_entry(reply, &entry)?;
                delivered.ids.push(id);
            } else {
                // It was deleted while it was pending.
                reply.array(2)?;
                write_id(reply, id)?;
                reply.null_array()?;
            }
        }
        if let Some(group) = stream.group_mut(group) {
            delivered.ids.iter().for_each(|id| group.deliver_again(*id, now_ms));
        }
        Ok(delivered)
    }

    /// The request with the ids in it that `$` stands for now, so that it can be made again later; `None` if it has no such
    /// ids. What `+` stands for is seen when there is an entry.
    fn resolved(&self, call: &Call, origins: &[Origin]) -> Option<OwnedRequest> {
        let first_id = self.first_key + self.streams;
        let is_open = |index: usize| index >= first_id && call.arg(index) == b"$";
        if !(first_id..call.args.len()).any(is_open) {
            return None;
        }
        let texts: Vec<Vec<u8>> = (first_id..call.args.len())
            .zip(origins)
            .map(|(index, origin)| match origin {
                Origin::Behind(id) if is_open(index) => id.text().as_bytes().to_vec(),
                _ => call.arg(index).to_vec(),
            })
            .collect();
        let before = call.args.iter().take(first_id);
        let args: Vec<&[u8]> = before.chain(texts.iter().map(Vec::as_slice)).collect();
        Some(OwnedRequest::new(args.into_iter()))
    }
}

/// Entries that a consumer got once more.
#[derive(Default)]
struct Delivered {
    /// Those that were written, with those that are gone.
    count: usize,
    /// Those that are still there.
    ids: Vec<StreamId>,
}

/// Begins what is read of one stream: a pair in RESP2, an element of a map in RESP3.
fn write_stream_head(reply: &mut Reply, key: &[u8]) -> CommandResult {
    if !reply.is_resp3() {
        reply.array(2)?;
    }
    reply.bulk(key)
}

/// The end of a wait that `BLOCK` asks for.
fn wait_until(call: &Call, index: usize) -> Result<Option<i64>, ErrorReply> {
    const NOT_INTEGER: ErrorReply = ErrorReply::fixed("ERR timeout is not an integer or out of range");
    match number::parse_i64(call.arg(index)).ok_or(NOT_INTEGER)? {
        i64::MIN..0 => Err(ErrorReply::TIMEOUT_NEGATIVE),
        0 => Ok(None),
        milliseconds => {
            let deadline = call.keys.now_ms().checked_add(milliseconds);
            deadline.map(Some).ok_or(ErrorReply::TIMEOUT_OUT_OF_RANGE)
        }
    }
}
