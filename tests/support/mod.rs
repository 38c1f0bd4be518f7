//! A server of its own for each test, and conversations with it over a plain socket.

pub mod http;

use radish::client::{Client, Endpoint, Identity, Session};
use radish::command::Batch;
use radish::config::Settings;
use radish::resp::{OwnedRequest, Reply};
use radish::spec::Table;
use radish::state::State;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a server may take to start, and a reply to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; killed when dropped.
pub struct Server {
    process: Child,
    pub port: u16,
    /// Where it writes what no `dir` says another place for.
    _directory: TempDir,
    /// Keeps the port from other tests.
    _claim: UdpSocket,
}

impl Server {
    /// Starts the server with `arguments` besides its port.
    pub fn start(arguments: &[&str]) -> Server {
        Server::run(&[&["--save", ""], arguments].concat())
    }

    /// Starts the server with a configuration file and `arguments` besides its port.
    pub fn start_with_file(file: &str, arguments: &[&str]) -> Server {
        Server::run(&[&[file], arguments].concat())
    }

    /// Starts the server as `program`, with a configuration on standard input and `arguments` besides its port.
    pub fn start_with_input(program: &Path, input: &str, arguments: &[&str]) -> Server {
        let mut server = Server::spawn(Command::new(program).args(["-"]).args(arguments).stdin(Stdio::piped()));
        let mut stdin = server.process.stdin.take().expect("it is piped");
        stdin.write_all(input.as_bytes()).expect("the server reads its input");
        drop(stdin);
        server.wait_until_ready();
        server
    }

    fn run(arguments: &[&str]) -> Server {
        let mut server = Server::spawn(Command::new(env!("CARGO_BIN_EXE_radish")).args(arguments));
        server.wait_until_ready();
        server
    }

    /// Starts a process on a port of its own.
    fn spawn(command: &mut Command) -> Server {
        let (port, claim) = claim_port();
        let directory = tempfile::tempdir().expect("a directory");
        let process = command
            .args(["--port", &port.to_string()])
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("the server's binary starts");
        Server { process, port, _directory: directory, _claim: claim }
    }

    fn wait_until_ready(&mut self) {
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(self.process.try_wait().expect("its state is known").is_none(), "the server ended");
            assert!(begin.elapsed() < PATIENCE, "the server does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn connect(&self) -> Connection {
        self.connect_at("127.0.0.1").expect("the server accepts")
    }

    /// Connects to one of the server's addresses.
    pub fn connect_at(&self, ip: &str) -> std::io::Result<Connection> {
        let stream = TcpStream::connect((ip, self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Connection::over(stream))
    }

    /// Connects to a Unix socket.
    pub fn connect_unix(path: &Path) -> Connection {
        let stream = UnixStream::connect(path).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Connection::over(stream)
    }

    /// Sends the process a signal: `TERM`, `INT`, `STOP`, ….
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.id().to_string()]).status();
        assert!(status.expect("kill can be run").success());
    }

    /// Waits until the process has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("its state is known") {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().expect("the server can be killed");
        self.process.wait().expect("the server ends");
    }
}

/// A port that no other test uses as long as the socket is there, which is what tests that run at the same time know it by.
/// It is none of those that the system gives to clients.
pub fn claim_port() -> (u16, UdpSocket) {
    loop {
        let address = ("127.0.0.1", rand::random_range(10_000..32_000));
        if let Ok(claim) = UdpSocket::bind(address)
            && TcpListener::bind(address).is_ok()
        {
            return (address.1, claim);
        }
    }
}

/// A request of these words.
pub fn request(words: &[&[u8]]) -> Vec<u8> {
    redis::Cmd::new().arg(words).get_packed_command()
}

/// Asks again and again until the answer is yes.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what} does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A socket of any kind.
pub trait Socket: Read + Write + Send {}
impl<T: Read + Write + Send> Socket for T {}

/// One client.
pub struct Connection {
    stream: BufReader<Box<dyn Socket>>,
}

impl Connection {
    /// A conversation over a socket that is connected.
    pub fn over(socket: impl Socket + 'static) -> Connection {
        Connection { stream: BufReader::new(Box::new(socket)) }
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the server reads");
    }

    /// Sends bytes to a server that may hang up meanwhile; false if it has.
    pub fn try_send_raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    /// Sends a command, written as in redis-cli without quotes.
    pub fn send(&mut self, line: &str) {
        self.send_words(&line.split(' ').collect::<Vec<_>>());
    }

    /// Sends a command of these words.
    pub fn send_words(&mut self, words: &[&str]) {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.send_raw(request.as_bytes());
    }

    /// The next reply, on one line: nested replies in brackets, null as `nil`.
    pub fn reply(&mut self) -> String {
        let line = self.line();
        let (kind, rest) = line.split_at(1);
        let mut nested = |count: usize, open: &str, close: &str| {
            let items: Vec<String> = (0..count).map(|_| self.reply()).collect();
            format!("{open}{}{close}", items.join(" "))
        };
        match kind {
            "+" => rest.to_owned(),
            "-" => format!("({rest})"),
            ":" | "," | "(" | "#" => rest.to_owned(),
            "_" => "nil".into(),
            "$" | "*" if rest == "-1" => "nil".into(),
            "$" | "=" => {
                let mut text = vec![0; rest.parse::<usize>().expect("a length") + 2];
                self.stream.read_exact(&mut text).expect("a bulk string");
                String::from_utf8_lossy(&text[..text.len() - 2]).into_owned()
            }
            "*" => nested(rest.parse().expect("a count"), "[", "]"),
            "~" => nested(rest.parse().expect("a count"), "~[", "]"),
            ">" => nested(rest.parse().expect("a count"), ">[", "]"),
            "%" => nested(2 * rest.parse::<usize>().expect("a count"), "{", "}"),
            other => panic!("a reply begins with {other:?}"),
        }
    }

    /// The next reply, which is a bulk string of any bytes.
    pub fn raw_bulk(&mut self) -> Vec<u8> {
        let line = self.line();
        let len = line.strip_prefix('$').and_then(|len| len.parse::<usize>().ok());
        let mut bytes = vec![0; len.unwrap_or_else(|| panic!("{line} begins no bulk string")) + 2];
        self.stream.read_exact(&mut bytes).expect("a bulk string");
        bytes.truncate(bytes.len() - 2);
        bytes
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line arrives");
        assert!(line.ends_with("\r\n"), "the server closed the connection after {line:?}");
        line.truncate(line.len() - 2);
        line
    }

    pub fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.reply()
    }

    /// Asks for a copy of the data. Until there is an answer, a primary shows by empty lines that it is still there.
    pub fn ask_for_copy(&mut self) -> String {
        self.send("PSYNC ? -1");
        while self.stream.fill_buf().expect("an answer arrives").starts_with(b"\n") {
            self.stream.consume(1);
        }
        self.reply()
    }

    /// The value of a field of INFO.
    pub fn info(&mut self, field: &str) -> String {
        let text = self.ask("INFO everything");
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("INFO has no {field}")).to_owned()
    }

    pub fn ask_words(&mut self, words: &[&str]) -> String {
        self.send_words(words);
        self.reply()
    }

    /// Plays a conversation: each line `> command` is sent, the next line is the reply that must come.
    pub fn play(&mut self, conversation: &str) {
        let mut lines = conversation.lines().map(str::trim).filter(|line| !line.is_empty());
        while let Some(line) = lines.next() {
            let command = line.strip_prefix("> ").unwrap_or_else(|| panic!("{line:?} is no command"));
            let expected = lines.next().expect("a command has a reply");
            assert_eq!(self.ask(command), expected, "to {command:?}");
        }
    }

    /// Whether the server has closed the connection in good order, after everything that it sent before.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0))
    }

    /// Whether the server has closed the connection, and nothing was left to read.
    pub fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0; 1]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    /// Reads until the server closes the connection, and returns what came.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => rest,
            Err(error) => panic!("the connection stays open: {error}"),
        }
    }
}

/// A server without sockets in the test's own process: nothing happens in it but what the test does.
pub struct Local(pub State);

impl Local {
    pub fn new() -> Local {
        let table = Table::new(&[]).expect("no command is renamed");
        Local(State::new(Settings::new(), table, 1).expect("its threads start"))
    }

    pub fn connect(&self) -> Session {
        let nowhere = Endpoint::Unix("".into());
        let client = Client::new(self.0.clients.next_id(), nowhere.clone(), nowhere, -1, 0);
        Session::new(Identity::new(Arc::new(client), self.0.acl.default_account(), true))
    }

    /// Runs a command, written as in redis-cli without quotes, and returns its reply as it would be sent.
    pub fn run(&self, session: &mut Session, line: &str) -> String {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let request = OwnedRequest::new(words.into_iter());
        let mut batch = Batch::default();
        batch.push(&self.0, b"", request.args());
        let mut reply = Reply::new(session.protocol);
        radish::command::execute(&self.0, session, request.args(), batch.request(b"", 0), &mut reply);
        String::from_utf8_lossy(&reply.take()).into_owned()
    }
}
