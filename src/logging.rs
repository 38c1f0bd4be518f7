//! The log: `tracing` events as lines of Redis' format, `pid:role day month year time level message`, appended
//! synchronously to `logfile` or stdout.
//!
//! `tracing` has five levels, of which the first two say the same here: `ERROR` and `WARN` are Redis' warning (`#`),
//! `INFO` is notice (`*`), `DEBUG` is verbose (`-`), `TRACE` is debug (`.`). An event with the target [`RAW`] is
//! printed as it is.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};

use jiff::Zoned;
use parking_lot::RwLock;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

use crate::config::{Directive, LogFormat, LogLevel, LogTimestampFormat, Settings, SyslogFacility};

/// The target of events that are printed without a line's head.
pub const RAW: &str = "raw";

/// What the process is, by the letter that its lines carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    Starting = b'C',
    Primary = b'M',
    Replica = b'S',
}

impl Role {
    fn name(letter: u8) -> &'static str {
        match letter {
            b'M' => "primary",
            b'S' => "replica",
            _ => "RDB/AOF",
        }
    }
}

/// The log of the process, which has one, as it has one subscriber of `tracing`.
static LOG: Log = Log {
    level: AtomicU8::new(LogLevel::Notice as u8),
    role: AtomicU8::new(Role::Starting as u8),
    target: RwLock::new(Target {
        file: None,
        format: LogFormat::Legacy,
        timestamp: LogTimestampFormat::Legacy,
        syslog: None,
    }),
};

struct Log {
    /// A [`LogLevel`].
    level: AtomicU8,
    /// The letter of a [`Role`].
    role: AtomicU8,
    target: RwLock<Target>,
}

/// Where lines go, and in which shape.
struct Target {
    /// Stdout if there is none.
    file: Option<PathBuf>,
    format: LogFormat,
    timestamp: LogTimestampFormat,
    syslog: Option<Syslog>,
}

/// Starts the log of the process, at the default settings. Fails if something else takes the events already.
pub fn install() -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
    tracing::subscriber::set_global_default(Registry::default().with(Lines))
}

/// Does as the settings say from now on.
pub fn configure(settings: &Settings) {
    *LOG.target.write() = Target {
        file: settings.path(Directive::Logfile),
        format: settings.choice(Directive::LogFormat),
        timestamp: settings.choice(Directive::LogTimestampFormat),
        syslog: settings.flag(Directive::SyslogEnabled).then(|| Syslog::new(settings)),
    };
    let level: LogLevel = settings.choice(Directive::Loglevel);
    LOG.level.store(level as u8, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// Sets what the process is from now on.
pub fn set_role(role: Role) {
    LOG.role.store(role as u8, Ordering::Relaxed);
}

impl Log {
    fn logs(&self, level: LogLevel) -> bool {
        level as u8 >= self.level.load(Ordering::Relaxed)
    }

    /// Writes a line, or whatever `is_raw` text there is.
    fn write(&self, level: LogLevel, message: &str, is_raw: bool) {
        let target = self.target.read();
        let role = self.role.load(Ordering::Relaxed);
        let line = match is_raw {
            true => message.to_owned(),
            false => target.line(level, role, message, &Zoned::now()),
        };
        let written = match &target.file {
            // Opened anew for each line, so that the file can be moved away while the server runs.
            Some(path) => File::options()
                .append(true)
                .create(true)
                .open(path)
                .and_then(|mut file| file.write_all(line.as_bytes())),
            None => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush())
            }
        };
        if written.is_err() {
            // Stderr is the last resort; there is nowhere left to say that it failed too.
            let _ = io::stderr().write_all(line.as_bytes());
        }
        if let (Some(syslog), false) = (&target.syslog, is_raw) {
            syslog.send(level, message);
        }
    }
}

/// The level that an event of `tracing` has in Redis' terms.
fn level_of(level: &Level) -> LogLevel {
    match *level {
        Level::ERROR | Level::WARN => LogLevel::Warning,
        Level::INFO => LogLevel::Notice,
        Level::DEBUG => LogLevel::Verbose,
        Level::TRACE => LogLevel::Debug,
    }
}

/// What `tracing` hands its events to.
struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if LOG.logs(level_of(metadata.level())) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        LOG.logs(level_of(metadata.level()))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let levels = [
            (LogLevel::Debug, LevelFilter::TRACE),
            (LogLevel::Verbose, LevelFilter::DEBUG),
            (LogLevel::Notice, LevelFilter::INFO),
            (LogLevel::Warning, LevelFilter::WARN),
        ];
        Some(levels.into_iter().find(|(level, _)| LOG.logs(*level)).map_or(LevelFilter::OFF, |(_, filter)| filter))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let metadata = event.metadata();
        LOG.write(level_of(metadata.level()), &message.0, metadata.target() == RAW);
    }
}

/// Collects an event's message; other fields follow it as `name=value`.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let result = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        debug_assert!(result.is_ok(), "a String takes whatever is written");
    }
}

impl Target {
    fn line(&self, level: LogLevel, role: u8, message: &str, now: &Zoned) -> String {
        let pid = std::process::id();
        let timestamp = self.timestamp(now);
        let role_name = Role::name(role);
        match self.format {
            LogFormat::Legacy => {
                let sign = match level {
                    LogLevel::Debug => '.',
                    LogLevel::Verbose => '-',
                    LogLevel::Notice => '*',
                    LogLevel::Warning | LogLevel::Nothing => '#',
                };
                format!("{pid}:{} {timestamp} {sign} {message}\n", char::from(role))
            }
            LogFormat::Logfmt => {
                let message = message.replace('"', "'").replace(['\r', '\n'], " ");
                let level = level.name();
                format!("pid={pid} role={role_name} timestamp=\"{timestamp}\" level={level} message=\"{message}\"\n")
            }
            LogFormat::Json => {
                let (level, message) = (level.name(), escape_json(message));
                format!(
                    "{{\"pid\":{pid},\"role\":\"{role_name}\",\"timestamp\":\"{timestamp}\",\
                     \"level\":\"{level}\",\"message\":\"{message}\"}}\n"
                )
            }
        }
    }

    fn timestamp(&self, now: &Zoned) -> String {
        match self.timestamp {
            LogTimestampFormat::Legacy => now.strftime("%d %b %Y %H:%M:%S%.3f").to_string(),
            LogTimestampFormat::Iso8601 => now.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
            LogTimestampFormat::Milliseconds => now.timestamp().as_millisecond().to_string(),
        }
    }
}

fn escape_json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' | '\\' => escaped.extend(['\\', char]),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            char if char.is_control() => escaped.push_str(&format!("\\u{:04x}", u32::from(char))),
            char => escaped.push(char),
        }
    }
    escaped
}

/// The system's log, spoken to as RFC 3164 has it.
struct Syslog {
    /// None if the system has no log.
    socket: Option<UnixDatagram>,
    ident: String,
    facility: u8,
}

impl Syslog {
    fn new(settings: &Settings) -> Syslog {
        let connect = || -> io::Result<UnixDatagram> {
            let socket = UnixDatagram::unbound()?;
            socket.connect("/dev/log")?;
            Ok(socket)
        };
        let ident = String::from_utf8_lossy(&settings.string(Directive::SyslogIdent)).into_owned();
        let facility = match settings.choice(Directive::SyslogFacility) {
            SyslogFacility::User => 1,
            // The eight local facilities follow each other.
            local => 16 + (local as u8 - SyslogFacility::Local0 as u8),
        };
        Syslog { socket: connect().ok(), ident, facility }
    }

    fn send(&self, level: LogLevel, message: &str) {
        let severity = match level {
            LogLevel::Debug => 7,
            LogLevel::Verbose => 6,
            LogLevel::Notice => 5,
            LogLevel::Warning | LogLevel::Nothing => 4,
        };
        if let Some(socket) = &self.socket {
            let (pid, time) = (std::process::id(), Zoned::now().strftime("%b %e %H:%M:%S").to_string());
            let line = format!("<{}>{time} {}[{pid}]: {message}", self.facility << 3 | severity, self.ident);
            // The line is in the log of the server already; a system log that is gone takes nothing away from it.
            let _ = socket.send(line.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(format: LogFormat, timestamp: LogTimestampFormat) -> Target {
        Target { file: None, format, timestamp, syslog: None }
    }

    fn line(format: LogFormat, timestamp: LogTimestampFormat, level: LogLevel, message: &str) -> String {
        let now: Zoned = "2026-11-24T02:17:36.196+01:00[+01:00]".parse().unwrap();
        let line = target(format, timestamp).line(level, Role::Primary as u8, message, &now);
        line.replacen(&std::process::id().to_string(), "PID", 1)
    }

    #[test]
    fn lines_as_in_redis() {
        use {LogFormat as F, LogLevel as L, LogTimestampFormat as T};
        let cases = [
            (F::Legacy, T::Legacy, L::Notice, "up", "PID:M 24 Nov 2026 02:17:36.196 * up\n"),
            (F::Legacy, T::Legacy, L::Warning, "up", "PID:M 24 Nov 2026 02:17:36.196 # up\n"),
            (F::Legacy, T::Legacy, L::Verbose, "up", "PID:M 24 Nov 2026 02:17:36.196 - up\n"),
            (F::Legacy, T::Legacy, L::Debug, "up", "PID:M 24 Nov 2026 02:17:36.196 . up\n"),
            (F::Legacy, T::Iso8601, L::Notice, "up", "PID:M 2026-11-24T02:17:36.196+01:00 * up\n"),
            (F::Legacy, T::Milliseconds, L::Notice, "up", "PID:M 1795483056196 * up\n"),
            (
                F::Logfmt,
                T::Legacy,
                L::Warning,
                "a \"b\"",
                "pid=PID role=primary timestamp=\"24 Nov 2026 02:17:36.196\" level=warning message=\"a 'b'\"\n",
            ),
            (
                F::Json,
                T::Iso8601,
                L::Notice,
                "a \"b\"\n\x01",
                "{\"pid\":PID,\"role\":\"primary\",\"timestamp\":\"2026-11-24T02:17:36.196+01:00\",\
                 \"level\":\"notice\",\"message\":\"a \\\"b\\\"\\n\\u0001\"}\n",
            ),
        ];
        for (format, timestamp, level, message, expected) in cases {
            assert_eq!(line(format, timestamp, level, message), expected);
        }
    }

    /// The one test that installs the log, since a process has only one.
    #[test]
    fn events_go_to_the_file_from_the_level_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("redis.log");
        let options = format!("logfile {}", path.display()).into_bytes();
        let arguments = crate::config::Arguments { options, ..Default::default() };
        let (settings, _) = Settings::start(&arguments, io::empty()).unwrap();
        install().unwrap();
        configure(&settings);
        set_role(Role::Primary);
        let emit = || {
            tracing::trace!("debug");
            tracing::debug!("verbose");
            tracing::info!(clients = 3, "notice");
            tracing::warn!("warning");
            tracing::info!(target: RAW, "raw\n");
        };
        let asker = crate::config::Asker { may_set_protected: false, is_loading: false };
        let cases: [(&[u8], &[&str]); 4] = [
            (b"notice", &["* notice clients=3", "# warning", "raw"]),
            (b"debug", &[". debug", "- verbose", "* notice clients=3", "# warning", "raw"]),
            (b"warning", &["# warning"]),
            (b"nothing", &[]),
        ];
        for (level, expected) in cases {
            std::fs::write(&path, "").unwrap();
            let apply = |_| {
                configure(&settings);
                Ok(())
            };
            settings.set([(&b"loglevel"[..], level)].into_iter(), asker, apply).unwrap();
            emit();
            let text = std::fs::read_to_string(&path).unwrap();
            let head = format!("{}:M ", std::process::id());
            // What follows the head and "24 Nov 2026 12:00:00.123 ".
            let lines: Vec<_> =
                text.lines().map(|line| line.strip_prefix(&head).map_or(line, |rest| &rest[25..])).collect();
            assert_eq!(lines, expected);
        }
    }
}
