//! Where the server listens, whom it lets in, whom it sends away, and how it ends.

use crate::support::{Connection, Server, eventually};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

fn log(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).expect("there is a log")
}

/// An address of this machine that is not loopback, if it has one.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    // Nothing is sent: this only looks up a route.
    socket.connect(("192.0.2.1", 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn a_unix_socket_has_its_mode_and_goes_when_the_server_goes() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("radish.sock");
    std::fs::write(&path, "left behind").expect("a file");
    let path_text = path.to_str().expect("its name is text");
    let mut server = Server::start(&["--unixsocket", path_text, "--unixsocketperm", "750"]);
    let metadata = path.metadata().expect("there is a socket");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o750);
    let mut client = Server::connect_unix(&path);
    assert_eq!(client.ask("PING"), "PONG");
    let list = client.ask("CLIENT LIST");
    assert!(list.contains(&format!(" addr={path_text}:0 laddr={path_text}:0 ")), "{list}");
    assert!(list.contains(" flags=U "), "{list}");
    server.signal("TERM");
    assert!(server.wait().success());
    assert!(!path.exists());
}

#[test]
fn each_address_of_bind_is_listened_on() {
    let server = Server::start(&["--bind", "127.0.0.1", "127.0.0.2", "-192.0.2.77", "-::1"]);
    assert_eq!(server.connect_at("127.0.0.1").expect("it listens").ask("PING"), "PONG");
    assert_eq!(server.connect_at("127.0.0.2").expect("it listens").ask("PING"), "PONG");
    assert!(server.connect_at("127.0.0.3").is_err());
    if TcpListener::bind(("::1", 0)).is_ok() {
        let mut client = server.connect_at("::1").expect("it listens");
        let list = client.ask("CLIENT LIST");
        assert!(list.contains(&format!(" laddr=[::1]:{} ", server.port)), "{list}");
    }
}

#[test]
fn an_address_that_is_not_ours_stops_the_start_unless_it_may_be_missing() {
    let output = Command::new(env!("CARGO_BIN_EXE_radish"))
        .args(["--bind", "127.0.0.1", "192.0.2.77", "--port", "1"])
        .output()
        .expect("the server's binary starts");
    assert!(!output.status.success());
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(log.contains("Could not create server TCP listening socket "), "{log}");
    assert!(log.contains("Failed listening on port 1 (tcp), aborting."), "{log}");
}

#[test]
fn strangers_from_elsewhere_are_sent_away_while_there_is_no_password() {
    let Some(address) = outer_address() else { return };
    let address = address.to_string();
    let server = Server::start(&[]);
    let mut client = server.connect();
    let mut stranger = server.connect_at(&address).expect("it listens");
    let refusal = stranger.reply();
    assert!(
        refusal.starts_with("(DENIED Redis is running in protected mode because protected mode is enabled and no"),
        "{refusal}"
    );
    assert!(refusal.ends_with("for the server to start accepting connections from the outside.)"), "{refusal}");
    assert!(stranger.is_closed());
    let info = client.ask("INFO stats");
    assert!(info.contains("total_connections_received:") && info.contains("rejected_connections:1\r\n"), "{info}");
    assert_eq!(client.ask("CONFIG SET protected-mode no"), "OK");
    assert_eq!(server.connect_at(&address).expect("it listens").ask("PING"), "PONG");
    assert_eq!(client.ask("CONFIG SET protected-mode yes requirepass secret"), "OK");
    assert!(server.connect_at(&address).expect("it listens").ask("PING").starts_with("(NOAUTH "));
}

#[test]
fn no_more_clients_than_maxclients() {
    let server = Server::start(&["--maxclients", "2"]);
    let mut first = server.connect();
    assert_eq!(first.ask("PING"), "PONG");
    // The look whether the server listens was a client, too.
    eventually("the end of the first connection", || first.ask("INFO clients").contains("connected_clients:1\r\n"));
    let mut second = server.connect();
    assert_eq!(second.ask("PING"), "PONG");
    let mut third = server.connect();
    assert_eq!(third.reply(), "(ERR max number of clients reached)");
    assert!(third.is_closed());
    drop(second);
    eventually("room", || first.ask("INFO clients").contains("connected_clients:1\r\n"));
    assert_eq!(server.connect().ask("PING"), "PONG");
    assert!(first.ask("INFO stats").contains("rejected_connections:1\r\n"));
}

#[test]
fn the_silent_leave_unless_they_wait_or_listen() {
    let server = Server::start(&["--timeout", "1"]);
    let mut subscriber = server.connect();
    assert_eq!(subscriber.ask("SUBSCRIBE news"), "[subscribe news 1]");
    let mut waiting = server.connect();
    waiting.send("BLPOP list 0");
    let mut monitor = server.connect();
    assert_eq!(monitor.ask("MONITOR"), "OK");
    let mut silent = server.connect();
    assert_eq!(silent.ask("PING"), "PONG");
    assert!(silent.is_closed());
    let mut busy = server.connect();
    assert_eq!(busy.ask("PUBLISH news hello"), "1");
    assert_eq!(busy.ask("RPUSH list element"), "1");
    assert_eq!(subscriber.reply(), "[message news hello]");
    assert_eq!(waiting.reply(), "[list element]");
}

/// Whether the kernel has a keepalive timer for the server's side of a connection.
fn has_keepalive(server_port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel tells");
    let local = format!("0100007F:{server_port:04X}");
    // Columns: number, local and remote address, state (01: established), queues, timer and its time.
    let timers: Vec<_> = table
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
        .filter(|columns| columns[1] == local && columns[3] == "01")
        .map(|columns| columns[5].starts_with("02:"))
        .collect();
    assert!(!timers.is_empty());
    timers.into_iter().all(|is_keepalive| is_keepalive)
}

#[test]
fn idle_connections_are_probed_if_they_are_to_be() {
    let server = Server::start(&["--tcp-keepalive", "60"]);
    let mut client = server.connect();
    assert_eq!(client.ask("PING"), "PONG");
    eventually("a timer", || has_keepalive(server.port));
    assert_eq!(client.ask("CONFIG SET tcp-keepalive 0"), "OK");
    drop(client);
    let server = Server::start(&["--tcp-keepalive", "0"]);
    let mut client = server.connect();
    assert_eq!(client.ask("PING"), "PONG");
    // The answer may still have to be confirmed, which has a timer as well.
    eventually("the end of all timers", || !has_keepalive(server.port));
}

#[test]
fn too_few_open_files_mean_fewer_clients() {
    let directory = tempfile::tempdir().expect("a directory");
    let logfile = directory.path().join("log");
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 20 && exec \"$0\" --port 0 --unixsocket x", env!("CARGO_BIN_EXE_radish")])
        .current_dir(directory.path())
        .output()
        .expect("a shell");
    // Whoever may raise the hard limit is not held to it, so this can only be seen by other users.
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stdout);
        assert!(log.contains("Your current 'ulimit -n' of 20 is not enough for the server to start."), "{log}");
    }
    assert!(!logfile.exists());
}

#[test]
fn a_signal_ends_the_server_in_order() {
    for signal in ["TERM", "INT"] {
        let directory = tempfile::tempdir().expect("a directory");
        let (logfile, pidfile) = (directory.path().join("log"), directory.path().join("pid"));
        let mut server = Server::start(&[
            "--logfile",
            logfile.to_str().expect("text"),
            "--pidfile",
            pidfile.to_str().expect("text"),
        ]);
        assert!(pidfile.exists());
        let mut client = server.connect();
        assert_eq!(client.ask("PING"), "PONG");
        server.signal(signal);
        assert!(server.wait().success());
        assert!(client.is_closed());
        assert!(!pidfile.exists());
        let log = log(&logfile);
        let lines = [
            &format!("Received SIG{signal} scheduling shutdown..."),
            "User requested shutdown...",
            "Removing the pid file.",
            "now ready to exit, bye bye...",
        ];
        let places: Vec<_> = lines.map(|line| log.find(line)).into();
        assert!(places.is_sorted() && places[0].is_some(), "{log}");
    }
}

#[test]
fn whoever_insists_ends_the_server_while_it_is_busy() {
    let directory = tempfile::tempdir().expect("a directory");
    let logfile = directory.path().join("log");
    let logfile_text = logfile.to_str().expect("text");
    let mut server = Server::start(&["--enable-debug-command", "yes", "--threads", "1", "--logfile", logfile_text]);
    let mut client = server.connect();
    client.send_raw(b"DEBUG LOG asleep\r\nDEBUG SLEEP 1000\r\n");
    eventually("sleep", || log(&logfile).contains("asleep"));
    server.signal("INT");
    eventually("the first signal", || log(&logfile).contains("Received SIGINT scheduling shutdown..."));
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(1));
    assert!(log(&logfile).contains("You insist... exiting now."));
}

#[test]
fn debug_sleep_stops_those_too_who_need_no_key() {
    let server = Server::start(&["--enable-debug-command", "yes", "--threads", "2"]);
    let mut sleeper = server.connect();
    let is_over = AtomicBool::new(false);
    let time_us = &|client: &mut Connection| {
        let reply = client.ask("TIME");
        let (seconds, microseconds) = reply.trim_matches(['[', ']']).split_once(' ').expect("two numbers");
        let number = |text: &str| text.parse::<u64>().expect("a number");
        number(seconds) * 1_000_000 + number(microseconds)
    };
    // The longest time between two answers to a client that asks for nothing but the time.
    let longest_silence_us = &|mut client: Connection, mut before: u64| {
        let mut longest = 0;
        while !is_over.load(Ordering::Relaxed) {
            let now = time_us(&mut client);
            longest = longest.max(now - before);
            before = now;
        }
        longest
    };
    // At least one of them is on another thread than the sleeper.
    let clients = [server.connect(), server.connect()];
    std::thread::scope(|scope| {
        let silences = clients.map(|mut client| {
            let before = time_us(&mut client);
            scope.spawn(move || longest_silence_us(client, before))
        });
        assert_eq!(sleeper.ask("DEBUG SLEEP 1"), "OK");
        is_over.store(true, Ordering::Relaxed);
        for silence in silences {
            let silence = silence.join().expect("a client");
            assert!(silence > 500_000, "{silence} microseconds");
        }
    });
}
