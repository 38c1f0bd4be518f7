//! The append-only file: which files it consists of, and how commands are read from them.

pub mod manifest;
pub mod read;
pub mod write;
