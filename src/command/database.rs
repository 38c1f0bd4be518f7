//! Commands on whole databases: counting, emptying and exchanging them.

use super::Call;
use super::key;
use crate::client::Invalid;
use crate::config::Directive;
use crate::resp::{CommandResult, ErrorReply};
use crate::saving;
use crate::script::Catalog;
use crate::state::State;
use crate::store::snapshot::retire;
use crate::store::{Database, DueFields, Locked, Shard};
use std::ops::Range;
use std::sync::atomic::Ordering;

/// `DBSIZE`: the number of keys, those included whose time is over but which are not removed yet.
pub fn dbsize(call: &mut Call) -> CommandResult {
    let database = call.keys.database();
    let mut count = 0;
    call.keys.visit_shards(|shard| count += shard.databases[database].len());
    call.reply.count(count)
}

/// `FLUSHDB [ASYNC|SYNC]`
pub fn flushdb(call: &mut Call) -> CommandResult {
    let in_background = parse_flush(call)?;
    let database = call.keys.database();
    flush(call, database..database + 1, in_background);
    log_flush(call);
    call.reply.ok()
}

/// `FLUSHALL [ASYNC|SYNC]`
pub fn flushall(call: &mut Call) -> CommandResult {
    let in_background = parse_flush(call)?;
    flush(call, 0..call.state.keyspace.databases(), in_background);
    log_flush(call);
    saving::cancel(call.state);
    call.state.replication.is_copy_unwanted.store(true, Ordering::Relaxed);
    let uncounted = call.keys.changes();
    // What was removed must not come back at the next start. If that cannot be saved, the log says why, as in Redis.
    if !call.state.settings.save_points().is_empty() {
        let _ = saving::save(call.state, call.keys.locked(), uncounted);
    }
    call.reply.ok()
}

/// Logs that keys were removed, even if there were none: a replica may have what its primary has not.
fn log_flush(call: &mut Call) {
    let words: Vec<&[u8]> = call.args.iter().collect();
    call.keys.log_as(&words);
}

/// Whether memory is to be freed on another thread.
fn parse_flush(call: &Call) -> Result<bool, ErrorReply> {
    match call.args.len() {
        1 => Ok(call.state.settings.flag(Directive::LazyfreeLazyUserFlush)),
        2 if call.is_word(1, "ASYNC") => Ok(true),
        2 if call.is_word(1, "SYNC") => Ok(false),
        _ => Err(ErrorReply::SYNTAX),
    }
}

/// What was in databases that have been emptied.
pub struct Emptied {
    removed: u64,
    trees: Vec<Database>,
    /// Keys for which clients wait, with their databases.
    awaited: Vec<(usize, Box<[u8]>)>,
    /// The client whose command did it keeps copies of keys, and must be told.
    is_running_told: bool,
}

impl Emptied {
    /// Frees what was there. The caller holds no shard.
    pub fn free(self, state: &State, in_background: bool) {
        for tree in self.trees {
            if in_background {
                free_in_background(state, tree);
            }
        }
    }
}

/// Takes all keys out of these databases, whose shards are held, and tells those who watch them or keep copies of any keys,
/// but for the client `running`, whose command does it (0: none does).
fn take_all(state: &State, locked: &mut Locked<'_>, databases: Range<usize>, running: u64) -> Emptied {
    let tracked = locked.shards().map(|(_, shard)| &mut shard.tracked);
    let is_running_told = state.tracking.forget_all(&state.clients, tracked, running);
    let mut emptied = Emptied { removed: 0, trees: Vec::new(), awaited: Vec::new(), is_running_told };
    for (_, shard) in locked.shards() {
        for database in databases.clone() {
            if shard.databases[database].is_empty() {
                continue;
            }
            emptied.awaited.extend(shard.waiters.keys(database).map(|key| (database, key.into())));
            touch_watched(state, shard, database, &[database]);
            shard.due_fields[database] = DueFields::default();
            let tree = std::mem::take(&mut shard.databases[database]);
            emptied.removed += tree.len() as u64;
            emptied.trees.extend(retire(tree));
        }
    }
    emptied
}

fn free_in_background(state: &State, tree: Database) {
    let (keys, memory) = (tree.len() as u64, tree.memory());
    state.lazy_free.free(tree, keys, memory.page_bytes - memory.page_free_bytes);
}

/// Removes everything, since other data take its place: nothing of it is counted or logged.
pub fn empty(state: &State, in_background: bool) {
    let mut locked = state.keyspace.lock(state.keyspace.all_shards());
    let emptied = empty_locked(state, &mut locked);
    drop(locked);
    emptied.free(state, in_background);
}

/// The same while all shards are held; what was there is to be freed.
pub fn empty_locked(state: &State, locked: &mut Locked<'_>) -> Emptied {
    state.scripts.libraries.set(Catalog::default());
    take_all(state, locked, 0..state.keyspace.databases(), 0)
}

/// Puts data and libraries that were loaded aside in place of all that is there, at one moment.
pub fn replace(state: &State, aside: Vec<Shard>, libraries: Catalog, in_background: bool) {
    let mut locked = state.keyspace.lock(state.keyspace.all_shards());
    let emptied = empty_locked(state, &mut locked);
    for ((_, shard), other) in locked.shards().zip(aside) {
        shard.databases = other.databases;
        shard.due_fields = other.due_fields;
    }
    state.scripts.libraries.set(libraries);
    drop(locked);
    emptied.free(state, in_background);
}

/// Removes all keys of these databases.
pub(super) fn flush(call: &mut Call, databases: Range<usize>, in_background: bool) {
    let running = call.keys.client();
    let emptied = take_all(call.state, call.keys.locked(), databases, running);
    let Emptied { removed, trees, awaited, is_running_told } = emptied;
    if is_running_told {
        call.keys.note_invalid(Invalid::All);
    }
    for tree in trees {
        if in_background {
            free_in_background(call.state, tree);
        } else {
            call.keys.free_emptied(tree);
        }
    }
    call.keys.count_changes(removed);
    signal_awaited(call, awaited);
}

/// Has those looked after who wait for keys that may have come or gone.
fn signal_awaited(call: &mut Call, awaited: Vec<(usize, Box<[u8]>)>) {
    let outer = call.keys.database();
    for (database, key) in awaited {
        call.keys.set_database(database);
        call.keys.signal_ready(&key);
    }
    call.keys.set_database(outer);
}

/// Tells those who watch keys of `database` which are in one of the databases of `sources`.
fn touch_watched(state: &State, shard: &Shard, database: usize, sources: &[usize]) {
    let exists = |tree: &Database, key: &[u8]| tree.find(state.keyspace.key(key)).is_some();
    for key in shard.watched.keys(database) {
        if sources.iter().any(|source| exists(&shard.databases[*source], key)) {
            shard.watched.touch(database, key);
        }
    }
}

/// Removes those keys whose time is over that would come under the eyes of clients watching the same key in the other
/// database: to these nothing changes.
fn remove_stale(call: &mut Call, pair: [usize; 2]) {
    let mut incoming: Vec<(usize, Box<[u8]>)> = Vec::new();
    for (_, shard) in call.keys.locked().shards() {
        for (from, to) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            incoming.extend(shard.watched.keys(to).map(|key| (from, key.into())));
        }
    }
    let outer = call.keys.database();
    for (database, key) in incoming {
        call.keys.set_database(database);
        call.keys.peek(&key);
    }
    call.keys.set_database(outer);
}

/// `SWAPDB index1 index2`: clients that use the one see the keys of the other at once.
pub fn swapdb(call: &mut Call) -> CommandResult {
    let int = i64::from(i32::MIN)..=i64::from(i32::MAX);
    call.integer_in(1, int.clone(), ErrorReply::fixed("ERR invalid first DB index"))?;
    call.integer_in(2, int, ErrorReply::fixed("ERR invalid second DB index"))?;
    let pair = [key::database(call, 1)?, key::database(call, 2)?];
    if pair[0] != pair[1] {
        swap(call, pair);
    }
    call.keys.count_changes(1);
    call.reply.ok()
}

fn swap(call: &mut Call, pair: [usize; 2]) {
    remove_stale(call, pair);
    let mut awaited: Vec<(usize, Box<[u8]>)> = Vec::new();
    for (_, shard) in call.keys.locked().shards() {
        shard.databases.swap(pair[0], pair[1]);
        shard.due_fields.swap(pair[0], pair[1]);
        for database in pair {
            touch_watched(call.state, shard, database, &pair);
            awaited.extend(shard.waiters.keys(database).map(|key| (database, key.into())));
        }
    }
    signal_awaited(call, awaited);
}
