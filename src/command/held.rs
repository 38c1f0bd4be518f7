//! Which commands wait until keys that travel to another server have arrived there.

use super::blocking::for_each_fed;
use super::transaction;
use crate::client::Session;
use crate::resp::Args;
use crate::spec::{CommandFlags, CommandSpec, Locks, keys as key_specs};
use crate::state::State;
use crate::store::Locked;
use smallvec::SmallVec;
use std::collections::HashSet;

/// Whether the command must wait, because it names a key that travels, or gives something to a key from which another client
/// takes it to such a one, or may change any key. Everything that it needs is locked. The client is woken when it may go on.
#[cold]
pub(super) fn is_held_back(
    state: &State,
    session: &Session,
    spec: &CommandSpec,
    args: Args<'_>,
    locked: &Locked<'_>,
) -> bool {
    let changes = CommandFlags::WRITE.union(CommandFlags::MAY_REPLICATE);
    let mut named: HashSet<&[u8]> = HashSet::new();
    for (spec, args) in transaction::requests(session, spec, args) {
        if matches!(spec.locks, Locks::All | Locks::Script) && spec.has(changes) {
            return state.migrations.holds_back_by_any(&session.client);
        }
        let mut found = SmallVec::new();
        if key_specs::keys(spec, args, &mut found).is_ok() {
            named.extend(found.iter().map(|key| args.at(key.index as usize)));
        }
    }
    let mut touched: Vec<&[u8]> = Vec::new();
    for_each_fed(named.iter().copied().collect(), named, locked, |key, _| touched.push(key));
    state.migrations.holds_back(&session.client, touched.into_iter())
}
