//! TLS: certificates, protocols, who is let in, changes while the server runs, and links to other servers. Certificates are made
//! for each test.

use crate::support::{Connection, Server, claim_port, eventually};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// How long a client waits for the server.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who signs certificates, and where they are.
struct Authority {
    directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("ca.crt"), issuer.pem()).expect("a file");
        let authority = Authority { directory, issuer };
        authority.certify("server");
        authority.certify("client");
        authority
    }

    /// Makes a certificate for a name, and its key.
    fn certify(&self, name: &str) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::write(self.path(&format!("{name}.crt")), certificate.pem()).expect("a file");
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).expect("a file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("its name is text").to_owned()
    }

    fn certificate(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(&format!("{name}.crt"))).expect("a certificate")
    }

    /// The arguments with which a server is called `server`, beside its port.
    fn arguments(&self) -> Vec<String> {
        let files = [("cert", "server.crt"), ("key", "server.key"), ("ca-cert", "ca.crt")];
        files.iter().flat_map(|(what, file)| [format!("--tls-{what}-file"), self.text(file)]).collect()
    }

    /// How a client connects that trusts this authority, with the certificate of a name if it has one.
    fn client(&self, name: Option<&str>, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate("ca")).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions");
        let builder = builder.with_root_certificates(roots);
        Arc::new(match name {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).expect("a key");
                builder.with_client_auth_cert(vec![self.certificate(name)], key).expect("they fit")
            }
        })
    }
}

/// A server that speaks TLS on a port of its own.
struct TlsServer {
    server: Server,
    port: u16,
    _claim: UdpSocket,
}

impl TlsServer {
    fn start(authority: &Authority, arguments: &[&str]) -> TlsServer {
        let (port, claim) = claim_port();
        let (own, port_text) = (authority.arguments(), port.to_string());
        let mut all = vec!["--tls-port", &port_text];
        all.extend(own.iter().map(String::as_str));
        all.extend(arguments);
        TlsServer { server: Server::start(&all), port, _claim: claim }
    }

    fn stream(&self, config: &Arc<ClientConfig>) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let name = ServerName::try_from("server").expect("a name");
        let mut session = ClientConnection::new(Arc::clone(config), name).expect("a session");
        let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        session.complete_io(&mut socket)?;
        Ok(StreamOwned::new(session, socket))
    }

    fn connect(&self, config: &Arc<ClientConfig>) -> Connection {
        Connection::over(self.stream(config).expect("it is let in"))
    }

    /// Whether a client is let in: it may learn only when it says something that it is not.
    fn lets_in(&self, config: &Arc<ClientConfig>) -> bool {
        let Ok(mut stream) = self.stream(config) else { return false };
        let mut answer = [0; 7];
        stream.write_all(b"PING\r\n").is_ok() && stream.read_exact(&mut answer).is_ok() && answer == *b"+PONG\r\n"
    }
}

#[test]
fn clients_do_over_tls_what_they_do_without() {
    let authority = Authority::new();
    let server = TlsServer::start(&authority, &["--tls-auth-clients", "no", "--threads", "2"]);
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        let mut client = server.connect(&authority.client(None, versions));
        client.play("> SET k value\nOK\n> GET k\nvalue\n> LPOP k\n(WRONGTYPE Operation against a key holding the wrong kind of value)");
        assert!(client.ask("CLIENT INFO").contains(&format!(" laddr=127.0.0.1:{} ", server.port)));
        // Many requests at once, and long ones both ways, which their client is slow to read.
        client.send_raw(&b"INCR n\r\n".repeat(5000));
        assert_eq!((0..5000).map(|_| client.reply()).last().as_deref(), Some("5000"));
        let long = "x".repeat(3_000_000);
        assert_eq!(client.ask_words(&["SET", "long", &long]), "OK");
        (0..4).for_each(|_| client.send("GET long"));
        std::thread::sleep(Duration::from_millis(100));
        (0..4).for_each(|_| assert!(client.reply() == long));
        // A message for a client that says nothing, and a wait.
        let mut listener = server.connect(&authority.client(None, versions));
        listener.play("> SUBSCRIBE news\n[subscribe news 1]");
        client.play("> PUBLISH news hello\n1\n> DEL n\n1");
        assert_eq!(listener.reply(), "[message news hello]");
        let mut waiting = server.connect(&authority.client(None, versions));
        waiting.send("BLPOP list 0");
        eventually("the wait", || client.info("blocked_clients") == "1");
        client.ask("RPUSH list x");
        assert_eq!(waiting.reply(), "[list x]");
        assert_eq!(waiting.ask("QUIT"), "OK");
        assert!(waiting.is_closed());
    }
    let mut plain = server.server.connect();
    assert!(
        plain.info("listener1").starts_with("name=tls,") && plain.info("listener1").contains(&server.port.to_string())
    );
    // Others are served while a script keeps the thread.
    let mut client = server.connect(&authority.client(None, rustls::ALL_VERSIONS));
    client.ask("CONFIG SET busy-reply-threshold 10");
    let mut others: Vec<_> = (0..4).map(|_| server.connect(&authority.client(None, rustls::ALL_VERSIONS))).collect();
    client.send_words(&["EVAL", "while true do end", "0"]);
    for other in &mut others {
        eventually("BUSY", || other.ask("PING").starts_with("(BUSY "));
    }
    assert_eq!(others[0].ask("SCRIPT KILL"), "OK");
    assert!(client.reply().contains("Script killed by user"));
    others.iter_mut().for_each(|other| assert_eq!(other.ask("PING"), "PONG"));
}

#[test]
fn a_client_must_show_a_certificate_unless_it_need_not() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = TlsServer::start(&authority, &[]);
    let mut plain = server.server.connect();
    let (own, none) =
        (authority.client(Some("client"), rustls::ALL_VERSIONS), authority.client(None, rustls::ALL_VERSIONS));
    // It trusts the server, but nobody trusts it.
    std::fs::copy(stranger.path("client.crt"), authority.path("other.crt")).expect("a file");
    std::fs::copy(stranger.path("client.key"), authority.path("other.key")).expect("a file");
    let other = authority.client(Some("other"), rustls::ALL_VERSIONS);
    let cases = [("yes", [true, false, false]), ("optional", [true, true, false]), ("no", [true, true, true])];
    for (setting, expected) in cases {
        assert_eq!(plain.ask(&format!("CONFIG SET tls-auth-clients {setting}")), "OK");
        assert_eq!([&own, &none, &other].map(|config| server.lets_in(config)), expected, "{setting}");
    }
}

#[test]
fn what_is_configured_is_read_again_or_stays() {
    let authority = Authority::new();
    let server = TlsServer::start(&authority, &["--tls-auth-clients", "no"]);
    let mut plain = server.server.connect();
    let config = authority.client(None, rustls::ALL_VERSIONS);
    let shown = || {
        let stream = server.stream(&config).expect("it is let in");
        stream.conn.peer_certificates().expect("it shows one")[0].clone().into_owned()
    };
    let first = authority.certificate("server");
    assert_eq!(shown(), first);
    let mut client = server.connect(&config);
    authority.certify("server");
    let (certificate, key) = (authority.text("server.crt"), authority.text("server.key"));
    let set = |plain: &mut Connection, words: &[&str]| plain.ask_words(&[&["CONFIG", "SET"], words].concat());
    assert_eq!(set(&mut plain, &["tls-cert-file", &certificate, "tls-key-file", &key]), "OK");
    let second = shown();
    assert!(second != first && second == authority.certificate("server"));
    let failure = |name: &str| {
        format!(
            "(ERR CONFIG SET failed (possibly related to argument '{name}') - Unable to update TLS configuration. Check server logs.)"
        )
    };
    for (words, name) in [
        (&["tls-cert-file", "/nonexistent"][..], "tls-cert-file"),
        (&["tls-key-file", &certificate], "tls-key-file"),
        (&["tls-key-file", &authority.text("client.key")], "tls-key-file"),
        (&["tls-ca-cert-file", "", "tls-auth-clients", "yes"], "tls-auth-clients"),
        (&["tls-protocols", "SSLv3"], "tls-protocols"),
        (&["tls-ciphersuites", "NO_SUCH"], "tls-ciphersuites"),
        (&["tls-ciphers", "ALL:!AES128"], "tls-ciphers"),
    ] {
        let answer = set(&mut plain, words);
        assert!(
            answer == failure(name) || words.contains(&"") && answer.contains("Unable to update TLS"),
            "{words:?}: {answer}"
        );
        assert_eq!(shown(), second, "{words:?}");
    }
    assert_eq!(plain.ask("CONFIG GET tls-key-file"), format!("[tls-key-file {key}]"));
    // Protocols and suites are as they are set.
    let old = authority.client(None, &[&rustls::version::TLS12]);
    assert!(server.lets_in(&old));
    assert_eq!(
        set(&mut plain, &["tls-protocols", "TLSv1.3", "tls-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"]),
        "OK"
    );
    assert!(!server.lets_in(&old));
    let suite =
        server.stream(&config).expect("it is let in").conn.negotiated_cipher_suite().expect("there is one").suite();
    assert_eq!(suite, rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
    // Who was there before stays.
    assert_eq!(client.ask("PING"), "PONG");
    // The port can be given up and taken again.
    assert_eq!(plain.ask("CONFIG SET tls-port 0"), "OK");
    assert!(TcpStream::connect(("127.0.0.1", server.port)).is_err());
    assert_eq!(plain.ask(&format!("CONFIG SET tls-port {}", server.port)), "OK");
    assert!(server.lets_in(&config));
    // An authority in a directory is found there.
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::copy(authority.path("ca.crt"), directory.path().join("ca.pem")).expect("a file");
    std::fs::write(directory.path().join("notes"), "no certificate").expect("a file");
    let directory = directory.path().to_str().expect("its name is text");
    assert_eq!(
        set(&mut plain, &["tls-ca-cert-dir", directory, "tls-ca-cert-file", "", "tls-auth-clients", "yes"]),
        "OK"
    );
    assert!(!server.lets_in(&config));
    assert!(server.lets_in(&authority.client(Some("client"), rustls::ALL_VERSIONS)));
}

#[test]
fn without_certificates_there_is_no_tls() {
    let authority = Authority::new();
    let (certificate, key) = (authority.text("server.crt"), authority.text("server.key"));
    let needs_authority = "Either tls-ca-cert-file or tls-ca-cert-dir must be specified";
    for (arguments, expected) in [
        (&[][..], "No tls-cert-file configured!"),
        (&["--tls-cert-file", &certificate], "No tls-key-file configured!"),
        (&["--tls-cert-file", &certificate, "--tls-key-file", &key], needs_authority),
        (
            &["--tls-cert-file", "/nonexistent", "--tls-key-file", &key],
            "Failed to load certificate: /nonexistent: No such file",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_radish"))
            .args(["--port", "0", "--tls-port", "1"])
            .args(arguments)
            .output()
            .expect("the server's binary starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success() && text.contains(expected), "{arguments:?}: {text}");
        assert!(text.contains("Failed to configure TLS. Check logs for more info."), "{text}");
    }
}

#[test]
fn who_does_not_shake_hands_counts_as_a_client_and_can_be_sent_away() {
    let authority = Authority::new();
    let server = TlsServer::start(&authority, &["--tls-auth-clients", "no", "--maxclients", "3"]);
    let config = authority.client(None, rustls::ALL_VERSIONS);
    let mut plain = server.server.connect();
    // What is no handshake ends the connection.
    let mut other = TcpStream::connect(("127.0.0.1", server.port)).expect("it listens");
    other.write_all(b"PING\r\n\r\n").expect("it reads");
    let mut rest = Vec::new();
    // It may end in good order or be reset.
    let _ = other.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"+"));
    eventually("its end", || plain.info("connected_clients") == "1");
    let mut silent: Vec<_> =
        (0..2).map(|_| TcpStream::connect(("127.0.0.1", server.port)).expect("it listens")).collect();
    eventually("them", || plain.info("connected_clients") == "3");
    assert!(!server.lets_in(&config));
    let address = silent[0].local_addr().expect("it has one");
    assert_eq!(plain.ask(&format!("CLIENT KILL {address}")), "OK");
    assert_eq!(silent[0].read(&mut [0; 1]).ok(), Some(0));
    assert!(server.lets_in(&config));
    // Others are served meanwhile; and who takes too long is sent away.
    silent[1].set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    assert_eq!(silent[1].read(&mut [0; 1]).ok(), Some(0));
    eventually("its end", || plain.info("connected_clients") == "1");
}

#[test]
fn servers_speak_tls_with_each_other() {
    let authority = Authority::new();
    let (primary, replica) =
        (TlsServer::start(&authority, &[]), TlsServer::start(&authority, &["--tls-replication", "yes"]));
    let (mut writer, mut reader) = (primary.server.connect(), replica.server.connect());
    let value = "x".repeat(100_000);
    (0..50).for_each(|key| assert_eq!(writer.ask_words(&["SET", &format!("key:{key}"), &value]), "OK"));
    assert_eq!(reader.ask(&format!("REPLICAOF 127.0.0.1 {}", primary.port)), "OK");
    eventually("the link", || reader.info("master_link_status") == "up");
    assert_eq!(reader.ask("DBSIZE"), "50");
    assert!(writer.info("slave0").contains(&format!("port={},state=online", replica.port)));
    writer.ask("SET last 1");
    assert_eq!(writer.ask("WAIT 1 0"), "1");
    assert_eq!(reader.ask("GET last"), "1");
    // Keys move over TLS if that is asked for.
    assert_eq!(reader.ask("REPLICAOF NO ONE"), "OK");
    assert_eq!(writer.ask(&format!("MIGRATE 127.0.0.1 {} last 0 5000 REPLACE", replica.server.port)), "OK");
    assert_eq!(writer.ask("CONFIG SET tls-cluster yes"), "OK");
    writer.ask("SET last 2");
    assert_eq!(writer.ask(&format!("MIGRATE 127.0.0.1 {} last 0 5000 REPLACE", replica.port)), "OK");
    assert_eq!((writer.ask("EXISTS last"), reader.ask("GET last")), ("0".into(), "2".into()));
    assert_eq!(writer.ask("SET last 3"), "OK");
    let refused = writer.ask(&format!("MIGRATE 127.0.0.1 {} last 0 500 REPLACE", replica.server.port));
    assert!(refused.starts_with("(IOERR "), "{refused}");
    // A primary of another authority is not followed.
    let other = TlsServer::start(&Authority::new(), &["--tls-auth-clients", "no"]);
    reader.ask(&format!("REPLICAOF 127.0.0.1 {}", other.port));
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(reader.info("master_link_status"), "down");
}

#[test]
fn the_gateway_speaks_tls_and_agrees_on_a_version_of_http() {
    let authority = Authority::new();
    let (port, _claim) = claim_port();
    let own = authority.arguments();
    let port_text = port.to_string();
    let mut arguments = vec!["--http-port", &port_text, "--http-tls", "yes", "--tls-auth-clients", "no"];
    arguments.extend(own.iter().map(String::as_str));
    let server = Server::start(&arguments);
    let connect = |protocols: &[&[u8]]| {
        let mut config = (*authority.client(None, rustls::ALL_VERSIONS)).clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from("server").expect("a name");
        let mut session = ClientConnection::new(Arc::new(config), name).expect("a session");
        let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("the gateway accepts");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        session.complete_io(&mut socket).expect("it is let in");
        StreamOwned::new(session, socket)
    };
    let mut stream = connect(&[b"http/1.1"]);
    stream.write_all(b"GET /ping HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("it is read");
    let mut answer = String::new();
    // The end need not be said.
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with(r#"{"result":"PONG"}"#), "{answer}");
    let mut stream = connect(&[b"h2", b"http/1.1"]);
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").expect("it is read");
    let mut head = [0; 9];
    stream.read_exact(&mut head).expect("settings");
    assert_eq!(head[3], 4, "a frame of settings");
    // Who speaks no TLS is hung up on, and RESP goes on without it.
    let mut plain = TcpStream::connect(("127.0.0.1", port)).expect("the gateway accepts");
    plain.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    plain.write_all(b"GET /ping HTTP/1.1\r\n\r\n").expect("it is read");
    assert!(!matches!(plain.read(&mut [0; 1]), Ok(1)));
    server.connect().play("> PING\nPONG");
}
