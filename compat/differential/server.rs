//! Servers under comparison, and plain connections to them.

use crate::reply::Reply;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a reply may take before it counts as missing.
pub const REPLY_MAX: Duration = Duration::from_secs(5);

/// A server: one that was started here and ends with this value, or one that runs elsewhere.
pub struct Server {
    pub name: String,
    address: SocketAddr,
    process: Option<(Child, tempfile::TempDir)>,
}

impl Server {
    /// Starts a binary, or takes `host:port` as it is.
    pub fn open(name: &str) -> io::Result<Server> {
        if let Ok(address) = name.parse() {
            return Ok(Server { name: name.to_owned(), address, process: None });
        }
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let directory = tempfile::tempdir()?;
        let log = std::fs::File::create(directory.path().join("log"))?;
        let process = Command::new(name)
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--enable-debug-command", "yes"])
            .arg("--dir")
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let short = Path::new(name).file_name().map_or(name.into(), |file| file.to_string_lossy().into_owned());
        let mut server = Server { name: short, address, process: Some((process, directory)) };
        let started = Instant::now();
        while server.connect().and_then(|mut connection| connection.call(&["PING"])).is_err() {
            if server.exited() || started.elapsed() > Duration::from_secs(10) {
                return Err(io::Error::other(format!("{name} does not start: {}", server.log_tail())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// A new connection.
    pub fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: Vec::new() })
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

/// A connection that sends commands and reads replies when it is asked to.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next reply, in its bytes too. `Ok(None)` when there is none within `wait`.
    pub fn receive(&mut self, wait: Duration) -> io::Result<Option<Reply>> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some((reply, used)) = Reply::parse(&self.buffer) {
                self.buffer.drain(..used);
                return Ok(Some(reply));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // A timeout is rounded up to the kernel's tick, so that the least of them is no substitute for not waiting.
            self.stream.set_nonblocking(left.is_zero())?;
            self.stream.set_read_timeout((!left.is_zero()).then_some(left))?;
            let mut chunk = [0; 1 << 16];
            let received = self.stream.read(&mut chunk);
            self.stream.set_nonblocking(false)?;
            match received {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
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
        self.stream.set_read_timeout(Some(REPLY_MAX))?;
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
