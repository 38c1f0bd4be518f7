//! Writes the checked table as Rust source.

use crate::flags::{CommandFlags, KeyFlags};
use crate::schema::{Argument, Begin, Command, Find, Key};
use std::fmt::Write;

/// The source of `command_table.rs`.
pub fn table(commands: &[Command]) -> String {
    let mut next_id = 0;
    let specs = commands.iter().map(|command| spec(command, &mut next_id)).collect::<String>();
    format!(
        "/// How many commands and subcommands there are.\n\
         pub const COMMAND_COUNT: usize = {next_id};\n\n\
         /// All commands in alphabetical order, with their subcommands inside.\n\
         pub static COMMANDS: &[CommandSpec] = &[\n{specs}];\n"
    )
}

/// The source of `command_handlers.rs`: the functions in the order of the commands' ids.
pub fn handlers(commands: &[Command]) -> String {
    let all = commands.iter().flat_map(|command| std::iter::once(command).chain(&command.subcommands));
    let handlers = all.map(|command| match &command.handler {
        Some(path) => format!("    Some(super::{path}),\n"),
        None => "    None,\n".into(),
    });
    let handlers = handlers.collect::<String>();
    format!("static HANDLERS: [Option<Handler>; COMMAND_COUNT] = [\n{handlers}];\n")
}

fn spec(command: &Command, next_id: &mut u16) -> String {
    let id = *next_id;
    *next_id += 1;
    let entry = &command.entry;
    let subcommands = command.subcommands.iter().map(|sub| spec(sub, next_id)).collect::<String>();
    let (legacy_range, movable) = legacy_range(&command.keys);
    let flags = if movable { command.flags.union(CommandFlags::MOVABLE_KEYS) } else { command.flags };
    let protected_by = match &entry.protected_by {
        Some(directive) => format!("Some(Directive::{})", in_camel_case(directive)),
        None => "None".into(),
    };
    let deprecated = entry.deprecated_since.as_ref().zip(entry.replaced_by.as_ref());
    let layout = layout(&command.keys, entry.finder.as_deref());
    format!(
        "CommandSpec {{ name: {:?}, id: {id}, arity: {}, flags: CommandFlags::from_bits({}), \
         acl: AclCategories::from_bits({}), tips: &{:?}, keys: &[{}], layout: {layout}, locks: Locks::{:?}, \
         protected_by: {protected_by}, channels: Channels::{:?}, secrets: Secrets::{:?}, legacy_range: {legacy_range:?}, \
         docs: Docs {{ summary: {:?}, since: {:?}, group: {:?}, complexity: {:?}, flags: DocFlags::from_bits({}), \
         deprecated: {deprecated:?}, history: &{:?}, arguments: &[{}] }}, \
         help: &{:?}, subcommands: &[{subcommands}] }},\n",
        command.name,
        entry.arity,
        flags.bits(),
        command.acl.bits(),
        entry.tips,
        command.keys.iter().map(key).collect::<String>(),
        entry.locks,
        entry.channels,
        entry.secrets,
        entry.summary,
        entry.since,
        command.group,
        entry.complexity,
        command.doc_flags.bits(),
        entry.history,
        command.arguments.iter().map(argument).collect::<String>(),
        help(command),
    )
}

/// `EnableDebugCommand` for `enable-debug-command`.
fn in_camel_case(name: &str) -> String {
    name.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

fn key(key: &Key) -> String {
    let begin = match &key.begin {
        Begin::Index(index) => format!("Index({index})"),
        Begin::Keyword(keyword, from) => format!("Keyword({keyword:?}, {from})"),
        Begin::Unknown => "Unknown".into(),
    };
    let find = match key.find {
        Find::Range { last, step, limit } => format!("Range {{ last: {last}, step: {step}, limit: {limit} }}"),
        Find::NumKeys { step } => format!("NumKeys {{ step: {step} }}"),
        Find::Unknown => "Unknown".into(),
    };
    format!(
        "KeySpec {{ begin: Begin::{begin}, find: Find::{find}, flags: KeyFlags::from_bits({}), notes: {:?} }},",
        key.flags.bits(),
        key.notes
    )
}

fn argument(argument: &Argument) -> String {
    format!(
        "Argument {{ name: {:?}, kind: ArgumentKind::{}, display: {:?}, token: {:?}, key_spec: {:?}, \
         flags: ArgumentFlags::from_bits({}), since: {:?}, deprecated_since: {:?}, arguments: &[{}] }},",
        argument.name,
        argument.kind,
        argument.display,
        argument.token,
        argument.key_spec,
        argument.flags.bits(),
        argument.since,
        argument.deprecated_since,
        argument.arguments.iter().map(self::argument).collect::<String>(),
    )
}

/// The key layout that spares the general search: for commands whose keys are all used alike and whose positions
/// follow from the number of arguments.
///
/// # Panics
/// If a command with a finder has not the keys that it is for.
fn layout(keys: &[Key], finder: Option<&str>) -> String {
    let keys: Vec<&Key> = keys.iter().filter(|key| !key.flags.contains(KeyFlags::NOT_KEY)).collect();
    let options = match finder {
        Some("stored") => "Stored",
        Some("sort") => "Sort",
        Some("migrate") => "Migrate",
        _ => "",
    };
    if let ([Key { begin: Begin::Index(index), .. }, ..], 1..) = (&keys[..], options.len()) {
        return format!("KeyLayout::Options({index}, KeyOptions::{options})");
    }
    match keys[..] {
        [] => return "KeyLayout::None".into(),
        [key] => {
            let flags = format!("KeyFlags::from_bits({})", key.flags.bits());
            match (&key.begin, key.find) {
                (Begin::Index(index), Find::Range { last: 0, .. }) => {
                    if let Some(finder) = finder {
                        let finder = finder[..1].to_uppercase() + &finder[1..];
                        return format!("KeyLayout::Finder({index}, Finder::{finder})");
                    }
                    return format!("KeyLayout::One({index}, {flags})");
                }
                (Begin::Index(first), Find::Range { last: last @ ..0, step, limit: 0 | 1 }) => {
                    let from_end = last.unsigned_abs() - 1;
                    return format!(
                        "KeyLayout::Range {{ first: {first}, from_end: {from_end}, step: {step}, flags: {flags} }}"
                    );
                }
                _ => {}
            }
        }
        _ => {}
    }
    assert!(finder.is_none(), "a finder is for a command with a key at a fixed position");
    "KeyLayout::Specs".into()
}

/// First key, last key and step as they were before key specs, and whether clients that know only these miss keys.
/// A spec with fixed positions extends the range if it continues it.
fn legacy_range(keys: &[Key]) -> ([i16; 3], bool) {
    let fixed = |key: &Key| match (&key.begin, key.find) {
        (Begin::Index(index), Find::Range { last, step, limit }) => {
            let first = i16::from(*index);
            let last = if last >= 0 { first + i16::from(last) } else { i16::from(last) };
            Some((first, last, i16::from(step), limit))
        }
        _ => None,
    };
    if let [only] = keys
        && let Some((first, last, step, _)) = fixed(only)
    {
        return ([first, last, step], false);
    }
    let mut range: Option<(i16, i16)> = None;
    let mut movable = false;
    for key in keys {
        match (fixed(key), range) {
            (Some((first, last, 1, _)), None) => range = Some((first, last)),
            (Some((first, last, 1, _)), Some((start, end))) if first == end + 1 => range = Some((start, last)),
            _ => movable = true,
        }
    }
    match range {
        Some((first, last)) => ([first, last, 1], movable),
        None => ([0, 0, 0], movable),
    }
}

/// What HELP says about a subcommand: what the entry says, or else the arguments and the summary.
fn help(command: &Command) -> Vec<String> {
    let Some((_, name)) = command.name.split_once('|') else {
        return command.entry.help.lines().map(str::to_owned).collect();
    };
    if !command.entry.help.is_empty() {
        return command.entry.help.lines().map(str::to_owned).collect();
    }
    if command.is_help() {
        return vec!["HELP".into(), "    Prints this help.".into()];
    }
    let mut line = name.to_uppercase();
    for argument in &command.arguments {
        write!(line, " {}", syntax(argument)).expect("writing to a string does not fail");
    }
    vec![line, format!("    {}", command.entry.summary)]
}

/// An argument as manuals write it: `[COUNT <count>]`, `(YES|NO)`.
fn syntax(argument: &Argument) -> String {
    use crate::flags::ArgumentFlags as Flag;
    let join = |separator: &str| argument.arguments.iter().map(syntax).collect::<Vec<_>>().join(separator);
    let optional = argument.flags.contains(Flag::OPTIONAL);
    let value = match argument.kind {
        "PureToken" => String::new(),
        "OneOf" if optional && argument.token.is_empty() => join("|"),
        "OneOf" => format!("({})", join("|")),
        "Block" => join(" "),
        _ => format!("<{}>", argument.display),
    };
    let mut text =
        [argument.token.as_str(), &value].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    if argument.flags.contains(Flag::MULTIPLE) {
        let again = if argument.flags.contains(Flag::MULTIPLE_TOKEN) { &text } else { &value };
        text = format!("{text} [{again} ...]");
    }
    if optional { format!("[{text}]") } else { text }
}
