//! Keys, and fields of hashes, that go without a client's asking for it: what follows is the same whoever finds that they
//! have to.

use crate::pubsub::Event;
use crate::state::State;
use crate::stats::Figure;
use crate::store::{ExpiredFields, Onlookers};

/// Why a key goes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Its time is over.
    Expired,
    /// Memory is short.
    Evicted,
}

/// Tells of a record that was just removed, while its shard is still locked: whoever watches the key, needs it or may keep a
/// copy of it, whoever listens to events, and the statistics. `onlookers` are those of the key's shard. `running` is the client
/// whose command runs, 0 if none does; whether it has to be told behind its reply is returned
/// ([`Tracking::invalidate`](crate::tracking::Tracking::invalidate)).
pub fn tell(
    state: &State,
    onlookers: &mut Onlookers<'_>,
    database: usize,
    key: &[u8],
    removal: Removal,
    running: u64,
) -> bool {
    let (event, figure) = match removal {
        Removal::Expired => (Event::EXPIRED, Figure::ExpiredKeys),
        Removal::Evicted => (Event::EVICTED, Figure::EvictedKeys),
    };
    onlookers.watched.touch(database, key);
    if onlookers.waiters.needed_type(database, key).is_some() {
        state.departed.add(database, key);
    }
    state.pubsub.notify(event, database, key);
    state.stats.add(figure, 1);
    invalidate(state, onlookers, key, running)
}

fn invalidate(state: &State, onlookers: &mut Onlookers<'_>, key: &[u8], running: u64) -> bool {
    state.tracking.is_on()
        && state.tracking.invalidate(&state.clients, onlookers.tracked, state.keyspace.key(key), 0, running)
}

/// The command that removes a key which goes by itself, for the log: as with Redis' default configuration.
pub fn deletion(key: &[u8]) -> [&[u8]; 2] {
    [b"DEL", key]
}

/// Logs that a key has gone outside of any command, while its shard is still locked.
pub fn log(state: &State, database: usize, key: &[u8]) {
    if state.log.is_on() {
        state.log.append(database, deletion(key).into_iter());
    }
}

/// The command that removes fields which have gone by themselves, for the log.
pub fn deletion_of_fields<'a>(key: &'a [u8], expired: &'a ExpiredFields) -> Vec<&'a [u8]> {
    if expired.emptied.is_some() {
        return deletion(key).to_vec();
    }
    [b"HDEL", key].into_iter().chain(expired.names.iter().map(|name| &**name)).collect()
}

/// The same of fields that were just removed from a hash.
pub fn tell_fields(
    state: &State,
    onlookers: &mut Onlookers<'_>,
    database: usize,
    key: &[u8],
    expired: &ExpiredFields,
    running: u64,
) -> bool {
    onlookers.watched.touch(database, key);
    state.pubsub.notify(Event::HEXPIRED, database, key);
    if expired.emptied.is_some() {
        state.pubsub.notify(Event::DEL, database, key);
    }
    state.stats.add(Figure::ExpiredFields, expired.count as u64);
    invalidate(state, onlookers, key, running)
}
