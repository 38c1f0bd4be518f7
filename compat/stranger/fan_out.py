"""Messages to 1,000 subscribers. Each must get each message, once and in order."""

import resource
import selectors
import time

SUBSCRIBERS = 1_000
MESSAGES = 500
PATIENCE_S = 300


def raise_file_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, SUBSCRIBERS + 500), hard), hard))


def encoded(marker, *parts):
    """A push of these parts; RESP2 marks it as an array."""
    return b"".join([b"%s%d\r\n" % (marker, len(parts)), *(part if part[:1] == b":" else b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)])


def receive_exactly(connection, wanted):
    got = b""
    while len(got) < len(wanted):
        new = connection.recv(len(wanted) - len(got))
        assert new, f"the connection ends after {got!r}"
        got += new
    assert got == wanted, f"got {got!r}, not {wanted!r}"


class Subscriber:
    """A connection, and the bytes that it must get."""

    def __init__(self, step, resp3, by_pattern):
        self.connection = step.server.connect()
        marker = b">" if resp3 else b"*"
        if resp3:
            self.connection.sendall(b"HELLO 3 SETNAME listener\r\n")
            assert b"proto\r\n:3\r\n" in self.connection.recv(4_096)
        kind, name = (b"psubscribe", b"f?n") if by_pattern else (b"subscribe", b"fan")
        self.connection.sendall(b"%s %s\r\n" % (kind, name))
        receive_exactly(self.connection, encoded(marker, kind, name, b":1\r\n"))
        head = [b"pmessage", b"f?n", b"fan"] if by_pattern else [b"message", b"fan"]
        self.wanted = b"".join(encoded(marker, *head, b"message %d" % number) for number in range(MESSAGES))
        self.got = 0

    def read(self):
        """Takes what has come; whether that is all."""
        new = self.connection.recv(65_536)
        assert new, f"a subscriber's connection ends after {self.got} of {len(self.wanted)} bytes"
        assert self.wanted.startswith(new, self.got), f"a subscriber gets {new[:100]!r} instead of {self.wanted[self.got:][:100]!r}"
        self.got += len(new)
        return self.got == len(self.wanted)


def fan_out(step):
    raise_file_limit()
    subscribers = [Subscriber(step, number % 2 == 1, number % 5 == 4) for number in range(SUBSCRIBERS)]
    waiting = selectors.DefaultSelector()
    for subscriber in subscribers:
        waiting.register(subscriber.connection, selectors.EVENT_READ, subscriber)
    r = step.connect()
    expected = SUBSCRIBERS
    assert r.execute_command("PUBSUB", "NUMSUB", "fan")[1] == SUBSCRIBERS * 4 // 5 and r.pubsub_numpat() == 1
    published, left, deadline = 0, SUBSCRIBERS, time.monotonic() + PATIENCE_S
    while left:
        assert time.monotonic() < deadline, f"{left} subscribers still lack messages"
        if published < MESSAGES:
            count = min(10, MESSAGES - published)
            pipeline = r.pipeline(transaction=False)
            for number in range(published, published + count):
                pipeline.publish("fan", f"message {number}")
            assert pipeline.execute() == [expected] * count
            published += count
        for key, _ in waiting.select(0 if published < MESSAGES else 1):
            if key.data.read():
                waiting.unregister(key.fileobj)
                left -= 1
    for subscriber in subscribers:
        subscriber.connection.close()
    return f"{SUBSCRIBERS * MESSAGES:,} messages"


def slow_listener(step):
    """A subscriber that does not read is cut off at its limit, and nobody else waits for it."""
    r = step.connect()
    r.config_set("client-output-buffer-limit", "pubsub 1mb 0 0")
    slow, quick = step.server.connect(), step.server.connect()
    for connection in (slow, quick):
        connection.sendall(b"SUBSCRIBE load\r\n")
        receive_exactly(connection, encoded(b"*", b"subscribe", b"load", b":1\r\n"))
    message = b"x" * 100_000
    deadline = time.monotonic() + PATIENCE_S
    receivers = 2
    while receivers == 2:
        assert time.monotonic() < deadline, "the one that does not read is still there"
        receivers = r.publish("load", message)
        receive_exactly(quick, encoded(b"*", b"message", b"load", message))
    assert receivers == 1
    assert r.publish("load", b"end") == 1
    receive_exactly(quick, encoded(b"*", b"message", b"load", b"end"))


STEPS = [
    (f"{MESSAGES} messages to {SUBSCRIBERS:,} subscribers", [], fan_out),
    ("a listener that does not read", [], slow_listener),
]
