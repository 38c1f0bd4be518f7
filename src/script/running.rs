//! The scripts that run, as all threads see them: for how long, and whether somebody wants them to end. Those that keep to their
//! keys run beside others; any other holds all shards, and so runs alone.

use crate::resp::{Args, ErrorReply};
use crate::stats;
use crate::store::SHARDS_MAX;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

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

/// A place for a script that runs. It has lines of the cache for itself: each thread has one of its own as a rule.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Place {
    /// When the script began, in milliseconds of Unix time; 0 if there is none.
    begun_ms: AtomicI64,
    /// It is taken, or about to be.
    is_claimed: AtomicBool,
    /// Scripts that have begun here.
    number: AtomicU64,
    /// It is past its limit: others are told so.
    is_busy: AtomicBool,
    is_killed: AtomicBool,
    has_written: AtomicBool,
    is_obedient: AtomicBool,
    is_function: AtomicBool,
    busy: Mutex<Option<Busy>>,
}

impl Place {
    fn is_taken(&self) -> bool {
        self.begun_ms.load(Ordering::Acquire) != 0
    }

    /// Has the script here end soon. Errors: it may not.
    fn kill(&self, is_function: bool) -> Result<(), Unkillable> {
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
}

/// The scripts that run. Each holds a shard at least, so there are no more than there are shards.
#[derive(Debug)]
pub struct RunningScripts {
    places: Box<[Place]>,
    /// Places that have been used.
    used: AtomicUsize,
    /// Scripts that are past their limit.
    busy: AtomicUsize,
    /// The last of them that came to be so is a function.
    is_busy_function: AtomicBool,
}

impl Default for RunningScripts {
    fn default() -> Self {
        RunningScripts {
            places: (0..SHARDS_MAX).map(|_| Place::default()).collect(),
            used: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            is_busy_function: AtomicBool::new(false),
        }
    }
}

/// A script that runs on this thread, until it is dropped.
pub struct Running<'r> {
    scripts: &'r RunningScripts,
    place: &'r Place,
}

/// Scripts that ran at a moment.
pub struct Present(SmallVec<[(usize, u64); 4]>);

impl RunningScripts {
    /// A script, or a function, begins. Its shards are locked.
    pub fn begin(&self, now_ms: i64, is_obedient: bool, is_function: bool) -> Running<'_> {
        let begun_ms = now_ms.max(1);
        let count = self.places.len();
        let own = stats::thread() % count;
        let takes = |place: &Place| !place.is_claimed.swap(true, Ordering::AcqRel);
        let index = loop {
            // There is one, unless a script has let its shards go and has still to say so.
            match (own..own + count).map(|index| index % count).find(|index| takes(&self.places[*index])) {
                Some(index) => break index,
                None => std::thread::yield_now(),
            }
        };
        if index >= self.used.load(Ordering::Relaxed) {
            self.used.fetch_max(index + 1, Ordering::AcqRel);
        }
        let place = &self.places[index];
        for flag in [&place.is_busy, &place.is_killed, &place.has_written] {
            flag.store(false, Ordering::Relaxed);
        }
        place.is_obedient.store(is_obedient, Ordering::Relaxed);
        place.is_function.store(is_function, Ordering::Relaxed);
        // Nobody else changes what is claimed.
        place.number.store(place.number.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        place.begun_ms.store(begun_ms, Ordering::Release);
        Running { scripts: self, place }
    }

    fn taken(&self) -> impl Iterator<Item = &Place> {
        self.places[..self.used.load(Ordering::Acquire)].iter().filter(|place| place.is_taken())
    }

    /// The function that runs, if it is past its limit.
    pub fn busy_function(&self) -> Option<Busy> {
        let functions = self.taken().filter(|place| place.is_function.load(Ordering::Relaxed));
        functions.filter_map(|place| place.busy.lock().clone()).next()
    }

    /// What those get who want something while one is past its limit.
    pub fn busy_error(&self) -> ErrorReply {
        ErrorReply::fixed(match self.is_busy_function.load(Ordering::Relaxed) {
            false => "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            true => "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
        })
    }

    /// Whether one runs that is past its limit.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) > 0
    }

    /// Those that run now.
    pub fn present(&self) -> Present {
        let used = &self.places[..self.used.load(Ordering::Acquire)];
        let taken = used.iter().enumerate().filter(|(_, place)| place.is_taken());
        Present(taken.map(|(index, place)| (index, place.number.load(Ordering::Acquire))).collect())
    }

    /// Whether one of those runs still.
    pub fn has_any_of(&self, present: &Present) -> bool {
        present.0.iter().any(|(index, number)| {
            let place = &self.places[*index];
            place.is_taken() && place.number.load(Ordering::Acquire) == *number
        })
    }

    /// Has scripts, or functions, end soon: those that are past their limit, or if there are none, the one that began first.
    /// Errors: it may not, or there is none.
    pub fn kill(&self, is_function: bool) -> Result<(), Unkillable> {
        let mut taken: SmallVec<[&Place; 4]> = self.taken().collect();
        taken.sort_by_key(|place| place.begun_ms.load(Ordering::Relaxed));
        let busy = taken.iter().filter(|place| place.is_busy.load(Ordering::Acquire));
        let killed: SmallVec<[_; 4]> = busy.map(|place| place.kill(is_function)).collect();
        match (killed.as_slice(), taken.first()) {
            ([], None) => Err(Unkillable::NotRunning),
            ([], Some(oldest)) => oldest.kill(is_function),
            ([first, ..], _) => killed.iter().copied().find(Result::is_ok).unwrap_or(*first),
        }
    }
}

impl Running<'_> {
    /// It is about to write.
    pub fn note_write(&self) {
        self.place.has_written.store(true, Ordering::Relaxed);
    }

    /// Looks, from time to time: past `limit_ms` (0: never) others are answered. Returns why it is to end, if it is.
    pub fn look(&self, name: &str, command: Args<'_>, now_ms: i64, limit_ms: i64) -> Option<&'static str> {
        let place = self.place;
        let begun_ms = place.begun_ms.load(Ordering::Relaxed);
        let is_function = place.is_function.load(Ordering::Relaxed);
        if limit_ms > 0 && now_ms - begun_ms >= limit_ms {
            if !place.is_busy.load(Ordering::Relaxed) {
                if is_function {
                    let command = command.iter().map(<[u8]>::to_vec).collect();
                    *place.busy.lock() = Some(Busy { name: name.to_owned(), command, begun_ms });
                }
                self.scripts.is_busy_function.store(is_function, Ordering::Relaxed);
                place.is_busy.store(true, Ordering::Release);
                self.scripts.busy.fetch_add(1, Ordering::AcqRel);
                tracing::warn!(
                    "Slow script detected: still in execution after {} milliseconds. You can try killing the script using the \
                     {} KILL command. Script name is: {name}.",
                    now_ms - begun_ms,
                    if is_function { "FUNCTION" } else { "SCRIPT" },
                );
            }
            SERVE_OTHERS.with_borrow(|serve| serve.as_ref().inspect(|serve| serve()).is_some());
        }
        place.is_killed.load(Ordering::Acquire).then_some(match is_function {
            false => "Script killed by user with SCRIPT KILL.",
            true => "Script killed by user with FUNCTION KILL.",
        })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.place.is_busy.load(Ordering::Relaxed) {
            self.place.is_busy.store(false, Ordering::Release);
            *self.place.busy.lock() = None;
            self.scripts.busy.fetch_sub(1, Ordering::AcqRel);
        }
        self.place.begun_ms.store(0, Ordering::Release);
        self.place.is_claimed.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::OwnedRequest;

    #[test]
    fn only_what_has_not_written_is_ended() {
        let scripts = RunningScripts::default();
        let request = OwnedRequest::new([b"FCALL".as_slice(), b"f", b"0"].into_iter());
        assert_eq!(scripts.kill(false), Err(Unkillable::NotRunning));
        let script = scripts.begin(1000, false, false);
        let look = |script: &Running, now_ms, limit_ms| script.look("f", request.args(), now_ms, limit_ms);
        assert!(look(&script, 1400, 500).is_none() && !scripts.is_busy());
        assert!(look(&script, 1500, 0).is_none() && !scripts.is_busy());
        assert!(look(&script, 1500, 500).is_none() && scripts.is_busy() && scripts.busy_function().is_none());
        assert_eq!(scripts.kill(true), Err(Unkillable::IsOther));
        assert_eq!(scripts.kill(false), Ok(()));
        assert_eq!(look(&script, 1501, 500), Some("Script killed by user with SCRIPT KILL."));
        drop(script);
        assert!(!scripts.is_busy() && scripts.taken().count() == 0);
        let script = scripts.begin(2000, false, true);
        assert!(look(&script, 2500, 500).is_none());
        let command = vec![b"FCALL".to_vec(), b"f".to_vec(), b"0".to_vec()];
        assert_eq!(scripts.busy_function(), Some(Busy { name: "f".into(), command, begun_ms: 2000 }));
        script.note_write();
        assert_eq!(scripts.kill(true), Err(Unkillable::HasWritten));
        assert!(look(&script, 2500, 500).is_none());
        drop(script);
        assert_eq!(scripts.busy_function(), None);
        let _script = scripts.begin(3000, true, false);
        assert_eq!(scripts.kill(false), Err(Unkillable::IsObedient));
    }

    #[test]
    fn of_several_those_end_that_are_past_their_limit() {
        let scripts = RunningScripts::default();
        let request = OwnedRequest::new([b"EVAL".as_slice()].into_iter());
        let look = |script: &Running, now_ms| script.look("s", request.args(), now_ms, 500).is_some();
        let (first, second, third) =
            (scripts.begin(1000, false, false), scripts.begin(1001, false, false), scripts.begin(1400, false, false));
        let present = scripts.present();
        let ended = [&first, &second, &third].map(|script| look(script, 1501));
        assert_eq!((ended, scripts.busy.load(Ordering::Relaxed)), ([false; 3], 2));
        first.note_write();
        assert_eq!(scripts.kill(false), Ok(()), "one of the two can be ended");
        assert_eq!([&first, &second, &third].map(|script| look(script, 1501)), [false, true, false]);
        drop((second, third));
        assert!(scripts.is_busy());
        assert_eq!(scripts.kill(false), Err(Unkillable::HasWritten));
        assert!(scripts.has_any_of(&present));
        drop(first);
        let _another = scripts.begin(2000, false, false);
        assert!(!scripts.is_busy() && !scripts.has_any_of(&present));
    }
}
