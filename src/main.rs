//! The server's binary: reads the configuration, prepares the process, serves.

use std::process::ExitCode;

fn main() -> ExitCode {
    radish::start::main(std::env::args_os().collect())
}
