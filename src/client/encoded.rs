//! A message to many clients.

use super::{Client, Message};
use crate::resp::{Protocol, Reply};
use bytes::Bytes;

/// A message that is encoded once for each protocol that a receiver speaks.
pub struct Encoded<F: Fn(&mut Reply)> {
    write: F,
    resp2: Option<Bytes>,
    resp3: Option<Bytes>,
}

impl<F: Fn(&mut Reply)> Encoded<F> {
    pub fn new(write: F) -> Self {
        Encoded { write, resp2: None, resp3: None }
    }

    pub fn send_to(&mut self, client: &Client) {
        client.mailbox.post(Message::Push(self.for_client(client)));
    }

    /// The message as the client is to get it.
    pub fn for_client(&mut self, client: &Client) -> Bytes {
        let (place, protocol) =
            if client.is_resp3() { (&mut self.resp3, Protocol::Resp3) } else { (&mut self.resp2, Protocol::Resp2) };
        let encode = || {
            let mut reply = Reply::new(protocol);
            (self.write)(&mut reply);
            // As large as it is: many may wait to be sent.
            reply.take().into_boxed_slice().into()
        };
        place.get_or_insert_with(encode).clone()
    }
}
