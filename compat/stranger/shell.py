"""redis-cli at a terminal: hints, help, prompts, pushes."""

from step import expect

# What is typed, and what the grey hint behind it must say.
HINTS = {
    "get ": r"key",
    "set ": r"key value \[.*NX.*XX.*\] \[GET\] \[EX seconds\|PX milliseconds\|EXAT .*\|PXAT .*\|KEEPTTL\]",
    "set k ": r"value \[",
    "lpush ": r"key element \[element \.\.\.\]",
    "blmove ": r"source destination LEFT\|RIGHT LEFT\|RIGHT timeout",
    "bitfield ": r"key .*GET encoding offset",
    "config get ": r"parameter \[parameter \.\.\.\]",
    "client kill ": r".*ID client-id",
    "object encoding ": r"key",
    "scan ": r"cursor \[MATCH pattern\] \[COUNT count\] \[TYPE type\]",
    "psubscribe ": r"pattern \[pattern \.\.\.\]",
}


class Shell:
    def __init__(self, step, *arguments):
        self._prompt = rf"127\.0\.0\.1:{step.server.port}"
        self._terminal = step.terminal(*arguments)
        self.type, self.wait_for = self._terminal.type, self._terminal.wait_for
        self.wait_for(self._prompt + "> ")

    def send(self, line, pattern):
        """Types a line and waits for what it must bring."""
        self.type(line + "\r")
        self.wait_for(pattern)

    def ask(self, line, pattern, prompt=""):
        """Likewise, and waits for the next prompt: what is typed before it is lost."""
        self.send(line, pattern)
        self.wait_for(self._prompt + prompt + "> ")


def hints(step):
    shell = Shell(step)
    expect(step.cli("info", "commandstats"), r"^cmdstat_command\|docs:calls=1,")
    for typed, hint in HINTS.items():
        shell.type(typed)
        shell.wait_for(f"> {typed}{hint}")
        shell.type("\x15")  # Control-U clears the line.
    # Hints come from what the server says: the program itself knows nothing newer than Redis 7.0.
    for newer, hint in {"hexpire ": "key seconds", "commandlog get ": "count SLOW", "client no-touch ": "ON\\|OFF"}.items():
        if not step.lacks([newer.strip().replace(" ", "|", 1)]):
            shell.type(newer)
            shell.wait_for(f"> {newer}{hint}")
            shell.type("\x15")
    shell.type("getra\t")
    shell.wait_for("GETRANGE key start end")


def help_of_commands(step):
    shell = Shell(step)
    shell.ask("help getrange", r"GETRANGE key start end\n\s+summary: \S.*\n\s+since: 2\.4\.0\n\s+group: string")
    shell.ask("help @list", r"BLMOVE .*\n\s+summary: ")
    shell.ask("help client kill", r"CLIENT KILL .*\n\s+summary: ")


def prompts(step):
    shell = Shell(step)
    shell.ask("set greeting hello", r"\nOK\n")
    shell.ask("get greeting", r'\n"hello"\n')
    shell.ask("select 3", r"\nOK\n", prompt=r"\[3\]")
    shell.ask("multi", r"\nOK\n", prompt=r"\[3\]\(TX\)")
    shell.ask("incr n", r"\nQUEUED\n", prompt=r"\[3\]\(TX\)")
    shell.ask("exec", r"1\) \(integer\) 1\n", prompt=r"\[3\]")
    shell.ask("3 incr n", r"\(integer\) 2\n\(integer\) 3\n\(integer\) 4\n", prompt=r"\[3\]")
    shell.ask("lpush n x", r"\(error\) WRONGTYPE ", prompt=r"\[3\]")
    shell.ask('set "two words" "\\x00\\""', r"\nOK\n", prompt=r"\[3\]")
    shell.ask('get "two words"', r'\n"\\x00\\""\n', prompt=r"\[3\]")
    shell.ask("blpop none 0.1", r"\(nil\)\n", prompt=r"\[3\]")
    shell.ask("reset", r"\nRESET\n")
    # It notices that it was cut off, and connects again.
    step.cli("client", "kill", "type", "normal")
    shell.send("ping", "Server closed the connection\nnot connected> ")
    shell.ask("ping", r"\nPONG\n")


def subscriptions(step):
    shell = Shell(step)
    shell.send("subscribe news", r'1\) "subscribe"\n2\) "news"\n3\) \(integer\) 1')
    assert step.cli("publish", "news", "hello") == "1\n"
    shell.wait_for(r'1\) "message"\n2\) "news"\n3\) "hello"')
    # In RESP3 as well.
    shell = Shell(step, "-3")
    shell.send("subscribe news", r'1\) "subscribe"\n2\) "news"\n3\) \(integer\) 1')
    assert step.cli("publish", "news", "again") == "2\n"
    shell.wait_for(r'1\) "message"\n2\) "news"\n3\) "again"')


def monitor(step):
    shell = Shell(step)
    shell.send("monitor", "OK")
    step.cli("get", "watched")
    shell.wait_for(r'\[0 127\.0\.0\.1:\d+\] "get" "watched"')


STEPS = [
    ("hints as one types", [], hints),
    ("help", [], help_of_commands),
    ("prompts, errors, reconnection", [], prompts),
    ("SUBSCRIBE, RESP2 and RESP3", [], subscriptions),
    ("MONITOR", [], monitor),
]
