//! Whole files: a head, fields about the file, the records of each database, an end with a checksum.
//!
//! - [`write`]: the parts of a file, one after the other. [`read`]: the same from any stream.

pub mod read;
#[cfg(test)]
mod tests;
pub mod write;

/// What files begin with, before four digits of their version.
const MAGIC: &[u8; 5] = b"REDIS";
/// What those of Valkey begin with since it has versions of its own, before three digits.
const MAGIC_OF_VALKEY: &[u8; 6] = b"VALKEY";

/// How lately, or how often, a record was used, if the policy of eviction has files keep that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Seconds since it was used last.
    Idle(u64),
    /// The counter of its frequency.
    Frequency(u8),
}

/// What a byte stands for where a record may begin, if it is not the kind of one.
pub(super) mod opcode {
    /// Keys of a slot of a cluster: hints.
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION_2: u8 = 245;
    /// A library of functions in a form that was never released.
    pub const FUNCTION: u8 = 246;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQUENCY: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZE_DATABASE: u8 = 251;
    pub const DEADLINE_MS: u8 = 252;
    pub const DEADLINE_S: u8 = 253;
    pub const SELECT_DATABASE: u8 = 254;
    pub const END: u8 = 255;
}
