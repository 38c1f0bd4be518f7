//! Radish: a drop-in Redis server that keeps its keys in a radix tree.

pub mod command;
pub mod config;
pub mod glob;
pub mod resp;
pub mod tree;
pub mod value;

/// The version of Redis whose behaviour clients may count on; what INFO and HELLO say.
pub const REDIS_VERSION: &str = "7.4.0";
