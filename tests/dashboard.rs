//! The dashboard's page: who gets it, with which headers, and that commands over HTTP are what they were. What it does in a
//! browser is tried by `compat/dashboard/run`.

use crate::support::http::Gateway;

#[test]
fn anybody_gets_the_page_and_nothing_else() {
    let gateway = Gateway::start(&["--requirepass", "secret"]);
    let mut http = gateway.connect();
    let page = http.ask("GET", "/", &[], b"");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.text().starts_with("<!doctype html>"));
    let policy = page.header("content-security-policy").expect("a policy");
    for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.split("; ").any(|found| found == part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    // What the page asks for: `name="dashboard/…"`.
    let text = page.text();
    let parts: Vec<_> = text.split('"').filter(|word| word.starts_with("dashboard/")).collect();
    assert!(parts.len() > 1);
    for part in parts {
        let response = http.ask("GET", &format!("/{part}"), &[], b"");
        assert_eq!(response.status, 200, "{part}");
        assert!(!response.body.is_empty(), "{part}");
    }
    assert_eq!(http.ask("GET", "/dashboard/other.js", &[], b"").status, 404);
    assert_eq!(http.ask("POST", "/dashboard/main.js", &[], b"x").status, 405);
    assert_eq!(http.ask("GET", "/get/k", &[], b"").status, 401);
    assert_eq!(http.ask("POST", "/", &[], br#"["PING"]"#).status, 401);
    // As a link on another page opens it.
    assert_eq!(http.ask("GET", "/", &[("sec-fetch-site", "cross-site")], b"").status, 200);
    assert_eq!(http.ask("GET", "/ws", &[("sec-fetch-site", "cross-site")], b"").status, 403);
}

#[test]
fn a_browser_keeps_what_has_not_changed() {
    let gateway = Gateway::start(&[]);
    let mut http = gateway.connect();
    let whole = http.ask("GET", "/dashboard/style.css", &[], b"");
    let tag = whole.header("etag").expect("a tag").to_owned();
    let packed = http.ask("GET", "/dashboard/style.css", &[("accept-encoding", "gzip")], b"");
    assert_eq!((packed.header("content-encoding"), packed.header("vary")), (Some("gzip"), Some("accept-encoding")));
    assert_eq!(packed.header("etag"), Some(tag.as_str()));
    assert!(packed.body.len() < whole.body.len() / 2);
    let kept = http.ask("GET", "/dashboard/style.css", &[("if-none-match", &tag)], b"");
    assert_eq!((kept.status, kept.body.len(), kept.header("etag")), (304, 0, Some(tag.as_str())));
    let other = http.ask("GET", "/", &[("if-none-match", &tag)], b"");
    assert_eq!(other.status, 200);
    http.send("HEAD", "/", &[], b"");
    let head = http.head();
    let length = other.body.len().to_string();
    assert_eq!((head.status, head.header("content-length")), (200, Some(length.as_str())));
    // Nothing followed: the next response is the next request's.
    assert_eq!(http.get("/ping"), (200, r#"{"result":"PONG"}"#.into()));
}

#[test]
fn commands_are_what_they_were() {
    let gateway = Gateway::start(&[]);
    let mut http = gateway.connect();
    assert_eq!(http.post("/", r#"["SET","dashboard","v"]"#), (200, r#"{"result":"OK"}"#.into()));
    assert_eq!(http.get("/get/dashboard"), (200, r#"{"result":"v"}"#.into()));
    assert_eq!(http.post("/", "").0, 400);
    let sent = http.ask("GET", "/", &[], br#"["GET","dashboard"]"#);
    assert_eq!((sent.status, sent.text()), (200, r#"{"result":"v"}"#.into()));
    assert_eq!(http.ask("PUT", "/", &[], br#"["PING"]"#).text(), r#"{"result":"PONG"}"#);
}
