//! `COMMAND` and its subcommands: what the command table tells about itself. redis-cli makes its hints from
//! `COMMAND DOCS`, cluster clients find keys by `COMMAND INFO`.

use super::Call;
use crate::glob;
use crate::resp::{Args, CommandResult, ErrorReply, Reply};
use crate::spec::keys::{KeyRefs, keys};
use crate::spec::{
    AclCategories, Argument, ArgumentKind, Begin, CommandFlags, CommandSpec, DocFlags, Docs, Find, KeyFlags, KeySpec,
    Table,
};

/// `COMMAND`: every command as [`command_info`] describes it.
pub fn command(call: &mut Call) -> CommandResult {
    describe_all(call)
}

/// `COMMAND COUNT`
pub fn command_count(call: &mut Call) -> CommandResult {
    call.reply.count(call.state.table.commands().len())
}

/// `COMMAND LIST [FILTERBY (MODULE name | ACLCAT category | PATTERN pattern)]`: names, subcommands included.
pub fn command_list(call: &mut Call) -> CommandResult {
    let filter = match call.args.len() {
        2 => Filter::All,
        5 if call.is_word(2, "FILTERBY") => Filter::parse(call.arg(3), call.arg(4))?,
        _ => return Err(ErrorReply::SYNTAX),
    };
    let names: Vec<&str> = call
        .state
        .table
        .commands()
        .flat_map(|command| std::iter::once(command).chain(command.subcommands))
        .filter(|spec| filter.keeps(spec))
        .map(|spec| spec.name)
        .collect();
    call.reply.bulk_array(&names)
}

/// Which commands `COMMAND LIST` lists.
enum Filter<'a> {
    All,
    /// Commands of a module: there are no modules.
    Module,
    Category(Option<AclCategories>),
    Pattern(&'a [u8]),
}

impl<'a> Filter<'a> {
    fn parse(kind: &[u8], value: &'a [u8]) -> Result<Self, ErrorReply> {
        if kind.eq_ignore_ascii_case(b"MODULE") {
            Ok(Self::Module)
        } else if kind.eq_ignore_ascii_case(b"ACLCAT") {
            Ok(Self::Category(std::str::from_utf8(value).ok().and_then(AclCategories::from_word)))
        } else if kind.eq_ignore_ascii_case(b"PATTERN") {
            Ok(Self::Pattern(value))
        } else {
            Err(ErrorReply::SYNTAX)
        }
    }

    fn keeps(&self, spec: &CommandSpec) -> bool {
        match self {
            Self::All => true,
            Self::Module => false,
            Self::Category(category) => category.is_some_and(|category| spec.acl.contains(category)),
            Self::Pattern(pattern) => glob::matches(pattern, spec.name.as_bytes(), true),
        }
    }
}

/// `COMMAND INFO [name ...]`: arity, flags, keys, ACL categories; null for a name that does not exist.
pub fn command_info(call: &mut Call) -> CommandResult {
    if call.args.len() == 2 {
        return describe_all(call);
    }
    let table = &call.state.table;
    let names = call.args.from(2);
    call.reply.array(names.len())?;
    for name in names.iter() {
        match table.lookup_full(name) {
            Some(spec) => describe(call.reply, spec)?,
            None => call.reply.null()?,
        }
    }
    Ok(())
}

/// `COMMAND DOCS [name ...]`: what people want to know. Names that do not exist are left out.
pub fn command_docs(call: &mut Call) -> CommandResult {
    let table = &call.state.table;
    let specs: Vec<&CommandSpec> = match call.args.len() {
        2 => table.commands().collect(),
        _ => call.args.from(2).iter().filter_map(|name| table.lookup_full(name)).collect(),
    };
    call.reply.map(specs.len())?;
    specs.into_iter().try_for_each(|spec| document(call.reply, spec))
}

/// `COMMAND GETKEYS name [argument ...]`: the arguments that are keys.
pub fn command_getkeys(call: &mut Call) -> CommandResult {
    let request = call.args.from(2);
    let found = keys_of(&call.state.table, request)?;
    call.reply.array(found.len())?;
    found.iter().try_for_each(|key| call.reply.bulk(&request[key.index as usize]))
}

/// `COMMAND GETKEYSANDFLAGS name [argument ...]`: the same, each with how it would be used.
pub fn command_getkeysandflags(call: &mut Call) -> CommandResult {
    let request = call.args.from(2);
    let found = keys_of(&call.state.table, request)?;
    call.reply.array(found.len())?;
    for key in &found {
        call.reply.array(2)?;
        call.reply.bulk(&request[key.index as usize])?;
        words(call.reply, key.flags.words())?;
    }
    Ok(())
}

fn keys_of(table: &Table, request: Args<'_>) -> Result<KeyRefs, ErrorReply> {
    const UNKNOWN: ErrorReply = ErrorReply::fixed("ERR Invalid command specified");
    const NO_KEYS: ErrorReply = ErrorReply::fixed("ERR The command has no key arguments");
    const ARITY: ErrorReply = ErrorReply::fixed("ERR Invalid number of arguments specified for command");
    const ARGUMENTS: ErrorReply = ErrorReply::fixed("ERR Invalid arguments specified for command");

    let command = table.lookup(&request[0]).ok_or(UNKNOWN)?;
    let spec = command.resolve(request).ok_or(UNKNOWN)?;
    if spec.keys.iter().all(|key| key.flags.contains(KeyFlags::NOT_KEY)) {
        return Err(NO_KEYS);
    }
    if !spec.accepts(request.len()) {
        return Err(ARITY);
    }
    let mut found = KeyRefs::new();
    keys(spec, request, &mut found).map_err(|_| ARGUMENTS)?;
    Ok(found)
}

fn describe_all(call: &mut Call) -> CommandResult {
    let commands = call.state.table.commands();
    call.reply.array(commands.len())?;
    commands.into_iter().try_for_each(|spec| describe(call.reply, spec))
}

/// A command as `COMMAND INFO` shows it.
fn describe(reply: &mut Reply, spec: &CommandSpec) -> CommandResult {
    let [first, last, step] = spec.legacy_range;
    reply.array(10)?;
    reply.bulk(spec.name.as_bytes())?;
    reply.integer(spec.arity.into())?;
    words(reply, spec.flags.without(CommandFlags::HIDDEN).words())?;
    reply.integer(first.into())?;
    reply.integer(last.into())?;
    reply.integer(step.into())?;
    reply.set(spec.acl.words().count())?;
    spec.acl.words().try_for_each(|category| reply.simple(&format!("@{category}")))?;
    reply.set(spec.tips.len())?;
    spec.tips.iter().try_for_each(|tip| reply.bulk(tip.as_bytes()))?;
    reply.set(spec.keys.len())?;
    spec.keys.iter().try_for_each(|key| describe_key_spec(reply, key))?;
    reply.array(spec.subcommands.len())?;
    spec.subcommands.iter().try_for_each(|sub| describe(reply, sub))
}

fn describe_key_spec(reply: &mut Reply, key: &KeySpec) -> CommandResult {
    reply.map(if key.notes.is_empty() { 3 } else { 4 })?;
    if !key.notes.is_empty() {
        field(reply, "notes", key.notes)?;
    }
    reply.bulk(b"flags")?;
    words(reply, key.flags.words())?;

    reply.bulk(b"begin_search")?;
    match key.begin {
        Begin::Index(index) => {
            method(reply, "index", 1)?;
            number(reply, "index", index.into())?;
        }
        Begin::Keyword(keyword, from) => {
            method(reply, "keyword", 2)?;
            field(reply, "keyword", keyword)?;
            number(reply, "startfrom", from.into())?;
        }
        Begin::Unknown => method(reply, "unknown", 0)?,
    }

    reply.bulk(b"find_keys")?;
    match key.find {
        Find::Range { last, step, limit } => {
            method(reply, "range", 3)?;
            number(reply, "lastkey", last.into())?;
            number(reply, "keystep", step.into())?;
            number(reply, "limit", limit.into())
        }
        Find::NumKeys { step } => {
            method(reply, "keynum", 3)?;
            number(reply, "keynumidx", 0)?;
            number(reply, "firstkey", 1)?;
            number(reply, "keystep", step.into())
        }
        Find::Unknown => method(reply, "unknown", 0),
    }
}

/// The head of how a key spec searches; `parameters` pairs must follow.
fn method(reply: &mut Reply, kind: &str, parameters: usize) -> CommandResult {
    reply.map(2)?;
    field(reply, "type", kind)?;
    reply.bulk(b"spec")?;
    reply.map(parameters)
}

/// A command as `COMMAND DOCS` shows it, its name first.
fn document(reply: &mut Reply, spec: &CommandSpec) -> CommandResult {
    let Docs { summary, since, group, complexity, flags, deprecated, history, arguments } = &spec.docs;
    let present = [
        true,
        true,
        true,
        !complexity.is_empty(),
        !flags.is_empty(),
        deprecated.is_some(),
        deprecated.is_some(),
        !history.is_empty(),
        !arguments.is_empty(),
        spec.is_container(),
    ];
    reply.bulk(spec.name.as_bytes())?;
    reply.map(present.into_iter().filter(|&present| present).count())?;
    field(reply, "summary", summary)?;
    field(reply, "since", since)?;
    field(reply, "group", group)?;
    if !complexity.is_empty() {
        field(reply, "complexity", complexity)?;
    }
    if *flags != DocFlags::NONE {
        reply.bulk(b"doc_flags")?;
        words(reply, flags.words())?;
    }
    if let Some((version, replacement)) = deprecated {
        field(reply, "deprecated_since", version)?;
        field(reply, "replaced_by", replacement)?;
    }
    if !history.is_empty() {
        reply.bulk(b"history")?;
        reply.set(history.len())?;
        for (version, change) in *history {
            reply.bulk_array(&[version, change])?;
        }
    }
    if !arguments.is_empty() {
        reply.bulk(b"arguments")?;
        document_arguments(reply, arguments)?;
    }
    if spec.is_container() {
        reply.bulk(b"subcommands")?;
        reply.map(spec.subcommands.len())?;
        spec.subcommands.iter().try_for_each(|sub| document(reply, sub))?;
    }
    Ok(())
}

fn document_arguments(reply: &mut Reply, arguments: &[Argument]) -> CommandResult {
    reply.array(arguments.len())?;
    arguments.iter().try_for_each(|argument| document_argument(reply, argument))
}

fn document_argument(reply: &mut Reply, argument: &Argument) -> CommandResult {
    let is_group = !argument.arguments.is_empty();
    // One that is nothing else has a token, if an empty one.
    let has_token = !argument.token.is_empty() || argument.kind == ArgumentKind::PureToken;
    let present = [
        true,
        true,
        !is_group,
        argument.key_spec.is_some(),
        has_token,
        !argument.since.is_empty(),
        !argument.deprecated_since.is_empty(),
        !argument.flags.is_empty(),
        is_group,
    ];
    reply.map(present.into_iter().filter(|&present| present).count())?;
    field(reply, "name", argument.name)?;
    field(reply, "type", argument.kind.word())?;
    if !is_group {
        field(reply, "display_text", argument.display)?;
    }
    if let Some(index) = argument.key_spec {
        number(reply, "key_spec_index", index.into())?;
    }
    if has_token {
        field(reply, "token", argument.token)?;
    }
    for (name, text) in [("since", argument.since), ("deprecated_since", argument.deprecated_since)] {
        if !text.is_empty() {
            field(reply, name, text)?;
        }
    }
    if !argument.flags.is_empty() {
        reply.bulk(b"flags")?;
        words(reply, argument.flags.words())?;
    }
    if is_group {
        reply.bulk(b"arguments")?;
        document_arguments(reply, argument.arguments)?;
    }
    Ok(())
}

fn field(reply: &mut Reply, name: &str, text: &str) -> CommandResult {
    reply.bulk(name.as_bytes())?;
    reply.bulk(text.as_bytes())
}

fn number(reply: &mut Reply, name: &str, value: i64) -> CommandResult {
    reply.bulk(name.as_bytes())?;
    reply.integer(value)
}

/// A set of words as statuses.
fn words(reply: &mut Reply, mut words: impl Iterator<Item = &'static str> + Clone) -> CommandResult {
    reply.set(words.clone().count())?;
    words.try_for_each(|word| reply.simple(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{OwnedRequest, Protocol};

    fn table() -> Table {
        Table::new(&[]).unwrap()
    }

    /// What is written about a command, with spaces for line ends.
    fn written(protocol: Protocol, name: &str, write: fn(&mut Reply, &CommandSpec) -> CommandResult) -> String {
        let mut reply = Reply::new(protocol);
        write(&mut reply, table().lookup_full(name.as_bytes()).unwrap()).unwrap();
        String::from_utf8(reply.take()).unwrap().replace("\r\n", " ")
    }

    #[test]
    fn a_command_is_described_in_both_protocols() {
        let resp3 = "*10 $5 watch :-2 ~5 +noscript +loading +stale +fast +allow_busy :1 :-1 :1 \
                     ~2 +@fast +@transaction ~0 \
                     ~1 %3 $5 flags ~1 +RO $12 begin_search %2 $4 type $5 index $4 spec %1 $5 index :1 \
                     $9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :-1 $7 keystep :1 $5 limit :0 *0 ";
        assert_eq!(written(Protocol::Resp3, "WATCH", describe), resp3);
        let resp2 = resp3.replace('~', "*").replace("%1", "*2").replace("%2", "*4").replace("%3", "*6");
        assert_eq!(written(Protocol::Resp2, "watch", describe), resp2);
    }

    #[test]
    fn what_only_the_server_needs_is_not_shown() {
        let publish = written(Protocol::Resp3, "publish", describe);
        assert!(publish.contains("~4 +pubsub +loading +stale +fast :0 "), "{publish}");
    }

    #[test]
    fn a_command_is_documented_with_its_arguments() {
        let docs = written(Protocol::Resp3, "command|list", document);
        let arguments = "$9 arguments *1 %5 $4 name $8 filterby $4 type $5 oneof $5 token $8 FILTERBY \
                         $5 flags ~1 +optional $9 arguments *3 \
                         %4 $4 name $11 module-name $4 type $6 string $12 display_text $11 module-name $5 token $6 MODULE ";
        assert!(docs.starts_with("$12 command|list %5 $7 summary "), "{docs}");
        assert!(docs.contains(arguments), "{docs}");
    }

    #[test]
    fn a_container_is_documented_with_its_subcommands() {
        let docs = written(Protocol::Resp3, "command", document);
        assert!(docs.contains("$11 subcommands %7 $13 command|count %4 "), "{docs}");
    }

    #[test]
    fn keys_are_found_or_it_is_said_why_not() {
        let answer = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let request = OwnedRequest::new(words.iter().map(|word| word.as_bytes()));
            match keys_of(&table(), request.args()) {
                Ok(found) => found.iter().map(|key| key.index.to_string()).collect::<Vec<_>>().join(" "),
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            }
        };
        assert_eq!(answer("watch a b"), "1 2");
        assert_eq!(answer("nosuch a"), "ERR Invalid command specified");
        assert_eq!(answer("command nosuch"), "ERR Invalid command specified");
        assert_eq!(answer("command count"), "ERR The command has no key arguments");
        assert_eq!(answer("spublish channel message"), "ERR The command has no key arguments");
        assert_eq!(answer("watch"), "ERR Invalid number of arguments specified for command");
    }
}
