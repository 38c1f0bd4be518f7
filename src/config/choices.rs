//! The directives that take one of a few words, for those whose words the server tells apart: a Rust enum each.

/// A directive's value as one of the words that it allows.
pub trait Choice: Sized {
    /// Every word with the number that stands for it; the first word of a number is the one that is printed.
    const NAMES: &'static [(&'static str, i64)];

    /// The choice that a number of [`Choice::NAMES`] stands for.
    fn from_number(number: i64) -> Self;
}

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $($word:literal)|+,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(i64)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// The word for this choice.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => [$($word),+][0],)+ }
            }

            pub(super) const fn number(self) -> i64 {
                self as i64
            }
        }

        impl Choice for $name {
            const NAMES: &'static [(&'static str, i64)] = &[$($(($word, $name::$variant as i64),)+)+];

            fn from_number(number: i64) -> $name {
                const VARIANTS: &[$name] = &[$($name::$variant),+];
                VARIANTS[number as usize]
            }
        }
    )+};
}

choices! {
    /// `maxmemory-policy`: what gives way when memory is used up.
    MaxmemoryPolicy {
        VolatileLru = "volatile-lru",
        VolatileLfu = "volatile-lfu",
        VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl",
        AllkeysLru = "allkeys-lru",
        AllkeysLfu = "allkeys-lfu",
        AllkeysRandom = "allkeys-random",
        Noeviction = "noeviction",
    }

    /// `tls-auth-clients`: whether clients must show a certificate.
    TlsAuthClients {
        No = "no",
        Yes = "yes",
        /// None, or a valid one.
        Optional = "optional",
    }

    /// `loglevel`: the least important messages that are logged.
    LogLevel {
        Debug = "debug",
        Verbose = "verbose",
        Notice = "notice",
        Warning = "warning",
        Nothing = "nothing",
    }

    /// `log-format`: the shape of a line of the log.
    LogFormat {
        Legacy = "legacy",
        Logfmt = "logfmt",
        Json = "json",
    }

    /// `log-timestamp-format`: how a line of the log says when.
    LogTimestampFormat {
        Legacy = "legacy",
        Iso8601 = "iso8601",
        Milliseconds = "milliseconds",
    }

    /// `enable-protected-configs`, `enable-debug-command` and `enable-module-command`: who may do it.
    ProtectedAction {
        No = "no",
        Yes = "yes",
        /// Clients on a loopback address or a Unix socket.
        Local = "local",
    }

    /// `appendfsync`: when the append-only file is flushed to disk.
    AppendFsync {
        Everysec = "everysec",
        Always = "always",
        No = "no",
    }

    /// `field-deadline-format`: in whose form hashes are written of which fields have deadlines.
    FieldDeadlineFormat {
        Redis = "redis",
        Valkey = "valkey",
    }

    /// `supervised`: how the process that started the server is told that it is up.
    Supervised {
        Upstart = "upstart",
        Systemd = "systemd",
        Auto = "auto",
        No = "no",
    }

    /// `syslog-facility`.
    SyslogFacility {
        User = "user",
        Local0 = "local0",
        Local1 = "local1",
        Local2 = "local2",
        Local3 = "local3",
        Local4 = "local4",
        Local5 = "local5",
        Local6 = "local6",
        Local7 = "local7",
    }

    /// `oom-score-adj`: whether the kernel's out-of-memory score is changed, and from which base.
    OomScoreAdj {
        No = "no",
        Relative = "yes" | "relative",
        Absolute = "absolute",
    }

    /// `propagation-error-behavior`: what becomes of a server whose replication stream holds a command that fails.
    PropagationErrorBehavior {
        Ignore = "ignore",
        Panic = "panic",
        PanicOnReplicas = "panic-on-replicas",
    }
}

/// `shutdown-on-sigint` and `shutdown-on-sigterm`: a set of the options of SHUTDOWN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownFlags(i64);

impl ShutdownFlags {
    pub const SAVE: ShutdownFlags = ShutdownFlags(1 << 0);
    pub const NOSAVE: ShutdownFlags = ShutdownFlags(1 << 1);
    pub const NOW: ShutdownFlags = ShutdownFlags(1 << 2);
    pub const FORCE: ShutdownFlags = ShutdownFlags(1 << 3);
    pub const SAFE: ShutdownFlags = ShutdownFlags(1 << 4);
    pub const FAILOVER: ShutdownFlags = ShutdownFlags(1 << 5);

    /// Every option with its bit, in the order in which CONFIG GET prints them.
    pub(super) const NAMES: &'static [(&'static str, i64)] = &[
        ("default", 0),
        ("save", Self::SAVE.0),
        ("nosave", Self::NOSAVE.0),
        ("now", Self::NOW.0),
        ("force", Self::FORCE.0),
        ("safe", Self::SAFE.0),
        ("failover", Self::FAILOVER.0),
    ];

    /// Whether all of `flags` are in the set.
    pub const fn contains(self, flags: ShutdownFlags) -> bool {
        self.0 & flags.0 == flags.0
    }

    pub const fn union(self, flags: ShutdownFlags) -> ShutdownFlags {
        ShutdownFlags(self.0 | flags.0)
    }

    pub(super) const fn from_bits(bits: i64) -> ShutdownFlags {
        ShutdownFlags(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_agree() {
        for (word, number) in MaxmemoryPolicy::NAMES {
            assert_eq!(MaxmemoryPolicy::from_number(*number).name(), *word);
        }
        for (_, number) in OomScoreAdj::NAMES {
            assert_eq!(OomScoreAdj::from_number(*number).number(), *number);
        }
        assert_eq!(OomScoreAdj::Relative.name(), "yes");
    }
}
