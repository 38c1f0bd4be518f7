//! The options that set the deadline of a key, or of a field, together with its value: `EX`, `PX`, `EXAT`, `PXAT`, `KEEPTTL`, `PERSIST`.

use crate::command::Call;
use crate::resp::{Args, ErrorReply};
use crate::spec::errors;
use crate::value::number;

/// What an amount of time counts, and from when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) enum Unit {
    Seconds,
    Milliseconds,
    UnixSeconds,
    UnixMilliseconds,
}

impl Unit {
    fn of_word(word: &[u8]) -> Option<Unit> {
        const WORDS: [(&[u8], Unit); 4] = [
            (b"EX", Unit::Seconds),
            (b"PX", Unit::Milliseconds),
            (b"EXAT", Unit::UnixSeconds),
            (b"PXAT", Unit::UnixMilliseconds),
        ];
        WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, unit)| *unit)
    }
}

/// What a request says about its key's deadline.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::command) enum Expiry<'a> {
    #[default]
    Unsaid,
    Keep,
    Persist,
    Deadline(Unit, &'a [u8]),
}

/// Whether a command may leave the deadline as it is, or may remove it: the other happens by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) enum Otherwise {
    Keep,
    Persist,
}

impl<'a> Expiry<'a> {
    /// Reads the option at `index`, if it is one of these: returns how many arguments it takes. Two that contradict each
    /// other are an error.
    pub(in crate::command) fn read(
        &mut self,
        args: Args<'a>,
        index: usize,
        otherwise: Otherwise,
    ) -> Result<Option<usize>, ErrorReply> {
        let word = args.at(index);
        if let Some(unit) = Unit::of_word(word) {
            let amount = args.get(index + 1).ok_or(ErrorReply::SYNTAX)?;
            return match *self {
                Expiry::Deadline(before, _) if before != unit => Err(ErrorReply::SYNTAX),
                Expiry::Keep | Expiry::Persist => Err(ErrorReply::SYNTAX),
                Expiry::Unsaid | Expiry::Deadline(..) => {
                    *self = Expiry::Deadline(unit, amount);
                    Ok(Some(2))
                }
            };
        }
        let said = match otherwise {
            Otherwise::Keep if word.eq_ignore_ascii_case(b"KEEPTTL") => Expiry::Keep,
            Otherwise::Persist if word.eq_ignore_ascii_case(b"PERSIST") => Expiry::Persist,
            Otherwise::Keep | Otherwise::Persist => return Ok(None),
        };
        if let Expiry::Deadline(..) = self {
            return Err(ErrorReply::SYNTAX);
        }
        *self = said;
        Ok(Some(1))
    }

    /// The deadline that it sets, in milliseconds of Unix time; `None` if it sets none.
    pub(in crate::command) fn deadline(self, call: &Call) -> Result<Option<i64>, ErrorReply> {
        self.deadline_from(call, 1)
    }

    /// The same for an amount of at least `amount_min`.
    pub(in crate::command) fn deadline_from(self, call: &Call, amount_min: i64) -> Result<Option<i64>, ErrorReply> {
        match self {
            Expiry::Deadline(unit, amount) => deadline(call, unit, amount, amount_min).map(Some),
            Expiry::Unsaid | Expiry::Keep | Expiry::Persist => Ok(None),
        }
    }
}

/// The deadline that `amount` of `unit`, at least `amount_min`, stands for, in milliseconds of Unix time.
pub(in crate::command) fn deadline(call: &Call, unit: Unit, amount: &[u8], amount_min: i64) -> Result<i64, ErrorReply> {
    let amount = number::parse_i64(amount).ok_or(ErrorReply::NOT_INTEGER)?;
    let milliseconds = match unit {
        Unit::Seconds | Unit::UnixSeconds => amount.checked_mul(1000),
        Unit::Milliseconds | Unit::UnixMilliseconds => Some(amount),
    };
    let deadline = match unit {
        Unit::Seconds | Unit::Milliseconds => milliseconds.and_then(|ms| ms.checked_add(call.keys.now_ms())),
        Unit::UnixSeconds | Unit::UnixMilliseconds => milliseconds,
    };
    deadline.filter(|_| amount >= amount_min).ok_or_else(|| errors::invalid_expire_time(call.spec))
}
