//! WebSockets (RFC 6455): binary messages carry RESP3 both ways, cut anywhere, as on a socket; text messages carry a command, or an
//! array of them, or a reply each, in JSON. The first message says which it is.

use super::clients::{Inner, Lease};
use super::connection::END_MAX;
use super::content::Content;
use super::reply::{Answer, Pushed, Strings, is_push};
use super::request::{Commands, Format, Malformed};
use crate::config::Directive;
use crate::state::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::upgrade::Upgraded;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use std::time::Duration;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The response to a handshake. Errors: why it is none.
pub fn accept(method: &Method, headers: &HeaderMap) -> Result<Response<Content>, &'static str> {
    let is = |name: header::HeaderName, word: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    if method != Method::GET || !is(header::UPGRADE, "websocket") || !is(header::CONNECTION, "upgrade") {
        return Err("ERR this is the place of a WebSocket");
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err("ERR the version of the WebSocket protocol must be 13");
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or("ERR Sec-WebSocket-Key is missing")?;
    let mut response = Response::new(Content::whole(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let response_headers = response.headers_mut();
    response_headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response_headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    let accept = HeaderValue::from_str(&proof(key.as_bytes())).map_err(|_| "ERR Sec-WebSocket-Key is wrong")?;
    response_headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// What proves that a key has been read by who knows of WebSockets (RFC 6455, section 4.2.2).
fn proof(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new_with_prefix(key).chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize())
}

/// What messages carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Unknown,
    Resp,
    Json,
}

/// Why a connection ends, in words for the other side.
struct Closing(CloseCode, String);

impl Closing {
    fn because(code: CloseCode, reason: &str) -> Closing {
        // As much as there is room for in such a message.
        let mut end = reason.len().min(120);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        Closing(code, reason[..end].to_owned())
    }
}

/// Serves a client over a WebSocket until either side ends it.
pub async fn serve(upgraded: Upgraded, mut lease: Lease, state: &State) {
    let bytes_max = state.settings.int(Directive::HttpMaxBody) as usize;
    let alive_interval = Duration::from_secs(state.settings.int(Directive::HttpKeepalive) as u64);
    let config = WebSocketConfig::default().max_message_size(Some(bytes_max)).max_frame_size(Some(bytes_max));
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let ended = converse(&mut socket, lease.inner(), alive_interval).await;
    let closing = match ended {
        Ok(closing) => closing,
        Err(Error::Capacity(error)) => Some(Closing::because(CloseCode::Size, &error.to_string())),
        Err(Error::Utf8(error)) => Some(Closing::because(CloseCode::Invalid, &error.to_string())),
        Err(Error::Protocol(error)) => Some(Closing::because(CloseCode::Protocol, &error.to_string())),
        Err(error) => {
            tracing::debug!("WebSocket: {error}");
            None
        }
    };
    if let Some(Closing(code, reason)) = closing {
        let frame = CloseFrame { code, reason: reason.into() };
        if !matches!(tokio::time::timeout(END_MAX, socket.close(Some(frame))).await, Ok(Ok(()))) {
            tracing::debug!("WebSocket: the other side was not told why it ends");
        }
    }
}

/// Carries messages both ways. Returns why this side ends it, if it is not the other.
async fn converse(socket: &mut Socket, inner: &mut Inner, alive_interval: Duration) -> Result<Option<Closing>, Error> {
    let mut language = Language::Unknown;
    let mut alive = tokio::time::interval(alive_interval);
    alive.reset();
    let mut is_silent = false;
    loop {
        let is_json = language == Language::Json;
        tokio::select! {
            message = socket.next() => {
                is_silent = false;
                let Some(message) = message else { return Ok(None) };
                match message? {
                    Message::Text(text) if language != Language::Resp => {
                        language = Language::Json;
                        match commands(&text) {
                            Ok(commands) => inner.end.send(commands.bytes.into()),
                            Err(Malformed(reason)) => {
                                return Ok(Some(Closing::because(CloseCode::Invalid, &reason)));
                            }
                        }
                    }
                    Message::Binary(bytes) if language != Language::Json => {
                        language = Language::Resp;
                        inner.end.send(bytes);
                    }
                    Message::Text(_) | Message::Binary(_) => {
                        let reason = "ERR text and binary messages exclude each other";
                        return Ok(Some(Closing::because(CloseCode::Unsupported, reason)));
                    }
                    Message::Close(_) => return Ok(None),
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                }
                // What has been sent is taken before there is more.
                std::future::poll_fn(|cx| inner.end.poll_taken(cx)).await;
            }
            sent = std::future::poll_fn(|cx| if is_json { inner.poll_next(cx) } else { inner.poll_bytes(cx) }) => {
                let Some(bytes) = sent else {
                    return Ok(Some(Closing::because(CloseCode::Normal, "the client was ended")));
                };
                let message = if is_json { Message::text(json(&bytes)) } else { Message::Binary(bytes) };
                socket.send(message).await?;
            }
            _ = alive.tick() => {
                if is_silent {
                    return Ok(Some(Closing::because(CloseCode::Away, "no sign of life")));
                }
                is_silent = true;
                socket.send(Message::Ping(Bytes::new())).await?;
            }
        }
    }
}

/// One command, or an array of them.
fn commands(text: &str) -> Result<Commands, Malformed> {
    let is_list = text.trim_start().strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with('['));
    let decode = if is_list { Commands::many } else { Commands::one };
    decode(text.as_bytes(), Format::Json, &refusal)
}

/// What is not made of replies.
fn refusal(name: &[u8], _: &[u8]) -> Option<String> {
    let is_link = ["sync", "psync"].iter().any(|link| name.eq_ignore_ascii_case(link.as_bytes()));
    is_link.then(|| "ERR a replica does not speak JSON".into())
}

/// A reply, or a push, as text.
fn json(reply: &[u8]) -> String {
    let written = if is_push(reply) {
        serde_json::to_string(&Pushed(reply))
    } else {
        serde_json::to_string(&Answer { reply, strings: Strings::Plain })
    };
    written.unwrap_or_else(|error| format!("{{\"error\":\"ERR the reply cannot be written: {error}\"}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_standard() {
        assert_eq!(proof(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn messages_of_text() {
        let text = |text: &str| commands(text).map(|commands| commands.count).map_err(|Malformed(reason)| reason);
        assert_eq!(text(r#"["GET", "k"]"#), Ok(1));
        assert_eq!(text(r#" [ ["GET", "k"], ["SUBSCRIBE", "c"]]"#), Ok(2));
        assert_eq!(text(r#"["PSYNC", "?", "-1"]"#), Err("ERR a replica does not speak JSON".into()));
        assert!(text("GET k").is_err());
        assert_eq!(json(b":1\r\n"), r#"{"result":1}"#);
        assert_eq!(json(b">1\r\n+x\r\n"), r#"{"push":["x"]}"#);
        assert_eq!(Closing::because(CloseCode::Invalid, &"ä".repeat(100)).1, "ä".repeat(60));
    }
}
