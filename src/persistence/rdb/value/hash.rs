//! Hashes: fields and values, and when fields are over.

use super::super::read::{Reader, Source};
use super::super::{Corrupt, FieldDeadlines, Style, forms, kind, write};
use super::pairs;
use crate::persistence::pieces::Pieces;
use crate::value::collection::Collection;
use crate::value::hash::{Field, Hash, HashRef, HashRules, Lifetime};
use crate::value::packed::{self, Element, IntegerText};

pub(super) fn kind_of(hash: HashRef<'_>, form: FieldDeadlines) -> u8 {
    if first_deadline(hash).is_some() {
        match form {
            FieldDeadlines::Redis => kind::HASH_METADATA,
            FieldDeadlines::Valkey => kind::HASH_2,
        }
    } else if hash.is_packed() {
        kind::HASH_LISTPACK
    } else {
        kind::HASH
    }
}

fn first_deadline(hash: HashRef<'_>) -> Option<i64> {
    let mut first = None;
    if !hash.is_packed() {
        hash.for_each(|field| first = first.into_iter().chain(field.deadline).min());
    }
    first
}

pub(super) fn write(hash: HashRef<'_>, style: Style, out: &mut Pieces<'_>) {
    let compressed = style.compressed;
    if hash.is_packed() {
        let mut entries = Vec::new();
        hash.for_each(|Field { name, value, .. }| {
            packed::push(&mut entries, name);
            packed::push(&mut entries, value);
        });
        return write::listpack(&entries, 2 * hash.len(), compressed, out);
    }
    let first = first_deadline(hash);
    let (of_redis, of_valkey) = match style.field_deadlines {
        FieldDeadlines::Redis => (first, false),
        FieldDeadlines::Valkey => (None, first.is_some()),
    };
    if let Some(first) = of_redis {
        out.extend_from_slice(&first.to_le_bytes());
    }
    write::length(hash.len() as u64, out);
    hash.for_each(|field| {
        if let Some(first) = of_redis {
            // Counted from the first, which is 1.
            let deadline = field.deadline.map_or(0, |deadline| deadline.abs_diff(first) + 1);
            write::length(deadline, out);
        }
        write::element(field.name, compressed, out);
        write::element(field.value, compressed, out);
        if of_valkey {
            out.extend_from_slice(&field.deadline.unwrap_or(-1).to_le_bytes());
        }
        out.relieve();
    });
}

/// A hash, and whether all its fields were over.
pub(super) fn read<S: Source>(
    reader: &mut Reader<S>,
    kind: u8,
    is_of_valkey: bool,
    rules: &HashRules,
) -> Result<(Hash, bool), Corrupt> {
    let mut fields = Fields { hash: Hash::default(), rules, has_any: false };
    match kind {
        kind::HASH => {
            let (mut name, mut value) = (Vec::new(), Vec::new());
            for _ in 0..reader.length()? {
                reader.string(&mut name)?;
                reader.string(&mut value)?;
                fields.add(Element::Bytes(&name), Element::Bytes(&value), None)?;
            }
        }
        kind::HASH_2 if is_of_valkey => read_valkeys(reader, &mut fields)?,
        kind::HASH_METADATA => read_metadata(reader, &mut fields)?,
        kind::HASH_LISTPACK_EX => {
            // The first deadline is that of the fields, too.
            reader.bytes::<8>()?;
            read_listpack_ex(reader, &mut fields)?;
        }
        kind::HASH_ZIPMAP | kind::HASH_ZIPLIST | kind::HASH_LISTPACK => {
            let mut bytes = Vec::new();
            reader.string(&mut bytes)?;
            let walk = match kind {
                kind::HASH_ZIPMAP => forms::zipmap,
                kind::HASH_ZIPLIST => forms::ziplist,
                _ => forms::listpack,
            };
            pairs(&bytes, walk, |name, value| fields.add(name, value, None))?;
        }
        _ => return Err(Corrupt),
    }
    let are_over = fields.has_any && fields.hash.is_empty();
    Ok((fields.hash, are_over))
}

/// A hash that is being read.
struct Fields<'r> {
    hash: Hash,
    rules: &'r HashRules,
    /// There was a field, be it one that is over.
    has_any: bool,
}

impl Fields<'_> {
    /// Adds a field that is not there yet, unless it is over.
    fn add(&mut self, name: Element<'_>, value: Element<'_>, deadline: Option<i64>) -> Result<(), Corrupt> {
        self.has_any = true;
        if deadline.is_some_and(|deadline| deadline < self.rules.now_ms) {
            return Ok(());
        }
        let lifetime = deadline.map_or(Lifetime::Forever, Lifetime::Until);
        let (name_text, value_text) = (&mut IntegerText::default(), &mut IntegerText::default());
        let is_new = self.hash.set(name.as_bytes(name_text), value.as_bytes(value_text), lifetime, self.rules);
        if is_new { Ok(()) } else { Err(Corrupt) }
    }
}

/// As Valkey writes it: each field with its deadline, or -1.
fn read_valkeys<S: Source>(reader: &mut Reader<S>, fields: &mut Fields<'_>) -> Result<(), Corrupt> {
    let (mut name, mut value) = (Vec::new(), Vec::new());
    for _ in 0..reader.length()? {
        reader.string(&mut name)?;
        reader.string(&mut value)?;
        let deadline = Some(i64::from_le_bytes(reader.bytes()?)).filter(|deadline| *deadline >= 0);
        fields.add(Element::Bytes(&name), Element::Bytes(&value), deadline)?;
    }
    Ok(())
}

/// As Redis writes it: the first deadline, and each field with its own, which is counted from the first.
fn read_metadata<S: Source>(reader: &mut Reader<S>, fields: &mut Fields<'_>) -> Result<(), Corrupt> {
    let first = i64::from_le_bytes(reader.bytes()?);
    let (mut name, mut value) = (Vec::new(), Vec::new());
    for _ in 0..reader.length()? {
        let deadline = match reader.length()? {
            0 => None,
            later => Some(first.checked_add_unsigned(later - 1).filter(|deadline| *deadline >= 0).ok_or(Corrupt)?),
        };
        reader.string(&mut name)?;
        reader.string(&mut value)?;
        fields.add(Element::Bytes(&name), Element::Bytes(&value), deadline)?;
    }
    Ok(())
}

/// As Redis packs it: field, value and deadline, which is 0 if there is none.
fn read_listpack_ex<S: Source>(reader: &mut Reader<S>, fields: &mut Fields<'_>) -> Result<(), Corrupt> {
    let mut bytes = Vec::new();
    reader.string(&mut bytes)?;
    let mut parts: Vec<Vec<u8>> = Vec::new();
    forms::listpack(&bytes, &mut |element| {
        if let [name, value] = parts.as_slice() {
            let deadline = match element {
                Element::Integer(0) => None,
                Element::Integer(deadline @ 1..) => Some(deadline),
                _ => return Err(Corrupt),
            };
            fields.add(Element::Bytes(name), Element::Bytes(value), deadline)?;
            parts.clear();
        } else {
            parts.push(element.to_vec());
        }
        Ok(())
    })?;
    if parts.is_empty() { Ok(()) } else { Err(Corrupt) }
}
