//! The limit of open files: raised to what the clients need, as far as the system lets us.

use crate::config::error_text;
use std::io;

/// Files that the server needs for itself: so many whatever happens, as Redis counts them, and so many for the runtime of
/// each thread.
const RESERVED: u64 = 32;
const RESERVED_PER_THREAD: u64 = 8;

/// What became of an attempt to raise the limit.
struct Raised {
    before: u64,
    now: u64,
    error: Option<io::Error>,
}

/// Makes room for `clients` on top of what `threads` need. Returns for how many clients there is room then. Errors: there
/// is room for none.
pub fn make_room_for_clients(clients: u64, threads: usize) -> Result<u64, String> {
    let reserved = RESERVED + RESERVED_PER_THREAD * (threads as u64).saturating_sub(1);
    let wanted = clients + reserved;
    let Raised { before, now, error } = raise(wanted);
    if now >= wanted {
        if before < wanted {
            tracing::info!(
                target: "notice",
                "Increased maximum number of open files to {now} (it was originally set to {before})."
            );
        }
        return Ok(clients);
    }
    let room = now.saturating_sub(reserved);
    if room == 0 {
        return Err(format!(
            "Your current 'ulimit -n' of {now} is not enough for the server to start. Please increase your open file \
             limit to at least {wanted}. Exiting."
        ));
    }
    tracing::warn!("You requested maxclients of {clients} requiring at least {wanted} max file descriptors.");
    if let Some(error) = error {
        let reason = error_text(&error);
        tracing::warn!("Server can't set maximum open files to {wanted} because of OS error: {reason}.");
    }
    tracing::warn!(
        "Current maximum open files is {now}. maxclients has been reduced to {room} to compensate for low ulimit. If \
         you need higher maxclients increase 'ulimit -n'."
    );
    Ok(room)
}

fn raise(wanted: u64) -> Raised {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call gets a valid pointer to a plain struct that outlives it.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        // What every system grants.
        return Raised { before: 1024, now: 1024, error: Some(io::Error::last_os_error()) };
    }
    let before = limit.rlim_cur;
    let mut refused = None;
    if before < wanted {
        // The second attempt is what anybody may do.
        for hard_limit in [limit.rlim_max.max(wanted), limit.rlim_max] {
            let attempt = libc::rlimit { rlim_cur: wanted.min(hard_limit), rlim_max: hard_limit };
            // SAFETY: as above.
            if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const attempt) } == 0 {
                return Raised { before, now: attempt.rlim_cur, error: refused };
            }
            refused = Some(io::Error::last_os_error());
        }
    }
    Raised { before, now: before, error: refused }
}
