//! What a handler gets: the request, its keys, the client, and where its reply goes.

use super::keys::Keys;
use super::migrate::Shipment;
use super::prefix::Doomed;
use super::tracking;
use crate::client::{ClientFlags, Session};
use crate::resp::{Args, CommandResult, ErrorReply, OwnedRequest, Reply};
use crate::spec::CommandSpec;
use crate::state::State;
use crate::value::long_double::LongDouble;
use crate::value::{Type, number};
use std::ops::Range;

/// The least negative number of elements that is drawn: clients count the elements of a reply in 31 bits.
const REPEATED_MIN: i64 = -(i32::MAX as i64);

/// How a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For a client that can wait.
    Direct,
    /// Inside `EXEC`: it must not wait.
    Transaction,
    /// For a client that waits already, because one of its keys got elements.
    Serving,
}

/// What a command that found nothing waits for.
pub struct Wait {
    /// The keys, in the order in which they are looked at.
    pub keys: Vec<Box<[u8]>>,
    /// When the wait ends, in milliseconds of Unix time; `None`: never.
    pub deadline_ms: Option<i64>,
    /// The key that is fed when the wait is served (`BLMOVE`'s destination).
    pub feeds: Option<Box<[u8]>>,
    /// The type of value that serves the wait; a key of another type does not wake the client.
    pub wanted: Type,
    /// The wait ends, with an error, when a key is gone or has become of another type (`XREADGROUP`).
    pub needs_keys: bool,
    /// What is done when the wait is served, if not what the client has sent: `XREAD` with `$` waits for what comes after
    /// the entry that is the last now.
    pub request: Option<OwnedRequest>,
    /// In a transaction, which must not wait, the answer is a null value rather than a null array.
    pub refused_with_value: bool,
    /// It waits for replicas, and for no key.
    pub acknowledgement: Option<Acknowledgement>,
}

/// What a client that waits for replicas wants of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// They have everything before this offset of the log.
    pub offset: u64,
    /// So many of them.
    pub replicas: usize,
    /// On the disk of so many: 1 or 0 for this server's own, and of all the replicas. `None`: anywhere.
    pub local: Option<usize>,
}

impl Acknowledgement {
    /// How many have what is waited for: this server, if its disk counts, and replicas.
    fn counts(&self, state: &State) -> (usize, usize) {
        match self.local {
            None => (0, state.replication.acknowledged_by(self.offset)),
            Some(_) => {
                let is_local = state.append_file.is_on() && state.append_file.durable() >= self.offset;
                (usize::from(is_local), state.replication.stored_by(self.offset))
            }
        }
    }

    /// Whether it is enough.
    pub fn is_met(&self, state: &State) -> bool {
        let (local, replicas) = self.counts(state);
        local >= self.local.unwrap_or(0) && replicas >= self.replicas
    }

    /// Answers with how many there are.
    pub fn write(&self, state: &State, reply: &mut Reply) -> CommandResult {
        let (local, replicas) = self.counts(state);
        if self.local.is_none() {
            return reply.count(replicas);
        }
        reply.array(2)?;
        reply.count(local)?;
        reply.count(replicas)
    }
}

impl Wait {
    /// What the client gets if it must not wait.
    pub fn write_refusal(&self, reply: &mut Reply) -> CommandResult {
        if self.refused_with_value { reply.null() } else { reply.null_array() }
    }
}

/// What there is to be done before a command can be answered.
pub enum Unanswered {
    /// It found nothing, and its client waits until there is something.
    Waits(Box<Wait>),
    /// Values are to be sent to another server.
    Sends(Box<Shipment>),
    /// Keys are to be deleted in steps.
    Deletes(Box<Doomed>),
    /// The process is to end, as soon as its replicas have everything.
    Ends,
}

/// One run of one command.
pub struct Call<'c, 'k> {
    pub state: &'k State,
    pub spec: &'static CommandSpec,
    pub session: &'c mut Session,
    pub args: Args<'c>,
    pub keys: &'c mut Keys<'k>,
    pub reply: &'c mut Reply,
    pub mode: Mode,
    /// What there is to be done before the command can be answered, if it cannot be answered now.
    pub unanswered: Option<Unanswered>,
    /// The answer is an error that was counted before.
    pub has_failed: bool,
}

impl<'c> Call<'c, '_> {
    /// The argument at `index`; the table's arity says that it is there.
    #[inline]
    pub fn arg(&self, index: usize) -> &'c [u8] {
        self.args.at(index)
    }

    /// The argument at `index` as a signed 64-bit integer.
    pub fn integer(&self, index: usize) -> Result<i64, ErrorReply> {
        number::parse_i64(self.arg(index)).ok_or(ErrorReply::NOT_INTEGER)
    }

    /// The argument at `index` as an integer from 0 to `max`; `error` if it is not.
    pub fn integer_in(
        &self,
        index: usize,
        range: std::ops::RangeInclusive<i64>,
        error: ErrorReply,
    ) -> Result<i64, ErrorReply> {
        number::parse_i64(self.arg(index)).filter(|value| range.contains(value)).ok_or(error)
    }

    /// The argument at `index` as a number of elements, or, if it is negative, of something else than elements as usual.
    pub fn signed_count(&self, index: usize) -> Result<i64, ErrorReply> {
        match self.integer(index)? {
            i64::MIN => Err(ErrorReply::MAGNITUDE),
            count => Ok(count),
        }
    }

    /// The argument at `index` as a number of elements to be drawn at random; if it is negative, each is drawn from all, so that
    /// any number of them can be had, but no more than a reply can be.
    pub fn drawn_count(&self, index: usize) -> Result<i64, ErrorReply> {
        match self.signed_count(index)? {
            i64::MIN..REPEATED_MIN => Err(ErrorReply::fixed("ERR value is out of range")),
            count => Ok(count),
        }
    }

    /// Whether the argument at `index` is there and is `word`, in whatever case.
    pub fn is_word(&self, index: usize, word: &str) -> bool {
        self.args.get(index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// The wait that a blocking command asks for: a timeout in seconds, 0 for ever. Returns the deadline in
    /// milliseconds of Unix time.
    pub fn timeout(&self, index: usize) -> Result<Option<i64>, ErrorReply> {
        let seconds = LongDouble::parse(self.arg(index)).ok_or(ErrorReply::TIMEOUT_NOT_FLOAT)?.to_f64();
        let milliseconds = (seconds * 1000.0).ceil();
        if milliseconds > i64::MAX as f64 {
            return Err(ErrorReply::TIMEOUT_OUT_OF_RANGE);
        }
        if milliseconds < 0.0 {
            return Err(ErrorReply::TIMEOUT_NEGATIVE);
        }
        if milliseconds == 0.0 {
            return Ok(None);
        }
        let deadline = self.keys.now_ms().checked_add(milliseconds as i64);
        deadline.map(Some).ok_or(ErrorReply::TIMEOUT_OUT_OF_RANGE)
    }

    /// Lets the locks go before long work, once the command has looked at its keys for the last time. Inside `EXEC` they
    /// stay: other commands follow.
    pub fn let_go(&mut self) {
        if self.mode == Mode::Direct {
            if self.session.client.has(ClientFlags::TRACKING) {
                tracking::note_read(&self.session.client, self.spec, self.args, self.keys);
            }
            self.keys.let_go();
        }
    }

    /// Ends a command that found nothing in the keys that the arguments `keys` are: it waits until one of them has a value of
    /// the type `wanted`.
    pub fn wait_for_any(&mut self, keys: Range<usize>, deadline_ms: Option<i64>, wanted: Type) -> CommandResult {
        self.wait_for(Wait {
            keys: keys.map(|index| self.arg(index).into()).collect(),
            deadline_ms,
            feeds: None,
            wanted,
            needs_keys: false,
            request: None,
            refused_with_value: false,
            acknowledgement: None,
        })
    }

    /// Ends a command that waits for replicas.
    pub fn wait_for_acknowledgements(&mut self, deadline_ms: Option<i64>, wanted: Acknowledgement) {
        self.unanswered = Some(Unanswered::Waits(Box::new(Wait {
            keys: Vec::new(),
            deadline_ms,
            feeds: None,
            wanted: Type::String,
            needs_keys: false,
            request: None,
            refused_with_value: false,
            acknowledgement: Some(wanted),
        })));
    }

    /// Ends a command that found nothing to give: it waits if it may, else it answers at once that there is nothing.
    pub fn wait_for(&mut self, wait: Wait) -> CommandResult {
        match self.mode {
            Mode::Transaction => wait.write_refusal(self.reply),
            Mode::Direct | Mode::Serving => {
                self.unanswered = Some(Unanswered::Waits(Box::new(wait)));
                Ok(())
            }
        }
    }
}
