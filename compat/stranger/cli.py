"""redis-cli as a command: one-shot calls and the modes that scan, measure and load."""

import json
import random
import re
import string

from step import expect, same, same_start


def one_shot(step):
    same(step.cli("set", "greeting", "hello world"), "OK\n")
    same(step.cli("get", "greeting"), "hello world\n")
    same(step.cli("--no-raw", "get", "greeting"), '"hello world"\n')
    same(step.cli("--no-raw", "get", "none"), "(nil)\n")
    same(step.cli("-r", "3", "incr", "count"), "1\n2\n3\n")
    same(step.cli("-x", "set", "from input", stdin="a\nb"), "OK\n")
    same(step.cli("-n", "3", "dbsize"), "0\n")
    same(step.cli("-u", f"redis://127.0.0.1:{step.server.port}/0", "strlen", "greeting"), "11\n")
    same(step.cli("--no-raw", "rpush", "list", "a", "b", "c"), "(integer) 3\n")
    same(step.cli("--no-raw", "lrange", "list", "0", "-1"), '1) "a"\n2) "b"\n3) "c"\n')
    same(step.cli("--csv", "lrange", "list", "0", "-1"), '"a","b","c"\n')
    same(step.cli("--quoted-input", "set", '"\\x00\\xff"', "x"), "OK\n")
    same(step.cli("--no-raw", "keys", "\\*"), "(empty array)\n")
    same_start(step.cli("lpush", "greeting", "x"), "WRONGTYPE ")
    same_start(step.cli("-e", "lpush", "greeting", "x", code=1), "WRONGTYPE ")
    same_start(step.cli("nonsense"), "ERR unknown command 'nonsense'")
    same(step.cli(stdin="multi\nset a 1\nincr a\nexec\nquit\n").split(), ["OK", "QUEUED", "QUEUED", "OK", "2"])


def resp3(step):
    same(step.cli("-3", "--no-raw", "config", "get", "maxmemory"), '1# "maxmemory" => "0"\n')
    same(step.cli("-3", "--no-raw", "get", "none"), "(nil)\n")
    assert json.loads(step.cli("--json", "config", "get", "maxmemory")) == {"maxmemory": "0"}
    assert json.loads(step.cli("-3", "--json", "command", "info", "get"))[0][:2] == ["get", 2]
    expect(step.cli("-3", "--no-raw", "hello"), r'^3# "proto" => \(integer\) 3$')
    expect(step.cli("-3", "--no-raw", "memory", "stats"), r'"peak.allocated" => \(integer\) \d+')


def password(step):
    same(step.cli("config", "set", "requirepass", "secret"), "OK\n")
    same_start(step.cli("get", "x"), "NOAUTH ")
    same(step.cli("-a", "secret", "--no-auth-warning", "get", "x"), "\n")
    same(step.cli("--user", "default", "--pass", "secret", "--no-auth-warning", "set", "x", "1"), "OK\n")
    expect(step.cli("-a", "wrong", "--no-auth-warning", "get", "x"), "^AUTH failed: WRONGPASS ")


def fill(step):
    """Keys whose sizes are known."""
    pipeline = step.connect().pipeline(transaction=False)
    for number in range(2_000):
        pipeline.set(f"user:{number}:name", f"name {number}")
    for number in range(300):
        pipeline.rpush(f"user:{number}:list", *range(number % 7 + 1))
    pipeline.set("longest", "".join(random.choices(string.ascii_letters, k=70_000)))  # Nothing to compress.
    pipeline.rpush("most", *range(5_000))
    pipeline.execute()


def bigkeys(step):
    fill(step)
    shown = step.cli("--bigkeys")
    expect(shown, r"^Sampled 2302 keys in the keyspace!$")
    expect(shown, r"^Biggest\s+list found '\"most\"' has 5000 items$")
    expect(shown, r"^Biggest string found '\"longest\"' has 70000 bytes$")
    expect(shown, r"^301 lists with \d+ items \(13\.\d+% of keys, avg size \d+\.\d+\)$")
    expect(shown, r"^2001 strings with \d+ bytes ")


def memkeys(step):
    fill(step)
    shown = step.cli("--memkeys")
    expect(shown, r"^Sampled 2302 keys in the keyspace!$")
    assert 70_000 <= int(expect(shown, r"^Biggest string found '\"longest\"' has (\d+) bytes$")[1]) < 100_000
    assert int(expect(shown, r"^Biggest\s+list found '\"most\"' has (\d+) bytes$")[1]) > 5_000
    expect(step.cli("--memkeys-samples", "5"), r"^2001 strings with \d+ bytes ")


def hotkeys(step):
    fill(step)
    expect(step.cli("--hotkeys", code=1), "ERR An LFU maxmemory policy is not selected")
    step.cli("config", "set", "maxmemory-policy", "allkeys-lfu")
    step.cli("-r", "3000", "get", "user:7:name")
    shown = step.cli("--hotkeys")
    counters = {key: int(counter) for counter, key in re.findall(r"^hot key found with counter: (\d+)\s+keyname: \"?([^\s\"]+)", shown, re.MULTILINE)}
    assert counters and max(counters, key=counters.get) == "user:7:name", shown[-1_500:]


def scan(step):
    fill(step)
    assert len(set(step.cli("--scan").split())) == 2_302
    assert set(step.cli("--scan", "--pattern", "user:12:*").split()) == {"user:12:name", "user:12:list"}
    assert step.cli("--scan", "--pattern", "none*") == ""
    assert len(set(step.cli("--scan", "--quoted-pattern", '"user:\\x31*"').split())) == 1_111 + 111


def latency(step):
    lowest, highest, average, count = step.cli("--latency", "-i", "1").split()
    assert 0 <= int(lowest) <= float(average) <= int(highest) and int(count) > 10, (lowest, highest, average, count)
    assert len(step.cli("--latency", "--csv", "-i", "1").split(",")) == 4
    # At a terminal it goes on.
    watching = step.terminal("--latency")
    watching.wait_for(r"min: \d+, max: \d+, avg: \d+\.\d+ \(\d\d+ samples\)")
    history = step.terminal("--latency-history", "-i", "1")
    for _ in range(2):
        history.wait_for(r"min: \d+, max: \d+, avg: \d+\.\d+ \(\d+ samples\) -- \d+\.\d+ seconds range")
    spectrum = step.terminal("--latency-dist", "-i", "1")
    spectrum.wait_for("From 0 to 100%")


def stat(step):
    fill(step)
    watching = step.terminal("--stat", "-i", "0.1")
    watching.wait_for(r"keys +mem +clients +blocked +requests +connections")
    requests = []
    for _ in range(3):
        row = watching.wait_for(r"\r?\n2302 +\d+\.\d+[KMG] +(\d+) +0 +(\d+) \(\+(\d+)\) +(\d+)")
        requests.append(int(row[2]))
    assert requests[0] < requests[1] < requests[2], requests


def pipe(step):
    words = ["*3\r\n$3\r\nSET\r\n$%d\r\nload:%d\r\n$5\r\nvalue\r\n" % (5 + len(str(number)), number) for number in range(50_000)]
    expect(step.cli("--pipe", stdin="".join(words)), r"errors: 0, replies: 50000$")
    assert step.cli("dbsize") == "50000\n"
    inline = "".join(f"SET load:{number} other\r\nLPUSH load:{number} x\r\n" for number in range(1_000))
    expect(step.cli("--pipe", stdin=inline, code=1), r"errors: 1000, replies: 2000$")


def lru_test(step):
    step.cli("config", "set", "maxmemory", "50mb")
    step.cli("config", "set", "maxmemory-policy", "allkeys-lru")
    watching = step.terminal("--lru-test", "100000")
    for _ in range(3):
        watching.wait_for(r"\d+ Gets/sec \| Hits: \d+ \(\d+\.\d+%\) \| Misses: \d+")


def monitor(step):
    watching = step.terminal("monitor")
    watching.wait_for("OK")
    step.cli("set", "watched", 'a "quoted" value')
    watching.wait_for(r'\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "set" "watched" "a \\"quoted\\" value"')
    step.cli("-n", "5", "get", "watched")
    watching.wait_for(r'\[5 127\.0\.0\.1:\d+\] "get" "watched"')


def subscribe(step):
    listening = step.terminal("subscribe", "news", "weather")
    listening.wait_for(r'3\) \(integer\) 2')
    assert step.cli("publish", "news", "hello") == "1\n"
    listening.wait_for(r'1\) "message"\s+2\) "news"\s+3\) "hello"')
    patterns = step.terminal("psubscribe", "n*")
    patterns.wait_for(r'1\) "psubscribe"\s+2\) "n\*"\s+3\) \(integer\) 1')
    assert step.cli("publish", "news", "again") == "2\n"
    patterns.wait_for(r'1\) "pmessage"\s+2\) "n\*"\s+3\) "news"\s+4\) "again"')


STEPS = [
    ("one-shot commands and their formats", [], one_shot),
    ("-3, --json", [], resp3),
    ("a password", [], password),
    ("--bigkeys", [], bigkeys),
    ("--memkeys", [], memkeys),
    ("--hotkeys with an LFU policy", [], hotkeys),
    ("--scan", [], scan),
    ("--latency, --latency-history, --latency-dist", [], latency),
    ("--stat", [], stat),
    ("--pipe", [], pipe),
    ("--lru-test", [], lru_test),
    ("MONITOR", [], monitor),
    ("SUBSCRIBE, PSUBSCRIBE", [], subscribe),
]
