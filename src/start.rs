//! From the command line to a serving process.

use crate::command::spec::Table;
use crate::config::{Arguments, Directive, Invocation, Settings, Startup};
use crate::state::State;
use clap::CommandFactory;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// What `--help` shows. The arguments themselves follow Redis' grammar and are read by `config`.
#[derive(clap::Parser)]
#[command(
    name = "radish",
    override_usage = "radish [/path/to/redis.conf] [--directive value ...] [-]\n       radish - (read the configuration from standard input)\n       radish -v or --version\n       radish -h or --help",
    about = "A drop-in Redis server that keeps its keys in a radix tree.",
    after_help = "Every directive of redis.conf can be given as an argument:\n  radish --port 7777 --maxmemory 1gb --maxmemory-policy allkeys-lru",
    disable_help_flag = true
)]
struct Help {}

/// Runs the server until it is told to end. `arguments` begin with the program's name.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    match Invocation::parse(arguments.into_iter().skip(1)) {
        Invocation::Serve(arguments) => serve(&arguments),
        Invocation::Version => say(&crate::config::version_line()),
        Invocation::Help => say(&Help::command().render_help().to_string()),
        Invocation::CheckSystem => say("No known problem: what Redis checks here concerns fork and its copy-on-write."),
        Invocation::Refused(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(arguments: &Arguments) -> ExitCode {
    let (settings, startup) = match Settings::start(arguments, std::io::stdin()) {
        Ok(started) => started,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match prepare(settings, &startup).and_then(crate::server::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("Could not start: {error}");
            ExitCode::FAILURE
        }
    }
}

fn prepare(settings: Settings, startup: &Startup) -> std::io::Result<Arc<State>> {
    let threads = match settings.int(Directive::Threads) {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads as usize,
    };
    let clients = settings.int(Directive::Maxclients) as u64;
    let files = crate::memory::raise_open_files(clients);
    if files < clients {
        tracing::warn!("Only {files} files may be open at once: fewer than the {clients} clients of maxclients.");
    }
    let from: Vec<_> = startup.renamed_commands.iter().map(|rename| String::from_utf8_lossy(&rename.from)).collect();
    let renames: Vec<(&str, &[u8])> =
        from.iter().zip(&startup.renamed_commands).map(|(from, rename)| (&**from, &rename.to[..])).collect();
    let table = Table::new(&renames).map_err(std::io::Error::other)?;
    Ok(Arc::new(State::new(settings, table, threads)?))
}
