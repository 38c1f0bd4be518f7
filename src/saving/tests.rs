//! Saves on a disk that fails, and while data changes.

use super::*;
use crate::config::Settings;
use crate::loading::{self, Options};
use crate::persistence::disk::Disk;
use crate::persistence::disk::simulated::{Fault, SimulatedDisk};
use crate::spec::Table;
use crate::tree::NewPayload;
use crate::value::InlineKind;
use std::path::PathBuf;
use std::sync::Arc;

fn state(disk: &SimulatedDisk) -> State {
    let mut state = State::new(Settings::new(), Table::new(&[]).unwrap(), 4).unwrap();
    state.disk = Box::new(disk.clone());
    state
}

fn set(state: &State, key: &str, value: &str) {
    let key = state.keyspace.key(key.as_bytes());
    let payload = NewPayload::Inline { kind: InlineKind::Raw as u8, bytes: value.as_bytes() };
    state.keyspace.lock_one(state.keyspace.shard_of(key)).databases[1].put(key, payload, None, 0);
    state.stats.add(Figure::Changes, 1);
}

fn save_now(state: &State) -> Result<(), SaveFailed> {
    save(state, &state.keyspace.lock(state.keyspace.all_shards()), 0)
}

/// The keys that a server finds which starts now.
fn keys_found(disk: &SimulatedDisk) -> usize {
    let state = state(disk);
    let (file, _) = open(&state).unwrap();
    loading::load(&state, file, &mut &state.keyspace, Options::default()).unwrap();
    (0..state.keyspace.shard_count()).map(|shard| state.keyspace.lock_one(shard).databases[1].len()).sum()
}

#[test]
fn what_is_saved_survives_the_loss_of_power() {
    let disk = SimulatedDisk::default();
    let state = state(&disk);
    (0..1000).for_each(|number| set(&state, &format!("key:{number}"), "value"));
    save_now(&state).unwrap();
    disk.lose_power();
    assert_eq!(keys_found(&disk), 1000);
    assert_eq!(state.saving.unsaved(1000), 0);
}

#[test]
fn a_save_that_fails_leaves_the_file_before() {
    let disk = SimulatedDisk::default();
    let state = state(&disk);
    set(&state, "a", "1");
    save_now(&state).unwrap();
    let names = disk.names();
    (0..1000).for_each(|number| set(&state, &format!("key:{number}"), "value"));
    for fault in [Fault::ReadOnly, Fault::Full(100), Fault::Full(5000), Fault::Sync, Fault::Rename] {
        disk.set_fault(fault);
        save_now(&state).unwrap_err();
        assert_eq!(disk.names(), names, "{fault:?} leaves something behind");
        assert_eq!(keys_found(&disk), 1, "{fault:?}");
        disk.lose_power();
        assert_eq!(keys_found(&disk), 1, "{fault:?}");
        assert_eq!(state.saving.unsaved(1001), 1000);
    }
    disk.set_fault(Fault::Nothing);
    save_now(&state).unwrap();
    assert_eq!(keys_found(&disk), 1001);
}

/// Waits for the end of a save in the background.
fn wait(state: &State) {
    while state.saving.background.is_running() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn begin_in_background(state: &State) -> Result<(), Refusal> {
    save_in_background(state, &mut state.keyspace.lock(state.keyspace.all_shards()), 0)
}

#[test]
fn a_save_in_the_background_has_what_was_there_when_it_began() {
    let disk = SimulatedDisk::default();
    let state = Arc::new(state(&disk));
    assert_eq!(begin_in_background(&state), Err(Refusal::NotReady));
    start(Arc::clone(&state)).unwrap();
    (0..5000).for_each(|number| set(&state, &format!("key:{number}"), "value"));
    begin_in_background(&state).unwrap();
    (0..1000).for_each(|number| set(&state, &format!("later:{number}"), "value"));
    wait(&state);
    disk.lose_power();
    assert_eq!(keys_found(&disk), 5000);
    assert_eq!(state.saving.unsaved(6000), 1000);
    let figures = state.saving.background.figures();
    assert_eq!((figures.begun, figures.has_failed, figures.current_seconds), (1, false, -1));
}

#[test]
fn a_save_in_the_background_that_fails_is_remembered_until_one_is_well() {
    let disk = SimulatedDisk::default();
    let state = Arc::new(state(&disk));
    start(Arc::clone(&state)).unwrap();
    set(&state, "a", "1");
    for fault in [Fault::ReadOnly, Fault::Full(20), Fault::Sync, Fault::Rename] {
        disk.set_fault(fault);
        begin_in_background(&state).unwrap();
        wait(&state);
        assert!(state.saving.background.has_failed(), "{fault:?}");
        assert_eq!(disk.names(), [""; 0].map(PathBuf::from), "{fault:?} leaves something behind");
        disk.set_fault(Fault::Nothing);
        begin_in_background(&state).unwrap();
        wait(&state);
        assert!(!state.saving.background.has_failed());
        disk.remove(&disk.names()[0]).unwrap();
    }
}

#[test]
fn a_save_that_is_cancelled_leaves_the_file_before() {
    let disk = SimulatedDisk::default();
    let state = Arc::new(state(&disk));
    start(Arc::clone(&state)).unwrap();
    assert!(!cancel(&state));
    set(&state, "a", "1");
    save_now(&state).unwrap();
    (0..5000).for_each(|number| set(&state, &format!("key:{number}"), "value"));
    let asker = crate::config::Asker { may_set_protected: true, is_loading: false };
    let delay = [(b"rdb-key-save-delay".as_slice(), b"1000000".as_slice())];
    state.settings.set(delay.into_iter(), asker, |_| Ok(())).unwrap();
    begin_in_background(&state).unwrap();
    assert_eq!(begin_in_background(&state), Err(Refusal::Running));
    assert!(cancel(&state));
    stop(&state);
    assert!(!state.saving.background.is_running() && !state.saving.background.has_failed());
    assert_eq!(keys_found(&disk), 1);
    assert_eq!(disk.names().len(), 1);
    assert_eq!(state.saving.unsaved(5001), 5000);
}
