//! Strings that are kept compressed: no command shows it, but memory does.

use crate::support::{Connection, Server, eventually};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

fn memory_usage(client: &mut Connection, key: &str) -> usize {
    client.ask_words(&["MEMORY", "USAGE", key]).parse().expect("a number of bytes")
}

/// Text as applications have it: LZ4 makes it about half as long.
fn document(rng: &mut SmallRng, len: usize) -> String {
    let words = ["alpha", "order", "customer", "shipped", "pending", "invoice", "address", "street", "payment"];
    let mut text = String::new();
    while text.len() < len {
        let (name, value) = (words[rng.random_range(0..9)], words[rng.random_range(0..9)]);
        text += &format!(r#"{{"{name}":"{value}","id":{}}},"#, rng.random_range(0..1_000_000));
    }
    text.truncate(len);
    text
}

/// Text that LZ4 cannot shorten.
fn noise(rng: &mut SmallRng, len: usize) -> String {
    (0..len).map(|_| char::from(rng.random_range(b' '..=b'~'))).collect()
}

#[test]
fn commands_do_not_see_that_strings_are_compressed() {
    let server = Server::start(&["--compression-threshold", "200", "--compression-idle-time", "0"]);
    let mut client = server.connect();
    let seed = rand::random();
    let mut rng = SmallRng::seed_from_u64(seed);
    let keys = ["a", "b", "c", "d"];
    let mut model: [Vec<u8>; 4] = Default::default();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("only ASCII is written");
    for step in 0..3000 {
        let at = rng.random_range(0..keys.len());
        let (key, value) = (keys[at], &mut model[at]);
        let len = value.len();
        let context = format!("seed {seed}, step {step}");
        let size = [10, 300, 3000, 50_000, 600_000][rng.random_range(0..if step % 50 == 0 { 5 } else { 3 })];
        let size = rng.random_range(0..size);
        let bytes = if rng.random_bool(0.8) { document(&mut rng, size) } else { noise(&mut rng, size) };
        let (from, to) = (rng.random_range(0..=len), rng.random_range(0..=len));
        match rng.random_range(0..14) {
            0..3 => {
                assert_eq!(client.ask_words(&["SET", key, &bytes]), "OK", "{context}");
                *value = bytes.into_bytes();
            }
            3 if len < 2_000_000 => {
                value.extend_from_slice(bytes.as_bytes());
                assert_eq!(client.ask_words(&["APPEND", key, &bytes]), value.len().to_string(), "{context}");
            }
            4 if len < 2_000_000 => {
                let offset = if rng.random_bool(0.2) { len + 500 } else { from };
                if !bytes.is_empty() {
                    value.resize(len.max(offset + bytes.len()), 0);
                    value[offset..offset + bytes.len()].copy_from_slice(bytes.as_bytes());
                }
                let reply = client.ask_words(&["SETRANGE", key, &offset.to_string(), &bytes]);
                assert_eq!(reply, value.len().to_string(), "{context}");
            }
            5 if from < len => {
                // The highest bit stays clear, so that the value stays ASCII.
                let (bit, mask) = (from * 8 + 7, 1);
                let before = value[from] & mask;
                value[from] ^= mask;
                let reply = client.ask_words(&["SETBIT", key, &bit.to_string(), &(before ^ 1).to_string()]);
                assert_eq!(reply, before.to_string(), "{context}");
            }
            6 => {
                let expected = if from <= to && to < len { text(&value[from..=to]) } else { String::new() };
                let to = if to < len { to } else { 0 };
                let from = if expected.is_empty() { to + 1 } else { from };
                let reply = client.ask_words(&["GETRANGE", key, &from.to_string(), &to.to_string()]);
                assert_eq!(reply, expected, "{context}");
            }
            7 => {
                let ones: u32 = value.iter().map(|byte| byte.count_ones()).sum();
                assert_eq!(client.ask_words(&["BITCOUNT", key]), ones.to_string(), "{context}");
            }
            8 if len > 0 => {
                let other = rng.random_range(0..keys.len());
                if other != at {
                    assert_eq!(client.ask_words(&["COPY", key, keys[other], "REPLACE"]), "1", "{context}");
                    model[other] = model[at].clone();
                }
            }
            9 if len > 0 => {
                let other = rng.random_range(0..keys.len());
                assert_eq!(client.ask_words(&["RENAME", key, keys[other]]), "OK", "{context}");
                let moved = std::mem::take(&mut model[at]);
                model[other] = moved;
            }
            10 => {
                let other = keys[(at + 1) % keys.len()];
                let expected: Vec<u8> = {
                    let (a, b) = (&model[at], &model[(at + 1) % keys.len()]);
                    let byte = |bytes: &[u8], index: usize| bytes.get(index).copied().unwrap_or(0);
                    (0..a.len().max(b.len())).map(|index| byte(a, index) | byte(b, index)).collect()
                };
                let reply = client.ask_words(&["BITOP", "OR", key, key, other]);
                assert_eq!(reply, expected.len().to_string(), "{context}");
                model[at] = expected;
            }
            _ => {
                assert_eq!(client.ask_words(&["STRLEN", key]), len.to_string(), "{context}");
                let expected = if len == 0 { None } else { Some(text(value)) };
                let reply = client.ask_words(&["GET", key]);
                match expected {
                    Some(expected) => assert!(reply == expected, "{context}"),
                    None => assert!(reply == "nil" || reply.is_empty(), "{context}"),
                }
            }
        }
    }
}

#[test]
fn similar_documents_share_a_dictionary() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let mut rng = SmallRng::seed_from_u64(1);
    let documents: Vec<_> = (0..200).map(|_| document(&mut rng, 2000)).collect();
    for (number, document) in documents.iter().enumerate().take(100) {
        client.ask_words(&["SET", &format!("doc:{number}"), document]);
    }
    eventually("a dictionary", || client.info("compression_dictionaries") == "1");
    for (number, document) in documents.iter().enumerate().skip(100) {
        client.ask_words(&["SET", &format!("doc:{number}"), document]);
    }
    let (before, after) = (memory_usage(&mut client, "doc:0"), memory_usage(&mut client, "doc:199"));
    assert!(after < before * 9 / 10, "{after} bytes after, {before} before");
    for (number, document) in documents.iter().enumerate() {
        assert!(client.ask_words(&["GET", &format!("doc:{number}")]) == *document);
    }
    let (raw, stored) = (client.info("compression_raw_bytes"), client.info("compression_stored_bytes"));
    assert_eq!(raw, "400000");
    let ratio = 400_000.0 / stored.parse::<f64>().expect("a number");
    assert_eq!(client.info("compression_ratio"), format!("{ratio:.2}"));
    assert!(ratio > 2.0, "{ratio}");
    client.ask("CONFIG RESETSTAT");
    assert_eq!(client.info("compression_raw_bytes"), "0");
}

#[test]
fn what_is_read_or_changed_in_part_is_compressed_again_once_it_is_cold() {
    let server = Server::start(&["--compression-idle-time", "86400"]);
    let mut client = server.connect();
    let text = document(&mut SmallRng::seed_from_u64(2), 100_000);
    client.ask_words(&["SET", "read", &text]);
    client.ask_words(&["SET", "short", &text[..2000]]);
    let compressed = ["read", "short"].map(|key| memory_usage(&mut client, key));
    assert!(compressed[0] < 60_000 && compressed[1] < 1500, "{compressed:?}");
    for key in ["read", "short"] {
        assert_eq!(client.ask_words(&["GETRANGE", key, "5", "9"]), &text[5..10]);
    }
    client.ask_words(&["SETRANGE", "changed", "0", &text]);
    client.ask_words(&["APPEND", "changed", "the end"]);
    // Zeros, and a bit behind them.
    client.ask("SETBIT bitmap 2000000 1");
    client.ask("SETBIT bitmap 7 1");
    let raw = ["read", "short", "changed", "bitmap"].map(|key| memory_usage(&mut client, key));
    assert!(raw[0] > 100_000 && raw[1] > 2000 && raw[2] > 100_000 && raw[3] > 250_000, "{raw:?}");

    client.ask("CONFIG SET compression-threshold 0 compression-idle-time 0");
    client.ask_words(&["SET", "off", &text]);
    assert!(memory_usage(&mut client, "off") > 100_000, "a threshold of 0 turns compression off");
    client.ask("CONFIG SET compression-threshold 1024");
    for (key, limit) in [("read", 60_000), ("short", 1500), ("changed", 60_000), ("bitmap", 5000)] {
        eventually(key, || memory_usage(&mut client, key) < limit);
    }
    assert_eq!(client.ask_words(&["GET", "read"]), text);
    assert_eq!(client.ask_words(&["GET", "short"]), &text[..2000]);
    assert_eq!(client.ask_words(&["GET", "changed"]), text + "the end");
    assert_eq!(client.ask("BITCOUNT bitmap"), "2");
    assert_eq!(client.ask("GETBIT bitmap 2000000"), "1");
    assert_eq!(client.ask("TTL read"), "-1");
}

#[test]
fn huge_strings_are_compressed_behind_the_back_of_commands() {
    let server = Server::start(&["--compression-idle-time", "86400"]);
    let mut client = server.connect();
    let text = document(&mut SmallRng::seed_from_u64(3), 3_000_000);
    client.ask_words(&["SET", "huge", &text, "EXAT", "9999999999"]);
    let compressed_bytes = || server.connect().info("compression_raw_bytes");
    eventually("compression", || compressed_bytes() == "3000000");
    assert!(memory_usage(&mut client, "huge") < 1_800_000);
    assert_eq!(client.ask("STRLEN huge"), "3000000");
    assert_eq!(client.ask("GETRANGE huge 1048570 1048580"), &text[1_048_570..1_048_581]);
    assert_eq!(client.ask("EXPIRETIME huge"), "9999999999");
    assert!(client.ask("GET huge") == text);
    let noise = noise(&mut SmallRng::seed_from_u64(4), 1_500_000);
    client.ask_words(&["SET", "noise", &noise]);
    eventually("the attempt", || compressed_bytes() == "4500000");
    assert!(client.ask("GET noise") == noise);
}
