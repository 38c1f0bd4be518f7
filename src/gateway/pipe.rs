//! A stream of bytes between two tasks of one thread: through it the gateway speaks to a connection of this server as clients do
//! through sockets.

use bytes::{Buf, Bytes, BytesMut};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the server's end may write before the client's end has taken it, in bytes.
const ROOM_BYTES: usize = 256 * 1024;

#[derive(Default)]
struct Shared {
    /// Requests on their way to the server; none is empty.
    requests: VecDeque<Bytes>,
    replies: BytesMut,
    server_waker: Option<Waker>,
    client_waker: Option<Waker>,
    server_left: bool,
    client_left: bool,
}

/// The end that a connection of the server reads requests from.
pub struct ServerEnd(Rc<RefCell<Shared>>);

/// The end that the gateway writes requests to.
pub struct ClientEnd(Rc<RefCell<Shared>>);

/// Both ends of a new pipe.
pub fn pipe() -> (ServerEnd, ClientEnd) {
    let shared = Rc::default();
    (ServerEnd(Rc::clone(&shared)), ClientEnd(shared))
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl ClientEnd {
    /// Sends bytes, however many.
    pub fn send(&self, bytes: Bytes) {
        let mut shared = self.0.borrow_mut();
        if !bytes.is_empty() {
            shared.requests.push_back(bytes);
            wake(&mut shared.server_waker);
        }
    }

    /// Whether the server has taken everything that was sent; if not, the task is woken when it has, or has left.
    pub fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.0.borrow_mut();
        if shared.requests.is_empty() || shared.server_left {
            return Poll::Ready(());
        }
        shared.client_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Appends what the server has sent to `into`. Ready with false when nothing more will come.
    pub fn poll_receive(&self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<bool> {
        let mut shared = self.0.borrow_mut();
        if shared.replies.is_empty() {
            if shared.server_left {
                return Poll::Ready(false);
            }
            shared.client_waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let replies = std::mem::take(&mut shared.replies);
        if into.is_empty() {
            *into = replies
        } else {
            into.extend_from_slice(&replies)
        }
        wake(&mut shared.server_waker);
        Poll::Ready(true)
    }

    /// Whether the server is still there.
    pub fn is_open(&self) -> bool {
        !self.0.borrow().server_left
    }
}

impl Drop for ClientEnd {
    fn drop(&mut self) {
        let mut shared = self.0.borrow_mut();
        shared.client_left = true;
        wake(&mut shared.server_waker);
    }
}

impl Shared {
    /// Moves as much of what was sent as `into` has room for; false if there is nothing.
    fn read(&mut self, into: &mut ReadBuf<'_>) -> bool {
        let had = into.filled().len();
        while let Some(first) = self.requests.front_mut() {
            let count = first.len().min(into.remaining());
            into.put_slice(&first[..count]);
            if count < first.len() {
                first.advance(count);
                break;
            }
            self.requests.pop_front();
        }
        if self.requests.is_empty() {
            wake(&mut self.client_waker);
        }
        into.filled().len() > had
    }

    /// Takes as much as there is room for. Errors: nobody will read it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.client_left {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let count = bytes.len().min(ROOM_BYTES.saturating_sub(self.replies.len()));
        self.replies.extend_from_slice(&bytes[..count]);
        wake(&mut self.client_waker);
        Ok(count)
    }
}

impl ServerEnd {
    /// Whether there is something to read, or the end; if not, the task is woken when there is.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.0.borrow_mut();
        if !shared.requests.is_empty() || shared.client_left {
            return Poll::Ready(Ok(()));
        }
        shared.server_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Reads what is there. Errors: there is nothing.
    pub fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut shared = self.0.borrow_mut();
        let mut into = ReadBuf::new(buffer);
        if !shared.read(&mut into) && !shared.client_left {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(into.filled().len())
    }

    /// Writes as much as there is room for.
    pub fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn leave(&mut self) {
        let mut shared = self.0.borrow_mut();
        shared.server_left = true;
        wake(&mut shared.client_waker);
    }
}

impl Drop for ServerEnd {
    fn drop(&mut self) {
        self.leave();
    }
}

impl AsyncRead for ServerEnd {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.0.borrow_mut();
        if shared.read(buffer) || shared.client_left {
            return Poll::Ready(Ok(()));
        }
        shared.server_waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for ServerEnd {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut shared = self.0.borrow_mut();
        match shared.write(bytes) {
            Ok(0) if !bytes.is_empty() => {
                shared.server_waker = Some(cx.waker().clone());
                Poll::Pending
            }
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().leave();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn bytes_go_both_ways_in_order_and_within_bounds() {
        let (mut server, client) = pipe();
        client.send(Bytes::from_static(b"ab"));
        client.send(Bytes::from_static(b"cd"));
        let mut read = [0; 3];
        server.read_exact(&mut read).await.expect("it is there");
        assert_eq!(&read, b"abc");
        assert_eq!(server.read_now(&mut read).expect("it is there"), 1);
        assert_eq!(server.read_now(&mut read).expect_err("there is no more").kind(), ErrorKind::WouldBlock);
        assert_eq!(server.write_now(&vec![b'x'; 2 * ROOM_BYTES]).expect("there is room"), ROOM_BYTES);
        let mut received = BytesMut::from("y");
        let waits = async {
            assert!(std::future::poll_fn(|cx| client.poll_receive(cx, &mut received)).await);
            assert_eq!(received.len(), 1 + ROOM_BYTES);
            assert!(std::future::poll_fn(|cx| client.poll_receive(cx, &mut received)).await);
            assert!(received.ends_with(b"xz"));
        };
        let (written, ()) = tokio::join!(server.write_all(b"z"), waits);
        written.expect("the client reads");
    }

    #[tokio::test]
    async fn each_end_learns_that_the_other_has_left() {
        let (mut server, client) = pipe();
        client.send(Bytes::from_static(b"last"));
        drop(client);
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.expect("it ends in good order");
        assert_eq!(rest, b"last");
        assert_eq!(server.write_now(b"x").expect_err("nobody reads").kind(), ErrorKind::BrokenPipe);

        let (mut server, client) = pipe();
        client.send(Bytes::from_static(b"unread"));
        server.write_now(b"reply").expect("there is room");
        drop(server);
        let mut received = BytesMut::new();
        assert!(std::future::poll_fn(|cx| client.poll_receive(cx, &mut received)).await);
        assert!(!std::future::poll_fn(|cx| client.poll_receive(cx, &mut received)).await);
        std::future::poll_fn(|cx| client.poll_taken(cx)).await;
        assert_eq!(&received[..], b"reply");
        assert!(!client.is_open());
    }
}
