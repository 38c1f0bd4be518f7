"""RQ: a burst worker in a process of its own, as `rq worker` starts it."""

import os
import subprocess
import sys

port = int(sys.argv[1])
here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)

import redis
import rq
from rq.job import Job, JobStatus
from rq_jobs import add, fail

connection = redis.Redis(port=port)
queue = rq.Queue(connection=connection)
jobs = [queue.enqueue(add, number, 1) for number in range(8)]
failing = queue.enqueue(fail)
last = queue.enqueue(add, 1, 1, depends_on=jobs, job_id="the-last")
urgent = rq.Queue("urgent", connection=connection).enqueue(add, 5, 5, at_front=True, meta={"from": "us"})
assert len(queue) == 9 and last.get_status() == JobStatus.DEFERRED

command = [os.path.join(os.path.dirname(sys.executable), "rq"), "worker", "--burst", "--url", f"redis://127.0.0.1:{port}", "urgent", "default"]
done = subprocess.run(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100)
assert done.returncode == 0, done.stdout[-3000:]

assert [job.return_value(refresh=True) for job in jobs] == list(range(1, 9))
assert urgent.return_value(refresh=True) == 10 and Job.fetch(urgent.id, connection=connection).meta == {"from": "us"}
assert last.return_value(refresh=True) == 2 and last.get_status(refresh=True) == JobStatus.FINISHED
assert failing.get_status(refresh=True) == JobStatus.FAILED
assert "ValueError: no luck" in failing.latest_result().exc_string
assert failing.id in queue.failed_job_registry.get_job_ids()
assert len(queue.finished_job_registry) == 9 and len(queue) == 0
failing.requeue()
assert queue.job_ids == [failing.id]
failing.delete()
assert queue.job_ids == [] and rq.Worker.all(connection=connection) == []
