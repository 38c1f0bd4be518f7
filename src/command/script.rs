//! `EVAL` and its kin, `FCALL`, and `SCRIPT`: running scripts and functions, with their shards locked from their begin to their
//! end: all, but for scripts that are known to use no other keys than they are given.

#[cfg(test)]
mod tests;

use super::acl::{self, Occasion};
use super::call::{Call, Mode};
use super::dispatch::disk_error;
use super::handlers::handler;
use super::keys::Keys;
use super::limits;
use super::monitor;
use super::run::{self, count_error};
use super::tracking;
use crate::client::{ClientFlags, Session};
use crate::config::Directive;
use crate::resp::{Args, CommandResult, ErrorReply, Protocol, Reply};
use crate::script::{
    self, Digest, Function, Host, Input, Replication, Running, Script, ScriptFlags, Shebang, Unkillable,
};
use crate::spec::{CommandFlags, CommandSpec};
use crate::state::{State, unix_time_ms};
use crate::store::ShardSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What scripts may run when `DEBUG SET-DISABLE-DENY-SCRIPTS` says so.
const DEBUGGING: [&str; 2] = ["client|list", "debug"];

const NO_SCRIPT: ErrorReply = ErrorReply::fixed("NOSCRIPT No matching script. Please use EVAL.");

/// What runs the commands of a script.
struct Runner<'r, 'k> {
    state: &'k State,
    keys: &'r mut Keys<'k>,
    /// The client, which has the script's database and protocol meanwhile.
    session: &'r mut Session,
    is_read_only: bool,
    allows_oom: bool,
    running: Running<'k>,
    /// All shards are held, and any key may be used.
    holds_all: bool,
    /// The digest of the script, or the name of the function, and the request that runs it.
    name: &'r str,
    request: Args<'r>,
    /// The keys that it was given, until it reads any.
    declared: Option<Args<'r>>,
    /// It has been let write: from then on it is not stopped for want of memory.
    has_written: bool,
    /// An error is part of what it returned.
    returns_error: bool,
}

impl Runner<'_, '_> {
    /// The command that a script names.
    fn find(&self, args: Args<'_>) -> Option<&'static CommandSpec> {
        self.state.table.lookup(args.at(0)).and_then(|named| named.resolve(args))
    }

    /// Why a command may not run, whatever the state of the server.
    fn prohibition(&self, spec: &CommandSpec, args: Args<'_>) -> Option<ErrorReply> {
        if !spec.accepts(args.len()) || spec.is_container() && handler(spec).is_none() {
            return Some(ErrorReply::fixed("ERR Wrong number of args calling Redis command from script"));
        }
        let is_let_in = self.state.scripts.lets_debugging_in.load(Ordering::Relaxed) && DEBUGGING.contains(&spec.name);
        (spec.has(CommandFlags::NOSCRIPT) && !is_let_in)
            .then_some(ErrorReply::fixed("ERR This Redis command is not allowed from script"))
    }

    /// Why a command may not run now.
    fn refusal(&mut self, spec: &CommandSpec, args: Args<'_>) -> Option<ErrorReply> {
        let state = self.state;
        let writes = spec.has(CommandFlags::WRITE);
        if is_stale(state) && !self.session.obeys && !spec.has(CommandFlags::STALE) {
            return Some(ErrorReply::fixed("ERR Can not execute the command on a stale replica"));
        }
        if let Err(denial) = self.session.check(spec, args) {
            return Some(acl::denied(state, self.session, (spec, args), denial, Occasion::Script));
        }
        if self.is_read_only && (writes || spec.has(CommandFlags::MAY_REPLICATE)) {
            return Some(ErrorReply::fixed("ERR Write commands are not allowed from read-only scripts."));
        }
        if self.session.obeys {
            return None;
        }
        // One that has written already is not stopped in the middle.
        if writes
            && !self.has_written
            && let Some(error) = write_refusal(state)
        {
            return Some(error);
        }
        if !self.holds_all && !run::request_shards(state, spec, args).is_subset(self.keys.locked().set()) {
            tracing::error!("A script that was taken to keep to its keys uses another: {}", self.name);
            return Some(ErrorReply::fixed("ERR Script attempted to access a key that it was not given"));
        }
        let is_out_of_memory = self.session.is_out_of_memory && !self.allows_oom && !self.has_written;
        (is_out_of_memory && spec.has(CommandFlags::DENYOOM)).then_some(ErrorReply::OUT_OF_MEMORY)
    }
}

/// Whether the server is a replica whose data are stale, and does not serve them.
fn is_stale(state: &State) -> bool {
    state.replication.is_replica()
        && state.replication.is_stale()
        && !state.settings.flag(Directive::ReplicaServeStaleData)
}

/// Why nothing may be written now.
fn write_refusal(state: &State) -> Option<ErrorReply> {
    if state.replication.is_replica() && state.settings.flag(Directive::ReplicaReadOnly) {
        return Some(ErrorReply::fixed("READONLY You can't write against a read only replica."));
    }
    if let Some(error) = disk_error(state) {
        return Some(error);
    }
    limits::lacks_replicas(state).then_some(ErrorReply::fixed("NOREPLICAS Not enough good replicas to write."))
}

impl Host for Runner<'_, '_> {
    fn call(&mut self, args: Args<'_>, reply: &mut Reply, replication: Replication) -> Result<(), Vec<u8>> {
        let state = self.state;
        let refused = |(spec, error): (Option<&CommandSpec>, ErrorReply)| {
            count_error(state, &error);
            if let Some(spec) = spec {
                state.stats.rejected(spec.id);
            }
            error.as_bytes().to_vec()
        };
        let unknown = ErrorReply::fixed("ERR Unknown Redis command called from script");
        let spec = self.find(args).ok_or((None, unknown)).and_then(|spec| {
            let refusal = self.prohibition(spec, args).or_else(|| self.refusal(spec, args));
            refusal.map_or(Ok(spec), |error| Err((Some(spec), error)))
        });
        let spec = spec.map_err(refused)?;
        if spec.has(CommandFlags::WRITE) && !self.has_written {
            self.has_written = true;
            self.running.note_write();
        }
        let begun = crate::access::ticks();
        self.keys.set_database(self.session.database);
        let logs = self.keys.begin_part(replication);
        let (failed, _) = run::call(state, self.session, spec, args, self.keys, reply, Mode::Transaction);
        self.keys.end_part(logs, replication);
        if !state.monitors.is_empty() {
            monitor::feed_from_script(state, self.session, spec, args);
        }
        if self.session.client.has(ClientFlags::TRACKING)
            && spec.has(CommandFlags::READONLY)
            && let Some(declared) = self.declared.take()
        {
            tracking::note_declared(&self.session.client, declared, self.keys);
        }
        let nanoseconds = crate::access::nanoseconds_between(begun, crate::access::ticks());
        state.stats.called(spec.id, nanoseconds, failed, state.settings.flag(Directive::LatencyTracking));
        if nanoseconds / 1000 >= limits::slow_threshold_us(state) {
            limits::note_slow(state, self.session, spec, args, nanoseconds / 1000);
        }
        limits::note_large(state, self.session, spec, args, reply.len());
        Ok(())
    }

    fn is_allowed(&mut self, args: Args<'_>) -> Option<bool> {
        let spec = self.state.table.lookup(args.at(0))?.resolve(args)?;
        spec.accepts(args.len()).then(|| self.session.check(spec, args).is_ok())
    }

    fn look(&mut self) -> Option<&'static str> {
        let limit_ms = self.state.settings.int(Directive::BusyReplyThreshold);
        self.running.look(self.name, self.request, unix_time_ms(), limit_ms)
    }

    fn note_error(&mut self, error: &ErrorReply, is_counted: bool) {
        self.returns_error = true;
        if !is_counted {
            count_error(self.state, error);
        }
    }
}

/// The flags of a command that runs a script: those of the table, unless the script says itself what it does.
pub(super) fn flags_of(state: &State, spec: &CommandSpec, args: Args<'_>) -> CommandFlags {
    let Some(text) = args.get(1) else { return spec.flags };
    let says = match spec.name {
        "eval" | "eval_ro" => Shebang::of(text).ok().and_then(|shebang| shebang.flags),
        "fcall" | "fcall_ro" => state.scripts.libraries.find(text).map(|function| function.flags()),
        _ => ask_digest(state, text, |script| script.shebang.flags).flatten(),
    };
    let Some(says) = says else {
        // A function that nobody knows may do anything: so have it Redis and Valkey, for CLIENT PAUSE.
        return if spec.name == "fcall" { spec.flags.union(CommandFlags::MAY_REPLICATE) } else { spec.flags };
    };
    let taken = [CommandFlags::STALE, CommandFlags::DENYOOM, CommandFlags::WRITE, CommandFlags::MAY_REPLICATE];
    let mut flags = taken.into_iter().fold(spec.flags, CommandFlags::without);
    if !says.has_any(ScriptFlags::NO_WRITES) {
        flags = flags.union(CommandFlags::WRITE);
    }
    if !says.has_any(ScriptFlags::NO_WRITES | ScriptFlags::ALLOW_OOM) {
        flags = flags.union(CommandFlags::DENYOOM);
    }
    if says.has_any(ScriptFlags::ALLOW_STALE) {
        flags = flags.union(CommandFlags::STALE);
    }
    flags
}

/// What `of` says of the script of a digest in hexadecimal digits, if it is known.
fn ask_digest<R>(state: &State, text: &[u8], of: impl Fn(&Arc<Script>) -> R) -> Option<R> {
    state.scripts.ask(&Digest::named(text)?, of)
}

/// The shards that a command which runs a script takes: those of the keys that it gives, if it gives any and the script is known to
/// use no others, else all.
pub(super) fn shards(state: &State, session: &Session, spec: &CommandSpec, args: Args<'_>) -> ShardSet {
    let all = state.keyspace.all_shards();
    let Some(text) = args.get(1) else { return all };
    let keeps_to_keys = |script: &Arc<Script>| script.keeps_to_keys;
    let is_proven = match spec.name {
        "eval" | "eval_ro" => state.scripts.ask_text(text, keeps_to_keys),
        "evalsha" | "evalsha_ro" => ask_digest(state, text, keeps_to_keys),
        _ => None,
    };
    if session.obeys || is_proven != Some(true) {
        return all;
    }
    match run::key_shards(state, spec, args) {
        ShardSet::EMPTY => all,
        given => given,
    }
}

/// `EVAL script numkeys [key …] [arg …]`
pub fn eval(call: &mut Call) -> CommandResult {
    feed_monitors(call);
    let arguments = Arguments::of(call)?;
    let script = known_or_new(call.state, call.arg(1), true)?;
    run_program(call, Program::Script(&script), &arguments)
}

/// `EVAL_RO`
pub fn eval_ro(call: &mut Call) -> CommandResult {
    eval(call)
}

/// `EVALSHA sha1 numkeys [key …] [arg …]`
pub fn evalsha(call: &mut Call) -> CommandResult {
    feed_monitors(call);
    let digest = Digest::named(call.arg(1)).ok_or(NO_SCRIPT)?;
    let arguments = Arguments::of(call)?;
    let script = call.state.scripts.find(&digest).ok_or(NO_SCRIPT)?;
    run_program(call, Program::Script(&script), &arguments)
}

/// `EVALSHA_RO`
pub fn evalsha_ro(call: &mut Call) -> CommandResult {
    evalsha(call)
}

/// `FCALL function numkeys [key …] [arg …]`
pub fn fcall(call: &mut Call) -> CommandResult {
    feed_monitors(call);
    let unknown = ErrorReply::fixed("ERR Function not found");
    let function = call.state.scripts.libraries.find(call.arg(1)).ok_or(unknown)?;
    let keys = call.integer(2).map_err(|_| ErrorReply::fixed("ERR Bad number of keys provided"))?;
    let arguments = Arguments::new(call, keys)?;
    run_program(call, Program::Function(&function), &arguments)
}

/// `FCALL_RO`
pub fn fcall_ro(call: &mut Call) -> CommandResult {
    fcall(call)
}

/// Shows monitors a request that runs a script: before its commands, and also if it is refused.
fn feed_monitors(call: &Call) {
    if !call.state.monitors.is_empty() {
        monitor::feed_script(call.state, call.session, call.spec, call.args);
    }
}

/// The number of keys that a request names.
struct Arguments {
    keys: usize,
}

impl Arguments {
    fn of(call: &Call) -> Result<Arguments, ErrorReply> {
        Arguments::new(call, call.integer(2)?)
    }

    fn new(call: &Call, keys: i64) -> Result<Arguments, ErrorReply> {
        if keys > call.args.len() as i64 - 3 {
            return Err(ErrorReply::fixed("ERR Number of keys can't be greater than number of args"));
        }
        let keys = usize::try_from(keys).map_err(|_| ErrorReply::fixed("ERR Number of keys can't be negative"))?;
        Ok(Arguments { keys })
    }
}

/// The script of a text, which is kept if it was not known. Errors: it cannot be compiled.
fn known_or_new(state: &State, text: &[u8], is_evaluated: bool) -> Result<Arc<Script>, ErrorReply> {
    if is_evaluated && let Some(script) = state.scripts.find_text(text) {
        return Ok(script);
    }
    let shebang = Shebang::of(text).map_err(|reason| ErrorReply::new([b"ERR ".as_slice(), &reason].concat()))?;
    script::check(&state.scripts, shebang.len, text).map_err(ErrorReply::new)?;
    let keeps_to_keys = script::keeps_to_keys(&text[shebang.len..], &state.table);
    Ok(state.scripts.insert(Digest::of(text), text, (shebang, keeps_to_keys), is_evaluated))
}

/// What is run.
#[derive(Clone, Copy)]
enum Program<'p> {
    Script(&'p Arc<Script>),
    Function(&'p Function),
}

impl Program<'_> {
    fn name(&self) -> &str {
        match self {
            Program::Script(script) => script.digest.as_str(),
            Program::Function(function) => function.name(),
        }
    }

    /// What it says of itself, if it does.
    fn flags(&self) -> Option<ScriptFlags> {
        match self {
            Program::Script(script) => script.shebang.flags,
            Program::Function(function) => Some(function.flags()),
        }
    }
}

/// Why a script or a function with these flags may not begin.
fn start_refusal(call: &Call, flags: Option<ScriptFlags>) -> Option<ErrorReply> {
    let state = call.state;
    if call.session.obeys {
        return None;
    }
    let Some(flags) = flags else {
        let error = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
        return is_stale(state).then_some(ErrorReply::fixed(error));
    };
    if is_stale(state) && !flags.has_any(ScriptFlags::ALLOW_STALE) {
        return Some(ErrorReply::fixed(
            "MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and 'allow-stale' flag is not \
             set on the script.",
        ));
    }
    if !flags.has_any(ScriptFlags::NO_WRITES) {
        if call.spec.has(CommandFlags::READONLY) {
            return Some(ErrorReply::fixed("ERR Can not execute a script with write flag using *_ro command."));
        }
        if state.replication.is_replica() && state.settings.flag(Directive::ReplicaReadOnly) {
            return Some(ErrorReply::fixed("READONLY You can not run script with write flag on readonly replica."));
        }
        if let Some(error) = write_refusal(state) {
            return Some(error);
        }
    }
    let needs_memory = !flags.has_any(ScriptFlags::ALLOW_OOM | ScriptFlags::NO_WRITES);
    (needs_memory && call.session.is_out_of_memory).then_some(ErrorReply::fixed(
        "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
    ))
}

fn run_program(call: &mut Call, program: Program<'_>, arguments: &Arguments) -> CommandResult {
    if let Some(error) = start_refusal(call, program.flags()) {
        return Err(error);
    }
    // A script whose first line says nothing has no flags.
    let flags = program.flags().unwrap_or_default();
    let session = &mut *call.session;
    // What the script selects is selected for itself alone.
    let (protocol, selected, database) = (session.protocol, session.database, call.keys.database());
    session.protocol = Protocol::Resp2;
    session.database = database;
    session.is_script = true;
    let (keys, args) = (call.args.from(3).until(arguments.keys), call.args.from(3 + arguments.keys));
    let is_function = matches!(program, Program::Function(_));
    call.keys.run_script();
    let holds_all = call.keys.locked().set() == call.state.keyspace.all_shards();
    let mut runner = Runner {
        state: call.state,
        running: call.state.scripts.running.begin(call.keys.now_ms(), session.obeys, is_function),
        holds_all,
        keys: call.keys,
        session,
        is_read_only: call.spec.has(CommandFlags::READONLY) || flags.has_any(ScriptFlags::NO_WRITES),
        allows_oom: flags.has_any(ScriptFlags::ALLOW_OOM),
        name: program.name(),
        request: call.args,
        declared: Some(keys),
        has_written: false,
        returns_error: false,
    };
    let begin = call.reply.len();
    let (scripts, input) = (&call.state.scripts, Input { keys, args });
    let result = match program {
        Program::Script(script) => script::run(scripts, script, &input, &mut runner, call.reply),
        Program::Function(function) => script::call(scripts, function, &input, &mut runner, call.reply),
    };
    let returns_error = runner.returns_error;
    drop(runner);
    call.has_failed = returns_error;
    call.keys.set_database(database);
    let session = &mut *call.session;
    (session.protocol, session.is_script) = (protocol, false);
    session.select(selected);
    // Its commands have said what they did.
    call.keys.restate();
    let Err(error) = result else { return Ok(()) };
    let written = ErrorReply::new(error.text);
    if !error.is_counted {
        return Err(written);
    }
    call.reply.truncate(begin);
    call.has_failed = true;
    call.reply.error(&written)
}

/// `SCRIPT LOAD script`
pub fn script_load(call: &mut Call) -> CommandResult {
    let script = known_or_new(call.state, call.arg(2), false)?;
    call.reply.bulk(script.digest.as_str().as_bytes())
}

/// `SCRIPT EXISTS sha1 [sha1 …]`
pub fn script_exists(call: &mut Call) -> CommandResult {
    let digests = call.args.from(2);
    call.reply.array(digests.len())?;
    digests.iter().try_for_each(|digest| call.reply.flag(ask_digest(call.state, digest, |_| ()).is_some()))
}

/// `SCRIPT SHOW sha1`
pub fn script_show(call: &mut Call) -> CommandResult {
    let script = ask_digest(call.state, call.arg(2), Arc::clone).ok_or(NO_SCRIPT)?;
    call.reply.bulk(&script.text)
}

/// `SCRIPT FLUSH [ASYNC | SYNC]`
pub fn script_flush(call: &mut Call) -> CommandResult {
    if call.args.len() > 3 || call.args.len() == 3 && !call.is_word(2, "sync") && !call.is_word(2, "async") {
        return Err(ErrorReply::fixed("ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    call.state.scripts.flush();
    call.reply.ok()
}

/// `SCRIPT KILL`
pub fn script_kill(call: &mut Call) -> CommandResult {
    kill(call, false)
}

/// Has the script, or the function, that runs end.
pub(super) fn kill(call: &mut Call, is_function: bool) -> CommandResult {
    match call.state.scripts.running.kill(is_function) {
        Ok(()) => call.reply.ok(),
        Err(reason) => Err(unkillable(call.state, reason)),
    }
}

fn unkillable(state: &State, reason: Unkillable) -> ErrorReply {
    ErrorReply::fixed(match reason {
        Unkillable::IsOther => return state.scripts.running.busy_error(),
        Unkillable::NotRunning => "NOTBUSY No scripts in execution right now.",
        Unkillable::HasWritten => {
            "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script \
             termination or kill the server in a hard way using the SHUTDOWN NOSAVE command."
        }
        Unkillable::IsObedient => {
            "UNKILLABLE The busy script was sent by a master instance in the context of replication and cannot be killed."
        }
    })
}

/// `SCRIPT DEBUG YES | SYNC | NO`
pub fn script_debug(call: &mut Call) -> CommandResult {
    if call.is_word(2, "no") {
        return call.reply.ok();
    }
    if call.is_word(2, "yes") || call.is_word(2, "sync") {
        return Err(ErrorReply::fixed("ERR scripts cannot be debugged on this server"));
    }
    Err(ErrorReply::fixed("ERR Use SCRIPT DEBUG YES/SYNC/NO"))
}
