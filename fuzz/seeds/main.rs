//! Writes what the fuzz targets start from: `seeds DIRECTORY` makes a directory of inputs for each target in it, and a
//! dictionary of the words that commands and directives are made of. Run by `fuzz/run`.

use radish::config::{Directive, Rewrite, Settings};
use radish::spec::{self, Argument};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(io::Error::other("usage: seeds DIRECTORY"));
    };
    let conversations = conversations(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests"))?;
    write(&directory, "request", requests(&conversations))?;
    write(&directory, "command", commands(&conversations))?;
    write(&directory, "config", configurations())?;
    write(&directory, "glob", globs())?;
    write(&directory, "http_body", bodies(&conversations))?;
    write(&directory, "number", numbers())?;
    write(&directory, "payload", payloads())?;
    write(&directory, "rdb_file", files())?;
    write(&directory, "append_file", append_files(&conversations))?;
    write(&directory, "acl", rules())?;
    write(&directory, "script", script_arguments())?;
    write(&directory, "tls", handshakes())?;
    write(&directory, "tree", noise())?;
    std::fs::write(directory.join("dictionary"), dictionary())
}

fn write(directory: &Path, target: &str, inputs: Vec<Vec<u8>>) -> io::Result<()> {
    let directory = directory.join(target);
    std::fs::create_dir_all(&directory)?;
    for (index, input) in inputs.iter().enumerate() {
        std::fs::write(directory.join(format!("seed-{index:04}")), input)?;
    }
    Ok(())
}

/// The commands of all conversations in the tests: lines that begin with `> `, one list for each run of them.
fn conversations(tests: &Path) -> io::Result<Vec<Vec<String>>> {
    let mut conversations = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(tests)?.collect::<Result<_, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files.iter().map(std::fs::DirEntry::path).filter(|path| path.extension().is_some_and(|end| end == "rs"))
    {
        let mut conversation = Vec::new();
        for line in std::fs::read_to_string(file)?.lines() {
            let line = line.trim().trim_start_matches('"').trim_start();
            if let Some(command) = line.strip_prefix("> ") {
                conversation.push(command.to_owned());
            } else if line.starts_with("#[test]") && !conversation.is_empty() {
                conversations.push(std::mem::take(&mut conversation));
            }
        }
        conversations.push(conversation);
    }
    Ok(conversations)
}

/// A request as clients send it.
fn encode<'a>(words: impl ExactSizeIterator<Item = &'a str>) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
    request
}

/// Commands in JSON, MessagePack and paths, one at a time and several.
fn bodies(conversations: &[Vec<String>]) -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for conversation in conversations {
        for line in conversation.iter().take(3) {
            let words: Vec<_> = line.split(' ').collect();
            let json = format!("{words:?}");
            let mut packed = vec![0x90 | words.len().min(15) as u8];
            for word in words.iter().take(15) {
                packed.extend([0xD9, word.len().min(255) as u8]);
                packed.extend(&word.as_bytes()[..word.len().min(255)]);
            }
            let path = format!("/{}?EX=1&NX", words.join("/"));
            for (kind, body) in [
                (0, json.clone().into_bytes()),
                (1, format!("[{json},{json}]").into_bytes()),
                (2, packed.clone()),
                (3, [&[0x92][..], &packed, &packed].concat()),
                (4, path.into_bytes()),
            ] {
                inputs.push([&[kind][..], &body].concat());
            }
        }
    }
    inputs
}

/// Conversations in arrays and inline, cut in many ways, and requests that are none.
fn requests(conversations: &[Vec<String>]) -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for (index, conversation) in conversations.iter().enumerate() {
        let mut bytes = vec![index as u8 % 4, index as u8];
        for line in conversation.iter().take(20) {
            bytes.extend(encode(line.split(' ').collect::<Vec<_>>().into_iter()));
            bytes.extend([line.as_bytes(), b"\r\n"].concat());
        }
        inputs.push(bytes);
    }
    let malformed: [&[u8]; 14] = [
        b"*1\r\n$-1\r\n",
        b"*-1\r\n*0\r\nPING\r\n",
        b"*99999999999\r\n",
        b"*2000000000\r\n$500000000\r\nx",
        b"*1\r\n$536870912\r\n",
        b"*1\r\n$00\r\n\r\n",
        b"*01\r\n$4\r\nPING\r\n",
        b"*1\r\nPING\r\n",
        b"*1\r\n*1\r\n$4\r\nPING\r\n",
        b"*1\n$4\nPING\n",
        b"PING\0\r\nPING\r\n",
        b"set \"a\\x41\\n\\\"\" 'it\\'s'\r\n",
        b"get \"open\r\n",
        b"get 'a'b\x0bc\x0cd\r\n",
    ];
    for limits in 0..4 {
        inputs.extend(malformed.iter().map(|bytes| [&[limits, 3], *bytes].concat()));
    }
    inputs
}

/// Conversations in both protocols, and each command with as many arguments as it needs.
fn commands(conversations: &[Vec<String>]) -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for (index, conversation) in conversations.iter().enumerate() {
        let mut bytes = vec![index as u8 % 4];
        for line in conversation {
            bytes.extend([line.as_bytes(), b"\r\n"].concat());
        }
        inputs.push(bytes);
    }
    for command in spec::all() {
        let mut words: Vec<_> = command.name.split('|').collect();
        let fillers = ["key", "1", "list", "0", "bits", "-1"];
        words
            .extend(fillers.iter().cycle().take(usize::from(command.arity.unsigned_abs()).saturating_sub(words.len())));
        inputs.push([&[2], encode(words.into_iter()).as_slice()].concat());
    }
    inputs
}

/// A file with every directive, and files of one line each.
fn configurations() -> Vec<Vec<u8>> {
    let whole = Settings::new().rewrite(b"", Rewrite::All, &[]);
    let mut inputs: Vec<_> = whole.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    inputs.push(whole.clone());
    for line in [
        "save 900 1\nsave \"300 10\"\nsave ''",
        "client-output-buffer-limit normal 1mb 2kb 3 replica 0 0 0",
        "maxmemory 10%\nmaxmemory-clients 5%\nmaxmemory 1g",
        "requirepass \"a\\x00\\\"b\"\nbind 127.0.0.1 -::1",
        "rename-command GET \"\"\nshutdown-on-sigterm nosave now force",
        "notify-keyspace-events KEA\nunixsocketperm 777\nproc-title-template {title} {listen-addr}",
        "--port 7000 --save --maxmemory-policy allkeys-lru -",
        "oom-score-adj-values 0 200 800\nlatency-tracking-info-percentiles 50 99 99.9",
    ] {
        inputs.push(line.into());
    }
    inputs
}

/// Database files without their first nine bytes: a field, a database, a deadline and a use in front of each value.
fn files() -> Vec<Vec<u8>> {
    let head = b"\xfa\x09redis-ver\x067.0.15\xfe\x01\xfb\x01\x01\xfc\0\xd8\xc3,\xbb\x03\0\0\xf8\x05";
    let end = [0xff, 0, 0, 0, 0, 0, 0, 0, 0];
    let with_key = |value: Vec<u8>| [head, &value[..1], b"\x01k", &value[1..], &end].concat();
    payloads().into_iter().map(with_key).collect()
}

/// Values in the encodings of new and old versions, without version and checksum.
fn payloads() -> Vec<Vec<u8>> {
    let payloads: [&[u8]; 7] = [
        b"\x00\x01b",
        b"\x00\xc1\xd0\x8a",
        b"\x00\xc3\x09\x40\x64\x01aa\xe0\x57\x00\x01aa",
        b"\x01\x02\x01a\xc0\x05",
        b"\x0a\x0f\x0f\0\0\0\x0a\0\0\0\x01\0\0\x02ab\xff",
        b"\x0e\x01\x0f\x0f\0\0\0\x0a\0\0\0\x01\0\0\x02ab\xff",
        b"\x12\x01\x02\x0c\x0c\0\0\0\x02\0\x81a\x02\x01\x01\xff",
    ];
    payloads.map(<[u8]>::to_vec).into()
}

/// Manifests, and conversations as increments and bases, with annotations and transactions.
fn append_files(conversations: &[Vec<String>]) -> Vec<Vec<u8>> {
    let manifests = [
        "file file.1.base.rdb seq 1 type b\nfile file.1.incr.aof seq 1 type i\n",
        "file a.base.aof seq 2 type b\nfile b seq 1 type h\nfile c seq 3 type i startoffset 10\n",
        "# nothing\nfile \"a b\" seq 1 type b\n",
        "file ../a seq 1 type i\nfile b seq 1 type i\n",
    ];
    let mut inputs: Vec<Vec<u8>> = manifests.iter().map(|text| [b"\x01\0", text.as_bytes()].concat()).collect();
    for (index, conversation) in conversations.iter().enumerate() {
        let mut bytes = vec![0, index as u8];
        bytes.extend(encode(["SELECT", "0"].into_iter()));
        bytes.extend(b"#TS:1700000000\r\n");
        bytes.extend(encode(["MULTI"].into_iter()));
        for line in conversation.iter().take(20) {
            bytes.extend(encode(line.split(' ').collect::<Vec<_>>().into_iter()));
        }
        bytes.extend(encode(["EXEC"].into_iter()));
        inputs.push(bytes);
    }
    inputs.extend(files().into_iter().map(|file| [&[2, 255], &file[..]].concat()));
    inputs
}

/// Rules of users, and requests that they allow or not.
fn rules() -> Vec<Vec<u8>> {
    let lines = [
        "on nopass ~* &* +@all",
        "off resetpass resetkeys resetchannels -@all",
        "on >secret #5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8 %R~a* %W~b* %RW~c -@all +@read +config|get -@dangerous",
        "+select|0 allkeys allchannels allcommands (+get ~x* &y) (-@all +set %R~k) <secret clearselectors reset",
        "sanitize-payload +@scripting -eval ~[a-z]*\\* nocommands",
    ];
    let requests =
        "\nget a\nset b 1\nconfig get x\nselect 0\nmget a b c\nsort a by b* get c*\nxread streams x y 0 0\npublish x y";
    lines.iter().map(|line| [line.as_bytes(), requests.as_bytes()].concat()).collect()
}

/// What a client begins with, changes to what it sends, and files.
fn handshakes() -> Vec<Vec<u8>> {
    let client = |versions: &[&'static rustls::SupportedProtocolVersion]| {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(versions).expect("the provider has them");
        let config = builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        let name = "radish".try_into().expect("a name");
        let mut client = rustls::ClientConnection::new(config.into(), name).expect("a client");
        let mut hello = Vec::new();
        client.write_tls(&mut hello).expect("memory takes everything");
        hello
    };
    let made = rcgen::generate_simple_self_signed(["radish".to_owned()]).expect("a certificate");
    let pair = format!("{}\n--\n{}", made.cert.pem(), made.signing_key.serialize_pem());
    let hellos = [client(&[&rustls::version::TLS13]), client(&[&rustls::version::TLS12])];
    let mut inputs = vec![vec![2], vec![3], vec![2, 0, 9, 1], vec![3, 1, 0, 255, 0, 80, 4], [b"\x06", pair.as_bytes()].concat()];
    inputs.extend(hellos.iter().flat_map(|hello| [0, 1].map(|kind| [&[kind, 99], hello.as_slice()].concat())));
    inputs
}

/// Arguments of each of the target's scripts.
fn script_arguments() -> Vec<Vec<u8>> {
    let arguments: [&[u8]; 17] = [
        b"\x93\x01\xa1a\xc0",
        b"\x82\xa1a\xcb\x3f\xf8\0\0\0\0\0\0\x01\xd3\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xdc\0\x02\xc3\xda\0\x01x\n2",
        br#"{"a":[1,2.5e3,null,true,"\u00e9\ud83d\ude00"],"":{}}"#,
        br#"[[[[[]]]],-0,1e400,"\\"]"#,
        b">I4<i2!8bBhHlLTfdsx\nabcdefghijklmnopqrstuvwxyz\n3",
        b">I3c0s\n7\nhello\nworld",
        b"i17",
        b"(a*)%1()%f[%w]\na[^b-c]-$",
        b"aaa\n%d %5.2f %s %q %x",
        b"THE (quick) fox\n%f[%a](%a-)%s*()\n%1%2",
        b"f(a(b)c)d) aa\n%b()(.)%1?$\n-2",
        b"x = 1, y = 2\n^(%w+)%s*=%s*(%w+)\n%2 %1",
        b"2147483648\n31",
        b"-1.5\n-33",
        b"99999999999\n0",
        b"nan\n1e300",
    ];
    (0..12_u8).flat_map(|script| arguments.iter().map(move |bytes| [&[script], *bytes].concat())).collect()
}

fn globs() -> Vec<Vec<u8>> {
    let pairs = [
        ("*", "anything"),
        ("h?llo", "hello"),
        ("h[^ae]llo", "hillo"),
        ("[a-z]*[0-9]", "key9"),
        ("[z-a", "m"),
        ("[^", "x"),
        ("[]", "]"),
        ("\\*\\", "*\\"),
        ("[\\]a-]", "-"),
        ("a*b*c*d", "aXbXcXbXcXd"),
        ("user:*:name", "user:42:name"),
        ("**a**", "bab"),
    ];
    let input = |flag: u8, (pattern, text): &(&str, &str)| [&[flag], format!("{pattern}\n{text}").as_bytes()].concat();
    (0..2).flat_map(|flag| pairs.iter().map(move |pair| input(flag, pair))).collect()
}

fn numbers() -> Vec<Vec<u8>> {
    let numbers = [
        "0",
        "-0",
        "1",
        "-9223372036854775808",
        "9223372036854775807",
        "18446744073709551615",
        "00012",
        "+5",
        "3.0e3",
        ".5",
        "5.",
        "1e-5",
        "4e-320",
        "1.7976931348623157e308",
        "2.2250738585072014e-308",
        "1e4932",
        "1e-4951",
        "inf",
        "-Infinity",
        "nan",
        "0x1.8p3",
        "0x",
        "1e",
        "0.1000000000000000055511151231257827",
        "123456789012345678901234567890",
        "9007199254740993",
        "1e400",
        " 1",
        "1_0",
    ];
    numbers
        .iter()
        .flat_map(|first| numbers.iter().map(move |second| format!("{first}\n{second}").into_bytes()))
        .collect()
}

/// Bytes that mean nothing, the same each time.
fn noise() -> Vec<Vec<u8>> {
    let mut state = 1_u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (1..=32).map(|count| (0..count * 64).map(|_| byte()).collect()).collect()
}

/// The names of commands, the words of their arguments, and the names of directives, in libFuzzer's form.
fn dictionary() -> String {
    fn tokens(arguments: &'static [Argument], words: &mut BTreeSet<&'static str>) {
        for argument in arguments {
            words.insert(argument.token);
            tokens(argument.arguments, words);
        }
    }
    let mut words = BTreeSet::new();
    for command in spec::all() {
        words.insert(command.short_name());
        tokens(command.docs.arguments, &mut words);
    }
    words.extend(Directive::names().map(|(_, name)| name));
    words.extend(["-1", "0", "9223372036854775807", "4294967295", "1.5", "key", "list", "bits"]);
    words.remove("");
    let entries = words.iter().map(|word| format!("\"{}\"\n", word.replace('\\', "\\\\").replace('"', "\\\"")));
    entries.chain([r#""\x0d\x0a""#.to_owned() + "\n", r#""$4\x0d\x0a""#.to_owned() + "\n"]).collect()
}
