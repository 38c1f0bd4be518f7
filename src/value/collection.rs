//! What all collections have in common, so that reading and changing those that keys hold is written once.

use super::{InlineKind, Type, Value, ValueRef};
use crate::tree::Seed;
use std::sync::LazyLock;

/// What elements are hashed with in the trees that large collections are.
pub static SEED: LazyLock<Seed> = LazyLock::new(Seed::random);

/// A collection is packed into its record up to so many bytes: each change then costs a copy of all of them.
pub const PACKED_BYTES_MAX: usize = 256;

/// A collection: small ones live in the record of their key, others are a [`Value`] of their own.
pub trait Collection: Default {
    const TYPE: Type;

    /// Read access, wherever the collection is kept.
    type View<'a>;

    /// A value as such a collection, if it is one.
    fn view(value: ValueRef<'_>) -> Option<Self::View<'_>>;

    /// A value of its own as such a collection, if it is one.
    fn of(value: &mut Value) -> Option<&mut Self>;

    /// The collection as a value of its own.
    fn into_value(self) -> Value;

    /// Elements.
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all elements; memory that it has is used again.
    fn clear(&mut self);

    /// Becomes what the payload of a record holds; memory that the collection has is used again. A payload of another
    /// type is not expected, and taken for an empty collection.
    fn load(&mut self, kind: InlineKind, payload: &[u8]);

    /// Bytes that it takes as the payload of a record; `None` if it cannot be one.
    fn inline_size(&self) -> Option<usize>;

    /// Writes it to `out`, whose contents are dropped, as the payload of a record. `None` if it cannot be one of at most
    /// `size_max` bytes.
    fn pack(&self, out: &mut Vec<u8>, size_max: usize) -> Option<InlineKind>;

    /// What changing small collections needs, kept by each thread from one change to the next.
    fn with_scratch<R>(work: impl FnOnce(&mut Scratch<Self>) -> R) -> R;
}

/// See [`Collection::with_scratch`].
#[derive(Default)]
pub struct Scratch<C> {
    pub collection: C,
    pub packed: Vec<u8>,
}
