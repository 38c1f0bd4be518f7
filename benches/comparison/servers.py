"""Servers to be measured: how they are started, and what the system says of them."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time

PATIENCE_S = 20
# What makes the servers do the same work: nothing is saved, and nobody else is let in.
COMMON = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--maxclients", "20000"]


class Failed(Exception):
    """The measurement cannot go on."""


class Contender:
    """A server that takes part."""

    def __init__(self, name, binary, options):
        self.name, self.binary, self.options = name, binary, options

    def version(self):
        """Its name with the version that it is, and its allocator, which matters for memory."""
        with self.running() as server, server.connect() as connection:
            info = dict(line.split(":", 1) for line in connection.ask("INFO").splitlines() if ":" in line)
        versions = [f"{self.name.lower()}_version", "redis_version"]
        return f"{self.name} {next(info[field] for field in versions if field in info)}", info["mem_allocator"]

    @contextlib.contextmanager
    def running(self, cpu=None, options=(), directory=None):
        """The server, started on a core or on all, with more `options`, in a directory of its own or another, and ended when done."""
        with tempfile.TemporaryDirectory() as scratch, open(os.path.join(scratch, "log"), "w+b") as log:
            port = free_port()
            process = subprocess.Popen(
                [self.binary, "--port", str(port), *COMMON, *self.options, *options],
                cwd=directory or scratch,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=None if cpu is None else lambda: os.sched_setaffinity(0, {cpu}),
            )
            try:
                deadline = time.monotonic() + PATIENCE_S
                while process.poll() is None and time.monotonic() < deadline:
                    with contextlib.suppress(OSError):
                        Connection(port).close()
                        break
                    time.sleep(0.05)
                else:
                    log.seek(0)
                    raise Failed(f"{self.binary} does not start:\n{log.read().decode(errors='replace')}")
                yield Server(process, port)
            finally:
                process.terminate()
                process.wait()


class Server:
    """A running server."""

    def __init__(self, process, port):
        self.process, self.port = process, port

    def connect(self):
        return Connection(self.port)

    def cpu_s(self):
        """Seconds of processor time that all its threads have used."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self):
        """Bytes of memory that it occupies."""
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def proportional(self):
        """Bytes of memory that it and its children occupy, those that they share counted once."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
            pids = [self.process.pid, *map(int, file.read().split())]
        total = 0
        for pid in pids:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as file:
                total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
        return total

    def has(self, command):
        with self.connect() as connection:
            return connection.ask("COMMAND", "INFO", command) not in ([None], [])


class Connection(contextlib.closing):
    """A client, of as much of the protocol as is needed here."""

    def __init__(self, port):
        super().__init__(self)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.replies = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def close(self):
        self.replies.close()
        self.socket.close()

    def ask(self, *words):
        self.socket.sendall(request(*words))
        return self.reply()

    def reply(self):
        line = self.replies.readline()
        kind, rest = line[:1], line[1:].strip().decode()
        if kind == b"-" or not line:
            raise Failed(f"the server answers {rest or 'nothing'}")
        if kind == b"$" and rest != "-1":
            return self.replies.read(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == b"*" and rest != "-1":
            return [self.reply() for _ in range(int(rest))]
        return None if rest == "-1" else rest


def request(*words):
    """A command as it goes over the wire."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(word), word))
    return b"".join(parts)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
