//! The HTTP gateway: the REST interface, its forms and limits, who is let in, HTTP/2, events and WebSockets.

use crate::support::http::{Gateway, Http, PATIENCE};
use crate::support::{claim_port, eventually};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

fn ok(text: &str) -> (u16, String) {
    (200, text.to_owned())
}

#[test]
fn commands_pipelines_and_transactions() {
    let gateway = Gateway::start(&[]);
    let mut http = gateway.connect();
    assert_eq!(http.post("/", r#"["SET","k","v","EX",100]"#), ok(r#"{"result":"OK"}"#));
    assert_eq!(http.post("/", r#"["TTL","k"]"#), ok(r#"{"result":100}"#));
    assert_eq!(http.get("/get/k"), ok(r#"{"result":"v"}"#));
    assert_eq!(http.get("/get/none"), ok(r#"{"result":null}"#));
    assert_eq!(http.get("/SET/a%2Fb/c%20d?EX=50&GET"), ok(r#"{"result":null}"#));
    assert_eq!(http.get("/get/a%2Fb"), ok(r#"{"result":"c d"}"#));
    assert_eq!(http.post("/set/json?NX", r#"{"a":[1]}"#), ok(r#"{"result":"OK"}"#));
    assert_eq!(http.get("/get/json"), ok(r#"{"result":"{\"a\":[1]}"}"#));
    assert_eq!(
        http.post("/pipeline", r#"[["RPUSH","l",1,2.5,true],["LRANGE","l",0,-1],["INCR","k"],["GET"],["PING"]]"#),
        ok(concat!(
            r#"[{"result":3},{"result":["1","2.5","true"]},{"error":"ERR value is not an integer or out of range"},"#,
            r#"{"error":"ERR wrong number of arguments for 'get' command"},{"result":"PONG"}]"#
        ))
    );
    assert_eq!(
        http.post("/multi-exec", r#"[["INCR","n"],["INCR","k"],["GET","n"]]"#),
        ok(r#"[{"result":1},{"error":"ERR value is not an integer or out of range"},{"result":"1"}]"#)
    );
    let discarded =
        r#"{"error":"EXECABORT Transaction discarded because of: ERR wrong number of arguments for 'get' command"}"#;
    assert_eq!(http.post("/multi-exec", r#"[["INCR","n"],["GET"]]"#), (400, discarded.into()));
    assert_eq!(http.get("/get/n"), ok(r#"{"result":"1"}"#));
    assert_eq!(http.get("/nonsense").0, 400);
    assert_eq!(http.ask("DELETE", "/get/k", &[], b"").status, 405);
    let head = http.ask("GET", "/get/k", &[], b"");
    assert_eq!(head.header("content-type"), Some("application/json"));
    assert_eq!(http.get("/healthz"), ok(r#"{"status":"ok"}"#));
    assert_eq!(http.get("/readyz"), ok(r#"{"status":"ready"}"#));
}

#[test]
fn a_request_inherits_nothing_from_the_one_before() {
    let gateway = Gateway::start(&[]);
    gateway.server.connect().play("> ACL SETUSER reader on >pw ~* +get +select +ping\nOK");
    let mut http = gateway.connect();
    let prepare = r#"[["SELECT",3],["SET","k","three"],["WATCH","k"],["MULTI"],["CLIENT","SETNAME","x"]]"#;
    assert_eq!(http.post("/pipeline", prepare).0, 200);
    assert_eq!(http.get("/get/k"), ok(r#"{"result":null}"#));
    assert_eq!(http.post("/", r#"["CLIENT","GETNAME"]"#), ok(r#"{"result":null}"#));
    assert_eq!(http.post("/", r#"["EXEC"]"#), (400, r#"{"error":"ERR EXEC without MULTI"}"#.into()));
    let token = [("authorization", "Bearer reader:pw")];
    let refused = http.ask("POST", "/", &token, br#"["SET","k",1]"#);
    assert_eq!(refused.text(), r#"{"error":"NOPERM this user has no permissions to run the 'set' command"}"#);
    assert_eq!(http.post("/", r#"["SET","k",1]"#), ok(r#"{"result":"OK"}"#));
    assert_eq!(http.post("/pipeline", r#"[["AUTH","reader","pw"],["SET","k",2]]"#).0, 200);
    assert_eq!(http.post("/", r#"["SET","k",3]"#), ok(r#"{"result":"OK"}"#));
    for refused in ["SUBSCRIBE", "monitor", "HELLO", "PSYNC", "QUIT", "RESET"] {
        let (status, text) = http.post("/", &format!(r#"["{refused}","x"]"#));
        assert_eq!((status, text.contains("is not available over HTTP")), (400, true), "{refused}: {text}");
    }
    assert_eq!(http.post("/", r#"["CLIENT","REPLY","OFF"]"#).0, 400);
    assert_eq!(http.get("/ping"), ok(r#"{"result":"PONG"}"#));
}

#[test]
fn who_is_let_in() {
    let gateway = Gateway::start(&["--requirepass", "secret"]);
    let mut resp = gateway.server.connect();
    resp.play("> AUTH secret\nOK\n> ACL SETUSER alice on >pw:w ~* +@all\nOK");
    let mut http = gateway.connect();
    let refused = http.ask("GET", "/get/k", &[], b"");
    assert_eq!((refused.status, refused.text()), (401, r#"{"error":"NOAUTH Authentication required."}"#.into()));
    assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"radish\""));
    let mut status = |header: &str| http.ask("GET", "/get/k", &[("authorization", header)], b"").status;
    assert_eq!(status("Bearer secret"), 200);
    assert_eq!(status("bearer alice:pw:w"), 200);
    // alice:pw:w, default:secret, :secret
    for basic in ["Basic YWxpY2U6cHc6dw==", "Basic ZGVmYXVsdDpzZWNyZXQ=", "Basic OnNlY3JldA=="] {
        assert_eq!(status(basic), 200, "{basic}");
    }
    for wrong in ["Bearer", "Bearer x", "Bearer alice:x", "Bearer bob:secret", "Basic !", "Digest secret", "secret"] {
        assert_eq!(status(wrong), 401, "{wrong}");
    }
    assert_eq!(http.get("/get/k?_token=secret").0, 200);
    assert_eq!(http.get("/get/k?_token=wrong").0, 401);
    assert_eq!(http.get("/healthz").0, 200);
    assert_eq!(resp.info("acl_access_denied_auth"), "5");
    assert!(resp.ask("ACL LOG").contains("AUTH"));
}

#[test]
fn pages_of_others_are_kept_out_unless_they_are_named() {
    let gateway = Gateway::start(&[]);
    let mut http = gateway.connect();
    let mut status = |headers: &[(&str, &str)]| http.ask("GET", "/ping", headers, b"").status;
    assert_eq!(status(&[("origin", "https://evil.example")]), 403);
    assert_eq!(status(&[("origin", "null")]), 403);
    assert_eq!(status(&[("sec-fetch-site", "cross-site")]), 403);
    assert_eq!(status(&[("origin", "http://localhost")]), 200);
    http.send_raw(b"GET /ping HTTP/1.1\r\nhost: rebound.example\r\n\r\n");
    assert_eq!(http.response().status, 403);
    gateway.server.connect().play("> CONFIG SET http-cors-origin https://app.example\nOK");
    let origin = ("origin", "https://app.example");
    let allowed = http.ask("POST", "/", &[origin], br#"["PING"]"#);
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, Some("https://app.example")));
    let asks = ("access-control-request-method", "POST");
    let preflight = http.ask("OPTIONS", "/", &[origin, asks, ("access-control-request-headers", "authorization")], b"");
    assert_eq!((preflight.status, preflight.header("access-control-allow-headers")), (204, Some("authorization")));
    assert_eq!(http.ask("OPTIONS", "/", &[("origin", "https://evil.example"), asks], b"").status, 403);
    gateway.server.connect().play("> CONFIG SET http-cors-origin nonsense\n(ERR CONFIG SET failed (possibly related to argument 'http-cors-origin') - an origin is '*' or of the form https://host:port)");
}

#[test]
fn forms_of_bodies() {
    let gateway = Gateway::start(&[]);
    let mut http = gateway.connect();
    http.post("/", r#"["HSET","h","f","ä"]"#);
    let base64 = http.ask("GET", "/hgetall/h", &[("upstash-encoding", "base64")], b"");
    assert_eq!(base64.text(), r#"{"result":["Zg==","w6Q="]}"#);
    assert_eq!(http.ask("GET", "/hgetall/h", &[("resp-protocol", "3")], b"").text(), r#"{"result":{"f":"ä"}}"#);
    let raw = http.ask("POST", "/pipeline", &[("upstash-response-format", "resp2")], br#"[["PING"],["GET","x"]]"#);
    assert_eq!((raw.text(), raw.header("content-type")), ("+PONG\r\n$-1\r\n".into(), Some("application/octet-stream")));
    let packed = ("content-type", "application/msgpack");
    let set = http.ask("POST", "/", &[packed], b"\x93\xa3SET\xa1b\xc4\x02\xff\x00");
    assert_eq!(
        (set.header("content-type"), &set.body[..]),
        (Some("application/msgpack"), &b"\x81\xa6result\xa2OK"[..])
    );
    let get = http.ask("GET", "/get/b", &[("accept", "application/x-msgpack")], b"");
    assert_eq!(get.body, b"\x81\xa6result\xc4\x02\xff\x00");
    assert_eq!(
        http.ask("POST", "/", &[packed, ("accept", "application/json")], b"\x91\xa4PING").text(),
        r#"{"result":"PONG"}"#
    );
    let wrong = http.ask("POST", "/", &[packed], b"\x91");
    assert_eq!((wrong.status, &wrong.body[..7]), (400, &b"\x81\xa5error"[..]));

    http.post("/", &format!(r#"["SET","text","{}"]"#, "some text ".repeat(1000)));
    let plain = http.get("/get/text").1;
    for encoding in ["gzip", "br", "zstd"] {
        let response = http.ask("GET", "/get/text", &[("accept-encoding", encoding)], b"");
        assert_eq!(response.header("content-encoding"), Some(encoding));
        assert!(response.body.len() < 300, "{encoding}: {}", response.body.len());
        let decoded = match encoding {
            "zstd" => zstd::bulk::decompress(&response.body, plain.len()).expect("it is whole"),
            _ => {
                let mut decoded = Vec::new();
                let mut reader: Box<dyn Read> = match encoding {
                    "br" => Box::new(brotli::Decompressor::new(&response.body[..], 4096)),
                    _ => Box::new(flate2::read::GzDecoder::new(&response.body[..])),
                };
                reader.read_to_end(&mut decoded).expect("it is whole");
                decoded
            }
        };
        assert_eq!(decoded, plain.as_bytes(), "{encoding}");
    }
    assert_eq!(http.ask("GET", "/get/b", &[("accept-encoding", "gzip")], b"").header("content-encoding"), None);
    // More than is written on the thread of the connection.
    let large = "x".repeat(300_000);
    assert_eq!(http.post("/", &format!(r#"["SET","large","{large}"]"#)), ok(r#"{"result":"OK"}"#));
    assert_eq!(http.get("/get/large").1.len(), large.len() + r#"{"result":""}"#.len());
}

#[test]
fn what_cannot_be_understood() {
    let gateway = Gateway::start(&["--http-max-body", "64kb", "--http-timeout", "1"]);
    let mut http = gateway.connect();
    for body in ["", "[", "{}", "[]", "[[]]", "[null]", "\"PING\"", "[\"PING\"]]", "\u{1}"] {
        let (status, text) = http.post("/", body);
        assert_eq!((status, text.starts_with(r#"{"error":"ERR "#)), (400, true), "{body:?}: {text}");
    }
    assert_eq!(http.post("/pipeline", r#"["PING"]"#).0, 400);
    assert_eq!(http.post("/", &"[".repeat(60_000)).0, 400);
    // A body that is too long, whether it says so or not.
    assert_eq!(http.post("/", &" ".repeat(100_000)).0, 413);
    let mut http = gateway.connect();
    http.send_raw(b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    http.send_raw(format!("11170\r\n{}\r\n", "x".repeat(70_000)).as_bytes());
    assert_eq!(http.response().status, 413);
    // Heads that are too long, or no heads.
    let mut http = gateway.connect();
    http.send_raw(format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(100_000)).as_bytes());
    assert_eq!(http.head().status, 431);
    let mut http = gateway.connect();
    http.send_raw(format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200)).as_bytes());
    assert_eq!(http.head().status, 431);
    let mut http = gateway.connect();
    http.send_raw(b"*1\r\n$4\r\nPING\r\n");
    assert_eq!(http.head().status, 400);
    // Who is too slow.
    let began = Instant::now();
    let mut http = gateway.connect();
    http.send_raw(b"GET / HTTP/1.1\r\nho");
    assert_eq!(http.response().status, 408);
    assert!(http.is_closed());
    let mut http = gateway.connect();
    http.send_raw(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n[");
    assert_eq!(http.response().status, 408);
    assert!(began.elapsed() < Duration::from_secs(30));
    gateway.server.connect().play("> PING\nPONG");
}

#[test]
fn connections_end_when_they_have_been_used_enough() {
    let gateway = Gateway::start(&["--http-max-requests", "3", "--http-keepalive", "1"]);
    let mut http = gateway.connect();
    assert_eq!(http.ask("GET", "/ping", &[], b"").header("connection"), None);
    assert_eq!(http.ask("GET", "/ping", &[], b"").status, 200);
    assert_eq!(http.ask("GET", "/ping", &[], b"").status, 200);
    assert!(http.is_closed());
    let mut idle = gateway.connect();
    assert_eq!(idle.get("/ping").0, 200);
    assert!(idle.is_closed());
    assert!(gateway.connect().is_closed(), "one that says nothing");
    let mut resp = gateway.server.connect();
    eventually("the end of their clients", || resp.info("connected_clients") == "1");
}

#[test]
fn its_clients_are_clients() {
    let gateway = Gateway::start(&["--slowlog-log-slower-than", "0", "--maxclients", "3"]);
    let mut resp = gateway.server.connect();
    let mut http = gateway.connect();
    http.post("/", r#"["SET","k","v"]"#);
    assert!(resp.ask("CLIENT LIST").contains("cmd=set"));
    assert!(resp.ask("SLOWLOG GET").contains("SET k v"));
    assert!(resp.info("cmdstat_set").starts_with("calls=1,"));
    // A wait that is given up holds nothing.
    let mut waits = gateway.connect();
    waits.send("POST", "/", &[], br#"["BLPOP","list",0]"#);
    eventually("the wait", || resp.info("blocked_clients") == "1");
    assert_eq!(gateway.connect().head().status, 503, "there are as many as may be");
    drop(waits);
    eventually("the end of the wait", || resp.info("blocked_clients") == "0");
    let mut waits = gateway.connect();
    waits.send("POST", "/", &[], br#"["BLPOP","list",0]"#);
    eventually("the wait", || resp.info("blocked_clients") == "1");
    http.post("/", r#"["RPUSH","list","x"]"#);
    assert_eq!(waits.response().text(), r#"{"result":["list","x"]}"#);
    resp.ask("CLIENT KILL TYPE normal SKIPME yes");
    assert!(http.is_closed() && waits.is_closed());
}

#[test]
fn events_of_subscriptions_and_of_monitor() {
    let gateway = Gateway::start(&[]);
    let mut resp = gateway.server.connect();
    let begin = |path: &str| {
        let mut http = gateway.connect();
        http.send("POST", path, &[("accept", "text/event-stream")], b"[]");
        let head = http.head();
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
        http
    };
    // Each event is a chunk of its own.
    let event = |http: &mut Http| {
        let len = usize::from_str_radix(&http.line(), 16).expect("a length");
        let mut chunk = vec![0; len + 2];
        http.stream.read_exact(&mut chunk).expect("a chunk");
        String::from_utf8(chunk).expect("text").trim_end().to_owned()
    };
    let mut channel = begin("/subscribe/news/more");
    assert_eq!(event(&mut channel), "data: subscribe,news,1");
    assert_eq!(event(&mut channel), "data: subscribe,more,2");
    let mut pattern = begin("/psubscribe/n%2A");
    assert_eq!(event(&mut pattern), "data: psubscribe,n*,1");
    let mut monitor = begin("/monitor");
    assert_eq!(event(&mut monitor), "data: \"OK\"");
    resp.send_words(&["PUBLISH", "news", "one,\ntwo"]);
    assert_eq!(resp.reply(), "2");
    assert_eq!(event(&mut channel), "data: message,news,one,\ndata: two");
    assert_eq!(event(&mut pattern), "data: pmessage,n*,news,one,\ndata: two");
    assert!(event(&mut monitor).ends_with("\"PUBLISH\" \"news\" \"one,\\ntwo\""));
    drop((channel, pattern, monitor));
    eventually("the end of the subscriptions", || resp.ask("PUBLISH news x") == "0");
    let mut http = gateway.connect();
    let wrong = http.ask("POST", "/subscribe", &[("accept", "text/event-stream")], b"");
    assert_eq!(wrong.status, 400);
}

/// A WebSocket, once the server has agreed.
fn web_socket(gateway: &Gateway, path: &str, headers: &str) -> Result<WebSocket<TcpStream>, u16> {
    let mut http = gateway.connect();
    let head = "host: localhost\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    http.send_raw(format!("GET {path} HTTP/1.1\r\n{head}{headers}\r\n").as_bytes());
    let response = http.head();
    if response.status != 101 {
        return Err(response.status);
    }
    assert_eq!(response.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    Ok(WebSocket::from_raw_socket(http.stream.into_inner(), Role::Client, None))
}

#[test]
fn web_sockets_speak_resp() {
    let gateway = Gateway::start(&[]);
    let mut resp = gateway.server.connect();
    let mut socket = web_socket(&gateway, "/ws", "").expect("it is let in");
    let mut received = Vec::new();
    let mut expect = |socket: &mut WebSocket<TcpStream>, expected: &[u8]| {
        while received.len() < expected.len() {
            if let Message::Binary(bytes) = socket.read().expect("a message") {
                received.extend_from_slice(&bytes);
            }
        }
        assert_eq!(String::from_utf8_lossy(&received), String::from_utf8_lossy(expected));
        received.clear();
    };
    socket.send(Message::binary(&b"*3\r\n$4\r\nHSET\r\n$1\r\nh\r\n$1"[..])).expect("it is sent");
    socket.send(Message::binary(&b"\r\n"[..])).expect("it is sent");
    socket.send(Message::Ping(Bytes::new())).expect("it is sent");
    socket.send(Message::binary(&b"f\r\n"[..])).expect("it is sent");
    expect(&mut socket, b"-ERR wrong number of arguments for 'hset' command\r\n");
    let requests = b"HSET h f v\r\nHGETALL h\r\nSUBSCRIBE c\r\n";
    socket.send(Message::binary(&requests[..])).expect("it is sent");
    expect(&mut socket, b":1\r\n%1\r\n$1\r\nf\r\n$1\r\nv\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    resp.play("> PUBLISH c hello\n1");
    expect(&mut socket, b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n");
    socket.send(Message::text("[\"PING\"]")).expect("it is sent");
    assert!(matches!(socket.read(), Ok(Message::Close(Some(frame))) if u16::from(frame.code) == 1003));
    eventually("the end of its client", || resp.info("connected_clients") == "1");
}

#[test]
fn web_sockets_speak_json() {
    let gateway = Gateway::start(&["--requirepass", "secret", "--http-max-body", "64kb"]);
    let mut resp = gateway.server.connect();
    resp.ask("AUTH secret");
    let mut socket = web_socket(&gateway, "/ws", "").expect("it may say later who it is");
    let text = |socket: &mut WebSocket<TcpStream>| loop {
        if let Message::Text(text) = socket.read().expect("a message") {
            return text.to_string();
        }
    };
    let mut ask = |request: &str| {
        socket.send(Message::text(request)).expect("it is sent");
        text(&mut socket)
    };
    assert_eq!(ask(r#"["GET","k"]"#), r#"{"error":"NOAUTH Authentication required."}"#);
    assert_eq!(ask(r#"["AUTH","secret"]"#), r#"{"result":"OK"}"#);
    assert_eq!(ask(r#"["HSET","h","f",1]"#), r#"{"result":1}"#);
    assert_eq!(ask(r#"[["HGETALL","h"],["SUBSCRIBE","c"]]"#), r#"{"result":{"f":"1"}}"#);
    assert_eq!(text(&mut socket), r#"{"push":["subscribe","c",1]}"#);
    resp.play("> PUBLISH c hello\n1");
    assert_eq!(text(&mut socket), r#"{"push":["message","c","hello"]}"#);
    // A wait is served, and does not hold back what comes before.
    socket.send(Message::text(r#"["BLPOP","list",0]"#)).expect("it is sent");
    eventually("the wait", || resp.info("blocked_clients") == "1");
    resp.play("> RPUSH list x\n1");
    assert_eq!(text(&mut socket), r#"{"result":["list","x"]}"#);
    socket.send(Message::text("nonsense")).expect("it is sent");
    assert!(matches!(socket.read(), Ok(Message::Close(Some(frame))) if u16::from(frame.code) == 1007));

    let mut socket = web_socket(&gateway, "/ws?_token=secret", "").expect("it is let in");
    socket.send(Message::text("[\"PING\"]")).expect("it is sent");
    assert_eq!(text(&mut socket), r#"{"result":"PONG"}"#);
    // A message that is longer than any may be, of fragments that are not.
    let mut fragment = vec![0x01, 0xFE, 0x40, 0, 1, 2, 3, 4];
    fragment.resize(8 + 0x4000, 1);
    for _ in 0..6 {
        if socket.get_mut().write_all(&fragment).is_err() {
            break;
        }
        fragment[0] = 0x00;
    }
    assert!(!matches!(socket.read(), Ok(Message::Text(_))));
    assert_eq!(web_socket(&gateway, "/ws?_token=wrong", "").err(), Some(401));
    assert_eq!(web_socket(&gateway, "/ws", "origin: https://evil.example\r\n").err(), Some(403));
    assert_eq!(gateway.connect().get("/ws").0, 400);
    resp.play("> PING\nPONG");
}

#[tokio::test]
async fn a_hundred_requests_at_the_same_time_over_http2() {
    let gateway = Gateway::start(&["--threads", "2"]);
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", gateway.port)).await.expect("the gateway accepts");
    let executor = hyper_util::rt::TokioExecutor::new();
    let (sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(executor, TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    let ask = |body: String| {
        let request = hyper::Request::post(format!("http://localhost:{}/", gateway.port)).body(Full::from(body));
        let mut sender = sender.clone();
        async move {
            sender.ready().await.expect("there is room");
            let response = sender.send_request(request.expect("a request")).await.expect("a response");
            let (status, body) = (response.status(), response.into_body().collect().await.expect("a body"));
            assert_eq!(status, 200);
            String::from_utf8(body.to_bytes().to_vec()).expect("text")
        }
    };
    // Each waits, and each gets what is its own.
    let waits: Vec<_> = (0..60).map(|index| tokio::spawn(ask(format!(r#"["BLPOP","list{index}",0]"#)))).collect();
    let mut resp = gateway.server.connect();
    let began = Instant::now();
    while resp.info("blocked_clients") != "60" {
        assert!(began.elapsed() < PATIENCE, "the waits do not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for index in (0..60).rev() {
        assert_eq!(ask(format!(r#"["RPUSH","list{index}","{index}"]"#)).await, r#"{"result":1}"#);
    }
    for (index, wait) in waits.into_iter().enumerate() {
        assert_eq!(wait.await.expect("it ends"), format!(r#"{{"result":["list{index}","{index}"]}}"#));
    }
    let counts: Vec<_> = (0..200).map(|_| tokio::spawn(ask(r#"["INCR","count"]"#.into()))).collect();
    let mut seen = Vec::new();
    for count in counts {
        seen.push(count.await.expect("it ends"));
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 200, "none is lost, none is given twice");
}

#[test]
fn floods_of_http2_streams_end_the_connection_and_harm_nobody() {
    let gateway = Gateway::start(&[]);
    let mut resp = gateway.server.connect();
    for also_resets in [true, false] {
        let mut stream = TcpStream::connect(("127.0.0.1", gateway.port)).expect("the gateway accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec();
        for stream in (1..20_000_u32).step_by(2) {
            // GET http://localhost/blpop/k/0: a head without indices, and the end of the stream.
            let head = b"\x82\x86\x44\x0a/blpop/k/0\x41\x09localhost";
            flood.extend_from_slice(&[0, 0, head.len() as u8, 1, 5]);
            flood.extend_from_slice(&stream.to_be_bytes());
            flood.extend_from_slice(head);
            if also_resets {
                flood.extend_from_slice(b"\x00\x00\x04\x03\x00");
                flood.extend_from_slice(&stream.to_be_bytes());
                flood.extend_from_slice(&8_u32.to_be_bytes());
            }
        }
        // The server may hang up meanwhile.
        let _ = stream.write_all(&flood);
        resp.play("> PING\nPONG");
        assert!(resp.info("connected_clients").parse::<usize>().expect("a number") <= 110);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
        eventually("the end of its clients", || resp.info("connected_clients") == "1");
    }
}

#[test]
fn who_takes_no_response_is_not_waited_for() {
    let gateway = Gateway::start(&["--http-keepalive", "1"]);
    let mut stream = TcpStream::connect(("127.0.0.1", gateway.port)).expect("the gateway accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    // Settings that leave no room for bodies, and a request: GET http://localhost/echo/x
    let mut bytes =
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00".to_vec();
    let head = b"\x82\x86\x44\x07/echo/x\x41\x09localhost";
    bytes.extend_from_slice(&[0, 0, head.len() as u8, 1, 5, 0, 0, 0, 1]);
    bytes.extend_from_slice(head);
    stream.write_all(&bytes).expect("the server reads");
    let mut answer = Vec::new();
    // It may end in any way.
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.windows(6).any(|text| text == b"result"), "there was no room for it");
    let mut resp = gateway.server.connect();
    eventually("the end of its client", || resp.info("connected_clients") == "1");
}

#[test]
fn the_port_can_be_changed_and_closed() {
    let gateway = Gateway::start(&[]);
    let mut resp = gateway.server.connect();
    assert!(resp.info("listener1").starts_with("name=http,bind=127.0.0.1,"));
    let (port, _claim) = claim_port();
    assert_eq!(resp.ask(&format!("CONFIG SET http-port {port}")), "OK");
    assert!(TcpStream::connect(("127.0.0.1", gateway.port)).is_err());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert_eq!(resp.ask("CONFIG SET http-port 0"), "OK");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}
