//! Who may use the gateway: what a request says of its user, and which pages may send one.

use super::request::pairs;
use crate::acl::DEFAULT;
use crate::config::{Directive, Settings};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use hyper::http::request::Parts;
use std::net::IpAddr;

/// A name and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub user: Vec<u8>,
    pub password: Vec<u8>,
}

/// What a request says of who sends it.
#[derive(Debug, PartialEq, Eq)]
pub enum Credentials {
    None,
    /// The default user's password, or `user:password`.
    Token(Vec<u8>),
    Basic(Login),
    /// Something that cannot be understood.
    Unknown,
}

impl Credentials {
    /// Of the header `Authorization`, or else of `?_token=`.
    pub fn of(request: &Parts) -> Credentials {
        if let Some(header) = request.headers.get(AUTHORIZATION) {
            let (scheme, rest) = split(header.as_bytes(), b' ').unwrap_or((header.as_bytes(), b""));
            let rest = rest.trim_ascii();
            return if scheme.eq_ignore_ascii_case(b"bearer") {
                Credentials::Token(rest.to_vec())
            } else if scheme.eq_ignore_ascii_case(b"basic") {
                // What is no base64 names nobody, as what has no colon does.
                let decoded = STANDARD.decode(rest).ok();
                let parts = decoded.as_deref().and_then(|decoded| split(decoded, b':'));
                parts.map_or(Credentials::Unknown, |(user, password)| {
                    let user = if user.is_empty() { DEFAULT } else { user };
                    Credentials::Basic(Login { user: user.to_vec(), password: password.to_vec() })
                })
            } else {
                Credentials::Unknown
            };
        }
        let token = pairs(request.uri.query().unwrap_or_default()).find(|(name, _)| name == b"_token");
        token.map_or(Credentials::None, |(_, token)| Credentials::Token(token))
    }

    /// As whom to log in, given whether there is a user of some name.
    pub fn login(&self, is_user: impl Fn(&[u8]) -> bool) -> Option<Login> {
        match self {
            Credentials::None | Credentials::Unknown => None,
            Credentials::Basic(login) => Some(login.clone()),
            Credentials::Token(token) => {
                let (user, password) = split(token, b':').filter(|(user, _)| is_user(user)).unwrap_or((DEFAULT, token));
                Some(Login { user: user.to_vec(), password: password.to_vec() })
            }
        }
    }
}

fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    memchr::memchr(at, bytes).map(|position| (&bytes[..position], &bytes[position + 1..]))
}

/// What a page may do that is not this server's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// No page is seen to have sent the request, or one of this server has.
    Own,
    /// A page of this origin has, and may.
    Allowed(String),
}

/// A page that may not use the gateway sent the request; or a name that anybody could have given to this machine was used to
/// send it, so that a page seems to be this server's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbidden(pub &'static str);

/// Whose page sent a request. `is_open`: whoever comes from this machine is let in without a password, so that a page
/// that is shown on it must not be.
pub fn origin(request: &Parts, settings: &Settings, is_open: bool) -> Result<Origin, Forbidden> {
    const FOREIGN: Forbidden = Forbidden("ERR pages of this origin may not use the server: see http-cors-origin");
    let header = |name| request.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let host = host(request);
    if let Some(origin) = header(ORIGIN.as_str()) {
        let allowed = settings.words(Directive::HttpCorsOrigin);
        if allowed.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(&origin)) {
            return Ok(Origin::Allowed(origin.into_owned()));
        }
        let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
        if host.as_deref().is_none_or(|host| !host.eq_ignore_ascii_case(authority)) {
            return Err(FOREIGN);
        }
    } else if header("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site") {
        // An image or a link, which needs no permission and says no origin.
        let is_any = settings.words(Directive::HttpCorsOrigin).iter().any(|allowed| allowed == "*");
        if !is_any {
            return Err(FOREIGN);
        }
    }
    if is_open && !host.as_deref().is_none_or(is_of_this_machine) {
        return Err(Forbidden("ERR without a password, the server is to be called localhost, or by its address"));
    }
    Ok(Origin::Own)
}

fn host(request: &Parts) -> Option<String> {
    let host =
        |headers: &HeaderMap| headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    request.uri.authority().map(ToString::to_string).or_else(|| host(&request.headers))
}

/// Whether a host, with or without a port, is a number or `localhost`: no server of names can say that of a foreign page's.
fn is_of_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn who_a_request_is_from() {
        let login = |user: &[u8], password: &[u8]| Login { user: user.to_vec(), password: password.to_vec() };
        let of = |uri, headers: &[(&str, &str)]| Credentials::of(&parts(uri, headers));
        assert_eq!(of("/", &[]), Credentials::None);
        assert_eq!(of("/get/a?EX=1&_token=a%3Ab", &[]), Credentials::Token(b"a:b".to_vec()));
        assert_eq!(of("/?_token=x", &[("Authorization", "bearer y")]), Credentials::Token(b"y".to_vec()));
        assert_eq!(of("/", &[("Authorization", "Basic YWxpY2U6cDp3")]), Credentials::Basic(login(b"alice", b"p:w")));
        assert_eq!(of("/", &[("Authorization", "Basic OnB3")]), Credentials::Basic(login(b"default", b"pw")));
        for header in ["Basic !", "Basic YWxpY2U=", "Digest x", ""] {
            assert_eq!(of("/", &[("Authorization", header)]), Credentials::Unknown, "{header}");
        }
        let from = |token: &[u8]| Credentials::Token(token.to_vec()).login(|user| user == b"alice");
        assert_eq!(from(b"alice:pw"), Some(login(b"alice", b"pw")));
        assert_eq!(from(b"bob:pw"), Some(login(b"default", b"bob:pw")));
        assert_eq!(from(b""), Some(login(b"default", b"")));
    }

    #[test]
    fn which_pages_may() {
        let settings = Settings::new();
        let of = |headers: &[(&str, &str)], is_open| origin(&parts("/", headers), &settings, is_open);
        assert_eq!(of(&[], true), Ok(Origin::Own));
        assert_eq!(of(&[("Host", "localhost:8080")], true), Ok(Origin::Own));
        assert_eq!(of(&[("Host", "[::1]:8080")], true), Ok(Origin::Own));
        assert!(of(&[("Host", "evil.example")], true).is_err(), "a name may be anybody's");
        assert_eq!(of(&[("Host", "db.example")], false), Ok(Origin::Own));
        assert_eq!(of(&[("Host", "db.example"), ("Origin", "https://DB.example")], false), Ok(Origin::Own));
        for other in ["https://evil.example", "null", "http://db.example:81"] {
            assert!(of(&[("Host", "db.example"), ("Origin", other)], false).is_err(), "{other}");
        }
        assert!(of(&[("Host", "127.0.0.1"), ("Sec-Fetch-Site", "cross-site")], true).is_err());
        assert_eq!(of(&[("Host", "127.0.0.1"), ("Sec-Fetch-Site", "same-origin")], true), Ok(Origin::Own));
    }
}
