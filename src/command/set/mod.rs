//! Commands on one set or two; those that combine sets and those that choose at random have files of their own.

pub mod algebra;
pub mod random;

use super::Call;
use super::scan::{ScanOptions, Scanned, parse_cursor, write_step};
use super::stored::{create, edit, find, read};
use crate::glob;
use crate::pubsub::Event;
use crate::resp::{CommandResult, Reply};
use crate::value::packed::{Element, IntegerText};
use crate::value::set::{Set, SetLimits};

/// How large small sets may become, as the config has it.
pub(super) fn limits(call: &Call) -> SetLimits {
    crate::forms::set(&call.state.settings)
}

#[inline]
fn write_member(reply: &mut Reply, member: Element<'_>) -> CommandResult {
    reply.bulk(member.as_bytes(&mut IntegerText::default()))
}

/// `SADD key member [member ...]`: how many are new.
pub fn sadd(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let members = call.args.from(2);
    let limits = limits(call);
    let add = |set: &mut Set| members.iter().filter(|member| set.insert(Element::Bytes(member), &limits)).count();
    let edited = match find::<Set>(call.keys, key)? {
        Some(found) => edit(call.keys, found, key, |set: &mut Set| {
            set.expect(members.len(), &limits);
            add(set)
        }),
        None => create(call.keys, key, |set: &mut Set| {
            set.begin(call.args.at(2), members.len(), &limits);
            add(set)
        }),
    };
    let added = edited.tell_count(call.keys, key, Event::SADD);
    call.reply.count(added)
}

/// `SREM key member [member ...]`: how many were there.
pub fn srem(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let members = call.args.from(2);
    let Some(found) = find::<Set>(call.keys, key)? else { return call.reply.integer(0) };
    let remove = |set: &mut Set| members.iter().filter(|member| set.remove(Element::Bytes(member))).count();
    let edited = edit(call.keys, found, key, remove);
    let removed = edited.tell_count(call.keys, key, Event::SREM);
    call.reply.count(removed)
}

/// `SMOVE source destination member`: whether it was there.
pub fn smove(call: &mut Call) -> CommandResult {
    let (source, destination) = (call.arg(1), call.arg(2));
    let member = Element::Bytes(call.args.at(3));
    let limits = limits(call);
    let Some(found) = find::<Set>(call.keys, source)? else { return call.reply.flag(false) };
    let is_there = call.keys.value(found).as_set().is_some_and(|set| set.contains(member));
    find::<Set>(call.keys, destination)?;
    if !is_there || source == destination {
        return call.reply.flag(is_there);
    }
    // Looked up again after each step: what is done to the one set may move the other.
    let Some(found) = call.keys.peek(source) else { return call.reply.flag(false) };
    edit(call.keys, found, source, |set: &mut Set| set.remove(member)).tell(call.keys, source, Event::SREM, 1);
    let added = match call.keys.peek(destination) {
        Some(found) => edit(call.keys, found, destination, |set: &mut Set| set.insert(member, &limits)),
        None => create(call.keys, destination, |set: &mut Set| {
            set.begin(call.args.at(3), 1, &limits);
            set.insert(member, &limits)
        }),
    };
    match added.result {
        true => added.tell(call.keys, destination, Event::SADD, 1),
        false => added.unchanged(call.keys),
    };
    call.reply.flag(true)
}

/// `SCARD key`
pub fn scard(call: &mut Call) -> CommandResult {
    let len = read::<Set>(call.keys, call.args.at(1))?.map_or(0, |set| set.len());
    call.reply.count(len)
}

/// `SISMEMBER key member`
pub fn sismember(call: &mut Call) -> CommandResult {
    let member = Element::Bytes(call.args.at(2));
    let is_there = read::<Set>(call.keys, call.args.at(1))?.is_some_and(|set| set.contains(member));
    call.reply.flag(is_there)
}

/// `SMISMEMBER key member [member ...]`
pub fn smismember(call: &mut Call) -> CommandResult {
    let members = call.args.from(2);
    let set = read::<Set>(call.keys, call.args.at(1))?.unwrap_or_default();
    call.reply.array(members.len())?;
    members.iter().try_for_each(|member| call.reply.flag(set.contains(Element::Bytes(member))))
}

/// `SMEMBERS key`
pub fn smembers(call: &mut Call) -> CommandResult {
    let set = read::<Set>(call.keys, call.args.at(1))?.unwrap_or_default();
    call.reply.set(set.len())?;
    set.try_visit(|member| write_member(call.reply, member))
}

/// `SSCAN key cursor [MATCH pattern] [COUNT count]`
pub fn sscan(call: &mut Call) -> CommandResult {
    let cursor = parse_cursor(call.arg(2))?;
    let mut written = Reply::new(call.reply.protocol());
    // Without a set, as in Redis, options are not looked at.
    let Some(set) = read::<Set>(call.keys, call.args.at(1))? else {
        return write_step(call.reply, 0, 0, &written);
    };
    let options = ScanOptions::parse(call.args, 3, Scanned::Members)?;
    let mut members = 0;
    let next = set.scan(cursor, options.count, glob::literal_prefix(options.pattern), |member| {
        if options.matches(member.as_bytes(&mut IntegerText::default())) {
            members += usize::from(write_member(&mut written, member).is_ok());
        }
    });
    write_step(call.reply, next, members, &written)
}
