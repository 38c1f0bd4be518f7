//! Random commands to Radish and to servers whose behaviour is right, every reply and the data compared.
//!
//! Everything follows from the seed. A run is a sequence of rounds of some 2,000 commands, each on empty servers with a seed of its own, so
//! that a disagreement is found again by `--seed N --commands 1`. What counts as equal is in `compare.rs`; where the peers disagree
//! with each other, either is right.

mod compare;
mod grammar;
mod plan;
mod reply;
mod run;
mod server;
mod shrink;

use clap::Parser;
use grammar::Grammar;
use plan::Plan;
use run::{Fleet, Tally};
use server::Server;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

const COMMANDS_PER_ROUND: usize = 2_000;

/// Compares a server with others on random commands.
#[derive(Parser)]
struct Options {
    /// Server under test: a binary, or host:port.
    #[arg(long)]
    server: String,
    /// Server to compare with, several of them if given more than once.
    #[arg(long, required = true)]
    peer: Vec<String>,
    /// Commands to send.
    #[arg(long, default_value_t = 100_000)]
    commands: usize,
    /// Seed of the first round; the following rounds count up from it. Random if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Command groups.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "strings,bitmaps,keys,lists,blocking,transactions,connection,server"
    )]
    groups: Vec<String>,
    /// Disagreements after which to stop.
    #[arg(long, default_value_t = 1)]
    failures_max: usize,
    /// Print a table of all commands.
    #[arg(long)]
    table: bool,
}

fn main() -> ExitCode {
    match compare_servers(&Options::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Runs all rounds; the number of disagreements.
fn compare_servers(options: &Options) -> Result<usize, Box<dyn std::error::Error>> {
    let grammar = Grammar::of(&options.groups)?;
    let subscriber_grammar = Grammar::of_subscribers();
    let names: Vec<_> = std::iter::once(&options.server).chain(&options.peer).collect();
    let mut fleet = Fleet { servers: names.iter().map(|name| Server::open(name)).collect::<Result<_, _>>()? };
    let first_seed = options.seed.unwrap_or_else(|| rand::random::<u32>().into());
    println!("seed {first_seed}");
    let started = Instant::now();
    let mut tally = Tally::default();
    let mut disagreements: BTreeMap<String, usize> = BTreeMap::new();
    let rounds = options.commands.div_ceil(COMMANDS_PER_ROUND) as u64;
    for seed in first_seed..first_seed + rounds {
        let plan = Plan::draw(&grammar, &subscriber_grammar, seed, COMMANDS_PER_ROUND);
        if let Some(mismatch) = fleet.run(&plan, &mut tally)? {
            println!("\n--- disagreement about {}; again by: --seed {seed} --commands 1", mismatch.about);
            let crashed = restart_if_ended(&mut fleet, &names)?;
            match shrink::shrink(&fleet, &plan, &mismatch) {
                Some((smallest, mismatch)) => {
                    for step in &smallest.steps {
                        println!("{step}");
                    }
                    println!("{}\nclients speak RESP {:?}, {:?}", mismatch.details, smallest.clients, smallest.config);
                }
                None => {
                    println!("{}\n{}\nA replay does not show it again.", plan.steps[mismatch.step], mismatch.details)
                }
            }
            if crashed | restart_if_ended(&mut fleet, &names)? {
                println!("A server ended and was started again.");
            }
            *disagreements.entry(mismatch.about.split(" key ").next().unwrap_or_default().to_owned()).or_default() += 1;
            if disagreements.values().sum::<usize>() >= options.failures_max {
                break;
            }
        }
    }
    print_tables(&tally, &disagreements, options.table);
    println!("{:.1} s", started.elapsed().as_secs_f64());
    Ok(disagreements.values().sum())
}

/// Starts servers that have ended anew, after printing their last words. Whether there were any.
fn restart_if_ended(fleet: &mut Fleet, names: &[&String]) -> std::io::Result<bool> {
    let mut any = false;
    for (server, name) in fleet.servers.iter_mut().zip(names) {
        if server.exited() {
            println!("{} has ended:\n{}", server.name, server.log_tail());
            *server = Server::open(name)?;
            any = true;
        }
    }
    Ok(any)
}

fn print_tables(tally: &Tally, disagreements: &BTreeMap<String, usize>, all: bool) {
    if all {
        println!("\n{:<28} {:>9} {:>9}", "command", "sent", "errors");
        for (name, (sent, errors)) in &tally.commands {
            println!("{name:<28} {sent:>9} {errors:>9}");
        }
    }
    let sent: u64 = tally.commands.values().map(|counts| counts.0).sum();
    let errors: u64 = tally.commands.values().map(|counts| counts.1).sum();
    println!("\n{:<28} {:>9} {:>9} {:>14}", "commands of", "sent", "errors", "disagreements");
    println!(
        "{:<28} {sent:>9} {errors:>9} {:>14}",
        format!("{} kinds", tally.commands.len()),
        disagreements.values().sum::<usize>()
    );
    for (about, count) in disagreements {
        println!("{about:<28} {:>9} {:>9} {count:>14}", "", "");
    }
}
