//! A configuration file, the same lines as arguments, and as CONFIG SET. What is accepted must be written back so that it
//! reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use radish::config::{Arguments, Asker, Directive, Invocation, LoadError, Rewrite, Settings, split, trim};
use std::ffi::OsString;
use std::io::empty;
use std::os::unix::ffi::OsStringExt;

const OWNER: Asker = Asker { may_set_protected: true, is_loading: false };

/// Whether a line would have a file opened.
fn opens_a_file(line: &[u8]) -> bool {
    let names: [&[u8]; 2] = [b"include", b"logfile"];
    let words = split(trim(line)).unwrap_or_default();
    words.first().is_some_and(|name| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
}

fn load(options: &[u8]) -> Result<Settings, LoadError> {
    let arguments = Arguments { options: options.to_vec(), ..Arguments::default() };
    Settings::start(&arguments, empty()).map(|(settings, _)| settings)
}

fn assert_same(first: &Settings, second: &Settings) {
    for directive in Directive::ALL {
        assert_eq!(first.get(*directive), second.get(*directive), "{}", directive.name());
    }
}

fuzz_target!(|text: &[u8]| {
    if text.split(|byte| *byte == b'\n').any(opens_a_file) {
        return;
    }
    match load(text) {
        Ok(settings) => {
            let whole = settings.rewrite(b"", Rewrite::All, &[]);
            assert_same(&settings, &load(&whole).expect("what was written can be read"));
            assert_eq!(settings.rewrite(&whole, Rewrite::All, &[]), whole);
            let changed = settings.rewrite(text, Rewrite::Changed, &[]);
            assert_same(&settings, &load(&changed).expect("what was rewritten can be read"));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    as_arguments(text);
    as_changes(text);
});

fn as_arguments(text: &[u8]) {
    let words = text.split(|byte| matches!(byte, b'\n' | b' ')).map(|word| OsString::from_vec(word.to_vec()));
    let Invocation::Serve(mut arguments) = Invocation::parse(words) else { return };
    arguments.config_file = None;
    if !arguments.options.split(|byte| *byte == b'\n').any(opens_a_file) {
        let _refused_or_not = Settings::start(&arguments, empty());
    }
}

fn as_changes(text: &[u8]) {
    let settings = Settings::new();
    for line in text.split(|byte| *byte == b'\n') {
        let mut words = line.splitn(2, |byte| *byte == b' ');
        let (Some(name), Some(value)) = (words.next(), words.next()) else { continue };
        let before: Vec<_> = Directive::ALL.iter().map(|directive| settings.get(*directive)).collect();
        match settings.set([(name, value)].into_iter(), OWNER, |_| Ok(())) {
            Ok(()) => {
                // What CONFIG GET says can be set again, and changes nothing but for what is behind a name.
                let (directive, _) = Directive::find(name).expect("it was set");
                let text = settings.get(directive);
                let apply = |changed: Directive| {
                    assert!(changed.entry().names_content, "nothing changes");
                    Ok(())
                };
                settings
                    .set([(name, text.as_slice())].into_iter(), OWNER, apply)
                    .expect("a value can be set to itself");
            }
            Err(error) => {
                assert!(!error.text().is_empty());
                assert!(
                    Directive::ALL.iter().zip(&before).all(|(directive, value)| settings.get(*directive) == *value)
                );
            }
        }
    }
}
