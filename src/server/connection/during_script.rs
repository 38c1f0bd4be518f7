//! A connection while a script keeps its thread busy.

use super::super::requests::{Part, Requests, parse};
use super::Connection;
use crate::client::Message;
use crate::command;
use crate::resp::Reply;
use crate::stats::Figure;
use std::io::ErrorKind;
use std::rc::Rc;

/// Bytes that are read at once from a client while a script runs.
const READ_BYTES: usize = 4096;

impl Connection {
    /// Answers what the client has sent, while a script keeps its thread busy: as far as that needs nothing that the script has.
    pub fn serve_during_script(&mut self) {
        if self.is_read {
            return;
        }
        if self.session.replica.is_some() {
            return self.notice_departure();
        }
        if !self.is_at_rest() {
            return;
        }
        let mut buffer = [0; READ_BYTES];
        // Whether it has left is seen later.
        let Ok(read @ 1..) = self.stream.read_now(&mut buffer) else { return };
        self.note_input(read);
        let buffer = &buffer[..read];
        let mut requests = Requests::default();
        let part = parse(&self.worker.state, &self.session, &mut self.pending, buffer, 0, &mut requests);
        self.answer_during_script(buffer, &requests, &part);
    }

    /// The same for what was read together with the request that runs the script. Returns whether it has been dealt with.
    pub fn serve_read_during_script(&mut self, buffer: &[u8], requests: &Requests, part: &Part) -> bool {
        let is_at_rest = self.is_at_rest();
        if is_at_rest {
            self.is_read = false;
            self.answer_during_script(buffer, requests, part);
        }
        is_at_rest
    }

    /// Takes a replica that has left off the list: the script may wait for that.
    fn notice_departure(&mut self) {
        let mut buffer = [0; READ_BYTES];
        match self.stream.read_now(&mut buffer) {
            Ok(read @ 1..) => {
                // What it says is heard when the script has ended.
                self.note_input(read);
                self.pending.bytes.extend_from_slice(&buffer[..read]);
                self.note_query();
                self.session.client.mailbox.post(Message::Wake);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Ok(0) | Err(_) => {
                command::replication::leave(&self.worker.state, &mut self.session);
                self.session.client.kill();
            }
        }
    }

    /// Whether nothing is under way beside what the client sends next.
    fn is_at_rest(&self) -> bool {
        self.pending.bytes.is_empty()
            && self.unsent.is_empty()
            && self.session.blocked.is_none()
            && self.session.replica.is_none()
            && self.postponed.is_none()
            && !self.session.close_after_reply
            && !self.session.client.is_killed()
    }

    fn answer_during_script(&mut self, buffer: &[u8], requests: &Requests, part: &Part) {
        let worker = Rc::clone(&self.worker);
        let mut reply = Reply::new(self.session.protocol);
        let mut at = part.end;
        for index in part.requests.clone() {
            let (request, args) = (requests.parsed.requests[index], requests.parsed.args(buffer, index));
            let prepared = requests.batch.request(buffer, index);
            if !args.is_empty()
                && !command::execute_during_script(&worker.state, &mut self.session, args, prepared, &mut reply)
            {
                self.forget_half_request();
                at = request.start;
                break;
            }
        }
        if part.error.is_some() && at == part.end {
            self.forget_half_request();
        }
        self.pending.bytes.extend_from_slice(&buffer[at..]);
        self.note_query();
        // Why the socket takes nothing is seen when it is written to the next time.
        let sent = self.stream.write_now(reply.as_bytes()).unwrap_or(0);
        worker.state.stats.add(Figure::NetOutputBytes, sent as u64);
        if sent < reply.len() {
            self.unsent.push(reply.take_from(sent));
            self.note_output();
        }
        if self.has_more_to_do() {
            // The socket has nothing new to tell when the script has ended.
            self.session.client.mailbox.post(Message::Wake);
        }
    }
}
