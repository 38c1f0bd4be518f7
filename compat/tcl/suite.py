"""Drives the test clients of the TCL suite, in the place of the suite's own test server.

The suite's `test_helper.tcl` is a server that hands units to clients and prints what they report. Its clients are run here
unmodified; only the handing out is ours, so that every result arrives with its unit, a test that hangs can be named and its
unit ended, and one broken unit does not end the run.
"""

import collections
import os
import pathlib
import re
import selectors
import shutil
import signal
import socket
import subprocess
import time

PORTS_PER_CLIENT = 1000
TCL_SPACE = " \t\n\v\f\r"


def parse_list(text):
    """The elements of a TCL list."""
    elements, at = [], 0
    while True:
        while at < len(text) and text[at] in TCL_SPACE:
            at += 1
        if at == len(text):
            return elements
        if text[at] == "{":
            depth, start = 1, at + 1
            at = start
            while depth:
                if text[at] == "\\":
                    at += 1
                elif text[at] == "{":
                    depth += 1
                elif text[at] == "}":
                    depth -= 1
                at += 1
            elements.append(text[start : at - 1])
        elif text[at] == '"':
            end = at + 1
            while text[end] != '"':
                end += 2 if text[end] == "\\" else 1
            elements.append(unescape(text[at + 1 : end]))
            at = end + 1
        else:
            end = at
            while end < len(text) and text[end] not in TCL_SPACE:
                end += 2 if text[end] == "\\" else 1
            elements.append(unescape(text[at:end]))
            at = end


ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def unescape(word):
    return re.sub(
        r"\\(x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{1,4}|[0-7]{1,3}|.)",
        lambda found: (
            chr(int(found[1][1:], 16))
            if found[1][0] in "xu" and len(found[1]) > 1
            else chr(int(found[1], 8))
            if found[1][0] in "01234567"
            else ESCAPES.get(found[1], found[1])
        ),
        word,
        flags=re.DOTALL,
    )


def make_list(elements):
    """A TCL list of the elements, all of them written with backslashes."""
    return " ".join("{}" if not e else re.sub(r"([^\w./-])", escape_character, e) for e in elements)


def escape_character(found):
    special = {value: key for key, value in ESCAPES.items()}
    return "\\" + special.get(found[1], found[1])


class UnitResult:
    """What one unit reported."""

    def __init__(self, unit):
        self.unit = unit
        self.tests = {}  # name -> ("pass" | "fail" | "skip", details); in order
        self.errors = []  # errors outside of any test
        self.seconds = 0.0
        self.current = None

    def record(self, name, status, details=""):
        key, repeated = name, 1
        while key in self.tests:
            repeated += 1
            key = f"{name} #{repeated}"
        self.tests[key] = (status, details)

    def error(self, data):
        """An `err` packet: a failed test, or a failure around the tests."""
        first, _, rest = data.partition("\n")
        name, separator, _ = first.rpartition(f" in tests/{self.unit}.tcl")
        if separator:
            self.record(name, "fail", rest)
        else:
            self.errors.append(data)


class Client:
    """One test client: a tclsh of the suite, with the servers that it starts."""

    def __init__(self, suite, number):
        self.suite, self.number = suite, number
        self.result = None
        self.servers = set()
        self.start()

    def start(self):
        suite = self.suite
        command = ["tclsh", "tests/test_helper.tcl", *suite.arguments]
        command += ["--clients", str(suite.clients), "--durable"]
        for name in suite.skipped:
            command += ["--skiptest", name]
        command += ["--client", str(suite.listener.getsockname()[1])]
        command += ["--baseport", str(suite.baseport + self.number * PORTS_PER_CLIENT)]
        command += ["--portcount", str(PORTS_PER_CLIENT)]
        with open(suite.directory / f"client-{self.number}.log", "ab") as log:
            self.process = subprocess.Popen(
                command, cwd=suite.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.connection, _ = suite.listener.accept()
        suite.selector.register(self.connection, selectors.EVENT_READ, self)
        self.buffer, self.carriage_return = b"", b""

    def kill(self):
        """Ends the client and every server it started."""
        self.suite.selector.unregister(self.connection)
        self.connection.close()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # It ended by itself.
        self.process.wait()
        for pid in self.servers:
            if server_is_ours(pid, self.suite.directory):
                os.kill(pid, signal.SIGKILL)
        self.servers.clear()

    def send(self, *elements):
        payload = make_list(elements).encode("latin-1")
        self.connection.sendall(b"%d\n%s" % (len(payload), payload))

    def packets(self):
        """The packets that have arrived; None once the client is gone."""
        try:
            data = self.connection.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            return None
        # TCL writes line ends to a socket as CRLF, and counts them as one character.
        data = self.carriage_return + data
        self.carriage_return = b"\r" if data.endswith(b"\r") else b""
        self.buffer += data[: len(data) - len(self.carriage_return)].replace(b"\r\n", b"\n")
        packets = []
        while (end := self.buffer.find(b"\n")) >= 0:
            length = int(self.buffer[:end])
            if len(self.buffer) < end + 1 + length:
                break
            payload = self.buffer[end + 1 : end + 1 + length]
            self.buffer = self.buffer[end + 1 + length :]
            packets.append(parse_list(payload.decode("latin-1")))
        return packets


def server_is_ours(pid, directory):
    """Whether the process still is one that was started in the suite's directory: a pid may have been given to another."""
    try:
        return os.readlink(f"/proc/{pid}/cwd").startswith(str(directory))
    except OSError:
        return False


class Suite:
    """A run of units by several clients in one directory made for it. `left_out` has, by unit, what of its text is not run."""

    def __init__(
        self, source, server, tools, directory, clients, baseport, skipped, left_out, arguments, silence_max_s, report
    ):
        self.directory, self.clients, self.baseport = directory, clients, baseport
        self.skipped, self.left_out, self.arguments = skipped, left_out, arguments
        self.silence_max_s, self.report = silence_max_s, report
        shutil.copytree(source / "tests", directory / "tests")
        for name in ("redis.conf", "sentinel.conf"):
            shutil.copy(source / name, directory / name)
        (directory / "utils").symlink_to(source / "utils")
        (directory / "src").mkdir()
        shutil.copy(server, directory / "src" / "redis-server")
        for name, path in tools.items():
            shutil.copy(path, directory / "src" / name)
        # Some tests read the sources, `commands.c` and the like.
        for path in (source / "src").iterdir():
            if not (directory / "src" / path.name).exists():
                (directory / "src" / path.name).symlink_to(path)

    def run(self, units):
        """Runs the units; their results by name."""
        self.selector = selectors.DefaultSelector()
        self.results = {unit: UnitResult(unit) for unit in units}
        self.waiting = collections.deque(units)
        self.solo = collections.deque()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(30)
        clients = [Client(self, number) for number in range(self.clients)]
        try:
            self.loop(clients)
        finally:
            for client in clients:
                client.kill()
            self.listener.close()
        return self.results

    def loop(self, clients):
        idle = []
        for client in clients:
            client.heard = time.monotonic()
        while True:
            for client in list(idle):
                if not self.hand_out(client, busy=len(clients) - len(idle)):
                    break
                idle.remove(client)
            if len(idle) == len(clients):
                return
            for key, _ in self.selector.select(timeout=1):
                client = key.data
                packets = client.packets()
                client.heard = time.monotonic()
                if packets is None:
                    self.stop_unit(client, "the test client ended")
                    continue
                for packet in packets:
                    if self.receive(client, *packet[:2]):
                        idle.append(client)
            for client in clients:
                if client not in idle and time.monotonic() - client.heard > self.silence_max_s:
                    self.stop_unit(client, f"nothing happened for {self.silence_max_s} s")
                    client.heard = time.monotonic()

    def hand_out(self, client, busy):
        """Gives an idle client its next unit, or once no other client is busy a piece of code that must run alone."""
        if self.waiting:
            client.result = self.results[self.waiting.popleft()]
            self.send_unit(client, client.result.unit)
        elif self.solo and busy == 0:
            code = self.solo.popleft()
            unit = parse_list(code)[1].removeprefix("tests/").removesuffix(".tcl")
            client.result = self.results[unit]
            client.send("run_code", code)
        else:
            return False
        client.started = client.heard = time.monotonic()
        return True

    def send_unit(self, client, unit):
        """Has a client run a unit, or what is left of its text."""
        if unit not in self.left_out:
            client.send("run", unit)
            return
        path = f"tests/{unit}.tcl"
        code, count = self.left_out[unit].subn("", (self.directory / path).read_text("ascii"))
        if count != 1:
            raise ValueError(f"{unit} has {count} parts that are to be left out, and not one")
        client.send("run_code", make_list([unit, path, code]))

    def receive(self, client, status, data):
        """Takes note of one packet. True when the client has become idle."""
        result = client.result
        if status == "ready":
            return True
        if status == "testing":
            result.current = data
        elif status == "ok":
            result.record(data, "pass")
        elif status == "skip":
            result.record(data, "skip")
        elif status == "err":
            result.error(data)
        elif status == "exception":
            self.stop_unit(client, data)
        elif status == "run_solo":
            self.solo.append(data)
        elif status == "server-spawned":
            client.servers.add(int(data))
        elif status == "server-killed":
            client.servers.discard(int(data))
        elif status == "done":
            self.unit_done(client)
            return True
        if status in ("ok", "skip", "err"):
            result.current = None
        return False

    def unit_done(self, client):
        client.result.seconds += time.monotonic() - client.started
        self.report(client.result)
        client.result = None

    def stop_unit(self, client, reason):
        """Ends a unit that cannot go on, and starts the client anew."""
        client.kill()
        result = client.result
        if result is not None:
            result.errors.append(f"{reason} (in {result.current!r})" if result.current else reason)
            if result.current:
                result.record(result.current, "fail", reason)
            self.unit_done(client)
        client.start()


def units_of(source):
    """All units of the suite, in its own order."""
    helper = pathlib.Path("tests") / "test_helper.tcl"
    listed = subprocess.run(["tclsh", helper, "--list-tests"], cwd=source, stdout=subprocess.PIPE, text=True, check=True)
    return listed.stdout.split()
