//! Commands on streams: what they have in common here, and a module for each kind of them.

mod add;
mod claim;
mod delete;
mod effects;
mod group;
mod info;
mod pending;
mod range;
mod read;

pub use add::{xadd, xtrim};
pub use claim::{xautoclaim, xclaim};
pub use delete::{xackdel, xdel, xdelex, xsetid};
pub use group::{xgroup_create, xgroup_createconsumer, xgroup_delconsumer, xgroup_destroy, xgroup_setid};
pub use info::{xinfo_consumers, xinfo_groups, xinfo_stream};
pub use pending::{xack, xpending};
pub use range::{xlen, xrange, xrevrange};
pub use read::{xread, xreadgroup};

use super::list::write_element;
use super::{Call, Found, Keys};
use crate::pubsub::Event;
use crate::resp::{Args, CommandResult, ErrorReply, Reply};
use crate::value::stream::{ConsumerNumber, Entry, Group, References, Stream, StreamId};
use crate::value::{Type, Value};
use smallvec::SmallVec;

/// Ids that a request names; few, as a rule.
type Ids = SmallVec<[StreamId; 8]>;

pub(super) const INVALID_ID: ErrorReply =
    ErrorReply::fixed("ERR Invalid stream ID specified as stream command argument");

/// The stream at `key`, to be read.
fn read<'a>(keys: &'a mut Keys<'_>, key: &[u8]) -> Result<Option<&'a Stream>, ErrorReply> {
    match keys.read(key) {
        None => Ok(None),
        Some(found) => keys.value(found).as_stream().map(Some).ok_or(ErrorReply::WRONG_TYPE),
    }
}

/// The stream at `key`, to be changed.
#[inline]
fn find(keys: &mut Keys<'_>, key: &[u8]) -> Result<Option<Found>, ErrorReply> {
    let found = keys.write(key);
    keys.typed(found, Type::Stream)
}

/// The same for a command that returns what is there.
fn find_read(keys: &mut Keys<'_>, key: &[u8]) -> Result<Option<Found>, ErrorReply> {
    let found = keys.read(key);
    keys.typed(found, Type::Stream)
}

/// The stream of a record that [`find`] found.
#[inline]
fn stream_of<'a>(keys: &'a mut Keys<'_>, found: Found) -> &'a mut Stream {
    match keys.boxed_mut(found) {
        Some(Value::Stream(stream)) => stream,
        _ => unreachable!("the record was found to be a stream"),
    }
}

fn write_id(reply: &mut Reply, id: StreamId) -> CommandResult {
    reply.bulk(id.text().as_bytes())
}

fn write_entry(reply: &mut Reply, entry: &Entry<'_>) -> CommandResult {
    let fields = entry.fields();
    reply.array(2)?;
    write_id(reply, entry.id)?;
    reply.array(2 * fields.len())?;
    for (name, value) in fields {
        write_element(reply, name)?;
        write_element(reply, value)?;
    }
    Ok(())
}

/// Writes entries as an array; says how many there were.
fn write_entries<'a>(reply: &mut Reply, mut entries: impl Iterator<Item = Entry<'a>>) -> Result<usize, ErrorReply> {
    let head = reply.deferred_array();
    let mut count = 0;
    entries.try_for_each(|entry| {
        count += 1;
        write_entry(reply, &entry)
    })?;
    reply.finish_array(head, count)?;
    Ok(count)
}

/// An id that must be one: neither `-` nor `+`.
fn parse_id(text: &[u8]) -> Result<StreamId, ErrorReply> {
    StreamId::parse(text, 0).ok_or(INVALID_ID)
}

fn parse_ids(args: Args<'_>) -> Result<Ids, ErrorReply> {
    args.iter().map(parse_id).collect()
}

/// An end of a range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Start,
    End,
}

/// An end of a range: `-`, `+`, an id, or `(` and an id that is not part of it.
fn parse_edge(text: &[u8], edge: Edge) -> Result<StreamId, ErrorReply> {
    let missing_seq = if edge == Edge::Start { 0 } else { u64::MAX };
    let parse = |text| StreamId::parse(text, missing_seq).ok_or(INVALID_ID);
    match (text, edge) {
        (b"-", _) => Ok(StreamId::MIN),
        (b"+", _) => Ok(StreamId::MAX),
        ([b'(', id @ ..], Edge::Start) if !id.is_empty() => {
            parse(id)?.next().ok_or(ErrorReply::fixed("ERR invalid start ID for the interval"))
        }
        ([b'(', id @ ..], Edge::End) if !id.is_empty() => {
            parse(id)?.previous().ok_or(ErrorReply::fixed("ERR invalid end ID for the interval"))
        }
        _ => parse(text),
    }
}

/// What a command does with references of groups to what it deletes, if the argument at `index` says so.
fn references_at(call: &Call, index: usize) -> Option<References> {
    let words = [("KEEPREF", References::Keep), ("DELREF", References::Delete), ("ACKED", References::Acknowledged)];
    words.into_iter().find(|(word, _)| call.is_word(index, word)).map(|(_, references)| references)
}

/// The error for a group that must be there: `before` the quoted `first` name, `between` it and the `second`, and what
/// is `after` that.
fn no_group(before: &str, first: &[u8], between: &str, second: &[u8], after: &str) -> ErrorReply {
    let quoted = |name: &[u8]| name[..memchr::memchr(0, name).unwrap_or(name.len())].to_vec();
    ErrorReply::new([before.as_bytes(), &quoted(first), between.as_bytes(), &quoted(second), after.as_bytes()].concat())
}

fn no_key_or_group(key: &[u8], group: &[u8]) -> ErrorReply {
    no_group("NOGROUP No such key '", key, "' or consumer group '", group, "'")
}

fn no_group_of_key(key: &[u8], group: &[u8]) -> ErrorReply {
    no_group("NOGROUP No such consumer group '", group, "' for key name '", key, "'")
}

/// The consumer called `name`, made if it is not there; and whether it was made, of which somebody is to be told
/// ([`tell_new_consumer`]). It counts as seen now.
fn obtain_consumer(group: &mut Group, name: &[u8], now_ms: i64) -> (ConsumerNumber, bool) {
    match group.find_consumer(name) {
        Some(number) => {
            group.consumer_mut(number).seen_ms = now_ms;
            (number, false)
        }
        None => (group.add_consumer(name, now_ms), true),
    }
}

fn tell_new_consumer(keys: &mut Keys<'_>, key: &[u8]) {
    keys.count_changes(1);
    keys.notify(Event::XGROUP_CREATECONSUMER, key);
}
