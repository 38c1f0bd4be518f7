//! The append-only file on a disk that crashes behind each of its operations, that is full, and that fails.

use super::*;
use crate::client::{Endpoint, Identity, Session};
use crate::command::{self, Batch};
use crate::config::{Asker, Settings};
use crate::persistence::disk::simulated::{Fault, Loss, SimulatedDisk};
use crate::resp::{OwnedRequest, Protocol, Reply};
use crate::spec::Table;
use std::time::{Duration, Instant};

/// Ways in which the power may be lost that are tried at each point.
const LOSSES: [Loss; 5] =
    [Loss::Process, Loss::Power(0), Loss::Power(0x9E37_79B9), Loss::Power(0x7F4A_7C15), Loss::Power(0xF39C_C060)];

/// A server without sockets, and its only client.
struct Server {
    state: Arc<State>,
    session: Session,
}

impl Server {
    /// Loads what is on the disk, and goes on with it. Errors: what the log of a real one would end with.
    fn start(disk: &SimulatedDisk, policy: &str) -> Result<Server, String> {
        let server = Server::without_file(disk, &[("appendonly", "yes"), ("appendfsync", policy)]);
        let state = &server.state;
        let manifest = load::find(state).map_err(|error| error.to_string())?;
        load::load(state, &manifest).map_err(|error| error.to_string())?;
        let bytes = load::total_size(state, &manifest).map_err(|error| error.to_string())?;
        start(state, manifest, bytes).map_err(|error| error.to_string())?;
        Ok(server)
    }

    fn without_file(disk: &SimulatedDisk, directives: &[(&str, &str)]) -> Server {
        let mut state = State::new(Settings::new(), Table::new(&[]).unwrap(), 1).unwrap();
        state.disk = Box::new(disk.clone());
        let asker = Asker { may_set_protected: true, is_loading: false };
        let directives = directives.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        state.settings.set(directives, asker, |_| Ok(())).unwrap();
        let nowhere = Endpoint::Unix("".into());
        let client = Client::new(state.clients.next_id(), nowhere.clone(), nowhere, -1, 0);
        let session = Session::new(Identity::new(Arc::new(client), state.acl.default_account(), true));
        Server { state: Arc::new(state), session }
    }

    /// Runs a command, written as in redis-cli without quotes, and returns the reply as it would be sent.
    fn run(&mut self, line: &str) -> String {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let request = OwnedRequest::new(words.into_iter());
        let mut batch = Batch::default();
        batch.push(&self.state, b"", request.args());
        let mut reply = Reply::new(Protocol::Resp2);
        command::execute(&self.state, &mut self.session, request.args(), batch.request(b"", 0), &mut reply);
        self.state.log.wake_readers();
        String::from_utf8_lossy(&reply.take()).into_owned()
    }

    /// Does the write of a number: every third one is a transaction.
    fn write(&mut self, number: u64) {
        let alone = [format!("RPUSH list {number}")];
        let together =
            ["MULTI", &format!("SET a {number}"), &format!("RPUSH list {number}"), &format!("SET b {number}"), "EXEC"]
                .map(str::to_owned);
        let lines = if number.is_multiple_of(3) { together.as_slice() } else { &alone };
        for line in lines {
            let reply = self.run(line);
            assert!(!reply.starts_with('-'), "{line}: {reply}");
        }
    }

    /// Waits until the reply to everything that was written could be sent.
    fn wait_until_promised(&self) {
        let end = self.state.log.end();
        eventually("the disk", || self.state.append_file.durable() >= end);
    }

    fn wait_for_rewrite(&self) {
        eventually("the end of the rewrite", || {
            look_after(&self.state);
            let rewrites = self.state.append_file.rewrites();
            rewrites.begun_ms.is_none() && !rewrites.is_scheduled
        });
    }

    /// How many writes there are, which must be the first ones, with transactions whole.
    fn count(&mut self) -> u64 {
        let reply = self.run("LRANGE list 0 -1");
        let numbers: Vec<u64> =
            reply.lines().skip(1).filter(|line| !line.starts_with('$')).map(|line| line.parse().unwrap()).collect();
        let count = numbers.len() as u64;
        assert!(numbers.into_iter().eq(1..=count), "{reply}");
        let last = count - count % 3;
        let text = if last == 0 { "$-1\r\n".to_owned() } else { format!("${}\r\n{last}\r\n", last.to_string().len()) };
        assert_eq!((self.run("GET a"), self.run("GET b")), (text.clone(), text), "of {count}");
        count
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        disable(&self.state);
    }
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} does not come");
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Writes, with two rewrites on the way, and says in `promised` up to where replies could have been sent.
fn live(disk: &SimulatedDisk, policy: &str, promised: &AtomicU64) {
    let Ok(mut server) = Server::start(disk, policy) else { panic!("an empty disk can be begun with") };
    for number in 1..=24 {
        server.write(number);
        if policy == "always" {
            server.wait_until_promised();
        } else if number.is_multiple_of(8) {
            flush(&server.state);
        }
        if server.state.append_file.durable() >= server.state.log.end() {
            promised.store(number, Ordering::SeqCst);
        }
        if number == 7 || number == 15 {
            server.wait_for_rewrite();
            rewrite::begin(&server.state);
        }
    }
    server.wait_for_rewrite();
    let rewrites = server.state.append_file.rewrites();
    assert_eq!((rewrites.count, rewrites.has_failed), (2, false));
}

/// Crashes behind each operation, and looks what is left.
fn crash_everywhere(policy: &str) {
    for after in 1.. {
        let (disk, promised) = (SimulatedDisk::default(), Arc::new(AtomicU64::new(0)));
        disk.crash_after(after, Arc::clone(&promised));
        live(&disk, policy, &promised);
        for loss in LOSSES {
            let Some((left, promised)) = disk.after_crash(loss) else {
                assert!(after > 60, "there are more operations than that");
                return;
            };
            let started = Server::start(&left, policy);
            let mut server = started.unwrap_or_else(|error| panic!("{policy}, {loss:?} behind {after}: {error}"));
            let count = server.count();
            assert!(count >= promised, "{policy}, {loss:?} behind {after}: {count} of {promised}");
            // It goes on as if nothing had been.
            server.write(count + 1);
            drop(server);
            left.lose_power();
            let started = Server::start(&left, policy);
            let mut server =
                started.unwrap_or_else(|error| panic!("{policy}, {loss:?} behind {after}, again: {error}"));
            assert_eq!(server.count(), count + 1, "{policy}, {loss:?} behind {after}");
        }
    }
}

#[test]
fn nothing_that_was_promised_is_lost_wherever_it_crashes() {
    crash_everywhere("always");
}

#[test]
fn what_is_left_is_whole_wherever_it_crashes() {
    crash_everywhere("everysec");
}

#[test]
fn writes_are_refused_while_the_disk_takes_nothing() {
    for (fault, text) in [(Fault::Full(0), "No space left on device"), (Fault::Sync, "Input/output error")] {
        let disk = SimulatedDisk::default();
        let mut server = Server::start(&disk, "everysec").unwrap_or_else(|error| panic!("{error}"));
        server.write(1);
        flush(&server.state);
        disk.set_fault(fault);
        // Nobody knows yet.
        server.write(2);
        eventually("the error", || server.state.append_file.error().is_some());
        let refusal = format!("-MISCONF Errors writing to the AOF file: {text}\r\n");
        assert_eq!(server.run("SET c 1"), refusal);
        assert_eq!(server.run("PING"), refusal);
        assert_eq!(server.run("GET c"), "$-1\r\n");
        disk.set_fault(Fault::Nothing);
        eventually("the end of the error", || server.state.append_file.error().is_none());
        server.write(3);
        drop(server);
        disk.lose_power();
        let mut server = Server::start(&disk, "everysec").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(server.count(), 3, "{fault:?}");
    }
}

#[test]
fn it_can_be_switched_off_while_the_disk_takes_nothing() {
    let disk = SimulatedDisk::default();
    let mut server = Server::start(&disk, "everysec").unwrap_or_else(|error| panic!("{error}"));
    disk.set_fault(Fault::Full(0));
    server.write(1);
    eventually("the error", || server.state.append_file.error().is_some());
    disable(&server.state);
    server.write(2);
    assert_eq!(server.count(), 2);
}

#[test]
fn a_rewrite_that_fails_leaves_the_files_as_they_were() {
    let disk = SimulatedDisk::default();
    let mut server = Server::start(&disk, "everysec").unwrap_or_else(|error| panic!("{error}"));
    let mut number = 0;
    for fault in [Fault::ReadOnly, Fault::Full(0), Fault::Sync, Fault::Rename] {
        number += 1;
        server.write(number);
        flush(&server.state);
        disk.set_fault(fault);
        rewrite::begin(&server.state);
        server.wait_for_rewrite();
        assert!(server.state.append_file.rewrites().has_failed, "{fault:?}");
        disk.set_fault(Fault::Nothing);
        eventually("the end of the error", || server.state.append_file.error().is_none());
        number += 1;
        server.write(number);
        flush(&server.state);
        let left = disk.names();
        assert!(!left.iter().any(|name| name.to_string_lossy().contains("rewriteaof")), "{fault:?}: {left:?}");
        rewrite::begin(&server.state);
        server.wait_for_rewrite();
        assert!(!server.state.append_file.rewrites().has_failed, "{fault:?}");
    }
    drop(server);
    disk.lose_power();
    let mut server = Server::start(&disk, "everysec").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(server.count(), number);
}

#[test]
fn it_is_tried_again_to_switch_it_on() {
    for fault in [Fault::ReadOnly, Fault::Full(30), Fault::Rename] {
        let disk = SimulatedDisk::default();
        let mut server = Server::without_file(&disk, &[("appendonly", "yes"), ("appendfsync", "everysec")]);
        server.write(1);
        disk.set_fault(fault);
        rewrite::begin(&server.state);
        server.wait_for_rewrite();
        assert!(server.state.append_file.rewrites().has_failed && !server.state.append_file.is_on(), "{fault:?}");
        server.write(2);
        disk.set_fault(Fault::Nothing);
        eventually("another try", || {
            look_after(&server.state);
            server.state.append_file.is_on()
        });
        server.wait_for_rewrite();
        server.write(3);
        drop(server);
        disk.lose_power();
        let mut server = Server::start(&disk, "everysec").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(server.count(), 3, "{fault:?}");
    }
}
