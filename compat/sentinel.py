#!/usr/bin/env python3
"""The real Sentinel fails over between Radish servers: a primary, two replicas, three sentinels, and a client that writes with WAIT 2.

`compat/sentinel.py [--rounds N] [--tls] [--server BINARY]`. With `--tls` all that they say to each other is encrypted. In each round the primary is killed; a replica must take its place, the other
must follow it, and everything that both replicas had acknowledged must be there. The killed server comes back as a replica.
"""

import argparse
import contextlib
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import peers
from server import Server, free_port

peers.require_redis_py()
import redis

NAME = "tested"
CONFIG = """\
{ports}
dir {directory}
sentinel monitor {name} 127.0.0.1 {primary} 2
sentinel down-after-milliseconds {name} 1500
sentinel failover-timeout {name} 6000
"""


def wait_for(what, condition, seconds=60):
    deadline = time.time() + seconds
    while time.time() < deadline:
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            if condition():
                return
        time.sleep(0.1)
    raise SystemExit(f"waited in vain: {what}")


class Encryption:
    """Certificates, and what servers, sentinels and clients are told of them."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory()
        place = pathlib.Path(self.directory.name)
        (place / "extensions").write_text("subjectAltName = IP:127.0.0.1, DNS:localhost\n")
        for command in [
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt",
            "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout own.key -out own.csr",
            "x509 -req -in own.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out own.crt",
        ]:
            subprocess.run(["openssl", *command.split()], cwd=place, check=True, capture_output=True)
        self.files = {"tls-ca-cert-file": place / "ca.crt", "tls-cert-file": place / "own.crt", "tls-key-file": place / "own.key"}

    def directives(self, port):
        """The directives of one who listens to this port only with TLS."""
        return {"port": 0, "tls-port": port, "tls-replication": "yes", **self.files}

    def of_client(self):
        ca, certificate, key = self.files.values()
        return {"ssl": True, "ssl_ca_certs": ca, "ssl_certfile": certificate, "ssl_keyfile": key, "ssl_check_hostname": False}


# If all connections are to be encrypted.
encryption = None


def directives(port):
    return encryption.directives(port) if encryption else {"port": port}


def connect(port):
    return redis.Redis(port=port, socket_timeout=10, protocol=2, **(encryption.of_client() if encryption else {}))


class Node(Server):
    """A server that listens as the others do."""

    def __init__(self, binary):
        super().__init__(binary, "--repl-diskless-sync-delay", "0")
        self.arguments += tuple(word for name, value in directives(self.port).items() for word in (f"--{name}", value))


class Sentinels:
    def __init__(self, program, primary):
        self.directory = tempfile.TemporaryDirectory()
        self.ports = [free_port() for _ in range(3)]
        self.processes = []
        for port in self.ports:
            path = pathlib.Path(self.directory.name) / f"{port}.conf"
            ports = "\n".join(f"{name} {value}" for name, value in directives(port).items())
            path.write_text(CONFIG.format(ports=ports, directory=self.directory.name, name=NAME, primary=primary))
            self.processes.append(subprocess.Popen([program, path], stdout=subprocess.DEVNULL))

    def primary(self):
        address = connect(self.ports[0]).execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return int(address[1])

    def are_ready(self):
        """Whether each knows both replicas and the two other sentinels."""
        for port in self.ports:
            text = connect(port).execute_command("INFO", "sentinel")
            text = text if isinstance(text, str) else str(text)
            if "'slaves': 2" not in text and "slaves=2" not in text or "'sentinels': 3" not in text and "sentinels=3" not in text:
                return False
        return True

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.directory.cleanup()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tls", action="store_true", help="encrypt all connections")
    parser.add_argument("--server", default=None)
    options = parser.parse_args()
    if options.tls:
        global encryption
        encryption = Encryption()
    binary = peers.server_under_test(options.server)
    program = peers.redis_tools()["redis-sentinel"]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Node(binary)) for _ in range(3)]
        by_port = {server.port: server for server in servers}
        for server in servers[1:]:
            connect(server.port).execute_command("REPLICAOF", "127.0.0.1", servers[0].port)
        sentinels = Sentinels(program, servers[0].port)
        stack.callback(sentinels.close)
        acknowledged = {}
        primary = servers[0].port
        for number in range(options.rounds):
            wait_for("all sentinels know all servers", sentinels.are_ready)
            client = connect(primary)
            wait_for("both replicas follow", lambda: client.execute_command("WAIT", 2, 1000) == 2)
            until = time.time() + 3
            while time.time() < until:
                key = f"key:{number}:{len(acknowledged)}"
                client.set(key, number)
                if client.execute_command("WAIT", 2, 5000) == 2:
                    acknowledged[key] = str(number).encode()
            old, before = by_port[primary], primary
            old.process.kill()
            old.process.wait()
            wait_for("a replica takes its place", lambda: sentinels.primary() != before)
            primary = sentinels.primary()
            client = connect(primary)
            wait_for("it is a primary", lambda: client.execute_command("ROLE")[0] == b"master")
            other = next(port for port in by_port if port not in (before, primary))
            follows = lambda: connect(other).execute_command("ROLE")[:4] == [b"slave", b"127.0.0.1", primary, b"connected"]
            wait_for("the other follows it", follows)
            missing = [key for key, value in acknowledged.items() if client.get(key) != value]
            if missing:
                raise SystemExit(f"{len(missing)} of {len(acknowledged)} acknowledged writes are missing: {missing[:5]}")
            print(f"round {number + 1}: {len(acknowledged)} acknowledged writes, all there after the failover")
            command = [binary, "--save", "", "--dir", old.directory, "--bind", "127.0.0.1", *old.arguments]
            old.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
            wait_for("the old primary follows", lambda: connect(before).execute_command("ROLE")[0] == b"slave")
    print("ok")


if __name__ == "__main__":
    try:
        main()
    except peers.Missing as missing_part:
        sys.exit(str(missing_part))
