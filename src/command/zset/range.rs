//! Commands on ranges of a sorted set, by rank, by score or by member: to list, store, count or remove them.

use super::super::stored::{edit, find, read};
use super::{Listing, store};
use crate::command::Call;
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply};
use crate::value::zset::{LexBound, ScoreBound, SortedSet, SortedSetRef};
use std::ops::Range;

const NOT_SCORES: ErrorReply = ErrorReply::fixed("ERR min or max is not a float");
const NOT_MEMBERS: ErrorReply = ErrorReply::fixed("ERR min or max not valid string range item");

/// What a range goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// A range as a client gives it.
#[derive(Clone, Copy, Debug)]
enum Bounds<'a> {
    /// Ranks, both inclusive, both counting from the end if negative.
    Ranks(i64, i64),
    Scores(ScoreBound, ScoreBound),
    Members(LexBound<'a>, LexBound<'a>),
}

/// A score, excluded if a parenthesis is before it. Nothing stands for zero, and what is out of range for an infinity. A zero byte
/// ends it, whatever follows.
fn score_bound(text: &[u8]) -> Result<ScoreBound, ErrorReply> {
    let (text, is_exclusive) = match text.strip_prefix(b"(") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    let score = match std::str::from_utf8(&text[..end]) {
        Ok("") => Some(0.0),
        Ok(text) => text.parse::<f64>().ok().filter(|score| !score.is_nan()),
        Err(_) => None,
    };
    score.map(|score| ScoreBound { score, is_exclusive }).ok_or(NOT_SCORES)
}

fn lex_bound(text: &[u8]) -> Result<LexBound<'_>, ErrorReply> {
    match text {
        b"-" => Ok(LexBound::Min),
        b"+" => Ok(LexBound::Max),
        [b'[', member @ ..] => Ok(LexBound::Inclusive(member)),
        [b'(', member @ ..] => Ok(LexBound::Exclusive(member)),
        _ => Err(NOT_MEMBERS),
    }
}

impl<'a> Bounds<'a> {
    /// Reads the arguments with these indices.
    fn parse(call: &Call<'a, '_>, by: By, min: usize, max: usize) -> Result<Self, ErrorReply> {
        match by {
            By::Rank => Ok(Bounds::Ranks(call.integer(min)?, call.integer(max)?)),
            By::Score => Ok(Bounds::Scores(score_bound(call.arg(min))?, score_bound(call.arg(max))?)),
            By::Lex => Ok(Bounds::Members(lex_bound(call.arg(min))?, lex_bound(call.arg(max))?)),
        }
    }

    /// The ranks that the range is in a set; `reversed` if it is looked at from the other end.
    fn ranks(&self, set: SortedSetRef<'_>, reversed: bool) -> Range<usize> {
        let len = set.len();
        let ranks = match *self {
            Bounds::Ranks(start, stop) => super::super::list::places(start, stop, len),
            Bounds::Scores(min, max) => return set.score_range(min, max),
            Bounds::Members(min, max) => return set.lex_range(min, max, reversed, 0),
        };
        if reversed && !ranks.is_empty() { len - ranks.end..len - ranks.start } else { ranks }
    }
}

/// What a command of the `ZRANGE` family asks for.
#[derive(Clone, Copy, Debug)]
struct Query<'a> {
    bounds: Bounds<'a>,
    reversed: bool,
    /// Members to pass over, none are left if it is negative; and members to take, all if negative.
    offset: i64,
    limit: i64,
    listing: Listing,
}

impl<'a> Query<'a> {
    /// Reads the arguments from the one that begins the range on. What is not given, `by` and `reversed`, can be asked for by
    /// words, and scores unless the result `is_stored`.
    fn parse(
        call: &Call<'a, '_>,
        first: usize,
        by: Option<By>,
        reversed: Option<bool>,
        is_stored: bool,
    ) -> Result<Self, ErrorReply> {
        let (mut asked_by, mut asked_reversed) = (None, false);
        let (mut offset, mut limit) = (0, -1);
        let mut listing = Listing::Members;
        let mut index = first + 2;
        while index < call.args.len() {
            let may_choose = by.is_none() && asked_by.is_none();
            if !is_stored && call.is_word(index, "WITHSCORES") {
                listing = Listing::WithScores;
            } else if call.is_word(index, "LIMIT") && index + 2 < call.args.len() {
                (offset, limit) = (call.integer(index + 1)?, call.integer(index + 2)?);
                index += 2;
            } else if reversed.is_none() && !asked_reversed && call.is_word(index, "REV") {
                asked_reversed = true;
            } else if may_choose && call.is_word(index, "BYLEX") {
                asked_by = Some(By::Lex);
            } else if may_choose && call.is_word(index, "BYSCORE") {
                asked_by = Some(By::Score);
            } else {
                return Err(ErrorReply::SYNTAX);
            }
            index += 1;
        }
        let by = by.or(asked_by).unwrap_or(By::Rank);
        let reversed = reversed.unwrap_or(asked_reversed);
        if limit != -1 && by == By::Rank {
            return Err(ErrorReply::fixed(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if listing == Listing::WithScores && by == By::Lex {
            return Err(ErrorReply::fixed("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        let is_swapped = reversed && by != By::Rank;
        let (min, max) = if is_swapped { (first + 1, first) } else { (first, first + 1) };
        Ok(Query { bounds: Bounds::parse(call, by, min, max)?, reversed, offset, limit, listing })
    }

    /// The ranks of the members that are asked for.
    fn ranks(&self, set: SortedSetRef<'_>) -> Range<usize> {
        let passed = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let ranks = match self.bounds {
            Bounds::Ranks(..) => return self.bounds.ranks(set, self.reversed),
            Bounds::Members(min, max) => set.lex_range(min, max, self.reversed, passed),
            Bounds::Scores(min, max) => {
                let ranks = set.score_range(min, max);
                let passed = passed.min(ranks.len());
                if self.reversed { ranks.start..ranks.end - passed } else { ranks.start + passed..ranks.end }
            }
        };
        let taken = usize::try_from(self.limit).unwrap_or(usize::MAX).min(ranks.len());
        if self.reversed { ranks.end - taken..ranks.end } else { ranks.start..ranks.start + taken }
    }
}

/// `ZRANGE key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]`
pub fn zrange(call: &mut Call) -> CommandResult {
    list(call, None, None)
}

/// `ZREVRANGE key start stop [WITHSCORES]`
pub fn zrevrange(call: &mut Call) -> CommandResult {
    list(call, Some(By::Rank), Some(true))
}

/// `ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]`
pub fn zrangebyscore(call: &mut Call) -> CommandResult {
    list(call, Some(By::Score), Some(false))
}

/// `ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]`
pub fn zrevrangebyscore(call: &mut Call) -> CommandResult {
    list(call, Some(By::Score), Some(true))
}

/// `ZRANGEBYLEX key min max [LIMIT offset count]`
pub fn zrangebylex(call: &mut Call) -> CommandResult {
    list(call, Some(By::Lex), Some(false))
}

/// `ZREVRANGEBYLEX key max min [LIMIT offset count]`
pub fn zrevrangebylex(call: &mut Call) -> CommandResult {
    list(call, Some(By::Lex), Some(true))
}

fn list(call: &mut Call, by: Option<By>, reversed: Option<bool>) -> CommandResult {
    let query = Query::parse(call, 2, by, reversed, false)?;
    let Some(set) = read::<SortedSet>(call.keys, call.args.at(1))? else { return call.reply.array(0) };
    let ranks = query.ranks(set);
    query.listing.begin(call.reply, ranks.len())?;
    set.visit(ranks, query.reversed, |member, score| query.listing.write(call.reply, member, score))
}

/// `ZRANGESTORE dst src min max [BYSCORE|BYLEX] [REV] [LIMIT offset count]`
pub fn zrangestore(call: &mut Call) -> CommandResult {
    let query = Query::parse(call, 3, None, None, true)?;
    let mut members = Vec::new();
    if let Some(set) = read::<SortedSet>(call.keys, call.args.at(2))? {
        let copied = set.visit(query.ranks(set), false, |member, score| {
            members.push((score, member.to_vec()));
            Ok(())
        });
        copied?;
    }
    store(call, call.arg(1), &members, Event::ZRANGESTORE)
}

/// `ZCOUNT key min max`
pub fn zcount(call: &mut Call) -> CommandResult {
    count(call, By::Score)
}

/// `ZLEXCOUNT key min max`
pub fn zlexcount(call: &mut Call) -> CommandResult {
    count(call, By::Lex)
}

fn count(call: &mut Call, by: By) -> CommandResult {
    let bounds = Bounds::parse(call, by, 2, 3)?;
    let set = read::<SortedSet>(call.keys, call.args.at(1))?;
    call.reply.count(set.map_or(0, |set| bounds.ranks(set, false).len()))
}

/// `ZREMRANGEBYRANK key start stop`
pub fn zremrangebyrank(call: &mut Call) -> CommandResult {
    remove(call, By::Rank, Event::ZREMRANGEBYRANK)
}

/// `ZREMRANGEBYSCORE key min max`
pub fn zremrangebyscore(call: &mut Call) -> CommandResult {
    remove(call, By::Score, Event::ZREMRANGEBYSCORE)
}

/// `ZREMRANGEBYLEX key min max`
pub fn zremrangebylex(call: &mut Call) -> CommandResult {
    remove(call, By::Lex, Event::ZREMRANGEBYLEX)
}

fn remove(call: &mut Call, by: By, event: Event) -> CommandResult {
    let key = call.arg(1);
    let bounds = Bounds::parse(call, by, 2, 3)?;
    let Some(found) = find::<SortedSet>(call.keys, key)? else { return call.reply.integer(0) };
    let edited = edit(call.keys, found, key, |set: &mut SortedSet| {
        let ranks = bounds.ranks(set.view(), false);
        set.remove_ranks(ranks.clone());
        ranks.len()
    });
    let removed = edited.tell_count(call.keys, key, event);
    call.reply.count(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_scores_are_lenient() {
        let bound = |score, is_exclusive| Ok(ScoreBound { score, is_exclusive });
        for (text, expected) in [
            ("1.5", bound(1.5, false)),
            ("(1.5", bound(1.5, true)),
            ("(-inf", bound(f64::NEG_INFINITY, true)),
            ("+INF", bound(f64::INFINITY, false)),
            ("", bound(0.0, false)),
            ("(", bound(0.0, true)),
            (".5", bound(0.5, false)),
            ("5.", bound(5.0, false)),
            ("1e400", bound(f64::INFINITY, false)),
            ("1e-400", bound(0.0, false)),
            ("1\0x", bound(1.0, false)),
            ("(\0", bound(0.0, true)),
        ] {
            assert_eq!(score_bound(text.as_bytes()), expected, "{text}");
        }
        for text in ["nan", "(nan", "((1", " 1", "1 ", "0x1", "1_0", "x\0", "-infinit", "+", "\u{ff}"] {
            assert_eq!(score_bound(text.as_bytes()), Err(NOT_SCORES), "{text}");
        }
    }
}
