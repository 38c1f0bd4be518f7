//! `MONITOR`: every command, as it is about to run, to those who want to see.

use super::call::Call;
use super::redact::redacted;
use crate::client::{ClientFlags, Session};
use crate::config::quote;
use crate::resp::{Args, CommandResult};
use crate::spec::{CommandFlags, CommandSpec};
use crate::state::{State, unix_time_us};
use bytes::Bytes;
use std::fmt::Display;

/// `MONITOR`
pub fn monitor(call: &mut Call) -> CommandResult {
    let client = &call.session.client;
    if !client.has(ClientFlags::MONITOR) {
        client.set(ClientFlags::MONITOR, true);
        call.state.monitors.add(client);
    }
    call.reply.ok()
}

/// The client is shown no more commands.
pub(super) fn leave(state: &State, session: &mut Session) {
    if session.client.has(ClientFlags::MONITOR) {
        session.client.set(ClientFlags::MONITOR, false);
        state.monitors.remove(&session.client);
        session.listens_anew = true;
    }
}

/// Shows a command to all monitors.
#[cold]
pub(super) fn feed(state: &State, session: &Session, spec: &CommandSpec, args: Args<'_>) {
    if !spec.has(CommandFlags::SKIP_MONITOR.union(CommandFlags::ADMIN)) {
        show(state, session.database, &session.client.address, spec, args);
    }
}

/// Shows a command that runs a script, before those that the script runs.
#[cold]
pub(super) fn feed_script(state: &State, session: &Session, spec: &CommandSpec, args: Args<'_>) {
    show(state, session.database, &session.client.address, spec, args);
}

/// Shows a command that a script runs.
#[cold]
pub(super) fn feed_from_script(state: &State, session: &Session, spec: &CommandSpec, args: Args<'_>) {
    if !spec.has(CommandFlags::SKIP_MONITOR.union(CommandFlags::ADMIN)) {
        show(state, session.database, &"lua", spec, args);
    }
}

fn show(state: &State, database: usize, source: &dyn Display, spec: &CommandSpec, args: Args<'_>) {
    let now_us = unix_time_us();
    let mut line = format!("+{}.{:06} [{database} {source}]", now_us / 1_000_000, now_us % 1_000_000).into_bytes();
    for arg in redacted(spec, args) {
        line.push(b' ');
        quote(arg, &mut line);
    }
    line.extend_from_slice(b"\r\n");
    state.monitors.send(&Bytes::from(line));
}
