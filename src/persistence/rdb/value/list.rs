//! Lists: nodes of packed elements, and of single large ones.

use super::super::read::{Reader, Source};
use super::super::{Corrupt, forms, kind, write};
use crate::persistence::pieces::Pieces;
use crate::value::list::{End, List, ListLimits, ListRef, NodeRef};
use crate::value::packed::{Element, IntegerText};

/// How a node is kept: as one element, or packed.
const PLAIN: u64 = 1;
const PACKED: u64 = 2;

pub(super) fn write(list: ListRef<'_>, compressed: bool, out: &mut Pieces<'_>) {
    write::length(list.nodes().count() as u64, out);
    for node in list.nodes() {
        match node {
            NodeRef::Plain(bytes) => {
                write::length(PLAIN, out);
                write::string(bytes, compressed, out);
            }
            NodeRef::Packed { entries, count } => {
                write::length(PACKED, out);
                write::listpack(entries, count, compressed, out);
            }
        }
        out.relieve();
    }
}

pub(super) fn read<S: Source>(reader: &mut Reader<S>, kind: u8, limits: &ListLimits) -> Result<List, Corrupt> {
    let mut list = List::new();
    let mut bytes = Vec::new();
    let parts = if kind == kind::LIST_ZIPLIST { 1 } else { reader.length()? };
    for _ in 0..parts {
        let is_plain = match kind {
            kind::LIST => true,
            kind::LIST_QUICKLIST_2 => match reader.length()? {
                PLAIN => true,
                PACKED => false,
                _ => return Err(Corrupt),
            },
            _ => false,
        };
        reader.string(&mut bytes)?;
        if kind == kind::LIST_QUICKLIST_2 && bytes.is_empty() {
            // No element that is kept by itself is empty.
            return Err(Corrupt);
        }
        if is_plain {
            list.push(End::Back, &bytes, limits);
            continue;
        }
        let mut push = |element: Element<'_>| {
            list.push(End::Back, element.as_bytes(&mut IntegerText::default()), limits);
            Ok(())
        };
        match kind {
            kind::LIST_QUICKLIST_2 => forms::listpack(&bytes, &mut push)?,
            _ => forms::ziplist(&bytes, &mut push)?,
        }
    }
    Ok(list)
}
