//! `MODULE`: there are none, and none can be loaded.

use super::Call;
use crate::resp::{CommandResult, ErrorReply};

/// `MODULE LIST`
pub fn module_list(call: &mut Call) -> CommandResult {
    call.reply.array(0)
}

/// `MODULE LOAD path [arg ...]`, `MODULE LOADEX path [CONFIG name value ...] [ARGS arg ...]`
pub fn module_load(call: &mut Call) -> CommandResult {
    let path = String::from_utf8_lossy(call.arg(2));
    tracing::warn!("Module {path} failed to load: there are no modules");
    Err(ErrorReply::fixed("ERR Error loading the extension. Please check the server logs."))
}

/// `MODULE UNLOAD name`
pub fn module_unload(_: &mut Call) -> CommandResult {
    Err(ErrorReply::fixed("ERR Error unloading module: no such module with that name"))
}
