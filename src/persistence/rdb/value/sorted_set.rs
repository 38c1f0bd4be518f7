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
    let mut set = SortedSet::default();
    let mut add = |member: &[u8], score: f64| {
        let mut is_new = !score.is_nan();
        set.update(member, limits, |before| {
            is_new &= before.is_none();
            is_new.then_some(score)
        });
        if is_new { Ok(()) } else { Err(Corrupt) }
    };
    let mut bytes = Vec::new();
    match kind {
        kind::ZSET | kind::ZSET_2 => {
            for _ in 0..reader.length()? {
                reader.string(&mut bytes)?;
                let score = if kind == kind::ZSET { text_score(reader)? } else { f64::from_le_bytes(reader.bytes()?) };
                add(&bytes, score)?;
            }
        }
        _ => {
            reader.string(&mut bytes)?;
            let walk = if kind == kind::ZSET_ZIPLIST { forms::ziplist } else { forms::listpack };
            pairs(&bytes, walk, |member, score| {
                let score = match score {
                    Element::Integer(value) => value as f64,
                    Element::Bytes(text) => double::parse(text).ok_or(Corrupt)?,
                };
                add(member.as_bytes(&mut IntegerText::default()), score)
            })?;
        }
    }
    Ok(set)
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
