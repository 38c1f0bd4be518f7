//! Copies of the data for replicas that cannot go on where they were: one snapshot for all that wait, sent as it is made, or
//! through a file to those that have to know its length first.

use crate::command::replication::wake;
use crate::config::{Directive, error_text};
use crate::log::ReaderKind;
use crate::persistence::Place;
use crate::persistence::rdb::file::write::Output;
use crate::replication::{Replica, Stage};
use crate::saving::{self, Form};
use crate::state::{State, unix_time_ms};
use bytes::Bytes;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Time between two looks at who waits.
const PERIOD: Duration = Duration::from_millis(100);
/// Bytes that are sent at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Bytes of a copy that may wait for a replica to take them.
const AHEAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Serves replicas that wait for a copy. Never ends.
pub async fn serve(state: Arc<State>) {
    loop {
        tokio::select! {
            () = state.replication.copy_wanted.notified() => {}
            () = tokio::time::sleep(PERIOD) => {}
        }
        let Some(group) = next_group(&state) else { continue };
        let (done, ended) = oneshot::channel();
        let job = Arc::clone(&state);
        let spawned = crate::memory::spawn("copy", move || {
            copy(&job, &group);
            // Nobody waits for it when the process ends.
            let _ = done.send(());
        });
        match spawned {
            Ok(()) => drop(ended.await),
            Err(error) => tracing::warn!("Can't save in background: {}", error_text(&error)),
        }
    }
}

/// Replicas that get the same copy.
struct Group {
    replicas: Vec<Arc<Replica>>,
    /// They take it as it is made.
    is_direct: bool,
    /// They want no keys.
    only_functions: bool,
}

/// Those who have waited long enough.
fn next_group(state: &State) -> Option<Group> {
    let settings = &state.settings;
    let waiting = state.replication.replicas().into_iter();
    let waiting: Vec<_> = waiting.filter(|replica| replica.stage() == Stage::Waiting && !replica.is_gone()).collect();
    let only_functions = waiting.first().is_some_and(|replica| replica.capabilities.only_functions);
    let waiting: Vec<_> =
        waiting.into_iter().filter(|replica| replica.capabilities.only_functions == only_functions).collect();
    if waiting.is_empty() || state.keyspace.snapshot_progress().is_some() {
        return None;
    }
    let is_direct = |replica: &Arc<Replica>| settings.flag(Directive::ReplDisklessSync) && replica.capabilities.eof;
    let (direct, by_file): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_direct);
    if !by_file.is_empty() {
        return Some(Group { replicas: by_file, is_direct: false, only_functions });
    }
    // Others may come: they are served together.
    let waited_ms = unix_time_ms() - direct.iter().map(|replica| replica.since_ms).min()?;
    let enough = settings.int(Directive::ReplDisklessSyncMaxReplicas);
    let is_time = waited_ms >= settings.int(Directive::ReplDisklessSyncDelay) * 1000
        || enough > 0 && direct.len() as i64 >= enough;
    is_time.then_some(Group { replicas: direct, is_direct: true, only_functions })
}

/// Makes a copy and sends it. Replicas that it could not be made for are sent away, and come back.
fn copy(state: &Arc<State>, group: &Group) {
    let target = if group.is_direct { "replicas sockets" } else { "disk" };
    tracing::info!(target: "notice", "Starting BGSAVE for SYNC with target: {target}");
    state.replication.is_copy_unwanted.store(false, Ordering::Relaxed);
    state.replication.is_copying.store(true, Ordering::Relaxed);
    let result = if group.is_direct { copy_directly(state, group) } else { copy_by_file(state, group) };
    state.replication.is_copying.store(false, Ordering::Relaxed);
    let are_gone = group.replicas.iter().all(|replica| replica.is_gone());
    match result {
        Ok(true) => {}
        Err(_) if group.is_direct && are_gone => {
            tracing::warn!("Diskless rdb transfer, last replica dropped, killing fork child.");
        }
        // Another snapshot has begun meanwhile.
        Ok(false) => group.replicas.iter().for_each(|replica| replica.set_stage(Stage::Waiting)),
        Err(error) => {
            tracing::warn!("SYNC failed. BGSAVE child returned an error: {}", error_text(&error));
            group.replicas.iter().for_each(|replica| state.clients.kill(&replica.client));
        }
    }
}

/// Begins a snapshot; each replica is told at which offset, and reads the log from there.
fn begin<'s>(state: &'s Arc<State>, group: &Group) -> Option<(saving::Copy<'s>, String, u64)> {
    let mut locked = state.keyspace.lock(state.keyspace.all_shards());
    let copy = saving::Copy::begin(state, &mut locked, Form::Rdb)?.with_keys(!group.only_functions);
    let (history, offset) = (state.replication.history(), state.log.end());
    state.log.forget_database();
    for replica in &group.replicas {
        let Some(reader) = state.log.open(ReaderKind::Replica, offset, wake(replica)) else { continue };
        replica.attach(reader);
        if replica.is_gone()
            && let Some(reader) = replica.detach()
        {
            state.log.close(&reader);
        }
    }
    drop(locked);
    for replica in &group.replicas {
        replica.set_stage(if group.is_direct { Stage::Streamed } else { Stage::Prepared });
        if !replica.is_plain {
            replica.feed(format!("+FULLRESYNC {} {offset}\r\n", history.id).into());
        }
    }
    let pid = std::process::id();
    if group.is_direct {
        tracing::info!(target: "notice", "Background RDB transfer started by pid {pid}");
    } else {
        tracing::info!(target: "notice", "Background saving started by pid {pid}");
    }
    let (replicas, state) = (group.replicas.clone(), Arc::clone(state));
    // A file is of use for this server as well, if it saves at all.
    let is_kept = !group.is_direct && !state.settings.save_points().is_empty();
    let copy = copy.unless(move || {
        let is_useless = !is_kept && replicas.iter().all(|replica| replica.is_gone());
        is_useless || state.replication.is_copy_unwanted.load(Ordering::Relaxed)
    });
    Some((copy, history.id, offset))
}

fn copy_directly(state: &Arc<State>, group: &Group) -> io::Result<bool> {
    let Some((copy, id, offset)) = begin(state, group) else { return Ok(false) };
    let mark = crate::replication::random_id();
    let mut sockets = Sockets { state, replicas: &group.replicas, gathered: Vec::with_capacity(PIECE_BYTES) };
    sockets.gathered.extend_from_slice(format!("$EOF:{mark}\r\n").as_bytes());
    // They learn at once that there is something to come.
    sockets.flush()?;
    let has_checksum = state.settings.flag(Directive::Rdbchecksum);
    let place = Place { database: 0, id, offset };
    let mut sockets = copy.write(Some(&place), false, Output::new(sockets, has_checksum))?;
    sockets.write_all(mark.as_bytes())?;
    sockets.flush()?;
    let left = group.replicas.iter().filter(|replica| !replica.is_gone());
    tracing::info!(
        target: "notice",
        "Diskless rdb transfer, done reading from pipe, {} replicas still up.",
        left.clone().count()
    );
    for replica in left {
        tracing::info!(target: "notice", "Streamed replica with replica {} succeeded (socket). Waiting for REPLCONF ACK from \
             replica to enable streaming", replica.client.address);
        replica.complete(true);
    }
    Ok(true)
}

fn copy_by_file(state: &Arc<State>, group: &Group) -> io::Result<bool> {
    let Some((copy, id, offset)) = begin(state, group) else { return Ok(false) };
    let name = format!("temp-sync-{}.{}.rdb", unix_time_ms(), std::process::id());
    let path = state.settings.resolve(name.as_ref());
    let has_checksum = state.settings.flag(Directive::Rdbchecksum);
    let file = state.disk.create(&path)?;
    let place = Place { database: 0, id, offset };
    let result = copy.write(Some(&place), false, Output::new(file, has_checksum)).and_then(|mut file| file.sync());
    let sent = result.and_then(|()| {
        let (input, bytes) = state.disk.open(&path)?;
        if group.replicas.iter().all(|replica| replica.is_gone()) {
            return Ok(());
        }
        send_file(state, &group.replicas, input, bytes)
    });
    state.disk.remove(&path)?;
    sent.map(|()| true)
}

fn send_file(state: &State, replicas: &[Arc<Replica>], mut input: impl Read, bytes: u64) -> io::Result<()> {
    let mut sockets = Sockets { state, replicas, gathered: Vec::with_capacity(PIECE_BYTES) };
    replicas.iter().for_each(|replica| replica.set_stage(Stage::Transfer));
    sockets.gathered.extend_from_slice(format!("${bytes}\r\n").as_bytes());
    let copied = io::copy(&mut input, &mut sockets)?;
    sockets.flush()?;
    if copied != bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    for replica in replicas {
        replica.complete(false);
        tracing::info!(target: "notice", "Synchronization with replica {} succeeded", replica.client.address);
    }
    Ok(())
}

/// All replicas of a group, none of which gets far ahead of what it takes.
struct Sockets<'s> {
    state: &'s State,
    replicas: &'s [Arc<Replica>],
    gathered: Vec<u8>,
}

impl Write for Sockets<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    /// Errors: no replica is left.
    fn flush(&mut self) -> io::Result<()> {
        let piece = Bytes::from(std::mem::replace(&mut self.gathered, Vec::with_capacity(PIECE_BYTES)));
        crate::memory::publish();
        let mut left = 0;
        for replica in self.replicas.iter().filter(|replica| !replica.is_gone()) {
            if !self.has_room(replica) {
                continue;
            }
            left += 1;
            if !piece.is_empty() {
                replica.feed(piece.clone());
            }
        }
        if left == 0 {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl Sockets<'_> {
    /// Waits until a replica has taken most of what it was given. False if it is gone, or is sent away because it takes nothing.
    fn has_room(&self, replica: &Arc<Replica>) -> bool {
        let begun = Instant::now();
        loop {
            if replica.wait_for_room(AHEAD_BYTES_MAX, PERIOD) {
                return true;
            }
            if replica.is_gone() {
                return false;
            }
            if begun.elapsed().as_secs() as i64 > self.state.settings.int(Directive::ReplTimeout) {
                tracing::warn!("Disconnecting timedout replica (full sync): {}", replica.client.address);
                self.state.clients.kill(&replica.client);
                replica.leave();
                return false;
            }
        }
    }
}
