//! Unions, intersections and differences of sorted sets, to be listed, stored or counted.

use super::{Listing, store};
use crate::command::Call;
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply};
use crate::value::packed::Element;
use crate::value::set::SetRef;
use crate::value::zset::SortedSetRef;
use crate::value::{ValueRef, double};
use foldhash::fast::RandomState;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::Range;

/// How sets are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of the scores that a member has in several sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, score: f64, other: f64) -> f64 {
        match self {
            // The sum of two different infinities is nothing in particular.
            Aggregate::Sum => not_nan(score + other),
            Aggregate::Min => {
                if other < score {
                    other
                } else {
                    score
                }
            }
            Aggregate::Max => {
                if other > score {
                    other
                } else {
                    score
                }
            }
        }
    }
}

fn not_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// What becomes of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    List,
    Store,
    Count,
}

/// What a command of this family asks for.
struct Query {
    /// The arguments that are keys.
    keys: Range<usize>,
    weights: Vec<f64>,
    aggregate: Aggregate,
    listing: Listing,
    /// Members to count at most; 0 for all.
    limit: usize,
}

impl Query {
    /// Reads the arguments from the number of keys on. Keys are looked up before what follows them is read, as in Redis.
    fn parse(call: &mut Call, first: usize, operation: Operation, purpose: Purpose) -> Result<Self, ErrorReply> {
        let number = call.integer(first)?;
        if number < 1 {
            let name = call.spec.name;
            return Err(ErrorReply::new(format!("ERR at least 1 input key is needed for '{name}' command")));
        }
        let number = number as usize;
        if number > call.args.len() - first - 1 {
            return Err(ErrorReply::SYNTAX);
        }
        let keys = first + 1..first + 1 + number;
        for index in keys.clone() {
            if let Some(found) = call.keys.read(call.args.at(index)) {
                Members::of(call.keys.value(found)).ok_or(ErrorReply::WRONG_TYPE)?;
            }
        }
        let is_weighted = operation != Operation::Difference && purpose != Purpose::Count;
        let mut query =
            Query { keys, weights: Vec::new(), aggregate: Aggregate::Sum, listing: Listing::Members, limit: 0 };
        let mut index = query.keys.end;
        while index < call.args.len() {
            let left = call.args.len() - index - 1;
            if is_weighted && left >= number && call.is_word(index, "WEIGHTS") {
                let not_float = ErrorReply::fixed("ERR weight value is not a float");
                let weights = (index + 1..index + 1 + number).map(|index| double::parse(call.arg(index)));
                query.weights = weights.collect::<Option<_>>().ok_or(not_float)?;
                index += number;
            } else if is_weighted && left >= 1 && call.is_word(index, "AGGREGATE") {
                index += 1;
                let words = [("SUM", Aggregate::Sum), ("MIN", Aggregate::Min), ("MAX", Aggregate::Max)];
                let named = words.into_iter().find(|(word, _)| call.is_word(index, word));
                query.aggregate = named.ok_or(ErrorReply::SYNTAX)?.1;
            } else if purpose == Purpose::List && call.is_word(index, "WITHSCORES") {
                query.listing = Listing::WithScores;
            } else if purpose == Purpose::Count && left >= 1 && call.is_word(index, "LIMIT") {
                index += 1;
                let negative = ErrorReply::fixed("ERR LIMIT can't be negative");
                query.limit = call.integer_in(index, 0..=i64::MAX, negative)? as usize;
            } else {
                return Err(ErrorReply::SYNTAX);
            }
            index += 1;
        }
        Ok(query)
    }
}

/// A set to be put together with others, and what its scores are multiplied with.
struct Source<'a> {
    members: Members<'a>,
    weight: f64,
}

/// The members of a key.
#[derive(Default)]
enum Members<'a> {
    #[default]
    None,
    Scored(SortedSetRef<'a>),
    /// Each has the score 1.
    Plain(SetRef<'a>),
}

impl<'a> Members<'a> {
    /// `None` if the value has another type.
    fn of(value: ValueRef<'a>) -> Option<Self> {
        let scored = value.as_sorted_set().map(Members::Scored);
        scored.or_else(|| value.as_set().map(Members::Plain))
    }
}

impl<'a> Source<'a> {
    fn len(&self) -> usize {
        match self.members {
            Members::None => 0,
            Members::Scored(set) => set.len(),
            Members::Plain(set) => set.len(),
        }
    }

    /// Shows all members and their weighted scores, until an error.
    fn visit<E>(&self, mut each: impl FnMut(Cow<'a, [u8]>, f64) -> Result<(), E>) -> Result<(), E> {
        match self.members {
            Members::None => Ok(()),
            Members::Scored(set) => set.visit(0..set.len(), false, |member, score| {
                let bytes = match member {
                    Element::Bytes(bytes) => Cow::Borrowed(bytes),
                    Element::Integer(_) => Cow::Owned(member.to_vec()),
                };
                each(bytes, score * self.weight)
            }),
            Members::Plain(set) => set.try_visit(|member| each(Cow::Owned(member.to_vec()), self.weight)),
        }
    }

    /// The weighted score of a member.
    fn score(&self, member: &[u8]) -> Option<f64> {
        let score = match self.members {
            Members::None => None,
            Members::Scored(set) => set.score(member),
            Members::Plain(set) => set.contains(Element::new(member)).then_some(1.0),
        };
        score.map(|score| score * self.weight)
    }
}

/// Ends counting.
struct LimitReached;

/// Members and their scores, in no order.
type Combined<'a> = Vec<(f64, Cow<'a, [u8]>)>;

fn union<'a>(sources: &[Source<'a>], aggregate: Aggregate) -> Combined<'a> {
    let mut scores: HashMap<Cow<'a, [u8]>, f64, RandomState> = HashMap::default();
    for source in sources {
        let Ok(()) = source.visit(|member, score| {
            let score = not_nan(score);
            let known = scores.entry(member);
            known.and_modify(|known| *known = aggregate.of(*known, score)).or_insert(score);
            Ok::<_, Infallible>(())
        });
    }
    scores.into_iter().map(|(member, score)| (score, member)).collect()
}

/// Shows members that all sources have, of which the first is the smallest, until an error.
fn intersect<'a, E>(
    sources: &[Source<'a>],
    aggregate: Aggregate,
    mut show: impl FnMut(Cow<'a, [u8]>, f64) -> Result<(), E>,
) -> Result<(), E> {
    let Some((first, others)) = sources.split_first() else { return Ok(()) };
    first.visit(|member, score| {
        let mut score = not_nan(score);
        for other in others {
            let Some(other) = other.score(&member) else { return Ok(()) };
            score = aggregate.of(score, other);
        }
        show(member, score)
    })
}

/// Members of the first source that no other has.
fn subtract<'a>(sources: &[Source<'a>]) -> Combined<'a> {
    let mut members = Vec::new();
    if let Some((first, others)) = sources.split_first() {
        let Ok(()) = first.visit(|member, score| {
            if others.iter().all(|other| other.score(&member).is_none()) {
                members.push((score, member));
            }
            Ok::<_, Infallible>(())
        });
    }
    members
}

fn combine(call: &mut Call, operation: Operation, purpose: Purpose) -> CommandResult {
    let first = if purpose == Purpose::Store { 2 } else { 1 };
    let query = Query::parse(call, first, operation, purpose)?;
    let args = call.args;
    let founds = call.keys.each(query.keys.clone().map(|index| args.at(index)), |keys, key| keys.peek(key));
    let weights = query.weights.iter().copied().chain(std::iter::repeat(1.0));
    let members = founds.iter().map(|found| Members::of(call.keys.value((*found)?)));
    let sources = members.zip(weights).map(|(members, weight)| Source { members: members.unwrap_or_default(), weight });
    let mut sources: Vec<_> = sources.collect();
    if operation != Operation::Difference {
        // Sums are made in this order in Redis too, and doubles know the difference.
        sources.sort_by_key(Source::len);
    }
    if purpose == Purpose::Count {
        let mut count = 0;
        let counted = intersect(&sources, query.aggregate, |_, _| {
            count += 1;
            if count == query.limit { Err(LimitReached) } else { Ok(()) }
        });
        debug_assert_eq!(counted.is_err(), count > 0 && count == query.limit);
        return call.reply.count(count);
    }
    let mut members = match operation {
        Operation::Union => union(&sources, query.aggregate),
        Operation::Difference => subtract(&sources),
        Operation::Intersection => {
            let mut members = Vec::new();
            let Ok(()) = intersect(&sources, query.aggregate, |member, score| {
                members.push((score, member));
                Ok::<_, Infallible>(())
            });
            members
        }
    };
    members.sort_unstable_by(|(score, member), (other_score, other)| {
        score.partial_cmp(other_score).unwrap_or(Ordering::Equal).then_with(|| member.cmp(other))
    });
    if purpose == Purpose::List {
        query.listing.begin(call.reply, members.len())?;
        let mut write =
            |(score, member): &(f64, Cow<'_, [u8]>)| query.listing.write(call.reply, Element::Bytes(member), *score);
        return members.iter().try_for_each(&mut write);
    }
    let event = match operation {
        Operation::Union => Event::ZUNIONSTORE,
        Operation::Intersection => Event::ZINTERSTORE,
        Operation::Difference => Event::ZDIFFSTORE,
    };
    let members: Vec<_> = members.into_iter().map(|(score, member)| (score, member.into_owned())).collect();
    store(call, call.arg(1), &members, event)
}

/// `ZUNION numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]`
pub fn zunion(call: &mut Call) -> CommandResult {
    combine(call, Operation::Union, Purpose::List)
}

/// `ZINTER numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]`
pub fn zinter(call: &mut Call) -> CommandResult {
    combine(call, Operation::Intersection, Purpose::List)
}

/// `ZDIFF numkeys key [key ...] [WITHSCORES]`
pub fn zdiff(call: &mut Call) -> CommandResult {
    combine(call, Operation::Difference, Purpose::List)
}

/// `ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX]`
pub fn zunionstore(call: &mut Call) -> CommandResult {
    combine(call, Operation::Union, Purpose::Store)
}

/// `ZINTERSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX]`
pub fn zinterstore(call: &mut Call) -> CommandResult {
    combine(call, Operation::Intersection, Purpose::Store)
}

/// `ZDIFFSTORE destination numkeys key [key ...]`
pub fn zdiffstore(call: &mut Call) -> CommandResult {
    combine(call, Operation::Difference, Purpose::Store)
}

/// `ZINTERCARD numkeys key [key ...] [LIMIT limit]`
pub fn zintercard(call: &mut Call) -> CommandResult {
    combine(call, Operation::Intersection, Purpose::Count)
}
