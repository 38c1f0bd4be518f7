//! The dashboard: a page and its parts, which the binary carries. They hold no secret, so everybody may have them; whoever uses
//! the page logs in over its WebSocket, as any client does.

use super::compression::{COMPRESSED_BYTES_MIN, Encoding};
use super::content::Content;
use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};
use sha1::{Digest, Sha1};
use std::sync::OnceLock;

/// Where the parts of the page are.
const DIRECTORY: &str = "/dashboard/";

/// What the page may do: nothing but to run the scripts and styles that came with it, and to speak with this server. Names and
/// values of keys can be anything, so no text may become a script, or part of the page other than as text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// What is sent with each part. A browser asks each time whether what it has is still right: a server may be another one, or of
/// another version, by then.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
    (header::VARY, "accept-encoding"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// A part of the page.
struct Asset {
    name: &'static str,
    kind: &'static str,
    body: &'static [u8],
    /// Made when they are first asked for.
    tag: OnceLock<HeaderValue>,
    encoded: [OnceLock<Option<Bytes>>; Encoding::ALL.len()],
}

macro_rules! assets {
    ($($name:literal: $kind:literal),* $(,)?) => {
        [$(Asset {
            name: $name,
            kind: $kind,
            body: include_bytes!($name),
            tag: OnceLock::new(),
            encoded: [const { OnceLock::new() }; Encoding::ALL.len()],
        }),*]
    };
}

/// The page itself, and what it consists of.
static PAGE: [Asset; 1] = assets!["index.html": "text/html; charset=utf-8"];
static PARTS: [Asset; 16] = assets![
    "chart.js": "text/javascript; charset=utf-8",
    "connection.js": "text/javascript; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "dom.js": "text/javascript; charset=utf-8",
    "hotkeys.js": "text/javascript; charset=utf-8",
    "keys.js": "text/javascript; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "main.js": "text/javascript; charset=utf-8",
    "messages.js": "text/javascript; charset=utf-8",
    "overview.js": "text/javascript; charset=utf-8",
    "resp.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "text.js": "text/javascript; charset=utf-8",
    "treemap.js": "text/javascript; charset=utf-8",
    "types.js": "text/javascript; charset=utf-8",
    "value.js": "text/javascript; charset=utf-8",
];

/// Answers a request for the page, or a part of it. Nothing: it is none, but a command.
pub fn answer(method: &Method, path: &str, headers: &HeaderMap, has_body: bool) -> Option<Response<Content>> {
    let is_read = method == Method::GET || method == Method::HEAD;
    if path == "/" {
        return (is_read && !has_body).then(|| PAGE[0].response(headers));
    }
    let name = path.strip_prefix(DIRECTORY)?;
    if !is_read {
        return Some(empty(StatusCode::METHOD_NOT_ALLOWED, &[(header::ALLOW, "GET, HEAD")]));
    }
    let part = PARTS.iter().find(|part| part.name == name);
    Some(part.map_or_else(|| empty(StatusCode::NOT_FOUND, &[]), |part| part.response(headers)))
}

fn empty(status: StatusCode, headers: &[(HeaderName, &'static str)]) -> Response<Content> {
    let mut response = Response::new(Content::whole(Bytes::new()));
    *response.status_mut() = status;
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

impl Asset {
    fn response(&self, headers: &HeaderMap) -> Response<Content> {
        let tag = self.tag();
        let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
        let is_known = known.flat_map(|tags| tags.split(',')).any(|known| known.trim() == tag || known.trim() == "*");
        let mut response = empty(if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK }, &HEADERS);
        response.headers_mut().insert(header::ETAG, tag.clone());
        if is_known {
            return response;
        }
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|accepted| accepted.to_str().ok());
        let encoding = Encoding::choose(accepted.unwrap_or_default());
        let body = match encoding.and_then(|encoding| Some((encoding, self.encoded(encoding)?))) {
            Some((encoding, body)) => {
                response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
                body
            }
            None => Bytes::from_static(self.body),
        };
        response.map(|_| Content::whole(body))
    }

    /// What the content is told apart by (RFC 9110, section 8.8.3): weak, since it is the same for each encoding.
    fn tag(&self) -> &HeaderValue {
        self.tag.get_or_init(|| {
            let digest = Sha1::digest(self.body);
            let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            HeaderValue::from_str(&format!("W/\"{digits}\"")).expect("digits are good for a header")
        })
    }

    /// The body in an encoding, if it gets smaller by that.
    fn encoded(&self, encoding: Encoding) -> Option<Bytes> {
        let is_long = self.body.len() > COMPRESSED_BYTES_MIN;
        let encode = || encoding.compress(self.body).map(Bytes::from).filter(|_| is_long);
        self.encoded[encoding as usize].get_or_init(encode).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::body::Body;

    fn get(path: &str, headers: &[(HeaderName, &str)]) -> Response<Content> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value"))).collect();
        answer(&Method::GET, path, &headers, false).expect("it is a part of the page")
    }

    #[test]
    fn what_is_the_page_and_what_is_a_command() {
        let none = HeaderMap::new();
        let status = |method, path, has_body| answer(&method, path, &none, has_body).map(|response| response.status());
        assert_eq!(status(Method::GET, "/", false), Some(StatusCode::OK));
        assert_eq!(status(Method::HEAD, "/", false), Some(StatusCode::OK));
        assert_eq!(status(Method::GET, "/", true), None);
        assert_eq!(status(Method::POST, "/", false), None);
        assert_eq!(status(Method::GET, "/get/k", false), None);
        assert_eq!(status(Method::GET, "/dashboard", false), None);
        assert_eq!(status(Method::GET, "/dashboard/style.css", false), Some(StatusCode::OK));
        assert_eq!(status(Method::POST, "/dashboard/style.css", true), Some(StatusCode::METHOD_NOT_ALLOWED));
        for unknown in ["/dashboard/", "/dashboard/mod.rs", "/dashboard/../style.css", "/dashboard/%73tyle.css"] {
            assert_eq!(status(Method::GET, unknown, false), Some(StatusCode::NOT_FOUND), "{unknown}");
        }
    }

    #[test]
    fn a_browser_that_has_it_is_told_so() {
        let tag = get("/", &[]).headers()[header::ETAG].clone();
        let tag = tag.to_str().expect("a tag is text");
        let other = get("/dashboard/main.js", &[]).headers()[header::ETAG].clone();
        for (tags, status) in [
            (tag.to_owned(), StatusCode::NOT_MODIFIED),
            (format!("W/\"x\", {tag}"), StatusCode::NOT_MODIFIED),
            ("*".into(), StatusCode::NOT_MODIFIED),
            ("W/\"x\"".into(), StatusCode::OK),
            (other.to_str().expect("a tag is text").into(), StatusCode::OK),
        ] {
            let response = get("/", &[(header::IF_NONE_MATCH, &tags)]);
            assert_eq!(response.status(), status, "{tags}");
            assert_eq!(response.body().size_hint().exact() == Some(0), status == StatusCode::NOT_MODIFIED, "{tags}");
            assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
        }
    }

    #[test]
    fn encodings() {
        for encoding in Encoding::ALL {
            let response = get("/dashboard/style.css", &[(header::ACCEPT_ENCODING, encoding.name())]);
            assert_eq!(response.headers()[header::CONTENT_ENCODING], encoding.name());
        }
        assert!(!get("/dashboard/style.css", &[]).headers().contains_key(header::CONTENT_ENCODING));
    }

    /// The page asks for nothing that is not here, and nothing is here that it does not ask for.
    #[test]
    fn the_page_is_whole() {
        let mut named = Vec::new();
        for asset in PAGE.iter().chain(&PARTS) {
            let text = std::str::from_utf8(asset.body).expect("it is text");
            let words = || text.split(['"', '\'']);
            named.extend(words().filter_map(|word| word.strip_prefix(DIRECTORY.trim_start_matches('/'))));
            named.extend(words().filter_map(|word| word.strip_prefix("./")));
        }
        for part in &PARTS {
            assert!(named.contains(&part.name), "nobody asks for {}", part.name);
        }
        for name in named {
            assert!(PARTS.iter().any(|part| part.name == name), "there is no {name}");
        }
    }
}
