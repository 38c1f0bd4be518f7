//! The TCP sockets that are open, and how others take their place when `port`, `tls-port`, `http-port` or their addresses change.

use super::listen::{self, TRANSPORTS, Transport};
use crate::config::Settings;
use crate::state::Listening;
use parking_lot::Mutex;
use std::io;
use std::net::{Shutdown, TcpListener};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The TCP sockets of the server. They are opened on whichever thread asks for it, and accept on the first one.
pub struct Listeners {
    plain: Mutex<Open>,
    tls: Mutex<Open>,
    http: Mutex<Open>,
    opened: UnboundedSender<(TcpListener, Transport)>,
}

/// What is listened on.
#[derive(Default)]
struct Open {
    addresses: Vec<String>,
    port: u16,
    /// Second handles of the sockets, through which they are closed.
    sockets: Vec<socket2::Socket>,
}

impl Listeners {
    /// No sockets yet; those that are opened come out of the receiver.
    pub fn new() -> (Listeners, UnboundedReceiver<(TcpListener, Transport)>) {
        let (opened, arrivals) = unbounded_channel();
        (Listeners { plain: Mutex::default(), tls: Mutex::default(), http: Mutex::default(), opened }, arrivals)
    }

    fn open(&self, transport: Transport) -> &Mutex<Open> {
        match transport {
            Transport::Plain => &self.plain,
            Transport::Tls => &self.tls,
            Transport::Http => &self.http,
        }
    }

    /// Whether there is no socket open for a transport.
    pub fn is_empty(&self, transport: Transport) -> bool {
        self.open(transport).lock().sockets.is_empty()
    }

    /// Listens for a transport where the settings say, and nowhere else. If that fails after a change of the port, the sockets
    /// stay as they are; after a change of `bind` there are none left, and the caller goes back to settings that worked.
    pub fn update(&self, settings: &Settings, transport: Transport) -> io::Result<()> {
        let (addresses, port) = (transport.addresses(settings), transport.port(settings));
        let mut open = self.open(transport).lock();
        if port == open.port && addresses == open.addresses {
            return Ok(());
        }
        if port == open.port {
            // The same port can be had for other addresses only once it is free.
            std::mem::take(&mut *open).close();
        }
        let sockets = listen::open_tcp(settings, transport)?;
        let handles =
            sockets.iter().map(|socket| socket2::SockRef::from(socket).try_clone()).collect::<Result<_, _>>()?;
        std::mem::replace(&mut *open, Open { addresses, port, sockets: handles }).close();
        for socket in sockets {
            if self.opened.send((socket, transport)).is_err() {
                tracing::debug!("A socket was opened while the server was shutting down");
            }
        }
        Ok(())
    }
}

impl Listening for Listeners {
    fn update(&self, settings: &Settings) -> io::Result<()> {
        TRANSPORTS.into_iter().try_for_each(|transport| self.update(settings, transport))
    }

    fn close(&self) {
        for transport in TRANSPORTS {
            std::mem::take(&mut *self.open(transport).lock()).close();
        }
    }
}

impl Open {
    /// Stops listening. Those who wait for clients on the sockets get an error and end.
    fn close(self) {
        for socket in self.sockets {
            if let Err(error) = socket.shutdown(Shutdown::Both) {
                tracing::debug!("Closing a listening socket: {error}");
            }
        }
    }
}
