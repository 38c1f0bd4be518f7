//! The clients in `MONITOR`, who are shown every command.

use super::{Client, Message};
use bytes::Bytes;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A list of those clients; short, and nearly always empty.
#[derive(Default)]
pub struct Monitors {
    clients: RwLock<Vec<Arc<Client>>>,
    /// Whether there is anybody, without a lock.
    has_any: AtomicBool,
}

impl Monitors {
    pub fn add(&self, client: &Arc<Client>) {
        let mut clients = self.clients.write();
        clients.push(Arc::clone(client));
        self.has_any.store(true, Ordering::Relaxed);
    }

    /// Takes a client off the list. Nothing is sent to it any more once this returns.
    pub fn remove(&self, client: &Client) {
        let mut clients = self.clients.write();
        clients.retain(|other| other.id != client.id);
        self.has_any.store(!clients.is_empty(), Ordering::Relaxed);
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        !self.has_any.load(Ordering::Relaxed)
    }

    /// Sends a line to all of them.
    pub fn send(&self, line: &Bytes) {
        for client in self.clients.read().iter().filter(|client| !client.is_killed()) {
            client.mailbox.post(Message::Push(line.clone()));
        }
    }
}
