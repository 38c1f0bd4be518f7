"""Starts the server that a suite of this directory runs against, on a free port and in a directory of its own."""

import contextlib
import pathlib
import random
import socket
import subprocess
import tempfile
import time

START_MAX_S = 20
LOG_TAIL_BYTES = 2_000


def free_port():
    """None of those that the system gives to clients: a server that is started again finds it free."""
    while True:
        port = random.randrange(10_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Server:
    """A running server: `with Server(binary) as server: … server.port …`. It has ended, and its directory is gone, thereafter."""

    def __init__(self, binary, *arguments):
        self.binary = binary
        self.arguments = arguments
        self.port = free_port()

    def __enter__(self):
        self._scratch = tempfile.TemporaryDirectory()
        self.directory = pathlib.Path(self._scratch.name)
        self._log = self.directory / "log"
        command = [self.binary, "--port", self.port, "--save", "", "--dir", self.directory, "--bind", "127.0.0.1", *self.arguments]
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
        deadline = time.monotonic() + START_MAX_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.connect().close()
                return self
            except OSError:
                time.sleep(0.05)
        log = self.log()
        self.__exit__()
        raise SystemExit(f"{self.binary} does not start:\n{log}")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self._scratch.cleanup()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def has_ended(self):
        return self.process.poll() is not None

    def log(self):
        """The end of what it has written."""
        return self._log.read_text(errors="replace")[-LOG_TAIL_BYTES:]


class Client:
    """A connection that asks one thing after the other."""

    def __init__(self, connection):
        connection.settimeout(60)
        self.socket, self.file = connection, connection.makefile("rb")

    def ask(self, *words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        head = b"*%d\r\n" % len(words)
        self.socket.sendall(head + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return self.reply()

    def reply(self):
        line = self.file.readline()
        if not line:
            raise EOFError("the server has ended")
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        if kind == b"-":
            raise SystemExit(f"an error: {rest.decode()}")
        return int(rest) if kind == b":" else rest
