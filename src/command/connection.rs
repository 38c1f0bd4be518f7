//! Commands about the connection itself, but for CLIENT.

use super::call::{Call, Mode};
use super::{acl, monitor, pubsub, tracking, transaction};
use crate::acl::{Account, DEFAULT};
use crate::client::{ClientFlags, ReplyMode, Session};
use crate::config::Directive;
use crate::resp::{CommandResult, ErrorReply, OwnedRequest, Protocol};
use crate::state::State;
use crate::value::number;
use std::sync::Arc;

const WRONG_PASSWORD: ErrorReply = ErrorReply::fixed("WRONGPASS invalid username-password pair or user is disabled.");

/// `PING [message]`
pub fn ping(call: &mut Call) -> CommandResult {
    if call.args.len() > 2 {
        return Err(ErrorReply::fixed("ERR wrong number of arguments for 'ping' command"));
    }
    if call.session.is_subscriber() && !call.reply.is_resp3() {
        call.reply.array(2)?;
        call.reply.bulk(b"pong")?;
        return call.reply.bulk(call.args.get(1).unwrap_or_default());
    }
    match call.args.get(1) {
        Some(message) => call.reply.bulk(message),
        None => call.reply.simple("PONG"),
    }
}

/// `ECHO message`
pub fn echo(call: &mut Call) -> CommandResult {
    call.reply.bulk(call.arg(1))
}

/// `SELECT index`
pub fn select(call: &mut Call) -> CommandResult {
    let index = super::key::database(call, 1)?;
    call.session.select(index);
    call.reply.ok()
}

/// `QUIT`
pub fn quit(call: &mut Call) -> CommandResult {
    call.session.close_after_reply = true;
    call.session.client.set(ClientFlags::CLOSE_AFTER_REPLY, true);
    call.reply.ok()
}

/// `RESET`: back to the state of a new connection.
pub fn reset(call: &mut Call) -> CommandResult {
    transaction::abandon_held(call);
    forget(call.state, call.session);
    call.session.set_protocol(Protocol::Resp2);
    call.reply.set_protocol(Protocol::Resp2);
    let open = !call.state.acl.needs_password();
    become_user(call.session, call.state.acl.default_account(), open);
    call.reply.simple("RESET")
}

/// Forgets what a client has said of itself and of what it listens to.
fn forget(state: &State, session: &mut Session) {
    pubsub::leave(state, session);
    monitor::leave(state, session);
    tracking::disable(state, session);
    session.client.set(ClientFlags::NO_EVICT | ClientFlags::NO_TOUCH | ClientFlags::READONLY, false);
    session.no_touch = false;
    session.reply_mode = ReplyMode::On;
    session.select(0);
    session.client.names.write().name = Box::default();
}

/// Makes a session that of a new client, which has logged in, with a name and a password, if it says so. Returns whether it may
/// send commands: false if the login is wrong, or needed.
pub fn begin(state: &State, session: &mut Session, login: Option<(&[u8], &[u8])>, protocol: Protocol) -> bool {
    transaction::abandon(state, session);
    forget(state, session);
    session.set_protocol(protocol);
    become_user(session, state.acl.default_account(), login.is_none() && !state.acl.needs_password());
    if let Some((user, password)) = login {
        if let Some(account) = state.acl.authenticate(user, password) {
            become_user(session, Arc::clone(&account), true);
            if !is_known(state, &account) {
                state.clients.kill(&session.client);
            }
        } else {
            let request = OwnedRequest::new([&b"AUTH"[..], user].into_iter());
            acl::note_wrong_password(state, session, request.args(), user);
        }
    }
    session.is_authenticated
}

/// Whether a user is still there. Whoever deletes one ends the connections that are this user's: the one that has just become so
/// may not have been yet.
fn is_known(state: &State, account: &Arc<Account>) -> bool {
    state.acl.find(&account.name).is_some_and(|known| Arc::ptr_eq(&known, account))
}

fn become_user(session: &mut Session, account: Arc<Account>, authenticated: bool) {
    session.client.names.write().user.clone_from(&account.name);
    session.account = account;
    session.is_authenticated = authenticated;
    session.client.set(ClientFlags::AUTHENTICATED, authenticated);
}

/// `AUTH [username] password`
pub fn auth(call: &mut Call) -> CommandResult {
    if call.args.len() > 3 {
        return Err(ErrorReply::SYNTAX);
    }
    let (user, password) = match call.args.len() {
        2 if call.state.acl.default_account().user().needs_no_password() => {
            return Err(ErrorReply::fixed(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ));
        }
        2 => (DEFAULT, call.arg(1)),
        _ => (call.arg(1), call.arg(2)),
    };
    log_in(call, user, password)?;
    call.reply.ok()
}

/// Makes the connection that of a user whose password is right.
fn log_in(call: &mut Call, user: &[u8], password: &[u8]) -> CommandResult {
    match call.state.acl.authenticate(user, password) {
        Some(account) => {
            become_user(call.session, Arc::clone(&account), true);
            if !is_known(call.state, &account) {
                super::client::kill(call, &Arc::clone(&call.session.client));
            }
            Ok(())
        }
        None => {
            acl::note_wrong_password(call.state, call.session, call.args, user);
            Err(WRONG_PASSWORD)
        }
    }
}

/// `HELLO [protover [AUTH username password] [SETNAME clientname]]`
pub fn hello(call: &mut Call) -> CommandResult {
    let protocol = match call.args.get(1) {
        None => None,
        Some(version) => match number::parse_i64(version) {
            Some(2) => Some(Protocol::Resp2),
            Some(3) => Some(Protocol::Resp3),
            Some(_) => return Err(ErrorReply::fixed("NOPROTO unsupported protocol version")),
            None => return Err(ErrorReply::fixed("ERR Protocol version is not an integer or out of range")),
        },
    };
    let (mut login, mut name) = (None, None);
    let mut at = 2;
    while at < call.args.len() {
        if call.is_word(at, "AUTH") && at + 2 < call.args.len() {
            login = Some((call.arg(at + 1), call.arg(at + 2)));
            at += 3;
        } else if call.is_word(at, "SETNAME") && at + 1 < call.args.len() {
            name = Some(super::client::checked_name(call.arg(at + 1))?);
            at += 2;
        } else {
            return Err(ErrorReply::about("ERR Syntax error in HELLO option '", call.arg(at), "'"));
        }
    }
    if let Some((user, password)) = login {
        log_in(call, user, password)?;
    }
    if !call.session.is_authenticated {
        return Err(ErrorReply::fixed(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> \
             <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        call.session.client.names.write().name = name.into();
    }
    if let Some(protocol) = protocol {
        call.session.listens_anew |= protocol != call.session.protocol;
        call.session.set_protocol(protocol);
        call.reply.set_protocol(protocol);
    }
    debug_assert!(call.mode != Mode::Serving);
    let zone = call.state.settings.string(Directive::AvailabilityZone);
    let reply = &mut *call.reply;
    reply.map(if zone.is_empty() { 7 } else { 8 })?;
    reply.bulk(b"server")?;
    reply.bulk(b"redis")?;
    reply.bulk(b"version")?;
    reply.bulk(crate::REDIS_VERSION.as_bytes())?;
    reply.bulk(b"proto")?;
    reply.integer(i64::from(reply.protocol().number()))?;
    reply.bulk(b"id")?;
    reply.integer(call.session.client.id as i64)?;
    reply.bulk(b"mode")?;
    reply.bulk(b"standalone")?;
    reply.bulk(b"role")?;
    reply.bulk(b"master")?;
    reply.bulk(b"modules")?;
    reply.array(0)?;
    if !zone.is_empty() {
        reply.bulk(b"availability_zone")?;
        reply.bulk(&zone)?;
    }
    Ok(())
}
