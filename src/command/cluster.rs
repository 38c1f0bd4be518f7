//! `CLUSTER` and its kin. There is no cluster mode, and they say so.

use super::Call;
use crate::client::ClientFlags;
use crate::resp::{CommandResult, ErrorReply};

/// `CLUSTER`, `ASKING`, `CLUSTERSCAN`, whatever their arguments.
pub fn disabled(_: &mut Call) -> CommandResult {
    Err(ErrorReply::fixed("ERR This instance has cluster support disabled"))
}

/// `READONLY`: a replica is read from in any case, so that only `CLIENT LIST` shows it.
pub fn readonly(call: &mut Call) -> CommandResult {
    call.session.client.set(ClientFlags::READONLY, true);
    call.reply.ok()
}

/// `READWRITE`
pub fn readwrite(call: &mut Call) -> CommandResult {
    call.session.client.set(ClientFlags::READONLY, false);
    call.reply.ok()
}
