//! Random commands to Radish and to servers whose behaviour is right, every reply and the data compared.
//!
//! Everything follows from the seed and the commands that all servers have. A run is a sequence of rounds of some 2,000 commands,
//! each on empty servers with a seed of its own, so that a disagreement is found again by `--seed N --commands 1`. What counts as
//! equal is in `compare.rs`; what differs on purpose, in `differences.txt`.

mod compare;
mod data;
mod differences;
mod generator;
mod grammar;
mod messages;
mod plan;
mod reply;
mod run;
mod server;
mod shrink;
mod steps;
mod tame;
mod words;

use clap::Parser;
use differences::Differences;
use grammar::{GROUPS, Grammars};
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
    /// Command groups; all of them if not given.
    #[arg(long, value_delimiter = ',')]
    groups: Vec<String>,
    /// Disagreements after which to stop.
    #[arg(long, default_value_t = 1)]
    failures_max: usize,
    /// Print a table of all commands.
    #[arg(long)]
    table: bool,
    /// Alter replies, and print how many alterations go unnoticed, by command.
    #[arg(long)]
    distort: bool,
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
    let names: Vec<_> = std::iter::once(&options.server).chain(&options.peer).collect();
    let servers = names.iter().map(|name| Server::open(name)).collect::<Result<Vec<_>, _>>()?;
    let groups = match options.groups.is_empty() {
        true => GROUPS.map(|(name, _)| name.to_owned()).to_vec(),
        false => options.groups.clone(),
    };
    let grammars = Grammars::of(&groups, &servers)?;
    if !grammars.left_out.is_empty() {
        let left_out: Vec<_> = grammars.left_out.iter().map(String::as_str).collect();
        println!("left out, because not all servers have it: {}", left_out.join(", "));
    }
    let common = servers[1..].iter().fold(servers[0].commands.clone(), |common, server| &common & &server.commands);
    let mut fleet = Fleet { servers, differences: Differences::read(), common, distort: options.distort };
    let first_seed = options.seed.unwrap_or_else(|| rand::random::<u32>().into());
    println!("seed {first_seed}");
    let started = Instant::now();
    let mut tally = Tally::default();
    let mut disagreements: BTreeMap<String, usize> = BTreeMap::new();
    for seed in first_seed.. {
        if tally.sent() >= options.commands as u64 {
            break;
        }
        let plan = Plan::draw(&grammars, seed, COMMANDS_PER_ROUND);
        if let Some(mismatch) = fleet.run(&plan, &mut tally)? {
            println!("\n--- disagreement about {}; again by: --seed {seed} --commands 1", mismatch.about);
            let crashed = restart_if_ended(&mut fleet, &names)?;
            match shrink::shrink(&fleet, &plan, &mismatch) {
                Some((smallest, mismatch)) => {
                    for step in &smallest.steps {
                        println!("{step}");
                    }
                    println!("{}\n{}", mismatch.details, smallest.character());
                }
                None => {
                    println!("{}\n{}\nA replay does not show it again.", plan.steps[mismatch.step], mismatch.details)
                }
            }
            if crashed | restart_if_ended(&mut fleet, &names)? {
                println!("A server ended and was started again.");
            }
            *disagreements.entry(shrink::subject(&mismatch.about).to_owned()).or_default() += 1;
            if disagreements.values().sum::<usize>() >= options.failures_max {
                break;
            }
        }
    }
    print_tables(&tally, &disagreements, options);
    let seen = fleet.differences.seen();
    if !seen.is_empty() {
        println!("\nmeant to be different:");
        seen.iter().for_each(|(count, difference)| println!("{count:>8} {difference}"));
    }
    println!("{:.1} s", started.elapsed().as_secs_f64());
    Ok(disagreements.values().sum())
}

/// Starts servers that have ended anew, after printing their last words. Whether there were any.
fn restart_if_ended(fleet: &mut Fleet, names: &[&String]) -> std::io::Result<bool> {
    let mut any = false;
    for (server, name) in fleet.servers.iter_mut().zip(names) {
        if server.exited() {
            println!("{} has ended:\n{}", server.kind, server.log_tail());
            *server = Server::open(name)?;
            any = true;
        }
    }
    Ok(any)
}

fn print_tables(tally: &Tally, disagreements: &BTreeMap<String, usize>, options: &Options) {
    if options.table || options.distort {
        println!("\n{:<28} {:>9} {:>9} {:>9} {:>9}", "command", "sent", "errors", "altered", "unnoticed");
        for (name, counts) in &tally.commands {
            if options.table || counts.missed > 0 {
                println!(
                    "{name:<28} {:>9} {:>9} {:>9} {:>9}",
                    counts.sent, counts.errors, counts.distorted, counts.missed
                );
            }
        }
    }
    let sent = tally.sent();
    let errors: u64 = tally.commands.values().map(|counts| counts.errors).sum();
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
