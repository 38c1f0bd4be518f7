//! One shard: a tree per database, which of its hashes have fields with deadlines, and who waits for, watches or
//! keeps copies of its keys.

use super::snapshot::Keeper;
use super::{DueFields, Keyspace, Position, Tracked, Waiters, Watched};
use crate::tree::{CLASSES, Count, Layout, Payload, PayloadMut, Tally, Tree};
use crate::value::collection::Collection;
use crate::value::hash::Hash;
use crate::value::{InlineKind, Type, Value, ValueRef};

/// Parts of a collection that are looked at to find out what it takes, as `MEMORY USAGE` does by default.
const SAMPLES: usize = 5;

/// Records of the keyspace carry an access clock; large values are owned out of line.
pub enum KeyspaceLayout {}

impl Layout for KeyspaceLayout {
    const CLOCK: bool = true;
    type Boxed = Value;
    type Recorder = Keeper;
    type Count = ByType;
}

/// Records by the type of their value.
pub enum ByType {}

impl ByType {
    /// The types, each at the place of its class.
    pub const TYPES: [Type; CLASSES] = [Type::String, Type::List, Type::Set, Type::SortedSet, Type::Hash, Type::Stream];

    #[inline(always)]
    fn class(value: Type) -> usize {
        match value {
            Type::String => 0,
            Type::List => 1,
            Type::Set => 2,
            Type::SortedSet => 3,
            Type::Hash => 4,
            Type::Stream => 5,
        }
    }
}

impl Count<Value> for ByType {
    type Tally = Tally;

    #[inline(always)]
    fn class_of_kind(kind: u8) -> usize {
        ByType::class(InlineKind::stored(kind).type_of())
    }

    fn class_of(boxed: &Value) -> usize {
        ByType::class(ValueRef::Boxed(boxed).type_of())
    }

    fn weight_of(boxed: &Value) -> usize {
        ValueRef::Boxed(boxed).memory(SAMPLES)
    }
}

/// The keys of one database that belong to one shard.
pub type Database = Tree<KeyspaceLayout>;

/// A part of the keyspace, by hash of the keys. Guarded by one lock.
pub struct Shard {
    pub databases: Box<[Database]>,
    /// For each database.
    pub due_fields: Box<[DueFields]>,
    pub waiters: Waiters,
    pub watched: Watched,
    pub tracked: Tracked,
}

/// Who is to know what becomes of the keys of a shard.
pub struct Onlookers<'a> {
    pub watched: &'a Watched,
    pub waiters: &'a Waiters,
    pub tracked: &'a mut Tracked,
}

impl Shard {
    pub fn onlookers(&mut self) -> Onlookers<'_> {
        Onlookers { watched: &self.watched, waiters: &self.waiters, tracked: &mut self.tracked }
    }

    pub fn new(databases: usize) -> Self {
        Shard {
            databases: (0..databases).map(|_| Database::new()).collect(),
            due_fields: (0..databases).map(|_| DueFields::default()).collect(),
            waiters: Waiters::default(),
            watched: Watched::default(),
            tracked: Tracked::default(),
        }
    }

    /// Notes when the fields of a hash are due that has just come to `key`, or of which deadlines have changed.
    pub fn note_fields(&mut self, database: usize, position: Position, key: &[u8]) {
        if let Some(hash) = noted_hash(&mut self.databases[database], position) {
            self.due_fields[database].note(key, hash);
        }
    }

    /// Removes fields that were due before `now_ms` from the hash that is first to be looked at, as
    /// [`expire_fields`](Self::expire_fields) does, and says which it was. `None` if there is no such hash. `find` gives the
    /// position of a key.
    pub fn expire_first_fields(
        &mut self,
        database: usize,
        now_ms: i64,
        max: usize,
        wants_names: bool,
        find: impl FnOnce(&Database, &[u8]) -> Option<Position>,
    ) -> Option<(Box<[u8]>, Option<ExpiredFields>)> {
        let key = self.due_fields[database].pop_due(now_ms)?;
        let expired = find(&self.databases[database], &key).and_then(|position| {
            noted_hash(&mut self.databases[database], position)?.set_noted_ms(None);
            self.expire_fields(database, position, &key, now_ms, max, wants_names)
        });
        Some((key, expired))
    }

    /// Whether hashes of a database have fields with deadlines, be they due.
    pub fn has_field_deadlines(&self, keyspace: &Keyspace, database: usize) -> bool {
        let tree = &self.databases[database];
        self.due_fields[database].keys().filter_map(|key| tree.find(keyspace.key(key))).any(|position| {
            matches!(tree.payload(position), Payload::Boxed(Value::Hash(hash)) if hash.next_deadline().is_some())
        })
    }

    /// Forgets when fields of the value of a record are due, which is about to go.
    #[inline]
    pub fn forget_fields_at(&mut self, database: usize, position: Position) {
        let tree = &self.databases[database];
        if let Payload::Boxed(Value::Hash(hash)) = tree.payload(position)
            && hash.noted_ms().is_some()
        {
            let mut key = Vec::new();
            tree.key(position, &mut key);
            self.due_fields[database].forget(&key, hash);
        }
    }

    /// Forgets when fields of a value are due that is no longer at `key`.
    #[inline]
    pub fn forget_fields(&mut self, database: usize, key: &[u8], value: &Value) {
        if let Value::Hash(hash) = value {
            self.due_fields[database].forget(key, hash);
        }
    }

    /// Removes fields of the hash at `key` that were due before `now_ms` (milliseconds of Unix time), `max` of them at most,
    /// and the record if none are left. `None` if there are none to be removed, or the record holds something else. Their
    /// names are kept only if somebody wants them.
    pub fn expire_fields(
        &mut self,
        database: usize,
        position: Position,
        key: &[u8],
        now_ms: i64,
        max: usize,
        wants_names: bool,
    ) -> Option<ExpiredFields> {
        let tree = &mut self.databases[database];
        let hash = noted_hash(tree, position)?;
        if hash.next_deadline().is_none_or(|next| next >= now_ms) {
            self.due_fields[database].note_exactly(key, hash);
            return None;
        }
        let PayloadMut::Boxed(value) = tree.payload_mut(position) else { return None };
        let hash = Hash::of(value)?;
        let mut names = Vec::new();
        let removed = hash.remove_due(now_ms, max, |name| {
            if wants_names {
                names.push(name.into());
            }
        });
        // All that are left may be due, too: then they go with the key, whatever their number.
        let rest = if removed == max { hash.view().at(now_ms).len() } else { hash.len() };
        if rest == 0 {
            let count = removed + hash.len();
            self.due_fields[database].forget(key, hash);
            return Some(ExpiredFields { count, names, emptied: self.databases[database].remove(position) });
        }
        self.due_fields[database].note_exactly(key, hash);
        (removed > 0).then_some(ExpiredFields { count: removed, names, emptied: None })
    }
}

/// What became of a hash of which fields were due.
pub struct ExpiredFields {
    /// Fields removed.
    pub count: usize,
    /// Names of the fields removed, if somebody wanted them; those that went with their key may be missing.
    pub names: Vec<Box<[u8]>>,
    /// The hash, if none are left, and its key is gone with them.
    pub emptied: Option<Box<Value>>,
}

/// The hash of a record, of which nothing but the time under which it is noted is to be changed.
fn noted_hash(tree: &mut Database, position: Position) -> Option<&mut Hash> {
    match tree.form_mut(position) {
        PayloadMut::Boxed(value) => Hash::of(value),
        PayloadMut::Inline { .. } => None,
    }
}
