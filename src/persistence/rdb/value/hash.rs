//! Hashes: fields and values, perhaps with deadlines.

use super::super::read::{Reader, Source};
use super::super::{Corrupt, forms, kind, write};
use super::pairs;
use crate::value::collection::Collection;
use crate::value::hash::{Hash, HashRef, HashRules, Lifetime};
use crate::value::packed::IntegerText;

pub(super) fn kind_of(hash: HashRef<'_>) -> u8 {
    match first_deadline(hash) {
        Some(_) => kind::HASH_METADATA,
        None if hash.packed_entries().is_some() => kind::HASH_LISTPACK,
        None => kind::HASH,
    }
}

fn first_deadline(hash: HashRef<'_>) -> Option<i64> {
    let mut first: Option<i64> = None;
    hash.for_each(|field| first = first.into_iter().chain(field.deadline).min());
    first
}

/// Deadlines are written as Redis 7.4 does: the first of all, then what each is later than that by, and one, or zero for none.
pub(super) fn write(hash: HashRef<'_>, compressed: bool, out: &mut Vec<u8>) {
    if let Some(entries) = hash.packed_entries() {
        return write::listpack(entries, 2 * hash.len(), compressed, out);
    }
    let first = first_deadline(hash);
    if let Some(first) = first {
        out.extend_from_slice(&first.to_le_bytes());
    }
    write::length(hash.len() as u64, out);
    hash.for_each(|field| {
        if let Some(first) = first {
            write::length(field.deadline.map_or(0, |deadline| deadline.abs_diff(first) + 1), out);
        }
        write::element(field.name, compressed, out);
        write::element(field.value, compressed, out);
    });
}

pub(super) fn read<S: Source>(reader: &mut Reader<S>, kind: u8, rules: &HashRules) -> Result<Hash, Corrupt> {
    let mut hash = Hash::default();
    let mut add = |name: &[u8], value: &[u8], lifetime: Lifetime| {
        if hash.set(name, value, lifetime, rules) { Ok(()) } else { Err(Corrupt) }
    };
    let (mut name, mut value) = (Vec::new(), Vec::new());
    match kind {
        kind::HASH | kind::HASH_METADATA => {
            let has_deadlines = kind == kind::HASH_METADATA;
            let first = if has_deadlines { i64::from_le_bytes(reader.bytes()?) } else { 0 };
            for _ in 0..reader.length()? {
                let later = if has_deadlines { reader.length()? } else { 0 };
                let lifetime = match later.checked_sub(1) {
                    None => Lifetime::Forever,
                    Some(later) => Lifetime::Until(first.checked_add_unsigned(later).ok_or(Corrupt)?),
                };
                reader.string(&mut name)?;
                reader.string(&mut value)?;
                add(&name, &value, lifetime)?;
            }
        }
        _ => {
            reader.string(&mut name)?;
            let walk = if kind == kind::HASH_ZIPLIST { forms::ziplist } else { forms::listpack };
            pairs(&name, walk, |name, value| {
                let (mut name_text, mut value_text) = (IntegerText::default(), IntegerText::default());
                add(name.as_bytes(&mut name_text), value.as_bytes(&mut value_text), Lifetime::Forever)
            })?;
        }
    }
    if hash.is_empty() { Err(Corrupt) } else { Ok(hash) }
}
