//! Sorted sets: members and scores.

use super::super::read::{Reader, Source};
use super::super::{Corrupt, forms, kind, write};
use super::pairs;
use crate::persistence::pieces::Pieces;
use crate::value::double;
use crate::value::packed::{Element, IntegerText};
use crate::value::zset::{SortedSet, SortedSetRef, ZsetLimits};

pub(super) fn kind_of(set: SortedSetRef<'_>) -> u8 {
    if set.packed_entries().is_some() { kind::ZSET_LISTPACK } else { kind::ZSET_2 }
}

pub(super) fn write(set: SortedSetRef<'_>, compressed: bool, out: &mut Pieces<'_>) {
    if let Some(entries) = set.packed_entries() {
        return write::listpack(entries, 2 * set.len(), compressed, out);
    }
    write::length(set.len() as u64, out);
    set.for_each_unordered(|member, score| {
        write::element(member, compressed, out);
        out.extend_from_slice(&score.to_le_bytes());
        out.relieve();
    });
}

pub(super) fn read<S: Source>(reader: &mut Reader<S>, kind: u8, limits: &ZsetLimits) -> Result<SortedSet, Corrupt> {
    let is_text = kind == kind::ZSET;
    if is_text || kind == kind::ZSET_2 {
        return read_one_by_one(reader, is_text, limits);
    }
    let (mut set, mut bytes) = (SortedSet::default(), Vec::new());
    reader.string(&mut bytes)?;
    let walk = if kind == kind::ZSET_ZIPLIST { forms::ziplist } else { forms::listpack };
    pairs(&bytes, walk, |member, score| {
        let score = match score {
            Element::Integer(value) => value as f64,
            Element::Bytes(text) => double::parse(text).ok_or(Corrupt)?,
        };
        add(&mut set, member.as_bytes(&mut IntegerText::default()), score, limits)
    })?;
    Ok(set)
}

fn read_one_by_one<S: Source>(
    reader: &mut Reader<S>,
    is_text: bool,
    limits: &ZsetLimits,
) -> Result<SortedSet, Corrupt> {
    let count = reader.length()?;
    let mut set = SortedSet::for_members(usize::try_from(count).unwrap_or(usize::MAX), 0, limits);
    // A packed set has 0 for -0, which does not count if it is packed only for now.
    let mut negative_zeros = Vec::new();
    let mut member = Vec::new();
    for _ in 0..count {
        reader.string(&mut member)?;
        let score = if is_text { text_score(reader)? } else { f64::from_le_bytes(reader.bytes()?) };
        add(&mut set, &member, score, limits)?;
        if score == 0.0 && score.is_sign_negative() && set.view().packed_entries().is_some() {
            negative_zeros.push(member.clone());
        }
    }
    if set.view().packed_entries().is_none() {
        for member in negative_zeros {
            set.remove(&member);
            add(&mut set, &member, -0.0, limits)?;
        }
    }
    Ok(set)
}

/// Adds a member, which must not be there yet.
fn add(set: &mut SortedSet, member: &[u8], score: f64, limits: &ZsetLimits) -> Result<(), Corrupt> {
    let mut is_new = !score.is_nan();
    set.update(member, limits, |before| {
        is_new &= before.is_none();
        is_new.then_some(score)
    });
    if is_new { Ok(()) } else { Err(Corrupt) }
}

/// A score as Redis wrote it before version 4: a length and so many digits, or a length that stands for something else.
fn text_score<S: Source>(reader: &mut Reader<S>) -> Result<f64, Corrupt> {
    match reader.byte()? {
        253 => Ok(f64::NAN),
        254 => Ok(f64::INFINITY),
        255 => Ok(f64::NEG_INFINITY),
        len => {
            let mut text = [0; 252];
            let text = text.get_mut(..usize::from(len)).ok_or(Corrupt)?;
            text.iter_mut().try_for_each(|byte| reader.byte().map(|read| *byte = read))?;
            double::parse(text).ok_or(Corrupt)
        }
    }
}
