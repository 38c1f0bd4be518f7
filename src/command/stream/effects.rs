//! What commands on groups have done, as commands that other servers repeat: who has which entries, since when, is said by
//! `XCLAIM`, and how far a group has read by `XGROUP SETID`.

use super::stream_of;
use crate::command::Keys;
use crate::value::stream::{Pending, StreamId};

/// Entries that one command claims at most.
const CLAIMS_MAX: usize = 256;

/// Which entries a consumer of a group got; gathered only if somebody wants to know.
pub(super) struct Claims<'a> {
    pub key: &'a [u8],
    pub group: &'a [u8],
    pub consumer: &'a [u8],
    pub claimed: Vec<Pending>,
    /// Entries that are no longer pending since they are gone.
    pub dropped: Vec<StreamId>,
}

impl<'a> Claims<'a> {
    pub fn new(key: &'a [u8], group: &'a [u8], consumer: &'a [u8]) -> Self {
        Claims { key, group, consumer, claimed: Vec::new(), dropped: Vec::new() }
    }

    /// Logs them, whatever the request was; `moves_on` if the group has read further as well.
    pub fn log(self, keys: &mut Keys<'_>, is_new_consumer: bool, moves_on: bool) {
        if !keys.is_logged() {
            return;
        }
        keys.restate();
        let Claims { key, group, consumer, claimed, dropped } = self;
        // Who claims something is made by that.
        if is_new_consumer && claimed.is_empty() {
            keys.log_also(&[b"XGROUP", b"CREATECONSUMER", key, group, consumer]);
        }
        for claims in claimed.chunk_by(|a, b| (a.delivered_ms, a.deliveries) == (b.delivered_ms, b.deliveries)) {
            for claims in claims.chunks(CLAIMS_MAX) {
                let ids: Vec<_> = claims.iter().map(|claim| claim.id.text()).collect();
                let (mut time, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
                let mut words: Vec<&[u8]> = vec![b"XCLAIM", key, group, consumer, b"0"];
                words.extend(ids.iter().map(|id| id.as_bytes()));
                words.extend([b"TIME".as_slice(), time.format(claims[0].delivered_ms).as_bytes()]);
                words.extend([b"RETRYCOUNT".as_slice(), count.format(claims[0].deliveries).as_bytes()]);
                words.extend([b"FORCE".as_slice(), b"JUSTID"]);
                keys.log_also(&words);
            }
        }
        for ids in dropped.chunks(CLAIMS_MAX) {
            let ids: Vec<_> = ids.iter().map(|id| id.text()).collect();
            let words = [b"XACK", key, group].into_iter().chain(ids.iter().map(|id| id.as_bytes()));
            keys.log_also(&words.collect::<Vec<_>>());
        }
        if moves_on {
            log_position(keys, key, group);
        }
    }
}

/// Logs how far a group has read.
fn log_position(keys: &mut Keys<'_>, key: &[u8], name: &[u8]) {
    let Some(found) = keys.peek(key) else { return };
    let Some(group) = stream_of(keys, found).group(name) else { return };
    let (id, read) = (group.last_id.text(), group.entries_read);
    let mut words: Vec<&[u8]> = vec![b"XGROUP", b"SETID", key, name, id.as_bytes()];
    let mut number = itoa::Buffer::new();
    if let Some(read) = read {
        words.extend([b"ENTRIESREAD".as_slice(), number.format(read).as_bytes()]);
    }
    keys.log_also(&words);
}
