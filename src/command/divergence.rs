//! What does not go on as it should between servers: a command of a primary, or of a file, that cannot be done or kept.

use crate::client::Session;
use crate::config::{Directive, PropagationErrorBehavior};
use crate::state::{State, unix_time_ms};
use crate::stats::Figure;
use std::sync::atomic::{AtomicI64, Ordering};

/// Time between two lines of the log that say the same, in milliseconds.
const LOG_INTERVAL_MS: i64 = 10_000;

/// Who says something, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    ReplicaToPrimary,
    PrimaryToReplica,
    ServerToFile,
}

impl Talk {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Talk::ReplicaToPrimary => ("replica", "master"),
            Talk::PrimaryToReplica => ("master", "replica"),
            Talk::ServerToFile => ("server", "AOF-loading-client"),
        }
    }

    /// Whether the process is to end rather than to go on with data that differ (`propagation-error-behavior`).
    fn is_fatal(self, state: &State) -> bool {
        let behaviour: PropagationErrorBehavior = state.settings.choice(Directive::PropagationErrorBehavior);
        let is_panic = behaviour == PropagationErrorBehavior::Panic;
        match self {
            Talk::ReplicaToPrimary => {
                let is_wanted = is_panic || behaviour == PropagationErrorBehavior::PanicOnReplicas;
                is_wanted && state.settings.flag(Directive::ReplicaReadOnly)
            }
            Talk::ServerToFile => is_panic,
            Talk::PrimaryToReplica => false,
        }
    }
}

/// Notes that a command which must not fail has failed: `reply` is its error.
#[cold]
pub fn note_error(state: &State, talk: Talk, command: &[u8], reply: &[u8]) {
    let (speaker, listener) = talk.names();
    let error = String::from_utf8_lossy(reply.strip_prefix(b"-").unwrap_or(reply)).trim_end().to_owned();
    let command = command.to_ascii_lowercase();
    let command = command.escape_ascii();
    tracing::warn!(
        "== CRITICAL == This {speaker} is sending an error to its {listener}: '{error}' after processing the command \
         '{command}'"
    );
    state.stats.add(Figure::UnexpectedErrorReplies, 1);
    if talk.is_fatal(state) {
        tracing::error!(
            "This {speaker} panicked sending an error to its {listener} after processing the command '{command}'"
        );
        std::process::exit(1);
    }
}

/// A replica is about to do a write of its primary that its disk does not take. Ends the process unless the configuration has
/// it go on (`replica-ignore-disk-write-errors`): its data would be lost with it, while its primary takes them for safe.
#[cold]
pub(super) fn note_disk_error(state: &State, session: &Session) {
    static LOGGED_MS: AtomicI64 = AtomicI64::new(0);
    if session.turn.is_none() {
        // It is a file that is loaded.
        return;
    }
    if !state.settings.flag(Directive::ReplicaIgnoreDiskWriteErrors) {
        tracing::error!("Replica was unable to write command to disk.");
        std::process::exit(1);
    }
    let now_ms = unix_time_ms();
    if now_ms > LOGGED_MS.load(Ordering::Relaxed) + LOG_INTERVAL_MS {
        LOGGED_MS.store(now_ms, Ordering::Relaxed);
        tracing::warn!("Replica is applying a command even though it is unable to write to disk.");
    }
}
