//! Patterns by example, and against the matcher of Lua itself.

use super::*;
use mlua::{Function, Lua, MultiValue, Value};
use proptest::prelude::*;

/// A match as one line: where it begins and ends, from 1 on, and what it has captured; or the error.
fn find(subject: &[u8], pattern: &[u8]) -> String {
    let (pattern, is_anchored) = pattern.strip_prefix(b"^").map_or((pattern, false), |rest| (rest, true));
    let mut matcher = Matcher::new(subject, pattern, |_| Ok::<(), ()>(()));
    let found = match is_anchored {
        true => matcher.match_at(0).map(|end| end.map(|end| (0, end))),
        false => matcher.find_from(0),
    };
    let mut line = match found {
        Ok(Some((begin, end))) => format!("{} {end}", begin + 1),
        Ok(None) => return "nil".to_owned(),
        Err(failure) => return format!("{failure:?}"),
    };
    for index in 0..matcher.captures() {
        match matcher.value(index, 0, 0) {
            Ok(Captured::Text(text)) => line.push_str(&format!(" '{}'", text.escape_ascii())),
            Ok(Captured::Position(position)) => line.push_str(&format!(" {position}")),
            Err(failure) => return format!("{failure:?}"),
        }
    }
    line
}

/// The same by Lua's own.
fn find_by_lua(lua_find: &Function, lua: &Lua, subject: &[u8], pattern: &[u8]) -> String {
    let args = (lua.create_string(subject).unwrap(), lua.create_string(pattern).unwrap());
    let values: MultiValue = match lua_find.call(args) {
        Ok(values) => values,
        Err(error) => {
            let text = error.to_string();
            let text = text.lines().next().unwrap_or_default().trim_start_matches("runtime error: ");
            return format!("{:?}", Failure::<()>::Pattern(text.to_owned().leak()));
        }
    };
    let word = |value: &Value| match value {
        Value::String(text) => format!("'{}'", text.as_bytes().escape_ascii()),
        other => other.to_string().unwrap(),
    };
    values.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn patterns_match_as_the_manual_says() {
    for (subject, pattern, expected) in [
        ("hello", "l+", "3 4"),
        ("hello", "^l+", "nil"),
        ("heello", "(h)(.)%2", "1 3 'h' 'e'"),
        ("hello", "()ll()", "3 4 3 5"),
        ("f(a(b)c)d)", "%b()", "2 8"),
        ("THE (quick) fox", "%f[%a]%a+%f[%A]", "1 3"),
        ("x = 1", "(%w+)%s*=%s*(%w+)", "1 5 'x' '1'"),
        ("aaa", "a-$", "1 3"),
        ("aaa", "^(a-)a$", "1 3 'aa'"),
        ("abab", "(ab)%1", "1 4 'ab'"),
        ("a]b", "[]]", "2 2"),
        ("%]", "[a-%%]", "2 2"),
        ("a-b", "[a-]+", "1 2"),
        ("a.b", "%.", "2 2"),
        ("a$b", "$b", "2 3"),
        ("", "", "1 0"),
        ("x", "%", "Pattern(\"malformed pattern (ends with '%')\")"),
        ("x", "[x", "Pattern(\"malformed pattern (missing ']')\")"),
        ("x", "(x", "Pattern(\"unfinished capture\")"),
        ("x", "x)", "Pattern(\"invalid pattern capture\")"),
        ("x", "%1", "Pattern(\"invalid capture index\")"),
        ("x", "%b(", "Pattern(\"unbalanced pattern\")"),
        ("x", "%fx", "Pattern(\"missing '[' after '%f' in pattern\")"),
    ] {
        assert_eq!(find(subject.as_bytes(), pattern.as_bytes()), expected, "{subject} {pattern}");
    }
    let many = "()".repeat(CAPTURES_MAX + 1);
    assert_eq!(find(b"x", many.as_bytes()), "Pattern(\"too many captures\")");
}

#[test]
fn no_pattern_is_too_deep() {
    let subject = vec![b'a'; 300_000];
    for (item, expected) in [("a-", "Pattern(\"pattern too complex\")"), ("a?", "Pattern(\"pattern too complex\")")] {
        let pattern = [item.repeat(300_000).as_bytes(), b"b"].concat();
        assert_eq!(find(&subject, &pattern), expected);
    }
    // As many as Redis' own could do.
    let pattern = [b"^".as_slice(), "a?".repeat(20_000).as_bytes(), b"b"].concat();
    assert_eq!(find(&vec![b'a'; 20_000], &pattern[..pattern.len() - 1]), "1 20000");
}

#[test]
fn whoever_is_told_of_the_steps_can_end_a_match() {
    let subject = vec![b'a'; 100_000];
    for pattern in [".-b", "%b()", "a-a-a-a-b", "[abc]*[^a]", "(.-)%1%1%1b", "a*a*a*b"] {
        let mut left = 5_000_000_usize;
        let report = |steps: usize| {
            left = left.checked_sub(steps).ok_or(())?;
            Ok(())
        };
        let mut matcher = Matcher::new(&subject, pattern.as_bytes(), report);
        let found = matcher.find_from(0);
        // What looks at each byte once or so comes to its end.
        let expected = if pattern == "%b()" { Ok(None) } else { Err(Failure::Ended(())) };
        assert_eq!(found, expected, "{pattern}");
    }
}

/// Pieces of patterns, whole and broken.
fn pattern() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "a", "b", ".", "%a", "%d", "%A", "%s", "%w", "%z", "%p", "%c", "%x", "%u", "%l", "[ab]", "[^a]", "[a-c]",
        "[%d_]", "[]", "[^", "[^]a]", "[a-", "[%", "(", ")", "()", "(a", "%1", "%2", "%0", "%b()", "%bab", "%b",
        "%f[a]", "%f[^b]", "%f", "%", "^", "$", "*", "+", "-", "?", "\0", "]", "1", "[%a-z]", "[a-%d]", "%%", "%-",
    ]);
    prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat().into_bytes())
}

fn subject() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"aaabbc1() \0\xffA]-%".to_vec()), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn patterns_match_as_in_lua(subject in subject(), pattern in pattern()) {
        thread_local! {
            static LUA: (Lua, Function) = {
                let lua = Lua::new();
                let find = lua.load("return string.find").eval().unwrap();
                (lua, find)
            };
        }
        let expected = LUA.with(|(lua, lua_find)| find_by_lua(lua_find, lua, &subject, &pattern));
        if is_plain(&pattern) {
            prop_assert!(expected == "nil" || !expected.contains('\''));
        } else {
            prop_assert_eq!(find(&subject, &pattern), expected);
        }
    }
}
