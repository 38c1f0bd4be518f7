//! From the command line to a serving process.

use crate::REDIS_VERSION;
use crate::acl::{self, Acl};
use crate::config::{Arguments, DefinedUser, Directive, Invocation, LoadError, RenameCommand, Settings, error_text};
use crate::spec::{RenameError, Table};
use crate::state::State;
use crate::{crash, daemon, logging};
use clap::CommandFactory;
use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

/// What `--help` shows. The arguments themselves follow Redis' grammar and are read by `config`.
#[derive(clap::Parser)]
#[command(
    name = "radish",
    override_usage = USAGE,
    about = "A drop-in Redis server that keeps its keys in a radix tree.",
    after_help = EXAMPLES,
    disable_help_flag = true
)]
struct Help {}

const USAGE: &str = "radish [/path/to/redis.conf] [--directive value ...] [-]
       radish -                  the configuration comes from standard input
       radish -v, --version
       radish -h, --help
       radish --check-system     what in this machine stands in the server's way";

const EXAMPLES: &str = "\
Every directive of redis.conf can be given as an argument, after a file or without one; a last `-` adds standard input.
Radish's own directives are threads, pin-cpus, compression-threshold, compression-idle-time, field-deadline-format
and those that begin with http-.

Examples:
  radish                                                    port 6379, a thread for each core
  radish /etc/redis/redis.conf --loglevel verbose
  radish --port 7777 --maxmemory 1gb --maxmemory-policy allkeys-lru
  echo 'maxmemory 128mb' | radish -";

/// Runs the server until it is told to end. `arguments` begin with the program's name.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let program = arguments.next().unwrap_or_else(|| "radish".into());
    match Invocation::parse(arguments) {
        Invocation::Serve(arguments) => serve(program, &arguments),
        Invocation::Version => say(&crate::config::version_line()),
        Invocation::Help => say(&Help::command().render_help().to_string()),
        Invocation::CheckSystem => check_system(),
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

/// Prints what was looked at in the system, and fails if something is wrong with it.
fn check_system() -> ExitCode {
    let checks = daemon::system_checks(&Settings::new());
    let lines = checks.iter().map(|(name, problem)| match problem {
        None => format!("[{name}]...OK\n"),
        Some(problem) => format!("[{name}]...WARNING:\n{problem}\n"),
    });
    let printed = say(&lines.collect::<String>());
    if checks.iter().any(|(_, problem)| problem.is_some()) { ExitCode::FAILURE } else { printed }
}

fn serve(program: OsString, arguments: &Arguments) -> ExitCode {
    if let Err(error) = logging::install() {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    let loaded = Settings::start(arguments, std::io::stdin()).and_then(|(settings, startup)| {
        let (table, acl) = (rename_commands(&startup.renamed_commands)?, define_users(&settings, &startup.users)?);
        Ok((settings, table, acl))
    });
    let (settings, table, acl) = match loaded {
        Ok(loaded) => loaded,
        // Redis logs this one error of the configuration, and prints all others.
        Err(error @ LoadError::Unreadable { .. }) => {
            tracing::warn!("{error}");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    logging::configure(&settings);
    if let Err(error) = daemon::daemonize(&settings) {
        tracing::warn!("Could not go on in the background: {error}");
        return ExitCode::FAILURE;
    }
    crash::install(&settings);
    if let Err(error) = daemon::prepare_title(program.clone()) {
        tracing::debug!("The process keeps its title: {error}");
    }
    greet(&settings, arguments, &program);
    if let Some((name, reason)) = settings.unsupported() {
        tracing::error!("Could not start: '{name}' cannot be set: {reason}");
        return ExitCode::FAILURE;
    }
    match prepare(settings, table, acl).and_then(crate::server::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("Could not start: {}", error_text(&error));
            ExitCode::FAILURE
        }
    }
}

/// The command table under the names that the configuration gives.
fn rename_commands(renamed: &[RenameCommand]) -> Result<Table, LoadError> {
    let from: Vec<_> = renamed.iter().map(|rename| String::from_utf8_lossy(&rename.from)).collect();
    let renames: Vec<(&str, &[u8])> =
        from.iter().zip(renamed).map(|(from, rename)| (&**from, &rename.to[..])).collect();
    Table::new(&renames).map_err(|error| {
        let reason = match error {
            RenameError::NoSuchCommand(_) => "No such command in rename-command",
            RenameError::NameTaken(_) => "Target command name already exists",
        };
        // The first line with which it goes wrong.
        match (1..=renames.len()).find(|count| Table::new(&renames[..*count]).is_err()) {
            Some(count) => LoadError::Line { location: renamed[count - 1].location.clone(), reason: reason.into() },
            None => LoadError::Whole { reason: reason.into() },
        }
    })
}

/// The users that the configuration defines, if it defines any.
fn define_users(settings: &Settings, users: &[DefinedUser]) -> Result<Option<Acl>, LoadError> {
    if users.is_empty() {
        return Ok(None);
    }
    let acl = Acl::default();
    acl.set_default_password(&settings.string(Directive::Requirepass));
    let all_channels = acl::begins_with_all_channels(settings);
    for (index, user) in users.iter().enumerate() {
        let words: Vec<&[u8]> = user.words.iter().map(Vec::as_slice).collect();
        let Some((name, rules)) = words.split_first() else { continue };
        let is_known = users[..index].iter().any(|earlier| earlier.words[0] == *name);
        acl.define(name, rules, all_channels, is_known).map_err(|error| {
            let reason = format!("Error in user declaration '{}': {error}", String::from_utf8_lossy(name));
            LoadError::Line { location: user.location.clone(), reason: reason.into() }
        })?;
    }
    Ok(Some(acl))
}

/// Takes over the users that the configuration defines, or loads those of `aclfile`.
fn load_users(state: &mut State, defined: Option<Acl>) -> std::io::Result<()> {
    let file = state.settings.path(Directive::Aclfile);
    match (defined, file) {
        (Some(_), Some(_)) => Err(std::io::Error::other(
            "Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is invalid. This \
             setup is very likely to lead to configuration errors and security holes, please define either an ACL file or \
             declare users directly in your redis.conf, but not both.",
        )),
        (Some(acl), None) => {
            state.acl = acl;
            Ok(())
        }
        (None, Some(path)) => match state.acl.load(&path, acl::begins_with_all_channels(&state.settings)) {
            Ok(_) => Ok(()),
            Err(error) => Err(std::io::Error::other(format!(
                "Aborting Redis startup because of ACL errors: {}",
                error.about(&path)
            ))),
        },
        (None, None) => Ok(()),
    }
}

/// Says in the log who starts. The logo appears on terminals, or where `always-show-logo` wants it.
fn greet(settings: &Settings, arguments: &Arguments, program: &OsStr) {
    let (version, pid, port) = (crate::VERSION, std::process::id(), settings.int(Directive::Port));
    tracing::info!("Radish is starting");
    tracing::info!(
        "Radish version={version}, Redis version={REDIS_VERSION}, bits={}, pid={pid}, just started",
        usize::BITS
    );
    if *arguments == Arguments::default() {
        tracing::warn!(
            "Warning: no config file specified, using the default config. In order to specify a config file use {} \
             /path/to/redis.conf",
            program.display()
        );
    } else {
        tracing::info!("Configuration loaded");
    }
    logging::set_role(logging::Role::Primary);
    let on_terminal = settings.path(Directive::Logfile).is_none() && std::io::stdout().is_terminal();
    if on_terminal || settings.flag(Directive::AlwaysShowLogo) {
        tracing::info!(
            target: logging::RAW,
            "\n   \\|/\n  .-'-.     Radish {version}\n /     \\    Port: {port}\n \\     /    PID: {pid}\n  `. .'\n    V\n\n"
        );
    } else {
        tracing::info!("Running mode=standalone, port={port}.");
    }
    for (name, reason) in settings.without_effect() {
        tracing::info!("Directive '{name}' has no effect: {reason}.");
    }
}

fn prepare(settings: Settings, table: Table, defined: Option<Acl>) -> std::io::Result<Arc<State>> {
    let threads = match settings.int(Directive::Threads) {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads as usize,
    };
    if let Some(directory) = settings.path(Directive::Dir) {
        std::env::set_current_dir(directory)?;
    }
    let clients = settings.int(Directive::Maxclients) as u64;
    let room = daemon::make_room_for_clients(clients, threads).map_err(std::io::Error::other)?;
    if room < clients {
        settings.reduce_maxclients(room);
    }
    daemon::set_huge_pages(&settings);
    daemon::set_background_thread(&settings);
    if !crate::memory::give_back_soon() {
        tracing::warn!("The allocator gives unused memory back late");
    }
    daemon::write_pid_file(&settings);
    for attempt in [daemon::set_title(&settings), daemon::set_oom_score(&settings)] {
        if let Err(error) = attempt {
            tracing::warn!("The process could not be set up as the configuration has it: {error}");
        }
    }
    daemon::warn_of_system(&settings);
    let mut state = State::new(settings, table, threads)?;
    load_users(&mut state, defined)?;
    Ok(state.share())
}
