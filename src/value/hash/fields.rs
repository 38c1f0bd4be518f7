//! A hash of any size: a tree of fields, each with its value and perhaps a deadline.

use super::{Field, Lifetime, PairsRef};
use crate::tree::{Entry, Layout, NewPayload, NoRecorder, Payload, Position, Tree, Uncounted, View};
use crate::value::MAX_INLINE;
use crate::value::collection::SEED;
use crate::value::number;
use crate::value::packed::Element;
use rand::Rng;
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Fields are drawn at random so often, if some of them are over, before those that are not are counted out.
const RANDOM_TRIES: usize = 100;

/// The payload's kind if it is the value's bytes.
const BYTES: u8 = 0;
/// The payload's kind if it is an integer: see [`number::integer_to_bytes`].
const INTEGER: u8 = 1;

/// The records of fields. Values too long for a page are boxed.
#[derive(Debug)]
enum FieldLayout {}

impl Layout for FieldLayout {
    const CLOCK: bool = false;
    type Boxed = Box<[u8]>;
    type Recorder = NoRecorder;
    type Count = Uncounted;
}

/// See the module.
#[derive(Debug)]
pub struct Fields {
    tree: Tree<FieldLayout>,
    /// Boxed values, and their bytes.
    long_values: usize,
    long_bytes: usize,
    /// See [`Hash::noted_ms`](super::Hash::noted_ms).
    pub(super) noted_ms: Option<i64>,
}

impl Clone for Fields {
    fn clone(&self) -> Self {
        Fields { tree: self.tree.clone(), noted_ms: None, ..*self }
    }
}

#[inline]
fn element(payload: Payload<'_, Box<[u8]>>) -> Element<'_> {
    match payload {
        Payload::Inline { kind: INTEGER, bytes } => Element::Integer(number::integer_from_bytes(bytes)),
        Payload::Inline { bytes, .. } => Element::Bytes(bytes),
        Payload::Boxed(bytes) => Element::Bytes(bytes),
    }
}

#[inline]
fn is_over(deadline: Option<i64>, now_ms: i64) -> bool {
    deadline.is_some_and(|deadline| deadline < now_ms)
}

/// A record as a field, unless its time is over.
#[inline]
fn field<'a>(name: &'a [u8], record: &View<'a, Box<[u8]>>, now_ms: i64) -> Option<Field<'a>> {
    let deadline = record.deadline;
    (!is_over(deadline, now_ms)).then(|| Field { name: Element::Bytes(name), value: element(record.payload), deadline })
}

impl Fields {
    pub(super) fn of_pairs(pairs: PairsRef<'_>) -> Self {
        let mut fields = Fields { tree: Tree::new(), long_values: 0, long_bytes: 0, noted_ms: None };
        for field in pairs.iter() {
            fields.set(&field.name.to_vec(), &field.value.to_vec(), Lifetime::Forever, i64::MIN);
        }
        fields
    }

    /// See [`Tree::image`].
    pub(super) fn image(&mut self) -> Option<Self> {
        Some(Fields { tree: self.tree.image()?, noted_ms: None, ..*self })
    }

    /// Number of fields, with those whose time is over but which are not removed yet.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.tree.len()
    }

    /// Number of fields whose time is not over.
    pub(super) fn living(&self, now_ms: i64) -> usize {
        self.len() - if self.may_have_over(now_ms) { self.tree.count_due(now_ms - 1) } else { 0 }
    }

    /// Whether there may be fields whose time is over.
    #[inline]
    fn may_have_over(&self, now_ms: i64) -> bool {
        self.tree.next_deadline().is_some_and(|deadline| deadline < now_ms)
    }

    /// A field's value and deadline.
    #[inline]
    pub(super) fn get(&self, name: &[u8], now_ms: i64) -> Option<(Element<'_>, Option<i64>)> {
        let record = self.tree.view(self.tree.find(SEED.key(name))?);
        (!is_over(record.deadline, now_ms)).then(|| (element(record.payload), record.deadline))
    }

    /// Gives a field a value; says whether the field is new.
    pub(super) fn set(&mut self, name: &[u8], value: &[u8], lifetime: Lifetime, now_ms: i64) -> bool {
        let key = SEED.key(name);
        // Most hashes have no deadlines: then there is nothing to look up first.
        let known = if self.tree.deadlines() == 0 { None } else { self.tree.find(key) };
        let before = known.and_then(|position| self.tree.deadline(position));
        let was_over = is_over(before, now_ms);
        let deadline = match lifetime {
            Lifetime::Forever => None,
            Lifetime::Kept => before.filter(|_| !was_over),
            Lifetime::Until(deadline) => Some(deadline),
        };
        let integer;
        let payload = match Element::new(value) {
            Element::Integer(value) => {
                integer = number::integer_to_bytes(value);
                NewPayload::Inline { kind: INTEGER, bytes: &integer.0[..integer.1] }
            }
            Element::Bytes(bytes) if bytes.len() <= MAX_INLINE => NewPayload::Inline { kind: BYTES, bytes },
            Element::Bytes(bytes) => {
                self.long_values += 1;
                self.long_bytes += bytes.len();
                NewPayload::Boxed(Box::new(bytes.into()))
            }
        };
        let len = self.tree.len();
        let (_, displaced) = self.tree.put(key, payload, deadline, 0);
        self.forget(displaced);
        was_over || self.tree.len() > len
    }

    /// Removes a field; says whether it was there and its time not over.
    pub(super) fn remove(&mut self, name: &[u8], now_ms: i64) -> bool {
        let Some(position) = self.tree.find(SEED.key(name)) else { return false };
        let was_over = is_over(self.tree.deadline(position), now_ms);
        let boxed = self.tree.remove(position);
        self.forget(boxed);
        !was_over
    }

    pub(super) fn set_deadline(&mut self, name: &[u8], deadline: Option<i64>) {
        let key = SEED.key(name);
        if let Some(position) = self.tree.find(key) {
            self.tree.set_deadline(position, key, deadline);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<i64> {
        self.tree.next_deadline()
    }

    /// See [`Hash::remove_due`](super::Hash::remove_due).
    pub(super) fn remove_due(&mut self, now_ms: i64, max: usize, mut told: impl FnMut(&[u8])) -> usize {
        let (long_values, long_bytes) = (&mut self.long_values, &mut self.long_bytes);
        self.tree.pop_due(now_ms - 1, max, |name, boxed| {
            told(name);
            if let Some(value) = boxed {
                *long_values -= 1;
                *long_bytes -= value.len();
            }
        })
    }

    /// Counts a boxed value as gone.
    #[inline]
    fn forget(&mut self, boxed: Option<Box<Box<[u8]>>>) {
        if let Some(value) = boxed {
            self.long_values -= 1;
            self.long_bytes -= value.len();
        }
    }

    /// Visits all fields whose time is not over.
    pub(super) fn visit<E>(&self, now_ms: i64, mut visit: impl FnMut(Field<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut result = Ok(());
        let flow = self.tree.for_each(b"", |entry| {
            if let Some(field) = field(entry.key, &entry.record, now_ms) {
                result = visit(field);
            }
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        debug_assert_eq!(flow.is_break(), result.is_err());
        result
    }

    /// See [`Tree::scan`].
    pub(super) fn scan(
        &self,
        cursor: u64,
        count: usize,
        prefix: &[u8],
        now_ms: i64,
        mut visit: impl FnMut(Field<'_>),
    ) -> u64 {
        let look_at = |entry: Entry<'_, Box<[u8]>>| {
            if let Some(field) = field(entry.key, &entry.record, now_ms) {
                visit(field);
            }
        };
        self.tree.scan(cursor, count, prefix, look_at)
    }

    /// Visits `count` fields, each drawn from all that are not over.
    pub(super) fn draw<E>(
        &self,
        count: usize,
        now_ms: i64,
        rng: &mut impl Rng,
        mut visit: impl FnMut(Field<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut name = Vec::new();
        let mut living: Option<Vec<Position>> = None;
        for _ in 0..count {
            let drawn = match &living {
                Some(_) => None,
                None => (0..RANDOM_TRIES).find_map(|_| {
                    let position = self.tree.random(rng)?;
                    (!is_over(self.tree.deadline(position), now_ms)).then_some(position)
                }),
            };
            let position = match drawn {
                Some(position) => position,
                None => {
                    let living = living.get_or_insert_with(|| self.living_positions(now_ms));
                    if living.is_empty() {
                        return Ok(());
                    }
                    living[rng.random_range(0..living.len())]
                }
            };
            self.show(position, &mut name, &mut visit)?;
        }
        Ok(())
    }

    fn living_positions(&self, now_ms: i64) -> Vec<Position> {
        let mut positions = Vec::new();
        let flow = self.tree.for_each(b"", |entry| {
            if !is_over(entry.record.deadline, now_ms) {
                positions.push(entry.position);
            }
            ControlFlow::Continue(())
        });
        debug_assert!(flow.is_continue());
        positions
    }

    fn show<E>(
        &self,
        position: Position,
        name: &mut Vec<u8>,
        visit: &mut impl FnMut(Field<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.tree.key(position, name);
        let record = self.tree.view(position);
        visit(Field { name: Element::Bytes(name), value: element(record.payload), deadline: record.deadline })
    }

    /// Whether a sample of `count` fields is best drawn one by one: else all fields are looked at.
    pub(super) fn is_large_for(&self, count: usize, now_ms: i64) -> bool {
        count.saturating_mul(3) <= self.len() && !self.may_have_over(now_ms)
    }

    /// Visits `count` different fields, of many more and none of them over: each such choice is as likely as any other.
    pub(super) fn draw_different<E>(
        &self,
        count: usize,
        rng: &mut impl Rng,
        mut visit: impl FnMut(Field<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut name = Vec::new();
        let mut seen = HashSet::with_capacity(count);
        while seen.len() < count {
            let Some(position) = self.tree.random(rng) else { break };
            if seen.insert(position) {
                self.show(position, &mut name, &mut visit)?;
            }
        }
        Ok(())
    }

    /// Bytes allocated.
    pub(super) fn memory(&self) -> usize {
        let tree = self.tree.memory();
        size_of::<Self>()
            + tree.page_bytes
            + tree.node_bytes
            + self.long_bytes
            + self.long_values * size_of::<Box<[u8]>>()
    }

    /// Allocations, about.
    pub(super) fn free_effort(&self) -> usize {
        const PAGE_BYTES: usize = 4096;
        self.tree.memory().page_bytes / PAGE_BYTES + 2 * self.long_values + 1
    }
}
