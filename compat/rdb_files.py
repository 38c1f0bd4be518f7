#!/usr/bin/env python3
"""Database files between Radish and other servers: `compat/rdb_files.py [--server BINARY] [--seed N] [--keys N]`.

Random data of all types, in forms small and large, is saved by one server and loaded by the other, both ways for each of Redis
7.0, Redis 8.2 and Valkey 9.1, with and without compression, with access times and frequencies; and one follows the other while fields
of hashes have deadlines. Digests of all data, deadlines of
keys and, where both have them, of fields must be equal then, and redis-check-rdb must have no complaint.
"""

import argparse
import random
import shutil
import subprocess
import sys
import time

import peers
import server

PEERS = ["redis-7.0", "redis-8.2", "valkey-9.1"]
# What files may say of the use of keys, and how strings are written.
SETTINGS = [("noeviction", "yes"), ("allkeys-lru", "no"), ("volatile-lfu", "yes")]
YEAR_MS = 365 * 86_400_000


def text(rng):
    """A short text, an integer, zeros, or something long."""
    return rng.choice(
        [
            lambda: bytes(rng.randrange(256) for _ in range(rng.randrange(40))),
            lambda: b"%d" % rng.choice([0, -1, 127, 128, 32768, -(2**31), 2**31, 2**63 - 1, rng.randrange(10**6)]),
            lambda: b"%032d" % rng.randrange(1000),
            lambda: b"word " * rng.randrange(1, 100),
            lambda: rng.randbytes(rng.randrange(3000)),
        ]
    )()


def fill(client, rng, keys, now_ms, has_field_deadlines):
    """Adds random keys."""
    for number in range(keys):
        if number % 50 == 0:
            client.ask("SELECT", rng.choice([0, 0, 1, 9]))
        key = b"key:%d:%s" % (number, text(rng)[:60])
        size = rng.choice([1, 3, 20, 100, 600])
        kind = rng.choice(["string", "string", "list", "set", "integers", "zset", "hash", "stream", "hll"])
        if kind == "string":
            client.ask("SET", key, text(rng))
        elif kind == "list":
            client.ask("RPUSH", key, *(text(rng) for _ in range(size)))
        elif kind == "set":
            client.ask("SADD", key, *(text(rng) for _ in range(size)))
        elif kind == "integers":
            span = rng.choice([100, 10**6, 2**62])
            client.ask("SADD", key, *(rng.randrange(-span, span) for _ in range(size)))
        elif kind == "zset":
            # Redis 7.0 prints other scores in digests with more digits.
            scores = ["inf", "-inf", "0", "1.5", "-3", "1000000"]
            client.ask("ZADD", key, *(word for _ in range(size) for word in (rng.choice(scores), text(rng))))
        elif kind == "hash":
            fields = {b"f%d" % index: text(rng) for index in range(size)}
            client.ask("HSET", key, *(word for pair in fields.items() for word in pair))
            if has_field_deadlines and rng.random() < 0.5:
                some = rng.sample(sorted(fields), rng.randrange(1, size + 1))
                client.ask("HPEXPIREAT", key, now_ms + rng.randrange(YEAR_MS), "FIELDS", len(some), *some)
        elif kind == "stream":
            add_stream(client, rng, key, size)
        elif kind == "hll":
            client.ask("PFADD", key, *(text(rng) for _ in range(size)))
        if rng.random() < 0.3:
            client.ask("PEXPIREAT", key, now_ms + YEAR_MS + rng.randrange(YEAR_MS))


def add_stream(client, rng, key, size):
    """A stream with groups, entries that are pending or gone, and entries of other fields."""
    for entry in range(1, size + 1):
        fields = ["a", "b"] if rng.random() < 0.8 else ["c"]
        client.ask("XADD", key, f"{entry}-{rng.randrange(9)}", *(word for name in fields for word in (name, text(rng))))
    client.ask("XGROUP", "CREATE", key, "some", "0")
    client.ask("XGROUP", "CREATE", key, "none", "$")
    for consumer in ["one", "two"]:
        client.ask("XREADGROUP", "GROUP", "some", consumer, "COUNT", rng.randrange(1, 20), "STREAMS", key, ">")
    entries = client.ask("XRANGE", key, "-", "+", "COUNT", 20)
    gone = rng.sample([entry[0] for entry in entries], rng.randrange(len(entries)))
    if gone:
        client.ask("XDEL", key, *gone)
        client.ask("XACK", key, "some", *gone[:5])


def facts(client, has_field_deadlines):
    """What can be told of all data: digests, and what they leave out."""
    told = {"digest": client.ask("DEBUG", "DIGEST")}
    for database in [0, 1, 9]:
        client.ask("SELECT", database)
        for key in sorted(client.ask("KEYS", "*")):
            about = [client.ask("PEXPIRETIME", key), client.ask("TYPE", key)]
            if about[1] == b"hash" and has_field_deadlines:
                fields = sorted(client.ask("HKEYS", key))
                about.append(client.ask("HPEXPIRETIME", key, "FIELDS", len(fields), *fields))
            elif about[1] == b"stream":
                about.append(client.ask("XRANGE", key, "-", "+"))
                about.append(client.ask("XPENDING", key, "some", "-", "+", "1000"))
                about[-1] = [entry[:2] + entry[3:] for entry in about[-1]]
            told[database, key] = about
    return told


def move(source, target, has_field_deadlines, checked):
    """Saves in one server and loads in the other; what is told of the data there and here."""
    there, here = server.Client(source.connect()), server.Client(target.connect())
    there.ask("SAVE")
    path = source.directory / "dump.rdb"
    if checked:
        done = subprocess.run([peers.redis_tools()["redis-check-rdb"], path], stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            return {"redis-check-rdb": done.stdout[-1000:]}, {}
    shutil.copy(path, target.directory / "dump.rdb")
    try:
        here.ask("DEBUG", "RELOAD", "NOSAVE")
    except EOFError:
        return {"log": target.log()}, {}
    before, after = facts(there, has_field_deadlines), facts(here, has_field_deadlines)
    if has_field_deadlines:
        # Servers do not agree on how deadlines of fields count in digests.
        before["digest"] = after["digest"]
    return before, after


def differences(where, before, after):
    """A line for each of the first differences."""
    different = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    return [
        f"{where}: {name}: {before.get(name)} there, {after.get(name)} here"[-1200:] for name in sorted(different, key=str)[:3]
    ]


def follow(source, target, rng, now_ms):
    """Has the other server follow, while fields get deadlines; what is told of the data there and here."""
    there, here = server.Client(source.connect()), server.Client(target.connect())
    here.ask("REPLICAOF", "127.0.0.1", source.port)
    wait_for_link(there, here)
    for number in range(50):
        key = f"followed:{number}"
        there.ask("HSET", key, *(word for field in range(9) for word in (f"f{field}", text(rng))))
        there.ask("HPEXPIREAT", key, now_ms + rng.randrange(1, YEAR_MS), "FIELDS", 2, "f1", f"f{number % 9}")
        there.ask("HEXPIRE", key, rng.randrange(10_000, 99_999), "FIELDS", 1, "f3")
        there.ask("HPERSIST", key, "FIELDS", 1, "f1")
        there.ask("HSETEX", key, "PX", rng.randrange(10_000_000, 99_999_999), "FIELDS", 1, "f5", text(rng))
        there.ask("HGETEX", key, "EX", rng.randrange(10_000, 99_999), "FIELDS", 1, "f6")
        there.ask("HPEXPIRE", key, 1, "FIELDS", 1, "f8")
    time.sleep(0.5)
    wait_for_link(there, here)
    before, after = facts(there, True), facts(here, True)
    here.ask("REPLICAOF", "NO", "ONE")
    before["digest"] = after["digest"]
    return before, after


def wait_for_link(there, here):
    """Waits until the one has all that the other has."""
    deadline = time.time() + 30
    while time.time() < deadline:
        role = here.ask("ROLE")
        if role[3] == b"connected" and role[4] == there.ask("ROLE")[1]:
            return
        time.sleep(0.05)
    raise SystemExit(f"it does not follow: {role}")


def exchange(binary, peer, policy, compressed, options):
    """Moves data from the peer and back; a line for each difference."""
    arguments = ["--enable-debug-command", "yes", "--maxmemory-policy", policy, "--rdbcompression", compressed]
    arguments += ["--repl-diskless-sync-delay", "0"]
    problems = []
    for has_field_deadlines in [False, True] if peer != "redis-7.0" else [False]:
        rng = random.Random(f"{options.seed} {peer} {policy} {has_field_deadlines}")
        with server.Server(binary, *arguments) as ours, server.Server(peers.PEERS[peer](), *arguments) as theirs:
            now_ms = int(server.Client(theirs.connect()).ask("TIME")[0]) * 1000
            for source, target, way in [(theirs, ours, "from"), (ours, theirs, "to")]:
                client = server.Client(source.connect())
                # Valkey writes deadlines of fields in a form of its own, and reads no other.
                if has_field_deadlines and way == "to" and peer == "valkey-9.1":
                    if not client.ask("CONFIG", "GET", "field-deadline-format"):
                        continue
                    client.ask("CONFIG", "SET", "field-deadline-format", "valkey")
                client.ask("FLUSHALL")
                fill(client, rng, options.keys, now_ms, has_field_deadlines)
                # Radish writes version 12 for deadlines of fields, which redis-check-rdb of 7.0 does not know.
                checked = source is ours and not has_field_deadlines
                before, after = move(source, target, has_field_deadlines, checked)
                problems += differences(f"{way} {peer}, {policy}", before, after)
                if "log" in before:
                    break
                if has_field_deadlines:
                    problems += differences(f"{way} {peer}, followed", *follow(source, target, rng, now_ms))
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="binary to test, or redis-7.0, redis-8.2, valkey-9.1 (default: radish, built here)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keys", type=int, default=300, help="keys of a file (default: 300)")
    options = parser.parse_args()
    binary = peers.server_under_test(options.server)
    problems = []
    for peer in PEERS:
        found = [line for policy, compressed in SETTINGS for line in exchange(binary, peer, policy, compressed, options)]
        print(f"{peer:<12} {len(found)} differences" if found else f"{peer:<12} ok", flush=True)
        problems += found
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except peers.Missing as missing:
        sys.exit(str(missing))
