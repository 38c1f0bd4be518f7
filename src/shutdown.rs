//! The end of the process: by `SHUTDOWN`, or by a signal. Data is saved first, if the configuration or the client wants it.

use crate::config::{Directive, ShutdownFlags};
use crate::state::State;
use crate::{append_file, saving};
use parking_lot::Mutex;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

/// A signal that asks for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Interrupt = 1,
    Terminate = 2,
}

/// An end that a signal has asked for, and who brings it about.
#[derive(Default)]
pub struct Shutdown {
    /// The number of the signal; 0 if there was none.
    asked_by: AtomicU8,
    asked: tokio::sync::Notify,
    /// Held by who is at it.
    under_way: Mutex<()>,
}

impl Shutdown {
    /// Asks for the end.
    pub fn ask(&self, signal: Signal) {
        self.asked_by.store(signal as u8, Ordering::Relaxed);
        self.asked.notify_one();
    }

    /// Whether a signal has asked for the end, which is still to come.
    pub fn is_asked(&self) -> bool {
        self.asked_by.load(Ordering::Relaxed) != 0
    }

    /// Takes back what a signal has asked for; false if none has.
    pub fn abort(&self) -> bool {
        let is_asked = self.asked_by.swap(0, Ordering::Relaxed) != 0;
        if is_asked {
            tracing::info!("Shutdown manually aborted.");
        }
        is_asked
    }

    /// Waits until a signal asks.
    pub async fn wait(&self) {
        self.asked.notified().await;
    }
}

/// Ends the process because a signal has asked for it, if that was not taken back. It goes on if data cannot be saved.
pub fn end_as_asked(state: &State) {
    let directive = match state.shutdown.asked_by.load(Ordering::Relaxed) {
        0 => return,
        number if number == Signal::Interrupt as u8 => Directive::ShutdownOnSigint,
        _ => Directive::ShutdownOnSigterm,
    };
    end(state, state.settings.shutdown_flags(directive));
    state.shutdown.asked_by.store(0, Ordering::Relaxed);
}

/// Saves, if that is wanted, and ends the process. Returns if data cannot be saved. The caller holds no shard.
pub fn end(state: &State, flags: ShutdownFlags) {
    let _one_at_a_time = state.shutdown.under_way.lock();
    tracing::warn!("User requested shutdown...");
    if state.saving.background.is_running() {
        tracing::warn!("There is a child saving an .rdb. Killing it!");
        saving::stop(state);
    }
    let is_wanted = !state.settings.save_points().is_empty() && !flags.contains(ShutdownFlags::NOSAVE);
    // What is half loaded must not take the place of what it is loaded from.
    if (is_wanted || flags.contains(ShutdownFlags::SAVE)) && !state.loading.is_on() {
        tracing::info!("Saving the final RDB snapshot before exiting.");
        let locked = state.keyspace.lock(state.keyspace.all_shards());
        if saving::save(state, &locked, 0).is_err() {
            if !flags.contains(ShutdownFlags::FORCE) {
                tracing::warn!("Error trying to save the DB, can't exit.");
                tracing::warn!("Errors trying to shut down the server. Check the logs for more information.");
                return;
            }
            tracing::warn!("Error trying to save the DB. Exit anyway.");
        }
    }
    if state.append_file.is_on() {
        tracing::info!("Calling fsync() on the AOF file.");
        append_file::flush(state);
    }
    for (directive, what) in [(Directive::Pidfile, "pid"), (Directive::Unixsocket, "unix socket")] {
        let path = state.settings.string(directive);
        if !path.is_empty() {
            tracing::info!("Removing the {what} file.");
            remove_if_there(&String::from_utf8_lossy(&path));
        }
    }
    tracing::warn!("Redis is now ready to exit, bye bye...");
    std::process::exit(0);
}

/// Ends the process at once, because who has asked for the end insists.
pub fn insist(state: &State) -> ! {
    tracing::warn!("You insist... exiting now.");
    saving::remove_temporary(state);
    std::process::exit(1);
}

fn remove_if_there(path: &str) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("Could not remove {path}: {error}");
    }
}
