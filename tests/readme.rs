//! The lists in README.md are what the server's own tables say. `UPDATE=1 cargo test --test server readme` writes them anew.

use radish::config::Directive;
use radish::spec;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Compares what stands between the markers of a list with `expected`, or puts it there.
fn check(list: &str, expected: &str) {
    // Tests run at the same time, and all may rewrite the file.
    let lock = fs::File::open(path("README.md")).expect("README.md is there");
    lock.lock().expect("files can be locked");
    let readme = fs::read_to_string(path("README.md")).expect("README.md is text");
    let (begin, end) = (format!("<!-- {list}: begin -->\n"), format!("<!-- {list}: end -->\n"));
    let (before, rest) = readme.split_once(&begin).unwrap_or_else(|| panic!("README.md has no {begin:?}"));
    let (found, after) = rest.split_once(&end).unwrap_or_else(|| panic!("README.md has no {end:?}"));
    if found == expected {
        return;
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path("README.md"), format!("{before}{begin}{expected}{end}{after}")).expect("README.md is writable");
        return;
    }
    panic!("the {list} in README.md are stale: UPDATE=1 cargo test --test server readme. They should be\n{expected}");
}

#[test]
fn directives_without_effect() {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for entry in Directive::ALL.iter().map(|directive| directive.entry()) {
        let (reason, mark) = match (entry.without_effect, entry.unsupported) {
            (Some(reason), _) => (reason, ""),
            (None, Some(reason)) => (reason, "\\*"),
            (None, None) => continue,
        };
        let names = [Some(entry.name), entry.alias].into_iter().flatten().map(|name| format!("`{name}`{mark}"));
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, listed)) => listed.extend(names),
            None => reasons.push((reason, names.collect())),
        }
    }
    let mut table = String::from("| why | directives |\n|---|---|\n");
    for (reason, names) in reasons {
        writeln!(table, "| {reason} | {} |", names.join(", ")).expect("a string takes all");
    }
    check("directives without effect", &table);
}

/// Every directive of the other servers is known; the rest are Radish's own, and have a row in README.md.
#[test]
fn directives_of_its_own() {
    let listed = fs::read_to_string(path("compat/directives.txt")).expect("the directives of Redis and Valkey");
    let theirs: BTreeSet<_> = listed.lines().filter(|line| !line.starts_with('#')).collect();
    let known: BTreeSet<_> = Directive::names().map(|(_, name)| name).collect();
    let missing: Vec<_> = theirs.difference(&known).collect();
    assert!(missing.is_empty(), "{missing:?} are not known");

    let readme = fs::read_to_string(path("README.md")).expect("README.md is text");
    for directive in Directive::ALL.iter().filter(|directive| !theirs.contains(directive.name())) {
        let entry = directive.entry();
        let value = String::from_utf8_lossy(&entry.format(&entry.default_value())).into_owned();
        let is_hidden_elsewhere = entry.hidden || entry.without_effect.is_some() || entry.unsupported.is_some();
        let row = format!("| `{}` | {value} | ", entry.name);
        assert!(is_hidden_elsewhere || readme.contains(&row), "README.md has no row {row:?}");
    }
}

/// A directive that nothing reads has no effect, and its entry must say so.
#[test]
fn directives_with_effect_are_read_somewhere() {
    let mut source = String::new();
    let mut table = String::new();
    for file in fs::read_dir(path("commands")).expect("the table's directory").flatten() {
        table.push_str(&fs::read_to_string(file.path()).expect("the table is text"));
    }
    let mut directories = vec![path("src")];
    while let Some(directory) = directories.pop() {
        for file in fs::read_dir(&directory).expect("a directory of the sources").flatten().map(|entry| entry.path()) {
            if file.is_dir() {
                directories.push(file);
            } else if !file.ends_with("config/directive.rs") {
                source.push_str(&fs::read_to_string(file).expect("a source file is text"));
            }
        }
    }
    let is_read = |directive: &Directive| {
        let name = format!("Directive::{directive:?}");
        let goes_on = |at| source[at + name.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_');
        let guards_commands = table.contains(&format!("protected_by = \"{}\"", directive.entry().name));
        guards_commands || source.match_indices(&name).any(|(at, _)| !goes_on(at))
    };
    let has_effect = |directive: &&Directive| {
        let entry = directive.entry();
        entry.without_effect.is_none() && entry.unsupported.is_none()
    };
    let unread: Vec<_> = Directive::ALL.iter().filter(has_effect).filter(|directive| !is_read(directive)).collect();
    assert!(unread.is_empty(), "no code reads {unread:?}");
}

#[test]
fn commands_by_group() {
    let known = fs::read_to_string(path("compat/commands.txt")).expect("the commands of Redis and Valkey");
    let mut unlisted: BTreeMap<_, _> =
        spec::all().map(|command| (command.name.replace('|', " ").to_uppercase(), command)).collect();
    let mut table = String::from("| group | there | not yet |\n|---|---|---|\n");
    for line in known.lines().filter(|line| !line.starts_with('#')) {
        let (group, names) = line.split_once(": ").expect("a group and its commands");
        let (there, not_yet): (Vec<_>, Vec<_>) =
            names.split(' ').map(|name| name.replace('|', " ")).partition(|name| unlisted.remove(name).is_some());
        let is_subcommand = |name: &&String| name.contains(' ');
        // A container stands for its subcommands, here and there.
        let lacking: BTreeSet<_> = not_yet.iter().filter(|name| !is_subcommand(name)).collect();
        let stands_alone = |name: &&String| {
            !name.split_once(' ').is_some_and(|(container, _)| lacking.contains(&container.to_owned()))
        };
        let there: Vec<_> = there.iter().filter(|name| !is_subcommand(name)).map(String::as_str).collect();
        let not_yet: Vec<_> = not_yet.iter().filter(stands_alone).map(String::as_str).collect();
        let [there, not_yet] =
            [there, not_yet].map(|names| if names.is_empty() { "–".into() } else { names.join(", ") });
        writeln!(table, "| {group} | {there} | {not_yet} |").expect("a string takes all");
    }
    // What neither Redis 8.2 nor Valkey 9.1 has is Radish's own, and README.md says what it does.
    let readme = fs::read_to_string(path("README.md")).expect("README.md is text");
    let is_told = |command: &spec::CommandSpec, name: &str| {
        command.is_container()
            || name.ends_with(" HELP")
            || [" ", "`"].iter().any(|end| readme.contains(&format!("`{name}{end}")))
    };
    let untold: Vec<_> = unlisted.iter().filter(|(name, command)| !is_told(command, name)).collect();
    assert!(untold.is_empty(), "README.md does not tell of {untold:?}");
    check("commands", &table);
}
