//! Random commands from grammars: one text file per command group, one line per form of a command.
//!
//! A line is an optional weight and then words: a literal, `<kind>` of argument, `[optional]`, `(one | of)`, `{one to four times}`.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// A command: its name and arguments.
pub type Command = Vec<Vec<u8>>;

/// The grammars by group.
pub const GROUPS: [(&str, &str); 14] = [
    ("strings", include_str!("commands/strings.txt")),
    ("bitmaps", include_str!("commands/bitmaps.txt")),
    ("keys", include_str!("commands/keys.txt")),
    ("lists", include_str!("commands/lists.txt")),
    ("blocking", include_str!("commands/blocking.txt")),
    ("transactions", include_str!("commands/transactions.txt")),
    ("connection", include_str!("commands/connection.txt")),
    ("server", include_str!("commands/server.txt")),
    ("hashes", include_str!("commands/hashes.txt")),
    ("sets", include_str!("commands/sets.txt")),
    ("zsets", include_str!("commands/zsets.txt")),
    ("streams", include_str!("commands/streams.txt")),
    ("sort", include_str!("commands/sort.txt")),
    ("hyperloglog", include_str!("commands/hyperloglog.txt")),
];

enum Word {
    Literal(String),
    Argument(String),
    Optional(Vec<Word>),
    OneOf(Vec<Vec<Word>>),
    Repeated(Vec<Word>),
}

/// The forms of all commands of some groups.
pub struct Grammar {
    forms: Vec<(u32, Vec<Word>)>,
}

impl Grammar {
    /// What subscribers send.
    pub fn of_subscribers() -> Grammar {
        let mut grammar = Grammar { forms: Vec::new() };
        grammar.add(include_str!("commands/pubsub.txt"));
        grammar
    }

    /// The grammar of the named groups. An unknown name is an error that lists the known ones.
    pub fn of(groups: &[String]) -> Result<Grammar, String> {
        let mut grammar = Grammar { forms: Vec::new() };
        for group in groups {
            let known = || GROUPS.map(|(name, _)| name).join(", ");
            let (_, text) = GROUPS
                .iter()
                .find(|(name, _)| name == group)
                .ok_or_else(|| format!("no group {group}; there are {}", known()))?;
            grammar.add(text);
        }
        Ok(grammar)
    }

    fn add(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let spaced = ["[", "]", "(", ")", "{", "}", "|"]
                .iter()
                .fold(line.to_owned(), |line, bracket| line.replace(bracket, &format!(" {bracket} ")));
            let mut words = spaced.split_whitespace().peekable();
            let weight = words.next_if(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
            let weight = weight.and_then(|weight| weight.parse().ok()).unwrap_or(1);
            self.forms.push((weight, parse(&mut words, "")));
        }
    }
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

/// Whole numbers around every limit that a parser may have. None is so large that it is valid and makes a server allocate much,
/// see [`Generator::tame`].
const INTEGERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "-2",
    "3",
    "5",
    "7",
    "8",
    "10",
    "-10",
    "16",
    "63",
    "64",
    "65",
    "100",
    "-100",
    "127",
    "128",
    "255",
    "256",
    "1000",
    "32767",
    "32768",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775806",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
];

/// What looks like a number and is not one, or only to a lenient parser.
const ODD_NUMBERS: &[&str] = &[
    "",
    "+1",
    "-0",
    "00",
    "01",
    "1.0",
    " 1",
    "1 ",
    "0x10",
    "1e3",
    "abc",
    "--1",
    "-",
    "1_000",
    "nan",
    "1\n",
    "\u{661}",
    "99999999999999999999999999999999999999999",
];

const FLOATS: &[&str] = &[
    "0",
    "1",
    "-1",
    "0.1",
    "-0.1",
    "0.2",
    "1.5",
    "3.0e3",
    "1e5",
    "1e-5",
    "5.0",
    "5e-324",
    "1.7976931348623157e308",
    "1e17",
    "1e18",
    "123456789.123456789",
    "3.14159265358979323846",
    "0.30000000000000004",
    "1e22",
    "1e400",
    "-1e400",
    "inf",
    "-inf",
    "+inf",
    "infinity",
    "nan",
    ".5",
    "5.",
    "0x1p3",
    "1e",
    "1.2.3",
    "",
    " 1.5",
    "1.5 ",
    "abc",
    "-0.0",
    "1e-400",
    "100000000000000000000.5",
];

/// Draws commands. Everything comes from the seed.
pub struct Generator<'a> {
    grammar: &'a Grammar,
    pub random: SmallRng,
    /// Keys of each type.
    key_count: u32,
    /// Where keys get bytes that need care: NUL, CRLF, a hash tag, many of them.
    key_form: u32,
    /// Of 1,000 commands, how many are damaged.
    damage_per_mille: u32,
    value_length_max: usize,
}

impl<'a> Generator<'a> {
    pub fn new(grammar: &'a Grammar, seed: u64) -> Generator<'a> {
        let mut random = SmallRng::seed_from_u64(seed);
        Generator {
            grammar,
            key_count: *[2, 4, 8].choose(&mut random).unwrap_or(&4),
            key_form: random.random_range(0..6),
            damage_per_mille: *[0, 20, 80].choose(&mut random).unwrap_or(&20),
            value_length_max: *[8, 70, 300, 5000].choose(&mut random).unwrap_or(&70),
            random,
        }
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u32) -> bool {
        self.random.random_range(0..times) == 0
    }

    fn pick(&mut self, from: &[&str]) -> Vec<u8> {
        from.choose(&mut self.random).unwrap_or(&"").as_bytes().to_vec()
    }

    /// A random command.
    pub fn command(&mut self) -> Command {
        let grammar = self.grammar;
        let Ok((_, form)) = grammar.forms.choose_weighted(&mut self.random, |(weight, _)| *weight) else {
            return Command::new();
        };
        let mut command = Command::new();
        self.expand(form, &mut command);
        if self.random.random_range(0..1000) < self.damage_per_mille {
            self.damage(&mut command);
        }
        self.tame(&mut command);
        command
    }

    fn expand(&mut self, words: &[Word], command: &mut Command) {
        for word in words {
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
            let said = if self.one_in(20) { self.pick(INTEGERS) } else { keys.to_string().into_bytes() };
            command.push(said);
            for _ in 0..keys {
                command.push(self.key(kind));
            }
            return;
        }
        let argument = match kind {
            "string" | "list" | "bitmap" | "hash" | "set" | "zset" | "stream" | "hll" => self.key(kind),
            "key" => self.any_key(),
            "value" => self.value(),
            "number" => self.number(),
            "int" if self.one_in(20) => self.pick(ODD_NUMBERS),
            "int" => self.pick(INTEGERS),
            "index" if self.one_in(8) => self.pick(INTEGERS),
            "index" => self.random.random_range(-12..12).to_string().into_bytes(),
            "count" if self.one_in(10) => self.pick(INTEGERS),
            "count" => self.random.random_range(0..6).to_string().into_bytes(),
            "float" => self.pick(FLOATS),
            "score" if self.one_in(3) => self.pick(FLOATS),
            "score" => self.random.random_range(-9..9).to_string().into_bytes(),
            "scorebound" => {
                let bound = self.random.random_range(-9..9).to_string();
                self.pick(&["-inf", "+inf", "(1", "(-inf", &bound, &bound, &bound, &format!("({bound}"), "x"])
            }
            "lexbound" => self.pick(&["-", "+", "[a", "(a", "[m3", "(m5", "[z", "m", ""]),
            "member" => format!("m{}", self.random.random_range(0..12)).into_bytes(),
            "field" => format!("f{}", self.random.random_range(0..9)).into_bytes(),
            "bitoffset" if self.one_in(10) => self.pick(INTEGERS),
            "bitoffset" if self.one_in(10) => format!("#{}", self.random.random_range(0..20)).into_bytes(),
            "bitoffset" => self.random.random_range(0..900).to_string().into_bytes(),
            "bittype" if self.one_in(10) => {
                self.pick(&["u64", "i65", "u0", "i0", "x8", "8", "", "i-1", "u99999999999"])
            }
            "bittype" => {
                format!("{}{}", if self.one_in(2) { "u" } else { "i" }, self.random.random_range(1..64)).into_bytes()
            }
            // Far ahead or past: what is due while the servers are compared would be there in one and not in the other.
            "seconds" if self.one_in(6) => {
                self.pick(&["-1", "0", "-9223372036854775808", "9223372036854775807", "9223372036854776"])
            }
            "seconds" => self.random.random_range(100_000..9_000_000).to_string().into_bytes(),
            "milliseconds" if self.one_in(6) => self.pick(&["-1", "0", "-9223372036854775808", "9223372036854775807"]),
            "milliseconds" => self.random.random_range(100_000_000..9_000_000_000_i64).to_string().into_bytes(),
            "attime" if self.one_in(6) => {
                self.pick(&["1", "0", "-5", "1000000000", "9223372036854775807", "9223372036854775"])
            }
            "attime" => self.random.random_range(4_000_000_000..9_000_000_000_i64).to_string().into_bytes(),
            "attime-ms" if self.one_in(6) => self.pick(&["1", "0", "-5", "1000000000000", "9223372036854775807"]),
            "attime-ms" => self.random.random_range(4_000_000_000_000..9_000_000_000_000_i64).to_string().into_bytes(),
            "timeout" if self.one_in(4) => {
                self.pick(&["0.01", "0.001", "0.02", "-1", "abc", "inf", "nan", "1e400", "-0", "0.0"])
            }
            "timeout" => b"0".to_vec(),
            "db" if self.one_in(12) => self.pick(INTEGERS),
            "db" => self.random.random_range(0..3).to_string().into_bytes(),
            "pattern" => {
                self.pick(&["*", "*1", "?2*", "[ls]*", "[^l]*", "l?", "\\*", "", "[", "[a-", "l[0-3]", "*{*", "**1**"])
            }
            "type" => self.pick(&["string", "list", "hash", "set", "zset", "stream", "STRING", "nothing"]),
            "clientid" => format!("\0id:{}", self.random.random_range(0..4)).into_bytes(),
            "streamid" => {
                let id = format!("{}-{}", self.random.random_range(0..30), self.random.random_range(0..3));
                let time = self.random.random_range(0..30).to_string();
                let any_sequence = format!("{time}-*");
                let exclusive = format!("({id}");
                let pool = [
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
                    "18446744073709551615-18446744073709551615",
                ];
                self.pick(&pool)
            }
            "newid" => {
                let id = format!("{}-{}", self.random.random_range(1..60), self.random.random_range(0..4));
                let time = format!("{}-*", self.random.random_range(1..60));
                self.pick(&[&id, &id, &time, "0-0", "18446744073709551615-18446744073709551615", "x", "5"])
            }
            "channel" => self.pick(&["news", "news.it", "chat:1", "", "a\0b", "__keyspace@0__:li1"]),
            "chanpattern" => self.pick(&["*", "news*", "n?ws", "chat:[12]", "[", "\\*", "__key*", "*e*"]),
            "group" => self.pick(&["g1", "g2"]),
            "consumer" => self.pick(&["c1", "c2", "c3"]),
            other => panic!("the grammar names an argument that is not known: <{other}>"),
        };
        command.push(argument);
    }

    /// A key that mostly holds the type it is meant for.
    fn key(&mut self, kind: &str) -> Vec<u8> {
        if self.one_in(25) {
            return self.any_key();
        }
        let number = self.random.random_range(0..self.key_count);
        let name = format!("{}{number}", &kind[..2]);
        match (self.key_form, number) {
            (1, 0) => [name.as_bytes(), b"\0\r\n\xff"].concat(),
            (2, _) => format!("{{{kind}}}:{name}").into_bytes(),
            (3, 1) => name.repeat(300).into_bytes(),
            (4, 0) if kind == "string" => Vec::new(),
            (5, _) => format!("user:{number}:{kind}").into_bytes(),
            _ => name.into_bytes(),
        }
    }

    fn any_key(&mut self) -> Vec<u8> {
        let kind = *["string", "list", "bitmap", "hash", "set", "zset", "stream"]
            .choose(&mut self.random)
            .unwrap_or(&"string");
        if self.one_in(20) { b"missing".to_vec() } else { self.key(kind) }
    }

    fn number(&mut self) -> Vec<u8> {
        match self.random.random_range(0..8) {
            0 => self.pick(INTEGERS),
            1 => self.pick(FLOATS),
            2 => self.pick(ODD_NUMBERS),
            _ => self.random.random_range(-1000..1000).to_string().into_bytes(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        match self.random.random_range(0..10) {
            0 => self.number(),
            1 => self.random.random::<i64>().to_string().into_bytes(),
            2 => Vec::new(),
            3 => {
                let length = self.random.random_range(0..self.value_length_max);
                (0..length).map(|_| self.random.random()).collect()
            }
            4 => {
                // Compressible.
                let length = self.random.random_range(0..self.value_length_max);
                b"radish and tree ".iter().copied().cycle().take(length).collect()
            }
            // Lengths at which encodings change.
            5 => {
                let length = *[11, 12, 20, 21, 43, 44, 45, 63, 64, 65].choose(&mut self.random).unwrap_or(&44);
                vec![b'x'; length]
            }
            _ => format!("v{}", self.random.random_range(0..6)).into_bytes(),
        }
    }

    /// Breaks a command somewhere: an argument too many or too few, or one that does not belong there.
    fn damage(&mut self, command: &mut Command) {
        let at = self.random.random_range(0..command.len());
        match self.random.random_range(0..6) {
            0 => drop(command.pop()),
            1 if at > 0 => drop(command.remove(at)),
            2 => command.push(self.value()),
            3 => command.insert(at.max(1), self.value()),
            4 if at > 0 => command[at] = self.pick(ODD_NUMBERS),
            _ if at > 0 => command[at] = self.pick(INTEGERS),
            _ => command[0].push(b'x'),
        }
        if command.is_empty() {
            command.push(b"PING".to_vec());
        }
    }

    /// Changes what is valid and would still spoil the run: gigabytes of zeros, keys that expire between two comparisons,
    /// clients that block for some seconds.
    fn tame(&mut self, command: &mut Command) {
        let name = command[0].to_ascii_uppercase();
        let number =
            |argument: &[u8]| std::str::from_utf8(argument).ok().and_then(|text| text.trim().parse::<f64>().ok());
        // Every argument that is a number in the range is replaced.
        let mut replace = |low: f64, high: f64, with: &str| {
            for argument in &mut command[1..] {
                let digits = argument.strip_prefix(b"#").unwrap_or(argument);
                if number(digits).is_some_and(|value| value > low && value < high) {
                    *argument = with.as_bytes().to_vec();
                }
            }
        };
        match &name[..] {
            b"SETBIT" | b"BITFIELD" => replace(100_000.0, 4_294_967_296.0, "77"),
            // An id that a client has.
            b"CLIENT" => replace(0.0, 1e9, "999999999"),
            b"SETRANGE" => replace(100_000.0, 530_000_000.0, "77"),
            b"EXPIRE" | b"PEXPIRE" | b"GETEX" | b"SETEX" | b"PSETEX" | b"SET" | b"HEXPIRE" | b"HPEXPIRE" => {
                let shortest =
                    if name.first() == Some(&b'P') || name.starts_with(b"HP") { 100_000_000.0 } else { 100_000.0 };
                let option = |argument: &Vec<u8>| matches!(&argument.to_ascii_uppercase()[..], b"EX" | b"PX");
                for at in 1..command.len() {
                    let is_time = match &name[..] {
                        b"SET" | b"GETEX" => at > 1 && option(&command[at - 1]),
                        _ => at == 2,
                    };
                    let shortest = if command[at - 1].eq_ignore_ascii_case(b"PX") { 100_000_000.0 } else { shortest };
                    if is_time && number(&command[at]).is_some_and(|value| value > 0.0 && value < shortest) {
                        command[at] = b"500000000".to_vec();
                    }
                }
            }
            // Redis 8.2 forgets to answer a wrong password of a user when the command is not the first of its pipeline.
            b"AUTH" => command.truncate(2),
            b"SRANDMEMBER" | b"HRANDFIELD" | b"ZRANDMEMBER" => replace(-9e18, -1000.0, "-5"),
            _ => {
                if let Some(at) = timeout_position(command)
                    && number(&command[at]).is_some_and(|value| value > 0.05 && value.is_finite())
                {
                    command[at] = b"0".to_vec();
                }
            }
        }
    }
}

/// Where a blocking command has its timeout; `None` for all others.
fn timeout_position(command: &Command) -> Option<usize> {
    let at = match &command[0].to_ascii_uppercase()[..] {
        b"BLPOP" | b"BRPOP" | b"BLMOVE" | b"BRPOPLPUSH" | b"BZPOPMIN" | b"BZPOPMAX" => command.len() - 1,
        b"BLMPOP" | b"BZMPOP" => 1,
        b"XREAD" | b"XREADGROUP" => command.iter().position(|word| word.eq_ignore_ascii_case(b"BLOCK"))? + 1,
        _ => return None,
    };
    (at > 0 && at < command.len()).then_some(at)
}

/// Whether the command may leave its client waiting for others.
pub fn may_block(command: &Command) -> bool {
    timeout_position(command).is_some()
}
