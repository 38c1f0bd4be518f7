//! Conversations with a server through a socket, a file for each group of commands or part of the server, and what holds
//! README.md true. One program, so that the library is linked once; each test starts a server of its own.

mod support;

mod acl;
mod administration;
mod append_file;
mod bitmaps;
mod client_memory;
mod compression;
mod config;
mod corners;
mod crash;
mod dashboard;
mod dump;
mod eviction;
mod failover;
mod functions;
mod gateway;
mod geo;
mod hashes;
mod hot_keys;
mod hyperloglogs;
mod keys;
mod limits;
mod listening;
mod lists;
mod messages;
mod metrics;
mod migrating;
mod prefixes;
mod readme;
mod replication;
mod sandbox;
mod saving;
mod scripts;
mod security;
mod serving;
mod sets;
mod snapshots;
mod sort;
mod sorted_set_onlookers;
mod sorted_sets;
mod streams;
mod strings;
mod tls;
mod tracking;
mod waiting;

#[test]
fn every_file_of_tests_is_part_of_this_program() {
    let (here, directory) = (include_str!("main.rs"), concat!(env!("CARGO_MANIFEST_DIR"), "/tests"));
    for file in std::fs::read_dir(directory).expect("the tests are there") {
        let name = file.expect("a file").file_name().into_string().expect("a name in letters");
        if let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "main") {
            assert!(here.contains(&format!("\nmod {module};\n")), "{name} is not run");
        }
    }
}
