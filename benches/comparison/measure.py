"""What is measured, and how."""

import collections
import contextlib
import hashlib
import itertools
import json
import os
import random
import resource
import statistics
import subprocess
import time

from .servers import Failed, request

# requests: of a workload with pipelines, a third without; items: of data; connections: that idle.
Sizes = collections.namedtuple("Sizes", "rounds requests items connections settle_s")
FULL = Sizes(rounds=3, requests=1_000_000, items=1_000_000, connections=10_000, settle_s=1.5)
QUICK = Sizes(rounds=1, requests=20_000, items=20_000, connections=200, settle_s=0.3)

# A workload: its name; the test of redis-benchmark, or the words of a request; requests in a pipeline; further options; the
# command it needs; the share of the requests that is enough of it; and what is made for it before each turn, by their number.
Workload = collections.namedtuple("Workload", "name test pipeline options command share fill", defaults=[1, None])
RANDOM = "-r 1000000 -d 64"


def members(requests):
    """A set and a sorted set of as many members as are popped, and some more."""
    for first in range(0, requests + 1000, 100):
        numbers = range(first, first + 100)
        yield ("SADD", "set", *(f"member:{number:08}" for number in numbers))
        yield ("ZADD", "zset", *(word for number in numbers for word in (number * 7919 % 1_000_003, f"member:{number:08}")))


def hash_of_100(_):
    yield ("HSET", "hash", *(word for number in range(100) for word in (f"field:{number}", f"value:{number:010}")))


def pending_100(_):
    """A hundred entries that a consumer has been given and has not acknowledged."""
    yield ("DEL", "stream")
    for number in range(100):
        yield ("XADD", "stream", "*", "sensor", number, "value", f"{number:010}")
    yield ("XGROUP", "CREATE", "stream", "group", "0")
    yield ("XREADGROUP", "GROUP", "group", "one", "COUNT", 100, "STREAMS", "stream", ">")


def two_sets(_):
    """Of 10,000 members each, half of which they have in common."""
    for name, first in [("one", 0), ("other", 5000)]:
        yield ("SADD", name, *(f"member:{number}" for number in range(first, first + 10_000)))


# Scripts of one key, one with a command and one with two.
SCRIPTS = [
    "return redis.call('SET', KEYS[1], ARGV[1])",
    "local value = tonumber(redis.call('GET', KEYS[1]) or 0) return redis.call('SET', KEYS[1], value + ARGV[1])",
]


def scripts(_):
    """They are called by their digests."""
    for script in SCRIPTS:
        yield ("SCRIPT", "LOAD", script)


def evalsha(script):
    return ("EVALSHA", hashlib.sha1(script.encode()).hexdigest(), "1", "key:__rand_int__", "12345")


WORKLOADS = [
    Workload("GET", "get", 1, RANDOM, "GET"),
    Workload("SET", "set", 1, RANDOM, "SET"),
    Workload("GET, pipeline of 16", "get", 16, RANDOM, "GET"),
    Workload("SET, pipeline of 16", "set", 16, RANDOM, "SET"),
    Workload("GET, pipeline of 100", "get", 100, RANDOM, "GET"),
    Workload("INCR, pipeline of 16", "incr", 16, RANDOM, "INCR"),
    Workload("LPUSH, pipeline of 16", "lpush", 16, "", "LPUSH"),
    Workload("RPOP, pipeline of 16", "rpop", 16, "", "RPOP"),
    Workload("MSET of 10", "mset", 1, RANDOM, "MSET"),
    Workload("LRANGE of 100", "lrange_100", 1, "", "LRANGE"),
    Workload("HSET, pipeline of 16", "hset", 16, RANDOM, "HSET"),
    Workload("SADD, pipeline of 16", "sadd", 16, RANDOM, "SADD"),
    Workload("ZADD, pipeline of 16", "zadd", 16, RANDOM, "ZADD"),
    Workload("SPOP, pipeline of 16", ("SPOP", "set"), 16, "", "SPOP", 1 / 4, members),
    Workload("ZPOPMIN, pipeline of 16", ("ZPOPMIN", "zset"), 16, "", "ZPOPMIN", 1 / 4, members),
    Workload(
        "ZRANGEBYSCORE of 100", ("ZRANGEBYSCORE", "zset", "__rand_int__", "+inf", "LIMIT", "0", "100"), 1,
        "-r 900000", "ZRANGEBYSCORE", 1 / 4, members,
    ),
    Workload("HGETALL of 100", ("HGETALL", "hash"), 1, "", "HGETALL", 1 / 4, hash_of_100),
    Workload("XADD, pipeline of 16", ("XADD", "stream", "*", "sensor", "7", "value", "0000000042"), 16, "", "XADD"),
    Workload(
        "XREADGROUP of 100", ("XREADGROUP", "GROUP", "group", "one", "COUNT", "100", "STREAMS", "stream", "0"), 1,
        "", "XREADGROUP", 1 / 8, pending_100,
    ),
    Workload("EVALSHA of a SET, pipeline of 16", evalsha(SCRIPTS[0]), 16, "-r 1000000", "EVALSHA", 1 / 2, scripts),
    Workload("EVALSHA of GET and SET, pipeline of 16", evalsha(SCRIPTS[1]), 16, "-r 1000000", "EVALSHA", 1 / 2, scripts),
    Workload("LRANGE of 600", "lrange_600", 1, "", "LRANGE", 1 / 8),
    Workload("SINTER of two of 10,000", ("SINTER", "one", "other"), 1, "", "SINTER", 1 / 1000, two_sets),
]

CLIENTS = 50
BATCH_COMMANDS = 1000


def cpu(contenders, benchmark, sizes, wanted):
    """By workload whose name contains `wanted`, and by contender: (thousands of requests a second, microseconds of the server's
    CPU for a request)."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Failed("the server and its clients need a core each")
    server_core, client_core = cores[0], cores[-1]

    def run(server, test, pipeline, options, requests):
        command = f"{benchmark} -p {server.port} -P {pipeline} -c {CLIENTS} -n {requests} {options} --csv".split()
        command += ["-t", test] if isinstance(test, str) else test
        done = subprocess.run(
            command, capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {client_core})
        )
        rows = [line.split('","') for line in done.stdout.strip().splitlines()[1:]]
        if done.returncode != 0 or not rows:
            raise Failed(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        return float(rows[-1][1])

    results = {}
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(contender.running(server_core)) for contender in contenders]
        for workload in WORKLOADS:
            if wanted not in workload.name or not servers[0].has(workload.command):
                continue
            requests = int((sizes.requests if workload.pipeline > 1 else sizes.requests // 3) * workload.share) or 1
            figures = [[] for _ in servers]
            for round_number in range(sizes.rounds):
                for server, found in zip(servers, figures):
                    if workload.test == "get" and round_number == 0:
                        run(server, "set", 32, RANDOM, 2 * sizes.requests)
                    if workload.test == "rpop":
                        run(server, "rpush", 32, "", requests)
                    if workload.fill:
                        send(server, workload.fill(requests))
                    before = server.cpu_s()
                    rate = run(server, workload.test, workload.pipeline, workload.options, requests)
                    found.append((rate / 1000, (server.cpu_s() - before) * 1e6 / requests))
            results[workload.name] = [tuple(map(statistics.median, zip(*found))) for found in figures]
            shown = " | ".join(f"{rate:7.1f} k/s {cost:6.2f} us" for rate, cost in results[workload.name])
            print(f"{workload.name:24} {shown}", flush=True)
            for server in servers:
                with server.connect() as connection:
                    connection.ask("FLUSHALL", "SYNC")
    return results


WORDS = (
    "amber basin cedar delta ember fjord grove harbor island jasper kelp lagoon meadow north ocean prairie quarry river "
    "summit tundra upland valley willow yarrow zephyr anchor beacon copper dune echo flint granite hollow iron"
).split()


def document(rng):
    """An order in JSON, as applications keep it: 2 KB of the same fields, with words, numbers and random ids in them."""
    lines = [
        {
            "id": f"{rng.getrandbits(64):016x}",
            "title": " ".join(rng.choices(WORDS, k=3)),
            "price": rng.randrange(10**5) / 100,
            "quantity": rng.randrange(1, 10),
            "at": 1_700_000_000 + rng.randrange(10**8),
        }
        for _ in range(17)
    ]
    return json.dumps({"order": f"{rng.getrandbits(128):032x}", "customer": rng.randrange(10**7), "lines": lines})


# A kind of data: its name, the command it needs, items for each million asked for, and the command for an item.
Kind = collections.namedtuple("Kind", "name command share make")
KINDS = [
    Kind("16 B key, 16 B value", "SET", 1, lambda rng, n: ("SET", f"key:{n:012}", f"{n:016}")),
    Kind("the same with a TTL", "SET", 1, lambda rng, n: ("SET", f"key:{n:012}", f"{n:016}", "EX", 100_000)),
    Kind("`user:N:profile:x`, 16 B value", "SET", 1, lambda rng, n: ("SET", f"user:{n}:profile:x", f"{n:016}")),
    Kind("`cnt:N`, a number", "SET", 1, lambda rng, n: ("SET", f"cnt:{n}", n)),
    Kind(
        "random 37 B key, 32 B value",
        "SET",
        1,
        lambda rng, n: ("SET", f"sess:{rng.getrandbits(128):032x}", f"{rng.getrandbits(128):032x}"),
    ),
    Kind("16 B key, 100 B value", "SET", 1, lambda rng, n: ("SET", f"key:{n:012}", f"{n:0100}")),
    Kind("2 KB of JSON", "SET", 1 / 50, lambda rng, n: ("SET", f"doc:{n}", document(rng))),
    Kind("14 B element of a large list", "RPUSH", 1, lambda rng, n: ("RPUSH", "list", f"element:{n:06}")),
    Kind(
        "hash of 10 small fields",
        "HSET",
        1 / 10,
        lambda rng, n: ("HSET", f"h:{n}", *(word for field in range(10) for word in (f"field{field}", f"value{n * field % 1000}"))),
    ),
    Kind("member of a large set", "SADD", 1, lambda rng, n: ("SADD", "set", f"member:{n}")),
    Kind("member of a large sorted set", "ZADD", 1, lambda rng, n: ("ZADD", "zset", rng.random(), f"member:{n}")),
    Kind("stream entry, 2 small fields", "XADD", 1, lambda rng, n: ("XADD", "stream", "*", "sensor", n % 50, "temp", n % 40)),
]


def memory(contenders, sizes):
    """By kind of data, and by contender: bytes for an item."""
    results = {}
    for kind in KINDS:
        items = int(sizes.items * kind.share)
        found = []
        for contender in contenders:
            with contender.running() as server:
                if not server.has(kind.command):
                    break
                before = server.resident()
                fill(server, kind, items)
                time.sleep(sizes.settle_s)
                found.append((server.resident() - before) / items)
        if len(found) == len(contenders):
            results[kind.name] = found
            print(f"{kind.name:32} {' | '.join(f'{bytes_:8.1f} B' for bytes_ in found)}", flush=True)
    return results


def fill(server, kind, items):
    rng = random.Random(7)
    send(server, (kind.make(rng, number) for number in range(items)))


def send(server, commands):
    with server.connect() as connection:
        commands = iter(commands)
        while batch := list(itertools.islice(commands, BATCH_COMMANDS)):
            connection.socket.sendall(b"".join(request(*command) for command in batch))
            for _ in batch:
                connection.reply()


def idle(contenders, sizes):
    """By contender: bytes of the server's memory for a connection that has asked once and is idle now."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < sizes.connections + 100:
        raise Failed(f"only {hard} files may be open: too few for {sizes.connections} connections")
    results = []
    for contender in contenders:
        with contender.running() as server, contextlib.ExitStack() as stack:
            before = server.resident()
            for _ in range(sizes.connections):
                stack.enter_context(server.connect()).ask("PING")
            time.sleep(sizes.settle_s)
            results.append((server.resident() - before) / sizes.connections)
    print(f"{'idle connection':32} {' | '.join(f'{bytes_:8.0f} B' for bytes_ in results)}", flush=True)
    return results
