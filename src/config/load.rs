//! The configuration at start: the lines of redis.conf, of what it includes, of standard input and of the
//! arguments, in that order. A later line wins over an earlier one; `save` points add up.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::directive::RETIRED;
use super::entry::Value;
use super::{Arguments, Directive, Reason, Settings, checks, line};
use crate::REDIS_VERSION;

/// Files that may include each other in a chain.
const INCLUDE_DEPTH_MAX: usize = 16;
/// Files that may be included in all.
const INCLUDED_FILES_MAX: usize = 1000;
/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Where a line of the configuration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// A path, or what else the lines come from.
    pub source: String,
    /// From 1.
    pub line: usize,
    /// The line itself, trimmed.
    pub text: Vec<u8>,
}

/// Why the configuration cannot be used.
#[derive(Debug)]
pub enum LoadError {
    /// A line is wrong.
    Line { location: Location, reason: Reason },
    /// All lines are right, but not what they say together.
    Whole { reason: Reason },
    /// A file cannot be read. Redis logs this one instead of writing it to stderr.
    Unreadable { path: PathBuf, error: io::Error },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = format_args!("\n*** FATAL CONFIG FILE ERROR (Redis {REDIS_VERSION}) ***\n");
        match self {
            LoadError::Line { location: Location { source, line, text }, reason } => {
                let text = String::from_utf8_lossy(text);
                write!(f, "{head}Reading the configuration file, at line {line} of {source}\n>>> '{text}'\n{reason}")
            }
            LoadError::Whole { reason } => write!(f, "{head}{reason}"),
            LoadError::Unreadable { path, error } => {
                let error = checks::error_text(error);
                write!(f, "Fatal error, can't open config file '{}': {error}", path.display())
            }
        }
    }
}

impl std::error::Error for LoadError {}

/// `rename-command from to`; an empty `to` takes the command away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenameCommand {
    pub from: Vec<u8>,
    pub to: Vec<u8>,
    pub location: Location,
}

/// `user name rule ...`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinedUser {
    /// The name and the rules.
    pub words: Vec<Vec<u8>>,
    pub location: Location,
}

/// What the configuration says beside the values of directives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Startup {
    /// In the order of their lines. Whether the commands exist is for their table to say.
    pub renamed_commands: Vec<RenameCommand>,
    /// In the order of their lines.
    pub users: Vec<DefinedUser>,
}

impl Settings {
    /// The settings that the arguments ask for. `stdin` is read if they say so.
    pub fn start(arguments: &Arguments, stdin: impl Read) -> Result<(Settings, Startup), LoadError> {
        let settings = Settings::new();
        let mut loader = Loader::new(&settings);
        if let Some(path) = &arguments.config_file {
            settings.set_config_file(path);
            loader.file(path)?;
        }
        if arguments.reads_stdin {
            tracing::info!("Reading config from stdin");
            let text = read_bounded(stdin).map_err(|error| LoadError::Unreadable { path: "-".into(), error })?;
            loader.text(&text, "standard input")?;
        }
        loader.text(&arguments.options, "the arguments")?;
        loader.check_logfile()?;
        let startup = loader.startup;
        Ok((settings, startup))
    }
}

/// Reads lines into settings.
struct Loader<'a> {
    settings: &'a Settings,
    startup: Startup,
    /// Whether a `save` line was seen: the first one replaces the default, the others add to it.
    has_save: bool,
    /// The files that include the one being read, itself last.
    including: Vec<PathBuf>,
    files: usize,
}

impl<'a> Loader<'a> {
    fn new(settings: &'a Settings) -> Loader<'a> {
        Loader { settings, startup: Startup::default(), has_save: false, including: Vec::new(), files: 0 }
    }

    fn file(&mut self, path: &Path) -> Result<(), LoadError> {
        let unreadable = |error| LoadError::Unreadable { path: path.to_owned(), error };
        let text = File::open(path).and_then(read_bounded).map_err(unreadable)?;
        self.including.push(path.to_owned());
        self.text(&text, &path.to_string_lossy())?;
        self.including.pop();
        Ok(())
    }

    fn text(&mut self, text: &[u8], source: &str) -> Result<(), LoadError> {
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line::trim(line);
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let location = || Location { source: source.to_owned(), line: index + 1, text: line.to_owned() };
            self.line(line, location).map_err(|problem| match problem {
                Problem::Here(reason) => LoadError::Line { location: location(), reason },
                Problem::Elsewhere(error) => *error,
            })?;
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], location: impl Fn() -> Location) -> Result<(), Problem> {
        let words = line::split(line).ok_or("Unbalanced quotes in configuration line")?;
        let Some((name, arguments)) = words.split_first() else { return Ok(()) };
        if let Some((directive, _)) = Directive::find(name) {
            return Ok(self.directive(directive, arguments)?);
        }
        match (name.to_ascii_lowercase().as_slice(), arguments) {
            (b"include", [pattern]) => self.include(pattern),
            (b"rename-command", [from, to]) => {
                let rename = RenameCommand { from: from.clone(), to: to.clone(), location: location() };
                self.startup.renamed_commands.push(rename);
                Ok(())
            }
            (b"user", [_, ..]) => {
                self.startup.users.push(DefinedUser { words: arguments.to_vec(), location: location() });
                Ok(())
            }
            (b"loadmodule", [_, ..]) => Err("modules cannot be loaded".into()),
            (b"sentinel", [_, ..]) => Err("sentinel directive while not in sentinel mode".into()),
            (name, [_]) if RETIRED.iter().any(|retired| retired.as_bytes() == name) => Ok(()),
            (name, []) if name.contains(&b'.') => Err("Module config specified without value".into()),
            (name, _) if name.contains(&b'.') => Err("modules cannot be loaded, nor configured".into()),
            _ => Err("Bad directive or wrong number of arguments".into()),
        }
    }

    fn directive(&mut self, directive: Directive, arguments: &[Vec<u8>]) -> Result<(), Reason> {
        let entry = directive.entry();
        let split_again;
        // One quoted argument may hold all the arguments of a directive that takes several.
        let arguments = match arguments {
            [argument] if entry.takes_many() && !argument.is_empty() => {
                split_again = line::split(argument).ok_or("Unbalanced quotes in configuration line")?;
                &split_again
            }
            _ => arguments,
        };
        let current = self.settings.load(directive);
        let mut value = entry.parse(arguments, &current)?;
        if directive == Directive::Save {
            if let (Value::List(before), Value::List(added)) = (&current, &value)
                && self.has_save
                && !added.is_empty()
            {
                value = Value::List([&before[..], &added[..]].concat().into());
            }
            self.has_save = true;
        }
        self.settings.store(directive, value);
        Ok(())
    }

    /// Reads the files that `pattern` names. A pattern with wildcards may match none.
    fn include(&mut self, pattern: &[u8]) -> Result<(), Problem> {
        if self.including.len() > INCLUDE_DEPTH_MAX {
            return Err("files include each other too deeply".into());
        }
        let path = self.settings.resolve(OsStr::from_bytes(pattern).as_ref());
        for path in expand(&path)? {
            self.files += 1;
            if self.files > INCLUDED_FILES_MAX {
                return Err("too many files are included".into());
            }
            if self.including.contains(&path) {
                return Err("the file includes itself".into());
            }
            self.file(&path).map_err(|error| Problem::Elsewhere(Box::new(error)))?;
        }
        Ok(())
    }

    /// Sees to it that the log can be written before anything is logged.
    fn check_logfile(&self) -> Result<(), LoadError> {
        let Some(path) = self.settings.path(Directive::Logfile) else { return Ok(()) };
        match File::options().append(true).create(true).open(path) {
            Ok(_) => Ok(()),
            Err(error) => {
                let reason = format!("Can't open the log file: {}", checks::error_text(&error)).into();
                Err(LoadError::Whole { reason })
            }
        }
    }
}

/// What is wrong with a line: itself, or something in a file that it includes.
enum Problem {
    Here(Reason),
    Elsewhere(Box<LoadError>),
}

impl From<Reason> for Problem {
    fn from(reason: Reason) -> Problem {
        Problem::Here(reason)
    }
}

impl From<&'static str> for Problem {
    fn from(reason: &'static str) -> Problem {
        Problem::Here(reason.into())
    }
}

/// The files that `path` names, in the order of their names if it has wildcards.
fn expand(path: &Path) -> Result<BTreeSet<PathBuf>, Reason> {
    let bytes = path.as_os_str().as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[')) {
        return Ok(BTreeSet::from([path.to_owned()]));
    }
    let mut found = BTreeSet::from([PathBuf::new()]);
    for component in path.components() {
        let component = component.as_os_str();
        let pattern = component.as_bytes();
        let is_pattern = pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['));
        let directories = std::mem::take(&mut found);
        for directory in directories {
            if !is_pattern {
                found.insert(directory.join(component));
                continue;
            }
            // A directory that is missing or cannot be listed holds no match.
            let Ok(entries) = std::fs::read_dir(&directory) else { continue };
            for name in entries.flatten().map(|entry| entry.file_name()) {
                let hides = name.as_bytes().starts_with(b".") && !pattern.starts_with(b".");
                if !hides && crate::glob::matches(pattern, name.as_bytes(), false) {
                    found.insert(directory.join(name));
                }
            }
            if found.len() > INCLUDED_FILES_MAX {
                return Err("too many files are included".into());
            }
        }
    }
    found.retain(|path| path.exists());
    Ok(found)
}

fn read_bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    source.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "File too large"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load(text: &[u8]) -> Result<(Settings, Startup), LoadError> {
        Settings::start(&Arguments { config_file: None, reads_stdin: true, options: Vec::new() }, text)
    }

    fn get(settings: &Settings, name: &str) -> String {
        String::from_utf8(settings.get(Directive::find(name.as_bytes()).unwrap().0)).unwrap()
    }

    #[test]
    fn lines_set_directives_and_later_ones_win() {
        let defaults = "3600 1 300 100 60 10000";
        let cases = [
            ("", "save", defaults),
            ("# port 1\n\n  \t\r\nPORT 7000\r\nport 7001", "port", "7001"),
            ("save 900 1\nsave 300 10", "save", "900 1 300 10"),
            ("save 900 1\nsave \"\"\nsave 5 5", "save", "5 5"),
            ("save 900 1\nsave ''", "save", ""),
            ("save \"900 1 300 10\"", "save", "900 1 300 10"),
            ("bind 127.0.0.1 ::1\nbind 10.0.0.1", "bind", "10.0.0.1"),
            ("bind \"\"", "bind", ""),
            ("hash-max-listpack-entries 20\nhash-max-ziplist-entries 21", "hash-max-listpack-entries", "21"),
            (
                "client-output-buffer-limit replica 1 2 3\nclient-output-buffer-limit pubsub 4 5 6",
                "client-output-buffer-limit",
                "normal 0 0 0 slave 1 2 3 pubsub 4 5 6",
            ),
            ("requirepass \"a b\\x41\\n\"", "requirepass", "a bA\n"),
            ("requirepass 'it\\'s'", "requirepass", "it's"),
            ("lua-replicate-commands yes\ntimeout 3", "timeout", "3"),
        ];
        for (text, name, value) in cases {
            let (settings, _) = load(text.as_bytes()).unwrap();
            assert_eq!(get(&settings, name), value, "{text:?}");
        }
    }

    #[test]
    fn wrong_lines_are_named_with_their_reason() {
        let cases = [
            ("nope 1", "Bad directive or wrong number of arguments"),
            ("port", "wrong number of arguments"),
            ("port 1 2", "wrong number of arguments"),
            ("port 'a", "Unbalanced quotes in configuration line"),
            ("save \"'\"", "Unbalanced quotes in configuration line"),
            ("port abc", "argument couldn't be parsed into an integer"),
            ("include", "Bad directive or wrong number of arguments"),
            ("loadmodule /x.so", "modules cannot be loaded"),
            ("sentinel monitor x", "sentinel directive while not in sentinel mode"),
            ("search.workers", "Module config specified without value"),
            (
                "shutdown-on-sigterm",
                "argument(s) must be one of the following: default, save, nosave, now, force, safe, failover",
            ),
        ];
        for (text, expected) in cases {
            match load(format!("timeout 1\n\n{text}\nport x").as_bytes()) {
                Err(LoadError::Line { location, reason }) => {
                    assert_eq!((reason.as_ref(), location.line), (expected, 3), "{text:?}");
                    assert_eq!(location.text, text.as_bytes());
                }
                other => panic!("{text:?}: {:?}", other.map(|(_, startup)| startup)),
            }
        }
    }

    #[test]
    fn errors_print_as_in_redis() {
        let arguments = Arguments { options: b"timeout \"1\" \nport \"abc\" ".to_vec(), ..Arguments::default() };
        let error = Settings::start(&arguments, io::empty()).err().unwrap();
        assert_eq!(
            error.to_string(),
            "\n*** FATAL CONFIG FILE ERROR (Redis 7.4.0) ***\n\
             Reading the configuration file, at line 2 of the arguments\n\
             >>> 'port \"abc\"'\n\
             argument couldn't be parsed into an integer"
        );
        let missing = Arguments { config_file: Some("/nonexistent".into()), ..Arguments::default() };
        let error = Settings::start(&missing, io::empty()).err().unwrap();
        assert_eq!(error.to_string(), "Fatal error, can't open config file '/nonexistent': No such file or directory");
    }

    #[test]
    fn arguments_win_over_standard_input_and_that_over_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("redis.conf");
        std::fs::write(&path, "port 1\ntimeout 1\nmaxclients 1").unwrap();
        let options = b"port \"3\" ".to_vec();
        let arguments = Arguments { config_file: Some(path.clone()), reads_stdin: true, options };
        let (settings, _) = Settings::start(&arguments, &b"port 2\ntimeout 2"[..]).unwrap();
        let values =
            [Directive::Port, Directive::Timeout, Directive::Maxclients].map(|directive| settings.int(directive));
        assert_eq!(values, [3, 2, 1]);
        assert_eq!(settings.config_file(), Some(path.as_path()));
    }

    #[test]
    fn renamed_commands_are_passed_on() {
        let (_, startup) = load(b"rename-command FLUSHALL \"\"\nrename-command get fetch").unwrap();
        let renamed: Vec<_> =
            startup.renamed_commands.iter().map(|rename| (&rename.from[..], &rename.to[..])).collect();
        assert_eq!(renamed, [(&b"FLUSHALL"[..], &b""[..]), (b"get", b"fetch")]);
        assert_eq!(startup.renamed_commands[1].location.line, 2);
    }

    /// Writes files into a new directory, and loads `main` with the directory as `dir`.
    fn load_files(main: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Result<(Settings, Startup), LoadError>) {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let result = load(format!("dir {}\n{main}", directory.path().display()).as_bytes());
        (directory, result)
    }

    #[test]
    fn files_include_others() {
        let files = [
            ("conf.d/b.conf", "port 2\ntimeout 2"),
            ("conf.d/a.conf", "port 1\ninclude more.conf"),
            ("conf.d/.hidden.conf", "nonsense"),
            ("conf.d/readme", "nonsense"),
            ("more.conf", "maxclients 77"),
        ];
        let (_directory, result) = load_files("include conf.d/*.conf\ninclude none/*.conf\ntimeout 3", &files);
        let (settings, _) = result.unwrap();
        let values =
            [Directive::Port, Directive::Timeout, Directive::Maxclients].map(|directive| settings.int(directive));
        assert_eq!(values, [2, 3, 77]);
    }

    #[test]
    fn includes_that_cannot_be_done() {
        let loops = [("a.conf", "include b.conf"), ("b.conf", "include a.conf")];
        let (_directory, result) = load_files("include a.conf", &loops);
        assert!(matches!(result, Err(LoadError::Line { reason, .. }) if reason == "the file includes itself"));

        let chain: Vec<_> = (0..30).map(|n| (format!("{n}.conf"), format!("include {}.conf", n + 1))).collect();
        let chain: Vec<_> = chain.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let (_directory, result) = load_files("include 0.conf", &chain);
        assert!(
            matches!(result, Err(LoadError::Line { reason, .. }) if reason == "files include each other too deeply")
        );

        let doubling: Vec<_> = (0..15)
            .map(|n| (format!("{n}.conf"), format!("include {}.conf\n", n + 1).repeat(10)))
            .chain([("15.conf".to_owned(), String::new())])
            .collect();
        let doubling: Vec<_> = doubling.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let (_directory, result) = load_files("include 0.conf", &doubling);
        assert!(matches!(result, Err(LoadError::Line { reason, .. }) if reason == "too many files are included"));

        let (_directory, result) = load_files("include missing.conf", &[]);
        assert!(matches!(result, Err(LoadError::Unreadable { .. })));
        assert!(matches!(load(b"include /dev/zero"), Err(LoadError::Unreadable { .. })));
    }

    proptest! {
        #[test]
        fn rubbish_is_refused_without_a_panic(text in prop::collection::vec(any::<u8>(), 0..300)) {
            // An include could read whatever file the rubbish names.
            prop_assume!(!text.to_ascii_lowercase().windows(7).any(|word| word == b"include"));
            let _ = load(&text);
        }

        #[test]
        fn directives_with_rubbish_values_are_set_or_refused(
            directive in prop::sample::select(Directive::ALL),
            values in prop::collection::vec("[-+0-9a-z%.: '\"\\\\]{0,12}", 0..5),
        ) {
            prop_assume!(directive != Directive::Logfile);
            let text = format!("{} {}", directive.name(), values.join(" "));
            if let Ok((settings, _)) = load(text.as_bytes()) {
                let rewritten = settings.rewrite(b"", crate::config::Rewrite::Changed, &[]);
                let (reread, _) = load(&rewritten).unwrap();
                prop_assert_eq!(settings.load(directive), reread.load(directive));
            }
        }
    }
}
