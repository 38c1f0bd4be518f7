//! What one connection tells another: a message wakes the thread of the connection that it is for.

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;

/// What can arrive in a mailbox.
#[derive(Debug)]
pub enum Message {
    /// Bytes for the client, in its protocol: a published message, an invalidation, a line of `MONITOR`.
    Push(Bytes),
    /// The reply to the command that the client is blocked in; whoever sends it has claimed the wait.
    Unblocked(Vec<u8>),
    /// Look at the client's state again: it was killed, or unpaused.
    Wake,
}

/// The queue of one connection. Anybody may post; only the connection's own task takes.
#[derive(Debug, Default)]
pub struct Mailbox {
    queue: Mutex<Vec<Message>>,
    has_mail: AtomicBool,
    /// Bytes of [`Message::Push`] not taken yet.
    push_bytes: AtomicUsize,
    waker: AtomicWaker,
}

impl Mailbox {
    pub fn post(&self, message: Message) {
        if let Message::Push(bytes) = &message {
            self.push_bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        }
        let mut queue = self.queue.lock();
        queue.push(message);
        let first = !self.has_mail.swap(true, Ordering::AcqRel);
        drop(queue);
        if first {
            self.waker.wake();
        }
    }

    /// Bytes that wait to be taken.
    pub fn pending_bytes(&self) -> usize {
        self.push_bytes.load(Ordering::Relaxed)
    }

    /// Whom to wake at the next message. Must be followed by a look with [`Mailbox::take`].
    pub fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    #[inline]
    pub fn has_mail(&self) -> bool {
        self.has_mail.load(Ordering::Acquire)
    }

    /// The pushes that have arrived, in order; what else there is stays.
    pub fn take_pushes(&self) -> Vec<Bytes> {
        let mut pushes = Vec::new();
        if self.has_mail() {
            let mut queue = self.queue.lock();
            for message in std::mem::take(&mut *queue) {
                match message {
                    Message::Push(bytes) => pushes.push(bytes),
                    other => queue.push(other),
                }
            }
            self.has_mail.store(!queue.is_empty(), Ordering::Release);
            self.push_bytes.store(0, Ordering::Relaxed);
        }
        pushes
    }

    /// Everything that has arrived, in order.
    pub fn take(&self) -> Vec<Message> {
        let mut queue = self.queue.lock();
        self.has_mail.store(false, Ordering::Release);
        self.push_bytes.store(0, Ordering::Relaxed);
        std::mem::take(&mut *queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_are_taken_and_the_rest_stays() {
        let mailbox = Mailbox::default();
        assert!(mailbox.take_pushes().is_empty());
        for text in ["a", "b"] {
            mailbox.post(Message::Push(text.into()));
            mailbox.post(Message::Wake);
        }
        assert_eq!(mailbox.take_pushes(), ["a", "b"]);
        assert!(mailbox.has_mail());
        assert_eq!(mailbox.pending_bytes(), 0);
        assert!(matches!(mailbox.take().as_slice(), [Message::Wake, Message::Wake]));
        mailbox.post(Message::Push("c".into()));
        assert_eq!(mailbox.take_pushes(), ["c"]);
        assert!(!mailbox.has_mail());
    }
}
