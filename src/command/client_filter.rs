//! The filters of `CLIENT LIST` and `CLIENT KILL`: which connections a request means.

use super::call::Call;
use crate::client::{Client, ClientFlags, ClientKind, Endpoint};
use crate::resp::ErrorReply;
use crate::value::number;
use std::sync::atomic::Ordering;

/// Which command the filters are for; they differ in a default and an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    List,
    Kill,
}

/// What a filter looks at.
enum Test {
    /// In order.
    Ids(Vec<u64>),
    Kind(ClientKind),
    User(Vec<u8>),
    Address(Vec<u8>),
    LocalAddress(Vec<u8>),
    Ip(Vec<u8>),
    Name(Vec<u8>),
    LibraryName(Vec<u8>),
    LibraryVersion(Vec<u8>),
    Database(u32),
    /// Letters of the field `flags`.
    Flags(Vec<u8>),
    /// The client can be redirected: the only capability there is.
    RedirectCapable,
    /// Seconds since it connected, at least.
    Age(i64),
    /// Seconds since its latest command, at least.
    Idle(i64),
}

/// Filters, all of which a client must pass.
pub(super) struct Filters {
    /// Each with whether it must match, or must not (`NOT-…`).
    tests: Vec<(Test, bool)>,
    skip_self: bool,
}

impl Filters {
    /// Reads the filters from the argument at `first` on. Of several alike the last counts; but ids are added up.
    pub(super) fn parse(call: &Call, first: usize, purpose: Use) -> Result<Self, ErrorReply> {
        let mut filters = Filters { tests: Vec::new(), skip_self: purpose == Use::Kill };
        // To list by a name of a filter alone is an error, for whatever filter.
        if call.args.len() == first + 1 {
            return Err(ErrorReply::SYNTAX);
        }
        let mut at = first;
        while at < call.args.len() {
            let word = call.arg(at).to_ascii_uppercase();
            let (name, matches) = match word.strip_prefix(b"NOT-") {
                Some(name) => (name, false),
                None => (word.as_slice(), true),
            };
            if name == b"ID" {
                let ids = ids(call, at + 1, purpose)?;
                at += 1 + ids.len();
                filters.add(Test::Ids(ids), matches);
                continue;
            }
            let Some(value) = call.args.get(at + 1) else { return Err(ErrorReply::SYNTAX) };
            at += 2;
            match name {
                b"SKIPME" if matches => {
                    filters.skip_self = match value.to_ascii_uppercase().as_slice() {
                        b"YES" => true,
                        b"NO" => false,
                        _ => return Err(ErrorReply::SYNTAX),
                    };
                }
                b"MAXAGE" if matches => filters.add(Test::Age(seconds(value, "maxage")?), true),
                b"IDLE" if matches => filters.add(Test::Idle(seconds(value, "idle")?), true),
                name => filters.add(test(call, name, value, matches)?, matches),
            }
        }
        for (test, _) in &mut filters.tests {
            if let Test::Ids(ids) = test {
                ids.sort_unstable();
            }
        }
        Ok(filters)
    }

    /// Adds a filter. It takes the place of an earlier one of its kind; ids add up.
    fn add(&mut self, mut test: Test, matches: bool) {
        let is_same = |(other, other_matches): &(Test, bool)| {
            *other_matches == matches && std::mem::discriminant(other) == std::mem::discriminant(&test)
        };
        if let Some(place) = self.tests.iter().position(is_same)
            && let (Test::Ids(ids), _) = self.tests.swap_remove(place)
            && let Test::Ids(added) = &mut test
        {
            added.extend(ids);
        }
        self.tests.push((test, matches));
    }

    pub(super) fn matches(&self, client: &Client, own_id: u64, now_ms: i64) -> bool {
        !(self.skip_self && client.id == own_id)
            && self.tests.iter().all(|(test, matches)| test.accepts(client, now_ms) == *matches)
    }
}

/// The ids from the argument at `first` on; at least one to kill, while a list of none is a list of nobody.
fn ids(call: &Call, first: usize, purpose: Use) -> Result<Vec<u64>, ErrorReply> {
    let mut ids = Vec::new();
    for arg in call.args.from(first).iter() {
        match number::parse_i64(arg) {
            Some(id) if id > 0 => ids.push(id.unsigned_abs()),
            None if purpose == Use::List || !ids.is_empty() => break,
            _ => return Err(ErrorReply::fixed("ERR client-id should be greater than 0")),
        }
    }
    Ok(ids)
}

fn seconds(value: &[u8], what: &str) -> Result<i64, ErrorReply> {
    match number::parse_i64(value) {
        None => Err(ErrorReply::new(format!("ERR {what} is not an integer or out of range"))),
        Some(..=0) => Err(ErrorReply::new(format!("ERR {what} should be greater than 0"))),
        Some(seconds) => Ok(seconds),
    }
}

/// A filter of one value that can also be negated.
fn test(call: &Call, name: &[u8], value: &[u8], matches: bool) -> Result<Test, ErrorReply> {
    Ok(match name {
        b"TYPE" => Test::Kind(kind(value)?),
        b"USER" if call.state.acl.find(value).is_some() => Test::User(value.to_vec()),
        b"USER" => return Err(ErrorReply::about("ERR No such user '", value, "'")),
        b"ADDR" => Test::Address(value.to_vec()),
        b"LADDR" => Test::LocalAddress(value.to_vec()),
        b"IP" => Test::Ip(value.to_vec()),
        b"NAME" => Test::Name(value.to_vec()),
        b"LIB-NAME" => Test::LibraryName(value.to_vec()),
        b"LIB-VER" => Test::LibraryVersion(value.to_vec()),
        b"DB" => Test::Database(database(call, value, if matches { "DB" } else { "NOT-DB" })?),
        b"FLAGS" => match value.iter().find(|letter| !ClientFlags::is_letter(**letter)) {
            None => Test::Flags(value.to_vec()),
            Some(_) => return Err(unknown("flags", if matches { None } else { Some("NOT-FLAGS") }, value)),
        },
        b"CAPA" if !value.is_empty() && value.iter().all(|letter| *letter == b'r') => Test::RedirectCapable,
        b"CAPA" => return Err(unknown("capa", if matches { None } else { Some("NOT-CAPA") }, value)),
        _ => return Err(ErrorReply::SYNTAX),
    })
}

fn unknown(what: &str, negated: Option<&str>, value: &[u8]) -> ErrorReply {
    let which = negated.unwrap_or("provided");
    let value = String::from_utf8_lossy(value);
    ErrorReply::new(format!("ERR Unknown {what} found in the {which} filter: {value}"))
}

fn kind(name: &[u8]) -> Result<ClientKind, ErrorReply> {
    Ok(match name.to_ascii_lowercase().as_slice() {
        b"normal" => ClientKind::Normal,
        b"slave" | b"replica" => ClientKind::Replica,
        b"pubsub" => ClientKind::Pubsub,
        b"master" | b"primary" => ClientKind::Primary,
        _ => return Err(ErrorReply::about("ERR Unknown client type '", name, "'")),
    })
}

fn database(call: &Call, value: &[u8], what: &str) -> Result<u32, ErrorReply> {
    let number = number::parse_i64(value)
        .filter(|number| i32::try_from(*number).is_ok())
        .ok_or_else(|| ErrorReply::new(format!("ERR {what} is not an integer or out of range")))?;
    let last = call.state.keyspace.databases() as i64 - 1;
    if !(0..=last).contains(&number) {
        return Err(ErrorReply::new(format!("ERR {what} number should be between 0 and {last}")));
    }
    Ok(number as u32)
}

impl Test {
    fn accepts(&self, client: &Client, now_ms: i64) -> bool {
        let is = |endpoint: &Endpoint, text: &[u8]| endpoint.to_string().as_bytes() == text;
        // Who has no name is not called by the empty one.
        let is_called = |name: &[u8], wanted: &[u8]| !name.is_empty() && name == wanted;
        match self {
            Test::Ids(ids) => ids.binary_search(&client.id).is_ok(),
            Test::Kind(kind) => client.kind() == *kind,
            Test::User(user) => *client.names.read().user == **user,
            Test::Address(address) => is(&client.address, address),
            Test::LocalAddress(address) => is(&client.local_address, address),
            Test::Ip(ip) => client.address.ip().as_bytes() == ip,
            Test::Name(name) => is_called(&client.names.read().name, name),
            Test::LibraryName(name) => is_called(&client.names.read().library, name),
            Test::LibraryVersion(version) => is_called(&client.names.read().library_version, version),
            Test::Database(database) => client.database.load(Ordering::Relaxed) == *database,
            Test::Flags(letters) => {
                let flags = client.flag_letters();
                letters.iter().all(|letter| flags.as_bytes().contains(letter))
            }
            Test::RedirectCapable => client.has(ClientFlags::CAPA_REDIRECT),
            Test::Age(seconds) => (now_ms - client.created_ms) / 1000 >= *seconds,
            Test::Idle(seconds) => (now_ms - client.last_active_ms.load(Ordering::Relaxed)) / 1000 >= *seconds,
        }
    }
}
