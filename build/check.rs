//! What must hold in the command table, beyond what its form already says.

use crate::flags::{ArgumentFlags, CommandFlags, KeyFlags};
use crate::schema::{Argument, Begin, Command, Find, Locks};
use std::collections::HashMap;

/// Longer names could not be told apart in the statistics of monitoring tools, and none exists.
const NAME_LEN_MAX: usize = 32;

/// All that is wrong with a table; each line names file and entry.
pub fn table(commands: &[Command]) -> Vec<String> {
    let mut errors = Vec::new();
    let mut seen: HashMap<&str, &Command> = HashMap::new();
    for command in commands {
        if let Some(other) = seen.insert(&command.name, command) {
            errors.push(format!("{}: is also in commands/{}.toml", command.heading(), other.file));
        }
        for command in std::iter::once(command).chain(&command.subcommands) {
            errors.extend(entry(command).into_iter().map(|reason| format!("{}: {reason}", command.heading())));
        }
    }
    errors
}

fn entry(command: &Command) -> Vec<String> {
    let mut errors = Vec::new();
    let mut require = |holds: bool, reason: &str| {
        if !holds {
            errors.push(reason.to_owned());
        }
    };
    let entry = &command.entry;
    require(command.name.len() <= NAME_LEN_MAX, "the name is too long");
    require(entry.arity != 0, "arity is missing: it counts the command's name, and is negative for \"at least\"");
    require(is_version(&entry.since), "since is not a version");
    require(entry.summary.ends_with('.'), "the summary is not a sentence");
    require(
        !command.flags.contains(CommandFlags::WRITE.union(CommandFlags::READONLY)),
        "cannot be both write and readonly",
    );
    require(
        !command.flags.contains(CommandFlags::MOVABLE_KEYS),
        "movablekeys follows from the key specs and is not written",
    );
    require(
        entry.finder.as_ref().is_none_or(|finder| !finder.is_empty() && finder.chars().all(|c| c.is_ascii_lowercase())),
        "finder is the lowercase name of a case of Finder",
    );
    let names_data = !command.keys.is_empty() || matches!(entry.locks, Locks::All | Locks::Parts);
    require(
        names_data || !command.flags.contains(CommandFlags::WRITE),
        "writes data, but has neither keys nor locks = \"all\" or \"parts\"",
    );
    require(
        command.keys.is_empty() || matches!(entry.locks, Locks::Keys | Locks::Script),
        "has keys, whose shards are held, so it has no other locks",
    );
    require(
        command.flags.contains(CommandFlags::PROTECTED) == entry.protected_by.is_some(),
        "is protected without protected_by, or the other way round",
    );
    require(
        command.subcommands.is_empty() || command.subcommands.iter().any(Command::is_help),
        "a container has a subcommand HELP",
    );
    require(command.subcommands.iter().all(|sub| sub.subcommands.is_empty()), "a subcommand has no subcommands");
    errors.extend(arity(command).err());
    errors.extend(keys(command).err());
    errors
}

fn is_version(text: &str) -> bool {
    let numbers: Vec<&str> = text.split('.').collect();
    numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u16>().is_ok())
}

/// Compares the arity with the arguments, where they are described.
fn arity(command: &Command) -> Result<(), String> {
    if command.arguments.is_empty() && (command.entry.arity < 0 || !command.subcommands.is_empty()) {
        return Ok(());
    }
    let names = command.name.split('|').count();
    let at_least = names + command.arguments.iter().map(length_min).sum::<usize>();
    let varies = command.arguments.iter().any(has_choice);
    let arity = command.entry.arity;
    let stated = usize::from(arity.unsigned_abs());
    if stated > at_least && arity < 0 {
        // The arguments are optional one by one, but one of them must be there.
        return Ok(());
    }
    if stated != at_least || (arity > 0 && varies) {
        let sign = if varies { "-" } else { "" };
        return Err(format!("arity is {arity}, but the arguments say {sign}{at_least}"));
    }
    Ok(())
}

/// How many words an argument takes at least.
fn length_min(argument: &Argument) -> usize {
    if argument.flags.contains(ArgumentFlags::OPTIONAL) {
        return 0;
    }
    let parts = argument.arguments.iter().map(length_min);
    let value = match argument.kind {
        "PureToken" => 0,
        "OneOf" => parts.min().unwrap_or(0),
        "Block" => parts.sum(),
        _ => 1,
    };
    value + usize::from(!argument.token.is_empty())
}

/// Whether an argument may take more words than the least.
fn has_choice(argument: &Argument) -> bool {
    let varying_lengths = argument.kind == "OneOf" && {
        let mut lengths = argument.arguments.iter().map(length_min);
        let first = lengths.next();
        lengths.any(|length| Some(length) != first)
    };
    argument.flags.intersects(ArgumentFlags::OPTIONAL.union(ArgumentFlags::MULTIPLE))
        || varying_lengths
        || argument.arguments.iter().any(has_choice)
}

fn keys(command: &Command) -> Result<(), String> {
    let arity = command.entry.arity.unsigned_abs();
    for (index, key) in command.keys.iter().enumerate() {
        let access = [KeyFlags::RO, KeyFlags::RW, KeyFlags::OW, KeyFlags::RM];
        let count = access.iter().filter(|&&flag| key.flags.contains(flag)).count();
        if count != 1 && !key.flags.contains(KeyFlags::NOT_KEY) {
            return Err("a key spec has exactly one of RO, RW, OW and RM".into());
        }
        if command.flags.contains(CommandFlags::READONLY)
            && !key.flags.intersects(KeyFlags::RO.union(KeyFlags::NOT_KEY))
            && key.notes.is_empty()
        {
            return Err("a readonly command has a key spec that is not RO, and no notes why".into());
        }
        let is_rest = index > 0 && matches!(key.find, Find::Range { last: -1, .. });
        let optional =
            command.flags.contains(CommandFlags::NO_MANDATORY_KEYS) || key.flags.contains(KeyFlags::NOT_KEY) || is_rest;
        match key.begin {
            Begin::Index(0) => return Err("no key is at 0, the command's name".into()),
            Begin::Index(index) if u16::from(index) >= arity && !optional => {
                return Err(format!(
                    "a key spec begins at {index}, which arity {} does not promise",
                    command.entry.arity
                ));
            }
            Begin::Keyword(_, 0) => return Err("a keyword is looked for from 1 on, or from the end".into()),
            _ => {}
        }
        if let Find::Range { step: 0, .. } | Find::NumKeys { step: 0 } = key.find {
            return Err("step is at least 1".into());
        }
    }
    let mut specs = Vec::new();
    collect_key_specs(&command.arguments, &mut specs);
    if let Some(spec) = specs.iter().find(|&&spec| usize::from(spec) >= command.keys.len()) {
        return Err(format!("an argument names key spec {spec}, which does not exist"));
    }
    Ok(())
}

fn collect_key_specs(arguments: &[Argument], specs: &mut Vec<u8>) {
    for argument in arguments {
        specs.extend(argument.key_spec);
        collect_key_specs(&argument.arguments, specs);
    }
}
