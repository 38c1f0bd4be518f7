//! Commands that go through the fields of a hash: all of them, step by step, or at random.

use super::read;
use crate::command::Call;
use crate::command::list::write_element;
use crate::command::scan::{self, ScanOptions, Scanned};
use crate::glob;
use crate::resp::{CommandResult, ErrorReply, Reply};
use crate::value::hash::Field;
use crate::value::packed::IntegerText;

/// `HGETALL key`
pub fn hgetall(call: &mut Call) -> CommandResult {
    let Some(hash) = read(call.keys, call.args.at(1))? else { return call.reply.map(0) };
    call.reply.map(hash.len())?;
    hash.visit(|field| write_pair(call.reply, field))
}

/// `HKEYS key`
pub fn hkeys(call: &mut Call) -> CommandResult {
    let Some(hash) = read(call.keys, call.args.at(1))? else { return call.reply.array(0) };
    call.reply.array(hash.len())?;
    hash.visit(|field| write_element(call.reply, field.name))
}

/// `HVALS key`
pub fn hvals(call: &mut Call) -> CommandResult {
    let Some(hash) = read(call.keys, call.args.at(1))? else { return call.reply.array(0) };
    call.reply.array(hash.len())?;
    hash.visit(|field| write_element(call.reply, field.value))
}

fn write_pair(reply: &mut Reply, field: Field<'_>) -> CommandResult {
    write_element(reply, field.name)?;
    write_element(reply, field.value)
}

/// `HRANDFIELD key [count [WITHVALUES]]`: different fields, or, if the count is negative, each drawn from all.
pub fn hrandfield(call: &mut Call) -> CommandResult {
    if call.args.len() == 2 {
        let Some(hash) = read(call.keys, call.args.at(1))? else { return call.reply.null() };
        if hash.is_empty() {
            return call.reply.null();
        }
        return hash.draw(1, &mut rand::rng(), |field| write_element(call.reply, field.name));
    }
    let count = call.drawn_count(2)?;
    let with_values = call.args.len() == 4 && call.is_word(3, "WITHVALUES");
    if call.args.len() > 3 && !with_values {
        return Err(ErrorReply::SYNTAX);
    }
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(ErrorReply::fixed("ERR value is out of range"));
    }
    let Some(hash) = read(call.keys, call.args.at(1))? else { return call.reply.array(0) };
    let may_repeat = count < 0;
    let len = hash.len();
    let fields = match usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) {
        _ if len == 0 => 0,
        fields if may_repeat => fields,
        fields => fields.min(len),
    };
    let nests = call.reply.is_resp3();
    call.reply.array(if with_values && !nests { fields * 2 } else { fields })?;
    let write = |field: Field<'_>| {
        if !with_values {
            return write_element(call.reply, field.name);
        }
        if nests {
            call.reply.array(2)?;
        }
        write_pair(call.reply, field)
    };
    match may_repeat {
        true => hash.draw(fields, &mut rand::rng(), write),
        false => hash.sample(fields, &mut rand::rng(), write),
    }
}

/// `HSCAN key cursor [MATCH pattern] [COUNT count] [NOVALUES]`
pub fn hscan(call: &mut Call) -> CommandResult {
    let cursor = scan::parse_cursor(call.arg(2))?;
    let Some(hash) = read(call.keys, call.args.at(1))? else {
        return scan::write_step(call.reply, 0, 0, &Reply::default());
    };
    let options = ScanOptions::parse(call.args, 3, Scanned::Fields)?;
    let mut elements = 0;
    let mut written = Reply::new(call.reply.protocol());
    let next = hash.scan(cursor, options.count, glob::literal_prefix(options.pattern), |field| {
        if options.matches(field.name.as_bytes(&mut IntegerText::default())) {
            elements += usize::from(write_element(&mut written, field.name).is_ok());
            if !options.no_values {
                elements += usize::from(write_element(&mut written, field.value).is_ok());
            }
        }
    });
    scan::write_step(call.reply, next, elements, &written)
}
