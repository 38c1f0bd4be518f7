//! Commands: the table that describes them, and their handlers.

pub mod spec;

/// The function that runs a command.
pub type Handler = fn();
