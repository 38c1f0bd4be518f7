//! Records of the keyspace as those of a file.

use crate::access;
use crate::config::{Directive, MaxmemoryPolicy, Settings};
use crate::forms;
use crate::persistence::pieces::Pieces;
use crate::persistence::rdb::file::{Usage, write};
use crate::persistence::rdb::{FieldDeadlines, Style};
use crate::state::unix_time_ms;
use crate::value::ValueRef;

/// What the records of a file say of their use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UsageKept {
    Nothing,
    Idle,
    Frequency { decay_minutes: i64 },
}

/// Makes records of a file, as the configuration has it now.
pub struct Encoder {
    usage_kept: UsageKept,
    style: Style,
    now_ms: i64,
}

impl Encoder {
    pub fn new(settings: &Settings) -> Self {
        let usage_kept = match settings.choice(Directive::MaxmemoryPolicy) {
            MaxmemoryPolicy::AllkeysLru | MaxmemoryPolicy::VolatileLru => UsageKept::Idle,
            MaxmemoryPolicy::AllkeysLfu | MaxmemoryPolicy::VolatileLfu => {
                UsageKept::Frequency { decay_minutes: settings.int(Directive::LfuDecayTime) }
            }
            _ => UsageKept::Nothing,
        };
        Encoder { usage_kept, style: forms::written(settings), now_ms: unix_time_ms() }
    }

    /// In whose form the records are of hashes of which fields have deadlines.
    pub fn field_deadlines(&self) -> FieldDeadlines {
        self.style.field_deadlines
    }

    /// Appends a record.
    #[inline]
    pub fn record(&self, out: &mut Pieces<'_>, key: &[u8], deadline_ms: Option<i64>, clock: u32, value: ValueRef<'_>) {
        let usage = match self.usage_kept {
            UsageKept::Nothing => None,
            UsageKept::Idle => Some(Usage::Idle(access::seconds_since(clock, self.now_ms).into())),
            UsageKept::Frequency { decay_minutes } => {
                let counter = access::decayed_frequency(clock, self.now_ms, decay_minutes);
                Some(Usage::Frequency(counter as u8))
            }
        };
        write::record(out, key, deadline_ms, usage, value, self.style);
    }
}
