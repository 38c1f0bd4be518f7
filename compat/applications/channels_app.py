"""channels-redis: both layers of Django Channels: by pub/sub, and by sorted sets, where a script sends to groups."""

import asyncio
import sys

from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from redis.asyncio import Redis


async def listeners(count):
    """Waits until so many listen to the group: the layer does not wait for the server's answer."""
    async with Redis(port=int(sys.argv[1])) as client:
        while sum(number for _, number in await client.pubsub_numsub(*await client.pubsub_channels("*group*all"))) != count:
            await asyncio.sleep(0.01)


async def play(layers, listeners):
    names = [await layer.new_channel() for layer in layers]
    await layers[0].send(names[1], {"type": "one", "text": "hello"})
    assert await asyncio.wait_for(layers[1].receive(names[1]), 10) == {"type": "one", "text": "hello"}
    for layer, name in zip(layers, names):
        await layer.group_add("all", name)
    await listeners(3)
    for number in range(100):
        await layers[number % 3].group_send("all", {"type": "many", "number": number, "bytes": b"\0\r\n"})
    for layer, name in zip(layers, names):
        got = [await asyncio.wait_for(layer.receive(name), 10) for _ in range(100)]
        assert sorted(message["number"] for message in got) == list(range(100)) and got[0]["bytes"] == b"\0\r\n"
    await layers[2].group_discard("all", names[2])
    await listeners(2)
    await layers[0].group_send("all", {"type": "less"})
    assert await asyncio.wait_for(layers[0].receive(names[0]), 10) == {"type": "less"}
    try:
        await asyncio.wait_for(layers[2].receive(names[2]), 0.3)
        raise AssertionError("it has left the group")
    except asyncio.TimeoutError:
        pass
    for layer in layers:
        await layer.flush()


async def main():
    hosts = [f"redis://127.0.0.1:{sys.argv[1]}"]
    await play([RedisPubSubChannelLayer(hosts=hosts) for _ in range(3)], listeners)
    await play([RedisChannelLayer(hosts=hosts, capacity=200) for _ in range(3)], lambda count: asyncio.sleep(0))


asyncio.run(main())
