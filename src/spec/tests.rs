//! Tests of lookup, key extraction and errors; and of what every entry of the table must be able to do.

use super::errors::{unknown_command, unknown_subcommand, wrong_arity};
use super::keys::{KeyRefs, KeysError, keys};
use super::*;
use crate::resp::OwnedRequest;

const DOCS: Docs = Docs {
    summary: "",
    since: "1.0.0",
    group: "generic",
    complexity: "",
    flags: DocFlags::NONE,
    deprecated: None,
    history: &[],
    arguments: &[],
};

/// A command of a shape that the test is about.
const fn command(name: &'static str, arity: i16, keys: &'static [KeySpec], layout: KeyLayout) -> CommandSpec {
    CommandSpec {
        name,
        id: 0,
        arity,
        flags: CommandFlags::NONE,
        acl: AclCategories::NONE,
        channels: Channels::None,
        tips: &[],
        keys,
        layout,
        locks: Locks::Keys,
        protected_by: None,
        secrets: Secrets::None,
        legacy_range: [0, 0, 0],
        docs: DOCS,
        help: &[],
        subcommands: &[],
    }
}

const fn key_spec(begin: Begin, find: Find) -> KeySpec {
    KeySpec { begin, find, flags: KeyFlags::RO, notes: "" }
}

fn request(words: &[impl AsRef<str>]) -> OwnedRequest {
    OwnedRequest::new(words.iter().map(|word| word.as_ref().as_bytes()))
}

/// The words of `line` that are keys to the command.
fn found<'a>(spec: &CommandSpec, line: &'a str) -> Result<Vec<&'a str>, KeysError> {
    let words: Vec<&str> = line.split(' ').collect();
    let mut refs = KeyRefs::new();
    keys(spec, request(&words).args(), &mut refs)?;
    Ok(refs.iter().map(|key| words[key.index as usize]).collect())
}

#[test]
fn keys_at_fixed_positions() {
    const ONE: CommandSpec = command("one", -2, &[], KeyLayout::One(1, KeyFlags::RO));
    assert_eq!(found(&ONE, "one a b"), Ok(vec!["a"]));

    const ALL: CommandSpec =
        command("all", -2, &[], KeyLayout::Range { first: 1, from_end: 0, step: 1, flags: KeyFlags::RO });
    assert_eq!(found(&ALL, "all a"), Ok(vec!["a"]));
    assert_eq!(found(&ALL, "all a b c"), Ok(vec!["a", "b", "c"]));

    const PAIRS: CommandSpec =
        command("pairs", -3, &[], KeyLayout::Range { first: 1, from_end: 0, step: 2, flags: KeyFlags::RO });
    assert_eq!(found(&PAIRS, "pairs a 1 b 2"), Ok(vec!["a", "b"]));

    const BLOCKING: CommandSpec =
        command("blocking", -3, &[], KeyLayout::Range { first: 1, from_end: 1, step: 1, flags: KeyFlags::RO });
    assert_eq!(found(&BLOCKING, "blocking a b 0"), Ok(vec!["a", "b"]));

    const NONE: CommandSpec = command("none", -1, &[], KeyLayout::None);
    assert_eq!(found(&NONE, "none a b"), Ok(vec![]));
}

#[test]
fn keys_that_are_counted() {
    static SPEC: [KeySpec; 1] = [key_spec(Begin::Index(1), Find::NumKeys { step: 1 })];
    const LMPOP: CommandSpec = command("lmpop", -4, &SPEC, KeyLayout::Specs);
    assert_eq!(found(&LMPOP, "lmpop 1 a left"), Ok(vec!["a"]));
    assert_eq!(found(&LMPOP, "lmpop 2 a b left"), Ok(vec!["a", "b"]));
    for wrong in ["0", "-1", "4", "x", "", "01", "+1", "1.0", "18446744073709551617"] {
        assert_eq!(found(&LMPOP, &format!("lmpop {wrong} a b left")), Err(KeysError), "numkeys {wrong:?}");
    }

    static PAIRS: [KeySpec; 1] = [key_spec(Begin::Index(1), Find::NumKeys { step: 2 })];
    const MSETEX: CommandSpec = command("msetex", -4, &PAIRS, KeyLayout::Specs);
    assert_eq!(found(&MSETEX, "msetex 2 a 1 b 2 NX"), Ok(vec!["a", "b"]));
    assert_eq!(found(&MSETEX, "msetex 2 a 1 b"), Ok(vec!["a", "b"]), "the handler misses the value");
    assert_eq!(found(&MSETEX, "msetex 2 a 1"), Err(KeysError));

    const EVAL: CommandSpec =
        CommandSpec { flags: CommandFlags::NO_MANDATORY_KEYS, ..command("eval", -3, &SPEC, KeyLayout::Specs) };
    assert_eq!(found(&EVAL, "eval 0 x"), Ok(vec![]));
}

#[test]
fn keys_after_a_keyword() {
    static SPEC: [KeySpec; 1] = [key_spec(Begin::Keyword("STREAMS", 1), Find::Range { last: -1, step: 1, limit: 2 })];
    const XREAD: CommandSpec = command("xread", -4, &SPEC, KeyLayout::Specs);
    assert_eq!(found(&XREAD, "xread COUNT 5 streams a b 0 0"), Ok(vec!["a", "b"]));
    assert_eq!(found(&XREAD, "xread STREAMS a 0"), Ok(vec!["a"]));
    assert_eq!(found(&XREAD, "xread COUNT 5 STREAMS"), Ok(vec![]), "the last word is no keyword");

    static STORE: [KeySpec; 1] = [key_spec(Begin::Keyword("STORE", 2), Find::Range { last: 0, step: 1, limit: 0 })];
    const RADIUS: CommandSpec = command("radius", -2, &STORE, KeyLayout::Specs);
    assert_eq!(found(&RADIUS, "radius STORE x store b"), Ok(vec!["b"]));
    assert_eq!(found(&RADIUS, "radius x y"), Ok(vec![]));

    static KEYS: [KeySpec; 1] = [key_spec(Begin::Keyword("KEYS", -2), Find::Range { last: -1, step: 1, limit: 0 })];
    const MIGRATE: CommandSpec = command("migrate", -2, &KEYS, KeyLayout::Specs);
    assert_eq!(found(&MIGRATE, "migrate KEYS a b c"), Ok(vec!["a", "b", "c"]));
    assert_eq!(found(&MIGRATE, "migrate a KEYS"), Ok(vec![]));
}

#[test]
fn a_channel_is_no_key() {
    static SPEC: [KeySpec; 1] = [KeySpec {
        begin: Begin::Index(1),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        flags: KeyFlags::NOT_KEY,
        notes: "",
    }];
    const SPUBLISH: CommandSpec = command("spublish", 3, &SPEC, KeyLayout::Specs);
    assert_eq!(found(&SPUBLISH, "spublish a b"), Ok(vec![]));
}

#[test]
fn options_decide_how_a_key_is_used() {
    static SPEC: [KeySpec; 1] = [key_spec(Begin::Index(1), Find::Range { last: 0, step: 1, limit: 0 })];
    let flags = |finder, line: &str| {
        let spec = CommandSpec { layout: KeyLayout::Finder(1, finder), ..command("x", -2, &SPEC, KeyLayout::None) };
        let words: Vec<&str> = line.split(' ').collect();
        let mut refs = KeyRefs::new();
        keys(&spec, request(&words).args(), &mut refs).map(|()| refs[0].flags.words().collect::<Vec<_>>().join(" "))
    };
    let set = |line| flags(Finder::Set, line).unwrap();
    assert_eq!(set("set a GET"), "OW update", "a value is no option");
    assert_eq!(set("set a b EX 10 get"), "RW access update");
    let bitfield = |line| flags(Finder::Bitfield, line).unwrap();
    assert_eq!(bitfield("bitfield a"), "RO access");
    assert_eq!(bitfield("bitfield a get u8 0 OVERFLOW fail GET u8 8"), "RO access");
    assert_eq!(bitfield("bitfield a get u8 0 set u8 0 1"), "RW access update");
    assert_eq!(bitfield("bitfield a get u8"), "RW access update");
}

#[test]
fn every_key_that_may_get_the_result_is_found() {
    static SPEC: [KeySpec; 1] = [key_spec(Begin::Index(1), Find::Range { last: 0, step: 1, limit: 0 })];
    const RADIUS: CommandSpec = command("radius", -2, &SPEC, KeyLayout::Options(1, KeyOptions::Stored));
    assert_eq!(found(&RADIUS, "radius a"), Ok(vec!["a"]));
    assert_eq!(found(&RADIUS, "radius store store b"), Ok(vec!["store", "b"]));
    assert_eq!(
        found(&RADIUS, "radius a STORE b by store limit 0 1 StoreDist c store"),
        Ok(vec!["a", "b", "limit", "c"])
    );
}

#[test]
fn the_keys_of_sort_follow_from_its_options() {
    const SORT: CommandSpec = command("sort", -2, &[], KeyLayout::Options(1, KeyOptions::Sort));
    let has_patterns = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        super::keys::has_patterns(&SORT, request(&words).args())
    };
    for (line, expected) in [
        ("sort a", false),
        ("sort a BY nosort GET # ASC", false),
        ("sort a by w_*", true),
        ("sort a DESC get x GET h_*->f", true),
        ("sort a STORE w_*", false),
        ("sort a LIMIT by w_*", false),
        ("sort by *", false),
        ("sort a by", false),
    ] {
        assert_eq!(has_patterns(line), expected, "{line}");
    }
    assert_eq!(found(&SORT, "sort a STORE b"), Ok(vec!["a"]), "a command that only reads stores nothing");
    let sort = CommandSpec { flags: CommandFlags::WRITE, ..SORT };
    assert_eq!(found(&sort, "sort a"), Ok(vec!["a"]));
    assert_eq!(found(&sort, "sort a STORE b"), Ok(vec!["a", "b"]));
    assert_eq!(found(&sort, "sort a STORE b DESC store c LIMIT store 5"), Ok(vec!["a", "c"]));
    assert_eq!(found(&sort, "sort a GET store x BY store STORE"), Ok(vec!["a"]));
}

#[test]
fn arity_counts_the_name() {
    const EXACT: CommandSpec = command("exact", 2, &[], KeyLayout::None);
    const AT_LEAST: CommandSpec = command("at_least", -2, &[], KeyLayout::None);
    assert_eq!([1, 2, 3].map(|count| EXACT.accepts(count)), [false, true, false]);
    assert_eq!([1, 2, 3].map(|count| AT_LEAST.accepts(count)), [false, true, true]);
}

#[test]
fn errors_quote_what_the_client_sent() {
    let error = |words: &[&str]| String::from_utf8(unknown_command(request(words).args()).as_bytes().into()).unwrap();
    assert_eq!(error(&["foo"]), "ERR unknown command 'foo', with args beginning with: ");
    assert_eq!(error(&["Foo", "a", "b"]), "ERR unknown command 'Foo', with args beginning with: 'a' 'b' ");
    let long = "c".repeat(200);
    assert_eq!(
        error(&[&long, "a", &long, "d"]),
        format!("ERR unknown command '{}', with args beginning with: 'a' '{}' ", &long[..128], &long[..124]),
    );
    assert_eq!(unknown_subcommand(b"Client", b"Nope").as_bytes(), b"ERR unknown subcommand 'Nope'. Try CLIENT HELP.");
    const KILL: CommandSpec = command("client|kill", -3, &[], KeyLayout::None);
    assert_eq!(wrong_arity(&KILL).as_bytes(), b"ERR wrong number of arguments for 'client|kill' command");
    assert_eq!(KILL.short_name(), "kill");
}

#[test]
fn every_command_is_found_by_its_name_in_any_case() {
    let table = Table::new(&[]).unwrap();
    for spec in all() {
        for name in [spec.name.to_owned(), spec.name.to_uppercase()] {
            let found = table.lookup_full(name.as_bytes()).expect("the command is in the table");
            assert!(std::ptr::eq(found, spec), "{name} finds {}", found.name);
        }
        assert!(table.lookup_full(&spec.name.as_bytes()[1..]).is_none_or(|other| other.name != spec.name));
    }
    assert!(table.lookup(b"").is_none());
    assert!(table.lookup(b"no such command, and a name longer than any").is_none());
}

#[test]
fn commands_can_be_renamed_and_removed() {
    let Some(spec) = COMMANDS.first() else { return };
    let long = b"b840fc02d524045429941cc15f59e41cb7be6c52";
    let table = Table::new(&[(spec.name, b"X"), ("x", long)]).unwrap();
    assert!(table.lookup(spec.name.as_bytes()).is_none() && table.lookup(b"x").is_none());
    assert!(std::ptr::eq(table.lookup(&long.to_ascii_uppercase()).unwrap(), spec));
    assert!(table.lookup(b"b840fc02d524045429941cc15f59e41cb7be6c53").is_none());
    assert!(table.lookup(b"b840fc02XXXX45429941cc15f59e41cb7be6c52").is_none());

    let table = Table::new(&[(spec.name, b"")]).unwrap();
    assert_eq!(table.commands().len(), COMMANDS.len() - 1);
    assert!(matches!(Table::new(&[("no such", b"x")]), Err(RenameError::NoSuchCommand(_))));
    if let [first, second, ..] = COMMANDS {
        let taken = Table::new(&[(first.name, second.name.as_bytes())]);
        assert!(matches!(taken, Err(RenameError::NameTaken(_))));
    }
}

#[test]
fn ids_number_all_commands_and_subcommands() {
    assert!(all().enumerate().all(|(index, spec)| usize::from(spec.id) == index));
    assert_eq!(all().count(), COMMAND_COUNT);
}

/// The fast path must find what the key specs say.
#[test]
fn the_layout_agrees_with_the_key_specs() {
    for spec in all() {
        let by_specs = CommandSpec {
            name: spec.name,
            flags: spec.flags,
            keys: spec.keys,
            layout: KeyLayout::Specs,
            ..command("", spec.arity, &[], KeyLayout::None)
        };
        let least = usize::from(spec.arity.unsigned_abs());
        for count in (least..least + 6).filter(|&count| spec.accepts(count)) {
            let request = request(&vec!["1"; count]);
            let (mut fast, mut slow) = (KeyRefs::new(), KeyRefs::new());
            let results = (keys(spec, request.args(), &mut fast), keys(&by_specs, request.args(), &mut slow));
            assert_eq!(results.0, results.1, "{}", spec.name);
            let positions = |refs: &KeyRefs| refs.iter().map(|key| key.index).collect::<Vec<_>>();
            assert_eq!(positions(&fast), positions(&slow), "{} with {count} arguments", spec.name);
        }
    }
}
