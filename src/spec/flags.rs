//! The vocabulary of the command table: what a command is, which ACL categories it belongs to, and how it uses a key.
//!
//! The words are those of `COMMAND INFO`, and each set lists them in the order in which that command prints them.
//! The build script includes this file too, so a word that is not here is an error when the table is compiled.

/// Declares a set of flags over an integer: a constant and a word per flag, the first one being bit 0.
macro_rules! flag_set {
    (
        $(#[$set_doc:meta])*
        $set:ident: $bits:ty {
            $( $(#[$doc:meta])* $flag:ident = $word:literal, )*
        }
    ) => {
        $(#[$set_doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Default)]
        pub struct $set($bits);

        impl $set {
            flag_set!(@constants $bits, 0, $( $(#[$doc])* $flag, )*);

            /// Every flag of the set with its word.
            pub const ALL: &'static [(&'static str, Self)] = &[ $( ($word, Self::$flag), )* ];

            /// The set without flags.
            pub const NONE: Self = Self(0);

            /// The set with these bits.
            pub const fn from_bits(bits: $bits) -> Self {
                Self(bits)
            }

            /// The bits, for storing and for masks.
            pub const fn bits(self) -> $bits {
                self.0
            }

            /// Whether nothing is in the set.
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// Whether all of `other` is in the set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether any of `other` is in the set.
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// Both sets together.
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The set without what is in `other`.
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// The flag that a word stands for, whatever its case.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|&(_, flag)| flag)
            }

            /// The words of the set, in the order of `COMMAND INFO`.
            pub fn words(self) -> impl Iterator<Item = &'static str> + Clone {
                Self::ALL.iter().filter(move |(_, flag)| self.contains(*flag)).map(|&(word, _)| word)
            }
        }

        impl ::std::fmt::Debug for $set {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_set().entries(self.words()).finish()
            }
        }
    };
    (@constants $bits:ty, $index:expr, $(#[$doc:meta])* $flag:ident, $($rest:tt)*) => {
        $(#[$doc])*
        pub const $flag: Self = Self((1 as $bits) << ($index));
        flag_set!(@constants $bits, $index + 1, $($rest)*);
    };
    (@constants $bits:ty, $index:expr,) => {};
}

flag_set! {
    /// What a command is and when it may run.
    CommandFlags: u64 {
        /// May change data.
        WRITE = "write",
        /// Reads keys and changes none.
        READONLY = "readonly",
        /// Refused when memory is above `maxmemory` and nothing can be evicted.
        DENYOOM = "denyoom",
        /// Comes from a module.
        MODULE = "module",
        /// For operators.
        ADMIN = "admin",
        /// Publishes or subscribes.
        PUBSUB = "pubsub",
        /// Not for scripts.
        NOSCRIPT = "noscript",
        /// May wait for another client.
        BLOCKING = "blocking",
        /// Allowed while the data set is being loaded.
        LOADING = "loading",
        /// Allowed on a replica that has lost its primary and does not serve stale data.
        STALE = "stale",
        /// Not shown to MONITOR.
        SKIP_MONITOR = "skip_monitor",
        /// Not entered into the slow log and its siblings.
        SKIP_COMMANDLOG = "skip_commandlog",
        /// Allowed on a slot that is being imported.
        ASKING = "asking",
        /// Takes O(1) or O(log n).
        FAST = "fast",
        /// Allowed before authentication.
        NO_AUTH = "no_auth",
        /// Has an effect that replicas must see, though it writes no key.
        MAY_REPLICATE = "may_replicate",
        /// Its key arguments may be absent.
        NO_MANDATORY_KEYS = "no_mandatory_keys",
        /// Needs `enable-debug-command` or `enable-module-command`.
        PROTECTED = "protected",
        /// Refused while a replica loads a new data set beside the one it serves.
        NO_ASYNC_LOADING = "no_async_loading",
        /// Not allowed inside a transaction.
        NO_MULTI = "no_multi",
        /// Its keys cannot be found from first key, last key and step alone.
        MOVABLE_KEYS = "movablekeys",
        /// Allowed while a script is past its time limit.
        ALLOW_BUSY = "allow_busy",
        /// Acts at once inside `MULTI` instead of being queued.
        RUN_IN_MULTI = "run_in_multi",
        /// Allowed to a RESP2 client that listens to channels.
        SUBSCRIBER_OK = "subscriber_ok",
    }
}

impl CommandFlags {
    /// Flags that steer the server and that `COMMAND INFO` does not show.
    pub const HIDDEN: Self =
        Self::MAY_REPLICATE.union(Self::PROTECTED).union(Self::RUN_IN_MULTI).union(Self::SUBSCRIBER_OK);
}

flag_set! {
    /// The categories by which ACL rules speak of commands.
    AclCategories: u32 {
        /// Works on keys of any type.
        KEYSPACE = "keyspace",
        /// Reads values or their properties.
        READ = "read",
        /// Writes values or their properties.
        WRITE = "write",
        /// Works on sets.
        SET = "set",
        /// Works on sorted sets.
        SORTEDSET = "sortedset",
        /// Works on lists.
        LIST = "list",
        /// Works on hashes.
        HASH = "hash",
        /// Works on strings.
        STRING = "string",
        /// Works on bitmaps.
        BITMAP = "bitmap",
        /// Works on HyperLogLogs.
        HYPERLOGLOG = "hyperloglog",
        /// Works on geographical positions.
        GEO = "geo",
        /// Works on streams.
        STREAM = "stream",
        /// Publishes or subscribes.
        PUBSUB = "pubsub",
        /// For operators.
        ADMIN = "admin",
        /// Takes O(1) or O(log n).
        FAST = "fast",
        /// Not fast.
        SLOW = "slow",
        /// May wait for another client.
        BLOCKING = "blocking",
        /// Can do harm in wrong hands.
        DANGEROUS = "dangerous",
        /// Concerns the connection itself.
        CONNECTION = "connection",
        /// Belongs to transactions.
        TRANSACTION = "transaction",
        /// Belongs to scripts and functions.
        SCRIPTING = "scripting",
    }
}

flag_set! {
    /// How a command uses a key.
    KeyFlags: u16 {
        /// Reads the value and leaves it as it is.
        RO = "RO",
        /// Changes the value, depending on what it was.
        RW = "RW",
        /// Overwrites the value, whatever it was.
        OW = "OW",
        /// Deletes the key.
        RM = "RM",
        /// Returns, copies or tests what the user stored.
        ACCESS = "access",
        /// Changes what the user stored.
        UPDATE = "update",
        /// Adds to what the user stored, and takes nothing away.
        INSERT = "insert",
        /// Takes away from what the user stored.
        DELETE = "delete",
        /// Is not a key, though it decides the slot (a shard channel).
        NOT_KEY = "not_key",
        /// The key spec does not find all keys.
        INCOMPLETE = "incomplete",
        /// The flags depend on other arguments.
        VARIABLE_FLAGS = "variable_flags",
    }
}

flag_set! {
    /// How an argument may be given.
    ArgumentFlags: u8 {
        /// May be left out.
        OPTIONAL = "optional",
        /// May be repeated.
        MULTIPLE = "multiple",
        /// Repeats its token when it is repeated.
        MULTIPLE_TOKEN = "multiple_token",
    }
}

flag_set! {
    /// What the documentation says about a command's standing.
    DocFlags: u8 {
        /// There is something better by now.
        DEPRECATED = "deprecated",
        /// For the server's own use.
        SYSCMD = "syscmd",
    }
}
