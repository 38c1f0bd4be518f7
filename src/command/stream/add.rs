//! `XADD`, and trimming, which it shares with `XTRIM`.

use super::{Call, INVALID_ID, find, parse_id, references_at, stream_of};
use crate::config::Directive;
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply};
use crate::spec::errors;
use crate::tree::NewPayload;
use crate::value::Value;
use crate::value::stream::{AppendError, Kept, References, Stream, StreamId, StreamLimits, Trim};

const ID_TOO_LOW: ErrorReply =
    ErrorReply::fixed("ERR The ID specified in XADD is equal or smaller than the target stream top item");
const EXHAUSTED: ErrorReply =
    ErrorReply::fixed("ERR The stream has exhausted the last possible ID, unable to add more items");
const TWO_STRATEGIES: ErrorReply =
    ErrorReply::fixed("ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
const LIMIT_WITHOUT_STRATEGY: ErrorReply =
    ErrorReply::fixed("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy");
const LIMIT_WITHOUT_TILDE: ErrorReply =
    ErrorReply::fixed("ERR syntax error, LIMIT cannot be used without the special ~ option");
const NO_STRATEGY: ErrorReply = ErrorReply::fixed("ERR syntax error, XTRIM must be called with a trimming strategy");

/// Entries that an approximate trim removes at most if the limits of blocks give no number, and in any case.
const TRIM_ENTRIES_DEFAULT: u64 = 10_000;
const TRIM_ENTRIES_MAX: u64 = 1_000_000;

/// The id that an entry is to have.
#[derive(Clone, Copy)]
enum NewId {
    /// `*`
    Automatic,
    /// `ms-*`
    InMillisecond(u64),
    Given(StreamId),
}

/// The options of `XADD` and `XTRIM`.
struct Options {
    trim: Option<Trim>,
    must_exist: bool,
    id: NewId,
    /// Where the fields begin.
    fields: usize,
}

impl Options {
    /// Reads the arguments behind the key: for `XADD` up to the id, for `XTRIM` all.
    fn parse(call: &Call, is_add: bool) -> Result<Self, ErrorReply> {
        let mut kept = None;
        let (mut approximately, mut limit, mut references) = (false, None, None);
        let (mut must_exist, mut id) = (false, NewId::Automatic);
        let mut index = 2;
        while let Some(word) = call.args.get(index) {
            let has_value = index + 1 < call.args.len();
            if is_add && word == b"*" {
                break;
            } else if has_value && (call.is_word(index, "MAXLEN") || call.is_word(index, "MINID")) {
                if kept.is_some() {
                    return Err(TWO_STRATEGIES);
                }
                let is_length = call.is_word(index, "MAXLEN");
                index += 1;
                if let (mark @ (b"~" | b"="), true) = (call.arg(index), index + 1 < call.args.len()) {
                    approximately = mark == b"~";
                    index += 1;
                }
                kept = Some(if is_length {
                    let negative = ErrorReply::fixed("ERR The MAXLEN argument must be >= 0.");
                    Kept::Newest(u64::try_from(call.integer(index)?).map_err(|_| negative)?)
                } else {
                    Kept::From(parse_id(call.arg(index))?)
                });
            } else if has_value && call.is_word(index, "LIMIT") {
                index += 1;
                let negative = ErrorReply::fixed("ERR The LIMIT argument must be >= 0.");
                limit = Some(u64::try_from(call.integer(index)?).map_err(|_| negative)?);
            } else if is_add && call.is_word(index, "NOMKSTREAM") {
                must_exist = true;
            } else if let (Some(given), None) = (references_at(call, index), references) {
                references = Some(given);
            } else if is_add {
                id = match StreamId::parse_open(word) {
                    Some(ms) => NewId::InMillisecond(ms),
                    None => NewId::Given(StreamId::parse(word, 0).ok_or(INVALID_ID)?),
                };
                break;
            } else {
                return Err(ErrorReply::SYNTAX);
            }
            index += 1;
        }
        if kept.is_none() && limit.is_some_and(|limit| limit > 0) {
            return Err(LIMIT_WITHOUT_STRATEGY);
        }
        if kept.is_none() && !is_add {
            return Err(NO_STRATEGY);
        }
        if call.session.obeys {
            // A primary says with `=` how far it has trimmed, and leaves the limit of the request where it was.
            limit = Some(0);
        } else if limit.is_some() && !approximately {
            return Err(LIMIT_WITHOUT_TILDE);
        }
        let entries_max = match limit {
            None if approximately => default_limit(call),
            None | Some(0) => u64::MAX,
            Some(limit) => limit,
        };
        let references = references.unwrap_or_default();
        let trim = kept.map(|kept| Trim { kept, approximately, entries_max, references });
        Ok(Options { trim, must_exist, id, fields: index + 1 })
    }
}

/// Entries that an approximate trim removes at most unless the client says otherwise.
fn default_limit(call: &Call) -> u64 {
    match u64::try_from(call.state.settings.int(Directive::StreamNodeMaxEntries)) {
        Ok(0) | Err(_) => TRIM_ENTRIES_DEFAULT,
        Ok(entries) => entries.saturating_mul(100).min(TRIM_ENTRIES_MAX),
    }
}

/// Which entries share a block, as the config has it.
pub(in crate::command) fn limits(call: &Call) -> StreamLimits {
    crate::forms::stream(&call.state.settings)
}

/// `XADD key [NOMKSTREAM] [KEEPREF|DELREF|ACKED] [MAXLEN|MINID [=|~] threshold [LIMIT count]] *|id field value [field value ...]`
pub fn xadd(call: &mut Call) -> CommandResult {
    let options = Options::parse(call, true)?;
    let fields = call.args.from(options.fields);
    if fields.is_empty() || fields.len() % 2 == 1 {
        return Err(errors::wrong_arity(call.spec));
    }
    if matches!(options.id, NewId::Given(StreamId::MIN)) {
        return Err(ErrorReply::fixed("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let (key, limits) = (call.arg(1), limits(call));
    let now_ms = u64::try_from(call.keys.now_ms()).unwrap_or(0);
    let pairs = (0..fields.len()).step_by(2).map(|at| (fields.at(at), fields.at(at + 1)));
    let add = |stream: &mut Stream| -> Result<Added, ErrorReply> {
        let id = match options.id {
            _ if stream.last_id() == StreamId::MAX => return Err(EXHAUSTED),
            NewId::Automatic => stream.next_id(now_ms).ok_or(EXHAUSTED)?,
            NewId::InMillisecond(ms) => stream.next_id_in(ms).ok_or(ID_TOO_LOW)?,
            NewId::Given(id) => id,
        };
        stream.append(id, pairs, &limits).map_err(|error| match error {
            AppendError::IdTooLow => ID_TOO_LOW,
            AppendError::TooLarge => ErrorReply::fixed("ERR Elements are too large to be stored"),
        })?;
        let trimmed = options.trim.map_or(0, |trim| stream.trim(&trim));
        Ok(Added { id, trimmed, len: stream.len() })
    };
    let Added { id, trimmed, len } = match find(call.keys, key)? {
        Some(found) => {
            let added = add(stream_of(call.keys, found))?;
            call.keys.signal_ready(key);
            added
        }
        None if options.must_exist => return call.reply.null(),
        None => {
            let mut stream = Stream::new();
            let added = add(&mut stream)?;
            call.keys.put(key, NewPayload::Boxed(Box::new(Value::Stream(Box::new(stream)))), None);
            added
        }
    };
    call.keys.changed(key, Event::XADD);
    if trimmed > 0 {
        call.keys.notify(Event::XTRIM, key);
    }
    if call.keys.is_logged() {
        let mut words: Vec<&[u8]> = vec![b"XADD", key];
        let mut number = itoa::Buffer::new();
        if let Some(trim) = options.trim.filter(|_| trimmed > 0) {
            words.extend(trimmed_to(trim.references, number.format(len).as_bytes()));
        }
        let id = id.text();
        words.push(id.as_bytes());
        words.extend(fields.iter());
        call.keys.log_as(&words);
    }
    super::write_id(call.reply, id)
}

/// What became of a stream.
struct Added {
    id: StreamId,
    /// Entries that were removed from its begin.
    trimmed: u64,
    /// Entries that it has now.
    len: u64,
}

/// The options of a trim that leaves exactly `len` entries: how many an approximate one leaves differs between servers.
fn trimmed_to(references: References, len: &[u8]) -> impl Iterator<Item = &[u8]> {
    let references: Option<&[u8]> = match references {
        References::Keep => None,
        References::Delete => Some(b"DELREF"),
        References::Acknowledged => Some(b"ACKED"),
    };
    [b"MAXLEN".as_slice(), b"=", len].into_iter().chain(references)
}

/// `XTRIM key MAXLEN|MINID [=|~] threshold [LIMIT count] [KEEPREF|DELREF|ACKED]`
pub fn xtrim(call: &mut Call) -> CommandResult {
    let options = Options::parse(call, false)?;
    let key = call.arg(1);
    let (Some(found), Some(trim)) = (find(call.keys, key)?, options.trim) else { return call.reply.integer(0) };
    let stream = stream_of(call.keys, found);
    let (removed, len) = (stream.trim(&trim), stream.len());
    if removed > 0 {
        call.keys.changed_by(key, removed, Event::XTRIM);
        let mut number = itoa::Buffer::new();
        let options = trimmed_to(trim.references, number.format(len).as_bytes());
        call.keys.log_as(&[b"XTRIM", key].into_iter().chain(options).collect::<Vec<_>>());
    }
    call.reply.integer(removed as i64)
}
