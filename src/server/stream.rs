//! The kinds of socket that a client can be at the other end of.

use crate::gateway::ServerEnd;
use socket2::SockRef;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// The handshake is over.
    Tls(Box<TlsStream<TcpStream>>),
    /// A client of the gateway.
    Pipe(ServerEnd),
}

impl Stream {
    /// Whether there is something to read; if not, the task is woken when there is.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => stream.poll_read_ready(cx),
            Stream::Unix(stream) => stream.poll_read_ready(cx),
            Stream::Tls(stream) => {
                let (socket, session) = stream.get_mut();
                // What goes wrong is seen when it is read.
                if session.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() == 0) {
                    return socket.poll_read_ready(cx);
                }
                Poll::Ready(Ok(()))
            }
            Stream::Pipe(pipe) => pipe.poll_read_ready(cx),
        }
    }

    /// Whether something that was written has not left yet: the task must flush it.
    #[inline]
    pub fn is_behind(&self) -> bool {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) | Stream::Pipe(_) => false,
            Stream::Tls(stream) => stream.get_ref().1.wants_write(),
        }
    }
}

impl Stream {
    /// Reads what is there, without a look at the runtime, which knows nothing of what happens here: to it, what is read has never
    /// arrived. Errors: there is nothing, or the connection is broken.
    pub fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*SockRef::from(&*stream)).read(buffer),
            Stream::Unix(stream) => (&*SockRef::from(&*stream)).read(buffer),
            Stream::Tls(stream) => {
                let (socket, session) = stream.get_mut();
                loop {
                    match session.reader().read(buffer) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        read => return read,
                    }
                    if session.read_tls(&mut &*SockRef::from(&*socket))? == 0 {
                        return Ok(0);
                    }
                    session.process_new_packets().map_err(io::Error::other)?;
                }
            }
            Stream::Pipe(pipe) => pipe.read_now(buffer),
        }
    }

    /// Writes as much as the socket takes, without a look at the runtime.
    pub fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*SockRef::from(&*stream)).write(bytes),
            Stream::Unix(stream) => (&*SockRef::from(&*stream)).write(bytes),
            Stream::Tls(stream) => {
                let (socket, session) = stream.get_mut();
                let written = session.writer().write(bytes)?;
                while session.wants_write() {
                    match session.write_tls(&mut &*SockRef::from(&*socket)) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        sent => sent?,
                    };
                }
                Ok(written)
            }
            Stream::Pipe(pipe) => pipe.write_now(bytes),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Pipe(pipe) => Pin::new(pipe).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Pipe(pipe) => Pin::new(pipe).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Pipe(pipe) => Pin::new(pipe).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(_) | Stream::Unix(_) | Stream::Pipe(_) => Poll::Ready(Ok(())),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Pipe(pipe) => Pin::new(pipe).poll_shutdown(cx),
        }
    }
}
