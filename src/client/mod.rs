//! Clients: what a connection has agreed on (`Session`), what others may see and do to it (`Client`, `Registry`,
//! `Mailbox`). Sockets are not known here.

mod caching;
mod encoded;
mod mailbox;
mod monitors;
mod registry;
mod session;

pub use caching::{Invalid, Overlap, PrefixSet};
pub use encoded::Encoded;
pub use mailbox::{Mailbox, Message};
pub use monitors::Monitors;
pub use registry::{Client, ClientFlags, ClientKind, Endpoint, IDLE_MS, Registry};
pub use session::{BlockedCommand, Identity, ReplyMode, Session, Subscriptions, Transaction};
