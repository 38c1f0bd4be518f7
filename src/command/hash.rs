//! Commands on hashes: reading and changing fields here, the rest in a module for each kind of command.

mod counter;
mod expiry;
mod named;
mod walk;

pub use counter::{hincrby, hincrbyfloat};
pub use expiry::{
    hexpire, hexpireat, hexpiretime, hgetex, hpersist, hpexpire, hpexpireat, hpexpiretime, hpttl, hsetex, httl,
};
pub use walk::{hgetall, hkeys, hrandfield, hscan, hvals};

use super::list::write_element;
use super::stored::{self, Edited, create, edit, find};
use super::{Call, Found, Keys};
use crate::pubsub::Event;
use crate::resp::{Args, CommandResult, ErrorReply, Reply};
use crate::spec::errors;
use crate::value::collection::Collection;
use crate::value::hash::{Hash, HashRef, HashRules, Lifetime};
use crate::value::packed::{Element, IntegerText};

/// What changes go by, as the config and the clock have it.
#[inline]
pub(super) fn rules(call: &Call) -> HashRules {
    crate::forms::hash(&call.state.settings, call.keys.over_ms())
}

/// The hash at `key`, to be read.
#[inline]
fn read<'a>(keys: &'a mut Keys<'_>, key: &[u8]) -> Result<Option<HashRef<'a>>, ErrorReply> {
    let now_ms = keys.over_ms();
    Ok(stored::read::<Hash>(keys, key)?.map(|hash| hash.at(now_ms)))
}

/// The hash of a record, which is one, to be read before it is changed.
#[inline]
fn view<'a>(keys: &'a Keys<'_>, found: Found) -> Option<HashRef<'a>> {
    keys.value(found).as_hash().map(|hash| hash.at(keys.over_ms()))
}

/// Changes the hash at `key`, which is made if it does not exist.
#[inline]
fn edit_or_create<R>(
    call: &mut Call,
    found: Option<Found>,
    key: &[u8],
    change: impl FnOnce(&mut Hash) -> R,
) -> Edited<R> {
    match found {
        Some(found) => edit(call.keys, found, key, change),
        None => create(call.keys, key, change),
    }
}

fn write_or_null(reply: &mut Reply, element: Option<Element<'_>>) -> CommandResult {
    match element {
        Some(element) => write_element(reply, element),
        None => reply.null(),
    }
}

/// `HSET key field value [field value ...]`: how many fields are new.
pub fn hset(call: &mut Call) -> CommandResult {
    let added = set_pairs(call)?;
    call.reply.count(added)
}

/// `HMSET key field value [field value ...]`
pub fn hmset(call: &mut Call) -> CommandResult {
    set_pairs(call)?;
    call.reply.ok()
}

/// Gives fields values; the number of new ones.
fn set_pairs(call: &mut Call) -> Result<usize, ErrorReply> {
    if call.args.len() % 2 == 1 {
        return Err(errors::wrong_arity(call.spec));
    }
    let (key, args, rules) = (call.arg(1), call.args, rules(call));
    let pairs = args.len() / 2 - 1;
    let found = find::<Hash>(call.keys, key)?;
    let set = |hash: &mut Hash| {
        hash.expect(pairs, &rules);
        let values = (2..args.len()).step_by(2).map(|index| (args.at(index), args.at(index + 1)));
        values.filter(|(name, value)| hash.set(name, value, Lifetime::Forever, &rules)).count()
    };
    Ok(edit_or_create(call, found, key, set).tell(call.keys, key, Event::HSET, pairs as u64))
}

/// `HSETNX key field value`: only if the field does not exist.
pub fn hsetnx(call: &mut Call) -> CommandResult {
    let (key, name, value, rules) = (call.arg(1), call.arg(2), call.arg(3), rules(call));
    let found = find::<Hash>(call.keys, key)?;
    let exists = found.and_then(|found| view(call.keys, found)?.get(name)).is_some();
    if !exists {
        let set = |hash: &mut Hash| hash.set(name, value, Lifetime::Forever, &rules);
        edit_or_create(call, found, key, set).tell(call.keys, key, Event::HSET, 1);
    }
    call.reply.flag(!exists)
}

/// `HGET key field`
pub fn hget(call: &mut Call) -> CommandResult {
    let value = read(call.keys, call.args.at(1))?.and_then(|hash| hash.get(call.args.at(2)));
    write_or_null(call.reply, value)
}

/// `HMGET key field [field ...]`
pub fn hmget(call: &mut Call) -> CommandResult {
    let hash = read(call.keys, call.args.at(1))?;
    let names = call.args.from(2);
    call.reply.array(names.len())?;
    names.iter().try_for_each(|name| write_or_null(call.reply, hash.and_then(|hash| hash.get(name))))
}

/// `HEXISTS key field`
pub fn hexists(call: &mut Call) -> CommandResult {
    let exists = read(call.keys, call.args.at(1))?.is_some_and(|hash| hash.get(call.args.at(2)).is_some());
    call.reply.flag(exists)
}

/// `HLEN key`
pub fn hlen(call: &mut Call) -> CommandResult {
    let len = read(call.keys, call.args.at(1))?.map_or(0, |hash| hash.len());
    call.reply.count(len)
}

/// `HSTRLEN key field`
pub fn hstrlen(call: &mut Call) -> CommandResult {
    let value = read(call.keys, call.args.at(1))?.and_then(|hash| hash.get(call.args.at(2)));
    let len = value.map_or(0, |value| value.as_bytes(&mut IntegerText::default()).len());
    call.reply.count(len)
}

/// `HDEL key field [field ...]`: how many of the fields were there.
pub fn hdel(call: &mut Call) -> CommandResult {
    let (key, names, rules) = (call.arg(1), call.args.from(2), rules(call));
    let Some(found) = find::<Hash>(call.keys, key)? else { return call.reply.integer(0) };
    let removed = remove(call, found, key, names, &rules);
    call.reply.count(removed)
}

/// `HGETDEL key FIELDS numfields field [field ...]`
pub fn hgetdel(call: &mut Call) -> CommandResult {
    let names = named::at_once(call, named::MISMATCH)?;
    let (key, rules) = (call.arg(1), rules(call));
    let found = call.keys.write(key);
    let found = call.keys.typed(found, Hash::TYPE)?;
    let hash = found.and_then(|found| view(call.keys, found));
    named::write_values(call.reply, hash, names, true)?;
    let Some(found) = found else { return Ok(()) };
    if remove(call, found, key, names, &rules) > 0 {
        call.keys.log_as(&[b"HDEL", key].into_iter().chain(names.iter()).collect::<Vec<_>>());
    }
    Ok(())
}

/// Removes fields; says how many of them were there.
fn remove(call: &mut Call, found: Found, key: &[u8], names: Args<'_>, rules: &HashRules) -> usize {
    let remove = |hash: &mut Hash| names.iter().filter(|name| hash.remove(name, rules)).count();
    edit(call.keys, found, key, remove).tell_count(call.keys, key, Event::HDEL)
}
