//! Draws commands from a grammar. Everything comes from the seed.

use crate::grammar::{Grammar, Word};
use crate::tame::{Peers, tame};
use crate::words::{lines, words};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use sha1::{Digest, Sha1};

/// A command: its name and arguments.
pub type Command = Vec<Vec<u8>>;

/// What all commands of a round have in common.
#[derive(Clone, Copy)]
pub struct Character {
    /// Keys of each type.
    pub key_count: u32,
    /// Where keys get bytes that need care: NUL, CRLF, a hash tag, many of them.
    pub key_form: u32,
    /// Of 1,000 commands, how many are damaged.
    pub damage_per_mille: u32,
    pub value_length_max: usize,
}

impl Character {
    pub fn draw(random: &mut SmallRng) -> Character {
        Character {
            key_count: *[2, 4, 8, 8, 300].choose(random).unwrap_or(&4),
            key_form: random.random_range(0..6),
            damage_per_mille: *[0, 20, 80].choose(random).unwrap_or(&20),
            value_length_max: *[8, 70, 300, 5000, 40_000].choose(random).unwrap_or(&70),
        }
    }
}

/// Draws commands.
pub struct Generator<'a> {
    grammar: &'a Grammar,
    pub random: SmallRng,
    character: Character,
    peers: Peers,
}

impl<'a> Generator<'a> {
    pub fn new(grammar: &'a Grammar, peers: Peers, character: Character, seed: u64) -> Generator<'a> {
        Generator { grammar, peers, character, random: SmallRng::seed_from_u64(seed) }
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u32) -> bool {
        self.random.random_range(0..times) == 0
    }

    /// One of several.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.random.random_range(0..choices.len())]
    }

    /// A word of a section of `words.txt`.
    fn word(&mut self, section: &str) -> Vec<u8> {
        words(section).choose(&mut self.random).cloned().expect("words.txt has words in every section")
    }

    fn pick(&mut self, from: &[&str]) -> Vec<u8> {
        self.one_of(from).as_bytes().to_vec()
    }

    /// A random command.
    pub fn command(&mut self) -> Command {
        let mut command = self.form();
        // A form that gave no word has no name.
        let name = command.first().map_or_else(Vec::new, |name| name.to_ascii_uppercase());
        // A damaged setting could be one that spoils the run.
        let may_be_damaged = !matches!(&name[..], b"CONFIG" | b"DEBUG" | b"");
        if may_be_damaged && self.random.random_range(0..1000) < self.character.damage_per_mille {
            self.damage(&mut command);
        }
        tame(&mut command, self.peers);
        command
    }

    /// A form of the grammar with arguments in place.
    fn form(&mut self) -> Command {
        let grammar = self.grammar;
        let mut command = Command::new();
        if let Ok((_, form)) = grammar.forms.choose_weighted(&mut self.random, |(weight, _)| *weight) {
            self.expand(form, &mut command);
        }
        command
    }

    fn expand(&mut self, form: &[Word], command: &mut Command) {
        for word in form {
            match word {
                Word::Literal(text) if self.one_in(10) => command.push(text.to_ascii_lowercase().into_bytes()),
                Word::Literal(text) => command.push(text.as_bytes().to_vec()),
                Word::Argument(kind) => self.argument(kind, command),
                Word::Optional(words) => {
                    if self.one_in(2) {
                        self.expand(words, command);
                    }
                }
                Word::OneOf(choices) => {
                    let choice = self.random.random_range(0..choices.len());
                    self.expand(&choices[choice], command);
                }
                Word::Repeated(words) => {
                    for _ in 0..self.random.random_range(1..=4) {
                        self.expand(words, command);
                    }
                }
            }
        }
    }

    fn argument(&mut self, kind: &str, command: &mut Command) {
        if let Some(kind) = kind.strip_prefix("numkeys:") {
            let keys = self.random.random_range(1..=3);
            let said = if self.one_in(20) { self.word("integers") } else { keys.to_string().into_bytes() };
            command.push(said);
            for _ in 0..keys {
                command.push(self.key(kind));
            }
            return;
        }
        if let Some(of) = kind.strip_prefix("script:") {
            command.push(self.script(of));
            return;
        }
        if let Some(of) = kind.strip_prefix("digest:") {
            let script = self.script(of);
            let digits = Sha1::digest(&script).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            command.push(digits.into_bytes());
            return;
        }
        match kind {
            // A whole command of the same grammar.
            "command" => {
                let inner = self.form();
                command.extend(inner);
                return;
            }
            // A directive and a value.
            "setting" => {
                if let Some([name, values @ ..]) = lines("settings").choose(&mut self.random).map(Vec::as_slice) {
                    let value =
                        values.choose(&mut self.random).cloned().expect("words.txt has values for every directive");
                    command.extend([name.clone(), value]);
                }
                return;
            }
            _ => {}
        }
        let argument = self.single(kind);
        command.push(argument);
    }

    /// An argument that is one word.
    fn single(&mut self, kind: &str) -> Vec<u8> {
        match kind {
            "string" | "list" | "bitmap" | "hash" | "set" | "zset" | "stream" | "hll" | "places" => self.key(kind),
            "key" => self.any_key(),
            "value" => self.value(),
            "number" => self.number(),
            "int" if self.one_in(20) => self.word("odd-numbers"),
            "int" => self.word("integers"),
            "index" if self.one_in(8) => self.word("integers"),
            "index" => self.random.random_range(-12..12).to_string().into_bytes(),
            "count" if self.one_in(10) => self.word("integers"),
            "count" => self.random.random_range(0..6).to_string().into_bytes(),
            "float" => self.word("floats"),
            "score" if self.one_in(3) => self.word("floats"),
            "score" => self.random.random_range(-9..9).to_string().into_bytes(),
            "scorebound" => {
                let bound = self.random.random_range(-9..9).to_string();
                self.pick(&["-inf", "+inf", "(1", "(-inf", &bound, &bound, &bound, &format!("({bound}"), "x"])
            }
            "longitude" | "latitude" | "edge" | "distance" if self.one_in(30) => self.word("floats"),
            // Near each other, or anywhere.
            "longitude" | "latitude" if self.one_in(2) => {
                self.random.random_range(-3.0..3.0_f64).to_string().into_bytes()
            }
            "longitude" => self.random.random_range(-180.0..180.0_f64).to_string().into_bytes(),
            "latitude" => self.random.random_range(-85.0..85.0_f64).to_string().into_bytes(),
            // Of a polygon: often on one line with others. Valkey misses some in those that are as wide as the map.
            "edge" if self.one_in(3) => self.random.random_range(-4..=4).to_string().into_bytes(),
            "edge" => self.random.random_range(-20.0..20.0_f64).to_string().into_bytes(),
            "distance" => 10_f64.powf(self.random.random_range(0.0..7.0)).to_string().into_bytes(),
            "lexbound" => self.pick(&["-", "+", "[a", "(a", "[m3", "(m5", "[z", "m", ""]),
            "member" => format!("m{}", self.random.random_range(0..12)).into_bytes(),
            "field" => format!("f{}", self.random.random_range(0..9)).into_bytes(),
            "bitoffset" if self.one_in(10) => self.word("integers"),
            "bitoffset" if self.one_in(10) => format!("#{}", self.random.random_range(0..20)).into_bytes(),
            "bitoffset" => self.random.random_range(0..900).to_string().into_bytes(),
            "bittype" if self.one_in(10) => {
                self.pick(&["u64", "i65", "u0", "i0", "x8", "8", "", "i-1", "u99999999999", "i64", "u63", "I8", "i08"])
            }
            "bittype" => {
                format!("{}{}", if self.one_in(2) { "u" } else { "i" }, self.random.random_range(1..64)).into_bytes()
            }
            "db" if self.one_in(12) => self.word("integers"),
            "db" => self.random.random_range(0..3).to_string().into_bytes(),
            "pattern" if self.one_in(2) => {
                (0..self.random.random_range(1..5)).flat_map(|_| self.word("pattern-pieces")).collect()
            }
            "pattern" => self.word("patterns"),
            "type" => self.pick(&["string", "list", "hash", "set", "zset", "stream", "STRING", "nothing"]),
            "channel" => self.word("channels"),
            "chanpattern" => self.word("channel-patterns"),
            "commandname" => self.word("commands"),
            "directive" => {
                lines("settings").choose(&mut self.random).map(|line| line[0].clone()).expect("words.txt has settings")
            }
            "clientid" => format!("\0id:{}", self.random.random_range(0..4)).into_bytes(),
            "clientaddr" => format!("\0addr:{}", self.random.random_range(0..4)).into_bytes(),
            "library" => self.word("libraries"),
            "function" => self.pick(&["set_and_get", "sum", "peek", "fail", "nosuch", "SUM"]),
            "group" => self.pick(&["g1", "g2"]),
            "consumer" => self.pick(&["c1", "c2", "c3"]),
            kind => self.time(kind).or_else(|| self.stream_id(kind)).unwrap_or_else(|| {
                panic!("the grammar names an argument that is not known: <{kind}>");
            }),
        }
    }

    /// Deadlines and timeouts. A deadline is far ahead or past: what is due while the servers are compared would be there in
    /// one and not in the other.
    fn time(&mut self, kind: &str) -> Option<Vec<u8>> {
        let random = |generator: &mut Self, low: i64, high: i64| generator.random.random_range(low..high).to_string();
        Some(match kind {
            "seconds" if self.one_in(6) => {
                self.pick(&["-1", "0", "-9223372036854775808", "9223372036854775807", "9223372036854776"])
            }
            "seconds" => random(self, 100_000, 9_000_000).into_bytes(),
            "milliseconds" if self.one_in(6) => self.pick(&["-1", "0", "-9223372036854775808", "9223372036854775807"]),
            "milliseconds" => random(self, 100_000_000, 9_000_000_000).into_bytes(),
            "attime" if self.one_in(6) => {
                self.pick(&["1", "0", "-5", "1000000000", "9223372036854775807", "9223372036854775"])
            }
            "attime" => random(self, 4_000_000_000, 9_000_000_000).into_bytes(),
            "attime-ms" if self.one_in(6) => self.pick(&["1", "0", "-5", "1000000000000", "9223372036854775807"]),
            "attime-ms" => random(self, 4_000_000_000_000, 9_000_000_000_000).into_bytes(),
            "timeout" if self.one_in(4) => self
                .pick(&["0.01", "0.001", "0.02", "1e-5", "-1", "abc", "inf", "nan", "1e400", "-0", "0.0", "", "1e18"]),
            "timeout" => b"0".to_vec(),
            _ => return None,
        })
    }

    fn stream_id(&mut self, kind: &str) -> Option<Vec<u8>> {
        let (time_max, sequence_max) = match kind {
            "streamid" => (30, 3),
            "newid" => (60, 4),
            _ => return None,
        };
        let time = self.random.random_range(0..time_max).to_string();
        let id = format!("{time}-{}", self.random.random_range(0..sequence_max));
        let any_sequence = format!("{time}-*");
        let largest = "18446744073709551615-18446744073709551615";
        if kind == "newid" {
            return Some(self.pick(&[&id, &id, &any_sequence, "0-0", largest, "x", "5"]));
        }
        let exclusive = format!("({id}");
        Some(self.pick(&[
            &*id,
            &id,
            &id,
            &id,
            &time,
            &time,
            &any_sequence,
            &exclusive,
            "-",
            "+",
            "$",
            "0",
            "0-0",
            "x-1",
            "1-x",
            largest,
        ]))
    }

    /// A script for keys of a type, or for any.
    fn script(&mut self, of: &str) -> Vec<u8> {
        let of = if self.one_in(12) { "any" } else { of };
        self.word(&format!("scripts-{of}"))
    }

    /// A key that mostly holds the type it is meant for.
    fn key(&mut self, kind: &str) -> Vec<u8> {
        if self.one_in(25) {
            return self.any_key();
        }
        let number = self.random.random_range(0..self.character.key_count);
        let name = format!("{}{number}", &kind[..2]);
        match (self.character.key_form, number) {
            (1, 0) => [name.as_bytes(), b"\0\r\n\xff"].concat(),
            (2, _) => format!("{{{kind}}}:{name}").into_bytes(),
            (3, 1) => name.repeat(300).into_bytes(),
            (4, 0) if kind == "string" => Vec::new(),
            (5, _) => format!("user:{number}:{kind}").into_bytes(),
            _ => name.into_bytes(),
        }
    }

    /// A key of any type, or one that is never there.
    pub fn any_key(&mut self) -> Vec<u8> {
        let kind = self.one_of(&["string", "list", "bitmap", "hash", "set", "zset", "stream"]);
        if self.one_in(20) { b"missing".to_vec() } else { self.key(kind) }
    }

    fn number(&mut self) -> Vec<u8> {
        match self.random.random_range(0..8) {
            0 => self.word("integers"),
            1 => self.word("floats"),
            2 => self.word("odd-numbers"),
            _ => self.random.random_range(-1000..1000).to_string().into_bytes(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let length_max = self.character.value_length_max;
        match self.random.random_range(0..10) {
            0 => self.number(),
            1 => self.random.random::<i64>().to_string().into_bytes(),
            2 => Vec::new(),
            3 => {
                let length = self.random.random_range(0..length_max);
                (0..length).map(|_| self.random.random()).collect()
            }
            4 => {
                // Compressible.
                let length = self.random.random_range(0..length_max);
                b"radish and tree ".iter().copied().cycle().take(length).collect()
            }
            // Lengths at which encodings change.
            5 => vec![b'x'; self.one_of(&[11, 12, 20, 21, 43, 44, 45, 63, 64, 65])],
            _ => format!("v{}", self.random.random_range(0..6)).into_bytes(),
        }
    }

    /// Breaks a command somewhere: an argument too many or too few, or one that does not belong there.
    fn damage(&mut self, command: &mut Command) {
        let at = self.random.random_range(0..command.len());
        match self.random.random_range(0..7) {
            0 => drop(command.pop()),
            1 if at > 0 => drop(command.remove(at)),
            2 => command.push(self.value()),
            3 => command.insert(at.max(1), self.value()),
            4 if at > 0 => command[at] = self.word("odd-numbers"),
            5 if at > 0 => command.insert(at, command[at].clone()),
            _ if at > 0 => command[at] = self.word("integers"),
            _ => command[0].push(b'x'),
        }
        if command.is_empty() {
            command.push(b"PING".to_vec());
        }
    }
}
