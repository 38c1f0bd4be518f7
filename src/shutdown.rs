//! The end of the process: by `SHUTDOWN`, or by a signal. Replicas get what they lack first, for as long as
//! `shutdown-timeout` has it; then data is saved, if the configuration or the client wants it.

use crate::command::{self, DeferredAnswer};
use crate::config::{Directive, ShutdownFlags};
use crate::replication::Stage;
use crate::resp::ErrorReply;
use crate::state::{Holder, State, unix_time_ms};
use crate::store::Locked;
use crate::{append_file, saving};
use parking_lot::Mutex;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

/// What clients get that have asked for an end which does not come.
pub const FAILED: ErrorReply = ErrorReply::fixed("ERR Errors trying to SHUTDOWN. Check logs.");

/// A signal that asks for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Interrupt = 1,
    Terminate = 2,
}

/// An end that waits for replicas.
struct Waiting {
    flags: ShutdownFlags,
    /// Unix time in milliseconds at which nobody waits any longer.
    deadline_ms: i64,
    /// Clients that have asked for it.
    clients: Vec<DeferredAnswer>,
}

/// An end that has been asked for, and who brings it about.
#[derive(Default)]
pub struct Shutdown {
    /// The number of the signal; 0 if there was none.
    asked_by: AtomicU8,
    asked: tokio::sync::Notify,
    /// Held by who is at it.
    under_way: Mutex<()>,
    waiting: Mutex<Option<Waiting>>,
}

/// What has become of an end that was asked for, if the process is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It waits for replicas.
    Waits,
    Failed,
}

impl Shutdown {
    /// Asks for the end.
    pub fn ask(&self, signal: Signal) {
        self.asked_by.store(signal as u8, Ordering::Relaxed);
        self.wake();
    }

    /// Whether a signal has asked for the end, which is still to come.
    pub fn is_asked(&self) -> bool {
        self.asked_by.load(Ordering::Relaxed) != 0
    }

    /// Has whoever brings the end about look again.
    pub fn wake(&self) {
        self.asked.notify_one();
    }

    /// Waits until there is something to look at.
    pub async fn wait(&self) {
        self.asked.notified().await;
    }

    /// Milliseconds for which replicas are waited for at most; `None` if they are not.
    pub fn left_ms(&self) -> Option<i64> {
        self.waiting.lock().as_ref().map(|waiting| (waiting.deadline_ms - unix_time_ms()).max(0))
    }

    /// Has a client wait for an end that waits. It is answered when that is taken back.
    pub fn add_client(&self, state: &State, client: DeferredAnswer) {
        match &mut *self.waiting.lock() {
            Some(waiting) => waiting.clients.push(client),
            None => client.fail(state, FAILED),
        }
    }

    /// Forgets what was asked for; false if nothing was.
    fn cancel(&self, state: &State) -> bool {
        let is_asked = self.asked_by.swap(0, Ordering::Relaxed) != 0;
        let waiting = self.waiting.lock().take();
        let is_waiting = waiting.is_some();
        for client in waiting.into_iter().flat_map(|waiting| waiting.clients) {
            client.fail(state, FAILED);
        }
        if is_waiting {
            state.pause.release(Holder::Shutdown);
            state.clients.wake_all();
        }
        is_asked || is_waiting
    }
}

/// Takes back what was asked for; false if nothing was.
pub fn abort(state: &State) -> bool {
    let is_cancelled = state.shutdown.cancel(state);
    if is_cancelled {
        tracing::info!("Shutdown manually aborted.");
    }
    is_cancelled
}

/// Goes on with the end: one that a signal has asked for begins, and one that waits comes when its time has come.
pub fn look_after(state: &State) {
    let waiting = state.shutdown.waiting.lock().as_ref().map(|waiting| (waiting.flags, waiting.deadline_ms));
    if let Some((flags, deadline_ms)) = waiting {
        if unix_time_ms() >= deadline_ms || lagging(state) == 0 {
            let _one_at_a_time = state.shutdown.under_way.lock();
            end(state, flags);
        }
        return;
    }
    let directive = match state.shutdown.asked_by.load(Ordering::Relaxed) {
        0 => return,
        number if number == Signal::Interrupt as u8 => Directive::ShutdownOnSigint,
        _ => Directive::ShutdownOnSigterm,
    };
    begin(state, state.settings.shutdown_flags(directive));
}

/// Begins the end, which may have to wait for replicas. The caller holds no shard.
pub fn begin(state: &State, flags: ShutdownFlags) -> Begun {
    let _one_at_a_time = state.shutdown.under_way.lock();
    if state.shutdown.waiting.lock().is_some() {
        return Begun::Waits;
    }
    tracing::warn!("User requested shutdown...");
    if flags.contains(ShutdownFlags::NOSAVE) && state.scripts.running.is_busy() {
        // The script has the shards, and is not waited for.
        if state.append_file.is_on() {
            append_file::close(state);
        }
        remove_files(state);
        leave(state);
    }
    let timeout_s = state.settings.int(Directive::ShutdownTimeout);
    if flags.contains(ShutdownFlags::NOW) || timeout_s == 0 || lagging(state) == 0 {
        end(state, flags);
        return Begun::Failed;
    }
    let all = state.keyspace.lock(state.keyspace.all_shards());
    if !state.pause.is_on() {
        state.log.ask_for_acknowledgements();
    }
    state.pause.hold(Holder::Shutdown);
    let deadline_ms = unix_time_ms() + timeout_s * 1000;
    *state.shutdown.waiting.lock() = Some(Waiting { flags, deadline_ms, clients: Vec::new() });
    drop(all);
    state.log.wake_readers();
    state.shutdown.wake();
    tracing::info!("Waiting for replicas before shutting down.");
    Begun::Waits
}

/// Replicas that lack something.
fn lagging(state: &State) -> usize {
    let end = state.log.end();
    state.replication.replicas().iter().filter(|replica| replica.acknowledged() != end).count()
}

/// Tells the log of the replicas that lack something.
fn tell_of_replicas(state: &State) {
    let (end, now_ms) = (state.log.end(), unix_time_ms());
    let replicas = state.replication.replicas();
    for replica in replicas.iter().filter(|replica| replica.acknowledged() != end) {
        let (ip, port) = command::replication::place(replica);
        let lag_s = if replica.stage() == Stage::Online { (now_ms - replica.acknowledged_ms()) / 1000 } else { 0 };
        tracing::warn!(
            "Lagging replica {ip}:{port} reported offset {} behind master, lag={lag_s}, state={}.",
            end.saturating_sub(replica.acknowledged()),
            replica.stage().name()
        );
    }
    if !replicas.is_empty() {
        let (count, in_sync) = (replicas.len(), replicas.len() - lagging(state));
        tracing::info!("{in_sync} of {count} replicas are in sync when shutting down.");
    }
}

/// Saves, if that is wanted, and ends the process. Returns if that cannot be; then nobody waits for it any more. The caller
/// holds no shard.
fn end(state: &State, flags: ShutdownFlags) {
    tell_of_replicas(state);
    // Nothing is done from here on but what it takes to end.
    let Some(_locked) = save(state, flags) else {
        tracing::warn!("Errors trying to shut down the server. Check the logs for more information.");
        state.shutdown.cancel(state);
        return;
    };
    remove_files(state);
    leave(state);
}

/// Ends the process. Listening ends first: left to the end of the process, it outlived connections, and whoever learned by the
/// end of one that the server is gone could still connect.
fn leave(state: &State) -> ! {
    if let Some(listening) = state.listening.get() {
        listening.close();
    }
    tracing::warn!("Redis is now ready to exit, bye bye...");
    std::process::exit(0);
}

/// Removes the files that say that the server is there.
fn remove_files(state: &State) {
    for (directive, what) in [(Directive::Pidfile, "pid"), (Directive::Unixsocket, "unix socket")] {
        let path = state.settings.string(directive);
        if !path.is_empty() {
            tracing::info!("Removing the {what} file.");
            remove_if_there(&String::from_utf8_lossy(&path));
        }
    }
}

/// Has data where they are to be at the end, and holds all shards from then on; `None` if data would be lost.
fn save(state: &State, flags: ShutdownFlags) -> Option<Locked<'_>> {
    let is_forced = flags.contains(ShutdownFlags::FORCE);
    if state.saving.background.is_running() {
        tracing::warn!("There is a child saving an .rdb. Killing it!");
        saving::stop(state);
    }
    let rewrites = state.append_file.rewrites();
    if rewrites.begun_ms.is_some() {
        if rewrites.is_first {
            if !is_forced {
                tracing::warn!("Writing initial AOF, can't exit.");
                return None;
            }
            tracing::warn!("Writing initial AOF. Exit anyway.");
        }
        tracing::warn!("There is a child rewriting the AOF. Killing it!");
        append_file::rewrite::remove_temporary(state);
    }
    let locked = state.keyspace.lock(state.keyspace.all_shards());
    if state.append_file.is_on() {
        tracing::info!("Calling fsync() on the AOF file.");
        append_file::close(state);
    }
    let is_wanted = !state.settings.save_points().is_empty() && !flags.contains(ShutdownFlags::NOSAVE);
    // What is half loaded must not take the place of what it is loaded from.
    if (is_wanted || flags.contains(ShutdownFlags::SAVE)) && !state.loading.is_on() {
        tracing::info!("Saving the final RDB snapshot before exiting.");
        if saving::save(state, &locked, 0).is_err() {
            if !is_forced {
                tracing::warn!("Error trying to save the DB, can't exit.");
                return None;
            }
            tracing::warn!("Error trying to save the DB. Exit anyway.");
        }
    }
    Some(locked)
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
