//! What a script promises not to do, or asks to be allowed.

use std::ops::{BitOr, BitOrAssign};

/// A set of flags of a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptFlags(u8);

impl ScriptFlags {
    /// It writes nothing.
    pub const NO_WRITES: ScriptFlags = ScriptFlags(1);
    /// It runs when memory is above `maxmemory`.
    pub const ALLOW_OOM: ScriptFlags = ScriptFlags(1 << 1);
    /// It runs on a replica that has lost its primary.
    pub const ALLOW_STALE: ScriptFlags = ScriptFlags(1 << 2);
    /// It does not run in a cluster.
    pub const NO_CLUSTER: ScriptFlags = ScriptFlags(1 << 3);
    /// In a cluster, it may use keys of several slots.
    pub const ALLOW_CROSS_SLOT_KEYS: ScriptFlags = ScriptFlags(1 << 4);

    /// It uses no other keys than those that it is given, as scripts of `@upstash/ratelimit` say. Here that is found out
    /// (`script::proof`), so it makes no difference.
    pub const ALLOW_KEY_LOCKING: ScriptFlags = ScriptFlags(1 << 5);

    /// Every flag with its name.
    pub const ALL: [(&'static str, ScriptFlags); 6] = [
        ("no-writes", ScriptFlags::NO_WRITES),
        ("allow-oom", ScriptFlags::ALLOW_OOM),
        ("allow-stale", ScriptFlags::ALLOW_STALE),
        ("no-cluster", ScriptFlags::NO_CLUSTER),
        ("allow-cross-slot-keys", ScriptFlags::ALLOW_CROSS_SLOT_KEYS),
        ("allow-key-locking", ScriptFlags::ALLOW_KEY_LOCKING),
    ];

    /// The flag of this name.
    pub fn named(name: &[u8]) -> Option<ScriptFlags> {
        ScriptFlags::ALL.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, flag)| *flag)
    }

    /// Whether any of `other` is in the set.
    pub fn has_any(self, other: ScriptFlags) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for ScriptFlags {
    type Output = ScriptFlags;

    fn bitor(self, other: ScriptFlags) -> ScriptFlags {
        ScriptFlags(self.0 | other.0)
    }
}

impl BitOrAssign for ScriptFlags {
    fn bitor_assign(&mut self, other: ScriptFlags) {
        *self = *self | other;
    }
}
