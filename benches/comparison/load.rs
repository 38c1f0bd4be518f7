//! Sends `SET` commands at a steady rate, whatever the server takes for each, and tells how long clients waited.
//!
//! A request that is due while its connection still waits for the reply before has waited since then: a server that stands
//! still for a second keeps all those waiting that would have come meanwhile, and all of them count.

use clap::Parser;
use std::error::Error;
use std::io;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Parser)]
struct Options {
    #[arg(long)]
    port: u16,
    /// Commands a second.
    #[arg(long)]
    rate: u32,
    #[arg(long)]
    seconds: f64,
    #[arg(long, default_value_t = 50)]
    connections: u32,
    /// Commands that a connection sends at once.
    #[arg(long, default_value_t = 1)]
    pipeline: u32,
    /// How many keys there are: those that `DEBUG POPULATE` makes.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let mut waits_us = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(&options))?;
    waits_us.sort_unstable();
    let Some(longest) = waits_us.last() else { return Err("nothing was sent".into()) };
    let at = |share: f64| waits_us[(waits_us.len() as f64 * share) as usize];
    let commands = waits_us.len() as u64 * u64::from(options.pipeline);
    println!(
        "{{\"rate\": {:.0}, \"p50_us\": {}, \"p99_us\": {}, \"p99_9_us\": {}, \"max_us\": {}}}",
        commands as f64 / options.seconds,
        at(0.5),
        at(0.99),
        at(0.999),
        longest
    );
    Ok(())
}

/// How long each pipeline waited, in microseconds.
async fn run(options: &Options) -> io::Result<Vec<u32>> {
    let start = Instant::now() + Duration::from_millis(50);
    let every = Duration::from_secs(1) * options.connections * options.pipeline / options.rate;
    let mut connections = tokio::task::JoinSet::new();
    for number in 0..options.connections {
        let stream = TcpStream::connect(("127.0.0.1", options.port)).await?;
        stream.set_nodelay(true)?;
        let begin = start + every * number / options.connections;
        let (end, pipeline, keys) = (start + Duration::from_secs_f64(options.seconds), options.pipeline, options.keys);
        connections.spawn(send(stream, begin, end, every, pipeline, keys));
    }
    let mut waits = Vec::new();
    while let Some(finished) = connections.join_next().await {
        waits.extend(finished??);
    }
    Ok(waits)
}

async fn send(
    mut stream: TcpStream,
    begin: Instant,
    end: Instant,
    every: Duration,
    pipeline: u32,
    keys: u64,
) -> io::Result<Vec<u32>> {
    const OK: &[u8] = b"+OK\r\n";
    let mut waits = Vec::new();
    let mut requests = Vec::new();
    let mut replies = vec![0; OK.len() * pipeline as usize];
    let mut due = begin;
    while due < end {
        let mut since = due;
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
            // The timer's own delay is not the server's.
            since = Instant::now();
        }
        requests.clear();
        for _ in 0..pipeline {
            let (key, value) = (rand::random_range(0..keys), rand::random_range(0..keys));
            let (key, value) = (format!("key:{key}"), format!("value:{value}"));
            let (key_len, value_len) = (key.len(), value.len());
            requests.extend_from_slice(
                format!("*3\r\n$3\r\nSET\r\n${key_len}\r\n{key}\r\n${value_len}\r\n{value}\r\n").as_bytes(),
            );
        }
        stream.write_all(&requests).await?;
        stream.read_exact(&mut replies).await?;
        if replies.chunks(OK.len()).any(|reply| reply != OK) {
            return Err(io::Error::other(String::from_utf8_lossy(&replies).into_owned()));
        }
        waits.push(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX));
        due += every;
    }
    Ok(waits)
}
