//! What a crash and a refused start leave in the log.

use crate::support::Server;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

fn server_that_logs_to(path: &Path, arguments: &[&str]) -> Server {
    let path = path.to_str().expect("its name is text");
    Server::start(&[&["--logfile", path, "--enable-debug-command", "yes"], arguments].concat())
}

#[test]
fn a_crash_is_reported_with_its_stack() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    let mut server = server_that_logs_to(&path, &[]);
    server.connect().send("DEBUG SEGFAULT");
    assert_eq!(server.wait().signal(), Some(libc::SIGSEGV));
    let log = std::fs::read_to_string(&path).expect("there is a log");
    let (_, report) = log.split_once("=== REDIS BUG REPORT START ===\n").expect("there is a report");
    assert!(report.contains("crashed by signal: 11 (SIGSEGV)"), "{report}");
    let (_, stack) = report.split_once("STACK TRACE").expect("there is a stack");
    assert!(stack.lines().filter(|line| line.contains("[0x")).count() > 3, "{report}");
    assert!(stack.trim_end().ends_with("=== REDIS BUG REPORT END ==="), "{report}");
}

#[test]
fn who_sent_a_deadly_signal_is_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    let mut server = server_that_logs_to(&path, &[]);
    server.signal("ABRT");
    assert_eq!(server.wait().signal(), Some(libc::SIGABRT));
    let log = std::fs::read_to_string(&path).expect("there is a log");
    assert!(log.contains("crashed by signal: 6 (SIGABRT)") && log.contains("\nSent by the process "), "{log}");
}

#[test]
fn reports_can_be_turned_off() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    let mut server = server_that_logs_to(&path, &[]);
    assert_eq!(server.connect().ask("CONFIG SET crash-log-enabled no"), "OK");
    server.signal("ABRT");
    assert_eq!(server.wait().signal(), Some(libc::SIGABRT));
    assert!(!std::fs::read_to_string(&path).expect("there is a log").contains("BUG REPORT"));
}

#[test]
fn a_thread_that_serves_nobody_is_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    let server = server_that_logs_to(&path, &["--threads", "2"]);
    let mut client = server.connect();
    assert_eq!(client.ask("CONFIG SET watchdog-period 200"), "OK");
    let reports = |thread: usize| {
        let log = std::fs::read_to_string(&path).expect("a log");
        log.matches(&format!("--- WATCHDOG TIMER EXPIRED --- Thread {thread} has been busy for ")).count()
    };
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(client.ask("DEBUG SLEEP 0.9"), "OK");
    assert!(reports(0) > 0 && reports(1) > 0);
}

#[test]
fn a_value_that_cannot_be_served_with_stops_the_start_in_the_log() {
    let output = Command::new(env!("CARGO_BIN_EXE_radish"))
        .args(["--cluster-enabled", "yes", "--port", "0"])
        .output()
        .expect("the server's binary starts");
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stdout);
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("# Could not start: 'cluster-enabled' cannot be set: "), "{log}");
}
