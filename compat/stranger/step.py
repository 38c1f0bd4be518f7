"""What the steps of the path are written with: the server, redis-cli and its fellows, and a terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import redis

PATIENCE_S = 60
ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LINE_END = re.compile(r"\r+\n")


def expect(text, pattern):
    """The match of a pattern that must be in a text."""
    found = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    assert found, f"no {pattern!r} in:\n{text[-1_500:]}"
    return found


def same(got, wanted):
    assert got == wanted, f"got {got!r}, not {wanted!r}"


def same_start(got, wanted):
    assert got.startswith(wanted), f"{got!r} does not begin with {wanted!r}"


class Step:
    def __init__(self, tested, tools):
        self.server = tested
        self.tools = tools
        self._open = []

    def connect(self, **options):
        return redis.Redis("127.0.0.1", self.server.port, **{"decode_responses": True, "protocol": 2, **options})

    def lacks(self, commands):
        """Those of some commands that the server does not have."""
        found = self.connect().execute_command("COMMAND INFO", *commands) if commands else []
        return [command for command, info in zip(commands, found) if info is None]

    def command(self, tool, *arguments):
        return [str(self.tools[tool]), "-p", str(self.server.port), *map(str, arguments)]

    def run(self, tool, *arguments, stdin="", code=0):
        """What a tool prints, run to its end."""
        done = subprocess.run(
            self.command(tool, *arguments), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600
        )
        assert done.returncode == code, f"{tool} {' '.join(map(str, arguments))}: ends with {done.returncode}:\n{done.stdout[-1_500:]}"
        return done.stdout

    def cli(self, *arguments, **options):
        return self.run("redis-cli", *arguments, **options)

    def terminal(self, *arguments):
        """redis-cli at a terminal."""
        opened = Terminal(self.command("redis-cli", *arguments))
        self._open.append(opened)
        return opened

    def clean_up(self):
        for opened in self._open:
            opened.close()


class Terminal:
    """A program at a pseudo-terminal: what it shows, without colours, and what is typed."""

    def __init__(self, command):
        self.shown = ""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm", REDISCLI_HISTFILE="/dev/null")
            os.execv(command[0], command)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 250, 0, 0))

    def type(self, text):
        os.write(self._fd, text.encode())

    def wait_for(self, pattern):
        """Waits until something is shown; what was shown up to its end is forgotten then. Returns the match."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := re.search(pattern, self.shown)):
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self._fd], [], [], left)[0], f"no {pattern!r} is shown, but {self.shown[-1_500:]!r}"
            try:
                new = os.read(self._fd, 65_536).decode(errors="replace")
            except OSError:
                new = ""
            assert new, f"it ended without showing {pattern!r}: {self.shown[-1_500:]!r}"
            self.shown = LINE_END.sub("\n", ESCAPE_SEQUENCE.sub("", self.shown + new))
        self.shown = self.shown[found.end() :]
        return found

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self._fd)
            self.pid = 0
