//! Compiles `commands/*.toml` into the command table that `src/spec` includes, and the handlers for `src/command`.
//!
//! `schema` says what an entry may hold, `check` what must be consistent in it, `emit` writes it down as Rust.
//! A mistake stops the build with the file, the entry and the reason.

mod check;
mod emit;
mod schema;

#[path = "../src/spec/flags.rs"]
#[allow(dead_code, reason = "the server uses the rest")]
mod flags;

use schema::Command;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=commands");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=src/spec/flags.rs");
    match compile(Path::new("commands")) {
        Ok(commands) => {
            let target = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
            for (name, text) in
                [("command_table.rs", emit::table(&commands)), ("command_handlers.rs", emit::handlers(&commands))]
            {
                fs::write(target.join(name), text).expect("cargo's output directory is writable");
            }
            ExitCode::SUCCESS
        }
        Err(errors) => {
            for error in errors {
                println!("cargo::error={}", error.replace('\n', " "));
            }
            ExitCode::FAILURE
        }
    }
}

/// Reads and checks all files of a directory.
fn compile(directory: &Path) -> Result<Vec<Command>, Vec<String>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .map_err(|error| vec![format!("{}: {error}", directory.display())])?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();

    let (mut commands, mut errors) = (Vec::new(), Vec::new());
    for path in &paths {
        match fs::read_to_string(path).map_err(|error| vec![error.to_string()]).and_then(|text| {
            let module = path.file_stem().unwrap_or_default().to_string_lossy();
            schema::parse(&module, &text)
        }) {
            Ok(found) => commands.extend(found),
            Err(found) => errors.extend(found.into_iter().map(|error| format!("{}: {error}", path.display()))),
        }
    }
    errors.extend(check::table(&commands));
    if !errors.is_empty() {
        return Err(errors);
    }
    commands.retain_mut(Command::retain_ready);
    commands.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(commands)
}
