//! Who is told of what has become of a key: those who watch it, wait for it or keep copies of it, and those who listen to events.

use super::Keys;
use crate::client::Invalid;
use crate::pubsub::Event;
use crate::tree::Key;
use crate::value::ValueRef;

impl Keys<'_> {
    /// Says what was done to `key` of the current database: those who watch it are told, the change is counted, the event
    /// is published.
    #[inline]
    pub fn changed(&mut self, key: &[u8], event: Event) {
        self.changed_by(key, 1, event);
    }

    /// Like [`Keys::changed`], for a change that counts as several, or as none.
    #[inline]
    pub fn changed_by(&mut self, key: &[u8], changes: u64, event: Event) {
        self.changed_quietly(key, changes);
        self.notify(event, key);
    }

    /// Like [`Keys::changed_by`], for a change that has no event (`DEBUG POPULATE`).
    #[inline]
    pub fn changed_quietly(&mut self, key: &[u8], changes: u64) {
        self.changes += changes;
        self.touch_watchers(self.database, key);
        if self.state.tracking.is_on() {
            self.invalidate(key);
        }
        self.wake_needing(key);
        self.told();
    }

    /// Tells those who may keep copies of `key` that they are out of date.
    #[cold]
    fn invalidate(&mut self, key: &[u8]) {
        let placed = self.place(key);
        let tracked = &mut self.locked.shard(placed.shard).tracked;
        let hashed = Key::new(key, placed.key.hash);
        if self.state.tracking.invalidate(&self.state.clients, tracked, hashed, self.client, self.client) {
            self.note_invalid(Invalid::Key(key.into()));
        }
    }

    /// Notes what the client must forget once it has its reply.
    pub(in crate::command) fn note_invalid(&mut self, invalid: Invalid) {
        self.aftermath().invalidated.push(invalid);
    }

    /// What the client must forget now.
    #[inline]
    pub(in crate::command) fn take_invalidated(&mut self) -> Vec<Invalid> {
        self.aftermath.as_mut().map_or(Vec::new(), |aftermath| std::mem::take(&mut aftermath.invalidated))
    }

    /// Notes that a client may keep a copy of `key` from now on, unless its shard was let go before.
    pub(in crate::command) fn note_read(&mut self, key: &[u8], client: u64) {
        let placed = self.place(key);
        if self.locked.set().contains(placed.shard) {
            let tracked = &mut self.locked.shard(placed.shard).tracked;
            self.state.tracking.note(tracked, Key::new(key, placed.key.hash), client);
        }
    }

    /// Wakes those who are to know when `key` goes or changes its type, if it has.
    #[inline]
    fn wake_needing(&mut self, key: &[u8]) {
        if self.locked.only().is_some_and(|shard| shard.waiters.is_empty()) {
            return;
        }
        let (placed, database) = (self.place(key), self.database);
        let shard = self.locked.shard(placed.shard);
        let Some(needed) = shard.waiters.needed_type(database, key) else { return };
        let tree = &shard.databases[database];
        let present = tree.find(placed.key).map(|position| ValueRef::from(tree.payload(position)).type_of());
        if present != Some(needed) {
            self.signal_ready(key);
        }
    }

    /// Counts changes that concern no single key (`FLUSHALL`).
    pub fn count_changes(&mut self, changes: u64) {
        self.changes += changes;
    }

    #[inline]
    fn touch_watchers(&mut self, database: usize, key: &[u8]) {
        // Most commands hold one shard, of which no key is watched.
        if self.locked.only().is_some_and(|shard| shard.watched.is_empty()) {
            return;
        }
        let shard = self.place(key).shard;
        self.locked.shard(shard).watched.touch(database, key);
    }

    /// Publishes a further event of a key of the current database.
    #[inline]
    pub fn notify(&self, event: Event, key: &[u8]) {
        self.state.pubsub.notify(event, self.database, key);
    }

    /// Says that `key` got elements, for which clients may wait.
    #[inline]
    pub fn signal_ready(&mut self, key: &[u8]) {
        let shard = self.place(key).shard;
        let database = self.database;
        if self.locked.shard(shard).waiters.is_awaited(database, key) {
            let ready = &mut self.aftermath().ready;
            if ready.back().is_none_or(|(last_database, last)| *last_database != database || **last != *key) {
                ready.push_back((database, key.into()));
            }
        }
    }
}
