//! SIGTERM and SIGINT. A thread of their own takes them, so that whoever insists gets the process to end even while all
//! others are busy.

use crate::shutdown::{self, Signal};
use crate::state::State;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// Begins to listen to signals: the first one asks for the end, and so does each further SIGTERM; a further SIGINT is the
/// end.
pub fn listen(state: Arc<State>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut terminate, mut interrupt) = {
        let _context = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let watch = async move {
        loop {
            let (signal, name) = tokio::select! {
                _ = terminate.recv() => (Signal::Terminate, "SIGTERM"),
                _ = interrupt.recv() => (Signal::Interrupt, "SIGINT"),
            };
            if signal == Signal::Interrupt && state.shutdown.is_asked() {
                shutdown::insist(&state);
            }
            if state.loading.is_on() {
                tracing::warn!("Received shutdown signal during loading, scheduling shutdown.");
            } else {
                tracing::warn!("Received {name} scheduling shutdown...");
            }
            state.shutdown.ask(signal);
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(watch))?;
    Ok(())
}
