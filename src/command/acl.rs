//! `ACL`: users and what they may do; and what is answered to a request that is not allowed.

use super::call::Call;
use super::client::{describe, kill};
use crate::acl::{
    Account, Context, DEFAULT, Denial, Reason, RulesError, Selector, begins_with_all_channels, hexadecimal, is_name,
};
use crate::client::Session;
use crate::config::{Directive, error_text};
use crate::resp::{Args, CommandResult, ErrorReply, OwnedRequest};
use crate::spec::{AclCategories, CommandSpec, all, errors};
use crate::state::{State, unix_time_ms};
use crate::stats::Figure;
use rand::RngCore;

const NO_FILE: ErrorReply = ErrorReply::fixed(
    "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command \
     and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis \
     configuration.",
);
const PASSWORD_BITS_MAX: i64 = 4096;
/// Entries that `ACL LOG` shows unless told otherwise.
const LOG_SHOWN: i64 = 10;

/// When a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// When it comes.
    Request,
    /// When `EXEC` is to run it, which was allowed to be queued.
    Exec,
    /// When a script asks for it.
    Script,
}

/// Notes that a request was refused, and returns the error for it.
#[cold]
pub(super) fn denied(
    state: &State,
    session: &Session,
    (spec, args): (&CommandSpec, Args<'_>),
    denial: Denial,
    occasion: Occasion,
) -> ErrorReply {
    let (figure, object) = match denial {
        Denial::Command => (Figure::CommandDenials, spec.name.as_bytes()),
        Denial::Key(index) => (Figure::KeyDenials, args.at(index)),
        Denial::Channel(index) => (Figure::ChannelDenials, args.at(index)),
    };
    state.stats.add(figure, 1);
    let context = match occasion {
        Occasion::Request => context_of(session),
        Occasion::Exec => Context::Multi,
        Occasion::Script => Context::Script,
    };
    note(state, session, args, (denial.into(), context), object, &session.account.name);
    match occasion {
        Occasion::Request => not_allowed(spec, denial),
        Occasion::Exec => no_longer_allowed(denial),
        Occasion::Script => not_allowed_to_script(spec, denial, &session.account.name),
    }
}

/// Whether a session's user may run a command, `name`, on no key. That it may not is noted as if the command had been sent. A command
/// that `rename-command` has taken away is unknown.
pub fn may_run(state: &State, session: &Session, name: &str) -> Result<(), ErrorReply> {
    let request = OwnedRequest::new(name.split('|').map(str::as_bytes).collect::<Vec<_>>().into_iter());
    let known = state.table.lookup_full(name.as_bytes()).filter(|spec| spec.name == name);
    let Some(spec) = known else { return Err(errors::unknown_command(request.args())) };
    let checked = session.check(spec, request.args());
    checked.map_err(|denial| denied(state, session, (spec, request.args()), denial, Occasion::Request))
}

fn not_allowed(spec: &CommandSpec, denial: Denial) -> ErrorReply {
    match denial {
        Denial::Command => {
            ErrorReply::new(format!("NOPERM this user has no permissions to run the '{}' command", spec.name))
        }
        Denial::Key(_) => {
            ErrorReply::fixed("NOPERM this user has no permissions to access one of the keys used as arguments")
        }
        Denial::Channel(_) => {
            ErrorReply::fixed("NOPERM this user has no permissions to access one of the channels used as arguments")
        }
    }
}

fn no_longer_allowed(denial: Denial) -> ErrorReply {
    let reason = match denial {
        Denial::Command => "no permission to execute the command or subcommand",
        Denial::Key(_) => "no permission to touch the specified keys",
        Denial::Channel(_) => "no permission to access one of the channels used as arguments to the command",
    };
    ErrorReply::new(format!(
        "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no \
         longer allowed for the following reason: {reason}"
    ))
}

fn not_allowed_to_script(spec: &CommandSpec, denial: Denial, user: &[u8]) -> ErrorReply {
    match denial {
        Denial::Command => {
            let (user, command) = (String::from_utf8_lossy(user), spec.name);
            ErrorReply::new(format!(
                "ERR ACL failure in script: User {user} has no permissions to run the '{command}' command"
            ))
        }
        Denial::Key(_) => ErrorReply::fixed("ERR ACL failure in script: No permissions to access a key"),
        Denial::Channel(_) => ErrorReply::fixed("ERR ACL failure in script: No permissions to access a channel"),
    }
}

/// What `ACL DRYRUN` says of a request that would be refused.
fn reason(spec: &CommandSpec, args: Args<'_>, denial: Denial) -> Vec<u8> {
    let (before, what, behind): (&[u8], &[u8], &[u8]) = match denial {
        Denial::Command => (b"run the '", spec.name.as_bytes(), b"' command"),
        Denial::Key(index) => (b"access the '", args.at(index), b"' key"),
        Denial::Channel(index) => (b"access the '", args.at(index), b"' channel"),
    };
    [b"This user has no permissions to ", before, what, behind].concat()
}

fn context_of(session: &Session) -> Context {
    if session.transaction.is_some() { Context::Multi } else { Context::TopLevel }
}

/// Notes that a password was wrong.
pub(super) fn note_wrong_password(state: &State, session: &Session, args: Args<'_>, user: &[u8]) {
    state.stats.add(Figure::AuthFailures, 1);
    note(state, session, args, (Reason::Auth, context_of(session)), args.at(0), user);
}

fn note(state: &State, session: &Session, args: Args<'_>, why: (Reason, Context), object: &[u8], user: &[u8]) {
    let mut client = Vec::new();
    describe(state, &session.client, Some(args), &mut client);
    client.pop_if(|byte| *byte == b'\n');
    let count_max = state.settings.int(Directive::AcllogMaxLen) as usize;
    state.acl.denials.lock().add(why, object.to_vec(), user.into(), client, unix_time_ms(), count_max);
}

/// Ends the connections of users.
fn end_connections(call: &mut Call, users: &[Box<[u8]>]) {
    for client in call.state.clients.all() {
        if users.contains(&client.names.read().user) {
            kill(call, &client);
        }
    }
}

/// Ends the connections that listen to what their user may not listen to any more.
fn end_subscriptions(call: &mut Call, account: &Account) {
    let user = account.user();
    let forbidden = call.state.pubsub.listeners(|client, channel, is_pattern| {
        *client.names.read().user == *account.name && !user.may_listen(channel, is_pattern)
    });
    forbidden.iter().for_each(|client| kill(call, client));
}

/// `ACL WHOAMI`
pub fn acl_whoami(call: &mut Call) -> CommandResult {
    call.reply.bulk(&call.session.account.name)
}

/// `ACL USERS`
pub fn acl_users(call: &mut Call) -> CommandResult {
    let accounts = call.state.acl.accounts();
    call.reply.array(accounts.len())?;
    accounts.iter().try_for_each(|account| call.reply.bulk(&account.name))
}

/// `ACL LIST`
pub fn acl_list(call: &mut Call) -> CommandResult {
    call.reply.bulk_array(&call.state.acl.list())
}

/// `ACL CAT [category]`
pub fn acl_cat(call: &mut Call) -> CommandResult {
    if call.args.len() > 3 {
        return Err(errors::subcommand_syntax(call.args));
    }
    let names: Vec<&str> = match call.args.get(2) {
        None => AclCategories::ALL.iter().map(|(word, _)| *word).collect(),
        Some(word) => {
            let category = std::str::from_utf8(word).ok().and_then(AclCategories::from_word);
            let category = category.ok_or_else(|| ErrorReply::about("ERR Unknown category '", word, "'"))?;
            all().filter(|spec| spec.acl.contains(category)).map(|spec| spec.name).collect()
        }
    };
    call.reply.bulk_array(&names)
}

/// `ACL GENPASS [bits]`: random hexadecimal digits.
pub fn acl_genpass(call: &mut Call) -> CommandResult {
    if call.args.len() > 3 {
        return Err(errors::subcommand_syntax(call.args));
    }
    let bits = if call.args.len() > 2 { call.integer(2)? } else { 256 };
    if !(1..=PASSWORD_BITS_MAX).contains(&bits) {
        return Err(ErrorReply::fixed(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
        ));
    }
    let mut bytes = [0; PASSWORD_BITS_MAX as usize / 8];
    rand::rng().fill_bytes(&mut bytes);
    let digits = hexadecimal(&bytes);
    call.reply.bulk(&digits.as_bytes()[..(bits as usize).div_ceil(4)])
}

/// `ACL SETUSER username [rule ...]`
pub fn acl_setuser(call: &mut Call) -> CommandResult {
    let name = call.arg(2);
    if !is_name(name) {
        return Err(ErrorReply::fixed("ERR Usernames can't contain spaces or null characters"));
    }
    let rules: Vec<&[u8]> = call.args.from(3).iter().collect();
    let account =
        call.state.acl.set_user(name, &rules, begins_with_all_channels(&call.state.settings)).map_err(|error| {
            match error {
                RulesError::Unmatched(rule) => {
                    ErrorReply::about("ERR Unmatched parenthesis in acl selector starting at '", &rule, "'.")
                }
                RulesError::Rule(rule, error) => {
                    ErrorReply::about("ERR Error in ACL SETUSER modifier '", &rule, &format!("': {error}"))
                }
            }
        })?;
    end_subscriptions(call, &account);
    call.reply.ok()
}

/// `ACL DELUSER username [username ...]`: how many there were.
pub fn acl_deluser(call: &mut Call) -> CommandResult {
    let names: Vec<&[u8]> = call.args.from(2).iter().collect();
    if names.contains(&DEFAULT) {
        return Err(ErrorReply::fixed("ERR The 'default' user cannot be removed"));
    }
    let mut deleted: Vec<Box<[u8]>> = names.into_iter().map(Box::from).collect();
    deleted.retain(|name| call.state.acl.delete(name));
    end_connections(call, &deleted);
    call.reply.count(deleted.len())
}

/// `ACL GETUSER username`: what is known of the user; null if there is none.
pub fn acl_getuser(call: &mut Call) -> CommandResult {
    let Some(account) = call.state.acl.find(call.arg(2)) else { return call.reply.null() };
    let user = account.user();
    let reply = &mut *call.reply;
    reply.map(6)?;
    reply.bulk(b"flags")?;
    reply.set(user.flags().count())?;
    user.flags().try_for_each(|flag| reply.bulk(flag.as_bytes()))?;
    reply.bulk(b"passwords")?;
    reply.array(user.passwords().len())?;
    user.passwords().try_for_each(|digits| reply.bulk(digits.as_bytes()))?;
    let (root, others) = user.selectors();
    let write = |reply: &mut crate::resp::Reply, selector: &Selector| {
        reply.bulk(b"commands")?;
        reply.bulk(&selector.describe_commands())?;
        reply.bulk(b"keys")?;
        reply.bulk(&selector.describe_keys())?;
        reply.bulk(b"channels")?;
        reply.bulk(&selector.describe_channels())
    };
    write(reply, root)?;
    reply.bulk(b"selectors")?;
    reply.array(others.len())?;
    others.iter().try_for_each(|selector| {
        reply.map(3)?;
        write(reply, selector)
    })
}

/// `ACL DRYRUN username command [argument ...]`: whether the user might run it, and if not, why.
pub fn acl_dryrun(call: &mut Call) -> CommandResult {
    let Some(account) = call.state.acl.find(call.arg(2)) else {
        return Err(ErrorReply::about("ERR User '", call.arg(2), "' not found"));
    };
    let args = call.args.from(3);
    let Some(spec) = call.state.table.lookup(args.at(0)).and_then(|named| named.resolve(args)) else {
        return Err(ErrorReply::about("ERR Command '", args.at(0), "' not found"));
    };
    if !spec.accepts(args.len()) {
        return Err(errors::wrong_arity(spec));
    }
    match account.check(spec, args) {
        Ok(()) => call.reply.ok(),
        Err(denial) => call.reply.bulk(&reason(spec, args, denial)),
    }
}

/// `ACL LOG [count | RESET]`: what was refused lately.
pub fn acl_log(call: &mut Call) -> CommandResult {
    if call.args.len() > 3 {
        return Err(errors::subcommand_syntax(call.args));
    }
    let count = match call.args.get(2) {
        None => LOG_SHOWN,
        Some(word) if word.eq_ignore_ascii_case(b"reset") => {
            call.state.acl.denials.lock().clear();
            return call.reply.ok();
        }
        Some(_) => call.integer(2)?.max(0),
    };
    let denials = call.state.acl.denials.lock();
    let shown = usize::try_from(count).unwrap_or(usize::MAX).min(denials.entries().len());
    let now_ms = unix_time_ms();
    let reply = &mut *call.reply;
    reply.array(shown)?;
    for entry in denials.entries().take(shown) {
        reply.map(10)?;
        reply.bulk(b"count")?;
        reply.integer(entry.count as i64)?;
        for (name, value) in [
            ("reason", entry.reason.name().as_bytes()),
            ("context", entry.context.name().as_bytes()),
            ("object", &entry.object),
            ("username", &entry.user),
        ] {
            reply.bulk(name.as_bytes())?;
            reply.bulk(value)?;
        }
        reply.bulk(b"age-seconds")?;
        let mut age = Vec::new();
        crate::value::double::append((now_ms - entry.created_ms) as f64 / 1000.0, &mut age);
        reply.double_text(&String::from_utf8_lossy(&age))?;
        reply.bulk(b"client-info")?;
        reply.bulk(&entry.client)?;
        for (name, value) in [
            ("entry-id", entry.id as i64),
            ("timestamp-created", entry.created_ms),
            ("timestamp-last-updated", entry.updated_ms),
        ] {
            reply.bulk(name.as_bytes())?;
            reply.integer(value)?;
        }
    }
    Ok(())
}

/// `ACL LOAD`: the users of `aclfile` in place of those that there are.
pub fn acl_load(call: &mut Call) -> CommandResult {
    let path = call.state.settings.path(Directive::Aclfile).ok_or(NO_FILE)?;
    let gone = call
        .state
        .acl
        .load(&path, begins_with_all_channels(&call.state.settings))
        .map_err(|error| ErrorReply::new(format!("ERR {}", error.about(&path))))?;
    end_connections(call, &gone);
    call.reply.ok()
}

/// `ACL SAVE`: the users into `aclfile`.
pub fn acl_save(call: &mut Call) -> CommandResult {
    let path = call.state.settings.path(Directive::Aclfile).ok_or(NO_FILE)?;
    if let Err(error) = call.state.acl.save(&path) {
        tracing::warn!("Saving ACL file {}: {}", path.display(), error_text(&error));
        return Err(ErrorReply::fixed(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
        ));
    }
    call.reply.ok()
}
