//! What the gateway needs of a thread: clients within the process, which are served as those of sockets are.

use super::connection::{self, Connection};
use super::stream::Stream;
use super::worker::{self, Worker};
use crate::acl::Account;
use crate::client::Client;
use crate::command;
use crate::gateway::{self, ClientEnd, Host, Login, Session};
use crate::resp::{ErrorReply, Protocol};
use crate::state::State;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// Serves HTTP over a stream to a client, which has been registered, until the connection ends.
pub async fn serve(worker: &Rc<Worker>, stream: Stream, client: Arc<Client>) {
    let socket = match stream {
        Stream::Tcp(socket) => gateway::Socket::Tcp(socket),
        Stream::Tls(stream) => gateway::Socket::Tls(stream),
        Stream::Unix(_) | Stream::Pipe(_) => return worker.forget(&client),
    };
    gateway::serve(Rc::new(Rc::clone(worker)), socket, client).await;
}

impl Host for Rc<Worker> {
    fn state(&self) -> &Arc<State> {
        &self.state
    }

    fn another(&self, client: &Client) -> Option<Arc<Client>> {
        if super::listen::is_full(&self.state) {
            return None;
        }
        Some(worker::register(&self.state, client.address.clone(), client.local_address.clone(), client.fd))
    }

    fn serve(&self, client: &Arc<Client>) -> (Rc<dyn Session>, ClientEnd) {
        let (server_end, client_end) = gateway::pipe();
        let connection = self.connect(Stream::Pipe(server_end), client);
        let session: Rc<dyn Session> = Rc::clone(&connection) as Rc<dyn Session>;
        let (worker, client) = (Rc::clone(self), Arc::clone(client));
        tokio::task::spawn_local(async move {
            connection::serve(connection).await;
            worker.forget(&client);
        });
        (session, client_end)
    }
}

impl Session for RefCell<Connection> {
    fn begin(&self, login: Option<&Login>, protocol: Protocol) -> bool {
        let login = login.map(|Login { user, password }| (&user[..], &password[..]));
        self.borrow_mut().with_session(|state, session| command::connection::begin(state, session, login, protocol))
    }

    fn user_of(&self, commands: &[&str]) -> Result<Arc<Account>, ErrorReply> {
        self.borrow_mut().with_session(|state, session| {
            commands.iter().try_for_each(|name| command::acl::may_run(state, session, name))?;
            Ok(Arc::clone(&session.account))
        })
    }
}
