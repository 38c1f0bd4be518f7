//! Keys on their way to another server (`MIGRATE`): which they are, who must wait until they have arrived, and the
//! connections to the servers that they go to.
//!
//! Nothing is locked while they travel. So that nobody can tell, whoever would touch one of them is held back meanwhile.

mod link;

pub use link::{Links, Parcel, Sent, Target};

use crate::client::{Client, Message};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is under way, and the connections.
#[derive(Default)]
pub struct Migrations {
    travelling: Mutex<Travelling>,
    /// Keys under way. Changes only while their shards are locked.
    count: AtomicUsize,
    pub links: Links,
}

#[derive(Default)]
struct Travelling {
    /// The keys, of whatever database, each with the number of those who send it.
    keys: HashMap<Box<[u8]>, usize>,
    /// Who waits for any of them to arrive.
    held_back: Vec<Arc<Client>>,
}

impl Migrations {
    /// Whether any key is under way that is in one of the shards which the caller holds. May say yes if there is none.
    #[inline]
    pub fn is_any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Notes that keys begin to travel. Their shards are locked.
    pub fn begin<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) {
        let mut travelling = self.travelling.lock();
        for key in keys {
            *travelling.keys.entry(key.into()).or_default() += 1;
        }
        self.count.store(travelling.keys.len(), Ordering::Relaxed);
    }

    /// Whether one of `keys` is under way. Then `client` is woken when it has arrived. The shards of the keys are locked.
    pub fn holds_back<'a>(&self, client: &Arc<Client>, mut keys: impl Iterator<Item = &'a [u8]>) -> bool {
        let mut travelling = self.travelling.lock();
        let is_held = keys.any(|key| travelling.keys.contains_key(key));
        if is_held {
            travelling.held_back.push(Arc::clone(client));
        }
        is_held
    }

    /// Has `client` wait for whatever is under way; false if nothing is. All shards are locked.
    pub fn holds_back_by_any(&self, client: &Arc<Client>) -> bool {
        let mut travelling = self.travelling.lock();
        let is_held = !travelling.keys.is_empty();
        if is_held {
            travelling.held_back.push(Arc::clone(client));
        }
        is_held
    }

    /// Notes that keys travel no more, and wakes all who were held back. Their shards are locked.
    pub fn end<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) {
        let mut travelling = self.travelling.lock();
        for key in keys {
            if let Some(count) = travelling.keys.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    travelling.keys.remove(key);
                }
            }
        }
        self.count.store(travelling.keys.len(), Ordering::Relaxed);
        for client in travelling.held_back.drain(..) {
            client.mailbox.post(Message::Wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Endpoint;

    fn keys<'a>(names: &[&'a str]) -> impl Iterator<Item = &'a [u8]> {
        names.iter().map(|name| name.as_bytes()).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn whoever_wants_a_key_under_way_is_woken_when_it_has_arrived() {
        let migrations = Migrations::default();
        let nowhere = Endpoint::Unix("".into());
        let client = Arc::new(Client::new(1, nowhere.clone(), nowhere, -1, 0));
        assert!(!migrations.holds_back_by_any(&client));
        migrations.begin(keys(&["a", "b", "a"]));
        migrations.begin(keys(&["b"]));
        assert!(migrations.is_any());
        assert!(!migrations.holds_back(&client, keys(&["c"])));
        migrations.end(keys(&["b"]));
        assert!(!client.mailbox.has_mail());
        assert!(migrations.holds_back(&client, keys(&["c", "b"])));
        migrations.end(keys(&["a", "b", "a"]));
        assert!(client.mailbox.has_mail());
        assert!(!migrations.is_any() && !migrations.holds_back(&client, keys(&["a", "b"])));
    }
}
