"""redis-benchmark: its default tests, as far as the server has the commands, in the ways that people run it."""

import re

from step import expect

# The default tests in their order: what -t calls them, the command they need, and the titles that they print.
TESTS = [
    ("ping_inline", "ping", ["PING_INLINE"]),
    ("ping_mbulk", "ping", ["PING_MBULK"]),
    ("set", "set", ["SET"]),
    ("get", "get", ["GET"]),
    ("incr", "incr", ["INCR"]),
    ("lpush", "lpush", ["LPUSH"]),
    ("rpush", "rpush", ["RPUSH"]),
    ("lpop", "lpop", ["LPOP"]),
    ("rpop", "rpop", ["RPOP"]),
    ("sadd", "sadd", ["SADD"]),
    ("hset", "hset", ["HSET"]),
    ("spop", "spop", ["SPOP"]),
    ("zadd", "zadd", ["ZADD"]),
    ("zpopmin", "zpopmin", ["ZPOPMIN"]),
    ("lrange", "lrange", [f"LRANGE_{count} (first {count} elements)" for count in (100, 300, 500, 600)]),
    ("mset", "mset", ["MSET (10 keys)"]),
]


def available(step):
    """The names and the titles of the tests that the server can take, and the commands that it lacks."""
    missing = step.lacks([command for _, command, _ in TESTS])
    names = [name for name, command, _ in TESTS if command not in missing]
    titles = [title for _, command, titles in TESTS if command not in missing for title in titles]
    return names, titles, missing


def run(step, *options, requests=20_000):
    names, titles, missing = available(step)
    selected = ["-t", ",".join(names)] if missing else []
    shown = step.run("redis-benchmark", "-n", requests, *selected, *options)
    assert not re.search(r"error|warning", shown, re.IGNORECASE), shown[-1_500:]
    return shown, titles, f"without {' '.join(dict.fromkeys(missing))}" if missing else ""


def quiet(*options):
    def walk(step):
        shown, titles, note = run(step, "-q", *options)
        for title in titles:
            assert float(expect(shown, rf"(?:^|\r){re.escape(title)}: (\d+\.\d+) requests per second")[1]) > 0
        return note

    return walk


def reconnecting(step):
    shown = step.run("redis-benchmark", "-q", "-k", 0, "-n", 2_000, "-t", "set,get")
    expect(shown, r"SET: \d+\.\d+ requests per second.*GET: \d+\.\d+ requests per second")


def full(step):
    shown, titles, note = run(step, requests=5_000)
    for title in titles:
        expect(shown, rf"====== {re.escape(title)} ======")
    assert shown.count("throughput summary:") >= len(titles)
    expect(shown, r'host configuration "save":')
    expect(shown, "Latency by percentile distribution:")
    return note


def csv(step):
    shown, titles, note = run(step, "--csv")
    rows = shown.splitlines()
    assert rows[0].startswith('"test","rps","avg_latency_ms"'), rows[0]
    for title in titles:
        assert any(row.startswith(f'"{title}",') for row in rows), f"no {title} in:\n{shown}"
    return note


def own_command(step):
    shown = step.run("redis-benchmark", "-q", "-n", 20_000, "-r", 1_000, "-P", 8, "append", "key:__rand_int__", "x")
    expect(shown, r"requests per second")
    assert step.connect().dbsize() == 1_000
    assert sum(map(len, step.connect().mget(step.connect().keys()))) == 20_000


STEPS = [
    ("all its tests", [], full),
    ("-q", [], quiet()),
    ("-q -P 16", [], quiet("-P", 16)),
    ("-q --threads 2", [], quiet("--threads", 2)),
    ("-q --threads 2 -P 16 -c 100 -d 100 -r 10000", [], quiet("--threads", 2, "-P", 16, "-c", 100, "-d", 100, "-r", 10_000)),
    ("-q -3 -P 4", [], quiet("-3", "-P", 4)),
    ("-q -k 0, a connection per request", [], reconnecting),
    ("--csv", [], csv),
    ("a command of one's own", [], own_command),
]
