//! The transfer of the primary's data: into a file that is loaded once it is whole, or into memory as it comes
//! (`repl-diskless-load`).

use super::{Broken, Wire};
use crate::append_file;
use crate::command;
use crate::config::{Directive, error_text};
use crate::loading::{self, LoadError, Replacement};
use crate::persistence::disk::DiskFile;
use crate::replication::{LinkState, Transfer};
use crate::state::{State, unix_time_ms};
use bytes::{Buf, Bytes};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Bytes of the mark behind data of unknown length.
const MARK_BYTES: usize = 40;
/// Longest line before the data.
const LINE_BYTES_MAX: usize = 1024;
/// For how long data that may be few are waited for before they are loaded as they come.
const FIRST_PATIENCE: Duration = Duration::from_millis(50);
/// Bytes beyond which they are not few.
const FIRST_BYTES_MAX: usize = 2 << 20;
/// Pieces of the data that may wait to be loaded.
const PIECES_MAX: usize = 64;

/// Where the data end.
enum End {
    /// Bytes that are still to come.
    Length(u64),
    Mark([u8; MARK_BYTES]),
}

/// Receives the primary's data in place of what is here, and notes which history and offset they are, if that is known.
pub(super) async fn receive(link: &mut Wire<'_>, place: Option<(String, u64)>) -> Result<(), Broken> {
    let state = Arc::clone(link.state);
    let end = begin(link).await?;
    let total = match &end {
        End::Length(bytes) => Some(*bytes),
        End::Mark(_) => None,
    };
    let replacement = replacement(&state, place.as_ref().map(|(id, _)| id.as_str()));
    let target = if replacement.is_some() { "to parser" } else { "to disk" };
    match total {
        Some(bytes) => tracing::info!(
            target: "notice",
            "MASTER <-> REPLICA sync: receiving {bytes} bytes from master {target}"
        ),
        None => tracing::info!(
            target: "notice",
            "MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF {target}"
        ),
    }
    state.replication.update_link(|link| {
        link.state = LinkState::Transfer;
        link.transfer = Transfer { total, read: 0, last_ms: unix_time_ms() };
    });
    match replacement {
        Some(replacement) => stream(link, &state, end, total, replacement).await?,
        None => by_file(link, &state, end).await?,
    }
    // What follows is for the database that the primary names first.
    state.replication.stream_database.store(0, std::sync::atomic::Ordering::Relaxed);
    let (id, offset) = place.unwrap_or_else(|| (crate::replication::random_id(), 0));
    state.replication.adopt(id);
    state.replication.set_has_history(true);
    state.log.restart(offset);
    if state.settings.flag(Directive::Appendonly) {
        append_file::enable(&state, false).map_err(Broken::Refused)?;
    }
    tracing::info!(target: "notice", "MASTER <-> REPLICA sync: Finished with success");
    Ok(())
}

/// What is done with what is there, if data are loaded while they come; `None` if they go to a file first. `id` names the history
/// of what comes, if that is known.
fn replacement(state: &State, id: Option<&str>) -> Option<Replacement> {
    match state.settings.enum_name(Directive::ReplDisklessLoad) {
        "disabled" => None,
        "on-empty-db" => {
            let all = state.keyspace.lock(state.keyspace.all_shards());
            let is_empty = all.iter().all(|(_, shard)| shard.databases.iter().all(|tree| tree.is_empty()));
            is_empty.then_some(Replacement::Before)
        }
        // What is there is an older state of the same data: better than none.
        "swapdb" if id == Some(&state.replication.history().id) => Some(Replacement::Served),
        "swapdb" => Some(Replacement::Behind),
        _ => Some(Replacement::Before),
    }
}

/// Reads the line that says where the data end.
async fn begin(link: &mut Wire<'_>) -> Result<End, Broken> {
    let line = loop {
        while link.buffer.first() == Some(&b'\n') {
            link.buffer.advance(1);
        }
        if let Some(len) = memchr::memchr(b'\n', &link.buffer) {
            let line = link.buffer.split_to(len + 1);
            break String::from_utf8_lossy(&line).trim_end().to_owned();
        }
        if link.buffer.len() > LINE_BYTES_MAX {
            return Err(Broken::Refused("the primary announces no data".into()));
        }
        link.read().await?;
    };
    if let Some(error) = line.strip_prefix('-') {
        return Err(Broken::Refused(format!("MASTER aborted replication with an error: {error}")));
    }
    let announced = line.strip_prefix('$').ok_or_else(|| {
        Broken::Refused(format!(
            "Bad protocol from MASTER, the first byte is not '$' (we received '{line}'), are you sure the host and port are right?"
        ))
    })?;
    if let Some(mark) = announced.strip_prefix("EOF:")
        && let Ok(mark) = mark.as_bytes().try_into()
    {
        return Ok(End::Mark(mark));
    }
    let bytes = announced.parse().map_err(|_| Broken::Refused(format!("no length: {line}")))?;
    Ok(End::Length(bytes))
}

/// The next piece of the data; `None` behind the last one.
async fn piece(link: &mut Wire<'_>, end: &mut End) -> Result<Option<Bytes>, Broken> {
    loop {
        let len = match end {
            End::Length(0) => return Ok(None),
            End::Length(left) => link.buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX)),
            End::Mark(mark) => {
                if link.buffer.ends_with(mark) {
                    let len = link.buffer.len() - MARK_BYTES;
                    let rest = link.buffer.split_to(len).freeze();
                    link.buffer.clear();
                    *end = End::Length(0);
                    return Ok((!rest.is_empty()).then_some(rest));
                }
                link.buffer.len().saturating_sub(MARK_BYTES)
            }
        };
        if len > 0 {
            if let End::Length(left) = end {
                *left -= len as u64;
            }
            return Ok(Some(link.buffer.split_to(len).freeze()));
        }
        let read = link.read().await?;
        link.state.replication.update_link(|link| {
            link.transfer.read += read as u64;
            link.transfer.last_ms = unix_time_ms();
        });
    }
}

/// A file that is removed unless it is kept.
struct Received<'s> {
    state: &'s State,
    path: PathBuf,
    is_kept: bool,
}

impl Drop for Received<'_> {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = self.state.disk.remove(&self.path)
        {
            tracing::warn!("Could not remove {}: {}", self.path.display(), error_text(&error));
        }
    }
}

/// Receives the data into a file, and loads that.
async fn by_file(link: &mut Wire<'_>, state: &Arc<State>, mut end: End) -> Result<(), Broken> {
    let name = format!("temp-{}.{}.rdb", unix_time_ms() / 1000, std::process::id());
    let path = state.settings.resolve(name.as_ref());
    let failed = |error: &io::Error| {
        Broken::Refused(format!(
            "Write error or short write writing to the DB dump file needed for MASTER <-> REPLICA synchronization: {}",
            error_text(error)
        ))
    };
    let mut file: Box<dyn DiskFile> = state.disk.create(&path).map_err(|error| {
        Broken::Refused(format!(
            "Opening the temp file needed for MASTER <-> REPLICA synchronization: {}",
            error_text(&error)
        ))
    })?;
    let mut received = Received { state, path, is_kept: false };
    while let Some(bytes) = piece(link, &mut end).await? {
        file.write_all(&bytes).map_err(|error| failed(&error))?;
    }
    file.sync().map_err(|error| failed(&error))?;
    drop(file);
    let (mut input, bytes) = state.disk.open(&received.path)?;
    let is_lazy = begin_anew(state);
    match loading::receive_at_once(state, &mut input, bytes, is_lazy) {
        Some(result) => result.map_err(|error| not_loaded(&error))?,
        None => loaded(loading::receive(state, input, bytes, Replacement::Before, is_lazy)?).await?,
    }
    // It is this server's own file from now on, as it is in Redis.
    let persists = !state.settings.save_points().is_empty();
    if persists || !state.settings.flag(Directive::RdbDelSyncFiles) {
        received.is_kept = true;
        crate::saving::adopt_file(state, &received.path).map_err(|error| {
            Broken::Refused(format!(
                "Failed trying to rename the temp DB into {}: {}",
                received.path.display(),
                error_text(&error)
            ))
        })?;
    }
    Ok(())
}

/// What is there is of no use from now on, for nobody. Returns whether it is to be removed in the background.
fn begin_anew(state: &State) -> bool {
    tracing::info!(target: "notice", "MASTER <-> REPLICA sync: Flushing old data");
    give_up_history(state);
    tracing::info!(target: "notice", "MASTER <-> REPLICA sync: Loading DB in memory");
    state.settings.flag(Directive::ReplicaLazyFlush)
}

/// Other data come, with a history of their own.
fn give_up_history(state: &State) {
    // What the file has is of no use then.
    append_file::disable(state);
    state.replication.set_has_history(false);
    command::replication::disconnect_replicas(state);
}

fn not_loaded(error: &LoadError) -> Broken {
    Broken::Refused(format!("Failed trying to load the MASTER synchronization DB: {error}"))
}

/// Waits until everything has been loaded.
async fn loaded(ended: oneshot::Receiver<Result<(), LoadError>>) -> Result<(), Broken> {
    match ended.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(not_loaded(&error)),
        Err(_) => Err(Broken::Refused("Failed trying to load the MASTER synchronization DB".into())),
    }
}

/// Loads the data while they come.
async fn stream(
    link: &mut Wire<'_>,
    state: &Arc<State>,
    mut end: End,
    total: Option<u64>,
    replacement: Replacement,
) -> Result<(), Broken> {
    let (mut first, mut is_whole) = (Vec::new(), false);
    let is_lazy = match replacement {
        Replacement::Before => {
            (first, is_whole) = what_is_there(link, &mut end).await?;
            begin_anew(state)
        }
        Replacement::Behind => begin_anew(state),
        Replacement::Served => {
            tracing::info!(target: "notice", "MASTER <-> REPLICA sync: Loading DB in memory");
            state.settings.flag(Directive::ReplicaLazyFlush)
        }
    };
    if is_whole && let Some(result) = loading::receive_at_once(state, first.as_slice(), first.len() as u64, is_lazy) {
        return result.map_err(|error| not_loaded(&error));
    }
    let (pieces, receiver) = mpsc::channel(PIECES_MAX);
    let input = Pieces { receiver, rest: Bytes::from(first) };
    let mut ended = loading::receive(state, input, total.unwrap_or(0), replacement, is_lazy)?;
    let sent = loop {
        match piece(link, &mut end).await {
            Ok(Some(bytes)) => tokio::select! {
                sent = pieces.send(bytes) => if sent.is_err() { break Ok(()) },
                result = &mut ended => {
                    // It wants no more: the file has ended before the transfer did, or it makes no sense.
                    match result {
                        Ok(Ok(())) | Err(_) => return Err(Broken::Refused("the primary's data end too soon".into())),
                        Ok(Err(error)) => return Err(Broken::Refused(format!(
                            "Failed trying to load the MASTER synchronization DB from socket: {error}"
                        ))),
                    }
                }
            },
            Ok(None) => break Ok(()),
            Err(broken) => break Err(broken),
        }
    };
    drop(pieces);
    let result = loaded(ended).await;
    sent?;
    result?;
    if replacement == Replacement::Served {
        give_up_history(state);
    }
    Ok(())
}

/// What comes without delay of data that may be few, and whether that is all.
async fn what_is_there(link: &mut Wire<'_>, end: &mut End) -> Result<(Vec<u8>, bool), Broken> {
    let mut bytes = Vec::new();
    let until = Instant::now() + FIRST_PATIENCE;
    while bytes.len() < FIRST_BYTES_MAX {
        match timeout_at(until, piece(link, end)).await {
            Ok(Ok(Some(piece))) => bytes.extend_from_slice(&piece),
            Ok(Ok(None)) => return Ok((bytes, true)),
            Ok(Err(broken)) => return Err(broken),
            Err(_) => break,
        }
    }
    Ok((bytes, false))
}

/// The data, as whoever loads them reads them.
struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    rest: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.receiver.blocking_recv() {
                Some(bytes) => self.rest = bytes,
                None => return Ok(0),
            }
        }
        let len = buffer.len().min(self.rest.len());
        buffer[..len].copy_from_slice(&self.rest[..len]);
        self.rest.advance(len);
        Ok(len)
    }
}
