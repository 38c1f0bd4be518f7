//! CONFIG GET and CONFIG SET on the settings: which directives a pattern finds, and changes that happen wholly or
//! not at all.

use std::fmt;

use super::entry::{Entry, Value};
use super::{Directive, Reason, Settings};
use crate::glob;

/// Who asks for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Whether it may set protected directives, as `enable-protected-configs` says of it.
    pub may_set_protected: bool,
    /// Whether the data set is being loaded.
    pub is_loading: bool,
}

/// Why CONFIG SET changed nothing. Prints as the error's text after its code.
#[derive(Debug, PartialEq)]
pub enum SetError {
    Unknown {
        name: Vec<u8>,
    },
    /// Some directive cannot be set while the data set is loaded; the reply is the one that any command gets then.
    Loading,
    Failed {
        name: Vec<u8>,
        reason: Reason,
    },
}

impl SetError {
    /// The text of the error reply, without its code. A name is quoted as far as its first zero byte.
    pub fn text(&self) -> Vec<u8> {
        let until_zero = |name: &[u8]| name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        match self {
            SetError::Unknown { name } => {
                [b"Unknown option or number of arguments for CONFIG SET - '", &*until_zero(name), b"'"].concat()
            }
            SetError::Loading => b"Redis is loading the dataset in memory".to_vec(),
            SetError::Failed { name, reason } => {
                let reason = reason.to_string();
                let start = b"CONFIG SET failed (possibly related to argument '";
                [start.as_slice(), &until_zero(name), b"') - ", reason.as_bytes()].concat()
            }
        }
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text()))
    }
}

impl std::error::Error for SetError {}

/// A directive that is about to change.
struct Change {
    directive: Directive,
    /// The name it was asked for by, in lower case.
    name: &'static str,
    old: Value,
    new: Value,
}

impl Settings {
    /// The value of a directive as CONFIG GET prints it.
    pub fn get(&self, directive: Directive) -> Vec<u8> {
        directive.entry().format(&self.load(directive))
    }

    /// What CONFIG GET answers: names and values, each name once. A name without wildcards is answered as it was
    /// written, and finds hidden directives.
    pub fn find<'a>(&self, patterns: impl Iterator<Item = &'a [u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found: Vec<(Vec<u8>, Directive)> = Vec::new();
        let mut add = |name: &[u8], directive| {
            if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                found.push((name.to_vec(), directive));
            }
        };
        for pattern in patterns {
            if !pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[')) {
                if let Some((directive, _)) = Directive::find(pattern) {
                    add(pattern, directive);
                }
                continue;
            }
            for (directive, name) in Directive::names() {
                if !directive.entry().hidden && glob::matches(pattern, name.as_bytes(), true) {
                    add(name.as_bytes(), directive);
                }
            }
        }
        found.into_iter().map(|(name, directive)| (name, self.get(directive))).collect()
    }

    /// Sets directives, all or none: every value is read and checked first; then all are stored, and `apply` is
    /// called for each directive whose value is another now, or names what may be. If `apply` refuses one, all old values are stored
    /// again, and `apply` is called again for those that it has seen.
    pub fn set<'a>(
        &self,
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        asker: Asker,
        mut apply: impl FnMut(Directive) -> Result<(), String>,
    ) -> Result<(), SetError> {
        let _one_at_a_time = self.changing.lock();
        let wanted = find_all(self, pairs, asker)?;
        let mut changes = Vec::with_capacity(wanted.len());
        for (directive, name, text) in wanted {
            let old = self.load(directive);
            let failed = |reason| SetError::Failed { name: name.into(), reason };
            let new = parse_argument(directive.entry(), text, &old).map_err(failed)?;
            // By another of its names it may be set again.
            changes.retain(|change: &Change| change.directive != directive);
            changes.push(Change { directive, name, old, new });
        }
        changes.retain(|change| change.old != change.new || change.directive.entry().names_content);
        for change in &changes {
            self.store(change.directive, change.new.clone());
        }
        for (index, change) in changes.iter().enumerate() {
            if let Err(reason) = apply(change.directive) {
                tracing::warn!(
                    "Failed applying new configuration. Possibly related to new {} setting. Restoring previous settings.",
                    change.name
                );
                self.restore(&changes, index, &mut apply);
                return Err(SetError::Failed { name: change.name.into(), reason: reason.into() });
            }
        }
        Ok(())
    }

    /// Stores the old values again, and applies those of the directives up to `last_applied`.
    fn restore(
        &self,
        changes: &[Change],
        last_applied: usize,
        apply: &mut impl FnMut(Directive) -> Result<(), String>,
    ) {
        for change in changes {
            self.store(change.directive, change.old.clone());
        }
        for change in &changes[..=last_applied] {
            if let Err(reason) = apply(change.directive) {
                tracing::warn!("Failed applying restored failed CONFIG SET command: {reason}");
            }
        }
    }
}

/// A directive that is to be set, the name it was asked for by, in lower case, and its new value.
type Wanted<'a> = (Directive, &'static str, &'a [u8]);

/// The directives that are to be set, if all of them may be.
fn find_all<'a>(
    settings: &Settings,
    pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    asker: Asker,
) -> Result<Vec<Wanted<'a>>, SetError> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for (name, text) in pairs {
        let failed = |reason: &'static str| SetError::Failed { name: name.into(), reason: reason.into() };
        let Some((directive, lower_case)) = Directive::find(name) else {
            return Err(SetError::Unknown { name: name.into() });
        };
        let entry = directive.entry();
        if entry.immutable {
            // To be told what it is already harms nobody, and lets clients write back all that they read.
            let current = settings.load(directive);
            if parse_argument(entry, text, &current).is_ok_and(|value| value == current) {
                continue;
            }
            return Err(failed("can't set immutable config"));
        }
        if entry.protected && !asker.may_set_protected {
            return Err(failed("can't set protected config"));
        }
        if entry.denied_while_loading && asker.is_loading {
            return Err(SetError::Loading);
        }
        if wanted.iter().any(|(_, known, _)| *known == lower_case) {
            return Err(failed("duplicate parameter"));
        }
        wanted.push((directive, lower_case, text));
    }
    Ok(wanted)
}

/// Reads the one argument of CONFIG SET: directives that take many have them in it, separated by single spaces.
fn parse_argument(entry: &Entry, text: &[u8], current: &Value) -> Result<Value, Reason> {
    let value = if entry.takes_many() {
        let words: Vec<_> = text.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect();
        entry.parse(&words, current)?
    } else {
        entry.parse(&[text.to_vec()], current)?
    };
    entry.refusal(&value).map_or(Ok(value), |reason| Err(reason.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANYBODY: Asker = Asker { may_set_protected: false, is_loading: false };

    fn set(settings: &Settings, pairs: &[&str]) -> Result<(), String> {
        set_as(settings, ANYBODY, pairs, |_| Ok(()))
    }

    fn set_as(
        settings: &Settings,
        asker: Asker,
        pairs: &[&str],
        apply: impl FnMut(Directive) -> Result<(), String>,
    ) -> Result<(), String> {
        let pairs = pairs.chunks_exact(2).map(|pair| (pair[0].as_bytes(), pair[1].as_bytes()));
        settings.set(pairs, asker, apply).map_err(|error| error.to_string())
    }

    fn find(settings: &Settings, patterns: &[&str]) -> Vec<(String, String)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let found = settings.find(patterns.iter().map(|pattern| pattern.as_bytes()));
        found.into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn errors_as_in_redis() {
        let settings = Settings::new();
        let failed = |name: &str, reason: &str| {
            Err(format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}"))
        };
        let unknown = || Err("Unknown option or number of arguments for CONFIG SET - 'nope'".to_owned());
        let cases: &[(&[&str], Result<(), String>)] = &[
            (&["MAXMEMORY", "x"], failed("maxmemory", "argument must be a memory value")),
            (&["Slave-Priority", "x"], failed("slave-priority", "argument couldn't be parsed into an integer")),
            (&["nope", "1"], unknown()),
            (&["maxmemory", "1", "nope", "2", "daemonize", "yes"], unknown()),
            (&["daemonize", "yes", "nope", "2"], failed("daemonize", "can't set immutable config")),
            (&["dir", "/"], failed("dir", "can't set protected config")),
            (&["maxmemory", "1", "MAXMEMORY", "2"], failed("MAXMEMORY", "duplicate parameter")),
            (&["replica-priority", "1", "Replica-Priority", "2"], failed("Replica-Priority", "duplicate parameter")),
            (
                &["maxmemory", "1", "maxmemory-clients", "200%"],
                failed("maxmemory-clients", "percentage argument must be less or equal to 100"),
            ),
            (&["save", "1 2  3 4"], failed("save", "Invalid save parameters")),
        ];
        for (pairs, expected) in cases {
            assert_eq!(set(&settings, pairs), *expected, "{pairs:?}");
            assert_eq!(settings.int(Directive::Maxmemory), 0, "{pairs:?}");
        }
        let loading = Asker { may_set_protected: true, is_loading: true };
        assert_eq!(set_as(&settings, loading, &["dir", "/"], |_| Ok(())), Err(SetError::Loading.to_string()));
        assert_eq!(set_as(&settings, loading, &["loglevel", "debug"], |_| Ok(())), Ok(()));
    }

    #[test]
    fn the_last_of_several_names_counts() {
        let settings = Settings::new();
        for (pairs, expected) in [
            (["replica-priority", "1", "slave-priority", "2"], 2),
            (["slave-priority", "3", "replica-priority", "2"], 2),
        ] {
            assert_eq!(set(&settings, &pairs), Ok(()));
            assert_eq!(settings.int(Directive::ReplicaPriority), expected);
        }
    }

    #[test]
    fn several_at_once() {
        let settings = Settings::new();
        let mut applied = Vec::new();
        let pairs =
            ["maxmemory", "10000001", "port", "6379", "save", "3000 5", "client-output-buffer-limit", "normal 1 2 3"];
        set_as(&settings, ANYBODY, &pairs, |directive| {
            applied.push(directive);
            Ok(())
        })
        .unwrap();
        // The port did not change.
        assert_eq!(applied, [Directive::Maxmemory, Directive::Save, Directive::ClientOutputBufferLimit]);
        assert_eq!(settings.int(Directive::Maxmemory), 10_000_001);
        assert_eq!(settings.save_points(), [crate::config::SavePoint { seconds: 3000, changes: 5 }]);
        assert_eq!(settings.output_limit(crate::config::ClientClass::Normal).soft_bytes, 2);
        assert_eq!(settings.output_limit(crate::config::ClientClass::Pubsub).hard_bytes, 32 << 20);
    }

    #[test]
    fn what_cannot_be_applied_is_undone() {
        let settings = Settings::new();
        let mut applied = Vec::new();
        let result = set_as(&settings, ANYBODY, &["maxmemory", "1", "port", "7", "timeout", "9"], |directive| {
            applied.push((directive, settings.int(directive)));
            if (directive, settings.int(directive)) == (Directive::Port, 7) {
                Err("Unable to listen".into())
            } else {
                Ok(())
            }
        });
        assert_eq!(result, Err("CONFIG SET failed (possibly related to argument 'port') - Unable to listen".into()));
        let maxmemory = Directive::Maxmemory;
        assert_eq!(applied, [(maxmemory, 1), (Directive::Port, 7), (maxmemory, 0), (Directive::Port, 6379)]);
        assert_eq!(settings.int(Directive::Timeout), 0);
    }

    #[test]
    fn directories_are_kept_absolute() {
        let settings = Settings::new();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        std::fs::create_dir(path.join("sub")).unwrap();
        let owner = Asker { may_set_protected: true, is_loading: false };
        set_as(&settings, owner, &["dir", path.to_str().unwrap()], |_| Ok(())).unwrap();
        set_as(&settings, owner, &["dir", "./sub/"], |_| Ok(())).unwrap();
        assert_eq!(settings.path(Directive::Dir), Some(path.join("sub")));
        assert_eq!(
            set_as(&settings, owner, &["dir", "gone"], |_| Ok(())),
            Err("CONFIG SET failed (possibly related to argument 'dir') - No such file or directory".into())
        );
    }

    #[test]
    fn patterns_find_names_and_aliases_once() {
        let settings = Settings::new();
        let found = find(&settings, &["maxmemory", "MAXMEMORY*", "*of"]);
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "maxmemory",
            "maxmemory-clients",
            "maxmemory-policy",
            "maxmemory-samples",
            "maxmemory-eviction-tenacity",
            "replicaof",
            "slaveof",
        ];
        assert_eq!(names, expected);
        assert_eq!(find(&settings, &["MaxMemory"]), [("MaxMemory".to_owned(), "0".to_owned())]);
        assert_eq!(find(&settings, &["nope", "nope*"]), []);
    }

    #[test]
    fn hidden_directives_answer_to_their_whole_name() {
        let settings = Settings::new();
        assert!(!find(&settings, &["*"]).iter().any(|(name, _)| name == "key-load-delay"));
        assert_eq!(find(&settings, &["key-load-delay"]).len(), 1);
    }
}
