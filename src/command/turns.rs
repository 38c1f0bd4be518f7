//! Turns of threads that want all shards again and again, as scripts do that may use any key.
//!
//! Were each script of two threads to wait for the other's, the threads would wake each other for every one of them, which takes longer
//! than most scripts. So a thread keeps its turn for what it executes together; between its scripts, whoever wants a few shards gets them.

use crate::access;
use crate::store::{Keyspace, Turn};
use parking_lot::ArcMutexGuard;
use std::cell::RefCell;

/// For how long a thread keeps its turn if another waits for it, in nanoseconds.
const TURN_NS_MAX: u64 = 500_000;

/// The turn of one thread.
#[derive(Default)]
pub struct Turns {
    /// It, if the thread has it, and since when, by the fine clock.
    held: RefCell<Option<(Turn, u64)>>,
}

impl Turns {
    /// Waits for the thread's turn, unless it has it, has not had it for long at `now` (by the fine clock), or `gives_up` says that it is
    /// not to be waited for. Returns whether it has it then.
    pub(super) fn take(&self, keyspace: &Keyspace, now: u64, gives_up: impl Fn() -> bool) -> bool {
        let mut held = self.held.borrow_mut();
        if let Some((turn, since)) = held.take() {
            if access::nanoseconds_between(since, now) < TURN_NS_MAX {
                *held = Some((turn, since));
                return true;
            }
            ArcMutexGuard::unlock_fair(turn);
        }
        *held = keyspace.take_turn(gives_up).map(|turn| (turn, access::ticks()));
        held.is_some()
    }

    /// Ends the thread's turn, if it has it.
    #[inline]
    pub fn end(&self) {
        self.held.take();
    }
}
