//! Errors that name the command: an unknown one, a wrong number of arguments, a wrong time. Clients match on these texts.

use super::CommandSpec;
use crate::resp::{Args, ErrorReply};

/// How much of a name, or of the arguments together, is quoted.
const QUOTE_LEN_MAX: usize = 128;

/// `ERR unknown command 'foo', with args beginning with: 'a' 'b' `
pub fn unknown_command(args: Args<'_>) -> ErrorReply {
    let mut quoted = Vec::new();
    for index in 1..args.len() {
        if quoted.len() >= QUOTE_LEN_MAX {
            break;
        }
        let room = QUOTE_LEN_MAX - quoted.len();
        quoted.push(b'\'');
        quoted.extend_from_slice(quotable(args.at(index), room));
        quoted.extend_from_slice(b"' ");
    }
    let name = quotable(args.at(0), QUOTE_LEN_MAX);
    ErrorReply::new([b"ERR unknown command '", name, b"', with args beginning with: ", &quoted].concat())
}

/// `ERR unknown subcommand 'x'. Try CLIENT HELP.`, with the names as the client wrote them.
pub fn unknown_subcommand(container: &[u8], subcommand: &[u8]) -> ErrorReply {
    let subcommand = quotable(subcommand, QUOTE_LEN_MAX);
    let container = container.to_ascii_uppercase();
    ErrorReply::new([b"ERR unknown subcommand '", subcommand, b"'. Try ", &container, b" HELP."].concat())
}

/// `ERR unknown subcommand or wrong number of arguments for 'get'. Try SLOWLOG HELP.`: what subcommands say that take some
/// arguments or none.
pub fn subcommand_syntax(args: Args<'_>) -> ErrorReply {
    let subcommand = quotable(args.at(1), QUOTE_LEN_MAX);
    let container = args.at(0).to_ascii_uppercase();
    let before = b"ERR unknown subcommand or wrong number of arguments for '";
    ErrorReply::new([before, subcommand, b"'. Try ", &container, b" HELP."].concat())
}

/// `ERR wrong number of arguments for 'client|kill' command`
pub fn wrong_arity(spec: &CommandSpec) -> ErrorReply {
    ErrorReply::new(format!("ERR wrong number of arguments for '{}' command", spec.name))
}

/// `ERR invalid expire time in 'setex' command`
pub fn invalid_expire_time(spec: &CommandSpec) -> ErrorReply {
    ErrorReply::new(format!("ERR invalid expire time in '{}' command", spec.name))
}

/// The first bytes of what a client sent, up to a NUL, where Redis stops too.
fn quotable(bytes: &[u8], len_max: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(len_max)];
    &bytes[..memchr::memchr(0, bytes).unwrap_or(bytes.len())]
}
