//! The script that runs, as all threads see it: for how long, and whether somebody wants it to end. There is one at a time,
//! since it holds all shards.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Serves the clients of a thread that a script keeps from doing so.
type ServeOthers = Box<dyn Fn()>;

thread_local! {
    static SERVE_OTHERS: RefCell<Option<ServeOthers>> = const { RefCell::new(None) };
}

/// Says how this thread's other clients are answered while a script that runs on it is past its limit.
pub fn serve_others_by(serve: ServeOthers) {
    SERVE_OTHERS.set(Some(serve));
}

/// Why a script is not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unkillable {
    /// There is none.
    NotRunning,
    /// It has written.
    HasWritten,
    /// The primary sent it.
    IsObedient,
}

/// The script that runs.
#[derive(Debug, Default)]
pub struct RunningScript {
    /// When it began, in milliseconds of Unix time; 0 if none runs.
    begun_ms: AtomicI64,
    /// It is past its limit: others are told so.
    is_busy: AtomicBool,
    is_killed: AtomicBool,
    has_written: AtomicBool,
    is_obedient: AtomicBool,
}

impl RunningScript {
    /// A script begins. All shards are locked.
    pub fn begin(&self, now_ms: i64, is_obedient: bool) {
        for flag in [&self.is_busy, &self.is_killed, &self.has_written] {
            flag.store(false, Ordering::Relaxed);
        }
        self.is_obedient.store(is_obedient, Ordering::Relaxed);
        self.begun_ms.store(now_ms.max(1), Ordering::Release);
    }

    /// It has ended.
    pub fn end(&self) {
        self.begun_ms.store(0, Ordering::Release);
        self.is_busy.store(false, Ordering::Release);
    }

    /// It is about to write.
    pub fn note_write(&self) {
        self.has_written.store(true, Ordering::Relaxed);
    }

    /// Whether a script runs.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.begun_ms.load(Ordering::Acquire) != 0
    }

    /// Whether one runs that is past its limit.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::Acquire)
    }

    /// Has the script end soon. Errors: it may not, or there is none.
    pub fn kill(&self) -> Result<(), Unkillable> {
        if !self.is_on() {
            return Err(Unkillable::NotRunning);
        }
        if self.is_obedient.load(Ordering::Relaxed) {
            return Err(Unkillable::IsObedient);
        }
        if self.has_written.load(Ordering::Relaxed) {
            return Err(Unkillable::HasWritten);
        }
        self.is_killed.store(true, Ordering::Release);
        Ok(())
    }

    /// Looks, from time to time while the script runs, on its thread: past `limit_ms` (0: never) others are answered. Returns
    /// whether the script is to end.
    pub fn look(&self, script: &str, now_ms: i64, limit_ms: i64) -> bool {
        let elapsed_ms = now_ms - self.begun_ms.load(Ordering::Relaxed);
        if limit_ms > 0 && elapsed_ms >= limit_ms {
            if !self.is_busy.swap(true, Ordering::AcqRel) {
                tracing::warn!(
                    "Slow script detected: still in execution after {elapsed_ms} milliseconds. You can try killing the script \
                     using the SCRIPT KILL command. Script name is: {script}."
                );
            }
            SERVE_OTHERS.with_borrow(|serve| serve.as_ref().inspect(|serve| serve()).is_some());
        }
        self.is_killed.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_not_written_is_ended() {
        let script = RunningScript::default();
        assert_eq!(script.kill(), Err(Unkillable::NotRunning));
        script.begin(1000, false);
        assert!(!script.look("f", 1400, 500) && !script.is_busy());
        assert!(!script.look("f", 1500, 0) && !script.is_busy());
        assert!(!script.look("f", 1500, 500) && script.is_busy());
        assert_eq!(script.kill(), Ok(()));
        assert!(script.look("f", 1501, 500));
        script.end();
        assert!(!script.is_on() && !script.is_busy());
        script.begin(2000, false);
        script.note_write();
        assert_eq!(script.kill(), Err(Unkillable::HasWritten));
        assert!(!script.look("f", 2000, 500));
        script.begin(3000, true);
        assert_eq!(script.kill(), Err(Unkillable::IsObedient));
    }
}
