//! The HTTP gateway: the REST interface that `@upstash/redis` speaks, WebSockets, server-sent events, and
//! the dashboard.
//!
//! A request becomes commands of a client that sits within the process: a [`pipe`] takes the place of its socket. So whatever
//! holds for clients holds for it too: users, limits, statistics, the slow log, `MONITOR`. Each HTTP connection has such a
//! client, and further ones while it has several requests at a time ([`clients`]); before each request it is made that of a
//! new client ([`Session::begin`]).

mod access;
mod clients;
mod compression;
mod connection;
mod content;
mod dashboard;
mod pipe;
mod reply;
pub mod request;
mod routes;
mod websocket;

pub use access::Login;
pub use connection::{Socket, serve};
pub use pipe::{ClientEnd, ServerEnd, pipe};

use crate::acl::Account;
use crate::client::Client;
use crate::resp::{ErrorReply, Protocol};
use crate::state::State;
use std::rc::Rc;
use std::sync::Arc;

/// What a client is told that may not connect, for a reason that RESP clients get as `reply`.
pub fn refusal(reply: &[u8]) -> Vec<u8> {
    let reason = reply::error(reply).unwrap_or_else(|| String::from_utf8_lossy(reply).into_owned());
    let body = serde_json::json!({ "error": reason }).to_string();
    let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\n";
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// The thread that the gateway runs on, as far as it is needed here.
pub trait Host {
    fn state(&self) -> &Arc<State>;

    /// Registers another client at the same address as `client`. `None`: there are as many as there may be.
    fn another(&self, client: &Client) -> Option<Arc<Client>>;

    /// Begins to serve a client that has been registered. It is gone from the registry when its end of the pipe is.
    fn serve(&self, client: &Arc<Client>) -> (Rc<dyn Session>, ClientEnd);
}

/// What a connection of the server has agreed on with its client.
pub trait Session {
    /// Makes it that of a new client which is logged in, or as any that has just come. Returns whether it may send commands: false
    /// if the login is wrong, or needed.
    fn begin(&self, login: Option<&Login>, protocol: Protocol) -> bool;

    /// The user, who must be allowed to run all these commands, named as in the command table. Errors: why he is not.
    fn user_of(&self, commands: &[&str]) -> Result<Arc<Account>, ErrorReply>;
}
