//! What subscribers hear: replies to what they send, and messages, in order.

use crate::compare::Judge;
use crate::generator::Command;
use crate::reply::Reply;
use crate::run::{Round, Stop, name_of};
use crate::server::{REPLY_MAX, encode};
use std::io::ErrorKind;

impl Round<'_> {
    pub fn subscriber(&mut self, subscriber: usize, commands: &[Command]) -> Result<(), Stop> {
        let bytes: Vec<u8> = commands.iter().flat_map(|command| encode(command)).collect();
        for (server, connection) in self.subscribers[subscriber].connections.iter_mut().enumerate() {
            let sent = connection.send(&bytes);
            sent.map_err(|error| Stop::Io { server, about: "subscriber".to_owned(), error })?;
        }
        for command in commands {
            self.tally.commands.entry(name_of(command)).or_default().sent += 1;
        }
        let about = commands.first().map_or("message".to_owned(), name_of);
        self.messages(subscriber, &about)
    }

    /// Compares what has come to a subscriber, up to the reply to a PING with a word that is new each time: what was published
    /// before arrives before.
    pub fn messages(&mut self, subscriber: usize, about: &str) -> Result<(), Stop> {
        let marker = self.marker();
        let mut received: Vec<Vec<Reply>> = Vec::new();
        for (server, connection) in self.subscribers[subscriber].connections.iter_mut().enumerate() {
            let failed = |error| Stop::Io { server, about: about.to_owned(), error };
            connection.send(&encode(&[b"PING", &marker[..]])).map_err(failed)?;
            let mut replies = Vec::new();
            loop {
                match connection.receive(REPLY_MAX).map_err(failed)? {
                    None => return Err(failed(ErrorKind::TimedOut.into())),
                    Some(reply) if reply.is_text(&marker) => break,
                    Some(reply) if reply.items.iter().any(|item| item.is_text(&marker)) => break,
                    Some(reply) => replies.push(reply),
                }
            }
            received.push(in_any_walk(&replies));
        }
        if self.fleet.agrees(&received, |judge, ours, theirs| first_difference(&judge, ours, theirs).is_none()) {
            return Ok(());
        }
        let same = (0..)
            .take_while(|at| received.iter().all(|list| list.get(*at).is_some_and(|reply| *reply == received[0][*at])));
        let same = same.count();
        let said = received.iter().map(|list| {
            let shown: Vec<_> = list.iter().skip(same).take(6).map(Reply::to_string).collect();
            format!("{} in all, from the first that differs: {}", list.len(), shown.join(" "))
        });
        Err(self.mismatch(about, &said.collect::<Vec<_>>()))
    }
}

/// The index in `ours` where two lists of messages differ and are not meant to. A message that one of them lacks is compared with
/// the fact "nothing".
fn first_difference(judge: &Judge<'_>, ours: &[Reply], theirs: &[Reply]) -> Option<usize> {
    let nothing = Reply::fact("nothing");
    // The only reply to a subscriber that does not have to be the same.
    let hello = vec![b"HELLO".to_vec()];
    let (mut our, mut their) = (0, 0);
    loop {
        match (ours.get(our), theirs.get(their)) {
            (None, None) => return None,
            (Some(a), Some(b)) if a == b || judge.agree(&hello, &[], a, b) || judge.explained("message", a, b) => {
                (our, their) = (our + 1, their + 1);
            }
            (Some(a), _) if judge.explained("message", a, &nothing) => our += 1,
            (_, Some(b)) if judge.explained("message", &nothing, b) => their += 1,
            _ => return Some(our),
        }
    }
}

/// The replies in a form that does not depend on the order in which a server walks its subscriptions: one publication that
/// reaches a client by several of them, and the names in the replies to `UNSUBSCRIBE` of all.
fn in_any_walk(replies: &[Reply]) -> Vec<Reply> {
    // What has no items is no message of any kind.
    let kind = |reply: &Reply| reply.items.first().map_or_else(String::new, Reply::string);
    let publication = |reply: &Reply| match &*kind(reply) {
        "message" | "pmessage" => Some(reply.items[reply.items.len() - 2..].to_vec()),
        _ => None,
    };
    let is_unsubscription = |reply: &Reply| matches!(&*kind(reply), "unsubscribe" | "punsubscribe" | "sunsubscribe");
    // What a client has heard already is of the next publication.
    let continues = |walk: &[Reply], reply: &Reply| match publication(reply) {
        Some(published) => publication(&walk[0]) == Some(published) && !walk.contains(reply),
        None => is_unsubscription(reply) && kind(&walk[0]) == kind(reply),
    };
    let mut walks: Vec<Vec<Reply>> = Vec::new();
    for reply in replies {
        match walks.last_mut() {
            Some(walk) if continues(walk, reply) => walk.push(reply.clone()),
            _ => walks.push(vec![reply.clone()]),
        }
    }
    let mut all = Vec::new();
    for mut walk in walks {
        if walk.iter().all(is_unsubscription) {
            let mut names: Vec<_> = walk.iter().filter_map(|reply| reply.items.get(1).cloned()).collect();
            names.sort();
            walk.iter_mut().zip(names).for_each(|(reply, name)| reply.items[1] = name);
        } else {
            walk.sort();
        }
        all.extend(walk);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(pattern: &str, channel: &str) -> Reply {
        let items = ["pmessage", pattern, channel, "word"].map(Reply::fact).to_vec();
        Reply { kind: b'*', text: None, items }
    }

    #[test]
    fn subscriptions_may_be_walked_in_any_order_and_publications_not() {
        let [a1, b1, a2, b2] = [("a*", "1"), ("b*", "1"), ("a*", "2"), ("b*", "2")]
            .map(|(pattern, channel)| publication(pattern, channel));
        let walk = |order: &[&Reply]| in_any_walk(&order.iter().map(|reply| (*reply).clone()).collect::<Vec<_>>());
        assert_eq!(walk(&[&a1, &b1, &a2, &b2]), walk(&[&b1, &a1, &b2, &a2]));
        assert_ne!(walk(&[&a1, &b1, &a2, &b2]), walk(&[&a2, &b2, &a1, &b1]));
        assert_ne!(walk(&[&a1, &b1]), walk(&[&a1]));
        // The same twice, of which one server says something else in between.
        assert_eq!(walk(&[&b1, &a1, &b1, &a1])[..2], walk(&[&a1, &b1, &a2, &b2, &a1, &b1])[..2]);
    }
}
