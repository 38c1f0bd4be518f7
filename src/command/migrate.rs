//! `MIGRATE`: moves keys to another server.

use super::blocking;
use super::call::{Call, Mode, Unanswered};
use super::keys::Keys;
use crate::config::Directive;
use crate::migration::{Parcel, Sent, Target};
use crate::persistence::rdb::payload;
use crate::resp::{CommandResult, ErrorReply, Reply};
use crate::spec::keys::migrate_options;
use crate::state::State;
use crate::store::Waiter;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// What is taken for a timeout that is none, in milliseconds.
const DEFAULT_TIMEOUT_MS: i64 = 1000;

/// Values that are sent to another server.
pub struct Shipment {
    target: Target,
    parcels: Vec<Parcel>,
    /// The database that they come from.
    database: usize,
    /// They stay here as well.
    is_copy: bool,
}

impl Shipment {
    /// Sends all and waits for the answers. Blocks its thread.
    fn send(&self, state: &State) -> Sent {
        state.migrations.links.send(&self.target, &self.parcels)
    }

    /// The keys that are to be gone once they have arrived.
    fn moved(&self) -> impl Iterator<Item = &[u8]> {
        self.parcels.iter().filter(|_| !self.is_copy).map(|parcel| &*parcel.key)
    }

    /// Removes what has arrived. Its shards are locked.
    fn remove(&self, sent: &Sent, keys: &mut Keys<'_>) {
        let mut deletion = vec![&b"DEL"[..]];
        for (key, _) in self.moved().zip(&sent.arrived).filter(|(_, arrived)| **arrived) {
            if let Some(found) = keys.peek(key) {
                keys.delete(found, key);
                deletion.push(key);
            }
        }
        if deletion.len() > 1 {
            keys.log_as(&deletion);
        }
    }
}

/// A shipment under way, and the client that waits for it.
pub struct Travel {
    shipment: Box<Shipment>,
    waiter: Arc<Waiter>,
    begun: u64,
    sent: Sent,
}

impl Travel {
    pub(super) fn new(shipment: Box<Shipment>, waiter: Arc<Waiter>, begun: u64) -> Self {
        Travel { shipment, waiter, begun, sent: Sent::default() }
    }

    /// Sends the values and waits for the answers. Blocks its thread; the caller must hold no locks.
    pub fn send(&mut self, state: &State) {
        self.sent = self.shipment.send(state);
    }

    /// Removes what has arrived, and answers the client. The caller must hold no locks.
    pub fn end(self, state: &State) {
        let Travel { shipment, waiter, begun, sent } = self;
        if !shipment.is_copy {
            blocking::change_keys(state, shipment.database, shipment.moved(), |keys| {
                shipment.remove(&sent, keys);
                state.migrations.end(shipment.moved());
            });
        }
        blocking::answer(state, &waiter, begun, |reply| answer(sent.error, reply));
    }
}

fn answer(error: Option<ErrorReply>, reply: &mut Reply) -> CommandResult {
    match error {
        Some(error) => Err(error),
        None => reply.ok(),
    }
}

/// `MIGRATE host port key|"" destination-db timeout [COPY] [REPLACE] [AUTH password | AUTH2 name password] [KEYS key …]`
pub fn migrate(call: &mut Call) -> CommandResult {
    let (target, is_copy, keys) = parse(call)?;
    let style = crate::forms::written(&call.state.settings);
    let now_ms = call.keys.now_ms();
    let mut parcels = Vec::new();
    for index in keys {
        let key = call.arg(index);
        if let Some(found) = call.keys.read(key) {
            let deadline = call.keys.deadline(found);
            parcels.push(Parcel {
                key: key.into(),
                lifetime_ms: deadline.map(|deadline| (deadline - now_ms).max(1)),
                payload: payload::write(call.keys.value(found), style),
            });
        }
    }
    if parcels.is_empty() {
        return call.reply.simple("NOKEY");
    }
    let shipment = Box::new(Shipment { target, parcels, database: call.keys.database(), is_copy });
    if call.mode == Mode::Direct {
        call.state.migrations.begin(shipment.moved());
        call.unanswered = Some(Unanswered::Sends(shipment));
        return Ok(());
    }
    // Nothing may come between it and the other commands of its transaction. What it does here is said by the removal.
    call.keys.restate();
    let sent = shipment.send(call.state);
    shipment.remove(&sent, call.keys);
    answer(sent.error, call.reply)
}

/// Where to, whether the keys stay, and which arguments they are.
fn parse(call: &Call) -> Result<(Target, bool, Range<usize>), ErrorReply> {
    let (mut is_copy, mut replaces, mut credentials, mut keys) = (false, false, Vec::new(), 3..4);
    for (word, value) in migrate_options(call.args) {
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        let mut take = |count: usize| {
            if value + count > call.args.len() {
                return Err(ErrorReply::SYNTAX);
            }
            credentials = (value..value + count).map(|index| call.arg(index).into()).collect();
            Ok(())
        };
        if is(b"COPY") {
            is_copy = true;
        } else if is(b"REPLACE") {
            replaces = true;
        } else if is(b"AUTH") {
            take(1)?;
        } else if is(b"AUTH2") {
            take(2)?;
        } else if is(b"KEYS") {
            if !call.arg(3).is_empty() {
                return Err(ErrorReply::fixed(
                    "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
                ));
            }
            keys = value..call.args.len();
        } else {
            return Err(ErrorReply::SYNTAX);
        }
    }
    let (timeout_ms, database) = (call.integer(5)?, call.integer(4)?);
    let timeout_ms = if timeout_ms > 0 { timeout_ms } else { DEFAULT_TIMEOUT_MS };
    let target = Target {
        host: String::from_utf8_lossy(call.arg(1)).into_owned(),
        // As in Redis, what is no port is one that nobody listens on.
        port: str::from_utf8(call.arg(2)).ok().and_then(|port| port.parse().ok()).unwrap_or(0),
        database,
        credentials,
        timeout: Duration::from_millis(timeout_ms as u64),
        replaces,
        tls: match call.state.settings.flag(Directive::TlsCluster) {
            true => Some(call.state.tls.client().map_err(|error| ErrorReply::new(format!("ERR {error}")))?),
            false => None,
        },
    };
    Ok((target, is_copy, keys))
}
