//! Servers under comparison, and plain connections to them.

use crate::reply::Reply;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a reply may take before it counts as missing: longer than a busy machine holds a server up.
pub const REPLY_MAX: Duration = Duration::from_secs(20);

/// How long a server may take to start.
const START_MAX: Duration = Duration::from_secs(10);

/// A server: one that was started here and ends with this value, or one that runs elsewhere.
#[derive(Default)]
pub struct Server {
    /// What it is and in which version: `radish`, `redis-8.2`, `valkey-9.1`.
    pub kind: String,
    /// What `COMMAND LIST` says, `container|subcommand` included.
    pub commands: BTreeSet<String>,
    /// The commands that it refuses inside of a transaction, which is discarded then.
    pub refused_in_transaction: BTreeSet<String>,
    /// The directives of `CONFIG GET *`.
    pub directives: BTreeSet<String>,
    address: Option<SocketAddr>,
    process: Option<(Child, tempfile::TempDir)>,
}

impl Server {
    /// Starts a binary, or takes `host:port` as it is.
    pub fn open(name: &str) -> io::Result<Server> {
        let mut server = Server::default();
        match name.parse() {
            Ok(address) => server.address = Some(address),
            Err(_) => server.start(name)?,
        }
        let mut connection = server.connect()?;
        server.kind = kind(&String::from_utf8_lossy(&connection.call(&["INFO", "server"])?.text.unwrap_or_default()));
        let lower = |name: &Reply| name.string().to_lowercase();
        server.commands = connection.call(&["COMMAND", "LIST"])?.items.iter().map(lower).collect();
        note_refused(&connection.call(&["COMMAND"])?, &mut server.refused_in_transaction);
        server.directives = connection.call(&["CONFIG", "GET", "*"])?.items.iter().step_by(2).map(lower).collect();
        Ok(server)
    }

    fn start(&mut self, binary: &str) -> io::Result<()> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        self.address = Some(address);
        let directory = tempfile::tempdir()?;
        let log = std::fs::File::create(directory.path().join("log"))?;
        let process = Command::new(binary)
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--enable-debug-command", "yes"])
            .arg("--dir")
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.process = Some((process, directory));
        let started = Instant::now();
        while self.connect().and_then(|mut connection| connection.call(&["PING"])).is_err() {
            if self.exited() || started.elapsed() > START_MAX {
                return Err(io::Error::other(format!("{binary} does not start: {}", self.log_tail())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// A new connection.
    pub fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect(self.address.ok_or(ErrorKind::NotConnected)?)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_MAX))?;
        let address = stream.local_addr()?.to_string();
        Ok(Connection { stream, wait: REPLY_MAX, buffer: Vec::new(), used: 0, address })
    }

    /// Whether the process has ended.
    pub fn exited(&mut self) -> bool {
        self.process.as_mut().is_some_and(|(process, _)| !matches!(process.try_wait(), Ok(None)))
    }

    /// The last lines that the server has written.
    pub fn log_tail(&self) -> String {
        let Some((_, directory)) = &self.process else { return String::new() };
        let log = std::fs::read(directory.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(2000)..]).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((process, _)) = &mut self.process {
            // Already gone when the server crashed, which has been reported by then.
            if process.kill().is_ok() {
                drop(process.wait());
            }
        }
    }
}

/// Adds the commands with the flag `no_multi`, of a reply to `COMMAND`.
fn note_refused(commands: &Reply, refused: &mut BTreeSet<String>) {
    for command in &commands.items {
        if let [name, _, flags, ..] = &command.items[..]
            && flags.items.iter().any(|flag| flag.is_text(b"no_multi"))
        {
            refused.insert(name.string());
        }
        if let Some(subcommands) = command.items.get(9) {
            note_refused(subcommands, refused);
        }
    }
}

/// What a server is, from `INFO server`.
fn kind(info: &str) -> String {
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let branch = |version: &str| version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    match (field("radish_version"), field("valkey_version"), field("redis_version")) {
        (Some(_), ..) => "radish".to_owned(),
        (_, Some(version), _) => format!("valkey-{}", branch(version)),
        (.., Some(version)) => format!("redis-{}", branch(version)),
        _ => "unknown".to_owned(),
    }
}

/// A connection that sends commands and reads replies when it is asked to.
pub struct Connection {
    stream: TcpStream,
    /// The timeout that the socket has; zero: it does not block.
    wait: Duration,
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that have been read as replies.
    used: usize,
    /// This end, as the server names the client.
    pub address: String,
}

impl Connection {
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.wait.is_zero() {
            self.set_wait(REPLY_MAX)?;
        }
        self.stream.write_all(bytes)
    }

    fn set_wait(&mut self, wait: Duration) -> io::Result<()> {
        if wait != self.wait {
            if wait.is_zero() != self.wait.is_zero() {
                self.stream.set_nonblocking(wait.is_zero())?;
            }
            if !wait.is_zero() {
                self.stream.set_read_timeout(Some(wait))?;
            }
            self.wait = wait;
        }
        Ok(())
    }

    /// The next reply, in its bytes too. `Ok(None)` when there is none within `wait`.
    pub fn receive(&mut self, wait: Duration) -> io::Result<Option<Reply>> {
        let begun = Instant::now();
        let mut left = wait;
        loop {
            if let Some((reply, length)) = Reply::parse(&self.buffer[self.used..]) {
                self.used += length;
                if self.used == self.buffer.len() {
                    self.buffer.clear();
                    self.used = 0;
                }
                return Ok(Some(reply));
            }
            self.buffer.drain(..std::mem::take(&mut self.used));
            self.set_wait(left)?;
            let mut chunk = [0; 1 << 16];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    left = wait.saturating_sub(begun.elapsed());
                    if left.is_zero() {
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends bytes and nothing more; all that comes back until the server closes the connection.
    pub fn exchange(mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.set_wait(REPLY_MAX)?;
        let mut answer = Vec::new();
        let sent = self.stream.write_all(bytes).and_then(|()| self.stream.shutdown(Shutdown::Write));
        let received = self.stream.read_to_end(&mut answer);
        match sent.and(received) {
            // A server that closes with our bytes unread resets the connection; what it said has arrived before.
            Err(error)
                if !matches!(
                    error.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected
                ) =>
            {
                Err(error)
            }
            _ => Ok(answer),
        }
    }

    /// Sends a command and waits for its reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> io::Result<Reply> {
        self.send(&encode(arguments))?;
        self.receive(REPLY_MAX)?.ok_or_else(|| ErrorKind::TimedOut.into())
    }
}

/// A command as clients send it.
pub fn encode<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let argument = argument.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
