//! Commands on sorted sets: those about single members here, the others in modules of their own.

mod add;
mod combine;
mod pop;
mod random;
mod range;

pub(super) use add::{Options as AddOptions, add_scored};
pub use add::{zadd, zincrby};
pub use combine::{zdiff, zdiffstore, zinter, zintercard, zinterstore, zunion, zunionstore};
pub use pop::{bzmpop, bzpopmax, bzpopmin, zmpop, zpopmax, zpopmin};
pub use random::zrandmember;
pub use range::{
    zcount, zlexcount, zrange, zrangebylex, zrangebyscore, zrangestore, zremrangebylex, zremrangebyrank,
    zremrangebyscore, zrevrange, zrevrangebylex, zrevrangebyscore,
};

use super::Call;
use super::scan::{self, ScanOptions, Scanned};
use super::stored::{create, edit, find, read};
use crate::glob;
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply, Reply};
use crate::spec::errors;
use crate::value::packed::{Element, IntegerText};
use crate::value::zset::{SortedSet, SortedSetRef, ZsetLimits};
use crate::value::{double, general};

/// Bytes that the text of a score rarely exceeds.
const SCORE_TEXT_LEN: usize = 32;

/// How large a packed sorted set may become, as the config has it.
pub(super) fn limits(call: &Call) -> ZsetLimits {
    crate::forms::sorted_set(&call.state.settings)
}

fn write_member(reply: &mut Reply, member: Element<'_>) -> CommandResult {
    reply.bulk(member.as_bytes(&mut IntegerText::default()))
}

fn write_score(reply: &mut Reply, score: f64) -> CommandResult {
    let mut text = Vec::with_capacity(SCORE_TEXT_LEN);
    double::append(score, &mut text);
    reply.double_text(std::str::from_utf8(&text).unwrap_or_default())
}

/// How members are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    Members,
    /// Each followed by its score; pairs in RESP3.
    WithScores,
}

impl Listing {
    fn begin(self, reply: &mut Reply, len: usize) -> CommandResult {
        let is_flat = self == Listing::WithScores && !reply.is_resp3();
        reply.array(if is_flat { 2 * len } else { len })
    }

    fn write(self, reply: &mut Reply, member: Element<'_>, score: f64) -> CommandResult {
        if self == Listing::Members {
            return write_member(reply, member);
        }
        if reply.is_resp3() {
            reply.array(2)?;
        }
        write_member(reply, member)?;
        write_score(reply, score)
    }
}

/// Puts members, which are in order, where `key` was, and answers with their number; no key stays if there are none.
pub(super) fn store<M: AsRef<[u8]>>(call: &mut Call, key: &[u8], members: &[(f64, M)], event: Event) -> CommandResult {
    let limits = limits(call);
    if members.is_empty() {
        if let Some(found) = call.keys.peek(key) {
            call.keys.delete(found, key);
        }
        return call.reply.integer(0);
    }
    let len_max = members.iter().map(|(_, member)| member.as_ref().len()).max().unwrap_or(0);
    let stored = create(call.keys, key, |set: &mut SortedSet| {
        *set = SortedSet::for_members(members.len(), len_max, &limits);
        for (score, member) in members {
            set.update(member.as_ref(), &limits, |_| Some(*score));
        }
    });
    stored.tell(call.keys, key, event, 1);
    call.reply.count(members.len())
}

/// `ZCARD key`
pub fn zcard(call: &mut Call) -> CommandResult {
    let len = read::<SortedSet>(call.keys, call.args.at(1))?.map_or(0, |set| set.len());
    call.reply.count(len)
}

/// `ZSCORE key member`
pub fn zscore(call: &mut Call) -> CommandResult {
    let set = read::<SortedSet>(call.keys, call.args.at(1))?;
    match set.and_then(|set| set.score(call.args.at(2))) {
        Some(score) => write_score(call.reply, score),
        None => call.reply.null(),
    }
}

/// `ZMSCORE key member [member ...]`
pub fn zmscore(call: &mut Call) -> CommandResult {
    let set = read::<SortedSet>(call.keys, call.args.at(1))?;
    let members = call.args.from(2);
    call.reply.array(members.len())?;
    members.iter().try_for_each(|member| match set.and_then(|set| set.score(member)) {
        Some(score) => write_score(call.reply, score),
        None => call.reply.null(),
    })
}

/// `ZRANK key member [WITHSCORE]`
pub fn zrank(call: &mut Call) -> CommandResult {
    rank(call, false)
}

/// `ZREVRANK key member [WITHSCORE]`
pub fn zrevrank(call: &mut Call) -> CommandResult {
    rank(call, true)
}

fn rank(call: &mut Call, reversed: bool) -> CommandResult {
    let with_score = match call.args.len() {
        3 => false,
        4 if call.is_word(3, "WITHSCORE") => true,
        4 => return Err(ErrorReply::SYNTAX),
        _ => return Err(errors::wrong_arity(call.spec)),
    };
    let set = read::<SortedSet>(call.keys, call.args.at(1))?;
    let ranked = set.and_then(|set| {
        let (rank, score) = set.rank(call.args.at(2))?;
        Some((if reversed { set.len() - 1 - rank } else { rank }, score))
    });
    match ranked {
        None if with_score => call.reply.null_array(),
        None => call.reply.null(),
        Some((rank, _)) if !with_score => call.reply.count(rank),
        Some((rank, score)) => {
            call.reply.array(2)?;
            call.reply.count(rank)?;
            write_score(call.reply, score)
        }
    }
}

/// `ZREM key member [member ...]`
pub fn zrem(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let Some(found) = find::<SortedSet>(call.keys, key)? else { return call.reply.integer(0) };
    let members = call.args.from(2);
    let edited = edit(call.keys, found, key, |set: &mut SortedSet| {
        members.iter().filter(|member| set.remove(member).is_some()).count()
    });
    let removed = edited.tell_count(call.keys, key, Event::ZREM);
    call.reply.count(removed)
}

/// Digits that `ZSCAN` shows of the scores of a large set. Those of a packed one are told as everywhere else.
const SCANNED_DIGITS: usize = 17;

/// `ZSCAN key cursor [MATCH pattern] [COUNT count] [NOSCORES]`
pub fn zscan(call: &mut Call) -> CommandResult {
    let cursor = scan::parse_cursor(call.arg(2))?;
    let Some(set) = read::<SortedSet>(call.keys, call.args.at(1))? else {
        return scan::write_step(call.reply, 0, 0, &Reply::default());
    };
    let options = ScanOptions::parse(call.args, 3, Scanned::ScoredMembers)?;
    let mut elements = 0;
    let mut written = Reply::new(call.reply.protocol());
    let mut text = Vec::new();
    let prefix = glob::literal_prefix(options.pattern);
    let is_large = matches!(set, SortedSetRef::Large(_));
    let next = set.scan(cursor, options.count, prefix, |member, score| {
        if !options.matches(member) {
            return;
        }
        elements += usize::from(written.bulk(member).is_ok());
        if !options.no_values {
            text.clear();
            if is_large {
                general::append(score, SCANNED_DIGITS, &mut text);
            } else {
                double::append(score, &mut text);
            }
            elements += usize::from(written.bulk(&text).is_ok());
        }
    });
    scan::write_step(call.reply, next, elements, &written)
}
