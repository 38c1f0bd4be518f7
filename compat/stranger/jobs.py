"""Job queues over lists, with consumers that come and go. What was pushed must be taken once, and must not be lost.

Producers and consumers are processes. A consumer writes down what it has got with one system call, so that its notes outlive it:
killed, it may have been sent one job that it did not write down, and no more.
"""

import collections
import multiprocessing
import os
import random
import signal
import socket
import time

JOBS = 100_000
CONSUMERS = 6
# One is killed whenever so much more has been noted: at the pace of the work, however slow the machine is.
NOTED_BYTES_PER_KILL = 2_000
PATIENCE_S = 300

processes = multiprocessing.get_context("fork")


class Crew:
    """Processes that all do the same and note what they have done in files of their own."""

    def __init__(self, step, work):
        self.step = step
        self.work = work
        self.directory = step.server.directory
        self.hired = 0
        self.present = {}

    def hire(self):
        number, self.hired = self.hired, self.hired + 1
        process = processes.Process(target=self._run, args=(number,), daemon=True)
        process.start()
        self.present[number] = process

    def _run(self, number):
        notes = os.open(self.directory / f"notes-{number}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self.work(self.step.connect(), number, lambda job: os.write(notes, f"{job}\n".encode()))

    def kill_one(self):
        """Kills one of them and returns its number."""
        number, process = random.choice(list(self.present.items()))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        del self.present[number]
        return number

    def wait_for_work(self):
        """Waits until they have done some more jobs."""
        goal = self._noted_bytes() + NOTED_BYTES_PER_KILL
        wait_until(lambda: self._noted_bytes() >= goal, "jobs to be done")

    def _noted_bytes(self):
        return sum(path.stat().st_size for path in self.directory.glob("notes-*"))

    def wait(self):
        for process in self.present.values():
            process.join(PATIENCE_S)
            assert process.exitcode == 0, f"a process ends with {process.exitcode}"

    def notes(self):
        """How often each job was noted."""
        lines = (line for path in self.directory.glob("notes-*") for line in path.read_text().splitlines())
        return collections.Counter(map(int, lines))


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def produce(step, number):
    """Every second job from `number` on: batches on the one list, now and then a single one on the other."""
    r = step.connect()
    for start in range(number, JOBS, 100):
        pipeline = r.pipeline(transaction=False)
        for job in range(start, min(start + 100, JOBS), 2):
            pipeline.lpush("jobs", job) if job % 10 else pipeline.rpush("urgent", job)
        pipeline.execute()


def producers(step):
    started = [processes.Process(target=produce, args=(step, number), daemon=True) for number in range(2)]
    for process in started:
        process.start()
    return started


def consume(r, _, note):
    while reply := r.brpop(["urgent", "jobs"], timeout=20):
        if reply[1] == "stop":
            return
        note(reply[1])


def check(noted, lost_max=0, again_max=0):
    lost = JOBS - len(noted)
    again = sum(noted.values()) - len(noted)
    assert lost <= lost_max and again <= again_max, f"{lost} jobs lost, {again} done twice"
    return f"{lost} lost, {again} done twice"


def finish(step, crew, started):
    for process in started:
        process.join(PATIENCE_S)
        assert process.exitcode == 0, f"a producer ends with {process.exitcode}"
    r = step.connect()
    wait_until(lambda: r.llen("jobs") + r.llen("urgent") == 0, "the queue to empty")
    r.lpush("jobs", *["stop"] * len(crew.present))
    crew.wait()


def brpop(step):
    crew = Crew(step, consume)
    for _ in range(CONSUMERS):
        crew.hire()
    finish(step, crew, producers(step))
    return check(crew.notes())


def brpop_killed(step):
    crew = Crew(step, consume)
    for _ in range(CONSUMERS):
        crew.hire()
    started, kills = producers(step), 0
    r = step.connect()
    while any(process.is_alive() for process in started) or r.llen("jobs") > 5_000:
        crew.wait_for_work()
        crew.kill_one()
        kills += 1
        crew.hire()
    finish(step, crew, started)
    # What a killed consumer was sent and had no time to note.
    return f"{kills} consumers killed, {check(crew.notes(), lost_max=kills)}"


def timeouts(step):
    """Waits that end just when something is pushed: it goes to the client or stays, and does not get lost between."""
    pushed = 5_000

    def impatient(r, _, note):
        while (reply := r.brpop("jobs", timeout=random.uniform(0.001, 0.004))) is None or reply[1] != "stop":
            if reply:
                note(reply[1])

    crew = Crew(step, impatient)
    for _ in range(4):
        crew.hire()
    r = step.connect()
    for job in range(pushed):
        r.lpush("jobs", job)
        time.sleep(random.uniform(0, 0.002))
    r.lpush("jobs", *["stop"] * 4)
    crew.wait()
    noted = crew.notes()
    assert noted == dict.fromkeys(range(pushed), 1), f"{pushed - len(noted)} lost, {sum(noted.values()) - len(noted)} twice"


BLOCKING = [
    ["BRPOP", "jobs", "0"],
    ["BLPOP", "none", "jobs", "0"],
    ["BLMOVE", "jobs", "elsewhere", "LEFT", "RIGHT", "0"],
    ["BLMPOP", "0", "2", "jobs", "none", "LEFT", "COUNT", "10"],
    ["BRPOPLPUSH", "jobs", "elsewhere", "0"],
]


def departures(step):
    """Clients that wait, leave in every manner, and have been seen to be gone: what is pushed then stays."""
    r = step.connect()

    def wait_for_blocked(count):
        wait_until(lambda: int(r.info("clients")["blocked_clients"]) == count, f"{count} clients to be blocked")

    def killed(clients):
        for identity, _ in clients:
            assert r.client_kill_filter(_id=identity) == 1

    def closed(clients):
        for _, connection in clients:
            connection.close()
        wait_for_blocked(0)

    def reset(clients):
        for _, connection in clients:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        closed(clients)

    def unblocked(clients):
        for identity, _ in clients:
            assert r.client_unblock(identity)

    for leave in [killed, closed, reset, unblocked]:
        for _ in range(20):
            clients = []
            for words in BLOCKING:
                connection = step.server.connect()
                connection.sendall(b"CLIENT ID\r\n" + " ".join(words).encode() + b"\r\n")
                clients.append((connection.recv(100).decode()[1:].strip(), connection))
            wait_for_blocked(len(BLOCKING))
            leave(clients)
            assert r.rpush("jobs", *range(20)) == 20, f"{leave.__name__}: somebody who had left was served"
            assert r.lpop("jobs", 100) == [str(job) for job in range(20)]
            assert r.exists("elsewhere") == 0
            for _, connection in clients:
                connection.close()
    # In the middle of a transaction that feeds them, too.
    for round in range(50):
        connection = step.server.connect()
        connection.sendall(b"CLIENT ID\r\nBLPOP jobs 0\r\n")
        identity = connection.recv(100).decode()[1:].strip()
        wait_for_blocked(1)
        pipeline = r.pipeline()
        pipeline.client_kill_filter(_id=identity).rpush("jobs", round)
        assert pipeline.execute() == [1, 1]
        assert r.lpop("jobs") == str(round)
        connection.close()


def reliable(step):
    """Workers move a job to a list of their own, do it, and strike it off. What a dead worker had there is given back."""
    r = step.connect()
    jobs = 20_000
    for start in range(0, jobs, 1_000):
        r.rpush("todo", *range(start, start + 1_000))

    def work(r, number, note):
        own = f"doing:{number}"
        while job := r.blmove("todo", own, 1, "LEFT", "RIGHT"):
            note(job)
            r.lrem(own, 1, job)

    crew, kills = Crew(step, work), 0
    for _ in range(4):
        crew.hire()
    while r.llen("todo") > 1_000:
        crew.wait_for_work()
        own = f"doing:{crew.kill_one()}"
        kills += 1
        while r.lmove(own, "todo", "LEFT", "RIGHT"):
            pass
        crew.hire()
    crew.wait()
    noted = crew.notes()
    again = sum(noted.values()) - len(noted)
    # A worker may die between its note and the strike.
    assert set(noted) == set(range(jobs)) and again <= kills, f"{jobs - len(noted)} lost, {again} done twice, {kills} kills"
    assert r.keys() == [], r.keys()
    return f"{kills} workers killed, {again} jobs done twice"


STEPS = [
    (f"{JOBS:,} jobs, {CONSUMERS} consumers in BRPOP", [], brpop),
    (f"{JOBS:,} jobs, consumers killed", [], brpop_killed),
    ("waits that time out as jobs arrive", [], timeouts),
    ("waiting clients that left", [], departures),
    ("BLMOVE to lists of one's own, workers killed", [], reliable),
]
