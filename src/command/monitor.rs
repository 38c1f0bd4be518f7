//! `MONITOR`: every command, as it is about to run, to those who want to see.

use super::call::Call;
use super::spec::{CommandFlags, CommandSpec};
use crate::client::{ClientFlags, Message, Session};
use crate::config::quote;
use crate::resp::{Args, CommandResult};
use crate::state::{State, unix_time_us};
use bytes::Bytes;
use std::sync::atomic::Ordering;

/// `MONITOR`
pub fn monitor(call: &mut Call) -> CommandResult {
    if !call.session.client.has(ClientFlags::MONITOR) {
        call.session.client.set(ClientFlags::MONITOR, true);
        call.state.monitors.fetch_add(1, Ordering::Relaxed);
    }
    call.reply.ok()
}

/// Shows a command to all monitors.
#[cold]
pub(super) fn feed(state: &State, session: &Session, spec: &CommandSpec, args: Args<'_>) {
    if spec.has(CommandFlags::SKIP_MONITOR.union(CommandFlags::ADMIN)) {
        return;
    }
    let now_us = unix_time_us();
    let mut line =
        format!("+{}.{:06} [{} {}]", now_us / 1_000_000, now_us % 1_000_000, session.database, session.client.address)
            .into_bytes();
    for arg in args.iter() {
        line.push(b' ');
        quote(arg, &mut line);
    }
    line.extend_from_slice(b"\r\n");
    let line = Bytes::from(line);
    for client in state.clients.all() {
        if client.has(ClientFlags::MONITOR) {
            client.mailbox.post(Message::Push(line.clone()));
        }
    }
}
