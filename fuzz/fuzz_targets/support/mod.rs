//! A server without sockets, for the targets that run commands.

#![allow(dead_code, reason = "each target needs a part")]

use radish::client::{Client, Endpoint, Identity, Session};
use radish::command::{self, Batch};
use radish::config::{Arguments, Settings};
use radish::resp::{Args, OwnedRequest, Reply};
use radish::spec::Table;
use radish::state::{State, unix_time_ms};
use std::sync::Arc;

/// A server with these lines as its configuration.
pub fn new_state(options: &[u8]) -> State {
    let arguments = Arguments { options: options.to_vec(), ..Arguments::default() };
    let (settings, _) = Settings::start(&arguments, std::io::empty()).expect("the options are right");
    State::new(settings, Table::new(&[]).expect("the table is whole"), 1).expect("a state can be made")
}

pub fn new_session(state: &State, id: u64) -> Session {
    let endpoint = Endpoint::Unix(Arc::from("/fuzz"));
    let client = Arc::new(Client::new(id, endpoint.clone(), endpoint, 0, unix_time_ms()));
    state.clients.add(&client);
    Session::new(Identity::new(client, state.acl.default_account(), true))
}

pub fn end(state: &State, mut session: Session) {
    command::leave(state, &mut session);
    state.clients.remove(&session.client);
}

/// Runs one request. `bytes` is what its arguments lie in, if they are not apart from all others.
pub fn execute(state: &State, session: &mut Session, bytes: &[u8], args: Args<'_>, reply: &mut Reply) {
    reply.set_protocol(session.protocol);
    let mut batch = Batch::default();
    batch.push(state, bytes, args);
    batch.prefetch(state, bytes, session.database);
    command::execute(state, session, args, batch.request(bytes, 0), reply);
}

/// Runs one request and takes its reply.
pub fn run(state: &State, session: &mut Session, words: &[&[u8]]) -> Vec<u8> {
    let request = OwnedRequest::new(words.iter().copied());
    let mut reply = Reply::new(session.protocol);
    execute(state, session, b"", request.args(), &mut reply);
    reply.take()
}

/// Looks whether all trees keep their invariants.
pub fn verify(state: &State) {
    for shard in 0..state.keyspace.shard_count() {
        for database in &state.keyspace.lock_one(shard).databases {
            database.verify(None);
        }
    }
}
