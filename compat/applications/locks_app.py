"""Locks and scripts of redis-py, Redlock over three servers' worth of databases, and limits that are counted by scripts."""

import sys
import threading
import time

port = int(sys.argv[1])

import redis
from limits import parse, storage, strategies
from redis.exceptions import LockError, LockNotOwnedError, NoScriptError
from redlock import Redlock

client = redis.Redis(port=port)


def play_lock():
    """Many threads, one after the other inside; whoever lost the lock cannot give it back."""
    inside, most, total = 0, 0, 0

    def work():
        nonlocal inside, most, total
        for _ in range(20):
            with redis.Redis(port=port).lock("lock", timeout=10, sleep=0.001):
                inside += 1
                most = max(most, inside)
                total += 1
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, total) == (1, 160)
    lock = client.lock("short", timeout=0.1)
    assert lock.acquire() and not client.lock("short").acquire(blocking=False)
    assert lock.extend(10) and 9 < client.pttl("short") / 1000 <= 10.1 and lock.reacquire()
    time.sleep(0.15)
    try:
        lock.release()
        raise AssertionError("it was over")
    except LockNotOwnedError:
        pass
    try:
        lock.release()
        raise AssertionError("it was given back")
    except LockError:
        pass


def play_scripts():
    """A script is sent once, and again after the server forgot it, in pipelines too."""
    multiply = client.register_script("return redis.call('GET', KEYS[1]) * ARGV[1]")
    client.set("number", 6)
    assert multiply(keys=["number"], args=[7]) == 42
    client.script_flush()
    assert client.script_exists(multiply.sha) == [False]
    assert multiply(keys=["number"], args=[7]) == 42
    pipeline = client.pipeline()
    pipeline.set("number", 5)
    multiply(keys=["number"], args=[5], client=pipeline)
    client.script_flush()
    assert pipeline.execute() == [True, 25]
    try:
        client.evalsha("0" * 40, 0)
        raise AssertionError("there is no such script")
    except NoScriptError:
        pass
    tables = client.eval("return {1, 'two', {3, {err = 'four'}}, false, {ok = 'six'}, 7.9}", 0)
    assert tables[:2] == [1, b"two"] and tables[3:] == [None, b"six", 7] and str(tables[2][1]) == "four"


def play_redlock():
    manager = Redlock([{"host": "127.0.0.1", "port": port, "db": database} for database in range(3)], retry_count=2)
    lock = manager.lock("resource", 5000)
    assert lock and lock.validity > 4000
    assert all(redis.Redis(port=port, db=database).exists("resource") for database in range(3))
    assert not manager.lock("resource", 5000)
    manager.unlock(lock)
    again = manager.lock("resource", 5000)
    assert again
    manager.unlock(again)
    assert not any(redis.Redis(port=port, db=database).exists("resource") for database in range(3))


def play_limits():
    """Fixed and moving windows."""
    store = storage.RedisStorage(f"redis://127.0.0.1:{port}")
    for strategy in (
        strategies.FixedWindowRateLimiter,
        strategies.MovingWindowRateLimiter,
        strategies.SlidingWindowCounterRateLimiter,
    ):
        limiter, limit = strategy(store), parse("5/minute")
        assert [limiter.hit(limit, strategy.__name__) for _ in range(7)] == [True] * 5 + [False] * 2, strategy
        assert limiter.get_window_stats(limit, strategy.__name__).remaining == 0
        limiter.clear(limit, strategy.__name__)


play_lock()
play_scripts()
play_redlock()
play_limits()
