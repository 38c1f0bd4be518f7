//! The values of all directives, as all threads read them. Numbers, flags and words are one relaxed atomic load
//! away; texts and lists lie behind a lock.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::Directive;
use super::choices::{Choice, ShutdownFlags};
use super::entry::{Kind, Value};
use super::keyspace_events::EventClasses;
use super::output_limits::{ClientClass, OutputLimit, OutputLimits};

/// The values of all directives.
pub struct Settings {
    numbers: [AtomicI64; Directive::COUNT],
    /// Hard bytes, soft bytes and soft seconds of each class of clients.
    output_limits: [[AtomicI64; 3]; 3],
    /// Texts and lists; an empty text for directives of other kinds.
    others: RwLock<Vec<Value>>,
    /// Held while CONFIG SET changes values, so that one change is made at a time.
    pub(super) changing: Mutex<()>,
    /// The absolute path of the configuration file, if there is one.
    config_file: OnceLock<PathBuf>,
}

/// A save point: save after `seconds` if there were `changes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    pub seconds: u64,
    pub changes: u64,
}

impl Settings {
    /// Every directive at its default, and `dir` at the working directory.
    pub fn new() -> Settings {
        let settings = Settings {
            numbers: std::array::from_fn(|_| AtomicI64::new(0)),
            output_limits: std::array::from_fn(|_| std::array::from_fn(|_| AtomicI64::new(0))),
            others: RwLock::new(vec![Value::Text([].into()); Directive::COUNT]),
            changing: Mutex::new(()),
            config_file: OnceLock::new(),
        };
        for directive in Directive::ALL {
            settings.store(*directive, directive.entry().default_value());
        }
        // A process whose working directory is gone has none; relative paths will fail by themselves.
        if let Ok(directory) = std::env::current_dir() {
            settings.store(Directive::Dir, Value::Text(directive_path(directory).into()));
        }
        settings
    }

    /// An integer, a flag as 0 or 1, or the number of a word.
    #[inline]
    pub fn int(&self, directive: Directive) -> i64 {
        self.numbers[directive as usize].load(Ordering::Relaxed)
    }

    /// A directive of yes or no.
    #[inline]
    pub fn flag(&self, directive: Directive) -> bool {
        self.int(directive) != 0
    }

    /// A directive of one of a few words.
    #[inline]
    pub fn choice<T: Choice>(&self, directive: Directive) -> T {
        debug_assert!(matches!(directive.entry().kind, Kind::Choice { names, .. } if std::ptr::eq(names, T::NAMES)
            || names == T::NAMES));
        T::from_number(self.int(directive))
    }

    /// The word that a directive of a few words is set to.
    pub fn enum_name(&self, directive: Directive) -> &'static str {
        let number = self.int(directive);
        match directive.entry().kind {
            Kind::Choice { names, .. } => names.iter().find(|(_, known)| *known == number).map_or("", |(name, _)| name),
            _ => "",
        }
    }

    /// A text, as bytes.
    pub fn string(&self, directive: Directive) -> Arc<[u8]> {
        match &self.others.read()[directive as usize] {
            Value::Text(text) => Arc::clone(text),
            _ => [].into(),
        }
    }

    /// A text that is a path, made absolute by `dir`; `None` if it is empty.
    pub fn path(&self, directive: Directive) -> Option<PathBuf> {
        let path = self.string(directive);
        (!path.is_empty()).then(|| self.resolve(OsStr::from_bytes(&path).as_ref()))
    }

    /// `path`, made absolute by `dir`.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        Path::new(OsStr::from_bytes(&self.string(Directive::Dir))).join(path)
    }

    /// `metrics-queues`: patterns, and the databases that they are for. `db3=` in front names one; `db0=` as well, for what would
    /// be taken for another one.
    pub fn queues(&self) -> Vec<(usize, Vec<u8>)> {
        let split = |word: &Vec<u8>| {
            let rest = word.strip_prefix(b"db")?;
            let end = rest.iter().position(|byte| *byte == b'=')?;
            let number = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
            Some((number, rest[end + 1..].to_vec()))
        };
        let words = self.list(Directive::MetricsQueues);
        words.iter().map(|word| split(word).unwrap_or_else(|| (0, word.clone()))).collect()
    }

    /// A list, as texts.
    pub fn words(&self, directive: Directive) -> Vec<String> {
        self.list(directive).iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    fn list(&self, directive: Directive) -> Arc<[Vec<u8>]> {
        match &self.others.read()[directive as usize] {
            Value::List(words) => Arc::clone(words),
            _ => [].into(),
        }
    }

    /// `client-output-buffer-limit` of a class of clients.
    #[inline]
    pub fn output_limit(&self, class: ClientClass) -> OutputLimit {
        let [hard, soft, seconds] = &self.output_limits[class as usize];
        OutputLimit {
            hard_bytes: hard.load(Ordering::Relaxed) as u64,
            soft_bytes: soft.load(Ordering::Relaxed) as u64,
            soft_seconds: seconds.load(Ordering::Relaxed) as u64,
        }
    }

    /// `notify-keyspace-events`.
    #[inline]
    pub fn keyspace_events(&self) -> EventClasses {
        EventClasses::from_bits(self.int(Directive::NotifyKeyspaceEvents) as u32)
    }

    /// `shutdown-on-sigint` or `shutdown-on-sigterm`.
    pub fn shutdown_flags(&self, directive: Directive) -> ShutdownFlags {
        ShutdownFlags::from_bits(self.int(directive))
    }

    /// `save`.
    pub fn save_points(&self) -> Vec<SavePoint> {
        let numbers: Vec<u64> = self.numbers_of(Directive::Save);
        numbers.chunks_exact(2).map(|pair| SavePoint { seconds: pair[0], changes: pair[1] }).collect()
    }

    /// `latency-tracking-info-percentiles`.
    pub fn percentiles(&self) -> Vec<f64> {
        self.numbers_of(Directive::LatencyTrackingInfoPercentiles)
    }

    /// `oom-score-adj-values`: of a primary, a replica and a background child.
    pub fn oom_score_adj_values(&self) -> Vec<i32> {
        self.numbers_of(Directive::OomScoreAdjValues)
    }

    /// A list whose words have been checked to be numbers.
    fn numbers_of<T: std::str::FromStr>(&self, directive: Directive) -> Vec<T> {
        self.words(directive).iter().filter_map(|word| word.parse().ok()).collect()
    }

    /// `maxmemory-clients` in bytes: a share of `maxmemory`, if it is given as one. 0 is no limit.
    pub fn maxmemory_clients(&self) -> u64 {
        match self.int(Directive::MaxmemoryClients) {
            percent @ ..0 => {
                let share = i128::from(self.int(Directive::Maxmemory)) * i128::from(-percent) / 100;
                share as u64
            }
            bytes => bytes as u64,
        }
    }

    /// The absolute path of the configuration file.
    pub fn config_file(&self) -> Option<&Path> {
        self.config_file.get().map(PathBuf::as_path)
    }

    /// Lowers `maxclients` to what the system lets us serve.
    pub fn reduce_maxclients(&self, clients: u64) {
        self.store(Directive::Maxclients, Value::Integer(clients as i64));
    }

    /// Notes which server is followed, as `CONFIG GET` and `CONFIG REWRITE` tell it.
    pub fn note_primary(&self, primary: Option<(&str, u16)>) {
        let words = primary.map(|(host, port)| vec![host.as_bytes().to_vec(), port.to_string().into_bytes()]);
        self.store(Directive::Replicaof, Value::List(words.unwrap_or_default().into()));
    }

    /// Keeps the first path that it is given.
    pub(super) fn set_config_file(&self, path: &Path) {
        self.config_file.get_or_init(|| path.to_owned());
    }

    /// The directive's value.
    pub(super) fn load(&self, directive: Directive) -> Value {
        match directive.entry().kind {
            Kind::Text { .. } | Kind::Directory | Kind::List { .. } => self.others.read()[directive as usize].clone(),
            Kind::OutputLimits => {
                Value::OutputLimits(OutputLimits(ClientClass::ALL.map(|class| self.output_limit(class))))
            }
            _ => Value::Integer(self.int(directive)),
        }
    }

    /// Sets the directive to a value of its kind.
    pub(super) fn store(&self, directive: Directive, value: Value) {
        match value {
            Value::Integer(number) => self.numbers[directive as usize].store(number, Ordering::Relaxed),
            Value::OutputLimits(OutputLimits(limits)) => {
                for (atomics, limit) in self.output_limits.iter().zip(limits) {
                    let numbers = [limit.hard_bytes, limit.soft_bytes, limit.soft_seconds];
                    for (atomic, number) in atomics.iter().zip(numbers) {
                        atomic.store(number as i64, Ordering::Relaxed);
                    }
                }
            }
            other @ (Value::Text(_) | Value::List(_)) => self.others.write()[directive as usize] = other,
        }
    }

    /// A directive with a value that this server cannot serve with, and why.
    pub fn unsupported(&self) -> Option<(&'static str, &'static str)> {
        Directive::ALL.iter().find_map(|directive| {
            let entry = directive.entry();
            Some((entry.name, entry.refusal(&self.load(*directive))?))
        })
    }

    /// Directives that were given a value of their own although they have no effect here, and why they have none.
    pub fn without_effect(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        Directive::ALL.iter().filter_map(|directive| {
            let entry = directive.entry();
            let reason = entry.without_effect?;
            (self.load(*directive) != entry.default_value()).then_some((entry.name, reason))
        })
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings::new()
    }
}

fn directive_path(path: PathBuf) -> Vec<u8> {
    path.into_os_string().into_vec()
}
