//! The thread that writes the append-only file.

use super::Order;
use crate::command;
use crate::config::{AppendFsync, Directive, error_text};
use crate::log::{Pace, Reader, Terms};
use crate::persistence::aof;
use crate::persistence::disk::DiskFile;
use crate::state::{State, unix_time_ms};
use bytes::Bytes;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

/// Bytes, and pieces of the log, that are written at once.
const WRITE_BYTES: usize = 1024 * 1024;
const WRITE_PIECES: usize = 64;
/// Bytes of the log for which the thread does not wait longer.
const GATHER_BYTES: u64 = 256 * 1024;
/// How what is written is spread, unless replies wait for it.
const TERMS: Terms = Terms { gather: Duration::from_millis(10), prompt_turns: 4, prompt_bytes: 16 * 1024 };
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// How long nothing is tried after an error.
const RETRY: Duration = Duration::from_secs(1);

struct Writer<'s> {
    state: &'s State,
    reader: &'s Reader,
    file: Box<dyn DiskFile>,
    /// What is written next: blocks of the log, as they are.
    pieces: Vec<Bytes>,
    /// The offset behind what is in the file or in `pieces`.
    position: u64,
    /// Something was written and not synced.
    is_dirty: bool,
    synced: Instant,
    pace: Pace,
    /// The time that was written last, in seconds of Unix time.
    noted_s: i64,
    policy: AppendFsync,
    /// What [`super::AppendFile::generation`] was when it began.
    generation: u64,
}

/// The file has been switched off.
struct Over;

/// Writes until the file is switched off.
pub(super) fn run(state: &Arc<State>, reader: &Reader, file: Box<dyn DiskFile>, generation: u64) {
    let mut writer = Writer {
        state,
        reader,
        file,
        pieces: Vec::with_capacity(WRITE_PIECES + 1),
        position: reader.position(),
        is_dirty: false,
        synced: Instant::now(),
        pace: Pace::new(TERMS),
        noted_s: 0,
        policy: AppendFsync::Everysec,
        generation,
    };
    while writer.turn().is_ok() {}
}

impl Writer<'_> {
    /// Does all that there is to do, and waits for more.
    fn turn(&mut self) -> Result<(), Over> {
        self.policy = self.state.settings.choice(Directive::Appendfsync);
        self.write_all()?;
        self.obey()?;
        self.sync_in_time()?;
        // What was read is freed here, and was taken elsewhere.
        crate::memory::publish();
        self.wait();
        self.go_on()
    }

    fn go_on(&self) -> Result<(), Over> {
        if self.state.append_file.generation.load(Ordering::Acquire) == self.generation { Ok(()) } else { Err(Over) }
    }

    /// Where the file ends and another begins, if that has been ordered.
    fn switch_at(&self) -> u64 {
        let orders = self.state.append_file.orders.lock();
        let switch = orders.iter().find_map(|order| match order {
            Order::Switch { at, .. } => Some(*at),
            Order::Sync(_) | Order::Note(..) => None,
        });
        switch.unwrap_or(u64::MAX)
    }

    /// Writes everything that the log has for this file.
    fn write_all(&mut self) -> Result<(), Over> {
        let sleep_us = self.state.append_file.sleep_us.load(Ordering::Relaxed);
        if sleep_us > 0 {
            std::thread::sleep(Duration::from_micros(sleep_us as u64));
        }
        loop {
            let mut gathered = 0;
            while gathered < WRITE_BYTES
                && self.pieces.len() < WRITE_PIECES
                && let Some(bytes) = self.next()
            {
                self.note_time();
                gathered += bytes.len();
                self.pieces.push(bytes);
            }
            // What is only for replicas has been passed over.
            self.position = self.reader.position();
            if self.pieces.is_empty() {
                break;
            }
            self.write_pieces()?;
        }
        self.go_on()?;
        self.state.append_file.written.store(self.position, Ordering::Relaxed);
        if !self.is_dirty {
            self.state.append_file.settle(self.position);
        } else if self.policy == AppendFsync::Always {
            self.sync()?;
        }
        Ok(())
    }

    /// Writes when what follows was done, if that is wanted and has not been written yet.
    fn note_time(&mut self) {
        let now_s = unix_time_ms() / 1000;
        if now_s > self.noted_s && self.state.settings.flag(Directive::AofTimestampEnabled) {
            self.pieces.push(aof::write::timestamp(now_s).into());
            self.noted_s = now_s;
        }
    }

    /// Whole commands, which come next for this file.
    fn next(&self) -> Option<Bytes> {
        // In this order: an order to switch is given before the log has anything that is for the other file.
        let end = self.state.log.end();
        self.state.log.read(self.reader, end.min(self.switch_at()))
    }

    /// Writes what has been gathered, however long it takes.
    fn write_pieces(&mut self) -> Result<(), Over> {
        let bytes = self.pieces.iter().map(Bytes::len).sum();
        let mut slices: Vec<IoSlice<'_>> = self.pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            match self.file.write_vectored(rest) {
                Ok(0) => self.fail("writing to", &io::ErrorKind::WriteZero.into())?,
                Ok(written) => {
                    IoSlice::advance_slices(&mut rest, written);
                    self.is_dirty = true;
                    self.state.append_file.size.fetch_add(written as u64, Ordering::Relaxed);
                    self.recover();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.fail("writing to", &error)?,
            }
        }
        self.pieces.drain(..).for_each(|piece| self.state.log.give_back(piece));
        self.pace.note(bytes);
        Ok(())
    }

    /// Says that the disk does not do what it should. Ends the process if replies have been promised otherwise; else writes are
    /// refused until it does, and the caller tries again after a while.
    fn fail(&self, what: &str, error: &io::Error) -> Result<(), Over> {
        if self.policy == AppendFsync::Always {
            tracing::warn!("Error {what} the AOF file: {}", error_text(error));
            tracing::warn!("Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...");
            std::process::exit(1);
        }
        let append_file = &self.state.append_file;
        if append_file.error().is_none() {
            tracing::warn!("Error {what} the AOF file: {}", error_text(error));
        }
        append_file.error.store(error.raw_os_error().unwrap_or(libc::EIO), Ordering::Relaxed);
        append_file.settle(0);
        let mut orders = append_file.orders.lock();
        let until = Instant::now() + RETRY;
        while self.go_on().is_ok() && !append_file.told.wait_until(&mut orders, until).timed_out() {}
        drop(orders);
        self.go_on()
    }

    /// The disk does what it should again.
    fn recover(&self) {
        if self.state.append_file.error.swap(0, Ordering::Relaxed) != 0 {
            tracing::warn!("AOF write error looks solved. The server can write again.");
        }
    }

    /// Has everything that was written last.
    fn sync(&mut self) -> Result<(), Over> {
        while let Err(error) = self.file.sync() {
            self.fail("syncing", &error)?;
        }
        self.recover();
        self.is_dirty = false;
        self.synced = Instant::now();
        self.state.append_file.settle(self.position);
        if self.state.replication.has_waits.load(Ordering::Acquire) {
            command::serve_acknowledged(self.state);
        }
        Ok(())
    }

    fn sync_in_time(&mut self) -> Result<(), Over> {
        let is_put_off = self.state.settings.flag(Directive::NoAppendfsyncOnRewrite)
            && self.state.append_file.rewrites().begun_ms.is_some();
        let is_time = self.synced.elapsed() >= SYNC_INTERVAL;
        if self.is_dirty && self.policy == AppendFsync::Everysec && is_time && !is_put_off {
            self.sync()?;
        }
        Ok(())
    }

    /// Does what was ordered, as far as its time has come.
    fn obey(&mut self) -> Result<(), Over> {
        loop {
            let order = {
                let mut orders = self.state.append_file.orders.lock();
                match orders.front() {
                    Some(Order::Switch { at, .. }) if *at > self.position => return Ok(()),
                    Some(Order::Sync(offset) | Order::Note(offset, _)) if *offset > self.position => return Ok(()),
                    _ => orders.pop_front(),
                }
            };
            match order {
                None => return Ok(()),
                Some(Order::Switch { file, .. }) => {
                    if self.is_dirty {
                        self.sync()?;
                    }
                    self.file = file;
                    self.noted_s = 0;
                }
                Some(Order::Sync(_)) => {
                    if self.is_dirty {
                        self.sync()?;
                    } else {
                        self.state.append_file.settle(self.position);
                    }
                }
                Some(Order::Note(_, text)) => {
                    self.pieces.push(text.into());
                    self.write_pieces()?;
                    self.sync()?;
                    self.state.append_file.is_noted.store(true, Ordering::Release);
                }
            }
        }
    }

    /// Waits until there is something to be done.
    fn wait(&self) {
        let append_file = &self.state.append_file;
        let mut orders = append_file.orders.lock();
        self.want(1);
        if self.state.log.end() <= self.position && orders.is_empty() && self.go_on().is_ok() {
            let limit = if self.is_dirty { SYNC_INTERVAL.saturating_sub(self.synced.elapsed()) } else { SYNC_INTERVAL };
            append_file.told.wait_for(&mut orders, limit.max(Duration::from_millis(1)));
        }
        // Where much comes, it is written together; but not if somebody waits for it.
        let left = self.pace.wait();
        if self.policy != AppendFsync::Always && orders.is_empty() && !left.is_zero() {
            self.want(GATHER_BYTES);
            if self.state.log.end() < self.position + GATHER_BYTES {
                append_file.told.wait_for(&mut orders, left);
            }
        }
        append_file.wanted.store(u64::MAX, Ordering::Relaxed);
    }

    /// Has the thread be told when the log has so many bytes for it, unless the log turns out to have them now.
    fn want(&self, bytes: u64) {
        self.state.append_file.wanted.store(self.position + bytes, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}
