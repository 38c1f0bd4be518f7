//! The keyspace: shards behind short locks, each with a tree per database, the clients that wait for its keys and the
//! clients that watch them.

mod departed;
mod due_fields;
mod keyspace;
mod lazy_free;
mod shard;
mod shard_set;
pub mod snapshot;
mod tracked;
mod waiters;
mod watched;

pub use departed::Departed;
pub use due_fields::DueFields;
pub use keyspace::{Keyspace, Locked, Turn};
pub use lazy_free::LazyFree;
pub use shard::{ByType, Database, ExpiredFields, KeyspaceLayout, Onlookers, Shard};
pub use shard_set::{SHARDS_MAX, ShardSet};
pub use snapshot::Snapshot;
pub use tracked::{Ids, Noted, Tracked};
pub use waiters::{TicketState, WaitQueue, Waiter, Waiters, Wanted};
pub use watched::{Watched, Watcher};

pub use crate::tree::{Key, Position, Trail, Walk};
