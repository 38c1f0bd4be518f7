//! `PREFIX`: the keyspace by what the names of keys begin with.

mod deletion;

pub use deletion::{Deletion, Doomed, Next, prefix_del};

use super::Call;
use crate::resp::{CommandResult, ErrorReply, Reply};
use crate::store::{ByType, Database, ShardSet};
use crate::tree::{Cut, Effort, Figures, Group, Groups, Measure, Totals};

/// Prefixes that are shown unless the client says how many.
const COUNT_DEFAULT: usize = 20;
/// Pages and nodes that are added up under one hold of a shard's lock.
const ADDED_UP_PER_LOCK: usize = 1000;
/// Holds of the lock in which a shard's keys must have been added up: so many, and one more for so many bytes of pages. As a rule
/// it takes fewer.
const TURNS_MIN: usize = 16;
const BYTES_PER_TURN: usize = ADDED_UP_PER_LOCK * 1024;
/// Nodes whose children are looked at, in all shards together: so many anyway, so many more for each prefix shown.
const NODES: usize = 32_768;
const NODES_PER_PREFIX: usize = 16;
/// Pages whose records are looked at.
const PAGES: usize = 256;
const PAGES_PER_PREFIX: usize = 4;
/// As many of either in one shard at most, whatever the client wants shown: its lock is held meanwhile.
const NODES_OF_SHARD_MAX: usize = 16_384;
const PAGES_OF_SHARD_MAX: usize = 256;

/// What a client wants to know.
struct Question<'a> {
    cut: Cut<'a>,
    measure: Measure,
    count: usize,
}

impl<'a> Question<'a> {
    fn parse(call: &Call<'a, '_>) -> Result<Self, ErrorReply> {
        let mut question = Question {
            cut: Cut { prefix: call.arg(2), separator: b":", depth: 1 },
            measure: Measure::Keys,
            count: COUNT_DEFAULT,
        };
        for index in (3..call.args.len()).step_by(2) {
            if index + 1 == call.args.len() {
                return Err(ErrorReply::SYNTAX);
            }
            let positive = || {
                const ERROR: ErrorReply = ErrorReply::fixed("ERR value is out of range, must be positive");
                usize::try_from(call.integer(index + 1)?).ok().filter(|value| *value > 0).ok_or(ERROR)
            };
            if call.is_word(index, "DEPTH") {
                question.cut.depth = positive()?;
            } else if call.is_word(index, "COUNT") {
                question.count = positive()?;
            } else if call.is_word(index, "SEPARATOR") {
                question.cut.separator = call.arg(index + 1);
            } else if call.is_word(index, "BY") && call.is_word(index + 1, "KEYS") {
                question.measure = Measure::Keys;
            } else if call.is_word(index, "BY") && call.is_word(index + 1, "BYTES") {
                question.measure = Measure::Bytes;
            } else {
                return Err(ErrorReply::SYNTAX);
            }
        }
        if question.cut.separator.is_empty() {
            return Err(ErrorReply::fixed("ERR separator must not be empty"));
        }
        Ok(question)
    }

    /// What a census of one of so many shards may cost.
    fn effort(&self, shards: usize) -> Effort {
        let shown = self.count.min(NODES_OF_SHARD_MAX);
        Effort {
            nodes: ((NODES + NODES_PER_PREFIX * shown) / shards).min(NODES_OF_SHARD_MAX),
            pages: ((PAGES + PAGES_PER_PREFIX * shown) / shards).min(PAGES_OF_SHARD_MAX),
        }
    }
}

/// `PREFIX STATS prefix [DEPTH depth] [SEPARATOR separator] [COUNT count] [BY KEYS|BYTES]`: keys whose time is over are
/// counted until they are removed.
pub fn prefix_stats(call: &mut Call) -> CommandResult {
    let question = Question::parse(call)?;
    let effort = question.effort(call.state.keyspace.shard_count());
    let mut answer = Answer::default();
    for shard in call.state.keyspace.all_shards().iter() {
        let groups =
            visit(call, shard, question.cut.prefix, |tree| tree.census(&question.cut, question.measure, effort));
        answer.shards.push(groups);
    }
    answer.merge();
    for row in answer.heaviest(&question, question.count.saturating_mul(2)) {
        for shard in answer.lacking(&question.cut, &row) {
            let totals = visit(call, shard, &row, |tree| tree.totals(&row));
            answer.move_to(&question.cut, &row, shard, &totals);
        }
    }
    let shown = answer.heaviest(&question, question.count);
    answer.write(&shown, call.reply)
}

/// Has `look` look at a shard's keys with a prefix. What has changed is added up before, under as many holds of the lock as that
/// takes.
fn visit<R>(call: &mut Call, shard: usize, prefix: &[u8], look: impl FnOnce(&mut Database) -> R) -> R {
    let database = call.keys.database();
    let mut look = Some(look);
    // Whoever changes keys faster than they are added up must not keep this from its end.
    let mut turns_left = call.keys.hold(ShardSet::single(shard), |keys| {
        TURNS_MIN + keys.locked().shard(shard).databases[database].memory().page_bytes / BYTES_PER_TURN
    });
    loop {
        let result = call.keys.hold(ShardSet::single(shard), |keys| {
            let tree = &mut keys.locked().shard(shard).databases[database];
            let is_ready = tree.add_up(prefix, ADDED_UP_PER_LOCK) || turns_left == 0;
            if is_ready { look.take().map(|look| look(tree)) } else { None }
        });
        match result {
            Some(result) => return result,
            None => turns_left = turns_left.saturating_sub(1),
        }
    }
}

/// What is known so far.
#[derive(Default)]
struct Answer {
    /// What each shard has said.
    shards: Vec<Groups>,
    /// The sum of that.
    groups: Groups,
}

impl Answer {
    fn merge(&mut self) {
        for (name, group) in self.shards.iter().flatten() {
            let sum = self.groups.entry(name.clone()).or_default();
            sum.totals.add(&group.totals);
            sum.undivided.add(&group.undivided);
        }
    }

    /// The names of the heaviest groups.
    fn heaviest(&self, question: &Question<'_>, count: usize) -> Vec<Box<[u8]>> {
        let weight = |group: &Group| question.measure.of(group.totals.all());
        let rows = self.groups.iter().filter(|(_, group)| group.totals.all().keys > 0);
        let mut rows: Vec<_> = rows.map(|(name, group)| (&**name, group)).collect();
        let order =
            |(a, x): &(&[u8], &Group), (b, y): &(&[u8], &Group)| weight(y).cmp(&weight(x)).then_with(|| a.cmp(b));
        if count < rows.len() {
            rows.select_nth_unstable_by(count, order);
            rows.truncate(count);
        }
        rows.sort_unstable_by(order);
        rows.into_iter().map(|(name, _)| name.into()).collect()
    }

    /// The shards that may have keys of a group that they have not told apart.
    fn lacking(&self, cut: &Cut<'_>, name: &[u8]) -> Vec<usize> {
        if !cut.group(name).1 {
            return Vec::new();
        }
        let lacks = |groups: &Groups| {
            !groups.contains_key(name)
                && shorter(cut, name).any(|name| groups.get(name).is_some_and(|group| group.undivided.all().keys > 0))
        };
        (0..self.shards.len()).filter(|shard| lacks(&self.shards[*shard])).collect()
    }

    /// Says what a shard has of a group: that was counted to one with a shorter name.
    fn move_to(&mut self, cut: &Cut<'_>, name: &[u8], shard: usize, totals: &Totals) {
        for shorter in shorter(cut, name) {
            let reduced = |group: &Group| {
                let undivided = group.undivided.checked_sub(totals)?;
                Some(Group { totals: group.totals.checked_sub(totals)?, undivided })
            };
            let found = self.shards[shard].get(shorter).and_then(reduced);
            let sum = self.groups.get(shorter).and_then(reduced);
            if let (Some(found), Some(sum)) = (found, sum) {
                self.shards[shard].insert(shorter.into(), found);
                self.groups.insert(shorter.into(), sum);
                self.groups.entry(name.into()).or_default().totals.add(totals);
                return;
            }
        }
    }

    fn write(&self, shown: &[Box<[u8]>], reply: &mut Reply) -> CommandResult {
        let rows: Vec<_> = shown.iter().map(|name| (name, self.groups[name])).collect();
        let sum = |groups: &mut dyn Iterator<Item = &Group>| {
            groups.fold(Totals::default(), |mut sum, group| {
                sum.add(&group.totals);
                sum
            })
        };
        let all = sum(&mut self.groups.values());
        // Those that are shown are some of all.
        let others = all.checked_sub(&sum(&mut rows.iter().map(|(_, group)| group))).unwrap_or_default();
        reply.map(FIGURES + 2)?;
        write_totals(reply, &all)?;
        reply.bulk(b"prefixes")?;
        reply.array(rows.len())?;
        for (name, group) in rows {
            reply.map(FIGURES + 2)?;
            reply.bulk(b"prefix")?;
            reply.bulk(name)?;
            write_totals(reply, &group.totals)?;
            reply.bulk(b"undivided-keys")?;
            write_number(reply, group.undivided.all().keys)?;
        }
        reply.bulk(b"others")?;
        reply.map(FIGURES)?;
        write_totals(reply, &others)
    }
}

/// The names of the groups to which keys of a group were counted if they were not told apart, the longest first.
fn shorter<'n>(cut: &Cut<'_>, name: &'n [u8]) -> impl Iterator<Item = &'n [u8]> {
    let (cut, prefix) = (*cut, &name[..cut.prefix.len()]);
    let depths = (1..cut.depth).rev().filter_map(move |depth| {
        let (shorter, _) = Cut { depth, ..cut }.group(name);
        (shorter.len() < name.len()).then_some(shorter)
    });
    depths.chain(std::iter::once(prefix))
}

/// Pairs that [`write_totals`] writes.
const FIGURES: usize = 5;

fn write_totals(reply: &mut Reply, totals: &Totals) -> CommandResult {
    let mut pair = |name: &str, value: u64| {
        reply.bulk(name.as_bytes())?;
        write_number(reply, value)
    };
    let Figures { keys, bytes } = totals.all();
    pair("keys", keys)?;
    pair("bytes", bytes)?;
    pair("expiring-keys", totals.volatile.keys)?;
    pair("expiring-bytes", totals.volatile.bytes)?;
    reply.bulk(b"types")?;
    let types = || ByType::TYPES.iter().zip(&totals.classes).filter(|(_, figures)| figures.keys > 0);
    reply.map(types().count())?;
    for (value, figures) in types() {
        reply.bulk(value.name().as_bytes())?;
        reply.map(2)?;
        for (name, value) in [("keys", figures.keys), ("bytes", figures.bytes)] {
            reply.bulk(name.as_bytes())?;
            write_number(reply, value)?;
        }
    }
    Ok(())
}

fn write_number(reply: &mut Reply, value: u64) -> CommandResult {
    reply.integer(i64::try_from(value).unwrap_or(i64::MAX))
}
