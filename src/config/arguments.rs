//! The arguments of the server, in Redis' grammar: `radish [file | -] [--directive value ...] [-]`.
//!
//! Every argument that starts with `--` where no value is due begins a line of configuration; the arguments after
//! it are its values, quoted. So a first value may itself start with `--`, and `"--maxmemory 700mb"` is a whole line
//! in one argument. `--save` alone means `--save ""`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::line;
use crate::REDIS_VERSION;

/// What the configuration is to be read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Absolute.
    pub config_file: Option<PathBuf>,
    pub reads_stdin: bool,
    /// Lines that stand for the options, to be read after the file and standard input.
    pub options: Vec<u8>,
}

/// What the process was started for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    Serve(Arguments),
    Version,
    Help,
    CheckSystem,
    /// Something that Radish does not do: what to say about it.
    Refused(&'static str),
}

impl Invocation {
    /// Reads the arguments that follow the program's name.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Invocation {
        let mut arguments: Vec<Vec<u8>> = arguments.into_iter().map(OsStringExt::into_vec).collect();
        match arguments.first().map(Vec::as_slice) {
            Some(b"-v" | b"--version") => return Invocation::Version,
            Some(b"-h" | b"--help") => return Invocation::Help,
            Some(b"--check-system") => return Invocation::CheckSystem,
            Some(b"--test-memory") => {
                return Invocation::Refused("Radish does not test memory: please use a tool such as memtester.");
            }
            _ => {}
        }
        if arguments.iter().any(|argument| argument == b"--sentinel") {
            return Invocation::Refused("Radish is not a Sentinel: please run redis-sentinel for that.");
        }
        let mut parsed = Arguments::default();
        if arguments.first().is_some_and(|first| !first.starts_with(b"-")) {
            let path = PathBuf::from(OsString::from_vec(arguments.remove(0)));
            // An absolute path cannot be had without a working directory; opening the file will fail by itself.
            parsed.config_file = Some(std::path::absolute(&path).unwrap_or(path));
        }
        parsed.read_options(&arguments);
        Invocation::Serve(parsed)
    }
}

impl Arguments {
    fn read_options(&mut self, arguments: &[Vec<u8>]) {
        let last = arguments.len().wrapping_sub(1);
        let mut value_is_due = false;
        for (index, argument) in arguments.iter().enumerate() {
            let is_first = index == 0 && self.config_file.is_none();
            if argument == b"-" && (is_first || index == last) {
                self.reads_stdin = true;
            } else if let Some(option) = argument.strip_prefix(b"--")
                && !value_is_due
            {
                self.begin_line(option);
                let has_value = line::split(argument).is_none_or(|words| words.len() != 1);
                value_is_due = !has_value;
                let next_is_option = arguments.get(index + 1).is_none_or(|next| next.starts_with(b"--"));
                if option.eq_ignore_ascii_case(b"save") && next_is_option {
                    self.options.extend(b"\"\"");
                    value_is_due = false;
                }
            } else {
                line::quote(argument, &mut self.options);
                self.options.push(b' ');
                value_is_due = false;
            }
        }
    }

    fn begin_line(&mut self, option: &[u8]) {
        if !self.options.is_empty() {
            self.options.push(b'\n');
        }
        self.options.extend(option);
        self.options.push(b' ');
    }
}

/// A number that tells builds of different versions apart, as Redis has one in `--version` and INFO.
pub const BUILD_ID: u64 = fnv1a(concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).as_bytes());

const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0100_0000_01b3);
        index += 1;
    }
    hash
}

/// What `--version` prints. Tools look for `v=`.
pub fn version_line() -> String {
    let bits = usize::BITS;
    format!("Redis server v={REDIS_VERSION} sha=00000000:0 malloc=jemalloc-5.3.0 bits={bits} build={BUILD_ID:x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Invocation {
        Invocation::parse(arguments.iter().map(OsString::from))
    }

    /// The lines that the options of `arguments` stand for, without blanks at their ends.
    fn lines(arguments: &[&str]) -> Vec<String> {
        let Invocation::Serve(parsed) = parse(arguments) else { panic!("{arguments:?} do not serve") };
        let options = String::from_utf8(parsed.options).unwrap();
        options.split('\n').map(|line| line.trim_end().to_owned()).collect()
    }

    #[test]
    fn options_become_lines() {
        let cases: &[(&[&str], &[&str])] = &[
            (&[], &[""]),
            (&["--port", "6380", "--bind", "a", "b"], &[r#"port "6380""#, r#"bind "a" "b""#]),
            (
                &["--maxmemory 700mb", "--maxmemory-policy volatile-lru"],
                &["maxmemory 700mb", "maxmemory-policy volatile-lru"],
            ),
            (&["--maxmemory '700mb'"], &["maxmemory '700mb'"]),
            (&["--port"], &["port"]),
            (&["--port", "--bla", "--loglevel", "verbose"], &[r#"port "--bla""#, r#"loglevel "verbose""#]),
            (&["--port", "--loglevel", "verbose"], &[r#"port "--loglevel" "verbose""#]),
            (&["--save", "--loglevel", "verbose"], &[r#"save """#, r#"loglevel "verbose""#]),
            (&["--loglevel", "verbose", "--save"], &[r#"loglevel "verbose""#, r#"save """#]),
            (&["--save", "", "--loglevel", "verbose"], &[r#"save """#, r#"loglevel "verbose""#]),
            (&["--proc-title-template", "--save", "--save", ""], &[r#"proc-title-template "--save""#, r#"save """#]),
            (&["--replicaof", "--127.0.0.1", "--abc"], &[r#"replicaof "--127.0.0.1""#, "abc"]),
            (&["f", "--logfile", "-", "--port", "1"], &[r#"logfile "-""#, r#"port "1""#]),
            (&["f", "loglevel", "verbose"], &[r#""loglevel" "verbose""#]),
            (&["--requirepass", "a\"b\\c"], &[r#"requirepass "a\"b\\c""#]),
        ];
        for (arguments, expected) in cases {
            assert_eq!(lines(arguments), *expected, "{arguments:?}");
        }
    }

    #[test]
    fn files_and_standard_input() {
        let serve = |config_file: Option<&str>, reads_stdin| {
            Invocation::Serve(Arguments {
                config_file: config_file.map(PathBuf::from),
                reads_stdin,
                options: Vec::new(),
            })
        };
        assert_eq!(parse(&["-"]), serve(None, true));
        assert_eq!(parse(&["/f"]), serve(Some("/f"), false));
        assert_eq!(parse(&["/f", "-"]), serve(Some("/f"), true));
        let Invocation::Serve(relative) = parse(&["f"]) else { panic!("a file serves") };
        assert!(relative.config_file.is_some_and(|path| path.is_absolute()));
    }

    #[test]
    fn other_invocations() {
        assert_eq!(parse(&["-v"]), Invocation::Version);
        assert_eq!(parse(&["--help"]), Invocation::Help);
        assert_eq!(parse(&["--check-system"]), Invocation::CheckSystem);
        assert!(matches!(parse(&["--test-memory", "64"]), Invocation::Refused(_)));
        assert!(matches!(parse(&["f", "--sentinel"]), Invocation::Refused(_)));
    }
}
