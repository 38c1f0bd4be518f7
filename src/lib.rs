//! Radish.
