//! Commands about the connection itself, but for CLIENT.

use super::call::{Call, Mode};
use super::{acl, monitor, pubsub, tracking, transaction};
use crate::acl::{Account, DEFAULT};
use crate::client::{ClientFlags, ReplyMode};
use crate::config::Directive;
use crate::resp::{CommandResult, ErrorReply, Protocol};
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
    let session = &mut *call.session;
    pubsub::leave(call.state, session);
    monitor::leave(call.state, session);
    tracking::disable(call.state, session);
    session.client.set(ClientFlags::NO_EVICT | ClientFlags::NO_TOUCH, false);
    session.no_touch = false;
    session.reply_mode = ReplyMode::On;
    session.select(0);
    session.set_protocol(Protocol::Resp2);
    call.reply.set_protocol(Protocol::Resp2);
    session.client.names.write().name = Box::default();
    let open = !call.state.acl.needs_password();
    become_user(call, call.state.acl.default_account(), open);
    call.reply.simple("RESET")
}

fn become_user(call: &mut Call, account: Arc<Account>, authenticated: bool) {
    call.session.client.names.write().user.clone_from(&account.name);
    call.session.account = account;
    call.session.is_authenticated = authenticated;
    call.session.client.set(ClientFlags::AUTHENTICATED, authenticated);
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
            become_user(call, Arc::clone(&account), true);
            // Whoever deletes a user ends the connections that are this user's: this one may not have been yet.
            if !call.state.acl.find(user).is_some_and(|known| Arc::ptr_eq(&known, &account)) {
                super::client::kill(call, &Arc::clone(&call.session.client));
            }
            Ok(())
        }
        None => {
            acl::note_wrong_password(call, user);
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
