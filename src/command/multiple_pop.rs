//! What `LMPOP`, `ZMPOP` and those of them that wait ask for.

use super::Call;
use crate::resp::ErrorReply;
use std::ops::Range;

/// Some elements of the first collection that there is.
pub(super) struct MultiplePop<E> {
    /// The arguments that are keys.
    pub keys: Range<usize>,
    /// The end that elements are taken from.
    pub end: E,
    /// Elements at most.
    pub count: usize,
}

impl<E> MultiplePop<E> {
    /// Reads the arguments from the number of keys on; `end` reads the one that names the end.
    pub fn parse(
        call: &Call,
        first: usize,
        end: impl FnOnce(&Call, usize) -> Result<E, ErrorReply>,
    ) -> Result<Self, ErrorReply> {
        let too_few = ErrorReply::fixed("ERR numkeys should be greater than 0");
        let number = call.integer_in(first, 1..=i64::MAX, too_few)? as usize;
        let keys = first + 1..number.saturating_add(first + 1);
        if keys.end >= call.args.len() {
            return Err(ErrorReply::SYNTAX);
        }
        let end = end(call, keys.end)?;
        let mut count = 1;
        let mut options = keys.end + 1;
        if call.is_word(options, "COUNT") && call.args.len() > options + 1 {
            let error = ErrorReply::fixed("ERR count should be greater than 0");
            count = call.integer_in(options + 1, 1..=i64::MAX, error)? as usize;
            options += 2;
        }
        if call.args.len() > options {
            return Err(ErrorReply::SYNTAX);
        }
        Ok(MultiplePop { keys, end, count })
    }
}
