//! The server's binary: reads the configuration, prepares the process, serves.

use std::process::ExitCode;

/// jemalloc: its size classes are what pages are sized to, and it gives memory back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    radish::start::main(std::env::args_os().collect())
}
