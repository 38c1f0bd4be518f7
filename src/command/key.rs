//! Commands on keys whatever their values: deleting, counting, renaming, copying, moving.

use super::Call;
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply};

pub(super) const SAME_OBJECT: ErrorReply = ErrorReply::fixed("ERR source and destination objects are the same");

/// `DEL key [key ...]`: how many of the keys were there. Large values are freed on another thread.
pub fn del(call: &mut Call) -> CommandResult {
    let mut deleted = 0;
    for key in call.args.from(1).iter() {
        if let Some(found) = call.keys.peek(key) {
            call.keys.delete(found, key);
            deleted += 1;
        }
    }
    call.reply.count(deleted)
}

/// `UNLINK key [key ...]`: like `DEL`, which frees in the background too.
pub fn unlink(call: &mut Call) -> CommandResult {
    del(call)
}

/// `EXISTS key [key ...]`: how many of the keys are there; a key named twice counts twice.
pub fn exists(call: &mut Call) -> CommandResult {
    let count = call.args.from(1).iter().filter(|key| call.keys.inspect(key).is_some()).count();
    call.reply.count(count)
}

/// `TOUCH key [key ...]`: like `EXISTS`, but the keys count as used.
pub fn touch(call: &mut Call) -> CommandResult {
    let count = call.args.from(1).iter().filter(|key| call.keys.refresh(key).is_some()).count();
    call.reply.count(count)
}

/// `TYPE key`
pub fn type_(call: &mut Call) -> CommandResult {
    let name = match call.keys.inspect(call.arg(1)) {
        Some(found) => call.keys.type_of(found).name(),
        None => "none",
    };
    call.reply.simple(name)
}

/// `RENAME key newkey`: what `newkey` had before is lost.
pub fn rename(call: &mut Call) -> CommandResult {
    move_to_name(call, true)?;
    call.reply.ok()
}

/// `RENAMENX key newkey`: only if `newkey` is free.
pub fn renamenx(call: &mut Call) -> CommandResult {
    let renamed = move_to_name(call, false)?;
    call.reply.flag(renamed)
}

/// Renames the first key to the second. Returns false if that was taken and must not be replaced.
fn move_to_name(call: &mut Call, replace: bool) -> Result<bool, ErrorReply> {
    let (from, to) = (call.arg(1), call.arg(2));
    if call.keys.write(from).is_none() {
        return Err(ErrorReply::NO_SUCH_KEY);
    }
    if from == to {
        return Ok(false);
    }
    if let Some(taken) = call.keys.write(to) {
        if !replace {
            return Ok(false);
        }
        call.keys.remove(taken);
    }
    // Looked up again: what was done to the one key may have moved the other.
    let Some(found) = call.keys.peek(from) else { return Err(ErrorReply::NO_SUCH_KEY) };
    let record = call.keys.detach(found);
    call.keys.attach(to, record);
    call.keys.changed(from, Event::RENAME_FROM);
    call.keys.changed_by(to, 0, Event::RENAME_TO);
    Ok(true)
}

/// The argument at `index` as the number of a database.
pub(super) fn database(call: &Call, index: usize) -> Result<usize, ErrorReply> {
    const NOT_INT: ErrorReply =
        ErrorReply::fixed("ERR value is out of range, value must between -2147483648 and 2147483647");
    let number = i32::try_from(call.integer(index)?).map_err(|_| NOT_INT)?;
    usize::try_from(number).ok().filter(|number| *number < call.state.keyspace.databases()).ok_or(ErrorReply::DB_INDEX)
}

/// `MOVE key db`: to another database, unless the key is there already.
pub fn move_(call: &mut Call) -> CommandResult {
    let key = call.arg(1);
    let target = database(call, 2)?;
    let source = call.keys.database();
    if target == source {
        return Err(SAME_OBJECT);
    }
    if call.keys.write(key).is_none() {
        return call.reply.flag(false);
    }
    call.keys.set_database(target);
    let is_taken = call.keys.write(key).is_some();
    call.keys.set_database(source);
    let found = match call.keys.peek(key) {
        Some(found) if !is_taken => found,
        _ => return call.reply.flag(false),
    };
    let record = call.keys.detach(found);
    call.keys.set_database(target);
    call.keys.attach(key, record);
    call.keys.set_database(source);
    call.keys.changed(key, Event::MOVE_FROM);
    call.keys.set_database(target);
    call.keys.changed_by(key, 0, Event::MOVE_TO);
    call.keys.set_database(source);
    call.reply.flag(true)
}

/// `COPY source destination [DB db] [REPLACE]`
pub fn copy(call: &mut Call) -> CommandResult {
    let (from, to) = (call.arg(1), call.arg(2));
    let source = call.keys.database();
    let (mut target, mut replace) = (source, false);
    let mut index = 3;
    while index < call.args.len() {
        if call.is_word(index, "REPLACE") {
            replace = true;
        } else if call.is_word(index, "DB") && index + 1 < call.args.len() {
            index += 1;
            target = database(call, index)?;
        } else {
            return Err(ErrorReply::SYNTAX);
        }
        index += 1;
    }
    if source == target && from == to {
        return Err(SAME_OBJECT);
    }
    if call.keys.read(from).is_none() {
        return call.reply.flag(false);
    }
    call.keys.set_database(target);
    let taken = call.keys.write(to);
    if taken.is_some() && !replace {
        call.keys.set_database(source);
        return call.reply.flag(false);
    }
    if let Some(taken) = taken {
        call.keys.remove(taken);
    }
    call.keys.set_database(source);
    // Looked up again: what was done to the one key may have moved the other.
    let record = call.keys.peek(from).map(|found| call.keys.duplicate(found));
    call.keys.set_database(target);
    if let Some(record) = record {
        call.keys.attach(to, record);
        call.keys.changed(to, Event::COPY_TO);
    }
    call.keys.set_database(source);
    call.reply.flag(true)
}
