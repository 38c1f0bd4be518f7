//! Commands as they come over HTTP, in JSON, in MessagePack or as a path, and as the server reads them.

use crate::resp::write_command;
use percent_encoding::percent_decode_str;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// What a body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    MessagePack,
}

/// Commands as the server reads them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Commands {
    pub bytes: Vec<u8>,
    pub count: usize,
}

/// Why there are no commands: what is wrong with the request, in words for the client.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl Malformed {
    fn because(reason: &dyn fmt::Display) -> Malformed {
        Malformed(format!("ERR failed to parse the request: {reason}"))
    }
}

/// Arguments between brackets that may be nested: commands are flat.
const DEPTH_MAX: usize = 8;

/// What a command of several is not to be called, with its first argument. `None`: it may run.
pub type Refusal<'r> = &'r dyn Fn(&[u8], &[u8]) -> Option<String>;

impl Commands {
    /// One command: an array of strings, numbers and booleans.
    pub fn one(body: &[u8], format: Format, refusal: Refusal<'_>) -> Result<Commands, Malformed> {
        let mut encoder = Encoder::new(refusal);
        let decoded = decode(body, format, OneCommand(&mut encoder));
        encoder.end(decoded)
    }

    /// An array of commands.
    pub fn many(body: &[u8], format: Format, refusal: Refusal<'_>) -> Result<Commands, Malformed> {
        let mut encoder = Encoder::new(refusal);
        let decoded = decode(body, format, ManyCommands(&mut encoder));
        let commands = encoder.end(decoded)?;
        if commands.count == 0 {
            return Err(Malformed("ERR empty pipeline request".into()));
        }
        Ok(commands)
    }

    /// One command, given as `/NAME/argument/…?TOKEN=value&FLAG`; the body comes before what follows the question mark.
    pub fn from_path(
        path: &str,
        body: Option<&[u8]>,
        query: &str,
        refusal: Refusal<'_>,
    ) -> Result<Commands, Malformed> {
        let mut encoder = Encoder::new(refusal);
        for segment in path.trim_start_matches('/').split('/') {
            encoder.argument(&unescape(segment));
        }
        if let Some(body) = body {
            encoder.argument(body);
        }
        for (name, value) in pairs(query).filter(|(name, _)| name != b"_token") {
            encoder.argument(&name);
            if !value.is_empty() {
                encoder.argument(&value);
            }
        }
        encoder.finish().map_err(Malformed)?;
        Ok(encoder.commands)
    }

    /// A command of these words.
    pub fn of(words: &[&[u8]]) -> Commands {
        let mut commands = Commands::default();
        commands.push(words);
        commands
    }

    /// Adds a command of these words.
    pub fn push(&mut self, words: &[&[u8]]) {
        write_command(&mut self.bytes, words.iter().copied());
        self.count += 1;
    }

    /// The same commands between `MULTI` and `EXEC`.
    pub fn in_transaction(self) -> Commands {
        let mut whole = Commands::of(&[b"MULTI"]);
        whole.bytes.extend_from_slice(&self.bytes);
        whole.count += self.count;
        whole.push(&[b"EXEC"]);
        whole
    }
}

/// The parts of a query, each a name and a value, which may be empty.
pub fn pairs(query: &str) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    query.split('&').filter(|part| !part.is_empty()).map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let plain = |text: &str| unescape(&text.replace('+', " "));
        (plain(name), plain(value))
    })
}

fn unescape(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

fn decode<'b, T: DeserializeSeed<'b, Value = ()>>(body: &'b [u8], format: Format, seed: T) -> Result<(), Malformed> {
    match format {
        Format::Json => {
            let mut decoder = serde_json::Deserializer::from_slice(body);
            seed.deserialize(&mut decoder).and_then(|()| decoder.end()).map_err(|error| Malformed::because(&error))
        }
        Format::MessagePack => {
            let mut decoder = rmp_serde::Deserializer::from_read_ref(body);
            decoder.set_max_depth(DEPTH_MAX);
            seed.deserialize(&mut decoder).map_err(|error| Malformed::because(&error))?;
            match IgnoredAny::deserialize(&mut decoder) {
                Ok(_) => Err(Malformed::because(&"there is more behind the commands")),
                Err(_) => Ok(()),
            }
        }
    }
}

/// Writes commands, argument by argument.
struct Encoder<'r> {
    commands: Commands,
    /// The arguments of the present command, as they will follow its head.
    arguments: Vec<u8>,
    count: usize,
    name: Vec<u8>,
    first: Vec<u8>,
    refusal: Refusal<'r>,
    /// Why a command was refused.
    reason: Option<String>,
}

impl<'r> Encoder<'r> {
    fn new(refusal: Refusal<'r>) -> Self {
        Encoder {
            commands: Commands::default(),
            arguments: Vec::new(),
            count: 0,
            name: Vec::new(),
            first: Vec::new(),
            refusal,
            reason: None,
        }
    }

    fn end(self, decoded: Result<(), Malformed>) -> Result<Commands, Malformed> {
        match (decoded, self.reason) {
            (Ok(()), _) => Ok(self.commands),
            // Without what the decoder says of it.
            (Err(_), Some(reason)) => Err(Malformed(reason)),
            (Err(error), None) => Err(error),
        }
    }

    fn argument(&mut self, bytes: &[u8]) {
        let kept = match self.count {
            0 => Some(&mut self.name),
            1 => Some(&mut self.first),
            _ => None,
        };
        if let Some(kept) = kept {
            // No name that is refused is longer.
            kept.extend_from_slice(&bytes[..bytes.len().min(NAME_BYTES)]);
        }
        self.head(b'$', bytes.len());
        self.arguments.extend_from_slice(bytes);
        self.arguments.extend_from_slice(b"\r\n");
        self.count += 1;
    }

    fn head(&mut self, kind: u8, number: usize) {
        self.arguments.push(kind);
        self.arguments.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        self.arguments.extend_from_slice(b"\r\n");
    }

    /// Ends the present command. Errors: it is none, or not for HTTP.
    fn finish(&mut self) -> Result<(), String> {
        if self.count == 0 || self.name.is_empty() {
            return Err("ERR empty command".into());
        }
        if let Some(reason) = (self.refusal)(&self.name, &self.first) {
            return Err(reason);
        }
        let bytes = &mut self.commands.bytes;
        bytes.push(b'*');
        bytes.extend_from_slice(itoa::Buffer::new().format(self.count).as_bytes());
        bytes.extend_from_slice(b"\r\n");
        bytes.append(&mut self.arguments);
        self.commands.count += 1;
        (self.count, self.name, self.first) = (0, Vec::new(), Vec::new());
        Ok(())
    }
}

/// Bytes of a command's name that are looked at.
const NAME_BYTES: usize = 32;

struct OneCommand<'e, 'r>(&'e mut Encoder<'r>);

impl<'de> DeserializeSeed<'de> for OneCommand<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for OneCommand<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a command, which is an array of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut arguments: A) -> Result<(), A::Error> {
        while arguments.next_element_seed(Argument(self.0))?.is_some() {}
        self.0.finish().map_err(|reason| A::Error::custom(self.0.reason.insert(reason)))
    }
}

struct ManyCommands<'e, 'r>(&'e mut Encoder<'r>);

impl<'de> DeserializeSeed<'de> for ManyCommands<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ManyCommands<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of commands")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut commands: A) -> Result<(), A::Error> {
        while commands.next_element_seed(OneCommand(self.0))?.is_some() {}
        Ok(())
    }
}

struct Argument<'e, 'r>(&'e mut Encoder<'r>);

impl<'de> DeserializeSeed<'de> for Argument<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Argument<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number or a boolean")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.argument(text.as_bytes());
        Ok(())
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<(), E> {
        self.0.argument(bytes);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.0.argument(itoa::Buffer::new().format(number).as_bytes());
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.0.argument(itoa::Buffer::new().format(number).as_bytes());
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.0.argument(number.to_string().as_bytes());
        Ok(())
    }

    fn visit_bool<E>(self, is_true: bool) -> Result<(), E> {
        self.0.argument(if is_true { b"true" } else { b"false" });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{Args, Progress, RequestLimits, parse_request};
    use proptest::prelude::*;

    fn text(commands: Result<Commands, Malformed>) -> Result<String, String> {
        let commands = commands.map_err(|Malformed(reason)| reason)?;
        Ok(format!("{} {}", commands.count, String::from_utf8_lossy(&commands.bytes).replace("\r\n", " ")))
    }

    fn free(_: &[u8], _: &[u8]) -> Option<String> {
        None
    }

    #[test]
    fn commands_in_json() {
        let one = |body: &str| text(Commands::one(body.as_bytes(), Format::Json, &free));
        assert_eq!(
            one(r#"["SET", "k\u00e9", 1, -2, 1.5, true, 2.0]"#).as_deref(),
            Ok("1 *7 $3 SET $3 ké $1 1 $2 -2 $3 1.5 $4 true $1 2 ")
        );
        assert_eq!(one("[]").unwrap_err(), "ERR empty command");
        for body in
            ["", "{}", "[", "[\"a\"", "[null]", "[[1]]", "[{}]", "\"a\"", "[\"a\"] x", "[\"\\ud800\"]", "[\"\"]"]
        {
            assert!(one(body).is_err(), "{body}");
        }
        let many = |body: &str| text(Commands::many(body.as_bytes(), Format::Json, &free));
        assert_eq!(many(r#"[["PING"],["ECHO","a"]]"#).as_deref(), Ok("2 *1 $4 PING *2 $4 ECHO $1 a "));
        assert_eq!(many("[]").unwrap_err(), "ERR empty pipeline request");
        for body in [r#"["PING"]"#, "[[]]", "[[[\"a\"]]]"] {
            assert!(many(body).is_err(), "{body}");
        }
        assert!(one(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn commands_in_messagepack() {
        let one = |body: &[u8]| text(Commands::one(body, Format::MessagePack, &free));
        // SET, bytes that are no text, -2, 1.5
        let body = b"\x94\xa3SET\xc4\x02\r\n\xfe\xcb\x3f\xf8\0\0\0\0\0\0";
        assert_eq!(one(body).as_deref(), Ok("1 *4 $3 SET $2   $2 -2 $3 1.5 "));
        assert!(one(&[&body[..], b"\x01"].concat()).is_err(), "there is more");
        for end in 0..body.len() {
            assert!(one(&body[..end]).is_err(), "of {end} bytes");
        }
        // Lengths of 4 GiB, with nothing behind them.
        for body in
            [&b"\xdd\xff\xff\xff\xff"[..], b"\x91\xdb\xff\xff\xff\xff", b"\x91\xc6\xff\xff\xff\xff", b"\x91\xc0"]
        {
            assert!(one(body).is_err(), "{body:?}");
        }
        assert!(one(&[0x91; 100_000]).is_err());
        let many = text(Commands::many(b"\x92\x91\xa4PING\x92\xa4ECHO\xa1a", Format::MessagePack, &free));
        assert_eq!(many.as_deref(), Ok("2 *1 $4 PING *2 $4 ECHO $1 a "));
    }

    #[test]
    fn commands_in_paths() {
        let path = |path, body: Option<&[u8]>, query| text(Commands::from_path(path, body, query, &free));
        assert_eq!(
            path("/set/a%2Fb/c%20d", None, "EX=100&_token=secret&NX").as_deref(),
            Ok("1 *6 $3 set $3 a/b $3 c d $2 EX $3 100 $2 NX ")
        );
        assert_eq!(path("/set/k", Some(b"{\"a\": 1}"), "").as_deref(), Ok("1 *3 $3 set $1 k $8 {\"a\": 1} "));
        assert_eq!(path("/echo/", None, "").as_deref(), Ok("1 *2 $4 echo $0  "));
        assert_eq!(path("/", None, "").unwrap_err(), "ERR empty command");
        assert_eq!(
            pairs("a=b+c&d").collect::<Vec<_>>(),
            [(b"a".to_vec(), b"b c".to_vec()), (b"d".to_vec(), Vec::new())]
        );
    }

    #[test]
    fn what_is_refused_is_refused_wherever_it_stands() {
        let refusal =
            |name: &[u8], first: &[u8]| (name.eq_ignore_ascii_case(b"MONITOR") || first == b"no").then(|| "no".into());
        let refused = Commands::many(br#"[["PING"],["monitor"]]"#, Format::Json, &refusal);
        assert_eq!(refused, Err(Malformed("no".into())));
        assert_eq!(Commands::from_path("/echo/no", None, "", &refusal), Err(Malformed("no".into())));
        let commands = Commands::of(&[b"PING"]).in_transaction();
        assert_eq!(
            (commands.count, &commands.bytes[..]),
            (3, &b"*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nEXEC\r\n"[..])
        );
    }

    /// The commands that a body was made of, as the server reads what was made of it.
    fn read_back(commands: &Commands) -> Vec<Vec<Vec<u8>>> {
        let limits = RequestLimits { bulk_bytes_max: i64::MAX, authenticated: true };
        let (mut at, mut all) = (0, Vec::new());
        while at < commands.bytes.len() {
            let (mut spans, mut words, mut progress) = (Vec::new(), Vec::new(), Progress::default());
            let bytes = &commands.bytes[at..];
            let len = parse_request(bytes, &mut progress, &mut spans, &mut words, &limits).expect("it is a request");
            at += len.expect("it is whole");
            all.push(Args::new(bytes, &spans).iter().map(<[u8]>::to_vec).collect());
        }
        assert_eq!(all.len(), commands.count);
        all
    }

    proptest! {
        #[test]
        fn what_is_written_in_either_format_is_what_the_server_reads(
            commands in prop::collection::vec((".{1,9}", prop::collection::vec(".{0,9}", 0..5)), 1..6),
        ) {
            let commands: Vec<Vec<String>> =
                commands.into_iter().map(|(name, rest)| [vec![name], rest].concat()).collect();
            let expected: Vec<Vec<Vec<u8>>> =
                commands.iter().map(|words| words.iter().map(|word| word.as_bytes().to_vec()).collect()).collect();
            let json = serde_json::to_vec(&commands).expect("it can be written");
            let read = Commands::many(&json, Format::Json, &free).expect("it is well formed");
            prop_assert_eq!(read_back(&read), &expected[..]);
            let packed = rmp_serde::to_vec(&commands).expect("it can be written");
            let read = Commands::many(&packed, Format::MessagePack, &free).expect("it is well formed");
            prop_assert_eq!(read_back(&read), expected);
        }

        #[test]
        fn nothing_but_whole_commands_comes_of_any_bytes(
            start in prop::sample::select(vec![&b""[..], b"[\"", b"[[\"a\",", b"[1e", b"\x91", b"\x92\xa1a", b"\x91\x91\xa1a"]),
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let body = [start, &bytes].concat();
            for format in [Format::Json, Format::MessagePack] {
                for commands in
                    [Commands::one(&body, format, &free), Commands::many(&body, format, &free)].into_iter().flatten()
                {
                    prop_assert!(!read_back(&commands).is_empty());
                }
            }
        }
    }
}
