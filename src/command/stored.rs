//! Reading and changing the collections that keys hold, whether one is packed into its record or kept by itself.

use super::{Found, Keys};
use crate::pubsub::Event;
use crate::resp::{Args, ErrorReply};
use crate::tree::NewPayload;
use crate::value::collection::{Collection, PACKED_BYTES_MAX, Scratch};
use crate::value::{Value, ValueRef};
use std::ops::Range;

/// A collection kept by itself that has shrunk to so many bytes is packed again. Much less than [`PACKED_BYTES_MAX`], so
/// that one which grows and shrinks by a little stays where it is.
const PACKED_AGAIN_BYTES_MAX: usize = 64;

/// A collection has been edited, of which somebody must be told, unless nothing has changed.
#[must_use = "what was changed must be told"]
pub(super) struct Edited<R> {
    /// What the edit returned.
    pub result: R,
    /// Elements that the collection has now; its key is gone if there are none.
    pub len: usize,
}

impl<R> Edited<R> {
    /// Tells of a change that counts as `changes`, and that the key is gone if it is.
    #[inline]
    pub fn tell(self, keys: &mut Keys<'_>, key: &[u8], event: Event, changes: u64) -> R {
        self.tell_each(keys, key, [event], changes)
    }

    /// Like [`Edited::tell`], for a change that has several events.
    #[inline]
    pub fn tell_each(
        self,
        keys: &mut Keys<'_>,
        key: &[u8],
        events: impl IntoIterator<Item = Event>,
        changes: u64,
    ) -> R {
        keys.changed_quietly(key, changes);
        events.into_iter().for_each(|event| keys.notify(event, key));
        if self.len == 0 {
            keys.notify(Event::DEL, key);
        }
        self.result
    }

    /// Says that nothing has changed.
    pub fn unchanged(self, keys: &mut Keys<'_>) -> R {
        keys.same_value();
        self.result
    }
}

impl Edited<usize> {
    /// Tells of as many changes as the edit says it has made, or that nothing has changed, and returns how many.
    pub fn tell_count(self, keys: &mut Keys<'_>, key: &[u8], event: Event) -> usize {
        match self.result {
            0 => self.unchanged(keys),
            changes => self.tell(keys, key, event, changes as u64),
        }
    }
}

/// The collection at `key`, to be read.
pub(super) fn read<'a, C: Collection>(keys: &'a mut Keys<'_>, key: &[u8]) -> Result<Option<C::View<'a>>, ErrorReply> {
    match keys.read(key) {
        None => Ok(None),
        Some(found) => C::view(keys.value(found)).map(Some).ok_or(ErrorReply::WRONG_TYPE),
    }
}

/// The collection at `key`, to be changed.
#[inline]
pub(super) fn find<C: Collection>(keys: &mut Keys<'_>, key: &[u8]) -> Result<Option<Found>, ErrorReply> {
    let found = keys.write(key);
    keys.typed(found, C::TYPE)
}

/// The first of the keys that the arguments `indexes` are which has such a collection, to be changed.
pub(super) fn find_first<'a, C: Collection>(
    keys: &mut Keys<'_>,
    args: Args<'a>,
    indexes: Range<usize>,
) -> Result<Option<(Found, &'a [u8])>, ErrorReply> {
    for key in indexes.map(|index| args.at(index)) {
        if let Some(found) = find::<C>(keys, key)? {
            return Ok(Some((found, key)));
        }
    }
    Ok(None)
}

/// Changes a collection, which is removed with its key if it is empty then. `change` must not touch other collections.
#[inline]
pub(super) fn edit<C: Collection, R>(
    keys: &mut Keys<'_>,
    found: Found,
    key: &[u8],
    change: impl FnOnce(&mut C) -> R,
) -> Edited<R> {
    let Some(collection) = keys.boxed_mut(found).and_then(C::of) else {
        return edit_packed(keys, found, key, change);
    };
    let result = change(collection);
    let len = collection.len();
    if len == 0 {
        keys.remove(found);
    } else if collection.inline_size().is_some_and(|size| size <= PACKED_AGAIN_BYTES_MAX) {
        pack::<C>(keys, found, key);
    }
    Edited { result, len }
}

fn edit_packed<C: Collection, R>(
    keys: &mut Keys<'_>,
    found: Found,
    key: &[u8],
    change: impl FnOnce(&mut C) -> R,
) -> Edited<R> {
    C::with_scratch(|scratch| {
        if let ValueRef::Inline(kind, payload) = keys.value(found) {
            scratch.collection.load(kind, payload);
        }
        let result = change(&mut scratch.collection);
        let len = scratch.collection.len();
        if len == 0 {
            keys.remove(found);
        } else {
            keys.replace(found, key, payload(scratch));
        }
        Edited { result, len }
    })
}

/// Packs a small collection into its record.
#[cold]
fn pack<C: Collection>(keys: &mut Keys<'_>, found: Found, key: &[u8]) {
    let Some(collection) = keys.boxed_mut(found).and_then(C::of) else { return };
    let mut packed = Vec::new();
    if let Some(kind) = collection.pack(&mut packed, PACKED_AGAIN_BYTES_MAX) {
        keys.replace(found, key, NewPayload::Inline { kind: kind as u8, bytes: &packed });
    }
}

/// Makes a collection at `key`, which must not exist. Returns what `fill` does, and the number of elements; nothing is
/// made if that is zero.
pub(super) fn create<C: Collection, R>(keys: &mut Keys<'_>, key: &[u8], fill: impl FnOnce(&mut C) -> R) -> Edited<R> {
    C::with_scratch(|scratch| {
        scratch.collection.clear();
        let result = fill(&mut scratch.collection);
        let len = scratch.collection.len();
        if len > 0 {
            keys.put(key, payload(scratch), None);
        }
        Edited { result, len }
    })
}

/// Makes `collection` the value of `key`, whatever it was before, which counts as `changes`. If it is empty, the key is
/// removed.
pub(super) fn store<C: Collection>(keys: &mut Keys<'_>, key: &[u8], collection: C, event: Event, changes: u64) {
    if collection.is_empty() {
        if let Some(found) = keys.peek(key) {
            keys.delete(found, key);
        }
        return;
    }
    C::with_scratch(|scratch| {
        scratch.collection = collection;
        keys.put(key, payload(scratch), None);
    });
    keys.changed_by(key, changes, event);
}

/// Makes `value`, a collection that is not empty, the value of `key`, whatever that was before.
pub(super) fn put_value(keys: &mut Keys<'_>, key: &[u8], value: Value, deadline: Option<i64>) {
    let mut packed = Vec::new();
    match value.pack(&mut packed, PACKED_BYTES_MAX) {
        Some(kind) => keys.put(key, NewPayload::Inline { kind: kind as u8, bytes: &packed }, deadline),
        None => keys.put(key, NewPayload::Boxed(Box::new(value)), deadline),
    };
}

/// A collection as the payload of a record. Leaves an empty one if it is to be kept by itself.
fn payload<C: Collection>(scratch: &mut Scratch<C>) -> NewPayload<'_, Value> {
    match scratch.collection.pack(&mut scratch.packed, PACKED_BYTES_MAX) {
        Some(kind) => NewPayload::Inline { kind: kind as u8, bytes: &scratch.packed },
        None => NewPayload::Boxed(Box::new(std::mem::take(&mut scratch.collection).into_value())),
    }
}
