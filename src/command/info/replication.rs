//! `INFO replication`: who follows whom, and how far.

use super::{Source, Text};
use crate::command::replication::place;
use crate::config::Directive;
use crate::replication::{Address, LinkState, Stage};
use crate::state::{State, unix_time_ms};

pub(super) fn write(source: &mut Source<'_>, text: &mut Text) {
    let state = source.state;
    let (replication, now_ms) = (&state.replication, unix_time_ms());
    match replication.primary() {
        None => text.field("role", "master"),
        Some(primary) => follower(state, text, &primary, now_ms),
    }
    let replicas = replication.replicas();
    text.field("connected_slaves", replicas.len());
    if state.settings.int(Directive::MinReplicasToWrite) > 0 && state.settings.int(Directive::MinReplicasMaxLag) > 0 {
        text.field("min_slaves_good_slaves", replication.good_replicas());
    }
    for (index, replica) in replicas.iter().enumerate() {
        let (ip, port) = place(replica);
        let lag = if replica.stage() == Stage::Online { (now_ms - replica.acknowledged_ms()) / 1000 } else { 0 };
        text.field(
            &format!("slave{index}"),
            format_args!(
                "ip={ip},port={port},state={},offset={},lag={lag}",
                replica.stage().name(),
                replica.acknowledged()
            ),
        );
    }
    text.field("replicas_waiting_psync", 0);
    let (history, backlog) = (replication.history(), state.log.backlog());
    text.field("master_failover_state", replication.failover.progress().name());
    text.field("master_replid", &history.id);
    text.field("master_replid2", &history.previous_id);
    text.field("master_repl_offset", state.log.end());
    text.field("second_repl_offset", history.previous_end.map_or(-1, |end| end as i64));
    text.field("repl_backlog_active", u8::from(backlog.is_some()));
    text.field("repl_backlog_size", state.settings.int(Directive::ReplBacklogSize));
    text.field("repl_backlog_first_byte_offset", backlog.map_or(0, |backlog| backlog.start + 1));
    text.field("repl_backlog_histlen", backlog.map_or(0, |backlog| backlog.len));
}

/// What a replica says of its primary.
fn follower(state: &State, text: &mut Text, primary: &Address, now_ms: i64) {
    let link = state.replication.link();
    let is_up = link.state == LinkState::Connected;
    let seconds_since = |then_ms: i64| if then_ms == 0 { -1 } else { (now_ms - then_ms) / 1000 };
    text.field("role", "slave");
    text.field("master_host", &primary.host);
    text.field("master_port", primary.port);
    text.field("master_link_status", if is_up { "up" } else { "down" });
    text.field("master_last_io_seconds_ago", if is_up { seconds_since(link.last_ms) } else { -1 });
    text.field("master_sync_in_progress", u8::from(link.state == LinkState::Transfer));
    text.field("slave_read_repl_offset", state.log.end() + link.ahead_bytes);
    text.field("slave_repl_offset", state.log.end());
    // What comes meanwhile waits at the primary.
    text.fields(&[
        ("replica_full_sync_buffer_size", 0),
        ("replica_full_sync_buffer_peak", 0),
        ("replicas_repl_buffer_size", 0),
        ("replicas_repl_buffer_peak", 0),
        ("master_current_sync_attempts", link.attempts),
        ("master_total_sync_attempts", link.attempts_in_all),
    ]);
    text.field("master_link_up_since_seconds", seconds_since(link.up_since_ms));
    text.field("total_disconnect_time_sec", link.down_ms / 1000);
    if link.state == LinkState::Transfer {
        let transfer = link.transfer;
        let total = transfer.total.unwrap_or(0);
        text.field("master_sync_total_bytes", total);
        text.field("master_sync_read_bytes", transfer.read);
        text.field(
            "master_sync_left_bytes",
            transfer.total.map_or(-1, |total| total.saturating_sub(transfer.read) as i64),
        );
        let percent = if total > 0 { transfer.read as f64 / total as f64 * 100.0 } else { 0.0 };
        text.field("master_sync_perc", format_args!("{percent:.2}"));
        text.field("master_sync_last_io_seconds_ago", seconds_since(transfer.last_ms));
    }
    if !is_up {
        text.field("master_link_down_since_seconds", seconds_since(link.down_since_ms));
    }
    text.field("slave_priority", state.settings.int(Directive::ReplicaPriority));
    text.field("slave_read_only", u8::from(state.settings.flag(Directive::ReplicaReadOnly)));
    text.field("replica_announced", u8::from(state.settings.flag(Directive::ReplicaAnnounced)));
}
