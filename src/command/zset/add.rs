//! Commands that give members a score.

use super::super::stored::{create, edit, find};
use super::{limits, write_score};
use crate::command::Call;
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply};
use crate::value::double;
use crate::value::zset::SortedSet;
use smallvec::SmallVec;

const NOT_A_NUMBER: ErrorReply = ErrorReply::fixed("ERR resulting score is not a number (NaN)");

/// The options of `ZADD`.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::command) struct Options {
    /// Only members that are not there.
    pub new_only: bool,
    /// Only members that are there.
    pub known_only: bool,
    /// No score is lowered.
    greater_only: bool,
    /// No score is raised.
    less_only: bool,
    /// The reply counts changed scores too.
    pub count_changed: bool,
    /// The score is added to the present one.
    increment: bool,
}

impl Options {
    /// Sets the option that an argument is; false if it is none.
    fn read(&mut self, call: &Call, index: usize) -> bool {
        let flags = [
            ("NX", &mut self.new_only),
            ("XX", &mut self.known_only),
            ("CH", &mut self.count_changed),
            ("INCR", &mut self.increment),
            ("GT", &mut self.greater_only),
            ("LT", &mut self.less_only),
        ];
        let named = flags.into_iter().find(|(word, _)| call.is_word(index, word));
        named.map(|(_, flag)| *flag = true).is_some()
    }

    fn check(&self) -> CommandResult {
        if self.new_only && self.known_only {
            return Err(ErrorReply::fixed("ERR XX and NX options at the same time are not compatible"));
        }
        if self.greater_only && (self.less_only || self.new_only) || self.less_only && self.new_only {
            return Err(ErrorReply::fixed("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        Ok(())
    }

    /// The score that a member gets, if it may get one.
    #[inline]
    fn decide(&self, before: Option<f64>, score: f64) -> Option<f64> {
        let Some(before) = before else { return (!self.known_only).then_some(score) };
        let score = if self.increment { before + score } else { score };
        let is_refused = self.new_only || self.greater_only && score <= before || self.less_only && score >= before;
        (!is_refused).then_some(score)
    }
}

/// What came of a `ZADD`.
#[derive(Default)]
struct Outcome {
    added: usize,
    changed: usize,
    /// The score of the last member that was not left out.
    score: Option<f64>,
}

/// `ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member [score member ...]`
pub fn zadd(call: &mut Call) -> CommandResult {
    add(call, Options::default())
}

/// `ZINCRBY key increment member`
pub fn zincrby(call: &mut Call) -> CommandResult {
    add(call, Options { increment: true, ..Options::default() })
}

fn add(call: &mut Call, mut options: Options) -> CommandResult {
    let mut first = 2;
    while options.read(call, first) {
        first += 1;
    }
    let given = call.args.len() - first;
    if given == 0 || !given.is_multiple_of(2) {
        return Err(ErrorReply::SYNTAX);
    }
    options.check()?;
    if options.increment && given > 2 {
        return Err(ErrorReply::fixed("ERR INCR option supports a single increment-element pair"));
    }
    let args = call.args;
    let mut scores: SmallVec<[f64; 8]> = SmallVec::new();
    for index in (first..args.len()).step_by(2) {
        scores.push(double::parse(args.at(index)).ok_or(ErrorReply::NOT_FLOAT)?);
    }
    add_scored(call, options, &scores, (first + 1..args.len()).step_by(2).map(|index| args.at(index)))
}

/// Gives members of the sorted set at the first key a score each, as far as the options let it, and answers.
pub(in crate::command) fn add_scored<'a>(
    call: &mut Call,
    options: Options,
    scores: &[f64],
    members: impl Iterator<Item = &'a [u8]> + Clone,
) -> CommandResult {
    let key = call.arg(1);
    let limits = limits(call);
    let change = |set: &mut SortedSet| {
        let mut outcome = Outcome::default();
        for (&score, member) in scores.iter().zip(members.clone()) {
            let decide = |before: Option<f64>| {
                let score = options.decide(before, score)?;
                outcome.score = Some(score);
                if score.is_nan() {
                    return None;
                }
                outcome.added += usize::from(before.is_none());
                outcome.changed += usize::from(before.is_some_and(|before| before != score));
                Some(score)
            };
            set.update(member, &limits, decide);
        }
        outcome
    };
    let edited = match find::<SortedSet>(call.keys, key)? {
        Some(found) => Some(edit(call.keys, found, key, change)),
        None if options.known_only => None,
        None => Some(create(call.keys, key, |set: &mut SortedSet| {
            let len_max = members.clone().map(<[u8]>::len).max().unwrap_or(0);
            *set = SortedSet::for_members(scores.len(), len_max, &limits);
            change(set)
        })),
    };
    let event = if options.increment { Event::ZINCR } else { Event::ZADD };
    let outcome = match edited {
        None => Outcome::default(),
        Some(edited) => match edited.result.added + edited.result.changed {
            0 => edited.unchanged(call.keys),
            changes => edited.tell(call.keys, key, event, changes as u64),
        },
    };
    match outcome.score {
        Some(score) if score.is_nan() => Err(NOT_A_NUMBER),
        Some(score) if options.increment => write_score(call.reply, score),
        None if options.increment => call.reply.null(),
        _ if options.count_changed => call.reply.count(outcome.added + outcome.changed),
        _ => call.reply.count(outcome.added),
    }
}
