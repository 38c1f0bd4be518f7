//! Every command of the table, tried by those who may not: without a login, without its category, without its keys, without its
//! channels.

use crate::support::Local;
use radish::client::{Client, Endpoint, Identity, Session};
use radish::resp::OwnedRequest;
use radish::spec::keys::{KeyRefs, keys};
use radish::spec::{self, Channels, CommandFlags, CommandSpec, KeyFlags};
use std::sync::Arc;

/// What may follow the names of commands, so that their keys can be found.
const ARGUMENTS: [&str; 9] = [
    "key key key key key key",
    "key 1 key key key key",
    "1 key key key key key",
    "key key 1 key key key",
    "0 1 key key key key",
    "GROUP g c STREAMS key >",
    "STREAMS key 0",
    "host 1 key 0 1",
    "key BY key* GET key* STORE key",
];

/// Commands, without containers.
fn commands() -> impl Iterator<Item = &'static CommandSpec> {
    spec::all().filter(|spec| !spec.is_container())
}

/// The words of a request with as many arguments as the command takes at least.
fn request(spec: &CommandSpec, arguments: &str) -> Vec<String> {
    let mut words: Vec<String> = spec.name.split('|').map(str::to_owned).collect();
    let most = if spec.arity > 0 { usize::from(spec.arity.unsigned_abs()) } else { usize::MAX };
    words.extend(arguments.split(' ').map(str::to_owned));
    while words.len() < usize::from(spec.arity.unsigned_abs()) {
        words.push("key".to_owned());
    }
    words.truncate(most);
    words
}

/// A request whose keys can be found, if the command has keys.
fn request_with_keys(spec: &CommandSpec) -> Option<Vec<String>> {
    ARGUMENTS.iter().map(|arguments| request(spec, arguments)).find(|words| {
        let request = OwnedRequest::new(words.iter().map(String::as_bytes).collect::<Vec<_>>().into_iter());
        let mut found = KeyRefs::new();
        keys(spec, request.args(), &mut found).is_ok() && !found.is_empty()
    })
}

/// Whether this is an error of that code, or tells that a transaction is over because of one.
fn is_refused(reply: &str, code: &str) -> bool {
    let error = reply.strip_prefix("-EXECABORT Transaction discarded because of: ").or_else(|| reply.strip_prefix('-'));
    error.is_some_and(|error| error.split(' ').next() == Some(code))
}

/// A connection to a server of one user.
struct Guest {
    local: Local,
    owner: Session,
    guest: Session,
}

impl Guest {
    fn new() -> Guest {
        let local = Local::new();
        let (owner, guest) = (local.connect(), local.connect());
        Guest { local, owner, guest }
    }

    /// What the user, with these rules, is answered.
    fn ask(&mut self, rules: &str, words: &[String]) -> String {
        assert_eq!(self.local.run(&mut self.owner, &format!("ACL SETUSER guest reset on nopass {rules}")), "+OK\r\n");
        assert_eq!(self.local.run(&mut self.guest, "AUTH guest any"), "+OK\r\n");
        self.local.run(&mut self.guest, &words.join(" "))
    }
}

#[test]
fn without_a_login_nothing_but_a_login_is_done() {
    let local = Local::new();
    let mut owner = local.connect();
    assert_eq!(local.run(&mut owner, "CONFIG SET requirepass secret"), "+OK\r\n");
    let mut open = Vec::new();
    for spec in commands() {
        let nowhere = Endpoint::Unix("".into());
        let client = Client::new(local.0.clients.next_id(), nowhere.clone(), nowhere, -1, 0);
        let mut stranger = Session::new(Identity::new(Arc::new(client), local.0.acl.default_account(), false));
        let reply = local.run(&mut stranger, &request(spec, ARGUMENTS[0]).join(" "));
        if !is_refused(&reply, "NOAUTH") {
            open.push(spec.name);
        }
    }
    open.sort_unstable();
    assert_eq!(open, ["auth", "hello", "quit", "reset"]);
}

#[test]
fn who_lacks_a_category_of_a_command_cannot_use_it() {
    let mut guest = Guest::new();
    // Those that a directive protects are refused whoever asks.
    let is_free = CommandFlags::NO_AUTH.union(CommandFlags::PROTECTED);
    for spec in commands().filter(|spec| !spec.has(is_free)) {
        for category in spec.acl.words() {
            let reply = guest.ask(&format!("~* &* +@all -@{category}"), &request(spec, ARGUMENTS[0]));
            assert!(is_refused(&reply, "NOPERM"), "{} without {category}: {reply}", spec.name);
            // Nor does a script do it for such a user.
            let mut words = request(spec, ARGUMENTS[0]);
            words.splice(0..0, ["EVAL", "return(redis.pcall(unpack(ARGV)))", "0"].map(str::to_owned));
            let reply = guest.ask(&format!("~* &* +@all -@{category} +eval"), &words);
            let is_excepted = spec.name == "eval" || reply.contains("not allowed from script");
            assert!(
                is_excepted || reply.starts_with("-ERR ACL failure in script: "),
                "{} without {category}, in a script: {reply}",
                spec.name
            );
        }
        let reply = guest.ask(&format!("~* &* +@all -{}", spec.name), &request(spec, ARGUMENTS[0]));
        assert!(is_refused(&reply, "NOPERM"), "{} itself: {reply}", spec.name);
    }
}

#[test]
fn who_lacks_a_key_of_a_command_cannot_use_it() {
    let mut guest = Guest::new();
    let has_keys = |spec: &&CommandSpec| spec.keys.iter().any(|keys| !keys.flags.contains(KeyFlags::NOT_KEY));
    for spec in commands().filter(has_keys) {
        let words = request_with_keys(spec).unwrap_or_else(|| panic!("{} has no keys", spec.name));
        let reply = guest.ask("&* +@all ~other*", &words);
        assert!(is_refused(&reply, "NOPERM") && reply.contains("one of the keys"), "{}: {reply}", words.join(" "));
        assert_eq!(guest.local.run(&mut guest.owner, "ACL SETUSER guest resetkeys ~*"), "+OK\r\n");
        let dry = guest.local.run(&mut guest.owner, &format!("ACL DRYRUN guest {}", words.join(" ")));
        assert_eq!(dry, "+OK\r\n", "{}", words.join(" "));
    }
}

#[test]
fn who_lacks_a_channel_of_a_command_cannot_use_it() {
    let mut guest = Guest::new();
    let mut tried = 0;
    for spec in commands().filter(|spec| !matches!(spec.channels, Channels::None)) {
        let words = request(spec, ARGUMENTS[0]);
        let reply = guest.ask("~* +@all resetchannels &other", &words);
        // What ends listening needs no permission.
        if is_refused(&reply, "NOPERM") {
            assert!(reply.contains("one of the channels"), "{reply}");
            tried += 1;
        } else {
            assert!(spec.name.contains("unsubscribe"), "{}: {reply}", spec.name);
        }
    }
    assert_eq!(tried, 5, "PUBLISH, SPUBLISH, SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE");
}
