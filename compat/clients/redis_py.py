"""An application on redis-py, blocking and asyncio: HOST PORT PROTOCOL.

Prints a line of JSON per scenario; which scenarios there are is said in ../README.md.
"""

import asyncio
import json
import resource
import sys
import threading
import time

import redis
import redis.asyncio
from redis.cache import CacheConfig

HOST, PORT, PROTOCOL = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
JOBS = 20_000
SUBSCRIBERS = 200


def connect(**options):
    return redis.Redis(HOST, PORT, protocol=PROTOCOL, decode_responses=True, **options)


def connect_async(**options):
    return redis.asyncio.Redis(host=HOST, port=PORT, protocol=PROTOCOL, decode_responses=True, **options)


def expect(got, wanted):
    assert got == wanted, f"got {got!r}, not {wanted!r}"


def raises(error, text, call, *arguments):
    try:
        call(*arguments)
    except error as raised:
        assert text in str(raised), f"{raised!r} says nothing of {text!r}"
    else:
        raise AssertionError(f"no {error.__name__}")


def in_threads(count, work):
    """Runs work(0) … work(count - 1) at once and raises what any of them raised."""
    errors = []

    def guarded(number):
        try:
            work(number)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def cache(r):
    expect(r.set("page:1", "<html>", ex=100), True)
    expect(r.get("page:1"), "<html>")
    assert 98 <= r.ttl("page:1") <= 100
    expect(r.set("lock", "me", nx=True, px=60_000), True)
    expect(r.set("lock", "you", nx=True), None)
    expect(r.set("lock", "you", xx=True, get=True, keepttl=True), "me")
    assert r.pttl("lock") > 50_000
    expect(r.getex("page:1", persist=True), "<html>")
    expect(r.ttl("page:1"), -1)
    expect(r.getdel("page:1"), "<html>")
    expect(r.mget(["page:1", "lock", "none"]), [None, "you", None])
    r.set("brief", "x", px=30)
    time.sleep(0.05)
    expect(r.exists("brief", "lock"), 1)
    expect(r.expire("lock", 10, gt=True), False)
    expect(r.copy("lock", "lock2"), True)
    expect(r.unlink("lock", "lock2"), 2)
    expect(r.type("lock"), "none")


def values(r):
    text = "".join(f'{{"id":{number},"name":"user {number}"}},' for number in range(5_000))
    r.set("json", text)
    expect(r.get("json"), text)
    expect(r.strlen("json"), len(text))
    expect(r.getrange("json", 1_000, 1_019), text[1_000:1_020])
    expect(r.append("json", "end"), len(text) + 3)
    expect(r.setrange("json", 10, "HERE"), len(text) + 3)
    expect(r.getrange("json", 8, 15), text[8:10] + "HERE" + text[14:16])
    raw = redis.Redis(HOST, PORT, protocol=PROTOCOL)
    every_byte = bytes(range(256)) * 5_000
    raw.set(every_byte[:256], every_byte)
    expect(raw.get(every_byte[:256]), every_byte)
    expect(r.setbit("bits", 100, 1), 0)
    expect(r.bitcount("bits"), 1)
    expect(r.bitpos("bits", 1), 100)
    expect(r.bitfield("fields").set("u8", 0, 200).incrby("u8", 0, 100).get("i8", "#0").execute(), [0, 44, 44])
    r.mset({"one": "ohmytext", "other": "mynewtext"})
    expect((r.lcs("one", "other"), r.lcs("one", "other", len=True)), ("mytext", 6))
    expect(r.object("encoding", "json"), "raw")
    raises(redis.ResponseError, "WRONGTYPE", r.lpush, "json", "x")


def counters(r):
    def count(_):
        mine = connect()
        for _ in range(500):
            mine.incr("hits")
            mine.decrby("stock", 2)

    in_threads(8, count)
    expect(r.mget("hits", "stock"), ["4000", "-8000"])
    expect(r.incrbyfloat("temperature", 21.5), 21.5)
    expect(r.incrbyfloat("temperature", 0.1), 21.6)
    r.set("word", "x")
    raises(redis.ResponseError, "not an integer", r.incr, "word")


def queue(r):
    """Producers and consumers; consumers wait in BRPOP. Every job arrives once."""
    taken = [[] for _ in range(4)]

    def work(number):
        mine = connect()
        if number < 4:
            while True:
                _, job = mine.brpop(["urgent", "jobs"], timeout=30)
                if job == "stop":
                    return
                taken[number].append(int(job))
        else:
            for start in range(number - 4, JOBS, 200):
                pipeline = mine.pipeline(transaction=False)
                for job in range(start, min(start + 200, JOBS), 2):
                    pipeline.lpush("jobs" if job % 10 else "urgent", job)
                pipeline.execute()

    def all_work(number):
        if number < 6:
            work(number)
        else:
            while sum(map(len, taken)) < JOBS:
                time.sleep(0.01)
            r.lpush("jobs", *["stop"] * 4)

    in_threads(7, all_work)
    expect(sorted(sum(taken, [])), list(range(JOBS)))


def reliable_queue(r):
    """Workers move jobs to a list of their own while they work on them; what a worker that died had there is done again."""
    r.rpush("todo", *range(500))
    done = []

    def work(number):
        mine = connect()
        while job := mine.blmove("todo", f"doing:{number}", 0.5, "LEFT", "RIGHT"):
            if number == 0 and int(job) % 50 < 2:
                return  # It dies with the job in hand.
            done.append(int(job))
            expect(mine.lrem(f"doing:{number}", 1, job), 1)

    in_threads(4, work)
    for lost in r.lrange("doing:0", 0, -1):
        done.append(int(lost))
    expect(sorted(done), list(range(500)))
    expect(r.lmpop(2, "todo", "doing:1", direction="LEFT"), None)


def transactions(r):
    """Transfers between accounts by several clients that WATCH and try again."""
    r.mset({"account:a": 1_000, "account:b": 1_000})

    def transfer(number):
        mine = connect()
        for _ in range(50):
            while True:
                try:
                    with mine.pipeline() as pipeline:
                        pipeline.watch("account:a", "account:b")
                        a, b = int(pipeline.get("account:a")), int(pipeline.get("account:b"))
                        pipeline.multi()
                        pipeline.set("account:a", a - number)
                        pipeline.set("account:b", b + number)
                        expect(pipeline.execute(), [True, True])
                        break
                except redis.WatchError:
                    pass

    in_threads(4, transfer)
    expect(r.mget("account:a", "account:b"), ["700", "1300"])
    with r.pipeline() as pipeline:
        pipeline.set("text", "x").incr("text").get("text")
        expect([type(reply) for reply in pipeline.execute(raise_on_error=False)], [bool, redis.ResponseError, str])
    with r.pipeline() as pipeline:
        pipeline.execute_command("NOSUCH")
        raises(redis.ResponseError, "unknown command", pipeline.execute)


def pipelines(r):
    pipeline = r.pipeline(transaction=False)
    for number in range(10_000):
        pipeline.set(f"p:{number}", number * 7)
    expect(pipeline.execute(), [True] * 10_000)
    for number in range(10_000):
        pipeline.get(f"p:{number}")
        if number % 1_000 == 0:
            pipeline.lpush("p:0", "wrong type")
    replies = [reply for reply in pipeline.execute(raise_on_error=False) if isinstance(reply, str)]
    expect(replies, [str(number * 7) for number in range(10_000)])


def scan(r):
    pipeline = r.pipeline(transaction=False)
    for number in range(5_000):
        pipeline.set(f"user:{number}:name", number)
    for number in range(500):
        pipeline.rpush(f"user:{number}:list", number)
    pipeline.execute()
    expect(r.dbsize(), 5_500)
    expect(set(r.scan_iter("user:*:name", count=100)), {f"user:{number}:name" for number in range(5_000)})
    expect(set(r.scan_iter("user:12*")), set(r.keys("user:12*")))
    expect(len(set(r.scan_iter(_type="list"))), 500)
    assert r.randomkey().startswith("user:")


def client_commands(r):
    mine = connect(client_name="worker-one")
    expect(mine.client_getname(), "worker-one")
    info = mine.client_info()
    expect((info["name"], int(info["db"]), int(info["resp"])), ("worker-one", 0, PROTOCOL))
    listed = {client["id"]: client for client in r.client_list()}
    expect(listed[str(mine.client_id())]["lib-name"].split("(")[0].rstrip(), "redis-py")
    expect(len(r.client_list(client_id=[mine.client_id()])), 1)
    blocked = connect()
    identity = blocked.client_id()
    replies = []
    waiting = threading.Thread(target=lambda: replies.append(blocked.blpop("never", timeout=20)))
    waiting.start()
    while not r.client_unblock(identity):
        time.sleep(0.005)
    waiting.join()
    expect(replies, [None])
    single = connect(single_connection_client=True, retry=None)
    expect(r.client_kill_filter(_id=str(single.client_id())), 1)
    expect(r.client_pause(50), True)
    started = time.monotonic()
    r.set("after", "pause")
    assert time.monotonic() - started > 0.03
    expect(r.client_no_evict("ON"), "OK")
    assert r.config_get("max*")["maxmemory"] == "0"
    assert r.info("server")["redis_version"]
    assert r.time()[0] > 1_700_000_000
    expect(r.echo("back"), "back")
    other = connect(db=5)
    other.set("in five", 1)
    expect((r.exists("in five"), other.exists("in five"), r.swapdb(0, 5), r.exists("in five")), (0, 1, True, 1))
    r.swapdb(0, 5)


def notifications(r):
    r.config_set("notify-keyspace-events", "KEA")
    events = connect().pubsub(ignore_subscribe_messages=True)
    events.psubscribe("__keyevent@0__:*")
    while events.get_message(timeout=1) is not None:
        pass
    r.set("noted", 1, px=20)
    r.rpush("noted list", 1)
    r.rename("noted list", "renamed")
    r.delete("renamed")
    got = []
    deadline = time.monotonic() + 5
    while len(got) < 7 and time.monotonic() < deadline:
        message = events.get_message(timeout=0.1)
        if message:
            got.append(f"{message['channel'].split(':', 1)[1]} {message['data']}")
    wanted = "set noted|expire noted|rpush noted list|rename_from noted list|rename_to renamed|del renamed|expired noted"
    expect(sorted(got), sorted(wanted.split("|")))
    r.config_set("notify-keyspace-events", "")


def messages(r):
    """Channels, patterns and sharded channels with a listener in a thread of its own."""
    heard = []
    listener = connect().pubsub(ignore_subscribe_messages=True)
    listener.subscribe(news=lambda message: heard.append(message["data"]))
    listener.psubscribe(**{"chat:*": lambda message: heard.append((message["channel"], message["data"]))})
    thread = listener.run_in_thread(sleep_time=0.01)
    while r.pubsub_numsub("news") != [("news", 1)] or r.pubsub_numpat() != 1:
        time.sleep(0.005)
    expect((r.publish("news", "hello"), r.publish("chat:7", "hi"), r.publish("none", "x")), (1, 1, 0))
    deadline = time.monotonic() + 5
    while len(heard) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    thread.stop()
    thread.join()
    expect(heard, ["hello", ("chat:7", "hi")])


def monitor(r):
    with connect().monitor() as watching:
        r.set("watched", 'value with "quotes"')
        commands = watching.listen()
        while (seen := next(commands))["command"].split()[0] != "SET":
            pass
    expect((seen["db"], seen["command"]), (0, 'SET watched value with "quotes"'))


def hashes(r):
    expect(r.hset("user:1", mapping={"name": "Ada", "age": 36}), 2)
    expect((r.hset("user:1", "age", 37), r.hset("user:1", "city", "London")), (0, 1))
    expect(r.hgetall("user:1"), {"name": "Ada", "age": "37", "city": "London"})
    expect(r.hmget("user:1", "name", "none"), ["Ada", None])
    expect((r.hincrby("user:1", "age"), r.hlen("user:1"), r.hexists("user:1", "city")), (38, 3, True))
    expect(r.hdel("user:1", "city", "none"), 1)
    pipeline = r.pipeline(transaction=False)
    for number in range(2_000):
        pipeline.hset("large", f"field:{number}", number)
    pipeline.execute()
    expect(len(dict(r.hscan_iter("large", "field:1*"))), 1 + 10 + 100 + 1_000)


def sets(r):
    expect((r.sadd("tags:a", "x", "y", "z", 1), r.sadd("tags:b", "y", "z", "w")), (4, 3))
    expect(set(r.sinter("tags:a", "tags:b")), {"y", "z"})
    expect(set(r.sunion("tags:a", "tags:b")), {"1", "w", "x", "y", "z"})
    expect(set(r.sdiff("tags:a", "tags:b")), {"1", "x"})
    expect(r.smismember("tags:a", ["x", "none"]), [1, 0])
    expect((r.smove("tags:a", "tags:b", "x"), r.scard("tags:b"), r.srem("tags:a", "y", "none")), (True, 4, 1))
    assert r.spop("tags:a") in ("1", "z")
    expect(set(r.smembers("tags:b")), {"w", "x", "y", "z"})


def sorted_sets(r):
    expect(r.zadd("board", {"ada": 10, "bob": 20.5, "eve": 15}), 3)
    expect((r.zincrby("board", 100, "eve"), r.zscore("board", "bob"), r.zscore("board", "none")), (115.0, 20.5, None))
    expect([tuple(pair) for pair in r.zrange("board", 0, -1, withscores=True)], [("ada", 10.0), ("bob", 20.5), ("eve", 115.0)])
    expect((r.zrevrank("board", "eve"), r.zcount("board", "(10", "+inf"), r.zcard("board")), (0, 2, 3))
    replies = []
    waiting = threading.Thread(target=lambda: replies.append(connect().bzpopmax(["none", "later"], timeout=20)))
    waiting.start()
    r.zadd("later", {"job": 5})
    waiting.join()
    expect([list(reply) for reply in replies], [["later", "job", 5.0]])


def streams(r):
    first = r.xadd("events", {"kind": "login", "user": 1})
    r.xadd("events", {"kind": "logout"})
    expect(r.xrange("events", first, first), [(first, {"kind": "login", "user": "1"})])
    expect(r.xgroup_create("events", "workers", 0), True)
    read = r.xreadgroup("workers", "one", {"events": ">"}, count=1)
    assert first in str(read), read
    expect(r.xpending("events", "workers")["pending"], 1)
    expect(r.xack("events", "workers", first), 1)
    expect((r.xlen("events"), r.xtrim("events", maxlen=1, approximate=False)), (2, 1))


def scripts(r):
    expect(r.eval("return {KEYS[1], ARGV[1], 3}", 1, "key", "value"), ["key", "value", 3])
    r.set("key", "once")
    take = r.register_script("return redis.call('GETDEL', KEYS[1])")
    expect((take(keys=["key"]), take(keys=["key"])), ("once", None))


def client_side_cache(r):
    """Clients that keep what they read until the server says that it has changed; what they keep is what is there."""
    if PROTOCOL == 2:
        raises(redis.RedisError, "RESP version 3", lambda: connect(cache_config=CacheConfig()))
        return
    caching = connect(cache_config=CacheConfig(max_size=1_000))
    kept = caching.get_cache()
    r.mset({"cached": "old", "other": 1})
    r.hset("user", mapping={"name": "Ada"})
    expect((caching.get("cached"), caching.hgetall("user")), ("old", {"name": "Ada"}))
    expect(kept.size, 2)
    hits = int(r.info("stats")["keyspace_hits"])
    expect((caching.get("cached"), caching.hgetall("user")), ("old", {"name": "Ada"}))
    expect(int(r.info("stats")["keyspace_hits"]), hits)

    def comes(wanted, read):
        deadline = time.monotonic() + 5
        while (got := read()) != wanted and time.monotonic() < deadline:
            time.sleep(0.005)
        expect(got, wanted)

    r.set("cached", "new")
    r.hset("user", "name", "Bob")
    comes("new", lambda: caching.get("cached"))
    comes({"name": "Bob"}, lambda: caching.hgetall("user"))
    r.pexpire("cached", 20)
    comes(None, lambda: caching.get("cached"))
    r.flushall()
    comes({}, lambda: caching.hgetall("user"))

    def write(number):
        mine = connect()
        for value in range(500):
            mine.set(f"shared:{value % 5}", f"{number}:{value}")

    def read(_):
        mine = connect(cache_config=CacheConfig())
        for value in range(1_000):
            mine.get(f"shared:{value % 5}")
        comes([r.get(f"shared:{number}") for number in range(5)], lambda: [mine.get(f"shared:{number}") for number in range(5)])

    in_threads(6, lambda number: write(number) if number < 3 else read(number))


async def async_queue(r):
    taken = []

    async def consume():
        mine = connect_async()
        while True:
            _, job = await mine.brpop(["a:jobs"], timeout=30)
            if job == "stop":
                return await mine.aclose()
            taken.append(int(job))

    async def produce(first):
        for start in range(first, 10_000, 100):
            async with r.pipeline(transaction=False) as pipeline:
                for job in range(start, start + 100, 2):
                    pipeline.lpush("a:jobs", job)
                await pipeline.execute()

    consumers = [asyncio.create_task(consume()) for _ in range(8)]
    await asyncio.gather(produce(0), produce(1))
    await r.lpush("a:jobs", *["stop"] * 8)
    await asyncio.gather(*consumers)
    expect(sorted(taken), list(range(10_000)))


async def async_fan_out(r):
    """Messages to many subscribers, each on its connection."""
    rounds = 10
    ready = asyncio.Semaphore(0)

    async def listen():
        mine = connect_async()
        subscription = mine.pubsub()
        await subscription.subscribe("fan")
        got = []
        async for message in subscription.listen():
            if message["type"] == "subscribe":
                ready.release()
            else:
                got.append(int(message["data"]))
                if len(got) == rounds:
                    break
        await subscription.aclose()
        await mine.aclose()
        return got

    listeners = [asyncio.create_task(listen()) for _ in range(SUBSCRIBERS)]
    for _ in range(SUBSCRIBERS):
        await ready.acquire()
    for number in range(rounds):
        expect(await r.publish("fan", number), SUBSCRIBERS)
    for got in await asyncio.wait_for(asyncio.gather(*listeners), 60):
        expect(got, list(range(rounds)))


async def async_mixed(r):
    """Many tasks over one pool of connections."""

    async def work(number):
        await r.set(f"t:{number}", number)
        await r.rpush(f"t:list:{number}", *range(number % 10 + 1))
        expect(await r.get(f"t:{number}"), str(number))
        expect(await r.lrange(f"t:list:{number}", 0, -1), [str(item) for item in range(number % 10 + 1)])
        await r.incr("t:all")

    for start in range(0, 500, 50):
        await asyncio.gather(*(work(number) for number in range(start, start + 50)))
    expect(await r.get("t:all"), "500")
    found = [key async for key in r.scan_iter("t:list:*")]
    expect(len(set(found)), 500)
    async with r.pipeline() as pipeline:
        expect(await pipeline.set("t:x", 1).incr("t:x").execute(), [True, 2])


# The scenarios and the commands that each cannot do without.
SCENARIOS = {
    **dict.fromkeys(
        [cache, values, counters, queue, reliable_queue, transactions, pipelines, scan, client_commands, notifications, messages, monitor],
        [],
    ),
    hashes: ["hset", "hscan"],
    sets: ["sadd", "sinter"],
    sorted_sets: ["zadd", "bzpopmax"],
    streams: ["xadd", "xreadgroup"],
    scripts: ["eval", "evalsha"],
    client_side_cache: ["client|tracking"],
    **dict.fromkeys([async_queue, async_fan_out, async_mixed], []),
}


def lacks(commands):
    """Those of some commands that the server does not have."""
    found = connect().execute_command("COMMAND INFO", *commands) if commands else []
    return [command for command, info in zip(commands, found) if info is None]


def report(scenario, needs):
    connect().flushall()
    result = {"scenario": scenario.__name__}
    if missing := lacks(needs):
        print(json.dumps(result | {"needs": " ".join(missing)}), flush=True)
        return
    started = time.monotonic()
    error = None
    try:
        if asyncio.iscoroutinefunction(scenario):
            asyncio.run(with_client(scenario))
        else:
            scenario(connect())
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
    print(json.dumps(result | {"seconds": time.monotonic() - started, "error": error}), flush=True)


async def with_client(scenario):
    client = connect_async(max_connections=100)
    await asyncio.wait_for(scenario(client), 120)
    await client.aclose()


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4_096), hard), hard))
    for scenario, needs in SCENARIOS.items():
        report(scenario, needs)


main()
