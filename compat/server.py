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
