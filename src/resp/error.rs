//! Error replies: the text that a client receives after the `-`.

use std::borrow::Cow;

/// What a command handler returns: its reply has been written, or it refuses with an error.
pub type CommandResult = Result<(), ErrorReply>;

/// The text of an error reply, its code (`ERR`, `WRONGTYPE`, …) first, without the leading `-` and the line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReply(Cow<'static, [u8]>);

impl ErrorReply {
    pub const SYNTAX: ErrorReply = ErrorReply::fixed("ERR syntax error");
    pub const WRONG_TYPE: ErrorReply =
        ErrorReply::fixed("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub const NOT_INTEGER: ErrorReply = ErrorReply::fixed("ERR value is not an integer or out of range");
    pub const NOT_FLOAT: ErrorReply = ErrorReply::fixed("ERR value is not a valid float");
    /// The number whose negative is none.
    pub const MAGNITUDE: ErrorReply =
        ErrorReply::fixed("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
    pub const NO_SUCH_KEY: ErrorReply = ErrorReply::fixed("ERR no such key");
    pub const OUT_OF_RANGE: ErrorReply = ErrorReply::fixed("ERR index out of range");
    pub const OUT_OF_MEMORY: ErrorReply = ErrorReply::fixed("OOM command not allowed when used memory > 'maxmemory'.");
    pub const LOADING: ErrorReply = ErrorReply::fixed("LOADING Redis is loading the dataset in memory");
    pub const CANNOT_SAVE: ErrorReply = ErrorReply::fixed(
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that \
         may modify the data set are disabled, because this instance is configured to report errors during writes if RDB \
         snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB \
         error.",
    );
    pub const NO_AUTH: ErrorReply = ErrorReply::fixed("NOAUTH Authentication required.");
    pub const DB_INDEX: ErrorReply = ErrorReply::fixed("ERR DB index is out of range");
    pub const TIMEOUT_NOT_FLOAT: ErrorReply = ErrorReply::fixed("ERR timeout is not a float or out of range");
    pub const TIMEOUT_NEGATIVE: ErrorReply = ErrorReply::fixed("ERR timeout is negative");
    pub const TIMEOUT_OUT_OF_RANGE: ErrorReply = ErrorReply::fixed("ERR timeout is out of range");

    /// An error whose text is known when the program is built.
    pub const fn fixed(text: &'static str) -> Self {
        ErrorReply(Cow::Borrowed(text.as_bytes()))
    }

    /// An error whose text depends on the request. Line ends become spaces, so that no argument can forge a reply.
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        let mut text = text.into();
        for byte in &mut text {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        ErrorReply(Cow::Owned(text))
    }

    /// An error that quotes an argument, as far as its first zero byte. Line ends at the end of the text are left out.
    pub fn about(before: &str, argument: &[u8], after: &str) -> Self {
        let mut quoted = &argument[..memchr::memchr(0, argument).unwrap_or(argument.len())];
        while after.is_empty()
            && let [shorter @ .., b'\r' | b'\n'] = quoted
        {
            quoted = shorter;
        }
        Self::new([before.as_bytes(), quoted, after.as_bytes()].concat())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first word: what `INFO errorstats` counts by.
    pub fn code(&self) -> &[u8] {
        self.0.split(|&byte| byte == b' ').next().unwrap_or(&self.0)
    }
}
