//! The table of all directives: those of Redis 7.2, Redis 8.2 and Valkey 9.1, and Radish's own.
//!
//! A directive is added here, and nowhere else: its constant in [`Directive`], its names, values, default and
//! traits come from its line. Where the defaults of the three servers differ, Valkey's is taken.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::checks;
use super::choices::*;
use super::entry::{Entry, Kind};
use super::number::Unit;

const INT_MIN: i64 = i32::MIN as i64;
const INT_MAX: i64 = i32::MAX as i64;
const UINT_MAX: i64 = u32::MAX as i64;
const MAX: i64 = i64::MAX;
const KB: i64 = 1 << 10;
const MB: i64 = 1 << 20;

// Why directives have no effect.
const ACCEPTING: &str = "connections are accepted between requests, as many as come";
const ACTIVE_DEFRAG: &str = "pages are compacted as they change, so there is nothing to defragment";
const CLUSTER: &str = "cluster mode is always off";
const COPY_AVOIDANCE: &str = "replies are written from where their values lie as it suits each of them";
const CPU_LIST: &str = "`pin-cpus` binds threads to processors";
const CRASH: &str = "a crash is reported and ends the process, no more";
const DIALECT: &str = "replies are always those of Redis";
const EXPIRY: &str = "expiry is exact and needs no tuning";
const HASH_TABLE: &str = "the keyspace is a tree: there is no hash table to resize";
const IO_THREADS: &str = "`threads` sets the number of threads, and each serves its connections whole";
const LAZY_FREE: &str = "whatever takes long to free is freed off the request path";
const ONE_LINK: &str = "a replica is fed over one connection, as fast as it takes what it is sent; what is written without end \
    goes to it together, a millisecond or two later";
const SCRIPTS: &str = "scripts see what those of Redis see by default";
const NOT_YET_TYPES: &str = "the data type is not there yet";
const NO_FORK: &str = "snapshots do not fork";
const PAGES: &str = "the keyspace is a tree of pages, each with a hash seed of its own";
const RDMA: &str = "there is no RDMA transport";
const TESTING: &str = "only the tests of the original servers need it";
const TLS_GROUPS: &str = "keys are exchanged over elliptic curves";
const TLS_RELOAD: &str = "`CONFIG SET` of `tls-cert-file` or its kin reads the files again";
const TLS_SESSIONS: &str = "a session is kept until others need its place";
const TLS_USERS: &str = "what a certificate says of a user is not looked at";
const TICK: &str = "nothing in the server waits for a tick";

macro_rules! directives {
    ($($(#[$doc:meta])* $variant:ident = $entry:expr;)+) => {
        /// A directive of the configuration.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Directive { $($(#[$doc])* $variant,)+ }

        impl Directive {
            /// Every directive, in the order of the table.
            pub const ALL: &'static [Directive] = &[$(Directive::$variant),+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();
        }

        static ENTRIES: [Entry; Directive::COUNT] = [$($entry),+];
    };
}

impl Directive {
    /// What the table says of the directive.
    pub fn entry(self) -> &'static Entry {
        &ENTRIES[self as usize]
    }

    /// The directive's first name.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// The directive of that name or alias, in any case, and the name it was found by, in lower case.
    pub fn find(name: &[u8]) -> Option<(Directive, &'static str)> {
        static NAMES: LazyLock<HashMap<&'static [u8], (Directive, &'static str)>> = LazyLock::new(|| {
            Directive::names().map(|(directive, name)| (name.as_bytes(), (directive, name))).collect()
        });
        NAMES.get(name.to_ascii_lowercase().as_slice()).copied()
    }

    /// Every name and alias.
    pub fn names() -> impl Iterator<Item = (Directive, &'static str)> {
        Directive::ALL.iter().flat_map(|directive| {
            let entry = directive.entry();
            std::iter::once(entry.name).chain(entry.alias).map(|name| (*directive, name))
        })
    }
}

directives! {
    // Radish's own.

    /// Threads that serve connections; 0 for one per core.
    Threads = Entry::integer("threads", 0, 0, 1024).immutable();
    /// Whether each thread stays on a core of its own.
    PinCpus = Entry::yes_no("pin-cpus", false).immutable();
    /// String values of more than so many bytes are kept compressed when that pays; 0 compresses none.
    CompressionThreshold = Entry::memory("compression-threshold", KB, 0, MAX);
    /// Seconds without access after which a string is compressed again that was changed or read in part.
    CompressionIdleTime = Entry::integer("compression-idle-time", 60, 0, 86400);
    /// In whose form files, copies for replicas and `DUMP` have hashes of which fields have deadlines.
    FieldDeadlineFormat = Entry::choice::<FieldDeadlineFormat>("field-deadline-format", FieldDeadlineFormat::Redis.number());

    // The HTTP gateway.

    /// Port of the HTTP gateway; 0 for none.
    HttpPort = Entry::integer("http-port", 0, 0, 65535);
    /// Addresses that it listens on; `-` before one that may be missing on this machine.
    HttpBind = Entry::list("http-bind", &["127.0.0.1", "-::1"], checks::bind);
    /// Whether it speaks TLS, with the certificates of `tls-port`.
    HttpTls = Entry::yes_no("http-tls", false);
    /// Seconds after which a connection without requests is closed.
    HttpKeepalive = Entry::integer("http-keepalive", 60, 1, 86400);
    /// Requests after which a connection is closed.
    HttpMaxRequests = Entry::integer("http-max-requests", 1000, 1, INT_MAX);
    /// Seconds that a client may take to send the head of a request, and between pieces of its body.
    HttpTimeout = Entry::integer("http-timeout", 10, 1, 3600);
    /// Bytes of a request's body, and of a message of a WebSocket.
    HttpMaxBody = Entry::memory("http-max-body", 16 * MB, KB, 512 * MB);
    /// Origins of pages that may use the gateway; `*` for any, none by default.
    HttpCorsOrigin = Entry::list("http-cors-origin", &[], checks::origins);

    // Metrics.

    /// Keys whose lengths `/metrics` tells: patterns, for a database other than 0 with `dbN=` in front.
    MetricsQueues = Entry::list("metrics-queues", &[], checks::queues);

    // Listening and connections.

    /// Port of the TCP listener; 0 for none.
    Port = Entry::integer("port", 6379, 0, 65535);
    /// Addresses to listen on; `-` before one that may be missing on this machine.
    Bind = Entry::list("bind", &["*", "-::*"], checks::bind);
    /// Address from which outgoing connections are made.
    BindSourceAddr = Entry::text("bind-source-addr", "");
    /// Path of the Unix socket; empty for none.
    Unixsocket = Entry::text("unixsocket", "").immutable();
    /// Mode of the Unix socket; 0 leaves it to the umask.
    Unixsocketperm = Entry::number("unixsocketperm", 0, 0, 0o777, Unit::Octal).immutable();
    /// Group of the Unix socket.
    Unixsocketgroup = Entry::text("unixsocketgroup", "").immutable();
    /// Connections that may wait to be accepted.
    TcpBacklog = Entry::integer("tcp-backlog", 511, 0, INT_MAX).immutable();
    /// Seconds after which an idle connection is probed; 0 for never.
    TcpKeepalive = Entry::integer("tcp-keepalive", 300, 0, INT_MAX);
    /// Seconds after which an idle client is closed; 0 for never.
    Timeout = Entry::integer("timeout", 0, 0, INT_MAX);
    /// Clients connected at a time.
    Maxclients = Entry::integer("maxclients", 10000, 1, UINT_MAX);
    /// Refuses clients from other machines as long as there is no password.
    ProtectedMode = Entry::yes_no("protected-mode", true);
    /// Firewall mark of the listening sockets; 0 for none.
    SocketMarkId = Entry::integer("socket-mark-id", 0, 0, UINT_MAX).immutable();
    MaxNewConnectionsPerCycle = Entry::integer("max-new-connections-per-cycle", 10, 1, 1000)
        .without_effect(ACCEPTING);
    MaxNewTlsConnectionsPerCycle = Entry::integer("max-new-tls-connections-per-cycle", 1, 1, 1000).without_effect(ACCEPTING);
    Mptcp = Entry::yes_no("mptcp", false).immutable().without_effect("connections are plain TCP");
    ReplMptcp = Entry::yes_no("repl-mptcp", false).immutable().without_effect("connections are plain TCP");
    /// Password of the default user; empty for none.
    Requirepass = Entry::text("requirepass", "").sensitive();
    /// Bytes of one argument.
    ProtoMaxBulkLen = Entry::memory("proto-max-bulk-len", 512 * MB, MB, MAX);
    /// Bytes of unread requests that a client may pile up.
    ClientQueryBufferLimit = Entry::memory("client-query-buffer-limit", 1024 * MB, MB, MAX);
    /// Bytes of unread replies that a client of each class may pile up.
    ClientOutputBufferLimit = Entry::special("client-output-buffer-limit", Kind::OutputLimits);
    /// Memory of all clients together, in bytes or as a share of `maxmemory`; 0 for no limit.
    MaxmemoryClients = Entry::number("maxmemory-clients", 0, -100, MAX, Unit::MemoryOrPercent);
    IoThreads = Entry::integer("io-threads", 1, 1, 128).immutable().without_effect(IO_THREADS);
    IoThreadsDoReads = Entry::yes_no("io-threads-do-reads", false).immutable().without_effect(IO_THREADS);
    IoThreadsAlwaysActive = Entry::yes_no("io-threads-always-active", false).hidden().without_effect(IO_THREADS);
    PrefetchBatchMaxSize = Entry::integer("prefetch-batch-max-size", 16, 0, 128)
        .without_effect("all requests that have arrived are prefetched together");
    MinIoThreadsAvoidCopyReply = Entry::integer("min-io-threads-avoid-copy-reply", 7, 0, INT_MAX)
        .hidden().without_effect(COPY_AVOIDANCE);
    MinStringSizeAvoidCopyReply = Entry::integer("min-string-size-avoid-copy-reply", 16384, 0, INT_MAX)
        .hidden().without_effect(COPY_AVOIDANCE);
    MinStringSizeAvoidCopyReplyThreaded = Entry::integer("min-string-size-avoid-copy-reply-threaded", 65536, 0, INT_MAX)
        .hidden().without_effect(COPY_AVOIDANCE);
    TrackingTableMaxKeys = Entry::integer("tracking-table-max-keys", 1000000, 0, MAX);

    // The process.

    /// Runs in the background.
    Daemonize = Entry::yes_no("daemonize", false).immutable();
    /// File that holds the process id; empty for none.
    Pidfile = Entry::text("pidfile", "").immutable();
    /// How the process that started the server learns that it is up.
    Supervised = Entry::choice::<Supervised>("supervised", Supervised::No.number()).immutable();
    /// Working directory.
    Dir = Entry::special("dir", Kind::Directory).protected().denied_while_loading();
    /// Whether the process shows `proc-title-template` as its name.
    SetProcTitle = Entry::yes_no("set-proc-title", true).immutable();
    /// Name of the process in `ps`.
    ProcTitleTemplate = Entry::checked(
        "proc-title-template", "{title} {listen-addr} {server-mode}", checks::proc_title_template);
    /// Whether the logo is logged even where the log is not a terminal.
    AlwaysShowLogo = Entry::yes_no("always-show-logo", false).immutable();
    /// Least important messages that are logged.
    Loglevel = Entry::choice::<LogLevel>("loglevel", LogLevel::Notice.number());
    /// File that the log is appended to; empty for stdout.
    Logfile = Entry::text("logfile", "").immutable();
    /// Shape of a line of the log.
    LogFormat = Entry::choice::<LogFormat>("log-format", LogFormat::Legacy.number());
    /// How a line of the log says when.
    LogTimestampFormat = Entry::choice::<LogTimestampFormat>("log-timestamp-format", LogTimestampFormat::Legacy.number());
    HideUserDataFromLog = Entry::yes_no("hide-user-data-from-log", true)
        .without_effect("keys and values are never logged");
    /// Whether messages go to syslog too.
    SyslogEnabled = Entry::yes_no("syslog-enabled", false).immutable();
    /// Name of the server in syslog.
    SyslogIdent = Entry::text("syslog-ident", "redis").immutable();
    SyslogFacility = Entry::choice::<SyslogFacility>("syslog-facility", SyslogFacility::Local0.number()).immutable();
    CrashLogEnabled = Entry::yes_no("crash-log-enabled", true);
    CrashMemcheckEnabled = Entry::yes_no("crash-memcheck-enabled", true).without_effect(CRASH);
    UseExitOnPanic = Entry::yes_no("use-exit-on-panic", false).hidden().without_effect(CRASH);
    WatchdogPeriod = Entry::integer("watchdog-period", 0, 0, INT_MAX).hidden();
    DebugContext = Entry::text("debug-context", "").hidden().without_effect(TESTING);
    EnableDebugAssert = Entry::yes_no("enable-debug-assert", false).immutable().hidden().without_effect(TESTING);
    /// Warnings at start that do not stop it, by name.
    IgnoreWarnings = Entry::text("ignore-warnings", "").without_effect("no warning stops the start");
    /// Whether the kernel's out-of-memory score of the process is set.
    OomScoreAdj = Entry::choice::<OomScoreAdj>("oom-score-adj", OomScoreAdj::No.number());
    /// Out-of-memory scores of a primary, a replica and a background child.
    OomScoreAdjValues = Entry::list("oom-score-adj-values", &["0", "200", "800"], checks::oom_score_adj_values);
    /// Whether transparent huge pages are turned off for the process. Redis does so because it forks; here they halve
    /// the cost of a random access.
    DisableThp = Entry::yes_no("disable-thp", false).immutable();
    /// Whether the allocator gives memory back from a thread of its own.
    JemallocBgThread = Entry::yes_no("jemalloc-bg-thread", true);
    /// Seconds that a shutdown waits for replicas.
    ShutdownTimeout = Entry::integer("shutdown-timeout", 10, 0, INT_MAX);
    ShutdownOnSigint = Entry::shutdown_flags("shutdown-on-sigint", ShutdownFlags::NAMES);
    ShutdownOnSigterm = Entry::shutdown_flags("shutdown-on-sigterm", ShutdownFlags::NAMES);
    /// Who may set protected directives.
    EnableProtectedConfigs = Entry::choice::<ProtectedAction>("enable-protected-configs", ProtectedAction::No.number()).immutable();
    /// Who may use DEBUG.
    EnableDebugCommand = Entry::choice::<ProtectedAction>("enable-debug-command", ProtectedAction::No.number()).immutable();
    /// Who may use MODULE to load what cannot be loaded.
    EnableModuleCommand = Entry::choice::<ProtectedAction>("enable-module-command", ProtectedAction::No.number()).immutable();
    ServerCpulist = Entry::text("server-cpulist", "").alias("server_cpulist").immutable().without_effect(CPU_LIST);
    BioCpulist = Entry::text("bio-cpulist", "").alias("bio_cpulist").immutable().without_effect(CPU_LIST);
    AofRewriteCpulist = Entry::text("aof-rewrite-cpulist", "").alias("aof_rewrite_cpulist").immutable().without_effect(NO_FORK);
    BgsaveCpulist = Entry::text("bgsave-cpulist", "").alias("bgsave_cpulist").immutable().without_effect(NO_FORK);
    /// Place of the server, as HELLO and INFO tell it.
    AvailabilityZone = Entry::text("availability-zone", "");
    LocaleCollate = Entry::text("locale-collate", "").without_effect("texts are ordered by their bytes");
    ExtendedRedisCompatibility = Entry::yes_no("extended-redis-compatibility", false).without_effect(DIALECT);
    Hz = Entry::integer("hz", 10, 0, INT_MAX).clamped(1, 500).without_effect(TICK);
    DynamicHz = Entry::yes_no("dynamic-hz", true).without_effect(TICK);

    // The keyspace and its memory.

    /// Number of databases.
    Databases = Entry::integer("databases", 16, 1, INT_MAX).immutable();
    /// Bytes of memory that data may use; 0 for no limit.
    Maxmemory = Entry::memory("maxmemory", 0, 0, MAX);
    /// What gives way when they are used up.
    MaxmemoryPolicy = Entry::choice::<MaxmemoryPolicy>("maxmemory-policy", MaxmemoryPolicy::Noeviction.number());
    /// Keys among which an eviction chooses.
    MaxmemorySamples = Entry::integer("maxmemory-samples", 5, 1, 64);
    /// For how long a command evicts keys before it leaves the rest to the background: see `eviction`.
    MaxmemoryEvictionTenacity = Entry::integer("maxmemory-eviction-tenacity", 10, 0, 100);
    /// How many accesses it takes to count one more in LFU.
    LfuLogFactor = Entry::integer("lfu-log-factor", 10, 0, INT_MAX);
    /// Minutes after which an LFU counter loses one.
    LfuDecayTime = Entry::integer("lfu-decay-time", 1, 0, INT_MAX);
    LazyfreeLazyEviction = Entry::yes_no("lazyfree-lazy-eviction", true).without_effect(LAZY_FREE);
    LazyfreeLazyExpire = Entry::yes_no("lazyfree-lazy-expire", true).without_effect(LAZY_FREE);
    LazyfreeLazyServerDel = Entry::yes_no("lazyfree-lazy-server-del", true).without_effect(LAZY_FREE);
    LazyfreeLazyUserDel = Entry::yes_no("lazyfree-lazy-user-del", true).without_effect(LAZY_FREE);
    /// Whether FLUSHALL and FLUSHDB are ASYNC unless they say SYNC.
    LazyfreeLazyUserFlush = Entry::yes_no("lazyfree-lazy-user-flush", false);
    ActiveExpireEffort = Entry::integer("active-expire-effort", 1, 1, 10).without_effect(EXPIRY);
    LazyexpireNestedArbitraryKeys = Entry::yes_no("lazyexpire-nested-arbitrary-keys", true).hidden().without_effect(EXPIRY);
    /// Whether expired keys stay, for a client that imports data.
    ImportMode = Entry::yes_no("import-mode", false).without_effect("a client that imports sees expired keys no more than others do");
    Activerehashing = Entry::yes_no("activerehashing", true).without_effect(HASH_TABLE);
    HashSeed = Entry::text("hash-seed", "").immutable().without_effect(PAGES);
    Activedefrag = Entry::yes_no("activedefrag", false).without_effect(ACTIVE_DEFRAG);
    ActiveDefragCycleMin = Entry::integer("active-defrag-cycle-min", 1, 1, 99).without_effect(ACTIVE_DEFRAG);
    ActiveDefragCycleMax = Entry::integer("active-defrag-cycle-max", 25, 1, 99).without_effect(ACTIVE_DEFRAG);
    ActiveDefragCycleUs = Entry::integer("active-defrag-cycle-us", 500, 0, 100000).without_effect(ACTIVE_DEFRAG);
    ActiveDefragThresholdLower = Entry::integer("active-defrag-threshold-lower", 10, 0, 1000).without_effect(ACTIVE_DEFRAG);
    ActiveDefragThresholdUpper = Entry::integer("active-defrag-threshold-upper", 100, 0, 1000).without_effect(ACTIVE_DEFRAG);
    ActiveDefragIgnoreBytes = Entry::memory("active-defrag-ignore-bytes", 100 * MB, 1, MAX).without_effect(ACTIVE_DEFRAG);
    ActiveDefragMaxScanFields = Entry::integer("active-defrag-max-scan-fields", 1000, 1, MAX).without_effect(ACTIVE_DEFRAG);
    /// Classes of events that are published, as letters.
    NotifyKeyspaceEvents = Entry::special("notify-keyspace-events", Kind::KeyspaceEvents);

    // Data types.

    /// Size of a node of a list: elements, or -1 to -5 for 4 to 64 KB.
    ListMaxListpackSize = Entry::integer("list-max-listpack-size", -2, INT_MIN, INT_MAX).alias("list-max-ziplist-size");
    ListCompressDepth = Entry::integer("list-compress-depth", 0, 0, INT_MAX)
        .without_effect("the nodes of a list are not compressed");
    HashMaxListpackEntries = Entry::integer("hash-max-listpack-entries", 512, 0, MAX)
        .alias("hash-max-ziplist-entries");
    HashMaxListpackValue = Entry::memory("hash-max-listpack-value", 64, 0, MAX)
        .alias("hash-max-ziplist-value");
    /// Members of a set of integers at most.
    SetMaxIntsetEntries = Entry::integer("set-max-intset-entries", 512, 0, MAX);
    /// Members of a packed set at most.
    SetMaxListpackEntries = Entry::integer("set-max-listpack-entries", 128, 0, MAX);
    /// Bytes of a member of a packed set at most.
    SetMaxListpackValue = Entry::integer("set-max-listpack-value", 64, 0, MAX);
    /// Members of a packed sorted set at most.
    ZsetMaxListpackEntries = Entry::integer("zset-max-listpack-entries", 128, 0, MAX)
        .alias("zset-max-ziplist-entries");
    /// Bytes of a member of a packed sorted set at most.
    ZsetMaxListpackValue = Entry::memory("zset-max-listpack-value", 64, 0, MAX)
        .alias("zset-max-ziplist-value");
    /// Bytes of a sparse HyperLogLog at most.
    HllSparseMaxBytes = Entry::memory("hll-sparse-max-bytes", 3000, 0, MAX);
    StreamNodeMaxBytes = Entry::memory("stream-node-max-bytes", 4096, 0, MAX);
    StreamNodeMaxEntries = Entry::integer("stream-node-max-entries", 100, 0, MAX);
    VsetForceSingleThreadedExecution = Entry::yes_no("vset-force-single-threaded-execution", false)
        .without_effect(NOT_YET_TYPES);

    // What is watched and kept for the operator.

    /// Microseconds from which a command is logged as slow; -1 for none.
    SlowlogLogSlowerThan = Entry::integer("slowlog-log-slower-than", 10000, -1, MAX).alias("commandlog-execution-slower-than");
    /// Slow commands that are kept.
    SlowlogMaxLen = Entry::integer("slowlog-max-len", 128, 0, MAX).alias("commandlog-slow-execution-max-len");
    /// Bytes from which a request is logged as large; -1 for none.
    CommandlogRequestLargerThan = Entry::integer("commandlog-request-larger-than", MB, -1, MAX);
    /// Large requests that are kept.
    CommandlogLargeRequestMaxLen = Entry::integer("commandlog-large-request-max-len", 128, 0, MAX);
    /// Bytes from which a reply is logged as large; -1 for none.
    CommandlogReplyLargerThan = Entry::integer("commandlog-reply-larger-than", MB, -1, MAX);
    /// Large replies that are kept.
    CommandlogLargeReplyMaxLen = Entry::integer("commandlog-large-reply-max-len", 128, 0, MAX);
    /// Milliseconds from which an event is kept for LATENCY; 0 for none.
    LatencyMonitorThreshold = Entry::integer("latency-monitor-threshold", 0, 0, MAX);
    /// Whether the times that each command takes are kept as percentiles.
    LatencyTracking = Entry::yes_no("latency-tracking", true);
    /// Percentiles that INFO latencystats shows.
    LatencyTrackingInfoPercentiles =
        Entry::list("latency-tracking-info-percentiles", &["50", "99", "99.9"], checks::percentiles);

    // Users.

    Aclfile = Entry::text("aclfile", "").immutable();
    AclPubsubDefault = Entry::words("acl-pubsub-default", 1, &[("allchannels", 0), ("resetchannels", 1)]);
    AcllogMaxLen = Entry::integer("acllog-max-len", 128, 0, MAX);

    // Scripts.

    /// Milliseconds after which a script counts as too slow and others are answered BUSY; 0 for never.
    BusyReplyThreshold = Entry::integer("busy-reply-threshold", 5000, 0, MAX).alias("lua-time-limit");
    LuaEnableDeprecatedApi = Entry::yes_no("lua-enable-deprecated-api", false).immutable().hidden();
    LuaEnableInsecureApi = Entry::yes_no("lua-enable-insecure-api", false).hidden().without_effect(SCRIPTS);

    // Persistence.

    /// Pairs of seconds and changes after which the data is saved.
    Save = Entry::list("save", &["3600", "1", "300", "100", "60", "10000"], checks::save_points);
    Dbfilename = Entry::checked("dbfilename", "dump.rdb", checks::dbfilename).protected();
    Rdbcompression = Entry::yes_no("rdbcompression", true);
    Rdbchecksum = Entry::yes_no("rdbchecksum", true).immutable();
    RdbVersionCheck = Entry::words("rdb-version-check", 0, &[("strict", 0), ("relaxed", 1)]);
    RdbDelSyncFiles = Entry::yes_no("rdb-del-sync-files", false);
    RdbSaveIncrementalFsync = Entry::yes_no("rdb-save-incremental-fsync", true);
    RdbKeySaveDelay = Entry::integer("rdb-key-save-delay", 0, INT_MIN, INT_MAX).hidden();
    KeyLoadDelay = Entry::integer("key-load-delay", 0, INT_MIN, INT_MAX).hidden();
    LoadingProcessEventsIntervalBytes = Entry::integer("loading-process-events-interval-bytes", 2 * MB, 1024, INT_MAX)
        .hidden();
    StopWritesOnBgsaveError = Entry::yes_no("stop-writes-on-bgsave-error", true);
    SanitizeDumpPayload = Entry::words("sanitize-dump-payload", 0, &[("no", 0), ("yes", 1), ("clients", 2)])
        .without_effect("what is loaded is always checked");
    Appendonly = Entry::yes_no("appendonly", false).denied_while_loading();
    Appendfilename = Entry::checked("appendfilename", "appendonly.aof", checks::appendfilename).immutable();
    Appenddirname = Entry::checked("appenddirname", "appendonlydir", checks::appenddirname).immutable();
    Appendfsync = Entry::choice::<AppendFsync>("appendfsync", AppendFsync::Everysec.number());
    NoAppendfsyncOnRewrite = Entry::yes_no("no-appendfsync-on-rewrite", false);
    AutoAofRewritePercentage = Entry::integer("auto-aof-rewrite-percentage", 100, 0, INT_MAX);
    AutoAofRewriteMinSize = Entry::memory("auto-aof-rewrite-min-size", 64 * MB, 0, MAX);
    AofLoadTruncated = Entry::yes_no("aof-load-truncated", true);
    AofUseRdbPreamble = Entry::yes_no("aof-use-rdb-preamble", true);
    AofTimestampEnabled = Entry::yes_no("aof-timestamp-enabled", false);
    AofRewriteIncrementalFsync = Entry::yes_no("aof-rewrite-incremental-fsync", true).without_effect("a new base is synced once it is whole");
    AofDisableAutoGc = Entry::yes_no("aof-disable-auto-gc", false).hidden();

    // Replication.

    Replicaof = Entry::list("replicaof", &[], checks::replicaof).alias("slaveof").immutable().left_out_if_empty();
    Masterauth = Entry::text("masterauth", "").alias("primaryauth").sensitive();
    Masteruser = Entry::text("masteruser", "").alias("primaryuser").sensitive();
    ReplicaServeStaleData = Entry::yes_no("replica-serve-stale-data", true)
        .alias("slave-serve-stale-data");
    ReplicaReadOnly = Entry::yes_no("replica-read-only", true).alias("slave-read-only");
    ReplicaIgnoreMaxmemory = Entry::yes_no("replica-ignore-maxmemory", true)
        .alias("slave-ignore-maxmemory");
    ReplicaLazyFlush = Entry::yes_no("replica-lazy-flush", true).alias("slave-lazy-flush");
    ReplicaPriority = Entry::integer("replica-priority", 100, 0, INT_MAX).alias("slave-priority");
    ReplicaAnnounced = Entry::yes_no("replica-announced", true);
    ReplicaAnnounceIp = Entry::text("replica-announce-ip", "").alias("slave-announce-ip");
    ReplicaAnnouncePort = Entry::integer("replica-announce-port", 0, 0, 65535)
        .alias("slave-announce-port");
    ReplicaIgnoreDiskWriteErrors = Entry::yes_no("replica-ignore-disk-write-errors", false);
    ReplicaFullSyncBufferLimit = Entry::memory("replica-full-sync-buffer-limit", 0, 0, MAX).without_effect(ONE_LINK);
    MinReplicasToWrite = Entry::integer("min-replicas-to-write", 0, 0, INT_MAX)
        .alias("min-slaves-to-write");
    MinReplicasMaxLag = Entry::integer("min-replicas-max-lag", 10, 0, INT_MAX)
        .alias("min-slaves-max-lag");
    ReplBacklogSize = Entry::memory("repl-backlog-size", 10 * MB, 1, MAX);
    ReplBacklogTtl = Entry::integer("repl-backlog-ttl", 3600, 0, MAX);
    ReplTimeout = Entry::integer("repl-timeout", 60, 1, INT_MAX);
    ReplPingReplicaPeriod = Entry::integer("repl-ping-replica-period", 10, 1, INT_MAX)
        .alias("repl-ping-slave-period");
    ReplDisableTcpNodelay = Entry::yes_no("repl-disable-tcp-nodelay", false).without_effect(ONE_LINK);
    ReplDisklessSync = Entry::yes_no("repl-diskless-sync", true);
    ReplDisklessSyncDelay = Entry::integer("repl-diskless-sync-delay", 5, 0, INT_MAX);
    ReplDisklessSyncMaxReplicas = Entry::integer("repl-diskless-sync-max-replicas", 0, 0, INT_MAX);
    ReplDisklessLoad = Entry::words("repl-diskless-load", 0,
        &[("disabled", 0), ("on-empty-db", 1), ("swapdb", 2), ("flush-before-load", 3)])
        .denied_while_loading();
    ReplRdbChannel = Entry::yes_no("repl-rdb-channel", true).hidden().without_effect(ONE_LINK);
    DualChannelReplicationEnabled = Entry::yes_no("dual-channel-replication-enabled", false).without_effect(ONE_LINK);
    PropagationErrorBehavior = Entry::choice::<PropagationErrorBehavior>(
        "propagation-error-behavior", PropagationErrorBehavior::Ignore.number());

    // Cluster mode.

    ClusterEnabled = Entry::yes_no("cluster-enabled", false).immutable().unsupported(CLUSTER);
    ClusterConfigFile = Entry::text("cluster-config-file", "nodes.conf").immutable().without_effect(CLUSTER);
    ClusterConfigSaveBehavior = Entry::words("cluster-config-save-behavior", 0, &[("sync", 0), ("best-effort", 1)]).without_effect(CLUSTER);
    ClusterPort = Entry::integer("cluster-port", 0, 0, 65535).immutable().without_effect(CLUSTER);
    ClusterNodeTimeout = Entry::integer("cluster-node-timeout", 15000, 0, MAX).without_effect(CLUSTER);
    ClusterPingInterval = Entry::integer("cluster-ping-interval", 0, 0, MAX).hidden().without_effect(CLUSTER);
    ClusterMessageGossipPerc = Entry::integer("cluster-message-gossip-perc", 10, 1, 100).hidden().without_effect(CLUSTER);
    ClusterBlacklistTtl = Entry::integer("cluster-blacklist-ttl", 60, 0, UINT_MAX).without_effect(CLUSTER);
    ClusterDatabases = Entry::integer("cluster-databases", 1, 1, INT_MAX).immutable().without_effect(CLUSTER);
    ClusterManualFailoverTimeout = Entry::integer("cluster-manual-failover-timeout", 5000, 1, INT_MAX).without_effect(CLUSTER);
    ClusterMigrationBarrier = Entry::integer("cluster-migration-barrier", 1, 0, INT_MAX).without_effect(CLUSTER);
    ClusterAllowReplicaMigration = Entry::yes_no("cluster-allow-replica-migration", true).without_effect(CLUSTER);
    ClusterReplicaValidityFactor = Entry::integer("cluster-replica-validity-factor", 10, 0, INT_MAX)
        .alias("cluster-slave-validity-factor").without_effect(CLUSTER);
    ClusterReplicaNoFailover = Entry::yes_no("cluster-replica-no-failover", false)
        .alias("cluster-slave-no-failover").without_effect(CLUSTER);
    ClusterRequireFullCoverage = Entry::yes_no("cluster-require-full-coverage", true).without_effect(CLUSTER);
    ClusterAllowReadsWhenDown = Entry::yes_no("cluster-allow-reads-when-down", false).without_effect(CLUSTER);
    ClusterAllowPubsubshardWhenDown = Entry::yes_no("cluster-allow-pubsubshard-when-down", true).without_effect(CLUSTER);
    ClusterLinkSendbufLimit = Entry::memory("cluster-link-sendbuf-limit", 0, 0, MAX).without_effect(CLUSTER);
    ClusterSlotStatsEnabled = Entry::yes_no("cluster-slot-stats-enabled", false).without_effect(CLUSTER);
    ClusterSlotMigrationLogMaxLen = Entry::integer("cluster-slot-migration-log-max-len", 1000, 0, MAX).without_effect(CLUSTER);
    SlotMigrationMaxFailoverReplBytes = Entry::memory("slot-migration-max-failover-repl-bytes", 0, -1, MAX).without_effect(CLUSTER);
    ClusterCompatibilitySampleRatio = Entry::integer("cluster-compatibility-sample-ratio", 0, 0, 100).without_effect(CLUSTER);
    ClusterPreferredEndpointType = Entry::words("cluster-preferred-endpoint-type", 0,
        &[("ip", 0), ("hostname", 1), ("unknown-endpoint", 2)]).without_effect(CLUSTER);
    ClusterAnnounceIp = Entry::text("cluster-announce-ip", "").without_effect(CLUSTER);
    ClusterAnnouncePort = Entry::integer("cluster-announce-port", 0, 0, 65535).without_effect(CLUSTER);
    ClusterAnnounceBusPort = Entry::integer("cluster-announce-bus-port", 0, 0, 65535).without_effect(CLUSTER);
    ClusterAnnounceTlsPort = Entry::integer("cluster-announce-tls-port", 0, 0, 65535).without_effect(CLUSTER);
    ClusterAnnounceHostname = Entry::checked("cluster-announce-hostname", "", checks::hostname).without_effect(CLUSTER);
    ClusterAnnounceHumanNodename = Entry::checked("cluster-announce-human-nodename", "", checks::node_name).without_effect(CLUSTER);
    ClusterAnnounceClientIpv4 = Entry::checked("cluster-announce-client-ipv4", "", checks::ipv4).without_effect(CLUSTER);
    ClusterAnnounceClientIpv6 = Entry::checked("cluster-announce-client-ipv6", "", checks::ipv6).without_effect(CLUSTER);
    ClusterAnnounceClientPort = Entry::integer("cluster-announce-client-port", 0, 0, 65535).without_effect(CLUSTER);
    ClusterAnnounceClientTlsPort = Entry::integer("cluster-announce-client-tls-port", 0, 0, 65535).without_effect(CLUSTER);

    // TLS and RDMA.

    TlsPort = Entry::integer("tls-port", 0, 0, 65535);
    TlsCluster = Entry::yes_no("tls-cluster", false);
    TlsReplication = Entry::yes_no("tls-replication", false);
    TlsAuthClients = Entry::choice::<TlsAuthClients>("tls-auth-clients", TlsAuthClients::Yes.number());
    TlsAuthClientsUser = Entry::words("tls-auth-clients-user", 2, &[("CN", 0), ("URI", 1), ("off", 2)]).unsupported(TLS_USERS);
    TlsAutoReloadInterval = Entry::integer("tls-auto-reload-interval", 0, 0, INT_MAX).without_effect(TLS_RELOAD);
    TlsPreferServerCiphers = Entry::yes_no("tls-prefer-server-ciphers", false);
    TlsSessionCaching = Entry::yes_no("tls-session-caching", true);
    TlsSessionCacheSize = Entry::integer("tls-session-cache-size", 20480, 0, INT_MAX);
    TlsSessionCacheTimeout = Entry::integer("tls-session-cache-timeout", 300, 0, INT_MAX).without_effect(TLS_SESSIONS);
    TlsCertFile = Entry::text("tls-cert-file", "").names_content();
    TlsKeyFile = Entry::text("tls-key-file", "").names_content();
    TlsKeyFilePass = Entry::text("tls-key-file-pass", "").sensitive();
    TlsClientCertFile = Entry::text("tls-client-cert-file", "").names_content();
    TlsClientKeyFile = Entry::text("tls-client-key-file", "").names_content();
    TlsClientKeyFilePass = Entry::text("tls-client-key-file-pass", "").sensitive();
    TlsDhParamsFile = Entry::text("tls-dh-params-file", "").without_effect(TLS_GROUPS);
    TlsCaCertFile = Entry::text("tls-ca-cert-file", "").names_content();
    TlsCaCertDir = Entry::text("tls-ca-cert-dir", "").names_content();
    TlsProtocols = Entry::text("tls-protocols", "");
    TlsCiphers = Entry::text("tls-ciphers", "");
    TlsCiphersuites = Entry::text("tls-ciphersuites", "");
    RdmaPort = Entry::integer("rdma-port", 0, 0, 65535).unsupported(RDMA);
    RdmaBind = Entry::text("rdma-bind", "").without_effect(RDMA);
    RdmaRxSize = Entry::integer("rdma-rx-size", MB, 65536, 16 * MB).immutable().without_effect(RDMA);
    RdmaCompletionVector = Entry::integer("rdma-completion-vector", -1, -1, 1024).immutable().without_effect(RDMA);
}

/// Directives of the past that are accepted in files and mean nothing any more.
pub(super) const RETIRED: [&str; 4] =
    ["list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands", "events-per-io-thread"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::entry::Value;
    use crate::config::{Settings, line};

    #[test]
    fn names_are_unique_and_in_lower_case() {
        let mut names: Vec<_> = Directive::names().map(|(_, name)| name).collect();
        assert!(
            names
                .iter()
                .all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || b"-_0123456789".contains(&byte)))
        );
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(Directive::find(b"MaxMemory"), Some((Directive::Maxmemory, "maxmemory")));
        assert_eq!(Directive::find(b"slave-priority"), Some((Directive::ReplicaPriority, "slave-priority")));
        assert_eq!(Directive::find(b"nope"), None);
    }

    /// What CONFIG GET prints, CONFIG SET takes; and what CONFIG REWRITE writes reads back.
    #[test]
    fn defaults_read_back_from_what_is_printed_and_written() {
        let settings = Settings::new();
        for directive in Directive::ALL {
            let entry = directive.entry();
            let value = settings.load(*directive);
            let printed = entry.format(&value);
            if !matches!(&value, Value::List(words) if words.is_empty()) {
                let words: Vec<_> = printed.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect();
                let words = if entry.takes_many() { words } else { vec![printed] };
                assert_eq!(entry.parse(&words, &value).as_ref(), Ok(&value), "{}", entry.name);
            }
            for rewritten in entry.rewrite(&value) {
                let words = line::split(&rewritten.line).unwrap();
                assert_eq!(words[0], entry.name.as_bytes());
                assert!(*directive == Directive::Save || entry.parse(&words[1..], &value).as_ref() == Ok(&value));
            }
        }
    }

    #[test]
    fn values_as_in_redis() {
        let must_be = "argument(s) must be one of the following: ";
        let policies = "volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction";
        let policies = format!("{must_be}{policies}");
        let flags = format!("{must_be}default, save, nosave, now, force, safe, failover");
        let cases: &[(&str, &str, Result<&str, &str>)] = &[
            ("appendonly", "no", Ok("no")),
            ("rdbcompression", "NO", Ok("no")),
            ("rdbcompression", "maybe", Err("argument must be 'yes' or 'no'")),
            ("port", "0", Ok("0")),
            ("port", "99999", Err("argument must be between 0 and 65535 inclusive")),
            ("timeout", " 1", Err("argument couldn't be parsed into an integer")),
            ("maxmemory", "100MB", Ok("104857600")),
            ("maxmemory", "x", Err("argument must be a memory value")),
            ("maxmemory", "-1", Err("argument must be a memory value")),
            ("maxmemory-clients", "10%", Ok("10%")),
            ("maxmemory-clients", "1mb", Ok("1048576")),
            ("maxmemory-clients", "200%", Err("percentage argument must be less or equal to 100")),
            ("maxmemory-clients", "-10", Err("argument must be a memory or percent value")),
            ("unixsocketperm", "0755", Ok("755")),
            ("unixsocketperm", "1000", Err("argument must be between 0 and 777 inclusive")),
            ("unixsocketperm", "888", Err("argument couldn't be parsed as an octal number")),
            ("hz", "1000", Ok("500")),
            ("hz", "0", Ok("1")),
            ("maxmemory-policy", "Allkeys-LRU", Ok("allkeys-lru")),
            ("maxmemory-policy", "LRU", Err(&policies)),
            ("oom-score-adj", "relative", Ok("yes")),
            ("shutdown-on-sigint", "nosave force now", Ok("nosave now force")),
            ("shutdown-on-sigint", "default", Ok("default")),
            ("shutdown-on-sigint", "", Err(&flags)),
            ("shutdown-on-sigint", "save nosave", Err("shutdown options SAVE and NOSAVE can't be used simultaneously")),
            ("notify-keyspace-events", "KEA", Ok("AKE")),
            ("notify-keyspace-events", "Kq", Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")),
            ("proc-title-template", "{bad}", Err("template format is invalid or contains unknown variables")),
        ];
        for (name, text, expected) in cases {
            let (directive, _) = Directive::find(name.as_bytes()).unwrap();
            let entry = directive.entry();
            let words: Vec<_> = match entry.takes_many() {
                true => text.split(' ').map(|word| word.as_bytes().to_vec()).collect(),
                false => vec![text.as_bytes().to_vec()],
            };
            let parsed = entry.parse(&words, &entry.default_value()).and_then(|value| match entry.refusal(&value) {
                Some(reason) => Err(reason.into()),
                None => Ok(value),
            });
            let printed = parsed.map(|value| entry.format(&value));
            let printed = printed.map(|printed| String::from_utf8(printed).unwrap());
            assert_eq!(printed.as_deref().map_err(|reason| reason.as_ref()), *expected, "{name} {text}");
        }
    }
}
