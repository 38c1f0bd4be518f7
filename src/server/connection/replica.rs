//! The connection of a replica: what it is sent, and when.

use super::{Connection, Ended};
use crate::log::{Pace, Terms};
use crate::replication::{Replica, Stage};
use crate::state::{State, unix_time_us};
use crate::stats::Figure;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// Pieces of the log after which the connection lets the others of its thread have a turn.
const PIECES_PER_TURN: usize = 16;
/// What is written without end goes to the replica together: sending it costs a fifth of what a request without a pipeline does.
const TERMS: Terms = Terms { gather: Duration::from_millis(1), prompt_turns: 4, prompt_bytes: 4 * 1024 };

/// How what a replica is sent is spread.
pub(super) struct Delivery {
    pace: Pace,
    /// Ends the gathering.
    timer: Option<Pin<Box<Sleep>>>,
    /// What is sent next was kept back for a while.
    has_gathered: bool,
}

impl Default for Delivery {
    fn default() -> Self {
        Delivery { pace: Pace::new(TERMS), timer: None, has_gathered: false }
    }
}

impl Delivery {
    /// Whether more is gathered before the next turn, the connection being woken behind it.
    fn gathers(&mut self, state: &State, replica: &Replica, cx: &mut Context<'_>) -> bool {
        let wait = self.pace.wait();
        let is_wanted_now = replica.stage() != Stage::Online || state.replication.has_waits.load(Ordering::Acquire);
        if is_wanted_now || wait.is_zero() || !replica.has_been_told() {
            self.timer = None;
            return false;
        }
        self.has_gathered = true;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(wait)));
        let gathers = timer.as_mut().poll(cx).is_pending();
        if !gathers {
            self.timer = None;
        }
        gathers
    }
}

impl Connection {
    /// Sends a replica what comes next, as long as its socket takes it.
    pub(super) fn feed_replica(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        let Some(replica) = self.session.replica.clone() else { return Ok(()) };
        let worker = Rc::clone(&self.worker);
        if self.delivery.get_or_insert_default().gathers(&worker.state, &replica, cx) {
            return Ok(());
        }
        let begin = replica.position();
        let fed = self.feed(&worker.state, &replica, cx);
        if let Some((begin, end)) = begin.zip(replica.position()).filter(|(begin, end)| end > begin) {
            let look = || (unix_time_us(), worker.state.log.end());
            let delivery = self.delivery.get_or_insert_default();
            let was_prompt = !std::mem::take(&mut delivery.has_gathered);
            worker.state.replication.timeline.note_sent(was_prompt.then_some(begin), look);
            delivery.pace.note((end - begin) as usize);
        }
        fed
    }

    fn feed(&mut self, state: &State, replica: &Replica, cx: &mut Context<'_>) -> Result<(), Ended> {
        for _ in 0..PIECES_PER_TURN {
            if !self.unsent.is_empty() {
                break;
            }
            let Some(bytes) = replica.next(&state.log) else { return Ok(()) };
            if self.session.client.is_killed() {
                // It may have been written behind what killed it.
                return Ok(());
            }
            state.stats.add(Figure::NetReplOutputBytes, bytes.len() as u64);
            self.unsent.push(bytes);
            if let Poll::Ready(Err(Ended)) = self.flush(cx) {
                return Err(Ended);
            }
        }
        // There may be more once the socket takes it, or the others have had their turn.
        if self.unsent.is_empty() {
            replica.tell();
        }
        Ok(())
    }
}
