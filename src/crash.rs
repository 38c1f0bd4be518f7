//! What is left to read when the process crashes: a report with the stack, in the log. The process then ends as it
//! would have without it.
//!
//! The thread that crashes may hold any lock, the allocator's too. So the signal handler formats into a buffer of its
//! own stack and writes with the system call, past everything that the log is otherwise made of. It runs on the stack
//! that crashed: an overflow of that stack is the one crash that leaves no report.

use crate::config::{Directive, Settings};
use std::ffi::CString;
use std::fmt::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Signals that end a process which does something that it must not.
const SIGNALS: [(libc::c_int, &str); 5] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGABRT, "SIGABRT"),
];

/// Frames of the stack that are reported.
const FRAMES_MAX: usize = 100;

/// The log file, which the handler opens; stdout if there is none.
static LOG_FILE: OnceLock<CString> = OnceLock::new();

/// A report is still to be written if there is a crash: it is wanted, and there was none yet.
static REPORTS: AtomicBool = AtomicBool::new(false);

/// Says whether crashes are reported (`crash-log-enabled`).
pub fn configure(settings: &Settings) {
    REPORTS.store(settings.flag(Directive::CrashLogEnabled), Ordering::SeqCst);
}

/// Has crashes and panics reported in the log from now on.
pub fn install(settings: &Settings) {
    configure(settings);
    if let Some(path) = settings.path(Directive::Logfile)
        && let Ok(path) = CString::new(path.as_os_str().as_bytes())
    {
        LOG_FILE.get_or_init(|| path);
    }
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!("{panic}");
        print(panic);
    }));
    // The first look at the stack loads a library, which the handler must not do.
    write_stack(None);
    for (signal, name) in SIGNALS {
        if let Err(error) = handle(signal) {
            tracing::warn!("Crashes by {name} will not be reported: {error}");
        }
    }
}

/// Crashes the process as an access to memory that is not there would (`DEBUG SEGFAULT`).
pub fn crash() {
    // SAFETY: the signal has a handler or ends the process; neither touches memory that Rust knows of.
    unsafe { libc::raise(libc::SIGSEGV) };
}

fn handle(signal: libc::c_int) -> std::io::Result<()> {
    // SAFETY: the struct is plain data, for which zeros are valid; the handler has the signature that SA_SIGINFO asks
    // for and does only what a handler may do.
    let failed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = report as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) as usize;
        // The second time the signal does what it does by default: it ends the process.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESETHAND | libc::SA_NODEFER;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut()) != 0
    };
    if failed { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

extern "C" fn report(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    if REPORTS.swap(false, Ordering::SeqCst) {
        let fd = open_log();
        // SAFETY: the system hands over a valid pointer.
        let info = unsafe { &*info };
        write_report(fd, signal, info);
    }
    // SAFETY: the signal's action is the default one now, which ends the process.
    unsafe { libc::raise(signal) };
}

fn open_log() -> libc::c_int {
    let opened = LOG_FILE.get().map_or(-1, |path| {
        // SAFETY: the path ends with a zero byte and lives as long as the process.
        unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT, 0o644) }
    });
    if opened < 0 { libc::STDOUT_FILENO } else { opened }
}

fn write_report(fd: libc::c_int, signal: libc::c_int, info: &libc::siginfo_t) {
    let name = SIGNALS.iter().find(|(known, _)| *known == signal).map_or("", |(_, name)| name);
    write_line(fd, format_args!("\n=== REDIS BUG REPORT START ==="));
    let (version, code) = (crate::VERSION, info.si_code);
    write_line(fd, format_args!("Radish {version} crashed by signal: {signal} ({name}), si_code: {code}"));
    // SAFETY: which of the two is meant follows from the code; both are plain numbers.
    let (sender, address) = unsafe { (info.si_pid(), info.si_addr()) };
    if code == libc::SI_USER || code == libc::SI_TKILL {
        write_line(fd, format_args!("Sent by the process {sender}"));
    } else {
        write_line(fd, format_args!("Accessing address: {address:?}"));
    }
    write_line(fd, format_args!("\n------ STACK TRACE ------"));
    write_stack(Some(fd));
    write_line(fd, format_args!("\n=== REDIS BUG REPORT END ==="));
}

/// Writes the functions on the stack to the file, or only looks at them.
#[cfg(target_env = "gnu")]
fn write_stack(fd: Option<libc::c_int>) {
    let mut frames = [std::ptr::null_mut(); FRAMES_MAX];
    // SAFETY: there is room for as many frames as are announced, and only those that were found are passed on.
    unsafe {
        let count = libc::backtrace(frames.as_mut_ptr(), FRAMES_MAX as libc::c_int);
        if let Some(fd) = fd {
            libc::backtrace_symbols_fd(frames.as_ptr(), count, fd);
        }
    }
}

/// The C library has no means to look at the stack.
#[cfg(not(target_env = "gnu"))]
fn write_stack(_: Option<libc::c_int>) {}

/// A line that is put together without allocating; what does not fit is cut off.
struct Line {
    bytes: [u8; 256],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.len..];
        let fitting = text.len().min(room.len());
        room[..fitting].copy_from_slice(&text.as_bytes()[..fitting]);
        self.len += fitting;
        Ok(())
    }
}

fn write_line(fd: libc::c_int, text: fmt::Arguments<'_>) {
    let mut line = Line { bytes: [0; 256], len: 0 };
    // It cannot fail, and if it did there would be nobody to tell.
    let _ = writeln!(line, "{text}");
    // SAFETY: the buffer holds `len` bytes. A failure leaves a report without this line.
    unsafe { libc::write(fd, line.bytes.as_ptr().cast(), line.len) };
}
