//! `CLIENT`: what connections are there, what they are called, and what is done to them.

use super::blocking;
use super::call::Call;
use super::client_filter::{Filters, Use};
use crate::client::{Client, ClientFlags, ReplyMode};
use crate::config::Directive;
use crate::resp::{Args, CommandResult, ErrorReply};
use crate::state::{PauseKind, State, unix_time_ms};
use crate::value::number;
use std::sync::atomic::Ordering;

/// A connection's name as a client gives it: printable, without spaces, so that `CLIENT LIST` can be split at them.
pub fn checked_name(name: &[u8]) -> Result<&[u8], ErrorReply> {
    checked_attribute(name, "Client names")
}

fn checked_attribute<'a>(value: &'a [u8], what: &str) -> Result<&'a [u8], ErrorReply> {
    if value.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(value);
    }
    Err(ErrorReply::new(format!("ERR {what} cannot contain spaces, newlines or special characters.")))
}

/// `CLIENT ID`
pub fn client_id(call: &mut Call) -> CommandResult {
    call.reply.integer(call.session.client.id as i64)
}

/// `CLIENT INFO`
pub fn client_info(call: &mut Call) -> CommandResult {
    let mut text = Vec::new();
    describe(call.state, &call.session.client, Some(call.args), &mut text);
    call.reply.verbatim(*b"txt", &text)
}

/// `CLIENT LIST [filter value …]`
pub fn client_list(call: &mut Call) -> CommandResult {
    let filters = Filters::parse(call, 2, Use::List)?;
    let now_ms = unix_time_ms();
    let mut text = Vec::new();
    for client in call.state.clients.all() {
        if filters.matches(&client, call.session.client.id, now_ms) {
            let own = (client.id == call.session.client.id).then_some(call.args);
            describe(call.state, &client, own, &mut text);
        }
    }
    call.reply.verbatim(*b"txt", &text)
}

/// Writes `name=value` pairs with spaces between them.
struct Line<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

impl Line<'_> {
    fn bytes(&mut self, name: &str, value: &[u8]) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'=');
        self.out.extend_from_slice(value);
    }

    fn text(&mut self, name: &str, value: impl std::fmt::Display) {
        self.bytes(name, value.to_string().as_bytes());
    }
}

/// Appends the line of `CLIENT LIST` about a client. What Redis 7.0 does not have comes last: tools match the line
/// from its beginning. `own` is the request that is run for the client itself.
pub(super) fn describe(state: &State, client: &Client, own: Option<Args<'_>>, out: &mut Vec<u8>) {
    let load = |number: &std::sync::atomic::AtomicUsize| number.load(Ordering::Relaxed);
    let now_ms = unix_time_ms();
    let reset_ms = state.reply_peak_reset_ms.load(Ordering::Relaxed);
    let seconds_since = |then_ms: i64| (now_ms - then_ms).max(0) / 1000;
    // The request being run has left the buffer, but its client still counts it as input.
    let (request_bytes, args_bytes) =
        own.map_or((0, 0), |args| (args.request_len(), args.iter().map(<[u8]>::len).sum::<usize>()));
    let names = client.names.read().clone();
    let command = command_name(client);
    let output = load(&client.output_bytes);
    let mut line = Line { out, is_first: true };
    line.text("id", client.id);
    line.text("addr", &client.address);
    line.text("laddr", &client.local_address);
    line.text("fd", client.fd);
    line.bytes("name", &names.name);
    line.text("age", seconds_since(client.created_ms));
    line.text("idle", seconds_since(client.last_active_ms.load(Ordering::Relaxed)));
    line.text("flags", client.flag_letters());
    line.text("db", client.database.load(Ordering::Relaxed));
    line.text("sub", load(&client.channels));
    line.text("psub", load(&client.patterns));
    line.text("ssub", load(&client.shard_channels));
    line.text("multi", client.queued_commands());
    line.text("qbuf", load(&client.query_bytes) + request_bytes);
    line.text("qbuf-free", client.query_room(now_ms));
    line.text("argv-mem", load(&client.argument_bytes) + args_bytes);
    line.text("multi-mem", load(&client.queued_bytes));
    line.text("rbs", client.reply_room(now_ms, reset_ms));
    line.text("rbp", load(&client.reply_peak));
    line.text("obl", 0);
    line.text("oll", load(&client.output_blocks));
    line.text("omem", output + client.mailbox.pending_bytes());
    line.text("tot-mem", client.memory() + args_bytes);
    line.text("events", if output > 0 { "rw" } else { "r" });
    line.text("cmd", command);
    line.bytes("user", &names.user);
    line.text("redir", super::tracking::redirect_of(client));
    line.text("resp", client.protocol.load(Ordering::Relaxed));
    line.bytes("lib-name", &names.library);
    line.bytes("lib-ver", &names.library_version);
    line.text("watch", client.watched_keys());
    line.text("tot-net-in", client.net_in.load(Ordering::Relaxed));
    line.text("tot-net-out", client.net_out.load(Ordering::Relaxed));
    line.text("tot-cmds", client.commands.load(Ordering::Relaxed));
    line.text("capa", if client.has(ClientFlags::CAPA_REDIRECT) { "r" } else { "" });
    out.push(b'\n');
}

/// The name of the latest command of a client, `NULL` if there was none.
pub fn command_name(client: &Client) -> &'static str {
    let id = client.last_command.load(Ordering::Relaxed);
    crate::spec::all().find(|spec| u32::from(spec.id) == id).map_or("NULL", |spec| spec.name)
}

/// `CLIENT KILL addr:port` and `CLIENT KILL filter value [filter value …]`
pub fn client_kill(call: &mut Call) -> CommandResult {
    if call.args.len() == 3 {
        let address = call.arg(2);
        let found =
            call.state.clients.all().into_iter().find(|client| client.address.to_string().as_bytes() == address);
        let Some(client) = found else { return Err(ErrorReply::fixed("ERR No such client")) };
        kill(call, &client);
        return call.reply.ok();
    }
    let filters = Filters::parse(call, 2, Use::Kill)?;
    let now_ms = unix_time_ms();
    let mut killed = 0;
    for client in call.state.clients.all() {
        if filters.matches(&client, call.session.client.id, now_ms) {
            kill(call, &client);
            killed += 1;
        }
    }
    call.reply.count(killed)
}

/// Ends a connection; the one that asks gets its reply first.
pub(super) fn kill(call: &mut Call, client: &Client) {
    if client.id == call.session.client.id {
        call.session.close_after_reply = true;
        client.set(ClientFlags::CLOSE_AFTER_REPLY, true);
    } else {
        call.state.clients.kill(client);
    }
}

/// `CLIENT GETNAME`
pub fn client_getname(call: &mut Call) -> CommandResult {
    let names = call.session.client.names.read();
    let name = Some(&*names.name).filter(|name| !name.is_empty());
    call.reply.bulk_or_null(name)
}

/// `CLIENT SETNAME name`
pub fn client_setname(call: &mut Call) -> CommandResult {
    let name = checked_name(call.arg(2))?;
    call.session.client.names.write().name = name.into();
    call.reply.ok()
}

/// `CLIENT SETINFO LIB-NAME name` and `CLIENT SETINFO LIB-VER version`
pub fn client_setinfo(call: &mut Call) -> CommandResult {
    let value = call.arg(3);
    if call.is_word(2, "LIB-NAME") {
        call.session.client.names.write().library =
            checked_attribute(value, &String::from_utf8_lossy(call.arg(2)))?.into();
    } else if call.is_word(2, "LIB-VER") {
        call.session.client.names.write().library_version =
            checked_attribute(value, &String::from_utf8_lossy(call.arg(2)))?.into();
    } else {
        return Err(ErrorReply::about("ERR Unrecognized option '", call.arg(2), "'"));
    }
    call.reply.ok()
}

/// Reads `ON` or `OFF`.
fn on_or_off(call: &Call, index: usize) -> Result<bool, ErrorReply> {
    if call.is_word(index, "ON") {
        Ok(true)
    } else if call.is_word(index, "OFF") {
        Ok(false)
    } else {
        Err(ErrorReply::SYNTAX)
    }
}

/// `CLIENT NO-EVICT ON|OFF`
pub fn client_no_evict(call: &mut Call) -> CommandResult {
    call.session.client.set(ClientFlags::NO_EVICT, on_or_off(call, 2)?);
    call.reply.ok()
}

/// `CLIENT NO-TOUCH ON|OFF`
pub fn client_no_touch(call: &mut Call) -> CommandResult {
    let on = on_or_off(call, 2)?;
    call.session.no_touch = on;
    call.session.client.set(ClientFlags::NO_TOUCH, on);
    call.reply.ok()
}

/// `CLIENT CAPA capability [capability …]`: those that are not known are passed over.
pub fn client_capa(call: &mut Call) -> CommandResult {
    if (2..call.args.len()).any(|index| call.is_word(index, "redirect")) {
        call.session.client.set(ClientFlags::CAPA_REDIRECT, true);
    }
    call.reply.ok()
}

/// `CLIENT IMPORT-SOURCE ON|OFF`
pub fn client_import_source(call: &mut Call) -> CommandResult {
    if !call.state.settings.flag(Directive::ImportMode) && !call.is_word(2, "OFF") {
        return Err(ErrorReply::fixed("ERR Server is not in import mode"));
    }
    call.session.client.set(ClientFlags::IMPORT_SOURCE, on_or_off(call, 2)?);
    call.reply.ok()
}

/// `CLIENT PAUSE milliseconds [WRITE|ALL]`. All shards are locked: no command is under way when the reply is sent.
pub fn client_pause(call: &mut Call) -> CommandResult {
    let kind = match call.args.len() {
        3 => PauseKind::All,
        4 if call.is_word(3, "WRITE") => PauseKind::Writes,
        4 if call.is_word(3, "ALL") => PauseKind::All,
        4 => return Err(ErrorReply::fixed("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        // Whatever else may follow is not looked at.
        _ => PauseKind::All,
    };
    let milliseconds =
        number::parse_i64(call.arg(2)).ok_or(ErrorReply::fixed("ERR timeout is not an integer or out of range"))?;
    if milliseconds < 0 {
        return Err(ErrorReply::TIMEOUT_NEGATIVE);
    }
    let until_ms = unix_time_ms().checked_add(milliseconds).ok_or(ErrorReply::TIMEOUT_OUT_OF_RANGE)?;
    call.state.pause.begin(kind, until_ms);
    call.reply.ok()
}

/// `CLIENT UNPAUSE`
pub fn client_unpause(call: &mut Call) -> CommandResult {
    call.state.pause.end();
    call.state.clients.wake_all();
    call.reply.ok()
}

/// `CLIENT REPLY ON|OFF|SKIP`
pub fn client_reply(call: &mut Call) -> CommandResult {
    if call.is_word(2, "ON") {
        call.session.reply_mode = ReplyMode::On;
        call.reply.ok()
    } else if call.is_word(2, "OFF") {
        call.session.reply_mode = ReplyMode::Off;
        Ok(())
    } else if call.is_word(2, "SKIP") {
        if call.session.reply_mode != ReplyMode::Off {
            call.session.reply_mode = ReplyMode::SkipAnnounced;
        }
        Ok(())
    } else {
        Err(ErrorReply::SYNTAX)
    }
}

/// `CLIENT UNBLOCK id [TIMEOUT|ERROR]`
pub fn client_unblock(call: &mut Call) -> CommandResult {
    let with_error = match call.args.len() {
        3 => false,
        4 if call.is_word(3, "TIMEOUT") => false,
        4 if call.is_word(3, "ERROR") => true,
        4 => return Err(ErrorReply::fixed("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        // Whatever else may follow is not looked at.
        _ => false,
    };
    let id = call.integer(2)?;
    let client = u64::try_from(id).ok().and_then(|id| call.state.clients.get(id));
    let unblocked = client.is_some_and(|client| blocking::unblock(call.state, call.keys, &client, with_error));
    call.reply.flag(unblocked)
}
