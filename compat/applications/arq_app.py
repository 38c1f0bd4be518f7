"""arq: a worker in a process of its own; jobs that wait, come again, and are there once only."""

import asyncio
import os
import signal
import subprocess
import sys

import arq
import redis
from arq.connections import RedisSettings

if __name__ == "__main__":
    os.environ["QUEUES_PORT"] = sys.argv[1]
PORT = int(os.environ["QUEUES_PORT"])
HERE = os.path.dirname(os.path.abspath(__file__))
client = redis.Redis(port=PORT)


async def triple(context, number):
    return 3 * number


async def retried(context, key):
    if client.incr(key) < 2:
        raise arq.Retry(defer=0.1)
    return context["job_try"]


class WorkerSettings:
    functions = [triple, retried]
    redis_settings = RedisSettings(port=PORT)
    poll_delay = 0.1


async def play_arq():
    pool = await arq.create_pool(WorkerSettings.redis_settings)
    jobs = [await pool.enqueue_job("triple", number) for number in range(50)]
    assert await pool.enqueue_job("triple", 1, _job_id="same") and await pool.enqueue_job("triple", 1, _job_id="same") is None
    late = await pool.enqueue_job("triple", 100, _defer_by=1)
    again = await pool.enqueue_job("retried", "arq-retried")
    command = [os.path.join(os.path.dirname(sys.executable), "arq"), "arq_app.WorkerSettings"]
    worker = subprocess.Popen(command, cwd=HERE)
    assert [await job.result(timeout=30) for job in jobs] == [3 * number for number in range(50)]
    assert await late.result(timeout=30) == 300 and await again.result(timeout=30) == 2
    assert len(await pool.all_job_results()) == 53
    worker.send_signal(signal.SIGINT)
    worker.wait(30)
    await pool.aclose()


if __name__ == "__main__":
    asyncio.run(play_arq())
