//! Values of each type, in each encoding that any version writes; a file for each type.

mod hash;
mod list;
mod set;
mod sorted_set;
mod stream;

use super::read::{Reader, Source};
use super::{Corrupt, Style, forms, kind, write};
use crate::persistence::pieces::Pieces;
use crate::value::collection::Collection;
use crate::value::hash::HashRules;
use crate::value::list::ListLimits;
use crate::value::packed::Element;
use crate::value::set::SetLimits;
use crate::value::stream::StreamLimits;
use crate::value::string::StringView;
use crate::value::zset::ZsetLimits;
use crate::value::{Value, ValueRef};

/// Strings of more bytes are not compressed, which takes them as a whole.
const WHOLE_STRING_MAX: usize = 16 << 20;

/// A value that was read.
#[derive(Debug)]
pub enum Loaded {
    String(Vec<u8>),
    /// A collection that is not empty.
    Collection(Value),
    /// A hash of which all fields are over.
    Over,
    /// A collection without elements, of which old versions have left some behind; streams may have none.
    Empty,
}

/// In which form collections that are read are kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub list: ListLimits,
    pub set: SetLimits,
    pub sorted_set: ZsetLimits,
    pub stream: StreamLimits,
    pub hash: HashRules,
}

/// The kind that a value is written as, and is read with.
pub fn kind_of(value: ValueRef<'_>, style: Style) -> u8 {
    if value.as_list().is_some() {
        kind::LIST_QUICKLIST_2
    } else if let Some(set) = value.as_sorted_set() {
        sorted_set::kind_of(set)
    } else if let Some(set) = value.as_set() {
        set::kind_of(set)
    } else if let Some(hash) = value.as_hash() {
        hash::kind_of(hash, style.field_deadlines)
    } else if value.as_stream().is_some() {
        kind::STREAM_2
    } else {
        kind::STRING
    }
}

/// Appends a value, without its kind.
pub fn write(value: ValueRef<'_>, style: Style, out: &mut Pieces<'_>) {
    let compressed = style.compressed;
    if let Some(string) = value.as_string() {
        match string {
            StringView::Integer(integer) => write::element(Element::Integer(integer), compressed, out),
            string if string.len() > WHOLE_STRING_MAX => write_huge(string, out),
            string => write::string(string.as_slice(&mut Vec::new()), compressed, out),
        }
    } else if let Some(list) = value.as_list() {
        list::write(list, compressed, out);
    } else if let Some(set) = value.as_sorted_set() {
        sorted_set::write(set, compressed, out);
    } else if let Some(set) = value.as_set() {
        set::write(set, compressed, out);
    } else if let Some(hash) = value.as_hash() {
        hash::write(hash, style, out);
    } else if let Some(stream) = value.as_stream() {
        stream::write(stream, compressed, out);
    }
}

/// Appends a string piece by piece.
fn write_huge(string: StringView<'_>, out: &mut Pieces<'_>) {
    write::length(string.len() as u64, out);
    string.visit(0..string.len(), &mut Vec::new(), |piece| {
        out.extend_from_slice(piece);
        out.relieve();
        true
    });
}

/// Calls `each` with every two elements that `walk` finds in `bytes`.
fn pairs(
    bytes: &[u8],
    walk: fn(&[u8], forms::Visit<'_>) -> Result<(), Corrupt>,
    mut each: impl FnMut(Element<'_>, Element<'_>) -> Result<(), Corrupt>,
) -> Result<(), Corrupt> {
    let mut first: Option<Vec<u8>> = None;
    walk(bytes, &mut |element| match first.take() {
        None => {
            first = Some(element.to_vec());
            Ok(())
        }
        Some(first) => each(Element::Bytes(&first), element),
    })?;
    if first.is_some() { Err(Corrupt) } else { Ok(()) }
}

/// Reads a value of a kind; some kinds are not the same in Valkey's data as in that of Redis.
pub fn read<S: Source>(
    reader: &mut Reader<S>,
    kind: u8,
    is_of_valkey: bool,
    limits: &Limits,
) -> Result<Loaded, Corrupt> {
    let value = match kind {
        kind::STRING => {
            let mut string = Vec::new();
            reader.string(&mut string)?;
            return Ok(Loaded::String(string));
        }
        kind::LIST | kind::LIST_ZIPLIST | kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2 => {
            Value::List(list::read(reader, kind, &limits.list)?)
        }
        kind::ZSET | kind::ZSET_2 | kind::ZSET_ZIPLIST | kind::ZSET_LISTPACK => {
            Value::SortedSet(sorted_set::read(reader, kind, &limits.sorted_set)?)
        }
        kind::SET | kind::SET_INTSET | kind::SET_LISTPACK => Value::Set(set::read(reader, kind, &limits.set)?),
        kind::STREAM | kind::STREAM_2 | kind::STREAM_3 => {
            Value::Stream(Box::new(stream::read(reader, kind, &limits.stream)?))
        }
        _ => {
            let (hash, are_over) = hash::read(reader, kind, is_of_valkey, &limits.hash)?;
            if are_over {
                return Ok(Loaded::Over);
            }
            Value::Hash(hash)
        }
    };
    let is_empty = match &value {
        Value::String(_) | Value::Stream(_) => false,
        Value::List(list) => list.is_empty(),
        Value::SortedSet(set) => set.is_empty(),
        Value::Set(set) => set.is_empty(),
        Value::Hash(hash) => hash.is_empty(),
    };
    Ok(if is_empty { Loaded::Empty } else { Loaded::Collection(value) })
}
