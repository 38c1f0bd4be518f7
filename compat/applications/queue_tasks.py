"""What the workers of Dramatiq and Huey run."""

import os

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends.redis import RedisBackend
from huey import RedisHuey

PORT = int(os.environ["QUEUES_PORT"])
client = redis.Redis(port=PORT)

broker = RedisBroker(port=PORT, heartbeat_timeout=1500, maintenance_chance=100_000)
broker.add_middleware(Results(backend=RedisBackend(port=PORT)))
dramatiq.set_broker(broker)
huey = RedisHuey("huey", port=PORT)


@dramatiq.actor
def add(first, second):
    client.set("sum", first + second)


@dramatiq.actor(store_results=True)
def mark(key, number):
    client.sadd(key, number)
    return number


@dramatiq.actor(max_retries=5, min_backoff=50, max_backoff=100)
def flaky(key):
    if client.incr(key) < 3:
        raise ValueError("not yet")


@huey.task()
def double(number):
    return 2 * number


@huey.task(retries=20, retry_delay=0)
@huey.lock_task("alone")
def alone(key):
    inside = client.incr(key)
    client.decr(key)
    return "alone" if inside == 1 else "crowd"
