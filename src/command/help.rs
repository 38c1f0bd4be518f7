//! `HELP` of every container command, from the command table.

use super::call::Call;
use crate::resp::{CommandResult, ErrorReply};

/// Answers `<container> HELP`: a line of each subcommand's usage and an indented one of what it does.
pub fn container(call: &mut Call) -> CommandResult {
    let Some(container) = call.state.table.lookup(call.arg(0)) else {
        return Err(ErrorReply::SYNTAX);
    };
    let lines: Vec<&str> = container.subcommands.iter().flat_map(|subcommand| subcommand.help).copied().collect();
    let name = container.name.to_uppercase();
    call.reply.array(lines.len() + 3)?;
    call.reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"))?;
    lines.iter().try_for_each(|line| call.reply.simple(line))?;
    call.reply.simple("HELP")?;
    call.reply.simple("    Print this help.")
}
