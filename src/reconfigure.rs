//! What the server does when a directive changes while it runs. Directives that are not named here are looked up
//! each time they matter.

use crate::config::{Directive, error_text};
use crate::state::State;
use crate::{append_file, client_eviction, command, crash, daemon, eviction, logging};

/// Does what the new value of `directive` asks for; `in_transaction`: it is set by one. Errors: why that cannot be done, for the
/// client to read.
pub fn apply(state: &State, directive: Directive, in_transaction: bool) -> Result<(), String> {
    let settings = &state.settings;
    match directive {
        Directive::Loglevel | Directive::LogFormat | Directive::LogTimestampFormat => logging::configure(settings),
        Directive::CrashLogEnabled => crash::configure(settings),
        Directive::NotifyKeyspaceEvents => state.pubsub.set_events(settings.keyspace_events()),
        Directive::Appendonly if settings.flag(Directive::Appendonly) => append_file::enable(state, in_transaction)?,
        Directive::Appendonly => append_file::disable(state),
        Directive::Appendfsync => append_file::note_policy(state),
        Directive::ReplBacklogSize if state.log.backlog().is_some() => {
            state.log.keep_backlog(settings.int(Directive::ReplBacklogSize) as u64);
        }
        Directive::MinReplicasMaxLag => command::replication::count_good(state),
        Directive::Dir => {
            if let Some(directory) = settings.path(Directive::Dir) {
                std::env::set_current_dir(directory).map_err(|error| error_text(&error))?;
            }
            logging::configure(settings);
        }
        Directive::Requirepass => state.acl.set_default_password(&settings.string(Directive::Requirepass)),
        Directive::Maxclients => {
            let clients = settings.int(Directive::Maxclients) as u64;
            let room = daemon::make_room_for_clients(clients, state.threads).unwrap_or(0);
            if room < clients {
                return Err(format!(
                    "The operating system is not able to handle the specified number of clients, try with {room}"
                ));
            }
        }
        Directive::Maxmemory => {
            warn_of_small_maxmemory(state);
            state.eviction.wanted.notify_one();
            client_eviction::evict(state);
        }
        Directive::MaxmemoryClients => client_eviction::evict(state),
        Directive::TlsPort | Directive::HttpPort => {
            configure_tls(state)?;
            state.listen_anew().map_err(|_| "Unable to listen on this port. Check server logs.")?;
        }
        Directive::TlsReplication
        | Directive::HttpTls
        | Directive::TlsCluster
        | Directive::TlsAuthClients
        | Directive::TlsPreferServerCiphers
        | Directive::TlsSessionCaching
        | Directive::TlsSessionCacheSize
        | Directive::TlsCertFile
        | Directive::TlsKeyFile
        | Directive::TlsKeyFilePass
        | Directive::TlsClientCertFile
        | Directive::TlsClientKeyFile
        | Directive::TlsClientKeyFilePass
        | Directive::TlsCaCertFile
        | Directive::TlsCaCertDir
        | Directive::TlsProtocols
        | Directive::TlsCiphers
        | Directive::TlsCiphersuites => configure_tls(state)?,
        Directive::Port => state.listen_anew().map_err(|_| "Unable to listen on this port. Check server logs.")?,
        Directive::Bind | Directive::HttpBind => {
            state.listen_anew().map_err(|_| "Failed to bind to specified addresses.")?
        }
        Directive::OomScoreAdj | Directive::OomScoreAdjValues => daemon::set_oom_score(settings).map_err(|error| {
            tracing::warn!("Unable to write oom_score_adj: {}", error_text(&error));
            "Failed to set current oom_score_adj. Check server logs."
        })?,
        Directive::ProcTitleTemplate => daemon::set_title(settings).map_err(|error| {
            tracing::warn!("Unable to set the process title: {}", error_text(&error));
            "failed to set process title"
        })?,
        Directive::JemallocBgThread => daemon::set_background_thread(settings),
        _ => {}
    }
    Ok(())
}

fn configure_tls(state: &State) -> Result<(), String> {
    state.tls.configure(&state.settings).map_err(|reason| {
        tracing::warn!("{reason}");
        "Unable to update TLS configuration. Check server logs.".into()
    })
}

fn warn_of_small_maxmemory(state: &State) {
    let (limit, used) = (state.settings.int(Directive::Maxmemory) as usize, eviction::used_memory(state));
    if limit > 0 && limit < used {
        tracing::warn!(
            "WARNING: the new maxmemory value set via CONFIG SET ({limit}) is smaller than the current memory usage \
             ({used}). Keys are evicted, or writes refused, as maxmemory-policy has it."
        );
    }
}
