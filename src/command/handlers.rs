//! The function of every command, as the build takes it from `commands/*.toml`. The one place that names all groups of
//! commands; whatever runs commands finds them here.

use super::Call;
use crate::resp::CommandResult;
use crate::spec::{COMMAND_COUNT, CommandSpec};

include!(concat!(env!("OUT_DIR"), "/command_handlers.rs"));

/// The function that runs a command.
pub type Handler = fn(&mut Call) -> CommandResult;

/// The function that runs a command; a mere container has none.
#[inline]
pub fn handler(spec: &CommandSpec) -> Option<Handler> {
    HANDLERS[usize::from(spec.id)]
}
