//! `HELP`, the subcommand that every container has. Its lines come from the command table.

use super::call::Call;
use crate::resp::CommandResult;
use crate::spec::COMMANDS;

/// `<container> HELP`: how each subcommand is written, and, indented, what it does.
pub fn container(call: &mut Call) -> CommandResult {
    let name = call.spec.container_name();
    let container = COMMANDS.iter().find(|spec| spec.name == name).expect("a subcommand's container is in the table");
    let lines = std::iter::once(container).chain(container.subcommands).flat_map(|spec| spec.help);
    call.reply.array(1 + lines.clone().count())?;
    call.reply.simple(&format!("{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name.to_uppercase()))?;
    lines.into_iter().try_for_each(|line| call.reply.simple(line))
}
