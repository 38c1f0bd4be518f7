//! What [`Keys`](super::Keys) catches, and records used together.

use super::*;
use crate::config::Settings;
use crate::spec::Table;

fn with_keys(work: impl FnOnce(&mut Keys<'_>)) {
    let state = State::new(Settings::new(), Table::new(&[]).unwrap(), 1).unwrap();
    let locked = state.keyspace.lock(state.keyspace.all_shards());
    work(&mut Keys::new(locked, &state, 0, 1000, false, Foreknown::nothing()));
}

fn put(keys: &mut Keys<'_>, key: &[u8], deadline: Option<i64>) -> Found {
    keys.put(key, NewPayload::Inline { kind: InlineKind::Raw as u8, bytes: key }, deadline)
}

fn string(keys: &Keys<'_>, found: Found) -> Vec<u8> {
    keys.value(found).as_string().unwrap().as_slice(&mut Vec::new()).to_vec()
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "after another was looked up")]
fn a_record_is_not_used_after_another_was_looked_up() {
    with_keys(|keys| {
        put(keys, b"a", None);
        let found = keys.peek(b"a").unwrap();
        keys.peek(b"b");
        keys.value(found);
    });
}

#[test]
fn records_that_are_looked_up_together_are_used_together() {
    with_keys(|keys| {
        put(keys, b"a", None);
        put(keys, b"over", Some(500));
        put(keys, b"b", None);
        let names = [b"a".as_slice(), b"over", b"b", b"a"];
        let founds = keys.each(names, Keys::read);
        assert!(founds[1].is_none());
        let values = [0, 2, 3].map(|index| string(keys, founds[index].unwrap()));
        assert_eq!(values, [b"a", b"b", b"a"]);
        assert_eq!(keys.state.stats.get(Figure::KeyspaceHits), 3);
    });
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "told nobody")]
fn a_change_must_be_told() {
    with_keys(|keys| {
        put(keys, b"a", None);
        keys.settle("set");
    });
}

#[test]
fn a_change_that_was_told_is_settled() {
    with_keys(|keys| {
        put(keys, b"a", None);
        keys.changed(b"a", Event::SET);
        keys.settle("set");
        assert_eq!(keys.changes(), 1);
    });
}
