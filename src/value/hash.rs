//! Hashes: fields with values, and perhaps with deadlines.
//!
//! | form | where | for |
//! |---|---|---|
//! | [`Pairs`] | the record of the key, or its own allocation | few short fields and values, as [`HashRules`] have it |
//! | [`Fields`] | a tree of its own | all others, and whatever has deadlines |
//!
//! A hash that has become a tree stays one. A packed one is loaded into a [`Hash`] to be changed, as lists are.

mod fields;
mod pairs;

use super::collection::{Collection, Scratch};
use super::packed::Element;
use super::{IMAGE_BYTES_MIN, InlineKind, Type, Value, ValueRef};
use fields::Fields;
use pairs::{Pairs, PairsRef};
use rand::Rng;
use std::cell::RefCell;
use std::convert::Infallible;

/// Bytes in front of the entries of a packed hash in its record: the number of fields, little-endian.
const PACKED_HEAD: usize = 2;

/// What changes of a hash go by.
#[derive(Debug, Clone, Copy)]
pub struct HashRules {
    /// A packed hash has at most so many fields.
    pub packed_fields_max: usize,
    /// No field or value of a packed hash has more bytes.
    pub packed_bytes_max: usize,
    /// Milliseconds of Unix time. Fields with an earlier deadline are over.
    pub now_ms: i64,
}

/// For how long a field lives that gets a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    Forever,
    /// As long as it would have with its old value.
    Kept,
    /// Milliseconds of Unix time.
    Until(i64),
}

/// A field as it is visited.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    pub name: Element<'a>,
    pub value: Element<'a>,
    /// Milliseconds of Unix time.
    pub deadline: Option<i64>,
}

/// A map from byte strings to byte strings.
#[derive(Debug, Clone)]
pub enum Hash {
    Packed(Pairs),
    Tree(Box<Fields>),
}

impl Default for Hash {
    fn default() -> Self {
        Hash::Packed(Pairs::default())
    }
}

impl Hash {
    /// Read access that sees every field there is.
    #[inline]
    pub fn view(&self) -> HashRef<'_> {
        let form = match self {
            Hash::Packed(pairs) => Form::Packed(pairs.view()),
            Hash::Tree(fields) => Form::Tree(fields),
        };
        HashRef { form, now_ms: i64::MIN }
    }

    /// Makes ready for `fields` at once: more than a packed hash may have are not packed even if some are the same.
    #[inline]
    pub fn expect(&mut self, fields: usize, rules: &HashRules) {
        if fields > rules.packed_fields_max {
            self.unpack();
        }
    }

    /// Gives a field a value; says whether the field is new.
    #[inline]
    pub fn set(&mut self, name: &[u8], value: &[u8], lifetime: Lifetime, rules: &HashRules) -> bool {
        if let Hash::Packed(pairs) = self {
            let is_short = name.len().max(value.len()) <= rules.packed_bytes_max;
            if is_short && !matches!(lifetime, Lifetime::Until(_)) {
                let is_new = pairs.set(name, value);
                if pairs.view().len() > rules.packed_fields_max {
                    self.unpack();
                }
                return is_new;
            }
        }
        self.unpack().set(name, value, lifetime, rules.now_ms)
    }

    /// Removes a field; says whether it was there.
    pub fn remove(&mut self, name: &[u8], rules: &HashRules) -> bool {
        match self {
            Hash::Packed(pairs) => pairs.remove(name),
            Hash::Tree(fields) => fields.remove(name, rules.now_ms),
        }
    }

    /// Gives a field that exists another deadline, in milliseconds of Unix time, or none.
    pub fn set_deadline(&mut self, name: &[u8], deadline: Option<i64>) {
        match self {
            Hash::Packed(_) if deadline.is_none() => {}
            Hash::Packed(_) => self.unpack().set_deadline(name, deadline),
            Hash::Tree(fields) => fields.set_deadline(name, deadline),
        }
    }

    /// A time, in milliseconds of Unix time, before which no field is due. Exact once [`Hash::remove_due`] has come there.
    pub fn next_deadline(&self) -> Option<i64> {
        match self {
            Hash::Packed(_) => None,
            Hash::Tree(fields) => fields.next_deadline(),
        }
    }

    /// Removes fields that were due before `now_ms`, `max` at most, tells the name of each, and says how many: fewer if no
    /// more are due.
    pub fn remove_due(&mut self, now_ms: i64, max: usize, told: impl FnMut(&[u8])) -> usize {
        match self {
            Hash::Packed(_) => 0,
            Hash::Tree(fields) => fields.remove_due(now_ms, max, told),
        }
    }

    /// Under which time the keyspace has noted that the hash has fields with deadlines. A copy is not noted.
    pub fn noted_ms(&self) -> Option<i64> {
        match self {
            Hash::Packed(_) => None,
            Hash::Tree(fields) => fields.noted_ms,
        }
    }

    /// See [`Hash::noted_ms`]. Only a hash with deadlines is noted.
    pub fn set_noted_ms(&mut self, noted_ms: Option<i64>) {
        if let Hash::Tree(fields) = self {
            fields.noted_ms = noted_ms;
        }
    }

    /// Becomes a tree, if it is none.
    fn unpack(&mut self) -> &mut Fields {
        if let Hash::Packed(pairs) = self {
            *self = Hash::Tree(Box::new(Fields::of_pairs(pairs.view())));
        }
        match self {
            Hash::Tree(fields) => fields,
            Hash::Packed(_) => unreachable!("it is a tree now"),
        }
    }

    /// A copy of a large hash that costs little: it has in common with it what does not change. To be read by
    /// [`HashRef::visit`], as if no time passed.
    pub fn image(&mut self) -> Option<Self> {
        match self {
            Hash::Tree(fields) if fields.memory() >= IMAGE_BYTES_MIN => Some(Hash::Tree(Box::new(fields.image()?))),
            _ => None,
        }
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        match self {
            Hash::Packed(pairs) => pairs.memory(),
            Hash::Tree(fields) => fields.memory(),
        }
    }

    /// The work that freeing the hash is, in allocations.
    pub fn free_effort(&self) -> usize {
        match self {
            Hash::Packed(_) => 1,
            Hash::Tree(fields) => fields.free_effort(),
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch<Hash>> = RefCell::default();
}

impl Collection for Hash {
    const TYPE: Type = Type::Hash;
    type View<'a> = HashRef<'a>;

    #[inline]
    fn view(value: ValueRef<'_>) -> Option<HashRef<'_>> {
        value.as_hash()
    }

    #[inline]
    fn of(value: &mut Value) -> Option<&mut Self> {
        match value {
            Value::Hash(hash) => Some(hash),
            _ => None,
        }
    }

    fn into_value(mut self) -> Value {
        if let Hash::Packed(pairs) = &mut self {
            pairs.trim();
        }
        Value::Hash(self)
    }

    #[inline]
    fn len(&self) -> usize {
        match self {
            Hash::Packed(pairs) => pairs.view().len(),
            Hash::Tree(fields) => fields.len(),
        }
    }

    fn clear(&mut self) {
        match self {
            Hash::Packed(pairs) => pairs.clear(),
            Hash::Tree(_) => *self = Hash::default(),
        }
    }

    fn load(&mut self, kind: InlineKind, payload: &[u8]) {
        self.clear();
        if let Hash::Packed(pairs) = self
            && kind == InlineKind::PackedHash
        {
            let packed = packed_view(payload);
            pairs.load(packed.entries(), packed.len());
        }
    }

    #[inline]
    fn inline_size(&self) -> Option<usize> {
        match self {
            Hash::Packed(pairs) if pairs.view().len() <= usize::from(u16::MAX) => {
                Some(PACKED_HEAD + pairs.view().entries().len())
            }
            _ => None,
        }
    }

    fn pack(&self, out: &mut Vec<u8>, size_max: usize) -> Option<InlineKind> {
        let Hash::Packed(pairs) = self else { return None };
        self.inline_size().filter(|size| *size <= size_max)?;
        out.clear();
        out.extend_from_slice(&(pairs.view().len() as u16).to_le_bytes());
        out.extend_from_slice(pairs.view().entries());
        Some(InlineKind::PackedHash)
    }

    #[inline]
    fn with_scratch<R>(work: impl FnOnce(&mut Scratch<Self>) -> R) -> R {
        SCRATCH.with_borrow_mut(work)
    }
}

#[inline]
fn packed_view(payload: &[u8]) -> PairsRef<'_> {
    match payload.split_first_chunk::<PACKED_HEAD>() {
        Some((count, entries)) => PairsRef::new(entries, u16::from_le_bytes(*count).into()),
        None => PairsRef::new(&[], 0),
    }
}

/// Read access to a hash, wherever it is kept.
#[derive(Debug, Clone, Copy)]
pub struct HashRef<'a> {
    form: Form<'a>,
    now_ms: i64,
}

#[derive(Debug, Clone, Copy)]
enum Form<'a> {
    Packed(PairsRef<'a>),
    Tree(&'a Fields),
}

impl<'a> HashRef<'a> {
    /// The hash in the payload of a record.
    #[inline]
    pub(super) fn packed(payload: &'a [u8]) -> Self {
        HashRef { form: Form::Packed(packed_view(payload)), now_ms: i64::MIN }
    }

    /// The same, in which fields with a deadline before `now_ms` (milliseconds of Unix time) are not seen.
    #[inline]
    pub fn at(self, now_ms: i64) -> Self {
        HashRef { now_ms, ..self }
    }

    /// Number of fields.
    #[inline]
    pub fn len(&self) -> usize {
        match self.form {
            Form::Packed(pairs) => pairs.len(),
            Form::Tree(fields) => fields.living(self.now_ms),
        }
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the fields are kept in a tree.
    pub fn is_tree(&self) -> bool {
        matches!(self.form, Form::Tree(_))
    }

    /// Whether it is small enough to be packed.
    pub fn is_packed(&self) -> bool {
        matches!(self.form, Form::Packed(_))
    }

    /// A field's value.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<Element<'a>> {
        match self.form {
            Form::Packed(pairs) => pairs.get(name),
            Form::Tree(fields) => fields.get(name, self.now_ms).map(|(value, _)| value),
        }
    }

    /// A field's deadline, in milliseconds of Unix time; `Some(None)` if it has none, `None` if there is no such field.
    pub fn deadline(&self, name: &[u8]) -> Option<Option<i64>> {
        match self.form {
            Form::Packed(pairs) => pairs.get(name).map(|_| None),
            Form::Tree(fields) => fields.get(name, self.now_ms).map(|(_, deadline)| deadline),
        }
    }

    /// Visits all fields, until `visit` fails.
    #[inline]
    pub fn visit<E>(&self, mut visit: impl FnMut(Field<'_>) -> Result<(), E>) -> Result<(), E> {
        match self.form {
            Form::Packed(pairs) => pairs.iter().try_for_each(visit),
            Form::Tree(fields) => fields.visit(self.now_ms, &mut visit),
        }
    }

    /// Visits all fields.
    pub fn for_each(&self, mut visit: impl FnMut(Field<'_>)) {
        let Ok(()) = self.visit(|field| {
            visit(field);
            Ok::<_, Infallible>(())
        });
    }

    /// One step of a scan from `cursor`, 0 at first: visits fields, about `count` and at least all whose name starts with
    /// `prefix`, and returns the next cursor, 0 at the end. A packed hash is visited in one step.
    ///
    /// A field that is there from the first step to the last is visited, whatever happens between steps.
    pub fn scan(&self, cursor: u64, count: usize, prefix: &[u8], mut visit: impl FnMut(Field<'_>)) -> u64 {
        match self.form {
            Form::Packed(pairs) => {
                pairs.iter().for_each(visit);
                0
            }
            Form::Tree(fields) => fields.scan(cursor, count, prefix, self.now_ms, &mut visit),
        }
    }

    /// Visits `count` fields, each drawn from all: the same may come again. None if there are none.
    pub fn draw<E>(
        &self,
        count: usize,
        rng: &mut impl Rng,
        mut visit: impl FnMut(Field<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.form {
            Form::Tree(fields) => fields.draw(count, self.now_ms, rng, visit),
            Form::Packed(pairs) if pairs.len() == 0 => Ok(()),
            Form::Packed(pairs) if count == 1 => {
                pairs.iter().nth(rng.random_range(0..pairs.len())).map_or(Ok(()), visit)
            }
            Form::Packed(pairs) => {
                let all: Vec<Field<'_>> = pairs.iter().collect();
                (0..count).try_for_each(|_| visit(all[rng.random_range(0..all.len())]))
            }
        }
    }

    /// Visits `count` different fields, or all if there are fewer: each such choice is as likely as any other.
    pub fn sample<E>(
        &self,
        count: usize,
        rng: &mut impl Rng,
        mut visit: impl FnMut(Field<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Form::Tree(fields) = self.form
            && fields.is_large_for(count, self.now_ms)
        {
            return fields.draw_different(count, rng, visit);
        }
        let mut left = self.len();
        let mut wanted = count.min(left);
        self.visit(|field| {
            let is_chosen = rng.random_range(0..left) < wanted;
            left -= 1;
            if !is_chosen {
                return Ok(());
            }
            wanted -= 1;
            visit(field)
        })
    }
}

#[cfg(test)]
mod tests;
