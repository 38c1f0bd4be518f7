//! Handshakes of TLS, and the files that certificates and keys are read from.
//!
//! The first byte says what the rest is: what a client sends; changes to what a real client sends, each a place in two bytes and
//! what is flipped there; or a certificate and a key, with a line `--` between.

#![no_main]

use libfuzzer_sys::fuzz_target;
use radish::config::{Arguments, Settings};
use radish::tls::Tls;
use rustls::{ClientConnection, ServerConnection};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// What the first bytes of a handshake may make the server keep that is not answered yet. A message of a handshake has 64 KiB
/// at most in rustls, and a record 16 KiB.
const KEPT_MAX: usize = 256 << 10;
/// Turns after which a handshake is over, one way or the other.
const TURNS_MAX: usize = 100;

struct Peers {
    directory: PathBuf,
    /// One that asks clients for certificates, and one that does not.
    servers: [Tls; 2],
}

static PEERS: LazyLock<Peers> = LazyLock::new(|| {
    let directory = std::env::temp_dir().join(format!("radish-fuzz-tls-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory can be made");
    let made = rcgen::generate_simple_self_signed(["radish".to_owned()]).expect("a certificate");
    std::fs::write(directory.join("right.crt"), made.cert.pem()).expect("a file");
    std::fs::write(directory.join("right.key"), made.signing_key.serialize_pem()).expect("a file");
    let server = |auth| configured(&directory, "right.crt", "right.key", auth).expect("what was made is right");
    Peers { servers: [server("optional"), server("no")], directory }
});

/// A server's TLS with a certificate and a key of these names.
fn configured(directory: &Path, certificate: &str, key: &str, auth: &str) -> Result<Tls, String> {
    let path = |name: &str| directory.join(name).display().to_string();
    let options = format!(
        "tls-port 1\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\ntls-auth-clients {auth}\n",
        path(certificate),
        path(key),
        path("right.crt"),
    );
    let arguments = Arguments { options: options.into_bytes(), ..Arguments::default() };
    let (settings, _) = Settings::start(&arguments, std::io::empty()).expect("the directives are right");
    let tls = Tls::default();
    tls.configure(&settings)?;
    Ok(tls)
}

/// Gives the server bytes as they may arrive. Whether it goes on.
fn receive(server: &mut ServerConnection, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let taken = server.read_tls(&mut bytes);
        let read = server.process_new_packets();
        let mut plain = Vec::new();
        // It always ends with an error: there is no more for now, or the connection is broken, which `read` says, too.
        let _ = server.reader().read_to_end(&mut plain);
        if read.is_err() || !matches!(taken, Ok(1..)) {
            return false;
        }
    }
    true
}

/// What the server wants to say.
fn answer(server: &mut ServerConnection) -> Vec<u8> {
    let mut out = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut out).expect("memory takes everything");
    }
    assert!(out.len() <= KEPT_MAX);
    out
}

fn raw(server: &mut ServerConnection, input: &[u8]) {
    let cut = input.first().map_or(1, |first| usize::from(*first) + 1);
    for part in input.chunks(cut) {
        let goes_on = receive(server, part);
        answer(server);
        if !goes_on {
            return;
        }
    }
}

/// A whole handshake, with changes on the way to the server. Without one it must come to its end.
fn changed(tls: &Tls, server: &mut ServerConnection, changes: &[u8]) {
    let name = radish::tls::name_of("radish");
    let mut client = ClientConnection::new(tls.client().expect("TLS is on"), name).expect("a client");
    client.writer().write_all(b"PING\r\n").expect("it is kept");
    let (changes, _) = changes.as_chunks::<3>();
    let (mut sent, mut is_changed) = (0, false);
    for _ in 0..TURNS_MAX {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("memory takes everything");
        }
        for [high, low, flipped] in changes {
            let place = usize::from(u16::from_be_bytes([*high, *low]));
            if let Some(byte) = place.checked_sub(sent).and_then(|place| bytes.get_mut(place)) {
                *byte ^= flipped;
                is_changed |= *flipped != 0;
            }
        }
        sent += bytes.len();
        let goes_on = receive(server, &bytes);
        let answered = answer(server);
        if !goes_on || bytes.is_empty() && answered.is_empty() {
            break;
        }
        let mut rest = answered.as_slice();
        while !rest.is_empty() {
            if !matches!(client.read_tls(&mut rest), Ok(1..)) || client.process_new_packets().is_err() {
                assert!(is_changed, "a client refuses what the server says");
                return;
            }
        }
    }
    assert!(is_changed || !server.is_handshaking(), "a handshake fails");
}

fn files(directory: &Path, input: &[u8]) {
    const BETWEEN: &[u8] = b"\n--\n";
    let middle = input.windows(BETWEEN.len()).position(|part| part == BETWEEN);
    let (certificate, key) = middle.map_or((input, input), |at| (&input[..at], &input[at + BETWEEN.len()..]));
    std::fs::write(directory.join("tried.crt"), certificate).expect("a file");
    std::fs::write(directory.join("tried.key"), key).expect("a file");
    if let Ok(tls) = configured(directory, "tried.crt", "tried.key", "no") {
        tls.server().expect("TLS is on");
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    let tls = &PEERS.servers[usize::from(kind & 1)];
    let mut server = ServerConnection::new(Arc::clone(&tls.server().expect("TLS is on"))).expect("a connection");
    server.set_buffer_limit(Some(KEPT_MAX));
    match kind >> 1 & 3 {
        0 => raw(&mut server, rest),
        1 | 2 => changed(tls, &mut server, rest),
        _ => files(&PEERS.directory, rest),
    }
});
