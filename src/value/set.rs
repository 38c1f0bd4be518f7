//! Sets of byte strings.
//!
//! A set of few integers is their sorted sequence, one of few short members is packed like a list, and both live in the
//! record of their key while they are small; any other is a tree of its members. Which form a set has follows Redis 7.2
//! step by step, since `OBJECT ENCODING` tells; none is left but by growing, or for a result that is stored.
//!
//! Members are passed as [`Element`]s, of which [`Element::Bytes`] may here be the text of an integer as well: what comes
//! from a client, or out of a tree, is parsed only where it matters.
//!
//! ```
//! use radish::value::packed::Element;
//! use radish::value::set::{Set, SetLimits};
//!
//! let limits = SetLimits::default();
//! let mut colours = Set::default();
//! for colour in ["red", "green", "red"] {
//!     colours.insert(Element::Bytes(colour.as_bytes()), &limits);
//! }
//! assert_eq!((colours.len(), colours.view().encoding()), (2, "listpack"));
//! ```

pub mod algebra;
mod integers;
mod large;
mod packed;
mod random;
#[cfg(test)]
mod tests;

use super::collection::{Collection, Scratch};
use super::packed::{Element, IntegerText};
use super::{IMAGE_BYTES_MIN, InlineKind, Type, Value, ValueRef, number};
pub use integers::{Integers, IntegersRef};
pub use large::Large;
pub use packed::{Packed, PackedRef};
use std::cell::RefCell;
use std::ops::ControlFlow;

/// Bytes of entries that a packed set never exceeds.
const PACKED_BYTES_MAX: usize = 1 << 30;
/// Integers that a sequence of them never exceeds.
const INTEGERS_MAX: usize = 1 << 30;

/// How large the small forms may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetLimits {
    /// Members of a set of integers at most (`set-max-intset-entries`).
    pub integers_max: usize,
    /// Members of a packed set at most (`set-max-listpack-entries`).
    pub entries_max: usize,
    /// Bytes of a member of a packed set at most (`set-max-listpack-value`).
    pub member_max: usize,
}

impl Default for SetLimits {
    fn default() -> Self {
        SetLimits { integers_max: 512, entries_max: 128, member_max: 64 }
    }
}

/// A set.
#[derive(Debug, Clone)]
pub enum Set {
    Integers(Integers),
    Packed(Packed),
    Large(Box<Large>),
}

impl Default for Set {
    fn default() -> Self {
        Set::Integers(Integers::default())
    }
}

/// The integer that a member is the canonical text of.
#[inline]
fn integer_of(member: Element<'_>) -> Option<i64> {
    match member {
        Element::Integer(value) => Some(value),
        Element::Bytes(bytes) => number::parse_i64(bytes),
    }
}

/// The member as it is packed.
#[inline]
fn canonical(member: Element<'_>) -> Element<'_> {
    match member {
        Element::Integer(_) => member,
        Element::Bytes(bytes) => Element::new(bytes),
    }
}

impl Set {
    /// Read access.
    #[inline]
    pub fn view(&self) -> SetRef<'_> {
        match self {
            Set::Integers(integers) => SetRef::Integers(integers.view()),
            Set::Packed(packed) => SetRef::Packed(packed.view()),
            Set::Large(large) => SetRef::Large(large),
        }
    }

    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Whether there are no members. An empty set is not kept: its key is removed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives an empty set the form for `count` members at most, of which `first` is one.
    pub fn begin(&mut self, first: &[u8], count: usize, limits: &SetLimits) {
        debug_assert!(self.is_empty());
        if count <= limits.integers_max && number::parse_i64(first).is_some() {
            self.become_integers();
        } else if count <= limits.entries_max {
            self.become_packed();
        } else {
            *self = Set::Large(Box::default());
        }
    }

    /// Prepares a set for `count` more members: one that those alone would make too large gets the large form at once.
    #[inline]
    pub fn expect(&mut self, count: usize, limits: &SetLimits) {
        let count_max = match self {
            Set::Integers(_) => limits.integers_max,
            Set::Packed(_) => limits.entries_max,
            Set::Large(_) => return,
        };
        if count > count_max {
            self.enlarge();
        }
    }

    /// Adds a member; false if it is there already.
    #[inline]
    pub fn insert(&mut self, member: Element<'_>, limits: &SetLimits) -> bool {
        match self {
            Set::Large(large) => large.insert(member.as_bytes(&mut IntegerText::default())),
            Set::Integers(integers) => match integer_of(member) {
                Some(value) => {
                    let is_new = integers.insert(value);
                    if integers.view().len() > limits.integers_max.min(INTEGERS_MAX) {
                        self.enlarge();
                    }
                    is_new
                }
                None => self.insert_beside_integers(member, limits),
            },
            Set::Packed(packed) => {
                let member = canonical(member);
                if packed.view().contains(member) {
                    return false;
                }
                let len = member.as_bytes(&mut IntegerText::default()).len();
                let is_full = packed.view().len() >= limits.entries_max
                    || packed.entry_bytes().saturating_add(len) > PACKED_BYTES_MAX;
                if is_full || len > limits.member_max {
                    self.enlarge().insert(member.as_bytes(&mut IntegerText::default()));
                } else {
                    packed.push(member);
                }
                true
            }
        }
    }

    /// Adds the first member that is no integer.
    #[cold]
    fn insert_beside_integers(&mut self, member: Element<'_>, limits: &SetLimits) -> bool {
        let Set::Integers(integers) = self else { return false };
        let view = integers.view();
        let digits = |index| view.get(index).map_or(0, |value| IntegerText::default().format(value).len());
        let len = member.as_bytes(&mut IntegerText::default()).len();
        let longest = digits(0).max(digits(view.len().saturating_sub(1))).max(len);
        let is_packed = view.len() < limits.entries_max
            && longest <= limits.member_max
            // No integer takes more bytes than this.
            && (view.len() * 11).saturating_add(len) <= PACKED_BYTES_MAX;
        if is_packed {
            let mut packed = Packed::default();
            view.iter().for_each(|value| packed.push(Element::Integer(value)));
            packed.push(member);
            *self = Set::Packed(packed);
        } else {
            self.enlarge().insert(member.as_bytes(&mut IntegerText::default()));
        }
        true
    }

    /// Removes a member; false if it is not there.
    pub fn remove(&mut self, member: Element<'_>) -> bool {
        match self {
            Set::Integers(integers) => integer_of(member).is_some_and(|value| integers.remove(value)),
            Set::Packed(packed) => packed.remove(canonical(member)),
            Set::Large(large) => large.remove(member.as_bytes(&mut IntegerText::default())),
        }
    }

    /// Gets the form of a set of few integers if it is one: for a result that is stored.
    pub fn settle(&mut self, limits: &SetLimits) {
        let view = self.view();
        if matches!(self, Set::Integers(_)) || view.len() > limits.integers_max.min(INTEGERS_MAX) {
            return;
        }
        let mut integers = Integers::default();
        let all = view.visit(|member| match integer_of(member) {
            Some(value) => {
                integers.insert(value);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        });
        if all.is_continue() {
            *self = Set::Integers(integers);
        }
    }

    /// Gives back memory that a set kept by itself does not need.
    pub fn trim(&mut self) {
        match self {
            Set::Integers(integers) => integers.trim(),
            Set::Packed(packed) => packed.trim(),
            Set::Large(_) => {}
        }
    }

    #[cold]
    fn enlarge(&mut self) -> &mut Large {
        if !matches!(self, Set::Large(_)) {
            let mut large = Box::<Large>::default();
            self.view().for_each(|member| {
                large.insert(member.as_bytes(&mut IntegerText::default()));
            });
            *self = Set::Large(large);
        }
        match self {
            Set::Large(large) => large,
            _ => unreachable!("it has just become large"),
        }
    }

    fn take_buffer(&mut self) -> Vec<u8> {
        match std::mem::take(self) {
            Set::Integers(integers) => integers.into_buffer(),
            Set::Packed(packed) => packed.into_buffer(),
            Set::Large(_) => Vec::new(),
        }
    }

    /// Becomes an empty set of integers.
    fn become_integers(&mut self) -> &mut Integers {
        *self = Set::Integers(Integers::in_buffer(self.take_buffer()));
        match self {
            Set::Integers(integers) => integers,
            _ => unreachable!("it has just become one of integers"),
        }
    }

    /// Becomes an empty packed set.
    fn become_packed(&mut self) -> &mut Packed {
        *self = Set::Packed(Packed::in_buffer(self.take_buffer()));
        match self {
            Set::Packed(packed) => packed,
            _ => unreachable!("it has just become packed"),
        }
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        match self {
            Set::Integers(integers) => integers.memory(),
            Set::Packed(packed) => packed.memory(),
            Set::Large(large) => large.memory(),
        }
    }

    /// A copy of a large set that costs little: it has in common with it what does not change. To be read.
    pub fn image(&mut self) -> Option<Self> {
        match self {
            Set::Large(large) if large.memory() >= IMAGE_BYTES_MIN => Some(Set::Large(Box::new(large.image()?))),
            _ => None,
        }
    }

    /// The work that freeing the set is, in allocations.
    pub fn free_effort(&self) -> usize {
        match self {
            Set::Integers(_) | Set::Packed(_) => 1,
            Set::Large(large) => large.free_effort(),
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch<Set>> = RefCell::default();
}

impl Collection for Set {
    const TYPE: Type = Type::Set;
    type View<'a> = SetRef<'a>;

    #[inline]
    fn view(value: ValueRef<'_>) -> Option<SetRef<'_>> {
        value.as_set()
    }

    #[inline]
    fn of(value: &mut Value) -> Option<&mut Self> {
        match value {
            Value::Set(set) => Some(set),
            _ => None,
        }
    }

    fn into_value(mut self) -> Value {
        self.trim();
        Value::Set(self)
    }

    #[inline]
    fn len(&self) -> usize {
        self.len()
    }

    fn clear(&mut self) {
        self.become_integers();
    }

    fn load(&mut self, kind: InlineKind, payload: &[u8]) {
        match kind {
            InlineKind::PackedSet => self.become_packed().load(payload),
            InlineKind::IntegerSet => self.become_integers().load(payload),
            _ => self.clear(),
        }
    }

    #[inline]
    fn inline_size(&self) -> Option<usize> {
        match self {
            Set::Integers(integers) => Some(integers.packed_size()),
            Set::Packed(packed) => packed.packed_size(),
            Set::Large(_) => None,
        }
    }

    fn pack(&self, out: &mut Vec<u8>, size_max: usize) -> Option<InlineKind> {
        self.inline_size().filter(|size| *size <= size_max)?;
        out.clear();
        match self {
            Set::Integers(integers) => {
                integers.pack(out);
                Some(InlineKind::IntegerSet)
            }
            Set::Packed(packed) => {
                packed.pack(out);
                Some(InlineKind::PackedSet)
            }
            Set::Large(_) => None,
        }
    }

    #[inline]
    fn with_scratch<R>(work: impl FnOnce(&mut Scratch<Self>) -> R) -> R {
        SCRATCH.with_borrow_mut(work)
    }
}

/// Read access to a set, wherever it is kept.
#[derive(Debug, Clone, Copy)]
pub enum SetRef<'a> {
    Integers(IntegersRef<'a>),
    Packed(PackedRef<'a>),
    Large(&'a Large),
}

impl Default for SetRef<'_> {
    /// An empty set: what a key that is not there stands for.
    fn default() -> Self {
        SetRef::Integers(IntegersRef::packed(&[]))
    }
}

impl<'a> SetRef<'a> {
    /// The set in a record.
    #[inline]
    pub(super) fn inline(kind: InlineKind, payload: &'a [u8]) -> Option<Self> {
        match kind {
            InlineKind::IntegerSet => Some(SetRef::Integers(IntegersRef::packed(payload))),
            InlineKind::PackedSet => Some(SetRef::Packed(PackedRef::packed(payload))),
            _ => None,
        }
    }

    /// Number of members.
    #[inline]
    pub fn len(self) -> usize {
        match self {
            SetRef::Integers(integers) => integers.len(),
            SetRef::Packed(packed) => packed.len(),
            SetRef::Large(large) => large.len(),
        }
    }

    /// Whether there are no members.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The width in bytes and the bytes, little-endian and ascending, of a set that is kept as integers.
    pub fn integers(self) -> Option<(usize, &'a [u8])> {
        match self {
            SetRef::Integers(integers) => Some(integers.bytes()),
            SetRef::Packed(_) | SetRef::Large(_) => None,
        }
    }

    /// What `OBJECT ENCODING` calls the form.
    pub fn encoding(self) -> &'static str {
        match self {
            SetRef::Integers(_) => "intset",
            SetRef::Packed(_) => "listpack",
            SetRef::Large(_) => "hashtable",
        }
    }

    #[inline]
    pub fn contains(self, member: Element<'_>) -> bool {
        match self {
            SetRef::Integers(integers) => integer_of(member).is_some_and(|value| integers.contains(value)),
            SetRef::Packed(packed) => packed.contains(canonical(member)),
            SetRef::Large(large) => large.contains(member),
        }
    }

    /// Visits all members, until `visit` breaks: integers in order, packed members in the order in which they came,
    /// others in no particular order.
    #[inline]
    pub fn visit(self, mut visit: impl FnMut(Element<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        match self {
            SetRef::Integers(integers) => integers.iter().try_for_each(|value| visit(Element::Integer(value))),
            SetRef::Packed(packed) => packed.iter().try_for_each(visit),
            SetRef::Large(large) => large.visit(|member| visit(Element::Bytes(member.bytes))),
        }
    }

    /// Visits, as [`SetRef::visit`] does, those members that all `others` have, or that none has; members of
    /// large sets without hashing them again.
    #[inline]
    pub(super) fn visit_compared(
        self,
        others: &[SetRef<'_>],
        all_have: bool,
        mut visit: impl FnMut(Element<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let SetRef::Large(large) = self else {
            return self.visit(|member| {
                let is_wanted = others.iter().all(|set| set.contains(member) == all_have);
                if is_wanted { visit(member) } else { ControlFlow::Continue(()) }
            });
        };
        large.visit(|key| {
            let member = Element::Bytes(key.bytes);
            let is_wanted = others.iter().all(|set| match set {
                SetRef::Large(other) => other.has(key) == all_have,
                small => small.contains(member) == all_have,
            });
            if is_wanted { visit(member) } else { ControlFlow::Continue(()) }
        })
    }

    /// Like [`SetRef::visit`], to the end.
    pub fn for_each(self, mut visit: impl FnMut(Element<'_>)) {
        let flow = self.visit(|member| {
            visit(member);
            ControlFlow::Continue(())
        });
        debug_assert!(flow.is_continue());
    }

    /// Like [`SetRef::visit`], until `visit` fails.
    #[inline]
    pub fn try_visit<E>(self, mut visit: impl FnMut(Element<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut result = Ok(());
        let flow = self.visit(|member| {
            result = visit(member);
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        debug_assert_eq!(flow.is_continue(), result.is_ok());
        result
    }

    /// A step of a scan through members that begin with `prefix`: visits about `count` of a large set and returns where
    /// the next step begins, 0 if there is none; visits all members of any other set, whatever they begin with.
    pub fn scan(self, cursor: u64, count: usize, prefix: &[u8], mut visit: impl FnMut(Element<'_>)) -> u64 {
        if let SetRef::Large(large) = self {
            return large.scan(cursor, count, prefix, |member| visit(Element::Bytes(member)));
        }
        self.for_each(visit);
        0
    }
}

impl<B: AsRef<[u8]>> FromIterator<B> for Set {
    fn from_iter<I: IntoIterator<Item = B>>(members: I) -> Self {
        let limits = SetLimits::default();
        let mut set = Set::default();
        for member in members {
            set.insert(Element::Bytes(member.as_ref()), &limits);
        }
        set
    }
}
