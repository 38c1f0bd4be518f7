//! Client-side caching: `CLIENT TRACKING`, `CACHING`, `TRACKINGINFO` and `GETREDIR`; which keys a command has read; and what a
//! client is told around its own commands.

use super::call::Call;
use super::keys::Keys;
use crate::client::{Client, ClientFlags, Overlap, Session};
use crate::config::Directive;
use crate::resp::{Args, CommandResult, ErrorReply, Reply};
use crate::spec::{CommandFlags, CommandSpec, Locks, keys as key_specs};
use crate::state::State;
use smallvec::SmallVec;
use std::sync::atomic::Ordering;

/// Keys that are taken out of the table at once if it has too many.
const TAKEN_OUT_MAX: usize = 100;

/// How a client is tracked, beside that it is.
const MODES: u32 = ClientFlags::TRACKING_BROADCAST
    | ClientFlags::TRACKING_OPTIN
    | ClientFlags::TRACKING_OPTOUT
    | ClientFlags::TRACKING_NOLOOP;

/// What `CLIENT TRACKING` is given behind ON or OFF.
#[derive(Default)]
struct Options<'a> {
    /// Bits of [`MODES`].
    modes: u32,
    redirect: u64,
    prefixes: Vec<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(call: &Call<'a, '_>) -> Result<Self, ErrorReply> {
        let mut options = Options::default();
        let mut at = 3;
        while at < call.args.len() {
            let has_value = at + 1 < call.args.len();
            if call.is_word(at, "REDIRECT") && has_value {
                if options.redirect != 0 {
                    return Err(ErrorReply::fixed("ERR A client can only redirect to a single other client"));
                }
                // A number below zero is nobody's id.
                let id = u64::try_from(call.integer(at + 1)?).ok();
                let other = id
                    .and_then(|id| call.state.clients.get(id))
                    .ok_or(ErrorReply::fixed("ERR The client ID you want redirect to does not exist"))?;
                options.redirect = other.id;
                at += 2;
            } else if call.is_word(at, "PREFIX") && has_value {
                options.prefixes.push(call.arg(at + 1));
                at += 2;
            } else {
                options.modes |= match () {
                    () if call.is_word(at, "BCAST") => ClientFlags::TRACKING_BROADCAST,
                    () if call.is_word(at, "OPTIN") => ClientFlags::TRACKING_OPTIN,
                    () if call.is_word(at, "OPTOUT") => ClientFlags::TRACKING_OPTOUT,
                    () if call.is_word(at, "NOLOOP") => ClientFlags::TRACKING_NOLOOP,
                    () => return Err(ErrorReply::SYNTAX),
                };
                at += 1;
            }
        }
        Ok(options)
    }

    fn has(&self, mode: u32) -> bool {
        self.modes & mode != 0
    }

    /// Whether a client may be tracked that way from now on.
    fn check(&self, session: &Session) -> CommandResult {
        let client = &session.client;
        let broadcasts = self.has(ClientFlags::TRACKING_BROADCAST);
        if !broadcasts && !self.prefixes.is_empty() {
            return Err(ErrorReply::fixed("ERR PREFIX option requires BCAST mode to be enabled"));
        }
        if client.has(ClientFlags::TRACKING) && broadcasts != client.has(ClientFlags::TRACKING_BROADCAST) {
            return Err(ErrorReply::fixed(
                "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling \
                 it with a different mode.",
            ));
        }
        let (opts_in, opts_out) = (self.has(ClientFlags::TRACKING_OPTIN), self.has(ClientFlags::TRACKING_OPTOUT));
        if broadcasts && (opts_in || opts_out) {
            return Err(ErrorReply::fixed("ERR OPTIN and OPTOUT are not compatible with BCAST"));
        }
        if opts_in && opts_out {
            return Err(ErrorReply::fixed("ERR You can't specify both OPTIN mode and OPTOUT mode"));
        }
        if opts_in && client.has(ClientFlags::TRACKING_OPTOUT) || opts_out && client.has(ClientFlags::TRACKING_OPTIN) {
            return Err(ErrorReply::fixed(
                "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling \
                 it with a different mode.",
            ));
        }
        session.prefixes.check(&self.prefixes).map_err(|overlap| overlap_error(&overlap))
    }
}

fn overlap_error(overlap: &Overlap) -> ErrorReply {
    let (added, what, other) = match overlap {
        Overlap::Present { added, present } => (added, "an existing", present),
        Overlap::Added { added, other } => (added, "another provided", other),
    };
    let parts: [&[u8]; 7] = [
        b"ERR Prefix '",
        added,
        b"' overlaps with ",
        what.as_bytes(),
        b" prefix '",
        other,
        b"'. Prefixes for a single client must not overlap.",
    ];
    ErrorReply::new(parts.concat())
}

/// `CLIENT TRACKING ON|OFF [REDIRECT id] [PREFIX prefix …] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]`
pub fn tracking(call: &mut Call) -> CommandResult {
    let options = Options::parse(call)?;
    if call.is_word(2, "ON") {
        options.check(call.session)?;
        enable(call.state, call.session, &options);
    } else if call.is_word(2, "OFF") {
        disable(call.state, call.session);
    } else {
        return Err(ErrorReply::SYNTAX);
    }
    call.reply.ok()
}

fn enable(state: &State, session: &mut Session, options: &Options) {
    state.tracking.switch_on();
    let client = &session.client;
    client.redirect.store(options.redirect, Ordering::Relaxed);
    client.set(MODES | ClientFlags::TRACKING_BROKEN_REDIRECT, false);
    client.set(options.modes | ClientFlags::TRACKING, true);
    if !options.has(ClientFlags::TRACKING_BROADCAST) {
        return;
    }
    // Without a prefix it is told of every key.
    let every: &[&[u8]] = &[b""];
    for prefix in if options.prefixes.is_empty() { every } else { &options.prefixes } {
        if session.prefixes.insert(prefix) {
            client.add_name(prefix);
            state.tracking.add_prefix(prefix, client);
        }
    }
}

/// Ends the tracking of a client. What shards know of it stays until somebody comes across it.
pub(super) fn disable(state: &State, session: &mut Session) {
    let client = &session.client;
    for prefix in std::mem::take(&mut session.prefixes).iter() {
        client.remove_name(prefix);
        state.tracking.remove_prefix(prefix, client);
    }
    let flags = ClientFlags::TRACKING | ClientFlags::TRACKING_BROKEN_REDIRECT | ClientFlags::TRACKING_CACHING | MODES;
    if client.has(flags) {
        client.set(flags, false);
    }
}

/// `CLIENT CACHING YES|NO`: whether the keys of the next command are tracked.
pub fn caching(call: &mut Call) -> CommandResult {
    let client = &call.session.client;
    if !client.has(ClientFlags::TRACKING) {
        return Err(ErrorReply::fixed(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ));
    }
    let (mode, error) = if call.is_word(2, "YES") {
        let error = "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.";
        (ClientFlags::TRACKING_OPTIN, error)
    } else if call.is_word(2, "NO") {
        let error = "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.";
        (ClientFlags::TRACKING_OPTOUT, error)
    } else {
        return Err(ErrorReply::SYNTAX);
    };
    if !client.has(mode) {
        return Err(ErrorReply::fixed(error));
    }
    client.set(ClientFlags::TRACKING_CACHING, true);
    call.reply.ok()
}

/// To whom a client's messages go, as clients are told: 0 if to itself, -1 if it is not tracked.
pub(super) fn redirect_of(client: &Client) -> i64 {
    if client.has(ClientFlags::TRACKING) { client.redirect.load(Ordering::Relaxed) as i64 } else { -1 }
}

/// `CLIENT GETREDIR`
pub fn getredir(call: &mut Call) -> CommandResult {
    call.reply.integer(redirect_of(&call.session.client))
}

/// `CLIENT TRACKINGINFO`
pub fn trackinginfo(call: &mut Call) -> CommandResult {
    let client = &call.session.client;
    let is_on = client.has(ClientFlags::TRACKING);
    let mut flags = vec![if is_on { "on" } else { "off" }];
    let caching = client.has(ClientFlags::TRACKING_CACHING);
    for (flag, name, caching_name) in [
        (ClientFlags::TRACKING_BROADCAST, "bcast", None),
        (ClientFlags::TRACKING_OPTIN, "optin", Some("caching-yes")),
        (ClientFlags::TRACKING_OPTOUT, "optout", Some("caching-no")),
        (ClientFlags::TRACKING_NOLOOP, "noloop", None),
        (ClientFlags::TRACKING_BROKEN_REDIRECT, "broken_redirect", None),
    ] {
        if client.has(flag) {
            flags.push(name);
            flags.extend(caching_name.filter(|_| caching));
        }
    }
    let redirect = redirect_of(client);
    call.reply.map(3)?;
    call.reply.bulk(b"flags")?;
    call.reply.set(flags.len())?;
    flags.iter().try_for_each(|flag| call.reply.bulk(flag.as_bytes()))?;
    call.reply.bulk(b"redirect")?;
    call.reply.integer(redirect)?;
    call.reply.bulk(b"prefixes")?;
    call.reply.array(call.session.prefixes.iter().len())?;
    call.session.prefixes.iter().try_for_each(|prefix| call.reply.bulk(prefix))
}

/// Whether what the client reads now is noted for it.
fn notes_reads(client: &Client) -> bool {
    if !client.has(ClientFlags::TRACKING) || client.has(ClientFlags::TRACKING_BROADCAST) {
        return false;
    }
    let caching = client.has(ClientFlags::TRACKING_CACHING);
    !(client.has(ClientFlags::TRACKING_OPTIN) && !caching || client.has(ClientFlags::TRACKING_OPTOUT) && caching)
}

/// Notes which keys a command of a tracked client has read, as long as their shards are locked: those that its table entry
/// says, be they there or not.
#[cold]
pub(super) fn note_read(client: &Client, spec: &CommandSpec, args: Args<'_>, keys: &mut Keys<'_>) {
    // The commands of a script count for themselves.
    if !spec.has(CommandFlags::READONLY) || spec.locks == Locks::Script {
        return;
    }
    let mut found = SmallVec::new();
    if notes_reads(client) && key_specs::keys(spec, args, &mut found).is_ok() {
        found.iter().for_each(|key| keys.note_read(args.at(key.index as usize), client.id));
    }
}

/// Notes that a script has read all keys that it was given, of which it has read any.
#[cold]
pub(super) fn note_declared(client: &Client, declared: Args<'_>, keys: &mut Keys<'_>) {
    if notes_reads(client) {
        declared.iter().for_each(|key| keys.note_read(key, client.id));
    }
}

/// Keeps the table of tracked keys within its limit, and writes the messages that have come for a tracked client in front of the
/// reply to its next request: what they say was so before.
#[cold]
pub(super) fn before_command(state: &State, session: &Session, reply: &mut Reply) {
    if !state.scripts.running.is_busy() {
        limit(state, TAKEN_OUT_MAX);
    }
    if session.client.mailbox.has_mail() {
        let written = reply.raw(&session.client.mailbox.take_pushes().concat());
        debug_assert!(written.is_ok());
    }
}

/// Takes up to `count` keys out of the table of tracked keys if it has too many. Returns whether it still has. The caller must
/// hold no locks.
pub fn limit(state: &State, count: usize) -> bool {
    let keys_max = state.settings.int(Directive::TrackingTableMaxKeys) as usize;
    let is_above = || keys_max > 0 && state.tracking.key_count() > keys_max;
    if is_above() {
        state.tracking.limit(&state.keyspace, &state.clients, keys_max, count);
    }
    is_above()
}

/// Tells a client behind a reply what it has made invalid itself. `spec` is what it has run, if there is such a command.
#[cold]
pub(super) fn after_command(state: &State, session: &mut Session, spec: Option<&CommandSpec>, reply: &mut Reply) {
    let invalidated = std::mem::take(&mut session.invalidated);
    state.tracking.tell_running(&state.clients, &session.client, invalidated, reply);
    // CLIENT CACHING is about the next command, or the next transaction; one that waits is not over.
    if session.transaction.is_none()
        && session.blocked.is_none()
        && spec.is_none_or(|spec| spec.container_name() != "client")
    {
        session.client.set(ClientFlags::TRACKING_CACHING, false);
    }
}
