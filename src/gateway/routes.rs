//! What a request is answered with: its route, its user, its commands, and their replies in the form that it wants.

use super::access::{self, Credentials, Forbidden, Origin};
use super::clients::{Clients, Ended, Lease, Replies};
use super::compression::{self, COMPRESSED_BYTES_MIN, Encoding};
use super::connection::Traffic;
use super::content::{Content, Events};
use super::dashboard;
use super::reply::{self, Answer, Strings};
use super::request::{Commands, Format, Malformed};
use super::websocket;
use crate::client::Endpoint;
use crate::config::Directive;
use crate::metrics;
use crate::resp::{ErrorReply, Protocol};
use crate::state::State;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Bodies of more bytes are read, written and compressed by a thread that has no other clients.
const INLINE_BYTES_MAX: usize = 64 * 1024;
/// The bodies of all requests of a connection may hold so many times what one may.
const BODIES_MAX: usize = 4;
/// A body may come as slowly as this, once [`Directive::HttpTimeout`] has passed.
const BODY_BYTES_PER_SECOND_MIN: f64 = 1024.0;
/// Seconds for which a page need not ask again what it may.
const PREFLIGHT_SECONDS: &str = "86400";

/// Commands whose replies are not one for each, or that change what the connection speaks.
const NOT_FOR_HTTP: [&str; 14] = [
    "hello",
    "monitor",
    "psubscribe",
    "psync",
    "punsubscribe",
    "quit",
    "replconf",
    "reset",
    "ssubscribe",
    "subscribe",
    "sunsubscribe",
    "sync",
    "unsubscribe",
    "client|reply",
];
/// What else is not: its messages would have nowhere to go.
const TRACKING: &str = "client|tracking";

/// Commands that go on without end, as server-sent events.
const STREAMS: [&str; 4] = ["subscribe", "psubscribe", "ssubscribe", "monitor"];

/// Answers the requests of one connection.
pub struct Routes {
    pub clients: Rc<Clients>,
    pub traffic: Rc<Traffic>,
}

/// How the client wants its replies.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    body: Written,
    strings: Strings,
    protocol: Protocol,
    encoding: Option<Encoding>,
}

/// What a response is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    In(Format),
    /// As RESP clients get it.
    Resp,
}

/// A response that says what is wrong.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    reason: String,
}

impl Refused {
    fn new(status: StatusCode, reason: impl Into<String>) -> Refused {
        Refused { status, reason: reason.into() }
    }
}

impl From<Ended> for Refused {
    fn from(_: Ended) -> Refused {
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, "ERR the client was ended before its reply was complete")
    }
}

impl From<Malformed> for Refused {
    fn from(Malformed(reason): Malformed) -> Refused {
        Refused::new(StatusCode::BAD_REQUEST, reason)
    }
}

impl From<Forbidden> for Refused {
    fn from(Forbidden(reason): Forbidden) -> Refused {
        Refused::new(StatusCode::FORBIDDEN, reason)
    }
}

/// What is to be sent.
struct Sent {
    status: StatusCode,
    kind: &'static str,
    body: Bytes,
    encoding: Option<Encoding>,
}

impl Routes {
    /// Answers a request, whatever it is.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<Content> {
        let flight = self.traffic.begin(self.clients.state());
        let (parts, body) = request.into_parts();
        let wanted = Wanted::by(&parts.headers);
        let for_anybody = self
            .health(&parts)
            .map(Sent::into_response)
            .or_else(|| dashboard::answer(&parts.method, parts.uri.path(), &parts.headers, !body.is_end_stream()));
        let mut response = match for_anybody {
            Some(response) => response,
            None => self.answer_page(parts, body, wanted).await,
        };
        let headers = response.headers_mut();
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        crate::memory::publish();
        response.map(|content| content.on_its_way(flight, self.traffic.send()))
    }

    /// Whether the process lives, and whether it can serve: nobody needs to be known for that.
    fn health(&self, parts: &Parts) -> Option<Sent> {
        let is_ready = !self.clients.state().loading.is_on();
        match parts.uri.path() {
            "/healthz" => Some(Sent::text(StatusCode::OK, r#"{"status":"ok"}"#)),
            "/readyz" if is_ready => Some(Sent::text(StatusCode::OK, r#"{"status":"ready"}"#)),
            "/readyz" => Some(Sent::text(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"loading"}"#)),
            _ => None,
        }
    }

    /// Answers a request that a page may have sent.
    async fn answer_page(&self, parts: Parts, body: Incoming, wanted: Wanted) -> Response<Content> {
        let state = self.clients.state();
        let is_local = match &self.clients.client.address {
            Endpoint::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Endpoint::Unix(_) => true,
        };
        let is_anonymous = is_local && !state.acl.needs_password();
        let origin = match access::origin(&parts, &state.settings, is_anonymous) {
            Ok(origin) => origin,
            Err(forbidden) => return wanted.refuse(&forbidden.into()).into_response(),
        };
        let is_preflight = parts.method == Method::OPTIONS
            && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
            && origin != Origin::Own;
        let asked_for = parts.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        let mut response = if is_preflight {
            let mut response = Response::new(Content::whole(Bytes::new()));
            *response.status_mut() = StatusCode::NO_CONTENT;
            let headers = response.headers_mut();
            let methods = HeaderValue::from_static("GET, HEAD, POST, PUT");
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
            if let Some(asked_for) = asked_for {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked_for);
            }
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
            response
        } else if parts.uri.path() == "/ws" {
            self.upgrade(parts, body).unwrap_or_else(|refused| wanted.refuse(&refused).into_response())
        } else {
            let is_scrape = parts.uri.path() == "/metrics" && [Method::GET, Method::HEAD].contains(&parts.method);
            let sent = if is_scrape {
                self.scrape(&parts, wanted).await.map(Sent::into_response)
            } else {
                self.run(parts, body, wanted).await
            };
            sent.unwrap_or_else(|refused| wanted.refuse(&refused).into_response())
        };
        if let Origin::Allowed(origin) = origin
            && let Ok(origin) = HeaderValue::from_str(&origin)
        {
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
        }
        response
    }

    /// Logs a client in as the request says.
    fn log_in(&self, parts: &Parts, protocol: Protocol) -> Result<Lease, Refused> {
        let state = self.clients.state();
        let mut lease = self.lease()?;
        let credentials = Credentials::of(parts);
        let login = credentials.login(|user| state.acl.find(user).is_some());
        let may = credentials != Credentials::Unknown && lease.inner().begin(login.as_ref(), protocol);
        if may {
            return Ok(lease);
        }
        lease.give_back();
        let reason = match credentials {
            Credentials::None => "NOAUTH Authentication required.",
            _ => "WRONGPASS invalid username-password pair or user is disabled.",
        };
        Err(Refused::new(StatusCode::UNAUTHORIZED, reason))
    }

    fn lease(&self) -> Result<Lease, Refused> {
        let full = || Refused::new(StatusCode::SERVICE_UNAVAILABLE, "ERR max number of clients reached");
        self.clients.lease().ok_or_else(full)
    }

    /// Begins a WebSocket.
    fn upgrade(&self, parts: Parts, body: Incoming) -> Result<Response<Content>, Refused> {
        let response = websocket::accept(&parts.method, &parts.headers)
            .map_err(|reason| Refused::new(StatusCode::BAD_REQUEST, reason))?;
        // A page cannot say who it is but by commands.
        let lease = match Credentials::of(&parts) {
            Credentials::None => {
                let mut lease = self.lease()?;
                lease.inner().begin(None, Protocol::Resp3);
                lease
            }
            _ => self.log_in(&parts, Protocol::Resp3)?,
        };
        let upgrade = hyper::upgrade::on(Request::from_parts(parts, body));
        let state = Arc::clone(self.clients.state());
        let task = tokio::task::spawn_local(async move {
            match upgrade.await {
                Ok(upgraded) => websocket::serve(upgraded, lease, &state).await,
                Err(error) => tracing::debug!("WebSocket: {error}"),
            }
            crate::memory::publish();
        });
        self.traffic.upgraded.replace(Some(task));
        Ok(response)
    }

    /// Gathers metrics, by a thread that has no clients.
    async fn scrape(&self, parts: &Parts, wanted: Wanted) -> Result<Sent, Refused> {
        let mut lease = self.log_in(parts, wanted.protocol)?;
        let forbidden = |denial: ErrorReply| Refused::new(StatusCode::FORBIDDEN, text_of(&denial));
        let user = lease.inner().user_of(&metrics::REQUIRED);
        lease.give_back();
        let account = user.map_err(forbidden)?;
        let (state, format) = (Arc::clone(self.clients.state()), exposition_format(&parts.headers));
        let turn = Arc::clone(&state.scrape).lock_owned().await;
        elsewhere(move || {
            let _turn = turn;
            let busy = |_| Refused::new(StatusCode::SERVICE_UNAVAILABLE, text_of(&state.scripts.running.busy_error()));
            let text = metrics::render(&state, &account, format).map_err(busy)?;
            Ok(wanted.compress(StatusCode::OK, format.media_type(), text.into_bytes()))
        })
        .await
    }

    /// Runs the commands of a request.
    async fn run(&self, parts: Parts, body: Incoming, wanted: Wanted) -> Result<Response<Content>, Refused> {
        if ![Method::GET, Method::HEAD, Method::POST, Method::PUT].contains(&parts.method) {
            let reason = format!("ERR method {} is not supported", parts.method);
            return Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, reason));
        }
        let mut lease = self.log_in(&parts, wanted.protocol)?;
        let state = Arc::clone(self.clients.state());
        let path = parts.uri.path();
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default().to_ascii_lowercase();
        let accepts = |kind: &str| has(&parts.headers, &header::ACCEPT, kind);
        if STREAMS.contains(&first.as_str()) && accepts("text/event-stream") {
            let commands = Commands::from_path(path, None, parts.uri.query().unwrap_or_default(), &|_, _| None)?;
            return listen(lease, commands).await;
        }
        let body = self.read(body, &state).await?;
        let refusal = {
            let state = Arc::clone(&state);
            move |name: &[u8], first: &[u8]| refusal(&state, name, first)
        };
        let format = Format::of(&parts.headers);
        let is_transaction = path == "/multi-exec";
        let is_pipeline = is_transaction || path == "/pipeline";
        let commands = if is_pipeline || path == "/" {
            aside(body.len(), move || {
                let decode = if is_pipeline { Commands::many } else { Commands::one };
                Ok(decode(&body, format, &refusal)?)
            })
            .await?
        } else {
            let is_sent = parts.method == Method::POST || parts.method == Method::PUT;
            let body = (is_sent && !body.is_empty()).then_some(&body[..]);
            Commands::from_path(path, body, parts.uri.query().unwrap_or_default(), &refusal)?
        };
        let commands = if is_transaction { commands.in_transaction() } else { commands };
        let replies = lease.inner().exchange(&state, commands).await?;
        lease.give_back();
        let sent = aside(replies.bytes.len(), move || match (is_transaction, is_pipeline) {
            (true, _) => wanted.write_transaction(&replies),
            (_, true) => wanted.write_all(StatusCode::OK, &replies.iter().collect::<Vec<_>>()),
            _ => wanted.write_one(&replies),
        });
        Ok(sent.await?.into_response())
    }

    /// Reads a body within the limits. Errors: it is too long, too slow, or ends early.
    async fn read(&self, mut body: Incoming, state: &State) -> Result<Bytes, Refused> {
        let bytes_max = state.settings.int(Directive::HttpMaxBody) as usize;
        let pause_max = Duration::from_secs(state.settings.int(Directive::HttpTimeout) as u64);
        let too_long = || Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "ERR the body is longer than http-max-body");
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(too_long());
        }
        let began = Instant::now();
        let (mut bytes, mut counted) = (BytesMut::new(), Counted { total: &self.traffic.body_bytes, own: 0 });
        while !body.is_end_stream() {
            let whole_max = pause_max + Duration::from_secs_f64(bytes.len() as f64 / BODY_BYTES_PER_SECOND_MIN);
            let deadline = (Instant::now() + pause_max).min(began + whole_max);
            let frame = tokio::time::timeout_at(deadline, body.frame()).await;
            let too_slow = |_| Refused::new(StatusCode::REQUEST_TIMEOUT, "ERR the request did not come in time");
            let Some(frame) = frame.map_err(too_slow)? else { break };
            let broken = |error| Refused::new(StatusCode::BAD_REQUEST, format!("ERR the body cannot be read: {error}"));
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            if bytes.len() + data.len() > bytes_max {
                return Err(too_long());
            }
            counted.add(data.len());
            if counted.total.get() > BODIES_MAX.saturating_mul(bytes_max) {
                let reason = "ERR the bodies of all requests of the connection are too long together";
                return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, reason));
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    }
}

/// What a body that is being read holds, as part of a total.
struct Counted<'t> {
    total: &'t Cell<usize>,
    own: usize,
}

impl Counted<'_> {
    fn add(&mut self, bytes: usize) {
        self.own += bytes;
        self.total.update(|total| total + bytes);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.total.update(|total| total - self.own);
    }
}

/// Begins a stream of events.
async fn listen(mut lease: Lease, commands: Commands) -> Result<Response<Content>, Refused> {
    let inner = lease.inner();
    inner.end.send(commands.bytes.into());
    let first = std::future::poll_fn(|cx| inner.poll_next(cx)).await.ok_or(Ended)?;
    if let Some(reason) = reply::error(&first) {
        lease.give_back();
        return Err(Refused::new(StatusCode::BAD_REQUEST, reason));
    }
    let mut response = Response::new(Content::events(Events::new(lease, first)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

/// Why a command cannot be run for a request.
fn refusal(state: &State, name: &[u8], first: &[u8]) -> Option<String> {
    let spec = state.table.lookup(name)?;
    let spec = spec.subcommand(first).unwrap_or(spec);
    let is_refused = NOT_FOR_HTTP.contains(&spec.name) || spec.name == TRACKING;
    is_refused.then(|| format!("ERR command '{}' is not available over HTTP", spec.name))
}

/// Does `work` on so many bytes here, or by another thread if it would keep the other clients of this one waiting.
async fn aside<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    if bytes <= INLINE_BYTES_MAX { work() } else { elsewhere(work).await }
}

/// Has another thread do `work`.
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(move || {
        let done = work();
        crate::memory::publish();
        done
    });
    done.await.unwrap_or_else(|error| Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, format!("ERR {error}"))))
}

fn text_of(error: &ErrorReply) -> String {
    String::from_utf8_lossy(error.as_bytes()).into_owned()
}

/// The format in which metrics are wanted.
fn exposition_format(headers: &HeaderMap) -> metrics::Format {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accepted: Vec<_> = accepted.flat_map(|list| list.split(',')).map(compression::quality).collect();
    let wanted = |kind: &str| {
        let qualities = accepted.iter().filter(|(known, _)| known.eq_ignore_ascii_case(kind));
        qualities.map(|(_, quality)| *quality).fold(0.0, f32::max)
    };
    let open = wanted("application/openmetrics-text");
    if open > 0.0 && open >= wanted("text/plain") { metrics::Format::OpenMetrics } else { metrics::Format::Text }
}

/// Whether a list in a header has a word, whatever its case.
fn has(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|part| part.split(';').next().is_some_and(|part| part.trim().eq_ignore_ascii_case(word)))
}

/// What MessagePack is called.
const MESSAGE_PACK: [&str; 3] = ["application/msgpack", "application/x-msgpack", "application/vnd.msgpack"];

impl Format {
    /// What a request is written in.
    fn of(headers: &HeaderMap) -> Format {
        let is_message_pack = MESSAGE_PACK.iter().any(|kind| has(headers, &header::CONTENT_TYPE, kind));
        if is_message_pack { Format::MessagePack } else { Format::Json }
    }

    /// What the response is to be written in: what is accepted, or what the request is in if anything is.
    fn accepted(headers: &HeaderMap) -> Format {
        let accepts = |kind: &str| has(headers, &header::ACCEPT, kind);
        if MESSAGE_PACK.iter().any(|kind| accepts(kind)) {
            Format::MessagePack
        } else if !headers.contains_key(header::ACCEPT) || accepts("*/*") {
            Format::of(headers)
        } else {
            Format::Json
        }
    }
}

impl Wanted {
    fn by(headers: &HeaderMap) -> Wanted {
        // One that is missing, or no text, asks for nothing.
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let raw = header("upstash-response-format");
        let is_resp3 = raw.eq_ignore_ascii_case("resp3") || header("resp-protocol") == "3";
        let is_raw = raw.eq_ignore_ascii_case("resp2") || raw.eq_ignore_ascii_case("resp3");
        let is_base64 = header("upstash-encoding").eq_ignore_ascii_case("base64");
        Wanted {
            body: if is_raw { Written::Resp } else { Written::In(Format::accepted(headers)) },
            strings: if is_base64 { Strings::Base64 } else { Strings::Plain },
            protocol: if is_resp3 { Protocol::Resp3 } else { Protocol::Resp2 },
            encoding: Encoding::choose(header("accept-encoding")),
        }
    }

    /// The reply to a command; an error is the client's, as it is for `@upstash/redis`.
    fn write_one(self, replies: &Replies) -> Result<Sent, Refused> {
        let replies: Vec<_> = replies.iter().collect();
        let &[reply] = replies.as_slice() else { return Err(Ended.into()) };
        let status = if reply::error(reply).is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        match self.body {
            Written::Resp => self.write_all(status, &replies),
            Written::In(format) => self.send(status, format, &Answer { reply, strings: self.strings }),
        }
    }

    /// The replies to `MULTI`, to what was queued, and to `EXEC`.
    fn write_transaction(self, replies: &Replies) -> Result<Sent, Refused> {
        let all: Vec<_> = replies.iter().collect();
        let [queued @ .., executed] = all.as_slice() else { return Err(Ended.into()) };
        match reply::elements(executed) {
            Some(replies) => self.write_all(StatusCode::OK, &replies),
            None => {
                let because = queued.iter().find_map(|reply| reply::error(reply));
                let because = because.map(|reason| format!("EXECABORT Transaction discarded because of: {reason}"));
                let reason = because.or_else(|| reply::error(executed)).ok_or(Ended)?;
                Err(Refused::new(StatusCode::BAD_REQUEST, reason))
            }
        }
    }

    fn write_all(self, status: StatusCode, replies: &[&[u8]]) -> Result<Sent, Refused> {
        match self.body {
            Written::Resp => Ok(self.compress(status, "application/octet-stream", replies.concat())),
            Written::In(format) => {
                let answers: Vec<_> = replies.iter().map(|reply| Answer { reply, strings: self.strings }).collect();
                self.send(status, format, &answers)
            }
        }
    }

    fn send(self, status: StatusCode, format: Format, value: &impl Serialize) -> Result<Sent, Refused> {
        let unwritable = |error: &dyn std::fmt::Display| {
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, format!("ERR the reply cannot be written: {error}"))
        };
        Ok(match format {
            Format::Json => {
                let body = serde_json::to_vec(value).map_err(|error| unwritable(&error))?;
                self.compress(status, "application/json", body)
            }
            Format::MessagePack => {
                let body = rmp_serde::to_vec_named(value).map_err(|error| unwritable(&error))?;
                self.compress(status, MESSAGE_PACK[0], body)
            }
        })
    }

    fn compress(self, status: StatusCode, kind: &'static str, body: Vec<u8>) -> Sent {
        let encoding = self.encoding.filter(|_| body.len() > COMPRESSED_BYTES_MIN);
        match encoding.and_then(|encoding| encoding.compress(&body)) {
            Some(compressed) => Sent { status, kind, body: compressed.into(), encoding },
            None => Sent { status, kind, body: body.into(), encoding: None },
        }
    }

    fn refuse(self, refused: &Refused) -> Sent {
        let format = match self.body {
            Written::In(format) => format,
            Written::Resp => Format::Json,
        };
        let sent = self.send(refused.status, format, &serde_json::json!({ "error": refused.reason }));
        sent.unwrap_or_else(|_| Sent::text(StatusCode::INTERNAL_SERVER_ERROR, "{}"))
    }
}

impl Sent {
    fn text(status: StatusCode, json: &'static str) -> Sent {
        Sent { status, kind: "application/json", body: Bytes::from_static(json.as_bytes()), encoding: None }
    }

    fn into_response(self) -> Response<Content> {
        let mut response = Response::new(Content::whole(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
        if let Some(encoding) = self.encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        }
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"radish\""));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT"));
            }
            _ => {}
        }
        response
    }
}
