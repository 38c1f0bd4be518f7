//! Commands: the table that describes them, how a request finds its handler and its locks, and the handlers, one file
//! per group. Nothing here knows sockets.

pub mod bitmap;
mod blocking;
mod call;
pub mod client;
mod client_filter;
pub mod config;
pub mod connection;
pub mod database;
pub mod debug;
mod dispatch;
pub mod expiry;
mod handlers;
pub mod help;
pub mod info;
pub mod introspection;
pub mod key;
mod keys;
pub mod latency;
pub mod limits;
pub mod list;
pub mod list_blocking;
pub mod memory;
pub mod monitor;
mod multiple_pop;
pub mod object;
mod prepare;
pub mod pubsub;
mod redact;
mod run;
pub mod scan;
pub mod server;
pub mod set;
pub mod slowlog;
mod stored;
pub mod stream;
pub mod string;
pub mod transaction;
pub mod zset;

pub use blocking::{count_postponed, end_wait, serve_departed, time_out};
pub use call::{Call, Mode};
pub use dispatch::{Outcome, execute, leave, pause_end_ms};
pub use keys::{Detached, Found, Keys};
pub use limits::needs_password;
pub use prepare::{BATCH_REQUESTS_MAX, Batch, Prepared};
pub use run::write_error;
