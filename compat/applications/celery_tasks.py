"""What the Celery worker of `celery_app.py` can do. The server's port is in RADISH_PORT."""

import os

import celery

URL = f"redis://127.0.0.1:{os.environ['RADISH_PORT']}/0"

app = celery.Celery("celery_tasks", broker=URL, backend=URL)
app.conf.update(result_expires=600, task_acks_late=True, broker_connection_retry_on_startup=True)


@app.task
def add(one, other):
    return one + other


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def fail(text):
    raise ValueError(text)


@app.task(bind=True, max_retries=3)
def third_time(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries
