"""Dramatiq and Huey: workers in processes of their own; jobs that fail, wait, come again, and survive a killed worker."""

import os
import signal
import subprocess
import sys
import time

port = int(sys.argv[1])
here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
os.environ["QUEUES_PORT"] = str(port)

import redis

import queue_tasks

client = redis.Redis(port=port)
scripts = os.path.dirname(sys.executable)


def start(*command):
    return subprocess.Popen([os.path.join(scripts, command[0]), *command[1:]], cwd=here, start_new_session=True)


def kill(worker):
    """Kills a worker with all its processes."""
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def until(what, is_so):
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end, f"{what}: not within a minute"
        time.sleep(0.05)


def play_dramatiq():
    queue_tasks.add.send_with_options(args=(1, 2), delay=300)
    messages = [queue_tasks.mark.send("dramatiq", number) for number in range(200)]
    flaky = queue_tasks.flaky.send("dramatiq-flaky")
    command = ["dramatiq", "--processes", "2", "--threads", "2", "queue_tasks"]
    worker = start(*command)
    until("some are done", lambda: client.scard("dramatiq") > 20)
    kill(worker)
    worker = start(*command)
    until("all are done", lambda: client.scard("dramatiq") == 200)
    assert messages[7].get_result(block=True, timeout=10_000) == 7
    until("the delayed one is done", lambda: client.get("sum") == b"3")
    until("it was tried again", lambda: client.get("dramatiq-flaky") == b"3")
    assert flaky.message_id
    worker.terminate()
    assert worker.wait(30) == 0


def play_huey():
    results = [queue_tasks.double(number) for number in range(50)]
    late = queue_tasks.double.schedule(args=(100,), delay=1)
    revoked = queue_tasks.double.schedule(args=(7,), delay=1)
    revoked.revoke()
    locked = [queue_tasks.alone("huey-alone") for _ in range(3)]
    worker = start("huey_consumer", "queue_tasks.huey", "--workers", "4", "--scheduler-interval", "1")
    assert [result.get(blocking=True, timeout=30) for result in results] == [2 * number for number in range(50)]
    assert late.get(blocking=True, timeout=30) == 200
    done = [result.get(blocking=True, timeout=30) for result in locked]
    assert done == ["alone"] * 3, done
    assert queue_tasks.huey.pending_count() == 0 and revoked.get() is None
    worker.send_signal(signal.SIGINT)
    worker.wait(30)


play_dramatiq()
play_huey()
