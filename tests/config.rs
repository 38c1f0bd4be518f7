//! The configuration from outside: arguments and files at start, CONFIG through a socket.

use crate::support::Server;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};

/// What the server prints when it cannot start with `arguments`.
fn refused(arguments: &[&str]) -> (String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_radish")).args(arguments).output().expect("the server's binary starts");
    assert!(!status.success(), "{arguments:?}");
    (String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn what_is_wrong_stops_the_start_with_a_reason() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["--port"], &["'port'", "wrong number of arguments"]),
        (&["--port", "6379", "6380"], &["'port \"6379\" \"6380\"'", "wrong number of arguments"]),
        (
            &["--port", "--bla", "--loglevel", "verbose"],
            &["'port \"--bla\"'", "argument couldn't be parsed into an integer"],
        ),
        (&["--loglevel", "--bla"], &["'loglevel \"--bla\"'", "argument(s) must be one of the following"]),
        (&["--replicaof", "127.0.0.1", "abc"], &["'replicaof \"127.0.0.1\" \"abc\"'", "Invalid master port"]),
        (&["--rename-command", "nope", "x"], &["at line 1 of the arguments", "No such command in rename-command"]),
        (&["--rename-command", "get", "set"], &["Target command name already exists"]),
        (&["--nope", "1"], &["Bad directive or wrong number of arguments"]),
    ];
    for (arguments, texts) in cases {
        let (_, stderr) = refused(arguments);
        assert!(stderr.starts_with("\n*** FATAL CONFIG FILE ERROR (Redis 7.4.0) ***\n"), "{stderr}");
        for text in *texts {
            assert!(stderr.contains(text), "{arguments:?} print {stderr:?} without {text:?}");
        }
    }
    let (stdout, stderr) = refused(&["/nonexistent/redis.conf"]);
    assert!(
        stdout
            .ends_with("# Fatal error, can't open config file '/nonexistent/redis.conf': No such file or directory\n")
    );
    assert_eq!(stderr, "");
}

#[test]
fn version_and_help() {
    let run = |argument| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_radish")).arg(argument).output().expect("the server's binary starts");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("it prints text")
    };
    assert!(run("--version").starts_with("Redis server v=7.4.0 sha="));
    assert_eq!(run("-v"), run("--version"));
    assert!(run("--help").contains("radish /etc/redis/redis.conf --loglevel verbose"));
    assert!(run("-h").contains("Usage: radish [/path/to/redis.conf] [--directive value ...] [-]\n"));
}

#[test]
fn the_system_is_checked() {
    let output = Command::new(env!("CARGO_BIN_EXE_radish")).arg("--check-system").output().expect("it starts");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    assert!(text.starts_with("[somaxconn]...") && text.contains("\n[overcommit]..."), "{text}");
    assert_eq!(output.status.success(), !text.contains("WARNING"));
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_file_and_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let (main, included) = (directory.path().join("redis.conf"), directory.path().join("more.conf"));
    let main_name = main.to_str().expect("a path of text");
    let cases = [
        ("timeout 1\n\nnope 3\n", "", "at line 3 of MAIN\n>>> 'nope 3'\nBad directive or wrong number of arguments\n"),
        ("timeout 1\nport 'a\n", "", "at line 2 of MAIN\n>>> 'port 'a'\nUnbalanced quotes in configuration line\n"),
        (
            "include more.conf\n",
            "# more\nmaxmemory-policy none\n",
            "at line 2 of MORE\n>>> 'maxmemory-policy none'\nargument(s) must be one of the following: volatile-lru, ",
        ),
        (
            "rename-command NOPE x",
            "",
            "at line 1 of MAIN\n>>> 'rename-command NOPE x'\nNo such command in rename-command\n",
        ),
    ];
    for (text, more, expected) in cases {
        std::fs::write(&main, text).expect("a file");
        std::fs::write(&included, more).expect("a file");
        let output = Command::new(env!("CARGO_BIN_EXE_radish"))
            .arg(main_name)
            .current_dir(directory.path())
            .output()
            .expect("the server's binary starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        let head = "\n*** FATAL CONFIG FILE ERROR (Redis 7.4.0) ***\nReading the configuration file, ";
        let expected = expected.replace("MAIN", main_name).replace("MORE", included.to_str().expect("a path of text"));
        assert!(!output.status.success());
        assert!(stderr.starts_with(&format!("{head}{expected}")), "{stderr}");
    }
}

#[test]
fn a_server_that_cannot_listen_ends() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let port = taken.local_addr().expect("it has an address").port().to_string();
    let failed = format!("Failed listening on port {port} (tcp), aborting.\n");
    let cases: &[(&[&str], &str)] = &[
        (&["--port", "0"], "Configured to not listen anywhere, exiting.\n"),
        (&["--bind", ""], "Configured to not listen anywhere, exiting.\n"),
        (&["--bind", "127.0.0.1", "--port", &port], &failed),
        (
            &["--port", "0", "--unixsocket", "/nonexistent/socket"],
            "Failed opening Unix socket: bind: No such file or directory\n",
        ),
    ];
    for (arguments, expected) in cases {
        let (stdout, stderr) = refused(arguments);
        assert!(stdout.contains(expected), "{arguments:?}: {stdout}");
        assert!(!stdout.contains("os error") && stderr.is_empty(), "{stdout}{stderr}");
    }
}

#[test]
fn under_the_name_redis_server_with_a_configuration_on_standard_input() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("redis-server");
    let log = directory.path().join("log");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_radish"), &program).expect("a link");
    let input = format!("maxmemory 10mb\nmaxclients 70\nlogfile {}\n", log.display());
    let server = Server::start_with_input(&program, &input, &["--maxclients", "60", "--save"]);
    let mut client = server.connect();
    assert_eq!(client.ask("CONFIG GET maxmemory maxclients save"), "[maxmemory 10485760 maxclients 60 save ]");
    assert!(client.ask("INFO server").contains("\r\nserver_name:radish\r\n"));
    let title = std::fs::read(format!("/proc/{}/cmdline", server.id())).expect("the process is there");
    let expected = format!("{} *:{}", program.display(), server.port);
    assert_eq!(String::from_utf8_lossy(&title).trim_end_matches('\0'), expected);

    // What tools wait for in the log, each in a line of Redis' format.
    let log = std::fs::read_to_string(log).expect("a log");
    for (text, role) in [("Server initialized", 'M'), ("Ready to accept connections tcp", 'M')] {
        let line = log.lines().find(|line| line.ends_with(&format!(" * {text}"))).expect("it is logged");
        assert!(line.starts_with(&format!("{}:{role} ", server.id())), "{line}");
    }
    assert!(log.contains(" * Configuration loaded\n"), "{log}");
}

#[test]
fn directives_are_read_and_set() {
    let server = Server::start(&["--maxmemory 700mb", "--loglevel", "verbose"]);
    let mut client = server.connect();
    client.play(
        "
        > CONFIG GET maxmemory loglevel nope
        [maxmemory 734003200 loglevel verbose]
        > CONFIG GET maxmemory-s* *of
        [maxmemory-samples 5 replicaof  slaveof ]
        > CONFIG SET maxmemory 10000001 repl-backlog-size 10000002
        OK
        > CONFIG GET maxmemory repl-backlog-size
        [maxmemory 10000001 repl-backlog-size 10000002]
        > CONFIG SET maxmemory 1 maxmemory-clients 200%
        (ERR CONFIG SET failed (possibly related to argument 'maxmemory-clients') - percentage argument must be less or equal to 100)
        > CONFIG SET maxmemory 1 nope 2
        (ERR Unknown option or number of arguments for CONFIG SET - 'nope')
        > CONFIG SET maxmemory 1 MaxMemory 2
        (ERR CONFIG SET failed (possibly related to argument 'MaxMemory') - duplicate parameter)
        > CONFIG SET daemonize yes
        (ERR CONFIG SET failed (possibly related to argument 'daemonize') - can't set immutable config)
        > CONFIG SET dir /
        (ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config)
        > CONFIG SET maxmemory
        (ERR wrong number of arguments for 'config|set' command)
        > CONFIG SET maxmemory 1 timeout
        (ERR syntax error)
        > CONFIG GET maxmemory
        [maxmemory 10000001]
        > CONFIG RESETSTAT
        OK
        > CONFIG REWRITE
        (ERR The server is running without a config file)
        ",
    );
    client.send_raw(b"CONFIG SET save \"3000 5\" client-output-buffer-limit \"replica 1mb 0 0\"\r\n");
    assert_eq!(client.reply(), "OK");
    let limits = "normal 0 0 0 slave 1048576 0 0 pubsub 33554432 8388608 60";
    assert_eq!(
        client.ask("CONFIG GET save client-output-buffer-limit"),
        format!("[save 3000 5 client-output-buffer-limit {limits}]")
    );
    assert_eq!(client.ask("HELLO 3").split(' ').next(), Some("{server"));
    assert_eq!(client.ask("CONFIG GET port"), format!("{{port {}}}", server.port));
}

#[test]
fn every_directive_takes_the_value_that_it_has() {
    let server = Server::start(&["--enable-protected-configs", "yes"]);
    let mut client = server.connect();
    let all = client.ask("CONFIG GET *");
    for directive in radish::config::Directive::ALL {
        let entry = directive.entry();
        if entry.immutable || entry.hidden {
            continue;
        }
        client.send(&format!("CONFIG GET {}", entry.name));
        let pair = client.reply();
        let value = pair.trim_start_matches('[').trim_end_matches(']').split_once(' ').expect("a name and a value").1;
        client.send_raw(format!("CONFIG SET {} \"{value}\"\r\n", entry.name).as_bytes());
        assert_eq!(client.reply(), "OK", "{} {value}", entry.name);
    }
    assert_eq!(client.ask("CONFIG GET *"), all);
}

#[test]
fn sockets_follow_port_and_bind() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let port = taken.local_addr().expect("it has an address").port();
    assert_eq!(
        client.ask(&format!("CONFIG SET maxmemory 1 port {port}")),
        "(ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs.)"
    );
    assert_eq!(client.ask("CONFIG GET maxmemory port"), format!("[maxmemory 0 port {}]", server.port));
    assert_eq!(server.connect().ask("PING"), "PONG");
    assert_eq!(
        client.ask("CONFIG SET bind 192.0.2.1"),
        "(ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to specified addresses.)"
    );
    assert_eq!(server.connect().ask("PING"), "PONG");

    drop(taken);
    assert_eq!(client.ask(&format!("CONFIG SET port {port}")), "OK");
    assert!(TcpStream::connect(("127.0.0.1", server.port)).is_err());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert_eq!(client.ask("CONFIG SET bind 127.0.0.2"), "OK");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(TcpStream::connect(("127.0.0.2", port)).is_ok());
    assert_eq!(client.ask("PING"), "PONG");
}

#[test]
fn the_unix_socket_has_mode_and_group() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let group = std::fs::metadata(directory.path()).expect("it is there").gid();
    let groups = std::fs::read_to_string("/etc/group").expect("there are groups");
    let name =
        groups.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[2] == group.to_string());
    let name = name.expect("the group has a name")[0].to_owned();
    let server = Server::start(&[
        "--unixsocket",
        path.to_str().expect("a path of text"),
        "--unixsocketperm",
        "750",
        "--unixsocketgroup",
        &name,
    ]);
    // TCP clients are served once all sockets are open.
    assert_eq!(server.connect().ask("PING"), "PONG");
    let metadata = std::fs::metadata(&path).expect("the socket is there");
    assert_eq!((metadata.mode() & 0o777, metadata.gid()), (0o750, group));

    let path = path.to_str().expect("a path of text");
    let (stdout, _) = refused(&["--port", "0", "--unixsocket", path, "--unixsocketgroup", "no such group"]);
    assert!(stdout.contains("Failed opening Unix socket: bind: there is no group no such group\n"), "{stdout}");
}

#[test]
fn the_place_of_the_server_is_told() {
    let server = Server::start(&["--availability-zone", "eu-1"]);
    let mut client = server.connect();
    assert!(client.ask("HELLO 3").ends_with(" modules [] availability_zone eu-1}"));
    assert!(client.ask("INFO server").contains("\r\navailability_zone:eu-1\r\n"));
    assert_eq!(client.ask_words(&["CONFIG", "SET", "availability-zone", ""]), "OK");
    assert!(client.ask("HELLO 3").ends_with(" modules []}"));
}

#[test]
fn the_file_is_rewritten_so_that_a_server_starts_from_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("redis.conf");
    let file = path.to_str().expect("a path of text");
    std::fs::write(&path, "# mine\nmaxclients 50\nrename-command ECHO shout\n").expect("a file");
    let directory = directory.path().to_str().expect("a path of text");
    let server = Server::start_with_file(file, &["--dir", directory, "--requirepass", "a\"b"]);
    let mut client = server.connect();
    assert_eq!(client.ask("AUTH a\"b"), "OK");
    assert_eq!(client.ask("CONFIG SET maxclients 60 hash-max-ziplist-entries 7"), "OK");
    assert_eq!(client.ask("CONFIG REWRITE"), "OK");
    drop(server);
    let text = std::fs::read_to_string(&path).expect("the file is there");
    assert!(
        text.starts_with("# mine\nmaxclients 60\nrename-command ECHO shout\n# Generated by CONFIG REWRITE\n"),
        "{text}"
    );

    let server = Server::start_with_file(file, &[]);
    let mut client = server.connect();
    assert_eq!(client.ask("AUTH a\"b"), "OK");
    assert_eq!(
        client.ask("CONFIG GET maxclients hash-max-listpack-entries"),
        "[maxclients 60 hash-max-listpack-entries 7]"
    );
    assert!(client.ask("ECHO hi").starts_with("(ERR unknown command"));
}

#[test]
fn passwords_stay_out_of_the_slow_log() {
    let server = Server::start(&["--slowlog-log-slower-than", "0"]);
    let mut client = server.connect();
    client.ask("CONFIG SET masterauth hidden timeout 7");
    client.ask("HELLO 2 AUTH default hidden SETNAME me");
    let log = client.ask("SLOWLOG GET 10");
    assert!(log.contains("[CONFIG SET masterauth (redacted) timeout 7]"), "{log}");
    assert!(log.contains("[HELLO 2 AUTH (redacted) (redacted) SETNAME me]"), "{log}");
    assert!(!log.contains("hidden"), "{log}");
}

#[test]
fn the_process_shows_its_title() {
    let server = Server::start(&[
        "--proc-title-template",
        "a title that is longer than the arguments were {port} {listen-addr}",
    ]);
    let mut client = server.connect();
    let id = server.id();
    let title = || {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).expect("the process is there");
        String::from_utf8_lossy(&line).trim_end_matches('\0').to_owned()
    };
    assert_eq!(title(), format!("a title that is longer than the arguments were {0} *:{0}", server.port));
    assert_eq!(client.ask("CONFIG SET proc-title-template short"), "OK");
    assert_eq!(title(), "short");
}
