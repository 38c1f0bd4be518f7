//! Radish: a drop-in Redis server that keeps its keys in a radix tree.

pub mod command;
pub mod resp;
pub mod tree;
pub mod value;
