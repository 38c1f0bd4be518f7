//! `XGROUP`: groups and their consumers.

use super::{Call, find, no_group_of_key, parse_edge, parse_id, stream_of, tell_new_consumer};
use crate::command::Found;
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply};
use crate::spec::errors;
use crate::tree::NewPayload;
use crate::value::Value;
use crate::value::stream::{Group, Stream, StreamId};

const NO_KEY: ErrorReply = ErrorReply::fixed(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to \
     create an empty stream automatically.",
);

/// The options behind the id of `XGROUP CREATE` and `XGROUP SETID`.
#[derive(Default)]
struct Options {
    make_stream: bool,
    entries_read: Option<u64>,
}

impl Options {
    fn parse(call: &Call, is_create: bool) -> Result<Self, ErrorReply> {
        let mut options = Options::default();
        let mut index = 5;
        while index < call.args.len() {
            if is_create && call.is_word(index, "MKSTREAM") {
                options.make_stream = true;
                index += 1;
            } else if call.is_word(index, "ENTRIESREAD") && index + 1 < call.args.len() {
                options.entries_read = match call.integer(index + 1)? {
                    -1 => None,
                    read => Some(
                        u64::try_from(read)
                            .map_err(|_| ErrorReply::fixed("ERR value for ENTRIESREAD must be positive or -1"))?,
                    ),
                };
                index += 2;
            } else {
                return Err(errors::subcommand_syntax(call.args));
            }
        }
        Ok(options)
    }
}

/// The stream that a subcommand needs, with the group that it needs.
fn find_group(call: &mut Call) -> Result<Found, ErrorReply> {
    let (key, name) = (call.arg(2), call.arg(3));
    let Some(found) = find(call.keys, key)? else { return Err(NO_KEY) };
    match stream_of(call.keys, found).group(name) {
        Some(_) => Ok(found),
        None => Err(no_group_of_key(key, name)),
    }
}

/// The group of a stream that [`find_group`] found.
fn group_of<'a>(call: &'a mut Call, found: Found) -> &'a mut Group {
    let name = call.args.at(3);
    match stream_of(call.keys, found).group_mut(name) {
        Some(group) => group,
        None => unreachable!("the group was found"),
    }
}

/// `XGROUP CREATE key group id|$ [MKSTREAM] [ENTRIESREAD entries-read]`
pub fn xgroup_create(call: &mut Call) -> CommandResult {
    let options = Options::parse(call, true)?;
    let (key, name) = (call.arg(2), call.arg(3));
    let found = find(call.keys, key)?;
    if found.is_none() && !options.make_stream {
        return Err(NO_KEY);
    }
    if call.args.len() > 8 {
        return Err(errors::subcommand_syntax(call.args));
    }
    let id = match (call.arg(4), found) {
        (b"$", Some(found)) => stream_of(call.keys, found).last_id(),
        (b"$", None) => StreamId::MIN,
        (id, _) => parse_id(id)?,
    };
    let group = Group::new(id, options.entries_read);
    match found {
        Some(found) => {
            if !stream_of(call.keys, found).add_group(name, group) {
                return Err(ErrorReply::fixed("BUSYGROUP Consumer Group name already exists"));
            }
            call.keys.count_changes(1);
            call.keys.notify(Event::XGROUP_CREATE, key);
        }
        None => {
            let mut stream = Stream::new();
            stream.add_group(name, group);
            call.keys.put(key, NewPayload::Boxed(Box::new(Value::Stream(Box::new(stream)))), None);
            call.keys.changed(key, Event::XGROUP_CREATE);
        }
    }
    call.reply.ok()
}

/// `XGROUP SETID key group id|$ [ENTRIESREAD entries-read]`
pub fn xgroup_setid(call: &mut Call) -> CommandResult {
    let options = Options::parse(call, false)?;
    let found = find_group(call)?;
    if call.args.len() > 7 {
        return Err(errors::subcommand_syntax(call.args));
    }
    let id = match call.arg(4) {
        b"$" => stream_of(call.keys, found).last_id(),
        id => parse_edge(id, super::Edge::Start).ok().filter(|_| !id.starts_with(b"(")).ok_or(super::INVALID_ID)?,
    };
    let group = group_of(call, found);
    group.last_id = id;
    group.entries_read = options.entries_read;
    call.keys.count_changes(1);
    call.keys.notify(Event::XGROUP_SETID, call.args.at(2));
    call.reply.ok()
}

/// `XGROUP DESTROY key group`
pub fn xgroup_destroy(call: &mut Call) -> CommandResult {
    let (key, name) = (call.arg(2), call.arg(3));
    let Some(found) = find(call.keys, key)? else { return Err(NO_KEY) };
    let removed = stream_of(call.keys, found).remove_group(name);
    if removed.is_some() {
        call.keys.count_changes(1);
        call.keys.notify(Event::XGROUP_DESTROY, key);
        // Whoever waits for entries of the group learns that it is gone.
        call.keys.signal_ready(key);
    }
    call.reply.flag(removed.is_some())
}

/// `XGROUP CREATECONSUMER key group consumer`
pub fn xgroup_createconsumer(call: &mut Call) -> CommandResult {
    let found = find_group(call)?;
    let (name, now_ms) = (call.arg(4), call.keys.now_ms());
    let group = group_of(call, found);
    let is_new = group.find_consumer(name).is_none();
    if is_new {
        group.add_consumer(name, now_ms);
        tell_new_consumer(call.keys, call.args.at(2));
    }
    call.reply.flag(is_new)
}

/// `XGROUP DELCONSUMER key group consumer`: how many entries were pending for it.
pub fn xgroup_delconsumer(call: &mut Call) -> CommandResult {
    let found = find_group(call)?;
    let name = call.arg(4);
    let pending = group_of(call, found).remove_consumer(name);
    if pending.is_some() {
        call.keys.count_changes(1);
        call.keys.notify(Event::XGROUP_DELCONSUMER, call.args.at(2));
    }
    call.reply.count(pending.unwrap_or(0))
}
