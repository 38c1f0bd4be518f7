use super::*;

fn nobody() -> Wake {
    Box::new(|| {})
}

fn append(log: &Log, database: usize, words: &[&str]) {
    log.append(database, words.iter().map(|word| word.as_bytes()));
}

fn delete(effects: &mut Effects, name: &str, audience: Audience) {
    effects.push(0, [b"DEL".as_slice(), name.as_bytes()].into_iter(), audience);
}

fn read_all(log: &Log, reader: &Reader) -> String {
    let mut text = Vec::new();
    while let Some(bytes) = log.read(reader, u64::MAX) {
        text.extend_from_slice(&bytes);
    }
    String::from_utf8(text).expect("text").replace("\r\n", " ")
}

#[test]
fn commands_come_with_their_database_and_only_when_it_changes() {
    let log = Log::default();
    let reader = log.open(ReaderKind::Replica, 0, nobody()).expect("the end");
    append(&log, 0, &["SET", "a", "1"]);
    append(&log, 0, &["DEL", "a"]);
    append(&log, 3, &["DEL", "b"]);
    let expected = "*2 $6 SELECT $1 0 *3 $3 SET $1 a $1 1 *2 $3 DEL $1 a *2 $6 SELECT $1 3 *2 $3 DEL $1 b ";
    assert_eq!(read_all(&log, &reader), expected);
    assert_eq!(reader.position(), log.end());
}

#[test]
fn several_effects_are_a_transaction_and_one_is_none() {
    let log = Log::default();
    let reader = log.open(ReaderKind::Replica, 0, nobody()).expect("the end");
    let mut effects = Effects::default();
    effects.push(1, [b"DEL".as_slice(), b"a"].into_iter(), Audience::All);
    log.append_all(&mut effects);
    assert_eq!(read_all(&log, &reader), "*2 $6 SELECT $1 1 *2 $3 DEL $1 a ");
    effects.push(1, [b"DEL".as_slice(), b"a"].into_iter(), Audience::All);
    effects.push(2, [b"DEL".as_slice(), b"b"].into_iter(), Audience::All);
    log.append_all(&mut effects);
    assert!(effects.is_empty());
    let expected = "*1 $5 MULTI *2 $3 DEL $1 a *2 $6 SELECT $1 2 *2 $3 DEL $1 b *1 $4 EXEC ";
    assert_eq!(read_all(&log, &reader), expected);
    log.append_all(&mut effects);
    assert_eq!(read_all(&log, &reader), "");
}

#[test]
fn the_file_gets_nothing_that_is_only_for_replicas() {
    let log = Log::default();
    let file = log.open(ReaderKind::File, 0, nobody()).expect("the end");
    let replica = log.open(ReaderKind::Replica, 0, nobody()).expect("the end");
    let ping = || log.append_outside([b"PING".as_slice()].into_iter());
    append(&log, 0, &["DEL", "a"]);
    ping();
    ping();
    append(&log, 0, &["DEL", "b"]);
    ping();
    let start = "*2 $6 SELECT $1 0 *2 $3 DEL $1 a ";
    assert_eq!(read_all(&log, &file), format!("{start}*2 $3 DEL $1 b "));
    assert_eq!(read_all(&log, &replica), format!("{start}*1 $4 PING *1 $4 PING *2 $3 DEL $1 b *1 $4 PING "));
    assert_eq!(file.position(), log.end());
}

#[test]
fn what_the_file_does_not_get_may_reach_beyond_where_it_reads_to() {
    let log = Log::default();
    let file = log.open(ReaderKind::File, 0, nobody()).expect("the end");
    append(&log, 0, &["DEL", "a"]);
    log.ask_for_acknowledgements();
    let middle = log.end();
    log.ask_for_acknowledgements();
    append(&log, 0, &["DEL", "b"]);
    while log.read(&file, middle).is_some() {}
    assert_eq!(file.position(), middle);
    assert_eq!(read_all(&log, &file), "*2 $3 DEL $1 b ");
}

#[test]
fn blocks_are_kept_for_the_slowest_reader_and_for_the_backlog() {
    let log = Log::default();
    log.keep_backlog(100_000);
    let slow = log.open(ReaderKind::Replica, 0, nobody()).expect("the end");
    let fast = log.open(ReaderKind::Replica, 0, nobody()).expect("the end");
    let value = "x".repeat(1000);
    for _ in 0..1000 {
        append(&log, 0, &["SET", "a", &value]);
        while log.read(&fast, u64::MAX).is_some() {}
    }
    assert!(log.memory() > 1_000_000, "the slow one has read nothing");
    let backlog = log.backlog().expect("it is kept");
    assert_eq!((backlog.start, backlog.len), (0, log.end()), "what the slow one is to read can be had by others");
    let read = read_all(&log, &slow);
    let backlog = log.backlog().expect("it is kept");
    assert_eq!((backlog.len, backlog.start + backlog.len), (100_000, log.end()));
    assert_eq!(read.matches("SET").count(), 1000);
    assert!(log.memory() < 400_000, "{}", log.memory());
    assert!(log.open(ReaderKind::Replica, 0, nobody()).is_none(), "that is gone");
    let again = log.open(ReaderKind::Replica, backlog.start, nobody()).expect("it is kept");
    assert_eq!(read_all(&log, &again).len(), read.len() - (read.len() - read_all_len(&log, backlog)));
    assert!(log.open(ReaderKind::Replica, log.end() + 1, nobody()).is_none(), "that is not written yet");
}

/// Characters that the backlog has, with line ends as one.
fn read_all_len(log: &Log, backlog: Backlog) -> usize {
    let reader = log.open(ReaderKind::Replica, backlog.start, nobody()).expect("it is kept");
    read_all(log, &reader).len()
}

#[test]
fn what_a_reader_has_taken_counts_until_it_reads_on() {
    let log = Log::default();
    let reader = log.open(ReaderKind::Replica, 0, nobody()).expect("the end");
    let value = "x".repeat(50_000);
    append(&log, 0, &["SET", "a", &value]);
    append(&log, 0, &["SET", "a", &value]);
    let block = log.read(&reader, u64::MAX).expect("a block, which is not kept any longer");
    assert_eq!((block.len() > 100_000, log.memory()), (true, block.len()));
    assert!(log.read(&reader, u64::MAX).is_none());
    assert_eq!(log.memory(), 0);
    append(&log, 0, &["DEL", "a"]);
    let kept = log.memory();
    let copy = log.read(&reader, u64::MAX).expect("what is not a block yet");
    assert_eq!(log.memory(), kept + copy.len());
    log.close(&reader);
    assert_eq!(log.memory(), 0);
}

#[test]
fn it_is_on_while_somebody_reads_or_may_come_back() {
    let log = Log::default();
    assert!(!log.is_on());
    let reader = log.open(ReaderKind::File, 0, nobody()).expect("the end");
    append(&log, 0, &["DEL", "a"]);
    assert!(log.is_on());
    log.keep_backlog(1);
    log.close(&reader);
    assert!(log.is_on());
    log.drop_backlog();
    assert!(!log.is_on());
    assert_eq!(log.memory(), 0);
    let end = log.end();
    assert!(end > 0, "offsets go on");
    log.restart(end + 1000);
    assert_eq!(log.end(), end + 1000);
    assert!(log.open(ReaderKind::Replica, end, nobody()).is_none());
}

#[test]
fn readers_are_told_once_for_what_was_appended_together() {
    let log = Log::default();
    let told = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&told);
    let wake = Box::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let reader = log.open(ReaderKind::Replica, 0, wake).expect("the end");
    log.wake_readers();
    append(&log, 0, &["DEL", "a"]);
    append(&log, 0, &["DEL", "b"]);
    log.wake_readers();
    log.wake_readers();
    assert_eq!(told.load(Ordering::Relaxed), 1);
    log.close(&reader);
}

#[test]
fn a_request_is_logged_as_it_came_or_in_the_same_form() {
    let log = Log::default();
    let reader = log.open(ReaderKind::File, 0, nobody()).expect("the end");
    let words = [b"set".as_slice(), b"a", b"1"];
    let mut sent = Vec::new();
    write_command(&mut sent, words.into_iter());
    let mut spans = Vec::new();
    let limits = crate::resp::RequestLimits { bulk_bytes_max: 100, authenticated: true };
    let parsed = crate::resp::parse_request(&sent, &mut Default::default(), &mut spans, &mut Vec::new(), &limits);
    assert_eq!(parsed, Ok(Some(sent.len())));
    log.append_request(0, Args::new(&sent, &spans));
    log.append_request(0, crate::resp::OwnedRequest::new(words.into_iter()).args());
    let expected = "*3 $3 set $1 a $1 1 ";
    assert_eq!(read_all(&log, &reader), format!("*2 $6 SELECT $1 0 {expected}{expected}"));
}

#[test]
fn memory_of_blocks_that_are_given_back_is_used_again() {
    let log = Log::default();
    let reader = log.open(ReaderKind::File, 0, nobody()).expect("the end");
    let value = "x".repeat(1000);
    let mut places = std::collections::HashSet::new();
    for _ in 0..100 {
        let end = log.end() + BLOCK_BYTES as u64;
        while log.end() < end {
            append(&log, 0, &["SET", "a", &value]);
        }
        while let Some(bytes) = log.read(&reader, u64::MAX) {
            assert!(bytes.ends_with(b"x\r\n"));
            if bytes.len() >= BLOCK_BYTES {
                places.insert(bytes.as_ptr());
            }
            log.give_back(bytes);
        }
    }
    assert!((1..5).contains(&places.len()), "{}", places.len());
    log.close(&reader);
    assert_eq!(log.memory(), 0);
}

#[test]
fn what_is_for_the_file_alone_has_no_offset_and_keeps_its_place() {
    let log = Log::default();
    let file = log.open(ReaderKind::File, 0, nobody()).expect("the end");
    let replica = log.open(ReaderKind::Replica, 0, nobody()).expect("the end");
    let mut effects = Effects::default();
    let mut add = |name, audience| delete(&mut effects, name, audience);
    add("a", Audience::All);
    add("r", Audience::Replicas);
    add("f", Audience::File);
    add("s", Audience::Replicas);
    add("g", Audience::File);
    add("h", Audience::File);
    add("z", Audience::All);
    log.append_all(&mut effects);
    assert_eq!(log.aside_bytes(), 3 * 20);
    let before = log.memory();
    let del = |names: &str| names.chars().map(|name| format!("*2 $3 DEL $1 {name} ")).collect::<String>();
    let whole = |names: &str| format!("*2 $6 SELECT $1 0 *1 $5 MULTI {}*1 $4 EXEC ", del(names));
    assert_eq!(read_all(&log, &replica), whole("arsz"));
    assert_eq!(replica.position(), log.end());
    assert_eq!(read_all(&log, &file), whole("afghz"));
    assert_eq!(file.position(), log.end());
    assert_eq!((log.aside_bytes(), log.memory()), (0, before - 3 * 20));

    // Alone, it is in a transaction, so that there is an offset to wait for.
    delete(&mut effects, "f", Audience::File);
    log.append_all(&mut effects);
    assert_eq!(read_all(&log, &replica), "*1 $5 MULTI *1 $4 EXEC ");
    assert_eq!(read_all(&log, &file), "*1 $5 MULTI *2 $3 DEL $1 f *1 $4 EXEC ");

    // Nobody reads it once the file is closed, not even another.
    delete(&mut effects, "f", Audience::File);
    log.append_all(&mut effects);
    log.close(&file);
    assert_eq!(log.aside_bytes(), 0);
    let file = log.open(ReaderKind::File, log.end(), nobody()).expect("the end");
    append(&log, 0, &["DEL", "b"]);
    assert_eq!(read_all(&log, &file), del("b"));
}

#[test]
fn effects_can_be_kept_from_all_but_the_file_or_replicas() {
    let log = Log::default();
    let file = log.open(ReaderKind::File, 0, nobody()).expect("the end");
    let replica = log.open(ReaderKind::Replica, 0, nobody()).expect("the end");
    let mut effects = Effects::default();
    delete(&mut effects, "a", Audience::All);
    delete(&mut effects, "b", Audience::All);
    delete(&mut effects, "r", Audience::Replicas);
    delete(&mut effects, "c", Audience::All);
    effects.restrict(1, Audience::File);
    assert_eq!(effects.len(), 3, "what was for replicas is for nobody");
    delete(&mut effects, "r", Audience::Replicas);
    delete(&mut effects, "d", Audience::All);
    effects.restrict(3, Audience::Replicas);
    effects.restrict(0, Audience::All);
    log.append_all(&mut effects);
    let has = |text: String| ["a", "b", "c", "d", "r"].map(|name| text.contains(&format!("DEL $1 {name} ")));
    assert_eq!(has(read_all(&log, &file)), [true, true, true, false, false]);
    assert_eq!(has(read_all(&log, &replica)), [true, false, false, true, true]);
}
