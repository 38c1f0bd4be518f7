//! `CONFIG`: the settings, and the counters of INFO.

use super::call::{Call, Mode};
use super::limits;
use crate::config::{Asker, Directive, Rewrite, SetError, error_text};
use crate::reconfigure;
use crate::resp::{CommandResult, ErrorReply};

/// `CONFIG GET pattern [pattern ...]`
pub fn config_get(call: &mut Call) -> CommandResult {
    let found = call.state.settings.find((2..call.args.len()).map(|index| call.arg(index)));
    call.reply.map(found.len())?;
    found.iter().try_for_each(|(name, value)| {
        call.reply.bulk(name)?;
        call.reply.bulk(value)
    })
}

/// `CONFIG SET directive value [directive value ...]`: all of them, or none.
pub fn config_set(call: &mut Call) -> CommandResult {
    if !call.args.len().is_multiple_of(2) {
        return Err(ErrorReply::SYNTAX);
    }
    let state = call.state;
    let pairs = (2..call.args.len()).step_by(2).map(|index| (call.arg(index), call.arg(index + 1)));
    let may_set_protected = limits::permits(state, call.session, Directive::EnableProtectedConfigs);
    let asker = Asker { may_set_protected, is_loading: state.loading.is_on() || state.loading.is_aside() };
    let in_transaction = call.mode == Mode::Transaction;
    state.settings.set(pairs, asker, |directive| reconfigure::apply(state, directive, in_transaction)).map_err(
        |error| {
            let code = if error == SetError::Loading { b"LOADING".as_slice() } else { b"ERR" };
            ErrorReply::new([code, b" ", &error.text()].concat())
        },
    )?;
    call.reply.ok()
}

/// `CONFIG RESETSTAT`
pub fn config_resetstat(call: &mut Call) -> CommandResult {
    call.state.stats.reset();
    call.state.lazy_free.reset();
    call.state.compression.reset();
    call.state.replication.reset_counts();
    call.state.error_counts.lock().clear();
    call.reply.ok()
}

/// `CONFIG REWRITE`
pub fn config_rewrite(call: &mut Call) -> CommandResult {
    rewrite(call, Rewrite::Changed)
}

/// Writes the configuration file anew.
pub(super) fn rewrite(call: &mut Call, which: Rewrite) -> CommandResult {
    let settings = &call.state.settings;
    let Some(path) = settings.config_file() else {
        return Err(ErrorReply::fixed("ERR The server is running without a config file"));
    };
    // Users from a file of their own are written there, by ACL SAVE.
    let has_file = settings.path(Directive::Aclfile).is_some();
    let users = if has_file { Vec::new() } else { call.state.acl.list() };
    if let Err(error) = settings.rewrite_file(path, which, &users) {
        let error = error_text(&error);
        tracing::warn!("CONFIG REWRITE failed: {error}");
        return Err(ErrorReply::new(format!("ERR Rewriting config file: {error}")));
    }
    tracing::warn!("CONFIG REWRITE executed with success.");
    call.reply.ok()
}
