//! SIGTERM and SIGINT. A thread of their own takes them, so that whoever insists gets the process to end even while all
//! others are busy.

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
        let mut is_ending = false;
        loop {
            tokio::select! {
                _ = terminate.recv() => tracing::warn!("Received SIGTERM scheduling shutdown..."),
                _ = interrupt.recv() => {
                    if is_ending {
                        tracing::warn!("You insist... exiting now.");
                        std::process::exit(1);
                    }
                    tracing::warn!("Received SIGINT scheduling shutdown...");
                }
            }
            is_ending = true;
            state.shutdown.notify_one();
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(watch))?;
    Ok(())
}
