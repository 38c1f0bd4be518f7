//! Connections to other servers, kept for a while, and how values are sent through them.

use crate::resp::ErrorReply;
use crate::tls;
use parking_lot::Mutex;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connections that are kept at most.
const KEPT_MAX: usize = 64;
/// For how long one is kept that nobody uses.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// Bytes that are written at once.
const WRITE_BYTES: usize = 64 * 1024;
/// Longest reply line that is understood, in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Where values go, and how they are to be put there.
#[derive(Debug)]
pub struct Target {
    pub host: String,
    pub port: u16,
    pub database: i64,
    /// A name, if there is one, and a password.
    pub credentials: Vec<Box<[u8]>>,
    /// For how long connecting, and each step of reading and writing, may take.
    pub timeout: Duration,
    pub replaces: bool,
    /// How the connection is encrypted, if it is (`tls-cluster`).
    pub tls: Option<Arc<ClientConfig>>,
}

/// A value to be sent.
#[derive(Debug)]
pub struct Parcel {
    pub key: Box<[u8]>,
    /// Milliseconds that it has to live.
    pub lifetime_ms: Option<i64>,
    /// As `DUMP` gives it.
    pub payload: Vec<u8>,
}

/// How sending went.
#[derive(Debug, Default)]
pub struct Sent {
    /// For each value whether the other server has it.
    pub arrived: Vec<bool>,
    pub error: Option<ErrorReply>,
}

/// A connection that is open.
struct Link {
    host: String,
    port: u16,
    stream: Channel,
    /// The database that was selected last, if that is certain.
    database: Option<i64>,
    is_new: bool,
    used: Instant,
}

/// What is read from and written to.
enum Channel {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Channel {
    fn is_tls(&self) -> bool {
        matches!(self, Channel::Tls(_))
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Channel::Plain(socket) => socket,
            Channel::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Channel::Plain(socket) => socket.read(buffer),
            Channel::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Channel::Plain(socket) => socket.write(bytes),
            Channel::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Channel::Plain(socket) => socket.flush(),
            Channel::Tls(stream) => stream.flush(),
        }
    }
}

/// Why a connection can be used no more.
enum Failure {
    Connecting,
    Writing(io::Error),
    Reading(io::Error),
}

impl Failure {
    fn reply(&self) -> ErrorReply {
        ErrorReply::fixed(match self {
            Failure::Connecting => "IOERR error or timeout connecting to the client",
            Failure::Writing(_) => "IOERR error or timeout writing to target instance",
            Failure::Reading(_) => "IOERR error or timeout reading to target instance",
        })
    }

    fn is_timeout(&self) -> bool {
        match self {
            Failure::Connecting => true,
            Failure::Writing(error) | Failure::Reading(error) => {
                matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
            }
        }
    }
}

/// The connections that nobody uses at the moment.
#[derive(Default)]
pub struct Links(Mutex<Vec<Link>>);

impl Links {
    /// Connections that are kept open.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Closes those that nobody has used for a while.
    pub fn close_idle(&self) {
        self.0.lock().retain(|link| link.used.elapsed() < KEPT_FOR);
    }

    /// A connection to `target`: one that was kept, or another.
    fn take(&self, target: &Target) -> Result<Link, Failure> {
        let mut kept = self.0.lock();
        let fits = |link: &Link| {
            link.host == target.host && link.port == target.port && link.stream.is_tls() == target.tls.is_some()
        };
        if let Some(index) = kept.iter().rposition(fits) {
            return Ok(kept.remove(index));
        }
        drop(kept);
        Link::open(target)
    }

    fn keep(&self, mut link: Link) {
        link.used = Instant::now();
        link.is_new = false;
        let mut kept = self.0.lock();
        if kept.len() == KEPT_MAX {
            kept.remove(0);
        }
        kept.push(link);
    }

    /// Sends values to another server and waits for its answers. Waits as long as the target's timeout allows, each time.
    pub fn send(&self, target: &Target, parcels: &[Parcel]) -> Sent {
        let mut sent = Sent { arrived: vec![false; parcels.len()], error: None };
        loop {
            let (failure, was_new) = match self.take(target) {
                Err(failure) => (failure, true),
                Ok(mut link) => match link.exchange(target, parcels, &mut sent) {
                    Ok(()) => {
                        self.keep(link);
                        return sent;
                    }
                    Err(failure) => (failure, link.is_new),
                },
            };
            // The other side may have closed a connection that was kept.
            let may_retry = !was_new && !failure.is_timeout() && !sent.arrived.contains(&true);
            if !may_retry || sent.error.is_some() {
                sent.error.get_or_insert(failure.reply());
                return sent;
            }
        }
    }
}

impl Link {
    fn open(target: &Target) -> Result<Link, Failure> {
        let mut failure = Failure::Connecting;
        for address in (target.host.as_str(), target.port).to_socket_addrs().map_err(|_| Failure::Connecting)? {
            match TcpStream::connect_timeout(&address, target.timeout) {
                Ok(stream) => {
                    // It is faster with it, but right without.
                    let _ = stream.set_nodelay(true);
                    let host = target.host.clone();
                    let stream = match &target.tls {
                        None => Channel::Plain(stream),
                        Some(config) => {
                            let session = ClientConnection::new(Arc::clone(config), tls::name_of(&host));
                            let session = session.map_err(|_| Failure::Connecting)?;
                            Channel::Tls(Box::new(StreamOwned::new(session, stream)))
                        }
                    };
                    let used = Instant::now();
                    return Ok(Link { host, port: target.port, stream, database: None, is_new: true, used });
                }
                // Redis notices a refusal when it writes.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => failure = Failure::Writing(error),
                Err(_) => {}
            }
        }
        Err(failure)
    }

    /// Sends all values, then reads all answers.
    fn exchange(&mut self, target: &Target, parcels: &[Parcel], sent: &mut Sent) -> Result<(), Failure> {
        let timeout = Some(target.timeout);
        self.stream.socket().set_write_timeout(timeout).map_err(Failure::Writing)?;
        self.stream.socket().set_read_timeout(timeout).map_err(Failure::Reading)?;
        let selects = self.database != Some(target.database);
        self.write(target, parcels, selects).map_err(Failure::Writing)?;
        let mut replies = BufReader::new(&mut self.stream);
        let mut refusal = None;
        for _ in 0..usize::from(!target.credentials.is_empty()) + usize::from(selects) {
            let refused = read_refusal(&mut replies).map_err(Failure::Reading)?;
            refusal = refusal.or(refused);
        }
        for arrived in &mut sent.arrived {
            let refused = read_refusal(&mut replies).map_err(Failure::Reading)?;
            // What came after a refused password or database may have gone anywhere.
            *arrived = refusal.is_none() && refused.is_none();
            if sent.error.is_none()
                && let Some(text) = refusal.as_ref().or(refused.as_ref())
            {
                let text = [&b"ERR Target instance replied with error: "[..], text].concat();
                sent.error = Some(ErrorReply::new(text));
            }
        }
        self.database = sent.error.is_none().then_some(target.database);
        Ok(())
    }

    fn write(&mut self, target: &Target, parcels: &[Parcel], selects: bool) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(WRITE_BYTES, &mut self.stream);
        if !target.credentials.is_empty() {
            let words = std::iter::once(&b"AUTH"[..]).chain(target.credentials.iter().map(|word| &**word));
            write_request(&mut out, &words.collect::<Vec<_>>())?;
        }
        if selects {
            write_request(&mut out, &[b"SELECT", target.database.to_string().as_bytes()])?;
        }
        for parcel in parcels {
            let lifetime = parcel.lifetime_ms.unwrap_or(0).to_string();
            let words = [&b"RESTORE"[..], &parcel.key, lifetime.as_bytes(), &parcel.payload, b"REPLACE"];
            write_request(&mut out, &words[..if target.replaces { 5 } else { 4 }])?;
        }
        out.flush()
    }
}

fn write_request(out: &mut impl Write, words: &[&[u8]]) -> io::Result<()> {
    write!(out, "*{}\r\n", words.len())?;
    for word in words {
        write!(out, "${}\r\n", word.len())?;
        out.write_all(word)?;
        out.write_all(b"\r\n")?;
    }
    Ok(())
}

/// Reads a reply of one line, and returns its text if it is an error.
fn read_refusal(replies: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    replies.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        Some([b'-', text @ ..]) => Ok(Some(text.to_vec())),
        Some(_) => Ok(None),
        None => Err(ErrorKind::UnexpectedEof.into()),
    }
}
