//! Reading and changing the lists that keys hold, whether a list is packed into its record or kept by itself.

use super::{Found, Keys};
use crate::resp::ErrorReply;
use crate::tree::NewPayload;
use crate::value::list::{List, ListRef};
use crate::value::{InlineKind, Type, Value};
use std::cell::RefCell;

/// A list is packed into its record up to so many bytes: each change then costs a copy of all of them.
const PACKED_BYTES_MAX: usize = 256;
/// A list kept by itself that has shrunk to so many bytes is packed again. Much less than [`PACKED_BYTES_MAX`], so that a
/// list which grows and shrinks by a little stays where it is.
const PACKED_AGAIN_BYTES_MAX: usize = 64;

/// What changing packed lists needs, kept from one change to the next.
#[derive(Default)]
struct Scratch {
    list: List,
    packed: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    /// The list as the payload of a record. Leaves an empty list if it is to be kept by itself.
    fn payload(&mut self) -> NewPayload<'_, Value> {
        if self.list.packed_into(&mut self.packed, PACKED_BYTES_MAX) {
            NewPayload::Inline { kind: InlineKind::PackedList as u8, bytes: &self.packed }
        } else {
            NewPayload::Boxed(Box::new(Value::List(std::mem::take(&mut self.list))))
        }
    }
}

/// The list at `key`, to be read.
pub(super) fn read<'a>(keys: &'a mut Keys<'_>, key: &[u8]) -> Result<Option<ListRef<'a>>, ErrorReply> {
    match keys.read(key) {
        None => Ok(None),
        Some(found) => keys.value(found).as_list().map(Some).ok_or(ErrorReply::WRONG_TYPE),
    }
}

/// The list at `key`, to be changed.
#[inline]
pub(super) fn find(keys: &mut Keys<'_>, key: &[u8]) -> Result<Option<Found>, ErrorReply> {
    let found = keys.write(key);
    keys.typed(found, Type::List)
}

/// Changes a list. Returns what `change` does and the length that the list then has; an empty list is removed with its
/// key. `change` must not touch other lists.
#[inline]
pub(super) fn edit<R>(
    keys: &mut Keys<'_>,
    found: Found,
    key: &[u8],
    change: impl FnOnce(&mut List) -> R,
) -> (R, usize) {
    let Some(Value::List(list)) = keys.boxed_mut(found) else { return edit_packed(keys, found, key, change) };
    let result = change(list);
    let len = list.len();
    if list.is_empty() {
        keys.remove(found);
    } else if list.packed_size().is_some_and(|size| size <= PACKED_AGAIN_BYTES_MAX) {
        pack(keys, found, key);
    }
    (result, len)
}

fn edit_packed<R>(keys: &mut Keys<'_>, found: Found, key: &[u8], change: impl FnOnce(&mut List) -> R) -> (R, usize) {
    SCRATCH.with_borrow_mut(|scratch| {
        if let Some(ListRef::Packed(packed)) = keys.value(found).as_list() {
            scratch.list.load_packed(packed);
        }
        let result = change(&mut scratch.list);
        let len = scratch.list.len();
        if len == 0 {
            keys.remove(found);
        } else {
            keys.replace(found, key, scratch.payload());
        }
        (result, len)
    })
}

/// Packs a short list into its record.
#[cold]
fn pack(keys: &mut Keys<'_>, found: Found, key: &[u8]) {
    let Some(Value::List(list)) = keys.boxed_mut(found) else { return };
    let mut packed = Vec::new();
    if list.packed_into(&mut packed, PACKED_AGAIN_BYTES_MAX) {
        keys.replace(found, key, NewPayload::Inline { kind: InlineKind::PackedList as u8, bytes: &packed });
    }
}

/// Makes a list at `key`, which must not exist, and wakes those who wait for it. Returns its length.
pub(super) fn create(keys: &mut Keys<'_>, key: &[u8], fill: impl FnOnce(&mut List)) -> usize {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.list.load_packed(&[]);
        fill(&mut scratch.list);
        let len = scratch.list.len();
        keys.put(key, scratch.payload(), None);
        keys.signal_ready(key);
        len
    })
}
