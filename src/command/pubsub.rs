//! Publish and subscribe: SUBSCRIBE and its kin, PUBLISH, PUBSUB.

use super::call::{Call, Mode};
use crate::client::{ClientFlags, Session, Subscriptions};
use crate::resp::{CommandResult, ErrorReply, Reply};
use crate::spec::errors;
use crate::state::State;
use std::collections::HashSet;
use std::sync::atomic::Ordering;

/// What can be subscribed to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Channel,
    Pattern,
    ShardChannel,
}

impl Kind {
    fn names(self, subscriptions: &mut Subscriptions) -> &mut HashSet<Box<[u8]>> {
        match self {
            Kind::Channel => &mut subscriptions.channels,
            Kind::Pattern => &mut subscriptions.patterns,
            Kind::ShardChannel => &mut subscriptions.shard_channels,
        }
    }

    fn count(self, subscriptions: &Subscriptions) -> usize {
        match self {
            Kind::Channel | Kind::Pattern => subscriptions.count(),
            Kind::ShardChannel => subscriptions.shard_channels.len(),
        }
    }

    fn subscribed(self) -> &'static [u8] {
        match self {
            Kind::Channel => b"subscribe",
            Kind::Pattern => b"psubscribe",
            Kind::ShardChannel => b"ssubscribe",
        }
    }

    fn unsubscribed(self) -> &'static [u8] {
        match self {
            Kind::Channel => b"unsubscribe",
            Kind::Pattern => b"punsubscribe",
            Kind::ShardChannel => b"sunsubscribe",
        }
    }
}

/// `SUBSCRIBE channel [channel ...]`
pub fn subscribe(call: &mut Call) -> CommandResult {
    add(call, Kind::Channel)
}

/// `PSUBSCRIBE pattern [pattern ...]`
pub fn psubscribe(call: &mut Call) -> CommandResult {
    add(call, Kind::Pattern)
}

/// `SSUBSCRIBE shardchannel [shardchannel ...]`
pub fn ssubscribe(call: &mut Call) -> CommandResult {
    add(call, Kind::ShardChannel)
}

/// `UNSUBSCRIBE [channel ...]`
pub fn unsubscribe(call: &mut Call) -> CommandResult {
    drop_named(call, Kind::Channel)
}

/// `PUNSUBSCRIBE [pattern ...]`
pub fn punsubscribe(call: &mut Call) -> CommandResult {
    drop_named(call, Kind::Pattern)
}

/// `SUNSUBSCRIBE [shardchannel ...]`
pub fn sunsubscribe(call: &mut Call) -> CommandResult {
    drop_named(call, Kind::ShardChannel)
}

fn add(call: &mut Call, kind: Kind) -> CommandResult {
    if call.mode == Mode::Transaction && kind == Kind::ShardChannel {
        return Err(ErrorReply::fixed("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    call.session.confirms = true;
    for name in call.args.from(1).iter() {
        let client = &call.session.client;
        let subscriptions = call.session.subscriptions.get_or_insert_default();
        if kind.names(subscriptions).insert(name.into()) {
            client.add_name(name);
            match kind {
                Kind::Channel => call.state.pubsub.subscribe(name, client),
                Kind::Pattern => call.state.pubsub.subscribe_pattern(name, client),
                Kind::ShardChannel => call.state.pubsub.subscribe_shard(name, client),
            }
        }
        let count = kind.count(subscriptions);
        confirm(call.reply, kind.subscribed(), Some(name), count)?;
    }
    publish_counts(call.session);
    Ok(())
}

fn drop_named(call: &mut Call, kind: Kind) -> CommandResult {
    call.session.confirms = true;
    let named: Vec<Box<[u8]>> = if call.args.len() > 1 {
        call.args.from(1).iter().map(Box::from).collect()
    } else {
        let subscriptions = call.session.subscriptions.as_deref_mut();
        subscriptions.map_or_else(Vec::new, |subscriptions| kind.names(subscriptions).iter().cloned().collect())
    };
    if named.is_empty() {
        let count = call.session.subscriptions.as_deref().map_or(0, |subscriptions| kind.count(subscriptions));
        return confirm(call.reply, kind.unsubscribed(), None, count);
    }
    for name in named {
        let count = remove(call.state, call.session, kind, &name);
        confirm(call.reply, kind.unsubscribed(), Some(&name), count)?;
    }
    publish_counts(call.session);
    Ok(())
}

/// Ends one subscription, if there is one. Returns how many are left.
fn remove(state: &State, session: &mut Session, kind: Kind, name: &[u8]) -> usize {
    let Some(subscriptions) = session.subscriptions.as_deref_mut() else { return 0 };
    if kind.names(subscriptions).remove(name) {
        session.client.remove_name(name);
        session.listens_anew = true;
        match kind {
            Kind::Channel => state.pubsub.unsubscribe(name, &session.client),
            Kind::Pattern => state.pubsub.unsubscribe_pattern(name, &session.client),
            Kind::ShardChannel => state.pubsub.unsubscribe_shard(name, &session.client),
        }
    }
    kind.count(subscriptions)
}

fn confirm(reply: &mut Reply, what: &[u8], name: Option<&[u8]>, count: usize) -> CommandResult {
    reply.push(3)?;
    reply.bulk(what)?;
    reply.bulk_or_null(name)?;
    reply.count(count)
}

/// Tells others what the client listens to.
fn publish_counts(session: &Session) {
    let client = &session.client;
    let empty = Subscriptions::default();
    let subscriptions = session.subscriptions.as_deref().unwrap_or(&empty);
    client.channels.store(subscriptions.channels.len(), Ordering::Relaxed);
    client.patterns.store(subscriptions.patterns.len(), Ordering::Relaxed);
    client.shard_channels.store(subscriptions.shard_channels.len(), Ordering::Relaxed);
    client.set(ClientFlags::PUBSUB, !subscriptions.is_empty());
}

/// Ends all subscriptions of a client.
pub(super) fn leave(state: &State, session: &mut Session) {
    let Some(mut subscriptions) = session.subscriptions.take() else { return };
    session.listens_anew = true;
    for kind in [Kind::Channel, Kind::Pattern, Kind::ShardChannel] {
        for name in std::mem::take(kind.names(&mut subscriptions)) {
            session.client.remove_name(&name);
            match kind {
                Kind::Channel => state.pubsub.unsubscribe(&name, &session.client),
                Kind::Pattern => state.pubsub.unsubscribe_pattern(&name, &session.client),
                Kind::ShardChannel => state.pubsub.unsubscribe_shard(&name, &session.client),
            }
        }
    }
    publish_counts(session);
}

/// `PUBLISH channel message`
pub fn publish(call: &mut Call) -> CommandResult {
    let receivers = call.state.pubsub.publish(call.arg(1), call.arg(2));
    call.keys.log_for_replicas(call.args);
    call.reply.count(receivers)
}

/// `SPUBLISH shardchannel message`
pub fn spublish(call: &mut Call) -> CommandResult {
    let receivers = call.state.pubsub.publish_shard(call.arg(1), call.arg(2));
    call.keys.log_for_replicas(call.args);
    call.reply.count(receivers)
}

/// The pattern of the channels that are asked for, if there is one.
fn pattern<'c>(call: &Call<'c, '_>) -> Result<Option<&'c [u8]>, ErrorReply> {
    match call.args.len() {
        2 | 3 => Ok(call.args.get(2)),
        _ => Err(errors::subcommand_syntax(call.args)),
    }
}

/// `PUBSUB CHANNELS [pattern]`
pub fn pubsub_channels(call: &mut Call) -> CommandResult {
    call.reply.bulk_array(&call.state.pubsub.channels(pattern(call)?))
}

/// `PUBSUB SHARDCHANNELS [pattern]`
pub fn pubsub_shardchannels(call: &mut Call) -> CommandResult {
    call.reply.bulk_array(&call.state.pubsub.shard_channels(pattern(call)?))
}

/// `PUBSUB NUMPAT`
pub fn pubsub_numpat(call: &mut Call) -> CommandResult {
    call.reply.count(call.state.pubsub.pattern_count())
}

/// `PUBSUB NUMSUB [channel ...]`
pub fn pubsub_numsub(call: &mut Call) -> CommandResult {
    counts(call, |state, channel| state.pubsub.subscriber_count(channel))
}

/// `PUBSUB SHARDNUMSUB [shardchannel ...]`
pub fn pubsub_shardnumsub(call: &mut Call) -> CommandResult {
    counts(call, |state, channel| state.pubsub.shard_subscriber_count(channel))
}

fn counts(call: &mut Call, count: impl Fn(&State, &[u8]) -> usize) -> CommandResult {
    let channels = call.args.from(2);
    call.reply.array(channels.len() * 2)?;
    for channel in channels.iter() {
        call.reply.bulk(channel)?;
        call.reply.count(count(call.state, channel))?;
    }
    Ok(())
}
