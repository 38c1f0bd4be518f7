//! What responses consist of: a whole body, or events without end.

use super::clients::Lease;
use super::reply;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// Time between two signs of life in a stream of events: proxies end connections that are silent for long.
const ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// The body of a response.
pub struct Content {
    kind: Kind,
    /// What is counted for as long as the body is on its way.
    _counted: (Option<Rc<()>>, Option<Rc<()>>),
}

enum Kind {
    Whole(Option<Bytes>),
    Events(Box<Events>),
}

impl Content {
    pub fn whole(bytes: impl Into<Bytes>) -> Content {
        Content { kind: Kind::Whole(Some(bytes.into())), _counted: (None, None) }
    }

    pub fn events(events: Events) -> Content {
        Content { kind: Kind::Events(Box::new(events)), _counted: (None, None) }
    }

    /// Keeps `flight`, and `sending` if there is an end to the body, for as long as it is on its way.
    pub fn on_its_way(self, flight: Rc<()>, sending: Rc<()>) -> Content {
        let sending = matches!(self.kind, Kind::Whole(_)).then_some(sending);
        Content { _counted: (Some(flight), sending), ..self }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.get_mut().kind {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().filter(|bytes| !bytes.is_empty()).map(Frame::data).map(Ok)),
            Kind::Events(events) => events.poll_next(cx).map(|event| event.map(Frame::data).map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Kind::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Events(_) => SizeHint::default(),
        }
    }
}

/// What a client listens to, as server-sent events.
pub struct Events {
    lease: Lease,
    /// The first reply, which has been looked at already.
    first: Option<Bytes>,
    alive: Pin<Box<Sleep>>,
}

impl Events {
    pub fn new(lease: Lease, first: Bytes) -> Events {
        Events { lease, first: Some(first), alive: Box::pin(tokio::time::sleep(ALIVE_INTERVAL)) }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(event(&first)));
        }
        if let Poll::Ready(next) = self.lease.inner().poll_next(cx) {
            self.alive.as_mut().reset(tokio::time::Instant::now() + ALIVE_INTERVAL);
            return Poll::Ready(next.map(|reply| event(&reply)));
        }
        if self.alive.as_mut().poll(cx).is_ready() {
            self.alive.as_mut().reset(tokio::time::Instant::now() + ALIVE_INTERVAL);
            // Its own waker is registered by the next look.
            cx.waker().wake_by_ref();
            return Poll::Ready(Some(Bytes::from_static(b":\n\n")));
        }
        Poll::Pending
    }
}

/// A message, or a line of `MONITOR`, as `@upstash/redis` reads it: the parts with commas between.
fn event(reply: &[u8]) -> Bytes {
    let text = if reply == b"+OK\r\n" { b"\"OK\"".to_vec() } else { reply::words(reply).join(&b',') };
    let mut event = Vec::with_capacity(text.len() + 16);
    // A line each, whatever ends them (WHATWG HTML, section 9.2.6).
    let text = String::from_utf8_lossy(&text).replace("\r\n", "\n").replace('\r', "\n");
    for line in text.split('\n') {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line.as_bytes());
        event.push(b'\n');
    }
    event.push(b'\n');
    event.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_as_events() {
        let cases: [(&[u8], &str); 4] = [
            (b"+OK\r\n", "data: \"OK\"\n\n"),
            (b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "data: subscribe,c,1\n\n"),
            (b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$8\r\na,b\r\nc\nd\r\n", "data: message,c,a,b\ndata: c\ndata: d\n\n"),
            (b"+1.5 [0 127.0.0.1:1] \"get\" \"k\"\r\n", "data: 1.5 [0 127.0.0.1:1] \"get\" \"k\"\n\n"),
        ];
        for (reply, expected) in cases {
            assert_eq!(event(reply), expected);
        }
    }
}
