//! `XDEL`, `XDELEX`, `XACKDEL`, and `XSETID`.

use super::{Call, Ids, find, find_read, parse_id, parse_ids, references_at, stream_of};
use crate::command::Found;
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply};
use crate::value::stream::{Deletion, References, Stream, StreamId};
use std::ops::Range;

/// What became of an entry, as `XDELEX` and `XACKDEL` tell it.
const MISSING: i64 = -1;
const DELETED: i64 = 1;
const STILL_NEEDED: i64 = 2;

/// `XDEL key id [id ...]`
pub fn xdel(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let Some(found) = find(call.keys, key)? else { return call.reply.integer(0) };
    let ids = parse_ids(call.args.from(2))?;
    let stream = stream_of(call.keys, found);
    let deleted = ids.iter().filter(|id| stream.delete(**id, References::Keep) == Deletion::Deleted).count() as u64;
    if deleted > 0 {
        call.keys.changed_by(key, deleted, Event::XDEL);
    }
    call.reply.integer(deleted as i64)
}

/// `[KEEPREF|DELREF|ACKED] IDS numids id [id ...]`, from the argument `index` on: what becomes of references, and which
/// arguments are ids.
fn parse_references(call: &Call, mut index: usize) -> Result<(References, Range<usize>), ErrorReply> {
    let mut references = None;
    let mut ids = None;
    while index < call.args.len() {
        if let (Some(given), None) = (references_at(call, index), references) {
            references = Some(given);
            index += 1;
        } else if ids.is_none() && call.is_word(index, "IDS") && index + 1 < call.args.len() {
            let not_positive = ErrorReply::fixed("ERR Number of IDs must be a positive integer");
            let count = call.integer_in(index + 1, 1..=i64::MAX, not_positive)? as usize;
            let first = index + 2;
            if count > call.args.len() - first {
                return Err(ErrorReply::fixed("ERR The `numids` parameter must match the number of arguments"));
            }
            index = first + count;
            ids = Some(first..index);
        } else {
            return Err(ErrorReply::SYNTAX);
        }
    }
    Ok((references.unwrap_or_default(), ids.ok_or(ErrorReply::SYNTAX)?))
}

/// `XDELEX key [KEEPREF|DELREF|ACKED] IDS numids id [id ...]`
pub fn xdelex(call: &mut Call) -> CommandResult {
    let found = find(call.keys, call.args.at(1))?;
    let (references, ids) = parse_references(call, 2)?;
    delete_each(call, found, ids, |stream, id| match stream.delete(id, references) {
        Deletion::Missing => Outcome { reply: MISSING, is_change: false, is_deleted: false },
        Deletion::Deleted => Outcome { reply: DELETED, is_change: true, is_deleted: true },
        Deletion::Needed => Outcome { reply: STILL_NEEDED, is_change: false, is_deleted: false },
    })
}

/// `XACKDEL key group [KEEPREF|DELREF|ACKED] IDS numids id [id ...]`
pub fn xackdel(call: &mut Call) -> CommandResult {
    let found = find_read(call.keys, call.args.at(1))?;
    let (references, ids) = parse_references(call, 3)?;
    let group = call.arg(2);
    let found = found.filter(|found| stream_of(call.keys, *found).group(group).is_some());
    delete_each(call, found, ids, |stream, id| {
        if !stream.group_mut(group).is_some_and(|group| group.acknowledge(id)) {
            return Outcome { reply: MISSING, is_change: false, is_deleted: false };
        }
        match stream.delete(id, references) {
            Deletion::Needed => Outcome { reply: STILL_NEEDED, is_change: true, is_deleted: false },
            // Nobody has to delete it any more.
            Deletion::Missing => Outcome { reply: DELETED, is_change: true, is_deleted: false },
            Deletion::Deleted => Outcome { reply: DELETED, is_change: true, is_deleted: true },
        }
    })
}

/// What was done about one entry.
struct Outcome {
    reply: i64,
    is_change: bool,
    is_deleted: bool,
}

/// Does something about each of the entries that the arguments `ids` name, and answers with an array of what became of
/// them. Without a stream, they are missing, whatever their names.
fn delete_each(
    call: &mut Call,
    found: Option<Found>,
    ids: Range<usize>,
    mut delete: impl FnMut(&mut Stream, StreamId) -> Outcome,
) -> CommandResult {
    let key = call.arg(1);
    let Some(found) = found else {
        call.reply.array(ids.len())?;
        return ids.into_iter().try_for_each(|_| call.reply.integer(MISSING));
    };
    let ids = ids.map(|index| parse_id(call.arg(index))).collect::<Result<Ids, _>>()?;
    call.reply.array(ids.len())?;
    let stream = stream_of(call.keys, found);
    let (mut changes, mut deleted) = (0, 0);
    for id in ids {
        let outcome = delete(stream, id);
        changes += u64::from(outcome.is_change);
        deleted += u64::from(outcome.is_deleted);
        call.reply.integer(outcome.reply)?;
    }
    if deleted > 0 {
        call.keys.changed_by(key, changes, Event::XDEL);
    } else {
        call.keys.count_changes(changes);
    }
    Ok(())
}

/// `XSETID key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]`
pub fn xsetid(call: &mut Call) -> CommandResult {
    let id = parse_id(call.arg(2))?;
    let (mut entries_added, mut max_deleted_id) = (None, StreamId::MIN);
    let mut index = 3;
    while index < call.args.len() {
        let has_value = index + 1 < call.args.len();
        if has_value && call.is_word(index, "ENTRIESADDED") {
            let added = call.integer(index + 1)?;
            let negative = ErrorReply::fixed("ERR entries_added must be positive");
            entries_added = Some(u64::try_from(added).map_err(|_| negative)?);
        } else if has_value && call.is_word(index, "MAXDELETEDID") {
            max_deleted_id = parse_id(call.arg(index + 1))?;
            if id < max_deleted_id {
                return Err(ErrorReply::fixed(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(ErrorReply::SYNTAX);
        }
        index += 2;
    }
    let key = call.arg(1);
    let Some(found) = find(call.keys, key)? else { return Err(ErrorReply::NO_SUCH_KEY) };
    let stream = stream_of(call.keys, found);
    if id < stream.max_deleted_id() {
        return Err(ErrorReply::fixed("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"));
    }
    if stream.last().is_some_and(|last| id < last.id) {
        return Err(ErrorReply::fixed("ERR The ID specified in XSETID is smaller than the target stream top item"));
    }
    if !stream.is_empty() && entries_added.is_some_and(|added| added < stream.len()) {
        return Err(ErrorReply::fixed(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    stream.set_last_id(id, entries_added, (max_deleted_id != StreamId::MIN).then_some(max_deleted_id));
    call.keys.count_changes(1);
    call.keys.notify(Event::XSETID, key);
    call.reply.ok()
}
