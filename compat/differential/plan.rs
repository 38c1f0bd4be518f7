//! What a round does: steps drawn from a seed, before anything is sent.

use crate::generator::{Character, Command, Generator};
use crate::grammar::Grammars;
use crate::reply::{SHOWN_MAX, readable};
use crate::tame::{Peers, may_block};
use crate::words::{lines, words};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::fmt;

/// One thing done to all servers, whose results are compared before the next.
#[derive(Clone, Debug)]
pub enum Step {
    /// Commands that one client sends at once. What follows one that may block is only `ECHO`: it waits with the client.
    Pipeline { client: usize, commands: Vec<Command> },
    /// A client goes away, in a transaction or blocked maybe, and another takes its place. It says `QUIT` before, or does not.
    Reconnect { client: usize, quits: bool },
    /// What a subscriber sends.
    Subscriber { subscriber: usize, commands: Vec<Command> },
    /// A whole iteration over a database, with these options.
    Scan { db: u32, options: Command },
    /// Bytes on a connection of their own, proper requests or not, and everything that comes back until it closes.
    Raw(Vec<u8>),
    /// A new client while there is a password.
    Stranger { commands: Vec<Command> },
    /// Commands between `CLIENT REPLY OFF` (or `SKIP`) and `CLIENT REPLY ON`.
    Silent { client: usize, off: bool, commands: Vec<Command> },
    /// Commands while writing is paused, which are answered in part before, in part after the pause.
    Paused { client: usize, commands: Vec<Command> },
    /// `CLIENT KILL`, and who is still there afterwards.
    Kill { client: usize, command: Command },
    /// Commands under the eyes of a monitor and with all of them in the slow log.
    Observed { client: usize, commands: Vec<Command> },
    /// A key expires.
    Lapse { client: usize, key: Vec<u8> },
    /// All data, all messages and the counters of `INFO` are compared.
    Check,
}

/// A round: its clients' protocols, configuration and steps.
#[derive(Clone)]
pub struct Plan {
    pub clients: Vec<u8>,
    pub subscribers: Vec<u8>,
    pub config: Vec<[String; 2]>,
    pub steps: Vec<Step>,
}

/// Commands between two comparisons of all data.
const COMMANDS_PER_CHECK: usize = 400;

/// Commands that change what the connection is for the rest of the round, and so are not sent in some of the steps.
const STATEFUL: &[&[u8]] = &[b"MULTI", b"EXEC", b"DISCARD", b"RESET", b"QUIT"];

impl Plan {
    /// The round of a seed, of at least so many commands.
    pub fn draw(grammars: &Grammars, seed: u64, commands: usize) -> Plan {
        let mut random = SmallRng::seed_from_u64(seed);
        let character = Character::draw(&mut random);
        let protocols =
            |random: &mut SmallRng, count| (0..count).map(|_| 2 + u8::from(random.random_bool(0.5))).collect();
        let client_count = random.random_range(1..=4);
        let clients: Vec<u8> = protocols(&mut random, client_count);
        let subscribers: Vec<u8> = protocols(&mut random, 3);
        let config = config(&mut random);
        let depth_max = *[1, 3, 12, 40].choose(&mut random).unwrap_or(&3);
        let seeds: [u64; 4] = random.random();
        let generator = |grammar, character, seed| Generator::new(grammar, grammars.peers, character, seed);
        // Redis says what is wrong with a command before it says that the password is missing.
        let damage_per_mille = if grammars.peers.redis { 0 } else { character.damage_per_mille };
        let of_stranger = Character { damage_per_mille, ..character };
        let mut drawer = Drawer {
            client: generator(&grammars.client, character, seeds[0]),
            subscriber: generator(&grammars.subscriber, character, seeds[1]),
            stranger: generator(&grammars.stranger, of_stranger, seeds[2]),
            kill: generator(&grammars.kill, character, seeds[3]),
            random,
            depth_max,
            peers: grammars.peers,
            in_transaction: vec![false; clients.len()],
        };
        let mut steps = Vec::new();
        let (mut sent, mut sent_at_check) = (0, 0);
        while sent < commands {
            let step = drawer.step(clients.len(), subscribers.len());
            sent += step.commands();
            steps.push(step);
            if sent - sent_at_check >= COMMANDS_PER_CHECK {
                sent_at_check = sent;
                steps.push(Step::Check);
            }
        }
        steps.push(Step::Check);
        Plan { clients, subscribers, config, steps }
    }

    /// What the round begins with that others may not.
    pub fn character(&self) -> String {
        let is_special = |[name, value]: &&[String; 2]| {
            let line = lines("settings").iter().find(|line| line[0] == name.as_bytes());
            line.is_none_or(|line| line.get(1).is_none_or(|first| first != value.as_bytes()))
        };
        let config: Vec<_> = self.config.iter().filter(is_special).map(|pair| pair.join(" ")).collect();
        format!("clients speak RESP {:?}, subscribers {:?}; {}", self.clients, self.subscribers, config.join(", "))
    }

    /// The same round with other steps.
    pub fn with_steps(&self, steps: Vec<Step>) -> Plan {
        Plan { steps, ..self.clone() }
    }
}

/// The directives that a round begins with: all that it may change, some of them with a value of this round.
fn config(random: &mut SmallRng) -> Vec<[String; 2]> {
    let mut config: Vec<[String; 2]> = Vec::new();
    for line in lines("settings") {
        let [name, value, ..] = &line[..] else { continue };
        let [name, value] = [name, value].map(|word| String::from_utf8_lossy(word).into_owned());
        let of_this_round: &[&str] = match &*name {
            "list-max-listpack-size" => &["-2", "-1", "2", "7", "128"],
            "notify-keyspace-events" => &["KEA", "KEA", "", "Kl$", "Eg", "KEAnm"],
            "maxmemory-policy" => &["noeviction", "noeviction", "allkeys-lfu", "volatile-lru"],
            _ => &[],
        };
        let value = of_this_round.choose(random).map_or(value, |value| (*value).to_owned());
        config.push([name, value]);
    }
    config
}

impl Step {
    /// How many commands of the grammars it sends.
    fn commands(&self) -> usize {
        match self {
            Step::Pipeline { commands, .. }
            | Step::Subscriber { commands, .. }
            | Step::Stranger { commands }
            | Step::Silent { commands, .. }
            | Step::Paused { commands, .. }
            | Step::Observed { commands, .. } => commands.len(),
            _ => 0,
        }
    }

    /// The commands, to leave some out.
    pub fn commands_mut(&mut self) -> Option<&mut Vec<Command>> {
        match self {
            Step::Pipeline { commands, .. }
            | Step::Subscriber { commands, .. }
            | Step::Stranger { commands }
            | Step::Silent { commands, .. }
            | Step::Paused { commands, .. }
            | Step::Observed { commands, .. } => Some(commands),
            _ => None,
        }
    }
}

struct Drawer<'a> {
    client: Generator<'a>,
    subscriber: Generator<'a>,
    stranger: Generator<'a>,
    kill: Generator<'a>,
    random: SmallRng,
    depth_max: usize,
    peers: Peers,
    /// By client, as far as can be told before anything is sent.
    in_transaction: Vec<bool>,
}

impl Drawer<'_> {
    fn step(&mut self, clients: usize, subscribers: usize) -> Step {
        let client = self.random.random_range(0..clients);
        match self.random.random_range(0..1000) {
            0..5 => {
                self.in_transaction[client] = false;
                Step::Reconnect { client, quits: self.random.random_bool(0.3) }
            }
            5..13 => scan(&mut self.client, self.peers),
            13..21 => Step::Raw(raw(&mut self.random)),
            21..46 => {
                let subscriber = self.random.random_range(1..subscribers);
                let commands = (0..self.random.random_range(1..4)).map(|_| self.subscriber.command()).collect();
                Step::Subscriber { subscriber, commands }
            }
            46..49 => {
                let commands = (0..self.random.random_range(1..6)).map(|_| self.stranger.command()).collect();
                Step::Stranger { commands }
            }
            49..53 => Step::Silent { client, off: self.random.random_bool(0.5), commands: self.plain_commands() },
            53..57 => Step::Paused { client, commands: self.plain_commands() },
            57..60 => Step::Kill { client, command: self.kill.command() },
            60..64 => Step::Observed { client, commands: self.plain_commands() },
            64..70 => Step::Lapse { client, key: self.client.any_key() },
            _ => {
                let commands = self.pipeline(client);
                Step::Pipeline { client, commands }
            }
        }
    }

    fn pipeline(&mut self, client: usize) -> Vec<Command> {
        let mut pipeline = Vec::new();
        for _ in 0..self.random.random_range(1..=self.depth_max) {
            let command = match self.in_transaction[client] && self.random.random_ratio(1, 6) {
                true => vec![b"EXEC".to_vec()],
                false => self.client.command(),
            };
            match &command[0].to_ascii_uppercase()[..] {
                b"MULTI" => self.in_transaction[client] = true,
                b"EXEC" | b"DISCARD" | b"RESET" => self.in_transaction[client] = false,
                _ => {}
            }
            let last = may_block(&command) && !self.in_transaction[client];
            pipeline.push(command);
            if last {
                if self.random.random_ratio(1, 4) {
                    pipeline.push(vec![b"ECHO".to_vec(), b"after".to_vec()]);
                }
                break;
            }
        }
        pipeline
    }

    /// A few commands that neither block nor change what the connection is.
    fn plain_commands(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        for _ in 0..self.random.random_range(1..6) {
            let command = self.client.command();
            if !may_block(&command) && !STATEFUL.contains(&&command[0].to_ascii_uppercase()[..]) {
                commands.push(command);
            }
        }
        commands
    }
}

fn scan(generator: &mut Generator, peers: Peers) -> Step {
    let mut options = Command::new();
    let mut option = |generator: &mut Generator, name: &str, values: &[&str]| {
        if generator.one_in(2) {
            options.extend([name.as_bytes().to_vec(), generator.one_of(values).as_bytes().to_vec()]);
        }
    };
    option(generator, "COUNT", &["1", "2", "10", "1000", "9223372036854775807"]);
    option(generator, "MATCH", &["*", "l*", "li1", "user:*", "{*", "[sl]?0", "*1", "missing", "[", "\\{list}*", ""]);
    // What is an error for Valkey would be asked for as often as it takes.
    let types: &[&str] =
        if peers.valkey { &["list", "string", "hash", "STRING"] } else { &["list", "string", "nothing"] };
    option(generator, "TYPE", types);
    Step::Scan { db: generator.random.random_range(0..3), options }
}

fn raw(random: &mut SmallRng) -> Vec<u8> {
    let pieces = words("request-pieces");
    let mut bytes = Vec::new();
    for _ in 0..random.random_range(1..=4) {
        bytes.extend_from_slice(&pieces[random.random_range(0..pieces.len())]);
    }
    if random.random_ratio(1, 4) {
        let at = random.random_range(0..bytes.len());
        // Bytes above 127 are spaces in the inline commands of Valkey.
        bytes[at] = random.random_range(0..128);
    }
    if random.random_ratio(1, 40) {
        bytes.extend(std::iter::repeat_n(b'x', 70_000));
    }
    bytes
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = |who: String, commands: &[Command]| -> Vec<String> {
            commands.iter().map(|command| format!("{who}> {}", written(command))).collect()
        };
        let lines: Vec<String> = match self {
            Step::Pipeline { client, commands } => lines(format!("client {client}"), commands),
            Step::Subscriber { subscriber, commands } => lines(format!("subscriber {subscriber}"), commands),
            Step::Stranger { commands } => lines("new client, requirepass secret".to_owned(), commands),
            Step::Silent { client, off, commands } => {
                lines(format!("client {client}, CLIENT REPLY {}", if *off { "OFF" } else { "SKIP" }), commands)
            }
            Step::Paused { client, commands } => lines(format!("client {client}, CLIENT PAUSE WRITE"), commands),
            Step::Observed { client, commands } => lines(format!("client {client}, MONITOR and SLOWLOG"), commands),
            Step::Kill { client, command } => vec![format!("client {client}> {}", written(command))],
            Step::Lapse { client, key } => vec![format!("client {client}> PEXPIRE {} 1", written(&vec![key.clone()]))],
            Step::Reconnect { client, quits } => {
                vec![format!("client {client} {} and reconnects", if *quits { "says QUIT" } else { "closes" })]
            }
            Step::Scan { db, options } => vec![format!("whole SCAN of db {db} {}", written(options))],
            Step::Raw(bytes) => vec![format!("raw {}", readable(bytes, SHOWN_MAX))],
            Step::Check => vec!["all data".to_owned()],
        };
        write!(out, "{}", lines.join("\n"))
    }
}

/// A command, its words in quotes only if they need them.
pub fn written(command: &Command) -> String {
    let plain = |word: &[u8]| {
        !word.is_empty() && word.len() < 100 && word.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'"')
    };
    let words = command.iter().map(|word| match plain(word) {
        true => String::from_utf8_lossy(word).into_owned(),
        false => readable(word, 70),
    });
    words.collect::<Vec<_>>().join(" ")
}
