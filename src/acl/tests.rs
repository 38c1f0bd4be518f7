use super::*;
use crate::resp::OwnedRequest;
use crate::spec::COMMANDS;

fn user(rules: &str) -> User {
    let mut user = User::new(false);
    let words: Vec<&[u8]> = rules.split(' ').filter(|word| !word.is_empty()).map(str::as_bytes).collect();
    apply_all(&mut user, &words, false).unwrap_or_else(|error| panic!("{rules}: {error:?}"));
    user
}

/// What becomes of a request.
fn check(user: &User, request: &str) -> Result<(), Denial> {
    let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
    let request = OwnedRequest::new(words.into_iter());
    let args = request.args();
    let name = args.at(0).to_ascii_lowercase();
    let spec = COMMANDS.iter().find(|spec| spec.name.as_bytes() == name).expect("it is a command");
    let spec = if spec.is_container() { spec.subcommand(args.at(1)).expect("it is a subcommand") } else { spec };
    user.check(spec, args)
}

fn described(rules: &str) -> String {
    String::from_utf8(user(rules).describe()).expect("it is text")
}

#[test]
fn rules_read_as_redis_writes_them() {
    for (rules, expected) in [
        ("", "off resetchannels -@all"),
        ("on nopass ~* &* +@all", "on nopass ~* &* +@all"),
        ("allkeys allchannels allcommands skip-sanitize-payload", "off skip-sanitize-payload ~* &* +@all"),
        (
            "~a* %R~b* &c* +@all -@dangerous +debug|digest +select|0 (+get ~x) (%W~y +@write)",
            "off ~a* %R~b* resetchannels &c* +@all -@dangerous +debug|digest +select|0 (~x resetchannels \
             -@all +get) (%W~y resetchannels -@all +@write)",
        ),
        // What a later rule makes void is forgotten.
        ("+config|get +config|set +config -config", "off resetchannels -@all -config"),
        ("+select|0 +select|1 +select", "off resetchannels -@all +select"),
        ("+@read -@read +@READ +get -@all", "off resetchannels -@all"),
        // So is what changes nothing behind `+@all`, as Redis 7.0 has it.
        ("+@all +get +select|0", "off resetchannels +@all"),
        ("+@all +@scripting -eval", "off resetchannels +@all -eval"),
        ("+@all -eval +@scripting -eval", "off resetchannels +@all -eval"),
        ("+@all -eval +@scripting", "off resetchannels +@all -eval +@scripting"),
        ("-@all -@read", "off resetchannels -@all -@read"),
        ("%R~k %W~k ~k", "off ~k resetchannels -@all"),
        ("on >a reset", "off resetchannels -@all"),
        ("(+get) clearselectors", "off resetchannels -@all"),
        ("(~'a'b +get)", "off resetchannels -@all (resetchannels -@all)"),
    ] {
        assert_eq!(described(rules), expected, "{rules}");
        assert_eq!(described(expected), expected, "what was written reads the same");
    }
}

#[test]
fn first_arguments_are_kept_as_the_bytes_that_they_are() {
    let mut one = user("off");
    one.apply(b"+select|A\xff", false).unwrap();
    assert_eq!(one.describe(), b"off resetchannels -@all +select|a\xff");
}

#[test]
fn passwords_are_kept_as_hashes() {
    const HASH: &str = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    let mut one = user("on >x");
    assert_eq!(one.passwords().collect::<Vec<_>>(), [HASH]);
    assert!(one.lets_in(b"x") && !one.lets_in(b"y") && !one.lets_in(b""));
    assert_eq!(one, user(&format!("on #{HASH} >x")));
    assert_eq!(one.apply(b"<y", false), Err(RuleError::NoSuchPassword));
    assert_eq!(one.apply(format!("#{}", HASH.to_uppercase()).as_bytes(), false), Err(RuleError::BadHash));
    assert_eq!(one.apply(b"#12", false), Err(RuleError::BadHash));
    one.apply(b"off", false).unwrap();
    assert!(!one.lets_in(b"x"));
    one.apply(format!("!{HASH}").as_bytes(), false).unwrap();
    assert_eq!(one.passwords().len(), 0);
    assert!(user("on nopass").lets_in(b"whatever"));
    assert!(!user("nopass").lets_in(b"whatever"));
}

#[test]
fn wrong_rules_change_nothing() {
    let mut selector = Selector::new(false);
    let before = selector.clone();
    for (rule, error) in [
        ("foo", RuleError::Syntax),
        ("+foo", RuleError::UnknownCommand),
        ("-foo", RuleError::UnknownCommand),
        ("+@foo", RuleError::UnknownCommand),
        ("+config|foo", RuleError::UnknownCommand),
        ("+config|get|x", RuleError::FirstArgumentOfSubcommand),
        ("+select|", RuleError::Syntax),
        ("-select|0", RuleError::UnknownCommand),
        ("%X~a", RuleError::Syntax),
        ("%RR~a", RuleError::Syntax),
        ("%~a", RuleError::Syntax),
        ("~a\tb", RuleError::Syntax),
    ] {
        assert_eq!(selector.apply(rule.as_bytes()), Err(error), "{rule}");
        assert_eq!(selector, before, "{rule}");
    }
    selector.apply(b"~*").unwrap();
    selector.apply(b"&*").unwrap();
    assert_eq!(selector.apply(b"~a"), Err(RuleError::AllKeys));
    assert_eq!(selector.apply(b"&a"), Err(RuleError::AllChannels));
    let words: &[&[u8]] = &[b"on", b"(+get", b"~a"];
    assert_eq!(joined(words), Err(RulesError::Unmatched(b"(+get".to_vec())));
}

#[test]
fn commands_keys_and_channels_are_let_through_as_the_rules_have_it() {
    let someone = user("~a* %R~r* %W~w* &news.* +@all -@dangerous -select +select|1 +config|get (+del ~other)");
    for allowed in [
        "GET a1",
        "SET a1 v",
        "GET r1",
        "SET w1 v",
        "COPY r1 a1",
        "SELECT 1",
        "CONFIG GET x",
        "DEL other",
        "PING",
        "PUBLISH news.x m",
        "SUBSCRIBE news.a news.b",
        "PSUBSCRIBE news.*",
        "UNSUBSCRIBE x",
        "AUTH x",
        "STRLEN r1",
        "EXISTS a",
        "TOUCH r1",
    ] {
        assert_eq!(check(&someone, allowed), Ok(()), "{allowed}");
    }
    for (denied, denial) in [
        ("FLUSHALL", Denial::Command),
        ("SELECT 0", Denial::Command),
        ("CONFIG SET x y", Denial::Command),
        ("GET other", Denial::Key(1)),
        ("SET r1 v", Denial::Key(1)),
        ("GET w1", Denial::Key(1)),
        ("GETSET w1 v", Denial::Key(1)),
        ("MGET a r z", Denial::Key(3)),
        ("COPY w1 a1", Denial::Key(1)),
        ("COPY r1 r2", Denial::Key(2)),
        ("PUBLISH olds m", Denial::Channel(1)),
        ("SUBSCRIBE news.a olds", Denial::Channel(2)),
        ("PSUBSCRIBE news.?", Denial::Channel(1)),
    ] {
        assert_eq!(check(&someone, denied), Err(denial), "{denied}");
    }
}

#[test]
fn nobody_is_looked_at_who_may_do_everything() {
    assert!(User::unrestricted().is_unrestricted());
    assert!(user("~* &* +@all").is_unrestricted());
    assert!(user("(~* &* +@all)").is_unrestricted());
    for rules in ["~* &* +@all -debug", "~* +@all", "&* +@all", "~* &*"] {
        assert!(!user(rules).is_unrestricted(), "{rules}");
    }
    let acl = Acl::default();
    let account = acl.default_account();
    assert!(account.is_unrestricted() && !acl.needs_password());
    acl.set_user(DEFAULT, &[b"-debug"], false).unwrap();
    assert!(!account.is_unrestricted() && !acl.needs_password());
    acl.set_default_password(b"x");
    assert!(acl.needs_password());
    assert!(acl.authenticate(DEFAULT, b"x").is_some() && acl.authenticate(DEFAULT, b"y").is_none());
    acl.set_default_password(b"");
    assert!(!acl.needs_password());
}

#[test]
fn files_are_taken_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users.acl");
    let acl = Acl::default();
    acl.set_user(b"gone", &[], false).unwrap();
    acl.set_user(b"same", &[b"on"], false).unwrap();
    std::fs::write(&path, "user same on\n# a comment\n\nuser new on >x ~k +get (+set ~s)\n").unwrap();
    let before = acl.load(&path, false).unwrap();
    assert_eq!(before, [b"gone"[..].into(), b"same"[..].into()]);
    let lines = acl.list();
    acl.save(&path).unwrap();
    assert_eq!(acl.load(&path, false).unwrap(), [b"new"[..].into(), b"same"[..].into()]);
    assert_eq!(acl.list(), lines);
    acl.set_user(b"new", &[b"~a\"b", b""], false).unwrap();
    let lines = acl.list();
    acl.save(&path).unwrap();
    acl.load(&path, false).unwrap();
    assert_eq!(acl.list(), lines, "quotes are bytes like any other");
    std::fs::write(&path, "usr x\nuser new on\nuser new off\nuser bad on +nope +nope2 foo bar\nuser p (+get\n")
        .unwrap();
    let Err(LoadError::Wrong(errors)) = acl.load(&path, false) else { panic!("it is taken") };
    let path = path.display();
    assert_eq!(
        errors,
        format!(
            "{path}:1 should start with user keyword followed by the username. WARNING: Duplicate user 'new' found on line 3. \
             {path}:4: Error in applying operation '+nope': Unknown command or category name in ACL. {path}:4: Error in \
             applying operation '+nope2': Unknown command or category name in ACL. {path}:4: Syntax error. {path}:5: Unmatched \
             parenthesis in selector definition.WARNING: ACL errors detected, no change to the previously active ACL rules was \
             performed"
        )
    );
    assert_eq!(acl.list(), lines);
}

#[test]
fn equal_refusals_are_counted_together() {
    let mut denials = Denials::default();
    let mut add = |object: &str, now_ms| {
        let why = (Reason::Key, Context::TopLevel);
        denials.add(why, object.as_bytes().to_vec(), b"u"[..].into(), Vec::new(), now_ms, 3);
        denials
            .entries()
            .map(|entry| (String::from_utf8_lossy(&entry.object).into_owned(), entry.id, entry.count))
            .collect::<Vec<_>>()
    };
    let entry = |object: &str, id, count| (object.to_owned(), id, count);
    add("a", 0);
    add("b", 1);
    assert_eq!(add("a", 60_000), [entry("a", 0, 2), entry("b", 1, 1)]);
    assert_eq!(add("a", 120_001), [entry("a", 2, 1), entry("a", 0, 2), entry("b", 1, 1)]);
    assert_eq!(add("c", 120_002), [entry("c", 3, 1), entry("a", 2, 1), entry("a", 0, 2)]);
}
