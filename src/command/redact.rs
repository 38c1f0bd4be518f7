//! What a request must not show in `MONITOR` and in the logs of commands: passwords.

use crate::config::Directive;
use crate::resp::Args;
use crate::spec::{CommandSpec, Secrets, keys};

const REDACTED: &[u8] = b"(redacted)";

/// The arguments, with `(redacted)` in the place of secrets.
pub fn redacted<'a>(spec: &CommandSpec, args: Args<'a>) -> impl ExactSizeIterator<Item = &'a [u8]> {
    let is_secret: fn(Args, usize) -> bool = match spec.secrets {
        Secrets::None => |_, _| false,
        Secrets::All if spec.short_name() != spec.name => |_, index| index > 1,
        Secrets::All => |_, index| index > 0,
        Secrets::AfterAuth => follows_auth,
        Secrets::Migrate => opens_target,
        Secrets::Directives => follows_sensitive_directive,
    };
    (0..args.len()).map(move |index| if is_secret(args, index) { REDACTED } else { args.at(index) })
}

/// Whether the argument is the value of a directive that is a secret.
fn follows_sensitive_directive(args: Args<'_>, index: usize) -> bool {
    index >= 3
        && index % 2 == 1
        && Directive::find(args.at(index - 1)).is_some_and(|(directive, _)| directive.entry().sensitive)
}

/// Whether the argument is the name or the password after `AUTH`.
fn follows_auth(args: Args<'_>, index: usize) -> bool {
    let is_auth = |index: usize| args.get(index).is_some_and(|arg| arg.eq_ignore_ascii_case(b"auth"));
    index >= 3 && (is_auth(index - 1) || index >= 4 && is_auth(index - 2))
}

/// Whether the argument is what MIGRATE opens the other server with.
fn opens_target(args: Args<'_>, index: usize) -> bool {
    keys::migrate_options(args).any(|(word, value)| {
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        is(b"AUTH") && index == value || is(b"AUTH2") && (index == value || index == value + 1)
    })
}
