//! How data leaves the process and comes back: the RDB format, of which `DUMP` and `RESTORE` are the smallest use, and the
//! disk that files are on.

pub mod aof;
pub mod disk;
pub mod pieces;
mod place;
pub mod rdb;

pub use place::Place;
