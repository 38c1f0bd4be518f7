//! What the server asks of the system for its process: a name, an out-of-memory score, a life in the background, a
//! pid file, a word to its supervisor.

mod open_files;
mod title;

pub use open_files::make_room_for_clients;
pub use title::{prepare_title, set_title};

use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use parking_lot::Mutex;

use crate::config::{Directive, OomScoreAdj, Settings, Supervised, error_text};

/// The process' out-of-memory score before it was changed, while it is changed.
static OOM_SCORE_BEFORE: Mutex<Option<i32>> = Mutex::new(None);

const OOM_SCORE_FILE: &str = "/proc/self/oom_score_adj";

/// Sets the kernel's out-of-memory score of the process as `oom-score-adj` has it; back to what it was, if it has it
/// so no longer.
pub fn set_oom_score(settings: &Settings) -> io::Result<()> {
    let mut before = OOM_SCORE_BEFORE.lock();
    let mode: OomScoreAdj = settings.choice(Directive::OomScoreAdj);
    if mode == OomScoreAdj::No {
        return match *before {
            Some(score) => {
                write_oom_score(score)?;
                *before = None;
                Ok(())
            }
            None => Ok(()),
        };
    }
    let base = match *before {
        Some(score) => score,
        None => read_oom_score()?,
    };
    // Values of a primary, a replica and a background child, in that order.
    let value = settings.oom_score_adj_values().first().copied().unwrap_or(0);
    write_oom_score(if mode == OomScoreAdj::Relative { base + value } else { value })?;
    *before = Some(base);
    Ok(())
}

fn read_oom_score() -> io::Result<i32> {
    let text = std::fs::read_to_string(OOM_SCORE_FILE)?;
    text.trim().parse().map_err(io::Error::other)
}

fn write_oom_score(score: i32) -> io::Result<()> {
    std::fs::write(OOM_SCORE_FILE, score.clamp(-1000, 1000).to_string())
}

/// Lets the allocator give memory back from a thread of its own, or not.
pub fn set_background_thread(settings: &Settings) {
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(settings.flag(Directive::JemallocBgThread)) {
        tracing::debug!("jemalloc-bg-thread: {error}");
    }
}

/// Turns transparent huge pages off for the process, as `disable-thp` has it: they make memory grow in steps of 2 MB.
pub fn set_huge_pages(settings: &Settings) {
    if !settings.flag(Directive::DisableThp) {
        return;
    }
    // SAFETY: this option of prctl takes plain numbers.
    let failed = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) } != 0;
    if failed {
        tracing::warn!("Transparent huge pages stay as they are: {}", error_text(&io::Error::last_os_error()));
    }
}

/// Has the system wake this thread when it wants to be woken, and not up to 50 microseconds later.
pub fn wake_in_time() -> io::Result<()> {
    // SAFETY: this option of prctl takes a plain number, of nanoseconds.
    let failed = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1000) } != 0;
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Leaves the terminal and runs on in the background, as `daemonize` has it. Must come before any thread is started.
pub fn daemonize(settings: &Settings) -> io::Result<()> {
    if !settings.flag(Directive::Daemonize) || supervisor(settings).is_some() {
        return Ok(());
    }
    // SAFETY: the process has one thread yet, so the child of the fork inside has all that the parent had.
    match unsafe { libc::daemon(1, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Writes the pid file, if there is to be one. A file that cannot be written does not stop the start.
pub fn write_pid_file(settings: &Settings) {
    let default = settings.flag(Directive::Daemonize).then(|| Path::new("/var/run/redis.pid").to_owned());
    let Some(path) = settings.path(Directive::Pidfile).or(default) else { return };
    let written = std::fs::File::create(path).and_then(|mut file| writeln!(file, "{}", std::process::id()));
    if let Err(error) = written {
        tracing::warn!("Failed to write PID file: {}", error_text(&error));
    }
}

/// What waits for the server to be up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Supervisor {
    Systemd,
    Upstart,
}

/// The supervisor that `supervised` says, or that has left its mark in the environment.
fn supervisor(settings: &Settings) -> Option<Supervisor> {
    let has = |variable: &str| std::env::var_os(variable).is_some();
    match settings.choice(Directive::Supervised) {
        Supervised::No => None,
        Supervised::Systemd => has("NOTIFY_SOCKET").then_some(Supervisor::Systemd),
        Supervised::Upstart => has("UPSTART_JOB").then_some(Supervisor::Upstart),
        Supervised::Auto if has("UPSTART_JOB") => Some(Supervisor::Upstart),
        Supervised::Auto => has("NOTIFY_SOCKET").then_some(Supervisor::Systemd),
    }
}

/// Tells the supervisor that clients can come.
pub fn notify_supervisor(settings: &Settings) {
    let told = match supervisor(settings) {
        None => return,
        Some(Supervisor::Systemd) => notify_systemd("STATUS=Ready to accept connections\nREADY=1\n"),
        // SAFETY: stopping oneself touches no memory; upstart wakes the process again.
        Some(Supervisor::Upstart) => match unsafe { libc::raise(libc::SIGSTOP) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        },
    };
    if let Err(error) = told {
        tracing::warn!("Cannot tell the supervisor that the server is ready: {}", error_text(&error));
    }
}

/// Sends `text` as sd_notify(3) does.
fn notify_systemd(text: &str) -> io::Result<()> {
    let path = std::env::var("NOTIFY_SOCKET").map_err(io::Error::other)?;
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address)?;
    Ok(())
}

/// Warns of what in the system stands in the server's way.
pub fn warn_of_system(settings: &Settings) {
    for problem in system_checks(settings).into_iter().filter_map(|(_, problem)| problem) {
        tracing::warn!("WARNING: {problem}");
    }
}

/// What is looked at in the system, by name, and what is wrong with it, if anything.
pub fn system_checks(settings: &Settings) -> [(&'static str, Option<String>); 2] {
    let backlog = settings.int(Directive::TcpBacklog);
    let somaxconn = read_number("/proc/sys/net/core/somaxconn").filter(|limit| *limit < backlog).map(|limit| {
        format!(
            "The TCP backlog setting of {backlog} cannot be enforced because /proc/sys/net/core/somaxconn is set to \
             the lower value of {limit}."
        )
    });
    let overcommit = (read_number("/proc/sys/vm/overcommit_memory") == Some(2)).then(|| {
        "Memory overcommit is off: allocations can fail although memory is free. To fix this, add \
         'vm.overcommit_memory = 1' to /etc/sysctl.conf, and run 'sysctl vm.overcommit_memory=1'."
            .to_owned()
    });
    [("somaxconn", somaxconn), ("overcommit", overcommit)]
}

fn read_number(path: &str) -> Option<i64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
