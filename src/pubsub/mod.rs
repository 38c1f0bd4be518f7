//! Publish and subscribe: who listens to which channel or pattern, and how a message reaches them.

mod event;

pub use crate::config::{EventClass, EventClasses};
pub use event::Event;

use crate::client::{Client, Encoded};
use crate::glob;
use crate::prefixes::Prefixes;
use crate::resp::Reply;
use dashmap::DashMap;
use parking_lot::RwLock;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

type Subscribers = HashMap<u64, Arc<Client>>;

/// All subscriptions of the server.
#[derive(Default)]
pub struct Pubsub {
    channels: DashMap<Box<[u8]>, Subscribers>,
    shard_channels: DashMap<Box<[u8]>, Subscribers>,
    patterns: RwLock<Patterns>,
    pattern_count: AtomicUsize,
    /// Which keyspace events are published (`notify-keyspace-events`).
    events: AtomicU32,
}

/// Patterns by the literal bytes that they begin with, so that a message tries only those that can match.
#[derive(Default)]
struct Patterns {
    by_prefix: Prefixes<HashSet<Box<[u8]>>>,
    subscribers: HashMap<Box<[u8]>, Subscribers>,
}

impl Patterns {
    /// The patterns that match `channel`.
    fn matching(&self, channel: &[u8]) -> Vec<&[u8]> {
        let mut found: Vec<&[u8]> = Vec::new();
        self.by_prefix.for_each_of(channel, |_, patterns| {
            found.extend(
                patterns.iter().map(|pattern| &**pattern).filter(|pattern| glob::matches(pattern, channel, false)),
            );
        });
        found
    }
}

/// Sends a message to those who are still there, and returns how many they are.
fn send(message: &mut Encoded<impl Fn(&mut Reply)>, subscribers: &Subscribers) -> usize {
    present(subscribers).inspect(|client| message.send_to(client)).count()
}

fn write_message(kind: &[u8], parts: &[&[u8]]) -> impl Fn(&mut Reply) {
    move |reply: &mut Reply| {
        let written = reply
            .push(parts.len() + 1)
            .and_then(|()| reply.bulk(kind))
            .and_then(|()| parts.iter().try_for_each(|part| reply.bulk(part)));
        debug_assert!(written.is_ok());
    }
}

impl Pubsub {
    /// Adds a subscriber to a channel.
    pub fn subscribe(&self, channel: &[u8], client: &Arc<Client>) {
        self.channels.entry(channel.into()).or_default().insert(client.id, Arc::clone(client));
    }

    pub fn unsubscribe(&self, channel: &[u8], client: &Client) {
        remove(&self.channels, channel, client);
    }

    pub fn subscribe_shard(&self, channel: &[u8], client: &Arc<Client>) {
        self.shard_channels.entry(channel.into()).or_default().insert(client.id, Arc::clone(client));
    }

    pub fn unsubscribe_shard(&self, channel: &[u8], client: &Client) {
        remove(&self.shard_channels, channel, client);
    }

    pub fn subscribe_pattern(&self, pattern: &[u8], client: &Arc<Client>) {
        let mut patterns = self.patterns.write();
        let subscribers = patterns.subscribers.entry(pattern.into()).or_default();
        let is_new = subscribers.is_empty();
        subscribers.insert(client.id, Arc::clone(client));
        if is_new {
            let prefix = glob::literal_prefix(pattern);
            match patterns.by_prefix.get_mut(prefix) {
                Some(same) => {
                    same.insert(pattern.into());
                }
                None => {
                    patterns.by_prefix.insert(prefix, HashSet::from([pattern.into()]));
                }
            }
            self.pattern_count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn unsubscribe_pattern(&self, pattern: &[u8], client: &Client) {
        let mut patterns = self.patterns.write();
        let Some(subscribers) = patterns.subscribers.get_mut(pattern) else { return };
        subscribers.remove(&client.id);
        if subscribers.is_empty() {
            patterns.subscribers.remove(pattern);
            let prefix = glob::literal_prefix(pattern);
            if let Some(same) = patterns.by_prefix.get_mut(prefix) {
                same.remove(pattern);
                if same.is_empty() {
                    patterns.by_prefix.remove(prefix);
                }
            }
            self.pattern_count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Sends a message to everybody who listens to `channel`, and returns to how many.
    pub fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
        let mut receivers = 0;
        if let Some(subscribers) = self.channels.get(channel) {
            let parts = [channel, message];
            receivers += send(&mut Encoded::new(write_message(b"message", &parts)), &subscribers);
        }
        if self.pattern_count.load(Ordering::Relaxed) > 0 {
            let patterns = self.patterns.read();
            for pattern in patterns.matching(channel) {
                let parts = [pattern, channel, message];
                let message = &mut Encoded::new(write_message(b"pmessage", &parts));
                receivers += send(message, &patterns.subscribers[pattern]);
            }
        }
        receivers
    }

    /// Like [`Pubsub::publish`] for a shard channel.
    pub fn publish_shard(&self, channel: &[u8], message: &[u8]) -> usize {
        let Some(subscribers) = self.shard_channels.get(channel) else { return 0 };
        let parts = [channel, message];
        send(&mut Encoded::new(write_message(b"smessage", &parts)), &subscribers)
    }

    /// Channels with subscribers whose name matches `pattern`; all without one.
    pub fn channels(&self, pattern: Option<&[u8]>) -> Vec<Box<[u8]>> {
        names(&self.channels, pattern)
    }

    pub fn shard_channels(&self, pattern: Option<&[u8]>) -> Vec<Box<[u8]>> {
        names(&self.shard_channels, pattern)
    }

    /// The clients that have any subscription of which `is_meant`, told the channel or pattern and whether it is one.
    pub fn listeners(&self, is_meant: impl Fn(&Client, &[u8], bool) -> bool) -> Vec<Arc<Client>> {
        let mut found = HashMap::new();
        let mut look = |name: &[u8], subscribers: &Subscribers, is_pattern: bool| {
            let meant = subscribers.values().filter(|client| is_meant(client, name, is_pattern));
            found.extend(meant.map(|client| (client.id, Arc::clone(client))));
        };
        self.channels.iter().for_each(|entry| look(entry.key(), entry.value(), false));
        self.shard_channels.iter().for_each(|entry| look(entry.key(), entry.value(), false));
        self.patterns.read().subscribers.iter().for_each(|(pattern, subscribers)| look(pattern, subscribers, true));
        found.into_values().collect()
    }

    pub fn subscriber_count(&self, channel: &[u8]) -> usize {
        self.channels.get(channel).map_or(0, |subscribers| present(&subscribers).count())
    }

    pub fn shard_subscriber_count(&self, channel: &[u8]) -> usize {
        self.shard_channels.get(channel).map_or(0, |subscribers| present(&subscribers).count())
    }

    /// Different patterns that somebody listens to.
    pub fn pattern_count(&self) -> usize {
        self.pattern_count.load(Ordering::Relaxed)
    }

    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    pub fn shard_channel_count(&self) -> usize {
        self.shard_channels.len()
    }

    pub fn set_events(&self, classes: EventClasses) {
        self.events.store(classes.bits(), Ordering::Relaxed);
    }

    pub fn events(&self) -> EventClasses {
        EventClasses::from_bits(self.events.load(Ordering::Relaxed))
    }

    /// Publishes what happened to a key, if somebody wants to know (`notify-keyspace-events`).
    #[inline]
    pub fn notify(&self, event: Event, database: usize, key: &[u8]) {
        let events = self.events();
        if events.wants(event.class) {
            self.publish_event(events, event.name, database, key);
        }
    }

    #[cold]
    fn publish_event(&self, events: EventClasses, event: &str, database: usize, key: &[u8]) {
        if events.keyspace() {
            let channel = [format!("__keyspace@{database}__:").as_bytes(), key].concat();
            self.publish(&channel, event.as_bytes());
        }
        if events.keyevent() {
            let channel = format!("__keyevent@{database}__:{event}");
            self.publish(channel.as_bytes(), key);
        }
    }
}

/// The subscribers without those that were killed: their threads have yet to take them off the lists.
fn present(subscribers: &Subscribers) -> impl Iterator<Item = &Client> {
    subscribers.values().map(|client| &**client).filter(|client| !client.is_killed())
}

fn remove(channels: &DashMap<Box<[u8]>, Subscribers>, channel: &[u8], client: &Client) {
    if let Some(mut subscribers) = channels.get_mut(channel) {
        subscribers.remove(&client.id);
    }
    channels.remove_if(channel, |_, subscribers| subscribers.is_empty());
}

fn names(channels: &DashMap<Box<[u8]>, Subscribers>, pattern: Option<&[u8]>) -> Vec<Box<[u8]>> {
    channels
        .iter()
        .filter(|entry| present(entry.value()).next().is_some())
        .map(|entry| entry.key().clone())
        .filter(|name| pattern.is_none_or(|pattern| glob::matches(pattern, name, false)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Endpoint, Message};

    fn client(id: u64) -> Arc<Client> {
        let endpoint = Endpoint::Unix("/socket".into());
        Arc::new(Client::new(id, endpoint.clone(), endpoint, 0, 0))
    }

    #[test]
    fn patterns_that_are_prefixes_of_each_other_match_and_leave() {
        let pubsub = Pubsub::default();
        let client = client(1);
        // Worker threads have a stack of two megabytes, as the threads of tests do.
        let patterns: Vec<_> = (0..3000).map(|len| [&b"a".repeat(len)[..], b"*"].concat()).collect();
        for pattern in &patterns {
            pubsub.subscribe_pattern(pattern, &client);
        }
        assert_eq!(pubsub.pattern_count(), 3000);
        for (channel_len, receivers) in [(0, 0), (1, 2), (127, 128), (128, 129), (2000, 2001), (5000, 3000)] {
            assert_eq!(pubsub.publish(&b"a".repeat(channel_len), b""), receivers, "{channel_len}");
        }
        assert_eq!(pubsub.publish(b"aab", b""), 3);
        for pattern in &patterns {
            pubsub.unsubscribe_pattern(pattern, &client);
        }
        assert_eq!((pubsub.pattern_count(), pubsub.publish(b"a", b"")), (0, 0));
    }

    #[test]
    fn a_killed_subscriber_hears_nothing_and_is_not_counted() {
        let pubsub = Pubsub::default();
        let (killed, other) = (client(1), client(2));
        for subscriber in [&killed, &other] {
            pubsub.subscribe(b"news", subscriber);
            pubsub.subscribe_pattern(b"n*", subscriber);
        }
        pubsub.subscribe_shard(b"news", &killed);
        pubsub.subscribe(b"own", &killed);
        assert_eq!((pubsub.publish(b"news", b"x"), pubsub.publish_shard(b"news", b"x")), (4, 1));
        killed.kill();
        assert_eq!((pubsub.publish(b"news", b"x"), pubsub.publish_shard(b"news", b"x")), (2, 0));
        assert_eq!((pubsub.subscriber_count(b"news"), pubsub.shard_subscriber_count(b"news")), (1, 0));
        assert_eq!((pubsub.channels(None), pubsub.shard_channels(None)), (vec![Box::from(b"news".as_slice())], vec![]));
        let heard = killed.mailbox.take().into_iter().filter(|message| matches!(message, Message::Push(_)));
        assert_eq!(heard.count(), 3);
    }
}
