//! What the values of single directives must be, and the lists that some of them take.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::number::lenient_integer;
use super::{Reason, proc_title};

/// Addresses that `bind` takes at most.
const BIND_MAX: usize = 16;

pub(super) fn anything(_: &[u8]) -> Result<(), Reason> {
    Ok(())
}

pub(super) fn dbfilename(name: &[u8]) -> Result<(), Reason> {
    base_name(name, "dbfilename can't be a path, just a filename")
}

pub(super) fn appendfilename(name: &[u8]) -> Result<(), Reason> {
    not_empty(name, "appendfilename can't be empty")?;
    base_name(name, "appendfilename can't be a path, just a filename")
}

pub(super) fn appenddirname(name: &[u8]) -> Result<(), Reason> {
    not_empty(name, "appenddirname can't be empty")?;
    base_name(name, "appenddirname can't be a path, just a dirname")
}

fn not_empty(name: &[u8], otherwise: &'static str) -> Result<(), Reason> {
    if name.is_empty() { Err(otherwise.into()) } else { Ok(()) }
}

fn base_name(name: &[u8], otherwise: &'static str) -> Result<(), Reason> {
    if name.iter().any(|byte| matches!(byte, b'/' | b'\\')) { Err(otherwise.into()) } else { Ok(()) }
}

pub(super) fn hostname(name: &[u8]) -> Result<(), Reason> {
    if name.len() >= 256 {
        return Err("Hostnames must be less than 256 characters".into());
    }
    if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')) {
        return Err("Hostnames may only contain alphanumeric characters, hyphens or dots".into());
    }
    Ok(())
}

pub(super) fn node_name(name: &[u8]) -> Result<(), Reason> {
    if name.iter().any(|byte| byte.is_ascii_control() || b"!#$%&()*+:;<>?@[]^{|}~".contains(byte)) {
        return Err("Announced human node name contained invalid character".into());
    }
    Ok(())
}

pub(super) fn ipv4(address: &[u8]) -> Result<(), Reason> {
    empty_or::<Ipv4Addr>(address, "Invalid IPv4 address")
}

pub(super) fn ipv6(address: &[u8]) -> Result<(), Reason> {
    empty_or::<Ipv6Addr>(address, "Invalid IPv6 address")
}

fn empty_or<T: std::str::FromStr>(text: &[u8], otherwise: &'static str) -> Result<(), Reason> {
    let valid = text.is_empty() || std::str::from_utf8(text).is_ok_and(|text| text.parse::<T>().is_ok());
    if valid { Ok(()) } else { Err(otherwise.into()) }
}

pub(super) fn proc_title_template(template: &[u8]) -> Result<(), Reason> {
    let valid = proc_title::expand(template, |_| "").is_some();
    if valid { Ok(()) } else { Err("template format is invalid or contains unknown variables".into()) }
}

/// The absolute path of `path`, which is relative to `current`, if it is a directory.
pub(super) fn directory(path: &[u8], current: &[u8]) -> Result<Vec<u8>, Reason> {
    let path = Path::new(OsStr::from_bytes(current)).join(OsStr::from_bytes(path));
    let path = path.canonicalize().map_err(|error| error_text(&error))?;
    if !path.is_dir() {
        return Err("Not a directory".into());
    }
    Ok(path.into_os_string().into_vec())
}

/// What the system says about an error, without the number that Rust adds to it.
pub fn error_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// `save seconds changes ...`; one empty word for no save points.
pub(super) fn save_points(words: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Reason> {
    const INVALID: Reason = Reason::Borrowed("Invalid save parameters");
    let words = none_if_empty(words);
    if !words.len().is_multiple_of(2) {
        return Err(INVALID);
    }
    let least = [1, 0];
    let canonical = |(index, word): (usize, &Vec<u8>)| {
        let number = lenient_integer(word).filter(|number| *number >= least[index % 2])?;
        Some(number.to_string().into_bytes())
    };
    words.iter().enumerate().map(canonical).collect::<Option<_>>().ok_or(INVALID)
}

/// `bind address ...`; one empty word for none.
pub(super) fn bind(words: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Reason> {
    if words.len() > BIND_MAX {
        return Err("Too many bind addresses specified.".into());
    }
    Ok(none_if_empty(words).to_vec())
}

/// `http-cors-origin origin ...`; one empty word for none.
pub(super) fn origins(words: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Reason> {
    let words = none_if_empty(words);
    let is_origin = |word: &Vec<u8>| {
        let Ok(text) = std::str::from_utf8(word) else { return false };
        text == "*" || text.split_once("://").is_some_and(|(scheme, host)| !scheme.is_empty() && !host.contains('/'))
    };
    match words.iter().find(|word| !is_origin(word)) {
        None => Ok(words.to_vec()),
        Some(_) => Err("an origin is '*' or of the form https://host:port".into()),
    }
}

/// `metrics-queues pattern ...`; one empty word for none.
pub(super) fn queues(words: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Reason> {
    Ok(none_if_empty(words).to_vec())
}

/// `replicaof host port` or `replicaof no one`.
pub(super) fn replicaof(words: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Reason> {
    let [host, port] = words else { return Err("wrong number of arguments".into()) };
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        return Ok(Vec::new());
    }
    let port = lenient_integer(port).filter(|port| (0..=65535).contains(port)).ok_or("Invalid master port")?;
    Ok(vec![host.clone(), port.to_string().into_bytes()])
}

/// `oom-score-adj-values primary replica child`.
pub(super) fn oom_score_adj_values(words: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Reason> {
    if words.len() != 3 {
        return Err("wrong number of arguments".into());
    }
    let canonical = |word: &Vec<u8>| {
        let value = lenient_integer(word).filter(|value| (-2000..=2000).contains(value))?;
        Some(value.to_string().into_bytes())
    };
    let values: Option<_> = words.iter().map(canonical).collect();
    values.ok_or_else(|| "Invalid oom-score-adj-values, elements must be between -2000 and 2000.".into())
}

/// `latency-tracking-info-percentiles percentile ...`; one empty word for none.
pub(super) fn percentiles(words: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Reason> {
    let canonical = |word: &Vec<u8>| -> Result<Vec<u8>, Reason> {
        let percentile = std::str::from_utf8(word).ok().and_then(|word| word.parse::<f64>().ok());
        let percentile = percentile
            .filter(|percentile| percentile.is_finite())
            .ok_or("Invalid latency-tracking-info-percentiles parameters")?;
        if !(0.0..=100.0).contains(&percentile) {
            return Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".into());
        }
        let text = format!("{percentile:.6}");
        Ok(text.trim_end_matches('0').trim_end_matches('.').as_bytes().to_vec())
    };
    none_if_empty(words).iter().map(canonical).collect()
}

fn none_if_empty(words: &[Vec<u8>]) -> &[Vec<u8>] {
    match words {
        [word] if word.is_empty() => &[],
        _ => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::entry::ListParser;

    fn words(text: &str) -> Vec<Vec<u8>> {
        text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    /// Asserts what `parse` makes of each text: the words it keeps, or its reason against it.
    fn check_lists(parse: ListParser, cases: &[(&str, Result<&str, &str>)]) {
        for (text, expected) in cases {
            let kept = parse(&words(text)).map(|words| String::from_utf8(words.join(&b' ')).unwrap());
            assert_eq!(kept.as_deref().map_err(|reason| reason.as_ref()), *expected, "{text:?}");
        }
    }

    #[test]
    fn save_points_as_in_redis() {
        let invalid = Err("Invalid save parameters");
        let cases = [
            ("", Ok("")),
            ("900 1", Ok("900 1")),
            ("900 0 +5 01", Ok("900 0 5 1")),
            ("0 1", invalid),
            ("900 -1", invalid),
            ("900", invalid),
            ("1 2  3 4", invalid),
            ("1 a", invalid),
        ];
        check_lists(save_points, &cases);
    }

    #[test]
    fn percentiles_as_in_redis() {
        let cases = [
            ("", Ok("")),
            ("50 99.90 0.123456789", Ok("50 99.9 0.123457")),
            ("101", Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]")),
            ("x", Err("Invalid latency-tracking-info-percentiles parameters")),
            ("nan", Err("Invalid latency-tracking-info-percentiles parameters")),
        ];
        check_lists(percentiles, &cases);
    }

    #[test]
    fn replicaof_as_in_redis() {
        let cases = [
            ("127.0.0.1 6379", Ok("127.0.0.1 6379")),
            ("No One", Ok("")),
            ("127.0.0.1 abc", Err("Invalid master port")),
            ("127.0.0.1 65536", Err("Invalid master port")),
            ("127.0.0.1", Err("wrong number of arguments")),
        ];
        check_lists(replicaof, &cases);
    }

    #[test]
    fn names_and_paths() {
        assert!(dbfilename(b"dump.rdb").is_ok() && dbfilename(b"a/b").is_err());
        assert!(appendfilename(b"").is_err() && appenddirname(b"").is_err());
        assert!(hostname(b"a-b.c").is_ok() && hostname(b"a_b").is_err() && hostname(&[b'a'; 256]).is_err());
        assert!(node_name(b"node 1").is_ok() && node_name(b"garbage!").is_err());
        assert!(ipv4(b"").is_ok() && ipv4(b"1.2.3.4").is_ok() && ipv4(b"1.2.3").is_err());
        assert!(ipv6(b"::1").is_ok() && ipv6(b"1.2.3.4").is_err());
        assert_eq!(directory(b"/nonexistent", b"/"), Err("No such file or directory".into()));
        assert_eq!(directory(b"/dev/null", b"/"), Err("Not a directory".into()));
        assert_eq!(directory(b"dev/..", b"/"), Ok(b"/".to_vec()));
    }
}
