//! The script that runs, as all threads see it: for how long, and whether somebody wants it to end. There is one at a time,
//! since it holds all shards.

use crate::resp::{Args, ErrorReply};
use parking_lot::Mutex;
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
    /// It is a script where a function was meant, or the other way round.
    IsOther,
}

/// What is told of a function that is past its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    pub name: String,
    /// The request that calls it.
    pub command: Vec<Vec<u8>>,
    /// When it began, in milliseconds of Unix time.
    pub begun_ms: i64,
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
    is_function: AtomicBool,
    busy: Mutex<Option<Busy>>,
}

impl RunningScript {
    /// A script, or a function, begins. All shards are locked.
    pub fn begin(&self, now_ms: i64, is_obedient: bool, is_function: bool) {
        for flag in [&self.is_busy, &self.is_killed, &self.has_written] {
            flag.store(false, Ordering::Relaxed);
        }
        self.is_obedient.store(is_obedient, Ordering::Relaxed);
        self.is_function.store(is_function, Ordering::Relaxed);
        self.begun_ms.store(now_ms.max(1), Ordering::Release);
    }

    /// It has ended.
    pub fn end(&self) {
        self.begun_ms.store(0, Ordering::Release);
        if self.is_busy.swap(false, Ordering::AcqRel) {
            *self.busy.lock() = None;
        }
    }

    /// The function that runs, if it is past its limit.
    pub fn busy_function(&self) -> Option<Busy> {
        self.busy.lock().clone().filter(|_| self.is_function.load(Ordering::Relaxed))
    }

    /// What those get who want something while it is past its limit.
    pub fn busy_error(&self) -> ErrorReply {
        ErrorReply::fixed(match self.is_function.load(Ordering::Relaxed) {
            false => "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            true => "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
        })
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

    /// Has the script, or the function, end soon. Errors: it may not, or there is none.
    pub fn kill(&self, is_function: bool) -> Result<(), Unkillable> {
        if !self.is_on() {
            return Err(Unkillable::NotRunning);
        }
        if self.is_obedient.load(Ordering::Relaxed) {
            return Err(Unkillable::IsObedient);
        }
        if self.has_written.load(Ordering::Relaxed) {
            return Err(Unkillable::HasWritten);
        }
        if self.is_function.load(Ordering::Relaxed) != is_function {
            return Err(Unkillable::IsOther);
        }
        self.is_killed.store(true, Ordering::Release);
        Ok(())
    }

    /// Looks, from time to time while it runs, on its thread: past `limit_ms` (0: never) others are answered. Returns why it is to
    /// end, if it is.
    pub fn look(&self, name: &str, command: Args<'_>, now_ms: i64, limit_ms: i64) -> Option<&'static str> {
        let begun_ms = self.begun_ms.load(Ordering::Relaxed);
        let is_function = self.is_function.load(Ordering::Relaxed);
        if limit_ms > 0 && now_ms - begun_ms >= limit_ms {
            if !self.is_busy() {
                if is_function {
                    let command = command.iter().map(<[u8]>::to_vec).collect();
                    *self.busy.lock() = Some(Busy { name: name.to_owned(), command, begun_ms });
                }
                self.is_busy.store(true, Ordering::Release);
                tracing::warn!(
                    "Slow script detected: still in execution after {} milliseconds. You can try killing the script using the \
                     {} KILL command. Script name is: {name}.",
                    now_ms - begun_ms,
                    if is_function { "FUNCTION" } else { "SCRIPT" },
                );
            }
            SERVE_OTHERS.with_borrow(|serve| serve.as_ref().inspect(|serve| serve()).is_some());
        }
        self.is_killed.load(Ordering::Acquire).then_some(match is_function {
            false => "Script killed by user with SCRIPT KILL.",
            true => "Script killed by user with FUNCTION KILL.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::OwnedRequest;

    #[test]
    fn only_what_has_not_written_is_ended() {
        let script = RunningScript::default();
        let request = OwnedRequest::new([b"FCALL".as_slice(), b"f", b"0"].into_iter());
        let look = |now_ms, limit_ms| script.look("f", request.args(), now_ms, limit_ms);
        assert_eq!(script.kill(false), Err(Unkillable::NotRunning));
        script.begin(1000, false, false);
        assert!(look(1400, 500).is_none() && !script.is_busy());
        assert!(look(1500, 0).is_none() && !script.is_busy());
        assert!(look(1500, 500).is_none() && script.is_busy() && script.busy_function().is_none());
        assert_eq!(script.kill(true), Err(Unkillable::IsOther));
        assert_eq!(script.kill(false), Ok(()));
        assert_eq!(look(1501, 500), Some("Script killed by user with SCRIPT KILL."));
        script.end();
        assert!(!script.is_on() && !script.is_busy());
        script.begin(2000, false, true);
        assert!(look(2500, 500).is_none());
        let command = vec![b"FCALL".to_vec(), b"f".to_vec(), b"0".to_vec()];
        assert_eq!(script.busy_function(), Some(Busy { name: "f".into(), command, begun_ms: 2000 }));
        script.note_write();
        assert_eq!(script.kill(true), Err(Unkillable::HasWritten));
        assert!(look(2500, 500).is_none());
        script.end();
        assert_eq!(script.busy_function(), None);
        script.begin(3000, true, false);
        assert_eq!(script.kill(false), Err(Unkillable::IsObedient));
    }
}
