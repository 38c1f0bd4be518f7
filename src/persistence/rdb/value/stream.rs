//! Streams: blocks of entries, what the stream ever had, and groups with what is pending.

use super::super::read::{Reader, Source};
use super::super::{Corrupt, forms, kind, write};
use crate::persistence::pieces::Pieces;
use crate::value::number;
use crate::value::stream::{Group, Pending, Stream, StreamId, StreamLimits};
use std::collections::BTreeMap;

/// Flags of an entry in a block.
const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

pub(super) fn write(stream: &Stream, compressed: bool, out: &mut Pieces<'_>) {
    write::length(stream.block_count() as u64, out);
    stream.for_each_listpack(|first, listpack| {
        write::string(&id_bytes(first), false, out);
        write::string(listpack, compressed, out);
        out.relieve();
    });
    write::length(stream.len(), out);
    for id in [stream.last_id(), stream.first_id(), stream.max_deleted_id()] {
        write_id(id, out);
    }
    write::length(stream.entries_added(), out);
    write::length(stream.groups().len() as u64, out);
    for (name, group) in stream.groups() {
        write::string(name, compressed, out);
        write_group(group, compressed, out);
    }
}

/// An id as it is written in numbers.
fn write_id(id: StreamId, out: &mut Vec<u8>) {
    write::length(id.ms, out);
    write::length(id.seq, out);
}

/// An id as it is written in bytes: those of higher ids are higher.
fn id_bytes(id: StreamId) -> [u8; 16] {
    (u128::from(id.ms) << 64 | u128::from(id.seq)).to_be_bytes()
}

fn id_from_bytes(bytes: [u8; 16]) -> StreamId {
    let id = u128::from_be_bytes(bytes);
    StreamId { ms: (id >> 64) as u64, seq: id as u64 }
}

fn write_group(group: &Group, compressed: bool, out: &mut Pieces<'_>) {
    write_id(group.last_id, out);
    // What is not known is -1.
    write::length(group.entries_read.unwrap_or(u64::MAX), out);
    write::length(group.pending_len() as u64, out);
    for pending in group.pending_from(StreamId::MIN) {
        out.extend_from_slice(&id_bytes(pending.id));
        out.extend_from_slice(&pending.delivered_ms.to_le_bytes());
        write::length(pending.deliveries, out);
        out.relieve();
    }
    write::length(group.consumer_count() as u64, out);
    for consumer in group.consumers() {
        write::string(consumer.name(), compressed, out);
        out.extend_from_slice(&consumer.seen_ms.to_le_bytes());
        write::length(consumer.pending_len() as u64, out);
        for id in consumer.pending_from(StreamId::MIN) {
            out.extend_from_slice(&id_bytes(id));
            out.relieve();
        }
    }
}

pub(super) fn read<S: Source>(reader: &mut Reader<S>, kind: u8, limits: &StreamLimits) -> Result<Stream, Corrupt> {
    let mut stream = Stream::new();
    let (mut first, mut block) = (Vec::new(), Vec::new());
    for _ in 0..reader.length()? {
        reader.string(&mut first)?;
        reader.string(&mut block)?;
        let Ok(first) = first.as_slice().try_into() else {
            return Err(reader.refuse("Stream node key entry is not the size of a stream ID"));
        };
        read_block(id_from_bytes(first), &block, &mut stream, limits)?;
    }
    let len = reader.length()?;
    let last_id = read_id(reader)?;
    if len != stream.len() {
        return Err(reader.refuse("Stream length inconsistent with rax entries"));
    }
    if last_id < stream.last_id() {
        return Err(Corrupt);
    }
    if kind == kind::STREAM {
        stream.set_last_id(last_id, Some(len), None);
    } else {
        // The first id follows from the entries.
        read_id(reader)?;
        let max_deleted_id = read_id(reader)?;
        stream.set_last_id(last_id, Some(reader.length()?), Some(max_deleted_id));
    }
    let mut name = Vec::new();
    for _ in 0..reader.length()? {
        reader.string(&mut name)?;
        let mut group = read_group(reader, kind)?;
        if kind == kind::STREAM {
            // Servers that counted nothing wrote it: the ids tell, if nothing was deleted behind them.
            group.entries_read = stream.entries_up_to(group.last_id);
        }
        if !stream.add_group(&name, group) {
            return Err(reader.refuse("Duplicated consumer group name"));
        }
    }
    Ok(stream)
}

fn read_id<S: Source>(reader: &mut Reader<S>) -> Result<StreamId, Corrupt> {
    Ok(StreamId { ms: reader.length()?, seq: reader.length()? })
}

/// The elements of a block, one after the other.
struct Elements {
    elements: std::vec::IntoIter<Vec<u8>>,
}

impl Elements {
    fn text(&mut self) -> Result<Vec<u8>, Corrupt> {
        self.elements.next().ok_or(Corrupt)
    }

    fn integer(&mut self) -> Result<i64, Corrupt> {
        number::parse_i64(&self.text()?).ok_or(Corrupt)
    }

    /// A number of things that follow.
    fn count(&mut self) -> Result<usize, Corrupt> {
        usize::try_from(self.integer()?).ok().filter(|count| *count <= self.elements.len()).ok_or(Corrupt)
    }
}

/// Adds the entries of a block that are not deleted. In front stands a master entry: how many entries live and how many are
/// deleted, and the names of fields, which entries may do without.
fn read_block(first: StreamId, block: &[u8], stream: &mut Stream, limits: &StreamLimits) -> Result<(), Corrupt> {
    let mut elements = Vec::new();
    forms::listpack(block, &mut |element| {
        elements.push(element.to_vec());
        Ok(())
    })?;
    let mut elements = Elements { elements: elements.into_iter() };
    let (living, deleted) = (elements.integer()?, elements.integer()?);
    let names = elements.count()?;
    let names = (0..names).map(|_| elements.text()).collect::<Result<Vec<_>, _>>()?;
    if elements.integer()? != 0 {
        return Err(Corrupt);
    }
    let (mut lived, mut gone) = (0, 0);
    while elements.elements.len() > 0 {
        let flags = elements.integer()?;
        let ms = first.ms.wrapping_add(elements.integer()? as u64);
        let seq = first.seq.wrapping_add(elements.integer()? as u64);
        let mut fields = Vec::new();
        if flags & SAME_FIELDS != 0 {
            for name in &names {
                fields.push((name.clone(), elements.text()?));
            }
        } else {
            for _ in 0..elements.count()? {
                fields.push((elements.text()?, elements.text()?));
            }
        }
        // How many elements the entry has, for reading it backwards.
        let own = if flags & SAME_FIELDS != 0 { fields.len() + 3 } else { 2 * fields.len() + 4 };
        if elements.integer()? != own as i64 {
            return Err(Corrupt);
        }
        if flags & DELETED != 0 {
            gone += 1;
            continue;
        }
        lived += 1;
        let fields = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
        stream.append(StreamId { ms, seq }, fields, limits).map_err(|_| Corrupt)?;
    }
    if (lived, gone) == (living, deleted) { Ok(()) } else { Err(Corrupt) }
}

fn read_group<S: Source>(reader: &mut Reader<S>, kind: u8) -> Result<Group, Corrupt> {
    let last_id = read_id(reader)?;
    let entries_read = match kind {
        kind::STREAM => None,
        _ => Some(reader.length()?).filter(|read| *read != u64::MAX),
    };
    let mut group = Group::new(last_id, entries_read);
    // Entries are pending in the group first, and belong to consumers after.
    let mut unowned = BTreeMap::new();
    for _ in 0..reader.length()? {
        let id = id_from_bytes(reader.bytes()?);
        let delivered_ms = i64::from_le_bytes(reader.bytes()?);
        let deliveries = reader.length()?;
        if unowned.insert(id, (delivered_ms, deliveries)).is_some() {
            return Err(reader.refuse("Duplicated global PEL entry loading stream consumer group"));
        }
    }
    let mut name = Vec::new();
    for _ in 0..reader.length()? {
        reader.string(&mut name)?;
        if group.find_consumer(&name).is_some() {
            return Err(reader.refuse("Duplicate stream consumer detected."));
        }
        let seen_ms = i64::from_le_bytes(reader.bytes()?);
        let consumer = group.add_consumer(&name, seen_ms);
        if kind == kind::STREAM_3 {
            let active_ms = i64::from_le_bytes(reader.bytes()?);
            group.consumer_mut(consumer).active_ms = Some(active_ms).filter(|ms| *ms >= 0);
        }
        for _ in 0..reader.length()? {
            let id = id_from_bytes(reader.bytes()?);
            let Some((delivered_ms, deliveries)) = unowned.remove(&id) else {
                return Err(reader.refuse(match group.pending(id) {
                    Some(_) => "Stream consumer PEL entry already has a consumer assigned",
                    None => "Consumer entry not found in group global PEL",
                }));
            };
            group.assign(Pending { id, consumer, delivered_ms, deliveries });
        }
    }
    // Each pending entry has an owner.
    if unowned.is_empty() { Ok(group) } else { Err(reader.refuse("Stream CG PEL entry without consumer")) }
}
