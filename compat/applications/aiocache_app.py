"""aiocache: its Redis cache, decorators, optimistic lock and RedLock."""

import asyncio
import sys

from aiocache import Cache, cached, multi_cached
from aiocache.lock import RedLock
from aiocache.serializers import JsonSerializer, PickleSerializer

WHERE = {"endpoint": "127.0.0.1", "port": int(sys.argv[1])}
calls = []


@cached(ttl=30, cache=Cache.REDIS, key_builder=lambda function, number: f"square:{number}", serializer=PickleSerializer(), **WHERE)
async def square(number):
    calls.append(number)
    return number * number


@multi_cached("numbers", cache=Cache.REDIS, namespace="cube", **WHERE)
async def cubes(numbers=()):
    calls.extend(numbers)
    return {str(number): str(int(number) ** 3) for number in numbers}


async def play_lock(cache):
    """Only one computes while the others wait for what comes of it."""
    computed = []

    async def value():
        async with RedLock(cache, "key", 2):
            if (known := await cache.get("computed")) is None:
                computed.append(1)
                await asyncio.sleep(0.05)
                await cache.set("computed", known := 42)
            return known

    assert await asyncio.gather(*(value() for _ in range(5))) == [42] * 5 and computed == [1]


async def main():
    cache = Cache(Cache.REDIS, namespace="app", serializer=JsonSerializer(), **WHERE)
    assert await cache.set("a", {"x": [1, None]}, ttl=30) and await cache.get("a") == {"x": [1, None]}
    try:
        await cache.add("a", 1)
        raise AssertionError("it was there")
    except ValueError:
        pass
    await cache.multi_set([("b", 1), ("c", "two")], ttl=30)
    assert await cache.multi_get(["b", "c", "none"]) == [1, "two", None]
    assert await cache.increment("n", 5) == 5 and await cache.increment("n", -2) == 3
    assert await cache.exists("b") and await cache.expire("b", 10) and await cache.delete("b") == 1
    assert not await cache.exists("b")
    await cache.set("brief", 1, ttl=0.1)
    await asyncio.sleep(0.2)
    assert await cache.get("brief", default="gone") == "gone"
    assert [await square(number) for number in (2, 3, 2, 3)] == [4, 9, 4, 9] and calls == [2, 3]
    calls.clear()
    assert await cubes(numbers=["1", "2"]) == {"1": "1", "2": "8"}
    assert await cubes(numbers=["2", "3"]) == {"2": "8", "3": "27"}
    assert calls == ["1", "2", "3"], calls
    await play_lock(cache)
    await cache.clear()
    assert await cache.get("c") is None
    await cache.close()


asyncio.run(main())
