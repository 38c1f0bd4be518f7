//! Keyspace events: what can be told of a key (`notify-keyspace-events`), each with the class that it is asked for by.

use super::EventClass;
use super::EventClass::{Evicted, Expired, Generic, Hash, KeyMiss, List, New, Set, SortedSet, Stream, String};

/// Something that happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub class: EventClass,
    /// As subscribers read it.
    pub name: &'static str,
}

const fn event(class: EventClass, name: &'static str) -> Event {
    Event { class, name }
}

impl Event {
    pub const KEY_MISS: Event = event(KeyMiss, "keymiss");
    pub const NEW: Event = event(New, "new");
    pub const EXPIRED: Event = event(Expired, "expired");
    pub const EVICTED: Event = event(Evicted, "evicted");

    pub const DEL: Event = event(Generic, "del");
    pub const EXPIRE: Event = event(Generic, "expire");
    pub const PERSIST: Event = event(Generic, "persist");
    pub const RENAME_FROM: Event = event(Generic, "rename_from");
    pub const RENAME_TO: Event = event(Generic, "rename_to");
    pub const MOVE_FROM: Event = event(Generic, "move_from");
    pub const MOVE_TO: Event = event(Generic, "move_to");
    pub const RESTORE: Event = event(Generic, "restore");
    pub const COPY_TO: Event = event(Generic, "copy_to");

    pub const SET: Event = event(String, "set");
    pub const APPEND: Event = event(String, "append");
    pub const SETRANGE: Event = event(String, "setrange");
    pub const SETBIT: Event = event(String, "setbit");
    pub const INCRBY: Event = event(String, "incrby");
    pub const INCRBYFLOAT: Event = event(String, "incrbyfloat");
    pub const PFADD: Event = event(String, "pfadd");

    pub const LPUSH: Event = event(List, "lpush");
    pub const RPUSH: Event = event(List, "rpush");
    pub const LPOP: Event = event(List, "lpop");
    pub const RPOP: Event = event(List, "rpop");
    pub const LSET: Event = event(List, "lset");
    pub const LINSERT: Event = event(List, "linsert");
    pub const LREM: Event = event(List, "lrem");
    pub const LTRIM: Event = event(List, "ltrim");
    pub const SORTSTORE: Event = event(List, "sortstore");

    pub const SADD: Event = event(Set, "sadd");
    pub const SREM: Event = event(Set, "srem");
    pub const SPOP: Event = event(Set, "spop");
    pub const SINTERSTORE: Event = event(Set, "sinterstore");
    pub const SUNIONSTORE: Event = event(Set, "sunionstore");
    pub const SDIFFSTORE: Event = event(Set, "sdiffstore");

    pub const ZADD: Event = event(SortedSet, "zadd");
    pub const ZINCR: Event = event(SortedSet, "zincr");
    pub const ZREM: Event = event(SortedSet, "zrem");
    pub const ZREMRANGEBYRANK: Event = event(SortedSet, "zremrangebyrank");
    pub const ZREMRANGEBYSCORE: Event = event(SortedSet, "zremrangebyscore");
    pub const ZREMRANGEBYLEX: Event = event(SortedSet, "zremrangebylex");
    pub const ZPOPMIN: Event = event(SortedSet, "zpopmin");
    pub const ZPOPMAX: Event = event(SortedSet, "zpopmax");
    pub const ZRANGESTORE: Event = event(SortedSet, "zrangestore");
    pub const ZUNIONSTORE: Event = event(SortedSet, "zunionstore");
    pub const ZINTERSTORE: Event = event(SortedSet, "zinterstore");
    pub const ZDIFFSTORE: Event = event(SortedSet, "zdiffstore");
    pub const GEOSEARCHSTORE: Event = event(SortedSet, "geosearchstore");
    pub const GEORADIUSSTORE: Event = event(SortedSet, "georadiusstore");

    pub const XADD: Event = event(Stream, "xadd");
    pub const XDEL: Event = event(Stream, "xdel");
    pub const XTRIM: Event = event(Stream, "xtrim");
    pub const XSETID: Event = event(Stream, "xsetid");
    pub const XGROUP_CREATE: Event = event(Stream, "xgroup-create");
    pub const XGROUP_SETID: Event = event(Stream, "xgroup-setid");
    pub const XGROUP_DESTROY: Event = event(Stream, "xgroup-destroy");
    pub const XGROUP_CREATECONSUMER: Event = event(Stream, "xgroup-createconsumer");
    pub const XGROUP_DELCONSUMER: Event = event(Stream, "xgroup-delconsumer");

    pub const HSET: Event = event(Hash, "hset");
    pub const HDEL: Event = event(Hash, "hdel");
    pub const HEXPIRE: Event = event(Hash, "hexpire");
    pub const HEXPIRED: Event = event(Hash, "hexpired");
    pub const HPERSIST: Event = event(Hash, "hpersist");
    pub const HINCRBY: Event = event(Hash, "hincrby");
    pub const HINCRBYFLOAT: Event = event(Hash, "hincrbyfloat");
}
