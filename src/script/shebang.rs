//! The first line of a script, if it begins with `#!`: the engine that runs it, and what it promises not to need.

use super::ScriptFlags;

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
}
