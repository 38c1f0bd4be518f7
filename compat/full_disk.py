#!/usr/bin/env python3
"""A disk that is full, or can be read only: what is answered, what the server makes of it when there is room again, and what is left.

`compat/full_disk.py [--server BINARY]`. The server's directory is a small file system of its own (as root, or where users may have name
spaces of their own).
"""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import peers
from server import free_port

peers.require_redis_py()
import redis

SIZE = "4m"
AOF_FULL = "MISCONF Errors writing to the AOF file: No space left on device"
RDB_FAILED = (
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the "
    "data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails "
    "(stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error."
)


class Cramped:
    """A server in a directory with little room. The file system lives as long as a process that does nothing else."""

    def __init__(self, binary):
        self.binary = binary
        self.scratch = tempfile.TemporaryDirectory()
        self.directory = self.scratch.name
        script = f"mount -t tmpfs -o size={SIZE} tmpfs {self.directory} && echo ready && exec sleep 100000"
        command = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c", script]
        self.keeper = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if self.keeper.stdout.readline() != "ready\n":
            raise peers.Missing("no file system can be mounted, not even in a name space of its own")
        self.process = None

    def inside(self, *command):
        user = [] if os.geteuid() == 0 else ["--user"]
        return ["nsenter", "--target", str(self.keeper.pid), *user, "--mount", *command]

    def do(self, script):
        subprocess.run(self.inside("sh", "-c", script), check=True, stderr=subprocess.DEVNULL)

    def start(self, *arguments):
        self.port = free_port()
        command = [self.binary, "--port", self.port, "--dir", self.directory, "--bind", "127.0.0.1", *arguments]
        # What it logs must not need room.
        self.process = subprocess.Popen(self.inside(*map(str, command)), stdout=subprocess.DEVNULL)
        self.client = redis.Redis(port=self.port, socket_timeout=20, decode_responses=True)
        self.wait("the start", lambda: self.client.info("persistence")["loading"] == 0)

    def wait(self, what, condition, seconds=30):
        deadline = time.time() + seconds
        while time.time() < deadline:
            try:
                if condition():
                    return
            except (redis.exceptions.BusyLoadingError, redis.exceptions.ConnectionError):
                pass
            time.sleep(0.05)
        raise SystemExit(f"{what} does not come: {self.client.info('persistence')}")

    def kill(self):
        # It is a child of what enters the name space, or has taken its place.
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def fill(self):
        self.do(f"cat /dev/zero > {self.directory}/ballast || true")

    def clear(self):
        self.do(f"rm {self.directory}/ballast")

    def error(self, *words):
        """The error that a command is answered with; empty if it is not."""
        try:
            self.client.execute_command(*words)
            return ""
        except redis.exceptions.ResponseError as error:
            # The client leaves that word out.
            return str(error) or "ERR"

    def write_until(self, text):
        """Writes until that is answered with this error, and returns how many writes were answered well."""
        written = 0
        deadline = time.time() + 30
        while time.time() < deadline:
            error = self.error("RPUSH", "list", "x" * 1000)
            if error:
                expect("the error of a write", error, text)
                return written
            written += 1
            time.sleep(0.001)
        raise SystemExit("the disk is full, and writes go on")

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        self.keeper.kill()
        self.keeper.wait()
        self.scratch.cleanup()


def expect(what, found, wanted):
    if found != wanted:
        raise SystemExit(f"{what}: {found!r} instead of {wanted!r}")


def everysec(server):
    """appendfsync everysec: writes are refused while the disk is full, and nothing is lost."""
    options = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]
    server.start(*options)
    server.fill()
    written = server.write_until(AOF_FULL)
    expect("its status", server.client.info("persistence")["aof_last_write_status"], "err")
    expect("PING", server.error("PING"), AOF_FULL)
    expect("a transaction with a write", transaction(server), "Transaction discarded because of previous errors.")
    expect("a read", server.error("LLEN", "list"), "")
    server.error("BGREWRITEAOF")
    server.wait("the failure of a rewrite", lambda: server.client.info("persistence")["aof_last_bgrewrite_status"] == "err")
    server.clear()
    server.wait("the end of the error", lambda: server.error("RPUSH", "list", "last") == "")
    expect("its status", server.client.info("persistence")["aof_last_write_status"], "ok")
    time.sleep(1.5)
    server.kill()
    server.start(*options)
    expect("elements after a restart", server.client.llen("list"), written + 1)


def transaction(server):
    with server.client.pipeline(transaction=False) as pipeline:
        for words in [("MULTI",), ("SET", "a", "1"), ("EXEC",)]:
            pipeline.execute_command(*words)
        return str(pipeline.execute(raise_on_error=False)[-1])


def always(server):
    """appendfsync always: what cannot be written ends the process, and nothing that was answered is lost."""
    options = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
    server.start(*options)
    server.fill()
    written = 0
    try:
        while written < 10_000:
            server.client.rpush("list", "x" * 1000)
            written += 1
        raise SystemExit("the disk is full, and writes go on")
    except redis.exceptions.ConnectionError:
        expect("how it ends", server.process.wait(20), 1)
    server.clear()
    server.start(*options)
    found = server.client.llen("list")
    if not written <= found <= written + 1:
        raise SystemExit(f"{found} elements of {written}")


def snapshots(server):
    """Save points: writes are refused once a save has failed, until one is well; the file before stays."""
    options = ["--save", "3600 1000000"]
    server.start(*options)
    server.client.rpush("list", *("x" * 1000 for _ in range(100)))
    server.client.save()
    server.client.rpush("list", *(os.urandom(1000) for _ in range(1000)))
    server.fill()
    expect("SAVE", server.error("SAVE"), "ERR")
    expect("BGSAVE", server.error("BGSAVE"), "")
    server.wait("the failure", lambda: server.client.info("persistence")["rdb_last_bgsave_status"] == "err")
    expect("a write", server.error("SET", "a", "1"), RDB_FAILED)
    expect("PING", server.error("PING"), RDB_FAILED)
    expect("a read", server.error("GET", "a"), "")
    server.kill()
    server.start(*options)
    expect("elements after a restart", server.client.llen("list"), 100)
    server.clear()
    expect("a write", server.error("RPUSH", "list", "1"), "")
    expect("BGSAVE", server.error("BGSAVE"), "")
    server.wait("a save", lambda: server.client.info("persistence")["rdb_changes_since_last_save"] == 0)


def read_only(server):
    """A file system that can only be read: nothing can be saved or begun, until it can be written again."""
    server.start("--save", "3600 1000000")
    server.client.set("a", "1")
    server.client.save()
    server.do(f"mount -o remount,ro {server.directory}")
    expect("SAVE", server.error("SAVE"), "ERR")
    refusal = "CONFIG SET failed (possibly related to argument 'appendonly') - Unable to turn on AOF. Check server logs."
    expect("CONFIG SET appendonly yes", server.error("CONFIG", "SET", "appendonly", "yes"), refusal)
    expect("appendonly", server.client.config_get("appendonly")["appendonly"], "no")
    expect("BGSAVE", server.error("BGSAVE"), "")
    server.wait("the failure", lambda: server.client.info("persistence")["rdb_last_bgsave_status"] == "err")
    expect("a write", server.error("SET", "a", "2"), RDB_FAILED)
    server.do(f"mount -o remount,rw {server.directory}")
    expect("SAVE", server.error("SAVE"), "")
    expect("a write", server.error("SET", "a", "2"), "")
    server.kill()
    server.start("--save", "3600 1000000")
    expect("what is left", server.client.get("a"), "1")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", default=None)
    options = parser.parse_args()
    binary = peers.server_under_test(options.server)
    for scenario in [everysec, always, snapshots, read_only]:
        server = Cramped(binary)
        try:
            scenario(server)
        except SystemExit as failure:
            raise SystemExit(f"{scenario.__name__}: {failure}")
        finally:
            server.close()
        print(f"ok  {scenario.__doc__}")


if __name__ == "__main__":
    try:
        main()
    except peers.Missing as missing:
        sys.exit(str(missing))
