//! When two replies count as equal: byte for byte, but for what is random, unordered, or read from a clock.

use crate::grammar::Command;
use crate::reply::Reply;

/// Seconds or milliseconds by which the rest of a key's time may differ: the servers got the command one after the other.
const CLOCK_TOLERANCE: i64 = 5_000;

/// Whether the replies agree. `queued` are the commands of the transaction that the command executes.
pub fn agree(command: &Command, queued: &[Command], ours: &Reply, theirs: &Reply) -> bool {
    if ours == theirs {
        return true;
    }
    if ours.kind != theirs.kind || command.is_empty() {
        return false;
    }
    if ours.is_error() {
        // An error may quote the id of a client, which is each server's own.
        return command.iter().any(|word| word.starts_with(b"\0id:")) && without_digits(ours) == without_digits(theirs);
    }
    let name = command[0].to_ascii_uppercase();
    let subcommand = command.get(1).map(|word| word.to_ascii_uppercase()).unwrap_or_default();
    match (&name[..], &subcommand[..]) {
        (b"EXEC", _) => {
            let (ours, theirs) = (&ours.items, &theirs.items);
            ours.len() == theirs.len()
                && queued.len() == ours.len()
                && queued
                    .iter()
                    .zip(ours.iter().zip(theirs))
                    .all(|(command, (ours, theirs))| agree(command, &[], ours, theirs))
        }
        (b"KEYS" | b"SMEMBERS" | b"SINTER" | b"SUNION" | b"SDIFF" | b"HKEYS" | b"HVALS", _) => {
            sorted(ours) == sorted(theirs)
        }
        (b"PUBSUB", b"CHANNELS" | b"SHARDCHANNELS") => sorted(ours) == sorted(theirs),
        (b"HGETALL", _) | (b"CONFIG", b"GET") => sorted_pairs(ours) == sorted_pairs(theirs),
        (b"HSCAN", _) => match (&ours.items[..], &theirs.items[..]) {
            ([_, ours], [_, theirs]) => sorted_pairs(ours) == sorted_pairs(theirs),
            _ => false,
        },
        (b"SSCAN", _) => match (&ours.items[..], &theirs.items[..]) {
            ([_, ours], [_, theirs]) => sorted(ours) == sorted(theirs),
            _ => false,
        },
        (b"TTL" | b"PTTL" | b"EXPIRETIME" | b"PEXPIRETIME", _) => match (ours.number(), theirs.number()) {
            (Some(ours), Some(theirs)) => ours >= 0 && theirs >= 0 && ours.abs_diff(theirs) <= CLOCK_TOLERANCE as u64,
            _ => false,
        },
        (b"OBJECT", b"ENCODING") => is_list_encoding(ours) && is_list_encoding(theirs),
        // A cursor, an id, a clock, a size in this server's memory or a random choice: only that there is one.
        (b"RANDOMKEY" | b"TIME" | b"LASTSAVE" | b"INFO" | b"HELLO" | b"SCAN", _)
        | (b"CLIENT", b"ID" | b"INFO" | b"LIST")
        | (b"OBJECT", b"IDLETIME" | b"FREQ" | b"REFCOUNT" | b"HELP")
        | (b"MEMORY", b"USAGE" | b"DOCTOR" | b"STATS" | b"MALLOC-STATS" | b"HELP")
        | (b"LATENCY" | b"SLOWLOG" | b"CONFIG" | b"CLIENT" | b"PUBSUB", _)
        | (b"SRANDMEMBER" | b"HRANDFIELD" | b"ZRANDMEMBER", _) => ours.text.is_some() == theirs.text.is_some(),
        _ => false,
    }
}

fn without_digits(reply: &Reply) -> Option<Vec<u8>> {
    reply.text.as_ref().map(|text| text.iter().copied().filter(|byte| !byte.is_ascii_digit()).collect())
}

/// A list is a quicklist, as small as it may be, in Redis 7.0, whose suite asserts it, and a listpack while it is small from
/// 7.2 on.
fn is_list_encoding(reply: &Reply) -> bool {
    reply.is_text(b"quicklist") || reply.is_text(b"listpack")
}

fn sorted(reply: &Reply) -> Vec<Reply> {
    let mut items = reply.items.clone();
    items.sort();
    items
}

fn sorted_pairs(reply: &Reply) -> Vec<Vec<Reply>> {
    let mut pairs: Vec<_> = reply.items.chunks(2).map(<[Reply]>::to_vec).collect();
    pairs.sort();
    pairs
}

/// What a subscriber got, in a form that does not depend on the order in which a server walks its subscriptions.
pub fn unordered_messages(replies: &[Reply]) -> Vec<Reply> {
    let mut replies = replies.to_vec();
    for reply in &mut replies {
        let unsubscribed = |kind: &Reply| {
            ["unsubscribe", "punsubscribe", "sunsubscribe"].iter().any(|word| kind.is_text(word.as_bytes()))
        };
        if reply.items.first().is_some_and(unsubscribed) {
            reply.items.truncate(2);
        }
    }
    replies.sort();
    replies
}
