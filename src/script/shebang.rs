//! The first line of a script, if it begins with `#!`: the engine that runs it, and what it promises not to need. That of a
//! library of functions, which must: the engine, and the library's name.

use super::ScriptFlags;
use super::library::{NAME_RULE, is_name};
use crate::config;

/// What the first line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shebang {
    /// `None` if the script has no such line, and has promised nothing.
    pub flags: Option<ScriptFlags>,
    /// Bytes of the line without its end, which stays, so that lines keep their numbers.
    pub len: usize,
}

impl Shebang {
    /// Reads the first line of a script. Errors: the text of the error reply, without `ERR`.
    pub fn of(script: &[u8]) -> Result<Shebang, Vec<u8>> {
        if !script.starts_with(b"#!") {
            return Ok(Shebang::default());
        }
        let len = memchr::memchr(b'\n', script).ok_or(b"Invalid script shebang")?;
        let mut words = script[..len].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let engine = words.next().unwrap_or_default();
        if engine != b"#!lua" {
            return Err([b"Unexpected engine in script shebang: ", engine].concat());
        }
        let mut flags = ScriptFlags::default();
        for word in words {
            let names = word.strip_prefix(b"flags=").ok_or_else(|| [b"Unknown lua shebang option: ", word].concat())?;
            if names.is_empty() {
                continue;
            }
            for name in names.split(|byte| *byte == b',') {
                let known = ScriptFlags::named(name);
                flags |= known.ok_or_else(|| [b"Unexpected flag in script shebang: ", name].concat())?;
            }
        }
        Ok(Shebang { flags: Some(flags), len })
    }
}

/// What the first line of a library says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryHead {
    pub name: String,
    /// Bytes of the line without its end, which stays.
    pub len: usize,
}

impl LibraryHead {
    /// Reads the first line of a library. Errors: the text of the error reply.
    pub fn of(text: &[u8]) -> Result<LibraryHead, Vec<u8>> {
        if !text.starts_with(b"#!") {
            return Err(b"ERR Missing library metadata".to_vec());
        }
        let invalid = || b"ERR Invalid library metadata".to_vec();
        let len = memchr::memchr(b'\n', text).ok_or_else(invalid)?;
        let words = config::split(&text[..len]).ok_or_else(invalid)?;
        let mut names = None;
        for word in &words[1..] {
            let name = word.split_at_checked(b"name=".len()).filter(|(key, _)| key.eq_ignore_ascii_case(b"name="));
            let Some((_, name)) = name else {
                return Err([b"ERR Invalid metadata value given: ".as_slice(), word].concat());
            };
            if names.replace(name).is_some() {
                return Err(b"ERR Invalid metadata value, name argument was given multiple times".to_vec());
            }
        }
        let name = names.ok_or_else(|| b"ERR Library name was not given".to_vec())?;
        let name = std::str::from_utf8(name).ok().filter(|name| is_name(name.as_bytes()));
        let name = name.ok_or_else(|| format!("ERR {NAME_RULE}").into_bytes())?;
        let engine = &words[0][b"#!".len()..];
        if !engine.eq_ignore_ascii_case(b"lua") {
            return Err([b"ERR Engine '".as_slice(), engine, b"' not found"].concat());
        }
        Ok(LibraryHead { name: name.to_owned(), len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_engine_and_flags() {
        assert_eq!(Shebang::of(b"return 1"), Ok(Shebang::default()));
        let shebang = Shebang::of(b"#!lua  flags=no-writes,allow-oom flags=\r\nreturn 1").unwrap();
        assert_eq!(shebang, Shebang { flags: Some(ScriptFlags::NO_WRITES | ScriptFlags::ALLOW_OOM), len: 40 });
        for (script, error) in [
            ("#!lua", "Invalid script shebang"),
            ("#!js x\n", "Unexpected engine in script shebang: #!js"),
            ("#!lua name=x\n", "Unknown lua shebang option: name=x"),
            ("#!lua flags=no-writes,\n", "Unexpected flag in script shebang: "),
        ] {
            assert_eq!(Shebang::of(script.as_bytes()), Err(error.into()), "{script}");
        }
    }

    #[test]
    fn the_first_line_of_a_library_names_it() {
        let named = |name: &str, len| Ok(LibraryHead { name: name.to_owned(), len });
        assert_eq!(LibraryHead::of(b"#!lua name=lib_1\nreturn"), named("lib_1", 16));
        assert_eq!(LibraryHead::of(b"#!\"LUA\"  NAME=a \r\n"), named("a", 17));
        assert_eq!(LibraryHead::of(b"#!lua name=\"a\\x62\"\n"), named("ab", 18));
        for (text, error) in [
            ("return 1", "Missing library metadata"),
            ("", "Missing library metadata"),
            ("#!lua name=a", "Invalid library metadata"),
            ("#!lua name=a \"\n", "Invalid library metadata"),
            ("#!\n", "Library name was not given"),
            ("#!lua name=a name=b\n", "Invalid metadata value, name argument was given multiple times"),
            ("#! lua name=a\n", "Invalid metadata value given: lua"),
            ("#!lua name=\n", NAME_RULE),
            ("#!lua name=\u{e9}\n", NAME_RULE),
            ("#! name=a\n", "Engine '' not found"),
        ] {
            assert_eq!(LibraryHead::of(text.as_bytes()), Err(format!("ERR {error}").into()), "{text}");
        }
    }
}
