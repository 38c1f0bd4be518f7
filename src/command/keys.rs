//! The keys of a running command: finding, reading and changing their records, with all that follows from it (lazy
//! expiry, access clocks, watchers, keyspace events, statistics), so that handlers need not think of it.
//!
//! How to look a key up:
//!
//! | [`Keys`] has | for a command that | hit or miss counts | access clock is set |
//! |---|---|---|---|
//! | [`read`](Keys::read) | returns the value (`GET`), even if it then changes it (`GETDEL`) | yes | unless `CLIENT NO-TOUCH` |
//! | [`inspect`](Keys::inspect) | tells something other than the value (`TTL`, `TYPE`) | yes | no |
//! | [`refresh`](Keys::refresh) | is there to set the clock (`TOUCH`) | yes | yes |
//! | [`write`](Keys::write) | changes the value and does not return it (`APPEND`) | no | unless `CLIENT NO-TOUCH` |
//! | [`peek`](Keys::peek) | must leave no trace (`OBJECT`, `DEL`), or looks a key up a second time | no | no |
//!
//! All of them remove a key whose time is over, and so find none. What they return, a [`Found`], holds until any record is
//! changed or any other key is looked up: then the key is looked up again, with `peek`.
//!
//! What a handler owes when it has changed a key is one call: [`changed`](Keys::changed) with the keyspace event. It tells
//! those who watch the key or keep copies of it, counts the change and publishes the event; a second event, where Redis has
//! one, is published with [`notify`](Keys::notify). [`delete`](Keys::delete) and [`expire_now`](Keys::expire_now) do it themselves. Where
//! assertions are compiled in, a command that adds, removes or replaces a record and does not say so is caught
//! ([`settle`](Keys::settle)); changes inside a collection are told by [`Edited`](super::stored::Edited), which must be used.
//!
//! Clients that wait for a key are woken by [`put`](Keys::put) if it is new, and those who are to know that it is gone by
//! [`changed`](Keys::changed). Only what gets elements for those who wait although it was there before (a stream), or loses
//! something else that they need, has to [`signal_ready`](Keys::signal_ready).

mod detached;
mod logging;
mod telling;
#[cfg(test)]
mod tests;

pub use detached::Detached;

use super::prepare::{Foreknown, PlacedKey};
use crate::client::Invalid;
use crate::config::Directive;
use crate::log::{Audience, Effects};
use crate::pubsub::Event;
use crate::removal::{self, Removal};
use crate::resp::ErrorReply;
use crate::state::State;
use crate::stats::Figure;
use crate::store::{Database, Key, Locked, Position, Shard, ShardSet};
use crate::tree::{NewPayload, Payload, PayloadMut};
use crate::value::string::LongString;
use crate::value::{InlineKind, Type, Value, ValueRef};
use smallvec::SmallVec;
use std::collections::VecDeque;

/// Fields of a hash that are removed at most because a command came across them; the others are not seen either, and are
/// removed soon after.
const FIELDS_EXPIRED_MAX: usize = 1000;

/// A record that exists, until the next change of any record.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Among those that are held.
    shard: usize,
    database: usize,
    position: Position,
    /// The [`Keys::era`] in which it was found.
    #[cfg(debug_assertions)]
    era: u64,
}

/// A key that got elements for which clients may wait.
pub(super) type ReadyKey = (usize, Box<[u8]>);

/// What few commands leave to be done.
#[derive(Default)]
struct Aftermath {
    ready: VecDeque<ReadyKey>,
    /// Emptied databases, which take long to free.
    emptied: Vec<Database>,
    /// What the client must forget of what it keeps, once it has its reply.
    invalidated: Vec<Invalid>,
}

/// Who decides that the time of a key is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// This server.
    Owner,
    /// The primary: what is over is not seen, but stays until the primary says that it goes.
    Follower,
    /// The primary, and it is speaking: what it has not removed is there.
    Obedient,
}

/// The keys of a command, behind locks that are held already.
pub struct Keys<'k> {
    locked: Locked<'k>,
    state: &'k State,
    database: usize,
    now_ms: i64,
    /// The id of the client whose command runs; 0 if none does.
    client: u64,
    /// Reads leave the access clock alone (`CLIENT NO-TOUCH`).
    no_touch: bool,
    /// The keys of the command that runs.
    foreknown: Foreknown<'k>,
    changes: u64,
    role: Role,
    /// Somebody reads the log.
    is_logged: bool,
    /// The log gets what the command said that it has done, and not the request as it came.
    is_restated: bool,
    /// What goes to the log once the command is over.
    effects: Effects,
    /// Rises whenever a [`Found`] may have become wrong.
    #[cfg(debug_assertions)]
    era: u64,
    /// A record was added, removed or replaced, and nobody has been told.
    #[cfg(debug_assertions)]
    is_untold: bool,
    /// Dropped last, behind the locks, since fields are dropped in order.
    aftermath: Option<Box<Aftermath>>,
}

impl<'k> Keys<'k> {
    pub(super) fn new(
        locked: Locked<'k>,
        state: &'k State,
        database: usize,
        now_ms: i64,
        no_touch: bool,
        foreknown: Foreknown<'k>,
    ) -> Self {
        let is_replica = state.replication.is_replica();
        Keys {
            locked,
            state,
            database,
            now_ms,
            client: 0,
            no_touch,
            foreknown,
            changes: 0,
            role: if is_replica { Role::Follower } else { Role::Owner },
            // Behind the locks: it changes only while all are held. What is done to a replica itself is nobody else's affair.
            is_logged: state.log.is_on() && !is_replica,
            is_restated: false,
            effects: Effects::default(),
            #[cfg(debug_assertions)]
            era: 0,
            #[cfg(debug_assertions)]
            is_untold: false,
            aftermath: None,
        }
    }

    /// Holds some shards for as long as `work` takes, for a command whose table entry says `locks = "parts"`. In a
    /// transaction they are held anyway.
    pub fn hold<R>(&mut self, shards: ShardSet, work: impl FnOnce(&mut Self) -> R) -> R {
        if shards.is_subset(self.locked.set()) {
            return work(self);
        }
        assert!(self.locked.set().is_empty(), "no lock is added to those that are held");
        self.locked = self.state.keyspace.lock(shards);
        let result = work(self);
        debug_assert!(!self.has_ready(), "whoever waits for a key is served before its shard is let go");
        self.log_effects();
        self.locked = self.state.keyspace.lock(ShardSet::EMPTY);
        result
    }

    /// Visits all shards, for a command whose table entry says `locks = "parts"`: one after the other, holding no
    /// other meanwhile.
    pub fn visit_shards(&mut self, mut visit: impl FnMut(&mut Shard)) {
        for number in self.state.keyspace.all_shards().iter() {
            self.hold(ShardSet::single(number), |keys| visit(keys.locked.shard(number)));
        }
    }

    /// Lets all locks go, if the command has looked at its keys for the last time and has long work left.
    pub(super) fn let_go(&mut self) {
        debug_assert!(!self.has_ready(), "whoever waits for a key is served before its shard is let go");
        self.log_effects();
        self.locked = self.state.keyspace.lock(ShardSet::EMPTY);
    }

    /// A script runs, whose commands have copies of the keys that it was given.
    pub(super) fn run_script(&mut self) {
        self.foreknown.recognise_copies();
    }

    /// Does what the primary, or a file, says: nothing is over unless it says so, and what is done is logged as it came.
    pub(super) fn obey(&mut self) {
        self.role = Role::Obedient;
        self.is_logged = false;
    }

    /// Whether it runs for a client of a replica.
    #[inline]
    pub(super) fn is_follower(&self) -> bool {
        self.role == Role::Follower
    }

    /// Whether there is a record of `key` that has a deadline, be it over.
    pub(super) fn has_deadline(&self, key: &[u8]) -> bool {
        let PlacedKey { key, shard } = PlacedKey::new(&self.state.keyspace, key);
        let tree = self.locked.get(shard).map(|shard| &shard.databases[self.database]);
        tree.is_some_and(|tree| tree.find(key).is_some_and(|position| tree.deadline(position).is_some()))
    }

    /// Deadlines before this time, in milliseconds of Unix time, are over for this command.
    #[inline]
    pub fn over_ms(&self) -> i64 {
        if self.role == Role::Obedient { i64::MIN } else { self.now_ms }
    }

    fn aftermath(&mut self) -> &mut Aftermath {
        self.aftermath.get_or_insert_default()
    }

    /// Whether keys got elements for which clients wait.
    #[inline]
    pub(super) fn has_ready(&self) -> bool {
        self.aftermath.as_ref().is_some_and(|aftermath| !aftermath.ready.is_empty())
    }

    /// The next of those keys.
    pub(super) fn next_ready(&mut self) -> Option<ReadyKey> {
        self.aftermath.as_mut()?.ready.pop_front()
    }

    /// Frees a whole database once the locks are let go, and before the reply is sent.
    pub fn free_emptied(&mut self, database: Database) {
        self.aftermath().emptied.push(database);
    }

    /// What is freed once the locks are let go.
    #[cfg(test)]
    pub fn emptied(&self) -> &[Database] {
        self.aftermath.as_ref().map_or(&[], |aftermath| &aftermath.emptied)
    }

    /// The server that the keys belong to.
    pub fn state(&self) -> &'k State {
        self.state
    }

    /// The time at which the command runs, the same from its begin to its end: milliseconds of Unix time.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Says what time it is for those who are served now.
    pub(super) fn set_now_ms(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
    }

    /// The database that keys are looked up in.
    pub fn database(&self) -> usize {
        self.database
    }

    /// Turns to another database, and returns the one before.
    pub fn set_database(&mut self, database: usize) -> usize {
        std::mem::replace(&mut self.database, database)
    }

    /// Says whose command runs, and returns whose did before; 0 for nobody's.
    #[inline]
    pub(super) fn set_client(&mut self, client: u64) -> u64 {
        std::mem::replace(&mut self.client, client)
    }

    /// The id of the client whose command runs; 0 if none does.
    pub(super) fn client(&self) -> u64 {
        self.client
    }

    /// Says whether reads leave the access clock alone, and returns whether they did before.
    pub(super) fn set_no_touch(&mut self, no_touch: bool) -> bool {
        std::mem::replace(&mut self.no_touch, no_touch)
    }

    /// All that is locked, for commands over the whole keyspace.
    pub fn locked(&mut self) -> &mut Locked<'k> {
        &mut self.locked
    }

    /// Changes made so far, as `rdb_changes_since_last_save` counts them.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    #[inline]
    fn place<'a>(&self, key: &'a [u8]) -> PlacedKey<'a> {
        match self.foreknown.recognise(key) {
            Some(placed) => placed,
            None => PlacedKey::new(self.locked.keyspace(), key),
        }
    }

    #[inline]
    fn key<'a>(&self, key: &'a [u8]) -> Key<'a> {
        match self.foreknown.recognise(key) {
            Some(placed) => placed.key,
            None => self.locked.keyspace().key(key),
        }
    }

    /// Records may have moved: what was found before is not to be used.
    #[inline]
    fn begin_era(&mut self) {
        #[cfg(debug_assertions)]
        {
            self.era += 1;
        }
    }

    /// A record that was found just now.
    #[inline]
    fn found(&self, shard: usize, database: usize, position: Position) -> Found {
        Found {
            shard,
            database,
            position,
            #[cfg(debug_assertions)]
            era: self.era,
        }
    }

    /// The same record after a change, at its new place.
    #[inline]
    fn moved(&mut self, found: Found, position: Position) -> Found {
        self.begin_era();
        self.found(found.shard, found.database, position)
    }

    #[inline]
    #[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "it is only looked at where assertions are"))]
    fn assert_valid(&self, found: Found) {
        #[cfg(debug_assertions)]
        assert_eq!(found.era, self.era, "a record is used after another was looked up or changed");
    }

    #[inline]
    fn tree(&mut self, found: Found) -> &mut Database {
        self.assert_valid(found);
        &mut self.locked.at(found.shard).databases[found.database]
    }

    #[inline]
    fn tree_ref(&self, found: Found) -> &Database {
        self.assert_valid(found);
        &self.locked.at_ref(found.shard).databases[found.database]
    }

    /// Notes that a record was added, removed or replaced, of which somebody must be told.
    #[inline]
    fn owe(&mut self) {
        #[cfg(debug_assertions)]
        {
            self.is_untold = true;
        }
    }

    /// Says that what has been written last is what was there before, in another form.
    #[inline]
    pub fn same_value(&mut self) {
        self.told();
    }

    #[inline]
    fn told(&mut self) {
        #[cfg(debug_assertions)]
        {
            self.is_untold = false;
        }
    }

    /// Checks, where assertions are compiled in, that a command which has ended has told of its changes.
    #[inline]
    #[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "it is only told where assertions are"))]
    pub(super) fn settle(&self, command: &str) {
        #[cfg(debug_assertions)]
        assert!(!self.is_untold, "{command} has changed records and told nobody");
    }

    /// The record of `key`, unless its time is over: then it is removed. If it `touches` the record, its access clock is set.
    #[inline]
    fn locate(&mut self, key: &[u8], touches: bool) -> Option<Found> {
        let placed = self.place(key);
        let (hashed, shard) = (placed.key, self.locked.index_of(placed.shard));
        let database = self.database;
        // Whether the look moves records depends on the clock: where it is checked, it is taken to do so always.
        self.begin_era();
        let over_ms = self.over_ms();
        let held = self.locked.at(shard);
        let are_fields_due = self.role == Role::Owner && held.due_fields[database].are_due(self.now_ms);
        let tree = &mut held.databases[database];
        let position = tree.find(hashed)?;
        let (deadline, clock) = tree.times(position);
        if deadline.is_some_and(|deadline| deadline < over_ms) {
            if self.role == Role::Owner && !self.state.pause.is_on() {
                let found = self.found(shard, database, position);
                self.expire(found, key);
            }
            return None;
        }
        if touches && !self.no_touch {
            let touched = crate::access::touched(&self.state.settings, clock, self.now_ms);
            // Most keys that are read are read again within a second: their cache lines stay as they are.
            if touched != clock {
                tree.set_clock(position, touched);
            }
        }
        let found = self.found(shard, database, position);
        (!are_fields_due || !self.expire_fields(found, key)).then_some(found)
    }

    #[cold]
    fn expire(&mut self, found: Found, key: &[u8]) {
        let boxed = self.tree(found).remove(found.position);
        self.begin_era();
        let onlookers = &mut self.locked.at(found.shard).onlookers();
        if removal::tell(self.state, onlookers, found.database, key, Removal::Expired, self.client) {
            self.note_invalid(Invalid::Key(key.into()));
        }
        if self.is_logged {
            let words = removal::deletion(key);
            self.effects.push(found.database, words.into_iter(), Audience::All);
        }
        self.discard(found.shard, found.database, key, boxed);
    }

    /// Removes fields of a hash whose time is over, but not too many at once. Returns whether none were left, and the record
    /// is gone.
    #[cold]
    fn expire_fields(&mut self, found: Found, key: &[u8]) -> bool {
        if self.state.pause.is_on() {
            return false;
        }
        let (database, now_ms) = (found.database, self.now_ms);
        let shard = self.locked.at(found.shard);
        let expired = shard.expire_fields(database, found.position, key, now_ms, FIELDS_EXPIRED_MAX, self.is_logged);
        let Some(expired) = expired else { return false };
        if removal::tell_fields(self.state, &mut shard.onlookers(), database, key, &expired, self.client) {
            self.note_invalid(Invalid::Key(key.into()));
        }
        if self.is_logged {
            let words = removal::deletion_of_fields(key, &expired);
            self.effects.push(database, words.into_iter(), Audience::All);
        }
        let is_gone = expired.emptied.is_some();
        self.free(expired.emptied);
        is_gone
    }

    /// Looks up several keys whose values are needed side by side, each by `look` ([`read`](Self::read), say). Other than
    /// those of looks one by one, the records can be used together.
    pub fn each<'a, K: IntoIterator<Item = &'a [u8], IntoIter: Clone>>(
        &mut self,
        keys: K,
        mut look: impl FnMut(&mut Self, &[u8]) -> Option<Found>,
    ) -> SmallVec<[Option<Found>; 8]> {
        let keys = keys.into_iter();
        for key in keys.clone() {
            look(self, key);
        }
        // What was over is gone now: looking once more moves nothing.
        keys.map(|key| self.look_again(key)).collect()
    }

    /// The record of `key`, at which somebody has looked just before.
    fn look_again(&mut self, key: &[u8]) -> Option<Found> {
        let placed = self.place(key);
        let (hashed, shard) = (placed.key, self.locked.index_of(placed.shard));
        let tree = &self.locked.at_ref(shard).databases[self.database];
        let position = tree.find(hashed)?;
        let is_over = tree.deadline(position).is_some_and(|deadline| deadline < self.over_ms());
        (!is_over).then(|| self.found(shard, self.database, position))
    }

    /// Looks up a key whose value the command returns: counts a hit or a miss and sets the access clock.
    #[inline]
    pub fn read(&mut self, key: &[u8]) -> Option<Found> {
        let found = self.locate(key, true);
        match found {
            Some(_) => self.state.stats.add(Figure::KeyspaceHits, 1),
            None => {
                self.state.stats.add(Figure::KeyspaceMisses, 1);
                self.state.pubsub.notify(Event::KEY_MISS, self.database, key);
            }
        }
        found
    }

    /// Looks up a key about which the command tells something other than its value: counts a hit or a miss, but leaves
    /// the access clock alone (`EXISTS`, `TTL`, `TYPE`).
    pub fn inspect(&mut self, key: &[u8]) -> Option<Found> {
        let outer = std::mem::replace(&mut self.no_touch, true);
        let found = self.read(key);
        self.no_touch = outer;
        found
    }

    /// Looks up a key as [`peek`](Self::peek) does, be its time over.
    pub fn peek_beyond_deadline(&mut self, key: &[u8]) -> Option<Found> {
        let outer = std::mem::replace(&mut self.role, Role::Obedient);
        let found = self.peek(key);
        self.role = outer;
        found
    }

    /// Looks up a key to have its access clock set, whatever the client wants (`TOUCH`).
    pub fn refresh(&mut self, key: &[u8]) -> Option<Found> {
        let outer = std::mem::replace(&mut self.no_touch, false);
        let found = self.read(key);
        self.no_touch = outer;
        found
    }

    /// Looks up a key that the command changes.
    #[inline]
    pub fn write(&mut self, key: &[u8]) -> Option<Found> {
        self.locate(key, true)
    }

    /// Looks up a key about which the command tells how it is kept: counts a hit or a miss and leaves no other trace
    /// (`OBJECT`).
    pub fn examine(&mut self, key: &[u8]) -> Option<Found> {
        let found = self.locate(key, false);
        let figure = if found.is_some() { Figure::KeyspaceHits } else { Figure::KeyspaceMisses };
        self.state.stats.add(figure, 1);
        found
    }

    /// Looks up a key without any trace (`DEL`, `MEMORY USAGE`).
    pub fn peek(&mut self, key: &[u8]) -> Option<Found> {
        self.locate(key, false)
    }

    /// Sets the access clock (`RESTORE`, `DEBUG`), or leaves it where a policy has another meaning for it.
    pub fn set_clock(&mut self, found: Found, clock: u32) {
        self.tree(found).set_clock(found.position, clock);
    }

    pub fn clock(&self, found: Found) -> u32 {
        self.tree_ref(found).clock(found.position)
    }

    /// The value of a record.
    #[inline]
    pub fn value(&self, found: Found) -> ValueRef<'_> {
        self.tree_ref(found).payload(found.position).into()
    }

    /// The type of a record's value.
    pub fn type_of(&self, found: Found) -> Type {
        self.value(found).type_of()
    }

    /// `found`, if it is of the type wanted; an error if it is of another.
    pub fn typed(&self, found: Option<Found>, wanted: Type) -> Result<Option<Found>, ErrorReply> {
        match found {
            Some(found) if self.type_of(found) != wanted => Err(ErrorReply::WRONG_TYPE),
            found => Ok(found),
        }
    }

    /// The out-of-line value of a record, to be changed in place; `None` if it is inline.
    pub fn boxed_mut(&mut self, found: Found) -> Option<&mut Value> {
        match self.tree(found).payload_mut(found.position) {
            PayloadMut::Inline { .. } => None,
            PayloadMut::Boxed(value) => Some(value),
        }
    }

    /// The long string of a record, to be changed or made raw in part; `None` if it has none.
    pub fn long_string_mut(&mut self, found: Found) -> Option<&mut LongString> {
        let state = self.state;
        match self.boxed_mut(found)? {
            Value::String(string) => {
                state.compression.note_raw();
                Some(string)
            }
            _ => None,
        }
    }

    /// The bytes of an inline value, to be overwritten without changing their number; `None` if it is out of line.
    pub fn inline_mut(&mut self, found: Found) -> Option<(InlineKind, &mut [u8])> {
        match self.tree(found).payload_mut(found.position) {
            PayloadMut::Inline { kind, bytes } => Some((InlineKind::stored(kind), bytes)),
            PayloadMut::Boxed(_) => None,
        }
    }

    /// When the record expires, in milliseconds of Unix time.
    pub fn deadline(&self, found: Found) -> Option<i64> {
        self.tree_ref(found).deadline(found.position)
    }

    pub fn set_deadline(&mut self, found: Found, key: &[u8], deadline: Option<i64>) -> Found {
        let hashed = self.key(key);
        let position = self.tree(found).set_deadline(found.position, hashed, deadline);
        self.owe();
        self.moved(found, position)
    }

    /// Gives `key` a value and a deadline, whatever it was before. If the key is new, those who wait for such a value wake.
    pub fn put(&mut self, key: &[u8], payload: NewPayload<'_, Value>, deadline: Option<i64>) -> Found {
        self.note_raw(&payload);
        let placed = self.place(key);
        let (hashed, shard) = (placed.key, self.locked.index_of(placed.shard));
        let clock = crate::access::created(&self.state.settings, self.now_ms);
        let database = self.database;
        let tree = &mut self.locked.at(shard).databases[database];
        let len = tree.len();
        let type_of = ValueRef::from(shown(&payload)).type_of();
        let has_due_fields = has_due_fields(&payload);
        let (position, displaced) = tree.put(hashed, payload, deadline, clock);
        let is_new = tree.len() > len;
        self.discard(shard, database, key, displaced);
        if has_due_fields {
            self.locked.at(shard).note_fields(database, position, key);
        }
        self.begin_era();
        self.owe();
        if is_new {
            self.state.pubsub.notify(Event::NEW, database, key);
            // As in Redis, a value that takes the place of another wakes nobody.
            if type_of.is_awaitable() {
                self.signal_ready(key);
            }
        }
        self.found(shard, database, position)
    }

    /// Gives a record another value; its deadline stays.
    pub fn replace(&mut self, found: Found, key: &[u8], payload: NewPayload<'_, Value>) -> Found {
        self.note_raw(&payload);
        let hashed = self.key(key);
        let has_due_fields = has_due_fields(&payload);
        let (position, displaced) = self.tree(found).replace(found.position, hashed, payload);
        self.discard(found.shard, found.database, key, displaced);
        if has_due_fields {
            self.locked.at(found.shard).note_fields(found.database, position, key);
        }
        self.owe();
        self.moved(found, position)
    }

    /// Says so if a string arrives that is to be compressed once it is cold.
    #[inline]
    fn note_raw(&self, payload: &NewPayload<'_, Value>) {
        let is_raw = match payload {
            NewPayload::Boxed(value) => matches!(&**value, Value::String(string) if string.is_compressible()),
            NewPayload::Inline { kind, bytes } => {
                *kind == InlineKind::RawModified as u8
                    && bytes.len() > self.state.settings.int(Directive::CompressionThreshold) as usize
            }
        };
        if is_raw {
            self.state.compression.note_raw();
        }
    }

    /// Removes a record.
    pub fn remove(&mut self, found: Found) {
        let boxed = self.take(found);
        self.free(boxed);
    }

    /// Removes a record because a client wants it gone, with all that follows from it.
    pub fn delete(&mut self, found: Found, key: &[u8]) {
        self.remove(found);
        self.changed(key, Event::DEL);
    }

    /// Removes a record because a client gave it a deadline that has passed, with all that follows from it.
    pub fn expire_now(&mut self, found: Found, key: &[u8]) {
        self.expire(found, key);
        self.changes += 1;
        self.restate();
    }

    /// Removes a record and returns the value that it had out of line.
    pub fn take(&mut self, found: Found) -> Option<Box<Value>> {
        self.assert_valid(found);
        self.locked.at(found.shard).forget_fields_at(found.database, found.position);
        let boxed = self.tree(found).remove(found.position);
        self.begin_era();
        self.owe();
        boxed
    }

    /// Has it be known that fields of the hash at `key`, which was changed where it is, may have got earlier deadlines.
    pub fn note_fields(&mut self, key: &[u8]) {
        if let Some(found) = self.look_again(key) {
            self.locked.at(found.shard).note_fields(found.database, found.position, key);
        }
    }

    /// Frees what the record of `key` has had.
    fn discard(&mut self, shard: usize, database: usize, key: &[u8], boxed: Option<Box<Value>>) {
        if let Some(value) = &boxed {
            self.locked.at(shard).forget_fields(database, key, value);
        }
        self.free(boxed);
    }

    fn free(&self, boxed: Option<Box<Value>>) {
        if let Some(value) = boxed {
            self.state.lazy_free.free_value(value);
        }
    }
}

impl Drop for Keys<'_> {
    /// What was done is logged before the locks are let go.
    #[inline]
    fn drop(&mut self) {
        self.log_effects();
    }
}

/// A payload on its way into a record, to be looked at.
#[inline]
fn shown<'a>(payload: &'a NewPayload<'_, Value>) -> Payload<'a, Value> {
    match payload {
        NewPayload::Inline { kind, bytes } => Payload::Inline { kind: *kind, bytes },
        NewPayload::Boxed(value) => Payload::Boxed(value),
    }
}

/// Whether a payload on its way into a record is a hash that has fields with deadlines.
#[inline]
fn has_due_fields(payload: &NewPayload<'_, Value>) -> bool {
    match payload {
        NewPayload::Boxed(value) => matches!(&**value, Value::Hash(hash) if hash.next_deadline().is_some()),
        NewPayload::Inline { .. } => false,
    }
}
