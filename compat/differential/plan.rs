//! What a round does: steps drawn from a seed, before anything is sent.

use crate::grammar::{Command, Generator, Grammar, may_block};
use crate::reply::readable;
use rand::Rng;
use rand::seq::IndexedRandom;
use std::fmt;

/// One thing done to all servers, whose results are compared before the next.
#[derive(Clone, Debug)]
pub enum Step {
    /// Commands that one client sends at once. One that may block is always the last.
    Pipeline { client: usize, commands: Vec<Command> },
    /// A client goes away, in a transaction or blocked maybe, and another takes its place.
    Reconnect { client: usize },
    /// What a subscriber sends.
    Subscriber { subscriber: usize, commands: Vec<Command> },
    /// A whole iteration over a database, with these options.
    Scan { db: u32, options: Command },
    /// Bytes on a connection of their own, proper requests or not, and everything that comes back until it closes.
    Raw(Vec<u8>),
    /// All data and all messages are compared.
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

impl Plan {
    /// The round of a seed, of at least so many commands.
    pub fn draw(grammar: &Grammar, subscriber_grammar: &Grammar, seed: u64, commands: usize) -> Plan {
        let mut generator = Generator::new(grammar, seed);
        let mut subscribing = Generator::new(subscriber_grammar, seed);
        let protocols =
            |generator: &mut Generator, count| (0..count).map(|_| 2 + u8::from(generator.one_in(2))).collect();
        let client_count = generator.random.random_range(1..=4);
        let clients: Vec<u8> = protocols(&mut generator, client_count);
        let subscribers: Vec<u8> = protocols(&mut generator, 2);
        let list_limit = *["-2", "-1", "2", "7", "128"].choose(&mut generator.random).unwrap_or(&"-2");
        let events = *["KEA", "", "Kl$", "Eg", "KEAnm"].choose(&mut generator.random).unwrap_or(&"");
        let config = [
            ["list-max-listpack-size", list_limit],
            ["notify-keyspace-events", events],
            ["maxmemory-policy", "noeviction"],
            ["maxmemory-samples", "5"],
        ];
        let depth_max = *[1, 3, 12, 40].choose(&mut generator.random).unwrap_or(&3);
        let mut steps = Vec::new();
        let mut in_transaction = vec![false; clients.len()];
        let (mut sent, mut sent_at_check) = (0, 0);
        while sent < commands {
            let client = generator.random.random_range(0..clients.len());
            match generator.random.random_range(0..1000) {
                0..4 => {
                    in_transaction[client] = false;
                    steps.push(Step::Reconnect { client });
                }
                4..12 => steps.push(scan(&mut generator)),
                12..20 => steps.push(Step::Raw(raw(&mut generator))),
                20..40 => {
                    let subscriber = 1;
                    let commands = (0..generator.random.random_range(1..4)).map(|_| subscribing.command()).collect();
                    steps.push(Step::Subscriber { subscriber, commands });
                }
                _ => {
                    let mut pipeline = Vec::new();
                    for _ in 0..generator.random.random_range(1..=depth_max) {
                        let command = match in_transaction[client] && generator.one_in(6) {
                            true => vec![b"EXEC".to_vec()],
                            false => generator.command(),
                        };
                        let name = command[0].to_ascii_uppercase();
                        match &name[..] {
                            b"MULTI" => in_transaction[client] = true,
                            b"EXEC" | b"DISCARD" | b"RESET" => in_transaction[client] = false,
                            _ => {}
                        }
                        let last = may_block(&command);
                        pipeline.push(command);
                        if last {
                            break;
                        }
                    }
                    sent += pipeline.len();
                    steps.push(Step::Pipeline { client, commands: pipeline });
                }
            }
            if sent - sent_at_check >= COMMANDS_PER_CHECK {
                sent_at_check = sent;
                steps.push(Step::Check);
            }
        }
        steps.push(Step::Check);
        Plan { clients, subscribers, config: config.map(|pair| pair.map(str::to_owned)).to_vec(), steps }
    }

    /// The same round with other steps.
    pub fn with_steps(&self, steps: Vec<Step>) -> Plan {
        Plan { steps, ..self.clone() }
    }
}

fn scan(generator: &mut Generator) -> Step {
    let mut options = Command::new();
    let mut option = |generator: &mut Generator, name: &str, values: &[&str]| {
        if generator.one_in(2) {
            let value = values.choose(&mut generator.random).unwrap_or(&"*");
            options.extend([name.as_bytes().to_vec(), value.as_bytes().to_vec()]);
        }
    };
    option(generator, "COUNT", &["1", "2", "10", "1000", "9223372036854775807"]);
    option(generator, "MATCH", &["*", "l*", "li1", "user:*", "{*", "[sl]?0", "*1", "missing", "[", "\\{list}*", ""]);
    option(generator, "TYPE", &["list", "string", "hash", "zset", "nothing", "STRING"]);
    Step::Scan { db: generator.random.random_range(0..3), options }
}

/// Pieces of requests, whole, broken and inline. `ECHO` and `PING` only, so that what is left of a request does no harm.
const PIECES: &[&[u8]] = &[
    b"PING\r\n",
    b"ping\n",
    b"\r\n",
    b"\r\n\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"*-5\r\n",
    b"*\r\n",
    b"*abc\r\n",
    b"*1 \r\n",
    b"*+1\r\n$4\r\nPING\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
    b"*2\r\n$4\r\nECHO\r\n$5\r\nhe\r\no\r\n",
    b"*1\r\n$4\r\nPINGxx",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$\r\n",
    b"*1\r\n$abc\r\n",
    b"*1\r\n$4 \r\nPING\r\n",
    b"*1\r\n:1\r\n",
    b"*1\r\nPING\r\n",
    b"*1\r\n$0\r\n\r\n",
    b"*1\r\n$536870913\r\n",
    b"*1\r\n$99999999999999999999\r\n",
    b"*99999999999\r\n",
    b"*2147483648\r\n",
    b"*3\r\n$4\r\nECHO\r\n",
    b"$4\r\n",
    b"ECHO \"a\\x41\\n\\\"\\\\\"\r\n",
    b"ECHO 'a\\'b\\n'\r\n",
    b"ECHO \"unbalanced\r\n",
    b"ECHO 'unbalanced\r\n",
    b"ECHO \"a\"b\r\n",
    b"ECHO a\0b\r\n",
    b"  ECHO   spaced  \r\n",
    b"\tECHO\ttabbed\r\n",
    b"ECHO \"\"\r\n",
    b"ECHO a\"b c\"d\r\n",
    b"\"\"\r\n",
    b"POST / HTTP/1.1\r\n",
    b"Host: example.org\r\n",
    b"host: example.org\r\n",
    b"GET / HTTP/1.1\r\n",
    b"\0\r\n",
    b"\xff\xfe\r\n",
];

fn raw(generator: &mut Generator) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..generator.random.random_range(1..=4) {
        bytes.extend_from_slice(PIECES.choose(&mut generator.random).unwrap_or(&PIECES[0]));
    }
    if generator.one_in(4) {
        let at = generator.random.random_range(0..bytes.len());
        bytes[at] = generator.random.random();
    }
    if generator.one_in(40) {
        bytes.extend(std::iter::repeat_n(b'x', 70_000));
    }
    bytes
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = |command: &Command| command.iter().map(|word| written(word)).collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = match self {
            Step::Pipeline { client, commands } => {
                commands.iter().map(|command| format!("client {client}> {}", written(command))).collect()
            }
            Step::Reconnect { client } => vec![format!("client {client} reconnects")],
            Step::Subscriber { subscriber, commands } => {
                commands.iter().map(|command| format!("subscriber {subscriber}> {}", written(command))).collect()
            }
            Step::Scan { db, options } => vec![format!("whole SCAN of db {db} {}", written(options))],
            Step::Raw(bytes) => vec![format!("raw {}", readable(bytes))],
            Step::Check => vec!["all data".to_owned()],
        };
        write!(out, "{}", lines.join("\n"))
    }
}

/// A word of a command, in quotes only if it needs them.
fn written(word: &[u8]) -> String {
    let plain =
        !word.is_empty() && word.len() < 100 && word.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'"');
    if plain { String::from_utf8_lossy(word).into_owned() } else { readable(word) }
}
