//! A planned change of roles (`FAILOVER`): the primary holds writes back until a replica has everything, and then follows it.

use super::Address;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::Notify;

/// How far a change of roles is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Progress {
    #[default]
    None = 0,
    /// A replica is still to get what was written before.
    WaitsForSync = 1,
    /// The replica is asked to take over.
    UnderWay = 2,
}

impl Progress {
    /// As `INFO` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Progress::None => "no-failover",
            Progress::WaitsForSync => "waiting-for-sync",
            Progress::UnderWay => "failover-in-progress",
        }
    }
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Who is to take over; `None`: whichever replica has everything first.
    pub target: Option<Address>,
    /// Unix time in milliseconds at which nobody waits any longer.
    pub deadline_ms: Option<i64>,
    /// The target takes over then, whatever it lacks.
    pub is_forced: bool,
}

/// The change of roles that is under way, if one is.
#[derive(Default)]
pub struct Failover {
    /// The number of its progress, so that it can be read without a lock.
    progress: AtomicU8,
    plan: Mutex<Plan>,
    /// Something may have changed for it.
    pub news: Notify,
}

impl Failover {
    pub fn progress(&self) -> Progress {
        match self.progress.load(Ordering::Acquire) {
            0 => Progress::None,
            1 => Progress::WaitsForSync,
            _ => Progress::UnderWay,
        }
    }

    pub fn is_on(&self) -> bool {
        self.progress() != Progress::None
    }

    pub fn plan(&self) -> Plan {
        self.plan.lock().clone()
    }

    /// Begins one. All shards must be locked, as for each step below.
    pub fn begin(&self, plan: Plan) {
        *self.plan.lock() = plan;
        self.progress.store(Progress::WaitsForSync as u8, Ordering::Release);
        self.news.notify_one();
    }

    /// `target` is asked to take over from now on.
    pub fn hand_over(&self, target: Address) {
        self.plan.lock().target = Some(target);
        self.progress.store(Progress::UnderWay as u8, Ordering::Release);
    }

    /// It is over.
    pub fn end(&self) {
        *self.plan.lock() = Plan::default();
        self.progress.store(Progress::None as u8, Ordering::Release);
    }
}
