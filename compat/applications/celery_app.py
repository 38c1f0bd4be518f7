"""Celery with the server as broker and result backend: a worker in a process of its own, as `celery worker` starts it."""

import os
import subprocess
import sys
import time

port = sys.argv[1]
os.environ["RADISH_PORT"] = port
here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)

import celery
import redis
from celery_tasks import add, app, fail, third_time, total

command = [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "--concurrency=2", "--loglevel=WARNING", "-n", "one@here"]
worker = subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
try:
    assert add.delay(2, 3).get(timeout=30) == 5
    # Many at once, results in any order.
    results = [add.delay(number, number) for number in range(200)]
    assert [result.get(timeout=30) for result in results] == [2 * number for number in range(200)]
    # A failure comes back with its type and its text.
    try:
        fail.delay("no luck").get(timeout=30)
        raise AssertionError("it did not fail")
    except ValueError as error:
        assert str(error) == "no luck"
    assert third_time.delay().get(timeout=30) == 2
    # One after the other, side by side, and side by side with one for all results at the end.
    assert celery.chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=30) == 10
    assert celery.group(add.s(number, 1) for number in range(10))().get(timeout=30) == list(range(1, 11))
    assert celery.chord([add.s(number, number) for number in range(10)], total.s())().get(timeout=30) == 90
    # Later, and one that is called off before.
    started = time.monotonic()
    assert add.apply_async((1, 1), countdown=1).get(timeout=30) == 2
    assert time.monotonic() - started > 0.9
    revoked = add.apply_async((1, 1), countdown=2)
    app.control.revoke(revoked.id)
    try:
        revoked.get(timeout=30)
        raise AssertionError("it was not revoked")
    except celery.exceptions.TaskRevokedError:
        pass
    # What the worker is asked over pub/sub.
    assert app.control.ping(timeout=2) == [{"one@here": {"ok": "pong"}}]
    assert "celery_tasks.add" in app.control.inspect(timeout=2).registered()["one@here"]
    client = redis.Redis(port=int(port))
    keys = client.keys("celery-task-meta-*")
    assert len(keys) > 200 and all(0 < client.ttl(key) <= 600 for key in keys)
    assert client.hlen("unacked") == 0 and client.llen("celery") == 0
except BaseException:
    worker.terminate()
    print(worker.communicate()[0][-3000:])
    raise
worker.terminate()
output = worker.communicate(timeout=30)[0]
assert worker.returncode == 0 and "ResponseError" not in output, output[-3000:]
