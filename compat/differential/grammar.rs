//! Grammars of commands: one text file per command group, one line per form of a command.
//!
//! A line is an optional list of peers to which alone it may be sent (`@redis-8.2,valkey-9.1`), an optional weight, and then
//! words: a literal, `<kind>` of argument, `[optional]`, `(one | of)`, `{one to four times}`. Forms of a command that one of the
//! servers does not have are left out, so that a command joins by itself when it is built.

use crate::server::Server;
use crate::tame::Peers;
use std::collections::BTreeSet;

/// The grammars by group.
pub const GROUPS: [(&str, &str); 17] = [
    ("strings", include_str!("commands/strings.txt")),
    ("bitmaps", include_str!("commands/bitmaps.txt")),
    ("keys", include_str!("commands/keys.txt")),
    ("lists", include_str!("commands/lists.txt")),
    ("blocking", include_str!("commands/blocking.txt")),
    ("transactions", include_str!("commands/transactions.txt")),
    ("connection", include_str!("commands/connection.txt")),
    ("server", include_str!("commands/server.txt")),
    ("config", include_str!("commands/config.txt")),
    ("hashes", include_str!("commands/hashes.txt")),
    ("sets", include_str!("commands/sets.txt")),
    ("geo", include_str!("commands/geo.txt")),
    ("zsets", include_str!("commands/zsets.txt")),
    ("streams", include_str!("commands/streams.txt")),
    ("sort", include_str!("commands/sort.txt")),
    ("hyperloglog", include_str!("commands/hyperloglog.txt")),
    ("scripts", include_str!("commands/scripts.txt")),
];

const SUBSCRIBER: &str = include_str!("commands/pubsub.txt");
const STRANGER: &str = include_str!("commands/stranger.txt");
const KILL: &str = include_str!("commands/kill.txt");

/// A part of a form.
pub enum Word {
    Literal(String),
    Argument(String),
    Optional(Vec<Word>),
    OneOf(Vec<Vec<Word>>),
    Repeated(Vec<Word>),
}

/// The forms of all commands of some groups, each with its weight.
#[derive(Default)]
pub struct Grammar {
    pub forms: Vec<(u32, Vec<Word>)>,
}

/// What the clients of a round may send, by their part in it.
pub struct Grammars {
    pub client: Grammar,
    /// One who is subscribed to channels.
    pub subscriber: Grammar,
    /// One who has not given the password.
    pub stranger: Grammar,
    /// The ends of `CLIENT KILL` and `CLIENT LIST`.
    pub kill: Grammar,
    pub peers: Peers,
    /// Commands of the grammars that one of the servers lacks.
    pub left_out: BTreeSet<String>,
}

impl Grammars {
    /// The grammars of the named groups, without what one of the servers does not have. An unknown name is an error that
    /// lists the known ones.
    pub fn of(groups: &[String], servers: &[Server]) -> Result<Grammars, String> {
        let mut reader = Reader { servers, left_out: BTreeSet::new() };
        let mut client = Grammar::default();
        for group in groups {
            let known = || GROUPS.map(|(name, _)| name).join(", ");
            let (_, text) = GROUPS
                .iter()
                .find(|(name, _)| name == group)
                .ok_or_else(|| format!("no group {group}; there are {}", known()))?;
            client.forms.extend(reader.forms(text));
        }
        let [subscriber, stranger, kill] =
            [SUBSCRIBER, STRANGER, KILL].map(|text| Grammar { forms: reader.forms(text) });
        Ok(Grammars { client, subscriber, stranger, kill, peers: Peers::of(servers), left_out: reader.left_out })
    }
}

struct Reader<'a> {
    servers: &'a [Server],
    left_out: BTreeSet<String>,
}

impl Reader<'_> {
    fn forms(&mut self, text: &str) -> Vec<(u32, Vec<Word>)> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.filter_map(|line| self.form(line)).collect()
    }

    /// The form that a line describes, unless one of the servers is not meant or lacks the command.
    fn form(&mut self, line: &str) -> Option<(u32, Vec<Word>)> {
        let (peers, line) = match line.strip_prefix('@') {
            Some(line) => line.split_once(' ').unwrap_or((line, "")),
            None => ("", line),
        };
        if !peers.is_empty() && self.servers[1..].iter().any(|server| !peers.split(',').any(|peer| peer == server.kind))
        {
            return None;
        }
        let spaced = ["[", "]", "(", ")", "{", "}", "|"]
            .iter()
            .fold(line.to_owned(), |line, bracket| line.replace(bracket, &format!(" {bracket} ")));
        let mut words = spaced.split_whitespace().peekable();
        let weight = words.next_if(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
        let weight = weight.and_then(|weight| weight.parse().ok()).unwrap_or(1);
        let form = parse(&mut words, "");
        let missing: Vec<_> = command_names(&form).into_iter().filter(|name| self.is_partly_known(name)).collect();
        let is_complete = missing.is_empty();
        self.left_out.extend(missing);
        is_complete.then_some((weight, form))
    }

    /// Whether some servers have the command and others lack it. What none of them has is in the grammar for its error.
    fn is_partly_known(&self, name: &str) -> bool {
        let having = self.servers.iter().filter(|server| server.commands.contains(name)).count();
        having > 0 && having < self.servers.len()
    }
}

/// The commands that a form may be, `container|subcommand` among them.
fn command_names(form: &[Word]) -> Vec<String> {
    let literals = |word: &Word| -> Vec<String> {
        match word {
            Word::Literal(text) => vec![text.to_ascii_lowercase()],
            Word::OneOf(choices) => choices
                .iter()
                .filter_map(|choice| match choice.first() {
                    Some(Word::Literal(text)) => Some(text.to_ascii_lowercase()),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    };
    let firsts = form.first().map_or(Vec::new(), literals);
    let seconds = form.get(1).map_or(Vec::new(), literals);
    let pairs = firsts.iter().flat_map(|first| seconds.iter().map(move |second| format!("{first}|{second}")));
    pairs.chain(firsts.iter().cloned()).collect()
}

fn parse<'a>(words: &mut impl Iterator<Item = &'a str>, end: &str) -> Vec<Word> {
    let mut sequence = Vec::new();
    while let Some(word) = words.next() {
        sequence.push(match word {
            "[" => Word::Optional(parse(words, "]")),
            "{" => Word::Repeated(parse(words, "}")),
            "(" => {
                let mut choices = Vec::new();
                let mut choice = Vec::new();
                for word in parse(words, ")") {
                    match word {
                        Word::Literal(bar) if bar == "|" => choices.push(std::mem::take(&mut choice)),
                        word => choice.push(word),
                    }
                }
                choices.push(choice);
                Word::OneOf(choices)
            }
            word if word == end => return sequence,
            word => match word.strip_prefix('<').and_then(|word| word.strip_suffix('>')) {
                Some(kind) => Word::Argument(kind.to_owned()),
                None => Word::Literal(word.to_owned()),
            },
        });
    }
    sequence
}
