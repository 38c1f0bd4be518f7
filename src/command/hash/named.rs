//! The fields that a request names as `FIELDS numfields field ...`, and their values as a reply.

use super::write_or_null;
use crate::command::Call;
use crate::resp::{Args, CommandResult, ErrorReply, Reply};
use crate::value::hash::HashRef;
use crate::value::number;
use std::collections::HashSet;

pub(super) const MISMATCH: ErrorReply =
    ErrorReply::fixed("ERR numfields should be greater than 0 and match the provided number of fields");

/// Where `FIELDS` stands, if it does: after the options, which begin at `first`, and before a number.
pub(super) fn place(call: &Call, first: usize) -> Option<usize> {
    (first..call.args.len() - 1).find(|index| call.is_word(*index, "FIELDS"))
}

/// What follows the word `FIELDS` at `place` and the number: so many times `words` arguments, or it is the `mismatch`.
pub(super) fn after<'c>(
    call: &Call<'c, '_>,
    place: usize,
    words: usize,
    mismatch: ErrorReply,
) -> Result<Args<'c>, ErrorReply> {
    let number = number::parse_i64(call.arg(place + 1)).ok_or(ErrorReply::NOT_INTEGER)?;
    let named = call.args.from(place + 2);
    let fits = usize::try_from(number).is_ok_and(|number| number > 0 && number.checked_mul(words) == Some(named.len()));
    if fits { Ok(named) } else { Err(mismatch) }
}

/// The fields, where nothing may stand between them and the key.
pub(super) fn at_once<'c>(call: &Call<'c, '_>, mismatch: ErrorReply) -> Result<Args<'c>, ErrorReply> {
    if !call.is_word(2, "FIELDS") {
        return Err(ErrorReply::SYNTAX);
    }
    after(call, 2, 1, mismatch)
}

/// Answers with an array of the fields' values. If each can be had `once`, a field that is named again has none.
pub(super) fn write_values(reply: &mut Reply, hash: Option<HashRef<'_>>, names: Args<'_>, once: bool) -> CommandResult {
    reply.array(names.len())?;
    let mut seen = HashSet::new();
    names.iter().try_for_each(|name| {
        let is_new = !once || names.len() == 1 || seen.insert(name);
        write_or_null(reply, hash.filter(|_| is_new).and_then(|hash| hash.get(name)))
    })
}
