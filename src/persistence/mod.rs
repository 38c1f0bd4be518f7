//! How data leaves the process and comes back: the RDB format, of which `DUMP` and `RESTORE` are the smallest use.

pub mod rdb;
