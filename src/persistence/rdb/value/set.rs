//! Sets: members, or a row of integers.

use super::super::read::{Reader, Source};
use super::super::{Corrupt, forms, kind, write};
use crate::persistence::pieces::Pieces;
use crate::value::packed::Element;
use crate::value::set::{Set, SetLimits, SetRef};

pub(super) fn kind_of(set: SetRef<'_>) -> u8 {
    if set.integers().is_some() { kind::SET_INTSET } else { kind::SET }
}

pub(super) fn write(set: SetRef<'_>, compressed: bool, out: &mut Pieces<'_>) {
    if let Some((width, bytes)) = set.integers() {
        let count = (bytes.len() / width) as u32;
        let head = [(width as u32).to_le_bytes(), count.to_le_bytes()].concat();
        return write::string(&[&head, bytes].concat(), compressed, out);
    }
    write::length(set.len() as u64, out);
    set.for_each(|member| {
        write::element(member, compressed, out);
        out.relieve();
    });
}

pub(super) fn read<S: Source>(reader: &mut Reader<S>, kind: u8, limits: &SetLimits) -> Result<Set, Corrupt> {
    let mut set = Set::default();
    let mut add = |member: Element<'_>| if set.insert(member, limits) { Ok(()) } else { Err(Corrupt) };
    let mut bytes = Vec::new();
    if kind == kind::SET {
        for _ in 0..reader.length()? {
            reader.string(&mut bytes)?;
            add(Element::new(&bytes))?;
        }
    } else {
        reader.string(&mut bytes)?;
        let walk = if kind == kind::SET_INTSET { forms::intset } else { forms::listpack };
        walk(&bytes, &mut add)?;
    }
    Ok(set)
}
