//! The Redis serialization protocol: requests are parsed where they lie in the read buffer, replies are written
//! straight into the send buffer.

mod error;
mod reply;
mod request;
#[cfg(test)]
mod tests;

pub use error::{CommandResult, ErrorReply};
pub use reply::{Bulks, Deferred, Protocol, Reply};
pub use request::{
    Args, OwnedRequest, Progress, ProtocolError, RequestBuffer, RequestLimits, Span, command_len, parse_request,
    write_command,
};
