//! `ZRANDMEMBER`.

use super::super::stored::read;
use super::{Listing, write_member};
use crate::command::Call;
use crate::resp::{CommandResult, ErrorReply};
use crate::value::zset::{SortedSet, SortedSetRef};
use rand::Rng;
use rand::seq::index;

const OUT_OF_RANGE: ErrorReply = ErrorReply::fixed("ERR value is out of range");

/// `ZRANDMEMBER key [count [WITHSCORES]]`: one member; or `count` different ones at most; or, if negative, so many that
/// may be the same.
pub fn zrandmember(call: &mut Call) -> CommandResult {
    if call.args.len() == 2 {
        let Some(set) = read::<SortedSet>(call.keys, call.args.at(1))? else { return call.reply.null() };
        let rank = rand::rng().random_range(0..set.len());
        return set.visit(rank..rank + 1, false, |member, _| write_member(call.reply, member));
    }
    let count = call.drawn_count(2)?;
    let listing = match call.args.len() {
        3 => Listing::Members,
        4 if call.is_word(3, "WITHSCORES") => Listing::WithScores,
        _ => return Err(ErrorReply::SYNTAX),
    };
    let wanted = count.unsigned_abs() as usize;
    if listing == Listing::WithScores && wanted > i64::MAX as usize / 2 {
        return Err(OUT_OF_RANGE);
    }
    let set = read::<SortedSet>(call.keys, call.args.at(1))?;
    let Some(set) = set.filter(|_| wanted > 0) else { return call.reply.array(0) };
    let len = set.len();
    let reply = &mut *call.reply;
    let mut rng = rand::rng();
    listing.begin(reply, if count < 0 { wanted } else { wanted.min(len) })?;
    // A packed set has no shorter way to a rank than through all members before it.
    let mut packed = Vec::new();
    if let SortedSetRef::Packed(_) = set {
        set.for_each(|member, score| packed.push((member, score)));
    }
    let mut write = |rank: usize| match packed.get(rank) {
        Some((member, score)) => listing.write(reply, *member, *score),
        None => set.visit(rank..rank + 1, false, |member, score| listing.write(reply, member, score)),
    };
    if count < 0 {
        (0..wanted).try_for_each(|_| write(rng.random_range(0..len)))
    } else if wanted < len {
        index::sample(&mut rng, len, wanted).into_iter().try_for_each(write)
    } else {
        (0..len).try_for_each(write)
    }
}
