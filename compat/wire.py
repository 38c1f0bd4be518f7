"""A client for millions of commands: what is sent is made ahead, and replies are read by lines.

Replies may be anything but strings that have line ends in them."""

import socket


def command(*words):
    """A command as it is sent; words are bytes, text or numbers."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        if not isinstance(word, bytes):
            word = str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


class Wire:
    def __init__(self, port, timeout=600):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb", buffering=1 << 20)

    def send(self, *commands):
        self.socket.sendall(b"".join(commands))

    def line(self):
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server has hung up")
        return line[:-2]

    def lines(self, count):
        """So many lines, with their ends cut off."""
        readline = self.stream.readline
        lines = [readline() for _ in range(count)]
        if lines and not lines[-1].endswith(b"\r\n"):
            raise ConnectionError("the server has hung up")
        return [line[:-2] for line in lines]

    def reply(self):
        """The next reply; errors are raised."""
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.bulk(int(rest))
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        raise RuntimeError(rest.decode(errors="replace"))

    def bulk(self, length):
        return self.stream.read(length + 2)[:-2]

    def ask(self, *words):
        self.send(command(*words))
        return self.reply()

    def run(self, commands):
        """Sends commands, each made by `command`, and waits for their replies, which must be no errors."""
        self.send(*commands)
        for _ in commands:
            self.reply()

    def info(self, section):
        text = self.ask("INFO", section).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def close(self):
        self.stream.close()
        self.socket.close()
