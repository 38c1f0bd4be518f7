#!/usr/bin/env python3
"""Compares the command table with those of other servers: `compat/command_table.py [SERVER]`.

Every command of Valkey 9.1, Redis 8.2 and Redis 7.0 must be there, unless ABSENT gives a reason. What COMMAND INFO says about it
is compared field by field; with Valkey also what COMMAND DOCS tells, and COMMAND's replies in both protocols. A difference is a
failure unless DIFFERENCES gives its reason, and so is a reason that no longer explains anything.
"""

import fnmatch
import socket
import subprocess
import sys
import tempfile
import time

import peers

PEERS = ["valkey-9.1", "redis-8.2", "redis-7.0"]
DOCS_FIELDS = ["since", "group", "deprecated_since", "doc_flags", "arguments"]
FIELDS = ["name", "arity", "flags", "first key", "last key", "key step", "ACL categories", "tips", "key specs"]

# Commands (may be patterns) that are not there, and why.
ABSENT = [
    ("V*", "vector sets"),
]

# Peer, command, field (all may be patterns), and why Radish differs.
DIFFERENCES = [
    ("valkey-9.1", "multi", "flags", "its own error inside MULTI, which clients match on"),
    ("valkey-9.1", "watch", "flags", "its own error inside MULTI, which clients match on"),
    ("valkey-9.1", "bitcount", "arguments", "an end is required after a start, as in Redis"),
    ("valkey-9.1", "bitop", "arguments", "the operations of Redis 8.2"),
    ("valkey-9.1", "xadd", "arguments", "the options of Redis 8.2"),
    ("valkey-9.1", "xtrim", "arguments", "the options of Redis 8.2"),
    ("valkey-9.1", "cluster|migrateslots", "arguments", "not told in full: there is no cluster"),
    ("valkey-9.1", "script|debug", "ar*", "there are no engines but Lua"),
    ("*", "prefix*", "exists", "Radish's own: no other server keeps its keys in a tree"),
    ("*", "hotkeys*", "exists", "new in Redis 8.6"),
    ("*", "xackdel", "exists", "new in Redis 8.2"),
    ("*", "xdelex", "exists", "new in Redis 8.2"),
    ("redis-*", "delifeq", "exists", "new in Valkey 9.0"),
    ("redis-*", "msetex", "exists", "new in Valkey 9.1"),
    ("redis-*", "commandlog*", "exists", "new in Valkey 8.1"),
    ("redis-*", "client|capa", "exists", "new in Valkey 8.0"),
    ("redis-*", "client|import-source", "exists", "new in Valkey 8.1"),
    ("redis-*", "client|*", "flags", "allowed while a script is busy since Valkey 8.0; REPLY not inside MULTI"),
    ("redis-*", "select", "flags", "allowed while a script is busy since Valkey 8.0"),
    ("redis-*", "script|exists", "flags", "allowed on stale data since Valkey 8.0"),
    ("redis-*", "script|flush", "flags", "allowed on stale data since Valkey 8.0"),
    ("redis-*", "script|show", "exists", "new in Valkey 8.0"),
    ("redis-*", "exec", "flags", "Valkey's name for skip_slowlog"),
    ("redis-*", "memory|malloc-stats", "flags", "allowed while loading since Valkey 9.0"),
    ("redis-*", "memory|purge", "flags", "allowed while loading since Valkey 9.0"),
    ("redis-*", "cluster*migrat*", "exists", "new in Valkey 9.0"),
    ("redis-*", "cluster|flushslot", "exists", "new in Valkey 9.0"),
    ("redis-*", "cluster|syncslots", "exists", "new in Valkey 9.0"),
    ("redis-*", "clusterscan", "exists", "new in Valkey 9.1"),
    ("redis-*", "cluster|replicate", "arity", "NO ONE is new in Valkey 9.0"),
    ("redis-*", "cluster|*", "flags", "allowed while loading since Valkey 9.1"),
    ("redis-7.0", "cluster|myshardid", "exists", "new in Redis 7.2"),
    ("redis-7.0", "cluster|slot-stats", "exists", "new in Valkey 8.0 and Redis 8.2"),
    ("redis-*", "georadius*", "key specs", "as Valkey: what the options are that name keys is variable"),
    ("redis-8.2", "h*ttl", "tips", "as Valkey: what is told is the same in each run, but for the time"),
    ("redis-8.2", "hsetex", "key specs", "as Valkey"),
    ("redis-7.0", "h*ex*", "exists", "deadlines of fields are new in Redis 7.4"),
    ("redis-7.0", "h*ttl", "exists", "deadlines of fields are new in Redis 7.4"),
    ("redis-7.0", "hpersist", "exists", "deadlines of fields are new in Redis 7.4"),
    ("redis-7.0", "hgetdel", "exists", "new in Redis 8.0"),
    ("redis-7.0", "sinterstore", "key specs", "corrected in 7.2"),
    ("redis-7.0", "client|no-touch", "exists", "new in 7.2"),
    ("redis-7.0", "client|setinfo", "exists", "new in 7.2"),
    ("redis-7.0", "bl*", "flags", "scripts may run blocking commands since 7.2"),
    ("redis-7.0", "br*", "flags", "scripts may run blocking commands since 7.2"),
    ("redis-7.0", "bz*", "flags", "scripts may run blocking commands since 7.2"),
    ("redis-7.0", "zrank", "arity", "WITHSCORE was added in 7.2"),
    ("redis-7.0", "zrevrank", "arity", "WITHSCORE was added in 7.2"),
    ("redis-7.0", "command|getkeys*", "arity", "a command without arguments is one since 7.2"),
    ("redis-7.0", "acl|*", "tips", "added in 7.2"),
    ("redis-7.0", "client|setname", "tips", "added in 7.2"),
    ("redis-7.0", "config|re*", "tips", "added in 7.2"),
    ("redis-7.0", "latency|reset", "tips", "corrected in 7.2"),
    ("redis-7.0", "msetnx", "tips", "corrected in 7.2"),
    ("redis-7.0", "wait", "*", "scripts may call it since 7.2, and it is said to block"),
    ("redis-7.0", "waitaof", "exists", "new in 7.2"),
    ("redis-7.0", "randomkey", "tips", "corrected in 7.2"),
    ("redis-7.0", "scan", "tips", "corrected in 7.2"),
]


class Text(str):
    """A status reply, told apart from a bulk string."""


class Set(tuple):
    """A set reply, told apart from an array."""


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.socket.makefile("rb")

    def __call__(self, *words):
        request = [b"*%d\r\n" % len(words)] + [b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words]
        self.socket.sendall(b"".join(request))
        return self.reply()

    def reply(self):
        line = self.file.readline()[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return Text(rest.decode())
        if kind == b"-":
            return Exception(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"_" or rest == b"-1":
            return None
        length = int(rest)
        if kind == b"$":
            return self.file.read(length + 2)[:-2].decode()
        if kind == b"%":
            return {self.reply(): self.reply() for _ in range(length)}
        elements = [self.reply() for _ in range(length)]
        return Set(elements) if kind == b"~" else elements


class Server:
    """A running server without data."""

    def __init__(self, binary):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.directory = tempfile.TemporaryDirectory()
        arguments = ["--port", str(self.port), "--save", "", "--dir", self.directory.name]
        self.process = subprocess.Popen([binary, *arguments], stdout=subprocess.DEVNULL)

    def __enter__(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                return Connection(self.port)
            except ConnectionRefusedError:
                time.sleep(0.05)
        self.__exit__()
        raise peers.Missing(f"{self.process.args[0]} does not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.directory.cleanup()


def flatten(infos):
    """Entries of COMMAND INFO by name, subcommands beside their containers."""
    found = {}
    for info in infos:
        found[info[0]] = info[:9]
        found.update(flatten(info[9]))
    return found


def without_words(value):
    """A reply without the sentences in it, which are each server's own."""
    if isinstance(value, dict):
        own = ("summary", "complexity", "history", "notes")
        return {key: without_words(inner) for key, inner in value.items() if key not in own}
    if isinstance(value, (list, Set)):
        return type(value)(without_words(inner) for inner in value)
    return value


def documentation(server):
    """What COMMAND DOCS says that is not sentences, by command and field."""
    found = {}
    for name, docs in server("COMMAND", "DOCS").items():
        for each, entry in {name: docs, **docs.get("subcommands", {})}.items():
            found[each] = {field: without_words(entry.get(field)) for field in DOCS_FIELDS}
    return found


def compare(mine, theirs):
    """Differences as (command, field, here, there)."""
    for name in theirs.keys() - mine.keys():
        yield name, "is missing", False, True
    for name, entry in mine.items():
        if name not in theirs:
            yield name, "exists", True, False
            continue
        for field, here, there in zip(FIELDS, without_words(entry), without_words(theirs[name])):
            if here != there:
                yield name, field, here, there


def compare_documentation(mine, theirs):
    for name in mine.keys() & theirs.keys():
        for field in DOCS_FIELDS:
            if mine[name][field] != theirs[name][field]:
                yield name, field, mine[name][field], theirs[name][field]


def contradictions(server):
    """Where the ways to ask for all commands do not agree."""
    infos = server("COMMAND", "INFO")
    names = sorted(info[0] for info in infos)
    for request, expected in [("COUNT", len(names)), ("LIST", sorted(flatten(infos))), ("DOCS", names)]:
        told = server("COMMAND", request)
        told = told if request == "COUNT" else sorted(told)
        if told != expected:
            yield f"COMMAND {request}", "the same commands", told, expected


def compare_replies(mine, theirs, missing):
    """Replies of COMMAND and errors before any handler; requests that name a command in `missing` are left out."""
    requests = [
        "COMMAND INFO get nosuch client|id client|nosuch get|key config|get|key",
        "COMMAND LIST FILTERBY PATTERN GET*|x",
        "COMMAND LIST FILTERBY MODULE x",
        "COMMAND LIST FILTERBY ACLCAT nosuch",
        "COMMAND LIST FILTERBY",
        "COMMAND LIST FILTERBY x y",
        "COMMAND LIST x",
        "COMMAND DOCS nosuch",
        "COMMAND GETKEYS",
        "COMMAND GETKEYS get",
        "COMMAND GETKEYS get a b",
        "COMMAND GETKEYS nosuch a",
        "COMMAND GETKEYS ping",
        "COMMAND GETKEYS client",
        "COMMAND GETKEYS client nosuch",
        "COMMAND GETKEYS object encoding a",
        "COMMAND GETKEYS memory usage a",
        "COMMAND GETKEYS spublish a b",
        "COMMAND GETKEYS mset a 1 b 2",
        "COMMAND GETKEYS mset a 1 b",
        "COMMAND GETKEYS blpop a b 0",
        "COMMAND GETKEYS lmpop 2 a b left",
        "COMMAND GETKEYS lmpop 0 a left",
        "COMMAND GETKEYS lmpop 5 a left",
        "COMMAND GETKEYS lmpop x a left",
        "COMMAND GETKEYS msetex 2 a 1 b 2",
        "COMMAND GETKEYS bitop and a",
        "COMMAND GETKEYS bitop and a b c",
        "COMMAND GETKEYSANDFLAGS set a b",
        "COMMAND GETKEYSANDFLAGS set a b ex 10 get",
        "COMMAND GETKEYSANDFLAGS lmove a b left right",
        "COMMAND GETKEYSANDFLAGS bitfield a get u8 0 overflow fail",
        "COMMAND GETKEYSANDFLAGS bitfield a get u8 0 set u8 0 1",
        "COMMAND HELP x",
        "COMMAND nosuch",
        "NOSUCH a b",
        "CLIENT nosuch x",
        "CLIENT",
        "CLIENT KILL",
        "GET",
    ]
    requests = [request for request in requests if missing.isdisjoint(request.lower().replace("|", " ").split())]
    for protocol in "2", "3":
        mine("HELLO", protocol), theirs("HELLO", protocol)
        for request in requests:
            here, there = (repr(without_words(server(*request.split()))) for server in (mine, theirs))
            if here != there:
                yield f"{request} (RESP{protocol})", "reply", here, there


def reason(peer, command, field):
    """The place and the text of the reason for a difference, if there is one."""
    if field == "is missing":
        found = ((pattern, text) for pattern, text in ABSENT if fnmatch.fnmatchcase(command, pattern))
        return next(found, (None, None))
    for index, (peers_, commands, fields, text) in enumerate(DIFFERENCES):
        if all(map(fnmatch.fnmatchcase, (peer, command, field), (peers_, commands, fields))):
            return index, text
    return None, None


def main():
    if len(sys.argv) > 2:
        sys.exit(__doc__)
    used, failures, explained = set(), 0, 0
    with Server(peers.server_under_test(sys.argv[1] if len(sys.argv) == 2 else None)) as radish:
        radish("HELLO", "3")
        mine, mine_documentation = flatten(radish("COMMAND", "INFO")), documentation(radish)
        for peer in PEERS:
            with Server(peers.PEERS[peer]()) as other:
                other("HELLO", "3")
                theirs = flatten(other("COMMAND", "INFO"))
                found = list(compare(mine, theirs))
                if peer == PEERS[0]:
                    found += contradictions(radish)
                    found += compare_documentation(mine_documentation, documentation(other))
                    found += compare_replies(radish, other, theirs.keys() - mine.keys())
                    radish("HELLO", "3")
            for name, field, here, there in found:
                index, text = reason(peer, name, field)
                used.add(index)
                explained += text is not None
                if text is None:
                    failures += 1
                    print(f"{peer}: {name}: {field}\n    here  {here}\n    there {there}")
    for index, difference in enumerate(DIFFERENCES):
        # A command that is not here yet cannot differ yet.
        if index not in used and any(fnmatch.fnmatchcase(name, difference[1]) for name in mine):
            failures += 1
            print("no longer needed:", difference)
    for absent, text in ABSENT:
        if absent not in used:
            # What was pending may have come since.
            failures += not text.startswith("pending")
            print(f"not absent any more: {absent} ({text})")
    print(f"{len(mine)} commands compared with {', '.join(PEERS)}: {explained} known differences, {failures} failures")
    sys.exit(failures != 0)


if __name__ == "__main__":
    try:
        main()
    except peers.Missing as missing:
        sys.exit(str(missing))
