//! A server with its gateway, and a client of HTTP/1.1.

use super::{Server, claim_port};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

/// How long a client waits for the server.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server that speaks HTTP on a port of its own.
pub struct Gateway {
    pub server: Server,
    pub port: u16,
    _claim: UdpSocket,
}

impl Gateway {
    pub fn start(arguments: &[&str]) -> Gateway {
        let (port, claim) = claim_port();
        let text = port.to_string();
        let server = Server::start(&[&["--http-port", &text], arguments].concat());
        Gateway { server, port, _claim: claim }
    }

    pub fn connect(&self) -> Http {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the gateway accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Http { stream: BufReader::new(stream) }
    }
}

/// A connection of HTTP/1.1.
pub struct Http {
    pub stream: BufReader<TcpStream>,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Http {
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the server reads");
    }

    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        self.send_raw(&[request.as_bytes(), body].concat());
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line arrives");
        line.trim_end().to_owned()
    }

    /// The head of the next response.
    pub fn head(&mut self) -> Response {
        let line = self.line();
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{line:?} is no status"));
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.push((name.to_owned(), value.to_owned()));
        }
        Response { status, headers, body: Vec::new() }
    }

    pub fn response(&mut self) -> Response {
        let mut response = self.head();
        let len = response.header("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
        response.body = vec![0; len];
        self.stream.read_exact(&mut response.body).expect("a body");
        response
    }

    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.send(method, path, headers, body);
        self.response()
    }

    /// Sends a body to a path, and returns the status and what comes back.
    pub fn post(&mut self, path: &str, body: &str) -> (u16, String) {
        let response = self.ask("POST", path, &[], body.as_bytes());
        (response.status, response.text())
    }

    pub fn get(&mut self, path: &str) -> (u16, String) {
        self.send_raw(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes());
        let response = self.response();
        (response.status, response.text())
    }

    pub fn is_closed(&mut self) -> bool {
        !matches!(self.stream.read(&mut [0; 1]), Ok(1))
    }
}
