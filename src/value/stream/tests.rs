//! Streams against a plain map of entries, with groups that are plain maps too, under limits that make blocks of all sizes.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::convert::Infallible;

type FieldList = Vec<(Vec<u8>, Vec<u8>)>;

/// What a group is expected to be.
#[derive(Debug, Clone, Default)]
struct ModelGroup {
    last_id: StreamId,
    /// Whose each entry is, and how often it was delivered.
    pending: BTreeMap<StreamId, (Vec<u8>, u64)>,
    consumers: BTreeSet<Vec<u8>>,
}

#[derive(Debug, Clone, Default)]
struct Model {
    entries: BTreeMap<StreamId, FieldList>,
    last_id: StreamId,
    max_deleted_id: StreamId,
    added: u64,
    groups: BTreeMap<Vec<u8>, ModelGroup>,
}

#[derive(Debug, Clone)]
enum Step {
    Append(u64, u64, FieldList),
    Fill(u16, FieldList),
    Delete(usize, References),
    DeleteMany(usize, usize),
    Trim(u64, bool, bool, u64, References),
    AddGroup(u8, usize),
    RemoveGroup(u8),
    Read(u8, u8, usize),
    Acknowledge(u8, usize),
    Assign(u8, u8, usize),
    RemoveConsumer(u8, u8),
}

fn fields() -> impl Strategy<Value = FieldList> {
    let value = prop_oneof![
        4 => (0u8..20).prop_map(|value| value.to_string().into_bytes()),
        2 => any::<i64>().prop_map(|value| value.to_string().into_bytes()),
        3 => (0usize..200, b'a'..b'd').prop_map(|(len, byte)| vec![byte; len]),
        1 => (0usize..6000, b'a'..b'd').prop_map(|(len, byte)| vec![byte; len]),
    ];
    let name = prop_oneof![
        4 => Just(vec![b"one".to_vec(), b"2".to_vec()]),
        1 => prop::collection::vec(prop_oneof![Just(b"one".to_vec()), Just(b"02".to_vec()), Just(Vec::new())], 1..4),
    ];
    (name, prop::collection::vec(value, 4)).prop_map(|(names, values)| names.into_iter().zip(values).collect())
}

fn references() -> impl Strategy<Value = References> {
    prop_oneof![Just(References::Keep), Just(References::Delete), Just(References::Acknowledged)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u64..3, 0u64..300, fields()).prop_map(|(ms, seq, fields)| Step::Append(ms, seq, fields)),
        3 => (0u16..300, fields()).prop_map(|(count, fields)| Step::Fill(count, fields)),
        4 => (0usize..600, references()).prop_map(|(index, references)| Step::Delete(index, references)),
        2 => (0usize..600, 0usize..200).prop_map(|(from, count)| Step::DeleteMany(from, count)),
        3 => (0u64..600, any::<bool>(), any::<bool>(), prop_oneof![Just(u64::MAX), 0u64..300], references())
            .prop_map(|(at, by_id, approximately, max, references)| Step::Trim(at, by_id, approximately, max, references)),
        2 => (0u8..3, 0usize..400).prop_map(|(group, at)| Step::AddGroup(group, at)),
        1 => (0u8..3).prop_map(Step::RemoveGroup),
        6 => (0u8..3, 0u8..3, 0usize..200).prop_map(|(group, consumer, count)| Step::Read(group, consumer, count)),
        5 => (0u8..3, 0usize..400).prop_map(|(group, at)| Step::Acknowledge(group, at)),
        3 => (0u8..3, 0u8..3, 0usize..600).prop_map(|(group, consumer, at)| Step::Assign(group, consumer, at)),
        1 => (0u8..3, 0u8..3).prop_map(|(group, consumer)| Step::RemoveConsumer(group, consumer)),
    ]
}

fn limits() -> impl Strategy<Value = StreamLimits> {
    prop_oneof![
        Just(StreamLimits::default()),
        (1u64..10).prop_map(|entries| StreamLimits::new(0, entries)),
        (1usize..300).prop_map(|bytes| StreamLimits::new(bytes, 0)),
        Just(StreamLimits::new(0, 0)),
    ]
}

fn pairs(fields: &FieldList) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
}

fn read(entry: &Entry<'_>) -> (StreamId, FieldList) {
    assert_eq!(entry.fields().len(), entry.fields().count());
    (entry.id, entry.fields().map(|(name, value)| (name.to_vec(), value.to_vec())).collect())
}

impl Model {
    fn nth(&self, index: usize) -> StreamId {
        self.entries.keys().nth(index).copied().unwrap_or(StreamId::new(self.last_id.ms + 1, index as u64))
    }

    fn release(&mut self, id: StreamId, references: References) -> bool {
        match references {
            References::Keep => true,
            References::Delete => {
                self.groups.values_mut().for_each(|group| drop(group.pending.remove(&id)));
                true
            }
            References::Acknowledged => {
                !self.groups.values().any(|group| group.last_id < id || group.pending.contains_key(&id))
            }
        }
    }

    fn append(&mut self, stream: &mut Stream, id: StreamId, fields: &FieldList, limits: &StreamLimits) {
        assert_eq!(stream.append(id, pairs(fields), limits), Ok(()));
        self.entries.insert(id, fields.clone());
        self.last_id = id;
        self.added += 1;
    }

    fn delete(&mut self, stream: &mut Stream, id: StreamId, references: References) {
        let expected = match self.release(id, references) {
            false => Deletion::Needed,
            true if self.entries.contains_key(&id) => Deletion::Deleted,
            true => Deletion::Missing,
        };
        assert_eq!(stream.delete(id, references), expected);
        if expected == Deletion::Deleted {
            self.entries.remove(&id);
            self.max_deleted_id = self.max_deleted_id.max(id);
        }
    }

    fn trim(&mut self, stream: &mut Stream, trim: &Trim) {
        let removed = stream.trim(trim);
        assert!(removed <= trim.entries_max);
        if trim.approximately || trim.entries_max < u64::MAX {
            // How much goes depends on blocks: what went must have been allowed to go.
            let left: BTreeSet<StreamId> = stream.range(StreamId::MIN, StreamId::MAX).map(|entry| entry.id).collect();
            let gone: Vec<StreamId> = self.entries.keys().copied().filter(|id| !left.contains(id)).collect();
            assert_eq!(removed, gone.len() as u64);
            match trim.kept {
                Kept::Newest(count) => assert!(removed == 0 || left.len() as u64 >= count),
                Kept::From(id) => assert!(gone.iter().all(|gone| *gone < id)),
            }
            for id in gone {
                assert!(self.release(id, trim.references));
                self.entries.remove(&id);
            }
            return;
        }
        let before = self.entries.len();
        for id in self.entries.keys().copied().collect::<Vec<_>>() {
            let is_over = match trim.kept {
                Kept::Newest(count) => self.entries.len() as u64 <= count,
                Kept::From(first) => id >= first,
            };
            if is_over {
                break;
            }
            if self.release(id, trim.references) {
                self.entries.remove(&id);
            }
        }
        assert_eq!(removed, (before - self.entries.len()) as u64);
    }

    fn read_group(&mut self, stream: &mut Stream, name: &[u8], consumer: &[u8], count: usize) {
        let Some(group) = self.groups.get_mut(name) else { return assert!(stream.group(name).is_none()) };
        let number = consumer_of(stream, name, consumer);
        let expected: Vec<_> = self
            .entries
            .range(group.last_id.next().unwrap()..)
            .take(count)
            .map(|(id, fields)| (*id, fields.clone()))
            .collect();
        let mut seen = Vec::new();
        let result = stream.read_group(name, count, Some(number), 5, |entry| -> Result<(), Infallible> {
            seen.push(read(entry));
            Ok(())
        });
        assert_eq!((result, &seen), (Ok(expected.len()), &expected));
        group.consumers.insert(consumer.to_vec());
        for (id, _) in expected {
            group.last_id = id;
            group.pending.insert(id, (consumer.to_vec(), 1));
        }
    }
}

fn consumer_of(stream: &mut Stream, group: &[u8], consumer: &[u8]) -> ConsumerNumber {
    let group = stream.group_mut(group).unwrap();
    group.find_consumer(consumer).unwrap_or_else(|| group.add_consumer(consumer, 1))
}

fn apply(stream: &mut Stream, model: &mut Model, step: &Step, limits: &StreamLimits) {
    let name = |number: u8| vec![b'g', b'0' + number];
    let consumer_name = |number: u8| vec![b'c', b'0' + number];
    match step {
        Step::Append(ms, seq, fields) => {
            let last = model.last_id;
            let id = if *ms == 0 {
                StreamId::new(last.ms, last.seq + seq)
            } else {
                StreamId::new(last.ms + ms * 1000, *seq)
            };
            if id > last {
                model.append(stream, id, fields, limits);
            } else {
                assert_eq!(stream.append(id, pairs(fields), limits), Err(AppendError::IdTooLow));
            }
        }
        Step::Fill(count, fields) => {
            for _ in 0..*count {
                let id = stream.next_id(model.last_id.ms).unwrap();
                model.append(stream, id, fields, limits);
            }
        }
        Step::Delete(index, references) => model.delete(stream, model.nth(*index), *references),
        Step::DeleteMany(from, count) => {
            for id in model.entries.keys().copied().skip(*from).take(*count).collect::<Vec<_>>() {
                model.delete(stream, id, References::Keep);
            }
        }
        Step::Trim(at, by_id, approximately, entries_max, references) => {
            let kept = if *by_id { Kept::From(model.nth(*at as usize)) } else { Kept::Newest(*at) };
            let trim = Trim { kept, approximately: *approximately, entries_max: *entries_max, references: *references };
            model.trim(stream, &trim);
        }
        Step::AddGroup(group, at) => {
            let last_id = model.nth(*at);
            let is_new = stream.add_group(&name(*group), Group::new(last_id, None));
            assert_eq!(is_new, !model.groups.contains_key(&name(*group)));
            model.groups.entry(name(*group)).or_insert(ModelGroup { last_id, ..ModelGroup::default() });
        }
        Step::RemoveGroup(group) => {
            let removed = stream.remove_group(&name(*group)).is_some();
            assert_eq!(removed, model.groups.remove(&name(*group)).is_some());
        }
        Step::Read(group, consumer, count) => {
            model.read_group(stream, &name(*group), &consumer_name(*consumer), *count);
        }
        Step::Acknowledge(group, at) => {
            let id = model.nth(*at);
            let Some(expected) = model.groups.get_mut(&name(*group)) else { return };
            let done = stream.group_mut(&name(*group)).unwrap().acknowledge(id);
            assert_eq!(done, expected.pending.remove(&id).is_some());
        }
        Step::Assign(group, consumer, at) => {
            let id = model.nth(*at);
            let Some(expected) = model.groups.get_mut(&name(*group)) else { return };
            let consumer = consumer_name(*consumer);
            let number = consumer_of(stream, &name(*group), &consumer);
            let pending = Pending { id, consumer: number, delivered_ms: 9, deliveries: 7 };
            stream.group_mut(&name(*group)).unwrap().assign(pending);
            expected.consumers.insert(consumer.clone());
            expected.pending.insert(id, (consumer, 7));
        }
        Step::RemoveConsumer(group, consumer) => {
            let Some(expected) = model.groups.get_mut(&name(*group)) else { return };
            let consumer = consumer_name(*consumer);
            let removed = stream.group_mut(&name(*group)).unwrap().remove_consumer(&consumer);
            let before = expected.pending.len();
            expected.pending.retain(|_, (owner, _)| *owner != consumer);
            let known = expected.consumers.remove(&consumer);
            assert_eq!(removed, known.then_some(before - expected.pending.len()));
        }
    }
}

fn check(stream: &Stream, model: &Model, probes: &[usize]) {
    assert_eq!(stream.len(), model.entries.len() as u64);
    assert_eq!(stream.first_id(), model.entries.keys().next().copied().unwrap_or(StreamId::MIN));
    assert_eq!((stream.last_id(), stream.max_deleted_id()), (model.last_id, model.max_deleted_id));
    assert_eq!(stream.entries_added(), model.added);
    let all: Vec<_> = stream.range(StreamId::MIN, StreamId::MAX).map(|entry| read(&entry)).collect();
    assert!(all.iter().map(|(id, fields)| (id, fields)).eq(&model.entries));
    let mut reversed: Vec<_> = stream.range_rev(StreamId::MAX, StreamId::MIN).map(|entry| read(&entry)).collect();
    reversed.reverse();
    assert_eq!(reversed, all);
    for pair in probes.windows(2) {
        let (start, end) = (model.nth(pair[0]), model.nth(pair[1]));
        let between: Vec<StreamId> =
            if start <= end { model.entries.range(start..=end).map(|(id, _)| *id).collect() } else { Vec::new() };
        assert!(stream.range(start, end).map(|entry| entry.id).eq(between.iter().copied()));
        assert!(stream.range_rev(end, start).map(|entry| entry.id).eq(between.iter().rev().copied()));
        assert_eq!(stream.get(start).map(|entry| entry.id), model.entries.get_key_value(&start).map(|(id, _)| *id));
    }
    assert!(stream.groups().map(|(name, _)| name).eq(model.groups.keys()));
    for (name, expected) in &model.groups {
        let group = stream.group(name).unwrap();
        assert_eq!((group.last_id, group.pending_len()), (expected.last_id, expected.pending.len()));
        let pending = group
            .pending_from(StreamId::MIN)
            .map(|pending| (pending.id, (group.consumer(pending.consumer).name().to_vec(), pending.deliveries)));
        assert!(pending.eq(expected.pending.clone()));
        assert!(group.consumers().map(Consumer::name).eq(expected.consumers.iter().map(Vec::as_slice)));
        for consumer in group.consumers() {
            let own = expected.pending.iter().filter(|(_, (owner, _))| owner == consumer.name()).map(|(id, _)| *id);
            assert_eq!(consumer.pending_len(), own.clone().count());
            assert!(consumer.pending_from(StreamId::MIN).eq(own));
        }
    }
    let mut blocks = 0;
    stream.for_each_listpack(|first, listpack| {
        let len = u32::from_le_bytes(*listpack.first_chunk().unwrap());
        assert_eq!((len as usize, listpack.last()), (listpack.len(), Some(&0xFF)));
        assert!(blocks > 0 || first <= stream.first_id());
        blocks += 1;
    });
    assert_eq!((blocks, blocks == 0), (stream.block_count(), stream.is_empty()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn streams_are_maps_of_entries(
        limits in limits(),
        steps in prop::collection::vec(step(), 1..50),
        probes in prop::collection::vec(0usize..700, 6),
    ) {
        let (mut stream, mut model) = (Stream::new(), Model::default());
        let mut copies = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            apply(&mut stream, &mut model, step, &limits);
            check(&stream, &model, &probes);
            if number % 8 == 0 {
                copies.push((stream.clone(), model.clone()));
            }
        }
        for (copy, model) in &copies {
            check(copy, model, &probes);
        }
    }
}

fn stream_of(entries: &[(StreamId, &[(&str, &str)])], limits: &StreamLimits) -> Stream {
    let mut stream = Stream::new();
    for (id, fields) in entries {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        stream.append(*id, fields, limits).unwrap();
    }
    stream
}

fn id(ms: u64, seq: u64) -> StreamId {
    StreamId::new(ms, seq)
}

#[test]
fn blocks_are_listpacks_as_redis_has_them() {
    // As `DUMP` of Redis 8.2 shows it, after the same commands.
    let mut stream = stream_of(
        &[
            (id(5, 5), &[("f", "1"), ("f2", "hello")]),
            (id(6, 7), &[("f", "-1000"), ("f2", "x")]),
            (id(6, 8), &[("zz", "1")]),
        ],
        &StreamLimits::default(),
    );
    stream.delete(id(6, 7), References::Keep);
    let expected = b"\x02\x01\x01\x01\x02\x01\x81f\x02\x82f2\x03\x00\x01\
        \x02\x01\x00\x01\x00\x01\x01\x01\x85hello\x06\x05\x01\
        \x03\x01\x01\x01\x02\x01\xdc\x18\x02\x81x\x02\x05\x01\
        \x00\x01\x01\x01\x03\x01\x01\x01\x82zz\x03\x01\x01\x06\x01\xff";
    let mut blocks = Vec::new();
    stream.for_each_listpack(|first, listpack| blocks.push((first, listpack.to_vec())));
    let elements = 6 + 6 + 6 + 7;
    let head = [&(6 + expected.len() as u32).to_le_bytes()[..], &[elements, 0]].concat();
    assert_eq!(blocks, [(id(5, 5), [&head[..], expected].concat())]);
}

#[test]
fn ids_follow_one_another() {
    let mut stream = stream_of(&[(id(5, u64::MAX), &[("f", "v")])], &StreamLimits::default());
    assert_eq!(
        [stream.next_id(4), stream.next_id(5), stream.next_id(9)],
        [Some(id(6, 0)), Some(id(6, 0)), Some(id(9, 0))]
    );
    assert_eq!([stream.next_id_in(4), stream.next_id_in(5), stream.next_id_in(6)], [None, None, Some(id(6, 0))]);
    stream.set_last_id(StreamId::MAX, Some(7), None);
    assert_eq!((stream.next_id(9), stream.entries_added()), (None, 7));
}

#[test]
fn ids_may_begin_anew_below_those_that_are_deleted() {
    let mut stream = stream_of(&[(id(1, 0), &[("f", "v")]), (id(5, 0), &[("f", "v")])], &StreamLimits::default());
    stream.delete(id(5, 0), References::Keep);
    stream.set_last_id(id(3, 0), None, Some(id(2, 0)));
    stream.append(id(4, 0), [(b"f".as_slice(), b"v".as_slice())].into_iter(), &StreamLimits::default()).unwrap();
    assert!(stream.range(StreamId::MIN, id(4, 0)).map(|entry| entry.id.ms).eq([1, 4]));
    assert!(stream.range_rev(StreamId::MAX, id(4, 0)).map(|entry| entry.id.ms).eq([4]));
    assert_eq!(stream.delete(id(4, 0), References::Keep), Deletion::Deleted);
}

#[test]
fn deleted_entries_are_freed_and_blocks_trimmed() {
    let mut stream = Stream::new();
    for number in 1..=300 {
        stream
            .append(id(number, 0), [(b"field".as_slice(), [b'x'; 30].as_slice())].into_iter(), &StreamLimits::default())
            .unwrap();
    }
    let (blocks, before) = (stream.block_count(), stream.memory(usize::MAX));
    assert_eq!(blocks, 3);
    for number in (1..=200).filter(|number| number % 4 != 0) {
        stream.delete(id(number, 0), References::Keep);
    }
    assert_eq!((stream.block_count(), stream.len()), (blocks, 150));
    assert!(stream.memory(usize::MAX) < before * 3 / 4, "{} of {before}", stream.memory(usize::MAX));
    let exactly =
        Trim { kept: Kept::Newest(10), approximately: false, entries_max: u64::MAX, references: References::Keep };
    assert_eq!(stream.trim(&Trim { approximately: true, ..exactly }), 50);
    assert_eq!((stream.trim(&exactly), stream.len(), stream.block_count()), (90, 10, 1));
    assert!(stream.free_effort() > 1);
}

#[test]
fn a_group_that_cannot_answer_reads_nothing() {
    let mut stream = stream_of(&[(id(1, 0), &[("f", "v")]), (id(2, 0), &[("f", "v")])], &StreamLimits::default());
    stream.add_group(b"g", Group::new(StreamId::MIN, Some(0)));
    let consumer = stream.group_mut(b"g").unwrap().add_consumer(b"c", 1);
    let result =
        stream.read_group(b"g", 10, Some(consumer), 2, |entry| if entry.id.ms == 1 { Ok(()) } else { Err(()) });
    let group = stream.group(b"g").unwrap();
    assert_eq!((result, group.last_id, group.pending_len()), (Err(()), StreamId::MIN, 0));
}

#[test]
fn a_group_knows_how_much_it_has_read_while_nothing_is_missing() {
    let entries: Vec<_> = (1..=5).map(|ms| (id(ms, 0), [("f", "v")].as_slice())).collect();
    let mut stream = stream_of(&entries, &StreamLimits::default());
    stream.add_group(b"g", Group::new(StreamId::MIN, None));
    let take = |stream: &mut Stream, count| {
        stream.read_group(b"g", count, None, 1, |_| Ok::<(), Infallible>(())).unwrap();
        let group = stream.group(b"g").unwrap();
        (group.entries_read, stream.lag(group))
    };
    assert_eq!(stream.lag(stream.group(b"g").unwrap()), Some(5));
    assert_eq!(take(&mut stream, 1), (Some(1), Some(4)));
    assert_eq!(take(&mut stream, 1), (Some(2), Some(3)));
    stream.delete(id(4, 0), References::Keep);
    assert_eq!(take(&mut stream, 1), (None, None));
    assert_eq!(take(&mut stream, 1), (Some(5), Some(0)));
}
