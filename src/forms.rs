//! In which forms collections are kept, as the configuration has it.

use crate::config::{Directive, FieldDeadlineFormat, Settings};
use crate::persistence::rdb::value::Limits;
use crate::persistence::rdb::{FieldDeadlines, Style};
use crate::state::State;
use crate::value::hash::HashRules;
use crate::value::list::ListLimits;
use crate::value::set::SetLimits;
use crate::value::stream::StreamLimits;
use crate::value::zset::ZsetLimits;
use std::sync::atomic::Ordering;

fn count(settings: &Settings, directive: Directive) -> usize {
    settings.int(directive) as usize
}

/// How values are written to files, to replicas and in payloads.
pub fn written(settings: &Settings) -> Style {
    let field_deadlines = match settings.choice(Directive::FieldDeadlineFormat) {
        FieldDeadlineFormat::Redis => FieldDeadlines::Redis,
        FieldDeadlineFormat::Valkey => FieldDeadlines::Valkey,
    };
    Style { compressed: settings.flag(Directive::Rdbcompression), field_deadlines }
}

pub fn list(state: &State) -> ListLimits {
    let large_min = state.list_large_min.load(Ordering::Relaxed);
    ListLimits::new(state.settings.int(Directive::ListMaxListpackSize), (large_min > 0).then_some(large_min))
}

pub fn set(settings: &Settings) -> SetLimits {
    SetLimits {
        integers_max: count(settings, Directive::SetMaxIntsetEntries),
        entries_max: count(settings, Directive::SetMaxListpackEntries),
        member_max: count(settings, Directive::SetMaxListpackValue),
    }
}

pub fn sorted_set(settings: &Settings) -> ZsetLimits {
    ZsetLimits {
        entries_max: count(settings, Directive::ZsetMaxListpackEntries),
        member_max: count(settings, Directive::ZsetMaxListpackValue),
    }
}

/// `now_ms`: milliseconds of Unix time, by which fields are over.
pub fn hash(settings: &Settings, now_ms: i64) -> HashRules {
    HashRules {
        packed_fields_max: count(settings, Directive::HashMaxListpackEntries),
        packed_bytes_max: count(settings, Directive::HashMaxListpackValue),
        now_ms,
    }
}

pub fn stream(settings: &Settings) -> StreamLimits {
    let setting = |directive| u64::try_from(settings.int(directive)).unwrap_or(0);
    let bytes_max = usize::try_from(setting(Directive::StreamNodeMaxBytes)).unwrap_or(0);
    StreamLimits::new(bytes_max, setting(Directive::StreamNodeMaxEntries))
}

/// All of them, for values that are read.
pub fn all(state: &State, now_ms: i64) -> Limits {
    Limits {
        list: list(state),
        set: set(&state.settings),
        sorted_set: sorted_set(&state.settings),
        stream: stream(&state.settings),
        hash: hash(&state.settings, now_ms),
    }
}
