//! How much waits in queues: lists, streams and sorted sets whose keys match the patterns of `metrics-queues`.
//!
//! The keys are looked for anew at each scrape, below what their pattern begins with, a few at a time under each hold of a lock.

use super::exposition::{Exposition, Family, Label, printable};
use super::{Unheld, may};
use crate::acl::Account;
use crate::glob;
use crate::state::unix_time_ms;
use crate::store::Database;
use crate::tree::View;
use crate::value::{Type, Value, ValueRef};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Queues that are told of, and consumer groups of all of them.
const QUEUES_MAX: usize = 1000;
const GROUPS_MAX: usize = 1000;
/// Longer names of keys and groups are not told.
const NAME_BYTES_MAX: usize = 1024;
/// Records that are looked at for all patterns together, and under one hold of a lock.
const LOOKS_MAX: usize = 200_000;
const LOOKS_PER_LOCK: usize = 500;

/// A key, with the number of its database in front.
type Place = (usize, Box<[u8]>);

struct Queue {
    kind: Type,
    len: u64,
    groups: Vec<Group>,
    /// All groups, those that are not told as well; `None` if the user may not know.
    group_count: Option<usize>,
    /// Groups with names that are too long.
    long_groups: usize,
}

/// A consumer group of a stream.
struct Group {
    name: Box<[u8]>,
    consumers: usize,
    pending: usize,
    /// Entries that it has yet to read, if that can be told.
    lag: Option<i64>,
}

/// One of a group's figures.
type Read = fn(&Group) -> Option<i64>;

/// What is not told, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LeftOut {
    /// There are too many.
    number: u64,
    /// The name is too long.
    name: u64,
    /// The user may not read the key, or that of a stream's groups.
    permission: u64,
}

impl LeftOut {
    fn add(&mut self, other: LeftOut) {
        self.number += other.number;
        self.name += other.name;
        self.permission += other.permission;
    }
}

/// What one hold of a shard's lock has found.
#[derive(Default)]
struct Step {
    queues: Vec<(Box<[u8]>, Queue)>,
    left_out: LeftOut,
    /// Where the next begins; 0 if this was the last.
    cursor: u64,
    looks: usize,
}

/// What is known so far.
struct Search<'a> {
    account: &'a Account,
    now_ms: i64,
    found: BTreeMap<Place, Queue>,
    groups: usize,
    left_out: LeftOut,
    /// Records that may still be looked at.
    looks: usize,
    /// Not all keys were looked at.
    is_incomplete: bool,
}

pub fn write(shards: &mut Unheld<'_>, account: &Account, out: &mut Exposition) {
    let patterns = shards.state.settings.queues();
    if patterns.is_empty() {
        return;
    }
    let mut search = Search {
        account,
        now_ms: unix_time_ms(),
        found: BTreeMap::new(),
        groups: 0,
        left_out: LeftOut::default(),
        looks: LOOKS_MAX,
        is_incomplete: false,
    };
    for (database, pattern) in &patterns {
        if *database < shards.state.keyspace.databases() {
            search.look_for(shards, *database, pattern);
        }
    }
    search.write(out);
}

impl Search<'_> {
    /// Looks for the keys that match a pattern.
    fn look_for(&mut self, shards: &mut Unheld<'_>, database: usize, pattern: &[u8]) {
        let state = shards.state;
        let keyspace = &state.keyspace;
        let prefix = glob::literal_prefix(pattern);
        if prefix.len() == pattern.len() {
            let key = keyspace.key(pattern);
            let queue = shards.hold(keyspace.shard_of(key), |shard| {
                let tree = &shard.databases[database];
                tree.find(key).and_then(|position| self.queue(&tree.view(position), GROUPS_MAX - self.groups))
            });
            self.looks = self.looks.saturating_sub(1);
            if let Some(queue) = queue.flatten() {
                self.add((database, pattern.into()), queue);
            }
            return;
        }
        for number in keyspace.all_shards().iter() {
            let mut cursor = 0;
            loop {
                if self.looks == 0 {
                    self.is_incomplete = true;
                    return;
                }
                let held = shards.hold(number, |shard| self.look_at(&shard.databases[database], pattern, cursor));
                let Some(step) = held else { return };
                step.queues.into_iter().for_each(|(key, queue)| self.add((database, key), queue));
                self.left_out.add(step.left_out);
                self.looks = self.looks.saturating_sub(step.looks);
                if step.cursor == 0 {
                    break;
                }
                cursor = step.cursor;
            }
        }
    }

    /// One step through a tree. No more is copied than can be told.
    fn look_at(&self, tree: &Database, pattern: &[u8], cursor: u64) -> Step {
        let mut step = Step { looks: 1, ..Step::default() };
        let mut groups_left = GROUPS_MAX - self.groups;
        step.cursor = tree.scan(cursor, LOOKS_PER_LOCK, glob::literal_prefix(pattern), |entry| {
            step.looks += 1;
            if glob::matches(pattern, entry.key, false)
                && let Some(queue) = self.queue(&entry.record, groups_left)
            {
                if entry.key.len() > NAME_BYTES_MAX {
                    step.left_out.name += 1;
                } else if self.found.len() + step.queues.len() == QUEUES_MAX {
                    step.left_out.number += 1;
                } else {
                    groups_left -= queue.groups.len();
                    step.queues.push((entry.key.into(), queue));
                }
            }
        });
        if step.cursor != 0 {
            step.looks = step.looks.max(LOOKS_PER_LOCK);
        }
        step
    }

    /// What a record is as a queue, if it is one.
    fn queue(&self, record: &View<'_, Value>, groups_max: usize) -> Option<Queue> {
        if record.deadline.is_some_and(|deadline| deadline < self.now_ms) {
            return None;
        }
        let value = ValueRef::from(record.payload);
        let kind = value.type_of();
        let plain =
            |len: usize| Queue { kind, len: len as u64, groups: Vec::new(), group_count: Some(0), long_groups: 0 };
        match kind {
            Type::List => value.as_list().map(|list| plain(list.len())),
            Type::SortedSet => value.as_sorted_set().map(|set| plain(set.len())),
            Type::Stream => value.as_stream().map(|stream| {
                let is_short = |name: &[u8]| name.len() <= NAME_BYTES_MAX;
                let groups = stream.groups().filter(|(name, _)| is_short(name)).take(groups_max);
                let groups = groups.map(|(name, group)| Group {
                    name: name.into(),
                    consumers: group.consumer_count(),
                    pending: group.pending_len(),
                    lag: stream.lag(group),
                });
                Queue {
                    kind,
                    len: stream.len(),
                    groups: groups.collect(),
                    group_count: Some(stream.groups().len()),
                    long_groups: stream.groups().filter(|(name, _)| !is_short(name)).count(),
                }
            }),
            Type::String | Type::Set | Type::Hash => None,
        }
    }

    /// Adds a queue to those that are told, if it may be.
    fn add(&mut self, place: Place, mut queue: Queue) {
        let key = &place.1;
        if self.found.contains_key(&place) {
            return;
        }
        let command = match queue.kind {
            Type::Stream => "xlen",
            Type::SortedSet => "zcard",
            _ => "llen",
        };
        if key.len() > NAME_BYTES_MAX {
            self.left_out.name += 1;
        } else if !may(self.account, command, &[key]) {
            self.left_out.permission += 1;
        } else if self.found.len() == QUEUES_MAX {
            self.left_out.number += 1;
        } else {
            let group_count = queue.group_count.unwrap_or(0);
            if queue.kind == Type::Stream && !may(self.account, "xinfo|groups", &[key]) {
                self.left_out.permission += group_count as u64;
                queue.groups.clear();
                queue.group_count = None;
            } else {
                self.left_out.name += queue.long_groups as u64;
                self.left_out.number += (group_count - queue.long_groups - queue.groups.len()) as u64;
                self.groups += queue.groups.len();
            }
            self.found.insert(place, queue);
        }
    }

    fn write(&self, out: &mut Exposition) {
        const LENGTH: Family = Family::gauge(
            "radish_queue_length",
            "Elements of a list, a stream or a sorted set that metrics-queues chooses",
        );
        const SIZE: Family = Family::gauge("redis_key_size", "The same, as redis_exporter has it");
        const STREAM: Family = Family::gauge("redis_stream_length", "Entries of a stream");
        const GROUPS: Family = Family::gauge("redis_stream_groups", "Consumer groups of a stream");
        let place = |place: &Place, name: &'static str| -> [Label<'static>; 2] {
            let key = Cow::Owned(printable(&place.1).into_owned());
            [("db", Cow::Owned(format!("db{}", place.0))), (name, key)]
        };
        out.rows(
            &LENGTH,
            self.found.iter().map(|(key, queue)| {
                let [db, key] = place(key, "key");
                ([db, key, ("type", Cow::Borrowed(queue.kind.name()))], queue.len)
            }),
        );
        out.rows(&SIZE, self.found.iter().map(|(key, queue)| (place(key, "key"), queue.len)));
        let streams = || self.found.iter().filter(|(_, queue)| queue.kind == Type::Stream);
        out.rows(&STREAM, streams().map(|(key, queue)| (place(key, "stream"), queue.len)));
        let counted = streams().filter_map(|(key, queue)| Some((place(key, "stream"), queue.group_count?)));
        out.rows(&GROUPS, counted);
        let groups: [(Family, Read); 3] = [
            (Family::gauge("redis_stream_group_consumers", "Consumers of a group of a stream"), |group| {
                Some(group.consumers as i64)
            }),
            (
                Family::gauge("redis_stream_group_messages_pending", "Entries given to consumers and not acknowledged"),
                |group| Some(group.pending as i64),
            ),
            (
                Family::gauge(
                    "redis_stream_group_lag",
                    "Entries that a group has yet to be given, if that can be told",
                ),
                |group| group.lag,
            ),
        ];
        for (family, read) in &groups {
            let rows = streams().flat_map(|(key, queue)| {
                queue.groups.iter().filter_map(move |group| {
                    let [db, stream] = place(key, "stream");
                    Some(([db, stream, ("group", Cow::Owned(printable(&group.name).into_owned()))], read(group)?))
                })
            });
            out.rows(family, rows);
        }
        self.write_left_out(out);
    }

    fn write_left_out(&self, out: &mut Exposition) {
        const LEFT_OUT: Family =
            Family::gauge("radish_queues_left_out", "Queues and consumer groups that are not told, and why");
        const INCOMPLETE: Family = Family::gauge(
            "radish_queues_incomplete",
            "Whether there are too many keys to look at all that a pattern may match",
        );
        let LeftOut { number, name, permission } = self.left_out;
        let reasons = [("number", number), ("name", name), ("permission", permission)];
        out.rows(&LEFT_OUT, reasons.map(|(reason, count)| ([("reason", Cow::Borrowed(reason))], count)));
        out.one(&INCOMPLETE, u8::from(self.is_incomplete));
    }
}
