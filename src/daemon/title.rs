//! The name under which the process shows in `ps`, as `proc-title-template` has it.
//!
//! Linux shows the memory in which a process got its arguments. A title that is longer than they were runs on into
//! the environment behind them, which is copied away for that at the start.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use crate::config::{Directive, Settings, expand_proc_title};

/// What the title may be written over.
struct Space {
    /// What the process was started as.
    program: OsString,
    start: u64,
    len: usize,
}

static SPACE: OnceLock<Space> = OnceLock::new();

/// Makes room for a title. Must come before any thread is started, and after the arguments have been read.
pub fn prepare_title(program: OsString) -> io::Result<()> {
    let (start, len) = argument_space()?;
    for (name, value) in std::env::vars_os() {
        // SAFETY: there is one thread. Setting each variable to what it is moves it to memory of its own.
        unsafe { std::env::set_var(name, value) };
    }
    SPACE.get_or_init(|| Space { program, start, len });
    Ok(())
}

/// Shows the process under the title that the settings give it.
pub fn set_title(settings: &Settings) -> io::Result<()> {
    let Some(space) = SPACE.get().filter(|_| settings.flag(Directive::SetProcTitle)) else { return Ok(()) };
    let port = settings.int(Directive::Port);
    let unix_socket = String::from_utf8_lossy(&settings.string(Directive::Unixsocket)).into_owned();
    let address = match (port, settings.words(Directive::Bind).first()) {
        (0, _) => format!("unixsocket:{unix_socket}"),
        (port, address) => format!("{}:{port}", address.map_or("*", String::as_str)),
    };
    let tls_port = settings.int(Directive::TlsPort).to_string();
    let (program, port) = (space.program.to_string_lossy(), port.to_string());
    let config_file = settings.config_file().map_or("-".into(), |path| path.to_string_lossy());
    let value_of = |variable: &str| match variable {
        "title" => &*program,
        "listen-addr" => &address,
        "port" => &port,
        "tls-port" => &tls_port,
        "unixsocket" => &unix_socket,
        "config-file" => &*config_file,
        // `server-mode` says nothing of a server by itself.
        _ => "",
    };
    let template = settings.string(Directive::ProcTitleTemplate);
    let mut title = expand_proc_title(&template, value_of).ok_or(io::ErrorKind::InvalidInput)?;
    title.truncate(space.len - 1);
    title.resize(space.len, 0);
    // The file is the process' own memory: what is written there was prepared above, and nobody reads it any more.
    File::options().write(true).open("/proc/self/mem")?.write_all_at(&title, space.start)
}

/// Where the arguments of the process and its environment lie.
fn argument_space() -> io::Result<(u64, usize)> {
    /// Numbers of fields of proc_pid_stat(5), counted from the one after the name of the process.
    const FIELDS: [usize; 4] = [45, 46, 47, 48];
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(") ").ok_or(io::ErrorKind::InvalidData)?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    let [Some(arguments), Some(arguments_end), Some(environment), Some(environment_end)] = FIELDS.map(number) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let end = if environment == arguments_end { environment_end } else { arguments_end };
    match end.checked_sub(arguments) {
        Some(len @ 1..) => Ok((arguments, len as usize)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
