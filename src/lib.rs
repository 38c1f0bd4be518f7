//! Radish: a drop-in Redis server that keeps its keys in a radix tree.

pub mod access;
pub mod acl;
pub mod append_file;
pub mod client;
pub mod client_eviction;
pub mod command;
pub mod compression;
pub mod config;
pub mod crash;
pub mod daemon;
pub mod delay;
pub mod eviction;
pub mod forms;
pub mod gateway;
pub mod glob;
pub mod hot_keys;
pub mod huge_pages;
pub mod loading;
pub mod log;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod migration;
pub mod persistence;
pub mod prefixes;
pub mod process;
pub mod pubsub;
pub mod reconfigure;
pub mod removal;
pub mod replication;
pub mod resp;
pub mod saving;
pub mod script;
pub mod server;
pub mod server_log;
pub mod shutdown;
pub mod spec;
pub mod start;
pub mod state;
pub mod stats;
pub mod store;
pub mod tls;
pub mod tracking;
pub mod tree;
pub mod value;
pub mod watchdog;

/// The version of Redis whose behaviour clients may count on; what INFO and HELLO say.
pub const REDIS_VERSION: &str = "7.4.0";

/// The version of Radish itself.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
