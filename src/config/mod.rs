//! The configuration: what directives there are ([`Directive`]), their values ([`Settings`]), and the ways in which
//! they are set: a file and arguments at start ([`Arguments`], [`Settings::start`]), CONFIG SET ([`Settings::set`]);
//! CONFIG REWRITE writes them back ([`Settings::rewrite_file`]).
//!
//! Nothing here knows of the server. What a change must bring about there is done by a function that the caller of
//! [`Settings::set`] passes in.
//!
//! ```
//! use radish::config::{Asker, Directive, MaxmemoryPolicy, Settings};
//!
//! let settings = Settings::new();
//! let asker = Asker { may_set_protected: false, is_loading: false };
//! let pairs = [(&b"maxmemory"[..], &b"100mb"[..]), (b"maxmemory-policy", b"allkeys-lfu")];
//! settings.set(pairs.into_iter(), asker, |_changed| Ok(())).unwrap();
//! assert_eq!(settings.int(Directive::Maxmemory), 100 << 20);
//! let policy: MaxmemoryPolicy = settings.choice(Directive::MaxmemoryPolicy);
//! assert_eq!(policy, MaxmemoryPolicy::AllkeysLfu);
//! ```

mod arguments;
mod change;
mod checks;
mod choices;
mod directive;
mod entry;
mod keyspace_events;
mod line;
mod load;
mod number;
mod output_limits;
mod proc_title;
mod rewrite;
mod settings;

use std::borrow::Cow;

pub use arguments::{Arguments, BUILD_ID, Invocation, version_line};
pub use change::{Asker, SetError};
pub use checks::error_text;
pub use choices::{
    AppendFsync, Choice, FieldDeadlineFormat, LogFormat, LogLevel, LogTimestampFormat, MaxmemoryPolicy, OomScoreAdj,
    PropagationErrorBehavior, ProtectedAction, ShutdownFlags, Supervised, SyslogFacility, TlsAuthClients,
};
pub use directive::Directive;
pub use entry::{Entry, Kind, Value};
pub use keyspace_events::{EventClass, EventClasses};
pub use line::{quote, split, trim};
pub use load::{DefinedUser, LoadError, Location, RenameCommand, Startup};
pub use number::{Unit, memory_size};
pub use output_limits::{ClientClass, OutputLimit, OutputLimits};
pub use proc_title::expand as expand_proc_title;
pub use rewrite::Rewrite;
pub use rewrite::replace_file;
pub use settings::{SavePoint, Settings};

/// Why a value is refused, in Redis' words.
pub type Reason = Cow<'static, str>;
