//! Rules of a user, and requests. What is accepted is shown so that it reads the same, and no request makes a rule panic.
//!
//! The first line is the rules, apart by blanks; each further line is a request.

#![no_main]

use libfuzzer_sys::fuzz_target;
use radish::acl::User;
use radish::resp::OwnedRequest;
use radish::spec::Table;
use std::sync::LazyLock;

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(&[]).expect("the table is whole"));

/// A user to whom these rules apply, if all of them are right.
fn user(rules: &[u8], all_channels: bool) -> Option<User> {
    let acl = radish::acl::Acl::default();
    let words: Vec<&[u8]> = rules.split(|byte| *byte == b' ').collect();
    Some((*acl.set_user(b"somebody", &words, all_channels).ok()?.user()).clone())
}

/// Whether rules may be shown so that they cannot be read, or are read otherwise, although Redis shows them like this: it shows what a
/// selector had in quotation marks without them, takes the first word that ends with a parenthesis for the end of a selector, be it a
/// pattern (behind each come the commands of its selector), and no pattern of keys behind `~*`.
fn are_beyond_reading(rules: &[u8], shown: &[u8]) -> bool {
    let words: Vec<_> = shown.split(|byte| *byte == b' ').map(|word| word.strip_prefix(b"(").unwrap_or(word)).collect();
    rules.iter().any(|byte| matches!(byte, b'"' | b'\''))
        || words.iter().any(|word| matches!(word.first(), Some(b'~' | b'%' | b'&')) && word.ends_with(b")"))
        || words.windows(2).any(|pair| pair[0] == b"~*" && matches!(pair[1].first(), Some(b'~' | b'%')))
}

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    // There is a first line, even if it is empty.
    let rules = lines.next().unwrap_or_default();
    let Some(user) = user(rules, input.len().is_multiple_of(2)) else { return };
    let shown = user.describe();
    let read = |user: &User| self::user(&user.describe(), input.len().is_multiple_of(3));
    let again = read(&user);
    if are_beyond_reading(rules, &shown) {
        return;
    }
    let again = again.expect("what is shown can be read");
    // As in Redis, `%RW~*` is shown as `~*`, in which the other patterns are lost once it is read.
    if again.describe() != shown {
        assert!(shown.windows(4).any(|part| part == b" ~* "));
        assert_eq!(read(&again).map(|user| user.describe()), Some(again.describe()));
    }
    for line in lines {
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let request = OwnedRequest::new(words.into_iter());
        let Some(command) = TABLE.lookup(&request.args()[0]) else { continue };
        let Some(spec) = command.resolve(request.args()) else { continue };
        if !spec.accepts(request.args().len()) {
            continue;
        }
        let checked = |user: &User| user.check(spec, request.args()).is_ok();
        let (before, after) = (checked(&user), checked(&again));
        // As in Redis, `%RW~*` is shown as `~*`, which unlike it stands for the empty key as well.
        let has_empty_key = request.args().iter().any(<[u8]>::is_empty);
        assert!(before == after || has_empty_key && !before);
    }
});
